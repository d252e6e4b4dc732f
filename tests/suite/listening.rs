//! Where the daemon listens: one family, both, several addresses, all of them before the first probe, or none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use crate::support::certs::Folder;
use crate::support::daemon::{Daemon, exchange};

const WELL: &str = "checks:\n  - { name: well, simulated: {}, interval: 100ms }\n";
const ASK: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Whether this machine has IPv6 at all.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Where the daemon says that it listens.
fn addresses(daemon: &Daemon) -> Vec<SocketAddr> {
    let lines = daemon.log().into_iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let told = lines.filter(|line| line["message"] == "listening");
    told.map(|line| line["address"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn one_family_both_and_several_addresses_are_listened_on_at_once() {
    let ipv6 = has_ipv6();
    let mut arguments = vec!["--listen", ":0", "--listen", "127.0.0.2:0"];
    if ipv6 {
        arguments.extend(["--listen", "[::1]:0"]);
    }
    let mut daemon = Daemon::start_with(WELL, &arguments, &[]).await;
    daemon.logs_from(0, arguments.last().unwrap().trim_end_matches('0')).await;
    let addresses = addresses(&daemon);
    let told: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    let all: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut expected = vec![Ipv4Addr::LOCALHOST.into(), all, Ipv4Addr::new(127, 0, 0, 2).into()];
    expected.extend(ipv6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert_eq!(told, expected);

    let mut clients = addresses.clone();
    // The one for all addresses takes clients of either family.
    clients[1].set_ip(Ipv4Addr::LOCALHOST.into());
    if ipv6 {
        clients.push(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addresses[1].port()));
    }
    for client in clients {
        assert_eq!(exchange(client, ASK).await.body, "ok", "{client}");
    }
}

#[test]
fn one_address_that_is_taken_ends_it_with_3_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::new();
    let listen = format!("server: {{ listen: [\"127.0.0.1:0\", \"{address}\", \"127.0.0.2:0\"] }}\n{WELL}");
    let path = folder.write("config.yaml", listen);
    for serve in [&[][..], &["--config-error", "serve"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_probelet"))
            .args(["run", "--config", &path])
            .args(serve)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let complaint = format!(
            "error: cannot listen on {address}: the address is in use; end the process that has it, or change \
             `server.listen` or `--listen`\n"
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), complaint);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b""[..]));
    }
}

#[tokio::test]
async fn each_address_answers_what_is_declared_for_it_also_after_a_reload() {
    let config = |routes: &str| {
        format!("server: {{ listen: [{{ address: \"127.0.0.2:0\", routes: {routes} }}, \"127.0.0.1:0\"] }}\n{WELL}")
    };
    // What the command line names is as the file declares it.
    let mut daemon = Daemon::start_with(&config("probes"), &["--listen", "127.0.0.2:0"], &[]).await;
    daemon.logs_from(0, "127.0.0.2:").await;
    let narrow = addresses(&daemon)[1];
    assert_eq!(narrow.ip(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let status = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        exchange(narrow, request.as_bytes()).await.status
    };
    daemon.until_status("/readyz", 200).await;
    let statuses = [status("/readyz").await, status("/metrics").await, status("/healthz").await, status("/").await];
    assert_eq!(statuses, [200, 404, 404, 404]);
    assert_eq!(daemon.get("/healthz").await.status, 200);
    // The address is the same: what it answers changes with the configuration.
    daemon.rewrite(&config("metrics"));
    daemon.signal(rustix::process::Signal::HUP);
    let told = daemon.logs("the address answers other routes").await;
    assert!(told.contains(r#""routes":"metrics""#), "{told}");
    assert_eq!([status("/readyz").await, status("/metrics").await, status("/healthz").await], [200, 200, 404]);
    assert!(!daemon.log().concat().contains("needs a restart"));
}

#[tokio::test]
async fn it_listens_before_the_first_probe() {
    // The demo looks at its own port: a probe that came before the listener would be refused.
    let daemon = Daemon::demo().await;
    let ran = |metrics: &str, check: &str| {
        let pass = format!("healthcheck_runs_total{{check=\"{check}\",outcome=\"pass\"}} ");
        metrics.lines().any(|line| line.strip_prefix(&pass).is_some_and(|runs| runs != "0"))
    };
    let checks = ["sidecar/port", "sidecar/health", "sidecar/tour"];
    let metrics = daemon.until("/metrics", |reply| checks.iter().all(|check| ran(&reply.body, check))).await.body;
    for check in checks {
        let refused = format!("healthcheck_failures_total{{check=\"{check}\",reason=\"connect\"}} 0\n");
        assert!(metrics.contains(&refused), "{check} was refused");
    }
}
