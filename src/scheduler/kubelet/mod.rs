//! A model of kubelet's probes in virtual time: what it asks when, and what it does with the answers. Pure.
//!
//! It follows the prober of Kubernetes: a start-up probe holds the other two back until it has passed; a liveness or
//! start-up probe that has failed often enough restarts its container and waits for the new one; a container whose
//! readiness probe fails takes the pod out of its Services. Probes that do not ask probelet are taken to pass.

use std::time::Duration;

use question::Question;

use crate::base::clock::Moment;
use crate::model::pod::{Purpose, Timing};
use crate::model::verdict::Judged;

pub mod aim;
pub mod command;
pub mod question;

/// Kubelet looks every second whether a container has started; its probes begin then.
const NOTICE: Duration = Duration::from_secs(1);
/// The pause before the second restart; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A container that has run for so long is restarted at once again.
const FORGIVEN: Duration = Duration::from_secs(600);

/// A container, with the probes of it that ask probelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Its name.
    pub name: String,
    /// The probes.
    pub probes: Vec<Asking>,
}

/// A probe that asks probelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// What kubelet does with the answer.
    pub purpose: Purpose,
    /// When it asks.
    pub timing: Timing,
    /// What it asks.
    pub question: Question,
}

/// What kubelet does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The container, by its position.
    pub container: usize,
    /// What happens to it.
    pub deed: Deed,
    /// Whether the pod is in its Services from now on, where this changes it.
    pub in_service: Option<bool>,
}

/// What kubelet does to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Its start-up probe has passed.
    Started,
    /// It gets traffic.
    Ready,
    /// It gets none.
    NotReady,
    /// It is killed and started again.
    Restart {
        /// The probe that asked for it.
        purpose: Purpose,
        /// How long kubelet waits before it starts it again.
        pause: Duration,
    },
}

/// Kubelet, with the containers of one pod.
#[derive(Clone, Debug)]
pub struct Kubelet {
    containers: Vec<Watched>,
    in_service: bool,
}

#[derive(Clone, Debug)]
struct Watched {
    workers: Vec<Worker>,
    /// When it was started, or will be after the pause of a restart.
    runs_from: Moment,
    running: bool,
    pause: Duration,
    restarts: u32,
    started: bool,
    ready: bool,
}

#[derive(Clone, Debug)]
struct Worker {
    asking: Asking,
    next: Moment,
    last: Option<bool>,
    streak: u32,
}

impl Kubelet {
    /// Kubelet at `start`, when all containers start.
    #[must_use]
    pub fn new(containers: &[Probed], start: Moment) -> Self {
        let containers: Vec<_> = containers.iter().map(|container| Watched::new(container, start)).collect();
        let in_service = containers.iter().all(|container| container.ready);
        Self { containers, in_service }
    }

    /// When it has something to do next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        self.containers.iter().filter_map(Watched::next_wake).min()
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

    /// Asks everything that is due, and tells what follows.
    pub fn ask(&mut self, judged: &Judged<'_>) -> Vec<Act> {
        let mut acts = Vec::new();
        for container in 0..self.containers.len() {
            for deed in self.containers[container].ask(judged) {
                let all_ready = self.containers.iter().all(|container| container.ready);
                let changed = matches!(deed, Deed::Ready | Deed::NotReady) && self.in_service != all_ready;
                if changed {
                    self.in_service = all_ready;
                }
                acts.push(Act { container, deed, in_service: changed.then_some(all_ready) });
            }
        }
        acts
    }
}

impl Watched {
    fn new(container: &Probed, start: Moment) -> Self {
        let mut probes = container.probes.clone();
        probes.sort_by_key(|asking| asking.purpose as usize);
        let worker = |asking| Worker { asking, next: start, last: None, streak: 0 };
        let mut watched = Self {
            workers: probes.into_iter().map(worker).collect(),
            runs_from: start,
            running: false,
            pause: Duration::ZERO,
            restarts: 0,
            started: false,
            ready: false,
        };
        watched.begin(&mut Vec::new());
        watched
    }

    fn next_wake(&self) -> Option<Moment> {
        match self.running {
            true => self.workers.iter().map(|worker| worker.next).min(),
            false => Some(self.runs_from),
        }
    }

    /// A new container runs: what is not probed holds at once.
    fn begin(&mut self, deeds: &mut Vec<Deed>) {
        self.running = true;
        self.started = !self.has(Purpose::Startup);
        for worker in &mut self.workers {
            (worker.next, worker.last, worker.streak) = (self.runs_from + NOTICE, None, 0);
        }
        if self.started && !self.has(Purpose::Readiness) {
            self.set_ready(true, deeds);
        }
    }

    fn has(&self, purpose: Purpose) -> bool {
        self.workers.iter().any(|worker| worker.asking.purpose == purpose)
    }

    fn ask(&mut self, judged: &Judged<'_>) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if !self.running {
            if self.runs_from <= judged.now {
                self.begin(&mut deeds);
            }
            return deeds;
        }
        for index in 0..self.workers.len() {
            let Some((purpose, passes)) = self.believed(index, judged) else { continue };
            match (purpose, passes) {
                (Purpose::Startup, true) => self.start(judged.now, &mut deeds),
                (Purpose::Readiness, _) => self.set_ready(passes, &mut deeds),
                (Purpose::Liveness, true) => {}
                (Purpose::Startup | Purpose::Liveness, false) => {
                    self.restart(purpose, judged.now, &mut deeds);
                    break;
                }
            }
        }
        deeds
    }

    /// What the probe at `index` makes kubelet believe now, if it is due and has said so often enough.
    fn believed(&mut self, index: usize, judged: &Judged<'_>) -> Option<(Purpose, bool)> {
        let worker = &mut self.workers[index];
        let Asking { purpose, timing, question } = &worker.asking;
        if worker.next > judged.now {
            return None;
        }
        worker.next = worker.next + timing.period;
        let young = judged.now.since(self.runs_from) < timing.initial_delay;
        if young || self.started == (*purpose == Purpose::Startup) {
            return None;
        }
        let passes = question.passes(judged);
        worker.streak = if worker.last == Some(passes) { worker.streak.saturating_add(1) } else { 1 };
        worker.last = Some(passes);
        let wanted = if passes { timing.successes } else { timing.failures };
        (worker.streak >= wanted).then_some((*purpose, passes))
    }

    /// The start-up probe has passed: the readiness probe asks at once.
    fn start(&mut self, now: Moment, deeds: &mut Vec<Deed>) {
        self.started = true;
        deeds.push(Deed::Started);
        match self.workers.iter_mut().find(|worker| worker.asking.purpose == Purpose::Readiness) {
            Some(worker) => worker.next = now,
            None => self.set_ready(true, deeds),
        }
    }

    fn set_ready(&mut self, ready: bool, deeds: &mut Vec<Deed>) {
        if std::mem::replace(&mut self.ready, ready) != ready {
            deeds.push(if ready { Deed::Ready } else { Deed::NotReady });
        }
    }

    fn restart(&mut self, purpose: Purpose, now: Moment, deeds: &mut Vec<Deed>) {
        let forgiven = self.restarts == 0 || now.since(self.runs_from) >= FORGIVEN;
        let doubled = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause = if forgiven { Duration::ZERO } else { doubled };
        self.restarts += 1;
        deeds.push(Deed::Restart { purpose, pause: self.pause });
        self.set_ready(false, deeds);
        (self.runs_from, self.running) = (now + self.pause, false);
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
    use crate::scheduler::playback::reading;

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
    fn acts(containers: &[&[(Purpose, Timing)]], closed: &[(f64, f64)], end: f64) -> Vec<String> {
        let first = snapshot(true, Moment::default());
        let judged = Judged::new(&first, Moment::default());
        let asking = |(purpose, timing): &(Purpose, Timing)| Asking {
            purpose: *purpose,
            timing: *timing,
            question: Question::of(purpose.path(), &judged),
        };
        let probed =
            |probes: &&[(Purpose, Timing)]| Probed { name: String::new(), probes: probes.iter().map(asking).collect() };
        let probed: Vec<_> = containers.iter().map(probed).collect();
        let mut kubelet = Kubelet::new(&probed, Moment::default());
        let mut lines = Vec::new();
        while let Some(now) = kubelet.next_wake().filter(|now| now.since_boot() <= seconds(end)) {
            let second = now.since_boot().as_secs_f64();
            let open = !closed.iter().any(|(from, to)| (*from..*to).contains(&second));
            for act in kubelet.ask(&Judged::new(&snapshot(open, now), now)) {
                let deed = match act.deed {
                    Deed::Started => "started".into(),
                    Deed::Ready => "ready".into(),
                    Deed::NotReady => "not ready".into(),
                    Deed::Restart { purpose, pause } => format!("restart by {} after {pause:?}", purpose.label()),
                };
                let service = match act.in_service {
                    Some(true) => ", in",
                    Some(false) => ", out",
                    None => "",
                };
                lines.push(format!("{second} {} {deed}{service}", act.container));
            }
        }
        lines
    }

    fn every(period: f64, failures: u32) -> Timing {
        Timing { period: seconds(period), failures, ..Timing::default() }
    }

    #[test]
    fn readiness_takes_the_pod_out_after_its_failures_and_back_after_its_passes() {
        let twice = Timing { successes: 2, ..Timing::default() };
        let lines = acts(&[&[(Purpose::Readiness, twice)]], &[(20.0, 60.0)], 100.0);
        assert_eq!(lines, ["11 0 ready, in", "41 0 not ready, out", "71 0 ready, in"]);
    }

    #[test]
    fn fewer_failures_than_the_threshold_do_nothing() {
        let lines = acts(&[&[(Purpose::Readiness, every(10.0, 3))]], &[(20.0, 40.0)], 100.0);
        assert_eq!(lines, ["1 0 ready, in"]);
    }

    #[test]
    fn a_startup_probe_holds_the_others_back_and_readiness_asks_at_once_after_it() {
        let probes = [
            (Purpose::Liveness, every(2.0, 1)),
            (Purpose::Readiness, every(10.0, 1)),
            (Purpose::Startup, every(5.0, 9)),
        ];
        let lines = acts(&[&probes], &[(0.0, 14.0)], 60.0);
        assert_eq!(lines, ["16 0 started", "16 0 ready, in"]);
    }

    #[test]
    fn an_initial_delay_is_counted_from_the_start_of_the_container() {
        let late = Timing { initial_delay: seconds(15.0), ..every(10.0, 1) };
        assert_eq!(acts(&[&[(Purpose::Readiness, late)]], &[], 30.0), ["21 0 ready, in"]);
    }

    #[test]
    fn liveness_restarts_the_container_and_pauses_longer_each_time() {
        let probes = [(Purpose::Liveness, every(10.0, 3)), (Purpose::Readiness, every(10.0, 1))];
        let lines = acts(&[&probes], &[(30.0, 120.0)], 200.0);
        assert_eq!(
            lines,
            [
                "1 0 ready, in",
                "31 0 not ready, out",
                "51 0 restart by liveness after 0ns",
                "72 0 restart by liveness after 10s",
                "103 0 restart by liveness after 20s",
                "124 0 ready, in",
            ]
        );
    }

    #[test]
    fn a_startup_probe_that_runs_out_restarts_the_container() {
        let lines = acts(&[&[(Purpose::Startup, every(10.0, 3))]], &[(0.0, 40.0)], 60.0);
        assert_eq!(lines, ["21 0 restart by startup after 0ns", "42 0 started", "42 0 ready, in"]);
    }

    #[test]
    fn the_pod_is_in_its_services_while_all_containers_are_ready() {
        let lines = acts(
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
        let lines = acts(&[&[(Purpose::Liveness, every(10.0, 1))]], &[(10.0, 12.0)], 60.0);
        assert_eq!(lines, ["11 0 restart by liveness after 0ns", "11 0 not ready, out", "11 0 ready, in"]);
    }

    #[test]
    fn a_pod_without_probes_is_ready_and_never_woken_for() {
        let kubelet = Kubelet::new(&[Probed { name: "app".into(), probes: vec![] }], Moment::default());
        assert!(kubelet.in_service());
        assert_eq!(kubelet.next_wake(), None);
    }
}
