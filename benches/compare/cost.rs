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
/// Probes a second. At these rates each finds the caches cold and the processor asleep, as beside an app: most of what
/// is paid for is that it wakes.
const LOW: u32 = 100;
const HIGH: u32 = 500;
/// What is paid for here is the probe itself. The exporter is asked one time after the other, which is as fast as it
/// gets with one question at a time.
const BUSY: u32 = 3000;
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

    let [fresh, kept] = [", max_connection_age: 0s", ", max_connection_age: 1m"];
    let ways = [
        (BUSY, "http", kept),
        (BUSY, "http", fresh),
        (HIGH, "http", fresh),
        (HIGH, "http", kept),
        (LOW, "http", fresh),
        (LOW, "http", kept),
        (LOW, "postgres", kept),
        (LOW, "redis", kept),
        (LOW, "amqp", kept),
    ];
    let mut ours = ways.map(|_| Vec::new());
    let periods = [Duration::ZERO, Duration::from_secs(1) / HIGH, Duration::from_secs(1) / LOW];
    let mut theirs = periods.map(|_| Vec::new());
    for round in 1..=ROUNDS {
        say(&format!("CPU time: round {round} of {ROUNDS}"));
        for (seconds, period) in theirs.iter_mut().zip(periods) {
            seconds.push(exporter_probe(exporter, targets, period, theirs_idle));
        }
        for (seconds, (rate, kind, more)) in ours.iter_mut().zip(ways) {
            seconds.push(probe(binary, &targets.checks_at(rate, kind, more), rate, ours_idle));
        }
    }
    let [theirs_busy, theirs_high, theirs_low] = theirs.map(median);
    let [kept_busy, fresh_busy, fresh_high, kept_high, fresh_low, kept_low, postgres, redis, amqp] = ours.map(median);
    table.heading(&format!("CPU time of one probe, busy (probelet: {BUSY} of them a second; exporter: back to back)"));
    table.time("http, a kept connection", kept_busy, Some(theirs_busy), Goal::AtMostTimes(0.1));
    table.time("http, a fresh connection each", fresh_busy, Some(theirs_busy), Goal::AtMostTimes(0.1));
    table.heading(&format!("CPU time of one probe, {HIGH} of them a second"));
    table.time("http, a fresh connection each", fresh_high, Some(theirs_high), Goal::AtMostTimes(0.1));
    table.time("http, a kept connection", kept_high, Some(theirs_high), Goal::AtMostTimes(0.1));
    table.heading(&format!("CPU time of one probe, {LOW} of them a second"));
    table.time("http, a fresh connection each", fresh_low, Some(theirs_low), Goal::None);
    table.time("http, a kept connection", kept_low, Some(theirs_low), Goal::None);
    for (name, seconds) in [("postgres, kept", postgres), ("redis, kept", redis), ("amqp, kept", amqp)] {
        table.time(name, seconds, None, Goal::None);
    }
    table.heading("CPU time without anything to do");
    table.time("each second", ours_idle / SPAN.as_secs_f64(), Some(theirs_idle / SPAN.as_secs_f64()), Goal::None);
}

/// The CPU time of one run of the checks in `config`, which make `rate` runs a second.
fn probe(binary: &Path, config: &str, rate: u32, idle: f64) -> f64 {
    let sidecar = Sidecar::start(binary, config);
    sleep(WARM_UP);
    let before = sidecar.passes();
    let (used, ()) = cpu_during(sidecar.process(), || sleep(SPAN));
    let passes = sidecar.passes() - before;
    assert!(passes as f64 > 0.8 * f64::from(rate) * SPAN.as_secs_f64(), "only {passes} probes in {SPAN:?}");
    (used - idle) / passes as f64
}

/// The CPU time of one probe of the exporter, asked every `period` over a kept connection as Prometheus does.
fn exporter_probe(exporter: &Path, targets: &Targets, period: Duration, idle: f64) -> f64 {
    let exporter = Exporter::start(exporter);
    let path = Exporter::path("http_2xx", &targets.page());
    let mut client = Client::new(exporter.port).expect("it listens");
    let mut ask = || {
        let (_, body) = client.get(&path).expect("it answers");
        assert!(body.contains("probe_success 1"), "{body}");
    };
    steadily(period, WARM_UP, &mut ask);
    let (used, probes) = cpu_during(exporter.process(), || steadily(period, SPAN, &mut ask));
    (used - idle) / f64::from(probes)
}
