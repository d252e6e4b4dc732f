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
                self.file = Some(file);
                self.report_back();
            }
            Done::Answered(file, Ok(())) => self.file = Some(file),
            Done::Pruned(file, Ok(Some(pruned))) => {
                self.file = Some(file);
                self.more_to_prune = pruned.more;
                self.sums = pruned.intervals_gone.then_some(!self.state.is_summed_up);
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
            Done::SummedUp(file, Err(fault)) | Done::Answered(file, Err(fault)) => self.suffer(file, fault),
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
        self.next_write = Instant::now() + RETRY;
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
