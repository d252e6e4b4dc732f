//! Everybody who asks gets the same verdict in the way they understand: load balancers, kubelet, curl, Python.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::daemon::{Daemon, PATIENCE, Reply, exchange};
use crate::support::fake::{Act, Fake, http};
use crate::support::grpc;
use crate::support::proxies::{Backend, Haproxy, Nginx};
use crate::support::servers::{is_open, program, until};

/// A sidecar whose verdict the test chooses: it watches a database, which is critical, and a cache, which is not.
pub struct Sidecar {
    /// Its daemon.
    pub daemon: Daemon,
    database: Fake,
    cache: Fake,
}

const VERDICTS: [&str; 3] = ["ok", "degraded", "error"];

impl Sidecar {
    /// One that says `ok`.
    pub async fn start() -> Self {
        let (database, cache) = (Fake::answers(http(200, &[], "")).await, Fake::answers(http(200, &[], "")).await);
        let check = |name: &str, fake: &Fake, critical: bool| {
            let url = format!("http://127.0.0.1:{}/", fake.port());
            format!("  - {{ name: {name}, http: {{ url: \"{url}\" }}, interval: 100ms, critical: {critical} }}\n")
        };
        let checks = check("database", &database, true) + &check("cache", &cache, false);
        let daemon = Daemon::start(&format!("checks:\n{checks}")).await;
        let sidecar = Self { daemon, database, cache };
        sidecar.until("ok").await;
        sidecar
    }

    /// Makes the verdict this one, and waits until everybody is told.
    pub async fn turn(&self, verdict: &str) {
        let act = |well: bool| Act::Answer(http(if well { 200 } else { 500 }, &[], ""));
        // Nothing is cut: a run in between would have seen a reset, and said so.
        self.database.act_without_cutting(act(verdict != "error"));
        self.cache.act_without_cutting(act(verdict == "ok"));
        self.until(verdict).await;
    }

    async fn until(&self, verdict: &str) {
        let state = |well: bool| if well { "ok" } else { "error" };
        self.daemon.until_state("database", state(verdict != "error")).await;
        self.daemon.until_state("cache", state(verdict == "ok")).await;
        let reply = self.daemon.get("/healthz").await;
        assert_eq!(reply.header("x-health-status"), Some(verdict), "{reply:?}");
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.address)
    }
}

/// The code of an endpoint that closes with readiness.
fn code(verdict: &str) -> u16 {
    if verdict == "error" { 503 } else { 200 }
}

/// An app that answers everything with its name.
pub async fn app(name: &str) -> Fake {
    Fake::answers(http(200, &[], name)).await
}

/// Asks a proxy, on a connection of its own.
pub async fn through(port: u16) -> Reply {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    exchange(address, b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await
}

/// Which apps answer, in the order of their names.
pub async fn who_answers(port: u16) -> String {
    let mut seen = Vec::new();
    for _ in 0..8 {
        let reply = through(port).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        seen.push(reply.body);
    }
    seen.sort();
    seen.dedup();
    seen.concat()
}

#[tokio::test]
async fn haproxy_takes_a_backend_out_when_its_sidecar_says_so_and_in_again() {
    let ways = [
        "option httpchk",
        "option httpchk GET /readyz",
        "option httpchk /healthz",
        "option httpchk /health",
        "option httpchk GET /healthz",
        "option httpchk GET /health",
        "option httpchk HEAD /readyz",
        "option httpchk\nhttp-check send meth GET uri /healthz ver HTTP/1.1 hdr Host sidecar",
        "option httpchk\nhttp-check send meth GET uri /health ver HTTP/1.1 hdr Host sidecar\n\
         http-check expect rstring '\"status\":\"(healthy|degraded)\"'",
    ];
    let (a, b) = (Sidecar::start().await, Sidecar::start().await);
    let (app_a, app_b) = (app("a").await, app("b").await);
    let backends = [(&app_a, &a), (&app_b, &b)]
        .map(|(app, sidecar)| Backend { app: app.address(), sidecar: sidecar.daemon.address });
    let haproxy = Haproxy::start(&ways, &backends);
    let both_answer = async |who: &str| {
        for (way, port) in ways.iter().zip(&haproxy.ports) {
            assert_eq!(who_answers(*port).await, who, "{way}");
        }
    };
    haproxy.until_all_think("a", "UP L7OK 200").await;
    haproxy.until_all_think("b", "UP L7OK 200").await;
    both_answer("ab").await;

    a.turn("error").await;
    haproxy.until_all_think("a", "DOWN L7").await;
    both_answer("b").await;

    a.turn("degraded").await;
    haproxy.until_all_think("a", "UP L7OK 200").await;
    both_answer("ab").await;

    b.daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    haproxy.until_all_think("b", "DOWN L7").await;
    both_answer("a").await;
    b.daemon.ask("DELETE", "/-/drain", "").await;
    haproxy.until_all_think("b", "UP L7OK 200").await;
    both_answer("ab").await;
}

#[tokio::test]
async fn nginx_takes_a_backend_out_when_its_sidecar_says_so_and_in_again() {
    let (a, b) = (Sidecar::start().await, Sidecar::start().await);
    let (app_a, app_b) = (app("a").await, app("b").await);
    let backends = [(&app_a, &a), (&app_b, &b)]
        .map(|(app, sidecar)| Backend { app: app.address(), sidecar: sidecar.daemon.address });
    for path in ["/healthz", "/health", "/readyz"] {
        let nginx = Nginx::start(backends, path);
        until("nginx listens", || is_open(nginx.passing_over) && is_open(nginx.asking_first));
        let (only_a, only_b) = (a.daemon.address.to_string(), b.daemon.address.to_string());
        let asked = async || {
            let reply = through(nginx.passing_over).await;
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            reply.header("x-upstream").expect("nginx says whom it asked").to_owned()
        };
        let until_asked = async |wanted: &str| {
            let wait = async {
                while asked().await != wanted {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{path}: {wanted} is never asked"));
        };
        until_asked(&only_a).await;
        until_asked(&only_b).await;
        assert_eq!(who_answers(nginx.asking_first).await, "a");

        a.turn("error").await;
        assert_eq!(who_answers(nginx.asking_first).await, "b");
        // It learns that a sidecar is closed from a request, which the other one then answers; from then on it leaves
        // the closed one alone for a while.
        until_asked(&format!("{only_a}, {only_b}")).await;
        let learned = Instant::now();
        for _ in 0..10 {
            let asked = asked().await;
            assert!(asked == only_b || learned.elapsed() > Duration::from_secs(2), "{path}: {asked} is asked");
        }

        a.turn("ok").await;
        assert_eq!(who_answers(nginx.asking_first).await, "a");
        until_asked(&only_a).await;
        b.turn("error").await;
        until_asked(&format!("{only_b}, {only_a}")).await;
        b.turn("ok").await;
        until_asked(&only_b).await;
    }
}

/// The lines that a program prints, and how it ended.
fn output(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().expect("it can be started");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("it prints text"), output.status.code())
}

fn curl() -> Command {
    let mut curl = Command::new(program("curl", "curl"));
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    curl
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_ends_with_the_verdict() {
    let sidecar = Sidecar::start().await;
    for verdict in VERDICTS {
        sidecar.turn(verdict).await;
        for path in ["/readyz", "/healthz", "/health", "/ready", "/"] {
            let url = sidecar.url(path);
            let expected = if verdict == "error" { Some(22) } else { Some(0) };
            for how in [&["--fail"][..], &["--fail", "--http1.0"], &["--fail", "--head"], &["--fail", "-X", "OPTIONS"]]
            {
                let (said, exit) = output(curl().args(how).args(["--output", "/dev/null", &url]));
                assert_eq!(exit, expected, "{verdict}: curl {how:?} {path}: {said}");
            }
        }
        // Two answers on one connection: the second needs none of its own.
        let write = ["--write-out", "%{http_code} %{num_connects}\n"];
        let (live, health) = (sidecar.url("/livez"), sidecar.url("/healthz?format=json"));
        let discard = ["--output", "/dev/null", "--output", "/dev/null"];
        let (said, _) = output(curl().args(write).args(discard).args([&live, &health]));
        assert_eq!(said, format!("200 1\n{} 0\n", code(verdict)));
    }
}

/// Asks for everything with every method on one connection, and prints what came.
const PYTHON: &str = r#"
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
ports = set()
for path in ["/livez", "/readyz", "/startupz", "/healthz", "/healthz?format=json", "/health", "/alive", "/ready", "/"]:
    seen = []
    for method in ["GET", "HEAD", "OPTIONS"]:
        connection.request(method, path)
        ports.add(connection.sock.getsockname()[1])
        answer = connection.getresponse()
        body = answer.read()
        length = int(answer.getheader("Content-Length"))
        assert length > 0 and len(body) == (0 if method == "HEAD" else length), (method, path)
        if body and answer.getheader("Content-Type") == "application/json":
            json.loads(body)
        seen.append((answer.status, answer.getheader("X-Health-Status")))
    assert seen[0] == seen[1] == seen[2], seen
    print(path, *seen[0])
print(len(ports), "connection")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn python_asks_everything_on_one_connection() {
    let sidecar = Sidecar::start().await;
    for verdict in VERDICTS {
        sidecar.turn(verdict).await;
        let port = sidecar.daemon.address.port().to_string();
        let (said, _) = output(Command::new(program("python3", "python3")).args(["-c", PYTHON, &port]));
        let closing = format!("{} {verdict}", code(verdict));
        // Nothing gates life here, and to start takes no more than a first run of each check.
        let starting = if verdict == "ok" { "ok" } else { "degraded" };
        let expected = format!(
            "/livez 200 ok\n/readyz {closing}\n/startupz 200 {starting}\n/healthz {closing}\n/healthz?format=json {closing}\n\
             /health {closing}\n/alive 200 ok\n/ready {closing}\n/ {closing}\n1 connection\n"
        );
        assert_eq!(said, expected);
    }
}

/// What kubelet makes of an answer: success or not, and the text that it keeps.
async fn kubelet(address: SocketAddr, path: &str) -> (bool, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    // Kubelet itself waits for a second; how long a busy machine takes is not the question here.
    let probe = tokio::time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it takes the request");
        let (mut answer, mut most) = (Vec::new(), u64::MAX);
        let mut head = None;
        // At most 10 KiB of the body are read; the connection is closed with whatever comes after that.
        while head.is_none_or(|head| (answer.len() as u64) < head + 10 * 1024) {
            let room = most.min(4096);
            if (&mut stream).take(room).read_buf(&mut answer).await.expect("it answers") == 0 {
                break;
            }
            let end = || answer.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end as u64 + 4);
            head = head.or_else(end);
            most = head.map_or(u64::MAX, |head| (head + 10 * 1024).saturating_sub(answer.len() as u64));
        }
        answer
    });
    let answer = probe.await.unwrap_or_else(|_| panic!("{path} is not answered"));
    let answer = String::from_utf8(answer).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("the head is there");
    let code: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("there is a code");
    ((200..400).contains(&code), body.to_owned())
}

#[tokio::test]
async fn kubelet_gets_every_verdict_within_its_second_and_its_ten_kibibytes() {
    let sidecar = Sidecar::start().await;
    let address = sidecar.daemon.address;
    for verdict in VERDICTS {
        sidecar.turn(verdict).await;
        assert_eq!(kubelet(address, "/livez").await, (true, "ok".into()));
        assert_eq!(kubelet(address, "/startupz").await, (true, "ok".into()));
        let ready = match verdict {
            "error" => (
                false,
                "[-]database failed: returned status 500\n[+]cache failed: returned status 500\n\
                 readyz check failed: root cause database\n"
                    .into(),
            ),
            _ => (true, "ok".into()),
        };
        assert_eq!(kubelet(address, "/readyz").await, ready);
    }
}

#[tokio::test]
async fn kubelet_reads_the_root_cause_of_hundreds_of_failures_and_leaves_early_without_harm() {
    let message = "It is down, and the reason for it is a long story. ".repeat(3);
    let mut config = "checks:\n".to_owned();
    for number in 0..300 {
        let after = if number == 0 { "[]" } else { "[service_0]" };
        config += &format!(
            "  - {{ name: service_{number}, simulated: {{ error_rate: 1, error_message: \"{message}\" }}, interval: 1s, \
             depends_on: {after} }}\n"
        );
    }
    let daemon = Daemon::start(&config).await;
    // Before its first run it is a root cause, too.
    daemon.until_state("service_0", "error").await;
    daemon.until("/readyz", |reply| reply.body.contains("root cause service_0\n")).await;
    let (ready, body) = kubelet(daemon.address, "/readyz").await;
    assert!(!ready && body.len() < 10 * 1024, "{} bytes", body.len());
    assert!(body.ends_with("readyz check failed: root cause service_0\n"), "{body}");
    let before = daemon.descriptors();
    for _ in 0..20 {
        let (_, cut) = kubelet(daemon.address, "/healthz?format=json").await;
        assert_eq!(cut.len(), 10 * 1024, "it is longer than kubelet reads");
    }
    assert_eq!(kubelet(daemon.address, "/livez").await, (true, "ok".into()));
    daemon.until_descriptors(before).await;
}

/// Asks each service of gRPC that is named, then watches the first until it has heard as many changes as it is told.
const PYTHON_CLIENT: &str = r#"
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
address, changes, *services = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name
    for service in services:
        try:
            print(name(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status))
        except grpc.RpcError as error:
            print(error.code().name)
    watching = stub.Watch(health_pb2.HealthCheckRequest(service=services[0]))
    for _ in range(int(changes)):
        print(name(next(watching).status), flush=True)
    watching.cancel()
"#;

fn python(sidecar: &Sidecar, changes: u8, services: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(grpc::python());
    command.args(["-I", "-c", PYTHON_CLIENT, &sidecar.daemon.address.to_string(), &changes.to_string()]);
    command.args(services).kill_on_drop(true);
    command
}

#[tokio::test]
async fn pythons_grpc_asks_and_watches() {
    use tokio::io::AsyncBufReadExt as _;

    let sidecar = Sidecar::start().await;
    let services = ["readiness", "", "liveness", "startup", "database", "cache", "nobody"];
    for (verdict, readiness, cache) in
        [("ok", "SERVING", "SERVING"), ("degraded", "SERVING", "NOT_SERVING"), ("error", "NOT_SERVING", "NOT_SERVING")]
    {
        sidecar.turn(verdict).await;
        let output = python(&sidecar, 0, &services).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let expected = [readiness, readiness, "SERVING", "SERVING", readiness, cache, "NOT_FOUND"];
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), expected, "{verdict} {:?}", output.stderr);
    }
    let mut watching = python(&sidecar, 3, &["readiness"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut hears = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it is told in time");
        line.unwrap().unwrap()
    };
    assert_eq!([hears().await, hears().await], ["NOT_SERVING"; 2], "the check, and the first of the watch");
    sidecar.turn("ok").await;
    assert_eq!(hears().await, "SERVING");
    // The drain is told at once.
    sidecar.daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    assert_eq!(hears().await, "NOT_SERVING");
    assert!(watching.wait().await.unwrap().success());
}

#[tokio::test]
async fn gos_health_probe_goes_by_the_verdict() {
    let probe = grpc::go_probe();
    let sidecar = Sidecar::start().await;
    let asks = |service: &str| {
        let address = format!("-addr={}", sidecar.daemon.address);
        let limits = ["-connect-timeout=20s", "-rpc-timeout=20s"];
        let mut command = Command::new(probe);
        command.arg(address).args(limits).arg(format!("-service={service}")).output().unwrap().status.code()
    };
    for (verdict, readiness) in [("ok", Some(0)), ("degraded", Some(0)), ("error", Some(4))] {
        sidecar.turn(verdict).await;
        assert_eq!((asks(""), asks("readiness")), (readiness, readiness), "{verdict}");
        assert_eq!((asks("liveness"), asks("nobody")), (Some(0), Some(3)), "{verdict}");
    }
}

#[tokio::test]
async fn curl_gets_the_same_answers_over_http_2() {
    let sidecar = Sidecar::start().await;
    let asks = |path: &str, way: &str| {
        let url = sidecar.url(path);
        let output =
            Command::new(program("curl", "curl")).args(["-s", "-w", "\n%{http_code}", way, &url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for verdict in VERDICTS {
        sidecar.turn(verdict).await;
        for path in ["/readyz?verbose", "/livez", "/alive", "/ready", "/healthz?format=text", "/nowhere"] {
            // A run or a second that lies between the two shows in some of them, on a busy machine above all.
            let both = || (asks(path, "--http2-prior-knowledge"), asks(path, "--http1.1"));
            let (over_2, over_1) =
                std::iter::repeat_with(both).take(10).find(|(two, one)| two == one).unwrap_or_else(both);
            assert_eq!(over_2, over_1, "{verdict} {path}");
        }
    }
}
