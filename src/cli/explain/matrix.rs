//! The decision matrix: what each check does to the endpoints when it alone fails. Found by judging snapshots made for
//! it, so that it says what the daemon does and not what somebody once wrote down.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Moment, Reading, Timestamp};
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
use crate::model::plan::{Definition, Plan, Thresholds};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::state::{CheckState, advance};
use crate::model::verdict::{Endpoint, Judged, Verdict};

/// Before or after `/readyz` has been open for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The check and those behind it have never passed.
    StartUp,
    /// Everything has passed before.
    Service,
}

/// What follows when one check fails and no other does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The position of the check.
    pub check: usize,
    /// The verdict on each endpoint, in the order of [`Endpoint::ALL`]; `error` is closed.
    pub verdicts: [Verdict; 4],
    /// The positions of the checks that are skipped meanwhile.
    pub skips: Vec<usize>,
}

impl Row {
    /// Whether the failure closes `endpoint`.
    #[must_use]
    pub fn closes(&self, endpoint: Endpoint) -> bool {
        Endpoint::ALL.iter().zip(self.verdicts).any(|(other, verdict)| *other == endpoint && verdict == Verdict::Error)
    }
}

/// One row for each check of `plan`, in its order.
#[must_use]
pub fn rows(plan: &Arc<Plan>, phase: Phase) -> Vec<Row> {
    let row = |check| {
        let snapshot = failing(plan, phase, check);
        let judged = Judged::new(&snapshot, snapshot.at);
        Row {
            check,
            verdicts: Endpoint::ALL.map(|endpoint| judged.endpoint(endpoint).verdict),
            skips: behind(plan, check),
        }
    };
    (0..plan.checks.len()).map(row).collect()
}

/// The one check fails, those behind it are skipped, and all others pass.
#[must_use]
pub fn failing(plan: &Arc<Plan>, phase: Phase, check: usize) -> Snapshot {
    let skips = behind(plan, check);
    snapshot(plan, phase, |index| match index {
        _ if index == check => Fate::Fails,
        _ if skips.contains(&index) => Fate::IsSkipped,
        _ => Fate::Passes,
    })
}

/// All checks pass.
#[must_use]
pub fn all_well(plan: &Arc<Plan>) -> Snapshot {
    snapshot(plan, Phase::Service, |_| Fate::Passes)
}

/// The positions of the checks that depend on the one at `parent`, directly or through others.
fn behind(plan: &Plan, parent: usize) -> Vec<usize> {
    let mut reached = vec![false; plan.checks.len()];
    let mut next = vec![parent];
    while let Some(at) = next.pop() {
        for (child, definition) in plan.checks.iter().enumerate() {
            if definition.depends_on.contains(&at) && !std::mem::replace(&mut reached[child], true) {
                next.push(child);
            }
        }
    }
    (0..plan.checks.len()).filter(|index| reached[*index]).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Fails,
    IsSkipped,
}

/// The moment of the snapshots, and of every result in them: none is stale, however short `stale_after` is.
const NOW: Moment = Moment::at(Duration::from_secs(60));

fn snapshot(plan: &Arc<Plan>, phase: Phase, fate: impl Fn(usize) -> Fate) -> Snapshot {
    let state = |index: usize| {
        // Thresholds change when a check fails, not what its failure does.
        let definition = Definition { thresholds: Thresholds::default(), ..(*plan.checks[index]).clone() };
        let start = Reading { moment: NOW, wall: Timestamp::default() };
        let mut state = CheckState::new(start);
        let mut observe = |outcome: Outcome| {
            let observation = Observation { outcome, began: NOW, ended: NOW, wall: start.wall };
            state = advance(&state, &definition, &observation);
        };
        if phase == Phase::Service || fate(index) == Fate::Passes {
            observe(Outcome::Pass(Pass::default()));
        }
        match fate(index) {
            Fate::Passes => {}
            Fate::Fails => observe(Outcome::Fail(Failure::new(FailureKind::Connect, "connection refused"))),
            Fate::IsSkipped => observe(Outcome::Skip),
        }
        Arc::new(state)
    };
    Snapshot {
        generation: 0,
        at: NOW,
        wall: Timestamp::default(),
        plan: Arc::clone(plan),
        checks: (0..plan.checks.len()).map(state).collect(),
        draining: false,
        ready_once: phase == Phase::Service,
        configuration: Configuration::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Critical, Gates};

    fn gating(name: &str, gates: &str) -> Definition {
        let gates = Gates { live: gates.contains('l'), ready: gates.contains('r'), startup: gates.contains('s') };
        Definition { gates, ..check(name) }
    }

    fn behind(definition: Definition, parents: &[usize]) -> Definition {
        Definition { depends_on: parents.to_vec(), ..definition }
    }

    /// Each row as the verdicts of livez, readyz, startupz, healthz (o, d or -) and what is skipped.
    fn matrix(checks: Vec<Definition>, phase: Phase) -> Vec<String> {
        let line = |row: Row| {
            let letter = |verdict: Verdict| if verdict == Verdict::Error { "-" } else { &verdict.label()[..1] };
            let skips: Vec<_> = row.skips.iter().map(|index| format!(" {index}")).collect();
            row.verdicts.map(letter).concat() + &skips.concat()
        };
        rows(&plan(checks), phase).into_iter().map(line).collect()
    }

    fn shop() -> Vec<Definition> {
        vec![
            Definition { critical: Critical::AtStartup, ..gating("db", "r") },
            behind(gating("app", "lr"), &[0]),
            Definition { critical: Critical::No, ..gating("cache", "r") },
            behind(gating("orders", "r"), &[1]),
            gating("files", ""),
            gating("migration", "s"),
        ]
    }

    #[test]
    fn in_service_each_failure_closes_what_it_gates() {
        assert_eq!(matrix(shop(), Phase::Service), ["dddd 1 3", "---- 3", "odod", "o-o-", "oood", "ood-"]);
    }

    #[test]
    fn at_start_up_what_has_never_passed_holds_the_pod_back() {
        assert_eq!(matrix(shop(), Phase::StartUp), ["d-d- 1 3", "---- 3", "odod", "o-o-", "oood", "o---"]);
    }

    #[test]
    fn thresholds_change_when_and_not_what() {
        let thrice = Thresholds { failure: 3.try_into().unwrap(), success: 3.try_into().unwrap() };
        let checks = vec![Definition { thresholds: thrice, ..gating("db", "r") }, gating("cache", "r")];
        assert_eq!(matrix(checks, Phase::Service), ["o-d-", "o-d-"]);
    }

    #[test]
    fn when_nothing_fails_everything_is_open() {
        let snapshot = all_well(&plan(shop()));
        let judged = Judged::new(&snapshot, snapshot.at);
        assert!(Endpoint::ALL.into_iter().all(|endpoint| judged.endpoint(endpoint).verdict == Verdict::Ok));
    }
}
