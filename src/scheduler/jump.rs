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
    /// The wall clock was set.
    Set {
        /// By so much.
        by: Duration,
        /// For how long the machine was suspended, or the process stopped, before that.
        asleep: Duration,
    },
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
            Self::Set { by, .. } => format!("the wall clock was set by {}", show_duration(by)),
            Self::Starved(span) => format!("the sidecar itself had no processor time for {}", show_duration(span)),
        }
    }

    /// For how long the app could tell nothing: it slept as well, or nobody listened.
    pub(super) const fn deaf(self) -> Duration {
        match self {
            Self::Starved(span) => span,
            Self::Suspended(_) | Self::Stopped(_) | Self::Set { .. } => self.asleep(),
        }
    }

    /// For how long the app may have slept as well. On the boot clock its beats grew older meanwhile, and its own timer has
    /// all that was left of it still before it.
    pub(super) const fn asleep(self) -> Duration {
        match self {
            Self::Suspended(span) | Self::Stopped(span) | Self::Set { asleep: span, .. } => span,
            Self::Starved(_) => Duration::ZERO,
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
            let asleep = Some(suspended + stopped).filter(|asleep| *asleep > LEAST_JUMP).unwrap_or_default();
            Some(Lateness::Set { by: set, asleep })
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
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::name::CheckName;
    use crate::model::beat::Beat;
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Definition, Gates};
    use crate::model::state::State;
    use crate::probe::heartbeat::Beats;
    use crate::probe::heartbeat::testing::pushed;
    use crate::probe::{BuildContext, RunContext, Spec};
    use crate::scheduler::machine::Machine;
    use crate::simulation::playback::{Playback, reading as simulated};

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
        let set = |by, asleep| Set { by: seconds(by), asleep: seconds(asleep) };
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
            (reading(101, 1020), account(7, 3, Some(5)), Some(set(19, 0)), "the wall clock was set forward"),
            (reading(101, 900), account(7, 3, Some(5)), Some(set(101, 0)), "the wall clock was set back"),
            (reading(120, 900), account(7, 3, Some(23)), Some(set(120, 0)), "the same while it was starved"),
            (reading(120, 1045), account(26, 3, Some(5)), Some(set(25, 19)), "the same after it was suspended"),
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

    #[test]
    fn a_beat_grows_no_older_while_the_app_slept_as_well_and_not_because_the_wall_clock_is_set() {
        let seconds = Duration::from_secs;
        let excused = |lateness: Lateness| (lateness.deaf().as_secs(), lateness.asleep().as_secs());
        assert_eq!(excused(Lateness::Suspended(seconds(3))), (3, 3));
        assert_eq!(excused(Lateness::Stopped(seconds(3))), (3, 3));
        assert_eq!(excused(Lateness::Set { by: seconds(3), asleep: Duration::ZERO }), (0, 0));
        assert_eq!(excused(Lateness::Set { by: seconds(3), asleep: seconds(4) }), (4, 4));
        assert_eq!(excused(Lateness::Starved(seconds(3))), (3, 0), "a file tells all the same");
    }

    /// Second by second, of a check that watches an app which beats every 30 s, with a second to spare, and the machine
    /// suspended for an hour at second 100: whether it is an error. The app beats for the last time at second `last`, by
    /// its own count, which stands still while it sleeps.
    async fn errors_around_a_suspension(last: u64) -> Vec<u64> {
        const SECOND: Duration = Duration::from_secs(1);
        const SUSPENDED: Duration = Duration::from_secs(3600);
        let (clock, beats) = (Clock::tokio(), Arc::new(Beats::default()));
        let name = CheckName::new("loop").unwrap();
        let context = BuildContext { check: name.clone(), network: Arc::default(), clock, beats: Arc::clone(&beats) };
        let mut probe = pushed(Duration::from_secs(31)).build(&context);
        let gates = Gates { live: true, ..Gates::default() };
        let definition = Definition { interval: Duration::from_secs(2), gates, ..check(name.as_str()) };
        let machine = Machine::new(plan(vec![definition]), "pod", simulated(clock.now()));
        let run = RunContext::default();
        let world = move |_, _| {
            let polled = pin!(probe.observe(&run)).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(result) = polled else { panic!("there is nothing to wait for") };
            (result, Duration::from_millis(1))
        };
        let mut playback = Playback::new(machine, world, clock.now());
        let mut watch = JumpWatch::new(simulated(clock.now()), account(0, 0, Some(0)));
        let (mut errors, mut slept) = (Vec::new(), Duration::ZERO);
        for second in 0..200 {
            let end = Moment::at(Duration::from_secs(second) + slept);
            while let Some(next) = playback.next_step().filter(|next| *next <= end) {
                tokio::time::advance(next.since(clock.now())).await;
                playback.play_until(next, |_| {});
            }
            tokio::time::advance(end.since(clock.now())).await;
            playback.play_until(end, |_| {});
            if second % 30 == 0 && second <= last {
                assert!(beats.beat("loop", Beat::default(), clock.now()));
            }
            if playback.machine.snapshot(simulated(end)).checks[0].state == State::Error {
                errors.push(second);
            }
            watch.expect_after(simulated(end), SECOND, || account(slept.as_secs(), 0, Some(0)));
            if second == 100 {
                slept = SUSPENDED;
                tokio::time::advance(SUSPENDED).await;
                let now = simulated(clock.now() + SECOND);
                let lateness = watch.look(now, || SECOND, || account(slept.as_secs(), 0, Some(0))).unwrap();
                assert_eq!(lateness, Lateness::Suspended(SUSPENDED));
                beats.excuse(lateness.deaf(), clock.now());
                playback.skip_until(clock.now());
                playback.machine.jumped(simulated(clock.now()));
            }
        }
        errors
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_that_slept_as_well_has_the_rest_of_its_time_to_beat_and_no_more() {
        assert!(errors_around_a_suspension(u64::MAX).await.is_empty());
        let errors = errors_around_a_suspension(90).await;
        // From second 121 on the beat is too old, and three runs have to see it.
        assert!((122..=128).contains(&errors[0]) && errors.len() as u64 == 200 - errors[0], "{errors:?}");
    }
}
