//! History in an SQLite file: opening it, setting a broken one aside, and what can go wrong with it.
//!
//! SQL is on this floor alone: [`schema`] declares the tables, [`load`] reads how the registry was left, [`mod@write`]
//! adds a batch, [`read`] answers, [`prune`] keeps the file within its bounds, [`check`] looks for damage, [`saved`]
//! keeps the most important of it once more, and [`ours`] knows whose a file is. Every statement runs on the
//! connection's own thread, so a disk that hangs holds up nobody but who waits for it.

pub mod check;
pub mod load;
pub mod ours;
pub mod read;
pub mod saved;
pub mod schema;
pub mod prune;
pub mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::base::clock::Timestamp;
use crate::base::thread::{apart, why_refused};
use crate::history::answer::SavedState;
use crate::history::check_record::Runs;
use crate::history::figures::Times;
use crate::history::registry::Marks;
use load::Contents;
use ours::{FileOwner, identity, origin, resolve};
use saved::Saved;

/// Another process may hold the file for this long before it counts as in use.
const BUSY: Duration = Duration::from_secs(2);
/// What went wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It cannot be read or written at the moment: the disk is full, gone or read-only. It may mend.
    Away(String),
    /// What it holds is not what was written.
    Broken(String),
    /// The connection to it is lost.
    Lost(String),
    /// It is not ours to write to.
    Foreign(String),
    /// Another process has it open.
    InUse,
}

impl FileFault {
    /// What went wrong, in one line.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Broken(text) | Self::Lost(text) | Self::Foreign(text) => text,
            Self::InUse => "another process has it open",
        }
    }
}

impl From<sqlx::Error> for FileFault {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
                let text = match code & 0xff {
                    5 => return Self::InUse,
                    // It has been opened for writing before: see `resolve`.
                    14 => "its folder cannot be written to, and a log is kept beside it".to_owned(),
                    _ => refusal.message().to_owned(),
                };
                // The low byte is the primary code: ERROR (no such table), CORRUPT, CONSTRAINT, MISMATCH, FORMAT,
                // NOTADB.
                if matches!(code & 0xff, 1 | 11 | 19 | 20 | 24 | 26) { Self::Broken(text) } else { Self::Away(text) }
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Self::Broken(error.to_string())
            }
            _ => Self::Lost(error.to_string()),
        }
    }
}

/// Where a file lies, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLocation {
    /// Its path as it was written.
    pub path: PathBuf,
    /// The UID of the pod whose saved state counts.
    pub pod: String,
}

/// An open file. It is locked for as long as this lives, so that no other process has it open.
#[derive(Debug)]
pub struct File {
    connection: SqliteConnection,
    path: PathBuf,
    identity: (u64, u64),
    /// The same of the log beside it.
    log: Option<(u64, u64)>,
    /// The pod whose saved state this is.
    pod: String,
    /// What is to be saved beside the file.
    saved: Saved,
    is_saved_beside: bool,
    /// How far the ticks have been looked at.
    checked: (i64, i64),
    /// The same file, to look at it without SQLite. It is opened before SQLite opens it and closed after SQLite closes
    /// it: closing any descriptor of a file gives up all locks that the process has on it.
    bytes: Arc<fs::File>,
    /// Its length and date when we last wrote to it.
    stamp: Option<(u64, SystemTime)>,
}

impl File {
    /// Opens the file at `location`, or makes a new one. One of ours that is broken is set aside under a name with the
    /// time `now`, and a new one takes its place; what is not ours is left as it is.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub async fn open(location: &FileLocation, now: Timestamp) -> Result<(Self, Contents), FileFault> {
        let path = at_leisure(&location.path, resolve).await?;
        let found = at_leisure(&path, |path| Ok((origin(path)?, saved::is_beside(path)))).await?;
        match found {
            (FileOwner::Somebodys, _) | (FileOwner::Unknown, false) => {
                Err(FileFault::Foreign("it is a file of something else: write the path of a file of its own".into()))
            }
            (FileOwner::Ours | FileOwner::Unknown, _) => match Self::attempt_twice(&path, &location.pod).await {
                Err(FileFault::Broken(why)) => Self::replace(location, now, &why).await,
                opened => opened,
            },
            // What is broken and nobody's is not known well enough to be moved.
            (FileOwner::Nobodys, _) => match Self::attempt_twice(&path, &location.pod).await {
                Err(FileFault::Broken(why)) => Err(FileFault::Away(why)),
                opened => opened,
            },
        }
    }

    /// Sets the file at `location` aside, because it is broken, and makes a new one. A file that has become text or
    /// another database is not moved.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub async fn replace(location: &FileLocation, now: Timestamp, why: &str) -> Result<(Self, Contents), FileFault> {
        let path = at_leisure(&location.path, resolve).await?;
        if at_leisure(&path, origin).await? == FileOwner::Somebodys {
            return Err(FileFault::Foreign(
                "something else was written over it: write the path of a file of its own".into(),
            ));
        }
        let rescued = match Self::saved_at(&path, &location.pod).await {
            Some(saved) => Some(saved),
            None => Self::rescue(&path, &location.pod).await,
        };
        let aside = at_leisure(&path, move |path| set_aside(path, now)).await?;
        let (shown, aside) = (path.display(), aside.display());
        tracing::error!(path = %shown, %aside, reason = why, "the history file is broken: it was set aside, and a new one begun");
        let (mut file, mut contents) = Self::attempt(&path, &location.pod).await?;
        if let Some(saved) = rescued {
            file.saved = saved.clone();
            (contents.saved, contents.reckoning) = (saved.state, saved.reckoning);
        }
        Ok((file, contents))
    }

    /// What was saved beside the file at `location`, for when the file itself cannot be used.
    pub async fn salvage(location: &FileLocation) -> Option<Saved> {
        let path = at_leisure(&location.path, resolve).await.unwrap_or_else(|_| location.path.clone());
        Self::saved_at(&path, &location.pod).await
    }

    async fn saved_at(path: &Path, pod: &str) -> Option<Saved> {
        let pod = pod.to_owned();
        at_leisure(path, move |path| Ok(Saved::read(path, &pod))).await.ok().flatten()
    }

    /// What must not be forgotten, from a broken file in which it can still be read.
    async fn rescue(path: &Path, pod: &str) -> Option<Saved> {
        let mut connection = options(path).connect().await.ok()?;
        let state = write::saved_state(&mut connection, pod).await.ok();
        let reckoning = load::reckoning(&mut connection).await.unwrap_or_default();
        let _ = connection.close().await;
        Some(Saved { state: state?, reckoning })
    }

    /// For each check the times of its intervals that have ended.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn times(&mut self) -> Result<BTreeMap<u32, Times>, FileFault> {
        load::times(&mut self.connection).await
    }

    /// Where a disk fails for a moment SQLite may take a sound file for a broken one: it is broken when it is so twice.
    async fn attempt_twice(path: &Path, pod: &str) -> Result<(Self, Contents), FileFault> {
        match Self::attempt(path, pod).await {
            Err(FileFault::Broken(_)) => Self::attempt(path, pod).await,
            opened => opened,
        }
    }

    async fn attempt(path: &Path, pod: &str) -> Result<(Self, Contents), FileFault> {
        let unusable = |error: io::Error| FileFault::Away(format!("it cannot be opened: {error}"));
        let open =
            move |path: &Path| fs::OpenOptions::new().read(true).append(true).create(true).open(path).map_err(unusable);
        let bytes = Arc::new(at_leisure(path, open).await?);
        let mut connection = options(path).connect().await?;
        match Self::prepare(&mut connection, path, pod).await {
            Ok((identity, contents)) => {
                let saved = Saved { state: contents.saved.clone(), reckoning: contents.reckoning.clone() };
                let (path, pod) = (path.to_owned(), pod.to_owned());
                let (is_saved_beside, checked) = (true, (0, 0));
                let (log, stamp) = (None, None);
                let mut file =
                    Self { connection, path, identity, log, pod, saved, is_saved_beside, checked, bytes, stamp };
                file.log = at_leisure(&file.log_path(), ours::identity).await.unwrap_or_default();
                file.stamp = file.stamp().await;
                Ok((file, contents))
            }
            Err(fault) => {
                // Only when it is closed may the file be moved: closing removes the log beside whatever has its name.
                let _ = connection.close().await;
                Err(fault)
            }
        }
    }

    async fn prepare(
        connection: &mut SqliteConnection,
        path: &Path,
        pod: &str,
    ) -> Result<((u64, u64), Contents), FileFault> {
        schema::prepare(connection).await?;
        let mut contents = load::load(connection, pod).await?;
        if contents.marks == Marks::EMPTY
            && contents.saved == SavedState::default()
            && let Some(saved) = Self::saved_at(path, pod).await
        {
            // The file that it belonged to is gone.
            (contents.saved, contents.reckoning) = (saved.state, saved.reckoning);
        }
        let identity = at_leisure(path, identity).await?;
        Ok((identity.unwrap_or_default(), contents))
    }

    /// For each check its runs, those in hourly figures included.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn runs(&mut self) -> Result<BTreeMap<u32, Runs>, FileFault> {
        load::runs(&mut self.connection).await
    }

    /// Whether the file that was opened is still the one that has its name.
    pub async fn is_in_place(&self) -> bool {
        // What cannot be seen at the moment is not gone.
        at_leisure(&self.path, identity).await.map_or(true, |found| found == Some(self.identity))
    }

    /// Closes a file that has its name no longer. SQLite leaves the log behind then, and would bring it into whatever
    /// has the name now.
    pub async fn leave(self) {
        let (path, ours) = (self.log_path(), self.log);
        self.close().await;
        let remove = move |path: &Path| {
            if ours.is_some() && identity(path)? == ours {
                let _ = fs::remove_file(path);
            }
            Ok(())
        };
        let _ = at_leisure(&path, remove).await;
    }

    fn log_path(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push("-wal");
        PathBuf::from(path)
    }

    /// Leaves the file as it is. Closing it would write the rest of the log into it and remove the log, although both
    /// may belong to another process by now. So the connection stays open until the end of the process.
    #[allow(clippy::mem_forget)] // that is what it is for
    pub fn abandon(self) {
        std::mem::forget(self);
    }

    /// Closes the file, with everything in it and nothing left beside it.
    pub async fn close(self) {
        // Whatever it says, nothing is lost: the log beside the file holds what was written.
        let _ = self.connection.close().await;
    }
}

/// How a file is opened.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(32)
        .thread_name(|_| "history-file".into())
        .disable_statement_logging()
}

/// Runs something that may hang for as long as the disk does, on a thread of its own.
async fn at_leisure<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, FileFault> + Send + 'static,
) -> Result<T, FileFault> {
    let path = path.to_owned();
    match apart("history file", 128 * 1024, move || work(&path)).await {
        Ok(result) => result,
        Err(error) => Err(FileFault::Away(format!("the system refuses {}", why_refused(&error)))),
    }
}

/// Gives the file another name, `<name>.corrupt-…` with a number behind it where there is one already, and the files
/// beside it that belong to it. Of those that were set aside earlier the newest stay.
fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, FileFault> {
    remove_older(path);
    let suffix = format!("corrupt-{}", now.rfc3339().replace([':', '-'], ""));
    let named = |number: u32, tail: &str| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{suffix}{number}{tail}"));
        PathBuf::from(name)
    };
    let too_many = || FileFault::Away("there are too many broken files beside it".into());
    let number = (0..1000).find(|number| !named(*number, "").exists()).ok_or_else(too_many)?;
    // The file goes first: SQLite drops a log that is left without its file.
    for tail in ["", "-wal", "-shm", "-journal"] {
        let mut from = path.as_os_str().to_owned();
        from.push(tail);
        match fs::rename(&from, named(number, tail)) {
            Err(error) if tail.is_empty() => {
                return Err(FileFault::Away(format!("it is broken and cannot be set aside: {error}")));
            }
            // What belongs to it may be missing; a log left behind is dropped.
            _ => {}
        }
    }
    Ok(named(number, ""))
}

/// Removes all but the newest of the files that were set aside from `path` earlier, so that they do not fill the disk.
fn remove_older(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let prefix = format!("{name}.corrupt-");
    let Ok(entries) = fs::read_dir(folder) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut aside: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
    aside.sort();
    // Whatever belongs to a file sorts right behind it.
    let newest = aside.iter().rposition(|name| !["-wal", "-shm", "-journal"].iter().any(|tail| name.ends_with(tail)));
    for older in &aside[..newest.unwrap_or(0)] {
        let _ = fs::remove_file(folder.join(older));
    }
}
