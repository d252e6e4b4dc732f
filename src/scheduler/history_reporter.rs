//! What the scheduler tells history: every run, every change, signs of life, and what has to be known after a restart.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::machine::{Machine, Transition};
use crate::base::clock::{Moment, Reading, Timestamp};
use crate::base::name::CheckName;
use crate::history::History;
use crate::history::answer::{RecordedRun, SavedState};
use crate::history::ledger::Availability;
use crate::history::registry::LONGEST_SILENCE;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Judged, JudgedState};
use crate::probe::heartbeat::Beats;

/// Between two signs of life, at least.
const PULSE: Duration = Duration::from_secs(1);
/// Beats are saved so often, and news among them within [`PULSE`]: a restart makes a beat look younger by at most this
/// much, and never older.
const BEATS: Duration = Duration::from_secs(10);

/// The one who tells history.
pub struct HistoryReporter {
    history: History,
    beats: Arc<Beats>,
    /// What the clocks showed when history began: what it is told goes on from there with the boot clock.
    origin: Reading,
    /// When a drain was asked for, which has not been undone.
    draining_since: Option<Timestamp>,
    /// Somebody has asked for a drain, or undone one, since the start.
    drain_was_told: bool,
    /// What was saved before the restart is known. Saving before that would overwrite it.
    is_restored: bool,
    pulse: Option<Moment>,
    beats_saved: Option<Moment>,
    /// They tell something else than those that are saved.
    beats_have_news: bool,
    saved: SavedState,
    /// What the machine's latches were when they were last looked at.
    latched: Option<u64>,
    /// The checks whose result has become stale.
    stale: BTreeSet<CheckName>,
}

impl fmt::Debug for HistoryReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryReporter").field("saved", &self.saved).finish_non_exhaustive()
    }
}

impl HistoryReporter {
    /// Tells `history`, which began at `origin`; `beats` are those that the app pushes.
    #[must_use]
    pub fn new(history: History, beats: Arc<Beats>, origin: Reading) -> Self {
        Self {
            history,
            beats,
            origin,
            draining_since: None,
            drain_was_told: false,
            is_restored: false,
            pulse: None,
            beats_saved: None,
            beats_have_news: false,
            saved: SavedState::default(),
            latched: None,
            stale: BTreeSet::new(),
        }
    }

    /// The checks of the machine's plan are watched from now on, and stand as they do.
    pub fn declare(&mut self, machine: &Machine, now: Reading) {
        let at = self.origin.wall_at(now.moment);
        self.history.declare(machine.plan(), at);
        let declared: BTreeSet<&CheckName> = machine.states().map(|(check, _)| check).collect();
        self.stale.retain(|check| declared.contains(check));
        // A result that is too old says no more because of a reload.
        for (check, state) in machine.states().filter(|(check, _)| !self.stale.contains(*check)) {
            self.history.transition(check, state, at);
        }
    }

    /// Takes over what was saved before the sidecar was restarted in this pod. A drain is taken over unless somebody
    /// has decided about that since the start. A beat is as old as it was when it was last looked at: while the sidecar
    /// was away nobody could take another. It may have come when its check had its former name.
    pub fn restore(&mut self, latches: SavedState, machine: &mut Machine, now: Reading) {
        machine.restore(&latches);
        if let Some(since) = latches.draining_since.filter(|_| !self.drain_was_told) {
            self.draining_since = Some(since);
            machine.set_draining(true);
        }
        let plan = machine.plan();
        for check in &plan.checks {
            let former = || latches.beats.get(plan.former_name(check)?);
            if let Some(at) = latches.beats.get(&check.name).or_else(former) {
                let age = latches.looked_at.map_or(Duration::ZERO, |looked| looked.since(*at));
                self.beats.restore(check.name.as_str(), now.moment - age);
            }
        }
        self.saved = latches;
        self.is_restored = true;
    }

    /// A drain was asked for at `at`, or undone.
    pub fn drain(&mut self, draining: bool, at: Moment) {
        self.drain_was_told = true;
        self.draining_since = draining.then(|| self.draining_since.unwrap_or(self.origin.wall_at(at)));
    }

    /// The first beat of a check has come, or one that says something else than the last.
    pub fn beats_have_news(&mut self) {
        self.beats_have_news = true;
    }

    /// Whether the last of them is still to be saved.
    #[must_use]
    pub const fn has_unsaved_news(&self) -> bool {
        self.beats_have_news
    }

    /// Tells of these changes of state, records what has been observed since this was last called, gives a sign of life at
    /// most every second, and saves what has to be known after a restart when it has changed.
    pub fn write(&mut self, machine: &mut Machine, snapshot: &Snapshot, transitions: &[Transition]) {
        let now = snapshot.reading();
        let is_pulse = self.pulse.is_none_or(|last| now.moment.since(last) >= PULSE);
        if is_pulse {
            self.give_sign_of_life(snapshot, transitions);
        }
        for Transition { check, to, at, .. } in transitions {
            self.history.transition(check, *to, self.origin.wall_at(*at));
        }
        let mut ran_again = Vec::new();
        for observed in machine.take_observations() {
            let run = &observed.run;
            self.history.record(&RecordedRun {
                check: &observed.check,
                at: self.origin.wall_at(run.at),
                outcome: run.outcome,
                reason: run.reason,
                took: run.took,
                message: &run.message,
            });
            ran_again.extend(self.stale.get(&observed.check).cloned());
        }
        if is_pulse {
            self.tell_stale(snapshot);
        } else if !ran_again.is_empty() {
            let judged = Judged::new(snapshot, snapshot.at);
            ran_again.retain(|check| !is_stale(check, &judged));
            ran_again.iter().for_each(|check| self.tell_fresh(check, &judged));
        }
        if self.is_restored {
            self.save(machine, now);
        }
    }

    /// Comes before whatever else is told: after a silence each check stands as before, but for those that do not.
    fn give_sign_of_life(&mut self, snapshot: &Snapshot, transitions: &[Transition]) {
        let told = self.origin.wall_at(snapshot.at);
        let last = self.pulse.replace(snapshot.at);
        let mut unknown = BTreeSet::new();
        if last.is_some_and(|last| snapshot.at.since(last) > LONGEST_SILENCE) {
            unknown.extend(stale(&Judged::new(snapshot, snapshot.at)).cloned());
            unknown.extend(transitions.iter().map(|transition| transition.check.clone()));
        }
        self.history.date(told, snapshot.wall);
        self.history.alive_but(told, unknown);
    }

    /// A result that is too old says nothing about the time since.
    fn tell_stale(&mut self, snapshot: &Snapshot) {
        let at = self.origin.wall_at(snapshot.at);
        let judged = Judged::new(snapshot, snapshot.at);
        for check in stale(&judged) {
            if self.stale.insert(check.clone()) {
                self.history.transition(check, Availability::Unknown, at);
            }
        }
        let fresh: Vec<CheckName> = self.stale.iter().filter(|check| !is_stale(check, &judged)).cloned().collect();
        fresh.iter().for_each(|check| self.tell_fresh(check, &judged));
    }

    /// The check, whose result was too old and is not any more, stands as it does.
    fn tell_fresh(&mut self, check: &CheckName, judged: &Judged<'_>) {
        self.stale.remove(check);
        if let Some(index) = judged.snapshot.plan.position(check.as_str()) {
            self.history.transition(check, judged.check(index).state, self.origin.wall_at(judged.snapshot.at));
        }
    }

    fn save(&mut self, machine: &Machine, now: Reading) {
        let pause = if self.beats_have_news { PULSE } else { BEATS };
        let beats_are_due = self.beats_saved.is_none_or(|last| now.moment.since(last) >= pause);
        let drain_has_changed = self.saved.draining_since != self.draining_since;
        if !(beats_are_due || drain_has_changed) && self.latched == Some(machine.latched()) {
            return;
        }
        self.latched = Some(machine.latched());
        let mut latches = SavedState { draining_since: self.draining_since, ..machine.latches() };
        if beats_are_due {
            self.beats_saved = Some(now.moment);
            self.beats_have_news = false;
            latches.beats = self.beats_as_they_are_told();
            latches.looked_at = (!latches.beats.is_empty()).then_some(self.origin.wall_at(now.moment));
        } else {
            latches.beats.clone_from(&self.saved.beats);
            latches.looked_at = self.saved.looked_at;
        }
        if latches != self.saved {
            self.saved = latches.clone();
            self.history.save(latches);
        }
    }

    fn beats_as_they_are_told(&self) -> std::collections::BTreeMap<CheckName, Timestamp> {
        let beats = self.beats.last().into_iter();
        beats.filter_map(|(check, at)| Some((CheckName::new(&check).ok()?, self.origin.wall_at(at)))).collect()
    }
}

fn is_stale(check: &CheckName, judged: &Judged<'_>) -> bool {
    let index = judged.snapshot.plan.position(check.as_str());
    index.is_some_and(|index| judged.state(index) == JudgedState::Stale)
}

/// The checks whose result is too old.
fn stale<'j>(judged: &'j Judged<'_>) -> impl Iterator<Item = &'j CheckName> {
    let indices = judged.unsettled().filter(|index| judged.state(*index) == JudgedState::Stale);
    indices.map(|index| &judged.definition(index).name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Settings;
    use crate::history::answer::{Keep, Page};
    use crate::history::ledger::EventKind;
    use crate::model::beat::{Beat, BeatStatus};
    use crate::model::index::CheckIndex;
    use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Definition, Origin};
    use crate::simulation::playback::reading;

    fn at(seconds: u64) -> Reading {
        reading(Moment::at(Duration::from_secs(seconds)))
    }

    fn history() -> History {
        let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        History::start(Settings { path: None, keep, pod: None, boot: None }, at(0).wall)
    }

    fn passed(second: u64) -> Observation {
        let now = at(second);
        Observation {
            outcome: Outcome::Pass(Pass::default()),
            began: now.moment,
            ended: now.moment,
            wall: now.wall,
            dialled: None,
        }
    }

    /// A machine whose only check has passed at second 10, with its reporter.
    fn watching() -> (Machine, HistoryReporter) {
        let mut machine = Machine::new(plan(vec![check("db")]), "pod", at(10));
        let mut reporter = HistoryReporter::new(history(), Arc::default(), at(0));
        reporter.declare(&machine, at(10));
        for start in machine.due(at(10)) {
            machine.finished(start.key, passed(10), at(10));
        }
        look(&mut machine, &mut reporter, 10);
        (machine, reporter)
    }

    fn look(machine: &mut Machine, reporter: &mut HistoryReporter, second: u64) {
        look_at(machine, reporter, at(second));
    }

    fn look_at(machine: &mut Machine, reporter: &mut HistoryReporter, now: Reading) {
        let transitions = machine.take_transitions();
        let snapshot = machine.snapshot(now);
        reporter.write(machine, &snapshot, &transitions);
    }

    /// The events, oldest first: what, and from which second.
    async fn story(reporter: &HistoryReporter) -> Vec<(EventKind, u64)> {
        let events = reporter.history.events(1, Page { limit: 100, before: None }).await.unwrap();
        let second = |wall: Timestamp| wall.since(at(0).wall).as_secs();
        events.items.into_iter().rev().map(|event| (event.kind, second(event.from))).collect()
    }

    #[tokio::test]
    async fn runs_and_changes_are_told() {
        let (_, reporter) = watching();
        assert_eq!(story(&reporter).await, [(EventKind::Unknown, 10), (EventKind::Uptime, 10)]);
        let ticks = reporter.history.ticks(1, Page { limit: 100, before: None }).await.unwrap();
        let told: Vec<_> = ticks.items.iter().map(|tick| (tick.outcome.label(), &*tick.message)).collect();
        assert_eq!(told, [("pass", "db OK (0ms)")]);
    }

    #[tokio::test]
    async fn a_result_that_has_become_stale_says_nothing() {
        let (mut machine, mut reporter) = watching();
        for second in 11..60 {
            look(&mut machine, &mut reporter, second);
        }
        let stale_from = 11 + machine.plan().checks[0].stale_after.as_secs();
        let known = [(EventKind::Unknown, 10), (EventKind::Uptime, 10), (EventKind::Unknown, stale_from)];
        assert_eq!(story(&reporter).await, known);
        let start = machine.due(at(60))[0];
        machine.finished(start.key, passed(60), at(60));
        look(&mut machine, &mut reporter, 60);
        assert_eq!(story(&reporter).await[3..], [(EventKind::Uptime, 60)]);
    }

    #[tokio::test]
    async fn a_pause_leaves_no_event_without_length() {
        // All that is known is too old after it, or a run has just ended and found something else.
        for fails in [false, true] {
            let (mut machine, mut reporter) = watching();
            if fails {
                for start in machine.due(at(20)) {
                    let outcome = Outcome::Fail(Failure::new(FailureKind::Connect, "away"));
                    machine.finished(start.key, Observation { outcome, ..passed(655) }, at(655));
                }
            }
            look(&mut machine, &mut reporter, 655);
            let unknown = [(EventKind::Unknown, 10), (EventKind::Uptime, 10), (EventKind::Unknown, 10)];
            let after = if fails { &[(EventKind::Downtime, 655)][..] } else { &[] };
            assert_eq!(story(&reporter).await, [&unknown, after].concat());
        }
    }

    #[tokio::test]
    async fn a_stale_check_that_has_run_again_is_told_at_once() {
        let (mut machine, mut reporter) = watching();
        look(&mut machine, &mut reporter, 60);
        let soon = at(60).moment + Duration::from_millis(100);
        for start in machine.due(reading(soon)) {
            let now = reading(soon);
            let observation = Observation { began: soon, ended: soon, wall: now.wall, ..passed(60) };
            machine.finished(start.key, observation, now);
        }
        look_at(&mut machine, &mut reporter, reading(soon));
        assert_eq!(story(&reporter).await[3..], [(EventKind::Uptime, 60)]);
    }

    #[tokio::test]
    async fn a_reload_does_not_make_a_stale_result_a_fresh_one() {
        let (mut machine, mut reporter) = watching();
        for second in 11..60 {
            look(&mut machine, &mut reporter, second);
        }
        assert_eq!(story(&reporter).await.len(), 3);
        machine.reload(
            plan(vec![check("new"), check("db")]),
            &[Origin::Added, Origin::Kept(CheckIndex::new(0))],
            at(60),
        );
        reporter.declare(&machine, at(60));
        look(&mut machine, &mut reporter, 62);
        assert_eq!(story(&reporter).await.len(), 3);
        machine.reload(plan(vec![check("db")]), &[Origin::Changed(CheckIndex::new(1))], at(63));
        reporter.declare(&machine, at(63));
        let start = machine.due(at(64))[0];
        machine.finished(start.key, passed(64), at(64));
        look(&mut machine, &mut reporter, 64);
        assert_eq!(story(&reporter).await[3..], [(EventKind::Uptime, 64)]);
    }

    #[tokio::test]
    async fn a_check_that_a_reload_changes_is_unknown_until_it_has_run() {
        let (mut machine, mut reporter) = watching();
        machine.reload(plan(vec![check("db")]), &[Origin::Changed(CheckIndex::new(0))], at(15));
        reporter.declare(&machine, at(15));
        assert_eq!(story(&reporter).await[2..], [(EventKind::Unknown, 15)]);
    }

    #[tokio::test]
    async fn nothing_is_saved_before_what_was_saved_is_known() {
        let (mut machine, mut reporter) = watching();
        assert_eq!(reporter.saved, SavedState::default());
        let before = SavedState { draining_since: Some(at(3).wall), ..SavedState::default() };
        reporter.restore(before, &mut machine, at(11));
        look(&mut machine, &mut reporter, 11);
        assert!(machine.is_draining());
        assert_eq!(reporter.saved.draining_since, Some(at(3).wall));
        assert!(reporter.saved.ready_once);
    }

    #[tokio::test]
    async fn a_drain_that_was_undone_since_the_start_stays_undone() {
        let (mut machine, mut reporter) = watching();
        reporter.drain(false, at(11).moment);
        let before = SavedState { draining_since: Some(at(3).wall), ..SavedState::default() };
        reporter.restore(before, &mut machine, at(12));
        assert!(!machine.is_draining());
        look(&mut machine, &mut reporter, 12);
        assert_eq!(reporter.saved.draining_since, None);
    }

    #[tokio::test]
    async fn news_among_beats_are_saved_within_a_second_and_others_every_ten() {
        let (mut machine, mut reporter) = watching();
        reporter.restore(SavedState::default(), &mut machine, at(11));
        let slots = ["first", "second"].map(|check| reporter.beats.register(check, Duration::from_secs(60)));
        look(&mut machine, &mut reporter, 11);
        let saved =
            |reporter: &HistoryReporter| reporter.saved.beats.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert!(reporter.beats.beat("first", Beat::default(), at(11).moment));
        look(&mut machine, &mut reporter, 20);
        assert!(saved(&reporter).is_empty(), "nobody says that there is news");
        reporter.beats_have_news();
        look(&mut machine, &mut reporter, 20);
        assert_eq!(saved(&reporter), ["first"]);
        assert!(reporter.beats.beat("second", Beat::default(), at(20).moment));
        reporter.beats_have_news();
        look(&mut machine, &mut reporter, 20);
        assert_eq!(saved(&reporter), ["first"], "a moment ago");
        let error = Beat { status: BeatStatus::Error, message: None };
        assert!(reporter.beats.beat("first", error, at(21).moment));
        look(&mut machine, &mut reporter, 21);
        assert_eq!(saved(&reporter), ["second"]);
        drop(slots);
    }

    #[tokio::test]
    async fn beats_do_not_age_while_nobody_can_take_them() {
        let (mut machine, mut reporter) = watching();
        let db = CheckName::new("db").unwrap();
        let before = SavedState {
            beats: [(db.clone(), at(2).wall), (CheckName::new("gone").unwrap(), at(2).wall)].into(),
            looked_at: Some(at(5).wall),
            ..SavedState::default()
        };
        reporter.restore(before, &mut machine, at(100));
        assert_eq!(reporter.beats.last(), [("db".to_owned(), at(97).moment)]);
        look(&mut machine, &mut reporter, 100);
        assert_eq!(
            (&reporter.saved.beats, reporter.saved.looked_at),
            (&[(db, at(97).wall)].into(), Some(at(100).wall))
        );
    }

    #[tokio::test]
    async fn a_beat_from_before_a_restart_is_that_of_the_check_which_has_another_name_since() {
        let name = |name: &str| CheckName::new(name).unwrap();
        let renamed = |now: &str, former: &str| Definition { formerly: Some(name(former)), ..check(now) };
        let checks = vec![
            check("kept"),
            renamed("new", "old"),
            renamed("other", "kept"),
            renamed("both", "former"),
            check("db"),
        ];
        let mut machine = Machine::new(plan(checks), "pod", at(10));
        let mut reporter = HistoryReporter::new(history(), Arc::default(), at(10));
        let saved = [("kept", 1), ("old", 2), ("both", 3), ("former", 4), ("gone", 5)];
        let before = SavedState {
            beats: saved.map(|(check, second)| (name(check), at(second).wall)).into(),
            looked_at: Some(at(10).wall),
            ..SavedState::default()
        };
        reporter.restore(before, &mut machine, at(10));
        let expected =
            [("both", 3), ("kept", 1), ("new", 2)].map(|(check, second)| (check.to_owned(), at(second).moment));
        assert_eq!(reporter.beats.last(), expected);
    }
}
