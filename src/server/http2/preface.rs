//! Tells HTTP/2 from HTTP/1.1 by what a client says first.

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::frames::PREFACE;
use crate::server::connection_state::ConnectionState;

/// What is read at first: more than kubelet's whole request, so that it costs no second read.
const FIRST: usize = 1024;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    /// HTTP/1.1 or 1.0, or nothing that is known.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
}

impl Protocol {
    /// What `first` is the beginning of, once that is certain.
    fn of(first: &[u8]) -> Option<Self> {
        let length = first.len().min(PREFACE.len());
        if first[..length] != PREFACE[..length] {
            return Some(Self::Http1);
        }
        (length == PREFACE.len()).then_some(Self::Http2)
    }
}

/// Reads until it is certain what the client speaks; what was read is to be read again. Nothing, when its time is up.
///
/// Whoever says nothing is treated as HTTP/1.1, also when it has to go.
pub(in crate::server) async fn read(
    socket: &mut TcpStream,
    state: &ConnectionState,
    closing: &mut watch::Receiver<bool>,
) -> Option<(Protocol, Bytes)> {
    let mut first = BytesMut::with_capacity(FIRST);
    let protocol = loop {
        tokio::select! {
            biased;
            read = socket.read_buf(&mut first) => match read {
                Ok(1..) => {
                    if let Some(protocol) = Protocol::of(&first) {
                        break protocol;
                    }
                }
                // What there is of the preface is no request: whoever reads it again says so.
                Ok(0) | Err(_) => break Protocol::Http1,
            },
            () = state.asked_to_leave() => {
                // It is told once more: whoever serves the connection looks for a request first.
                state.ask_to_leave();
                break Protocol::Http1;
            }
            _ = closing.wait_for(|closing| *closing) => break Protocol::Http1,
            () = tokio::time::sleep(state.time_left()) => return None,
        }
    };
    Some((protocol, first.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_alone_is_http_2() {
        for cut in 0..PREFACE.len() {
            assert_eq!(Protocol::of(&PREFACE[..cut]), None, "{cut}");
            let mut other = PREFACE[..cut].to_vec();
            other.push(b'!');
            assert_eq!(Protocol::of(&other), Some(Protocol::Http1), "{cut}");
        }
        assert_eq!(Protocol::of(PREFACE), Some(Protocol::Http2));
        assert_eq!(Protocol::of(&[PREFACE, b"\0\0\0"].concat()), Some(Protocol::Http2));
        for other in ["GET / HTTP/1.1\r\n", "P", "PUT /", "PRI /"] {
            let expected = if other == "P" { None } else { Some(Protocol::Http1) };
            assert_eq!(Protocol::of(other.as_bytes()), expected, "{other}");
        }
    }
}
