//! Connections end as their servers want it, whatever ends them: a run, their age, a reload, `SIGTERM`, or the end of a
//! command. Servers log it when somebody is gone without a word.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use rustix::process::Signal;
use tokio::process::Command;

use crate::support::certs::{Authority, Folder};
use crate::support::daemon::Daemon;
use crate::support::postgres::{Pooler, Postgres};
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;
use crate::support::servers::until;

/// What each server says of a client that is gone without a word.
const RABBIT: &str = "client unexpectedly closed TCP connection";
const POOLER: &str = "unexpected eof";
const POSTGRES: &str = "unexpected EOF on client connection";
const REDIS: &str = "Reading from client: error:0A";

fn count(log: &Path, what: &str) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().matches(what).count()
}

/// Each kind twice: with a connection that is kept, and with a fresh one for each run. `named` ends the names.
fn checks(urls: &[(&str, String)], interval: &str, named: &str) -> String {
    let mut text = format!("server: {{ drain: 0s }}\ndefaults: {{ interval: {interval}, timeout: 5s }}\nchecks:\n");
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
    // The others have run once when none of them is pending, and do not run again: a run that SIGTERM meets while it logs
    // in has no farewell that a server would understand.
    let [plain, changed] = [checks(&urls, "200ms", ""), checks(&urls, "10m", "-again")];
    let path = folder.write("config.yaml", &plain);

    for arguments in [&["once"][..], &["wait", "--check", "amqp-1m", "--check", "pooled-0s"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
        let output = command.args(arguments).args(["--config", &path]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let mut daemon = Daemon::start_in(folder, path.into(), &[], &[]).await;
    daemon.until_status("/readyz", 200).await;
    daemon.rewrite(&changed);
    daemon.signal(Signal::HUP);
    daemon.logs("the configuration was loaded").await;
    daemon.until("/healthz?format=json", |reply| !reply.body.contains("pending")).await;
    daemon.until_status("/readyz", 200).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));

    // Somebody is gone without a word: each server says so, and by then has said so of all before.
    let [rabbits, poolers, postgreses, redises] =
        [rabbit.log(), pooler.log(), postgres.folder.path().join("output.log"), redis.log()];
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
    for stream in [&amqp, &pooled] {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    drop((amqp, pooled));
    until("RabbitMQ has noticed who is gone", || count(&rabbits, RABBIT) > 0);
    until("PgBouncer has noticed who is gone", || count(&poolers, POOLER) > 0);
    let log = std::fs::read_to_string(&rabbits).unwrap();
    assert_eq!(count(&rabbits, RABBIT), 1, "{log}");
    let log = std::fs::read_to_string(&poolers).unwrap();
    assert_eq!(count(&poolers, POOLER), 1, "{log}");
    assert_eq!(count(&postgreses, POSTGRES), 0, "{}", std::fs::read_to_string(&postgreses).unwrap());
    assert_eq!(count(&redises, REDIS), 0, "{}", std::fs::read_to_string(&redises).unwrap());
}
