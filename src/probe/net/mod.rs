//! What the network kinds share: name resolution, dialling, TLS, and words for what goes wrong on the way.
//!
//! Nothing here knows a protocol above TLS. A kind dials with [`Network::dial`] or [`unix::UnixSocket::dial`], shakes hands with
//! [`tls::TlsClient::handshake`], and turns the errors of its client library into failures with [`failure::of_chain`].
//! What it hears is metered from the first byte on, see [`metered`].

pub mod age;
mod crypto;
mod ecdsa;
pub mod failure;
pub mod family;
mod key_exchange;
pub mod metered;
pub(in crate::probe) mod pass_on;
pub mod presented;
pub mod reach;
mod refusal;
mod resolve;
pub mod secured;
mod signatures;
pub mod socket;
pub mod tls;
pub mod unix;
mod verify;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::family::AddressFamily;
use self::metered::MeteredStream;
use self::resolve::{Lookups, Resolver};
use self::socket::DialedSocket;
use self::verify::MachineRoots;
use super::{BoxFuture, exhausted};
use crate::base::trace::{Phase, Trace};
use crate::model::outcome::Failure;

/// Name resolution and trust, shared by all probes of the process.
#[derive(Debug, Default)]
pub struct Network {
    lookups: Lookups,
    roots: Arc<MachineRoots>,
    /// Where the daemon itself listens.
    own: Box<[SocketAddr]>,
}

impl Network {
    /// The same network, around a daemon that listens at these addresses.
    #[must_use]
    pub fn around(mut self, own: &[SocketAddr]) -> Self {
        self.own = own.into();
        self
    }

    /// Whether what is dialled at `address` and `port` ends at the daemon itself.
    #[must_use]
    pub fn is_own(&self, address: IpAddr, port: u16) -> bool {
        reach::is_one_of(&self.own, address, port)
    }

    /// A network that resolves names with `resolver` instead of the system's; for tests.
    #[must_use]
    pub fn resolving_with(
        resolver: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self { lookups: Lookups::new(Resolver::new(resolver)), ..Self::default() }
    }

    /// A network that trusts these certificate authorities instead of the machine's; for tests.
    #[must_use]
    pub fn trusting(roots: Vec<CertificateDer<'static>>) -> Self {
        Self { roots: Arc::new(MachineRoots::fixed(roots)), ..Self::default() }
    }

    /// The addresses of `host`, in the resolver's order; an address stands for itself, with or without brackets.
    /// However many ask, one lookup of a name is under way at a time.
    ///
    /// # Errors
    /// A failure of the kind `resolve`.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        match literal(host) {
            Some(address) => Ok(vec![address]),
            None => self.lookups.resolve(host).await,
        }
    }

    /// A connection to `host` without Nagle's delay, with a meter on what comes. All its addresses of `family` are tried,
    /// the next one whenever the last has failed or has not answered for a moment, so that a dead address does not eat
    /// the run's time.
    ///
    /// # Errors
    /// A failure of the kind `resolve` or `connect`.
    pub async fn dial(
        &self,
        host: &str,
        port: u16,
        family: AddressFamily,
        trace: &Trace,
    ) -> Result<MeteredStream, Failure> {
        self.dial_where(host, port, family, |_| Ok(()), trace).await
    }

    /// The same, if `admits` does not refuse any of the addresses that `host` has now.
    ///
    /// # Errors
    /// A failure of the kind `resolve` or `connect`, or the one of `admits`.
    pub async fn dial_where(
        &self,
        host: &str,
        port: u16,
        family: AddressFamily,
        admits: impl Fn(IpAddr) -> Result<(), Failure>,
        trace: &Trace,
    ) -> Result<MeteredStream, Failure> {
        let (addresses, name) = match literal(host) {
            Some(address) => (vec![address], None),
            None => {
                trace.enter(Phase::Resolve);
                (Box::pin(self.lookups.resolve(host)).await?, Some(host))
            }
        };
        let addresses = family.among(addresses)?;
        addresses.iter().try_for_each(|address| admits(*address))?;
        trace.enter(Phase::Connect);
        trace.dial(name, &addresses, port);
        let (stream, dialled) = connect(&addresses, port).await.map_err(|error| failure::of_io(&error))?;
        stream.set_nodelay(true).map_err(|error| failure::of_io(&error))?;
        // Who dials no address in particular comes to another one; else the system need not be asked.
        let peer = if dialled.ip().is_unspecified() { stream.peer_addr().unwrap_or(dialled) } else { dialled };
        trace.reached(peer);
        Ok(MeteredStream::new(DialedSocket::Tcp { stream, peer }))
    }
}

/// The address that `host` is, if it is one: `127.0.0.1`, `::1` or `[::1]`.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// What is said where a host is an address with a zone, and what to do instead.
pub const ZONE: (&str, &str) = (
    "an IPv6 address with a zone (`%eth0`) cannot be dialled",
    "use a name, or an address that is the same on every interface, such as a unique local one (`fd00::1`)",
);

/// Whether `host`, with or without brackets, is an IPv6 address with a zone (RFC 4007, section 11): `fe80::1%eth0`, or
/// `fe80::1%25eth0` as a URL has it.
#[must_use]
pub fn has_zone(host: &str) -> bool {
    let address = host.trim_start_matches('[').split_once('%').map(|(address, _)| address);
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Happy eyeballs: how long an attempt may take before the next address is tried beside it (RFC 8305, section 8: at
/// least 100 ms).
const STAGGER: Duration = Duration::from_millis(100);

/// More addresses than this are not tried.
const MOST_ADDRESSES: usize = 16;

/// The first connection that comes about, and the address that was dialled for it. When none does: the error that says most.
async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<(TcpStream, SocketAddr)> {
    if let [only] = addresses {
        return attempt(SocketAddr::new(*only, port)).await;
    }
    Box::pin(race(addresses, port)).await
}

async fn race(addresses: &[IpAddr], port: u16) -> io::Result<(TcpStream, SocketAddr)> {
    let mut waiting = alternating(addresses).into_iter().take(MOST_ADDRESSES);
    let mut attempts = JoinSet::new();
    let mut error = io::Error::from(io::ErrorKind::HostUnreachable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(attempt(SocketAddr::new(address, port)));
        }
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(connected))) => return Ok(connected),
                Some(Ok(Err(failed))) => error = more_telling(error, failed),
                Some(Err(_)) => {}
                None => return Err(error),
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let connected = TcpStream::connect(address).await;
    connected.map(|stream| (stream, address)).map_err(|error| match error.kind() {
        // Of the two reasons for this one is lasting, and no want of ours: there is no address of that family. A
        // datagram socket, whose ports are others, tells.
        io::ErrorKind::AddrNotAvailable if !has_address_for(address) => io::ErrorKind::AddrNotAvailable.into(),
        _ => error,
    })
}

/// Whether this machine has an address from which `address` can be reached.
fn has_address_for(address: SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

/// The two families in turn, the one that the resolver prefers first (RFC 8305, section 4).
fn alternating(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (preferred, other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let longest = preferred.len().max(other.len());
    (0..longest).flat_map(|index| [preferred.get(index), other.get(index)]).flatten().copied().collect()
}

/// A refusal says more than a reset, and either says more than a missing route (of a family the machine lacks). Where
/// an address could not be tried for want of something of our own, nothing is known of the target.
fn more_telling(one: io::Error, other: io::Error) -> io::Error {
    let rank = |error: &io::Error| match error.kind() {
        _ if exhausted::of_io(error).is_some() => 4,
        io::ErrorKind::ConnectionRefused => 3,
        io::ErrorKind::ConnectionReset | io::ErrorKind::TimedOut => 2,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => 0,
        _ => 1,
    };
    if rank(&other) >= rank(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_are_tried_in_turn_the_preferred_one_first() {
        let mixed = addresses(&["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3"]);
        let expected = addresses(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]);
        assert_eq!(alternating(&mixed), expected);
        assert_eq!(alternating(&[]), addresses(&[]));
    }

    #[test]
    fn a_zone_stands_behind_an_ipv6_address() {
        for host in ["fe80::1%eth0", "[fe80::1%25eth0]", "fe80::1%"] {
            assert!(has_zone(host), "{host}");
        }
        for host in ["fe80::1", "db%eth0", "127.0.0.1%lo", "::1"] {
            assert!(!has_zone(host), "{host}");
        }
    }

    #[test]
    fn an_address_stands_for_itself() {
        for (host, expected) in [("127.0.0.1", Some("127.0.0.1")), ("[::1]", Some("::1")), ("::1", Some("::1"))] {
            assert_eq!(literal(host), expected.map(|text| text.parse().unwrap()), "{host}");
        }
        assert_eq!(literal("localhost"), None);
        assert_eq!(literal("[localhost]"), None);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_eat_the_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // 127.0.0.2 has a listener whose queue is full, so that connecting to it hangs.
        let full = FullListener::at("127.0.0.2", port).await;
        let (stream, dialled) = connect(&addresses(&["127.0.0.2", "127.0.0.1"]), port).await.unwrap();
        assert_eq!(dialled.ip(), "127.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(stream.peer_addr().unwrap(), dialled);
        drop(full);
    }

    #[tokio::test]
    async fn when_nobody_answers_the_most_telling_error_is_reported() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let error = connect(&addresses(&["127.0.0.1", "127.0.0.1"]), port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&[], port).await.unwrap_err().kind(), io::ErrorKind::HostUnreachable);
    }

    /// A listener that accepts nothing, with as many connections waiting as it takes.
    struct FullListener {
        _listener: tokio::net::TcpListener,
        _waiting: Vec<TcpStream>,
    }

    impl FullListener {
        async fn at(address: &str, port: u16) -> Self {
            let address = SocketAddr::new(address.parse().unwrap(), port);
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(address).unwrap();
            let listener = socket.listen(1).unwrap();
            let mut waiting = Vec::new();
            while let Ok(Ok(stream)) =
                tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
            {
                waiting.push(stream);
            }
            Self { _listener: listener, _waiting: waiting }
        }
    }
}
