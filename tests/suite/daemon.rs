//! The daemon as a whole: start, signals, drain, reload, and life without a configuration.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, PATIENCE};

const WELL: &str = "checks:\n  - name: well\n    simulated: { ok_message: All is well }\n    interval: 100ms\n";

fn failing(name: &str) -> String {
    format!(
        "checks:\n  - name: {name}\n    simulated: {{ error_rate: 1, error_message: It is down }}\n    interval: 100ms\n"
    )
}

#[tokio::test]
async fn a_first_configuration_is_up_and_says_so_everywhere() {
    let daemon = Daemon::start(WELL).await;
    let ready = daemon.until_status("/readyz", 200).await;
    assert_eq!(ready.body, "ok");
    for path in ["/livez", "/startupz", "/healthz", "/-/healthy", "/-/ready", "/metrics"] {
        assert_eq!(daemon.get(path).await.status, 200, "{path}");
    }
    let table = daemon.get("/healthz").await.body;
    assert_eq!(
        table,
        "Component                     Status  Detail\nwell                          PASS    All is well\n"
    );
}

#[tokio::test]
async fn a_failing_check_closes_readyz_and_is_named_as_the_root_cause() {
    let daemon = Daemon::start(&failing("db_connection")).await;
    let closed = daemon.until("/readyz", |reply| reply.body.contains("failed: It")).await;
    assert_eq!(closed.status, 503);
    assert_eq!(closed.body, "[-]db_connection failed: It is down\nreadyz check failed: root cause db_connection\n");
    assert_eq!(daemon.get("/livez").await.status, 200);
}

#[tokio::test]
async fn sigterm_drains_and_ends_with_0_and_a_second_one_ends_it_at_once() {
    let mut daemon = Daemon::start(&format!("server: {{ drain: 1s }}\n{WELL}")).await;
    daemon.until_status("/readyz", 200).await;
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    let draining = daemon.until_status("/readyz", 503).await;
    assert!(draining.body.starts_with("[-]draining\n"), "{}", draining.body);
    assert_eq!(daemon.get("/livez").await.status, 200);
    assert_eq!(daemon.ends().await, Some(0));
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());

    // As soon as anybody can know that it runs.
    let mut daemon = Daemon::start(&format!("server: {{ drain: 0s }}\n{WELL}")).await;
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));

    let mut daemon = Daemon::start(&format!("server: {{ drain: 1h }}\n{WELL}")).await;
    daemon.until_status("/readyz", 200).await;
    daemon.signal(Signal::INT);
    daemon.until_status("/readyz", 503).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_also_the_second_that_a_run_has_to_come_to_its_end() {
    const ROUNDS: usize = 20;
    let hung = "  - { name: hung, simulated: { latency: 1h }, timeout: 1h, stale_after: 3h }\n";
    for round in 1..=ROUNDS {
        let mut daemon =
            Daemon::start(&format!("server: {{ drain: 0s }}\nlog: {{ level: debug }}\n{WELL}{hung}")).await;
        daemon.until_state("well", "ok").await;
        daemon.signal(Signal::TERM);
        daemon.logs("a second signal ends it at once").await;
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ends().await, Some(0));
        daemon.logs("probelet has stopped").await;
        // On a busy machine the second may be over before the signal comes.
        if !daemon.log().iter().any(|line| line.contains("the workers have ended")) {
            return;
        }
        assert!(round < ROUNDS, "{:#?}", daemon.log());
    }
}

#[tokio::test]
async fn a_drain_by_request_closes_readiness_can_be_undone_and_counts_towards_the_end() {
    let mut daemon = Daemon::start(&format!("server: {{ drain: 700ms }}\n{WELL}")).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await.status / 100, 2);
    daemon.until_status("/readyz", 503).await;
    assert_eq!(daemon.get("/healthz").await.status, 503);
    assert_eq!(daemon.get("/livez").await.status, 200);
    assert_eq!(daemon.ask("DELETE", "/-/drain", "").await.status / 100, 2);
    daemon.until_status("/readyz", 200).await;
    daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    tokio::time::sleep(Duration::from_millis(800)).await; // the drain's own time passes; it never ends the process
    assert_eq!(daemon.get("/livez").await.status, 200);
    daemon.signal(Signal::TERM);
    let line: serde_json::Value = serde_json::from_str(&daemon.logs("draining: ").await).unwrap();
    assert_eq!(line["seconds"], 0.0, "the drain had passed already");
    assert_eq!(daemon.ends().await, Some(0));
}

#[tokio::test]
async fn a_change_of_the_file_is_adopted_and_a_bad_one_changes_nothing_but_a_metric() {
    let mut daemon = Daemon::start(WELL).await;
    let before = daemon.until_state("well", "ok").await;
    daemon.rewrite(&format!("{WELL}  - name: added\n    simulated: {{ error_rate: 1 }}\n    interval: 100ms\n"));
    daemon.until_state("added", "error").await;
    assert_eq!(daemon.get("/readyz").await.status, 200, "an added check closes nothing before its first pass");
    assert_eq!(daemon.until_state("well", "ok").await["since"], before["since"], "the other keeps its state");

    daemon.rewrite("checks:\n  - nam: typo\n");
    let line = daemon.logs("cannot be used").await;
    assert!(line.contains("unknown-key"), "{line}");
    daemon.until("/metrics", |reply| reply.body.contains("probelet_config_last_reload_successful 0\n")).await;
    assert_eq!(daemon.get("/readyz").await.status, 200);

    daemon.rewrite(WELL);
    daemon.until("/metrics", |reply| reply.body.contains("probelet_config_last_reload_successful 1\n")).await;
    let names = daemon.get("/healthz?format=json").await.json();
    assert_eq!(names["checks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sighup_reloads_also_where_nothing_is_watched() {
    let daemon = Daemon::start(&format!("reload: {{ watch: false }}\n{WELL}")).await;
    daemon.until_status("/readyz", 200).await;
    daemon.rewrite(&failing("other"));
    daemon.signal(Signal::HUP);
    daemon.until_state("other", "error").await;
}

#[tokio::test]
async fn a_secret_that_rotates_reloads_the_checks_that_use_it() {
    let folder = Folder::new();
    let message = folder.write("message", "first\n");
    let config = format!(
        "checks:\n  - name: x\n    simulated: {{ ok_message: \"${{file:{message}}}\" }}\n    interval: 100ms\n"
    );
    let path = folder.write("config.yaml", config);
    let daemon = Daemon::start_in(folder, path.into(), &[], &[]).await;
    daemon.until("/healthz", |reply| reply.body.contains("first")).await;
    std::fs::write(&message, "second\n").unwrap();
    daemon.until("/healthz", |reply| reply.body.contains("second")).await;
}

#[tokio::test]
async fn the_symlink_swap_of_a_configmap_is_noticed() {
    let folder = Folder::new();
    for (version, config) in [("v1", WELL.to_owned()), ("v2", failing("swapped"))] {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        folder.write(&format!("{version}/config.yaml"), config);
    }
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    link("v1", "..data");
    link("..data/config.yaml", "config.yaml");
    link("v2", "..data_tmp");
    let (from, to) = (folder.path().join("..data_tmp"), folder.path().join("..data"));
    let path = folder.path().join("config.yaml");
    let daemon = Daemon::start_in(folder, path, &[], &[]).await;
    daemon.until_status("/readyz", 200).await;
    std::fs::rename(from, to).unwrap();
    daemon.until_state("swapped", "error").await;
}

#[tokio::test]
async fn the_symlink_swap_of_a_secret_that_the_configuration_names_is_noticed() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("secret")).unwrap();
    for (version, message) in [("v1", "first\n"), ("v2", "second\n")] {
        std::fs::create_dir(folder.path().join("secret").join(version)).unwrap();
        folder.write(&format!("secret/{version}/message"), message);
    }
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join("secret").join(name)).unwrap();
    link("v1", "..data");
    link("..data/message", "message");
    link("v2", "..data_tmp");
    let (from, to) = (folder.path().join("secret/..data_tmp"), folder.path().join("secret/..data"));
    let named = folder.path().join("secret/message").display().to_string();
    let config = format!(
        "checks:\n  - name: x\n    simulated: {{ ok_message: \"${{file:{named}}}\" }}\n    interval: 100ms\n{}",
        "  - { name: y, simulated: {}, interval: 100ms }\n"
    );
    let path = folder.write("config.yaml", config);
    let daemon = Daemon::start_in(folder, path.into(), &[], &[]).await;
    daemon.until("/healthz", |reply| reply.body.contains("first")).await;
    let before = daemon.until_state("y", "ok").await;
    std::fs::rename(from, to).unwrap();
    daemon.until("/healthz", |reply| reply.body.contains("second")).await;
    assert_eq!(daemon.get("/readyz").await.status, 200, "a changed check closes nothing before its first pass");
    assert_eq!(daemon.until_state("y", "ok").await["since"], before["since"], "the other keeps its state");
}

#[tokio::test]
async fn without_a_configuration_it_serves_what_can_be_said_and_starts_when_there_is_one() {
    let folder = Folder::new();
    let path = folder.path().join("later.yaml");
    let daemon = Daemon::start_in(folder, path.clone(), &["--config-error", "serve"], &[]).await;
    for (route, status) in [
        ("/livez", 200),
        ("/startupz", 200),
        ("/-/healthy", 200),
        ("/metrics", 200),
        ("/readyz", 503),
        ("/healthz", 503),
        ("/health", 503),
        ("/ready", 503),
        ("/-/ready", 503),
    ] {
        assert_eq!(daemon.until_status(route, status).await.status, status, "{route}");
    }
    assert!(daemon.get("/metrics").await.body.contains("probelet_config_last_reload_successful 0\n"));
    std::fs::write(path, failing("first")).unwrap();
    let closed = daemon.until("/readyz", |reply| reply.body.contains("root cause first")).await;
    assert_eq!(closed.status, 503, "the first valid configuration is a start: its checks close");
    assert_eq!(daemon.get("/-/ready").await.status, 200);
}

#[tokio::test]
async fn a_frozen_process_never_shows_old_green() {
    let config =
        "checks:\n  - name: well\n    simulated: {}\n    interval: 100ms\n    timeout: 100ms\n    stale_after: 500ms\n";
    let daemon = Daemon::start(config).await;
    daemon.until_status("/readyz", 200).await;
    daemon.signal(Signal::STOP);
    let waiting = tokio::net::TcpStream::connect(daemon.address).await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut waiting = waiting;
    waiting.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await; // longer than stale_after, while nothing of it runs
    daemon.signal(Signal::CONT);
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, waiting.read_to_string(&mut answer)).await.unwrap().unwrap();
    let fresh = answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok");
    let stale = answer.starts_with("HTTP/1.1 503") && answer.contains("[-]well stale: last result");
    assert!(fresh || stale, "{answer}");
    daemon.until_status("/readyz", 200).await;
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_costs_what_has_to_be_written_and_nothing_else() {
    let folder = Folder::new();
    let history = folder.path().join("history.db").display().to_string();
    let config = format!(
        "history: {{ path: {history} }}\nchecks:\n  - name: disk\n    disk: {{ path: {}, writable: true }}\n    interval: 100ms\n",
        folder.path().display()
    );
    let path = folder.write("config.yaml", config).into();
    let daemon = Daemon::start_under(&["sh", "-c", "ulimit -f 0 && exec \"$0\" \"$@\""], folder, path).await;
    let closed = daemon.until("/readyz", |reply| reply.body.contains("failed: cannot write")).await;
    assert_eq!(closed.status, 503, "the signal of the system, which would end the process, has become an error");
    assert_eq!(daemon.get("/livez").await.status, 200);
}

#[tokio::test]
async fn the_demo_runs_its_checks() {
    let daemon = Daemon::demo().await;
    let table = daemon.until("/healthz", |reply| reply.body.contains("endtoend_workflow")).await.body;
    assert!(table.starts_with("Component                     Status  Detail\ndb_connection "), "{table}");
    for check in [
        "config_service",
        "internal_api/user",
        "internal_api/payment",
        "external_api/wechat_pay",
        "external_api/sms_provider",
    ] {
        assert!(table.contains(check), "{check} is missing in {table}");
    }
}
