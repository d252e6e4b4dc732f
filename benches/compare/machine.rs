//! The machine, the day and the commit that the figures belong to.

use std::path::Path;
use std::process::Command;

/// Where the figures were taken.
pub struct Machine {
    /// Its processors.
    pub cores: usize,
    /// What the processor calls itself.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// How busy it was before, as the load of the last minute.
    pub load: String,
    /// The compiler.
    pub compiler: String,
    /// The C library.
    pub library: String,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// This one, now.
    pub fn look() -> Self {
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor.map_or_else(|| "unknown".into(), |(_, name)| name.to_owned()),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            compiler: first_line("rustc", &["--version"]),
            library: first_line("getconf", &["GNU_LIBC_VERSION"]),
            date: first_line("date", &["--utc", "+%F"]),
        }
    }
}

/// The commit that was measured.
pub fn revision() -> String {
    if let Some(binary) = std::env::var_os("PROBELET") {
        return first_line(binary, &["--version"]).trim_start_matches("probelet ").to_owned();
    }
    let changed = Command::new("git").args(["status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock"]).output();
    let is_changed = changed.is_ok_and(|output| !output.stdout.is_empty());
    let suffix = if is_changed { " with changes" } else { "" };
    format!("{}{suffix}", first_line("git", &["rev-parse", "--short=12", "HEAD"]))
}

/// Has the kernel forget what it holds of a file: while that is fresh from the compiler, it is mapped in larger pieces, and more of it
/// is resident than where it was read from a disk.
pub fn forget(file: &Path) {
    let _ = Command::new("sync").arg(file).status();
    let source = format!("if={}", file.display());
    let _ = Command::new("dd").args([&source, "iflag=nocache", "count=0", "status=none"]).status();
}

/// The first line that a program says on either output.
fn first_line(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return "unknown".into() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}
