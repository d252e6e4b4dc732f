//! What was: the ups and downs of every check, and its single runs.
//!
//! [`History`] sends messages to one task on a thread of its own, [`writer`], which owns everything: neither a run nor a
//! request waits for the disk, and nothing is locked. [`ledger`], [`figures`], [`registry`] and [`state`] decide, without
//! I/O; [`memory`] keeps things where there is no file; [`job`] is what is done with one, and [`query`] what is asked.
//! Transitions are never dropped (see [`pending`] for the time in which the disk is away), runs are when there are too
//! many, and counted. Nothing here reads a clock; when something was is a matter of [`calendar`]. To keep something more,
//! add it to [`storage::Storage`] and to both of its implementations; to be asked something more, to [`query`].

pub mod answer;
pub mod calendar;
pub mod check_record;
pub mod figures;
pub mod file;
pub mod job;
pub mod ledger;
pub mod memory;
pub mod message;
pub mod pending;
pub mod places;
pub mod query;
pub mod queued_run;
pub mod registry;
pub mod shelf;
pub mod state;
pub mod storage;
pub mod thread;
pub mod writer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::plan::Plan;
use answer::{
    Condition, HistoryUnavailable, Keep, Page, Part, Recall, Recent, RecordedRun, SavedState, ServiceRecord, Span,
    Tick, Window,
};
use calendar::{Boot, Calendar};
use file::FileLocation;
use ledger::{Availability, Event, Interval};
use message::{Message, Published};
use places::Places;
use query::HistoryQuery;
use state::HistoryState;
use thread::HistoryThread;
use writer::Writer;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where history is kept, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file; in memory without one.
    pub path: Option<PathBuf>,
    /// How much is kept.
    pub keep: Keep,
    /// The UID of the pod: what was saved in another one is ignored.
    pub pod: Option<String>,
    /// When the machine was started, as it would be told, where that is known.
    pub boot: Option<Boot>,
}

/// The history of all checks: a sender of messages to the task that owns it. Cheap to clone; telling it something never
/// waits.
#[derive(Clone, Debug)]
pub struct History {
    messages: mpsc::UnboundedSender<Message>,
    places: Places,
    published: Arc<Published>,
    restored: watch::Receiver<Option<SavedState>>,
}

impl History {
    /// Begins at the time `now`. What is told from then on runs with the boot clock, whatever is done to the wall
    /// clock; until [`date`](Self::date) says otherwise, its dates are those that are told. Until a file is open what is
    /// told is kept in memory, and what is asked is not answered. When it cannot be used, everything is kept in memory.
    #[must_use]
    pub fn start(settings: Settings, now: Timestamp) -> Self {
        let (history, thread) = Self::prepare(settings, now);
        thread.start();
        history
    }

    /// The same without its thread: until that is started what is told waits, and what is asked as well.
    pub fn prepare(settings: Settings, now: Timestamp) -> (Self, HistoryThread) {
        let Settings { path, keep, pod, boot } = settings;
        let location = path.map(|path| FileLocation { path, pod: pod.unwrap_or_default() });
        let condition = if location.is_some() { Condition::Opening } else { Condition::InMemory };
        let state = HistoryState::new(keep, Calendar::new(boot));
        let (history, writer) = Self::with_writer(state, location, condition, now);
        let thread = HistoryThread::new(writer, Arc::clone(&history.published));
        (history, thread)
    }

    fn with_writer(
        state: HistoryState,
        location: Option<FileLocation>,
        condition: Condition,
        now: Timestamp,
    ) -> (Self, Writer) {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (restoring, restored) = watch::channel(None);
        let published = Arc::new(Published::new(condition));
        let writer = Writer::new(inbox, Arc::clone(&published), restoring, state, location, now);
        (Self { messages, places: Places::default(), published, restored }, writer)
    }

    /// The checks of `plan` are watched from `at` on, and no others.
    pub fn declare(&self, plan: &Arc<Plan>, at: Timestamp) {
        self.places.make_room_for(plan.checks.len());
        self.tell(Message::Declare(Arc::clone(plan), at));
    }

    /// The check has changed its state at `at`. A [`State`](crate::model::state::State) is one way to say how it
    /// stands; [`Availability::Unknown`] is for a result that has become stale.
    pub fn transition(&self, check: &CheckName, to: impl Into<Availability>, at: Timestamp) {
        self.tell(Message::Transition(check.clone(), to.into(), at));
    }

    /// A check was run, or skipped.
    pub fn record(&self, run: &RecordedRun<'_>) {
        match self.places.take() {
            Some(place) => self.tell(Message::Run(run.into(), place)),
            None => self.published.count_dropped(1),
        }
    }

    /// It is `at` now, and checks are watched. To be said every second: a silence of more than 10 s is a gap, of which
    /// nothing is known.
    pub fn alive(&self, at: Timestamp) {
        self.alive_but(at, BTreeSet::new());
    }

    /// The same, where the checks with these names may stand otherwise than before: after a gap nothing is known of them
    /// until they are told.
    pub fn alive_but(&self, at: Timestamp, unknown: BTreeSet<CheckName>) {
        self.tell(Message::Alive(at, unknown));
    }

    /// The wall clock says `wall` where `told` is told: everything is dated by that, whenever it was.
    pub fn date(&self, told: Timestamp, wall: Timestamp) {
        self.tell(Message::Date { told, wall });
    }

    /// From now on this much is kept.
    pub fn keep(&self, keep: Keep) {
        self.tell(Message::Keep(keep));
    }

    /// Saves what must be known after a restart, all of it.
    pub fn save(&self, saved: SavedState) {
        self.tell(Message::Save(saved));
    }

    fn tell(&self, message: Message) {
        // What is asked is answered after all that was told before.
        let can_wait = match message {
            Message::Run(..) | Message::Alive(..) | Message::Date { .. } => true,
            Message::Transition(..) => !self.published.transition_fills_the_inbox(),
            _ => false,
        };
        // After the end nothing is kept. Nobody has taken the run then.
        if let Err(SendError(Message::Run(..))) = self.messages.send(message) {
            self.published.count_dropped(1);
        }
        if !can_wait || self.places.are_filling() {
            self.published.nudge();
        }
    }

    /// How it goes.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.published.condition()
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

    /// How many ticks were not stored because the history could not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.published.dropped()
    }

    /// What was saved in this pod before the restart. Waits until the file is open, for at most `patience`; nothing when
    /// it is not by then.
    pub async fn saved_state(&self, patience: Duration) -> SavedState {
        let mut restored = self.restored.clone();
        let known = timeout(patience, restored.wait_for(Option::is_some)).await;
        known.ok().and_then(Result::ok).and_then(|restored| restored.clone()).unwrap_or_default()
    }

    /// Every declared check with its figures, in the order of the file.
    ///
    /// # Errors
    /// Until all that is in the file is summed up.
    pub async fn services(&self) -> Result<Vec<ServiceRecord>, HistoryUnavailable> {
        self.look(|state| state.registry.declared().map(|record| state.service(record)).collect()).await
    }

    /// One declared check with its figures, by its number or its name.
    ///
    /// # Errors
    /// Until all that is in the file is summed up.
    pub async fn service(&self, key: &str) -> Result<Option<ServiceRecord>, HistoryUnavailable> {
        let key = key.to_owned();
        self.look(move |state| state.registry.find(&key).map(|record| state.service(record))).await
    }

    /// The number of the declared check of that name.
    ///
    /// # Errors
    /// Until all that is in the file is summed up.
    pub async fn number(&self, check: &CheckName) -> Result<Option<u32>, HistoryUnavailable> {
        let check = check.clone();
        self.look(move |state| state.registry.number(&check)).await
    }

    /// The ups and downs of the check with the number `check`, newest first.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn events(&self, check: u32, page: Page) -> Result<Part<Event>, HistoryUnavailable> {
        self.ask(|reply| Message::Query(HistoryQuery::Events(check, page, reply))).await
    }

    /// The runs of the check with the number `check`, newest first.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn ticks(&self, check: u32, page: Page) -> Result<Part<Tick>, HistoryUnavailable> {
        self.ask(|reply| Message::Query(HistoryQuery::Ticks(check, page, reply))).await
    }

    /// How it went lately with each of the checks with these numbers, in their order: one question, however many.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn recent(&self, checks: &[u32], recall: Recall) -> Result<Vec<Recent>, HistoryUnavailable> {
        self.ask(|reply| Message::Query(HistoryQuery::Recent(checks.to_vec(), recall, reply))).await
    }

    /// The last intervals of the check with the number `check`, oldest first, at most `last`.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn intervals(&self, check: u32, last: usize) -> Result<Vec<Interval>, HistoryUnavailable> {
        let recent = self.recent(&[check], Recall { intervals: last, runs: 0 }).await?;
        Ok(recent.into_iter().flat_map(|recent| recent.intervals).collect())
    }

    /// The check with the number `check` over the last `span`, and in `parts` slices of it.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn span(&self, check: u32, span: Duration, parts: u32) -> Result<Span, HistoryUnavailable> {
        self.ask(|reply| Message::Query(HistoryQuery::Span(check, span, parts, reply))).await
    }

    /// The check with the number `check` over the last `span`.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn window(&self, check: u32, span: Duration) -> Result<Window, HistoryUnavailable> {
        Ok(self.span(check, span, 0).await?.window)
    }

    /// Waits until everything that was told before is in the file, or in memory where there is none.
    ///
    /// # Errors
    /// When it cannot be written now, or the disk does not answer.
    pub async fn flush(&self) -> Result<(), HistoryUnavailable> {
        self.ask(Message::Flush).await?
    }

    /// Writes what waits and closes the file, for at most `patience`. What is told afterwards is not kept.
    pub async fn close(&self, patience: Duration) {
        let (reply, closed) = oneshot::channel();
        self.tell(Message::Close(reply));
        let _ = timeout(patience, closed).await;
    }

    /// What `view` sees of the figures.
    async fn look<T: Send + 'static>(
        &self,
        view: impl FnOnce(&HistoryState) -> T + Send + 'static,
    ) -> Result<T, HistoryUnavailable> {
        let look = |reply: oneshot::Sender<T>| {
            Message::Look(Box::new(move |state| {
                if let Some(state) = state {
                    let _ = reply.send(view(state));
                }
            }))
        };
        self.ask(look).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, HistoryUnavailable> {
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply));
        // What is not known has no answer: the sender is dropped.
        timeout(PATIENCE, answer).await.map_err(|_| HistoryUnavailable)?.map_err(|_| HistoryUnavailable)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::ledger::Availability;
    use super::thread::watch_over;
    use super::*;
    use crate::model::plan::testing::{check, plan};
    use crate::model::state::OutcomeKind;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("probelet-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000_000 + seconds)
    }

    /// Two checks over a minute: `db` fails at 20 and 30, `app` is skipped then.
    async fn story(path: Option<PathBuf>) -> History {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let history = History::start(Settings { path, keep, pod: None, boot: None }, at(0));
        history.saved_state(Duration::from_secs(60)).await;
        history.declare(&plan(vec![check("db"), check("app")]), at(0));
        for seconds in [0, 10, 20, 30, 40, 50] {
            let fails = [20, 30].contains(&seconds);
            for name in ["db", "app"] {
                let (outcome, availability) = match (fails, name) {
                    (false, _) => (OutcomeKind::Pass, Availability::Up),
                    (true, "db") => (OutcomeKind::Fail, Availability::Down),
                    (true, _) => (OutcomeKind::Skip, Availability::Unknown),
                };
                let took = (outcome != OutcomeKind::Skip).then(|| at(seconds).since(at(0)) / 1000);
                let check = &CheckName::new(name).unwrap();
                history.record(&RecordedRun { check, at: at(seconds), outcome, reason: None, took, message: "" });
                history.transition(check, availability, at(seconds));
            }
        }
        history.alive(at(60));
        patiently(async || history.flush().await).await;
        history
    }

    fn told(recent: &Recent) -> (Vec<(Availability, bool)>, Vec<Option<u128>>) {
        let interval = |interval: &Interval| (interval.availability, interval.to.is_none());
        let times = recent.response_times.iter().map(|time| time.map(|time| time.as_millis()));
        (recent.intervals.iter().map(interval).collect(), times.collect())
    }

    /// The answer, however long a busy machine takes for it.
    async fn patiently<T>(ask: impl AsyncFn() -> Result<T, HistoryUnavailable>) -> T {
        let asking = async {
            loop {
                if let Ok(answer) = ask().await {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap()
    }

    async fn tells_the_story(history: &History) {
        use Availability::{Down, Unknown, Up};
        let services = history.services().await.unwrap();
        let ids: Vec<u32> = services.iter().map(|service| service.id).rev().collect();
        let recent = patiently(async || history.recent(&ids, Recall { intervals: 3, runs: 4 }).await).await;
        let recent: Vec<_> = recent.iter().map(told).collect();
        let app = (vec![(Up, false), (Unknown, false), (Up, true)], vec![Some(0), Some(10), Some(40), Some(50)]);
        let db = (vec![(Up, false), (Down, false), (Up, true)], vec![None, None, Some(40), Some(50)]);
        assert_eq!(recent, [app, db]);
        let span = patiently(async || history.span(ids[1], Duration::from_secs(80), 8).await).await;
        let down: Vec<u64> = span.slices.iter().map(|slice| slice.of(Down).as_secs()).collect();
        assert_eq!(down, [0, 0, 0, 0, 10, 10, 0, 0]);
        assert_eq!(span.window.response_times.p90, Some(Duration::from_millis(50)));
    }

    #[tokio::test]
    async fn the_last_intervals_and_runs_of_many_checks_are_one_question() {
        tells_the_story(&story(None).await).await;
        let folder = Folder::new("overview");
        let history = story(Some(folder.0.join("history.db"))).await;
        tells_the_story(&history).await;
        history.close(Duration::from_secs(60)).await;
    }

    #[tokio::test]
    async fn the_end_of_the_thread_by_a_defect_is_told_and_lost_runs_are_counted() {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let state = HistoryState::new(keep, Calendar::new(None));
        let (history, writer) = History::with_writer(state, None, Condition::Stored, at(0));
        let (done, ended) = oneshot::channel();
        drop((writer, done));
        watch_over(ended, Arc::clone(&history.published)).await;
        assert_eq!(history.is_written(), Some(false));
        let (check, outcome) = (&CheckName::new("db").unwrap(), OutcomeKind::Pass);
        history.record(&RecordedRun { check, at: at(1), outcome, reason: None, took: None, message: "" });
        history.transition(check, Availability::Up, at(1));
        assert_eq!(history.dropped(), 1);
    }

    #[tokio::test]
    async fn what_is_told_and_asked_before_there_is_a_thread_is_kept_and_answered() {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let (history, thread) = History::prepare(Settings { path: None, keep, pod: None, boot: None }, at(0));
        // What a start waits for is there.
        assert_eq!(history.saved_state(Duration::ZERO).await, SavedState::default());
        history.declare(&plan(vec![check("db")]), at(0));
        let mut asking = Box::pin(history.service("db"));
        assert!(poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx))).await.is_pending());
        thread.start();
        assert!(asking.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn runs_that_nobody_asks_about_are_taken_together_and_those_of_a_question_before_it() {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let state = HistoryState::new(keep, Calendar::new(None));
        let (history, writer) = History::with_writer(state, None, Condition::InMemory, at(0));
        let polls = Arc::new(AtomicUsize::new(0));
        let (counted, mut writing) = (Arc::clone(&polls), Box::pin(writer.run()));
        tokio::spawn(poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            writing.as_mut().poll(context)
        }));
        history.declare(&plan(vec![check("db")]), at(0));
        let (name, outcome) = (CheckName::new("db").unwrap(), OutcomeKind::Pass);
        for seconds in 1..=60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let took = Some(Duration::from_millis(5));
            history.record(&RecordedRun { check: &name, at: at(seconds), outcome, reason: None, took, message: "" });
            let to = if seconds % 2 == 0 { Availability::Up } else { Availability::Down };
            history.transition(&name, to, at(seconds));
            history.date(at(seconds), at(seconds + 3600));
            history.alive(at(seconds));
        }
        let woken = polls.load(Ordering::Relaxed);
        assert!(woken < 12, "{woken} times in a minute, of which each brings a rest of half a minute");
        let number = history.number(&name).await.unwrap().unwrap();
        let recent = history.recent(&[number], Recall { intervals: 100, runs: 100 }).await.unwrap();
        assert_eq!((recent[0].response_times.len(), recent[0].intervals.len()), (60, 61));
        tokio::task::yield_now().await;
        let before = polls.load(Ordering::Relaxed);
        for change in 0..10 * message::TRANSITIONS {
            let to = if change % 2 == 0 { Availability::Down } else { Availability::Up };
            history.transition(&name, to, at(60));
            tokio::task::yield_now().await;
        }
        let woken = polls.load(Ordering::Relaxed) - before;
        assert!((5..=30).contains(&woken), "{woken} times: they neither pile up nor wake it each");
    }

    #[tokio::test]
    async fn runs_without_a_place_are_dropped_and_counted_and_transitions_wait() {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let state = HistoryState::new(keep, Calendar::new(None));
        let (history, writer) = History::with_writer(state, None, Condition::InMemory, at(0));
        history.declare(&plan(vec![check("db")]), at(0));
        let name = CheckName::new("db").unwrap();
        for second in 1..=3001 {
            let outcome = OutcomeKind::Pass;
            history.record(&RecordedRun {
                check: &name,
                at: at(second),
                outcome,
                reason: None,
                took: None,
                message: "",
            });
            history.transition(&name, if second % 2 == 1 { Availability::Up } else { Availability::Down }, at(second));
        }
        let places = places::room_for(1) as u64;
        assert_eq!(history.dropped(), 3001 - places);
        tokio::spawn(writer.run());
        let service = patiently(async || history.service("db").await).await.unwrap();
        assert_eq!(service.metric.tick_count, places);
        let page = Page { limit: 4000, before: None };
        let events = patiently(async || history.events(service.id, page).await).await.items;
        assert_eq!((events.len(), events[0].from), (3002, at(3001)));
        // There is room again.
        let outcome = OutcomeKind::Pass;
        history.record(&RecordedRun { check: &name, at: at(3002), outcome, reason: None, took: None, message: "" });
        let service = patiently(async || history.service("db").await).await.unwrap();
        assert_eq!(service.metric.tick_count, places + 1);
    }
}
