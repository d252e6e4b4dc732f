//! The log of transitions: one event each, with its reason and how long it had been otherwise.

use std::time::Duration;

use super::machine::Transition;
use crate::base::quantity::show_duration;
use crate::model::outcome::Outcome;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::Judged;

/// Logs a transition, once: `before` is what was published last, `after` what is to be published with it, as
/// judged then.
pub fn log(transition: &Transition, before: &Snapshot, after: &Judged<'_>) {
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
    let causes = root_causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
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
