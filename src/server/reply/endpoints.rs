//! How every endpoint stands, for those who watch all of them.

use serde::Serialize;

use crate::model::causes::MAX_CAUSES;
use crate::model::index::CheckIndex;
use crate::model::verdict::{Endpoint, Judged, Judgement};

/// One endpoint.
#[derive(Serialize)]
pub(in crate::server) struct EndpointVerdict<'a> {
    name: &'static str,
    verdict: &'static str,
    draining: bool,
    root_causes: Vec<&'a str>,
    #[serde(flatten)]
    unnamed: Option<UnnamedCauses<'a>>,
    /// When it opened or closed, or when that was first looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// The judgement on each endpoint.
pub(in crate::server) fn judgements(judged: &Judged<'_>) -> [Judgement; 4] {
    Endpoint::ALL.map(|endpoint| judged.endpoint(endpoint))
}

/// Root causes of which not all are named, for those who know them as they were before.
#[derive(Serialize)]
struct UnnamedCauses<'a> {
    more_root_causes: usize,
    root_causes_added: Vec<&'a str>,
    root_causes_gone: Vec<&'a str>,
}

/// The same in words.
pub(in crate::server) fn standings<'a>(judged: &Judged<'a>, judgements: &[Judgement]) -> Vec<EndpointVerdict<'a>> {
    judgements.iter().map(|judgement| standing(judged, judgement, &judgement.root_causes)).collect()
}

/// The same, where `before` is known: of the root causes the first [`MAX_CAUSES`] are named, and when there are more, those
/// that have come and gone. Nothing where these are more than `most`.
pub(in crate::server) fn standings_since<'a>(
    judged: &Judged<'a>,
    before: &[Judgement],
    now: &[Judgement],
    most: usize,
) -> Option<Vec<EndpointVerdict<'a>>> {
    let standing_since = |(before, now): (&Judgement, &Judgement)| {
        let Some((named, rest)) = now.root_causes.split_at_checked(MAX_CAUSES).filter(|(_, rest)| !rest.is_empty())
        else {
            return Some(standing(judged, now, &now.root_causes));
        };
        let unnamed = UnnamedCauses {
            more_root_causes: rest.len(),
            root_causes_added: names(judged, &missing_from(&before.root_causes, &now.root_causes, most)?),
            root_causes_gone: names(judged, &missing_from(&now.root_causes, &before.root_causes, most)?),
        };
        Some(EndpointVerdict { unnamed: Some(unnamed), ..standing(judged, now, named) })
    };
    before.iter().zip(now).map(standing_since).collect()
}

fn standing<'a>(judged: &Judged<'a>, judgement: &Judgement, named: &[CheckIndex]) -> EndpointVerdict<'a> {
    EndpointVerdict {
        name: judgement.endpoint.label(),
        verdict: judgement.verdict.label(),
        draining: judgement.draining,
        root_causes: names(judged, named),
        unnamed: None,
        since: judged.snapshot.endpoint_transitions[judgement.endpoint as usize].last.map(|last| last.wall.rfc3339()),
    }
}

fn names<'a>(judged: &Judged<'a>, checks: &[CheckIndex]) -> Vec<&'a str> {
    checks.iter().map(|check| judged.definition(*check).name.as_str()).collect()
}

/// Those of `all` that `known` has not, both in order; nothing where they are more than `most`.
fn missing_from(known: &[CheckIndex], all: &[CheckIndex], most: usize) -> Option<Vec<CheckIndex>> {
    let unknown = all.iter().copied().filter(|check| known.binary_search(check).is_err());
    let missing: Vec<_> = unknown.take(most + 1).collect();
    (missing.len() <= most).then_some(missing)
}
