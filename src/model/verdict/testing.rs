//! Snapshots of checks from short scripts, for the tests of what is judged of them.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::{Endpoint, Judged, Verdict};
use crate::base::clock::{Moment, Reading, Timestamp};
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
use crate::model::plan::testing::{check, indices, plan};
use crate::model::plan::{Critical, Definition, Gates};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::StartUp;
use crate::model::state::{CheckState, advance};

pub(super) const NOW: Moment = Moment::at(Duration::from_secs(1000));

thread_local! {
    /// How many checks this thread has judged.
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn look() {
    LOOKS.set(LOOKS.get() + 1);
}

/// How often `act` judges a check.
pub(crate) fn looks_of<T>(act: impl FnOnce() -> T) -> (usize, T) {
    let before = LOOKS.get();
    let found = act();
    (LOOKS.get() - before, found)
}

fn observed(outcome: Outcome, at: Moment) -> Observation {
    Observation { outcome, began: at - Duration::from_millis(12), ended: at, wall: Timestamp::default(), dialled: None }
}

/// The state after the outcomes of `script`, ten seconds apart and the last a second ago: p(ass), d(egraded pass),
/// f(ail), v(oid), - (skip), nothing for pending; a leading `!` makes the last one 100 seconds old.
pub(super) fn after(definition: &Definition, script: &str) -> Arc<CheckState> {
    let mut state = CheckState::new(Reading { moment: NOW, wall: Timestamp::default() });
    let (script, newest) = match script.strip_prefix('!') {
        Some(rest) => (rest, NOW - Duration::from_secs(100)),
        None => (script, NOW - Duration::from_secs(1)),
    };
    for (index, letter) in script.chars().enumerate() {
        let outcome = match letter {
            'p' => Outcome::Pass(Pass::default()),
            'd' => Outcome::Pass(Pass { degraded: true, ..Pass::saying("ends soon") }),
            'v' => Outcome::Void(Failure::new(FailureKind::Exhausted, "no local port was left for the run")),
            'f' => Outcome::Fail(Failure::new(FailureKind::Connect, "connection refused")),
            _ => Outcome::Skip,
        };
        let age = Duration::from_secs(10 * (script.len() - 1 - index) as u64);
        state = advance(&state, definition, &observed(outcome, newest - age));
    }
    Arc::new(state)
}

pub(super) fn snapshot(checks: Vec<(Definition, &str)>) -> Snapshot {
    let states = checks.iter().map(|(definition, script)| after(definition, script)).collect();
    Snapshot {
        generation: 1,
        at: NOW,
        wall: Timestamp::default(),
        plan: plan(checks.into_iter().map(|(definition, _)| definition).collect()),
        checks: states,
        draining: false,
        ready_once: false,
        start_up: StartUp { began: NOW - Duration::from_secs(60), opened: false },
        configuration: Configuration::default(),
        endpoint_transitions: Default::default(),
    }
}

pub(super) fn gating(name: &str, gates: &str) -> Definition {
    let gates = Gates { live: gates.contains('l'), ready: gates.contains('r'), startup: gates.contains('s') };
    Definition { gates, ..check(name) }
}

pub(super) fn optional(name: &str, gates: &str) -> Definition {
    Definition { critical: Critical::No, ..gating(name, gates) }
}

pub(super) fn at_startup(name: &str, gates: &str) -> Definition {
    Definition { critical: Critical::AtStartup, ..gating(name, gates) }
}

pub(super) fn behind(definition: Definition, parents: &[usize]) -> Definition {
    Definition { depends_on: indices(parents), ..definition }
}

/// The verdicts of livez, readyz, startupz and healthz, a letter each: o(k), d(egraded), - (closed).
pub(super) fn verdicts(snapshot: &Snapshot) -> String {
    let judged = Judged::new(snapshot, NOW);
    let letter = |endpoint| {
        let judgement = judged.endpoint(endpoint);
        assert_eq!(judgement.open, judgement.verdict != Verdict::Error);
        if judgement.open { &judgement.verdict.label()[..1] } else { "-" }
    };
    Endpoint::ALL.map(letter).concat()
}

/// A chain of checks, each behind the next and the last one failing.
pub(super) fn chain(length: usize, first: &'static str) -> Snapshot {
    let behind_next = |index: usize| {
        if index + 1 < length {
            (behind(check(&format!("c{index}")), &[index + 1]), first)
        } else {
            (check("last"), "pf")
        }
    };
    snapshot((0..length).map(behind_next).collect())
}
