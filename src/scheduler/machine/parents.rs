//! What the state of parents means for their children: children are skipped and recover, and wait for their first run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Machine;
use super::obstacles::{Obstacle, Obstacles};
use super::schedule::{Hold, RunPace};
use crate::base::clock::{Moment, Reading};
use crate::model::causes::Causes;
use crate::model::index::CheckIndex;
use crate::model::plan::Plan;
use crate::model::state::{Closed, State};
use crate::scheduler::cadence::jitter;

impl Machine {
    /// Propagates the states of parents to their children, parents first: failures are confirmed or turn out to be
    /// skips, children of failing parents are skipped, and those of recovered parents wait for their run. `kept_closed`
    /// says what each skip kept closed before that which may have ended it.
    ///
    /// Checks are looked at where they or their parents have changed: of the others nothing new can be said.
    pub(super) fn propagate(&mut self, now: Reading, kept_closed: &BTreeMap<CheckIndex, Closed>) {
        self.stir();
        let mut released = Vec::new();
        // Parents come first: what is found of them holds for all that comes behind.
        self.causes = Some(Causes::of(self.checks.len()));
        let mut next = 0;
        while let Some(place) = self.family.stirred.range(next..).next().copied() {
            self.family.stirred.remove(&place);
            next = place + 1;
            let index = self.family.order[place];
            // Before the obstacle is looked at: the confirmed failure may be what its own children wait for, and an
            // unconfirmed one that turns out to be a skip is no obstacle of its own.
            self.confirm_failure(index);
            let obstacle = self.obstacle(index);
            let state = self.checks[index].state;
            if obstacle == Some(Obstacle::Blocked) {
                if state != State::Skipped {
                    self.skip(index, now);
                }
            } else if state == State::Skipped {
                self.recover(index, kept_closed.get(&index).copied(), now);
            }
            if self.update_waiting(index, obstacle, now.moment) {
                released.push(index);
            }
            // Its children come behind it. What concerns itself or a check before it is looked at the next time.
            self.stir();
        }
        self.causes = None;
        // After the loop, because the more are released at once, the further they are spread.
        for index in &released {
            let name = self.plan.checks[*index].name.as_str();
            let schedule = self.schedules.touch(*index);
            let delay = jitter(released.len(), schedule.cadence.interval(), &self.pod, name);
            let at = (now.moment + delay).max(schedule.not_before);
            if schedule.hold == Hold::Recovered {
                schedule.hold = Hold::Free;
                schedule.expedite(at);
            } else {
                // Its first run: a regular one, whose failure counts.
                schedule.beat = schedule.beat.min(at);
            }
        }
    }

    /// Notes which checks are to be brought in line with their parents: those that have changed, and their children.
    fn stir(&mut self) {
        let mut changed = self.checks.take_changed();
        changed.append(&mut self.schedules.take_stirred());
        #[cfg(test)]
        if self.looks_at_all {
            changed.extend(self.plan.indices());
        }
        changed.sort_unstable();
        changed.dedup();
        for index in changed {
            if !self.definition(index).depends_on.is_empty() {
                self.family.stir(index);
            }
            for child in self.plan.checks.children(index) {
                self.family.stir(*child);
                if let Some(unconfirmed) = self.schedules.unconfirmed_mut(*child) {
                    unconfirmed.note(index);
                }
            }
        }
    }

    /// Updates whether the check waits for its parents. True once it no longer does and its first run is to start now.
    fn update_waiting(&mut self, index: CheckIndex, obstacle: Option<Obstacle>, now: Moment) -> bool {
        let before = self.schedules[index].hold;
        let hold = before.with(obstacle.is_some());
        if before != hold {
            self.schedules.adjust(index).hold = hold;
        }
        let freed = before.holds() && !hold.holds();
        let unconfirmed = self.schedules[index].unconfirmed.is_some();
        // Behind a parent of which nothing is known its result ages: it is as fresh as its own runs.
        let held = obstacle == Some(Obstacle::Waiting) || (unconfirmed && !self.has_unknown_parent(index));
        let state = self.checks[index].state;
        if self.checks[index].held != held {
            self.hold(index, held, now);
        }
        let schedule = &self.schedules[index];
        freed && state == State::Pending && schedule.running.is_none() && schedule.unconfirmed.is_none()
    }

    /// The check waits for its parents from now on, or no longer: its result has not aged while it did. Where it has, because
    /// a parent had become stale, it is as old as it is.
    fn hold(&mut self, index: CheckIndex, held: bool, now: Moment) {
        let since = std::mem::replace(&mut self.schedules.adjust(index).held_since, held.then_some(now));
        // Without a verdict there is none that is to be believed no longer.
        let was_stale =
            self.checks[index].state != State::Pending && self.checks.were_stale(&self.definition(index).depends_on);
        let check = Arc::make_mut(&mut self.checks[index]);
        check.held = held;
        if let (false, Some(since), false) = (held, since, was_stale) {
            check.fresh_at = check.fresh_at.map(|at| at + now.since(at.max(since)));
        }
    }

    /// No parent fails any more: the check is pending, its streaks start anew, and it is run as soon as they are up.
    /// Until that counts it closes what its skip kept closed, so that the end of an outage closes nothing.
    fn recover(&mut self, index: CheckIndex, kept_closed: Option<Closed>, now: Reading) {
        let check = Arc::make_mut(&mut self.checks[index]);
        (check.passes, check.failures) = (0, 0);
        (check.recovery, check.fresh_at) = (kept_closed, Some(now.moment));
        check.enter(State::Pending, now.moment, now.wall);
        let schedule = self.schedules.touch(index);
        schedule.hold = schedule.hold.after_skip();
        // A run under way began in the outage, and nobody waits for one any more.
        schedule.extra.requested = false;
        if let Some(running) = &mut schedule.running {
            running.expedited = true;
        }
        if !schedule.pace.awaits_a_pass() {
            schedule.pace = RunPace::Regular;
        }
        self.push_transition(index, State::Skipped, None);
    }
}

/// The order in which states are propagated, and where there is something to propagate.
#[derive(Debug)]
pub(super) struct FamilyOrder {
    /// Positions of checks, parents before children.
    order: Vec<CheckIndex>,
    /// The place of each check in `order`.
    places: Vec<usize>,
    /// The places of checks that are to be brought in line with their parents.
    stirred: BTreeSet<usize>,
    pub(super) obstacles: Obstacles,
    /// So many times a parent was looked at for a failure that waits for it.
    #[cfg(test)]
    pub(super) looks: usize,
}

impl FamilyOrder {
    pub(super) fn of(plan: &Plan) -> Self {
        let order = parents_first(plan);
        let mut places = vec![0; order.len()];
        for (place, index) in order.iter().enumerate() {
            places[*index] = place;
        }
        let obstacles = Obstacles::of(order.len());
        Self {
            order,
            places,
            stirred: BTreeSet::new(),
            obstacles,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// The place of a check: less than those of its children.
    pub(super) fn place(&self, index: CheckIndex) -> usize {
        self.places[index]
    }

    fn stir(&mut self, index: CheckIndex) {
        self.stirred.insert(self.places[index]);
    }
}

/// The positions of the plan's checks, parents before children. The configuration has no rings; should there be one,
/// its members come in the order of the file.
#[must_use]
pub fn parents_first(plan: &Plan) -> Vec<CheckIndex> {
    let mut order = Vec::with_capacity(plan.checks.len());
    let mut seen = vec![false; plan.checks.len()];
    for start in plan.indices() {
        if plan.checks[start].depends_on.is_empty() {
            if !std::mem::replace(&mut seen[start], true) {
                order.push(start);
            }
            continue;
        }
        // The checks that the walk is inside of, each with how many of its parents have been visited.
        let mut inside = vec![(start, 0)];
        while let Some((check, visited)) = inside.last_mut() {
            if *visited == 0 && std::mem::replace(&mut seen[*check], true) {
                inside.pop();
                continue;
            }
            let (at, parent) = (*check, plan.checks[*check].depends_on.get(*visited).copied());
            *visited += 1;
            match parent {
                Some(parent) => inside.push((parent, 0)),
                None => {
                    order.push(at);
                    inside.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{START, at, child, machine, outages, played, thresholds};
    use super::*;
    use crate::base::clock::Moment;
    use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Definition, Gates};
    use crate::model::verdict::{Endpoint, Judged, JudgedState};
    use crate::simulation::playback::{Playback, reading};

    #[test]
    fn parents_come_first_in_the_longest_chain_too() {
        let order = |parents: &[&[usize]]| {
            parents_first(&plan(parents.iter().enumerate().map(|(at, of)| child(&format!("c{at}"), of)).collect()))
        };
        assert_eq!(order(&[&[2, 1], &[3], &[], &[2]]), [2, 3, 1, 0]);
        assert_eq!(order(&[&[1], &[0], &[2]]), [1, 0, 2], "rings are refused elsewhere, and end here all the same");
        let length = 100_000;
        let chain =
            (0..length).map(|at| child(&format!("c{at}"), &[(at + 1).min(length - 1)][..usize::from(at + 1 < length)]));
        assert_eq!(parents_first(&plan(chain.collect())), (0..length).rev().collect::<Vec<_>>());
    }

    #[test]
    fn an_outage_of_the_parent_skips_the_child_and_its_end_mends_it() {
        let lines = played(vec![check("db"), child("app", &[0])], vec![vec![(3.0, 30.0)], vec![(3.0, 30.0)]], 60.0);
        let words: Vec<&str> = lines[2..].iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["db error", "app skipped for db", "db ok", "app pending", "app ok"]);
    }

    #[test]
    fn an_app_that_stays_broken_after_the_outage_becomes_an_error() {
        let lines = played(vec![check("db"), child("app", &[0])], vec![vec![(3.0, 30.0)], vec![(3.0, 99.0)]], 70.0);
        let words: Vec<&str> = lines[2..].iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["db error", "app skipped for db", "db ok", "app pending", "app error"]);
    }

    /// What was observed of the check until `end`, a letter each: p(ass), f(ail), s(kip).
    fn observed(of: &str, checks: Vec<Definition>, world: Vec<Vec<(f64, f64)>>, end: f64) -> String {
        let mut playback = Playback::new(machine(checks), outages(world), START);
        let mut letters = String::new();
        while playback.now() < at(end) {
            playback.play_until(playback.now() + Duration::from_millis(50), |_| {});
            let observations = playback.machine.take_observations().into_iter();
            letters.extend(
                observations.filter(|seen| seen.check.as_str() == of).map(|seen| &seen.run.outcome.label()[..1]),
            );
        }
        letters
    }

    #[test]
    fn a_run_is_observed_once_as_what_it_was_in_the_end() {
        let checks = || vec![check("db"), child("app", &[0])];
        let outage = vec![(15.0, 28.0)];
        let alone = observed("app", checks(), vec![vec![], outage.clone()], 60.0);
        assert_eq!(alone.trim_matches('p'), "f", "the parent passes: {alone}");
        let together = observed("app", checks(), vec![outage.clone(), outage], 60.0);
        assert!(together.contains('s') && !together.contains('f'), "{together}");
    }

    #[test]
    fn a_grandchild_is_skipped_for_the_root_cause_and_not_for_its_parent() {
        let checks = vec![child("shop", &[1]), child("api", &[2]), check("db")];
        let lines = played(checks, vec![vec![], vec![], vec![(3.0, 30.0)]], 25.0);
        let words: Vec<&str> = lines[3..].iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["db error", "api skipped for db", "shop skipped for db"]);
    }

    #[test]
    fn a_blip_of_the_parent_below_its_threshold_leaves_the_child_as_it_is() {
        let parent = Definition { thresholds: thresholds(3, 1), ..check("db") };
        let app = Definition { interval: Duration::from_secs(1), ..child("app", &[0]) };
        let mut playback =
            Playback::new(machine(vec![parent, app]), outages(vec![vec![(5.0, 14.0)], vec![(5.0, 14.0)]]), START);
        let mut held = false;
        playback.play_until(at(60.0), |snapshot| {
            assert_eq!(snapshot.checks[1].failures, 0);
            held |= snapshot.checks[1].held;
            if snapshot.at > at(1.0) {
                assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Readyz).open, "{snapshot:?}");
            }
        });
        assert!(held);
    }

    #[test]
    fn a_hundred_children_of_one_parent_are_no_storm() {
        let mut checks = vec![check("db")];
        checks.extend((0..100).map(|index| child(&format!("child-{index}"), &[0])));
        let down = vec![vec![(30.0, 60.0)]; 101];
        let mut playback = Playback::new(machine(checks), outages(down), START);
        playback.play_until(at(29.0), |_| {});
        let before = playback.runs();
        playback.play_until(at(60.0), |_| {});
        let during = playback.runs() - before;
        assert!(during < 130, "{during} runs in 31 seconds of outage: the children once, the parent on its beat");
        let mut starts = Vec::new();
        let mut last = playback.runs();
        while playback.now() < at(75.0) {
            playback.play_until(playback.now() + Duration::from_millis(50), |_| {});
            starts.push(playback.runs() - last);
            last = playback.runs();
        }
        assert!(starts.iter().all(|burst| *burst <= 20), "{starts:?}");
        let snapshot = playback.machine.snapshot(reading(playback.now()));
        assert!(snapshot.checks.iter().all(|check| check.state == State::Ok));
    }

    #[test]
    fn a_parent_is_probed_beyond_its_schedule_once_for_each_failure() {
        let slow = Definition { interval: Duration::from_secs(15), timeout: Duration::from_secs(4), ..check("slow") };
        let quick = Definition { interval: Duration::from_millis(500), ..check("quick") };
        let app = Definition { interval: Duration::from_secs(1), ..child("app", &[0, 1]) };
        let checks = vec![slow, quick, app];
        // Wherever in the parent's interval the failure comes: also just before its beat, which it then skips.
        for tenth in 900..1050 {
            let fails_from = f64::from(tenth) / 10.0;
            let mut starts = Vec::new();
            let world = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
                if check == 0 && now > at(60.0) {
                    starts.push(now.since_boot().as_millis() % 15_000);
                }
                let failure = Failure::new(FailureKind::Connect, "connection refused");
                let fails = check == 2 && (at(fails_from)..at(fails_from + 1.0)).contains(&now);
                let takes = Duration::from_millis(if check == 0 { 3_000 } else { 20 });
                (if fails { Err(failure) } else { Ok(Pass::default()) }, takes)
            };
            Playback::new(machine(checks.clone()), world, START).play_until(at(180.0), |_| {});
            let beyond = starts.iter().filter(|phase| **phase != starts[0]).count();
            assert_eq!(beyond, 1, "{fails_from}: {starts:?}");
        }
    }

    #[test]
    fn a_parent_whose_runs_stay_void_lets_no_failure_count_and_closes_readyz_alone() {
        let live = Gates { live: true, ..Gates::default() };
        let checks = vec![check("db"), Definition { gates: live, ..child("app", &[0]) }];
        let world = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let result = match check.get() {
                0 if now >= at(20.0) => Err(Failure::new(FailureKind::Exhausted, "no descriptor is left")),
                1 if now >= at(60.0) => Err(Failure::new(FailureKind::Connect, "connection refused")),
                _ => Ok(Pass::default()),
            };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(checks), world, START);
        playback.play_until(at(3600.0), |_| {});
        let now = playback.now();
        let snapshot = playback.machine.snapshot(reading(now));
        let judged = Judged::new(&snapshot, now);
        assert_eq!(
            (judged.state(CheckIndex::new(0)), judged.state(CheckIndex::new(1))),
            (JudgedState::Stale, JudgedState::Stale)
        );
        assert_eq!(snapshot.checks[1].state, State::Ok);
        let open = [Endpoint::Readyz, Endpoint::Livez].map(|endpoint| judged.endpoint(endpoint).open);
        assert_eq!(open, [false, true]);
    }

    #[test]
    fn a_stale_child_names_no_reason_that_was_over_before_it_failed() {
        let world = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let result = match check.get() {
                0 if now >= at(20.0) => Err(Failure::new(FailureKind::Exhausted, "no descriptor is left")),
                1 if now >= at(30.0) => Err(Failure::new(FailureKind::Connect, "connection refused")),
                1 if now >= at(20.0) => Err(Failure::new(FailureKind::Exhausted, "no local port is left")),
                _ => Ok(Pass::default()),
            };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(vec![check("db"), child("app", &[0])]), world, START);
        let mut said = Vec::new();
        for second in [30.0, 3600.0] {
            playback.play_until(at(second), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            said.push(snapshot.checks[1].no_verdict.is_some());
            let judged = Judged::new(&snapshot, playback.now());
            let is_stale = judged.state(CheckIndex::new(1)) == JudgedState::Stale;
            assert_eq!(
                (is_stale, judged.message(CheckIndex::new(1)).contains("no local port")),
                (second > 30.0, false)
            );
        }
        assert_eq!(said, [true, false]);
    }

    /// The app's own endpoint, which a restart mends, behind a database: the documented way to gate `live`.
    fn behind_a_database(app: u32, database: u32) -> Vec<Definition> {
        let database =
            Definition { thresholds: thresholds(database, 1), interval: Duration::from_secs(5), ..check("database") };
        let live = Gates { live: true, ..Gates::default() };
        let app = Definition {
            gates: live,
            thresholds: thresholds(app, 1),
            interval: Duration::from_secs(7),
            ..child("app", &[0])
        };
        vec![database, app]
    }

    /// Up to four outages, in order and apart, within the first five minutes.
    fn spans() -> impl proptest::strategy::Strategy<Value = Vec<(f64, f64)>> {
        use proptest::strategy::Strategy;
        proptest::collection::vec((0.0f64..60.0, 0.1f64..40.0), 0..=4).prop_map(|spans| {
            let mut second = 0.0;
            let place = |(gap, length): (f64, f64)| {
                let from = second + gap;
                second = from + length;
                (from, second)
            };
            spans.into_iter().map(place).collect()
        })
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 600, ..Default::default() })]

        #[test]
        fn no_order_of_outages_closes_livez_while_the_database_is_away(
            app_threshold in 1u32..=3, database_threshold in 1u32..=3,
            away in 20.0f64..60.0, length in 0.5f64..90.0,
            app_lags in 0.0f64..20.0, app_mends in 0.0f64..20.0, pod in 0u32..1000,
        ) {
            let machine = Machine::new(plan(behind_a_database(app_threshold, database_threshold)), &format!("pod-{pod}"), reading(START));
            // The app fails because the database is away: not before it, and until some time after its return.
            let back = away + length;
            let world = vec![vec![(away, back)], vec![(away + app_lags.min(length), back + app_mends)]];
            let mut playback = Playback::new(machine, outages(world), START);
            playback.play_until(at(away + length), |snapshot| {
                assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open);
            });
            playback.play_until(at(back + app_mends + 60.0), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open, "all is well at the end");
            assert_eq!(snapshot.checks[1].state, State::Ok);
        }

        #[test]
        fn in_every_order_of_failures_livez_closes_only_while_the_database_answers(
            app_threshold in 1u32..=3, database_threshold in 1u32..=3, pod in 0u32..1000,
            database in spans(), app in spans(),
        ) {
            let machine = Machine::new(plan(behind_a_database(app_threshold, database_threshold)), &format!("pod-{pod}"), reading(START));
            let away = database.clone();
            let mut playback = Playback::new(machine, outages(vec![database, app]), START);
            let mut open = true;
            playback.play_until(at(400.0), |snapshot| {
                let now_open = Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open;
                let second = snapshot.at.since(START).as_secs_f64();
                // The run that confirms takes 20 ms: the database answered when it began.
                let answered = |at: f64| !away.iter().any(|(from, to)| (*from..*to).contains(&at));
                assert!(now_open || !open || answered(second - 0.0201), "closed at {second}");
                open = now_open;
            });
        }

        #[test]
        fn an_app_that_stays_broken_alone_closes_livez_in_the_end(
            app_threshold in 1u32..=3, database_threshold in 1u32..=3,
            away in 20.0f64..60.0, length in 0.5f64..90.0, app_fails in 15.0f64..90.0, pod in 0u32..1000,
        ) {
            let machine = Machine::new(plan(behind_a_database(app_threshold, database_threshold)), &format!("pod-{pod}"), reading(START));
            let world = vec![vec![(away, away + length)], vec![(app_fails, 1e6)]];
            let mut playback = Playback::new(machine, outages(world), START);
            playback.play_until(at((away + length).max(app_fails) + 60.0), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            assert!(!Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open);
            assert_eq!(snapshot.checks[1].state, State::Error);
        }
    }

    #[test]
    fn a_failure_that_waited_for_its_parents_makes_no_later_look_older() {
        let gates = Gates { live: true, ready: true, ..Gates::default() };
        let app = Definition {
            interval: Duration::from_secs(2),
            stale_after: Duration::from_secs(8),
            of_pod: true,
            gates,
            thresholds: thresholds(3, 1),
            ..child("app", &[0])
        };
        let world = outages(vec![vec![], vec![(60.0, 120.0)]]);
        let mut playback = Playback::new(machine(vec![check("db"), app]), world, START);
        playback.play_until(at(59.0), |_| {});
        let mut livez = Vec::new();
        playback.play_until(at(119.0), |snapshot| {
            let judged = Judged::new(&snapshot, snapshot.at);
            // The parent is asked every ten seconds: by then the third failure is eight seconds old.
            assert_ne!(judged.state(CheckIndex::new(1)), JudgedState::Stale, "{:?}", snapshot.at);
            livez.push(judged.is_open(Endpoint::Livez));
        });
        livez.dedup();
        assert_eq!(livez, [true, false]);
    }
}
