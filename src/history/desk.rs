//! Where those who tell and ask meet the one who writes. A lock is held for as long as it takes to note a thing in
//! memory, and never while the disk is at work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::answer::{Condition, Keep, Run, SavedState};
use super::calendar::Calendar;
use super::file::load::Contents;
use super::ledger::{Availability, Interval};
use super::memory::Memory;
use super::pending::Pending;
use super::registry::{Marks, Registry, Storage};
use super::waiting::Waiting;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::plan::Plan;

/// Without anything else to write, signs of life are written this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How often what is too old is looked for.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// What those who tell, those who ask and the one who writes share.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<State>,
    /// Something waits that should be written now.
    pub urgent: Notify,
    /// The latches of the time before the restart, as soon as they are known.
    pub latches: watch::Sender<Option<SavedState>>,
    dropped: AtomicU64,
}

/// What lies on the desk.
#[derive(Debug)]
pub struct State {
    /// The registry, or what waits for them.
    pub stage: Stage,
    /// How much is kept.
    pub keep: Keep,
    /// How it goes.
    pub condition: Condition,
    /// The figures are those of everything that is kept.
    pub is_summed_up: bool,
    /// The latches that were saved last, for a file that is made anew.
    pub latches: Option<SavedState>,
    /// How what is told, the time of the ledger, and dates stand to each other.
    pub calendar: Calendar,
    /// What was declared last.
    pub plan: Option<Arc<Plan>>,
    pruned: Timestamp,
}

/// How far history has come.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of it
pub enum Stage {
    /// The file is being opened.
    Opening(Waiting, Option<SavedState>),
    /// Everything is kept in memory.
    InMemory(Registry, Memory),
    /// What is not in the file yet waits; with the marks that are in it.
    InFile(Registry, Pending, Marks),
}

impl Desk {
    /// A desk with nothing on it.
    #[must_use]
    pub fn new(stage: Stage, keep: Keep, condition: Condition, calendar: Calendar) -> Self {
        let (latches, _) = watch::channel(None);
        let is_summed_up = matches!(stage, Stage::InMemory(..));
        let pruned = Marks::EMPTY.seen;
        let state = State { stage, keep, condition, is_summed_up, latches: None, calendar, plan: None, pruned };
        Self { state: Mutex::new(state), urgent: Notify::new(), latches, dropped: AtomicU64::new(0) }
    }

    /// What lies on the desk, for as long as the guard is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of ticks that could not be kept.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The checks of `plan` are watched from `at` on.
    pub fn declare(&self, plan: &Arc<Plan>, at: Timestamp) {
        self.state().plan = Some(Arc::clone(plan));
        self.tell(at, |waiting| waiting.declare(plan, at), |registry, storage, at| registry.declare(plan, at, storage));
    }

    /// The check stands like this from `at` on.
    pub fn enter(&self, check: &CheckName, availability: Availability, at: Timestamp) {
        let early = |waiting: &mut Waiting| waiting.enter(check, availability, at);
        self.tell(at, early, |registry, storage, at| registry.enter(check, availability, at, storage));
    }

    /// One more run.
    pub fn record(&self, run: &Run<'_>) {
        let drop_one = |kept: bool| {
            if !kept {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        };
        // A run of a check that has just been removed is not one that could not be kept.
        let early = |waiting: &mut Waiting| drop_one(waiting.record(run));
        self.tell(run.at, early, |registry, storage, at| registry.record_run(&Run { at, ..*run }, storage));
    }

    /// A sign of life.
    pub fn see(&self, at: Timestamp) {
        self.tell(at, |waiting| waiting.see(at), |registry, storage, at| registry.see(at, storage));
        self.state().prune_memory(at);
    }

    /// The wall clock says `wall` where `told` is told.
    pub fn date(&self, told: Timestamp, wall: Timestamp) {
        let mut state = self.state();
        if !state.calendar.set(told, wall) {
            return;
        }
        let reckoning = state.calendar.reckoning();
        if let Stage::InFile(_, pending, _) = &mut state.stage {
            pending.reckoning = Some(reckoning);
        }
        drop(state);
        self.urgent.notify_one();
    }

    /// These are the latches now.
    pub fn save_latches(&self, latches: SavedState) {
        let mut state = self.state();
        if state.latches.as_ref() == Some(&latches) {
            return;
        }
        state.latches = Some(latches.clone());
        let shift = state.calendar.shift();
        match &mut state.stage {
            Stage::Opening(_, waiting) => *waiting = Some(latches),
            Stage::InMemory(..) => {}
            Stage::InFile(_, pending, _) => pending.latches = Some(latches.moved(shift)),
        }
        drop(state);
        self.urgent.notify_one();
    }

    /// Something happened `at`, as it is told: `now` is given that in the time of the ledger.
    fn tell(
        &self,
        at: Timestamp,
        early: impl FnOnce(&mut Waiting),
        now: impl FnOnce(&mut Registry, &mut dyn Storage, Timestamp),
    ) {
        let mut state = self.state();
        let at = state.calendar.ledger(at);
        let urgent = match &mut state.stage {
            Stage::Opening(waiting, _) => {
                early(waiting);
                false
            }
            Stage::InMemory(registry, memory) => {
                now(registry, memory, at);
                false
            }
            Stage::InFile(registry, pending, _) => {
                now(registry, pending, at);
                self.count_dropped(registry, pending);
                pending.is_urgent()
            }
        };
        drop(state);
        if urgent {
            self.urgent.notify_one();
        }
    }

    /// Takes what waits for the file, with the marks to write with it; nothing when that can wait longer, unless this
    /// is the last time.
    pub fn take(&self, is_last: bool) -> Option<(Pending, Marks)> {
        let mut state = self.state();
        let Stage::InFile(registry, pending, stored) = &mut state.stage else { return None };
        let marks = registry.marks();
        let is_recent = marks.seen >= stored.seen && marks.seen.since(stored.seen) < SIGN_OF_LIFE;
        (is_last || !pending.is_empty() || !is_recent).then(|| (pending.take(), marks))
    }

    /// What was taken is in the file, with these marks.
    pub fn was_written(&self, marks: Marks) {
        if let Stage::InFile(_, _, stored) = &mut self.state().stage {
            *stored = marks;
        }
    }

    /// What was taken could not be written.
    pub fn put_back(&self, batch: Pending) {
        if let Stage::InFile(registry, pending, _) = &mut self.state().stage {
            pending.put_back(batch);
            self.count_dropped(registry, pending);
        }
    }

    /// The intervals of a check that wait for the file, oldest first.
    pub fn waiting(&self, check: u32) -> Vec<Interval> {
        match &self.state().stage {
            Stage::InFile(_, pending, _) => pending.intervals_of(check).collect(),
            Stage::Opening(..) | Stage::InMemory(..) => Vec::new(),
        }
    }

    fn count_dropped(&self, registry: &mut Registry, pending: &mut Pending) {
        for tick in pending.take_dropped() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(record) = registry.record_mut(tick.check) {
                record.runs.discount(&tick);
            }
        }
    }

    /// Notes how it goes, and returns how it went before.
    pub fn set_condition(&self, condition: Condition) -> Condition {
        std::mem::replace(&mut self.state().condition, condition)
    }

    /// Goes on in memory, with everything that is known.
    pub fn go_on_in_memory(&self) {
        let mut state = self.state();
        let fresh = || Stage::InMemory(Registry::open([], Marks::EMPTY, &mut Memory::default()), Memory::default());
        let stage = match std::mem::replace(&mut state.stage, fresh()) {
            Stage::Opening(waiting, _) => {
                let mut memory = Memory::default();
                let mut registry = Registry::open([], Marks::EMPTY, &mut memory);
                waiting.tell(&mut registry, &mut memory, &state.calendar);
                Stage::InMemory(registry, memory)
            }
            Stage::InFile(registry, pending, _) => Stage::InMemory(registry, pending.into_memory()),
            stage @ Stage::InMemory(..) => stage,
        };
        state.stage = stage;
        state.condition = Condition::Refused;
        state.is_summed_up = true;
    }

    /// Nothing is known of the time before the restart, and it will not become known.
    pub fn give_up_latches(&self) {
        self.remember(SavedState::default());
    }

    /// These are the latches of the time before the restart, unless that was settled earlier.
    pub fn remember(&self, before: SavedState) {
        self.latches.send_if_modified(|latches| {
            let is_news = latches.is_none();
            latches.get_or_insert(before);
            is_news
        });
    }

    /// Goes on in a file that has become free, as it was left, with what was kept in memory since.
    pub fn go_on_in_file(&self, contents: Contents) {
        let Contents { records, marks, latches, reckoning } = contents;
        let mut state = self.state();
        let Stage::InMemory(known, memory) = &state.stage else { return };
        let mut pending = Pending::after(marks.next_interval.saturating_sub(1));
        let mut registry = Registry::open(records, marks, &mut pending);
        let mut calendar = state.calendar.clone();
        // Until now the time of the ledger was what is told.
        calendar.go_on(&reckoning, marks.seen, known.marks().seen);
        if let Some(plan) = &state.plan {
            retell(known, memory, plan, &calendar, &mut registry, &mut pending);
        }
        pending.reckoning = Some(calendar.reckoning());
        pending.latches = state.latches.clone().map(|latches| latches.moved(calendar.shift()));
        let latches = latches.moved(calendar.shift().saturating_neg());
        state.calendar = calendar;
        state.stage = Stage::InFile(registry, pending, marks);
        state.is_summed_up = false;
        state.condition = Condition::Stored;
        drop(state);
        self.remember(latches);
    }

    /// When there was last a sign of life, in the time of the ledger.
    pub fn seen(&self) -> Timestamp {
        match &self.state().stage {
            Stage::InFile(registry, _, _) | Stage::InMemory(registry, _) => registry.marks().seen,
            Stage::Opening(..) => Timestamp::default(),
        }
    }
}

/// Writes into `registry` what was kept in memory since they were left, in the time of the ledger.
fn retell(
    known: &Registry,
    memory: &Memory,
    plan: &Plan,
    calendar: &Calendar,
    registry: &mut Registry,
    storage: &mut dyn Storage,
) {
    /// A sign of life so often leaves no gap.
    const STEP: Duration = Duration::from_secs(5);
    let to = calendar.ledger(known.marks().seen);
    let begun = known.declared().map(|record| calendar.ledger(record.entry.created_at)).min();
    let from = begun.unwrap_or(to).max(registry.marks().seen);
    registry.declare(plan, from, storage);
    let mut moves = Vec::new();
    for record in known.declared() {
        let name = &record.entry.name;
        let intervals = memory.intervals(record.entry.id).chain([record.ledger.open()]);
        let intervals = intervals.map(|interval| interval.moved(calendar.shift()));
        moves.extend(intervals.filter(|interval| interval.to.is_none_or(|to| to > from)).map(|it| (it, name)));
    }
    moves.sort_by_key(|(interval, _)| (interval.from, interval.id));
    let mut seen = from;
    for (interval, name) in moves {
        let at = interval.from.max(from);
        while seen.after(STEP) < at {
            seen = seen.after(STEP);
            registry.see(seen, storage);
        }
        registry.enter(name, interval.availability, at, storage);
    }
    while seen < to {
        seen = seen.after(STEP).min(to);
        registry.see(seen, storage);
    }
    for tick in memory.all_ticks() {
        let at = calendar.ledger(tick.at);
        let Some(record) = known.record(tick.check).filter(|_| at > from) else { continue };
        let (check, message) = (&record.entry.name, &*tick.message);
        let (outcome, reason, took) = (tick.outcome, tick.reason, tick.response_time);
        registry.record_run(&Run { check, at, outcome, reason, took, message }, storage);
    }
}

impl State {
    /// Whether it is time to look for what is too old.
    pub fn is_time_to_prune(&mut self, now: Timestamp) -> bool {
        let is_time = now < self.pruned || now.since(self.pruned) >= PRUNE_INTERVAL;
        if is_time {
            self.pruned = now;
        }
        is_time
    }

    fn prune_memory(&mut self, told: Timestamp) {
        let now = self.calendar.ledger(told);
        let is_time = matches!(self.stage, Stage::InMemory(..)) && self.is_time_to_prune(now);
        let keep = self.keep;
        if let Stage::InMemory(registry, memory) = &mut self.stage {
            memory.forget_ticks_before(keep.ticks_since(now));
            if is_time {
                registry.forget_before(keep.figures_since(now), memory);
            }
        }
    }
}
