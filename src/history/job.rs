//! What is done with the history's file, one thing at a time: each job takes the file and gives it back with what became
//! of it, so that the history's task can poll it beside its messages.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::answer::Keep;
use super::check_record::Runs;
use super::figures::Times;
use super::file::load::Contents;
use super::file::prune::Pruned;
use super::file::saved::Saved;
use super::file::{File, FileFault, FileLocation};
use super::pending::Pending;
use super::query::{AnswerTime, HistoryQuery};
use super::registry::Marks;
use crate::base::clock::Timestamp;

/// What was saved beside a file that cannot be used is waited for this long.
const SALVAGE: Duration = Duration::from_secs(1);

/// Work on a disk, on its way.
pub type Working<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something to be done with an open file.
#[derive(Debug)]
pub enum Job {
    /// Write what waits, with the marks that belong to it.
    Write(Pending, Marks),
    /// Sum up the intervals that have ended, and `with_runs` the runs too.
    SumUp {
        /// The runs too.
        with_runs: bool,
    },
    /// Answer a question, with what waits.
    Answer(HistoryQuery, Pending, AnswerTime),
    /// One step towards a file within its bounds.
    Prune(PruneStep),
    /// Look whether the file is broken, because it seemed to be, for this reason.
    Check(String),
    /// Close the file and open it anew.
    Reopen {
        /// Why it is to be set aside before, where it is broken.
        broken: Option<String>,
        /// It was set aside often enough: one more time is not the file's fault.
        is_last: bool,
        /// For the name under which it is set aside.
        now: Timestamp,
    },
    /// Close the file.
    Close,
}

/// One step towards a file within its bounds.
#[derive(Debug)]
pub struct PruneStep {
    /// A minute has passed: the file is looked for, and looked at.
    pub is_due: bool,
    /// The last step has left something to do.
    pub more: bool,
    /// How much is kept.
    pub keep: Keep,
    /// What is too old is so now.
    pub now: Timestamp,
    /// The numbers of all checks.
    pub checks: Vec<u32>,
}

/// What became of a job.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one at a time
pub enum Done {
    /// The file was opened, or not.
    Opened(Result<(File, Contents), FileFault>),
    /// The batch was written, or not.
    Wrote(File, Pending, Marks, Result<(), FileFault>),
    /// The times of each check, and its runs where they were wanted.
    SummedUp(File, Result<Sums, FileFault>),
    /// The question was answered, or not.
    Answered(File, Result<(), FileFault>),
    /// One step was done; nothing where the file has another place by now.
    Pruned(File, Result<Option<Pruned>, FileFault>),
    /// Why the file seemed to be broken, and whether it is.
    Checked(File, String, Result<(), FileFault>),
    /// The file was opened anew, or not.
    Reopened {
        /// It was set aside.
        was_set_aside: bool,
        /// As it is now.
        opened: Result<(File, Contents), FileFault>,
    },
    /// The file is closed.
    Closed,
}

/// The times of each check, and its runs where they were wanted.
pub type Sums = (BTreeMap<u32, Times>, Option<BTreeMap<u32, Runs>>);

impl Job {
    /// Whether it takes long only because the disk does.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        !matches!(self, Self::SumUp { .. } | Self::Close)
    }

    /// Does it.
    pub async fn run(self, mut file: File, location: Arc<FileLocation>) -> Done {
        match self {
            Self::Write(batch, marks) => {
                let written = file.write(&batch, marks).await;
                Done::Wrote(file, batch, marks, written)
            }
            Self::SumUp { with_runs } => {
                let sums = sums(&mut file, with_runs).await;
                Done::SummedUp(file, sums)
            }
            Self::Answer(query, pending, time) => {
                let answered = query.answer_from_file(&mut file, &pending, time).await;
                Done::Answered(file, answered)
            }
            Self::Prune(step) => {
                let pruned = step.run(&mut file).await;
                Done::Pruned(file, pruned)
            }
            Self::Check(why) => {
                let found = file.check().await;
                Done::Checked(file, why, found)
            }
            Self::Reopen { broken, is_last, now } => reopen(file, &location, broken, is_last, now).await,
            Self::Close => {
                file.close().await;
                Done::Closed
            }
        }
    }
}

impl PruneStep {
    async fn run(self, file: &mut File) -> Result<Option<Pruned>, FileFault> {
        let Self { is_due, more, keep, now, checks } = self;
        if is_due {
            if !file.is_in_place().await {
                return Ok(None);
            }
            file.check().await?;
        }
        if !(is_due || more || matches!(file.is_too_large(keep).await, Ok(true))) {
            return Ok(Some(Pruned::default()));
        }
        file.prune(keep, now, &checks).await.map(Some)
    }
}

async fn sums(file: &mut File, with_runs: bool) -> Result<Sums, FileFault> {
    let times = file.times().await?;
    Ok((times, if with_runs { Some(file.runs().await?) } else { None }))
}

async fn reopen(file: File, location: &FileLocation, broken: Option<String>, is_last: bool, now: Timestamp) -> Done {
    let is_in_place = file.is_in_place().await;
    if is_in_place {
        file.close().await;
    } else {
        file.leave().await;
    }
    let broken = broken.filter(|_| is_in_place);
    let was_set_aside = broken.is_some() && !is_last;
    let opened = match broken {
        Some(why) if is_last => Err(FileFault::Foreign(format!("it breaks again and again: {why}"))),
        Some(why) => File::replace(location, now, &why).await,
        None => File::open(location, now).await,
    };
    Done::Reopened { was_set_aside, opened }
}

/// Opens the file for the first time, or tries it once more.
#[must_use]
pub fn open(location: Arc<FileLocation>, now: Timestamp) -> Working<Done> {
    Box::pin(async move { Done::Opened(File::open(&location, now).await) })
}

/// Closes a file that is not the one that it should be.
#[must_use]
pub fn give_up(file: File, fault: FileFault) -> Working<Done> {
    Box::pin(async move {
        file.close().await;
        Done::Opened(Err(fault))
    })
}

/// What was saved beside a file that cannot be used, where that can be read in time.
#[must_use]
pub fn salvage(location: Arc<FileLocation>) -> Working<Option<Saved>> {
    Box::pin(async move { timeout(SALVAGE, File::salvage(&location)).await.ok().flatten() })
}
