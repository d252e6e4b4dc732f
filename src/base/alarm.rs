//! An alarm that wakes its task once, when it goes off.
//!
//! A timer of tokio's that is further away than 64 ms wakes its thread twice, as its wheel is coarse there, and knows
//! whole milliseconds. The kernel's own timer wakes it once, to the microsecond, and goes on while the machine sleeps.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep, sleep};

use super::clock::{Clock, Moment};

/// An alarm on one clock, which is set again and again.
#[derive(Debug)]
pub struct Alarm {
    clock: Clock,
    timer: Timer,
    set: Option<Moment>,
}

#[derive(Debug)]
enum Timer {
    /// A descriptor that becomes readable (`timerfd_create(2)`, `CLOCK_BOOTTIME`).
    Kernel(AsyncFd<OwnedFd>),
    /// Where the system has no descriptor left, and where the clock is tokio's.
    Tokio(Pin<Box<Sleep>>),
}

impl Alarm {
    /// An alarm on `clock`, not set yet. To be made on a runtime with sockets where the clock is the machine's.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let kernel = match clock {
            Clock::Machine => kernel_timer().ok(),
            Clock::Tokio { .. } => None,
        };
        let timer = kernel.map_or_else(|| Timer::Tokio(Box::pin(sleep(Duration::ZERO))), Timer::Kernel);
        Self { clock, timer, set: None }
    }

    /// It is to go off at `moment`, and at no other time.
    pub fn set(&mut self, moment: Moment) {
        if self.set.replace(moment) == Some(moment) {
            return;
        }
        let done = match &mut self.timer {
            Timer::Kernel(timer) => set_kernel_timer(timer.get_ref(), moment),
            Timer::Tokio(sleep) => {
                sleep.as_mut().reset(Instant::now() + moment.since(self.clock.now()));
                Ok(())
            }
        };
        if done.is_err() {
            self.timer = Timer::Tokio(Box::pin(sleep(moment.since(self.clock.now()))));
        }
    }

    /// Waits until it goes off, which it does once for each time that it is set. Nothing is lost when this is given up.
    pub async fn rings(&mut self) {
        let Some(moment) = self.set else { return pending().await };
        match &mut self.timer {
            Timer::Kernel(timer) => {
                while let Ok(mut ready) = timer.readable().await {
                    // What there is to read need not be read: each time that it is set is told of anew.
                    ready.clear_ready();
                    if self.clock.now() >= moment {
                        break;
                    }
                    // That was an expiry from before it was set again. It is set once more, or whoever comes a moment too
                    // soon would wait for ever.
                    if set_kernel_timer(timer.get_ref(), moment).is_err() {
                        break;
                    }
                }
            }
            Timer::Tokio(sleep) => sleep.as_mut().await,
        }
        self.set = None;
    }
}

#[expect(deprecated, reason = "an `OwnedFd` is all that `register` asks for, and only unsafe code could say so there")]
fn kernel_timer() -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?)
}

fn set_kernel_timer(timer: &OwnedFd, moment: Moment) -> io::Result<()> {
    // A time of zero would disarm it.
    let at = moment.since_boot().max(Duration::from_nanos(1));
    let value = Timespec { tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX), tv_nsec: at.subsec_nanos().into() };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    const MS: Duration = Duration::from_millis(1);

    /// Whether it rings when it is asked now, without waiting.
    async fn rings_now(alarm: &mut Alarm) -> bool {
        let mut ring = Box::pin(alarm.rings());
        std::future::poll_fn(|context| Poll::Ready(ring.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn the_kernels_timer_goes_off_once_and_not_before_its_time() {
        let clock = Clock::Machine;
        let mut alarm = Alarm::new(clock);
        assert!(matches!(alarm.timer, Timer::Kernel(_)));
        for _ in 0..3 {
            let at = clock.now() + 20 * MS;
            alarm.set(at);
            alarm.rings().await;
            assert!(clock.now() >= at);
            assert!(!rings_now(&mut alarm).await, "it has gone off");
        }
    }

    #[tokio::test]
    async fn an_expiry_that_nobody_heard_is_not_that_of_the_next_time() {
        let clock = Clock::Machine;
        let mut alarm = Alarm::new(clock);
        alarm.set(clock.now() + MS);
        // Somebody was waiting while it went off, and turned to something else.
        let _ = tokio::time::timeout(Duration::ZERO, alarm.rings()).await;
        tokio::time::sleep(20 * MS).await;
        let at = clock.now() + 100 * MS;
        alarm.set(at);
        alarm.rings().await;
        assert!(clock.now() >= at);
    }

    #[tokio::test]
    async fn a_time_that_is_over_rings_at_once_and_a_far_one_can_be_brought_near() {
        let clock = Clock::Machine;
        let mut alarm = Alarm::new(clock);
        alarm.set(Moment::default());
        alarm.rings().await;
        alarm.set(Moment::at(Duration::MAX));
        assert!(!rings_now(&mut alarm).await);
        alarm.set(clock.now() + MS);
        alarm.rings().await;
    }

    #[tokio::test]
    async fn without_the_kernels_timer_it_goes_by_tokios() {
        let clock = Clock::Machine;
        let timer = Timer::Tokio(Box::pin(sleep(Duration::ZERO)));
        let mut alarm = Alarm { clock, timer, set: None };
        let at = clock.now() + 20 * MS;
        alarm.set(at);
        alarm.rings().await;
        assert!(clock.now() + MS >= at);
        assert!(!rings_now(&mut alarm).await);
    }

    #[tokio::test(start_paused = true)]
    async fn where_time_is_paused_it_follows() {
        let clock = Clock::tokio();
        let mut alarm = Alarm::new(clock);
        alarm.set(Moment::at(Duration::from_secs(3600)));
        alarm.rings().await;
        assert_eq!(clock.now(), Moment::at(Duration::from_secs(3600)));
    }
}
