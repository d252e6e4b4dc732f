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
/// an answer with these names, in memory; nothing there ever waits.
pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Extensions {
    let mut answer = String::from("HTTP/1.1 204 No Content\r\n");
    names.for_each(|name| answer.extend([name, ": x\r\n"]));
    answer.push_str("\r\n");
    read(answer.as_bytes()).unwrap_or_default()
}

fn read(answer: &[u8]) -> Option<Extensions> {
    let (mut server, client) = tokio::io::duplex(answer.len() + 1024);
    let made = at_once(speaking().preserve_header_case(true).handshake(TokioIo::new(client)));
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

/// HTTP/1.1 as servers speak it and other clients read it: a folded field is one line (RFC 9112, section 5.2), a blank
/// before a colon is none of the name, and names are written as people write them, because small servers compare them
/// with their case.
pub(super) fn speaking() -> Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .max_headers(MOST_FIELDS)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .title_case_headers(true);
    protocol
}
