//! `probelet once`: every form of what it found.

use crate::command::{Config, assert_golden, timeless};
use crate::fakes::{Fake, free_port};

/// A shop whose database is down; what is behind it is skipped.
const SHOP: &str = r#"
service: { name: "shop <1> & \"co\"" }
defaults: { timeout: 1s }
checks:
  - name: endtoend_workflow
    depends_on: [db_connection, cache]
    simulated: {}
  - name: db_connection
    description: Orders database
    simulated: { error_rate: 1, error_message: 'relation "orders" <is> gone & lost' }
    failure_threshold: 3
    initial_delay: 1h
  - name: cache
    simulated: { ok_message: Redis is connected }
    success_threshold: 5
  - name: search
    simulated: { latency: 20ms, ok_message: Search is reachable }
    degraded_above: 5ms
    critical: false
"#;

const WELL: &str = "checks:\n  - name: well\n    simulated: { ok_message: All is well }\n  - name: other\n    simulated: { ok_message: So is this }\n    depends_on: [well]\n";

#[test]
fn a_table_names_the_root_cause_first() {
    let run = Config::of(SHOP).runs("once", &[]);
    assert_eq!(run.code, 1);
    assert_golden("once-table.txt", &timeless(&run.stdout));
    let mut lines: Vec<&str> = run.stderr.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["cache:", "db_connection:", "endtoend_workflow:", "search:"],
        "one line for each: {}",
        run.stderr
    );
}

#[test]
fn a_check_that_is_switched_off_is_shown_with_its_reason() {
    let config =
        format!("{WELL}  - {{ name: old, disabled: waits for the new cluster, tcp: {{ address: '${{OLD}}' }} }}\n");
    let run = Config::of(&config).runs("once", &[]);
    assert_eq!(run.code, 0);
    assert_golden("once-disabled.txt", &timeless(&run.stdout));
    let run = Config::of(&config).runs("once", &["--format", "junit"]);
    assert!(run.stdout.contains("<skipped message=\"disabled: waits for the new cluster\"/>"), "{}", run.stdout);
    let run = Config::of(&config).runs("once", &["--check", "old"]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (2, "error: the check `old` is switched off: waits for the new cluster\n")
    );
}

/// A pushed heartbeat, one by file, and what depends on one.
const BEATS: &str = "service: { name: shop }
checks:
  - { name: loop, heartbeat: { push: true, max_age: 30s }, gates: [live] }
  - { name: batch, heartbeat: { file: /run/app/alive, max_age: 30s } }
  - { name: orders, depends_on: [loop], simulated: { ok_message: All is well } }
";

#[test]
fn a_heartbeat_is_not_judged_by_one_look_and_what_depends_on_it_is() {
    let config = Config::of(BEATS);
    let table = config.runs("once", &[]);
    assert_eq!((table.code, timeless(&table.stderr).as_str()), (0, "orders: ok: All is well\n"));
    assert_golden("once-unjudged.txt", &timeless(&table.stdout));
    let junit = config.runs("once", &["--format", "junit"]);
    assert_eq!(junit.code, 0);
    assert_golden("once-unjudged.xml", &without_seconds(&timeless(&junit.stdout)));
    let json = config.runs("once", &["--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!((json.code, &found["status"]), (0, &"ok".into()));
    let names = |list: &str| -> Vec<String> {
        let of = |check: &serde_json::Value| check["name"].as_str().map(str::to_owned);
        found[list].as_array().expect("a list").iter().filter_map(of).collect()
    };
    assert_eq!((names("checks"), names("disabled")), (vec!["orders".into()], vec!["loop".into(), "batch".into()]));
    let failing = Config::of(&BEATS.replace("ok_message: All is well", "error_rate: 1")).runs("once", &[]);
    assert_eq!((failing.code, failing.stdout.lines().last()), (1, Some("unhealthy: root cause orders; 2 not judged")));
    let step = "{ name: beat, heartbeat: { file: /run/app/alive, max_age: 30s } }";
    for alone in [
        "checks: [{ name: loop, heartbeat: { push: true, max_age: 30s } }]\n",
        &format!("checks: [{{ name: path, workflow: {{ steps: [{step}, {{ name: buy, simulated: {{}} }}] }} }}]\n"),
    ] {
        let alone = Config::of(alone).runs("once", &[]);
        assert_eq!(
            (alone.code, alone.stdout.lines().last()),
            (0, Some("healthy: there is no check that one look can judge"))
        );
    }
}

#[test]
fn a_heartbeat_that_is_named_is_refused_where_it_cannot_be_judged() {
    let config = Config::of(BEATS);
    let file = "it waits for a change of a file, which one look cannot see: `wait --check` looks again";
    let push = "its beats are pushed to a running daemon, which `ask` and `wait --url` ask";
    for (command, name, why) in [("once", "batch", file), ("once", "loop", push), ("wait", "loop", push)] {
        let run = config.runs(command, &["--check", name]);
        let complaint = format!("error: the check `{name}` cannot be judged like this: {why}\n");
        assert_eq!((run.code, run.stderr), (2, complaint));
    }
    let wait = config.runs("wait", &["--check", "orders"]);
    assert!(wait.code == 0 && wait.stdout.starts_with("orders passes after "), "{wait:?}");
    let wait = config.runs("wait", &["--check", "batch", "--timeout", "10ms"]);
    assert!(wait.code == 124 && wait.stderr.contains("batch: no beat yet"), "{wait:?}");
}

#[test]
fn healthy_is_0_and_so_is_degraded() {
    let run = Config::of(WELL).runs("once", &[]);
    assert_eq!(run.code, 0);
    assert_golden("once-healthy.txt", &timeless(&run.stdout));

    let run =
        Config::of("checks:\n  - { name: report, critical: false, simulated: { error_rate: 1 } }\n").runs("once", &[]);
    assert_eq!(run.code, 0);
    assert_golden("once-degraded.txt", &timeless(&run.stdout));

    let run = Config::of("checks: []\n").runs("once", &[]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "healthy: there are no checks\n", ""));
}

#[test]
fn json_is_that_of_healthz_and_nothing_else() {
    let run = Config::of(SHOP).runs("once", &["--format", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let mut json: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    json["timestamp"] = "<when>".into();
    for check in json["checks"].as_array_mut().expect("a list") {
        for (key, value) in [("since", "<when>"), ("latency_ms", "<t>"), ("age_ms", "<t>")] {
            if !check[key].is_null() {
                check[key] = value.into();
            }
        }
    }
    assert_golden("once.json", &timeless(&format!("{json:#}\n")));
}

#[test]
fn the_json_says_everything_whatever_the_server_may_tell() {
    let run = Config::of(&format!("server: {{ details: none }}\n{WELL}")).runs("once", &["--format", "json"]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("All is well"), "{}", run.stdout);
}

#[test]
fn junit_is_xml_whatever_the_messages_hold() {
    let run = Config::of(SHOP).runs("once", &["--format", "junit"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_golden("once-junit.xml", &without_seconds(&timeless(&run.stdout)));
}

/// The attributes `time` hold seconds without a unit.
fn without_seconds(xml: &str) -> String {
    let pieces: Vec<&str> = xml.split("time=\"").collect();
    let rest = |piece: &&str| piece.split_once('"').map_or((*piece).to_owned(), |(_, rest)| format!("<t>\"{rest}"));
    let mut shown = vec![pieces[0].to_owned()];
    shown.extend(pieces[1..].iter().map(rest));
    shown.join("time=\"")
}

#[test]
fn a_check_by_name_brings_its_parents_and_nothing_else() {
    let run = Config::of(SHOP).runs("once", &["--check", "endtoend_workflow", "--check", "cache"]);
    assert_eq!(run.code, 1);
    assert_golden("once-check.txt", &timeless(&run.stdout));

    let run = Config::of(SHOP).runs("once", &["--check", "cache"]);
    assert_eq!((run.code, run.stdout.lines().last()), (0, Some("healthy: the check passed")));
}

#[test]
fn an_unknown_check_is_wrong_usage_with_the_one_that_was_meant() {
    let config = Config::of(SHOP);
    let run = config.runs("once", &["--check", "db_conection", "--check", "nonsense"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert_golden("once-unknown.txt", &run.stderr.replace(config.path(), "config.yaml"));
}

#[test]
fn a_configuration_that_cannot_be_used_is_shown_on_standard_error() {
    let config = Config::of("checks:\n  - nam: typo\n");
    let run = config.runs("once", &[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert_golden("once-invalid.txt", &run.stderr.replace(config.path(), "config.yaml"));
}

#[test]
fn verbose_shows_the_phases_of_each_run_and_what_it_saw() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nX-Secret: hunter2\r\n\
                  Content-Length: 30\r\n\r\n{\"state\":\"down\",\"token\":\"abc\"}";
    assert_eq!(answer.split("\r\n\r\n").nth(1).map(str::len), Some(30));
    let server = Fake::answering(answer);
    let closed = free_port();
    let config = Config::of(&format!(
        "checks:\n\
         \x20 - name: app\n\
         \x20   http: {{ url: 'http://{address}/health', expect: {{ json: {{ /state: ok, /token: {{ length: 3 }} }}, headers: {{ content-type: json, x-secret: {{ lacks: a }} }} }}, max_connection_age: 0s }}\n\
         \x20   timeout: 10s\n\
         \x20 - name: port\n\
         \x20   tcp: {{ address: '127.0.0.1:{closed}' }}\n\
         \x20 - name: path\n\
         \x20   timeout: 10s\n\
         \x20   workflow:\n\
         \x20     steps:\n\
         \x20       - name: login\n\
         \x20         http: {{ url: 'http://{address}/login', max_connection_age: 0s }}\n\
         \x20         capture: {{ token: 'json:/token' }}\n\
         \x20       - name: order\n\
         \x20         http: {{ url: 'http://{address}/orders', headers: {{ Authorization: '${{steps.login.token}}' }}, expect: {{ status: 201 }}, max_connection_age: 0s }}\n\
         \x20       - name: done\n\
         \x20         http: {{ url: 'http://{address}/done' }}\n\
         \x20 - name: behind\n\
         \x20   depends_on: [port]\n\
         \x20   simulated: {{}}\n",
        address = server.address()
    ));
    let run = config.runs("once", &["--verbose"]);
    assert_eq!(run.code, 1);
    assert!(!run.stdout.contains("hunter2") && !run.stdout.contains("abc"), "{}", run.stdout);
    let shown = run.stdout.replace(&server.address().to_string(), "<address>");
    let shown = shown.replace(&format!("127.0.0.1:{closed}"), "<closed>");
    assert_golden("once-verbose.txt", &timeless(&shown));
}

#[test]
fn a_push_of_hundred_hung_checks_ends_in_time() {
    let checks: String = (0..100)
        .map(|index| format!("  - {{ name: hung-{index}, timeout: 1s, simulated: {{ timeout_rate: 1 }} }}\n"))
        .collect();
    let begun = std::time::Instant::now();
    let run = Config::of(&format!("checks:\n{checks}")).runs("once", &[]);
    assert_eq!(run.code, 1);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(run.stdout.lines().filter(|line| line.contains("timed out after 1s")).count(), 100);
}
