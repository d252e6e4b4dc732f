//! The kind `redis` against real servers.

use std::sync::OnceLock;
use std::time::Duration;

use probelet::base::secret::Secret;
use probelet::base::value::{Text, TextPart, Value};
use probelet::model::outcome::{Failure, FailureKind, Pass};
use probelet::probe::redis::KIND;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::certs::{Authority, DAY, Folder};
use crate::support::redis::Redis;
use crate::support::section::{SectionBuilder, observe};
use crate::{LIMIT, failure, pass, until_no_task_is_left};

/// The server that the tests share which leave it alone.
struct Shared {
    redis: Redis,
    authority: Authority,
    clients: Authority,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
        let identity = authority.server_valid(&["localhost"], -DAY..10 * DAY + 3600);
        let redis = Redis::start(&identity, &clients, None);
        Shared { redis, authority, clients }
    })
}

/// The port of the shared server.
pub fn port() -> u16 {
    shared().redis.port
}

fn section(url: impl Into<String>) -> SectionBuilder {
    SectionBuilder::new().text("url", url)
}

#[tokio::test]
async fn a_server_that_answers_is_connected() {
    for credentials in [":hunter2", "default:hunter2", "probe:hunter3", "narrow:hunter4", "open", "open:any"] {
        let mut probe = section(shared().redis.url(credentials)).probe(&KIND);
        for _ in 0..3 {
            assert_eq!(pass(&mut *probe).await, Pass::saying("Redis is connected"), "{credentials}");
        }
    }
    pass(&mut *section(shared().redis.url(":hunter2") + "/15").probe(&KIND)).await;
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why() {
    let wrong = "user or password are wrong (WRONGPASS)";
    let nowhere = "the database does not exist (ERR)";
    let cases = [
        (shared().redis.url(":wr0ng-s3cret"), FailureKind::Auth, wrong),
        (shared().redis.url("probe:wr0ng-s3cret"), FailureKind::Auth, wrong),
        (shared().redis.url("nobody:wr0ng-s3cret"), FailureKind::Auth, wrong),
        (shared().redis.url("probe"), FailureKind::Auth, wrong),
        (shared().redis.url(""), FailureKind::Auth, "the server wants a password (NOAUTH)"),
        (shared().redis.url(":hunter2") + "/16", FailureKind::Protocol, nowhere),
        (
            shared().redis.url("barred:hunter5"),
            FailureKind::Auth,
            "the user may not run PING (NOPERM): grant it, `+ping`",
        ),
    ];
    for (url, kind, message) in cases {
        let failure = failure(&mut *section(&url).probe(&KIND)).await;
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message), "{url}");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
}

#[tokio::test]
async fn the_server_s_words_stay_out_of_the_log_where_an_expansion_may_be_in_them() {
    let url = shared().redis.url(":wrong");
    let written = failure(&mut *section(&url).probe(&KIND)).await;
    assert_eq!(written.detail.as_deref(), Some("WRONGPASS invalid username-password pair or user is disabled."));
    let parts = vec![TextPart::Expanded(Secret::new(url))];
    let text = Value::Text(Text { parts, written: "${REDIS_URL}".into() });
    let expanded = failure(&mut *SectionBuilder::new().with("url", text).probe(&KIND)).await;
    assert_eq!(expanded.detail.as_deref(), Some("WRONGPASS"));
}

#[tokio::test]
async fn roles_are_told_apart_and_a_replica_without_its_primary_fails() {
    let own = Authority::new("own");
    let identity = own.server(&["localhost"]);
    let mut primary = Redis::start(&identity, &own, None);
    let replica = Redis::start(&identity, &own, Some(primary.port));
    let with = |redis: &Redis, credentials: &str, role: &'static str| {
        section(redis.url(credentials)).with("role", Value::Word(role)).probe(&KIND)
    };
    // The replica does not serve until it has caught up.
    let mut any = section(replica.url(":hunter2")).probe(&KIND);
    loop {
        match observe(&mut *any, Duration::from_secs(5)).await.unwrap() {
            Ok(_) => break,
            Err(failure) => assert_eq!(failure.message, "the replica has lost its primary (MASTERDOWN)"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for credentials in [":hunter2", "narrow:hunter4"] {
        pass(&mut *with(&primary, credentials, "primary")).await;
        pass(&mut *with(&replica, credentials, "replica")).await;
        let cases = [
            (with(&primary, credentials, "replica"), "the role of the server is primary, not replica"),
            (with(&replica, credentials, "primary"), "the role of the server is replica, not primary"),
        ];
        for (mut probe, message) in cases {
            assert_eq!(failure(&mut *probe).await, Failure::new(FailureKind::Mismatch, message));
        }
    }
    // A replica that serves what it has, as they do unless told otherwise, answers PING without its primary.
    let mut admin = TcpStream::connect(("127.0.0.1", replica.port)).await.unwrap();
    admin.write_all(b"AUTH hunter2\r\nCONFIG SET replica-serve-stale-data yes\r\n").await.unwrap();
    let mut okay = [0; 10];
    admin.read_exact(&mut okay).await.unwrap();
    assert_eq!(&okay, b"+OK\r\n+OK\r\n");
    primary.server().kill();
    for credentials in [":hunter2", "narrow:hunter4"] {
        let mut probe = with(&replica, credentials, "replica");
        while observe(&mut *probe, Duration::from_secs(5)).await.unwrap().is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let message = "the replica is not connected to its primary";
        assert_eq!(failure(&mut *probe).await, Failure::new(FailureKind::Mismatch, message), "{credentials}");
    }
    pass(&mut *any).await;
    admin.write_all(b"CONFIG SET replica-serve-stale-data no\r\n").await.unwrap();
    while observe(&mut *any, Duration::from_secs(5)).await.unwrap().is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(failure(&mut *any).await.message, "the replica has lost its primary (MASTERDOWN)");
}

#[tokio::test]
async fn a_server_without_the_command_role_still_tells_its_role() {
    let own = Authority::new("own");
    let identity = own.server(&["localhost"]);
    let start = |primary| Redis::start_with(&identity, &own, primary, "rename-command ROLE \"\"\n");
    let primary = start(None);
    let replica = start(Some(primary.port));
    let with =
        |redis: &Redis, role: &'static str| section(redis.url(":hunter2")).with("role", Value::Word(role)).probe(&KIND);
    pass(&mut *with(&primary, "primary")).await;
    let other = failure(&mut *with(&primary, "replica")).await;
    assert_eq!(other.message, "the role of the server is primary, not replica");
    let mut following = with(&replica, "replica");
    while let Err(failure) = observe(&mut *following, LIMIT).await.unwrap() {
        let awaited = ["the replica has lost its primary (MASTERDOWN)", "the replica is not connected to its primary"];
        assert!(awaited.contains(&failure.message.as_str()), "{failure:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let other = failure(&mut *with(&replica, "primary")).await;
    assert_eq!(other.message, "the role of the server is replica, not primary");
    let neither = "rename-command ROLE \"\"\nrename-command INFO \"\"\n";
    let mute = Redis::start_with(&identity, &own, None, neither);
    let failure = failure(&mut *with(&mute, "primary")).await;
    let message = "the server knows neither ROLE nor INFO (ERR)";
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Protocol, message));
}

#[tokio::test]
async fn tls_verifies_the_server_and_shows_a_certificate_of_its_own() {
    let files = Folder::new();
    let right = files.write("right.pem", shared().authority.pem());
    let wrong = files.write("wrong.pem", shared().clients.pem());
    let client = shared().clients.client("probe");
    let (certificate, key) = (files.write("client.pem", &client.certificate), files.write("client.key", &client.key));
    let probe = |host: &str, tls: SectionBuilder| {
        let url = format!("rediss://:hunter2@{host}:{}", shared().redis.tls_port);
        section(url).section("tls", tls).probe(&KIND)
    };
    let presenting =
        |ca: &str| SectionBuilder::new().text("ca_file", ca).text("cert_file", &certificate).text("key_file", &key);
    let good = pass(&mut *probe("localhost", presenting(&right))).await;
    assert_eq!(good.message.as_deref(), Some("Redis is connected"));
    assert!(good.facts.tls_not_after.is_some());
    pass(&mut *probe("127.0.0.1", presenting(&right).text("server_name", "localhost"))).await;
    let soon = Value::Duration(Duration::from_secs(14 * DAY.unsigned_abs()));
    let soon = pass(&mut *probe("localhost", presenting(&right).with("min_validity", soon))).await;
    assert!(soon.degraded);
    assert_eq!(soon.message.as_deref(), Some("certificate expires in 10d"));
    let fails_below = Value::Duration(Duration::from_secs(14 * DAY.unsigned_abs()));
    let too_soon = failure(&mut *probe("localhost", presenting(&right).with("fails_below", fails_below))).await;
    assert_eq!(too_soon.message, "certificate expires in 10d, and `fails_below` is 14d");
    let cases = [
        (probe("localhost", presenting(&wrong)), "certificate is self-signed or from an unknown issuer"),
        (probe("127.0.0.1", presenting(&right)), "certificate is for another host"),
        (probe("localhost", SectionBuilder::new().text("ca_file", &right)), "server wants a client certificate"),
    ];
    for (mut probe, message) in cases {
        let failure = failure(&mut *probe).await;
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Tls, message));
        assert!(failure.facts.tls_not_after.is_some(), "{message}");
    }
    let plain = section(format!("redis://:hunter2@localhost:{}", shared().redis.tls_port));
    // The server says something in TLS and hangs up; which of the two is noticed first is open.
    let plain = failure(&mut *plain.probe(&KIND)).await;
    assert!(matches!(plain.kind, FailureKind::Protocol | FailureKind::Connect), "{plain:?}");
}

#[tokio::test]
async fn a_server_that_freezes_dies_and_comes_back_is_followed() {
    let own = Authority::new("own");
    let mut redis = Redis::start(&own.server(&["localhost"]), &own, None);
    let mut kept = section(redis.url(":hunter2")).probe(&KIND);
    let age = Value::Duration(Duration::ZERO);
    let mut fresh = section(redis.url(":hunter2")).with("max_connection_age", age).probe(&KIND);
    pass(&mut *kept).await;
    pass(&mut *fresh).await;
    redis.server().freeze();
    for _ in 0..3 {
        assert_eq!(observe(&mut *kept, Duration::from_millis(200)).await, None);
        assert_eq!(observe(&mut *fresh, Duration::from_millis(200)).await, None);
    }
    redis.server().thaw();
    pass(&mut *kept).await;
    pass(&mut *fresh).await;
    redis.server().kill();
    for probe in [&mut kept, &mut fresh] {
        for _ in 0..2 {
            let failure = failure(&mut **probe).await;
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connect, "connection refused"));
        }
    }
    redis.restart();
    pass(&mut *kept).await;
    pass(&mut *fresh).await;
    redis.restart();
    pass(&mut *kept).await;
    until_no_task_is_left().await;
}

#[tokio::test]
async fn one_connection_serves_successive_runs() {
    let own = Authority::new("own");
    let redis = Redis::start(&own.server(&["localhost"]), &own, None);
    let mut kept = section(redis.url(":hunter2")).probe(&KIND);
    let before = connections(&redis).await;
    for _ in 0..5 {
        pass(&mut *kept).await;
    }
    // One for the probe and one for the question.
    assert_eq!(connections(&redis).await, before + 2);
}

#[tokio::test]
async fn a_server_of_old_tls_is_refused_where_a_new_one_is_asked_for() {
    let own = Authority::new("own");
    let (redis, files) = (Redis::start(&own.server(&["localhost"]), &own, None), Folder::new());
    let ca = files.write("ca.pem", own.pem());
    let client = own.client("probe");
    let (certificate, key) = (files.write("client.pem", &client.certificate), files.write("client.key", &client.key));
    let said = async |version: &'static str| {
        let tls = SectionBuilder::new().text("ca_file", &ca).text("cert_file", &certificate).text("key_file", &key);
        let url = format!("rediss://:hunter2@localhost:{}", redis.tls_port);
        let section = section(url).section("tls", tls.with("min_version", Value::Word(version)));
        let result = observe(&mut *section.probe(&KIND), LIMIT).await.unwrap();
        result.map_or_else(|failure| failure.message, |_| "pass".into())
    };
    assert_eq!((said("1.2").await.as_str(), said("1.3").await.as_str()), ("pass", "pass"));
    let mut admin = TcpStream::connect(("127.0.0.1", redis.port)).await.unwrap();
    admin.write_all(b"AUTH hunter2\r\nCONFIG SET tls-protocols TLSv1.2\r\n").await.unwrap();
    let mut answer = [0; 10];
    admin.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n+OK\r\n");
    assert_eq!(said("1.2").await, "pass");
    assert_eq!(said("1.3").await, "server does not speak TLS 1.3, which `min_version` asks for");
}

/// How many connections the server has accepted since its start.
async fn connections(redis: &Redis) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).await.unwrap();
    stream.write_all(b"AUTH hunter2\r\nINFO stats\r\n").await.unwrap();
    let mut text = String::new();
    while !text.contains("total_commands_processed") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        text += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    let line = text.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().parse().unwrap()
}
