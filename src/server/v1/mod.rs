//! Events and history: what was, as JSON in one envelope.
//!
//! Figures are there at once; lists of events and ticks, and what `?include=history` adds, may lie on a disk, so they
//! are a [`Lookup`], which the connection waits for while all others are answered. A new list is a variant of
//! [`lookup::Subject`] and a shape.

mod lookup;
mod page;
mod past;
mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;

use super::App;
use super::answer::{Answer, JSON, Reply};
use super::ask::Ask;
use super::query::decode;
use super::renderings::{Basis, Kind};
use super::reply::to_json;
use super::shared::Shared;
use super::warnings::quoted;
use crate::history::answer::{Away, Service};
use crate::metrics::Route;
use crate::model::plan::{Definition, Details, Plan};
use crate::model::snapshot::Snapshot;
use crate::model::verdict::Judged;
use lookup::{Lookup, Subject};
use page::Wanted;
use shape::{Content, Envelope, Rows};

/// The answer to `ask`, which is for one of the routes of history.
pub(super) fn reply(
    ask: &Ask<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    snapshot: &Arc<Snapshot>,
    route: Route,
    id: &str,
) -> Reply {
    if snapshot.plan.answers.details == Details::None {
        return Reply::Now(Answer::not_found(snapshot.plan.answers.details));
    }
    let reply = match route {
        Route::Events => list(ask, app, shared, snapshot, Subject::Events, id),
        Route::Ticks => list(ask, app, shared, snapshot, Subject::Ticks, id),
        Route::Service => service(ask, app, shared, snapshot, id),
        Route::Services => all_services(ask, app, shared, snapshot),
        _ => own_health(app).map(Reply::Now),
    };
    reply.unwrap_or_else(|problem| Reply::Now(problem.answer()))
}

/// Why there is no answer.
enum Problem {
    NotFound(String),
    BadRequest(String),
    Away(Away),
}

impl From<Away> for Problem {
    fn from(away: Away) -> Self {
        Self::Away(away)
    }
}

impl Problem {
    fn answer(self) -> Answer {
        let (code, message) = match self {
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message),
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::Away(away) => (StatusCode::SERVICE_UNAVAILABLE, away.to_string()),
        };
        enveloped(code, Some(Content::Message(message)))
    }
}

fn enveloped(code: StatusCode, content: Option<Content>) -> Answer {
    Answer::new(code, JSON, to_json(&Envelope::new(code, content)))
}

/// `/v1/_internal/health`.
fn own_health(app: &App) -> Result<Answer, Problem> {
    // No check is called that; only whether there is an answer matters.
    app.history.service("")?;
    Ok(enveloped(StatusCode::OK, None))
}

/// `/v1/services`; its first page, which everybody asks for, is rendered once for all.
fn all_services(
    ask: &Ask<'_>,
    app: &Arc<App>,
    shared: &Arc<Shared>,
    snapshot: &Arc<Snapshot>,
) -> Result<Reply, Problem> {
    let (wanted, with_history) = (Wanted::of(ask.query).map_err(Problem::BadRequest)?, wants_history(ask));
    if wanted != Wanted::default() {
        return services(app, shared, snapshot, wanted, with_history);
    }
    let kind = Kind::Services { with_history };
    let judged = Judged::new(snapshot, ask.reading.moment);
    let (basis, now) = (Basis::of(&judged), judged.now);
    if let Some(kept) = shared.renderings.get(kind, &basis, now) {
        return Ok(Reply::Now(kept));
    }
    if !with_history {
        let reply = services(app, shared, snapshot, wanted, with_history)?;
        return Ok(match reply {
            Reply::Now(answer) => Reply::Now(shared.renderings.keep(kind, basis, now, answer)),
            later @ Reply::Later(_) => later,
        });
    }
    let (app, shared, snapshot) = (Arc::clone(app), Arc::clone(shared), Arc::clone(snapshot));
    Ok(Reply::Later(Box::pin(async move {
        // One question to the disk for all who wait: whoever comes after it finds what was kept, also if that is an error.
        let _turn = shared.past.next().await;
        if let Some(kept) = shared.renderings.get(kind, &basis, now) {
            return kept;
        }
        let answer = match services(&app, &shared, &snapshot, wanted, with_history) {
            Ok(Reply::Now(answer)) => answer,
            Ok(Reply::Later(coming)) => coming.await,
            Err(problem) => problem.answer(),
        };
        shared.renderings.keep(kind, basis, now, answer)
    })))
}

fn services(
    app: &App,
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    wanted: Wanted,
    includes: bool,
) -> Result<Reply, Problem> {
    let mut known: HashMap<_, _> =
        app.history.services()?.into_iter().map(|service| (service.name.clone(), service)).collect();
    let checks = snapshot.plan.checks.iter();
    let listed: Vec<(&Definition, Service)> =
        checks.filter_map(|check| Some((&**check, known.remove(&check.name)?))).collect();
    let begin = match wanted.before {
        None => 0,
        Some(before) => {
            1 + listed.iter().position(|(_, service)| u64::from(service.id) == before).ok_or_else(|| {
                Problem::BadRequest(format!("before is {before}, which is no check's number; ask without it again"))
            })?
        }
    };
    let rest = &listed[begin..];
    let part = &rest[..rest.len().min(wanted.limit)];
    let next = part.last().filter(|_| part.len() < rest.len()).map(|(_, service)| u64::from(service.id));
    let row = |(check, service): &(&Definition, Service)| {
        let mut row = shape::Service::of(service, shown_url(&snapshot.plan, check));
        row.definition = includes.then(|| past::Definition::of(&snapshot.plan, check));
        row
    };
    let rows = part.iter().map(row).collect();
    if includes {
        let rows = Rows::new(rows, "/v1/services?include=history", wanted.limit, next);
        return Ok(later(app, shared, snapshot, Subject::Services(rows)));
    }
    let rows = Rows::new(rows, "/v1/services", wanted.limit, next);
    Ok(Reply::Now(enveloped(StatusCode::OK, Some(Content::Services(rows)))))
}

/// Whether the past of each check is to be told with it.
fn wants_history(ask: &Ask<'_>) -> bool {
    ask.query.all("include").any(|word| word == "history")
}

/// `/v1/services/{id}`.
fn service(ask: &Ask<'_>, app: &App, shared: &Arc<Shared>, snapshot: &Snapshot, id: &str) -> Result<Reply, Problem> {
    let (check, service) = find(app, snapshot, id)?;
    let mut shape = Box::new(shape::Service::of(&service, shown_url(&snapshot.plan, check)));
    if wants_history(ask) {
        shape.definition = Some(past::Definition::of(&snapshot.plan, check));
        return Ok(later(app, shared, snapshot, Subject::Service(shape)));
    }
    Ok(Reply::Now(enveloped(StatusCode::OK, Some(Content::service(shape)))))
}

/// The declared check with that number or name.
fn find<'a>(app: &App, snapshot: &'a Snapshot, id: &str) -> Result<(&'a Definition, Service), Problem> {
    let id = decode(id);
    let found = app.history.service(&id)?.and_then(|service| {
        let position = snapshot.plan.position(service.name.as_str())?;
        Some((&*snapshot.plan.checks[position], service))
    });
    found.ok_or_else(|| {
        let message = format!("no check has the number or the name {}; /v1/services lists them", quoted(&id));
        Problem::NotFound(message)
    })
}

fn shown_url<'a>(plan: &Plan, check: &'a Definition) -> Option<&'a str> {
    check.target.as_deref().filter(|_| plan.answers.details == Details::Full)
}

fn list(
    ask: &Ask<'_>,
    app: &App,
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    subject: fn(u32, Wanted) -> Subject,
    id: &str,
) -> Result<Reply, Problem> {
    let wanted = Wanted::of(ask.query).map_err(Problem::BadRequest)?;
    let (_, service) = find(app, snapshot, id)?;
    Ok(later(app, shared, snapshot, subject(service.id, wanted)))
}

fn later(app: &App, shared: &Arc<Shared>, snapshot: &Snapshot, subject: Subject) -> Reply {
    let withheld = snapshot.plan.answers.details != Details::Full;
    let lookup = Lookup { history: app.history.clone(), subject, withheld };
    let lookups = shared.lookups.clone();
    Reply::Later(Box::pin(async move {
        let _turn = lookups.next().await;
        lookup.answer().await
    }))
}
