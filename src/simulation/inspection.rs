//! One probe of a pod: whether kubelet gets through to probelet, and whether it asks what it should.

use std::net::IpAddr;

use super::kubelet::ProbedContainer;
use super::kubelet::command::{command, service_of_path};
use super::kubelet::probed::{probe_target, request_of};
use super::kubelet::request::{ProbeRequest, RequestSubject};
use super::kubelet::target::{ListenedPorts, Misconfiguration, ProbeTarget};
use super::matrix::{self, Matrix, MatrixPhase};
use super::pitfalls::{self, Advice, Pitfall};
use super::pod::{Container, Handler, Pod, PodProbe, Port, Purpose};
use crate::base::quantity::show_duration;
use crate::config::{Config, Listener};
use crate::model::verdict::{Endpoint, Judged};

/// One probe, with what is around it.
pub struct Inspection<'a> {
    pub config: &'a Config,
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub purpose: Purpose,
    pub probe: &'a PodProbe,
    /// Everything in the pod that asks probelet.
    pub containers: &'a [ProbedContainer],
}

impl Inspection<'_> {
    /// Everything there is to say about it.
    pub fn advice(&self) -> Vec<Advice> {
        if self.target() == ProbeTarget::Elsewhere {
            return Vec::new();
        }
        let found = [self.of_the_way(), self.of_the_question(), self.of_the_timing(), self.of_the_port()];
        found.into_iter().flatten().collect()
    }

    fn target(&self) -> ProbeTarget {
        probe_target(self.pod, self.container, self.probe, &ListenedPorts::of(self.config))
    }

    fn advise(&self, pitfall: &'static Pitfall, message: &str, help: impl Into<String>) -> Option<Advice> {
        let message = format!("the {} probe of {} {message}", self.purpose.label(), self.container.name);
        Some(Advice { pitfall, message, help: help.into() })
    }

    /// The path that it should ask. What a sidecar waits for or restarts itself for is never the app.
    fn meant(&self) -> &'static str {
        let its_own = is_sidecar(self.container, self.config) || self.container.native;
        match self.purpose {
            Purpose::Startup | Purpose::Liveness if its_own => "/-/healthy",
            purpose => purpose.path(),
        }
    }

    /// How it asks for `path`, in the words of its kind: behind `asks`.
    fn asked(&self, path: &str) -> String {
        match &self.probe.asks {
            Handler::Grpc { service, .. } if service.is_empty() => "for the gRPC server as a whole".to_owned(),
            Handler::Grpc { service, .. } => format!("for the gRPC service `{service}`"),
            _ => format!("`{path}`"),
        }
    }

    /// What to write so that it asks what it should.
    fn ask_instead(&self) -> String {
        let meant = self.meant();
        match &self.probe.asks {
            Handler::Grpc { .. } => match service_of_path(meant) {
                Some(service) => format!("write `service: {service}`"),
                None => format!("write `httpGet` with `path: {meant}`: no gRPC service is about probelet itself"),
            },
            _ => format!("ask `{meant}`"),
        }
    }

    /// Whether kubelet gets through to probelet.
    fn of_the_way(&self) -> Option<Advice> {
        let never = &pitfalls::PROBE_NEVER_PASSES;
        let ignores = &pitfalls::PROBE_IGNORES_CHECKS;
        let write = format!("write `httpGet` with `path: {}`", self.meant());
        match self.target() {
            ProbeTarget::Elsewhere => return None,
            ProbeTarget::Misconfigured(Misconfiguration::Tls) => {
                let help = match self.probe.asks {
                    Handler::Exec(_) => "write `http://`",
                    _ => "remove `scheme`",
                };
                return self.advise(never, "asks by HTTPS, and probelet answers plain HTTP: it never passes", help);
            }
            ProbeTarget::Misconfigured(Misconfiguration::NotAnswered { path, port, routes }) => {
                let asked = self.asked(&path);
                let message = format!("asks {asked} at port {port}, which has `routes: {routes}`: it never passes");
                return self.advise(never, &message, self.ask_instead());
            }
            ProbeTarget::Misconfigured(Misconfiguration::PortOfAnother { name, number }) => {
                let message = format!("names the port `{name}`, which another container declares: it never passes");
                return self.advise(never, &message, format!("write the number, `port: {number}`"));
            }
            ProbeTarget::BarePort if is_sidecar(self.container, self.config) => {
                return self.advise(ignores, "only opens a connection: it passes while probelet hangs", write);
            }
            ProbeTarget::BarePort => {
                return self.advise(ignores, "only opens a connection: it passes whatever the checks say", write);
            }
            ProbeTarget::AnswerIgnored(path) => {
                let message = format!("runs a command that asks `{path}` and passes whatever the answer says");
                return self.advise(ignores, &message, format!("{write}, or let curl fail: `curl -f`"));
            }
            ProbeTarget::Probelet(_) => {}
        }
        let host = match &self.probe.asks {
            Handler::Http { host, .. } => host.as_deref(),
            Handler::Grpc { .. } => None,
            Handler::Tcp(_) | Handler::Exec(_) | Handler::Unknown => return None,
        };
        if self.pod.host_network {
            return None;
        }
        let is_loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if host.is_some_and(is_loopback) {
            let message = "asks the loopback address of the node, not of the pod";
            return self.advise(&pitfalls::PROBE_HOST, message, "remove `host`");
        }
        let aimed_at = self.port_number();
        let is_asked = |listener: &&Listener| aimed_at.is_none_or(|port| listener.address.port() == port);
        if self.config.server.listen.iter().filter(is_asked).all(|listener| listener.address.is_loopback()) {
            let message = "comes to the pod's address, and probelet listens on loopback alone";
            let help = "write `listen: \":10240\"` in the section `server`";
            return self.advise(&pitfalls::LOOPBACK_ONLY, message, help);
        }
        None
    }

    /// Whether it asks what it should.
    fn of_the_question(&self) -> Option<Advice> {
        let ProbeTarget::Probelet(path) = self.target() else { return None };
        let plan = &self.config.plan;
        let snapshot = matrix::all_well(plan);
        let request = request_of(self.probe, &path, &Judged::new(&snapshot, snapshot.at));
        let never = &pitfalls::PROBE_NEVER_PASSES;
        let (asked, ask) = (self.asked(&path), self.ask_instead());
        match request.subject {
            RequestSubject::Nothing => {
                self.advise(never, &format!("asks {asked}, which probelet does not have: it never passes"), ask)
            }
            RequestSubject::TurnedOff => {
                let message = format!("asks {asked}, which `server.details: none` turns off: it never passes");
                self.advise(never, &message, ask)
            }
            RequestSubject::Guarded => {
                let message = format!("asks {asked}, which wants `server.token`: it never passes");
                self.advise(never, &message, ask)
            }
            RequestSubject::Stream => {
                let timeout = show_duration(self.probe.timing.timeout);
                let message = format!("asks {asked}, which never ends: kubelet gives up after {timeout}");
                self.advise(never, &message, ask)
            }
            RequestSubject::Daemon if is_sidecar(self.container, self.config) || self.container.native => None,
            RequestSubject::Daemon => {
                let message = format!("asks {asked}, which is about probelet: it passes whatever the checks say");
                self.advise(&pitfalls::PROBE_IGNORES_CHECKS, &message, ask)
            }
            _ => self.of_the_start(&path, &request).or_else(|| match self.purpose {
                Purpose::Startup | Purpose::Liveness if is_sidecar(self.container, self.config) => {
                    let message = format!("asks {asked}, and would restart probelet instead of the app");
                    let help = "put it on the container of the app; for the sidecar's own ask `/-/healthy`";
                    self.advise(&pitfalls::PROBE_RESTARTS_SIDECAR, &message, help)
                }
                _ => self.of_its_closures(&path, &request),
            }),
        }
    }

    /// Whether the app is started only after this probe has passed, and it passes only when the app runs.
    fn of_the_start(&self, path: &str, request: &ProbeRequest) -> Option<Advice> {
        // What has not been seen yet does not close /livez: it is open when it is asked for the first time.
        let opens_first = matches!(
            request.subject,
            RequestSubject::Endpoint(Endpoint::Livez) | RequestSubject::Part(Endpoint::Livez, _)
        );
        if self.purpose != Purpose::Startup || !self.container.native || opens_first {
            return None;
        }
        let matrix = Matrix::new(&self.config.plan, MatrixPhase::StartUp);
        let check = self
            .config
            .plan
            .indices()
            .filter(|check| self.config.plan.checks[*check].of_pod)
            .find(|check| !matrix.passes(request, *check))?;
        let message = format!(
            "asks {}, which {} keeps closed until the app runs, and kubelet starts the app only once this probe has \
             passed: the pod never starts",
            self.asked(path),
            self.config.plan.checks[check].name
        );
        let help = "ask `/-/healthy`: `/startupz` is for the startupProbe of the app's own container";
        self.advise(&pitfalls::STARTUP_DEADLOCK, &message, help)
    }

    /// Whether a failure that it should not mind makes it fail, or the other way round.
    fn of_its_closures(&self, path: &str, request: &ProbeRequest) -> Option<Advice> {
        let (asked, ask) = (self.asked(path), self.ask_instead());
        let in_phase = |phase| self.witness(request, phase);
        let service = || in_phase(MatrixPhase::Service);
        match self.purpose {
            Purpose::Startup => {
                let check = in_phase(MatrixPhase::StartUp)?;
                let message = format!("asks {asked}: the app is restarted while {check} fails, before it can start");
                self.advise(&pitfalls::STARTUP_TOO_WIDE, &message, ask)
            }
            Purpose::Liveness => {
                let when = service().map(|check| format!("when {check} fails"));
                let until =
                    || Some(format!("when {} fails and /readyz has never been open", in_phase(MatrixPhase::StartUp)?));
                let draining = || (!self.passes_in_a_drain(request)).then(|| "while a drain goes on".to_owned());
                let message = format!("asks {asked}: the app is restarted {}", when.or_else(until).or_else(draining)?);
                self.advise(&pitfalls::LIVENESS_TOO_WIDE, &message, ask)
            }
            Purpose::Readiness => {
                let although = service().map(|check| format!("although {check} fails"));
                let snapshot = self.draining();
                let judged = Judged::new(&snapshot, snapshot.at);
                let draining =
                    || (!self.cuts_off(|request| request.passes(&judged))).then(|| "while a drain goes on".to_owned());
                let message = format!("asks {asked}: the app gets traffic {}", although.or_else(draining)?);
                self.advise(&pitfalls::READINESS_TOO_NARROW, &message, ask)
            }
        }
    }

    /// A check whose failure it minds and should not, or should mind and does not.
    fn witness(&self, request: &ProbeRequest, phase: MatrixPhase) -> Option<&str> {
        let plan = &self.config.plan;
        let meant = match self.purpose {
            Purpose::Liveness => Endpoint::Livez,
            Purpose::Readiness => Endpoint::Readyz,
            Purpose::Startup => Endpoint::Startupz,
        };
        let matrix = Matrix::new(plan, phase);
        let check = plan.indices().find(|check| {
            let passes = |request: &ProbeRequest| matrix.passes(request, *check);
            let closes = matrix.rows()[*check].closes(meant);
            match self.purpose {
                Purpose::Readiness => closes && !self.cuts_off(passes),
                Purpose::Startup | Purpose::Liveness => !closes && !passes(request),
            }
        })?;
        Some(plan.checks[check].name.as_str())
    }

    fn passes_in_a_drain(&self, request: &ProbeRequest) -> bool {
        let snapshot = self.draining();
        request.passes(&Judged::new(&snapshot, snapshot.at))
    }

    fn draining(&self) -> crate::model::snapshot::Snapshot {
        crate::model::snapshot::Snapshot { draining: true, ..matrix::all_well(&self.config.plan) }
    }

    /// Whether any readiness probe of the pod fails where requests pass like that: the pod gets no traffic then.
    fn cuts_off(&self, passes: impl Fn(&ProbeRequest) -> bool) -> bool {
        let mut probes = self.containers.iter().flat_map(|container| &container.probes);
        probes.any(|asking| asking.purpose == Purpose::Readiness && !passes(&asking.request))
    }

    /// Whether its figures make sense.
    fn of_the_timing(&self) -> Option<Advice> {
        let timing = self.probe.timing;
        if timing.successes > 1 && self.purpose != Purpose::Readiness {
            let message = "has a `successThreshold` above 1, which Kubernetes refuses";
            return self.advise(&pitfalls::SUCCESS_THRESHOLD, message, "remove it");
        }
        let Handler::Exec(words) = &self.probe.asks else { return None };
        let asks_for =
            command(words, &ListenedPorts::of(self.config))?.timeout.filter(|asks_for| *asks_for >= timing.timeout)?;
        let (asks_for, gives) = (show_duration(asks_for), show_duration(timing.timeout));
        let message = format!("lets `probelet ask` wait for {asks_for}, and kubelet gives up after {gives}");
        self.advise(&pitfalls::ASK_TIMEOUT, &message, "raise `timeoutSeconds`, or lower `--timeout`")
    }

    /// The number of the port that it asks.
    fn port_number(&self) -> Option<u16> {
        match &self.probe.asks {
            Handler::Http { port: Port::Number(number), .. } | Handler::Grpc { port: number, .. } => Some(*number),
            Handler::Http { port: Port::Name(name), .. } => self.container.port_named(name),
            _ => None,
        }
    }

    /// Whether its port is a number.
    fn of_the_port(&self) -> Option<Advice> {
        let (Handler::Http { port: Port::Name(name), .. } | Handler::Tcp(Port::Name(name))) = &self.probe.asks else {
            return None;
        };
        let number = self.container.port_named(name)?;
        let message = format!("names its port, `{name}`: where Istio rewrites probes, a name is read as 0");
        self.advise(&pitfalls::NAMED_PORT, &message, format!("write the number, `port: {number}`"))
    }
}

/// Whether the container is probelet's own.
pub fn is_sidecar(container: &Container, config: &Config) -> bool {
    let ports = ListenedPorts::of(config);
    container.ports.iter().any(|(_, port)| ports.contains(*port)) || container.image.contains("probelet")
}
