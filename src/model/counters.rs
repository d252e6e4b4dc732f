//! What is counted of one check.

use super::definition::Definition;
use super::durations::Durations;
#[cfg(doc)]
use super::level::State;
use super::outcome::{FailureKind, Observation, Outcome};
use crate::base::clock::Timestamp;

/// An outcome without its content: the label `outcome` in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the words of the contract
pub enum OutcomeKind {
    Pass,
    Fail,
    Skip,
}

impl OutcomeKind {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Skip];

    /// The word for it in metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// Counts and timestamps of one check, for metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Runs by outcome, in the order of [`OutcomeKind::ALL`].
    pub runs: [u64; 3],
    /// Runs that came to nothing because something of our own was used up.
    pub voids: u64,
    /// Failures by kind, in the order of [`FailureKind::ALL`].
    pub reasons: [u64; 8],
    /// Changes of state by target, in the order of [`State::ALL`].
    pub transitions: [u64; 5],
    /// How long runs took.
    pub durations: Durations,
    /// The end of the last run.
    pub last_run: Option<Timestamp>,
    /// The end of the last run that passed.
    pub last_success: Option<Timestamp>,
    /// The end of the certificate last presented.
    pub tls_not_after: Option<Timestamp>,
}

impl Counters {
    /// Counts one more run of the check, by its outcome and its duration.
    pub fn add(&mut self, observation: &Observation, definition: &Definition) {
        let place = match &observation.outcome {
            Outcome::Pass(_) => 0,
            Outcome::Fail(_) => 1,
            Outcome::Skip => 2,
            Outcome::Void(why) => {
                self.voids += u64::from(why.kind == FailureKind::Exhausted);
                return;
            }
        };
        self.runs[place] += 1;
        let facts = match &observation.outcome {
            Outcome::Pass(pass) => {
                self.last_success = Some(observation.wall);
                &pass.facts
            }
            Outcome::Fail(failure) => {
                if let Some(reason) = FailureKind::ALL.iter().position(|kind| *kind == failure.kind) {
                    self.reasons[reason] += 1;
                }
                &failure.facts
            }
            Outcome::Skip | Outcome::Void(_) => return,
        };
        if facts.tls_not_after.is_some() {
            self.tls_not_after = facts.tls_not_after;
        }
        self.last_run = Some(observation.wall);
        self.durations.add(observation.took().as_secs_f64(), &definition.duration_buckets);
    }
}
