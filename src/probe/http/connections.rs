//! The connections of one probe, one for each request that its last run made, kept for the next run.
//!
//! hyper speaks HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) over streams that we dial. What moves a connection is polled by
//! the run that uses it, so that an idle one costs no time; of HTTP/1.1 its stream alone is kept between runs, so that it
//! costs little memory.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2 as http2_client};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::consume_budget;

use super::failure_of;
use super::origin::HttpOrigin;
use super::pace::{Excess, Pace, Paced};
use super::redirect::Guard;
use super::spelling::{HeadFields, speaking};
use super::way::{FarEnd, Way};
use crate::base::trace::{Phase, Trace};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::http2::{self, ConnectionDriver, drive};
use crate::probe::net::Network;
use crate::probe::net::failure::{NO_COMMON_PROTOCOL, or_without_tls};
use crate::probe::net::family::AddressFamily;
use crate::probe::net::metered::{Meter, MeteredStream};
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
    /// What is expected of the heads of answers.
    pub(super) fields: HeadFields,
}

/// The connections that a run finds, and those that it leaves. None of them is in use. Dropping it ends them in good
/// order.
#[derive(Default)]
pub(super) struct ConnectionPool {
    found: Vec<HttpConnection>,
    used: Vec<HttpConnection>,
    /// What the heads of answers have been like.
    fields: HeadFields,
}

impl ConnectionPool {
    /// What is expected of the heads of answers.
    pub(super) const fn fields(&self) -> HeadFields {
        self.fields
    }

    /// From now on heads may have many fields.
    pub(super) const fn expect_many_fields(&mut self) {
        self.fields = HeadFields::Many;
    }

    /// A connection to `origin`: one that stands, or a fresh one. None serves a run twice, so that in a run without
    /// kept connections each request has a fresh one.
    pub(super) async fn take(
        &mut self,
        origin: &Arc<HttpOrigin>,
        dialer: &HttpDialer<'_>,
        trace: &Trace,
    ) -> Result<HttpConnection, Failure> {
        match self.find(origin, dialer)? {
            Some(mut connection) => connection.wake(dialer.fields).await.map(|()| connection),
            None => HttpConnection::dial(origin, dialer, trace).await,
        }
    }

    fn find(&mut self, origin: &HttpOrigin, dialer: &HttpDialer<'_>) -> Result<Option<HttpConnection>, Failure> {
        while let Some(index) = self.found.iter().position(|connection| *connection.origin == *origin) {
            let mut connection = self.found.swap_remove(index);
            if connection.is_open() {
                connection.end.admitted_by(dialer.guard, dialer.network, origin)?;
                return Ok(Some(connection));
            }
            connection.hang_up();
        }
        Ok(None)
    }

    /// An exchange over `connection` is over.
    pub(super) fn put_back(&mut self, mut connection: HttpConnection) {
        // hyper has no use for one on which the answer was not read to its end, or that the server will close.
        if connection.is_open() && connection.rest() {
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

/// A stream on which HTTP is spoken.
trait HttpStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> HttpStream for S {}

type PacedStream = Paced<Box<dyn HttpStream>>;

/// HTTP/1.1 as it is spoken over a stream: what takes requests, and what moves the bytes; that is gone when the
/// connection is.
struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Option<Box<http1::Connection<TokioIo<PacedStream>, Full<Bytes>>>>,
}

/// The same of HTTP/2.
struct Http2 {
    sender: http2_client::SendRequest<Full<Bytes>>,
    driver: Option<ConnectionDriver>,
}

/// What is spoken over a connection.
enum SpokenHttp {
    Http1(Http1),
    /// HTTP/1.1 between two runs: of the library nothing is kept, which has buffers of 25 KiB.
    Resting(PacedStream),
    Http2(Http2),
    /// Nothing any more.
    Closed,
}

impl Http1 {
    async fn speak(stream: PacedStream, fields: HeadFields) -> Result<Self, Failure> {
        let made = speaking(fields).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| failure_of(&error, false))?;
        Ok(Self { sender, driver: Some(Box::new(connection)) })
    }

    /// The stream, where nothing is under way and nothing has come that nobody asked for.
    fn into_stream(self) -> Option<PacedStream> {
        let parts = self.driver?.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
    }
}

impl SpokenHttp {
    /// Begins to speak HTTP over `stream`.
    async fn speak(
        stream: impl HttpStream + 'static,
        pace: &Arc<Pace>,
        is_http2: bool,
        fields: HeadFields,
    ) -> Result<Self, Failure> {
        let (stream, pace): (Box<dyn HttpStream>, _) = (Box::new(stream), Arc::clone(pace));
        if is_http2 {
            let made = Box::pin(http2::speak(Paced::of_frames(stream, pace))).await;
            let (sender, driver) = made.map_err(|error| failure_of(&error, false))?;
            return Ok(Self::Http2(Http2 { sender, driver: Some(driver) }));
        }
        Ok(Self::Http1(Http1::speak(Paced::new(stream, pace), fields).await?))
    }

    /// Moves the connection as far as it goes. Why it ended is told to the caller that waits for an answer.
    fn drive(&mut self, context: &mut Context<'_>) {
        match self {
            Self::Http1(Http1 { driver, .. }) => {
                if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(context).is_ready()) {
                    *driver = None;
                }
            }
            Self::Http2(Http2 { driver, .. }) => drive(driver, context),
            Self::Resting(_) | Self::Closed => {}
        }
    }

    /// What `awaited` gives, while the connection moves.
    async fn driving<T>(&mut self, awaited: impl Future<Output = T>) -> T {
        let mut awaited = pin!(awaited);
        poll_fn(|context| {
            self.drive(context);
            awaited.as_mut().poll(context)
        })
        .await
    }

    /// Whether it can take a request. What has come while nobody looked is taken in first: that the server has hung up.
    fn is_open(&mut self) -> bool {
        let context = &mut Context::from_waker(Waker::noop());
        self.drive(context);
        match self {
            Self::Http1(Http1 { sender, driver }) => driver.is_some() && sender.is_ready(),
            Self::Http2(Http2 { sender, driver }) => driver.is_some() && sender.is_ready(),
            // Nothing comes that nobody asked for, neither an end nor an answer.
            Self::Resting(stream) => Pin::new(stream).poll_read(context, &mut ReadBuf::new(&mut [0])).is_pending(),
            Self::Closed => false,
        }
    }

    /// Closes the connection as far as that goes without waiting for the server.
    fn shut_down(self) {
        let context = &mut Context::from_waker(Waker::noop());
        match self {
            Self::Http1(Http1 { sender, driver }) => {
                drop(sender);
                if let Some(driver) = driver {
                    let _ = Box::into_pin(driver).as_mut().poll(context);
                }
            }
            Self::Http2(Http2 { sender, mut driver }) => {
                drop(sender);
                drive(&mut driver, context);
            }
            Self::Resting(mut stream) => {
                let _ = Pin::new(&mut stream).poll_shutdown(context);
            }
            Self::Closed => {}
        }
    }
}

/// A connection. One that is dropped, while it is in use, is closed without a word.
pub(super) struct HttpConnection {
    origin: Arc<HttpOrigin>,
    protocol: SpokenHttp,
    pace: Arc<Pace>,
    /// Below TLS, of whose own messages the pace knows nothing: new tickets and keys, empty records.
    meter: Arc<Meter>,
    end: FarEnd,
    expiry: Option<Expiry>,
    is_short_of_fields: bool,
}

impl HttpConnection {
    async fn dial(origin: &Arc<HttpOrigin>, dialer: &HttpDialer<'_>, trace: &Trace) -> Result<Self, Failure> {
        let (stream, end) = dialer.way.open(origin, dialer.network, dialer.family, dialer.guard, trace).await?;
        let meter = Arc::clone(stream.meter());
        let pace = Arc::new(Pace::default());
        let origin = Arc::clone(origin);
        if !origin.is_secure {
            let is_http2 = dialer.version == HttpVersion::Http2 && dialer.way.reading_proxy(&origin).is_none();
            let protocol = SpokenHttp::speak(stream, &pace, is_http2, dialer.fields).await?;
            return Ok(Self { origin, protocol, pace, meter, end, expiry: None, is_short_of_fields: false });
        }
        // TLS needs much room, which is not there where it is not spoken.
        let (protocol, expiry) = Box::pin(Self::secured(&origin, dialer, stream, &pace, trace)).await?;
        Ok(Self { origin, protocol, pace, meter, end, expiry, is_short_of_fields: false })
    }

    /// What is spoken over `stream` within TLS, and the end of validity in the chain that the server presented.
    async fn secured(
        origin: &HttpOrigin,
        dialer: &HttpDialer<'_>,
        stream: MeteredStream,
        pace: &Arc<Pace>,
        trace: &Trace,
    ) -> Result<(SpokenHttp, Option<Expiry>), Failure> {
        let tls = dialer.tls.client(dialer.network).speaking_one_of(dialer.version.offered());
        let shaken = tls.handshake(&origin.host, stream, trace).await;
        let (stream, _) = shaken
            .map_err(|failure| dialer.version.or_not_spoken(failure))
            .map_err(|failure| or_without_tls(failure, "write `http://`"))?;
        let is_http2 = stream.protocol() == Some(http2::ALPN);
        if dialer.version == HttpVersion::Http2 && !is_http2 {
            return Err(dialer.version.not_spoken());
        }
        let protocol = SpokenHttp::speak(stream, pace, is_http2, dialer.fields).await?;
        Ok((protocol, tls.expiry()))
    }

    /// Whether HTTP/2 is spoken over it.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.protocol, SpokenHttp::Http2(_))
    }

    /// Where it has come to.
    pub(super) const fn end(&self) -> FarEnd {
        self.end
    }

    /// The earliest end of validity in the chain that the server presented.
    pub(super) const fn expiry(&self) -> Option<Expiry> {
        self.expiry
    }

    /// Whether the head of an answer may have been refused for the number of its fields.
    pub(super) const fn is_short_of_fields(&self) -> bool {
        self.is_short_of_fields
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
        let answered = match &mut self.protocol {
            SpokenHttp::Http1(Http1 { sender, .. }) => {
                let pace = Arc::clone(&self.pace);
                hyper::ext::on_informational(&mut request, move |_| pace.interim());
                let sent = sender.send_request(request);
                self.protocol.driving(sent).await
            }
            SpokenHttp::Http2(Http2 { sender, .. }) => {
                let sent = sender.send_request(request);
                self.protocol.driving(sent).await
            }
            SpokenHttp::Resting(_) | SpokenHttp::Closed => return Err(closed_early()),
        };
        let response = answered.map_err(|error| {
            self.is_short_of_fields = error.is_parse_too_large() && self.pace.read() < LONGEST_HEAD;
            self.failure(&error, false)
        })?;
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
            match self.protocol.driving(body.frame()).await.transpose()?.map(hyper::body::Frame::into_data) {
                None => return Ok(None),
                Some(Ok(piece)) => return Ok(Some(piece)),
                Some(Err(_trailers)) => {}
            }
        }
    }

    /// What an error of the library means, before an answer has begun or after.
    pub(super) fn failure(&self, error: &hyper::Error, has_begun: bool) -> Failure {
        let protocol = |message: &str| Failure::new(FailureKind::Protocol, message);
        match self.protocol {
            _ if !has_begun && !self.origin.is_secure && self.pace.hears_tls() => {
                protocol("server speaks TLS: write `https://`")
            }
            SpokenHttp::Http1(_) if !has_begun && self.pace.hears_http2() => {
                protocol("server speaks HTTP/2 and not HTTP/1.1: write `version: 2`")
            }
            SpokenHttp::Http1(_) | SpokenHttp::Resting(_) | SpokenHttp::Closed => failure_of(error, has_begun),
            SpokenHttp::Http2(_) if !has_begun && self.pace.hears_http1() => {
                protocol("server speaks HTTP/1.1 and not HTTP/2: write `version: 1.1`")
            }
            SpokenHttp::Http2(_) if !has_begun && self.pace.hears_another_protocol() => {
                protocol("server does not speak HTTP/2")
            }
            // The library keeps nothing of what happens below it but its kind.
            SpokenHttp::Http2(_) => {
                let below = self.pace.excess().map(Excess::failure).or_else(|| self.pace.failure());
                below.or_else(|| http2::failure_of(error)).unwrap_or_else(closed_early)
            }
        }
    }

    /// Whether it can take a request.
    fn is_open(&mut self) -> bool {
        self.protocol.is_open()
    }

    /// Between two runs no more is kept than it takes. Returns whether it is of use to another run.
    fn rest(&mut self) -> bool {
        self.protocol = match std::mem::replace(&mut self.protocol, SpokenHttp::Closed) {
            SpokenHttp::Http1(http1) => http1.into_stream().map_or(SpokenHttp::Closed, SpokenHttp::Resting),
            other => other,
        };
        !matches!(self.protocol, SpokenHttp::Closed)
    }

    /// Takes requests again.
    async fn wake(&mut self, fields: HeadFields) -> Result<(), Failure> {
        self.protocol = match std::mem::replace(&mut self.protocol, SpokenHttp::Closed) {
            SpokenHttp::Resting(stream) => SpokenHttp::Http1(Http1::speak(stream, fields).await?),
            other => other,
        };
        Ok(())
    }

    /// Closes the connection as its protocols want it, as far as that goes without waiting for the server.
    fn hang_up(self) {
        if self.origin.is_secure || self.is_http2() {
            self.protocol.shut_down();
        }
    }
}

/// hyper refuses a head of not much more bytes: one that is refused before was refused for its fields.
const LONGEST_HEAD: u64 = 400 << 10;

fn closed_early() -> Failure {
    Failure::new(FailureKind::Connect, "connection closed before the answer was complete")
}

/// What may come below TLS for an answer that its pace lets through.
const fn most_below_tls(max_body: usize) -> usize {
    // A record of one byte is sent as 23 in TLS 1.3, and as 30 in TLS 1.2.
    const RECORDS: usize = 32;
    Pace::most(max_body).saturating_mul(RECORDS)
}
