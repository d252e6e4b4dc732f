//! `/health` and its stream.

use std::borrow::Cow;

use serde::Serialize;

use super::{InOrder, to_json};
use crate::model::index::CheckIndex;
use crate::model::verdict::Verdict;
use crate::server::view::View;

#[derive(Serialize)]
struct HealthReport<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<InOrder<&'a str, HealthReportCheck<'a>>>,
}

#[derive(Serialize)]
struct HealthReportCheck<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
}

/// The report on `/healthz`, in three words.
pub(in crate::server) fn body(view: &View<'_>) -> Vec<u8> {
    let check = |index: CheckIndex| {
        let level = view.level(index);
        HealthReportCheck { state: word(level), message: (level != Verdict::Ok).then(|| view.told(index)) }
    };
    let checks =
        InOrder(view.parts().iter().map(|part| (view.name(part.check), check(part.check))).collect::<Vec<_>>());
    to_json(&HealthReport {
        status: word(view.judgement.verdict),
        message: view.missing().map(|_| view.summary()),
        checks: (!view.judged.is_empty()).then_some(checks),
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "healthy",
        Verdict::Degraded => "degraded",
        Verdict::Error => "unhealthy",
    }
}
