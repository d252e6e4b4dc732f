//! The timeline of a scenario: the state machine of the daemon and the model of kubelet, played in virtual time.

use std::sync::Arc;
use std::time::Duration;

use super::kubelet::{Action, ContainerRole, Effect, Kubelet, ProbedContainer, SidecarAnswer};
use super::playback::{Playback, World, reading};
use super::scenario::{Fault, FaultKind, ProcessEvents, ProcessFault};
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;
use crate::model::start_up::{ContainerNews, StartupzTracker};
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState, Verdict};
use crate::scheduler::machine::Machine;

/// How long a run takes while all is well.
const LATENCY: Duration = Duration::from_millis(10);
/// The start of the timeline on the boot clock of its machine.
const START: Moment = Moment::at(Duration::ZERO);

/// What happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// How long it goes.
    pub length: Duration,
    /// What is declared.
    pub plan: Arc<Plan>,
    /// The states of each check, in the order of the plan.
    pub checks: Vec<Track<JudgedState>>,
    /// The verdicts on each endpoint, in the order of [`Endpoint::ALL`].
    pub endpoints: [Track<Verdict>; 4],
    /// The containers that kubelet probes; empty without a pod.
    pub containers: Vec<String>,
    /// The name of the app's, where it is known.
    pub app_container: Option<String>,
    /// Whether the pod is in its Services.
    pub in_service: Track<bool>,
    /// How the app's process stands.
    pub app: Track<AppState>,
    /// How the sidecar's process stands.
    pub daemon: Track<SidecarState>,
    /// Whether traffic is refused: the pod gets it, and the app does not serve.
    pub refused: Track<bool>,
    /// Everything in order.
    pub events: Vec<TimelineEvent>,
}

/// A value over time: each holds from its moment until the next.
pub type Track<T> = Vec<(Duration, T)>;

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineEvent {
    /// When, from the start.
    pub at: Duration,
    /// What.
    pub what: Occurrence,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Occurrence {
    /// The script makes a target fail.
    FaultBegins(Fault),
    /// The script makes it well again.
    FaultEnds(Fault),
    /// A check changes its state.
    Check {
        /// Its position.
        check: CheckIndex,
        /// The state it enters.
        to: JudgedState,
        /// What it says.
        message: String,
        /// The failing checks from which a skip follows.
        root_causes: Vec<CheckIndex>,
    },
    /// The verdict on an endpoint changes.
    Endpoint {
        /// Which.
        endpoint: Endpoint,
        /// The verdict before.
        from: Verdict,
        /// The verdict from now on; `error` is closed.
        to: Verdict,
        /// From what a closure follows.
        root_causes: Vec<CheckIndex>,
    },
    /// Kubelet does something.
    Kubelet(Action),
    /// The script does something to a process.
    ProcessFault(ProcessFault),
    /// The app serves from now on, after a start that took its time.
    Serves,
    /// Traffic comes to an app that does not serve, or does so no more.
    Traffic {
        /// It is refused.
        refused: bool,
    },
}

/// How the app's process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppState {
    /// It serves.
    Serves,
    /// It runs, and does not serve yet.
    Starts,
    /// There is none.
    Gone,
}

/// How the sidecar's process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SidecarState {
    /// It answers.
    Answers,
    /// It is there and does nothing.
    Frozen,
    /// There is none.
    Gone,
}

/// Plays `length` of the daemon's life with `faults`, and kubelet with the probes of `containers`.
#[must_use]
pub fn play(plan: &Arc<Plan>, length: Duration, faults: &[Fault], containers: &[ProbedContainer]) -> Timeline {
    play_with(plan, length, faults, containers, &ProcessEvents::default())
}

/// The same, with what happens to the processes of the containers.
#[must_use]
pub fn play_with(
    plan: &Arc<Plan>,
    length: Duration,
    faults: &[Fault],
    containers: &[ProbedContainer],
    process_events: &ProcessEvents,
) -> Timeline {
    let mut simulation = Simulation::new(plan, length, faults, containers, process_events);
    let end = START + length;
    while simulation.now < end {
        simulation.step(end);
    }
    simulation.writer.timeline
}

/// Everything that moves.
struct Simulation<'a> {
    now: Moment,
    playback: Playback<ScenarioWorld<'a>>,
    daemon: SidecarState,
    asks: StartupzTracker,
    kubelet: Kubelet,
    containers: &'a [ProbedContainer],
    process_events: &'a ProcessEvents,
    /// What is still to come, the first one last.
    boundaries: Vec<TimelineEvent>,
    process_faults: Vec<(Duration, ProcessFault)>,
    writer: TimelineWriter,
}

impl<'a> Simulation<'a> {
    fn new(
        plan: &Arc<Plan>,
        length: Duration,
        faults: &'a [Fault],
        containers: &'a [ProbedContainer],
        process_events: &'a ProcessEvents,
    ) -> Self {
        let app = containers.iter().position(|container| container.role == ContainerRole::App);
        let serves_from = Some(START).filter(|_| app.is_none());
        let script = ScenarioWorld { faults, plan: Arc::clone(plan), serves_from, left: START };
        let mut machine = Machine::new(Arc::clone(plan), "pod", reading(START));
        let first = machine.snapshot(reading(START));
        let kubelet = Kubelet::new(containers, START);
        let daemon = if sidecar(containers).is_some() { SidecarState::Gone } else { SidecarState::Answers };
        let mut process_faults = process_events.process_faults(length);
        process_faults.reverse();
        let mut simulation = Self {
            now: START,
            playback: Playback::new(machine, script, START),
            daemon,
            asks: StartupzTracker::since(START),
            kubelet,
            containers,
            process_events,
            boundaries: boundaries(faults, length),
            process_faults,
            writer: TimelineWriter::new(&first, length, containers),
        };
        simulation.ask();
        simulation.writer.begin();
        simulation
    }

    /// Goes on to where something happens next.
    fn step(&mut self, end: Moment) {
        let answers = self.daemon == SidecarState::Answers;
        let serves_from = self.playback.world.serves_from.filter(|at| *at > self.now);
        let wakes = [
            self.playback.next_step().filter(|_| answers),
            self.boundaries.last().map(|event| START + event.at),
            self.process_faults.last().map(|(at, _)| START + *at),
            self.kubelet.next_wake(),
            self.writer.expires.filter(|_| answers),
            serves_from,
        ];
        let next = wakes.into_iter().flatten().min().map_or(end, |next| next.min(end)).max(self.now);
        self.now = next;
        match self.daemon {
            SidecarState::Answers => self.playback.play_until(next, |_| {}),
            SidecarState::Frozen | SidecarState::Gone => self.playback.skip_until(next),
        }
        while let Some(event) = self.boundaries.pop_if(|event| START + event.at <= next) {
            self.writer.timeline.events.push(event);
        }
        while let Some((_, process_fault)) = self.process_faults.pop_if(|(at, _)| START + *at <= next) {
            self.apply_process_fault(process_fault);
        }
        self.ask();
    }

    /// What the scenario does to a process.
    fn apply_process_fault(&mut self, process_fault: ProcessFault) {
        let (app, sidecar) = (self.app(), sidecar(self.containers));
        let struck = match (process_fault, self.daemon) {
            (ProcessFault::AppExits, _) => app.is_some_and(|app| self.kubelet.is_running(app)),
            (ProcessFault::Killed, daemon) => daemon != SidecarState::Gone,
            (ProcessFault::Freezes, daemon) => daemon == SidecarState::Answers,
            (ProcessFault::Thaws, daemon) => daemon == SidecarState::Frozen,
        };
        if !struck {
            return;
        }
        self.writer.tell(self.now, Occurrence::ProcessFault(process_fault));
        match process_fault {
            ProcessFault::AppExits => {
                self.leave();
                app.into_iter().for_each(|app| self.kubelet.exits(app, self.now));
            }
            ProcessFault::Killed => {
                self.daemon = SidecarState::Gone;
                sidecar.into_iter().for_each(|sidecar| self.kubelet.exits(sidecar, self.now));
            }
            ProcessFault::Freezes => self.daemon = SidecarState::Frozen,
            ProcessFault::Thaws => {
                self.daemon = SidecarState::Answers;
                // The daemon takes the pause for a jump of the clock.
                self.playback.machine.jumped(reading(self.now));
            }
        }
    }

    /// Kubelet asks and acts, and what follows from that.
    fn ask(&mut self) {
        let (now, answers) = (self.now, self.daemon == SidecarState::Answers);
        let mut snapshot = self.playback.machine.snapshot(reading(now));
        if answers && self.kubelet.asks_startupz(now) {
            match self.asks.asked(now, snapshot.start_up.opened) {
                ContainerNews::None => {}
                ContainerNews::Doubt => self.playback.machine.doubt_start(now, reading(now)),
                ContainerNews::StartUp => self.playback.machine.begin_start_up(now, reading(now)),
            }
            snapshot = self.playback.machine.snapshot(reading(now));
        }
        if answers {
            self.writer.see(&snapshot);
        }
        let judged = Judged::new(&snapshot, now);
        let answer = match self.daemon {
            SidecarState::Answers => SidecarAnswer::Judged(&judged),
            SidecarState::Frozen => SidecarAnswer::Silence,
            SidecarState::Gone => SidecarAnswer::Refusal,
        };
        let actions = self.kubelet.ask(&answer, now);
        self.follow(&actions);
        self.writer.note(now, actions, self.kubelet.in_service());
        let world = &self.playback.world;
        let app = match world.serves_from {
            Some(at) if at <= now => AppState::Serves,
            Some(_) => AppState::Starts,
            None => AppState::Gone,
        };
        self.writer.see_processes(now, app, self.daemon);
    }

    /// What kubelet's acts do to the processes.
    fn follow(&mut self, actions: &[Action]) {
        let (app, sidecar) = (self.app(), sidecar(self.containers));
        for action in actions {
            let Effect::Start { again } = action.effect else { continue };
            if Some(action.container) == app {
                let takes = if again { self.process_events.starts_in } else { self.process_events.first_start };
                self.playback.world.serves_from = Some(self.now + takes);
            }
            if Some(action.container) == sidecar {
                self.start_daemon(again);
            }
        }
        if app.is_some_and(|app| !self.kubelet.is_running(app)) {
            self.leave();
        }
        if sidecar.is_some_and(|sidecar| !self.kubelet.is_running(sidecar)) {
            self.daemon = SidecarState::Gone;
        }
    }

    fn start_daemon(&mut self, again: bool) {
        let old = &mut self.playback.machine;
        let (plan, latches) = (Arc::clone(old.plan()), old.latches());
        let keeps_state = sidecar(self.containers).is_some_and(|place| {
            matches!(self.containers[place].role, ContainerRole::Sidecar { keeps_state: true, .. })
        });
        let mut machine = Machine::new(plan, "pod", reading(self.now));
        self.asks = StartupzTracker::since(self.now);
        if again && keeps_state {
            machine.restore(&latches);
            if machine.snapshot(reading(self.now)).start_up.opened {
                self.asks = StartupzTracker::after_a_restart();
            }
        }
        let script = ScenarioWorld { plan: Arc::clone(&self.playback.world.plan), ..self.playback.world };
        self.playback = Playback::new(machine, script, self.now);
        self.daemon = SidecarState::Answers;
    }

    /// The app's process is gone.
    fn leave(&mut self) {
        let world = &mut self.playback.world;
        if world.serves_from.take().is_some() {
            world.left = self.now;
        }
    }

    fn app(&self) -> Option<usize> {
        self.containers.iter().position(|container| container.role == ContainerRole::App)
    }
}

/// The place of probelet among the containers.
fn sidecar(containers: &[ProbedContainer]) -> Option<usize> {
    containers.iter().position(|container| matches!(container.role, ContainerRole::Sidecar { .. }))
}

/// The beginnings and ends of the faults within `length`, the first one last.
fn boundaries(faults: &[Fault], length: Duration) -> Vec<TimelineEvent> {
    let both = |fault: &Fault| {
        let begins = TimelineEvent { at: fault.from, what: Occurrence::FaultBegins(fault.clone()) };
        let ends = TimelineEvent { at: fault.to, what: Occurrence::FaultEnds(fault.clone()) };
        [Some(begins), Some(ends).filter(|ends| ends.at < length)]
    };
    let mut events: Vec<_> = faults.iter().flat_map(both).flatten().collect();
    events.sort_by_key(|event| event.at);
    events.reverse();
    events
}

/// What runs find: what the scenario says, and nothing of an app that does not serve.
struct ScenarioWorld<'a> {
    faults: &'a [Fault],
    plan: Arc<Plan>,
    /// From when on the present process of the app serves.
    serves_from: Option<Moment>,
    /// When its last one ended.
    left: Moment,
}

impl ScenarioWorld<'_> {
    /// Whether what the check looks at is there at `at`.
    fn is_there(&self, check: CheckIndex, at: Moment) -> bool {
        let definition = &self.plan.checks[check];
        let serves = self.serves_from.is_some_and(|from| from <= at);
        // An old beat counts for a while.
        serves || !definition.of_pod || (self.left > START && at.since(self.left) <= definition.max_age)
    }
}

impl World for ScenarioWorld<'_> {
    fn observe(&mut self, check: CheckIndex, at: Moment) -> (ProbeResult, Duration) {
        let now = at.since(START);
        let meets = |fault: &&Fault| fault.check == check && (fault.from..fault.to).contains(&now);
        match self.faults.iter().rev().find(meets).map(|fault| fault.outcome) {
            None if !self.is_there(check, at) => {
                (Err(Failure::new(FailureKind::Connect, "connection refused")), LATENCY)
            }
            None => (Ok(Pass::default()), LATENCY),
            Some(FaultKind::Slow(latency)) => (Ok(Pass::default()), latency),
            Some(FaultKind::Hang) => (Ok(Pass::default()), Duration::MAX),
            Some(FaultKind::Fail) => (Err(Failure::new(FailureKind::Connect, "down in the scenario")), LATENCY),
        }
    }
}

/// Writes the timeline while it happens.
struct TimelineWriter {
    timeline: Timeline,
    /// When a result that is fresh now will be stale, if nothing happens before.
    expires: Option<Moment>,
}

impl TimelineWriter {
    fn new(first: &Snapshot, length: Duration, containers: &[ProbedContainer]) -> Self {
        let judged = Judged::new(first, first.at);
        let start = Duration::ZERO;
        let timeline = Timeline {
            length,
            plan: Arc::clone(&first.plan),
            checks: judged.indices().map(|check| vec![(start, judged.state(check))]).collect(),
            endpoints: Endpoint::ALL.map(|endpoint| vec![(start, judged.endpoint(endpoint).verdict)]),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            app_container: containers.iter().find(|one| one.role == ContainerRole::App).map(|app| app.name.clone()),
            in_service: vec![(start, false)],
            app: vec![(start, AppState::Gone)],
            daemon: vec![(start, SidecarState::Answers)],
            refused: vec![(start, false)],
            events: Vec::new(),
        };
        Self { timeline, expires: None }
    }

    /// What holds at the start is how things begin, and no change.
    fn begin(&mut self) {
        fn last<T>(track: &mut Track<T>) {
            track.drain(..track.len() - 1);
        }
        let Timeline { in_service, app, daemon, refused, .. } = &mut self.timeline;
        last(in_service);
        last(app);
        last(daemon);
        last(refused);
    }

    fn tell(&mut self, now: Moment, what: Occurrence) {
        self.timeline.events.push(TimelineEvent { at: now.since(START), what });
    }

    /// How the processes stand, and whether traffic comes to one that does not serve.
    fn see_processes(&mut self, now: Moment, app: AppState, daemon: SidecarState) {
        let at = now.since(START);
        change(&mut self.timeline.daemon, at, daemon);
        if change(&mut self.timeline.app, at, app) == Some(AppState::Starts) && app == AppState::Serves {
            self.tell(now, Occurrence::Serves);
        }
        let in_service = self.timeline.in_service.last().is_some_and(|(_, in_service)| *in_service);
        let refused = in_service && app != AppState::Serves && !self.timeline.containers.is_empty();
        if change(&mut self.timeline.refused, at, refused).is_some() {
            self.tell(now, Occurrence::Traffic { refused });
        }
    }

    fn see(&mut self, snapshot: &Snapshot) {
        let at = snapshot.at.since(START);
        let judged = Judged::new(snapshot, snapshot.at);
        for (check, track) in judged.indices().zip(&mut self.timeline.checks) {
            let to = judged.state(check);
            if change(track, at, to).is_some() {
                let message = judged.message(check).into_owned();
                let root_causes = judged.causes_of(check);
                self.timeline
                    .events
                    .push(TimelineEvent { at, what: Occurrence::Check { check, to, message, root_causes } });
            }
        }
        for (endpoint, track) in Endpoint::ALL.into_iter().zip(&mut self.timeline.endpoints) {
            let judgement = judged.endpoint(endpoint);
            if let Some(from) = change(track, at, judgement.verdict) {
                let (to, root_causes) = (judgement.verdict, judgement.root_causes);
                self.timeline
                    .events
                    .push(TimelineEvent { at, what: Occurrence::Endpoint { endpoint, from, to, root_causes } });
            }
        }
        self.expires = next_expiry(snapshot);
    }

    fn note(&mut self, now: Moment, actions: Vec<Action>, in_service: bool) {
        let at = now.since(START);
        change(&mut self.timeline.in_service, at, in_service);
        self.timeline
            .events
            .extend(actions.into_iter().map(|action| TimelineEvent { at, what: Occurrence::Kubelet(action) }));
    }
}

/// Puts a new value on the track, and returns the one it replaces. Of two at the same moment the later one holds.
fn change<T: Copy + PartialEq>(track: &mut Track<T>, at: Duration, value: T) -> Option<T> {
    let (_, last) = *track.last()?;
    if last == value {
        return None;
    }
    track.pop_if(|(since, _)| *since == at && at > Duration::ZERO);
    if track.last().is_none_or(|(_, before)| *before != value) {
        track.push((at, value));
    }
    Some(last)
}

fn next_expiry(snapshot: &Snapshot) -> Option<Moment> {
    let expiries = snapshot
        .checks
        .iter()
        .zip(&snapshot.plan.checks)
        .filter_map(|(check, definition)| Some(check.fresh_at? + definition.stale_after + Duration::from_nanos(1)));
    expiries.filter(|at| *at > snapshot.at).min()
}

impl Timeline {
    /// What is told of each check, in the order of the plan.
    pub fn tracks(&self) -> impl Iterator<Item = (CheckIndex, &Track<JudgedState>)> {
        self.plan.indices().zip(&self.checks)
    }

    /// The name of the check at `index`.
    #[must_use]
    pub fn name(&self, index: CheckIndex) -> &str {
        self.plan.checks[index].name.as_str()
    }

    /// The names of the checks at `indices`.
    #[must_use]
    pub fn names(&self, indices: &[CheckIndex]) -> Vec<&str> {
        indices.iter().map(|index| self.name(*index)).collect()
    }

    /// The name of the app's container.
    #[must_use]
    pub fn app_name(&self) -> &str {
        self.app_container.as_deref().unwrap_or("app")
    }

    /// The spans in which what the track holds `counts`.
    pub fn spans<T: Copy>(
        &self,
        track: &Track<T>,
        counts: impl Fn(T) -> bool,
    ) -> impl Iterator<Item = (Duration, Duration)> {
        let ends = track.iter().skip(1).map(|(since, _)| *since).chain([self.length]);
        let spans: Vec<_> = track.iter().zip(ends).filter(|((_, held), _)| counts(*held)).collect();
        spans.into_iter().map(|((since, _), end)| (*since, end)).collect::<Vec<_>>().into_iter()
    }

    /// How often kubelet restarts the containers.
    #[must_use]
    pub fn restarts(&self) -> usize {
        (0..self.containers.len()).map(|container| self.restarts_of(container)).sum()
    }

    /// How often kubelet restarts one container.
    #[must_use]
    pub fn restarts_of(&self, container: usize) -> usize {
        let restarts = |event: &&TimelineEvent| match &event.what {
            Occurrence::Kubelet(Action {
                effect: Effect::Restart { .. } | Effect::Exited { .. },
                container: other,
                ..
            }) => *other == container,
            _ => false,
        };
        self.events.iter().filter(restarts).count()
    }
}

/// The track as `count` cells of equal time, each with the worst value that holds in it.
#[must_use]
pub fn cells<T: Copy>(track: &Track<T>, length: Duration, count: usize, badness: impl Fn(T) -> u8) -> Vec<T> {
    #[allow(clippy::cast_precision_loss)] // some hundred cells
    let edge = |cell: usize| length.mul_f64(cell as f64 / count.max(1) as f64);
    let mut position = 0;
    (0..count)
        .filter_map(|cell| {
            while track.get(position + 1).is_some_and(|(since, _)| *since <= edge(cell)) {
                position += 1;
            }
            let within = track[position.min(track.len())..].iter().take_while(|(since, _)| *since < edge(cell + 1));
            let first = track.get(position).map(|(_, value)| *value);
            within.map(|(_, value)| *value).chain(first).max_by_key(|value| badness(*value))
        })
        .collect()
}

/// How bad a state is, for [`cells`].
#[must_use]
pub const fn badness(state: JudgedState) -> u8 {
    match state {
        JudgedState::Fresh(State::Ok) => 0,
        JudgedState::Fresh(State::Degraded) => 1,
        JudgedState::Fresh(State::Pending) => 2,
        JudgedState::Fresh(State::Skipped) => 3,
        JudgedState::Stale => 4,
        JudgedState::Fresh(State::Error) => 5,
    }
}

/// When something that opens and closes is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Openness {
    /// When it opens for the first time.
    pub opens: Option<Duration>,
    /// How often it closes after that.
    pub closures: u32,
    /// For how long it is closed after that, in all.
    pub closed: Duration,
}

impl Openness {
    /// When `track` is open, of a timeline that goes for `length`.
    #[must_use]
    pub fn of<T: Copy>(track: &Track<T>, length: Duration, is_open: impl Fn(T) -> bool) -> Self {
        let mut openness = Self::default();
        let ends = track.iter().skip(1).map(|(since, _)| *since).chain([length]);
        let mut was_open = false;
        for ((since, value), end) in track.iter().zip(ends) {
            let open = is_open(*value);
            match openness.opens {
                None if open => openness.opens = Some(*since),
                Some(_) if !open => {
                    openness.closures += u32::from(was_open);
                    openness.closed += end.saturating_sub(*since);
                }
                _ => {}
            }
            was_open = open;
        }
        openness
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Definition, Gates};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_closes_readiness_and_its_end_opens_it_again() {
        let app = Definition { depends_on: vec![CheckIndex::new(0)], ..check("app") };
        let plan = plan(vec![check("db"), app]);
        let fault = Fault { check: CheckIndex::new(0), from: seconds(30), to: seconds(60), outcome: FaultKind::Fail };
        let timeline = play(&plan, seconds(120), &[fault], &[]);
        let words: Vec<_> = timeline
            .checks
            .iter()
            .map(|track| track.iter().map(|(_, state)| state.label()).collect::<Vec<_>>())
            .collect();
        assert_eq!(words, [vec!["pending", "ok", "error", "ok"], vec!["pending", "ok", "skipped", "pending", "ok"]]);
        let readyz = Openness::of(&timeline.endpoints[1], timeline.length, |verdict| verdict != Verdict::Error);
        assert_eq!(readyz.closures, 1);
        assert!((seconds(20)..seconds(42)).contains(&readyz.closed), "{readyz:?}");
    }

    #[test]
    fn a_result_that_grows_stale_between_two_runs_closes_readiness_for_that_time() {
        let stale_after = seconds(4);
        let timeline = play(&plan(vec![Definition { stale_after, ..check("db") }]), seconds(60), &[], &[]);
        let words: Vec<_> = timeline.checks[0].iter().map(|(_, state)| state.label()).take(6).collect();
        assert_eq!(words, ["pending", "ok", "stale", "ok", "stale", "ok"]);
        let fresh = timeline.checks[0][4].0 - timeline.checks[0][3].0;
        assert_eq!(fresh, stale_after + Duration::from_nanos(1));
    }

    #[test]
    fn a_hanging_app_is_restarted_by_kubelet_for_as_long_as_it_hangs() {
        use std::slice::from_ref;

        use crate::simulation::kubelet::SidecarProbe;
        use crate::simulation::kubelet::request::{ProbeRequest, RequestSubject};
        use crate::simulation::pod::{ProbeTiming, Purpose};
        let plan = plan(vec![Definition { gates: Gates { live: true, ..Gates::default() }, ..check("app") }]);
        let request = ProbeRequest::about(RequestSubject::Endpoint(Endpoint::Livez));
        let asking = SidecarProbe {
            purpose: Purpose::Liveness,
            timing: ProbeTiming::default(),
            request,
            fails_open: false,
            grace: None,
        };
        let app = ProbedContainer {
            name: "app".into(),
            probes: vec![asking],
            role: ContainerRole::App,
            ..ProbedContainer::default()
        };
        let fault = Fault { check: CheckIndex::new(0), from: seconds(30), to: seconds(300), outcome: FaultKind::Hang };
        assert_eq!(play(&plan, seconds(40), from_ref(&fault), from_ref(&app)).restarts(), 0);
        assert_eq!(play(&plan, seconds(75), from_ref(&fault), from_ref(&app)).restarts(), 1);
        assert!(play(&plan, seconds(300), &[fault], &[app]).restarts() >= 4);
    }

    /// A database that is shared, and the app behind it, which is on this pod and gates its life and its traffic.
    fn app_behind_a_database() -> Arc<Plan> {
        let gates = Gates { live: true, ready: true, ..Gates::default() };
        let app = Definition {
            gates,
            of_pod: true,
            interval: seconds(2),
            thresholds: crate::model::plan::Thresholds { failure: 3.try_into().unwrap(), ..Default::default() },
            depends_on: vec![CheckIndex::new(0)],
            ..check("app")
        };
        plan(vec![check("db"), app])
    }

    /// A native sidecar and an app with all probes, as our manifests have them.
    fn guarded_pod(fails_open: bool) -> Vec<ProbedContainer> {
        use crate::simulation::kubelet::SidecarProbe;
        use crate::simulation::kubelet::request::{ProbeRequest, RequestSubject};
        use crate::simulation::pod::{ProbeTiming, Purpose};
        let asking = |purpose, subject, period, failures| SidecarProbe {
            purpose,
            timing: ProbeTiming { period: seconds(period), failures, ..ProbeTiming::default() },
            request: ProbeRequest::about(subject),
            fails_open,
            grace: None,
        };
        let liveness = SidecarProbe {
            grace: Some(seconds(1)),
            fails_open: false,
            ..asking(Purpose::Liveness, RequestSubject::Daemon, 5, 2)
        };
        let sidecar = ProbedContainer {
            role: ContainerRole::Sidecar { keeps_state: true, drains: true },
            native: true,
            probes: vec![asking(Purpose::Startup, RequestSubject::Daemon, 1, 30), liveness],
            ..ProbedContainer::default()
        };
        let probes = vec![
            asking(Purpose::Startup, RequestSubject::Endpoint(Endpoint::Startupz), 2, 200),
            asking(Purpose::Liveness, RequestSubject::Endpoint(Endpoint::Livez), 10, 3),
            asking(Purpose::Readiness, RequestSubject::Endpoint(Endpoint::Readyz), 5, 1),
        ];
        vec![sidecar, ProbedContainer { role: ContainerRole::App, probes, ..ProbedContainer::default() }]
    }

    fn restarts_by_probes(timeline: &Timeline, container: usize) -> usize {
        let is_restart = |event: &&TimelineEvent| matches!(&event.what, Occurrence::Kubelet(action) if action.container == container && matches!(action.effect, Effect::Restart { .. }));
        timeline.events.iter().filter(is_restart).count()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 60, ..Default::default() })]

        #[test]
        fn an_app_that_crashes_gets_no_traffic_before_it_serves_and_is_left_to_start(
            exits in 45_000u64..120_000, starts_in in 0u64..120_000,
        ) {
            let process_events = ProcessEvents {
                exits: vec![Duration::from_millis(exits)],
                starts_in: Duration::from_millis(starts_in),
                ..ProcessEvents::default()
            };
            let timeline = play_with(&app_behind_a_database(), seconds(300), &[], &guarded_pod(false), &process_events);
            let refused: Duration = timeline.spans(&timeline.refused, |refused| refused).map(|(from, to)| to - from).sum();
            assert!(refused <= seconds(1), "until kubelet sees that it is gone: {refused:?}");
            assert_eq!(restarts_by_probes(&timeline, 1), 0);
            assert_eq!(timeline.in_service.last().map(|(_, in_service)| *in_service), Some(true));
        }

        #[test]
        fn a_sidecar_that_is_frozen_or_killed_never_restarts_the_app(
            from in 20_000u64..120_000, length in 1u64..120_000, killed in 20_000u64..250_000, fails_open in proptest::prelude::any::<bool>(),
        ) {
            let millis = Duration::from_millis;
            // A kill right after a freeze comes with a pause: together they outlast a probe that fails closed.
            let killed = if fails_open || length < 1_000 { vec![millis(killed)] } else { Vec::new() };
            let process_events = ProcessEvents { frozen: vec![(millis(from), millis(from + length))], killed, ..ProcessEvents::default() };
            let timeline = play_with(&app_behind_a_database(), seconds(300), &[], &guarded_pod(fails_open), &process_events);
            assert_eq!(restarts_by_probes(&timeline, 1), 0);
            assert_eq!(timeline.in_service.last().map(|(_, in_service)| *in_service), Some(true));
        }
    }

    #[test]
    fn a_sidecar_that_crash_loops_restarts_the_app_unless_its_probe_fails_open() {
        let process_events =
            ProcessEvents { killed: [40, 42, 53, 75, 117].map(seconds).into(), ..ProcessEvents::default() };
        for (fails_open, restarts) in [(false, 1), (true, 0)] {
            let timeline =
                play_with(&app_behind_a_database(), seconds(300), &[], &guarded_pod(fails_open), &process_events);
            assert_eq!(restarts_by_probes(&timeline, 1), restarts, "{fails_open}");
        }
    }

    #[test]
    fn hours_are_played_in_moments() {
        let checks = (0..5).map(|index| check(&format!("check-{index}"))).collect();
        let timeline = play(&plan(checks), seconds(6 * 3600), &[], &[]);
        assert_eq!(timeline.events.len(), 5 + 3, "each check passes, and what was closed opens");
    }

    #[test]
    fn a_cell_shows_the_worst_of_its_time() {
        let track = vec![(seconds(0), 0u8), (seconds(25), 2), (seconds(26), 1), (seconds(70), 0)];
        assert_eq!(cells(&track, seconds(100), 10, |value| value), [0, 0, 2, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(cells(&track, seconds(100), 1, |value| value), [2]);
    }

    #[test]
    fn closures_are_counted_after_the_first_opening() {
        let track = vec![
            (seconds(0), false),
            (seconds(5), true),
            (seconds(20), false),
            (seconds(30), true),
            (seconds(90), false),
        ];
        let expected = Openness { opens: Some(seconds(5)), closures: 2, closed: seconds(20) };
        assert_eq!(Openness::of(&track, seconds(100), |open| open), expected);
        assert_eq!(Openness::of(&vec![(seconds(0), false)], seconds(9), |open| open), Openness::default());
    }
}
