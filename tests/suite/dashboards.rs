//! The dashboards of `deploy/grafana`: each of their questions is asked of a real Prometheus that scrapes the daemon, while a
//! real server is down.

use std::fmt::Write as _;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;

use crate::support::certs::{Authority, Folder};
use crate::support::daemon::{Daemon, PATIENCE};
use crate::support::prometheus::Prometheus;
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;

const DASHBOARDS: [(&str, &str); 2] = [
    ("fleet", include_str!("../../deploy/grafana/fleet.json")),
    ("pod", include_str!("../../deploy/grafana/pod.json")),
];

/// A question as Grafana would ask it of the pod at `address`, with everything chosen.
fn filled(question: &str, address: &str) -> String {
    let chosen = [
        ("$namespace", ".*"),
        ("$job", ".*"),
        ("$check", ".*"),
        ("$pod", address),
        ("$__rate_interval", "10m"),
        ("$__range", "10m"),
    ];
    chosen.iter().fold(question.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

/// Each question of a dashboard with what it is for: its panels', and its variables'.
fn questions(dashboard: &str, address: &str) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = filled(target["expr"].as_str().unwrap(), address);
            all.push((format!("{} {}", panel["title"], target["refId"]), expr));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            all.push((format!("${}", variable["name"]), filled(variable["definition"].as_str().unwrap(), address)));
        }
    }
    all
}

async fn answers(prometheus: &Prometheus, question: &str) -> Vec<Value> {
    if let Some(asked) = question.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')) {
        let (selector, label) = asked.rsplit_once(", ").expect("a selector and a label");
        return prometheus.label_values(selector, label).await;
    }
    let expr = question.strip_prefix("query_result(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(question);
    prometheus.query(expr).await
}

/// Waits until each question has an answer.
async fn until_all_are_answered(prometheus: &Prometheus, questions: &[(String, String)]) {
    let mut silent: Vec<_> = questions.iter().collect();
    let ask = async {
        while !silent.is_empty() {
            let mut still = Vec::new();
            for question in silent.drain(..) {
                if answers(prometheus, &question.1).await.is_empty() {
                    still.push(question);
                }
            }
            silent = still;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, ask).await;
    let list = silent.iter().fold(String::new(), |mut list, (what, question)| {
        let _ = writeln!(list, "{what}: {question}");
        list
    });
    assert!(asked.is_ok(), "nothing is shown by\n{list}");
}

/// The only answer to the first question of a panel.
async fn only(prometheus: &Prometheus, questions: &[(String, String)], panel: &str) -> Value {
    let (_, question) = questions.iter().find(|(what, _)| *what == format!("\"{panel}\" \"A\"")).expect("the panel");
    let found = prometheus.query(question).await;
    assert_eq!(found.len(), 1, "{panel}: {found:?}");
    found[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_panel_shows_something_while_a_real_redis_is_down() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let identity = authority.server(&["localhost"]);
    let mut rabbit = Rabbit::launch(&identity, &clients);
    let mut broken = Redis::start(&identity, &clients, None);
    let well = Redis::start(&identity, &clients, None);
    let folder = Folder::new();
    let ca = folder.write("ca.pem", authority.pem());
    let client = clients.client("probe");
    let (certificate, key) = (folder.write("client.pem", &client.certificate), folder.write("client.key", &client.key));
    rabbit.until_ready();
    let url = rabbit.url("probe:hunter2", "/%2f");
    let broker = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = broker.create_channel().await.unwrap();
    channel.queue_declare("orders".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let config = format!(
        "
defaults: {{ interval: 200ms, timeout: 2s }}
history: {{ path: {history} }}
hooks:
  - {{ url: \"http://127.0.0.1:9/events\" }}
checks:
  - name: cache
    redis: {{ url: \"redis://:hunter2@localhost:{broken}\" }}
  - name: orders
    redis: {{ url: \"redis://:hunter2@localhost:{broken}\" }}
    depends_on: [cache]
  - name: recommendations
    redis: {{ url: \"redis://:hunter2@localhost:{broken}\" }}
    critical: false
  - name: sessions
    redis: {{ url: \"rediss://:hunter2@localhost:{tls}\", tls: {{ ca_file: {ca}, cert_file: {certificate}, key_file: {key} }} }}
  - name: queue
    amqp: {{ url: \"{url}\", queue: orders }}
  - name: room
    disk: {{ path: {folder}, min_free: 1B }}
  - name: path
    workflow:
      steps:
        - name: ping
          redis: {{ url: \"redis://:hunter2@localhost:{well}\" }}
",
        history = folder.path().join("history.db").display(),
        broken = broken.port,
        tls = well.tls_port,
        well = well.port,
        folder = folder.path().display(),
    );
    let daemon = Daemon::start(&config).await;
    daemon.until_status("/readyz", 200).await;
    let prometheus = Prometheus::start(daemon.address);
    daemon.ask("GET", "/readyz", "User-Agent: kube-probe/1.37\r\n").await;
    let address = daemon.address.to_string();
    let [fleet, pod] = DASHBOARDS.map(|(_, text)| questions(text, &address));
    // What was seen while all was well is there, so that a change is a change.
    let seen = filled("sum(healthcheck_endpoint_open{instance=\"$pod\"}) == 4", &address);
    until_all_are_answered(&prometheus, &[("the sidecar".to_owned(), seen)]).await;
    let closed = only(&prometheus, &fleet, "Root causes that close traffic").await;
    assert_eq!(closed["value"][1], "0");

    broken.server().kill();
    daemon.until_state("cache", "error").await;
    daemon.until_state("orders", "skipped").await;

    until_all_are_answered(&prometheus, &fleet).await;
    until_all_are_answered(&prometheus, &pod).await;
    assert_eq!(only(&prometheus, &fleet, "Without traffic").await["value"][1], "1");
    assert_eq!(only(&prometheus, &fleet, "Root causes that close traffic").await["value"][1], "1");
    assert_eq!(only(&prometheus, &fleet, "Other root causes").await["value"][1], "1", "nobody waits for it");
    assert_eq!(only(&prometheus, &fleet, "Sidecars not well").await["value"][1], "0");
    let worst = only(&prometheus, &fleet, "Worst pods").await;
    let labels = serde_json::json!({ "namespace": "shop", "job": "orders", "pod": "orders-0", "instance": address });
    assert_eq!(worst["metric"], labels);
    assert_ne!(worst["value"][1], "0");
    assert_eq!(only(&prometheus, &pod, "Who waits for whom").await["metric"]["root_cause"], "cache");
}
