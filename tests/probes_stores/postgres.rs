//! The kind `postgres` against a real server.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use probelet::base::secret::Secret;
use probelet::base::trace::{Found, Trace};
use probelet::base::value::{Text, TextPart, Value};
use probelet::model::outcome::{Failure, FailureKind, Pass};
use probelet::probe::postgres::KIND;
use probelet::probe::{Probe, RunContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::certs::{Authority, Folder};
use crate::support::postgres::{ADMIN, Pooler, Postgres};
use crate::support::section::{SectionBuilder, capturing, observe};
use crate::{LIMIT, failure, pass, until_no_task_is_left};

/// The server that the tests share which leave it alone.
struct Shared {
    postgres: Postgres,
    authority: Authority,
    clients: Authority,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
        let postgres = Postgres::start(&authority.server(&["localhost"]), &clients);
        Shared { postgres, authority, clients }
    })
}

/// The port of the shared server.
pub fn port() -> u16 {
    shared().postgres.port
}

/// The URL of the shared server for these credentials, with these parameters.
pub fn url(credentials: &str, parameters: &str) -> String {
    shared().postgres.url(credentials, parameters)
}

/// Who vouches for the shared server.
pub fn authority() -> &'static Authority {
    &shared().authority
}

fn section(url: impl Into<String>) -> SectionBuilder {
    SectionBuilder::new().text("url", url)
}

fn plain_url() -> String {
    shared().postgres.url("probe:hunter2", "sslmode=disable")
}

async fn answer(probe: &mut dyn Probe) -> String {
    let run = capturing();
    let pass = tokio::time::timeout(LIMIT, probe.observe(&run)).await.unwrap().unwrap();
    String::from_utf8(pass.answer.unwrap().body).unwrap()
}

#[tokio::test]
async fn a_database_that_answers_is_connected() {
    let pass = pass(&mut *section(plain_url()).probe(&KIND)).await;
    assert_eq!(pass, Pass::saying("Database is connected"));
}

#[tokio::test]
async fn values_of_every_type_are_compared_as_text() {
    let cases = [
        ("SELECT 1", "1"),
        ("SELECT 1.50::numeric", "1.50"),
        ("SELECT 0.1::float8", "0.1"),
        ("SELECT 'a''b'", "a'b"),
        ("SELECT 'ü'", "ü"),
        ("SELECT ''", ""),
        ("SELECT true", "true"),
        ("SELECT true", "t"),
        ("SELECT pg_is_in_recovery()", "f"),
        ("SELECT feeling FROM orders WHERE id = 1", "happy"),
        ("SELECT ROW(1, 'a')", "(1,a)"),
        ("SELECT ARRAY[1,2]", "{1,2}"),
        ("SELECT '{\"a\": 1}'::jsonb", "{\"a\": 1}"),
        ("SELECT relacl FROM pg_class WHERE relname = 'orders'", "{admin=arwdDxt/admin,probe=ar/admin}"),
        ("SELECT '2026-01-02 03:04:05+00'::timestamptz AT TIME ZONE 'UTC'", "2026-01-02 03:04:05"),
        ("SELECT '10.0.0.1'::inet", "10.0.0.1"),
        ("SELECT 'x'::bytea", "\\x78"),
        ("SELECT 2, 'more', NULL", "2"),
        ("VALUES (1), (2)", "1"),
        ("SHOW server_encoding", "UTF8"),
        ("SHOW transaction_read_only", "on"),
        ("SELECT count(*) FROM orders;", "2"),
    ];
    for (query, expect) in cases {
        let mut probe = section(plain_url()).text("query", query).text("expect", expect).probe(&KIND);
        assert_eq!(observe(&mut *probe, LIMIT).await.unwrap(), Ok(Pass::saying("Database is connected")), "{query}");
    }
}

#[tokio::test]
async fn another_answer_is_a_mismatch_that_does_not_tell_it() {
    let cases = [
        ("SELECT 'hunter2'", "the query gives another value than the expected one"),
        ("SELECT false", "the query gives another value than the expected one"),
        ("SELECT NULL", "the query gives NULL, not the expected value"),
        ("SELECT", "the query gives NULL, not the expected value"),
        ("SELECT 1 WHERE false", "the query gives no row"),
    ];
    for (query, message) in cases {
        let mut expecting = section(plain_url()).text("query", query).text("expect", "true").probe(&KIND);
        assert_eq!(failure(&mut *expecting).await, Failure::new(FailureKind::Mismatch, message), "{query}");
        let mut content = section(plain_url()).text("query", query).probe(&KIND);
        assert!(observe(&mut *content, LIMIT).await.unwrap().is_ok(), "{query}");
    }
}

#[tokio::test]
async fn a_query_changes_nothing_and_is_one_statement() {
    let read_only = "the query tries to change something (SQLSTATE 25006 read_only_sql_transaction)";
    let cases = [
        ("INSERT INTO orders VALUES (3)", FailureKind::Protocol, read_only),
        ("CREATE TABLE more ()", FailureKind::Protocol, read_only),
        ("COPY orders TO STDOUT", FailureKind::Protocol, "the query is a COPY, not a SELECT"),
        ("SELECT 1; SELECT 2", FailureKind::Protocol, "query failed (SQLSTATE 42601 syntax_error)"),
        ("SELECT * FROM nowhere", FailureKind::Protocol, "query failed (SQLSTATE 42P01 undefined_table)"),
        ("SELECT 1 / 0", FailureKind::Protocol, "query failed (SQLSTATE 22012 division_by_zero)"),
        ("SELECT $1::int", FailureKind::Protocol, "query failed (SQLSTATE 08P01 protocol_violation)"),
        ("SELECT * FROM vault", FailureKind::Auth, "permission denied (SQLSTATE 42501 insufficient_privilege)"),
    ];
    for (query, kind, message) in cases {
        let mut probe = section(plain_url()).text("query", query).probe(&KIND);
        for _ in 0..2 {
            let failure = failure(&mut *probe).await;
            assert_eq!((failure.kind, failure.message.as_str()), (kind, message), "{query}");
        }
    }
    let mut count = section(plain_url()).text("query", "SELECT count(*) FROM orders").probe(&KIND);
    assert_eq!(answer(&mut *count).await, "2");
}

#[tokio::test]
async fn captured_values_are_bound() {
    let capture = |before: &str, after: &str| {
        let capture = TextPart::Capture { step: "order".into(), name: "id".into() };
        let parts = vec![TextPart::Plain(before.into()), capture, TextPart::Plain(after.into())];
        Value::Text(Text { parts, written: String::new() })
    };
    let query = capture("SELECT state FROM orders WHERE id = ", "::bigint");
    let mut probe = section(plain_url()).with("query", query).with("expect", capture("", "")).probe(&KIND);
    let run = |value: &str| {
        let mut run = RunContext::default();
        run.captured.insert("order", "id", value.into());
        run
    };
    let failure = probe.observe(&run("1")).await.unwrap_err();
    assert_eq!(failure.message, "the query gives another value than the expected one");
    let failure = probe.observe(&run("1 OR true")).await.unwrap_err();
    assert_eq!(failure.message, "query failed (SQLSTATE 22P02 invalid_text_representation)");
    assert_eq!(failure.detail.as_deref(), Some("ERROR: SQLSTATE 22P02"), "the log has no captured value");
    let failure = probe.observe(&RunContext::default()).await.unwrap_err();
    assert_eq!(failure, Failure::new(FailureKind::Mismatch, "id of step order was not captured"));
    let mut echo =
        section(plain_url()).with("query", capture("SELECT ", "")).with("expect", capture("", "")).probe(&KIND);
    for value in ["1", "'; DROP TABLE orders; --", "", "ü\"\\"] {
        assert!(echo.observe(&run(value)).await.is_ok(), "{value}");
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why() {
    let url = |credentials: &str, parameters: &str| shared().postgres.url(credentials, parameters);
    let other_database = plain_url().replace("/orders", "/stock");
    let rejected = "the server rejected the login (SQLSTATE 28000 invalid_authorization_specification)";
    let wrong = "password authentication failed";
    let cases = [
        (url("probe:wr0ng-s3cret", "sslmode=disable"), FailureKind::Auth, wrong),
        (url("probe", "sslmode=disable"), FailureKind::Auth, "the server wants a password, and the URL holds none"),
        (url("nobody:wr0ng-s3cret", "sslmode=disable"), FailureKind::Auth, wrong),
        (url("plain:wr0ng-s3cret", "sslmode=disable"), FailureKind::Auth, wrong),
        (url("hashed:wr0ng-s3cret", "sslmode=disable"), FailureKind::Auth, wrong),
        (url("sealed:hunter2", "sslmode=disable"), FailureKind::Auth, rejected),
        (url("carded", "sslmode=require"), FailureKind::Auth, rejected),
        (other_database, FailureKind::Protocol, "the database does not exist (SQLSTATE 3D000 invalid_catalog_name)"),
    ];
    for (url, kind, message) in cases {
        let failure = failure(&mut *section(&url).probe(&KIND)).await;
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message), "{url}");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    }
    for user in ["probe", "plain", "hashed"] {
        pass(&mut *section(url(&format!("{user}:hunter2"), "sslmode=disable")).probe(&KIND)).await;
    }
}

#[tokio::test]
async fn what_an_expanded_url_holds_is_not_shown_when_the_query_gives_it() {
    let parts = vec![TextPart::Expanded(Secret::new(shared().postgres.url("probe:hunter2", "sslmode=disable")))];
    let url = Value::Text(Text { parts, written: "${DATABASE_URL}".into() });
    let section = SectionBuilder::new().with("url", url).text("query", "SELECT 'hunter2 of ' || current_user");
    let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
    let failure = section.text("expect", "x").probe(&KIND).observe(&run).await.unwrap_err();
    assert_eq!(failure.message, "the query gives another value than the expected one");
    assert_eq!(run.trace.expectations()[0].found, Found::This("\"*** of ***\"".into()));
}

#[tokio::test]
async fn what_was_answered_with_an_error_is_not_said_to_have_no_answer() {
    let asked = || section(plain_url());
    for section in [asked().text("query", "SELECT * FROM nowhere"), asked().with("role", Value::Word("replica"))] {
        let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
        section.probe(&KIND).observe(&run).await.unwrap_err();
        assert!(!run.trace.notes().contains(&"no answer".to_owned()), "{:?}", run.trace.notes());
    }
}

#[tokio::test]
async fn the_server_s_words_stay_out_of_the_log_where_an_expansion_may_be_in_them() {
    let url = shared().postgres.url("nobody:hunter2", "sslmode=disable");
    let written = failure(&mut *section(&url).probe(&KIND)).await;
    assert_eq!(
        written.detail.as_deref(),
        Some("FATAL: password authentication failed for user \"nobody\" (SQLSTATE 28P01)")
    );
    let parts = vec![TextPart::Expanded(Secret::new(url))];
    let text = Value::Text(Text { parts, written: "${DATABASE_URL}".into() });
    let expanded = failure(&mut *SectionBuilder::new().with("url", text).probe(&KIND)).await;
    assert_eq!(expanded.detail.as_deref(), Some("FATAL: SQLSTATE 28P01"));
}

#[tokio::test]
async fn tls_is_as_strict_as_the_url_says() {
    let files = Folder::new();
    let right = files.write("right.pem", shared().authority.pem());
    let wrong = files.write("wrong.pem", shared().clients.pem());
    let local = |parameters: &str| shared().postgres.url("sealed:hunter2", parameters);
    let numeric = |parameters: &str| local(parameters).replace("localhost", "127.0.0.1");
    let passing = [
        local(&format!("sslmode=verify-full&sslrootcert={right}")),
        local(&format!("sslmode=verify-ca&sslrootcert={right}")),
        numeric(&format!("sslmode=verify-ca&sslrootcert={right}")),
        numeric(&format!("sslmode=require&sslrootcert={right}")),
        numeric("sslmode=require"),
        numeric("sslmode=prefer"),
        numeric("sslmode=allow"),
        numeric(""),
    ];
    for url in passing {
        let pass = pass(&mut *section(&url).probe(&KIND)).await;
        assert!(pass.facts.tls_not_after.is_some(), "{url}");
    }
    let unknown = "certificate is self-signed or from an unknown issuer";
    let failing = [
        (local(&format!("sslmode=verify-full&sslrootcert={wrong}")), unknown),
        (local(&format!("sslmode=verify-ca&sslrootcert={wrong}")), unknown),
        (numeric(&format!("sslmode=require&sslrootcert={wrong}")), unknown),
        (numeric(&format!("sslmode=verify-full&sslrootcert={right}")), "certificate is for another host"),
    ];
    for (url, message) in failing {
        let failure = failure(&mut *section(&url).probe(&KIND)).await;
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Tls, message), "{url}");
        assert!(failure.facts.tls_not_after.is_some(), "{url}");
    }
}

#[tokio::test]
async fn a_client_certificate_lets_its_owner_in() {
    let files = Folder::new();
    let root = files.write("root.pem", shared().authority.pem());
    let with = |name: &str, authority: &Authority| {
        let identity = authority.client(name);
        let certificate = files.write(&format!("{name}.pem"), identity.certificate);
        let key = files.write(&format!("{name}.key"), identity.key);
        let parameters = format!("sslmode=verify-full&sslrootcert={root}&sslcert={certificate}&sslkey={key}");
        section(shared().postgres.url("carded", &parameters)).probe(&KIND)
    };
    pass(&mut *with("carded", &shared().clients)).await;
    let other = failure(&mut *with("other", &shared().clients)).await;
    assert_eq!(other.kind, FailureKind::Auth);
    let stranger = failure(&mut *with("carded", &shared().authority)).await;
    assert_eq!((stranger.kind, stranger.message.as_str()), (FailureKind::Tls, "server rejects the client certificate"));
}

#[tokio::test]
async fn one_connection_serves_successive_runs_until_it_is_too_old() {
    let backend = |age: Duration| {
        let section = section(plain_url()).text("query", "SELECT pg_backend_pid()");
        section.with("max_connection_age", Value::Duration(age)).probe(&KIND)
    };
    let mut kept = backend(Duration::from_secs(300));
    assert_eq!(answer(&mut *kept).await, answer(&mut *kept).await);
    let mut fresh = backend(Duration::ZERO);
    assert_ne!(answer(&mut *fresh).await, answer(&mut *fresh).await);
    let mut aging = backend(Duration::from_millis(300));
    let (first, second) = (answer(&mut *aging).await, answer(&mut *aging).await);
    assert_eq!(first, second);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_ne!(answer(&mut *aging).await, first);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_ended_is_replaced_within_the_run() {
    let mut probe = section(plain_url()).text("query", "SELECT pg_backend_pid()").probe(&KIND);
    let first = answer(&mut *probe).await;
    let mut admin = admin().await;
    admin.tell(&format!("SELECT pg_terminate_backend({first})")).await;
    until_gone(&mut admin, &first).await;
    assert_ne!(answer(&mut *probe).await, first);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let mut rows = section(plain_url()).text("query", "SELECT generate_series(1, 1000000000000)").probe(&KIND);
    pass(&mut *rows).await;
    let mut wide = section(plain_url()).text("query", "SELECT repeat('x', 50000000)").probe(&KIND);
    for _ in 0..2 {
        let failure = failure(&mut *wide).await;
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::Protocol, "the answer is longer than 1 MiB")
        );
    }
}

#[tokio::test]
async fn runs_that_wait_for_a_lock_leave_no_heap_of_connections_behind() {
    let mut admin = admin().await;
    admin.tell("CREATE TABLE locked (); GRANT SELECT ON locked TO probe").await;
    admin.tell("BEGIN; LOCK TABLE locked").await;
    let mut probe = section(plain_url()).text("query", "SELECT count(*) FROM locked /* waits */").probe(&KIND);
    for _ in 0..8 {
        assert_eq!(observe(&mut *probe, Duration::from_millis(300)).await, None);
    }
    let count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* waits */' AND pid <> pg_backend_pid()";
    let waiting: u32 = admin.ask(count).await.parse().unwrap();
    // That of the last run, and at most one more on a machine that is too busy to cancel it in time.
    assert!(waiting <= 2, "{waiting}");
    admin.tell("ROLLBACK").await;
    pass(&mut *probe).await;
}

/// An administrator's own connection.
pub async fn admin() -> RawClient {
    let (user, password) = ADMIN.split_once(':').unwrap();
    RawClient::connect(port(), user, password).await
}

async fn until_gone(admin: &mut RawClient, backend: &str) {
    for _ in 0..500 {
        let query = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {backend}");
        if admin.ask(&query).await == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the backend does not end");
}

#[tokio::test]
async fn a_server_that_freezes_dies_and_comes_back_is_followed() {
    let own = Authority::new("own");
    let mut postgres = Postgres::start(&own.server(&["localhost"]), &own);
    let url = postgres.url("probe:hunter2", "");
    let mut kept = section(&url).probe(&KIND);
    let mut fresh = section(&url).with("max_connection_age", Value::Duration(Duration::ZERO)).probe(&KIND);
    pass(&mut *kept).await;
    pass(&mut *fresh).await;

    postgres.server().freeze();
    for _ in 0..3 {
        assert_eq!(observe(&mut *kept, Duration::from_millis(200)).await, None);
        assert_eq!(observe(&mut *fresh, Duration::from_millis(200)).await, None);
    }
    postgres.server().thaw();
    pass(&mut *kept).await;
    pass(&mut *fresh).await;

    postgres.server().kill();
    for probe in [&mut kept, &mut fresh] {
        for _ in 0..2 {
            let failure = failure(&mut **probe).await;
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connect, "connection refused"));
        }
    }
    postgres.restart();
    pass(&mut *kept).await;
    pass(&mut *fresh).await;

    postgres.restart();
    pass(&mut *kept).await;
    until_no_task_is_left().await;
}

#[tokio::test]
async fn passwords_are_those_that_the_server_takes() {
    for (password, expected) in [
        ("%F0%9F%94%91%20hunter2", "pass"),
        ("%F0%9F%94%92%20hunter2", "password authentication failed"),
        ("hunter2", "password authentication failed"),
    ] {
        let url = shared().postgres.url(&format!("merry:{password}"), "");
        let said = observe(&mut *section(url).probe(&KIND), LIMIT).await.unwrap();
        assert_eq!(said.map_or_else(|failure| failure.message, |_| "pass".into()), expected, "{password}");
    }
}

#[tokio::test]
async fn a_server_may_only_ask_for_what_the_url_allows() {
    for (user, methods, expected) in [
        ("probe", "scram-sha-256", "pass"),
        ("probe", "!password,!md5", "pass"),
        ("probe", "md5,password", "a login by SCRAM"),
        ("plain", "scram-sha-256", "the password in clear"),
        ("plain", "!password", "the password in clear"),
        ("plain", "password", "pass"),
        ("hashed", "scram-sha-256,none", "the password as MD5"),
        ("hashed", "md5", "pass"),
    ] {
        let url = shared().postgres.url(&format!("{user}:hunter2"), "sslmode=disable");
        let by_url = section(format!("{url}&require_auth={methods}"));
        let by_key = section(url).text("require_auth", methods);
        let said = observe(&mut *by_url.probe(&KIND), LIMIT).await.unwrap();
        assert_eq!(observe(&mut *by_key.probe(&KIND), LIMIT).await.unwrap(), said, "{user} {methods}");
        let said = said.map_or_else(|failure| failure.message, |_| "pass".into());
        let expected = match expected {
            "pass" => "pass".to_owned(),
            asked => format!("the server asks for {asked}, which `require_auth` forbids"),
        };
        assert_eq!(said, expected, "{user} {methods}");
    }
    // A client certificate is proof enough for a server, and no challenge.
    let files = Folder::new();
    let identity = shared().clients.client("carded");
    let certificate = files.write("carded.pem", identity.certificate);
    let key = files.write("carded.key", identity.key);
    for (methods, expected) in [
        ("none", "pass"),
        ("!none", "the server asks for no authentication, which `require_auth` forbids"),
        ("scram-sha-256", "the server asks for no authentication, which `require_auth` forbids"),
    ] {
        let parameters = format!("sslmode=require&sslcert={certificate}&sslkey={key}&require_auth={methods}");
        let url = shared().postgres.url("carded", &parameters);
        let said = observe(&mut *section(url).probe(&KIND), LIMIT).await.unwrap();
        assert_eq!(said.map_or_else(|failure| failure.message, |_| "pass".into()), expected, "{methods}");
    }
}

#[tokio::test]
async fn a_login_is_bound_to_its_session_where_that_is_required() {
    for (user, parameters, expected) in [
        ("probe", "sslmode=require&channel_binding=require", "pass"),
        ("probe", "sslmode=require&channel_binding=disable", "pass"),
        ("probe", "sslmode=require", "pass"),
        ("plain", "sslmode=require", "pass"),
        ("plain", "sslmode=require&channel_binding=require", "unbound"),
        ("hashed", "sslmode=require&channel_binding=require", "unbound"),
    ] {
        let url = shared().postgres.url(&format!("{user}:hunter2"), parameters);
        let said = observe(&mut *section(url).probe(&KIND), LIMIT).await.unwrap();
        let unbound = "the login cannot be bound to TLS, which `channel_binding` requires";
        let said = said.map_or_else(|failure| failure.message, |_| "pass".into()).replace(unbound, "unbound");
        assert_eq!(said, expected, "{user} {parameters}");
    }
    // A pooler offers no binding, with TLS or without, and may say so.
    let (files, identity) = (Folder::new(), shared().authority.server(&["localhost"]));
    let certificate = files.write("pooler.pem", &identity.certificate);
    let key = files.write("pooler.key", &identity.key);
    let encrypted =
        format!("client_tls_sslmode = allow\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n");
    let pooler = Pooler::start_with(&shared().postgres, "scram-sha-256", &[("probe", "hunter2")], &encrypted);
    for mode in ["disable", "require"] {
        let url = format!("postgres://probe:hunter2@127.0.0.1:{}/orders?sslmode={mode}", pooler.port);
        pass(&mut *section(&url).probe(&KIND)).await;
    }
    let url =
        format!("postgres://probe:hunter2@127.0.0.1:{}/orders?sslmode=require&channel_binding=require", pooler.port);
    let unbound = failure(&mut *section(url).probe(&KIND)).await;
    assert_eq!(unbound.kind, FailureKind::Auth, "{unbound:?}");
}

#[tokio::test]
async fn a_standby_is_told_from_a_primary() {
    let own = Authority::new("own");
    let standby = Postgres::standby(&own.server(&["localhost"]), &own, true);
    let primary = &shared().postgres;
    let by_role = |server: &Postgres, role: &'static str| {
        section(server.url("probe:hunter2", "")).with("role", Value::Word(role)).probe(&KIND)
    };
    let by_url = |server: &Postgres, user: &str, attributes: &str| {
        let parameters = format!("target_session_attrs={attributes}");
        section(server.url(&format!("{user}:hunter2"), &parameters)).probe(&KIND)
    };
    for (mut probe, expected) in [
        (by_role(primary, "primary"), "pass"),
        (by_role(primary, "replica"), "the server is primary, not replica"),
        (by_role(&standby, "replica"), "pass"),
        (by_role(&standby, "primary"), "the server is replica, not primary"),
        (by_url(primary, "probe", "read-write"), "pass"),
        (by_url(primary, "timid", "read-write"), "the server is read-only, not read-write"),
        (by_url(primary, "timid", "primary"), "pass"),
        (by_url(primary, "timid", "read-only"), "pass"),
        (by_url(primary, "probe", "read-only"), "the server is primary, not read-only"),
        (by_url(&standby, "probe", "any"), "pass"),
        (by_url(&standby, "probe", "prefer-standby"), "pass"),
        (by_url(&standby, "probe", "standby"), "pass"),
        (by_url(&standby, "probe", "read-only"), "pass"),
        (by_url(&standby, "probe", "primary"), "the server is replica, not primary"),
        (by_url(&standby, "probe", "read-write"), "the server is replica, not read-write"),
    ] {
        for _ in 0..2 {
            let said = observe(&mut *probe, LIMIT).await.unwrap();
            assert_eq!(said.map_or_else(|failure| failure.message, |_| "pass".into()), expected);
        }
    }
    let cold = Postgres::standby(&own.server(&["localhost"]), &own, false);
    let refused = failure(&mut *section(cold.url("probe:hunter2", "")).probe(&KIND)).await;
    let expected = "the server is a standby without hot standby mode (SQLSTATE 57P03 cannot_connect_now)";
    assert_eq!(refused.message, expected);
}

/// A probe whose URL an expansion brought in, so that the server's own words stay out of everything.
fn expanded(url: String) -> Box<dyn Probe> {
    let parts = vec![TextPart::Expanded(Secret::new(url))];
    SectionBuilder::new().with("url", Value::Text(Text { parts, written: "${DATABASE_URL}".into() })).probe(&KIND)
}

#[tokio::test]
async fn a_role_s_own_limit_is_told_from_the_server_s() {
    let url = shared().postgres.url("single:hunter2", "sslmode=disable");
    let _only = RawClient::connect(port(), "single", "hunter2").await;
    let message = "the role has no connection left (SQLSTATE 53300 too_many_connections)";
    assert_eq!(failure(&mut *expanded(url)).await.message, message);
}

#[tokio::test]
async fn what_a_pooler_lacks_is_told_whatever_brought_the_url_in() {
    let settings = "max_client_conn = 3\nadmin_users = probe\nquery_wait_timeout = 1\n";
    let pooler = Pooler::start_with(&shared().postgres, "scram-sha-256", &[("probe", "hunter2")], settings);
    let url = |rest: &str| format!("postgres://probe:hunter2@127.0.0.1:{}/{rest}", pooler.port);
    let said = async |rest: &str| {
        let result = observe(&mut *expanded(url(rest)), LIMIT).await.unwrap();
        result.map_or_else(|failure| failure.message, |_| "pass".into())
    };
    assert_eq!(said("hunter3").await, "the pooler does not know the database");
    assert_eq!(said("orders?options=-c%20geqo%3Doff").await, "the pooler does not support a parameter of the URL");
    pooler.command("PAUSE");
    assert_eq!(said("orders").await, "the pooler had no server connection free in time, or is paused");
    pooler.command("RESUME");
    pass(&mut *expanded(url("orders"))).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let kept = section(url("orders")).with("max_connection_age", Value::Duration(Duration::from_secs(300)));
        let mut probe = kept.probe(&KIND);
        pass(&mut *probe).await;
        held.push(probe);
    }
    assert_eq!(said("orders").await, "the pooler has no connection left (max_client_conn)");
}

/// A pool of one server connection, in front of the shared server.
fn pooler(authentication: &str) -> Pooler {
    Pooler::start(&shared().postgres, authentication, &[("probe", "hunter2"), ("nobody", "hunter2")])
}

/// What an application finds on the connection that the pool gives it.
const SETTINGS: &str =
    "SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') || ' ' || pg_backend_pid()
    || ' ' || (SELECT count(*) FROM pg_prepared_statements) || ' ' || (SELECT count(*) FROM pg_cursors)
    FROM pg_settings WHERE source IN ('session', 'client') OR name IN ('DateStyle', 'IntervalStyle', 'TimeZone',
    'client_encoding', 'extra_float_digits', 'search_path', 'statement_timeout', 'transaction_read_only',
    'default_transaction_read_only', 'application_name')";

#[tokio::test]
async fn a_transaction_pooler_gives_its_connection_on_as_it_was() {
    let pooler = pooler("plain");
    let url = format!("postgres://probe:hunter2@127.0.0.1:{}/orders", pooler.port);
    // The application says nothing of its settings, so that it finds what the last client left.
    let mut application = RawClient::connect(pooler.port, "probe", "hunter2").await;
    let before = application.ask(SETTINGS).await;
    let query = "SELECT set_config('search_path', 'nowhere', false) || pg_backend_pid()";
    let mut probes = [
        section(&url).probe(&KIND),
        section(&url).text("query", query).probe(&KIND),
        section(&url)
            .text("query", "SELECT feeling FROM orders")
            .with("max_connection_age", Value::Duration(Duration::ZERO))
            .probe(&KIND),
    ];
    for _ in 0..3 {
        for probe in &mut probes {
            pass(&mut **probe).await;
            assert_eq!(application.ask(SETTINGS).await, before);
        }
    }
    let mut failing = section(&url).text("query", "SELECT 1 / 0").probe(&KIND);
    assert_eq!(failure(&mut *failing).await.message, "query failed (SQLSTATE 22012 division_by_zero)");
    assert_eq!(application.ask(SETTINGS).await, before);
}

#[tokio::test]
async fn a_pooler_s_refusals_are_understood() {
    let mut pooler = pooler("scram-sha-256");
    let url = |user: &str| format!("postgres://{user}@127.0.0.1:{}/orders?sslmode=disable", pooler.port);
    let wrong = failure(&mut *section(url("probe:wr0ng-s3cret")).probe(&KIND)).await;
    assert_eq!((wrong.kind, wrong.message.as_str()), (FailureKind::Auth, "authentication failed"));
    let unknown = failure(&mut *section(url("stranger:hunter2")).probe(&KIND)).await;
    assert_eq!(unknown.kind, FailureKind::Auth);
    // The pooler lets this one in and the server does not.
    let behind = failure(&mut *section(url("nobody:hunter2")).probe(&KIND)).await;
    assert_eq!((behind.kind, behind.message.as_str()), (FailureKind::Auth, "authentication failed"));
    let no_database = failure(&mut *section(url("probe:hunter2").replace("/orders", "/stock")).probe(&KIND)).await;
    assert_eq!(no_database.kind, FailureKind::Protocol, "{no_database:?}");

    let mut kept = section(url("probe:hunter2")).probe(&KIND);
    pass(&mut *kept).await;
    pooler.server.freeze();
    assert_eq!(observe(&mut *kept, Duration::from_millis(200)).await, None);
    pooler.server.thaw();
    pass(&mut *kept).await;
    pooler.server.kill();
    assert_eq!(failure(&mut *kept).await.message, "connection refused");
}

/// A client that says no more than it must, as an application's driver may.
pub struct RawClient(TcpStream);

impl RawClient {
    /// Logs in to the database `orders`, with the password as it is.
    pub async fn connect(port: u16, user: &str, password: &str) -> Self {
        let mut client = Self(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        client.send(&[], format!("\0\x03\0\0user\0{user}\0database\0orders\0\0").as_bytes()).await;
        assert_eq!(client.until(b'R').await, 3u32.to_be_bytes(), "it asks for the password");
        client.send(b"p", format!("{password}\0").as_bytes()).await;
        client.until(b'Z').await;
        client
    }

    /// Executes statements.
    pub async fn tell(&mut self, statements: &str) {
        self.send(b"Q", format!("{statements}\0").as_bytes()).await;
        self.until(b'Z').await;
    }

    /// The first column of the first row.
    async fn ask(&mut self, query: &str) -> String {
        self.send(b"Q", format!("{query}\0").as_bytes()).await;
        let row = self.until(b'D').await;
        self.until(b'Z').await;
        String::from_utf8(row[6..].to_vec()).unwrap()
    }

    async fn send(&mut self, kind: &[u8], body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        self.0.write_all(&[kind, &length, body].concat()).await.unwrap();
    }

    /// Reads messages up to the first of this kind, and gives its body.
    async fn until(&mut self, wanted: u8) -> Vec<u8> {
        loop {
            let kind = self.0.read_u8().await.unwrap();
            let length = self.0.read_u32().await.unwrap() as usize;
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body).await.unwrap();
            assert_ne!(kind, b'E', "{}", body.escape_ascii());
            if kind == wanted {
                return body;
            }
        }
    }
}
