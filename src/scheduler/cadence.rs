//! When a check is due: a grid of beats with a phase of its own, and quick first runs. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::beat_groups::BeatPlace;
use crate::base::clock::Moment;

/// The gap between the first runs of a check, where its interval is longer.
const FIRST_GAP: Duration = Duration::from_secs(1);
/// Within this time from the first run the gap has grown to the interval.
const QUICK_PHASE: Duration = Duration::from_secs(60);

/// The beats of a pod's checks lie on a grid this wide, where their intervals are multiples of it, so that many checks
/// wake the processor for several runs at a time. Where the grid begins differs between pods.
const GRID: Duration = Duration::from_millis(20);

/// The checks of a group follow each other so closely. What answers sooner does so before the next one begins, and what
/// their runs take tells of their targets and not of each other.
const HEADWAY: Duration = Duration::from_micros(200);

/// The golden ratio's share of an interval: however many groups of checks follow each other in such steps, they are
/// spread over all of it, and each new one comes where there is most room.
const STEP: f64 = 0.618_033_988_749_894_9;

/// The beats of one check: every `interval`, at a phase that differs between groups of checks and between pods, so that
/// a fleet does not probe in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    interval: Duration,
    phase: Duration,
}

impl Cadence {
    /// The cadence of a check in the pod (or on the host) `pod`, with the place that it has there.
    #[must_use]
    pub fn new(interval: Duration, pod: &str, place: BeatPlace) -> Self {
        let of_interval = share(pod, &interval.as_nanos().to_string());
        let group = interval.mul_f64((of_interval + f64::from(place.group()) * STEP).fract());
        let on_grid = from_nanos(group.as_nanos() / GRID.as_nanos() * GRID.as_nanos());
        Self { interval, phase: on_grid + GRID.mul_f64(share(pod, "")) + HEADWAY * u32::from(place.steps()) }
    }

    /// From start to start.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The first beat after `moment`.
    #[must_use]
    pub fn after(&self, moment: Moment) -> Moment {
        let interval = self.interval.as_nanos().max(1);
        let phase = self.phase.as_nanos();
        let now = moment.since_boot().as_nanos();
        let beats = if now < phase { 0 } else { (now - phase) / interval + 1 };
        Moment::at(from_nanos(phase + beats * interval))
    }

    /// Whether a beat is at `moment`.
    #[must_use]
    pub fn has_beat_at(&self, moment: Moment) -> bool {
        let since = moment.since_boot().checked_sub(self.phase);
        since.is_some_and(|since| since.as_nanos().is_multiple_of(self.interval.as_nanos().max(1)))
    }

    /// The first beat that leaves at least half an interval after `moment`: a run that was expedited has taken
    /// the place of one that would follow at its heels.
    #[must_use]
    pub fn well_after(&self, moment: Moment) -> Moment {
        self.after(moment + self.interval / 2)
    }

    /// The gap to the second run.
    #[must_use]
    pub fn first_gap(&self) -> Duration {
        FIRST_GAP.min(self.interval)
    }

    /// The gap that follows `gap` while the check has never passed and its first run was `since` ago: half as long
    /// again, and the interval when the quick phase is over.
    #[must_use]
    pub fn next_gap(&self, gap: Duration, since: Duration) -> Duration {
        let longer = gap.mul_f64(1.5).min(self.interval);
        if since + longer >= QUICK_PHASE { self.interval } else { longer }
    }
}

/// Jitter: the delay of the check `name` when it is expedited as one of `count`. Zero when it is alone, up to a second
/// when they are many; the same for the same name and pod.
#[must_use]
pub fn jitter(count: usize, interval: Duration, pod: &str, name: &str) -> Duration {
    let window = Duration::from_millis(10 * count.saturating_sub(1).min(100) as u64).min(interval);
    window.mul_f64(share(name, pod))
}

/// A number from 0 to below 1 that only depends on the two texts.
#[allow(clippy::cast_precision_loss)] // 53 bits are kept
fn share(first: &str, second: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    (first, second).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

fn from_nanos(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).expect("a remainder fits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::Definition;
    use crate::model::plan::testing::check;
    use crate::scheduler::beat_groups::BeatGroups;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    #[test]
    fn beats_keep_their_phase_and_their_interval() {
        let cadence = Cadence { interval: Duration::from_secs(10), phase: Duration::from_secs(3) };
        let cases = [(0, 3_000), (2_999, 3_000), (3_000, 13_000), (12_999, 13_000), (13_000, 23_000), (47_000, 53_000)];
        for (now, next) in cases {
            assert_eq!(cadence.after(at(now)), at(next));
        }
        let beats = [2_999, 3_000, 3_001, 10_000, 13_000].map(|now| cadence.has_beat_at(at(now)));
        assert_eq!(beats, [false, true, false, false, true]);
        assert_eq!(cadence.well_after(at(9_000)), at(23_000));
        assert_eq!(cadence.well_after(at(7_000)), at(13_000));
    }

    #[test]
    fn a_fleet_is_spread_over_the_interval() {
        let interval = Duration::from_secs(10);
        let mut phases: Vec<_> =
            (0..1000).map(|pod| Cadence::new(interval, &format!("shop-{pod}"), BeatPlace::default()).phase).collect();
        phases.sort_unstable();
        let largest_gap = phases.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(phases[999] < interval && largest_gap < Duration::from_millis(150), "{largest_gap:?}");
        let again = || Cadence::new(interval, "shop-1", BeatPlace::default());
        assert_eq!(again(), again());
    }

    #[test]
    fn the_groups_of_a_pod_are_spread_over_the_interval_however_many_they_are() {
        let interval = Duration::from_secs(10);
        for groups in [2, 3, 5, 40, 500] {
            let mut places = BeatGroups::default();
            let places = (0..groups * 8).map(|_| places.join(&Definition { interval, ..check("any") }));
            let mut phases: Vec<_> =
                places.step_by(8).map(|place| Cadence::new(interval, "shop-1", place).phase).collect();
            phases.sort_unstable();
            phases.push(phases[0] + interval);
            let gaps = phases.windows(2).map(|pair| pair[1] - pair[0]);
            let (least, most) = (gaps.clone().min().unwrap(), gaps.max().unwrap());
            let even = interval / groups;
            assert!(least + GRID >= even.mul_f64(0.4) && most <= even * 2 + GRID, "{groups}: {least:?} to {most:?}");
        }
    }

    #[test]
    fn the_checks_of_a_pod_share_a_grid() {
        let place_on_grid = |pod: &str, millis: u64, place: BeatPlace| {
            let cadence = Cadence::new(Duration::from_millis(millis), pod, place);
            assert!(cadence.phase < cadence.interval + GRID);
            cadence.after(at(123_456)).since_boot().as_nanos() % GRID.as_nanos()
        };
        let grid = place_on_grid("shop-1", 100, BeatPlace::default());
        for millis in [100, 200, 5_000, 3_600_000] {
            let mut groups = BeatGroups::default();
            for _ in 0..10 {
                let target = Some("127.0.0.1:5432".into());
                let interval = Duration::from_millis(millis);
                let place = groups.join(&Definition { interval, target, of_pod: true, ..check("any") });
                let after_grid = place_on_grid("shop-1", millis, place) - grid;
                assert_eq!(after_grid, HEADWAY.as_nanos() * u128::from(place.steps()));
            }
        }
        let others: std::collections::BTreeSet<_> =
            (0..100).map(|pod| place_on_grid(&format!("shop-{pod}"), 100, BeatPlace::default())).collect();
        assert_eq!(others.len(), 100);
    }

    #[test]
    fn the_first_gaps_grow_to_the_interval_within_a_minute() {
        for (interval, expected) in
            [(500, vec![500, 500]), (10_000, vec![1_000, 1_500, 2_250, 3_375, 5_062, 7_593, 10_000])]
        {
            let cadence = Cadence { interval: Duration::from_millis(interval), phase: Duration::ZERO };
            let (mut gap, mut since) = (cadence.first_gap(), Duration::ZERO);
            for millis in expected {
                assert_eq!(gap.as_millis(), millis);
                since += gap;
                gap = cadence.next_gap(gap, since);
            }
        }
        let hourly = Cadence { interval: Duration::from_secs(3600), phase: Duration::ZERO };
        let (mut gap, mut since) = (hourly.first_gap(), Duration::ZERO);
        while gap < hourly.interval {
            since += gap;
            gap = hourly.next_gap(gap, since);
        }
        assert!(since < QUICK_PHASE && since > QUICK_PHASE / 2, "{since:?}");
    }

    #[test]
    fn a_single_check_is_expedited_at_once_and_many_are_spread() {
        let second = Duration::from_secs(1);
        assert_eq!(jitter(1, second, "pod", "child"), Duration::ZERO);
        let delays: Vec<_> = (0..100).map(|child| jitter(100, second, "pod", &format!("child-{child}"))).collect();
        assert!(delays.iter().all(|delay| *delay < second) && delays.iter().max() > Some(&(second / 2)));
    }
}
