//! One check in the registry: who it is, where its ledger stands, and its figures. Pure.

use std::time::Duration;

use super::answer::{CheckMetrics, ServiceRecord, Tick};
use super::figures::Times;
use super::ledger::{Availability, Event, Ledger, Numbers};
use super::storage::{Entry, Storage};
use crate::base::clock::Timestamp;
use crate::model::state::OutcomeKind;

/// Counts of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// By outcome, in the order of [`OutcomeKind::ALL`].
    pub counts: [u64; 3],
    /// How long those that passed or failed took together.
    pub running: Duration,
}

/// A check with its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRecord {
    /// Its number and its name.
    pub entry: Entry,
    /// Its open interval.
    pub ledger: Ledger,
    /// The times of the intervals that have ended and are kept.
    pub past: Times,
    /// The runs that are kept, one by one or in hourly figures.
    pub runs: Runs,
}

impl CheckRecord {
    /// The check stands like this from `at` on.
    pub fn enter(
        &mut self,
        availability: Availability,
        at: Timestamp,
        numbers: &mut Numbers,
        storage: &mut dyn Storage,
    ) {
        if let Some(closed) = self.ledger.enter(availability, at, numbers) {
            self.past.add(closed.availability, closed.length(at));
            storage.interval(self.entry.id, closed);
            storage.interval(self.entry.id, self.ledger.open());
        }
    }

    /// The check as it is shown at `now`.
    #[must_use]
    pub fn service(&self, now: Timestamp) -> ServiceRecord {
        let current = self.current();
        ServiceRecord {
            id: self.entry.id,
            name: self.entry.name.clone(),
            created_at: self.entry.created_at,
            updated_at: current.from,
            current_status: current,
            metric: self.metric(now),
            kept_since: None,
        }
    }

    /// The event that lasts.
    #[must_use]
    pub const fn current(&self) -> Event {
        self.ledger.current()
    }

    fn metric(&self, now: Timestamp) -> CheckMetrics {
        let mut times = self.past;
        let open = self.ledger.open();
        times.add(open.availability, open.length(now));
        let [up_count, down_count, _] = self.runs.counts;
        CheckMetrics {
            average_response_time_ms: self.runs.average_ms(),
            down_count,
            tick_count: self.runs.counts.iter().sum(),
            up_count,
            uptime_percent: times.uptime_percent(),
            coverage_percent: times.coverage_percent(times.total()),
        }
    }
}

impl Runs {
    /// One more run.
    pub fn count(&mut self, tick: &Tick) {
        self.counts[place(tick.outcome)] += 1;
        if let (OutcomeKind::Pass | OutcomeKind::Fail, Some(took)) = (tick.outcome, tick.response_time) {
            self.running = self.running.saturating_add(took);
        }
    }

    /// One run less.
    pub fn discount(&mut self, tick: &Tick) {
        let mut one = Self::default();
        one.count(tick);
        self.take_back(&one);
    }

    /// These runs are no longer kept.
    pub fn take_back(&mut self, less: &Self) {
        for (count, less) in self.counts.iter_mut().zip(less.counts) {
            *count = count.saturating_sub(less);
        }
        self.running = self.running.saturating_sub(less.running);
    }

    #[allow(clippy::cast_precision_loss)] // 53 bits of runs or microseconds are more than there will be
    fn average_ms(&self) -> Option<f64> {
        let runs = self.counts[0] + self.counts[1];
        (runs > 0).then(|| self.running.as_micros() as f64 / 1e3 / runs as f64)
    }
}

/// The place of an outcome in [`OutcomeKind::ALL`], which is its number in a file.
#[must_use]
pub const fn place(outcome: OutcomeKind) -> usize {
    match outcome {
        OutcomeKind::Pass => 0,
        OutcomeKind::Fail => 1,
        OutcomeKind::Skip => 2,
    }
}
