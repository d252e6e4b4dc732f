//! A snapshot at the moment of asking: the state of each check, and what follows from it for that check alone.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::inherited::Inherited;
use super::stale::{is_held, is_stale, is_too_old};
use super::{Endpoint, JudgedState, Verdict};
use crate::base::clock::Moment;
use crate::model::causes::Causes;
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::plan::{Critical, Definition};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::LONGEST_START;
use crate::model::state::{CheckState, State};

/// What checks have from their parents, as far as somebody has asked.
#[derive(Debug)]
pub(super) struct FromParents {
    /// Which wait for them, and are stale with them.
    pub(super) held_and_stale: Mutex<Inherited>,
    /// Their root causes.
    pub(super) causes: Mutex<Causes>,
    /// For each endpoint, which wait for a cause that is critical for it.
    pub(super) behind: [Mutex<Inherited>; 4],
}

impl FromParents {
    fn unknown(checks: usize) -> Self {
        Self { held_and_stale: Mutex::default(), causes: Mutex::new(Causes::of(checks)), behind: Default::default() }
    }
}

/// A snapshot judged at a moment.
#[derive(Debug)]
pub struct Judged<'a> {
    /// What is judged.
    pub snapshot: &'a Snapshot,
    /// When.
    pub now: Moment,
    /// Which checks are left out.
    excluded: CheckSet,
    /// What is found on the way, once somebody asks.
    pub(super) found: OnceLock<Box<FromParents>>,
}

/// A check as it is declared and as it stands: a gate may look at thousands of them, and at each for several reasons.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) index: CheckIndex,
    pub(super) check: &'a CheckState,
    pub(super) definition: &'a Definition,
    /// As judged.
    pub(super) state: JudgedState,
}

impl<'a> Judged<'a> {
    /// Judges `snapshot` at `now`.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, now: Moment) -> Self {
        Self::excluding(snapshot, now, Vec::new())
    }

    /// Judges `snapshot` at `now`, the checks at the positions `excluded` counting as ok, also as root causes.
    #[must_use]
    pub fn excluding(snapshot: &'a Snapshot, now: Moment, excluded: Vec<CheckIndex>) -> Self {
        Self { snapshot, now, excluded: excluded.into_iter().collect(), found: OnceLock::new() }
    }

    /// Judges `snapshot` at its moment, where all that is skipped is taken to wait for a cause that is critical for every
    /// endpoint, or for none.
    #[must_use]
    pub fn behind_a_cause(snapshot: &'a Snapshot, is_critical: bool) -> Self {
        let known = |_| Mutex::new(Inherited::known(snapshot.checks.len(), is_critical));
        let found = FromParents { behind: std::array::from_fn(known), ..FromParents::unknown(snapshot.checks.len()) };
        Self { found: Box::new(found).into(), ..Self::new(snapshot, snapshot.at) }
    }

    /// The last moment at which everything is judged as now, and the same is said of it, but for 50 ms of ages.
    #[must_use]
    pub fn holds_until(&self) -> Moment {
        let (fresh_until, some_are_stale) =
            self.snapshot.checks.fresh_until(self.now).unwrap_or_else(|| self.look_at_ages());
        let should_have_started = self.snapshot.start_up.began + LONGEST_START;
        let changes = [Some(fresh_until), Some(should_have_started).filter(|at| *at >= self.now)];
        let next = changes.into_iter().flatten().min().unwrap_or(fresh_until);
        // How old a stale result is, is told, in tenths of a second at best.
        if some_are_stale { next.min(self.now + Duration::from_millis(50)) } else { next }
    }

    /// When the next result becomes stale, and whether some are: by looking at each.
    fn look_at_ages(&self) -> (Moment, bool) {
        let becomes_stale = |index: CheckIndex| {
            let definition = self.definition(index);
            self.check(index).fresh_at.map(|at| at + definition.stale_after).filter(|at| *at >= self.now)
        };
        let next = self.indices().filter_map(becomes_stale).min().unwrap_or(Moment::at(Duration::MAX));
        (next, self.indices().any(|index| self.state(index) == JudgedState::Stale))
    }

    /// How many checks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot.checks.len()
    }

    /// The positions of all checks, in the order of the file.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = CheckIndex> + ExactSizeIterator + Clone + use<> {
        CheckIndex::first(self.len())
    }

    /// Whether there are no checks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshot.checks.is_empty()
    }

    /// The positions of the checks that anything may be judged by, in the order of the file: all others are ok in every
    /// respect.
    pub fn unsettled(&self) -> impl Iterator<Item = CheckIndex> + '_ {
        self.snapshot.checks.unsettled(self.now, None)
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
        self.standing(index).state
    }

    /// All that the check at `index` is judged by, looked up once.
    pub(super) fn standing(&self, index: CheckIndex) -> Standing<'a> {
        #[cfg(test)]
        super::testing::look();
        let (check, definition) = (self.check(index), self.definition(index));
        let is_stale =
            if is_held(check) { self.is_held_and_stale(index) } else { is_stale(check, definition, self.now) };
        let state = if is_stale { JudgedState::Stale } else { JudgedState::Fresh(check.state) };
        Standing { index, check, definition, state }
    }

    pub(super) fn of_parents(&self) -> &FromParents {
        self.found.get_or_init(|| Box::new(FromParents::unknown(self.len())))
    }

    /// Whether the check at `index`, which is held, is as stale as one of its parents is.
    fn is_held_and_stale(&self, index: CheckIndex) -> bool {
        let own = |at: CheckIndex| {
            let check = self.check(at);
            (!is_held(check)).then(|| is_too_old(check, self.definition(at), self.now))
        };
        locked(&self.of_parents().held_and_stale).has(index, own, |at| &self.definition(at).depends_on)
    }

    /// Whether the request excluded it.
    #[must_use]
    pub fn is_excluded(&self, index: CheckIndex) -> bool {
        self.excluded.contains(index)
    }

    /// Its status: its state for clients that know three values; `ok` when excluded.
    #[must_use]
    pub fn status(&self, index: CheckIndex) -> Verdict {
        if self.is_excluded(index) { Verdict::Ok } else { self.state(index).status() }
    }

    /// How old its result is; nothing when it has none.
    #[must_use]
    pub fn age(&self, index: CheckIndex) -> Option<Duration> {
        self.check(index).fresh_at.map(|at| self.now.since(at))
    }

    /// Whether a failure of the check closes what it gates, at this moment and for `endpoint`.
    #[must_use]
    pub fn is_critical(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        self.is_critical_in(&self.standing(index), endpoint)
    }

    pub(super) fn is_critical_in(&self, standing: &Standing<'_>, endpoint: Endpoint) -> bool {
        let Standing { index, check, definition, .. } = standing;
        let declared = match definition.critical {
            Critical::Yes => true,
            Critical::No => false,
            Critical::AtStartup => !self.snapshot.ready_once,
        };
        // What comes to no verdict for long after an outage is no better than what has none.
        let is_recent = || check.held || !is_too_old(check, definition, self.now);
        declared && !self.is_excluded(*index) && check.may_close(is_recent).is_none_or(|closed| closed.has(endpoint))
    }

    pub(super) fn is_failing(&self, standing: &Standing<'_>) -> bool {
        matches!(standing.state, JudgedState::Fresh(State::Error) | JudgedState::Stale)
            && !self.is_excluded(standing.index)
    }

    /// Whether the app should have started by now.
    pub(super) fn should_have_started(&self) -> bool {
        self.now.since(self.snapshot.start_up.began) > LONGEST_START
    }

    /// Whether the check watches the app's life, passed until now, and has failed: `/readyz` closes at once, `/livez`
    /// waits for `failure_threshold`.
    pub(super) fn falters(&self, standing: &Standing<'_>) -> bool {
        let Standing { check, definition, .. } = standing;
        definition.gates.live
            && check.failures > 0
            && check.state.is_up()
            && self.is_critical_in(standing, Endpoint::Readyz)
    }

    /// Whether the app's container has started anew and the check has not passed since, though it would have to.
    pub(super) fn is_unproven(&self, standing: &Standing<'_>) -> bool {
        let Standing { check, definition, .. } = standing;
        check.unproven && definition.counts_for_start_up() && self.is_critical_in(standing, Endpoint::Readyz)
    }
}

/// What is kept in `known`, for this caller alone.
pub(super) fn locked<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Standing<'_> {
    /// Whether the trouble of the check is that of its parents.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.state, JudgedState::Fresh(State::Skipped | State::Pending))
    }

    pub(super) const fn is_pending(&self) -> bool {
        matches!(self.state, JudgedState::Fresh(State::Pending))
    }
}
