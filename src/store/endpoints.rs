//! Endpoints that open and close from one publication to the next: each time is one event, counted and logged in one
//! place.

use std::time::Duration;

use crate::base::clock::Reading;
use crate::base::quantity::show_duration;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged, Judgement};

/// How the endpoints stand at the moment of `snapshot`.
pub(super) fn judgements(snapshot: &Snapshot) -> [Judgement; 4] {
    let judged = Judged::new(snapshot, snapshot.at);
    Endpoint::ALL.map(|endpoint| judged.endpoint(endpoint))
}

/// Counts in `next` which endpoints have opened and closed from `before` to `after`, logs each, and returns them.
pub(super) fn count(before: &[Judgement; 4], after: &[Judgement; 4], next: &mut Snapshot) -> Vec<Judgement> {
    let mut changed = Vec::new();
    for (place, judgement) in after.iter().enumerate().filter(|(place, after)| after.open != before[*place].open) {
        let now = Reading { moment: next.at, wall: next.wall };
        let count = &mut next.endpoint_transitions[place];
        if judgement.open {
            count.open += 1;
        } else {
            count.closed += 1;
        }
        let lasted = count.last.replace(now).map(|last| show_duration(whole(now.moment.since(last.moment))));
        log(judgement, next, lasted.as_deref());
        changed.push(judgement.clone());
    }
    changed
}

/// Without what is shorter than a second, where there is more.
fn whole(length: Duration) -> Duration {
    if length < Duration::from_secs(1) { length } else { Duration::from_secs(length.as_secs()) }
}

/// Closed is a warning, but for a drain: that was asked for. `lasted` is for how long it had been otherwise.
fn log(judgement: &Judgement, snapshot: &Snapshot, lasted: Option<&str>) {
    let endpoint = judgement.endpoint.label();
    if judgement.open {
        tracing::info!(
            endpoint,
            to = "open",
            closed_for = lasted,
            verdict = judgement.verdict.label(),
            "endpoint opened"
        );
        return;
    }
    let names: Vec<&str> =
        judgement.root_causes.iter().map(|check| snapshot.plan.checks[*check].name.as_str()).collect();
    let root_causes = names.join(", ");
    if judgement.draining && !judgement.parts.iter().any(|part| part.closes) {
        tracing::info!(endpoint, to = "closed", open_for = lasted, draining = true, "endpoint closed");
    } else {
        tracing::warn!(endpoint, to = "closed", open_for = lasted, root_causes, "endpoint closed");
    }
}
