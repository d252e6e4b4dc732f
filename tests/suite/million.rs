//! A million runs of which a third fail: memory, descriptors, threads and tasks stay as they are. In virtual time, and over
//! real sockets, with `make soak`; a twentieth of it with every `make test`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use probelet::base::clock::{Clock, Moment};
use probelet::base::name::CheckName;
use probelet::config::source::Environment;
use probelet::config::{self, Config};
use probelet::history::answer::Keep;
use probelet::history::{History, Settings};
use probelet::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use probelet::model::start_up::ContainerNews;
use probelet::probe::{BoxFuture, BuildContext, Probe, RunContext, Spec};
use probelet::scheduler::actor::Scheduler;
use probelet::scheduler::history_reporter::HistoryReporter;
use probelet::scheduler::machine::Machine;
use probelet::store::board;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::alone;
use crate::soak::{Holdings, LEAK, LEAK_OF_PAGES, Windows};
use crate::support::daemon::{Daemon, Reply};

/// For so many minutes `make soak` runs the daemon against real sockets.
const MINUTES: &str = "PROBELET_SOAK_MINUTES";
/// Runs in virtual time, for `make soak`.
const RUNS: u64 = 1_000_000;
/// And for `make test`.
const FEW_RUNS: u64 = 50_000;
/// After so many of them what there is is looked at.
const LOOKS: u64 = 200;
const CHECKS: usize = 60;

/// A target of which each third run fails, one way after the other.
#[derive(Clone, Debug, Default)]
struct Third(Arc<AtomicU64>);

impl Spec for Third {
    fn build(&self, _context: &BuildContext) -> Box<dyn Probe> {
        Box::new(self.clone())
    }
}

impl Probe for Third {
    fn observe<'a>(&'a mut self, _run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        let run = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match (run % 3, run / 3 % 4) {
                (0 | 1, _) => Ok(Pass::saying(format!("answered with {}", run % 1000))),
                (_, 0) => Err(Failure::new(FailureKind::Connect, "connection refused").with_detail("os error 111")),
                (_, 1) => std::future::pending().await,
                (_, 2) => Err(Failure::new(FailureKind::Mismatch, format!("status is 50{}, not 200", run % 10))),
                (_, _) => Err(Failure::new(FailureKind::Protocol, "the answer ended early")),
            }
        })
    }
}

/// Checks with and without parents, behind every kind of gate.
fn checks() -> Config {
    let check = |number: usize| {
        let more = match number % 4 {
            0 => "",
            1 => ", gates: [live], failure_threshold: 2",
            2 => ", critical: false, success_threshold: 2",
            _ => ", depends_on: [check-0]",
        };
        format!("  - {{ name: check-{number}, simulated: {{}}, interval: 1s, timeout: 500ms{more} }}\n")
    };
    let text = format!("checks:\n{}", (0..CHECKS).map(check).collect::<String>());
    let files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    config::read("config.yaml", text.as_bytes(), &Environment::of([("POD_NAME", "shop-0")]), Box::new(files))
        .config
        .expect("it is valid")
}

/// Alone in a process, so that its memory tells.
#[test]
fn many_runs_of_which_a_third_fail_grow_nothing() {
    println!("{}", alone::run("million::runs_many_times"));
}

/// The child of [`many_runs_of_which_a_third_fail_grow_nothing`]; nothing without it.
#[tokio::test(start_paused = true)]
async fn runs_many_times() {
    if !alone::is("million::runs_many_times") {
        return;
    }
    let config = checks();
    let clock = Clock::tokio();
    let mut machine = Machine::new(Arc::clone(&config.plan), "pod", clock.read());
    let (recorder, mut board) = board(machine.snapshot(clock.read()));
    let check = CheckName::new("none").expect("it is a name");
    let context = BuildContext { check, network: Arc::default(), clock, beats: Arc::default() };
    let keep = Keep { retention: Duration::from_secs(3600), max_size: 0, max_memory: 256 * 1024 };
    let history = History::start(Settings { path: None, keep, pod: None, boot: None }, clock.read().wall);
    let reporter = HistoryReporter::new(history.clone(), Arc::clone(&context.beats), clock.read());
    let start_ups = tokio::sync::watch::channel((ContainerNews::None, Moment::default())).1;
    let (progress, changed) = (Box::new(|_| {}), Box::new(|_: &_, _: &[_], _: &[_]| {}));
    let scheduler = Scheduler { machine, recorder, reporter, clock, context, progress, changed, start_ups };
    let (commands, orders) = tokio::sync::mpsc::channel(8);
    let counts: Vec<Third> = (0..CHECKS).map(|_| Third::default()).collect();
    let specs = counts.iter().map(|third| Arc::new(third.clone()) as Arc<dyn Spec>).collect();
    let scheduler = tokio::spawn(scheduler.run(specs, orders));
    let ran = || counts.iter().map(|third| third.0.load(Ordering::Relaxed)).sum::<u64>();
    let runs = if std::env::var_os(MINUTES).is_some() { RUNS } else { FEW_RUNS };
    let looks = usize::try_from(runs / LOOKS / 5 * 4).expect("they are few");
    let [mut memory, mut tasks, mut descriptors, mut threads] = [looks / 16; 4].map(Windows::of);
    let mut looked = 0;
    while looked < runs {
        board.next().await.expect("the scheduler works");
        if ran() < looked + LOOKS {
            continue;
        }
        looked = ran();
        drained(&history);
        // The first fifth, in which buffers, tables and what is kept of the past get their size.
        if looked > runs / 5 {
            memory.look(crate::ALLOCATOR.allocated() as f64);
            tasks.look(tokio::runtime::Handle::current().metrics().num_alive_tasks() as f64);
            descriptors.look(std::fs::read_dir("/proc/self/fd").expect("it is there").count() as f64);
            threads.look(Holdings::of("self").threads as f64);
        }
    }
    // What leaks in each twelfth run is found, and that is the rarest kind of them.
    let leaks = [memory.leak(LEAK * LOOKS as f64 / 12.0), tasks.leak(0.01), descriptors.leak(0.01), threads.leak(0.01)];
    assert_eq!(leaks, [None; 4], "bytes, tasks, descriptors, threads");
    let failed: u64 = board.latest().checks.iter().map(|check| check.counters.runs[1]).sum();
    assert!(failed > runs / 5, "{failed} runs of {looked} failed");
    println!("{looked} runs, of which {failed} failed; the least of each window:");
    println!("bytes allocated: {memory}\ntasks: {tasks}\ndescriptors: {descriptors}\nthreads: {threads}");
    drop(commands);
    scheduler.await.expect("it ends when nobody can command it");
}

/// Waits until history has taken in what it was told. It has a thread of its own, and virtual time must not run away
/// meanwhile: this thread waits, and not the task.
fn drained(history: &History) {
    let mut flushing = pin!(history.flush());
    let mut context = Context::from_waker(Waker::noop());
    while flushing.as_mut().poll(&mut context).is_pending() {
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// How a target answers, each time another way.
async fn answer(mut stream: TcpStream, turn: u64) {
    let mut request = [0; 2048];
    if turn % 12 == 5 {
        // It is reset, which is what becomes of a connection with something unread.
        return;
    }
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
        let said: &[u8] = match turn % 12 {
            2 => return tokio::time::sleep(Duration::from_secs(2)).await,
            8 => b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\ndown",
            11 => b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhalf of it",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        if stream.write_all(said).await.is_err() || turn % 12 == 11 {
            return;
        }
    }
}

async fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((stream, _)) = listener.accept().await {
            turn += 1;
            tokio::spawn(answer(stream, turn));
        }
    });
    address
}

fn total(reply: &Reply, outcome: &str) -> u64 {
    let outcome = format!(",outcome=\"{outcome}\"}} ");
    let runs = reply.body.lines().filter(|line| line.starts_with("healthcheck_runs_total{"));
    runs.filter_map(|line| line.split_once(&outcome)?.1.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_over_real_sockets_grows_nothing() {
    let Some(minutes) = std::env::var_os(MINUTES) else { return };
    let minutes: u64 = minutes.to_str().and_then(|minutes| minutes.parse().ok()).expect("a number of minutes");
    let (target, nobody) = (target().await, TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
    let refused = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let check = |number: usize| {
        let address = if number.is_multiple_of(12) { refused } else { target };
        let age = if number.is_multiple_of(3) { "1m" } else { "0s" };
        format!(
            "  - {{ name: check-{number}, http: {{ url: \"http://{address}/{number}\", max_connection_age: {age} }}, \
             interval: 100ms, timeout: 500ms }}\n"
        )
    };
    let checks: String = (0..CHECKS).map(check).collect();
    let daemon = Daemon::start(&format!("history: {{ max_memory: 256KiB }}\nchecks:\n{checks}")).await;
    let process = daemon.pid().to_string();
    let [mut memory, mut threads, mut descriptors] = [minutes * 6; 3].map(|looks| Windows::of(looks as usize));
    let began = Instant::now();
    let (warm, end) = (Duration::from_secs(minutes * 12), Duration::from_secs(minutes * 60));
    while began.elapsed() < end {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if began.elapsed() > warm {
            let held = Holdings::of(&process);
            memory.look(held.memory_kib as f64 * 1024.0);
            threads.look(held.threads as f64);
            descriptors.look(daemon.descriptors() as f64);
        }
    }
    let metrics = daemon.get("/metrics").await;
    let [passed, failed, void] = ["pass", "fail", "void"].map(|outcome| total(&metrics, outcome));
    println!("{passed} runs passed, {failed} failed, {void} were void; the least of each window:");
    println!("bytes of memory: {memory}\nthreads: {threads}\ndescriptors: {descriptors}");
    assert!(failed * 5 > passed && passed > failed, "a third should fail");
    let leaks = [memory.leak(LEAK_OF_PAGES), threads.leak(0.01), descriptors.leak(0.01)];
    assert_eq!(leaks, [None; 3], "bytes, threads, descriptors");
}
