//! The kind `http` against servers that send without end, in every phase of an answer: a run fails and says why, and
//! others get their turn while it lasts.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use probelet::base::value::Value;
use probelet::model::outcome::ProbeResult;
use probelet::probe::http::KIND;
use probelet::probe::{Probe, RunContext};
use rustls::ServerConfig;
use rustls::server::ProducesTickets;

use crate::certs::{Authority, Folder};
use crate::fake::{self, Act, Fake};
use crate::section::SectionBuilder;
use crate::{LONG, in_words, said, said_where};

fn section(fake: &Fake) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://127.0.0.1:{}/", fake.port()))
}

/// What a run says, and in how many polls: between two of them others have their turn.
async fn counted(probe: &mut dyn Probe) -> (String, usize) {
    let run = RunContext::default();
    let mut observed = pin!(fake::within(LONG, probe.observe(&run)));
    let mut polls = 0;
    let result: Option<ProbeResult> = std::future::poll_fn(|context| {
        polls += 1;
        match observed.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    (result.map_or("too slow".into(), in_words), polls)
}

const INTERIM: &str = "protocol: more than 5 interim answers (1xx) come before the answer";
const FRAMING: &str = "protocol: the answer has far more framing than content";

#[tokio::test]
async fn a_few_interim_answers_are_passed_over_and_more_are_a_failure() {
    let ok = fake::http(200, &[], "ok");
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        "HTTP/1.1 199 Whatever\r\n\r\n",
    ] {
        for (count, expected) in [(1, "pass"), (5, "pass"), (6, INTERIM), (100, INTERIM), (5_000, INTERIM)] {
            let fake = Fake::answers([interim.repeat(count).into_bytes(), ok.clone()].concat()).await;
            let mut probe = section(&fake).probe(&KIND);
            assert_eq!(said(&mut *probe, LONG).await, expected, "{count} of {interim:?}");
            fake.mend(ok.clone()).await;
            assert_eq!(said(&mut *probe, LONG).await, "pass");
        }
        // A bound for each answer, not for a connection.
        let fake = Fake::answers([interim.repeat(5).into_bytes(), ok.clone()].concat()).await;
        let mut probe = section(&fake).probe(&KIND);
        for _ in 0..3 {
            assert_eq!(said(&mut *probe, LONG).await, "pass");
        }
        assert_eq!(fake.seen().accepted, 1);
    }
}

#[tokio::test]
async fn what_never_ends_ends_the_run_in_every_phase() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100), INTERIM),
        ("", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100), INTERIM),
        ("", b"\r\n".repeat(1000), "protocol: the answer's head is too large"),
        ("HTTP/1.1 200 ", vec![b'O'; 1000], "protocol: the answer's head is too large"),
        ("HTTP/1.1 200 OK\r\n", b"Set-Cookie: a=b\r\n".repeat(100), "protocol: the answer's head is too large"),
        ("HTTP/1.1 200 OK\r\nX: y\r\n", b"  folded\r\n".repeat(100), "protocol: the answer's head is too large"),
        (chunked, vec![b'0'; 1000], FRAMING),
        (&format!("{chunked}3"), vec![b' '; 1000], FRAMING),
        (&format!("{chunked}3;"), vec![b'x'; 1000], "protocol: the answer's chunks are malformed"),
        (&format!("{chunked}0\r\n"), b"X: y\r\n".repeat(100), "protocol: the answer's chunks are malformed"),
        (&format!("{chunked}0\r\nX: "), vec![b'y'; 1000], "protocol: the answer's chunks are malformed"),
        (chunked, b"1\r\nx\r\n".repeat(100), "pass"),
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 1000], "pass"),
        ("HTTP/1.1 204 No Content\r\n\r\n", vec![b'x'; 1000], "pass"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            vec![b'x'; 1000],
            "mismatch: returned status 101",
        ),
    ]
    .into_iter()
    .map(|(head, again, expected): (&str, Vec<u8>, &str)| (&*head.to_owned().leak(), again, expected))
    .collect();
    let ok = fake::http(200, &[], "ok");
    let fake = Fake::answers(ok.clone()).await;
    let mut probe = section(&fake).probe(&KIND);
    for (head, again, expected) in cases {
        fake.act(Act::Endless(head.into(), again)).await;
        assert_eq!(said(&mut *probe, LONG).await, expected, "{head:?}");
        fake.mend(ok.clone()).await;
        assert_eq!(said(&mut *probe, LONG).await, "pass", "after {head:?}");
    }
}

#[tokio::test]
async fn the_same_holds_over_tls() {
    let (authority, folder) = (Authority::new("known"), Folder::new());
    let fake = Fake::endless("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)).await;
    let fake = fake.with_tls(authority.server(&["localhost"]).server());
    let tls = SectionBuilder::new().text("ca_file", folder.write("ca.pem", authority.pem()));
    let section = SectionBuilder::new().text("url", format!("https://localhost:{}/", fake.port())).section("tls", tls);
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, INTERIM);
}

/// Session tickets that fill a record each, so that a client is done with one when the next comes.
#[derive(Debug)]
struct LongTickets;

impl ProducesTickets for LongTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        60
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        Some(vec![7; (16 << 10) - 49])
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[tokio::test]
async fn a_flood_of_messages_of_tls_itself_ends() {
    let (authority, folder) = (Authority::new("known"), Folder::new());
    let ca_file = folder.write("ca.pem", authority.pem());
    for (tickets, expected) in
        [(100, "pass"), (2100, "protocol: the answer with TLS's own messages is longer than 32 MiB")]
    {
        let mut config = ServerConfig::clone(&authority.server(&["localhost"]).server());
        config.ticketer = Arc::new(LongTickets);
        config.send_tls13_tickets = tickets;
        let fake = Fake::answers(fake::http(200, &[], "")).await.with_tls(Arc::new(config));
        let tls = SectionBuilder::new().text("ca_file", &ca_file);
        let section = SectionBuilder::new().text("url", format!("https://localhost:{}/", fake.port()));
        let section = section.with("max_body", Value::Size(1)).section("tls", tls);
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected, "{tickets}");
    }
}

#[tokio::test]
async fn others_get_their_turn_while_an_answer_comes_byte_by_byte() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let fake = Fake::endless(head, b"1\r\nx\r\n".repeat(1000)).await;
    // Each byte is a piece of work of its own: more of them take long where others want the processor too.
    let wanted = 16 << 10;
    let expect = SectionBuilder::new().text("body_contains", "y");
    let section = section(&fake).with("max_body", Value::Size(wanted)).section("expect", expect);
    let (said, polls) = counted(&mut *section.probe(&KIND)).await;
    assert_eq!(said, "mismatch: the expected text is not in the first 16 KiB");
    // tokio lets a task do 128 things in a turn.
    assert!(polls as u64 >= wanted / 128, "{polls}");
}

#[tokio::test]
async fn others_get_their_turn_while_framing_comes() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let fake = Fake::endless(head, vec![b'0'; 64 << 10]).await;
    let (said, polls) = counted(&mut *section(&fake).probe(&KIND)).await;
    assert_eq!(said, FRAMING);
    // 1.5 MiB of it are read, 64 KiB and a read more in a turn.
    assert!(polls >= 18, "{polls}");
}

/// On the thread of the probes the search would be over before anybody could see that the time is.
#[tokio::test]
async fn a_search_that_takes_long_ends_with_its_run_and_lets_others_have_their_turn() {
    let fake = Fake::answers(fake::http(200, &[], &"a".repeat(64 << 10))).await;
    let expect = SectionBuilder::new().text("body_matches", "[a-z]{1,1000}y");
    let mut probe = section(&fake).section("expect", expect).probe(&KIND);
    let expected = "timeout: reading the answer";
    assert_eq!(said_where(&mut *probe, expected).await, expected);
}

#[tokio::test]
async fn a_pattern_is_looked_for_in_a_long_body() {
    let body = format!("{}user@example.com", "a".repeat(32 << 10));
    let fake = Fake::answers(fake::http(200, &[], &body)).await;
    for (pattern, expected) in [
        ("[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\\.[a-zA-Z]{2,}", "pass"),
        ("[a-zA-Z0-9._%+-]+@[0-9]+", "mismatch: nothing in the body matches the expected pattern"),
    ] {
        let expect = SectionBuilder::new().text("body_matches", pattern);
        assert_eq!(said(&mut *section(&fake).section("expect", expect).probe(&KIND), LONG).await, expected);
    }
}

#[tokio::test]
async fn what_a_server_sends_unasked_on_a_kept_connection_ends_that_connection() {
    let ok = fake::http(200, &[], "ok");
    for unasked in [fake::http(200, &[], "again"), b"HTTP/1.1 408 Timeout\r\n\r\n".to_vec(), vec![b'x'; 1 << 20]] {
        let fake = Fake::answers([ok.clone(), unasked].concat()).await;
        let mut probe = section(&fake).probe(&KIND);
        for runs in 1..=3 {
            assert_eq!(said(&mut *probe, LONG).await, "pass", "{runs}");
        }
        drop(probe);
        fake.until(|seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_whatever_comes() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let fake = Fake::endless(head, vec![b'x'; 4096]).await;
    let mut probe = section(&fake).with("method", Value::Word("HEAD")).probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
    drop(probe);
    fake.until(|seen| seen.open == 0).await;
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_not_taken_for_whole() {
    let answer = |length: usize, body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    let fake = Fake::start(Act::CloseAfter(answer(10, "short").into())).await;
    let expect = || SectionBuilder::new().text("body_contains", "short");
    let closed = "connect: connection closed before the answer was complete";
    assert_eq!(said(&mut *section(&fake).section("expect", expect()).probe(&KIND), LONG).await, closed);
    // What is behind the end is none of it.
    fake.act(Act::Answer(answer(5, "short and more").into())).await;
    let whole = SectionBuilder::new().text("body_matches", "^short$");
    let mut probe = section(&fake).section("expect", whole).probe(&KIND);
    for _ in 0..2 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

#[tokio::test]
async fn a_redirect_with_a_body_without_end_is_followed_without_it() {
    let ok = fake::http(200, &[], "ok");
    let other = Fake::answers(ok).await;
    let location = format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/\r\n\r\n", other.port());
    let fake = Fake::endless(location, vec![b'x'; 4096]).await;
    let mut probe = section(&fake).with("max_redirects", Value::Integer(1)).probe(&KIND);
    assert_eq!(said(&mut *probe, Duration::from_secs(20)).await, "pass");
    fake.until(|seen| seen.open == 0).await;
}
