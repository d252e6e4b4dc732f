//! What waits to be written to the file: ticks may be dropped when there are too many, transitions never.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::answer::{SavedState, Tick};
use super::calendar::Reckoning;
use super::ledger::{Availability, Interval};
use super::memory::Memory;
use super::places;
use super::storage::{Entry, Storage};

/// Beyond this many intervals that wait, those of each check in the older half are merged into one.
const INTERVALS: usize = 8192;
/// What a tick and an interval that wait take, about.
const TICK_BYTES: usize = 128;
const INTERVAL_BYTES: usize = 96;
/// So many of each wait however little memory they may take: until a disk that is well has them.
const LEAST: usize = 256;

/// Everything that is not in the file yet; also one batch of it on its way there.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Checks that are gone with all their history; comes before everything else.
    pub forgotten: BTreeSet<u32>,
    /// Checks that are new, or have another name.
    pub checks: BTreeMap<u32, Entry>,
    /// Intervals that are new, or have ended, with their checks, by number.
    pub intervals: BTreeMap<u64, (u32, Interval)>,
    /// Runs, oldest first.
    pub ticks: VecDeque<Tick>,
    /// What was saved, when they have changed.
    pub saved: Option<SavedState>,
    /// How the time of the ledger stands to the clocks, when that has changed.
    pub reckoning: Option<Reckoning>,
    /// Intervals with a number up to this may be in the file.
    written: u64,
    /// Ticks with a number up to this are on their way to the file.
    ticks_under_way: u64,
    /// With more intervals than this, older ones are merged.
    room: usize,
    most: Most,
    /// The ticks that were dropped.
    dropped: Vec<Tick>,
}

/// How many may wait.
#[derive(Clone, Copy, Debug)]
struct Most {
    ticks: usize,
    intervals: usize,
}

impl Default for Most {
    fn default() -> Self {
        Self { ticks: places::room_for(0), intervals: INTERVALS }
    }
}

impl Storage for Pending {
    fn check(&mut self, check: &Entry) {
        self.checks.insert(check.id, check.clone());
    }

    fn forget(&mut self, checks: &BTreeSet<u32>) {
        self.checks.retain(|check, _| !checks.contains(check));
        self.intervals.retain(|_, (of, _)| !checks.contains(of));
        self.ticks.retain(|tick| !checks.contains(&tick.check));
        self.forgotten.extend(checks);
    }

    fn interval(&mut self, check: u32, interval: Interval) {
        self.intervals.insert(interval.id, (check, interval));
        self.merge_surplus();
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

    /// What waits takes about so many bytes at most, half of it for ticks, but for `LEAST` of each; more ticks than the
    /// runs of so many checks that may wait for the history's task, and more than `INTERVALS`, never wait.
    pub fn set_limit(&mut self, bytes: usize, checks: usize) {
        let within = |most: usize, each: usize| most.min(bytes / 2 / each).max(LEAST);
        self.most =
            Most { ticks: within(places::room_for(checks), TICK_BYTES), intervals: within(INTERVALS, INTERVAL_BYTES) };
        self.drop_surplus();
        self.merge_surplus();
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty() && !self.is_urgent()
    }

    /// Whether as many ticks wait, and are not under way, that some will be dropped before long.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.ticks.len() - self.ticks_under_way() > self.most.ticks / 2
    }

    /// Whether something waits that must not be lost.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !(self.forgotten.is_empty() && self.checks.is_empty() && self.intervals.is_empty())
            || self.saved.is_some()
            || self.reckoning.is_some()
    }

    /// All that waits, to be written. It stays here until it is [confirmed](Self::confirm), so that queries find it
    /// meanwhile, and is neither dropped nor merged until then, or until it is [rejected](Self::reject).
    #[must_use]
    pub fn batch(&mut self) -> Self {
        let batch = self.clone();
        self.written = self.written.max(self.intervals.last_key_value().map_or(0, |(id, _)| *id));
        self.ticks_under_way = self.ticks.back().map_or(0, |tick| tick.id);
        self.room = self.intervals.len() + self.most.intervals;
        batch
    }

    /// The batch is in the file. What has changed since it was taken still waits.
    pub fn confirm(&mut self, batch: &Self) {
        self.forgotten.retain(|check| !batch.forgotten.contains(check));
        self.checks.retain(|id, entry| batch.checks.get(id) != Some(&*entry));
        self.intervals.retain(|id, interval| batch.intervals.get(id) != Some(&*interval));
        self.ticks.drain(..self.ticks_under_way());
        self.saved.take_if(|saved| batch.saved.as_ref() == Some(&*saved));
        self.reckoning.take_if(|reckoning| batch.reckoning.as_ref() == Some(&*reckoning));
        self.end_batch();
    }

    /// The batch is not in the file.
    pub fn reject(&mut self, batch: &Self) {
        self.written = batch.written;
        self.end_batch();
    }

    fn end_batch(&mut self) {
        self.ticks_under_way = 0;
        self.room = self.most.intervals;
        self.drop_surplus();
        self.merge_surplus();
    }

    /// How many ticks are on their way to the file: the oldest.
    fn ticks_under_way(&self) -> usize {
        self.ticks.partition_point(|tick| tick.id <= self.ticks_under_way)
    }

    /// The ticks that had to be dropped since this was last asked.
    #[must_use]
    pub fn take_dropped(&mut self) -> Vec<Tick> {
        std::mem::take(&mut self.dropped)
    }

    /// What waits, as a storage in memory.
    #[must_use]
    pub fn into_memory(self, limit: usize) -> Memory {
        let mut memory = Memory::within(limit);
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

    /// The ticks of a check that wait, newest first.
    pub fn ticks_of(&self, check: u32) -> impl DoubleEndedIterator<Item = &Tick> {
        self.ticks.iter().rev().filter(move |tick| tick.check == check)
    }

    fn drop_surplus(&mut self) {
        let under_way = self.ticks_under_way();
        let surplus = (self.ticks.len() - under_way).saturating_sub(self.most.ticks);
        self.dropped.extend(self.ticks.drain(under_way..under_way + surplus));
    }

    /// Makes one interval of each check's intervals in the older half of what waits and is not under way: unknown,
    /// unless they are of one event. A disk that is away for thousands of transitions costs their details, and neither
    /// memory nor truth.
    fn merge_surplus(&mut self) {
        if self.intervals.len() <= self.room.max(self.most.intervals) {
            return;
        }
        let fresh = self.intervals.range(self.written + 1..);
        let older_half = fresh.clone().take(fresh.count() / 2);
        let old: Vec<u64> = older_half.filter(|(_, (_, it))| it.to.is_some()).map(|(id, _)| *id).collect();
        let mut merged: BTreeMap<u32, Interval> = BTreeMap::new();
        for (check, interval) in old.iter().filter_map(|id| self.intervals.remove(id)) {
            merged.entry(check).and_modify(|first| *first = merge(*first, interval)).or_insert(interval);
        }
        self.intervals.extend(merged.into_iter().map(|(check, interval)| (interval.id, (check, interval))));
        // Not for each interval more, where there are many checks.
        self.room = self.intervals.len() + self.most.intervals / 2;
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

#[cfg(test)]
mod tests {
    use super::super::ledger::{Ledger, Numbers};
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::model::state::OutcomeKind;

    const TICKS: usize = places::room_for(0);

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
        (1..=TICKS as u64 + 3).for_each(|id| pending.tick(tick(id)));
        let dropped: Vec<u64> = pending.take_dropped().iter().map(|tick| tick.id).collect();
        assert_eq!((dropped, pending.ticks.len()), (vec![1, 2, 3], TICKS));
        assert!(pending.take_dropped().is_empty());
    }

    #[test]
    fn a_skip_of_each_of_many_checks_waits_as_far_as_memory_allows() {
        for (bytes, checks, kept) in [(8 << 20, 10_000, 10_000), (1 << 20, 10_000, 4096), (0, 10_000, LEAST)] {
            let mut pending = Pending::default();
            pending.set_limit(bytes, checks);
            (1..=10_000).for_each(|id| pending.tick(tick(id)));
            assert_eq!((pending.ticks.len(), pending.take_dropped().len()), (kept, 10_000 - kept));
        }
    }

    #[test]
    fn what_no_memory_is_meant_for_waits_for_a_disk_that_is_well() {
        let mut pending = Pending::after(0);
        pending.set_limit(0, 1);
        let (mut numbers, half) = (Numbers::from(1), LEAST as u64 / 2);
        let mut ledger = Ledger::begin(at(0), &mut numbers);
        for second in 1..100 {
            let to = if second % 2 == 0 { Availability::Up } else { Availability::Down };
            pending.interval(1, ledger.enter(to, at(second), &mut numbers).unwrap());
            pending.interval(1, ledger.open());
        }
        assert_eq!(pending.intervals.len(), 100, "none of them is merged");
        (1..=half).for_each(|id| pending.tick(tick(id)));
        assert!(!pending.is_filling());
        pending.tick(tick(half + 1));
        assert!(pending.is_filling() && pending.take_dropped().is_empty());
        let _ = pending.batch();
        assert!(!pending.is_filling(), "all of it is on its way");
    }

    #[test]
    fn transitions_are_kept_in_full_up_to_a_point_and_whole_beyond_it() {
        let (pending, _) = after_moves(INTERVALS as i64 - 1);
        assert_eq!(pending.intervals.len(), INTERVALS);
        let (pending, ledger) = after_moves(30_000);
        assert!(pending.intervals.len() <= INTERVALS + 8, "{}", pending.intervals.len());
        let intervals: Vec<Interval> = pending.intervals_of(1).collect();
        assert_eq!((intervals[0].availability, intervals[0].to), (Availability::Unknown, Some(at(1))));
        for pair in intervals.windows(2) {
            assert_eq!(pair[0].to, Some(pair[1].from));
            assert!(pair[0].event < pair[1].event);
        }
        assert_eq!(intervals.last(), Some(&ledger.open()));
        let unknown = intervals.iter().filter(|interval| interval.availability == Availability::Unknown).count();
        assert_eq!(unknown, 2, "all that was merged is one interval");
    }

    #[test]
    fn what_is_on_its_way_to_the_file_is_not_merged_and_what_was_rejected_is() {
        let (mut numbers, mut pending) = (Numbers::from(1), Pending::after(0));
        let mut ledger = Ledger::begin(at(0), &mut numbers);
        let mut enter = |pending: &mut Pending, to, second| {
            pending.interval(1, ledger.enter(to, at(second), &mut numbers).unwrap());
            pending.interval(1, ledger.open());
        };
        enter(&mut pending, Availability::Up, 1);
        enter(&mut pending, Availability::Degraded, 2);
        let batch = pending.batch();
        for second in 3..60_000 {
            enter(&mut pending, if second % 2 == 0 { Availability::Up } else { Availability::Down }, second);
        }
        // It has its row in the file by its event and number.
        let known: Vec<Interval> = pending.intervals_of(1).collect();
        let third = Interval { id: 3, event: 2, availability: Availability::Degraded, from: at(2), to: Some(at(3)) };
        assert_eq!(known[2], third);
        assert!(known.len() <= INTERVALS + 8, "{}", known.len());
        pending.reject(&batch);
        for second in 60_000..100_000 {
            enter(&mut pending, if second % 2 == 0 { Availability::Up } else { Availability::Down }, second);
            if second % 500 == 0 {
                let batch = pending.batch();
                pending.reject(&batch);
            }
        }
        assert!(pending.intervals.len() <= INTERVALS + 8, "{}", pending.intervals.len());
        let known: Vec<Interval> = pending.intervals_of(1).collect();
        assert!(known.windows(2).all(|pair| pair[0].to == Some(pair[1].from) && pair[0].event < pair[1].event));
        assert_eq!(known[0].availability, Availability::Unknown);
    }

    #[test]
    fn runs_on_their_way_to_the_file_are_not_dropped() {
        let mut pending = Pending::default();
        (1..=10).for_each(|id| pending.tick(tick(id)));
        let batch = pending.batch();
        (11..=10 + TICKS as u64 + 3).for_each(|id| pending.tick(tick(id)));
        let dropped: Vec<u64> = pending.take_dropped().iter().map(|tick| tick.id).collect();
        assert_eq!(dropped, [11, 12, 13]);
        pending.confirm(&batch);
        assert_eq!((pending.ticks.len(), pending.ticks[0].id), (TICKS, 14));
        let batch = pending.batch();
        (3000..3010).for_each(|id| pending.tick(tick(id)));
        pending.reject(&batch);
        assert_eq!((pending.ticks.len(), pending.take_dropped().len()), (TICKS, 10));
    }

    #[test]
    fn what_is_confirmed_waits_no_more_and_what_has_changed_meanwhile_does() {
        let (mut pending, mut ledger) = after_moves(3);
        pending.tick(tick(1));
        pending.saved = Some(SavedState { ready_once: true, ..SavedState::default() });
        let batch = pending.batch();
        assert!(!pending.is_empty() && !batch.is_empty(), "it is known until it is in the file");
        pending.interval(1, ledger.enter(Availability::Up, at(9), &mut Numbers::from(9)).unwrap());
        pending.interval(1, ledger.open());
        pending.tick(tick(2));
        let mut rejected = pending.clone();
        pending.confirm(&batch);
        let story = |pending: &Pending| {
            let times = pending.intervals_of(1).map(|interval| (interval.from, interval.to));
            (times.collect::<Vec<_>>(), pending.ticks.iter().map(|tick| tick.id).collect::<Vec<_>>())
        };
        let times = |of: &[(i64, Option<i64>)]| of.iter().map(|(from, to)| (at(*from), to.map(at))).collect::<Vec<_>>();
        assert_eq!(story(&pending), (times(&[(3, Some(9)), (9, None)]), vec![2]));
        assert_eq!(pending.saved, None);
        rejected.reject(&batch);
        let all = [(0, Some(1)), (1, Some(2)), (2, Some(3)), (3, Some(9)), (9, None)];
        assert_eq!(story(&rejected), (times(&all), vec![1, 2]));
        assert!(rejected.saved.unwrap().ready_once);
    }

    #[test]
    fn a_batch_that_was_rejected_knows_of_checks_that_are_gone() {
        let (mut pending, _) = after_moves(3);
        let gone = Interval { id: 70, event: 70, availability: Availability::Up, from: at(0), to: None };
        pending.interval(2, gone);
        let batch = pending.batch();
        pending.forget(&[2].into());
        pending.reject(&batch);
        assert!(pending.intervals.values().all(|(check, _)| *check == 1));
        assert_eq!(pending.forgotten.iter().copied().collect::<Vec<_>>(), [2]);
        let batch = pending.batch();
        pending.confirm(&batch);
        assert!(pending.is_empty());
    }
}
