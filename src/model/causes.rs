//! Root causes along `depends_on`, found for many checks in one walk.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::CheckIndex;

/// The most root causes that are named for one check, so that thousands of checks which wait for thousands do not fill
/// an answer.
pub const MAX_CAUSES: usize = 32;

/// What a check has to do with the trouble of those that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is a cause.
    Own,
    /// Its causes are those of its parents.
    OfParents,
    /// It has none.
    None,
}

/// What has been found so far. Each check is looked at once, however many wait for it, and checks with the same causes
/// share them; what nobody has asked about takes neither time nor room.
#[derive(Debug)]
pub struct Causes {
    checks: usize,
    known: HashMap<CheckIndex, Arc<[CheckIndex]>>,
    none: Arc<[CheckIndex]>,
    steps: usize,
}

impl Causes {
    /// Of so many checks, nothing found yet.
    #[must_use]
    pub fn of(checks: usize) -> Self {
        Self { checks, known: HashMap::new(), none: Arc::default(), steps: 0 }
    }

    /// How many steps it has taken so far to find what was asked.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The root causes of the check at `index`, the first [`MAX_CAUSES`] in the order of the file.
    pub fn find<'p>(
        &mut self,
        index: CheckIndex,
        trouble: impl Fn(CheckIndex) -> Trouble,
        parents: impl Fn(CheckIndex) -> &'p [CheckIndex],
    ) -> Arc<[CheckIndex]> {
        let parents = |at: CheckIndex| if trouble(at) == Trouble::OfParents { parents(at) } else { &[] };
        // Chains can be long: no recursion. A check is left once its parents are known.
        let mut inside = vec![(index, 0)];
        while let Some((at, visited)) = inside.last_mut() {
            self.steps += 1;
            let at = *at;
            if self.known.contains_key(&at) {
                inside.pop();
            } else if let Some(parent) = parents(at).get(*visited) {
                *visited += 1;
                // There are no cycles; should there be one, the walk ends where it began.
                if !self.known.contains_key(parent) && inside.len() <= self.checks {
                    inside.push((*parent, 0));
                }
            } else {
                let found = match trouble(at) {
                    Trouble::Own => [at].into(),
                    Trouble::OfParents => self.union(parents(at)),
                    Trouble::None => Arc::clone(&self.none),
                };
                self.known.insert(at, found);
                inside.pop();
            }
        }
        self.known.get(&index).cloned().unwrap_or_default()
    }

    /// The causes of these checks together.
    fn union(&mut self, parents: &[CheckIndex]) -> Arc<[CheckIndex]> {
        let of = |parent: &CheckIndex| self.known.get(parent).filter(|causes| !causes.is_empty());
        let mut all: Vec<&Arc<[CheckIndex]>> = Vec::new();
        for causes in parents.iter().filter_map(of) {
            if !all.last().is_some_and(|last| Arc::ptr_eq(last, causes)) {
                all.push(causes);
            }
        }
        let union = match all.as_slice() {
            [] => Arc::clone(&self.none),
            [only] => Arc::clone(only),
            several => {
                let mut union: Vec<CheckIndex> = several.iter().flat_map(|causes| causes.iter().copied()).collect();
                union.sort_unstable();
                union.dedup();
                union.truncate(MAX_CAUSES);
                union.into()
            }
        };
        self.steps += all.len();
        union
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::indices;

    /// The steps that it takes to find the causes of every check, and those of the last.
    fn of_all(parents: &[Vec<usize>], failing: usize) -> (usize, Vec<CheckIndex>) {
        let parents: Vec<_> = parents.iter().map(|parents| indices(parents)).collect();
        let trouble = |at: CheckIndex| match at.get() {
            at if at < failing => Trouble::Own,
            _ if parents[at].is_empty() => Trouble::None,
            _ => Trouble::OfParents,
        };
        let mut causes = Causes::of(parents.len());
        let mut last = Arc::default();
        for index in CheckIndex::first(parents.len()) {
            last = causes.find(index, trouble, |at| &parents[at]);
        }
        (causes.steps(), last.to_vec())
    }

    #[test]
    fn a_long_chain_and_a_wide_fan_take_a_few_steps_for_each_check_and_dependency() {
        for length in [1000, 20_000] {
            let chain: Vec<Vec<usize>> = (0..length).map(|at: usize| at.checked_sub(1).into_iter().collect()).collect();
            assert_eq!(of_all(&chain, 1).1, [0]);
            assert!(of_all(&chain, 1).0 <= 6 * length, "{}", of_all(&chain, 1).0);
            // Asked from the far end, all of it is found on the way.
            let next = |at: usize| if at + 1 < length { indices(&[at + 1]) } else { Vec::new() };
            let upside_down: Vec<Vec<CheckIndex>> = (0..length).map(next).collect();
            let mut causes = Causes::of(length);
            let trouble = |at: CheckIndex| if at.get() + 1 == length { Trouble::Own } else { Trouble::OfParents };
            assert_eq!(causes.find(CheckIndex::new(0), trouble, |at| &upside_down[at])[..], [length - 1]);
            assert!(causes.steps() <= 6 * length);
            // Half of the checks fail, one waits for all of those, and the others for it, in a chain.
            let fan = |at: usize| match at {
                at if at < length / 2 => Vec::new(),
                at if at == length / 2 => (0..at).collect(),
                at => vec![at - 1],
            };
            let fan: Vec<Vec<usize>> = (0..length).map(fan).collect();
            let (steps, last) = of_all(&fan, length / 2);
            assert_eq!(last, (0..MAX_CAUSES).collect::<Vec<_>>());
            assert!(steps <= 8 * length, "{steps}");
        }
    }

    #[test]
    fn causes_of_several_parents_are_told_once_and_in_the_order_of_the_file() {
        let parents = [vec![], vec![], vec![1, 0], vec![0, 2], vec![3, 2, 1]];
        assert_eq!(of_all(&parents, 2).1, [0, 1]);
        assert_eq!(of_all(&parents, 0).1, [0; 0], "nothing fails");
    }

    #[test]
    fn a_ring_ends() {
        assert_eq!(of_all(&[vec![1], vec![0]], 0).1, [0; 0]);
    }
}
