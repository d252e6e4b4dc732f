//! How far a run has come: a probe says which phase it enters, and the runner that ends the run can say where it was.
//! For somebody who debugs a check it also keeps notes of what was seen.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::credentials::masked;
use super::plain::plain;
use super::redactor::Redactor;

/// A part of a run, in the words of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The way to a proxy, and its answer to the request for a tunnel.
    Proxy,
    /// Name resolution.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Greeting and authentication of the protocol.
    Login,
    /// The request or query is on its way; nothing of the answer has been seen.
    Answer,
    /// The answer has begun and is not complete.
    Body,
    /// A system call on a file or a file system.
    Disk,
}

impl Phase {
    /// What was going on, as it stands in a timeout's message: `timed out after 2s (connecting)`.
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Proxy => "waiting for the proxy",
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::Tls => "in the TLS handshake",
            Self::Login => "logging in",
            Self::Answer => "waiting for the answer",
            Self::Body => "reading the answer",
            Self::Disk => "waiting for the file system",
        }
    }

    /// The short name of the phase in tables and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Answer => "first_byte",
            Self::Body => "body",
            Self::Disk => "disk",
        }
    }
}

/// The phases that a run has entered, in order, with the moment of each.
#[derive(Debug)]
pub struct Trace {
    started: Instant,
    ended: OnceLock<Duration>,
    entered: Mutex<Vec<(Phase, Duration)>>,
    /// Where it was dialled last, by the run or a part of it: a daemon's log wants that of a failure.
    dialled: Arc<Mutex<Option<Dialled>>>,
    /// How long it listened to a server that had nothing to say.
    silence: OnceLock<Duration>,
    /// Taken by `probelet once --verbose` and the like; nothing in the daemon.
    notes: Option<Mutex<Notes>>,
}

/// Where a run was dialled last. It is put in words for those alone who want to know.
#[derive(Clone, Debug)]
enum Dialled {
    /// Here: the only address, or the one that answered.
    One(SocketAddr),
    /// At one of these, and so many more.
    Tried(Vec<SocketAddr>, usize),
}

impl Dialled {
    /// No more addresses than this are told.
    const MOST: usize = 4;

    fn at(addresses: &[IpAddr], port: u16) -> Self {
        if let [only] = addresses {
            return Self::One(SocketAddr::new(*only, port));
        }
        let told = addresses.iter().take(Self::MOST).map(|address| SocketAddr::new(*address, port));
        Self::Tried(told.collect(), addresses.len().saturating_sub(Self::MOST))
    }

    fn shown(&self) -> String {
        match self {
            Self::One(address) => address.to_string(),
            Self::Tried(addresses, more) => {
                let shown = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                if *more > 0 { format!("{shown} and {more} more") } else { shown }
            }
        }
    }
}

/// One thing that was expected of an answer, for somebody who debugs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What of the answer: `status`, `header etag`, `json /queue/depth`.
    pub what: String,
    /// What it should be: `below 1000`.
    pub wanted: String,
    /// Whether it is.
    pub holds: bool,
    /// What was found.
    pub found: Found,
}

/// What was found where something was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This.
    This(String),
    /// What may be a secret.
    HeldBack,
    /// So many bytes that are no text.
    Binary(usize),
    /// What words of ours say of it.
    InOurWords(String),
}

#[derive(Debug, Default)]
struct Notes {
    seen: Vec<String>,
    expectations: Vec<Expectation>,
    body: Option<Found>,
    parts: Vec<(String, Arc<Trace>)>,
    secrets: Redactor,
}

impl Notes {
    /// What was heard, without what is secret.
    fn shown(&self, heard: &str) -> String {
        plain(&masked(&self.secrets.redact(heard))).into_owned()
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            ended: OnceLock::new(),
            entered: Mutex::default(),
            dialled: Arc::default(),
            silence: OnceLock::new(),
            notes: None,
        }
    }
}

impl Trace {
    /// More phases, notes or parts than this are not recorded (a workflow with retries enters many).
    const MAX: usize = 64;

    /// A trace that keeps notes as well.
    #[must_use]
    pub fn noting() -> Self {
        Self { notes: Some(Mutex::default()), ..Self::default() }
    }

    /// From now on nothing is noted that repeats these secrets.
    pub fn keep_secret(&self, secrets: impl FnOnce() -> Redactor) {
        if let Some(notes) = &self.notes {
            locked(notes).secrets = secrets();
        }
    }

    /// Notes what was seen, where notes are taken: sizes, counts, codes; never a credential or a body.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(notes) = &self.notes {
            let mut notes = locked(notes);
            if notes.seen.len() < Self::MAX {
                let shown = plain(&notes.secrets.redact_own(&what())).into_owned();
                notes.seen.push(shown);
            }
        }
    }

    /// These addresses are dialled at `port`, which the name `host` stands for; nothing where it is an address itself.
    pub fn dial(&self, host: Option<&str>, addresses: &[IpAddr], port: u16) {
        let dialled = Dialled::at(addresses, port);
        if let Some(host) = host {
            self.note(|| format!("{host} is {}", dialled.shown()));
        }
        *locked(&self.dialled) = Some(dialled);
    }

    /// The dialled address that answers.
    pub fn reached(&self, address: SocketAddr) {
        self.note(|| format!("connected to {address}"));
        *locked(&self.dialled) = Some(Dialled::One(address));
    }

    /// Where it was dialled last: the address that answered, else all that were tried.
    #[must_use]
    pub fn dialled(&self) -> Option<String> {
        locked(&self.dialled).as_ref().map(Dialled::shown)
    }

    /// For so long it has listened to a server that had nothing to say, and need not have: that is no slowness of the
    /// server's.
    pub fn heard_nothing(&self, silence: Duration) {
        let _ = self.silence.set(silence);
    }

    /// How long it has listened in vain.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.silence.get().copied().unwrap_or_default()
    }

    /// Whether notes are taken.
    #[must_use]
    pub const fn is_noting(&self) -> bool {
        self.notes.is_some()
    }

    /// Notes whether an expectation is met, where notes are taken. Credentials in what was found are masked here.
    pub fn expect(&self, expectation: impl FnOnce() -> Expectation) {
        let Some(notes) = &self.notes else { return };
        let mut notes = locked(notes);
        if notes.expectations.len() < Self::MAX {
            let Expectation { what, wanted, holds, found } = expectation();
            let found = match found {
                Found::This(found) => Found::This(notes.shown(&found)),
                other => other,
            };
            let (what, wanted) = (plain(&what).into_owned(), plain(&wanted).into_owned());
            notes.expectations.push(Expectation { what, wanted, holds, found });
        }
    }

    /// How it stands with each expectation, in order.
    #[must_use]
    pub fn expectations(&self) -> Vec<Expectation> {
        self.notes.as_ref().map(|notes| locked(notes).expectations.clone()).unwrap_or_default()
    }

    /// Notes how a body begins, where notes are taken; nothing of one that may be a secret, or that is no text.
    pub fn note_body(&self, body: &[u8], is_secret: bool) {
        const MOST: usize = 200;
        /// What is behind what is shown tells whether a word there goes on.
        const LOOKED_AT: usize = 4 * MOST;
        let Some(notes) = &self.notes else { return };
        let mut notes = locked(notes);
        let beginning = &body[..body.len().min(LOOKED_AT)];
        notes.body = match body {
            [] => None,
            _ if is_secret => Some(Found::HeldBack),
            _ if is_binary(beginning) => Some(Found::Binary(body.len())),
            _ => {
                let text = String::from_utf8_lossy(beginning);
                // What was cut in the middle of a character is none.
                let text = if body.len() > LOOKED_AT { text.trim_end_matches('\u{fffd}') } else { &text };
                let mut shown = notes.shown(text);
                shown.truncate(shown.floor_char_boundary(MOST));
                Some(Found::This(shown))
            }
        };
    }

    /// How the last body began.
    #[must_use]
    pub fn body(&self) -> Option<Found> {
        self.notes.as_ref().and_then(|notes| locked(notes).body.clone())
    }

    /// What was seen, in order.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.as_ref().map(|notes| locked(notes).seen.clone()).unwrap_or_default()
    }

    /// A trace for a part of the run (an attempt at a step called `name`), which is kept where notes are.
    #[must_use]
    pub fn part(&self, name: &str) -> Arc<Self> {
        let dialled = Arc::clone(&self.dialled);
        let Some(notes) = &self.notes else { return Arc::new(Self { dialled, ..Self::default() }) };
        let part = Arc::new(Self { dialled, ..Self::noting() });
        let mut notes = locked(notes);
        if notes.parts.len() < Self::MAX {
            notes.parts.push((name.to_owned(), Arc::clone(&part)));
        }
        part
    }

    /// The parts of the run, in order, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, Arc<Self>)> {
        self.notes.as_ref().map(|notes| locked(notes).parts.clone()).unwrap_or_default()
    }

    /// The run has ended; only the first call counts.
    pub fn end(&self) {
        let _ = self.ended.set(self.started.elapsed());
    }

    /// Each phase with the time that the run spent in it, the last one until the run ended (or until now).
    #[must_use]
    pub fn spans(&self) -> Vec<(Phase, Duration)> {
        let phases = self.phases();
        let end = self.ended.get().copied().unwrap_or_else(|| self.started.elapsed());
        let ends = phases.iter().skip(1).map(|(_, entered)| *entered).chain([end]);
        phases.iter().zip(ends).map(|((phase, entered), end)| (*phase, end.saturating_sub(*entered))).collect()
    }

    /// The run enters `phase`; entering the phase it is already in changes nothing.
    pub fn enter(&self, phase: Phase) {
        let mut entered = locked(&self.entered);
        if entered.last().is_none_or(|(last, _)| *last != phase) && entered.len() < Self::MAX {
            entered.push((phase, self.started.elapsed()));
        }
    }

    /// The phase that the run is in, if it has entered any.
    #[must_use]
    pub fn current(&self) -> Option<Phase> {
        locked(&self.entered).last().map(|(phase, _)| *phase)
    }

    /// Each phase with the time from the start of the run at which it was entered.
    #[must_use]
    pub fn phases(&self) -> Vec<(Phase, Duration)> {
        locked(&self.entered).clone()
    }
}

/// Whether it is no text: compressed, an image, a message of a binary protocol.
fn is_binary(bytes: &[u8]) -> bool {
    /// A text in an old encoding has one in a few.
    const MOST_UNREADABLE: usize = 3;
    let text = String::from_utf8_lossy(bytes);
    let is_unreadable = |c: &char| *c == '\u{fffd}' || (c.is_control() && !c.is_whitespace() && *c != '\u{1b}');
    text.contains('\0') || text.chars().filter(is_unreadable).count() * MOST_UNREADABLE > text.chars().count()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_knows_the_phase_that_was_entered_last() {
        let trace = Trace::default();
        assert_eq!(trace.current(), None);
        trace.enter(Phase::Resolve);
        trace.enter(Phase::Connect);
        trace.enter(Phase::Connect);
        assert_eq!(trace.current(), Some(Phase::Connect));
        assert_eq!(trace.phases().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_lasts_until_the_next_one_or_the_end_of_the_run() {
        let trace = Trace::default();
        trace.enter(Phase::Connect);
        tokio::time::advance(Duration::from_millis(3)).await;
        trace.enter(Phase::Answer);
        tokio::time::advance(Duration::from_millis(40)).await;
        trace.end();
        tokio::time::advance(Duration::from_secs(1)).await;
        let spans = [(Phase::Connect, Duration::from_millis(3)), (Phase::Answer, Duration::from_millis(40))];
        assert_eq!(trace.spans(), spans);
    }

    #[test]
    fn notes_are_taken_only_where_somebody_wants_to_know() {
        let trace = Trace::default();
        trace.note(|| unreachable!("nobody wants to know"));
        trace.part("login").note(|| unreachable!("nobody wants to know"));
        assert!(trace.notes().is_empty() && trace.parts().is_empty());

        let trace = Trace::noting();
        trace.note(|| "status 200".into());
        trace.part("login").note(|| "status 401".into());
        assert_eq!(trace.notes(), ["status 200"]);
        let parts = trace.parts();
        assert_eq!((parts[0].0.as_str(), parts[0].1.notes()), ("login", vec!["status 401".to_owned()]));
    }

    #[test]
    fn the_address_that_was_dialled_is_known_of_a_part_too() {
        let trace = Trace::noting();
        assert_eq!(trace.dialled(), None);
        let addresses: Vec<IpAddr> = (1..=6).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let part = trace.part("login");
        part.dial(Some("shop"), &addresses, 80);
        let all = "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80, 10.0.0.4:80 and 2 more";
        assert_eq!((trace.dialled().as_deref(), part.notes()), (Some(all), vec![format!("shop is {all}")]));
        trace.reached(SocketAddr::new(addresses[1], 80));
        assert_eq!(part.dialled().as_deref(), Some("10.0.0.2:80"));
    }

    #[test]
    fn a_trace_is_bounded() {
        let trace = Trace::default();
        for _ in 0..1000 {
            trace.enter(Phase::Connect);
            trace.enter(Phase::Answer);
        }
        assert_eq!(trace.phases().len(), Trace::MAX);
        let trace = Trace::noting();
        for _ in 0..1000 {
            trace.note(String::new);
            let _ = trace.part("step");
        }
        assert_eq!((trace.notes().len(), trace.parts().len()), (Trace::MAX, Trace::MAX));
    }
}
