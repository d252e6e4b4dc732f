//! Stores that mean to hold the lane of the probes: none of them keeps it for long in one go, however much it sends.

use std::time::Duration;

use probelet::probe::{ProbeKind, RunContext, amqp, postgres, redis};

use crate::meter::{endless, least_held, on_a_lane};
use crate::support::section::SectionBuilder;

/// For so long a server may do its worst.
const WHILE: Duration = Duration::from_millis(1500);

/// Says `head` and then `rest` without an end, to a probe of that kind.
async fn is_held_little(kind: &'static ProbeKind, scheme: &str, head: &[u8], rest: &[u8]) {
    let address = endless(head, rest);
    let mut probe = SectionBuilder::new().text("url", format!("{scheme}://user:password@{address}")).probe(kind);
    let held = least_held(async || {
        // Some end in a failure at once, others in a timeout: both are fine.
        let _ = tokio::time::timeout(WHILE, probe.observe(&RunContext::default())).await;
    })
    .await;
    held.is_little(&format!("{scheme} that says {}", String::from_utf8_lossy(rest).escape_debug()));
}

/// A message of PostgreSQL's server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

#[test]
fn a_database_holds_nobody() {
    on_a_lane(async {
        let (ok, ready) = (message(b'R', &[0; 4]), message(b'Z', b"I"));
        let notice = message(b'N', b"SNOTICE\0C00000\0Mx\0\0");
        let (parameter, row) = (message(b'S', b"a\0b\0"), message(b'D', &[0, 1, 0, 0, 0, 1, b'1']));
        for (head, rest) in [
            (vec![], notice.clone()),
            (vec![], parameter),
            (vec![], vec![b'N']),
            (ok.clone(), notice),
            ([ok, ready].concat(), row),
            (message(b'R', &[0; 4]), vec![0]),
        ] {
            is_held_little(&postgres::KIND, "postgres", &head, &rest).await;
        }
    });
}

#[test]
fn a_cache_holds_nobody() {
    on_a_lane(async {
        for (head, rest) in [
            ("", "+OK\r\n"),
            ("", ">2\r\n+message\r\n+x\r\n"),
            ("", "*1\r\n"),
            ("", "+aaaa"),
            ("*1000000\r\n", ":1\r\n"),
            ("$100000000\r\n", "aaaa"),
        ] {
            is_held_little(&redis::KIND, "redis", head.as_bytes(), rest.as_bytes()).await;
        }
    });
}

#[test]
fn a_broker_holds_nobody() {
    on_a_lane(async {
        let heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xce];
        for rest in [&heartbeat[..], &[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 10, 0xce], &[0], b"AMQP"] {
            is_held_little(&amqp::KIND, "amqp", &[], rest).await;
        }
    });
}
