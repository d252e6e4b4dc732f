//! The kind `http` through proxies, real ones and such that misbehave.

use std::sync::Arc;
use std::time::Duration;

use probelet::base::trace::Trace;
use probelet::base::value::Value;
use probelet::probe::http::KIND;
use probelet::probe::{Probe, RunContext};

use crate::certs::{Authority, Folder};
use crate::fake::{self, Act, Fake};
use crate::section::SectionBuilder;
use crate::webservers::WebServer;
use crate::{LONG, said, said_of, said_where};

const KNOWN: &str = "probe:p%40ss%2Fword@";

/// A section for `url` through the proxy at `port`, known by these credentials.
fn through(port: u16, known_by: &str, url: &str) -> SectionBuilder {
    SectionBuilder::new().text("url", url).text("proxy", format!("http://{known_by}127.0.0.1:{port}"))
}

/// An app that answers over TLS, the section that trusts it, and where it listens.
async fn secured(folder: &Folder) -> (Fake, SectionBuilder, String) {
    let authority = Authority::new("known");
    let tls = SectionBuilder::new().text("ca_file", folder.write("ca.pem", authority.pem()));
    let app = Fake::answers(fake::http(200, &[], "secured")).await.with_tls(authority.server(&["127.0.0.1"]).server());
    let url = format!("https://127.0.0.1:{}/health", app.port());
    (app, tls, url)
}

#[tokio::test]
async fn squid_and_tinyproxy_lead_to_the_server_and_speak_for_themselves() {
    let app = Fake::answers(fake::http(200, &[], "plain")).await;
    let (folder, nobody) = (Folder::new(), Fake::refuses().await);
    let (secure_app, tls, secure_url) = secured(&folder).await;
    let (url, gone) = (format!("http://127.0.0.1:{}/health?x=1", app.port()), nobody.port());
    let proxies = [(WebServer::squid(), KNOWN, 503), (WebServer::tinyproxy(), "probe:secret@", 500)];
    for (proxy, known, code) in proxies {
        let port = proxy.ports[0];
        let ask = async |section: SectionBuilder| said(&mut *section.probe(&KIND), LONG).await;
        let expect = |text: &str| SectionBuilder::new().text("body_contains", text);
        let asked = app.seen().requests.len();
        let mut plain = through(port, known, &url).section("expect", expect("plain")).probe(&KIND);
        for _ in 0..2 {
            assert_eq!(said(&mut *plain, LONG).await, "pass");
        }
        let request = app.seen().requests[asked].clone();
        assert!(
            request.starts_with("GET /health?x=1 ") && !request.to_lowercase().contains("authorization"),
            "{request}"
        );

        let accepted = secure_app.seen().accepted;
        let trusting = SectionBuilder::new().text("ca_file", folder.path().join("ca.pem").to_str().unwrap());
        let section = through(port, known, &secure_url).section("expect", expect("secured")).section("tls", trusting);
        let mut tunnelled = section.probe(&KIND);
        for _ in 0..3 {
            assert_eq!(said(&mut *tunnelled, LONG).await, "pass");
        }
        assert_eq!(secure_app.seen().accepted, accepted + 1, "a tunnel is kept");

        let wrong = if code == 503 { 407 } else { 401 };
        for (known_by, expected) in [
            ("", "auth: proxy: it wants a user and a password (status 407)".to_owned()),
            ("probe:wrong@", format!("auth: proxy: it rejects the user or the password (status {wrong})")),
        ] {
            assert_eq!(ask(through(port, known_by, &url)).await, expected);
            assert_eq!(ask(through(port, known_by, &secure_url)).await, expected);
        }
        let unreached = format!("connect: proxy: it cannot reach the server (status {code})");
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://127.0.0.1:{gone}/");
            assert_eq!(ask(through(port, known, &url)).await, unreached);
            // Whatever the file expects of the server, this is not its answer.
            let expect = SectionBuilder::new().with("status", Value::Status(100, 599));
            assert_eq!(ask(through(port, known, &url).section("expect", expect)).await, unreached);
        }
        if code == 503 {
            let ask = async |url| ask(through(port, KNOWN, url)).await;
            assert_eq!(ask("http://forbidden.test/").await, "auth: proxy: it refuses the request (status 403)");
            assert_eq!(ask("https://forbidden.test/").await, "auth: proxy: it refuses the tunnel (status 403)");
        }
    }
    drop(tls);
}

#[tokio::test]
async fn a_cache_does_not_answer_for_a_server_that_is_down() {
    let old = [("Last-Modified", "Mon, 01 Jan 2018 00:00:00 GMT")];
    let (proxy, app) = (WebServer::squid(), Fake::answers(fake::http(200, &old, "up")).await);
    let section = || through(proxy.ports[0], KNOWN, &format!("http://127.0.0.1:{}/", app.port()));
    let mut probe = section().probe(&KIND);
    for asked in 1..=2 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!(app.seen().requests.len(), asked, "the app itself has answered");
    }
    app.act(Act::Refuse).await;
    // Where the file lets it, the cache answers.
    let mut lenient = section().texts("headers", &[("cache-control", "max-age=31536000")]).probe(&KIND);
    assert_eq!(said(&mut *lenient, LONG).await, "pass");
    assert_eq!(said(&mut *probe, LONG).await, "connect: proxy: it cannot reach the server (status 503)");
}

#[tokio::test]
async fn what_the_server_answers_is_the_servers() {
    let proxy = WebServer::tinyproxy();
    for status in [403, 407, 500, 502, 503] {
        let app = Fake::answers(fake::http(status, &[], "")).await;
        let url = format!("http://127.0.0.1:{}/", app.port());
        let said = said(&mut *through(proxy.ports[0], "probe:secret@", &url).probe(&KIND), LONG).await;
        assert_eq!(said, format!("mismatch: returned status {status}"));
    }
}

fn tunnel(fake: &Fake) -> Box<dyn Probe> {
    through(fake.port(), KNOWN, "https://localhost:1/health").probe(&KIND)
}

#[tokio::test]
async fn a_proxy_that_misbehaves_is_told_as_such() {
    let fake = Fake::silent().await;
    let closed = "connect: proxy: connection closed before the answer was complete";
    for (act, expected) in [
        (Act::CloseAfter(vec![]), closed),
        (Act::CloseAfter(b"HTTP/1.1 20".to_vec()), closed),
        (Act::ResetAfter(b"HTTP/1.1 200 OK\r\n".to_vec()), "connect: proxy: connection reset"),
        (Act::garbage(), "protocol: proxy: the answer is not HTTP"),
        (Act::Answer(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "protocol: proxy: the answer is not HTTP"),
        (Act::Answer(b"HTTP/1.1 abc\r\n\r\n".to_vec()), "protocol: proxy: the answer has no valid status code"),
        (
            Act::Answer(fake::http(302, &[("Location", "http://portal.test/")], "log in")),
            "protocol: proxy: it opens no tunnel (status 302)",
        ),
        (
            Act::Answer(fake::http(405, &[], &"long ".repeat(100_000))),
            "protocol: proxy: it opens no tunnel (status 405)",
        ),
        (
            Act::Answer(b"HTTP/1.1 200 OK\r\n\r\nwelcome".to_vec()),
            "protocol: proxy: something comes over the tunnel before TLS begins",
        ),
        (
            Act::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(100)),
            "protocol: proxy: its answer is longer than 16 KiB",
        ),
        (
            Act::Endless(vec![], b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10)),
            "protocol: proxy: more than 5 interim answers (1xx) come before the answer",
        ),
        // Behind the tunnel the server is told, whoever it is.
        (
            Act::serve(|number, _| (number == 0).then(|| b"HTTP/1.0 200 Yes\r\n\r\n".to_vec())),
            "tls: connection closed in the TLS handshake",
        ),
    ] {
        fake.act(act).await;
        assert_eq!(said(&mut *tunnel(&fake), LONG).await, expected);
    }
    let request = fake.seen().requests[0].clone();
    assert!(
        request.starts_with("CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\nUser-Agent: probelet/"),
        "{request}"
    );
    assert!(request.contains("\r\nProxy-Authorization: Basic cHJvYmU6cEBzcy93b3Jk\r\n"), "{request}");
    fake.act(Act::Silent).await;
    let silence = "timeout: waiting for the proxy";
    assert_eq!(said_where(&mut *tunnel(&fake), silence).await, silence);
    fake.act(Act::Refuse).await;
    assert_eq!(said(&mut *tunnel(&fake), LONG).await, "connect: proxy: connection refused");
    let section =
        through(fake.port(), "", "http://app.test/").with("max_connection_age", Value::Duration(Duration::ZERO));
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, "connect: proxy: connection refused");
}

#[tokio::test]
async fn a_proxy_is_asked_for_whole_urls_and_keeps_its_secret() {
    let redirect = fake::http(302, &[("Location", "http://other.test:81/there")], "");
    let fake = Fake::start(Act::serve(move |_, request| {
        let is_first = request.starts_with("GET http://app.test/");
        Some(if is_first { redirect.clone() } else { fake::http(200, &[], "ok") })
    }))
    .await;
    let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
    let section =
        through(fake.port(), KNOWN, "http://user:secret@app.test/a?b=c").with("max_redirects", Value::Integer(1));
    let mut probe = section.with("redirects", Value::Word("any")).probe(&KIND);
    assert_eq!(said_of(&mut *probe, &run, LONG).await, "pass");
    let requests = fake.seen().requests;
    assert!(requests[0].starts_with("GET http://app.test/a?b=c HTTP/1.1\r\nHost: app.test\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("GET http://other.test:81/there HTTP/1.1\r\n"), "{}", requests[1]);
    for (request, own) in [(&requests[0], true), (&requests[1], false)] {
        assert!(request.contains("\r\nProxy-Authorization: Basic cHJvYmU6cEBzcy93b3Jk\r\n"), "{request}");
        assert_eq!(request.contains("\r\nAuthorization: "), own, "{request}");
    }
    let phases: Vec<&str> = run.trace.phases().iter().map(|(phase, _)| phase.label()).collect();
    assert_eq!(phases, ["proxy", "first_byte", "proxy", "first_byte", "body"]);
    for note in run.trace.notes() {
        assert!(!note.contains("ss") || note.starts_with("status"), "{note}");
    }
}

#[tokio::test]
async fn a_redirect_through_a_proxy_leads_to_nothing_near() {
    for (to, expected) in [
        ("http://127.0.0.1/", "mismatch: redirected from elsewhere to a loopback address, which is never followed"),
        ("http://[::1]/", "mismatch: redirected from elsewhere to a loopback address, which is never followed"),
        ("http://localhost:1/", "mismatch: redirected from elsewhere to a loopback address, which is never followed"),
        (
            "http://169.254.169.254/",
            "mismatch: redirected from elsewhere to a link-local address, which is never followed",
        ),
        ("http://other.test/", "protocol: more than 1 redirect"),
    ] {
        let fake = Fake::answers(fake::http(302, &[("Location", to)], "")).await;
        let section = through(fake.port(), "", "http://app.test/").with("max_redirects", Value::Integer(1));
        let section = section.with("redirects", Value::Word("any"));
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected, "{to}");
    }
}

#[test]
fn a_proxy_is_named_without_its_password() {
    let spec = through(3128, KNOWN, "https://app.test/health").read(&KIND).unwrap();
    assert_eq!(spec.target().unwrap(), "https://app.test/health through http://127.0.0.1:3128");
    assert_eq!(spec.hosts(), ["127.0.0.1", "app.test"]);
    let problems = |section: SectionBuilder| section.read(&KIND).err().unwrap();
    let path = SectionBuilder::new().text("url", "http://app.test/").text("proxy", "http://proxy:3128/path");
    assert_eq!(problems(path), ["invalid-value: the URL of a proxy has neither path nor query"]);
    let both = through(3128, "", "http://app.test/").text("unix_socket", "/run/app.sock");
    let expected = "invalid-value: no proxy leads to a Unix socket: `proxy` and `unix_socket` exclude each other";
    assert_eq!(problems(both), [expected]);
}
