//! Which probes of a pod ask probelet: those that aim at a port of the sidecar, and those that run `probelet ask` or an
//! HTTP client.

use std::time::Duration;

use super::command::{brings_credentials, command, path_of_service};
use super::request::{ProbeRequest, RequestSubject};
use super::target::{ListenedPorts, Misconfiguration, ProbeTarget};
use super::{ContainerRole, ProbedContainer, SidecarProbe, StopTiming};
use crate::model::plan::Details;
use crate::model::verdict::Judged;
use crate::simulation::pod::{Container, Handler, Hook, Pod, PodProbe, Port};

/// Where `probe` of `container` of `pod` aims, with probelet listening on `ports`.
#[must_use]
pub fn probe_target(pod: &Pod, container: &Container, probe: &PodProbe, ports: &ListenedPorts) -> ProbeTarget {
    match &probe.asks {
        Handler::Http { path, port, tls, .. } => match number(pod, container, port, ports) {
            Some(Ok(_)) if *tls => ProbeTarget::Misconfigured(Misconfiguration::Tls),
            Some(Ok(port)) => ports.target(path.clone(), Some(port)),
            Some(Err(misconfiguration)) => ProbeTarget::Misconfigured(misconfiguration),
            None => ProbeTarget::Elsewhere,
        },
        Handler::Tcp(port) => match number(pod, container, port, ports) {
            Some(Ok(_)) => ProbeTarget::BarePort,
            Some(Err(misconfiguration)) => ProbeTarget::Misconfigured(misconfiguration),
            None => ProbeTarget::Elsewhere,
        },
        Handler::Grpc { port, service } if ports.contains(*port) => ports.target(path_of_service(service), Some(*port)),
        Handler::Exec(words) => command(words, ports).map_or(ProbeTarget::Elsewhere, |command| command.target),
        Handler::Grpc { .. } | Handler::Unknown => ProbeTarget::Elsewhere,
    }
}

/// What `probe`, which aims at `target` of probelet, asks there.
#[must_use]
pub fn request_of(probe: &PodProbe, target: &str, judged: &Judged<'_>) -> ProbeRequest {
    let is_authorized = match &probe.asks {
        Handler::Http { authorized, .. } => *authorized,
        Handler::Exec(words) => brings_credentials(words),
        Handler::Tcp(_) | Handler::Grpc { .. } | Handler::Unknown => false,
    };
    let knows_no_names = judged.snapshot.plan.answers.details == Details::None;
    if knows_no_names && matches!(probe.asks, Handler::Grpc { .. }) && target.starts_with("/healthz/") {
        return ProbeRequest::about(RequestSubject::TurnedOff);
    }
    if is_authorized { ProbeRequest::with_credentials(target, judged) } else { ProbeRequest::of(target, judged) }
}

/// The containers of `pod`, and what those of their probes ask that ask probelet on `ports`; `judged` is any snapshot
/// of the plan.
#[must_use]
pub fn probed_containers(pod: &Pod, ports: &ListenedPorts, judged: &Judged<'_>) -> Vec<ProbedContainer> {
    let asking = |container: &Container| {
        let asking = |(purpose, probe): (_, &PodProbe)| {
            let request = match probe_target(pod, container, probe, ports) {
                ProbeTarget::Probelet(target) => request_of(probe, &target, judged),
                ProbeTarget::BarePort | ProbeTarget::AnswerIgnored(_) => ProbeRequest::about(RequestSubject::Daemon),
                ProbeTarget::Misconfigured(_) => ProbeRequest::about(RequestSubject::Nothing),
                ProbeTarget::Elsewhere => return None,
            };
            let fails_open = match &probe.asks {
                Handler::Exec(words) => command(words, ports).is_some_and(|command| command.fails_open),
                _ => false,
            };
            Some(SidecarProbe { purpose, timing: probe.timing, request, fails_open, grace: probe.grace })
        };
        let hook = match &container.pre_stop {
            Some(Hook::Sleep(time)) => *time,
            Some(Hook::Exec(words)) => sleeps(words).unwrap_or_default(),
            Some(Hook::Other) | None => Duration::ZERO,
        };
        ProbedContainer {
            name: container.name.clone(),
            role: ContainerRole::Other,
            native: container.native,
            probes: container.probes().filter_map(asking).collect(),
            stop: StopTiming { hook, grace: pod.grace },
        }
    };
    pod.containers.iter().map(asking).collect()
}

/// How long `sleep 5` takes, by itself or in a shell.
fn sleeps(words: &[String]) -> Option<Duration> {
    let text = words.join(" ");
    let (_, behind) = text.split_once("sleep ")?;
    let seconds: f64 = behind.split([' ', ';', '&']).next()?.trim_end_matches('s').parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The number of a port of probelet; nothing when it is none of probelet's.
fn number(
    pod: &Pod,
    container: &Container,
    port: &Port,
    ports: &ListenedPorts,
) -> Option<Result<u16, Misconfiguration>> {
    let ours = |number: &u16| ports.contains(*number);
    match port {
        Port::Number(number) => Some(*number).filter(ours).map(Ok),
        Port::Name(name) => match container.port_named(name) {
            Some(number) => Some(number).filter(ours).map(Ok),
            None => {
                let mut others = pod.containers.iter().filter_map(|other| other.port_named(name));
                others.find(ours).map(|number| Err(Misconfiguration::PortOfAnother { name: name.clone(), number }))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::pod::ProbeTiming;

    fn aimed(asks: Handler) -> ProbeTarget {
        let port = |name: &str, number| (Some(name.to_owned()), number);
        let app = Container {
            name: "app".into(),
            ports: vec![port("http", 8080), port("own", 10240)],
            ..Container::default()
        };
        let sidecar = Container { name: "probelet".into(), ports: vec![port("health", 10240)], ..Container::default() };
        let pod = Pod { containers: vec![sidecar, app.clone()], ..Pod::default() };
        probe_target(
            &pod,
            &app,
            &PodProbe { asks, timing: ProbeTiming::default(), grace: None },
            &ListenedPorts::one(10240),
        )
    }

    fn http(port: Port) -> Handler {
        Handler::Http { path: "/livez".into(), port, tls: false, host: None, authorized: false }
    }

    #[test]
    fn probes_at_the_port_of_probelet_are_found_by_number_and_by_name() {
        let to_probelet = || ProbeTarget::Probelet("/livez".into());
        assert_eq!(aimed(http(Port::Number(10240))), to_probelet());
        assert_eq!(aimed(http(Port::Name("own".into()))), to_probelet());
        assert_eq!(aimed(Handler::Tcp(Port::Number(10240))), ProbeTarget::BarePort);
        for port in [Port::Number(8080), Port::Name("http".into()), Port::Name("nobody".into())] {
            assert_eq!(aimed(http(port)), ProbeTarget::Elsewhere);
        }
    }

    #[test]
    fn what_can_never_pass_is_told_apart() {
        let another = Misconfiguration::PortOfAnother { name: "health".into(), number: 10240 };
        assert_eq!(aimed(http(Port::Name("health".into()))), ProbeTarget::Misconfigured(another));
        let grpc = |service: &str| aimed(Handler::Grpc { port: 10240, service: service.into() });
        assert_eq!(grpc(""), ProbeTarget::Probelet("/readyz".into()));
        assert_eq!(grpc("liveness"), ProbeTarget::Probelet("/livez".into()));
        assert_eq!(grpc("a/b"), ProbeTarget::Probelet("/healthz/a/b".into()));
        assert_eq!(aimed(Handler::Grpc { port: 9090, service: String::new() }), ProbeTarget::Elsewhere);
        let tls = Handler::Http {
            path: "/livez".into(),
            port: Port::Number(10240),
            tls: true,
            host: None,
            authorized: false,
        };
        assert_eq!(aimed(tls), ProbeTarget::Misconfigured(Misconfiguration::Tls));
    }

    #[test]
    fn a_command_asks_what_it_fetches() {
        let words = |line: &str| Handler::Exec(line.split(' ').map(str::to_owned).collect());
        assert_eq!(aimed(words("wget -q localhost:10240/livez")), ProbeTarget::Probelet("/livez".into()));
        assert_eq!(aimed(words("cat /tmp/healthy")), ProbeTarget::Elsewhere);
    }
}
