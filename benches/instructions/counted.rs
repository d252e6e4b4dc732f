//! A daemon whose instructions are counted.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::release::daemon;
use crate::support::servers::{Account, Folder, Server, free_port, program};

/// Long, because all is fifty times slower than it would be.
const PATIENCE: Duration = Duration::from_secs(900);
/// From one look whether it is so far to the next: each look is work for it.
const LOOK: Duration = Duration::from_secs(1);

/// A daemon below callgrind. Dropping it ends it.
pub struct Counted {
    server: Server,
    /// Where it listens on loopback.
    pub port: u16,
    config: PathBuf,
    folder: Folder,
    /// How many counts were written.
    counts: usize,
    /// How much of its log has been read.
    read: u64,
}

impl Counted {
    /// Starts it, and waits until it is ready.
    pub fn start(binary: &Path, config: &str) -> Self {
        let (folder, port) = (Folder::new("counted"), free_port());
        let config = folder.write("config.yaml", config, &Account::mine());
        let ours = daemon(binary, &config, port);
        let mut command = Command::new(program("valgrind", "valgrind"));
        command.args(["--tool=callgrind", "--quiet", "--fair-sched=yes"]);
        command.arg(format!("--callgrind-out-file={}", folder.path().join("counts").display()));
        // The phases of the checks follow from the pod's name.
        command.arg(ours.get_program()).args(ours.get_args()).env("POD_NAME", "bench").env_remove("RUST_LOG");
        let server = Server::start(command, Account::mine(), &folder);
        let mut counted = Self { server, port, config, folder, counts: 0, read: 0 };
        counted.wait("it is ready", |counted| counted.is_ready());
        counted
    }

    fn is_ready(&self) -> bool {
        client::get(self.port, "/readyz").is_some_and(|(code, _)| code == 200)
    }

    /// A connection to it.
    pub fn client(&self) -> Client {
        Client::new(self.port).expect("it listens")
    }

    /// The instructions of all its threads while `work` is done.
    pub fn during(&mut self, work: impl FnOnce()) -> f64 {
        self.dump();
        work();
        self.dump()
    }

    /// How many runs have passed so far. None may have failed.
    pub fn passes(&self, kind: &str) -> f64 {
        let (_, metrics) = client::get(self.port, "/metrics").expect("it answers");
        let runs = |outcome: &str| {
            let (of, outcome) = (format!("check=\"{kind}-"), format!("outcome=\"{outcome}\""));
            let lines = metrics.lines().filter(|line| line.starts_with("healthcheck_runs_total{"));
            let lines = lines.filter(|line| line.contains(&of) && line.contains(&outcome));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        assert!(runs("fail") == 0.0, "{kind}: runs fail");
        runs("pass")
    }

    /// Has it read another configuration, and waits until it is ready with that.
    pub fn reload(&mut self, config: &str, beat: impl Fn()) {
        std::fs::write(&self.config, config).expect("it is ours");
        self.news();
        let process = self.server.child.id();
        let status = Command::new("sh").args(["-c", &format!("kill -HUP {process}")]).status();
        assert!(status.is_ok_and(|status| status.success()), "it runs");
        let mut said = String::new();
        self.wait("it has loaded its configuration", |counted| {
            said += &counted.news();
            assert!(!said.contains("cannot be used"), "{said}");
            said.contains("the configuration was loaded")
        });
        self.wait("it is ready again", |counted| {
            beat();
            counted.is_ready()
        });
    }

    fn wait(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE && !self.server.has_ended(), "waited in vain until {what}");
            std::thread::sleep(LOOK);
        }
    }

    /// Begins a new count; says what the last one came to.
    fn dump(&mut self) -> f64 {
        self.counts += 1;
        let file = self.folder.path().join(format!("counts.{}", self.counts));
        let mut asking = Command::new(program("vgdb", "valgrind"));
        asking.arg(format!("--pid={}", self.server.child.id())).arg("dump");
        let output = asking.output().expect("vgdb runs");
        assert!(output.status.success(), "vgdb: {}", String::from_utf8_lossy(&output.stderr));
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(total) = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")) {
                return total.trim().parse().expect("callgrind tells a number");
            }
            assert!(begun.elapsed() < PATIENCE, "callgrind has written no count");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged since the last look.
    fn news(&mut self) -> String {
        let mut text = String::new();
        let mut log = std::fs::File::open(self.folder.path().join("output.log")).expect("it is ours");
        log.seek(SeekFrom::Start(self.read)).expect("it is a file");
        self.read += log.read_to_string(&mut text).expect("it is text") as u64;
        text
    }
}
