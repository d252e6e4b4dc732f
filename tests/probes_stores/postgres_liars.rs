//! Databases that know the protocol and do not keep to it: nothing that was not answered in order passes, and each
//! failure says what it is.

use std::time::Duration;

use probelet::base::value::Value;
use probelet::model::outcome::FailureKind;
use probelet::probe::postgres::KIND;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::section::{SectionBuilder, observe};
use crate::{LIMIT, until_no_task_is_left};

/// A message of the server.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

/// The server asks for a proof of this kind, or says that it has been given.
pub fn authentication(kind: u8, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&[0, 0, 0, kind], rest].concat())
}

pub fn let_in() -> Vec<u8> {
    [authentication(0, b""), message(b'K', &[0; 8]), ready(b"I")].concat()
}

pub fn ready(state: &[u8]) -> Vec<u8> {
    message(b'Z', state)
}

pub fn done(what: &str) -> Vec<u8> {
    message(b'C', format!("{what}\0").as_bytes())
}

pub fn begun() -> Vec<u8> {
    [done("BEGIN"), ready(b"T")].concat()
}

/// The description of a result with one column of this type.
pub fn described(column_type: u32) -> Vec<u8> {
    message(b'T', &[b"\0\x01a\0\0\0\0\0\0\0", column_type.to_be_bytes().as_slice(), &[0; 8]].concat())
}

pub fn row(value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    message(b'D', &[b"\0\x01", length.as_slice(), value.as_bytes()].concat())
}

pub fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mhunter2\0\0").as_bytes())
}

/// Gives one answer to each request, and hangs up after the last. `NONCE` in an answer is the nonce of the client.
async fn speak(listener: TcpListener, answers: Vec<Vec<u8>>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    // Whoever wants to cancel something finds nobody.
    drop(listener);
    let mut buffer = [0; 4096];
    for answer in answers {
        let read = stream.read(&mut buffer).await.unwrap();
        let request = String::from_utf8_lossy(&buffer[..read]);
        let nonce = request.rsplit("r=").next().unwrap_or_default();
        let answer = match answer.windows(5).position(|window| window == b"NONCE") {
            Some(place) => message(answer[0], &[&answer[5..place], nonce.as_bytes(), &answer[place + 5..]].concat()),
            None => answer,
        };
        stream.write_all(&answer).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

/// What the probe says of such a server.
async fn said(answers: Vec<Vec<u8>>, expect: Option<&str>) -> (Option<FailureKind>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://probe:hunter2@{}/orders?sslmode=disable", listener.local_addr().unwrap());
    let server = tokio::spawn(speak(listener, answers));
    let section = SectionBuilder::new().text("url", url).with("max_connection_age", Value::Duration(Duration::ZERO));
    let section = expect.into_iter().fold(section, |section, expect| section.text("expect", expect));
    let result = observe(&mut *section.probe(&KIND), LIMIT).await.expect("it ends in time");
    server.await.unwrap();
    match result {
        Ok(pass) => (None, pass.message.unwrap_or_default()),
        Err(failure) => {
            assert!(!failure.message.contains("hunter2"), "{failure:?}");
            (Some(failure.kind), failure.message)
        }
    }
}

const BREAKS: &str = "the answer breaks the protocol";
const CLOSED: &str = "connection closed by the server";
const UNPROVEN: &str = "the server cannot prove that it knows the password";

#[tokio::test]
async fn a_login_goes_in_order() {
    let scram = || authentication(10, b"SCRAM-SHA-256\0\0");
    let challenge = |rest: &str| authentication(11, format!("r=NONCEx,{rest}").as_bytes());
    let few = || challenge("s=YQ==,i=4");
    let cases = [
        (
            "an error at once",
            vec![error("FATAL", "57P03")],
            FailureKind::Protocol,
            "the server is starting up or shutting down (SQLSTATE 57P03 cannot_connect_now)",
        ),
        (
            "an error that is not fatal",
            vec![error("ERROR", "XX000")],
            FailureKind::Protocol,
            "login failed (SQLSTATE XX000 internal_error)",
        ),
        ("ready and nobody let in", vec![ready(b"I")], FailureKind::Protocol, BREAKS),
        ("an answer before a question", vec![done("SELECT 1")], FailureKind::Protocol, BREAKS),
        ("let in, and rows", vec![[authentication(0, b""), row("1")].concat()], FailureKind::Protocol, BREAKS),
        ("let in, and gone", vec![authentication(0, b"")], FailureKind::Connect, CLOSED),
        ("let in twice", vec![[authentication(0, b""), let_in()].concat()], FailureKind::Protocol, BREAKS),
        ("asked twice", vec![authentication(3, b""), authentication(5, b"salt")], FailureKind::Protocol, BREAKS),
        (
            "Kerberos",
            vec![authentication(7, b"")],
            FailureKind::Auth,
            "the server asks for a way of authentication that is not supported",
        ),
        (
            "another mechanism",
            vec![authentication(10, b"OAUTHBEARER\0\0")],
            FailureKind::Auth,
            "the server asks for a way of authentication that is not supported",
        ),
        (
            "mechanisms without an end",
            vec![authentication(10, b"SCRAM-SHA-256\0")],
            FailureKind::Protocol,
            "the server does not speak PostgreSQL's protocol",
        ),
        ("let in before a challenge", vec![scram(), let_in()], FailureKind::Auth, UNPROVEN),
        ("let in before its own proof", vec![scram(), few(), let_in()], FailureKind::Auth, UNPROVEN),
        ("a wrong proof", vec![scram(), few(), authentication(12, b"v=YQ==")], FailureKind::Auth, UNPROVEN),
        (
            "an error for a proof",
            vec![scram(), few(), authentication(12, b"e=other-error")],
            FailureKind::Auth,
            UNPROVEN,
        ),
        ("no proof at all", vec![scram(), few(), authentication(12, b"")], FailureKind::Auth, UNPROVEN),
        ("a password after all", vec![scram(), authentication(3, b"")], FailureKind::Protocol, BREAKS),
        (
            "no rounds",
            vec![scram(), challenge("s=YQ==,i=0")],
            FailureKind::Protocol,
            "the server does not speak PostgreSQL's protocol",
        ),
        (
            "a nonce of its own",
            vec![scram(), authentication(11, b"r=abc,s=YQ==,i=4")],
            FailureKind::Protocol,
            "the server does not speak PostgreSQL's protocol",
        ),
        (
            "no challenge",
            vec![scram(), authentication(11, b"")],
            FailureKind::Protocol,
            "the server does not speak PostgreSQL's protocol",
        ),
    ];
    for (what, answers, kind, message) in cases {
        assert_eq!(said(answers, None).await, (Some(kind), message.to_owned()), "{what}");
    }
    until_no_task_is_left().await;
}

#[tokio::test]
async fn an_answer_goes_in_order() {
    let (parsed, bound) = (|| message(b'1', b""), || message(b'2', b""));
    let prepared = || [parsed(), bound()].concat();
    let answered =
        |parts: Vec<Vec<u8>>| vec![let_in(), begun(), parts.concat(), [done("ROLLBACK"), ready(b"I")].concat()];
    let end = || [done("SELECT 1"), ready(b"T")].concat();
    let failing = [
        ("ready at once", answered(vec![ready(b"T")]), BREAKS),
        ("nothing parsed", answered(vec![bound(), described(25), row("1"), end()]), BREAKS),
        ("nothing bound", answered(vec![parsed(), described(25), row("1"), end()]), BREAKS),
        ("nothing described", answered(vec![prepared(), row("1"), end()]), BREAKS),
        ("described twice", answered(vec![prepared(), described(25), described(25), row("1"), end()]), BREAKS),
        ("no end", answered(vec![prepared(), described(25), row("1"), ready(b"T")]), BREAKS),
        ("done twice", answered(vec![prepared(), described(25), row("1"), done("SELECT 1"), end()]), BREAKS),
        ("a login again", answered(vec![prepared(), described(25), authentication(0, b""), end()]), BREAKS),
        ("gone in the middle", answered(vec![prepared(), described(25)])[..3].to_vec(), CLOSED),
        ("never begun", vec![let_in(), ready(b"I")], BREAKS),
        (
            "no state",
            vec![let_in(), [done("BEGIN"), ready(b"X")].concat()],
            "the server does not speak PostgreSQL's protocol",
        ),
        (
            "a copy",
            answered(vec![prepared(), message(b'n', b""), message(b'H', b"\0\0\0")]),
            "the query is a COPY, not a SELECT",
        ),
        (
            "an error and gone",
            answered(vec![error("ERROR", "42P01")])[..3].to_vec(),
            "query failed (SQLSTATE 42P01 undefined_table)",
        ),
        (
            "a late error",
            answered(vec![prepared(), described(25), row("1"), error("ERROR", "22012"), ready(b"E")]),
            "query failed (SQLSTATE 22012 division_by_zero)",
        ),
        (
            "an error and nonsense",
            answered(vec![error("ERROR", "22012"), row("1"), error("ERROR", "42P01"), ready(b"E")]),
            "query failed (SQLSTATE 22012 division_by_zero)",
        ),
        (
            "a fatal error",
            answered(vec![prepared(), error("FATAL", "57P01")]),
            "the server is shutting down (SQLSTATE 57P01 admin_shutdown)",
        ),
    ];
    for (what, answers, message) in failing {
        assert_eq!(said(answers, Some("1")).await.1, message, "{what}");
    }
    let notes = || {
        [message(b'N', b"SNOTICE\0C00000\0Mhello\0\0"), message(b'S', b"a\0b\0"), message(b'A', b"\0\0\0\x01c\0p\0")]
            .concat()
    };
    let passing = [
        ("as it should be", answered(vec![prepared(), described(25), row("1"), end()])),
        (
            "more rows than were asked for",
            answered(vec![prepared(), described(25), row("1"), row("2"), row("3"), end()]),
        ),
        ("one of many", answered(vec![prepared(), described(25), row("1"), message(b's', b""), ready(b"T")])),
        (
            "notes everywhere",
            answered(vec![
                notes(),
                parsed(),
                notes(),
                bound(),
                notes(),
                described(25),
                notes(),
                row("1"),
                notes(),
                end(),
            ]),
        ),
    ];
    for (what, answers) in passing {
        assert_eq!(said(answers, Some("1")).await, (None, "Database is connected".to_owned()), "{what}");
    }
    // Nothing to execute is an answer, and no value.
    let empty = || answered(vec![prepared(), message(b'n', b""), message(b'I', b""), ready(b"T")]);
    assert_eq!(said(empty(), None).await.0, None);
    assert_eq!(said(empty(), Some("1")).await.1, "the query gives no row");
    // What a boolean says when it is asked to be one.
    assert_eq!(said(answered(vec![prepared(), described(16), row("t"), end()]), Some("true")).await.0, None);
    until_no_task_is_left().await;
}
