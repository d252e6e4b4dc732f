//! Clients that mean no good and speak HTTP/2: their connection ends, and nobody else's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use probelet::base::clock::Clock;
use probelet::config::Listen;
use probelet::server::{bind, serve_on_one_thread};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::*;
use crate::frames::*;

/// Sends `flood` again and again until the server has ended the connection.
fn ends(server: &Server, hello: &[u8], mut flood: impl FnMut(u32) -> Vec<u8> + Send) {
    let mut client = server.connect();
    let mut reader = client.try_clone().unwrap();
    client.write_all(hello).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for round in 0.. {
                if client.write_all(&flood(round)).is_err() {
                    return;
                }
            }
        });
        let mut answers = Vec::new();
        // A reset is an end as well.
        let _ = reader.read_to_end(&mut answers);
        let _ = reader.shutdown(Shutdown::Both);
    });
}

/// The number of the next stream of a client.
fn stream(round: u32) -> u32 {
    2 * round + 1
}

#[test]
fn floods_end_their_connection_and_nobody_elses() {
    let server = Server::of(worried());
    let mut other = server.connect();
    other.write_all(&[hello(&[]), get(1, "/livez")].concat()).unwrap();
    let greeting = hello(&[]);
    let half = call_head(1, "/grpc.health.v1.Health/Check");
    let part = frame(HEADERS, 0, 1, &block(&[(":method", "GET")]));
    ends(&server, &greeting, |_| frame(PING, 0, 0, &[0; 8]));
    ends(&server, &greeting, |_| frame(SETTINGS, 0, 0, &[]));
    ends(&server, &greeting, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]));
    ends(&server, &[&greeting[..], &half].concat(), |_| frame(DATA, 0, 1, &[]));
    ends(&server, &[&greeting[..], &half].concat(), |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
    ends(&server, &greeting, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    ends(&server, &greeting, |_| frame(PRIORITY, 0, 1, &[0; 5]));
    ends(&server, &greeting, |_| frame(0xee, 0, 0, &[]));
    ends(&server, &[&greeting[..], &part].concat(), |_| frame(CONTINUATION, 0, 1, &block(&[("a", "b")])));
    ends(&server, &[&greeting[..], &part].concat(), |_| frame(CONTINUATION, 0, 1, &[]));
    let reset = |round: u32, head: Vec<u8>| [head, frame(RST_STREAM, 0, stream(round), &[0, 0, 0, 8])].concat();
    ends(&server, &greeting, |round| reset(round, get(stream(round), "/metrics")));
    ends(&server, &greeting, |round| reset(round, call_head(stream(round), "/grpc.health.v1.Health/Watch")));
    // Requests that are never whole.
    ends(&server, &greeting, |round| call_head(stream(round), "/grpc.health.v1.Health/Check"));
    // The other one has had its answer, and is still there.
    other.write_all(&frame(PING, 0, 0, b"12345678")).unwrap();
    let mut heard = Vec::new();
    while !heard.windows(8).any(|bytes| bytes == b"12345678") {
        let mut buffer = [0; 256];
        let read = other.read(&mut buffer).unwrap();
        assert!(read > 0, "the connection of somebody else has ended");
        heard.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(server.get("/livez"), (200, "ok".into()));
}

#[test]
fn what_is_no_http_2_ends_its_connection() {
    let server = Server::of(worried());
    for garbage in [
        &frame(HEADERS, END_HEADERS, 1, &[0xff; 64])[..],
        &frame(DATA, 0, 0, b"x"),
        &frame(SETTINGS, 0, 0, b"x"),
        &frame(DATA, 0, 1, &[0; 16_385]),
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 100],
    ] {
        let mut client = server.connect();
        client.write_all(&hello(&[])).unwrap();
        let _ = client.write_all(garbage);
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
    }
    // Nor is a part of the preface.
    for cut in [1, 10, 23] {
        let mut client = server.connect();
        client.write_all(&PREFACE[..cut]).unwrap();
        client.write_all(b"!\r\n\r\n").unwrap();
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.get("/livez"), (200, "ok".into()));
}

#[test]
fn head_is_answered_without_a_body() {
    let server = Server::of(worried());
    let mut client = server.connect();
    let heads = [asking("HEAD", 1, "/livez"), asking("HEAD", 3, "/metrics"), asking("HEAD", 5, "/v1/stream")].concat();
    client.write_all(&[hello(&[]), heads].concat()).unwrap();
    let mut ended = 0;
    while ended < 3 {
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.read_exact(&mut payload).unwrap();
        assert!(head[3] != DATA || payload.is_empty(), "{}", String::from_utf8_lossy(&payload));
        ended += u32::from(matches!(head[3], DATA | HEADERS) && head[4] & END_STREAM != 0);
    }
}

#[test]
fn a_connection_whose_server_ends_is_told_so() {
    let mut server = Server::of(worried());
    let mut client = server.connect();
    client.write_all(&[hello(&[]), get(1, "/livez")].concat()).unwrap();
    let mut heard = [0; 9];
    client.read_exact(&mut heard).unwrap();
    server.end();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(rest.windows(5).any(|bytes| bytes == [GOAWAY, 0, 0, 0, 0]), "{rest:?}");
}

/// Time is paused: it moves on when nobody has anything to do.
async fn lasts(said: Vec<u8>, answers_pings: bool) -> u64 {
    let listeners = bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (app, _recorder) = app(worried(), Clock::tokio(), Arc::new(Mutex::new(Vec::new())));
    let client = async {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(&said).await.unwrap();
        let began = tokio::time::Instant::now();
        let mut head = [0; 9];
        loop {
            if client.read_exact(&mut head).await.is_err() {
                return began.elapsed().as_secs();
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            client.read_exact(&mut payload).await.unwrap();
            if answers_pings && head[3..5] == [PING, 0] {
                client.write_all(&frame(PING, 1, 0, &payload)).await.unwrap();
            }
        }
    };
    tokio::select! {
        served = serve_on_one_thread(listeners, app, std::future::pending()) => { served.unwrap(); 0 }
        seconds = client => seconds,
    }
}

#[tokio::test(start_paused = true)]
async fn silence_has_its_limits_in_http_2_too() {
    // In the preface, before the first frame, within a frame, within headers.
    assert!((10..12).contains(&lasts(PREFACE[..10].to_vec(), true).await));
    assert!((10..12).contains(&lasts(PREFACE.to_vec(), true).await));
    assert!((10..12).contains(&lasts([hello(&[]), vec![0, 0, 8]].concat(), true).await));
    let part = frame(HEADERS, 0, 1, &block(&[(":method", "GET")]));
    assert!((10..12).contains(&lasts([hello(&[]), part].concat(), true).await));
    // Idle, as a kept connection may be.
    assert!((330..333).contains(&lasts(hello(&[]), true).await));
    assert!((330..333).contains(&lasts([hello(&[]), get(1, "/livez")].concat(), true).await));
    // Whoever watches and is gone without a word.
    let watch = [hello(&[]), call(1, "/grpc.health.v1.Health/Watch", b"")].concat();
    assert!((15..40).contains(&lasts(watch, false).await));
    // Whoever takes nothing of an answer: no window, on the stream or at all.
    let stopped = [hello(&[(4, 0)]), get(1, "/livez")].concat();
    assert!((10..12).contains(&lasts(stopped, true).await));
    // Whoever takes one byte of it.
    let begun = [hello(&[(4, 1)]), get(1, "/livez")].concat();
    assert!((10..12).contains(&lasts(begun, true).await));
}

#[test]
fn a_request_whose_body_never_comes_is_answered_in_time_and_holds_nobody() {
    let server = Server::of(worried());
    let crowd: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut client = server.connect();
            let heads: Vec<u8> =
                (0..100).flat_map(|round| call_head(stream(round), "/grpc.health.v1.Health/Check")).collect();
            client.write_all(&[hello(&[]), heads].concat()).unwrap();
            client
        })
        .collect();
    assert_eq!(server.get("/livez"), (200, "ok".into()));
    drop(crowd);
}

#[test]
fn streams_count_among_the_connections_and_leave_room_for_others() {
    let server = Server::of(worried());
    let mut watching = server.connect();
    let calls: Vec<u8> = (0..200).flat_map(|round| call(stream(round), "/grpc.health.v1.Health/Watch", b"")).collect();
    watching.write_all(&[hello(&[]), calls].concat()).unwrap();
    // All have been told.
    let mut heard = Vec::new();
    while heard.windows(7).filter(|bytes| *bytes == b"\0\0\0\0\x02\x08\x01").count() < 200 {
        let mut buffer = [0; 4096];
        let read = watching.read(&mut buffer).unwrap();
        assert!(read > 0, "it has been closed");
        heard.extend_from_slice(&buffer[..read]);
    }
    // 199 of these count like connections: of many that are idle the newest stay, and this one too.
    let mut crowd: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    assert_eq!(server.get("/livez"), (200, "ok".into()));
    assert_eq!(crowd[0].read(&mut [0; 1]).unwrap_or(0), 0, "the oldest is gone");
    watching.write_all(&frame(PING, 0, 0, b"12345678")).unwrap();
    let mut buffer = [0; 17];
    watching.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer[9..], b"12345678");
}
