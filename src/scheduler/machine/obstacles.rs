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
    /// A parent's last run failed without making it `error`, or neither it nor the check itself has a verdict.
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
            || (!self.has_verdict(index) && self.has_unknown_parent(index))
        {
            Some(Obstacle::Waiting)
        } else {
            None
        }
    }

    /// Whether something was found of the check at `index` by itself.
    fn has_verdict(&self, index: CheckIndex) -> bool {
        !matches!(self.checks[index].state, State::Pending | State::Skipped)
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
        if check.state.blocks_children() {
            Some(AsParent::Blocks)
        } else if check.is_faltering() || unsure {
            Some(AsParent::Falters)
        } else {
            (check.state == State::Pending).then_some(AsParent::IsUnknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{START, at, child, machine, outages, thresholds};
    use crate::base::clock::Moment;
    use crate::model::index::CheckIndex;
    use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
    use crate::model::plan::testing::check;
    use crate::model::plan::{Critical, Definition, Gates};
    use crate::model::snapshot::Snapshot;
    use crate::model::state::State;
    use crate::model::verdict::{Endpoint, Judged, JudgedState};
    use crate::simulation::playback::{Playback, reading};

    /// The endpoints that are open at the second `then` and closed at some time in the five minutes that follow.
    fn closed_after(checks: Vec<Definition>, world: Vec<Vec<(f64, f64)>>, then: f64) -> Vec<Endpoint> {
        let mut playback = Playback::new(machine(checks), outages(world), START);
        playback.play_until(at(then), |_| {});
        let is_open = |snapshot: &Snapshot, endpoint: Endpoint| Judged::new(snapshot, snapshot.at).is_open(endpoint);
        let before = playback.machine.snapshot(reading(playback.now()));
        let open: Vec<_> = Endpoint::ALL.into_iter().filter(|endpoint| is_open(&before, *endpoint)).collect();
        assert!(!open.is_empty());
        let mut closed = Vec::new();
        playback.play_until(at(then + 300.0), |snapshot| {
            closed.extend(open.iter().filter(|endpoint| !is_open(&snapshot, **endpoint)));
        });
        closed
    }

    #[test]
    fn the_end_of_an_outage_closes_nothing_however_many_stand_behind_each_other() {
        let live = Gates { live: true, ready: true, ..Gates::default() };
        for lag in 0..=8u32 {
            let db = Definition { critical: Critical::AtStartup, ..check("db") };
            let api = Definition { critical: Critical::No, ..child("api", &[0]) };
            let app = Definition { gates: live, ..child("app", &[1]) };
            let until = 100.0 + f64::from(lag) / 2.0;
            let world = vec![vec![(60.0, 100.0)], vec![(60.0, 100.0)], vec![(60.0, until)]];
            assert_eq!(closed_after(vec![db, api, app], world, 99.0), [], "{lag}");
        }
    }

    #[test]
    fn the_end_of_an_outage_closes_nothing_where_a_check_between_comes_to_no_verdict_for_long() {
        let db = Definition { critical: Critical::AtStartup, ..check("db") };
        let api = Definition { critical: Critical::No, ..child("api", &[0]) };
        let found = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let result = match check.get() {
                _ if (at(60.0)..at(100.0)).contains(&now) => Err(Failure::new(FailureKind::Connect, "refused")),
                1 if (at(100.0)..at(140.0)).contains(&now) => {
                    Err(Failure::new(FailureKind::Exhausted, "no port is left"))
                }
                _ => Ok(Pass::default()),
            };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(vec![db, api, child("app", &[1])]), found, START);
        let is_open = |snapshot: &Snapshot| Judged::new(snapshot, snapshot.at).is_open(Endpoint::Readyz);
        playback.play_until(at(10.0), |_| {});
        playback.play_until(at(200.0), |snapshot| {
            let stale = Judged::new(&snapshot, snapshot.at).state(CheckIndex::new(2)) == JudgedState::Stale;
            assert!(is_open(&snapshot) && !stale, "{snapshot:?}");
        });
        assert_eq!(playback.machine.snapshot(reading(playback.now())).checks[2].state, State::Ok);
    }

    #[test]
    fn a_blip_of_a_parent_that_runs_seldom_makes_no_child_older() {
        let interval = Duration::from_secs(60);
        let db =
            Definition { interval, thresholds: thresholds(3, 1), stale_after: Duration::from_secs(190), ..check("db") };
        let app = Definition {
            interval: Duration::from_secs(30),
            stale_after: Duration::from_secs(92),
            ..child("app", &[0])
        };
        let world = vec![vec![(100.0, 200.0)], vec![]];
        assert_eq!(closed_after(vec![db, app], world, 90.0), []);
    }

    #[test]
    fn a_check_that_comes_to_no_verdict_for_long_after_an_outage_keeps_nothing_open() {
        let db = Definition { critical: Critical::AtStartup, ..check("db") };
        let found = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let away = (at(60.0)..at(100.0)).contains(&now);
            let result = match check.get() {
                _ if away => Err(Failure::new(FailureKind::Connect, "connection refused")),
                1 if now >= at(100.0) => Err(Failure::new(FailureKind::Exhausted, "no descriptor is left")),
                _ => Ok(Pass::default()),
            };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(vec![db, child("app", &[0])]), found, START);
        let is_open = |snapshot: &Snapshot| Judged::new(snapshot, snapshot.at).is_open(Endpoint::Readyz);
        playback.play_until(at(115.0), |_| {});
        assert!(is_open(&playback.machine.snapshot(reading(playback.now()))), "the end of the outage closes nothing");
        playback.play_until(at(300.0), |_| {});
        assert!(!is_open(&playback.machine.snapshot(reading(playback.now()))));
    }

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
