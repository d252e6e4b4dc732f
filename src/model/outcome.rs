//! What one run of one check found.

use std::time::Duration;

use crate::base::clock::{Moment, Timestamp};
use crate::base::plain::is_plain;

/// What a probe found: the target is well, or why it is not.
pub type ProbeResult = Result<Pass, Failure>;

/// The target answered as it should.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pass {
    /// What to say about it, in one line; nothing means `<name> OK (12ms)`.
    pub message: Option<String>,
    /// The pass is one to worry about (a certificate that ends soon, a volume that fills up); the message says why.
    pub degraded: bool,
    /// When what it shows happened, where that may be before the run: the last beat of a heartbeat. It says nothing of
    /// an app's container that started later.
    pub as_of: Option<Moment>,
    /// What else the run learned.
    pub facts: Facts,
    /// The answer itself, when the run was asked to keep it for captures. Never shown.
    pub answer: Option<Box<CapturedAnswer>>,
}

impl Pass {
    /// A pass that says `message`.
    #[must_use]
    pub fn saying(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }
}

/// The target did not answer as it should.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind, which is the label in metrics.
    pub kind: FailureKind,
    /// For everybody: one line with no credential, host, address, query text or body. See [`Failure::new`].
    pub message: String,
    /// For the log only: the system's or the server's own error line, with no body, header or secret.
    pub detail: Option<Box<str>>,
    /// What else the run learned before it failed.
    pub facts: Facts,
    /// The answer that is not as it should be, where values are to be captured from it.
    pub answer: Option<Box<CapturedAnswer>>,
}

impl Failure {
    /// A failure with a message for everybody, which is brought to one line of at most 200 characters.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: one_line(message.as_ref()), detail: None, facts: Facts::default(), answer: None }
    }

    /// Adds the error line for the log, brought to one line of at most 500 characters.
    #[must_use]
    pub fn with_detail(mut self, detail: impl AsRef<str>) -> Self {
        self.detail = Some(clip(detail.as_ref(), 500).into());
        self
    }
}

/// Sanitizes `text`: one line of at most 200 characters, control characters as spaces, and as U+FFFD what is invisible
/// or turns the direction of writing.
#[must_use]
pub fn one_line(text: &str) -> String {
    clip(text, 200)
}

fn clip(text: &str, longest: usize) -> String {
    if is_one_line(text, longest) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len().min(longest));
    let mut blank = false;
    let shown = |c: char| match c {
        c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => ' ',
        c if is_plain(c) => c,
        _ => '\u{fffd}',
    };
    for character in text.chars().map(shown) {
        if character == ' ' && (blank || line.is_empty()) {
            continue;
        }
        blank = character == ' ';
        line.push(character);
    }
    let line = line.trim_end();
    match line.char_indices().nth(longest) {
        None => line.to_owned(),
        Some(_) => line.chars().take(longest - 1).chain(['…']).collect(),
    }
}

/// Whether `text` is what it is brought to, as far as that is seen at once: most texts are.
fn is_one_line(text: &str, longest: usize) -> bool {
    let bytes = text.as_bytes();
    let blanks = [bytes.first(), bytes.last()].contains(&Some(&b' ')) || bytes.windows(2).any(|pair| pair == b"  ");
    bytes.len() <= longest && !blanks && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Why a run failed: the label `reason` in metrics and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The run's time was up.
    Timeout,
    /// The name could not be resolved.
    Resolve,
    /// No connection: refused, reset, unreachable, or broken in the middle.
    Connect,
    /// The TLS handshake failed, or the certificate is not to be trusted.
    Tls,
    /// The server rejected the credentials or the rights.
    Auth,
    /// The answer is not what the protocol allows, or the server reported an error of its own.
    Protocol,
    /// The answer is well-formed and not the one expected.
    Mismatch,
    /// The probe itself broke: a defect of probelet.
    Bug,
    /// No failure of the target: the run has nothing to judge it by. See [`Outcome::Void`].
    Void,
    /// The same, because something of our own was used up: descriptors, threads, memory or local ports.
    Exhausted,
}

impl FailureKind {
    /// All that a target can be blamed for, in the order of the metrics.
    pub const ALL: [Self; 8] =
        [Self::Timeout, Self::Resolve, Self::Connect, Self::Tls, Self::Auth, Self::Protocol, Self::Mismatch, Self::Bug];

    /// Whether it says nothing of the target.
    #[must_use]
    pub const fn is_void(self) -> bool {
        matches!(self, Self::Void | Self::Exhausted)
    }

    /// The word for it in metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Protocol => "protocol",
            Self::Mismatch => "mismatch",
            Self::Bug => "bug",
            Self::Void => "void",
            Self::Exhausted => "exhausted",
        }
    }
}

/// What a run learned beside its outcome, for metrics and the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The end of validity of the certificate that the server presented.
    pub tls_not_after: Option<Timestamp>,
    /// The file system that was measured.
    pub disk: Option<DiskSpace>,
    /// The queue that was looked at.
    pub queue: Option<Box<QueueLength>>,
    /// The steps of a workflow, in the order of the file.
    pub steps: Box<[StepReport]>,
}

/// The size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that an unprivileged process may still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

/// How full a queue is, and who works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLength {
    /// Messages that wait in it.
    pub messages: u32,
    /// Consumers that take messages out of it.
    pub consumers: u32,
}

/// How one step of a workflow went.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The step's name.
    pub name: String,
    /// `ok`, `degraded`, `error` or `skipped`.
    pub state: super::level::State,
    /// One line, under the rules of [`Failure::message`].
    pub message: String,
    /// How long it took, retries included; nothing when it was skipped.
    pub took: Option<Duration>,
}

/// An answer kept for captures. It may hold anything, so it has no readable `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CapturedAnswer {
    /// The status code, where the protocol has one.
    pub status: Option<u16>,
    /// Header names in lower case, with their values, in the order received.
    pub headers: Vec<(String, String)>,
    /// The cookies that the run has by then, with their values, in the order in which they were set.
    pub cookies: Vec<(String, String)>,
    /// The body, or the text of the first column of the first row.
    pub body: Vec<u8>,
    /// There is more of the body than was read.
    pub is_cut: bool,
}

impl std::fmt::Debug for CapturedAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer(***)")
    }
}

/// The outcome of one run.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The target is well.
    Pass(Pass),
    /// It is not.
    Fail(Failure),
    /// The check was not run, or its failure was a parent's: a parent is failing.
    Skip,
    /// The run has no verdict, and counts as none: it moves nothing. Until there is a verdict, the message says why
    /// there is none.
    Void(Failure),
}

impl From<ProbeResult> for Outcome {
    fn from(result: ProbeResult) -> Self {
        match result {
            Ok(pass) => Self::Pass(pass),
            Err(failure) if failure.kind.is_void() => Self::Void(failure),
            Err(failure) => Self::Fail(failure),
        }
    }
}

/// An outcome with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What was found.
    pub outcome: Outcome,
    /// When the run began, on the boot clock.
    pub began: Moment,
    /// When it ended, on the boot clock.
    pub ended: Moment,
    /// When it ended, for people.
    pub wall: Timestamp,
    /// For the log only: the addresses that a run which failed has dialled, or the one of them that answered.
    pub dialled: Option<String>,
}

impl Observation {
    /// How long the run took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended.since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_of_at_most_200_characters() {
        assert_eq!(one_line("  a\r\n\tb\u{0}c  "), "a b c");
        assert_eq!(one_line("a\u{202e}b\u{200b}c\u{2028}d"), "a\u{fffd}b\u{fffd}c d");
        assert_eq!(one_line(&"é".repeat(200)).chars().count(), 200);
        let cut = one_line(&"é".repeat(201));
        assert_eq!(cut.chars().count(), 200);
        assert!(cut.ends_with('…'));
        for (text, line) in [("db OK (12ms)", "db OK (12ms)"), ("a  b", "a b"), (" a", "a"), ("a ", "a"), ("", "")] {
            assert_eq!(one_line(text), line);
        }
        assert_eq!([200, 201].map(|length| one_line(&"x".repeat(length)).chars().last()), [Some('x'), Some('…')]);
    }

    #[test]
    fn an_answer_shows_nothing_when_formatted() {
        let answer = CapturedAnswer { status: Some(200), body: b"hunter2".to_vec(), ..CapturedAnswer::default() };
        assert_eq!(format!("{answer:?}"), "Answer(***)");
    }
}
