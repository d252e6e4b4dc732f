//! Whether the scheduler makes progress, for `/-/healthy`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Moment;

/// When the scheduler last made progress. It says so every four seconds at least, also with nothing to do.
#[derive(Debug, Default)]
pub struct SchedulerLiveness {
    /// Nanoseconds since boot; 0 before the first beat.
    last: AtomicU64,
}

impl SchedulerLiveness {
    /// Without progress for this long the scheduler is taken for hung.
    pub const LIMIT: Duration = Duration::from_secs(10);

    /// Says that the scheduler made progress at `now`.
    pub fn beat(&self, now: Moment) {
        let nanos = u64::try_from(now.since_boot().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(nanos.max(1), Ordering::Relaxed);
    }

    /// How long ago the last beat was; nothing before the first.
    #[must_use]
    pub fn age(&self, now: Moment) -> Option<Duration> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(now.since(Moment::at(Duration::from_nanos(nanos)))),
        }
    }

    /// Whether the scheduler makes progress.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        self.age(now).is_some_and(|age| age < Self::LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn liveness_lasts_ten_seconds_and_needs_a_first_beat() {
        let liveness = SchedulerLiveness::default();
        assert!(!liveness.is_live(at(0)));
        liveness.beat(at(0));
        assert!(liveness.is_live(at(0)));
        liveness.beat(at(10));
        assert!(liveness.is_live(at(19)));
        assert!(!liveness.is_live(at(20)));
        assert_eq!(liveness.age(at(17)), Some(Duration::from_secs(7)));
    }
}
