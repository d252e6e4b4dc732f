//! A new plan, or a configuration that cannot be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Machine;
use super::check_book::CheckBook;
use super::parents::FamilyOrder;
use super::schedule::CheckSchedules;
use crate::base::clock::Reading;
use crate::model::plan::{Definition, Origin, Plan};
use crate::model::snapshot::Configuration;
use crate::model::state::{CheckState, Closed, Counters, State};
use crate::model::verdict::Judged;
use crate::scheduler::beat_groups::BeatGroups;

impl Machine {
    /// Replaces the plan. `origins` tells for each check of the new plan where it comes from: a kept check goes on with
    /// state, streaks, counters and place in time; an added or changed one starts anew and, until its first pass,
    /// closes only what its old definition kept closed.
    ///
    /// The first plan of a machine without a configuration is a start, not a reload.
    pub fn reload(&mut self, plan: Arc<Plan>, origins: &[Origin], now: Reading) {
        if self.configuration.missing.is_some() {
            let (draining, is_ending) = (self.draining, self.is_ending);
            let latched = self.latched + 1;
            *self = Self { draining, is_ending, latched, ..Self::new(plan, &self.pod.clone(), now) };
            return;
        }
        let snapshot = self.snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        let skips = judged.closed_by_skips();
        let mut kept_closed = BTreeMap::new();
        let mut checks = Vec::with_capacity(plan.checks.len());
        let mut schedules = CheckSchedules::with_room(plan.checks.len());
        self.groups = BeatGroups::default();
        for (definition, origin) in plan.checks.iter().zip(origins) {
            if let Origin::Kept(old) = origin {
                self.groups.keep(definition, self.schedules[*old].place);
            }
        }
        for ((index, definition), origin) in plan.entries().zip(origins) {
            if let Origin::Kept(old) = origin {
                kept_closed.extend(skips.get(old).map(|closed| (index, *closed)));
                checks.push(counting_in_its_buckets(Arc::clone(&self.checks[*old]), definition));
                schedules.push(self.schedules[*old].clone());
                continue;
            }
            let mut check = CheckState::new(now);
            check.probation = Some(Closed::default());
            let mut schedule = self.new_schedule(definition, now.moment);
            if let Origin::Changed(old) = origin {
                check.probation = Some(judged.closed_by(*old));
                check.counters = counted_on(&self.checks[*old]);
                schedule.resume_delay(definition, self.definition(*old), &self.schedules[*old], now.moment);
            }
            checks.push(counting_in_its_buckets(Arc::new(check), definition));
            schedules.push(schedule);
        }
        self.family = FamilyOrder::of(&plan);
        self.latched += 1;
        (self.plan, self.checks, self.schedules) = (plan, CheckBook::of(checks.into_iter().collect()), schedules);
        self.confirm(now);
        self.propagate(now, &kept_closed);
    }

    /// The configuration was read again and says what it said.
    pub fn confirm(&mut self, now: Reading) {
        self.configuration = Configuration { last_success: Some(now.wall), ..Configuration::default() };
    }

    /// A machine without a configuration, for the `reason` given, until [`reload`](Self::reload) brings one.
    #[must_use]
    pub fn without_configuration(plan: Arc<Plan>, pod: &str, reason: String, now: Reading) -> Self {
        let mut machine = Self::new(plan, pod, now);
        machine.configuration = Configuration {
            missing: Some(reason),
            last_load_ok: false,
            last_success: None,
            ..Configuration::default()
        };
        machine
    }

    /// Notes that the plan is that of the last good configuration, for the `reason` given, until
    /// [`reload`](Self::reload) brings a valid one.
    pub fn use_last_good(&mut self, reason: String) {
        self.configuration = Configuration {
            last_good: Some(reason),
            last_load_ok: false,
            last_success: None,
            ..Configuration::default()
        };
    }

    /// Notes that a new configuration could not be used, for the `reason` given.
    pub fn reload_failed(&mut self, reason: String) {
        let configuration = &mut self.configuration;
        configuration.last_load_ok = false;
        // What keeps the daemon from a valid configuration is what is wrong with the file now.
        if let Some(why) = configuration.missing.as_mut().or(configuration.last_good.as_mut()) {
            *why = reason;
        }
    }
}

/// What begins anew does so with the reload: what was counted before comes back with no later one.
fn counting_in_its_buckets(mut check: Arc<CheckState>, definition: &Definition) -> Arc<CheckState> {
    let buckets = &definition.duration_buckets;
    if check.counters.durations.is_counted_otherwise(buckets) {
        Arc::make_mut(&mut Arc::make_mut(&mut check).counters).durations.count_in(buckets);
    }
    check
}

/// What was counted of a check that has changed and is `pending` from now on. It may ask another server, or none with TLS: its
/// first run tells of a certificate where there is one.
fn counted_on(old: &CheckState) -> Arc<Counters> {
    let mut pending = old.clone();
    pending.enter(State::Pending, old.since, old.since_wall);
    if pending.counters.tls_not_after.is_some() {
        Arc::make_mut(&mut pending.counters).tls_not_after = None;
    }
    pending.counters
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{START, at, child, machine, outages, thresholds};
    use super::*;
    use crate::base::clock::{Moment, Timestamp};
    use crate::history::answer::SavedState;
    use crate::model::durations::DurationBuckets;
    use crate::model::index::CheckIndex;
    use crate::model::outcome::{Facts, Failure, FailureKind, Pass, ProbeResult};
    use crate::model::plan::Gates;
    use crate::model::plan::testing::{check, plan};
    use crate::model::snapshot::Snapshot;
    use crate::model::state::State;
    use crate::model::verdict::{Endpoint, JudgedState};
    use crate::simulation::playback::{Playback, reading};

    #[test]
    fn a_reload_keeps_what_has_not_changed_and_puts_the_rest_on_probation() {
        let mut playback = Playback::new(
            machine(vec![check("db"), check("old")]),
            outages(vec![vec![(0.0, 99.0)], vec![], vec![]]),
            START,
        );
        playback.play_until(at(15.0), |_| {});
        let before = playback.machine.snapshot(reading(playback.now()));
        let changed = Definition { interval: Duration::from_secs(7), ..check("db") };
        let next = plan(vec![check("old"), changed, check("new")]);
        playback.machine.reload(
            next,
            &[Origin::Kept(CheckIndex::new(1)), Origin::Changed(CheckIndex::new(0)), Origin::Added],
            reading(playback.now()),
        );
        let after = playback.machine.snapshot(reading(playback.now()));
        assert_eq!(after.checks[0], before.checks[1]);
        let closed = Closed { readyz: true, healthz: true, ..Closed::default() };
        assert_eq!((after.checks[1].state, after.checks[1].probation), (State::Pending, Some(closed)));
        assert_eq!((after.checks[2].state, after.checks[2].probation), (State::Pending, Some(Closed::default())));
        let entered = |index: usize| after.checks[index].counters.transitions;
        assert_eq!((entered(1), entered(2)), ([0, 0, 1, 0, 1], [0; 5]), "what begins has been nothing else before");
        let judged = Judged::new(&after, after.at);
        assert_eq!(
            judged.endpoint(Endpoint::Readyz).closing,
            [1],
            "the changed check keeps closed what it kept closed; the new one closes nothing"
        );
    }

    #[test]
    fn durations_that_begin_anew_do_not_come_back_with_the_old_buckets() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![]]), START);
        playback.play_until(at(15.0), |_| {});
        let counted = |machine: &mut Machine| machine.snapshot(reading(at(15.0))).checks[0].counters.durations.all();
        assert!(counted(&mut playback.machine) > 0);
        let other = Arc::new(DurationBuckets { bounds: Box::new([0.002]), native: false });
        for buckets in [other, DurationBuckets::usual()] {
            for origin in [Origin::Kept(CheckIndex::new(0)), Origin::Changed(CheckIndex::new(0))] {
                let next = Definition { duration_buckets: Arc::clone(&buckets), ..check("db") };
                playback.machine.reload(plan(vec![next]), &[origin], reading(at(15.0)));
                assert_eq!(counted(&mut playback.machine), 0, "{buckets:?} {origin:?}");
            }
        }
    }

    #[test]
    fn the_date_of_a_certificate_goes_with_the_definition_that_it_was_seen_by() {
        let ends = Timestamp::from_unix_seconds(2_000_000_000);
        let found = move |_: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let tls_not_after = (now < at(45.0)).then_some(ends);
            let facts = Facts { tls_not_after, ..Facts::default() };
            let result = if now < at(15.0) {
                Ok(Pass { facts, ..Pass::default() })
            } else {
                Err(Failure { facts, ..Failure::new(FailureKind::Mismatch, "500") })
            };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(vec![check("web")]), found, START);
        let mut date = |until: f64, reloaded: Option<Origin>| {
            playback.play_until(at(until), |_| {});
            if let Some(origin) = reloaded {
                playback.machine.reload(plan(vec![check("web")]), &[origin], reading(playback.now()));
            }
            let counters = &playback.machine.snapshot(reading(playback.now())).checks[0].counters;
            (counters.tls_not_after, counters.runs.iter().sum::<u64>() > 0)
        };
        let first = CheckIndex::new(0);
        assert_eq!(date(15.0, Some(Origin::Kept(first))), (Some(ends), true));
        assert_eq!(date(20.0, Some(Origin::Changed(first))), (None, true));
        assert_eq!(date(40.0, None), (Some(ends), true), "a run that fails may tell of it as well");
        assert_eq!(date(70.0, None), (Some(ends), true), "and it stays through failures");
        assert_eq!(date(70.0, Some(Origin::Changed(first))), (None, true));
        assert_eq!(date(99.0, None), (None, true));
    }

    /// `app` behind `db`, which a reload changes 50 seconds after the start, as both are `ok`. Until `end` what `app` is judged
    /// to be, whenever that changes, and the second of its last run. `world` tells what a run finds from the reload on.
    fn behind_a_changed_parent(
        initial_delay: u64,
        end: f64,
        world: impl Fn(usize, Moment) -> Result<(), FailureKind>,
    ) -> (Vec<(u64, JudgedState)>, u64) {
        let live = Gates { live: true, ready: true, ..Gates::default() };
        let app = Definition { gates: live, ..child("app", &[0]) };
        let initial_delay = Duration::from_secs(initial_delay);
        let db = Definition { initial_delay, thresholds: thresholds(3, 1), ..check("db") };
        let found = |check: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            let found = if now < at(50.0) { Ok(()) } else { world(check.get(), now) };
            (found.map(|()| Pass::default()).map_err(|kind| Failure::new(kind, "as told")), Duration::from_millis(20))
        };
        let started = machine(vec![check("db"), app.clone()]);
        let mut playback = Playback::new(started, found, START);
        playback.play_until(at(50.0), |_| {});
        let origins = [Origin::Changed(CheckIndex::new(0)), Origin::Kept(CheckIndex::new(1))];
        playback.machine.reload(plan(vec![db, app]), &origins, reading(playback.now()));
        let mut states: Vec<(u64, JudgedState)> = Vec::new();
        while playback.now() < at(end) {
            playback.play_until(playback.now() + Duration::from_millis(100), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            let judged = Judged::new(&snapshot, playback.now());
            let state = judged.state(CheckIndex::new(1));
            if states.last().is_none_or(|(_, last)| *last != state) {
                states.push((playback.now().since(START).as_secs(), state));
            }
            assert_eq!(judged.is_open(Endpoint::Livez), state != JudgedState::Fresh(State::Error));
            assert_eq!(judged.is_open(Endpoint::Readyz), state == JudgedState::Fresh(State::Ok), "{states:?}");
        }
        let last = playback.machine.snapshot(reading(playback.now())).checks[1].last.clone();
        (states, last.unwrap().at.since(START).as_secs())
    }

    #[test]
    fn a_check_goes_on_behind_a_parent_that_a_reload_has_changed() {
        let well = |_, _| Ok(());
        let (states, ran) = behind_a_changed_parent(600, 200.0, well);
        assert_eq!(states, [(50, JudgedState::Fresh(State::Ok))]);
        assert!(ran >= 190, "{ran}");
    }

    #[test]
    fn a_failure_behind_a_parent_that_a_reload_has_changed_is_confirmed() {
        let dies = |check, now| if check == 1 && now >= at(100.0) { Err(FailureKind::Connect) } else { Ok(()) };
        let (states, _) = behind_a_changed_parent(600, 200.0, dies);
        assert_eq!(states.len(), 2, "{states:?}");
        assert_eq!(states[1].1, JudgedState::Fresh(State::Error));
        assert!((100..=111).contains(&states[1].0), "{states:?}");
    }

    #[test]
    fn a_check_behind_a_parent_that_never_tells_becomes_stale() {
        // Both can tell nothing any more; the parent once that it fails.
        for falters in [false, true] {
            let void = |check, now| match check {
                0 if falters && now < at(50.5) => Err(FailureKind::Connect),
                1 if now < at(100.0) => Ok(()),
                1 => Err(FailureKind::Connect),
                _ => Err(FailureKind::Exhausted),
            };
            let (states, _) = behind_a_changed_parent(0, 300.0, void);
            assert_eq!(states.len(), 2, "{states:?}");
            assert_eq!(states[1].1, JudgedState::Stale, "{states:?}");
        }
    }

    #[test]
    fn an_initial_delay_is_that_of_the_start_and_no_reload_begins_it_anew() {
        let slow = |timeout| {
            let (timeout, initial_delay) = (Duration::from_millis(timeout), Duration::from_secs(60));
            Definition { timeout, initial_delay, ..check("db") }
        };
        let mut playback = Playback::new(machine(vec![slow(900)]), outages(vec![vec![]]), START);
        let mut ran = Vec::new();
        for (reloaded, timeout) in [(30.0, 800), (100.0, 700)] {
            playback.play_until(at(reloaded), |_| {});
            let origins = [Origin::Changed(CheckIndex::new(0))];
            playback.machine.reload(plan(vec![slow(timeout)]), &origins, reading(playback.now()));
            let until = |playback: &mut Playback<_>| {
                let before = playback.runs();
                while playback.runs() == before {
                    playback.play_until(playback.now() + Duration::from_millis(100), |_| {});
                }
            };
            until(&mut playback);
            ran.push(playback.now().since(START).as_secs());
        }
        assert_eq!(ran, [60, 100]);
    }

    #[test]
    fn a_reload_closes_nothing_while_a_success_threshold_is_reached() {
        let slow = |threshold| Definition {
            interval: Duration::from_secs(30),
            thresholds: thresholds(1, threshold),
            ..check("db")
        };
        let fails_from = |second| vec![vec![(second, 999.0)]];
        for (world, open_at_the_end) in [(vec![vec![]], true), (fails_from(60.0), false)] {
            let mut playback = Playback::new(machine(vec![slow(1)]), outages(world), START);
            playback.play_until(at(50.0), |_| {});
            let origins = [Origin::Changed(CheckIndex::new(0))];
            playback.machine.reload(plan(vec![slow(3)]), &origins, reading(playback.now()));
            let is_open = |snapshot: &Snapshot| Judged::new(snapshot, snapshot.at).is_open(Endpoint::Readyz);
            playback.play_until(at(60.0), |snapshot| assert!(is_open(&snapshot), "{snapshot:?}"));
            playback.play_until(at(200.0), |snapshot| assert!(is_open(&snapshot) || !open_at_the_end, "{snapshot:?}"));
            assert_eq!(is_open(&playback.machine.snapshot(reading(playback.now()))), open_at_the_end);
        }
    }

    #[test]
    fn a_check_that_flaps_after_a_reload_closes_what_it_gates() {
        let twice = |timeout| {
            let timeout = Duration::from_millis(timeout);
            Definition { interval: Duration::from_secs(1), timeout, thresholds: thresholds(2, 2), ..check("db") }
        };
        let mut runs = 0;
        let found = move |_: CheckIndex, now: Moment| -> (ProbeResult, Duration) {
            runs += u32::from(now >= at(50.0));
            let result =
                if runs % 2 == 0 { Ok(Pass::default()) } else { Err(Failure::new(FailureKind::Mismatch, "500")) };
            (result, Duration::from_millis(20))
        };
        let mut playback = Playback::new(machine(vec![twice(900)]), found, START);
        playback.play_until(at(50.0), |_| {});
        let origins = [Origin::Changed(CheckIndex::new(0))];
        playback.machine.reload(plan(vec![twice(800)]), &origins, reading(playback.now()));
        playback.play_until(at(70.0), |_| {});
        let snapshot = playback.machine.snapshot(reading(playback.now()));
        assert_eq!(snapshot.checks[0].state, State::Pending);
        assert!(!Judged::new(&snapshot, snapshot.at).is_open(Endpoint::Readyz));
    }

    #[test]
    fn what_a_reload_puts_behind_a_failing_parent_asks_for_no_restart() {
        let live = Gates { live: true, ..Gates::default() };
        let app = |parents: &[usize]| Definition { gates: live, ..child("app", parents) };
        let away = vec![(20.0, 100.0)];
        let world = outages(vec![away.clone(), away]);
        let mut playback = Playback::new(machine(vec![check("db"), app(&[])]), world, START);
        playback.play_until(at(50.0), |_| {});
        let is_open = |snapshot: &Snapshot| Judged::new(snapshot, snapshot.at).is_open(Endpoint::Livez);
        assert!(!is_open(&playback.machine.snapshot(reading(playback.now()))), "nothing says that it depends on db");
        let origins = [Origin::Kept(CheckIndex::new(0)), Origin::Changed(CheckIndex::new(1))];
        playback.machine.reload(plan(vec![check("db"), app(&[0])]), &origins, reading(playback.now()));
        playback.play_until(at(200.0), |snapshot| assert!(is_open(&snapshot), "{snapshot:?}"));
    }

    #[test]
    fn a_restart_of_the_sidecar_forgets_nothing_of_a_check_that_a_reload_changed_or_renamed() {
        let live = Gates { live: true, ..Gates::default() };
        let app =
            |name: &str, timeout| Definition { gates: live, timeout: Duration::from_millis(timeout), ..check(name) };
        let renamed = |timeout| Definition { formerly: Some(app("app", 0).name.clone()), ..app("renamed", timeout) };
        let closes = |checks: Vec<Definition>, saved: &SavedState| {
            let mut playback = Playback::new(machine(checks), outages(vec![vec![(0.0, 999.0)]]), START);
            playback.machine.restore(saved);
            playback.play_until(at(60.0), |_| {});
            let snapshot = playback.machine.snapshot(reading(playback.now()));
            !Judged::new(&snapshot, snapshot.at).is_open(Endpoint::Livez)
        };
        let mut playback = Playback::new(machine(vec![app("app", 900)]), outages(vec![vec![(20.0, 999.0)]]), START);
        playback.play_until(at(15.0), |_| {});
        let saved = playback.machine.latches();
        assert!(closes(vec![app("app", 900)], &saved) && closes(vec![renamed(900)], &saved));
        assert!(!closes(vec![app("another", 900)], &saved), "it is starting");
        playback.play_until(at(60.0), |_| {});
        for next in [app("app", 800), renamed(800)] {
            let origins = [Origin::Changed(CheckIndex::new(0))];
            playback.machine.reload(plan(vec![next.clone()]), &origins, reading(playback.now()));
            playback.play_until(playback.now() + Duration::from_secs(30), |_| {});
            assert!(closes(vec![next], &playback.machine.latches()));
        }
    }

    #[test]
    fn a_configuration_that_says_what_it_said_mends_a_failed_load_and_changes_nothing_else() {
        let mut playback = Playback::new(machine(vec![check("db")]), outages(vec![vec![]]), START);
        playback.play_until(at(15.0), |_| {});
        let before = playback.machine.snapshot(reading(playback.now()));
        playback.machine.reload_failed("a typo".into());
        assert!(!playback.machine.snapshot(reading(playback.now())).configuration.last_load_ok);
        let now = reading(at(16.0));
        playback.machine.confirm(now);
        let after = playback.machine.snapshot(now);
        assert!(after.checks.are_those_of(&before.checks) && Arc::ptr_eq(&after.plan, &before.plan));
        assert!(after.configuration.last_load_ok && after.configuration.last_success == Some(now.wall));
        playback.machine.use_last_good("a typo".into());
        playback.machine.confirm(now);
        assert_eq!(playback.machine.snapshot(now).configuration.last_good, None);
    }
}
