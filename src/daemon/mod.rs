//! The daemon: the only floor that knows all parts. It puts them together, replaces the configuration, and ends.

mod assembly;
mod controls;
mod gates;
mod reap;
mod routes;
pub mod shutdown;
mod signals;
mod stamp;
mod start;
mod state;
pub mod telemetry;
pub mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::clock::Clock;
use crate::base::descriptors;
use crate::base::lane;
use crate::base::thread::{give_way, why_refused};
use crate::base::value::Severity;
use crate::config::diff::ConfigDiff;
use crate::config::source::Environment;
use crate::config::{self, Config, Listen, Loaded, LogConfig, LogFormat};
use crate::history::History;
use crate::hooks::Hooks;
use crate::metrics::DaemonMetrics;
use crate::model::plan::Origin;
use crate::probe::farewell;
use crate::scheduler::actor::{Program, SchedulerCommand};
use crate::server::{self, BoundListener};

use assembly::{keep, machine_at_start, past, specs};
use gates::GateLane;
use routes::AnsweredRoutes;
use shutdown::Termination;
use signals::{DaemonEnd, Signals, any};
use start::Bootstrap;
use state::StateDirectory;
use telemetry::Telemetry;
use watch::{ConfigUpdate, ConfigWatch};

/// The built-in configuration of `probelet demo`.
pub const DEMO: &str = include_str!("../../config/demo.yaml");

/// The first thread is behind that of the gates, which answers kubelet while ten thousand checks begin.
const STEPS_BEHIND: i32 = 1;

/// How to log until there is a configuration that says so.
const DEFAULT_LOG: LogConfig = LogConfig { format: LogFormat::Auto, level: "info" };

/// The end waits this long for the last runs, and then for the history file.
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
    let telemetry = telemetry::start(DEFAULT_LOG, pod.clone(), environment.get("RUST_LOG").map(str::to_owned));
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
    let (history, history_thread) =
        History::prepare(past(config.as_ref(), state.as_ref(), environment, origin), origin.wall);
    // One in memory alone has nothing to open: no first answer needs its thread.
    let history_thread = if history.is_written().is_some() {
        history_thread.start();
        None
    } else {
        Some(history_thread)
    };
    let mut daemon = Daemon {
        commands,
        termination: Termination::default(),
        clock,
        watch,
        telemetry,
        history,
        hooks: Hooks::new(&pod, origin.wall, Arc::clone(&daemon_metrics)),
        state,
        config,
    };
    let is_listening_by_default = daemon.config.is_none() && options.listen.is_none();
    let (app, scheduler) = daemon.assemble(machine, daemon_metrics, &addresses, origin).await;
    let routes = listeners.iter().map(|listener| listener.routes.clone()).collect();
    let mut routes = AnsweredRoutes::new(routes, app.board.clone(), is_listening_by_default);
    let mut gates = GateLane::open(listeners, app)?;
    gates.opened().await;
    for address in &addresses {
        tracing::info!(%address, probelet = env!("CARGO_PKG_VERSION"), checks = specs.len(), "listening");
    }
    daemon.telemetry.check()?;
    started(&addresses);
    if let Some(thread) = history_thread {
        thread.start();
    }
    give_way(STEPS_BEHIND);
    daemon.hooks.change(daemon.config.as_ref().map_or(&[], |config| config.hooks.as_slice()));
    let mut scheduler = tokio::spawn(scheduler.run(specs, orders));

    let mut end = tokio::select! {
        end = daemon.attend(&mut arrivals, &mut routes, &mut signals) => end,
        why = gates.ended() => return Err(StartError::System(why)),
    };
    gates.close().await;
    daemon.stop(&mut scheduler, &mut end, &mut signals).await;
    let hooks_patience = daemon.hooks_patience(&end);
    tokio::join!(daemon.history.close(PATIENCE_AT_END), daemon.hooks.close(hooks_patience), farewell::all_said());
    tracing::info!(reason = end.signal, "probelet has stopped");
    Ok(())
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
    /// Attends to signals and to news of the configuration, until the drain is over.
    async fn attend(
        &mut self,
        arrivals: &mut mpsc::Receiver<ConfigUpdate>,
        routes: &mut AnsweredRoutes,
        signals: &mut Signals,
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
        self.termination.end(self.clock.now());
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

    /// Stops the scheduler: with the runs that are under way, unless somebody is in a hurry.
    async fn stop(&self, scheduler: &mut JoinHandle<()>, end: &mut DaemonEnd, signals: &mut Signals) {
        let stopped = async {
            let _ = self.commands.send(SchedulerCommand::Stop).await;
            let _ = (&mut *scheduler).await;
        };
        let patience = if end.is_hurried { Duration::ZERO } else { PATIENCE_AT_END };
        let is_stopped = tokio::select! {
            stopped = timeout(patience, stopped) => stopped.is_ok(),
            _ = any(&mut signals.terminate) => {
                end.is_hurried = true;
                false
            }
        };
        if !is_stopped {
            scheduler.abort();
            let _ = scheduler.await;
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
        let mut is_as_before = false;
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
                is_as_before = diff.keeps_every_check() && *current.plan == *next.plan;
                diff.origins
            }
        };
        let count = |wanted: fn(&Origin) -> bool| origins.iter().filter(|origin| wanted(origin)).count();
        let added = count(|origin| *origin == Origin::Added);
        let changed = count(|origin| matches!(origin, Origin::Changed(_)));
        let kept = count(|origin| matches!(origin, Origin::Kept(_)));
        let disabled = next.plan.disabled.len();
        tracing::info!(added, changed, kept, disabled, "the configuration was loaded");
        self.telemetry.change(next.log, &next.plan.service);
        self.history.keep(keep(&next));
        if let Some(watch) = &self.watch {
            watch.follow(next.watch);
        }
        routes.change(&next.server.listen, &next.plan);
        self.hooks.change(&next.hooks);
        let command = if is_as_before {
            SchedulerCommand::Confirm
        } else {
            let program = Program { plan: Arc::clone(&next.plan), specs: specs(&next), origins };
            SchedulerCommand::Reload(Box::new(program))
        };
        let _ = self.commands.send(command).await;
        let replaced = self.config.replace(next);
        if let (Some(watch), Some(config)) = (&self.watch, replaced) {
            watch.retire(config);
        }
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
