//! One run of one probe: it ends at its timeout, always, and a panic in it is that check's failure and nobody else's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::quantity::show_duration;
use crate::model::outcome::{Failure, FailureKind, Observation, Outcome, ProbeResult};
use crate::probe::{Probe, RunContext};

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
    let (result, ending) = match tokio::time::timeout(timeout, guarded(probe, run)).await {
        Ok(Some(result)) => (result, Ending::Done),
        Ok(None) => {
            let failure =
                Failure::new(FailureKind::Bug, "the probe panicked: this is a defect of probelet, see its log");
            (Err(failure), Ending::Panicked)
        }
        Err(_) => (Err(timed_out(run, timeout)), Ending::CutOff),
    };
    let dialled = if result.is_err() { run.trace.dialled() } else { None };
    let outcome = Outcome::from(result);
    let ended = clock.read();
    (Observation { outcome, began, ended: ended.moment, wall: ended.wall, dialled }, ending)
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
    async fn a_pass_is_handed_on() {
        let (outcome, _, ending) = observed(|| Box::pin(async { Ok(Pass::saying("Database is connected")) })).await;
        assert_eq!((outcome, ending), (Outcome::Pass(Pass::saying("Database is connected")), Ending::Done));
    }
}
