//! What must not be forgotten, once more in a small file beside the history: it is whole or it is nothing, and it is
//! read when the history itself cannot be.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Fault;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::history::answer::Latches;
use crate::history::calendar::{Boot, Reckoning};
use crate::model::outcome::one_line;

/// How the file begins; a file that begins otherwise is not ours to write to.
const HEADER: &str = "probelet saved state 1 ";
/// A larger file is none of ours.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What is saved, and how its times are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// What must not be forgotten.
    pub latches: Latches,
    /// How the time of the ledger stood to the clocks.
    pub reckoning: Reckoning,
}

impl Saved {
    /// What was saved beside the history at `path` for the pod with the UID `pod`; nothing where that cannot be known.
    #[must_use]
    pub fn read(path: &Path, pod: &str) -> Option<Self> {
        let mut text = String::new();
        fs::File::open(beside(path)).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
        Self::parse(&text, pod)
    }

    /// Saves it in one write, so that a process that is killed leaves all of it or what was there. Without the disk's
    /// cache being flushed: what a failure of power tears is not believed.
    ///
    /// # Errors
    /// When it is not saved; then what was saved before is not believed any more.
    pub fn write(&self, path: &Path, pod: &str) -> Result<(), Fault> {
        let away = |error: io::Error| Fault::Away(format!("the state beside it cannot be saved: {error}"));
        let mut options = fs::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(beside(path)).map_err(away)?;
        let mut header = String::new();
        // What is not text has no header.
        let _ = (&file).take(HEADER.len() as u64).read_to_string(&mut header);
        if !(header == HEADER || header.is_empty() && file.metadata().map_err(away)?.len() == 0) {
            return Err(Fault::Foreign("the file beside it that ends in `.state` is of something else".into()));
        }
        let text = self.text(pod);
        file.seek(SeekFrom::Start(0)).map_err(away)?;
        file.write_all(text.as_bytes()).and_then(|()| file.set_len(text.len() as u64)).map_err(away)
    }

    fn text(&self, pod: &str) -> String {
        let Self { latches, reckoning } = self;
        let mut lines = vec![format!("pod {}", one_line(pod)), format!("ahead {}", reckoning.ahead)];
        let mut line =
            |kind: &str, at: Timestamp, name: &str| lines.push(format!("{kind} {} {name}", at.unix_micros()));
        if let Some(boot) = &reckoning.boot {
            line("boot", boot.at, &one_line(&boot.id));
        }
        if let Some(since) = latches.draining_since {
            line("draining", since, "");
        }
        if let Some(at) = latches.looked_at {
            line("looked", at, "");
        }
        latches.beats.iter().for_each(|(check, at)| line("beat", *at, check.as_str()));
        lines.extend(latches.passed_once.iter().map(|check| format!("passed_once {check}")));
        if latches.ready_once {
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
                "ready_once" => saved.latches.ready_once = true,
                "draining" => saved.latches.draining_since = Some(at()?),
                "looked" => saved.latches.looked_at = Some(at()?),
                "passed_once" => saved.latches.passed_once.extend(CheckName::new(second).ok()),
                "beat" => saved.latches.beats.extend(CheckName::new(third).ok().zip(at())),
                // A later version has more to say.
                _ => {}
            }
        }
        Some(saved)
    }
}

/// Whether something was saved beside the history at `path`, by whatever pod: then that was a history of ours.
pub fn is_beside(path: &Path) -> bool {
    let mut header = Vec::new();
    let found = fs::File::open(beside(path)).and_then(|file| file.take(HEADER.len() as u64).read_to_end(&mut header));
    found.is_ok() && header == HEADER.as_bytes()
}

/// Where it is saved.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".state");
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
            latches: Latches {
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
