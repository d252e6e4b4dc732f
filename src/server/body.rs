//! The bodies of answers: a piece of memory, or a stream of server-sent events.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::answer_memory::AnswerMemory;
use super::stream::StreamBody;

/// The body of an answer.
pub(super) struct Body(BodyContent);

enum BodyContent {
    Full(Bytes),
    Pieces(Bytes),
    Stream(Box<StreamBody>),
}

/// A long answer is handed on in pieces of so many bytes: each is copied once more on its way out.
const PIECE: usize = 64 * 1024;

impl Body {
    /// All of it at once.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self(BodyContent::Full(bytes))
    }

    /// The same in pieces, if it is long.
    pub(super) fn in_pieces(self) -> Self {
        match self.0 {
            BodyContent::Full(bytes) if bytes.len() > PIECE => Self(BodyContent::Pieces(bytes)),
            content => Self(content),
        }
    }

    /// The same, counted among what is under way.
    pub(super) fn counted(self, under_way: &AnswerMemory) -> Self {
        match self.0 {
            BodyContent::Full(bytes) => Self(BodyContent::Full(under_way.counted(bytes))),
            content => Self(content),
        }
    }

    /// Events, until the client goes.
    pub(super) fn stream(events: StreamBody) -> Self {
        Self(BodyContent::Stream(Box::new(events)))
    }

    /// Whether it is there all at once.
    pub(super) fn is_full(&self) -> bool {
        !matches!(self.0, BodyContent::Stream(_))
    }

    /// How long it is, if it is there all at once.
    pub(super) fn length(&self) -> usize {
        match &self.0 {
            BodyContent::Full(bytes) | BodyContent::Pieces(bytes) => bytes.len(),
            BodyContent::Stream(_) => 0,
        }
    }

    /// Whether it is a stream that may end before the client goes; the connection ends with it.
    pub(super) fn is_stream_with_an_end(&self) -> bool {
        matches!(&self.0, BodyContent::Stream(events) if events.may_end())
    }

    /// Its bytes, if it is there all at once and nothing of it has been sent.
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            BodyContent::Full(bytes) => Some(bytes),
            BodyContent::Pieces(_) | BodyContent::Stream(_) => None,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            BodyContent::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            BodyContent::Pieces(rest) => write!(f, "Body({} bytes in pieces)", rest.len()),
            BodyContent::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            BodyContent::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            BodyContent::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            BodyContent::Pieces(rest) if rest.is_empty() => Poll::Ready(None),
            BodyContent::Pieces(rest) => Poll::Ready(Some(Ok(Frame::data(rest.split_to(PIECE.min(rest.len())))))),
            BodyContent::Stream(events) => events.poll_next(cx).map(|event| event.map(|event| Ok(Frame::data(event)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyContent::Full(bytes) | BodyContent::Pieces(bytes) => bytes.is_empty(),
            BodyContent::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyContent::Full(bytes) | BodyContent::Pieces(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyContent::Stream(_) => SizeHint::default(),
        }
    }
}
