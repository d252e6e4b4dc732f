//! Targets that mean to hold the lane of the probes: none of them keeps it for long in one go, however much it sends.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use probelet::base::value::Value;
use probelet::probe::grpc::KIND as GRPC;
use probelet::probe::http::KIND as HTTP;
use probelet::probe::tcp::KIND as TCP;
use probelet::probe::{ProbeKind, RunContext};

use crate::frames::*;
use crate::meter::{MOST, endless, held, hostile, least_held, on_a_lane};
use crate::section::SectionBuilder;

/// For so long a target may do its worst.
const WHILE: Duration = Duration::from_millis(1500);

async fn is_held_little(beside: &str, kind: &'static ProbeKind, section: SectionBuilder) {
    let mut probe = section.probe(kind);
    let held = least_held(async || {
        // Some end in a failure at once, others in a timeout: both are fine.
        let _ = tokio::time::timeout(WHILE, probe.observe(&RunContext::default())).await;
    })
    .await;
    held.is_little(beside);
}

fn url(address: SocketAddr) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://{address}/"))
}

/// A body in chunks of one byte each.
fn small_chunks() -> SocketAddr {
    endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n")
}

#[test]
fn an_http_target_holds_nobody() {
    on_a_lane(async {
        is_held_little("endless `100 Continue`", &HTTP, url(endless("", b"HTTP/1.1 100 Continue\r\n\r\n"))).await;
        is_held_little(
            "endless `103 Early Hints`",
            &HTTP,
            url(endless("", b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n")),
        )
        .await;
        for (beside, address) in [
            ("chunks of one byte", small_chunks()),
            ("an endless body", endless("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", &[b'a'; 4096])),
            ("endless trailers", endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n")),
            ("endless headers", endless("HTTP/1.1 200 OK\r\n", b"A: b\r\n")),
            ("an endless header", endless("HTTP/1.1 200 OK\r\nA: ", b"aaaa")),
            ("an endless status line", endless("HTTP/1.1 200 ", b"aaaa")),
            ("an endless chunk size", endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0")),
            ("endless line ends", endless("", b"\r\n")),
        ] {
            is_held_little(
                beside,
                &HTTP,
                url(address)
                    .with("max_body", Value::Size(4 << 20))
                    .section("expect", SectionBuilder::new().text("body_contains", "b")),
            )
            .await;
        }
    });
}

#[test]
fn secrets_in_what_an_app_says_hold_nobody() {
    let varied = |length: usize| (0..length).map(|at| char::from(b'!' + (at * at % 89) as u8)).collect::<String>();
    let short: Vec<String> = (0..200).map(|at| format!("{:05}", at * 499)).collect();
    let many: Vec<(&str, &str)> = short.iter().map(|text| (&text[..], &text[..])).collect();
    // More than that is looked for on a thread of its own.
    let (long, file) = (varied(1900), varied(64 << 10));
    let answer = format!("HTTP/1.1 200 OK\r\nX-Said: {}\r\nContent-Length: 0\r\n\r\n", varied(1000));
    let address = hostile(move |mut stream| {
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(answer.as_bytes())?;
        io::copy(&mut stream, &mut io::sink()).map(|_| ())
    });
    on_a_lane(async {
        for (beside, headers) in [
            ("a long secret", &[("X-Long", &long[..])][..]),
            ("many short secrets", &many),
            ("a file", &[("X-File", &file)]),
        ] {
            let section = url(address).text("message", "header:X-Said").expanded("headers", headers);
            let mut probe = section.probe(&HTTP);
            let held = least_held(async || {
                let pass = probe.observe(&RunContext::default()).await.unwrap();
                assert!(pass.message.is_some_and(|message| !message.is_empty()), "{beside}");
            });
            held.await.is_little(beside);
        }
    });
}

#[test]
fn a_tcp_target_holds_nobody() {
    on_a_lane(async {
        let target = |address: SocketAddr| SectionBuilder::new().text("address", address.to_string());
        for (beside, rest) in [("endless lines", &b"a\n"[..]), ("an endless line", b"aaaa")] {
            let section = target(endless("", rest)).text("send", "hello\n").text("expect", "never");
            is_held_little(beside, &TCP, section).await;
        }
    });
}

#[test]
fn a_grpc_target_holds_nobody() {
    let settings = || frame(SETTINGS, 0, 0, &[]);
    let head = block(&[(":status", "200"), ("content-type", "application/grpc")]);
    let answer = || [settings(), frame(HEADERS, END_HEADERS, 1, &head)].concat();
    let cases = [
        ("endless pings", settings(), frame(PING, 0, 0, &[0; 8])),
        ("endless settings", settings(), settings()),
        ("endless updates of the window", settings(), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("endless resets", settings(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("endless frames of no kind", settings(), frame(99, 0, 0, b"x")),
        ("endless interim answers", settings(), frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "103")]))),
        ("an endless message", answer(), frame(DATA, 0, 1, &[0; 1000])),
        ("data of one byte", answer(), frame(DATA, 0, 1, b"x")),
        ("empty data", answer(), frame(DATA, 0, 1, b"")),
        ("endless farewells", settings(), frame(GOAWAY, 0, 0, &[0; 8])),
    ];
    on_a_lane(async {
        for (beside, head, rest) in cases {
            let section = SectionBuilder::new().text("address", endless(head, &rest).to_string());
            is_held_little(beside, &GRPC, section).await;
        }
        // Headers that have begun, and do not end.
        let begun = [settings(), frame(HEADERS, 0, 1, &head)].concat();
        let address = endless(begun, &frame(CONTINUATION, 0, 1, &block(&[("a", "b")])));
        is_held_little("endless headers", &GRPC, SectionBuilder::new().text("address", address.to_string())).await;
    });
}

#[test]
fn the_measure_finds_what_neither_yields_nor_counts() {
    on_a_lane(async {
        // A client of hyper alone, as the probe was once: it skips interim answers without an end.
        let address = endless("", b"HTTP/1.1 100 Continue\r\n\r\n");
        let ((), beside_hyper) = held(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let io = hyper_util::rt::TokioIo::new(stream);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            let connection = tokio::spawn(connection);
            let request = hyper::Request::get("/").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
            let _ = tokio::time::timeout(WHILE, sender.send_request(request)).await;
            connection.abort();
        })
        .await;
        // A pattern that is matched in one go.
        let pattern = regex_lite::Regex::new(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}").unwrap();
        let text = "a".repeat(64 * 1024);
        let (_, beside_a_pattern) = held(async { pattern.is_match(&text) }).await;
        for (what, held) in [("hyper", beside_hyper), ("a pattern", beside_a_pattern)] {
            assert!(held.most > MOST, "{what} was not found: {held:?}");
        }
        let (_, beside_nothing) = held(tokio::time::sleep(Duration::from_millis(50))).await;
        beside_nothing.is_little("nothing");
    });
}
