//! What is hidden, and what stays.

use proptest::prelude::*;

use super::*;
use crate::base::value::{ParseSession, Section, SourceSpan, Spanned, Text, TextPart, Value};

const TOKEN: &str = "s3cr+t/ABC=\"é\" w0rd";

#[test]
fn a_secret_is_hidden_in_whatever_form_it_comes_back() {
    let redactor = Redactor::of([TOKEN]);
    let (shown, expected) = [
        (format!("refused {TOKEN}!"), "refused ***!"),
        ("refused s3cr%2Bt%2FABC%3D%22%C3%A9%22%20w0rd here".into(), "refused *** here"),
        ("refused s3cr%252Bt%252FABC%253D%2522%25C3%25A9%2522+w0rd here".into(), "refused *** here"),
        (r#"{"got":"s3cr+t\/ABC=\"\u00e9\" w0rd"}"#.into(), r#"{"got":"***"}"#),
        ("<p>s3cr+t/ABC=&quot;&#233;&quot; w0rd</p>".into(), "<p>***</p>"),
        ("S3CR+T/abc in capitals".into(), "*** in capitals"),
        (format!("Basic {} sent", STANDARD_NO_PAD.encode(format!("user:{TOKEN}"))), "Basic *** sent"),
        (format!("Basic {}= sent", STANDARD_NO_PAD.encode(format!("us:{TOKEN}"))), "Basic *** sent"),
        ("733363722b742f4142433d22c3a92220773072 64".into(), "***"),
        ("cut short: s3cr+t/".into(), "cut short: ***"),
    ]
    .into_iter()
    .map(|(said, shown)| (redactor.redact(&said).into_owned(), shown.to_owned()))
    .unzip::<String, String, Vec<_>, Vec<_>>();
    assert_eq!(shown, expected);
    assert_eq!(redactor.redact("nothing of it"), "nothing of it");
    assert_eq!(redactor.redact("the s3cret is out"), "the s3cret is out");
}

#[test]
fn what_is_shorter_than_what_tells_is_hidden_as_a_word_alone() {
    let redactor = Redactor::of(["dev", "17", "+", " "]);
    for (said, shown) in [
        ("the dev tenant has 17 orders", "the *** tenant has *** orders"),
        ("the device has 1700 orders", "the device has 1700 orders"),
        ("env=dev;n=\"17\"", "env=***;n=\"***\""),
        ("a + b", "a *** b"),
    ] {
        assert_eq!(redactor.redact(said), shown, "{said}");
    }
}

#[test]
fn of_what_was_captured_an_ordinary_word_is_hidden_as_a_whole_word_and_nothing_beside_it() {
    const ID: &str = "7d9f8b1c-aaaa-4bbb-8ccc-0123456789ab";
    for (name, value, said, shown) in [
        ("state", "healthy", "database is unhealthy, cache is Healthy.", "database is unhealthy, cache is ***."),
        (
            "state",
            "pending",
            r#"pending-2, spending 3, pending_4, "pending""#,
            r#"***-2, spending 3, pending_4, "***""#,
        ),
        ("state", "online", "it depends on line 5", "it depends on line 5"),
        ("state", "not there", "it is not%20there, not thereafter", "it is ***, not thereafter"),
        ("id", "12345", "order 12345 of 123456", "order 12345 of 123456"),
        ("id", "123456", "order 123456 of 2", "order *** of 2"),
        ("version", "1.2.3", "version 1.2.3", "version 1.2.3"),
        ("token_count", "1", "1 of 10 workers", "1 of 10 workers"),
        ("token_valid", "true", "true it is", "true it is"),
        ("token", "-----", "----- BEGIN -----", "----- BEGIN -----"),
        ("token", "x1", "x1 and x1", "x1 and x1"),
        ("token", "secret", "a secret of secretaries", "a *** of secretaries"),
        ("token", "correct-horse-battery", "bad correct-ho", "bad ***"),
        ("token", "s3cr3t.pass", "bad s3cr3t.p", "bad ***"),
        ("id", ID, "order 7d9f8b1c of aaaa", "order *** of aaaa"),
    ] {
        let redactor = Redactor::default().and_captured([(name, value)]);
        assert_eq!(redactor.redact(said), shown, "{name}: {value}");
    }
    let redactor = Redactor::default().and_captured([("kind", "headers"), ("id", ID)]);
    assert_eq!(redactor.redact_own(&format!("status 200, 3 headers of {ID}")), "status 200, 3 headers of ***");
}

#[test]
fn what_goes_on_beyond_what_is_looked_at_is_not_shown() {
    let said = format!("{} s3cr", "x ".repeat(498));
    assert!(!Redactor::of(["s3cretive"]).redact(&(said + "etive")).contains("s3c"));
}

fn section(entries: Vec<(&'static str, Value)>) -> Section {
    let session = ParseSession::new(Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
    let located = |(key, value)| (key, Spanned::new(SourceSpan::default(), value));
    Section::new(SourceSpan::default(), entries.into_iter().map(located), session)
}

/// `<a>` stands for an expansion that is `a`.
fn text(written: &str) -> Value {
    Value::Text(text_of(written))
}

fn text_of(written: &str) -> Text {
    let mut parts = Vec::new();
    for (index, piece) in written.split('<').enumerate() {
        match piece.split_once('>').filter(|_| index > 0) {
            Some((inside, after)) => {
                parts.push(TextPart::Expanded(Secret::new(inside)));
                parts.push(TextPart::Plain(after.into()));
            }
            None => parts.push(TextPart::Plain(piece.into())),
        }
    }
    parts.retain(|part| !matches!(part, TextPart::Plain(text) if text.is_empty()));
    Text { parts, written: written.into() }
}

fn secrets(section: &Section) -> Vec<String> {
    Redactor::of_section(section).secrets.iter().map(|secret| secret.text.expose().to_owned()).collect()
}

#[test]
fn all_of_an_address_is_secret_but_its_scheme_host_and_port() {
    for (url, expected) in [
        ("http://<app.svc>:<80>/health", vec![]),
        ("<http://app.svc:80/hooks/abc?x=y>", vec!["/hooks/abc?x=y"]),
        ("<http://app.svc/tenant-17/health>", vec!["/tenant-17/health", "tenant-17"]),
        ("<http://user:p%40ss@app.svc>", vec!["user:p%40ss", "dXNlcjpwQHNz", "user", "p@ss", "user:p@ss"]),
        ("http://user:hunter2@app.svc/", vec!["dXNlcjpodW50ZXIy", "hunter2", "user:hunter2"]),
        ("http://app.svc/<tenant>/x?token=abc&page=2", vec!["tenant", "abc"]),
        ("http://app.svc", vec![]),
    ] {
        assert_eq!(secrets(&section(vec![("url", text(url))])), expected, "{url}");
    }
}

#[test]
fn what_is_written_out_is_secret_where_its_name_says_so() {
    let header = |name: &str, value: &str| (name.to_owned(), Spanned::new(SourceSpan::default(), text(value)));
    let headers = vec![header("Authorization", "Bearer abc"), header("X-Tenant", "shop"), header("X-Id", "a<bcd>")];
    let entries = vec![
        ("headers", Value::Map(headers)),
        ("body", text(r#"{"user":"probe","password":"hunter2","n":{"token":"x"}}"#)),
        ("unix_socket", text("/run/<x>")),
        ("tls", Value::Section(section(vec![("ca_file", text("<y>"))]))),
    ];
    assert_eq!(secrets(&section(entries)), ["abc", "bcd", "hunter2", "x"]);
    assert_eq!(secrets(&section(vec![("body", text("user=probe&pwd=hunter2"))])), ["hunter2"]);
}

/// What is shown of `said` where these headers are sent.
fn shown_beside(headers: &[(&str, &str)], said: &str) -> String {
    let header = |(name, value): &(&str, &str)| {
        let value = Text { written: format!("${{{name}}}"), ..text_of(value) };
        ((*name).to_owned(), Spanned::new(SourceSpan::default(), Value::Text(value)))
    };
    let headers = Value::Map(headers.iter().map(header).collect());
    Redactor::of_section(&section(vec![("headers", headers)])).redact(said).into_owned()
}

#[test]
fn a_value_of_ordinary_words_hides_none_of_them_but_itself() {
    let service = [("X-Service", "<orders-service.shop.svc>")];
    for (said, shown) in [
        ("the orders service is degraded", "the orders service is degraded"),
        ("payments.shop.svc does not answer", "payments.shop.svc does not answer"),
        ("orders-service.shop.svc is degraded", "*** is degraded"),
        ("ORDERS-SERVICE%2Eshop.svc:80", "***:80"),
        ("sent b3JkZXJzLXNlcnZpY2Uuc2hvcC5zdmM=", "sent ***"),
    ] {
        assert_eq!(shown_beside(&service, said), shown, "{said}");
    }
    let pod = [("X-Pod", "<orders-7d9f8b6c5d-x2x9z>")];
    assert_eq!(shown_beside(&pod, "orders 7d9f8b6c of the orders queue"), "orders *** of the orders queue");
    let template = [("X-Body", r#"<{"query":"orders","limit":100,"since":"2026"}>"#)];
    assert_eq!(shown_beside(&template, "since 2026 the query takes long"), "since 2026 the query takes long");
}

#[test]
fn a_value_that_its_name_calls_a_credential_is_hidden_in_parts_whatever_its_words() {
    for name in ["X-Api-Key", "PASSWORD", "file:/run/secrets/phrase"] {
        let phrase = [(name, "<correct-horse-battery>")];
        assert_eq!(shown_beside(&phrase, "bad key: correct-ho"), "bad key: ***", "{name}");
        assert_eq!(shown_beside(&[(name, "<on>")], "it is on"), "it is ***", "{name}");
    }
}

#[test]
fn what_is_nobodys_secret_stays() {
    let sent = [("X-Debug", "<true>"), ("X-Limit", "<10>"), ("X-Port", "<8080>"), ("X-Env", "<production>")];
    let said = "ready: true, 10 orders, production on 8080";
    assert_eq!(shown_beside(&sent, said), "ready: true, 10 orders, *** on ***");
}

#[test]
fn expansions_side_by_side_are_hidden_together_too() {
    let sent = [("X-Id", "<abc><def>")];
    assert_eq!(shown_beside(&sent, "no abcdef, no abc"), "no ***, no ***");
}

#[test]
fn a_secret_is_kept_once_however_often_it_is_sent() {
    let body = "x".repeat(1 << 10);
    let part = || TextPart::Expanded(Secret::new(body.as_str()));
    let header = |name: usize| {
        let text = Text { parts: vec![part()], written: "${X}".into() };
        (format!("X-{name}"), Spanned::new(SourceSpan::default(), Value::Text(text)))
    };
    let headers = Value::Map((0..200).map(header).collect());
    assert_eq!(secrets(&section(vec![("headers", headers)])), [body]);
}

#[test]
fn what_a_clone_of_a_secret_holds_is_the_same_memory() {
    let secret = Secret::new("x".repeat(1 << 20));
    let text = Text { parts: vec![TextPart::Expanded(secret.clone())], written: "${X}".into() };
    let redactor = Redactor::of_section(&section(vec![("body", Value::Text(text))]));
    let more = redactor.and([("sid", "0123456789")]);
    for kept in [&redactor.secrets[0], &more.secrets[0]] {
        assert!(std::ptr::eq(kept.text.expose(), secret.expose()));
    }
}

proptest! {
    #[test]
    fn no_six_characters_of_a_secret_are_shown(
        secret in "[a-zA-Z0-9%&;\"\\\\ +=/]{6,40}", before in ".{0,12}", after in ".{0,12}", form in 0_u8..5
    ) {
        let written = match form {
            0 => secret.clone(),
            1 => percent_encoding::utf8_percent_encode(&secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
            2 => serde_json::Value::from(secret.clone()).to_string(),
            3 => STANDARD_NO_PAD.encode(format!("{before}{secret}")),
            _ => secret.to_uppercase(),
        };
        let normal = normal_form(secret.as_bytes());
        prop_assume!(normal.len() >= 8);
        let shown = Redactor::of([secret.as_str()]).redact(&format!("{before} {written} {after}")).into_owned();
        let left = normal_form(shown.as_bytes());
        // What stands around it may be like it by chance.
        let around = normal_form(format!("{before}{after}").as_bytes());
        let middle = &normal[1..normal.len() - 1];
        let is_left = middle.windows(6).any(|part| left.windows(6).any(|window| window == part)
            && !around.windows(6).any(|window| window == part));
        prop_assert!(!is_left, "{} -> {}", written, shown);
    }

    #[test]
    fn any_text_is_redacted_in_bounds(secret in ".{0,12}", said in r"[a-z%&;#x0-9\\u é]{0,60}") {
        let shown = Redactor::of([secret.as_str()]).redact(&said).into_owned();
        prop_assert!(shown.len() <= said.len() + 3 * said.len() + 3);
    }
}
