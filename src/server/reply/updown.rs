//! JSON for consumers of UP and DOWN.

use std::borrow::Cow;

use serde::Serialize;

use super::{InOrder, millis, to_json};
use crate::model::index::CheckIndex;
use crate::model::plan::Details;
use crate::model::verdict::Verdict;
use crate::server::view::View;

#[derive(Serialize)]
struct UpDownReport<'a> {
    status: &'static str,
    message: Cow<'a, str>,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    dependencies: InOrder<&'a str, Dependency<'a>>,
}

#[derive(Serialize)]
struct Dependency<'a> {
    status: &'static str,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_time_ms: Option<u64>,
}

/// The report on an endpoint.
pub(super) fn body(view: &View<'_>) -> Vec<u8> {
    let dependency = |index: CheckIndex| Dependency {
        // Critical or not: the whole says what that means.
        status: word(view.judged.status(index)),
        message: view.told(index),
        response_time_ms: view.judged.check(index).last.as_ref().and_then(|last| last.took).map(millis),
    };
    let version = view.judged.snapshot.plan.service.version.as_deref();
    to_json(&UpDownReport {
        status: word(view.judgement.verdict),
        message: view.explanation(),
        timestamp: view.reading.wall.rfc3339(),
        version: version.filter(|_| view.details() != Details::None),
        dependencies: InOrder(
            view.parts().iter().map(|part| (view.name(part.check), dependency(part.check))).collect(),
        ),
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "UP",
        Verdict::Degraded => "DEGRADED",
        Verdict::Error => "DOWN",
    }
}
