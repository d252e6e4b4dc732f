//! How much of a span of time was lost to somebody who waited in it, because the process did not get to run: it was
//! starved or throttled, stopped, or slept with its machine.
//!
//! A timer that fires late tells all of these alike. Who waits long looks at one eight times in the whole span, and who
//! is done soon at none, so that nobody is woken who would not be anyway.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::clock::Clock;

/// How often one who waits looks whether time is lost, in the whole span.
const LOOKS: u32 = 8;
/// It looks no more often than this.
const SHORTEST_STEP: Duration = Duration::from_millis(20);
/// Timers are no more exact than this on a machine that is merely busy, where every wake waits for its turn: of many looks
/// in a short span these would make a considerable part, and what hangs would never be seen to.
const GRAIN: Duration = Duration::from_millis(10);
/// The share of a span beyond which what is lost of it is considerable, as a divisor: a quarter.
const CONSIDERABLE: u32 = 4;
/// No timer has to be longer.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// What came of a wait, and what was lost of it.
#[derive(Debug)]
pub struct Waited<T> {
    /// What was waited for; nothing where the time was up before.
    pub result: Option<T>,
    /// How much of the time the process did not get to run while it wanted to, as far as it was noticed. A loss shorter
    /// than an eighth of the whole span may not be.
    pub lost: Duration,
}

/// Waits for `future` for at most `span`, measured as tokio measures it. What is lost is measured on the boot clock.
pub async fn within<T>(span: Duration, clock: Clock, future: impl Future<Output = T>) -> Waited<T> {
    let mut future = pin!(future);
    let end = Instant::now() + span.min(FAR);
    let step = (span / LOOKS).clamp(SHORTEST_STEP, FAR);
    let mut lost = Duration::ZERO;
    loop {
        let rest = end.duration_since(Instant::now());
        let wait = rest.min(step);
        let expected = clock.now() + wait;
        let result = timeout_at(Instant::now() + wait, future.as_mut()).await;
        lost += clock.now().since(expected).saturating_sub(GRAIN);
        match result {
            Ok(result) => return Waited { result: Some(result), lost },
            Err(_) if Instant::now() >= end => return Waited { result: None, lost },
            Err(_) => {}
        }
    }
}

/// Whether so much was `lost` of `span` that what failed in it may have failed for that.
#[must_use]
pub fn is_considerable(lost: Duration, span: Duration) -> bool {
    lost > span / CONSIDERABLE
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep};

    use super::*;

    const SPAN: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_wait_on_time_loses_nothing_and_ends_to_the_millisecond() {
        let clock = Clock::tokio();
        let waited = within(SPAN, clock, std::future::pending::<()>()).await;
        assert_eq!((waited.result, waited.lost), (None, Duration::ZERO));
        assert!((2000..=2001).contains(&clock.now().since_boot().as_millis()), "{:?}", clock.now());
        let waited = within(SPAN, clock, sleep(Duration::from_millis(1700))).await;
        assert_eq!((waited.result, waited.lost), (Some(()), Duration::ZERO));
    }

    /// The wait of somebody who does not get to run for so many milliseconds from the one on.
    async fn stopped(from: u64, length: u64) -> Waited<()> {
        let waiting = tokio::spawn(within(SPAN, Clock::tokio(), std::future::pending::<()>()));
        sleep(Duration::from_millis(from)).await;
        advance(Duration::from_millis(length)).await;
        waiting.await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_is_seen_wherever_it_lies() {
        for (from, length) in [(10, 1900), (90, 800), (700, 800), (1100, 850), (1000, 20_000), (1900, 700)] {
            let waited = stopped(from, length).await;
            assert!(waited.result.is_none());
            let lost = u64::try_from(waited.lost.as_millis()).unwrap();
            assert!(lost <= length && lost + 250 + 10 >= length, "{lost} of {length} ms from {from}");
            assert!(is_considerable(waited.lost, SPAN), "{lost} of {length} ms from {from}");
        }
        assert!(!is_considerable(stopped(700, 400).await.lost, SPAN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_machine_that_wakes_each_look_a_little_late_costs_no_verdict() {
        let span = Duration::from_millis(100);
        let waiting = tokio::spawn(within(span, Clock::tokio(), std::future::pending::<()>()));
        while !waiting.is_finished() {
            // Its timer is set, or has fired and is heard, before the time goes on.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            advance(SHORTEST_STEP + Duration::from_millis(8)).await;
        }
        let waited = waiting.await.unwrap();
        assert!(waited.result.is_none() && !is_considerable(waited.lost, span), "{:?}", waited.lost);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_before_an_answer_is_seen_too() {
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn(within(SPAN, Clock::tokio(), answered));
        sleep(Duration::from_millis(100)).await;
        answer.send(7).unwrap();
        advance(Duration::from_millis(1500)).await;
        let waited = waiting.await.unwrap();
        assert_eq!(waited.result, Some(Ok(7)));
        assert!(is_considerable(waited.lost, SPAN), "{:?}", waited.lost);
    }
}
