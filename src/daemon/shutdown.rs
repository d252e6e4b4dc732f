//! The end of the process: when termination began, and how long it may still answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Moment;

/// When the first sign of termination was seen: a signal, or a drain that has not been undone.
#[derive(Clone, Debug, Default)]
#[must_use = "only its clones know of the signs that it is told"]
pub struct Termination {
    /// Nanoseconds since boot; 0 while there is no sign.
    since: Arc<AtomicU64>,
    /// Somebody has given a sign, or taken it back, since the start.
    was_told: Arc<AtomicBool>,
    /// The process was asked to end: nobody takes that back.
    is_ending: Arc<AtomicBool>,
}

impl Termination {
    /// Notes a sign of termination at `now`; only the first counts.
    pub fn begin(&self, now: Moment) {
        self.was_told.store(true, Ordering::Relaxed);
        self.note(now);
    }

    /// The process was asked to end, at `now`.
    pub fn end(&self, now: Moment) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.begin(now);
    }

    /// There was a sign at `then`, before a restart. It counts unless a signal or a request has decided otherwise since.
    pub fn restore(&self, then: Moment) {
        if !self.was_told.load(Ordering::Relaxed) {
            self.note(then);
        }
    }

    fn note(&self, now: Moment) {
        let nanos = u64::try_from(now.since_boot().as_nanos()).unwrap_or(u64::MAX).max(1);
        let _ = self.since.compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The drain is undone, unless the process was asked to end.
    #[must_use]
    pub fn undo(&self) -> bool {
        self.was_told.store(true, Ordering::Relaxed);
        let may_be = !self.is_ending.load(Ordering::Relaxed);
        if may_be {
            self.since.store(0, Ordering::Relaxed);
        }
        may_be
    }

    /// How long the process that was asked to end at `now` goes on: until `drain` has passed since the first sign.
    #[must_use]
    pub fn remaining(&self, now: Moment, drain: Duration) -> Duration {
        let since = Moment::at(Duration::from_nanos(self.since.load(Ordering::Relaxed)));
        (since + drain).since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn the_drain_is_counted_from_the_first_sign() {
        let (termination, drain) = (Termination::default(), Duration::from_secs(5));
        termination.begin(at(100));
        termination.begin(at(103));
        assert_eq!(termination.remaining(at(103), drain), Duration::from_secs(2));
        assert_eq!(termination.remaining(at(110), drain), Duration::ZERO);
    }

    #[test]
    fn a_drain_of_before_a_restart_counts_unless_somebody_has_decided_since() {
        let drain = Duration::from_secs(5);
        let termination = Termination::default();
        termination.restore(at(97));
        termination.begin(at(100));
        assert_eq!(termination.remaining(at(100), drain), Duration::from_secs(2));
        let termination = Termination::default();
        assert!(termination.undo());
        termination.restore(at(97));
        termination.begin(at(100));
        assert_eq!(termination.remaining(at(100), drain), drain);
    }

    #[test]
    fn an_undone_drain_is_no_sign() {
        let (termination, drain) = (Termination::default(), Duration::from_secs(5));
        termination.begin(at(100));
        assert!(termination.undo());
        termination.end(at(200));
        assert_eq!(termination.remaining(at(201), drain), Duration::from_secs(4));
        assert!(!termination.undo(), "it ends");
        assert_eq!(termination.remaining(at(201), drain), Duration::from_secs(4));
    }
}
