//! What each container of a pod is to probelet: the app, the sidecar, or neither.

use super::guards::{self, StateStorage};
use super::inspection::is_sidecar;
use super::kubelet::probed::probed_containers;
use super::kubelet::target::ListenedPorts;
use super::kubelet::{ContainerRole, ProbedContainer};
use super::matrix;
use super::pod::Pod;
use crate::config::Config;
use crate::model::verdict::Judged;

/// The containers of `pod`, each with what it is to probelet.
pub fn containers(pod: &Pod, config: &Config) -> Vec<ProbedContainer> {
    let ports = ListenedPorts::of(config);
    let snapshot = matrix::all_well(&config.plan);
    let mut containers = probed_containers(pod, &ports, &Judged::new(&snapshot, snapshot.at));
    let sidecar = pod.containers.iter().position(|container| is_sidecar(container, config));
    if let Some(place) = sidecar {
        let sidecar = &pod.containers[place];
        let (keeps_state, drains) = (guards::state(sidecar, config) == StateStorage::Kept, guards::drains(sidecar));
        containers[place].role = ContainerRole::Sidecar { keeps_state, drains };
        if drains {
            containers[place].stop.hook = config.plan.answers.drain;
        }
    }
    let others = |container: &ProbedContainer| container.role == ContainerRole::Other;
    let asks = containers.iter().position(|container| others(container) && !container.probes.is_empty());
    let runs = || containers.iter().position(|container| others(container) && !container.native);
    if let Some(app) = asks.or_else(runs) {
        containers[app].role = ContainerRole::App;
    }
    containers
}

/// Whether any of the containers asks probelet.
pub fn any_asks(containers: &[ProbedContainer]) -> bool {
    containers.iter().any(|container| !container.probes.is_empty())
}
