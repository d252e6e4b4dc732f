//! `probelet wait`: what it waits for, what it says meanwhile, and how it ends.

use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::command::{Config, Run, assert_golden, probelet, run, start, timeless};
use crate::fakes::free_port;
use crate::support::daemon::Daemon;

const DOWN: &str = "checks:\n  - name: database\n    simulated: { error_rate: 1, error_message: Database is down }\n  - name: orders\n    simulated: {}\n    depends_on: [database]\n  - name: cache\n    simulated: { ok_message: Redis is connected }\n";

#[test]
fn what_passes_is_waited_for_no_longer() {
    let run = Config::of(DOWN).runs("wait", &["--check", "cache"]);
    assert_eq!((run.code, timeless(&run.stdout).as_str()), (0, "cache passes after <t>\n"));
    assert_eq!(run.stderr, "waiting for cache (at most 2m)\ncache: ok: Redis is connected\n");
}

#[test]
fn when_the_time_is_up_it_names_what_is_missing_and_since_when() {
    let begun = Instant::now();
    let run = Config::of(DOWN).runs("wait", &["--check", "orders", "--check", "cache", "--timeout", "1500ms"]);
    assert_eq!((run.code, run.stdout.as_str()), (124, ""));
    assert!((1500..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let mut lines: Vec<String> = timeless(&run.stderr).lines().map(str::to_owned).collect();
    // What runs side by side may end in any order.
    lines[1..4].sort();
    assert_golden("wait-timeout.txt", &(lines.join("\n") + "\n"));
}

#[test]
fn it_ends_as_soon_as_what_was_missing_is_there() {
    let port = free_port();
    let config = Config::of(&format!("checks:\n  - name: app\n    tcp: {{ address: '127.0.0.1:{port}' }}\n"));
    let mut wait = start(config.command("wait", &["--check", "app"]));
    let said = wait.complains("app: error: connection refused\n");
    assert_eq!(said, "waiting for app (at most 2m)\napp: error: connection refused\n");
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the port was free a moment ago");
    let Run { code, stdout, stderr } = wait.ends();
    assert_eq!((code, timeless(&stdout).as_str()), (0, "app passes after <t>\n"));
    assert_eq!(timeless(&stderr), "app: ok: app OK (<t>)\n");
}

#[test]
fn without_names_it_waits_for_the_external_checks_alone() {
    let (app, pod) = (free_port(), free_port());
    let config = Config::of(&format!(
        "checks:\n\
         \x20 - {{ name: app, tcp: {{ address: 'localhost:{app}' }} }}\n\
         \x20 - {{ name: itself, http: {{ url: 'http://10.9.8.7:{pod}/' }} }}\n\
         \x20 - {{ name: disk, disk: {{ path: / }} }}\n"
    ));
    let mut command = config.command("wait", &["--timeout", "1s"]);
    command.env("POD_IP", "10.9.8.7");
    let alone = run(command);
    let nothing = "nothing to wait for: no check is of an external dependency\n";
    assert_eq!((alone.code, alone.stdout.as_str(), alone.stderr.as_str()), (0, nothing, ""));

    // A name that is not localhost, and resolves to nothing; it depends on the app, which cannot be there yet.
    let config = Config::of(&format!(
        "checks:\n\
         \x20 - {{ name: app, tcp: {{ address: 'localhost:{app}' }} }}\n\
         \x20 - {{ name: database, tcp: {{ address: 'database.invalid:5000' }}, depends_on: [app] }}\n"
    ));
    let external = config.runs("wait", &["--timeout", "100ms"]);
    assert_eq!(external.code, 124);
    assert_eq!(external.stderr.lines().next(), Some("waiting for database (at most 100ms)"));
    assert!(!external.stderr.contains("app"), "{}", external.stderr);
}

#[test]
fn without_names_it_waits_for_the_workflows_whose_steps_leave_the_pod() {
    let app = free_port();
    let config = Config::of(&format!(
        "checks:\n\
         \x20 - name: shop\n\
         \x20   workflow: {{ steps: [{{ name: ask, http: {{ url: 'http://shop.invalid/' }} }}] }}\n\
         \x20 - name: itself\n\
         \x20   workflow: {{ steps: [{{ name: ask, http: {{ url: 'http://localhost:{app}/' }} }}] }}\n\
         \x20 - name: through\n\
         \x20   workflow: {{ steps: [{{ name: ask, http: {{ url: 'http://localhost:{app}/' }} }}, {{ name: look, tcp: {{ address: 'queue.invalid:5000' }} }}] }}\n"
    ));
    let external = config.runs("wait", &["--timeout", "100ms"]);
    assert_eq!(external.code, 124);
    let lines: Vec<&str> = external.stderr.lines().take(2).collect();
    let through = "through needs this pod's own app too: in an init container name what to wait for with --check";
    assert_eq!(lines, [through, "waiting for shop, through (at most 100ms)"]);
    assert!(!external.stderr.contains("itself"), "{}", external.stderr);
}

/// The command with the signals as they are by default: under `nohup` the tests themselves ignore one.
fn by_default(command: &Command) -> Command {
    let mut outer = Command::new("env");
    outer.arg("--default-signal=HUP,INT,TERM").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

#[test]
fn an_interrupted_wait_is_no_success() {
    let config = Config::of(DOWN);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut wait = start(by_default(&config.command("wait", &["--check", "database"])));
        wait.complains("database: error: Database is down\n");
        wait.signal(signal);
        assert_eq!(wait.ends(), Run { code, stdout: String::new(), stderr: String::new() });
    }
}

#[test]
fn an_interrupted_once_is_no_success() {
    let config = Config::of(
        "checks:\n  - { name: quick, simulated: {} }\n  - { name: hung, simulated: { timeout_rate: 1 }, timeout: 1h }\n",
    );
    let mut once = start(config.command("once", &[]));
    once.complains("quick: ok");
    once.signal(Signal::TERM);
    assert_eq!((once.ends().code), 143);
}

/// A daemon whose one check is as the app says, and `wait --url` for it.
const SAID: &str = "checks:\n  - { name: worker, heartbeat: { push: true, max_age: 1h }, interval: 100ms }\n";

fn waiting(url: &str, arguments: &[&str]) -> Command {
    let mut command = probelet(&["wait", "--url", url]);
    command.args(arguments);
    command
}

async fn says(daemon: &Daemon, status: &str) {
    let body = format!("{{\"status\":\"{status}\",\"message\":\"in its own words\"}}");
    let head = "PUT /v1/heartbeats/worker HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(crate::support::daemon::exchange(daemon.address, request.as_bytes()).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_waited_for_until_it_is_open_and_then_must_stay_so() {
    let daemon = Daemon::start(SAID).await;
    let url = format!("http://{}", daemon.address);
    let mut wait = start(waiting(&url, &["--hold", "1h"]));
    let said = wait.complains("readyz error: ");
    assert!(said.starts_with(&format!("waiting for readyz of {} (at most 2m)\n", daemon.address)), "{said}");
    says(&daemon, "degraded").await;
    wait.complains("readyz is open after ");
    wait.complains("it must stay so for 1h\n");
    says(&daemon, "error").await;
    let Run { code, stdout, stderr } = wait.ends();
    assert_eq!((code, stdout.as_str()), (1, ""));
    let end = timeless(stderr.lines().last().unwrap());
    let closed =
        "error: readyz error: root cause worker: the app said error <t> ago: in its own words (after <t> of <t>)";
    assert_eq!(end, closed);
    // It has been open for as long as it had to be.
    says(&daemon, "ok").await;
    for about in ["readyz", "worker", "livez"] {
        let Run { code, stdout, .. } = run(waiting(&url, &[about, "--hold", "600ms"]));
        assert_eq!((code, stdout), (0, format!("{about} has been open for 600ms\n")));
    }
    let Run { code, stdout, .. } = run(waiting(&url, &[]));
    assert_eq!((code, timeless(&stdout).as_str()), (0, "readyz is open after <t>\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_not_there_yet_is_waited_for_and_one_that_goes_ends_the_hold() {
    let port = free_port();
    let nobody = run(waiting(&format!("http://127.0.0.1:{port}"), &["--timeout", "1500ms", "--hold", "1s"]));
    assert_eq!((nobody.code, nobody.stdout.as_str()), (124, ""));
    let end = format!(
        "error: timed out after 1.5s; the last answer: cannot reach 127.0.0.1:{port}: connection refused; is the daemon running?"
    );
    assert_eq!(nobody.stderr.lines().last(), Some(end.as_str()));

    let daemon = Daemon::start("checks: []\n").await;
    let (url, address) = (format!("http://{}", daemon.address), daemon.address);
    let unknown = run(waiting(&url, &["worker", "--timeout", "300ms"]));
    assert_eq!(unknown.code, 124, "{unknown:?}");
    assert!(unknown.stderr.ends_with("there is no check `worker` in the daemon's configuration\n"), "{unknown:?}");
    let mut wait = start(waiting(&url, &["--hold", "1h"]));
    wait.complains("it must stay so");
    drop(daemon);
    let Run { code, stderr, .. } = wait.ends();
    assert_eq!(code, 3, "{stderr}");
    let gone = format!("error: cannot reach {address}: ");
    assert!(stderr.lines().last().unwrap().starts_with(&gone), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_goes_or_hangs_just_before_the_end_has_not_been_open_until_then() {
    for signal in [Signal::KILL, Signal::STOP] {
        let daemon = Daemon::start("checks: []\n").await;
        let mut wait = start(waiting(&format!("http://{}", daemon.address), &["--hold", "2s"]));
        wait.complains("it must stay so");
        daemon.signal(signal);
        let Run { code, stdout, stderr } = wait.ends();
        assert_eq!((code, stdout.as_str()), (3, ""), "{signal:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_unknown_may_come_with_a_help_and_one_that_is_not_told_is_not_waited_for() {
    let daemon = Daemon::start(SAID).await;
    let url = format!("http://{}", daemon.address);
    daemon.until_status("/livez", 200).await;
    let unknown = run(waiting(&url, &["workr", "--timeout", "300ms"]));
    assert_eq!(unknown.code, 124, "{unknown:?}");
    let end = "error: timed out after 300ms; the last answer: there is no check `workr` in the daemon's configuration\n  \
               help: did you mean `worker`?\n";
    assert!(unknown.stderr.ends_with(end), "{unknown:?}");

    let narrow = "server: { listen: { address: \"127.0.0.1:0\", routes: probes } }\n";
    let daemon = Daemon::start(&format!("{narrow}checks: [{{ name: worker, simulated: {{}} }}]\n")).await;
    let refused = run(waiting(&format!("http://{}", daemon.address), &["worker"]));
    assert_eq!(refused.code, 2, "{refused:?}");
    let end = format!(
        "error: {} does not answer for a single check: that address has `routes: probes` or `metrics`\n  help: ask an \
         address of `server.listen` with `routes: all`, or about readyz, livez, startupz or daemon\n",
        daemon.address
    );
    assert!(refused.stderr.ends_with(&end), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_missing_or_wrong_ends_the_wait_at_once_and_so_does_a_signal() {
    let guarded = format!("server: {{ token: \"${{TOKEN}}\" }}\n{SAID}");
    let daemon = Daemon::start_with(&guarded, &[], &[("TOKEN", "hunter2")]).await;
    let url = format!("http://{}", daemon.address);
    let refused = run(waiting(&url, &["worker"]));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("wants its token"), "{refused:?}");
    let mut wrong = waiting(&url, &["worker"]);
    wrong.env("PROBELET_TOKEN", "hunter3");
    assert_eq!(run(wrong).code, 2);
    let mut right = waiting(&url, &["worker"]);
    right.env("PROBELET_TOKEN", "hunter2");
    let mut right = start(right);
    right.complains("worker pending");
    right.signal(Signal::TERM);
    assert_eq!(right.ends().code, 143);
}

#[test]
fn what_is_for_a_daemon_goes_only_with_its_address() {
    for arguments in [
        &["wait", "readyz"][..],
        &["wait", "--hold", "1s"],
        &["wait", "--token-file", "x"],
        &["wait", "--url", "http://localhost:1", "--check", "x"],
        &["wait", "--url", "http://localhost:1", "--config", "x"],
        &["wait", "--url", "https://localhost:1"],
    ] {
        assert_eq!(run(probelet(arguments)).code, 2, "{arguments:?}");
    }
}
