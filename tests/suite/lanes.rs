//! The lanes: whatever holds one of them holds no other, and what that means is said.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, exchange};
use crate::support::servers::free_port;

/// A thread that is held, as by a loop without an end, until this is dropped.
struct Stopped(Child);

impl Stopped {
    /// The thread of `daemon` that has this name.
    fn thread(daemon: &Daemon, name: &str) -> Self {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let mut threads = tasks.map(|task| task.unwrap().path());
        let is_wanted = |task: &std::path::PathBuf| std::fs::read_to_string(task.join("comm")).unwrap().trim() == name;
        let thread = threads.find(is_wanted).unwrap_or_else(|| panic!("no thread {name}"));
        // PTRACE_SEIZE and PTRACE_INTERRUPT stop one thread alone, which goes on when the tracer is gone.
        let script = "import ctypes, os, sys\n\
                      ptrace = ctypes.CDLL(None).ptrace\n\
                      ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]\n\
                      thread = int(sys.argv[1])\n\
                      assert ptrace(0x4206, thread, None, None) == 0 and ptrace(0x4207, thread, None, None) == 0\n\
                      os.waitpid(thread, 0x40000000)\n\
                      print('stopped', flush=True)\n\
                      sys.stdin.read()";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(thread.file_name().unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut stopped = Self(python.spawn().expect("python3 is missing: install the Debian package `python3`"));
        let mut line = String::new();
        BufReader::new(stopped.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "stopped\n", "the thread cannot be traced");
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CONFIG: &str = "checks:\n\
                      \x20 - { name: db, simulated: {}, interval: 100ms, stale_after: 1s }\n\
                      \x20 - { name: app, simulated: {}, interval: 100ms, stale_after: 1s, gates: [live] }\n";

#[tokio::test]
async fn a_scheduler_that_hangs_is_told_and_never_green_while_the_gates_are_answered() {
    let daemon = Daemon::start(CONFIG).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.get("/-/healthy").await.status, 200);
    let name = std::fs::read_to_string(format!("/proc/{}/comm", daemon.pid())).unwrap();
    let stopped = Stopped::thread(&daemon, name.trim());
    let readyz = daemon.until_status("/readyz", 503).await;
    assert!(readyz.body.contains("[-]db stale: last result "), "{}", readyz.body);
    assert_eq!(daemon.get("/livez").await.status, 200, "a sidecar that hangs is no reason to restart the app");
    let healthy = daemon.until_status("/-/healthy", 503).await;
    assert!(healthy.body.starts_with("the scheduler has made no progress for "), "{}", healthy.body);
    assert_eq!(daemon.get("/metrics").await.status, 200);
    drop(stopped);
    daemon.until_status("/-/healthy", 200).await;
    daemon.until_status("/readyz", 200).await;
}

#[tokio::test]
async fn a_drain_closes_at_once_also_while_the_scheduler_hangs() {
    let daemon = Daemon::start(&CONFIG.replace("stale_after: 1s", "stale_after: 1h")).await;
    daemon.until_status("/readyz", 200).await;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", daemon.pid())).unwrap();
    let stopped = Stopped::thread(&daemon, name.trim());
    assert_eq!(daemon.get("/readyz").await.status, 200);
    assert_eq!(daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await.status, 200);
    for gate in ["/readyz", "/readyz?verbose", "/readyz?format=json"] {
        assert_eq!(daemon.get(gate).await.status, 503, "{gate}");
    }
    assert_eq!(daemon.get("/livez").await.status, 200);
    drop(stopped);
    assert_eq!(daemon.ask("DELETE", "/-/drain", "").await.status, 200);
    daemon.until_status("/readyz", 200).await;
}

#[tokio::test]
async fn gates_are_answered_while_no_long_answer_is() {
    let daemon = Daemon::start(CONFIG).await;
    daemon.until_status("/readyz", 200).await;
    let stopped = Stopped::thread(&daemon, "answers");
    let mut long = std::pin::pin!(daemon.get("/metrics"));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut long).await.is_err());
    for gate in ["/livez", "/readyz", "/startupz", "/-/healthy", "/-/ready", "/alive", "/ready", "/readyz?verbose"] {
        assert_eq!(daemon.get(gate).await.status, 200, "{gate}");
    }
    drop(stopped);
    assert_eq!(long.await.status, 200);
}

#[tokio::test]
async fn gates_come_before_probes_and_those_before_long_answers_and_reloads() {
    let daemon = Daemon::start(CONFIG).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.get("/metrics").await.status, 200);
    let process = std::fs::read_to_string(format!("/proc/{}/comm", daemon.pid())).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let niceness = |task: std::path::PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap().trim().to_owned();
        let stat = std::fs::read_to_string(task.join("stat")).unwrap();
        // Behind the name, which may hold spaces, `nice` is the seventeenth.
        let nice: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse().unwrap();
        (name, nice)
    };
    let threads: std::collections::BTreeMap<_, _> = tasks.map(|task| niceness(task.unwrap().path())).collect();
    let gates = threads["gates"];
    let behind = |steps: i32| (gates + 5 * steps).min(19);
    assert_eq!(
        [process.trim(), "answers", "config"].map(|name| threads[name]),
        [behind(1), behind(2), behind(2)],
        "{threads:?}"
    );
}

#[tokio::test]
async fn a_daemon_that_says_nothing_has_no_thread_for_it_until_it_does() {
    let (folder, address) = (Folder::new(), SocketAddr::from(([127, 0, 0, 1], free_port())));
    let config = PathBuf::from(folder.write("config.yaml", format!("log: {{ level: warn }}\n{CONFIG}")));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_probelet"));
    command.arg("run").arg("--config").arg(&config).args(["--listen", &address.to_string()]).env_remove("RUST_LOG");
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
        names.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    };
    let is_ready = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ask = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        while exchange(address, ask).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_ready).await.unwrap();
    let before = threads();
    assert!(before.iter().any(|name| name == "answers") && !before.iter().any(|name| name == "log"), "{before:?}");

    std::fs::write(&config, "checks: 5\n").unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().unwrap()));
    let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.contains("the new configuration cannot be used"), "{line}");
    assert!(threads().iter().any(|name| name == "log"));
}
