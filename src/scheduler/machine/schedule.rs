//! When one check runs, and what it waits for.

use std::ops::Index;
use std::time::Duration;

use super::{CheckKey, Machine, RunStart};
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::Observation;
use crate::model::plan::Definition;
use crate::scheduler::cadence::Cadence;

/// A run that was expedited and failed is repeated after this long.
const RECOVERY_RETRY: Duration = Duration::from_secs(1);

/// The schedules of all checks. The moments at which they are due are kept apart, close together: a wake scans those
/// and touches the schedule of a check only where it is due.
#[derive(Debug, Default)]
pub(super) struct CheckSchedules {
    pub(super) all: Vec<CheckSchedule>,
    /// When each check is due next, unless an observation changes that first; in the order of `all`.
    pub(super) wakes: Vec<Option<Moment>>,
    /// The checks' keys.
    pub(super) keys: Vec<CheckKey>,
    /// Positions of schedules that were changed: their wakes are computed again before they are read.
    pub(super) touched: Vec<CheckIndex>,
}

impl CheckSchedules {
    pub(super) fn push(&mut self, schedule: CheckSchedule) {
        self.touched.push(CheckIndex::new(self.all.len()));
        self.wakes.push(None);
        self.keys.push(schedule.key);
        self.all.push(schedule);
    }

    /// The schedule, to be changed.
    pub(super) fn touch(&mut self, index: CheckIndex) -> &mut CheckSchedule {
        self.touched.push(index);
        &mut self.all[index]
    }

    pub(super) fn position(&self, key: CheckKey) -> Option<CheckIndex> {
        CheckIndex::first(self.keys.len()).find(|index| self.keys[*index] == key)
    }
}

impl Index<CheckIndex> for CheckSchedules {
    type Output = CheckSchedule;

    fn index(&self, index: CheckIndex) -> &CheckSchedule {
        &self.all[index]
    }
}

/// When one check runs, and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct CheckSchedule {
    key: CheckKey,
    pub(super) cadence: Cadence,
    /// The next run (or skip) of the regular schedule.
    pub(super) beat: Moment,
    /// Its `initial_delay` is over then, whatever its parents do.
    pub(super) not_before: Moment,
    /// Set while runs follow each other more quickly than the beats: until the first pass, and after a failure of
    /// what watches the app.
    pub(super) backoff: Option<Backoff>,
    /// Its first pass (in this start-up) is still to come.
    pub(super) first_runs: bool,
    /// The app itself is watched: after a failure it is looked at every second, and also while the failure waits for
    /// the parents to be confirmed.
    pub(super) watches_the_app: bool,
    pub(super) running: Option<Running>,
    /// When a run that was expedited is to start.
    pub(super) expedited: Option<Moment>,
    /// A child waits for one more run of this check, to confirm its own failure.
    pub(super) extra_requested: bool,
    /// When such a run beyond the schedule last began.
    last_extra: Option<Moment>,
    pub(super) last_run: Option<PastRun>,
    /// A failed run that waits for the parents to be confirmed.
    pub(super) unconfirmed: Option<Observation>,
    /// The app's container has started anew, and it has not passed since.
    pub(super) must_prove: bool,
    /// It was skipped and has not been run since the parents came back.
    pub(super) recovering: bool,
    /// A parent that fails or is pending keeps it from running.
    pub(super) waiting: bool,
    /// The last beat was put off by a run that was expedited: the next one comes in its time, or failures would
    /// never count while the clock keeps jumping.
    pub(super) postponed: bool,
}

/// Runs that follow each other quickly, with a backoff: each gap is half as long again as the one before, up to the
/// interval, which is reached within a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    begun: Option<Moment>,
    gap: Duration,
    /// The gaps do not grow.
    steady: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) began: Moment,
    pub(super) expedited: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PastRun {
    pub(super) began: Moment,
    pub(super) passed: bool,
}

impl CheckSchedule {
    /// When there is something to do, if nothing is observed before.
    pub(super) fn wake(&self) -> Option<Moment> {
        // A check that waits for its parents is woken by them; until then only its beat (a skip) is due.
        let free = !self.waiting;
        let extra = (self.extra_requested && free).then(|| self.extra_allowed());
        let wakes = [Some(self.beat), self.expedited.filter(|_| free), extra];
        self.is_idle().then(|| wakes.into_iter().flatten().min()).flatten()
    }

    /// When the next run is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.is_idle().then(|| self.expedited.map_or(self.beat, |expedited| expedited.min(self.beat)))
    }

    /// It neither runs nor waits for the parents to confirm a failure. What has never passed, or watches the app, is
    /// looked at while it waits: a pass is news, whatever the parents say.
    pub(super) const fn is_idle(&self) -> bool {
        self.running.is_none() && (self.unconfirmed.is_none() || self.first_runs || self.watches_the_app)
    }

    /// A run has passed: the beats are regular again. Returns a failure that still waited to be confirmed.
    pub(super) fn passed(&mut self) -> Option<Observation> {
        (self.backoff, self.first_runs, self.must_prove) = (None, false, false);
        self.unconfirmed.take()
    }

    /// A run that began at `began` has failed: what watches the app looks again in a second, then less and less often.
    pub(super) fn back_off(&mut self, began: Moment) {
        if self.watches_the_app && self.backoff.is_none() {
            let gap = self.cadence.first_gap();
            self.backoff = Some(Backoff { begun: Some(began), gap, steady: false });
            self.beat = self.beat.min(began + gap);
        }
    }

    /// A run that was expedited has failed: another one may mend it until the beat, whose failure counts.
    pub(super) fn retry_expedited(&mut self, now: Moment) {
        self.expedited = Some(now + RECOVERY_RETRY).filter(|again| *again < self.beat);
    }

    /// The app's container starts anew at `now`: the check runs at once, and until it passes every second, or less and
    /// less often if this is not to be `steady`. Returns a failure that still waited to be confirmed.
    pub(super) fn start_anew(&mut self, steady: bool, now: Moment) -> Option<Observation> {
        self.backoff = Some(Backoff { begun: None, gap: self.cadence.first_gap(), steady });
        (self.first_runs, self.must_prove) = (true, true);
        (self.expedited, self.recovering, self.postponed) = (None, false, false);
        (self.beat, self.not_before) = (now, now);
        self.unconfirmed.take()
    }

    /// Starts a run at `now` if one is due, wanted or asked for.
    pub(super) fn start(&mut self, check: CheckIndex, now: Moment) -> Option<RunStart> {
        let regular = self.beat <= now;
        let expedited = self.expedited.is_some_and(|at| at <= now);
        let extra = self.extra_requested && self.extra_allowed() <= now;
        if !(regular || expedited || extra) {
            return None;
        }
        if regular {
            self.postponed = false;
            self.beat = self.next_beat(now);
        } else if extra {
            self.last_extra = Some(now);
        }
        if expedited {
            self.expedited = None;
        }
        self.extra_requested = false;
        self.running = Some(Running { began: now, expedited: expedited && !regular });
        Some(RunStart { key: self.key, check, throttled: expedited || self.first_runs })
    }

    /// The beat that follows a run that begins at `now`; the gaps between quick runs grow.
    fn next_beat(&mut self, now: Moment) -> Moment {
        let cadence = self.cadence;
        match &mut self.backoff {
            None => cadence.after(now),
            Some(backoff) => {
                let begun = *backoff.begun.get_or_insert(now);
                let gap = backoff.gap;
                if !backoff.steady {
                    backoff.gap = cadence.next_gap(gap, now.since(begun) + gap);
                }
                if gap >= cadence.interval() { cadence.after(now) } else { now + gap }
            }
        }
    }

    /// The beat has come and nothing can be started: the next one is the check's, a run that overruns skips to it.
    pub(super) fn skip_to_next_beat(&mut self, now: Moment) {
        let beat = self.cadence.after(now);
        self.beat = match self.backoff {
            Some(backoff) if backoff.gap < self.cadence.interval() && (!self.waiting || self.must_prove) => {
                let soon = now + backoff.gap;
                // After a failure the beats stay, and quick runs come between them.
                if self.first_runs { soon } else { soon.min(beat) }
            }
            _ => beat,
        };
    }

    pub(super) fn expedite(&mut self, at: Moment) {
        self.expedited = Some(at);
        if !std::mem::replace(&mut self.postponed, true) {
            self.beat = self.cadence.well_after(at);
        }
    }

    /// Beyond its schedule a parent is probed at most once per its interval.
    fn extra_allowed(&self) -> Moment {
        self.last_extra.map_or_else(Moment::default, |last| last + self.cadence.interval())
    }
}

impl Machine {
    pub(super) fn new_schedule(&mut self, definition: &Definition, now: Moment) -> CheckSchedule {
        self.keys += 1;
        let cadence = Cadence::new(definition.interval, &self.pod, definition.name.as_str());
        CheckSchedule {
            key: CheckKey(self.keys),
            cadence,
            beat: now + definition.initial_delay,
            not_before: now + definition.initial_delay,
            backoff: Some(Backoff { begun: None, gap: cadence.first_gap(), steady: false }),
            first_runs: true,
            watches_the_app: definition.watches_the_app(),
            running: None,
            expedited: None,
            extra_requested: false,
            last_extra: None,
            last_run: None,
            unconfirmed: None,
            must_prove: false,
            recovering: false,
            waiting: false,
            postponed: false,
        }
    }
}
