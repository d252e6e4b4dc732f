//! One run of one probe: it ends at its timeout, always, and a panic in it is that check's failure and nobody else's.
//!
//! A run that came to nothing while the sidecar itself did not get to run says nothing about its target: it is void. A
//! pass is one all the same, and so is a failure that no lateness of ours explains: a wrong answer, a refusal to log in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::lateness::{self, Waited};
use crate::base::quantity::show_duration;
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, ProbeResult};
use crate::probe::{Probe, RunContext, exhausted};

/// How a run ended, beside what it observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Done,
    /// It was cut off at its timeout.
    CutOff,
    /// It panicked: the probe must be built anew.
    Panicked,
}

/// Runs `probe` once, for at most `timeout`.
pub async fn observe(
    probe: &mut dyn Probe,
    run: &RunContext,
    timeout: Duration,
    clock: Clock,
) -> (Observation, Ending) {
    let began = clock.now();
    let Waited { result, lost } = lateness::within(timeout, clock, guarded(probe, run)).await;
    let (result, ending) = match result {
        Some(Some(result)) => (result, Ending::Done),
        Some(None) => {
            let failure =
                Failure::new(FailureKind::Bug, "the probe panicked: this is a defect of probelet, see its log");
            (Err(failure), Ending::Panicked)
        }
        None => (Err(timed_out(run, timeout)), Ending::CutOff),
    };
    let result = result.map_err(|failure| unless_ours(failure, lost, timeout));
    let dialled = if result.is_err() { run.trace.dialled() } else { None };
    let outcome = Outcome::from(result);
    let read = clock.read();
    let passed = matches!(outcome, Outcome::Pass(_));
    let ended = if passed { (read.moment - run.trace.silence()).max(began) } else { read.moment };
    (Observation { outcome, began, ended, wall: read.wall, dialled }, ending)
}

/// The `failure`, or why it says nothing about the target: so much of the run's time was `lost` to us that it may come of
/// that.
fn unless_ours(failure: Failure, lost: Duration, timeout: Duration) -> Failure {
    if may_come_of_lateness(failure.kind) && lateness::is_considerable(lost, timeout) {
        exhausted::of_processor(lost, &failure)
    } else {
        failure
    }
}

/// Who comes late may find that the time is up, or that the other side did not wait.
const fn may_come_of_lateness(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Timeout
        | FailureKind::Resolve
        | FailureKind::Connect
        | FailureKind::Tls
        | FailureKind::Protocol => true,
        FailureKind::Auth | FailureKind::Mismatch | FailureKind::Bug | FailureKind::Void | FailureKind::Exhausted => {
            false
        }
    }
}

fn timed_out(run: &RunContext, timeout: Duration) -> Failure {
    let phase = run.trace.current().map(|phase| format!(" ({})", phase.doing())).unwrap_or_default();
    Failure::new(FailureKind::Timeout, format!("timed out after {}{phase}", show_duration(timeout)))
}

/// What the probe finds; nothing when it panics, while it is asked for its future as well as while that is polled.
async fn guarded<'a>(probe: &'a mut dyn Probe, run: &'a RunContext) -> Option<ProbeResult> {
    let begin = move || {
        let probe = probe;
        probe.observe(run)
    };
    let mut future = catch_unwind(AssertUnwindSafe(begin)).ok()?;
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::trace::Phase;
    use crate::model::outcome::Pass;
    use crate::probe::BoxFuture;

    struct Fake(fn() -> BoxFuture<'static, ProbeResult>);

    impl Probe for Fake {
        fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
            run.trace.enter(Phase::Connect);
            (self.0)()
        }
    }

    async fn observed(fake: fn() -> BoxFuture<'static, ProbeResult>) -> (Outcome, Duration, Ending) {
        let run = RunContext { trace: Arc::default(), ..RunContext::default() };
        let clock = Clock::tokio();
        let (observation, ending) = observe(&mut Fake(fake), &run, Duration::from_secs(2), clock).await;
        (observation.outcome.clone(), observation.took(), ending)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_probe_becomes_a_timeout_of_exactly_its_budget() {
        let (outcome, took, ending) = observed(|| Box::pin(std::future::pending())).await;
        let failure = Failure::new(FailureKind::Timeout, "timed out after 2s (connecting)");
        assert_eq!((outcome, ending), (Outcome::Fail(failure), Ending::CutOff));
        assert!((2000..=2001).contains(&took.as_millis()), "{took:?}");
    }

    /// What comes of a run of two seconds in which the process does not get to run for so many milliseconds, from the
    /// tenth on.
    async fn observed_late(fake: fn() -> BoxFuture<'static, ProbeResult>, lost: u64) -> Outcome {
        let observed = tokio::spawn(observed(fake));
        tokio::time::sleep(Duration::from_millis(10)).await;
        tokio::time::advance(Duration::from_millis(lost)).await;
        observed.await.unwrap().0
    }

    fn fails_late(kind: FailureKind) -> BoxFuture<'static, ProbeResult> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Err(Failure::new(kind, "it failed"))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_fails_while_the_process_does_not_get_to_run_is_void() {
        let Outcome::Void(why) = observed_late(|| Box::pin(std::future::pending()), 1810).await else { panic!() };
        assert_eq!(
            (why.kind, why.message.as_str(), why.detail.as_deref()),
            (
                FailureKind::Exhausted,
                "the sidecar itself had no processor time for 1.5s of the run",
                Some("timed out after 2s (connecting)")
            )
        );
        for fake in [|| fails_late(FailureKind::Connect), || fails_late(FailureKind::Protocol)] {
            assert!(matches!(observed_late(fake, 1200).await, Outcome::Void(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_lateness_explains_is_the_targets_and_good_news_are_good() {
        let wrong = observed_late(|| fails_late(FailureKind::Mismatch), 1800).await;
        assert_eq!(wrong, Outcome::Fail(Failure::new(FailureKind::Mismatch, "it failed")));
        let passed = observed_late(|| Box::pin(async { Ok(Pass::default()) }), 1800).await;
        assert_eq!(passed, Outcome::Pass(Pass::default()));
        let hung = observed_late(|| Box::pin(std::future::pending()), 600).await;
        let failure = Failure::new(FailureKind::Timeout, "timed out after 2s (connecting)");
        assert_eq!(hung, Outcome::Fail(failure), "the target had most of the time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_of_the_kind_bug() {
        for fake in [
            || -> BoxFuture<'static, ProbeResult> { panic!("at once") },
            || -> BoxFuture<'static, ProbeResult> { Box::pin(async { panic!("later") }) },
        ] {
            let (outcome, _, ending) = observed(fake).await;
            let Outcome::Fail(failure) = outcome else { panic!("a panic passed") };
            assert_eq!((failure.kind, ending), (FailureKind::Bug, Ending::Panicked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_not_slow_because_it_has_nothing_to_say() {
        struct Listening;
        impl Probe for Listening {
            fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
                Box::pin(async {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    run.trace.heard_nothing(Duration::from_millis(250));
                    Ok(Pass::default())
                })
            }
        }
        let (run, clock) = (RunContext { trace: Arc::default(), ..RunContext::default() }, Clock::tokio());
        let (observation, _) = observe(&mut Listening, &run, Duration::from_secs(2), clock).await;
        assert!((50..=51).contains(&observation.took().as_millis()), "{observation:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_is_handed_on() {
        let (outcome, _, ending) = observed(|| Box::pin(async { Ok(Pass::saying("Database is connected")) })).await;
        assert_eq!((outcome, ending), (Outcome::Pass(Pass::saying("Database is connected")), Ending::Done));
    }
}
