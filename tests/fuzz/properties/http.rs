//! What holds for every request, whatever its bytes.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probelet::base::clock::Clock;
use probelet::config::Listen;
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;
use probelet::server::{bind, serve};
use probelet::store::Recorder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::server_support::{app, definition, ill, snapshot, state, worried};

/// Servers of snapshots made by hand, in the thread of their client: nothing happens while nobody asks.
pub struct World {
    runtime: Runtime,
    addresses: Vec<SocketAddr>,
    told: Arc<Mutex<Vec<String>>>,
    _recorders: Vec<Recorder>,
}

/// Calls `ask` with the world of this thread.
pub fn with_world<T>(ask: impl FnOnce(&World) -> T) -> T {
    thread_local!(static WORLD: OnceCell<World> = const { OnceCell::new() });
    WORLD.with(|world| ask(world.get_or_init(World::new)))
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let told = Arc::new(Mutex::new(Vec::new()));
        // Rust's own start, which a fuzzer has none of, would have this signal ignored.
        drop(runtime.block_on(async { signal(SignalKind::pipe()) }).expect("a signal can be caught"));
        let (mut addresses, mut recorders) = (Vec::new(), Vec::new());
        for snapshot in [worried(), ill(), odd()] {
            let listeners = bind(&[Listen::One(([127, 0, 0, 1], 0).into())]).expect("a free port");
            addresses.push(listeners[0].local_addr().expect("it listens"));
            let (app, recorder) = app(snapshot, Clock::Machine, Arc::clone(&told));
            recorders.push(recorder);
            runtime.spawn(serve(listeners, app, std::future::pending()));
        }
        Self { runtime, addresses, told, _recorders: recorders }
    }

    /// Sends `request`, says that nothing more will come, and reads until the server closes.
    fn talk(&self, server: usize, request: &[u8]) -> Vec<u8> {
        self.connected(server, async |stream| {
            let (mut from, mut to) = stream.split();
            let ask = async {
                // A server that has seen enough closes before it has read everything.
                let _ = to.write_all(request).await;
                let _ = to.shutdown().await;
            };
            let listen = async {
                let mut answer = Vec::new();
                while let Ok(1..) = from.read_buf(&mut answer).await {
                    if is_stream_under_way(&answer) {
                        break;
                    }
                }
                answer
            };
            tokio::join!(ask, listen).1
        })
    }

    /// Sends `requests`, each when the one before it has been answered, on one connection; the answers. Of a stream of
    /// events only the beginning is read, and nothing is asked after it.
    fn converse(&self, server: usize, requests: &[(&str, Vec<u8>)]) -> Vec<Vec<u8>> {
        self.connected(server, async |stream| {
            let mut answers = Vec::new();
            for (method, request) in requests {
                // A server that has seen enough closes before it has read everything.
                let _ = stream.write_all(request).await;
                let mut answer = Vec::new();
                while !is_whole(&answer, method) {
                    let Ok(1..) = stream.read_buf(&mut answer).await else { break };
                }
                let is_last = is_stream_under_way(&answer) || answer.is_empty();
                answers.push(answer);
                if is_last {
                    break;
                }
            }
            answers
        })
    }

    fn connected<T>(&self, server: usize, talk: impl AsyncFnOnce(&mut TcpStream) -> T) -> T {
        self.told.lock().expect("nobody panicked").clear();
        self.runtime.block_on(async {
            let mut stream = TcpStream::connect(self.addresses[server]).await.expect("it accepts");
            let said = tokio::time::timeout(PATIENCE, talk(&mut stream)).await;
            // A stream has to notice at once that its client is gone.
            let _ = stream.set_zero_linger();
            said.expect("it answers or closes in time")
        })
    }
}

/// No request takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_stream_under_way(answer: &[u8]) -> bool {
    let head = &answer[..answer.len().min(512)];
    contains(head, b"text/event-stream") && contains(answer, b"\n\n")
}

/// Whether it is all of the answer to a request with that method.
fn is_whole(answer: &[u8], method: &str) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let length: Option<usize> = Answer::of(answer).header("content-length").and_then(|length| length.parse().ok());
    match length {
        _ if method == "HEAD" => true,
        Some(length) => answer.len() >= end + 4 + length,
        None => is_stream_under_way(answer) || Answer::of(answer).code == 204,
    }
}

/// Names and messages that need care in a path, in JSON and in the exposition.
fn odd() -> Snapshot {
    let message = "\"\\</script>\u{2028}\u{7f}é{}%0a".to_owned();
    snapshot(vec![
        (definition("a/b/c"), state(State::Ok, &message)),
        (definition("livez"), state(State::Pending, &message)),
        (definition("x-._/"), state(State::Skipped, &message)),
    ])
}

/// The codes that the server has an answer for.
const CODES: [u16; 13] = [200, 204, 400, 403, 404, 405, 406, 413, 414, 415, 429, 431, 503];

/// What a client says first that speaks HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Behind the length of the first frame that it hears: settings, on no stream.
const SETTINGS: [u8; 6] = [4, 0, 0, 0, 0, 0];

/// The server answers in HTTP or closes, and goes on.
pub fn any_bytes(world: &World, bytes: &[u8]) {
    let answer = world.talk(bytes.len() % 3, bytes);
    if bytes.starts_with(PREFACE) {
        assert!(answer.is_empty() || answer[3..9] == SETTINGS, "{answer:?}");
        return;
    }
    if !answer.is_empty() {
        let answer = Answer::of(&answer);
        assert!(CODES.contains(&answer.code) || answer.code == 100, "{}", answer.head);
        // What hyper refuses by itself has neither type nor body.
        if answer.code != 100 && answer.header("content-type").is_some() {
            answer.has_the_headers_of_all();
        }
    }
}

/// Where a request goes, before what the input adds.
const PATHS: [&str; 26] = [
    "/livez?",
    "/livez/",
    "/startupz?",
    "/startupz/",
    "/readyz?",
    "/readyz/",
    "/healthz?",
    "/health?",
    "/metrics?",
    "/alive?",
    "/ready?",
    "/",
    "/?",
    "/v1/services?",
    "/v1/services/",
    "/v1/services/1/events?",
    "/v1/",
    "/-/",
    "/v1/heartbeats/",
    "/-/drain?",
    "/-/healthy?",
    "/livez?format=",
    "/startupz?exclude=",
    "/health/$stream?",
    "/v1/stream?",
    "/badge/",
];

const METHODS: [&str; 6] = ["GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE"];

/// The first two bytes choose the server, the method and the path; the rest of the line follows the path, and the next
/// three lines are the values of `Accept`, `Host` and `Last-Event-ID`.
pub fn any_request(world: &World, bytes: &[u8]) {
    let [first, second, rest @ ..] = bytes else { return };
    let (server, method) = (usize::from(*first) % 3, METHODS[usize::from(*first) / 3 % METHODS.len()]);
    let path = PATHS[usize::from(*second) % PATHS.len()];
    let mut lines = rest.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default().iter().copied();
    let target: Vec<u8> = line().filter(|byte| *byte != b'\r').take(4000).collect();
    let mut value = || -> Vec<u8> { line().filter(|byte| *byte >= b' ' && *byte != 0x7f).take(4000).collect() };
    let (accept, host, last) = (value(), value(), value());
    let reads = !matches!(method, "POST" | "DELETE");
    // What is only looked at has the same answer for each of the three.
    let methods: &[&str] = if reads { &["GET", "HEAD", "OPTIONS"] } else { &[method] };
    let requests: Vec<(&str, Vec<u8>)> = methods
        .iter()
        .map(|method| {
            let head = [method.as_bytes(), b" ", path.as_bytes(), &target, b" HTTP/1.1\r\nAccept: ", &accept];
            (*method, [&head.concat(), &b"\r\nHost: "[..], &host, b"\r\nLast-Event-ID: ", &last, b"\r\n\r\n"].concat())
        })
        .collect();
    let told = || world.told.lock().expect("nobody panicked").clone();
    let answers = world.converse(server, &requests);
    let first = Answer::of(&answers[0]);
    for ((method, request), answer) in requests.iter().zip(&answers) {
        let answer = Answer::of(answer);
        answer.holds_together(method);
        answer.has_the_headers_of_all();
        assert_eq!(answer.code, first.code, "by {method}: {}", String::from_utf8_lossy(request));
        let verdict = answer.header("x-health-status");
        assert_eq!(verdict, first.header("x-health-status"), "by {method}: {}", String::from_utf8_lossy(request));
        let gates = ["/livez", "/startupz", "/readyz", "/healthz?", "/alive?", "/ready?", "/health?"];
        if gates.iter().any(|gate| path.starts_with(gate)) && matches!(answer.code, 200 | 503) {
            assert!(verdict.is_some(), "no verdict: {}", String::from_utf8_lossy(request));
        }
        if reads && (path.starts_with("/livez") || path.starts_with("/startupz")) {
            assert!(matches!(answer.code, 200 | 503), "{} to {}", answer.code, String::from_utf8_lossy(request));
            // Kubelet cuts there. A name in a path or query may be spelt in other ways.
            let short = !contains(&target, b"v") && !contains(&target, b"%") && !contains(&target, b"format");
            assert!(!short || answer.body.len() < 10 << 10, "{} bytes", answer.body.len());
        }
    }
    assert!(answers.len() == requests.len() || is_stream_under_way(&answers[0]), "it did not answer each");
    let told = told();
    assert!(told.is_empty() || !reads, "{told:?} by {method}");
    assert!(told.is_empty() || !host.is_empty(), "{told:?} without a host");
}

/// An answer taken apart.
struct Answer<'a> {
    code: u16,
    head: &'a str,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let shown = || String::from_utf8_lossy(bytes);
        let end =
            bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {}", shown()));
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let code = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        Self { code: code.unwrap_or_else(|| panic!("no code: {}", shown())), head, body: &bytes[end + 4..] }
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// What every answer carries, and what none does.
    fn has_the_headers_of_all(&self) {
        for (name, value) in [("cache-control", "no-store"), ("vary", "Accept"), ("x-content-type-options", "nosniff")]
        {
            assert_eq!(self.header(name), Some(value), "{}", self.head);
        }
        for name in ["server", "location", "access-control-allow-origin"] {
            assert_eq!(self.header(name), None, "{}", self.head);
        }
        assert!(self.code != 405 || self.header("allow").is_some(), "{}", self.head);
    }

    /// Code, verdict, length and body agree.
    fn holds_together(&self, method: &str) {
        assert!(CODES.contains(&self.code), "{}", self.head);
        let verdict = self.header("x-health-status");
        if let Some(verdict) = verdict {
            assert_eq!(verdict == "error", self.code == 503, "{}", self.head);
            assert_eq!(verdict == "degraded", self.header("x-envoy-degraded").is_some(), "{}", self.head);
        }
        let content_type = self.header("content-type").unwrap_or_default();
        if content_type == "text/event-stream" || self.code == 204 {
            return;
        }
        if method == "HEAD" {
            assert!(self.body.is_empty(), "{}", self.head);
            return;
        }
        let length = self.header("content-length").map(|length| length.parse().expect("a length"));
        assert_eq!(length, Some(self.body.len()), "{}", self.head);
        std::str::from_utf8(self.body).expect("a body is text");
        if content_type.contains("json") && !self.body.is_empty() {
            let body: serde_json::Value = serde_json::from_slice(self.body).expect("JSON is JSON");
            let Some(word) = body["status"].as_str() else { return };
            let down = ["error", "fail", "DOWN", "unhealthy"].contains(&word);
            assert!(verdict.is_none() || down == (self.code == 503), "{}: {body}", self.code);
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
