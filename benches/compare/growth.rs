//! How the daemon grows with the number of its checks: HTTP every 10 s, all of it on one core.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::log::Log;
use crate::process::{Memory, Usage, steadily};
use crate::release::daemon;
use crate::say;
use crate::sheet::{Sheet, p99};
use crate::support::servers::{Account, Folder, Server, free_port};
use crate::targets::Targets;

/// So many checks, a column each.
pub const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

const INTERVAL: Duration = Duration::from_secs(10);
/// From one question at a gate to the next while something else happens.
const PAUSE: Duration = Duration::from_millis(1);
/// After so long nothing that was rendered is kept.
const KEPT: Duration = Duration::from_millis(1100);
const PATIENCE: Duration = Duration::from_secs(180);

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// How often each size is measured, up to 1,000 checks; larger ones once.
    pub rounds: usize,
    /// The largest size.
    pub most: usize,
    /// How long it runs before its memory is looked at.
    pub settle: Duration,
    /// Reloads of each sort.
    pub reloads: usize,
}

/// Measures each size.
pub fn measure(sheet: &mut Sheet, binary: &Path, targets: &Targets, effort: Effort) {
    for round in 1..=effort.rounds {
        for (column, size) in SIZES.into_iter().enumerate().filter(|(_, size)| *size <= effort.most) {
            if round == 1 || size <= 1_000 {
                say(&format!("growth: {size} checks, round {round} of {}", effort.rounds));
                one(sheet, column, binary, targets, size, effort);
                if round == 1 {
                    outages(sheet, column, binary, targets, size);
                }
            }
        }
    }
}

fn one(sheet: &mut Sheet, column: usize, binary: &Path, targets: &Targets, size: usize, effort: Effort) {
    let mut subject = Subject::start(binary, targets, size);
    let process = subject.process();
    let mut add = |key: &str, value: f64| sheet.add(key, column, value);

    add("listen", subject.listens());
    let (ready, Times { livez: times, .. }) = asking(subject.port, || subject.is_ready());
    add("ready", ready);
    add("ready_cpu", Usage::of(process).seconds);
    add("start_p99", p99(times.clone()));
    add("start_worst", worst(&times));

    sleep(effort.settle);
    let private = Memory::of(process).anonymous;
    add("private", private as f64);
    if size >= 1_000 {
        add("per_check", private as f64 / size as f64);
    }
    let before = Usages::of(process);
    sleep(INTERVAL);
    let idle = Usages::of(process).since(before).each(INTERVAL.as_secs_f64());
    add("cpu", idle.all);
    let ((), times) = asking(subject.port, || sleep(Duration::from_secs(6)));
    add("livez_p99", p99(times.livez));
    add("readyz_p99", p99(times.readyz));
    let mut client = Client::new(subject.port).expect("it listens");
    let before = Usages::of(process);
    // No faster than results come: each answer is the first after a publication.
    let answers = steadily(Duration::from_millis(50), Duration::from_secs(3), || {
        client.get("/livez").expect("it answers");
    });
    add("livez_cpu", Usages::of(process).since(before).gates / f64::from(answers));

    let (port, mut most_lag) = (subject.port, 0.0_f64);
    let ((), times) = asking(port, || {
        for look in 0..10 {
            let begun = Instant::now();
            let (code, body) = Client::new(port).and_then(|mut client| client.get("/metrics")).expect("it answers");
            assert_eq!(code, 200, "/metrics");
            if look > 0 {
                add("scrape", begun.elapsed().as_secs_f64());
            }
            add("scrape_size", body.len() as f64);
            most_lag = most_lag.max(lag(&body));
            for path in ["/", "/v1/stream"] {
                // The page asks for a stream, which does not end: what it begins with is all that is waited for.
                let _ = Client::new(port).and_then(|mut client| client.begin(path)).expect("it answers");
            }
            // And for what it shows of the past, whole.
            let page = Client::new(port).and_then(|mut client| client.get("/v1/services?include=history&limit=500"));
            assert_eq!(page.expect("it answers").0, 200, "/v1/services");
            sleep(Duration::from_millis(200));
        }
        for _ in 0..5 {
            sleep(KEPT);
            let begun = Instant::now();
            Client::new(port).and_then(|mut client| client.get("/metrics")).expect("it answers");
            add("scrape_anew", begun.elapsed().as_secs_f64());
        }
    });
    add("scrape_p99", p99(times.livez));
    add("lag", most_lag);

    subject.calm();
    let private = Memory::of(process).anonymous;
    for reload in 0..effort.reloads {
        let renamed = subject.reload(Some(reload));
        add("reload", renamed.used.scheduler);
        add("reload_cpu", renamed.used.all - renamed.used.gates);
        add("reload_worst", renamed.worst);
        let same = subject.reload(None);
        add("same", same.used.scheduler);
        add("same_worst", same.worst);
    }
    sleep(Duration::from_secs(2));
    add("after", Memory::of(process).anonymous as f64 / private as f64);

    subject.fail();
    // By then all have.
    sleep(INTERVAL * 3 / 2);
    let before = Usages::of(process);
    sleep(INTERVAL);
    add("failing_cpu", Usages::of(process).since(before).each(INTERVAL.as_secs_f64()).all);
    let ((), times) = asking(port, || sleep(INTERVAL));
    add("failing_livez", p99(times.livez));
    add("failing_readyz", p99(times.readyz));
}

/// What an outage of 20 s costs until all pass again: of the check that all others depend on, and of the parents of pairs.
fn outages(sheet: &mut Sheet, column: usize, binary: &Path, targets: &Targets, size: usize) {
    let (pages, parents) = (targets.pages(), targets.parent_pages());
    for (family, key) in [(Family::One, "parent"), (Family::Pairs, "pairs")] {
        say(&format!("growth: {size} checks, an outage of {key}"));
        let mut subject = Subject::of(binary, &families(family, size, &pages, &parents), Vec::new(), size);
        subject.listens();
        subject.is_ready();
        // By then each runs at its own time.
        sleep(INTERVAL * 3 / 2);
        let before = Usages::of(subject.process());
        let ((), times) = asking(subject.port, || {
            targets.parents_fail(true);
            subject.until_readyz(503);
            sleep(INTERVAL * 2);
            targets.parents_fail(false);
            subject.until_readyz(200);
        });
        let used = Usages::of(subject.process()).since(before);
        let mut add = |figure: &str, value| sheet.add(&format!("{key}_{figure}"), column, value);
        add("cpu", used.all - used.gates);
        add("worst", worst(&times.livez));
        add("p99", p99(times.livez));
    }
}

/// The highest lag of the scheduler that this text tells.
fn lag(metrics: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix("probelet_scheduler_worst_lag_seconds "));
    line.and_then(|value| value.parse().ok()).expect("it tells its lag")
}

fn worst(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}

/// How long answers took, in seconds.
#[derive(Default)]
struct Times {
    livez: Vec<f64>,
    readyz: Vec<f64>,
}

/// Does `work` while `/livez` and `/readyz` are asked in turn on one connection.
fn asking<T: Send>(port: u16, work: impl FnOnce() -> T + Send) -> (T, Times) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let mut client = Client::new(port).expect("it listens");
            let mut times = Times::default();
            while !is_done.load(Ordering::Relaxed) || times.readyz.is_empty() {
                for (path, times) in [("/livez", &mut times.livez), ("/readyz", &mut times.readyz)] {
                    let begun = Instant::now();
                    client.get(path).expect("it answers");
                    times.push(begun.elapsed().as_secs_f64());
                    sleep(PAUSE);
                }
            }
            times
        });
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        (result, asker.join().expect("it answers"))
    })
}

/// The thread of this name.
fn thread(process: u32, name: &str) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let mut named = tasks
        .flatten()
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    named.next()?.file_name().to_str()?.parse().ok()
}

/// What a reload took, in seconds.
struct Reload {
    used: Usages,
    worst: f64,
}

/// CPU time in seconds.
#[derive(Clone, Copy)]
struct Usages {
    /// Of all threads.
    all: f64,
    /// Of the one that runs the checks: the first.
    scheduler: f64,
    /// Of the one that answers the gates.
    gates: f64,
}

impl Usages {
    fn of(process: u32) -> Self {
        let gates = thread(process, "gates").expect("it has a thread for the gates");
        Self {
            all: Usage::of(process).seconds,
            scheduler: Usage::of_thread(process, process).seconds,
            gates: Usage::of_thread(process, gates).seconds,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            scheduler: self.scheduler - before.scheduler,
            gates: self.gates - before.gates,
        }
    }

    fn each(self, seconds: f64) -> Self {
        Self { all: self.all / seconds, scheduler: self.scheduler / seconds, gates: self.gates / seconds }
    }
}

/// The daemon with so many checks.
struct Subject {
    server: Server,
    port: u16,
    size: usize,
    config: PathBuf,
    pages: Vec<String>,
    begun: Instant,
    log: Log,
    _folder: Folder,
}

impl Subject {
    fn start(binary: &Path, targets: &Targets, size: usize) -> Self {
        let pages = targets.pages();
        Self::of(binary, &checks(size, &pages, "10s", None), pages, size)
    }

    fn of(binary: &Path, config: &str, pages: Vec<String>, size: usize) -> Self {
        let folder = Folder::new("growth");
        let config = folder.write("config.yaml", config, &Account::mine());
        let port = free_port();
        // The last core: the first serves interrupts, and has what asks.
        let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
        let mut command = Command::new("taskset");
        command.arg("-c").arg(last.to_string());
        let ours = daemon(binary, &config, port);
        command.arg(ours.get_program()).args(ours.get_args()).env_remove("RUST_LOG");
        let begun = Instant::now();
        let (server, log) = (Server::start(command, Account::mine(), &folder), Log::of(&folder));
        Self { server, port, size, config, pages, begun, log, _folder: folder }
    }

    fn process(&self) -> u32 {
        self.server.child.id()
    }

    /// How long it took until it answered.
    fn listens(&mut self) -> f64 {
        while Client::new(self.port).and_then(|mut client| client.get("/livez")).is_err() {
            assert!(!self.server.has_ended() && self.begun.elapsed() < PATIENCE, "{}", self.log.news());
        }
        self.begun.elapsed().as_secs_f64()
    }

    /// How long it took until it was ready.
    fn is_ready(&self) -> f64 {
        self.until_readyz(200);
        self.begun.elapsed().as_secs_f64()
    }

    /// Waits until `/readyz` answers with this code.
    fn until_readyz(&self, code: u16) {
        let (begun, mut client) = (Instant::now(), Client::new(self.port).expect("it listens"));
        while client.get("/readyz").expect("it answers").0 != code {
            assert!(begun.elapsed() < PATIENCE, "/readyz does not answer with {code} after {PATIENCE:?}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Has it read its file again, with another name for one check or as it was, while its checks stand still.
    fn reload(&mut self, rename: Option<usize>) -> Reload {
        if let Some(rename) = rename {
            let text = checks(self.size, &self.pages, "1h", Some(rename));
            std::fs::write(&self.config, text).expect("it is ours");
        }
        let process = self.process();
        let before = Usages::of(process);
        let ((), times) = asking(self.port, || {
            self.log.reload(&mut self.server, PATIENCE);
            // What follows from it is part of it: the next publications, and the first runs.
            sleep(Duration::from_secs(1));
        });
        Reload { used: Usages::of(process).since(before), worst: worst(&times.livez) }
    }

    /// Has its checks look at a port that nobody listens on.
    fn fail(&mut self) {
        let closed = [format!("http://127.0.0.1:{}/", free_port())];
        std::fs::write(&self.config, checks(self.size, &closed, "10s", None)).expect("it is ours");
        self.log.reload(&mut self.server, PATIENCE);
    }

    /// Has its checks run once an hour, and waits until all have run and nothing more is done.
    fn calm(&mut self) {
        std::fs::write(&self.config, checks(self.size, &self.pages, "1h", None)).expect("it is ours");
        self.log.reload(&mut self.server, PATIENCE);
        let begun = Instant::now();
        loop {
            let before = Usage::of(self.process()).seconds;
            sleep(Duration::from_secs(2));
            if Usage::of(self.process()).seconds - before < 0.1 || begun.elapsed() > PATIENCE {
                return;
            }
        }
    }
}

/// How checks depend on each other.
#[derive(Clone, Copy)]
enum Family {
    /// All on the first one.
    One,
    /// Each second one on the one before it.
    Pairs,
}

/// So many checks every 10 s, some of which depend on others; a hundredth less, as a file may have 100,000 values.
fn families(family: Family, size: usize, pages: &[String], parents: &[String]) -> String {
    // A file may have 1 MiB.
    let mut text = String::from("log: {level: info, format: text}\ndefaults: {interval: 10s}\nchecks:\n");
    for number in 0..size - size / 100 {
        let parent = match family {
            Family::One => 0,
            Family::Pairs => number / 2 * 2,
        };
        let (urls, depends) =
            if parent == number { (parents, String::new()) } else { (pages, format!(" depends_on: [c{parent}],")) };
        let url = &urls[number % urls.len()];
        text += &format!("- {{name: c{number},{depends} http: {{url: \"{url}?{number}\"}}}}\n");
    }
    text
}

/// So many checks of pages on loopback, of which a tenth gates `live` too; one of them by a name of its own.
fn checks(size: usize, pages: &[String], interval: &str, rename: Option<usize>) -> String {
    // A file may have 1 MiB.
    let mut text = String::from("log: { level: info, format: text }\nchecks:\n");
    for number in 0..size {
        let name = match rename {
            Some(time) if number == size / 2 => format!("renamed-{time}"),
            _ => format!("check-{number}"),
        };
        let page = &pages[number % pages.len()];
        let gates = if number % 10 == 0 { " gates: [live, ready]," } else { "" };
        text += &format!("- {{name: {name}, interval: {interval},{gates} http: {{url: \"{page}?{number}\"}}}}\n");
    }
    text
}
