//! The daemon and its history file: what must survive a restart of the sidecar's own container does, and nothing else.

use std::time::Duration;

use probelet::base::clock::Timestamp;
use probelet::history::answer::{Keep, Page};
use probelet::history::ledger::EventKind;
use probelet::history::{History, Settings};
use rustix::process::Signal;

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, PATIENCE, Reply};
use crate::support::fake::{Act, Fake, http};
use crate::support::faults;
use crate::support::held::Held;

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
        self.daemon_that_drains(pod, checks, "0s").await
    }

    async fn daemon_that_drains(&self, pod: &str, checks: &str, drain: &str) -> Daemon {
        let config = format!("history: {{ path: {} }}\nserver: {{ drain: {drain} }}\nchecks:\n{checks}", self.file);
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

/// What a daemon leaves that was killed once everything was open.
async fn with_latches() -> Past {
    let past = Past::new();
    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    daemon.until_status("/startupz", 200).await;
    past.holds("ready_once").await;
    past.holds("slow_start").await;
    past.holds("passed_once").await;
    killed(daemon).await;
    past
}

#[tokio::test]
async fn a_killed_sidecar_comes_back_with_its_latches_and_another_pod_without() {
    let past = with_latches().await;

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

/// A daemon that is asked to drain, and crashes once that is saved.
/// Kubelet's question, and the code of the answer.
async fn kubelet_asks(daemon: &Daemon, path: &str) -> u16 {
    daemon.ask("GET", path, "User-Agent: kube-probe/1.37\r\n").await.status
}

#[tokio::test]
async fn after_a_restart_of_the_sidecar_kubelets_question_tells_of_a_new_app() {
    let app = Fake::start(Act::Answer(http(200, &[], ""))).await;
    let checks = format!("  - {{ name: app, http: {{ url: \"http://{}/\" }}, gates: [live, ready] }}\n", app.address());
    let past = Past::new();
    let daemon = past.daemon("pod-1", &checks).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(kubelet_asks(&daemon, "/startupz").await, 200, "the container that the sidecar has seen start");
    past.holds("passed_once").await;
    killed(daemon).await;

    let mut daemon = past.daemon("pod-1", &checks).await;
    daemon.until_status("/readyz", 200).await;
    // The app dies, and its next container is slow to start. Nothing of that has been seen yet.
    app.act(Act::Refuse).await;
    assert_eq!(kubelet_asks(&daemon, "/startupz").await, 503);
    daemon.logs("the app's container starts anew").await;
    let starting = daemon.until("/readyz", |reply| reply.status == 503).await.body;
    assert!(starting.ends_with("readyz check failed: root cause app\n"), "{starting}");
    let failed = |reply: &crate::support::daemon::Reply| reply.json()["checks"][0]["consecutive_failures"] == 4;
    daemon.until("/healthz?format=json", failed).await;
    assert_eq!(kubelet_asks(&daemon, "/livez").await, 200, "no strike before this container has passed");
    assert_eq!(kubelet_asks(&daemon, "/startupz").await, 503);
    app.act(Act::Answer(http(200, &[], ""))).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(kubelet_asks(&daemon, "/startupz").await, 200);
    app.act(Act::Refuse).await;
    daemon.until_status("/livez", 503).await;
    ended(daemon).await;
}

#[tokio::test]
async fn a_sidecar_that_comes_back_beside_a_dead_app_has_it_restarted() {
    let app = Fake::start(Act::Answer(http(200, &[], ""))).await;
    let checks = format!("  - {{ name: app, http: {{ url: \"http://{}/\" }}, gates: [live, ready] }}\n", app.address());
    let past = Past::new();
    let daemon = past.daemon("pod-1", &checks).await;
    daemon.until_status("/readyz", 200).await;
    past.holds("passed_once").await;
    killed(daemon).await;
    app.act(Act::Refuse).await;
    let daemon = past.daemon("pod-1", &checks).await;
    daemon.until_status("/livez", 503).await;
    ended(daemon).await;
}

async fn killed_while_draining(past: &Past) {
    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    assert_eq!(daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await.status / 100, 2);
    past.holds("draining").await;
    killed(daemon).await;
}

#[tokio::test]
async fn a_drain_that_was_asked_for_survives_and_the_one_of_a_restart_does_not() {
    let past = Past::new();
    killed_while_draining(&past).await;

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
async fn nobody_changes_the_drain_of_a_process_that_ends() {
    let past = Past::new();
    let mut daemon = past.daemon_that_drains("pod-1", &checks(0), "10m").await;
    daemon.until_status("/readyz", 200).await;
    daemon.signal(Signal::TERM);
    daemon.until_status("/readyz", 503).await;
    assert_eq!(daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await.status, 200);
    assert_eq!(daemon.ask("DELETE", "/-/drain", "").await.status, 409);
    assert_eq!(daemon.get("/readyz").await.status, 503);
    daemon.signal(Signal::TERM); // for those who cannot wait
    assert_eq!(daemon.ends().await, Some(0));

    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    ended(daemon).await;
}

/// What history answers while its file is being opened.
async fn assert_history_is_away(daemon: &Daemon) {
    for path in ["", "/1", "/shared", "/1/events", "/1/ticks", "/nobody", "/nobody/events"] {
        let answer = daemon.get(&format!("/v1/services{path}")).await;
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let json = answer.json();
        assert_eq!((&json["status"], &json["status_desc"]), (&503.into(), &"Service Unavailable".into()), "{path}");
        let message = json["data"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("the history cannot be read at the moment: "), "{path}: {json}");
    }
    assert_eq!(daemon.get("/v1/_internal/health").await.status, 503);
    assert_eq!(daemon.get("/v1/services?limit=0").await.status, 400);
}

#[tokio::test]
async fn what_was_saved_is_taken_over_however_late_the_file_opens() {
    let past = with_latches().await;

    let held = Held::from_writers(&past.file);
    let daemon = past.daemon("pod-1", &checks(1)).await;
    assert!(daemon.log().iter().any(|line| line.contains("the history file is not open yet")), "{:#?}", daemon.log());
    // Until it is known what was, this is a new pod, and nobody waits for the disk.
    assert_history_is_away(&daemon).await;
    daemon.until("/metrics", |reply| reply.body.contains("\nprobelet_history_writable 0\n")).await;
    assert_eq!((daemon.get("/readyz").await.status, daemon.get("/startupz").await.status), (503, 503));
    assert_eq!((daemon.get("/livez").await.status, daemon.get("/-/healthy").await.status), (200, 200));
    drop(held);
    daemon.until_status("/startupz", 200).await;
    daemon.until_status("/readyz", 200).await;
    daemon.until_state("shared", "error").await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    daemon.until("/metrics", |reply| reply.body.contains("\nprobelet_history_writable 1\n")).await;
    // What was told meanwhile is there.
    let events = daemon.until("/v1/services/shared/events", |reply| reply.status == 200).await.json();
    let kinds: Vec<_> = events["data"]["events"]["data"].as_array().unwrap().iter().map(|it| &it["event"]).collect();
    assert_eq!(kinds[..3], ["downtime", "unknown", "uptime"], "{events}");
    past.holds("shared returned error").await;
    killed(daemon).await;

    // And it was not overwritten with what a new pod knows.
    let daemon = past.daemon("pod-1", &checks(1)).await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    killed(daemon).await;
}

#[tokio::test]
async fn a_drain_is_taken_over_late_unless_somebody_has_decided_meanwhile() {
    let past = Past::new();
    killed_while_draining(&past).await;

    let held = Held::from_writers(&past.file);
    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    drop(held);
    let closed = daemon.until_status("/readyz", 503).await;
    assert_eq!(closed.body.lines().next(), Some("[-]draining"));
    killed(daemon).await;

    let held = Held::from_writers(&past.file);
    let daemon = past.daemon("pod-1", &checks(0)).await;
    assert_eq!(daemon.ask("DELETE", "/-/drain", "").await.status / 100, 2);
    drop(held);
    daemon.until_status("/readyz", 200).await;
    // Runs are told from the file, and what was to be saved before them is in it with them.
    let newest = |reply: &Reply| {
        if reply.status == 200 { reply.json()["data"]["ticks"]["data"][0]["id"].as_u64() } else { None }
    };
    let path = "/v1/services/1/ticks?limit=1";
    let then = newest(&daemon.until(path, |reply| newest(reply).is_some()).await);
    daemon.until(path, |reply| newest(reply) > then.map(|then| then + 10)).await;
    killed(daemon).await;
    let daemon = past.daemon("pod-1", &checks(0)).await;
    daemon.until_status("/readyz", 200).await;
    killed(daemon).await;
}

/// Whether a file may grow: without, each write of the process fails as on a full disk.
fn let_files_grow(daemon: &Daemon, may: bool) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let limit = Rlimit { current: if may { None } else { Some(0) }, maximum: None };
    prlimit(Pid::from_raw(daemon.pid()), Resource::Fsize, limit).unwrap();
}

#[tokio::test]
async fn while_the_disk_hangs_gates_figures_and_badges_are_answered_and_nothing_is_lost() {
    let folder = Folder::new();
    // The sixtieth write to the file does not return until there is a file `go`.
    let hanging = folder.path().join("fault-write-60-hang-1");
    std::fs::create_dir(&hanging).unwrap();
    let config = format!(
        "history: {{ path: {} }}\nserver: {{ drain: 0s }}\nchecks:\n  - {{ name: db, simulated: {{}}, interval: 100ms }}\n",
        hanging.join("history.db").display()
    );
    let before = format!("export LD_PRELOAD='{}'", faults::library().display());
    let mut daemon = Daemon::start_after(&before, &config, &[("POD_UID", "pod-1")]).await;
    daemon.logs("the history file cannot be written to: events wait in memory until it can").await;
    assert!(hanging.join("hit").exists());
    let runs = |reply: &Reply| reply.json()["data"]["service"]["data"]["metric"]["data"]["tick_count"].as_u64();
    let known = runs(&daemon.get("/v1/services/db").await);
    assert!(known.is_some());
    daemon.until("/v1/services/db", |reply| runs(reply) > known).await;
    for path in ["/livez", "/readyz", "/metrics", "/v1/services", "/v1/_internal/health", "/badge/db.svg?metric=uptime"]
    {
        assert_eq!(daemon.get(path).await.status, 200, "{path}");
    }
    assert_eq!(daemon.get("/v1/services/db/events").await.status, 503);
    std::fs::write(hanging.join("go"), "").unwrap();
    daemon.logs("the history file can be written to again").await;
    let events = daemon.until("/v1/services/db/events", |reply| reply.status == 200).await.json();
    assert_eq!(events["data"]["events"]["data"].as_array().unwrap().len(), 2);
    daemon.until("/metrics", |reply| reply.body.contains("probelet_history_dropped_total 0\n")).await;
    ended(daemon).await;
}

#[tokio::test]
async fn a_full_disk_costs_the_daemon_runs_that_it_counts_and_no_change() {
    let past = Past::new();
    let target = Folder::new();
    let folder = target.path().join("there");
    let busy: String =
        (0..60).map(|check| format!("  - {{ name: busy-{check}, simulated: {{}}, interval: 100ms }}\n")).collect();
    let config = format!(
        "history: {{ path: {} }}\nserver: {{ drain: 0s }}\nchecks:\n\
         \x20 - {{ name: folder, disk: {{ path: {} }}, interval: 100ms }}\n{busy}",
        past.file,
        folder.display()
    );
    // The signal that says that a file is too large is ignored: writing fails.
    let mut daemon = Daemon::start_after("trap '' XFSZ", &config, &[("POD_UID", "pod-1")]).await;
    let dropped = |reply: &Reply| {
        let line = reply.body.lines().find_map(|line| line.strip_prefix("probelet_history_dropped_total "));
        line.and_then(|count| count.parse::<u64>().ok()).unwrap()
    };
    daemon.until_state("folder", "error").await;
    daemon.until_status("/v1/services", 200).await;
    assert_eq!(dropped(&daemon.get("/metrics").await), 0);
    let mut moves = vec!["unknown", "downtime"];
    let mut flip = async |daemon: &Daemon| {
        if folder.exists() {
            std::fs::remove_dir(&folder).unwrap();
            daemon.until_state("folder", "error").await;
            moves.push("downtime");
        } else {
            std::fs::create_dir(&folder).unwrap();
            daemon.until_state("folder", "ok").await;
            moves.push("uptime");
        }
        moves.clone()
    };
    flip(&daemon).await;
    let_files_grow(&daemon, false);
    for _ in 0..4 {
        flip(&daemon).await;
    }
    daemon.logs("the history file cannot be written to: events wait in memory until it can").await;
    // 2048 runs wait, and here are 600 in a second.
    let full = daemon.until("/metrics", |reply| dropped(reply) > 0).await;
    assert!(full.body.contains("\nprobelet_history_writable 0\n"), "{}", full.body);
    flip(&daemon).await;
    assert_eq!(daemon.get("/v1/services/folder").await.status, 200, "figures are known without the disk");
    let_files_grow(&daemon, true);
    daemon.logs("the history file can be written to again").await;
    let moves = flip(&daemon).await;
    let events = daemon.until("/v1/services/folder/events", |reply| reply.status == 200).await.json();
    let told = |events: &serde_json::Value| -> Vec<String> {
        let events = events["data"]["events"]["data"].as_array().unwrap().iter().rev();
        events.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told(&events), moves);
    ended(daemon).await;

    let daemon = past.daemon("pod-1", "  - { name: folder, simulated: {}, interval: 100ms }\n").await;
    let events = daemon.until("/v1/services/folder/events", |reply| reply.status == 200).await.json();
    assert_eq!(told(&events)[..moves.len()], moves);
    killed(daemon).await;
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

    let keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 26, max_memory: 1 << 20 };
    let settings = Settings { path: Some(past.file.clone().into()), keep, pod: Some("pod-1".into()), boot: None };
    let history = History::start(settings, Timestamp::default());
    assert!(history.saved_state(PATIENCE).await.ready_once);
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
async fn a_second_daemon_goes_on_in_the_file_when_the_first_is_gone() {
    let past = Past::new();
    let check = |rate| format!("  - {{ name: db, simulated: {{ error_rate: {rate} }}, interval: 100ms }}\n");
    let first = past.daemon("pod-1", &check(1)).await;
    first.until_state("db", "error").await;
    past.holds("db returned error").await;

    let mut second = past.daemon("pod-2", &check(0)).await;
    second.logs("another process has the history file open").await;
    let alone = second.until("/v1/services/db/events", |reply| reply.body.contains("uptime")).await;
    assert!(!alone.body.contains("downtime"), "it knows what it has seen itself: {}", alone.body);
    second.until("/metrics", |reply| reply.body.contains("\nprobelet_history_writable 0\n")).await;
    killed(first).await;
    second.logs("the history file is free: history goes on in it").await;
    let both = |reply: &Reply| reply.body.contains("downtime") && reply.body.contains("uptime");
    second.until("/v1/services/db/events", both).await;
    second.until("/metrics", |reply| reply.body.contains("\nprobelet_history_writable 1\n")).await;
    ended(second).await;

    let third = past.daemon("pod-2", &check(0)).await;
    third.until("/v1/services/db/events", both).await;
    killed(third).await;
}

#[tokio::test]
async fn a_history_file_that_cannot_be_used_costs_the_past_and_nothing_else() {
    let past = Past::new();
    let config = format!("history: {{ path: {}/beneath.db }}\nchecks: []\n", past.file);
    std::fs::write(&past.file, "a file is no folder").unwrap();
    let mut daemon = Daemon::start(&config).await;
    assert_eq!(daemon.get("/readyz").await.status, 200);
    daemon.logs("the history file cannot be used").await;
    daemon.until("/metrics", |reply| reply.body.contains("\nprobelet_history_writable 0\n")).await;
    killed(daemon).await;
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_told_in_the_log_and_over_http() {
    let check = |name, interval| {
        format!("  - {{ name: {name}, simulated: {{ ok_message: '{}' }}, interval: {interval} }}\n", "long ".repeat(30))
    };
    let checks = [check("often", "100ms"), check("seldom", "1h")].concat();
    let mut daemon = Daemon::start(&format!("history: {{ max_memory: 4KiB }}\nchecks:\n{checks}")).await;
    let often = |reply: &Reply| reply.json()["data"]["service"]["data"].clone();
    let reply = daemon.until("/v1/services/often", |reply| often(reply)["kept_since"].is_i64()).await;
    let [since, created] = ["kept_since", "created_at"].map(|member| often(&reply)[member].as_i64().unwrap());
    assert!(since >= created, "{since}, begun at {created}");
    // More may have been let go meanwhile, of what was kept then.
    let ticks = daemon.get("/v1/services/often/ticks?limit=1000").await.json()["data"]["ticks"]["data"].clone();
    let kept: Vec<_> = ticks.as_array().unwrap().iter().map(|tick| tick["created_at"].as_i64().unwrap()).collect();
    assert!(!kept.is_empty() && kept.iter().all(|at| *at >= since), "{kept:?} since {since}");
    let runs = often(&daemon.get("/v1/services/often").await)["metric"]["data"]["tick_count"].as_u64().unwrap();
    assert!(runs > kept.len() as u64, "figures stay: {runs} runs, {} kept", kept.len());
    assert!(often(&daemon.get("/v1/services/seldom").await).get("kept_since").is_none());
    let line = daemon.logs("`history.max_memory` is used up").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], "`history.max_memory` is used up: the oldest is no longer kept");
    assert!(line["runs"].as_u64() > Some(0) && line["changes"].is_u64(), "{line}");
}
