//! What comes over a connection: no more at a time than others can wait for, and no more for one answer than an answer
//! can need.
//!
//! hyper reads and parses for as long as something is there, whatever it is: interim answers, framing without content,
//! line breaks before a head. The bound is here, below it, so that there is no phase without one.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::model::outcome::{Failure, FailureKind};
use crate::probe::net::failure;
use crate::probe::net::metered::read_at_most;
use crate::probe::net::pass_on::passes_writes_on;

/// So much is read until others get their turn.
const TURN: usize = 64 << 10;

/// The same of HTTP/2.
const TURN_OF_FRAMES: usize = 8 << 10;

/// No read brings more: what it brings is parsed at once.
const MOST_AT_ONCE: usize = 16 << 10;

/// Every read counts as so much, however little it brings: a head that is not complete is looked at again.
const LEAST: usize = 4 << 10;

/// More interim answers (RFC 9110, section 15.2) than this do not come before an answer; Go's client has the same
/// limit.
const MOST_INTERIM: u32 = 5;

/// Heads, trailers and extensions of chunks are never longer than this together: hyper has lower limits for each.
const LONGEST_HEADS: usize = 1 << 20;

/// A chunk of one byte is sent as six.
const FRAMING: usize = 8;

/// What has come for the present answer.
#[derive(Debug, Default)]
pub(in crate::probe) struct Pace {
    interim: AtomicU32,
    read: AtomicU64,
    most: AtomicU64,
    /// What the server began with, and what broke the connection.
    met: Mutex<Met>,
}

#[derive(Debug, Default)]
struct Met {
    start: Vec<u8>,
    failure: Option<Failure>,
}

/// By so many bytes a server tells what it speaks: the head of a frame of HTTP/2 has 9.
const TELLING: usize = 9;

impl Pace {
    /// A request is sent; of the body of its answer no more than `max_body` is wanted.
    pub(in crate::probe) fn begin(&self, max_body: usize) {
        self.interim.store(0, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        self.most.store(Self::most(max_body) as u64, Ordering::Relaxed);
    }

    /// The most that comes for an answer of whose body no more than `max_body` is wanted.
    pub(in crate::probe) const fn most(max_body: usize) -> usize {
        max_body.saturating_mul(FRAMING).saturating_add(LONGEST_HEADS)
    }

    fn meet(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What broke the connection below HTTP: the library above may keep nothing of it.
    pub(in crate::probe) fn failure(&self) -> Option<Failure> {
        self.meet().failure.clone()
    }

    /// Whether the server began to speak as one of HTTP/1.1 does.
    pub(in crate::probe) fn hears_http1(&self) -> bool {
        self.meet().start.starts_with(b"HTTP/1.")
    }

    /// Whether it began with an alert of TLS, as a server does that is spoken to without (RFC 8446, section 5.1).
    pub(in crate::probe) fn hears_tls(&self) -> bool {
        self.meet().start.starts_with(&[0x15, 3])
    }

    /// Whether it began with the frame that begins HTTP/2 (RFC 9113, section 3.4): its settings, of which there are some
    /// or none.
    pub(in crate::probe) fn hears_http2(&self) -> bool {
        const SETTINGS: u8 = 4;
        matches!(self.meet().start.as_slice(), [0, 0, length, SETTINGS, 0, 0, 0, 0, 0] if length.is_multiple_of(6))
    }

    /// Whether it began with something that neither HTTP nor TLS begins with, of which enough has come to tell. A frame of
    /// HTTP/2 is shorter than 64 KiB, and begins with a zero.
    pub(in crate::probe) fn hears_another_protocol(&self) -> bool {
        let start = self.meet().start.clone();
        let is_known = [b"HTTP/1.".as_slice(), &[0x15, 3], &[0]].iter().any(|known| start.starts_with(known));
        start.len() == TELLING && !is_known
    }

    /// How many bytes have come for the present answer.
    pub(in crate::probe) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// An interim answer has come.
    pub(in crate::probe) fn interim(&self) {
        self.interim.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is too much of, if that is so.
    pub(in crate::probe) fn excess(&self) -> Option<Excess> {
        if self.interim.load(Ordering::Relaxed) > MOST_INTERIM {
            return Some(Excess::Interim);
        }
        (self.read.load(Ordering::Relaxed) > self.most.load(Ordering::Relaxed)).then_some(Excess::Framing)
    }
}

/// There is too much of something in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Excess {
    Interim,
    Framing,
}

impl Excess {
    pub(in crate::probe) fn failure(self) -> Failure {
        Failure::new(FailureKind::Protocol, self.to_string())
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interim => write!(f, "more than {MOST_INTERIM} interim answers (1xx) come before the answer"),
            Self::Framing => f.write_str("the answer has far more framing than content"),
        }
    }
}

impl std::error::Error for Excess {}

/// A stream at its pace.
pub(in crate::probe) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    /// Read since others had their turn.
    in_turn: usize,
    turn: usize,
}

impl<S> Paced<S> {
    pub(in crate::probe) const fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace, in_turn: 0, turn: TURN }
    }

    /// The same for HTTP/2, of which much less is read in a turn: a frame of 10 bytes is work, and a head may become
    /// hundreds of times as long as it came.
    pub(in crate::probe) const fn of_frames(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace, in_turn: 0, turn: TURN_OF_FRAMES }
    }

    fn met<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            self.pace.meet().failure.get_or_insert_with(|| failure::of_io(error));
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(excess) = this.pace.excess() {
            return Poll::Ready(Err(io::Error::other(excess)));
        }
        if this.in_turn >= this.turn {
            this.in_turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = read_at_most(&mut this.stream, cx, buffer, MOST_AT_ONCE.min(this.turn));
        match polled {
            Poll::Ready(Ok(read)) => {
                if this.pace.read.load(Ordering::Relaxed) < TELLING as u64 {
                    let mut met = this.pace.meet();
                    let missing = TELLING.saturating_sub(met.start.len());
                    met.start.extend_from_slice(&buffer.filled()[before..][..read.min(missing)]);
                }
                this.in_turn += read.max(LEAST);
                this.pace.read.fetch_add(read as u64, Ordering::Relaxed);
            }
            // Whatever comes next, others have their turn before.
            Poll::Pending => this.in_turn = 0,
            Poll::Ready(Err(_)) => {}
        }
        this.met(polled.map_ok(|_| ()))
    }
}

passes_writes_on!([S: AsyncWrite + Unpin] Paced<S>, |this, written| this.met(written));

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A stream that is always ready.
    struct Ready;

    impl AsyncRead for Ready {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(&vec![b'x'; buffer.remaining()]);
            Poll::Ready(Ok(()))
        }
    }

    /// One read into a buffer of `size`: how much it brings, `None` when others get their turn.
    fn read(stream: &mut Paced<Ready>, size: usize) -> Option<io::Result<usize>> {
        let mut bytes = vec![0; size];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Pending => None,
            Poll::Ready(read) => Some(read.map(|()| buffer.filled().len())),
        }
    }

    #[test]
    fn others_get_their_turn_however_much_is_there_and_however_little_a_read_brings() {
        for (size, reads) in [(1 << 20, 4), (16 << 10, 4), (8 << 10, 8), (1, 16)] {
            let pace = Arc::new(Pace::default());
            pace.begin(64 << 20);
            let mut stream = Paced::new(Ready, pace);
            for _ in 0..3 {
                for _ in 0..reads {
                    assert_eq!(read(&mut stream, size).unwrap().unwrap(), size.min(MOST_AT_ONCE), "{size}");
                }
                assert!(read(&mut stream, size).is_none(), "{size}");
            }
        }
    }

    #[test]
    fn an_answer_that_brings_more_than_it_can_need_is_not_read_on() {
        let pace = Arc::new(Pace::default());
        pace.begin(1 << 20);
        let mut stream = Paced::new(Ready, Arc::clone(&pace));
        let mut total = 0;
        let error = loop {
            match read(&mut stream, 1 << 20) {
                Some(Ok(read)) => total += read,
                Some(Err(error)) => break error,
                None => {}
            }
        };
        assert_eq!(error.to_string(), "the answer has far more framing than content");
        assert!(total <= (9 << 20) + MOST_AT_ONCE, "{total}");
        pace.begin(1 << 20);
        assert_eq!(pace.excess(), None);
        (0..=MOST_INTERIM).for_each(|_| pace.interim());
        assert_eq!(pace.excess(), Some(Excess::Interim));
    }
}
