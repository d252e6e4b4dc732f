//! What holds for every beat, whoever sends it.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probelet::base::clock::Clock;
use probelet::base::token::Token;
use probelet::config::Listen;
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;
use probelet::server::{bind, serve};
use probelet::store::Recorder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::server_support::{app, definition, snapshot, state};

/// The tokens of the checks, and that of the server; none holds another.
const OF_CHECKS: [&str; 2] = ["hunter2-first", "hunter2-second"];
const OF_SERVER: &str = "c4n4ry-server";
/// Where beats go: to the checks, to one that takes them from this pod alone, and to nobody.
const PATHS: [&str; 5] = ["first", "second", "plain", "nobody", "f%69rst"];
/// What a beat is answered with. Whether a body is one is known only once it is known who sends it.
const CODES: [u16; 7] = [204, 400, 401, 403, 413, 415, 431];
/// No request takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server without a token and one with.
pub struct World {
    runtime: Runtime,
    addresses: [SocketAddr; 2],
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
        // Rust's own start, which a fuzzer has none of, would have this signal ignored.
        drop(runtime.block_on(async { signal(SignalKind::pipe()) }).expect("a signal can be caught"));
        let (told, mut recorders) = (Arc::new(Mutex::new(Vec::new())), Vec::new());
        let addresses = [None, Some(Token::new(OF_SERVER))].map(|token| {
            let listeners = bind(&[Listen::One(([127, 0, 0, 1], 0).into())]).expect("a free port");
            let address = listeners[0].local_addr().expect("it listens");
            let (app, recorder) = app(beating(token), Clock::Machine, Arc::clone(&told));
            recorders.push(recorder);
            runtime.spawn(serve(listeners, app, std::future::pending()));
            address
        });
        Self { runtime, addresses, told, _recorders: recorders }
    }

    /// Sends `request` and reads until the server closes.
    fn talk(&self, server: usize, request: &[u8]) -> Vec<u8> {
        let conversation = async {
            let mut stream = TcpStream::connect(self.addresses[server]).await.expect("it accepts");
            let (mut from, mut to) = stream.split();
            let mut answer = Vec::new();
            let listen = async { while let Ok(1..) = from.read_buf(&mut answer).await {} };
            // A server that has seen enough closes before it has read everything.
            let _ = tokio::join!(to.write_all(request), listen);
            answer
        };
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, conversation).await })
            .expect("it answers and closes in time")
    }
}

fn beating(token: Option<Token>) -> Snapshot {
    let check = |name, token: Option<&str>| {
        let mut check = definition(name);
        check.beat_token = token.map(Token::new);
        (check, state(State::Ok, "fine"))
    };
    let [first, second] = OF_CHECKS;
    let mut snapshot = snapshot(vec![check("first", Some(first)), check("second", Some(second)), check("plain", None)]);
    Arc::make_mut(&mut snapshot.plan).answers.token = token;
    snapshot
}

/// The first three bytes choose the server, the check, and in chunks of how many bytes the body comes (0: with its length
/// ahead). The first line behind them has the values of `Authorization`, with a tab between two; the second line is that
/// of `Content-Encoding`; the rest is the body.
pub fn any_beat(world: &World, bytes: &[u8]) {
    let [server, check, size, rest @ ..] = bytes else { return };
    let (has_token, path) = (server % 2 == 1, PATHS[usize::from(*check) % PATHS.len()]);
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let mut line = || -> Vec<u8> {
        let line = parts.next().unwrap_or_default().iter().copied();
        line.filter(|byte| (*byte >= b' ' || *byte == b'\t') && *byte != 0x7f).take(4000).collect()
    };
    let (given, encoding) = (line(), line());
    let given: Vec<&[u8]> = given.split(|byte| *byte == b'\t').filter(|value| !value.is_empty()).collect();
    let body = parts.next().unwrap_or_default();
    let mut request = format!("PUT /v1/heartbeats/{path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    for value in &given {
        request.extend([b"Authorization: ", *value, b"\r\n"].concat());
    }
    if !encoding.is_empty() {
        let encoding: Vec<u8> = encoding.iter().copied().filter(|byte| *byte != b'\t').collect();
        request.extend([b"Content-Encoding: ", &encoding[..], b"\r\n"].concat());
    }
    request.extend(framed(body, usize::from(*size)));
    // What follows on the connection is no part of the beat.
    request.extend(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    world.told.lock().expect("nobody panicked").clear();
    let answer = world.talk(usize::from(has_token), &request);
    let told = std::mem::take(&mut *world.told.lock().expect("nobody panicked"));
    let shown = || format!("{} to {}", String::from_utf8_lossy(&answer), String::from_utf8_lossy(&request));

    let code: u16 = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()).unwrap_or(0);
    assert!(answer.starts_with(b"HTTP/1.1 ") && CODES.contains(&code), "{}", shown());
    assert_eq!(told.len(), usize::from(code == 204), "{told:?} of {}", shown());
    assert!(code != 413 || body.len() > 1024, "{}", shown());
    if code != 431 && body.len() <= 1024 {
        assert!(answer.ends_with(b"\r\n\r\nok"), "the next request is not answered: {}", shown());
    }
    if let [told] = &told[..] {
        let name = path.replace("%69", "i");
        let message = told.strip_prefix(&format!("beat {name}")).expect("the check that was named");
        assert!(message.chars().count() <= " degraded: ".len() + 200, "{told}");
        assert!(!message.chars().any(char::is_control), "{told:?}");
        let own = PATHS.iter().position(|path| *path == name).and_then(|place| OF_CHECKS.get(place));
        let presents = |token: &str| given.iter().any(|value| presents(value, token));
        // Without any token it comes from this pod.
        let needs_one = has_token || (own.is_some() && !given.is_empty());
        let may = presents(OF_SERVER) && has_token || own.is_some_and(|own| presents(own));
        assert!(!needs_one || (may && given.len() == 1), "taken from a stranger: {}", shown());
        for token in OF_CHECKS.iter().chain([&OF_SERVER]).filter(|token| is_plain(&given, token)) {
            assert!(!message.contains(*token), "{told}");
        }
    }
}

/// Whether a header can present `token`: what is in base64 may.
fn presents(value: &[u8], token: &str) -> bool {
    let scheme = value.get(..6).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"basic ") || (scheme.eq_ignore_ascii_case(b"bearer") && ends(value, token))
}

/// Whether it is what the only header says in plain text.
fn is_plain(given: &[&[u8]], token: &str) -> bool {
    matches!(given, [value] if value.is_ascii() && ends(value, token) && presents(value, token))
}

/// Whether `token` is the last word of `value`.
fn ends(value: &[u8], token: &str) -> bool {
    value.trim_ascii().rsplit(|byte| *byte == b' ').next() == Some(token.as_bytes())
}

/// `body` behind the header that says how long it is.
fn framed(body: &[u8], size: usize) -> Vec<u8> {
    if size == 0 {
        return [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    }
    let mut framed = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(size) {
        framed.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    framed.extend(b"0\r\n\r\n");
    framed
}
