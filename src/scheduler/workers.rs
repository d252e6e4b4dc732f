//! The workers of all checks: which there are, and how they end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::machine::{CheckKey, Machine};
use super::run_slot::{RunRequest, RunSender, run_slot};
use super::worker::{MAX_CONCURRENT_THROTTLED, RunReport, Worker};
use crate::base::clock::Clock;
use crate::probe::{BuildContext, Spec};

/// How long a run may still take when its check is gone, or the process ends. A run that is cut short while it logs in has no farewell that
/// its server would understand, and most end well before this.
const LAST_RUN: Duration = Duration::from_secs(1);

/// The workers, one task for each check, and the channels to and from them.
#[derive(Debug)]
pub(super) struct Workers {
    handles: BTreeMap<CheckKey, WorkerHandle>,
    tasks: JoinSet<()>,
    ended: mpsc::Sender<RunReport>,
    permits: Arc<Semaphore>,
    clock: Clock,
    context: BuildContext,
}

#[derive(Debug)]
struct WorkerHandle {
    requests: RunSender,
    task: AbortHandle,
}

impl Workers {
    /// None yet. Each tells of its runs by `ended`.
    pub(super) fn new(ended: mpsc::Sender<RunReport>, clock: Clock, context: BuildContext) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_THROTTLED));
        Self { handles: BTreeMap::new(), tasks: JoinSet::new(), ended, permits, clock, context }
    }

    /// Starts a worker for each check that has none. Those of checks that are gone end with the run that is under way,
    /// and are aborted in the middle of it where it takes long.
    pub(super) fn sync(&mut self, machine: &Machine, specs: &[Arc<dyn Spec>]) {
        self.context.beats.tidy();
        let gone = self.handles.extract_if(.., |key, _| machine.check(*key).is_none());
        let (running, idle): (Vec<_>, Vec<_>) = gone.map(|(_, handle)| handle).partition(|it| it.requests.is_running());
        idle.iter().for_each(|handle| handle.task.abort());
        // Without their requests these end by themselves.
        let leaving: Vec<_> = running.into_iter().map(|handle| handle.task).collect();
        if !(idle.is_empty() && leaving.is_empty()) {
            self.tasks.spawn(end(idle.len(), leaving));
        }
        for ((key, spec), definition) in machine.keys().zip(specs).zip(&machine.plan().checks) {
            if self.handles.contains_key(&key) {
                continue;
            }
            let (sender, receiver) = run_slot();
            let task = Worker {
                key,
                spec: Arc::clone(spec),
                context: BuildContext { check: definition.name.clone(), ..self.context.clone() },
                timeout: definition.timeout,
                clock: self.clock,
                permits: Arc::clone(&self.permits),
            };
            let task = self.tasks.spawn(task.serve(receiver, self.ended.clone()));
            self.handles.insert(key, WorkerHandle { requests: sender, task });
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends all of them, each with the run that is under way, unless that takes long.
    pub(super) async fn finish(mut self) {
        // Without their requests they end by themselves, and with those that wait for a permit still.
        self.permits.close();
        let workers = std::mem::take(&mut self.handles).len();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_RUN, all_ended).await;
        tracing::debug!(workers, cut_off = self.tasks.len(), "the workers have ended");
    }

    /// Asks the worker of `key`, if there is one, for a run.
    pub(super) fn request_run(&self, key: CheckKey, request: RunRequest) {
        if let Some(handle) = self.handles.get(&key) {
            handle.requests.request(request);
        }
    }
}

/// Ends the workers that are `leaving` with a run, and says so of these and of those that were `idle`.
async fn end(idle: usize, leaving: Vec<AbortHandle>) {
    if !leaving.is_empty() {
        tokio::time::sleep(LAST_RUN).await;
    }
    let late: Vec<_> = leaving.iter().filter(|task| !task.is_finished()).collect();
    late.iter().for_each(|task| task.abort());
    let (workers, cut_off) = (idle + leaving.len(), late.len());
    tracing::debug!(workers, cut_off, "the workers of checks that are gone have ended");
}
