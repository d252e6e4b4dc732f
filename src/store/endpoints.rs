//! Endpoints that open and close from one publication to the next: each time is one event, counted and logged in one
//! place. Those that a new process finds closed, and that stay so, are told of once.

use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::quantity::show_duration;
use crate::model::index::CheckIndex;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState, Judgement};

/// All checks are not looked at more often than this.
const LOOK: Duration = Duration::from_secs(1);

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

/// The endpoints that have been closed since this process began, and that nobody was told of: it does not know how they
/// stood before.
#[derive(Debug)]
pub(super) struct ClosedSinceTheStart {
    endpoints: [bool; 4],
    next_look: Moment,
}

impl ClosedSinceTheStart {
    /// All that are not `open` in the first snapshot.
    pub(super) fn new(open: [bool; 4]) -> Self {
        Self { endpoints: open.map(|open| !open), next_look: Moment::default() }
    }

    /// Those of them that failing checks keep closed although the app has started: each once, and logged. All checks are
    /// looked at for this, once a second at most.
    pub(super) fn settled(&mut self, open: [bool; 4], snapshot: &Snapshot) -> Vec<Judgement> {
        for (is_untold, open) in self.endpoints.iter_mut().zip(open) {
            *is_untold &= !open;
        }
        if self.endpoints == [false; 4] || snapshot.at < self.next_look {
            return Vec::new();
        }
        let judged = Judged::new(snapshot, snapshot.at);
        if !judged.is_past_the_start() {
            return Vec::new();
        }
        self.next_look = snapshot.at + LOOK;
        let fails = |check: &CheckIndex| judged.state(*check) != JudgedState::Fresh(State::Pending);
        let untold = Endpoint::ALL.into_iter().filter(|endpoint| self.endpoints[*endpoint as usize]);
        let closed = untold.map(|endpoint| judged.endpoint(endpoint));
        let settled: Vec<Judgement> = closed.filter(|judgement| judgement.root_causes.iter().any(fails)).collect();
        for judgement in &settled {
            self.endpoints[judgement.endpoint as usize] = false;
            let (endpoint, root_causes) = (judgement.endpoint.label(), root_causes(judgement, snapshot));
            tracing::warn!(endpoint, root_causes, "endpoint still closed");
        }
        settled
    }
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
    let root_causes = root_causes(judgement, snapshot);
    if judgement.draining && judgement.closing.is_empty() {
        tracing::info!(endpoint, to = "closed", open_for = lasted, draining = true, "endpoint closed");
    } else {
        tracing::warn!(endpoint, to = "closed", open_for = lasted, root_causes, "endpoint closed");
    }
}

fn root_causes(judgement: &Judgement, snapshot: &Snapshot) -> String {
    let names: Vec<&str> =
        judgement.root_causes.iter().map(|check| snapshot.plan.checks[*check].name.as_str()).collect();
    names.join(", ")
}
