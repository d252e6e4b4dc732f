//! What confirms a failure: it counts once all parents have passed in a run that began after it ended, and was a skip once
//! one of them fails. All are looked at once, and later those that have changed, so that a failure behind thousands costs
//! a few looks at each.

use std::collections::BTreeSet;

use super::Machine;
use super::obstacles::Obstacle;
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Observation, Outcome};

/// A failed run that waits for the parents to be confirmed.
#[derive(Clone, Debug)]
pub(super) struct Unconfirmed {
    pub(super) failed: Observation,
    /// The parents that have not passed since, as far as they have been looked at.
    awaited: BTreeSet<CheckIndex>,
    /// Those that have changed since they were looked at; nothing before the first look at all of them.
    changed: Option<Vec<CheckIndex>>,
}

/// What a parent says of a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It has passed in a run that began after the failing one had ended.
    Passed,
    /// It has failed in one.
    Failed,
    /// It has failed too and waits for its own parents: they decide about both.
    Undecided,
    /// It has had none.
    Outstanding,
}

impl Unconfirmed {
    pub(super) const fn of(failed: Observation) -> Self {
        Self { failed, awaited: BTreeSet::new(), changed: None }
    }

    /// A parent has changed, and is to be looked at.
    pub(super) fn note(&mut self, parent: CheckIndex) {
        if let Some(changed) = &mut self.changed {
            changed.push(parent);
        }
    }

    /// The parents may be others, or stand elsewhere: all are to be looked at.
    pub(super) fn forget_parents(&mut self) {
        self.awaited.clear();
        self.changed = None;
    }
}

impl Machine {
    /// Decides about a failure that waits for its parents, if they have decided.
    pub(super) fn confirm_failure(&mut self, index: CheckIndex) {
        if self.schedules[index].unconfirmed.is_none() {
            return;
        }
        let blocked = self.obstacle(index) == Some(Obstacle::Blocked);
        let confirmed = if blocked { Some(false) } else { self.hear_parents(index) };
        let Some(confirmed) = confirmed else { return };
        let Some(unconfirmed) = self.schedules.touch(index).unconfirmed.take() else { return };
        let failed = unconfirmed.failed;
        if confirmed {
            self.apply(index, &failed);
            return;
        }
        let was_a_skip = Observation { outcome: Outcome::Skip, ..failed };
        if blocked {
            self.apply(index, &was_a_skip);
        } else {
            // The parent's failure counts as any other: the state stays.
            self.count_run(index, &was_a_skip);
        }
    }

    /// Whether the parents confirm the failure of the check at `index`; nothing as long as they have not decided. Those that
    /// have had no run since are asked for one.
    fn hear_parents(&mut self, index: CheckIndex) -> Option<bool> {
        let unconfirmed = self.schedules.unconfirmed_mut(index)?;
        let ended = unconfirmed.failed.ended;
        let changed = unconfirmed.changed.replace(Vec::new());
        let changed = changed.unwrap_or_else(|| self.definition(index).depends_on.clone());
        #[cfg(test)]
        {
            self.family.looks += changed.len();
        }
        let answers: Vec<_> = changed.into_iter().map(|parent| (parent, self.answer(parent, ended))).collect();
        if answers.iter().any(|(_, answer)| *answer == Answer::Failed) {
            return Some(false);
        }
        for (parent, answer) in &answers {
            if *answer == Answer::Outstanding {
                self.ask_for_a_run(*parent, ended);
            }
        }
        let awaited = &mut self.schedules.unconfirmed_mut(index)?.awaited;
        for (parent, answer) in answers {
            if answer == Answer::Passed {
                awaited.remove(&parent);
            } else {
                awaited.insert(parent);
            }
        }
        let confirmed = awaited.is_empty();
        debug_assert!(self.has_heard_parents(index), "a parent was changed and not looked at");
        confirmed.then_some(true)
    }

    /// Whether a look at each parent finds what is known of them.
    fn has_heard_parents(&self, index: CheckIndex) -> bool {
        let Some(unconfirmed) = &self.schedules[index].unconfirmed else { return false };
        let answer = |parent: &CheckIndex| self.answer(*parent, unconfirmed.failed.ended);
        let parents = self.definition(index).depends_on.iter().copied();
        let awaited: BTreeSet<_> = parents.filter(|parent| answer(parent) != Answer::Passed).collect();
        awaited == unconfirmed.awaited && awaited.iter().all(|parent| answer(parent) != Answer::Failed)
    }

    /// What the `parent` says of a run that failed and `ended` then.
    fn answer(&self, parent: CheckIndex, ended: Moment) -> Answer {
        let schedule = &self.schedules[parent];
        let since = schedule.last_run.filter(|ran| ran.began >= ended);
        match since.map(|ran| ran.passed) {
            Some(true) => Answer::Passed,
            Some(false) if schedule.unconfirmed.is_none() => Answer::Failed,
            Some(false) => Answer::Undecided,
            None => Answer::Outstanding,
        }
    }

    /// Asks for a run of the `parent` that begins after `ended`.
    fn ask_for_a_run(&mut self, parent: CheckIndex, ended: Moment) {
        let schedule = &self.schedules[parent];
        // A run that will do is under way: to ask once more would use up the next one beyond the schedule.
        let will_do = schedule.running.is_some_and(|running| running.began >= ended);
        if !will_do && !schedule.extra.requested {
            self.schedules.adjust(parent).extra.requested = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{START, at, child, machine, outages};
    use super::*;
    use crate::model::outcome::{Failure, FailureKind};
    use crate::model::plan::Definition;
    use crate::model::plan::testing::check;
    use crate::model::state::State;
    use crate::simulation::playback::{Playback, reading};

    #[test]
    fn a_failure_behind_many_costs_a_few_looks_at_each_of_them() {
        const PARENTS: usize = 200;
        let mut checks: Vec<_> = (0..PARENTS).map(|place| check(&format!("p{place}"))).collect();
        checks.push(child("app", &(0..PARENTS).collect::<Vec<_>>()));
        let mut down = vec![vec![]; PARENTS];
        down.push(vec![(60.0, 99.0)]);
        let mut playback = Playback::new(machine(checks), outages(down), START);
        playback.play_until(at(60.0), |_| {});
        assert_eq!(playback.machine.family.looks, 0);
        playback.play_until(at(75.0), |_| {});
        let snapshot = playback.machine.snapshot(reading(at(75.0)));
        assert_eq!(snapshot.checks[PARENTS].state, State::Error);
        // At first, when its run begins, and when that ends.
        let looks = playback.machine.family.looks;
        assert!((PARENTS..=6 * PARENTS).contains(&looks), "{looks}");
    }

    #[test]
    fn a_hundred_parents_that_are_asked_at_once_are_no_storm() {
        const PARENTS: usize = 100;
        let slow = |name: &str| Definition { interval: Duration::from_secs(60), ..check(name) };
        let mut checks: Vec<_> = (0..PARENTS).map(|place| slow(&format!("p{place}"))).collect();
        checks
            .push(Definition { interval: Duration::from_secs(50), ..child("app", &(0..PARENTS).collect::<Vec<_>>()) });
        let mut playback = Playback::new(machine(checks), outages(vec![vec![]; PARENTS + 1]), START);
        playback.play_until(at(130.0), |_| {});
        let (mut machine, now) = (playback.machine, reading(at(130.0)));
        machine.hear("app", now);
        let app = machine.due(now);
        assert_eq!(app.len(), 1, "{app:?}");
        let failed = Failure::new(FailureKind::Connect, "connection refused");
        let (began, ended, wall) = (now.moment, now.moment, now.wall);
        let failed = Observation { outcome: Outcome::Fail(failed), began, ended, wall, dialled: None };
        machine.finished(app[0].key, failed, now);
        let asked = machine.due(now);
        assert_eq!(asked.len(), PARENTS);
        assert!(asked.iter().all(|start| start.throttled), "a few of them begin side by side");
    }
}
