//! When one check runs, and what it waits for.

use std::collections::{BTreeSet, HashMap};
use std::ops::Index;
use std::time::Duration;

use super::confirmation::Unconfirmed;
use super::{CheckKey, Machine, RunStart};
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::plan::Definition;
use crate::scheduler::beat_groups::BeatPlace;
use crate::scheduler::cadence::Cadence;

/// A run that was expedited and failed is repeated after this long.
const RECOVERY_RETRY: Duration = Duration::from_secs(1);
/// Who comes this late with one check comes late with many: they do not begin all at once.
const OVERDUE: Duration = Duration::from_secs(1);
/// However much the app has to tell, beyond its schedule a check is run no more often than this to hear it.
const BETWEEN_NEWS: Duration = Duration::from_secs(1);

/// The schedules of all checks, and which is due next: a wake looks at those that are due and at no other.
#[derive(Debug, Default)]
pub(super) struct CheckSchedules {
    all: Vec<CheckSchedule>,
    /// When each check is due next that is, unless an observation changes that first; soonest first.
    wakes: BTreeSet<(Moment, CheckIndex)>,
    /// What `wakes` holds of each check.
    wake_of: Vec<Option<Moment>>,
    positions: HashMap<CheckKey, CheckIndex>,
    /// Those that were changed: their wakes are computed again before they are read.
    touched: Vec<CheckIndex>,
    /// Those of them that were changed in what their children may wait for.
    stirred: Vec<CheckIndex>,
    /// The same since it was last counted what they are to their children.
    uncounted: Vec<CheckIndex>,
}

impl CheckSchedules {
    /// None yet, with room for so many.
    pub(super) fn with_room(checks: usize) -> Self {
        Self {
            all: Vec::with_capacity(checks),
            wake_of: Vec::with_capacity(checks),
            positions: HashMap::with_capacity(checks),
            touched: Vec::with_capacity(checks),
            stirred: Vec::with_capacity(checks),
            ..Self::default()
        }
    }

    /// Adds the schedule of the next check of a plan, which may have been that of another plan: what parents have said is
    /// heard anew.
    pub(super) fn push(&mut self, mut schedule: CheckSchedule) {
        if let Some(unconfirmed) = &mut schedule.unconfirmed {
            unconfirmed.forget_parents();
        }
        let index = CheckIndex::new(self.all.len());
        self.touched.push(index);
        self.stirred.push(index);
        self.wake_of.push(None);
        self.positions.insert(schedule.key, index);
        self.all.push(schedule);
    }

    /// The schedule, to be changed.
    pub(super) fn touch(&mut self, index: CheckIndex) -> &mut CheckSchedule {
        self.stirred.push(index);
        self.uncounted.push(index);
        self.adjust(index)
    }

    /// The schedule, to be changed in nothing that the check's children or its own failure may wait for.
    pub(super) fn adjust(&mut self, index: CheckIndex) -> &mut CheckSchedule {
        self.touched.push(index);
        &mut self.all[index]
    }

    /// The check's failure that waits for its parents, to note what they say of it: when it is due is another matter.
    pub(super) fn unconfirmed_mut(&mut self, index: CheckIndex) -> Option<&mut Unconfirmed> {
        self.all[index].unconfirmed.as_deref_mut()
    }

    pub(super) fn position(&self, key: CheckKey) -> Option<CheckIndex> {
        self.positions.get(&key).copied()
    }

    /// The checks' keys, in the order of the plan.
    pub(super) fn keys(&self) -> impl Iterator<Item = CheckKey> {
        self.all.iter().map(|schedule| schedule.key)
    }

    /// Those that were [touched](Self::touch) since this was last asked.
    pub(super) fn take_stirred(&mut self) -> Vec<CheckIndex> {
        std::mem::take(&mut self.stirred)
    }

    /// One that was [touched](Self::touch) since it was last taken from here: what it is to its children may have changed.
    pub(super) fn next_uncounted(&mut self) -> Option<CheckIndex> {
        self.uncounted.pop()
    }

    /// Computes again when those that were changed are due.
    pub(super) fn refresh(&mut self) {
        for index in std::mem::take(&mut self.touched) {
            let wake = self.all[index].wake();
            let before = std::mem::replace(&mut self.wake_of[index], wake);
            if before != wake {
                before.map(|before| self.wakes.remove(&(before, index)));
                wake.map(|wake| self.wakes.insert((wake, index)));
            }
        }
        debug_assert!(
            self.all.iter().map(CheckSchedule::wake).eq(self.wake_of.iter().copied()),
            "a schedule was changed untouched"
        );
    }

    /// When the first is due.
    pub(super) fn first_wake(&self) -> Option<Moment> {
        self.wakes.first().map(|(wake, _)| *wake)
    }

    /// The checks that are due at `now`.
    pub(super) fn due(&self, now: Moment) -> impl Iterator<Item = CheckIndex> {
        self.wakes.iter().take_while(move |(wake, _)| *wake <= now).map(|(_, index)| *index)
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
    /// With whom it shares its beats.
    pub(super) place: BeatPlace,
    pub(super) cadence: Cadence,
    /// The next run (or skip) of the regular schedule.
    pub(super) beat: Moment,
    /// Its `initial_delay` is over then, whatever its parents do.
    pub(super) not_before: Moment,
    pub(super) pace: RunPace,
    /// The app itself is watched: after a failure it is looked at every second, and also while the failure waits for
    /// the parents to be confirmed.
    pub(super) watches_the_app: bool,
    /// The run under way. What watches the app runs beside a failure that is `unconfirmed`, so these two can stand
    /// together.
    pub(super) running: Option<Running>,
    /// When a run that was expedited is to start.
    pub(super) expedited: Option<Moment>,
    pub(super) extra: ExtraRun,
    news: NewsRun,
    pub(super) last_run: Option<PastRun>,
    /// A failed run that waits for the parents to be confirmed.
    pub(super) unconfirmed: Option<Box<Unconfirmed>>,
    pub(super) hold: Hold,
    /// Since when its result does not age, where it waits for its parents.
    pub(super) held_since: Option<Moment>,
    /// The last beat was put off by a run that was expedited: the next one comes in its time, or failures would
    /// never count while the clock keeps jumping.
    pub(super) postponed: bool,
}

/// How its runs follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunPace {
    /// On the beats.
    Regular,
    /// Quickly, between the beats: what watches the app has failed.
    AfterFailure(Backoff),
    /// Quickly, until it first passes since the daemon's start or the reload that brought it, as often as it has to.
    FirstRuns(Backoff),
    /// Quickly, until its first pass since the app's container started anew. It runs whatever its parents are doing.
    Proving(Backoff),
}

/// Whether its parents let it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// They do.
    Free,
    /// One that fails or is pending does not.
    Waiting,
    /// The same, after a skip: the run that follows is expedited, so that it can only mend.
    Recovering,
    /// They do again, after a skip, but a run from before was still under way: should they hold it once more before its
    /// state is known, it recovers.
    Recovered,
}

/// A run beyond the schedule, for a child that wants its own failure confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExtraRun {
    /// A child waits for one.
    pub(super) requested: bool,
    /// When the last one began.
    last: Option<Moment>,
}

/// A run beyond the schedule, for news that the app has pushed.
#[derive(Clone, Copy, Debug, Default)]
struct NewsRun {
    due: Option<Moment>,
    /// When the last one began.
    last: Option<Moment>,
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

impl Backoff {
    /// Whose first run is still to come.
    fn new(cadence: &Cadence) -> Self {
        Self { begun: None, gap: cadence.first_gap(), steady: false }
    }
}

impl RunPace {
    /// Its first pass, in this start-up of the app where that counts, is still to come.
    pub(super) const fn awaits_a_pass(self) -> bool {
        matches!(self, Self::FirstRuns(_) | Self::Proving(_))
    }

    const fn backoff_mut(&mut self) -> Option<&mut Backoff> {
        match self {
            Self::Regular => None,
            Self::AfterFailure(backoff) | Self::FirstRuns(backoff) | Self::Proving(backoff) => Some(backoff),
        }
    }
}

impl Hold {
    /// A parent keeps it from running.
    pub(super) const fn holds(self) -> bool {
        matches!(self, Self::Waiting | Self::Recovering)
    }

    /// The same, where the parents hold it, or do not.
    pub(super) const fn with(self, holds: bool) -> Self {
        match (self, holds) {
            (Self::Free | Self::Waiting, true) => Self::Waiting,
            (Self::Recovering | Self::Recovered, true) => Self::Recovering,
            (Self::Free | Self::Waiting, false) => Self::Free,
            (Self::Recovering | Self::Recovered, false) => Self::Recovered,
        }
    }

    /// The same at the end of a skip.
    pub(super) const fn after_skip(self) -> Self {
        match self {
            Self::Waiting | Self::Recovering => Self::Recovering,
            Self::Free | Self::Recovered => Self::Recovered,
        }
    }

    /// The same once the run that follows a skip is scheduled, or nobody waits for it any more.
    pub(super) const fn after_release(self) -> Self {
        match self {
            Self::Free | Self::Recovered => Self::Free,
            Self::Waiting | Self::Recovering => Self::Waiting,
        }
    }
}

impl CheckSchedule {
    /// When there is something to do, if nothing is observed before.
    pub(super) fn wake(&self) -> Option<Moment> {
        // A check that waits for its parents is woken by them; until then only its beat (a skip) is due.
        let free = !self.hold.holds();
        let extra = (self.extra.requested && free).then(|| self.extra_allowed());
        let news = self.news.due.filter(|_| free);
        let wakes = [Some(self.beat), self.expedited.filter(|_| free), extra, news];
        self.is_idle().then(|| wakes.into_iter().flatten().min()).flatten()
    }

    /// It neither runs nor waits for the parents to confirm a failure. What has never passed, or watches the app, is
    /// looked at while it waits: a pass is news, whatever the parents say.
    pub(super) const fn is_idle(&self) -> bool {
        self.running.is_none() && (self.unconfirmed.is_none() || self.pace.awaits_a_pass() || self.watches_the_app)
    }

    /// A run has passed: the beats are regular again, unless it takes more passes than this one to be `up`. Returns a
    /// failure that still waited to be confirmed.
    pub(super) fn passed(&mut self, up: bool, now: Moment) -> Option<Box<Unconfirmed>> {
        self.pace = match self.pace {
            RunPace::FirstRuns(quick) if !up => RunPace::FirstRuns(quick),
            // It has shown its new container, and waits for its parents as before.
            RunPace::Proving(_) if !up => {
                let quick = Backoff::new(&self.cadence);
                self.beat = self.beat.min(now + quick.gap);
                RunPace::FirstRuns(quick)
            }
            pace => {
                if pace.awaits_a_pass() && !self.postponed {
                    self.beat = self.cadence.after(now);
                }
                RunPace::Regular
            }
        };
        self.unconfirmed.take()
    }

    /// A run that began at `began` has failed: what watches the app looks again in a second, then less and less often.
    pub(super) fn back_off(&mut self, began: Moment) {
        if self.watches_the_app && matches!(self.pace, RunPace::Regular) {
            let gap = self.cadence.first_gap();
            // The failed run was the first of the quick ones: their gaps grow from its start.
            self.pace = RunPace::AfterFailure(Backoff { begun: Some(began), gap, steady: false });
            self.beat = self.beat.min(began + gap);
        }
    }

    /// A run that was expedited has failed: another one may mend it until the beat, whose failure counts.
    pub(super) fn retry_expedited(&mut self, now: Moment) {
        self.expedited = Some(now + RECOVERY_RETRY).filter(|again| *again < self.beat);
    }

    /// Its first run is as long after the start, or the reload that brought it, as its `initial_delay` is, and not before
    /// `now`: it goes on for a check that was `declared` with that of `before`.
    pub(super) fn resume_delay(&mut self, definition: &Definition, before: &Definition, declared: &Self, now: Moment) {
        let began = declared.not_before - before.initial_delay;
        self.not_before = (began + definition.initial_delay).max(now);
        self.beat = self.not_before;
    }

    /// The app's container starts anew at `now`: the check runs at once, and until it passes every second, or less and
    /// less often if this is not to be `steady`. Returns a failure that still waited to be confirmed.
    pub(super) fn start_anew(&mut self, steady: bool, now: Moment) -> Option<Box<Unconfirmed>> {
        self.pace = RunPace::Proving(Backoff { begun: None, gap: self.cadence.first_gap(), steady });
        self.hold = self.hold.after_release();
        (self.expedited, self.postponed) = (None, false);
        (self.beat, self.not_before) = (now, now);
        self.unconfirmed.take()
    }

    /// The app has pushed news at `now`: they are looked at now, or as soon as they may be.
    pub(super) fn hear(&mut self, now: Moment) {
        let allowed = self.news.last.map_or(now, |last| last + BETWEEN_NEWS);
        self.news.due = Some(allowed.max(now).max(self.not_before));
    }

    /// Starts a run at `now` if one is due, wanted or asked for.
    #[must_use]
    pub(super) fn start(&mut self, check: CheckIndex, now: Moment) -> Option<RunStart> {
        let regular = self.beat <= now;
        let expedited = self.expedited.is_some_and(|at| at <= now);
        let extra = self.extra.requested && self.extra_allowed() <= now;
        let news = self.news.due.is_some_and(|at| at <= now);
        if !(regular || expedited || extra || news) {
            return None;
        }
        let overdue = regular && now.since(self.beat) >= OVERDUE;
        // The run after a pass that ended failures comes a second after the last of these, as it does for all that recover.
        let in_step = regular && matches!(self.pace, RunPace::Regular) && !self.cadence.has_beat_at(self.beat);
        if regular {
            self.postponed = false;
            self.beat = self.next_beat(now);
        } else if extra {
            self.extra.last = Some(now);
        }
        if expedited {
            self.expedited = None;
        }
        // Whatever run this is, it will do for the child that waits for one, and sees the news.
        self.extra.requested = false;
        self.news.due = None;
        if news {
            self.news.last = Some(now);
        }
        // A regular run counts as such, also where an expedited one was due at the same moment.
        self.running = Some(Running { began: now, expedited: expedited && !regular });
        // A child asks all its parents at the same moment.
        let asked_for = extra && !regular;
        let throttled = expedited || overdue || in_step || asked_for || self.pace.awaits_a_pass();
        Some(RunStart { key: self.key, check, throttled })
    }

    /// The beat that follows a run that begins at `now`; the gaps between quick runs grow.
    fn next_beat(&mut self, now: Moment) -> Moment {
        let cadence = self.cadence;
        match self.pace.backoff_mut() {
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
        let is_held = self.hold.holds();
        self.beat = match self.pace {
            RunPace::Regular => beat,
            RunPace::AfterFailure(quick) | RunPace::FirstRuns(quick) | RunPace::Proving(quick)
                if quick.gap >= self.cadence.interval() =>
            {
                beat
            }
            // Its parents wake what is held; until then only its beat is due.
            RunPace::AfterFailure(_) | RunPace::FirstRuns(_) if is_held => beat,
            // After a failure the beats stay, and quick runs come between them.
            RunPace::AfterFailure(quick) => beat.min(now + quick.gap),
            RunPace::FirstRuns(quick) | RunPace::Proving(quick) => now + quick.gap,
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
        self.extra.last.map_or_else(Moment::default, |last| last + self.cadence.interval())
    }
}

impl Machine {
    pub(super) fn new_schedule(&mut self, definition: &Definition, now: Moment) -> CheckSchedule {
        self.keys += 1;
        let place = self.groups.join(definition);
        let cadence = Cadence::new(definition.interval, &self.pod, place);
        CheckSchedule {
            key: CheckKey(self.keys),
            place,
            cadence,
            beat: now + definition.initial_delay,
            not_before: now + definition.initial_delay,
            pace: RunPace::FirstRuns(Backoff::new(&cadence)),
            watches_the_app: definition.watches_the_app(),
            running: None,
            expedited: None,
            extra: ExtraRun::default(),
            news: NewsRun::default(),
            last_run: None,
            unconfirmed: None,
            hold: Hold::Free,
            held_since: None,
            postponed: false,
        }
    }
}
