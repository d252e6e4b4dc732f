//! Questions about the past of single checks, and their answers: from memory, or from the file with what waits for it
//! laid over that.

use std::time::Duration;

use tokio::sync::oneshot;

use super::answer::{Page, Part, Recall, Recent, Span, Tick, Window};
use super::calendar::Calendar;
use super::check_record::CheckRecord;
use super::figures::{ResponseTimes, Times, slices};
use super::file::{File, FileFault};
use super::ledger::{Event, Interval, events, overlay};
use super::memory::Memory;
use super::pending::Pending;
use super::registry::Registry;
use crate::base::clock::Timestamp;
use crate::model::state::OutcomeKind;

/// A window is summed up from at most so many intervals and runs, the newest.
const WINDOW_INTERVALS: usize = 20_000;
const WINDOW_RUNS: usize = 10_000;
/// Before everything.
const ALWAYS: Timestamp = Timestamp::from_unix_micros(i64::MIN);

/// A query, with the channel for its answer. Where it is dropped there is no answer.
#[derive(Debug)]
pub enum HistoryQuery {
    /// The events of a check.
    Events(u32, Page, oneshot::Sender<Part<Event>>),
    /// The runs of a check.
    Ticks(u32, Page, oneshot::Sender<Part<Tick>>),
    /// How it went lately with each of these checks.
    Recent(Vec<u32>, Recall, oneshot::Sender<Vec<Recent>>),
    /// A check over the time up to now, and in so many slices of it.
    Span(u32, Duration, u32, oneshot::Sender<Span>),
}

/// What an answer needs to know beside what is stored.
#[derive(Clone, Copy, Debug)]
pub struct AnswerTime {
    /// When there was last a sign of life, in the time of the ledger.
    seen: Timestamp,
    /// By how many microseconds dates are ahead of the time of the ledger.
    ahead: i64,
    /// The event that lasts, of the check whose events are asked for: the intervals that it began with may be gone.
    lasting: Option<Event>,
}

impl AnswerTime {
    /// As it is now.
    #[must_use]
    pub fn of(query: &HistoryQuery, registry: &Registry, calendar: &Calendar) -> Self {
        let lasting = match query {
            HistoryQuery::Events(check, ..) => registry.record(*check).map(CheckRecord::current),
            _ => None,
        };
        Self { seen: registry.marks().seen, ahead: calendar.ahead(), lasting }
    }
}

impl HistoryQuery {
    /// Whether the answer is still waited for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !match self {
            Self::Events(_, _, reply) => reply.is_closed(),
            Self::Ticks(_, _, reply) => reply.is_closed(),
            Self::Recent(_, _, reply) => reply.is_closed(),
            Self::Span(_, _, _, reply) => reply.is_closed(),
        }
    }

    /// Answers from memory. An answer that is no longer waited for is dropped, here as below.
    pub fn answer_from_memory(self, registry: &Registry, memory: &Memory, time: AnswerTime) {
        let open = |check: u32| registry.record(check).map(|record| record.ledger.open());
        let intervals = |check: u32| memory.intervals(check).chain(open(check)).collect::<Vec<_>>();
        match self {
            Self::Events(check, page, reply) => {
                let _ = reply.send(time.date_events(page_of(events(intervals(check)), page)));
            }
            Self::Ticks(check, page, reply) => {
                let _ = reply.send(time.date_ticks(memory.ticks(check, page)));
            }
            Self::Recent(checks, recall, reply) => {
                let mut recent = memory.recent(&checks, recall);
                for (check, recent) in checks.iter().zip(&mut recent) {
                    recent.intervals.extend(open(*check));
                }
                let _ = reply.send(time.date_recent(recent));
            }
            Self::Span(check, span, parts, reply) => {
                let from = time.seen.before(span);
                let intervals = newest_since(intervals(check), from, WINDOW_INTERVALS);
                let took = memory.response_times(check, from, WINDOW_RUNS);
                let _ = reply.send(time.span(from, &intervals, took, parts));
            }
        }
    }

    /// Answers from the file, for which `pending` waits.
    ///
    /// # Errors
    /// What went wrong with the file; there is no answer then.
    pub async fn answer_from_file(self, file: &mut File, pending: &Pending, time: AnswerTime) -> Result<(), FileFault> {
        let mut stored = Stored { file, pending };
        match self {
            Self::Events(check, page, reply) => {
                let _ = reply.send(time.date_events(stored.events(check, page).await?));
            }
            Self::Ticks(check, page, reply) => {
                let _ = reply.send(time.date_ticks(stored.ticks(check, page).await?));
            }
            Self::Recent(checks, recall, reply) => {
                let mut recent = Vec::with_capacity(checks.len());
                for check in checks {
                    let intervals = stored.intervals(check, ALWAYS, recall.intervals).await?;
                    recent.push(Recent { intervals, response_times: stored.latest_times(check, recall.runs).await? });
                }
                let _ = reply.send(time.date_recent(recent));
            }
            Self::Span(check, span, parts, reply) => {
                let from = time.seen.before(span);
                let intervals = stored.intervals(check, from, WINDOW_INTERVALS).await?;
                let took = stored.response_times(check, from).await?;
                let _ = reply.send(time.span(from, &intervals, took, parts));
            }
        }
        Ok(())
    }
}

/// The file, and what waits to be written to it.
struct Stored<'a> {
    file: &'a mut File,
    pending: &'a Pending,
}

impl Stored<'_> {
    async fn intervals(&mut self, check: u32, since: Timestamp, most: usize) -> Result<Vec<Interval>, FileFault> {
        let stored = self.file.intervals(check, since, most).await?;
        let waiting = self.pending.intervals_of(check).collect();
        Ok(newest_since(overlay(stored, waiting, |interval| interval.id, |_, newer| newer), since, most))
    }

    async fn events(&mut self, check: u32, page: Page) -> Result<Part<Event>, FileFault> {
        let stored = self.file.events(check, page).await?;
        let waiting = events(self.pending.intervals_of(check));
        let merge = |older: Event, newer: Event| Event { from: older.from, ..newer };
        Ok(page_of(overlay(stored, waiting, |event| event.id, merge), page))
    }

    async fn ticks(&mut self, check: u32, page: Page) -> Result<Part<Tick>, FileFault> {
        let (waiting, before) = self.waiting(check);
        let wanted = waiting.into_iter().filter(|tick| page.before.is_none_or(|before| tick.id < before));
        let mut ticks: Vec<Tick> = wanted.take(page.limit.saturating_add(1)).cloned().collect();
        let before = page.before.into_iter().chain(before).min();
        ticks.extend(self.file.ticks(check, Page { before, ..page }).await?);
        Ok(Part::of(ticks, page.limit, |tick| tick.id))
    }

    async fn response_times(&mut self, check: u32, from: Timestamp) -> Result<Vec<Duration>, FileFault> {
        let (waiting, before) = self.waiting(check);
        let passed = waiting.iter().filter(|tick| tick.at >= from && tick.outcome == OutcomeKind::Pass);
        let mut took: Vec<Duration> = passed.filter_map(|tick| tick.response_time).collect();
        let most = WINDOW_RUNS.saturating_sub(waiting.len());
        took.extend(self.file.response_times(check, from, before, most).await?);
        Ok(took)
    }

    /// Of the newest runs, oldest first; nothing for one that failed.
    async fn latest_times(&mut self, check: u32, most: usize) -> Result<Vec<Option<Duration>>, FileFault> {
        let (waiting, before) = self.waiting(check);
        let runs = waiting.into_iter().filter(|tick| tick.outcome != OutcomeKind::Skip).take(most);
        let mut times: Vec<Option<Duration>> =
            runs.map(|tick| tick.response_time.filter(|_| tick.outcome == OutcomeKind::Pass)).collect();
        times.extend(self.file.latest_times(check, before, most - times.len()).await?);
        times.reverse();
        Ok(times)
    }

    /// The ticks of a check that wait, newest first, and the number of the oldest: what could not be written may be in
    /// the file after all, from there on.
    fn waiting(&self, check: u32) -> (Vec<&Tick>, Option<u64>) {
        let waiting: Vec<&Tick> = self.pending.ticks_of(check).collect();
        let oldest = waiting.last().map(|tick| tick.id);
        (waiting, oldest)
    }
}

impl AnswerTime {
    fn span(self, from: Timestamp, intervals: &[Interval], took: Vec<Duration>, parts: u32) -> Span {
        let (to, times) = (self.seen, Times::within(intervals.iter().copied(), from, self.seen));
        let window = Window { from, to, times, response_times: ResponseTimes::of(took) };
        Span { window: window.moved(self.ahead), slices: slices(intervals, from, to, parts) }
    }

    fn date_events(self, part: Part<Event>) -> Part<Event> {
        let whole = |event: Event| self.lasting.filter(|lasting| lasting.id == event.id).unwrap_or(event);
        Part { items: part.items.into_iter().map(|event| whole(event).moved(self.ahead)).collect(), ..part }
    }

    fn date_ticks(self, part: Part<Tick>) -> Part<Tick> {
        let date = |tick: Tick| Tick { at: tick.at.moved(self.ahead), ..tick };
        Part { items: part.items.into_iter().map(date).collect(), ..part }
    }

    fn date_recent(self, mut recent: Vec<Recent>) -> Vec<Recent> {
        for interval in recent.iter_mut().flat_map(|recent| &mut recent.intervals) {
            *interval = interval.moved(self.ahead);
        }
        recent
    }
}

/// Of `events`, oldest first, those of the page, newest first.
fn page_of(events: Vec<Event>, page: Page) -> Part<Event> {
    let is_wanted = |event: &Event| page.before.is_none_or(|before| event.id < before);
    let wanted = events.into_iter().rev().filter(is_wanted).take(page.limit.saturating_add(1)).collect();
    Part::of(wanted, page.limit, |event| event.id)
}

/// Of `intervals`, oldest first, the newest that last beyond `since`.
fn newest_since(mut intervals: Vec<Interval>, since: Timestamp, most: usize) -> Vec<Interval> {
    intervals.retain(|interval| interval.to.is_none_or(|to| to > since));
    intervals.drain(..intervals.len().saturating_sub(most));
    intervals
}
