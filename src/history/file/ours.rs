//! Whether what lies at a path is a history of ours. What is not is never moved, overwritten or deleted, and not even
//! opened as a database: SQLite brings a log that it finds into the file beside it, whoever's they are.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{FileFault, schema};

/// How every file of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How the first of [`schema`]'s tables lies in a page: no text has it, because a number of a page stands before the
/// second part.
const SIGN: [&[u8]; 2] = [b"tablemarksmarks", b"CREATE TABLE marks (one INTEGER PRIMARY KEY"];
/// So much of a file is looked at.
const ENOUGH: usize = 256 * 1024;
/// The size of our pages, the first of which is written whole.
const PAGE: usize = 4096;

/// What the bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOwner {
    /// Nothing is in it, and nothing belongs to it.
    Nobodys,
    /// It is a history of ours, sound or damaged.
    Ours,
    /// It is something else.
    Somebodys,
    /// It is neither text nor a database, or has a log that is not known: it may be a damaged history of ours.
    Unknown,
}

/// Where the file at `path` comes from. Not for one that we have open: whoever closes a file gives up all of the
/// process's locks on it.
pub fn origin(path: &Path) -> Result<FileOwner, FileFault> {
    let bytes = beginning(path, ENOUGH)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // What was written last is in the log, and so is the first page of a young file.
    let log = beginning(Path::new(&log), ENOUGH).unwrap_or_default();
    Ok(of(&bytes, &log))
}

/// Whether something else has been written over a file that was ours.
pub fn is_written_over(file: &fs::File) -> Result<bool, FileFault> {
    let mut bytes = vec![0; PAGE];
    let read = file.read_at(&mut bytes, 0).map_err(|error| FileFault::Away(format!("it cannot be read: {error}")))?;
    Ok(of(&bytes[..read], &[]) == FileOwner::Somebodys)
}

/// What changes when somebody writes to a file: its length, and when that was.
pub fn stamp(file: &fs::File) -> Option<(u64, SystemTime)> {
    let found = file.metadata().ok()?;
    Some((found.len(), found.modified().ok()?))
}

fn of(bytes: &[u8], log: &[u8]) -> FileOwner {
    let is_marked = bytes.get(68..72) == Some(&schema::APPLICATION.to_be_bytes()[4..]);
    let is_database = bytes.starts_with(MAGIC);
    // The first page has no table, so what there is of one is in the log.
    let has_no_table = bytes.get(103..105).is_none_or(|count| count == [0, 0]);
    if is_signed(bytes) || is_database && is_marked {
        return FileOwner::Ours;
    }
    if bytes.is_empty() || is_database && has_no_table && bytes.len() >= 100 {
        return if log.is_empty() {
            FileOwner::Nobodys
        } else if is_signed(log) {
            FileOwner::Ours
        } else {
            FileOwner::Unknown
        };
    }
    if is_database || is_text(&bytes[..bytes.len().min(PAGE)]) { FileOwner::Somebodys } else { FileOwner::Unknown }
}

/// Whether these are the first bytes of a text.
fn is_text(bytes: &[u8]) -> bool {
    // What is cut within a character is text as well.
    let is_readable = std::str::from_utf8(bytes).err().is_none_or(|error| error.error_len().is_none());
    is_readable && !bytes.contains(&0)
}

fn is_signed(bytes: &[u8]) -> bool {
    let [name, table] = SIGN;
    // The number of the page takes one to four bytes.
    let is_here = |place: usize| {
        (1..5).any(|number| bytes[place + name.len()..].get(number..).is_some_and(|rest| rest.starts_with(table)))
    };
    (0..bytes.len().saturating_sub(name.len())).any(|place| bytes[place..].starts_with(name) && is_here(place))
}

/// The first bytes of a file, at most so many; none where there is no file.
fn beginning(path: &Path, most: usize) -> Result<Vec<u8>, FileFault> {
    let mut bytes = Vec::new();
    let unreadable = |error: io::Error| FileFault::Away(format!("it cannot be read: {error}"));
    match fs::File::open(path) {
        Ok(file) => file.take(most as u64).read_to_end(&mut bytes).map_err(unreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(unreadable(error)),
    };
    Ok(bytes)
}

/// The path with symbolic links followed; refuses what is there and is no file that can be written to.
pub fn resolve(path: &Path) -> Result<PathBuf, FileFault> {
    let refused = |text: &str| Err(FileFault::Foreign(text.into()));
    let Some(name) = path.file_name() else {
        let is_folder = path.is_dir();
        return refused(if is_folder {
            "a folder is in its place: write the path of a file"
        } else {
            "history.path names no file: write the path of a file, not of a folder"
        });
    };
    let resolved = path.canonicalize().or_else(|_| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().map(|folder| folder.join(name))
    });
    let path = resolved.map_err(|error| FileFault::Away(format!("its folder cannot be used: {error}")))?;
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => return refused("a folder is in its place: write the path of a file"),
        Ok(found) if !found.is_file() => {
            return refused("what is in its place is not a regular file: write the path of a file of its own");
        }
        _ => {}
    }
    let usable = fs::OpenOptions::new().append(true).create(true).open(&path);
    // Where a symbolic link pointed to nothing, there is a file now.
    let path = usable.and_then(|_| path.canonicalize());
    path.map_err(|error| FileFault::Away(format!("it cannot be written to: {error}")))
}

/// What distinguishes the file with this name from any other; nothing when there is none.
pub fn identity(path: &Path) -> Result<Option<(u64, u64)>, FileFault> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileFault::Away(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_file_is_refused_with_what_to_write_instead() {
        let refusal = |path: &str| resolve(Path::new(path)).unwrap_err();
        let foreign = |text: &str| FileFault::Foreign(text.into());
        assert_eq!(refusal("/"), foreign("a folder is in its place: write the path of a file"));
        assert_eq!(refusal("/tmp"), foreign("a folder is in its place: write the path of a file"));
        let device = "what is in its place is not a regular file: write the path of a file of its own";
        assert_eq!(refusal("/dev/null"), foreign(device));
        let nowhere = "its folder cannot be used: No such file or directory (os error 2)";
        assert_eq!(refusal("/nowhere/at/all"), FileFault::Away(nowhere.into()));
        let no_name = "history.path names no file: write the path of a file, not of a folder";
        assert_eq!(refusal("/nowhere/.."), foreign(no_name));
    }

    /// A first page with these bytes at these places.
    fn page(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        for (place, bytes) in parts {
            page[*place..place + bytes.len()].copy_from_slice(bytes);
        }
        page
    }

    #[test]
    fn one_mark_that_a_text_may_have_too_makes_no_history() {
        let signed =
            b"\x07\x17\x17\x17\x01\x81\x31tablemarksmarks\x03CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK";
        let (magic, table) = ((0, MAGIC), (103, [0, 1].as_slice()));
        let cases: [(Vec<u8>, &[u8], FileOwner); 14] = [
            (vec![], b"", FileOwner::Nobodys),
            (vec![], signed, FileOwner::Ours),
            (vec![], b"the log of another", FileOwner::Unknown),
            (page(&[magic]), b"", FileOwner::Nobodys),
            (page(&[magic]), signed, FileOwner::Ours),
            (page(&[magic]), b"the log of another", FileOwner::Unknown),
            (page(&[magic, table]), signed, FileOwner::Somebodys),
            (page(&[magic, table, (68, b"prob")]), b"", FileOwner::Ours),
            (page(&[(0, b"rubbish"), (3000, signed)]), b"", FileOwner::Ours),
            (page(&[(68, b"prob")]), signed, FileOwner::Unknown),
            (vec![0xa5; 9000], b"", FileOwner::Unknown),
            (format!("{}probelet's", "a,b;".repeat(17)).into_bytes(), b"", FileOwner::Somebodys),
            (
                b"INSERT INTO notes VALUES ('CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK');".to_vec(),
                b"",
                FileOwner::Somebodys,
            ),
            (b"SQLite".to_vec(), b"", FileOwner::Somebodys),
        ];
        for (bytes, log, expected) in cases {
            assert_eq!(of(&bytes, log), expected, "{:?}", bytes.get(..80));
        }
    }
}
