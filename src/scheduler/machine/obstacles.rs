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
    /// A parent's last run failed without making it `error`, or it is `pending` as the check itself is.
    Waiting,
}

/// What a check is to those that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AsParent {
    /// It is `error` or `skipped`.
    Blocks,
    /// Its last run failed without making it `error`.
    Falters,
    /// It is `pending`, and none of its runs has failed.
    IsUnknown,
}

/// What the parents of each check are to it together.
#[derive(Debug)]
pub(super) struct Obstacles {
    /// What each check was to its children when that was last counted.
    counted: Vec<Option<AsParent>>,
    /// For each check how many of its parents are what to it.
    parents: Vec<[u32; 3]>,
    /// So many counts have been changed.
    #[cfg(test)]
    pub(super) steps: usize,
}

impl Obstacles {
    /// Of so many checks, none of which has been looked at.
    pub(super) fn of(checks: usize) -> Self {
        Self {
            counted: vec![None; checks],
            parents: vec![[0; 3]; checks],
            #[cfg(test)]
            steps: 0,
        }
    }

    /// The check at `index` is `now` that to those of `plan` that depend on it.
    fn count(&mut self, plan: &Plan, index: CheckIndex, now: Option<AsParent>) {
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

    /// How many parents of the check at `index` are that to it.
    fn parents(&self, index: CheckIndex, what: AsParent) -> u32 {
        self.parents[index][what as usize]
    }
}

impl Machine {
    /// What keeps the check at `index` from running, as all stands now. A check that has a verdict goes on beside a parent
    /// that has none, as one has that a reload has changed: what it finds needs that parent only where it fails.
    pub(super) fn obstacle(&mut self, index: CheckIndex) -> Option<Obstacle> {
        if self.has_parent(index, AsParent::Blocks) {
            Some(Obstacle::Blocked)
        } else if self.has_parent(index, AsParent::Falters)
            || (self.checks[index].state == State::Pending && self.has_unknown_parent(index))
        {
            Some(Obstacle::Waiting)
        } else {
            None
        }
    }

    /// Whether a parent of the check at `index` is `pending` without a failed run: whatever the check finds, that parent may
    /// not tell for long whether it is to blame.
    pub(super) fn has_unknown_parent(&mut self, index: CheckIndex) -> bool {
        self.has_parent(index, AsParent::IsUnknown)
    }

    fn has_parent(&mut self, index: CheckIndex, what: AsParent) -> bool {
        while let Some(changed) = self.checks.next_uncounted().or_else(|| self.schedules.next_uncounted()) {
            let now = self.as_parent(changed);
            self.family.obstacles.count(&self.plan, changed, now);
        }
        let by_look = || self.definition(index).depends_on.iter().any(|parent| self.as_parent(*parent) == Some(what));
        #[cfg(test)]
        if self.looks_at_all {
            return by_look();
        }
        let found = self.family.obstacles.parents(index, what) > 0;
        debug_assert_eq!(found, by_look(), "a parent was changed and not counted");
        found
    }

    /// What the check at `index` is to those that depend on it.
    fn as_parent(&self, index: CheckIndex) -> Option<AsParent> {
        let check = &self.checks[index];
        // Its own failure waits for its parents: whether it fails is not known yet.
        let unsure = self.schedules[index].unconfirmed.is_some();
        match check.state {
            State::Error | State::Skipped => Some(AsParent::Blocks),
            _ if check.is_faltering() || unsure => Some(AsParent::Falters),
            State::Pending => Some(AsParent::IsUnknown),
            State::Ok | State::Degraded => None,
        }
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
