//! What the history's task is told and asked, and what everybody may see of it without asking.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::answer::{Condition, HistoryUnavailable, Keep, SavedState};
use super::ledger::Availability;
use super::query::HistoryQuery;
use super::queued_run::QueuedRun;
use super::state::HistoryState;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::plan::Plan;

/// So many changes of state wait for the task at most while it rests.
pub const TRANSITIONS: usize = 256;

/// A look at the figures, which answers by itself; nothing where they are not known.
pub type Look = Box<dyn FnOnce(Option<&HistoryState>) + Send>;

/// One message to the history's task. They are taken in the order in which they were sent.
pub enum Message {
    /// These checks are watched from then on, and no others.
    Declare(Arc<Plan>, Timestamp),
    /// The check has this availability from then on.
    Transition(CheckName, Availability, Timestamp),
    /// A run, with its place among those that are not taken yet.
    Run(QueuedRun, OwnedSemaphorePermit),
    /// A sign of life; where it ends a gap, nothing is known of these checks until they are told.
    Alive(Timestamp, BTreeSet<CheckName>),
    /// The wall clock says `wall` where `told` is told.
    Date {
        /// As it is told.
        told: Timestamp,
        /// The date of it.
        wall: Timestamp,
    },
    /// From now on this much is kept.
    Keep(Keep),
    /// What must be known after a restart.
    Save(SavedState),
    /// A question that the registry answers.
    Look(Look),
    /// A question that may have to wait for the disk.
    Query(HistoryQuery),
    /// To tell when everything told before is in the file.
    Flush(oneshot::Sender<Result<(), HistoryUnavailable>>),
    /// To write everything, close the file and end.
    Close(oneshot::Sender<()>),
}

/// How it goes, published by the history's task.
#[derive(Debug)]
pub struct Published {
    /// The place of the condition in [`Condition::ALL`].
    condition: AtomicU8,
    dropped: AtomicU64,
    /// Changes of state that have been told.
    transitions: AtomicUsize,
    /// Somebody waits for the task, or its inbox fills.
    nudge: Notify,
}

impl Published {
    /// Nothing has been dropped.
    #[must_use]
    pub const fn new(condition: Condition) -> Self {
        let (condition, dropped) = (AtomicU8::new(condition as u8), AtomicU64::new(0));
        Self { condition, dropped, transitions: AtomicUsize::new(0), nudge: Notify::const_new() }
    }

    /// How it goes.
    #[must_use]
    pub fn condition(&self) -> Condition {
        Condition::ALL[usize::from(self.condition.load(Ordering::Acquire))]
    }

    /// Publishes how it goes, and returns how it went before.
    pub fn set_condition(&self, condition: Condition) -> Condition {
        Condition::ALL[usize::from(self.condition.swap(condition as u8, Ordering::AcqRel))]
    }

    /// The task is to take its messages now.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Ends when the task is to take its messages now, or was to since the last time.
    pub fn nudged(&self) -> Notified<'_> {
        self.nudge.notified()
    }

    /// One more change of state is told: whether as many of them wait as may.
    #[must_use]
    pub fn transition_fills_the_inbox(&self) -> bool {
        self.transitions.fetch_add(1, Ordering::Relaxed) % TRANSITIONS == TRANSITIONS - 1
    }

    /// How many runs could not be kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// So many more.
    pub fn count_dropped(&self, runs: u64) {
        self.dropped.fetch_add(runs, Ordering::Relaxed);
    }
}
