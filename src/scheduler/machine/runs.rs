//! What is started when, and what the end of a run means.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::confirmation::Unconfirmed;
use super::obstacles::Obstacle;
use super::schedule::{PastRun, RunPace};
use super::{CheckKey, Machine, RunStart};
use crate::base::clock::Reading;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
use crate::model::verdict::Judged;
use crate::scheduler::cadence::jitter;

impl Machine {
    /// Starts what is due at `now`: the runs that are to begin at this moment.
    #[must_use]
    pub fn due(&mut self, now: Reading) -> Vec<RunStart> {
        // Nothing has ended a skip here: what ends one propagates by itself, and says what it kept closed.
        self.propagate(now, &BTreeMap::new());
        self.schedules.refresh();
        let mut due: Vec<CheckIndex> = self.schedules.due(now.moment).collect();
        due.sort_unstable_by_key(|index| self.family.place(*index));
        let mut starts = Vec::new();
        for index in due {
            let beaten = self.schedules[index].beat <= now.moment;
            let obstacle = self.obstacle(index);
            if obstacle == Some(Obstacle::Blocked) && beaten {
                self.skip(index, now);
            }
            // A run that is expedited or extra waits for the parents, also in a start-up; a beat proves itself.
            let goes = obstacle.is_none() || (beaten && self.proves_itself_now(index));
            if goes {
                starts.extend(self.schedules.touch(index).start(index, now.moment));
            } else if beaten {
                self.schedules.touch(index).skip_to_next_beat(now.moment);
            }
        }
        starts
    }

    /// Whether the check runs whatever its parents are doing: the app's container has started anew and has to show that
    /// it works. Behind a parent that has to show the same it waits for that one.
    fn proves_itself_now(&self, index: CheckIndex) -> bool {
        let parents = &self.definition(index).depends_on;
        matches!(self.schedules[index].pace, RunPace::Proving(_))
            && !parents.iter().any(|parent| self.checks[*parent].unproven)
    }

    /// Takes in what the run of `key` observed. A key that is no longer known is a run of a check that a reload took
    /// away: it changes nothing.
    pub fn finished(&mut self, key: CheckKey, observation: Observation, now: Reading) {
        let Some(index) = self.schedules.position(key) else { return };
        let observation = self.as_seen_of_this_container(index, observation);
        if let Some(start_up) = self.dispels_or_confirms_doubt(index, &observation) {
            self.start_anew(start_up, now);
        }
        let tells_nothing_of_the_doubt = self.doubt.is_some_and(|doubt| observation.began < doubt);
        let up = self.is_up_with_a_pass(index);
        let of_the_last_container = self.checks[index].unproven && observation.began < self.start_up.began;
        let schedule = self.schedules.touch(index);
        let expedited = schedule.running.take().is_some_and(|running| running.expedited);
        if of_the_last_container {
            // The run that is to see the new container has been due since it started.
            self.count_run(index, &observation);
            return;
        }
        let passed = matches!(observation.outcome, Outcome::Pass(_));
        let void = matches!(observation.outcome, Outcome::Void(_));
        // A void run confirms nobody's failure: children wait on, and go stale with it.
        if !void {
            schedule.last_run = Some(PastRun { began: observation.began, passed });
        }
        let unconfirmed = if passed { schedule.passed(up, now.moment) } else { None };
        // The failure of an expedited run counts for nothing, so it makes nothing quicker either.
        if !passed && !void && !expedited {
            schedule.back_off(observation.began);
        }
        // A run that took longer than its interval skips the beats it covered, and does not catch up.
        if schedule.beat <= now.moment {
            schedule.skip_to_next_beat(now.moment);
        }
        if tells_nothing_of_the_doubt && schedule.watches_the_app {
            // It was under way when the doubt arose: the run that decides follows at once.
            schedule.beat = now.moment;
        }
        if !passed && expedited {
            schedule.retry_expedited(now.moment);
        }
        if let Some(unconfirmed) = unconfirmed {
            self.count_run(index, &unconfirmed.failed);
        }
        // Judged before the pass is applied: afterwards nobody knows what the skips kept closed.
        let ends_skips = passed && self.checks[index].state.blocks_children();
        let closed = || {
            let as_before = self.as_it_stands(now);
            Judged::new(&as_before, now.moment).closed_by_skips_behind(index)
        };
        let kept_closed = if ends_skips { closed() } else { BTreeMap::new() };
        let blocked = self.obstacle(index) == Some(Obstacle::Blocked);
        let has_parents = !self.definition(index).depends_on.is_empty();
        match (&observation.outcome, blocked) {
            // Its parent fails: that the app answers all the same shows its new container, and moves no state.
            (Outcome::Pass(_), true) => self.record_proof(index, &observation),
            // It says nothing about the target, so there is nothing to confirm either.
            (Outcome::Void(_), _) => self.count_run(index, &observation),
            // It was run before its parent was known to fail: a failure with an excuse.
            (Outcome::Fail(_), true) => self.count_run(index, &Observation { outcome: Outcome::Skip, ..observation }),
            // Expedited runs can only mend.
            (Outcome::Fail(_), false) if expedited => self.count_run(index, &observation),
            (Outcome::Fail(_), false) if has_parents => self.leave_unconfirmed(index, observation),
            (_, _) => self.apply(index, &observation),
        }
        self.propagate(now, &kept_closed);
    }

    /// Whether one pass more is all that it takes.
    fn is_up_with_a_pass(&self, index: CheckIndex) -> bool {
        let check = &self.checks[index];
        let passes = if self.schedules[index].unconfirmed.is_some() { 0 } else { check.passes };
        check.state.is_up() || passes.saturating_add(1) >= self.definition(index).thresholds.success.get()
    }

    /// What the run says of the app's present container: a pass that shows what the last one did is none.
    fn as_seen_of_this_container(&self, index: CheckIndex, observation: Observation) -> Observation {
        match &observation.outcome {
            Outcome::Pass(Pass { as_of: Some(as_of), .. })
                if self.checks[index].unproven && *as_of < self.start_up.began =>
            {
                let why = Failure::new(FailureKind::Void, "nothing yet in this start");
                Observation { outcome: Outcome::Void(why), ..observation }
            }
            _ => observation,
        }
    }

    /// A pass of a check whose parents fail: it moves no state, but shows that the new container works.
    fn record_proof(&mut self, index: CheckIndex, observation: &Observation) {
        self.count_run(index, observation);
        if self.checks[index].unproven {
            let check = Arc::make_mut(&mut self.checks[index]);
            (check.unproven, check.passed_once, check.seen_once) = (false, true, true);
            self.latched += 1;
        }
    }

    /// A failure that counts once the parents have passed after it. Where one waits already, that one decides: it is
    /// the older, and the parents are not asked for each.
    fn leave_unconfirmed(&mut self, index: CheckIndex, observation: Observation) {
        let is_first = self.schedules[index].unconfirmed.is_none();
        let check = Arc::make_mut(&mut self.checks[index]);
        check.seen_once = true;
        check.no_verdict = None;
        // One that waits for parents which tell is as fresh as they are; else the first is the last there is to go by.
        if is_first || check.held {
            check.fresh_at = Some(observation.ended);
        }
        if !is_first {
            self.count_run(index, &observation);
        } else {
            self.schedules.touch(index).unconfirmed = Some(Box::new(Unconfirmed::of(observation)));
        }
    }

    /// A parent fails. For a check that has to prove itself in a new start-up this excuses it only where the failure
    /// was seen in that start-up.
    pub(super) fn skip(&mut self, index: CheckIndex, now: Reading) {
        let seen_before = self.checks[index].seen_once;
        self.apply(index, &skip(now));
        if self.checks[index].unproven && !seen_before {
            let began = self.start_up.began;
            let is_fresh = |cause: CheckIndex| self.schedules[cause].last_run.is_some_and(|ran| ran.began >= began);
            let excused = self.all_causes_of(vec![index]).into_iter().all(is_fresh);
            Arc::make_mut(&mut self.checks[index]).seen_once = excused;
        }
    }

    /// The app has pushed news for `check`: they are looked at now, at most once a second beyond its schedule.
    pub fn hear(&mut self, check: &str, now: Reading) {
        if let Some(index) = self.plan.position(check) {
            self.schedules.touch(index).hear(now.moment);
        }
    }

    /// The clock has jumped (the machine slept, the process was paused, the wall clock was set): all checks run at
    /// once, and what they find can only mend.
    pub fn jumped(&mut self, now: Reading) {
        let count = self.checks.len();
        for (index, definition) in self.plan.entries() {
            let schedule = self.schedules.touch(index);
            match &mut schedule.running {
                // Put off once: failures would never count while the clock keeps jumping.
                Some(running) => running.expedited |= !std::mem::replace(&mut schedule.postponed, true),
                None => {
                    let delay = jitter(count, schedule.cadence.interval(), &self.pod, definition.name.as_str());
                    schedule.expedite((now.moment + delay).max(schedule.not_before));
                }
            }
        }
    }
}

fn skip(now: Reading) -> Observation {
    Observation { outcome: Outcome::Skip, began: now.moment, ended: now.moment, wall: now.wall, dialled: None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{START, at, child, machine, outages, played, thresholds};
    use crate::base::clock::Reading;
    use crate::model::outcome::{Observation, Outcome, Pass};
    use crate::model::plan::Definition;
    use crate::model::plan::testing::check;
    use crate::model::state::State;
    use crate::simulation::playback::{Playback, reading};

    fn passing(at: Reading) -> Observation {
        let outcome = Outcome::Pass(Pass::default());
        Observation { outcome, began: at.moment, ended: at.moment, wall: at.wall, dialled: None }
    }

    #[test]
    fn first_runs_are_at_once_and_children_follow_their_parents() {
        let lines = played(vec![check("db"), child("app", &[0])], vec![vec![], vec![]], 5.0);
        assert_eq!(lines, ["0 db ok", "0 app ok"]);
    }

    #[test]
    fn that_a_run_begins_is_no_news() {
        let mut machine = machine(vec![check("db"), check("app")]);
        let before = machine.snapshot(reading(START));
        let starts = machine.due(reading(START));
        assert_eq!(starts.len(), 2);
        assert!(machine.snapshot(reading(START)).says_the_same_as(&before), "it is published for nobody");
        machine.finished(starts[0].key, passing(reading(START)), reading(START));
        assert!(!machine.snapshot(reading(START)).says_the_same_as(&before));
    }

    #[test]
    fn an_initial_delay_holds_however_soon_the_parents_pass() {
        let app = || Definition { initial_delay: Duration::from_secs(20), ..child("app", &[0]) };
        let lines = played(vec![check("db"), app()], vec![vec![], vec![]], 25.0);
        assert_eq!(lines, ["0 db ok", "20 app ok"]);
        let lines = played(vec![check("db"), app()], vec![vec![(0.0, 3.0)], vec![]], 40.0);
        assert_eq!(lines, ["0 db error", "0 app skipped for db", "4 db ok", "4 app pending", "20 app ok"]);
    }

    #[test]
    fn first_runs_repeat_quickly_until_the_first_pass() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![(0.0, 9.0)]]), START);
        playback.play_until(at(8.9), |_| {});
        assert_eq!(playback.runs(), 5, "at 0, 1, 2.5, 4.75 and 8.125 seconds");
    }

    #[test]
    fn a_pass_ends_the_first_runs_once_it_takes_no_more_of_them() {
        let orders = |success| Definition {
            interval: Duration::from_secs(60),
            thresholds: thresholds(1, success),
            ..check("orders")
        };
        for (success, runs, up) in [(1, 2, "0 orders ok"), (3, 4, "2 orders ok")] {
            let mut playback = Playback::new(machine(vec![orders(success)]), outages(vec![vec![]]), START);
            playback.play_until(at(59.9), |_| {});
            assert_eq!(playback.runs(), runs, "and one on the beat");
            assert_eq!(played(vec![orders(success)], vec![vec![]], 5.0), [up]);
        }
    }

    #[test]
    fn runs_that_begin_together_are_throttled_until_they_are_on_their_beats() {
        let mut machine = machine(vec![check("db"), check("app")]);
        for expected in [vec![true; 2], vec![false; 2]] {
            let now = reading(machine.next_wake().unwrap().max(START));
            let starts = machine.due(now);
            assert_eq!(starts.iter().map(|start| start.throttled).collect::<Vec<_>>(), expected, "{now:?}");
            for start in starts {
                machine.finished(start.key, passing(now), now);
            }
        }
    }

    #[test]
    fn checks_of_one_interval_run_close_together_and_three_of_one_server_at_most() {
        let of = |name: &str, target: &str| Definition {
            interval: Duration::from_secs(5),
            target: Some(target.into()),
            of_pod: target.contains("127.0.0.1"),
            ..check(name)
        };
        let app = |name| of(name, "http://127.0.0.1:8080/health");
        let checks = vec![app("a"), app("b"), app("c"), app("d"), of("db", "db:5432"), of("cache", "cache:6379")];
        let mut playback = Playback::new(machine(checks), outages(vec![vec![]; 6]), START);
        playback.play_until(at(60.0), |_| {});
        let mut began = Vec::new();
        playback.play_until(at(65.0), |snapshot| {
            let runs = snapshot.plan.checks.iter().zip(snapshot.checks.iter());
            let runs = runs.filter_map(|(check, state)| Some((state.last.as_ref()?.at, check.name.to_string())));
            began.extend(runs.filter(|(began, _)| *began >= at(60.0)));
        });
        began.sort();
        began.dedup();
        let mut groups: Vec<Vec<&str>> = Vec::new();
        for (index, (at, check)) in began.iter().enumerate() {
            let close = index > 0 && at.since(began[index - 1].0) <= Duration::from_millis(1);
            if !close {
                groups.push(Vec::new());
            }
            groups.last_mut().unwrap().push(check);
        }
        groups.sort_by_key(Vec::len);
        assert_eq!(groups, [vec!["d"], vec!["a", "b", "c", "db", "cache"]], "{began:?}");
    }

    #[test]
    fn a_jump_of_the_clock_runs_everything_and_its_failures_do_not_count() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![(20.0, 20.5)]]), START);
        playback.play_until(at(19.9), |_| {});
        let before = playback.runs();
        playback.play_until(at(20.0), |_| {});
        playback.machine.jumped(reading(at(20.0)));
        playback.play_until(at(20.4), |snapshot| assert_eq!(snapshot.checks[0].state, State::Ok));
        assert_eq!(playback.runs() - before, 1);
        let snapshot = playback.machine.snapshot(reading(playback.now()));
        assert_eq!((snapshot.checks[0].counters.runs[1], snapshot.checks[0].failures), (1, 0));
    }

    #[test]
    fn failures_count_even_while_the_clock_keeps_jumping() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![(20.0, 99.0)]]), START);
        let mut second = 0.0;
        while second < 40.0 {
            second += 2.5;
            playback.play_until(at(second), |_| {});
            playback.machine.jumped(reading(at(second)));
        }
        assert_eq!(playback.machine.snapshot(reading(at(second))).checks[0].state, State::Error);
    }

    #[test]
    fn news_are_looked_at_at_once_and_at_most_once_a_second() {
        let definition = Definition { interval: Duration::from_secs(60), ..check("loop") };
        let mut playback = Playback::new(machine(vec![definition]), outages(vec![vec![(20.0, 99.0)]]), START);
        playback.play_until(at(19.0), |_| {});
        let before = playback.runs();
        for tenth in 200..=240 {
            let now = at(f64::from(tenth) / 10.0);
            playback.play_until(now, |_| {});
            playback.machine.hear("loop", reading(now));
            playback.machine.hear("nobody", reading(now));
            if tenth == 201 {
                assert_eq!(playback.machine.snapshot(reading(now)).checks[0].state, State::Error, "it counts");
            }
        }
        playback.play_until(at(25.9), |_| {});
        assert_eq!(playback.runs() - before, 6, "at 20, 21, 22, 23, 24, and 25 for what came after 24");
    }

    #[test]
    fn news_wait_for_the_parents_and_for_the_initial_delay() {
        let checks = vec![
            check("db"),
            Definition { interval: Duration::from_secs(60), ..child("app", &[0]) },
            Definition { initial_delay: Duration::from_secs(20), ..check("late") },
        ];
        let mut playback = Playback::new(machine(checks), outages(vec![vec![(9.0, 40.0)], vec![], vec![]]), START);
        let hear = |playback: &mut Playback<_>, second: f64| {
            playback.play_until(at(second), |_| {});
            for check in ["app", "late"] {
                playback.machine.hear(check, reading(at(second)));
            }
        };
        hear(&mut playback, 15.0);
        playback.play_until(at(19.9), |snapshot| assert!(snapshot.checks[2].last.is_none()));
        playback.play_until(at(20.1), |_| {});
        assert_eq!(playback.machine.snapshot(reading(at(20.1))).checks[2].state, State::Ok);
        hear(&mut playback, 25.0);
        playback.play_until(at(39.0), |snapshot| assert_eq!(snapshot.checks[1].state, State::Skipped));
        playback.play_until(at(55.0), |_| {});
        assert_eq!(playback.machine.snapshot(reading(at(55.0))).checks[1].state, State::Ok);
    }

    #[test]
    fn observations_that_nobody_takes_are_bounded() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![]]), START);
        playback.play_until(at(3600.0), |_| {});
        assert!(playback.runs() > 300);
        assert_eq!(playback.machine.take_observations().len(), 260);
    }
}
