//! Which probes of a pod ask probelet: those that aim at a port of the sidecar, and those that run `probelet ask` or an
//! HTTP client.

use std::time::Duration;

use super::command::command;
use super::question::{Question, Subject};
use super::{Asking, Probed, Role, Stop};
use crate::model::pod::{Container, Handler, Hook, Pod, Port, Probe};
use crate::model::verdict::Judged;

/// Where a probe's question goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To probelet: this path and query.
    Probelet(String),
    /// To probelet, and then it passes whatever the answer says.
    Careless(String),
    /// To the port of probelet, without a request: it passes while probelet runs.
    BarePort,
    /// To probelet, in a way that can never pass.
    Amiss(Amiss),
    /// Somewhere else, or in a way that is not known here.
    Elsewhere,
}

/// Why a probe that is meant for probelet never passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amiss {
    /// It wants TLS.
    Tls,
    /// It wants gRPC.
    Grpc,
    /// It names a port that only another container declares; kubelet looks for names in the probe's own.
    PortOfAnother {
        /// The name.
        name: String,
        /// The number behind it.
        number: u16,
    },
}

/// Where `probe` of `container` of `pod` aims, with probelet listening on `ports`.
#[must_use]
pub fn aim(pod: &Pod, container: &Container, probe: &Probe, ports: &[u16]) -> Aim {
    match &probe.asks {
        Handler::Http { path, port, tls, .. } => match number(pod, container, port, ports) {
            Some(Ok(_)) if *tls => Aim::Amiss(Amiss::Tls),
            Some(Ok(_)) => Aim::Probelet(path.clone()),
            Some(Err(amiss)) => Aim::Amiss(amiss),
            None => Aim::Elsewhere,
        },
        Handler::Tcp(port) => match number(pod, container, port, ports) {
            Some(Ok(_)) => Aim::BarePort,
            Some(Err(amiss)) => Aim::Amiss(amiss),
            None => Aim::Elsewhere,
        },
        Handler::Grpc(port) if ports.contains(port) => Aim::Amiss(Amiss::Grpc),
        Handler::Exec(words) => command(words, ports).map_or(Aim::Elsewhere, |command| command.aim),
        Handler::Grpc(_) | Handler::Unknown => Aim::Elsewhere,
    }
}

/// The containers of `pod`, and what those of their probes ask that ask probelet on `ports`; `judged` is any snapshot of
/// the plan.
#[must_use]
pub fn probed(pod: &Pod, ports: &[u16], judged: &Judged<'_>) -> Vec<Probed> {
    let asking = |container: &Container| {
        let asking = |(purpose, probe): (_, &Probe)| {
            let question = match aim(pod, container, probe, ports) {
                Aim::Probelet(target) => Question::of(&target, judged),
                Aim::BarePort | Aim::Careless(_) => Question::about(Subject::Daemon),
                Aim::Amiss(_) => Question::about(Subject::Nothing),
                Aim::Elsewhere => return None,
            };
            let fails_open = match &probe.asks {
                Handler::Exec(words) => command(words, ports).is_some_and(|command| command.fails_open),
                _ => false,
            };
            Some(Asking { purpose, timing: probe.timing, question, fails_open, grace: probe.grace })
        };
        let hook = match &container.pre_stop {
            Some(Hook::Sleep(time)) => *time,
            Some(Hook::Exec(words)) => sleeps(words).unwrap_or_default(),
            Some(Hook::Other) | None => Duration::ZERO,
        };
        Probed {
            name: container.name.clone(),
            role: Role::Other,
            native: container.native,
            probes: container.probes().filter_map(asking).collect(),
            stop: Stop { hook, grace: pod.grace },
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
fn number(pod: &Pod, container: &Container, port: &Port, ports: &[u16]) -> Option<Result<u16, Amiss>> {
    let ours = |number: &u16| ports.contains(number);
    match port {
        Port::Number(number) => Some(*number).filter(ours).map(Ok),
        Port::Name(name) => match container.port_named(name) {
            Some(number) => Some(number).filter(ours).map(Ok),
            None => {
                let mut others = pod.containers.iter().filter_map(|other| other.port_named(name));
                others.find(ours).map(|number| Err(Amiss::PortOfAnother { name: name.clone(), number }))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pod::Timing;

    fn aimed(asks: Handler) -> Aim {
        let port = |name: &str, number| (Some(name.to_owned()), number);
        let app = Container {
            name: "app".into(),
            ports: vec![port("http", 8080), port("own", 10240)],
            ..Container::default()
        };
        let sidecar = Container { name: "probelet".into(), ports: vec![port("health", 10240)], ..Container::default() };
        let pod = Pod { containers: vec![sidecar, app.clone()], ..Pod::default() };
        aim(&pod, &app, &Probe { asks, timing: Timing::default(), grace: None }, &[10240])
    }

    fn http(port: Port) -> Handler {
        Handler::Http { path: "/livez".into(), port, tls: false, host: None }
    }

    #[test]
    fn probes_at_the_port_of_probelet_are_found_by_number_and_by_name() {
        let to_probelet = || Aim::Probelet("/livez".into());
        assert_eq!(aimed(http(Port::Number(10240))), to_probelet());
        assert_eq!(aimed(http(Port::Name("own".into()))), to_probelet());
        assert_eq!(aimed(Handler::Tcp(Port::Number(10240))), Aim::BarePort);
        for port in [Port::Number(8080), Port::Name("http".into()), Port::Name("nobody".into())] {
            assert_eq!(aimed(http(port)), Aim::Elsewhere);
        }
    }

    #[test]
    fn what_can_never_pass_is_told_apart() {
        let another = Amiss::PortOfAnother { name: "health".into(), number: 10240 };
        assert_eq!(aimed(http(Port::Name("health".into()))), Aim::Amiss(another));
        assert_eq!(aimed(Handler::Grpc(10240)), Aim::Amiss(Amiss::Grpc));
        let tls = Handler::Http { path: "/livez".into(), port: Port::Number(10240), tls: true, host: None };
        assert_eq!(aimed(tls), Aim::Amiss(Amiss::Tls));
    }

    #[test]
    fn a_command_asks_what_it_fetches() {
        let words = |line: &str| Handler::Exec(line.split(' ').map(str::to_owned).collect());
        assert_eq!(aimed(words("wget -q localhost:10240/livez")), Aim::Probelet("/livez".into()));
        assert_eq!(aimed(words("cat /tmp/healthy")), Aim::Elsewhere);
    }
}
