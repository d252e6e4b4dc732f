//! Clients that mean to hold the lane of the gates: none of them keeps it for long in one go, whatever it asks for, and
//! however little of the answers it reads.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use probelet::base::clock::Moment;
use probelet::base::token::Token;
use probelet::model::plan::Definition;
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;

use super::support::*;
use crate::frames::*;
use crate::meter::{Held, MOST, least_of};

/// So many checks.
const MANY: usize = 100;
/// So many clients at a time.
const CLIENTS: usize = 4;
/// So many requests each of them sends ahead.
const AHEAD: usize = 400;

fn crowd(many: usize) -> Snapshot {
    snapshot((0..many).map(|check| (definition(&format!("check-{check}")), state(State::Ok, "fine"))).collect())
}

/// Sends the requests one behind another, and reads nothing before all have been sent, or the server takes no more.
fn pipelined(server: &Server, request: &str) -> Vec<TcpStream> {
    let send = |mut stream: TcpStream| {
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let requests = request.repeat(AHEAD);
        let mut rest = requests.as_bytes();
        while let Ok(sent @ 1..) = stream.write(rest) {
            rest = &rest[sent..];
        }
        stream
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| send(server.connect()))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Gates are answered beside `request` sent by many, and the lane is held for little in one go.
fn is_held_little(request: &str, named: &str) {
    least_of(|| measured(Server::measured(crowd(MANY)), request, named)).is_little(named);
}

fn measured(mut server: Server, request: &str, named: &str) -> Held {
    let crowd = pipelined(&server, request);
    for _ in 0..3 {
        assert_eq!(server.get("/livez"), (200, "ok".into()), "beside {named}");
    }
    // Some of them read a part of the answers, and some go.
    for mut client in crowd {
        let _ = client.read(&mut [0; 100_000]);
        let _ = client.shutdown(Shutdown::Both);
    }
    server.end().unwrap()
}

#[test]
fn whoever_asks_ahead_for_whatever_holds_nobody() {
    let excluded: String = (0..1000).map(|check| format!("&exclude=x{check}")).collect();
    for path in [
        "/metrics",
        "/healthz",
        "/healthz?format=json",
        "/health",
        "/v1/services",
        "/v1/services?include=history",
        "/v1/services/1/ticks?limit=1000",
        "/badge/overall.svg",
        "/badge/check-1.svg?metric=uptime",
        "/readyz?verbose",
        "/readyz?format=json",
        &format!("/livez?{excluded}"),
        "/livez",
        "/alive",
        "/ready",
        "/",
        "/nowhere",
    ] {
        for method in ["HEAD", "GET"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
            is_held_little(&request, &format!("{method} {}", &path[..path.len().min(40)]));
        }
    }
}

#[test]
fn whoever_asks_ahead_for_gates_that_stale_results_close_holds_nobody() {
    let mut stale = crowd(MANY);
    for index in stale.plan.indices() {
        Arc::make_mut(&mut stale.checks[index]).fresh_at = Some(Moment::default());
    }
    let soon_stale =
        |check: &Arc<Definition>| Arc::new(Definition { stale_after: Duration::from_millis(1), ..(**check).clone() });
    let plan = Arc::make_mut(&mut stale.plan);
    plan.checks = plan.checks.iter().map(soon_stale).collect();
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    least_of(|| measured(Server::measured(stale.clone()), request, "stale results")).is_little("stale results");
}

#[test]
fn whoever_sends_what_nobody_wants_holds_nobody() {
    let body = "1\r\na\r\n".repeat(5000);
    let chunked =
        format!("PUT /v1/heartbeats/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n");
    is_held_little(&chunked, "chunks of one byte");
    let message = "\\u0001".repeat(150);
    let body = format!("{{\"status\":\"error\",\"message\":\"{message}\"}}");
    let length = body.len();
    is_held_little(
        &format!("PUT /v1/heartbeats/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"),
        "beats",
    );
    is_held_little(&format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(90)), "many headers");
    is_held_little("\r\n\r\n\r\n\r\n", "line ends");
}

/// The same by whoever speaks HTTP/2.
fn is_held_little_by(frames: &[u8], named: &str) {
    let attempt = || {
        let mut server = Server::measured(crowd(MANY));
        let clients: Vec<TcpStream> = (0..CLIENTS)
            .map(|_| {
                let mut client = server.connect();
                client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                // A flood ends it.
                let _ = client.write_all(&hello(&[])).and_then(|()| client.write_all(frames));
                client
            })
            .collect();
        for _ in 0..3 {
            assert_eq!(server.get("/livez"), (200, "ok".into()), "beside {named}");
        }
        for mut client in clients {
            client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let _ = client.read(&mut [0; 100_000]);
        }
        server.end().unwrap()
    };
    least_of(attempt).is_little(named);
}

#[test]
fn whoever_speaks_http_2_holds_nobody() {
    let many = |count: u32, frames: &dyn Fn(u32) -> Vec<u8>| {
        (0..count).flat_map(|round| frames(2 * round + 1)).collect::<Vec<u8>>()
    };
    let watch = "/grpc.health.v1.Health/Watch";
    for (named, frames) in [
        ("calls", many(250, &|stream| call(stream, "/grpc.health.v1.Health/Check", b"\x0a\x08check-99"))),
        ("lists", many(250, &|stream| call(stream, "/grpc.health.v1.Health/List", b""))),
        ("watches", many(250, &|stream| call(stream, watch, b""))),
        ("gates", many(250, &|stream| get(stream, "/readyz?verbose"))),
        ("metrics", many(250, &|stream| get(stream, "/metrics"))),
        ("pings", many(20_000, &|_| frame(PING, 0, 0, &[0; 8]))),
        ("empty frames", [call_head(1, watch), many(20_000, &|_| frame(DATA, 0, 1, &[]))].concat()),
        ("resets", many(5_000, &|stream| [get(stream, "/metrics"), frame(RST_STREAM, 0, stream, &[0; 4])].concat())),
        ("heads alone", many(5_000, &|stream| call_head(stream, watch))),
        // Each byte stands for a header of 4 KiB.
        ("a header list that unpacks", {
            let long = [&[0x40, 1, b'a', 0x7f, 0xe1, 0x1e][..], &[b'x'; 4000]].concat();
            let bomb = [long, vec![0xbe; 12_000]].concat();
            many(40, &|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb))
        }),
    ] {
        is_held_little_by(&frames, named);
    }
}

#[test]
fn whoever_has_no_token_or_a_long_one_holds_nobody() {
    let mut guarded = crowd(MANY);
    Arc::make_mut(&mut guarded.plan).answers.token = Some(Token::new("hunter2"));
    for (path, what) in [("/v1/services", "401s"), ("/readyz?verbose", "verdicts"), ("/v1/heartbeats/x", "beats")] {
        let method = if what == "beats" { "PUT" } else { "GET" };
        let token = "x".repeat(8000);
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        least_of(|| measured(Server::measured(guarded.clone()), &request, what)).is_little(what);
    }
}

#[test]
fn the_measure_finds_a_lane_that_makes_long_answers_itself() {
    // Made in one go: `/metrics` lets others have their turn between its pieces.
    let request = "HEAD /healthz?format=json HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
    let held = measured(Server::measured_on_one_thread(crowd(30 * MANY)), request, "one thread");
    assert!(held.most > MOST, "{held:?}");
}
