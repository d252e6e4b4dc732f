//! The pod worker and the probers of one pod: who starts, asks and ends which container when.

use super::container::{ContainerState, ContainerStatus, NOTICE};
use super::request::RequestSubject;
use super::{Action, Effect, ProbedContainer, SidecarAnswer};
use crate::base::clock::Moment;
use crate::model::verdict::Endpoint;

/// Kubelet, with the containers of one pod.
#[derive(Clone, Debug)]
pub struct Kubelet {
    containers: Vec<ContainerStatus>,
    in_service: bool,
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
