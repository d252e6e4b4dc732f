//! The kind `grpc` against Go's server and its habits.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use probelet::base::value::Value;
use probelet::probe::grpc::KIND;

use crate::certs::{Authority, Folder};
use crate::grpc_peers::go_server;
use crate::section::SectionBuilder;
use crate::{LONG, said, said_where};

/// Go's server; it ends when dropped.
struct GoServer {
    child: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl GoServer {
    /// A server with these options.
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new(go_server());
        let mut child = command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, output, port: 0 };
        server.port = server.hears().parse().unwrap();
        server
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.hears()
    }

    /// The calls and the connections that have come.
    fn seen(&mut self) -> (u32, u32) {
        let seen = self.tell("calls");
        let (calls, connections) = seen.split_once(' ').unwrap();
        (calls.parse().unwrap(), connections.parse().unwrap())
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for GoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asking(address: impl Into<String>) -> SectionBuilder {
    SectionBuilder::new().text("address", address)
}

/// Over one connection, as far as the server keeps it.
fn kept(section: SectionBuilder) -> SectionBuilder {
    section.with("max_connection_age", Value::Duration(Duration::from_secs(600)))
}

#[tokio::test]
async fn gos_server_is_judged_by_what_it_says_of_each_service() {
    let mut server = GoServer::start(&[]);
    let mut whole = asking(server.address()).probe(&KIND);
    let mut orders = asking(server.address()).text("service", "orders.v1.Orders").probe(&KIND);
    assert_eq!(said(&mut *whole, LONG).await, "pass");
    let unknown = "mismatch: server does not know the service (NOT_FOUND): write `service` as the server registers it, \
                   or leave it out for the server as a whole";
    assert_eq!(said(&mut *orders, LONG).await, unknown);
    for (status, expected) in [
        ("SERVING", "pass"),
        ("NOT_SERVING", "mismatch: the service is NOT_SERVING"),
        ("UNKNOWN", "mismatch: the service is UNKNOWN: it has not set its status"),
        ("SERVING", "pass"),
    ] {
        assert_eq!(server.tell(&format!("orders.v1.Orders={status}")), "set");
        assert_eq!(said(&mut *orders, LONG).await, expected);
    }
    assert_eq!(server.tell("=NOT_SERVING"), "set");
    assert_eq!(said(&mut *whole, LONG).await, "mismatch: the server is NOT_SERVING");
    let bare = GoServer::start(&["-bare"]);
    let expected =
        "protocol: server has no grpc.health.v1.Health (UNIMPLEMENTED): register it there, or write the kind `tcp`";
    assert_eq!(said(&mut *asking(bare.address()).probe(&KIND), LONG).await, expected);
}

#[tokio::test]
async fn metadata_reaches_gos_server_and_its_lack_is_told() {
    let server = GoServer::start(&["-token", "hunter2"]);
    let with = |token: &str| asking(server.address()).texts("metadata", &[("authorization", token)]).probe(&KIND);
    assert_eq!(said(&mut *with("Bearer hunter2"), LONG).await, "pass");
    let refused = "auth: server wants credentials (UNAUTHENTICATED): write them under `metadata`";
    assert_eq!(said(&mut *asking(server.address()).probe(&KIND), LONG).await, refused);
    let wrong = said(&mut *with("Bearer other"), LONG).await;
    assert!(wrong.starts_with("auth: server ") && !wrong.contains("other"), "{wrong}");
}

#[tokio::test]
async fn tls_with_gos_server_is_by_alpn_and_its_lack_is_told_on_both_sides() {
    let (folder, authority) = (Folder::new(), Authority::new("test"));
    let identity = authority.server(&["localhost", "127.0.0.1"]);
    let ca = folder.write("ca.pem", authority.pem());
    let (key, chain) = (folder.write("key.pem", &identity.key), folder.write("chain.pem", &identity.certificate));
    let secure = GoServer::start(&["-key", &key, "-chain", &chain]);
    let trusting = || SectionBuilder::new().text("ca_file", ca.clone());
    assert_eq!(said(&mut *asking(secure.address()).section("tls", trusting()).probe(&KIND), LONG).await, "pass");
    let stranger = asking(secure.address()).section("tls", SectionBuilder::new());
    assert!(said(&mut *stranger.probe(&KIND), LONG).await.starts_with("tls: "));
    let named = asking(secure.address()).section("tls", trusting().text("server_name", "orders.svc"));
    assert!(said(&mut *named.probe(&KIND), LONG).await.starts_with("tls: "));
    let plain = said(&mut *asking(secure.address()).probe(&KIND), LONG).await;
    assert!(plain == "protocol: server speaks TLS: write `tls: {}`" || plain.starts_with("connect: "), "{plain}");
    let server = GoServer::start(&[]);
    let expecting = asking(server.address()).section("tls", trusting());
    assert!(said(&mut *expecting.probe(&KIND), LONG).await.starts_with("tls: "));
}

#[tokio::test]
async fn a_unix_socket_of_gos_server_is_dialled() {
    let folder = Folder::new();
    let path = folder.path().join("app.sock").display().to_string();
    let _server = GoServer::start(&["-network", "unix", "-address", &path]);
    assert_eq!(said(&mut *asking(format!("unix:{path}")).probe(&KIND), LONG).await, "pass");
}

#[tokio::test]
async fn a_kept_connection_gives_gos_server_no_reason_to_close_it() {
    // It closes the connection of a client that sends pings (`too_many_pings`), however seldom.
    let mut server = GoServer::start(&["-pings", "24h"]);
    let mut probe = kept(asking(server.address())).probe(&KIND);
    for _ in 0..50 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
    assert_eq!(server.seen(), (50, 1));
}

#[tokio::test]
async fn a_connection_that_gos_server_lets_grow_no_older_is_followed_by_another() {
    let mut server = GoServer::start(&["-max-age", "30ms"]);
    let mut probe = kept(asking(server.address())).probe(&KIND);
    // Each of the calls passes, also one that comes with the farewell, until the server has closed two connections.
    while server.seen().1 < 3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

#[tokio::test]
async fn gos_server_may_start_anew_between_two_runs() {
    let server = GoServer::start(&[]);
    let address = server.address();
    let mut probe = kept(asking(address.clone())).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    drop(server);
    let server = GoServer::start(&["-address", &address]);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    drop(server);
    assert_eq!(said_where(&mut *probe, "connect: connection refused").await, "connect: connection refused");
}
