//! The task of one check: it owns the probe and runs it when told to, one run at a time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::machine::Key;
use super::runner::{self, Ending};
use crate::base::clock::Clock;
use crate::base::trace::Phase;
use crate::model::outcome::Observation;
use crate::probe::{Probe, Run, Setting, Spec};

/// How many crowded runs (first ones, those brought forward) begin side by side.
pub const SIDE_BY_SIDE: usize = 16;
/// A crowded run that takes longer no longer keeps others from beginning: a hung target delays nobody.
const CROWDED: Duration = Duration::from_millis(100);

/// The order to run once.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Wait for one of the places of crowded runs.
    pub crowded: bool,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The check.
    pub key: Key,
    /// What was observed.
    pub observation: Observation,
    /// How long each phase took, where the log wants to know.
    pub phases: Vec<(Phase, Duration)>,
}

/// What a check's task is made of.
#[derive(Debug)]
pub struct Task {
    /// The check.
    pub key: Key,
    /// What it observes.
    pub spec: Arc<dyn Spec>,
    /// What its probe is built with.
    pub setting: Setting,
    /// The hard limit of one run.
    pub timeout: Duration,
    /// Where the time comes from.
    pub clock: Clock,
    /// The places of crowded runs, shared by all checks.
    pub places: Arc<Semaphore>,
}

impl Task {
    /// Runs the probe at each order and reports it to `ended`, until nobody gives orders any more.
    pub async fn serve(self, mut orders: mpsc::Receiver<Order>, ended: mpsc::Sender<Ended>) {
        let mut probe = self.spec.build(&self.setting);
        while let Some(order) = orders.recv().await {
            let (observation, ending, phases) = self.run(probe.as_mut(), order).await;
            if ending == Ending::Panicked {
                probe = self.spec.build(&self.setting);
            }
            if ended.send(Ended { key: self.key, observation, phases }).await.is_err() {
                return;
            }
        }
    }

    async fn run(&self, probe: &mut dyn Probe, order: Order) -> (Observation, Ending, Vec<(Phase, Duration)>) {
        let mut trace = None;
        let run = || {
            let run = Run { budget: self.timeout, ..Run::default() };
            trace = Some(Arc::clone(&run.trace));
            run
        };
        let (observation, ending) = match order.crowded {
            true => observe_in_a_crowd(probe, run, self.timeout, self.clock, &self.places).await,
            false => {
                let run = { run }();
                runner::observe(probe, &run, self.timeout, self.clock).await
            }
        };
        let is_logged = tracing::enabled!(tracing::Level::DEBUG);
        (observation, ending, trace.filter(|_| is_logged).map(|trace| trace.spans()).unwrap_or_default())
    }
}

/// Runs `probe` once, in one of the `places`, which it leaves when it takes long. `run` is made when it begins.
pub async fn observe_in_a_crowd(
    probe: &mut dyn Probe,
    run: impl FnOnce() -> Run,
    timeout: Duration,
    clock: Clock,
    places: &Semaphore,
) -> (Observation, Ending) {
    let place = places.acquire().await.ok();
    let run = run();
    let mut observing = pin!(runner::observe(probe, &run, timeout, clock));
    let finished = tokio::select! {
        finished = &mut observing => Some(finished),
        () = tokio::time::sleep(CROWDED), if place.is_some() => None,
    };
    drop(place);
    match finished {
        Some(finished) => finished,
        None => observing.await,
    }
}
