//! What is counted: answers, a publication, and runs.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::counted::Counted;
use crate::say;
use crate::targets::Targets;

/// How often something is asked for.
const TIMES: usize = 100;
/// Fewer runs than these say too little.
const LEAST: f64 = 40.0;

const UNCHANGED: &str = "GET /livez, nothing new";
const GATE: &str = "GET /livez, a run since the last";
const SCRAPE: &str = "GET /metrics, runs since the last";

/// Runs of a kind.
struct Runs {
    line: &'static str,
    kind: &'static str,
    more: &'static str,
    /// So many checks, each so often, for so long: what is dear is done rarely.
    checks: usize,
    interval: Duration,
    span: Duration,
}

const fn runs(line: &'static str, kind: &'static str, more: &'static str) -> Runs {
    let (interval, span) = (Duration::from_millis(500), Duration::from_secs(10));
    Runs { line, kind, more, checks: 10, interval, span }
}

/// The same, where a run is dear. There are as many of them, so that those that stand still stay the same.
const fn dear(line: &'static str, kind: &'static str, more: &'static str) -> Runs {
    let (interval, span) = (Duration::from_secs(5), Duration::from_secs(25));
    Runs { line, kind, more, checks: 10, interval, span }
}

const KEPT: &str = ", max_connection_age: 1h";
const FRESH: &str = ", max_connection_age: 0s";

const KINDS: &[Runs] = &[
    runs("run: simulated, which looks at nothing: the schedule and the publication", "simulated", ""),
    runs("run: http, kept", "http", KEPT),
    runs("run: http, fresh", "http", FRESH),
    runs("run: https, kept", "https", KEPT),
    dear("run: https, fresh", "https", FRESH),
    runs("run: tcp", "tcp", ""),
    runs("run: postgres, kept", "postgres", KEPT),
    dear("run: postgres, fresh", "postgres", FRESH),
    runs("run: redis, kept", "redis", KEPT),
    runs("run: redis, fresh", "redis", FRESH),
    runs("run: amqp, kept", "amqp", KEPT),
    dear("run: amqp, fresh", "amqp", FRESH),
    runs("run: grpc, kept", "grpc", KEPT),
    runs("run: grpc, fresh", "grpc", FRESH),
    runs("run: disk", "disk", ""),
    runs("run: heartbeat", "heartbeat", ""),
    runs("run: workflow", "workflow", ""),
];

/// Counts each line that holds one of the words, or all of them where there are none, and tells each.
pub fn count(binary: &Path, targets: &Targets, size: usize, words: &[String], tell: &dyn Fn(&str, f64)) {
    let is_wanted = |line: &str| words.is_empty() || words.iter().any(|word| line.contains(word));
    let tell = |line: &str, count: f64| {
        if is_wanted(line) {
            tell(line, count);
        }
    };
    say(&format!("{size} checks: starting"));
    let mut counted = Counted::start(binary, &still(size));
    sleep(Duration::from_secs(2));
    let idle = per_second(&mut counted);
    tell(UNCHANGED, gate(&mut counted, idle));
    for runs in KINDS.iter().filter(|runs| runs.kind == "simulated" || is_wanted(runs.line)) {
        say(&format!("{size} checks: {}", runs.line));
        counted.reload(&with_runs(targets, size, runs), || targets.beat());
        let each = of_each(&mut counted, runs, idle);
        tell(runs.line, each);
        if runs.kind == "simulated" {
            let mut beside = |path, period| of_answer(&mut counted, runs, idle, each, path, period);
            tell(GATE, beside("/livez", Duration::from_millis(50)));
            tell(SCRAPE, beside("/metrics", Duration::from_millis(500)));
        }
    }
}

/// What it does by itself in a second.
fn per_second(counted: &mut Counted) -> f64 {
    let span = Duration::from_secs(5);
    counted.during(|| sleep(span)) / span.as_secs_f64()
}

/// The instructions of an answer while nothing changes.
fn gate(counted: &mut Counted, idle: f64) -> f64 {
    let mut client = counted.client();
    // What happens once, the first connection and its buffers, is over.
    (0..10).for_each(|_| get(&mut client, "/livez"));
    let begun = Instant::now();
    let count = counted.during(|| (0..TIMES).for_each(|_| get(&mut client, "/livez")));
    (count - idle * begun.elapsed().as_secs_f64()) / TIMES as f64
}

fn get(client: &mut Client, path: &str) {
    let (code, _) = client.get(path).expect("it answers");
    assert_eq!(code, 200, "{path}");
}

/// The instructions of one run.
fn of_each(counted: &mut Counted, runs: &Runs, idle: f64) -> f64 {
    let window = window(counted, runs, &mut |span| sleep(span));
    (window.count - idle * window.seconds) / window.passed
}

/// The instructions of an answer while runs, of which one takes `each`, make news between two of them.
fn of_answer(counted: &mut Counted, runs: &Runs, idle: f64, each: f64, path: &str, period: Duration) -> f64 {
    let port = counted.port;
    let mut answers = 0;
    let window = window(counted, runs, &mut |span| {
        // One that waited for long is closed.
        let mut client = Client::new(port).expect("it listens");
        let begun = Instant::now();
        answers = 0;
        while begun.elapsed() < span {
            get(&mut client, path);
            answers += 1;
            sleep(period);
        }
    });
    (window.count - idle * window.seconds - each * window.passed) / f64::from(answers)
}

/// What was counted in a while.
struct Window {
    count: f64,
    seconds: f64,
    passed: f64,
}

/// Counts while `work` is done for the span of these runs; longer where the machine is so busy that few of them came about.
/// Runs that a count cuts in two are told by their share of time.
fn window(counted: &mut Counted, runs: &Runs, work: &mut dyn FnMut(Duration)) -> Window {
    // What was done after the reload is over: every check has run, and what was opened for it is open.
    let first = counted.passes(runs.kind);
    while counted.passes(runs.kind) < first + 3.0 * runs.checks as f64 {
        sleep(runs.interval);
    }
    let mut span = runs.span;
    loop {
        let (before, from) = (counted.passes(runs.kind), Instant::now());
        let mut seconds = 0.0;
        let count = counted.during(|| {
            let begun = Instant::now();
            work(span);
            seconds = begun.elapsed().as_secs_f64();
        });
        let to = Instant::now();
        let passed = (counted.passes(runs.kind) - before) * seconds / (to - from).as_secs_f64();
        if passed >= LEAST || span > 8 * runs.span {
            return Window { count, seconds, passed };
        }
        span *= 2;
    }
}

const HEAD: &str = "log: { level: info, format: text }\nreload: { watch: false }\nchecks:\n";

/// So many checks that stand still.
fn still(size: usize) -> String {
    format!("{HEAD}{}", standing(size))
}

/// The same, with some of a kind that run.
fn with_runs(targets: &Targets, size: usize, runs: &Runs) -> String {
    let checks = targets.checks(runs.checks, runs.interval.as_millis() as usize, runs.kind, runs.more);
    // Everything is slow below callgrind, and slower beside others.
    let checks = checks.replace("timeout: 2s", "timeout: 1m");
    let (_, checks) = checks.split_once("checks:\n").expect("there are checks");
    format!(
        "{HEAD}{}{}",
        standing(size - runs.checks),
        checks.replace("name: check-", &format!("name: {}-", runs.kind))
    )
}

/// They look at nothing: that they are there is what counts.
fn standing(count: usize) -> String {
    (0..count).map(|number| format!("  - {{name: s{number}, interval: 1h, simulated: {{}}}}\n")).collect()
}
