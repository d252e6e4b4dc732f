//! When a result is too old to be believed.

use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;

/// Whether the result of a check is too old. A check that waits for its parents is as fresh as they are; one without
/// any result is pending, not stale. `known` holds what has been found out of checks that wait and of their parents:
/// each of them is judged once.
pub(super) fn is_stale(snapshot: &Snapshot, index: CheckIndex, now: Moment, known: &mut Vec<Option<bool>>) -> bool {
    let is_held = |at: CheckIndex| snapshot.checks[at].held && snapshot.checks[at].state != State::Pending;
    let by_itself = |at: CheckIndex| {
        let (check, definition) = (&snapshot.checks[at], &snapshot.plan.checks[at]);
        check.state != State::Pending && check.fresh_at.is_some_and(|at| now.since(at) > definition.stale_after)
    };
    if !is_held(index) {
        return by_itself(index);
    }
    known.resize(snapshot.checks.len(), None);
    // Chains of checks can be long: no recursion. What is left is looked at once its parents are known.
    let mut left = vec![index];
    while let Some(&at) = left.last() {
        let parents = if is_held(at) { &snapshot.plan.checks[at].depends_on[..] } else { &[] };
        let known_so_far = left.len();
        if known[at].is_none() {
            left.extend(parents.iter().filter(|parent| known[**parent].is_none()));
        }
        if left.len() > known_so_far {
            continue;
        }
        let stale = if is_held(at) { parents.iter().any(|parent| known[*parent] == Some(true)) } else { by_itself(at) };
        known[at].get_or_insert(stale);
        left.pop();
    }
    known[index] == Some(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::plan::testing::check;
    use crate::model::state::CheckState;
    use crate::model::verdict::testing::{NOW, after, behind, snapshot, verdicts};
    use crate::model::verdict::{Judged, JudgedState};

    #[test]
    fn a_held_check_is_as_fresh_as_its_parents() {
        let definition = behind(check("app"), &[0]);
        let held = |script| Arc::new(CheckState { held: true, ..(*after(&definition, script)).clone() });
        let mut snapshot = snapshot(vec![(check("db"), "p"), (definition.clone(), "!p")]);
        assert_eq!(Judged::new(&snapshot, NOW).state(CheckIndex::new(1)), JudgedState::Stale);
        snapshot.checks[1] = held("!p");
        assert_eq!(Judged::new(&snapshot, NOW).state(CheckIndex::new(1)), JudgedState::Fresh(State::Ok));
        snapshot.checks[0] = after(&check("db"), "!p");
        assert_eq!(Judged::new(&snapshot, NOW).state(CheckIndex::new(1)), JudgedState::Stale);
    }

    #[test]
    fn a_long_chain_of_waiting_checks_is_judged_at_once() {
        let mut checks = vec![(check("c0"), "p")];
        for index in 1..300usize {
            let parents: Vec<usize> = (index.saturating_sub(8)..index).collect();
            checks.push((behind(check(&format!("c{index}")), &parents), "p"));
        }
        let mut snapshot = snapshot(checks);
        for state in &mut snapshot.checks[1..] {
            Arc::make_mut(state).held = true;
        }
        assert_eq!(verdicts(&snapshot), "oooo");
    }
}
