//! From a request to its answer: at once from the snapshot as it stands, but for what lies in the past.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::answer::{Answer, READ, Reply};
use super::ask::{Ask, Ends};
use super::body::Body;
use super::query::Query;
use super::stream::{self, Streams};
use super::{App, badge, control, daemon, health, kubelet, page, routes, v1};
use crate::base::clock::Moment;
use crate::metrics::Route;
use crate::model::verdict::Endpoint;

/// A response, or the way to one.
pub(super) enum Responding {
    /// It is there.
    Now(Response<Body>),
    /// The history has to be asked for it.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

/// Answers the request with that head, and counts the answer.
pub(super) fn respond(app: &Arc<App>, streams: &Arc<Streams>, ends: Ends, head: &Parts) -> Responding {
    let reading = app.clock.read();
    let (route, name) = routes::find(head.uri.path());
    let query = Query::new(head.uri.query());
    let ask = Ask { method: &head.method, uri: &head.uri, query, headers: &head.headers, ends, reading };
    match answer(&ask, app, streams, route, name) {
        Reply::Now(answer) => Responding::Now(respond_with(app, route, &head.method, reading.moment, answer)),
        Reply::Later(coming) => {
            let (app, method) = (Arc::clone(app), head.method.clone());
            Responding::Later(Box::pin(async move {
                let answer = coming.await;
                respond_with(&app, route, &method, reading.moment, answer)
            }))
        }
    }
}

fn respond_with(app: &App, route: Route, method: &Method, asked: Moment, answer: Answer) -> Response<Body> {
    app.vitals.answered(route, answer.code.as_u16(), app.clock.now().since(asked));
    answer.fit_for(method).into_response()
}

/// The answer to `ask`.
pub(super) fn answer(ask: &Ask<'_>, app: &Arc<App>, streams: &Arc<Streams>, route: Route, name: &str) -> Reply {
    let snapshot = app.board.latest();
    if let Some(endpoint) = kubelet::probed(route)
        && kubelet::is_kubelet(ask.headers)
    {
        app.vitals.asks.note(endpoint, ask.reading);
        let moment = ask.reading.moment;
        if endpoint == Endpoint::Startupz && ask.is_read() && app.start_ups.asked(moment, &snapshot) {
            app.control.start_up(moment);
        }
    }
    let snapshot = app.start_ups.applied_to(snapshot, ask.reading);
    Reply::Now(match route {
        Route::DaemonDrain => control::drain(ask, app, &snapshot),
        Route::Heartbeat => control::heartbeat(ask, app, &snapshot, name),
        Route::Unknown => Answer::not_found(),
        _ if !ask.is_read() => Answer::method_not_allowed(READ),
        Route::Livez => health::gate(ask, &snapshot, Endpoint::Livez, None),
        Route::LivezCheck => health::gate(ask, &snapshot, Endpoint::Livez, Some(name)),
        Route::Readyz => health::gate(ask, &snapshot, Endpoint::Readyz, None),
        Route::Root => page::root(ask, &snapshot),
        Route::ReadyzCheck => health::gate(ask, &snapshot, Endpoint::Readyz, Some(name)),
        Route::Startupz => health::gate(ask, &snapshot, Endpoint::Startupz, None),
        Route::StartupzCheck => health::gate(ask, &snapshot, Endpoint::Startupz, Some(name)),
        Route::Healthz => health::healthz(ask, &snapshot),
        Route::Health => health::health(ask, &snapshot),
        Route::HealthStream => stream::health_stream(ask, app, &snapshot, streams),
        Route::Alive => health::alive(ask, &snapshot),
        Route::Ready => health::ready(ask, &snapshot),
        Route::DaemonHealthy => daemon::healthy(ask, app),
        Route::DaemonReady => daemon::ready(&snapshot),
        Route::Metrics => daemon::metrics(ask, app, &snapshot),
        Route::Stream => stream::event_stream(ask, app, &snapshot, streams),
        Route::Services | Route::Service | Route::Events | Route::Ticks | Route::InternalHealth => {
            return v1::reply(ask, app, &snapshot, route, name);
        }
        Route::Badge => return badge::reply(ask, app, &snapshot, name),
    })
}
