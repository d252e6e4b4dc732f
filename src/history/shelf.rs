//! What is kept in memory of one check: its ticks and its ended intervals, oldest first, and what they take.

use std::collections::VecDeque;
use std::mem::size_of;

use super::answer::Tick;
use super::ledger::Interval;
use crate::base::clock::Timestamp;

/// Ticks and intervals of one check.
#[derive(Debug, Default)]
pub struct Shelf {
    ticks: VecDeque<Tick>,
    intervals: VecDeque<Interval>,
    /// What the ticks take, their messages included.
    tick_bytes: usize,
    /// Of the time before this something had to be let go.
    let_go_until: Option<Timestamp>,
}

/// How much had to be let go for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Runs and skips.
    pub runs: u64,
    /// Intervals.
    pub changes: u64,
}

impl Shelf {
    /// What is on it takes so much, with the room that is left for more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tick_bytes + self.intervals.len() * with_room(size_of::<Interval>())
    }

    /// Whether nothing is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty() && self.intervals.is_empty()
    }

    /// The ticks, oldest first.
    pub fn ticks(&self) -> impl DoubleEndedIterator<Item = &Tick> {
        self.ticks.iter()
    }

    /// The intervals, oldest first.
    pub fn intervals(&self) -> impl DoubleEndedIterator<Item = &Interval> {
        self.intervals.iter()
    }

    /// From when on nothing had to be let go, where something had.
    #[must_use]
    pub const fn let_go_until(&self) -> Option<Timestamp> {
        self.let_go_until
    }

    /// One more run.
    pub fn push_tick(&mut self, tick: Tick) {
        self.tick_bytes += bytes_of(&tick);
        push(&mut self.ticks, tick);
    }

    /// One more interval that has ended.
    pub fn push_interval(&mut self, interval: Interval) {
        push(&mut self.intervals, interval);
    }

    /// Drops the ticks before `horizon`.
    pub fn forget_ticks_before(&mut self, horizon: Timestamp) {
        while self.ticks.front().is_some_and(|tick| tick.at < horizon) {
            self.pop_tick();
        }
    }

    /// Drops the intervals that ended before `horizon`.
    pub fn forget_intervals_before(&mut self, horizon: Timestamp) {
        while self.intervals.front().and_then(|interval| interval.to).is_some_and(|to| to < horizon) {
            pop(&mut self.intervals);
        }
    }

    /// Lets go of the oldest tick, or of the oldest interval where those take more.
    pub fn let_go_of_oldest(&mut self) -> LetGo {
        let is_tick = self.tick_bytes * 2 >= self.bytes();
        let until = match is_tick.then(|| self.pop_tick()).flatten() {
            Some(tick) => tick.at,
            None => match pop(&mut self.intervals).and_then(|interval| interval.to) {
                Some(ended) => ended,
                None => return LetGo::default(),
            },
        };
        self.let_go_until = self.let_go_until.max(Some(until));
        LetGo { runs: u64::from(is_tick), changes: u64::from(!is_tick) }
    }

    fn pop_tick(&mut self) -> Option<Tick> {
        let tick = pop(&mut self.ticks)?;
        self.tick_bytes -= bytes_of(&tick);
        Some(tick)
    }
}

/// A third more than `bytes`: a row has room for so many more at most, see [`push`] and [`pop`].
const fn with_room(bytes: usize) -> usize {
    bytes + bytes / 3
}

fn bytes_of(tick: &Tick) -> usize {
    // What the allocator adds to a message is about as much as a pointer or two.
    with_room(size_of::<Tick>()) + tick.message.len() + 2 * size_of::<usize>()
}

/// A row that doubles its room would take twice what is in it.
fn push<T>(row: &mut VecDeque<T>, item: T) {
    if row.len() == row.capacity() {
        row.reserve_exact(row.len() / 4 + 1);
    }
    row.push_back(item);
}

fn pop<T>(row: &mut VecDeque<T>) -> Option<T> {
    let item = row.pop_front();
    if row.len() + row.len() / 3 < row.capacity() && row.capacity() > 4 {
        row.shrink_to(row.len() + row.len() / 8);
    }
    item
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Availability;
    use super::*;

    #[test]
    fn a_row_has_little_room_to_spare_whether_it_grows_or_shrinks() {
        let interval =
            |id| Interval { id, event: id, availability: Availability::Up, from: Timestamp::default(), to: None };
        let mut shelf = Shelf::default();
        let is_thrifty = |shelf: &Shelf| {
            let (length, room) = (shelf.intervals.len(), shelf.intervals.capacity());
            assert!(room <= length + length / 3 + 4, "room for {room} and {length} in it");
        };
        for id in 0..10_000 {
            shelf.push_interval(interval(id));
            is_thrifty(&shelf);
        }
        for left in (0..10_000).rev() {
            pop(&mut shelf.intervals);
            is_thrifty(&shelf);
            assert_eq!(shelf.intervals.len(), left);
        }
    }
}
