//! `probelet wait`: what it waits for, what it says meanwhile, and how it ends.

use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::command::{Config, Run, assert_golden, run, start, timeless};
use crate::fakes::free_port;

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
