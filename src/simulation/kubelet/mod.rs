//! A model of kubelet in virtual time: what it starts, asks and ends when, and what it does with the answers. Pure.
//!
//! It follows the prober and the pod worker of Kubernetes: native sidecars start one after the other and before the
//! rest; a start-up probe holds the other two back until it has passed; a liveness or start-up probe that has failed
//! often enough restarts its container, with pauses that double; a container whose readiness probe fails takes the pod
//! out of its Services. The pod worker does one thing at a time: while it waits for a container to end, it starts and
//! ends no other. Probes that do not ask probelet are taken to pass.

use std::time::Duration;

use request::{ProbeRequest, RequestSubject};

use super::pod::{ProbeTiming, Purpose};
use crate::base::clock::Moment;
use crate::model::verdict::{Endpoint, Judged};

pub mod command;
pub mod probed;
pub mod request;
pub mod target;

/// Kubelet looks every second whether a container has started or exited.
const NOTICE: Duration = Duration::from_secs(1);
/// The pause before the second restart; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A container that has run for so long is restarted at once again.
const FORGIVEN: Duration = Duration::from_secs(600);
/// After SIGTERM a container has this long, however little of its grace period is left.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// A container, with the probes of it that ask probelet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbedContainer {
    /// Its name.
    pub name: String,
    /// What it is to probelet.
    pub role: ContainerRole,
    /// A native sidecar: it starts before the others.
    pub native: bool,
    /// The probes.
    pub probes: Vec<SidecarProbe>,
    /// How it ends.
    pub stop: StopTiming,
}

/// What a container is to probelet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainerRole {
    /// It is the app that probelet watches.
    App,
    /// It is probelet.
    Sidecar {
        /// What it knows outlives it.
        keeps_state: bool,
        /// Its preStop hook closes `/readyz`.
        drains: bool,
    },
    /// Neither.
    #[default]
    Other,
}

/// How a container ends when kubelet ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopTiming {
    /// How long its preStop hook takes.
    pub hook: Duration,
    /// How long all of it may take.
    pub grace: Duration,
}

impl Default for StopTiming {
    fn default() -> Self {
        Self { hook: Duration::ZERO, grace: Duration::from_secs(30) }
    }
}

impl StopTiming {
    /// How long it takes to end within `grace`: after the hook at once, but for one that hangs.
    fn takes(self, grace: Duration, hangs: bool) -> Duration {
        if !hangs {
            self.hook.min(grace)
        } else if self.hook.is_zero() {
            grace.max(LEAST_GRACE)
        } else {
            // A hook that asks what hangs waits as well.
            grace + LEAST_GRACE
        }
    }
}

/// A probe that asks probelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarProbe {
    /// What kubelet does with the answer.
    pub purpose: Purpose,
    /// When it asks.
    pub timing: ProbeTiming,
    /// What it asks.
    pub request: ProbeRequest,
    /// It passes while probelet cannot be reached.
    pub fails_open: bool,
    /// How long the container has to end when this probe restarts it, where that is not the pod's own time.
    pub grace: Option<Duration>,
}

/// What probelet answers to a probe.
#[derive(Clone, Copy, Debug)]
pub enum SidecarAnswer<'a> {
    /// By this.
    Judged(&'a Judged<'a>),
    /// Nothing: it hangs.
    Silence,
    /// Nobody listens.
    Refusal,
}

impl SidecarProbe {
    fn passes(&self, answer: &SidecarAnswer<'_>) -> bool {
        match answer {
            SidecarAnswer::Judged(judged) => self.request.passes(judged),
            SidecarAnswer::Silence | SidecarAnswer::Refusal => self.fails_open,
        }
    }
}

/// What kubelet does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The container, by its position.
    pub container: usize,
    /// What happens to it.
    pub effect: Effect,
    /// Whether the pod is in its Services from now on, where this changes it.
    pub in_service: Option<bool>,
}

/// What kubelet does to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It starts it.
    Start {
        /// Not for the first time.
        again: bool,
    },
    /// Its start-up probe has passed.
    Started,
    /// It gets traffic.
    Ready,
    /// It gets none.
    NotReady,
    /// It is ended, to be started again.
    Restart {
        /// The probe that asked for it.
        purpose: Purpose,
        /// How long it takes to end.
        takes: Duration,
        /// How long kubelet waits then before it starts it again.
        pause: Duration,
    },
    /// It has exited by itself, and is to be started again.
    Exited {
        /// How long kubelet waits before it does.
        pause: Duration,
    },
}

/// Kubelet, with the containers of one pod.
#[derive(Clone, Debug)]
pub struct Kubelet {
    containers: Vec<ContainerStatus>,
    in_service: bool,
}

#[derive(Clone, Debug)]
struct ContainerStatus {
    native: bool,
    is_probelet: bool,
    workers: Vec<ProbeWorker>,
    stop: StopTiming,
    state: ContainerState,
    /// When it was started.
    runs_from: Moment,
    pause: Duration,
    starts: u32,
    restarts: u32,
    started: bool,
    ready: bool,
    /// The probe that wants it restarted.
    condemned: Option<(Purpose, Option<Duration>)>,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContainerState {
    /// The native sidecars before it have not started.
    Waiting,
    /// It is to be started then.
    Pausing(Moment),
    Running,
    /// Kubelet waits until then for its end.
    Stopping(Moment),
    /// It has exited, and kubelet sees it then.
    Gone {
        at: Moment,
        seen: Moment,
    },
}

#[derive(Clone, Debug)]
struct ProbeWorker {
    asking: SidecarProbe,
    next: Moment,
    last: Option<bool>,
    streak: u32,
}

impl Kubelet {
    /// Kubelet at `start`, when the pod comes. The first [`ask`](Self::ask) starts its containers.
    #[must_use]
    pub fn new(containers: &[ProbedContainer], start: Moment) -> Self {
        Self {
            containers: containers.iter().map(|container| ContainerStatus::new(container, start)).collect(),
            in_service: false,
        }
    }

    /// When it has something to do next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let is_busy = self.is_busy();
        self.containers.iter().filter_map(|container| container.next_wake(is_busy)).min()
    }

    /// Whether the pod is in its Services.
    #[must_use]
    pub const fn in_service(&self) -> bool {
        self.in_service
    }

    /// How often the container has been restarted.
    #[must_use]
    pub fn restarts(&self, container: usize) -> u32 {
        self.containers[container].restarts
    }

    /// Whether a process of the container runs.
    #[must_use]
    pub fn is_running(&self, container: usize) -> bool {
        matches!(self.containers[container].state, ContainerState::Running | ContainerState::Stopping(_))
    }

    /// The process of the container exits by itself.
    pub fn exits(&mut self, container: usize, now: Moment) {
        let container = &mut self.containers[container];
        if container.state == ContainerState::Running {
            container.state = ContainerState::Gone { at: now, seen: now + NOTICE };
        }
    }

    /// Whether a start-up probe asks `/startupz` now.
    #[must_use]
    pub fn asks_startupz(&self, now: Moment) -> bool {
        let startupz = RequestSubject::Endpoint(Endpoint::Startupz);
        self.containers.iter().any(|container| {
            let mut workers = container.workers.iter();
            workers.any(|worker| worker.asking.request.subject == startupz && container.is_asking(worker, now))
        })
    }

    /// Does everything that is due, and tells what follows.
    pub fn ask(&mut self, answer: &SidecarAnswer<'_>, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.work(answer, now, &mut actions);
        for container in 0..self.containers.len() {
            let effects = self.containers[container].ask(answer, now);
            self.tell(container, effects, &mut actions);
        }
        // What the probes have found.
        self.work(answer, now, &mut actions);
        actions
    }

    fn tell(&mut self, container: usize, effects: Vec<Effect>, actions: &mut Vec<Action>) {
        for effect in effects {
            let all_ready = self.containers.iter().all(|container| container.ready);
            let changed = matches!(effect, Effect::Ready | Effect::NotReady) && self.in_service != all_ready;
            if changed {
                self.in_service = all_ready;
            }
            actions.push(Action { container, effect, in_service: changed.then_some(all_ready) });
        }
    }

    fn is_busy(&self) -> bool {
        self.containers.iter().any(|container| matches!(container.state, ContainerState::Stopping(_)))
    }

    /// What the pod worker does: it ends what is to be restarted, one after the other, and starts what is to run.
    fn work(&mut self, answer: &SidecarAnswer<'_>, now: Moment, actions: &mut Vec<Action>) {
        loop {
            let mut effects = Vec::new();
            let ended = self.containers.iter().position(|container| container.has_ended(now));
            let condemned = self.containers.iter().position(ContainerStatus::is_condemned).filter(|_| !self.is_busy());
            let startable = (0..self.containers.len()).find(|place| self.is_to_start(*place, now));
            let container = match (ended, condemned, startable) {
                (Some(place), ..) => {
                    self.containers[place].end(&mut effects);
                    place
                }
                (None, Some(place), _) => {
                    self.containers[place].stop(matches!(answer, SidecarAnswer::Silence), now, &mut effects);
                    place
                }
                (None, None, Some(place)) => {
                    self.containers[place].begin(now, &mut effects);
                    place
                }
                (None, None, None) => return,
            };
            self.tell(container, effects, actions);
        }
    }

    fn is_to_start(&self, place: usize, now: Moment) -> bool {
        let is_up = |before: &ContainerStatus| !before.native || before.started;
        match self.containers[place].state {
            _ if self.is_busy() => false,
            ContainerState::Waiting => self.containers[..place].iter().all(is_up),
            ContainerState::Pausing(until) => until <= now,
            ContainerState::Running | ContainerState::Stopping(_) | ContainerState::Gone { .. } => false,
        }
    }
}

impl ContainerStatus {
    fn new(container: &ProbedContainer, start: Moment) -> Self {
        let mut probes = container.probes.clone();
        probes.sort_by_key(|asking| asking.purpose as usize);
        let worker = |asking| ProbeWorker { asking, next: start, last: None, streak: 0 };
        Self {
            native: container.native,
            is_probelet: matches!(container.role, ContainerRole::Sidecar { .. }),
            workers: probes.into_iter().map(worker).collect(),
            stop: container.stop,
            state: ContainerState::Waiting,
            runs_from: start,
            pause: Duration::ZERO,
            starts: 0,
            restarts: 0,
            started: false,
            ready: false,
            condemned: None,
        }
    }

    fn next_wake(&self, is_busy: bool) -> Option<Moment> {
        let readiness = || self.workers.iter().filter(|worker| worker.asking.purpose == Purpose::Readiness);
        match self.state {
            ContainerState::Waiting => None,
            ContainerState::Pausing(_) if is_busy => None,
            ContainerState::Pausing(until) => Some(until),
            ContainerState::Running => self.workers.iter().map(|worker| worker.next).min(),
            ContainerState::Stopping(ends) => readiness().map(|worker| worker.next).chain([ends]).min(),
            ContainerState::Gone { seen, .. } => Some(seen),
        }
    }

    /// A new container runs: what is not probed holds at once.
    fn begin(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Start { again: self.starts > 0 });
        self.starts += 1;
        (self.state, self.runs_from) = (ContainerState::Running, now);
        self.started = !self.has(Purpose::Startup);
        for worker in &mut self.workers {
            (worker.next, worker.last, worker.streak) = (self.runs_from + NOTICE, None, 0);
        }
        if self.started && !self.has(Purpose::Readiness) {
            self.set_ready(true, effects);
        }
    }

    fn has(&self, purpose: Purpose) -> bool {
        self.workers.iter().any(|worker| worker.asking.purpose == purpose)
    }

    fn is_condemned(&self) -> bool {
        self.condemned.is_some() && self.state == ContainerState::Running
    }

    fn has_ended(&self, now: Moment) -> bool {
        match self.state {
            ContainerState::Stopping(ends) => ends <= now,
            ContainerState::Gone { seen, .. } => seen <= now,
            ContainerState::Waiting | ContainerState::Pausing(_) | ContainerState::Running => false,
        }
    }

    fn ask(&mut self, answer: &SidecarAnswer<'_>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for index in 0..self.workers.len() {
            let Some((purpose, passes)) = self.believed(index, answer, now) else { continue };
            match (purpose, passes) {
                (Purpose::Startup, true) => self.start(now, &mut effects),
                (Purpose::Readiness, _) => self.set_ready(passes, &mut effects),
                (Purpose::Liveness, true) => {}
                (Purpose::Startup | Purpose::Liveness, false) => {
                    self.condemned = Some((purpose, self.workers[index].asking.grace));
                }
            }
        }
        effects
    }

    /// Whether the probe asks at `now`.
    fn is_asking(&self, worker: &ProbeWorker, now: Moment) -> bool {
        let SidecarProbe { purpose, timing, .. } = &worker.asking;
        let is_alive = match self.state {
            // A probe that wants the container restarted waits for the new one.
            ContainerState::Running => self.condemned.is_none() || *purpose == Purpose::Readiness,
            ContainerState::Stopping(_) => *purpose == Purpose::Readiness,
            ContainerState::Waiting | ContainerState::Pausing(_) | ContainerState::Gone { .. } => false,
        };
        let is_young = now.since(self.runs_from) < timing.initial_delay;
        is_alive && !is_young && worker.next <= now && self.started != (*purpose == Purpose::Startup)
    }

    /// What the probe at `index` makes kubelet believe now, if it is due and has said so often enough.
    fn believed(&mut self, index: usize, answer: &SidecarAnswer<'_>, now: Moment) -> Option<(Purpose, bool)> {
        let asks = self.is_asking(&self.workers[index], now);
        let worker = &mut self.workers[index];
        let SidecarProbe { purpose, timing, .. } = worker.asking;
        while worker.next <= now {
            worker.next = worker.next + timing.period;
        }
        if !asks {
            return None;
        }
        let passes = worker.asking.passes(answer);
        worker.streak = if worker.last == Some(passes) { worker.streak.saturating_add(1) } else { 1 };
        worker.last = Some(passes);
        let wanted = if passes { timing.successes } else { timing.failures };
        (worker.streak >= wanted).then_some((purpose, passes))
    }

    /// The start-up probe has passed: the readiness probe asks at once.
    fn start(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.started = true;
        effects.push(Effect::Started);
        match self.workers.iter_mut().find(|worker| worker.asking.purpose == Purpose::Readiness) {
            Some(worker) => worker.next = now,
            None => self.set_ready(true, effects),
        }
    }

    fn set_ready(&mut self, ready: bool, effects: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.ready, ready) != ready {
            effects.push(if ready { Effect::Ready } else { Effect::NotReady });
        }
    }

    /// Kubelet begins to end it.
    fn stop(&mut self, hangs: bool, now: Moment, effects: &mut Vec<Effect>) {
        let Some((purpose, grace)) = self.condemned.take() else { return };
        let takes = self.stop.takes(grace.unwrap_or(self.stop.grace), hangs && self.is_probelet);
        self.lengthen_pause(now);
        effects.push(Effect::Restart { purpose, takes, pause: self.pause });
        self.state = ContainerState::Stopping(now + takes);
    }

    /// It has ended, and waits for its next start.
    fn end(&mut self, effects: &mut Vec<Effect>) {
        let ended = match self.state {
            ContainerState::Stopping(ended) => ended,
            ContainerState::Gone { at, .. } => {
                self.lengthen_pause(at);
                effects.push(Effect::Exited { pause: self.pause });
                at
            }
            ContainerState::Waiting | ContainerState::Pausing(_) | ContainerState::Running => return,
        };
        self.set_ready(false, effects);
        (self.state, self.started, self.condemned) = (ContainerState::Pausing(ended + self.pause), false, None);
    }

    fn lengthen_pause(&mut self, now: Moment) {
        let forgiven = self.restarts == 0 || now.since(self.runs_from) >= FORGIVEN;
        let doubled = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause = if forgiven { Duration::ZERO } else { doubled };
        self.restarts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Definition, Gates};
    use crate::model::snapshot::Snapshot;
    use crate::model::state::State;
    use crate::scheduler::machine::Machine;
    use crate::simulation::playback::reading;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// One check, `app`, that gates everything and is as `open` says.
    fn snapshot(open: bool, at: Moment) -> Snapshot {
        let gates = Gates { live: true, ready: true, startup: true };
        let mut snapshot =
            Machine::new(plan(vec![Definition { gates, ..check("app") }]), "", reading(at)).snapshot(reading(at));
        let state = if open { State::Ok } else { State::Error };
        let app = std::sync::Arc::make_mut(&mut snapshot.checks[0]);
        (app.state, app.passed_once, app.fresh_at) = (state, true, Some(at));
        snapshot
    }

    /// What kubelet does in `end` seconds to containers with these probes, while every endpoint is closed in the spans
    /// `closed`; as `second container deed`.
    fn actions(containers: &[&[(Purpose, ProbeTiming)]], closed: &[(f64, f64)], end: f64) -> Vec<String> {
        let first = snapshot(true, Moment::default());
        let judged = Judged::new(&first, Moment::default());
        let asking = |(purpose, timing): &(Purpose, ProbeTiming)| SidecarProbe {
            purpose: *purpose,
            timing: *timing,
            request: ProbeRequest::of(purpose.path(), &judged),
            fails_open: false,
            grace: None,
        };
        let probed = |probes: &&[(Purpose, ProbeTiming)]| ProbedContainer {
            probes: probes.iter().map(asking).collect(),
            ..ProbedContainer::default()
        };
        let probed: Vec<_> = containers.iter().map(probed).collect();
        played(&probed, closed, &[], end)
    }

    /// The same, with containers that exit by themselves at a second.
    fn played(containers: &[ProbedContainer], closed: &[(f64, f64)], exits: &[(usize, f64)], end: f64) -> Vec<String> {
        let mut kubelet = Kubelet::new(containers, Moment::default());
        let mut exits = exits.iter().rev().copied().collect::<Vec<_>>();
        let mut next = Some(Moment::default());
        let mut lines = Vec::new();
        while let Some(now) = next.filter(|now| now.since_boot() <= seconds(end)) {
            let second = now.since_boot().as_secs_f64();
            while let Some((container, _)) = exits.pop_if(|(_, at)| *at <= second) {
                kubelet.exits(container, now);
            }
            let open = !closed.iter().any(|(from, to)| (*from..*to).contains(&second));
            for action in kubelet.ask(&SidecarAnswer::Judged(&Judged::new(&snapshot(open, now), now)), now) {
                let effect = match action.effect {
                    Effect::Start { again: false } => continue,
                    Effect::Start { again: true } => "start".into(),
                    Effect::Started => "started".into(),
                    Effect::Ready => "ready".into(),
                    Effect::NotReady => "not ready".into(),
                    Effect::Exited { pause } => format!("exited, start after {pause:?}"),
                    Effect::Restart { purpose, takes, pause } if takes.is_zero() => {
                        format!("restart by {} after {pause:?}", purpose.label())
                    }
                    Effect::Restart { purpose, takes, pause } => {
                        format!("restart by {} within {takes:?} after {pause:?}", purpose.label())
                    }
                };
                let service = match action.in_service {
                    Some(true) => ", in",
                    Some(false) => ", out",
                    None => "",
                };
                lines.push(format!("{second} {} {effect}{service}", action.container));
            }
            next = kubelet.next_wake().into_iter().chain(exits.last().map(|(_, at)| Moment::at(seconds(*at)))).min();
        }
        lines
    }

    fn every(period: f64, failures: u32) -> ProbeTiming {
        ProbeTiming { period: seconds(period), failures, ..ProbeTiming::default() }
    }

    #[test]
    fn readiness_takes_the_pod_out_after_its_failures_and_back_after_its_passes() {
        let twice = ProbeTiming { successes: 2, ..ProbeTiming::default() };
        let lines = actions(&[&[(Purpose::Readiness, twice)]], &[(20.0, 60.0)], 100.0);
        assert_eq!(lines, ["11 0 ready, in", "41 0 not ready, out", "71 0 ready, in"]);
    }

    #[test]
    fn fewer_failures_than_the_threshold_do_nothing() {
        let lines = actions(&[&[(Purpose::Readiness, every(10.0, 3))]], &[(20.0, 40.0)], 100.0);
        assert_eq!(lines, ["1 0 ready, in"]);
    }

    #[test]
    fn a_startup_probe_holds_the_others_back_and_readiness_asks_at_once_after_it() {
        let probes = [
            (Purpose::Liveness, every(2.0, 1)),
            (Purpose::Readiness, every(10.0, 1)),
            (Purpose::Startup, every(5.0, 9)),
        ];
        let lines = actions(&[&probes], &[(0.0, 14.0)], 60.0);
        assert_eq!(lines, ["16 0 started", "16 0 ready, in"]);
    }

    #[test]
    fn an_initial_delay_is_counted_from_the_start_of_the_container() {
        let late = ProbeTiming { initial_delay: seconds(15.0), ..every(10.0, 1) };
        assert_eq!(actions(&[&[(Purpose::Readiness, late)]], &[], 30.0), ["21 0 ready, in"]);
    }

    #[test]
    fn liveness_restarts_the_container_and_pauses_longer_each_time() {
        let probes = [(Purpose::Liveness, every(10.0, 3)), (Purpose::Readiness, every(10.0, 1))];
        let lines = actions(&[&probes], &[(30.0, 120.0)], 200.0);
        assert_eq!(
            lines,
            [
                "1 0 ready, in",
                "31 0 not ready, out",
                "51 0 restart by liveness after 0ns",
                "51 0 start",
                "72 0 restart by liveness after 10s",
                "82 0 start",
                "103 0 restart by liveness after 20s",
                "123 0 start",
                "124 0 ready, in",
            ]
        );
    }

    #[test]
    fn a_startup_probe_that_runs_out_restarts_the_container() {
        let lines = actions(&[&[(Purpose::Startup, every(10.0, 3))]], &[(0.0, 40.0)], 60.0);
        assert_eq!(lines, ["21 0 restart by startup after 0ns", "21 0 start", "42 0 started", "42 0 ready, in"]);
    }

    #[test]
    fn the_pod_is_in_its_services_while_all_containers_are_ready() {
        let lines = actions(
            &[&[(Purpose::Readiness, every(10.0, 1))], &[(Purpose::Readiness, every(7.0, 1))]],
            &[(5.0, 30.0)],
            60.0,
        );
        assert_eq!(
            lines,
            ["1 0 ready", "1 1 ready, in", "8 1 not ready, out", "11 0 not ready", "31 0 ready", "36 1 ready, in",]
        );
    }

    #[test]
    fn a_restart_without_a_readiness_probe_is_a_moment_out_of_the_services() {
        let lines = actions(&[&[(Purpose::Liveness, every(10.0, 1))]], &[(10.0, 12.0)], 60.0);
        assert_eq!(
            lines,
            [
                "0 0 ready, in",
                "11 0 restart by liveness after 0ns",
                "11 0 not ready, out",
                "11 0 start",
                "11 0 ready, in"
            ]
        );
    }

    #[test]
    fn a_pod_without_probes_is_ready_at_once_and_never_woken_for() {
        let first = snapshot(true, Moment::default());
        let mut kubelet = Kubelet::new(&[ProbedContainer::default()], Moment::default());
        kubelet.ask(&SidecarAnswer::Judged(&Judged::new(&first, Moment::default())), Moment::default());
        assert!(kubelet.in_service());
        assert_eq!(kubelet.next_wake(), None);
    }

    /// A native sidecar that is probelet, and an app behind it, with the purposes that each probes.
    fn pod(sidecar: &[(Purpose, ProbeTiming)], app: &[(Purpose, ProbeTiming)]) -> [ProbedContainer; 2] {
        let first = snapshot(true, Moment::default());
        let judged = Judged::new(&first, Moment::default());
        let asks = |path: Option<&str>, (purpose, timing): &(Purpose, ProbeTiming)| SidecarProbe {
            purpose: *purpose,
            timing: *timing,
            request: ProbeRequest::of(path.unwrap_or_else(|| purpose.path()), &judged),
            fails_open: false,
            grace: None,
        };
        let sidecar = sidecar.iter().map(|probe| asks(Some("/-/healthy"), probe)).collect();
        let app = app.iter().map(|probe| asks(None, probe)).collect();
        [
            ProbedContainer {
                role: ContainerRole::Sidecar { keeps_state: false, drains: false },
                native: true,
                probes: sidecar,
                ..ProbedContainer::default()
            },
            ProbedContainer { role: ContainerRole::App, probes: app, ..ProbedContainer::default() },
        ]
    }

    #[test]
    fn the_app_starts_once_the_native_sidecar_has_started() {
        let pod = pod(&[(Purpose::Startup, every(5.0, 9))], &[(Purpose::Readiness, every(10.0, 1))]);
        let lines = played(&pod, &[], &[], 20.0);
        assert_eq!(lines, ["1 0 started", "1 0 ready", "2 1 ready, in"]);
    }

    #[test]
    fn a_container_that_exits_is_started_again_with_pauses_that_double_and_are_forgiven() {
        let pod = pod(&[], &[(Purpose::Readiness, every(1.0, 1))]);
        let lines = played(&pod, &[], &[(1, 20.0), (1, 30.0), (1, 700.0)], 720.0);
        assert_eq!(
            lines,
            [
                "0 0 ready",
                "1 1 ready, in",
                "21 1 exited, start after 0ns",
                "21 1 not ready, out",
                "21 1 start",
                "22 1 ready, in",
                "31 1 exited, start after 10s",
                "31 1 not ready, out",
                "40 1 start",
                "41 1 ready, in",
                "701 1 exited, start after 0ns",
                "701 1 not ready, out",
                "701 1 start",
                "702 1 ready, in",
            ]
        );
    }

    #[test]
    fn a_native_sidecar_counts_for_the_readiness_of_the_pod() {
        let lines = played(&pod(&[], &[]), &[], &[(0, 20.0)], 60.0);
        assert_eq!(
            lines,
            [
                "0 0 ready",
                "0 1 ready, in",
                "21 0 exited, start after 0ns",
                "21 0 not ready, out",
                "21 0 start",
                "21 0 ready, in"
            ]
        );
    }

    /// What a sidecar that hangs from second 20 on does to the app, with its liveness probe and its time to end.
    fn hanging(liveness: ProbeTiming, grace: Option<Duration>) -> Vec<String> {
        let mut pod = pod(&[(Purpose::Liveness, liveness)], &[(Purpose::Liveness, every(10.0, 3))]);
        pod[0].probes[0].grace = grace;
        pod[0].stop.hook = seconds(5.0);
        let mut kubelet = Kubelet::new(&pod, Moment::default());
        let (mut next, mut hangs, mut lines) = (Some(Moment::default()), true, Vec::new());
        while let Some(now) = next.filter(|now| now.since_boot() <= seconds(120.0)) {
            let well = snapshot(true, now);
            let judged = Judged::new(&well, now);
            let silent = hangs && now.since_boot() >= seconds(20.0);
            for action in
                kubelet.ask(&if silent { SidecarAnswer::Silence } else { SidecarAnswer::Judged(&judged) }, now)
            {
                hangs &= action != Action { container: 0, effect: Effect::Start { again: true }, in_service: None };
                if matches!(action.effect, Effect::Restart { .. }) {
                    lines.push(format!("{} {}", now.since_boot().as_secs_f64(), action.container));
                }
            }
            next = kubelet.next_wake();
        }
        lines
    }

    #[test]
    fn a_sidecar_that_hangs_takes_the_app_with_it_unless_it_ends_soon() {
        assert_eq!(hanging(every(10.0, 3), None), ["41 0", "73 1"], "it holds the pod worker, and the app is next");
        assert_eq!(hanging(every(5.0, 2), None), ["26 0", "58 1"]);
        assert_eq!(hanging(every(5.0, 2), Some(seconds(1.0))), ["26 0"]);
    }

    #[test]
    fn what_fails_open_passes_while_nobody_answers() {
        let mut pod = pod(&[], &[(Purpose::Liveness, every(10.0, 1))]);
        pod[1].probes[0].fails_open = true;
        let mut kubelet = Kubelet::new(&pod, Moment::default());
        let mut next = Some(Moment::default());
        while let Some(now) = next.filter(|now| now.since_boot() <= seconds(60.0)) {
            let actions = kubelet.ask(&SidecarAnswer::Refusal, now);
            assert!(actions.iter().all(|action| !matches!(action.effect, Effect::Restart { .. })));
            next = kubelet.next_wake();
        }
    }
}
