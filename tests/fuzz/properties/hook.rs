//! What holds for every answer of those who are told of events.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use probelet::base::clock::{Clock, Timestamp};
use probelet::base::secret::Secret;
use probelet::config::hook::{HookConfig, HookEvents};
use probelet::hooks::{CheckChange, Hooks};
use probelet::metrics::DaemonMetrics;
use probelet::model::index::CheckIndex;
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::server_support::ill;

/// The limit on a try.
const TIMEOUT: Duration = Duration::from_secs(1);
/// An event is tried three times, and each try follows at most five redirects.
const MOST_REQUESTS: usize = 3 * 6;
/// The end waits for so long; three tries are over before, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver, and what it is told of.
pub struct World {
    runtime: Runtime,
    snapshot: Snapshot,
    said: Arc<Mutex<Reply>>,
    url: String,
}

#[derive(Default)]
struct Reply {
    bytes: Vec<u8>,
    size: usize,
    /// The first lines of what was posted.
    heard: Vec<Vec<u8>>,
}

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Rust's own start, which a fuzzer has none of, would have this signal ignored.
        drop(runtime.block_on(async { signal(SignalKind::pipe()) }).expect("a signal can be caught"));
        let said = Arc::new(Mutex::new(Reply::default()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}/events", listener.local_addr().expect("it listens"));
        let saying = Arc::clone(&said);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&saying)));
            }
        });
        Self { runtime, snapshot: ill(), said, url }
    }
}

/// Says what is to be said to each request, and closes.
async fn answer(mut stream: TcpStream, said: Arc<Mutex<Reply>>) {
    let mut request = Vec::new();
    // The last of it is the end of an event.
    while !request.ends_with(b"}}") {
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    let (bytes, size) = {
        let mut said = said.lock().expect("nobody panicked");
        said.heard.push(request.split(|byte| *byte == b'\r').next().unwrap_or_default().to_vec());
        (said.bytes.clone(), said.size)
    };
    for piece in bytes.chunks(size) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// The first byte says in pieces of how many bytes the rest, the answer, is sent. Whatever it is, the event is tried
/// three times at most, its end is known, and nobody but the receiver hears of it.
pub fn any_reply(world: &World, bytes: &[u8]) {
    let [size, reply @ ..] = bytes else { return };
    *world.said.lock().expect("nobody panicked") =
        Reply { bytes: reply.to_vec(), size: usize::from(*size).max(1) * 4, heard: Vec::new() };
    let daemon_metrics = Arc::new(DaemonMetrics::default());
    let hooks = Hooks::new("shop-0", Timestamp::default(), Arc::clone(&daemon_metrics));
    hooks.change(&[HookConfig {
        url: Secret::new(&*world.url),
        on: HookEvents::named(&["error"]),
        headers: vec![("X-Token".to_owned(), Secret::new("hunter2"))],
        timeout: TIMEOUT,
    }]);
    let change = CheckChange { check: CheckIndex::new(0), from: State::Ok, to: State::Error, observation: None };
    hooks.tell(&world.snapshot, &[change], &[]);
    let counts = daemon_metrics.hook_deliveries(0);
    let began = Clock::Machine.now();
    world.runtime.block_on(hooks.close(PATIENCE));
    assert!(Clock::Machine.now().since(began) < PATIENCE, "it has no end");
    let [delivered, failed, dropped] = counts.read();
    let shown = || String::from_utf8_lossy(reply);
    assert_eq!((delivered + failed, dropped), (1, 0), "{}", shown());
    assert!(delivered == 0 || reply.windows(2).any(|two| two == b" 2"), "delivered by {}", shown());
    let heard = std::mem::take(&mut world.said.lock().expect("nobody panicked").heard);
    assert!((1..=MOST_REQUESTS).contains(&heard.len()), "{} requests for {}", heard.len(), shown());
    assert!(heard.iter().all(|line| line.starts_with(b"POST ")), "{}", shown());
}
