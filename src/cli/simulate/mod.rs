//! `probelet simulate`: an outage script, played in virtual time.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{ConfigFile, Exit, answer, coloured, pod_manifest, wrong_usage};
use crate::config::source::{Environment, Input, is_stream};
use crate::config::{self, Config};
use crate::simulation::kubelet::{ContainerRole, ProbedContainer};
use crate::simulation::pod::Pod;
use crate::simulation::roles::{any_asks, containers};
use crate::simulation::scenario::ProcessEvents;

mod chart;
mod describe;
mod json;
mod svg;
mod text;

/// Play an outage: when endpoints close, and what kubelet does
#[derive(Debug, Args)]
#[command(after_help = "Example of a scenario:

  for: 5m
  faults:
    - { check: db_connection, from: 30s, to: 90s, outcome: fail }
    - { check: cache, from: 60s, to: 70s, outcome: slow, latency: 3s }
    - { check: queue, from: 2m, to: 3m, outcome: hang }
  # The app exits by itself, and serves 40s after its next start.
  app: { exits: 100s, starts_in: 40s }
  sidecar: { frozen: 150s..180s, killed: 200s }
  pod: # or --pod FILE
    liveness: { period: 10s, failure_threshold: 3 }
    readiness: { period: 10s, failure_threshold: 3 }

Examples:
  probelet simulate --config config.yaml --scenario outage.yaml
  probelet simulate -c config.yaml -s outage.yaml --format svg > outage.svg

A run takes 10ms while all is well. The phases of the checks are those of one
pod: in another pod each check may be up to an interval earlier or later.")]
pub struct Simulate {
    #[command(flatten)]
    config: ConfigFile,
    /// What fails when
    #[arg(long, short, value_name = "FILE")]
    scenario: PathBuf,
    /// A manifest with the pod's probes: a Pod, Deployment, StatefulSet, DaemonSet, …; instead of the scenario's `pod`.
    /// Without either they are looked for in the manifest that holds the configuration
    #[arg(long, value_name = "FILE")]
    pod: Option<PathBuf>,
    /// How to show what happens
    #[arg(long, value_enum, default_value_t = SimulationFormat::Text)]
    format: SimulationFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SimulationFormat {
    Text,
    Json,
    Svg,
}

impl Simulate {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        match self.play(environment) {
            Ok(shown) => answer(&shown, Exit::Fine),
            Err(complaint) => wrong_usage(&complaint),
        }
    }

    /// What happens, in the form that is wanted, or why it cannot be played.
    fn play(self, environment: &Environment) -> Result<String, String> {
        let colour = coloured(&std::io::stderr(), environment);
        let configuration = self.config.path(environment)?;
        let others = [("--config", Some(&configuration)), ("--pod", self.pod.as_ref())];
        if let Some((option, _)) = others.into_iter().find(|(_, other)| *other == Some(&self.scenario))
            && is_stream(&self.scenario)
        {
            return Err(read_once(option, &self.scenario));
        }
        let input = Input::read_manifests(&configuration);
        // Nothing is dialled: what only the pod has may be missing.
        let loaded = config::load_input(&input, &environment.offline());
        let config = loaded.config.ok_or_else(|| loaded.report.text(colour))?;
        let (scenario, report) =
            crate::simulation::scenario::load(&self.scenario, environment, &config.plan, port(&config));
        let scenario = scenario.ok_or_else(|| report.text(colour))?;
        let pod = match (&self.pod, &scenario.pod) {
            (None, Some(pod)) => Some(pod.clone()),
            (named, _) => match pod_manifest(named.as_deref(), input) {
                Some(manifest) => pod_of(&manifest, &config, named.is_some(), colour)?,
                None => None,
            },
        };
        let containers = pod.map(|pod| containers(&pod, &config)).unwrap_or_default();
        let containers = with_those_of(&scenario.process_events, containers);
        let timeline = crate::simulation::timeline::play_with(
            &config.plan,
            scenario.length,
            &scenario.faults,
            &containers,
            &scenario.process_events,
        );
        Ok(match self.format {
            SimulationFormat::Text => text::text(&timeline, coloured(&std::io::stdout(), environment)),
            SimulationFormat::Json => format!("{:#}\n", json::json(&timeline)),
            SimulationFormat::Svg => svg::svg(&timeline),
        })
    }
}

/// That the scenario is to come from the stream that `option` names too.
fn read_once(option: &str, scenario: &Path) -> String {
    let stream =
        if scenario.as_os_str() == Input::STDIN { "standard input".into() } else { scenario.display().to_string() };
    format!(
        "error: {stream} is named by --scenario and by {option}, and can be read once\n  help: give the scenario as a file of its own\n"
    )
}

/// The containers, with those that something happens to where the manifest has none.
fn with_those_of(process_events: &ProcessEvents, mut containers: Vec<ProbedContainer>) -> Vec<ProbedContainer> {
    let is_probelet = |container: &ProbedContainer| matches!(container.role, ContainerRole::Sidecar { .. });
    if process_events.strikes_sidecar() && !containers.iter().any(is_probelet) {
        let role = ContainerRole::Sidecar { keeps_state: false, drains: false };
        containers
            .insert(0, ProbedContainer { name: "probelet".into(), role, native: true, ..ProbedContainer::default() });
    }
    if !process_events.is_quiet() && !containers.iter().any(|container| container.role == ContainerRole::App) {
        containers.push(ProbedContainer { name: "app".into(), role: ContainerRole::App, ..ProbedContainer::default() });
    }
    containers
}

/// The port that the scenario's own probes ask.
fn port(config: &Config) -> u16 {
    config.server.kubelet_port()
}

/// The first pod of the manifests that asks probelet. Where there are pods, or one is `wanted`, it is an error that
/// none does.
fn pod_of(manifest: &Input, config: &Config, wanted: bool, colour: bool) -> Result<Option<Pod>, String> {
    let (pods, report) = crate::simulation::pod_manifest::load(manifest);
    if report.errors() > 0 {
        return Err(report.text(colour));
    }
    let wanted = wanted || !pods.is_empty();
    match pods.into_iter().find(|pod| any_asks(&containers(pod, config))) {
        None if wanted => {
            let (file, port) = (manifest.name(), port(config));
            Err(format!("error: no pod in {file} has a probe that asks probelet: it listens on port {port}\n"))
        }
        pod => Ok(pod),
    }
}
