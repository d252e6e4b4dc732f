//! The decision matrix: what each check does to the endpoints when it alone fails. Found by judging snapshots made for
//! it, so that it says what the daemon does and not what somebody once wrote down.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Moment, Reading, Timestamp};
use crate::model::check_states::CheckStates;
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
use crate::model::plan::{Definition, Plan, Thresholds};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::StartUp;
use crate::model::state::{CheckState, advance};
use crate::model::verdict::{Endpoint, Judged, Verdict};
use crate::scheduler::machine::parents_first;
use crate::simulation::kubelet::request::ProbeRequest;

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
}

impl MatrixRow {
    /// Whether the failure closes `endpoint`.
    #[must_use]
    pub fn closes(&self, endpoint: Endpoint) -> bool {
        Endpoint::ALL.iter().zip(self.verdicts).any(|(other, verdict)| *other == endpoint && verdict == Verdict::Error)
    }
}

/// The failures of a phase, each of one check, and everything that their snapshots are put together from, so that a large
/// plan costs little.
#[derive(Debug)]
pub struct Matrix<'p> {
    plan: &'p Arc<Plan>,
    phase: MatrixPhase,
    /// Each check as it is after a pass, after a failure, and after a skip.
    passing: CheckStates,
    failing: CheckStates,
    skipped: CheckStates,
    rows: Vec<MatrixRow>,
}

impl<'p> Matrix<'p> {
    /// The failures of `plan` in `phase`.
    #[must_use]
    pub fn new(plan: &'p Arc<Plan>, phase: MatrixPhase) -> Self {
        let after = |outcomes: &[fn() -> Outcome]| -> CheckStates {
            plan.checks.iter().map(|check| Arc::new(state(check, outcomes))).collect()
        };
        let (pass, fail, skip) = (|| Outcome::Pass(Pass::default()), refused, || Outcome::Skip);
        let mut passing = after(&[pass]);
        for index in plan.indices() {
            passing.settle(index, passing[index].is_settled());
        }
        passing.stay_fresh_until(NOW, false);
        let (failing, skipped) = match phase {
            MatrixPhase::StartUp => (after(&[fail]), after(&[skip])),
            MatrixPhase::Service => (after(&[pass, fail]), after(&[pass, skip])),
        };
        let mut matrix = Self { plan, phase, passing, failing, skipped, rows: Vec::new() };
        matrix.rows = matrix.judged_rows();
        matrix
    }

    /// One row for each check of the plan, in its order.
    #[must_use]
    pub fn rows(&self) -> &[MatrixRow] {
        &self.rows
    }

    /// Whether `request` passes while the check fails and no other does.
    #[must_use]
    pub fn passes(&self, request: &ProbeRequest, check: CheckIndex) -> bool {
        if let Some(endpoint) = request.whole_endpoint() {
            return !self.rows[check].closes(endpoint);
        }
        let snapshot = self.with_failing(check);
        request.passes(&Judged::new(&snapshot, snapshot.at))
    }

    /// The one check fails, those behind it are skipped, and all others pass.
    fn with_failing(&self, check: CheckIndex) -> Snapshot {
        let mut snapshot = self.all_well();
        snapshot.checks[check] = Arc::clone(&self.failing[check]);
        let (mut skipped, mut next) = (CheckSet::default(), vec![check]);
        while let Some(at) = next.pop() {
            for child in self.plan.checks.children(at).iter().filter(|child| skipped.insert(**child)) {
                snapshot.checks[*child] = Arc::clone(&self.skipped[*child]);
                next.push(*child);
            }
        }
        snapshot
    }

    /// All checks pass.
    #[must_use]
    pub fn all_well(&self) -> Snapshot {
        self.snapshot(self.passing.clone())
    }

    fn snapshot(&self, checks: CheckStates) -> Snapshot {
        Snapshot {
            generation: 0,
            at: NOW,
            wall: Timestamp::default(),
            plan: Arc::clone(self.plan),
            checks,
            draining: false,
            ready_once: self.phase == MatrixPhase::Service,
            start_up: StartUp::default(),
            configuration: Configuration::default(),
            endpoint_transitions: Default::default(),
        }
    }

    /// Judges each check once as it fails and once as it is skipped: what closes with one that fails is what it closes
    /// itself, and what those behind it close, by whether it is critical.
    fn judged_rows(&self) -> Vec<MatrixRow> {
        let (failing, skipped) = (self.snapshot(self.failing.clone()), self.snapshot(self.skipped.clone()));
        let alone = Judged::new(&failing, NOW);
        let behind = [false, true].map(|is_critical| Judged::behind_a_cause(&skipped, is_critical));
        let mut following = vec![Following::default(); self.plan.checks.len()];
        let mut rows: Vec<_> =
            self.plan.indices().map(|check| MatrixRow { check, verdicts: [Verdict::Ok; 4] }).collect();
        // Children come before their parents.
        for check in parents_first(self.plan).into_iter().rev() {
            let mut follows = Following::default();
            for child in self.plan.checks.children(check) {
                follows.add(following[*child]);
            }
            rows[check].verdicts = Endpoint::ALL.map(|endpoint| {
                let of_children = follows.0[endpoint as usize][usize::from(alone.is_critical(check, endpoint))];
                of_children.max(worst(&alone, check, endpoint))
            });
            follows
                .add(Following(Endpoint::ALL.map(|endpoint| behind.each_ref().map(|it| worst(it, check, endpoint)))));
            following[check] = follows;
        }
        rows
    }
}

/// What comes of the skips of a check and of those behind it: for each endpoint, where what they wait for is not critical
/// for it, and where it is.
#[derive(Clone, Copy)]
struct Following([[Verdict; 2]; 4]);

impl Default for Following {
    fn default() -> Self {
        Self([[Verdict::Ok; 2]; 4])
    }
}

impl Following {
    fn add(&mut self, other: Self) {
        for (mine, other) in self.0.iter_mut().flatten().zip(other.0.into_iter().flatten()) {
            *mine = (*mine).max(other);
        }
    }
}

/// What the check does to `endpoint` as it stands, whatever the others do.
fn worst(judged: &Judged<'_>, check: CheckIndex, endpoint: Endpoint) -> Verdict {
    if judged.endpoint_for(endpoint, check).closes {
        return Verdict::Error;
    }
    let is_ok = judged.status(check) == Verdict::Ok || !judged.gates(check, endpoint);
    if is_ok { Verdict::Ok } else { Verdict::Degraded }
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
    use proptest::prelude::*;

    use super::*;
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Critical, Gates};
    use crate::model::verdict::testing::looks_of;
    use crate::simulation::thorough::{counts, declared};

    fn gating(name: &str, gates: &str) -> Definition {
        let gates = Gates { live: gates.contains('l'), ready: gates.contains('r'), startup: gates.contains('s') };
        Definition { gates, ..check(name) }
    }

    fn behind(definition: Definition, parents: &[usize]) -> Definition {
        Definition { depends_on: indices(parents), ..definition }
    }

    /// Each row as the verdicts of livez, readyz, startupz, healthz: o, d or -.
    fn matrix(checks: Vec<Definition>, phase: MatrixPhase) -> Vec<String> {
        let letter = |verdict: Verdict| if verdict == Verdict::Error { "-" } else { &verdict.label()[..1] };
        Matrix::new(&plan(checks), phase).rows().iter().map(|row| row.verdicts.map(letter).concat()).collect()
    }

    /// Each row by judging the snapshot in which the check fails.
    fn judged_rows(matrix: &Matrix<'_>) -> Vec<MatrixRow> {
        let row = |check| {
            let snapshot = matrix.with_failing(check);
            let judged = Judged::new(&snapshot, snapshot.at);
            MatrixRow { check, verdicts: Endpoint::ALL.map(|endpoint| judged.endpoint(endpoint).verdict) }
        };
        matrix.plan.indices().map(row).collect()
    }

    proptest! {
        #[test]
        fn rows_say_what_judging_each_failure_says(seed: u64, count in counts()) {
            let plan = plan((0..count).map(|place| declared(seed, place)).collect());
            for phase in [MatrixPhase::StartUp, MatrixPhase::Service] {
                let matrix = Matrix::new(&plan, phase);
                prop_assert_eq!(matrix.rows(), judged_rows(&matrix));
            }
        }
    }

    #[test]
    fn each_check_is_judged_a_few_times_whatever_depends_on_it() {
        const COUNT: usize = 500;
        let shapes: [fn(usize) -> Vec<usize>; 4] = [
            |at| at.checked_sub(1).into_iter().collect(),
            |at| (at > 0).then_some(0).into_iter().collect(),
            |at| if at + 1 == COUNT { (0..at).collect() } else { Vec::new() },
            |at| (at % 2 == 1).then(|| at - 1).into_iter().collect(),
        ];
        for parents in shapes {
            let checks = (0..COUNT).map(|at| behind(gating(&format!("c{at}"), "r"), &parents(at)));
            let plan = plan(checks.collect());
            let (looks, _) = looks_of(|| Matrix::new(&plan, MatrixPhase::Service));
            assert!(looks <= 40 * COUNT, "{looks}");
        }
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
        assert_eq!(matrix(shop(), MatrixPhase::Service), ["dddd", "----", "odod", "o-o-", "oood", "ood-"]);
    }

    #[test]
    fn at_start_up_what_has_never_passed_holds_the_pod_back() {
        assert_eq!(matrix(shop(), MatrixPhase::StartUp), ["d-d-", "d---", "odod", "o-o-", "oood", "o---"]);
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
