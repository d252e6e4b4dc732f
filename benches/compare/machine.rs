//! The machine and the versions that the figures belong to.

use std::path::Path;
use std::process::Command;

/// Cores, kernel, C library and versions, a line each.
pub fn describe(probelet: &Path, exporter: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_once(' ').map_or("unknown", |(minute, _)| minute);
    let lines = [
        ("machine", format!("{cores} cores ({model}), Linux {}, load {load} before it began", kernel.trim())),
        ("built with", format!("{}, {}", first_line("rustc", "--version"), first_line("getconf", "GNU_LIBC_VERSION"))),
        ("probelet", first_line(probelet, "--version")),
        ("against", first_line(exporter, "--version")),
        ("with", first_line("wrk", "--version")),
    ];
    lines.map(|(name, text)| format!("{name:<11}{text}\n")).concat()
}

/// The first line that a program says on either output.
fn first_line(program: impl AsRef<std::ffi::OsStr>, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else { return "unknown".into() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}
