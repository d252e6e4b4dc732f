//! A model of kubelet in virtual time: what it starts, asks and ends when, and what it does with the answers. Pure.
//!
//! It follows the prober and the pod worker of Kubernetes: native sidecars start one after the other and before the
//! rest; a start-up probe holds the other two back until it has passed; a liveness or start-up probe that has failed
//! often enough restarts its container, with pauses that double; a container whose readiness probe fails takes the pod
//! out of its Services. The pod worker does one thing at a time: while it waits for a container to end, it starts and
//! ends no other. Probes that do not ask probelet are taken to pass.

pub mod command;
mod container;
mod pod_worker;
pub mod probed;
pub mod request;
mod stop;
pub mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use pod_worker::Kubelet;
use request::ProbeRequest;
pub use stop::StopTiming;

use super::pod::{ProbeTiming, Purpose};
use crate::model::verdict::Judged;

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
    pub(super) fn passes(&self, answer: &SidecarAnswer<'_>) -> bool {
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
