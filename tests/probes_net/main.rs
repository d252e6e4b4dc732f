//! The network kinds and the disk against servers that misbehave: each trouble has its name, ends with the run, and is
//! over once the server is mended.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

#[path = "../support/certs.rs"]
mod certs;
#[path = "../support/fake.rs"]
mod fake;
#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/grpc.rs"]
mod grpc_peers;
#[path = "../support/meter.rs"]
mod meter;
#[path = "../support/openssl.rs"]
mod openssl;
#[path = "../support/section.rs"]
mod section;
#[path = "../support/servers.rs"]
#[expect(dead_code)] // other tests use more of it
mod servers;
#[path = "../support/webservers.rs"]
mod webservers;

mod disk;
mod families;
mod grpc;
mod grpc_go;
mod held;
mod http;
mod http_cookies;
mod http_encodings;
mod http_floods;
mod http_keeps;
mod http_matchers;
mod http_proxies;
mod http_reads;
mod http_redirects;
mod http_sockets;
mod http_versions;
mod tcp;
mod tls;
mod tls_openssl;

use std::sync::Arc;
use std::time::Duration;

use probelet::base::trace::Phase;
use probelet::model::outcome::ProbeResult;
use probelet::probe::{Probe, RunContext};

/// Longer than any exchange on loopback takes, also where it is a second of work and a twentieth of a processor is left for
/// it; shorter than a test may hang.
const LONG: Duration = Duration::from_secs(120);

/// How long a run may hang before its time is up.
const SHORT: Duration = Duration::from_millis(100);

/// What the scheduler would say of a run: `pass`, `degraded: …`, `connect: connection refused`.
async fn said(probe: &mut dyn Probe, limit: Duration) -> String {
    said_of(probe, &RunContext::default(), limit).await
}

async fn said_of(probe: &mut dyn Probe, run: &RunContext, limit: Duration) -> String {
    let trace = Arc::clone(&run.trace);
    match fake::within(limit, probe.observe(run)).await {
        None => format!("timeout: {}", trace.current().map_or("nowhere", Phase::doing)),
        Some(result) => in_words(result),
    }
}

/// As [`said`], where `timeout: connecting` may be expected: the time is then up shortly after the run has come to that
/// point, however slow the machine is.
async fn said_where(probe: &mut dyn Probe, expected: &str) -> String {
    let run = RunContext::default();
    let trace = Arc::clone(&run.trace);
    let there = async {
        while Some(expected) != trace.current().map(|phase| format!("timeout: {}", phase.doing())).as_deref() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(SHORT).await;
    };
    tokio::select! {
        result = fake::within(LONG, probe.observe(&run)) => result.map_or("too slow".into(), in_words),
        () = there => expected.to_owned(),
    }
}

fn in_words(result: ProbeResult) -> String {
    match result {
        Ok(pass) if pass.degraded => format!("degraded: {}", pass.message.unwrap_or_default()),
        Ok(pass) => pass.message.map_or("pass".into(), |message| format!("pass: {message}")),
        Err(failure) => format!("{}: {}", failure.kind.label(), failure.message),
    }
}

#[test]
fn every_key_that_is_documented_can_be_given() {
    for kind in [&probelet::probe::http::KIND, &probelet::probe::tcp::KIND, &probelet::probe::disk::KIND] {
        assert!(!kind.doc.is_empty());
        for field in kind.fields {
            assert!(field.doc.ends_with('.'), "{}.{}", kind.name, field.name);
        }
    }
}
