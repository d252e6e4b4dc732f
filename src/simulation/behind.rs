//! Which checks a failure skips: those behind the one that fails.

use crate::model::index::{CheckIndex, CheckSet};
use crate::model::plan::Plan;
use crate::scheduler::machine::parents_first;

/// The checks that depend on one, directly or through others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedChecks {
    /// The first of them, in the order of the file.
    pub first: Vec<CheckIndex>,
    /// How many there are.
    pub count: usize,
}

/// What is skipped while each check of `plan` fails, in its order: the first `most`, and how many. A set is kept no longer
/// than a check before it wants it.
#[must_use]
pub fn skipped_behind(plan: &Plan, most: usize) -> Vec<SkippedChecks> {
    let mut wanted: Vec<usize> = plan.checks.iter().map(|check| check.depends_on.len()).collect();
    let mut behind = vec![CheckSet::default(); plan.checks.len()];
    let mut skipped = vec![SkippedChecks::default(); plan.checks.len()];
    for index in parents_first(plan).into_iter().rev() {
        let mut set = CheckSet::default();
        for child in plan.checks.children(index) {
            wanted[*child] = wanted[*child].saturating_sub(1);
            if wanted[*child] == 0 {
                set.add_all(std::mem::take(&mut behind[*child]));
            } else {
                set.add_all(behind[*child].clone());
            }
            set.insert(*child);
        }
        skipped[index] = SkippedChecks { first: set.iter().take(most).collect(), count: set.len() };
        if wanted[index] > 0 {
            behind[index] = set;
        }
    }
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::Definition;
    use crate::model::plan::testing::{check, indices, plan};

    fn skipped(parents: &[&[usize]], most: usize) -> Vec<(Vec<usize>, usize)> {
        let named = |(at, of): (usize, &&[usize])| Definition { depends_on: indices(of), ..check(&format!("c{at}")) };
        let found = skipped_behind(&plan(parents.iter().enumerate().map(named).collect()), most);
        found.into_iter().map(|it| (it.first.into_iter().map(CheckIndex::get).collect(), it.count)).collect()
    }

    #[test]
    fn each_is_counted_once_by_whichever_ways_it_is_reached() {
        let parents: [&[usize]; 5] = [&[], &[0], &[0, 4], &[1, 2], &[]];
        let expected = [(vec![1, 2], 3), (vec![3], 1), (vec![3], 1), (vec![], 0), (vec![2, 3], 2)];
        assert_eq!(skipped(&parents, 2), expected);
    }

    #[test]
    fn a_ring_ends() {
        assert_eq!(skipped(&[&[1], &[0]], 2).len(), 2);
    }
}
