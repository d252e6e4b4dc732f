//! All checks at one moment, immutable: what every answer is a view of.

use std::sync::Arc;

use super::check_states::CheckStates;
use super::plan::Plan;
use super::start_up::StartUp;
use crate::base::clock::{Moment, Reading, Timestamp};

/// The one published state of the daemon.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts publications.
    pub generation: u64,
    /// When it was published, on the boot clock.
    pub at: Moment,
    /// When it was published, for people.
    pub wall: Timestamp,
    /// What is declared.
    pub plan: Arc<Plan>,
    /// One state per check of the plan, in the same order.
    pub checks: CheckStates,
    /// A drain has begun.
    pub draining: bool,
    /// `/readyz` has been open once: from then on `at_startup` checks are not critical.
    pub ready_once: bool,
    /// The present start-up of the app's container.
    pub start_up: StartUp,
    /// How the configuration stands.
    pub configuration: Configuration,
    /// How often each endpoint has opened and closed since the daemon's start, in the order of
    /// [`Endpoint::ALL`](super::verdict::Endpoint::ALL). The writer of the snapshot counts.
    pub endpoint_transitions: [EndpointTransitions; 4],
}

impl Snapshot {
    /// When it was published, on both clocks.
    #[must_use]
    pub const fn reading(&self) -> Reading {
        Reading { moment: self.at, wall: self.wall }
    }

    /// Whether this differs from `other` in nothing but the time and the count of publications.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
            && self.checks.are_those_of(&other.checks)
            && (self.draining, self.ready_once) == (other.draining, other.ready_once)
            && self.start_up == other.start_up
            && self.configuration == other.configuration
            && self.endpoint_transitions == other.endpoint_transitions
    }

    /// This as it stands once a start-up has begun at `now`, until the scheduler has published it.
    #[must_use]
    pub fn starting_anew(&self, now: Reading) -> Self {
        let mut next = Self { start_up: StartUp { began: now.moment, ..StartUp::default() }, ..self.clone() };
        for (index, definition) in self.plan.entries() {
            if definition.counts_for_start_up() {
                Arc::make_mut(&mut next.checks[index]).start_anew(now);
            }
        }
        next
    }
}

/// How often an endpoint has opened and closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named after the label `to`
pub struct EndpointTransitions {
    pub open: u64,
    pub closed: u64,
    /// When it last did, or when it was first looked at.
    pub last: Option<Reading>,
}

/// How the configuration stands, for `/-/ready` and the metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// There is no valid configuration (yet): why, in one line. Gates but `/livez` and `/startupz` are closed then.
    pub missing: Option<String>,
    /// The last good configuration is in use, because there was no valid one at the start: why, in one line.
    pub last_good: Option<String>,
    /// Whether the last attempt to load it worked.
    pub last_load_ok: bool,
    /// When it last worked.
    pub last_success: Option<Timestamp>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { missing: None, last_good: None, last_load_ok: true, last_success: None }
    }
}
