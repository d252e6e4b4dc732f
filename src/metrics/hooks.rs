//! What came of the events that hooks were to be told of.

use std::sync::atomic::{AtomicU64, Ordering};

/// The values of the label `outcome`.
pub const OUTCOMES: [&str; 3] = ["delivered", "failed", "dropped"];

/// The events of one hook, by what came of them.
#[derive(Debug, Default)]
pub struct HookDeliveries([AtomicU64; OUTCOMES.len()]);

impl HookDeliveries {
    /// Counts an event that was taken.
    pub fn delivered(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event that was not, after all tries.
    pub fn failed(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event for which there was no room.
    pub fn dropped(&self) {
        self.0[2].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts, in the order of [`OUTCOMES`].
    #[must_use]
    pub fn read(&self) -> [u64; OUTCOMES.len()] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}
