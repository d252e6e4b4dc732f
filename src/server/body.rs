//! The bodies of answers: a piece of memory, or frames that are made as they go out.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::answer_memory::AnswerMemory;
use super::http2::streams::OpenStream;

/// The body of an answer.
pub(super) struct Body {
    content: BodyContent,
    /// The stream that it goes out on, over HTTP/2.
    stream: Option<Box<OpenStream>>,
}

enum BodyContent {
    Full(Bytes),
    Pieces(Bytes),
    Frames(Box<dyn FrameSource>),
}

/// What makes the frames of a body as they go out: a stream of events, or a call of gRPC.
pub(super) trait FrameSource: fmt::Debug + Send {
    /// The next frame; nothing at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>>;

    /// Whether it goes on for as long as the client stays.
    fn goes_on(&self) -> bool;

    /// Whether it may end before the client goes, so that the connection has to end with it.
    fn ends_its_connection(&self) -> bool {
        false
    }
}

/// A long answer is handed on in pieces of so many bytes: each is copied once more on its way out.
const PIECE: usize = 64 * 1024;

impl Body {
    /// All of it at once.
    pub(super) fn full(bytes: Bytes) -> Self {
        BodyContent::Full(bytes).into()
    }

    /// The same in pieces, if it is long.
    pub(super) fn in_pieces(self) -> Self {
        match self.content {
            BodyContent::Full(bytes) if bytes.len() > PIECE => BodyContent::Pieces(bytes).into(),
            content => content.into(),
        }
    }

    /// The same, counted among what is under way.
    pub(super) fn counted(self, under_way: &AnswerMemory) -> Self {
        match self.content {
            BodyContent::Full(bytes) => BodyContent::Full(under_way.counted(bytes)).into(),
            content => content.into(),
        }
    }

    /// Frames as `source` makes them.
    pub(super) fn frames(source: impl FrameSource + 'static) -> Self {
        BodyContent::Frames(Box::new(source)).into()
    }

    /// The same on a stream of HTTP/2, which is open until the last of it is out.
    pub(super) fn on(self, stream: Box<OpenStream>) -> Self {
        Self { content: self.content, stream: Some(stream) }
    }

    /// Whether it is there all at once.
    pub(super) fn is_full(&self) -> bool {
        match &self.content {
            BodyContent::Full(_) | BodyContent::Pieces(_) => true,
            BodyContent::Frames(source) => !source.goes_on(),
        }
    }

    /// How long it is, if it is there all at once.
    pub(super) fn length(&self) -> usize {
        self.content.length().unwrap_or_default()
    }

    /// Whether it is a stream that may end before the client goes; the connection ends with it.
    pub(super) fn is_stream_with_an_end(&self) -> bool {
        matches!(&self.content, BodyContent::Frames(source) if source.ends_its_connection())
    }

    /// Its bytes, if it is there all at once and nothing of it has been sent.
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            BodyContent::Full(bytes) => Some(bytes),
            BodyContent::Pieces(_) | BodyContent::Frames(_) => None,
        }
    }
}

impl From<BodyContent> for Body {
    fn from(content: BodyContent) -> Self {
        Self { content, stream: None }
    }
}

impl BodyContent {
    fn length(&self) -> Option<usize> {
        match self {
            Self::Full(bytes) | Self::Pieces(bytes) => Some(bytes.len()),
            Self::Frames(_) => None,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        Poll::Ready(match self {
            Self::Full(bytes) if bytes.is_empty() => None,
            Self::Full(bytes) => Some(Frame::data(std::mem::take(bytes))),
            Self::Pieces(rest) if rest.is_empty() => None,
            Self::Pieces(rest) => Some(Frame::data(rest.split_to(PIECE.min(rest.len())))),
            Self::Frames(source) => ready!(source.poll_frame(cx)),
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            BodyContent::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            BodyContent::Pieces(rest) => write!(f, "Body({} bytes in pieces)", rest.len()),
            BodyContent::Frames(source) => write!(f, "Body({source:?})"),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(stream) = &self.stream {
            ready!(stream.has_its_turn(cx));
        }
        let frame = ready!(self.content.poll_frame(cx));
        if let Some(stream) = &self.stream {
            stream.moves();
        }
        // The body is dropped with its last frame, and of that the client may have been given one byte.
        let last_of = if self.is_end_stream() { self.stream.take() } else { None };
        Poll::Ready(frame.map(|frame| match last_of {
            Some(stream) => Ok(frame.map_data(|bytes| stream.held_by(bytes))),
            None => Ok(frame),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.content.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.content.length().map_or_else(SizeHint::default, |length| SizeHint::with_exact(length as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::base::clock::Clock;
    use crate::server::connection_state::ConnectionState;
    use crate::server::http2::streams::FurtherStreams;

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_open_until_the_last_bytes_of_its_answer_are_let_go() {
        let (state, further) = (ConnectionState::new(Clock::tokio()), FurtherStreams::default());
        let counts = || (state.streams.taking().is_some(), state.streams.deadline().is_some());
        for length in [1, PIECE + 1] {
            let mut stream = OpenStream::begin(&state, &further).unwrap();
            stream.answered(false, length);
            let mut body = Body::full(vec![b'x'; length].into()).in_pieces().on(Box::new(stream));
            let mut last = None;
            while !hyper::body::Body::is_end_stream(&body) {
                std::future::poll_fn(|cx| {
                    state.has_its_turn(cx);
                    Poll::Ready(())
                })
                .await;
                last = Some(body.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            drop(body);
            assert_eq!(counts(), (length > PIECE, true), "{length}");
            assert_eq!(last.as_deref(), Some(&b"x"[..]));
            drop(last);
            assert_eq!(counts(), (false, false), "{length}");
        }
        assert_eq!(Arc::strong_count(&state), 1);
    }
}
