//! Everything that the history's task owns but the file: the registry of checks, what is kept in memory or waits for the
//! file, and the calendar. Without I/O, and without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Keep, SavedState, ServiceRecord};
use super::calendar::{Calendar, Reckoning};
use super::check_record::{CheckRecord, Runs};
use super::figures::Times;
use super::file::load::Contents;
use super::file::prune::Pruned;
use super::ledger::Availability;
use super::memory::Memory;
use super::pending::Pending;
use super::queued_run::QueuedRun;
use super::registry::{Marks, Registry};
use super::shelf::LetGo;
use super::storage::Storage;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::plan::Plan;

/// Without anything else to write, signs of life are written this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How often what is too old is looked for.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// A sign of life so often leaves no gap.
const NO_GAP: Duration = Duration::from_secs(5);

/// What is known of all checks.
#[derive(Debug)]
pub struct HistoryState {
    /// The checks, with their figures.
    pub registry: Registry,
    /// Where single runs and intervals are.
    pub kept: Kept,
    /// How what is told, the time of the ledger, and dates stand to each other.
    pub calendar: Calendar,
    /// How much is kept.
    pub keep: Keep,
    /// The figures are those of everything that is kept.
    pub is_summed_up: bool,
    /// What was declared last.
    plan: Option<Arc<Plan>>,
    /// What was saved last, for a file that is made anew.
    saved: Option<SavedState>,
    pruned: Timestamp,
}

/// Where single runs and intervals are.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of it
pub enum Kept {
    /// All in memory: there is no file, or it cannot be used yet.
    InMemory(Memory),
    /// In the file, but for what waits to be written; with the marks that are in the file.
    InFile(Pending, Marks),
}

impl Kept {
    fn storage(&mut self) -> &mut dyn Storage {
        match self {
            Self::InMemory(memory) => memory,
            Self::InFile(pending, _) => pending,
        }
    }
}

impl HistoryState {
    /// Nothing is known.
    #[must_use]
    pub fn new(keep: Keep, calendar: Calendar) -> Self {
        Self {
            registry: Registry::open([], Marks::EMPTY, &mut Memory::within(0)),
            kept: Kept::InMemory(Memory::within(keep.max_memory)),
            calendar,
            keep,
            is_summed_up: false,
            plan: None,
            saved: None,
            pruned: Marks::EMPTY.seen,
        }
    }

    /// The checks of `plan` are watched from `at` on, and no others.
    pub fn declare(&mut self, plan: Arc<Plan>, at: Timestamp) {
        self.registry.declare(&plan, self.calendar.ledger(at), self.kept.storage());
        self.plan = Some(plan);
        if let Kept::InFile(pending, _) = &mut self.kept {
            pending.set_limit(self.keep.max_memory, checks_of(self.plan.as_ref()));
        }
    }

    /// The check has this availability from `at` on.
    pub fn transition(&mut self, check: &CheckName, to: Availability, at: Timestamp) {
        self.registry.enter(check, to, self.calendar.ledger(at), self.kept.storage());
    }

    /// One more run.
    pub fn run(&mut self, run: QueuedRun) {
        let at = self.calendar.ledger(run.at);
        self.registry.record_run(QueuedRun { at, ..run }, self.kept.storage());
    }

    /// A sign of life; where it ends a gap, nothing is known of the checks with these names until they are told. What is kept
    /// in memory is kept within its bounds.
    pub fn alive(&mut self, at: Timestamp, unknown: &BTreeSet<CheckName>) {
        let now = self.calendar.ledger(at);
        self.registry.see_but(now, unknown, self.kept.storage());
        let Kept::InMemory(memory) = &mut self.kept else { return };
        memory.set_horizon(self.keep.ticks_since(now));
        if self.is_time_to_prune(now) {
            self.forget_before(now);
            if let Kept::InMemory(memory) = &mut self.kept {
                memory.forget_the_old(self.keep.figures_since(now));
            }
        }
    }

    /// From now on this much is kept.
    pub fn keep(&mut self, keep: Keep) {
        self.keep = keep;
        match &mut self.kept {
            Kept::InMemory(memory) => memory.set_limit(keep.max_memory),
            Kept::InFile(pending, _) => pending.set_limit(keep.max_memory, checks_of(self.plan.as_ref())),
        }
    }

    /// What had to be let go because memory is bounded, since this was last asked.
    #[must_use]
    pub const fn take_let_go(&mut self) -> LetGo {
        match &mut self.kept {
            Kept::InMemory(memory) => memory.take_let_go(),
            // Its runs are counted as dropped, and its changes are merged.
            Kept::InFile(..) => LetGo { runs: 0, changes: 0 },
        }
    }

    /// The wall clock says `wall` where `told` is told.
    pub fn date(&mut self, told: Timestamp, wall: Timestamp) {
        if self.calendar.set(told, wall)
            && let Kept::InFile(pending, _) = &mut self.kept
        {
            pending.reckoning = Some(self.calendar.reckoning());
        }
    }

    /// This must be known after a restart.
    pub fn save(&mut self, saved: SavedState) {
        if self.saved.as_ref() == Some(&saved) {
            return;
        }
        if let Kept::InFile(pending, _) = &mut self.kept {
            pending.saved = Some(saved.clone().moved(self.calendar.shift()));
        }
        self.saved = Some(saved);
    }

    /// A check with its figures, dated.
    #[must_use]
    pub fn service(&self, record: &CheckRecord) -> ServiceRecord {
        let kept_since = match &self.kept {
            Kept::InMemory(memory) => memory.kept_since(record.entry.id),
            Kept::InFile(..) => None,
        };
        ServiceRecord { kept_since, ..record.service(self.seen()) }.moved(self.calendar.ahead())
    }

    /// When there was last a sign of life, in the time of the ledger.
    #[must_use]
    pub const fn seen(&self) -> Timestamp {
        self.registry.marks().seen
    }

    /// How many runs that waited for the file had to be dropped since this was last asked.
    #[must_use]
    pub fn take_dropped(&mut self) -> u64 {
        let Kept::InFile(pending, _) = &mut self.kept else { return 0 };
        let dropped = pending.take_dropped();
        for tick in &dropped {
            if let Some(record) = self.registry.record_mut(tick.check) {
                record.runs.discount(tick);
            }
        }
        dropped.len() as u64
    }

    /// What is to be written to the file now, with the marks that belong to it; nothing when that can wait, unless it
    /// `must` be written.
    #[must_use]
    pub fn batch(&mut self, must: bool) -> Option<(Pending, Marks)> {
        let Kept::InFile(pending, stored) = &mut self.kept else { return None };
        let marks = self.registry.marks();
        let is_recent = marks.seen >= stored.seen && marks.seen.since(stored.seen) < SIGN_OF_LIFE;
        (must || !pending.is_empty() || !is_recent).then(|| (pending.batch(), marks))
    }

    /// The batch is in the file, with these marks.
    pub fn was_written(&mut self, batch: &Pending, marks: Marks) {
        if let Kept::InFile(pending, stored) = &mut self.kept {
            pending.confirm(batch);
            *stored = marks;
        }
    }

    /// The batch could not be written.
    pub fn was_not_written(&mut self, batch: &Pending) {
        if let Kept::InFile(pending, _) = &mut self.kept {
            pending.reject(batch);
        }
    }

    /// Goes on in memory, with everything that is known.
    pub fn go_on_in_memory(&mut self) {
        if let Kept::InFile(pending, _) = &mut self.kept {
            self.kept = Kept::InMemory(std::mem::take(pending).into_memory(self.keep.max_memory));
        }
        self.is_summed_up = true;
    }

    /// Goes on in a file, as it was left, with what was kept in memory since; the time of the ledger goes on from `now`,
    /// as it is told. Returns what was saved before the restart.
    pub fn go_on_in_file(&mut self, contents: Contents, now: Timestamp) -> SavedState {
        let Contents { records, marks, saved, reckoning } = contents;
        let mut pending = Pending::after(marks.next_interval.saturating_sub(1));
        pending.set_limit(self.keep.max_memory, checks_of(self.plan.as_ref()));
        let mut registry = Registry::open(records, marks, &mut pending);
        let shift_before = self.calendar.shift();
        self.calendar.go_on(&reckoning, marks.seen, now);
        let shift = self.calendar.shift();
        if let (Kept::InMemory(memory), Some(plan)) = (&self.kept, &self.plan) {
            let known = InMemory { registry: &self.registry, memory, shift: shift.saturating_sub(shift_before) };
            known.retell(plan, &mut registry, &mut pending);
        }
        pending.reckoning = Some(self.calendar.reckoning());
        pending.saved = self.saved.clone().map(|saved| saved.moved(shift));
        let before = saved.moved(shift.saturating_neg());
        self.saved.get_or_insert_with(|| before.clone());
        self.registry = registry;
        self.kept = Kept::InFile(pending, marks);
        self.is_summed_up = false;
        before
    }

    /// Goes on with a file that is new, or as it was left; whether it is either.
    pub fn resume(&mut self, contents: &Contents) -> bool {
        let Kept::InFile(pending, stored) = &mut self.kept else { return false };
        // What could not be written may be in the file after all.
        let is_as_it_was_left = contents.marks == *stored || contents.marks.is_between(*stored, self.registry.marks());
        if !contents.records.is_empty() && !is_as_it_was_left {
            return false;
        }
        *stored = contents.marks;
        self.registry.restate(pending);
        pending.saved = self.saved.clone().map(|saved| saved.moved(self.calendar.shift()));
        pending.reckoning = Some(self.calendar.reckoning());
        // What was in a file that is gone counts no more.
        self.is_summed_up = false;
        true
    }

    /// These are the sums of what is in the file; what waits for it is added.
    pub fn sum_up(&mut self, times: &BTreeMap<u32, Times>, runs: Option<&BTreeMap<u32, Runs>>) {
        let Kept::InFile(pending, _) = &self.kept else { return };
        for record in self.registry.all_mut() {
            record.past = times.get(&record.entry.id).copied().unwrap_or_default();
            if let Some(runs) = runs {
                record.runs = runs.get(&record.entry.id).copied().unwrap_or_default();
            }
        }
        for (check, interval) in pending.intervals.values().filter(|(_, interval)| interval.to.is_some()) {
            if let Some(record) = self.registry.record_mut(*check) {
                record.past.add(interval.availability, interval.length(interval.from));
            }
        }
        for tick in pending.ticks.iter().filter(|_| runs.is_some()) {
            if let Some(record) = self.registry.record_mut(tick.check) {
                record.runs.count(tick);
            }
        }
        self.is_summed_up = true;
    }

    /// The file was pruned.
    pub fn was_pruned(&mut self, pruned: &Pruned) {
        for (check, runs) in &pruned.runs_gone {
            if let Some(record) = self.registry.record_mut(*check) {
                record.runs.take_back(runs);
            }
        }
    }

    /// Whether it is time to look for what is too old. It is not again for a minute then.
    pub fn is_time_to_prune(&mut self, now: Timestamp) -> bool {
        let is_time = now < self.pruned || now.since(self.pruned) >= PRUNE_INTERVAL;
        if is_time {
            self.pruned = now;
        }
        is_time
    }

    /// Forgets the checks that are gone, and of which nothing is kept any more.
    pub fn forget_before(&mut self, now: Timestamp) {
        self.registry.forget_before(self.keep.figures_since(now), self.kept.storage());
    }

    /// What was saved before the restart, beside a file that cannot be used, as it is told.
    #[must_use]
    pub fn as_told(&self, saved: SavedState, reckoning: &Reckoning, began: Timestamp) -> SavedState {
        let mut calendar = self.calendar.clone();
        calendar.go_on(reckoning, Marks::EMPTY.seen, began);
        saved.moved(calendar.shift().saturating_neg())
    }
}

fn checks_of(plan: Option<&Arc<Plan>>) -> usize {
    plan.map_or(0, |plan| plan.checks.len())
}

/// What was kept in memory until there was a file; its times are to be moved by `shift` microseconds.
struct InMemory<'a> {
    registry: &'a Registry,
    memory: &'a Memory,
    shift: i64,
}

impl InMemory<'_> {
    /// Tells it all to the `registry` of the file. Of a time that both know, the file's own account stays.
    fn retell(&self, plan: &Plan, registry: &mut Registry, storage: &mut dyn Storage) {
        let left = registry.marks().seen;
        let to = self.registry.marks().seen.moved(self.shift);
        let begun = self.registry.declared().map(|record| record.entry.created_at.moved(self.shift)).min();
        let from = begun.unwrap_or(to).max(left);
        registry.declare(plan, from, storage);
        let mut moves = Vec::new();
        for record in self.registry.declared() {
            let intervals = self.memory.intervals(record.entry.id).chain([record.ledger.open()]);
            let intervals = intervals.map(|interval| interval.moved(self.shift));
            let lasting = intervals.filter(|interval| interval.to.is_none_or(|to| to > from));
            moves.extend(lasting.map(|interval| (interval, &record.entry.name)));
        }
        moves.sort_by_key(|(interval, _)| (interval.from, interval.id));
        for (interval, check) in moves {
            let at = interval.from.max(from);
            see_until(at, registry, storage);
            registry.enter(check, interval.availability, at, storage);
        }
        see_until(to, registry, storage);
        for tick in self.memory.all_ticks() {
            let at = tick.at.moved(self.shift);
            let Some(record) = self.registry.record(tick.check).filter(|_| at > left) else { continue };
            let (check, message) = (record.entry.name.clone(), tick.message.clone());
            let (outcome, reason, took) = (tick.outcome, tick.reason, tick.response_time);
            registry.record_run(QueuedRun { check, at, outcome, reason, took, message }, storage);
        }
    }
}

/// There were signs of life all the time until `to`.
fn see_until(to: Timestamp, registry: &mut Registry, storage: &mut dyn Storage) {
    while registry.marks().seen < to {
        registry.see(registry.marks().seen.after(NO_GAP).min(to), storage);
    }
}
