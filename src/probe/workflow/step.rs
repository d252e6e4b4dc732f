//! One step of a run: tried until it passes, its attempts are used up, or its time is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::base::quantity::show_duration;
use crate::base::redactor::Redactor;
use crate::base::trace::Trace;
use crate::model::outcome::{Failure, FailureKind, ProbeResult};
use crate::probe::capture::{Capture, found_in};
use crate::probe::cookies::CookieJar;
use crate::probe::search::Searches;
use crate::probe::{Probe, RunContext};
use crate::workflow::captures::Captures;
use crate::workflow::plan::PlannedStep;
use crate::workflow::progress::{StepResult, margin};

/// What a step of the plan observes, and what it keeps of the answer.
pub(super) struct StepProbe {
    pub(super) probe: Box<dyn Probe>,
    pub(super) captures: Arc<[Capture]>,
    searches: Searches<Vec<Result<String, Failure>>>,
}

impl StepProbe {
    pub(super) fn new(probe: Box<dyn Probe>, captures: Arc<[Capture]>) -> Self {
        Self { probe, captures, searches: Searches::default() }
    }
}

/// What goes from step to step.
#[derive(Default)]
pub(super) struct Carried {
    captured: Captures,
    cookies: CookieJar,
}

impl Carried {
    /// What `step` has captured, by name.
    pub(super) fn kept_of<'a>(
        &'a self,
        step: &'a PlannedStep,
        step_probe: &'a StepProbe,
    ) -> impl Iterator<Item = &'a str> {
        let names = step_probe.captures.iter().map(|capture| capture.name.as_str());
        names.filter(|name| self.captured.get(&step.name, name).is_some())
    }

    /// Keeps what was found by the captures of `step`.
    ///
    /// # Errors
    /// Why the first that found nothing did not.
    fn keep(
        &mut self,
        step: &PlannedStep,
        captures: &[Capture],
        found: Vec<Result<String, Failure>>,
    ) -> Result<(), Failure> {
        let mut kept = Ok(());
        for (capture, value) in captures.iter().zip(found) {
            match value {
                Ok(value) if capture.is_public() => self.captured.insert_public(&step.name, &capture.name, value),
                Ok(value) => self.captured.insert(&step.name, &capture.name, value),
                Err(failure) => kept = kept.and(Err(failure)),
            }
        }
        kept
    }
}

/// The time since the workflow began.
#[derive(Clone, Copy)]
pub(super) struct Stopwatch {
    pub(super) started: Instant,
    pub(super) budget: Duration,
}

impl Stopwatch {
    pub(super) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}

/// The time of one step.
#[derive(Clone, Copy)]
pub(super) struct StepRun<'a> {
    pub(super) clock: Stopwatch,
    pub(super) began: Duration,
    pub(super) until: Duration,
    pub(super) trace: &'a Trace,
}

impl StepRun<'_> {
    pub(super) fn took(self) -> Duration {
        self.clock.elapsed().saturating_sub(self.began)
    }

    /// Tries `step` until it passes, its attempts are used up, or its time is. What it captures goes to `carried`, also of
    /// an answer that is not as expected: what it began may have to be cleaned up.
    pub(super) async fn run(
        self,
        step: &PlannedStep,
        step_probe: &mut StepProbe,
        carried: &mut Carried,
    ) -> (StepResult, ProbeResult) {
        let mut made = 0;
        loop {
            made += 1;
            let failure = match self.attempt(step, step_probe, carried).await {
                (StepResult::Failed, Err(failure)) => failure,
                ended => return ended,
            };
            match step.retry.after(made, self.clock.elapsed(), self.until) {
                Some(delay) => sleep(delay).await,
                None => return (StepResult::Failed, Err(after(made, failure))),
            }
        }
    }

    async fn attempt(
        self,
        step: &PlannedStep,
        step_probe: &mut StepProbe,
        carried: &mut Carried,
    ) -> (StepResult, ProbeResult) {
        let budget = self.until.saturating_sub(self.clock.elapsed());
        let trace = self.trace.part(&step.name);
        let run = RunContext {
            budget,
            captured: std::mem::take(&mut carried.captured),
            cookies: Mutex::new(std::mem::take(&mut carried.cookies)),
            captures: Arc::clone(&step_probe.captures),
            trace: Arc::clone(&trace),
        };
        trace.keep_secret(|| Redactor::default().and_captured(run.captured.secrets()));
        let ended = timeout(budget, async {
            let mut result = step_probe.probe.observe(&run).await;
            let answer = match &mut result {
                Ok(pass) => pass.answer.take(),
                Err(failure) => failure.answer.take(),
            };
            (result, found_in(answer, &step_probe.captures, &step_probe.searches).await)
        });
        let ended = ended.await;
        trace.end();
        *carried = Carried {
            captured: run.captured,
            cookies: run.cookies.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        let Ok((result, found)) = ended else { return (StepResult::OutOfTime, Err(self.timed_out(&trace))) };
        let kept = found.and_then(|found| carried.keep(step, &step_probe.captures, found));
        match result.and_then(|pass| kept.map(|()| pass)) {
            Ok(pass) => (StepResult::Passed, Ok(pass)),
            Err(failure) => (StepResult::Failed, Err(failure)),
        }
    }

    /// Says how long the step had: a workflow ends a little before its budget, of which nobody needs to know.
    fn timed_out(self, trace: &Trace) -> Failure {
        let budget = self.clock.budget;
        let until = if self.until.saturating_add(margin(budget)) >= budget { budget } else { self.until };
        let had = show_duration(rounded(until.saturating_sub(self.began)));
        Failure::new(
            FailureKind::Timeout,
            match trace.current() {
                Some(phase) => format!("timed out after {had} ({})", phase.doing()),
                None => format!("timed out after {had}"),
            },
        )
    }
}

/// To tenths below ten seconds, to seconds above, as it is shown.
fn rounded(span: Duration) -> Duration {
    let unit = match span.as_millis() {
        0..1_000 => 1,
        1_000..9_950 => 100,
        _ => 1_000,
    };
    let millis = (span.as_millis() + unit / 2) / unit * unit;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Adds to the message how often the step was tried.
fn after(attempts: u32, failure: Failure) -> Failure {
    if attempts == 1 {
        return failure;
    }
    let message = Failure::new(failure.kind, format!("{} (after {attempts} attempts)", failure.message)).message;
    Failure { message, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_rounded_as_it_is_shown() {
        for (millis, shown) in [(999, "999ms"), (1_049, "1s"), (9_949, "9.9s"), (9_950, "10s"), (23_999, "24s")] {
            assert_eq!(show_duration(rounded(Duration::from_millis(millis))), shown);
        }
    }
}
