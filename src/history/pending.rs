//! What waits to be written to the file: ticks may be dropped when there are too many, transitions never.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::answer::{SavedState, Tick};
use super::calendar::Reckoning;
use super::check_record::Entry;
use super::ledger::{Availability, Interval};
use super::memory::Memory;
use super::registry::Storage;

/// More ticks than this do not wait: the oldest are dropped.
const TICKS: usize = 2048;
/// When more intervals than this wait, the older half is coalesced.
const INTERVALS: usize = 8192;

/// Everything that is not in the file yet; also one batch of it on its way there.
#[derive(Debug, Default)]
pub struct Pending {
    /// Checks that are gone with all their history; comes before everything else.
    pub forgotten: BTreeSet<u32>,
    /// Checks that are new, or have another name.
    pub checks: BTreeMap<u32, Entry>,
    /// Intervals that are new, or have ended, with their checks, by number.
    pub intervals: BTreeMap<u64, (u32, Interval)>,
    /// Runs, oldest first.
    pub ticks: VecDeque<Tick>,
    /// The latches, when they have changed.
    pub latches: Option<SavedState>,
    /// How the time of the ledger stands to the clocks, when that has changed.
    pub reckoning: Option<Reckoning>,
    /// Intervals with a number up to this may be in the file.
    written: u64,
    /// So many intervals were left when they were last coalesced.
    coalesced: usize,
    /// The ticks that were dropped.
    dropped: Vec<Tick>,
}

impl Storage for Pending {
    fn check(&mut self, check: &Entry) {
        self.checks.insert(check.id, check.clone());
    }

    fn forget(&mut self, check: u32) {
        self.checks.remove(&check);
        self.intervals.retain(|_, (of, _)| *of != check);
        self.ticks.retain(|tick| tick.check != check);
        self.forgotten.insert(check);
    }

    fn interval(&mut self, check: u32, interval: Interval) {
        self.intervals.insert(interval.id, (check, interval));
        self.coalesce();
    }

    fn tick(&mut self, tick: Tick) {
        self.ticks.push_back(tick);
        self.drop_surplus();
    }
}

impl Pending {
    /// Nothing that waits, for a file whose intervals have numbers up to `written`.
    #[must_use]
    pub fn after(written: u64) -> Self {
        Self { written, ..Self::default() }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty() && !self.is_urgent()
    }

    /// Whether something waits that must not be lost.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !(self.forgotten.is_empty() && self.checks.is_empty() && self.intervals.is_empty())
            || self.latches.is_some()
            || self.reckoning.is_some()
    }

    /// Takes everything, to write it.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let last = self.intervals.last_key_value().map_or(0, |(id, _)| *id);
        let rest = Self::after(self.written.max(last));
        std::mem::replace(self, rest)
    }

    /// Takes back a batch that could not be written. What came since then is newer.
    pub fn put_back(&mut self, mut batch: Self) {
        self.written = batch.written;
        for gone in &self.forgotten {
            batch.checks.remove(gone);
            batch.intervals.retain(|_, (check, _)| check != gone);
            batch.ticks.retain(|tick| tick.check != *gone);
        }
        self.forgotten.append(&mut batch.forgotten);
        self.checks = join(batch.checks, std::mem::take(&mut self.checks));
        self.intervals = join(batch.intervals, std::mem::take(&mut self.intervals));
        batch.ticks.append(&mut self.ticks);
        self.ticks = batch.ticks;
        self.latches = self.latches.take().or(batch.latches);
        self.reckoning = self.reckoning.take().or(batch.reckoning);
        self.drop_surplus();
        self.coalesce();
    }

    /// The ticks that had to be dropped since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<Tick> {
        std::mem::take(&mut self.dropped)
    }

    /// What waits, as a storage in memory.
    #[must_use]
    pub fn into_memory(self) -> Memory {
        let mut memory = Memory::default();
        for (check, interval) in self.intervals.into_values() {
            memory.interval(check, interval);
        }
        for tick in self.ticks {
            memory.tick(tick);
        }
        memory
    }

    /// The intervals of a check that wait, oldest first.
    pub fn intervals_of(&self, check: u32) -> impl Iterator<Item = Interval> {
        self.intervals.values().filter(move |(of, _)| *of == check).map(|(_, interval)| *interval)
    }

    fn drop_surplus(&mut self) {
        let surplus = self.ticks.len().saturating_sub(TICKS);
        self.dropped.extend(self.ticks.drain(..surplus));
    }

    /// Makes one interval of each check's intervals in the older half of what waits: unknown, unless they are of one
    /// event. A disk that is away for thousands of transitions costs their details, and neither memory nor truth.
    fn coalesce(&mut self) {
        if self.intervals.len() <= INTERVALS.max(2 * self.coalesced) {
            return;
        }
        let median = self.intervals.keys().nth(self.intervals.len() / 2).copied().unwrap_or_default();
        let is_old = |id: u64, interval: &Interval| id > self.written && id < median && interval.to.is_some();
        let old: Vec<u64> = self.intervals.iter().filter(|(id, (_, it))| is_old(**id, it)).map(|(id, _)| *id).collect();
        let mut merged: BTreeMap<u32, Interval> = BTreeMap::new();
        for (check, interval) in old.iter().filter_map(|id| self.intervals.remove(id)) {
            merged.entry(check).and_modify(|first| *first = merge(*first, interval)).or_insert(interval);
        }
        self.intervals.extend(merged.into_iter().map(|(check, interval)| (interval.id, (check, interval))));
        self.coalesced = self.intervals.len();
    }
}

fn merge(first: Interval, next: Interval) -> Interval {
    let (event, availability) = if first.event == next.event {
        (first.event, Availability::Degraded)
    } else {
        (first.id, Availability::Unknown)
    };
    Interval { event, availability, to: next.to, ..first }
}

fn join<K: Ord, V>(mut older: BTreeMap<K, V>, newer: BTreeMap<K, V>) -> BTreeMap<K, V> {
    older.extend(newer);
    older
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Ledger, Numbers};
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::model::state::OutcomeKind;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn tick(id: u64) -> Tick {
        let at = at(i64::try_from(id).unwrap());
        Tick { id, check: 1, at, outcome: OutcomeKind::Pass, reason: None, response_time: None, message: "".into() }
    }

    /// What waits when a check has gone up and down so often since its first interval was written.
    fn after_moves(count: i64) -> (Pending, Ledger) {
        let mut numbers = Numbers::from(1);
        let mut ledger = Ledger::begin(at(0), &mut numbers);
        let mut pending = Pending::after(1);
        for second in 1..=count {
            let to = if second % 2 == 0 { Availability::Up } else { Availability::Down };
            pending.interval(1, ledger.enter(to, at(second), &mut numbers).unwrap());
            pending.interval(1, ledger.open());
        }
        (pending, ledger)
    }

    #[test]
    fn of_too_many_ticks_the_oldest_are_dropped_and_counted() {
        let mut pending = Pending::default();
        (0..TICKS as u64 + 3).for_each(|id| pending.tick(tick(id)));
        let dropped: Vec<u64> = pending.take_dropped().iter().map(|tick| tick.id).collect();
        assert_eq!((dropped, pending.ticks.len()), (vec![0, 1, 2], TICKS));
        assert!(pending.take_dropped().is_empty());
    }

    #[test]
    fn transitions_are_kept_in_full_up_to_a_point_and_whole_beyond_it() {
        let (pending, _) = after_moves(INTERVALS as i64 - 1);
        assert_eq!(pending.intervals.len(), INTERVALS);
        let (pending, ledger) = after_moves(30_000);
        assert!(pending.intervals.len() <= INTERVALS + 1, "{}", pending.intervals.len());
        let intervals: Vec<Interval> = pending.intervals_of(1).collect();
        assert_eq!((intervals[0].availability, intervals[0].to), (Availability::Unknown, Some(at(1))));
        for pair in intervals.windows(2) {
            assert_eq!(pair[0].to, Some(pair[1].from));
            assert!(pair[0].event < pair[1].event);
        }
        assert_eq!(intervals.last(), Some(&ledger.open()));
        let unknown = intervals.iter().filter(|interval| interval.availability == Availability::Unknown).count();
        assert_eq!(unknown, 2, "all that was coalesced is one interval");
    }

    #[test]
    fn what_is_on_its_way_to_the_file_is_not_coalesced_and_what_came_back_is() {
        let (mut numbers, mut pending) = (Numbers::from(1), Pending::after(0));
        let mut ledger = Ledger::begin(at(0), &mut numbers);
        let mut enter = |pending: &mut Pending, to, second| {
            pending.interval(1, ledger.enter(to, at(second), &mut numbers).unwrap());
            pending.interval(1, ledger.open());
        };
        enter(&mut pending, Availability::Up, 1);
        enter(&mut pending, Availability::Degraded, 2);
        let batch = pending.take();
        for second in 3..20_000 {
            enter(&mut pending, if second % 2 == 0 { Availability::Up } else { Availability::Down }, second);
        }
        // It has its row in the file by its event and number.
        let first = pending.intervals_of(1).next().unwrap();
        let expected = Interval { id: 3, event: 2, availability: Availability::Degraded, from: at(2), to: Some(at(3)) };
        assert_eq!(first, expected);
        pending.put_back(batch);
        for second in 20_000..60_000 {
            let batch = pending.take();
            enter(&mut pending, if second % 2 == 0 { Availability::Up } else { Availability::Down }, second);
            pending.put_back(batch);
        }
        assert!(pending.intervals.len() <= 2 * INTERVALS + 2, "{}", pending.intervals.len());
        let times: Vec<_> = pending.intervals_of(1).collect();
        assert!(times.windows(2).all(|pair| pair[0].to == Some(pair[1].from) && pair[0].event < pair[1].event));
    }

    #[test]
    fn a_batch_that_is_put_back_gives_way_to_what_is_newer() {
        let (mut pending, mut ledger) = after_moves(3);
        pending.tick(tick(1));
        pending.latches = Some(SavedState { ready_once: true, ..SavedState::default() });
        let batch = pending.take();
        assert!(pending.is_empty() && !batch.is_empty());
        pending.interval(1, ledger.enter(Availability::Up, at(9), &mut Numbers::from(9)).unwrap());
        pending.interval(1, ledger.open());
        pending.tick(tick(2));
        pending.put_back(batch);
        let story: Vec<_> = pending.intervals_of(1).map(|interval| (interval.from, interval.to)).collect();
        let expected = [(0, Some(1)), (1, Some(2)), (2, Some(3)), (3, Some(9)), (9, None)];
        assert_eq!(story, expected.map(|(from, to)| (at(from), to.map(at))));
        assert_eq!(pending.ticks.iter().map(|tick| tick.id).collect::<Vec<_>>(), [1, 2]);
        assert!(pending.latches.unwrap().ready_once);
    }

    #[test]
    fn a_batch_that_is_put_back_knows_of_checks_that_are_gone() {
        let (mut pending, _) = after_moves(3);
        pending.interval(2, Interval { id: 70, event: 70, availability: Availability::Up, from: at(0), to: None });
        let batch = pending.take();
        pending.forget(2);
        pending.put_back(batch);
        assert!(pending.intervals.values().all(|(check, _)| *check == 1));
        assert_eq!(pending.forgotten.iter().copied().collect::<Vec<_>>(), [2]);
    }
}
