//! The one task that owns the history: it takes messages in the order in which they were sent, and lets one job at a time
//! run on the file beside that. However long the disk takes, messages are taken and figures answered.
//!
//! [`HistoryState`] is what it knows, [`Job`] what it does with the file; when is said here, and in `outcome` what comes
//! of it.

mod let_go_log;
mod outcome;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use self::let_go_log::LetGoLog;
use super::answer::{Condition, HistoryUnavailable, SavedState};
use super::file::saved::Saved;
use super::file::{File, FileLocation};
use super::job::{self, Done, Job, PruneStep, Working};
use super::message::{Message, Published};
use super::query::{AnswerTime, HistoryQuery};
use super::state::{HistoryState, Kept};
use crate::base::clock::Timestamp;

/// A file that is not open after this time is done without.
const LONGEST_OPENING: Duration = Duration::from_secs(10);
/// Ticks are written together, this long after the last ones.
const BATCH: Duration = Duration::from_millis(500);
/// A disk that has not answered for this time is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Runs in memory that nobody asks about are taken together: each wake of the task costs more than they do.
const REST: Duration = Duration::from_secs(30);
/// So many questions wait for the disk; more have no answer.
const QUERIES: usize = 32;
/// So many messages are taken before the job on the file is looked after.
const MESSAGES_AT_ONCE: usize = 64;
/// No timer has such a time.
const FAR: Duration = Duration::from_secs(86_400);

/// Owner and writer of the history.
#[must_use = "the history is written only where it runs"]
pub struct Writer {
    inbox: mpsc::UnboundedReceiver<Message>,
    published: Arc<Published>,
    /// What was saved before the restart, as soon as it is known.
    restored: watch::Sender<Option<SavedState>>,
    state: HistoryState,
    /// When history began, as it is told.
    began: Timestamp,
    /// Where the file is, where there is to be one.
    location: Option<Arc<FileLocation>>,
    /// The file, while no job has it.
    file: Option<File>,
    /// The job on the file.
    job: Option<Working<Done>>,
    /// When the job has taken so long that the disk is to blame.
    patience: Option<Instant>,
    salvage: Option<Working<Option<Saved>>>,
    /// Nothing will be known of the time before the restart but what is salvaged.
    is_refused_for_good: bool,
    /// How long a file that cannot be used is left alone, and until when.
    backoff: Option<(Duration, Instant)>,
    /// Until when it rests, unless it is nudged.
    rest: Option<Instant>,
    /// When what waits is written next.
    next_write: Instant,
    /// Sums are wanted of the file, with runs or without.
    sums: Option<bool>,
    /// They could not be had: they are wanted again with the next prune.
    sums_failed: bool,
    /// What was done last: everything has its turn.
    turn: FileTurn,
    /// Questions that wait for the disk.
    queries: VecDeque<HistoryQuery>,
    /// Those who wait until all is in the file, once a batch is written, and with the one that is being written.
    flushes: Vec<oneshot::Sender<Result<(), HistoryUnavailable>>>,
    flushes_under_way: Vec<oneshot::Sender<Result<(), HistoryUnavailable>>>,
    /// How often a broken file was set aside.
    breaks: u32,
    /// It seemed to be broken, and no damage was found.
    is_suspected: bool,
    /// There is more to prune.
    more_to_prune: bool,
    /// The file may have become too large.
    has_grown: bool,
    let_go: LetGoLog,
    closing: Option<Closing>,
}

#[derive(Clone, Copy)]
enum FileTurn {
    Write,
    Answer,
    Prune,
}

/// The end is near.
struct Closing {
    reply: Option<oneshot::Sender<()>>,
    /// What waited was written for the last time, or could not be.
    is_written: bool,
}

impl Writer {
    /// The task, which knows nothing yet. With a `location` it opens the file there.
    pub fn new(
        inbox: mpsc::UnboundedReceiver<Message>,
        published: Arc<Published>,
        restored: watch::Sender<Option<SavedState>>,
        state: HistoryState,
        location: Option<FileLocation>,
        began: Timestamp,
    ) -> Self {
        let location = location.map(Arc::new);
        let mut writer = Self {
            inbox,
            published,
            restored,
            state,
            began,
            location,
            file: None,
            job: None,
            patience: None,
            salvage: None,
            is_refused_for_good: false,
            backoff: None,
            rest: None,
            next_write: Instant::now(),
            sums: None,
            sums_failed: false,
            turn: FileTurn::Prune,
            queries: VecDeque::new(),
            flushes: Vec::new(),
            flushes_under_way: Vec::new(),
            breaks: 0,
            is_suspected: false,
            more_to_prune: false,
            has_grown: false,
            let_go: LetGoLog::default(),
            closing: None,
        };
        if writer.location.is_none() {
            writer.do_without_file();
        }
        writer
    }

    /// Keeps everything in memory, from before it runs: nothing is known of the time before the restart.
    pub fn do_without_file(&mut self) {
        self.location = None;
        self.state.is_summed_up = true;
        self.restored.send_replace(Some(SavedState::default()));
    }

    /// Works until it is told to close, or nobody is left who could tell it anything.
    pub async fn run(mut self) {
        if let Some(location) = &self.location {
            self.job = Some(job::open(Arc::clone(location), self.began));
            self.patience = Some(Instant::now() + LONGEST_OPENING);
        }
        while !self.is_closed() {
            self.begin_job();
            self.rest = self.rest.filter(|until| Instant::now() < *until);
            let wake = self.next_wake();
            tokio::select! {
                message = self.inbox.recv(), if self.closing.is_none() && self.rest.is_none() => {
                    self.take_messages(message);
                }
                () = self.published.nudged(), if self.rest.is_some() => self.rest = None,
                done = finished(&mut self.job) => self.finish(done),
                saved = finished(&mut self.salvage) => self.take_salvaged(saved),
                () = sleep_until(wake) => self.look_at_patience(),
            }
        }
        if let Some(reply) = self.closing.and_then(|closing| closing.reply) {
            let _ = reply.send(());
        }
    }

    /// A file that cannot be used is not waited for.
    fn is_closed(&self) -> bool {
        let is_busy = self.file.is_some() || self.job.is_some() && self.published.condition() != Condition::Refused;
        self.closing.is_some() && !is_busy
    }

    fn next_wake(&self) -> Instant {
        let backoff = self.backoff.map(|(_, until)| until).filter(|_| self.job.is_none());
        let write = self.file.is_some().then_some(self.next_write);
        let wakes = [self.patience, backoff, write, self.rest].into_iter().flatten();
        wakes.min().unwrap_or_else(|| Instant::now() + FAR)
    }

    fn is_well(&self) -> bool {
        self.published.condition() == Condition::Stored
    }

    // What it is told.

    fn take_messages(&mut self, first: Option<Message>) {
        let Some(first) = first else {
            self.closing = Some(Closing { reply: None, is_written: false });
            return;
        };
        self.take(first);
        for _ in 1..MESSAGES_AT_ONCE {
            if self.closing.is_some() {
                break;
            }
            let Ok(message) = self.inbox.try_recv() else { break };
            self.take(message);
        }
        self.published.count_dropped(self.state.take_dropped());
        self.let_go.tell(self.state.take_let_go());
        let may_rest = self.location.is_none() && self.inbox.is_empty() && self.closing.is_none();
        self.rest = may_rest.then(|| Instant::now() + REST);
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Declare(plan, at) => self.state.declare(plan, at),
            Message::Transition(check, to, at) => self.state.transition(&check, to, at),
            Message::Run(run, _place) => self.state.run(run),
            Message::Alive(at, unknown) => self.state.alive(at, &unknown),
            Message::Date { told, wall } => self.state.date(told, wall),
            Message::Keep(keep) => self.state.keep(keep),
            Message::Save(saved) => self.state.save(saved),
            Message::Look(look) => look(Some(&self.state).filter(|state| state.is_summed_up)),
            Message::Query(query) => self.take_query(query),
            Message::Flush(reply) => self.take_flush(reply),
            Message::Close(reply) => self.closing = Some(Closing { reply: Some(reply), is_written: false }),
        }
    }

    fn take_query(&mut self, query: HistoryQuery) {
        match &self.state.kept {
            // Nobody knows what is in the file.
            Kept::InMemory(_) if !self.state.is_summed_up => {}
            Kept::InMemory(memory) => {
                let time = AnswerTime::of(&query, &self.state.registry, &self.state.calendar);
                query.answer_from_memory(&self.state.registry, memory, time);
            }
            Kept::InFile(..) => {
                self.queries.retain(HistoryQuery::is_wanted);
                if self.queries.len() < QUERIES {
                    self.queries.push_back(query);
                }
            }
        }
    }

    fn take_flush(&mut self, reply: oneshot::Sender<Result<(), HistoryUnavailable>>) {
        if let Kept::InFile(..) = self.state.kept {
            self.flushes.push(reply);
        } else {
            let _ = reply.send(if self.state.is_summed_up { Ok(()) } else { Err(HistoryUnavailable) });
        }
    }

    // What it does with the file.

    fn begin_job(&mut self) {
        if self.job.is_some() {
            return;
        }
        if self.file.is_none() {
            return self.try_again();
        }
        if let Some(next) = self.next_job()
            && let Some(file) = self.file.take()
        {
            self.begin(next, file);
        }
    }

    fn begin(&mut self, job: Job, file: File) {
        let Some(location) = self.location.clone() else { return };
        self.patience = job.is_short().then(|| Instant::now() + PATIENCE);
        self.job = Some(Box::pin(job.run(file, location)));
    }

    fn try_again(&mut self) {
        let is_time = self.backoff.is_some_and(|(_, until)| Instant::now() >= until);
        if let Some(location) = self.location.as_ref().filter(|_| is_time) {
            self.job = Some(job::open(Arc::clone(location), self.state.seen().max(self.began)));
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        if !self.is_well() && self.sums.is_none() {
            answer_all(&mut self.flushes, Err(HistoryUnavailable));
        }
        if let Some(closing) = &mut self.closing {
            let is_written = std::mem::replace(&mut closing.is_written, true);
            let last = if is_written { None } else { self.state.batch(true) };
            return Some(last.map_or(Job::Close, |(batch, marks)| Job::Write(batch, marks)));
        }
        if let Some(with_runs) = self.sums.take() {
            return Some(Job::SumUp { with_runs });
        }
        for _ in 0..3 {
            let job = match self.turn {
                FileTurn::Prune => self.write(),
                FileTurn::Write => self.answer(),
                FileTurn::Answer => self.prune(),
            };
            self.turn = self.turn.next();
            if job.is_some() {
                return job;
            }
        }
        None
    }

    fn write(&mut self) -> Option<Job> {
        let Kept::InFile(pending, _) = &self.state.kept else { return None };
        let is_urgent = self.is_well() && (pending.is_urgent() || pending.is_filling() || !self.flushes.is_empty());
        let is_time = Instant::now() >= self.next_write;
        if !(is_urgent || is_time) {
            return None;
        }
        self.next_write = Instant::now() + BATCH;
        // Whether a disk takes more shows when it is written to.
        let Some((batch, marks)) = self.state.batch(!self.is_well()) else {
            answer_all(&mut self.flushes, Ok(()));
            return None;
        };
        self.flushes_under_way.append(&mut self.flushes);
        Some(Job::Write(batch, marks))
    }

    fn answer(&mut self) -> Option<Job> {
        self.queries.retain(HistoryQuery::is_wanted);
        let query = self.queries.pop_front()?;
        let Kept::InFile(pending, _) = &self.state.kept else { return None };
        let time = AnswerTime::of(&query, &self.state.registry, &self.state.calendar);
        Some(Job::Answer(query, pending.clone(), time))
    }

    /// One step towards a file within its bounds, when it is time.
    fn prune(&mut self) -> Option<Job> {
        if !self.is_well() {
            return None;
        }
        let now = self.state.seen();
        let is_due = self.state.is_time_to_prune(now);
        if !(is_due || self.more_to_prune || std::mem::take(&mut self.has_grown)) {
            return None;
        }
        if is_due {
            self.state.forget_before(now);
        }
        let checks = self.state.registry.all().map(|record| record.entry.id).collect();
        Some(Job::Prune(PruneStep { is_due, more: self.more_to_prune, keep: self.state.keep, now, checks }))
    }
}

impl FileTurn {
    const fn next(self) -> Self {
        match self {
            Self::Write => Self::Answer,
            Self::Answer => Self::Prune,
            Self::Prune => Self::Write,
        }
    }
}

fn answer_all(
    waiting: &mut Vec<oneshot::Sender<Result<(), HistoryUnavailable>>>,
    answer: Result<(), HistoryUnavailable>,
) {
    for reply in waiting.drain(..) {
        let _ = reply.send(answer);
    }
}

/// What `work` comes to, which is never when there is none.
async fn finished<T>(work: &mut Option<Working<T>>) -> T {
    match work {
        Some(working) => {
            let done = working.await;
            *work = None;
            done
        }
        None => pending().await,
    }
}
