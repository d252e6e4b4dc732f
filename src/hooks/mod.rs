//! Hooks: others are told of transitions by POST, on a lane of its own that no run and no gate ever waits for.
//!
//! [`Hooks::tell`] puts an event into the queue of each hook that wants it and returns at once. The lane has a worker for
//! each hook (`outbox`), which sends one event after the other. To tell of something else: a word in
//! [`HookEvent`] and a line in `event`.

#[cfg(feature = "hooks")]
mod client;
#[cfg(not(feature = "hooks"))]
#[path = "no_client.rs"]
mod client;
mod event;
mod outbox;

use std::cell::LazyCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::base::clock::Timestamp;
use crate::base::lane;
use crate::base::thread::why_refused;
use crate::config::hook::{HookConfig, HookEvent};
use crate::metrics::DaemonMetrics;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::Judged;
use crate::probe::net::Network;
use event::EventWriter;
pub use event::{CheckChange, EndpointChange};
use outbox::Outbox;

/// The stack of the lane's thread.
const STACK: usize = 512 * 1024;

/// All hooks of the configuration.
#[derive(Clone)]
pub struct Hooks(Arc<SharedHooks>);

struct SharedHooks {
    writer: Mutex<EventWriter>,
    workers: Mutex<HookWorkers>,
    daemon_metrics: Arc<DaemonMetrics>,
    network: Arc<Network>,
}

#[derive(Default)]
struct HookWorkers {
    /// One for each hook of the configuration, in its order.
    current: Vec<HookWorker>,
    /// Those of hooks that are gone: they send what waits.
    retired: Vec<HookWorker>,
    /// The lane; none before there is a hook.
    lane: Option<HookLane>,
}

#[must_use = "what waits in it would go untold"]
struct HookWorker {
    outbox: Arc<Outbox>,
    /// Nothing where the system gave us no thread: then events only grow old.
    task: Option<JoinHandle<()>>,
}

#[must_use = "dropping it ends the lane"]
struct HookLane {
    handle: Handle,
    /// The lane ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooks({})", lock(&self.0.workers).current.len())
    }
}

impl Hooks {
    /// No hooks yet. `instance` is this pod, which started at `started`.
    #[must_use]
    pub fn new(instance: &str, started: Timestamp, daemon_metrics: Arc<DaemonMetrics>) -> Self {
        Self(Arc::new(SharedHooks {
            writer: Mutex::new(EventWriter::new(instance, started)),
            workers: Mutex::default(),
            daemon_metrics,
            network: Arc::default(),
        }))
    }

    /// Uses these hooks from now on. What waits for a hook is kept: it goes to the one with the same address, or else to
    /// the one of the same host that has taken its place in the list, or else to where it was to go.
    pub fn change(&self, hooks: &[HookConfig]) {
        let mut workers = lock(&self.0.workers);
        let workers = &mut *workers;
        workers.retired.retain(|worker| worker.task.as_ref().is_some_and(|task| !task.is_finished()));
        let mut before: Vec<Option<HookWorker>> = workers.current.drain(..).map(Some).collect();
        let mut taken: Vec<Option<HookWorker>> = hooks
            .iter()
            .map(|hook| before.iter_mut().find_map(|old| old.take_if(|old| old.outbox.has_address_of(hook))))
            .collect();
        for (place, (worker, hook)) in
            taken.iter_mut().zip(hooks).enumerate().filter(|(_, (worker, _))| worker.is_none())
        {
            *worker = before.get_mut(place).and_then(|old| old.take_if(|old| old.outbox.has_host_of(hook)));
        }
        for old in before.into_iter().flatten() {
            old.outbox.retire();
            workers.retired.push(old);
        }
        for (place, (worker, hook)) in taken.into_iter().zip(hooks).enumerate() {
            let deliveries = self.0.daemon_metrics.hook_deliveries(place);
            let worker = match worker {
                Some(worker) => {
                    worker.outbox.change(place, hook, deliveries);
                    worker
                }
                None => self.start(workers, Outbox::new(place, hook, deliveries)),
            };
            workers.current.push(worker);
        }
        self.0.daemon_metrics.keep_hooks(hooks.len());
    }

    fn start(&self, workers: &mut HookWorkers, outbox: Outbox) -> HookWorker {
        let outbox = Arc::new(outbox);
        if workers.lane.is_none() {
            match open_lane() {
                Ok(lane) => workers.lane = Some(lane),
                Err(error) => {
                    let error = format!("the system refuses {}", why_refused(&error));
                    tracing::error!(error, "no hook is told anything");
                }
            }
        }
        let network = Arc::clone(&self.0.network);
        let connect = move |hook: &HookConfig| client::connect(hook, &network);
        let task = workers.lane.as_ref().map(|lane| lane.handle.spawn(outbox::serve(Arc::clone(&outbox), connect)));
        HookWorker { outbox, task }
    }

    /// Tells of what has changed with `snapshot`, in this order. It never waits.
    pub fn tell(&self, snapshot: &Snapshot, checks: &[CheckChange<'_>], endpoints: &[EndpointChange<'_>]) {
        if checks.is_empty() && endpoints.is_empty() {
            return;
        }
        let workers = lock(&self.0.workers);
        if workers.current.is_empty() {
            return;
        }
        let mut writer = lock(&self.0.writer);
        // The probes wait for this: what nobody wants is not written, and all is judged once at most.
        let is_wanted = |event: Option<HookEvent>| {
            event.is_some_and(|event| workers.current.iter().any(|worker| worker.outbox.wants(event)))
        };
        let judged = LazyCell::new(|| Judged::new(snapshot, snapshot.at));
        let of_checks: Vec<_> = checks
            .iter()
            .filter(|change| is_wanted(change.event()))
            .filter_map(|change| writer.check(&judged, change))
            .collect();
        let of_endpoints = endpoints
            .iter()
            .filter(|change| is_wanted(change.event()))
            .filter_map(|change| writer.endpoint(snapshot, change));
        for message in of_checks.into_iter().chain(of_endpoints) {
            for worker in &workers.current {
                worker.outbox.push(&message);
            }
        }
    }

    /// Sends what waits, each event without the pauses between tries, for `patience` at most; what is not sent by then is
    /// counted as dropped, also what a receiver has before it and does not answer.
    pub async fn close(&self, patience: Duration) {
        let mut all: Vec<HookWorker> = {
            let mut workers = lock(&self.0.workers);
            let HookWorkers { current, retired, .. } = &mut *workers;
            current.drain(..).chain(retired.drain(..)).collect()
        };
        all.iter().for_each(|worker| worker.outbox.close());
        let ends = async {
            for worker in &mut all {
                if let Some(task) = &mut worker.task {
                    let _ = task.await;
                }
            }
        };
        let in_time = tokio::time::timeout(patience, ends).await.is_ok();
        let lost: usize = all.iter().map(|worker| worker.outbox.give_up()).sum();
        if !in_time || lost > 0 {
            tracing::warn!(lost, "the end did not wait for every hook");
        }
        lock(&self.0.workers).lane = None;
    }
}

fn open_lane() -> std::io::Result<HookLane> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (handle, _) = lane::start(lane::runtime()?, "hooks", STACK, async move { drop(stopped.await) })?;
    Ok(HookLane { handle, _stop: stop })
}

/// Held while memory is looked at, and never across a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Moment, Reading};
    use crate::base::secret::Secret;
    use crate::config::hook::HookEvents;
    use crate::model::index::CheckIndex;
    use crate::model::plan::testing::{check, plan};
    use crate::model::state::State;
    use crate::scheduler::machine::Machine;
    use crate::simulation::playback::reading;

    #[test]
    fn what_no_hook_wants_is_not_written() {
        let start: Reading = reading(Moment::default());
        let snapshot = Machine::new(plan(vec![check("db")]), "pod", start).snapshot(start);
        let hooks = Hooks::new("pod", start.wall, Arc::default());
        let hook = |on| HookConfig {
            // Nobody listens there, and nobody needs to.
            url: Secret::new("http://127.0.0.1:9/"),
            on: HookEvents::named(on),
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        let change = |to| CheckChange { check: CheckIndex::new(0), from: State::Pending, to, observation: None };
        let written = |to| {
            hooks.tell(&snapshot, &[change(to)], &[]);
            lock(&hooks.0.writer).written()
        };
        hooks.change(&[hook(&["readyz"]), hook(&["ok"])]);
        assert_eq!((written(State::Error), written(State::Ok)), (0, 1));
    }
}
