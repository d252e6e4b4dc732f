//! When kubelet last asked each endpoint, and how often it does, without locks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::{Moment, Reading, Timestamp};
use crate::model::verdict::Endpoint;

/// The last ask of kubelet at each endpoint. Written by the server; read by the exposition.
#[derive(Debug, Default)]
pub struct GateAsks([LastAsk; Endpoint::ALL.len()]);

#[derive(Debug, Default)]
struct LastAsk {
    /// Nanoseconds since boot; 0 before the first.
    moment: AtomicU64,
    /// Microseconds since 1970.
    wall: AtomicI64,
    /// From each of the last three asks to the one before, in milliseconds of 21 bits: how often it asks is known where
    /// they agree.
    gaps: AtomicU64,
}

impl GateAsks {
    /// Notes that kubelet asks `endpoint` now, and returns when it had asked before.
    pub fn note(&self, endpoint: Endpoint, now: Reading) -> Option<Moment> {
        let ask = &self.0[endpoint as usize];
        let nanos = u64::try_from(now.moment.since_boot().as_nanos()).unwrap_or(u64::MAX).max(1);
        ask.wall.store(now.wall.unix_micros(), Ordering::Relaxed);
        let before = moment(ask.moment.swap(nanos, Ordering::Relaxed));
        if let Some(before) = before {
            let gap = u64::try_from(now.moment.since(before).as_millis()).unwrap_or(MOST_GAP).clamp(1, MOST_GAP);
            let shifted = |gaps: u64| Some(((gaps << GAP_BITS) | gap) & ((1 << (3 * GAP_BITS)) - 1));
            let _ = ask.gaps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shifted);
        }
        before
    }

    /// How often kubelet asks `endpoint`; nothing before it has asked four times, where it does not ask regularly, or
    /// where it has ended that: nobody asks about the start-up of a container that has started.
    #[must_use]
    pub fn period(&self, endpoint: Endpoint, now: Moment) -> Option<Duration> {
        let last = self.last(endpoint)?;
        let gaps = self.0[endpoint as usize].gaps.load(Ordering::Relaxed);
        let gaps = [0, 1, 2].map(|place| (gaps >> (place * GAP_BITS)) & MOST_GAP);
        let (least, most) = (*gaps.iter().min()?, *gaps.iter().max()?);
        // Kubelet's own delays are far below a second; a second probe of the same endpoint comes in between.
        let is_regular = least > 0 && most < MOST_GAP && most - least <= (least / 5).max(200);
        let period = Duration::from_millis(gaps.iter().sum::<u64>() / 3);
        (is_regular && now.since(last) <= 3 * period).then_some(period)
    }

    /// When kubelet last asked `endpoint`, on the boot clock; nothing before the first time.
    #[must_use]
    pub fn last(&self, endpoint: Endpoint) -> Option<Moment> {
        moment(self.0[endpoint as usize].moment.load(Ordering::Relaxed))
    }

    /// The same for people.
    #[must_use]
    pub fn last_wall(&self, endpoint: Endpoint) -> Option<Timestamp> {
        self.last(endpoint)?;
        Some(Timestamp::from_unix_micros(self.0[endpoint as usize].wall.load(Ordering::Relaxed)))
    }

    /// Which endpoints kubelet has asked, a bit for each.
    #[must_use]
    pub fn seen(&self) -> u8 {
        Endpoint::ALL.into_iter().map(|endpoint| u8::from(self.last(endpoint).is_some()) << endpoint as u8).sum()
    }
}

const GAP_BITS: u32 = 21;
const MOST_GAP: u64 = (1 << GAP_BITS) - 1;

fn moment(nanos: u64) -> Option<Moment> {
    (nanos > 0).then(|| Moment::at(Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_an_endpoint_is_asked_is_known_once_that_is_regular() {
        let period_after = |rest: u64, millis: &[u64]| {
            let asks = GateAsks::default();
            for at in millis {
                let moment = Moment::at(Duration::from_millis(*at));
                let _ = asks.note(Endpoint::Readyz, Reading { moment, wall: Timestamp::default() });
            }
            let now = Moment::at(Duration::from_millis(millis.last().unwrap_or(&0) + rest));
            asks.period(Endpoint::Readyz, now).map(|period| period.as_millis())
        };
        let period = |millis: &[u64]| period_after(0, millis);
        assert_eq!(period(&[]), None);
        assert_eq!(period(&[1_000, 11_000, 21_000]), None);
        assert_eq!(period(&[1_000, 11_000, 21_000, 31_030]), Some(10_010));
        assert_eq!(period(&[1_000, 2_500, 11_000, 12_500, 21_000]), None);
        assert_eq!(period(&[1_000, 5_000, 15_000, 25_000, 35_000]), Some(10_000));
        assert_eq!(period(&[1_000, 100_000_000, 200_000_000, 300_000_000]), None);
        assert_eq!(period_after(30_000, &[1_000, 11_000, 21_000, 31_000]), Some(10_000));
        assert_eq!(period_after(30_001, &[1_000, 11_000, 21_000, 31_000]), None, "it asks no more");
    }

    #[test]
    fn each_endpoint_has_its_own_last_ask_and_none_at_first() {
        let asks = GateAsks::default();
        let at = |seconds| Reading {
            moment: Moment::at(Duration::from_secs(seconds)),
            wall: Timestamp::from_unix_seconds(1_795_257_000),
        };
        assert_eq!(asks.last_wall(Endpoint::Startupz), None);
        assert_eq!(asks.note(Endpoint::Startupz, at(10)), None);
        assert_eq!(asks.note(Endpoint::Startupz, at(20)), Some(at(10).moment));
        assert_eq!(asks.last(Endpoint::Startupz), Some(at(20).moment));
        assert_eq!(asks.last_wall(Endpoint::Startupz), Some(at(20).wall));
        assert_eq!(asks.last(Endpoint::Livez), None);
    }
}
