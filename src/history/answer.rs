//! What history is told, and what it tells: plain values, without a word of JSON or SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::figures::{ResponseTimes, Times};
use super::ledger::{Event, Interval};
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::outcome::FailureKind;
use crate::model::state::OutcomeKind;

/// One run or skip, as it is handed in.
#[derive(Clone, Copy, Debug)]
pub struct RecordedRun<'a> {
    /// The check that was run.
    pub check: &'a CheckName,
    /// When the run ended.
    pub at: Timestamp,
    /// pass, fail or skip.
    pub outcome: OutcomeKind,
    /// Why it failed.
    pub reason: Option<FailureKind>,
    /// How long it took; nothing for a skip.
    pub took: Option<Duration>,
    /// One line for people; longer ones are clipped.
    pub message: &'a str,
}

/// One run or skip, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its number; a later tick has a greater one.
    pub id: u64,
    /// The number of its check.
    pub check: u32,
    /// When the run ended.
    pub at: Timestamp,
    /// pass, fail or skip.
    pub outcome: OutcomeKind,
    /// Why it failed.
    pub reason: Option<FailureKind>,
    /// How long it took; nothing for a skip.
    pub response_time: Option<Duration>,
    /// One line for people.
    pub message: Box<str>,
}

/// Which part of a list is wanted, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: usize,
    /// Only those with a number below this one.
    pub before: Option<u64>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T> {
    /// What was asked for.
    pub items: Vec<T>,
    /// What to ask for with `before` to get the following ones; nothing when there are none.
    pub next: Option<u64>,
}

impl<T> Part<T> {
    /// The first `limit` of `items`, which hold one more where there is more.
    pub(super) fn of(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> u64) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { next: items.last().filter(|_| more).map(id), items }
    }
}

/// One check with its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRecord {
    /// Its number, kept for as long as its history is.
    pub id: u32,
    /// Its name.
    pub name: CheckName,
    /// When its history began.
    pub created_at: Timestamp,
    /// When it last went up, down or unknown.
    pub updated_at: Timestamp,
    /// What lasts; it is the latest event too.
    pub current_status: Event,
    /// Its figures.
    pub metric: CheckMetrics,
    /// Single runs or changes before this had to be let go, because memory is bounded; nothing where none had to be.
    pub kept_since: Option<Timestamp>,
}

impl ServiceRecord {
    /// The same, so many microseconds later.
    #[must_use]
    pub fn moved(self, micros: i64) -> Self {
        Self {
            created_at: self.created_at.moved(micros),
            updated_at: self.updated_at.moved(micros),
            current_status: self.current_status.moved(micros),
            kept_since: self.kept_since.map(|since| since.moved(micros)),
            ..self
        }
    }
}

/// The figures of one check, over all of its history that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CheckMetrics {
    /// The mean of the runs that passed or failed; nothing before the first.
    pub average_response_time_ms: Option<f64>,
    /// Runs that failed.
    pub down_count: u64,
    /// Runs and skips.
    pub tick_count: u64,
    /// Runs that passed.
    pub up_count: u64,
    /// Time up over time known; nothing when nothing is known.
    pub uptime_percent: Option<f64>,
    /// Time known over all time; nothing before any time has passed.
    pub coverage_percent: Option<f64>,
}

/// A check over the time up to now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// When the window begins.
    pub from: Timestamp,
    /// When it ends: when history was last told the time.
    pub to: Timestamp,
    /// How long the check was up, down, and so on; time before its history began is in none of them.
    pub times: Times,
    /// How fast it answered: of the runs that passed, the newest 10,000.
    pub response_times: ResponseTimes,
}

impl Window {
    /// The same, so many microseconds later.
    #[must_use]
    pub fn moved(self, micros: i64) -> Self {
        Self { from: self.from.moved(micros), to: self.to.moved(micros), ..self }
    }

    /// Time up over time known, in percent; nothing when nothing is known.
    #[must_use]
    pub fn uptime_percent(&self) -> Option<f64> {
        self.times.uptime_percent()
    }

    /// Time known over the whole window, in percent.
    #[must_use]
    pub fn coverage_percent(&self) -> Option<f64> {
        self.times.coverage_percent(self.to.since(self.from))
    }
}

/// A window, and what happened in each part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// All of it.
    pub window: Window,
    /// The same in parts that are equally long, oldest first.
    pub slices: Vec<Times>,
}

/// How it went with a check lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// The last intervals, oldest first.
    pub intervals: Vec<Interval>,
    /// How long the last runs took that passed, oldest first; nothing for one that failed. A skip is no run.
    pub response_times: Vec<Option<Duration>>,
}

/// How much of [`Recent`] is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall {
    /// At most so many intervals.
    pub intervals: usize,
    /// At most so many runs.
    pub runs: usize,
}

/// What must not be forgotten when the sidecar's own container is restarted within its pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// `/readyz` has been open once.
    pub ready_once: bool,
    /// When a drain began.
    pub draining_since: Option<Timestamp>,
    /// The checks that have passed once.
    pub passed_once: BTreeSet<CheckName>,
    /// The last beat that was pushed, by check.
    pub beats: BTreeMap<CheckName, Timestamp>,
    /// When the beats were looked at last. The time in which no daemon ran could take no beat, and makes none older.
    pub looked_at: Option<Timestamp>,
}

impl SavedState {
    /// The same, so many microseconds later.
    #[must_use]
    pub fn moved(mut self, micros: i64) -> Self {
        let dates = [&mut self.draining_since, &mut self.looked_at].into_iter().flatten();
        for date in dates.chain(self.beats.values_mut()) {
            *date = date.moved(micros);
        }
        self
    }
}

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Single runs; hourly figures and events are kept ten times as long.
    pub retention: Duration,
    /// The bound on the file, in bytes.
    pub max_size: u64,
    /// The bound on runs and changes in memory, in bytes.
    pub max_memory: usize,
}

impl Keep {
    /// Single runs before this are not kept.
    #[must_use]
    pub fn ticks_since(&self, now: Timestamp) -> Timestamp {
        now.before(self.retention)
    }

    /// Hourly figures and events before this are not kept.
    #[must_use]
    pub fn figures_since(&self, now: Timestamp) -> Timestamp {
        now.before(self.retention.saturating_mul(10))
    }
}

/// There is no answer: the file is not open yet, or the disk does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryUnavailable;

impl fmt::Display for HistoryUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the history cannot be read at the moment: its file is being opened, or the disk does not answer")
    }
}

impl std::error::Error for HistoryUnavailable {}

/// Where history is kept, and how that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// In memory, because there is no `history.path`.
    InMemory,
    /// The file is being opened.
    Opening,
    /// In the file.
    Stored,
    /// The file cannot be written to at the moment: events wait in memory.
    Waiting,
    /// In memory, because the file cannot be used.
    Refused,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::InMemory, Self::Opening, Self::Stored, Self::Waiting, Self::Refused];

    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InMemory => "in_memory",
            Self::Opening => "opening",
            Self::Stored => "stored",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }
}
