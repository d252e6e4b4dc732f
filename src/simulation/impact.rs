//! What kubelet does in the end when a check fails, and how soon.

use std::time::Duration;

use super::budget::{closes_readiness_first, until_error};
use super::kubelet::request::RequestSubject;
use super::kubelet::{ProbedContainer, SidecarProbe};
use super::matrix::Matrix;
use super::pod::Purpose;
use crate::model::index::CheckIndex;
use crate::model::plan::Plan;
use crate::model::verdict::{Endpoint, Judged};

/// What kubelet does in the end when the check at `check` fails, and after which time from the start of the outage.
pub fn impact<'a>(
    matrix: &Matrix<'_>,
    plan: &Plan,
    check: CheckIndex,
    containers: &'a [ProbedContainer],
) -> Vec<(&'a ProbedContainer, &'a SidecarProbe, Duration)> {
    if containers.is_empty() {
        return Vec::new();
    }
    let (snapshot, well) = (matrix.failing(check), matrix.all_well());
    let (judged, all_well) = (Judged::new(&snapshot, snapshot.at), Judged::new(&well, well.at));
    let budget = until_error(plan, check);
    let first = closes_readiness_first(&plan.checks[check]);
    let mut acts = Vec::new();
    for container in containers {
        for asking in &container.probes {
            // A probe that never passes says nothing about this check.
            let asked = asking.purpose != Purpose::Startup && asking.request.passes(&all_well);
            if asked && !asking.request.passes(&judged) {
                let asks_readyz = asking.request.subject == RequestSubject::Endpoint(Endpoint::Readyz);
                let seen = if first && asks_readyz { budget.first } else { budget.total };
                acts.push((container, asking, seen.saturating_add(asking.timing.patience())));
            }
        }
    }
    acts
}
