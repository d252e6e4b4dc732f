//! One container over time: when it is asked, what its probes come to, and how long it waits for its next start.

use std::time::Duration;

use super::stop::StopTiming;
use super::{ContainerRole, Effect, ProbedContainer, SidecarAnswer, SidecarProbe};
use crate::base::clock::Moment;
use crate::simulation::pod::Purpose;

/// Kubelet looks every second whether a container has started or exited.
pub(super) const NOTICE: Duration = Duration::from_secs(1);
/// Kubelet's backoff (`CrashLoopBackOff`): the pause before the second restart, which doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause of the backoff.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A container that has run for so long is restarted at once again.
const FORGIVEN: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub(super) struct ContainerStatus {
    pub(super) native: bool,
    is_probelet: bool,
    pub(super) workers: Vec<ProbeWorker>,
    stop: StopTiming,
    pub(super) state: ContainerState,
    /// When it was started.
    runs_from: Moment,
    pause: Duration,
    starts: u32,
    pub(super) restarts: u32,
    pub(super) started: bool,
    pub(super) ready: bool,
    /// The probe that wants it restarted.
    condemned: Option<(Purpose, Option<Duration>)>,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerState {
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
pub(super) struct ProbeWorker {
    pub(super) asking: SidecarProbe,
    next: Moment,
    last: Option<bool>,
    streak: u32,
}

impl ContainerStatus {
    pub(super) fn new(container: &ProbedContainer, start: Moment) -> Self {
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

    pub(super) fn next_wake(&self, is_busy: bool) -> Option<Moment> {
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
    pub(super) fn begin(&mut self, now: Moment, effects: &mut Vec<Effect>) {
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

    pub(super) fn is_condemned(&self) -> bool {
        self.condemned.is_some() && self.state == ContainerState::Running
    }

    pub(super) fn has_ended(&self, now: Moment) -> bool {
        match self.state {
            ContainerState::Stopping(ends) => ends <= now,
            ContainerState::Gone { seen, .. } => seen <= now,
            ContainerState::Waiting | ContainerState::Pausing(_) | ContainerState::Running => false,
        }
    }

    pub(super) fn ask(&mut self, answer: &SidecarAnswer<'_>, now: Moment) -> Vec<Effect> {
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
    pub(super) fn is_asking(&self, worker: &ProbeWorker, now: Moment) -> bool {
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
    pub(super) fn stop(&mut self, hangs: bool, now: Moment, effects: &mut Vec<Effect>) {
        let Some((purpose, grace)) = self.condemned.take() else { return };
        let takes = self.stop.takes(grace.unwrap_or(self.stop.grace), hangs && self.is_probelet);
        self.lengthen_pause(now);
        effects.push(Effect::Restart { purpose, takes, pause: self.pause });
        self.state = ContainerState::Stopping(now + takes);
    }

    /// It has ended, and waits for its next start.
    pub(super) fn end(&mut self, effects: &mut Vec<Effect>) {
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
