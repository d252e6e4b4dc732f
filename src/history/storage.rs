//! Where what the registry hands out is kept: each history has one of the two storages.

use std::collections::BTreeSet;

use super::answer::Tick;
use super::ledger::Interval;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;

/// Takes what the registry hands out: a ring in memory, or what waits to be written to a file.
pub trait Storage {
    /// The check is new, or has another name.
    fn check(&mut self, check: &Entry);
    /// The checks are gone with all their history.
    fn forget(&mut self, checks: &BTreeSet<u32>);
    /// The interval is new, or has ended.
    fn interval(&mut self, check: u32, interval: Interval);
    /// One more run.
    fn tick(&mut self, tick: Tick);
}

/// A check as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: CheckName,
    /// When its history began.
    pub created_at: Timestamp,
}
