//! The state machine in virtual time: runs take as long as a world says they do, and hours pass in milliseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::base::clock::{Moment, Reading, Timestamp};
use crate::base::quantity::show_duration;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, ProbeResult};
use crate::model::snapshot::Snapshot;
use crate::scheduler::machine::{CheckKey, Machine};

/// What a run that begins at a moment finds, and how long it takes if nobody stops it.
pub trait World {
    /// The run of the check at position `check` of the plan, begun at `at`.
    fn observe(&mut self, check: CheckIndex, at: Moment) -> (ProbeResult, Duration);
}

impl<F: FnMut(CheckIndex, Moment) -> (ProbeResult, Duration)> World for F {
    fn observe(&mut self, check: CheckIndex, at: Moment) -> (ProbeResult, Duration) {
        self(check, at)
    }
}

/// A machine played against a world.
#[derive(Debug)]
pub struct Playback<W> {
    /// The machine, for acting on it between two steps.
    pub machine: Machine,
    /// The world.
    pub world: W,
    now: Moment,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    runs: u64,
}

#[derive(Debug)]
struct InFlight {
    ends: Moment,
    order: u64,
    key: CheckKey,
    observation: Observation,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        (self.ends, self.order) == (other.ends, other.order)
    }
}

impl Eq for InFlight {}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.ends, self.order).cmp(&(other.ends, other.order))
    }
}

/// The wall clock of virtual time: 2026-01-01 at boot.
#[must_use]
pub fn reading(moment: Moment) -> Reading {
    Reading { moment, wall: Timestamp::from_unix_seconds(1_767_225_600).after(moment.since_boot()) }
}

impl<W: World> Playback<W> {
    /// Plays `machine`, which was made at `start`.
    #[must_use]
    pub fn new(machine: Machine, world: W, start: Moment) -> Self {
        Self { machine, world, now: start, in_flight: BinaryHeap::new(), runs: 0 }
    }

    /// The time that the playback has reached.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// How many runs have been started.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// When something happens next: a run ends, or one is due.
    #[must_use]
    pub fn next_step(&mut self) -> Option<Moment> {
        let next = [self.in_flight.peek().map(|run| run.0.ends), self.machine.next_wake()].into_iter().flatten().min();
        next.map(|at| at.max(self.now))
    }

    /// Plays on until `end`; `seen` is shown every snapshot that would be published.
    pub fn play_until(&mut self, end: Moment, mut seen: impl FnMut(Snapshot)) {
        while let Some(next) = self.next_step().filter(|next| *next <= end) {
            self.now = next;
            self.step();
            seen(self.machine.snapshot(reading(self.now)));
        }
        self.now = end;
    }

    /// Lets the time pass until `end` while the daemon does nothing: what was due is done after it.
    pub fn skip_until(&mut self, end: Moment) {
        self.now = end.max(self.now);
    }

    fn step(&mut self) {
        let now = reading(self.now);
        while let Some(run) = self.in_flight.peek() {
            if run.0.ends > self.now {
                break;
            }
            let Some(Reverse(run)) = self.in_flight.pop() else { break };
            self.machine.finished(run.key, run.observation, now);
        }
        for start in self.machine.due(now) {
            let timeout = self.machine.plan().checks[start.check].timeout;
            let (result, takes) = self.world.observe(start.check, self.now);
            let (outcome, takes) = match result {
                _ if takes >= timeout => (Outcome::Fail(timed_out(timeout)), timeout),
                result => (result.into(), takes),
            };
            let ends = self.now + takes;
            self.runs += 1;
            let observation =
                Observation { outcome, began: self.now, ended: ends, wall: reading(ends).wall, dialled: None };
            self.in_flight.push(Reverse(InFlight { ends, order: self.runs, key: start.key, observation }));
        }
        debug_assert!(self.machine.next_wake().is_none_or(|wake| wake > self.now), "what is due has been done");
    }
}

/// What a run that is still going on at its `timeout` has come to.
#[must_use]
pub fn timed_out(timeout: Duration) -> Failure {
    Failure::new(FailureKind::Timeout, format!("timed out after {}", show_duration(timeout)))
}
