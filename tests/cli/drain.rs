//! `probelet drain`: readiness closes, and the wait is as long as the daemon says.

use std::time::Instant;

use rustix::process::Signal;

use crate::command::{Run, probelet, run, runs, start};
use crate::fakes::{Fake, free_port};
use crate::support::daemon::Daemon;

const WELL: &str = "checks:\n  - { name: well, simulated: {}, interval: 100ms }\n";

#[tokio::test]
async fn it_closes_readiness_waits_for_the_drain_and_can_be_undone() {
    let daemon = Daemon::start(&format!("server: {{ drain: 1300ms }}\n{WELL}")).await;
    daemon.until_status("/readyz", 200).await;
    let url = format!("http://{}", daemon.address);
    let begun = Instant::now();
    let mut command = probelet(&["drain"]);
    command.env("PROBELET_URL", &url);
    let mut drain = start(command);
    assert_eq!(drain.says("\n"), "draining for 1.3s\n");
    daemon.until_status("/readyz", 503).await;
    assert_eq!(drain.ends(), Run { code: 0, stdout: String::new(), stderr: String::new() });
    assert!((1300..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());

    let undone = runs(&["drain", "--undo", "--url", &url]);
    assert_eq!(undone, Run { code: 0, stdout: "not draining\n".into(), stderr: String::new() });
    daemon.until_status("/readyz", 200).await;
}

#[tokio::test]
async fn the_token_comes_from_the_configuration_the_environment_or_a_file() {
    let folder = crate::support::certs::Folder::new();
    let token = folder.write("token", "hunter2\n");
    let config = format!("server: {{ drain: 0s, token: \"${{file:{token}}}\" }}\n{WELL}");
    let daemon = Daemon::start(&config).await;
    let path = folder.write("config.yaml", &config);
    let url = format!("http://{}", daemon.address);
    let drains = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = probelet(&["drain", "--url", &url]);
        command.args(arguments).envs(variables.iter().copied());
        run(command)
    };
    let wanted = |stderr: &str| Run {
        code: 2,
        stdout: String::new(),
        stderr: stderr.replace("{}", &daemon.address.to_string()),
    };
    let drained = Run { code: 0, stdout: "draining for 0ms\n".into(), stderr: String::new() };
    let help =
        "error: {} wants its token\n  help: give it in $PROBELET_TOKEN or with --token-file, as `server.token` there\n";
    assert_eq!(drains(&[], &[]), wanted(help));
    let another = "error: {} wants another token: compare it with `server.token` there\n";
    assert_eq!(drains(&[], &[("PROBELET_TOKEN", "hunter3")]), wanted(another));
    // As a preStop hook in the sidecar's own container.
    assert_eq!(drains(&[], &[("PROBELET_CONFIG", &path)]), drained);
    assert_eq!(drains(&[], &[("PROBELET_TOKEN", "hunter2\n")]), drained);
    assert_eq!(drains(&["--token-file", &token, "--undo"], &[]).stdout, "not draining\n");
    assert_eq!(
        drains(&["--token-file", "/nowhere"], &[]).stderr,
        "error: cannot read the file of --token-file, /nowhere: no such file\n"
    );
    // A pipe as a shell makes it, and one whose other end writes nothing.
    let piped = |script: &str| {
        let mut command = std::process::Command::new("bash");
        command.args(["-c", script, "drain", env!("CARGO_BIN_EXE_probelet"), &url]);
        run(command)
    };
    assert_eq!(piped("$1 drain --undo --url $2 --token-file <(echo hunter2)").stdout, "not draining\n");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let silent = runs(&["ask", "well", "--url", &url, "--timeout", "200ms", "--token-file", pipe.to_str().unwrap()]);
    let complaint = format!("error: cannot read the file of --token-file, {}: it does not end\n", pipe.display());
    assert_eq!(silent, Run { code: 2, stdout: String::new(), stderr: complaint });
    let empty = "error: $PROBELET_TOKEN holds no token: one word of letters, digits and signs of ASCII\n";
    assert_eq!(drains(&[], &[("PROBELET_TOKEN", "a b")]), Run { code: 2, stdout: String::new(), stderr: empty.into() });
    let mut ask = probelet(&["ask", "well", "--url", &url]);
    ask.env("PROBELET_TOKEN", "hunter2");
    assert_eq!(run(ask).stdout, "well ok\n");
    // A daemon that wants another token is no daemon that cannot be reached.
    let asked = runs(&["ask", "well", "--url", &url, "--if-unreachable", "ok"]);
    assert_eq!(asked, wanted(help));
    // Kubelet's own questions need none.
    assert_eq!(runs(&["ask", "livez", "--url", &url]).stdout, "livez ok\n");
}

#[tokio::test]
async fn where_it_is_not_allowed_it_says_why() {
    let daemon = Daemon::start(&format!("server: {{ control: false }}\n{WELL}")).await;
    let url = format!("http://{}", daemon.address);
    let expected = format!(
        "error: {} knows no drain\n  help: write `server: {{ control: true }}` in its configuration\n",
        daemon.address
    );
    for arguments in [&["drain", "--url", &url][..], &["drain", "--undo", "--url", &url]] {
        assert_eq!(runs(arguments), Run { code: 2, stdout: String::new(), stderr: expected.clone() });
    }

    let narrow = format!("server: {{ listen: {{ address: \"127.0.0.1:0\", routes: metrics }} }}\n{WELL}");
    let daemon = Daemon::start(&narrow).await;
    let refused = runs(&["drain", "--url", &format!("http://{}", daemon.address)]);
    let expected = format!(
        "error: {} takes no drain: that address has `routes: probes` or `metrics`\n  help: name an address of \
         `server.listen` with `routes: all`\n",
        daemon.address
    );
    assert_eq!(refused, Run { code: 2, stdout: String::new(), stderr: expected });

    let fake = Fake::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let expected = format!(
        "error: {} refuses: a drain is taken from the same host alone\n  help: run this in the pod, with \
         http://127.0.0.1 or http://localhost\n",
        fake.address()
    );
    let refused = runs(&["drain", "--url", &fake.url()]);
    assert_eq!(refused, Run { code: 2, stdout: String::new(), stderr: expected });
}

#[test]
fn whoever_is_no_daemon_is_3() {
    let port = free_port();
    let run = runs(&["drain", "--url", &format!("http://127.0.0.1:{port}")]);
    let expected = format!("error: cannot reach 127.0.0.1:{port}: connection refused; is the daemon running?\n");
    assert_eq!(run, Run { code: 3, stdout: String::new(), stderr: expected });
    for body in ["ok", "draining\n", "draining for 100y\n", "draining for 999999h\n", "not draining\n"] {
        let length = body.len();
        let fake = Fake::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"));
        let expected = format!("error: {} does not answer as probelet does\n", fake.address());
        let run = runs(&["drain", "--url", &fake.url()]);
        assert_eq!(run, Run { code: 3, stdout: String::new(), stderr: expected }, "{body}");
    }
}

#[test]
fn a_signal_ends_the_wait_and_is_no_success() {
    let fake = Fake::answering("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\ndraining for 60s\n");
    let mut drain = start(probelet(&["drain", "--url", &fake.url()]));
    assert_eq!(drain.says("\n"), "draining for 1m\n");
    drain.signal(Signal::TERM);
    assert_eq!(drain.ends(), Run { code: 143, stdout: String::new(), stderr: String::new() });
}
