//! What comes of a run: the state it leads to, what is counted, and what is told of it.

use std::sync::Arc;

use super::{CountedRun, Machine, Transition};
use crate::model::causes::{Causes, Trouble};
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::outcome::Observation;
use crate::model::state::{CheckState, LastRun, State, advance, count_only};

/// At most this many counted runs are kept between two calls of [`Machine::take_observations`], and a few more for each
/// check. Later ones are dropped.
const MAX_COUNTED_RUNS: usize = 256;

const MAX_COUNTED_RUNS_PER_CHECK: usize = 4;

impl Machine {
    pub(super) fn apply(&mut self, index: CheckIndex, observation: &Observation) {
        let from = self.checks[index].state;
        let next = advance(&self.checks[index], self.definition(index), observation);
        if let Some(run) = &next.last {
            self.push_counted_run(index, Arc::clone(run));
        }
        let is_latched = self.plan.checks.gating_the_app().contains(index);
        self.latched += u64::from(is_latched && next.passed_once != self.checks[index].passed_once);
        self.checks[index] = Arc::new(next);
        if self.checks[index].state != from {
            self.push_transition(index, from, Some(observation.clone()));
        }
    }

    pub(super) fn count_run(&mut self, index: CheckIndex, observation: &Observation) {
        if let Some(run) = LastRun::of(observation, self.definition(index)) {
            self.push_counted_run(index, Arc::new(run));
        }
        self.checks[index] = Arc::new(count_only(&self.checks[index], self.definition(index), observation));
    }

    /// Keeps the run for [`take_observations`](Self::take_observations).
    fn push_counted_run(&mut self, index: CheckIndex, run: Arc<LastRun>) {
        if self.observations.len() < MAX_COUNTED_RUNS + MAX_COUNTED_RUNS_PER_CHECK * self.checks.len() {
            let check = self.definition(index).name.clone();
            self.observations.push(CountedRun { check, run });
        }
    }

    pub(super) fn push_transition(&mut self, index: CheckIndex, from: State, observation: Option<Observation>) {
        let CheckState { state: to, since: at, .. } = *self.checks[index];
        let causes = if to == State::Skipped { self.causes_of(index) } else { Arc::default() };
        let root_causes = causes.iter().map(|cause| self.definition(*cause).name.clone()).collect();
        let check = self.definition(index).name.clone();
        self.transitions.push(Transition { check, from, to, at, observation, root_causes });
    }

    /// The failing checks for which these skipped ones wait, directly or through others.
    pub(super) fn all_causes_of(&self, mut left: Vec<CheckIndex>) -> Vec<CheckIndex> {
        let mut causes = Vec::new();
        let mut seen = CheckSet::default();
        while let Some(at) = left.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.checks[at].state {
                State::Error => causes.push(at),
                State::Skipped => left.extend(&self.definition(at).depends_on),
                _ => {}
            }
        }
        causes
    }

    /// What is told of them for the skipped check at `index`.
    fn causes_of(&mut self, index: CheckIndex) -> Arc<[CheckIndex]> {
        let (checks, plan) = (&self.checks, &self.plan);
        let trouble = |at: CheckIndex| match checks[at].state {
            State::Error => Trouble::Own,
            State::Skipped => Trouble::OfParents,
            _ => Trouble::None,
        };
        let parents = |at: CheckIndex| &plan.checks[at].depends_on[..];
        match &mut self.causes {
            Some(causes) => causes.find(index, trouble, parents),
            None => Causes::of(checks.len()).find(index, trouble, parents),
        }
    }
}
