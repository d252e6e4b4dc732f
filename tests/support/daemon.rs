//! The real binary as a child of the test: started on a free port, asked over raw HTTP, ended with the test.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::certs::Folder;

/// Nothing that a test waits for takes longer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon. Dropping it kills it.
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its configuration file.
    pub config: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    logged: watch::Receiver<usize>,
    _folder: Folder,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The head without the status line.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

impl Daemon {
    /// Starts `probelet run` with this configuration.
    pub async fn start(config: &str) -> Self {
        Self::start_with(config, &[], &[]).await
    }

    /// Starts `probelet run` with this configuration, more arguments and more environment.
    pub async fn start_with(config: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let path = PathBuf::from(folder.write("config.yaml", config));
        Self::start_in(folder, path, arguments, environment).await
    }

    /// Starts `probelet run` with the configuration at `path`, which may not exist.
    pub async fn start_in(folder: Folder, path: PathBuf, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
        command.arg("run").arg("--config").arg(&path).args(["--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command, environment, folder, path).await
    }

    /// Starts `probelet run` with this configuration from a shell that has done what `script` says.
    pub async fn start_after(script: &str, config: &str, environment: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let path = PathBuf::from(folder.write("config.yaml", config));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_probelet"));
        command.arg("run").arg("--config").arg(&path).args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command, environment, folder, path).await
    }

    /// Starts `probelet run` with the configuration at `path` through another program, which is to become it.
    pub async fn start_under(program: &[&str], folder: Folder, path: PathBuf) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_probelet"));
        command.arg("run").arg("--config").arg(&path).args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command, &[], folder, path).await
    }

    /// Starts what another program becomes, which is given the path of `probelet` as its last argument.
    pub async fn start_through(program: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_probelet"));
        Self::spawn(command, environment, Folder::new(), PathBuf::new()).await
    }

    /// Starts `probelet demo`.
    pub async fn demo() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
        command.args(["demo", "--listen", "127.0.0.1:0"]);
        Self::spawn(command, &[], Folder::new(), PathBuf::new()).await
    }

    async fn spawn(mut command: Command, environment: &[(&str, &str)], folder: Folder, config: PathBuf) -> Self {
        for inherited in ["RUST_LOG", "POD_NAME", "POD_UID", "POD_IP"] {
            command.env_remove(inherited);
        }
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the binary is built");
        let stderr = child.stderr.take().expect("it is piped");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (sender, mut logged) = watch::channel(0);
        let lines = Arc::clone(&log);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.lock().unwrap().push(line);
                sender.send_modify(|count| *count += 1);
            }
        });
        let address = tokio::time::timeout(PATIENCE, async {
            loop {
                let found = log.lock().unwrap().iter().find_map(|line| listening(line));
                match found {
                    Some(address) => return address,
                    None => logged.changed().await.unwrap_or_else(|_| panic!("it ended: {:?}", log.lock().unwrap())),
                }
            }
        });
        let address = address.await.expect("it listens in time");
        Self { child, address, config, log, logged, _folder: folder }
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id().expect("it runs")).expect("a process id fits")
    }

    /// The lines logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a log line that contains `text`, and returns it.
    pub async fn logs(&mut self, text: &str) -> String {
        let wait = async {
            loop {
                let found = self.log.lock().unwrap().iter().find(|line| line.contains(text)).cloned();
                match found {
                    Some(line) => return line,
                    None => self.logged.changed().await.unwrap_or_else(|_| panic!("it ended without logging {text}")),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {text} in {:#?}", self.log()))
    }

    /// Waits for a log line that contains `text` and is the one numbered `line` or a later one; returns the number of
    /// the line behind it.
    pub async fn logs_from(&mut self, line: usize, text: &str) -> usize {
        let wait = async {
            loop {
                let found = self.log.lock().unwrap().iter().skip(line).position(|line| line.contains(text));
                match found {
                    Some(place) => return line + place + 1,
                    None => self.logged.changed().await.unwrap_or_else(|_| panic!("it ended without logging {text}")),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {text} after line {line}"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a process id is not 0");
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end: the exit code.
    pub async fn ends(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time");
        status.expect("it is our child").code()
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "").await
    }

    /// A request without a body, with more header lines (each ended by `\r\n`).
    pub async fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        exchange(self.address, request.as_bytes()).await
    }

    /// Asks for `path` again and again until the answer is as `wanted`.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Reply) -> bool) -> Reply {
        let mut last = None;
        let wait = async {
            loop {
                let reply = self.get(path).await;
                if wanted(&reply) {
                    return reply;
                }
                last = Some(reply);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(reply) => reply,
            Err(_) => panic!("{path} still says {last:#?}\n{:#?}", self.log()),
        }
    }

    /// Waits until `path` answers with this status code.
    pub async fn until_status(&self, path: &str, status: u16) -> Reply {
        self.until(path, |reply| reply.status == status).await
    }

    /// Waits until the check has this state.
    pub async fn until_state(&self, check: &str, state: &str) -> serde_json::Value {
        let of = |reply: &Reply| {
            let checks = reply.json()["checks"].as_array().cloned().unwrap_or_default();
            checks.into_iter().find(|found| found["name"] == check)
        };
        let reply = self.until("/healthz?format=json", |reply| of(reply).is_some_and(|found| found["state"] == state));
        of(&reply.await).expect("it was just there")
    }

    /// Replaces the configuration file in one step, as an editor or a ConfigMap does.
    pub fn rewrite(&self, config: &str) {
        let fresh = self.config.with_extension("new");
        std::fs::write(&fresh, config).expect("the folder is ours");
        std::fs::rename(&fresh, &self.config).expect("the folder is ours");
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// What they are.
    fn open_files(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs");
        entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect()
    }

    /// Waits until it has no more than so many descriptors open.
    pub async fn until_descriptors(&self, most: usize) {
        let wait = async {
            while self.descriptors() > most {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{} descriptors are open, {most} were before: {:?}", self.descriptors(), self.open_files());
        }
    }
}

/// Sends `request` and reads to the end of the answer.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let answer = tokio::time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(request).await.expect("it takes the request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it answers");
        answer
    });
    let answer = String::from_utf8(answer.await.expect("it answers in time")).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    let (status, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{status}"));
    Reply { status, head: head.replace("\r\n", "\n"), body: body.to_owned() }
}

fn listening(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening").then(|| line["address"].as_str()?.parse().ok()).flatten()
}
