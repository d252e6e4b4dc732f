//! Jumps of the clock, and what only looks like one: a process that did not get to run.

use std::time::Duration;

use crate::base::clock::{Moment, Reading};
use crate::base::processor::ProcessorAccount;
use crate::base::quantity::show_duration;

/// A delay below this is a busy machine, not worth a word.
const LEAST_JUMP: Duration = Duration::from_secs(2);
/// What the kernel says is looked at so often while nothing is late.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Notices that more time has passed than was slept, and tells why: the machine was suspended, the process was stopped
/// or the machine paused, the wall clock was set, or the process was starved of processor time. The last is no jump:
/// nothing has happened to the targets meanwhile.
#[derive(Debug)]
pub(super) struct JumpWatch {
    last: Reading,
    expected: Moment,
    /// The kernel's account, not much more than a second before what is expected.
    known: KernelAccount,
    known_at: Moment,
}

/// What the kernel says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KernelAccount {
    /// How long the machine has been suspended in all.
    pub(super) suspended: Duration,
    /// What this thread has had of the processor.
    pub(super) processor: ProcessorAccount,
}

/// Why more time has passed than was slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lateness {
    /// The machine was suspended for so long.
    Suspended(Duration),
    /// The process was stopped or frozen for so long, or the whole machine was paused.
    Stopped(Duration),
    /// The wall clock was set, by so much.
    Set(Duration),
    /// The process wanted to run and did not get to, for so long.
    Starved(Duration),
}

impl Lateness {
    /// Whether all that was seen before is older than anybody could expect: all checks run at once.
    pub(super) const fn is_jump(self) -> bool {
        !matches!(self, Self::Starved(_))
    }

    /// In one line, for the log.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Suspended(span) => format!("the machine was suspended for {}", show_duration(span)),
            Self::Stopped(span) => {
                format!("the process was stopped, or its machine paused, for {}", show_duration(span))
            }
            Self::Set(by) => format!("the wall clock was set by {}", show_duration(by)),
            Self::Starved(span) => format!("the sidecar itself had no processor time for {}", show_duration(span)),
        }
    }

    /// For how long the app could tell nothing, because nobody listened.
    pub(super) const fn deaf(self) -> Duration {
        match self {
            Self::Stopped(span) | Self::Starved(span) => span,
            // Those who would have spoken slept as well, or nothing was missed.
            Self::Suspended(_) | Self::Set(_) => Duration::ZERO,
        }
    }
}

impl JumpWatch {
    pub(super) const fn new(now: Reading, account: KernelAccount) -> Self {
        Self { last: now, expected: now.moment, known: account, known_at: now.moment }
    }

    /// It rests for so long now. `account` is asked for now and then.
    pub(super) fn expect_after(&mut self, now: Reading, rest: Duration, account: impl FnOnce() -> KernelAccount) {
        (self.last, self.expected) = (now, now.moment + rest);
        if now.moment.since(self.known_at) >= BETWEEN_LOOKS {
            (self.known, self.known_at) = (account(), now.moment);
        }
    }

    /// Why more time has passed than was slept, where that is much more; the rest is asked for only then.
    pub(super) fn look(
        &mut self,
        now: Reading,
        shortest_interval: impl FnOnce() -> Duration,
        account: impl FnOnce() -> KernelAccount,
    ) -> Option<Lateness> {
        let late = now.moment.since(self.expected);
        let wall_should_be = self.last.wall.after(now.moment.since(self.last.moment));
        let set = now.wall.since(wall_should_be).max(wall_should_be.since(now.wall));
        if late.max(set) <= LEAST_JUMP {
            return None;
        }
        let least = LEAST_JUMP.max(shortest_interval());
        let is_far = |span: Duration| span > least;
        let account = account();
        let before = std::mem::replace(&mut self.known, account);
        self.known_at = now.moment;
        let suspended = account.suspended.saturating_sub(before.suspended).min(late);
        let awake = late.saturating_sub(suspended);
        // Who is stopped waits for nothing, and where the kernel does not say who waits, it has been stopped.
        let stopped = awake.saturating_sub(account.processor.wanted_since(&before.processor));
        if is_far(set) {
            Some(Lateness::Set(set))
        } else if !is_far(suspended + stopped) {
            Some(Lateness::Starved(late)).filter(|_| late > LEAST_JUMP)
        } else if suspended >= stopped {
            Some(Lateness::Suspended(suspended))
        } else {
            Some(Lateness::Stopped(stopped))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    fn reading(moment: u64, wall: i64) -> Reading {
        Reading { moment: Moment::at(Duration::from_secs(moment)), wall: Timestamp::from_unix_seconds(wall) }
    }

    /// In seconds.
    fn account(suspended: u64, ran: u64, waited: Option<u64>) -> KernelAccount {
        let seconds = Duration::from_secs;
        let processor = ProcessorAccount { ran: seconds(ran), waited: waited.map(seconds) };
        KernelAccount { suspended: seconds(suspended), processor }
    }

    #[test]
    fn lateness_is_told_from_a_jump_and_one_jump_from_another() {
        use Lateness::{Set, Starved, Stopped, Suspended};
        let seconds = Duration::from_secs;
        let cases = [
            (reading(101, 1001), account(7, 3, Some(5)), None, "on time"),
            (reading(103, 1003), account(7, 3, Some(5)), None, "late by two seconds"),
            (reading(105, 1005), account(7, 3, Some(9)), Some(Starved(seconds(4))), "late by less than the interval"),
            (reading(105, 1005), account(7, 3, Some(5)), Some(Starved(seconds(4))), "stopped for less than that"),
            (reading(120, 1020), account(26, 3, Some(5)), Some(Suspended(seconds(19))), "suspended"),
            (reading(120, 1020), account(7, 3, Some(5)), Some(Stopped(seconds(19))), "stopped"),
            (reading(120, 1020), account(7, 3, Some(8)), Some(Stopped(seconds(16))), "stopped on a busy machine"),
            (reading(120, 1020), account(7, 3, Some(23)), Some(Starved(seconds(19))), "starved"),
            (reading(120, 1020), account(7, 20, Some(6)), Some(Starved(seconds(19))), "held by its own work"),
            (reading(120, 1020), account(7, 3, None), Some(Stopped(seconds(19))), "nobody knows"),
            (reading(101, 1020), account(7, 3, Some(5)), Some(Set(seconds(19))), "the wall clock was set forward"),
            (reading(101, 900), account(7, 3, Some(5)), Some(Set(seconds(101))), "the wall clock was set back"),
            (reading(120, 900), account(7, 3, Some(23)), Some(Set(seconds(120))), "the same while it was starved"),
            (reading(101, 1004), account(7, 3, Some(5)), None, "set by less than the interval"),
        ];
        for (now, then, lateness, case) in cases {
            let mut watch = JumpWatch::new(reading(100, 1000), account(7, 3, Some(5)));
            watch.expect_after(reading(100, 1000), seconds(1), || unreachable!("a moment ago"));
            assert_eq!(watch.look(now, || seconds(5), || then), lateness, "{case}");
        }
    }

    #[test]
    fn what_was_waited_before_explains_nothing_later() {
        let seconds = Duration::from_secs;
        let mut watch = JumpWatch::new(reading(100, 1000), account(0, 0, Some(0)));
        watch.expect_after(reading(130, 1030), seconds(1), || account(0, 0, Some(25)));
        let lateness = watch.look(reading(150, 1050), || seconds(5), || account(0, 0, Some(25)));
        assert_eq!(lateness, Some(Lateness::Stopped(seconds(19))));
        watch.expect_after(reading(150, 1050), seconds(1), || unreachable!("it was looked at just now"));
        let lateness = watch.look(reading(170, 1070), || seconds(5), || account(0, 0, Some(44)));
        assert_eq!(lateness, Some(Lateness::Starved(seconds(19))));
    }
}
