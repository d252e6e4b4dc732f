//! One list of misfortunes for every store: what goes wrong is named, in time, without a secret, and the next run
//! after mending passes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probelet::base::trace::{Phase, Trace};
use probelet::model::outcome::{FailureKind, ProbeResult};
use probelet::probe::net::Network;
use probelet::probe::{Probe, ProbeKind, RunContext, amqp, postgres, redis};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::support::certs::{Authority, DAY, Folder, Identity};
use crate::support::fake::{Act, Fake};
use crate::support::section::SectionBuilder;
use crate::{failure, pass};

/// A kind, and how its servers speak.
struct Store {
    kind: &'static ProbeKind,
    /// `scheme://user:password@`
    plain: &'static str,
    /// The same for TLS.
    secure: &'static str,
    /// The port of a real server.
    port: fn() -> u16,
    /// The beginning of an answer.
    part: &'static [u8],
    /// Something that may be repeated for ever.
    refrain: &'static [u8],
}

const STORES: &[Store] = &[
    Store {
        kind: &postgres::KIND,
        plain: "postgres://probe:hunter2@",
        secure: "postgres://probe:hunter2@",
        port: crate::postgres::port,
        part: b"R\0\0",
        refrain: b"N\0\0\0\x0bShello\0\0",
    },
    Store {
        kind: &redis::KIND,
        plain: "redis://:hunter2@",
        secure: "rediss://:hunter2@",
        port: crate::redis::port,
        part: b"+O",
        refrain: b"$5\r\nhello\r\n",
    },
    Store {
        kind: &amqp::KIND,
        plain: "amqp://probe:hunter2@",
        secure: "amqps://probe:hunter2@",
        port: crate::amqp::port,
        part: b"\x01\0\0\0\0\x01",
        refrain: b"\x08\0\0\0\0\0\0\xce",
    },
];

impl Store {
    fn section(&self, address: SocketAddr) -> SectionBuilder {
        SectionBuilder::new().text("url", format!("{}{address}/{}", self.plain, self.path()))
    }

    fn path(&self) -> &'static str {
        match self.kind.name {
            "postgres" => "orders?sslmode=disable",
            _ => "",
        }
    }
}

/// What a run comes to: the kind of its failure, or the phase in which its time was up.
#[derive(Debug, PartialEq)]
enum End {
    Passed,
    Failed(FailureKind, String),
    TimedOut(Phase),
}

async fn run(probe: &mut dyn Probe, limit: Duration) -> End {
    let run = RunContext { trace: Arc::new(Trace::default()), ..RunContext::default() };
    let outcome: Option<ProbeResult> = tokio::time::timeout(limit, probe.observe(&run)).await.ok();
    assert!(!format!("{outcome:?}").contains("hunter2"), "{outcome:?}");
    match outcome {
        Some(Ok(_)) => End::Passed,
        Some(Err(failure)) => End::Failed(failure.kind, failure.message),
        None => End::TimedOut(run.trace.current().expect("it has begun")),
    }
}

/// Twice in a row, against a server that does this; then against a real one in its place.
async fn check(act: impl Fn(&Store) -> Act, expected: impl Fn(&Store, &End) -> bool) {
    for store in STORES {
        let fake = Fake::start(act(store)).await;
        let mut probe = store.section(fake.address()).probe(store.kind);
        for _ in 0..2 {
            let end = run(&mut *probe, Duration::from_millis(400)).await;
            assert!(expected(store, &end), "{}: {end:?}", store.kind.name);
            fake.until(|seen| seen.open == 0).await;
        }
        let _mended = Forwarder::in_place_of(fake, (store.port)()).await;
        pass(&mut *probe).await;
    }
}

fn failed(end: &End, kind: FailureKind) -> bool {
    matches!(end, End::Failed(found, _) if *found == kind)
}

#[tokio::test]
async fn it_refuses() {
    let refused = End::Failed(FailureKind::Connect, "connection refused".into());
    check(|_| Act::Refuse, |_, end| *end == refused).await;
}

#[tokio::test]
async fn it_accepts_and_never_speaks() {
    check(|_| Act::Silent, |_, end| *end == End::TimedOut(Phase::Login)).await;
}

#[tokio::test]
async fn it_resets_at_once() {
    check(|_| Act::ResetOnAccept, |_, end| failed(end, FailureKind::Connect)).await;
}

#[tokio::test]
async fn it_resets_in_the_middle_of_an_answer() {
    let reset = End::Failed(FailureKind::Connect, "connection reset".into());
    check(|store| Act::ResetAfter(store.part.into()), |_, end| *end == reset).await;
}

#[tokio::test]
async fn it_hangs_up_in_the_middle_of_an_answer() {
    let closed = End::Failed(FailureKind::Connect, "connection closed by the server".into());
    check(|store| Act::CloseAfter(store.part.into()), |_, end| *end == closed).await;
}

#[tokio::test]
async fn it_speaks_another_language() {
    check(|_| Act::garbage(), |_, end| failed(end, FailureKind::Protocol)).await;
    let http = || Act::Answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".into());
    check(|_| http(), |_, end| failed(end, FailureKind::Protocol)).await;
    let ssh = || Act::Greet(b"SSH-2.0-OpenSSH_9.2p1\r\n".into());
    check(|_| ssh(), |_, end| failed(end, FailureKind::Protocol)).await;
}

#[tokio::test]
async fn it_drips() {
    let every = Duration::from_millis(10);
    let drip = |store: &Store| Act::Drip(store.part.into(), vec![0; 1000], every);
    check(drip, |_, end| matches!(end, End::TimedOut(Phase::Login)) || failed(end, FailureKind::Protocol)).await;
}

#[tokio::test]
async fn it_answers_without_end() {
    let endless = |store: &Store| Act::Endless(Vec::new(), store.refrain.repeat(500));
    check(endless, |_, end| matches!(end, End::TimedOut(_)) || failed(end, FailureKind::Protocol)).await;
}

#[tokio::test]
async fn its_name_does_not_resolve() {
    let network = Arc::new(Network::resolving_with(|_| Box::pin(async { Err(io::Error::other("no such name")) })));
    for store in STORES {
        let url = format!("{}nowhere.internal:1234/{}", store.plain, store.path());
        let mut probe = SectionBuilder::new().text("url", url).probe_on(store.kind, &network);
        let unresolved = End::Failed(FailureKind::Resolve, "name does not resolve".into());
        assert_eq!(run(&mut *probe, Duration::from_secs(5)).await, unresolved, "{}", store.kind.name);
    }
}

#[tokio::test]
async fn the_resolver_hangs() {
    let network = Arc::new(Network::resolving_with(|_| Box::pin(std::future::pending())));
    for store in STORES {
        let url = format!("{}nowhere.internal:1234/{}", store.plain, store.path());
        let mut probe = SectionBuilder::new().text("url", url).probe_on(store.kind, &network);
        let hung = End::TimedOut(Phase::Resolve);
        assert_eq!(run(&mut *probe, Duration::from_millis(50)).await, hung, "{}", store.kind.name);
    }
}

#[tokio::test]
async fn its_certificate_is_not_to_be_trusted() {
    let (authority, files) = (Authority::new("right"), Folder::new());
    let ca = files.write("ca.pem", authority.pem());
    let cases = [
        (authority.server_valid(&["localhost"], -10 * DAY..-DAY), "certificate has expired"),
        (authority.server_valid(&["localhost"], DAY..10 * DAY), "certificate is not valid yet"),
        (authority.server(&["elsewhere"]), "certificate is for another host"),
        (Identity::self_signed(&["localhost"], false), "certificate is self-signed or from an unknown issuer"),
        (Authority::new("wrong").server(&["localhost"]), "certificate is self-signed or from an unknown issuer"),
    ];
    for store in STORES {
        for (identity, message) in &cases {
            let server = TlsServer::start(store.kind.name == "postgres", identity.server()).await;
            let url = format!("{}localhost:{}", store.secure, server.port);
            let section = match store.kind.name {
                "postgres" => {
                    SectionBuilder::new().text("url", format!("{url}/x?sslmode=verify-full&sslrootcert={ca}"))
                }
                _ => SectionBuilder::new().text("url", url).section("tls", SectionBuilder::new().text("ca_file", &ca)),
            };
            let failure = failure(&mut *section.probe(store.kind)).await;
            let found = (failure.kind, failure.message.as_str());
            assert_eq!(found, (FailureKind::Tls, *message), "{}", store.kind.name);
            assert!(failure.facts.tls_not_after.is_some(), "{}", store.kind.name);
        }
    }
}

#[tokio::test]
async fn it_does_not_speak_tls() {
    for store in STORES {
        let fake = Fake::start(Act::Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n".into())).await;
        let mut probe =
            SectionBuilder::new().text("url", format!("{}{}", store.secure, fake.address())).probe(store.kind);
        let end = run(&mut *probe, Duration::from_secs(5)).await;
        match store.kind.name {
            // PostgreSQL's protocol is asked for TLS first.
            "postgres" => assert!(failed(&end, FailureKind::Protocol), "{end:?}"),
            _ => assert_eq!(end, End::Failed(FailureKind::Tls, "server does not speak TLS".into())),
        }
    }
}

#[test]
fn a_target_is_shown_without_its_secrets() {
    for store in STORES {
        let url =
            format!("{}db.internal:1234/x?y=hunter2", store.plain).replace("redis:", "rediss:").replace("/x?", "/1?");
        let spec = SectionBuilder::new().text("url", url).read(store.kind).unwrap();
        assert_eq!(spec.hosts(), ["db.internal"]);
        let target = spec.target().unwrap();
        assert!(target.ends_with("://db.internal:1234/1"), "{target}");
        assert!(!format!("{spec:?} {spec:#?}").contains("hunter2"), "{spec:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_leads_nowhere_is_replaced_within_the_run() {
    for store in STORES {
        let forwarder = Forwarder::in_place_of(Fake::refuses().await, (store.port)()).await;
        let mut probe = store.section(forwarder.address).probe(store.kind);
        pass(&mut *probe).await;
        forwarder.forget();
        assert_eq!(run(&mut *probe, Duration::from_secs(5)).await, End::Passed, "{}", store.kind.name);
    }
}

/// Takes the place of a fake server and passes everything on to a real one.
struct Forwarder {
    address: SocketAddr,
    task: JoinHandle<()>,
    forgotten: watch::Sender<()>,
}

impl Forwarder {
    async fn in_place_of(fake: Fake, real: u16) -> Self {
        fake.act(Act::Refuse).await;
        let address = fake.address();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        drop(fake);
        let forgotten = watch::Sender::new(());
        let forget = forgotten.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut forgotten = forget.subscribe();
                connections.spawn(async move {
                    let mut real = TcpStream::connect(("127.0.0.1", real)).await.unwrap();
                    let copying = tokio::io::copy_bidirectional(&mut stream, &mut real);
                    let was_forgotten = tokio::select! {
                        _ = copying => false,
                        changed = forgotten.changed() => changed.is_ok(),
                    };
                    if was_forgotten {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, task, forgotten }
    }

    /// Passes nothing more on for the connections there are, without a word, as a gateway does that has lost them.
    fn forget(&self) {
        self.forgotten.send_replace(());
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Shakes hands, after PostgreSQL's request if it is one, and says nothing more.
struct TlsServer {
    port: u16,
    task: JoinHandle<()>,
}

impl TlsServer {
    async fn start(is_postgres: bool, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if is_postgres {
                    let mut request = [0; 8];
                    stream.read_exact(&mut request).await.unwrap();
                    stream.write_all(b"S").await.unwrap();
                }
                if let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await {
                    let _ = stream.read_u8().await;
                }
            }
        });
        Self { port, task }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
