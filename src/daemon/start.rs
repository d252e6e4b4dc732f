//! The start: the first configuration, and where to listen. A file that does not answer (a mount that hangs) does not
//! keep the port closed with `--config-error serve`.

use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::state::StateDirectory;
use super::telemetry::Telemetry;
use super::watch::{ConfigUpdate, ConfigWatch, STACK};
use super::{ConfigSource, DEMO, Options, StartError};
use crate::base::thread::{apart, why_refused};
use crate::config::source::{self, Environment};
use crate::config::{self, Config, Listen, Listener, Loaded, Report};
use crate::model::route::RouteSet;
use crate::server::{self, BoundListener};

/// Where to listen without a configuration that says so.
const DEFAULT_LISTEN: &[Listener] = &[Listener { address: Listen::All(10240), routes: RouteSet::All }];
/// A file that takes longer than this to read does not answer: kubelet, which asks every few seconds, does not wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the daemon starts with.
pub(super) struct Bootstrap {
    /// The configuration; nothing where there is none that can be used.
    pub(super) config: Option<Config>,
    /// Why there is no valid configuration. Where there is a `config` all the same, it is the last good one.
    pub(super) wanting: Option<String>,
    /// The sockets, bound.
    pub(super) listeners: Vec<BoundListener>,
    /// The thread that reads the configuration again; none for the built-in one.
    pub(super) watch: Option<ConfigWatch>,
    /// What was read later than the start could wait for.
    pub(super) arrivals: mpsc::Receiver<ConfigUpdate>,
    /// The state directory.
    pub(super) state: Option<StateDirectory>,
}

/// Reads the configuration and binds the sockets. It may be given up at any moment.
pub(super) async fn start(
    options: &Options,
    environment: &Environment,
    telemetry: &Telemetry,
) -> Result<Bootstrap, StartError> {
    let (news, mut arrivals) = mpsc::channel(1);
    let path = match &options.source {
        ConfigSource::File(path) => path,
        ConfigSource::Demo => return demo(options, environment, telemetry, arrivals),
    };
    let pod = environment.get("POD_UID").unwrap_or_default();
    let state = options.state.clone().map(|directory| StateDirectory::open(directory, pod)).transpose()?;
    let (state, kept) = state.unzip();
    let watch = ConfigWatch::start(path.clone(), environment.clone(), news)?;
    let (config, wanting) = match first(&mut arrivals, options.serve_without).await {
        Some(Loaded { config: Some(config), written, .. }) => {
            // The state directory is there before history looks for it; a disk that hangs is not waited for.
            let _ = timeout(PATIENCE, kept_text(kept)).await;
            if let Some(state) = &state {
                state.keep(written);
            }
            (Some(config), None)
        }
        Some(Loaded { report, .. }) if !options.serve_without => {
            return Err(StartError::Configuration(Box::new(report)));
        }
        None if !options.serve_without => {
            return Err(StartError::System(std::io::Error::other("the configuration cannot be read")));
        }
        other => {
            let why = other.map_or_else(|| silent(path), |loaded| reason(&loaded.report));
            (last_good(kept, environment).await, Some(why))
        }
    };
    if let Some(config) = &config {
        telemetry.change(config.log, &config.plan.service);
        watch.follow(config.watch || wanting.is_some());
    }
    let declared = config.as_ref().map_or(DEFAULT_LISTEN, |config| &config.server.listen);
    let listeners = listen(&wanted(options, declared))?;
    Ok(Bootstrap { config, wanting, listeners, watch: Some(watch), arrivals, state })
}

/// What was read first; nothing when the file does not answer and that is not waited for.
async fn first(arrivals: &mut mpsc::Receiver<ConfigUpdate>, serve_without: bool) -> Option<Loaded> {
    let loaded = |news: Option<ConfigUpdate>| news.map(|news| news.loaded);
    match timeout(PATIENCE, arrivals.recv()).await {
        Ok(news) => loaded(news),
        Err(_) if serve_without => None,
        Err(_) => {
            tracing::warn!("the configuration file does not answer: waiting for it");
            loaded(arrivals.recv().await)
        }
    }
}

fn silent(path: &Path) -> String {
    format!("the configuration file {} does not answer", path.display())
}

/// Why a configuration cannot be used, in one line.
pub(super) fn reason(report: &Report) -> String {
    report.first_error().unwrap_or_else(|| report.summary())
}

/// The last good configuration, as far as it can still be used: what its expansions stand for may be gone.
async fn last_good(kept: Option<oneshot::Receiver<Option<String>>>, environment: &Environment) -> Option<Config> {
    let text = timeout(PATIENCE, kept_text(kept)).await.ok().flatten()?;
    let environment = environment.clone();
    // A file that it names may lie on a mount that hangs, as the configuration itself does perhaps.
    let read = apart("last good", STACK, move || {
        config::read("the last good configuration", text.as_bytes(), &environment, Box::new(source::read_file))
    });
    let loaded = match timeout(PATIENCE, read).await.ok()? {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::warn!(reason = why_refused(&error), "the last good configuration cannot be read");
            return None;
        }
    };
    if loaded.config.is_none() {
        tracing::warn!(reason = reason(&loaded.report), "the last good configuration cannot be used either");
    }
    loaded.config
}

async fn kept_text(kept: Option<oneshot::Receiver<Option<String>>>) -> Option<String> {
    kept?.await.ok().flatten()
}

/// The demo looks at its own port, so it has to have one before its configuration is read.
fn demo(
    options: &Options,
    environment: &Environment,
    telemetry: &Telemetry,
    arrivals: mpsc::Receiver<ConfigUpdate>,
) -> Result<Bootstrap, StartError> {
    let listeners = listen(&wanted(options, DEFAULT_LISTEN))?;
    let port = listeners.first().map_or(Ok(0), |first| first.local_addr().map(|address| address.port()))?;
    let environment = environment.with("PROBELET_DEMO_PORT", &port.to_string());
    let loaded = config::read("demo.yaml (built in)", DEMO.as_bytes(), &environment, Box::new(source::read_file));
    let Some(config) = loaded.config else { return Err(StartError::Configuration(Box::new(loaded.report))) };
    telemetry.change(config.log, &config.plan.service);
    Ok(Bootstrap { config: Some(config), wanting: None, listeners, watch: None, arrivals, state: None })
}

/// Where to listen: where the command line says, else where the file does.
fn wanted(options: &Options, declared: &[Listener]) -> Vec<Listener> {
    let Some(addresses) = &options.listen else { return declared.to_vec() };
    let of_file = |address: &Listen| declared.iter().find(|listener| listener.address == *address).copied();
    addresses.iter().map(|address| of_file(address).unwrap_or_else(|| (*address).into())).collect()
}

fn listen(listeners: &[Listener]) -> Result<Vec<BoundListener>, StartError> {
    server::bind(listeners).map_err(StartError::Listen)
}
