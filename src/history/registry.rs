//! The registry of all checks: what was told becomes intervals and ticks, and figures are kept as they are needed. Pure:
//! where intervals and ticks are kept is up to a [`Storage`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::answer::Tick;
use super::check_record::{CheckRecord, Runs};
use super::figures::Times;
use super::ledger::{Availability, Ledger, Numbers};
use super::queued_run::QueuedRun;
use super::storage::{Entry, Storage};
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::plan::Plan;

/// Between two signs of life there is at most this much time: more is a gap, in which nothing is known.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// Checks that are gone and still have history; more are forgotten, the longest gone first.
const MOST_GONE: usize = 1000;

/// Where the registry stands, to go on from after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The last sign of life.
    pub seen: Timestamp,
    /// The next check's number.
    pub next_check: u64,
    /// The next interval's number.
    pub next_interval: u64,
    /// The next tick's number.
    pub next_tick: u64,
}

impl Marks {
    /// Of a registry of nothing.
    pub const EMPTY: Self =
        Self { seen: Timestamp::from_unix_micros(i64::MIN), next_check: 1, next_interval: 1, next_tick: 1 };

    /// Whether the registry came past these marks on their way from `earlier` to `later`.
    #[must_use]
    pub fn is_between(&self, earlier: Self, later: Self) -> bool {
        let parts = |marks: &Self| (marks.seen, marks.next_check, marks.next_interval, marks.next_tick);
        let (low, this, high) = (parts(&earlier), parts(self), parts(&later));
        low.0 <= this.0
            && this.0 <= high.0
            && low.1 <= this.1
            && this.1 <= high.1
            && low.2 <= this.2
            && this.2 <= high.2
            && low.3 <= this.3
            && this.3 <= high.3
    }
}

/// The registry.
#[derive(Clone, Debug)]
pub struct Registry {
    records: BTreeMap<u32, CheckRecord>,
    /// The checks that are declared, in the order of the file.
    declared: Vec<u32>,
    names: BTreeMap<CheckName, u32>,
    seen: Timestamp,
    checks: Numbers,
    intervals: Numbers,
    ticks: Numbers,
}

impl Registry {
    /// The registry as it was left. Open intervals end at the last sign of life, because no daemon ran from then on.
    pub fn open(records: impl IntoIterator<Item = CheckRecord>, marks: Marks, storage: &mut dyn Storage) -> Self {
        let mut registry = Self {
            records: records.into_iter().map(|record| (record.entry.id, record)).collect(),
            declared: Vec::new(),
            names: BTreeMap::new(),
            seen: marks.seen,
            checks: Numbers::from(marks.next_check),
            intervals: Numbers::from(marks.next_interval),
            ticks: Numbers::from(marks.next_tick),
        };
        for record in registry.records.values_mut() {
            record.enter(Availability::Unknown, marks.seen, &mut registry.intervals, storage);
        }
        registry
    }

    /// Where the registry stands.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        Marks {
            seen: self.seen,
            next_check: self.checks.peek(),
            next_interval: self.intervals.peek(),
            next_tick: self.ticks.peek(),
        }
    }

    /// The checks of `plan` are watched from `at` on, and no others. A check goes on with the history of its name, or
    /// of its former name when it has none of its own.
    pub fn declare(&mut self, plan: &Plan, at: Timestamp, storage: &mut dyn Storage) {
        self.see(at, storage);
        let mut known = BTreeMap::new();
        for record in self.records.values() {
            known.entry(record.entry.name.clone()).or_insert(record.entry.id);
        }
        let mut declared = Vec::with_capacity(plan.checks.len());
        for check in &plan.checks {
            let own = known.get(&check.name).copied();
            let id = match own.or_else(|| self.rename(known.remove(plan.former_name(check)?)?, &check.name, storage)) {
                Some(id) => id,
                None => self.begin(&check.name, at, storage),
            };
            declared.push(id);
        }
        self.names = plan.checks.iter().map(|check| check.name.clone()).zip(declared.iter().copied()).collect();
        self.declared = declared;
        for record in self.records.values_mut().filter(|record| !is_declared(&self.names, record)) {
            record.enter(Availability::Unknown, at, &mut self.intervals, storage);
        }
        self.forget_the_surplus(storage);
    }

    /// The check stands like this from `at` on.
    pub fn enter(&mut self, check: &CheckName, availability: Availability, at: Timestamp, storage: &mut dyn Storage) {
        self.see(at, storage);
        let Some(record) = self.names.get(check).and_then(|id| self.records.get_mut(id)) else { return };
        record.enter(availability, at, &mut self.intervals, storage);
    }

    /// One more run; nothing is kept of it when the check is not declared.
    pub fn record_run(&mut self, run: QueuedRun, storage: &mut dyn Storage) {
        let QueuedRun { check, at, outcome, reason, took: response_time, message } = run;
        self.see(at, storage);
        let Some(record) = self.names.get(&check).and_then(|id| self.records.get_mut(id)) else { return };
        let (id, check) = (self.ticks.take(), record.entry.id);
        let tick = Tick { id, check, at, outcome, reason, response_time, message };
        record.runs.count(&tick);
        storage.tick(tick);
    }

    /// It is `at` now, or was a while ago: a sign of life. After a long silence the time since the last one is a gap:
    /// nothing is known of it, and afterwards each check stands as before.
    pub fn see(&mut self, at: Timestamp, storage: &mut dyn Storage) {
        self.see_but(at, &BTreeSet::new(), storage);
    }

    /// The same, where nothing is known of the checks with these names after a gap either, until they are told.
    pub fn see_but(&mut self, at: Timestamp, unknown: &BTreeSet<CheckName>, storage: &mut dyn Storage) {
        let seen = self.seen;
        if at > seen.after(LONGEST_SILENCE) {
            for record in self.records.values_mut() {
                let before = record.ledger.open().availability;
                record.enter(Availability::Unknown, seen, &mut self.intervals, storage);
                if !unknown.contains(&record.entry.name) {
                    record.enter(before, at, &mut self.intervals, storage);
                }
            }
        }
        self.seen = seen.max(at);
    }

    fn begin(&mut self, name: &CheckName, at: Timestamp, storage: &mut dyn Storage) -> u32 {
        let id = u32::try_from(self.checks.take()).unwrap_or(u32::MAX);
        let entry = Entry { id, name: name.clone(), created_at: at };
        let ledger = Ledger::begin(at, &mut self.intervals);
        storage.check(&entry);
        storage.interval(id, ledger.open());
        self.records.insert(id, CheckRecord { entry, ledger, past: Times::default(), runs: Runs::default() });
        id
    }

    fn rename(&mut self, id: u32, name: &CheckName, storage: &mut dyn Storage) -> Option<u32> {
        let record = self.records.get_mut(&id)?;
        record.entry.name = name.clone();
        storage.check(&record.entry);
        Some(id)
    }

    /// Forgets the checks that are gone and of which nothing is known since `horizon`.
    pub fn forget_before(&mut self, horizon: Timestamp, storage: &mut dyn Storage) {
        let gone = self.gone().filter(|record| record.ledger.open().from < horizon).map(|record| record.entry.id);
        self.forget(&gone.collect(), storage);
    }

    fn forget_the_surplus(&mut self, storage: &mut dyn Storage) {
        let mut gone: Vec<_> = self.gone().map(|record| (record.ledger.open().from, record.entry.id)).collect();
        gone.sort_unstable();
        let surplus = gone.iter().take(gone.len().saturating_sub(MOST_GONE));
        self.forget(&surplus.map(|(_, id)| *id).collect(), storage);
    }

    fn forget(&mut self, checks: &BTreeSet<u32>, storage: &mut dyn Storage) {
        if !checks.is_empty() {
            self.records.retain(|id, _| !checks.contains(id));
            storage.forget(checks);
        }
    }

    /// The checks that are declared, in the order of the file.
    pub fn declared(&self) -> impl Iterator<Item = &CheckRecord> {
        self.declared.iter().filter_map(|id| self.records.get(id))
    }

    /// The checks that are gone and still have history.
    pub fn gone(&self) -> impl Iterator<Item = &CheckRecord> {
        self.records.values().filter(|record| !is_declared(&self.names, record))
    }

    /// Every check that has history.
    pub fn all(&self) -> impl Iterator<Item = &CheckRecord> {
        self.records.values()
    }

    /// The same, to change them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut CheckRecord> {
        self.records.values_mut()
    }

    /// The check with this number, if it has history.
    #[must_use]
    pub fn record(&self, id: u32) -> Option<&CheckRecord> {
        self.records.get(&id)
    }

    /// The same, to change it.
    pub fn record_mut(&mut self, id: u32) -> Option<&mut CheckRecord> {
        self.records.get_mut(&id)
    }

    /// The number of the declared check of that name.
    #[must_use]
    pub fn number(&self, check: &CheckName) -> Option<u32> {
        self.names.get(check).copied()
    }

    /// The declared check with this number or name.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&CheckRecord> {
        // "+1" and "01" are numbers for Rust, and the latter is the name of a check for somebody.
        let number = key.parse::<u32>().ok().filter(|number| number.to_string() == key);
        let by_number = number.and_then(|id| self.records.get(&id)).filter(|record| is_declared(&self.names, record));
        by_number.or_else(|| self.records.get(self.names.get(key)?))
    }

    /// Writes every check and its open interval once more, into a new storage.
    pub fn restate(&self, storage: &mut dyn Storage) {
        for record in self.records.values() {
            storage.check(&record.entry);
            storage.interval(record.entry.id, record.ledger.open());
        }
    }
}

/// Whether the check of that record is one of those that are declared, by their `names`.
fn is_declared(names: &BTreeMap<CheckName, u32>, record: &CheckRecord) -> bool {
    names.get(&record.entry.name) == Some(&record.entry.id)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::ledger::{Event, Interval, events};
    use super::super::memory::Memory;
    use super::*;
    use crate::model::outcome::FailureKind;
    use crate::model::plan::testing::{check, plan};
    use crate::model::state::OutcomeKind;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn name(text: &str) -> CheckName {
        CheckName::new(text).unwrap()
    }

    /// A registry that keeps things in memory.
    struct Watched {
        registry: Registry,
        memory: Memory,
    }

    impl Watched {
        fn watching(checks: &[&str]) -> Self {
            let mut memory = Memory::within(1 << 20);
            let mut watched = Self { registry: Registry::open([], Marks::EMPTY, &mut memory), memory };
            watched.declare(checks, 0);
            watched
        }

        fn declare(&mut self, checks: &[&str], seconds: i64) {
            let plan: Arc<Plan> = plan(checks.iter().map(|name| check(name)).collect());
            self.registry.declare(&plan, at(seconds), &mut self.memory);
        }

        fn enter(&mut self, check: &str, availability: Availability, seconds: i64) {
            self.registry.enter(&name(check), availability, at(seconds), &mut self.memory);
        }

        fn alive(&mut self, seconds: impl IntoIterator<Item = i64>) {
            for second in seconds {
                self.registry.see(at(second), &mut self.memory);
            }
        }

        fn intervals(&self, check: &str) -> Vec<Interval> {
            let record = self.registry.find(check).unwrap();
            self.memory.intervals(record.entry.id).chain([record.ledger.open()]).collect()
        }

        /// The events of a check: what, from when, to when.
        fn story(&self, check: &str) -> Vec<(&'static str, i64, Option<i64>)> {
            let story =
                |event: Event| (event.kind.label(), event.from.whole_seconds(), event.to.map(Timestamp::whole_seconds));
            events(self.intervals(check)).into_iter().map(story).collect()
        }
    }

    #[test]
    fn the_ups_and_downs_of_a_check_are_its_events() {
        let mut watched = Watched::watching(&["db"]);
        watched.enter("db", Availability::Up, 2);
        watched.enter("db", Availability::Down, 5);
        watched.enter("db", Availability::Up, 9);
        let expected = [("unknown", 0, Some(2)), ("uptime", 2, Some(5)), ("downtime", 5, Some(9)), ("uptime", 9, None)];
        assert_eq!(watched.story("db"), expected);
    }

    #[test]
    fn a_silence_is_a_gap_of_which_nothing_is_known() {
        let mut watched = Watched::watching(&["db"]);
        watched.enter("db", Availability::Up, 1);
        watched.alive(2..=10);
        watched.alive(600..=605);
        let expected =
            [("unknown", 0, Some(1)), ("uptime", 1, Some(10)), ("unknown", 10, Some(600)), ("uptime", 600, None)];
        assert_eq!(watched.story("db"), expected);
        let service = watched.registry.find("db").unwrap().service(at(605));
        assert_eq!(service.metric.uptime_percent, Some(100.0));
        assert_eq!(service.metric.coverage_percent.map(f64::round), Some(2.0));
    }

    #[test]
    fn after_a_gap_nothing_is_known_of_a_check_whose_result_is_too_old_by_then() {
        let mut watched = Watched::watching(&["db", "app"]);
        watched.enter("db", Availability::Up, 1);
        watched.enter("app", Availability::Up, 1);
        watched.alive(2..=10);
        watched.registry.see_but(at(600), &[name("db")].into(), &mut watched.memory);
        watched.enter("db", Availability::Unknown, 600);
        watched.enter("db", Availability::Up, 603);
        let begun = [("unknown", 0, Some(1)), ("uptime", 1, Some(10))];
        assert_eq!(watched.story("db")[..2], begun);
        assert_eq!(watched.story("db")[2..], [("unknown", 10, Some(603)), ("uptime", 603, None)]);
        assert_eq!(watched.story("app")[2..], [("unknown", 10, Some(600)), ("uptime", 600, None)]);
    }

    #[test]
    fn a_pause_of_ten_seconds_is_no_gap() {
        let mut watched = Watched::watching(&["db"]);
        watched.enter("db", Availability::Up, 1);
        watched.alive([11, 21]);
        assert_eq!(watched.story("db").len(), 2);
    }

    #[test]
    fn an_event_whose_watcher_died_ends_at_the_last_sign_of_life() {
        let mut watched = Watched::watching(&["db"]);
        watched.enter("db", Availability::Up, 1);
        watched.alive(2..=30);
        let records: Vec<CheckRecord> = watched.registry.all().cloned().collect();
        watched.registry = Registry::open(records, watched.registry.marks(), &mut watched.memory);
        watched.declare(&["db"], 100);
        watched.enter("db", Availability::Down, 102);
        let expected =
            [("unknown", 0, Some(1)), ("uptime", 1, Some(30)), ("unknown", 30, Some(102)), ("downtime", 102, None)];
        assert_eq!(watched.story("db"), expected);
        assert_eq!(watched.registry.find("db").unwrap().entry.id, 1);
    }

    #[test]
    fn what_happened_a_while_ago_is_told_as_it_was() {
        let mut watched = Watched::watching(&["db"]);
        watched.enter("db", Availability::Up, 1);
        watched.alive(2..=100);
        watched.enter("db", Availability::Down, 70);
        assert_eq!(watched.story("db"), [("unknown", 0, Some(1)), ("uptime", 1, Some(70)), ("downtime", 70, None)]);
        assert_eq!(watched.registry.marks().seen, at(100));
    }

    #[test]
    fn a_check_keeps_its_number_through_removal_and_renaming() {
        let mut watched = Watched::watching(&["a", "b"]);
        watched.declare(&["b"], 5);
        assert!(watched.registry.find("a").is_none());
        watched.declare(&["b", "a"], 6);
        assert_eq!(watched.registry.find("a").unwrap().entry.id, 1);
        let mut renamed = check("c");
        renamed.formerly = Some(name("a"));
        let plan = plan(vec![check("b"), renamed]);
        watched.registry.declare(&plan, at(7), &mut watched.memory);
        watched.registry.declare(&plan, at(8), &mut watched.memory);
        assert_eq!(watched.registry.find("c").unwrap().entry.id, 1);
        assert_eq!(watched.registry.declared().map(|record| record.entry.id).collect::<Vec<_>>(), [2, 1]);
        assert!(watched.registry.find("1").is_some() && watched.registry.find("3").is_none());
    }

    #[test]
    fn a_check_is_found_by_its_number_as_it_is_written_and_else_by_its_name() {
        let watched = Watched::watching(&["a", "01", "4294967297"]);
        let found = |key: &str| watched.registry.find(key).map(|record| record.entry.id);
        let keys = ["1", "a", "01", "4294967297", "+1", "001", "1.0", "-1", "0", "4", "4294967298", ""];
        assert_eq!(keys.map(found)[..4], [Some(1), Some(1), Some(2), Some(3)]);
        assert_eq!(keys.map(found)[4..], [None; 8]);
    }

    #[test]
    fn a_former_name_that_is_still_used_is_not_taken_over() {
        let mut watched = Watched::watching(&["a"]);
        let mut copy = check("b");
        copy.formerly = Some(name("a"));
        watched.registry.declare(&plan(vec![check("a"), copy]), at(1), &mut watched.memory);
        assert_eq!(["a", "b"].map(|name| watched.registry.find(name).unwrap().entry.id), [1, 2]);
    }

    #[test]
    fn checks_that_are_gone_are_forgotten_with_their_age_and_their_number() {
        let mut watched = Watched::watching(&["kept"]);
        for round in 0..=MOST_GONE as i64 {
            watched.declare(&["kept", &format!("round{round}")], 10 + round);
        }
        watched.declare(&["kept"], 2000);
        assert_eq!(watched.registry.gone().count(), MOST_GONE);
        watched.registry.forget_before(at(20), &mut watched.memory);
        assert_eq!(watched.registry.gone().count(), MOST_GONE - 9);
        watched.registry.forget_before(at(5000), &mut watched.memory);
        assert_eq!(watched.registry.all().count(), 1);
    }

    #[test]
    fn figures_count_runs_and_average_those_that_passed_or_failed() {
        let mut watched = Watched::watching(&["db"]);
        let outcomes = [(OutcomeKind::Pass, Some(50)), (OutcomeKind::Fail, Some(2000)), (OutcomeKind::Pass, Some(59))];
        for (outcome, took) in outcomes.into_iter().chain([(OutcomeKind::Skip, None)]) {
            let reason = (outcome == OutcomeKind::Fail).then_some(FailureKind::Timeout);
            let took = took.map(Duration::from_millis);
            let run = QueuedRun { check: name("db"), at: at(1), outcome, reason, took, message: "m".into() };
            watched.registry.record_run(run, &mut watched.memory);
        }
        let metric = watched.registry.find("db").unwrap().service(at(1)).metric;
        assert_eq!((metric.up_count, metric.down_count, metric.tick_count), (2, 1, 4));
        assert_eq!(metric.average_response_time_ms, Some(703.0));
        assert_eq!(metric.uptime_percent, None);
    }

    /// What may happen to the registry of two checks, some seconds after the last thing.
    #[derive(Clone, Debug)]
    enum Happening {
        Enter(bool, Availability, i64),
        Alive(i64),
        Restart(i64),
        Reload(bool, i64),
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let availability = || prop::sample::select(Availability::ALL.to_vec());
        let happening = prop_oneof![
            6 => (any::<bool>(), availability(), -20i64..20).prop_map(|(first, to, after)| Happening::Enter(first, to, after)),
            4 => (-15i64..15).prop_map(Happening::Alive),
            1 => (-300i64..300).prop_map(Happening::Alive),
            1 => (-100i64..300).prop_map(Happening::Restart),
            1 => (any::<bool>(), 0i64..9).prop_map(|(both, after)| Happening::Reload(both, after)),
        ];
        prop::collection::vec(happening, 0..80)
    }

    proptest! {
        #[test]
        fn whatever_happens_intervals_are_gapless_do_not_overlap_and_add_up(happenings in happenings()) {
            let mut watched = Watched::watching(&["a", "b"]);
            let mut now = 0;
            for happening in happenings {
                match happening {
                    Happening::Enter(first, to, after) => watched.enter(if first { "a" } else { "b" }, to, now + after),
                    Happening::Alive(after) => {
                        now += after;
                        watched.alive([now]);
                    }
                    Happening::Restart(after) => {
                        now += after;
                        let records: Vec<CheckRecord> = watched.registry.all().cloned().collect();
                        watched.registry = Registry::open(records, watched.registry.marks(), &mut watched.memory);
                        watched.declare(&["a", "b"], now);
                    }
                    Happening::Reload(both, after) => {
                        now += after;
                        watched.declare(if both { &["a", "b"] } else { &["a"] }, now);
                    }
                }
            }
            watched.declare(&["b", "a"], now);
            let now = watched.registry.marks().seen;
            for check in ["a", "b"] {
                let intervals = watched.intervals(check);
                for pair in intervals.windows(2) {
                    prop_assert_eq!(pair[0].to, Some(pair[1].from));
                    prop_assert!(pair[0].from <= pair[1].from && pair[0].id < pair[1].id);
                    prop_assert_ne!(pair[0].availability, pair[1].availability);
                }
                let record = watched.registry.find(check).unwrap();
                let mut times = record.past;
                times.add(record.ledger.open().availability, record.ledger.open().length(now));
                prop_assert_eq!(times, Times::within(intervals.iter().copied(), intervals[0].from, now));
                prop_assert_eq!(times.total(), now.since(intervals[0].from));
                prop_assert_eq!(Some(record.current()), events(intervals).pop());
            }
        }
    }
}
