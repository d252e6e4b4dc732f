//! The position of a check: an index into a plan and into everything that is kept in its order. And sets of them.

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

/// A set of checks: a bit for each, in words of [`CheckSet::WORD`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSet(Vec<u32>);

impl CheckSet {
    /// So many checks share a word.
    pub const WORD: usize = u32::BITS as usize;

    /// Adds a check; whether it is new.
    pub fn insert(&mut self, check: CheckIndex) -> bool {
        let (word, bit) = (check.0 / Self::WORD, 1 << (check.0 % Self::WORD));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Adds the checks of another set.
    pub fn add_all(&mut self, mut other: Self) {
        if self.0.len() < other.0.len() {
            std::mem::swap(&mut self.0, &mut other.0);
        }
        for (mine, more) in self.0.iter_mut().zip(other.0) {
            *mine |= more;
        }
    }

    /// How many checks are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the check is in it.
    #[must_use]
    pub fn contains(&self, check: CheckIndex) -> bool {
        self.word(check.0 / Self::WORD) & (1 << (check.0 % Self::WORD)) != 0
    }

    /// Whether no check is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The bits of the checks from `place` × [`WORD`](Self::WORD) on.
    #[must_use]
    pub fn word(&self, place: usize) -> u32 {
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The checks in it, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = CheckIndex> {
        self.0.iter().enumerate().flat_map(|(place, word)| bits(place, *word))
    }
}

impl FromIterator<CheckIndex> for CheckSet {
    fn from_iter<T: IntoIterator<Item = CheckIndex>>(checks: T) -> Self {
        let mut set = Self::default();
        for check in checks {
            set.insert(check);
        }
        set
    }
}

/// The checks whose bits are set in the word at `place`, in the order of the file.
pub(super) fn bits(place: usize, word: u32) -> impl Iterator<Item = CheckIndex> {
    let mut left = word;
    std::iter::from_fn(move || {
        let lowest = left.trailing_zeros();
        left &= left.checked_sub(1)?;
        Some(CheckIndex(place * CheckSet::WORD + lowest as usize))
    })
}

/// Tests count checks by hand.
#[cfg(test)]
impl PartialEq<usize> for CheckIndex {
    fn eq(&self, other: &usize) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_its_checks_in_the_order_of_the_file() {
        let checks: Vec<CheckIndex> = [99, 0, 31, 32, 64].map(CheckIndex).into();
        let mut set: CheckSet = checks.iter().copied().collect();
        assert_eq!(set.iter().map(CheckIndex::get).collect::<Vec<_>>(), [0, 31, 32, 64, 99]);
        assert!(checks.iter().all(|check| set.contains(*check)) && !set.contains(CheckIndex(33)));
        assert!(!set.contains(CheckIndex(1000)) && !set.insert(CheckIndex(99)) && set.insert(CheckIndex(98)));
        assert!(CheckSet::default().is_empty() && !set.is_empty());
    }
}
