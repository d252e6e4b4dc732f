//! What must not be forgotten, once more in a small file beside the history: it is whole or it is nothing, and it is
//! read when the history itself cannot be.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::FileFault;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::history::answer::SavedState;
use crate::history::calendar::{Boot, Reckoning};
use crate::model::outcome::one_line;

/// How the file begins; a file that begins otherwise is not ours to write to.
const HEADER: &str = "probelet saved state 1 ";
/// A larger file is none of ours.
const LARGEST: u64 = 4 * 1024 * 1024;
/// How the name of the file ends, after that of the history.
const SAVED: &str = ".state";
/// How its name ends until it is whole.
const NEW: &str = ".state.new";

/// What is saved, and how its times are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// What must not be forgotten.
    pub state: SavedState,
    /// How the time of the ledger stood to the clocks.
    pub reckoning: Reckoning,
}

impl Saved {
    /// What was saved beside the history at `path` for the pod with the UID `pod`; nothing where that cannot be known.
    #[must_use]
    pub fn read(path: &Path, pod: &str) -> Option<Self> {
        let mut text = String::new();
        open(&beside(path, SAVED)).ok()??.take(LARGEST).read_to_string(&mut text).ok()?;
        Self::parse(&text, pod)
    }

    /// Saves it under another name first, which it then gives up, so that a process that is killed leaves all of it or
    /// what was there. Without the disk's cache being flushed: what a failure of power tears is not believed.
    ///
    /// # Errors
    /// When it is not saved; then what was saved before stays.
    pub fn write(&self, path: &Path, pod: &str) -> Result<(), FileFault> {
        let away = |error: io::Error| FileFault::Away(format!("the state beside it cannot be saved: {error}"));
        let (saved, new) = (beside(path, SAVED), beside(path, NEW));
        for (place, what) in [(&saved, SAVED), (&new, NEW)] {
            if found(place).map_err(away)? == SavedFile::Somebodys {
                return Err(FileFault::Foreign(format!(
                    "the file beside it that ends in `{what}` is of something else"
                )));
            }
        }
        // A process that was killed has left it.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(away(error)),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&new).map_err(away)?;
        file.write_all(self.text(pod).as_bytes()).and_then(|()| fs::rename(&new, &saved)).map_err(|error| {
            let _ = fs::remove_file(&new);
            away(error)
        })
    }

    fn text(&self, pod: &str) -> String {
        let Self { state, reckoning } = self;
        let mut lines = vec![format!("pod {}", one_line(pod)), format!("ahead {}", reckoning.ahead)];
        let mut line =
            |kind: &str, at: Timestamp, name: &str| lines.push(format!("{kind} {} {name}", at.unix_micros()));
        if let Some(boot) = &reckoning.boot {
            line("boot", boot.at, &one_line(&boot.id));
        }
        if let Some(since) = state.draining_since {
            line("draining", since, "");
        }
        if let Some(at) = state.looked_at {
            line("looked", at, "");
        }
        state.beats.iter().for_each(|(check, at)| line("beat", *at, check.as_str()));
        lines.extend(state.passed_once.iter().map(|check| format!("passed_once {check}")));
        if state.ready_once {
            lines.push("ready_once".into());
        }
        let body = lines.join("\n");
        format!("{HEADER}{:016x}\n{body}\n", checksum(body.as_bytes()))
    }

    fn parse(text: &str, pod: &str) -> Option<Self> {
        let (sum, body) = text.strip_prefix(HEADER)?.strip_suffix('\n')?.split_once('\n')?;
        (sum == format!("{:016x}", checksum(body.as_bytes()))).then_some(())?;
        let mut lines = body.lines();
        (lines.next()?.strip_prefix("pod ")? == one_line(pod)).then_some(())?;
        let mut saved = Self::default();
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let (kind, second, third) =
                (words.next()?, words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let at = || second.parse().ok().map(Timestamp::from_unix_micros);
            match kind {
                "ahead" => saved.reckoning.ahead = second.parse().ok()?,
                "boot" => saved.reckoning.boot = Some(Boot { id: third.to_owned(), at: at()? }),
                "ready_once" => saved.state.ready_once = true,
                "draining" => saved.state.draining_since = Some(at()?),
                "looked" => saved.state.looked_at = Some(at()?),
                "passed_once" => saved.state.passed_once.extend(CheckName::new(second).ok()),
                "beat" => saved.state.beats.extend(CheckName::new(third).ok().zip(at())),
                // A later version has more to say.
                _ => {}
            }
        }
        Some(saved)
    }
}

/// Whether something was saved beside the history at `path`, by whatever pod: then that was a history of ours.
pub fn is_beside(path: &Path) -> bool {
    matches!(found(&beside(path, SAVED)), Ok(SavedFile::Ours))
}

/// What has a name that we would write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SavedFile {
    /// Nothing, or an empty file: what a failure of power, or an end at the wrong moment, leaves of one of ours.
    Nothing,
    Ours,
    /// A file of something else, a link, a folder, a pipe.
    Somebodys,
}

/// # Errors
/// When that cannot be seen.
fn found(path: &Path) -> io::Result<SavedFile> {
    let mut header = Vec::new();
    match open(path) {
        Ok(Some(file)) => file.take(HEADER.len() as u64).read_to_end(&mut header)?,
        Ok(None) => return Ok(SavedFile::Somebodys),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SavedFile::Nothing),
        Err(error) => return Err(error),
    };
    Ok(match header.as_slice() {
        [] => SavedFile::Nothing,
        header if header == HEADER.as_bytes() => SavedFile::Ours,
        _ => SavedFile::Somebodys,
    })
}

/// The regular file at `path`; none where something else has the name. Whoever opens a pipe waits for its other end,
/// and a link is not of our making.
fn open(path: &Path) -> io::Result<Option<fs::File>> {
    if fs::symlink_metadata(path)?.is_file() { fs::File::open(path).map(Some) } else { Ok(None) }
}

/// The name of the history with `ending` behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// FNV-1a: tells a torn text from a whole one.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let at = Timestamp::from_unix_micros;
        let name = |name: &str| CheckName::new(name).unwrap();
        Saved {
            state: SavedState {
                ready_once: true,
                draining_since: Some(at(-7)),
                passed_once: [name("db"), name("api/user")].into(),
                beats: [(name("loop"), at(5))].into(),
                looked_at: Some(at(6)),
            },
            reckoning: Reckoning { ahead: -3, boot: Some(Boot { id: "one start".into(), at: at(1) }) },
        }
    }

    #[test]
    fn what_is_saved_is_read_again_for_the_same_pod_only() {
        for saved in [saved(), Saved::default()] {
            for pod in ["pod-1", "", "two\nlines"] {
                let text = saved.text(pod);
                assert_eq!(Saved::parse(&text, pod), Some(saved.clone()), "{text}");
                assert_eq!(Saved::parse(&text, "pod-2"), None, "{text}");
            }
        }
    }

    #[test]
    fn what_is_torn_or_garbled_anywhere_is_not_believed() {
        let text = saved().text("pod-1");
        for place in 0..text.len() {
            assert_eq!(Saved::parse(&text[..place], "pod-1"), None, "cut at {place}");
            let mut garbled = text.clone().into_bytes();
            garbled[place] ^= 1;
            let garbled = String::from_utf8(garbled).unwrap();
            assert_eq!(Saved::parse(&garbled, "pod-1"), None, "garbled at {place}");
        }
    }
}
