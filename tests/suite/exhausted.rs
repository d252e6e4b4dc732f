//! A sidecar that has too few descriptors or ports: its targets are not blamed, and it answers.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::certs::{Authority, Folder};
use crate::support::daemon::{Daemon, PATIENCE};
use crate::support::fake::{Act, Fake, http};
use crate::support::postgres::Postgres;
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;

/// A connection that is kept: it needs no new descriptor.
struct Kept(TcpStream);

impl Kept {
    async fn to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("it listens"))
    }

    async fn get(&mut self, path: &str) -> (u16, String) {
        let answer = tokio::time::timeout(PATIENCE, async {
            self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let (mut text, mut buffer) = (String::new(), [0; 16 * 1024]);
            loop {
                let read = self.0.read(&mut buffer).await.unwrap();
                assert!(read > 0, "it closed: {text}");
                text += std::str::from_utf8(&buffer[..read]).unwrap();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return (head[9..12].parse().unwrap(), body.to_owned());
                }
            }
        });
        answer.await.expect("it answers in time")
    }

    /// Asks for the metrics until they are as `wanted`.
    async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let wait = async {
            loop {
                last = self.get("/metrics").await.1;
                if wanted(&last) {
                    return last.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(metrics) => metrics,
            Err(_) => panic!("the metrics still say {last}"),
        }
    }
}

/// How many runs of `check` had this outcome.
fn runs(metrics: &str, check: &str, outcome: &str) -> u64 {
    let series = format!("healthcheck_runs_total{{check=\"{check}\",outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or_else(|| panic!("no {series}"))
}

/// From now on it may have so many descriptors.
fn limit_descriptors(daemon: &Daemon, soft: u64) {
    let pid = Pid::from_raw(daemon.pid()).unwrap();
    let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(soft), maximum: Some(1024) });
    before.expect("it is our own child");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_target_is_blamed_for_want_of_descriptors() {
    const CHECKS: [&str; 9] = ["http", "named", "tcp", "tls", "disk", "postgres", "redis", "amqp", "workflow"];
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let identity = authority.server(&["localhost"]);
    let mut rabbit = Rabbit::launch(&identity, &clients);
    let postgres = Postgres::start(&identity, &clients);
    let redis = Redis::start(&identity, &clients, None);
    rabbit.until_ready();
    let app = Fake::start(Act::Answer(http(200, &[], "ok"))).await;
    let folder = Folder::new();
    let (ca, client) = (folder.write("ca.pem", authority.pem()), clients.client("probe"));
    let (cert, key) = (folder.write("client.pem", &client.certificate), folder.write("client.key", &client.key));
    let config = |more: &str| {
        format!(
            "
defaults: {{ interval: 1s, timeout: 20s }}
checks:
  - {{ name: http, http: {{ url: \"http://127.0.0.1:{app}/\" }}, gates: [live, ready], interval: 100ms }}
  - {{ name: named, http: {{ url: \"http://localhost:{app}/\" }}, interval: 100ms }}
  - {{ name: tcp, tcp: {{ address: \"127.0.0.1:{app}\" }}, allow: {{ bare-tcp: a test }}, interval: 100ms }}
  - {{ name: tls, tcp: {{ address: \"localhost:{redis_tls}\", tls: {{ ca_file: {ca}, cert_file: {cert}, key_file: {key} }} }}, allow: {{ bare-tcp: a test }} }}
  - {{ name: disk, disk: {{ path: /tmp, writable: true }} }}
  - {{ name: postgres, postgres: {{ url: \"{pg}\" }} }}
  - {{ name: redis, redis: {{ url: \"redis://:hunter2@localhost:{redis}/0\" }} }}
  - {{ name: amqp, amqp: {{ url: \"amqp://probe:hunter2@localhost:{amqp}\" }} }}
  - {{ name: workflow, interval: 1s, workflow: {{ steps: [{{ name: ask, http: {{ url: \"http://127.0.0.1:{app}/\" }} }}] }} }}
{more}",
            app = app.port(),
            redis = redis.port,
            redis_tls = redis.tls_port,
            pg = postgres.url("probe:hunter2", "sslmode=disable"),
            amqp = rabbit.port,
        )
    };
    let path = folder.write("config.yaml", config(""));
    let mut daemon = Daemon::start_in(folder, path.into(), &[], &[]).await;
    daemon.until_status("/readyz", 200).await;
    let mut kept = Kept::to(daemon.address).await;
    let metrics = kept.until(|metrics| CHECKS.iter().all(|check| runs(metrics, check, "pass") > 0)).await;
    for check in CHECKS {
        assert_eq!((runs(&metrics, check, "fail"), runs(&metrics, check, "void")), (0, 0), "{check}");
    }

    // What is open stays so, and nothing more is opened.
    limit_descriptors(&daemon, 3);
    // A file that cannot be read is no configuration that is gone.
    daemon.rewrite(&config("  - { name: more, simulated: {} }\n"));
    kept.until(|metrics| CHECKS.iter().all(|check| runs(metrics, check, "void") > 3)).await;
    assert_eq!(kept.get("/livez").await, (200, "ok".into()));
    let warning = daemon.logs("runs have no verdict").await;
    assert!(warning.contains("no file descriptor was left for the run"), "{warning}");
    assert!(!warning.contains("hunter2") && !warning.contains("127.0.0.1"), "{warning}");

    limit_descriptors(&daemon, 1024);
    let metrics = kept.until(|metrics| metrics.contains("{check=\"more\",outcome=\"pass\"} 1\n")).await;
    let passed: Vec<u64> = CHECKS.iter().map(|check| runs(&metrics, check, "pass")).collect();
    let more = |metrics: &str| CHECKS.iter().zip(&passed).all(|(check, before)| runs(metrics, check, "pass") > *before);
    let metrics = kept.until(more).await;
    for check in CHECKS {
        assert_eq!(runs(&metrics, check, "fail"), 0, "{check}");
    }
    assert!(!daemon.log().concat().contains("the new configuration cannot be used"), "{:#?}", daemon.log());
    daemon.until_status("/readyz", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_says_nothing_leaves_descriptors_to_the_probes() {
    for limit in ["64", "256"] {
        let app = Fake::start(Act::Answer(http(200, &[], "ok"))).await;
        let config = format!(
            "checks:\n  - {{ name: app, http: {{ url: \"http://localhost:{}/\" }}, gates: [live, ready], interval: 100ms }}\n",
            app.port()
        );
        let daemon = Daemon::start_after(&format!("ulimit -n {limit}"), &config, &[]).await;
        daemon.until_status("/readyz", 200).await;
        let mut crowd = Vec::new();
        for _ in 0..400 {
            crowd.push(TcpStream::connect(daemon.address).await.unwrap());
        }
        let before = runs(&daemon.get("/metrics").await.body, "app", "pass");
        let metrics = daemon.until("/metrics", |reply| runs(&reply.body, "app", "pass") > before + 20).await.body;
        assert_eq!((runs(&metrics, "app", "fail"), runs(&metrics, "app", "void")), (0, 0), "{limit} descriptors");
        assert_eq!(daemon.get("/livez").await.body, "ok");
    }
}

#[tokio::test]
async fn the_limit_is_raised_as_far_as_it_may() {
    let daemon = Daemon::start_after("ulimit -Sn 64 && ulimit -Hn 1000", "checks: []", &[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["1000", "1000"]);
}

#[tokio::test]
async fn no_target_is_blamed_for_want_of_local_ports() {
    let folder = Folder::new();
    let check = "{ name: own, tcp: { address: \"127.0.0.1:10240\" }, interval: 100ms, allow: { bare-tcp: a test } }";
    let config = folder.write("config.yaml", format!("checks: [{check}]"));
    // Nothing but two ports, each of which waits a minute after its connection.
    let script = format!(
        "ip link set lo up && cd /proc/sys/net/ipv4 && echo 50000 50001 > ip_local_port_range && echo 0 > tcp_tw_reuse && \
         exec \"$0\" run --config {config} --listen 127.0.0.1:10240"
    );
    let mut daemon = Daemon::start_through(&["unshare", "-rn", "sh", "-c", &script], &[]).await;
    let warning = daemon.logs("runs have no verdict").await;
    assert!(warning.contains("no local port was left for the run"), "{warning}");
    assert!(!daemon.log().concat().contains("check failed"), "{:#?}", daemon.log());
}
