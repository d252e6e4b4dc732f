//! What cannot work, or hardly as it is meant, in the probes of a pod.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::effects::acts;
use super::matrix::{self, Matrix, Phase};
use crate::base::quantity::{parse_duration, show_duration};
use crate::cli::simulate::scenario::{Fault, FaultKind};
use crate::cli::simulate::story::{What, play, work};
use crate::config::{Config, Listen, document};
use crate::model::plan::{Critical, Definition, Gates, Plan};
use crate::model::pod::{Container, Handler, Pod, Probe, Purpose};
use crate::model::verdict::{Endpoint, Judged};
use crate::scheduler::kubelet::aim::{Aim, Amiss, aim};
use crate::scheduler::kubelet::question::{Question, Subject};
use crate::scheduler::kubelet::{Act, Deed, Probed};

/// Something to think about, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// An outage that takes longer to be acted upon is worth a word.
const LONG: Duration = Duration::from_secs(120);
/// How long a start is played.
const START: Duration = Duration::from_secs(900);
/// A start that takes more work than this is not played: about a second of it.
const MOST_WORK: u128 = 5_000_000;

/// Everything there is to say about the probes of `pod`, of which `containers` ask probelet.
pub fn advice(config: &Config, pod: &Pod, containers: &[Probed]) -> Vec<Advice> {
    let plan = &config.plan;
    let mut found = Vec::new();
    for container in &pod.containers {
        for (purpose, probe) in container.probes() {
            let inspection = Inspection { config, pod, container, purpose, probe, containers };
            found.extend(inspection.of_the_way());
            found.extend(inspection.of_the_question());
            found.extend(inspection.of_the_timing());
        }
    }
    found.extend(unasked(plan, containers));
    found.extend(long_outages(plan, containers));
    found.extend(starts(plan, containers));
    found
}

/// One probe, with what is around it.
struct Inspection<'a> {
    config: &'a Config,
    pod: &'a Pod,
    container: &'a Container,
    purpose: Purpose,
    probe: &'a Probe,
    /// Everything in the pod that asks probelet.
    containers: &'a [Probed],
}

impl Inspection<'_> {
    fn aim(&self) -> Aim {
        let ports: Vec<u16> = self.config.server.listen.iter().map(Listen::port).collect();
        aim(self.pod, self.container, self.probe, &ports)
    }

    /// `the liveness probe of app`
    fn name(&self) -> String {
        format!("the {} probe of {}", self.purpose.label(), self.container.name)
    }

    fn advise(&self, message: &str, help: impl Into<String>) -> Option<Advice> {
        Some(Advice { message: format!("{} {message}", self.name()), help: help.into() })
    }

    /// Whether kubelet gets through to probelet.
    fn of_the_way(&self) -> Option<Advice> {
        match self.aim() {
            Aim::Elsewhere => return None,
            Aim::Amiss(Amiss::Tls) => {
                return self
                    .advise("asks by HTTPS, and probelet answers plain HTTP: it never passes", "remove `scheme`");
            }
            Aim::Amiss(Amiss::Grpc) => {
                let help = format!("write `httpGet` with `path: {}`", self.purpose.path());
                return self.advise("asks by gRPC, and probelet answers HTTP: it never passes", help);
            }
            Aim::Amiss(Amiss::PortOfAnother { name, number }) => {
                let message = format!("names the port `{name}`, which another container declares: it never passes");
                return self.advise(&message, format!("write the number, `port: {number}`"));
            }
            Aim::BarePort => {
                let help = format!("write `httpGet` with `path: {}`", self.purpose.path());
                return self.advise("only opens a connection: it passes whatever the checks say", help);
            }
            Aim::Probelet(_) => {}
        }
        let Handler::Http { host, .. } = &self.probe.asks else { return None };
        let is_loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if host.as_deref().is_some_and(is_loopback) {
            return self.advise("asks the loopback address of the node, not of the pod", "remove `host`");
        }
        let only_inside = |listen: &Listen| matches!(listen, Listen::One(address) if address.ip().is_loopback());
        if self.config.server.listen.iter().all(only_inside) {
            let help = "write `listen: \":10240\"` in the section `server`";
            return self.advise("comes to the pod's address, and probelet listens on loopback alone", help);
        }
        None
    }

    /// Whether it asks what it should.
    fn of_the_question(&self) -> Option<Advice> {
        let Aim::Probelet(path) = self.aim() else { return None };
        let plan = &self.config.plan;
        let snapshot = matrix::all_well(plan);
        let question = Question::of(&path, &Judged::new(&snapshot, snapshot.at));
        let meant = self.purpose.path();
        match question.subject {
            Subject::Nothing => {
                let known = ["/livez", "/readyz", "/startupz", "/healthz"];
                let near = document::nearest(&path, known).unwrap_or(meant);
                self.advise(&format!("asks `{path}`, a path that probelet does not have"), format!("ask `{near}`"))
            }
            Subject::TurnedOff => {
                let message = format!("asks `{path}`, which `server.details: none` turns off: it never passes");
                self.advise(&message, format!("ask `{meant}`"))
            }
            Subject::Stream => {
                let timeout = show_duration(self.probe.timing.timeout);
                let message = format!("asks `{path}`, which never ends: kubelet gives up after {timeout}");
                self.advise(&message, format!("ask `{meant}`"))
            }
            Subject::Daemon if self.is_sidecar() => None,
            Subject::Daemon => {
                let message = format!("asks `{path}`, which is about probelet: it passes whatever the checks say");
                self.advise(&message, format!("ask `{meant}`"))
            }
            _ if self.purpose == Purpose::Liveness && self.is_sidecar() => {
                let help = "put it on the container of the app; for the sidecar's own ask `/-/healthy`";
                self.advise(&format!("asks `{path}`, and would restart probelet instead of the app"), help)
            }
            _ => self.of_its_closures(&path, &question),
        }
    }

    /// Whether a failure that it should not mind makes it fail, or the other way round.
    fn of_its_closures(&self, path: &str, question: &Question) -> Option<Advice> {
        let plan = &self.config.plan;
        let (meant, phase) = match self.purpose {
            Purpose::Liveness => (Endpoint::Livez, Phase::Service),
            Purpose::Readiness => (Endpoint::Readyz, Phase::Service),
            Purpose::Startup => (Endpoint::Startupz, Phase::StartUp),
        };
        let matrix = Matrix::new(plan, phase);
        let other = (0..plan.checks.len()).find(|check| {
            let snapshot = matrix.failing(*check);
            let judged = Judged::new(&snapshot, snapshot.at);
            let open = judged.endpoint(meant).open;
            match self.purpose {
                Purpose::Readiness => !open && !self.cuts_off(&judged),
                Purpose::Startup | Purpose::Liveness => open && !question.passes(&judged),
            }
        })?;
        let check = &plan.checks[other].name;
        let follows = match self.purpose {
            Purpose::Readiness => format!("the app gets traffic although {check} fails"),
            Purpose::Startup => format!("the app is restarted while {check} fails, before it can start"),
            Purpose::Liveness => format!("the app is restarted when {check} fails"),
        };
        self.advise(&format!("asks `{path}`: {follows}"), format!("ask `{}`", self.purpose.path()))
    }

    /// Whether any readiness probe of the pod fails: the pod gets no traffic then.
    fn cuts_off(&self, judged: &Judged<'_>) -> bool {
        let mut probes = self.containers.iter().flat_map(|container| &container.probes);
        probes.any(|asking| asking.purpose == Purpose::Readiness && !asking.question.passes(judged))
    }

    /// Whether its figures make sense.
    fn of_the_timing(&self) -> Option<Advice> {
        if self.aim() == Aim::Elsewhere {
            return None;
        }
        let timing = self.probe.timing;
        if timing.successes > 1 && self.purpose != Purpose::Readiness {
            return self.advise("has a `successThreshold` above 1, which Kubernetes refuses", "remove it");
        }
        let Handler::Exec(command) = &self.probe.asks else { return None };
        let asks_for = asked_timeout(command)?;
        if asks_for < timing.timeout {
            return None;
        }
        let (asks_for, gives) = (show_duration(asks_for), show_duration(timing.timeout));
        let message = format!("lets `probelet ask` wait for {asks_for}, and kubelet gives up after {gives}");
        self.advise(&message, "raise `timeoutSeconds`, or lower `--timeout`")
    }

    /// Whether the container is probelet's own.
    fn is_sidecar(&self) -> bool {
        let ports: Vec<u16> = self.config.server.listen.iter().map(Listen::port).collect();
        let declares = self.container.ports.iter().any(|(_, port)| ports.contains(port));
        declares || self.container.image.contains("probelet")
    }
}

/// The `--timeout` of `probelet ask`.
fn asked_timeout(command: &[String]) -> Option<Duration> {
    let mut words = command.iter();
    let given = words.find_map(|word| match word.strip_prefix("--timeout") {
        Some("") => Some(None),
        Some(value) => value.strip_prefix('=').map(Some),
        None => None,
    })?;
    let value = match given {
        Some(value) => value,
        None => words.next()?,
    };
    parse_duration(value).ok()
}

/// Gates that checks close and that no probe asks.
fn unasked(plan: &Arc<Plan>, containers: &[Probed]) -> Vec<Advice> {
    let mut found = Vec::new();
    if containers.is_empty() {
        return found;
    }
    let has =
        |purpose| containers.iter().flat_map(|container| &container.probes).any(|asking| asking.purpose == purpose);
    let closes = |gates: fn(&Gates) -> bool| {
        plan.checks.iter().find(|check| gates(&check.gates) && check.critical != Critical::No)
    };
    let mut note = |check: &Definition, purpose: Purpose, effect: &str| {
        let message =
            format!("{} closes {}, and no {} probe asks it: {effect}", check.name, purpose.path(), purpose.label());
        let help =
            format!("add a {}Probe with `path: {}` to the container of the app", purpose.label(), purpose.path());
        found.push(Advice { message, help });
    };
    if let Some(check) = closes(|gates| gates.ready).filter(|_| !has(Purpose::Readiness)) {
        note(check, Purpose::Readiness, "the pod gets traffic all the same");
    }
    if let Some(check) = closes(|gates| gates.live).filter(|_| !has(Purpose::Liveness)) {
        note(check, Purpose::Liveness, "nothing restarts the app");
    }
    found
}

/// Thresholds on both sides that make an outage last for minutes before anything happens.
fn long_outages(plan: &Arc<Plan>, containers: &[Probed]) -> Vec<Advice> {
    let mut found = Vec::new();
    let matrix = Matrix::new(plan, Phase::Service);
    for (check, definition) in plan.checks.iter().enumerate() {
        for (container, asking, after) in acts(&matrix, plan, check, containers) {
            let (ours, theirs) = (definition.thresholds.failure.get(), asking.timing.failures);
            if asking.purpose != Purpose::Readiness || ours == 1 || theirs == 1 || after < LONG {
                continue;
            }
            let message = format!(
                "an outage of {} cuts {} off only after {}: probelet waits for {ours} failures, and then kubelet for {theirs} more",
                definition.name,
                container.name,
                show_duration(after)
            );
            let help = format!(
                "write `failure_threshold: 1` for {}: kubelet's own threshold keeps blips out",
                definition.name
            );
            found.push(Advice { message, help });
        }
    }
    found
}

/// Starts that kubelet does not wait for, found by playing one.
fn starts(plan: &Arc<Plan>, containers: &[Probed]) -> Option<Advice> {
    if work(plan, START) > MOST_WORK {
        return None;
    }
    // Why a probe can never pass is said elsewhere; here it is taken to pass.
    let mut containers = containers.to_vec();
    for container in &mut containers {
        container.probes.retain(|asking| !asking.question.never_passes());
    }
    if let Some((at, container, purpose)) = first_restart(plan, &[], &containers) {
        let (name, at, purpose) = (&containers[container].name, show_duration(at), purpose.label());
        let message = format!(
            "the {purpose} probe of {name} restarts it {at} after its start although all is well: what it waits for has \
             not passed by then"
        );
        let help = "raise its `failureThreshold`, or lower `initial_delay` and `success_threshold` of the checks";
        return Some(Advice { message, help: help.into() });
    }
    let live = plan.checks.iter().enumerate().filter(|(_, check)| check.gates.live && check.critical != Critical::No);
    let down = |(check, _)| Fault { check, from: Duration::ZERO, to: START, outcome: FaultKind::Fail };
    match first_restart(plan, &live.map(down).collect::<Vec<_>>(), &containers)? {
        (at, container, Purpose::Liveness) => {
            let (name, at) = (&containers[container].name, show_duration(at));
            let message = format!("{name} is restarted over and over when it takes longer than {at} to start");
            let help = "add a startupProbe with `path: /startupz`: until it has passed, the liveness probe waits";
            Some(Advice { message, help: help.into() })
        }
        _ => None,
    }
}

/// The first restart in the story of a start: when, of which container, and by which probe.
fn first_restart(plan: &Arc<Plan>, faults: &[Fault], containers: &[Probed]) -> Option<(Duration, usize, Purpose)> {
    let story = play(plan, START, faults, containers);
    story.events.iter().find_map(|event| match event.what {
        What::Kubelet(Act { container, deed: Deed::Restart { purpose, .. }, .. }) => {
            Some((event.at, container, purpose))
        }
        _ => None,
    })
}
