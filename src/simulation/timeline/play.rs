//! Plays a scenario: the machine, the world, kubelet and the processes, from one moment at which something happens to the
//! next.

use std::sync::Arc;
use std::time::Duration;

use super::world::{START, ScenarioWorld};
use super::writer::TimelineWriter;
use super::{AppState, Occurrence, SidecarState, Timeline, TimelineEvent};
use crate::base::clock::Moment;
use crate::model::plan::Plan;
use crate::model::start_up::{ContainerNews, StartupzTracker};
use crate::model::verdict::Judged;
use crate::scheduler::machine::Machine;
use crate::simulation::kubelet::{Action, ContainerRole, Effect, Kubelet, ProbedContainer, SidecarAnswer};
use crate::simulation::playback::{Playback, reading};
use crate::simulation::scenario::{Fault, ProcessEvents, ProcessFault};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::index::CheckIndex;
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Definition, Gates};
    use crate::model::verdict::testing::looks_of;
    use crate::model::verdict::{Endpoint, Verdict};
    use crate::simulation::scenario::FaultKind;
    use crate::simulation::timeline::Openness;

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

    #[test]
    fn an_outage_before_four_times_as_many_checks_costs_four_times_as_many_looks() {
        // From the time on when all have passed.
        let looks = |count: usize, parents: fn(usize) -> Vec<usize>| {
            let behind = |at: usize| Definition { depends_on: indices(&parents(at)), ..check(&format!("c{at}")) };
            let plan = plan((0..count).map(behind).collect());
            let fault =
                Fault { check: CheckIndex::new(0), from: seconds(60), to: seconds(100), outcome: FaultKind::Fail };
            let until = |end| looks_of(|| play(&plan, seconds(end), std::slice::from_ref(&fault), &[])).0;
            until(95) - until(50)
        };
        let shapes: [fn(usize) -> Vec<usize>; 4] = [
            |_| Vec::new(),
            |at| at.checked_sub(1).into_iter().collect(),
            |at| (at > 0).then_some(0).into_iter().collect(),
            |at| (at % 2 == 1).then(|| at - 1).into_iter().collect(),
        ];
        for parents in shapes {
            let (few, many) = (looks(64, parents), looks(256, parents));
            assert!(many < 6 * few + 100, "{few} {many}");
        }
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
}
