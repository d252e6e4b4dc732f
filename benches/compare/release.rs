//! The daemon as it is released.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The binary as it is released. Cargo builds the one it gives to benchmarks with the features that the tests need, so
/// it is told to build it once more. `PROBELET` in the environment names another one.
pub fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("PROBELET") {
        return std::fs::canonicalize(&binary).unwrap_or_else(|error| panic!("PROBELET={}: {error}", binary.display()));
    }
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

/// The command that starts probelet.
pub fn daemon(binary: &Path, config: &Path, port: u16) -> Command {
    let mut command = Command::new(binary);
    command.arg("run").arg("--config").arg(config).arg("--listen").arg(format!("127.0.0.1:{port}"));
    command.env_remove("RUST_LOG");
    command
}
