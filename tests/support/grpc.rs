//! Real clients and servers of gRPC: Python's, in a virtual environment below the target directory, and Go's.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is installed, by name and version.
const PACKAGES: [&str; 2] = ["grpcio==1.85.3", "grpcio-health-checking==1.85.1"];
const SUPPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
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

/// `grpc-health-probe`.
pub fn go_probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let folder = installed("grpc-go", |folder| {
            run(go().args(["install", GO_PROBE]).env("GOBIN", folder).env("GOFLAGS", "-mod=mod"));
        });
        folder.join("grpc-health-probe")
    })
}

/// A server with Go's gRPC, `grpc_server/main.go`.
pub fn go_server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        let sources = Path::new(SUPPORT).join("grpc_server");
        let read = |name: &str| fs::read_to_string(sources.join(name)).unwrap();
        let wanted = [read("main.go"), read("go.sum")].concat();
        let folder = filled("grpc-go-server", &wanted, |folder| {
            run(go().args(["build", "-trimpath", "-o"]).arg(folder.join("server")).arg(".").current_dir(&sources));
        });
        folder.join("server")
    })
}

/// Go, the machine's or one that is fetched.
fn go() -> Command {
    Command::new(Path::new(SUPPORT).join("go"))
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
