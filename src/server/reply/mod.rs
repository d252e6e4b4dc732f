//! One format each. A new one is a file here, a name in [`AnswerFormat`], and a line in [`reply`].

pub(super) mod endpoints;
pub(super) mod gate_text;
pub(super) mod health;
mod health_json;
pub(super) mod json;
mod number;
mod ready;
mod table;
mod updown;

pub(super) use number::{Number, millis_of};
pub(super) use ready::ready;

use std::time::Duration;

use serde::Serialize;

use super::answer::{Answer, JSON, TEXT};
use super::negotiate::AnswerFormat;
use super::view::View;
use super::warnings::Warnings;
use crate::model::verdict::Endpoint;

/// The answer about an endpoint, in `format`.
pub(super) fn reply(view: &View<'_>, format: AnswerFormat, verbose: bool, warnings: &Warnings) -> Answer {
    let (content_type, body) = match format {
        AnswerFormat::Text if view.judgement.endpoint == Endpoint::Healthz => (TEXT, table::body(view).into()),
        AnswerFormat::Text => (TEXT, gate_text::body(view, verbose, warnings)),
        AnswerFormat::Json => (JSON, json::body(view, warnings).into()),
        AnswerFormat::HealthJson => ("application/health+json", health_json::body(view).into()),
        AnswerFormat::Updown => (JSON, updown::body(view).into()),
    };
    Answer::health(view.judgement.verdict, view.down(), content_type, body)
}

/// `value` as JSON.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("the answers are structures of text and numbers with text as keys")
}

/// A duration in whole milliseconds, rounded.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().saturating_add(500) / 1000).unwrap_or(u64::MAX)
}

/// Entries written as one JSON object, in their order.
struct InOrder<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for InOrder<K, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
