//! The states of all checks while they are worked on: which have changed, which are settled, and when the next result
//! becomes stale.

use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::model::check_states::CheckStates;
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::plan::Plan;
use crate::model::state::{CheckState, State};

/// The states of all checks of a plan. What is lent out to be changed is looked at again before it is published.
#[derive(Debug, Default)]
pub(super) struct CheckBook {
    states: CheckStates,
    /// Lent out since they were last brought in line with their parents.
    changed: Vec<CheckIndex>,
    /// Lent out since it was last counted what they are to their children.
    uncounted: Vec<CheckIndex>,
    /// Lent out since they were last settled.
    unlooked: Vec<CheckIndex>,
    /// Those in `unlooked`.
    is_unlooked: CheckSet,
    /// When each result becomes stale that can and is not, soonest first.
    ages: BTreeSet<(Moment, CheckIndex)>,
    /// What `ages` holds of each check.
    age_of: Vec<Option<Moment>>,
    /// Those that are stale by themselves.
    stale: BTreeSet<CheckIndex>,
}

impl CheckBook {
    /// These states, each of which is still to be looked at.
    pub(super) fn of(states: CheckStates) -> Self {
        let all: Vec<CheckIndex> = CheckIndex::first(states.len()).collect();
        Self {
            age_of: vec![None; states.len()],
            changed: all.clone(),
            uncounted: all.clone(),
            is_unlooked: all.iter().copied().collect(),
            unlooked: all,
            states,
            ages: BTreeSet::new(),
            stale: BTreeSet::new(),
        }
    }

    /// As they are to be published, once they are [settled](Self::settle).
    pub(super) const fn states(&self) -> &CheckStates {
        &self.states
    }

    pub(super) const fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<CheckState>> {
        self.states.iter()
    }

    /// Those that were lent out since this was last asked.
    pub(super) fn take_changed(&mut self) -> Vec<CheckIndex> {
        std::mem::take(&mut self.changed)
    }

    /// One that was lent out since it was last taken from here: what it is to its children may have changed.
    pub(super) fn next_uncounted(&mut self) -> Option<CheckIndex> {
        self.uncounted.pop()
    }

    /// When the first becomes stale that is not, as of the last time that they were [settled](Self::settle).
    pub(super) fn next_stale(&self) -> Option<Moment> {
        // It is fresh at that age still.
        self.ages.first().map(|(age, _)| *age + Duration::from_micros(1))
    }

    /// Whether one of `checks` was stale by itself, as of the last time that they were [settled](Self::settle).
    pub(super) fn were_stale(&self, checks: &[CheckIndex]) -> bool {
        !self.stale.is_empty() && checks.iter().any(|check| self.stale.contains(check))
    }

    /// Finds out which checks are settled at `now`, and for how long.
    pub(super) fn settle(&mut self, plan: &Plan, now: Moment) {
        for index in std::mem::take(&mut self.unlooked) {
            let check = &self.states[index];
            let is_settled = check.is_settled();
            let age = check
                .fresh_at
                .filter(|_| !check.held || check.state == State::Pending)
                .map(|at| at + plan.checks[index].stale_after);
            self.states.settle(index, is_settled);
            self.stale.remove(&index);
            let before = std::mem::replace(&mut self.age_of[index.get()], age);
            if before != age {
                before.map(|before| self.ages.remove(&(before, index)));
                age.map(|age| self.ages.insert((age, index)));
            }
        }
        self.is_unlooked = CheckSet::default();
        while let Some((_, index)) = self.ages.first().copied().filter(|(age, _)| *age < now) {
            self.ages.pop_first();
            self.age_of[index.get()] = None;
            self.stale.insert(index);
            self.states.settle(index, false);
        }
        let until = self.ages.first().map_or(Moment::at(Duration::MAX), |(age, _)| *age);
        self.states.stay_fresh_until(until, !self.stale.is_empty());
    }
}

impl Index<CheckIndex> for CheckBook {
    type Output = Arc<CheckState>;

    fn index(&self, index: CheckIndex) -> &Arc<CheckState> {
        &self.states[index]
    }
}

impl IndexMut<CheckIndex> for CheckBook {
    fn index_mut(&mut self, index: CheckIndex) -> &mut Arc<CheckState> {
        self.changed.push(index);
        self.uncounted.push(index);
        if self.is_unlooked.insert(index) {
            self.unlooked.push(index);
        }
        &mut self.states[index]
    }
}
