//! Who may see what: every route, at every kind of address, with and without the token.

use std::sync::Arc;

use probelet::base::token::Token;
use probelet::config::{Listen, Listener};
use probelet::model::plan::{Answers, Definition, Details, Plan, Service};
use probelet::model::route::{Route, RouteSet};
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;

use crate::support::{Server, definition, header, parts, snapshot, state, undated};

/// What may not come out: the name of a check, its target and its message, its runbook, the service and its version.
const CANARIES: [&str; 8] = [
    "canary-name",
    "canary-target",
    "canary-message",
    "canary-runbook",
    "canary-service",
    "canary-instance",
    "canary-version",
    "canary-label",
];

fn telling(change: impl FnOnce(&mut Answers)) -> Snapshot {
    let check = Definition {
        target: Some("http://canary-target/".into()),
        runbook: Some("https://canary-runbook/".into()),
        description: Some("canary-message".into()),
        ..definition("canary-name")
    };
    let mut told = snapshot(vec![(check, state(State::Error, "canary-message"))]);
    let mut plan = Plan::clone(&told.plan);
    plan.service = Service {
        name: "canary-service".into(),
        instance: "canary-instance".into(),
        version: Some("canary-version".into()),
        labels: vec![("team".into(), "canary-label".into())],
    };
    change(&mut plan.answers);
    told.plan = Arc::new(plan);
    told
}

fn server(routes: RouteSet, change: impl FnOnce(&mut Answers)) -> Server {
    let address = Listen::One("127.0.0.1:0".parse().unwrap());
    Server::listening(Listener { address, routes }, telling(change))
}

/// A path of the route, with this for the name in it.
fn path(route: Route, name: &str) -> String {
    match route {
        Route::Unknown => format!("/nowhere/{name}"),
        route => route.pattern().replace("{check}", name).replace("{id}", name),
    }
}

/// Every way in which somebody may ask for it.
fn ways(route: Route, name: &str) -> Vec<String> {
    let path = path(route, name);
    let queries = ["", "?verbose", "?verbose&exclude=x", "?format=json", "?format=health%2Bjson", "?format=updown"];
    queries.iter().map(|query| format!("{path}{query}")).collect()
}

/// An answer: its head alone where it is a stream.
fn ask(server: &Server, method: &str, path: &str, headers: &str) -> String {
    // HTTP/1.0 would be a proxy's.
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    let streams = method == "GET" && (path.starts_with("/v1/stream") || path.starts_with("/health/$stream"));
    match streams.then(|| server.head(&request)) {
        Some(head) if head.starts_with("HTTP/1.1 200") => head,
        _ => server.talk(request),
    }
}

#[track_caller]
fn assert_tells_nothing(answer: &str, path: &str) {
    for canary in CANARIES {
        assert!(!answer.contains(canary), "{path} tells {canary}: {answer}");
    }
}

const TOKEN: &str = "Authorization: Bearer hunter2\r\n";
const METHODS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"];

#[test]
fn an_address_with_fewer_routes_has_no_others_and_tells_verdicts_alone() {
    for routes in [RouteSet::Probes, RouteSet::Metrics] {
        for token in [None, Some(Token::new("hunter2"))] {
            let server = server(routes, |answers| answers.token = token);
            let unknown = undated(&ask(&server, "GET", "/nowhere", ""));
            assert_eq!(parts(&unknown).0, 404);
            for route in Route::ALL {
                for headers in ["", TOKEN] {
                    for way in ways(route, "canary-name") {
                        let answer = ask(&server, "GET", &way, headers);
                        match route.set() {
                            RouteSet::Metrics if routes == RouteSet::Metrics => {
                                let is_refused = token.is_some() && headers.is_empty();
                                assert_eq!(parts(&answer).0, if is_refused { 401 } else { 200 }, "{way}");
                                assert!(is_refused || answer.contains("canary-name"), "{way}");
                            }
                            RouteSet::Probes => {
                                // What is gRPC is that over HTTP/2 alone.
                                assert!([200, 503, 415].contains(&parts(&answer).0), "{way}: {answer}");
                                assert_tells_nothing(&answer, &way);
                            }
                            _ => assert_eq!(undated(&answer), unknown, "{way}"),
                        }
                    }
                    for method in METHODS {
                        let answer = ask(&server, method, &path(route, "canary-name"), headers);
                        let code = parts(&answer).0;
                        if route.set() > routes {
                            assert_eq!(code, 404, "{method} {route:?}");
                            assert!(
                                header(&answer, "allow").is_none_or(|allow| allow == "GET, HEAD, OPTIONS"),
                                "{answer}"
                            );
                        }
                        assert!(server.told.lock().unwrap().is_empty(), "{method} {route:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_the_token_there_are_verdicts_and_401s_that_tell_nothing_else() {
    let server = server(RouteSet::All, |answers| answers.token = Some(Token::new("hunter2")));
    let refused = undated(&ask(&server, "GET", "/healthz", ""));
    assert_eq!(parts(&refused).0, 401);
    for headers in
        ["", "Authorization: Bearer hunter3\r\n", "Authorization: Basic aHVudGVyMg==\r\n", "Origin: null\r\n"]
    {
        for route in Route::ALL {
            for name in ["canary-name", "nobody"] {
                for way in ways(route, name) {
                    let answer = ask(&server, "GET", &way, headers);
                    match route.set() {
                        RouteSet::Probes => {
                            assert_ne!(parts(&answer).0, 401, "{way}");
                            assert_tells_nothing(&answer, &way);
                        }
                        // Whether there is such a check, such a path or such a format: it is the same answer.
                        _ => assert_eq!(undated(&answer), refused, "{way}"),
                    }
                }
            }
            for method in METHODS {
                let answer = ask(&server, method, &path(route, "canary-name"), headers);
                let is_guarded = route.set() != RouteSet::Probes;
                assert_eq!(parts(&answer).0 == 401, is_guarded, "{method} {route:?}: {answer}");
            }
        }
    }
    assert!(server.told.lock().unwrap().is_empty());
}

#[test]
fn with_the_token_everything_is_as_without_one() {
    let guarded = server(RouteSet::All, |answers| answers.token = Some(Token::new("hunter2")));
    let open = server(RouteSet::All, |_| {});
    let text = |answer: String| {
        // Ages and times go on meanwhile.
        let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
        undated(&answer).chars().map(digits).collect::<String>().replace("00", "0").replace("00", "0")
    };
    for route in Route::ALL.into_iter().filter(|route| *route != Route::Metrics) {
        let path = path(route, "canary-name");
        let codes = [ask(&guarded, "GET", &path, TOKEN), ask(&open, "GET", &path, "")].map(|answer| parts(&answer).0);
        assert_eq!(codes[0], codes[1], "{path}");
    }
    for path in ["/readyz?verbose", "/readyz/canary-name", "/ready", "/healthz"] {
        assert_eq!(text(ask(&guarded, "GET", path, TOKEN)), text(ask(&open, "GET", path, "")), "{path}");
    }
    assert!(ask(&guarded, "GET", "/readyz", TOKEN).contains("root cause canary-name"));
}

#[test]
fn with_fewer_details_no_route_but_the_metrics_tells_more_than_they_allow() {
    for details in [Details::Names, Details::None] {
        let server = server(RouteSet::All, |answers| answers.details = details);
        for route in Route::ALL.into_iter().filter(|route| *route != Route::Metrics) {
            for way in ways(route, "canary-name") {
                let answer = ask(&server, "GET", &way, "");
                match details {
                    Details::None => assert_tells_nothing(&answer, &way),
                    _ => assert!(
                        !answer.contains("canary-message") && !answer.contains("canary-target"),
                        "{way}: {answer}"
                    ),
                }
            }
        }
    }
}

const ORIGIN: &str = "Origin: https://grafana.example\r\n";
const PREFLIGHT: &str =
    "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization,last-event-id\r\n";

fn open_to_a_page(token: Option<Token>) -> Server {
    server(RouteSet::All, |answers| {
        answers.cors_origins = ["https://grafana.example".to_owned()].into();
        answers.token = token;
    })
}

#[test]
fn a_page_of_a_named_origin_may_read_what_is_said_of_the_checks() {
    let server = open_to_a_page(None);
    for route in Route::ALL {
        let path = path(route, "canary-name");
        let answer = ask(&server, "GET", &path, ORIGIN);
        let let_in = header(&answer, "access-control-allow-origin");
        assert_eq!(let_in, route.is_for_pages().then_some("https://grafana.example"), "{path}");
        assert!(!answer.contains("allow-credentials"), "{answer}");
        let varies = header(&answer, "vary").unwrap_or_default();
        assert_eq!(varies.contains("Origin"), route.is_for_pages(), "{path}: {varies}");
        assert!(varies.starts_with("Accept"), "{path}: {varies}");

        let preflight = ask(&server, "OPTIONS", &path, &format!("{ORIGIN}{PREFLIGHT}"));
        if route.is_for_pages() {
            assert_eq!(parts(&preflight), (204, String::new()), "{path}: also where the endpoint is closed");
            assert_eq!(header(&preflight, "access-control-allow-methods"), Some("GET, HEAD"), "{path}");
            assert_eq!(header(&preflight, "access-control-allow-headers"), Some("authorization,last-event-id"));
        } else {
            assert!(!preflight.contains("access-control"), "{path}: {preflight}");
        }
    }
}

#[test]
fn pages_of_others_and_no_configuration_at_all_get_no_header() {
    let server = open_to_a_page(None);
    for origin in [
        "null",
        "https://grafana.example.evil",
        "http://grafana.example",
        "https://grafana.example:8443",
        "https://GRAFANA.example",
        "",
    ] {
        for (method, more) in [("GET", ""), ("OPTIONS", PREFLIGHT)] {
            let answer = ask(&server, method, "/healthz", &format!("Origin: {origin}\r\n{more}"));
            assert!(!answer.contains("access-control"), "{origin}: {answer}");
            assert_eq!(header(&answer, "vary"), Some("Accept, Origin"), "{origin}");
        }
    }
    let two = format!("{ORIGIN}{ORIGIN}");
    assert!(!ask(&server, "GET", "/healthz", &two).contains("access-control"));
    let closed = self::server(RouteSet::All, |_| {});
    for (method, more) in [("GET", ""), ("OPTIONS", PREFLIGHT)] {
        let answer = ask(&closed, method, "/healthz", &format!("{ORIGIN}{more}"));
        assert!(!answer.contains("access-control") && header(&answer, "vary") == Some("Accept"), "{answer}");
    }
}

#[test]
fn a_preflight_brings_no_token_and_the_request_after_it_does() {
    let server = open_to_a_page(Some(Token::new("hunter2")));
    assert_eq!(parts(&ask(&server, "OPTIONS", "/v1/services", &format!("{ORIGIN}{PREFLIGHT}"))).0, 204);
    let refused = ask(&server, "GET", "/v1/services", ORIGIN);
    assert_eq!(parts(&refused).0, 401);
    // The page may see that it is refused.
    assert!(header(&refused, "access-control-allow-origin").is_some(), "{refused}");
    assert_eq!(parts(&ask(&server, "GET", "/v1/services", &format!("{ORIGIN}{TOKEN}"))).0, 200);
    // A page of somebody else is asked for the token as everybody is.
    let other = format!("Origin: https://evil.example\r\n{PREFLIGHT}");
    assert_eq!(parts(&ask(&server, "OPTIONS", "/v1/services", &other)).0, 401);
    // A page changes nothing, whoever it is.
    for (method, path) in [("POST", "/-/drain"), ("PUT", "/v1/heartbeats/canary-name")] {
        assert_eq!(parts(&ask(&server, method, path, &format!("{ORIGIN}{TOKEN}"))).0, 403, "{path}");
    }
}
