//! What happens in a scenario: the state machine of the daemon and the model of kubelet, played in virtual time.

use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Fault, FaultKind, Life};
use crate::base::clock::Moment;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;
use crate::model::start_up::{Asks, ContainerNews};
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState, Verdict};
use crate::scheduler::kubelet::{Act, Answer, Deed, Kubelet, Probed, Role};
use crate::scheduler::machine::Machine;
use crate::scheduler::playback::{Playback, World, reading};

/// How long a run takes while all is well.
const LATENCY: Duration = Duration::from_millis(10);
/// The start of the story on the boot clock of its machine.
const START: Moment = Moment::at(Duration::ZERO);

/// What happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
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
    pub app: Track<App>,
    /// How the sidecar's process stands.
    pub daemon: Track<Daemon>,
    /// Whether traffic is refused: the pod gets it, and the app does not serve.
    pub refused: Track<bool>,
    /// Everything in order.
    pub events: Vec<Event>,
}

/// A value over time: each holds from its moment until the next.
pub type Track<T> = Vec<(Duration, T)>;

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, from the start.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The script makes a target fail.
    FaultBegins(Fault),
    /// The script makes it well again.
    FaultEnds(Fault),
    /// A check changes its state.
    Check {
        /// Its position.
        check: usize,
        /// The state it enters.
        to: JudgedState,
        /// What it says.
        message: String,
        /// The failing checks from which a skip follows.
        root_causes: Vec<usize>,
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
        root_causes: Vec<usize>,
    },
    /// Kubelet does something.
    Kubelet(Act),
    /// The script does something to a process.
    Blow(Blow),
    /// The app serves from now on, after a start that took its time.
    Serves,
    /// Traffic comes to an app that does not serve, or does so no more.
    Traffic {
        /// It is refused.
        refused: bool,
    },
}

/// What the script does to the process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The app exits.
    AppExits,
    /// The sidecar is killed.
    Killed,
    /// The sidecar is frozen.
    Freezes,
    /// It goes on.
    Thaws,
}

/// How the app's process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// It serves.
    Serves,
    /// It runs, and does not serve yet.
    Starts,
    /// There is none.
    Gone,
}

/// How the sidecar's process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It answers.
    Answers,
    /// It is there and does nothing.
    Frozen,
    /// There is none.
    Gone,
}

/// How much there is to do in a story of this length: runs, times the checks that are judged after each.
#[must_use]
pub fn work(plan: &Plan, length: Duration) -> u128 {
    let runs: u128 = plan.checks.iter().map(|check| length.as_millis() / check.interval.as_millis().max(1)).sum();
    runs.saturating_mul(plan.checks.len() as u128)
}

/// Plays `length` of the daemon's life with `faults`, and kubelet with the probes of `containers`.
#[must_use]
pub fn play(plan: &Arc<Plan>, length: Duration, faults: &[Fault], containers: &[Probed]) -> Story {
    play_life(plan, length, faults, containers, &Life::default())
}

/// The same, with what happens to the processes of the containers.
#[must_use]
pub fn play_life(plan: &Arc<Plan>, length: Duration, faults: &[Fault], containers: &[Probed], life: &Life) -> Story {
    let mut simulation = Simulation::new(plan, length, faults, containers, life);
    let end = START + length;
    while simulation.now < end {
        simulation.step(end);
    }
    simulation.writer.story
}

/// Everything that moves.
struct Simulation<'a> {
    now: Moment,
    playback: Playback<Script<'a>>,
    daemon: Daemon,
    asks: Asks,
    kubelet: Kubelet,
    containers: &'a [Probed],
    life: &'a Life,
    /// What is still to come, the first one last.
    boundaries: Vec<Event>,
    blows: Vec<(Duration, Blow)>,
    writer: Writer,
}

impl<'a> Simulation<'a> {
    fn new(plan: &Arc<Plan>, length: Duration, faults: &'a [Fault], containers: &'a [Probed], life: &'a Life) -> Self {
        let app = containers.iter().position(|container| container.role == Role::App);
        let serves_from = Some(START).filter(|_| app.is_none());
        let script = Script { faults, plan: Arc::clone(plan), serves_from, left: START };
        let mut machine = Machine::new(Arc::clone(plan), "pod", reading(START));
        let first = machine.snapshot(reading(START));
        let kubelet = Kubelet::new(containers, START);
        let daemon = if sidecar(containers).is_some() { Daemon::Gone } else { Daemon::Answers };
        let mut blows = life.blows(length);
        blows.reverse();
        let mut simulation = Self {
            now: START,
            playback: Playback::new(machine, script, START),
            daemon,
            asks: Asks::since(START),
            kubelet,
            containers,
            life,
            boundaries: boundaries(faults, length),
            blows,
            writer: Writer::new(&first, length, containers),
        };
        simulation.ask();
        simulation.writer.begin();
        simulation
    }

    /// Goes on to where something happens next.
    fn step(&mut self, end: Moment) {
        let answers = self.daemon == Daemon::Answers;
        let serves_from = self.playback.world.serves_from.filter(|at| *at > self.now);
        let wakes = [
            self.playback.next_step().filter(|_| answers),
            self.boundaries.last().map(|event| START + event.at),
            self.blows.last().map(|(at, _)| START + *at),
            self.kubelet.next_wake(),
            self.writer.expires.filter(|_| answers),
            serves_from,
        ];
        let next = wakes.into_iter().flatten().min().map_or(end, |next| next.min(end)).max(self.now);
        self.now = next;
        match self.daemon {
            Daemon::Answers => self.playback.play_until(next, |_| {}),
            Daemon::Frozen | Daemon::Gone => self.playback.skip_until(next),
        }
        while let Some(event) = self.boundaries.pop_if(|event| START + event.at <= next) {
            self.writer.story.events.push(event);
        }
        while let Some((_, blow)) = self.blows.pop_if(|(at, _)| START + *at <= next) {
            self.suffer(blow);
        }
        self.ask();
    }

    /// What the scenario does to a process.
    fn suffer(&mut self, blow: Blow) {
        let (app, sidecar) = (self.app(), sidecar(self.containers));
        let struck = match (blow, self.daemon) {
            (Blow::AppExits, _) => app.is_some_and(|app| self.kubelet.is_running(app)),
            (Blow::Killed, daemon) => daemon != Daemon::Gone,
            (Blow::Freezes, daemon) => daemon == Daemon::Answers,
            (Blow::Thaws, daemon) => daemon == Daemon::Frozen,
        };
        if !struck {
            return;
        }
        self.writer.tell(self.now, What::Blow(blow));
        match blow {
            Blow::AppExits => {
                self.leave();
                app.into_iter().for_each(|app| self.kubelet.exits(app, self.now));
            }
            Blow::Killed => {
                self.daemon = Daemon::Gone;
                sidecar.into_iter().for_each(|sidecar| self.kubelet.exits(sidecar, self.now));
            }
            Blow::Freezes => self.daemon = Daemon::Frozen,
            Blow::Thaws => {
                self.daemon = Daemon::Answers;
                // The daemon takes the pause for a jump of the clock.
                self.playback.machine.jumped(reading(self.now));
            }
        }
    }

    /// Kubelet asks and acts, and what follows from that.
    fn ask(&mut self) {
        let (now, answers) = (self.now, self.daemon == Daemon::Answers);
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
            Daemon::Answers => Answer::Judged(&judged),
            Daemon::Frozen => Answer::Silence,
            Daemon::Gone => Answer::Refusal,
        };
        let acts = self.kubelet.ask(&answer, now);
        self.follow(&acts);
        self.writer.note(now, acts, self.kubelet.in_service());
        let world = &self.playback.world;
        let app = match world.serves_from {
            Some(at) if at <= now => App::Serves,
            Some(_) => App::Starts,
            None => App::Gone,
        };
        self.writer.see_processes(now, app, self.daemon);
    }

    /// What kubelet's acts do to the processes.
    fn follow(&mut self, acts: &[Act]) {
        let (app, sidecar) = (self.app(), sidecar(self.containers));
        for act in acts {
            let Deed::Start { again } = act.deed else { continue };
            if Some(act.container) == app {
                let takes = if again { self.life.starts_in } else { self.life.first_start };
                self.playback.world.serves_from = Some(self.now + takes);
            }
            if Some(act.container) == sidecar {
                self.start_daemon(again);
            }
        }
        if app.is_some_and(|app| !self.kubelet.is_running(app)) {
            self.leave();
        }
        if sidecar.is_some_and(|sidecar| !self.kubelet.is_running(sidecar)) {
            self.daemon = Daemon::Gone;
        }
    }

    fn start_daemon(&mut self, again: bool) {
        let old = &mut self.playback.machine;
        let (plan, latches) = (Arc::clone(old.plan()), old.latches());
        let keeps_state = sidecar(self.containers)
            .is_some_and(|place| matches!(self.containers[place].role, Role::Sidecar { keeps_state: true, .. }));
        let mut machine = Machine::new(plan, "pod", reading(self.now));
        self.asks = Asks::since(self.now);
        if again && keeps_state {
            machine.restore(&latches);
            if machine.snapshot(reading(self.now)).start_up.opened {
                self.asks = Asks::after_a_restart();
            }
        }
        let script = Script { plan: Arc::clone(&self.playback.world.plan), ..self.playback.world };
        self.playback = Playback::new(machine, script, self.now);
        self.daemon = Daemon::Answers;
    }

    /// The app's process is gone.
    fn leave(&mut self) {
        let world = &mut self.playback.world;
        if world.serves_from.take().is_some() {
            world.left = self.now;
        }
    }

    fn app(&self) -> Option<usize> {
        self.containers.iter().position(|container| container.role == Role::App)
    }
}

/// The place of probelet among the containers.
fn sidecar(containers: &[Probed]) -> Option<usize> {
    containers.iter().position(|container| matches!(container.role, Role::Sidecar { .. }))
}

/// The beginnings and ends of the faults within `length`, the first one last.
fn boundaries(faults: &[Fault], length: Duration) -> Vec<Event> {
    let both = |fault: &Fault| {
        let begins = Event { at: fault.from, what: What::FaultBegins(fault.clone()) };
        let ends = Event { at: fault.to, what: What::FaultEnds(fault.clone()) };
        [Some(begins), Some(ends).filter(|ends| ends.at < length)]
    };
    let mut events: Vec<_> = faults.iter().flat_map(both).flatten().collect();
    events.sort_by_key(|event| event.at);
    events.reverse();
    events
}

/// What runs find: what the scenario says, and nothing of an app that does not serve.
struct Script<'a> {
    faults: &'a [Fault],
    plan: Arc<Plan>,
    /// From when on the present process of the app serves.
    serves_from: Option<Moment>,
    /// When its last one ended.
    left: Moment,
}

impl Script<'_> {
    /// Whether what the check looks at is there at `at`.
    fn is_there(&self, check: usize, at: Moment) -> bool {
        let definition = &self.plan.checks[check];
        let serves = self.serves_from.is_some_and(|from| from <= at);
        // An old beat counts for a while.
        serves || !definition.of_pod || (self.left > START && at.since(self.left) <= definition.max_age)
    }
}

impl World for Script<'_> {
    fn observe(&mut self, check: usize, at: Moment) -> (ProbeResult, Duration) {
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

/// Writes the story while it happens.
struct Writer {
    story: Story,
    /// When a result that is fresh now will be stale, if nothing happens before.
    expires: Option<Moment>,
}

impl Writer {
    fn new(first: &Snapshot, length: Duration, containers: &[Probed]) -> Self {
        let judged = Judged::new(first, first.at);
        let start = Duration::ZERO;
        let story = Story {
            length,
            plan: Arc::clone(&first.plan),
            checks: (0..judged.len()).map(|check| vec![(start, judged.state(check))]).collect(),
            endpoints: Endpoint::ALL.map(|endpoint| vec![(start, judged.endpoint(endpoint).verdict)]),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            app_container: containers.iter().find(|one| one.role == Role::App).map(|app| app.name.clone()),
            in_service: vec![(start, false)],
            app: vec![(start, App::Gone)],
            daemon: vec![(start, Daemon::Answers)],
            refused: vec![(start, false)],
            events: Vec::new(),
        };
        Self { story, expires: None }
    }

    /// What holds at the start is how things begin, and no change.
    fn begin(&mut self) {
        fn last<T>(track: &mut Track<T>) {
            track.drain(..track.len() - 1);
        }
        let Story { in_service, app, daemon, refused, .. } = &mut self.story;
        last(in_service);
        last(app);
        last(daemon);
        last(refused);
    }

    fn tell(&mut self, now: Moment, what: What) {
        self.story.events.push(Event { at: now.since(START), what });
    }

    /// How the processes stand, and whether traffic comes to one that does not serve.
    fn see_processes(&mut self, now: Moment, app: App, daemon: Daemon) {
        let at = now.since(START);
        change(&mut self.story.daemon, at, daemon);
        if change(&mut self.story.app, at, app) == Some(App::Starts) && app == App::Serves {
            self.tell(now, What::Serves);
        }
        let in_service = self.story.in_service.last().is_some_and(|(_, in_service)| *in_service);
        let refused = in_service && app != App::Serves && !self.story.containers.is_empty();
        if change(&mut self.story.refused, at, refused).is_some() {
            self.tell(now, What::Traffic { refused });
        }
    }

    fn see(&mut self, snapshot: &Snapshot) {
        let at = snapshot.at.since(START);
        let judged = Judged::new(snapshot, snapshot.at);
        for (check, track) in self.story.checks.iter_mut().enumerate() {
            let to = judged.state(check);
            if change(track, at, to).is_some() {
                let message = judged.message(check).into_owned();
                let root_causes = judged.causes_of(check);
                self.story.events.push(Event { at, what: What::Check { check, to, message, root_causes } });
            }
        }
        for (endpoint, track) in Endpoint::ALL.into_iter().zip(&mut self.story.endpoints) {
            let judgement = judged.endpoint(endpoint);
            if let Some(from) = change(track, at, judgement.verdict) {
                let (to, root_causes) = (judgement.verdict, judgement.root_causes);
                self.story.events.push(Event { at, what: What::Endpoint { endpoint, from, to, root_causes } });
            }
        }
        self.expires = next_expiry(snapshot);
    }

    fn note(&mut self, now: Moment, acts: Vec<Act>, in_service: bool) {
        let at = now.since(START);
        change(&mut self.story.in_service, at, in_service);
        self.story.events.extend(acts.into_iter().map(|act| Event { at, what: What::Kubelet(act) }));
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

impl Story {
    /// The name of the check at `index`.
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        self.plan.checks[index].name.as_str()
    }

    /// The names of the checks at `indices`.
    #[must_use]
    pub fn names(&self, indices: &[usize]) -> Vec<&str> {
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
        let restarts = |event: &&Event| match &event.what {
            What::Kubelet(Act { deed: Deed::Restart { .. } | Deed::Exited { .. }, container: other, .. }) => {
                *other == container
            }
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
    /// When `track` is open, of a story that goes for `length`.
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
        let app = Definition { depends_on: vec![0], ..check("app") };
        let plan = plan(vec![check("db"), app]);
        let fault = Fault { check: 0, from: seconds(30), to: seconds(60), outcome: FaultKind::Fail };
        let story = play(&plan, seconds(120), &[fault], &[]);
        let words: Vec<_> =
            story.checks.iter().map(|track| track.iter().map(|(_, state)| state.label()).collect::<Vec<_>>()).collect();
        assert_eq!(words, [vec!["pending", "ok", "error", "ok"], vec!["pending", "ok", "skipped", "pending", "ok"]]);
        let readyz = Openness::of(&story.endpoints[1], story.length, |verdict| verdict != Verdict::Error);
        assert_eq!(readyz.closures, 1);
        assert!((seconds(20)..seconds(42)).contains(&readyz.closed), "{readyz:?}");
    }

    #[test]
    fn a_result_that_grows_stale_between_two_runs_closes_readiness_for_that_time() {
        let stale_after = seconds(4);
        let story = play(&plan(vec![Definition { stale_after, ..check("db") }]), seconds(60), &[], &[]);
        let words: Vec<_> = story.checks[0].iter().map(|(_, state)| state.label()).take(6).collect();
        assert_eq!(words, ["pending", "ok", "stale", "ok", "stale", "ok"]);
        let fresh = story.checks[0][4].0 - story.checks[0][3].0;
        assert_eq!(fresh, stale_after + Duration::from_nanos(1));
    }

    #[test]
    fn a_hanging_app_is_restarted_by_kubelet_for_as_long_as_it_hangs() {
        use std::slice::from_ref;

        use crate::model::pod::{Purpose, Timing};
        use crate::scheduler::kubelet::Asking;
        use crate::scheduler::kubelet::question::{Question, Subject};
        let plan = plan(vec![Definition { gates: Gates { live: true, ..Gates::default() }, ..check("app") }]);
        let question = Question::about(Subject::Endpoint(Endpoint::Livez));
        let asking =
            Asking { purpose: Purpose::Liveness, timing: Timing::default(), question, fails_open: false, grace: None };
        let app = Probed { name: "app".into(), probes: vec![asking], role: Role::App, ..Probed::default() };
        let fault = Fault { check: 0, from: seconds(30), to: seconds(300), outcome: FaultKind::Hang };
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
            depends_on: vec![0],
            ..check("app")
        };
        plan(vec![check("db"), app])
    }

    /// A native sidecar and an app with all probes, as our manifests have them.
    fn guarded_pod(fails_open: bool) -> Vec<Probed> {
        use crate::model::pod::{Purpose, Timing};
        use crate::scheduler::kubelet::Asking;
        use crate::scheduler::kubelet::question::{Question, Subject};
        let asking = |purpose, subject, period, failures| Asking {
            purpose,
            timing: Timing { period: seconds(period), failures, ..Timing::default() },
            question: Question::about(subject),
            fails_open,
            grace: None,
        };
        let liveness =
            Asking { grace: Some(seconds(1)), fails_open: false, ..asking(Purpose::Liveness, Subject::Daemon, 5, 2) };
        let sidecar = Probed {
            role: Role::Sidecar { keeps_state: true, drains: true },
            native: true,
            probes: vec![asking(Purpose::Startup, Subject::Daemon, 1, 30), liveness],
            ..Probed::default()
        };
        let probes = vec![
            asking(Purpose::Startup, Subject::Endpoint(Endpoint::Startupz), 2, 200),
            asking(Purpose::Liveness, Subject::Endpoint(Endpoint::Livez), 10, 3),
            asking(Purpose::Readiness, Subject::Endpoint(Endpoint::Readyz), 5, 1),
        ];
        vec![sidecar, Probed { role: Role::App, probes, ..Probed::default() }]
    }

    fn restarts_by_probes(story: &Story, container: usize) -> usize {
        let is_restart = |event: &&Event| matches!(&event.what, What::Kubelet(act) if act.container == container && matches!(act.deed, Deed::Restart { .. }));
        story.events.iter().filter(is_restart).count()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 60, ..Default::default() })]

        #[test]
        fn an_app_that_crashes_gets_no_traffic_before_it_serves_and_is_left_to_start(
            exits in 45_000u64..120_000, starts_in in 0u64..120_000,
        ) {
            let life = Life {
                exits: vec![Duration::from_millis(exits)],
                starts_in: Duration::from_millis(starts_in),
                ..Life::default()
            };
            let story = play_life(&app_behind_a_database(), seconds(300), &[], &guarded_pod(false), &life);
            let refused: Duration = story.spans(&story.refused, |refused| refused).map(|(from, to)| to - from).sum();
            assert!(refused <= seconds(1), "until kubelet sees that it is gone: {refused:?}");
            assert_eq!(restarts_by_probes(&story, 1), 0);
            assert_eq!(story.in_service.last().map(|(_, in_service)| *in_service), Some(true));
        }

        #[test]
        fn a_sidecar_that_is_frozen_or_killed_never_restarts_the_app(
            from in 20_000u64..120_000, length in 1u64..120_000, killed in 20_000u64..250_000, fails_open in proptest::prelude::any::<bool>(),
        ) {
            let millis = Duration::from_millis;
            // A kill right after a freeze comes with a pause: together they outlast a probe that fails closed.
            let killed = if fails_open || length < 1_000 { vec![millis(killed)] } else { Vec::new() };
            let life = Life { frozen: vec![(millis(from), millis(from + length))], killed, ..Life::default() };
            let story = play_life(&app_behind_a_database(), seconds(300), &[], &guarded_pod(fails_open), &life);
            assert_eq!(restarts_by_probes(&story, 1), 0);
            assert_eq!(story.in_service.last().map(|(_, in_service)| *in_service), Some(true));
        }
    }

    #[test]
    fn a_sidecar_that_crash_loops_restarts_the_app_unless_its_probe_fails_open() {
        let life = Life { killed: [40, 42, 53, 75, 117].map(seconds).into(), ..Life::default() };
        for (fails_open, restarts) in [(false, 1), (true, 0)] {
            let story = play_life(&app_behind_a_database(), seconds(300), &[], &guarded_pod(fails_open), &life);
            assert_eq!(restarts_by_probes(&story, 1), restarts, "{fails_open}");
        }
    }

    #[test]
    fn hours_are_played_in_moments() {
        let checks = (0..5).map(|index| check(&format!("check-{index}"))).collect();
        let story = play(&plan(checks), seconds(6 * 3600), &[], &[]);
        assert_eq!(story.events.len(), 5 + 3, "each check passes, and what was closed opens");
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
