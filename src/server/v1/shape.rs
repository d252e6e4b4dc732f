//! The JSON of history, member by member.

use hyper::StatusCode;
use serde::Serialize;

use super::past;
use crate::base::clock::Timestamp;
use crate::history::{answer, ledger};
use crate::model::outcome::FailureKind;
use crate::server::reply::{Number, millis_of};
use crate::server::view::WITHHELD;

/// What every answer of this API is wrapped in.
#[derive(Serialize)]
pub(super) struct Envelope {
    status: u16,
    status_desc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<EnvelopeContent>,
}

impl Envelope {
    /// An answer with that code.
    pub(super) fn new(code: StatusCode, data: Option<EnvelopeContent>) -> Self {
        Self { status: code.as_u16(), status_desc: code.canonical_reason().unwrap_or_default(), data }
    }
}

/// What is in it, under its own name.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EnvelopeContent {
    Services(Rows<ServiceObject>),
    Service(One<Box<ServiceObject>>),
    Events(Rows<EventObject>),
    Ticks(Rows<TickObject>),
    /// Why there is nothing else.
    Message(String),
}

impl EnvelopeContent {
    /// A check alone.
    pub(super) fn service(service: Box<ServiceObject>) -> Self {
        Self::Service(One { data: service })
    }
}

/// One thing.
#[derive(Debug, Serialize)]
pub(super) struct One<T> {
    pub(super) data: T,
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(super) struct Rows<T> {
    pub(super) data: Vec<T>,
    next: Option<String>,
    /// Where history is asked for: how kubelet asks the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kubelet: Option<Vec<past::KubeletObject>>,
}

impl<T> Rows<T> {
    /// Rows of the list at `path`; `next` is the number of the last one, where there are more.
    pub(super) fn new(data: Vec<T>, path: &str, limit: usize, next: Option<u64>) -> Self {
        let begin = if path.contains('?') { '&' } else { '?' };
        Self { data, next: next.map(|before| format!("{path}{begin}limit={limit}&before={before}")), kubelet: None }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ServiceObject {
    pub(super) id: u32,
    name: String,
    url: Option<String>,
    created_at: i64,
    updated_at: i64,
    current_status: EventObject,
    latest_event: One<EventObject>,
    metric: One<MetricObject>,
    /// Single runs or events before this had to be let go, because memory is bounded; absent where none had to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_since: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) definition: Option<past::DefinitionObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<past::HistoryObject>,
    /// With the history: the last changes of state since the daemon's start, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transitions: Option<Vec<past::TransitionObject>>,
}

impl ServiceObject {
    pub(super) fn of(service: &answer::ServiceRecord, url: Option<&str>) -> Self {
        Self {
            id: service.id,
            name: service.name.as_str().to_owned(),
            url: url.map(str::to_owned),
            created_at: service.created_at.whole_seconds(),
            updated_at: service.updated_at.whole_seconds(),
            current_status: EventObject::of(&service.current_status),
            latest_event: One { data: EventObject::of(&service.current_status) },
            metric: One { data: MetricObject::of(&service.metric) },
            kept_since: service.kept_since.map(Timestamp::whole_seconds),
            definition: None,
            history: None,
            transitions: None,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct EventObject {
    id: u64,
    event: &'static str,
    date_started: i64,
    date_ended: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl EventObject {
    pub(super) fn of(event: &ledger::Event) -> Self {
        let (from, to) = (event.from.whole_seconds(), event.to.map(Timestamp::whole_seconds));
        let kind = event.kind.label();
        Self {
            id: event.id,
            event: kind,
            date_started: from,
            date_ended: to,
            created_at: from,
            updated_at: to.unwrap_or(from),
        }
    }
}

#[derive(Debug, Serialize)]
struct MetricObject {
    average_response_time_ms: Option<Number>,
    down_count: u64,
    tick_count: u64,
    up_count: u64,
    uptime_percent: Option<Number>,
    coverage_percent: Option<Number>,
}

impl MetricObject {
    fn of(metric: &answer::CheckMetrics) -> Self {
        Self {
            average_response_time_ms: metric.average_response_time_ms.map(Number::to_the_thousandth),
            down_count: metric.down_count,
            tick_count: metric.tick_count,
            up_count: metric.up_count,
            uptime_percent: metric.uptime_percent.map(Number::percent),
            coverage_percent: metric.coverage_percent.map(Number::percent),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct TickObject {
    id: u64,
    created_at: i64,
    outcome: &'static str,
    response_time_ms: Option<Number>,
    reason: Option<&'static str>,
    message: Box<str>,
}

impl TickObject {
    pub(super) fn of(tick: answer::Tick, withheld: bool) -> Self {
        Self {
            id: tick.id,
            created_at: tick.at.whole_seconds(),
            outcome: tick.outcome.label(),
            response_time_ms: tick.response_time.map(millis_of),
            reason: tick.reason.map(FailureKind::label),
            message: if withheld { WITHHELD.into() } else { tick.message },
        }
    }
}
