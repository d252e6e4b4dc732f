//! Snapshots made by hand, for the tests of this floor and of the floors above. It is always 1000 s after boot.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Moment, Reading, Timestamp};
use crate::model::durations::{DurationBuckets, Durations};
use crate::model::outcome::{Facts, FailureKind};
use crate::model::plan::Definition;
use crate::model::plan::testing::plan;
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::StartUp;
use crate::model::state::{CheckState, Counters, LastRun, OutcomeKind, State};

/// Now: 1000 s after boot, 2026-11-21T10:30:00Z.
pub(crate) fn now() -> Reading {
    Reading { moment: Moment::at(Duration::from_secs(1000)), wall: Timestamp::from_unix_seconds(1_795_257_000) }
}

/// A snapshot of these checks.
pub(crate) fn snapshot(checks: Vec<(Definition, CheckState)>) -> Snapshot {
    let (definitions, states): (Vec<_>, Vec<_>) = checks.into_iter().unzip();
    Snapshot {
        generation: 1,
        at: now().moment,
        wall: now().wall,
        plan: plan(definitions),
        checks: states.into_iter().map(Arc::new).collect(),
        draining: false,
        ready_once: false,
        start_up: StartUp::default(),
        configuration: Configuration { last_success: Some(now().wall), ..Configuration::default() },
        endpoint_transitions: Default::default(),
    }
}

/// The same with another answer section.
pub(crate) fn answering(mut snapshot: Snapshot, change: impl FnOnce(&mut crate::model::plan::Answers)) -> Snapshot {
    let mut plan = (*snapshot.plan).clone();
    change(&mut plan.answers);
    snapshot.plan = Arc::new(plan);
    snapshot
}

/// No result yet.
pub(crate) fn pending() -> CheckState {
    CheckState {
        state: State::Pending,
        since: Moment::at(Duration::from_secs(900)),
        since_wall: now().wall.before(Duration::from_secs(100)),
        passes: 0,
        failures: 0,
        last: None,
        no_verdict: None,
        fresh_at: None,
        held: false,
        passed_once: false,
        seen_once: false,
        unproven: false,
        recovery: None,
        probation: None,
        counters: Arc::default(),
    }
}

/// Passed 5 s ago, in 12 ms.
pub(crate) fn ok(message: &str) -> CheckState {
    let counters = Counters {
        runs: [1, 0, 0],
        transitions: [1, 0, 0, 0, 0],
        durations: durations(0.012),
        last_run: Some(now().wall.before(Duration::from_secs(5))),
        last_success: Some(now().wall.before(Duration::from_secs(5))),
        ..Counters::default()
    };
    CheckState { state: State::Ok, passes: 1, passed_once: true, ..seen(OutcomeKind::Pass, None, message, counters) }
}

/// Passed 5 s ago, with something to worry about.
pub(crate) fn degraded(message: &str) -> CheckState {
    CheckState { state: State::Degraded, ..ok(message) }
}

/// Failed 5 s ago, having passed before.
pub(crate) fn error(message: &str) -> CheckState {
    let mut reasons = [0; 8];
    reasons[2] = 1;
    let counters = Counters {
        runs: [0, 1, 0],
        reasons,
        transitions: [0, 0, 1, 0, 0],
        durations: durations(0.0005),
        last_run: Some(now().wall.before(Duration::from_secs(5))),
        ..Counters::default()
    };
    CheckState {
        state: State::Error,
        failures: 1,
        passed_once: true,
        ..seen(OutcomeKind::Fail, Some(FailureKind::Connect), message, counters)
    }
}

/// Skipped 5 s ago, because a parent fails.
pub(crate) fn skipped() -> CheckState {
    let mut state = seen(OutcomeKind::Skip, None, "", Counters { runs: [0, 0, 1], ..Counters::default() });
    state.state = State::Skipped;
    state.held = true;
    if let Some(last) = &mut state.last {
        Arc::make_mut(last).took = None;
    }
    state
}

/// Passed 47 s ago, and is stale since.
pub(crate) fn stale() -> CheckState {
    let mut state = ok("Database is connected");
    state.fresh_at = Some(now().moment - Duration::from_secs(47));
    state
}

/// The same with other facts in the last run.
pub(crate) fn knowing(mut state: CheckState, facts: Facts) -> CheckState {
    if let Some(last) = &mut state.last {
        Arc::make_mut(last).facts = facts;
    }
    state
}

/// One of so many seconds, in the usual buckets.
fn durations(seconds: f64) -> Durations {
    let mut durations = Durations::default();
    durations.add(seconds, &DurationBuckets::usual());
    durations
}

fn seen(outcome: OutcomeKind, reason: Option<FailureKind>, message: &str, counters: Counters) -> CheckState {
    let ended = now().moment - Duration::from_secs(5);
    let took = Duration::from_millis(12);
    CheckState {
        last: Some(Arc::new(LastRun {
            outcome,
            reason,
            message: message.into(),
            at: ended,
            wall: now().wall.before(Duration::from_secs(5)),
            began: ended - took,
            took: Some(took),
            facts: Facts::default(),
        })),
        fresh_at: Some(ended),
        seen_once: true,
        counters: Arc::new(counters),
        ..pending()
    }
}
