//! Heartbeats at the daemon: what never came is never green.

use std::time::{Duration, SystemTime};

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, Reply};

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
