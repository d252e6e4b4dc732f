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

/// What kubelet does in the end when a check fails, by the probes that pass while all is well.
#[derive(Debug)]
pub struct Impact<'a> {
    matrix: &'a Matrix<'a>,
    plan: &'a Plan,
    asking: Vec<(&'a ProbedContainer, &'a SidecarProbe)>,
}

impl<'a> Impact<'a> {
    /// What the probes of `containers` make of the failures of `matrix`, which is of `plan`.
    #[must_use]
    pub fn new(matrix: &'a Matrix<'a>, plan: &'a Plan, containers: &'a [ProbedContainer]) -> Self {
        let well = matrix.all_well();
        let all_well = Judged::new(&well, well.at);
        let all =
            containers.iter().flat_map(|container| container.probes.iter().map(move |asking| (container, asking)));
        // A probe that never passes says nothing about a check.
        let asks =
            |(_, asking): &(_, &SidecarProbe)| asking.purpose != Purpose::Startup && asking.request.passes(&all_well);
        Self { matrix, plan, asking: all.filter(asks).collect() }
    }

    /// What it does when the check at `check` fails, and after which time from the start of the outage.
    pub fn of(&self, check: CheckIndex) -> Vec<(&'a ProbedContainer, &'a SidecarProbe, Duration)> {
        if self.asking.is_empty() {
            return Vec::new();
        }
        let budget = until_error(self.plan, check);
        let first = closes_readiness_first(&self.plan.checks[check]);
        let mut acts = Vec::new();
        for (container, asking) in &self.asking {
            if !self.matrix.passes(&asking.request, check) {
                let asks_readyz = asking.request.subject == RequestSubject::Endpoint(Endpoint::Readyz);
                let seen = if first && asks_readyz { budget.first } else { budget.total };
                acts.push((*container, *asking, seen.saturating_add(asking.timing.patience())));
            }
        }
        acts
    }
}
