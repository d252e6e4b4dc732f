//! What a manifest needs for a bad night: one guard for each way in which a sidecar could be worse than none.

use std::time::Duration;

use super::inspection::is_sidecar;
use super::kubelet::command::command;
use super::kubelet::probed::probe_target;
use super::kubelet::request::RequestSubject;
use super::kubelet::target::ListenedPorts;
use super::kubelet::target::ProbeTarget;
use super::kubelet::{ProbedContainer, StopTiming};
use super::pitfalls::{self, Advice, Pitfall};
use super::pod::{Container, Handler, Hook, Pod, PodProbe, Purpose};
use crate::base::quantity::show_duration;
use crate::config::Config;
use crate::model::verdict::Endpoint;

/// A sidecar that hangs should have ended after so long.
const SHORT_GRACE: Duration = Duration::from_secs(5);

/// The guards that `pod` lacks, of whose containers `containers` ask probelet.
pub fn missing(config: &Config, pod: &Pod, containers: &[ProbedContainer]) -> Vec<Advice> {
    let sidecar = pod.containers.iter().find(|container| is_sidecar(container, config));
    let mut found: Vec<Advice> = containers.iter().filter_map(grace_period).collect();
    let apps = containers.iter().filter(|app| sidecar.is_none_or(|sidecar| sidecar.name != app.name));
    found.extend(apps.filter_map(|app| startup_probe(app, pod)));
    let Some(sidecar) = sidecar else { return found };
    let guards = Guards { config, pod, sidecar };
    let more = [guards.liveness(), guards.state(), guards.config_error(), guards.drain(), guards.failing_open()];
    found.extend(more.into_iter().flatten());
    found
}

/// A hook leaves time for the container to end.
fn grace_period(container: &ProbedContainer) -> Option<Advice> {
    let StopTiming { hook, grace } = container.stop;
    if hook < grace || hook.is_zero() {
        return None;
    }
    let message = format!(
        "the preStop hook of {} takes {}, and the pod has {} to end: it is killed before it gets SIGTERM",
        container.name,
        show_duration(hook),
        show_duration(grace)
    );
    let help =
        "raise `terminationGracePeriodSeconds` of the pod, or shorten the hook (for `probelet drain`: `server.drain`)";
    Some(Advice { pitfall: &pitfalls::GRACE_TOO_SHORT, message, help: help.into() })
}

/// A new container is known by its startup probe alone.
fn startup_probe(app: &ProbedContainer, pod: &Pod) -> Option<Advice> {
    let has = |purpose| app.probes.iter().any(|asking| asking.purpose == purpose);
    let asks_startupz = app.probes.iter().any(|asking| {
        asking.purpose == Purpose::Startup && asking.request.subject == RequestSubject::Endpoint(Endpoint::Startupz)
    });
    let is_restarted = app.probes.iter().any(|asking| {
        asking.purpose == Purpose::Liveness
            && asking.request.subject != RequestSubject::Daemon
            && !asking.request.never_passes()
    });
    let is_native = pod.containers.iter().any(|container| container.native && container.name == app.name);
    // A startup probe that asks probelet for something else is judged by what it asks.
    if asks_startupz || !is_restarted || is_native || has(Purpose::Startup) {
        return None;
    }
    let message = format!(
        "{} has no startup probe that asks `/startupz`: when it restarts, probelet takes it for the container before, and \
         its liveness probe waits for no start",
        app.name
    );
    let help =
        "add `startupProbe: { httpGet: { path: /startupz, port: 10240 }, periodSeconds: 2, failureThreshold: 60 }`";
    Some(Advice { pitfall: &pitfalls::NO_STARTUP_PROBE, message, help: help.into() })
}

/// What becomes of what probelet knows when its container restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateStorage {
    /// It is on a volume.
    Kept,
    /// It is in this folder of the container.
    Lost(String),
    /// It is in memory.
    None,
}

/// Where `sidecar` keeps its state: by `--state`, `$PROBELET_STATE` or `history.path`.
pub fn state(sidecar: &Container, config: &Config) -> StateStorage {
    let variable = sidecar.env.iter().find(|(name, _)| name == "PROBELET_STATE");
    let history = || config.history.path.as_ref().map(|path| path.display().to_string());
    let folder = match (option(&sidecar.runs, "--state"), variable) {
        (Some(folder), _) => Some(folder.to_owned()),
        // What it comes from is not in the manifest.
        (None, Some((_, None))) => return StateStorage::Kept,
        (None, Some((_, folder))) => folder.clone(),
        (None, None) => history(),
    };
    let Some(folder) = folder else { return StateStorage::None };
    let is_within = |mount: &String| {
        let rest = folder.strip_prefix(mount.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if sidecar.writable.iter().any(is_within) { StateStorage::Kept } else { StateStorage::Lost(folder) }
}

/// Whether its preStop hook drains.
pub fn drains(sidecar: &Container) -> bool {
    matches!(&sidecar.pre_stop, Some(Hook::Exec(words)) if words.iter().any(|word| word.contains("drain")))
}

struct Guards<'a> {
    config: &'a Config,
    pod: &'a Pod,
    sidecar: &'a Container,
}

impl Guards<'_> {
    fn advise(&self, pitfall: &'static Pitfall, message: &str, help: &str) -> Option<Advice> {
        Some(Advice { pitfall, message: format!("{} {message}", self.sidecar.name), help: help.into() })
    }

    /// A sidecar that hangs is restarted, before the app is and without holding kubelet up.
    fn liveness(&self) -> Option<Advice> {
        let help = "write `periodSeconds: 3, failureThreshold: 2, terminationGracePeriodSeconds: 1` at its livenessProbe, \
                    which asks `/-/healthy`";
        let Some(probe) = self.sidecar.liveness.as_ref() else {
            let follows = match self.apps_liveness().next() {
                Some((name, _)) => format!("{name} is restarted instead"),
                None => "nothing mends it".to_owned(),
            };
            let message = format!("has no liveness probe of its own: when it hangs, {follows}");
            return self.advise(&pitfalls::SIDECAR_LIVENESS, &message, help);
        };
        let (takes, grace) = (longest(probe), probe.grace.unwrap_or(self.pod.grace));
        let app = self.apps_liveness().find(|(_, app)| takes >= soonest(app));
        if let Some((name, app)) = app {
            let message = format!(
                "is restarted {} after it hangs, and the liveness probe of {name} gives up after {}",
                show_duration(takes),
                show_duration(soonest(app))
            );
            return self.advise(&pitfalls::SIDECAR_LIVENESS, &message, help);
        }
        if grace <= SHORT_GRACE {
            return None;
        }
        let message = format!(
            "has {} to end when it hangs and its liveness probe gives up: kubelet does nothing else for the pod meanwhile, \
             and restarts the app next",
            show_duration(grace)
        );
        let help = "write `terminationGracePeriodSeconds: 1` at its livenessProbe: the end of the pod is not affected";
        self.advise(&pitfalls::SIDECAR_GRACE, &message, help)
    }

    /// The liveness probes by which probelet's silence restarts a container that is not its own.
    fn apps_liveness(&self) -> impl Iterator<Item = (&str, &PodProbe)> {
        let ports = ListenedPorts::of(self.config);
        let apps = self.pod.containers.iter().filter(|container| container.name != self.sidecar.name);
        apps.filter_map(move |container| {
            let probe = container.liveness.as_ref()?;
            let asks = !matches!(
                probe_target(self.pod, container, probe, &ports),
                ProbeTarget::Elsewhere | ProbeTarget::Misconfigured(_)
            );
            (asks && !fails_open(probe, &ports)).then_some((container.name.as_str(), probe))
        })
    }

    /// What it knows outlives its container.
    fn state(&self) -> Option<Advice> {
        let folder = match state(self.sidecar, self.config) {
            StateStorage::Kept => return None,
            StateStorage::Lost(folder) => Some(folder),
            StateStorage::None => None,
        };
        let help = "add `--state /var/lib/probelet` to its `args`, and mount an emptyDir there";
        let Some(folder) = folder else {
            let message = "keeps nothing: when its own container restarts while a shared dependency is away, a pod that was \
                           ready is taken out of its Services";
            return self.advise(&pitfalls::NO_STATE, message, help);
        };
        let message = format!("keeps its state in `{folder}`, where no volume is mounted: it ends with the container");
        self.advise(&pitfalls::NO_STATE, &message, "mount an emptyDir there")
    }

    /// A mistake in the configuration does not end it.
    fn config_error(&self) -> Option<Advice> {
        let is_demo = self.sidecar.runs.iter().any(|word| word == "demo");
        if is_demo || option(&self.sidecar.runs, "--config-error") == Some("serve") {
            return None;
        }
        let message = "ends when its configuration is not valid, and the app's liveness probe is refused then";
        self.advise(&pitfalls::CONFIG_ERROR_EXIT, message, "write `args: [run, --config-error, serve]`")
    }

    /// Traffic ends before the app does.
    fn drain(&self) -> Option<Advice> {
        if drains(self.sidecar) || !self.sidecar.native {
            return None;
        }
        let message = "has no preStop hook that drains: `/readyz` stays open while the pod ends, because SIGTERM reaches a \
                       native sidecar only after the app is gone";
        self.advise(
            &pitfalls::NO_DRAIN,
            message,
            "write `lifecycle: { preStop: { exec: { command: [/probelet, drain] } } }`",
        )
    }

    /// A sidecar that cannot start does not restart the app.
    fn failing_open(&self) -> Option<Advice> {
        let names: Vec<_> = self.apps_liveness().map(|(name, _)| name).collect();
        if names.is_empty() {
            return None;
        }
        let message = format!("restarts {} while it crash-loops: the liveness probe is refused", names.join(", "));
        let help = "let it run a command that fails only when probelet says so: `probelet install DIR` puts the binary where \
                    the app finds it, for `exec: { command: [DIR/probelet, ask, livez, --if-unreachable, ok] }`";
        self.advise(&pitfalls::FAILS_CLOSED, &message, help)
    }
}

/// Whether the probe passes while probelet cannot be reached.
fn fails_open(probe: &PodProbe, ports: &ListenedPorts) -> bool {
    matches!(&probe.asks, Handler::Exec(words) if command(words, ports).is_some_and(|command| command.fails_open))
}

/// How long it takes at most until the probe gives up on what hangs.
fn longest(probe: &PodProbe) -> Duration {
    probe.timing.patience().saturating_add(probe.timing.timeout)
}

/// How long it takes at least.
fn soonest(probe: &PodProbe) -> Duration {
    let between = probe.timing.period.saturating_mul(probe.timing.failures.saturating_sub(1));
    between.saturating_add(probe.timing.timeout)
}

/// The value of an option: `--state DIR` or `--state=DIR`.
fn option<'w>(words: &'w [String], name: &str) -> Option<&'w str> {
    let place = words
        .iter()
        .position(|word| word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))?;
    match words[place].split_once('=') {
        Some((_, value)) => Some(value),
        None => words.get(place + 1).map(String::as_str),
    }
}
