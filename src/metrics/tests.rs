//! The exposition as a whole, against the catalogue, the contract and promtool.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalog::{CATALOG, MetricKind};
use super::testing::{answering, degraded, error, knowing, now, ok, pending, skipped, snapshot, stale};
use super::*;
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::index::CheckIndex;
use crate::model::outcome::{DiskSpace, Facts, QueueLength, StepReport};
use crate::model::plan::testing::check;
use crate::model::plan::{Critical, DisabledCheck, MetricsLevel, Plan};
use crate::model::route::Route;
use crate::model::snapshot::Snapshot;
use crate::model::state::{Counters, State};
use crate::model::verdict::{Endpoint, Judged};

/// One check in each state, with every fact.
fn everything() -> Snapshot {
    let mut database = ok("Database is connected");
    let counters =
        Counters { tls_not_after: Some(Timestamp::from_unix_seconds(1_800_000_000)), ..(*database.counters).clone() };
    database.counters = std::sync::Arc::new(counters);
    let step = |name: &str, state| StepReport { name: name.into(), state, message: String::new(), took: None };
    let steps = Box::new([step("login", State::Ok), step("order", State::Error), step("done", State::Skipped)]);
    let mut behind = check("behind");
    behind.depends_on = vec![CheckIndex::new(3)];
    let queue = QueueLength { messages: 7, consumers: 2 };
    let mut side = check("side");
    side.critical = Critical::No;
    side.runbook = Some("https://wiki/side".into());
    let everything = snapshot(vec![
        (check("db"), knowing(database, Facts { queue: Some(Box::new(queue)), ..Facts::default() })),
        (check("cache"), degraded("cache OK (812ms), above 500ms")),
        (
            check("volume"),
            knowing(ok("ok"), Facts { disk: Some(DiskSpace { free: 10, size: 100 }), ..Facts::default() }),
        ),
        (check("internal_api/user"), error("connection refused")),
        (behind, skipped()),
        (check("queue"), pending()),
        (check("files"), stale()),
        (side, knowing(error("login: failed"), Facts { steps, ..Facts::default() })),
    ]);
    let off = DisabledCheck { name: CheckName::new("old").unwrap(), kind: "tcp", reason: "it moves".into() };
    let plan = Plan { disabled: vec![off], ..Plan::clone(&everything.plan) };
    Snapshot { plan: std::sync::Arc::new(plan), ..everything }
}

pub(super) fn daemon_metrics() -> DaemonMetrics {
    let daemon_metrics = DaemonMetrics::default();
    daemon_metrics.answered(Route::LivezCheck, 200, Duration::from_micros(80));
    daemon_metrics.asks.note(Endpoint::Livez, now());
    daemon_metrics.set_void_runs(3);
    daemon_metrics.history_dropped(2);
    daemon_metrics.lag.note(now().moment, Duration::from_secs(2), Some(now().moment - Duration::from_millis(1500)));
    daemon_metrics.set_history_writable(Some(false));
    daemon_metrics.hook_deliveries(0).delivered();
    daemon_metrics
}

fn text(snapshot: &Snapshot, daemon_metrics: &DaemonMetrics, format: ExpositionFormat) -> String {
    String::from_utf8(scrape(&Judged::new(snapshot, now().moment), daemon_metrics, format)).unwrap()
}

/// The lines of `metric` and its samples, without those of other metrics.
fn lines<'a>(text: &'a str, metric: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| line.starts_with(&format!("{metric}{{")) || line.starts_with(&format!("{metric} ")))
        .collect()
}

#[test]
fn the_exposition_and_the_catalogue_agree() {
    let text = text(&everything(), &daemon_metrics(), ExpositionFormat::Text);
    let exposed: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let catalogue: Vec<(&str, &str)> = CATALOG.iter().map(|metric| (metric.name, metric.kind.label())).collect();
    assert_eq!(exposed, catalogue);
    for metric in CATALOG {
        assert!(text.contains(&format!("# HELP {} {}\n# TYPE ", metric.name, metric.help)), "{}", metric.name);
        // Help is written as it is.
        assert!(!metric.help.contains(['\\', '"', '\n']), "{}", metric.name);
        let samples = text.lines().filter(|line| line.strip_prefix(metric.name).is_some_and(|rest| !rest.is_empty()));
        for line in samples.filter(|line| line.starts_with(&format!("{}{{", metric.name))) {
            let (_, labels) = line.split_once('{').unwrap();
            let names: Vec<&str> = labels.split(',').filter_map(|label| Some(label.split_once("=\"")?.0)).collect();
            assert_eq!(names, metric.labels, "{line}");
        }
    }
}

#[test]
fn the_catalogue_has_the_names_of_the_contract() {
    let promised = [
        ("healthcheck_status", MetricKind::Gauge, "check"),
        ("healthcheck_state", MetricKind::Gauge, "check, state"),
        ("healthcheck_info", MetricKind::Gauge, "check, kind, critical, gates, runbook"),
        // Not of the contract: it has no word for a check that is switched off.
        ("healthcheck_disabled", MetricKind::Gauge, "check, kind"),
        ("healthcheck_interval_seconds", MetricKind::Gauge, "check"),
        ("healthcheck_timeout_seconds", MetricKind::Gauge, "check"),
        ("healthcheck_duration_seconds", MetricKind::Histogram, "check"),
        ("healthcheck_runs_total", MetricKind::Counter, "check, outcome"),
        ("healthcheck_failures_total", MetricKind::Counter, "check, reason"),
        ("healthcheck_consecutive_failures", MetricKind::Gauge, "check"),
        ("healthcheck_transitions_total", MetricKind::Counter, "check, to"),
        ("healthcheck_last_run_timestamp_seconds", MetricKind::Gauge, "check"),
        ("healthcheck_last_success_timestamp_seconds", MetricKind::Gauge, "check"),
        ("healthcheck_root_cause", MetricKind::Gauge, "check"),
        ("healthcheck_waits_for", MetricKind::Gauge, "check, root_cause"),
        ("healthcheck_step_status", MetricKind::Gauge, "check, step"),
        ("healthcheck_tls_not_after_timestamp_seconds", MetricKind::Gauge, "check"),
        ("healthcheck_disk_free_bytes", MetricKind::Gauge, "check"),
        ("healthcheck_disk_size_bytes", MetricKind::Gauge, "check"),
        ("healthcheck_queue_messages", MetricKind::Gauge, "check"),
        ("healthcheck_queue_consumers", MetricKind::Gauge, "check"),
        ("healthcheck_endpoint_open", MetricKind::Gauge, "endpoint"),
        ("healthcheck_endpoint_transitions_total", MetricKind::Counter, "endpoint, to"),
        ("application_health_status", MetricKind::Gauge, ""),
        ("probelet_draining", MetricKind::Gauge, ""),
        ("probelet_gate_last_asked_timestamp_seconds", MetricKind::Gauge, "endpoint"),
        ("probelet_http_request_duration_seconds", MetricKind::Histogram, "route, code"),
        ("probelet_scheduler_lag_seconds", MetricKind::Gauge, ""),
        // Not of the contract: what is overdue when somebody looks tells nothing of what has been late.
        ("probelet_scheduler_worst_lag_seconds", MetricKind::Gauge, ""),
        // Nor this: lean metrics have no room for them with each check.
        ("probelet_void_runs_total", MetricKind::Counter, ""),
        ("probelet_history_dropped_total", MetricKind::Counter, ""),
        // Not of the contract: a file that cannot be used shows in nothing else that can be watched.
        ("probelet_history_writable", MetricKind::Gauge, ""),
        ("probelet_hook_deliveries_total", MetricKind::Counter, "hook, outcome"),
        ("probelet_config_last_reload_successful", MetricKind::Gauge, ""),
        ("probelet_config_last_reload_success_timestamp_seconds", MetricKind::Gauge, ""),
        ("probelet_config_info", MetricKind::Gauge, "hash"),
        ("probelet_build_info", MetricKind::Gauge, "version, revision"),
    ];
    let own: Vec<_> = CATALOG
        .iter()
        .filter(|metric| !metric.name.starts_with("process_"))
        .map(|metric| (metric.name, metric.kind, metric.labels.join(", ")))
        .collect();
    assert_eq!(own, promised.map(|(name, kind, labels)| (name, kind, labels.to_owned())));
    assert_eq!(CATALOG[0].help, "Health check status (1=ok,0=error)");
}

#[test]
fn every_state_is_told_by_the_numbers_of_the_contract() {
    let text = text(&everything(), &daemon_metrics(), ExpositionFormat::Text);
    assert_eq!(
        lines(&text, "healthcheck_status"),
        [
            r#"healthcheck_status{check="db"} 1"#,
            r#"healthcheck_status{check="cache"} 1"#,
            r#"healthcheck_status{check="volume"} 1"#,
            r#"healthcheck_status{check="internal_api/user"} 0"#,
            r#"healthcheck_status{check="behind"} 0"#,
            r#"healthcheck_status{check="queue"} 0"#,
            r#"healthcheck_status{check="files"} 0"#,
            r#"healthcheck_status{check="side"} 0"#,
        ]
    );
    let states: Vec<&str> = lines(&text, "healthcheck_state").into_iter().filter(|line| line.ends_with(" 1")).collect();
    assert_eq!(
        states,
        [
            r#"healthcheck_state{check="db",state="ok"} 1"#,
            r#"healthcheck_state{check="cache",state="degraded"} 1"#,
            r#"healthcheck_state{check="volume",state="ok"} 1"#,
            r#"healthcheck_state{check="internal_api/user",state="error"} 1"#,
            r#"healthcheck_state{check="behind",state="skipped"} 1"#,
            r#"healthcheck_state{check="queue",state="pending"} 1"#,
            r#"healthcheck_state{check="files",state="stale"} 1"#,
            r#"healthcheck_state{check="side",state="error"} 1"#,
        ]
    );
    assert_eq!(
        lines(&text, "healthcheck_info")[7],
        r#"healthcheck_info{check="side",kind="simulated",critical="false",gates="ready",runbook="https://wiki/side"} 1"#
    );
    let mut gate = check("gate");
    gate.gates.live = true;
    assert_eq!(
        lines(
            &self::text(&snapshot(vec![(gate, pending())]), &daemon_metrics(), ExpositionFormat::Text),
            "healthcheck_info"
        ),
        [r#"healthcheck_info{check="gate",kind="simulated",critical="true",gates="live,ready",runbook=""} 1"#]
    );
    assert_eq!(
        lines(&text, "healthcheck_waits_for"),
        [r#"healthcheck_waits_for{check="behind",root_cause="internal_api/user"} 1"#]
    );
    let causes: Vec<&str> =
        lines(&text, "healthcheck_root_cause").into_iter().filter(|line| line.ends_with(" 1")).collect();
    assert_eq!(
        causes,
        [
            r#"healthcheck_root_cause{check="internal_api/user"} 1"#,
            r#"healthcheck_root_cause{check="files"} 1"#,
            r#"healthcheck_root_cause{check="side"} 1"#,
        ]
    );
}

#[test]
fn labels_of_counters_exist_from_the_start_and_timestamps_do_not() {
    let text = text(&snapshot(vec![(check("new"), pending())]), &DaemonMetrics::default(), ExpositionFormat::Text);
    assert_eq!(
        lines(&text, "healthcheck_failures_total"),
        ["timeout", "resolve", "connect", "tls", "auth", "protocol", "mismatch", "bug"]
            .map(|reason| format!(r#"healthcheck_failures_total{{check="new",reason="{reason}"}} 0"#))
    );
    assert_eq!(
        lines(&text, "healthcheck_runs_total"),
        ["pass", "fail", "skip", "void"]
            .map(|outcome| format!(r#"healthcheck_runs_total{{check="new",outcome="{outcome}"}} 0"#))
    );
    assert_eq!(
        lines(&text, "healthcheck_transitions_total"),
        ["ok", "degraded", "error", "skipped", "pending"]
            .map(|to| format!(r#"healthcheck_transitions_total{{check="new",to="{to}"}} 0"#))
    );
    assert_eq!(
        lines(&text, "healthcheck_duration_seconds_count"),
        [r#"healthcheck_duration_seconds_count{check="new"} 0"#]
    );
    for absent in ["healthcheck_last_run_timestamp_seconds", "healthcheck_last_success_timestamp_seconds"] {
        assert_eq!(lines(&text, absent), [""; 0]);
    }
}

#[test]
fn lean_metrics_have_at_most_twelve_series_of_a_check() {
    let lean = lean();
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics] {
        let text = text(&lean, &daemon_metrics(), format);
        for check in &lean.plan.checks {
            let series: Vec<&str> =
                text.lines().filter(|line| line.contains(&format!("check=\"{}\"", check.name))).collect();
            assert!((8..=12).contains(&series.len()), "{series:#?}");
        }
        for left_out in ["_bucket{check", "healthcheck_failures_total", "healthcheck_transitions_total"] {
            assert!(!text.contains(left_out), "{left_out}");
        }
    }
    assert_eq!(
        lines(&text(&lean, &daemon_metrics(), ExpositionFormat::Text), "healthcheck_state")[..2],
        [r#"healthcheck_state{check="db",state="ok"} 1"#, r#"healthcheck_state{check="cache",state="degraded"} 1"#]
    );
}

/// Each metric that `rules` looks at, with the labels that it must have: `name{label="value"`.
fn selectors(rules: &str) -> Vec<(&str, Vec<&str>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    let mut found = Vec::new();
    for (at, _) in rules.match_indices(|c: char| c.is_ascii_alphabetic()) {
        let begins = !rules[..at].ends_with(is_name);
        let (name, rest) = rules[at..].split_at(rules[at..].find(|c| !is_name(c)).unwrap_or(0));
        if begins && CATALOG.iter().any(|metric| name.strip_suffix("_count").unwrap_or(name) == metric.name) {
            let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
            let labels = labels
                .split(',')
                .map(str::trim)
                .filter(|label| label.contains("=\"") && !label.contains("!="))
                .collect();
            found.push((name, labels));
        }
    }
    found
}

#[test]
fn every_alert_but_that_of_flapping_finds_its_series_in_lean_metrics() {
    let text = text(&lean(), &daemon_metrics(), ExpositionFormat::Text);
    let (mut blind, mut found) = (Vec::new(), 0);
    for alert in include_str!("../../deploy/prometheus/rules.yml").split("- alert: ").skip(1) {
        let (name, rule) = alert.split_once('\n').unwrap();
        let expression = rule.split("annotations:").next().unwrap();
        for (metric, labels) in selectors(expression) {
            let is_told = lines(&text, metric).iter().any(|line| labels.iter().all(|label| line.contains(label)));
            found += 1;
            if !is_told {
                blind.push((name, metric));
            }
        }
    }
    assert_eq!(blind, [("HealthFlapping", "healthcheck_transitions_total")]);
    assert!(found > 10, "{found} selectors");
}

#[test]
fn histograms_are_cumulative_and_end_with_infinity() {
    let text = text(&snapshot(vec![(check("db"), ok("ok"))]), &DaemonMetrics::default(), ExpositionFormat::Text);
    let buckets = [
        ("0.001", 0),
        ("0.0025", 0),
        ("0.005", 0),
        ("0.01", 0),
        ("0.025", 1),
        ("0.05", 1),
        ("0.1", 1),
        ("0.25", 1),
        ("0.5", 1),
        ("1", 1),
        ("2.5", 1),
        ("5", 1),
        ("10", 1),
        ("+Inf", 1),
    ];
    assert_eq!(
        lines(&text, "healthcheck_duration_seconds_bucket"),
        buckets
            .map(|(bound, count)| format!(r#"healthcheck_duration_seconds_bucket{{check="db",le="{bound}"}} {count}"#))
    );
    assert_eq!(
        lines(&text, "healthcheck_duration_seconds_sum"),
        [r#"healthcheck_duration_seconds_sum{check="db"} 0.012"#]
    );
}

#[test]
fn facts_of_the_last_run_are_exposed() {
    let text = text(&everything(), &daemon_metrics(), ExpositionFormat::Text);
    assert_eq!(
        lines(&text, "healthcheck_step_status"),
        [
            r#"healthcheck_step_status{check="side",step="login"} 1"#,
            r#"healthcheck_step_status{check="side",step="order"} 0"#
        ]
    );
    assert_eq!(lines(&text, "healthcheck_disk_free_bytes"), [r#"healthcheck_disk_free_bytes{check="volume"} 10"#]);
    assert_eq!(lines(&text, "healthcheck_disk_size_bytes"), [r#"healthcheck_disk_size_bytes{check="volume"} 100"#]);
    assert_eq!(lines(&text, "healthcheck_queue_messages"), [r#"healthcheck_queue_messages{check="db"} 7"#]);
    assert_eq!(lines(&text, "healthcheck_queue_consumers"), [r#"healthcheck_queue_consumers{check="db"} 2"#]);
    assert_eq!(lines(&text, "healthcheck_interval_seconds")[0], r#"healthcheck_interval_seconds{check="db"} 10"#);
    assert_eq!(lines(&text, "healthcheck_timeout_seconds")[0], r#"healthcheck_timeout_seconds{check="db"} 2"#);
    assert_eq!(
        lines(&text, "healthcheck_tls_not_after_timestamp_seconds"),
        [r#"healthcheck_tls_not_after_timestamp_seconds{check="db"} 1800000000"#]
    );
}

#[test]
fn endpoints_and_the_daemon_are_told() {
    let mut everything = everything();
    everything.draining = true;
    everything.endpoint_transitions[1].closed = 3;
    let text = text(&everything, &daemon_metrics(), ExpositionFormat::Text);
    assert_eq!(
        lines(&text, "healthcheck_endpoint_open"),
        [
            r#"healthcheck_endpoint_open{endpoint="livez"} 1"#,
            r#"healthcheck_endpoint_open{endpoint="readyz"} 0"#,
            r#"healthcheck_endpoint_open{endpoint="startupz"} 0"#,
            r#"healthcheck_endpoint_open{endpoint="healthz"} 0"#,
        ]
    );
    let transitions = lines(&text, "healthcheck_endpoint_transitions_total");
    assert_eq!(transitions.len(), 8);
    assert_eq!(
        transitions[2..4],
        [
            r#"healthcheck_endpoint_transitions_total{endpoint="readyz",to="open"} 0"#,
            r#"healthcheck_endpoint_transitions_total{endpoint="readyz",to="closed"} 3"#,
        ]
    );
    assert_eq!(
        lines(&text, "probelet_gate_last_asked_timestamp_seconds"),
        [r#"probelet_gate_last_asked_timestamp_seconds{endpoint="livez"} 1795257000"#]
    );
    assert_eq!(lines(&text, "probelet_config_info"), [r#"probelet_config_info{hash="0123456789abcdef"} 1"#]);
    for (metric, value) in [
        ("application_health_status", "0"),
        ("probelet_draining", "1"),
        ("probelet_scheduler_lag_seconds", "1.5"),
        ("probelet_scheduler_worst_lag_seconds", "2"),
        ("probelet_void_runs_total", "3"),
        ("probelet_history_dropped_total", "2"),
        ("probelet_history_writable", "0"),
        ("probelet_config_last_reload_successful", "1"),
        ("probelet_config_last_reload_success_timestamp_seconds", "1795257000"),
    ] {
        assert_eq!(lines(&text, metric), [format!("{metric} {value}")]);
    }
    assert_eq!(
        lines(&text, "probelet_http_request_duration_seconds_count"),
        [r#"probelet_http_request_duration_seconds_count{route="/livez/{check}",code="200"} 1"#]
    );
    assert_eq!(lines(&text, "probelet_build_info").len(), 1);
}

#[test]
fn without_checks_there_is_nothing_to_say_about_checks() {
    let text = text(&snapshot(Vec::new()), &DaemonMetrics::default(), ExpositionFormat::Text);
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(families.iter().all(|name| !name.starts_with("healthcheck_") || name.starts_with("healthcheck_endpoint_")));
    assert_eq!(lines(&text, "application_health_status"), ["application_health_status 2"]);
}

#[test]
fn open_metrics_tells_the_same() {
    let (snapshot, daemon_metrics) = (everything(), daemon_metrics());
    let plain = text(&snapshot, &daemon_metrics, ExpositionFormat::Text);
    let open = text(&snapshot, &daemon_metrics, ExpositionFormat::OpenMetrics);
    assert!(open.ends_with("# EOF\n"));
    for line in plain.lines().filter(|line| line.starts_with("healthcheck_") && !line.contains("le=")) {
        assert!(open.lines().any(|other| other == line), "{line}");
    }
    assert!(open.contains("# TYPE healthcheck_runs counter\n"));
    assert!(open.contains("# TYPE process_cpu_seconds counter\n"));
}

/// Everything, as lean as can be.
pub(super) fn lean() -> Snapshot {
    answering(everything(), |answers| answers.metrics = MetricsLevel::Lean)
}

/// Everything, with every odd character that a text can have.
pub(super) fn odd() -> Snapshot {
    let mut odd = everything();
    let plan = std::sync::Arc::make_mut(&mut odd.plan);
    let strange = "a \"b\" \\ c\\n\n\té ✓ {},= \u{7f}";
    plan.service.labels = vec![("team".into(), strange.into()), ("empty".into(), String::new())];
    let mut checks = plan.checks.to_vec();
    std::sync::Arc::make_mut(&mut checks[0]).runbook = Some(strange.into());
    std::sync::Arc::make_mut(&mut checks[1]).interval = Duration::from_micros(1_234_567_891);
    std::sync::Arc::make_mut(&mut checks[2]).timeout = Duration::from_millis(250);
    plan.checks = checks.into_iter().collect();
    let mut durations = odd.checks[0].counters.durations.clone();
    durations.sum = 3_000_000_000.0 / 7.0;
    let last_run = Some(Timestamp::from_unix_micros(1_795_257_000_000_001));
    let counters = Counters {
        runs: [u64::MAX, 1 << 53, 12_345_678_901_234_567],
        voids: (1 << 53) + 1,
        durations,
        last_run,
        last_success: Some(Timestamp::from_unix_micros(-1_500_000)),
        tls_not_after: Some(Timestamp::from_unix_micros(i64::MIN)),
        ..(*odd.checks[0].counters).clone()
    };
    std::sync::Arc::make_mut(&mut odd.checks[0]).counters = std::sync::Arc::new(counters);
    let steps = Box::new([StepReport { name: strange.into(), state: State::Ok, message: String::new(), took: None }]);
    let disk = Some(DiskSpace { free: u64::MAX, size: 1 << 60 });
    odd.checks[1] = std::sync::Arc::new(knowing(ok("ok"), Facts { steps, disk, ..Facts::default() }));
    odd
}

#[test]
fn the_whole_text_is_as_it_always_was() {
    let (plain, open) = (ExpositionFormat::Text, ExpositionFormat::OpenMetrics);
    for (snapshot, format, name, expected) in [
        (everything(), plain, "full.txt", include_str!("../../tests/golden/metrics/full.txt")),
        (everything(), open, "full.openmetrics", include_str!("../../tests/golden/metrics/full.openmetrics")),
        (lean(), plain, "lean.txt", include_str!("../../tests/golden/metrics/lean.txt")),
        (lean(), open, "lean.openmetrics", include_str!("../../tests/golden/metrics/lean.openmetrics")),
        (odd(), plain, "odd.txt", include_str!("../../tests/golden/metrics/odd.txt")),
        (odd(), open, "odd.openmetrics", include_str!("../../tests/golden/metrics/odd.openmetrics")),
    ] {
        // What differs from machine to machine and from version to version is left out.
        let differs = |line: &&str| !line.contains("process_") && !line.starts_with("probelet_build_info{");
        let whole = text(&snapshot, &daemon_metrics(), format);
        let told: String = whole.split_inclusive('\n').filter(differs).collect();
        assert!(told == expected, "{name} differs");
    }
}

#[test]
fn thousands_of_checks_are_told_in_short_steps() {
    let many = snapshot((0..3000).map(|n| (check(&format!("db_{n}")), ok("ok"))).collect());
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics, ExpositionFormat::Protobuf] {
        let judged = Judged::new(&many, now().moment);
        let daemon_metrics = DaemonMetrics::default();
        let whole = scrape(&judged, &daemon_metrics, format);
        let mut steps = Scrape::new(&judged, &daemon_metrics, format);
        let (mut pieces, mut count) = (Vec::new(), 0);
        while steps.step() {
            let piece = steps.take();
            // Of a message nothing is told before its length is known.
            assert!(format == ExpositionFormat::Protobuf || piece.len() < 70 * 1024, "{}", piece.len());
            pieces.extend(piece);
            count += 1;
        }
        pieces.extend(steps.take());
        assert!(pieces == whole && count > whole.len() / (70 * 1024), "{format:?} in {count} steps");
        assert!(!steps.step() && steps.take().is_empty());
    }
}

#[test]
fn promtool_has_nothing_to_say() {
    for snapshot in [everything(), lean(), odd()] {
        ask_promtool(&text(&snapshot, &daemon_metrics(), ExpositionFormat::Text));
    }
}

fn ask_promtool(metrics: &str) {
    let mut promtool = Command::new("/usr/bin/promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("/usr/bin/promtool is missing: install the Debian package `prometheus`");
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&said).as_ref()), (Some(0), ""));
}

#[test]
fn labels_of_the_service_are_labels_of_what_is_declared() {
    let mut labelled = snapshot(vec![(check("db"), ok("ok"))]);
    std::sync::Arc::make_mut(&mut labelled.plan).service.labels = vec![("team".into(), "a \"b\"".into())];
    let judged = Judged::new(&labelled, now().moment);
    let text = scrape(&judged, &DaemonMetrics::default(), ExpositionFormat::Text);
    let text = String::from_utf8_lossy(text.as_ref()).into_owned();
    let info =
        r#"healthcheck_info{check="db",kind="simulated",critical="true",gates="ready",runbook="",team="a \"b\""} 1"#;
    assert!(text.contains(info), "{text}");
}
