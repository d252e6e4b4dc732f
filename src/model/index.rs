//! The position of a check: an index into a plan and into everything that is kept in its order.

use std::fmt;
use std::ops::{Index, IndexMut};

/// The position of a check in [`Plan::checks`](super::plan::Plan::checks), in the order of the file. It is no position
/// of a step, a part or a row, and means nothing in another plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckIndex(usize);

impl CheckIndex {
    /// The check at the position `index`, counted from 0.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// The positions of so many checks, in ascending order.
    pub fn first(count: usize) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        (0..count).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl fmt::Debug for CheckIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T> Index<CheckIndex> for [T] {
    type Output = T;

    fn index(&self, index: CheckIndex) -> &T {
        &self[index.0]
    }
}

impl<T> IndexMut<CheckIndex> for [T] {
    fn index_mut(&mut self, index: CheckIndex) -> &mut T {
        &mut self[index.0]
    }
}

impl<T> Index<CheckIndex> for Vec<T> {
    type Output = T;

    fn index(&self, index: CheckIndex) -> &T {
        &self[index.0]
    }
}

impl<T> IndexMut<CheckIndex> for Vec<T> {
    fn index_mut(&mut self, index: CheckIndex) -> &mut T {
        &mut self[index.0]
    }
}

/// Tests count checks by hand.
#[cfg(test)]
impl PartialEq<usize> for CheckIndex {
    fn eq(&self, other: &usize) -> bool {
        self.0 == *other
    }
}
