//! `application/health+json`, after draft-inadarei-api-health-check-06.

use std::borrow::Cow;

use serde::Serialize;

use super::{InOrder, millis, to_json};
use crate::model::index::CheckIndex;
use crate::model::plan::Details;
use crate::model::verdict::Verdict;
use crate::server::view::View;

#[derive(Serialize)]
struct HealthJsonReport<'a> {
    status: &'static str,
    #[serde(flatten)]
    about: Option<HealthJsonService<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'a, str>>,
    checks: InOrder<String, [HealthJsonCheck<'a>; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthJsonService<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    service_id: &'a str,
    description: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthJsonCheck<'a> {
    component_id: &'a str,
    component_type: &'static str,
    #[serde(flatten)]
    observed: Option<ObservedTime>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObservedTime {
    observed_value: u64,
    observed_unit: &'static str,
}

/// The report on an endpoint.
pub(super) fn body(view: &View<'_>) -> Vec<u8> {
    let service = &view.judged.snapshot.plan.service;
    to_json(&HealthJsonReport {
        status: word(view.judgement.verdict),
        about: (view.details() != Details::None).then(|| HealthJsonService {
            version: service.version.as_deref(),
            service_id: &service.name,
            description: format!("health of {}", service.name),
        }),
        output: (view.judgement.verdict != Verdict::Ok).then(|| view.explanation()),
        checks: InOrder(
            view.parts()
                .iter()
                .map(|part| (format!("{}:responseTime", view.name(part.check)), [check(view, part.check)]))
                .collect(),
        ),
    })
}

fn check<'a>(view: &View<'a>, index: CheckIndex) -> HealthJsonCheck<'a> {
    let last = view.judged.check(index).last.as_ref();
    let level = view.level(index);
    HealthJsonCheck {
        component_id: view.name(index),
        component_type: component_type(view.judged.definition(index).kind),
        observed: last
            .and_then(|last| last.took)
            .map(|took| ObservedTime { observed_value: millis(took), observed_unit: "ms" }),
        status: word(level),
        time: last.map(|last| last.wall.rfc3339()),
        output: (level != Verdict::Ok).then(|| view.told(index)),
    }
}

/// One of the three types that the draft knows, section 4.3.
fn component_type(kind: &str) -> &'static str {
    crate::probe::kind(kind).map_or("component", |kind| kind.component_type)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "pass",
        Verdict::Degraded => "warn",
        Verdict::Error => "fail",
    }
}
