//! The CPU time of one probe: of everybody over HTTP, and of one run of each of our kinds.

use std::thread::sleep;
use std::time::Duration;

use crate::client::Client;
use crate::contestants::{Contestant, HTTP_INTERVAL, Job, Maker};
use crate::process::{cpu_during, steadily};
use crate::say;
use crate::sheet::Sheet;
use crate::targets::{KINDS, Targets};

/// So many checks, ten times a second each: each probe finds the caches cold and the processor asleep, as beside an app.
const CHECKS: usize = 10;
const SPAN: Duration = Duration::from_secs(3);
/// Until the first connections and allocations are over.
const WARM_UP: Duration = Duration::from_millis(1500);

/// Measures everybody in turn; each with what it uses when idle taken off. How many probes there were is told by the
/// server that was probed, and so is whether connections were kept.
pub fn beside(sheet: &mut Sheet, all: &[Contestant], targets: &Targets, rounds: usize) {
    for round in 1..=rounds {
        say(&format!("CPU time of an HTTP probe: round {round} of {rounds}"));
        for one in all {
            let idle = idle(one, targets);
            for (key, is_kept) in [("kept", true), ("fresh", false)] {
                let job = Job::Http { count: CHECKS, is_kept };
                if one.maker.can(&job) {
                    sheet.add(key, one.maker.column(), probe(one, &job, targets, idle));
                }
            }
        }
    }
}

/// The CPU time of a second without anything to do.
fn idle(one: &Contestant, targets: &Targets) -> f64 {
    let running = one.start(&Job::Idle, targets);
    sleep(WARM_UP);
    let (used, ()) = cpu_during(running.process(), || sleep(SPAN / 2));
    used / (SPAN / 2).as_secs_f64()
}

fn probe(one: &Contestant, job: &Job, targets: &Targets, idle: f64) -> f64 {
    let running = one.start(job, targets);
    let mut client = Client::new(running.port).expect("it listens");
    let period = Duration::from_millis(HTTP_INTERVAL as u64);
    // blackbox_exporter looks at one target each time it is asked: so it is asked as often as there are probes.
    let mut work = |span| {
        if running.is_asked() {
            steadily(period, span, || running.look(&mut client));
        } else {
            sleep(span);
        }
    };
    work(WARM_UP);
    let before = targets.asked();
    let (used, ()) = cpu_during(running.process(), || work(SPAN));
    let after = targets.asked();
    let probes = (after.requests - before.requests) as f64;
    let wanted = (CHECKS * 1000 / HTTP_INTERVAL) as f64 * SPAN.as_secs_f64();
    assert!(probes > 0.7 * wanted, "{}: only {probes} probes in {SPAN:?}", one.maker.name());
    let connections = (after.connections - before.connections) as f64;
    if let Job::Http { is_kept, .. } = job {
        let is_kept_indeed = connections < 0.2 * probes;
        assert_eq!(*is_kept, is_kept_indeed, "{}: {connections} connections for {probes}", one.maker.name());
    }
    (used - idle * SPAN.as_secs_f64()) / probes
}

/// Measures one run of each kind of ours, with its connection kept and with a fresh one.
pub fn kinds(sheet: &mut Sheet, probelet: &Contestant, targets: &Targets, rounds: usize) {
    debug_assert_eq!(probelet.maker, Maker::Probelet);
    for round in 1..=rounds {
        say(&format!("CPU time of a run of each kind: round {round} of {rounds}"));
        let idle = idle(probelet, targets);
        for (kind, has_connection) in KINDS {
            for (column, more) in [", max_connection_age: 1m", ", max_connection_age: 0s"].into_iter().enumerate() {
                if !has_connection && column == 0 {
                    continue;
                }
                let more = if *has_connection { more } else { "" };
                let job = Job::Written(targets.checks(CHECKS, HTTP_INTERVAL, kind, more));
                let running = probelet.start(&job, targets);
                sleep(WARM_UP);
                let before = running.passes();
                let (used, ()) = cpu_during(running.process(), || sleep(SPAN));
                let passes = running.passes() - before;
                assert!(passes > 0, "{kind}: no run in {SPAN:?}");
                sheet.add(kind, column, (used - idle * SPAN.as_secs_f64()) / passes as f64);
            }
        }
    }
}
