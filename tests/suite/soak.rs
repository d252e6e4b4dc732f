//! The daemon for long, under load and under clients that mean no good: nothing is dropped, nothing grows.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use probelet::base::clock::{Clock, Moment, Timestamp};
use probelet::base::name::CheckName;
use probelet::config::diff::ConfigDiff;
use probelet::config::source::Environment;
use probelet::config::{self, Config};
use probelet::history::answer::{Keep, RecordedRun};
use probelet::history::{History, Settings};
use probelet::model::start_up::ContainerNews;
use probelet::model::state::{OutcomeKind, State};
use probelet::probe::{BuildContext, Spec};
use probelet::scheduler::actor::{Program, Scheduler, SchedulerCommand};
use probelet::scheduler::history_reporter::HistoryReporter;
use probelet::scheduler::machine::Machine;
use probelet::store::board;

use crate::alone;
use crate::support::daemon::{Daemon, PATIENCE, Reply};
use crate::support::fake::{Fake, http};

/// The configuration number `turn`: a check that stays, one that comes and goes, one over HTTP that is always another,
/// and one that takes beats and has one name of `names`. Of runs nearly nothing is kept: that would grow for a while.
fn configuration(turn: usize, names: usize, target: u16) -> String {
    let name = turn % names;
    let comes_and_goes = match turn % 2 {
        0 => "  - { name: now_and_then, simulated: {}, interval: 100ms }\n",
        _ => "",
    };
    format!(
        "reload: {{ watch: false }}\nserver: {{ drain: 0s }}\nhistory: {{ retention: 1s, max_memory: 64KiB }}\nchecks:\n\
         \x20 - {{ name: stays, simulated: {{}}, interval: 100ms }}\n{comes_and_goes}\
         \x20 - {{ name: changes, http: {{ url: \"http://127.0.0.1:{target}/{turn}\" }}, interval: 200ms }}\n\
         \x20 - {{ name: named-{name}, heartbeat: {{ push: true, max_age: 1h }}, gates: [], interval: 100ms }}\n"
    )
}

/// Makes the daemon use the configuration number `turn`, and waits until it does; `line` is the first that may say so,
/// and the one behind it is returned.
async fn reload(daemon: &mut Daemon, line: usize, turn: usize, target: u16) -> usize {
    daemon.rewrite(&configuration(turn, NAMES, target));
    daemon.signal(Signal::HUP);
    daemon.logs_from(line, "the configuration was loaded").await
}

/// One answer read whole from a kept connection.
async fn answer(stream: &mut TcpStream) -> Result<Reply, String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (status, head) = head.split_once("\r\n").ok_or_else(|| format!("no head in {text}"))?;
            let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
            let head = head.replace("\r\n", "\n");
            let reply = Reply { status: code.ok_or_else(|| status.to_owned())?, head, body: body.to_owned() };
            let length: usize = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return if body.len() == length { Ok(reply) } else { Err(format!("too much: {text}")) };
            }
        }
        match stream.read_buf(&mut read).await {
            Ok(0) => return Err(format!("cut off after {:?}", String::from_utf8_lossy(&read))),
            Ok(_) => {}
            Err(error) => return Err(format!("{error} after {:?}", String::from_utf8_lossy(&read))),
        }
    }
}

const ASKED: [&str; 6] = ["/livez", "/readyz", "/healthz?format=json", "/health", "/startupz", "/metrics"];

/// Whether an answer of a daemon whose checks all pass is as it should be.
fn is_whole(path: &str, reply: &Reply) -> bool {
    let json = || serde_json::from_str::<serde_json::Value>(&reply.body);
    reply.status == 200
        && match path {
            "/livez" | "/readyz" | "/startupz" => reply.body == "ok",
            "/metrics" => reply.body.starts_with("# HELP ") && reply.body.ends_with('\n'),
            "/health" => json().is_ok_and(|body| body["status"] == "healthy" || body["status"] == "degraded"),
            _ => {
                json().is_ok_and(|body| body["checks"].as_array().is_some_and(|checks| (3..=4).contains(&checks.len())))
            }
        }
}

/// Asks without a pause until `over`, on one connection or on a fresh one each time; counts the answers.
async fn keep_asking(address: SocketAddr, keep: bool, over: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    let connection = if keep { "keep-alive" } else { "close" };
    let mut kept = None;
    for path in ASKED.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.expect("it listens all the time"),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it takes every request");
        let reply = tokio::time::timeout(PATIENCE, answer(&mut stream)).await.expect("it answers in time");
        let reply = reply.unwrap_or_else(|error| panic!("{path}, {connection}: {error}"));
        assert!(is_whole(path, &reply), "{path}, {connection}: {reply:?}");
        count.fetch_add(1, Ordering::Relaxed);
        if keep {
            kept = Some(stream);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_drop_no_request() {
    let target = Fake::answers(http(200, &[], "")).await;
    let mut daemon = Daemon::start(&configuration(0, NAMES, target.port())).await;
    daemon.until("/readyz", |reply| reply.body == "ok").await;
    let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..8 {
        clients.spawn(keep_asking(daemon.address, client % 2 == 0, Arc::clone(&over), Arc::clone(&count)));
    }
    let mut line = 0;
    for turn in 1..=300 {
        line = reload(&mut daemon, line, turn, target.port()).await;
        if let Some(ended) = clients.try_join_next() {
            ended.expect("every request is answered");
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("every request is answered");
    }
    assert!(count.load(Ordering::Relaxed) > 1000, "{count:?} requests are no load");
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Memory of its own: the pages of the binary come and go as the machine needs them.
    pub memory_kib: u64,
    pub threads: u64,
}

impl Holdings {
    /// Of a process, or of `self`.
    pub fn of(process: &str) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let figure = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells it");
            line.split_whitespace().next().and_then(|figure| figure.parse().ok()).expect("it is a number")
        };
        Self { memory_kib: figure("RssAnon:"), threads: figure("Threads:") }
    }
}

/// Something that is looked at again and again, in windows of so many looks. Of each window the least counts, so that
/// what comes and goes does not: what is left after it has leaked.
#[derive(Debug)]
pub struct Windows {
    of: usize,
    looks: usize,
    least: Vec<f64>,
}

impl Windows {
    pub fn of(of: usize) -> Self {
        // Room for all of them: what they take themselves does not grow while they look.
        Self { of, looks: 0, least: Vec::with_capacity(1024) }
    }

    pub fn look(&mut self, value: f64) {
        match self.least.last_mut() {
            Some(least) if !self.looks.is_multiple_of(self.of) => *least = least.min(value),
            _ => self.least.push(value),
        }
        self.looks += 1;
    }

    /// The least of the first quarter, of the half behind it and of the last quarter, where it grows by `leak` or more at
    /// each look. The looks must begin when a fifth of everything is over.
    ///
    /// From the beginning of one part to that of the next the time then doubles, and with it what leaks: what is lost piece
    /// by piece rises in a line, and a table that takes twice the room when it is full does so at least once. Half of
    /// `leak` is enough, since noise may hide some of it. A jump rises once, a curve that levels off rises by less and less,
    /// and noise rises by no more than what neighbours differ by: they are no leak.
    pub fn leak(&self, leak: f64) -> Option<[f64; 3]> {
        let (parts, rises) = (self.parts(), self.rises());
        let quarter = self.whole().len() / 4;
        let looks = [quarter, self.whole().len() - 2 * quarter].map(|windows| (windows * self.of) as f64);
        let noise = 2.0 * self.noise();
        let grows = rises.iter().zip(looks).all(|(rise, looks)| *rise >= leak / 2.0 * looks && *rise > noise);
        let is_apart = self.whole()[..quarter].iter().all(|least| *least < parts[2]);
        (grows && is_apart && rises[1] >= rises[0]).then_some(parts)
    }

    /// The least of the first quarter, of the half behind it, and of the last quarter.
    fn parts(&self) -> [f64; 3] {
        let least = self.whole();
        assert!(least.len() >= 12, "{} windows tell nothing", least.len());
        let quarter = least.len() / 4;
        let parts = [&least[..quarter], &least[quarter..least.len() - quarter], &least[least.len() - quarter..]];
        parts.map(|part| part.iter().copied().fold(f64::MAX, f64::min))
    }

    /// From each part to the next.
    fn rises(&self) -> [f64; 2] {
        let [first, middle, last] = self.parts();
        [middle - first, last - middle]
    }

    /// By how much a window differs from the next: the median. Steps are few.
    fn noise(&self) -> f64 {
        let mut differences: Vec<f64> = self.whole().windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        differences.sort_by(f64::total_cmp);
        differences[differences.len() / 2]
    }

    /// The windows that are full, in quarters of the same length.
    fn whole(&self) -> &[f64] {
        &self.least[..self.looks / self.of / 4 * 4]
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, middle, last] = self.parts();
        write!(
            f,
            "{first}, {middle}, {last} in {} windows, between which it differs by {}",
            self.whole().len(),
            self.noise()
        )
    }
}

/// Whether there is a leak of 1 or more at each look, where the first fifth of all is not looked at.
fn leaks(mut value: impl FnMut(usize) -> f64) -> bool {
    let mut windows = Windows::of(10);
    for time in 1..=200 {
        let value = value(time);
        if time >= 40 {
            windows.look(value);
        }
    }
    windows.leak(1.0).is_some()
}

/// The same noise every time: xorshift.
fn noise(seed: u64) -> impl Fn(usize) -> f64 {
    move |time| {
        let mut random = (time as u64 + 1 + seed * 1000).wrapping_mul(88_172_645_463_325_252);
        random ^= random << 13;
        random ^= random >> 7;
        ((random ^ (random << 17)) % 1000) as f64
    }
}

#[test]
fn what_is_lost_piece_by_piece_and_tables_that_double_are_leaks() {
    assert!(leaks(|time| time as f64));
    assert!(leaks(|time| 100.0 * time as f64 + noise(0)(time)));
    // So many entries each time: the doublings come early or late.
    for entries in 1..50 {
        let mut list = Vec::new();
        let mut room_of_list = |time: usize| {
            list.extend(std::iter::repeat_n(0_u64, entries));
            assert_eq!(list.len(), time * entries);
            (list.capacity() * size_of::<u64>()) as f64
        };
        assert!(leaks(&mut room_of_list), "a list, by {entries}");
        let map = || {
            let mut map = HashMap::new();
            move |time: usize| {
                map.extend((0..entries).map(|entry| (time * entries + entry, 0_u64)));
                (map.capacity() * size_of::<(usize, u64)>()) as f64
            }
        };
        assert!(leaks(map()), "a map, by {entries}");
        let mut map = map();
        let mut room_of_both = |time: usize| map(time) + (time * entries * 24) as f64;
        assert!(leaks(&mut room_of_both), "a map of boxes, by {entries}");
        // Beside buffers that are taken and given back.
        let mut list = Vec::new();
        assert!(
            leaks(|time| {
                list.extend(std::iter::repeat_n([0_u64; 16], entries));
                (list.capacity() * 128) as f64 + noise(entries as u64)(time)
            }),
            "a list beside noise, by {entries}"
        );
    }
}

#[test]
fn noise_jumps_saws_and_what_levels_off_are_no_leaks() {
    for seed in 0..1000 {
        assert!(!leaks(noise(seed)), "{seed}");
    }
    assert!(!leaks(|_| 1000.0));
    assert!(!leaks(|time| 0.4 * time as f64));
    assert!(!leaks(|time| -(time as f64)));
    for jump in 1..200 {
        assert!(!leaks(|time| if time < jump { 0.0 } else { 100_000.0 }), "{jump}");
    }
    assert!(!leaks(|time| 100_000.0 - 100_000.0 / time as f64));
    for full in 1..100 {
        assert!(!leaks(|time| 1000.0 * time.min(full) as f64), "full at {full}");
    }
    for teeth in 1..100 {
        assert!(!leaks(|time| 100.0 * (time % teeth) as f64), "{teeth}");
    }
}

/// Checks of so many names come and go. What is kept of those that are gone has its full size when all were there.
const NAMES: usize = 50;
/// So many reloads, of which the first fifth gives buffers and tables their size.
const RELOADS: usize = 1200;
/// A leak of pages in each reload is at least so large, in bytes: what is kept of one by mistake is a check or a plan. The
/// allocator itself needs some pages more now and then, 100 bytes for each reload.
pub const LEAK_OF_PAGES: f64 = 1024.0;
/// A leak of allocations in each reload is at least so large: there is no smaller allocation.
pub const LEAK: f64 = 16.0;

#[tokio::test]
async fn a_thousand_reloads_of_the_daemon_grow_nothing() {
    let target = Fake::answers(http(200, &[], "")).await;
    let mut daemon = Daemon::start(&configuration(0, NAMES, target.port())).await;
    daemon.until("/readyz", |reply| reply.body == "ok").await;
    let process = daemon.pid().to_string();
    let mut line = 0;
    let [mut memory, mut threads, mut descriptors] = [60; 3].map(Windows::of);
    for turn in 1..=RELOADS {
        line = reload(&mut daemon, line, turn, target.port()).await;
        if turn > RELOADS / 5 {
            let held = Holdings::of(&process);
            memory.look(held.memory_kib as f64 * 1024.0);
            threads.look(held.threads as f64);
            descriptors.look(daemon.descriptors() as f64);
        }
    }
    // One thread or descriptor in a hundred reloads would be too many.
    let leaks = [memory.leak(LEAK_OF_PAGES), threads.leak(0.01), descriptors.leak(0.01)];
    println!("bytes of memory: {memory}\nthreads: {threads}\ndescriptors: {descriptors}");
    assert_eq!(leaks, [None; 3], "bytes, threads, descriptors");
    assert_eq!(daemon.get("/readyz").await.body, "ok");
}

/// After so many reloads of the scheduler it is looked at.
const REST: usize = 100;

/// Alone in a process, so that its memory tells. The files are read and compared as the daemon does it, and the tasks
/// of the checks are started and ended; only signals and the log are left out, which would take minutes.
#[test]
fn ten_thousand_reloads_of_the_scheduler_grow_nothing() {
    println!("{}", alone::run("soak::reloads_ten_thousand_times"));
}

/// The child of [`ten_thousand_reloads_of_the_scheduler_grow_nothing`]; nothing without it.
#[tokio::test]
async fn reloads_ten_thousand_times() {
    if !alone::is("soak::reloads_ten_thousand_times") {
        return;
    }
    let target = forgetful_target().await;
    let mut current = read(0, target);
    let clock = Clock::Machine;
    let mut machine = Machine::new(Arc::clone(&current.plan), "pod", clock.read());
    let (recorder, mut board) = board(machine.snapshot(clock.read()));
    let context = BuildContext {
        check: CheckName::new("none").expect("it is a name"),
        network: Arc::default(),
        clock,
        beats: Arc::default(),
    };
    let keep =
        Keep { retention: Duration::from_secs(7 * 86_400), max_size: current.history.max_size, max_memory: 64 * 1024 };
    let history = History::start(Settings { path: None, keep, pod: None, boot: None }, clock.read().wall);
    fill(&history, &current, clock.read().wall).await;
    let reporter = HistoryReporter::new(history, Arc::clone(&context.beats), clock.read());
    let start_ups = tokio::sync::watch::channel((ContainerNews::None, Moment::default())).1;
    let progress = Box::new(|_| {});
    let scheduler =
        Scheduler { machine, recorder, reporter, clock, context, progress, changed: Box::new(|_, _, _| {}), start_ups };
    let (commands, orders) = tokio::sync::mpsc::channel(8);
    let scheduler = tokio::spawn(scheduler.run(specs(&current), orders));
    let [mut memory, mut tasks] = [5; 2].map(Windows::of);
    for turn in 1..=10_000 {
        let next = read(turn, target);
        let origins = ConfigDiff::between(&current, &next).origins;
        let program = Program { plan: Arc::clone(&next.plan), specs: specs(&next), origins };
        commands.send(SchedulerCommand::Reload(Box::new(program))).await.expect("the scheduler works");
        while !Arc::ptr_eq(&board.latest().plan, &next.plan) {
            board.next().await.expect("the scheduler works");
        }
        current = next;
        // By then a thousand checks that are gone are remembered.
        if turn > 2000 && turn.is_multiple_of(REST) {
            settled().await;
            memory.look(crate::ALLOCATOR.allocated() as f64);
            tasks.look(tokio::runtime::Handle::current().metrics().num_alive_tasks() as f64);
        }
    }
    println!("bytes allocated: {memory}\ntasks: {tasks}");
    let each = REST as f64;
    assert_eq!([memory.leak(LEAK * each), tasks.leak(0.01 * each)], [None; 2], "bytes, tasks");
    drop(commands);
    scheduler.await.expect("it ends when nobody can command it");
}

/// Lets everything end that a reload has left behind: what runs may go on for a second, and how many that are depends on
/// how fast one reload follows the other.
async fn settled() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let wait = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 12 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("what a reload has left behind ends");
}

/// A target that answers and remembers nothing: what a test remembers grows.
async fn forgetful_target() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
        }
    });
    port
}

/// Fills what is kept of runs and changes, in which a new one takes the place of an old one from then on.
async fn fill(history: &History, config: &Config, at: Timestamp) {
    history.declare(&config.plan, at);
    let check = &config.plan.checks[0].name;
    for turn in 0..20_000 {
        history.transition(check, if turn % 2 == 0 { State::Ok } else { State::Error }, at);
        let (outcome, message) = (OutcomeKind::Pass, "changes OK (1ms)");
        history.record(&RecordedRun {
            check,
            at,
            outcome,
            reason: None,
            took: Some(Duration::from_millis(1)),
            message,
        });
        if turn % 1000 == 0 {
            // No more runs than can wait.
            while history.flush().await.is_err() {}
        }
    }
}

fn read(turn: usize, target: u16) -> Config {
    let environment = Environment::of([("POD_NAME", "shop-0")]);
    let files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let loaded =
        config::read("config.yaml", configuration(turn, usize::MAX, target).as_bytes(), &environment, Box::new(files));
    loaded.config.expect("it is valid")
}

fn specs(config: &Config) -> Vec<Arc<dyn Spec>> {
    config.targets.iter().map(|target| Arc::clone(&target.spec)).collect()
}

/// How a client takes up room. Once it is closed it comes again, a second later.
async fn take_up_room(address: SocketAddr, client: usize) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            // The daemon closes such clients when it needs the room: any error is the end of this round.
            let _ = misbehave(&mut stream, client).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn misbehave(stream: &mut TcpStream, client: usize) -> std::io::Result<()> {
    match client % 5 {
        // Says nothing.
        0 => {}
        // Says half of it.
        1 => stream.write_all(b"GET /livez HTTP/1.1\r\nHost: local").await?,
        // Says it byte by byte.
        2 => {
            for byte in b"GET /livez HTTP/1.1\r\nX-Slow: ".iter().chain([b'x'; 60].iter()) {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        // Asks again and again and reads nothing of it, for a while.
        3 => {
            let requests = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10);
            stream.write_all(requests.as_bytes()).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        // Announces a body that never comes.
        _ => stream.write_all(b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").await?,
    }
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_or_silent_clients_leave_livez_answering() {
    let daemon = Daemon::start("checks:\n  - { name: well, simulated: {}, interval: 100ms }\n").await;
    daemon.until("/readyz", |reply| reply.body == "ok").await;
    let before = daemon.descriptors();
    let mut crowd = JoinSet::new();
    for client in 0..1000 {
        crowd.spawn(take_up_room(daemon.address, client));
    }
    // The crowd has arrived when it fills the house.
    let arrived = async {
        while daemon.descriptors() < 250 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("a thousand clients fill it");
    let mut times = Vec::new();
    for _ in 0..50 {
        let asked = Instant::now();
        let reply = daemon.get("/livez").await;
        times.push(asked.elapsed());
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(daemon.descriptors() < 300, "{} descriptors are open", daemon.descriptors());
    times.sort_unstable();
    // It takes a millisecond or two, and longer on a machine with other things to do. Who has to wait for a place in a full
    // house waits until somebody has been silent for ten seconds.
    assert!(times[45] < Duration::from_secs(5), "{times:?}");
    crowd.shutdown().await;
    daemon.until_descriptors(before).await;
}
