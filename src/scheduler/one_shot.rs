//! One-shot runs without a schedule, for the command line: every check once, parents before children, side by side
//! where they can.
//!
//! What a run means is decided as in the daemon (by [`advance`], and by the command that judges the [`Snapshot`]), with
//! thresholds of 1; a run is ended as there, by the [runner](super::runner).

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::runner::Ending;
use super::worker::{MAX_CONCURRENT_THROTTLED, observe_throttled};
use crate::base::clock::{Clock, Moment};
use crate::base::name::CheckName;
use crate::base::trace::Trace;
use crate::model::causes::{Causes, Trouble};
use crate::model::index::CheckIndex;
use crate::model::outcome::{Observation, Outcome};
use crate::model::plan::{Answers, Definition, Details, Plan, Thresholds};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::StartUp;
use crate::model::state::{CheckState, State, advance};
use crate::probe::net::Network;
use crate::probe::{BuildContext, Probe, RunContext, Spec};

/// Checks that are run once on demand, again and again if asked, and their states.
pub struct OneShot {
    plan: Arc<Plan>,
    specs: Vec<Arc<dyn Spec>>,
    context: BuildContext,
    noting: bool,
    probes: Vec<Option<Box<dyn Probe>>>,
    checks: Vec<Arc<CheckState>>,
    statuses: Vec<RunStatus>,
    /// The checks that wait for nobody any more.
    free: BTreeSet<CheckIndex>,
    permits: Arc<Semaphore>,
    tasks: JoinSet<FinishedRun>,
}

/// How far a check is in the current round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// It waits for a parent.
    Waiting,
    /// It has been running since then.
    Running(Moment),
    /// Its run has ended, or it was skipped.
    Done,
}

/// The end of a run, or a skip.
#[derive(Debug)]
pub struct CheckRun {
    /// The position of the check.
    pub check: CheckIndex,
    /// What was observed.
    pub observation: Observation,
    /// How the run went; it holds notes where they were wanted.
    pub trace: Arc<Trace>,
}

struct FinishedRun {
    check_run: CheckRun,
    probe: Box<dyn Probe>,
    ending: Ending,
}

impl fmt::Debug for OneShot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneShot").field("plan", &self.plan).field("statuses", &self.statuses).finish_non_exhaustive()
    }
}

/// The positions of the checks `wanted` in `plan`, and of everything they depend on, in ascending order.
#[must_use]
pub fn with_ancestors(plan: &Plan, wanted: &[CheckIndex]) -> Vec<CheckIndex> {
    let mut found = BTreeSet::new();
    let mut left = wanted.to_vec();
    while let Some(check) = left.pop() {
        if found.insert(check) {
            left.extend(&plan.checks[check].depends_on);
        }
    }
    found.into_iter().collect()
}

impl OneShot {
    /// Rounds of the checks of `plan` at the positions `chosen`, in ascending order; `specs` are what the checks of the
    /// whole plan observe. A parent that is not chosen is not asked for. With `noting` the traces hold notes.
    #[must_use]
    pub fn new(plan: &Plan, specs: &[Arc<dyn Spec>], chosen: &[CheckIndex], clock: Clock, noting: bool) -> Self {
        let plan = Arc::new(excerpt(plan, chosen));
        let count = chosen.len();
        let check = CheckName::new("probelet").expect("a valid name");
        let now = clock.read();
        Self {
            specs: chosen.iter().map(|position| Arc::clone(&specs[*position])).collect(),
            context: BuildContext { check, network: Arc::<Network>::default(), clock, beats: Arc::default() },
            noting,
            probes: std::iter::repeat_with(|| None).take(count).collect(),
            checks: std::iter::repeat_with(|| Arc::new(CheckState::new(now))).take(count).collect(),
            statuses: vec![RunStatus::Done; count],
            free: BTreeSet::new(),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_THROTTLED)),
            tasks: JoinSet::new(),
            plan,
        }
    }

    /// The same, beside a daemon that listens at these addresses.
    #[must_use]
    pub fn beside(mut self, daemon: &[SocketAddr]) -> Self {
        self.context.network = Arc::new(Network::default().around(daemon));
        self
    }

    /// The checks, as they are run here.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Begins a round, unless one is going on.
    pub fn begin(&mut self) {
        if self.tasks.is_empty() {
            self.statuses.fill(RunStatus::Waiting);
            self.free = self.plan.indices().filter(|check| self.plan.checks[*check].depends_on.is_empty()).collect();
        }
    }

    /// The next run that ends, or check that is skipped; nothing when the round is over. Nothing is lost when this is
    /// given up and called again.
    pub async fn next(&mut self) -> Option<CheckRun> {
        if let Some(skip) = self.start() {
            return Some(skip);
        }
        let FinishedRun { check_run, probe, ending } =
            self.tasks.join_next().await?.expect("a run ends, also when it panics");
        self.probes[check_run.check] = (ending != Ending::Panicked).then_some(probe);
        self.take_in(check_run.check, &check_run.observation);
        Some(check_run)
    }

    /// How far each check is in the round, in the order of the plan.
    #[must_use]
    pub fn statuses(&self) -> &[RunStatus] {
        &self.statuses
    }

    /// What is known of each check, in the order of the plan.
    #[must_use]
    pub fn checks(&self) -> &[Arc<CheckState>] {
        &self.checks
    }

    /// What a check waits for, its root causes, where `known` holds those of others as they stand now.
    pub fn causes_of(&self, check: CheckIndex, known: &mut Causes) -> Arc<[CheckIndex]> {
        let trouble = |at: CheckIndex| match self.checks[at].state {
            State::Error => Trouble::Own,
            State::Skipped | State::Pending => Trouble::OfParents,
            State::Ok | State::Degraded => Trouble::None,
        };
        known.find(check, trouble, |at| &self.plan.checks[at].depends_on)
    }

    /// Everything as it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = self.context.clock.read();
        Snapshot {
            generation: 0,
            at: now.moment,
            wall: now.wall,
            plan: Arc::clone(&self.plan),
            checks: self.checks.iter().map(Arc::clone).collect(),
            draining: false,
            ready_once: false,
            start_up: StartUp::default(),
            configuration: Configuration::default(),
            endpoint_transitions: Default::default(),
        }
    }

    /// Starts every check whose parents are done, up to the first that has to be skipped.
    fn start(&mut self) -> Option<CheckRun> {
        while let Some(check) = self.free.pop_first() {
            let parents = &self.plan.checks[check].depends_on;
            if parents.iter().any(|parent| self.checks[*parent].state.blocks_children()) {
                return Some(self.skip(check));
            }
            self.run(check);
        }
        None
    }

    fn run(&mut self, check: CheckIndex) {
        let definition = &self.plan.checks[check];
        let (timeout, clock) = (definition.timeout, self.context.clock);
        let context = || BuildContext { check: definition.name.clone(), ..self.context.clone() };
        let mut probe = self.probes[check].take().unwrap_or_else(|| self.specs[check].build(&context()));
        let (noting, permits) = (self.noting, Arc::clone(&self.permits));
        self.statuses[check] = RunStatus::Running(clock.now());
        self.tasks.spawn(async move {
            let mut trace = Arc::default();
            let run = || {
                trace = Arc::new(if noting { Trace::noting() } else { Trace::default() });
                RunContext { budget: timeout, trace: Arc::clone(&trace), ..RunContext::default() }
            };
            let observed = observe_throttled(probe.as_mut(), run, timeout, clock, &permits).await;
            let (observation, ending) = observed.expect("the permits of a round are there until its end");
            trace.end();
            FinishedRun { check_run: CheckRun { check, observation, trace }, probe, ending }
        });
    }

    fn skip(&mut self, check: CheckIndex) -> CheckRun {
        let now = self.context.clock.read();
        let observation =
            Observation { outcome: Outcome::Skip, began: now.moment, ended: now.moment, wall: now.wall, dialled: None };
        self.take_in(check, &observation);
        CheckRun { check, observation, trace: Arc::default() }
    }

    fn take_in(&mut self, check: CheckIndex, observation: &Observation) {
        self.statuses[check] = RunStatus::Done;
        self.checks[check] = Arc::new(advance(&self.checks[check], &self.plan.checks[check], observation));
        let is_done = |check: &CheckIndex| self.statuses[*check] == RunStatus::Done;
        let children = self.plan.checks.children(check).iter();
        self.free.extend(children.filter(|child| self.plan.checks[**child].depends_on.iter().all(is_done)));
    }
}

/// The checks at the positions `chosen` alone, as they are run without a schedule: the first outcome counts, and no
/// result ages while others run. The command has the configuration, so nothing is withheld.
fn excerpt(plan: &Plan, chosen: &[CheckIndex]) -> Plan {
    let place_of = |parent: &CheckIndex| chosen.binary_search(parent).ok().map(CheckIndex::new);
    let check = |position: &CheckIndex| {
        let definition = &plan.checks[*position];
        Arc::new(Definition {
            thresholds: Thresholds::default(),
            initial_delay: Duration::ZERO,
            stale_after: Duration::MAX,
            depends_on: definition.depends_on.iter().filter_map(place_of).collect(),
            ..(**definition).clone()
        })
    };
    Plan {
        service: plan.service.clone(),
        answers: Answers { details: Details::Full, ..plan.answers.clone() },
        checks: chosen.iter().map(check).collect(),
        disabled: plan.disabled.clone(),
        hash: plan.hash.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::outcome::{Pass, ProbeResult};
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::verdict::{Endpoint, Judged, Verdict};
    use crate::probe::BoxFuture;
    use crate::scheduler::testing::{FakeRun, fails, hangs, panics, passes, specs};

    fn takes_a_second() -> BoxFuture<'static, ProbeResult> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Pass::default())
        })
    }

    fn one_shot(checks: Vec<(Definition, FakeRun)>) -> OneShot {
        let (definitions, targets): (Vec<_>, Vec<_>) = checks.into_iter().unzip();
        let specs = specs(&targets);
        let all: Vec<CheckIndex> = CheckIndex::first(specs.len()).collect();
        OneShot::new(&plan(definitions), &specs, &all, Clock::tokio(), false)
    }

    fn behind(name: &str, parents: &[usize]) -> Definition {
        Definition { depends_on: indices(parents), ..check(name) }
    }

    /// Plays one round: the names in the order in which they were done, and the states in the order of the plan.
    async fn play(one_shot: &mut OneShot) -> (Vec<String>, Vec<&'static str>) {
        one_shot.begin();
        let mut done = Vec::new();
        while let Some(check_run) = one_shot.next().await {
            done.push(one_shot.plan().checks[check_run.check].name.to_string());
        }
        (done, one_shot.checks().iter().map(|check| check.state.label()).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn parents_run_before_their_children_and_others_side_by_side() {
        let mut one_shot = one_shot(vec![
            (behind("child", &[1]), passes),
            (check("parent"), takes_a_second),
            (check("other"), takes_a_second),
            (check("quick"), passes),
        ]);
        let begun = tokio::time::Instant::now();
        let (done, states) = play(&mut one_shot).await;
        assert_eq!((done[0].as_str(), done[3].as_str()), ("quick", "child"));
        assert_eq!(states, ["ok"; 4]);
        assert!(begun.elapsed() < Duration::from_millis(1100), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_failure_everything_is_skipped_and_the_failure_is_the_root_cause() {
        let mut one_shot = one_shot(vec![
            (behind("grandchild", &[1]), passes),
            (behind("child", &[2, 3]), passes),
            (check("database"), fails),
            (check("cache"), passes),
        ]);
        let (_, states) = play(&mut one_shot).await;
        assert_eq!(states, ["skipped", "skipped", "error", "ok"]);
        let snapshot = one_shot.snapshot();
        let judged = Judged::new(&snapshot, snapshot.at);
        assert_eq!(judged.root_causes(), [2]);
        assert_eq!(judged.endpoint(Endpoint::Healthz).verdict, Verdict::Error);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_outcome_counts_at_once_and_never_ages() {
        let patient = Definition {
            thresholds: Thresholds {
                failure: NonZeroU32::new(3).expect("3 is not 0"),
                success: NonZeroU32::new(2).expect("2 is not 0"),
            },
            initial_delay: Duration::from_secs(60),
            stale_after: Duration::from_millis(10),
            ..check("patient")
        };
        let mut one_shot = one_shot(vec![
            (Definition { name: CheckName::new("well").unwrap(), ..patient.clone() }, passes),
            (patient, fails),
            (check("hung"), hangs),
        ]);
        let begun = tokio::time::Instant::now();
        let (_, states) = play(&mut one_shot).await;
        assert_eq!(states, ["ok", "error", "error"]);
        assert!((2000..2100).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        let snapshot = one_shot.snapshot();
        assert_eq!(Judged::new(&snapshot, snapshot.at).state(CheckIndex::new(0)).label(), "ok");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_that_checks_failure_in_every_round() {
        let mut one_shot = one_shot(vec![(check("broken"), panics), (check("well"), passes)]);
        for _ in 0..2 {
            assert_eq!(play(&mut one_shot).await.1, ["error", "ok"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_hung_targets_are_through_soon() {
        let mut one_shot =
            one_shot((0..200).map(|index| (check(&format!("hung-{index}")), hangs as FakeRun)).collect());
        let begun = tokio::time::Instant::now();
        assert_eq!(play(&mut one_shot).await.1, ["error"; 200]);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_when_the_wait_is_given_up() {
        let mut one_shot = one_shot(vec![(check("slow"), takes_a_second)]);
        one_shot.begin();
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_millis(100), one_shot.next()).await.is_err());
            assert!(matches!(one_shot.statuses(), [RunStatus::Running(_)]));
        }
        assert_eq!(one_shot.next().await.map(|check_run| check_run.check), Some(CheckIndex::new(0)));
        assert!(one_shot.next().await.is_none());
    }

    #[test]
    fn an_excerpt_keeps_the_parents_that_are_chosen() {
        let whole = plan(vec![check("a"), behind("b", &[0]), check("c"), behind("d", &[1, 2])]);
        assert_eq!(with_ancestors(&whole, &indices(&[3])), [0, 1, 2, 3]);
        assert_eq!(with_ancestors(&whole, &indices(&[1])), [0, 1]);
        let alone = excerpt(&whole, &indices(&[1, 3]));
        let parents: Vec<_> = alone.checks.iter().map(|check| check.depends_on.clone()).collect();
        assert_eq!(parents, [vec![], indices(&[0])]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_each_waits_for_is_found_in_a_few_steps() {
        for count in [100, 400] {
            let behind = |at: usize| Definition {
                depends_on: at.checked_sub(1).map(CheckIndex::new).into_iter().collect(),
                ..check(&format!("c{at}"))
            };
            let mut targets: Vec<FakeRun> = vec![passes; count];
            targets[0] = fails;
            let plan = plan((0..count).map(behind).collect());
            let chosen: Vec<CheckIndex> = plan.indices().collect();
            let mut one_shot = OneShot::new(&plan, &specs(&targets), &chosen, Clock::tokio(), false);
            for _round in 0..2 {
                one_shot.begin();
                let mut causes = Causes::of(count);
                while let Some(run) = one_shot.next().await {
                    assert_eq!(one_shot.causes_of(run.check, &mut causes)[..], indices(&[0]));
                }
                assert!(causes.steps() <= 6 * count, "{} steps", causes.steps());
            }
        }
    }
}
