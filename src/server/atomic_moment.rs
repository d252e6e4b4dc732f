//! A moment that tasks share without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Moment;

/// A moment that may be none: nanoseconds since boot and one, or 0.
#[derive(Debug, Default)]
pub(super) struct AtomicMoment(AtomicU64);

impl AtomicMoment {
    pub(super) fn set(&self, moment: Moment) {
        let nanos = u64::try_from(moment.since_boot().as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<Moment> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Moment::at(Duration::from_nanos(nanos - 1))),
        }
    }
}
