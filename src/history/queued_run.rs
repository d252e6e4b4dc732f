//! A run between whoever had it and the registry.

use std::time::Duration;

use super::answer::RecordedRun;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::outcome::{FailureKind, one_line};
use crate::model::state::OutcomeKind;

/// A run on its way into the registry, its message clipped.
#[derive(Clone, Debug)]
pub struct QueuedRun {
    /// The check that was run.
    pub check: CheckName,
    /// When the run ended.
    pub at: Timestamp,
    /// pass, fail or skip.
    pub outcome: OutcomeKind,
    /// Why it failed.
    pub reason: Option<FailureKind>,
    /// How long it took; nothing for a skip.
    pub took: Option<Duration>,
    /// One line for people.
    pub message: Box<str>,
}

impl From<&RecordedRun<'_>> for QueuedRun {
    fn from(run: &RecordedRun<'_>) -> Self {
        let RecordedRun { check, at, outcome, reason, took, message } = *run;
        Self { check: check.clone(), at, outcome, reason, took, message: one_line(message).into_boxed_str() }
    }
}
