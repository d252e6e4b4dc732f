//! Names of headers on the wire, written as the file writes them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::http::Extensions;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use hyper::client::conn::http1::{self, Builder};

/// What makes hyper write `names` with their case; it goes into the extensions of a request. Each is the valid name of
/// a header.
///
/// hyper keeps such a record to itself, but makes one of an answer that it reads, for proxies to pass on. So it reads
/// an answer with these names, in memory; nothing there ever waits. That costs as much as reading a whole check, so it
/// is done only where a name is written in a way that hyper would not choose by itself.
pub(super) fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Extensions {
    if names.clone().all(is_title_case) {
        return Extensions::default();
    }
    let fields = if names.clone().count() < USUAL_FIELDS { HeadFields::Usual } else { HeadFields::Many };
    let mut answer = String::from("HTTP/1.1 204 No Content\r\n");
    names.for_each(|name| answer.extend([name, ": x\r\n"]));
    answer.push_str("\r\n");
    read(answer.as_bytes(), fields).unwrap_or_default()
}

/// Whether `name` is written as [`speaking`] writes names of which nothing is said.
fn is_title_case(name: &str) -> bool {
    let mut begins = true;
    name.bytes().all(|byte| {
        let is_usual = if begins { !byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() };
        begins = byte == b'-';
        is_usual
    })
}

fn read(answer: &[u8], fields: HeadFields) -> Option<Extensions> {
    let (mut server, client) = tokio::io::duplex(answer.len() + 1024);
    let made = at_once(speaking(fields).preserve_header_case(true).handshake(TokioIo::new(client)));
    let (mut sender, connection) = made?.ok()?;
    let mut connection = pin!(connection);
    let mut response = pin!(sender.send_request(Request::new(Empty::<Bytes>::new())));
    // The request must be out before an answer may come.
    let _ = at_once(connection.as_mut());
    at_once(server.write_all(answer))?.ok()?;
    let _ = at_once(connection);
    Some(std::mem::take(at_once(response.as_mut())?.ok()?.extensions_mut()))
}

/// What `future` gives without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// More fields than this in the head of an answer are too many, as for curl; hyper itself bounds its bytes.
const MOST_FIELDS: usize = 5000;
/// So many fields hyper has places for anyway.
const USUAL_FIELDS: usize = 100;

/// How many fields the head of an answer may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum HeadFields {
    /// A hundred, as for HAProxy and Envoy: hyper has places for these on its stack.
    #[default]
    Usual,
    /// [`MOST_FIELDS`]: at each look at a head hyper takes 312 KiB for them, and fills that, however few there are.
    Many,
}

/// HTTP/1.1 as servers speak it and other clients read it: a folded field is one line (RFC 9112, section 5.2), a blank
/// before a colon is none of the name, and names are written as people write them, because small servers compare them
/// with their case.
pub(super) fn speaking(fields: HeadFields) -> Builder {
    let mut protocol = http1::Builder::new();
    if fields == HeadFields::Many {
        protocol.max_headers(MOST_FIELDS);
    }
    protocol
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .title_case_headers(true);
    protocol
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How hyper writes `name` in a request with these extensions.
    fn written(name: &str, extensions: Extensions) -> String {
        let (client, server) = tokio::io::duplex(4096);
        let (mut sender, connection) =
            at_once(speaking(HeadFields::Usual).handshake(TokioIo::new(client))).unwrap().unwrap();
        let mut request = Request::new(Empty::<Bytes>::new());
        request.headers_mut().insert(
            hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            hyper::header::HeaderValue::from_static("x"),
        );
        *request.extensions_mut() = extensions;
        let mut response = pin!(sender.send_request(request));
        let _ = at_once(response.as_mut());
        let _ = at_once(connection);
        let mut server = pin!(server);
        let mut head = vec![0; 4096];
        let length = at_once(tokio::io::AsyncReadExt::read(&mut server, &mut head)).unwrap().unwrap();
        String::from_utf8_lossy(&head[..length]).lines().nth(1).unwrap().to_owned()
    }

    #[test]
    fn names_are_sent_as_they_are_written_with_a_record_or_without_one() {
        for (name, needs_record) in [
            ("Accept", false),
            ("X-Tenant-1", false),
            ("X--Y", false),
            ("1-2", false),
            ("X_Tenant", true),
            ("accept", true),
            ("X-tenant", true),
            ("SOAPAction", true),
            ("ETag", true),
        ] {
            let spelling = of([name].into_iter());
            let with_many: Vec<String> = (0..120).map(|at| format!("X-{at}")).chain([name.to_owned()]).collect();
            let among_many = of(with_many.iter().map(String::as_str));
            assert_eq!(written(name, among_many), format!("{name}: x"), "{name} among many");
            assert_eq!(!spelling.is_empty(), needs_record, "{name}");
            assert_eq!(written(name, spelling), format!("{name}: x"), "{name}");
        }
    }
}
