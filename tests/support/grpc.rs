//! Real clients and servers of gRPC: Python's, in a virtual environment below the target directory, and Go's where Go is.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is installed, by name and version.
const PACKAGES: [&str; 2] = ["grpcio==1.85.3", "grpcio-health-checking==1.85.1"];
const GO_PROBE: &str = "github.com/grpc-ecosystem/grpc-health-probe@v0.4.63";

/// A Python that knows gRPC and its health protocol. The first who asks installs it.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        installed("grpc-python", |venv| {
            run(Command::new("python3").args(["-m", "venv"]).arg(venv));
            let mut pip = Command::new(venv.join("bin/pip"));
            run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES));
        })
        .join("bin/python")
    })
}

/// `grpc-health-probe`; nothing where there is no Go.
pub fn go_probe() -> Option<&'static Path> {
    static PROBE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let probe = PROBE.get_or_init(|| {
        Command::new("go").arg("version").output().ok().filter(|output| output.status.success())?;
        let folder = installed("grpc-go", |folder| {
            run(Command::new("go").args(["install", GO_PROBE]).env("GOBIN", folder).env("GOFLAGS", "-mod=mod"));
        });
        Some(folder.join("grpc-health-probe"))
    });
    probe.as_deref()
}

/// A server with Go's gRPC, `grpc_server/main.go`; nothing where there is no Go.
pub fn go_server() -> Option<&'static Path> {
    static SERVER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        Command::new("go").arg("version").output().ok().filter(|output| output.status.success())?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/grpc_server");
        let read = |name: &str| fs::read_to_string(sources.join(name)).unwrap();
        let wanted = [read("main.go"), read("go.sum")].concat();
        let folder = filled("grpc-go-server", &wanted, |folder| {
            let mut build = Command::new("go");
            run(build.args(["build", "-trimpath", "-o"]).arg(folder.join("server")).arg(".").current_dir(&sources));
        });
        Some(folder.join("server"))
    });
    server.as_deref()
}

/// A folder that `install` has filled once, whatever test needs it first.
fn installed(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    filled(name, &format!("{} {GO_PROBE}", PACKAGES.join(" ")), install)
}

/// The same, of what `wanted` describes.
fn filled(name: &str, wanted: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let done = folder.join("done");
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if fs::read_to_string(&done).ok().as_deref() != Some(wanted) {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        install(&folder);
        fs::write(done, wanted).unwrap();
    }
    folder
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
