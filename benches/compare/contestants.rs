//! The two that are compared: the release build of probelet, and blackbox_exporter.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client;
use crate::support::servers::{Account, Folder, Server, free_port, program, until};

/// blackbox_exporter, with the same timeout as our checks.
const MODULES: &str = "modules:
  http_2xx: { prober: http, timeout: 2s }
  tcp_connect: { prober: tcp, timeout: 2s }
";

/// The binary as it is released. Cargo builds the one it gives to benchmarks with the features that the tests need, so
/// it is told to build it once more.
pub fn release() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked", "--bin=probelet", "--message-format=json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs this");
    assert!(output.status.success(), "the release build failed");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable =
        |line| serde_json::from_str::<serde_json::Value>(line).ok()?["executable"].as_str().map(Into::into);
    messages.lines().find_map(executable).expect("cargo says where it put the binary")
}

/// The competitor's binary.
pub fn exporter() -> PathBuf {
    program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter")
}

/// A running probelet. Dropping it ends it.
pub struct Sidecar {
    server: Server,
    /// Where it listens on loopback.
    pub port: u16,
    _folder: Folder,
}

impl Sidecar {
    /// Starts it with this configuration and waits until every check has passed.
    pub fn start(binary: &Path, config: &str) -> Self {
        let (folder, account) = (Folder::new("sidecar"), Account::of("root"));
        let port = free_port();
        let config = folder.write("config.yaml", config, &account);
        let server = Server::start(Self::command(binary, &config, port), account, &folder);
        let log = folder.path().join("output.log");
        let mut sidecar = Self { server, port, _folder: folder };
        until("every check has passed", || {
            assert!(!sidecar.server.has_ended(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            client::get(port, "/readyz").is_some_and(|(code, _)| code == 200)
        });
        sidecar
    }

    /// The command that starts it.
    pub fn command(binary: &Path, config: &Path, port: u16) -> Command {
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(config).arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.env_remove("RUST_LOG");
        command
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.server.child.id()
    }

    /// How many runs have passed so far. None may have failed.
    pub fn passes(&self) -> u64 {
        let (_, metrics) = client::get(self.port, "/metrics").expect("it answers");
        let runs = |outcome: &str| {
            let of_outcome = format!("outcome=\"{outcome}\"");
            let lines = metrics.lines().filter(|line| line.starts_with("healthcheck_runs_total{"));
            let counts = lines.filter(|line| line.contains(&of_outcome)).filter_map(|line| line.rsplit(' ').next());
            counts.map(|count| count.parse::<u64>().expect("a count")).sum::<u64>()
        };
        assert_eq!(runs("fail"), 0, "no check fails");
        runs("pass")
    }
}

/// A running blackbox_exporter. Dropping it ends it.
pub struct Exporter {
    server: Server,
    /// Where it listens on loopback.
    pub port: u16,
    _folder: Folder,
}

impl Exporter {
    /// Starts it and waits until it answers.
    pub fn start(binary: &Path) -> Self {
        let (folder, account) = (Folder::new("exporter"), Account::of("root"));
        let port = free_port();
        let config = folder.write("blackbox.yml", MODULES, &account);
        let server = Server::start(Self::command(binary, &config, port), account, &folder);
        let log = folder.path().join("output.log");
        let mut exporter = Self { server, port, _folder: folder };
        until("blackbox_exporter answers", || {
            assert!(!exporter.server.has_ended(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            client::get(port, "/-/healthy").is_some_and(|(code, _)| code == 200)
        });
        exporter
    }

    /// The command that starts it.
    pub fn command(binary: &Path, config: &Path, port: u16) -> Command {
        let mut command = Command::new(binary);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=error");
        command
    }

    /// The modules that it probes with, as a file in `folder`.
    pub fn config(folder: &Folder) -> PathBuf {
        folder.write("blackbox.yml", MODULES, &Account::of("root"))
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.server.child.id()
    }

    /// The path that makes it probe `target`.
    pub fn path(module: &str, target: &str) -> String {
        format!("/probe?module={module}&target={target}")
    }
}
