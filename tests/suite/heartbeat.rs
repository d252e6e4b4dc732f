//! Heartbeats at the daemon: what never came is never green.

use std::time::{Duration, SystemTime};

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, Reply, exchange};

/// A file that the app touched long ago, in a life before the daemon's.
fn untouched_for_two_hours(folder: &Folder) -> String {
    let path = folder.write("alive", "");
    touch(&path, SystemTime::now() - Duration::from_secs(7200));
    path
}

fn touch(path: &str, time: SystemTime) {
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// The status codes of the gates, from `/livez` on.
async fn gates(daemon: &Daemon) -> [u16; 3] {
    [daemon.get("/livez").await.status, daemon.get("/startupz").await.status, daemon.get("/readyz").await.status]
}

fn says(text: &str) -> impl Fn(&Reply) -> bool {
    move |reply| reply.body.contains(text)
}

#[tokio::test]
async fn a_check_is_pending_until_the_first_beat_and_counts_no_run() {
    let folder = Folder::new();
    let file = untouched_for_two_hours(&folder);
    let daemon = Daemon::start(&format!(
        "checks:\n\
         \x20 - {{ name: main_loop, heartbeat: {{ file: {file}, max_age: 1h }}, gates: [live, startup], interval: 100ms }}\n\
         \x20 - {{ name: worker, heartbeat: {{ push: true, max_age: 1h }}, interval: 100ms }}\n"
    ))
    .await;
    daemon.until("/healthz", |reply| reply.body.matches("no beat yet").count() == 2).await;
    assert_eq!(gates(&daemon).await, [200, 503, 503]);
    let checks = daemon.get("/healthz?format=json").await.json()["checks"].clone();
    assert_eq!((&checks[0]["state"], &checks[1]["state"]), (&"pending".into(), &"pending".into()));
    let services = daemon.get("/v1/services").await.json()["data"]["services"]["data"].clone();
    for service in services.as_array().unwrap() {
        let metric = &service["metric"]["data"];
        assert_eq!((&metric["tick_count"], &metric["uptime_percent"]), (&0.into(), &serde_json::Value::Null));
    }

    touch(&file, SystemTime::now());
    daemon.until_state("main_loop", "ok").await;
    assert_eq!(gates(&daemon).await, [200, 200, 503], "the worker has not beaten yet");
    assert_eq!(daemon.ask("PUT", "/v1/heartbeats/worker", "Content-Length: 0\r\n").await.status, 204);
    daemon.until_state("worker", "ok").await;
    assert_eq!(gates(&daemon).await, [200, 200, 200]);
}

#[tokio::test]
async fn a_beat_that_does_not_come_in_time_is_an_error_that_was_never_ok() {
    let folder = Folder::new();
    let file = untouched_for_two_hours(&folder);
    let daemon = Daemon::start(&format!(
        "checks:\n\
         \x20 - {{ name: main_loop, heartbeat: {{ file: {file}, max_age: 1s }}, gates: [live], interval: 100ms }}\n\
         \x20 - {{ name: worker, heartbeat: {{ push: true, max_age: 1s }}, interval: 100ms }}\n"
    ))
    .await;
    daemon.until("/healthz", |reply| reply.body.matches("no beat since the start").count() == 2).await;
    daemon.until_state("main_loop", "error").await;
    assert_eq!(gates(&daemon).await, [200, 503, 503]);
    let metrics = daemon.until("/metrics", says("to=\"error\"} 1")).await.body;
    for check in ["main_loop", "worker"] {
        let never = format!("healthcheck_transitions_total{{check=\"{check}\",to=\"ok\"}} 0\n");
        assert!(metrics.contains(&never), "{metrics}");
    }
    touch(&file, SystemTime::now());
    daemon.until_state("main_loop", "ok").await;
}

/// Sends a beat for `worker` with this body.
async fn beat(daemon: &Daemon, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let request = format!(
        "PUT /v1/heartbeats/worker HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    exchange(daemon.address, request.as_bytes()).await
}

/// What `/healthz` says of the worker.
async fn worker(daemon: &Daemon, state: &str) -> String {
    daemon.until_state("worker", state).await["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_app_says_how_it_is_and_its_words_are_shown_to_those_who_may_see_them() {
    let config = |details: &str| {
        format!(
            "server: {{ details: {details} }}\n\
             checks:\n\
             \x20 - {{ name: worker, heartbeat: {{ push: true, max_age: 1s }}, interval: 100ms }}\n"
        )
    };
    let daemon = Daemon::start(&config("full")).await;
    daemon.until("/healthz", says("no beat yet")).await;
    assert_eq!(beat(&daemon, "", r#"{"status":"ok"}"#).await.status, 204);
    daemon.until_status("/readyz", 200).await;
    assert_eq!(beat(&daemon, "", r#"{"status":"degraded","message":"queue is\r\nlong"}"#).await.status, 204);
    assert!(worker(&daemon, "degraded").await.ends_with(" ago: queue is long"));
    assert_eq!(daemon.get("/readyz").await.status, 200);
    assert_eq!(beat(&daemon, "", r#"{"status":"error","message":"cannot write orders"}"#).await.status, 204);
    let said = worker(&daemon, "error").await;
    assert!(said.starts_with("the app said error ") && said.ends_with(" ago: cannot write orders"), "{said}");
    assert!(daemon.get("/readyz").await.body.contains("root cause worker"));
    // It says nothing any more: that is what counts then.
    daemon.until("/healthz", says("no beat for")).await;

    let daemon = Daemon::start(&config("names")).await;
    daemon.until("/healthz?format=json", says("pending")).await;
    while beat(&daemon, "", "{}").await.status != 204 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(beat(&daemon, "", r#"{"status":"error","message":"cannot write orders"}"#).await.status, 204);
    assert_eq!(worker(&daemon, "error").await, "withheld");
    assert!(!daemon.get("/metrics").await.body.contains("cannot write"));
}

#[tokio::test]
async fn what_the_app_says_counts_at_once_however_long_the_interval() {
    let daemon =
        Daemon::start("checks:\n  - { name: worker, heartbeat: { push: true, max_age: 1h }, interval: 1h }\n").await;
    daemon.until("/healthz", says("no beat yet")).await;
    for (said, state, readyz) in
        [("ok", "ok", 200), ("error", "error", 503), ("ok", "ok", 200), ("degraded", "degraded", 200)]
    {
        let body = format!(r#"{{"status":"{said}"}}"#);
        assert_eq!(beat(&daemon, "", &body).await.status, 204);
        worker(&daemon, state).await;
        assert_eq!(daemon.get("/readyz").await.status, readyz, "{said}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_beat_is_refused_in_words_and_changes_nothing() {
    let daemon =
        Daemon::start("checks:\n  - { name: worker, heartbeat: { push: true, max_age: 1h }, interval: 100ms }\n").await;
    let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(1100));
    for (headers, body, status, words) in [
        ("", "beat", 400, "not JSON"),
        ("", r#"{"status":"down"}"#, 400, "there is no status \"down\""),
        ("", r#"{"staus":"error"}"#, 400, "and no others"),
        ("", long.as_str(), 413, "at most 1024 bytes"),
        ("Content-Encoding: gzip\r\n", "{}", 415, "not compressed"),
    ] {
        let refused = beat(&daemon, headers, body).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(refused.body.contains(words) && refused.body.lines().count() == 1, "{refused:?}");
    }
    let head = "PUT /v1/heartbeats/worker HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nbeat\r\n0\r\n\r\n");
    assert_eq!(exchange(daemon.address, chunked.as_bytes()).await.status, 400);
    // The rest never comes.
    let slow = format!("{head}Content-Length: 15\r\n\r\n{{\"status\"");
    assert_eq!(exchange(daemon.address, slow.as_bytes()).await.status, 408);
    let message = worker(&daemon, "pending").await;
    assert!(message.contains("no beat yet"), "{message}");
}

#[tokio::test]
async fn curl_beats_also_where_it_asks_first_whether_it_may_send_the_body() {
    let daemon =
        Daemon::start("checks:\n  - { name: worker, heartbeat: { push: true, max_age: 1h }, interval: 100ms }\n").await;
    daemon.until("/healthz", says("no beat yet")).await;
    let url = format!("http://{}/v1/heartbeats/worker", daemon.address);
    for expect in ["Expect: 100-continue", "X-Nothing: x"] {
        let body = r#"{"status":"degraded","message":"from curl"}"#;
        let curl = tokio::process::Command::new("curl")
            .args(["-sS", "--noproxy", "*", "-X", "PUT", "-H", expect, "-d", body, "-w", "%{http_code}", &url])
            .output()
            .await
            .expect("curl is missing: install the Debian package `curl`");
        assert_eq!(String::from_utf8_lossy(&[curl.stdout, curl.stderr].concat()), "204", "{expect}");
    }
    assert!(worker(&daemon, "degraded").await.ends_with("from curl"));
}

#[tokio::test]
async fn a_beat_with_the_token_of_its_check_is_taken_from_anywhere() {
    let checks = "checks:\n\
                  \x20 - { name: worker, heartbeat: { push: true, max_age: 1h, token: \"${BEAT}\" }, interval: 100ms }\n\
                  \x20 - { name: loop, heartbeat: { push: true, max_age: 1h }, interval: 100ms }\n";
    let environment = [("BEAT", "hunter2"), ("TOKEN", "swordfish")];
    let daemon = Daemon::start_with(checks, &[], &environment).await;
    daemon.until("/healthz", |reply| reply.body.matches("no beat yet").count() == 2).await;
    let elsewhere = "X-Forwarded-For: 10.1.2.3\r\n";
    let with = |token: &str, more: &str| format!("Authorization: Bearer {token}\r\n{more}");
    let put = async |daemon: &Daemon, check: &str, headers: &str| {
        daemon.ask("PUT", &format!("/v1/heartbeats/{check}"), &format!("Content-Length: 0\r\n{headers}")).await.status
    };
    assert_eq!(put(&daemon, "worker", &with("hunter2", elsewhere)).await, 204);
    assert_eq!(put(&daemon, "worker", &with("hunter2", "")).await, 204);
    assert_eq!(put(&daemon, "worker", "").await, 204, "this pod needs none");
    assert_eq!(put(&daemon, "worker", &with("hunter3", "")).await, 401);
    // To a stranger all checks look the same, whether they are there, and take tokens, or not.
    for check in ["worker", "loop", "nobody"] {
        assert_eq!(put(&daemon, check, elsewhere).await, 403, "{check}");
        assert_eq!(put(&daemon, check, &with("hunter3", elsewhere)).await, 401, "{check}");
    }
    assert_eq!(put(&daemon, "loop", &with("hunter2", elsewhere)).await, 401, "it is the token of another check");

    let guarded = format!("server: {{ token: \"${{TOKEN}}\" }}\n{checks}");
    let daemon = Daemon::start_with(&guarded, &[], &environment).await;
    while put(&daemon, "worker", &with("swordfish", "")).await != 204 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(put(&daemon, "worker", &with("hunter2", elsewhere)).await, 204, "it needs no other");
    assert_eq!(put(&daemon, "worker", &with("swordfish", "")).await, 204);
    for (check, headers) in [("worker", String::new()), ("loop", with("hunter2", "")), ("nobody", elsewhere.into())] {
        assert_eq!(put(&daemon, check, &headers).await, 401, "{check}");
    }
    assert!(!daemon.log().concat().contains("hunter"));
}
