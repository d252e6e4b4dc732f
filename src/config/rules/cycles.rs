//! Cycles in `depends_on`.

/// A cycle: the positions of its checks, each depending on the next and the last on the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The checks.
    pub members: Vec<usize>,
}

/// The most cycles that are reported: mending one often mends others.
const MAX_CYCLES: usize = 20;

/// The cycles among checks whose parents are `parents`, at most one for each dependency that closes one.
///
/// A walk in depth first order, without recursion; a dependency on a check that the walk is still inside of closes a
/// cycle.
pub fn find(parents: &[Vec<usize>]) -> Vec<Cycle> {
    let mut cycle = Vec::new();
    let mut state = vec![CycleSearch::Unseen; parents.len()];
    for start in 0..parents.len() {
        if state[start] != CycleSearch::Unseen {
            continue;
        }
        // The checks the walk is inside of, each with how many of its parents have been walked.
        let mut inside = vec![(start, 0)];
        state[start] = CycleSearch::Inside;
        while let Some((check, walked)) = inside.last_mut() {
            let Some(&parent) = parents[*check].get(*walked) else {
                state[*check] = CycleSearch::Done;
                inside.pop();
                continue;
            };
            *walked += 1;
            match state[parent] {
                CycleSearch::Unseen => {
                    state[parent] = CycleSearch::Inside;
                    inside.push((parent, 0));
                }
                CycleSearch::Inside if cycle.len() < MAX_CYCLES => {
                    let members = inside.iter().map(|(member, _)| *member);
                    cycle.push(Cycle { members: members.skip_while(|member| *member != parent).collect() });
                }
                CycleSearch::Inside | CycleSearch::Done => {}
            }
        }
    }
    cycle
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CycleSearch {
    Unseen,
    Inside,
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(parents: &[&[usize]]) -> Vec<Vec<usize>> {
        let parents: Vec<_> = parents.iter().map(|parents| parents.to_vec()).collect();
        find(&parents).into_iter().map(|cycle| cycle.members).collect()
    }

    #[test]
    fn rings_are_found_and_trees_are_not() {
        assert_eq!(members(&[&[], &[0], &[0, 1], &[1, 2]]), Vec::<Vec<usize>>::new());
        assert_eq!(members(&[&[0]]), [[0]]);
        assert_eq!(members(&[&[1], &[2], &[0], &[0]]), [[0, 1, 2]]);
        assert_eq!(members(&[&[1, 2], &[0], &[0]]), [[0, 1], [0, 2]]);
        assert_eq!(members(&[&[1], &[2], &[1]]), [[1, 2]]);
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let mut parents: Vec<Vec<usize>> = (1..=100_000).map(|next| vec![next]).collect();
        parents.push(vec![0]);
        assert_eq!(find(&parents)[0].members.len(), 100_001);
    }
}
