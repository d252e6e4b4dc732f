//! Questions to the history that the connection waits for.

use std::time::Duration;

use hyper::StatusCode;

use super::page::RequestedPage;
use super::shape::{self, EnvelopeContent, Rows};
use super::{RequestError, enveloped, past};
use crate::history::History;
use crate::history::answer::{HistoryUnavailable, Recall};
use crate::server::answer::Answer;

/// What `?include=history` tells of every check.
const RECALL: Recall = Recall { intervals: 90, runs: 40 };
/// The spans of time that it tells of one check, and in how many slices.
const SPANS: [(&str, Duration); 3] = [
    ("1h", Duration::from_secs(3600)),
    ("24h", Duration::from_secs(24 * 3600)),
    ("7d", Duration::from_secs(7 * 24 * 3600)),
];
const SLICES: u32 = 90;

/// A question to the history.
#[derive(Debug)]
pub(in crate::server) struct HistoryLookup {
    pub(super) history: History,
    pub(super) subject: LookupSubject,
    pub(super) withheld: bool,
}

/// What it is about.
#[derive(Debug)]
pub(super) enum LookupSubject {
    /// A part of the events of the check with that number.
    Events(u32, RequestedPage),
    /// A part of its runs.
    Ticks(u32, RequestedPage),
    /// How it went lately with these checks.
    Services(Rows<shape::ServiceObject>),
    /// All that is told of one check.
    Service(Box<shape::ServiceObject>),
}

impl HistoryLookup {
    /// The answer, which takes no longer than the history has patience for.
    pub(in crate::server) async fn answer(self) -> Answer {
        self.content().await.map_or_else(
            |why| RequestError::Unavailable(why).answer(),
            |content| enveloped(StatusCode::OK, Some(content)),
        )
    }

    async fn content(self) -> Result<EnvelopeContent, HistoryUnavailable> {
        let Self { history, subject, withheld } = self;
        match subject {
            LookupSubject::Events(check, wanted) => {
                let part = history.events(check, wanted.page()).await?;
                let rows = part.items.iter().map(shape::EventObject::of).collect();
                let path = format!("/v1/services/{check}/events");
                Ok(EnvelopeContent::Events(Rows::new(rows, &path, wanted.limit, part.next)))
            }
            LookupSubject::Ticks(check, wanted) => {
                let part = history.ticks(check, wanted.page()).await?;
                let rows = part.items.into_iter().map(|tick| shape::TickObject::of(tick, withheld)).collect();
                let path = format!("/v1/services/{check}/ticks");
                Ok(EnvelopeContent::Ticks(Rows::new(rows, &path, wanted.limit, part.next)))
            }
            LookupSubject::Services(mut rows) => {
                let checks: Vec<u32> = rows.data.iter().map(|service| service.id).collect();
                let recent = history.recent(&checks, RECALL).await?;
                for (service, recent) in rows.data.iter_mut().zip(&recent) {
                    service.history = Some(past::HistoryObject::of(recent));
                }
                Ok(EnvelopeContent::Services(rows))
            }
            LookupSubject::Service(mut service) => {
                let recent = history.recent(&[service.id], RECALL).await?;
                let mut past = recent.first().map(past::HistoryObject::of).unwrap_or_default();
                let mut windows = Vec::with_capacity(SPANS.len());
                for (name, span) in SPANS {
                    windows.push(past::WindowObject::of(name, &history.span(service.id, span, SLICES).await?));
                }
                past.windows = Some(windows);
                service.history = Some(past);
                Ok(EnvelopeContent::service(service))
            }
        }
    }
}
