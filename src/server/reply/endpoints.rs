//! How every endpoint stands, for those who watch all of them.

use serde::Serialize;

use crate::model::index::CheckIndex;
use crate::model::verdict::{Endpoint, Judged, Judgement};

/// One endpoint.
#[derive(Serialize)]
pub(in crate::server) struct EndpointVerdict<'a> {
    name: &'static str,
    verdict: &'static str,
    draining: bool,
    root_causes: Vec<&'a str>,
    /// When it opened or closed, or when that was first looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// The judgement on each endpoint.
pub(in crate::server) fn judgements(judged: &Judged<'_>) -> [Judgement; 4] {
    Endpoint::ALL.map(|endpoint| judged.endpoint(endpoint))
}

/// The same in words.
pub(in crate::server) fn standings<'a>(judged: &Judged<'a>, judgements: &[Judgement]) -> Vec<EndpointVerdict<'a>> {
    let names = |checks: &[CheckIndex]| checks.iter().map(|check| judged.definition(*check).name.as_str()).collect();
    judgements
        .iter()
        .map(|judgement| EndpointVerdict {
            name: judgement.endpoint.label(),
            verdict: judgement.verdict.label(),
            draining: judgement.draining,
            root_causes: names(&judgement.root_causes),
            since: judged.snapshot.endpoint_transitions[judgement.endpoint as usize]
                .last
                .map(|last| last.wall.rfc3339()),
        })
        .collect()
}
