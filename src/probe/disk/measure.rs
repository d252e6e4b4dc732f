//! The system calls on a file system, which may block for as long as they like.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;

use crate::base::clock::{Clock, Timestamp};
use crate::model::outcome::{DiskSpace, Failure, FailureKind};
use crate::probe::exhausted;

/// What is measured, again and again.
#[derive(Clone)]
pub(super) struct Measurement {
    path: PathBuf,
    /// The stem of the file that is written, where one is.
    stem: Option<String>,
}

/// What a file system says of itself.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) space: DiskSpace,
    /// Free inodes and all of them, where the file system counts them.
    pub(super) inodes: Option<(u64, u64)>,
    /// Why it could not be written to, where that was tried.
    pub(super) unwritable: Option<Failure>,
}

impl Measurement {
    /// The file system at `path`; with the name of a check, a file is written as well.
    pub(super) fn new(path: PathBuf, writing_check: Option<String>) -> Self {
        // The same check on the same host writes the same file: what a crash has left is found again. Another host on
        // a shared volume writes another.
        let stem = writing_check.map(|check| {
            let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((host, check));
            format!(".probelet-{hash:016x}")
        });
        Self { path, stem }
    }

    /// Asks the file system. It blocks.
    pub(super) fn take(&self) -> Result<Measured, Failure> {
        let stats = statvfs(&self.path).map_err(|errno| unreachable_path(&io::Error::from(errno)))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stats.f_frsize);
        Ok(Measured {
            space: DiskSpace { free: bytes(stats.f_bavail), size: bytes(stats.f_blocks) },
            inodes: (stats.f_files > 0).then_some((stats.f_favail, stats.f_files)),
            unwritable: self.stem.as_ref().and_then(|stem| write_and_read_back(&self.path, stem).err()),
        })
    }
}

fn unreachable_path(error: &io::Error) -> Failure {
    if let Some(used_up) = exhausted::of_io(error) {
        return used_up;
    }
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (FailureKind::Mismatch, "the path does not exist: is the volume mounted?"),
        io::ErrorKind::NotADirectory => (FailureKind::Mismatch, "a part of the path is not a folder"),
        io::ErrorKind::PermissionDenied => (FailureKind::Mismatch, "no permission to reach the path"),
        _ => (FailureKind::Protocol, "the file system does not answer as it should"),
    };
    Failure::new(kind, message).with_detail(error.to_string())
}

/// Creates, writes, syncs, reads back, compares and removes a small file.
fn write_and_read_back(folder: &Path, stem: &str) -> Result<(), Failure> {
    let (path, mut file) = create(folder, stem).map_err(|error| unwritable(&error))?;
    let content = format!("probelet was here at {:?}\n", Clock::Machine.now().since_boot());
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    drop(file);
    let read = written.and_then(|()| read_back(&path, content.len()));
    let removed = fs::remove_file(&path);
    let read = read.map_err(|error| unwritable(&error))?;
    removed.map_err(|error| unwritable(&error))?;
    if read != content.as_bytes() {
        return Err(Failure::new(FailureKind::Mismatch, "a file does not read as it was written"));
    }
    Ok(())
}

fn read_back(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let mut read = Vec::with_capacity(length);
    // One byte more than was written, so that surplus is noticed and a large file is not read.
    File::open(path)?.take(length as u64 + 1).read_to_end(&mut read)?;
    Ok(read)
}

/// A file of this age was left by a process that is gone; a younger one may be another's at work.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Names that are tried: this many processes on one host can watch the same volume for the same check.
const MOST_AT_WORK: u32 = 8;

fn create(folder: &Path, stem: &str) -> io::Result<(PathBuf, File)> {
    let mut refusal = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..MOST_AT_WORK {
        let path = folder.join(format!("{stem}-{number}"));
        match create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(error) => refusal = error,
        }
        if is_left_behind(&path) {
            fs::remove_file(&path)?;
            return create_new(&path).map(|file| (path, file));
        }
    }
    Err(refusal)
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn is_left_behind(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| Timestamp::from(modified).after(LEFT_BEHIND) < Clock::Machine.read().wall)
}

fn unwritable(error: &io::Error) -> Failure {
    if let Some(used_up) = exhausted::of_io(error) {
        return used_up;
    }
    let (kind, message) = match error.kind() {
        io::ErrorKind::StorageFull => (FailureKind::Mismatch, "cannot write: no space left"),
        io::ErrorKind::QuotaExceeded => (FailureKind::Mismatch, "cannot write: the quota is used up"),
        io::ErrorKind::ReadOnlyFilesystem => (FailureKind::Mismatch, "cannot write: the file system is read-only"),
        io::ErrorKind::PermissionDenied => (FailureKind::Mismatch, "cannot write: no permission"),
        io::ErrorKind::NotADirectory => (FailureKind::Mismatch, "cannot write: the path is not a folder"),
        _ => (FailureKind::Protocol, "cannot write"),
    };
    Failure::new(kind, message).with_detail(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hinders_writing_is_named() {
        let cases = [
            (rustix::io::Errno::NOSPC, "cannot write: no space left"),
            (rustix::io::Errno::ROFS, "cannot write: the file system is read-only"),
            (rustix::io::Errno::ACCESS, "cannot write: no permission"),
            (rustix::io::Errno::DQUOT, "cannot write: the quota is used up"),
            (rustix::io::Errno::IO, "cannot write"),
        ];
        for (errno, message) in cases {
            assert_eq!(unwritable(&io::Error::from(errno)).message, message);
        }
    }
}
