//! Jumps of the clock.

use std::time::Duration;

use crate::base::clock::{Moment, Reading};

/// A delay below this is a busy machine, not a jump of the clock.
const LEAST_JUMP: Duration = Duration::from_secs(2);

/// Notices that more time has passed than was slept: the machine was suspended, the process paused, or the wall clock
/// set.
#[derive(Debug)]
pub(super) struct JumpWatch {
    last: Reading,
    expected: Moment,
}

impl JumpWatch {
    pub(super) const fn new(now: Reading) -> Self {
        Self { last: now, expected: now.moment }
    }

    pub(super) fn expect_after(&mut self, now: Reading, rest: Duration) {
        *self = Self { last: now, expected: now.moment + rest };
    }

    pub(super) fn jumped(&self, now: Reading, shortest_interval: impl FnOnce() -> Duration) -> bool {
        let late = now.moment.since(self.expected).as_secs_f64();
        let wall_should_be = self.last.wall.after(now.moment.since(self.last.moment));
        let stepped = (now.wall.unix_seconds() - wall_should_be.unix_seconds()).abs();
        let jump = late.max(stepped);
        jump > LEAST_JUMP.as_secs_f64() && jump > shortest_interval().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    #[test]
    fn a_jump_is_more_time_than_was_slept_or_a_stepped_wall_clock() {
        let reading = |moment: u64, wall: i64| Reading {
            moment: Moment::at(Duration::from_secs(moment)),
            wall: Timestamp::from_unix_seconds(wall),
        };
        let mut watch = JumpWatch::new(reading(100, 1000));
        watch.expect_after(reading(100, 1000), Duration::from_secs(1));
        let interval = Duration::from_secs(5);
        let cases = [
            (reading(101, 1001), false, "on time"),
            (reading(105, 1005), false, "late by less than the interval"),
            (reading(120, 1020), true, "suspended"),
            (reading(101, 1020), true, "the wall clock was set forward"),
            (reading(101, 900), true, "the wall clock was set back"),
        ];
        for (now, jumped, case) in cases {
            assert_eq!(watch.jumped(now, || interval), jumped, "{case}");
        }
    }
}
