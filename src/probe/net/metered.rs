//! The meter on every connection that is dialled: how much the server may send, and how much of it is taken in before
//! others get their turn.
//!
//! [`Network::dial`](super::Network::dial) gives no other stream, so a new kind is metered without doing anything: it
//! hears [`UNTIL_TOLD`] and no more. A kind with longer answers, or that asks more than once, tells the
//! [`Meter`] what comes next with [`Meter::allow`]. Bytes are counted as they come from the system, below TLS.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::pass_on::passes_writes_on;
use super::socket::DialedSocket;
use crate::base::quantity::show_size;
use crate::model::outcome::{Failure, FailureKind};

/// No more than this is read of a connection whose meter has not been told otherwise.
pub const UNTIL_TOLD: usize = 64 << 10;

/// So many bytes are read before other tasks get their turn.
const SLICE: usize = 16 << 10;

/// A read costs at least as much as so many bytes do, however few it brings.
const LEAST_COST: usize = 256;

/// Counts what a server sends. Between two calls of [`Meter::allow`] only so much is let through; a connection that has
/// brought more stays closed for reading.
#[derive(Debug)]
pub struct Meter(Mutex<ByteBudget>);

#[derive(Debug)]
struct ByteBudget {
    what: &'static str,
    allowed: usize,
    left: usize,
    is_exceeded: bool,
}

impl Default for Meter {
    fn default() -> Self {
        Self(Mutex::new(ByteBudget { what: "the answer", allowed: UNTIL_TOLD, left: UNTIL_TOLD, is_exceeded: false }))
    }
}

impl Meter {
    /// From now on `what`, such as `the answer`, may bring so many bytes. What came before does not count.
    pub fn allow(&self, what: &'static str, bytes: usize) {
        let mut count = self.count();
        *count = ByteBudget { what, allowed: bytes, left: bytes, is_exceeded: count.is_exceeded };
    }

    /// Counts what has come.
    fn take(&self, bytes: usize) -> Result<(), TooLong> {
        let mut count = self.count();
        match count.left.checked_sub(bytes) {
            Some(left) if !count.is_exceeded => {
                count.left = left;
                Ok(())
            }
            _ => {
                count.is_exceeded = true;
                Err(TooLong { what: count.what, allowed: count.allowed })
            }
        }
    }

    fn count(&self) -> MutexGuard<'_, ByteBudget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server has sent more than it may. It stands inside the `io::Error` of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    what: &'static str,
    allowed: usize,
}

impl TooLong {
    /// The failure that it is.
    #[must_use]
    pub fn failure(self) -> Failure {
        Failure::new(FailureKind::Protocol, self.to_string())
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = show_size(self.allowed as u64).replace(".0 ", " ");
        write!(f, "{} is longer than {most}", self.what)
    }
}

impl Error for TooLong {}

/// A connection with a meter.
#[derive(Debug)]
pub struct MeteredStream {
    stream: DialedSocket,
    meter: Arc<Meter>,
    /// What was read since there was last nothing to read, or others had their turn.
    in_a_row: usize,
}

impl MeteredStream {
    pub(super) fn new(stream: DialedSocket) -> Self {
        Self { stream, meter: Arc::default(), in_a_row: 0 }
    }

    /// Its meter.
    #[must_use]
    pub const fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The connection below.
    #[must_use]
    pub const fn socket(&self) -> &DialedSocket {
        &self.stream
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.in_a_row >= SLICE {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (most, before) = (SLICE - self.in_a_row, buffer.filled().len());
        let Poll::Ready(read) = read_at_most(&mut self.stream, cx, buffer, most) else {
            self.in_a_row = 0;
            return Poll::Pending;
        };
        self.in_a_row += read.as_ref().map_or(0, |length| *length).max(LEAST_COST);
        let taken = read.and_then(|length| self.meter.take(length).map_err(io::Error::other));
        // Nothing is passed on of what is refused.
        Poll::Ready(taken.inspect_err(|_| buffer.set_filled(before)))
    }
}

/// Reads no more than `most` bytes, and tells how many came. A part of `buffer` has to be filled with zeros first, which
/// costs more than to read a short answer: that is done only where there is more room than that.
pub(in crate::probe) fn read_at_most(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    most: usize,
) -> Poll<io::Result<usize>> {
    if buffer.remaining() <= most {
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(cx, buffer);
        return polled.map_ok(|()| buffer.filled().len() - before);
    }
    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
    ready!(Pin::new(stream).poll_read(cx, &mut part))?;
    let length = part.filled().len();
    buffer.advance(length);
    Poll::Ready(Ok(length))
}

passes_writes_on!([] MeteredStream, |_this, written| written);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::mem::MaybeUninit;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::probe::net::failure::of_io;

    /// A metered connection on which the other end has sent so many bytes and closed.
    async fn bringing(bytes: usize) -> MeteredStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { server.write_all(&vec![b'x'; bytes]).await });
        MeteredStream::new(DialedSocket::Tcp { peer: stream.peer_addr().unwrap(), stream })
    }

    #[tokio::test]
    async fn what_nobody_has_allowed_ends_at_a_bound_and_says_so() {
        let mut stream = bringing(UNTIL_TOLD + 1).await;
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        let failure = of_io(&error);
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::Protocol, "the answer is longer than 64 KiB")
        );
        stream.meter().allow("another answer", 1 << 20);
        assert!(stream.read_u8().await.is_err(), "it stays closed");
    }

    #[tokio::test]
    async fn each_part_of_a_conversation_has_its_own_bound() {
        let mut stream = bringing(3000).await;
        for _ in 0..3 {
            stream.meter().allow("the greeting", 1000);
            stream.read_exact(&mut [0; 1000]).await.unwrap();
        }
        let mut stream = bringing(1001).await;
        stream.meter().allow("the greeting", 1000);
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(of_io(&error).message, "the greeting is longer than 1000 B");
    }

    #[tokio::test]
    async fn a_short_answer_costs_no_zeros_for_a_long_one() {
        let mut stream = bringing(5).await;
        let mut room = [MaybeUninit::uninit(); SLICE];
        let mut buffer = ReadBuf::uninit(&mut room);
        poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!((buffer.filled(), buffer.initialized().len()), (b"xxxxx".as_slice(), 5));
    }

    #[tokio::test]
    async fn others_get_their_turn_after_a_slice() {
        let mut stream = bringing(UNTIL_TOLD).await;
        let mut buffer = vec![0; UNTIL_TOLD];
        for _ in 0..UNTIL_TOLD / SLICE {
            let mut taken = 0;
            while taken < SLICE {
                let DialedSocket::Tcp { stream: tcp, .. } = stream.socket() else { unreachable!() };
                tcp.readable().await.unwrap();
                taken += stream.read(&mut buffer).await.unwrap();
            }
            assert_eq!(taken, SLICE);
            let mut piece = ReadBuf::new(&mut buffer);
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_read(cx, &mut piece))).await;
            assert!(polled.is_pending(), "there is more, and yet it waits");
        }
    }
}
