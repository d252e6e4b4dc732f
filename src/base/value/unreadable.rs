//! Files that the configuration names and that cannot be read: why, and what helps.

use std::io;

/// Why a file cannot be read, in words for people.
#[must_use]
pub fn why_unreadable(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        io::ErrorKind::Unsupported => "it is a pipe, a socket or a device".into(),
        io::ErrorKind::FileTooLarge => "it is larger than 1 MiB".into(),
        io::ErrorKind::QuotaExceeded => "the files that are named hold too much altogether".into(),
        io::ErrorKind::WouldBlock => "it does not answer at once".into(),
        io::ErrorKind::TimedOut => "it does not end".into(),
        other => other.to_string(),
    }
}

/// Whether a file that could not be read may be there for somebody else: the pod.
#[must_use]
pub const fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

/// What helps against a file that cannot be read.
#[must_use]
pub const fn help_with_unreadable(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::QuotaExceeded => {
            "name fewer or smaller files: 8 MiB of different ones, and 32 MiB counted for each place that names one"
        }
        io::ErrorKind::IsADirectory
        | io::ErrorKind::Unsupported
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::WouldBlock
        | io::ErrorKind::TimedOut => "name a regular file of at most 1 MiB",
        io::ErrorKind::InvalidData => "name a file of text in UTF-8",
        _ => "check the path and that it is mounted into the sidecar",
    }
}
