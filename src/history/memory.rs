//! The storage of a history without a file: the newest ticks and intervals of all checks together, bounded in bytes.

use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::time::Duration;

use super::answer::{Page, Part, Recall, Recent, Tick};
use super::ledger::Interval;
use super::storage::{Entry, Storage};
use crate::base::clock::Timestamp;
use crate::model::state::OutcomeKind;

/// Ticks take at most so many bytes, their messages included.
const TICK_BYTES: usize = 1024 * 1024;
/// At most so many intervals that have ended.
const INTERVALS: usize = 4096;

/// Ticks and intervals, oldest first.
#[derive(Debug, Default)]
pub struct Memory {
    ticks: VecDeque<Tick>,
    bytes: usize,
    intervals: VecDeque<(u32, Interval)>,
}

impl Storage for Memory {
    fn check(&mut self, _check: &Entry) {}

    fn forget(&mut self, check: u32) {
        self.ticks.retain(|tick| tick.check != check);
        self.bytes = self.ticks.iter().map(bytes).sum();
        self.intervals.retain(|(of, _)| *of != check);
    }

    fn interval(&mut self, check: u32, interval: Interval) {
        // The one that lasts is in the registry.
        if interval.to.is_none() {
            return;
        }
        if self.intervals.len() == INTERVALS {
            self.intervals.pop_front();
        }
        self.intervals.push_back((check, interval));
    }

    fn tick(&mut self, tick: Tick) {
        self.bytes += bytes(&tick);
        self.ticks.push_back(tick);
        while self.bytes > TICK_BYTES {
            self.drop_oldest_tick();
        }
    }
}

impl Memory {
    /// Drops the ticks before `horizon`.
    pub fn forget_ticks_before(&mut self, horizon: Timestamp) {
        while self.ticks.front().is_some_and(|tick| tick.at < horizon) {
            self.drop_oldest_tick();
        }
    }

    fn drop_oldest_tick(&mut self) {
        self.bytes -= self.ticks.pop_front().as_ref().map_or(0, bytes);
    }

    /// The ticks of all checks, oldest first.
    pub fn all_ticks(&self) -> impl Iterator<Item = &Tick> {
        self.ticks.iter()
    }

    /// The ticks of a check, newest first.
    #[must_use]
    pub fn ticks(&self, check: u32, page: Page) -> Part<Tick> {
        let wanted = |tick: &&Tick| tick.check == check && page.before.is_none_or(|before| tick.id < before);
        let items = self.ticks.iter().rev().filter(wanted).take(page.limit.saturating_add(1)).cloned().collect();
        Part::of(items, page.limit, |tick| tick.id)
    }

    /// How long those of the newest `most` runs of a check took that passed since `from`.
    #[must_use]
    pub fn response_times(&self, check: u32, from: Timestamp, most: usize) -> Vec<Duration> {
        let newest = self.ticks.iter().rev().filter(|tick| tick.check == check).take(most);
        let passed = newest.filter(|tick| tick.at >= from && tick.outcome == OutcomeKind::Pass);
        passed.filter_map(|tick| tick.response_time).collect()
    }

    /// How it went lately with each of `checks`, but for the interval that lasts. Looks at each run and interval once,
    /// whatever the number of checks.
    #[must_use]
    pub fn recent(&self, checks: &[u32], recall: Recall) -> Vec<Recent> {
        let places: HashMap<u32, usize> = checks.iter().enumerate().map(|(place, check)| (*check, place)).collect();
        let mut recent = vec![Recent::default(); checks.len()];
        for tick in self.ticks.iter().rev() {
            let Some(times) = places.get(&tick.check).map(|place| &mut recent[*place].response_times) else { continue };
            if times.len() < recall.runs && tick.outcome != OutcomeKind::Skip {
                times.push(tick.response_time.filter(|_| tick.outcome == OutcomeKind::Pass));
            }
        }
        for (check, interval) in self.intervals.iter().rev() {
            let Some(intervals) = places.get(check).map(|place| &mut recent[*place].intervals) else { continue };
            if intervals.len() + 1 < recall.intervals {
                intervals.push(*interval);
            }
        }
        for one in &mut recent {
            one.response_times.reverse();
            one.intervals.reverse();
        }
        recent
    }

    /// The intervals of a check that have ended and are kept, oldest first.
    pub fn intervals(&self, check: u32) -> impl DoubleEndedIterator<Item = Interval> {
        self.intervals.iter().filter(move |(of, _)| *of == check).map(|(_, interval)| *interval)
    }
}

fn bytes(tick: &Tick) -> usize {
    // What the allocator adds to a message is about as much as a pointer or two.
    size_of::<Tick>() + tick.message.len() + 2 * size_of::<usize>()
}
