//! A connection to a server of gRPC, which serves successive runs.

use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::answer::{Answered, LONGEST_MESSAGE, is_grpc, judge, not_grpc};
use super::section::{GrpcAddress, GrpcSection, HealthCall};
use crate::base::clock::Timestamp;
use crate::base::grpc::{CONTENT_TYPE as GRPC, PREFIX, show_timeout};
use crate::base::trace::{Phase, Trace};
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::probe::RunContext;
use crate::probe::http::pace::{Excess, Pace, Paced};
use crate::probe::http2::{self, ConnectionDriver, drive, driving};
use crate::probe::net::Network;
use crate::probe::net::failure;
use crate::probe::net::metered::Meter;
use crate::probe::net::tls::TlsClient;
use crate::probe::reuse::{Disposition, Session};

/// No more than this comes for one answer below HTTP/2, TLS's own messages included.
const MOST_CARRIED: usize = 4 << 20;

/// Where to connect to, and how.
pub(super) struct GrpcServer {
    address: GrpcAddress,
    tls: Option<TlsClient>,
    network: Arc<Network>,
}

impl GrpcServer {
    /// The server of `section`.
    pub(super) fn new(section: &GrpcSection, network: &Arc<Network>) -> Self {
        let tls = section.tls.as_ref().map(|tls| tls.client(network).speaking(http2::ALPN));
        Self { address: section.address.clone(), tls, network: Arc::clone(network) }
    }

    /// What to say of a pass that the end of the certificate makes degraded, if it does.
    pub(super) fn warning(&self) -> Option<String> {
        self.tls.as_ref().and_then(TlsClient::warning)
    }
}

/// What a run asks.
pub(super) struct HealthQuery {
    pub(super) call: HealthCall,
    /// When the run's time is up; nothing where it has no end of its own.
    pub(super) deadline: Option<Instant>,
}

/// A connection.
pub(super) struct GrpcSession {
    sender: SendRequest<Full<Bytes>>,
    /// Gone when the connection is. Only polled while a question is open.
    driver: Option<ConnectionDriver>,
    pace: Arc<Pace>,
    meter: Arc<Meter>,
    not_after: Option<Timestamp>,
}

impl Session for GrpcSession {
    type Target = GrpcServer;
    type Query = HealthQuery;

    async fn connect(server: &GrpcServer, trace: &Trace) -> Result<Self, Failure> {
        let (stream, host) = match &server.address {
            GrpcAddress::Tcp(host, port, family) => {
                (server.network.dial(host, *port, *family, trace).await?, host.as_str())
            }
            GrpcAddress::Unix(socket) => (socket.dial(trace).await?, "localhost"),
        };
        let meter = Arc::clone(stream.meter());
        let Some(tls) = &server.tls else { return Self::over(stream, meter, None).await };
        let shaken = tls.handshake(host, stream, trace).await;
        let (stream, not_after) = shaken.map_err(|failure| failure::or_without_tls(failure, "remove `tls`"))?;
        if stream.protocol() != Some(http2::ALPN) {
            let message = "server does not choose HTTP/2 in the TLS handshake, which gRPC needs";
            return Err(Failure::new(FailureKind::Protocol, message));
        }
        Self::over(stream, meter, not_after).await
    }

    async fn query(&mut self, query: &HealthQuery, run: &RunContext) -> (ProbeResult, Disposition) {
        let (result, disposition) = match self.ask(query, &run.trace).await {
            Ok(answered) => (judge(&answered, &query.call), Disposition::Idle),
            Err(failure) => (Err(failure), Disposition::Broken),
        };
        let result = match result {
            Ok(()) => {
                let mut pass = Pass::default();
                pass.facts.tls_not_after = self.not_after;
                Ok(pass)
            }
            Err(mut failure) => {
                failure.facts.tls_not_after = self.not_after;
                Err(failure)
            }
        };
        (result, disposition)
    }

    /// What has come while nobody looked is taken in first: that the server has hung up.
    fn is_open(&mut self) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// With the end of what takes requests the connection says that it goes (GOAWAY).
    async fn close(self) {
        drop(self.sender);
        if let Some(driver) = self.driver {
            let _ = driver.await;
        }
    }
}

impl GrpcSession {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        meter: Arc<Meter>,
        not_after: Option<Timestamp>,
    ) -> Result<Self, Failure> {
        let pace = Arc::new(Pace::default());
        pace.begin(LONGEST_MESSAGE);
        let made = http2::speak(Paced::of_frames(stream, Arc::clone(&pace))).await;
        let (sender, driver) = made.map_err(|_| broken())?;
        Ok(Self { sender, driver: Some(driver), pace, meter, not_after })
    }

    /// Calls the server, and reads its answer to the end.
    async fn ask(&mut self, query: &HealthQuery, trace: &Trace) -> Result<Answered, Failure> {
        trace.enter(Phase::Answer);
        self.pace.begin(LONGEST_MESSAGE);
        self.meter.allow("the answer with TLS's own messages", MOST_CARRIED);
        let request = request(query)?;
        let sent = driving(&mut self.driver, self.sender.send_request(request)).await;
        let response = sent.map_err(|error| self.failure(&error))?;
        if !is_grpc(&response) {
            return Err(not_grpc(&response));
        }
        trace.enter(Phase::Body);
        self.read(response).await
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<Answered, Failure> {
        let (head, mut body) = response.into_parts();
        let mut answered = Answered::new(head.headers);
        while let Some(frame) = driving(&mut self.driver, body.frame()).await {
            let frame = frame.map_err(|error| self.failure(&error))?;
            tokio::task::coop::consume_budget().await;
            match frame.into_data() {
                Ok(bytes) if answered.message.len() + bytes.len() > PREFIX + LONGEST_MESSAGE => {
                    let message = "answer is longer than 4 KiB: no answer about health is";
                    return Err(Failure::new(FailureKind::Protocol, message));
                }
                Ok(bytes) => answered.message.extend_from_slice(&bytes),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        answered.status.extend(trailers);
                    }
                }
            }
        }
        Ok(answered)
    }

    /// What an error of the library means.
    fn failure(&self, error: &hyper::Error) -> Failure {
        let protocol = |message: &str| Failure::new(FailureKind::Protocol, message);
        if self.pace.hears_http1() {
            return protocol(
                "server speaks HTTP/1.1 and not HTTP/2, which gRPC needs: write the port of gRPC, `tls: {}` where it wants \
                 TLS, or the kind `http`",
            );
        }
        if self.pace.hears_another_protocol() {
            return protocol("server does not speak HTTP/2, which gRPC needs: write the port of gRPC");
        }
        if self.pace.hears_tls() {
            return protocol("server speaks TLS: write `tls: {}`");
        }
        let below = self.pace.excess().map(Excess::failure).or_else(|| self.pace.failure());
        below.or_else(|| http2::failure_of(error)).unwrap_or_else(broken)
    }
}

fn broken() -> Failure {
    Failure::new(FailureKind::Connect, "connection closed before the answer was complete")
}

fn request(HealthQuery { call, deadline }: &HealthQuery) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = Builder::new().method(Method::POST).uri(call.uri.clone());
    if let Some(headers) = request.headers_mut() {
        headers.extend(call.metadata.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("probelet/", env!("CARGO_PKG_VERSION"))));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(timeout) = left.and_then(|left| HeaderValue::try_from(show_timeout(left)).ok()) {
            headers.insert("grpc-timeout", timeout);
        }
    }
    let body = Full::new(Bytes::copy_from_slice(&call.message));
    request.body(body).map_err(|_| Failure::new(FailureKind::Bug, "the call makes no request"))
}
