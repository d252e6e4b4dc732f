//! What the daemon says about itself.

use std::time::Duration;

use hyper::Method;

use super::{app, ask, body, check_answer, get, show};
use crate::metrics::testing::{answering, error, now, ok, snapshot};
use crate::model::plan::Details;
use crate::model::plan::testing::check;

#[test]
fn the_daemon_is_healthy_while_the_scheduler_makes_progress() {
    let (app, _) = app(&snapshot(vec![]));
    let healthy = || show(&ask(&app, &Method::GET, "/-/healthy", &[]));
    assert_eq!(healthy(), "503 error: the scheduler has not started\n");
    app.liveness.beat(now().moment - Duration::from_secs(9));
    assert_eq!(healthy(), "200 ok: ok");
    app.liveness.beat(now().moment - Duration::from_secs(12));
    assert_eq!(healthy(), "503 error: the scheduler has made no progress for 12s\n");
}

#[test]
fn the_daemon_is_ready_with_a_valid_configuration() {
    check_answer(&snapshot(vec![(check("db"), error("gone"))]), "/-/ready", "200 ok: ok");
}

#[test]
fn metrics_are_always_200_and_say_the_same_whatever_the_details() {
    let ill = || snapshot(vec![(check("db"), error("gone")), (check("cache"), ok("fine"))]);
    let own = |details| {
        let answer = get(&answering(ill(), |answers| answers.details = details), "/metrics");
        assert_eq!(answer.code, 200);
        assert_eq!(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
        let text = body(&answer);
        text.lines().filter(|line| line.starts_with("healthcheck_")).map(str::to_owned).collect::<Vec<_>>()
    };
    let full = own(Details::Full);
    assert!(full.contains(&r#"healthcheck_status{check="db"} 0"#.to_owned()));
    assert_eq!(own(Details::Names), full);
    assert_eq!(own(Details::None), full);
}

#[test]
fn openmetrics_is_for_those_who_ask() {
    let (app, _) = app(&snapshot(vec![]));
    let answer = ask(&app, &Method::GET, "/metrics", &[("accept", "application/openmetrics-text; version=1.0.0")]);
    assert_eq!(answer.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(body(&answer).ends_with("\n# EOF\n"));
}

#[test]
fn what_is_not_there_is_not_found() {
    for uri in ["/nowhere", "/v1", "/v1/events", "/livezz", "/favicon.ico", "/-/reload"] {
        check_answer(
            &snapshot(vec![]),
            uri,
            "404 -: not found; there are /livez, /readyz, /startupz, /healthz, /health, /alive, /ready, /metrics, \
             /v1/services, /v1/stream\n",
        );
    }
}

#[test]
fn with_details_none_no_path_is_named_that_is_hidden() {
    let hidden = answering(snapshot(vec![]), |answers| answers.details = Details::None);
    for uri in ["/nowhere", "/v1/services", "/v1/stream", "/badge/overall.svg"] {
        check_answer(
            &hidden,
            uri,
            "404 -: not found; there are /livez, /readyz, /startupz, /healthz, /health, /alive, /ready, /metrics\n",
        );
    }
}
