//! What holds for every answer of a target, whatever its bytes: each is given to a real probe over a real connection.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use probelet::base::clock::Clock;
use probelet::base::trace::Trace;
use probelet::config::source::Environment;
use probelet::config::{Config, read};
use probelet::model::outcome::{FailureKind, Pass, ProbeResult};
use probelet::probe::capture::Capture;
use probelet::probe::heartbeat::Beats;
use probelet::probe::net::Network;
use probelet::probe::{BuildContext, RunContext};
use probelet::workflow::expression::Expression;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};

use super::lines::{SECRET, is_fit, is_message};

/// A kind of target, by the checks that look at it. `PORT` is that of the target, `hunter2` comes out of an expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    Http2,
    Grpc,
    Tcp,
    Redis,
    Postgres,
    Amqp,
}

impl Kind {
    const fn checks(self) -> &'static str {
        match self {
            Self::Http => include_str!("target/http.yaml"),
            Self::Http2 => include_str!("target/http2.yaml"),
            Self::Grpc => include_str!("target/grpc.yaml"),
            Self::Tcp => include_str!("target/tcp.yaml"),
            Self::Redis => include_str!("target/redis.yaml"),
            Self::Postgres => include_str!("target/postgres.yaml"),
            Self::Amqp => include_str!("target/amqp.yaml"),
        }
    }

    /// Whether everything happens in one thread, so that the same answer gives the same result.
    const fn is_alone(self) -> bool {
        !matches!(self, Self::Amqp)
    }
}

/// What two runs may allocate, one after another, in bytes: far more than any probe needs, far less than a peer can ask
/// for in a few bytes.
const MOST_ALLOCATED: usize = 24 << 20;

/// What two runs may send, in bytes, and how often they may connect.
const MOST_SENT: usize = 128 << 10;
const MOST_CONNECTIONS: usize = 16;

/// No pair of runs takes longer on a busy machine: a target says everything and hangs up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is kept of an answer, in bytes: the default of `max_body`, and the longest answer of a store.
const MOST_KEPT: usize = 1 << 20;

/// A target, and the checks that look at it.
pub struct World {
    kind: Kind,
    runtime: Runtime,
    listener: TcpListener,
    port: String,
    config: Config,
    network: Arc<Network>,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        // Each turn looks for what has come, so that counting turns is enough to wait for the other side.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("it listens").port().to_string();
        let environment = Environment::of([("SECRET", SECRET)]);
        let file = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        let loaded = read("config.yaml", kind.checks().replace("PORT", &port).as_bytes(), &environment, Box::new(file));
        let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report.text(false)));
        let nowhere =
            |_| -> probelet::probe::BoxFuture<'static, _> { Box::pin(async { Err(io::ErrorKind::NotFound.into()) }) };
        Self { kind, runtime, listener, port, config, network: Arc::new(Network::resolving_with(nowhere)) }
    }
}

/// The first byte chooses the check, the second says in pieces of how many bytes the answer comes (0: as it is) and
/// whether other pieces are to mean the same (its highest bit). The rest is what the target says, in turns that a line
/// `--` parts: each waits until something was asked. `NNNNNNNNNNNNNNNNNNNNNNNN` is the nonce of a login by SCRAM.
/// `allocated` counts the bytes that were ever allocated.
pub fn any_answer(world: &World, bytes: &[u8], allocated: fn() -> usize) {
    let [check, pieces, answer @ ..] = bytes else { return };
    let check = usize::from(*check) % world.config.targets.len();
    let size = usize::from(pieces & 0x7f);
    let found = world.watch(check, answer, size, allocated);
    if pieces & 0x80 != 0 && world.kind.is_alone() {
        let again = world.watch(check, answer, 0, allocated);
        // What is wrong with an answer that is wrong in two ways may depend on which of them is seen first.
        let pass = |found: &[Found]| found.iter().map(|one| one.kind.is_none()).collect::<Vec<_>>();
        assert_eq!(
            pass(&found),
            pass(&again),
            "in pieces of {size} bytes it means something else: {found:?}, {again:?}"
        );
    }
}

impl World {
    /// Two runs of a check, one after another, of a target that says `answer`; what each found.
    fn watch(&self, check: usize, answer: &[u8], size: usize, allocated: fn() -> usize) -> Vec<Found> {
        let before = allocated();
        let target = Arc::new(Target {
            turns: turns(answer, self.kind, &self.port),
            size: if size == 0 { usize::MAX } else { size },
            speaks_first: self.kind == Kind::Tcp,
            has_thread: self.kind == Kind::Amqp,
            sent: AtomicUsize::new(0),
            nonce: Mutex::default(),
        });
        let shown = || answer.escape_ascii().to_string();
        let (results, connections) = self.runtime.block_on(self.runs(check, &target, &shown));
        assert!(connections <= MOST_CONNECTIONS, "{connections} connections for {}", shown());
        let sent = target.sent.load(Ordering::Relaxed);
        assert!(sent <= MOST_SENT, "{sent} bytes sent for {}", shown());
        let taken = allocated() - before;
        assert!(taken <= MOST_ALLOCATED, "{taken} bytes allocated for {}", shown());
        results.into_iter().map(|result| self.fits(check, result)).collect()
    }

    /// A target that has said everything hangs up: with that the runs end, and so do all connections, soon after.
    async fn runs(&self, check: usize, target: &Arc<Target>, shown: &impl Fn() -> String) -> (Vec<ProbeResult>, usize) {
        let mut connections = JoinSet::new();
        let mut count = 0;
        let results = {
            let mut work = Box::pin(tokio::time::timeout(PATIENCE, self.observe_twice(check)));
            loop {
                tokio::select! {
                    biased;
                    results = &mut work => break results.unwrap_or_else(|_| panic!("a run goes on: {}", shown())),
                    accepted = self.listener.accept() => {
                        let (stream, _) = accepted.expect("it listens");
                        let _ = stream.set_nodelay(true);
                        connections.spawn(speak(stream, Arc::clone(target)));
                        count += 1;
                    }
                }
            }
        };
        // None is left open. One that was given up may send a request to cancel, which the target takes by hanging up.
        let all = async {
            loop {
                tokio::select! {
                    ended = connections.join_next() => if ended.is_none() { break },
                    accepted = self.listener.accept() => drop(accepted),
                }
            }
            poll_fn(|context| {
                while let Poll::Ready(Ok(accepted)) = self.listener.poll_accept(context) {
                    drop(accepted);
                }
                Poll::Ready(())
            })
            .await;
        };
        let all = tokio::time::timeout(PATIENCE, all).await;
        all.unwrap_or_else(|_| panic!("a connection stays open: {}", shown()));
        (results, count)
    }

    async fn observe_twice(&self, check: usize) -> Vec<ProbeResult> {
        let context = BuildContext {
            check: self.config.plan.checks[check].name.clone(),
            network: Arc::clone(&self.network),
            clock: Clock::Machine,
            beats: Arc::new(Beats::default()),
        };
        let mut probe = self.config.targets[check].spec.build(&context);
        let mut results = Vec::new();
        let status = || Capture { name: "status".into(), expression: Expression::Status };
        for captures in [Vec::new(), vec![status()]] {
            let trace = Arc::new(Trace::noting());
            let (captures, trace_of_run) = (Arc::from(captures), Arc::clone(&trace));
            let run = RunContext { budget: PATIENCE, captures, trace: trace_of_run, ..RunContext::default() };
            results.push(probe.observe(&run).await);
            for note in trace.notes() {
                assert!(!note.contains(SECRET), "{note}");
            }
        }
        results
    }

    /// The rules for what is told of a result, in both logs and answers.
    fn fits(&self, check: usize, result: ProbeResult) -> Found {
        let name = self.config.plan.checks[check].name.as_str();
        match result {
            Ok(Pass { message, answer, .. }) => {
                let message = message.unwrap_or_default();
                is_message(&message);
                let kept = answer.map_or(0, |answer| answer.body.len());
                assert!(kept <= MOST_KEPT, "{kept} bytes of answer kept");
                Found { kind: None, message }
            }
            Err(failure) => {
                is_fit(&failure, name.starts_with("secret"));
                assert_ne!(failure.kind, FailureKind::Resolve, "{failure:?}");
                Found { kind: Some(failure.kind), message: failure.message }
            }
        }
    }
}

/// What a run found, as it is told.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    kind: Option<FailureKind>,
    message: String,
}

/// What a target says on each of its connections.
struct Target {
    turns: Vec<Vec<u8>>,
    /// In pieces of so many bytes.
    size: usize,
    speaks_first: bool,
    /// The client works on a thread of its own, which takes longer than turns of ours.
    has_thread: bool,
    /// How many bytes it was sent.
    sent: AtomicUsize,
    /// That of the client, once it has sent one.
    nonce: Mutex<Option<[u8; NONCE.len()]>>,
}

/// What parts the turns of an answer, and what stands in it for the client's nonce.
const NEXT: &[u8] = b"\n--\n";
const NONCE: &[u8] = b"NNNNNNNNNNNNNNNNNNNNNNNN";

/// More turns than this are one.
const MOST_TURNS: usize = 16;

fn turns(answer: &[u8], kind: Kind, port: &str) -> Vec<Vec<u8>> {
    let mut turns = Vec::new();
    let mut rest = answer;
    while turns.len() < MOST_TURNS
        && let Some(end) = find(rest, NEXT)
    {
        turns.push(rest[..end].to_vec());
        rest = &rest[end + NEXT.len()..];
    }
    turns.push(rest.to_vec());
    if kind == Kind::Http {
        // A redirect to the target itself; the rest of the world is not asked.
        for turn in &mut turns {
            while let Some(at) = find(turn, b"PORT") {
                turn.splice(at..at + 4, port.bytes());
            }
        }
    }
    turns
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Says everything, turn by turn, then that nothing more comes, and reads until the client has gone.
async fn speak(mut stream: impl AsyncRead + AsyncWrite + Unpin, target: Arc<Target>) {
    for (number, turn) in target.turns.iter().enumerate() {
        if number > 0 || !target.speaks_first {
            target.hear(&mut stream).await;
        }
        let mut turn = turn.clone();
        if let Some(nonce) = *target.nonce.lock().expect("nobody panicked")
            && let Some(at) = find(&turn, NONCE)
        {
            turn[at..at + NONCE.len()].copy_from_slice(&nonce);
        }
        for piece in turn.chunks(target.size) {
            if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            yield_now().await;
        }
    }
    let _ = stream.shutdown().await;
    while target.listen(&mut stream).await {}
}

impl Target {
    /// Waits until something is said, but not for ever: a client may wait as well, for the rest of what it was told.
    async fn hear(&self, stream: &mut (impl AsyncRead + Unpin)) {
        const TURNS: u32 = 64;
        let mut said = Box::pin(self.listen(stream));
        for _ in 0..TURNS {
            tokio::select! {
                biased;
                _ = &mut said => return,
                () = yield_now() => {}
            }
        }
        if self.has_thread {
            let _ = tokio::time::timeout(Duration::from_millis(2), said).await;
        }
    }

    async fn listen(&self, stream: &mut (impl AsyncRead + Unpin)) -> bool {
        let mut buffer = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return false };
        self.sent.fetch_add(read, Ordering::Relaxed);
        if let Some(at) = find(&buffer[..read], b"n=,r=") {
            *self.nonce.lock().expect("nobody panicked") =
                buffer[..read].get(at + 5..).and_then(<[u8]>::first_chunk).copied();
        }
        true
    }
}
