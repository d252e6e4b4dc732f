//! A real Prometheus with the rules of `deploy/prometheus`.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use super::daemon::{PATIENCE, exchange};
use super::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// Prometheus with the rules of `deploy/prometheus`, looking every second.
pub struct Prometheus {
    port: u16,
    _server: Server,
    _folder: Folder,
}

impl Prometheus {
    /// Starts one that scrapes `target` as the Prometheus Operator would with `deploy/podmonitor.yaml`.
    pub fn start(target: SocketAddr) -> Self {
        Self::launch(target, false)
    }

    /// The same with native histograms switched on: it asks for them, in protobuf.
    pub fn start_with_native_histograms(target: SocketAddr) -> Self {
        Self::launch(target, true)
    }

    fn launch(target: SocketAddr, native: bool) -> Self {
        let (folder, account, port) = (Folder::new("prometheus"), Account::of("prometheus"), free_port());
        account.own(folder.path());
        let monitor = include_str!("../../deploy/podmonitor.yaml");
        let relabeling = monitor.lines().find(|line| line.contains("labeldrop")).expect("it drops a label").trim();
        // `namespace`, `pod` and `endpoint` (the port's name) are what the operator adds to a target.
        let flagged = native && needs_flag();
        let native_by_setting = if native && !flagged { ", scrape_native_histograms: true" } else { "" };
        let settings = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s{native_by_setting} }}\nrule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: orders\n    static_configs:\n      - targets: [\"{target}\"]\n        \
             labels: {{ namespace: shop, endpoint: probelet, pod: orders-0 }}\n    relabel_configs:\n      {relabeling}\n"
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
        command.args(flagged.then_some("--enable-feature=native-histograms"));
        let mut server = Server::start(command, account, &folder);
        until("Prometheus listens", || {
            assert!(!server.has_ended(), "Prometheus does not start");
            is_open(port)
        });
        Self { port, _server: server, _folder: folder }
    }

    /// The result of an instant query: series, each with `metric` and `value`. None while it is not ready.
    pub async fn query(&self, expr: &str) -> Vec<serde_json::Value> {
        let expr = percent_encoding::utf8_percent_encode(expr, percent_encoding::NON_ALPHANUMERIC);
        let data = self.ask(&format!("/api/v1/query?query={expr}")).await;
        if data.is_null() {
            return Vec::new();
        }
        data["result"].as_array().cloned().unwrap_or_else(|| panic!("{expr}: {data}"))
    }

    /// The values of a label among the series of a selector.
    pub async fn label_values(&self, selector: &str, label: &str) -> Vec<serde_json::Value> {
        let selector = percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC);
        let data = self.ask(&format!("/api/v1/label/{label}/values?match[]={selector}")).await;
        data.as_array().cloned().unwrap_or_default()
    }

    /// What it answers, as its API wraps it; its error where the question is wrong, nothing while it is not there yet.
    async fn ask(&self, path: &str) -> serde_json::Value {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        // HTTP/1.0: no chunks.
        let reply = exchange(address, format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").as_bytes()).await;
        match reply.status {
            200 => reply.json()["data"].take(),
            503 => serde_json::Value::Null,
            _ => serde_json::Value::String(reply.body),
        }
    }

    /// The labels of each alert that fires now.
    pub async fn firing(&self) -> Vec<serde_json::Value> {
        let all = self.ask("/api/v1/alerts").await["alerts"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|alert| alert["state"] == "firing").map(|mut alert| alert["labels"].take()).collect()
    }

    /// Waits until the alerts that fire are as `wanted`.
    pub async fn until_firing(
        &self,
        what: &str,
        wanted: impl Fn(&[serde_json::Value]) -> bool,
    ) -> Vec<serde_json::Value> {
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

/// Whether native histograms are asked for by a flag, as before version 3.8, and not in the configuration.
fn needs_flag() -> bool {
    let output = Command::new(program("prometheus", "prometheus")).arg("--version").output().expect("it runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let version = said.split("version ").nth(1).expect("it says its version");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().expect("a number"));
    (numbers.next(), numbers.next()) < (Some(3), Some(8))
}
