//! Events and history: what was, as JSON in one envelope.
//!
//! Figures are there at once; lists of events and ticks may lie on a disk, so they are a [`Lookup`], which the
//! connection waits for while all others are answered. A new list is a variant of [`List`] and a shape.

mod page;
mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;

use super::App;
use super::answer::{Answer, JSON, Reply};
use super::ask::Ask;
use super::query::decode;
use super::reply::to_json;
use super::warnings::quoted;
use crate::history::History;
use crate::history::answer::{Away, Service};
use crate::metrics::Route;
use crate::model::plan::{Definition, Details, Plan};
use crate::model::snapshot::Snapshot;
use page::Wanted;
use shape::{Content, Envelope, Rows};

/// The answer to `ask`, which is for one of the routes of history.
pub(super) fn reply(ask: &Ask<'_>, app: &Arc<App>, snapshot: &Snapshot, route: Route, id: &str) -> Reply {
    if snapshot.plan.answers.details == Details::None {
        return Reply::Now(Answer::not_found());
    }
    let reply = match route {
        Route::Events => lookup(ask, app, snapshot, List::Events, id),
        Route::Ticks => lookup(ask, app, snapshot, List::Ticks, id),
        Route::Service => service(app, snapshot, id).map(Reply::Now),
        Route::Services => services(ask, app, snapshot).map(Reply::Now),
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

fn enveloped(code: StatusCode, content: Option<Content<'_>>) -> Answer {
    Answer::new(code, JSON, to_json(&Envelope::new(code, content)))
}

/// `/v1/_internal/health`.
fn own_health(app: &App) -> Result<Answer, Problem> {
    // No check is called that; only whether there is an answer matters.
    app.history.service("")?;
    Ok(enveloped(StatusCode::OK, None))
}

/// `/v1/services`.
fn services(ask: &Ask<'_>, app: &App, snapshot: &Snapshot) -> Result<Answer, Problem> {
    let wanted = Wanted::of(ask.query).map_err(Problem::BadRequest)?;
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
    let url = |check| shown_url(&snapshot.plan, check);
    let rows = part.iter().map(|(check, service)| shape::Service::of(service, url(check))).collect();
    Ok(enveloped(StatusCode::OK, Some(Content::Services(Rows::new(rows, "/v1/services", wanted.limit, next)))))
}

/// `/v1/services/{id}`.
fn service(app: &App, snapshot: &Snapshot, id: &str) -> Result<Answer, Problem> {
    let (check, service) = find(app, snapshot, id)?;
    let shape = shape::Service::of(&service, shown_url(&snapshot.plan, check));
    Ok(enveloped(StatusCode::OK, Some(Content::Service(Box::new(shape::One { data: shape })))))
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

fn lookup(ask: &Ask<'_>, app: &App, snapshot: &Snapshot, list: List, id: &str) -> Result<Reply, Problem> {
    let wanted = Wanted::of(ask.query).map_err(Problem::BadRequest)?;
    let (_, service) = find(app, snapshot, id)?;
    let withheld = snapshot.plan.answers.details != Details::Full;
    let lookup = Lookup { history: app.history.clone(), list, service: service.id, wanted, withheld };
    Ok(Reply::Later(Box::pin(lookup.answer())))
}

#[derive(Clone, Copy, Debug)]
enum List {
    Events,
    Ticks,
}

/// A question to the history.
#[derive(Debug)]
struct Lookup {
    history: History,
    list: List,
    service: u32,
    wanted: Wanted,
    withheld: bool,
}

impl Lookup {
    /// The answer, which takes no longer than the history has patience for.
    async fn answer(self) -> Answer {
        self.content()
            .await
            .map_or_else(|away| Problem::Away(away).answer(), |content| enveloped(StatusCode::OK, Some(content)))
    }

    async fn content(&self) -> Result<Content<'static>, Away> {
        let (page, limit) = (self.wanted.page(), self.wanted.limit);
        match self.list {
            List::Events => {
                let part = self.history.events(self.service, page).await?;
                let rows = part.items.iter().map(shape::Event::of).collect();
                let path = format!("/v1/services/{}/events", self.service);
                Ok(Content::Events(Rows::new(rows, &path, limit, part.next)))
            }
            List::Ticks => {
                let part = self.history.ticks(self.service, page).await?;
                let rows = part.items.into_iter().map(|tick| shape::Tick::of(tick, self.withheld)).collect();
                let path = format!("/v1/services/{}/ticks", self.service);
                Ok(Content::Ticks(Rows::new(rows, &path, limit, part.next)))
            }
        }
    }
}
