//! The alerts of `deploy/prometheus` in a real Prometheus that scrapes the daemon, while a real server is killed.

use crate::support::certs::Authority;
use crate::support::daemon::Daemon;
use crate::support::prometheus::Prometheus;
use crate::support::redis::Redis;

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
