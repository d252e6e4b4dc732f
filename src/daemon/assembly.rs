//! Puts the parts together: what the gates answer with, the scheduler that keeps it true, and the history.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Daemon;
use super::controls::Controls;
use super::shutdown::Termination;
use super::state::StateDirectory;
use crate::base::clock::{Clock, Moment, Reading, boot_id};
use crate::base::name::CheckName;
use crate::config::source::Environment;
use crate::config::{Config, HistoryConfig};
use crate::history::answer::{Keep, SavedState};
use crate::history::calendar::Boot;
use crate::history::{History, Settings};
use crate::hooks::{CheckChange, EndpointChange, Hooks};
use crate::metrics::{DaemonMetrics, SchedulerLiveness};
use crate::model::plan::{Answers, DeclaredChecks, Plan, Service};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::ContainerNews;
use crate::probe::heartbeat::Beats;
use crate::probe::net::Network;
use crate::probe::{BuildContext, Spec};
use crate::scheduler::actor::{OnChange, OnProgress, Scheduler, SchedulerCommand, SchedulerProgress};
use crate::scheduler::history_reporter::HistoryReporter;
use crate::scheduler::machine::{Machine, Transition};
use crate::server::{App, StartUps};
use crate::store::board;

/// The start waits this long for what was saved before a restart; after that it is taken over as soon as it is known.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);

/// More than history itself gives the disk to open the file: by then it is known, or history does without.
const LONGEST_OPENING: Duration = Duration::from_secs(60);

impl Daemon {
    /// What the gates answer with, and the scheduler that keeps it true: they share the board, the heartbeats and the
    /// figures. Waits for what was saved before a restart, for [`PATIENCE_AT_START`] at most.
    pub(super) async fn assemble(
        &self,
        mut machine: Machine,
        daemon_metrics: Arc<DaemonMetrics>,
        addresses: &[std::net::SocketAddr],
        origin: Reading,
    ) -> (App, Scheduler) {
        let (clock, commands, termination) = (self.clock, &self.commands, &self.termination);
        let beats = Arc::new(Beats::default());
        let mut reporter = HistoryReporter::new(self.history.clone(), Arc::clone(&beats), origin);
        let start_ups = Arc::new(StartUps::new(origin.moment));
        if let Some(latches) = saved_latches(&self.history, commands, termination, &start_ups, clock, origin).await {
            reporter.restore(latches, &mut machine, clock.read());
        }
        let (recorder, board) = board(machine.snapshot(clock.read()));
        let (start_up, start_ups_wanted) = tokio::sync::watch::channel((ContainerNews::None, Moment::default()));
        let controls = Controls::new(commands.clone(), termination.clone(), clock, Arc::clone(&beats), start_up);
        let liveness = Arc::new(SchedulerLiveness::default());
        let app = App {
            board,
            clock,
            daemon_metrics: Arc::clone(&daemon_metrics),
            history: self.history.clone(),
            start_ups,
            control: Box::new(controls),
            liveness: Arc::clone(&liveness),
        };
        let check = CheckName::new("probelet").expect("a valid name");
        let network = Arc::new(Network::default().around(addresses));
        let scheduler = Scheduler {
            machine,
            recorder,
            reporter,
            clock,
            context: BuildContext { check, network, clock, beats },
            start_ups: start_ups_wanted,
            progress: at_progress(liveness, daemon_metrics, self.history.clone()),
            changed: telling(self.hooks.clone()),
        };
        (app, scheduler)
    }
}

/// The state of all checks, none of which has run. `wanting` says why there is no valid configuration; what is in use
/// then is the last good one, or none.
pub(super) fn machine_at_start(config: Option<&Config>, wanting: Option<String>, pod: &str, now: Reading) -> Machine {
    let Some(config) = config else {
        let reason = wanting.unwrap_or_default();
        tracing::error!(reason, "no valid configuration: serving without one until there is");
        return Machine::without_configuration(no_plan(pod), pod, reason, now);
    };
    let mut machine = Machine::new(Arc::clone(&config.plan), pod, now);
    if let Some(reason) = wanting {
        tracing::error!(reason, "no valid configuration: the last good one is in use until there is");
        machine.use_last_good(reason);
    }
    machine
}

/// Keeps the figures of the daemon itself true while the scheduler makes progress.
fn at_progress(
    liveness: Arc<SchedulerLiveness>,
    daemon_metrics: Arc<DaemonMetrics>,
    history: History,
) -> Box<OnProgress> {
    Box::new(move |SchedulerProgress { at, late, next_run, void_runs }| {
        liveness.beat(at);
        daemon_metrics.lag.note(at, late, next_run);
        daemon_metrics.set_void_runs(void_runs);
        daemon_metrics.history_dropped(history.dropped().saturating_sub(daemon_metrics.history_dropped_total()));
        daemon_metrics.set_history_writable(history.is_written());
    })
}

/// Tells `hooks` of what the scheduler publishes.
fn telling(hooks: Hooks) -> Box<OnChange> {
    Box::new(move |snapshot, transitions, endpoints| {
        let checks: Vec<_> = transitions.iter().filter_map(|transition| check_change(snapshot, transition)).collect();
        let endpoints: Vec<_> = endpoints.iter().map(|judgement| EndpointChange { judgement }).collect();
        hooks.tell(snapshot, &checks, &endpoints);
    })
}

fn check_change<'a>(snapshot: &Snapshot, transition: &'a Transition) -> Option<CheckChange<'a>> {
    let Transition { check, from, to, observation, .. } = transition;
    let check = snapshot.plan.position(check.as_str())?;
    Some(CheckChange { check, from: *from, to: *to, observation: observation.as_ref() })
}

/// Where history is kept, and how much of it.
pub(super) fn past(
    config: Option<&Config>,
    state: Option<&StateDirectory>,
    environment: &Environment,
    origin: Reading,
) -> Settings {
    let pod = environment.get("POD_UID").map(str::to_owned);
    let boot = boot_id().map(|id| Boot { id, at: origin.wall_at(Moment::default()) });
    match config {
        Some(config) => {
            let path = config.history.path.clone().or_else(|| state.map(StateDirectory::history));
            Settings { path, keep: keep(config), pod, boot }
        }
        // Until there is a configuration there are no checks to have a history.
        None => Settings {
            path: None,
            keep: Keep { retention: Duration::ZERO, max_size: 0, max_memory: 1 << 20 },
            pod,
            boot,
        },
    }
}

pub(super) fn keep(config: &Config) -> Keep {
    let HistoryConfig { retention, max_size, max_memory, .. } = config.history;
    Keep { retention, max_size, max_memory }
}

/// What was saved before a restart. Where the disk takes too long, nothing: it is sent to the scheduler as soon as it
/// is known.
async fn saved_latches(
    history: &History,
    commands: &mpsc::Sender<SchedulerCommand>,
    termination: &Termination,
    start_ups: &Arc<StartUps>,
    clock: Clock,
    origin: Reading,
) -> Option<SavedState> {
    let (history, termination, start_ups) = (history.clone(), termination.clone(), Arc::clone(start_ups));
    let mut coming = Box::pin(async move {
        let latches = history.saved_state(LONGEST_OPENING).await;
        if let Some(since) = latches.draining_since {
            let now = clock.now();
            termination.restore(now - origin.wall_at(now).since(since));
        }
        if latches.ready_once {
            start_ups.taken_over();
        }
        latches
    });
    if let Ok(latches) = tokio::time::timeout(PATIENCE_AT_START, &mut coming).await {
        return Some(latches);
    }
    tracing::warn!("the history file is not open yet: starting without what was saved before");
    let commands = commands.clone();
    tokio::spawn(async move {
        let latches = Box::new(coming.await);
        let _ = commands.send(SchedulerCommand::Restore(latches)).await;
    });
    None
}

/// The plan without a configuration: no checks.
fn no_plan(pod: &str) -> Arc<Plan> {
    let service = Service { name: pod.to_owned(), instance: pod.to_owned(), ..Service::default() };
    // Without a configuration there is no time to drain.
    let answers = Answers { drain: Duration::ZERO, ..Answers::default() };
    Arc::new(Plan { service, answers, checks: DeclaredChecks::default(), disabled: Vec::new(), hash: None })
}

pub(super) fn specs(config: &Config) -> Vec<Arc<dyn Spec>> {
    config.targets.iter().map(|target| Arc::clone(&target.spec)).collect()
}
