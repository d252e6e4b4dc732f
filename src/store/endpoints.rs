//! Endpoints that open and close from one publication to the next: each time is one event, counted and logged in one
//! place.

use std::time::Duration;

use crate::base::quantity::show_duration;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged, Judgement};

/// Counts in `next` which endpoints have opened and closed from `before` to `after`, logs each, and returns how they
/// stand.
pub(super) fn count(before: [bool; 4], after: [bool; 4], next: &mut Snapshot) -> Vec<Judgement> {
    let changed: Vec<Judgement> = {
        let judged = Judged::new(next, next.at);
        let endpoints = Endpoint::ALL.into_iter().zip(before).zip(after);
        endpoints.filter(|((_, before), after)| before != after).map(|((at, _), _)| judged.endpoint(at)).collect()
    };
    for judgement in &changed {
        let now = next.reading();
        let count = &mut next.endpoint_transitions[judgement.endpoint as usize];
        if judgement.open {
            count.open += 1;
        } else {
            count.closed += 1;
        }
        let lasted = count.last.replace(now).map(|last| show_duration(whole(now.moment.since(last.moment))));
        log(judgement, next, lasted.as_deref());
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
    if judgement.draining && judgement.closing.is_empty() {
        tracing::info!(endpoint, to = "closed", open_for = lasted, draining = true, "endpoint closed");
    } else {
        tracing::warn!(endpoint, to = "closed", open_for = lasted, root_causes, "endpoint closed");
    }
}
