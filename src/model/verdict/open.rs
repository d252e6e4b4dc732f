//! Which endpoints are open, from one publication to the next: found by the check that kept an endpoint closed, or by
//! those that have changed. However many checks fail, the run of one of them costs no look at the others.

use std::sync::Arc;

use super::stale::is_too_old;
use super::{Endpoint, Judged};
use crate::base::clock::Moment;
use crate::model::check_states::CheckStates;
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;
use crate::model::start_up::StartUp;
use crate::model::state::State;

/// Which endpoints are open in one snapshot after the other.
#[derive(Debug, Default)]
pub struct OpenEndpoints {
    closed_by: [ClosedBy; 4],
    /// What that was found in.
    basis: Option<Basis>,
    /// The latest moment that was judged.
    latest: Moment,
    /// So many checks have been looked at.
    #[cfg(test)]
    looks: std::sync::atomic::AtomicUsize,
}

/// The check that keeps an endpoint closed; one of them, where there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ClosedBy {
    #[default]
    Unknown,
    NoCheck,
    Check(CheckIndex),
}

/// All that the checks which have not changed since are judged by.
#[derive(Debug)]
struct Basis {
    plan: Arc<Plan>,
    checks: CheckStates,
    at: Moment,
    /// Until then they are as fresh or stale as they were.
    until: Moment,
    ready_once: bool,
    start_up: StartUp,
    should_have_started: bool,
}

impl OpenEndpoints {
    /// Which endpoints are open at the moment of `snapshot`, in the order of [`Endpoint::ALL`]: what
    /// [`Judged::is_open`] says of each.
    pub fn judge(&mut self, snapshot: &Snapshot) -> [bool; 4] {
        let judged = Judged::new(snapshot, snapshot.at);
        if self.basis.as_ref().is_none_or(|basis| !Arc::ptr_eq(&basis.plan, &snapshot.plan)) {
            self.closed_by = Default::default();
        }
        let changed = self.basis.as_ref().and_then(|basis| basis.changed(&judged));
        let open = Endpoint::ALL.map(|endpoint| {
            let closed_by = self.find(&judged, endpoint, changed.as_deref());
            self.closed_by[endpoint as usize] = closed_by;
            closed_by == ClosedBy::NoCheck && !judged.is_closed_by_itself(endpoint)
        });
        // Where the clock has gone back, how long results stay fresh is known from where it was.
        let is_latest = judged.now >= self.latest;
        self.latest = self.latest.max(judged.now);
        self.basis = if is_latest { Basis::of(&judged) } else { None };
        open
    }

    /// The check that closes `endpoint`, where none but those `changed` are judged otherwise than the last time; they are
    /// not known where something else is otherwise.
    fn find(&self, judged: &Judged<'_>, endpoint: Endpoint, changed: Option<&[CheckIndex]>) -> ClosedBy {
        let closes = |index: &CheckIndex| {
            #[cfg(test)]
            self.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            judged.closes(&judged.standing(*index), endpoint)
        };
        let found = match (self.closed_by[endpoint as usize], changed) {
            (ClosedBy::Check(index), _) if closes(&index) => Some(index),
            (ClosedBy::NoCheck, Some(changed)) => changed.iter().copied().find(closes),
            // Behind the one that has let go: those before it are searched as seldom as it comes round.
            (ClosedBy::Check(index), _) => judged.unsettled_closing(endpoint, index).find(closes),
            _ => judged.unsettled_closing(endpoint, CheckIndex::new(0)).find(closes),
        };
        found.map_or(ClosedBy::NoCheck, ClosedBy::Check)
    }
}

impl Judged<'_> {
    /// The checks that may be judged otherwise than `before`: they count otherwise, or wait for one that does. Nothing where
    /// that may be any.
    #[must_use]
    pub fn changed_since(&self, before: &Judged<'_>) -> Option<Vec<CheckIndex>> {
        Basis::of(before)?.changed(self)
    }

    /// Whether all is known to be judged as it was `before`, without a look at what has not changed since.
    #[must_use]
    pub fn is_as_before(&self, before: &Judged<'_>) -> bool {
        let of_itself = |judged: &Judged<'_>| Endpoint::ALL.map(|endpoint| judged.is_closed_by_itself(endpoint));
        of_itself(self) == of_itself(before) && self.changed_since(before).is_some_and(|changed| changed.is_empty())
    }
}

impl Basis {
    /// Nothing where it is not known how long results stay as fresh as they are.
    fn of(judged: &Judged<'_>) -> Option<Self> {
        let Judged { snapshot, now, .. } = judged;
        Some(Self {
            plan: Arc::clone(&snapshot.plan),
            checks: snapshot.checks.clone(),
            at: *now,
            until: snapshot.checks.fresh_until(*now)?.0,
            ready_once: snapshot.ready_once,
            start_up: snapshot.start_up,
            should_have_started: judged.should_have_started(),
        })
    }

    /// Whether a check that has not changed since, and waits for none that has, is judged as it was.
    fn holds(&self, judged: &Judged<'_>) -> bool {
        let Snapshot { plan, ready_once, start_up, .. } = judged.snapshot;
        Arc::ptr_eq(plan, &self.plan)
            && (self.at..=self.until).contains(&judged.now)
            && (*ready_once, *start_up) == (self.ready_once, self.start_up)
            && judged.should_have_started() == self.should_have_started
    }

    /// The checks that may be judged otherwise; nothing where that may be any.
    fn changed(&self, judged: &Judged<'_>) -> Option<Vec<CheckIndex>> {
        if !self.holds(judged) {
            return None;
        }
        let Snapshot { plan, checks, .. } = judged.snapshot;
        let is_otherwise = |index: &CheckIndex| {
            let (check, before) = (&checks[*index], &self.checks[*index]);
            let is_too_old = |check, now| is_too_old(check, judged.definition(*index), now);
            !check.counts_as(before) || is_too_old(check, judged.now) != is_too_old(before, self.at)
        };
        let mut changed: Vec<_> = checks.changed_since(&self.checks).filter(is_otherwise).collect();
        // What waits for them, directly or through others, is judged by them too.
        let mut found: Option<CheckSet> = None;
        let mut next = 0;
        while let Some(at) = changed.get(next).copied() {
            next += 1;
            for child in plan.checks.children(at) {
                let depends = checks[*child].held || matches!(checks[*child].state, State::Skipped | State::Pending);
                if depends && found.get_or_insert_with(|| changed.iter().copied().collect()).insert(*child) {
                    changed.push(*child);
                }
            }
        }
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::state::CheckState;
    use crate::model::verdict::testing::{behind, gating, optional, snapshot};

    /// So many checks that have run, in `state`, which stays fresh for a while.
    fn many(count: usize, state: State) -> Snapshot {
        let checks = (0..count).map(|index| (gating(&format!("c{index}"), "r"), "pf")).collect();
        let mut snapshot = snapshot(checks);
        for index in CheckIndex::first(count) {
            Arc::make_mut(&mut snapshot.checks[index]).state = state;
        }
        known(&mut snapshot);
        snapshot
    }

    fn looks(endpoints: &OpenEndpoints) -> usize {
        endpoints.looks.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn known(snapshot: &mut Snapshot) {
        snapshot.checks.stay_fresh_until(snapshot.at + Duration::from_secs(20), false);
    }

    #[test]
    fn a_run_of_one_of_thousands_that_fail_is_one_look() {
        const COUNT: usize = 4096;
        let mut endpoints = OpenEndpoints::default();
        let mut snapshot = many(COUNT, State::Error);
        assert_eq!(endpoints.judge(&snapshot), [true, false, true, false]);
        let first = looks(&endpoints);
        for index in CheckIndex::first(COUNT) {
            Arc::make_mut(&mut snapshot.checks[index]).failures += 1;
            known(&mut snapshot);
            assert_eq!(endpoints.judge(&snapshot), [true, false, true, false]);
        }
        let looks = looks(&endpoints) - first;
        assert!(looks <= 4 * COUNT, "{looks}");
    }

    #[test]
    fn thousands_that_recover_one_after_the_other_are_looked_at_a_few_times_each() {
        const COUNT: usize = 4096;
        // In the order of the file, backwards, and in a strange one.
        for step in [1, COUNT - 1, 1237] {
            let mut endpoints = OpenEndpoints::default();
            let mut snapshot = many(COUNT, State::Error);
            for place in 1..=COUNT {
                let index = CheckIndex::new(place * step % COUNT);
                assert!(!endpoints.judge(&snapshot)[1]);
                // As one that is slow: nothing says of it that it needs no look.
                Arc::make_mut(&mut snapshot.checks[index]).state = State::Degraded;
                known(&mut snapshot);
            }
            assert_eq!(endpoints.judge(&snapshot), [true; 4]);
            assert!(looks(&endpoints) <= 24 * COUNT, "{} looks, {step}", looks(&endpoints));
        }
    }

    #[test]
    fn what_has_not_changed_is_judged_anew_where_its_parent_has() {
        let checks = |parent| vec![(parent, "f"), (behind(gating("api", "r"), &[0]), "-")];
        let mut endpoints = OpenEndpoints::default();
        let mut closed = snapshot(checks(gating("db", "")));
        known(&mut closed);
        assert!(!endpoints.judge(&closed)[1]);
        let mut recovered = closed.clone();
        let well = CheckState { state: State::Ok, failures: 0, ..(*closed.checks[0]).clone() };
        recovered.checks[0] = Arc::new(well);
        known(&mut recovered);
        assert!(endpoints.judge(&recovered)[1]);
        assert!(!endpoints.judge(&closed)[1], "the child is as it was");
        let mut other = snapshot(checks(optional("db", "")));
        known(&mut other);
        assert!(endpoints.judge(&other)[1], "another plan");
    }

    #[test]
    fn a_run_of_one_of_thousands_with_children_is_a_few_looks() {
        const PAIRS: usize = 2048;
        let pairs = (0..PAIRS).flat_map(|pair| {
            let app = behind(gating(&format!("app{pair}"), "r"), &[2 * pair]);
            [(optional(&format!("db{pair}"), "r"), "pf"), (app, "p-")]
        });
        let mut snapshot = snapshot(pairs.collect());
        known(&mut snapshot);
        let mut endpoints = OpenEndpoints::default();
        assert_eq!(endpoints.judge(&snapshot), [true; 4]);
        let first = looks(&endpoints);
        for pair in 0..PAIRS {
            Arc::make_mut(&mut snapshot.checks[2 * pair]).failures += 1;
            known(&mut snapshot);
            assert_eq!(endpoints.judge(&snapshot), [true; 4]);
        }
        let looks = looks(&endpoints) - first;
        assert!(looks <= 8 * PAIRS, "{looks}");
    }

    #[test]
    fn all_are_looked_at_while_the_clock_is_back_and_once_when_it_is_not() {
        const COUNT: usize = 40;
        let mut endpoints = OpenEndpoints::default();
        let mut snapshot = many(COUNT, State::Degraded);
        let begun = snapshot.at;
        let seconds = [10, 10, 0, 0, 9, 10, 10];
        let looked_at_all = seconds.map(|seconds| {
            snapshot.at = begun + Duration::from_secs(seconds);
            known(&mut snapshot);
            let before = looks(&endpoints);
            assert_eq!(endpoints.judge(&snapshot), [true; 4]);
            looks(&endpoints) - before >= COUNT
        });
        assert_eq!(looked_at_all, [true, false, true, true, true, true, false]);
    }

    #[test]
    fn a_result_that_becomes_stale_is_noticed() {
        let mut endpoints = OpenEndpoints::default();
        let mut snapshot = many(40, State::Degraded);
        assert!(endpoints.judge(&snapshot)[1]);
        snapshot.at = snapshot.at + Duration::from_secs(3600);
        assert!(!endpoints.judge(&snapshot)[1]);
    }
}
