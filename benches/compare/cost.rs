//! The CPU time of one probe.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::client::Client;
use crate::contestants::{Exporter, Sidecar};
use crate::process::{cpu_during, steadily};
use crate::table::{Goal, Table};
use crate::targets::Targets;
use crate::{median, say};

const ROUNDS: usize = 3;
/// At 100 probes a second.
const SPAN: Duration = Duration::from_secs(5);
/// Until the first connections and allocations are over.
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures both in turn; each with what it uses when idle taken off.
pub fn compare(table: &mut Table, binary: &Path, exporter: &Path, targets: &Targets) {
    say("CPU time: idle");
    let idle = Sidecar::start(binary, "log: { level: warn }\nchecks: []\n");
    let idle_exporter = Exporter::start(exporter);
    let [ours_idle, theirs_idle] =
        [idle.process(), idle_exporter.process()].map(|process| cpu_during(process, || sleep(SPAN)).0);
    drop((idle, idle_exporter));

    let fresh = ", max_connection_age: 0s";
    let kinds = [("http", fresh), ("http", ""), ("postgres", ""), ("redis", ""), ("amqp", "")];
    let mut ours = kinds.map(|_| Vec::new());
    let mut theirs = Vec::new();
    for round in 1..=ROUNDS {
        say(&format!("CPU time: round {round} of {ROUNDS}"));
        theirs.push(exporter_probe(exporter, targets, theirs_idle));
        for (seconds, (kind, more)) in ours.iter_mut().zip(kinds) {
            seconds.push(probe(binary, &targets.ten_checks(kind, more), ours_idle));
        }
    }
    let theirs = median(theirs);
    let [fresh, kept, postgres, redis, amqp] = ours.map(median);
    table.heading("CPU time of one probe");
    table.time("http, a fresh connection each", fresh, Some(theirs), Goal::AtMostTimes(0.1));
    table.time("http, a kept connection", kept, Some(theirs), Goal::AtMostTimes(0.1));
    for (name, seconds) in [("postgres, kept", postgres), ("redis, kept", redis), ("amqp, kept", amqp)] {
        table.time(name, seconds, None, Goal::None);
    }
    table.time("idle, each second", ours_idle / SPAN.as_secs_f64(), Some(theirs_idle / SPAN.as_secs_f64()), Goal::None);
}

/// The CPU time of one run of the checks in `config`.
fn probe(binary: &Path, config: &str, idle: f64) -> f64 {
    let sidecar = Sidecar::start(binary, config);
    sleep(WARM_UP);
    let before = sidecar.passes();
    let (used, ()) = cpu_during(sidecar.process(), || sleep(SPAN));
    let passes = sidecar.passes() - before;
    assert!(passes > 400, "only {passes} probes in {SPAN:?}");
    (used - idle) / passes as f64
}

/// The CPU time of one probe of the exporter, asked over a kept connection as Prometheus does.
fn exporter_probe(exporter: &Path, targets: &Targets, idle: f64) -> f64 {
    let exporter = Exporter::start(exporter);
    let path = Exporter::path("http_2xx", &targets.page());
    let mut client = Client::new(exporter.port).expect("it listens");
    let mut ask = || {
        let (_, body) = client.get(&path).expect("it answers");
        assert!(body.contains("probe_success 1"), "{body}");
    };
    steadily(Duration::from_millis(10), WARM_UP, &mut ask);
    let (used, probes) = cpu_during(exporter.process(), || steadily(Duration::from_millis(10), SPAN, &mut ask));
    (used - idle) / f64::from(probes)
}
