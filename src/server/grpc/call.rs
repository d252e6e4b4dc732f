//! One call: the message that it brings, and what goes out on it.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use super::error::{CallError, status};
use super::timeout;
use super::watch::Watch;
use crate::base::grpc::{GrpcCode, MessagePrefix, PREFIX, framed};
use crate::server::body::FrameSource;
use crate::server::sent_body::BODY_TIME;

/// The longest message that is read: a name is at most 100 bytes, and what tomorrow's clients add is little.
const MOST: usize = 4096;

/// What goes out on a call.
#[derive(Debug)]
pub(super) enum CallBody {
    /// A message, and then that all is well.
    Message(Bytes),
    /// That all is well.
    Status,
    /// Message after message.
    Watch(Watch),
    /// Nothing more.
    Over,
}

impl CallBody {
    /// One message.
    pub(super) fn message(message: impl AsRef<[u8]>) -> Self {
        Self::Message(framed(message.as_ref()).into())
    }
}

impl FrameSource for CallBody {
    fn goes_on(&self) -> bool {
        matches!(self, Self::Watch(_))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Self::Watch(watch) = self {
            match ready!(watch.poll_next(cx)) {
                Ok(message) => return Poll::Ready(Some(Frame::data(framed(&message).into()))),
                Err(error) => {
                    *self = Self::Over;
                    return Poll::Ready(Some(Frame::trailers(error.headers())));
                }
            }
        }
        Poll::Ready(match std::mem::replace(self, Self::Over) {
            Self::Message(message) => {
                *self = Self::Status;
                Some(Frame::data(message))
            }
            Self::Status => Some(Frame::trailers(status(GrpcCode::Ok))),
            Self::Watch(_) | Self::Over => None,
        })
    }
}

/// Reads the one message of a call: to its end, for at most two seconds or as long as the client waits.
pub(in crate::server) async fn read_message(head: &Parts, body: Incoming) -> Result<Bytes, CallError> {
    let limit = timeout(&head.headers)?.map_or(BODY_TIME, |timeout| timeout.min(BODY_TIME));
    let mut read = BytesMut::new();
    let is_whole = match tokio::time::timeout(limit, read_into(&mut read, body)).await {
        Ok(result) => result.map(|()| true)?,
        Err(_) => false,
    };
    let encoding = head.headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    match message_of(read.freeze(), encoding)? {
        Some(message) => Ok(message),
        None if is_whole => Err(CallError::new(GrpcCode::Internal, "the request has no whole message")),
        None => Err(CallError::new(GrpcCode::DeadlineExceeded, "the message did not come in time")),
    }
}

async fn read_into(read: &mut BytesMut, mut body: Incoming) -> Result<(), CallError> {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(CallError::new(GrpcCode::Cancelled, "the request was broken off")) };
        let Some(bytes) = frame.data_ref() else { continue };
        if read.len() + bytes.len() > PREFIX + MOST {
            return Err(too_long());
        }
        read.extend_from_slice(bytes);
        if MessagePrefix::of(read).is_some_and(|prefix| prefix.length > MOST) {
            return Err(too_long());
        }
    }
    Ok(())
}

fn too_long() -> CallError {
    CallError::new(GrpcCode::ResourceExhausted, format!("the message is longer than {MOST} bytes"))
}

/// The one message in `read`, if it is whole.
fn message_of(mut read: Bytes, encoding: Option<&[u8]>) -> Result<Option<Bytes>, CallError> {
    let Some(prefix) = MessagePrefix::of(&read) else { return Ok(None) };
    match (prefix.flag, encoding) {
        (0, _) => {}
        (1, None | Some(b"identity")) => {
            return Err(CallError::new(
                GrpcCode::Internal,
                "the message is compressed, and grpc-encoding does not say how",
            ));
        }
        (1, Some(_)) => {
            let problem = "compressed messages are not read; send them as they are (grpc-encoding: identity)";
            return Err(CallError::new(GrpcCode::Unimplemented, problem));
        }
        _ => return Err(CallError::new(GrpcCode::Internal, "the message has an unknown flag")),
    }
    if prefix.length > MOST {
        return Err(too_long());
    }
    let end = PREFIX + prefix.length;
    if read.len() > end {
        return Err(CallError::new(GrpcCode::Internal, "there is more than one message"));
    }
    Ok((read.len() == end).then(|| read.split_off(PREFIX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(read: &'static [u8], encoding: Option<&[u8]>) -> String {
        match message_of(Bytes::from_static(read), encoding) {
            Ok(None) => "more".into(),
            Ok(Some(message)) => format!("{message:?}"),
            Err(error) => format!("{}: {}", error.code.label(), error.message),
        }
    }

    #[test]
    fn one_message_is_taken_and_anything_else_is_told() {
        for (read, encoding, expected) in [
            (&b""[..], None, "more"),
            (b"\0\0\0\0", None, "more"),
            (b"\0\0\0\0\0", None, "b\"\""),
            (b"\0\0\0\0\x02ab", Some(&b"gzip"[..]), "b\"ab\""),
            (b"\0\0\0\0\x02a", None, "more"),
            (b"\0\0\0\0\x02abc", None, "INTERNAL: there is more than one message"),
            (b"\x01\0\0\0\x02ab", None, "INTERNAL: the message is compressed, and grpc-encoding does not say how"),
            (
                b"\x01\0\0\0\x02ab",
                Some(b"gzip"),
                "UNIMPLEMENTED: compressed messages are not read; send them as they are (grpc-encoding: identity)",
            ),
            (b"\x02\0\0\0\0", None, "INTERNAL: the message has an unknown flag"),
            (b"\0\0\0\x10\x01", None, "RESOURCE_EXHAUSTED: the message is longer than 4096 bytes"),
            (b"\0\xff\xff\xff\xff", None, "RESOURCE_EXHAUSTED: the message is longer than 4096 bytes"),
        ] {
            assert_eq!(shown(read, encoding), expected);
        }
    }
}
