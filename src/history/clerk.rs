//! The one who writes: a thread that opens the file, writes what waits, answers from the file, and keeps it in bounds.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{Away, Condition};
use super::desk::{Desk, Stage};
use super::file::load::Contents;
use super::file::{Fault, File, FileLocation};
use super::pending::Pending;
use super::question::Question;
use super::registry::{Marks, Registry};
use crate::base::clock::Timestamp;
use crate::base::lane;

/// A file that is not open after this time is done without.
const LONGEST_OPENING: Duration = Duration::from_secs(10);
/// Ticks are written together, this long after the last ones.
const BATCH: Duration = Duration::from_millis(500);
/// A disk that could not be written to is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// So often a broken file is set aside; one more is not the file's fault.
const MOST_BREAKS: u32 = 3;
/// A file that cannot be used is tried again after this time, and then less and less often.
const AGAIN: Duration = Duration::from_secs(1);
/// Not less often than this.
const SELDOM: Duration = Duration::from_secs(60);
/// What was saved beside a file that cannot be used is waited for this long.
const SALVAGE: Duration = Duration::from_secs(1);
/// A disk that has not answered for this time is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the clerk's thread.
///
/// # Errors
/// When the system gives us none.
pub fn start(
    desk: Arc<Desk>,
    place: FileLocation,
    now: Timestamp,
    questions: mpsc::Receiver<Question>,
) -> io::Result<()> {
    lane::start(lane::runtime_without_sockets()?, "history", 512 * 1024, work(desk, place, now, questions)).map(drop)
}

async fn work(desk: Arc<Desk>, place: FileLocation, now: Timestamp, mut questions: mpsc::Receiver<Question>) {
    // Whatever is tried on a disk that hangs hangs too: it is not given up and tried once more, but waited for.
    let mut opening: Opening<'_> = Box::pin(File::open(&place, now));
    let mut opened = match timeout(LONGEST_OPENING, &mut opening).await {
        Ok(Ok((file, contents))) => {
            begin(&desk, contents, now);
            Some(file)
        }
        Ok(Err(fault)) => wait_until_usable(&desk, &place, fault, now, None, &mut questions).await,
        Err(_) => {
            let fault = Fault::Away("the disk does not answer".into());
            wait_until_usable(&desk, &place, fault, now, Some(opening), &mut questions).await
        }
    };
    let mut breaks = 0;
    while let Some(file) = opened {
        let next = Instant::now();
        let mut clerk = Clerk {
            desk: &desk,
            place: &place,
            file: Some(file),
            next,
            breaks,
            more: false,
            has_grown: true,
            lost: None,
            is_suspected: false,
        };
        clerk.serve(&mut questions).await;
        breaks = clerk.breaks;
        let Some(fault) = clerk.lost else { return };
        opened = wait_until_usable(&desk, &place, fault, now, None, &mut questions).await;
    }
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<(File, Contents), Fault>> + Send + 'a>>;

/// Keeps history in memory because of a fault until the file can be used, then goes on in it; nothing when nobody wants
/// that any more, or the file is not ours.
async fn wait_until_usable<'a>(
    desk: &Desk,
    place: &'a FileLocation,
    mut fault: Fault,
    began: Timestamp,
    mut opening: Option<Opening<'a>>,
    questions: &mut mpsc::Receiver<Question>,
) -> Option<File> {
    let path = place.path.display();
    if fault == Fault::InUse {
        tracing::warn!(%path, "another process has the history file open: history is kept in memory until that one is gone");
        desk.go_on_in_memory();
    } else {
        without(desk, place, &fault, began).await;
    }
    let mut pause = AGAIN;
    loop {
        if matches!(fault, Fault::Foreign(_)) {
            return None;
        }
        let attempt = async {
            match &mut opening {
                Some(opening) => opening.await,
                None => {
                    tokio::time::sleep(pause).await;
                    opening.insert(Box::pin(File::open(place, desk.seen()))).await
                }
            }
        };
        let question = tokio::select! {
            question = questions.recv() => question?,
            opened = attempt => match opened {
                Ok((file, contents)) => {
                    tracing::info!(%path, "the history file is free: history goes on in it");
                    desk.go_on_in_file(contents);
                    return Some(file);
                }
                Err(again) => {
                    if matches!(again, Fault::Foreign(_)) {
                        without(desk, place, &again, began).await;
                    }
                    pause = if again == Fault::InUse { AGAIN } else { pause.saturating_mul(2).min(SELDOM) };
                    (fault, opening) = (again, None);
                    continue;
                }
            },
        };
        if let Question::Close(closed) = question {
            let _ = closed.send(());
            return None;
        }
    }
}

/// Keeps history in memory because of a fault, with what was saved beside the file where that can be read.
async fn without(desk: &Desk, place: &FileLocation, fault: &Fault, began: Timestamp) {
    let (path, reason) = (place.path.display(), fault.text());
    let is_final = matches!(fault, Fault::Foreign(_));
    let until = if is_final { "until the next start" } else { "until it can" };
    tracing::error!(%path, reason, "the history file cannot be used: history is kept in memory {until}");
    desk.go_on_in_memory();
    match timeout(SALVAGE, File::salvage(place)).await {
        Ok(Some(saved)) => {
            let mut calendar = desk.state().calendar.clone();
            calendar.go_on(&saved.reckoning, Marks::EMPTY.seen, began);
            desk.remember(saved.latches.moved(calendar.shift().saturating_neg()));
        }
        // What is in the file may become known.
        _ if is_final => desk.give_up_latches(),
        _ => {}
    }
}

/// Opens the registry as they were left, and writes into them what was told since `now`.
fn begin(desk: &Desk, contents: Contents, now: Timestamp) {
    let Contents { records, marks, latches, reckoning } = contents;
    let mut state = desk.state();
    state.calendar.go_on(&reckoning, marks.seen, now);
    let calendar = state.calendar.clone();
    let latches = latches.moved(calendar.shift().saturating_neg());
    let mut pending = Pending::after(marks.next_interval.saturating_sub(1));
    let mut registry = Registry::open(records, marks, &mut pending);
    if let Stage::Opening(waiting, saved) = &mut state.stage {
        pending.latches = saved.take().map(|saved| saved.moved(calendar.shift()));
        std::mem::take(waiting).tell(&mut registry, &mut pending, &calendar);
    }
    pending.reckoning = Some(calendar.reckoning());
    state.stage = Stage::InFile(registry, pending, marks);
    state.latches.get_or_insert_with(|| latches.clone());
    drop(state);
    desk.latches.send_replace(Some(latches));
}

struct Clerk<'a> {
    desk: &'a Desk,
    place: &'a FileLocation,
    file: Option<File>,
    /// Why there is no file any more.
    lost: Option<Fault>,
    /// When what waits is written next.
    next: Instant,
    /// So often a broken file was set aside.
    breaks: u32,
    /// It seemed to be broken, and no damage was found.
    is_suspected: bool,
    /// There is more to prune.
    more: bool,
    /// The file may have become too large.
    has_grown: bool,
}

impl Clerk<'_> {
    /// Until the file is closed or lost.
    async fn serve(&mut self, questions: &mut mpsc::Receiver<Question>) {
        self.sum_up(true).await;
        while self.file.is_some() {
            let question = tokio::select! {
                question = questions.recv() => match question {
                    Some(question) => Some(question),
                    None => break,
                },
                () = self.desk.urgent.notified(), if self.is_well() => None,
                () = sleep_until(self.next) => None,
            };
            if question.is_none() {
                self.next = Instant::now() + BATCH;
            }
            let is_flushed = (self.is_well() || question.is_none()) && self.flush(false).await;
            match question {
                Some(Question::Close(closed)) => {
                    self.close().await;
                    let _ = closed.send(());
                    return;
                }
                // Whoever asks may have gone by now.
                Some(Question::Settle(reply)) => drop(reply.send(if is_flushed { Ok(()) } else { Err(Away) })),
                Some(question) => self.answer(question).await,
                None => {}
            }
            self.prune().await;
        }
        self.close().await;
    }

    fn is_well(&self) -> bool {
        self.desk.state().condition == Condition::Stored
    }

    /// Writes what waits; whether it is in the file now.
    async fn flush(&mut self, is_last: bool) -> bool {
        // Whether a disk takes more shows when it is written to.
        let is_overdue = is_last || !self.is_well();
        let Some(file) = &mut self.file else { return false };
        let Some((batch, marks)) = self.desk.take(is_overdue) else { return true };
        match patiently(self.desk, file.write(&batch, marks)).await {
            Ok(()) => {
                self.has_grown = true;
                self.desk.was_written(marks);
                report_back(self.desk);
                let is_summed_up = self.desk.state().is_summed_up;
                if !is_summed_up {
                    self.sum_up(true).await;
                }
                true
            }
            Err(fault) => {
                self.desk.put_back(batch);
                self.suffer(fault).await;
                false
            }
        }
    }

    /// Does what can be done about a fault.
    async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Foreign(_) => {
                if let Some(file) = self.file.take() {
                    file.abandon();
                }
                self.lost = Some(fault);
            }
            Fault::Away(_) | Fault::InUse => {
                self.next = Instant::now() + RETRY;
                report_away(self.desk, fault.text());
            }
            Fault::Lost(_) => self.open_again(None).await,
            Fault::Broken(why) => self.suspect(why).await,
        }
    }

    /// Looks once more at a file that seems to be broken: where a disk fails for a moment SQLite may take a sound file
    /// for one. What is not found then and shows a second time is damage too.
    async fn suspect(&mut self, why: String) {
        let Some(file) = &mut self.file else { return };
        if !self.is_suspected
            && let Ok(()) = patiently(self.desk, file.check()).await
        {
            self.is_suspected = true;
            self.next = Instant::now() + RETRY;
            return report_away(self.desk, &why);
        }
        self.is_suspected = false;
        self.open_again(Some(why)).await;
    }

    /// Closes the file and opens it anew, set aside before when it is `broken`.
    async fn open_again(&mut self, broken: Option<String>) {
        let Some(file) = self.file.take() else { return };
        let now = self.desk.seen();
        let is_in_place = file.is_in_place().await;
        if is_in_place {
            file.close().await;
        } else {
            file.leave().await;
        }
        let opened = match broken.filter(|_| is_in_place) {
            Some(why) if self.breaks == MOST_BREAKS => Err(Fault::Foreign(format!("it breaks again and again: {why}"))),
            Some(why) => {
                self.breaks += 1;
                File::replace(self.place, now, &why).await
            }
            None => File::open(self.place, now).await,
        };
        match opened {
            Ok((file, contents)) if self.resume(&contents) => {
                self.file = Some(file);
                self.next = Instant::now() + RETRY;
            }
            Ok((file, _)) => {
                file.close().await;
                self.lost = Some(Fault::Away("another file has taken its place".into()));
            }
            Err(fault) => self.lost = Some(fault),
        }
    }

    /// Goes on with a file that is new, or as it was left; whether it is either.
    fn resume(&self, contents: &Contents) -> bool {
        let mut state = self.desk.state();
        let latches = state.latches.clone().map(|latches| latches.moved(state.calendar.shift()));
        let reckoning = state.calendar.reckoning();
        let Stage::InFile(registry, pending, stored) = &mut state.stage else { return false };
        // What could not be written may be in the file after all.
        let is_as_it_was_left = contents.marks == *stored || contents.marks.is_between(*stored, registry.marks());
        if !contents.records.is_empty() && !is_as_it_was_left {
            return false;
        }
        *stored = contents.marks;
        registry.restate(pending);
        pending.latches = pending.latches.take().or(latches);
        pending.reckoning = Some(reckoning);
        // What was in a file that is gone counts no more.
        state.is_summed_up = false;
        state.condition = Condition::Stored;
        true
    }

    /// One step towards a file within its bounds, when it is time.
    async fn prune(&mut self) {
        let now = self.desk.seen();
        if !self.is_well() {
            return;
        }
        let is_time = self.desk.state().is_time_to_prune(now);
        if !(is_time || self.more || self.has_grown) {
            return;
        }
        if is_time && !self.is_in_place().await {
            tracing::error!("the history file was removed or replaced while it was in use");
            self.open_again(None).await;
        }
        let Some(file) = &mut self.file else { return };
        if is_time && let Err(fault) = patiently(self.desk, file.check()).await {
            return self.suffer(fault).await;
        }
        let (keep, checks) = {
            let mut state = self.desk.state();
            let keep = state.keep;
            let Stage::InFile(registry, pending, _) = &mut state.stage else { return };
            if is_time {
                registry.forget_before(keep.figures_since(now), pending);
            }
            (keep, registry.all().map(|record| record.entry.id).collect::<Vec<_>>())
        };
        let has_grown = std::mem::take(&mut self.has_grown);
        if !(is_time || self.more || has_grown && matches!(file.is_too_large(keep).await, Ok(true))) {
            return;
        }
        match patiently(self.desk, file.prune(keep, now, &checks)).await {
            Ok(pruned) => {
                self.more = pruned.more;
                if pruned.more {
                    self.next = Instant::now();
                }
                if let Stage::InFile(registry, _, _) = &mut self.desk.state().stage {
                    for (check, runs) in pruned.runs_gone {
                        if let Some(record) = registry.record_mut(check) {
                            record.runs.take_back(&runs);
                        }
                    }
                }
                if pruned.intervals_gone {
                    self.sum_up(false).await;
                }
            }
            Err(fault) => {
                self.more = false;
                self.suffer(fault).await;
            }
        }
    }

    async fn is_in_place(&self) -> bool {
        match &self.file {
            Some(file) => file.is_in_place().await,
            None => true,
        }
    }

    /// Sums up the intervals that have ended, and with `runs` the runs too: those in the file, and those that wait.
    async fn sum_up(&mut self, runs: bool) {
        let Some(file) = &mut self.file else { return };
        // This may take long because there is much, and then the disk is not to blame.
        let sums = async {
            let times = file.times().await?;
            Ok((times, if runs { Some(file.runs().await?) } else { None }))
        };
        let (times, runs) = match sums.await {
            Ok(sums) => sums,
            Err(fault) => return self.suffer(fault).await,
        };
        let mut state = self.desk.state();
        let Stage::InFile(registry, pending, _) = &mut state.stage else { return };
        for record in registry.all_mut() {
            record.past = times.get(&record.entry.id).copied().unwrap_or_default();
            if let Some(runs) = &runs {
                record.runs = runs.get(&record.entry.id).copied().unwrap_or_default();
            }
        }
        for (check, interval) in pending.intervals.values().filter(|(_, interval)| interval.to.is_some()) {
            if let Some(record) = registry.record_mut(*check) {
                record.past.add(interval.availability, interval.length(interval.from));
            }
        }
        for tick in pending.ticks.iter().filter(|_| runs.is_some()) {
            if let Some(record) = registry.record_mut(tick.check) {
                record.runs.count(tick);
            }
        }
        state.is_summed_up = true;
        drop(state);
        report_back(self.desk);
    }

    async fn answer(&mut self, question: Question) {
        let Some(file) = &mut self.file else { return };
        if let Err(fault) = patiently(self.desk, question.answer(file, self.desk)).await {
            self.suffer(fault).await;
        }
    }

    async fn close(&mut self) {
        self.flush(true).await;
        if let Some(file) = self.file.take() {
            file.close().await;
        }
    }
}

/// Waits for the disk; when that takes long, says so and goes on waiting.
async fn patiently<T>(desk: &Desk, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let mut work = std::pin::pin!(work);
    match timeout(PATIENCE, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            report_away(desk, "the disk does not answer");
            work.await
        }
    }
}

fn report_away(desk: &Desk, why: &str) {
    if desk.set_condition(Condition::Waiting) != Condition::Waiting {
        tracing::error!(reason = why, "the history file cannot be written to: events wait in memory until it can");
    }
}

fn report_back(desk: &Desk) {
    if desk.set_condition(Condition::Stored) == Condition::Waiting {
        tracing::info!("the history file can be written to again");
    }
}
