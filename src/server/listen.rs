//! Listening sockets, bound before anything else starts.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::config::{Listen, Listener};
use crate::model::route::RouteSet;

/// Connections that may wait to be accepted; the kernel takes no more than its `somaxconn`. One that finds no room is
/// tried again by its client a second later, when kubelet has given up.
const BACKLOG: i32 = 4096;

/// What the kernel takes of an answer that a client does not read yet, and counts to the sidecar's memory (twice that,
/// as it counts). Of itself it takes megabytes for each connection.
const SEND_BUFFER: usize = 64 * 1024;

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub cause: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.cause.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: the address is in use; end the process that has it, or change \
                 `server.listen` or `--listen`"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot listen on {address}: permission denied; take a port above 1023 in `server.listen` or `--listen`"
            ),
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                "cannot listen on {address}: this host has no such address; write \":{}\" to listen on all",
                address.port()
            ),
            _ => write!(f, "cannot listen on {address}: {}", self.cause),
        }
    }
}

impl std::error::Error for ListenError {}

/// A socket that listens, and what is answered there.
#[derive(Debug)]
pub struct BoundListener {
    pub(super) socket: TcpListener,
    /// What is answered there, also on the connections that are open.
    pub routes: ListenerRoutes,
}

impl BoundListener {
    /// The address and port that it has got.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl AsFd for BoundListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What is answered at one address. A reload may change it while connections are open.
#[derive(Clone, Debug)]
pub struct ListenerRoutes {
    /// The address as it is declared.
    pub address: Listen,
    set: Arc<AtomicU8>,
}

impl ListenerRoutes {
    fn new(listener: Listener) -> Self {
        Self { address: listener.address, set: Arc::new(AtomicU8::new(listener.routes as u8)) }
    }

    /// What is answered at an address that nobody declares.
    #[cfg(test)]
    pub(super) fn of(routes: RouteSet) -> Self {
        Self::new(Listener { address: Listen::All(0), routes })
    }

    /// What is answered there now.
    #[must_use]
    pub fn get(&self) -> RouteSet {
        match self.set.load(Ordering::Relaxed) {
            0 => RouteSet::Probes,
            1 => RouteSet::Metrics,
            _ => RouteSet::All,
        }
    }

    /// From now on `routes` are answered there.
    pub fn set(&self, routes: RouteSet) {
        self.set.store(routes as u8, Ordering::Relaxed);
    }
}

/// Listens on each of `listen`, without accepting anything yet. The bound addresses are told by the listeners.
///
/// # Errors
/// The first address that cannot be listened on.
pub fn bind<L: Into<Listener> + Copy>(listen: &[L]) -> Result<Vec<BoundListener>, ListenError> {
    let bound = |listener: Listener| {
        Ok(BoundListener { socket: bind_one(listener.address)?, routes: ListenerRoutes::new(listener) })
    };
    listen.iter().map(|listener| bound((*listener).into())).collect()
}

fn bind_one(listen: Listen) -> Result<TcpListener, ListenError> {
    let (address, dual) = match listen {
        Listen::All(port) => (SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true),
        // `[::]` means all addresses, as everywhere else.
        Listen::One(address) => (address, address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    match open(address, dual) {
        Ok(listener) => Ok(listener),
        Err(cause) if matches!(listen, Listen::All(_)) && lacks_ipv6(&cause) => {
            let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            open(address, false).map_err(|cause| ListenError { address, cause })
        }
        Err(cause) => Err(ListenError { address, cause }),
    }
}

fn open(address: SocketAddr, dual: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // A restarted daemon need not wait for connections of the old one to be forgotten.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if dual {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // Connections have it of the listener.
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The kernel was built or booted without IPv6, or it is switched off.
fn lacks_ipv6(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::ADDRNOTAVAIL]
        .into_iter()
        .any(|errno| cause.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn port(listener: &BoundListener) -> u16 {
        listener.local_addr().unwrap().port()
    }

    #[test]
    fn all_addresses_are_both_families_where_there_are_two() {
        let listeners = bind(&[Listen::All(0), Listen::All(0)]).unwrap();
        assert_eq!(listeners.len(), 2);
        for listener in &listeners {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port(listener))).unwrap();
            if listener.local_addr().unwrap().is_ipv6() {
                TcpStream::connect((Ipv6Addr::LOCALHOST, port(listener))).unwrap();
            }
        }
    }

    #[test]
    fn one_address_is_that_address() {
        let listeners = bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap();
        assert_eq!(listeners[0].local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn an_address_in_use_is_named_with_what_to_do() {
        let taken = bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap();
        let address = taken[0].local_addr().unwrap();
        assert_eq!(
            bind(&[Listen::One(address)]).unwrap_err().to_string(),
            format!(
                "cannot listen on {address}: the address is in use; end the process that has it, or change \
                 `server.listen` or `--listen`"
            )
        );
        assert_eq!(
            bind(&[Listen::One("192.0.2.1:8080".parse().unwrap())]).unwrap_err().to_string(),
            "cannot listen on 192.0.2.1:8080: this host has no such address; write \":8080\" to listen on all"
        );
    }

    #[test]
    fn a_kernel_without_ipv6_is_recognised() {
        assert!(lacks_ipv6(&io::Error::from_raw_os_error(97)));
        assert!(!lacks_ipv6(&io::Error::from_raw_os_error(98)));
    }
}
