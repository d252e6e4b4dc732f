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
/// So many checks of a kind run. There are as many of each, so that those that stand still stay the same.
const CHECKS: usize = 8;

const UNCHANGED: &str = "GET /livez, nothing new";
const GATE: &str = "GET /livez, a run since the last";
const SCRAPE: &str = "GET /metrics, runs since the last";
const PUBLICATION: &str = "publication: what a wake costs that publishes, beside its runs";

/// Instructions, or why they could not be counted.
pub type Count = Result<f64, String>;

/// When the checks of a kind run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beats {
    /// One after the other, each with a publication of its own.
    Apart,
    /// At once, with one publication for all.
    Together,
}

/// Runs of a kind.
#[derive(Clone, Copy)]
struct Runs {
    line: &'static str,
    kind: &'static str,
    more: &'static str,
    beats: Beats,
    interval: Duration,
    /// It is counted for so many intervals.
    intervals: u32,
}

const fn runs(line: &'static str, kind: &'static str, more: &'static str) -> Runs {
    Runs { line, kind, more, beats: Beats::Apart, interval: Duration::from_millis(500), intervals: 10 }
}

/// The same, where a run is dear: what is dear is done rarely, or one run would meet the next.
const fn dear(line: &'static str, kind: &'static str, more: &'static str, seconds: u64) -> Runs {
    Runs { interval: Duration::from_secs(seconds), intervals: 2, ..runs(line, kind, more) }
}

const KEPT: &str = ", max_connection_age: 1h";
const FRESH: &str = ", max_connection_age: 0s";

const SIMULATED: Runs =
    runs("run: simulated, which looks at nothing: the schedule and the publication", "simulated", "");

const KINDS: &[Runs] = &[
    SIMULATED,
    runs("run: http, kept", "http", KEPT),
    runs("run: http, fresh", "http", FRESH),
    runs("run: https, kept", "https", KEPT),
    dear("run: https, fresh", "https", FRESH, 2),
    runs("run: tcp", "tcp", ""),
    runs("run: postgres, kept", "postgres", KEPT),
    dear("run: postgres, fresh", "postgres", FRESH, 10),
    runs("run: redis, kept", "redis", KEPT),
    runs("run: redis, fresh", "redis", FRESH),
    runs("run: amqp, kept", "amqp", KEPT),
    dear("run: amqp, fresh", "amqp", FRESH, 2),
    runs("run: grpc, kept", "grpc", KEPT),
    runs("run: grpc, fresh", "grpc", FRESH),
    runs("run: disk", "disk", ""),
    runs("run: heartbeat", "heartbeat", ""),
    runs("run: workflow", "workflow", ""),
];

/// Counts each line that holds one of the words, or all of them where there are none, and tells each: the count, or why
/// there is none.
pub fn count(binary: &Path, targets: &Targets, size: usize, words: &[String], tell: &dyn Fn(&str, Count)) {
    let is_wanted = |line: &str| words.is_empty() || words.iter().any(|word| line.contains(word));
    let tell = |line: &str, count: Count| {
        if is_wanted(line) {
            tell(line, count);
        }
    };
    say(&format!("{size} checks: starting"));
    let mut counted = Counted::start(binary, &still(size));
    sleep(Duration::from_secs(2));
    let idle = per_second(&mut counted);
    tell(UNCHANGED, Ok(gate(&mut counted, idle)));
    for runs in KINDS.iter().filter(|runs| runs.kind == "simulated" || is_wanted(runs.line)) {
        let each = of_each(&mut counted, targets, size, *runs, idle);
        tell(runs.line, each.clone());
        if let ("simulated", Ok(each)) = (runs.kind, each) {
            let mut beside = |path, period| of_answer(&mut counted, *runs, idle, each, path, period);
            tell(GATE, beside("/livez", Duration::from_millis(50)));
            tell(SCRAPE, beside("/metrics", Duration::from_millis(500)));
            if is_wanted(PUBLICATION) {
                let together = Runs { beats: Beats::Together, ..*runs };
                let share = of_each(&mut counted, targets, size, together, idle);
                // Each of the runs together has its share of one publication, each of those apart a whole one.
                tell(PUBLICATION, share.map(|share| (each - share) / (1.0 - 1.0 / CHECKS as f64)));
            }
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
fn of_each(counted: &mut Counted, targets: &Targets, size: usize, runs: Runs, idle: f64) -> Count {
    say(&format!("{size} checks: {}", runs.line));
    counted.reload(&with_runs(targets, size, runs), || targets.beat());
    let window = window(counted, runs, &mut |span| sleep(span))?;
    Ok((window.count - idle * window.seconds) / window.passed)
}

/// The instructions of an answer while runs, of which one takes `each`, make news between two of them.
fn of_answer(counted: &mut Counted, runs: Runs, idle: f64, each: f64, path: &str, period: Duration) -> Count {
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
    })?;
    Ok((window.count - idle * window.seconds - each * window.passed) / f64::from(answers))
}

/// What was counted in a while.
struct Window {
    count: f64,
    seconds: f64,
    passed: f64,
}

/// Counts while `work` is done for the span of these runs; longer where the machine is so busy that few of them came about.
/// The span is one of whole intervals: what a count cuts off at its beginning comes in at its end.
fn window(counted: &mut Counted, runs: Runs, work: &mut dyn FnMut(Duration)) -> Result<Window, String> {
    // What was done after the reload is over: every check has run, and what was opened for it is open.
    let first = counted.passes(runs.kind)?;
    sleep(runs.interval);
    while counted.passes(runs.kind)? < first + CHECKS as f64 {
        sleep(runs.interval / 2);
    }
    let mut span = runs.interval * runs.intervals;
    loop {
        let (before, from) = (counted.passes(runs.kind)?, Instant::now());
        let mut seconds = 0.0;
        let count = counted.during(|| {
            let begun = Instant::now();
            work(span);
            seconds = begun.elapsed().as_secs_f64();
        });
        let to = Instant::now();
        // To ask takes its time, in which runs pass too.
        let asked = counted.passes(runs.kind)? - before;
        let due = CHECKS as f64 * seconds / runs.interval.as_secs_f64();
        if asked >= due {
            return Ok(Window { count, seconds, passed: due });
        }
        // Some were left out.
        if asked >= 0.5 * due || span > 4 * runs.interval * runs.intervals {
            return Ok(Window { count, seconds, passed: asked * seconds / (to - from).as_secs_f64() });
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
fn with_runs(targets: &Targets, size: usize, runs: Runs) -> String {
    let checks = targets.checks(CHECKS, runs.interval.as_millis() as usize, runs.kind, runs.more);
    // Everything is slow below callgrind, and slower beside others.
    let mut checks = checks.replace("timeout: 2s", "timeout: 1m");
    for number in 0..CHECKS {
        let name = format!("name: check-{number}\n    interval: ");
        let interval = match runs.beats {
            Beats::Together => runs.interval,
            // Each interval has beats of its own. A wake that two of them share is rare.
            Beats::Apart => runs.interval + number as u32 * runs.interval / 100,
        };
        let named = format!("name: {}-{number}\n    interval: {}ms # ", runs.kind, interval.as_millis());
        checks = checks.replace(&name, &named);
    }
    let (_, checks) = checks.split_once("checks:\n").expect("there are checks");
    format!("{HEAD}{}{checks}", standing(size - CHECKS))
}

/// They look at nothing: that they are there is what counts.
fn standing(count: usize) -> String {
    (0..count).map(|number| format!("  - {{name: s{number}, interval: 1h, simulated: {{}}}}\n")).collect()
}
