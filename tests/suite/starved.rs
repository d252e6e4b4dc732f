//! The real daemon while it does not get to run: stopped, throttled by its control group, beside busy neighbours. No
//! target is blamed, no storm breaks out, and a target that hangs is told all the same.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, Reply};
use crate::support::fake::{Act, Fake, http};
use crate::support::quota::Quota;

/// How many runs of `check` had this outcome.
fn runs(reply: &Reply, check: &str, outcome: &str) -> u64 {
    let series = format!("healthcheck_runs_total{{check=\"{check}\",outcome=\"{outcome}\"}} ");
    let found = reply.body.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
    found.unwrap_or_else(|| panic!("no {series} in {}", reply.body))
}

/// For how long the thread that runs the checks has waited for a processor so far, as the kernel counts it.
fn kept_waiting(daemon: &Daemon) -> Duration {
    let account = std::fs::read_to_string(format!("/proc/{0}/task/{0}/schedstat", daemon.pid())).unwrap();
    Duration::from_nanos(account.split(' ').nth(1).unwrap().parse().unwrap())
}

fn said(daemon: &Daemon, text: &str) -> bool {
    daemon.log().iter().any(|line| line.contains(text))
}

#[tokio::test]
async fn what_a_stopped_process_could_not_see_is_no_targets_failure() {
    let app = Fake::start(Act::Answer(http(200, &[], "ok"))).await;
    let config = format!(
        "checks:\n\
         \x20 - {{ name: app, http: {{ url: \"http://127.0.0.1:{}/\" }}, gates: [live, ready], interval: 100ms, timeout: 3s }}\n\
         \x20 - {{ name: loop, heartbeat: {{ push: true, max_age: 4s }}, interval: 100ms }}\n",
        app.port()
    );
    let mut daemon = Daemon::start(&config).await;
    daemon.until_state("app", "ok").await;
    assert_eq!(daemon.ask("PUT", "/v1/heartbeats/loop", "Content-Length: 0\r\n").await.status, 204);
    daemon.until_status("/readyz", 200).await;
    // A run that gets no answer is under way, and its time is up while the process is stopped.
    app.act_without_cutting(Act::Silent);
    let asked = app.seen().requests.len();
    app.until(|seen| seen.requests.len() > asked).await;
    daemon.signal(Signal::STOP);
    app.act_without_cutting(Act::Answer(http(200, &[], "ok")));
    tokio::time::sleep(Duration::from_secs(6)).await;
    daemon.signal(Signal::CONT);
    let metrics = daemon.until("/metrics", |reply| runs(reply, "app", "void") > 0).await;
    assert_eq!([runs(&metrics, "app", "fail"), runs(&metrics, "loop", "fail")], [0; 2]);
    // All checks together, as lean metrics tell it.
    daemon.until("/metrics", |reply| !reply.body.contains("\nprobelet_void_runs_total 0\n")).await;
    daemon.until_status("/readyz", 200).await;
    let why = daemon.logs("runs have no verdict").await;
    assert!(why.contains("the sidecar itself had no processor time for "), "{why}");
    daemon.logs("the process was stopped, or its machine paused, for ").await;
    assert!(!said(&daemon, "check failed"), "{:#?}", daemon.log());
}

#[tokio::test]
async fn how_late_runs_were_begun_is_told_when_they_have_begun() {
    let daemon = Daemon::start("checks:\n  - { name: app, simulated: {}, interval: 100ms }\n").await;
    daemon.until_status("/readyz", 200).await;
    let lag = |reply: &Reply| {
        let line = reply.body.lines().find_map(|line| line.strip_prefix("probelet_scheduler_worst_lag_seconds "));
        line.unwrap().parse::<f64>().unwrap()
    };
    // What is stopped for two seconds has missed nothing that it could have begun: on a busy machine it may come to that.
    for _ in 0..20 {
        let ran = runs(&daemon.get("/metrics").await, "app", "pass");
        daemon.signal(Signal::STOP);
        tokio::time::sleep(Duration::from_secs(1)).await;
        daemon.signal(Signal::CONT);
        let metrics = daemon.until("/metrics", |reply| runs(reply, "app", "pass") > ran + 2).await;
        if lag(&metrics) > 0.5 {
            return;
        }
    }
    panic!("no lag is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_process_blames_nobody_and_makes_no_storm() {
    let quota = match Quota::new() {
        Ok(quota) => quota,
        // Told though the test passes: what is printed in the usual ways is not shown then.
        Err(why) => {
            let name = "a_throttled_process_blames_nobody_and_makes_no_storm";
            return writeln!(std::io::stderr(), "{name} was skipped: {why} (it takes root)").unwrap();
        }
    };
    let app = Fake::start(Act::Answer(http(200, &[], "ok"))).await;
    let checks: String = (0..20)
        .map(|number| {
            let url = format!("http://127.0.0.1:{}/{number}", app.port());
            format!(
                "  - {{ name: app-{number}, http: {{ url: \"{url}\" }}, interval: 1s, timeout: 1s, stale_after: 1h }}\n"
            )
        })
        .collect();
    let mut daemon = Daemon::start(&format!("checks:\n{checks}")).await;
    daemon.until_status("/readyz", 200).await;
    quota.take(daemon.pid());
    // How little is too little for its runs depends on what they cost: it gets less and less. Where it gets next to
    // nothing it is slow to say so, too: it is told after each while.
    for share in [10, 5, 4, 2, 1].into_iter().cycle().take(20) {
        quota.limit(share);
        tokio::time::sleep(Duration::from_secs(4)).await;
        quota.lift();
        daemon.get("/metrics").await;
        if said(&daemon, "runs have no verdict") {
            break;
        }
    }
    let why = daemon.logs("runs have no verdict").await;
    assert!(why.contains("the sidecar itself had no processor time for "), "{why}");
    assert!(why.contains("by the limit of its control group, for "), "{why}");
    let of_all =
        |reply: &Reply, outcome| (0..20).map(|number| runs(reply, &format!("app-{number}"), outcome)).sum::<u64>();
    let metrics = daemon.until("/metrics", |reply| of_all(reply, "void") > 0).await;
    assert_eq!(of_all(&metrics, "fail"), 0, "{} void", of_all(&metrics, "void"));
    assert_eq!(
        daemon.get("/readyz").await.status,
        200,
        "what could not be looked at closes nothing before it is stale"
    );
    assert!(!said(&daemon, "all checks run now") && !said(&daemon, "check failed"), "{:#?}", daemon.log());
}

/// Neighbours that take all the processor time they get, on the first processor alone.
struct Neighbours(Vec<Child>);

impl Neighbours {
    fn new(count: usize) -> Self {
        let busy = || {
            let mut command = Command::new("taskset");
            // At most two minutes, whatever becomes of this test.
            command.args(["-c", "0", "timeout", "120", "sh", "-c", "while :; do :; done"]).stdin(Stdio::null());
            command.spawn().expect("taskset is missing: install the Debian package `util-linux`")
        };
        Self((0..count).map(|_| busy()).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for neighbour in &mut self.0 {
            // `timeout` passes it on to the shell.
            let pid = rustix::process::Pid::from_child(neighbour);
            let _ = rustix::process::kill_process(pid, Signal::TERM);
            let _ = neighbour.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_fails_beside_busy_neighbours_too() {
    let app = Fake::silent().await;
    let check =
        format!("{{ name: app, http: {{ url: \"http://127.0.0.1:{}/\" }}, interval: 2s, timeout: 2s }}", app.port());
    let folder = Folder::new();
    let config = folder.write("config.yaml", format!("checks: [{check}]\n"));
    let _neighbours = Neighbours::new(6);
    let daemon = Daemon::start_under(&["taskset", "-c", "0"], folder, config.into()).await;
    // Beside others that make the machine still busier, some runs may lose too much of their time.
    let metrics =
        daemon.until("/metrics", |reply| runs(reply, "app", "fail") > 1 || runs(reply, "app", "void") > 4).await;
    let (failed, void) = (runs(&metrics, "app", "fail"), u32::try_from(runs(&metrics, "app", "void")).unwrap());
    // Of its timeout each of these must have lost a quarter; half of that is proof enough that it was not made up.
    let (least, waited) = (Duration::from_millis(500) * void / 2, kept_waiting(&daemon));
    assert!(failed > 1 || waited > least, "{void} runs were void, and it waited for a processor for {waited:?}");
}
