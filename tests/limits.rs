//! The daemon and the commands where the system gives little: memory, descriptors, threads, and as the first process.
//! Whatever the limit, it works, or says which limit it is.
//!
//! A limit that cannot be set here (no root, no namespaces) is told on standard error; `PROBELET_REQUIRE_LIMITS=1`
//! makes that a failure.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Nothing that a test waits for takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is gone when the test is over, and that other users may look into.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("probelet-limits-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A configuration of several kinds, with a history file.
    fn configuration(&self, more: &str) -> PathBuf {
        let history = self.0.join("history.db");
        let alive = self.write("alive", "");
        let text = format!(
            "server: {{ drain: 0s }}
history: {{ path: {} }}
checks:
  - {{ name: well, simulated: {{}}, interval: 100ms }}
  - {{ name: disk, disk: {{ path: /, min_free: 0% }}, interval: 100ms }}
  - {{ name: alive, heartbeat: {{ file: {}, max_age: 1h }}, interval: 100ms }}
  - {{ name: web, http: {{ url: 'http://localhost:1/' }}, interval: 100ms }}
  - {{ name: tcp, tcp: {{ address: '127.0.0.1:1' }}, interval: 100ms }}
  - {{ name: cache, redis: {{ url: 'redis://127.0.0.1:1' }}, interval: 100ms }}
  - {{ name: db, postgres: {{ url: 'postgres://probe@127.0.0.1:1/x' }}, interval: 100ms }}
  - {{ name: mq, amqp: {{ url: 'amqp://127.0.0.1:1' }}, interval: 100ms }}
  - name: path
    workflow: {{ steps: [{{ name: a, simulated: {{}} }}, {{ name: b, http: {{ url: 'http://127.0.0.1:1/' }} }}] }}
{more}",
            history.display(),
            alive.display()
        );
        self.write("config.yaml", text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What was started, perhaps through other programs.
struct Started {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

/// How a start went.
enum Start {
    Listens(Started, SocketAddr),
    Ended(i32, String),
}

impl Started {
    /// Starts `program` with its arguments, standard input being a pipe that never ends.
    fn new(mut command: Command) -> Self {
        for inherited in ["RUST_LOG", "POD_NAME", "POD_UID", "POD_IP", "PROBELET_CONFIG"] {
            command.env_remove(inherited);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is there");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, said: String::new() }
    }

    /// Waits for a line with `text`; nothing where it ends without one.
    fn says(&mut self, text: &str) -> Option<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said += &(line.clone() + "\n");
                    if line.contains(text) {
                        return Some(line);
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(_) => panic!("no {text} in time: {}", self.said),
            }
        }
    }

    /// The exit code; 128 and the signal's number where a signal ended it.
    fn ends(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                while let Ok(line) = self.lines.recv() {
                    self.said += &(line + "\n");
                }
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            }
            assert!(Instant::now() < until, "it does not end: {}", self.said);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn listens(mut self) -> Start {
        match self.says("\"message\":\"listening\"") {
            Some(line) => {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                let address = line["address"].as_str().unwrap().parse().unwrap();
                Start::Listens(self, address)
            }
            None => Start::Ended(self.ends(), std::mem::take(&mut self.said)),
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The process that the started one waits for: the first of a namespace.
    fn first_of_namespace(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let child = || std::fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok();
        until("it has a child", child)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(Instant::now() < end, "not in time: {what}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether the process attends to SIGTERM.
fn attends(pid: i32) -> Option<()> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    (caught & (1 << (Signal::TERM.as_raw() - 1)) != 0).then_some(())
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// `probelet` under `limits`: a program that becomes it, with its arguments.
fn under(limits: &[&str], binary: &Path, arguments: &[&str]) -> Command {
    let mut words = limits.iter().copied().map(std::ffi::OsStr::new).chain([binary.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(arguments);
    command
}

const RUN: [&str; 3] = ["run", "--listen", "127.0.0.1:0"];

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_probelet"))
}

/// Starts the daemon under `limits` and, where it starts, has it answer, reload and end. Tells what it said, and
/// whether it started.
fn live_under(name: &str, limits: &[&str], binary: &Path) -> (bool, String) {
    let folder = Folder::new(name);
    let config = folder.configuration("");
    let mut command = under(limits, binary, &RUN);
    command.arg("--config").arg(&config);
    let (mut started, address) = match Started::new(command).listens() {
        Start::Listens(started, address) => (started, address),
        Start::Ended(code, said) => {
            assert_ne!(code, 0, "{said}");
            return (false, said);
        }
    };
    // What wants a thread, a descriptor or memory that there is none of has no verdict, and is waited for by nobody.
    let lives = until("a check that needs nothing passes, or it ends", || {
        if started.child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let answer = get(address, "/healthz?format=json")?;
        let answer: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let well = answer["checks"].as_array()?.iter().find(|check| check["name"] == "well")?;
        (well["state"] == "ok").then_some(true)
    });
    if !lives {
        assert_ne!(started.ends(), 0, "{}", started.said);
        return (false, std::mem::take(&mut started.said));
    }
    assert!(get(address, "/metrics").unwrap().contains("probelet_config_last_reload_successful 1"));
    folder.configuration("  - { name: added, simulated: {}, interval: 100ms }\n");
    signal(started.pid(), Signal::HUP);
    until("the reload", || get(address, "/healthz?format=json")?.contains("\"name\":\"added\"").then_some(()));
    signal(started.pid(), Signal::TERM);
    assert_eq!(started.ends(), 0, "{}", started.said);
    (true, std::mem::take(&mut started.said))
}

/// Tells that a limit cannot be set here.
fn skip(why: &str) {
    // Not by `eprintln`, which the harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: tests/limits.rs: {why}");
    assert!(std::env::var_os("PROBELET_REQUIRE_LIMITS").is_none(), "{why}");
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// The binary where any user may run it.
fn binary_for_all(folder: &Folder) -> PathBuf {
    let path = folder.0.join("probelet");
    std::fs::copy(binary(), &path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn with_few_descriptors_it_lives() {
    for descriptors in [256, 64] {
        let limit = format!("--nofile={descriptors}");
        let (started, said) = live_under(&format!("files-{descriptors}"), &["prlimit", &limit], binary());
        assert!(started, "{said}");
        assert!(!said.contains("defect"), "{said}");
    }
    let (started, said) = live_under("files-6", &["prlimit", "--nofile=6"], binary());
    assert!(!started && said.contains("the limit on open files is reached"), "{said}");
}

#[test]
fn with_little_memory_it_lives_or_says_so() {
    let (started, said) = live_under("memory-64", &["prlimit", "--data=67108864"], binary());
    assert!(started, "{said}");
    assert!(!said.contains("defect"), "{said}");
    let (started, said) = live_under("memory-16", &["prlimit", "--data=16777216"], binary());
    assert!(started || said.contains("memory") || said.contains("a thread"), "{said}");
    assert!(!said.contains("defect"), "{said}");
}

#[test]
fn with_few_threads_it_lives_or_says_so() {
    if !is_root() {
        return skip("another user, whose threads can be counted, needs root");
    }
    let folder = Folder::new("threads-binary");
    let binary = binary_for_all(&folder);
    let user = (200_000 + std::process::id() % 100_000).to_string();
    let mut lived = 0;
    for threads in 0..=12 {
        let limit = format!("--nproc={threads}");
        let limits = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", &limit];
        let (started, said) = live_under(&format!("threads-{threads}"), &limits, &binary);
        let why = "the system refuses a thread: the limit on processes and threads is reached";
        assert!(started || said.contains(why), "{threads}: {said}");
        assert!(!said.contains("defect") && !said.contains("does not resolve"), "{threads}: {said}");
        lived += usize::from(started);
    }
    assert!((1..12).contains(&lived), "{lived}");
    for command in [&["once", "--config"][..], &["validate", "--config"], &["ask", "--url", "http://localhost:1"]] {
        let config = folder.configuration("");
        let limits = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", "--nproc=0"];
        let mut limited = under(&limits, &binary, command);
        if command[0] != "ask" {
            limited.arg(&config);
        }
        let mut started = Started::new(limited);
        started.ends();
        assert!(!started.said.contains("defect"), "{}", started.said);
    }
}

/// As the first process of a namespace, or nothing where that cannot be had.
fn as_first(arguments: &[&str]) -> Option<Started> {
    let namespace = ["unshare", "--pid", "--fork", "--kill-child"];
    let is_possible = Command::new("unshare").args(["--pid", "--fork", "true"]).stderr(Stdio::null()).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        skip("a namespace of processes needs root, and a kernel that allows it");
        return None;
    }
    Some(Started::new(under(&namespace, binary(), arguments)))
}

#[test]
fn as_the_first_process_it_ends_on_sigterm_while_its_configuration_is_read() {
    // What is read never ends.
    for (arguments, code) in [
        (&["run", "--listen", "127.0.0.1:0", "--config", "/dev/stdin"][..], 0),
        (&["run", "--config-error", "serve", "--listen", "127.0.0.1:0", "--config", "/dev/stdin"], 0),
        (&["validate", "--config", "-"], 143),
        (&["once", "--config", "-"], 143),
        (&["wait", "--config", "-"], 143),
        (&["explain", "--config", "-"], 143),
    ] {
        let Some(mut started) = as_first(arguments) else { return };
        let first = started.first_of_namespace();
        until("it attends to signals", || attends(first));
        signal(first, Signal::TERM);
        assert_eq!(started.ends(), code, "{arguments:?}: {}", started.said);
    }
}

#[test]
fn as_the_first_process_it_answers_reloads_and_ends() {
    let folder = Folder::new("first");
    let config = folder.configuration("");
    let config = config.to_str().unwrap();
    let Some(started) = as_first(&["run", "--listen", "127.0.0.1:0", "--config", config]) else { return };
    let Start::Listens(mut started, address) = started.listens() else { panic!("it starts") };
    let first = started.first_of_namespace();
    folder.configuration("  - { name: added, simulated: {}, interval: 100ms }\n");
    signal(first, Signal::HUP);
    until("the reload", || get(address, "/healthz?format=json")?.contains("\"name\":\"added\"").then_some(()));
    signal(first, Signal::TERM);
    assert_eq!(started.ends(), 0, "{}", started.said);
}

/// A daemon with a configuration that works.
fn daemon(folder: &Folder) -> (Started, SocketAddr, PathBuf) {
    let config = folder.configuration("");
    let mut command = Command::new(binary());
    command.args(RUN).arg("--config").arg(&config);
    let Start::Listens(started, address) = Started::new(command).listens() else { panic!("it starts") };
    (started, address, config)
}

fn failed_reload(address: SocketAddr) -> Option<()> {
    get(address, "/metrics")?.contains("probelet_config_last_reload_successful 0").then_some(())
}

#[test]
fn what_is_no_file_in_place_of_the_configuration_fails_the_reload_and_a_file_mends_it() {
    let folder = Folder::new("fifo");
    let (mut started, address, config) = daemon(&folder);
    let written = std::fs::read(&config).unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let kinds: [(&str, Make); 4] = [
        ("pipe", &|path| {
            let owner = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, owner, 0).unwrap();
        }),
        ("device", &|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("terminal", &|path| std::os::unix::fs::symlink("/dev/tty", path).unwrap()),
        ("folder", &|path| std::fs::create_dir(path).unwrap()),
    ];
    for (kind, make) in kinds {
        std::fs::remove_file(&config).unwrap();
        make(&config);
        signal(started.pid(), Signal::HUP);
        until(kind, || failed_reload(address));
        let line = started.says("cannot be used").unwrap();
        assert!(line.contains("unreadable-file") && (line.contains("device") || line.contains("directory")), "{line}");
        assert!(get(address, "/livez").unwrap().starts_with("HTTP/1.1 200"));
        match kind {
            "folder" => std::fs::remove_dir(&config).unwrap(),
            _ => std::fs::remove_file(&config).unwrap(),
        }
        std::fs::write(&config, &written).unwrap();
        signal(started.pid(), Signal::HUP);
        until("it is mended", || failed_reload(address).is_none().then_some(()));
    }
    signal(started.pid(), Signal::TERM);
    assert_eq!(started.ends(), 0, "{}", started.said);
}

#[test]
fn expansions_that_bring_in_too_much_fail_the_reload_within_little_memory() {
    let folder = Folder::new("expansions");
    let megabyte = folder.write("megabyte", "x".repeat(1 << 20));
    let config = folder.configuration("");
    // In this limit two copies of all that the file asks for would not fit.
    let mut command = under(&["prlimit", "--data=100663296"], binary(), &RUN);
    command.arg("--config").arg(&config);
    let Start::Listens(mut started, address) = Started::new(command).listens() else { panic!("it starts") };
    let body = format!("${{file:{}}}", megabyte.display()).repeat(120);
    folder.configuration(&format!(
        "  - name: big\n    http: {{ url: 'http://127.0.0.1:1/', method: POST, body: '{body}' }}\n"
    ));
    signal(started.pid(), Signal::HUP);
    until("the reload fails", || failed_reload(address));
    let line = started.says("cannot be used").unwrap();
    assert!(line.contains("expansions bring in more than 4 MiB altogether [too-large]"), "{line}");
    signal(started.pid(), Signal::TERM);
    assert_eq!(started.ends(), 0, "{}", started.said);
}
