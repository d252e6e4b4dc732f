//! The alerts of `deploy/prometheus` in a real Prometheus that scrapes the daemon, while a real server is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, PATIENCE, exchange};
use crate::support::redis::Redis;
use crate::support::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// Prometheus with the rules of `deploy/prometheus`, looking every second.
struct Prometheus {
    port: u16,
    _server: Server,
    _folder: Folder,
}

impl Prometheus {
    /// Starts one that scrapes `target` as the Prometheus Operator would with `deploy/podmonitor.yaml`.
    fn start(target: SocketAddr) -> Self {
        let (folder, account, port) = (Folder::new("prometheus"), Account::of("prometheus"), free_port());
        account.own(folder.path());
        let monitor = include_str!("../../deploy/podmonitor.yaml");
        let relabeling = monitor.lines().find(|line| line.contains("labeldrop")).expect("it drops a label").trim();
        // `namespace` and `endpoint` (the port's name) are what the operator adds to a target.
        let settings = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: orders\n    static_configs:\n      - targets: [\"{target}\"]\n        \
             labels: {{ namespace: shop, endpoint: probelet }}\n    relabel_configs:\n      {relabeling}\n"
        );
        folder.write("prometheus.yml", &settings, &account);
        // Nobody waits for minutes here: what a rule waits for is in its own tests.
        let rules: String =
            include_str!("../../deploy/prometheus/rules.yml")
                .lines()
                .map(|line| {
                    if line.trim().starts_with("for: ") { "        for: 2s\n".to_owned() } else { format!("{line}\n") }
                })
                .collect();
        folder.write("rules.yml", &rules, &account);
        let mut command = Command::new(program("prometheus", "prometheus"));
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut server = Server::start(command, account, &folder);
        until("Prometheus listens", || {
            assert!(!server.has_ended(), "Prometheus does not start");
            is_open(port)
        });
        Self { port, _server: server, _folder: folder }
    }

    /// The labels of each alert that fires now.
    async fn firing(&self) -> Vec<serde_json::Value> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let reply = exchange(address, b"GET /api/v1/alerts HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
        let alerts = if reply.status == 200 { reply.json()["data"]["alerts"].take() } else { serde_json::Value::Null };
        let all = alerts.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|alert| alert["state"] == "firing").map(|mut alert| alert["labels"].take()).collect()
    }

    /// Waits until the alerts that fire are as `wanted`.
    async fn until_firing(&self, what: &str, wanted: impl Fn(&[serde_json::Value]) -> bool) -> Vec<serde_json::Value> {
        let mut last = Vec::new();
        let wait = async {
            loop {
                last = self.firing().await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what}: {last:#?}");
        last
    }
}

fn named<'a>(alerts: &'a [serde_json::Value], name: &'a str) -> impl Iterator<Item = &'a serde_json::Value> {
    alerts.iter().filter(move |labels| labels["alertname"] == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_pages_for_a_redis_that_was_killed_and_for_nothing_that_waits_for_it() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let mut redis = Redis::start(&authority.server(&["localhost"]), &clients, None);
    let daemon = Daemon::start(&format!(
        "
defaults: {{ interval: 200ms, timeout: 1s }}
checks:
  - name: cache
    redis: {{ url: \"{}\" }}
  - name: orders
    redis: {{ url: \"{}\" }}
    depends_on: [cache]
",
        redis.url(":hunter2"),
        redis.url(":hunter2"),
    ))
    .await;
    daemon.until_status("/readyz", 200).await;
    let prometheus = Prometheus::start(daemon.address);
    // It is scraped, and seen for what it is: kubelet does not ask it, and has had no time to.
    assert!(named(&prometheus.firing().await, "HealthRootCause").next().is_none());

    redis.server().kill();

    let fires = |alerts: &[serde_json::Value]| {
        named(alerts, "HealthRootCause").next().is_some() && named(alerts, "HealthEndpointClosed").next().is_some()
    };
    let alerts = prometheus.until_firing("the root cause pages, and /readyz is closed", fires).await;
    let causes: Vec<_> = named(&alerts, "HealthRootCause").collect();
    let expected = serde_json::json!({
        "alertname": "HealthRootCause", "severity": "critical", "namespace": "shop", "job": "orders", "check": "cache"
    });
    assert_eq!(causes, [&expected]);
    assert_eq!(named(&alerts, "HealthEndpointClosed").next().unwrap()["endpoint"], "readyz", "not the port's name");

    redis.restart();

    let is_over = |alerts: &[serde_json::Value]| {
        named(alerts, "HealthRootCause").next().is_none() && named(alerts, "HealthEndpointClosed").next().is_none()
    };
    prometheus.until_firing("it is over", is_over).await;
}
