//! `probelet explain`: what a code means; what a configuration does, and how soon.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{ConfigFile, Exit, answer, coloured, pod_manifest, variable, wrong_usage};
use crate::config::source::{Environment, Input};
use crate::config::{self, Config};
use crate::simulation::kubelet::ProbedContainer;
use crate::simulation::pod::Pod;
use crate::simulation::roles::{any_asks, containers};
use wrap::wrapped;

mod code;
mod effects;
mod overview;
mod wrap;

/// Explain a code, or which failure closes what, and how soon
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet explain unknown-key
  probelet explain --config config.yaml
  probelet explain --config config.yaml --pod deployment.yaml
  helm template … | probelet explain --config -")]
pub struct Explain {
    /// A diagnostic code, such as `unknown-key`
    #[arg(value_name = "CODE", conflicts_with_all = ["config", "pod"])]
    code: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// A manifest with the pod's probes: a Pod, Deployment, StatefulSet, DaemonSet, …; without it they are looked for
    /// in the manifest that holds the configuration
    #[arg(long, value_name = "FILE")]
    pod: Option<PathBuf>,
}

impl Explain {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let explained = match &self.code {
            Some(name) => code::explained(name),
            None if self.is_alone(environment) => Ok(overview::overview()),
            None => self.configuration(environment),
        };
        match explained {
            Ok(text) => answer(&text, Exit::Fine),
            Err(complaint) => wrong_usage(&complaint),
        }
    }

    /// Nothing is named, and there is no configuration where one is looked for.
    fn is_alone(&self, environment: &Environment) -> bool {
        let is_named = self.config.config.is_some() || variable(environment, "PROBELET_CONFIG") != Ok(None);
        !is_named && self.pod.is_none() && !Path::new(ConfigFile::DEFAULT).exists()
    }

    fn configuration(&self, environment: &Environment) -> Result<String, String> {
        let colour = coloured(&std::io::stderr(), environment);
        let input = self.config.input(environment)?;
        // Nothing is dialled: what only the pod has may be missing.
        let loaded = config::load_input(&input, &environment.offline());
        let config = loaded.config.ok_or_else(|| loaded.report.text(colour))?;
        let off = effects::switched_off(&config.plan);
        if config.plan.checks.is_empty() {
            return Ok("There are no checks: every endpoint is always open.\n".to_owned() + &off);
        }
        let manifest = pod_manifest(self.pod.as_deref(), input);
        let pods = manifest.as_ref().map(|manifest| pods(manifest, colour)).transpose()?.unwrap_or_default();
        if let (Some(named), [], true) = (&manifest, pods.as_slice(), self.pod.is_some()) {
            return Err(no_pod(named));
        }
        let mut text = effects::matrix(&config.plan) + &off;
        let asking: Vec<_> = pods.iter().map(|pod| (pod, containers(pod, &config))).collect();
        let mut asking: Vec<_> = asking.into_iter().filter(|(_, containers)| any_asks(containers)).collect();
        if let (Some(manifest), false, true) = (&manifest, pods.is_empty(), asking.is_empty()) {
            text = text + "\n" + &nobody_asks(&manifest.name(), &config);
        }
        if asking.len() < 2 {
            let containers = asking.pop().map(|(pod, containers)| (Some(pod), containers)).unwrap_or_default();
            return Ok(text + "\n" + &section(&config, containers.0, &containers.1));
        }
        for (pod, containers) in asking {
            text += &format!("\n{}\n\n{}", pod.name, section(&config, Some(pod), &containers));
        }
        Ok(text)
    }
}

/// The budgets, and what is to be said about the pod.
fn section(config: &Config, pod: Option<&Pod>, containers: &[ProbedContainer]) -> String {
    let mut text = effects::budgets(&config.plan, containers);
    for advice in pod.map(|pod| crate::simulation::advice::advice(config, pod, containers)).unwrap_or_default() {
        let head = format!("{}[{}]: ", advice.pitfall.level.label(), advice.pitfall.name);
        text += &format!("\n{}{}", wrapped(&head, &advice.message, 2), wrapped("  help: ", &advice.help, 4));
    }
    text
}

fn pods(manifest: &Input, colour: bool) -> Result<Vec<Pod>, String> {
    let (pods, report) = crate::simulation::pod_manifest::load(manifest);
    if report.errors() == 0 { Ok(pods) } else { Err(report.text(colour)) }
}

fn no_pod(manifest: &Input) -> String {
    format!(
        "error: {} holds no pod\n  help: give a manifest of a Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob\n",
        manifest.name()
    )
}

fn nobody_asks(file: &str, config: &Config) -> String {
    let port = config.server.kubelet_port();
    let message = format!("no probe in {file} asks probelet");
    let help =
        format!("write `httpGet: {{ path: /readyz, port: {port} }}` in the readinessProbe of the app's container");
    let head = format!("warning[{}]: ", crate::simulation::pitfalls::GATE_NOT_ASKED.name);
    wrapped(&head, &message, 2) + &wrapped("  help: ", &help, 4)
}
