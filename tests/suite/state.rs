//! What outlives the sidecar's own container, and a configuration file that is broken, hangs or is no file.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::process::{Child, Command};

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, PATIENCE, exchange};
use crate::support::held::Held;

/// A pod: a configuration file and a state directory that outlive its sidecar.
struct Pod {
    folder: Folder,
    config: PathBuf,
    state: PathBuf,
}

impl Pod {
    fn new(config: &str) -> Self {
        let folder = Folder::new();
        let config = folder.write("config.yaml", config).into();
        let state = folder.path().join("state");
        Self { folder, config, state }
    }

    /// The sidecar, as our manifests start it.
    async fn sidecar(&self, environment: &[(&str, &str)]) -> Daemon {
        let state = self.state.to_str().unwrap();
        let arguments = ["--config-error", "serve", "--state", state];
        Daemon::start_in(Folder::new(), self.config.clone(), &arguments, environment).await
    }

    fn write(&self, config: &str) {
        let fresh = self.folder.write("config.new", config);
        std::fs::rename(fresh, &self.config).unwrap();
    }

    /// Waits until the file in the state directory holds `text`.
    async fn keeps(&self, name: &str, text: &str) {
        let is_there = || {
            let bytes = std::fs::read(self.state.join(name)).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        until(is_there, &format!("{text} in {name}")).await;
    }
}

async fn until(is_so: impl Fn() -> bool, what: &str) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {what}"));
}

async fn killed(mut daemon: Daemon) {
    daemon.signal(Signal::KILL);
    daemon.ends().await;
}

fn check(name: &str, message: &str) -> String {
    format!("  - {{ name: {name}, simulated: {{ ok_message: \"{message}\" }}, interval: 100ms }}\n")
}

/// A configuration with an expansion.
fn good() -> String {
    format!("server: {{ drain: 0s }}\nchecks:\n{}", check("shop", "${GREETING}"))
}

const BROKEN: &str = "checks:\n  - nam: shop\n";
const POD: [(&str, &str); 2] = [("POD_UID", "pod-1"), ("GREETING", "hunter2")];

/// A pod whose sidecar was killed while all was well, and whose file is broken since.
async fn broken() -> Pod {
    let pod = Pod::new(&good());
    let daemon = pod.sidecar(&POD).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.get("/-/ready").await.body, "ok");
    pod.keeps("last-good.yaml", "${GREETING}").await;
    killed(daemon).await;
    pod.write(BROKEN);
    pod
}

#[tokio::test]
async fn a_restart_with_a_broken_file_goes_on_with_the_last_good_one_and_everything_says_so() {
    let pod = broken().await;
    let kept = pod.state.join("last-good.yaml");
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(text.ends_with(&good()) && !text.contains("hunter2"), "as it was written, no secret expanded: {text}");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    let mut daemon = pod.sidecar(&POD).await;
    daemon.until_status("/readyz", 200).await;
    let table = daemon.until("/healthz", |reply| reply.body.contains("PASS")).await.body;
    assert!(table.ends_with("shop                          PASS    hunter2\n"), "{table}");
    let ready = daemon.get("/-/ready").await;
    assert_eq!((ready.status, ready.header("x-health-status")), (200, Some("degraded")));
    let why = format!("{}:2:5: there is no section that says what to observe [missing-kind]", pod.config.display());
    assert!(ready.body.starts_with(&format!("the last good configuration is in use: {why}")), "{}", ready.body);
    let metrics = daemon.get("/metrics").await.body;
    assert!(metrics.contains("\nprobelet_config_last_reload_successful 0\n"), "{metrics}");
    let line = daemon.logs("the last good one is in use").await;
    assert!(line.contains("\"ERROR\"") && line.contains("missing-kind"), "{line}");

    // Another mistake is told instead of the first.
    pod.write("checks:\n  - { name: shop, simulated: {}, timeot: 1s }\n");
    daemon.until("/-/ready", |reply| reply.body.contains("unknown key `timeot`")).await;
    let before = daemon.until_state("shop", "ok").await;
    pod.write(&(good() + &check("till", "open")));
    daemon.until_state("till", "ok").await;
    assert_eq!(daemon.until_state("shop", "ok").await["since"], before["since"], "a reload, and no start");
    assert_eq!(daemon.get("/-/ready").await.body, "ok");
    daemon.until("/metrics", |reply| reply.body.contains("\nprobelet_config_last_reload_successful 1\n")).await;
    pod.keeps("last-good.yaml", "till").await;
    killed(daemon).await;
}

#[tokio::test]
async fn a_last_good_configuration_of_another_pod_or_without_its_secrets_is_none() {
    let pod = broken().await;
    for environment in [[("POD_UID", "pod-2"), ("GREETING", "hunter2")], [("POD_UID", "pod-1"), ("OTHER", "hunter2")]] {
        let daemon = pod.sidecar(&environment).await;
        assert_eq!(daemon.get("/readyz").await.status, 503, "{environment:?}");
        assert_eq!(daemon.get("/livez").await.status, 200);
        let ready = daemon.get("/-/ready").await;
        assert_eq!(ready.status, 503);
        assert!(
            ready.body.starts_with("no valid configuration: ") && ready.body.contains("[missing-kind]"),
            "{ready:?}"
        );
        killed(daemon).await;
    }
    // What ends without a valid configuration ends with a last good one, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(&pod.config).arg("--state").arg(&pod.state);
    let output = command.envs(POD).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn latches_survive_in_the_state_directory() {
    let shared = |rate| {
        format!(
            "checks:\n  - {{ name: db, simulated: {{ error_rate: {rate} }}, interval: 100ms, critical: at_startup }}\n"
        )
    };
    let pod = Pod::new(&shared(0));
    let daemon = pod.sidecar(&POD).await;
    daemon.until_status("/readyz", 200).await;
    let history = ["history.db", "history.db-wal"];
    let holds = |name: &str| {
        std::fs::read(pod.state.join(name)).unwrap_or_default().windows(10).any(|window| window == b"ready_once")
    };
    until(|| history.iter().any(|name| holds(name)), "ready_once in the history").await;
    killed(daemon).await;

    pod.write(&shared(1));
    let daemon = pod.sidecar(&POD).await;
    daemon.until_state("db", "error").await;
    assert_eq!(daemon.get("/readyz").await.status, 200, "a pod that was ready is not emptied by a shared outage");
    killed(daemon).await;

    // `history.path` goes before it, and the variable names the directory as well as the option.
    let elsewhere = pod.folder.path().join("elsewhere.db");
    pod.write(&format!("history: {{ path: {} }}\n{}", elsewhere.display(), shared(1)));
    let environment = [POD[0], POD[1], ("PROBELET_STATE", pod.state.to_str().unwrap())];
    let daemon = Daemon::start_in(Folder::new(), pod.config.clone(), &[], &environment).await;
    daemon.until_state("db", "error").await;
    assert_eq!(daemon.get("/readyz").await.status, 503);
    assert!(elsewhere.exists());
    pod.keeps("last-good.yaml", "elsewhere.db").await;
    killed(daemon).await;
}

#[tokio::test]
async fn a_beat_that_came_just_before_a_crash_is_known_and_a_failure_makes_an_older_one_forgotten() {
    let pod =
        Pod::new("checks:\n  - { name: worker, heartbeat: { push: true, max_age: 1h }, interval: 1h, gates: [] }\n");
    let beat = async |daemon: &Daemon, status: &str| {
        let body = format!(r#"{{"status":"{status}"}}"#);
        let head = "PUT /v1/heartbeats/worker HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length:";
        let reply = exchange(daemon.address, format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        assert_eq!(reply.status, 204);
    };
    // In the file itself: beside it it is a little sooner.
    // In the file itself: beside it it is a little sooner. The daemon has it alone, so a copy is looked at.
    let copy = pod.folder.path().join("copy.db");
    let counted = async |query: &'static str| {
        for ending in ["", "-wal"] {
            let from = pod.state.join(format!("history.db{ending}"));
            std::fs::copy(from, format!("{}{ending}", copy.display())).ok()?;
        }
        let mut connection = SqliteConnectOptions::new().filename(&copy).connect().await.ok()?;
        let count = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await.ok();
        connection.close().await.ok()?;
        count
    };
    let saves = async |query: &'static str, rows: i64| {
        while counted(query).await != Some(rows) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let beats = "SELECT count(*) FROM latches WHERE kind = 'beat'";
    let daemon = pod.sidecar(&POD).await;
    daemon.until("/healthz", |reply| reply.body.contains("no beat yet")).await;
    // What was to be saved at the start is: the next time would be ten seconds later.
    saves("SELECT count(*) FROM latches WHERE kind = 'ready_once'", 1).await;
    beat(&daemon, "ok").await;
    saves(beats, 1).await;
    killed(daemon).await;

    let daemon = pod.sidecar(&POD).await;
    daemon.until_state("worker", "ok").await;
    beat(&daemon, "error").await;
    saves(beats, 0).await;
    killed(daemon).await;

    let daemon = pod.sidecar(&POD).await;
    daemon.until("/healthz", |reply| reply.body.contains("no beat yet")).await;
    killed(daemon).await;
}

#[tokio::test]
async fn a_beat_is_that_of_its_check_also_by_another_name_after_a_restart_and_a_reload() {
    let named = |keys: &str| {
        format!("checks:\n  - {{ name: {keys}, heartbeat: {{ push: true, max_age: 1h }}, interval: 200ms }}\n")
    };
    let pod = Pod::new(&named("one"));
    let daemon = pod.sidecar(&POD).await;
    daemon.until("/healthz", |reply| reply.body.contains("no beat yet")).await;
    assert_eq!(daemon.ask("PUT", "/v1/heartbeats/one", "Content-Length: 0\r\n").await.status, 204);
    // The state beside it is written before the file, which is what is read.
    pod.keeps("history.db-wal", "beatone").await;
    killed(daemon).await;

    pod.write(&named("two, formerly: one"));
    let daemon = pod.sidecar(&POD).await;
    daemon.until_state("two", "ok").await;
    pod.write(&named("three, formerly: two"));
    daemon.until("/healthz", |reply| reply.body.contains("three ") && reply.body.contains("last beat ")).await;
    pod.keeps("history.db-wal", "beatthree").await;
    killed(daemon).await;

    let daemon = pod.sidecar(&POD).await;
    daemon.until_state("three", "ok").await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    killed(daemon).await;
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_costs_what_it_should_have_kept_and_nothing_else() {
    let mut pod = Pod::new(&good());
    pod.state = pod.config.join("state"); // below a file
    let mut daemon = pod.sidecar(&POD).await;
    daemon.until_status("/readyz", 200).await;
    daemon.logs("the state directory cannot be made").await;
    daemon.logs("the last good configuration cannot be kept").await;
    assert_eq!(daemon.get("/-/healthy").await.status, 200);
    killed(daemon).await;
}

#[tokio::test]
async fn a_file_that_does_not_answer_keeps_no_port_closed() {
    let pod = Pod::new(&good());
    let held = Held::from_all(pod.config.to_str().unwrap());
    let mut daemon = pod.sidecar(&POD).await;
    let ready = daemon.get("/-/ready").await;
    let why = format!("the configuration file {} does not answer\n", pod.config.display());
    assert_eq!((ready.status, ready.body), (503, format!("no valid configuration: {why}")));
    for (path, status) in [("/livez", 200), ("/startupz", 200), ("/-/healthy", 200), ("/readyz", 503)] {
        assert_eq!(daemon.until_status(path, status).await.status, status, "{path}");
    }
    drop(held);
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.get("/-/ready").await.body, "ok");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));

    // With a last good one it is in use until the file answers.
    pod.keeps("last-good.yaml", "${GREETING}").await;
    let held = Held::from_all(pod.config.to_str().unwrap());
    let mut daemon = pod.sidecar(&POD).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.get("/-/ready").await.body, format!("the last good configuration is in use: {why}"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0), "while the file is being read");
    drop(held);
}

/// `probelet run` as the first process of a PID namespace, as in a container.
fn first_process(arguments: &[&str]) -> Child {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--fork", "--pid", "--kill-child", "--", env!("CARGO_BIN_EXE_probelet"), "run"]);
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).envs(POD);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("unshare is missing: install the Debian package `util-linux`")
}

/// The children of a process.
fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Waits until the first process attends to SIGTERM: its id outside of the namespace.
async fn attending(outer: &Child) -> i32 {
    let outer = i32::try_from(outer.id().expect("it runs")).unwrap();
    let catches = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap_or_default();
        let is_it = status.starts_with("Name:\tprobelet\n");
        is_it && u64::from_str_radix(caught, 16).unwrap_or_default() >> (Signal::TERM.as_raw() - 1) & 1 == 1
    };
    until(|| children(outer).iter().any(catches), "first process that attends to signals").await;
    children(outer).into_iter().find(catches).expect("it was just there")
}

#[tokio::test]
async fn the_first_process_of_a_container_ends_while_the_file_is_being_read() {
    for more in [&[][..], &["--config-error", "serve"]] {
        let pod = Pod::new(&good());
        let _held = Held::from_all(pod.config.to_str().unwrap());
        let mut outer = first_process(&[&["--config", pod.config.to_str().unwrap()], more].concat());
        let pid = attending(&outer).await;
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, outer.wait()).await.expect("it ends in time").unwrap();
        assert_eq!(ended.code(), Some(0), "{more:?}");
    }
}

#[tokio::test]
async fn the_first_process_of_a_container_reaps_orphans() {
    let pod = Pod::new(&good());
    let outer = first_process(&["--config", pod.config.to_str().unwrap()]);
    let pid = attending(&outer).await;
    let mut command = Command::new("nsenter");
    if !rustix::process::geteuid().is_root() {
        command.arg("--user");
    }
    let script = "sh -c 'sleep 0.1 & sleep 0.2 &'";
    command.args(["--pid", "--target", &pid.to_string(), "--", "sh", "-c", script]);
    let status = command.status().await.expect("nsenter is missing: install the Debian package `util-linux`");
    assert!(status.success(), "{status}");
    until(|| children(pid).is_empty(), "end of the orphans").await;
}

#[tokio::test]
async fn a_pipe_in_place_of_the_file_ends_no_reloads() {
    let pod = Pod::new(&good());
    let mut daemon = pod.sidecar(&POD).await;
    daemon.until_status("/readyz", 200).await;
    let pipe = pod.folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
    assert!(made.success());
    std::fs::rename(&pipe, &pod.config).unwrap();
    let line = daemon.logs("the old one stays").await;
    assert!(line.contains("it is a pipe, a socket or a device"), "{line}");
    daemon.signal(Signal::HUP);
    pod.write(&(good() + &check("till", "open")));
    daemon.until_state("till", "ok").await;
    killed(daemon).await;

    // At the start, too.
    assert!(Command::new("mkfifo").arg(&pipe).status().await.unwrap().success());
    std::fs::rename(&pipe, &pod.config).unwrap();
    std::fs::remove_dir_all(&pod.state).unwrap();
    let daemon = pod.sidecar(&POD).await;
    assert!(daemon.get("/-/ready").await.body.contains("it is a pipe, a socket or a device"));
    pod.write(&good());
    daemon.until_status("/readyz", 200).await;
    killed(daemon).await;
}

#[tokio::test]
async fn of_a_manifest_only_the_configuration_is_kept() {
    let manifest = |name: &str| {
        let indented: String =
            format!("checks:\n{}", check(name, "${GREETING}")).lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "apiVersion: v1\nkind: Secret\nstringData: {{ password: hunter3 }}\n---\napiVersion: v1\nkind: ConfigMap\n\
             data:\n  config.yaml: |\n{indented}"
        )
    };
    let pod = Pod::new(&manifest("shop"));
    let daemon = pod.sidecar(&POD).await;
    daemon.until_state("shop", "ok").await;
    pod.keeps("last-good.yaml", "${GREETING}").await;
    assert!(!std::fs::read_to_string(pod.state.join("last-good.yaml")).unwrap().contains("hunter3"));
    pod.write(&manifest("till"));
    daemon.until_state("till", "ok").await;
    pod.keeps("last-good.yaml", "till").await;
    killed(daemon).await;
    pod.write(BROKEN);
    let daemon = pod.sidecar(&POD).await;
    daemon.until_state("till", "ok").await;
    killed(daemon).await;
}

#[tokio::test]
async fn a_configuration_from_a_stream_is_read_once() {
    let pod = Pod::new(&good());
    let script = format!("exec \"$0\" run --listen 127.0.0.1:0 --config <(cat {})", pod.config.display());
    for program in [
        &["bash", "-c", &script][..],
        &["sh", "-c", &format!("exec \"$0\" run --listen 127.0.0.1:0 --config - < {}", pod.config.display())],
    ] {
        let mut daemon = Daemon::start_through(program, &POD).await;
        daemon.until_status("/readyz", 200).await;
        daemon.signal(Signal::HUP);
        daemon.logs("cannot be read again").await;
        assert_eq!(daemon.get("/readyz").await.status, 200);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ends().await, Some(0));
    }
}
