//! One check over time: its state, its streaks, its counters, and the pure function that moves them.

use std::sync::Arc;
use std::time::Duration;

pub use super::counters::{Counters, OutcomeKind};
pub use super::endpoint::Closed;
pub use super::level::State;
use super::outcome::{Facts, FailureKind, Observation, Outcome, Pass, one_line};
use super::plan::Definition;
use crate::base::clock::{Moment, Reading, Timestamp};
use crate::base::quantity::show_duration;

/// Everything known of one check. Immutable once published; a new one is made for each change.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckState {
    /// Its state.
    pub state: State,
    /// When the state last changed, on the boot clock.
    pub since: Moment,
    /// When the state last changed, for people.
    pub since_wall: Timestamp,
    /// Passes in a row.
    pub passes: u32,
    /// Failures in a row.
    pub failures: u32,
    /// The last run or skip.
    pub last: Option<Arc<LastRun>>,
    /// Why there is no verdict, where a run has said so and none has had one since.
    pub no_verdict: Option<Arc<str>>,
    /// When there was last something to go by: the end of a run, a skip, or a run whose failure awaits confirmation.
    pub fresh_at: Option<Moment>,
    /// It waits for parents that are failing, pending, or asked to confirm its failure; its result does not age.
    pub held: bool,
    /// It has passed once: under this definition and, for a check that counts for the start-up of the app, by a run
    /// that began in the present start-up.
    pub passed_once: bool,
    /// It has had its first run or skip, in the same sense.
    pub seen_once: bool,
    /// A start-up has begun beside the running daemon, and it has not passed in it yet: what was seen before was seen
    /// of the app's last container.
    pub unproven: bool,
    /// Set while it has been pending since its parents came back: it closes what its skip kept closed, and nothing
    /// else. The first verdict ends that.
    pub recovery: Option<Closed>,
    /// Set while a definition that a reload brought has not passed yet: it keeps closed what the old one kept closed,
    /// and closes nothing else.
    pub probation: Option<Closed>,
    /// What has been counted since the check was declared.
    pub counters: Arc<Counters>,
}

/// The last run or skip of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// pass, fail or skip.
    pub outcome: OutcomeKind,
    /// Why it failed.
    pub reason: Option<FailureKind>,
    /// One line for people.
    pub message: String,
    /// When it ended, on the boot clock.
    pub at: Moment,
    /// When it ended, for people.
    pub wall: Timestamp,
    /// When it began, on the boot clock.
    pub began: Moment,
    /// How long it took; nothing for a skip.
    pub took: Option<Duration>,
    /// What else it learned.
    pub facts: Facts,
}

impl CheckState {
    /// A check of which nothing is known yet.
    #[must_use]
    pub fn new(now: Reading) -> Self {
        Self {
            state: State::Pending,
            since: now.moment,
            since_wall: now.wall,
            passes: 0,
            failures: 0,
            last: None,
            no_verdict: None,
            fresh_at: None,
            held: false,
            passed_once: false,
            seen_once: false,
            unproven: false,
            recovery: None,
            probation: None,
            counters: Arc::default(),
        }
    }

    /// Whether its last run failed without making it `error`: children wait then.
    #[must_use]
    pub fn is_faltering(&self) -> bool {
        self.failures > 0 && self.state != State::Error
    }

    /// Whether nothing is judged by it as long as its result is fresh: it is `ok` in every respect, so that it closes no
    /// endpoint, degrades none, and is nobody's root cause.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.state == State::Ok
            && self.failures == 0
            && (self.passed_once, self.seen_once) == (true, true)
            && !(self.held || self.unproven)
    }

    /// Whether what is judged by it is judged alike by the `other`, as long as both results are fresh.
    #[must_use]
    pub fn counts_as(&self, other: &Self) -> bool {
        let counts = |check: &Self| {
            let once = (check.passed_once, check.seen_once, check.unproven);
            (check.state, check.failures > 0, check.held, once, check.recovery, check.probation)
        };
        counts(self) == counts(other)
    }

    /// The same check, dated by a wall clock that was set by so many microseconds: when things happened is known by the
    /// boot clock.
    #[must_use]
    pub fn redated(&self, by: i64) -> Self {
        let mut next = self.clone();
        next.since_wall = next.since_wall.moved(by);
        if let Some(last) = &mut next.last {
            let last = Arc::make_mut(last);
            last.wall = last.wall.moved(by);
        }
        let counters = Arc::make_mut(&mut next.counters);
        for date in [&mut counters.last_run, &mut counters.last_success].into_iter().flatten() {
            *date = date.moved(by);
        }
        next
    }

    /// The app's container starts anew: what is known was seen of the last one, and counts for nothing.
    pub fn start_anew(&mut self, now: Reading) {
        (self.passed_once, self.seen_once, self.unproven) = (false, false, true);
        (self.passes, self.failures) = (0, 0);
        (self.held, self.recovery, self.no_verdict) = (false, None, None);
        self.enter(State::Pending, now.moment, now.wall);
    }

    /// Whether nothing has been seen of it since the app's container started anew.
    #[must_use]
    pub fn awaits_the_new_container(&self) -> bool {
        self.unproven && !self.seen_once && self.state == State::Pending
    }

    /// The endpoints that it may keep closed, where a reload limits them, or a recovery that `is_recent`.
    #[must_use]
    pub fn may_close(&self, is_recent: impl FnOnce() -> bool) -> Option<Closed> {
        match (self.probation, self.recovery.filter(|_| is_recent())) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        }
    }

    /// Moves to `state` and counts the transition; nothing happens when it is there already.
    pub fn enter(&mut self, state: State, at: Moment, wall: Timestamp) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.since = at;
        self.since_wall = wall;
        let place = State::ALL.iter().position(|other| *other == state).expect("ALL holds every state");
        Arc::make_mut(&mut self.counters).transitions[place] += 1;
    }
}

/// The state of a check after one more observation. A pass or failure moves the streaks, and the state where a streak
/// reaches its threshold; a skip makes it `skipped` and starts the streaks anew; a run without a verdict moves nothing.
#[must_use]
pub fn advance(check: &CheckState, definition: &Definition, observation: &Observation) -> CheckState {
    let mut next = check.clone();
    next.no_verdict = why_no_verdict(observation);
    Arc::make_mut(&mut next.counters).add(observation, definition);
    let Some(run) = LastRun::of(observation, definition) else { return next };
    next.last = Some(Arc::new(run));
    // One that waited for the parents may be older than what was seen since.
    next.fresh_at = check.fresh_at.max(Some(observation.ended));
    next.seen_once = true;
    let target = match &observation.outcome {
        Outcome::Pass(pass) => {
            next.failures = 0;
            next.passes = next.passes.saturating_add(1);
            next.passed_once = true;
            next.unproven = false;
            let reached = check.state.is_up() || next.passes >= definition.thresholds.success.get();
            reached.then(|| if is_worrying(pass, observation.took(), definition) { State::Degraded } else { State::Ok })
        }
        Outcome::Fail(_) => {
            next.passes = 0;
            next.failures = next.failures.saturating_add(1);
            (next.failures >= definition.thresholds.failure.get()).then_some(State::Error)
        }
        Outcome::Skip => {
            (next.passes, next.failures) = (0, 0);
            Some(State::Skipped)
        }
        Outcome::Void(_) => None,
    };
    if let Some(target) = target {
        next.enter(target, observation.ended, observation.wall);
    }
    match (&observation.outcome, &mut next.probation) {
        // A threshold above 1 is not reached by the first pass, and closes nothing.
        (Outcome::Pass(_), probation) if next.state.is_up() => *probation = None,
        (Outcome::Fail(_), probation) if next.passed_once => *probation = None,
        // Whatever its old definition found, a parent fails: that is nothing that a restart mends.
        (Outcome::Skip, Some(probation)) => probation.livez = false,
        _ => {}
    }
    // A threshold above 1 leaves it pending. Readiness has none for a failure of the app itself.
    let app_failed = definition.gates.live && next.failures > 0;
    if next.state != State::Pending || app_failed {
        next.recovery = None;
    }
    next
}

/// Counts a run that does not move the state: one that was expedited and failed, or that a parent's failure
/// overtook. A pending check shows what it said.
#[must_use]
pub fn count_only(check: &CheckState, definition: &Definition, observation: &Observation) -> CheckState {
    let mut next = check.clone();
    next.no_verdict = why_no_verdict(observation);
    Arc::make_mut(&mut next.counters).add(observation, definition);
    let Some(run) = LastRun::of(observation, definition) else { return next };
    if next.state == State::Pending {
        next.last = Some(Arc::new(run));
    }
    next
}

fn why_no_verdict(observation: &Observation) -> Option<Arc<str>> {
    match &observation.outcome {
        Outcome::Void(why) => Some(why.message.as_str().into()),
        Outcome::Pass(_) | Outcome::Fail(_) | Outcome::Skip => None,
    }
}

fn is_worrying(pass: &Pass, took: Duration, definition: &Definition) -> bool {
    pass.degraded || definition.degraded_above.is_some_and(|limit| took > limit)
}

impl LastRun {
    /// What `observation` of the check says; nothing when it has no verdict.
    #[must_use]
    pub fn of(observation: &Observation, definition: &Definition) -> Option<Self> {
        let took = observation.took();
        let (outcome, reason, message, facts) = match &observation.outcome {
            Outcome::Pass(pass) => (OutcomeKind::Pass, None, pass_message(pass, took, definition), pass.facts.clone()),
            Outcome::Fail(failure) => {
                (OutcomeKind::Fail, Some(failure.kind), failure.message.clone(), failure.facts.clone())
            }
            Outcome::Skip => (OutcomeKind::Skip, None, "Skipped due to upstream failure".into(), Facts::default()),
            Outcome::Void(_) => return None,
        };
        Some(Self {
            outcome,
            reason,
            message,
            at: observation.ended,
            wall: observation.wall,
            began: observation.began,
            took: (outcome != OutcomeKind::Skip).then_some(took),
            facts,
        })
    }
}

/// What a pass says: its own words or `<name> OK (12ms)`; a slow one adds its time and the limit.
fn pass_message(pass: &Pass, took: Duration, definition: &Definition) -> String {
    let said = match &pass.message {
        None => format!("{} OK ({})", definition.name, show_duration(took)),
        Some(message) => message.clone(),
    };
    match definition.degraded_above.filter(|limit| took > *limit) {
        None => one_line(&said),
        Some(limit) if pass.message.is_none() => one_line(&format!("{said}, above {}", show_duration(limit))),
        Some(limit) => one_line(&format!("{said} ({}), above {}", show_duration(took), show_duration(limit))),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::outcome::Failure;
    use crate::model::plan::Thresholds;
    use crate::model::plan::testing::check;

    fn reading(second: u64) -> Reading {
        Reading {
            moment: Moment::at(Duration::from_secs(second)),
            wall: Timestamp::from_unix_seconds(second.cast_signed()),
        }
    }

    fn observation(letter: char, second: u64) -> Observation {
        let outcome = match letter {
            'p' => Outcome::Pass(Pass::default()),
            'd' => Outcome::Pass(Pass { degraded: true, ..Pass::saying("ends soon") }),
            's' => Outcome::Pass(Pass::saying("slow")),
            'f' => Outcome::Fail(Failure::new(FailureKind::Connect, "connection refused")),
            '-' => Outcome::Skip,
            'v' => Outcome::Void(Failure::new(FailureKind::Void, "no beat yet")),
            other => panic!("no outcome {other}"),
        };
        let ended = Moment::at(Duration::from_secs(second));
        let took = Duration::from_millis(if letter == 's' { 812 } else { 12 });
        Observation {
            outcome,
            began: ended - took,
            ended,
            wall: Timestamp::from_unix_seconds(second.cast_signed()),
            dialled: None,
        }
    }

    fn definition(failure: u32, success: u32) -> Definition {
        let threshold = |count| NonZeroU32::new(count).unwrap();
        Definition {
            thresholds: Thresholds { failure: threshold(failure), success: threshold(success) },
            degraded_above: Some(Duration::from_millis(500)),
            ..check("cache")
        }
    }

    /// The states after each outcome, a letter each: o(k) d(egraded) e(rror) s(kipped) p(ending).
    fn states(failure: u32, success: u32, outcomes: &str) -> String {
        let definition = definition(failure, success);
        let mut check = CheckState::new(reading(0));
        let mut second = 0;
        outcomes
            .chars()
            .map(|letter| {
                second += 10;
                check = advance(&check, &definition, &observation(letter, second));
                &check.state.label()[..1]
            })
            .collect()
    }

    #[test]
    fn streaks_move_the_state_at_their_thresholds() {
        let cases = [
            // failure and success threshold, outcomes, states
            (1, 1, "pfpf", "oeoe"),
            (1, 1, "fp", "eo"),
            (2, 1, "pfpffp", "ooooeo"),
            (3, 1, "ffpff", "ppooo"),
            (3, 1, "fffff", "ppeee"),
            (1, 2, "ppfpfpp", "poeeeeo"),
            (1, 3, "pppfppp", "ppoeeeo"),
            (2, 2, "fpfpfppff", "ppppppooe"),
            (1, 1, "p-p-f", "osose"),
            (2, 2, "pp-pfff", "posssee"),
            (1, 1, "dpsd", "dodd"),
            (1, 2, "dd", "pd"),
            (1, 1, "vvfvpvfv", "ppeeooee"),
            (2, 2, "fvfvpvpv", "ppeeeeoo"),
        ];
        for (failure, success, outcomes, expected) in cases {
            let reached = states(failure, success, outcomes);
            assert_eq!(reached, expected, "{failure}/{success}: {outcomes}");
        }
    }

    #[test]
    fn every_sequence_of_five_keeps_the_rules_of_the_thresholds() {
        for failure in 1..=3 {
            for success in 1..=3 {
                for code in 0..243u32 {
                    let outcomes: String =
                        (0..5).map(|place| ['p', 'f', '-'][(code / 3u32.pow(place) % 3) as usize]).collect();
                    let states = states(failure, success, &outcomes);
                    let tail = |letter| outcomes.len() - outcomes.trim_end_matches(letter).len();
                    let last = states.chars().last().unwrap();
                    if tail('f') >= failure as usize {
                        assert_eq!(last, 'e', "{failure}/{success}: {outcomes}");
                    }
                    if tail('p') >= success as usize {
                        assert_eq!(last, 'o', "{failure}/{success}: {outcomes}");
                    }
                    if tail('-') > 0 {
                        assert_eq!(last, 's', "{failure}/{success}: {outcomes}");
                    }
                    if !outcomes.contains('p') {
                        assert_ne!(last, 'o', "{failure}/{success}: {outcomes}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_slow_pass_is_degraded_and_says_by_how_much() {
        let cases = [
            ('p', "cache OK (12ms)"),
            ('s', "slow (812ms), above 500ms"),
            ('d', "ends soon"),
            ('f', "connection refused"),
            ('-', "Skipped due to upstream failure"),
        ];
        for (letter, message) in cases {
            let check = advance(&CheckState::new(reading(0)), &definition(1, 1), &observation(letter, 5));
            assert_eq!(check.last.unwrap().message, message);
        }
        let unnamed = Observation { outcome: Outcome::Pass(Pass::default()), ..observation('s', 5) };
        let check = advance(&CheckState::new(reading(0)), &definition(1, 1), &unnamed);
        assert_eq!(check.last.unwrap().message, "cache OK (812ms), above 500ms");
    }

    #[test]
    fn a_skip_is_no_run_for_durations_and_timestamps() {
        let check = advance(&CheckState::new(reading(0)), &definition(1, 1), &observation('-', 5));
        let counters = &check.counters;
        assert_eq!((counters.runs, counters.durations.all(), counters.last_run), ([0, 0, 1], 0, None));
        let check = advance(&check, &definition(1, 1), &observation('f', 9));
        let counters = &check.counters;
        assert_eq!((counters.runs, counters.durations.all(), counters.reasons[2]), ([0, 1, 1], 1, 1));
        assert_eq!((counters.last_run, counters.last_success), (Some(Timestamp::from_unix_seconds(9)), None));
        assert_eq!(counters.transitions, [0, 0, 1, 1, 0]);
    }

    #[test]
    fn a_run_without_a_verdict_counts_as_none() {
        let void = |check: &CheckState| advance(check, &definition(1, 1), &observation('v', 15));
        let pending = void(&CheckState::new(reading(0)));
        assert_eq!(pending.no_verdict.as_deref(), Some("no beat yet"));
        assert_eq!(CheckState { no_verdict: None, ..pending.clone() }, CheckState::new(reading(0)));
        let up = advance(&pending, &definition(1, 1), &observation('p', 20));
        assert_eq!(up.no_verdict, None);
        assert_eq!(CheckState { no_verdict: None, ..void(&up) }, up);
        assert_eq!(count_only(&up, &definition(1, 1), &observation('v', 25)).counters, up.counters);
    }

    #[test]
    fn a_wall_clock_that_is_set_dates_everything_anew_and_changes_nothing_else() {
        let up = advance(&CheckState::new(reading(0)), &definition(1, 1), &observation('p', 5));
        let years = 1_795_257_000;
        let redated = up.redated(years * 1_000_000);
        let at = |seconds| Timestamp::from_unix_seconds(years + seconds);
        assert_eq!((redated.since_wall, redated.last.as_ref().map(|last| last.wall)), (at(5), Some(at(5))));
        assert_eq!((redated.counters.last_run, redated.counters.last_success), (Some(at(5)), Some(at(5))));
        assert_eq!(redated.redated(-years * 1_000_000), up);
    }

    #[test]
    fn the_state_remembers_since_when() {
        let first = advance(&CheckState::new(reading(0)), &definition(1, 1), &observation('p', 5));
        let second = advance(&first, &definition(1, 1), &observation('p', 15));
        assert_eq!(
            (second.since, second.fresh_at),
            (Moment::at(Duration::from_secs(5)), Some(Moment::at(Duration::from_secs(15))))
        );
    }

    #[test]
    fn a_run_that_only_counts_moves_nothing_and_refreshes_nothing() {
        let up = advance(&CheckState::new(reading(0)), &definition(1, 1), &observation('p', 5));
        let counted = count_only(&up, &definition(1, 1), &observation('f', 15));
        assert_eq!((counted.state, counted.failures, counted.fresh_at), (State::Ok, 0, up.fresh_at));
        assert_eq!((&counted.last, counted.counters.runs), (&up.last, [1, 1, 0]));
        let pending = count_only(&CheckState::new(reading(0)), &definition(1, 1), &observation('f', 15));
        assert_eq!(pending.last.unwrap().message, "connection refused");
    }
}
