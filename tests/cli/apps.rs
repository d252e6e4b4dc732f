//! `config/examples/apps`: each is valid, and keeps what its comments promise through every outage of what it needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::{probelet, run};
use crate::support::certs::Folder;

/// What the comments of an example promise.
struct App {
    name: &'static str,
    /// Whose failure restarts a container. The first start-up is over once they have passed.
    restarts: &'static [&'static str],
    /// Whose failure takes away traffic, at any time.
    closes: &'static [&'static str],
    /// Whose failure holds back a pod that starts, and only degrades one that serves. Those left over never close anything.
    at_startup: &'static [&'static str],
    /// What `/livez` and `/readyz` do in the outages beside it.
    outages: &'static [&'static str],
}

const APPS: &[App] = &[
    App {
        name: "django",
        restarts: &["app"],
        closes: &["uploads"],
        at_startup: &["database", "broker"],
        outages: &[
            "readyz opens",
            "readyz closes: root cause uploads",
            "readyz opens",
            "readyz closes: root cause app",
            "livez closes: root cause app",
            "livez opens",
            "readyz opens",
        ],
    },
    App {
        name: "go",
        restarts: &["app"],
        closes: &["orders", "pgbouncer", "outbox"],
        at_startup: &["database", "nats"],
        outages: &[
            "readyz opens",
            "readyz closes: root cause pgbouncer",
            "readyz opens",
            "readyz closes: root cause orders",
            "readyz opens",
            "readyz closes: root cause app",
            "livez closes: root cause app",
            "livez opens",
            "readyz opens",
        ],
    },
    App {
        name: "node",
        restarts: &["app", "worker"],
        closes: &["nginx", "tmp"],
        at_startup: &["database", "queue", "flags"],
        outages: &[
            "readyz opens",
            "readyz closes: root cause nginx",
            "readyz opens",
            "readyz closes: root cause tmp",
            "readyz opens",
            "readyz closes: root cause app",
            "livez closes: root cause app",
            "livez opens",
            "readyz opens",
        ],
    },
    App {
        name: "rails",
        restarts: &["app", "worker"],
        closes: &["storage"],
        at_startup: &["database", "migrations", "sidekiq"],
        outages: &[
            "readyz opens",
            "readyz closes: root cause storage",
            "readyz opens",
            "readyz closes: root cause app",
            "livez closes: root cause app",
            "livez opens",
            "readyz opens",
        ],
    },
    App {
        name: "spring-boot",
        restarts: &["app"],
        closes: &["readiness"],
        at_startup: &["database", "broker", "issuer"],
        outages: &[
            "readyz opens",
            "readyz closes: root cause readiness",
            "readyz opens",
            "readyz closes: root cause app",
            "livez closes: root cause app",
            "livez opens",
            "readyz opens",
        ],
    },
];

/// What the examples expand. Nobody is dialled.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("POD_NAME", "shop-0"),
    ("DATABASE_URL", "postgres://shop:hunter2@db/shop"),
    ("DATABASE_REPLICA_URL", "postgres://shop:hunter2@replica/shop"),
    ("DB_USER", "shop"),
    ("DB_PASSWORD", "hunter2"),
    ("CACHE_URL", "redis://:hunter2@cache/0"),
    ("REDIS_URL", "redis://:hunter2@cache/0"),
    ("SIDEKIQ_REDIS_URL", "redis://:hunter2@jobs/0"),
    ("AMQP_URL", "amqp://shop:hunter2@mq"),
    ("CELERY_BROKER_URL", "amqp://shop:hunter2@mq//"),
    ("PROBE_PASSWORD", "hunter2"),
    ("PROBE_SECRET", "hunter2"),
    ("FLAGS_TOKEN", "hunter2"),
    ("INVENTORY_TOKEN", "hunter2"),
];

impl App {
    fn file(&self) -> String {
        format!("{}/config/examples/apps/{}.yaml", env!("CARGO_MANIFEST_DIR"), self.name)
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut command = probelet(&[command, "--config", &self.file()]);
        command.args(arguments).envs(ENVIRONMENT.iter().copied());
        command
    }

    /// What `simulate` tells of a scenario.
    fn played(&self, scenario: &str) -> Value {
        let ended = run(self.command("simulate", &["--format", "json", "--scenario", scenario]));
        assert_eq!(ended.code, 0, "{}: {}", self.name, ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    fn checks(&self) -> Vec<String> {
        let folder = Folder::new();
        let played = self.played(&folder.write("quiet.yaml", "for: 1s"));
        played["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What the endpoints do while one check after the other has an outage, three minutes of each five.
    fn outages_of(&self, checks: &[String], outcome: &str) -> Vec<String> {
        let folder = Folder::new();
        let mut scenario = format!("for: {}m\nfaults:\n", checks.len() * 5 + 5);
        for (at, check) in (5..).step_by(5).zip(checks) {
            let to = at + 3;
            scenario += &format!("  - {{ check: {check}, from: {at}m, to: {to}m, outcome: {outcome} }}\n");
        }
        turns(&self.played(&folder.write("outages.yaml", &scenario)))
    }
}

/// The openings and closings of `/livez` and `/readyz`, in order. `/livez` is open from the start, `/readyz` is not.
fn turns(played: &Value) -> Vec<String> {
    let mut open = [("livez", true), ("readyz", false)];
    let mut turns = Vec::new();
    for event in played["events"].as_array().unwrap().iter().filter(|event| event["type"] == "endpoint") {
        let Some(endpoint) = open.iter_mut().find(|(name, _)| event["endpoint"] == *name) else { continue };
        let is_open = event["open"].as_bool().unwrap();
        if is_open != endpoint.1 {
            endpoint.1 = is_open;
            // That it opens degraded is not the point here.
            let text = if is_open { "opens" } else { event["text"].as_str().unwrap() };
            turns.push(format!("{} {text}", endpoint.0));
        }
    }
    turns
}

#[test]
fn every_example_of_an_app_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/apps");
    for folder in [folder.clone(), folder.join("outages")] {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> = files
            .filter(|path| path.is_file())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, APPS.iter().map(|app| app.name).collect::<Vec<_>>());
    }
}

#[test]
fn apps_are_valid_strictly_with_their_environment_and_without() {
    for app in APPS {
        let ended = run(app.command("validate", &["--strict"]));
        assert_eq!((ended.code, ended.stdout), (0, format!("{} is valid\n", app.file())));
        let mut offline = app.command("validate", &["--strict", "--offline"]);
        for (name, _) in ENVIRONMENT {
            offline.env_remove(name);
        }
        let ended = run(offline);
        assert_eq!(ended.code, 0, "{}", ended.stdout);
    }
}

#[test]
fn apps_go_through_their_outages_as_their_scenarios_tell() {
    for app in APPS {
        let scenario = app.file().replace("/apps/", "/apps/outages/");
        let played = app.played(&scenario);
        assert_eq!(turns(&played), app.outages, "{}", app.name);
        assert_eq!(played["pod"]["restarts"], 1, "{}: the app is restarted for its own fault alone", app.name);
    }
}

#[test]
fn no_outage_of_what_an_app_needs_closes_livez_and_readyz_names_the_root_cause() {
    for app in APPS {
        let mut needed = app.checks();
        needed.retain(|check| !app.restarts.contains(&check.as_str()));
        let mut expected = vec!["readyz opens".to_owned()];
        for check in needed.iter().filter(|check| app.closes.contains(&check.as_str())) {
            expected.extend([format!("readyz closes: root cause {check}"), "readyz opens".to_owned()]);
        }
        for outcome in ["fail", "hang"] {
            assert_eq!(app.outages_of(&needed, outcome), expected, "{} ({outcome})", app.name);
        }
    }
}

#[test]
fn a_new_pod_waits_for_what_it_cannot_start_without_and_for_nothing_else() {
    for app in APPS {
        let folder = Folder::new();
        for check in &app.checks() {
            let scenario = format!("for: 1m\nfaults: [{{ check: {check}, outcome: fail }}]");
            let opens = turns(&app.played(&folder.write("start.yaml", &scenario))).contains(&"readyz opens".to_owned());
            let waits = [app.closes, app.at_startup, app.restarts].concat().contains(&check.as_str());
            assert_eq!(opens, !waits, "{}: {check} fails from the start", app.name);
        }
    }
}

#[test]
fn what_hangs_itself_is_restarted_and_opens_again() {
    for app in APPS {
        for check in app.restarts {
            let turns = app.outages_of(&[(*check).to_owned()], "hang");
            let livez: Vec<&String> = turns.iter().filter(|turn| turn.starts_with("livez")).collect();
            assert_eq!(livez, [&format!("livez closes: root cause {check}"), "livez opens"], "{}", app.name);
        }
    }
}
