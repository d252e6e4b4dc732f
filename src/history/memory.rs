//! The storage of a history without a file: ticks and intervals, bounded in bytes, which all checks share fairly.
//!
//! Where there is no room left, a check that has more than its share lets go of its oldest: one that flaps or runs often
//! costs its own past and nobody else's. Of what it has, ticks and intervals give way in turn, so that neither pushes out the
//! other.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;
use std::time::Duration;

use super::answer::{Page, Part, Recall, Recent, Tick};
use super::ledger::Interval;
use super::shelf::{LetGo, Shelf};
use super::storage::{Entry, Storage};
use crate::base::clock::Timestamp;
use crate::model::state::OutcomeKind;

/// What a check costs beside what is on its shelf.
const SHELF: usize = 4 * size_of::<Shelf>();

/// Ticks and intervals of each check, oldest first.
#[derive(Debug)]
pub struct Memory {
    shelves: BTreeMap<u32, Shelf>,
    /// What all of it takes.
    bytes: usize,
    /// And may take.
    limit: usize,
    /// Ticks before this are not shown, and go with the next one of their check, or after a minute.
    horizon: Timestamp,
    /// Where a check with more than its share was last looked for.
    searched: u32,
    /// The shelves alone take more than there may be: nothing is on any of them.
    is_bare: bool,
    let_go: LetGo,
    /// How many shelves were looked at to find one.
    #[cfg(test)]
    looks: usize,
}

impl Storage for Memory {
    fn check(&mut self, _check: &Entry) {}

    fn forget(&mut self, checks: &BTreeSet<u32>) {
        for shelf in checks.iter().filter_map(|check| self.shelves.remove(check)) {
            self.bytes -= shelf.bytes() + SHELF;
        }
    }

    fn interval(&mut self, check: u32, interval: Interval) {
        // The one that lasts is in the registry.
        if interval.to.is_some() {
            self.change(check, |shelf| shelf.push_interval(interval));
            self.make_room(check);
        }
    }

    fn tick(&mut self, tick: Tick) {
        let (check, horizon) = (tick.check, self.horizon);
        self.change(check, |shelf| {
            shelf.forget_ticks_before(horizon);
            shelf.push_tick(tick);
        });
        self.make_room(check);
    }
}

impl Memory {
    /// Nothing yet, and at most so many bytes ever.
    #[must_use]
    pub const fn within(limit: usize) -> Self {
        Self {
            shelves: BTreeMap::new(),
            bytes: 0,
            limit,
            horizon: Timestamp::from_unix_micros(i64::MIN),
            searched: 0,
            is_bare: false,
            let_go: LetGo { runs: 0, changes: 0 },
            #[cfg(test)]
            looks: 0,
        }
    }

    /// At most so many bytes from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(0);
    }

    /// Ticks before this are too old to be shown.
    pub const fn set_horizon(&mut self, horizon: Timestamp) {
        self.horizon = horizon;
    }

    /// Drops what is too old: ticks before the horizon, intervals that ended before `figures_since`.
    pub fn forget_the_old(&mut self, figures_since: Timestamp) {
        let horizon = self.horizon;
        for shelf in self.shelves.values_mut() {
            let before = shelf.bytes();
            shelf.forget_ticks_before(horizon);
            shelf.forget_intervals_before(figures_since);
            self.bytes -= before - shelf.bytes();
        }
    }

    /// What had to be let go for want of room since this was last asked.
    pub const fn take_let_go(&mut self) -> LetGo {
        std::mem::replace(&mut self.let_go, LetGo { runs: 0, changes: 0 })
    }

    /// From when on all is kept of the check, where something of it had to be let go for want of room.
    #[must_use]
    pub fn kept_since(&self, check: u32) -> Option<Timestamp> {
        self.shelves.get(&check)?.let_go_until()
    }

    /// Changes the shelf of the check.
    fn change(&mut self, check: u32, change: impl FnOnce(&mut Shelf)) {
        let shelf = match self.shelves.entry(check) {
            MapEntry::Occupied(entry) => entry.into_mut(),
            MapEntry::Vacant(entry) => {
                self.bytes += SHELF;
                entry.insert(Shelf::default())
            }
        };
        let before = shelf.bytes();
        change(shelf);
        self.bytes = self.bytes - before + shelf.bytes();
    }

    /// Lets go of the oldest of those who have more than their share, of `check` before others.
    fn make_room(&mut self, check: u32) {
        let share = self.limit / self.shelves.len().max(1);
        while self.bytes > self.limit {
            let has_too_much = |shelf: &Shelf| shelf.bytes() + SHELF > share && !shelf.is_empty();
            let is_own = self.shelves.get(&check).is_some_and(has_too_much);
            let whose = match (is_own, self.is_bare) {
                (true, _) => Some(check),
                (false, true) => None,
                (false, false) => self.search(has_too_much),
            };
            let Some(shelf) = whose.and_then(|whose| self.shelves.get_mut(&whose)) else {
                self.is_bare = true;
                return;
            };
            let before = shelf.bytes();
            let gone = shelf.let_go_of_oldest();
            self.bytes -= before - shelf.bytes();
            self.let_go = LetGo { runs: self.let_go.runs + gone.runs, changes: self.let_go.changes + gone.changes };
        }
        self.is_bare = false;
    }

    /// The next check that is `wanted`, from the one that was found last on: it often is again.
    fn search(&mut self, wanted: impl Fn(&Shelf) -> bool) -> Option<u32> {
        let next = self.shelves.range(self.searched..).chain(self.shelves.range(..self.searched));
        #[cfg(test)]
        let next = next.inspect(|_| self.looks += 1);
        let found = next.filter(|(_, shelf)| wanted(shelf)).map(|(check, _)| *check).next()?;
        self.searched = found;
        Some(found)
    }

    fn ticks_of(&self, check: u32) -> impl DoubleEndedIterator<Item = &Tick> {
        let ticks = self.shelves.get(&check).into_iter().flat_map(Shelf::ticks);
        ticks.filter(|tick| tick.at >= self.horizon)
    }

    /// The ticks of all checks, oldest first.
    #[must_use]
    pub fn all_ticks(&self) -> Vec<&Tick> {
        let mut ticks: Vec<&Tick> = self.shelves.keys().flat_map(|check| self.ticks_of(*check)).collect();
        ticks.sort_unstable_by_key(|tick| tick.id);
        ticks
    }

    /// The ticks of a check, newest first.
    #[must_use]
    pub fn ticks(&self, check: u32, page: Page) -> Part<Tick> {
        let wanted = |tick: &&Tick| page.before.is_none_or(|before| tick.id < before);
        let newest = self.ticks_of(check).rev().filter(wanted);
        Part::of(newest.take(page.limit.saturating_add(1)).cloned().collect(), page.limit, |tick| tick.id)
    }

    /// How long those of the newest `most` runs of a check took that passed since `from`.
    #[must_use]
    pub fn response_times(&self, check: u32, from: Timestamp, most: usize) -> Vec<Duration> {
        let newest = self.ticks_of(check).rev().take(most);
        let passed = newest.filter(|tick| tick.at >= from && tick.outcome == OutcomeKind::Pass);
        passed.filter_map(|tick| tick.response_time).collect()
    }

    /// How it went lately with each of `checks`, but for the interval that lasts.
    #[must_use]
    pub fn recent(&self, checks: &[u32], recall: Recall) -> Vec<Recent> {
        let recent = |check: &u32| {
            let runs = self.ticks_of(*check).rev().filter(|tick| tick.outcome != OutcomeKind::Skip).take(recall.runs);
            let mut response_times: Vec<_> =
                runs.map(|tick| tick.response_time.filter(|_| tick.outcome == OutcomeKind::Pass)).collect();
            let mut intervals: Vec<_> = self.intervals(*check).rev().take(recall.intervals.saturating_sub(1)).collect();
            response_times.reverse();
            intervals.reverse();
            Recent { intervals, response_times }
        };
        checks.iter().map(recent).collect()
    }

    /// The intervals of a check that have ended and are kept, oldest first.
    pub fn intervals(&self, check: u32) -> impl DoubleEndedIterator<Item = Interval> {
        self.shelves.get(&check).into_iter().flat_map(Shelf::intervals).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Availability;
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_micros(i64::try_from(seconds).unwrap() * 1_000_000)
    }

    fn tick(id: u64, check: u32) -> Tick {
        let message = "Database is connected".into();
        Tick { id, check, at: at(id), outcome: OutcomeKind::Pass, reason: None, response_time: None, message }
    }

    fn interval(id: u64) -> Interval {
        Interval { id, event: id, availability: Availability::Up, from: at(id), to: Some(at(id + 1)) }
    }

    fn kept(memory: &Memory, check: u32) -> (usize, usize) {
        (memory.ticks_of(check).count(), memory.intervals(check).count())
    }

    /// Counted anew.
    fn counted(memory: &Memory) -> usize {
        memory.shelves.values().map(|shelf| shelf.bytes() + SHELF).sum()
    }

    #[test]
    fn a_check_that_flaps_costs_its_own_past_alone() {
        let mut memory = Memory::within(64 * 1024);
        for id in 0..50 {
            for check in 0..10 {
                memory.tick(tick(id, check));
            }
        }
        for id in 0..10 {
            memory.interval(3, interval(id));
        }
        assert_eq!(memory.take_let_go(), LetGo::default());
        for id in 100..20_000 {
            memory.tick(tick(id, 7));
            memory.interval(7, interval(id));
            assert!(memory.bytes <= memory.limit && memory.bytes == counted(&memory));
        }
        for check in (0..10).filter(|check| *check != 7) {
            assert_eq!(kept(&memory, check), (50, if check == 3 { 10 } else { 0 }), "{check}");
            assert_eq!(memory.kept_since(check), None);
        }
        let (ticks, intervals) = kept(&memory, 7);
        assert!(ticks > 50 && intervals > 50, "{ticks} runs, {intervals} changes");
        assert!(memory.kept_since(7) > Some(at(10_000)) && memory.kept_since(7) <= Some(at(20_000)));
        let let_go = memory.take_let_go();
        assert_eq!(let_go.runs, 50 + 19_900 - ticks as u64);
        assert_eq!(let_go.changes, 19_900 - intervals as u64);
    }

    #[test]
    fn whoever_comes_later_gets_a_share_as_large() {
        let mut memory = Memory::within(64 * 1024);
        (0..5_000).for_each(|id| memory.tick(tick(id, 1)));
        let alone = kept(&memory, 1).0;
        (5_000..10_000).for_each(|id| memory.tick(tick(id, 2 + u32::from(id % 2 == 0))));
        let each = [1, 2, 3].map(|check| kept(&memory, check).0);
        assert!(each.iter().all(|kept| kept.abs_diff(alone / 3) < alone / 20), "{each:?} of {alone}");
        // And is given back.
        memory.forget(&[2].into());
        assert_eq!(memory.bytes, counted(&memory));
        (10_000..15_000).for_each(|id| memory.tick(tick(id, 3)));
        assert!(kept(&memory, 3).0 > alone / 2);
    }

    #[test]
    fn a_bound_that_is_lowered_holds_at_once_and_none_at_all_keeps_nothing() {
        let mut memory = Memory::within(64 * 1024);
        (0..5_000).for_each(|id| memory.tick(tick(id, u32::from(id % 2 == 0))));
        memory.set_limit(8 * 1024);
        assert!(memory.bytes <= 8 * 1024 && kept(&memory, 0).0.abs_diff(kept(&memory, 1).0) < 10);
        memory.set_limit(0);
        memory.tick(tick(6_000, 1));
        memory.interval(1, interval(6_000));
        assert_eq!((kept(&memory, 0), kept(&memory, 1)), ((0, 0), (0, 0)));
    }

    #[test]
    fn where_there_is_no_room_for_all_checks_nobody_is_searched_for_at_each_run() {
        let mut memory = Memory::within(64 * 1024);
        for round in 0..5 {
            (0..1_000).for_each(|check| memory.tick(tick(round, check)));
        }
        assert!((0..1_000).all(|check| kept(&memory, check) == (0, 0)));
        assert!(memory.looks <= 10_000, "{}", memory.looks);
        // Room is room again.
        memory.forget(&(10..1_000).collect());
        (0..10).for_each(|check| memory.tick(tick(9, check)));
        assert!((0..10).all(|check| kept(&memory, check) == (1, 0)));
        (10..100_000).for_each(|id| memory.tick(tick(id, 3)));
        assert!(memory.bytes <= memory.limit && memory.bytes == counted(&memory));
        memory.set_limit(8 * 1024);
        assert!(memory.bytes <= memory.limit && (0..10).all(|check| check == 3 || kept(&memory, check) == (1, 0)));
    }

    #[test]
    fn what_is_too_old_is_not_shown_and_goes() {
        let mut memory = Memory::within(64 * 1024);
        for id in 0..20 {
            memory.tick(tick(id, 1));
            memory.interval(1, interval(id));
        }
        memory.set_horizon(at(15));
        assert_eq!(kept(&memory, 1), (5, 20));
        memory.forget_the_old(at(8));
        assert_eq!(kept(&memory, 1), (5, 13));
        assert_eq!((memory.bytes, memory.take_let_go()), (counted(&memory), LetGo::default()));
        assert_eq!(memory.kept_since(1), None, "that is as it was wanted");
    }
}
