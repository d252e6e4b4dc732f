//! The kind `amqp` against a real broker.

use std::sync::OnceLock;
use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use probelet::base::secret::Secret;
use probelet::base::value::{Text, TextPart, Value};
use probelet::model::outcome::{Facts, Failure, FailureKind, Pass, QueueLength};
use probelet::probe::amqp::KIND;

use crate::support::certs::{Authority, Folder};
use crate::support::rabbitmq::Rabbit;
use crate::support::section::{SectionBuilder, observe};
use crate::{failure, pass, until_no_task_is_left};

/// The broker that the tests share which leave it alone.
struct Shared {
    rabbit: Rabbit,
    authority: Authority,
    clients: Authority,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
        let mut rabbit = Rabbit::launch(&authority.server(&["localhost"]), &clients);
        rabbit.until_ready();
        Shared { rabbit, authority, clients }
    })
}

/// Tells the shared broker to do something.
pub fn control(arguments: &[&str]) {
    shared().rabbit.control(arguments);
}

/// The port of the shared broker.
pub fn port() -> u16 {
    shared().rabbit.port
}

fn section(url: impl Into<String>) -> SectionBuilder {
    SectionBuilder::new().text("url", url)
}

fn probe_url() -> String {
    shared().rabbit.url("probe:hunter2", "")
}

#[tokio::test]
async fn a_broker_that_answers_is_connected() {
    for path in ["", "/", "//", "/%2f", "/%2F", "/shop%2Feu", "/shop/eu", "//team", "/%2Fteam"] {
        let mut probe = section(shared().rabbit.url("probe:hunter2", path)).probe(&KIND);
        for _ in 0..3 {
            assert_eq!(pass(&mut *probe).await, Pass::saying("Broker is connected"), "{path}");
        }
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why() {
    let wrong = "user or password are wrong (403)";
    let cases = [
        ("probe:wr0ng-s3cret", "", FailureKind::Auth, wrong),
        ("nobody:wr0ng-s3cret", "", FailureKind::Auth, wrong),
        ("outsider:hunter2", "", FailureKind::Auth, "the user may not use the virtual host (530)"),
        ("probe:hunter2", "/team", FailureKind::Auth, "the user may not use the virtual host (530)"),
        ("probe:hunter2", "///team", FailureKind::Protocol, "the virtual host does not exist (530)"),
        ("probe:hunter2", "/nowhere", FailureKind::Protocol, "the virtual host does not exist (530)"),
        ("probe:hunter2", "/ratelimit", FailureKind::Protocol, "the virtual host does not exist (530)"),
        ("limited:hunter2", "", FailureKind::Auth, "the user may not use the virtual host (530)"),
    ];
    for (credentials, path, kind, message) in cases {
        let failure = failure(&mut *section(shared().rabbit.url(credentials, path)).probe(&KIND)).await;
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message), "{credentials}");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
    until_no_task_is_left().await;
}

#[tokio::test]
async fn the_broker_s_words_stay_out_of_the_log_where_an_expansion_may_be_in_them() {
    let url = shared().rabbit.url("outsider:hunter2", "");
    let written = failure(&mut *section(&url).probe(&KIND)).await;
    let detail = "530: NOT_ALLOWED - access to vhost '/' refused for user 'outsider'";
    assert_eq!(written.detail.as_deref(), Some(detail));
    let parts = vec![TextPart::Expanded(Secret::new(url))];
    let text = Value::Text(Text { parts, written: "${AMQP_URL}".into() });
    let expanded = failure(&mut *SectionBuilder::new().with("url", text).probe(&KIND)).await;
    assert_eq!(expanded.detail.as_deref(), Some("530"));
}

#[tokio::test]
async fn a_queue_is_looked_at_and_not_made() {
    let application = Application::connect().await;
    let queue = |name: &str| section(probe_url()).text("queue", name);
    let missing = Failure::new(FailureKind::Mismatch, "queue does not exist (404)");
    let mut probe = queue("looked-at").probe(&KIND);
    for _ in 0..2 {
        let failure = failure(&mut *probe).await;
        assert_eq!((failure.kind, &failure.message), (missing.kind, &missing.message));
    }
    application.declare("looked-at").await;
    pass(&mut *probe).await;

    let most = |most| queue("looked-at").with("max_messages", Value::Integer(most)).probe(&KIND);
    application.publish("looked-at", 3).await;
    pass(&mut *most(3)).await;
    let told = |message: &str, messages, consumers| {
        let queue = Some(Box::new(QueueLength { messages, consumers }));
        Failure { facts: Facts { queue, ..Facts::default() }, ..Failure::new(FailureKind::Mismatch, message) }
    };
    assert_eq!(failure(&mut *most(2)).await, told("3 messages wait in the queue, above 2", 3, 0));

    let least = |least| queue("looked-at").with("min_consumers", Value::Integer(least)).probe(&KIND);
    let mut two = least(2);
    assert_eq!(failure(&mut *two).await, told("the queue has 0 consumers, fewer than 2", 3, 0));
    let _consumers = [application.consume("looked-at").await, application.consume("looked-at").await];
    assert_eq!(pass(&mut *two).await.facts.queue, Some(Box::new(QueueLength { messages: 0, consumers: 2 })));
    // What the consumers have taken and not acknowledged does not wait any more.
    pass(&mut *most(0)).await;

    // Looking needs no rights.
    pass(&mut *section(shared().rabbit.url("narrow:hunter2", "")).text("queue", "looked-at").probe(&KIND)).await;
}

#[tokio::test]
async fn tls_verifies_the_broker_and_shows_a_certificate_of_its_own() {
    let files = Folder::new();
    let right = files.write("right.pem", shared().authority.pem());
    let wrong = files.write("wrong.pem", shared().clients.pem());
    let client = shared().clients.client("probe");
    let (certificate, key) = (files.write("client.pem", &client.certificate), files.write("client.key", &client.key));
    let probe = |host: &str, tls: SectionBuilder| {
        let url = format!("amqps://probe:hunter2@{host}:{}", shared().rabbit.tls_port);
        section(url).section("tls", tls).probe(&KIND)
    };
    let presenting =
        |ca: &str| SectionBuilder::new().text("ca_file", ca).text("cert_file", &certificate).text("key_file", &key);
    let good = pass(&mut *probe("localhost", presenting(&right))).await;
    assert_eq!(good.message.as_deref(), Some("Broker is connected"));
    assert!(good.facts.tls_not_after.is_some());
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
}

#[tokio::test]
async fn a_broker_that_freezes_dies_and_comes_back_is_followed() {
    let own = Authority::new("own");
    let mut rabbit = Rabbit::launch(&own.server(&["localhost"]), &own);
    rabbit.until_ready();
    let url = rabbit.url("probe:hunter2", "");
    let mut kept = section(&url).probe(&KIND);
    let age = Value::Duration(Duration::ZERO);
    let mut fresh = section(&url).with("max_connection_age", age).probe(&KIND);
    pass(&mut *kept).await;
    pass(&mut *fresh).await;
    rabbit.broker().freeze();
    for _ in 0..3 {
        assert_eq!(observe(&mut *kept, Duration::from_millis(200)).await, None);
        assert_eq!(observe(&mut *fresh, Duration::from_millis(200)).await, None);
    }
    rabbit.broker().thaw();
    pass(&mut *kept).await;
    pass(&mut *fresh).await;
    rabbit.broker().kill();
    for probe in [&mut kept, &mut fresh] {
        for _ in 0..2 {
            let failure = failure(&mut **probe).await;
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connect, "connection refused"));
        }
    }
    rabbit.relaunch();
    rabbit.until_ready();
    pass(&mut *kept).await;
    pass(&mut *fresh).await;
}

/// An application's connection to the broker.
struct Application {
    channel: Channel,
    _connection: Connection,
}

impl Application {
    async fn connect() -> Self {
        let connection = Connection::connect(&(probe_url() + "/%2f"), ConnectionProperties::default()).await.unwrap();
        Self { channel: connection.create_channel().await.unwrap(), _connection: connection }
    }

    async fn declare(&self, queue: &str) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    }

    async fn publish(&self, queue: &str, count: usize) {
        self.channel.confirm_select(Default::default()).await.unwrap();
        for _ in 0..count {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            let sent = self.channel.basic_publish("".into(), queue.into(), options, b"hello", properties);
            sent.await.unwrap().await.unwrap();
        }
    }

    /// A consumer that acknowledges nothing. It is cancelled when it is dropped.
    async fn consume(&self, queue: &str) -> Consumer {
        let options = BasicConsumeOptions::default();
        self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
    }
}
