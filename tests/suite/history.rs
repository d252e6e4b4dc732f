//! The daemon and its history file: what must survive a restart of the sidecar's own container does, and nothing else.

use std::time::Duration;

use probelet::base::clock::Timestamp;
use probelet::history::answer::{Keep, Page};
use probelet::history::ledger::EventKind;
use probelet::history::{History, Settings};
use rustix::process::Signal;

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, PATIENCE};

/// A history file that outlives the daemons of a test.
struct Past {
    _folder: Folder,
    file: String,
}

impl Past {
    fn new() -> Self {
        let folder = Folder::new();
        let file = folder.path().join("history.db").to_str().unwrap().to_owned();
        Self { _folder: folder, file }
    }

    /// A daemon in the pod with this UID that keeps its history here.
    async fn daemon(&self, pod: &str, checks: &str) -> Daemon {
        let config = format!("history: {{ path: {} }}\nserver: {{ drain: 0s }}\nchecks:\n{checks}", self.file);
        Daemon::start_with(&config, &[], &[("POD_UID", pod)]).await
    }

    /// Waits until `word` has been written to the disk, without touching the file as a database.
    async fn holds(&self, word: &str) {
        let is_there = || {
            ["", "-wal"].iter().any(|ending| {
                let bytes = std::fs::read(format!("{}{ending}", self.file)).unwrap_or_default();
                bytes.windows(word.len()).any(|window| window == word.as_bytes())
            })
        };
        let wait = async {
            while !is_there() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {word} in the file"));
    }
}

async fn killed(mut daemon: Daemon) {
    daemon.signal(Signal::KILL);
    daemon.ends().await;
}

async fn ended(mut daemon: Daemon) {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));
}

/// A check that holds back a new pod, and one that gates `startup`.
fn checks(error_rate: u8) -> String {
    let check = |name: &str, more: &str| {
        format!("  - {{ name: {name}, simulated: {{ error_rate: {error_rate} }}, interval: 100ms, {more} }}\n")
    };
    check("shared", "critical: at_startup") + &check("slow_start", "gates: [startup]")
}

#[tokio::test]
async fn a_killed_sidecar_comes_back_with_its_latches_and_another_pod_without() {
    let past = Past::new();
    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    daemon.until_status("/startupz", 200).await;
    past.holds("ready_once").await;
    past.holds("slow_start").await;
    past.holds("passed_once").await;
    killed(daemon).await;

    let daemon = past.daemon("pod-1", &checks(1)).await;
    assert_eq!(daemon.get("/readyz").await.status, 200, "from the first answer on");
    assert_eq!(daemon.get("/startupz").await.status, 200, "from the first answer on");
    daemon.until_state("shared", "error").await;
    daemon.until_state("slow_start", "error").await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    assert_eq!(daemon.get("/startupz").await.status, 200);
    ended(daemon).await;

    let daemon = past.daemon("pod-2", &checks(1)).await;
    daemon.until_state("shared", "error").await;
    daemon.until_state("slow_start", "error").await;
    assert_eq!(daemon.get("/readyz").await.status, 503);
    assert_eq!(daemon.get("/startupz").await.status, 503);
    killed(daemon).await;
}

#[tokio::test]
async fn a_drain_that_was_asked_for_survives_and_the_one_of_a_restart_does_not() {
    let past = Past::new();
    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await.status / 100, 2);
    past.holds("draining").await;
    killed(daemon).await;

    let daemon = past.daemon("pod-1", &checks(0)).await;
    let closed = daemon.get("/readyz").await;
    assert_eq!((closed.status, closed.body.lines().next()), (503, Some("[-]draining")));
    daemon.until_state("shared", "ok").await;
    assert_eq!(daemon.get("/readyz").await.status, 503);
    assert_eq!(daemon.ask("DELETE", "/-/drain", "").await.status / 100, 2);
    daemon.until_status("/readyz", 200).await;
    daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await; // as the sidecar's own preStop hook does
    ended(daemon).await;

    let daemon = past.daemon("pod-1", &checks(0)).await;
    assert_eq!(daemon.get("/readyz").await.status, 200, "the signal ended the sidecar's container, not the pod");
    daemon.until_state("shared", "ok").await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    ended(daemon).await;
}

#[tokio::test]
async fn what_happened_before_and_after_a_restart_is_in_the_file() {
    let past = Past::new();
    let check = |rate| format!("  - {{ name: db, simulated: {{ error_rate: {rate} }}, interval: 100ms }}\n");
    let daemon = past.daemon("pod-1", &check(1)).await;
    daemon.until_state("db", "error").await;
    past.holds("db returned error").await;
    killed(daemon).await;
    let daemon = past.daemon("pod-1", &check(0)).await;
    daemon.until_state("db", "ok").await;
    daemon.until("/metrics", |reply| reply.body.contains("probelet_history_dropped_total 0\n")).await;
    ended(daemon).await;

    let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 26 };
    let settings = Settings { path: Some(past.file.clone().into()), keep, pod: Some("pod-1".into()) };
    let history = History::start(settings, Timestamp::default());
    assert!(history.latches(PATIENCE).await.ready_once);
    let page = Page { limit: 1000, before: None };
    let events = history.events(1, page).await.unwrap().items;
    let kinds: Vec<_> = events.iter().rev().map(|event| event.kind).collect();
    use EventKind::{Downtime, Unknown, Uptime};
    assert_eq!(kinds, [Unknown, Downtime, Unknown, Uptime, Unknown]);
    let ticks = history.ticks(1, page).await.unwrap().items;
    let outcomes: Vec<_> = ticks.iter().rev().map(|tick| tick.outcome.label()).collect();
    let passes = outcomes.iter().position(|outcome| *outcome == "pass").unwrap();
    assert!(passes > 0 && outcomes[..passes].iter().all(|outcome| *outcome == "fail"), "{outcomes:?}");
    assert!(outcomes[passes..].iter().all(|outcome| *outcome == "pass"), "{outcomes:?}");
    history.close(PATIENCE).await;
}

#[tokio::test]
async fn a_history_file_that_cannot_be_used_costs_the_past_and_nothing_else() {
    let past = Past::new();
    let config = format!("history: {{ path: {}/beneath.db }}\nchecks: []\n", past.file);
    std::fs::write(&past.file, "a file is no folder").unwrap();
    let mut daemon = Daemon::start(&config).await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    daemon.logs("the history file cannot be used").await;
    killed(daemon).await;
}
