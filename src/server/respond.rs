//! From a request to its answer: at once from the snapshot as it stands, but for what lies in the past.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::access::Sight;
use super::answer::{Answer, RouteResult};
use super::answer_memory::LONG;
use super::audience::Audience;
use super::body::Body;
use super::cors::Cors;
use super::gate_cache::GateRequest;
use super::listen::ListenerRoutes;
use super::long_answers::Full;
use super::query::Query;
use super::request::{ConnectionAddresses, IncomingRequest, PendingRequest};
use super::sent_body::SentBody;
use super::shared::Shared;
use super::start_up::as_wanted;
use super::{App, access, badge, control, daemon, health, kubelet, openapi, page, stream, v1};
use crate::base::clock::{Moment, Reading};
use crate::model::route::{self, Route};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::ContainerNews;
use crate::model::verdict::Endpoint;

/// A response, or the way to one.
pub(super) enum Responding {
    /// It is there, since then.
    Now(Response<Body>, Moment),
    /// It is made elsewhere.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

/// Answers the request with that head, which came in at `address`, and counts the answer.
pub(super) fn respond(
    app: &Arc<App>,
    shared: &Arc<Shared>,
    ends: ConnectionAddresses,
    address: &ListenerRoutes,
    head: &Parts,
    body: &SentBody,
) -> Responding {
    let reading = app.clock.read();
    let (route, name) = route::find(head.uri.path());
    let query = Query::new(head.uri.query());
    let Parts { method, uri, version, headers, .. } = head;
    let (version, routes) = (*version, address.get());
    let incoming = IncomingRequest { method, version, uri, query, headers, ends, routes, address, body, reading };
    let judged_by = app.board.latest();
    let cors = Cors::of(&incoming, route, &judged_by.plan.answers);
    if let Some(preflight) = cors.preflight(&incoming) {
        let (mut response, now) = respond_with(app, shared, route, method, reading.moment, preflight);
        cors.say(response.headers_mut(), Some(headers));
        return Responding::Now(response, now);
    }
    match answer(&judged_by, &incoming, app, shared, route, name) {
        RouteResult::Now(answer) => {
            let (mut response, now) = respond_with(app, shared, route, method, reading.moment, answer);
            cors.say(response.headers_mut(), None);
            Responding::Now(response, now)
        }
        RouteResult::Later(coming) => {
            let (app, shared, method) = (Arc::clone(app), Arc::clone(shared), method.clone());
            Responding::Later(Box::pin(async move {
                let answer = coming.await;
                let (mut response, _) = respond_with(&app, &shared, route, &method, reading.moment, answer);
                cors.say(response.headers_mut(), None);
                response
            }))
        }
    }
}

/// The answer as it goes out, counted, and when that was.
fn respond_with(
    app: &App,
    shared: &Shared,
    route: Route,
    method: &Method,
    asked: Moment,
    answer: Answer,
) -> (Response<Body>, Moment) {
    let now = app.clock.now();
    app.daemon_metrics.answered(route, answer.code.as_u16(), now.since(asked));
    let is_counted = answer.counted;
    let mut response = answer.fit_for(method).into_response();
    if response.body().length() > LONG {
        response = response.map(|body| if is_counted { body } else { body.counted(&shared.under_way) }.in_pieces());
    }
    (response, now)
}

/// The answer to `incoming`; `judged_by` is the snapshot as it is published.
pub(super) fn answer(
    judged_by: &Arc<Snapshot>,
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    route: Route,
    name: &str,
) -> RouteResult {
    let answers = &judged_by.plan.answers;
    if route == Route::Heartbeat && route.set() <= incoming.routes {
        return RouteResult::Now(control::heartbeat(incoming, app, judged_by, name));
    }
    let sight = access::sight(route, incoming.routes, incoming.headers, answers.token.as_ref());
    match sight {
        Sight::Full | Sight::Narrow => {}
        Sight::Unauthorized => return RouteResult::Now(Answer::unauthorized()),
        Sight::Nothing => return RouteResult::Now(Answer::not_found(incoming.routes, answers.details)),
    }
    if let Some(endpoint) = kubelet::probed(route) {
        note_kubelet(incoming, app, judged_by, endpoint, incoming.is_read());
    }
    let snapshot = seen(sight, Arc::clone(judged_by), app, shared, incoming.reading);
    let route = if sight == Sight::Narrow { nameless(route) } else { route };
    let gates = if sight == Sight::Narrow { &shared.narrow_gates } else { &shared.gates };
    if incoming.is_read()
        && let Some(request) = gate_request(route, incoming)
    {
        return RouteResult::Now(gates.answer(request, &snapshot, incoming.reading).0);
    }
    if incoming.is_read() && is_long(route, incoming) {
        return match (in_turn(incoming, app, shared, route, sight), gate(route)) {
            (Err(Full), Some(gate)) => {
                // A gate is never refused: it answers as it stands for those who ask without a query.
                let plain = GateRequest::Plain(gate);
                RouteResult::Now(gates.answer(plain, &snapshot, incoming.reading).0)
            }
            (Err(Full), None) => RouteResult::Now(Answer::busy()),
            (Ok(result), _) => result,
        };
    }
    // Not by what is published a moment later.
    let audience = || Audience::of(incoming, &app.board, answers);
    RouteResult::Now(match route {
        Route::DaemonDrain => {
            let answer = control::drain(incoming, app, &snapshot);
            shared.serving.look();
            answer
        }
        Route::Unknown => Answer::not_found(incoming.routes, snapshot.plan.answers.details),
        Route::GrpcCheck | Route::GrpcWatch | Route::GrpcList => Answer::is_grpc(),
        _ if !incoming.is_read() => Answer::method_not_allowed(route.methods()),
        Route::HealthStream => stream::health_stream(incoming, app, &snapshot, shared, audience()),
        Route::DaemonHealthy => daemon::healthy(incoming, app),
        Route::DaemonReady => daemon::ready(&snapshot),
        Route::Stream => stream::event_stream(incoming, app, &snapshot, &shared.streams, audience()),
        _ => return of_snapshot(incoming, app, shared, &snapshot, (route, name), sight),
    })
}

/// The snapshot that is `published`, as it stands now, and as it may be told.
fn seen(sight: Sight, published: Arc<Snapshot>, app: &App, shared: &Shared, reading: Reading) -> Arc<Snapshot> {
    let snapshot = as_wanted(published, app, reading);
    if sight == Sight::Narrow { shared.narrowed.of(&snapshot) } else { snapshot }
}

/// Notes that kubelet asks, if it does, and begins a start-up where the question tells of one and `counts`.
pub(super) fn note_kubelet(
    incoming: &IncomingRequest<'_>,
    app: &App,
    snapshot: &Snapshot,
    endpoint: Endpoint,
    counts: bool,
) {
    if !kubelet::is_kubelet(incoming.headers) {
        return;
    }
    app.daemon_metrics.asks.note(endpoint, incoming.reading);
    let moment = incoming.reading.moment;
    if endpoint == Endpoint::Startupz && counts && access::may_be_of_kubelet(incoming) {
        match app.start_ups.asked(moment, snapshot) {
            ContainerNews::None => {}
            news => app.control.start_up(news, moment),
        }
    }
}

/// The gate that a route asks about.
const fn gate(route: Route) -> Option<Endpoint> {
    match route {
        Route::Livez => Some(Endpoint::Livez),
        Route::Readyz => Some(Endpoint::Readyz),
        Route::Startupz => Some(Endpoint::Startupz),
        _ => None,
    }
}

/// The gate in place of one check's part in it: whoever may learn the verdict alone could guess names by it.
const fn nameless(route: Route) -> Route {
    match route {
        Route::LivezCheck => Route::Livez,
        Route::ReadyzCheck => Route::Readyz,
        Route::StartupzCheck => Route::Startupz,
        other => other,
    }
}

/// What is answered as it is kept: the gates as kubelet and load balancers ask for them.
fn gate_request(route: Route, incoming: &IncomingRequest<'_>) -> Option<GateRequest> {
    match (route, incoming.uri.query()) {
        (Route::Alive, _) => Some(GateRequest::Alive),
        (Route::Root, None) if !page::is_wanted(incoming) => Some(GateRequest::Plain(Endpoint::Readyz)),
        (Route::Ready, None) => Some(GateRequest::Ready),
        (_, None) => gate(route).map(GateRequest::Plain),
        (_, Some("verbose" | "verbose=1" | "verbose=true")) => gate(route).map(GateRequest::Verbose),
        _ => None,
    }
}

/// Whether an answer takes work that grows with the number of checks, and is not kept. The gate of one check is judged at
/// once, where it is asked as kubelet can be told to ask: that looks at the check and at what it depends on alone.
fn is_long(route: Route, incoming: &IncomingRequest<'_>) -> bool {
    if matches!(route, Route::LivezCheck | Route::ReadyzCheck | Route::StartupzCheck) {
        return incoming.uri.query().is_some_and(|query| query != "verbose");
    }
    matches!(
        route,
        Route::Metrics
            | Route::Root
            | Route::Livez
            | Route::Readyz
            | Route::Startupz
            | Route::Ready
            | Route::Healthz
            | Route::HealthzCheck
            | Route::Health
            | Route::VersionedHealth
            | Route::OpenApi
            | Route::Services
            | Route::Service
            | Route::Events
            | Route::Ticks
            | Route::InternalHealth
            | Route::Badge
    )
}

/// A long answer, made elsewhere, from the snapshot as it stands when its turn has come.
fn in_turn(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    route: Route,
    sight: Sight,
) -> Result<RouteResult, Full> {
    let (waiting, app) = (PendingRequest::of(incoming), Arc::clone(app));
    let long = shared.long.clone();
    let shared = Arc::clone(shared);
    let coming = long.begin_with(|place| async move {
        let turn = shared.turns.next().await;
        let incoming = waiting.as_incoming();
        if route == Route::Metrics {
            return daemon::metrics(&incoming, &app, &shared).await;
        }
        let (_, name) = route::find(incoming.uri.path());
        let snapshot = seen(sight, app.board.latest(), &app, &shared, incoming.reading);
        match of_snapshot(&incoming, &app, &shared, &snapshot, (route, name), sight) {
            RouteResult::Now(answer) => answer,
            RouteResult::Later(coming) => {
                // Whoever waits for a disk keeps nobody from a turn or a place.
                drop((turn, place));
                coming.await
            }
        }
    });
    coming.map(RouteResult::Later)
}

/// The answer to a request that only looks.
fn of_snapshot(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    snapshot: &Arc<Snapshot>,
    (route, name): (Route, &str),
    sight: Sight,
) -> RouteResult {
    RouteResult::Now(match route {
        Route::Livez => health::gate(incoming, snapshot, Endpoint::Livez, None, sight),
        Route::LivezCheck => health::gate(incoming, snapshot, Endpoint::Livez, Some(name), sight),
        Route::Readyz => health::gate(incoming, snapshot, Endpoint::Readyz, None, sight),
        Route::ReadyzCheck => health::gate(incoming, snapshot, Endpoint::Readyz, Some(name), sight),
        Route::Startupz => health::gate(incoming, snapshot, Endpoint::Startupz, None, sight),
        Route::StartupzCheck => health::gate(incoming, snapshot, Endpoint::Startupz, Some(name), sight),
        Route::Ready => health::ready(incoming, snapshot, sight),
        Route::Root => page::root(incoming, snapshot),
        Route::Healthz => health::healthz(incoming, snapshot, shared),
        Route::HealthzCheck => health::healthz_check(incoming, snapshot, name),
        Route::Health => health::health(incoming, snapshot, shared),
        Route::VersionedHealth => health::versioned(incoming, snapshot, shared),
        Route::OpenApi => openapi::reply(incoming, snapshot),
        Route::Services | Route::Service | Route::Events | Route::Ticks | Route::InternalHealth => {
            return v1::reply(incoming, app, shared, snapshot, route, name);
        }
        Route::Badge => return badge::reply(incoming, app, snapshot, name),
        _ => Answer::not_found(incoming.routes, snapshot.plan.answers.details),
    })
}
