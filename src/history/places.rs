//! The places of runs that wait to be taken by the history's task: as many more as there are checks, since an outage may
//! skip all of them at once. A place takes no memory while it is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many runs wait, and one more for each check; others are dropped.
const RUNS: usize = 2048;
/// More than this never wait.
const MOST_RUNS: usize = 32_768;

/// How many runs may wait where there are so many checks.
#[must_use]
pub const fn room_for(checks: usize) -> usize {
    if checks < MOST_RUNS - RUNS { RUNS + checks } else { MOST_RUNS }
}

/// The places of runs that are not taken yet.
#[derive(Clone, Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    all: Arc<AtomicUsize>,
}

impl Default for Places {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(RUNS)), all: Arc::new(AtomicUsize::new(RUNS)) }
    }
}

impl Places {
    /// There are at least as many as so many checks need.
    pub fn make_room_for(&self, checks: usize) {
        let wanted = room_for(checks);
        let before = self.all.fetch_max(wanted, Ordering::Relaxed);
        self.free.add_permits(wanted.saturating_sub(before));
    }

    /// One of them, which is free again when it is dropped; nothing where there is none.
    #[must_use]
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Whether so many are taken that the history's task should not rest.
    #[must_use]
    pub fn are_filling(&self) -> bool {
        self.all.load(Ordering::Relaxed).saturating_sub(self.free.available_permits()) > RUNS / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_more_as_there_are_checks_and_never_fewer_than_before() {
        let places = Places::default();
        let mut taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!((taken.len(), places.are_filling()), (RUNS, true));
        for (checks, expected) in [(5000, RUNS + 5000), (7, RUNS + 5000), (1_000_000, MOST_RUNS)] {
            places.make_room_for(checks);
            taken.extend(std::iter::from_fn(|| places.take()));
            assert_eq!(taken.len(), expected);
        }
        taken.truncate(RUNS / 2);
        assert!(!places.are_filling());
    }
}
