//! What a snapshot means when somebody asks: which endpoints are open, what keeps them closed, and why.
//!
//! Staleness is judged here, from the time of asking, so that a stuck scheduler cannot look healthy.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::causes::{Causes, Trouble};
use super::index::CheckIndex;
use super::plan::{Critical, Definition};
use super::snapshot::Snapshot;
use super::start_up::LONGEST_START;
use super::state::{CheckState, Closed, OutcomeKind, State};
use crate::base::clock::Moment;
use crate::base::quantity::show_duration;

/// An endpoint that opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/livez`: closed means that the app should be restarted.
    Livez,
    /// `/readyz`: closed means that the pod should get no traffic.
    Readyz,
    /// `/startupz`: closed means that the app is still starting.
    Startupz,
    /// `/healthz`: closed means that something critical is wrong.
    Healthz,
}

impl Endpoint {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 4] = [Self::Livez, Self::Readyz, Self::Startupz, Self::Healthz];

    /// Its path without the slash, which is also its label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Startupz => "startupz",
            Self::Healthz => "healthz",
        }
    }
}

/// The verdict on an endpoint or on the whole; also the three-valued status of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// All is well.
    Ok,
    /// It works, and something is wrong.
    Degraded,
    /// It does not work.
    Error,
}

impl Verdict {
    /// The word for it in answers.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Error => "error",
        }
    }
}

/// The state of a check when asked: its own, or that its result is too old to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JudgedState {
    /// The state that its runs led to.
    Fresh(State),
    /// Its last result is older than `stale_after`.
    Stale,
}

impl JudgedState {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 6] = [
        Self::Fresh(State::Ok),
        Self::Fresh(State::Degraded),
        Self::Fresh(State::Error),
        Self::Fresh(State::Skipped),
        Self::Fresh(State::Pending),
        Self::Stale,
    ];

    /// The word for it in answers and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fresh(state) => state.label(),
            Self::Stale => "stale",
        }
    }

    /// The same for clients that know three values.
    #[must_use]
    pub const fn status(self) -> Verdict {
        match self {
            Self::Fresh(State::Ok) => Verdict::Ok,
            Self::Fresh(State::Degraded) => Verdict::Degraded,
            Self::Fresh(State::Error | State::Skipped | State::Pending) | Self::Stale => Verdict::Error,
        }
    }
}

/// A snapshot judged at a moment.
#[derive(Debug)]
pub struct Judged<'a> {
    /// What is judged.
    pub snapshot: &'a Snapshot,
    /// When.
    pub now: Moment,
    states: Vec<JudgedState>,
    /// Which checks are left out; empty where none is.
    excluded: Vec<bool>,
    /// The root causes of each check, once somebody asks.
    causes: OnceLock<Vec<Arc<[CheckIndex]>>>,
    /// For each endpoint, which checks wait for a cause that is critical for it, once somebody asks.
    behind: [OnceLock<Vec<bool>>; 4],
}

/// The judgement on one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Which.
    pub endpoint: Endpoint,
    /// Whether it answers 200.
    pub open: bool,
    /// Its verdict; `error` exactly when it is closed.
    pub verdict: Verdict,
    /// The checks that take part, in the order of the file.
    pub parts: Vec<EndpointPart>,
    /// The failing checks from which the closure follows, in the order of the file; where nothing fails, those that
    /// are still to have a result. Empty when open.
    pub root_causes: Vec<CheckIndex>,
    /// It is closed by a drain.
    pub draining: bool,
}

/// A check's part in the judgement on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointPart {
    /// The position of the check.
    pub check: CheckIndex,
    /// Whether it keeps the endpoint closed.
    pub closes: bool,
    /// Whether the request excluded it.
    pub excluded: bool,
}

impl<'a> Judged<'a> {
    /// Judges `snapshot` at `now`.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, now: Moment) -> Self {
        Self::excluding(snapshot, now, Vec::new())
    }

    /// Judges `snapshot` at `now`, the checks at the positions `excluded` counting as ok, also as root causes.
    #[must_use]
    pub fn excluding(snapshot: &'a Snapshot, now: Moment, mut excluded: Vec<CheckIndex>) -> Self {
        excluded.sort_unstable();
        let mut stale = Vec::new();
        let states = CheckIndex::first(snapshot.checks.len())
            .map(|index| {
                if is_stale(snapshot, index, now, &mut stale) {
                    JudgedState::Stale
                } else {
                    JudgedState::Fresh(snapshot.checks[index].state)
                }
            })
            .collect();
        let mut left_out = Vec::new();
        for index in excluded {
            left_out.resize(snapshot.checks.len(), false);
            left_out[index] = true;
        }
        Self { snapshot, now, states, excluded: left_out, causes: OnceLock::new(), behind: Default::default() }
    }

    /// The last moment at which everything is judged as now, and the same is said of it, but for 50 ms of ages.
    #[must_use]
    pub fn holds_until(&self) -> Moment {
        let becomes_stale = self
            .snapshot
            .checks
            .iter()
            .zip(&self.snapshot.plan.checks)
            .filter_map(|(check, definition)| check.fresh_at.map(|at| at + definition.stale_after));
        let should_have_started = self.snapshot.start_up.began + LONGEST_START;
        let changes = becomes_stale.chain([should_have_started]).filter(|at| *at >= self.now);
        let next = changes.min().unwrap_or(Moment::at(Duration::MAX));
        // How old a stale result is, is told, in tenths of a second at best.
        if self.states.contains(&JudgedState::Stale) { next.min(self.now + Duration::from_millis(50)) } else { next }
    }

    /// How many checks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// The positions of all checks, in the order of the file.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = CheckIndex> + ExactSizeIterator + Clone + use<> {
        CheckIndex::first(self.states.len())
    }

    /// Whether there are no checks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The declaration of the check at `index`.
    #[must_use]
    pub fn definition(&self, index: CheckIndex) -> &'a Definition {
        &self.snapshot.plan.checks[index]
    }

    /// The recorded state of the check at `index`.
    #[must_use]
    pub fn check(&self, index: CheckIndex) -> &'a CheckState {
        &self.snapshot.checks[index]
    }

    /// Its state as judged.
    #[must_use]
    pub fn state(&self, index: CheckIndex) -> JudgedState {
        self.states[index]
    }

    /// Whether the request excluded it.
    #[must_use]
    pub fn is_excluded(&self, index: CheckIndex) -> bool {
        self.excluded.get(index.get()).is_some_and(|excluded| *excluded)
    }

    /// Its status: its state for clients that know three values; `ok` when excluded.
    #[must_use]
    pub fn status(&self, index: CheckIndex) -> Verdict {
        if self.is_excluded(index) { Verdict::Ok } else { self.states[index].status() }
    }

    /// How old its result is; nothing when it has none.
    #[must_use]
    pub fn age(&self, index: CheckIndex) -> Option<Duration> {
        self.check(index).fresh_at.map(|at| self.now.since(at))
    }

    /// What to say about it in one line, as in the json answer.
    #[must_use]
    pub fn message(&self, index: CheckIndex) -> Cow<'a, str> {
        let check = self.check(index);
        let last = check.last.as_ref();
        match self.states[index] {
            JudgedState::Stale => {
                format!("last result {} ago", show_duration(self.age(index).unwrap_or_default())).into()
            }
            JudgedState::Fresh(State::Skipped) => "Skipped due to upstream failure".into(),
            JudgedState::Fresh(State::Pending) => match (&check.no_verdict, last) {
                (Some(why), _) => why.as_ref().into(),
                _ if check.awaits_the_new_container() => "seen before this start".into(),
                (None, Some(last)) if last.outcome == OutcomeKind::Fail => last.message.as_str().into(),
                _ => "no result yet".into(),
            },
            JudgedState::Fresh(state) => {
                let Some(last) = last else { return "no result yet".into() };
                let thresholds = &self.definition(index).thresholds;
                match last.outcome {
                    OutcomeKind::Fail if state.is_up() && check.failures > 0 => {
                        format!("{} (failure {} of {})", last.message, check.failures, thresholds.failure).into()
                    }
                    OutcomeKind::Pass if state == State::Error && check.passes > 0 => {
                        format!("{} (pass {} of {})", last.message, check.passes, thresholds.success).into()
                    }
                    _ => last.message.as_str().into(),
                }
            }
        }
    }

    /// The failing checks, in the order of the file: from them all other failures and skips follow.
    #[must_use]
    pub fn root_causes(&self) -> Vec<CheckIndex> {
        self.indices().filter(|index| self.is_failing(*index)).collect()
    }

    /// The failing checks from which the trouble of the check at `index` follows: itself, or ancestors of it, the first
    /// [`MAX_CAUSES`](super::causes::MAX_CAUSES) in the order of the file.
    #[must_use]
    pub fn causes_of(&self, index: CheckIndex) -> Vec<CheckIndex> {
        let all = self.causes.get_or_init(|| {
            let mut causes = Causes::of(self.len());
            let trouble = |at: CheckIndex| match (self.is_failing(at), self.waits(at)) {
                (true, _) => Trouble::Own,
                (false, true) => Trouble::OfParents,
                (false, false) => Trouble::None,
            };
            let parents = |at: CheckIndex| &self.definition(at).depends_on[..];
            self.indices().map(|index| causes.find(index, trouble, parents)).collect()
        });
        all[index].to_vec()
    }

    /// Whether `/alive` says true: `/livez` is open, and every critical check that gates `live` or `startup` has
    /// passed once or is skipped.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let started = self.indices().all(|index| {
            let gates = self.definition(index).gates;
            let check = self.check(index);
            !(gates.live || gates.startup)
                || !self.is_critical(index, Endpoint::Startupz)
                || check.passed_once
                || check.state == State::Skipped
        });
        started && self.endpoint(Endpoint::Livez).open
    }

    /// Judges one endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> Judgement {
        let mut parts = Vec::with_capacity(self.len());
        let by_first_runs = self.starts_by_first_runs();
        let mut degraded = false;
        for index in self.indices() {
            let takes_part = self.takes_part(index, endpoint, by_first_runs);
            let excluded = self.is_excluded(index);
            let closes = !excluded && self.closes(index, endpoint, by_first_runs);
            if takes_part || closes {
                parts.push(EndpointPart { check: index, closes, excluded });
                degraded |= takes_part && self.status(index) != Verdict::Ok;
            }
        }
        let no_plan = self.snapshot.configuration.missing.is_some();
        let drains = matches!(endpoint, Endpoint::Readyz | Endpoint::Healthz);
        let draining = drains && self.snapshot.draining;
        let closed = draining || (drains && no_plan) || parts.iter().any(|part| part.closes);
        let open = !closed;
        let verdict = match (open, degraded) {
            (false, _) => Verdict::Error,
            (true, true) => Verdict::Degraded,
            (true, false) => Verdict::Ok,
        };
        let root_causes = self.causes_of_closure(&parts);
        Judgement { endpoint, open, verdict, parts, root_causes, draining }
    }

    /// Judges one endpoint by the check at `index` alone.
    #[must_use]
    pub fn endpoint_for(&self, endpoint: Endpoint, index: CheckIndex) -> EndpointPart {
        let by_first_runs = self.starts_by_first_runs();
        let excluded = self.is_excluded(index);
        EndpointPart { check: index, closes: !excluded && self.closes(index, endpoint, by_first_runs), excluded }
    }

    /// Whether the check at `index` takes part in `endpoint`.
    #[must_use]
    pub fn gates(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        self.takes_part(index, endpoint, self.starts_by_first_runs())
    }

    /// Which endpoints the check at `index` keeps closed, for a reload that changes it.
    #[must_use]
    pub fn closed_by(&self, index: CheckIndex) -> Closed {
        let by_first_runs = self.starts_by_first_runs();
        Closed::by(|endpoint| self.closes(index, endpoint, by_first_runs))
    }

    /// What each skipped check keeps closed, by position; nothing for the others.
    #[must_use]
    pub fn closed_by_skips(&self) -> Vec<Option<Closed>> {
        let is_skipped = |index: CheckIndex| self.check(index).state == State::Skipped;
        self.indices().map(|index| is_skipped(index).then(|| self.closed_by(index))).collect()
    }

    fn is_failing(&self, index: CheckIndex) -> bool {
        matches!(self.states[index], JudgedState::Fresh(State::Error) | JudgedState::Stale) && !self.is_excluded(index)
    }

    /// Where no check gates `live` or `startup`, the start-up is over once every `ready` check has been seen.
    fn starts_by_first_runs(&self) -> bool {
        !self.snapshot.plan.checks.iter().any(|check| check.gates.live || check.gates.startup)
    }

    fn takes_part(&self, index: CheckIndex, endpoint: Endpoint, by_first_runs: bool) -> bool {
        let gates = self.definition(index).gates;
        match endpoint {
            Endpoint::Livez => gates.live,
            Endpoint::Readyz => gates.ready,
            Endpoint::Startupz => gates.live || gates.startup || (by_first_runs && gates.ready),
            Endpoint::Healthz => true,
        }
    }

    /// Whether a failure of the check closes what it gates, at this moment and for `endpoint`.
    #[must_use]
    pub fn is_critical(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        let declared = match self.definition(index).critical {
            Critical::Yes => true,
            Critical::No => false,
            Critical::AtStartup => !self.snapshot.ready_once,
        };
        declared && !self.is_excluded(index) && self.check(index).may_close().is_none_or(|closed| closed.has(endpoint))
    }

    fn closes(&self, index: CheckIndex, endpoint: Endpoint, by_first_runs: bool) -> bool {
        let (gates, state, check) = (self.definition(index).gates, self.states[index], self.check(index));
        // What most checks are most of the time.
        let passes = matches!(state, JudgedState::Fresh(State::Ok | State::Degraded));
        if passes && check.passed_once && check.seen_once && check.failures == 0 {
            return false;
        }
        // Through /livez or /startupz a check closes /readyz by their rules, and under their probation.
        if endpoint == Endpoint::Readyz
            && (self.closes(index, Endpoint::Livez, by_first_runs)
                || self.closes(index, Endpoint::Startupz, by_first_runs))
        {
            return true;
        }
        // Readiness has no threshold for the app itself, and no container gets traffic for what another one did.
        if endpoint == Endpoint::Readyz && (self.falters(index) || self.is_unproven(index)) {
            return true;
        }
        if !self.takes_part(index, endpoint, by_first_runs) || !self.is_critical(index, endpoint) {
            return false;
        }
        match endpoint {
            // What has never passed in this start-up is starting still: kubelet's startup probe decides about that.
            Endpoint::Livez => {
                // What the old definition kept closed stays closed until the new one passes.
                check.probation.is_some_and(|closed| closed.livez)
                    || state == JudgedState::Fresh(State::Error) && (check.passed_once || self.should_have_started())
            }
            Endpoint::Startupz => {
                let excused = state == JudgedState::Fresh(State::Skipped) && check.seen_once;
                (gates.live && !passes && !excused)
                    || (gates.startup && !check.passed_once)
                    || (by_first_runs && gates.ready && !check.seen_once)
            }
            Endpoint::Readyz => self.is_down(index, endpoint),
            Endpoint::Healthz => gates.any() && self.is_down(index, endpoint),
        }
    }

    /// Whether the app should have started by now.
    fn should_have_started(&self) -> bool {
        self.now.since(self.snapshot.start_up.began) > LONGEST_START
    }

    /// Whether the check watches the app's life, passed until now, and has failed: `/readyz` closes at once, `/livez`
    /// waits for `failure_threshold`.
    fn falters(&self, index: CheckIndex) -> bool {
        let check = self.check(index);
        self.definition(index).gates.live
            && check.failures > 0
            && check.state.is_up()
            && self.is_critical(index, Endpoint::Readyz)
    }

    /// Whether the app's container has started anew and the check has not passed since, though it would have to.
    fn is_unproven(&self, index: CheckIndex) -> bool {
        self.check(index).unproven
            && self.definition(index).counts_for_start_up()
            && self.is_critical(index, Endpoint::Readyz)
    }

    /// Whether the check is in a state that closes; a skipped one counts as its root causes do.
    fn is_down(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        match self.states[index] {
            JudgedState::Fresh(State::Ok | State::Degraded) => false,
            JudgedState::Fresh(State::Error | State::Pending) | JudgedState::Stale => true,
            JudgedState::Fresh(State::Skipped) => {
                self.behind[endpoint as usize].get_or_init(|| self.behind_critical(endpoint))[index]
            }
        }
    }

    fn causes_of_closure(&self, parts: &[EndpointPart]) -> Vec<CheckIndex> {
        let mut causes = Vec::new();
        if !parts.iter().any(|part| part.closes) {
            return causes;
        }
        let mut seen = vec![false; self.len()];
        for part in parts.iter().filter(|part| part.closes) {
            self.walk_up(part.check, &mut seen, &mut causes, |judged, at| judged.is_failing(at) || judged.falters(at));
        }
        if causes.is_empty() {
            seen.fill(false);
            for part in parts.iter().filter(|part| part.closes) {
                self.walk_up(part.check, &mut seen, &mut causes, |judged, at| {
                    judged.states[at] == JudgedState::Fresh(State::Pending)
                        && !judged
                            .definition(at)
                            .depends_on
                            .iter()
                            .any(|parent| judged.states[*parent] == JudgedState::Fresh(State::Pending))
                });
            }
        }
        causes.sort_unstable();
        causes
    }

    /// Collects what `is_cause` accepts, from `index` upwards along `depends_on`, through skipped and pending checks.
    fn walk_up(
        &self,
        index: CheckIndex,
        seen: &mut [bool],
        causes: &mut Vec<CheckIndex>,
        is_cause: fn(&Self, CheckIndex) -> bool,
    ) {
        let mut left = vec![index];
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            if is_cause(self, at) {
                causes.push(at);
            } else if self.waits(at) {
                left.extend(&self.definition(at).depends_on);
            }
        }
    }

    /// Whether the trouble of the check is that of its parents.
    fn waits(&self, index: CheckIndex) -> bool {
        matches!(self.states[index], JudgedState::Fresh(State::Skipped | State::Pending))
    }

    /// Which checks wait for a failing check that is critical for `endpoint`, found for all in one walk down from the
    /// causes.
    fn behind_critical(&self, endpoint: Endpoint) -> Vec<bool> {
        let children = self.snapshot.plan.children();
        let is_cause = |index: &CheckIndex| self.is_failing(*index) && self.is_critical(*index, endpoint);
        let mut left: Vec<CheckIndex> = self.indices().filter(is_cause).collect();
        let mut behind = vec![false; self.len()];
        while let Some(at) = left.pop() {
            for child in &children[at] {
                if self.waits(*child) && !std::mem::replace(&mut behind[*child], true) {
                    left.push(*child);
                }
            }
        }
        behind
    }
}

impl Closed {
    fn by(closes: impl Fn(Endpoint) -> bool) -> Self {
        Self {
            livez: closes(Endpoint::Livez),
            readyz: closes(Endpoint::Readyz),
            startupz: closes(Endpoint::Startupz),
            healthz: closes(Endpoint::Healthz),
        }
    }

    const fn has(self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Livez => self.livez,
            Endpoint::Readyz => self.readyz,
            Endpoint::Startupz => self.startupz,
            Endpoint::Healthz => self.healthz,
        }
    }
}

/// Whether the result of a check is too old. A check that waits for its parents is as fresh as they are; one without
/// any result is pending, not stale. `known` holds what has been found out of checks that wait and of their parents:
/// each of them is judged once.
fn is_stale(snapshot: &Snapshot, index: CheckIndex, now: Moment, known: &mut Vec<Option<bool>>) -> bool {
    let is_held = |at: CheckIndex| snapshot.checks[at].held && snapshot.checks[at].state != State::Pending;
    let by_itself = |at: CheckIndex| {
        let (check, definition) = (&snapshot.checks[at], &snapshot.plan.checks[at]);
        check.state != State::Pending && check.fresh_at.is_some_and(|at| now.since(at) > definition.stale_after)
    };
    if !is_held(index) {
        return by_itself(index);
    }
    known.resize(snapshot.checks.len(), None);
    // Chains of checks can be long: no recursion. What is left is looked at once its parents are known.
    let mut left = vec![index];
    while let Some(&at) = left.last() {
        let parents = if is_held(at) { &snapshot.plan.checks[at].depends_on[..] } else { &[] };
        let known_so_far = left.len();
        if known[at].is_none() {
            left.extend(parents.iter().filter(|parent| known[**parent].is_none()));
        }
        if left.len() > known_so_far {
            continue;
        }
        let stale = if is_held(at) { parents.iter().any(|parent| known[*parent] == Some(true)) } else { by_itself(at) };
        known[at].get_or_insert(stale);
        left.pop();
    }
    known[index] == Some(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{Reading, Timestamp};
    use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, Pass};
    use crate::model::plan::Gates;
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::snapshot::Configuration;
    use crate::model::start_up::StartUp;
    use crate::model::state::advance;

    const NOW: Moment = Moment::at(Duration::from_secs(1000));

    fn observed(outcome: Outcome, at: Moment) -> Observation {
        Observation { outcome, began: at - Duration::from_millis(12), ended: at, wall: Timestamp::default() }
    }

    /// The state after the outcomes of `script`, ten seconds apart and the last a second ago: p(ass), d(egraded pass),
    /// f(ail), - (skip), nothing for pending; a leading `!` makes the last one 100 seconds old.
    fn after(definition: &Definition, script: &str) -> Arc<CheckState> {
        let mut state = CheckState::new(Reading { moment: NOW, wall: Timestamp::default() });
        let (script, newest) = match script.strip_prefix('!') {
            Some(rest) => (rest, NOW - Duration::from_secs(100)),
            None => (script, NOW - Duration::from_secs(1)),
        };
        for (index, letter) in script.chars().enumerate() {
            let outcome = match letter {
                'p' => Outcome::Pass(Pass::default()),
                'd' => Outcome::Pass(Pass { degraded: true, ..Pass::saying("ends soon") }),
                'f' => Outcome::Fail(Failure::new(FailureKind::Connect, "connection refused")),
                _ => Outcome::Skip,
            };
            let age = Duration::from_secs(10 * (script.len() - 1 - index) as u64);
            state = advance(&state, definition, &observed(outcome, newest - age));
        }
        Arc::new(state)
    }

    fn snapshot(checks: Vec<(Definition, &str)>) -> Snapshot {
        let states = checks.iter().map(|(definition, script)| after(definition, script)).collect();
        Snapshot {
            generation: 1,
            at: NOW,
            wall: Timestamp::default(),
            plan: plan(checks.into_iter().map(|(definition, _)| definition).collect()),
            checks: states,
            draining: false,
            ready_once: false,
            start_up: StartUp { began: NOW - Duration::from_secs(60), opened: false },
            configuration: Configuration::default(),
            endpoint_transitions: Default::default(),
        }
    }

    fn gating(name: &str, gates: &str) -> Definition {
        let gates = Gates { live: gates.contains('l'), ready: gates.contains('r'), startup: gates.contains('s') };
        Definition { gates, ..check(name) }
    }

    fn optional(name: &str, gates: &str) -> Definition {
        Definition { critical: Critical::No, ..gating(name, gates) }
    }

    fn at_startup(name: &str, gates: &str) -> Definition {
        Definition { critical: Critical::AtStartup, ..gating(name, gates) }
    }

    fn behind(definition: Definition, parents: &[usize]) -> Definition {
        Definition { depends_on: indices(parents), ..definition }
    }

    /// The verdicts of livez, readyz, startupz and healthz, a letter each: o(k), d(egraded), - (closed).
    fn verdicts(snapshot: &Snapshot) -> String {
        let judged = Judged::new(snapshot, NOW);
        let letter = |endpoint| {
            let judgement = judged.endpoint(endpoint);
            assert_eq!(judgement.open, judgement.verdict != Verdict::Error);
            if judgement.open { &judgement.verdict.label()[..1] } else { "-" }
        };
        Endpoint::ALL.map(letter).concat()
    }

    /// A chain of checks, each behind the next and the last one failing.
    fn chain(length: usize, first: &'static str) -> Snapshot {
        let behind_next = |index: usize| {
            if index + 1 < length {
                (behind(check(&format!("c{index}")), &[index + 1]), first)
            } else {
                (check("last"), "pf")
            }
        };
        snapshot((0..length).map(behind_next).collect())
    }

    #[test]
    fn the_longest_chain_is_judged_without_exhausting_the_stack_or_patience() {
        let length = 20_000;
        let skipped = chain(length, "p-");
        assert_eq!(verdicts(&skipped), "o-d-");
        let judged = Judged::new(&skipped, NOW);
        assert_eq!(judged.endpoint(Endpoint::Readyz).root_causes, [length - 1]);
        assert_eq!(judged.causes_of(CheckIndex::new(0)), [length - 1]);
        // All of them wait for the last one, whose result is too old.
        let mut held = chain(length, "p");
        for check in &mut held.checks {
            Arc::make_mut(check).held = true;
        }
        let last = held.checks.last_mut().expect("there is one");
        *last = after(&check("last"), "!p");
        assert_eq!(Judged::new(&held, NOW).state(CheckIndex::new(0)), JudgedState::Stale);
    }

    #[test]
    fn what_waits_for_a_critical_cause_is_found_as_by_asking_each_check() {
        let checks = vec![
            (check("db"), "pf"),
            (optional("cache", "r"), "pf"),
            (behind(check("orders"), &[0]), "p-"),
            (behind(check("hints"), &[1]), "p-"),
            (behind(check("page"), &[3, 2]), "p-"),
            (behind(check("new"), &[2]), ""),
            (behind(check("newer"), &[5]), "p-"),
            (check("well"), "p"),
        ];
        let snapshot = snapshot(checks);
        for excluded in [vec![], indices(&[0]), indices(&[2])] {
            let judged = Judged::excluding(&snapshot, NOW, excluded);
            for endpoint in Endpoint::ALL {
                let all = judged.behind_critical(endpoint);
                for index in judged.indices().filter(|index| judged.waits(*index)) {
                    let causes = judged.causes_of(index);
                    let expected = causes.into_iter().any(|cause| judged.is_critical(cause, endpoint));
                    assert_eq!(all[index], expected, "{index:?} {endpoint:?}");
                }
            }
        }
    }

    #[test]
    fn one_check_closes_what_it_gates_by_its_criticality_and_state() {
        // gates, criticality, script → livez readyz startupz healthz
        let cases = [
            ("", "yes", "p", "oooo"),
            ("", "yes", "f", "oood"),
            ("", "yes", "", "oood"),
            ("r", "yes", "p", "oooo"),
            ("r", "yes", "d", "oddd"),
            ("r", "yes", "f", "o-d-"),
            ("r", "yes", "", "o---"),
            ("r", "yes", "!p", "o-d-"),
            ("r", "no", "f", "oddd"),
            ("r", "no", "", "oddd"),
            ("r", "startup", "f", "o-d-"),
            ("l", "yes", "p", "oooo"),
            ("l", "yes", "f", "d---"),
            ("l", "yes", "pf", "----"),
            ("l", "yes", "", "d---"),
            ("l", "yes", "!p", "d---"),
            ("l", "yes", "!f", "d---"),
            ("s", "yes", "p", "oooo"),
            ("s", "yes", "", "o---"),
            ("s", "yes", "f", "o---"),
            ("s", "yes", "pf", "ood-"),
            ("s", "yes", "!p", "ood-"),
            ("rl", "yes", "f", "d---"),
            ("rl", "yes", "pf", "----"),
            ("rls", "yes", "d", "dddd"),
        ];
        for (gates, critical, script, expected) in cases {
            let definition = match critical {
                "yes" => gating("x", gates),
                "no" => optional("x", gates),
                _ => at_startup("x", gates),
            };
            assert_eq!(verdicts(&snapshot(vec![(definition, script)])), expected, "{gates} {critical} {script}");
        }
    }

    #[test]
    fn what_has_never_passed_asks_for_no_restart_until_it_should_have_started() {
        let livez = |ago: Duration| {
            let start_up = StartUp { began: NOW - ago, opened: false };
            let starting = Snapshot { start_up, ..snapshot(vec![(gating("app", "l"), "f")]) };
            verdicts(&starting)[..1].to_owned()
        };
        assert_eq!(livez(LONGEST_START), "d");
        assert_eq!(livez(LONGEST_START + Duration::from_secs(1)), "-");
    }

    #[test]
    fn no_checks_leave_every_endpoint_open() {
        assert_eq!(verdicts(&snapshot(vec![])), "oooo");
    }

    #[test]
    fn a_drain_closes_readiness_and_health_and_a_missing_configuration_too() {
        let open = snapshot(vec![(check("x"), "p")]);
        assert_eq!(verdicts(&Snapshot { draining: true, ..open.clone() }), "o-o-");
        let configuration = Configuration { missing: Some("no file".into()), ..Configuration::default() };
        assert_eq!(verdicts(&Snapshot { configuration, ..open }), "o-o-");
    }

    #[test]
    fn a_skipped_check_closes_as_its_root_causes_do() {
        let child = || behind(gating("app", "r"), &[0]);
        let case =
            |parent, ready_once| verdicts(&Snapshot { ready_once, ..snapshot(vec![(parent, "f"), (child(), "-")]) });
        assert_eq!(case(gating("db", "r"), true), "o-d-", "a critical cause");
        assert_eq!(case(optional("db", "r"), true), "oddd", "a cause that is not critical");
        assert_eq!(case(at_startup("db", "r"), false), "o-d-", "at start-up");
        assert_eq!(case(at_startup("db", "r"), true), "oddd", "later");
        assert_eq!(case(gating("db", ""), true), "o-d-", "a critical cause that gates nothing itself");
    }

    #[test]
    fn a_live_check_behind_a_failing_parent_never_asks_for_a_restart() {
        let checks = vec![(gating("db", "r"), "f"), (behind(gating("app", "l"), &[0]), "p-")];
        assert_eq!(verdicts(&snapshot(checks)), "d-d-");
    }

    #[test]
    fn the_root_cause_is_named_and_what_follows_is_not() {
        let checks = vec![
            (behind(gating("shop", "r"), &[1]), "-"),
            (behind(gating("api", "r"), &[2, 3]), "-"),
            (gating("db", "r"), "f"),
            (gating("mq", "r"), "p"),
        ];
        let snapshot = snapshot(checks);
        let judged = Judged::new(&snapshot, NOW);
        assert_eq!((judged.root_causes(), judged.causes_of(CheckIndex::new(0))), (indices(&[2]), indices(&[2])));
        let readyz = judged.endpoint(Endpoint::Readyz);
        assert_eq!(readyz.root_causes, [2]);
        assert_eq!(readyz.parts.iter().map(|part| part.closes).collect::<Vec<_>>(), [true, true, true, false]);
    }

    #[test]
    fn where_nothing_fails_the_pending_ones_are_the_cause() {
        let checks = vec![(behind(gating("api", "r"), &[1]), ""), (gating("db", "r"), "")];
        let snapshot = snapshot(checks);
        let judged = Judged::new(&snapshot, NOW);
        assert_eq!(judged.endpoint(Endpoint::Readyz).root_causes, [1]);
        assert_eq!(judged.root_causes(), Vec::<CheckIndex>::new());
    }

    #[test]
    fn an_excluded_check_counts_as_ok_also_as_a_root_cause() {
        let checks = vec![(gating("db", "r"), "f"), (behind(gating("api", "r"), &[0]), "-")];
        let snapshot = snapshot(checks);
        let readyz = Judged::excluding(&snapshot, NOW, vec![CheckIndex::new(0)]).endpoint(Endpoint::Readyz);
        assert_eq!((readyz.open, readyz.verdict), (true, Verdict::Degraded));
        assert!(readyz.parts[0].excluded && !readyz.parts[1].closes);
    }

    #[test]
    fn a_check_on_probation_closes_only_what_its_old_definition_closed() {
        let mut on_probation = snapshot(vec![(gating("x", "rl"), "f")]);
        let with =
            |closed| Arc::new(CheckState { probation: Some(closed), ..(*after(&gating("x", "rl"), "f")).clone() });
        on_probation.checks = vec![with(Closed::default())];
        assert_eq!(verdicts(&on_probation), "dddd");
        on_probation.checks = vec![with(Closed { readyz: true, ..Closed::default() })];
        assert_eq!(verdicts(&on_probation), "d-dd");
    }

    #[test]
    fn a_held_check_is_as_fresh_as_its_parents() {
        let definition = behind(check("app"), &[0]);
        let held = |script| Arc::new(CheckState { held: true, ..(*after(&definition, script)).clone() });
        let mut snapshot = snapshot(vec![(check("db"), "p"), (definition.clone(), "!p")]);
        assert_eq!(Judged::new(&snapshot, NOW).state(CheckIndex::new(1)), JudgedState::Stale);
        snapshot.checks[1] = held("!p");
        assert_eq!(Judged::new(&snapshot, NOW).state(CheckIndex::new(1)), JudgedState::Fresh(State::Ok));
        snapshot.checks[0] = after(&check("db"), "!p");
        assert_eq!(Judged::new(&snapshot, NOW).state(CheckIndex::new(1)), JudgedState::Stale);
    }

    #[test]
    fn messages_say_how_things_stand() {
        let thrice = Definition {
            thresholds: crate::model::plan::Thresholds {
                failure: 3.try_into().unwrap(),
                success: 2.try_into().unwrap(),
            },
            ..check("x")
        };
        let cases = [
            ("", "no result yet"),
            ("pp", "x OK (12ms)"),
            ("ppff", "connection refused (failure 2 of 3)"),
            ("fff", "connection refused"),
            ("fffp", "x OK (12ms) (pass 1 of 2)"),
            ("f", "connection refused"),
            ("-", "Skipped due to upstream failure"),
            ("!pp", "last result 1m40s ago"),
        ];
        for (script, expected) in cases {
            let snapshot = snapshot(vec![(thrice.clone(), script)]);
            assert_eq!(Judged::new(&snapshot, NOW).message(CheckIndex::new(0)), expected, "{script}");
        }
    }

    #[test]
    fn alive_tells_the_start_up_phase_and_a_deadlock_from_a_lost_dependency() {
        let alive = |db, app| {
            let checks = vec![(gating("db", "r"), db), (behind(gating("app", "l"), &[0]), app)];
            Judged::new(&snapshot(checks), NOW).is_alive()
        };
        assert!(!alive("p", ""), "starting up");
        assert!(alive("p", "p"));
        assert!(!alive("p", "pf"), "deadlock");
        assert!(alive("f", "p-"), "the database is away");
        assert!(alive("f", "-"), "and has been from the start");
    }

    #[test]
    fn a_long_chain_of_waiting_checks_is_judged_at_once() {
        let mut checks = vec![(check("c0"), "p")];
        for index in 1..300usize {
            let parents: Vec<usize> = (index.saturating_sub(8)..index).collect();
            checks.push((behind(check(&format!("c{index}")), &parents), "p"));
        }
        let mut snapshot = snapshot(checks);
        for state in &mut snapshot.checks[1..] {
            Arc::make_mut(state).held = true;
        }
        assert_eq!(verdicts(&snapshot), "oooo");
    }
}
