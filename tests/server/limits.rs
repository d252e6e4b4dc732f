//! The server under clients that are slow, silent, many, or gone.

use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use probelet::base::clock::Clock;
use probelet::config::Listen;
use probelet::model::state::State;
use probelet::server::{MOST_CONNECTIONS, bind, serve_on_one_thread};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::*;

/// Waits until the server has closed `stream`.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}

fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0; 1]);
    stream.set_nonblocking(false).unwrap();
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// A client that says nothing, or takes nothing, is let go after so long.
const SILENCE: Duration = Duration::from_secs(10);

/// Fails where who asks `/livez` has to wait for others of a crowd: the first one then waits until one of them is let go.
/// An answer takes a millisecond, and longer where the machine has other things to do.
fn livez_waits_for_nobody(server: &Server) {
    for _ in 0..11 {
        let began = Instant::now();
        assert_eq!(server.get("/livez"), (200, "ok".into()));
        assert!(began.elapsed() < SILENCE / 2, "{:?}", began.elapsed());
    }
}

#[test]
fn silent_clients_leave_room_for_others_and_the_oldest_goes_first() {
    let server = Server::of(worried());
    let mut crowd: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    livez_waits_for_nobody(&server);
    for early in &mut crowd[..300 - MOST_CONNECTIONS] {
        assert!(is_closed(early));
    }
    for late in &mut crowd[300 - MOST_CONNECTIONS + 11..] {
        assert!(is_open(late));
    }
}

#[test]
fn clients_that_send_the_same_head_for_ever_leave_room_for_others() {
    let server = Server::of(worried());
    let mut crowd: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    for (place, client) in crowd.iter_mut().enumerate() {
        // Those that have been closed already may refuse it.
        let _ = client.write_all(format!("GET /livez HTTP/1.1\r\nX-{place}: ").as_bytes());
    }
    livez_waits_for_nobody(&server);
}

#[test]
fn clients_that_read_no_answer_leave_room_for_others() {
    let long = "x".repeat(65_536);
    let server = Server::of(snapshot(vec![(definition("chatty"), state(State::Ok, &long))]));
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let mut crowd = Vec::new();
    for _ in 0..MOST_CONNECTIONS + 10 {
        let mut client = server.connect();
        client.set_nonblocking(true).unwrap();
        // As much as the sockets take.
        let _ = client.write(request.as_bytes());
        crowd.push(client);
    }
    livez_waits_for_nobody(&server);
}

#[test]
fn a_burst_of_clients_is_answered_to_the_last() {
    let server = Server::of(worried());
    let mut crowd: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut client = server.connect();
            client.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            client
        })
        .collect();
    for client in &mut crowd {
        assert_eq!(parts(&one(client)), (200, "ok".into()));
    }
}

#[test]
fn streams_are_few_and_give_their_places_back() {
    let server = Server::of(worried());
    let open = || {
        let mut client = server.connect();
        client.write_all(b"GET /health/$stream?poll_interval=0.1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        (client, String::from_utf8_lossy(&head[9..]).into_owned())
    };
    let mut streams: Vec<_> = (0..200).map(|_| open()).collect();
    assert!(streams.iter().all(|(_, code)| code == "200"));
    let (mut refused, code) = open();
    assert_eq!(code, "429");
    drop(refused.shutdown(std::net::Shutdown::Write));
    assert!(rest(&mut refused).ends_with("200 streams are open; end one of them\n"));
    streams.pop();
    let deadline = Instant::now() + Duration::from_secs(20);
    while open().1 != "200" {
        assert!(Instant::now() < deadline, "the place of a stream was not given back");
    }
}

#[test]
fn two_hundred_streams_are_told_what_happens_and_leave_a_seat_for_livez() {
    let mut server = Server::of(worried());
    let mut streams: Vec<BufReader<TcpStream>> = (0..200)
        .map(|_| {
            let mut client = server.connect();
            client.write_all(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            BufReader::new(client)
        })
        .collect();
    let wait_for = |stream: &mut BufReader<TcpStream>, wanted: &str| {
        let found = stream.lines().map(Result::unwrap).find(|line| line == wanted);
        assert!(found.is_some(), "the stream ended without {wanted}");
    };
    for stream in &mut streams {
        wait_for(stream, "event: snapshot");
    }
    let mut silent: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    livez_waits_for_nobody(&server);
    server.recorder.publish(snapshot(vec![
        (definition("internal_api/user"), state(State::Error, "gone")),
        (definition("cache"), state(State::Degraded, "slow")),
    ]));
    for stream in &mut streams {
        wait_for(stream, "event: transition");
    }
    silent.clear();
    server.end();
    for stream in &mut streams {
        // A stream is cut off at the end, so a reset is an end as well.
        let _ = std::io::copy(stream, &mut std::io::sink());
    }
}

/// A stream of what happens, from behind the event `last` on.
fn follow(address: SocketAddr, last: Option<&str>) -> BufReader<TcpStream> {
    let mut client = connect(address);
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    client.write_all(format!("GET /v1/stream HTTP/1.1\r\nHost: x\r\n{last}\r\n").as_bytes()).unwrap();
    BufReader::new(client)
}

/// The next event of a stream: its id and its kind; nothing at the end.
fn next_event(stream: &mut impl BufRead) -> Option<(String, String)> {
    let mut id = String::new();
    for line in stream.lines().map(Result::unwrap) {
        if let Some(of) = line.strip_prefix("id: ") {
            of.clone_into(&mut id);
        } else if let Some(kind) = line.strip_prefix("event: ") {
            return Some((id, kind.to_owned()));
        }
    }
    None
}

#[test]
fn a_reader_that_is_too_slow_is_cut_with_the_reason_and_can_resume() {
    let long = "x".repeat(100_000);
    let one_run = || snapshot(vec![(definition("chatty"), state(State::Ok, &long))]);
    let mut server = Server::with_small_buffers(one_run());
    let address = server.address;
    let mut happens = || server.recorder.publish(one_run());
    let slow = follow(address, None);
    rustix::net::sockopt::set_socket_recv_buffer_size(slow.get_ref(), 4096).unwrap();
    slow.get_ref().peek(&mut [0]).unwrap();
    let mut quick = follow(address, None);
    assert_eq!(next_event(&mut quick).unwrap().1, "snapshot");
    // More than the 512 KiB that are kept for whoever is behind, and what the sockets take.
    let (mut newest, mut taken) = (String::new(), Vec::new());
    for _ in 0..15 {
        happens();
        let (id, kind) = next_event(&mut quick).unwrap();
        assert_eq!(kind, "tick");
        newest = id;
        // It takes a little each time: whoever takes nothing at all for ten seconds is cut without a word, and on a busy
        // machine all of this takes longer.
        let mut buffer = [0; 8192];
        let read = slow.get_ref().read(&mut buffer).unwrap();
        taken.extend_from_slice(&buffer[..read]);
    }
    let mut slow = BufReader::new(Read::chain(Cursor::new(taken), slow));
    let mut seen = Vec::new();
    let mut kinds = Vec::new();
    while let Some((id, kind)) = next_event(&mut slow) {
        seen.push(id);
        kinds.push(kind);
        if kinds.last().is_some_and(|kind| kind == "cut") {
            break;
        }
    }
    let numbers: Vec<u64> =
        seen[..seen.len() - 1].iter().map(|id| id.split_once('-').unwrap().1.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert!(numbers.len() < 10, "{} events were in the sockets", numbers.len());
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), ("snapshot", "cut"));
    let mut rest = String::new();
    slow.read_to_string(&mut rest).unwrap();
    let reason =
        "data: {\"reason\":\"too slow: more than 1000 events or 512 KiB behind; connect again\"}\n\n\r\n0\r\n\r\n";
    assert_eq!(rest, reason);

    // What it wanted next is no longer kept, so it sees the whole, and goes on from there.
    let mut again = follow(address, Some(&seen[seen.len() - 2]));
    assert_eq!(next_event(&mut again), Some((newest.clone(), "snapshot".into())));
    drop(again);
    happens();
    let mut resumed = follow(address, Some(&newest));
    let (id, kind) = next_event(&mut resumed).unwrap();
    assert_eq!(kind, "tick");
    assert_eq!(next_event(&mut quick), Some((id, kind)));
}

#[test]
fn the_end_waits_for_nobody() {
    let mut server = Server::of(worried());
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(parts(&one(&mut kept)), (200, "ok".into()));
    let mut stream = server.connect();
    stream.write_all(b"GET /health/$stream HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 15]).unwrap();
    let began = Instant::now();
    server.end();
    // Far less than any of them may be silent.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(is_closed(&mut silent) && is_closed(&mut kept));
    // A process that another test is just starting may hold a copy of the listener until it is another program.
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < deadline, "it is still listened on");
    }
}

/// Time is paused: it moves on when nobody has anything to do, so ten seconds take none.
async fn with_a_server<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr) -> F) {
    let listeners = bind(&[Listen::One("127.0.0.1:0".parse().unwrap())]).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (app, _recorder) = app(worried(), Clock::tokio(), Arc::new(Mutex::new(Vec::new())));
    tokio::select! {
        served = serve_on_one_thread(listeners, app, std::future::pending()) => served.unwrap(),
        () = test(address) => {}
    }
}

async fn lasts(mut client: tokio::net::TcpStream) -> u64 {
    let began = tokio::time::Instant::now();
    let mut read = Vec::new();
    // A reset is an end as well.
    let _ = client.read_to_end(&mut read).await;
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_ten_seconds() {
    with_a_server(|address| async move {
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        assert!((10..12).contains(&lasts(client).await));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_byte_a_second_is_closed_after_ten_seconds() {
    with_a_server(|address| async move {
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut from, mut to) = client.into_split();
        let slow = async {
            for byte in b"GET /livez HTTP/1.1\r\nX: xxxxxxxxxxxxxxxxxxxxxxxxxxxx" {
                if to.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let began = tokio::time::Instant::now();
        let mut byte = [0; 1];
        tokio::select! {
            () = slow => {}
            _ = from.read(&mut byte) => {}
        }
        assert!((10..12).contains(&began.elapsed().as_secs()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_may_be_idle_for_longer_than_any_load_balancer_waits() {
    with_a_server(|address| async move {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            client.write_all(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        assert!((30..32).contains(&lasts(client).await));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_shows_that_it_lives() {
    with_a_server(|address| async move {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /health/$stream?poll_interval=40 HTTP/1.0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let mut buffer = [0; 1024];
        while text.matches("data: ").count() < 2 {
            let read = client.read(&mut buffer).await.unwrap();
            text += std::str::from_utf8(&buffer[..read]).unwrap();
        }
        let pieces: Vec<&str> = text.split("\r\n\r\n").nth(1).unwrap().split_inclusive("\n\n").collect();
        assert_eq!(pieces.len(), 4, "{text}");
        assert_eq!(pieces[1..3], [":\n\n", ":\n\n"]);
        assert_eq!(pieces[0], pieces[3]);
    })
    .await;
}

struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Set for a child that is to serve until its input ends.
const CHILD: &str = "PROBELET_TEST_SERVES";

/// The child of [`running_out_of_files_ends_nothing`], which gives it few file descriptors; nothing without it.
#[test]
fn serves_until_its_input_ends() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::of(worried());
    println!("\nlistening on {}", server.address);
    let _ = std::io::stdin().read(&mut [0; 1]);
}

#[test]
fn running_out_of_files_ends_nothing() {
    let own = std::env::current_exe().unwrap();
    let mut child = Reaped(
        Command::new("sh")
            .args(["-c", "ulimit -n 40 && exec \"$0\" --exact limits::serves_until_its_input_ends --nocapture"])
            .arg(own)
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let address = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listening on ").map(|address| address.parse().unwrap()))
        .expect("the child listens");
    let crowd: Vec<TcpStream> = (0..200).map(|_| connect(address)).collect();
    let mut client = connect(address);
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(parts(&rest(&mut client)), (200, "ok".into()));
    drop(crowd);
}

#[test]
fn a_long_answer_arrives_whole_beside_clients_that_take_nothing_of_theirs() {
    let checks = (0..200).map(|index| (definition(&format!("check-{index}")), state(State::Ok, "ok")));
    let server = Server::with_small_buffers(snapshot(checks.collect()));
    let mut crowd: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    for client in &mut crowd {
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    let mut reader = server.connect();
    reader.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (code, body) = parts(&one(&mut reader));
    assert_eq!(code, 200);
    assert!(body.len() > 256 * 1024, "{} bytes are one piece or a few", body.len());
    assert!(body.trim_end().lines().last().unwrap().starts_with("process_threads "), "{body}");
    assert_eq!(server.get("/livez"), (200, "ok".into()));
    // Those who have waited get theirs as well.
    assert_eq!(parts(&one(&mut crowd[0])).0, 200);
}
