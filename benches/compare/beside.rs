//! How long a gate takes while two hundred clients ask for the longest answer without a pause.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::contestants::{Exporter, Sidecar};
use crate::support::servers::program;
use crate::table::{Goal, Table};
use crate::{median, say};

const ROUNDS: usize = 5;
/// How long wrk asks in each round.
const LASTS: Duration = Duration::from_secs(3);
/// From one question at the gate to the next.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks both in turn.
pub fn compare(table: &mut Table, ours: &Sidecar, theirs: &Exporter) {
    let gates = [(ours.port, "/livez"), (theirs.port, "/-/healthy")];
    let mut rounds = gates.map(|_| (Vec::new(), Vec::new()));
    for round in 1..=ROUNDS {
        say(&format!("a gate beside /metrics: round {round} of {ROUNDS}"));
        for ((medians, slowest), (port, gate)) in rounds.iter_mut().zip(gates) {
            let mut times = beside(port, gate);
            times.sort_by(f64::total_cmp);
            slowest.push(times[times.len() * 99 / 100]);
            medians.push(median(times));
        }
    }
    let [ours, theirs] = rounds.map(|(medians, slowest)| (median(medians), median(slowest)));
    table.heading("a gate beside 200 clients of /metrics (wrk -t1 -c200): /livez, exporter: /-/healthy");
    table.time("median", ours.0, Some(theirs.0), Goal::None);
    table.time("p99", ours.1, Some(theirs.1), Goal::None);
}

/// How long `gate` took each time, in seconds, while wrk asked for `/metrics`.
fn beside(port: u16, gate: &str) -> Vec<f64> {
    let mut wrk = Command::new(program("wrk", "wrk"));
    let duration = format!("-d{}s", LASTS.as_secs());
    wrk.args(["-t1", "-c200", &duration]).arg(format!("http://127.0.0.1:{port}/metrics"));
    let mut wrk = wrk.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("wrk runs");
    let mut client = Client::new(port).expect("it listens");
    let mut times = Vec::new();
    while wrk.try_wait().expect("it is our child").is_none() {
        let begun = Instant::now();
        let (code, _) = client.get(gate).expect("it answers");
        times.push(begun.elapsed().as_secs_f64());
        assert_eq!(code, 200, "{gate}");
        std::thread::sleep(PAUSE);
    }
    times
}
