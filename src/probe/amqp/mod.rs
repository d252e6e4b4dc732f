//! The kind `amqp`: logs in to a RabbitMQ broker, opens a channel, and looks at a queue if one is named.

pub mod frames;
mod proxy;
mod runtime;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, ErrorKind};

use self::proxy::{Proxies, Proxy, not_amqp};
use super::endpoint::{self, Dialer, Opened, StoreEndpoint};
use super::farewell;
use super::net::age::{ConnectionAge, MAX_CONNECTION_AGE};
use super::net::family::ADDRESS_FAMILY;
use super::net::metered::Meter;
use super::reuse::{Activity, Disposition, Reused, Session};
use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::clock::Timestamp;
use crate::base::field::{Field, ValueType};
use crate::base::redact;
use crate::base::secret::Secret;
use crate::base::trace::{Phase, Trace};
use crate::base::value::{Section, Text};
use crate::model::outcome::{Facts, Failure, FailureKind, Pass, ProbeResult, QueueLength};
use crate::probe::exhausted;

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "amqp",
    doc: "Logs in to an AMQP 0-9-1 broker such as RabbitMQ, opens a channel, and looks at a queue.",
    fields: FIELDS,
    read,
    component_type: "datastore",
    bare_tcp: Some((5672, "RabbitMQ logs an error for each connection")),
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "url",
        ValueType::Url { schemes: &["amqp", "amqps"] },
        "The broker: `amqp://user:password@host:5672/vhost`, `amqps://` for TLS. What follows the one `/` behind the host is \
         the virtual host: `//` is `/` and `//team` is `/team`, as `/%2f` and `/%2fteam` are; nothing stands for `/`.",
    ),
    Field::optional("queue", ValueType::Text, "A queue that must exist. It is only looked at (declared passively)."),
    Field::optional(
        "max_messages",
        ValueType::Integer { min: 0, max: i64::MAX },
        "More messages than this waiting in the queue, ready to be delivered, are a failure. A quorum queue that has \
         stopped is said to have 0 messages and 0 consumers: `min_consumers: 1` is what shows it.",
    ),
    Field::optional(
        "min_consumers",
        ValueType::Integer { min: 0, max: i64::MAX },
        "Fewer consumers of the queue than this are a failure.",
    ),
    endpoint::TLS,
    ADDRESS_FAMILY,
    MAX_CONNECTION_AGE,
];

const EXAMPLE: &str = "amqp://user:password@host:5672/vhost";

/// A broker sends no more than this during a login, for an answer, or between two runs.
const LONGEST_ANSWER: usize = 64 << 10;

/// Names are short strings in AMQP.
const LONGEST_NAME: usize = 255;

#[derive(Clone, Debug)]
struct Amqp {
    endpoint: StoreEndpoint,
    user: Secret,
    password: Secret,
    vhost: Secret,
    query: AmqpQuery,
    max_age: ConnectionAge,
    /// The target as it may be shown.
    shown: String,
    /// An expansion brought something in, so the broker's own words may hold a secret.
    secretive: bool,
}

/// What a run asks.
#[derive(Clone, Debug)]
struct AmqpQuery {
    queue: Option<Secret>,
    max_messages: Option<i64>,
    min_consumers: Option<i64>,
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let url = endpoint::url_of(fields, EXAMPLE)?;
    let endpoint = StoreEndpoint::read(fields, &url, "amqps", (5672, 5671))?;
    // One slash separates, as Celery and kombu have it; the rest is the name.
    let path = match url.path() {
        "" | "/" => "%2f",
        path => path.strip_prefix('/').unwrap_or(path),
    };
    let parts = [url.username(), url.password().unwrap_or_default(), path].map(endpoint::decode);
    let [Some(user), Some(password), Some(vhost)] = parts else {
        let help = format!("write it as {EXAMPLE}");
        fields.error("url", "invalid-url", "user, password or virtual host are not text in UTF-8", Some(help));
        return None;
    };
    let queue = fields.text("queue").filter(|queue| !queue.written.is_empty());
    let queue_name = queue.and_then(Text::fixed);
    for (key, what, name) in [("url", "virtual host", Some(&vhost)), ("queue", "queue", queue_name.as_ref())] {
        if name.is_some_and(|name| name.len() > LONGEST_NAME) {
            let message = format!("the name of the {what} is longer than {LONGEST_NAME} bytes");
            fields.error(key, "invalid-value", message, None);
            return None;
        }
    }
    // The broker's own default, which it accepts from loopback alone.
    let or_guest = |text: String| Secret::new(if text.is_empty() { "guest".to_owned() } else { text });
    for key in ["max_messages", "min_consumers"] {
        if queue.is_none() && fields.get(key).is_some() {
            let message = format!("`{key}` needs a `queue`");
            fields.error(key, "missing-key", message, Some("name the queue that is meant".into()));
        }
    }
    let text = fields.text("url")?;
    Some(Box::new(Amqp {
        endpoint,
        user: or_guest(user),
        password: or_guest(password),
        vhost: Secret::new(vhost),
        query: AmqpQuery {
            queue: queue_name.map(Secret::new),
            max_messages: fields.integer("max_messages"),
            min_consumers: fields.integer("min_consumers"),
        },
        max_age: ConnectionAge::read(fields),
        shown: redact::target(&text.written),
        secretive: text.is_expanded() || queue.is_some_and(Text::is_expanded),
    }))
}

impl Spec for Amqp {
    fn target(&self) -> Option<String> {
        Some(self.shown.clone())
    }

    fn hosts(&self) -> Vec<&str> {
        vec![&self.endpoint.host]
    }

    fn max_connection_age(&self) -> Duration {
        self.max_age.effective()
    }

    fn prefer_fresh_connections(&mut self, where_to: &dyn Fn(&[&str]) -> bool) {
        if where_to(&self.hosts()) {
            self.max_age.prefer_fresh();
        }
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let dialer = self.endpoint.dialer(&context.network);
        let name = format!("probelet {}", context.check);
        let server = AmqpServer { spec: self.clone(), dialer, name, proxies: Proxies::default() };
        Box::new(AmqpProbe { server, reused: Reused::new(self.max_age.effective()) })
    }
}

struct AmqpProbe {
    server: AmqpServer,
    reused: Reused<AmqpSession>,
}

impl Probe for AmqpProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let mut pass = self.reused.run(&self.server, &self.server.spec.query, run).await?;
            let facts = std::mem::take(&mut pass.facts);
            Ok(Pass { facts, ..self.server.dialer.pass("Broker is connected") })
        })
    }
}

/// Where to connect to, and how.
struct AmqpServer {
    spec: Amqp,
    dialer: Dialer,
    /// What the broker lists the connection as.
    name: String,
    proxies: Proxies,
}

impl AmqpServer {
    fn uri(&self) -> AMQPUri {
        let Amqp { endpoint, user, password, vhost, max_age, .. } = &self.spec;
        AMQPUri {
            // The library gets a line of ours and has no say in how it is encrypted.
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: user.expose().into(), password: password.expose().into() },
                host: endpoint.host.clone(),
                port: endpoint.port,
            },
            vhost: vhost.expose().into(),
            query: AMQPQueryString {
                // The library's buffers are 32 frames each way.
                frame_max: Some(8192),
                channel_max: Some(8),
                // In seconds. The library's task for it outlives a connection by up to half of that.
                heartbeat: Some(if max_age.effective().is_zero() { 10 } else { 60 }),
                ..AMQPQueryString::default()
            },
        }
    }
}

/// A connection that serves successive runs.
struct AmqpSession {
    connection: Connection,
    proxy: Proxy,
    meter: Arc<Meter>,
    not_after: Option<Timestamp>,
    secretive: bool,
}

/// A login under way. The broker takes no leave before it is over, so one that is given up goes on beside everything
/// else for as long as a farewell may take.
struct LoggingIn(Option<(BoxFuture<'static, lapin::Result<Connection>>, Proxy)>);

impl LoggingIn {
    /// The connection, or nothing when the line has ended before there was one.
    async fn finish(mut self) -> (Option<lapin::Result<Connection>>, Proxy) {
        let (connecting, proxy) = self.0.as_mut().expect("taken only below");
        let connected = proxy.outlasting(connecting).await;
        let (_, proxy) = self.0.take().expect("taken only here");
        (connected, proxy)
    }
}

impl Drop for LoggingIn {
    fn drop(&mut self) {
        let Some((connecting, proxy)) = self.0.take() else { return };
        drop(farewell::say(async move {
            if let Ok(connection) = connecting.await {
                let _ = connection.close(200, "OK".into()).await;
            }
            drop(proxy);
        }));
    }
}

impl Session for AmqpSession {
    type Target = AmqpServer;
    type Query = AmqpQuery;

    async fn connect(server: &AmqpServer, trace: &Trace) -> Result<Self, Failure> {
        let Opened { stream, meter, not_after } = server.dialer.open(trace).await?;
        meter.allow("the login", LONGEST_ANSWER);
        trace.enter(Phase::Login);
        let secretive = server.spec.secretive;
        let (proxy, end) = server.proxies.open(stream)?;
        let take = async move |_, _| end.take();
        let properties = ConnectionProperties::default().with_connection_name(server.name.as_str().into());
        let connecting = Box::pin(Connection::connector(server.uri(), runtime::current(), take, properties));
        let (connected, proxy) = LoggingIn(Some((connecting, proxy))).finish().await;
        match connected {
            Some(Ok(connection)) => Ok(Self { connection, proxy, meter, not_after, secretive }),
            Some(Err(error)) => Err(with_end(explain(&error, &proxy, AmqpStep::Login, secretive), not_after)),
            None => Err(with_end(ended(&proxy), not_after)),
        }
    }

    async fn query(&mut self, query: &AmqpQuery, run: &RunContext) -> (ProbeResult, Disposition) {
        run.trace.enter(Phase::Answer);
        self.meter.allow("the answer", LONGEST_ANSWER);
        let looked = self.proxy.outlasting(self.look(query, &run.trace)).await;
        self.meter.allow("what came between runs", LONGEST_ANSWER);
        match looked {
            None => (Err(with_end(ended(&self.proxy), self.not_after)), Disposition::Broken),
            Some(Ok((queue, verdict))) => {
                let facts = Facts { tls_not_after: self.not_after, queue: queue.map(Box::new), ..Facts::default() };
                let result = match verdict {
                    Ok(()) => Ok(Pass { facts, ..Pass::default() }),
                    Err(failure) => Err(Failure { facts, ..failure }),
                };
                (result, Disposition::Idle)
            }
            Some(Err(error)) => {
                let failure = explain(&error, &self.proxy, AmqpStep::Queue, self.secretive);
                // The broker closes a channel on which something was asked in vain, not the connection.
                let disposition = if error.is_amqp_soft_error() { Disposition::Idle } else { Disposition::Broken };
                (Err(with_end(failure, self.not_after)), disposition)
            }
        }
    }

    fn activity(&self) -> Option<&Activity> {
        Some(&self.proxy.activity)
    }

    async fn close(self) {
        let _ = self.connection.close(200, "OK".into()).await;
    }

    /// The broker takes a farewell at any time.
    fn abandon(self) {
        drop(farewell::say(self.close()));
    }
}

impl AmqpSession {
    /// Opens a channel, looks at the queue and judges it. What the broker refuses is an error.
    async fn look(
        &self,
        query: &AmqpQuery,
        trace: &Trace,
    ) -> lapin::Result<(Option<QueueLength>, Result<(), Failure>)> {
        let channel = self.connection.create_channel().await?;
        let (mut length, mut verdict) = (None, Ok(()));
        if let Some(queue) = &query.queue {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare(queue.expose().into(), passive, FieldTable::default()).await?;
            trace.note(|| format!("{} messages, {} consumers", queue.message_count(), queue.consumer_count()));
            length = Some(QueueLength { messages: queue.message_count(), consumers: queue.consumer_count() });
            verdict = judge(queue.message_count(), queue.consumer_count(), query);
        }
        channel.close(200, "OK".into()).await?;
        Ok((length, verdict))
    }
}

fn judge(messages: u32, consumers: u32, query: &AmqpQuery) -> Result<(), Failure> {
    let mismatch = |message: String| Err(Failure::new(FailureKind::Mismatch, message));
    match query {
        AmqpQuery { max_messages: Some(most), .. } if i64::from(messages) > *most => {
            mismatch(format!("{messages} messages wait in the queue, above {most}"))
        }
        AmqpQuery { min_consumers: Some(least), .. } if i64::from(consumers) < *least => {
            mismatch(format!("the queue has {consumers} consumers, fewer than {least}"))
        }
        _ => Ok(()),
    }
}

/// What was asked when an error came.
#[derive(Clone, Copy, PartialEq)]
enum AmqpStep {
    Login,
    Queue,
}

/// Why the library failed. What the broker said counts most, then why the line has ended.
fn explain(error: &lapin::Error, proxy: &Proxy, asked: AmqpStep, secretive: bool) -> Failure {
    match (error.kind(), proxy.end()) {
        (ErrorKind::ProtocolError(error), _) => {
            let (code, words) = (error.get_id(), error.get_message());
            let (kind, message) = meaning(code, words.as_str(), asked);
            let detail = if secretive { code.to_string() } else { format!("{code}: {words}") };
            Failure::new(kind, message).with_detail(detail)
        }
        (ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_), _) => not_amqp(),
        (_, Some(end)) => end.clone(),
        // Nothing else of the library's is done by the system: it starts a thread for each connection.
        (ErrorKind::IOError(error), _) if error.raw_os_error().is_some() => exhausted::of_thread(error),
        (ErrorKind::MissingHeartbeatError, _) => {
            Failure::new(FailureKind::Connect, "the broker does not answer any more")
        }
        (ErrorKind::IOError(_) | ErrorKind::InvalidConnectionState(_), _) => ended(proxy),
        _ => not_amqp(),
    }
}

/// Why the line has ended.
fn ended(proxy: &Proxy) -> Failure {
    let closed = || Failure::new(FailureKind::Connect, "connection closed by the server");
    proxy.end().cloned().unwrap_or_else(closed)
}

fn meaning(code: u16, words: &str, asked: AmqpStep) -> (FailureKind, String) {
    let (kind, message) = match (code, asked) {
        (403, AmqpStep::Login) => (FailureKind::Auth, "user or password are wrong"),
        (403, AmqpStep::Queue) => (FailureKind::Auth, "the user may not look at the queue"),
        (404, _) if words.contains("down or inaccessible") => {
            (FailureKind::Protocol, "the node that holds the queue is down")
        }
        (404, _) => (FailureKind::Mismatch, "queue does not exist"),
        (405, _) => (FailureKind::Protocol, "the queue belongs to another connection alone"),
        (530, _) if is_limit(words) => (FailureKind::Protocol, "the broker has no connection left"),
        (530, _) if words.ends_with("not found") => (FailureKind::Protocol, "the virtual host does not exist"),
        (530, _) if words.contains("refused") => (FailureKind::Auth, "the user may not use the virtual host"),
        (320, _) => (FailureKind::Protocol, "the broker ended the connection"),
        _ => (FailureKind::Protocol, "the broker reports an error"),
    };
    (kind, format!("{message} ({code})"))
}

/// Whether the broker speaks of its connections, or of the virtual host's, or the user's. It does so at the end: names of
/// virtual hosts and users stand before it, and may be any words.
fn is_limit(words: &str) -> bool {
    let limit = words.strip_suffix(") is reached").and_then(|words| words.rsplit_once("connection limit ("));
    limit.is_some_and(|(_, limit)| limit.parse::<u64>().is_ok())
}

fn with_end(mut failure: Failure, not_after: Option<Timestamp>) -> Failure {
    failure.facts.tls_not_after = not_after;
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_broker_s_words_do_not_count() {
        let limit = (FailureKind::Protocol, "the broker has no connection left (530)");
        let missing = (FailureKind::Protocol, "the virtual host does not exist (530)");
        let refused = (FailureKind::Auth, "the user may not use the virtual host (530)");
        let cases = [
            ("NOT_ALLOWED - access to vhost 'shop' refused for user 'bob': connection limit (0) is reached", limit),
            (
                "NOT_ALLOWED - access to vhost 'not found' refused for user 'bob': connection limit (9) is reached",
                limit,
            ),
            ("NOT_ALLOWED - connection refused for user 'bob': user connection limit (10) is reached", limit),
            ("NOT_ALLOWED - connection refused: node connection limit (1000) is reached", limit),
            ("NOT_ALLOWED - vhost ratelimit not found", missing),
            ("NOT_ALLOWED - vhost refused not found", missing),
            ("NOT_ALLOWED - vhost connection limit (1) is reached not found", missing),
            ("NOT_ALLOWED - access to vhost '/' refused for user 'limited'", refused),
            ("NOT_ALLOWED - access to vhost 'not found' refused for user 'connection limit (1) is reached'", refused),
        ];
        for (words, (kind, message)) in cases {
            assert_eq!(meaning(530, words, AmqpStep::Login), (kind, message.to_owned()), "{words}");
        }
    }
}
