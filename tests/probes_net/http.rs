//! The kind `http`: what is sent, what is expected, what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use probelet::base::secret::Secret;
use probelet::base::value::{Text, TextPart, Value};
use probelet::probe::RunContext;
use probelet::probe::http::KIND;
use probelet::probe::net::Network;
use serde_json::json;

use crate::fake::{self, Act, Fake};
use crate::section::{SectionBuilder, capturing, observe, status};
use crate::{LONG, said, said_of, said_where};

fn url(fake: &Fake, rest: &str) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://127.0.0.1:{}{rest}", fake.port()))
}

fn ok() -> Vec<u8> {
    fake::http(200, &[], "ok")
}

#[tokio::test]
async fn a_2xx_is_a_pass() {
    let fake = Fake::answers(ok()).await;
    assert_eq!(said(&mut *url(&fake, "/health?x=1").probe(&KIND), LONG).await, "pass");
    let version = env!("CARGO_PKG_VERSION");
    let port = fake.port();
    assert_eq!(
        fake.seen().requests,
        [format!(
            "GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\nUser-Agent: probelet/{version}\r\n\
             Cache-Control: no-cache\r\n\r\n"
        )]
    );
}

#[tokio::test]
async fn each_trouble_has_its_name_and_is_over_once_it_is_mended() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let cases = [
        (Act::Refuse, "connect: connection refused"),
        (Act::Silent, "timeout: waiting for the answer"),
        (Act::ResetOnAccept, "connect: connection reset"),
        (Act::ResetAfter(vec![]), "connect: connection reset"),
        (Act::ResetAfter(format!("{head}half").into()), "connect: connection reset"),
        (Act::CloseAfter(vec![]), "connect: connection closed before the answer was complete"),
        (
            Act::CloseAfter(b"HTTP/1.1 200 OK\r\nX".to_vec()),
            "connect: connection closed before the answer was complete",
        ),
        (Act::CloseAfter(format!("{head}half").into()), "connect: connection closed before the answer was complete"),
        (Act::garbage(), "protocol: the answer is not HTTP"),
        (Act::Answer(b"220 mail ready\r\n".to_vec()), "protocol: the answer is not HTTP"),
        (Act::Answer(b"HTTP/1.1 OK\r\n\r\n".to_vec()), "protocol: the answer has no valid status code"),
        (
            Act::Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk".to_vec()),
            "protocol: the answer's chunks are malformed",
        ),
        (Act::Answer(fake::http(503, &[], "down")), "mismatch: returned status 503"),
        (Act::Answer(fake::http(401, &[], "who?")), "mismatch: returned status 401"),
        (
            Act::Answer(fake::http(302, &[("Location", "/login")], "")),
            "mismatch: returned status 302, a redirect that is not followed",
        ),
        (Act::Drip(vec![], b"HTTP/1.1 200 OK\r\n".to_vec(), Duration::from_secs(1)), "timeout: waiting for the answer"),
        (Act::Drip(head.into(), vec![b'x'; 100], Duration::from_secs(1)), "timeout: reading the answer"),
        (Act::Answer(head.into()), "timeout: reading the answer"),
        (
            Act::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Again: and again\r\n".to_vec()),
            "protocol: the answer's head is too large",
        ),
        (
            Act::Endless(b"HTTP/1.1 200 OK\r\nX-Long: ".to_vec(), vec![b'x'; 4096]),
            "protocol: the answer's head is too large",
        ),
    ];
    let fake = Fake::refuses().await;
    let mut probe = url(&fake, "/").probe(&KIND);
    for (act, expected) in cases {
        fake.act(act).await;
        assert_eq!(said_where(&mut *probe, expected).await, expected);
        fake.mend(ok()).await;
        assert_eq!(said(&mut *probe, LONG).await, "pass", "after {expected}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let mut probe = SectionBuilder::new().text("url", "http://no-such-host.invalid/").probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "resolve: name does not resolve");
}

#[tokio::test]
async fn the_phases_of_a_run_are_told() {
    let fake = Fake::answers(ok()).await;
    let labels = |run: &RunContext| run.trace.phases().iter().map(|(phase, _)| phase.label()).collect::<Vec<_>>();
    let mut probe = SectionBuilder::new().text("url", format!("http://localhost:{}/", fake.port())).probe(&KIND);
    let run = RunContext::default();
    assert_eq!(said_of(&mut *probe, &run, LONG).await, "pass");
    assert_eq!(labels(&run), ["resolve", "connect", "first_byte", "body"]);
    let run = RunContext::default();
    assert_eq!(said_of(&mut *probe, &run, LONG).await, "pass");
    assert_eq!(labels(&run), ["first_byte", "body"], "the connection is kept");
}

#[tokio::test]
async fn an_ipv6_address_is_dialled() {
    let fake = Fake::start_on("[::1]:0".parse().unwrap(), Act::Answer(ok())).await;
    let spec = SectionBuilder::new().text("url", format!("http://[::1]:{}/", fake.port())).read(&KIND).unwrap();
    assert_eq!(spec.hosts(), ["::1"]);
    let mut probe = SectionBuilder::new().text("url", format!("http://[::1]:{}/", fake.port())).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[tokio::test]
async fn the_request_is_as_declared() {
    let fake = Fake::answers(ok()).await;
    let section = url(&fake, "/orders").with("method", Value::Word("POST")).text("body", r#"{"user":"probe"}"#);
    let headers = [("X-Tenant", "a"), ("Host", "shop.test"), ("User-Agent", "mine"), ("Accept", "text/plain")];
    assert_eq!(said(&mut *section.texts("headers", &headers).probe(&KIND), LONG).await, "pass");
    assert_eq!(
        fake.seen().requests,
        ["POST /orders HTTP/1.1\r\nHost: shop.test\r\nAccept: text/plain\r\nUser-Agent: mine\r\n\
          Cache-Control: no-cache\r\nX-Tenant: a\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"user\":\"probe\"}"]
    );
}

#[tokio::test]
async fn every_method_is_sent_and_an_answer_to_head_has_no_body() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let fake = Fake::answers(if method == "HEAD" { head.into() } else { ok() }).await;
        assert_eq!(said(&mut *url(&fake, "/").with("method", Value::Word(method)).probe(&KIND), LONG).await, "pass");
        let request = &fake.seen().requests[0];
        assert!(request.starts_with(&format!("{method} / HTTP/1.1\r\n")));
        // A server may insist on a length where a body is usual.
        assert_eq!(request.contains("Content-Length: 0\r\n"), ["POST", "PUT", "PATCH"].contains(&method), "{request}");
    }
}

#[tokio::test]
async fn user_and_password_are_sent_and_never_shown() {
    let fake = Fake::answers(fake::http(401, &[], "who is probe:hunter2?")).await;
    let written = format!("http://probe:hunter2@127.0.0.1:{}/x?token=hunter2", fake.port());
    let section = || SectionBuilder::new().text("url", &written);
    let spec = section().read(&KIND).unwrap();
    let target = format!("http://127.0.0.1:{}/x", fake.port());
    assert_eq!(format!("{spec:?}"), format!("HttpSpec({target:?})"));
    assert_eq!(spec.target(), Some(target));
    let mut probe = section().probe(&KIND);
    let failure = observe(&mut *probe, LONG).await.unwrap().unwrap_err();
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    let request = fake.seen().requests.pop().unwrap();
    assert!(request.contains("Authorization: Basic cHJvYmU6aHVudGVyMg==\r\n"), "{request}");
    assert!(request.starts_with("GET /x?token=hunter2 HTTP/1.1\r\n"), "{request}");
    for act in [Act::Refuse, Act::garbage(), Act::CloseAfter(vec![])] {
        fake.act(act).await;
        let failure = observe(&mut *probe, LONG).await.unwrap().unwrap_err();
        let shown = format!("{failure:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("127.0.0.1"), "{shown}");
    }
}

#[tokio::test]
async fn a_check_s_own_authorization_replaces_the_url_s() {
    let fake = Fake::answers(ok()).await;
    let section = SectionBuilder::new().text("url", format!("http://u:p@127.0.0.1:{}/", fake.port()));
    let mut probe = section.texts("headers", &[("Authorization", "Bearer x")]).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    assert!(fake.seen().requests[0].contains("Authorization: Bearer x\r\n"));
    assert!(!fake.seen().requests[0].contains("Basic"));
}

#[tokio::test]
async fn captured_values_are_filled_in_without_changing_the_request() {
    let fake = Fake::answers(ok()).await;
    let capture = || TextPart::Capture { step: "login".into(), name: "token".into() };
    let text = |before: &str, after: &str| {
        let parts = vec![TextPart::Plain(before.into()), capture(), TextPart::Plain(after.into())];
        Value::Text(Text { parts, written: format!("{before}${{steps.login.token}}{after}") })
    };
    let base = format!("http://127.0.0.1:{}/orders/", fake.port());
    let section = SectionBuilder::new().with("url", text(&base, "/state")).with("method", Value::Word("POST"));
    let mut probe = section.with("body", text("{\"id\":\"", "\"}")).probe(&KIND);
    let run = |value: &str| {
        let mut run = RunContext::default();
        run.captured.insert("login", "token", value.into());
        run
    };
    assert_eq!(said_of(&mut *probe, &run("a/b\"}"), LONG).await, "pass");
    let request = fake.seen().requests.pop().unwrap();
    assert!(request.starts_with("POST /orders/a%2Fb%22%7D/state HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"id\":\"a/b\\\"}\"}"), "{request}");
    let said = said_of(&mut *probe, &run(".."), LONG).await;
    assert!(said.starts_with("mismatch: token of step login would make a segment of the path empty"), "{said}");
    assert_eq!(
        said_of(&mut *probe, &RunContext::default(), LONG).await,
        "mismatch: token of step login was not captured"
    );
}

#[tokio::test]
async fn an_expanded_header_is_sent_and_not_shown() {
    let fake = Fake::answers(ok()).await;
    let token = Text { parts: vec![TextPart::Expanded(Secret::new("hunter2"))], written: "${TOKEN}".into() };
    let headers = Value::Map(vec![(
        "X-Token".into(),
        probelet::base::value::Spanned::new(probelet::base::value::SourceSpan::default(), Value::Text(token)),
    )]);
    let mut probe = url(&fake, "/").with("headers", headers).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    assert!(fake.seen().requests[0].contains("X-Token: hunter2\r\n"));
}

async fn expecting(answer: &[u8], expect: SectionBuilder) -> String {
    let fake = Fake::answers(answer).await;
    said(&mut *url(&fake, "/").section("expect", expect).probe(&KIND), LONG).await
}

#[tokio::test]
async fn the_status_is_judged() {
    let spans = |texts: &[&str]| {
        let items = texts.iter().map(|text| {
            probelet::base::value::Spanned::new(probelet::base::value::SourceSpan::default(), status(text))
        });
        SectionBuilder::new().with("status", Value::List(items.collect()))
    };
    assert_eq!(expecting(&fake::http(404, &[], ""), spans(&["2xx", "404"])).await, "pass");
    assert_eq!(expecting(&fake::http(302, &[], ""), spans(&["300-399"])).await, "pass");
    assert_eq!(expecting(&fake::http(999, &[], ""), spans(&["9xx"])).await, "pass");
    assert_eq!(expecting(&fake::http(200, &[], ""), spans(&["204"])).await, "mismatch: returned status 200");
    assert_eq!(
        expecting(&fake::http(299, &[], ""), SectionBuilder::new().with("status", status("201"))).await,
        "mismatch: returned status 299"
    );
}

/// What is made of an answer with this head, to which an empty line is added.
async fn reading(head: &str) -> String {
    let fake = Fake::start(Act::CloseAfter(format!("{head}\r\n").into())).await;
    said(&mut *url(&fake, "/").probe(&KIND), LONG).await
}

#[tokio::test]
async fn heads_are_read_as_other_clients_read_them() {
    let many = "X-Field: and again\r\n".repeat(4_000);
    for fields in [
        many.as_str(),
        "X-Folded: one\r\n  two\r\n\tthree\r\nContent-Length: 0\r\n",
        "Content-Length : 0\r\nX-Blank \t: x\r\n",
        "X-Latin: caf\u{e9}\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(reading(&format!("HTTP/1.1 200 OK\r\n{fields}")).await, "pass", "{}", &fields[..20]);
    }
    assert_eq!(reading("HTTP/1.1 200\nX-Bare: line breaks\n").await, "pass");
    assert_eq!(reading("HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n").await, "mismatch: returned status 999");
}

#[tokio::test]
async fn what_is_refused_of_a_head_is_named() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nno colon\r\n", "a header of the answer is malformed"),
        ("HTTP/1.1 200 OK\r\nX-Bell: \u{7}\r\n", "a header of the answer is malformed"),
        ("HTTP/1.1 200 OK\r\n: nameless\r\n", "a header of the answer is malformed"),
        ("HTTP/1.1 42 OK\r\n", "the answer has no valid status code"),
        ("HTTP/1.1 2000 OK\r\n", "the answer has no valid status code"),
        ("HTTP/1.1 200 OK\r\nContent-Length: some\r\n", "the answer's content-length is not one number"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "the answer's content-length is not one number",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "the answer has a transfer-encoding, which HTTP/1.0 does not know",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
    ];
    for (head, expected) in cases {
        assert_eq!(reading(head).await, format!("protocol: {expected}"), "{head}");
    }
    let many = "X-Field: and again\r\n".repeat(6_000);
    assert_eq!(reading(&format!("HTTP/1.1 200 OK\r\n{many}")).await, "protocol: the answer's head is too large");
}

#[tokio::test]
async fn a_folded_header_is_one_line() {
    let answer = b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n  two\r\nX-Blank : three\r\nContent-Length: 0\r\n\r\n";
    for (name, text) in [("x-folded", "one"), ("x-folded", "two"), ("x-blank", "three")] {
        assert_eq!(
            expecting(answer, SectionBuilder::new().texts("headers", &[(name, text)])).await,
            "pass",
            "{name} {text}"
        );
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_the_body() {
    let answer = fake::http(200, &[], "\u{feff}{\"status\":\"ok\"}");
    let json = SectionBuilder::new().jsons("json", &[("/status", json!("ok"))]);
    assert_eq!(expecting(&answer, json).await, "pass");
    assert_eq!(expecting(&answer, SectionBuilder::new().text("body_matches", "^\\{")).await, "pass");
    let fake = Fake::answers(answer).await;
    let pass = url(&fake, "/").probe(&KIND).observe(&capturing()).await.unwrap();
    assert_eq!(pass.answer.unwrap().body, br#"{"status":"ok"}"#);
}

#[tokio::test]
async fn names_of_headers_are_sent_as_they_are_written() {
    let fake = Fake::answers(ok()).await;
    let headers = [
        ("soapACTION", "x"),
        ("X-b3-TraceId", "1"),
        ("HOST", "shop.test"),
        ("accept", "text/plain"),
        ("cache-control", "max-age=5"),
    ];
    let mut probe = url(&fake, "/").texts("headers", &headers).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    assert_eq!(said(&mut *probe, LONG).await, "pass", "on a kept connection");
    let version = env!("CARGO_PKG_VERSION");
    for request in fake.seen().requests {
        assert_eq!(
            request,
            format!(
                "GET / HTTP/1.1\r\nHOST: shop.test\r\naccept: text/plain\r\nUser-Agent: probelet/{version}\r\n\
                 cache-control: max-age=5\r\nsoapACTION: x\r\nX-b3-TraceId: 1\r\n\r\n"
            )
        );
    }
}

#[tokio::test]
async fn headers_and_body_are_judged() {
    let answer =
        fake::http(200, &[("Content-Type", "application/json; charset=utf-8")], r#"{"data":{"n":3,"s":"ok"}}"#);
    let json = |entries: &[(&str, serde_json::Value)]| SectionBuilder::new().jsons("json", entries);
    let headers = |name: &str, text: &str| SectionBuilder::new().texts("headers", &[(name, text)]);
    let cases = [
        (SectionBuilder::new().text("body_contains", "\"ok\""), "pass"),
        (SectionBuilder::new().text("body_contains", "down"), "mismatch: the expected text is not in the body"),
        (SectionBuilder::new().text("body_matches", r#""n":\d+"#), "pass"),
        (
            SectionBuilder::new().text("body_matches", "^v[0-9]+"),
            "mismatch: nothing in the body matches the expected pattern",
        ),
        (json(&[("/data/s", json!("ok")), ("/data/n", json!(3.0))]), "pass"),
        (json(&[("", json!({"data": {"s": "ok", "n": 3}}))]), "pass"),
        (json(&[("/data/s", json!("down"))]), "mismatch: `/data/s` has another value than expected: \"down\""),
        (json(&[("/data/0", json!(1))]), "mismatch: `/data/0` is missing"),
        (headers("CONTENT-type", "application/json"), "pass"),
        (headers("content-type", "text/html"), "mismatch: header content-type does not contain the expected text"),
        (headers("x-version", "1"), "mismatch: header x-version is missing"),
    ];
    for (expect, expected) in cases {
        assert_eq!(expecting(&answer, expect).await, expected);
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in ["", "plain", &deep] {
        assert_eq!(
            expecting(&fake::http(200, &[], body), json(&[("/a", json!(1))])).await,
            "mismatch: the body is not JSON"
        );
    }
}

#[test]
fn wrong_keys_say_what_is_wrong_with_them() {
    let section = || SectionBuilder::new().text("url", "http://h/");
    let expect = |expect| section().section("expect", expect);
    let cases = [
        (SectionBuilder::new().text("url", "http://"), "invalid-value: not a URL with a host"),
        (section().texts("headers", &[("X Y", "1")]), "invalid-value: not the name of a header"),
        (
            section().texts("headers", &[("Host", "a"), ("HOST", "b")]),
            "duplicate-key: this header is there twice: upper and lower case make no difference in its name",
        ),
        (
            expect(SectionBuilder::new().texts("headers", &[("etag", "a"), ("ETag", "b")])),
            "duplicate-key: this header is there twice: upper and lower case make no difference in its name",
        ),
        (
            section().texts("headers", &[("X", "1\r\nY: 2")]),
            "invalid-value: a header's value cannot hold a line break or control character",
        ),
        (
            section().texts("headers", &[("Content-Length", "1")]),
            "invalid-value: `content-length` follows from the body",
        ),
        (
            expect(SectionBuilder::new().jsons("json", &[("data", json!(1))])),
            "invalid-pointer: a JSON Pointer begins with `/`",
        ),
        (expect(SectionBuilder::new().text("body_matches", "(")), "invalid-value: not a regular expression"),
        (
            expect(SectionBuilder::new().text("body_contains", "x")).with("method", Value::Word("HEAD")),
            "invalid-value: an answer to HEAD has no body",
        ),
        (section().section("tls", SectionBuilder::new()), "ineffective-key: `tls` has no effect on a `http://` URL"),
    ];
    for (section, expected) in cases {
        match section.read(&KIND) {
            Err(problems) => assert_eq!(problems, [expected]),
            Ok(spec) => panic!("{spec:?} without `{expected}`"),
        }
    }
}

#[test]
fn the_environment_s_proxy_is_not_asked() {
    // A process of its own, because the environment is the process's: the first test of this file, with a proxy that
    // would refuse.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, "http://127.0.0.1:1");
    }
    let output = child.args(["--exact", "http::a_2xx_is_a_pass"]).env_remove("NO_PROXY").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn a_dead_address_among_several_does_not_eat_the_time() {
    let fake = Fake::answers(ok()).await;
    // A listener whose queue is full, so that connecting to it hangs. IPv4-mapped addresses are not taken for loopback.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let dead = std::net::SocketAddr::from(([127, 0, 0, 2], fake.port()));
    socket.bind(dead).unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    while let Some(Ok(stream)) = fake::within(Duration::from_millis(200), tokio::net::TcpStream::connect(dead)).await {
        waiting.push(stream);
    }
    let network = Network::resolving_with(|_| {
        let addresses = ["::ffff:127.0.0.2", "::ffff:127.0.0.1"].map(|address| address.parse().unwrap());
        Box::pin(std::future::ready(Ok(addresses.to_vec())))
    });
    let section = SectionBuilder::new().text("url", format!("http://db:{}/", fake.port()));
    let mut probe = section.probe_on(&KIND, &Arc::new(network));
    assert_eq!(said(&mut *probe, Duration::from_secs(5)).await, "pass");
    assert_eq!(fake.seen().accepted, 1, "nobody is dialled for a look");
}
