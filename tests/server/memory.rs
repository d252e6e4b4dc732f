//! What long answers cost in memory while clients take them, leave them, or come and stay.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use probelet::model::state::State;

use crate::frames::{call, hello};
use crate::support::{Server, connect, definition, one, parts, snapshot, state};

/// Counts what a process has allocated: what a child of these tests tells.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// Set for a child that is to serve so many checks, each with a message of so many bytes, until its input ends.
const CHILD: &str = "PROBELET_TEST_WEIGHS";

/// The server in a process of its own, which tells how much it has allocated.
struct Weighed {
    child: Child,
    address: SocketAddr,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Weighed {
    fn with(checks: usize) -> Self {
        Self::saying(checks, 2)
    }

    /// With messages of so many bytes: a long answer of few checks is soon made, on a busy machine too.
    fn saying(checks: usize, bytes: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::serves_and_weighs_itself", "--nocapture"])
            .env(CHILD, format!("{checks} {bytes}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut weighed = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), input, output };
        weighed.address = weighed.hears("listening on ").parse().unwrap();
        weighed
    }

    fn hears(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the child has ended");
            if let Some(rest) = line.trim_end().strip_prefix(what) {
                return rest.to_owned();
            }
        }
    }

    /// The bytes that are allocated now.
    fn weight(&mut self) -> usize {
        self.input.write_all(b"?\n").unwrap();
        self.hears("allocated ").parse().unwrap()
    }

    /// Has all checks run once more.
    fn runs_all(&mut self) {
        self.input.write_all(b"run\n").unwrap();
        self.hears("allocated ");
    }

    fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child of the tests below; nothing without it.
#[test]
fn serves_and_weighs_itself() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (count, bytes) = told.split_once(' ').unwrap();
    let message = "k".repeat(bytes.parse().unwrap());
    let count: usize = count.parse().unwrap();
    let checks = || {
        let check = |index| (definition(&format!("check-{index}")), state(State::Ok, &message));
        snapshot((0..count).map(check).collect())
    };
    let mut server = Server::with_small_buffers(checks());
    println!("\nlistening on {}", server.address);
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if line == "run" {
            server.recorder.publish(checks());
        }
        println!("allocated {}", ALLOCATOR.allocated());
    }
}

fn asks(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = connect(address);
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    client
}

fn has(address: SocketAddr, path: &str) -> (TcpStream, usize) {
    let mut client = asks(address, path);
    let (code, body) = parts(&one(&mut client));
    assert_eq!(code, 200, "{body}");
    (client, body.len())
}

#[test]
fn whoever_has_read_a_long_answer_and_stays_costs_little_and_nothing_once_gone() {
    let mut server = Weighed::with(80);
    for path in ["/metrics", "/readyz?format=json&exclude=check-1"] {
        let (first, length) = has(server.address, path);
        let few: Vec<_> = (0..10).map(|_| has(server.address, path).0).collect();
        let before = server.weight();
        let many: Vec<_> = (0..200).map(|_| has(server.address, path).0).collect();
        let each = server.weight().saturating_sub(before) / many.len();
        assert!(each < 40 * 1024, "{each} bytes for each that has read {length} of {path}");
        drop((first, few, many));
        // Whoever is gone is noticed before the next one is served.
        let mut left = usize::MAX;
        for _ in 0..1000 {
            drop(has(server.address, "/livez"));
            left = server.weight();
            if left < before {
                break;
            }
        }
        assert!(left < before, "{left} bytes stay of {before}");
    }
}

/// Connections of their own, each with a stream that has begun.
fn streaming(address: SocketAddr, many: usize, request: &[u8], begins: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut client = connect(address);
        client.write_all(request).unwrap();
        let mut heard = Vec::new();
        while !heard.windows(begins.len()).any(|bytes| bytes == begins) {
            let mut buffer = [0; 4096];
            let read = client.read(&mut buffer).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&buffer[..read]);
        }
        client
    };
    (0..many).map(open).collect()
}

/// Reads until so many runs have been told.
fn hears_of(stream: &mut TcpStream, runs: usize) {
    let mut heard = Vec::new();
    while String::from_utf8_lossy(&heard).matches("event: tick").count() < runs {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..read]);
    }
}

#[test]
fn a_stream_costs_at_most_24_kibibytes_and_no_thread() {
    const CHECKS: usize = 20;
    let mut server = Weighed::saying(CHECKS, "Database is connected".len());
    let request = b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut streams = streaming(server.address, 1, request, b"event: snapshot");
    // The first one begins the record that all of them share: a thousand events are kept in it.
    for _ in 0..60 {
        server.runs_all();
        hears_of(&mut streams[0], CHECKS);
    }
    let (before, threads) = (server.weight(), server.threads());
    let more = 199;
    streams.extend(streaming(server.address, more, request, b"event: snapshot"));
    for _ in 0..3 {
        server.runs_all();
        streams.iter_mut().for_each(|stream| hears_of(stream, CHECKS));
    }
    // Two buffers of 8 KiB for each connection are hyper's own.
    let each = server.weight().saturating_sub(before) / more;
    assert!(each < 24 * 1024, "{each} bytes for each stream");
    assert!(server.threads() < threads + more / 10, "{} threads after {threads}", server.threads());
}

#[test]
fn whoever_watches_by_grpc_costs_as_little_as_a_stream() {
    let each = |request: &[u8], begins: &[u8]| {
        let mut server = Weighed::with(7);
        let _few = streaming(server.address, 10, request, begins);
        let before = server.weight();
        let many = streaming(server.address, 180, request, begins);
        server.weight().saturating_sub(before) / many.len()
    };
    let stream = each(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n", b"event: snapshot");
    let calling = [hello(&[]), call(1, "/grpc.health.v1.Health/Watch", b"")].concat();
    let watching = each(&calling, b"\0\0\0\0\x02\x08\x01");
    // What HTTP/2 itself keeps of a connection is the difference.
    assert!(watching < stream + 40 * 1024, "{watching} bytes for who watches, {stream} for a stream");
}

#[test]
fn answers_that_nobody_takes_are_bounded_together_and_whoever_reads_gets_the_next() {
    let mut server = Weighed::saying(100, 1700);
    let path = "/readyz?format=json&exclude=check-1";
    let (_first, length) = has(server.address, path);
    let before = server.weight();
    let lazy: Vec<TcpStream> = (0..120).map(|_| asks(server.address, path)).collect();
    // Answers are made in the order of the questions.
    let (_reader, read) = has(server.address, path);
    // But for ages it is the same.
    assert!(read.abs_diff(length) < length / 10, "{read} bytes of {length}");
    let grown = server.weight().saturating_sub(before);
    assert!(length * lazy.len() > 20 << 20, "{length} bytes are no long answer");
    assert!(grown < 16 << 20, "{grown} bytes for {} answers of {length}", lazy.len());
    assert_eq!(has(server.address, "/livez").1, 2);
    // The last to come are still served.
    let mut last = lazy.into_iter().next_back().unwrap();
    let mut byte = [0];
    assert_eq!(last.read(&mut byte).unwrap(), 1);
}
