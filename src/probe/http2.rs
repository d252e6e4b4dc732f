//! HTTP/2 connections (RFC 9113) as kinds use them: one request at a time, moved by the run that asks, so that an idle
//! one costs nothing.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use h2::Reason;
use hyper::body::Body;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::net::failure;
use crate::base::connection_tasks::connection_tasks;
use crate::model::outcome::{Failure, FailureKind};

/// Its name in the TLS handshake (RFC 7301).
pub const ALPN: &[u8] = b"h2";

/// What a server may send ahead of what is read, on the one stream and in all.
const WINDOW: u32 = 64 << 10;

/// A head is no longer than this, names and values as they are without compression.
const LONGEST_HEAD: u32 = 32 << 10;

/// What is kept of a request's body until the server takes it.
const SEND_BUFFER: usize = 64 << 10;

/// What moves the bytes of a connection; it ends with the connection.
pub type ConnectionDriver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// What `awaited` gives, while the connection moves.
pub async fn driving<T>(driver: &mut Option<ConnectionDriver>, awaited: impl Future<Output = T>) -> T {
    let mut awaited = pin!(awaited);
    poll_fn(|context| {
        drive(driver, context);
        awaited.as_mut().poll(context)
    })
    .await
}

/// Moves the connection as far as it goes. Why it ended is told to the caller that waits for an answer.
pub fn drive(driver: &mut Option<ConnectionDriver>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
        *driver = None;
    }
}

/// Begins to speak HTTP/2 over `stream`: what takes requests, and what moves the bytes. Once the first is dropped, the
/// second takes leave of the server when it is polled.
///
/// # Errors
/// When the stream is broken already.
pub async fn speak<S, B>(stream: S) -> hyper::Result<(SendRequest<B>, ConnectionDriver)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (executor, mut tasks) = connection_tasks();
    let mut protocol = Builder::new(executor);
    protocol
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(LONGEST_HEAD)
        .max_send_buf_size(SEND_BUFFER);
    let (sender, connection) = protocol.handshake(TokioIo::new(stream)).await?;
    // It hands requests on to the tasks, which do the rest; with its end they take leave.
    let mut requests = Some(Box::pin(connection));
    let driver = poll_fn(move |cx| {
        if let Some(Poll::Ready(ended)) = requests.as_mut().map(|requests| requests.as_mut().poll(cx)) {
            requests = None;
            if let Err(error) = ended {
                return Poll::Ready(Err(error));
            }
        }
        tasks.poll(cx);
        if requests.is_none() && tasks.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    });
    Ok((sender, Box::pin(driver)))
}

/// What an error means that HTTP/2 itself knows; nothing where it is another's.
#[must_use]
pub fn failure_of(error: &(dyn Error + 'static)) -> Option<Failure> {
    let error = failure::find::<h2::Error>(error)?;
    let code = error.reason()?;
    let name = name_of(code);
    let (kind, message) = match code {
        Reason::HTTP_1_1_REQUIRED if error.is_remote() => {
            (FailureKind::Protocol, "server wants HTTP/1.1 for this request (HTTP/2 HTTP_1_1_REQUIRED)".to_owned())
        }
        Reason::NO_ERROR if error.is_go_away() => {
            (FailureKind::Connect, "server closes the connection (HTTP/2 GOAWAY)".to_owned())
        }
        Reason::REFUSED_STREAM if error.is_remote() => {
            (FailureKind::Protocol, format!("server refuses the request (HTTP/2 {name})"))
        }
        _ if error.is_remote() && error.is_go_away() => {
            (FailureKind::Protocol, format!("server ends the connection (HTTP/2 GOAWAY {name})"))
        }
        _ if error.is_remote() => (FailureKind::Protocol, format!("server resets the request (HTTP/2 {name})")),
        _ => (FailureKind::Protocol, format!("server breaks the HTTP/2 protocol ({name})")),
    };
    Some(Failure::new(kind, message))
}

/// The name of an error code (RFC 9113, section 7).
fn name_of(code: Reason) -> String {
    const KNOWN: u32 = 0xd;
    let number = u32::from(code);
    if number <= KNOWN { format!("{code:?}") } else { format!("error {number:#x}") }
}
