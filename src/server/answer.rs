//! An answer before it is HTTP: code, verdict, content type and body; and the headers that every answer carries.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use super::body::Body;
use crate::model::plan::Details;
use crate::model::route::{READ, RouteSet};
use crate::model::verdict::Verdict;

/// Plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// JSON.
pub(super) const JSON: &str = "application/json";
/// Server-sent events.
pub(super) const EVENTS: &str = "text/event-stream";

/// An answer, or the way to one.
pub(super) enum RouteResult {
    /// It is there.
    Now(Answer),
    /// It is made elsewhere.
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code.
    pub(super) code: StatusCode,
    /// What it says about health, if it is about health.
    pub(super) verdict: Option<Verdict>,
    /// The methods to name in `Allow`.
    pub(super) allow: Option<&'static str>,
    /// The content type of the body.
    pub(super) content_type: &'static str,
    /// What a browser may do with it, for a page.
    pub(super) policy: Option<HeaderValue>,
    /// It is worth asking again in a second.
    pub(super) retries: bool,
    /// The body is compressed, because the client asked for it.
    pub(super) compressed: bool,
    /// The body is one that is kept for all, and counted already.
    pub(super) counted: bool,
    /// The body.
    pub(super) body: Body,
}

impl Answer {
    /// An answer with a body of that type, that is not about health.
    pub(super) fn new(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = Body::full(body.into());
        Self {
            code,
            verdict: None,
            allow: None,
            content_type,
            policy: None,
            retries: false,
            compressed: false,
            counted: false,
            body,
        }
    }

    /// Plain text that is not about health.
    pub(super) fn text(code: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(code, TEXT, body)
    }

    /// An answer about health; `down` is the code of a closed endpoint.
    pub(super) fn health(
        verdict: Verdict,
        down: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let code = if verdict == Verdict::Error { down } else { StatusCode::OK };
        Self { verdict: Some(verdict), ..Self::new(code, content_type, body) }
    }

    /// Too many wait for long answers already.
    pub(super) fn busy() -> Self {
        let body = "too many long answers are being made; ask again in a second\n";
        Self { retries: true, ..Self::text(StatusCode::SERVICE_UNAVAILABLE, body) }
    }

    /// More streams of HTTP/2 are open than there is room for.
    pub(super) fn too_many_streams() -> Self {
        let body = "too many requests are under way on HTTP/2 connections; ask again in a second\n";
        Self { retries: true, ..Self::text(StatusCode::SERVICE_UNAVAILABLE, body) }
    }

    /// What is only told by gRPC.
    pub(super) fn is_grpc() -> Self {
        let body = "this path answers gRPC: ask it by POST over HTTP/2 with `content-type: application/grpc`\n";
        Self::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, body)
    }

    /// No such path where `routes` are answered; the paths that there are with these details.
    pub(super) fn not_found(routes: RouteSet, details: Details) -> Self {
        let there_are = match (routes, details) {
            (RouteSet::Probes, _) => "/livez, /readyz, /startupz, /alive, /ready",
            (RouteSet::Metrics, _) => "/livez, /readyz, /startupz, /alive, /ready, /metrics",
            (RouteSet::All, Details::None) => "/livez, /readyz, /startupz, /healthz, /health, /alive, /ready, /metrics",
            (RouteSet::All, Details::Full | Details::Names) => {
                "/livez, /readyz, /startupz, /healthz, /health, /alive, /ready, /metrics, /v1/services, /v1/stream"
            }
        };
        Self::text(StatusCode::NOT_FOUND, format!("not found; there are {there_are}\n"))
    }

    /// The token of `server.token` is missing, or it is another.
    pub(super) fn unauthorized() -> Self {
        let body = "unauthorized; this path wants the token of `server.token`: send `Authorization: Bearer <token>`, or the \
                    token as the password of basic authentication\n";
        Self::text(StatusCode::UNAUTHORIZED, body)
    }

    /// The token of the check that a beat is for is another.
    pub(super) fn unauthorized_beat() -> Self {
        let body = "unauthorized; a beat from elsewhere than this pod wants the `token` of its check: send `Authorization: \
                    Bearer <token>`\n";
        Self::text(StatusCode::UNAUTHORIZED, body)
    }

    /// A method that the path does not take.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let body = format!("method not allowed; this path takes {allow}\n");
        Self { allow: Some(allow), ..Self::text(StatusCode::METHOD_NOT_ALLOWED, body) }
    }

    /// The same for somebody who asked with `method`; on `HEAD` and `OPTIONS` a stream ends after the head.
    pub(super) fn fit_for(self, method: &Method) -> Self {
        match *method {
            Method::OPTIONS => self.for_options(),
            Method::HEAD => self.without_stream(),
            _ => self,
        }
    }

    fn for_options(mut self) -> Self {
        if self.allow.is_none() {
            self.allow = Some(READ);
        }
        self.without_stream()
    }

    fn without_stream(mut self) -> Self {
        if !self.body.is_full() {
            self.body = Body::full(Bytes::new());
        }
        self
    }

    /// As HTTP.
    pub(super) fn into_response(self) -> Response<Body> {
        let closes = self.body.is_stream_with_an_end();
        let mut response = Response::new(self.body);
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.clone_from(match self.verdict {
            Some(verdict) => &OF_VERDICTS[verdict as usize],
            None => &ALWAYS,
        });
        if self.content_type != TEXT {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if self.code == StatusCode::UNAUTHORIZED {
            for challenge in ["Bearer realm=\"probelet\"", "Basic realm=\"probelet\""] {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(policy) = self.policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        if self.retries {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        }
        if self.content_type == EVENTS {
            // nginx would keep events back until it has a buffer full of them.
            headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        }
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The headers of every answer; the type is text unless it is another.
static ALWAYS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(7);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
});

/// The headers of every answer about health, by verdict: a copy of them costs less than to put them together.
static OF_VERDICTS: LazyLock<[HeaderMap; 3]> =
    LazyLock::new(|| [Verdict::Ok, Verdict::Degraded, Verdict::Error].map(headers_of));

fn headers_of(verdict: Verdict) -> HeaderMap {
    let mut headers = ALWAYS.clone();
    headers.insert(HeaderName::from_static("x-health-status"), HeaderValue::from_static(verdict.label()));
    if verdict == Verdict::Degraded {
        headers.insert(HeaderName::from_static("x-envoy-degraded"), HeaderValue::from_static("true"));
    }
    headers
}
