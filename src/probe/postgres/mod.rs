//! The kind `postgres`: logs in and asks a query, in a transaction that can change nothing.
//!
//! A run is `BEGIN READ ONLY`, the query as one unnamed statement, `ROLLBACK`: no session setting, no named statement,
//! so that a transaction pooler may stand in between. We dial, speak TLS and say what goes over the stream
//! (`attempt.rs`, `login.rs`, `connection.rs`); a codec says how it looks in bytes (`messages.rs`).

mod attempt;
mod connection;
mod login;
mod messages;
mod parameters;
mod pooler;
mod require_auth;
mod role;
mod scram;
mod sql;
mod sqlstate;
mod target;

use std::sync::Arc;
use std::time::Duration;

pub use self::messages::MessageDecoder;

use self::attempt::LoggedIn;
use self::connection::{PostgresConnection, PostgresError, QueryAnswer, ServerState};
use self::messages::{ColumnValue, LONGEST, WireFault};
use self::role::RequiredRole;
use self::scram::MOST_ROUNDS;
use self::target::{PostgresTarget, TlsMode};
use super::cell::{Cell, DeclaredCell, EXPECT, ExpectedCell};
use super::net::age::{ConnectionAge, MAX_CONNECTION_AGE};
use super::net::family::{ADDRESS_FAMILY, AddressFamily};
use super::net::metered::Meter;
use super::net::tls::TlsClient;
use super::net::{Network, failure};
use super::reuse::{Activity, Disposition, Reused, Session};
use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::clock::Timestamp;
use crate::base::field::{Field, ValueType};
use crate::base::quantity::show_size;
use crate::base::redact;
use crate::base::redactor::Redactor;
use crate::base::trace::{Phase, Trace};
use crate::base::value::{Section, Text};
use crate::model::outcome::{CapturedAnswer, Failure, FailureKind, Pass, ProbeResult};
use crate::workflow::captures::FillError;

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "postgres",
    doc: "Logs in to a PostgreSQL database, directly or through a pooler, and asks it a query that can change nothing.",
    fields: FIELDS,
    read,
    component_type: "datastore",
    bare_tcp: Some((5432, "PostgreSQL starts a process for each connection")),
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "url",
        ValueType::Url { schemes: &["postgres", "postgresql"] },
        "The database: `postgres://user:password@host:5432/database`. `?sslmode=` is `disable`, `allow`, \
         `prefer` (the default), `require`, `verify-ca` or `verify-full`. As with libpq, `prefer` tries once more without \
         TLS where the handshake fails or the server refuses the login over TLS, `allow` over TLS where it refuses the one \
         without. `sslrootcert`, `sslcert` and `sslkey` name PEM files; `hostaddr` \
         is the address to connect to where the certificate is for `host`; `target_session_attrs`, `channel_binding` and \
         `require_auth` are as libpq has them.",
    ),
    Field::optional(
        "role",
        ValueType::Word(role::ROLES),
        "The role that the server must have: `primary` takes writes, `replica` follows one. It is asked for in the same \
         transaction. Default: either.",
    ),
    Field::optional(
        "require_auth",
        ValueType::Text,
        "How the server may have the user prove who they are, as libpq has it: a list of `scram-sha-256`, `md5`, `password` \
         and `none`, or of what it may not ask for (`!password,!md5`). With `scram-sha-256` nobody who answers gets the \
         password itself. Default: what the URL says, else anything.",
    ),
    Field::with_default(
        "query",
        ValueType::Template,
        "SELECT 1",
        "One statement. It runs as `BEGIN READ ONLY`, the query, `ROLLBACK`, and one row is asked for. Captured values \
         are bound as text: cast them where a column wants another type, `${steps.order.id}::bigint`.",
    ),
    EXPECT,
    ADDRESS_FAMILY,
    MAX_CONNECTION_AGE,
];

#[derive(Clone, Debug)]
struct Postgres {
    target: PostgresTarget,
    /// The target as it may be shown.
    shown: String,
    query: Text,
    expect: Option<DeclaredCell>,
    family: AddressFamily,
    max_age: ConnectionAge,
    /// An expansion brought something in, so the server's own words may hold a secret.
    secretive: bool,
    /// What is not shown when the query gives it.
    secrets: Redactor,
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let query = fields.text("query")?.clone();
    if let Some(problem) = sql::misplaced_capture(&query) {
        let help =
            "give it a place of its own: `WHERE id = ${steps.order.id}::bigint`, `'order-' || ${steps.order.id}`";
        fields.error("query", "capture-in-literal", problem, Some(help.into()));
    } else if query.fixed().is_some_and(|text| text.trim().is_empty()) {
        fields.error("query", "invalid-value", "the query is empty", Some("leave it out to ask `SELECT 1`".into()));
    }
    let expect = DeclaredCell::read(fields);
    if let (Some(query), Some(expect)) = (query.fixed(), expect.as_ref().and_then(DeclaredCell::fixed))
        && role::is_foregone(&query, &expect)
    {
        let message = "`transaction_read_only` is always `on` here: the query runs in a transaction that can only read";
        fields.error("expect", "invalid-value", message, Some(role::INSTEAD.into()));
    }
    let url = fields.text("url")?;
    let is_filled_in = |text: &Text| text.is_expanded() || text.captures().next().is_some();
    let secretive =
        is_filled_in(url) || is_filled_in(&query) || expect.as_ref().is_some_and(DeclaredCell::is_filled_in);
    let target = target::read(fields)?;
    Some(Box::new(Postgres {
        family: AddressFamily::read(fields, Some(&target.address)),
        target,
        shown: redact::target(&url.written),
        query,
        expect,
        max_age: ConnectionAge::read(fields),
        secretive,
        secrets: Redactor::of_section(fields),
    }))
}

impl Spec for Postgres {
    fn target(&self) -> Option<String> {
        Some(self.shown.clone())
    }

    fn hosts(&self) -> Vec<&str> {
        vec![&self.target.address]
    }

    fn hosts_told_the_password(&self) -> Vec<&str> {
        if self.target.may_tell_the_password() { self.hosts() } else { Vec::new() }
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
        let tls = self.target.tls.as_ref().map(|(tls, mode)| (tls.client(&context.network), *mode));
        let reused = Reused::new(self.max_age.effective());
        let server = PostgresServer { spec: self.clone(), network: Arc::clone(&context.network), tls };
        Box::new(PostgresProbe { server, reused })
    }
}

struct PostgresProbe {
    server: PostgresServer,
    reused: Reused<PostgresSession>,
}

/// Where to connect to, and how.
struct PostgresServer {
    spec: Postgres,
    network: Arc<Network>,
    /// How to encrypt, and when.
    tls: Option<(TlsClient, TlsMode)>,
}

/// A connection that serves successive runs.
struct PostgresSession {
    connection: PostgresConnection,
    meter: Arc<Meter>,
    not_after: Option<Timestamp>,
    secretive: bool,
}

/// What a run asks.
struct PostgresQuery {
    role: Option<RequiredRole>,
    sql: String,
    values: Vec<String>,
    expect: Option<ExpectedCell>,
    keep_answer: bool,
}

impl Probe for PostgresProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let unfilled = |FillError(message): FillError| Failure::new(FailureKind::Mismatch, message);
            let spec = &self.server.spec;
            run.trace.keep_secret(|| spec.secrets.and_captured(run.captured.secrets()));
            let (sql, values) = run.captured.bind_sql(&spec.query).map_err(unfilled)?;
            let is_secret = run.keeps_answer() || spec.query.is_expanded() || spec.query.captures().next().is_some();
            let expect = spec.expect.as_ref().map(|cell| cell.fill(&run.captured, is_secret));
            let expect = expect.transpose().map_err(unfilled)?;
            let role = spec.target.role;
            let query = PostgresQuery { role, sql, values, expect, keep_answer: run.keeps_answer() };
            self.reused.run(&self.server, &query, run).await
        })
    }
}

impl Session for PostgresSession {
    type Target = PostgresServer;
    type Query = PostgresQuery;

    async fn connect(server: &PostgresServer, trace: &Trace) -> Result<Self, Failure> {
        let LoggedIn { connection, meter, not_after } = server.log_in(trace).await?;
        Ok(Self { connection, meter, not_after, secretive: server.spec.secretive })
    }

    async fn query(&mut self, query: &PostgresQuery, run: &RunContext) -> (ProbeResult, Disposition) {
        run.trace.enter(Phase::Answer);
        self.meter.allow("the answer", LONGEST);
        let answer = self.transaction(query, &run.trace).await;
        if self.connection.state() == ServerState::InTransaction {
            let _ = self.connection.execute("ROLLBACK").await;
        }
        // What a failure says is not said again: it may well have been answered, with an error or another role.
        if let Ok(answer) = &answer {
            run.trace.note(|| found(&answer.value));
        }
        let mut result = answer.and_then(|answer| judge(&answer, query, &run.trace));
        match &mut result {
            Ok(pass) => pass.facts.tls_not_after = self.not_after,
            Err(failure) => failure.facts.tls_not_after = self.not_after,
        }
        let disposition = match self.connection.state() {
            ServerState::Idle => Disposition::Idle,
            ServerState::InTransaction | ServerState::Answering => Disposition::Unfinished,
            ServerState::Ended => Disposition::Broken,
        };
        (result, disposition)
    }

    fn activity(&self) -> Option<&Activity> {
        Some(&self.connection.activity)
    }

    async fn close(self) {
        self.connection.close().await;
    }

    fn abandon(self) {
        self.connection.cancel();
    }
}

impl PostgresSession {
    async fn transaction(&mut self, query: &PostgresQuery, trace: &Trace) -> Result<QueryAnswer, Failure> {
        let failed = |error| explain(&error, true, self.secretive);
        self.connection.execute("BEGIN READ ONLY").await.map_err(failed)?;
        if let Some(role) = query.role {
            let answer = self.connection.query(role::QUERY, &[]).await.map_err(failed)?;
            let found = answer.value.text();
            trace.note(|| format!("the role is {}", role::shown(found)));
            role.judge(found)?;
        }
        self.connection.query(&query.sql, &query.values).await.map_err(failed)
    }
}

/// For somebody who debugs: what was found, and nothing of it.
fn found(value: &ColumnValue) -> String {
    match value {
        ColumnValue::NoRow => "no row".into(),
        ColumnValue::Null => "a row whose first column is NULL".into(),
        ColumnValue::Text(text) => format!("a row whose first column has {}", show_size(text.len() as u64)),
    }
}

fn judge(answer: &QueryAnswer, query: &PostgresQuery, trace: &Trace) -> ProbeResult {
    /// The type `bool` in PostgreSQL's catalogue.
    const BOOLEAN: u32 = 16;
    let cell = match &answer.value {
        ColumnValue::NoRow => Cell::NoRow,
        ColumnValue::Null => Cell::Null,
        ColumnValue::Text(text) => Cell::Text { text, is_boolean: answer.value_type == Some(BOOLEAN) },
    };
    let keep = || Box::new(CapturedAnswer { body: cell.shown().into_owned(), ..CapturedAnswer::default() });
    let kept = query.keep_answer.then(keep);
    match query.expect.as_ref().map_or(Ok(()), |expect| expect.judge(cell, trace)) {
        Ok(()) => Ok(Pass { answer: kept, ..Pass::saying("Database is connected") }),
        Err(failure) => Err(Failure { answer: kept, ..failure }),
    }
}

/// The failure that an error is. `secretive` keeps the server's own words out of the log.
fn explain(error: &PostgresError, logged_in: bool, secretive: bool) -> Failure {
    match error {
        PostgresError::Server(error) => sqlstate::failure(error, logged_in, secretive),
        PostgresError::Closed => Failure::new(FailureKind::Connect, "connection closed by the server"),
        PostgresError::Io(error) => failure::of_io(error),
        PostgresError::Fault(fault) => explain_fault(fault, secretive),
    }
}

fn explain_fault(fault: &WireFault, secretive: bool) -> Failure {
    let (kind, message) = match fault {
        WireFault::Garbage => return not_postgres(),
        WireFault::Refused(words) => {
            let message = if words.starts_with("could not fork") {
                "the server cannot start a process for the connection"
            } else {
                "the server refuses the connection"
            };
            let failure = Failure::new(FailureKind::Protocol, message);
            return if secretive { failure } else { failure.with_detail(words) };
        }
        WireFault::ForbiddenMethod(method) => {
            let message = format!("the server asks for {method}, which `require_auth` forbids");
            return Failure::new(FailureKind::Auth, message);
        }
        WireFault::TooManyRounds => {
            let message = format!("the server asks for more than {MOST_ROUNDS} rounds of SCRAM");
            return Failure::new(FailureKind::Protocol, message);
        }
        WireFault::OutOfOrder => (FailureKind::Protocol, "the answer breaks the protocol"),
        WireFault::TooLong => (FailureKind::Protocol, "the answer is longer than 1 MiB"),
        WireFault::Unsendable => (FailureKind::Protocol, "the query holds a NUL character, which no server takes"),
        WireFault::UnknownMethod => {
            (FailureKind::Auth, "the server asks for a way of authentication that is not supported")
        }
        WireFault::Unbound => (FailureKind::Auth, "the login cannot be bound to TLS, which `channel_binding` requires"),
        WireFault::Unproven => (FailureKind::Auth, "the server cannot prove that it knows the password"),
        WireFault::Copy => (FailureKind::Protocol, "the query is a COPY, not a SELECT"),
    };
    Failure::new(kind, message)
}

fn not_postgres() -> Failure {
    Failure::new(FailureKind::Protocol, "the server does not speak PostgreSQL's protocol")
}
