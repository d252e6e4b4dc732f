//! The last things that happened, written once for all who follow.
//!
//! It begins with the first stream: before that nobody can have missed anything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::changes::{Change, JudgedSnapshot, between};
use crate::base::clock::{Clock, Moment, Reading, Timestamp};
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
use crate::server::answer_memory::AnswerMemory;
use crate::server::health::healthz_json;
use crate::store::Board;

/// At most this many events are kept, for clients that are slow or come back.
pub(super) const MOST_EVENTS: usize = 1000;
/// And no more bytes of them.
const MOST_BYTES: usize = 512 * 1024;
/// How often to look whether a result has become too old, which nobody publishes.
const LOOK: Duration = Duration::from_secs(1);
/// After a look at all that is not well: thousands that begin to fail one after the other are looked at no more often.
const PAUSE: Duration = Duration::from_millis(50);
/// For so long one rendering of the snapshot does for all who ask.
const FRESH: Duration = Duration::from_secs(1);

/// What happens.
#[derive(Debug, Default)]
pub(in crate::server) struct Feed {
    record: Mutex<Option<FeedRecord>>,
    wanted: Notify,
    /// The memory of long answers.
    under_way: AnswerMemory,
    news: Arc<Notify>,
}

/// Which checks have been looked at to find out what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Looks {
    /// Those that have changed.
    AtChanges,
    /// All that are not well, because something is judged otherwise.
    AtAll,
}

/// What there is for one who follows.
#[derive(Debug)]
#[must_use = "what has been read comes no second time"]
pub(super) enum FeedRead {
    /// This, as it is to be sent.
    Piece(Bytes),
    /// The whole, which has to be rendered first.
    Whole(Unrendered),
    /// Nothing yet.
    Nothing,
    /// What it wanted next is no longer kept.
    Lost,
    /// Nothing may be told any more.
    Withheld,
}

/// The whole as it is to be sent, before it is rendered.
#[derive(Debug)]
pub(super) struct Unrendered {
    /// The event that it stands for.
    pub(super) id: u64,
    epoch: i64,
    seen: Arc<JudgedSnapshot>,
}

impl Unrendered {
    /// As it is sent at `now`, judged at the moment that the events behind it follow: they tell what is otherwise since.
    pub(super) fn render(&self, now: Timestamp) -> Bytes {
        let reading = Reading { moment: self.seen.at, wall: now };
        piece(self.epoch, self.id, "snapshot", &healthz_json(&self.seen.snapshot, reading))
    }
}

impl Feed {
    /// Nothing has happened yet; what is long of what is sent is counted in `under_way`.
    pub(super) fn new(under_way: AnswerMemory) -> Self {
        Self { under_way, ..Self::default() }
    }

    /// Begins with what is published now, if it has not begun.
    pub(super) fn begin(&self, board: &Board, reading: Reading) {
        if self.record().is_none() {
            let record = FeedRecord::new(board.latest(), reading);
            self.record().get_or_insert(record);
        }
        self.wanted.notify_one();
    }

    /// Writes down what happens, from the first stream on until the writer of the snapshot is gone.
    pub(in crate::server) async fn follow(&self, mut board: Board, clock: Clock) {
        self.wanted.notified().await;
        loop {
            let snapshot = match tokio::time::timeout(LOOK, board.next()).await {
                Ok(None) => return,
                Ok(Some(snapshot)) => snapshot,
                Err(_) => board.latest(),
            };
            if self.observe(snapshot, clock.read()) == Looks::AtAll {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Writes down what has happened up to `snapshot`; which checks it has looked at.
    pub(in crate::server) fn observe(&self, snapshot: Arc<Snapshot>, reading: Reading) -> Looks {
        // Found out and written without the lock: those who follow never wait for it. Nobody else writes meanwhile.
        let Some((before, epoch, newest)) = self.basis() else { return Looks::AtChanges };
        let after = JudgedSnapshot::after(&before, snapshot, reading);
        let looks = if after.is_as(&before) { Looks::AtChanges } else { Looks::AtAll };
        let changes = between(&before, &after, reading);
        let events: Vec<_> = (newest + 1..).zip(changes).map(|(id, change)| event(epoch, id, change)).collect();
        let after = Arc::new(after);
        let is_news = self.record().as_mut().is_some_and(|record| record.add(after, events));
        if is_news {
            self.news.notify_waiters();
        }
        looks
    }

    /// What the next events follow: how things stood, whose events they are, and the number of the last one.
    fn basis(&self) -> Option<(Arc<JudgedSnapshot>, i64, u64)> {
        let record = self.record();
        record.as_ref().map(|record| (Arc::clone(&record.seen), record.epoch, record.newest()))
    }

    /// Becomes ready when there is something new after this call.
    pub(super) fn news(&self) -> OwnedNotified {
        Arc::clone(&self.news).notified_owned()
    }

    /// The place of the event that a client names as its last; nothing when what follows it is not known.
    pub(super) fn place_after(&self, last: &str) -> Option<u64> {
        self.record().as_ref()?.place_after(last)
    }

    /// What comes after `place`, which moves on; without a place everything there is, at once.
    pub(super) fn next(&self, place: &mut Option<u64>, reading: Reading) -> FeedRead {
        self.record().as_ref().map_or(FeedRead::Nothing, |record| record.next(place, reading))
    }

    /// The whole as of the event `id`, where it was rendered for somebody else a moment ago.
    pub(super) fn kept_whole(&self, id: u64, now: Moment) -> Option<Bytes> {
        self.record().as_ref()?.kept_whole(id, now)
    }

    /// `bytes`, counted until the last one who is sent them has taken them.
    pub(super) fn counted(&self, bytes: Bytes) -> Bytes {
        self.under_way.counted(bytes)
    }

    /// Keeps `bytes`, which were rendered at `at`, for others who need the whole as of the event `id`.
    pub(super) fn keep_whole(&self, id: u64, at: Moment, bytes: &Bytes) {
        let kept = KeptWhole::new(id, at, bytes, &self.under_way);
        // What is replaced is dropped without the lock.
        let _replaced = self.record().as_mut().and_then(|record| {
            // What was rendered before less was to be told is for nobody else.
            if id < record.renewed { Some(kept) } else { record.whole.replace(kept) }
        });
    }

    /// Whether nothing may be told any more.
    pub(super) fn is_withheld(&self) -> bool {
        self.record().as_ref().is_some_and(|record| record.seen.details() == Details::None)
    }

    fn record(&self) -> MutexGuard<'_, Option<FeedRecord>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct FeedRecord {
    /// Sets the events of this process apart from those of one before.
    epoch: i64,
    seen: Arc<JudgedSnapshot>,
    /// The events that are kept; a renewal has no bytes of its own.
    events: VecDeque<Option<Bytes>>,
    bytes: usize,
    /// The number of the last event that is no longer kept; the first one kept follows it.
    gone: u64,
    /// A client that has not got this far is sent a whole snapshot.
    renewed: u64,
    /// The whole as it was rendered last. It stays when more happens: others may still wait for just this one.
    whole: Option<KeptWhole>,
}

/// The whole as it is sent, kept for all who need the same.
#[derive(Debug)]
struct KeptWhole {
    /// The event that it stands for.
    id: u64,
    at: Moment,
    bytes: Bytes,
    under_way: AnswerMemory,
}

impl KeptWhole {
    fn new(id: u64, at: Moment, bytes: &Bytes, under_way: &AnswerMemory) -> Self {
        under_way.keeps(bytes.len(), 0);
        Self { id, at, bytes: bytes.clone(), under_way: under_way.clone() }
    }
}

impl Drop for KeptWhole {
    fn drop(&mut self) {
        self.under_way.keeps(0, self.bytes.len());
    }
}

impl FeedRecord {
    fn new(snapshot: Arc<Snapshot>, reading: Reading) -> Self {
        Self {
            epoch: reading.wall.unix_micros(),
            seen: Arc::new(JudgedSnapshot::new(snapshot, reading)),
            events: VecDeque::new(),
            bytes: 0,
            gone: 0,
            renewed: 0,
            whole: None,
        }
    }

    fn newest(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    fn add(&mut self, seen: Arc<JudgedSnapshot>, events: Vec<Option<Bytes>>) -> bool {
        let is_other_about_details = seen.details() != self.seen.details();
        self.seen = seen;
        let is_news = !events.is_empty();
        self.bytes += events.iter().flatten().map(Bytes::len).sum::<usize>();
        self.events.extend(events);
        // What was written before may say more than is to be told now.
        if is_other_about_details {
            self.forget(self.events.len());
            self.renewed = self.gone;
            self.whole = None;
        }
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            self.forget(1);
        }
        is_news
    }

    fn forget(&mut self, count: usize) {
        for event in self.events.drain(..count) {
            self.gone += 1;
            self.bytes -= event.as_ref().map_or(0, Bytes::len);
        }
    }

    fn place_after(&self, last: &str) -> Option<u64> {
        let (epoch, place) = last.split_once('-')?;
        let place: u64 = place.parse().ok().filter(|_| epoch.parse() == Ok(self.epoch))?;
        (self.gone..=self.newest()).contains(&place).then_some(place).filter(|place| *place >= self.renewed)
    }

    fn next(&self, place: &mut Option<u64>, reading: Reading) -> FeedRead {
        if self.seen.details() == Details::None {
            return FeedRead::Withheld;
        }
        let newest = self.newest();
        let at = match *place {
            Some(at) if at >= self.renewed => at,
            _ => return self.whole(newest, place, reading),
        };
        if at < self.gone {
            return FeedRead::Lost;
        }
        let offset = usize::try_from(at - self.gone).unwrap_or(usize::MAX);
        match self.events.get(offset).cloned() {
            None => FeedRead::Nothing,
            Some(Some(event)) => {
                *place = Some(at + 1);
                FeedRead::Piece(event)
            }
            Some(None) => self.whole(at + 1, place, reading),
        }
    }

    fn kept_whole(&self, id: u64, now: Moment) -> Option<Bytes> {
        let kept = self.whole.as_ref()?;
        (kept.id == id && now.since(kept.at) < FRESH).then(|| kept.bytes.clone())
    }

    /// The whole as of the event `id`: the place moves on where it has been rendered.
    fn whole(&self, id: u64, place: &mut Option<u64>, reading: Reading) -> FeedRead {
        if let Some(bytes) = self.kept_whole(id, reading.moment) {
            *place = Some(id);
            return FeedRead::Piece(bytes);
        }
        FeedRead::Whole(Unrendered { id, epoch: self.epoch, seen: Arc::clone(&self.seen) })
    }
}

/// A change as it is sent; the whole that is sent for a renewal is rendered when it is needed.
fn event(epoch: i64, id: u64, change: Change) -> Option<Bytes> {
    match change {
        Change::Tick(json) => Some(piece(epoch, id, "tick", &json)),
        Change::Transition(json) => Some(piece(epoch, id, "transition", &json)),
        Change::Resync => None,
    }
}

fn piece(epoch: i64, id: u64, event: &str, json: &[u8]) -> Bytes {
    let head = format!("id: {epoch}-{id}\nevent: {event}\ndata: ");
    [head.as_bytes(), json, b"\n\n"].concat().into()
}
