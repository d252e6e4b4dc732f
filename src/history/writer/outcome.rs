//! What comes of a job on the history's file: what was learned is taken over, and a fault is answered by waiting, by
//! opening the file anew, or by going on in memory.

use std::time::Duration;

use tokio::time::Instant;

use super::{Writer, answer_all};
use crate::history::answer::{Condition, HistoryUnavailable, SavedState};
use crate::history::file::load::Contents;
use crate::history::file::saved::Saved;
use crate::history::file::{File, FileFault};
use crate::history::job::{self, Done, Job};
use crate::history::pending::Pending;
use crate::history::registry::Marks;
use crate::history::state::Kept;

/// A disk that could not be written to is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// So often a broken file is set aside; one more is not the file's fault.
const MOST_BREAKS: u32 = 3;
/// A file that cannot be used is tried again after this time, and then less and less often.
const REOPEN: Duration = Duration::from_secs(1);
/// Not less often than this.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

impl Writer {
    pub(super) fn finish(&mut self, done: Done) {
        self.patience = None;
        match done {
            Done::Opened(Ok((file, contents))) => self.go_on_in(file, contents),
            Done::Opened(Err(fault)) => self.do_without(&fault),
            Done::Wrote(file, batch, marks, written) => self.finish_write(file, &batch, marks, written),
            Done::SummedUp(file, Ok((times, runs))) => {
                self.state.sum_up(&times, runs.as_ref());
                self.sums_failed = false;
                self.file = Some(file);
                self.report_back();
            }
            Done::Answered(file, Ok(())) => self.file = Some(file),
            Done::Pruned(file, Ok(Some(pruned))) => {
                self.file = Some(file);
                self.more_to_prune = pruned.more;
                let are_wanted = std::mem::take(&mut self.sums_failed) || pruned.intervals_gone;
                self.sums = are_wanted.then_some(!self.state.is_summed_up);
                self.state.was_pruned(&pruned);
            }
            Done::Pruned(file, Ok(None)) => {
                tracing::error!("the history file was removed or replaced while it was in use");
                self.reopen(file, None);
            }
            Done::Checked(file, why, Ok(())) => {
                self.is_suspected = true;
                self.wait_with(file, &why);
            }
            Done::Checked(file, why, Err(_)) => self.reopen(file, Some(why)),
            Done::Reopened { was_set_aside, opened } => self.resume(was_set_aside, opened),
            Done::SummedUp(file, Err(fault)) => {
                self.sums_failed = true;
                self.suffer(file, fault);
            }
            // Whether the disk takes what waits shows when it is written.
            Done::Answered(file, Err(fault @ (FileFault::Away(_) | FileFault::InUse))) => {
                tracing::debug!(reason = fault.text(), "a question to the history had no answer");
                self.file = Some(file);
            }
            Done::Answered(file, Err(fault)) => self.suffer(file, fault),
            Done::Pruned(file, Err(fault)) => {
                self.more_to_prune = false;
                self.suffer(file, fault);
            }
            Done::Closed => {}
        }
    }

    fn finish_write(&mut self, file: File, batch: &Pending, marks: Marks, written: Result<(), FileFault>) {
        let waiting = &mut self.flushes_under_way;
        match written {
            Ok(()) => {
                answer_all(waiting, Ok(()));
                self.state.was_written(batch, marks);
                self.has_grown = true;
                self.sums = (!self.state.is_summed_up).then_some(true);
                self.file = Some(file);
                self.report_back();
            }
            Err(fault) => {
                answer_all(waiting, Err(HistoryUnavailable));
                self.state.was_not_written(batch);
                self.next_write = Instant::now() + RETRY;
                self.suffer(file, fault);
            }
        }
        self.published.count_dropped(self.state.take_dropped());
    }

    /// Does what can be done about a fault.
    fn suffer(&mut self, file: File, fault: FileFault) {
        match fault {
            FileFault::Foreign(_) => {
                file.abandon();
                self.do_without(&fault);
            }
            FileFault::Away(_) | FileFault::InUse => self.wait_with(file, fault.text()),
            FileFault::Lost(_) => self.reopen(file, None),
            // Where a disk fails for a moment SQLite may take a sound file for a broken one. What is not found when it
            // is looked for, and shows a second time, is damage too.
            FileFault::Broken(why) if self.is_suspected => self.reopen(file, Some(why)),
            FileFault::Broken(why) => self.begin(Job::Check(why), file),
        }
    }

    fn wait_with(&mut self, file: File, why: &str) {
        self.file = Some(file);
        // Who asks, however often, postpones no write.
        let now = Instant::now();
        self.next_write = self.next_write.clamp(now, now + RETRY);
        self.report_away(why);
    }

    /// Closes the file and opens it anew, set aside before when it is `broken`.
    fn reopen(&mut self, file: File, broken: Option<String>) {
        self.is_suspected &= broken.is_none();
        let (is_last, now) = (self.breaks == MOST_BREAKS, self.state.seen().max(self.began));
        self.begin(Job::Reopen { broken, is_last, now }, file);
    }

    fn resume(&mut self, was_set_aside: bool, opened: Result<(File, Contents), FileFault>) {
        self.breaks += u32::from(was_set_aside);
        match opened {
            Ok((file, contents)) if self.state.resume(&contents) => {
                self.file = Some(file);
                self.next_write = Instant::now() + RETRY;
                self.report_back();
            }
            Ok((file, _)) => {
                self.job = Some(job::give_up(file, FileFault::Away("another file has taken its place".into())));
            }
            Err(fault) => self.do_without(&fault),
        }
    }

    /// Goes on in a file as it was left, with what was kept in memory since.
    fn go_on_in(&mut self, file: File, contents: Contents) {
        let is_first = self.backoff.take().is_none();
        let told = self.state.seen().moved(self.state.calendar.shift().saturating_neg());
        let before = self.state.go_on_in_file(contents, if is_first { self.began } else { told.max(self.began) });
        self.restore(before);
        if !is_first {
            tracing::info!(path = %self.path(), "the history file is free: history goes on in it");
            self.published.set_condition(Condition::Stored);
        }
        self.file = Some(file);
        self.next_write = Instant::now();
        self.sums = Some(true);
        self.has_grown = true;
        self.more_to_prune = false;
        self.is_suspected = false;
    }

    /// Keeps history in memory because of a fault, until the file can be used; for good where it is not ours.
    fn do_without(&mut self, fault: &FileFault) {
        self.is_refused_for_good = matches!(fault, FileFault::Foreign(_));
        let pause = match self.backoff {
            Some((pause, _)) if *fault != FileFault::InUse => pause.saturating_mul(2).min(LONGEST_BACKOFF),
            _ => REOPEN,
        };
        if self.backoff.is_none() || self.is_refused_for_good {
            self.report_without(fault);
            self.state.go_on_in_memory();
            self.published.set_condition(Condition::Refused);
            for query in std::mem::take(&mut self.queries) {
                self.take_query(query);
            }
            answer_all(&mut self.flushes, Err(HistoryUnavailable));
            self.salvage = self.location.clone().filter(|_| *fault != FileFault::InUse).map(job::salvage);
        }
        self.backoff = (!self.is_refused_for_good).then(|| (pause, Instant::now() + pause));
    }

    /// Takes over what was saved beside a file that cannot be used.
    pub(super) fn take_salvaged(&mut self, saved: Option<Saved>) {
        match saved {
            Some(Saved { state, reckoning }) => self.restore(self.state.as_told(state, &reckoning, self.began)),
            None if self.is_refused_for_good => self.restore(SavedState::default()),
            // What is in the file may become known.
            None => {}
        }
    }

    /// This was saved before the restart, unless that was settled earlier.
    fn restore(&self, before: SavedState) {
        self.restored.send_if_modified(|restored| {
            let is_news = restored.is_none();
            restored.get_or_insert(before);
            is_news
        });
    }

    pub(super) fn look_at_patience(&mut self) {
        if self.patience.is_none_or(|until| Instant::now() < until) {
            return;
        }
        self.patience = None;
        let why = "the disk does not answer";
        match self.state.kept {
            Kept::InMemory(_) => self.do_without(&FileFault::Away(why.into())),
            Kept::InFile(..) => self.report_away(why),
        }
    }

    // What it says of that.

    fn path(&self) -> String {
        self.location.as_ref().map_or_else(String::new, |location| location.path.display().to_string())
    }

    fn report_without(&self, fault: &FileFault) {
        let path = self.path();
        if *fault == FileFault::InUse {
            tracing::warn!(%path, "another process has the history file open: history is kept in memory until that one is gone");
            return;
        }
        let (reason, until) =
            (fault.text(), if self.is_refused_for_good { "until the next start" } else { "until it can" });
        tracing::error!(%path, reason, "the history file cannot be used: history is kept in memory {until}");
    }

    fn report_away(&self, why: &str) {
        if self.published.set_condition(Condition::Waiting) != Condition::Waiting {
            tracing::error!(reason = why, "the history file cannot be written to: events wait in memory until it can");
        }
    }

    fn report_back(&self) {
        if self.published.set_condition(Condition::Stored) == Condition::Waiting {
            tracing::info!("the history file can be written to again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::history::answer::Keep;
    use crate::history::calendar::Calendar;
    use crate::history::file::FileLocation;
    use crate::history::file::prune::Pruned;
    use crate::history::message::Published;
    use crate::history::state::HistoryState;
    use crate::history::writer::Closing;

    /// What `test` finds of a writer that has just opened its file.
    async fn with_writer(name: &str, test: impl FnOnce(&mut Writer)) {
        let folder = std::env::temp_dir().join(format!("probelet-writer-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let location = FileLocation { path: folder.join("history.db"), pod: String::new() };
        let now = Timestamp::from_unix_seconds(1_000_000);
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let state = HistoryState::new(keep, Calendar::new(None));
        let opened = File::open(&location, now).await;
        let (inbox, published) = (mpsc::unbounded_channel().1, Arc::new(Published::new(Condition::Stored)));
        let mut writer = Writer::new(inbox, published, watch::channel(None).0, state, Some(location), now);
        writer.finish(Done::Opened(opened));
        test(&mut writer);
        if let Some(file) = writer.file.take() {
            file.close().await;
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn fault() -> FileFault {
        FileFault::Away("disk I/O error".into())
    }

    #[tokio::test]
    async fn a_question_that_fails_postpones_no_write() {
        with_writer("question", |writer| {
            let due = writer.next_write;
            let file = writer.file.take().unwrap();
            writer.finish(Done::Answered(file, Err(fault())));
            assert_eq!((writer.next_write, writer.published.condition()), (due, Condition::Stored));
            // A prune that fails shows that the disk is away; what is due later waits no longer for it.
            writer.next_write = Instant::now() + RETRY / 2;
            let due = writer.next_write;
            let file = writer.file.take().unwrap();
            writer.finish(Done::Pruned(file, Err(fault())));
            assert!(writer.next_write <= due.max(Instant::now()));
            assert_eq!(writer.published.condition(), Condition::Waiting);
        })
        .await;
    }

    #[tokio::test]
    async fn sums_that_fail_after_a_prune_are_wanted_with_the_next() {
        with_writer("sums", |writer| {
            let file = writer.file.take().unwrap();
            writer.sums = None;
            writer.finish(Done::SummedUp(file, Err(fault())));
            assert_eq!(writer.sums, None);
            let file = writer.file.take().unwrap();
            writer.finish(Done::Pruned(file, Ok(Some(Pruned::default()))));
            assert!(writer.sums.is_some());
        })
        .await;
    }

    #[tokio::test]
    async fn at_the_end_what_waits_is_written_before_anything_is_summed_up() {
        with_writer("end", |writer| {
            assert!(writer.sums.is_some());
            writer.closing = Some(Closing { reply: None, is_written: false });
            assert!(matches!(writer.next_job(), Some(Job::Write(..))));
            assert!(matches!(writer.next_job(), Some(Job::Close)));
        })
        .await;
    }
}
