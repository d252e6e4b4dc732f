//! The way to the server of a request: its address, a Unix socket in its place, or a proxy before it.

use std::net::IpAddr;

use super::origin::HttpOrigin;
use super::proxy::HttpProxy;
use super::redirect::Guard;
use crate::base::trace::Trace;
use crate::model::outcome::Failure;
use crate::probe::net::Network;
use crate::probe::net::family::AddressFamily;
use crate::probe::net::metered::MeteredStream;
use crate::probe::net::reach::Reach;
use crate::probe::net::unix::UnixSocket;

/// How servers are reached.
pub(super) enum Way {
    /// By the address that their name has.
    Address,
    /// Over this socket.
    Socket(UnixSocket),
    /// Through this proxy.
    Proxy(HttpProxy),
}

/// Where a connection has come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum FarEnd {
    Address(IpAddr),
    Socket,
    /// The proxy knows; what the URL says of how near it is.
    BehindProxy(Reach),
}

impl Way {
    /// A stream to the server at `origin`, over which it is spoken to as if it had been dialled.
    pub(super) async fn open(
        &self,
        origin: &HttpOrigin,
        network: &Network,
        family: AddressFamily,
        guard: Guard,
        trace: &Trace,
    ) -> Result<(MeteredStream, FarEnd), Failure> {
        match self {
            Self::Socket(socket) => {
                trace.note(|| "over the Unix socket".into());
                Ok((Box::pin(socket.dial(trace)).await?, FarEnd::Socket))
            }
            Self::Proxy(proxy) => {
                trace.note(|| "through the proxy".into());
                let reach = Reach::of_host(&origin.host);
                guard.admits_host(network, &origin.host, origin.port)?;
                Ok((Box::pin(proxy.open(origin, network, family, trace)).await?, FarEnd::BehindProxy(reach)))
            }
            Self::Address => {
                let admits = |address| guard.admits(network, address, origin.port);
                let stream = network.dial_where(&origin.host, origin.port, family, admits, trace).await?;
                let end = stream.socket().peer().map_or(FarEnd::Socket, |peer| FarEnd::Address(peer.ip()));
                Ok((stream, end))
            }
        }
    }

    /// The proxy that is asked for whole URLs at `origin`: with TLS it only passes on what it cannot read.
    pub(super) fn reading_proxy(&self, origin: &HttpOrigin) -> Option<&HttpProxy> {
        match self {
            Self::Proxy(proxy) if !origin.is_secure => Some(proxy),
            _ => None,
        }
    }
}

impl FarEnd {
    /// How near it is.
    pub(super) fn reach(self) -> Reach {
        match self {
            Self::Address(address) => Reach::of(address),
            Self::Socket => Reach::Loopback,
            Self::BehindProxy(reach) => reach,
        }
    }

    /// Whether nobody else can listen, whatever is spoken.
    pub(super) const fn is_private(self) -> bool {
        matches!(self, Self::Socket)
    }

    /// # Errors
    /// When a request to `origin` may not be sent there.
    pub(super) fn admitted_by(self, guard: Guard, network: &Network, origin: &HttpOrigin) -> Result<(), Failure> {
        match self {
            Self::Address(address) => guard.admits(network, address, origin.port),
            Self::Socket => Ok(()),
            Self::BehindProxy(_) => guard.admits_host(network, &origin.host, origin.port),
        }
    }
}
