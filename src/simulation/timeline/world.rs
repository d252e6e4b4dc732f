//! What runs find: what the scenario says, and nothing of an app that does not serve.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::Plan;
use crate::simulation::playback::World;
use crate::simulation::scenario::{Fault, FaultKind};

/// How long a run takes while all is well.
const LATENCY: Duration = Duration::from_millis(10);
/// The start of the timeline on the boot clock of its machine.
pub(super) const START: Moment = Moment::at(Duration::ZERO);

/// What runs find: what the scenario says, and nothing of an app that does not serve.
pub(super) struct ScenarioWorld<'a> {
    pub(super) faults: &'a [Fault],
    pub(super) plan: Arc<Plan>,
    /// From when on the present process of the app serves.
    pub(super) serves_from: Option<Moment>,
    /// When its last one ended.
    pub(super) left: Moment,
}

impl ScenarioWorld<'_> {
    /// Whether what the check looks at is there at `at`.
    fn is_there(&self, check: CheckIndex, at: Moment) -> bool {
        let definition = &self.plan.checks[check];
        let serves = self.serves_from.is_some_and(|from| from <= at);
        // An old beat counts for a while.
        serves || !definition.of_pod || (self.left > START && at.since(self.left) <= definition.max_age)
    }
}

impl World for ScenarioWorld<'_> {
    fn observe(&mut self, check: CheckIndex, at: Moment) -> (ProbeResult, Duration) {
        let now = at.since(START);
        let meets = |fault: &&Fault| fault.check == check && (fault.from..fault.to).contains(&now);
        match self.faults.iter().rev().find(meets).map(|fault| fault.outcome) {
            None if !self.is_there(check, at) => {
                (Err(Failure::new(FailureKind::Connect, "connection refused")), LATENCY)
            }
            None => (Ok(Pass::default()), LATENCY),
            Some(FaultKind::Slow(latency)) => (Ok(Pass::default()), latency),
            Some(FaultKind::Hang) => (Ok(Pass::default()), Duration::MAX),
            Some(FaultKind::Fail) => (Err(Failure::new(FailureKind::Connect, "down in the scenario")), LATENCY),
        }
    }
}
