//! How late the scheduler is: now, and at its worst of late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::Moment;

/// The worst lateness is kept for the present window and the one before it: everyone who scrapes this often sees it, however
/// many they are.
const WINDOW: Duration = Duration::from_secs(30);

/// How late runs were begun, and how overdue they are. Written by the scheduler alone.
#[derive(Debug)]
pub struct SchedulerLag {
    /// When the next run is due, in nanoseconds since boot; the largest number where none is.
    next_run: AtomicU64,
    /// The worst lateness of two windows that follow each other: the number of the window in the upper half, microseconds
    /// in the lower one.
    worst: [AtomicU64; 2],
}

impl Default for SchedulerLag {
    fn default() -> Self {
        Self { next_run: AtomicU64::new(u64::MAX), worst: Default::default() }
    }
}

impl SchedulerLag {
    /// Notes that at `now` runs were begun this late, and when the next one is due, where one is.
    pub fn note(&self, now: Moment, late: Duration, next_run: Option<Moment>) {
        let nanos = next_run.and_then(|due| u64::try_from(due.since_boot().as_nanos()).ok());
        self.next_run.store(nanos.unwrap_or(u64::MAX), Ordering::Relaxed);
        let window = window(now);
        let worst = &self.worst[usize::from(window % 2 == 1)];
        let micros = u32::try_from(late.as_micros()).unwrap_or(u32::MAX);
        let known = worst.load(Ordering::Relaxed);
        if known >> 32 != u64::from(window) || known & u64::from(u32::MAX) < u64::from(micros) {
            worst.store(u64::from(window) << 32 | u64::from(micros), Ordering::Relaxed);
        }
    }

    /// For how long the most overdue run has been due at `now`.
    #[must_use]
    pub fn overdue(&self, now: Moment) -> Duration {
        now.since(Moment::at(Duration::from_nanos(self.next_run.load(Ordering::Relaxed))))
    }

    /// How late runs were begun at worst within the last half minute, or for how long one has been due at `now`, if that is
    /// more.
    #[must_use]
    pub fn worst(&self, now: Moment) -> Duration {
        let window = window(now);
        let worst = self.worst.iter().map(|worst| worst.load(Ordering::Relaxed));
        let recent = worst.filter(|worst| u64::from(window).saturating_sub(worst >> 32) <= 1);
        let late = recent.map(|worst| Duration::from_micros(worst & u64::from(u32::MAX)));
        late.fold(self.overdue(now), Duration::max)
    }
}

/// The number of the window.
fn window(now: Moment) -> u32 {
    u32::try_from(now.since_boot().as_secs() / WINDOW.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_run_is_overdue_from_when_it_is_due_until_another_is_due_next() {
        let lag = SchedulerLag::default();
        assert_eq!(lag.overdue(at(7)), Duration::ZERO, "none is due");
        lag.note(at(1), Duration::ZERO, Some(at(5)));
        assert_eq!([4, 7].map(|now| lag.overdue(at(now)).as_secs()), [0, 2]);
        lag.note(at(7), Duration::ZERO, None);
        assert_eq!(lag.overdue(at(7)), Duration::ZERO);
    }

    #[test]
    fn the_worst_lateness_is_seen_by_everyone_for_half_a_minute_and_a_minute_at_most() {
        let lag = SchedulerLag::default();
        for (now, late) in [(95, 2), (96, 3), (97, 1)] {
            lag.note(at(now), Duration::from_secs(late), Some(at(1000)));
        }
        assert_eq!([97, 97, 119, 126, 149, 150].map(|now| lag.worst(at(now)).as_secs()), [3, 3, 3, 3, 3, 0]);
        // The next window counts for itself, and what is overdue now beside it.
        lag.note(at(121), Duration::from_millis(1500), Some(at(152)));
        assert_eq!(
            [149, 151, 153, 155, 179].map(|now| lag.worst(at(now)).as_millis()),
            [3000, 1500, 1500, 3000, 27_000]
        );
        // A place is taken over from the window before the last, and from one long ago.
        lag.note(at(180), Duration::from_millis(10), None);
        assert_eq!(lag.worst(at(180)).as_millis(), 10);
        lag.note(at(7200), Duration::ZERO, None);
        assert_eq!(lag.worst(at(7200)), Duration::ZERO);
    }
}
