//! Connections end as their servers want it, whatever ends them: a run, their age, a reload, `SIGTERM`, or the end of a
//! command. Servers log it when somebody is gone without a word.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;

use rustix::process::Signal;
use tokio::process::Command;

use crate::support::certs::{Authority, Folder};
use crate::support::daemon::Daemon;
use crate::support::postgres::{Pooler, Postgres};
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;
use crate::support::servers::until;

/// So many rounds may end with runs that were cut off.
const ROUNDS: usize = 20;

/// Where a server logs, and what it says there of a client that is gone without a word.
struct Log(PathBuf, &'static str);

impl Log {
    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }

    fn complaints(&self) -> usize {
        self.text().matches(self.1).count()
    }

    /// Whether it has said so after `line`.
    fn complains_of(&self, line: &str) -> bool {
        self.text().split_once(line).is_some_and(|(_, rest)| rest.contains(self.1))
    }
}

/// Each kind twice: with a connection that is kept, and with a fresh one for each run. `named` ends the names.
fn checks(urls: &[(&str, String)], interval: &str, named: &str) -> String {
    let mut text = format!(
        "server: {{ drain: 0s }}\nlog: {{ level: debug }}\ndefaults: {{ interval: {interval}, timeout: 5s }}\nchecks:\n"
    );
    for (name, section) in urls {
        for age in ["1m", "0s"] {
            text += &format!("  - {{ name: {name}-{age}{named}, {section}, max_connection_age: {age} }} }}\n");
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_ends_as_its_server_wants_it() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let identity = authority.server(&["localhost"]);
    let mut rabbit = Rabbit::launch(&identity, &clients);
    let postgres = Postgres::start(&identity, &clients);
    let redis = Redis::start(&identity, &clients, None);
    let pooler = Pooler::start(&postgres, "plain", &[("probe", "hunter2")]);
    rabbit.until_ready();
    let folder = Folder::new();
    let (ca, client) = (folder.write("ca.pem", authority.pem()), clients.client("probe"));
    let (certificate, key) = (folder.write("client.pem", &client.certificate), folder.write("client.key", &client.key));
    let tls = format!("tls: {{ ca_file: '{ca}', cert_file: '{certificate}', key_file: '{key}' }}");
    let pooled = format!("postgres://probe:hunter2@localhost:{}/orders?sslmode=disable", pooler.port);
    let urls = [
        ("amqp", format!("amqp: {{ url: '{}'", rabbit.url("probe:hunter2", ""))),
        ("amqps", format!("amqp: {{ url: 'amqps://probe:hunter2@localhost:{}', {tls}", rabbit.tls_port)),
        ("postgres", format!("postgres: {{ url: '{}'", postgres.url("probe:hunter2", "sslmode=require"))),
        ("pooled", format!("postgres: {{ url: '{pooled}'")),
        ("rediss", format!("redis: {{ url: 'rediss://:hunter2@localhost:{}', {tls}", redis.tls_port)),
    ];
    // The reload meets runs, and so may the end: each check runs again a second after its first run.
    let [plain, changed] = [checks(&urls, "200ms", ""), checks(&urls, "10m", "-again")];
    let path = folder.write("config.yaml", &plain);

    for arguments in [&["once"][..], &["wait", "--check", "amqp-1m", "--check", "pooled-0s"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
        let output = command.args(arguments).args(["--config", &path]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let logs = [
        Log(rabbit.log(), "client unexpectedly closed TCP connection"),
        Log(pooler.log(), "unexpected eof"),
        Log(postgres.folder.path().join("output.log"), "unexpected EOF on client connection"),
        Log(redis.log(), "Reading from client: error:0A"),
    ];
    let mut wanted = [0; 4];
    for round in 1..=ROUNDS {
        let was_cut_off = reload_and_end(&plain, &changed).await;
        // Somebody is gone without a word: each server says so, and by then has said so of all before.
        let [stranger, other] = leave_without_a_word(&rabbit, &pooler);
        until("RabbitMQ has noticed who is gone", || logs[0].complains_of(&format!("{stranger} ->")));
        until("PgBouncer has noticed who is gone", || logs[1].complains_of(&format!("{other} closing")));
        let complaints = logs.each_ref().map(Log::complaints);
        wanted = [wanted[0] + 1, wanted[1] + 1, wanted[2], wanted[3]];
        if complaints == wanted {
            break;
        }
        let texts = logs.each_ref().map(Log::text);
        assert!(was_cut_off && round < ROUNDS, "{complaints:?} instead of {wanted:?}: {texts:#?}");
        wanted = complaints;
    }
}

/// Runs the daemon, gives it other checks, and ends it: whether a run had to be cut off, as on a busy machine it may.
async fn reload_and_end(plain: &str, changed: &str) -> bool {
    let mut daemon = Daemon::start(plain).await;
    daemon.until_status("/readyz", 200).await;
    daemon.rewrite(changed);
    daemon.signal(Signal::HUP);
    let reloaded = daemon.logs("the workers of checks that are gone have ended").await;
    daemon.until("/healthz?format=json", |reply| !reply.body.contains("pending")).await;
    daemon.until_status("/readyz", 200).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));
    let ended = daemon.logs("the workers have ended").await;
    [reloaded, ended].iter().any(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["cut_off"] != 0)
}

/// Two clients are gone without a word, one of RabbitMQ and one of PgBouncer: their addresses.
fn leave_without_a_word(rabbit: &Rabbit, pooler: &Pooler) -> [SocketAddr; 2] {
    let mut amqp = TcpStream::connect(("127.0.0.1", rabbit.port)).unwrap();
    amqp.write_all(b"AMQP\0\0\x09\x01").unwrap();
    amqp.read_exact(&mut [0; 8]).unwrap();
    let mut startup = b"\0\0\0\x29\0\x03\0\0user\0probe\0database\0orders\0\0".to_vec();
    startup[3] = u8::try_from(startup.len()).unwrap();
    let mut pooled = TcpStream::connect(("127.0.0.1", pooler.port)).unwrap();
    pooled.write_all(&startup).unwrap();
    pooled.read_exact(&mut [0; 9]).unwrap();
    pooled.write_all(b"p\0\0\0\x0chunter2\0").unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"Z\0\0\0\x05I") {
        let mut byte = [0];
        pooled.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
    [amqp, pooled].map(|stream| {
        stream.shutdown(Shutdown::Both).unwrap();
        stream.local_addr().unwrap()
    })
}
