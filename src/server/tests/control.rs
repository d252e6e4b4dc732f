//! The routes that change something, and who is let in.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;

use super::{app, ask, ask_from, show};
use crate::base::token::Token;
use crate::metrics::testing::{answering, error, ok, snapshot};
use crate::model::plan::testing::check as definition;
use crate::model::plan::{Definition, Plan};
use crate::server::answer::Answer;
use crate::server::request::ConnectionAddresses;

const HOST: (&str, &str) = ("host", "localhost:10240");
/// Behind the reason.
const FOR_WHOM: &str =
    "; this path is for the same pod alone: use HTTP/1.1 with http://127.0.0.1 or http://localhost, \
                        without a proxy and not from a web page
";

#[track_caller]
fn assert_forbidden(answer: &Answer, reason: &str) {
    assert_eq!(show(answer), format!("403 -: forbidden: {reason}{FOR_WHOM}"));
}

#[test]
fn a_drain_begins_and_is_undone() {
    let (app, told) = app(&snapshot(vec![]));
    assert_eq!(show(&ask(&app, &Method::POST, "/-/drain", &[HOST])), "200 -: draining for 5s\n");
    assert_eq!(show(&ask(&app, &Method::DELETE, "/-/drain", &[HOST])), "200 -: not draining\n");
    assert_eq!(told.all(), ["drain", "undrain"]);
}

#[test]
fn whoever_begins_a_drain_is_told_exactly_how_long_it_takes() {
    for (drain, told) in [(0, "0s"), (700, "0.7s"), (90_500, "90.5s")] {
        let drain = Duration::from_millis(drain);
        let (app, _) = app(&answering(snapshot(vec![]), |answers| answers.drain = drain));
        let expected = format!("200 -: draining for {told}\n");
        assert_eq!(show(&ask(&app, &Method::POST, "/-/drain", &[HOST])), expected);
    }
}

#[test]
fn a_beat_is_taken_by_the_checks_that_wait_for_one() {
    let (app, told) = app(&snapshot(vec![]));
    assert_eq!(show(&ask(&app, &Method::PUT, "/v1/heartbeats/loop/main", &[HOST])), "204 -: ");
    assert_eq!(show(&ask(&app, &Method::PUT, "/v1/heartbeats/loop%2Fmain", &[HOST])), "204 -: ");
    let unknown = "404 -: no check of that name takes heartbeats over HTTP\n";
    assert_eq!(show(&ask(&app, &Method::PUT, "/v1/heartbeats/db", &[HOST])), unknown);
    assert_eq!(told.all(), ["beat loop/main", "beat loop/main", "beat db"]);
}

#[test]
fn other_methods_change_nothing() {
    let (app, told) = app(&snapshot(vec![]));
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH"] {
        let answer = ask(&app, &method.parse().unwrap(), "/-/drain", &[HOST]);
        assert_eq!((answer.code.as_u16(), answer.allow), (405, Some("POST, DELETE")), "{method}");
    }
    for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
        let answer = ask(&app, &method.parse().unwrap(), "/v1/heartbeats/loop", &[HOST]);
        assert_eq!((answer.code.as_u16(), answer.allow), (405, Some("PUT")), "{method}");
    }
    assert_eq!(told.all(), [""; 0]);
}

#[test]
fn strangers_proxies_and_web_pages_are_turned_away() {
    let (app, told) = app(&snapshot(vec![]));
    let requests = [(Method::POST, "/-/drain"), (Method::DELETE, "/-/drain"), (Method::PUT, "/v1/heartbeats/loop")];
    for (method, uri) in &requests {
        for headers in
            [&[][..], &[("host", "evil.example")], &[("host", "10.0.0.1:10240")], &[HOST, ("host", "evil.example")]]
        {
            assert_forbidden(&ask(&app, method, uri, headers), "the request is for another host");
        }
        for (name, value) in [
            ("origin", "http://localhost"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none, cross-site"),
        ] {
            assert_forbidden(&ask(&app, method, uri, &[HOST, (name, value)]), "the request comes from a web page");
        }
        for name in [
            "forwarded",
            "x-forwarded-for",
            "X-Forwarded-Anything",
            "via",
            "x-real-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "x-envoy-external-address",
            "x-envoy-expected-rq-timeout-ms",
            "x-original-url",
            "x-client-ip",
            "x-cluster-client-ip",
            "fastly-client-ip",
            "cdn-loop",
            "max-forwards",
            "proxy-connection",
        ] {
            let reason = format!("a proxy sent the header {}", name.to_lowercase());
            assert_forbidden(&ask(&app, method, uri, &[HOST, (name, "")]), &reason);
        }
        let absolute = format!("http://evil.example{uri}");
        assert_forbidden(&ask(&app, method, &absolute, &[HOST]), "the request is for another host");
        for (peer, local) in [
            ("10.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "10.0.0.1"),
            ("127.0.0.6", "127.0.0.1"),
            ("::ffff:127.0.0.6", "::ffff:127.0.0.1"),
            ("::ffff:10.0.0.1", "::ffff:127.0.0.1"),
            ("fe80::1", "::1"),
        ] {
            let ends = ConnectionAddresses { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
            let answer = ask_from(&app, ends, method, uri, &[HOST]);
            assert_forbidden(&answer, "the connection is not one within the pod");
        }
    }
    assert_eq!(told.all(), [""; 0]);
}

#[test]
fn every_form_of_this_host_is_let_in() {
    let (app, told) = app(&snapshot(vec![]));
    for (peer, local, host) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:10240"),
        ("127.0.0.2", "127.0.0.3", "localhost"),
        ("::1", "::1", "[::1]:10240"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", "LOCALHOST:10240"),
    ] {
        let ends = ConnectionAddresses { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
        assert_eq!(
            show(&ask_from(&app, ends, &Method::POST, "/-/drain", &[("host", host)])),
            "200 -: draining for 5s\n"
        );
    }
    assert_eq!(told.all(), ["drain"; 4]);
}

#[test]
fn what_apps_and_their_tracing_send_is_let_in() {
    let (app, told) = app(&snapshot(vec![]));
    for header in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("x-request-id", "1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("connection", "close"),
        ("user-agent", "Python-urllib/3.11"),
    ] {
        let answer = ask(&app, &Method::PUT, "/v1/heartbeats/loop", &[HOST, header]);
        assert_eq!(answer.code, 204, "{header:?}");
    }
    assert_eq!(told.all(), ["beat loop"; 6]);
}

#[test]
fn with_a_token_everything_but_the_gates_and_the_like_wants_it() {
    let (app, told) = app(&answering(snapshot(vec![]), |answers| answers.token = Some(Token::new("hunter2"))));
    for path in [
        "/livez",
        "/livez/a",
        "/readyz",
        "/readyz/a",
        "/startupz",
        "/startupz/a",
        "/alive",
        "/ready",
        "/-/ready",
        "/-/healthy",
    ] {
        assert_ne!(ask(&app, &Method::GET, path, &[HOST]).code, 401, "{path}");
    }
    for path in ["/", "/healthz", "/healthz/a", "/health", "/metrics", "/v1/services", "/badge/overall.svg", "/none"] {
        let refused = ask(&app, &Method::GET, path, &[HOST]);
        let body = "401 -: unauthorized; this path wants the token of `server.token`: send `Authorization: Bearer <token>`, or \
                    the token as the password of basic authentication\n";
        assert_eq!(show(&refused), body, "{path}");
        let response = refused.into_response();
        let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer realm=\"probelet\"", "Basic realm=\"probelet\""]);
        let let_in = ask(&app, &Method::GET, path, &[HOST, ("authorization", "Bearer hunter2")]);
        assert_ne!(let_in.code, 401, "{path}");
    }
    for (method, path) in
        [(Method::POST, "/-/drain"), (Method::DELETE, "/-/drain"), (Method::PUT, "/v1/heartbeats/loop")]
    {
        assert_eq!(ask(&app, &method, path, &[HOST]).code, 401);
        assert_eq!(ask(&app, &method, path, &[HOST, ("authorization", "Bearer hunter3")]).code, 401);
        let with_token = ("authorization", "Bearer hunter2");
        assert_eq!(ask(&app, &method, path, &[HOST, with_token]).code.as_u16() / 100, 2);
        assert_eq!(ask(&app, &method, path, &[HOST, with_token, ("via", "1.1 x")]).code, 403);
    }
    assert_eq!(told.all(), ["drain", "undrain", "beat loop"]);
}

#[test]
fn without_control_these_paths_do_not_exist() {
    let (app, told) = app(&answering(snapshot(vec![]), |answers| answers.control = false));
    for (method, uri) in [(Method::POST, "/-/drain"), (Method::GET, "/-/drain"), (Method::PUT, "/v1/heartbeats/loop")] {
        assert_eq!(ask(&app, &method, uri, &[HOST]).code, 404);
    }
    let mut takes_tokens =
        answering(snapshot(vec![(definition("loop"), ok("fine"))]), |answers| answers.control = false);
    let mut plan = Plan::clone(&takes_tokens.plan);
    let beat_token = Some(Token::new("hunter2"));
    plan.checks = [Arc::new(Definition { beat_token, ..definition("loop") })].into_iter().collect();
    takes_tokens.plan = Arc::new(plan);
    for token in ["Bearer hunter2", "Bearer hunter3"] {
        let headers = [HOST, ("authorization", token)];
        assert_eq!(
            ask(&self::app(&takes_tokens).0, &Method::PUT, "/v1/heartbeats/loop", &headers).code,
            404,
            "{token}"
        );
    }
    assert_eq!(told.all(), [""; 0]);
}

#[test]
fn whoever_lacks_the_token_guesses_no_name() {
    let checks = vec![(definition("db"), error("down")), (definition("cache"), ok("fine"))];
    let (app, _) = app(&answering(snapshot(checks), |answers| answers.token = Some(Token::new("hunter2"))));
    let told = |path: &str| show(&ask(&app, &Method::GET, path, &[HOST]));
    for gate in ["/livez", "/readyz", "/startupz"] {
        for more in ["/db", "/cache", "/nobody", "?exclude=db", "?exclude=nobody", "/db?exclude=db", "/cache?x"] {
            assert_eq!(told(&format!("{gate}{more}")), told(gate), "{gate}{more}");
        }
    }
    assert_eq!(told("/ready?exclude=db"), told("/ready"));
    let with_token = [HOST, ("authorization", "Bearer hunter2")];
    assert_eq!(ask(&app, &Method::GET, "/readyz/cache", &with_token).code, 200);
    assert_eq!(ask(&app, &Method::GET, "/readyz/nobody", &with_token).code, 404);
}
