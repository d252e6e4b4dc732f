//! The daemon: the only floor that knows all parts. It puts them together, replaces the configuration, and ends.

mod controls;
mod gates;
mod reap;
mod routes;
pub mod shutdown;
mod signals;
mod start;
mod state;
pub mod telemetry;
pub mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::clock::{Clock, Moment, Reading, boot_id};
use crate::base::descriptors;
use crate::base::lane;
use crate::base::name::CheckName;
use crate::base::thread::why_refused;
use crate::base::value::Severity;
use crate::config::diff::ConfigDiff;
use crate::config::source::Environment;
use crate::config::{self, Config, Listen, Loaded, LogConfig, LogFormat};
use crate::history::answer::{Keep, SavedState};
use crate::history::calendar::Boot;
use crate::history::{History, Settings};
use crate::hooks::{CheckChange, EndpointChange, Hooks};
use crate::metrics::{DaemonMetrics, SchedulerLiveness};
use crate::model::plan::{Answers, Origin, Plan, Service};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::ContainerNews;
use crate::probe::heartbeat::Beats;
use crate::probe::net::Network;
use crate::probe::{BuildContext, farewell};
use crate::scheduler::actor::{OnChange, Program, Scheduler, SchedulerCommand};
use crate::scheduler::history_reporter::HistoryReporter;
use crate::scheduler::machine::{Machine, Transition};
use crate::server::{self, App, BoundListener, StartUps};
use crate::store::board;
use routes::AnsweredRoutes;

use controls::Controls;
use gates::GateLane;
use shutdown::Termination;
use signals::{DaemonEnd, Signals, any};
use start::Bootstrap;
use state::StateDirectory;
use telemetry::Telemetry;
use watch::{ConfigUpdate, ConfigWatch};

/// The built-in configuration of `probelet demo`.
pub const DEMO: &str = include_str!("../../config/demo.yaml");

/// How to log until there is a configuration that says so.
const DEFAULT_LOG: LogConfig = LogConfig { format: LogFormat::Auto, level: "info" };

/// The start waits this long for what was saved before a restart; after that it is taken over as soon as it is known.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);
/// More than history itself gives the disk to open the file: by then it is known, or history does without.
const LONGEST_OPENING: Duration = Duration::from_secs(60);
/// The end waits this long for the history file.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);
/// This long after the first sign of the end hooks are told of it, however short the drain.
const HOOKS_AT_END: Duration = Duration::from_secs(2);
/// And for what happened last this long after the drain: who has not answered in all that time does not answer.
const LAST_WORD: Duration = Duration::from_millis(250);

/// How the daemon is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub source: ConfigSource,
    /// Where to listen, instead of where the configuration says.
    pub listen: Option<Vec<Listen>>,
    /// Without a valid configuration: serve what can be said without one, instead of ending.
    pub serve_without: bool,
    /// The state directory: what must outlive the sidecar's own container is kept there.
    pub state: Option<PathBuf>,
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// A file.
    File(PathBuf),
    /// The built-in one.
    Demo,
}

/// Why the daemon did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration cannot be used: every problem of it.
    Configuration(Box<config::Report>),
    /// An address could not be listened on.
    Listen(server::ListenError),
    /// The system refused something that cannot be done without.
    System(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(report) => f.write_str(&report.first_error().unwrap_or_else(|| report.summary())),
            Self::Listen(error) => write!(f, "{error}"),
            Self::System(error) if error.raw_os_error().is_none() => write!(f, "{error}"),
            Self::System(error) => write!(f, "the system refuses {}", why_refused(error)),
        }
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

/// Runs the daemon until it is told to end. `started` is called once, with the addresses it listens on, before the
/// first probe.
///
/// # Errors
/// When it cannot start; see [`StartError`].
pub fn run(
    options: &Options,
    environment: &Environment,
    started: impl FnOnce(&[std::net::SocketAddr]),
) -> Result<(), StartError> {
    descriptors::raise_limit();
    // The lane of the probes, and of what the daemon attends to: it is this thread.
    let runtime = lane::runtime()?;
    let result = runtime.block_on(serve(options, environment, started));
    // A name resolution that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn serve(
    options: &Options,
    environment: &Environment,
    started: impl FnOnce(&[std::net::SocketAddr]),
) -> Result<(), StartError> {
    let clock = Clock::Machine;
    // Before a file is read, and before anybody can know that it runs: from here on a signal waits until the daemon can
    // attend to it.
    let mut signals = Signals::catch()?;
    reap::start()?;
    let pod = environment.get("POD_NAME").map(str::to_owned).or_else(config::source::host_name).unwrap_or_default();
    let telemetry = telemetry::start(DEFAULT_LOG, pod.clone(), environment.get("RUST_LOG").map(str::to_owned))?;
    let bootstrap = tokio::select! {
        bootstrap = start::start(options, environment, &telemetry) => bootstrap?,
        reason = any(&mut signals.terminate) => {
            tracing::info!(reason, "probelet has stopped, before there was a configuration");
            return Ok(());
        }
    };
    let Bootstrap { config, wanting, listeners, watch, mut arrivals, state } = bootstrap;
    let addresses = listeners.iter().map(BoundListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let machine = machine_at_start(config.as_ref(), wanting, &pod, clock.read());
    let specs = config.as_ref().map_or_else(Vec::new, specs);
    let (commands, orders) = mpsc::channel(64);
    let daemon_metrics = Arc::new(DaemonMetrics::default());
    let origin = clock.read();
    let mut daemon = Daemon {
        commands,
        termination: Termination::default(),
        clock,
        watch,
        telemetry,
        history: History::start(past(config.as_ref(), state.as_ref(), environment, origin), origin.wall),
        hooks: Hooks::new(&pod, origin.wall, Arc::clone(&daemon_metrics)),
        state,
        config,
    };
    let is_listening_by_default = daemon.config.is_none() && options.listen.is_none();
    let (app, scheduler) = daemon.assemble(machine, daemon_metrics, &addresses, origin).await;
    let routes = listeners.iter().map(|listener| listener.routes.clone()).collect();
    let mut routes = AnsweredRoutes::new(routes, app.board.clone(), is_listening_by_default);
    let mut gates = GateLane::open(listeners, app)?;
    for address in &addresses {
        tracing::info!(%address, probelet = env!("CARGO_PKG_VERSION"), checks = specs.len(), "listening");
    }
    started(&addresses);
    gates.opened().await;
    daemon.hooks.change(daemon.config.as_ref().map_or(&[], |config| config.hooks.as_slice()));
    let scheduler = tokio::spawn(scheduler.run(specs, orders));

    let end = tokio::select! {
        end = daemon.attend(&mut arrivals, &mut routes, signals) => end,
        () = gates.ended() => return Err(StartError::System(std::io::Error::other("no request is answered any more"))),
    };
    gates.close().await;
    scheduler.abort();
    let _ = scheduler.await;
    let hooks_patience = daemon.hooks_patience(&end);
    tokio::join!(daemon.history.close(PATIENCE_AT_END), daemon.hooks.close(hooks_patience), farewell::all_said());
    tracing::info!(reason = end.signal, "probelet has stopped");
    Ok(())
}

/// The state of all checks, none of which has run. `wanting` says why there is no valid configuration; what is in use
/// then is the last good one, or none.
fn machine_at_start(config: Option<&Config>, wanting: Option<String>, pod: &str, now: Reading) -> Machine {
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
) -> Box<dyn Fn(Moment) + Send> {
    Box::new(move |now| {
        liveness.beat(now);
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
fn past(
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
        None => Settings { path: None, keep: Keep { retention: Duration::ZERO, max_size: 0 }, pod, boot },
    }
}

fn keep(config: &Config) -> Keep {
    Keep { retention: config.history.retention, max_size: config.history.max_size }
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

/// What the daemon holds on to while it works.
struct Daemon {
    config: Option<Config>,
    commands: mpsc::Sender<SchedulerCommand>,
    termination: Termination,
    clock: Clock,
    watch: Option<ConfigWatch>,
    telemetry: Telemetry,
    history: History,
    hooks: Hooks,
    state: Option<StateDirectory>,
}

impl Daemon {
    /// What the gates answer with, and the scheduler that keeps it true: they share the board, the heartbeats and the
    /// figures. Waits for what was saved before a restart, for [`PATIENCE_AT_START`] at most.
    async fn assemble(
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

    /// Attends to signals and to news of the configuration, until the drain is over.
    async fn attend(
        &mut self,
        arrivals: &mut mpsc::Receiver<ConfigUpdate>,
        routes: &mut AnsweredRoutes,
        mut signals: Signals,
    ) -> DaemonEnd {
        let signal = loop {
            tokio::select! {
                signal = any(&mut signals.terminate) => break signal,
                _ = signals.hang_up.recv() => match &self.watch {
                    Some(watch) => watch.reload(),
                    None => tracing::info!("SIGHUP: the built-in configuration does not change"),
                },
                Some(news) = arrivals.recv() => self.adopt(news.loaded, routes).await,
                () = routes.follow() => {}
            }
        };
        self.termination.begin(self.clock.now());
        let drain = self.config.as_ref().map_or(Duration::ZERO, |config| config.plan.answers.drain);
        let remaining = self.termination.remaining(self.clock.now(), drain);
        tracing::info!(
            seconds = (remaining.as_secs_f64() * 10.0).round() / 10.0,
            "draining: /readyz is closed, a second signal ends it at once"
        );
        let _ = self.commands.send(SchedulerCommand::End).await;
        tokio::select! {
            () = tokio::time::sleep(remaining) => DaemonEnd { signal, is_hurried: false },
            _ = any(&mut signals.terminate) => DaemonEnd { signal, is_hurried: true },
        }
    }

    /// How long what hooks are still to be told is waited for. They have had the drain.
    fn hooks_patience(&self, end: &DaemonEnd) -> Duration {
        let left = self.termination.remaining(self.clock.now(), HOOKS_AT_END).max(LAST_WORD);
        if end.is_hurried { Duration::ZERO } else { left }
    }

    /// Uses a configuration that has been read, if it is valid; otherwise the one in use stays.
    async fn adopt(&mut self, loaded: Loaded, routes: &mut AnsweredRoutes) {
        let Some(next) = loaded.config else {
            let problems = problems(&loaded.report);
            tracing::error!(problems, "the new configuration cannot be used: the old one stays");
            let _ = self.commands.send(SchedulerCommand::ReloadFailed(start::reason(&loaded.report))).await;
            return;
        };
        let origins = match &self.config {
            None => {
                if next.history.path.is_some() || self.state.is_some() {
                    tracing::warn!("history is kept in memory: history.path needs a restart, the rest applies now");
                }
                vec![Origin::Added; next.plan.checks.len()]
            }
            Some(current) => {
                let diff = ConfigDiff::between(current, &next);
                if diff.listen_changed {
                    tracing::warn!("server.listen has changed: that needs a restart, the rest applies now");
                }
                if diff.history_path_changed {
                    tracing::warn!("history.path has changed: that needs a restart, the rest applies now");
                }
                diff.origins
            }
        };
        let count = |wanted: fn(&Origin) -> bool| origins.iter().filter(|origin| wanted(origin)).count();
        let added = count(|origin| *origin == Origin::Added);
        let changed = count(|origin| matches!(origin, Origin::Changed(_)));
        let kept = count(|origin| matches!(origin, Origin::Kept(_)));
        tracing::info!(added, changed, kept, "the configuration was loaded");
        self.telemetry.change(next.log, &next.plan.service);
        self.history.keep(keep(&next));
        if let Some(watch) = &self.watch {
            watch.follow(next.watch);
        }
        routes.change(&next.server.listen, &next.plan);
        self.hooks.change(&next.hooks);
        let program = Program { plan: Arc::clone(&next.plan), specs: specs(&next), origins };
        let _ = self.commands.send(SchedulerCommand::Reload(Box::new(program))).await;
        self.config = Some(next);
        if let Some(state) = &self.state {
            state.keep(loaded.written);
        }
    }
}

/// Every error of a report, for one log line.
fn problems(report: &config::Report) -> String {
    let line = |problem: &crate::base::value::Problem| {
        format!("{}:{}: {} [{}]", problem.span.line, problem.span.column, problem.message, problem.code)
    };
    report
        .diagnostics()
        .iter()
        .map(|diagnostic| &diagnostic.problem)
        .filter(|problem| problem.severity == Severity::Error)
        .map(line)
        .collect::<Vec<_>>()
        .join("; ")
}

fn specs(config: &Config) -> Vec<Arc<dyn crate::probe::Spec>> {
    config.targets.iter().map(|target| Arc::clone(&target.spec)).collect()
}

/// The plan without a configuration: no checks.
fn no_plan(pod: &str) -> Arc<Plan> {
    let service = Service { name: pod.to_owned(), instance: pod.to_owned(), ..Service::default() };
    // Without a configuration there is no time to drain.
    let answers = Answers { drain: Duration::ZERO, ..Answers::default() };
    Arc::new(Plan { service, answers, checks: Vec::new(), hash: None })
}
