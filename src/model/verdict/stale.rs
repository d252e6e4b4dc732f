//! When a result is too old to be believed.

use crate::base::clock::Moment;
use crate::model::plan::Definition;
use crate::model::state::{CheckState, State};

/// Whether the check waits for its parents, and is as fresh as they are.
pub(super) fn is_held(check: &CheckState) -> bool {
    check.held && check.state != State::Pending
}

/// Whether a check that is not held is stale. One without any result is pending.
pub(super) fn is_stale(check: &CheckState, definition: &Definition, now: Moment) -> bool {
    check.state != State::Pending && is_too_old(check, definition, now)
}

/// Whether what there is to go by of a check that is not held is too old, for itself and for those that wait for it.
pub(super) fn is_too_old(check: &CheckState, definition: &Definition, now: Moment) -> bool {
    check.fresh_at.is_some_and(|at| now.since(at) > definition.stale_after)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::index::CheckIndex;
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
        for index in 1..300 {
            Arc::make_mut(&mut snapshot.checks[index]).held = true;
        }
        assert_eq!(verdicts(&snapshot), "oooo");
    }
}
