//! From a request to its answer: at once from the snapshot as it stands, but for what lies in the past.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::answer::{Answer, READ, Reply};
use super::ask::{Ask, Ends, Waiting};
use super::body::Body;
use super::long::Full;
use super::query::Query;
use super::shared::Shared;
use super::{App, access, badge, control, daemon, health, kubelet, page, routes, stream, v1};
use crate::base::clock::Moment;
use crate::metrics::Route;
use crate::model::snapshot::Snapshot;
use crate::model::start_up::ContainerNews;
use crate::model::verdict::Endpoint;

/// A response, or the way to one.
pub(super) enum Responding {
    /// It is there.
    Now(Response<Body>),
    /// The history has to be asked for it.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

/// Answers the request with that head, and counts the answer.
pub(super) fn respond(app: &Arc<App>, shared: &Arc<Shared>, ends: Ends, head: &Parts) -> Responding {
    let reading = app.clock.read();
    let (route, name) = routes::find(head.uri.path());
    let query = Query::new(head.uri.query());
    let Parts { method, uri, version, headers, .. } = head;
    let ask = Ask { method, version: *version, uri, query, headers, ends, reading };
    match answer(&ask, app, shared, route, name) {
        Reply::Now(answer) => Responding::Now(respond_with(app, shared, route, &head.method, reading.moment, answer)),
        Reply::Later(coming) => {
            let (app, shared, method) = (Arc::clone(app), Arc::clone(shared), head.method.clone());
            Responding::Later(Box::pin(async move {
                let answer = coming.await;
                respond_with(&app, &shared, route, &method, reading.moment, answer)
            }))
        }
    }
}

fn respond_with(
    app: &App,
    shared: &Shared,
    route: Route,
    method: &Method,
    asked: Moment,
    answer: Answer,
) -> Response<Body> {
    app.vitals.answered(route, answer.code.as_u16(), app.clock.now().since(asked));
    let is_counted = answer.counted;
    let response = answer.fit_for(method).into_response();
    response.map(|body| if is_counted { body } else { body.counted(&shared.under_way) }.in_pieces())
}

/// The answer to `ask`.
pub(super) fn answer(ask: &Ask<'_>, app: &Arc<App>, shared: &Arc<Shared>, route: Route, name: &str) -> Reply {
    let snapshot = app.board.latest();
    if let Some(token) = &snapshot.plan.answers.token
        && access::needs_token(route)
        && !access::presents(ask.headers, token)
    {
        return Reply::Now(Answer::unauthorized());
    }
    if let Some(endpoint) = kubelet::probed(route)
        && kubelet::is_kubelet(ask.headers)
    {
        app.vitals.asks.note(endpoint, ask.reading);
        let moment = ask.reading.moment;
        if endpoint == Endpoint::Startupz && ask.is_read() {
            match app.start_ups.asked(moment, &snapshot) {
                ContainerNews::None => {}
                news => app.control.start_up(news, moment),
            }
        }
    }
    let snapshot = latest(app, ask);
    if ask.is_read()
        && ask.uri.query().is_none()
        && let Some(gate) = gate(route)
    {
        return Reply::Now(shared.standings.answer(gate, &snapshot, ask.reading).0);
    }
    if ask.is_read() && is_long(route, ask) {
        return in_turn(ask, app, shared, route);
    }
    Reply::Now(match route {
        Route::DaemonDrain => control::drain(ask, app, &snapshot),
        Route::Heartbeat => control::heartbeat(ask, app, &snapshot, name),
        Route::Unknown => Answer::not_found(snapshot.plan.answers.details),
        _ if !ask.is_read() => Answer::method_not_allowed(READ),
        Route::HealthStream => stream::health_stream(ask, app, &snapshot, shared),
        Route::Alive => health::alive(ask, &snapshot),
        Route::DaemonHealthy => daemon::healthy(ask, app),
        Route::DaemonReady => daemon::ready(&snapshot),
        Route::Stream => stream::event_stream(ask, app, &snapshot, &shared.streams),
        _ => return of_snapshot(ask, app, shared, &snapshot, route, name),
    })
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

/// What is answered from: the snapshot with the start-up that was asked for, also where it is not published yet.
pub(super) fn latest(app: &App, ask: &Ask<'_>) -> Arc<Snapshot> {
    app.start_ups.applied_to(app.board.latest(), ask.reading)
}

/// Whether an answer grows with the number of checks, or is long anyway, and is no gate as kubelet asks it.
fn is_long(route: Route, ask: &Ask<'_>) -> bool {
    match route {
        Route::Metrics
        | Route::Healthz
        | Route::HealthzCheck
        | Route::Health
        | Route::Services
        | Route::Service
        | Route::Events
        | Route::Ticks
        | Route::InternalHealth
        | Route::Badge => true,
        Route::Root => page::is_wanted(ask) || ask.query.has("format"),
        Route::Livez | Route::Readyz | Route::Startupz => ask.has_long_query() || ask.query.has("format"),
        Route::LivezCheck | Route::ReadyzCheck | Route::StartupzCheck | Route::Ready => ask.has_long_query(),
        _ => false,
    }
}

/// A long answer, made elsewhere, from the snapshot as it stands when its turn has come.
fn in_turn(ask: &Ask<'_>, app: &Arc<App>, shared: &Arc<Shared>, route: Route) -> Reply {
    let (waiting, app) = (Waiting::of(ask), Arc::clone(app));
    let long = shared.long.clone();
    let shared = Arc::clone(shared);
    let coming = long.begin(async move {
        let turn = shared.turns.next().await;
        let ask = waiting.ask();
        if route == Route::Metrics {
            return daemon::metrics(&ask, &app, &shared).await;
        }
        let (_, name) = routes::find(ask.uri.path());
        match of_snapshot(&ask, &app, &shared, &latest(&app, &ask), route, name) {
            Reply::Now(answer) => answer,
            Reply::Later(coming) => {
                // Whoever waits for a disk keeps nobody from a turn.
                drop(turn);
                coming.await
            }
        }
    });
    coming.map_or_else(|Full| Reply::Now(Answer::busy()), Reply::Later)
}

/// The answer to a request that only looks.
fn of_snapshot(
    ask: &Ask<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    snapshot: &Arc<Snapshot>,
    route: Route,
    name: &str,
) -> Reply {
    Reply::Now(match route {
        Route::Livez => health::gate(ask, snapshot, Endpoint::Livez, None),
        Route::LivezCheck => health::gate(ask, snapshot, Endpoint::Livez, Some(name)),
        Route::Readyz => health::gate(ask, snapshot, Endpoint::Readyz, None),
        Route::ReadyzCheck => health::gate(ask, snapshot, Endpoint::Readyz, Some(name)),
        Route::Startupz => health::gate(ask, snapshot, Endpoint::Startupz, None),
        Route::StartupzCheck => health::gate(ask, snapshot, Endpoint::Startupz, Some(name)),
        Route::Ready => health::ready(ask, snapshot),
        Route::Root => page::root(ask, snapshot),
        Route::Healthz => health::healthz(ask, snapshot, shared),
        Route::HealthzCheck => health::healthz_check(ask, snapshot, name),
        Route::Health => health::health(ask, snapshot, shared),
        Route::Services | Route::Service | Route::Events | Route::Ticks | Route::InternalHealth => {
            return v1::reply(ask, app, shared, snapshot, route, name);
        }
        Route::Badge => return badge::reply(ask, app, snapshot, name),
        _ => Answer::not_found(snapshot.plan.answers.details),
    })
}
