//! History in an SQLite file: opening it, setting a broken one aside, and what can go wrong with it.
//!
//! SQL is on this floor alone: [`schema`] declares the tables, [`load`] reads how the books were left, [`mod@write`] adds a
//! batch, [`read`] answers, [`tend`] keeps the file within its bounds. Every statement runs on the connection's own
//! thread, so a disk that hangs holds up nobody but who waits for it.

pub mod load;
pub mod read;
pub mod schema;
pub mod tend;
pub mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::base::clock::Timestamp;
use crate::history::account::Runs;
use crate::history::figures::Times;
use load::Contents;

/// Another process may hold the file for this long before it counts as in use.
const BUSY: Duration = Duration::from_secs(2);
/// The same for one that is known to be in use, which is asked for again and again.
const STILL_BUSY: Duration = Duration::from_millis(200);
/// Where our files say that they are ours: the beginning of the first of [`schema`]'s tables, as it lies in a page.
const SIGN: &[u8] = b"CREATE TABLE marks (one INTEGER PRIMARY KEY";
/// How every file of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What went wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
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

impl Fault {
    /// What went wrong, in one line.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Broken(text) | Self::Lost(text) | Self::Foreign(text) => text,
            Self::InUse => "another process has it open",
        }
    }
}

impl From<sqlx::Error> for Fault {
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
                // The low byte is the primary code: ERROR (no such table), CORRUPT, CONSTRAINT, MISMATCH, FORMAT, NOTADB.
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
pub struct Place {
    /// Its path as it was written.
    pub path: PathBuf,
    /// The UID of the pod whose latches count.
    pub pod: String,
}

/// An open file. Nobody else has it open: it is locked for as long as this lives.
#[derive(Debug)]
pub struct File {
    connection: SqliteConnection,
    path: PathBuf,
    identity: (u64, u64),
    /// The pod whose latches these are.
    pod: String,
}

impl File {
    /// Opens the file at `place`, or makes a new one. One of ours that is broken is set aside under a name with the time
    /// `now`, and a new one takes its place; what is not ours is left as it is.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub async fn open(place: &Place, now: Timestamp) -> Result<(Self, Contents), Fault> {
        Self::open_within(place, now, BUSY).await
    }

    /// The same for a file that was in use when it was last tried.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub async fn open_in_passing(place: &Place, now: Timestamp) -> Result<(Self, Contents), Fault> {
        Self::open_within(place, now, STILL_BUSY).await
    }

    async fn open_within(place: &Place, now: Timestamp, busy: Duration) -> Result<(Self, Contents), Fault> {
        let path = at_leisure(&place.path, resolve).await.map_err(Fault::Foreign)?;
        let foreign = || Fault::Foreign("it is a file of something else: write the path of a file of its own".into());
        // SQLite takes a file of a few bytes, whatever they are, for a new one.
        let is_sqlite = at_leisure(&path, |path| beginning(path, MAGIC.len()).map(|bytes| MAGIC.starts_with(&bytes)));
        let is_ours = at_leisure(&path, is_ours);
        if !is_sqlite.await.map_err(Fault::Away)? && !is_ours.await.map_err(Fault::Away)? {
            return Err(foreign());
        }
        match Self::attempt(&path, &place.pod, busy).await {
            Err(Fault::Broken(why)) if at_leisure(&path, self::is_ours).await.map_err(Fault::Away)? => {
                Self::replace(place, now, &why).await
            }
            Err(Fault::Broken(_)) => Err(foreign()),
            opened => opened,
        }
    }

    /// Sets the file at `place` aside, because it is broken, and makes a new one.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub async fn replace(place: &Place, now: Timestamp, why: &str) -> Result<(Self, Contents), Fault> {
        let path = at_leisure(&place.path, resolve).await.map_err(Fault::Foreign)?;
        let aside = at_leisure(&path, move |path| set_aside(path, now)).await.map_err(Fault::Foreign)?;
        let (shown, aside) = (path.display(), aside.display());
        tracing::error!(path = %shown, %aside, reason = why, "the history file is broken: it was set aside, and a new one begun");
        Self::attempt(&path, &place.pod, BUSY).await
    }

    /// For each check the times of its intervals that have ended.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn times(&mut self) -> Result<BTreeMap<u32, Times>, Fault> {
        load::times(&mut self.connection).await
    }

    async fn attempt(path: &Path, pod: &str, busy: Duration) -> Result<(Self, Contents), Fault> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(busy)
            .statement_cache_capacity(32)
            .thread_name(|_| "history-file".into())
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        match Self::prepare(&mut connection, path, pod).await {
            Ok((identity, contents)) => {
                Ok((Self { connection, path: path.to_owned(), identity, pod: pod.to_owned() }, contents))
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
    ) -> Result<((u64, u64), Contents), Fault> {
        schema::prepare(connection).await?;
        let contents = load::load(connection, pod).await?;
        let identity = at_leisure(path, identity).await.map_err(Fault::Away)?;
        Ok((identity.unwrap_or_default(), contents))
    }

    /// For each check its runs, those in hourly figures included.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn runs(&mut self) -> Result<BTreeMap<u32, Runs>, Fault> {
        load::runs(&mut self.connection).await
    }

    /// Whether the file that was opened is still the one that has its name.
    pub async fn is_in_place(&self) -> bool {
        // What cannot be seen at the moment is not gone.
        at_leisure(&self.path, identity).await.map_or(true, |found| found == Some(self.identity))
    }

    /// Closes the file, with everything in it and nothing left beside it.
    pub async fn close(self) {
        // Whatever it says, nothing is lost: the log beside the file holds what was written.
        let _ = self.connection.close().await;
    }
}

/// Runs something that may hang for as long as the disk does, on a thread of its own.
async fn at_leisure<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || work(&path)).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The path with symbolic links followed; refuses what is there and is no file that can be written to.
fn resolve(path: &Path) -> Result<PathBuf, String> {
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(_) => {
            let name =
                path.file_name().ok_or("history.path names no file: write the path of a file, not of a folder")?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let folder = folder.canonicalize().map_err(|error| format!("its folder cannot be used: {error}"))?;
            folder.join(name)
        }
    };
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err("a folder is in its place: write the path of a file".into()),
        Ok(found) if !found.is_file() => Err("what is in its place is not a regular file".into()),
        _ => match fs::OpenOptions::new().append(true).create(true).open(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(format!("it cannot be written to: {error}")),
        },
    }
}

/// Whether a file that cannot be read as a history was one of ours, or is too short to be anybody's. A file that is not
/// ours is never touched: somebody wrote the wrong path.
fn is_ours(path: &Path) -> Result<bool, String> {
    const ENOUGH: usize = 256 * 1024;
    let bytes = beginning(path, ENOUGH)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // What was written last is in the log, and so is the first page of a young file.
    let log = beginning(Path::new(&log), ENOUGH).unwrap_or_default();
    let is_signed = [&bytes, &log].iter().any(|bytes| bytes.windows(SIGN.len()).any(|window| window == SIGN));
    let is_marked = bytes.get(68..72) == Some(&schema::APPLICATION.to_be_bytes()[4..]);
    let is_stump = bytes.len() < 100 && (MAGIC.starts_with(&bytes) || bytes.starts_with(MAGIC));
    Ok(is_signed || is_marked || is_stump)
}

/// The first bytes of a file, at most so many.
fn beginning(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
    file.take(most as u64).read_to_end(&mut bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(bytes)
}

/// What distinguishes the file with this name from any other; nothing when there is none.
fn identity(path: &Path) -> Result<Option<(u64, u64)>, String> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives the file another name, `<name>.corrupt-…` with a number behind it where there is one already, and the files
/// beside it that belong to it. Of those that were set aside earlier the newest stay.
fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, String> {
    remove_older(path);
    let suffix = format!("corrupt-{}", now.rfc3339().replace([':', '-'], ""));
    let named = |number: u32, tail: &str| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{suffix}{number}{tail}"));
        PathBuf::from(name)
    };
    let number =
        (0..1000).find(|number| !named(*number, "").exists()).ok_or("there are too many broken files beside it")?;
    // The file goes first: SQLite drops a log that is left without its file.
    for tail in ["", "-wal", "-shm", "-journal"] {
        let mut from = path.as_os_str().to_owned();
        from.push(tail);
        match fs::rename(&from, named(number, tail)) {
            Err(error) if tail.is_empty() => return Err(format!("it is broken and cannot be set aside: {error}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_file_is_refused_with_what_to_write_instead() {
        let refusal = |path: &str| resolve(Path::new(path)).unwrap_err();
        assert_eq!(refusal("/"), "a folder is in its place: write the path of a file");
        assert_eq!(refusal("/dev/null"), "what is in its place is not a regular file");
        assert_eq!(refusal("/nowhere/at/all"), "its folder cannot be used: No such file or directory (os error 2)");
        assert_eq!(refusal("/nowhere/.."), "history.path names no file: write the path of a file, not of a folder");
    }
}
