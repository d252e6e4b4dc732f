//! The real daemon under a wall clock that is set while it runs: nothing that was recorded becomes shorter, longer or
//! less.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::certs::Folder;
use crate::support::daemon::Daemon;

/// What puts another wall clock before a program: the boot clock is left alone.
fn faketime() -> String {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = places.map(|place| place.path()).chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketime is missing: install the Debian package `faketime`").to_str().unwrap().to_owned()
}

/// A daemon whose wall clock is off, and a check that fails while its folder is missing.
struct Clocked {
    daemon: Daemon,
    clock: PathBuf,
    target: PathBuf,
    _folder: Folder,
}

impl Clocked {
    /// `off` is how far the wall clock is off at the start, as libfaketime writes it.
    async fn start(off: &str, history: &str) -> Self {
        let folder = Folder::new();
        let (clock, target) = (folder.path().join("clock"), folder.path().join("target"));
        std::fs::write(&clock, off).unwrap();
        std::fs::create_dir(&target).unwrap();
        let config = format!(
            "server: {{ drain: 0s }}\nhistory: {{ retention: 7d{} }}\nchecks:\n  - {{ name: folder, disk: {{ path: {} }}, interval: 100ms }}\n",
            history.replace("{}", folder.path().to_str().unwrap()),
            target.display()
        );
        let environment = [
            ("LD_PRELOAD", faketime()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap().to_owned()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let daemon = Daemon::start_with(&config, &[], &environment).await;
        Self { daemon, clock, target, _folder: folder }
    }

    /// Sets the wall clock, and waits until the past is dated by it.
    async fn set(&self, off: &str, is_so: impl Fn(i64) -> bool) {
        std::fs::write(&self.clock, off).unwrap();
        self.daemon
            .until("/v1/services/folder", |reply| reply.status == 200 && is_so(service(&reply.json(), "created_at")))
            .await;
    }

    async fn is(&self, state: &str) {
        match state {
            "ok" => std::fs::create_dir(&self.target).unwrap(),
            _ => std::fs::remove_dir(&self.target).unwrap(),
        }
        self.daemon.until_state("folder", state).await;
    }

    async fn rows(&self, list: &str) -> Vec<Value> {
        let reply = self.daemon.until(&format!("/v1/services/folder/{list}"), |reply| reply.status == 200).await;
        reply.json()["data"][list.split('?').next().unwrap()]["data"].as_array().unwrap().clone()
    }

    /// The events that have ended, newest first: what, and how many seconds.
    async fn ended(&self) -> Vec<(String, i64)> {
        let rows = self.rows("events").await;
        let event = |row: &Value| {
            let length = row["date_ended"].as_i64()? - row["date_started"].as_i64()?;
            Some((row["event"].as_str()?.to_owned(), length))
        };
        rows.iter().filter_map(event).collect()
    }

    async fn metric(&self, name: &str) -> f64 {
        let reply = self.daemon.until("/v1/services/folder", |reply| reply.status == 200).await.json();
        reply["data"]["service"]["data"]["metric"]["data"][name].as_f64().unwrap()
    }
}

fn service(reply: &Value, member: &str) -> i64 {
    reply["data"]["service"]["data"][member].as_i64().unwrap()
}

/// Seconds since 1970, by the clock of the test.
fn now() -> i64 {
    probelet::base::clock::Clock::Machine.read().wall.whole_seconds()
}

const IN_MEMORY: &str = "";
const IN_A_FILE: &str = ", path: {}/history.db";

#[tokio::test]
async fn a_clock_that_is_set_takes_no_downtime_and_no_run() {
    for history in [IN_MEMORY, IN_A_FILE] {
        let clocked = Clocked::start("+0", history).await;
        clocked.daemon.until_state("folder", "ok").await;
        clocked.is("error").await;
        clocked.is("ok").await;
        let (before, runs) = (clocked.ended().await, clocked.metric("tick_count").await);
        let oldest = clocked.rows("ticks?limit=1000").await.pop().unwrap();
        let began = now();
        for (off, by) in [("-1h", -3600), ("+8d", 8 * 86_400), ("+0", 0)] {
            clocked.set(off, |created| (created - began - by).abs() < 1800).await;
            let after = clocked.ended().await;
            assert_eq!(
                after.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(),
                ["downtime", "uptime", "unknown"]
            );
            for ((_, before), (_, after)) in before.iter().zip(&after) {
                // In whole seconds, each of its ends rounded down.
                assert!((before - after).abs() <= 1, "{before} s became {after} s at {off}");
            }
            assert!(clocked.metric("uptime_percent").await < 100.0, "at {off}");
            assert!(clocked.metric("tick_count").await >= runs, "at {off}");
            let ticks = clocked.rows("ticks?limit=1000").await;
            assert!(ticks.iter().any(|tick| tick["id"] == oldest["id"]) || ticks.len() == 1000, "at {off}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_said_1970_leaves_no_date_of_then_and_no_gap() {
    for history in [IN_MEMORY, IN_A_FILE] {
        let began = now();
        let clocked = Clocked::start("-56y", history).await;
        let early = clocked.daemon.until_state("folder", "ok").await;
        assert!(early["since"].as_str().unwrap().starts_with("197"), "{early}");
        clocked.set("+0", |created| created >= began - 1800).await;
        let since = clocked.daemon.until_state("folder", "ok").await["since"].as_str().unwrap().to_owned();
        let today = probelet::base::clock::Timestamp::from_unix_seconds(began - 1800).rfc3339();
        assert!(since >= today, "{since}");
        assert!(clocked.metric("coverage_percent").await > 1.0);
        let metrics = clocked.daemon.get("/metrics").await.body;
        for of in
            ["healthcheck_last_success_timestamp_seconds", "probelet_config_last_reload_success_timestamp_seconds"]
        {
            let line = metrics.lines().find(|line| line.starts_with(of)).unwrap();
            let date: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(date > (began - 1800) as f64, "{line}");
        }
    }
}
