//! What the stores' sections say of mistakes, before anything is dialled.

use probelet::base::value::{Text, TextPart, Value};
use probelet::probe::{ProbeKind, amqp, postgres, redis};

use crate::support::certs::{Authority, Folder};
use crate::support::section::SectionBuilder;

fn problems(kind: &'static ProbeKind, section: SectionBuilder) -> Vec<String> {
    section.read(kind).map(|_| ()).expect_err("it has a problem")
}

#[track_caller]
fn check(kind: &'static ProbeKind, url: &str, problem: &str) {
    assert_eq!(problems(kind, SectionBuilder::new().text("url", url)), [problem], "{url}");
}

#[test]
fn urls_of_postgres() {
    let kind = &postgres::KIND;
    check(kind, "postgres://", "invalid-url: the URL names no user");
    check(kind, "postgres://db/orders", "invalid-url: the URL names no user");
    check(kind, "postgres://bob@/orders", "invalid-url: not a URL");
    check(kind, "postgres:///orders?user=bob", "invalid-url: the URL names no host");
    check(kind, "postgres://bob@db:0", "invalid-url: the port is not a number from 1 to 65535");
    check(
        kind,
        "postgres:///orders?user=bob&host=/run/postgresql",
        "invalid-url: a database is reached by TCP, not by a Unix socket",
    );
    check(
        kind,
        "postgres://bob@db/orders?host=fe80::1%25eth0",
        "invalid-url: an IPv6 address with a zone (`%eth0`) cannot be dialled",
    );
    check(kind, "postgres://bob:a%00b@db", "invalid-url: the URL holds what is neither text nor UTF-8");
    check(kind, "postgres://bob:%ff@db", "invalid-url: the URL holds what is neither text nor UTF-8");
    check(
        kind,
        "postgres://bob@db?target_session_attrs=readwrite",
        "invalid-url: `target_session_attrs` is one of any, read-write, read-only, primary, standby, prefer-standby",
    );
    check(
        kind,
        "postgres://bob@db?channel_binding=yes",
        "invalid-url: `channel_binding` is one of disable, prefer, require",
    );
    check(
        kind,
        "postgres://bob@db?sslmode=disable&channel_binding=require",
        "invalid-url: `channel_binding=require` needs TLS",
    );
    check(
        kind,
        "postgres://bob@db?sslcrl=/etc/crl.pem",
        "ineffective-key: the parameter `sslcrl` of the URL has no effect here",
    );
    check(
        kind,
        "postgres://bob@db?target_sesion_attrs=primary",
        "ineffective-key: a parameter of the URL is not one of libpq's",
    );
    for (methods, problem) in [
        ("scram", "`require_auth` is a list of password, md5, scram-sha-256 and none, or of these with `!`"),
        ("md5,!password", "`require_auth` has methods with `!` and without: it is one or the other"),
        ("gss", "`require_auth` leaves no method that there is here: password, md5, scram-sha-256 or none"),
    ] {
        check(kind, &format!("postgres://bob@db?require_auth={methods}"), &format!("invalid-url: {problem}"));
    }
    let section = SectionBuilder::new().text("url", "postgres://bob@db?require_auth=!md5").text("require_auth", "md5");
    let problem = "invalid-value: `require_auth` and that of the URL exclude each other";
    assert_eq!(problems(kind, section), [problem]);
    let modes = "invalid-url: `sslmode` is one of disable, allow, prefer, require, verify-ca, verify-full";
    check(kind, "postgres://bob@db?sslmode=verify_full", modes);
    check(
        kind,
        "postgres://bob@db?sslrootcert=/nowhere.pem",
        "unreadable-file: cannot read the file /nowhere.pem: no such file",
    );
    for url in [
        "postgres://bob@db",
        "postgresql://bob:secret@[::1]:6432/orders?sslmode=disable",
        "postgres://bob@db?sslmode=verify-full&sslrootcert=system",
        "postgres://bob@db/orders?schema=public&connection_limit=5&pgbouncer=true",
        "postgres:///orders?user=bob&host=db&port=5433",
        "postgres://bob@db?target_session_attrs=prefer-standby&channel_binding=require&connect_timeout=5&keepalives=1",
    ] {
        assert!(SectionBuilder::new().text("url", url).read(kind).is_ok(), "{url}");
    }
    for (rest, is_told) in [
        ("", true),
        ("?sslmode=disable", true),
        ("?require_auth=!password", true),
        ("?require_auth=scram-sha-256", false),
        ("?require_auth=!password,!md5", false),
        ("?sslmode=require", false),
        ("?sslmode=verify-full", false),
    ] {
        let spec =
            SectionBuilder::new().text("url", format!("postgres://bob:secret@db/orders{rest}")).read(kind).unwrap();
        assert_eq!(spec.hosts_told_the_password() == ["db"], is_told, "{rest}");
    }
    let spec = SectionBuilder::new().text("url", "postgresql://bob@[::1]:6432/x").read(kind).unwrap();
    assert_eq!(spec.hosts(), ["::1"]);
    let spec = SectionBuilder::new().text("url", "postgresql://bob@db/x?hostaddr=::1").read(kind).unwrap();
    assert_eq!(spec.hosts(), ["::1"], "it is connected to there");
    check(kind, "postgres://bob@db?hostaddr=db.example", "invalid-url: `hostaddr` is not an IP address");
}

#[test]
fn roles_of_postgres() {
    let with = |parameters: &str, role: &'static str| {
        let section = SectionBuilder::new().text("url", format!("postgres://bob@db?{parameters}"));
        section.with("role", Value::Word(role)).read(&postgres::KIND).map(|_| ())
    };
    for (attributes, role) in
        [("primary", "primary"), ("read-write", "primary"), ("standby", "replica"), ("any", "replica")]
    {
        assert_eq!(with(&format!("target_session_attrs={attributes}"), role), Ok(()), "{attributes}");
    }
    let problem = "invalid-value: `role` and the URL's `target_session_attrs` exclude each other";
    assert_eq!(with("target_session_attrs=standby", "primary"), Err(vec![problem.into()]));
    let foregone = SectionBuilder::new().text("url", "postgres://bob@db").text("query", "SHOW transaction_read_only");
    assert_eq!(
        problems(&postgres::KIND, foregone.text("expect", "off")),
        [
            "invalid-value: `transaction_read_only` is always `on` here: the query runs in a transaction that can only read"
        ]
    );
}

#[test]
fn files_of_postgres() {
    let (files, authority) = (Folder::new(), Authority::new("test"));
    let identity = authority.client("bob");
    let certificate = files.write("client.pem", &identity.certificate);
    let key = files.write("client.key", &identity.key);
    let other = files.write("other.key", authority.client("eve").key);
    let text = files.write("text", "hello");
    let check =
        |parameters: String, problem: &str| check(&postgres::KIND, &format!("postgres://bob@db?{parameters}"), problem);
    let pair = "bad-certificate: a client certificate needs both `sslcert` and `sslkey`";
    check(format!("sslcert={certificate}"), pair);
    check(format!("sslkey={key}"), pair);
    check(
        format!("sslcert={certificate}&sslkey={other}"),
        "bad-certificate: `sslkey`: the private key does not belong to the certificate",
    );
    check(format!("sslcert={certificate}&sslkey={text}"), "bad-certificate: `sslkey`: the file holds no private key");
    check(format!("sslrootcert={text}"), "bad-certificate: `sslrootcert`: the file holds no certificate");
}

fn with_capture(before: &str, after: &str) -> Value {
    let capture = TextPart::Capture { step: "order".into(), name: "id".into() };
    let parts = vec![TextPart::Plain(before.into()), capture, TextPart::Plain(after.into())];
    Value::Text(Text { parts, written: String::new() })
}

#[test]
fn captured_values() {
    let in_query = |before, after| {
        let section = SectionBuilder::new().text("url", "postgres://bob@db").with("query", with_capture(before, after));
        section.read(&postgres::KIND).map(|_| ())
    };
    assert_eq!(in_query("SELECT state FROM orders WHERE id = ", "::bigint"), Ok(()));
    let problem = "capture-in-literal: the captured value id stands inside a string";
    assert_eq!(in_query("SELECT '", "'"), Err(vec![problem.into()]));
    for (kind, scheme) in [(&postgres::KIND, "postgres"), (&redis::KIND, "redis"), (&amqp::KIND, "amqp")] {
        let section = SectionBuilder::new().with("url", with_capture(&format!("{scheme}://bob:x@db/"), ""));
        let problem = "misplaced-capture: a captured value cannot stand in the URL of a store";
        assert_eq!(problems(kind, section), [problem]);
    }
}

#[test]
fn an_empty_query() {
    let section = SectionBuilder::new().text("url", "postgres://bob@db").text("query", " ");
    assert_eq!(problems(&postgres::KIND, section), ["invalid-value: the query is empty"]);
}

#[test]
fn urls_of_redis() {
    let kind = &redis::KIND;
    check(kind, "redis://", "invalid-url: the URL names no host, or the port 0");
    check(kind, "redis://cache:0", "invalid-url: the URL names no host, or the port 0");
    check(kind, "redis://cache/orders", "invalid-url: the path of the URL is not the number of a database");
    check(kind, "redis://:%ff@cache", "invalid-url: user or password are not text in UTF-8");
    for url in [
        "redis://cache",
        "redis://cache/",
        "rediss://:a%2fb@[::1]:6380/3",
        "redis://bob:x@cache/0",
        "redis://bob@cache",
    ] {
        assert!(SectionBuilder::new().text("url", url).read(kind).is_ok(), "{url}");
    }
    let plain = SectionBuilder::new().text("url", "redis://cache").section("tls", SectionBuilder::new());
    assert_eq!(problems(kind, plain), ["ineffective-key: `tls` has no effect on a `redis://` URL"]);
}

#[test]
fn urls_and_queues_of_amqp() {
    let kind = &amqp::KIND;
    check(kind, "amqp://", "invalid-url: the URL names no host, or the port 0");
    check(kind, "amqp://mq/%ff", "invalid-url: user, password or virtual host are not text in UTF-8");
    let long = format!("amqp://mq/{}", "x".repeat(256));
    check(kind, &long, "invalid-value: the name of the virtual host is longer than 255 bytes");
    let base = || SectionBuilder::new().text("url", "amqp://mq");
    let queue = base().text("queue", "x".repeat(256));
    assert_eq!(problems(kind, queue), ["invalid-value: the name of the queue is longer than 255 bytes"]);
    let counts = base().with("max_messages", Value::Integer(1)).with("min_consumers", Value::Integer(1));
    assert_eq!(
        problems(kind, counts),
        ["missing-key: `max_messages` needs a `queue`", "missing-key: `min_consumers` needs a `queue`"]
    );
    for url in ["amqp://mq", "amqps://bob:x@[::1]:5671/%2f", "amqp://mq/shop%2Feu"] {
        assert!(SectionBuilder::new().text("url", url).read(kind).is_ok(), "{url}");
    }
}
