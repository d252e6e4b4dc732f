//! The timeline of a scenario: the state machine of the daemon and the model of kubelet, played in virtual time.

mod cells;
mod openness;
mod play;
mod world;
mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use cells::{badness, cells};
pub use openness::Openness;
pub use play::{play, play_with};

use super::kubelet::{Action, Effect};
use super::scenario::{Fault, ProcessFault};
use crate::model::index::CheckIndex;
use crate::model::plan::Plan;
use crate::model::verdict::{Endpoint, JudgedState, Verdict};

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
