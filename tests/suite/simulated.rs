//! What `simulate` tells is what the daemon does: the same outage, played in virtual and in real time.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::certs::Folder;
use crate::support::daemon::Daemon;
use crate::support::fake::{Act, Fake, http};

/// How much later than told something may happen, beside one interval and one timeout.
const BUSY: Duration = Duration::from_millis(1500);

/// One fault of one check, and how its server shows it.
struct Outage {
    check: &'static str,
    from: Duration,
    to: Duration,
    outcome: &'static str,
    act: Act,
}

/// What happened: a check and its new state, or `readyz` and `open` or `closed`.
#[derive(Debug, Default)]
struct Course {
    checks: Vec<(Duration, String)>,
    readyz: Vec<(Duration, String)>,
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Plays `outage` in both ways over checks that each have more keys, and compares.
async fn agree(checks: &[(&str, &str)], outage: Outage, length: Duration, slack: Duration) {
    let mut config = "checks:\n".to_owned();
    let mut fakes = Vec::new();
    for (name, keys) in checks {
        let fake = Fake::answers(well()).await;
        let url = format!("http://{}/health", fake.address());
        config += &format!("  - {{ name: {name}, http: {{ url: \"{url}\" }}, stale_after: 1m, {keys} }}\n");
        fakes.push((*name, fake));
    }
    let folder = Folder::new();
    let path = folder.write("config.yaml", &config);
    let told = told(&folder, &path, &outage, length);
    let (_, broken) = fakes.iter().find(|(name, _)| *name == outage.check).unwrap();
    let seen = seen(&config, broken, &outage, length + slack + BUSY).await;
    assert_same(&told.checks, &seen.checks, slack + BUSY);
    assert_same(&told.readyz, &seen.readyz, slack + BUSY);
}

fn well() -> Vec<u8> {
    http(200, &[], "ok")
}

/// The same in the same order, each at about the same time.
fn assert_same(told: &[(Duration, String)], seen: &[(Duration, String)], slack: Duration) {
    let order = |course: &[(Duration, String)]| course.iter().map(|(_, what)| what.clone()).collect::<Vec<_>>();
    assert_eq!(order(told), order(seen), "told {told:?}, seen {seen:?}");
    for ((told, what), (seen, _)) in told.iter().zip(seen) {
        assert!(told.abs_diff(*seen) <= slack, "{what}: told at {told:?}, seen at {seen:?}");
    }
}

/// What `simulate` tells.
fn told(folder: &Folder, config: &str, outage: &Outage, length: Duration) -> Course {
    let Outage { check, from, to, outcome, .. } = outage;
    let (from, to, length) = (from.as_millis(), to.as_millis(), length.as_millis());
    let fault = format!("{{ check: {check}, from: {from}ms, to: {to}ms, outcome: {outcome} }}");
    let scenario = folder.write("outage.yaml", format!("for: {length}ms\nfaults:\n  - {fault}\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
    command.args(["simulate", "--format", "json", "--config", config, "--scenario", &scenario]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let story: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut course = Course::default();
    let mut open = false;
    for event in story["events"].as_array().unwrap() {
        let at = millis(event["at_ms"].as_u64().unwrap());
        if event["type"] == "check" {
            course.checks.push((at, format!("{} {}", text(&event["check"]), text(&event["state"]))));
        } else if event["type"] == "endpoint" && event["endpoint"] == "readyz" && event["open"] != open {
            open = !open;
            course.readyz.push((at, openness(open)));
        }
    }
    assert!(!course.readyz.is_empty(), "{story:#}");
    course
}

/// What the daemon does.
async fn seen(config: &str, broken: &Fake, outage: &Outage, length: Duration) -> Course {
    let daemon = Daemon::start(config).await;
    let start = Instant::now();
    let recorded = async {
        let mut course = Course::default();
        let (mut open, mut read) = (false, 0);
        while start.elapsed() < length {
            let log = daemon.log();
            for line in &log[read..] {
                course.checks.extend(transition(line).map(|what| (start.elapsed(), what)));
            }
            read = log.len();
            if (daemon.get("/readyz").await.status == 200) != open {
                open = !open;
                course.readyz.push((start.elapsed(), openness(open)));
            }
            tokio::time::sleep(millis(20)).await;
        }
        course
    };
    let played = async {
        tokio::time::sleep(outage.from.saturating_sub(start.elapsed())).await;
        // Only a server that goes away cuts what is under way: else a run would fail that the story lets pass.
        let refuses = matches!(outage.act, Act::Refuse);
        if refuses {
            broken.act(Act::Refuse).await;
        } else {
            broken.act_without_cutting(outage.act.clone());
        }
        tokio::time::sleep(outage.to.saturating_sub(start.elapsed())).await;
        if refuses {
            broken.mend(well()).await;
        } else {
            broken.act_without_cutting(Act::Answer(well()));
        }
    };
    tokio::join!(recorded, played).0
}

/// The check and its new state, in a line of the log that tells of one.
fn transition(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(format!("{} {}", line.get("check")?.as_str()?, line.get("to")?.as_str()?))
}

fn openness(open: bool) -> String {
    if open { "open" } else { "closed" }.to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn an_outage_goes_as_it_was_told() {
    let outage = Outage { check: "api", from: millis(2000), to: millis(5000), outcome: "fail", act: Act::Refuse };
    agree(&[("api", "interval: 300ms")], outage, millis(7000), millis(300)).await;
}

#[tokio::test]
async fn an_outage_of_a_parent_takes_its_child_along_as_it_was_told() {
    let outage = Outage { check: "database", from: millis(2000), to: millis(5000), outcome: "fail", act: Act::Refuse };
    let checks = [("database", "interval: 300ms"), ("api", "interval: 500ms, depends_on: [database]")];
    agree(&checks, outage, millis(7000), millis(500)).await;
}

#[tokio::test]
async fn a_blip_below_the_threshold_changes_nothing_as_it_was_told() {
    let outage = Outage { check: "api", from: millis(2000), to: millis(2700), outcome: "fail", act: Act::Refuse };
    agree(&[("api", "interval: 500ms, failure_threshold: 6")], outage, millis(5000), millis(500)).await;
}

#[tokio::test]
async fn a_slow_server_degrades_as_it_was_told() {
    let mut head = well();
    let last = head.split_off(head.len() - 1);
    let act = Act::Drip(head, last, millis(1500));
    let outcome = "slow, latency: 1500ms";
    let outage = Outage { check: "api", from: millis(2000), to: millis(6000), outcome, act };
    agree(&[("api", "interval: 500ms, timeout: 5s, degraded_above: 1s")], outage, millis(9000), millis(2000)).await;
}

#[tokio::test]
async fn a_server_that_hangs_fails_as_it_was_told() {
    let outage = Outage { check: "api", from: millis(2000), to: millis(6000), outcome: "hang", act: Act::Silent };
    agree(&[("api", "interval: 500ms, timeout: 1s")], outage, millis(9000), millis(1500)).await;
}
