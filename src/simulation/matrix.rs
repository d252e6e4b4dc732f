//! The decision matrix: what each check does to the endpoints when it alone fails. Found by judging snapshots made for
//! it, so that it says what the daemon does and not what somebody once wrote down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Moment, Reading, Timestamp};
use crate::model::check_states::CheckStates;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
use crate::model::plan::{Definition, Plan, Thresholds};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::StartUp;
use crate::model::state::{CheckState, advance};
use crate::model::verdict::{Endpoint, Judged, Verdict};

/// Before or after `/readyz` has been open for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixPhase {
    /// The check and those behind it have never passed.
    StartUp,
    /// Everything has passed before.
    Service,
}

/// What follows when one check fails and no other does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// The position of the check.
    pub check: CheckIndex,
    /// The verdict on each endpoint, in the order of [`Endpoint::ALL`]; `error` is closed.
    pub verdicts: [Verdict; 4],
    /// The positions of the checks that are skipped meanwhile.
    pub skips: Vec<CheckIndex>,
}

impl MatrixRow {
    /// Whether the failure closes `endpoint`.
    #[must_use]
    pub fn closes(&self, endpoint: Endpoint) -> bool {
        Endpoint::ALL.iter().zip(self.verdicts).any(|(other, verdict)| *other == endpoint && verdict == Verdict::Error)
    }
}

/// The snapshots of a phase: everything that they are put together from, so that a large plan costs little.
#[derive(Debug)]
pub struct Matrix<'p> {
    plan: &'p Arc<Plan>,
    phase: MatrixPhase,
    /// Each check as it is after a pass, after a failure, and after a skip.
    passing: CheckStates,
    failing: Vec<Arc<CheckState>>,
    skipped: Vec<Arc<CheckState>>,
}

impl<'p> Matrix<'p> {
    /// The snapshots of `plan` in `phase`.
    #[must_use]
    pub fn new(plan: &'p Arc<Plan>, phase: MatrixPhase) -> Self {
        let after = |outcomes: &[fn() -> Outcome]| -> Vec<Arc<CheckState>> {
            plan.checks.iter().map(|check| Arc::new(state(check, outcomes))).collect()
        };
        let (pass, fail, skip) = (|| Outcome::Pass(Pass::default()), refused, || Outcome::Skip);
        let mut passing: CheckStates = after(&[pass]).into_iter().collect();
        for index in plan.indices() {
            passing.settle(index, passing[index].is_settled());
        }
        passing.stay_fresh_until(NOW, false);
        let (failing, skipped) = match phase {
            MatrixPhase::StartUp => (after(&[fail]), after(&[skip])),
            MatrixPhase::Service => (after(&[pass, fail]), after(&[pass, skip])),
        };
        Self { plan, phase, passing, failing, skipped }
    }

    /// One row for each check of the plan, in its order.
    #[must_use]
    pub fn rows(&self) -> Vec<MatrixRow> {
        let row = |check| {
            let snapshot = self.failing(check);
            let judged = Judged::new(&snapshot, snapshot.at);
            let verdicts = Endpoint::ALL.map(|endpoint| judged.endpoint(endpoint).verdict);
            MatrixRow { check, verdicts, skips: self.behind(check) }
        };
        self.plan.indices().map(row).collect()
    }

    /// The one check fails, those behind it are skipped, and all others pass.
    #[must_use]
    pub fn failing(&self, check: CheckIndex) -> Snapshot {
        let mut snapshot = self.all_well();
        snapshot.checks[check] = Arc::clone(&self.failing[check]);
        for child in self.behind(check) {
            snapshot.checks[child] = Arc::clone(&self.skipped[child]);
        }
        snapshot
    }

    /// All checks pass.
    #[must_use]
    pub fn all_well(&self) -> Snapshot {
        Snapshot {
            generation: 0,
            at: NOW,
            wall: Timestamp::default(),
            plan: Arc::clone(self.plan),
            checks: self.passing.clone(),
            draining: false,
            ready_once: self.phase == MatrixPhase::Service,
            start_up: StartUp::default(),
            configuration: Configuration::default(),
            endpoint_transitions: Default::default(),
        }
    }

    /// The positions of the checks that depend on the one at `parent`, directly or through others.
    fn behind(&self, parent: CheckIndex) -> Vec<CheckIndex> {
        let mut reached = BTreeSet::new();
        let mut next = vec![parent];
        while let Some(at) = next.pop() {
            next.extend(self.plan.checks.children(at).iter().filter(|child| reached.insert(**child)));
        }
        reached.into_iter().collect()
    }
}

/// All checks of `plan` pass, and have passed before.
#[must_use]
pub fn all_well(plan: &Arc<Plan>) -> Snapshot {
    Matrix::new(plan, MatrixPhase::Service).all_well()
}

/// The moment of the snapshots, and of every result in them: none is stale, however short `stale_after` is.
const NOW: Moment = Moment::at(Duration::from_secs(60));

fn refused() -> Outcome {
    Outcome::Fail(Failure::new(FailureKind::Connect, "connection refused"))
}

/// The state of a check after these outcomes.
fn state(check: &Definition, outcomes: &[fn() -> Outcome]) -> CheckState {
    // Thresholds change when a check fails, not what its failure does.
    let definition = Definition { thresholds: Thresholds::default(), ..check.clone() };
    let start = Reading { moment: NOW, wall: Timestamp::default() };
    outcomes.iter().fold(CheckState::new(start), |state, outcome| {
        let observation = Observation { outcome: outcome(), began: NOW, ended: NOW, wall: start.wall, dialled: None };
        advance(&state, &definition, &observation)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Critical, Gates};

    fn gating(name: &str, gates: &str) -> Definition {
        let gates = Gates { live: gates.contains('l'), ready: gates.contains('r'), startup: gates.contains('s') };
        Definition { gates, ..check(name) }
    }

    fn behind(definition: Definition, parents: &[usize]) -> Definition {
        Definition { depends_on: indices(parents), ..definition }
    }

    /// Each row as the verdicts of livez, readyz, startupz, healthz (o, d or -) and what is skipped.
    fn matrix(checks: Vec<Definition>, phase: MatrixPhase) -> Vec<String> {
        let line = |row: MatrixRow| {
            let letter = |verdict: Verdict| if verdict == Verdict::Error { "-" } else { &verdict.label()[..1] };
            let skips: Vec<_> = row.skips.iter().map(|index| format!(" {index:?}")).collect();
            row.verdicts.map(letter).concat() + &skips.concat()
        };
        Matrix::new(&plan(checks), phase).rows().into_iter().map(line).collect()
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
        assert_eq!(matrix(shop(), MatrixPhase::Service), ["dddd 1 3", "---- 3", "odod", "o-o-", "oood", "ood-"]);
    }

    #[test]
    fn at_start_up_what_has_never_passed_holds_the_pod_back() {
        assert_eq!(matrix(shop(), MatrixPhase::StartUp), ["d-d- 1 3", "d--- 3", "odod", "o-o-", "oood", "o---"]);
    }

    #[test]
    fn thresholds_change_when_and_not_what() {
        let thrice = Thresholds { failure: 3.try_into().unwrap(), success: 3.try_into().unwrap() };
        let checks = vec![Definition { thresholds: thrice, ..gating("db", "r") }, gating("cache", "r")];
        assert_eq!(matrix(checks, MatrixPhase::Service), ["o-d-", "o-d-"]);
    }

    #[test]
    fn when_nothing_fails_everything_is_open() {
        let snapshot = all_well(&plan(shop()));
        let judged = Judged::new(&snapshot, snapshot.at);
        assert!(Endpoint::ALL.into_iter().all(|endpoint| judged.endpoint(endpoint).verdict == Verdict::Ok));
    }
}
