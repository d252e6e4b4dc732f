//! What was: the ups and downs of every check, and its single runs.
//!
//! [`ledger`], [`figures`] and [`registry`] decide, without I/O; [`memory`] keeps things where there is no file; [`clerk`]
//! writes them to one, on a thread of its own, so that neither a run nor a request waits for the disk. What is told is
//! noted at once; ticks that the disk cannot keep up with are dropped and counted, events never are: see [`pending`].
//! Nothing here reads a clock; when something was is a matter of [`calendar`]. To keep something more, add it to
//! [`registry::Storage`] and to both of its implementations.

pub mod check_record;
pub mod answer;
pub mod registry;
pub mod calendar;
pub mod clerk;
pub mod desk;
pub mod figures;
pub mod file;
pub mod ledger;
pub mod memory;
pub mod overview;
pub mod pending;
pub mod question;
pub mod waiting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::plan::Plan;
use answer::{Away, Condition, Keep, Page, Part, Run, SavedState, Service, Tick, Window};
use calendar::{Boot, Calendar};
use check_record::CheckRecord;
use desk::{Desk, Stage};
use figures::{ResponseTimes, Times};
use file::FileLocation;
use ledger::{Availability, Event, Interval, events};
use memory::Memory;
use question::Question;
use registry::{Marks, Registry};
use waiting::Waiting;

/// So many questions wait for the disk; more are not taken.
const QUESTIONS: usize = 32;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// A window is summed up from at most so many intervals and runs, the newest.
const WINDOW_INTERVALS: usize = 20_000;
const WINDOW_RUNS: usize = 10_000;

/// Where history is kept, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file; in memory without one.
    pub path: Option<PathBuf>,
    /// How much is kept.
    pub keep: Keep,
    /// The UID of the pod: latches of another one are ignored.
    pub pod: Option<String>,
    /// When the machine was started, as it would be told, where that is known.
    pub boot: Option<Boot>,
}

/// The history of all checks. Cheap to clone; telling it something never waits.
#[derive(Clone, Debug)]
pub struct History {
    desk: Arc<Desk>,
    clerk: Option<mpsc::Sender<Question>>,
}

impl History {
    /// Begins at the time `now`. What is told from then on runs with the boot clock, whatever is done to the wall
    /// clock; until [`date`](Self::date) says otherwise, its dates are those that are told. A file is opened on a
    /// thread of its own; until that is done what is told waits, and what is asked is not answered. When it cannot be
    /// used, everything is kept in memory.
    #[must_use]
    pub fn start(settings: Settings, now: Timestamp) -> Self {
        let (keep, calendar) = (settings.keep, Calendar::new(settings.boot));
        let Some(path) = settings.path else {
            let registry = Registry::open([], Marks::EMPTY, &mut Memory::default());
            let desk = Desk::new(Stage::InMemory(registry, Memory::default()), keep, Condition::InMemory, calendar);
            desk.latches.send_replace(Some(SavedState::default()));
            return Self { desk: Arc::new(desk), clerk: None };
        };
        let opening = Stage::Opening(Waiting::default(), None);
        let desk = Arc::new(Desk::new(opening, keep, Condition::Opening, calendar));
        let (clerk, questions) = mpsc::channel(QUESTIONS);
        if let Err(error) = clerk::start(
            Arc::clone(&desk),
            FileLocation { path, pod: settings.pod.unwrap_or_default() },
            now,
            questions,
        ) {
            tracing::error!(%error, "there is no thread for the history file: history is kept in memory until the next start");
            desk.go_on_in_memory();
            desk.give_up_latches();
        }
        Self { desk, clerk: Some(clerk) }
    }

    /// The checks of `plan` are watched from `at` on, and no others.
    pub fn declare(&self, plan: &Arc<Plan>, at: Timestamp) {
        self.desk.declare(plan, at);
    }

    /// The check has changed its state at `at`. A [`State`](crate::model::state::State) is one way to say how it
    /// stands; [`Availability::Unknown`] is for a result that has become stale.
    pub fn transition(&self, check: &CheckName, to: impl Into<Availability>, at: Timestamp) {
        self.desk.enter(check, to.into(), at);
    }

    /// A check was run, or skipped.
    pub fn record(&self, run: &Run<'_>) {
        self.desk.record(run);
    }

    /// It is `at` now, and checks are watched. To be said every second: a silence of more than 10 s is a gap, of which
    /// nothing is known.
    pub fn alive(&self, at: Timestamp) {
        self.desk.see(at);
    }

    /// The wall clock says `wall` where `told` is told: everything is dated by that, whenever it was.
    pub fn date(&self, told: Timestamp, wall: Timestamp) {
        self.desk.date(told, wall);
    }

    /// From now on this much is kept.
    pub fn keep(&self, keep: Keep) {
        self.desk.state().keep = keep;
    }

    /// How it goes.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.desk.state().condition
    }

    /// Whether what is told is written to the file; nothing where there is to be none.
    #[must_use]
    pub fn is_written(&self) -> Option<bool> {
        match self.condition() {
            Condition::InMemory => None,
            Condition::Stored => Some(true),
            Condition::Opening | Condition::Waiting | Condition::Refused => Some(false),
        }
    }

    /// How many ticks were not stored because the store could not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.desk.dropped()
    }

    /// The latches as they were saved in this pod before the restart. Waits until the file is open, for at most
    /// `patience`; none when it is not by then.
    pub async fn latches(&self, patience: Duration) -> SavedState {
        let mut latches = self.desk.latches.subscribe();
        let known = timeout(patience, latches.wait_for(Option::is_some)).await;
        known.ok().and_then(Result::ok).and_then(|latches| latches.clone()).unwrap_or_default()
    }

    /// Saves the latches, all of them.
    pub fn save_latches(&self, latches: SavedState) {
        self.desk.save_latches(latches);
    }

    /// Every declared check with its figures, in the order of the file.
    ///
    /// # Errors
    /// While the file is being opened.
    pub fn services(&self) -> Result<Vec<Service>, Away> {
        let ahead = self.ahead();
        let service = |registry: &Registry, record: &CheckRecord| record.service(registry.marks().seen).moved(ahead);
        self.with_books(|registry| registry.declared().map(|record| service(registry, record)).collect())
    }

    /// One declared check with its figures, by its number or its name.
    ///
    /// # Errors
    /// While the file is being opened.
    pub fn service(&self, key: &str) -> Result<Option<Service>, Away> {
        let ahead = self.ahead();
        self.with_books(|registry| registry.find(key).map(|record| record.service(registry.marks().seen).moved(ahead)))
    }

    /// The number of the declared check of that name.
    ///
    /// # Errors
    /// While the file is being opened.
    pub fn number(&self, check: &CheckName) -> Result<Option<u32>, Away> {
        self.with_books(|registry| registry.number(check))
    }

    /// By how many microseconds dates are ahead of the time of the ledger.
    fn ahead(&self) -> i64 {
        self.desk.state().calendar.ahead()
    }

    fn with_books<T>(&self, view: impl FnOnce(&Registry) -> T) -> Result<T, Away> {
        let state = self.desk.state();
        match &state.stage {
            Stage::InMemory(registry, _) | Stage::InFile(registry, _, _) if state.is_summed_up => Ok(view(registry)),
            _ => Err(Away),
        }
    }

    /// The ups and downs of the check with the number `check`, newest first.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn events(&self, check: u32, page: Page) -> Result<Part<Event>, Away> {
        let Part { items, next } = self.events_of_the_ledger(check, page).await?;
        let ahead = self.ahead();
        Ok(Part { items: items.into_iter().map(|event| event.moved(ahead)).collect(), next })
    }

    async fn events_of_the_ledger(&self, check: u32, page: Page) -> Result<Part<Event>, Away> {
        if let Some(intervals) = self.intervals_in_memory(check)? {
            let mut events = events(intervals);
            // The intervals that the last one began with may have been dropped.
            let current = self.with_books(|registry| registry.record(check).map(CheckRecord::current))?;
            if let Some((last, current)) =
                events.last_mut().zip(current).filter(|(last, current)| last.id == current.id)
            {
                *last = current;
            }
            events.reverse();
            events.retain(|event| page.before.is_none_or(|before| event.id < before));
            return Ok(Part::of(events, page.limit, |event| event.id));
        }
        self.ask(|reply| Question::Events(check, page, reply)).await
    }

    /// The runs of the check with the number `check`, newest first.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn ticks(&self, check: u32, page: Page) -> Result<Part<Tick>, Away> {
        let mut ticks = match self.in_memory(|_, memory| memory.ticks(check, page))? {
            Some(ticks) => ticks,
            None => self.ask(|reply| Question::Ticks(check, page, reply)).await?,
        };
        let ahead = self.ahead();
        for tick in &mut ticks.items {
            tick.at = tick.at.moved(ahead);
        }
        Ok(ticks)
    }

    /// The last intervals of the check with the number `check`, oldest first, at most `last`.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn intervals(&self, check: u32, last: usize) -> Result<Vec<Interval>, Away> {
        let intervals = self.intervals_since(check, Timestamp::from_unix_micros(i64::MIN), last).await?;
        let ahead = self.ahead();
        Ok(intervals.into_iter().map(|interval| interval.moved(ahead)).collect())
    }

    /// The check with the number `check` over the last `span`.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn window(&self, check: u32, span: Duration) -> Result<Window, Away> {
        Ok(self.window_of_the_ledger(check, span).await?.moved(self.ahead()))
    }

    async fn window_of_the_ledger(&self, check: u32, span: Duration) -> Result<Window, Away> {
        let to = self.with_books(|registry| registry.marks().seen)?;
        let from = to.before(span);
        let times = Times::within(self.intervals_since(check, from, WINDOW_INTERVALS).await?, from, to);
        let took = match self.in_memory(|_, memory| memory.response_times(check, from, WINDOW_RUNS))? {
            Some(took) => took,
            None => self.ask(|reply| Question::ResponseTimes(check, from, WINDOW_RUNS, reply)).await?,
        };
        Ok(Window { from, to, times, response_times: ResponseTimes::of(took) })
    }

    async fn intervals_since(&self, check: u32, since: Timestamp, most: usize) -> Result<Vec<Interval>, Away> {
        if let Some(mut intervals) = self.intervals_in_memory(check)? {
            intervals.retain(|interval| interval.to.is_none_or(|to| to > since));
            intervals.drain(..intervals.len().saturating_sub(most));
            return Ok(intervals);
        }
        self.ask(|reply| Question::Intervals(check, since, most, reply)).await
    }

    fn intervals_in_memory(&self, check: u32) -> Result<Option<Vec<Interval>>, Away> {
        self.in_memory(|registry, memory| {
            let open = registry.record(check).map(|record| record.ledger.open());
            memory.intervals(check).chain(open).collect()
        })
    }

    fn in_memory<T>(&self, view: impl FnOnce(&Registry, &Memory) -> T) -> Result<Option<T>, Away> {
        match &self.desk.state().stage {
            Stage::Opening(..) => Err(Away),
            Stage::InMemory(registry, memory) => Ok(Some(view(registry, memory))),
            Stage::InFile(..) => Ok(None),
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, Away> {
        let clerk = self.clerk.as_ref().ok_or(Away)?;
        let (reply, answer) = oneshot::channel();
        clerk.try_send(question(reply)).map_err(|_| Away)?;
        timeout(PATIENCE, answer).await.map_err(|_| Away)?.map_err(|_| Away)
    }

    /// Waits until everything that was told before is in the file; at once without one.
    ///
    /// # Errors
    /// When it cannot be written now, or the disk does not answer.
    pub async fn settle(&self) -> Result<(), Away> {
        match self.in_memory(|_, _| ())? {
            Some(()) => Ok(()),
            None => self.ask(Question::Settle).await?,
        }
    }

    /// Writes what waits and closes the file, for at most `patience`. What is told afterwards is not kept.
    pub async fn close(&self, patience: Duration) {
        let Some(clerk) = &self.clerk else { return };
        let (reply, closed) = oneshot::channel();
        let _ = timeout(patience, async {
            if clerk.send(Question::Close(reply)).await.is_ok() {
                let _ = closed.await;
            }
        })
        .await;
    }
}
