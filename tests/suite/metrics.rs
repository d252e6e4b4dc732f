//! The metrics as a user chooses them: buckets through reloads, and native histograms as a real Prometheus takes them.

use std::fmt::Write as _;

use crate::support::daemon::{Daemon, PATIENCE, Reply};
use crate::support::prometheus::Prometheus;

/// Two checks that take at least 40 ms, counted as `metrics` says.
fn counted(metrics: &str) -> String {
    format!(
        "metrics: {metrics}
defaults: {{ interval: 100ms, timeout: 2s }}
checks:
  - {{ name: db, simulated: {{ latency: 40ms }} }}
  - {{ name: cache, simulated: {{ latency: 40ms }} }}
"
    )
}

/// The upper bounds of the buckets of `db`, and how many runs of it there are.
fn buckets(metrics: &Reply) -> (Vec<String>, u64) {
    let value = |name: &str| {
        let line = metrics.body.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.trim().parse().unwrap()
    };
    let begin = "healthcheck_duration_seconds_bucket{check=\"db\",le=\"";
    let bounds = metrics.body.lines().filter_map(|line| Some(line.strip_prefix(begin)?.split_once('"')?.0.to_owned()));
    (bounds.collect(), value("healthcheck_duration_seconds_count{check=\"db\"}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_thins_the_buckets_and_counts_on_or_chooses_others_and_begins_anew() {
    let daemon = Daemon::start(&counted("{ buckets: [10ms, 50ms, 500ms, 5s] }")).await;
    let first = daemon.until("/metrics", |reply| buckets(reply).1 >= 3).await;
    assert_eq!(buckets(&first).0, ["0.01", "0.05", "0.5", "5", "+Inf"]);
    let before = buckets(&first).1;

    daemon.rewrite(&counted("{ buckets: [50ms, 5s] }"));
    let thinned = daemon.until("/metrics", |reply| buckets(reply).0.len() == 3).await;
    assert_eq!(buckets(&thinned).0, ["0.05", "5", "+Inf"]);
    assert!(buckets(&thinned).1 >= before, "{before}: {}", thinned.body);
    let before = daemon.until("/metrics", |reply| buckets(reply).1 >= 30).await;

    // A bound that was none: what is in which bucket is not known, and the counts begin anew.
    daemon.rewrite(&counted("{ buckets: [45ms, 5s] }"));
    let other = daemon.until("/metrics", |reply| buckets(reply).0[0] == "0.045").await;
    assert!(buckets(&other).1 < buckets(&before).1, "{}", other.body);
    // The checks themselves went on, and nothing else began anew.
    let runs = |reply: &Reply| {
        let line =
            reply.body.lines().find(|line| line.starts_with("healthcheck_runs_total{check=\"db\",outcome=\"pass\"}"));
        line.unwrap().rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert!(runs(&other) >= runs(&before) && daemon.get("/readyz").await.status == 200);

    daemon.rewrite(&counted("{ level: lean }"));
    let lean = daemon.until("/metrics", |reply| buckets(reply).0.is_empty()).await;
    assert!(lean.body.contains("# TYPE healthcheck_duration_seconds summary\n"), "{}", lean.body);
}

/// Waits until the question has one answer, and returns its value.
async fn answer(prometheus: &Prometheus, question: &str) -> f64 {
    let ask = async {
        loop {
            let found = prometheus.query(question).await;
            if let [only] = &found[..]
                && let Some(value) = only["value"][1].as_str().and_then(|value| value.parse::<f64>().ok())
                && value.is_finite()
            {
                return value;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ask).await.unwrap_or_else(|_| panic!("nothing answers {question}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_asks_for_native_histograms_and_computes_with_them() {
    for metrics in ["{ native_histograms: true }", "{ native_histograms: true, level: lean }"] {
        let daemon = Daemon::start(&counted(metrics)).await;
        let prometheus = Prometheus::start_with_native_histograms(daemon.address);
        // All that text would tell is there, so it was read to its end.
        let up = "healthcheck_status{check=\"db\"} == 1 and on () probelet_build_info and on () process_threads > 0";
        assert!((answer(&prometheus, up).await - 1.0).abs() < 1e-9);
        let quantile =
            answer(&prometheus, "histogram_quantile(0.99, rate(healthcheck_duration_seconds{check=\"db\"}[1m]))").await;
        // The bucket that 40 ms fall into begins there.
        assert!(quantile > 0.038, "{quantile}");
        let count = answer(&prometheus, "histogram_count(healthcheck_duration_seconds{check=\"db\"})").await;
        let sum = answer(&prometheus, "histogram_sum(healthcheck_duration_seconds{check=\"db\"})").await;
        assert!(count >= 1.0 && sum >= 0.04, "{count} {sum}");
        assert_eq!(prometheus.query("healthcheck_duration_seconds_bucket").await, Vec::<serde_json::Value>::new());
        let runs = answer(&prometheus, "healthcheck_runs_total{check=\"db\",outcome=\"pass\"}").await;
        assert!(runs >= count);
        // Whoever asks for text gets it, and one who asks for nonsense too.
        for accept in ["text/plain", "application/vnd.google.protobuf;proto=;encoding", ";;q=,\"/"] {
            let text = daemon.ask("GET", "/metrics", &format!("Accept: {accept}\r\n")).await;
            assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            assert_eq!(text.body.contains("healthcheck_duration_seconds_bucket{"), !metrics.contains("lean"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_the_process_is_what_the_kernel_tells() {
    let mut config = String::from("checks:\n");
    for n in 0..20 {
        let _ = writeln!(config, "  - {{ name: db_{n}, simulated: {{}} }}");
    }
    let daemon = Daemon::start(&config).await;
    let told = |reply: &Reply, name: &str| {
        let line = reply.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("-1");
        line.parse::<f64>().unwrap()
    };
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", daemon.pid())).unwrap();
    let field = |file: &str, label: &str| {
        let text = proc(file);
        let rest = text.lines().find_map(|line| line.strip_prefix(label)).unwrap();
        rest.split_ascii_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    // Threads and descriptors settle soon after the start.
    let settled = |reply: &Reply| (told(reply, "process_threads") - field("status", "Threads:")).abs() < 0.5;
    let metrics = daemon.until("/metrics", settled).await;
    assert!((told(&metrics, "process_max_fds") - field("limits", "Max open files")).abs() < 0.5);
    let descriptors = |reply: &Reply| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count() as f64;
        // The connection that asks is gone by now, or not yet.
        (0.0..=2.0).contains(&(told(reply, "process_open_fds") - open))
    };
    daemon.until("/metrics", descriptors).await;
    let (resident, size) =
        (told(&metrics, "process_resident_memory_bytes"), told(&metrics, "process_virtual_memory_bytes"));
    assert!(resident > 1e6 && resident < size && size <= field("status", "VmPeak:") * 1024.0, "{resident} {size}");
    let stat = proc("stat");
    let ticks: f64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let boot: f64 = std::fs::read_to_string("/proc/stat")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .unwrap()
        .parse()
        .unwrap();
    let started = told(&metrics, "process_start_time_seconds");
    assert!((started - (boot + ticks / 100.0)).abs() < 2.0, "{started}");
    let later = daemon
        .until("/metrics", |reply| {
            told(reply, "process_cpu_seconds_total") > told(&metrics, "process_cpu_seconds_total")
        })
        .await;
    assert!((told(&later, "process_start_time_seconds") - started).abs() < 0.001);
}
