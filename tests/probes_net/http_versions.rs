//! The kind `http` over HTTP/2, with real servers and with such that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probelet::base::trace::Trace;
use probelet::base::value::Value;
use probelet::probe::http::KIND;
use probelet::probe::{Probe, RunContext};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::certs::{Authority, Folder, Identity};
use crate::fake::{self, Act, Fake};
use crate::meter::{MOST, least_held, on_a_lane};
use crate::section::{SectionBuilder, capturing};
use crate::webservers::WebServer;
use crate::{LONG, said, said_of, said_where};

fn section(url: impl Into<String>, version: &'static str) -> SectionBuilder {
    SectionBuilder::new().text("url", url).with("version", Value::Word(version))
}

/// An authority, as the section `tls` that trusts it, and a certificate of it for `localhost`.
fn trusted(folder: &Folder) -> (Identity, impl Fn() -> SectionBuilder + use<>) {
    let authority = Authority::new("known");
    let ca_file = folder.write("ca.pem", authority.pem());
    (authority.server(&["localhost"]), move || SectionBuilder::new().text("ca_file", &ca_file))
}

/// What a run says, and what it notes.
async fn noted(probe: &mut dyn Probe) -> (String, String) {
    let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
    let said = said_of(probe, &run, LONG).await;
    (said, run.trace.notes().join(", "))
}

#[tokio::test]
async fn nginx_speaks_http2_over_tls_where_it_may_and_without_when_asked_to() {
    let folder = Folder::new();
    let (identity, tls) = trusted(&folder);
    let settings = "  ssl_certificate cert.pem; ssl_certificate_key key.pem;\n  types { application/json json; }\n  \
                    gzip on; gzip_types application/json; gzip_min_length 1;\n  \
                    server { listen 127.0.0.1:PORT0 ssl http2; root .; location /x { return 200 \"$host $http_x_a $http_cache_control\"; } }\n  \
                    server { listen 127.0.0.1:PORT1 ssl; root .; }\n  server { listen 127.0.0.1:PORT2 http2; root .; }\n  \
                    server { listen 127.0.0.1:PORT3; root .; }";
    let files =
        [("cert.pem", &*identity.certificate), ("key.pem", &identity.key), ("health.json", "{\"status\":\"ok\"}")];
    let nginx = WebServer::nginx(settings, &files);
    let [both, only_one, plain_two, plain_one] = [0, 1, 2, 3].map(|place: usize| nginx.ports[place]);
    let cases = [
        ("https", both, "auto", "pass", true),
        ("https", both, "2", "pass", true),
        ("https", both, "1.1", "pass", false),
        ("https", only_one, "auto", "pass", false),
        ("https", only_one, "1.1", "pass", false),
        (
            "https",
            only_one,
            "2",
            "protocol: server does not choose HTTP/2 in the TLS handshake: write `version: auto`",
            false,
        ),
        ("http", plain_two, "2", "pass", true),
        ("http", plain_one, "auto", "pass", false),
        ("http", plain_one, "1.1", "pass", false),
        ("http", plain_one, "2", "protocol: server speaks HTTP/1.1 and not HTTP/2: write `version: 1.1`", false),
        ("http", plain_two, "auto", "protocol: server speaks HTTP/2 and not HTTP/1.1: write `version: 2`", false),
    ];
    for (scheme, port, version, expected, is_http2) in cases {
        let section = section(format!("{scheme}://localhost:{port}/health.json"), version);
        let section = if scheme == "https" { section.section("tls", tls()) } else { section };
        let expect = SectionBuilder::new().jsons("json", &[("/status", json!("ok"))]);
        let mut probe = section.section("expect", expect).probe(&KIND);
        for _ in 0..3 {
            let (said, notes) = noted(&mut *probe).await;
            assert_eq!(said, expected, "{scheme} {version}");
            assert_eq!(notes.contains("over HTTP/2"), is_http2, "{notes}");
            assert_eq!(notes.contains("decoded from"), expected == "pass", "{notes}");
        }
    }
    // What was meant is told where TLS is missed, or is not there.
    for (scheme, port, expected) in [
        ("http", only_one, "mismatch: returned status 400: the server wants TLS: write `https://`"),
        ("http", both, "mismatch: returned status 400: the server wants TLS: write `https://`"),
        ("https", plain_one, "tls: server does not speak TLS: write `http://`"),
    ] {
        let section = section(format!("{scheme}://localhost:{port}/health.json"), "auto");
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected, "{scheme}");
    }
    // Whatever the file says of the host is what the server sees, and other headers come along.
    let section = section(format!("https://localhost:{both}/x"), "2").section("tls", tls());
    let section = section.texts("headers", &[("Host", "shop.test:1"), ("X-A", "b"), ("Connection", "close")]);
    let expect = SectionBuilder::new().text("body_matches", "^shop.test b no-cache$");
    assert_eq!(said(&mut *section.section("expect", expect).probe(&KIND), LONG).await, "pass");
}

#[tokio::test]
async fn a_connection_to_nginx_is_kept_until_it_takes_leave() {
    let settings = "  server { listen 127.0.0.1:PORT0 http2; keepalive_requests 3; \
                    location / { return 200 \"$connection_requests\"; } }";
    let nginx = WebServer::nginx(settings, &[]);
    let url = format!("http://127.0.0.1:{}/", nginx.ports[0]);
    let run = capturing();
    let mut probe = section(url, "2").probe(&KIND);
    let mut seen = String::new();
    for _ in 0..7 {
        let pass = probe.observe(&run).await.unwrap();
        seen += &String::from_utf8(pass.answer.unwrap().body).unwrap();
    }
    assert_eq!(seen, "1231231");
}

#[tokio::test]
async fn haproxy_speaks_it_and_every_method_is_understood() {
    let folder = Folder::new();
    let (identity, tls) = trusted(&folder);
    let settings = "frontend plain\n  bind 127.0.0.1:PORT0 proto h2\n  bind 127.0.0.1:PORT1 ssl crt both.pem alpn h2\n  \
                    http-request return status 200 content-type text/plain lf-string \"%[method] %[req.ver] %[req.body]\"\n";
    let haproxy = WebServer::haproxy(settings, &[("both.pem", &(identity.certificate.clone() + &identity.key))]);
    for (url, version) in [
        (format!("http://localhost:{}/", haproxy.ports[0]), "2"),
        (format!("https://localhost:{}/", haproxy.ports[1]), "auto"),
    ] {
        let ask = |method: &'static str| {
            let section = section(&*url, version).with("method", Value::Word(method));
            if url.starts_with("https") { section.section("tls", tls()) } else { section }
        };
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            let section = ask(method).text("body", if method == "POST" { "hello" } else { "" });
            let expect = SectionBuilder::new().text("body_contains", format!("{method} 2.0"));
            assert_eq!(said(&mut *section.section("expect", expect).probe(&KIND), LONG).await, "pass", "{method}");
        }
        assert_eq!(said(&mut *ask("HEAD").probe(&KIND), LONG).await, "pass");
    }
}

#[tokio::test]
async fn node_redirects_sets_cookies_and_takes_leave_over_http2() {
    let folder = Folder::new();
    let (identity, tls) = trusted(&folder);
    let script = "
        const { readFileSync } = require('node:fs');
        const options = { cert: readFileSync('cert.pem'), key: readFileSync('key.pem') };
        const answer = (stream, headers) => {
          if (headers[':path'] === '/login') {
            stream.respond({ ':status': 302, location: '/home', 'set-cookie': ['a=1; Secure', 'b=2'] });
            stream.end('there');
          } else if (headers.cookie?.includes('a=1') && headers.cookie.includes('b=2')) {
            stream.respond({ ':status': 200 }, { waitForTrailers: true });
            stream.on('wantTrailers', () => stream.sendTrailers({ 'x-done': 'yes' }));
            stream.end('welcome');
            if (headers[':path'] === '/home') stream.session.goaway();
          } else {
            stream.respond({ ':status': 403 });
            stream.end();
          }
        };
        require('node:http2').createSecureServer(options).on('stream', answer).listen(PORT0, '127.0.0.1');";
    let node = WebServer::node(script, &[("cert.pem", &identity.certificate), ("key.pem", &identity.key)]);
    let section = section(format!("https://localhost:{}/login", node.ports[0]), "auto").section("tls", tls());
    let expect = SectionBuilder::new().text("body_contains", "welcome");
    let mut probe = section.section("expect", expect).with("max_redirects", Value::Integer(1)).probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"")
}

/// `:status: 200`, as HPACK has it in its table (RFC 7541, appendix A).
const OK: &[u8] = &[0x88];

fn ok() -> Vec<u8> {
    [settings(), frame(HEADERS, END_HEADERS, 1, OK), frame(DATA, END_STREAM, 1, b"ok")].concat()
}

fn goaway(code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[&0u32.to_be_bytes()[..], &code.to_be_bytes(), b"hunter2"].concat())
}

fn reset(code: u32) -> Vec<u8> {
    [settings(), frame(RST_STREAM, 0, 1, &code.to_be_bytes())].concat()
}

/// What a server says to the first request of each connection: something once, then something else again and again.
#[derive(Clone)]
struct Script(Vec<u8>, Vec<u8>);

/// A server without TLS that has read a request before it says anything.
struct FrameServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl FrameServer {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(play(stream, script.clone()));
            }
        });
        Self { address, task }
    }

    fn section(&self) -> SectionBuilder {
        section(format!("http://{}/", self.address), "2")
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut stream: TcpStream, Script(once, again): Script) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await?;
        if head[3] == HEADERS {
            break;
        }
    }
    let (mut reading, mut writing) = stream.into_split();
    let talk = async {
        writing.write_all(&once).await?;
        while !again.is_empty() {
            writing.write_all(&again).await?;
            tokio::task::yield_now().await;
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let mut listened = tokio::io::sink();
    tokio::select! {
        talked = talk => talked,
        _ = tokio::io::copy(&mut reading, &mut listened) => Ok(()),
    }
}

async fn of(once: Vec<u8>, again: Vec<u8>) -> String {
    let server = FrameServer::start(Script(once, again)).await;
    said(&mut *server.section().probe(&KIND), LONG).await
}

#[tokio::test]
async fn what_a_server_says_instead_of_an_answer_is_told() {
    let mut wrong = Vec::new();
    for (answer, expected) in [
        (ok(), "pass"),
        ([settings(), goaway(0)].concat(), "connect: server closes the connection (HTTP/2 GOAWAY)"),
        ([settings(), goaway(11)].concat(), "protocol: server ends the connection (HTTP/2 GOAWAY ENHANCE_YOUR_CALM)"),
        (reset(7), "protocol: server refuses the request (HTTP/2 REFUSED_STREAM)"),
        (reset(2), "protocol: server resets the request (HTTP/2 INTERNAL_ERROR)"),
        (reset(13), "protocol: server wants HTTP/1.1 for this request (HTTP/2 HTTP_1_1_REQUIRED)"),
        (reset(0x1234), "protocol: server resets the request (HTTP/2 error 0x1234)"),
        (
            [settings(), frame(HEADERS, END_HEADERS, 1, OK), frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])].concat(),
            "protocol: server resets the request (HTTP/2 INTERNAL_ERROR)",
        ),
        (
            [settings(), frame(HEADERS, END_HEADERS, 1, &[0xff; 8])].concat(),
            "protocol: server breaks the HTTP/2 protocol (PROTOCOL_ERROR)",
        ),
        (
            [settings(), frame(DATA, 0, 1, b"ok")].concat(),
            "protocol: server breaks the HTTP/2 protocol (PROTOCOL_ERROR)",
        ),
        (
            [settings(), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])].concat(),
            "protocol: server breaks the HTTP/2 protocol (PROTOCOL_ERROR)",
        ),
        (
            [settings(), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            "protocol: server breaks the HTTP/2 protocol (FLOW_CONTROL_ERROR)",
        ),
        (frame(PING, 0, 1, b"12345678"), "protocol: server breaks the HTTP/2 protocol (PROTOCOL_ERROR)"),
        ([settings(), vec![0xff; 64]].concat(), "protocol: server breaks the HTTP/2 protocol (FRAME_SIZE_ERROR)"),
        (fake::http(400, &[], "no"), "protocol: server speaks HTTP/1.1 and not HTTP/2: write `version: 1.1`"),
    ] {
        let said = of(answer, vec![]).await;
        if said != expected {
            wrong.push((said, expected));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (version, greeting, expected) in [
        ("auto", settings(), "protocol: server speaks HTTP/2 and not HTTP/1.1: write `version: 2`"),
        ("1.1", settings(), "protocol: server speaks HTTP/2 and not HTTP/1.1: write `version: 2`"),
        ("2", vec![], "connect: connection closed before the answer was complete"),
        ("2", settings(), "connect: connection closed before the answer was complete"),
    ] {
        let fake = Fake::start(Act::CloseAfter(greeting)).await;
        let section = section(format!("http://{}/", fake.address()), version);
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected, "{version}");
    }
    let fake = Fake::silent().await;
    let silence = "timeout: waiting for the answer";
    let mut probe = section(format!("http://{}/", fake.address()), "2").probe(&KIND);
    assert_eq!(said_where(&mut *probe, silence).await, silence);
    fake.until(|seen| seen.open == 0).await;
}

/// A head that becomes hundreds of times as long as it comes: one long field goes into the table, and is named again and
/// again (RFC 7541, section 7.3).
fn head_bomb() -> Vec<u8> {
    let long = [&[0x40, 1, b'a', 0x7f, 0x80 + 33, 30][..], &vec![b'x'; 4000]].concat();
    [OK, &long, &[0xbe; 2000]].concat()
}

fn floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let head = [settings(), frame(HEADERS, END_HEADERS, 1, OK)].concat();
    vec![
        ("settings", settings(), settings().repeat(500)),
        ("pings", settings(), frame(PING, 0, 0, b"12345678").repeat(500)),
        ("window updates", settings(), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(500)),
        ("frames of no known kind", settings(), frame(99, 0, 0, b"x").repeat(500)),
        ("interim answers", settings(), frame(HEADERS, END_HEADERS, 1, &[0x08, 3, b'1', b'0', b'3']).repeat(500)),
        ("continuations", [settings(), frame(HEADERS, 0, 1, OK)].concat(), frame(CONTINUATION, 0, 1, &[]).repeat(500)),
        (
            "continuations with fields",
            [settings(), frame(HEADERS, 0, 1, OK)].concat(),
            frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']).repeat(500),
        ),
        ("heads that become long", settings(), frame(HEADERS, END_HEADERS, 1, &head_bomb())),
        ("data without content", head.clone(), frame(DATA, 0, 1, b"").repeat(500)),
        ("data that is padding", head.clone(), frame(DATA, 8, 1, &[255; 256]).repeat(50)),
        ("trailers", head.clone(), frame(HEADERS, END_HEADERS, 1, &[0, 1, b'a', 1, b'b']).repeat(500)),
        ("data beyond what was asked for", head, frame(DATA, 0, 1, &[b'x'; 16_384]).repeat(16)),
        ("promises", settings(), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]).repeat(500)),
    ]
}

#[tokio::test]
async fn floods_end_the_run() {
    for (what, once, again) in floods() {
        let said = of(once, again).await;
        // Of a body no more is read than is wanted, over whatever version.
        let is_right = said.starts_with("protocol: ") || what == "data beyond what was asked for" && said == "pass";
        assert!(is_right, "{what}: {said}");
    }
}

#[test]
fn floods_hold_nobody() {
    for (what, once, again) in floods() {
        on_a_lane(async {
            let server = std::thread::spawn({
                let (sender, receiver) = std::sync::mpsc::channel();
                let script = Script(once, again);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let server = FrameServer::start(script).await;
                        sender.send(server.address).unwrap();
                        tokio::time::sleep(Duration::from_secs(600)).await;
                    });
                });
                move || receiver.recv().unwrap()
            });
            let address = server.join().unwrap();
            let held = least_held(async || {
                let _ = said(&mut *section(format!("http://{address}/"), "2").probe(&KIND), LONG).await;
            });
            let held = held.await;
            assert!(held.most < MOST, "held for the work of {:.0} KiB beside {what}", held.most);
        });
    }
}

#[tokio::test]
async fn a_kept_connection_that_fails_is_asked_once_more_over_a_fresh_one() {
    // The second request of each connection is refused.
    let refused = frame(RST_STREAM, 0, 3, &7u32.to_be_bytes());
    let server = FrameServer::start(Script([ok(), refused].concat(), vec![])).await;
    let mut probe = server.section().probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

/// The kind of the next frame that a client sends; nothing when it has hung up in good order.
async fn heard(stream: &mut TcpStream) -> Option<u8> {
    let mut head = [0; 9];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
            return None;
        }
    }
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    Some(head[3])
}

#[tokio::test]
async fn a_connection_ends_with_a_goodbye() {
    for age in [Duration::ZERO, Duration::from_secs(300)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 24]).await.unwrap();
            while heard(&mut stream).await.unwrap() != HEADERS {}
            stream.write_all(&ok()).await.unwrap();
            let mut kinds = Vec::new();
            while let Some(kind) = heard(&mut stream).await {
                kinds.push(kind);
            }
            kinds
        });
        let mut probe = section(url, "2").with("max_connection_age", Value::Duration(age)).probe(&KIND);
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        drop(probe);
        assert_eq!(server.await.unwrap().last(), Some(&GOAWAY), "{age:?}");
    }
}
