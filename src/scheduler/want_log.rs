//! What the sidecar itself lacks (descriptors, memory, processor time) is told in the log, now and again.

use std::time::Duration;

use super::jump::Lateness;
use crate::base::clock::Moment;
use crate::base::processor;
use crate::base::quantity::show_duration;
use crate::model::outcome::{Failure, FailureKind};
use crate::model::plan::Definition;

/// How often it is logged at most that something of our own is used up, and what.
const INTERVAL: Duration = Duration::from_secs(30);

/// Tells in the log of runs that came to nothing because something of our own was used up, and of a process that does not
/// get to run.
#[derive(Debug)]
pub(super) struct WantLog {
    voids: Occasion,
    lateness: Occasion,
    /// How long the control group had been throttled when that was last told.
    throttled: Duration,
}

/// When something was last told, and how often it has happened, in all and since.
#[derive(Debug, Default)]
struct Occasion {
    told: Option<Moment>,
    all: u64,
    untold: u64,
}

impl Occasion {
    /// It has happened once more. How often since it was last told, where it is to be told.
    fn happens(&mut self, now: Moment) -> Option<u64> {
        self.all += 1;
        self.untold += 1;
        if self.told.is_some_and(|last| now.since(last) < INTERVAL) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl WantLog {
    pub(super) fn new() -> Self {
        let throttled = processor::throttled().unwrap_or_default();
        Self { voids: Occasion::default(), lateness: Occasion::default(), throttled }
    }

    /// A run of the check has come to nothing.
    pub(super) fn void(&mut self, definition: &Definition, why: &Failure, now: Moment) {
        if why.kind != FailureKind::Exhausted {
            return;
        }
        if let Some(runs) = self.voids.happens(now) {
            let (error, detail) = (why.message.as_str(), why.detail.as_deref());
            let throttled = self.throttled_since();
            tracing::warn!(check = %definition.name, runs, error, detail, throttled, "runs have no verdict");
        }
    }

    /// How many runs have come to nothing so far because something of our own was used up.
    pub(super) const fn void_runs(&self) -> u64 {
        self.voids.all
    }

    /// The process did not get to run.
    pub(super) fn late(&mut self, lateness: Lateness, now: Moment) {
        if let Some(times) = self.lateness.happens(now) {
            let throttled = self.throttled_since();
            tracing::warn!(times, throttled, "{}: its checks run late", lateness.shown());
        }
    }

    /// How long the limit of the control group has kept the process from running since this was last told.
    fn throttled_since(&mut self) -> Option<String> {
        let throttled = processor::throttled()?;
        let span = throttled.saturating_sub(std::mem::replace(&mut self.throttled, throttled));
        (span > Duration::ZERO).then(|| format!("by the limit of its control group, for {}", show_duration(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_and_again_is_told_every_half_minute() {
        let mut occasion = Occasion::default();
        let at = |second: u64| Moment::at(Duration::from_secs(second));
        let told: Vec<_> = (100..165).filter_map(|second| Some((second, occasion.happens(at(second))?))).collect();
        assert_eq!((told, occasion.all), (vec![(100, 1), (130, 30), (160, 30)], 65));
    }
}
