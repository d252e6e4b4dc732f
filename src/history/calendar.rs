//! Three ways to say when: as it is told, in the time of the ledger, and as a date. Pure.
//!
//! What is told runs with the boot clock from one start of the daemon to its end. The time of the ledger goes on from
//! one daemon to the next and never jumps, so that lengths, order and age are what the boot clock has counted. Dates
//! are what the wall clock says now of then: when it is set, everything is dated anew, and nothing becomes longer,
//! shorter or older.

use crate::base::clock::Timestamp;

/// One start of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// What tells it from every other start of this or any machine.
    pub id: String,
    /// When it was.
    pub at: Timestamp,
}

/// How a file's time of the ledger stood to the clocks, to go on from after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reckoning {
    /// By how many microseconds dates were ahead of the time of the ledger.
    pub ahead: i64,
    /// The start of the machine that the boot clock counted from, in the time of the ledger.
    pub boot: Option<Boot>,
}

/// Turns what is told into the time of the ledger, and that into dates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// By how many microseconds the time of the ledger is ahead of what is told.
    shift: i64,
    /// By how many microseconds dates are ahead of what is told.
    set: i64,
    /// When the machine started, as it would be told.
    boot: Option<Boot>,
}

impl Calendar {
    /// A calendar of a ledger that begins with what is told.
    #[must_use]
    pub fn new(boot: Option<Boot>) -> Self {
        Self { shift: 0, set: 0, boot }
    }

    /// Continues a ledger that had its last sign of life at `seen`; it is `now` by the wall clock. How long no daemon ran
    /// is taken from the boot clock, unless the machine was started meanwhile: then from the wall clock.
    pub fn go_on(&mut self, left: &Reckoning, seen: Timestamp, now: Timestamp) {
        let by_boot = self.boot.as_ref().zip(left.boot.as_ref()).filter(|(mine, theirs)| mine.id == theirs.id);
        let by_boot = by_boot.map(|(mine, theirs)| between(mine.at, theirs.at)).filter(|by| now.moved(*by) >= seen);
        self.shift = by_boot.unwrap_or_else(|| {
            let by_wall = now.moved(self.set).moved(left.ahead.saturating_neg());
            between(now, by_wall.max(seen))
        });
    }

    /// The wall clock says `wall` where `told` is told. Whether it was set since this was last said.
    pub fn set(&mut self, told: Timestamp, wall: Timestamp) -> bool {
        let set = between(told, wall);
        std::mem::replace(&mut self.set, set) != set
    }

    /// What is told, in the time of the ledger.
    #[must_use]
    pub const fn ledger(&self, told: Timestamp) -> Timestamp {
        told.moved(self.shift)
    }

    /// By how many microseconds the time of the ledger is ahead of what is told.
    #[must_use]
    pub const fn shift(&self) -> i64 {
        self.shift
    }

    /// By how many microseconds dates are ahead of the time of the ledger.
    #[must_use]
    pub const fn ahead(&self) -> i64 {
        self.set.saturating_sub(self.shift)
    }

    /// How it stands, for the file.
    #[must_use]
    pub fn reckoning(&self) -> Reckoning {
        let boot = self.boot.as_ref().map(|boot| Boot { id: boot.id.clone(), at: self.ledger(boot.at) });
        Reckoning { ahead: self.ahead(), boot }
    }
}

/// Microseconds from `from` to `to`, below zero where that is earlier.
const fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.unix_micros().saturating_sub(from.unix_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: i64 = 1_795_257_000;
    const NEVER: Timestamp = Timestamp::from_unix_micros(i64::MIN);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn boot(id: &str, seconds: i64) -> Option<Boot> {
        Some(Boot { id: id.into(), at: at(seconds) })
    }

    fn date(calendar: &Calendar, told: Timestamp) -> Timestamp {
        calendar.ledger(told).moved(calendar.ahead())
    }

    #[test]
    fn what_is_told_is_the_time_of_the_ledger_and_the_date_until_the_clock_is_set() {
        let mut calendar = Calendar::new(boot("one", 0));
        calendar.go_on(&Reckoning::default(), NEVER, at(100));
        assert_eq!((calendar.ledger(at(103)), date(&calendar, at(103))), (at(103), at(103)));
        assert!(!calendar.set(at(104), at(104)));
        assert!(calendar.set(at(105), at(YEARS + 105)));
        assert_eq!((calendar.ledger(at(103)), date(&calendar, at(103))), (at(103), at(YEARS + 103)));
        assert!(calendar.set(at(106), at(106)));
        assert_eq!(date(&calendar, at(103)), at(103));
    }

    #[test]
    fn after_a_restart_the_boot_clock_says_how_long_nobody_watched_whatever_the_wall_clock_says() {
        let mut before = Calendar::new(boot("one", 90));
        before.set(at(200), at(200));
        for wrong in [0, -3600, 8 * 86_400, -YEARS] {
            // The daemon begins to tell with what the wall clock says.
            let mut after = Calendar::new(boot("one", 90 + wrong));
            after.go_on(&before.reckoning(), at(200), at(230 + wrong));
            assert_eq!(after.ledger(at(230 + wrong)), at(230), "{wrong}");
            assert_eq!(date(&after, at(230 + wrong)), at(230 + wrong), "{wrong}");
            after.set(at(231 + wrong), at(231));
            assert_eq!(date(&after, at(231 + wrong)), at(231), "{wrong}");
        }
    }

    #[test]
    fn after_a_start_of_the_machine_the_wall_clock_says_it_and_never_takes_anything_back() {
        for before in [boot("one", 90), None] {
            let left = Calendar::new(before).reckoning();
            for (now, expected) in [(230, 230), (150, 200), (3, 200)] {
                let mut after = Calendar::new(boot("two", 1));
                after.go_on(&left, at(200), at(now));
                assert_eq!(after.ledger(at(now)), at(expected));
                assert_eq!(date(&after, at(now)), at(now));
            }
        }
    }

    #[test]
    fn a_ledger_that_began_in_1970_goes_on_with_the_dates_that_it_has_now() {
        let mut before = Calendar::new(None);
        before.set(at(20), at(YEARS + 20));
        let mut after = Calendar::new(None);
        after.go_on(&before.reckoning(), at(60), at(YEARS + 70));
        assert_eq!(after.ledger(at(YEARS + 70)), at(70));
        assert_eq!(date(&after, at(YEARS + 75)), at(YEARS + 75));
    }

    #[test]
    fn a_boot_clock_that_contradicts_the_ledger_is_not_believed() {
        let left = Reckoning { ahead: 0, boot: boot("one", -500) };
        let mut after = Calendar::new(boot("one", 90));
        after.go_on(&left, at(200), at(230));
        assert_eq!(after.ledger(at(230)), at(230));
        let garbage = Reckoning { ahead: i64::MIN, boot: boot("one", i64::MIN) };
        after.go_on(&garbage, NEVER, at(230));
        let _ = after.reckoning();
    }
}
