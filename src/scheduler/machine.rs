//! The state machine of all checks together: what runs when, and what each outcome means for the check and for those
//! that depend on it. Pure: it is told the time and what was observed, and says what to start.
//!
//! The rules are those of "How a check's state moves" in the reference. What is easily overlooked: a failure of a check
//! with parents counts only once every parent has passed in a run that began after the failing run ended, a run that
//! was expedited (by a recovery or a jump of the clock) can only mend, and what was seen before the app's container
//! started anew counts for nothing.

use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use super::cadence::{Cadence, jitter};
use crate::base::clock::{Moment, Reading};
use crate::base::name::CheckName;
use crate::history::answer::SavedState;
use crate::model::causes::{Causes, Trouble};
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
use crate::model::plan::{Definition, Origin, Plan};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::{PAUSE, StartUp};
use crate::model::state::{CheckState, Closed, LastRun, State, advance, count_only};
use crate::model::verdict::{Endpoint, Judged};

/// What identifies a check through reloads, as long as its definition does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey(u64);

/// A run to be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunStart {
    /// The check.
    pub key: CheckKey,
    /// Its position in the plan.
    pub check: CheckIndex,
    /// It is one of possibly many that start at the same time (first runs, runs expedited): only a bounded
    /// number of them should start side by side.
    pub throttled: bool,
}

/// A change of a check's state, for the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The check.
    pub check: CheckName,
    /// The state it leaves.
    pub from: State,
    /// The state it enters.
    pub to: State,
    /// When it entered it, on the boot clock.
    pub at: Moment,
    /// What led to it.
    pub observation: Option<Observation>,
    /// The failing checks from which a skip follows.
    pub root_causes: Vec<CheckName>,
}

/// A run or skip as it was counted in the end: a failure behind a failing parent is a skip.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedRun {
    /// The check.
    pub check: CheckName,
    /// What came of it.
    pub run: Arc<LastRun>,
}

/// At most this many counted runs are kept between two calls of [`Machine::take_observations`], and a few more for each
/// check. Later ones are dropped.
const MAX_COUNTED_RUNS: usize = 256;
const MAX_COUNTED_RUNS_PER_CHECK: usize = 4;

/// A run that was expedited and failed is repeated after this long.
const RECOVERY_RETRY: Duration = Duration::from_secs(1);

/// All checks: the state of each, and when it runs next.
#[derive(Debug)]
pub struct Machine {
    plan: Arc<Plan>,
    pod: Arc<str>,
    /// Positions, parents before children.
    order: Vec<CheckIndex>,
    /// Those of them that have parents.
    dependents: Vec<CheckIndex>,
    checks: Vec<Arc<CheckState>>,
    schedules: CheckSchedules,
    keys: u64,
    transitions: Vec<Transition>,
    /// The root causes that have been found while the checks are brought in line with their parents.
    causes: Option<Causes>,
    observations: Vec<CountedRun>,
    draining: bool,
    ready_once: bool,
    start_up: StartUp,
    /// It has begun since anybody asked.
    started_anew: bool,
    /// Since when it is doubted that the app's container is the one that was seen to start.
    doubt: Option<Moment>,
    configuration: Configuration,
    /// How often what [`latches`](Self::latches) says has changed.
    latched: u64,
}

/// The schedules of all checks. The moments at which they are due are kept apart, close together: a wake scans those
/// and touches the schedule of a check only where it is due.
#[derive(Debug, Default)]
struct CheckSchedules {
    all: Vec<CheckSchedule>,
    /// When each check is due next, unless an observation changes that first; in the order of `all`.
    wakes: Vec<Option<Moment>>,
    /// The checks' keys.
    keys: Vec<CheckKey>,
    /// Positions of schedules that were changed: their wakes are computed again before they are read.
    touched: Vec<CheckIndex>,
}

impl CheckSchedules {
    fn push(&mut self, schedule: CheckSchedule) {
        self.touched.push(CheckIndex::new(self.all.len()));
        self.wakes.push(None);
        self.keys.push(schedule.key);
        self.all.push(schedule);
    }

    /// The schedule, to be changed.
    fn touch(&mut self, index: CheckIndex) -> &mut CheckSchedule {
        self.touched.push(index);
        &mut self.all[index]
    }

    fn position(&self, key: CheckKey) -> Option<CheckIndex> {
        CheckIndex::first(self.keys.len()).find(|index| self.keys[*index] == key)
    }
}

impl Index<CheckIndex> for CheckSchedules {
    type Output = CheckSchedule;

    fn index(&self, index: CheckIndex) -> &CheckSchedule {
        &self.all[index]
    }
}

/// When one check runs, and what it waits for.
#[derive(Clone, Debug)]
struct CheckSchedule {
    key: CheckKey,
    cadence: Cadence,
    /// The next run (or skip) of the regular schedule.
    beat: Moment,
    /// Its `initial_delay` is over then, whatever its parents do.
    not_before: Moment,
    /// Set while runs follow each other more quickly than the beats: until the first pass, and after a failure of
    /// what watches the app.
    backoff: Option<Backoff>,
    /// Its first pass (in this start-up) is still to come.
    first_runs: bool,
    /// The app itself is watched: after a failure it is looked at every second, and also while the failure waits for
    /// the parents to be confirmed.
    watches_the_app: bool,
    running: Option<Running>,
    /// When a run that was expedited is to start.
    expedited: Option<Moment>,
    /// A child waits for one more run of this check, to confirm its own failure.
    extra_requested: bool,
    /// When such a run beyond the schedule last began.
    last_extra: Option<Moment>,
    last_run: Option<PastRun>,
    /// A failed run that waits for the parents to be confirmed.
    unconfirmed: Option<Observation>,
    /// The app's container has started anew, and it has not passed since.
    must_prove: bool,
    /// It was skipped and has not been run since the parents came back.
    recovering: bool,
    /// A parent that fails or is pending keeps it from running.
    waiting: bool,
    /// The last beat was put off by a run that was expedited: the next one comes in its time, or failures would
    /// never count while the clock keeps jumping.
    postponed: bool,
}

/// Runs that follow each other quickly, with a backoff: each gap is half as long again as the one before, up to the
/// interval, which is reached within a minute.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    begun: Option<Moment>,
    gap: Duration,
    /// The gaps do not grow.
    steady: bool,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    began: Moment,
    expedited: bool,
}

#[derive(Clone, Copy, Debug)]
struct PastRun {
    began: Moment,
    passed: bool,
}

/// What keeps a check from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// A parent is `error` or `skipped`.
    Blocked,
    /// A parent is `pending`, or its last run failed without making it `error`.
    Waiting,
}

impl Machine {
    /// A machine at the start of the daemon: every check is due at once, or after its initial delay. `pod` tells
    /// this daemon's beats from those of its fleet.
    #[must_use]
    pub fn new(plan: Arc<Plan>, pod: &str, now: Reading) -> Self {
        let order = parents_first(&plan);
        let mut machine = Self {
            dependents: having_parents(&order, &plan),
            order,
            checks: Vec::new(),
            schedules: CheckSchedules::default(),
            plan,
            pod: pod.into(),
            keys: 0,
            transitions: Vec::new(),
            causes: None,
            observations: Vec::new(),
            draining: false,
            ready_once: false,
            start_up: StartUp { began: now.moment, ..StartUp::default() },
            started_anew: false,
            doubt: None,
            configuration: Configuration { last_success: Some(now.wall), ..Configuration::default() },
            latched: 0,
        };
        for definition in Arc::clone(&machine.plan).checks.iter() {
            machine.checks.push(Arc::new(CheckState::new(now)));
            let schedule = machine.new_schedule(definition, now.moment);
            machine.schedules.push(schedule);
        }
        machine
    }

    /// Replaces the plan. `origins` tells for each check of the new plan where it comes from: a kept check goes on with
    /// state, streaks, counters and place in time; an added or changed one starts anew and, until its first pass,
    /// closes only what its old definition kept closed.
    ///
    /// The first plan of a machine without a configuration is a start, not a reload.
    pub fn reload(&mut self, plan: Arc<Plan>, origins: &[Origin], now: Reading) {
        if self.configuration.missing.is_some() {
            let draining = self.draining;
            let latched = self.latched + 1;
            *self = Self { draining, latched, ..Self::new(plan, &self.pod.clone(), now) };
            return;
        }
        let snapshot = self.snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        let skips = judged.closed_by_skips();
        let mut kept_closed = Vec::with_capacity(plan.checks.len());
        let mut checks = Vec::with_capacity(plan.checks.len());
        let mut schedules = CheckSchedules::default();
        for (definition, origin) in plan.checks.iter().zip(origins) {
            if let Origin::Kept(old) = origin {
                kept_closed.push(skips[*old]);
                checks.push(Arc::clone(&self.checks[*old]));
                schedules.push(self.schedules[*old].clone());
                continue;
            }
            kept_closed.push(None);
            let mut check = CheckState::new(now);
            check.probation = Some(Closed::default());
            if let Origin::Changed(old) = origin {
                check.probation = Some(judged.closed_by(*old));
                check.counters = Arc::clone(&self.checks[*old].counters);
            }
            checks.push(Arc::new(check));
            schedules.push(self.new_schedule(definition, now.moment));
        }
        self.order = parents_first(&plan);
        self.dependents = having_parents(&self.order, &plan);
        self.latched += 1;
        (self.plan, self.checks, self.schedules) = (plan, checks, schedules);
        self.configuration = Configuration { last_success: Some(now.wall), ..Configuration::default() };
        self.propagate(now, &kept_closed);
    }

    /// The app's container has started anew, as kubelet's question at `at` tells. What was seen of the one before
    /// counts for nothing: the checks that count for the start-up are pending, run at once and every second until they
    /// pass.
    pub fn begin_start_up(&mut self, at: Moment, now: Reading) {
        self.start_anew(StartUp { began: at, ..StartUp::default() }, now);
    }

    /// Perhaps the app's container is not the one any more that was seen to start, as kubelet's question at `at` makes
    /// one think. Where the app does not pass, it is another, and starting; else what watches the app looks at once,
    /// and a failure shows the same.
    pub fn doubt_start(&mut self, at: Moment, now: Reading) {
        if !self.start_up.opened || self.doubt.is_some() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let watching = || plan.entries().filter(|(_, check)| check.watches_the_app());
        if watching().any(|(index, _)| !self.checks[index].state.is_up() || self.checks[index].failures > 0) {
            self.start_anew(StartUp { began: at, opened: false }, now);
            return;
        }
        for (index, _) in watching() {
            self.doubt = Some(at);
            if self.schedules[index].is_idle() {
                self.schedules.touch(index).beat = now.moment;
            }
        }
    }

    /// Whether this run shows that a doubted container is a new one. Once everything that watches the app has passed,
    /// it is the one that was seen, or as good.
    fn dispels_or_confirms_doubt(&mut self, index: CheckIndex, observation: &Observation) -> Option<StartUp> {
        let began = self.doubt?;
        if observation.ended > began + PAUSE {
            // Too long ago to tell anything: from here on a question is news by itself.
            self.doubt = None;
            return None;
        }
        if observation.began < began || !self.definition(index).watches_the_app() {
            return None;
        }
        match &observation.outcome {
            Outcome::Fail(_) => return Some(StartUp { began, opened: false }),
            Outcome::Pass(pass) if pass.as_of.is_none_or(|as_of| as_of >= began) => {
                let passed =
                    |at: CheckIndex| self.schedules[at].last_run.is_some_and(|ran| ran.passed && ran.began >= began);
                let mut watching = self.plan.indices().filter(|at| self.definition(*at).watches_the_app());
                if watching.all(|at| at == index || passed(at)) {
                    self.doubt = None;
                }
            }
            Outcome::Pass(_) | Outcome::Skip | Outcome::Void(_) => {}
        }
        None
    }

    fn start_anew(&mut self, start_up: StartUp, now: Reading) {
        if start_up.began <= self.start_up.began {
            return;
        }
        self.doubt = None;
        let kept_closed = self.closed_by_skips(now);
        (self.start_up, self.started_anew) = (start_up, true);
        self.latched += 1;
        for index in self.plan.indices() {
            if !self.definition(index).counts_for_start_up() {
                continue;
            }
            // What is shared is not asked by a whole fleet every second.
            let steady = self.definition(index).of_pod;
            if let Some(failed) = self.schedules.touch(index).start_anew(steady, now.moment) {
                self.count_run(index, &failed);
            }
            let from = self.checks[index].state;
            Arc::make_mut(&mut self.checks[index]).start_anew(now);
            if from != State::Pending {
                self.push_transition(index, from, None);
            }
        }
        self.propagate(now, &kept_closed);
        // What is skipped is excused by a failure seen in this start-up: its causes are looked at now.
        let excused = |check: &CheckState| check.unproven && check.state == State::Skipped;
        let excused = self.plan.indices().filter(|index| excused(&self.checks[*index])).collect();
        for cause in self.all_causes_of(excused) {
            self.schedules.touch(cause).extra_requested = true;
        }
    }

    /// A machine without a configuration, for the `reason` given, until [`reload`](Self::reload) brings one.
    #[must_use]
    pub fn without_configuration(plan: Arc<Plan>, pod: &str, reason: String, now: Reading) -> Self {
        let mut machine = Self::new(plan, pod, now);
        machine.configuration = Configuration {
            missing: Some(reason),
            last_load_ok: false,
            last_success: None,
            ..Configuration::default()
        };
        machine
    }

    /// Notes that the plan is that of the last good configuration, for the `reason` given, until
    /// [`reload`](Self::reload) brings a valid one.
    pub fn use_last_good(&mut self, reason: String) {
        self.configuration = Configuration {
            last_good: Some(reason),
            last_load_ok: false,
            last_success: None,
            ..Configuration::default()
        };
    }

    /// Notes that a new configuration could not be used, for the `reason` given.
    pub fn reload_failed(&mut self, reason: String) {
        let configuration = &mut self.configuration;
        configuration.last_load_ok = false;
        // What keeps the daemon from a valid configuration is what is wrong with the file now.
        if let Some(why) = configuration.missing.as_mut().or(configuration.last_good.as_mut()) {
            *why = reason;
        }
    }

    /// Begins a drain, or undoes it.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether a drain has begun.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// The plan in use.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The keys of all checks, in the order of the plan.
    pub fn keys(&self) -> impl Iterator<Item = CheckKey> {
        self.schedules.keys.iter().copied()
    }

    /// How every check stands, in the order of the plan.
    pub fn states(&self) -> impl Iterator<Item = (&CheckName, State)> {
        self.plan.checks.iter().zip(&self.checks).map(|(definition, check)| (&definition.name, check.state))
    }

    /// Whether a start-up has begun since this was last asked.
    pub fn take_start_up(&mut self) -> bool {
        std::mem::take(&mut self.started_anew)
    }

    /// The changes of state since this was last asked.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// The runs and skips since this was last asked, in the order in which they were counted. Where nobody asks, the
    /// first ones are held and the others are not.
    pub fn take_observations(&mut self) -> Vec<CountedRun> {
        std::mem::take(&mut self.observations)
    }

    /// Opens what was open before the sidecar was restarted within its pod; it closes nothing.
    pub fn restore(&mut self, latches: &SavedState) {
        self.latched += 1;
        self.ready_once |= latches.ready_once;
        for (check, definition) in self.checks.iter_mut().zip(&self.plan.checks) {
            let saved = is_latched(definition) && latches.passed_once.contains(&definition.name);
            if saved && !check.passed_once && !check.unproven {
                Arc::make_mut(check).passed_once = true;
            }
        }
    }

    /// What has to be known after a restart: whether `/readyz` has been open once, and which of the checks that gate
    /// `live` or `startup` have passed in the present start-up.
    #[must_use]
    pub fn latches(&self) -> SavedState {
        let checks = self.plan.checks.iter().zip(&self.checks);
        let passed = checks.filter(|(definition, check)| is_latched(definition) && check.passed_once);
        let passed_once = passed.map(|(definition, _)| definition.name.clone()).collect();
        SavedState { ready_once: self.ready_once, passed_once, ..SavedState::default() }
    }

    /// How often what [`latches`](Self::latches) says has changed.
    #[must_use]
    pub const fn latched(&self) -> u64 {
        self.latched
    }

    /// Everything as it stands, for publication. Judges the latches: whether `/readyz` has been open once, and
    /// `/startupz` in this start-up.
    #[must_use]
    pub fn snapshot(&mut self, now: Reading) -> Snapshot {
        self.refresh_wakes();
        let mut snapshot = self.as_it_stands(now);
        if !self.ready_once && Judged::new(&snapshot, now.moment).endpoint(Endpoint::Readyz).open {
            self.ready_once = true;
            self.latched += 1;
            snapshot.ready_once = true;
        }
        if !self.start_up.opened && Judged::new(&snapshot, now.moment).endpoint(Endpoint::Startupz).open {
            self.start_up.opened = true;
            snapshot.start_up.opened = true;
        }
        snapshot
    }

    fn as_it_stands(&self, now: Reading) -> Snapshot {
        Snapshot {
            generation: 0,
            at: now.moment,
            wall: now.wall,
            plan: Arc::clone(&self.plan),
            checks: self.checks.clone(),
            draining: self.draining,
            ready_once: self.ready_once,
            start_up: self.start_up,
            configuration: self.configuration.clone(),
            endpoint_transitions: Default::default(),
        }
    }

    /// What each skipped check keeps closed, before something happens that may end its skip.
    fn closed_by_skips(&self, now: Reading) -> Vec<Option<Closed>> {
        Judged::new(&self.as_it_stands(now), now.moment).closed_by_skips()
    }

    /// The check with that key, as it is declared and as it stands.
    #[must_use]
    pub fn check(&self, key: CheckKey) -> Option<(&Definition, &CheckState)> {
        let index = self.schedules.position(key)?;
        Some((&*self.plan.checks[index], &*self.checks[index]))
    }

    /// When [`due`](Self::due) has something to do next, if nothing is observed before.
    #[must_use]
    pub fn next_wake(&mut self) -> Option<Moment> {
        self.refresh_wakes();
        self.schedules.wakes.iter().flatten().min().copied()
    }

    /// Computes again when the schedules that were touched are due next.
    fn refresh_wakes(&mut self) {
        let CheckSchedules { all, wakes, touched, .. } = &mut self.schedules;
        for index in touched.drain(..) {
            wakes[index] = all[index].wake();
            let due = all[index].due();
            if self.checks[index].due != due {
                Arc::make_mut(&mut self.checks[index]).due = due;
            }
        }
        debug_assert!(
            all.iter().map(CheckSchedule::wake).eq(wakes.iter().copied()),
            "a schedule was changed untouched"
        );
    }

    /// Starts what is due at `now`: the runs that are to begin at this moment.
    pub fn due(&mut self, now: Reading) -> Vec<RunStart> {
        self.propagate(now, &[]);
        self.refresh_wakes();
        let mut starts = Vec::new();
        for place in 0..self.order.len() {
            let index = self.order[place];
            if self.schedules.wakes[index].is_none_or(|wake| wake > now.moment) {
                continue;
            }
            let beaten = self.schedules[index].beat <= now.moment;
            let obstacle = self.obstacle(index);
            if obstacle == Some(Obstacle::Blocked) && beaten {
                self.skip(index, now);
            }
            let goes = obstacle.is_none() || (beaten && self.proves_itself_now(index));
            if goes {
                starts.extend(self.schedules.touch(index).start(index, now.moment));
            } else if beaten {
                self.schedules.touch(index).skip_to_next_beat(now.moment);
            }
        }
        starts
    }

    /// Whether the check runs whatever its parents are doing: the app's container has started anew and has to show that
    /// it works. Behind a parent that has to show the same it waits for that one.
    fn proves_itself_now(&self, index: CheckIndex) -> bool {
        let parents = &self.definition(index).depends_on;
        self.schedules[index].must_prove && !parents.iter().any(|parent| self.checks[*parent].unproven)
    }

    /// Takes in what the run of `key` observed. A key that is no longer known is a run of a check that a reload took
    /// away: it changes nothing.
    pub fn finished(&mut self, key: CheckKey, observation: Observation, now: Reading) {
        let Some(index) = self.schedules.position(key) else { return };
        let observation = self.as_seen_of_this_container(index, observation);
        if let Some(start_up) = self.dispels_or_confirms_doubt(index, &observation) {
            self.start_anew(start_up, now);
        }
        let tells_nothing_of_the_doubt = self.doubt.is_some_and(|doubt| observation.began < doubt);
        let of_the_last_container = self.checks[index].unproven && observation.began < self.start_up.began;
        let schedule = self.schedules.touch(index);
        let expedited = schedule.running.take().is_some_and(|running| running.expedited);
        if of_the_last_container {
            // The run that is to see the new container has been due since it started.
            self.count_run(index, &observation);
            return;
        }
        let passed = matches!(observation.outcome, Outcome::Pass(_));
        let void = matches!(observation.outcome, Outcome::Void(_));
        if !void {
            schedule.last_run = Some(PastRun { began: observation.began, passed });
        }
        let unconfirmed = if passed { schedule.passed() } else { None };
        if !passed && !void && !expedited {
            schedule.back_off(observation.began);
        }
        if schedule.beat <= now.moment {
            schedule.skip_to_next_beat(now.moment);
        }
        if tells_nothing_of_the_doubt && schedule.watches_the_app {
            // It was under way when the doubt arose: the run that decides follows at once.
            schedule.beat = now.moment;
        }
        if !passed && expedited {
            schedule.retry_expedited(now.moment);
        }
        if let Some(failed) = unconfirmed {
            self.count_run(index, &failed);
        }
        let ends_skips = passed && self.checks[index].state.blocks_children();
        let kept_closed = if ends_skips { self.closed_by_skips(now) } else { Vec::new() };
        let blocked = self.obstacle(index) == Some(Obstacle::Blocked);
        let has_parents = !self.definition(index).depends_on.is_empty();
        match (&observation.outcome, blocked) {
            (Outcome::Pass(_), true) => self.record_proof(index, &observation),
            // It says nothing about the target, so there is nothing to confirm either.
            (Outcome::Void(_), _) => self.count_run(index, &observation),
            (Outcome::Fail(_), true) => self.count_run(index, &Observation { outcome: Outcome::Skip, ..observation }),
            (Outcome::Fail(_), false) if expedited => self.count_run(index, &observation),
            (Outcome::Fail(_), false) if has_parents => self.leave_unconfirmed(index, observation),
            (_, _) => self.apply(index, &observation),
        }
        self.propagate(now, &kept_closed);
    }

    /// What the run says of the app's present container: a pass that shows what the last one did is none.
    fn as_seen_of_this_container(&self, index: CheckIndex, observation: Observation) -> Observation {
        match &observation.outcome {
            Outcome::Pass(Pass { as_of: Some(as_of), .. })
                if self.checks[index].unproven && *as_of < self.start_up.began =>
            {
                let why = Failure::new(FailureKind::Void, "nothing yet in this start");
                Observation { outcome: Outcome::Void(why), ..observation }
            }
            _ => observation,
        }
    }

    /// A pass of a check whose parents fail: it moves no state, but shows that the new container works.
    fn record_proof(&mut self, index: CheckIndex, observation: &Observation) {
        self.count_run(index, observation);
        if self.checks[index].unproven {
            let check = Arc::make_mut(&mut self.checks[index]);
            (check.unproven, check.passed_once, check.seen_once) = (false, true, true);
            self.latched += 1;
        }
    }

    /// A failure that counts once the parents have passed after it. Where one waits already, that one decides: it is
    /// the older, and the parents are not asked for each.
    fn leave_unconfirmed(&mut self, index: CheckIndex, observation: Observation) {
        let check = Arc::make_mut(&mut self.checks[index]);
        check.fresh_at = Some(observation.ended);
        check.seen_once = true;
        if self.schedules[index].unconfirmed.is_some() {
            self.count_run(index, &observation);
        } else {
            self.schedules.touch(index).unconfirmed = Some(observation);
        }
    }

    /// A parent fails. For a check that has to prove itself in a new start-up this excuses it only where the failure
    /// was seen in that start-up.
    fn skip(&mut self, index: CheckIndex, now: Reading) {
        let seen_before = self.checks[index].seen_once;
        self.apply(index, &skip(now));
        if self.checks[index].unproven && !seen_before {
            let began = self.start_up.began;
            let is_fresh = |cause: CheckIndex| self.schedules[cause].last_run.is_some_and(|ran| ran.began >= began);
            let excused = self.all_causes_of(vec![index]).into_iter().all(is_fresh);
            Arc::make_mut(&mut self.checks[index]).seen_once = excused;
        }
    }

    /// The clock has jumped (the machine slept, the process was paused, the wall clock was set): all checks run at
    /// once, and what they find can only mend.
    pub fn jumped(&mut self, now: Reading) {
        let count = self.checks.len();
        for (index, definition) in self.plan.entries() {
            let schedule = self.schedules.touch(index);
            match &mut schedule.running {
                // Put off once: failures would never count while the clock keeps jumping.
                Some(running) => running.expedited |= !std::mem::replace(&mut schedule.postponed, true),
                None => {
                    let delay = jitter(count, schedule.cadence.interval(), &self.pod, definition.name.as_str());
                    schedule.expedite((now.moment + delay).max(schedule.not_before));
                }
            }
        }
    }

    /// The wall clock was set by so many microseconds: what has happened is dated as if it had always been right.
    pub fn redate(&mut self, by: i64) {
        for check in &mut self.checks {
            *check = Arc::new(check.redated(by));
        }
        let loaded = &mut self.configuration.last_success;
        *loaded = loaded.map(|date| date.moved(by));
    }

    fn definition(&self, index: CheckIndex) -> &Definition {
        &self.plan.checks[index]
    }

    fn new_schedule(&mut self, definition: &Definition, now: Moment) -> CheckSchedule {
        self.keys += 1;
        let cadence = Cadence::new(definition.interval, &self.pod, definition.name.as_str());
        CheckSchedule {
            key: CheckKey(self.keys),
            cadence,
            beat: now + definition.initial_delay,
            not_before: now + definition.initial_delay,
            backoff: Some(Backoff { begun: None, gap: cadence.first_gap(), steady: false }),
            first_runs: true,
            watches_the_app: definition.watches_the_app(),
            running: None,
            expedited: None,
            extra_requested: false,
            last_extra: None,
            last_run: None,
            unconfirmed: None,
            must_prove: false,
            recovering: false,
            waiting: false,
            postponed: false,
        }
    }

    fn obstacle(&self, index: CheckIndex) -> Option<Obstacle> {
        let mut obstacle = None;
        for parent in &self.definition(index).depends_on {
            let check = &self.checks[*parent];
            if check.state.blocks_children() {
                return Some(Obstacle::Blocked);
            }
            let unsure = self.schedules[*parent].unconfirmed.is_some();
            if check.state == State::Pending || check.is_faltering() || unsure {
                obstacle = Some(Obstacle::Waiting);
            }
        }
        obstacle
    }

    /// Propagates the states of parents to their children, parents first: failures are confirmed or turn out to be
    /// skips, children of failing parents are skipped, and those of recovered parents wait for their run. `kept_closed`
    /// says what each skip kept closed before that which may have ended it.
    fn propagate(&mut self, now: Reading, kept_closed: &[Option<Closed>]) {
        let mut released = Vec::new();
        // Parents come first: what is found of them holds for all that comes behind.
        self.causes = Some(Causes::of(self.checks.len()));
        for place in 0..self.dependents.len() {
            let index = self.dependents[place];
            self.confirm_failure(index);
            let obstacle = self.obstacle(index);
            let state = self.checks[index].state;
            if obstacle == Some(Obstacle::Blocked) {
                if state != State::Skipped {
                    self.skip(index, now);
                }
            } else if state == State::Skipped {
                self.recover(index, kept_closed.get(index.get()).copied().flatten(), now);
            }
            if self.update_waiting(index, obstacle) {
                released.push(index);
            }
        }
        self.causes = None;
        for index in &released {
            let name = self.plan.checks[*index].name.as_str();
            let schedule = self.schedules.touch(*index);
            let delay = jitter(released.len(), schedule.cadence.interval(), &self.pod, name);
            let at = (now.moment + delay).max(schedule.not_before);
            if std::mem::take(&mut schedule.recovering) {
                schedule.expedite(at);
            } else {
                schedule.beat = schedule.beat.min(at);
            }
        }
    }

    /// Updates whether the check waits for its parents. True once it no longer does and its first run is to start now.
    fn update_waiting(&mut self, index: CheckIndex, obstacle: Option<Obstacle>) -> bool {
        let waiting = obstacle.is_some();
        let freed = self.schedules[index].waiting && !waiting;
        if self.schedules[index].waiting != waiting {
            self.schedules.touch(index).waiting = waiting;
        }
        let schedule = &self.schedules[index];
        let held = obstacle == Some(Obstacle::Waiting) || schedule.unconfirmed.is_some();
        let state = self.checks[index].state;
        if self.checks[index].held != held {
            Arc::make_mut(&mut self.checks[index]).held = held;
        }
        freed && state == State::Pending && schedule.running.is_none() && schedule.unconfirmed.is_none()
    }

    /// Decides about a failure that waits for its parents: confirmed once all of them have passed in a run that began
    /// after it ended; a skip once one of them fails.
    fn confirm_failure(&mut self, index: CheckIndex) {
        let Some(failed) = self.schedules[index].unconfirmed.clone() else { return };
        let parents = self.definition(index).depends_on.clone();
        let was_a_skip = Observation { outcome: Outcome::Skip, ..failed.clone() };
        if parents.iter().any(|parent| self.checks[*parent].state.blocks_children()) {
            self.schedules.touch(index).unconfirmed = None;
            self.apply(index, &was_a_skip);
            return;
        }
        let mut confirmed = true;
        for parent in parents {
            let schedule = self.schedules.touch(parent);
            match schedule.last_run.filter(|ran| ran.began >= failed.ended) {
                Some(PastRun { passed: true, .. }) => {}
                Some(PastRun { passed: false, .. }) if schedule.unconfirmed.is_none() => {
                    // The parent's failure counts as any other, and this run was a skip: the state stays.
                    self.schedules.touch(index).unconfirmed = None;
                    self.count_run(index, &was_a_skip);
                    return;
                }
                Some(_) => confirmed = false,
                None => {
                    confirmed = false;
                    // A run that will do is under way: to ask once more would use up the next one beyond the schedule.
                    schedule.extra_requested |= schedule.running.is_none_or(|running| running.began < failed.ended);
                }
            }
        }
        if confirmed {
            self.schedules.touch(index).unconfirmed = None;
            self.apply(index, &failed);
        }
    }

    /// No parent fails any more: the check is pending, its streaks start anew, and it is run as soon as they are up.
    /// Until that counts it closes what its skip kept closed, so that the end of an outage closes nothing.
    fn recover(&mut self, index: CheckIndex, kept_closed: Option<Closed>, now: Reading) {
        let check = Arc::make_mut(&mut self.checks[index]);
        (check.passes, check.failures) = (0, 0);
        check.recovery = kept_closed;
        check.enter(State::Pending, now.moment, now.wall);
        let schedule = self.schedules.touch(index);
        schedule.recovering = true;
        // A run under way began in the outage, and nobody waits for one any more.
        schedule.extra_requested = false;
        if let Some(running) = &mut schedule.running {
            running.expedited = true;
        }
        if !schedule.first_runs {
            schedule.backoff = None;
        }
        self.push_transition(index, State::Skipped, None);
    }

    fn apply(&mut self, index: CheckIndex, observation: &Observation) {
        let from = self.checks[index].state;
        let next = advance(&self.checks[index], self.definition(index), observation);
        if let Some(run) = &next.last {
            self.push_counted_run(index, Arc::clone(run));
        }
        self.latched += u64::from(next.passed_once != self.checks[index].passed_once);
        self.checks[index] = Arc::new(next);
        if self.checks[index].state != from {
            self.push_transition(index, from, Some(observation.clone()));
        }
    }

    fn count_run(&mut self, index: CheckIndex, observation: &Observation) {
        if let Some(run) = LastRun::of(observation, self.definition(index)) {
            self.push_counted_run(index, Arc::new(run));
        }
        self.checks[index] = Arc::new(count_only(&self.checks[index], self.definition(index), observation));
    }

    /// Keeps the run for [`take_observations`](Self::take_observations).
    fn push_counted_run(&mut self, index: CheckIndex, run: Arc<LastRun>) {
        if self.observations.len() < MAX_COUNTED_RUNS + MAX_COUNTED_RUNS_PER_CHECK * self.checks.len() {
            let check = self.definition(index).name.clone();
            self.observations.push(CountedRun { check, run });
        }
    }

    fn push_transition(&mut self, index: CheckIndex, from: State, observation: Option<Observation>) {
        let CheckState { state: to, since: at, .. } = *self.checks[index];
        let causes = if to == State::Skipped { self.causes_of(index) } else { Arc::default() };
        let root_causes = causes.iter().map(|cause| self.definition(*cause).name.clone()).collect();
        let check = self.definition(index).name.clone();
        self.transitions.push(Transition { check, from, to, at, observation, root_causes });
    }

    /// The failing checks for which these skipped ones wait, directly or through others.
    fn all_causes_of(&self, mut left: Vec<CheckIndex>) -> Vec<CheckIndex> {
        let mut causes = Vec::new();
        let mut seen = vec![false; self.checks.len()];
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match self.checks[at].state {
                State::Error => causes.push(at),
                State::Skipped => left.extend(&self.definition(at).depends_on),
                _ => {}
            }
        }
        causes
    }

    /// What is told of them for the skipped check at `index`.
    fn causes_of(&mut self, index: CheckIndex) -> Arc<[CheckIndex]> {
        let (checks, plan) = (&self.checks, &self.plan);
        let trouble = |at: CheckIndex| match checks[at].state {
            State::Error => Trouble::Own,
            State::Skipped => Trouble::OfParents,
            _ => Trouble::None,
        };
        let parents = |at: CheckIndex| &plan.checks[at].depends_on[..];
        match &mut self.causes {
            Some(causes) => causes.find(index, trouble, parents),
            None => Causes::of(checks.len()).find(index, trouble, parents),
        }
    }
}

impl CheckSchedule {
    /// When there is something to do, if nothing is observed before.
    fn wake(&self) -> Option<Moment> {
        // A check that waits for its parents is woken by them; until then only its beat (a skip) is due.
        let free = !self.waiting;
        let extra = (self.extra_requested && free).then(|| self.extra_allowed());
        let wakes = [Some(self.beat), self.expedited.filter(|_| free), extra];
        self.is_idle().then(|| wakes.into_iter().flatten().min()).flatten()
    }

    /// When the next run is due.
    fn due(&self) -> Option<Moment> {
        self.is_idle().then(|| self.expedited.map_or(self.beat, |expedited| expedited.min(self.beat)))
    }

    /// It neither runs nor waits for the parents to confirm a failure. What has never passed, or watches the app, is
    /// looked at while it waits: a pass is news, whatever the parents say.
    const fn is_idle(&self) -> bool {
        self.running.is_none() && (self.unconfirmed.is_none() || self.first_runs || self.watches_the_app)
    }

    /// A run has passed: the beats are regular again. Returns a failure that still waited to be confirmed.
    fn passed(&mut self) -> Option<Observation> {
        (self.backoff, self.first_runs, self.must_prove) = (None, false, false);
        self.unconfirmed.take()
    }

    /// A run that began at `began` has failed: what watches the app looks again in a second, then less and less often.
    fn back_off(&mut self, began: Moment) {
        if self.watches_the_app && self.backoff.is_none() {
            let gap = self.cadence.first_gap();
            self.backoff = Some(Backoff { begun: Some(began), gap, steady: false });
            self.beat = self.beat.min(began + gap);
        }
    }

    /// A run that was expedited has failed: another one may mend it until the beat, whose failure counts.
    fn retry_expedited(&mut self, now: Moment) {
        self.expedited = Some(now + RECOVERY_RETRY).filter(|again| *again < self.beat);
    }

    /// The app's container starts anew at `now`: the check runs at once, and until it passes every second, or less and
    /// less often if this is not to be `steady`. Returns a failure that still waited to be confirmed.
    fn start_anew(&mut self, steady: bool, now: Moment) -> Option<Observation> {
        self.backoff = Some(Backoff { begun: None, gap: self.cadence.first_gap(), steady });
        (self.first_runs, self.must_prove) = (true, true);
        (self.expedited, self.recovering, self.postponed) = (None, false, false);
        (self.beat, self.not_before) = (now, now);
        self.unconfirmed.take()
    }

    /// Starts a run at `now` if one is due, wanted or asked for.
    fn start(&mut self, check: CheckIndex, now: Moment) -> Option<RunStart> {
        let regular = self.beat <= now;
        let expedited = self.expedited.is_some_and(|at| at <= now);
        let extra = self.extra_requested && self.extra_allowed() <= now;
        if !(regular || expedited || extra) {
            return None;
        }
        if regular {
            self.postponed = false;
            self.beat = self.next_beat(now);
        } else if extra {
            self.last_extra = Some(now);
        }
        if expedited {
            self.expedited = None;
        }
        self.extra_requested = false;
        self.running = Some(Running { began: now, expedited: expedited && !regular });
        Some(RunStart { key: self.key, check, throttled: expedited || self.first_runs })
    }

    /// The beat that follows a run that begins at `now`; the gaps between quick runs grow.
    fn next_beat(&mut self, now: Moment) -> Moment {
        let cadence = self.cadence;
        match &mut self.backoff {
            None => cadence.after(now),
            Some(backoff) => {
                let begun = *backoff.begun.get_or_insert(now);
                let gap = backoff.gap;
                if !backoff.steady {
                    backoff.gap = cadence.next_gap(gap, now.since(begun) + gap);
                }
                if gap >= cadence.interval() { cadence.after(now) } else { now + gap }
            }
        }
    }

    /// The beat has come and nothing can be started: the next one is the check's, a run that overruns skips to it.
    fn skip_to_next_beat(&mut self, now: Moment) {
        let beat = self.cadence.after(now);
        self.beat = match self.backoff {
            Some(backoff) if backoff.gap < self.cadence.interval() && (!self.waiting || self.must_prove) => {
                let soon = now + backoff.gap;
                // After a failure the beats stay, and quick runs come between them.
                if self.first_runs { soon } else { soon.min(beat) }
            }
            _ => beat,
        };
    }

    fn expedite(&mut self, at: Moment) {
        self.expedited = Some(at);
        if !std::mem::replace(&mut self.postponed, true) {
            self.beat = self.cadence.well_after(at);
        }
    }

    /// Beyond its schedule a parent is probed at most once per its interval.
    fn extra_allowed(&self) -> Moment {
        self.last_extra.map_or_else(Moment::default, |last| last + self.cadence.interval())
    }
}

/// Whether it is known after a restart that the check has passed in the present start-up.
const fn is_latched(definition: &Definition) -> bool {
    definition.gates.startup || definition.gates.live
}

fn skip(now: Reading) -> Observation {
    Observation { outcome: Outcome::Skip, began: now.moment, ended: now.moment, wall: now.wall }
}

/// Those in `order` that have parents.
fn having_parents(order: &[CheckIndex], plan: &Plan) -> Vec<CheckIndex> {
    order.iter().copied().filter(|index| !plan.checks[*index].depends_on.is_empty()).collect()
}

/// The positions of the plan's checks, parents before children. The configuration has no rings; should there be one,
/// its members come in the order of the file.
fn parents_first(plan: &Plan) -> Vec<CheckIndex> {
    let mut order = Vec::with_capacity(plan.checks.len());
    let mut seen = vec![false; plan.checks.len()];
    for start in plan.indices() {
        // The checks that the walk is inside of, each with how many of its parents have been visited.
        let mut inside = vec![(start, 0)];
        while let Some((check, visited)) = inside.last_mut() {
            if *visited == 0 && std::mem::replace(&mut seen[*check], true) {
                inside.pop();
                continue;
            }
            let (at, parent) = (*check, plan.checks[*check].depends_on.get(*visited).copied());
            *visited += 1;
            match parent {
                Some(parent) => inside.push((parent, 0)),
                None => {
                    order.push(at);
                    inside.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Critical, Gates, Thresholds};
    use crate::model::verdict::{Endpoint, Judged, JudgedState};
    use crate::simulation::playback::{Playback, reading};

    const START: Moment = Moment::at(Duration::from_secs(1000));

    fn at(seconds: f64) -> Moment {
        START + Duration::from_secs_f64(seconds)
    }

    fn child(name: &str, parents: &[usize]) -> Definition {
        Definition { depends_on: indices(parents), ..check(name) }
    }

    fn thresholds(failure: u32, success: u32) -> Thresholds {
        Thresholds { failure: NonZeroU32::new(failure).unwrap(), success: NonZeroU32::new(success).unwrap() }
    }

    /// `outages[check]` are spans of seconds in which the check fails; a run takes 20 ms.
    fn outages(outages: Vec<Vec<(f64, f64)>>) -> impl FnMut(CheckIndex, Moment) -> (ProbeResult, Duration) {
        move |check, now| {
            let down = outages[check].iter().any(|(from, to)| (at(*from)..at(*to)).contains(&now));
            let failure = Failure::new(FailureKind::Connect, "connection refused");
            (if down { Err(failure) } else { Ok(Pass::default()) }, Duration::from_millis(20))
        }
    }

    fn machine(checks: Vec<Definition>) -> Machine {
        Machine::new(plan(checks), "pod", reading(START))
    }

    /// The transitions of all checks until `end`, as `second check state`.
    fn played(checks: Vec<Definition>, world: Vec<Vec<(f64, f64)>>, end: f64) -> Vec<String> {
        let mut playback = Playback::new(machine(checks), outages(world), START);
        let mut lines = Vec::new();
        while playback.now() < at(end) {
            playback.play_until(playback.now() + Duration::from_millis(50), |_| {});
            for transition in playback.machine.take_transitions() {
                let second = playback.now().since(START).as_secs();
                let causes: Vec<_> = transition.root_causes.iter().map(|cause| format!(" for {cause}")).collect();
                lines.push(format!("{second} {} {}{}", transition.check, transition.to.label(), causes.concat()));
            }
        }
        lines
    }

    #[test]
    fn parents_come_first_in_the_longest_chain_too() {
        let order = |parents: &[&[usize]]| {
            parents_first(&plan(parents.iter().enumerate().map(|(at, of)| child(&format!("c{at}"), of)).collect()))
        };
        assert_eq!(order(&[&[2, 1], &[3], &[], &[2]]), [2, 3, 1, 0]);
        assert_eq!(order(&[&[1], &[0], &[2]]), [1, 0, 2], "rings are refused elsewhere, and end here all the same");
        let length = 100_000;
        let chain =
            (0..length).map(|at| child(&format!("c{at}"), &[(at + 1).min(length - 1)][..usize::from(at + 1 < length)]));
        assert_eq!(parents_first(&plan(chain.collect())), (0..length).rev().collect::<Vec<_>>());
    }

    #[test]
    fn first_runs_are_at_once_and_children_follow_their_parents() {
        let lines = played(vec![check("db"), child("app", &[0])], vec![vec![], vec![]], 5.0);
        assert_eq!(lines, ["0 db ok", "0 app ok"]);
    }

    #[test]
    fn an_outage_of_the_parent_skips_the_child_and_its_end_mends_it() {
        let lines = played(vec![check("db"), child("app", &[0])], vec![vec![(3.0, 30.0)], vec![(3.0, 30.0)]], 60.0);
        let words: Vec<&str> = lines[2..].iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["db error", "app skipped for db", "db ok", "app pending", "app ok"]);
    }

    #[test]
    fn an_app_that_stays_broken_after_the_outage_becomes_an_error() {
        let lines = played(vec![check("db"), child("app", &[0])], vec![vec![(3.0, 30.0)], vec![(3.0, 99.0)]], 70.0);
        let words: Vec<&str> = lines[2..].iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["db error", "app skipped for db", "db ok", "app pending", "app error"]);
    }

    /// What was observed of the check until `end`, a letter each: p(ass), f(ail), s(kip).
    fn observed(of: &str, checks: Vec<Definition>, world: Vec<Vec<(f64, f64)>>, end: f64) -> String {
        let mut playback = Playback::new(machine(checks), outages(world), START);
        let mut letters = String::new();
        while playback.now() < at(end) {
            playback.play_until(playback.now() + Duration::from_millis(50), |_| {});
            let observations = playback.machine.take_observations().into_iter();
            letters.extend(
                observations.filter(|seen| seen.check.as_str() == of).map(|seen| &seen.run.outcome.label()[..1]),
            );
        }
        letters
    }

    #[test]
    fn a_run_is_observed_once_as_what_it_was_in_the_end() {
        let checks = || vec![check("db"), child("app", &[0])];
        let outage = vec![(15.0, 28.0)];
        let alone = observed("app", checks(), vec![vec![], outage.clone()], 60.0);
        assert_eq!(alone.trim_matches('p'), "f", "the parent passes: {alone}");
        let together = observed("app", checks(), vec![outage.clone(), outage], 60.0);
        assert!(together.contains('s') && !together.contains('f'), "{together}");
    }

    #[test]
    fn observations_that_nobody_takes_are_bounded() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![]]), START);
        playback.play_until(at(3600.0), |_| {});
        assert!(playback.runs() > 300);
        assert_eq!(playback.machine.take_observations().len(), 260);
    }

    #[test]
    fn after_a_restart_what_was_open_once_is_open() {
        let gates = Gates { startup: true, ready: true, ..Gates::default() };
        let checks = || {
            vec![Definition { critical: Critical::AtStartup, ..check("shared") }, Definition { gates, ..check("slow") }]
        };
        let mut before = Playback::new(machine(checks()), outages(vec![vec![]; 2]), START);
        before.play_until(at(5.0), |_| {});
        let latches = before.machine.latches();
        assert!(latches.ready_once);
        assert_eq!(latches.passed_once.iter().map(CheckName::as_str).collect::<Vec<_>>(), ["slow"]);

        let mut machine = machine(checks());
        machine.restore(&latches);
        assert_eq!(machine.latches(), latches, "it is known after the next restart too");
        let snapshot = machine.snapshot(reading(START));
        let judged = Judged::new(&snapshot, snapshot.at);
        assert!(judged.endpoint(Endpoint::Startupz).open);
        assert!(!judged.is_critical(CheckIndex::new(0), Endpoint::Readyz), "an at_startup check holds nothing back");
        assert!(!judged.endpoint(Endpoint::Readyz).open, "the other check has to pass");

        machine.restore(&SavedState::default());
        assert_eq!(machine.latches(), latches, "it closes nothing");
    }

    #[test]
    fn a_grandchild_is_skipped_for_the_root_cause_and_not_for_its_parent() {
        let checks = vec![child("shop", &[1]), child("api", &[2]), check("db")];
        let lines = played(checks, vec![vec![], vec![], vec![(3.0, 30.0)]], 25.0);
        let words: Vec<&str> = lines[3..].iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["db error", "api skipped for db", "shop skipped for db"]);
    }

    #[test]
    fn a_blip_of_the_parent_below_its_threshold_leaves_the_child_as_it_is() {
        let parent = Definition { thresholds: thresholds(3, 1), ..check("db") };
        let app = Definition { interval: Duration::from_secs(1), ..child("app", &[0]) };
        let mut playback =
            Playback::new(machine(vec![parent, app]), outages(vec![vec![(5.0, 14.0)], vec![(5.0, 14.0)]]), START);
        let mut held = false;
        playback.play_until(at(60.0), |snapshot| {
            assert_eq!(snapshot.checks[1].failures, 0);
            held |= snapshot.checks[1].held;
            if snapshot.at > at(1.0) {
                assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Readyz).open, "{snapshot:?}");
            }
        });
        assert!(held);
    }

    #[test]
    fn an_initial_delay_holds_however_soon_the_parents_pass() {
        let app = || Definition { initial_delay: Duration::from_secs(20), ..child("app", &[0]) };
        let lines = played(vec![check("db"), app()], vec![vec![], vec![]], 25.0);
        assert_eq!(lines, ["0 db ok", "20 app ok"]);
        let lines = played(vec![check("db"), app()], vec![vec![(0.0, 3.0)], vec![]], 40.0);
        assert_eq!(lines, ["0 db error", "0 app skipped for db", "4 db ok", "4 app pending", "20 app ok"]);
    }

    #[test]
    fn first_runs_repeat_quickly_until_the_first_pass() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![(0.0, 9.0)]]), START);
        playback.play_until(at(8.9), |_| {});
        assert_eq!(playback.runs(), 5, "at 0, 1, 2.5, 4.75 and 8.125 seconds");
    }

    #[test]
    fn a_hundred_children_of_one_parent_are_no_storm() {
        let mut checks = vec![check("db")];
        checks.extend((0..100).map(|index| child(&format!("child-{index}"), &[0])));
        let down = vec![vec![(30.0, 60.0)]; 101];
        let mut playback = Playback::new(machine(checks), outages(down), START);
        playback.play_until(at(29.0), |_| {});
        let before = playback.runs();
        playback.play_until(at(60.0), |_| {});
        let during = playback.runs() - before;
        assert!(during < 130, "{during} runs in 31 seconds of outage: the children once, the parent on its beat");
        let mut starts = Vec::new();
        let mut last = playback.runs();
        while playback.now() < at(75.0) {
            playback.play_until(playback.now() + Duration::from_millis(50), |_| {});
            starts.push(playback.runs() - last);
            last = playback.runs();
        }
        assert!(starts.iter().all(|burst| *burst <= 20), "{starts:?}");
        let snapshot = playback.machine.snapshot(reading(playback.now()));
        assert!(snapshot.checks.iter().all(|check| check.state == State::Ok));
    }

    #[test]
    fn a_parent_is_probed_beyond_its_schedule_once_for_each_failure() {
        let slow = Definition { interval: Duration::from_secs(15), timeout: Duration::from_secs(4), ..check("slow") };
        let quick = Definition { interval: Duration::from_millis(500), ..check("quick") };
        let app = Definition { interval: Duration::from_secs(1), ..child("app", &[0, 1]) };
        let checks = vec![slow, quick, app];
        // Wherever in the parent's interval the failure comes: also just before its beat, which it then skips.
        for tenth in 900..1050 {
            let fails_from = f64::from(tenth) / 10.0;
            let mut starts = Vec::new();
            let world = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
                if check == 0 && now > at(60.0) {
                    starts.push(now.since_boot().as_millis() % 15_000);
                }
                let failure = Failure::new(FailureKind::Connect, "connection refused");
                let fails = check == 2 && (at(fails_from)..at(fails_from + 1.0)).contains(&now);
                let takes = Duration::from_millis(if check == 0 { 3_000 } else { 20 });
                (if fails { Err(failure) } else { Ok(Pass::default()) }, takes)
            };
            Playback::new(machine(checks.clone()), world, START).play_until(at(180.0), |_| {});
            let beyond = starts.iter().filter(|phase| **phase != starts[0]).count();
            assert_eq!(beyond, 1, "{fails_from}: {starts:?}");
        }
    }

    #[test]
    fn a_parent_whose_runs_stay_void_lets_no_failure_count_and_closes_readyz_alone() {
        let live = Gates { live: true, ..Gates::default() };
        let checks = vec![check("db"), Definition { gates: live, ..child("app", &[0]) }];
        let world = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let result = match check.get() {
                0 if now >= at(20.0) => Err(Failure::new(FailureKind::Exhausted, "no descriptor is left")),
                1 if now >= at(60.0) => Err(Failure::new(FailureKind::Connect, "connection refused")),
                _ => Ok(Pass::default()),
            };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(checks), world, START);
        playback.play_until(at(3600.0), |_| {});
        let now = playback.now();
        let snapshot = playback.machine.snapshot(reading(now));
        let judged = Judged::new(&snapshot, now);
        assert_eq!(
            (judged.state(CheckIndex::new(0)), judged.state(CheckIndex::new(1))),
            (JudgedState::Stale, JudgedState::Stale)
        );
        assert_eq!(snapshot.checks[1].state, State::Ok);
        let open = [Endpoint::Readyz, Endpoint::Livez].map(|endpoint| judged.endpoint(endpoint).open);
        assert_eq!(open, [false, true]);
    }

    #[test]
    fn a_jump_of_the_clock_runs_everything_and_its_failures_do_not_count() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![(20.0, 20.5)]]), START);
        playback.play_until(at(19.9), |_| {});
        let before = playback.runs();
        playback.play_until(at(20.0), |_| {});
        playback.machine.jumped(reading(at(20.0)));
        playback.play_until(at(20.4), |snapshot| assert_eq!(snapshot.checks[0].state, State::Ok));
        assert_eq!(playback.runs() - before, 1);
        let snapshot = playback.machine.snapshot(reading(playback.now()));
        assert_eq!((snapshot.checks[0].counters.runs[1], snapshot.checks[0].failures), (1, 0));
    }

    #[test]
    fn failures_count_even_while_the_clock_keeps_jumping() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![(20.0, 99.0)]]), START);
        let mut second = 0.0;
        while second < 40.0 {
            second += 2.5;
            playback.play_until(at(second), |_| {});
            playback.machine.jumped(reading(at(second)));
        }
        assert_eq!(playback.machine.snapshot(reading(at(second))).checks[0].state, State::Error);
    }

    #[test]
    fn a_reload_keeps_what_has_not_changed_and_puts_the_rest_on_probation() {
        let mut playback = Playback::new(
            machine(vec![check("db"), check("old")]),
            outages(vec![vec![(0.0, 99.0)], vec![], vec![]]),
            START,
        );
        playback.play_until(at(15.0), |_| {});
        let before = playback.machine.snapshot(reading(playback.now()));
        let changed = Definition { interval: Duration::from_secs(7), ..check("db") };
        let next = plan(vec![check("old"), changed, check("new")]);
        playback.machine.reload(
            next,
            &[Origin::Kept(CheckIndex::new(1)), Origin::Changed(CheckIndex::new(0)), Origin::Added],
            reading(playback.now()),
        );
        let after = playback.machine.snapshot(reading(playback.now()));
        assert_eq!(after.checks[0], before.checks[1]);
        let closed = Closed { readyz: true, healthz: true, ..Closed::default() };
        assert_eq!((after.checks[1].state, after.checks[1].probation), (State::Pending, Some(closed)));
        assert_eq!((after.checks[2].state, after.checks[2].probation), (State::Pending, Some(Closed::default())));
        let judged = Judged::new(&after, after.at);
        let names: Vec<_> =
            judged.endpoint(Endpoint::Readyz).parts.iter().filter(|part| part.closes).map(|part| part.check).collect();
        assert_eq!(names, [1], "the changed check keeps closed what it kept closed; the new one closes nothing");
    }

    #[test]
    fn an_at_startup_check_holds_a_new_pod_back_and_never_empties_the_service() {
        let shared = Definition { critical: Critical::AtStartup, ..check("shared") };
        let mut playback = Playback::new(machine(vec![shared]), outages(vec![vec![(0.0, 10.0), (40.0, 99.0)]]), START);
        let mut open = Vec::new();
        playback.play_until(at(90.0), |snapshot| {
            let now = Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Readyz).verdict.label();
            if open.last() != Some(&now) {
                open.push(now);
            }
        });
        assert_eq!(open, ["error", "ok", "degraded"]);
    }

    /// The app's own endpoint, which a restart mends, behind a database: the documented way to gate `live`.
    fn behind_a_database(app: u32, database: u32) -> Vec<Definition> {
        let database =
            Definition { thresholds: thresholds(database, 1), interval: Duration::from_secs(5), ..check("database") };
        let live = Gates { live: true, ..Gates::default() };
        let app = Definition {
            gates: live,
            thresholds: thresholds(app, 1),
            interval: Duration::from_secs(7),
            ..child("app", &[0])
        };
        vec![database, app]
    }

    /// Up to four outages, in order and apart, within the first five minutes.
    fn spans() -> impl proptest::strategy::Strategy<Value = Vec<(f64, f64)>> {
        use proptest::strategy::Strategy;
        proptest::collection::vec((0.0f64..60.0, 0.1f64..40.0), 0..=4).prop_map(|spans| {
            let mut second = 0.0;
            let place = |(gap, length): (f64, f64)| {
                let from = second + gap;
                second = from + length;
                (from, second)
            };
            spans.into_iter().map(place).collect()
        })
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 600, ..Default::default() })]

        #[test]
        fn no_order_of_outages_closes_livez_while_the_database_is_away(
            app_threshold in 1u32..=3, database_threshold in 1u32..=3,
            away in 20.0f64..60.0, length in 0.5f64..90.0,
            app_lags in 0.0f64..20.0, app_mends in 0.0f64..20.0, pod in 0u32..1000,
        ) {
            let machine = Machine::new(plan(behind_a_database(app_threshold, database_threshold)), &format!("pod-{pod}"), reading(START));
            // The app fails because the database is away: not before it, and until some time after its return.
            let back = away + length;
            let world = vec![vec![(away, back)], vec![(away + app_lags.min(length), back + app_mends)]];
            let mut playback = Playback::new(machine, outages(world), START);
            playback.play_until(at(away + length), |snapshot| {
                assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open);
            });
            playback.play_until(at(back + app_mends + 60.0), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open, "all is well at the end");
            assert_eq!(snapshot.checks[1].state, State::Ok);
        }

        #[test]
        fn in_every_order_of_failures_livez_closes_only_while_the_database_answers(
            app_threshold in 1u32..=3, database_threshold in 1u32..=3, pod in 0u32..1000,
            database in spans(), app in spans(),
        ) {
            let machine = Machine::new(plan(behind_a_database(app_threshold, database_threshold)), &format!("pod-{pod}"), reading(START));
            let away = database.clone();
            let mut playback = Playback::new(machine, outages(vec![database, app]), START);
            let mut open = true;
            playback.play_until(at(400.0), |snapshot| {
                let now_open = Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open;
                let second = snapshot.at.since(START).as_secs_f64();
                // The run that confirms takes 20 ms: the database answered when it began.
                let answered = |at: f64| !away.iter().any(|(from, to)| (*from..*to).contains(&at));
                assert!(now_open || !open || answered(second - 0.0201), "closed at {second}");
                open = now_open;
            });
        }

        #[test]
        fn an_app_that_stays_broken_alone_closes_livez_in_the_end(
            app_threshold in 1u32..=3, database_threshold in 1u32..=3,
            away in 20.0f64..60.0, length in 0.5f64..90.0, app_fails in 15.0f64..90.0, pod in 0u32..1000,
        ) {
            let machine = Machine::new(plan(behind_a_database(app_threshold, database_threshold)), &format!("pod-{pod}"), reading(START));
            let world = vec![vec![(away, away + length)], vec![(app_fails, 1e6)]];
            let mut playback = Playback::new(machine, outages(world), START);
            playback.play_until(at((away + length).max(app_fails) + 60.0), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            assert!(!Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open);
            assert_eq!(snapshot.checks[1].state, State::Error);
        }
    }
}
