//! The kind `http`: expectations as the file writes them, against answers of all kinds.

use std::io;
use std::sync::Arc;

use probelet::base::clock::Clock;
use probelet::base::trace::{Found, Trace};
use probelet::config;
use probelet::config::source::Environment;
use probelet::probe::net::Network;
use probelet::probe::{BuildContext, Probe, RunContext};

use crate::fake::{self, Act, Fake};
use crate::{LONG, said, said_of};

/// A probe whose section `http` has these `keys` beside the address.
fn probe(fake: &Fake, keys: &str) -> Box<dyn Probe> {
    probe_of(&format!("http: {{ url: 'http://127.0.0.1:{}/', {keys} }}", fake.port()))
}

/// A probe of this section.
fn probe_of(section: &str) -> Box<dyn Probe> {
    probe_within(section, &Environment::of([("VERSION", "v7"), ("TOKEN", "Token/+n+0\"9")]))
}

/// A probe of this section in this environment.
fn probe_within(section: &str, environment: &Environment) -> Box<dyn Probe> {
    let text = format!("checks: [{{ name: app, {section} }}]");
    let files = Box::new(|_: &std::path::Path| Err(io::ErrorKind::NotFound.into()));
    let loaded = config::read("test.yaml", text.as_bytes(), environment, files);
    let Some(config) = loaded.config else { panic!("{}", loaded.report.text(false)) };
    config.targets[0].spec.build(&BuildContext {
        check: config.plan.checks[0].name.clone(),
        network: Arc::new(Network::default()),
        clock: Clock::Machine,
        beats: Arc::default(),
    })
}

/// What is said where `expect` has these keys.
async fn expecting(fake: &Fake, keys: &str) -> String {
    said(&mut *probe(fake, &format!("expect: {{ {keys} }}")), LONG).await
}

#[tokio::test]
async fn json_is_matched_at_one_place_and_at_many() {
    let body = r#"{"queue":{"depth":1000,"name":"orders"},"version":"v7","big":9007199254740993,"rate":12.50,"n":"5",
        "none":null,"tasks":[{"state":"DONE"},{"state":"DONE","n":7},{"state":"FAILED"}],"empty":[],"tags":["a","b"],
        "components":{"db":{"status":"UP"},"cache":{"status":"UP"}}}"#;
    let fake = Fake::answers(fake::http(200, &[], body)).await;
    for (json, expected) in [
        ("/queue/depth: { below: 1001, at_least: 1000 }", "pass"),
        ("/queue/depth: { below: 1000 }", "mismatch: `/queue/depth` should be a number below 1000"),
        ("/big: { above: 9007199254740992, below: 9007199254740994 }", "pass"),
        ("/big: 9007199254740992", "mismatch: `/big` has another value than expected: 9007199254740992"),
        ("/rate: { equals: 12.5 }", "pass"),
        ("/rate: { not: 12.500 }", "mismatch: `/rate` should not be 12.500"),
        ("/n: { above: 3 }", "mismatch: `/n` should be a number above 3"),
        ("/n: '5'", "pass"),
        ("/n: 5", "mismatch: `/n` has another value than expected: 5"),
        ("/none: null, /version: '${VERSION}'", "pass"),
        ("/none: { not: null }", "mismatch: `/none` should not be null"),
        ("/none: { exists: false }", "mismatch: `/none` should not be there"),
        ("/gone: { exists: false }, /gone/*: { exists: false }", "pass"),
        ("/gone: { not: x }", "mismatch: `/gone` is missing"),
        ("/queue/name: '${VERSION}'", "mismatch: `/queue/name` has another value than expected"),
        ("/components/*/status: UP", "pass"),
        ("/components/*: { length: 1 }, /components: { length: 2, contains: db, lacks: mq }", "pass"),
        ("/tasks/*/state: { not: FAILED }", "mismatch: `/tasks/*/state` should not be \"FAILED\""),
        ("/tasks/*/state: { one_of: [DONE, FAILED] }", "pass"),
        ("/tasks/*/n: 7", "pass"),
        ("/tasks/*/gone: { not: x }", "mismatch: `/tasks/*/gone` is missing"),
        ("/empty/*: 1", "mismatch: `/empty/*` is missing"),
        ("/empty: { length: { at_least: 1 } }", "mismatch: the length of `/empty` should be at least 1"),
        ("/tags: [a, b]", "pass"),
        ("/tags: { equals: [a] }", "mismatch: `/tags` has another value than expected: [\"a\"]"),
        ("/tags: { contains: b, lacks: c }, /tags/*: { matches: '^[ab]$' }", "pass"),
        ("/version: { matches: '^v[0-9]$', length: 2 }", "pass"),
    ] {
        assert_eq!(expecting(&fake, &format!("json: {{ {json} }}")).await, expected, "{json}");
    }
}

#[tokio::test]
async fn headers_are_matched_as_texts_and_as_numbers_in_all_their_lines() {
    let headers =
        [("X-Cache", "HIT"), ("X-Depth", "99.5"), ("Via", "one"), ("Via", "two"), ("Set-Cookie", "sid=hunter2")];
    let fake = Fake::answers(fake::http(200, &headers, "")).await;
    for (headers, expected) in [
        ("x-cache: { equals: HIT }, X-Depth: { below: 100, above: 99 }, via: { contains: tw, lacks: three }", "pass"),
        ("x-depth: { at_least: 100 }", "mismatch: header x-depth should be a number of at least 100"),
        ("x-cache: { above: 1 }", "mismatch: header x-cache should be a number above 1"),
        ("x-cache: { not: HIT }", "mismatch: header x-cache should not be \"HIT\""),
        ("via: { lacks: two }", "mismatch: header via should not contain \"two\""),
        ("via: { contains: three }", "mismatch: header via should contain \"three\""),
        ("via: three", "mismatch: header via does not contain the expected text"),
        ("x-maintenance: { exists: false }", "pass"),
        ("x-cache: { exists: false }", "mismatch: header x-cache should not be there"),
        ("x-gone: { exists: true }", "mismatch: header x-gone is missing"),
        ("x-depth: { equals: 99.50 }, x-cache: { length: 3, matches: '^H' }", "pass"),
    ] {
        assert_eq!(expecting(&fake, &format!("headers: {{ {headers} }}")).await, expected, "{headers}");
    }
}

#[tokio::test]
async fn a_body_may_have_to_lack_something() {
    let fake = Fake::answers(fake::http(200, &[], "all well, ERR-17")).await;
    for (expect, expected) in [
        ("body_lacks: maintenance, body_not_matches: 'WARN-[0-9]+'", "pass"),
        ("body_lacks: well", "mismatch: the text that should not be there is in the body"),
        (
            "body_not_matches: 'ERR-[0-9]+'",
            "mismatch: something in the body matches the pattern that should match nothing",
        ),
    ] {
        assert_eq!(expecting(&fake, expect).await, expected, "{expect}");
    }
}

#[tokio::test]
async fn a_list_of_many_members_is_matched_without_being_kept() {
    let body = format!("[{}1]", "1,".repeat(300_000 - 1));
    let fake = Fake::answers(fake::http(200, &[], &body)).await;
    for (json, expected) in [
        ("/*: 1", "pass"),
        ("'': { length: 300000 }", "pass"),
        ("/*: { matches: '^[1]$' }", "pass"),
        ("/*: { below: 1 }", "mismatch: `/*` should be a number below 1"),
        ("/*/*/*/a: { exists: false }", "pass"),
        ("'': { contains: '2' }", "mismatch: the body is too long to be looked at"),
    ] {
        let keys = format!("max_body: 4MiB, expect: {{ json: {{ {json} }} }}");
        assert_eq!(said(&mut *probe(&fake, &keys), LONG).await, expected, "{json}");
    }
}

#[tokio::test]
async fn each_expectation_is_told_to_somebody_who_debugs() {
    let body = r#"{"state":"down","token":"hunter2","n":[1,2,9],"url":"amqp://u:hunter2@mq/"}"#;
    let fake = Fake::answers(fake::http(200, &[("X-Cache", "HIT"), ("Set-Cookie", "sid=hunter2")], body)).await;
    let keys = "expect: { status: [2xx, 404], headers: { x-cache: MISS, set-cookie: sid }, body_contains: down, json: { \
                /state: { not: down }, /token: { length: 7 }, /n/*: { below: 5 }, /gone: { exists: false }, /url: { \
                contains: mq }, /version: '${VERSION}' } }";
    let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
    let said = said_of(&mut *probe(&fake, keys), &run, LONG).await;
    assert_eq!(said, "mismatch: header x-cache does not contain the expected text");
    let shown = r#"{"state":"down","token":"***","n":[1,2,9],"url":"amqp://***@mq/"}"#;
    assert_eq!(run.trace.body(), Some(Found::This(shown.into())));
    let rows: Vec<String> = run
        .trace
        .expectations()
        .into_iter()
        .map(|row| {
            let found = match row.found {
                Found::This(found) | Found::InOurWords(found) => found,
                Found::HeldBack => "(held back)".into(),
                Found::Binary(bytes) => format!("({bytes} bytes)"),
            };
            format!("{} {}, {}: {found}", if row.holds { "+" } else { "-" }, row.what, row.wanted)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "+ status, 2xx, 404: 200",
            "- header x-cache, contains \"MISS\": HIT",
            "+ header set-cookie, contains \"sid\": (held back)",
            "+ body, contains \"down\": 75 B",
            "- json /state, not \"down\": \"down\"",
            "+ json /token, length 7: (held back)",
            "- json /n/*, below 5: 9, number 3 of 3",
            "+ json /gone, missing: nothing",
            "+ json /url, contains \"mq\": \"amqp://***@mq/\"",
            "- json /version, the expected value: nothing",
        ]
    );
}

#[tokio::test]
async fn of_many_places_the_one_that_decides_is_told() {
    let fake = Fake::answers(fake::http(200, &[], r#"{"n":[1,7,9,2]}"#)).await;
    for (keys, expected) in [
        ("degraded: { json: { /n/*: { above: 5 } } }", "7, number 2 of 4"),
        ("degraded: { json: { /n/*: { below: 5 } } }", "1, the first of 4"),
        ("degraded: { json: { /n/*: { above: 10 } } }", "1, the first of 4"),
        ("expect: { json: { /n/*: { below: 8 } } }", "9, number 3 of 4"),
        ("expect: { json: { /n/*: { below: 10 } } }", "1, the first of 4"),
    ] {
        let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
        said_of(&mut *probe(&fake, keys), &run, LONG).await;
        let last = run.trace.expectations().pop().map(|row| row.found);
        assert_eq!(last, Some(Found::This(expected.into())), "{keys}");
    }
}

#[tokio::test]
async fn what_a_star_leads_to_by_the_name_of_a_credential_is_held_back() {
    let fake = Fake::answers(fake::http(200, &[], r#"{"db":{"status":"up"},"token":{"status":"hunter2"}}"#)).await;
    for (keys, expected) in [
        ("expect: { json: { /*/status: { equals: up } } }", Found::HeldBack),
        ("expect: { json: { /*/status: { exists: true } } }", Found::This(r#""up", the first of 2"#.into())),
    ] {
        let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
        said_of(&mut *probe(&fake, keys), &run, LONG).await;
        assert_eq!(run.trace.expectations().pop().map(|row| row.found), Some(expected), "{keys}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_is_counted_and_not_shown() {
    for (body, expected) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36"[..], Found::Binary(21)),
        (&b"gr\xfc\xdfe aus K\xf6ln"[..], Found::This("gr\u{fffd}\u{fffd}e aus K\u{fffd}ln".into())),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        let fake = Fake::answers([head.as_bytes(), body].concat()).await;
        let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
        assert_eq!(said_of(&mut *probe(&fake, "method: GET"), &run, LONG).await, "pass");
        assert_eq!(run.trace.body(), Some(expected));
    }
}

#[tokio::test]
async fn no_secret_that_was_sent_is_shown_when_the_server_repeats_it() {
    let basic = "cHJvYmU6VG9rZW4vK24rMCI5"; // probe:Token/+n+0"9
    let forms = [
        ("as it is", "Token/+n+0\"9"),
        ("percent-encoded", "Token%2F%2Bn%2B0%229"),
        ("as a form has it", "Token%2f%2Bn%2B0%229"),
        ("encoded twice", "Token%252F%252Bn%252B0%25229"),
        ("as JSON escapes it", r#"Token\/+n+0\"9"#),
        ("as HTML has it", "Token/+n+0&quot;9"),
        ("in base64", "VG9rZW4vK24rMCI5"),
        ("as basic authentication", basic),
        ("in hexadecimal", "546f6b656e2f2b6e2b302239"),
        ("cut short", "Token/+n"),
        ("in capitals", "TOKEN/+N+0"),
    ];
    let requests = [
        "headers: { Authorization: 'Bearer ${TOKEN}' }",
        "headers: { X-Key: '${TOKEN}' }",
        "method: POST, body: '{\"a\": \"${TOKEN}\"}'",
        "expect: { body_lacks: '${TOKEN}.' }",
    ];
    for (form, repeated) in forms {
        for request in requests {
            let body = serde_json::json!({ "message": format!("who is {repeated}?"), "whole": repeated }).to_string();
            let fake = Fake::answers(fake::http(200, &[("X-Said", &format!("no {repeated} here"))], &body)).await;
            let judged = "json: { /whole: { not: x } }, headers: { x-said: { exists: true } }";
            let keys = match request.strip_prefix("expect: { ") {
                Some(rest) => format!("message: json:/message, expect: {{ {judged}, {rest}"),
                None => format!("message: json:/message, {request}, expect: {{ {judged} }}"),
            };
            let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
            let said = said_of(&mut *probe(&fake, &keys), &run, LONG).await;
            let shown = format!("{said} {:?} {:?}", run.trace.body(), run.trace.expectations());
            assert!(said.starts_with("pass"), "{form}: {said}");
            let parts = ["oken/", "OKEN/", "oken%2", "n+0", "%2Bn", "VG9rZW4", "cHJvYmU6VG9", "546f6b656e"];
            let left = parts.iter().find(|part| shown.contains(**part));
            assert_eq!(left, None, "{form}, {request}: {shown}");
            assert!(shown.contains("who is ***"), "{form}, {request}: {shown}");
        }
    }
}

#[tokio::test]
async fn the_path_and_the_password_of_an_expanded_url_are_not_shown_and_its_host_is() {
    let said = "bad key hunter2hunter2 for tenant-17 (cHJvYmU6cHctOTk5OQ==, pw-9999) on 127.0.0.1";
    let body = serde_json::json!({ "message": said }).to_string();
    let fake = Fake::answers(fake::http(200, &[], &body)).await;
    let base = format!("http://probe:pw-9999@127.0.0.1:{}", fake.port());
    let whole = format!("{base}/tenant-17?key=hunter2hunter2");
    let environment = Environment::of([
        ("URL", whole.as_str()),
        ("KEY", "hunter2hunter2"),
        ("TENANT", "tenant-17"),
        ("PW", "pw-9999"),
    ]);
    for url in ["${URL}".into(), format!("http://probe:${{PW}}@127.0.0.1:{}/${{TENANT}}?key=${{KEY}}", fake.port())] {
        let section = format!("http: {{ url: '{url}', message: json:/message }}");
        let mut probe = probe_within(&section, &environment);
        let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
        let expected = "bad key *** for *** (***, ***) on 127.0.0.1";
        let message = probe.observe(&run).await.unwrap().message;
        assert_eq!(message.as_deref(), Some(expected), "{url}");
        assert_eq!(run.trace.body(), Some(Found::This(format!("{{\"message\":\"{expected}\"}}"))), "{url}");
    }
}

#[tokio::test]
async fn what_an_app_says_of_itself_makes_a_pass_degraded_and_is_told() {
    let bidi = "slow\u{202e}\nvery \u{1b}[31mslow";
    let long = "x".repeat(500);
    let masked = "no amqp://u:hunter2@mq, token=hunter2, Bearer abcDEF123456";
    for (status, body, keys, expected) in [
        (
            200,
            "{\"status\":\"DEGRADED\"}".to_owned(),
            "degraded: { json: { /status: { one_of: [DEGRADED, warn] } } }",
            "degraded: `/status` is one of \"DEGRADED\", \"warn\"",
        ),
        (200, "{\"status\":\"UP\"}".to_owned(), "degraded: { json: { /status: DEGRADED, /gone: { not: x } } }", "pass"),
        (
            200,
            "{\"a\":{\"status\":\"UP\"},\"b\":{\"status\":\"WARN\"}}".to_owned(),
            "degraded: { json: { /*/status: WARN } }",
            "degraded: `/*/status` is \"WARN\"",
        ),
        (
            200,
            "Degraded".to_owned(),
            "degraded: { body_contains: Degraded }",
            "degraded: the body contains \"Degraded\"",
        ),
        (200, "Degraded".to_owned(), "degraded: { body_matches: '^Degr' }", "degraded: the body matches the pattern"),
        (200, "Degraded".to_owned(), "degraded: { body_lacks: Healthy }", "degraded: the body lacks \"Healthy\""),
        (
            429,
            String::new(),
            "expect: { status: [2xx, 429] }, degraded: { status: 429 }",
            "degraded: returned status 429",
        ),
        (
            200,
            String::new(),
            "degraded: { headers: { x-health: warn } }",
            "degraded: header x-health contains \"warn\"",
        ),
        (
            200,
            "{\"n\":7}".to_owned(),
            "degraded: { json: { /n: { above: 5 } } }, message: 'json:/n'",
            "degraded: `/n` is above 5: 7",
        ),
        (
            503,
            "{\"status\":\"DEGRADED\"}".to_owned(),
            "degraded: { json: { /status: DEGRADED } }",
            "mismatch: returned status 503",
        ),
        (
            503,
            "{\"message\":\"database is down\"}".to_owned(),
            "message: json:/message",
            "mismatch: returned status 503: database is down",
        ),
        (200, "{\"message\":\"3 jobs wait\"}".to_owned(), "message: json:/message", "pass: 3 jobs wait"),
        (200, "{\"message\":null}".to_owned(), "message: json:/message", "pass"),
        (200, "plain".to_owned(), "message: json:/message", "pass"),
        (200, "status: fine\nmore".to_owned(), "message: 'regex:status: (.*)'", "pass: fine"),
        (200, String::new(), "message: header:X-Health", "pass: warn"),
        (200, serde_json::json!({"m": bidi}).to_string(), "message: json:/m", "pass: slow\u{fffd} very [31mslow"),
        (
            200,
            serde_json::json!({"m": masked}).to_string(),
            "message: json:/m",
            "pass: no amqp://***@mq, token=***, Bearer ***",
        ),
        (200, "{\"access_token\":\"hunter2\"}".to_owned(), "message: json:/access_token", "pass: ***"),
        (200, serde_json::json!({"m": long}).to_string(), "message: json:/m", &format!("pass: {}…", "x".repeat(199))),
        (
            200,
            format!("{{\"status\":\"UP\",\"m\":\"{}\"}}", "x".repeat(2000)),
            "max_body: 1KiB, degraded: { json: { /status: WARN } }",
            "degraded: the JSON is not whole in the first 1 KiB: raise `max_body`",
        ),
    ] {
        let fake = Fake::answers(fake::http(status, &[("X-Health", "warn")], &body)).await;
        let said = match probe(&fake, keys).observe(&RunContext::default()).await {
            Ok(pass) if !pass.degraded => pass.message.map_or("pass".into(), |message| format!("pass: {message}")),
            other => crate::in_words(other),
        };
        assert_eq!(said, expected, "{keys}");
    }
}

#[tokio::test]
async fn a_cookie_that_a_login_sets_is_captured_and_captured_values_are_expected() {
    for cookies in [true, false] {
        let fake = Fake::start(Act::serve(|_, request| {
            let sid = request.lines().find_map(|line| line.strip_prefix("X-Sid: "));
            Some(match sid {
                None => fake::http(200, &[("Set-Cookie", "sid=a%20b; Path=/; HttpOnly"), ("X-Id", "17")], ""),
                Some(sid) => fake::http(200, &[("X-Sid", sid)], "{\"id\":17,\"ids\":[1,17]}"),
            })
        }))
        .await;
        let url = format!("http://127.0.0.1:{}/", fake.port());
        let steps = format!(
            "workflow: {{ steps: [{{ name: login, http: {{ url: '{url}', cookies: {cookies} }}, capture: {{ sid: \"cookie:sid\", \
             id: \"header:X-Id\" }} }}, {{ name: look, http: {{ url: '{url}', headers: {{ X-Sid: '${{steps.login.sid}}' }}, \
             expect: {{ headers: {{ x-sid: {{ equals: '${{steps.login.sid}}' }} }}, json: {{ /id: '${{steps.login.id}}', /ids: {{ \
             contains: '${{steps.login.id}}' }} }} }} }} }}] }}"
        );
        assert_eq!(said(&mut *probe_of(&steps), LONG).await, "pass: Workflow executed successfully", "{cookies}");
    }
}
