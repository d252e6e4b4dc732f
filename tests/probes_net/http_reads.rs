//! The kind `http`: bodies up to their limit, and redirects.

use probelet::base::value::Value;
use probelet::model::outcome::FailureKind;
use probelet::probe::RunContext;
use probelet::probe::http::KIND;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fake::{self, Act, Fake};
use crate::section::{SectionBuilder, capturing, observe};
use crate::{LONG, http_encodings, said, said_of};

fn url(fake: &Fake, rest: &str) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://127.0.0.1:{}{rest}", fake.port()))
}

fn chunked(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n").into()
}

#[tokio::test]
async fn an_answer_without_end_is_read_up_to_the_limit() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let fake = Fake::endless(format!("{head}needle "), vec![b'x'; 4096]).await;
    let expect = |expect| url(&fake, "/").section("expect", expect).probe(&KIND);
    let mut plain = url(&fake, "/").probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *plain, LONG).await, "pass");
    }
    assert_eq!(said(&mut *expect(SectionBuilder::new().text("body_contains", "needle")), LONG).await, "pass");
    let cases = [
        (SectionBuilder::new().text("body_contains", "nail"), "mismatch: the expected text is not in the first 64 KiB"),
        (
            SectionBuilder::new().text("body_matches", "nail"),
            "mismatch: nothing in the first 64 KiB matches the expected pattern",
        ),
        (
            SectionBuilder::new().jsons("json", &[("/a", json!(1))]),
            "mismatch: the JSON is not whole in the first 64 KiB: raise `max_body`",
        ),
    ];
    for (section, expected) in cases {
        assert_eq!(said(&mut *expect(section), LONG).await, expected);
    }
    drop((plain, expect));
    fake.until(|seen| seen.open == 0).await;
}

#[tokio::test]
async fn no_more_than_the_limit_is_kept() {
    let body = r#"{"a":1}"#;
    for answer in [fake::http(200, &[], body), chunked(body), format!("HTTP/1.0 200 OK\r\n\r\n{body}").into()] {
        let fake = Fake::start(Act::CloseAfter(answer)).await;
        for (limit, expected) in [
            (6, "mismatch: the JSON is not whole in the first 6 B: raise `max_body`"),
            (7, "pass"),
            (8, "pass"),
            (0, "mismatch: the JSON is not whole in the first 0 B: raise `max_body`"),
        ] {
            let section = url(&fake, "/").with("max_body", Value::Size(limit));
            let expect = SectionBuilder::new().jsons("json", &[("/a", json!(1))]);
            assert_eq!(said(&mut *section.section("expect", expect).probe(&KIND), LONG).await, expected, "{limit}");
        }
    }
}

#[tokio::test]
async fn what_may_stand_beyond_the_limit_is_not_said_to_be_absent() {
    // Of a text that can hardly be compressed.
    let digits: String = (0..1u32 << 14).map(|number| number.wrapping_mul(2_654_435_761).to_string()).collect();
    let page = |length: usize| format!("well {}", &digits[..length - "well ".len()]);
    let end = "maintenance";
    let hidden = page(70 << 10) + end;
    let pieces = format!("{:x}\r\n{}\r\n", 64 << 10, page(64 << 10));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let next = format!("{head}{pieces}{:x}\r\n{end}\r\n0\r\n\r\n", end.len());
    let packed = |body: &str| http_encodings::answer(200, "gzip", &http_encodings::gzip(body.as_bytes()));
    let long = [fake::http(200, &[], &hidden), chunked(&hidden), next.into(), packed(&hidden)];
    let whole = page(64 << 10);
    let exact = [fake::http(200, &[], &whole), format!("{head}{pieces}0\r\n\r\n").into(), packed(&whole)];
    let short = [fake::http(200, &[], &page(100)), packed(&page(100))];
    let text = "the text is not in the first 64 KiB, and the rest is not read: raise `max_body`";
    let pattern = "nothing in the first 64 KiB matches the pattern, and the rest is not read: raise `max_body`";
    let found = "something in the first 64 KiB matches the pattern that should match nothing";
    // In a body that is longer than the limit, and in one that is not.
    for (section, key, value, of_long, of_whole) in [
        ("expect", "body_lacks", end, format!("mismatch: {text}"), "pass"),
        ("expect", "body_not_matches", end, format!("mismatch: {pattern}"), "pass"),
        ("expect", "body_not_matches", "^well", format!("mismatch: {found}"), &found.replace("first 64 KiB", "body")),
        ("expect", "body_contains", "well", "pass".into(), "pass"),
        ("degraded", "body_contains", end, format!("degraded: {text}"), "pass"),
        ("degraded", "body_matches", end, format!("degraded: {pattern}"), "pass"),
        (
            "degraded",
            "body_contains",
            "well",
            "degraded: the body contains \"well\"".into(),
            "the body contains \"well\"",
        ),
        ("degraded", "body_lacks", end, format!("degraded: {text}"), "the body lacks \"maintenance\""),
        ("degraded", "body_not_matches", "^ill", format!("degraded: {pattern}"), "the body does not match the pattern"),
        ("degraded", "body_lacks", "well", "pass".into(), "pass"),
        ("degraded", "body_not_matches", "^well", "pass".into(), "pass"),
    ] {
        let kind = if section == "expect" { "mismatch" } else { section };
        let of_whole = if of_whole == "pass" { "pass".to_owned() } else { format!("{kind}: {of_whole}") };
        let all = long.iter().map(|answer| (answer, &of_long));
        for (place, (answer, expected)) in
            all.chain(exact.iter().chain(&short).map(|answer| (answer, &of_whole))).enumerate()
        {
            let fake = Fake::answers(answer.clone()).await;
            let section = url(&fake, "/").section(section, SectionBuilder::new().text(key, value));
            assert_eq!(said(&mut *section.probe(&KIND), LONG).await, *expected, "{key}: {value} of answer {place}");
        }
    }
}

#[tokio::test]
async fn the_answer_is_kept_for_captures_when_asked() {
    let fake = Fake::answers(fake::http(201, &[("X-Id", "7"), ("X-Id", "8")], "body")).await;
    let mut probe = url(&fake, "/").with("max_body", Value::Size(3)).probe(&KIND);
    let pass = probe.observe(&capturing()).await.unwrap();
    let answer = pass.answer.unwrap();
    assert_eq!(answer.status, Some(201));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(answer.headers, [header("content-length", "4"), header("x-id", "7"), header("x-id", "8")]);
    assert_eq!(answer.body, b"bod");
    assert_eq!(probe.observe(&RunContext::default()).await.unwrap().answer, None);
}

#[tokio::test]
async fn a_long_json_is_read_without_being_kept() {
    let many = "0,".repeat(1 << 20);
    let body = format!(r#"{{"list":[{many}0],"status":"ok","last":{{"n":1}}}}"#);
    let fake = Fake::answers(fake::http(200, &[], &body)).await;
    for (at, value, expected) in [
        ("/status", json!("ok"), "pass"),
        ("/last", json!({"n": 1}), "pass"),
        ("/list/1048576", json!(0), "pass"),
        ("/list/1048577", json!(0), "mismatch: `/list/1048577` is missing"),
        ("/list", json!([0]), "mismatch: `/list` has another value than expected: [0]"),
    ] {
        let expect = SectionBuilder::new().jsons("json", &[(at, value)]);
        let section = url(&fake, "/").with("max_body", Value::Size(4 << 20)).section("expect", expect);
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected, "{at}");
    }
}

/// A server that redirects `/n` to `/n-1` and answers `/0`.
async fn countdown(status: u16) -> Fake {
    Fake::start(Act::serve(move |_, request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let number: u32 = path.trim_start_matches('/').parse().unwrap_or(0);
        Some(match number {
            0 => fake::http(200, &[], "there"),
            number => fake::http(status, &[("Location", &format!("/{}", number - 1))], "not here"),
        })
    }))
    .await
}

#[tokio::test]
async fn as_many_redirects_are_followed_as_declared() {
    let fake = countdown(302).await;
    for (path, most, expected) in [
        ("/0", 0, "pass"),
        ("/1", 0, "mismatch: returned status 302, a redirect that is not followed"),
        ("/1", 1, "pass"),
        ("/2", 1, "protocol: more than 1 redirect"),
        ("/3", 3, "pass"),
        ("/100", 3, "protocol: more than 3 redirects"),
    ] {
        let section = url(&fake, path).with("max_redirects", Value::Integer(most));
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected, "{path} {most}");
    }
}

#[tokio::test]
async fn a_ring_of_redirects_comes_to_an_end() {
    let fake = Fake::answers(fake::http(307, &[("Location", "/")], "")).await;
    let section = url(&fake, "/").with("max_redirects", Value::Integer(20));
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, "protocol: more than 20 redirects");
    assert_eq!(fake.seen().requests.len(), 21);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_told() {
    let (other, no_url) =
        ("redirected to something that is not http or https", "the `Location` of a redirect is not a URL");
    for (location, expected) in [
        (&b"ftp://h/"[..], other),
        (b"file:///etc/passwd", other),
        (b"http://", no_url),
        (b"http://h:port/", no_url),
        (b"/caf\xe9", "the `Location` of a redirect is not UTF-8"),
    ] {
        let head = [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", location, b"\r\n\r\n"].concat();
        let fake = Fake::answers(head).await;
        let section = url(&fake, "/").with("max_redirects", Value::Integer(1));
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, format!("protocol: {expected}"));
    }
    let fake = Fake::answers(fake::http(302, &[], "")).await;
    let section = url(&fake, "/").with("max_redirects", Value::Integer(1));
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, "mismatch: returned status 302");
}

#[tokio::test]
async fn a_redirected_post_becomes_a_get_where_browsers_do_so() {
    for (status, second) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let fake = countdown(status).await;
        let section = url(&fake, "/1").with("method", Value::Word("POST")).text("body", "{}");
        let mut probe = section.with("max_redirects", Value::Integer(1)).probe(&KIND);
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        let request = fake.seen().requests[1].clone();
        assert!(request.starts_with(&format!("{second} /0 ")), "{status} {request}");
        assert_eq!(request.ends_with("{}"), second == "POST", "{status} {request}");
        assert_eq!(request.contains("Content-"), second == "POST", "{status} {request}");
    }
}

#[tokio::test]
async fn credentials_stay_with_the_origin_they_are_for() {
    let other = Fake::answers(fake::http(200, &[], "there")).await;
    let location = format!("http://127.0.0.1:{}/there", other.port());
    let first = Fake::answers(fake::http(302, &[("Location", &location)], "")).await;
    let section = SectionBuilder::new().text("url", format!("http://u:p@127.0.0.1:{}/", first.port()));
    let headers = [("Cookie", "a=b"), ("Host", "shop.test"), ("X-Kept", "1")];
    let section = section.texts("headers", &headers).with("max_redirects", Value::Integer(1));
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, "pass");
    assert!(first.seen().requests[0].contains("Authorization: Basic"));
    let request = other.seen().requests[0].to_lowercase();
    for absent in ["authorization", "cookie", "shop.test", "referer"] {
        assert!(!request.contains(absent), "{request}");
    }
    assert!(request.contains("x-kept: 1\r\n"));
}

#[tokio::test]
async fn what_an_expansion_brought_into_a_header_stays_with_the_origin_too() {
    let other = Fake::answers(fake::http(200, &[], "there")).await;
    let location = format!("http://127.0.0.1:{}/there", other.port());
    let first = Fake::answers(fake::http(302, &[("Location", &location)], "")).await;
    let section = url(&first, "/").expanded("headers", &[("X-Key", "hunter2")]);
    assert_eq!(said(&mut *section.with("max_redirects", Value::Integer(1)).probe(&KIND), LONG).await, "pass");
    assert!(first.seen().requests[0].contains("X-Key: hunter2\r\n"));
    assert!(!other.seen().requests[0].contains("hunter2"));
}

#[tokio::test]
async fn a_run_is_told_where_it_is_across_redirects() {
    let fake = countdown(302).await;
    let run = RunContext::default();
    let section = url(&fake, "/1").with("max_redirects", Value::Integer(1));
    assert_eq!(said_of(&mut *section.probe(&KIND), &run, LONG).await, "pass");
    assert_eq!(run.trace.current().map(probelet::base::trace::Phase::label), Some("body"));
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_an_answer_is_called_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 1024];
        assert!(stream.read(&mut some).await.unwrap() > 0);
        // The rest of the request is not wanted: it is still being sent when half of the answer has come.
        stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
    });
    let section = SectionBuilder::new().text("url", address).with("method", Value::Word("POST"));
    let failure =
        observe(&mut *section.text("body", "x".repeat(16 << 20)).probe(&KIND), LONG).await.unwrap().unwrap_err();
    server.await.unwrap();
    assert_eq!(failure.kind, FailureKind::Connect, "{failure:?}");
}

#[tokio::test]
async fn a_head_of_many_fields_is_asked_for_again_once_and_never_with_an_effect() {
    let head = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-Field: and again\r\n".repeat(4_000));
    let fake = Fake::start(Act::Answer(head.clone().into())).await;
    let mut probe = url(&fake, "/").probe(&KIND);
    for asked in [2, 3, 4] {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!(fake.seen().requests.len(), asked, "the first run learns that heads are long here");
    }
    let fake = Fake::start(Act::Answer(head.into())).await;
    assert_eq!(said(&mut *url(&fake, "/").with("method", Value::Word("POST")).probe(&KIND), LONG).await, "pass");
    assert_eq!(fake.seen().requests.len(), 1);
    let too_many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Field: x\r\n".repeat(6_000));
    let fake = Fake::start(Act::Answer(too_many.into())).await;
    assert_eq!(said(&mut *url(&fake, "/").probe(&KIND), LONG).await, "protocol: the answer's head is too large");
    assert_eq!(fake.seen().requests.len(), 2);
    let long = format!("HTTP/1.1 200 OK\r\nX-Field: {}\r\n\r\n", "x".repeat(500 << 10));
    let fake = Fake::start(Act::Answer(long.into())).await;
    assert_eq!(said(&mut *url(&fake, "/").probe(&KIND), LONG).await, "protocol: the answer's head is too large");
    assert_eq!(fake.seen().requests.len(), 1, "it has but one field");
}
