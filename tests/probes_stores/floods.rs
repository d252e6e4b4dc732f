//! Servers that send without end, in every phase of a run and between runs: each is cut off at a bound that counts
//! bytes, and the failure says what was too much.

use std::time::Duration;

use probelet::base::value::Value;
use probelet::model::outcome::FailureKind;
use probelet::probe::{amqp, postgres, redis};

use crate::support::certs::{Authority, Folder, Identity};
use crate::support::fake::{Act, Fake};
use crate::support::section::SectionBuilder;
use crate::{failure, pass};

/// More than any probe reads.
const FLOOD: usize = 4 << 20;

/// The same piece again and again.
fn flood_of(piece: &[u8]) -> Vec<u8> {
    piece.repeat(FLOOD / piece.len())
}

/// A frame of AMQP.
fn frame(kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [[kind, 0, channel].as_slice(), &length, payload, &[0xce]].concat()
}

/// The introduction of a broker whose properties are tables in tables, so many deep.
fn start(depth: usize) -> Vec<u8> {
    let mut table: Vec<u8> = Vec::new();
    for _ in 0..depth {
        let length = u32::try_from(table.len()).unwrap().to_be_bytes();
        table = [b"\x01aF".as_slice(), &length, &table].concat();
    }
    let length = u32::try_from(table.len()).unwrap().to_be_bytes();
    frame(1, 0, &[b"\0\x0a\0\x0a\0\x09".as_slice(), &length, &table, b"\0\0\0\x05PLAIN\0\0\0\x05en_US"].concat())
}

/// What a broker says to each request of a probe, and in which part of the conversation it goes on without end.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Login,
    Run,
    AfterRun,
    Never,
}

async fn broker(introduction: Vec<u8>, part: Part, flood: Vec<u8>) -> Fake {
    let answer = move |_: usize, request: &str| {
        let says = |class_and_method: &str| request.contains(class_and_method);
        let with = |answer: Vec<u8>, here: Part| if here == part { [answer, flood.clone()].concat() } else { answer };
        Some(if says("AMQP\0") {
            introduction.clone()
        } else if says("\0\x0a\0\x0b") {
            // start-ok: tune to 8 channels, frames of 8192 bytes, no heartbeat.
            with(frame(1, 0, b"\0\x0a\0\x1e\0\x08\0\0\x20\0\0\0"), Part::Login)
        } else if says("\0\x0a\0\x28") {
            frame(1, 0, b"\0\x0a\0\x29\0")
        } else if says("\0\x14\0\x0a") {
            with(frame(1, 1, b"\0\x14\0\x0b\0\0\0\0"), Part::Run)
        } else if says("\0\x14\0\x28") {
            with(frame(1, 1, b"\0\x14\0\x29"), Part::AfterRun)
        } else {
            Vec::new()
        })
    };
    Fake::start(Act::serve(answer)).await
}

fn section(scheme: &str, fake: &Fake, rest: &str) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("{scheme}://probe:hunter2@{}/{rest}", fake.address()))
}

/// Frames that a broker may send to a probe, and that make no end.
fn allowed() -> [(&'static str, Vec<u8>); 3] {
    [
        ("heartbeats", frame(8, 0, b"")),
        ("alarms", [frame(1, 0, b"\0\x0a\0\x3c\x01x"), frame(1, 0, b"\0\x0a\0\x3d")].concat()),
        ("flow", frame(1, 1, b"\0\x14\0\x14\x01")),
    ]
}

#[tokio::test]
async fn a_broker_that_sends_what_nobody_has_asked_for_is_cut_off() {
    let returned = [
        frame(1, 1, b"\0\x3c\0\x32\x01\x38\x07NO_ROUTE\0\x01q"),
        frame(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0\x01\0\0"),
        frame(3, 1, b"x"),
    ]
    .concat();
    let delivered = frame(1, 1, b"\0\x3c\0\x3c\x01c\0\0\0\0\0\0\0\x01\0\0\x01q");
    for (what, flood) in [
        ("returned messages", returned),
        ("deliveries", delivered),
        ("heads of messages", frame(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0\x01\0\0")),
        ("bodies of messages", frame(3, 1, &[b'x'; 4000])),
        ("methods of no class", frame(1, 1, b"\0\xc8\0\x01")),
    ] {
        let fake = broker(start(0), Part::Run, flood_of(&flood)).await;
        let found = failure(&mut *section("amqp", &fake, "").probe(&amqp::KIND)).await;
        let found = (found.kind, found.message.as_str());
        assert_eq!(found, (FailureKind::Protocol, "the broker sends what nobody has asked for"), "{what}");
        fake.until(|seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn a_broker_that_sends_without_end_is_cut_off_in_every_phase() {
    for (what, piece) in allowed() {
        for (part, message) in
            [(Part::Login, "the login is longer than 64 KiB"), (Part::Run, "the answer is longer than 64 KiB")]
        {
            if what == "flow" && part == Part::Login {
                continue;
            }
            let fake = broker(start(0), part, flood_of(&piece)).await;
            let found = failure(&mut *section("amqp", &fake, "").probe(&amqp::KIND)).await;
            assert_eq!((found.kind, found.message.as_str()), (FailureKind::Protocol, message), "{what}");
            fake.until(|seen| seen.open == 0).await;
        }
    }
}

#[tokio::test]
async fn a_kept_connection_to_a_broker_takes_in_no_more_between_runs_than_in_one() {
    for (what, piece) in allowed() {
        let fake = broker(start(0), Part::AfterRun, flood_of(&piece)).await;
        let kept = section("amqp", &fake, "").with("max_connection_age", Value::Duration(Duration::from_secs(3600)));
        let mut kept = kept.probe(&amqp::KIND);
        pass(&mut *kept).await;
        // Nobody asks anything any more.
        fake.until(|seen| seen.open == 0).await;
        pass(&mut *kept).await;
        assert_eq!(fake.seen().accepted, 2, "{what}");
    }
}

#[tokio::test]
async fn the_properties_of_a_broker_are_of_any_depth() {
    let fake = broker(start(8000), Part::Never, Vec::new()).await;
    pass(&mut *section("amqp", &fake, "").probe(&amqp::KIND)).await;
}

#[tokio::test]
async fn a_redis_that_answers_without_end_is_cut_off_in_every_phase() {
    for piece in [
        b">2\r\n+message\r\n+x\r\n".as_slice(),
        b"|1\r\n+key\r\n+value\r\n",
        b"%1\r\n+key\r\n+value\r\n",
        b"*1\r\n",
        b"$5\r\nhello\r\n",
    ] {
        for (part, message) in
            [("AUTH", "the login is longer than 64 KiB"), ("PING", "the answer is longer than 64 KiB")]
        {
            let flood = flood_of(piece);
            let answer = move |_: usize, request: &str| {
                Some(if request.contains(part) { flood.clone() } else { b"+OK\r\n".into() })
            };
            let fake = Fake::start(Act::serve(answer)).await;
            let found = failure(&mut *section("redis", &fake, "").probe(&redis::KIND)).await;
            // Some of these are no answer at all, which is seen at once.
            let expected = [message, "the server does not speak Redis's protocol"];
            assert_eq!(found.kind, FailureKind::Protocol);
            assert!(expected.contains(&found.message.as_str()), "{}: {found:?}", piece.escape_ascii());
            fake.until(|seen| seen.open == 0).await;
        }
    }
}

/// A message of PostgreSQL's protocol.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

/// A database that logs in everybody and then answers each request with this.
async fn database(login: Vec<u8>, answer: Vec<u8>) -> Fake {
    let answer = move |number: usize, _: &str| Some(if number == 0 { login.clone() } else { answer.clone() });
    Fake::start(Act::serve(answer)).await
}

fn let_in() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'Z', b"I")].concat()
}

#[tokio::test]
async fn a_database_that_answers_without_end_is_cut_off_in_every_phase() {
    let columns = [[0xff, 0xff].as_slice(), &b"a\0\0\0\0\0\0\0\0\0\0\x19\0\x04\0\0\0\0\0\0".repeat(0xffff)].concat();
    for (what, piece) in [
        ("notices", message(b'N', b"SNOTICE\0C00000\0Mhello\0\0")),
        ("settings", message(b'S', b"TimeZone\0UTC\0")),
        ("notifications", message(b'A', b"\0\0\0\x01channel\0payload\0")),
        ("columns", message(b'T', &columns)),
    ] {
        let flood = flood_of(&piece);
        for (fake, phase) in
            [(database(flood.clone(), Vec::new()), "login"), (database(let_in(), flood.clone()), "answer")]
        {
            let fake = fake.await;
            let found =
                failure(&mut *section("postgres", &fake, "orders?sslmode=disable").probe(&postgres::KIND)).await;
            assert_eq!(found.kind, FailureKind::Protocol, "{what}: {found:?}");
            // One message of this length is no login.
            let expected = match (what, phase) {
                ("columns", "login") => "the server does not speak PostgreSQL's protocol".into(),
                _ => format!("the {phase} is longer than 1 MiB"),
            };
            assert_eq!(found.message, expected, "{what} in the {phase}");
            fake.until(|seen| seen.open == 0).await;
        }
    }
}

#[tokio::test]
async fn more_rounds_of_scram_than_anybody_needs_are_not_worked_through() {
    for (rounds, expected) in [
        ("100001", "the server asks for more than 100000 rounds of SCRAM"),
        ("4294967295", "the server asks for more than 100000 rounds of SCRAM"),
        ("99999999999", "the server does not speak PostgreSQL's protocol"),
    ] {
        let answer = move |number: usize, request: &str| match number {
            0 => Some(message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")),
            _ => {
                let nonce = request.rsplit("r=").next().unwrap_or_default();
                Some(message(b'R', format!("\0\0\0\x0br={nonce}x,s=YQ==,i={rounds}").as_bytes()))
            }
        };
        let fake = Fake::start(Act::serve(answer)).await;
        let found = failure(&mut *section("postgres", &fake, "orders?sslmode=disable").probe(&postgres::KIND)).await;
        assert_eq!((found.kind, found.message.as_str()), (FailureKind::Protocol, expected));
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_cut_off() {
    // Records of TLS: a message of 16 MB, messages of no length, alerts that only warn, changes of cipher.
    for (what, piece) in [
        ("one long message", [b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff".as_slice(), &[0; 0x3ffc]].concat()),
        ("empty records", b"\x16\x03\x03\0\0".to_vec()),
        ("warnings", b"\x15\x03\x03\0\x02\x01\x70".to_vec()),
        ("changes of cipher", b"\x14\x03\x03\0\x01\x01".to_vec()),
        ("requests to greet again", b"\x16\x03\x03\0\x04\0\0\0\0".to_vec()),
    ] {
        let fake = Fake::start(Act::Answer(flood_of(&piece))).await;
        let url = format!("rediss://:hunter2@{}", fake.address());
        let found = failure(&mut *SectionBuilder::new().text("url", url).probe(&redis::KIND)).await;
        assert_eq!(found.kind, FailureKind::Tls, "{what}: {found:?}");
        fake.until(|seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn a_chain_in_which_each_could_have_issued_each_is_not_tried_out() {
    let (authority, files) = (Authority::new("own"), Folder::new());
    let ca = files.write("ca.pem", authority.pem());
    // None of these issuers is the one that is trusted, whose name they bear.
    let other = Authority::new("own");
    let with = |identity: Identity, count: usize| {
        (0..count).fold(identity, |identity, _| identity.behind(&Authority::new("own")))
    };
    let too_many = "the chain of certificates takes 16 signatures and more to verify";
    for (identity, kind, message) in [
        (with(other.server(&["localhost"]), 40), FailureKind::Tls, too_many),
        // Whoever presents more than is needed is still trusted.
        (
            with(authority.server(&["localhost"]), 8),
            FailureKind::Protocol,
            "the server does not speak Redis's protocol",
        ),
    ] {
        let fake = Fake::answers("+OK\r\n").await.with_tls(identity.server());
        let url = format!("rediss://localhost:{}", fake.port());
        let section = SectionBuilder::new().text("url", url).section("tls", SectionBuilder::new().text("ca_file", &ca));
        let found = failure(&mut *section.probe(&redis::KIND)).await;
        assert_eq!((found.kind, found.message.as_str()), (kind, message));
    }
}

#[tokio::test]
async fn what_comes_through_tls_is_metered_too() {
    let authority = Authority::new("own");
    let flood = flood_of(b">2\r\n+message\r\n+x\r\n");
    let fake = Fake::start(Act::serve(move |_, _| Some(flood.clone()))).await;
    let fake = fake.with_tls(authority.server(&["localhost"]).server());
    let url = format!("rediss://:hunter2@{}", fake.address());
    let section = SectionBuilder::new().text("url", url);
    let tls = SectionBuilder::new().with("insecure_skip_verify", Value::Bool(true));
    let found = failure(&mut *section.section("tls", tls).probe(&redis::KIND)).await;
    assert_eq!((found.kind, found.message.as_str()), (FailureKind::Protocol, "the login is longer than 64 KiB"));
    fake.until(|seen| seen.open == 0).await;
}
