//! A daemon whose instructions are counted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::log::Log;
use crate::release::daemon;
use crate::support::servers::{Account, Folder, Server, free_port, program};

/// Long, because all is fifty times slower than it would be.
const PATIENCE: Duration = Duration::from_secs(900);
/// From one look whether it is so far to the next: each look is work for it.
const LOOK: Duration = Duration::from_millis(500);

/// What the phases of its checks follow from, beside their names.
const POD: &str = "bench";

/// A daemon below callgrind. Dropping it ends it.
pub struct Counted {
    server: Server,
    /// Where it listens on loopback.
    pub port: u16,
    config: PathBuf,
    folder: Folder,
    /// How many counts were written.
    counts: usize,
    log: Log,
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
        command.arg(ours.get_program()).args(ours.get_args()).env("POD_NAME", POD).env_remove("RUST_LOG");
        let server = Server::start(command, Account::mine(), &folder);
        let log = Log::of(&folder);
        let mut counted = Self { server, port, config, folder, counts: 0, log };
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

    /// How many runs have passed so far.
    ///
    /// # Errors
    /// What it said when runs failed.
    pub fn passes(&mut self, kind: &str) -> Result<f64, String> {
        let (_, metrics) = client::get(self.port, "/metrics").expect("it answers");
        let runs = |outcome: &str| {
            let (of, outcome) = (format!("check=\"{kind}-"), format!("outcome=\"{outcome}\""));
            let lines = metrics.lines().filter(|line| line.starts_with("healthcheck_runs_total{"));
            let lines = lines.filter(|line| line.contains(&of) && line.contains(&outcome));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        if runs("fail") == 0.0 { Ok(runs("pass")) } else { Err(format!("runs fail: {}", self.log.news())) }
    }

    /// Has it read another configuration, and waits until it is ready with that; `beat` is done again and again meanwhile.
    pub fn reload(&mut self, config: &str, beat: impl Fn()) {
        std::fs::write(&self.config, config).expect("it is ours");
        self.log.reload(&mut self.server, PATIENCE);
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
}
