//! Answers as they are on the wire.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probelet::base::token::Token;
use probelet::config::Listen;
use probelet::model::plan::Details;
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;

use super::support::*;

#[test]
fn an_answer_has_these_headers_and_no_others() {
    let server = Server::of(worried());
    assert_eq!(
        undated(&server.talk("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")),
        "HTTP/1.1 200 OK\r\n\
         content-type: text/plain; charset=utf-8\r\n\
         cache-control: no-store\r\n\
         vary: Accept\r\n\
         x-content-type-options: nosniff\r\n\
         x-health-status: degraded\r\n\
         x-envoy-degraded: true\r\n\
         connection: close\r\n\
         content-length: 2\r\n\
         \r\n\
         ok"
    );
    assert_eq!(
        undated(&server.talk("DELETE /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")),
        "HTTP/1.1 405 Method Not Allowed\r\n\
         content-type: text/plain; charset=utf-8\r\n\
         cache-control: no-store\r\n\
         vary: Accept\r\n\
         x-content-type-options: nosniff\r\n\
         allow: GET, HEAD, OPTIONS\r\n\
         connection: close\r\n\
         content-length: 55\r\n\
         \r\n\
         method not allowed; this path takes GET, HEAD, OPTIONS\n"
    );
}

const PATHS: [&str; 16] = [
    "/",
    "/livez",
    "/readyz",
    "/readyz?verbose",
    "/readyz/internal_api/user",
    "/readyz/nobody",
    "/startupz",
    "/healthz",
    "/healthz?format=xml",
    "/health",
    "/alive",
    "/ready",
    "/-/healthy",
    "/-/ready",
    "/nowhere",
    "/-/drain",
];

#[test]
fn head_and_options_give_the_status_of_get() {
    for snapshot in [worried(), ill()] {
        let server = Server::of(snapshot);
        for path in PATHS {
            let ask = |method: &str| {
                server.talk(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            };
            let (get, head, options) = (ask("GET"), ask("HEAD"), ask("OPTIONS"));
            let (code, body) = parts(&get);
            assert_eq!((parts(&head).0, parts(&options).0), (code, code), "{path}");
            assert_eq!(parts(&head).1, "", "{path}");
            assert_eq!(header(&get, "content-length"), Some(body.len().to_string().as_str()), "{path}");
            assert_eq!(header(&head, "content-length"), header(&get, "content-length"), "{path}");
            assert_eq!(header(&options, "content-length"), header(&get, "content-length"), "{path}");
            for answer in [&get, &head, &options] {
                assert_eq!(header(answer, "cache-control"), Some("no-store"));
                assert_eq!(header(answer, "vary"), Some("Accept"));
                assert_eq!(header(answer, "x-content-type-options"), Some("nosniff"));
                assert_eq!((header(answer, "server"), header(answer, "location")), (None, None));
            }
            match header(&get, "x-health-status") {
                None => assert!(!matches!(code, 200 | 503), "{path}"),
                Some(verdict) => assert_eq!(verdict == "error", code == 503, "{path}"),
            }
        }
    }
}

#[test]
fn metrics_have_a_length_too() {
    let server = Server::of(worried());
    let get = server.talk("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(header(&get, "content-length"), Some(parts(&get).1.len().to_string().as_str()));
    let head = server.talk("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(parts(&head), (200, String::new()));
    assert_eq!(header(&get, "x-health-status"), None);
}

#[test]
fn requests_are_counted_by_the_pattern_of_their_path() {
    let server = Server::of(worried());
    server.get("/readyz/internal_api%2Fuser?verbose");
    server.get("/readyz/nobody");
    server.get("/nowhere/at/all");
    let counted: Vec<String> = server
        .get("/metrics")
        .1
        .lines()
        .filter(|line| line.starts_with("probelet_http_request_duration_seconds_count"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        counted,
        [("/readyz/{check}", 200), ("/readyz/{check}", 404), ("unknown", 404)].map(|(route, code)| format!(
            "probelet_http_request_duration_seconds_count{{route=\"{route}\",code=\"{code}\"}} 1"
        ))
    );
}

#[test]
fn the_latest_snapshot_is_answered_from() {
    let mut server = Server::of(worried());
    let mut kept = server.connect();
    kept.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(parts(&one(&mut kept)), (200, "ok".into()));
    server.recorder.publish(ill());
    kept.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let expected = "[-]db failed: connection refused\nreadyz check failed: root cause db\n";
    assert_eq!(parts(&one(&mut kept)), (503, expected.into()));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::of(worried());
    let mut stream = server.connect();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let all: String = ["/livez", "/nowhere", "/alive"].into_iter().map(request).collect();
    stream.write_all(all.as_bytes()).unwrap();
    assert_eq!(parts(&one(&mut stream)), (200, "ok".into()));
    assert_eq!(parts(&one(&mut stream)).0, 404);
    assert_eq!(parts(&one(&mut stream)), (200, r#"{"alive": true}"#.into()));
    // A thousand at once, read only afterwards.
    stream.write_all(request("/livez").repeat(1000).as_bytes()).unwrap();
    for _ in 0..1000 {
        assert_eq!(parts(&one(&mut stream)), (200, "ok".into()));
    }
}

#[test]
fn a_client_that_has_closed_its_side_still_gets_its_answers() {
    let server = Server::of(worried());
    for requests in [1, 3] {
        let mut stream = server.connect();
        stream.write_all("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(requests).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream).matches("HTTP/1.1 200 OK").count(), requests);
    }
    let mut silent = server.connect();
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut silent), "");
}

#[test]
fn http_1_0_is_closed_after_the_answer_unless_asked_otherwise() {
    let server = Server::of(worried());
    let answer = server.talk("GET /livez HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert_eq!(parts(&answer).1, "ok");
    let mut kept = server.connect();
    for _ in 0..2 {
        kept.write_all(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        assert_eq!(parts(&one(&mut kept)), (200, "ok".into()));
    }
    assert_eq!(parts(&server.talk("OPTIONS / HTTP/1.0\r\n\r\n")), (200, "ok".into()));
}

#[test]
fn what_is_no_request_is_refused_and_closed() {
    let server = Server::of(worried());
    for nonsense in [
        "NONSENSE\r\n\r\n",
        "GET\r\n\r\n",
        "GET /livez HTTP/9.9\r\n\r\n",
        "GET  /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{7c}\x03\x03 a TLS hello\r\n\r\n",
    ] {
        assert_eq!(parts(&server.talk(nonsense)).0, 400, "{nonsense:?}");
    }
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    assert_eq!(parts(&server.talk(long)).0, 431);
    let many = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: x\r\n".repeat(200));
    assert_eq!(parts(&server.talk(many)).0, 431);
    assert_eq!(server.get("/livez"), (200, "ok".into()));
}

#[test]
fn absurd_queries_do_not_close_livez() {
    let server = Server::of(worried());
    for query in [&b"?\xff\xfe"[..], b"?a b", b"?\"<>`\x7f\x01", b"?#", b"#"] {
        let request = [b"GET /livez", query, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat();
        assert_eq!(parts(&server.talk(request)), (200, "ok".into()), "{query:?}");
    }
    let mut kept = server.connect();
    for _ in 0..2 {
        kept.write_all(b"GET /startupz/<\"> HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(parts(&one(&mut kept)), (200, "ok\nwarn: no check named \"!!!\"\n".into()));
    }
    for query in
        ["?%", "?%00%0d%0a", "?a=b=c&&&=", "?[]{}|^`\\\"'", "?=&exclude", "?é", &format!("?{}", "x=%&".repeat(3500))]
    {
        assert_eq!(server.get(&format!("/livez{query}")).0, 200, "{query}");
    }
    let excludes = server.get(&format!("/livez?{}", "exclude=%0a%ff&".repeat(900)));
    let expected = format!("ok\n{}warn: … and 897 more\n", "warn: no check named \"\u{fffd}\" to exclude\n".repeat(3));
    assert_eq!(excludes, (200, expected));
}

#[test]
fn a_body_does_no_harm() {
    let server = Server::of(worried());
    let head = "Host: localhost\r\nConnection: close\r\n";
    for request in [
        format!("GET /livez HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello"),
        format!("GET /livez HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        assert_eq!(parts(&server.talk(request)), (200, "ok".into()));
    }
    let request = format!("POST /livez HTTP/1.1\r\n{head}Content-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000));
    assert_eq!(parts(&server.talk(request)).0, 405);
    // A body of one packet of its own leaves the connection usable.
    let mut kept = server.connect();
    for _ in 0..2 {
        kept.write_all(b"PUT /v1/heartbeats/loop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n").unwrap();
        kept.write_all(b"{}").unwrap();
        let mut answer = [0; 23];
        kept.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 204 No Content");
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            kept.read_exact(&mut byte).unwrap();
            rest.push(byte[0]);
        }
    }
    assert_eq!(*server.told.lock().unwrap(), ["beat loop", "beat loop"]);
}

#[test]
fn a_body_that_is_announced_and_never_comes_is_not_waited_for() {
    let server = Server::of(worried());
    let mut stream = server.connect();
    let began = Instant::now();
    stream.write_all(b"POST /-/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert_eq!(parts(&rest(&mut stream)), (200, "draining for 5s\n".into()));
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut expecting = server.connect();
    expecting
        .write_all(
            b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        )
        .unwrap();
    let mut go_on = [0; 25];
    expecting.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    expecting.write_all(b"hi").unwrap();
    assert_eq!(parts(&rest(&mut expecting)), (200, "ok".into()));
}

#[test]
fn control_works_over_both_families_of_one_listener() {
    let server = Server::listening(Listen::All(0), worried());
    let port = server.address.port();
    for host in ["127.0.0.1", "::1"] {
        let address = (host.parse::<std::net::IpAddr>().unwrap(), port).into();
        let mut stream = connect(address);
        stream.write_all(b"POST /-/drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!(parts(&rest(&mut stream)), (200, "draining for 5s\n".into()), "{host}");
    }
    assert_eq!(*server.told.lock().unwrap(), ["drain", "drain"]);
}

#[test]
fn a_stream_tells_the_health_now_and_again() {
    let mut server = Server::of(snapshot(vec![]));
    let mut stream = server.connect();
    stream.write_all(b"GET /health/$stream?poll_interval=0.1 HTTP/1.0\r\n\r\n").unwrap();
    let mut read = String::new();
    let mut buffer = [0; 4096];
    while read.matches("\n\n").count() < 2 {
        let more = stream.read(&mut buffer).unwrap();
        assert!(more > 0, "{read}");
        read += std::str::from_utf8(&buffer[..more]).unwrap();
    }
    assert_eq!(
        undated(&read).split_at(read.find("data").unwrap() - (read.len() - undated(&read).len())).0,
        "HTTP/1.0 200 OK\r\n\
         content-type: text/event-stream\r\n\
         cache-control: no-store\r\n\
         vary: Accept\r\n\
         x-content-type-options: nosniff\r\n\
         x-accel-buffering: no\r\n\
         connection: close\r\n\r\n"
    );
    let events: Vec<&str> = read.split("\r\n\r\n").nth(1).unwrap().split_inclusive("\n\n").take(2).collect();
    assert_eq!(events, ["data: {\"status\":\"healthy\"}\n\n"; 2]);
    server.recorder.publish(ill());
    while !read.contains("unhealthy") {
        let more = stream.read(&mut buffer).unwrap();
        assert!(more > 0, "{read}");
        read += std::str::from_utf8(&buffer[..more]).unwrap();
    }
    let event = r#"data: {"status":"unhealthy","checks":{"db":{"state":"unhealthy","message":"connection refused"}}}"#;
    assert!(read.contains(event), "{read}");
    // HEAD and OPTIONS end after the head.
    for method in ["HEAD", "OPTIONS"] {
        let answer = server.talk(format!("{method} /health/$stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert_eq!(parts(&answer), (200, String::new()));
    }
    server.end();
    assert!(rest(&mut stream).ends_with("\n\n") || read.ends_with("\n\n"));
}

#[test]
fn a_stream_that_is_cut_says_why_and_closes() {
    let mut server = Server::of(snapshot(vec![]));
    let mut stream = server.connect();
    stream.write_all(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut read = String::new();
    let mut buffer = [0; 4096];
    while !read.contains("event: snapshot\n") {
        let more = stream.read(&mut buffer).unwrap();
        assert!(more > 0, "{read}");
        read += std::str::from_utf8(&buffer[..more]).unwrap();
    }
    let head = undated(read.split_inclusive("\r\n\r\n").next().unwrap());
    assert_eq!(
        head,
        "HTTP/1.1 200 OK\r\n\
         content-type: text/event-stream\r\n\
         cache-control: no-store\r\n\
         vary: Accept\r\n\
         x-content-type-options: nosniff\r\n\
         x-accel-buffering: no\r\n\
         connection: close\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let mut silent = snapshot(vec![]);
    Arc::make_mut(&mut silent.plan).answers.details = Details::None;
    server.recorder.publish(silent);
    let last = rest(&mut stream);
    let cut = "event: cut\ndata: {\"reason\":\"the configuration has `details: none` now\"}\n\n\r\n0\r\n\r\n";
    assert!(last.ends_with(cut), "{last}");
}

#[test]
fn streams_end_when_a_reload_asks_for_a_token_or_answers_less() {
    let over =
        "event: cut\ndata: {\"reason\":\"a reload has changed who may see this; connect again\"}\n\n\r\n0\r\n\r\n";
    for path in ["/v1/stream", "/health/$stream?poll_interval=0.1"] {
        let mut server = Server::of(telling("told before"));
        let mut stream = server.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        until(&mut stream, "told before");
        let mut guarded = telling("told after");
        Arc::make_mut(&mut guarded.plan).answers.token = Some(Token::new("hunter2"));
        server.recorder.publish(guarded);
        let last = rest(&mut stream);
        assert!(last.ends_with(over) && !last.contains("told after"), "{path}: {last}");
    }
}

/// A snapshot of a check that says so.
fn telling(message: &str) -> Snapshot {
    snapshot(vec![(definition("app"), state(State::Error, message))])
}

/// Reads until `text` has come.
fn until(stream: &mut TcpStream, text: &str) {
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    while !read.contains(text) {
        let more = stream.read(&mut buffer).unwrap();
        assert!(more > 0, "{read}");
        read += std::str::from_utf8(&buffer[..more]).unwrap();
    }
}

#[test]
fn curl_and_python_are_served() {
    let server = Server::of(worried());
    let url = format!("http://{}", server.address);
    let curl = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "-X", "POST", "-d", "x=y", "-w", " %{http_code}", &format!("{url}/-/drain")])
        .output()
        .expect("curl is missing: install the Debian package `curl`");
    assert_eq!(String::from_utf8_lossy(&[curl.stdout, curl.stderr].concat()), "draining for 5s\n 200");
    let script = r#"
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
for method, path, body in [("GET", "/readyz", None), ("HEAD", "/healthz", None), ("PUT", "/v1/heartbeats/loop", b"{}"),
                           ("POST", "/livez", b"x" * 30000), ("GET", "/readyz/internal_api%2Fuser", None)]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    print(answer.status, answer.getheader("X-Health-Status"), len(answer.read()))
"#;
    let python = Command::new("python3")
        .args(["-c", script, &server.address.port().to_string()])
        .output()
        .expect("python3 is missing: install the Debian package `python3`");
    assert_eq!(
        String::from_utf8_lossy(&[python.stdout, python.stderr].concat()),
        "200 degraded 2\n200 degraded 0\n204 None 0\n405 None 55\n200 ok 2\n"
    );
}
