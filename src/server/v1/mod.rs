//! Events and history: what was, as JSON in one envelope.
//!
//! The history is asked by message. Figures are answered however its disk is; lists of events and ticks, and what
//! `?include=history` adds, may lie on it, so they are a [`HistoryLookup`]. The connection waits, and all others are
//! answered. A new list is a variant of [`lookup::LookupSubject`] and a shape.

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
use crate::base::clock::Moment;
use crate::history::answer::{HistoryUnavailable, ServiceRecord};
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
    let (app, shared, snapshot) = (Arc::clone(app), Arc::clone(shared), Arc::clone(snapshot));
    let request = HistoryRequest { app, shared, snapshot, with_history: wants_history(incoming) };
    let wanted = RequestedPage::of(incoming.query).map_err(RequestError::BadRequest);
    if let (Route::Services, Ok(page)) = (route, &wanted)
        && *page == RequestedPage::default()
    {
        return request.first_page(incoming.reading.moment);
    }
    let id = decode(id).into_owned();
    RouteResult::Later(Box::pin(async move {
        let answer = match route {
            Route::Events => request.list(LookupSubject::Events, &id, wanted).await,
            Route::Ticks => request.list(LookupSubject::Ticks, &id, wanted).await,
            Route::Service => request.service(&id).await,
            Route::Services => request.services(wanted, || None).await,
            _ => request.own_health().await,
        };
        answer.unwrap_or_else(RequestError::answer)
    }))
}

/// Why there is no answer.
enum RequestError {
    NotFound(String),
    BadRequest(String),
    Unavailable(HistoryUnavailable),
}

impl From<HistoryUnavailable> for RequestError {
    fn from(unavailable: HistoryUnavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

impl RequestError {
    fn answer(self) -> Answer {
        let (code, message) = match self {
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message),
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
        };
        enveloped(code, Some(EnvelopeContent::Message(message)))
    }
}

fn enveloped(code: StatusCode, content: Option<EnvelopeContent>) -> Answer {
    Answer::new(code, JSON, to_json(&Envelope::new(code, content)))
}

/// Whether the past of each check is to be told with it.
fn wants_history(incoming: &IncomingRequest<'_>) -> bool {
    incoming.query.all("include").any(|word| word == "history")
}

fn shown_url<'a>(plan: &Plan, check: &'a Definition) -> Option<&'a str> {
    check.target.as_deref().filter(|_| plan.answers.details == Details::Full)
}

/// What one request asks of the history. Nobody has a turn while the history is asked, so that nobody waits for it who
/// asks for something else; what it says is rendered in a turn.
struct HistoryRequest {
    app: Arc<App>,
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    with_history: bool,
}

impl HistoryRequest {
    /// `/v1/_internal/health`.
    async fn own_health(&self) -> Result<Answer, RequestError> {
        // No check is called that; only whether there is an answer matters.
        self.app.history.service("").await?;
        Ok(enveloped(StatusCode::OK, None))
    }

    /// The first page of `/v1/services`, which everybody asks for, is rendered once for all.
    fn first_page(self, asked: Moment) -> RouteResult {
        let kind = Kind::Services { with_history: self.with_history };
        let judged = Judged::new(&self.snapshot, asked);
        let (basis, now) = (Basis::of(&judged), judged.now);
        if let Some(kept) = self.shared.renderings.get(kind, &basis, now) {
            return RouteResult::Now(kept);
        }
        RouteResult::Later(Box::pin(async move {
            // One question to the disk for all who wait: whoever comes after it finds what was kept, also if that is an
            // error.
            let _turn = if self.with_history { Some(self.shared.past.next().await) } else { None };
            let kept = || self.shared.renderings.get(kind, &basis, now);
            if let Some(kept) = kept() {
                return kept;
            }
            let answer = match self.services(Ok(RequestedPage::default()), kept).await {
                Ok(answer) if answer.counted => return answer,
                Ok(answer) => answer,
                Err(problem) if self.with_history => problem.answer(),
                Err(problem) => return problem.answer(),
            };
            self.shared.renderings.keep(kind, basis, now, answer)
        }))
    }

    /// `/v1/services`, or what was `kept` of it meanwhile.
    async fn services(
        &self,
        wanted: Result<RequestedPage, RequestError>,
        kept: impl Fn() -> Option<Answer>,
    ) -> Result<Answer, RequestError> {
        let wanted = wanted?;
        let known = self.app.history.services().await?;
        let turn = self.shared.turns.next().await;
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        let rows = self.rows(known, wanted)?;
        if !self.with_history {
            return Ok(enveloped(StatusCode::OK, Some(EnvelopeContent::Services(rows))));
        }
        drop(turn);
        Ok(self.look_up(LookupSubject::Services(rows)).await)
    }

    fn rows(
        &self,
        known: Vec<ServiceRecord>,
        wanted: RequestedPage,
    ) -> Result<Rows<shape::ServiceObject>, RequestError> {
        let plan = &self.snapshot.plan;
        let mut known: HashMap<_, _> = known.into_iter().map(|service| (service.name.clone(), service)).collect();
        let listed: Vec<(&Definition, ServiceRecord)> =
            plan.checks.iter().filter_map(|check| Some((&**check, known.remove(&check.name)?))).collect();
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
        let row = |(check, service): &(&Definition, ServiceRecord)| {
            let mut row = shape::ServiceObject::of(service, shown_url(plan, check));
            row.definition = self.with_history.then(|| past::DefinitionObject::of(plan, check));
            row.transitions = self.with_history.then(|| self.transitions(check));
            row
        };
        let path = if self.with_history { "/v1/services?include=history" } else { "/v1/services" };
        let mut rows = Rows::new(part.iter().map(row).collect(), path, wanted.limit, next);
        rows.kubelet =
            self.with_history.then(|| past::KubeletObject::all(&self.app.daemon_metrics.asks, self.app.clock.now()));
        Ok(rows)
    }

    /// The last changes of the state of `check`.
    fn transitions(&self, check: &Definition) -> Vec<past::TransitionObject> {
        let (changes, plan) = (self.app.board.past_changes(), &self.snapshot.plan);
        let details = plan.answers.details;
        changes
            .of(&check.name, plan.former_name(check))
            .map(|change| past::TransitionObject::of(change, details))
            .collect()
    }

    /// `/v1/services/{id}`.
    async fn service(&self, id: &str) -> Result<Answer, RequestError> {
        let (check, service) = self.find(id).await?;
        let plan = &self.snapshot.plan;
        let mut shape = Box::new(shape::ServiceObject::of(&service, shown_url(plan, check)));
        if self.with_history {
            shape.definition = Some(past::DefinitionObject::of(plan, check));
            shape.transitions = Some(self.transitions(check));
            return Ok(self.look_up(LookupSubject::Service(shape)).await);
        }
        Ok(enveloped(StatusCode::OK, Some(EnvelopeContent::service(shape))))
    }

    /// `/v1/services/{id}/events` and `…/ticks`.
    async fn list(
        &self,
        subject: fn(u32, RequestedPage) -> LookupSubject,
        id: &str,
        wanted: Result<RequestedPage, RequestError>,
    ) -> Result<Answer, RequestError> {
        let wanted = wanted?;
        let (_, service) = self.find(id).await?;
        Ok(self.look_up(subject(service.id, wanted)).await)
    }

    /// The declared check with that number or name.
    async fn find(&self, id: &str) -> Result<(&Definition, ServiceRecord), RequestError> {
        let found = self.app.history.service(id).await?.and_then(|service| {
            let position = self.snapshot.plan.position(service.name.as_str())?;
            Some((&*self.snapshot.plan.checks[position], service))
        });
        found.ok_or_else(|| {
            let message = format!("no check has the number or the name {}; /v1/services lists them", quoted(id));
            RequestError::NotFound(message)
        })
    }

    async fn look_up(&self, subject: LookupSubject) -> Answer {
        let withheld = self.snapshot.plan.answers.details != Details::Full;
        let _turn = self.shared.lookups.next().await;
        HistoryLookup { history: self.app.history.clone(), subject, withheld }.answer().await
    }
}
