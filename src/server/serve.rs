//! Accepts connections, never more than there is room for, until the daemon ends.

use std::collections::HashMap;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use super::App;
use super::connection::{ConnectionContext, attend};
use super::connection_state::ConnectionState;
use super::listen::{BoundListener, ListenerRoutes};
use super::long_answers::LongAnswers;
use super::request::ConnectionAddresses;
use super::shared::Shared;
use crate::base::clock::Moment;
use crate::base::descriptors;

/// The most connections at a time, the streams beyond the first of each included, where there are descriptors for them.
pub const MOST_CONNECTIONS: usize = 256;
/// The fewest: kubelet, a scrape and a few more find room between idle ones, however low the limit is.
const FEWEST_CONNECTIONS: usize = 8;
/// The descriptors of the daemon itself: its runtimes, listeners, log, history and configuration.
const OWN_DESCRIPTORS: usize = 32;
/// And those of each check: a kept connection and a fresh one, each with what its client library opens beside it.
const DESCRIPTORS_OF_A_CHECK: usize = 4;

/// Whoever waits for the port as it opens is answered within so many turns: to accept, to read, to answer. What nobody
/// needs for that has time until then.
pub const FIRST_TURNS: usize = 4;

/// How long to wait after an error of `accept` that closing a connection does not mend.
const PAUSE: Duration = Duration::from_millis(50);
/// How often such an error is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// How long answers may take to be written when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answers requests on `listeners` from what `app` knows, until `shutdown` is ready and the answers being written are
/// out. Needs a tokio runtime.
///
/// # Errors
/// When a listener cannot be handed to the runtime, or there is no thread for long answers.
pub async fn serve(listeners: Vec<BoundListener>, app: Arc<App>, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let (long, thread) = LongAnswers::prepare()?;
    let beginning = async move {
        for _ in 0..FIRST_TURNS {
            tokio::task::yield_now().await;
        }
        thread.start()
    };
    serve_with(long, beginning, listeners, app, shutdown).await
}

/// The same with long answers made on this thread, where time may be paused.
///
/// # Errors
/// When a listener cannot be handed to the runtime.
#[doc(hidden)]
pub async fn serve_on_one_thread(
    listeners: Vec<BoundListener>,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(LongAnswers::default(), ready(Ok(())), listeners, app, shutdown).await
}

/// Long answers are made once their lane has its `beginning`.
async fn serve_with(
    long: LongAnswers,
    beginning: impl Future<Output = io::Result<()>>,
    listeners: Vec<BoundListener>,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut listeners = Listeners::new(listeners)?;
    let (close, closing) = watch::channel(false);
    let shared = Arc::new(Shared::new(&long));
    let ending = Arc::clone(&shared);
    let (streams, board, clock) = (Arc::clone(&shared.streams), app.board.clone(), app.clock);
    // It ends with the set.
    let mut feeding = JoinSet::new();
    let under_way = shared.under_way.clone();
    if let Ok(follows) = long.begin(async move { streams.feed.follow(board, clock).await }) {
        feeding.spawn(follows);
    }
    {
        let (app, shared) = (Arc::clone(&app), Arc::clone(&shared));
        feeding.spawn(async move { shared.serving.follow(&app, &shared.gates).await });
    }
    let mut connections = Connections {
        context: ConnectionContext { app: Arc::clone(&app), shared, closing },
        tasks: JoinSet::new(),
        states: HashMap::new(),
    };
    let (mut shutdown, mut beginning, mut has_begun) = (pin!(shutdown), pin!(beginning), false);
    let mut logged: Option<Moment> = None;
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            begun = beginning.as_mut(), if !has_begun => {
                begun?;
                has_begun = true;
            }
            Some(ended) = connections.tasks.join_next_with_id() => connections.remove(ended),
            () = under_way.exceeded() => connections.cut_the_slowest(),
            accepted = poll_fn(|cx| listeners.poll_accept(cx)) => match accepted {
                Ok(accepted) => connections.accept(accepted).await,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let now = app.clock.now();
                    if logged.is_none_or(|last| now.since(last) >= LOG_INTERVAL) {
                        logged = Some(now);
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    if !(is_for_want_of_room(&error) && connections.make_room().await) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
    drop(listeners);
    close.send_replace(true);
    ending.serving.end();
    // What is not out by then is cut off as the set is dropped.
    let _ = tokio::time::timeout(LAST_WORDS, async { while connections.tasks.join_next().await.is_some() {} }).await;
    Ok(())
}

/// The listeners, asked in turn.
struct Listeners {
    listeners: Vec<(TcpListener, ListenerRoutes)>,
    turn: usize,
}

/// A connection that was accepted: its socket, its client, and what is answered there.
type Accepted = (TcpStream, SocketAddr, ListenerRoutes);

impl Listeners {
    fn new(listeners: Vec<BoundListener>) -> io::Result<Self> {
        let listeners = listeners.into_iter().map(|BoundListener { socket, routes }| {
            socket.set_nonblocking(true)?;
            Ok((TcpListener::from_std(socket)?, routes))
        });
        Ok(Self { listeners: listeners.collect::<io::Result<_>>()?, turn: 0 })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let count = self.listeners.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let (listener, routes) = &self.listeners[place];
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                let routes = routes.clone();
                self.turn = place + 1;
                return Poll::Ready(accepted.map(|(socket, peer)| (socket, peer, routes)));
            }
        }
        Poll::Pending
    }
}

/// The connections that are open.
struct Connections {
    context: ConnectionContext,
    tasks: JoinSet<()>,
    states: HashMap<Id, Arc<ConnectionState>>,
}

impl Connections {
    /// Serves a connection; where there is no room, another one is evicted first.
    async fn accept(&mut self, (socket, peer, routes): Accepted) {
        let most = most_connections(self.context.app.board.latest().plan.checks.len(), descriptors::limit());
        let further = self.context.shared.further_streams.clone();
        while (self.states.len() >= most || self.states.len() + further.open() >= MOST_CONNECTIONS)
            && self.make_room().await
        {}
        // An answer is one small packet: waiting for more to send would only delay it.
        let (Ok(local), Ok(())) = (socket.local_addr(), socket.set_nodelay(true)) else { return };
        let state = ConnectionState::new(self.context.app.clock);
        let ends = ConnectionAddresses { peer: peer.ip(), local: local.ip() };
        let task = self.tasks.spawn(attend(self.context.clone(), socket, ends, routes, Arc::clone(&state)));
        self.states.insert(task.id(), state);
    }

    /// Closes the connection that can best be done without; false if there is none.
    async fn make_room(&mut self) -> bool {
        if let Some(state) = self.states.values().min_by_key(|state| state.eviction_order()) {
            state.ask_to_leave();
        }
        let Some(ended) = self.tasks.join_next_with_id().await else { return false };
        self.remove(ended);
        true
    }

    /// Closes the connections whose clients have been taking their long answers longest, until as much memory will be
    /// free as is lacking. The last to begin goes on in any case.
    fn cut_the_slowest(&self) {
        let mut lacking = self.context.shared.under_way.excess();
        let taking = |state: &'_ Arc<ConnectionState>| Some((state.taking()?, Arc::clone(state)));
        let mut taking: Vec<_> = self.states.values().filter_map(taking).collect();
        taking.sort_by_key(|((since, _), _)| *since);
        taking.pop();
        for ((_, bytes), state) in taking {
            if lacking == 0 {
                return;
            }
            lacking = lacking.saturating_sub(bytes);
            state.ask_to_leave();
        }
    }

    fn remove(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a connection ended by a defect of probelet");
                error.id()
            }
        };
        self.states.remove(&id);
    }
}

/// How many connections leave enough of `limit` descriptors for that many checks.
fn most_connections(checks: usize, limit: usize) -> usize {
    let others = OWN_DESCRIPTORS + DESCRIPTORS_OF_A_CHECK * checks;
    limit.saturating_sub(others).clamp(FEWEST_CONNECTIONS, MOST_CONNECTIONS)
}

/// Neither this process nor the machine may open another file, or has memory for a socket: closing a connection helps.
fn is_for_want_of_room(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The error belongs to a connection that is gone already; the next one is fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_checks() {
        for (checks, limit, most) in [
            (0, 1 << 20, 256),
            (0, usize::MAX, 256),
            (100, 1024, 256),
            (200, 1024, 192),
            (10, 256, 184),
            (3, 64, 20),
            (20, 64, 8),
            (0, 0, 8),
            (usize::MAX / 8, 1024, 8),
        ] {
            assert_eq!(most_connections(checks, limit), most, "{checks} checks, {limit} descriptors");
        }
    }
}
