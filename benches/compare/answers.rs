//! Answers a second and the slowest hundredth of them, under the load of wrk.

use std::process::Command;

use crate::contestants::{Exporter, Sidecar};
use crate::process::Memory;
use crate::support::servers::program;
use crate::table::{Goal, Table};
use crate::{median, say};

const ROUNDS: usize = 5;

/// What one run of wrk found.
#[derive(Clone, Copy)]
struct Load {
    per_second: f64,
    p99_seconds: f64,
}

/// Lets wrk ask both in turn.
pub fn compare(table: &mut Table, ours: &Sidecar, theirs: &Exporter) {
    let pages = [
        (ours.port, "/readyz"),
        (theirs.port, "/-/healthy"),
        (ours.port, "/livez"),
        (ours.port, "/metrics"),
        (theirs.port, "/metrics"),
    ];
    let mut loads = pages.map(|_| Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("answers: round {round} of {ROUNDS}"));
        for (loads, (port, path)) in loads.iter_mut().zip(pages) {
            loads.push(ask(port, path));
        }
    }
    let [readyz, healthy, livez, metrics, their_metrics] = loads.map(|loads| Load {
        per_second: median(loads.iter().map(|load| load.per_second).collect()),
        p99_seconds: median(loads.iter().map(|load| load.p99_seconds).collect()),
    });
    let rows = [
        ("/readyz, exporter: /-/healthy", readyz, healthy, Goal::AtLeastTimes(1.5)),
        ("/livez, exporter: /-/healthy", livez, healthy, Goal::None),
        ("/metrics", metrics, their_metrics, Goal::None),
    ];
    table.heading("answers a second (wrk -t1 -c32 -d3s), probelet with the seven checks");
    for (name, ours, theirs, goal) in rows {
        table.rate(name, ours.per_second, Some(theirs.per_second), goal);
    }
    table.heading("the slowest hundredth of them takes more than (p99)");
    for (name, ours, theirs, _) in rows {
        table.time(name, ours.p99_seconds, Some(theirs.p99_seconds), Goal::None);
    }
    table.heading("memory after that load");
    let [mine, rival] = [ours.process(), theirs.process()].map(|process| Memory::of(process).resident);
    table.bytes("resident (VmRSS)", mine, Some(rival), Goal::None);
}

fn ask(port: u16, path: &str) -> Load {
    let mut wrk = Command::new(program("wrk", "wrk"));
    wrk.args(["-t1", "-c32", "-d3s", "--latency"]).arg(format!("http://127.0.0.1:{port}{path}"));
    let output = wrk.output().expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("Non-2xx"), "{path}: {text}");
    let word = |label: &str| {
        let rest = text.lines().find_map(|line| line.trim().strip_prefix(label));
        rest.map(str::trim).unwrap_or_else(|| panic!("wrk says no {label}: {text}"))
    };
    let per_second = word("Requests/sec:").parse().expect("a number");
    Load { per_second, p99_seconds: seconds(word("99%")) }
}

/// `1.23ms` in seconds.
fn seconds(text: &str) -> f64 {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        _ => 1.0,
    };
    text[..text.len() - unit.len()].parse::<f64>().expect("a number") * factor
}
