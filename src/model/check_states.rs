//! The states of all checks. Successive snapshots share what has not changed: a copy costs an address for each block of
//! 32, and a change the block that it is in.
//!
//! They know which checks are settled ([`CheckState::is_settled`]): nothing that is judged depends on those, so that a
//! gate costs as much as there is trouble, however many checks there are. A state that is replaced or changed is not
//! settled until its owner says so again: who does not know is slow, and never wrong.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::index::{CheckIndex, CheckSet, bits};
use super::state::CheckState;
use crate::base::clock::Moment;

/// The state of each check, in the order of the plan.
#[derive(Clone, Debug, Default)]
pub struct CheckStates {
    blocks: Arc<Vec<StateBlock>>,
    count: usize,
    settled: Option<Settled>,
}

/// Checks that lie next to each other, at most [`CheckSet::WORD`] of them.
#[derive(Clone, Debug)]
struct StateBlock {
    states: Arc<[Arc<CheckState>]>,
    /// A bit for each that is not known to be settled.
    unsettled: u32,
}

/// What is known of the age of all results together.
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// The last moment at which no result has become stale that is not now.
    until: Moment,
    /// Some are.
    some_are_stale: bool,
}

impl CheckStates {
    /// How many checks there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All states.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CheckState>> {
        self.blocks.iter().flat_map(|block| block.states.iter())
    }

    /// The checks that may be anything but settled at `now`, in the order of the file; those `among` alone, where that
    /// is given.
    pub fn unsettled<'a>(&'a self, now: Moment, among: Option<&'a CheckSet>) -> impl Iterator<Item = CheckIndex> + 'a {
        self.unsettled_round(now, among, CheckIndex::new(0))
    }

    /// The same, beginning with the block of `from` and ending with those before it.
    pub fn unsettled_round<'a>(
        &'a self,
        now: Moment,
        among: Option<&'a CheckSet>,
        from: CheckIndex,
    ) -> impl Iterator<Item = CheckIndex> + 'a {
        let is_known = self.settled.is_some_and(|settled| now <= settled.until);
        let first = place_of(from).0.min(self.blocks.len());
        let (before, behind) = self.blocks.split_at(first);
        let round = (first..).zip(behind).chain((0..).zip(before));
        round.flat_map(move |(place, block)| {
            let all = full(block.states.len());
            let among = among.map_or(all, |among| among.word(place));
            bits(place, among & if is_known { block.unsettled } else { all })
        })
    }

    /// Until when the same results are stale as at `now`, and whether any is; nothing where that is not known.
    #[must_use]
    pub fn fresh_until(&self, now: Moment) -> Option<(Moment, bool)> {
        self.settled.filter(|settled| now <= settled.until).map(|settled| (settled.until, settled.some_are_stale))
    }

    /// The checks whose states are others than in `other`, which are of the same plan.
    pub fn changed_since<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = CheckIndex> + 'a {
        let blocks = self.blocks.iter().zip(&*other.blocks).enumerate();
        blocks.filter(|(_, (mine, theirs))| !Arc::ptr_eq(&mine.states, &theirs.states)).flat_map(
            |(place, (mine, theirs))| {
                let states = mine.states.iter().zip(&*theirs.states).enumerate();
                let changed = states.filter(|(_, (mine, theirs))| !Arc::ptr_eq(mine, theirs));
                changed.map(move |(offset, _)| CheckIndex::new(place * CheckSet::WORD + offset))
            },
        )
    }

    /// Whether no state has been replaced or changed since `other` was copied from this, or the other way round.
    #[must_use]
    pub fn are_those_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.blocks, &other.blocks)
            || (self.count == other.count && self.changed_since(other).next().is_none())
    }

    /// Says whether the check at `index` is settled as long as its result is fresh.
    pub fn settle(&mut self, index: CheckIndex, is_settled: bool) {
        let (place, bit) = place_of(index);
        let is_marked = self.blocks[place].unsettled & bit != 0;
        if is_marked == is_settled {
            Arc::make_mut(&mut self.blocks)[place].unsettled ^= bit;
        }
    }

    /// Says for how long no more results become stale, and whether some are stale by now.
    pub const fn stay_fresh_until(&mut self, until: Moment, some_are_stale: bool) {
        self.settled = Some(Settled { until, some_are_stale });
    }
}

/// Where the check is: its block, and its bit there.
const fn place_of(index: CheckIndex) -> (usize, u32) {
    (index.get() / CheckSet::WORD, 1 << (index.get() % CheckSet::WORD))
}

/// The bits of so many checks, at most a word of them.
const fn full(count: usize) -> u32 {
    if count >= CheckSet::WORD { u32::MAX } else { (1 << count) - 1 }
}

impl FromIterator<Arc<CheckState>> for CheckStates {
    fn from_iter<T: IntoIterator<Item = Arc<CheckState>>>(states: T) -> Self {
        let states: Vec<_> = states.into_iter().collect();
        let block = |states: &[Arc<CheckState>]| StateBlock { states: states.into(), unsettled: full(states.len()) };
        let blocks: Vec<_> = states.chunks(CheckSet::WORD).map(block).collect();
        Self { blocks: Arc::new(blocks), count: states.len(), settled: None }
    }
}

impl Index<CheckIndex> for CheckStates {
    type Output = Arc<CheckState>;

    fn index(&self, index: CheckIndex) -> &Arc<CheckState> {
        &self.blocks[place_of(index).0].states[index.get() % CheckSet::WORD]
    }
}

impl IndexMut<CheckIndex> for CheckStates {
    fn index_mut(&mut self, index: CheckIndex) -> &mut Arc<CheckState> {
        let (place, bit) = place_of(index);
        let block = &mut Arc::make_mut(&mut self.blocks)[place];
        block.unsettled |= bit;
        &mut Arc::make_mut(&mut block.states)[index.get() % CheckSet::WORD]
    }
}

/// Tests count checks by hand.
#[cfg(test)]
impl Index<usize> for CheckStates {
    type Output = Arc<CheckState>;

    fn index(&self, index: usize) -> &Arc<CheckState> {
        &self[CheckIndex::new(index)]
    }
}

/// Tests count checks by hand.
#[cfg(test)]
impl IndexMut<usize> for CheckStates {
    fn index_mut(&mut self, index: usize) -> &mut Arc<CheckState> {
        &mut self[CheckIndex::new(index)]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::{Reading, Timestamp};

    const NOW: Moment = Moment::at(Duration::from_secs(1000));

    fn states(count: usize) -> CheckStates {
        let state = CheckState::new(Reading { moment: NOW, wall: Timestamp::default() });
        (0..count).map(|_| Arc::new(state.clone())).collect()
    }

    fn positions(checks: impl Iterator<Item = CheckIndex>) -> Vec<usize> {
        checks.map(CheckIndex::get).collect()
    }

    #[test]
    fn what_is_not_known_to_be_settled_is_not() {
        let mut states = states(70);
        assert_eq!(positions(states.unsettled(NOW, None)).len(), 70, "nobody has said anything");
        for index in CheckIndex::first(70) {
            states.settle(index, true);
        }
        assert_eq!(positions(states.unsettled(NOW, None)).len(), 70, "nobody has said for how long");
        states.stay_fresh_until(NOW, false);
        assert_eq!(positions(states.unsettled(NOW, None)), [0; 0]);
        assert_eq!(positions(states.unsettled(NOW + Duration::from_nanos(1), None)).len(), 70, "too old");
        Arc::make_mut(&mut states[69]).failures = 1;
        states.settle(CheckIndex::new(31), false);
        assert_eq!(positions(states.unsettled(NOW, None)), [31, 69]);
        let among = [CheckIndex::new(0), CheckIndex::new(69)].into_iter().collect();
        assert_eq!(positions(states.unsettled(NOW, Some(&among))), [69]);
    }

    #[test]
    fn copies_share_what_has_not_changed() {
        let before = states(100);
        let mut after = before.clone();
        assert!(after.are_those_of(&before));
        after[40] = Arc::new(CheckState { passes: 1, ..CheckState::clone(&after[40]) });
        assert_eq!(positions(after.changed_since(&before)), [40]);
        assert!(!after.are_those_of(&before) && !before.are_those_of(&states(99)));
        let shared = |place: usize| Arc::ptr_eq(&before.blocks[place].states, &after.blocks[place].states);
        assert_eq!([0, 1, 2, 3].map(shared), [true, false, true, true]);
    }
}
