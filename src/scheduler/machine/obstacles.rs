//! What keeps a check from running: how many of its parents block it, and of how many it is not known yet whether they
//! do. Counted where a parent changes, so that a check behind thousands costs no look at all of them for each of their runs.

use super::Machine;
use crate::model::index::CheckIndex;
use crate::model::plan::Plan;
use crate::model::state::State;

/// What keeps a check from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A parent is `error` or `skipped`.
    Blocked,
    /// A parent is `pending`, or its last run failed without making it `error`.
    Waiting,
}

/// What the parents of each check are to it together.
#[derive(Debug)]
pub(super) struct Obstacles {
    /// What each check was to its children when that was last counted.
    counted: Vec<Option<Obstacle>>,
    /// For each check how many of its parents are `Blocked` and how many `Waiting` to it.
    parents: Vec<[u32; 2]>,
    /// So many counts have been changed.
    #[cfg(test)]
    pub(super) steps: usize,
}

impl Obstacles {
    /// Of so many checks, none of which has been looked at.
    pub(super) fn of(checks: usize) -> Self {
        Self {
            counted: vec![None; checks],
            parents: vec![[0; 2]; checks],
            #[cfg(test)]
            steps: 0,
        }
    }

    /// The check at `index` is `now` that to those of `plan` that depend on it.
    fn count(&mut self, plan: &Plan, index: CheckIndex, now: Option<Obstacle>) {
        let before = std::mem::replace(&mut self.counted[index], now);
        if before == now {
            return;
        }
        for child in plan.checks.children(index) {
            #[cfg(test)]
            {
                self.steps += 1;
            }
            let counts = &mut self.parents[*child];
            if let Some(before) = before {
                counts[before as usize] -= 1;
            }
            if let Some(now) = now {
                counts[now as usize] += 1;
            }
        }
    }

    fn of_check(&self, index: CheckIndex) -> Option<Obstacle> {
        match self.parents[index] {
            [0, 0] => None,
            [0, _] => Some(Obstacle::Waiting),
            _ => Some(Obstacle::Blocked),
        }
    }
}

impl Machine {
    /// What keeps the check at `index` from running, as all stands now.
    pub(super) fn obstacle(&mut self, index: CheckIndex) -> Option<Obstacle> {
        while let Some(changed) = self.checks.next_uncounted().or_else(|| self.schedules.next_uncounted()) {
            let now = self.is_to_its_children(changed);
            self.family.obstacles.count(&self.plan, changed, now);
        }
        #[cfg(test)]
        if self.looks_at_all {
            return self.look_at_parents(index);
        }
        let found = self.family.obstacles.of_check(index);
        debug_assert_eq!(found, self.look_at_parents(index), "a parent was changed and not counted");
        found
    }

    /// The same by a look at each parent.
    fn look_at_parents(&self, index: CheckIndex) -> Option<Obstacle> {
        let parents = self.definition(index).depends_on.iter();
        let obstacles = parents.filter_map(|parent| self.is_to_its_children(*parent));
        obstacles.min_by_key(|obstacle| *obstacle as usize)
    }

    /// What the check at `index` is to those that depend on it.
    fn is_to_its_children(&self, index: CheckIndex) -> Option<Obstacle> {
        let check = &self.checks[index];
        if check.state.blocks_children() {
            return Some(Obstacle::Blocked);
        }
        // Its own failure waits for its parents: whether it fails is not known yet.
        let unsure = self.schedules[index].unconfirmed.is_some();
        let waits = check.state == State::Pending || check.is_faltering() || unsure;
        waits.then_some(Obstacle::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{START, at, child, machine, outages};
    use crate::model::plan::testing::check;
    use crate::simulation::playback::Playback;

    #[test]
    fn a_check_behind_many_costs_a_step_for_each_change_of_one_of_them() {
        const PARENTS: usize = 200;
        let mut checks: Vec<_> = (0..PARENTS).map(|place| check(&format!("p{place}"))).collect();
        checks.push(child("app", &(0..PARENTS).collect::<Vec<_>>()));
        let mut down = vec![vec![]; PARENTS + 1];
        down[7] = vec![(20.0, 50.0)];
        let mut playback = Playback::new(machine(checks), outages(down), START);
        playback.play_until(at(120.0), |_| {});
        assert!(playback.runs() > 10 * PARENTS as u64);
        // Each was pending and passed; one failed and recovered.
        let steps = playback.machine.family.obstacles.steps;
        assert!((2 * PARENTS..2 * PARENTS + 10).contains(&steps), "{steps}");
    }
}
