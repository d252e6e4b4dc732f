//! A connection that speaks HTTP/2: the same requests and answers as over HTTP/1.1, and gRPC.
//!
//! Its streams are polled within its own task, so they take part in its turns and end with it.

pub(super) mod frames;
pub(super) mod preface;
pub(super) mod stream_counts;
pub(super) mod streams;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use super::connection::{HEAD_SIZE, RequestService};
use super::connection_state::{ConnectionState, TrackedSocket};
use super::serve::MOST_CONNECTIONS;
use crate::base::connection_tasks::{ConnectionExecutor, ConnectionTasks, connection_tasks};
use streams::{PING_INTERVAL, PING_LIMIT};

/// What a client may send ahead of a request's body, on one stream.
const STREAM_WINDOW: u32 = 16 * 1024;
/// And on all of them; the least that the protocol knows.
const CONNECTION_WINDOW: u32 = 65_535;
/// What is kept of one stream's answer beside what it is made of.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client has reset before they were looked at.
const PENDING_RESETS: usize = 32;
/// Streams that we have reset because of what a client did.
const LOCAL_RESETS: usize = 128;

type Http2Connection = Connection<TokioIo<TrackedSocket>, RequestService, ConnectionExecutor>;

/// Serves a connection until one of the two sides has had enough.
pub(super) async fn attend(
    socket: TrackedSocket,
    service: RequestService,
    closing: &mut watch::Receiver<bool>,
    state: &ConnectionState,
) {
    let (executor, mut tasks) = connection_tasks();
    let mut connection = pin!(rules(executor).serve_connection(TokioIo::new(socket), service));
    let mut watchdog = pin!(tokio::time::sleep(state.time_left()));
    let mut is_closing = false;
    loop {
        tokio::select! {
            biased;
            () = poll_fn(|cx| poll(connection.as_mut(), &mut tasks, state, cx)) => return,
            () = state.asked_to_leave() => break,
            () = watchdog.as_mut() => match state.time_left() {
                Duration::ZERO => break,
                left => watchdog.set(tokio::time::sleep(left)),
            },
            _ = closing.wait_for(|closing| *closing), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    // A request that has just arrived is still answered, and the client hears that it is the last.
    connection.as_mut().graceful_shutdown();
    for _ in 0..2 {
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            let _ = poll(connection.as_mut(), &mut tasks, state, cx);
            Poll::Ready(())
        })
        .await;
    }
}

fn poll(
    connection: Pin<&mut Http2Connection>,
    tasks: &mut ConnectionTasks,
    state: &ConnectionState,
    cx: &mut Context<'_>,
) -> Poll<()> {
    state.has_its_turn(cx);
    // What went wrong is the client's business: it has been told, or is gone.
    let ended = connection.poll(cx).map(|_| ());
    tasks.poll(cx);
    ended
}

/// Every bound is ours, so that none changes with the library's defaults.
fn rules(executor: ConnectionExecutor) -> Builder<ConnectionExecutor> {
    let mut rules = Builder::new(executor);
    rules
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .max_header_list_size(u32::try_from(HEAD_SIZE).unwrap_or(u32::MAX))
        .max_concurrent_streams(u32::try_from(MOST_CONNECTIONS).unwrap_or(u32::MAX))
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS);
    rules
}
