//! The connections of one probe, one for each request that its last run made, kept for the next run.
//!
//! hyper speaks HTTP/1.1 (RFC 9112) over streams that we dial. What moves a connection is polled by the run that uses
//! it, so that an idle one costs nothing.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::consume_budget;

use super::failure_of;
use super::pace::{Pace, Paced};
use super::redirect::Guard;
use super::request::HttpOrigin;
use super::spelling::speaking;
use crate::base::trace::{Phase, Trace};
use crate::model::outcome::Failure;
use crate::probe::net::metered::{Meter, MeteredStream};
use crate::probe::net::presented::Expiry;
use crate::probe::net::reach::Reach;
use crate::probe::net::socket::DialedSocket;
use crate::probe::net::tls::TlsSpec;
use crate::probe::net::unix::UnixSocket;
use crate::probe::net::{Network, failure};

/// How a probe connects.
pub(super) struct HttpDialer<'a> {
    pub(super) network: &'a Network,
    /// How TLS is spoken with this server.
    pub(super) tls: &'a TlsSpec,
    /// Dialled instead of the server's address.
    pub(super) socket: Option<&'a UnixSocket>,
    /// Where a redirect may not lead.
    pub(super) guard: Guard,
}

impl HttpDialer<'_> {
    async fn open(&self, origin: &HttpOrigin, trace: &Trace) -> Result<MeteredStream, Failure> {
        if let Some(socket) = self.socket {
            return socket.dial(trace).await;
        }
        let admits = |address| self.guard.admits(self.network, address, origin.port);
        self.network.dial_where(&origin.host, origin.port, admits, trace).await
    }
}

/// The connections that a run finds, and those that it leaves. None of them is in use. Dropping it ends them in good
/// order.
#[derive(Default)]
pub(super) struct ConnectionPool {
    found: Vec<HttpConnection>,
    used: Vec<HttpConnection>,
}

impl ConnectionPool {
    /// A connection to `origin`: one that stands, or a fresh one. None serves a run twice, so that in a run without
    /// kept connections each request has a fresh one.
    pub(super) async fn take(
        &mut self,
        origin: &Arc<HttpOrigin>,
        dialer: &HttpDialer<'_>,
        trace: &Trace,
    ) -> Result<HttpConnection, Failure> {
        while let Some(index) = self.found.iter().position(|connection| connection.origin == *origin) {
            let mut connection = self.found.swap_remove(index);
            if connection.is_open() {
                if let Some(peer) = connection.peer {
                    dialer.guard.admits(dialer.network, peer, origin.port)?;
                }
                return Ok(connection);
            }
            connection.hang_up();
        }
        HttpConnection::dial(origin, dialer, trace).await
    }

    /// An exchange over `connection` is over.
    pub(super) fn put_back(&mut self, mut connection: HttpConnection) {
        // hyper has no use for one on which the answer was not read to its end, or that the server will close.
        if connection.is_open() {
            self.used.push(connection);
        }
    }

    /// The run is over: what it used is there for the next one.
    pub(super) fn settle(&mut self) {
        let unused = std::mem::replace(&mut self.found, std::mem::take(&mut self.used));
        unused.into_iter().for_each(HttpConnection::hang_up);
    }

    /// Whether any of them still stands.
    pub(super) fn any_is_open(&mut self) -> bool {
        self.found.iter_mut().any(HttpConnection::is_open)
    }
}

impl Drop for ConnectionPool {
    fn drop(&mut self) {
        self.found.drain(..).chain(self.used.drain(..)).for_each(HttpConnection::hang_up);
    }
}

/// What moves the bytes of a connection.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection. One that is dropped, while it is in use, is closed without a word.
pub(super) struct HttpConnection {
    origin: Arc<HttpOrigin>,
    sender: SendRequest<Full<Bytes>>,
    /// Gone when the connection is.
    driver: Option<Driver>,
    pace: Arc<Pace>,
    /// Below TLS, of whose own messages the pace knows nothing: new tickets and keys, empty records.
    meter: Arc<Meter>,
    /// The address at the other end; none of a Unix socket.
    peer: Option<IpAddr>,
    expiry: Option<Expiry>,
}

impl HttpConnection {
    async fn dial(origin: &Arc<HttpOrigin>, dialer: &HttpDialer<'_>, trace: &Trace) -> Result<Self, Failure> {
        let stream = dialer.open(origin, trace).await?;
        let peer = match stream.socket() {
            DialedSocket::Tcp(stream) => Some(stream.peer_addr().map_err(|error| failure::of_io(&error))?.ip()),
            DialedSocket::Unix(_) => None,
        };
        let meter = Arc::clone(stream.meter());
        let pace = Arc::new(Pace::default());
        let origin = Arc::clone(origin);
        if !origin.is_secure {
            let (sender, driver) = speak(stream, &pace).await?;
            return Ok(Self { origin, sender, driver, pace, meter, peer, expiry: None });
        }
        let tls = dialer.tls.client(dialer.network).speaking(b"http/1.1");
        let (stream, _) = tls.handshake(&origin.host, stream, trace).await?;
        let (sender, driver) = speak(stream, &pace).await?;
        Ok(Self { origin, sender, driver, pace, meter, peer, expiry: tls.expiry() })
    }

    /// How near the other end is.
    pub(super) fn reach(&self) -> Reach {
        self.peer.map_or(Reach::Loopback, Reach::of)
    }

    /// Whether nobody else can listen, whatever is spoken over it.
    pub(super) const fn is_private(&self) -> bool {
        self.peer.is_none()
    }

    /// The earliest end of validity in the chain that the server presented.
    pub(super) const fn expiry(&self) -> Option<Expiry> {
        self.expiry
    }

    /// Sends a request and waits for the head of its answer, of whose body no more than `max_body` is wanted.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
        max_body: usize,
        trace: &Trace,
    ) -> Result<Response<Incoming>, Failure> {
        trace.enter(Phase::Answer);
        self.pace.begin(max_body);
        self.meter.allow("the answer with TLS's own messages", most_below_tls(max_body));
        let pace = Arc::clone(&self.pace);
        hyper::ext::on_informational(&mut request, move |_| pace.interim());
        let answered = self.sender.send_request(request);
        let response = driving(&mut self.driver, answered).await.map_err(|error| failure_of(&error, false))?;
        match self.pace.excess() {
            Some(excess) => Err(excess.failure()),
            None => Ok(response),
        }
    }

    /// The next piece of an answer's body; trailers are passed over. However many pieces are there already, others get
    /// their turn.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        loop {
            consume_budget().await;
            match driving(&mut self.driver, body.frame()).await.transpose()?.map(hyper::body::Frame::into_data) {
                None => return Ok(None),
                Some(Ok(piece)) => return Ok(Some(piece)),
                Some(Err(_trailers)) => {}
            }
        }
    }

    /// Whether it can take a request. What has come while nobody looked is taken in first: that the server has hung up.
    fn is_open(&mut self) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Closes the connection as its protocols want it, as far as that goes without waiting for the server.
    fn hang_up(self) {
        let Self { mut driver, sender, .. } = self;
        if self.origin.is_secure {
            drop(sender);
            drive(&mut driver, &mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Begins to speak HTTP over `stream`: what takes requests, and what moves the bytes.
async fn speak<S>(stream: S, pace: &Arc<Pace>) -> Result<(SendRequest<Full<Bytes>>, Option<Driver>), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Paced::new(stream, Arc::clone(pace));
    let made = speaking().handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| failure_of(&error, false))?;
    Ok((sender, Some(Box::pin(connection))))
}

/// What may come below TLS for an answer that its pace lets through.
const fn most_below_tls(max_body: usize) -> usize {
    // A record of one byte is sent as 23 in TLS 1.3, and as 30 in TLS 1.2.
    const RECORDS: usize = 32;
    Pace::most(max_body).saturating_mul(RECORDS)
}

/// What `awaited` gives, while the connection moves.
async fn driving<T>(driver: &mut Option<Driver>, awaited: impl Future<Output = T>) -> T {
    let mut awaited = pin!(awaited);
    poll_fn(|context| {
        drive(driver, context);
        awaited.as_mut().poll(context)
    })
    .await
}

/// Moves the connection as far as it goes. Why it ended is told to the caller that waits for an answer.
fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
        *driver = None;
    }
}
