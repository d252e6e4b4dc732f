//! Whether a file can have changed since it was read, told by its metadata: a look that finds the same reads nothing.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every so many looks all is read, whatever the metadata say: some file systems do not keep them.
const THOROUGH: u32 = 6;
/// So many looks must have found the same metadata before they are believed. A file can change twice within one step
/// of its clock, which is two seconds long at worst (FAT); a look later that clock has gone on.
const SIGHTINGS: u32 = 2;

/// What is known of the files that are looked at.
#[derive(Debug, Default)]
pub(super) struct FileStamps {
    seen: BTreeMap<PathBuf, Sighting>,
    looks: u32,
}

#[derive(Debug)]
struct Sighting {
    stamp: Stamp,
    count: u32,
}

/// What changes with the content of a file. Nobody can set the time of the last change of the inode (`st_ctime`,
/// inode(7)); a file behind a symbolic link that was set anew has another number.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl FileStamps {
    /// Begins a look at all files.
    pub(super) fn begin_look(&mut self) {
        self.looks = self.looks.wrapping_add(1);
    }

    /// Whether the file at `path` holds `known`; what it holds is read with `read` where its metadata do not tell.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn holds(
        &mut self,
        path: &Path,
        known: &[u8],
        read: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<bool> {
        // Before it is read: what is written in between is seen by the next look.
        let stamp = std::fs::metadata(path).ok().map(|found| Stamp::of(&found));
        let before = self.seen.get_mut(path).filter(|before| stamp.as_ref() == Some(&before.stamp));
        let is_thorough = self.looks.is_multiple_of(THOROUGH);
        if !is_thorough && before.as_ref().is_some_and(|before| before.count >= SIGHTINGS) {
            return Ok(true);
        }
        let is_same = read()? == known;
        match (before, stamp) {
            (Some(before), _) if is_same => before.count = before.count.saturating_add(1),
            (None, Some(stamp)) if is_same => {
                self.seen.insert(path.to_owned(), Sighting { stamp, count: 1 });
            }
            _ => {
                self.seen.remove(path);
            }
        }
        Ok(is_same)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    struct StampedFile(PathBuf);

    impl StampedFile {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("probelet-stamp-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder.join("file"))
        }

        /// Whether a look finds `known`, and how often it has read the file.
        fn look(&self, stamps: &mut FileStamps, known: &str) -> (bool, u32) {
            let mut reads = 0;
            stamps.begin_look();
            let read = || {
                reads += 1;
                fs::read(&self.0)
            };
            let is_same = stamps.holds(&self.0, known.as_bytes(), read);
            (is_same.unwrap_or(known.is_empty()), reads)
        }
    }

    impl Drop for StampedFile {
        fn drop(&mut self) {
            let _ = self.0.parent().map(fs::remove_dir_all);
        }
    }

    #[test]
    fn a_file_that_has_not_changed_is_read_by_two_looks_and_by_each_sixth() {
        let file = StampedFile::new("same");
        fs::write(&file.0, "one").unwrap();
        let mut stamps = FileStamps::default();
        let reads: Vec<u32> = (0..14).map(|_| file.look(&mut stamps, "one").1).collect();
        assert_eq!(reads, [1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_change_that_keeps_size_and_time_is_found() {
        let file = StampedFile::new("kept");
        let then = SystemTime::now() - Duration::from_secs(3600);
        let write = |text: &str| {
            fs::write(&file.0, text).unwrap();
            fs::File::options().write(true).open(&file.0).unwrap().set_modified(then).unwrap();
        };
        write("one");
        let mut stamps = FileStamps::default();
        for _ in 0..3 {
            assert!(file.look(&mut stamps, "one").0);
        }
        // The clock of a file system goes in steps of some milliseconds: until it has gone on.
        let inode = || fs::metadata(&file.0).map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
        let before = inode();
        while inode() == before {
            write("two");
        }
        assert_eq!(file.look(&mut stamps, "one"), (false, 1));
        assert_eq!(file.look(&mut stamps, "one"), (false, 1), "it is read until it is the same");
    }

    #[test]
    fn a_link_that_was_set_anew_a_file_that_went_and_one_that_came_back_are_found() {
        let file = StampedFile::new("link");
        let [first, second] = ["first", "second"].map(|name| file.0.with_file_name(name));
        fs::write(&first, "one").unwrap();
        fs::write(&second, "two").unwrap();
        std::os::unix::fs::symlink(&first, &file.0).unwrap();
        let mut stamps = FileStamps::default();
        for _ in 0..3 {
            assert!(file.look(&mut stamps, "one").0);
        }
        let next = file.0.with_file_name("next");
        std::os::unix::fs::symlink(&second, &next).unwrap();
        fs::rename(&next, &file.0).unwrap();
        assert!(!file.look(&mut stamps, "one").0);
        assert!(file.look(&mut stamps, "two").0);
        fs::remove_file(&second).unwrap();
        assert_eq!(file.look(&mut stamps, "two"), (false, 1));
        assert!(file.look(&mut stamps, "").0, "a file that is not there holds nothing");
        fs::write(&second, "two").unwrap();
        assert!(!file.look(&mut stamps, "").0);
    }
}
