//! The log of transitions: one event each, with its reason and how long it had been otherwise. Of thousands at once those
//! that follow from others are counted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::machine::Transition;
use crate::base::name::CheckName;
use crate::base::quantity::show_duration;
use crate::model::causes::MAX_CAUSES;
use crate::model::outcome::Outcome;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::Judged;

/// Of the transitions published together, so many that are no failures have an event each: the queue of the log holds a
/// few times as many.
const MOST: usize = 200;

/// Logs `transitions`, once: `before` is what was published last, `after` what is to be published with them, as judged
/// then.
pub fn log(transitions: &[Transition], before: &Snapshot, after: &Judged<'_>) {
    let (told, counted) = told_and_counted(transitions);
    for transition in told {
        log_one(transition, before, after);
    }
    let (skipped, changed): (Vec<&Transition>, Vec<&Transition>) =
        counted.into_iter().partition(|transition| transition.to == State::Skipped);
    if !skipped.is_empty() {
        let causes: BTreeSet<&CheckName> = skipped.iter().flat_map(|skipped| &skipped.root_causes).collect();
        let root_causes = names(causes.into_iter().take(MAX_CAUSES));
        tracing::warn!(checks = skipped.len(), root_causes, "more checks skipped");
    }
    if !changed.is_empty() {
        tracing::info!(checks = changed.len(), "more checks changed");
    }
}

/// Those that have an event each, and the others: what fails is never among these.
fn told_and_counted(transitions: &[Transition]) -> (Vec<&Transition>, Vec<&Transition>) {
    let mut left = MOST;
    transitions.iter().partition(|transition| {
        let fails = transition.to == State::Error;
        let fits = fails || left > 0;
        left -= usize::from(fits && !fails);
        fits
    })
}

fn names<'a>(checks: impl Iterator<Item = &'a CheckName>) -> String {
    checks.map(CheckName::as_str).collect::<Vec<_>>().join(", ")
}

fn log_one(transition: &Transition, before: &Snapshot, after: &Judged<'_>) {
    let Transition { check, from, to, observation, root_causes, .. } = transition;
    let (from, to) = (from.label(), to.label());
    let failure = match observation.as_ref().map(|observation| &observation.outcome) {
        Some(Outcome::Fail(failure)) => Some(failure),
        _ => None,
    };
    let reason = failure.map(|failure| failure.kind.label());
    let error = failure.map(|failure| failure.message.as_str());
    let detail = failure.and_then(|failure| failure.detail.as_deref());
    let dialled = observation.as_ref().and_then(|observation| observation.dialled.as_deref());
    let TransitionContext { address, lasted, why } = &TransitionContext::of(transition, before, after);
    let (address, lasted, why) = (address.as_deref(), lasted.as_deref(), why.as_deref());
    let causes = names(root_causes.iter());
    let root_causes = (!causes.is_empty()).then_some(causes);
    match transition.to {
        State::Error => {
            tracing::error!(%check, from, to, lasted, reason, error, detail, address, dialled, "check failed");
        }
        State::Skipped => tracing::warn!(%check, from, to, lasted, root_causes, "check skipped"),
        State::Degraded => tracing::info!(%check, from, to, lasted, reason = why, "check changed"),
        State::Ok | State::Pending => tracing::info!(%check, from, to, lasted, "check changed"),
    }
}

/// What the log tells of a transition beside itself.
struct TransitionContext {
    /// The target as it is written in the file.
    address: Option<String>,
    /// For how long the check had been in the state that it leaves.
    lasted: Option<String>,
    /// Why it is degraded, in one line for everybody.
    why: Option<String>,
}

impl TransitionContext {
    fn of(transition: &Transition, before: &Snapshot, after: &Judged<'_>) -> Self {
        let old = before.plan.position(transition.check.as_str()).map(|check| &before.checks[check]);
        let lasted = old.filter(|old| old.state == transition.from).map(|old| transition.at.since(old.since));
        let index = after.snapshot.plan.position(transition.check.as_str());
        let is_told = transition.to == State::Degraded;
        let stays = index.filter(|index| is_told && after.check(*index).state == transition.to);
        Self {
            address: index.and_then(|index| after.definition(index).target.clone()),
            lasted: lasted.map(in_seconds),
            why: stays.map(|index| after.reason(index).into_owned()),
        }
    }
}

/// Without what is shorter than a second, where there is more.
fn in_seconds(length: Duration) -> String {
    show_duration(if length < Duration::from_secs(1) { length } else { Duration::from_secs(length.as_secs()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Moment;

    #[test]
    fn of_thousands_of_transitions_at_once_each_failure_is_told_and_some_of_the_others() {
        let transition = |to| Transition {
            check: CheckName::new("app").unwrap(),
            from: State::Ok,
            to,
            at: Moment::default(),
            observation: None,
            root_causes: Vec::new(),
        };
        let followed = (0..2 * MOST).map(|_| transition(State::Skipped));
        let transitions: Vec<_> = followed.chain((0..2 * MOST).map(|_| transition(State::Error))).collect();
        let (told, counted) = told_and_counted(&transitions);
        assert_eq!((told.len(), counted.len()), (3 * MOST, MOST));
        assert!(counted.iter().all(|transition| transition.to == State::Skipped));
        assert_eq!(told_and_counted(&transitions[..MOST]).1.len(), 0);
    }
}
