//! A snapshot at the moment of asking: the state of each check, and what follows from it for that check alone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::stale::is_stale;
use super::{Endpoint, JudgedState, Verdict};
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::plan::{Critical, Definition};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::LONGEST_START;
use crate::model::state::{CheckState, State};

/// A snapshot judged at a moment.
#[derive(Debug)]
pub struct Judged<'a> {
    /// What is judged.
    pub snapshot: &'a Snapshot,
    /// When.
    pub now: Moment,
    pub(super) states: Vec<JudgedState>,
    /// Which checks are left out; empty where none is.
    excluded: Vec<bool>,
    /// The root causes of each check, once somebody asks.
    pub(super) causes: OnceLock<Vec<Arc<[CheckIndex]>>>,
    /// For each endpoint, which checks wait for a cause that is critical for it, once somebody asks.
    pub(super) behind: [OnceLock<Vec<bool>>; 4],
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

    pub(super) fn is_failing(&self, index: CheckIndex) -> bool {
        matches!(self.states[index], JudgedState::Fresh(State::Error) | JudgedState::Stale) && !self.is_excluded(index)
    }

    /// Whether the trouble of the check is that of its parents.
    pub(super) fn waits(&self, index: CheckIndex) -> bool {
        matches!(self.states[index], JudgedState::Fresh(State::Skipped | State::Pending))
    }

    /// Whether the app should have started by now.
    pub(super) fn should_have_started(&self) -> bool {
        self.now.since(self.snapshot.start_up.began) > LONGEST_START
    }

    /// Whether the check watches the app's life, passed until now, and has failed: `/readyz` closes at once, `/livez`
    /// waits for `failure_threshold`.
    pub(super) fn falters(&self, index: CheckIndex) -> bool {
        let check = self.check(index);
        self.definition(index).gates.live
            && check.failures > 0
            && check.state.is_up()
            && self.is_critical(index, Endpoint::Readyz)
    }

    /// Whether the app's container has started anew and the check has not passed since, though it would have to.
    pub(super) fn is_unproven(&self, index: CheckIndex) -> bool {
        self.check(index).unproven
            && self.definition(index).counts_for_start_up()
            && self.is_critical(index, Endpoint::Readyz)
    }
}
