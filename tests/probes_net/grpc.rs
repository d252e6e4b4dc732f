//! The kind `grpc`, against Python's server and against servers that misbehave.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use probelet::base::value::Value;
use probelet::probe::Probe;
use probelet::probe::grpc::KIND;

use crate::certs::{Authority, Folder};
use crate::fake::{Act, Fake, http};
use crate::frames::*;
use crate::grpc_peers::python;
use crate::section::SectionBuilder;
use crate::servers::until_stopped;
use crate::{LONG, SHORT, said, said_where};

const SERVER: &str = r#"
import sys, grpc
from concurrent import futures
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
kind, address, *pem = sys.argv[1:]
server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
servicer = health.HealthServicer()
if kind != "bare":
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if pem:
    key, chain = (open(path, "rb").read() for path in pem)
    port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
else:
    port = server.add_insecure_port(address)
server.start()
print(port, flush=True)
for line in sys.stdin:
    service, status = line.strip().split("=")
    servicer.set(service, getattr(health_pb2.HealthCheckResponse, status))
    print("set", flush=True)
server.stop(0)
"#;

/// Python's server; it ends when dropped.
struct PythonServer {
    child: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl PythonServer {
    fn start(kind: &str, address: &str, pem: &[&str]) -> Self {
        let mut command = Command::new(python());
        command.args(["-I", "-c", SERVER, kind, address]).args(pem);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, output, port: 0 };
        server.port = server.hears().parse().unwrap();
        server
    }

    fn plain(kind: &str) -> Self {
        Self::start(kind, "127.0.0.1:0", &[])
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn set(&mut self, service: &str, status: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{service}={status}").unwrap();
        assert_eq!(self.hears(), "set");
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Stops it, until none of its threads runs.
    fn freeze(&self) {
        self.signal("-STOP");
        until_stopped(self.child.id());
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asking(address: impl Into<String>) -> SectionBuilder {
    SectionBuilder::new().text("address", address)
}

#[tokio::test]
async fn pythons_server_is_judged_by_what_it_says_of_each_service() {
    let mut server = PythonServer::plain("health");
    let mut whole = asking(server.address()).probe(&KIND);
    let mut orders = asking(server.address()).text("service", "orders.v1.Orders").probe(&KIND);
    let unknown = "mismatch: server does not know the service (NOT_FOUND): write `service` as the server registers it, \
                   or leave it out for the server as a whole";
    assert_eq!(said(&mut *whole, LONG).await, "pass");
    assert_eq!(said(&mut *orders, LONG).await, unknown);
    for (status, expected) in [
        ("SERVING", "pass"),
        ("NOT_SERVING", "mismatch: the service is NOT_SERVING"),
        ("UNKNOWN", "mismatch: the service is UNKNOWN: it has not set its status"),
        ("SERVICE_UNKNOWN", "mismatch: the service is SERVICE_UNKNOWN: write `service` as the server registers it"),
        ("SERVING", "pass"),
    ] {
        server.set("orders.v1.Orders", status);
        assert_eq!(said(&mut *orders, LONG).await, expected);
    }
    server.set("", "NOT_SERVING");
    assert_eq!(said(&mut *whole, LONG).await, "mismatch: the server is NOT_SERVING");
}

#[tokio::test]
async fn a_server_without_the_health_service_says_so() {
    let server = PythonServer::plain("bare");
    let expected =
        "protocol: server has no grpc.health.v1.Health (UNIMPLEMENTED): register it there, or write the kind `tcp`";
    assert_eq!(said(&mut *asking(server.address()).probe(&KIND), LONG).await, expected);
}

#[tokio::test]
async fn a_unix_socket_is_dialled() {
    let folder = Folder::new();
    let path = folder.path().join("app.sock").display().to_string();
    let _server = PythonServer::start("health", &format!("unix:{path}"), &[]);
    assert_eq!(said(&mut *asking(format!("unix:{path}")).probe(&KIND), LONG).await, "pass");
    assert_eq!(said(&mut *asking(format!("unix://{path}")).probe(&KIND), LONG).await, "pass");
}

#[tokio::test]
async fn a_server_that_freezes_or_starts_anew_is_seen_over_a_kept_connection() {
    let server = PythonServer::plain("health");
    let (port, address) = (server.port, server.address());
    let mut probe =
        asking(address.clone()).with("max_connection_age", Value::Duration(Duration::from_secs(60))).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    server.freeze();
    assert!(said(&mut *probe, SHORT).await.starts_with("timeout: "));
    server.signal("-CONT");
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    drop(server);
    assert_eq!(said_where(&mut *probe, "connect: connection refused").await, "connect: connection refused");
    let _server = PythonServer::start("health", &format!("127.0.0.1:{port}"), &[]);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_declared_and_missed_where_it_is_not() {
    let (folder, authority) = (Folder::new(), Authority::new("test"));
    let identity = authority.server(&["localhost", "127.0.0.1"]);
    let ca = folder.write("ca.pem", authority.pem());
    let (key, chain) = (folder.write("key.pem", &identity.key), folder.write("chain.pem", &identity.certificate));
    let secure = PythonServer::start("health", "127.0.0.1:0", &[&key, &chain]);
    let trusting = || SectionBuilder::new().text("ca_file", ca.clone());
    assert_eq!(said(&mut *asking(secure.address()).section("tls", trusting()).probe(&KIND), LONG).await, "pass");
    let stranger = asking(secure.address()).section("tls", SectionBuilder::new());
    assert!(said(&mut *stranger.probe(&KIND), LONG).await.starts_with("tls: "));
    let plain = said(&mut *asking(secure.address()).probe(&KIND), LONG).await;
    assert!(plain == "protocol: server speaks TLS: write `tls: {}`" || plain.starts_with("connect: "), "{plain}");
    let server = PythonServer::plain("health");
    let expecting = asking(server.address()).section("tls", trusting());
    assert!(said(&mut *expecting.probe(&KIND), LONG).await.starts_with("tls: "));
}

/// What a server of HTTP/2 says: its settings, a head, data and trailers.
fn says(status: &str, kind: &str, data: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    let head = block(&[(":status", status), ("content-type", kind)]);
    let mut said =
        [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, 0, 1, data)].concat();
    said.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
    said
}

#[tokio::test]
async fn each_trouble_has_its_name_and_is_over_once_it_is_mended() {
    let serving = || says("200", "application/grpc", b"\0\0\0\0\x02\x08\x01", &[("grpc-status", "0")]);
    let settings = || frame(SETTINGS, 0, 0, &[]);
    let trailers_only = |code: &str| {
        let block = block(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", code)]);
        [settings(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)].concat()
    };
    let cases = [
        (Act::Refuse, "connect: connection refused"),
        (Act::Silent, "timeout: waiting for the answer"),
        (Act::ResetAfter(vec![]), "connect: connection reset"),
        (Act::ResetAfter(settings()), "connect: connection reset"),
        (
            Act::Answer(http(400, &[], "")),
            "protocol: server speaks HTTP/1.1 and not HTTP/2, which gRPC needs: write the port of gRPC, `tls: {}` where it \
             wants TLS, or the kind `http`",
        ),
        (Act::Answer(b"\x15\x03\x01\0\x02\x02\x46".to_vec()), "protocol: server speaks TLS: write `tls: {}`"),
        (
            Act::Answer(b"-ERR unknown command 'PRI'\r\n".to_vec()),
            "protocol: server does not speak HTTP/2, which gRPC needs: write the port of gRPC",
        ),
        (Act::Answer(settings()), "timeout: waiting for the answer"),
        (
            Act::Answer([settings(), frame(GOAWAY, 0, 0, &[0; 8])].concat()),
            "connect: server closes the connection (HTTP/2 GOAWAY)",
        ),
        (
            Act::Answer([settings(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])].concat()),
            "protocol: server refuses the request (HTTP/2 REFUSED_STREAM)",
        ),
        (
            Act::Answer(says("503", "text/html", b"<html>", &[])),
            "protocol: returned status 503 and not gRPC: a proxy on the way does not reach the server",
        ),
        (
            Act::Answer(says("200", "text/html", b"<html>", &[])),
            "protocol: answer is not of gRPC, by its content type: write the address of the gRPC server",
        ),
        (
            Act::Answer(says("200", "application/grpc", b"\0\0\0\0\x02\x08\x01", &[("x", "y")])),
            "protocol: answer ends without a grpc-status: a proxy on the way may drop trailers",
        ),
        (
            Act::Answer(says("200", "application/grpc", b"\x01\0\0\0\x02\x08\x01", &[("grpc-status", "0")])),
            "protocol: answer is compressed, which was not asked for",
        ),
        (
            Act::Answer(says("200", "application/grpc", &[0; 5000], &[("grpc-status", "0")])),
            "protocol: answer is longer than 4 KiB: no answer about health is",
        ),
        (
            Act::Answer(trailers_only("16")),
            "auth: server wants credentials (UNAUTHENTICATED): write them under `metadata`",
        ),
        (
            Act::Answer(trailers_only("14")),
            "protocol: server, or a proxy on the way to it, is not available (UNAVAILABLE)",
        ),
        (Act::Answer(trailers_only("0")), "protocol: answer has no message"),
    ];
    let fake = Fake::refuses().await;
    let mut probe = asking(fake.address().to_string()).probe(&KIND);
    for (act, expected) in cases {
        fake.act(act).await;
        assert_eq!(said_where(&mut *probe, expected).await, expected);
        fake.mend(serving()).await;
        assert_eq!(said(&mut *probe, LONG).await, "pass", "after {expected}");
    }
    for act in [Act::garbage(), Act::Endless(settings(), frame(PING, 0, 0, &[0; 8]))] {
        fake.act(act).await;
        let said = said(&mut *probe, Duration::from_secs(2)).await;
        assert!(["protocol: ", "connect: ", "timeout: "].iter().any(|kind| said.starts_with(kind)), "{said}");
    }
}

#[tokio::test]
async fn what_an_expansion_brought_and_a_credential_stay_secret() {
    let fake =
        Fake::answers(says("200", "application/grpc", b"", &[("grpc-status", "16"), ("grpc-message", "hunter2")]))
            .await;
    let section = || asking(fake.address().to_string());
    for section in [
        section().expanded("metadata", &[("tenant", "hunter2")]),
        section().texts("metadata", &[("authorization", "Bearer hunter2")]),
    ] {
        let mut probe: Box<dyn Probe> = section.probe(&KIND);
        let failure = probe.observe(&probelet::probe::RunContext::default()).await.unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
}
