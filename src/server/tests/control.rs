//! The routes that change something, and who is let in.

use std::time::Duration;

use hyper::Method;

use super::{app, ask, ask_from, show};
use crate::metrics::testing::{answering, snapshot};
use crate::server::ask::Ends;

const HOST: (&str, &str) = ("host", "localhost:10240");
const FORBIDDEN: &str = "403 -: forbidden; this path is for the same host alone: use http://127.0.0.1 or \
                         http://localhost, without a proxy and not from a web page\n";

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
        for headers in [
            &[][..],
            &[("host", "evil.example")],
            &[("host", "10.0.0.1:10240")],
            &[HOST, ("host", "evil.example")],
            &[HOST, ("origin", "http://localhost")],
            &[HOST, ("origin", "null")],
            &[HOST, ("forwarded", "for=10.0.0.1")],
            &[HOST, ("x-forwarded-for", "127.0.0.1")],
            &[HOST, ("X-Forwarded-Anything", "")],
        ] {
            assert_eq!(show(&ask(&app, method, uri, headers)), FORBIDDEN, "{headers:?}");
        }
        let absolute = format!("http://evil.example{uri}");
        assert_eq!(show(&ask(&app, method, &absolute, &[HOST])), FORBIDDEN);
        for (peer, local) in [
            ("10.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "10.0.0.1"),
            ("127.0.0.6", "127.0.0.1"),
            ("::ffff:127.0.0.6", "::ffff:127.0.0.1"),
            ("::ffff:10.0.0.1", "::ffff:127.0.0.1"),
            ("fe80::1", "::1"),
        ] {
            let ends = Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
            assert_eq!(show(&ask_from(&app, ends, method, uri, &[HOST])), FORBIDDEN, "{peer} {local}");
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
        let ends = Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
        assert_eq!(
            show(&ask_from(&app, ends, &Method::POST, "/-/drain", &[("host", host)])),
            "200 -: draining for 5s\n"
        );
    }
    assert_eq!(told.all(), ["drain"; 4]);
}

#[test]
fn without_control_these_paths_do_not_exist() {
    let (app, told) = app(&answering(snapshot(vec![]), |answers| answers.control = false));
    for (method, uri) in [(Method::POST, "/-/drain"), (Method::GET, "/-/drain"), (Method::PUT, "/v1/heartbeats/loop")] {
        assert_eq!(ask(&app, &method, uri, &[HOST]).code, 404);
    }
    assert_eq!(told.all(), [""; 0]);
}
