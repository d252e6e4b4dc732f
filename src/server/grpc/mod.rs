//! `grpc.health.v1.Health`: the same verdicts for those who ask by gRPC.
//!
//! The services `""` and `readiness` are `/readyz`, `liveness` is `/livez`, `startup` is `/startupz`; any other name is
//! that of a check, answered as `/healthz/<check>`. A check that has one of these names is only found by HTTP.

mod call;
mod error;
mod serving;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::App;
use super::access::{self, Sight};
use super::answer::Answer;
use super::audience::Audience;
use super::body::Body;
use super::listen::ListenerRoutes;
use super::query::Query;
use super::request::{ConnectionAddresses, IncomingRequest};
use super::respond::note_kubelet;
use super::sent_body::SentBody;
use super::shared::Shared;
use super::start_up::latest;
use super::stream::{MOST, StreamPermit};
use crate::base::clock::Reading;
use crate::base::grpc::{self, GrpcCode, ServingStatus, health_list_response};
use crate::model::plan::Details;
use crate::model::route::{self, Route, RouteSet};
use crate::model::snapshot::Snapshot;
use crate::model::verdict::Endpoint;
use call::CallBody;
pub(super) use call::read_message;
pub(super) use error::CallError;
pub(super) use serving::ServingChanges;
use watch::Watch;

/// As many services as Go's server lists.
const MOST_LISTED: usize = 100;
/// The services that are gates, in the order in which they are listed.
const GATES: [(&str, Endpoint); 4] = [
    ("", Endpoint::Readyz),
    ("readiness", Endpoint::Readyz),
    ("liveness", Endpoint::Livez),
    ("startup", Endpoint::Startupz),
];

/// Whether this is a call of gRPC, or means to be one.
pub(super) fn is_call(head: &Parts) -> bool {
    content_type(head).is_some_and(|given| given.starts_with(grpc::CONTENT_TYPE.as_bytes()))
}

/// Whether the messages of a call are protobuf.
fn is_protobuf(head: &Parts) -> bool {
    let given = content_type(head).and_then(|given| given.strip_prefix(grpc::CONTENT_TYPE.as_bytes()));
    given.is_some_and(|rest| {
        let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
        matches!(rest.first(), None | Some(b';' | b' '))
    })
}

fn content_type(head: &Parts) -> Option<&[u8]> {
    head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)
}

/// More calls are under way than there is room for.
pub(super) fn busy() -> Response<Body> {
    CallError::new(GrpcCode::ResourceExhausted, "too many requests are under way; ask again in a second")
        .into_response()
}

/// Answers the call with that head and `message`, and counts the answer.
pub(super) fn respond(
    app: &Arc<App>,
    shared: &Arc<Shared>,
    ends: ConnectionAddresses,
    address: &ListenerRoutes,
    head: &Parts,
    message: Result<Bytes, CallError>,
) -> Response<Body> {
    let reading = app.clock.read();
    let (route, _) = route::find(head.uri.path());
    let response = if !is_protobuf(head) {
        Answer::is_grpc().into_response()
    } else if head.method != Method::POST {
        Answer::method_not_allowed("POST").into_response()
    } else {
        let Parts { method, uri, version, headers, .. } = head;
        let query = Query::new(uri.query());
        let incoming = IncomingRequest {
            method,
            version: *version,
            uri,
            query,
            headers,
            ends,
            routes: address.get(),
            address,
            body: &SentBody::Empty,
            reading,
        };
        match answer(&incoming, app, shared, route, message) {
            Ok(body) => reply(HeaderMap::new(), body),
            Err(error) => error.into_response(),
        }
    };
    app.daemon_metrics.answered(route, response.status().as_u16(), app.clock.now().since(reading.moment));
    response
}

/// The answer to a call whose reading is known.
pub(super) fn answer(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    route: Route,
    message: Result<Bytes, CallError>,
) -> Result<Body, CallError> {
    let method = match route {
        Route::GrpcCheck | Route::GrpcWatch | Route::GrpcList => route,
        _ => {
            let problem = "there is grpc.health.v1.Health alone, with Check, Watch and List";
            return Err(CallError::new(GrpcCode::Unimplemented, problem));
        }
    };
    let message = message?;
    let malformed = |_| CallError::new(GrpcCode::Internal, "the message is no HealthCheckRequest");
    let name = if method == Route::GrpcList { "" } else { grpc::requested_service(&message).map_err(malformed)? };
    let service = HealthService::named(name);
    let published = app.board.latest();
    let sight = access::sight(route, incoming.routes, incoming.headers, published.plan.answers.token.as_ref());
    let names = sight == Sight::Full;
    let is_open_to_all = method != Route::GrpcList && matches!(service, HealthService::Gate(_));
    if !names && !is_open_to_all && incoming.routes == RouteSet::All {
        let problem = "send the token of `server.token` as `authorization: Bearer <token>`";
        return Err(CallError::new(GrpcCode::Unauthenticated, problem));
    }
    if method == Route::GrpcCheck {
        note_kubelet(incoming, app, &published, service.endpoint(), true);
    }
    let snapshot = latest(app, incoming.reading);
    match method {
        Route::GrpcCheck => match service.status(shared, &snapshot, incoming.reading, names) {
            Some(status) => Ok(Body::frames(CallBody::message(grpc::health_check_response(status)))),
            None => Err(CallError::new(GrpcCode::NotFound, "unknown service")),
        },
        Route::GrpcWatch => {
            let Some(permit) = StreamPermit::take(&shared.streams) else {
                let problem = format!("{MOST} streams are open; end one of them");
                return Err(CallError::new(GrpcCode::ResourceExhausted, problem));
            };
            let deadline = timeout(incoming.headers)?;
            // The gates are everybody's.
            let is_for_some = names && matches!(service, HealthService::Check(_));
            let audience = is_for_some.then(|| Audience::of(incoming, &app.board, &published.plan.answers));
            let watch = Watch::new(Arc::clone(app), Arc::clone(shared), service, audience, deadline, permit);
            Ok(Body::frames(CallBody::Watch(watch)))
        }
        _ => list(shared, &snapshot, incoming, names),
    }
}

/// Every service, where there are not too many.
fn list(shared: &Shared, snapshot: &Snapshot, incoming: &IncomingRequest<'_>, names: bool) -> Result<Body, CallError> {
    let is_told = names && snapshot.plan.answers.details != Details::None;
    let checks = if is_told { &snapshot.plan.checks[..] } else { &[] };
    let names = checks.iter().map(|check| check.name.as_str());
    let names = names.filter(|name| GATES.iter().all(|(gate, _)| gate != name));
    let all: Vec<&str> = GATES.iter().map(|(gate, _)| *gate).chain(names).collect();
    if all.len() > MOST_LISTED {
        let problem = format!("there are more than {MOST_LISTED} services; ask for one by its name");
        return Err(CallError::new(GrpcCode::ResourceExhausted, problem));
    }
    let statuses = all.into_iter().filter_map(|name| {
        let status = HealthService::named(name).status(shared, snapshot, incoming.reading, is_told)?;
        Some((name, status))
    });
    Ok(Body::frames(CallBody::message(health_list_response(statuses))))
}

/// What a service stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HealthService {
    /// A gate.
    Gate(Endpoint),
    /// What may be a check.
    Check(Box<str>),
}

impl HealthService {
    fn named(name: &str) -> Self {
        let gate = GATES.into_iter().find(|(gate, _)| *gate == name);
        gate.map_or_else(|| Self::Check(name.into()), |(_, endpoint)| Self::Gate(endpoint))
    }

    /// The endpoint whose verdict it goes by.
    const fn endpoint(&self) -> Endpoint {
        match self {
            Self::Gate(endpoint) => *endpoint,
            Self::Check(_) => Endpoint::Healthz,
        }
    }

    /// Whether it serves; nothing where there is none, or where `names` may not be told.
    fn status(&self, shared: &Shared, snapshot: &Snapshot, reading: Reading, names: bool) -> Option<ServingStatus> {
        let is_up = |name: &str| Some(shared.gates.is_up(snapshot.plan.position(name)?, snapshot, reading));
        self.status_by(names, |gate| shared.gates.is_open(gate, snapshot, reading), is_up)
    }

    /// The same, by which gates are open and which checks are up; nothing where there is no such check.
    fn status_by(
        &self,
        names: bool,
        is_open: impl FnOnce(Endpoint) -> bool,
        is_up: impl FnOnce(&str) -> Option<bool>,
    ) -> Option<ServingStatus> {
        let serves = match self {
            Self::Gate(endpoint) => is_open(*endpoint),
            Self::Check(_) if !names => return None,
            Self::Check(name) => is_up(name)?,
        };
        Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

/// How long the client waits at most.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, CallError> {
    let Some(given) = headers.get("grpc-timeout") else { return Ok(None) };
    let timeout = given.to_str().ok().and_then(grpc::parse_timeout);
    timeout.map(Some).ok_or_else(|| CallError::new(GrpcCode::Internal, "malformed grpc-timeout"))
}

/// An answer to a call, with these headers beside its own.
fn reply(mut headers: HeaderMap, body: Body) -> Response<Body> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    headers.insert(HeaderName::from_static("grpc-accept-encoding"), HeaderValue::from_static("identity"));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    *response.headers_mut() = headers;
    response
}
