//! The state machine of all checks together: what runs when, and what each outcome means for the check and for those
//! that depend on it. Pure: it is told the time and what was observed, and says what to start.
//!
//! The rules are those of "How a check's state moves" in the reference. What is easily overlooked: a failure of a check
//! with parents counts only once every parent has passed in a run that began after the failing run ended, a run that
//! was expedited (by a recovery or a jump of the clock) can only mend, and what was seen before the app's container
//! started anew counts for nothing.

mod check_book;
mod confirmation;
mod obstacles;
mod parents;
mod record;
mod reload;
mod runs;
mod schedule;
mod start_up;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use self::check_book::CheckBook;
use self::parents::FamilyOrder;
pub use self::parents::parents_first;
use self::schedule::CheckSchedules;
use crate::base::clock::{Moment, Reading};
use crate::base::name::CheckName;
use crate::history::answer::SavedState;
use crate::model::causes::Causes;
use crate::model::index::CheckIndex;
use crate::model::outcome::Observation;
use crate::model::plan::{Definition, Plan};
use crate::model::snapshot::{Configuration, Snapshot};
use crate::model::start_up::StartUp;
use crate::model::state::{CheckState, LastRun, State};
use crate::model::verdict::{Endpoint, OpenEndpoints};
use crate::scheduler::beat_groups::BeatGroups;

/// What identifies a check through reloads, as long as its definition does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey(u64);

/// A run to be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "its check runs again only after this run has finished"]
pub struct RunStart {
    /// The check.
    pub key: CheckKey,
    /// Its position in the plan.
    pub check: CheckIndex,
    /// It is one of possibly many that start at the same time (first runs, runs expedited, runs that confirm a child's
    /// failure, runs overdue since the process did not get to run): only a bounded number of them should start side by
    /// side.
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

/// All checks: the state of each, and when it runs next.
#[derive(Debug)]
pub struct Machine {
    plan: Arc<Plan>,
    pod: Arc<str>,
    family: FamilyOrder,
    checks: CheckBook,
    schedules: CheckSchedules,
    groups: BeatGroups,
    keys: u64,
    transitions: Vec<Transition>,
    /// The root causes that have been found while the checks are brought in line with their parents.
    causes: Option<Causes>,
    observations: Vec<CountedRun>,
    draining: bool,
    is_ending: bool,
    ready_once: bool,
    start_up: StartUp,
    /// What the latches are judged by.
    endpoints: OpenEndpoints,
    /// It has begun since anybody asked.
    started_anew: bool,
    /// Since when it is doubted that the app's container is the one that was seen to start.
    doubt: Option<Moment>,
    configuration: Configuration,
    /// How often what [`latches`](Self::latches) says has changed.
    latched: u64,
    /// Every check is brought in line with its parents each time, also where nothing has changed.
    #[cfg(test)]
    looks_at_all: bool,
}

impl Machine {
    /// A machine at the start of the daemon: every check is due at once, or after its initial delay. `pod` tells
    /// this daemon's beats from those of its fleet.
    #[must_use]
    pub fn new(plan: Arc<Plan>, pod: &str, now: Reading) -> Self {
        // One for all: each has its own with its first run, and what is answered before that waits for no more than one.
        let unknown = Arc::new(CheckState::new(now));
        let unknown = plan.checks.iter().map(|_| Arc::clone(&unknown));
        let mut machine = Self {
            family: FamilyOrder::of(&plan),
            checks: CheckBook::of(unknown.collect()),
            schedules: CheckSchedules::with_room(plan.checks.len()),
            groups: BeatGroups::default(),
            plan,
            pod: pod.into(),
            keys: 0,
            transitions: Vec::new(),
            causes: None,
            observations: Vec::new(),
            draining: false,
            is_ending: false,
            ready_once: false,
            start_up: StartUp { began: now.moment, ..StartUp::default() },
            endpoints: OpenEndpoints::default(),
            started_anew: false,
            doubt: None,
            configuration: Configuration { last_success: Some(now.wall), ..Configuration::default() },
            latched: 0,
            #[cfg(test)]
            looks_at_all: false,
        };
        for definition in Arc::clone(&machine.plan).checks.iter() {
            let schedule = machine.new_schedule(definition, now.moment);
            machine.schedules.push(schedule);
        }
        machine
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

    /// The process was asked to end: it drains from now on.
    pub const fn end(&mut self) {
        (self.draining, self.is_ending) = (true, true);
    }

    /// Whether the process was asked to end.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// From now on every check is brought in line with its parents each time, also where nothing has changed.
    #[cfg(test)]
    pub(crate) const fn look_at_all(&mut self) {
        self.looks_at_all = true;
    }

    /// The plan in use.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The keys of all checks, in the order of the plan.
    pub fn keys(&self) -> impl Iterator<Item = CheckKey> {
        self.schedules.keys()
    }

    /// How every check stands, in the order of the plan.
    pub fn states(&self) -> impl Iterator<Item = (&CheckName, State)> {
        self.plan.checks.iter().zip(self.checks.iter()).map(|(definition, check)| (&definition.name, check.state))
    }

    /// The check with that key, as it is declared and as it stands.
    #[must_use]
    pub fn check(&self, key: CheckKey) -> Option<(&Definition, &CheckState)> {
        let index = self.schedules.position(key)?;
        Some((&*self.plan.checks[index], &*self.checks[index]))
    }

    /// Whether a start-up has begun since this was last asked.
    #[must_use]
    pub fn take_start_up(&mut self) -> bool {
        std::mem::take(&mut self.started_anew)
    }

    /// The changes of state since this was last asked.
    #[must_use]
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// The runs and skips since this was last asked, in the order in which they were counted. Where nobody asks, the
    /// first ones are held and the others are not.
    #[must_use]
    pub fn take_observations(&mut self) -> Vec<CountedRun> {
        std::mem::take(&mut self.observations)
    }

    /// Opens what was open before the sidecar was restarted within its pod; it closes nothing.
    pub fn restore(&mut self, latches: &SavedState) {
        self.latched += 1;
        self.ready_once |= latches.ready_once;
        for index in self.plan.checks.gating_the_app().iter() {
            let (check, definition) = (&self.checks[index], self.definition(index));
            let former = self.plan.former_name(definition);
            let saved = latches.passed_once.contains(&definition.name)
                || former.is_some_and(|former| latches.passed_once.contains(former));
            if saved && !check.passed_once && !check.unproven {
                Arc::make_mut(&mut self.checks[index]).passed_once = true;
            }
        }
    }

    /// What has to be known after a restart: whether `/readyz` has been open once, and which of the checks that gate
    /// `live` or `startup` have passed in the present start-up, or under a definition that a reload has replaced and that
    /// kept `/livez` closed.
    #[must_use]
    pub fn latches(&self) -> SavedState {
        let has_passed = |check: &CheckState| check.passed_once || check.probation.is_some_and(|closed| closed.livez);
        let passed = self.plan.checks.gating_the_app().iter().filter(|index| has_passed(&self.checks[*index]));
        let passed_once = passed.map(|index| self.definition(index).name.clone()).collect();
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
        self.checks.settle(&self.plan, now.moment);
        let mut snapshot = self.as_it_stands(now);
        if self.ready_once && self.start_up.opened {
            // It knows of a plan and of states, which end with this.
            self.endpoints = OpenEndpoints::default();
            return snapshot;
        }
        #[cfg(test)]
        if self.looks_at_all {
            self.endpoints = OpenEndpoints::default();
        }
        let mut open = self.endpoints.judge(&snapshot);
        if !self.ready_once && open[Endpoint::Readyz as usize] {
            self.ready_once = true;
            self.latched += 1;
            snapshot.ready_once = true;
            open = self.endpoints.judge(&snapshot);
        }
        if !self.start_up.opened && open[Endpoint::Startupz as usize] {
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
            checks: self.checks.states().clone(),
            draining: self.draining,
            ready_once: self.ready_once,
            start_up: self.start_up,
            configuration: self.configuration.clone(),
            endpoint_transitions: Default::default(),
        }
    }

    /// When [`due`](Self::due) has something to do next, if nothing is observed before.
    #[must_use]
    pub fn next_wake(&mut self) -> Option<Moment> {
        self.schedules.refresh();
        self.schedules.first_wake()
    }

    /// When the first result becomes stale that is not, as of the last [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn next_stale(&self) -> Option<Moment> {
        self.checks.next_stale()
    }

    /// Whether every check is settled at `now`: its result is fresh and it stands well.
    #[must_use]
    pub fn is_calm(&self, now: Moment) -> bool {
        self.checks.states().unsettled(now, None).next().is_none()
    }

    /// The wall clock was set by so many microseconds: what has happened is dated as if it had always been right.
    pub fn redate(&mut self, by: i64) {
        for index in self.plan.indices() {
            self.checks[index] = Arc::new(self.checks[index].redated(by));
        }
        let loaded = &mut self.configuration.last_success;
        *loaded = loaded.map(|date| date.moved(by));
    }

    fn definition(&self, index: CheckIndex) -> &Definition {
        &self.plan.checks[index]
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{START, at, machine, outages};
    use super::*;
    use crate::model::plan::testing::check;
    use crate::model::plan::{Critical, Gates};
    use crate::model::verdict::Judged;
    use crate::simulation::playback::{Playback, reading};

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
}
