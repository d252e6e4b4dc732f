//! What goes on below the HTTP client, seen through its hooks: names, phases, and whether a connection is new.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::base::trace::{Phase, Trace};
use crate::model::outcome::Failure;
use crate::probe::BoxFuture;
use crate::probe::net::{self, Network, failure};

/// What is known of the request under way and of the connections made for it.
#[derive(Default)]
pub(super) struct Watch(Mutex<Current>);

#[derive(Default)]
struct Current {
    hop: Hop,
    trace: Arc<Trace>,
    dialled: bool,
    oldest: Option<Instant>,
}

/// Where one request goes. A redirect is followed by a request of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    /// The host to dial.
    pub(super) host: String,
    /// The port to dial.
    pub(super) port: u16,
}

impl Watch {
    /// A request to `hop` begins.
    pub(super) fn begin(&self, hop: Hop, trace: &Arc<Trace>) {
        let mut current = self.current();
        *current = Current { hop, trace: Arc::clone(trace), dialled: false, oldest: current.oldest };
    }

    /// Whether a connection was made, or tried, for the request.
    pub(super) fn has_dialled(&self) -> bool {
        self.current().dialled
    }

    /// When the first connection was made.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.current().oldest
    }

    fn enter(&self, phase: Phase) {
        self.current().trace.enter(phase);
    }

    fn dials(&self) {
        let mut current = self.current();
        current.dialled = true;
        let is_address = net::literal(&current.hop.host).is_some();
        current.trace.enter(if is_address { Phase::Connect } else { Phase::Resolve });
    }

    fn connected(&self) {
        let mut current = self.current();
        current.oldest.get_or_insert_with(Instant::now);
        current.trace.enter(Phase::Answer);
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves names through the [`Network`] of the process.
pub(super) struct Names {
    network: Arc<Network>,
    watch: Arc<Watch>,
}

impl Names {
    pub(super) const fn new(network: Arc<Network>, watch: Arc<Watch>) -> Self {
        Self { network, watch }
    }
}

impl Resolve for Names {
    /// The name asked for is the one in the TLS greeting, which may differ from the host to dial.
    fn resolve(&self, _: Name) -> Resolving {
        let (network, watch) = (Arc::clone(&self.network), Arc::clone(&self.watch));
        Box::pin(async move {
            let hop = watch.current().hop.clone();
            let addresses = network.resolve(&hop.host).await.map_err(failure::Refused)?;
            watch.enter(Phase::Connect);
            let addresses = answering_first(addresses, hop.port).await.map_err(failure::Refused)?;
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// The addresses with one first that accepts connections. reqwest tries the addresses of a family one after the other
/// for as long as each takes, so where there are several, a connection made (and closed at once) finds out which lives.
async fn answering_first(mut addresses: Vec<IpAddr>, port: u16) -> Result<Vec<IpAddr>, Failure> {
    let is_certain = addresses.len() == 1 || addresses.iter().all(IpAddr::is_loopback);
    if !is_certain {
        let stream = net::connect(&addresses, port).await.map_err(|error| failure::of_io(&error))?;
        if let Ok(peer) = stream.peer_addr() {
            addresses.retain(|address| *address != peer.ip());
            addresses.insert(0, peer.ip());
        }
    }
    Ok(addresses)
}

/// Tells a [`Watch`] when the client makes a connection, and when it has one.
#[derive(Clone)]
pub(super) struct Watching(Arc<Watch>);

impl Watching {
    pub(super) const fn new(watch: Arc<Watch>) -> Self {
        Self(watch)
    }
}

impl<S> Layer<S> for Watching {
    type Service = Watched<S>;

    fn layer(&self, connector: S) -> Watched<S> {
        Watched { connector, watch: Arc::clone(&self.0) }
    }
}

/// A connector that is watched.
#[derive(Clone)]
pub(super) struct Watched<S> {
    connector: S,
    watch: Arc<Watch>,
}

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        self.watch.dials();
        let (watch, connecting) = (Arc::clone(&self.watch), self.connector.call(target));
        Box::pin(async move {
            let connection = connecting.await?;
            watch.connected();
            Ok(connection)
        })
    }
}
