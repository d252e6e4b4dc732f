//! The connections of one probe, one for each request that its last run made, kept for the next run.
//!
//! hyper speaks HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) over streams that we dial. What moves a connection is polled by the run that uses
//! it, so that an idle one costs nothing.

use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2 as http2_client};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::consume_budget;

use super::failure_of;
use super::origin::HttpOrigin;
use super::pace::{Excess, Pace, Paced};
use super::redirect::Guard;
use super::spelling::speaking;
use super::way::{FarEnd, Way};
use crate::base::trace::{Phase, Trace};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::http2::{self, ConnectionDriver, drive, driving};
use crate::probe::net::Network;
use crate::probe::net::failure::{NO_COMMON_PROTOCOL, or_without_tls};
use crate::probe::net::family::AddressFamily;
use crate::probe::net::metered::Meter;
use crate::probe::net::presented::Expiry;
use crate::probe::net::tls::TlsSpec;

/// How a probe connects.
pub(super) struct HttpDialer<'a> {
    pub(super) network: &'a Network,
    /// How TLS is spoken with this server.
    pub(super) tls: &'a TlsSpec,
    pub(super) way: &'a Way,
    pub(super) version: HttpVersion,
    /// Which addresses of a host are tried.
    pub(super) family: AddressFamily,
    /// Where a redirect may not lead.
    pub(super) guard: Guard,
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
                connection.end.admitted_by(dialer.guard, dialer.network, origin)?;
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

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    /// HTTP/2 where the server chooses it in the TLS handshake, else HTTP/1.1.
    Auto,
    Http1,
    Http2,
}

impl HttpVersion {
    /// What a server is offered in the TLS handshake, the best first.
    const fn offered(self) -> &'static [&'static [u8]] {
        match self {
            Self::Auto => &[http2::ALPN, b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[http2::ALPN],
        }
    }

    /// The server did not choose it in the TLS handshake.
    fn not_spoken(self) -> Failure {
        let version = if self == Self::Http2 { "HTTP/2" } else { "HTTP/1.1" };
        let message = format!("server does not choose {version} in the TLS handshake: write `version: auto`");
        Failure::new(FailureKind::Protocol, message)
    }

    /// What such a failure of the handshake means.
    fn or_not_spoken(self, failure: Failure) -> Failure {
        if self != Self::Auto && failure.message == NO_COMMON_PROTOCOL { self.not_spoken() } else { failure }
    }
}

/// What takes requests.
enum RequestSender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2_client::SendRequest<Full<Bytes>>),
}

impl RequestSender {
    fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }
}

/// A connection. One that is dropped, while it is in use, is closed without a word.
pub(super) struct HttpConnection {
    origin: Arc<HttpOrigin>,
    sender: RequestSender,
    /// Gone when the connection is.
    driver: Option<ConnectionDriver>,
    pace: Arc<Pace>,
    /// Below TLS, of whose own messages the pace knows nothing: new tickets and keys, empty records.
    meter: Arc<Meter>,
    end: FarEnd,
    expiry: Option<Expiry>,
}

impl HttpConnection {
    async fn dial(origin: &Arc<HttpOrigin>, dialer: &HttpDialer<'_>, trace: &Trace) -> Result<Self, Failure> {
        let (stream, end) = dialer.way.open(origin, dialer.network, dialer.family, dialer.guard, trace).await?;
        let meter = Arc::clone(stream.meter());
        let pace = Arc::new(Pace::default());
        let origin = Arc::clone(origin);
        if !origin.is_secure {
            let is_http2 = dialer.version == HttpVersion::Http2 && dialer.way.reading_proxy(&origin).is_none();
            let (sender, driver) = speak(stream, &pace, is_http2).await?;
            return Ok(Self { origin, sender, driver, pace, meter, end, expiry: None });
        }
        let tls = dialer.tls.client(dialer.network).speaking_one_of(dialer.version.offered());
        let shaken = tls.handshake(&origin.host, stream, trace).await;
        let (stream, _) = shaken
            .map_err(|failure| dialer.version.or_not_spoken(failure))
            .map_err(|failure| or_without_tls(failure, "write `http://`"))?;
        let is_http2 = stream.protocol() == Some(http2::ALPN);
        if dialer.version == HttpVersion::Http2 && !is_http2 {
            return Err(dialer.version.not_spoken());
        }
        let (sender, driver) = speak(stream, &pace, is_http2).await?;
        Ok(Self { origin, sender, driver, pace, meter, end, expiry: tls.expiry() })
    }

    /// Whether HTTP/2 is spoken over it.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, RequestSender::Http2(_))
    }

    /// Where it has come to.
    pub(super) const fn end(&self) -> FarEnd {
        self.end
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
        let answered = match &mut self.sender {
            RequestSender::Http1(sender) => {
                let pace = Arc::clone(&self.pace);
                hyper::ext::on_informational(&mut request, move |_| pace.interim());
                driving(&mut self.driver, sender.send_request(request)).await
            }
            RequestSender::Http2(sender) => driving(&mut self.driver, sender.send_request(request)).await,
        };
        let response = answered.map_err(|error| self.failure(&error, false))?;
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

    /// What an error of the library means, before an answer has begun or after.
    pub(super) fn failure(&self, error: &hyper::Error, has_begun: bool) -> Failure {
        let protocol = |message: &str| Failure::new(FailureKind::Protocol, message);
        match self.sender {
            _ if !has_begun && !self.origin.is_secure && self.pace.hears_tls() => {
                protocol("server speaks TLS: write `https://`")
            }
            RequestSender::Http1(_) if !has_begun && self.pace.hears_http2() => {
                protocol("server speaks HTTP/2 and not HTTP/1.1: write `version: 2`")
            }
            RequestSender::Http1(_) => failure_of(error, has_begun),
            RequestSender::Http2(_) if !has_begun && self.pace.hears_http1() => {
                protocol("server speaks HTTP/1.1 and not HTTP/2: write `version: 1.1`")
            }
            RequestSender::Http2(_) if !has_begun && self.pace.hears_another_protocol() => {
                protocol("server does not speak HTTP/2")
            }
            // The library keeps nothing of what happens below it but its kind.
            RequestSender::Http2(_) => {
                let below = self.pace.excess().map(Excess::failure).or_else(|| self.pace.failure());
                below.or_else(|| http2::failure_of(error)).unwrap_or_else(|| {
                    Failure::new(FailureKind::Connect, "connection closed before the answer was complete")
                })
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
        let is_http2 = self.is_http2();
        let Self { mut driver, sender, origin, .. } = self;
        if origin.is_secure || is_http2 {
            drop(sender);
            drive(&mut driver, &mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Begins to speak HTTP over `stream`: what takes requests, and what moves the bytes.
async fn speak<S>(
    stream: S,
    pace: &Arc<Pace>,
    is_http2: bool,
) -> Result<(RequestSender, Option<ConnectionDriver>), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Arc::clone(pace);
    if is_http2 {
        let made = http2::speak(Paced::of_frames(stream, pace)).await;
        let (sender, driver) = made.map_err(|error| failure_of(&error, false))?;
        return Ok((RequestSender::Http2(sender), Some(driver)));
    }
    let made = speaking().handshake(TokioIo::new(Paced::new(stream, pace))).await;
    let (sender, connection) = made.map_err(|error| failure_of(&error, false))?;
    Ok((RequestSender::Http1(sender), Some(Box::pin(connection))))
}

/// What may come below TLS for an answer that its pace lets through.
const fn most_below_tls(max_body: usize) -> usize {
    // A record of one byte is sent as 23 in TLS 1.3, and as 30 in TLS 1.2.
    const RECORDS: usize = 32;
    Pace::most(max_body).saturating_mul(RECORDS)
}
