//! The kind `redis`: logs in, sends `PING`, and looks at the server's role if one is wanted.

mod observed;
mod reply;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, RedisResult, Value};

use self::observed::{ObservedStream, StreamState};
use self::reply::{ROLES, RedisCommand, ReportedRole};
use super::endpoint::{self, Dialer, Opened, StoreEndpoint};
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
use crate::base::value::Section;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "redis",
    doc: "Logs in to a Redis server and sends `PING`.",
    fields: FIELDS,
    read,
    component_type: "datastore",
    bare_tcp: Some((6379, "an open port says nothing about Redis")),
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "url",
        ValueType::Url { schemes: &["redis", "rediss"] },
        "The server: `redis://user:password@host:6379/0`, `rediss://` for TLS; without a user, \
         `redis://:password@host`; with a user whom the server lets in without a password (`nopass`), \
         `redis://user@host`.",
    ),
    Field::optional(
        "role",
        ValueType::Word(ROLES),
        "The role that the server must have. A replica must also be connected to its primary. Default: either.",
    ),
    endpoint::TLS,
    ADDRESS_FAMILY,
    MAX_CONNECTION_AGE,
];

const EXAMPLE: &str = "redis://user:password@host:6379/0";

/// No login and no answer of one run is longer than this.
const LONGEST_ANSWER: usize = 64 << 10;

#[derive(Clone, Debug)]
struct Redis {
    endpoint: StoreEndpoint,
    user: Option<Secret>,
    password: Option<Secret>,
    database: u32,
    role: Option<&'static str>,
    max_age: ConnectionAge,
    /// The target as it may be shown.
    shown: String,
    /// An expansion brought something in, so the server's own words may hold a secret.
    secretive: bool,
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let url = endpoint::url_of(fields, EXAMPLE)?;
    let endpoint = StoreEndpoint::read(fields, &url, "rediss", (6379, 6379))?;
    let wrong = |message: &str| {
        fields.error("url", "invalid-url", message, Some(format!("write it as {EXAMPLE}")));
        None
    };
    let (Some(user), Some(password)) =
        (endpoint::decode(url.username()), endpoint::decode(url.password().unwrap_or("")))
    else {
        return wrong("user or password are not text in UTF-8");
    };
    let database = match url.path().trim_start_matches('/') {
        "" => Some(0),
        number => number.parse().ok(),
    };
    let Some(database) = database else { return wrong("the path of the URL is not the number of a database") };
    let text = fields.text("url")?;
    let given = |text: String| (!text.is_empty()).then(|| Secret::new(text));
    Some(Box::new(Redis {
        endpoint,
        user: given(user),
        password: given(password),
        database,
        role: fields.word("role"),
        max_age: ConnectionAge::read(fields),
        shown: redact::target(&text.written),
        secretive: text.is_expanded(),
    }))
}

impl Spec for Redis {
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
        let server = RedisServer { spec: self.clone(), dialer: self.endpoint.dialer(&context.network) };
        Box::new(RedisProbe { server, reused: Reused::new(self.max_age.effective()) })
    }
}

struct RedisProbe {
    server: RedisServer,
    reused: Reused<RedisSession>,
}

impl Probe for RedisProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let mut pass = self.reused.run(&self.server, &self.server.spec.role, run).await?;
            let facts = std::mem::take(&mut pass.facts);
            Ok(Pass { facts, ..self.server.dialer.pass("Redis is connected") })
        })
    }
}

/// Where to connect to, and how.
struct RedisServer {
    spec: Redis,
    dialer: Dialer,
}

/// A connection that serves successive runs.
struct RedisSession {
    connection: MultiplexedConnection,
    /// Carries what the connection says; only polled while a question is open.
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    state: Arc<StreamState>,
    meter: Arc<Meter>,
    not_after: Option<Timestamp>,
    secretive: bool,
}

impl Session for RedisSession {
    type Target = RedisServer;
    type Query = Option<&'static str>;

    async fn connect(server: &RedisServer, trace: &Trace) -> Result<Self, Failure> {
        let Opened { stream, meter, not_after } = server.dialer.open(trace).await?;
        meter.allow("the login", LONGEST_ANSWER);
        trace.enter(Phase::Login);
        let state = Arc::new(StreamState::default());
        let stream = ObservedStream::new(stream, Arc::clone(&state));
        // Login and choice of database are ours, because the client library calls every refusal a wrong password.
        let nothing = RedisConnectionInfo::default().set_skip_set_lib_name();
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&nothing, stream, patient).await;
        let (connection, driver) =
            opened.map_err(|error| reply::failure(&error, RedisCommand::Login, server.spec.secretive))?;
        let secretive = server.spec.secretive;
        let mut session = Self { connection, driver: Some(Box::pin(driver)), state, meter, not_after, secretive };
        match session.log_in(&server.spec).await {
            Ok(()) => Ok(session),
            Err(failure) => Err(session.with_facts(failure)),
        }
    }

    async fn query(&mut self, role: &Option<&'static str>, run: &RunContext) -> (ProbeResult, Disposition) {
        run.trace.enter(Phase::Answer);
        self.meter.allow("the answer", LONGEST_ANSWER);
        let mut result = self.ping().await;
        if let (Ok(()), Some(role)) = (&result, role) {
            let found = self.role().await;
            run.trace
                .note(|| found.as_ref().map_or_else(|_| "no role".into(), |role| format!("the role {}", role.name)));
            result = found.and_then(|found| judge(role, &found));
        }
        let disposition = match &result {
            Err(_) if self.driver.is_none() || self.state.end().is_some() => Disposition::Broken,
            // Whatever made no sense may have a rest that makes none either.
            Err(failure) if *failure == reply::not_redis() => Disposition::Broken,
            _ => Disposition::Idle,
        };
        let result = match result {
            Ok(()) => {
                let mut pass = Pass::default();
                pass.facts.tls_not_after = self.not_after;
                Ok(pass)
            }
            Err(failure) => Err(self.with_facts(failure)),
        };
        (result, disposition)
    }

    fn activity(&self) -> Option<&Activity> {
        Some(&self.state.activity)
    }

    /// The end of the stream is all that a server wants to hear; `QUIT` is deprecated.
    async fn close(self) {
        drop(self.connection);
        if let Some(driver) = self.driver {
            driver.await;
        }
    }
}

impl RedisSession {
    async fn log_in(&mut self, spec: &Redis) -> Result<(), Failure> {
        if spec.user.is_some() || spec.password.is_some() {
            let mut command = redis::cmd("AUTH");
            if let Some(user) = &spec.user {
                command.arg(user.expose());
            }
            // A user without a password (`nopass`) is let in with any.
            command.arg(spec.password.as_ref().map_or("", Secret::expose));
            self.expect_okay(&command, RedisCommand::Login).await?;
        }
        if spec.database > 0 {
            self.expect_okay(redis::cmd("SELECT").arg(spec.database), RedisCommand::Select).await?;
        }
        Ok(())
    }

    async fn expect_okay(&mut self, command: &Cmd, asked: RedisCommand) -> Result<(), Failure> {
        match self.send(command, asked).await? {
            Value::Okay => Ok(()),
            _ => Err(reply::not_redis()),
        }
    }

    async fn ping(&mut self) -> Result<(), Failure> {
        match self.send(&redis::cmd("PING"), RedisCommand::Ping).await? {
            Value::SimpleString(word) if word == "PONG" => Ok(()),
            _ => Err(reply::not_redis()),
        }
    }

    /// The server's role; from the longer answer where `ROLE` is not to be had.
    async fn role(&mut self) -> Result<ReportedRole, Failure> {
        let found = match self.reply(&redis::cmd("ROLE")).await {
            Ok(answer) => reply::role_of(&answer),
            Err(error) if reply::lacks_role(&error) => {
                let answer = self.send(redis::cmd("INFO").arg("replication"), RedisCommand::Role).await?;
                reply::role_in_information(&answer)
            }
            Err(error) => return Err(self.explain(&error, RedisCommand::Role)),
        };
        found.ok_or_else(reply::not_redis)
    }

    async fn send(&mut self, command: &Cmd, asked: RedisCommand) -> Result<Value, Failure> {
        self.reply(command).await.map_err(|error| self.explain(&error, asked))
    }

    /// Sends a command and waits for its reply, while the driver carries both.
    async fn reply(&mut self, command: &Cmd) -> RedisResult<Value> {
        let mut reply = std::pin::pin!(self.connection.send_packed_command(command));
        let replied = loop {
            let Some(driver) = &mut self.driver else { break reply.await };
            tokio::select! {
                biased;
                replied = &mut reply => break replied,
                () = driver => self.driver = None,
            }
        };
        replied.and_then(Value::extract_error)
    }

    /// What an error means. Where the stream has ended, it knows better why than the library does.
    fn explain(&self, error: &RedisError, asked: RedisCommand) -> Failure {
        match self.state.end() {
            Some(failure) if error.code().is_none() => failure.clone(),
            _ => reply::failure(error, asked, self.secretive),
        }
    }

    fn with_facts(&self, mut failure: Failure) -> Failure {
        failure.facts.tls_not_after = self.not_after;
        failure
    }
}

fn judge(wanted: &str, found: &ReportedRole) -> Result<(), Failure> {
    let mismatch = |message: String| Err(Failure::new(FailureKind::Mismatch, message));
    match found {
        ReportedRole { is_primary: true, .. } if wanted == "primary" => Ok(()),
        ReportedRole { is_replica: true, is_linked: true, .. } if wanted == "replica" => Ok(()),
        ReportedRole { is_replica: true, .. } if wanted == "replica" => {
            mismatch("the replica is not connected to its primary".into())
        }
        ReportedRole { name, .. } => mismatch(format!("the role of the server is {name}, not {wanted}")),
    }
}
