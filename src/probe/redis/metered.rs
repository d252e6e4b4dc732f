//! A stream that lets only so much through between two questions, and remembers why it has ended.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::model::outcome::{Failure, FailureKind};
use crate::probe::kept::Life;
use crate::probe::net::failure::of_io;

/// No answer is longer than this.
const LONGEST: usize = 64 << 10;

/// The meter of a stream.
#[derive(Debug, Default)]
pub struct Meter {
    read: AtomicUsize,
    end: OnceLock<Failure>,
    /// Shows that something comes.
    pub life: Life,
}

impl Meter {
    /// A question is asked: its answer may be as long as any.
    pub fn reset(&self) {
        self.read.store(0, Ordering::Relaxed);
    }

    /// Why nothing more can be read, if that is so.
    pub fn end(&self) -> Option<&Failure> {
        self.end.get()
    }

    fn ends(&self, failure: Failure) -> io::Error {
        // Only the first reason counts; the others follow from it.
        let _ = self.end.set(failure);
        io::ErrorKind::ConnectionAborted.into()
    }
}

/// The stream.
pub struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    /// Puts `meter` on `stream`.
    pub fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            return Poll::Ready(Err(self.meter.ends(of_io(&error))));
        }
        let read = buffer.filled().len() - before;
        self.meter.life.show();
        if read == 0 && buffer.remaining() > 0 {
            self.meter.ends(Failure::new(FailureKind::Connect, "connection closed by the server"));
        }
        if self.meter.read.fetch_add(read, Ordering::Relaxed) + read > LONGEST {
            let failure = Failure::new(FailureKind::Protocol, "the answer is longer than 64 KiB");
            return Poll::Ready(Err(self.meter.ends(failure)));
        }
        Poll::Ready(Ok(()))
    }
}

/// A stream that takes nothing more is not the last word: the server may have said why, and that is still to be read.
fn unless_broken<T>(written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(_)) => Poll::Pending,
        other => other,
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        unless_broken(Pin::new(&mut self.stream).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        unless_broken(Pin::new(&mut self.stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
