//! The worker of one check: a task that owns the probe and runs it on request, one run at a time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::machine::CheckKey;
use super::run_slot::{RunReceiver, RunRequest};
use super::runner::{self, Ending};
use crate::base::clock::Clock;
use crate::base::trace::Phase;
use crate::model::outcome::Observation;
use crate::probe::{BuildContext, Probe, RunContext, Spec};

/// How many throttled runs (first ones, those expedited or asked for by a child) begin side by side.
pub const MAX_CONCURRENT_THROTTLED: usize = 16;
/// A throttled run that takes longer no longer keeps others from beginning: a hung target delays nobody.
const PERMIT_LIMIT: Duration = Duration::from_millis(100);

/// A run that has ended.
#[derive(Debug)]
pub struct RunReport {
    /// The check.
    pub key: CheckKey,
    /// What was observed.
    pub observation: Observation,
    /// How long each phase took, where the log wants to know.
    pub phases: Vec<(Phase, Duration)>,
}

/// The worker of one check, before it is spawned.
#[derive(Debug)]
pub struct Worker {
    /// The check.
    pub key: CheckKey,
    /// What it observes.
    pub spec: Arc<dyn Spec>,
    /// What its probe is built with.
    pub context: BuildContext,
    /// The hard limit of one run.
    pub timeout: Duration,
    /// Where the time comes from.
    pub clock: Clock,
    /// The permits of throttled runs, shared by all checks.
    pub permits: Arc<Semaphore>,
}

impl Worker {
    /// Runs the probe at each request and sends what it observed to `reports`, until the scheduler drops its end of
    /// `requests`. Between two runs it takes no room for one.
    pub async fn serve(self, mut requests: RunReceiver, reports: mpsc::Sender<RunReport>) {
        let mut probe = self.spec.build(&self.context);
        while let Some(request) = requests.next().await {
            let Some((observation, ending, phases)) = Box::pin(self.run(probe.as_mut(), request)).await else { return };
            if ending == Ending::Panicked {
                probe = self.spec.build(&self.context);
            }
            if reports.send(RunReport { key: self.key, observation, phases }).await.is_err() {
                return;
            }
        }
    }

    async fn run(
        &self,
        probe: &mut dyn Probe,
        request: RunRequest,
    ) -> Option<(Observation, Ending, Vec<(Phase, Duration)>)> {
        let mut trace = None;
        let run = || {
            let run = RunContext { budget: self.timeout, ..RunContext::default() };
            trace = Some(Arc::clone(&run.trace));
            run
        };
        let (observation, ending) = if request.throttled {
            observe_throttled(probe, run, self.timeout, self.clock, &self.permits).await?
        } else {
            let run = { run }();
            runner::observe(probe, &run, self.timeout, self.clock).await
        };
        let is_logged = tracing::enabled!(tracing::Level::DEBUG);
        Some((observation, ending, trace.filter(|_| is_logged).map(|trace| trace.spans()).unwrap_or_default()))
    }
}

/// Runs `probe` once, in one of the `permits`, which it leaves when it takes long; not at all once there are none to come.
/// `run` is made when it begins.
pub async fn observe_throttled(
    probe: &mut dyn Probe,
    run: impl FnOnce() -> RunContext,
    timeout: Duration,
    clock: Clock,
    permits: &Semaphore,
) -> Option<(Observation, Ending)> {
    let permit = permits.acquire().await.ok()?;
    let run = run();
    let mut observing = pin!(runner::observe(probe, &run, timeout, clock));
    let finished = tokio::select! {
        finished = &mut observing => Some(finished),
        () = tokio::time::sleep(PERMIT_LIMIT) => None,
    };
    drop(permit);
    Some(match finished {
        Some(finished) => finished,
        None => observing.await,
    })
}
