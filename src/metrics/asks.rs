//! When kubelet last asked each endpoint, without locks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

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
}

impl GateAsks {
    /// Notes that kubelet asks `endpoint` now, and returns when it had asked before.
    pub fn note(&self, endpoint: Endpoint, now: Reading) -> Option<Moment> {
        let ask = &self.0[endpoint as usize];
        let nanos = u64::try_from(now.moment.since_boot().as_nanos()).unwrap_or(u64::MAX).max(1);
        ask.wall.store(now.wall.unix_micros(), Ordering::Relaxed);
        moment(ask.moment.swap(nanos, Ordering::Relaxed))
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

fn moment(nanos: u64) -> Option<Moment> {
    (nanos > 0).then(|| Moment::at(std::time::Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
