//! `probelet ask`: what a daemon says in a line, and what is no daemon.

use std::time::{Duration, Instant};

use crate::command::{Config, Run, probelet, run, runs};
use crate::fakes::{Fake, free_port};
use crate::support::certs::Folder;
use crate::support::daemon::Daemon;

const SHOP: &str = r#"
checks:
  - name: db_connection
    simulated: { error_rate: 1, error_message: Database is down }
    interval: 100ms
  - name: internal_api/user
    simulated: {}
    depends_on: [db_connection]
    interval: 100ms
  - name: cache
    simulated: { ok_message: Redis is connected }
    gates: []
    interval: 100ms
  - name: search
    simulated: { latency: 20ms, ok_message: Search is reachable }
    degraded_above: 1ms
    gates: [startup]
    interval: 100ms
"#;

fn ask(url: &str, arguments: &[&str]) -> Run {
    let mut command = probelet(&["ask", "--url", url, "--timeout", "10s"]);
    command.args(arguments);
    run(command)
}

#[track_caller]
fn check_line(url: &str, about: &str, code: i32, line: &str) {
    let run = ask(url, &[about]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (code, format!("{line}\n").as_str(), ""));
}

#[tokio::test]
async fn a_line_names_the_root_cause() {
    let daemon = Daemon::start(SHOP).await;
    daemon.until_state("internal_api/user", "skipped").await;
    daemon.until_state("search", "degraded").await;
    daemon.until_state("cache", "ok").await;
    let url = format!("http://{}", daemon.address);
    let down = "root cause db_connection: Database is down";
    check_line(&url, "readyz", 1, &format!("readyz error: {down}"));
    check_line(&url, "healthz", 1, &format!("healthz error: {down}"));
    check_line(&url, "livez", 0, "livez ok");
    check_line(&url, "db_connection", 1, "db_connection error: Database is down");
    check_line(&url, "internal_api/user", 1, &format!("internal_api/user skipped: {down}"));
    check_line(&url, "cache", 0, "cache ok");
    let run = ask(&url, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (1, format!("readyz error: {down}\n").as_str()));
    for about in ["startupz", "search"] {
        let run = ask(&url, &[about]);
        assert_eq!(run.code, 0, "degraded counts as healthy");
        assert!(run.stdout.starts_with(&format!("{about} degraded: ")), "{}", run.stdout);
        assert!(run.stdout.ends_with(", above 1ms\n"), "{}", run.stdout);
    }
    let run = ask(&url, &["db_conection"]);
    let complaint = "error: there is no check `db_conection` in the daemon's configuration\n  help: did you mean `db_connection`?\n";
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (2, "", complaint));
}

#[tokio::test]
async fn a_check_that_is_switched_off_is_said_to_be_that() {
    for others in ["", "  - { name: other, simulated: {} }\n"] {
        let file = format!("checks:\n  - {{ name: db, disabled: it moves, simulated: {{}} }}\n{others}");
        let daemon = Daemon::start(&file).await;
        let url = format!("http://{}", daemon.address);
        let run = ask(&url, &["db"]);
        let complaint = "error: the check `db` is switched off: it moves\n";
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (2, "", complaint), "{others}");
    }
}

#[tokio::test]
async fn a_drain_and_a_missing_configuration_are_named() {
    let daemon = Daemon::start("checks:\n  - { name: well, simulated: {}, interval: 100ms }\n").await;
    daemon.until_status("/readyz", 200).await;
    let url = format!("http://{}", daemon.address);
    check_line(&url, "readyz", 0, "readyz ok");
    daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    daemon.until_status("/readyz", 503).await;
    check_line(&url, "readyz", 1, "readyz error: draining");
    check_line(&url, "livez", 0, "livez ok");

    let folder = crate::support::certs::Folder::new();
    let path = folder.path().join("later.yaml");
    let daemon = Daemon::start_in(folder, path.clone(), &["--config-error", "serve"], &[]).await;
    let run = ask(&format!("http://{}", daemon.address), &[]);
    assert_eq!(run.code, 1);
    let expected =
        format!("readyz error: No valid configuration: cannot read the configuration file {}: ", path.display());
    assert!(run.stdout.starts_with(&expected) && run.stdout.lines().count() == 1, "{}", run.stdout);
}

#[tokio::test]
async fn what_the_daemon_may_not_tell_is_left_out() {
    let daemon = Daemon::start(&format!("server: {{ details: names }}\n{SHOP}")).await;
    daemon.until_status("/startupz", 200).await;
    daemon.until("/readyz", |reply| reply.body.contains("root cause")).await;
    let url = format!("http://{}", daemon.address);
    check_line(&url, "readyz", 1, "readyz error: root cause db_connection");
    check_line(&url, "db_connection", 1, "db_connection error");

    let daemon = Daemon::start(&format!("server: {{ details: none, down_status: 500 }}\n{SHOP}")).await;
    daemon.until_status("/startupz", 200).await;
    daemon.until_status("/readyz/db_connection", 500).await;
    let url = format!("http://{}", daemon.address);
    check_line(&url, "readyz", 1, "readyz error");
    check_line(&url, "db_connection", 1, "db_connection error");
    check_line(&url, "internal_api/user", 1, "internal_api/user error");
    let run = ask(&url, &["nothing"]);
    let complaint = "error: there is no check `nothing` in the daemon's configuration\n";
    assert_eq!((run.code, run.stderr.as_str()), (2, complaint));
    check_line(&url, "cache", 0, "cache ok");
}

#[tokio::test]
async fn at_an_address_with_fewer_routes_a_check_is_refused_with_what_to_write_and_gates_are_told() {
    for routes in ["probes", "metrics"] {
        let listen = format!("server: {{ listen: {{ address: \"127.0.0.1:0\", routes: {routes} }} }}\n");
        let daemon = Daemon::start(&format!("{listen}{SHOP}")).await;
        daemon.until_status("/startupz", 200).await;
        let url = format!("http://{}", daemon.address);
        check_line(&url, "readyz", 1, "readyz error");
        check_line(&url, "livez", 0, "livez ok");
        check_line(&url, "daemon", 0, "daemon ok");
        for (about, named) in
            [("cache", "for a single check"), ("nothing", "for a single check"), ("healthz", "for healthz")]
        {
            let refused = ask(&url, &[about, "--if-unreachable", "ok"]);
            let complaint = format!(
                "error: {} does not answer {named}: that address has `routes: probes` or `metrics`\n  help: ask an address of \
                 `server.listen` with `routes: all`, or about readyz, livez, startupz or daemon\n",
                daemon.address
            );
            assert_eq!((refused.code, refused.stdout.as_str(), refused.stderr), (2, "", complaint), "{about}");
        }
    }
}

#[tokio::test]
async fn a_frozen_daemon_is_given_up_in_time() {
    let daemon = Daemon::start("checks: []\n").await;
    daemon.until_status("/readyz", 200).await;
    daemon.signal(rustix::process::Signal::STOP);
    let begun = Instant::now();
    let url = format!("http://{}", daemon.address);
    let run = runs(&["ask", "--url", &url]);
    let complaint = format!("error: {} did not answer within 800ms\n", daemon.address);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr), (3, "", complaint));
    assert!((800..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    daemon.signal(rustix::process::Signal::CONT);
}

#[test]
fn nobody_there_is_3_and_says_what_to_look_at() {
    let port = free_port();
    let refused = format!("error: cannot reach 127.0.0.1:{port}: connection refused; is the daemon running?\n");
    let run = ask(&format!("http://127.0.0.1:{port}"), &[]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (3, "", refused.as_str()));
    let run = ask(&format!("http://localhost:{port}"), &["livez"]);
    assert_eq!((run.code, run.stderr.as_str()), (3, refused.replace("127.0.0.1", "localhost").as_str()));
}

#[test]
fn the_variable_says_where_and_the_argument_wins() {
    let there = Fake::saying("200 OK", "ok", r#"{"status":"ok","data":{"message":"All checks passed"},"checks":[]}"#);
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let mut command = probelet(&["ask"]);
    command.env("PROBELET_URL", there.url());
    assert_eq!(run(command), Run { code: 0, stdout: "readyz ok\n".into(), stderr: String::new() });
    let mut command = probelet(&["ask", "--url", &there.url()]);
    command.env("PROBELET_URL", &nowhere);
    assert_eq!(run(command).code, 0);
    let mut command = probelet(&["ask"]);
    command.env("PROBELET_URL", "localhost:10240");
    let expected = "error: $PROBELET_URL is not a URL of the scheme http\n  help: write it as http://127.0.0.1:10240\n";
    assert_eq!(run(command), Run { code: 2, stdout: String::new(), stderr: expected.into() });
}

#[tokio::test]
async fn without_an_address_it_is_the_port_of_the_configuration_on_either_loopback() {
    let folder = Folder::new();
    let path = folder.write("config.yaml", "checks: []\n").into();
    let mut daemon = Daemon::start_in(folder, path, &["--listen", "[::1]:0"], &[]).await;
    daemon.until_status("/readyz", 200).await;
    let line: serde_json::Value = serde_json::from_str(&daemon.logs("[::1]:").await).unwrap();
    let port6 = line["address"].as_str().and_then(|address| address.rsplit(':').next()).unwrap();
    let port = daemon.address.port();
    // The last one is where nobody listens on 127.0.0.1, and the one before has no IPv6 of its own.
    for listen in [format!(":{port}"), format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"), format!(":{port6}")] {
        let config = Config::of(&format!("server: {{ listen: '{listen}' }}\nchecks: [{{ nam: broken }}]\n"));
        for (arguments, said) in [(&["ask", "livez"][..], "livez ok\n"), (&["drain", "--undo"], "not draining\n")] {
            let mut command = probelet(arguments);
            command.env("PROBELET_CONFIG", config.path());
            assert_eq!(run(command), Run { code: 0, stdout: said.into(), stderr: String::new() }, "{listen}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_daemon_can_be_taken_as_ok_and_a_closed_gate_cannot() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let line = format!(
        "livez is not known, taken as ok: cannot reach 127.0.0.1:{port}: connection refused; is the daemon running?\n"
    );
    let told = ask(&url, &["livez", "--if-unreachable", "ok"]);
    assert_eq!(told, Run { code: 0, stdout: line, stderr: String::new() });
    assert_eq!(ask(&url, &["livez", "--if-unreachable", "fail"]).code, 3);
    assert_eq!(ask(&Fake::answering("SSH-2.0\r\n").url(), &["livez", "--if-unreachable", "ok"]).code, 0);
    let frozen = runs(&["ask", "livez", "--url", &Fake::silent().url(), "--timeout", "50ms", "--if-unreachable", "ok"]);
    assert_eq!((frozen.code, frozen.stdout.ends_with(" did not answer within 50ms\n")), (0, true), "{frozen:?}");

    let daemon = Daemon::start(SHOP).await;
    daemon.until_state("db_connection", "error").await;
    let url = format!("http://{}", daemon.address);
    assert_eq!(ask(&url, &["readyz", "--if-unreachable", "ok"]).code, 1);
    assert_eq!(ask(&url, &["nothing", "--if-unreachable", "ok"]).code, 2);
}

#[tokio::test]
async fn the_health_of_the_daemon_itself_can_be_asked() {
    let daemon = Daemon::start(SHOP).await;
    daemon.until_status("/-/healthy", 200).await;
    check_line(&format!("http://{}", daemon.address), "daemon", 0, "daemon ok");
    let body = "the scheduler has made no progress for 12s\n";
    let fake = Fake::saying("503 Service Unavailable", "error", body);
    check_line(&fake.url(), "daemon", 1, &format!("daemon error: {}", body.trim_end()));
    assert_eq!(ask(&Fake::saying("200 OK", "error", "ok").url(), &["daemon"]).code, 3);
}

#[test]
fn it_says_who_asks_so_that_the_daemon_knows_a_startup_probe() {
    use std::io::{BufRead, BufReader};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        lines.collect::<Vec<String>>()
    });
    assert_eq!(ask(&url, &["startupz"]).code, 3);
    let head = server.join().unwrap();
    assert_eq!(head[0], "GET /startupz?format=json HTTP/1.0");
    let agent = concat!("User-Agent: probelet-ask/", env!("CARGO_PKG_VERSION"));
    assert!(head.iter().any(|line| line == agent), "{head:?}");
}

#[test]
fn only_plain_http_is_spoken() {
    for (url, problem) in [
        ("https://127.0.0.1:10240", "asks for TLS: probelet speaks plain http, on its own port"),
        ("http://127.0.0.1:10240/readyz", "holds more than a host and a port"),
        ("http://user:hunter2@127.0.0.1:10240", "holds more than a host and a port"),
    ] {
        let expected = format!("error: --url {problem}\n  help: write it as http://127.0.0.1:10240\n");
        assert_eq!(ask(url, &[]), Run { code: 2, stdout: String::new(), stderr: expected });
    }
}

const OK: &str = r#"{"status":"ok","data":{"message":"All checks passed"},"checks":[]}"#;
const ERROR: &str = r#"{"status":"error","data":{"message":"Some checks failed"},"checks":[]}"#;

#[test]
fn whatever_does_not_answer_as_probelet_does_is_3() {
    for fake in [
        Fake::answering("SSH-2.0-OpenSSH_9.2\r\n"),
        Fake::answering(&b"\0\xff\xfe"[..]),
        Fake::answering(""),
        Fake::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        Fake::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{OK}", OK.len())),
        Fake::answering(format!("HTTP/1.1 200 OK\r\nX-Health-Status: ok\r\nContent-Length: 1000\r\n\r\n{OK}")),
        Fake::saying("301 Moved Permanently", "ok", OK),
        Fake::saying("404 Not Found", "ok", OK),
        Fake::saying("503 Service Unavailable", "ok", OK),
        Fake::saying("200 OK", "error", ERROR),
        Fake::saying("200 OK", "degraded", OK),
        Fake::saying("200 OK", "ok", r#"{"status":"fine"}"#),
        Fake::saying("200 OK", "ok", "[[[[[["),
    ] {
        let expected = format!("error: {} does not answer as probelet does\n", fake.address());
        assert_eq!(ask(&fake.url(), &[]), Run { code: 3, stdout: String::new(), stderr: expected });
        assert_eq!(ask(&fake.url(), &["some_check"]).code, 3);
    }
}

#[test]
fn a_server_that_never_ends_is_given_up_in_time() {
    let ms = Duration::from_millis;
    let slow = "HTTP/1.1 200 OK\r\nX-Health-Status: ok\r\n\r\n";
    for fake in [
        Fake::silent(),
        Fake::endless("", b"x", ms(20)),
        Fake::endless(slow, b" ", ms(20)),
        Fake::endless("", &[b'x'; 65536], ms(0)),
        Fake::endless(slow, &[b' '; 65536], ms(0)),
    ] {
        let begun = Instant::now();
        let run = runs(&["ask", "--url", &fake.url(), "--timeout", "300ms"]);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (3, "", 1), "{}", run.stderr);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

#[test]
fn what_a_server_says_cannot_disturb_the_terminal() {
    let body = r#"{"status":"error","data":{"message":"\u001b[2J\nevil"},"checks":[]}"#;
    let fake = Fake::saying("503 Service Unavailable", "error", body);
    let expected = Run { code: 1, stdout: "readyz error: [2J evil\n".into(), stderr: String::new() };
    assert_eq!(ask(&fake.url(), &[]), expected);
}

#[test]
fn the_name_of_a_check_is_one_segment_of_the_path() {
    let fake = Fake::doing(|stream, _| {
        use std::io::Write;
        let body = r#"{"status":"ok","data":{"message":"withheld"},"checks":[]}"#;
        let head = format!("HTTP/1.1 200 OK\r\nX-Health-Status: ok\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all((head + body).as_bytes());
    });
    let run = ask(&fake.url(), &["internal_api/user"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "internal_api/user ok\n"));
}
