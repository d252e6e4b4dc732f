//! Resident memory after a while of probing: seven kinds for probelet, HTTP and TCP for the exporter.

use std::time::Duration;

use crate::client::Client;
use crate::contestants::{Exporter, Sidecar};
use crate::process::{Memory, steadily};
use crate::say;
use crate::table::{Goal, Table};
use crate::targets::Targets;

const PERIOD: Duration = Duration::from_secs(5);
const SPAN: Duration = Duration::from_secs(60);

/// Lets both probe for a minute and compares what they hold then.
pub fn compare(table: &mut Table, ours: &Sidecar, theirs: &Exporter, targets: &Targets) {
    say("memory: probing for 60 s");
    let paths = [
        Exporter::path("http_2xx", &targets.page()),
        Exporter::path("tcp_connect", &targets.address()),
        "/metrics".into(),
    ];
    let mut sidecar = Client::new(ours.port).expect("it listens");
    let mut exporter = Client::new(theirs.port).expect("it listens");
    let mut trace = Vec::new();
    // Prometheus asks both: the one for what it has seen, the other to look.
    steadily(PERIOD, SPAN, || {
        let (code, _) = sidecar.get("/metrics").expect("it answers");
        assert_eq!(code, 200);
        for path in &paths {
            let (code, body) = exporter.get(path).expect("it answers");
            assert!(code == 200 && !body.contains("probe_success 0"), "{path}: {code}\n{body}");
        }
        trace.push(format!("{:.1}", mebibytes(Memory::of(ours.process()).resident)));
    });
    ours.passes();
    let (mine, rival) = (Memory::of(ours.process()), Memory::of(theirs.process()));
    table.heading("memory after 60 s; probelet: http, tcp, postgres, redis, amqp, disk, workflow; exporter: http, tcp");
    table.bytes("resident (VmRSS)", mine.resident, Some(rival.resident), Goal::Below(8.0 * 1024.0 * 1024.0));
    table.bytes("  anonymous (RssAnon)", mine.anonymous, Some(rival.anonymous), Goal::None);
    table.bytes("  of files (RssFile)", mine.file, Some(rival.file), Goal::None);
    table.note(&format!("every 5 s, MiB: {}", trace.join(" ")));
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
