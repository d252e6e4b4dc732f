//! Rings in `depends_on`.

/// A ring: the positions of its checks, each depending on the next and the last on the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The checks.
    pub members: Vec<usize>,
}

/// The most rings that are reported: mending one often mends others.
const MAX_RINGS: usize = 20;

/// The rings among checks whose parents are `parents`, at most one for each dependency that closes one.
///
/// A walk in depth first order, without recursion; a dependency on a check that the walk is still inside of closes a
/// ring.
pub fn find(parents: &[Vec<usize>]) -> Vec<Ring> {
    let mut rings = Vec::new();
    let mut state = vec![Walk::Unseen; parents.len()];
    for start in 0..parents.len() {
        if state[start] != Walk::Unseen {
            continue;
        }
        // The checks the walk is inside of, each with how many of its parents have been walked.
        let mut inside = vec![(start, 0)];
        state[start] = Walk::Inside;
        while let Some((check, walked)) = inside.last_mut() {
            let Some(&parent) = parents[*check].get(*walked) else {
                state[*check] = Walk::Done;
                inside.pop();
                continue;
            };
            *walked += 1;
            match state[parent] {
                Walk::Unseen => {
                    state[parent] = Walk::Inside;
                    inside.push((parent, 0));
                }
                Walk::Inside if rings.len() < MAX_RINGS => {
                    let members = inside.iter().map(|(member, _)| *member);
                    rings.push(Ring { members: members.skip_while(|member| *member != parent).collect() });
                }
                Walk::Inside | Walk::Done => {}
            }
        }
    }
    rings
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Unseen,
    Inside,
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(parents: &[&[usize]]) -> Vec<Vec<usize>> {
        let parents: Vec<_> = parents.iter().map(|parents| parents.to_vec()).collect();
        find(&parents).into_iter().map(|ring| ring.members).collect()
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
