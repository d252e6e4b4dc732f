//! A stream that remembers why it has ended, which the client library does not tell.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::model::outcome::{Failure, FailureKind};
use crate::probe::net::failure::of_io;
use crate::probe::reuse::Activity;

/// What is known of a stream.
#[derive(Debug, Default)]
pub struct StreamState {
    end: OnceLock<Failure>,
    /// Shows that something comes.
    pub activity: Activity,
}

impl StreamState {
    /// Why nothing more can be read, if that is so.
    pub fn end(&self) -> Option<&Failure> {
        self.end.get()
    }

    /// Only the first reason counts; the others follow from it.
    fn ends(&self, failure: Failure) {
        let _ = self.end.set(failure);
    }
}

/// The stream.
pub struct ObservedStream<S> {
    stream: S,
    state: Arc<StreamState>,
}

impl<S> ObservedStream<S> {
    /// Keeps `state` about `stream`.
    pub fn new(stream: S, state: Arc<StreamState>) -> Self {
        Self { stream, state }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            self.state.ends(of_io(&error));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.state.activity.show();
        if buffer.filled().len() == before && buffer.remaining() > 0 {
            self.state.ends(Failure::new(FailureKind::Connect, "connection closed by the server"));
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

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
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
