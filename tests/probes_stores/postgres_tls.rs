//! What `sslmode` says: which way in is tried, and which one after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use probelet::base::value::Value;
use probelet::model::outcome::{FailureKind, ProbeResult};
use probelet::probe::postgres::KIND;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::postgres::{authority, url};
use crate::postgres_liars::{authentication, begun, described, done, error, let_in, message, ready, row};
use crate::support::certs::{Authority, Folder};
use crate::support::postgres::Postgres;
use crate::support::section::{SectionBuilder, observe};
use crate::{LIMIT, failure, pass};

const REJECTED: &str = "the server rejected the login (SQLSTATE 28000 invalid_authorization_specification)";
const WRONG: &str = "password authentication failed";

#[tokio::test]
async fn whoever_may_come_in_one_way_alone_comes_in_that_way() {
    let modes = ["disable", "allow", "prefer", "require"];
    for (user, taken) in [
        ("unsealed", [Some(false), Some(false), Some(false), None]),
        ("sealed", [None, Some(true), Some(true), Some(true)]),
        ("probe", [Some(false), Some(false), Some(true), Some(true)]),
    ] {
        for (mode, is_encrypted) in modes.into_iter().zip(taken) {
            let url = url(&format!("{user}:hunter2"), &format!("sslmode={mode}"));
            let mut probe = SectionBuilder::new().text("url", url).probe(&KIND);
            match is_encrypted {
                Some(is_encrypted) => {
                    let pass = pass(&mut *probe).await;
                    assert_eq!(pass.facts.tls_not_after.is_some(), is_encrypted, "{user}, {mode}");
                }
                None => {
                    let failure = failure(&mut *probe).await;
                    assert_eq!(
                        (failure.kind, failure.message.as_str()),
                        (FailureKind::Auth, REJECTED),
                        "{user}, {mode}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn of_two_refusals_the_one_that_helps_comes_first_and_neither_is_hidden() {
    let over_tls = format!("{WRONG}; over TLS: {REJECTED}");
    let without = format!("{WRONG}; without TLS: {REJECTED}");
    for (user, message) in [("unsealed", over_tls.as_str()), ("sealed", &without), ("probe", WRONG)] {
        for mode in ["allow", "prefer"] {
            let url = url(&format!("{user}:wr0ng"), &format!("sslmode={mode}"));
            let failure = failure(&mut *SectionBuilder::new().text("url", url).probe(&KIND)).await;
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Auth, message), "{user}, {mode}");
            assert!(failure.facts.tls_not_after.is_some(), "{user}, {mode}");
            let detail = failure.detail.unwrap();
            assert!(detail.starts_with("FATAL: password authentication failed for user"), "{detail}");
            assert_eq!(detail.contains("TLS: FATAL: pg_hba.conf rejects connection"), user != "probe", "{detail}");
        }
    }
}

#[tokio::test]
async fn hostaddr_is_where_to_connect_and_host_the_name_in_the_certificate() {
    let files = Folder::new();
    let root = files.write("root.pem", authority().pem());
    let probe = |host: &str, mode: &str| {
        let parameters = format!("hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={root}");
        let url = url("probe:hunter2", &parameters).replace("localhost", host);
        SectionBuilder::new().text("url", url).probe(&KIND)
    };
    pass(&mut *probe("localhost", "verify-full")).await;
    pass(&mut *probe("nowhere.invalid", "verify-ca")).await;
    let other = failure(&mut *probe("nowhere.invalid", "verify-full")).await;
    assert_eq!((other.kind, other.message.as_str()), (FailureKind::Tls, "certificate is for another host"));
    let both = url("probe:hunter2", "host=nowhere.invalid&hostaddr=127.0.0.1");
    pass(&mut *SectionBuilder::new().text("url", both).probe(&KIND)).await;
}

/// What a server says on one connection: an answer to each thing that it reads.
type Conversation = Vec<Vec<u8>>;

/// What the probe makes of a server that has these conversations, one a connection, and how many it has.
async fn tried(mode: &str, conversations: Vec<Conversation>) -> (ProbeResult, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://probe:hunter2@{}/orders?sslmode={mode}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let server = tokio::spawn(async move {
        let mut conversations = conversations.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counting.fetch_add(1, Ordering::Relaxed);
            let mut buffer = [0; 4096];
            for answer in conversations.next().into_iter().flatten() {
                let Ok(1..) = stream.read(&mut buffer).await else { break };
                let _ = stream.write_all(&answer).await;
            }
            let _ = stream.shutdown().await;
        }
    });
    let section = SectionBuilder::new().text("url", url).with("max_connection_age", Value::Duration(Duration::ZERO));
    let result = observe(&mut *section.probe(&KIND), LIMIT).await.expect("it ends in time");
    server.abort();
    (result, count.load(Ordering::Relaxed))
}

/// A conversation in which somebody is let in and has an answer.
fn passing() -> Conversation {
    let answer = [message(b'1', b""), message(b'2', b""), described(23), row("1"), done("SELECT 1"), ready(b"T")];
    vec![let_in(), begun(), answer.concat(), [done("ROLLBACK"), ready(b"I")].concat()]
}

#[tokio::test]
async fn the_other_way_is_tried_where_libpq_tries_it_and_nowhere_else() {
    let refused = |code: &str| error("FATAL", code);
    let no_tls = || vec![b"N".to_vec(), refused("28000")];
    let bad_handshake = || vec![b"S".to_vec(), b"this is no TLS at all".to_vec()];
    let cases: [(&str, Conversation, usize); 14] = [
        ("allow", vec![refused("28000")], 2),
        ("allow", vec![refused("28P01")], 2),
        ("allow", vec![refused("53300")], 2),
        ("allow", vec![refused("57P03")], 1),
        ("allow", vec![[authentication(0, b""), refused("3D000")].concat()], 1),
        ("allow", vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], 1),
        ("allow", vec![], 1),
        ("prefer", bad_handshake(), 2),
        ("prefer", no_tls(), 1),
        ("prefer", vec![], 1),
        ("prefer", vec![refused("28000")], 1),
        ("prefer", vec![NO_PROCESS.to_vec()], 1),
        ("require", bad_handshake(), 1),
        ("disable", vec![refused("28000")], 1),
    ];
    for (mode, first, expected) in cases {
        let said = format!("{mode}: {first:?}");
        // A server without TLS goes on in the second attempt of `allow`.
        let second = if mode == "allow" { [vec![b"N".to_vec()], passing()].concat() } else { passing() };
        let (result, count) = tried(mode, vec![first, second]).await;
        assert_eq!((result.is_ok(), count), (expected == 2, expected), "{said}: {result:?}");
    }
}

/// What a server says to whoever connects when it cannot start another process.
const NO_PROCESS: &[u8] = b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0";

#[tokio::test]
async fn a_server_that_has_no_process_for_the_connection_says_so() {
    let cases: [(&[u8], _, _); 3] = [
        (
            NO_PROCESS,
            "the server cannot start a process for the connection",
            Some("could not fork new process for connection: Resource temporarily unavailable"),
        ),
        (b"Esorry, not now\n\0", "the server refuses the connection", Some("sorry, not now")),
        (b"ERROR\r\n", "the server does not speak PostgreSQL's protocol", None),
    ];
    for (said, message, detail) in cases {
        for mode in ["disable", "allow", "prefer", "require"] {
            let (result, count) = tried(mode, vec![vec![said.to_vec()], passing()]).await;
            let failure = result.unwrap_err();
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Protocol, message), "{mode}");
            assert_eq!((failure.detail.as_deref(), count), (detail, 1), "{mode}");
        }
    }
    let (result, _) = tried("require", vec![vec![error("FATAL", "53300")]]).await;
    let message = "the server has no connection left (SQLSTATE 53300 too_many_connections)";
    assert_eq!(result.unwrap_err().message, message);
}

#[tokio::test]
async fn a_real_server_that_may_start_no_process_is_told_from_one_that_is_none() {
    let own = Authority::new("own");
    let mut postgres = Postgres::start(&own.server(&["localhost"]), &own);
    let probe = |postgres: &Postgres, mode: &str| {
        let url = postgres.url("probe:hunter2", &format!("sslmode={mode}"));
        let section = SectionBuilder::new().text("url", url);
        section.with("max_connection_age", Value::Duration(Duration::ZERO)).probe(&KIND)
    };
    pass(&mut *probe(&postgres, "prefer")).await;
    postgres.forbid_processes();
    for mode in ["disable", "allow", "prefer", "require"] {
        let failure = failure(&mut *probe(&postgres, mode)).await;
        assert_eq!(failure.message, "the server cannot start a process for the connection", "{mode}");
        assert!(failure.detail.unwrap().starts_with("could not fork new process for connection: "), "{mode}");
    }
}

#[tokio::test]
async fn there_is_no_third_attempt() {
    let refused = || error("FATAL", "28000");
    let (result, count) = tried("allow", vec![vec![refused()], vec![b"N".to_vec(), refused()], passing()]).await;
    assert_eq!((result.unwrap_err().message.as_str(), count), (REJECTED, 2));
    let bad_handshake = || vec![b"S".to_vec(), b"this is no TLS at all".to_vec()];
    let (result, count) = tried("allow", vec![vec![refused()], bad_handshake(), passing()]).await;
    let expected = format!("server does not speak TLS; without TLS: {REJECTED}");
    assert_eq!((result.unwrap_err().message, count), (expected, 2));
    let (result, count) = tried("prefer", vec![bad_handshake(), vec![refused()], passing()]).await;
    let expected = format!("server does not speak TLS; without TLS: {REJECTED}");
    assert_eq!((result.unwrap_err().message, count), (expected, 2));
}
