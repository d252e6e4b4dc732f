//! `probelet simulate`: an outage script, played in virtual time.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::explain::containers;
use super::{ConfigFile, Exit, answer, coloured, complain, pod_manifest};
use crate::config::source::{Environment, Input};
use crate::config::{self, Config};
use crate::model::pod::Pod;

mod chart;
mod json;
pub(super) mod scenario;
pub(super) mod story;
mod svg;
mod text;
mod words;

/// Play an outage: when endpoints close, and what kubelet does
#[derive(Debug, Args)]
#[command(after_help = "Example of a scenario:

  for: 5m
  faults:
    - { check: db_connection, from: 30s, to: 90s, outcome: fail }        # fail | slow | hang
    - { check: cache, from: 60s, to: 70s, outcome: slow, latency: 3s }
  pod:                                    # or --pod FILE
    liveness: { period: 10s, failure_threshold: 3 }
    readiness: { period: 10s, failure_threshold: 3 }

  probelet simulate --config config.yaml --scenario outage.yaml
  probelet simulate --config config.yaml --scenario outage.yaml --format svg > outage.svg

A run takes 10ms while all is well. The phases of the checks are those of one pod: in another pod
each check may be up to an interval earlier or later.")]
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
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
    Svg,
}

impl Simulate {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        match self.play(environment) {
            Ok(shown) => answer(&shown, Exit::Fine),
            Err(complaint) => {
                complain(&complaint);
                Exit::Usage
            }
        }
    }

    /// What happens, in the form that is wanted, or why it cannot be played.
    fn play(self, environment: &Environment) -> Result<String, String> {
        let colour = coloured(&std::io::stderr(), environment);
        let input = self.config.input(environment);
        let loaded = config::load_input(&input, environment);
        let config = loaded.config.ok_or_else(|| loaded.report.text(colour))?;
        let (scenario, report) = scenario::load(&self.scenario, environment, &config.plan, port(&config));
        let scenario = scenario.ok_or_else(|| report.text(colour))?;
        let pod = match (&self.pod, &scenario.pod) {
            (None, Some(pod)) => Some(pod.clone()),
            (named, _) => match pod_manifest(named.as_deref(), input) {
                Some(manifest) => pod_of(&manifest, &config, named.is_some(), colour)?,
                None => None,
            },
        };
        let containers = pod.map(|pod| containers(&pod, &config)).unwrap_or_default();
        let story = story::play(&config.plan, scenario.length, &scenario.faults, &containers);
        Ok(match self.format {
            Format::Text => text::text(&story, coloured(&std::io::stdout(), environment)),
            Format::Json => format!("{:#}\n", json::json(&story)),
            Format::Svg => svg::svg(&story),
        })
    }
}

/// The port that the scenario's own probes ask.
fn port(config: &Config) -> u16 {
    config.server.listen.first().map_or(10240, config::Listen::port)
}

/// The first pod of the manifests that asks probelet. Where there are pods, or one is `wanted`, it is an error that none
/// does.
fn pod_of(manifest: &Input, config: &Config, wanted: bool, colour: bool) -> Result<Option<Pod>, String> {
    let (pods, report) = config::pod::load(manifest);
    if report.errors() > 0 {
        return Err(report.text(colour));
    }
    let wanted = wanted || !pods.is_empty();
    match pods.into_iter().find(|pod| !containers(pod, config).is_empty()) {
        None if wanted => {
            let (file, port) = (manifest.name(), port(config));
            Err(format!("error: no pod in {file} has a probe that asks probelet: it listens on port {port}\n"))
        }
        pod => Ok(pod),
    }
}
