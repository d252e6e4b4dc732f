//! The only place that reads the boot clock or the wall clock; timers and phases of runs go by tokio's `Instant`.
//!
//! Intervals and ages are measured on the boot clock, which goes on while the machine sleeps. The wall clock is for
//! people: it dates what is shown and never makes a result stale or fresh.

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A point on the boot clock (`CLOCK_BOOTTIME`), as the time since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `since_boot` after the machine started; for tests and for playing in virtual time.
    #[must_use]
    pub const fn at(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// The time since the machine started.
    #[must_use]
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

/// A point on the wall clock, for people: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The timestamp that many seconds after 1970-01-01 UTC.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The timestamp that many microseconds after 1970-01-01 UTC.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this timestamp; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        if self.0 <= earlier.0 { Duration::ZERO } else { Duration::from_micros(self.0.abs_diff(earlier.0)) }
    }

    /// Seconds since 1970-01-01 UTC, with microseconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // 53 bits of microseconds last until the year 2255
    pub fn unix_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub const fn whole_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This timestamp moved back by `span`.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This timestamp moved on by `span`.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This timestamp moved by so many microseconds, back where that is negative.
    #[must_use]
    pub const fn moved(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// RFC 3339 in UTC with whole seconds: `2026-11-21T10:30:00Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let seconds = self.whole_seconds();
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60
        )
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)),
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar: an era is 400 years of
/// 146,097 days, and a year starts in March so that the leap day is its last.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The boot clock.
    pub moment: Moment,
    /// The wall clock.
    pub wall: Timestamp,
}

impl Reading {
    /// What the wall clock showed (or will show) at `moment`, as the wall clock runs now.
    #[must_use]
    pub fn wall_at(&self, moment: Moment) -> Timestamp {
        if moment <= self.moment {
            self.wall.before(self.moment.since(moment))
        } else {
            self.wall.after(moment.since(self.moment))
        }
    }

    /// By how many microseconds the wall clock has been set since `earlier`; negative where it was set back. Zero unless
    /// it was set: see [`Clock::read`].
    #[must_use]
    pub fn stepped_since(&self, earlier: &Self) -> i64 {
        self.ahead().saturating_sub(earlier.ahead())
    }

    /// By how many microseconds the wall clock is ahead of the boot clock.
    fn ahead(&self) -> i64 {
        self.wall.0.saturating_sub(micros(self.moment))
    }
}

fn micros(moment: Moment) -> i64 {
    i64::try_from(moment.0.as_micros()).unwrap_or(i64::MAX)
}

/// What tells this start of the machine from every other; nothing where the system does not say.
#[must_use]
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().chars().take(64).collect()).filter(|id: &String| !id.is_empty())
}

/// A difference of this many microseconds means that the wall clock was set. A smaller one is the time between the
/// readings of the two clocks.
const LEAST_STEP: i64 = 50_000;

/// By how many microseconds the machine's wall clock is ahead of its boot clock, as it was when it was last set.
static AHEAD: AtomicI64 = AtomicI64::new(i64::MIN);

/// Where the time comes from: the machine, or tokio's clock, which a test can pause.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's own clocks.
    Machine,
    /// Tokio's clock, with `origin` standing for boot and the wall clock at 2026-01-01 then.
    Tokio {
        /// The instant that counts as boot.
        origin: tokio::time::Instant,
    },
}

impl Clock {
    /// A clock that follows tokio's, so that a test with paused time moves it.
    #[must_use]
    pub fn tokio() -> Self {
        Self::Tokio { origin: tokio::time::Instant::now() }
    }

    /// Both clocks now. Between two settings of the wall clock they run as one, to the microsecond: what is dated by
    /// the one and what is measured on the other agree.
    #[must_use]
    pub fn read(&self) -> Reading {
        let moment = self.now();
        let wall = match self {
            Self::Machine => Timestamp(micros(moment).saturating_add(self.ahead(moment))),
            Self::Tokio { .. } => Timestamp::from_unix_seconds(1_767_225_600).after(moment.since_boot()),
        };
        Reading { moment, wall }
    }

    /// By how many microseconds the wall clock is ahead, as it was when it was last set.
    fn ahead(&self, moment: Moment) -> i64 {
        let known = AHEAD.load(Ordering::Relaxed);
        let is_off = |ahead: i64| known == i64::MIN || ahead.saturating_sub(known).saturating_abs() >= LEAST_STEP;
        let mut ahead = Reading { moment, wall: SystemTime::now().into() }.ahead();
        if !is_off(ahead) {
            return known;
        }
        // Whoever loses the processor between the two clocks must not take that for a step: the closest look counts.
        let mut closest = Duration::MAX;
        for _ in 0..8 {
            let before = self.now();
            let wall = SystemTime::now().into();
            let apart = self.now().since(before);
            if apart < closest {
                (closest, ahead) = (apart, Reading { moment: before, wall }.ahead());
            }
        }
        if !is_off(ahead) {
            return known;
        }
        AHEAD.store(ahead, Ordering::Relaxed);
        ahead
    }

    /// The boot clock now.
    #[must_use]
    pub fn now(&self) -> Moment {
        match self {
            Self::Machine => Moment(since_zero(ClockId::Boottime)),
            Self::Tokio { origin } => Moment(origin.elapsed()),
        }
    }

    /// How long the machine has been suspended since it was started: only the boot clock went on then. Two of these
    /// differ by less than a millisecond, mostly, where it was not suspended in between.
    #[must_use]
    pub fn suspended(&self) -> Duration {
        match self {
            Self::Machine => since_zero(ClockId::Boottime).saturating_sub(since_zero(ClockId::Monotonic)),
            Self::Tokio { .. } => Duration::ZERO,
        }
    }
}

/// The CPU time that the process has used, in user and in system mode.
#[must_use]
pub fn cpu_time() -> Duration {
    since_zero(ClockId::ProcessCPUTime)
}

/// The same of the thread that asks.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    since_zero(ClockId::ThreadCPUTime)
}

fn since_zero(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_rfc_3339_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_582_934_400, "2020-02-29T00:00:00Z"),
            (1_795_257_000, "2026-11-21T10:30:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(Timestamp::from_unix_seconds(seconds).rfc3339(), expected);
        }
    }

    #[test]
    fn an_earlier_moment_is_never_a_negative_age() {
        let (early, late) = (Moment::at(Duration::from_secs(1)), Moment::at(Duration::from_secs(3)));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn the_time_between_timestamps_is_never_negative() {
        let (early, late) = (Timestamp::from_unix_micros(-5), Timestamp::from_unix_seconds(1));
        assert_eq!(late.since(early), Duration::from_micros(1_000_005));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(
            Timestamp::from_unix_micros(i64::MAX).since(Timestamp::from_unix_micros(i64::MIN)).as_micros(),
            u128::from(u64::MAX)
        );
        assert_eq!(early.unix_micros(), -5);
    }

    #[test]
    fn both_clocks_run_as_one_until_the_wall_clock_is_set() {
        let first = Clock::Machine.read();
        let real = Timestamp::from(SystemTime::now());
        assert!(real.since(first.wall) < Duration::from_secs(60) && first.wall.since(real) < Duration::from_secs(1));
        let reading = |moment: u64, wall: i64| Reading {
            moment: Moment::at(Duration::from_secs(moment)),
            wall: Timestamp::from_unix_seconds(wall),
        };
        let start = reading(100, 50);
        for (now, by) in [(reading(103, 53), 0), (reading(103, 52), -1), (reading(101, 1_795_257_000), 1_795_256_949)] {
            assert_eq!(now.stepped_since(&start), by * 1_000_000);
        }
    }

    #[test]
    fn a_reading_dates_moments_by_the_wall_clock_of_now() {
        let reading =
            Reading { moment: Moment::at(Duration::from_secs(100)), wall: Timestamp::from_unix_seconds(1000) };
        assert_eq!(reading.wall_at(Moment::at(Duration::from_secs(40))), Timestamp::from_unix_seconds(940));
        assert_eq!(reading.wall_at(Moment::at(Duration::from_secs(101))), Timestamp::from_unix_seconds(1001));
    }
}
