//! What can be counted from intervals and runs: time up, response times. Pure.

use std::time::Duration;

use super::ledger::{Availability, Interval};
use crate::base::clock::Timestamp;

/// How long a check was up, down, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// One sum for each of [`Availability::ALL`].
    sums: [Duration; 4],
}

impl Times {
    /// The times of `intervals` within `from..now`.
    #[must_use]
    pub fn within(intervals: impl IntoIterator<Item = Interval>, from: Timestamp, now: Timestamp) -> Self {
        let mut times = Self::default();
        for Interval { availability, from: began, to, .. } in intervals {
            times.add(availability, to.unwrap_or(now).min(now).since(began.max(from)));
        }
        times
    }

    /// Adds a time.
    pub fn add(&mut self, availability: Availability, time: Duration) {
        let sum = &mut self.sums[availability as usize];
        *sum = sum.saturating_add(time);
    }

    /// The time with this availability.
    #[must_use]
    pub const fn of(&self, availability: Availability) -> Duration {
        self.sums[availability as usize]
    }

    /// The time in which it was up, with or without a worry.
    #[must_use]
    pub fn up(&self) -> Duration {
        self.of(Availability::Up).saturating_add(self.of(Availability::Degraded))
    }

    /// The time of which something is known.
    #[must_use]
    pub fn known(&self) -> Duration {
        self.up().saturating_add(self.of(Availability::Down))
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.known().saturating_add(self.of(Availability::Unknown))
    }

    /// The time up over the time known, in percent; nothing when nothing is known.
    #[must_use]
    pub fn uptime_percent(&self) -> Option<f64> {
        percent(self.up(), self.known())
    }

    /// The time known over `whole`, in percent; nothing when that is no time at all.
    #[must_use]
    pub fn coverage_percent(&self, whole: Duration) -> Option<f64> {
        percent(self.known().min(whole), whole)
    }
}

/// The times of `intervals` in each of `count` parts of `from..to` that are equally long, oldest first.
#[must_use]
pub fn slices(intervals: &[Interval], from: Timestamp, to: Timestamp, count: u32) -> Vec<Times> {
    let part = to.since(from).checked_div(count).unwrap_or_default();
    let mut slices = Vec::new();
    let mut first = 0;
    for place in 0..count {
        let begin = from.after(part.saturating_mul(place));
        let end = begin.after(part);
        // What ended before this part has no time in the later ones either.
        first += intervals[first..].iter().take_while(|interval| interval.to.is_some_and(|to| to <= begin)).count();
        let within = intervals[first..].iter().take_while(|interval| interval.from < end);
        slices.push(Times::within(within.copied(), begin, end));
    }
    slices
}

fn percent(part: Duration, whole: Duration) -> Option<f64> {
    (!whole.is_zero()).then(|| part.as_secs_f64() / whole.as_secs_f64() * 100.0)
}

/// How fast a check answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResponseTimes {
    /// How many runs this is about.
    pub count: usize,
    /// Their mean.
    pub average: Option<Duration>,
    /// Half of them took no longer.
    pub p50: Option<Duration>,
    /// 90 of 100 took no longer.
    pub p90: Option<Duration>,
    /// 95 of 100 took no longer.
    pub p95: Option<Duration>,
    /// 99 of 100 took no longer.
    pub p99: Option<Duration>,
}

impl ResponseTimes {
    /// The figures of these times, in whatever order.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let sum = times.iter().fold(Duration::ZERO, |sum, time| sum.saturating_add(*time));
        let average = u32::try_from(times.len()).ok().and_then(|count| sum.checked_div(count));
        let [p50, p90, p95, p99] = [50, 90, 95, 99].map(|share| percentile(&times, share));
        Self { count: times.len(), average, p50, p90, p95, p99 }
    }
}

/// The least of `sorted` that at least `share` of 100 of them do not exceed (nearest rank).
fn percentile(sorted: &[Duration], share: usize) -> Option<Duration> {
    let rank = (sorted.len() * share).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::super::ledger::testing::{at, played};
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn uptime_is_the_time_up_over_the_time_known() {
        let intervals = played(&[(Availability::Up, 20), (Availability::Degraded, 50), (Availability::Down, 80)]);
        let times = Times::within(intervals.clone(), at(0), at(100));
        assert_eq!(times.uptime_percent(), Some(75.0));
        assert_eq!(times.coverage_percent(seconds(100)), Some(80.0));
        let earlier = Times::within(intervals.clone(), at(10), at(60));
        assert_eq!((earlier.uptime_percent(), earlier.total()), (Some(100.0), seconds(50)));
        let last_half = Times::within(intervals, at(50), at(100));
        assert_eq!((last_half.uptime_percent(), last_half.coverage_percent(seconds(50))), (Some(60.0), Some(100.0)));
    }

    #[test]
    fn uptime_is_nothing_when_nothing_is_known() {
        let times = Times::within(played(&[]), at(0), at(100));
        assert_eq!((times.uptime_percent(), times.coverage_percent(seconds(100))), (None, Some(0.0)));
        assert_eq!(Times::default().coverage_percent(Duration::ZERO), None);
    }

    #[test]
    fn slices_add_up_to_the_whole() {
        let intervals = played(&[(Availability::Up, 20), (Availability::Down, 25), (Availability::Up, 80)]);
        let slices = slices(&intervals, at(-10), at(90), 10);
        let seconds = |times: &Times| Availability::ALL.map(|availability| times.of(availability).as_secs());
        let expected =
            [[0; 4], [0, 0, 0, 10], [0, 0, 0, 10], [5, 0, 5, 0], [0, 0, 10, 0], [0, 0, 10, 0], [0, 0, 10, 0]];
        assert_eq!(slices[..7].iter().map(seconds).collect::<Vec<_>>(), expected);
        assert_eq!(slices[7..].iter().map(seconds).collect::<Vec<_>>(), [[0, 0, 10, 0], [0, 0, 10, 0], [10, 0, 0, 0]]);
        assert!(super::slices(&intervals, at(0), at(90), 0).is_empty());
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times = ResponseTimes::of((1..=100).rev().map(Duration::from_millis).collect());
        let millis = |time: Option<Duration>| time.unwrap().as_micros();
        let figures = [times.average, times.p50, times.p90, times.p95, times.p99].map(millis);
        assert_eq!(figures, [50_500, 50_000, 90_000, 95_000, 99_000]);
        let one = ResponseTimes::of(vec![seconds(3)]);
        assert_eq!([one.average, one.p50, one.p99], [Some(seconds(3)); 3]);
        assert_eq!(ResponseTimes::of(Vec::new()), ResponseTimes::default());
    }
}
