//! What a probe's path asks of probelet, and what probelet answers at a moment.

use percent_encoding::percent_decode_str;

use crate::model::index::CheckIndex;
use crate::model::plan::Details;
use crate::model::route::{self, RouteSet};
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState};

/// What a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// What is asked for.
    pub subject: RequestSubject,
    /// Positions of checks to leave out.
    excluded: Vec<CheckIndex>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestSubject {
    /// One of the four endpoints, by whatever path.
    Endpoint(Endpoint),
    /// One check's part in an endpoint.
    Part(Endpoint, CheckIndex),
    /// One check, whatever it gates.
    Check(CheckIndex),
    /// `/alive`
    Alive,
    /// The daemon itself: it answers 200 whatever the checks say.
    Daemon,
    /// A stream, which never ends: kubelet reads to the end and gives up at its timeout.
    Stream,
    /// A path that gets 404 with `server.details: none`.
    TurnedOff,
    /// A path that gets 401: `server.token` is set, and the probe brings none.
    Guarded,
    /// A path, or a name in a path, that gets 404 or 405.
    Nothing,
}

impl ProbeRequest {
    /// The question that `target` (path and query) is, to a daemon with the plan of `judged`, from somebody without a
    /// token.
    #[must_use]
    pub fn of(target: &str, judged: &Judged<'_>) -> Self {
        let request = Self::with_credentials(target, judged);
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        let is_refused = judged.snapshot.plan.answers.token.is_some() && route::find(path).0.set() != RouteSet::Probes;
        match request.subject {
            RequestSubject::Nothing => request,
            _ if is_refused => Self::about(RequestSubject::Guarded),
            _ => request,
        }
    }

    /// The same from somebody who brings credentials, which are taken to be `server.token`.
    #[must_use]
    pub fn with_credentials(target: &str, judged: &Judged<'_>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let excluded = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("exclude="))
            .filter_map(|name| judged.snapshot.plan.position(&decoded(name)))
            .collect();
        Self { subject: subject(path, judged), excluded }
    }

    /// A question whose subject is known.
    #[must_use]
    pub const fn about(subject: RequestSubject) -> Self {
        Self { subject, excluded: Vec::new() }
    }

    /// Whether no answer to it is a pass, whatever the checks say.
    #[must_use]
    pub const fn never_passes(&self) -> bool {
        matches!(
            self.subject,
            RequestSubject::Stream | RequestSubject::TurnedOff | RequestSubject::Guarded | RequestSubject::Nothing
        )
    }

    /// The endpoint that it asks for, where it leaves no check out.
    #[must_use]
    pub fn whole_endpoint(&self) -> Option<Endpoint> {
        match self.subject {
            RequestSubject::Endpoint(endpoint) if self.excluded.is_empty() => Some(endpoint),
            _ => None,
        }
    }

    /// Whether the answer has a code that kubelet takes for a pass.
    #[must_use]
    pub fn passes(&self, judged: &Judged<'_>) -> bool {
        let excluding = Judged::excluding(judged.snapshot, judged.now, self.excluded.clone());
        match self.subject {
            RequestSubject::Endpoint(endpoint) => excluding.is_open(endpoint),
            RequestSubject::Part(endpoint, check) => !excluding.endpoint_for(endpoint, check).closes,
            RequestSubject::Check(check) => {
                matches!(judged.state(check), JudgedState::Fresh(State::Ok | State::Degraded))
            }
            RequestSubject::Alive => judged.is_alive(),
            RequestSubject::Daemon => true,
            RequestSubject::Stream | RequestSubject::TurnedOff | RequestSubject::Guarded | RequestSubject::Nothing => {
                false
            }
        }
    }
}

fn subject(path: &str, judged: &Judged<'_>) -> RequestSubject {
    let subject = with_details(path, judged);
    let is_told = path.starts_with("/v1/") || subject == RequestSubject::Stream;
    match judged.snapshot.plan.answers.details {
        Details::None if is_told && subject != RequestSubject::Nothing => RequestSubject::TurnedOff,
        _ => subject,
    }
}

fn with_details(path: &str, judged: &Judged<'_>) -> RequestSubject {
    match path {
        "/livez" => RequestSubject::Endpoint(Endpoint::Livez),
        "/readyz" | "/ready" | "/" | "" => RequestSubject::Endpoint(Endpoint::Readyz),
        "/startupz" => RequestSubject::Endpoint(Endpoint::Startupz),
        "/healthz" | "/health" | "/v1/health" => RequestSubject::Endpoint(Endpoint::Healthz),
        "/alive" => RequestSubject::Alive,
        "/-/healthy" | "/-/ready" | "/metrics" | "/v1/services" | "/v1/_internal/health" | "/v1/openapi.json" => {
            RequestSubject::Daemon
        }
        "/health/$stream" | "/health/%24stream" | "/v1/stream" => RequestSubject::Stream,
        _ if path.starts_with("/v1/services/") => RequestSubject::Daemon,
        _ => part(path, judged),
    }
}

/// A badge is a picture, 200 whatever it shows, but for a check that there is not.
fn badge(path: &str, judged: &Judged<'_>) -> Option<RequestSubject> {
    let name = decoded(path.strip_prefix("/badge/")?.strip_suffix(".svg")?);
    let is_known = name == "overall" || judged.snapshot.plan.position(&name).is_some();
    is_known.then_some(RequestSubject::Daemon)
}

/// `/livez/<check>` and its like, and `/healthz/<check>`. Below `/livez` and `/startupz` an unknown check is answered
/// by the gate itself.
fn part(path: &str, judged: &Judged<'_>) -> RequestSubject {
    if let Some(name) = path.strip_prefix("/healthz/") {
        return judged.snapshot.plan.position(&decoded(name)).map_or(RequestSubject::Nothing, RequestSubject::Check);
    }
    let gates = [("/livez/", Endpoint::Livez), ("/startupz/", Endpoint::Startupz), ("/readyz/", Endpoint::Readyz)];
    let Some((name, endpoint)) = gates.iter().find_map(|(gate, endpoint)| Some((path.strip_prefix(gate)?, *endpoint)))
    else {
        return badge(path, judged).unwrap_or(RequestSubject::Nothing);
    };
    let known = judged.snapshot.plan.position(&decoded(name));
    match known.filter(|check| judged.gates(*check, endpoint)) {
        Some(check) => RequestSubject::Part(endpoint, check),
        None if endpoint == Endpoint::Readyz => RequestSubject::Nothing,
        None => RequestSubject::Endpoint(endpoint),
    }
}

fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::Moment;
    use crate::base::token::Token;
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Definition, Gates, Plan};
    use crate::scheduler::machine::Machine;
    use crate::simulation::playback::reading;

    #[test]
    fn paths_ask_what_the_server_takes_them_for() {
        let live = Gates { live: true, ..Gates::default() };
        let now = reading(Moment::default());
        let checks = vec![check("api/user"), Definition { gates: live, ..check("app") }];
        let snapshot = Machine::new(plan(checks), "", now).snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        let cases = [
            ("/livez", RequestSubject::Endpoint(Endpoint::Livez), vec![]),
            ("/livez?verbose", RequestSubject::Endpoint(Endpoint::Livez), vec![]),
            (
                "/readyz?exclude=app&exclude=api%2Fuser&exclude=x",
                RequestSubject::Endpoint(Endpoint::Readyz),
                vec![1, 0],
            ),
            ("/", RequestSubject::Endpoint(Endpoint::Readyz), vec![]),
            ("/health", RequestSubject::Endpoint(Endpoint::Healthz), vec![]),
            ("/readyz/api/user", RequestSubject::Part(Endpoint::Readyz, CheckIndex::new(0)), vec![]),
            ("/readyz/api%2Fuser", RequestSubject::Part(Endpoint::Readyz, CheckIndex::new(0)), vec![]),
            ("/readyz/app", RequestSubject::Nothing, vec![]),
            ("/livez/app", RequestSubject::Part(Endpoint::Livez, CheckIndex::new(1)), vec![]),
            ("/livez/nobody", RequestSubject::Endpoint(Endpoint::Livez), vec![]),
            ("/startupz/", RequestSubject::Endpoint(Endpoint::Startupz), vec![]),
            ("/healthz/api%2Fuser", RequestSubject::Check(CheckIndex::new(0)), vec![]),
            ("/alive", RequestSubject::Alive, vec![]),
            ("/-/healthy", RequestSubject::Daemon, vec![]),
            ("/v1/stream", RequestSubject::Stream, vec![]),
            ("/badge/overall.svg", RequestSubject::Daemon, vec![]),
            ("/badge/api%2Fuser.svg?label=x", RequestSubject::Daemon, vec![]),
            ("/badge/nobody.svg", RequestSubject::Nothing, vec![]),
            ("/live", RequestSubject::Nothing, vec![]),
            ("/healthz/", RequestSubject::Nothing, vec![]),
        ];
        for (target, subject, excluded) in cases {
            assert_eq!(
                ProbeRequest::of(target, &judged),
                ProbeRequest { subject, excluded: indices(&excluded) },
                "{target}"
            );
        }
    }

    #[test]
    fn without_details_what_tells_them_is_turned_off() {
        let now = reading(Moment::default());
        let mut silent = Plan::clone(&plan(vec![check("x")]));
        silent.answers.details = Details::None;
        let snapshot = Machine::new(Arc::new(silent), "", now).snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        for path in ["/v1/services", "/v1/services/1", "/v1/_internal/health", "/v1/stream", "/health/$stream"] {
            assert_eq!(ProbeRequest::of(path, &judged).subject, RequestSubject::TurnedOff, "{path}");
        }
        assert_eq!(ProbeRequest::of("/v1/nothing", &judged).subject, RequestSubject::Nothing);
        assert_eq!(ProbeRequest::of("/metrics", &judged).subject, RequestSubject::Daemon);
    }

    #[test]
    fn with_a_token_only_the_gates_pass_without_it() {
        let now = reading(Moment::default());
        let mut guarded = Plan::clone(&plan(vec![check("x")]));
        guarded.answers.token = Some(Token::new("hunter2"));
        let snapshot = Machine::new(Arc::new(guarded), "", now).snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        for path in ["/", "/health", "/healthz?verbose", "/healthz/x", "/metrics", "/v1/services", "/badge/x.svg"] {
            let request = ProbeRequest::of(path, &judged);
            assert_eq!(request.subject, RequestSubject::Guarded, "{path}");
            assert!(request.never_passes() && !request.passes(&judged), "{path}");
            assert_ne!(ProbeRequest::with_credentials(path, &judged).subject, RequestSubject::Guarded, "{path}");
        }
        for path in ["/livez", "/readyz/x", "/startupz?verbose", "/alive", "/ready", "/-/healthy", "/-/ready"] {
            assert_ne!(ProbeRequest::of(path, &judged).subject, RequestSubject::Guarded, "{path}");
        }
        assert_eq!(ProbeRequest::of("/healthz/nobody", &judged).subject, RequestSubject::Nothing);
    }

    #[test]
    fn every_route_of_the_server_is_known_but_for_those_that_kubelet_cannot_ask() {
        use crate::model::route::Route;
        let now = reading(Moment::default());
        let snapshot = Machine::new(plan(vec![check("x")]), "", now).snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        for route in Route::ALL {
            let path = route.pattern().replace("{check}", "x").replace("{id}", "1");
            let known = ProbeRequest::of(&path, &judged).subject != RequestSubject::Nothing;
            // What is asked by gRPC is known by its service.
            let is_grpc = route.pattern().starts_with("/grpc.");
            let only_told = matches!(route, Route::DaemonDrain | Route::Heartbeat | Route::Unknown);
            assert_eq!(known, !(only_told || is_grpc), "{path}");
        }
    }
}
