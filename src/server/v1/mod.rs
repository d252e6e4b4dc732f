//! Events and history: what was, as JSON in one envelope.
//!
//! Figures are there at once; lists of events and ticks, and what `?include=history` adds, may lie on a disk, so they
//! are a [`HistoryLookup`], which the connection waits for while all others are answered. A new list is a variant of
//! [`lookup::LookupSubject`] and a shape.

mod lookup;
mod page;
mod past;
mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;

use super::App;
use super::answer::{Answer, JSON, RouteResult};
use super::query::decode;
use super::renderings::{Basis, Kind};
use super::reply::to_json;
use super::request::IncomingRequest;
use super::shared::Shared;
use super::warnings::quoted;
use crate::history::answer::{Away, Service};
use crate::model::plan::{Definition, Details, Plan};
use crate::model::route::Route;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::Judged;
use lookup::{HistoryLookup, LookupSubject};
use page::RequestedPage;
use shape::{Envelope, EnvelopeContent, Rows};

/// The answer to `incoming`, which is for one of the routes of history.
pub(super) fn reply(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    snapshot: &Arc<Snapshot>,
    route: Route,
    id: &str,
) -> RouteResult {
    if snapshot.plan.answers.details == Details::None {
        return RouteResult::Now(Answer::not_found(incoming.routes, snapshot.plan.answers.details));
    }
    let reply = match route {
        Route::Events => list(incoming, app, shared, snapshot, LookupSubject::Events, id),
        Route::Ticks => list(incoming, app, shared, snapshot, LookupSubject::Ticks, id),
        Route::Service => service(incoming, app, shared, snapshot, id),
        Route::Services => all_services(incoming, app, shared, snapshot),
        _ => own_health(app).map(RouteResult::Now),
    };
    reply.unwrap_or_else(|problem| RouteResult::Now(problem.answer()))
}

/// Why there is no answer.
enum RequestError {
    NotFound(String),
    BadRequest(String),
    Away(Away),
}

impl From<Away> for RequestError {
    fn from(away: Away) -> Self {
        Self::Away(away)
    }
}

impl RequestError {
    fn answer(self) -> Answer {
        let (code, message) = match self {
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message),
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::Away(away) => (StatusCode::SERVICE_UNAVAILABLE, away.to_string()),
        };
        enveloped(code, Some(EnvelopeContent::Message(message)))
    }
}

fn enveloped(code: StatusCode, content: Option<EnvelopeContent>) -> Answer {
    Answer::new(code, JSON, to_json(&Envelope::new(code, content)))
}

/// `/v1/_internal/health`.
fn own_health(app: &App) -> Result<Answer, RequestError> {
    // No check is called that; only whether there is an answer matters.
    app.history.service("")?;
    Ok(enveloped(StatusCode::OK, None))
}

/// `/v1/services`; its first page, which everybody asks for, is rendered once for all.
fn all_services(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    snapshot: &Arc<Snapshot>,
) -> Result<RouteResult, RequestError> {
    let (wanted, with_history) =
        (RequestedPage::of(incoming.query).map_err(RequestError::BadRequest)?, wants_history(incoming));
    if wanted != RequestedPage::default() {
        return services(app, shared, snapshot, wanted, with_history);
    }
    let kind = Kind::Services { with_history };
    let judged = Judged::new(snapshot, incoming.reading.moment);
    let (basis, now) = (Basis::of(&judged), judged.now);
    if let Some(kept) = shared.renderings.get(kind, &basis, now) {
        return Ok(RouteResult::Now(kept));
    }
    if !with_history {
        let reply = services(app, shared, snapshot, wanted, with_history)?;
        return Ok(match reply {
            RouteResult::Now(answer) => RouteResult::Now(shared.renderings.keep(kind, basis, now, answer)),
            later @ RouteResult::Later(_) => later,
        });
    }
    let (app, shared, snapshot) = (Arc::clone(app), Arc::clone(shared), Arc::clone(snapshot));
    Ok(RouteResult::Later(Box::pin(async move {
        // One question to the disk for all who wait: whoever comes after it finds what was kept, also if that is an
        // error.
        let _turn = shared.past.next().await;
        if let Some(kept) = shared.renderings.get(kind, &basis, now) {
            return kept;
        }
        let answer = match services(&app, &shared, &snapshot, wanted, with_history) {
            Ok(RouteResult::Now(answer)) => answer,
            Ok(RouteResult::Later(coming)) => coming.await,
            Err(problem) => problem.answer(),
        };
        shared.renderings.keep(kind, basis, now, answer)
    })))
}

fn services(
    app: &App,
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    wanted: RequestedPage,
    includes: bool,
) -> Result<RouteResult, RequestError> {
    let mut known: HashMap<_, _> =
        app.history.services()?.into_iter().map(|service| (service.name.clone(), service)).collect();
    let checks = snapshot.plan.checks.iter();
    let listed: Vec<(&Definition, Service)> =
        checks.filter_map(|check| Some((&**check, known.remove(&check.name)?))).collect();
    let begin = match wanted.before {
        None => 0,
        Some(before) => {
            1 + listed.iter().position(|(_, service)| u64::from(service.id) == before).ok_or_else(|| {
                RequestError::BadRequest(format!(
                    "before is {before}, which is no check's number; ask without it again"
                ))
            })?
        }
    };
    let rest = &listed[begin..];
    let part = &rest[..rest.len().min(wanted.limit)];
    let next = part.last().filter(|_| part.len() < rest.len()).map(|(_, service)| u64::from(service.id));
    let row = |(check, service): &(&Definition, Service)| {
        let mut row = shape::ServiceObject::of(service, shown_url(&snapshot.plan, check));
        row.definition = includes.then(|| past::DefinitionObject::of(&snapshot.plan, check));
        row
    };
    let rows = part.iter().map(row).collect();
    if includes {
        let rows = Rows::new(rows, "/v1/services?include=history", wanted.limit, next);
        return Ok(later(app, shared, snapshot, LookupSubject::Services(rows)));
    }
    let rows = Rows::new(rows, "/v1/services", wanted.limit, next);
    Ok(RouteResult::Now(enveloped(StatusCode::OK, Some(EnvelopeContent::Services(rows)))))
}

/// Whether the past of each check is to be told with it.
fn wants_history(incoming: &IncomingRequest<'_>) -> bool {
    incoming.query.all("include").any(|word| word == "history")
}

/// `/v1/services/{id}`.
fn service(
    incoming: &IncomingRequest<'_>,
    app: &App,
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    id: &str,
) -> Result<RouteResult, RequestError> {
    let (check, service) = find(app, snapshot, id)?;
    let mut shape = Box::new(shape::ServiceObject::of(&service, shown_url(&snapshot.plan, check)));
    if wants_history(incoming) {
        shape.definition = Some(past::DefinitionObject::of(&snapshot.plan, check));
        return Ok(later(app, shared, snapshot, LookupSubject::Service(shape)));
    }
    Ok(RouteResult::Now(enveloped(StatusCode::OK, Some(EnvelopeContent::service(shape)))))
}

/// The declared check with that number or name.
fn find<'a>(app: &App, snapshot: &'a Snapshot, id: &str) -> Result<(&'a Definition, Service), RequestError> {
    let id = decode(id);
    let found = app.history.service(&id)?.and_then(|service| {
        let position = snapshot.plan.position(service.name.as_str())?;
        Some((&*snapshot.plan.checks[position], service))
    });
    found.ok_or_else(|| {
        let message = format!("no check has the number or the name {}; /v1/services lists them", quoted(&id));
        RequestError::NotFound(message)
    })
}

fn shown_url<'a>(plan: &Plan, check: &'a Definition) -> Option<&'a str> {
    check.target.as_deref().filter(|_| plan.answers.details == Details::Full)
}

fn list(
    incoming: &IncomingRequest<'_>,
    app: &App,
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    subject: fn(u32, RequestedPage) -> LookupSubject,
    id: &str,
) -> Result<RouteResult, RequestError> {
    let wanted = RequestedPage::of(incoming.query).map_err(RequestError::BadRequest)?;
    let (_, service) = find(app, snapshot, id)?;
    Ok(later(app, shared, snapshot, subject(service.id, wanted)))
}

fn later(app: &App, shared: &Arc<Shared>, snapshot: &Snapshot, subject: LookupSubject) -> RouteResult {
    let withheld = snapshot.plan.answers.details != Details::Full;
    let lookup = HistoryLookup { history: app.history.clone(), subject, withheld };
    let lookups = shared.lookups.clone();
    RouteResult::Later(Box::pin(async move {
        let _turn = lookups.next().await;
        lookup.answer().await
    }))
}
