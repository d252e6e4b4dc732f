//! The load of wrk, and what each of its answers costs whoever gives it.

use std::process::Command;
use std::time::Duration;

use crate::process::cpu_during;
use crate::support::servers::program;

/// What one run of wrk found.
#[derive(Clone, Copy)]
pub struct Load {
    /// Answers a second.
    pub per_second: f64,
    /// CPU time of the process for each answer, in seconds.
    pub cpu: f64,
}

/// Asks `path` on so many connections for so long; CPU time is that of `process`.
pub fn ask(process: u32, port: u16, path: &str, connections: usize, lasts: Duration) -> Load {
    let mut wrk = Command::new(program("wrk", "wrk"));
    wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{}s", lasts.as_secs()), "--timeout", "30s"]);
    wrk.arg(format!("http://127.0.0.1:{port}{path}"));
    let (used, output) = cpu_during(process, || wrk.output().expect("wrk runs"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("Non-2xx"), "{path}: {text}");
    let answers = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    let answers: f64 = answers.and_then(|(count, _)| count.parse().ok()).unwrap_or_else(|| panic!("wrk says {text}"));
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let per_second = rate.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("wrk says {text}"));
    Load { per_second, cpu: used / answers }
}
