//! The full JSON of an endpoint.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::endpoints::{EndpointVerdict, judgements, standings};
use super::{InOrder, millis, to_json};
use crate::base::clock::Timestamp;
use crate::model::index::CheckIndex;
use crate::model::outcome::StepReport;
use crate::model::plan::{Critical, Details};
use crate::model::verdict::{Endpoint, EndpointPart, JudgedState};
use crate::server::view::{View, WITHHELD};
use crate::server::warnings::Warnings;

/// Members in the order of the contract.
#[derive(Serialize)]
struct JsonReport<'a> {
    status: &'static str,
    data: JsonData<'a>,
    checks: Vec<JsonCheck<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disabled: Vec<JsonDisabled<'a>>,
    #[serde(flatten)]
    about: Option<JsonService<'a>>,
    timestamp: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// A check that is switched off.
#[derive(Serialize)]
struct JsonDisabled<'a> {
    name: &'a str,
    kind: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct JsonData<'a> {
    message: Cow<'a, str>,
}

/// What is left out where only the verdict may be told.
#[derive(Serialize)]
struct JsonService<'a> {
    root_causes: Vec<&'a str>,
    service: &'a str,
    instance: &'a str,
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<InOrder<&'a str, &'a str>>,
    /// On the answer about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<EndpointVerdict<'a>>>,
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    name: &'a str,
    status: &'static str,
    message: Cow<'a, str>,
    state: &'static str,
    kind: &'static str,
    critical: Criticality,
    latency_ms: Option<u64>,
    age_ms: Option<u64>,
    consecutive_failures: u32,
    since: String,
    depends_on: Vec<&'a str>,
    root_causes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<JsonStep<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    excluded: bool,
}

/// A step of a workflow.
#[derive(Serialize)]
pub(in crate::server) struct JsonStep<'a> {
    name: &'a str,
    state: &'static str,
    message: Cow<'a, str>,
    latency_ms: Option<u64>,
}

/// As in the file: true, false or `at_startup`.
struct Criticality(Critical);

impl Serialize for Criticality {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Critical::Yes => serializer.serialize_bool(true),
            Critical::No => serializer.serialize_bool(false),
            Critical::AtStartup => serializer.serialize_str(self.0.label()),
        }
    }
}

/// The report on an endpoint.
pub(in crate::server) fn body(view: &View<'_>, warnings: &Warnings) -> Vec<u8> {
    let service = &view.judged.snapshot.plan.service;
    to_json(&JsonReport {
        status: view.judgement.verdict.label(),
        data: JsonData { message: view.summary() },
        checks: view.parts().iter().map(|part| check(view, *part)).collect(),
        disabled: disabled(view),
        about: (view.details() != Details::None).then(|| JsonService {
            root_causes: view.names(&view.root_causes()),
            service: &service.name,
            instance: &service.instance,
            version: service.version.as_deref(),
            labels: (!service.labels.is_empty())
                .then(|| InOrder(service.labels.iter().map(|(name, value)| (&**name, &**value)).collect())),
            endpoints: (view.judgement.endpoint == Endpoint::Healthz)
                .then(|| standings(view.judged, &judgements(view.judged))),
        }),
        timestamp: view.reading.wall.rfc3339(),
        warnings: warnings.shown(),
    })
}

/// The checks that are switched off, on the answer about the whole.
fn disabled<'a>(view: &View<'a>) -> Vec<JsonDisabled<'a>> {
    let shown = view.disabled().iter();
    let reason = |reason: &'a str| if view.details() == Details::Full { reason } else { WITHHELD };
    shown
        .map(|check| JsonDisabled { name: check.name.as_str(), kind: check.kind, reason: reason(&check.reason) })
        .collect()
}

/// When the state last changed. Nobody has written down when a result became too old.
fn since(view: &View<'_>, index: CheckIndex) -> Timestamp {
    let (state, definition) = (view.judged.check(index), view.judged.definition(index));
    let fresh_at = state.fresh_at.filter(|_| view.judged.state(index) == JudgedState::Stale);
    let too_old_at = fresh_at.map(|at| (at + definition.stale_after).min(view.judged.now));
    too_old_at.map_or(state.since_wall, |at| view.reading.wall_at(at).max(state.since_wall))
}

fn check<'a>(view: &View<'a>, part: EndpointPart) -> JsonCheck<'a> {
    let index = part.check;
    let (definition, state) = (view.judged.definition(index), view.judged.check(index));
    let last = state.last.as_ref();
    JsonCheck {
        name: view.name(index),
        status: view.judged.status(index).label(),
        message: view.message(index),
        state: view.judged.state(index).label(),
        kind: definition.kind,
        critical: Criticality(definition.critical),
        latency_ms: last.and_then(|last| last.took).map(millis),
        age_ms: view.judged.age(index).map(millis),
        consecutive_failures: state.failures,
        since: since(view, index).rfc3339(),
        depends_on: view.names(&definition.depends_on),
        root_causes: view.names(&view.judged.causes_of(index)),
        steps: last.map(|last| steps(&last.facts.steps, view.details())).unwrap_or_default(),
        excluded: part.excluded,
    }
}

/// The steps of a run, as far as they may be told.
pub(in crate::server) fn steps(steps: &[StepReport], details: Details) -> Vec<JsonStep<'_>> {
    let message = |text| if details == Details::Full { text } else { WITHHELD };
    steps
        .iter()
        .map(|step| JsonStep {
            name: &step.name,
            state: step.state.label(),
            message: message(&step.message).into(),
            latency_ms: step.took.map(millis),
        })
        .collect()
}
