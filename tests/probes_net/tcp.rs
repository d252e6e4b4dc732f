//! The kind `tcp`.

use std::sync::Arc;
use std::time::Duration;

use probelet::base::value::{Text, TextPart, Value};
use probelet::probe::net::Network;
use probelet::probe::tcp::KIND;
use probelet::probe::{Probe, RunContext, http};

use crate::fake::{Act, Fake};
use crate::section::SectionBuilder;
use crate::{LONG, said, said_of, said_where};

fn bare(fake: &Fake) -> Box<dyn Probe> {
    SectionBuilder::new().text("address", fake.address().to_string()).probe(&KIND)
}

fn ping(fake: &Fake) -> Box<dyn Probe> {
    let section = SectionBuilder::new().text("address", fake.address().to_string());
    section.text("send", "PING\r\n").text("expect", "PONG").probe(&KIND)
}

#[tokio::test]
async fn a_connection_is_a_pass() {
    let fake = Fake::silent().await;
    assert_eq!(said(&mut *bare(&fake), LONG).await, "pass");
    fake.until(|seen| seen.accepted == 1 && seen.open == 0).await;
}

#[tokio::test]
async fn an_ipv6_address_is_dialled() {
    let fake = Fake::start_on("[::1]:0".parse().unwrap(), Act::Silent).await;
    let mut probe = SectionBuilder::new().text("address", format!("[::1]:{}", fake.port())).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[tokio::test]
async fn what_is_expected_is_waited_for() {
    let fake = Fake::drips("+PO", "NG\r\n", Duration::from_millis(5)).await;
    assert_eq!(said(&mut *ping(&fake), LONG).await, "pass");
    assert_eq!(fake.seen().requests, ["PING\r\n"]);
}

#[tokio::test]
async fn a_captured_value_adds_no_line_to_what_is_sent() {
    let fake = Fake::drips("+PO", "NG\r\n", Duration::from_millis(5)).await;
    let capture = TextPart::Capture { step: "order".into(), name: "id".into() };
    let parts = vec![TextPart::Plain("GET ".into()), capture, TextPart::Plain("\r\n".into())];
    let send = Value::Text(Text { parts, written: String::new() });
    let section = SectionBuilder::new().text("address", fake.address().to_string()).text("expect", "PONG");
    let mut probe = section.with("send", send).probe(&KIND);
    for (value, expected) in
        [("7\r\nFLUSHALL", "mismatch: id of step order holds a line break or control character"), ("7 8", "pass")]
    {
        let mut run = RunContext::default();
        run.captured.insert("order", "id", value.into());
        assert_eq!(said_of(&mut *probe, &run, LONG).await, expected, "{value:?}");
    }
    assert_eq!(fake.seen().requests, ["GET 7 8\r\n"]);
}

#[tokio::test]
async fn a_greeting_is_heard_without_asking() {
    let fake = Fake::start(Act::Greet(b"220 mail ready\r\n".to_vec())).await;
    let section = SectionBuilder::new().text("address", fake.address().to_string());
    assert_eq!(said(&mut *section.text("expect", "220 ").probe(&KIND), LONG).await, "pass");
}

#[tokio::test]
async fn each_trouble_has_its_name_and_is_over_once_it_is_mended() {
    let cases = [
        (Act::Refuse, "connect: connection refused"),
        (Act::Silent, "timeout: waiting for the answer"),
        (Act::ResetAfter(vec![]), "connect: connection reset"),
        (Act::ResetAfter(b"+PO".to_vec()), "connect: connection reset"),
        (Act::CloseAfter(vec![]), "connect: connection closed before an answer"),
        (Act::CloseAfter(b"-ERR\r\n".to_vec()), "mismatch: the server closed the connection without the expected text"),
        (Act::Answer(b"-ERR\r\n".to_vec()), "timeout: reading the answer"),
        (Act::garbage(), "timeout: reading the answer"),
        (Act::Drip(b"+PO".to_vec(), b"OOOOOOOO".to_vec(), Duration::from_secs(1)), "timeout: reading the answer"),
        (Act::Endless(vec![], vec![b'x'; 4096]), "mismatch: the expected text is not in the first 64 KiB"),
    ];
    let fake = Fake::refuses().await;
    let mut probe = ping(&fake);
    for (act, expected) in cases {
        fake.act(act).await;
        assert_eq!(said_where(&mut *probe, expected).await, expected);
        fake.mend("+PONG\r\n").await;
        assert_eq!(said(&mut *probe, LONG).await, "pass", "after {expected}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let mut probe = SectionBuilder::new().text("address", "no-such-host.invalid:5000").probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "resolve: name does not resolve");
}

#[tokio::test]
async fn a_resolver_that_hangs_takes_the_run_s_time_alone() {
    let network = Arc::new(Network::resolving_with(|_| Box::pin(std::future::pending())));
    let mut tcp = SectionBuilder::new().text("address", "db:5000").probe_on(&KIND, &network);
    let mut http = SectionBuilder::new().text("url", "http://db:5000/").probe_on(&http::KIND, &network);
    for _ in 0..2 {
        let expected = "timeout: resolving the name";
        assert_eq!(said_where(&mut *tcp, expected).await, expected);
        assert_eq!(said_where(&mut *http, expected).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_waited_for_where_nothing_is_expected() {
    let fake = Fake::silent().await;
    let section = SectionBuilder::new().text("address", fake.address().to_string());
    assert_eq!(said(&mut *section.text("send", "").text("expect", "").probe(&KIND), LONG).await, "pass");
}

#[test]
fn an_address_without_a_port_says_what_to_write() {
    let problems = SectionBuilder::new().text("address", "db").read(&KIND).unwrap_err();
    assert_eq!(problems, ["invalid-value: not a host with a port"]);
    let problems = SectionBuilder::new().text("address", "[fe80::1%eth0]:80").read(&KIND).unwrap_err();
    assert_eq!(problems, ["invalid-value: an IPv6 address with a zone (`%eth0`) cannot be dialled"]);
}

#[test]
fn a_spec_shows_its_target_as_written() {
    let spec = SectionBuilder::new().text("address", "db.internal:5000").text("send", "hunter2").read(&KIND).unwrap();
    assert_eq!(spec.target().as_deref(), Some("db.internal:5000"));
    assert_eq!(spec.hosts(), ["db.internal"]);
    assert_eq!(format!("{spec:?}"), r#"TcpSpec("db.internal:5000")"#);
}
