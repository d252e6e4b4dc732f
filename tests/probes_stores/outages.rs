//! What only new connections see is seen within the age of a kept connection and a run, and is over with the first run
//! after it is mended; what only the old connection sees is not seen at all.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use probelet::base::value::Value;
use probelet::model::outcome::ProbeResult;
use probelet::probe::net::Network;
use probelet::probe::{Probe, ProbeKind, RunContext, amqp, http, postgres, redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::certs::Authority;
use crate::support::fake::{self, Fake};
use crate::support::redis::Redis;
use crate::support::section::SectionBuilder;

/// How long a connection serves here.
const AGE: Duration = Duration::from_millis(300);

/// What a run may take.
const BUDGET: Duration = Duration::from_secs(4);

/// What the scheduler would say of a run.
async fn said(probe: &mut dyn Probe) -> String {
    let run = RunContext { budget: BUDGET, ..RunContext::default() };
    match timeout(BUDGET, probe.observe(&run)).await {
        Ok(result) => in_words(result),
        Err(_) => "the time is up".into(),
    }
}

fn in_words(result: ProbeResult) -> String {
    result.map_or_else(|failure| failure.message, |_| "pass".into())
}

/// Observes until the outage is seen, which began just now: in no run that begins when the connection is too old may it
/// be unseen.
async fn until_seen(probe: &mut dyn Probe, what: &str, expected: &str) {
    let outage = Instant::now();
    loop {
        let began = outage.elapsed();
        let said = said(probe).await;
        if said != "pass" {
            assert!(said.contains(expected), "{what}: {said}");
            return;
        }
        assert!(began < AGE, "{what} is not seen after {began:?}");
    }
}

async fn passes(probe: &mut dyn Probe, what: &str) {
    assert_eq!(said(probe).await, "pass", "{what}");
}

fn probe(kind: &'static ProbeKind, url: String) -> Box<dyn Probe> {
    aged(url).probe(kind)
}

fn aged(url: String) -> SectionBuilder {
    SectionBuilder::new().text("url", url).with("max_connection_age", Value::Duration(AGE))
}

/// What a gate does with new connections; those there are, it serves on.
#[derive(Clone, Copy)]
enum Gate {
    /// Passes them on.
    Open,
    /// Closes them: a proxy has taken its backend out.
    TakesOut,
    /// Does not accept them, and its queue is full.
    Full,
}

/// A proxy before a port.
struct Proxy {
    address: SocketAddr,
    gate: Arc<AtomicU8>,
    waiting: Mutex<Vec<TcpStream>>,
    to: Arc<Mutex<u16>>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn before(port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, to) = (Arc::new(AtomicU8::new(Gate::Open as u8)), Arc::new(Mutex::new(port)));
        let (state, target) = (Arc::clone(&gate), Arc::clone(&to));
        let task = tokio::spawn(async move {
            loop {
                if state.load(Ordering::SeqCst) == Gate::Full as u8 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                // Not for long, so that it looks again whether it is to accept.
                let Ok(Ok((mut stream, _))) = timeout(Duration::from_millis(5), listener.accept()).await else {
                    continue;
                };
                if state.load(Ordering::SeqCst) == Gate::TakesOut as u8 {
                    continue;
                }
                let port = *target.lock().unwrap();
                tokio::spawn(async move {
                    let mut real = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut real).await;
                });
            }
        });
        Self { address, gate, waiting: Mutex::default(), to, task }
    }

    async fn turn(&self, gate: Gate) {
        self.gate.store(gate as u8, Ordering::SeqCst);
        self.waiting.lock().unwrap().clear();
        if matches!(gate, Gate::Full) {
            // Longer than it may still accept.
            while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(self.address)).await {
                self.waiting.lock().unwrap().push(stream);
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_does_to_new_connections_is_seen() {
    let web = Fake::answers(fake::http(200, &[], "ok")).await;
    let kinds: [(&'static ProbeKind, u16, &str); 4] = [
        (&http::KIND, web.port(), "http://"),
        (&postgres::KIND, crate::postgres::port(), "postgres://probe:hunter2@"),
        (&redis::KIND, crate::redis::port(), "redis://:hunter2@"),
        (&amqp::KIND, crate::amqp::port(), "amqp://probe:hunter2@"),
    ];
    for (kind, port, scheme) in kinds {
        let proxy = Proxy::before(port).await;
        let path = if kind.name == "postgres" { "orders?sslmode=disable" } else { "" };
        let mut probe = probe(kind, format!("{scheme}{}/{path}", proxy.address));
        for (what, gate, expected) in
            [("taken out", Gate::TakesOut, "connection"), ("accepts no more", Gate::Full, "the time is up")]
        {
            let what = format!("{}: {what}", kind.name);
            passes(&mut *probe, &what).await;
            proxy.turn(gate).await;
            until_seen(&mut *probe, &what, expected).await;
            proxy.turn(Gate::Open).await;
            passes(&mut *probe, &what).await;
        }
        // Moved behind the same name.
        let moved = Arc::new(Mutex::new(Ipv4Addr::LOCALHOST));
        let address = Arc::clone(&moved);
        let network = Network::resolving_with(move |_| {
            let address = *address.lock().unwrap();
            Box::pin(async move { Ok(vec![IpAddr::V4(address)]) })
        });
        let url = format!("{scheme}store.test:{port}/{path}");
        let mut probe = aged(url).probe_on(kind, &Arc::new(network));
        let what = format!("{}: moved behind its name", kind.name);
        passes(&mut *probe, &what).await;
        // Nobody listens there.
        *moved.lock().unwrap() = Ipv4Addr::new(127, 9, 9, 9);
        until_seen(&mut *probe, &what, "connection refused").await;
        *moved.lock().unwrap() = Ipv4Addr::LOCALHOST;
        passes(&mut *probe, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_new_connection_is_seen() {
    let mut admin = crate::postgres::admin().await;
    admin.tell("CREATE ROLE outage LOGIN PASSWORD 'hunter2'").await;
    let port = crate::postgres::port();
    let url = format!("postgres://outage:hunter2@localhost:{port}/orders?sslmode=disable");
    let mut probe = probe(&postgres::KIND, url);
    for (outage, mend, expected) in [
        ("ALTER ROLE outage CONNECTION LIMIT 0", "ALTER ROLE outage CONNECTION LIMIT -1", "53300"),
        ("ALTER ROLE outage PASSWORD 'changed'", "ALTER ROLE outage PASSWORD 'hunter2'", "password"),
    ] {
        passes(&mut *probe, outage).await;
        admin.tell(outage).await;
        until_seen(&mut *probe, outage, expected).await;
        admin.tell(mend).await;
        passes(&mut *probe, mend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_takes_no_new_connection_is_seen() {
    let control = |arguments: &'static [&'static str]| crate::amqp::control(arguments);
    let port = crate::amqp::port();
    control(&["add_vhost", "outage"]);
    control(&["add_user", "outage", "hunter2"]);
    control(&["set_permissions", "-p", "outage", "outage", ".*", ".*", ".*"]);
    let mut probe = probe(&amqp::KIND, format!("amqp://outage:hunter2@localhost:{port}/outage"));
    passes(&mut *probe, "before").await;
    control(&["set_vhost_limits", "-p", "outage", r#"{"max-connections": 0}"#]);
    until_seen(&mut *probe, "no connection left", "the broker has no connection left (530)").await;
    control(&["clear_vhost_limits", "-p", "outage"]);
    passes(&mut *probe, "there are connections").await;
    control(&["change_password", "outage", "changed"]);
    until_seen(&mut *probe, "changed password", "user or password are wrong (403)").await;
    control(&["change_password", "outage", "hunter2"]);
    passes(&mut *probe, "the password is back").await;
}

/// Tells a Redis something, over a connection of its own that ends with it.
struct Admin(TcpStream);

impl Admin {
    async fn of(redis: &Redis) -> Self {
        let mut admin = Self(TcpStream::connect(("127.0.0.1", redis.port)).await.unwrap());
        admin.tell("AUTH hunter2").await;
        admin
    }

    async fn tell(&mut self, command: &str) {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 5];
        self.0.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"+OK\r\n", "{command}");
    }
}

fn a_redis() -> Redis {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    Redis::start(&authority.server(&["localhost"]), &clients, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_new_connection_or_is_demoted_is_seen() {
    let server = a_redis();
    let mut admin = Admin::of(&server).await;
    let section = aged(server.url(":hunter2")).with("role", Value::Word("primary"));
    let mut probe = section.probe(&redis::KIND);
    for (outage, mend, expected) in [
        ("CONFIG SET maxclients 1", "CONFIG SET maxclients 100", "connection"),
        ("CONFIG SET requirepass changed", "CONFIG SET requirepass hunter2", "user or password are wrong"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "the role of the server is replica, not primary"),
    ] {
        passes(&mut *probe, outage).await;
        admin.tell(outage).await;
        until_seen(&mut *probe, outage, expected).await;
        admin.tell(mend).await;
        passes(&mut *probe, mend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hands_over_to_another_behind_a_proxy_is_not_seen() {
    let (one, other) = (a_redis(), a_redis());
    let proxy = Proxy::before(one.port).await;
    let section = SectionBuilder::new().text("url", format!("redis://:hunter2@{}", proxy.address));
    let mut probe = section.with("role", Value::Word("primary")).probe(&redis::KIND);
    passes(&mut *probe, "before").await;
    for (old, new) in [(&one, &other), (&other, &one)] {
        Admin::of(new).await.tell("REPLICAOF NO ONE").await;
        *proxy.to.lock().unwrap() = new.port;
        // The connection to the old one stands.
        Admin::of(old).await.tell(&format!("REPLICAOF 127.0.0.1 {}", new.port)).await;
        for _ in 0..2 {
            passes(&mut *probe, "after the failover").await;
        }
    }
}
