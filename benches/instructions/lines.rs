//! What is counted: answers, a publication, and runs.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::counted::Counted;
use crate::say;
use crate::targets::Targets;

/// How often something is asked for.
const TIMES: usize = 100;
/// Enough, at the pace of a daemon below callgrind, for what a beat sets off.
const SETTLED: Duration = Duration::from_millis(100);

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

/// The same, where a run is dear.
const fn dear(line: &'static str, kind: &'static str, more: &'static str) -> Runs {
    let (interval, span) = (Duration::from_secs(1), Duration::from_secs(25));
    Runs { line, kind, more, checks: 2, interval, span }
}

const KEPT: &str = ", max_connection_age: 1h";
const FRESH: &str = ", max_connection_age: 0s";

const KINDS: &[Runs] = &[
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

/// Counts each line that holds one of the words, or all of them where there are none.
pub fn count(binary: &Path, targets: &Targets, size: usize, words: &[String]) -> Vec<(String, f64)> {
    let is_wanted = |line: &str| words.is_empty() || words.iter().any(|word| line.contains(word));
    let mut counts = Vec::new();
    say(&format!("{size} checks: starting"));
    let mut counted = Counted::start(binary, &still(size));
    sleep(Duration::from_secs(2));
    let idle = per_second(&mut counted);
    let lines = answers(&mut counted, idle, &is_wanted);
    counts.extend(lines);
    for runs in KINDS.iter().filter(|runs| is_wanted(runs.line)) {
        say(&format!("{size} checks: {}", runs.line));
        counted.reload(&with_runs(targets, size, runs), || targets.beat());
        sleep(Duration::from_secs(2));
        counts.push((runs.line.to_owned(), of_each(&mut counted, runs, idle)));
    }
    counts
}

/// What it does by itself in a second.
fn per_second(counted: &mut Counted) -> f64 {
    let span = Duration::from_secs(5);
    counted.during(|| sleep(span)) / span.as_secs_f64()
}

fn answers(counted: &mut Counted, idle: f64, is_wanted: &impl Fn(&str) -> bool) -> Vec<(String, f64)> {
    let mut client = counted.client();
    let mut each = |times: usize, work: &mut dyn FnMut(&mut crate::client::Client)| {
        let begun = Instant::now();
        let count = counted.during(|| (0..times).for_each(|_| work(&mut client)));
        (count - idle * begun.elapsed().as_secs_f64()) / times as f64
    };
    let mut counts = Vec::new();
    let mut enter = |line: &str, count: f64| {
        if is_wanted(line) {
            counts.push((line.to_owned(), count));
        }
    };
    let get = |client: &mut crate::client::Client, path: &str| {
        let (code, _) = client.get(path).expect("it answers");
        assert_eq!(code, 200, "{path}");
    };
    // What happens once, the first connection and its buffers, is over.
    each(10, &mut |client| get(client, "/livez"));
    enter("gate, nothing new: GET /livez", each(TIMES, &mut |client| get(client, "/livez")));
    let beat = each(TIMES, &mut |client| beat(client));
    enter("a beat: the request, its run and the publication", beat);
    let gate = each(TIMES, &mut |client| {
        self::beat(client);
        get(client, "/readyz");
    });
    enter("gate, after a publication: GET /readyz", gate - beat);
    let scrape = each(TIMES / 4, &mut |client| {
        self::beat(client);
        get(client, "/metrics");
    });
    enter("scrape, after a publication: GET /metrics", scrape - beat);
    counts
}

fn beat(client: &mut crate::client::Client) {
    let code = client.put("/v1/heartbeats/beat").expect("it answers");
    assert_eq!(code, 204, "it takes the beat");
    sleep(SETTLED);
}

/// The instructions of one run. Runs that a count cuts in two are told by their share of time.
fn of_each(counted: &mut Counted, runs: &Runs, idle: f64) -> f64 {
    let (before, from) = (counted.passes(runs.kind), Instant::now());
    let mut span = Duration::ZERO;
    let count = counted.during(|| {
        let begun = Instant::now();
        sleep(runs.span);
        span = begun.elapsed();
    });
    let to = Instant::now();
    let passed = counted.passes(runs.kind) - before;
    let rate = passed / (to - from).as_secs_f64();
    count / (rate * span.as_secs_f64()) - idle / rate
}

const HEAD: &str = "log: { level: info, format: text }\nreload: { watch: false }\nchecks:\n";

/// So many checks that stand still, and one that waits for beats.
fn still(size: usize) -> String {
    let beat = "  - {name: beat, interval: 1h, heartbeat: {push: true, max_age: 1h}, gates: []}\n";
    format!("{HEAD}{}{beat}", standing(size - 1))
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
