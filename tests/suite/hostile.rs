//! Clients and files that mean no good, against the real daemon: a clean answer or a closed connection, and no trace.
//!
//! What the fuzzers under `tests/fuzz` know to hold for any input is held here against inputs that once broke it,
//! against files and requests of every kind, and against these cut and spoiled at random.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::daemon::{Daemon, PATIENCE};

#[path = "../fuzz/properties/beats.rs"]
mod beats;
#[path = "../fuzz/properties/hook.rs"]
mod hook;
#[path = "../fuzz/properties/http.rs"]
mod http;
#[path = "../server/support.rs"]
#[expect(dead_code, reason = "only the snapshots are taken from it")]
mod server_support;
#[path = "../fuzz/properties/yaml.rs"]
mod yaml;

const WELL: &str = "checks:\n  - { name: well, simulated: {}, interval: 100ms }\n";

/// Sends `bytes`, half-closes the connection if `ends`, and reads until the daemon closes it.
async fn talk(daemon: &Daemon, bytes: &[u8], ends: bool) -> String {
    let conversation = async {
        let stream = TcpStream::connect(daemon.address).await.expect("it listens");
        let (mut from, mut to) = stream.into_split();
        let ask = async {
            // A daemon that has seen enough closes before it has read everything.
            let _ = to.write_all(bytes).await;
            if ends {
                let _ = to.shutdown().await;
            }
            to
        };
        let mut answer = Vec::new();
        let (_to, _) = tokio::join!(ask, from.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    };
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    tokio::time::timeout(PATIENCE, conversation).await.unwrap_or_else(|_| panic!("it does not close: {:?}", shown()))
}

/// The codes of the answers, in order; the answers have to be whole.
fn codes(answers: &str) -> Vec<u16> {
    let mut codes = Vec::new();
    let mut rest = answers;
    while !rest.is_empty() {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {rest:?}"));
        let code = head.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse().ok());
        codes.push(code.unwrap_or_else(|| panic!("no code in {head:?}")));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        assert!(body.len() >= length, "cut off: {rest:?}");
        rest = &body[length..];
    }
    codes
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_clean_and_nothing_stays_behind() {
    let daemon = Daemon::start(WELL).await;
    daemon.until("/readyz", |reply| reply.body == "ok").await;
    let before = daemon.descriptors();
    let long = |length: usize| "x".repeat(length);

    let malformed = [
        "\r\n\r\n\r\n\r\nGET\r\n\r\n".into(),
        "NONSENSE\r\n\r\n".into(),
        "GET /livez\r\n\r\n".into(),
        "GET /livez HTTP/1.1\nHost x\n\n".into(),
        "GET /livez HTTP/2.0\r\n\r\n".into(),
        "GET http://[::1/livez HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        "GET /livez HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n".into(),
        "GET /livez HTTP/1.1\r\n: empty\r\n\r\n".into(),
        "GET /livez HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n".into(),
        "POST /livez HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".into(),
        "POST /livez HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".into(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n".into(),
        "*1\r\n$4\r\nPING\r\n\r\n".into(),
        format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", long(100_000)),
        format!("GET /livez?{} HTTP/1.1\r\n\r\n", long(100_000)),
        format!("{} / HTTP/1.1\r\n\r\n", long(20_000)),
        format!("GET /livez HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(1000)),
    ];
    for request in &malformed {
        let codes = codes(&talk(&daemon, request.as_bytes(), false).await);
        let shown = &request[..request.len().min(60)];
        assert!(matches!(codes[..], [400 | 405 | 414 | 431]), "{codes:?} to {shown:?}");
    }

    // The greeting of HTTP/2 is answered in frames, and nothing comes of it.
    let frames = talk(&daemon, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false).await;
    assert!(frames.starts_with("\0\0") && !frames.contains("HTTP/1.1"), "{frames:?}");

    let one = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let close = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (requests, answers) in [
        (String::new(), 0),
        (one.into(), 1),
        (one.repeat(500), 500),
        (close.repeat(5), 1),
        (one[..20].into(), 0),
        (format!("{one}{}", &one[..20]), 1),
    ] {
        assert_eq!(codes(&talk(&daemon, requests.as_bytes(), true).await), vec![200; answers], "{requests:.60}");
    }

    for query in ["%", "%zz=%", "&&&===", "verbose=%00", "exclude=&exclude=%ff", "format=\u{fffd}", &long(8000)] {
        for path in ["/livez", "/startupz", "/readyz", "/metrics"] {
            let expected = if path == "/readyz" && query.starts_with("format") { 400 } else { 200 };
            let request = format!("GET {path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            assert_eq!(codes(&talk(&daemon, request.as_bytes(), false).await), [expected], "{path}?{query:.60}");
        }
    }

    let mut random = Random(0x5eed);
    for round in 0..1000 {
        let mut bytes = match round % 3 {
            0 => Vec::new(),
            1 => one.repeat(2).into_bytes(),
            _ => malformed[random.below(malformed.len())].clone().into_bytes(),
        };
        random.spoil(&mut bytes);
        codes(&talk(&daemon, &bytes, true).await);
    }

    assert_eq!(daemon.get("/livez").await.body, "ok");
    daemon.until_descriptors(before).await;
    let log = daemon.log().join("\n");
    assert!(!log.contains("defect") && !log.contains("panic"), "{log}");
}

#[tokio::test]
async fn every_form_of_request_that_http_knows_has_its_answer_and_smuggles_none() {
    let daemon = Daemon::start(WELL).await;
    daemon.until("/readyz", |reply| reply.body == "ok").await;
    let smuggled = "GET /v1/services HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (request, expected) in [
        ("GET http://example.org/livez HTTP/1.1\r\nHost: x\r\n", 200),
        ("GET http://user:password@example.org/livez HTTP/1.1\r\nHost: x\r\n", 200),
        ("GET example.org:80 HTTP/1.1\r\nHost: x\r\n", 404),
        ("CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n", 404),
        ("CONNECT /livez HTTP/1.1\r\nHost: x\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n", 404),
        ("GET /livez HTTP/1.1\r\n", 200),
        ("GET /livez HTTP/1.0\r\n", 200),
        ("TRACE /livez HTTP/1.1\r\nHost: x\r\n", 405),
        ("GET //livez HTTP/1.1\r\nHost: x\r\n", 404),
        ("GET /readyz\0 HTTP/1.1\r\nHost: x\r\n", 404),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", 200),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nExpect: the impossible\r\n", 200),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n", 200),
    ] {
        let answer = talk(&daemon, format!("{request}Connection: close\r\n\r\n").as_bytes(), false).await;
        assert_eq!(codes(&answer), [expected], "{request:?}");
        assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
    }
    for (request, answers) in [
        (
            format!(
                "POST /livez HTTP/1.1\r\nTrailer: X\r\nConnection: close\r\n{chunked}3\r\nabc\r\n0\r\nX: y\r\n\r\n"
            ),
            &[405][..],
        ),
        (format!("POST /livez HTTP/1.1\r\n{chunked}ffffffffffffffffff\r\n{smuggled}"), &[405]),
        (format!("POST /livez HTTP/1.1\r\n{chunked}3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(50_000)), &[405]),
        (format!("POST /livez HTTP/1.1\r\n{chunked}0\r\n{}\r\n", "X: y\r\n".repeat(10_000)), &[405]),
        (format!("POST /livez HTTP/1.1\r\nContent-Length: 3\r\n{chunked}0\r\n\r\n{smuggled}"), &[405]),
        (format!("POST /livez HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd{smuggled}"), &[400]),
        (format!("POST /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n{smuggled}"), &[400]),
        (format!("POST /livez HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"), &[400]),
        (format!("POST /livez HTTP/1.0\r\n{chunked}0\r\n\r\n{smuggled}"), &[400]),
        (format!("GET /livez HTTP/1.1\r\nX : y\r\n\r\n{smuggled}"), &[400]),
        (format!("GET /livez HTTP/1.1\r\nX: y\r\n z\r\n\r\n{smuggled}"), &[400]),
        (format!("GET /livez HTTP/1.1\r\nX: \0\r\n\r\n{smuggled}"), &[400]),
        (format!("GET /livez\r\n\r\n{smuggled}"), &[400]),
        (format!("GET /livez HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(10_000)), &[431]),
        (
            "POST /livez HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc".into(),
            &[100, 405],
        ),
        // A body that never comes is not waited for.
        ("POST /livez HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nabc".into(), &[405]),
        ("GET /livez HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /livez HTTP/1.0\r\n\r\n".into(), &[200, 200]),
    ] {
        assert_eq!(
            codes(&talk(&daemon, request.as_bytes(), false).await),
            answers,
            "{:?}",
            &request[..request.len().min(100)]
        );
        assert_eq!(daemon.get("/livez").await.body, "ok", "the next one is answered");
    }
    let log = daemon.log().join("\n");
    assert!(!log.contains("defect") && !log.contains("panic"), "{log}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The contents of the files in a folder that end like this.
fn contents(folder: &str, extension: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.is_file()
            && path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
            && path.extension().unwrap_or_default() == extension
    });
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn what_the_fuzzers_found_stays_mended() {
    for kept in ["found", "corpus"] {
        for (path, bytes) in contents(&format!("tests/fuzz/{kept}/yaml"), "") {
            println!("{}", path.display());
            yaml::any_file(&bytes);
            yaml::any_plan(&bytes);
        }
        for (path, bytes) in contents(&format!("tests/fuzz/{kept}/http"), "") {
            println!("{}", path.display());
            http::with_world(|world| http::any_bytes(world, &bytes));
        }
        for (path, bytes) in contents(&format!("tests/fuzz/{kept}/request"), "") {
            println!("{}", path.display());
            http::with_world(|world| http::any_request(world, &bytes));
        }
    }
    for (path, bytes) in contents("tests/fuzz/corpus/beats", "") {
        println!("{}", path.display());
        beats::with_world(|world| beats::any_beat(world, &bytes));
    }
    let receiver = hook::World::new();
    for (path, bytes) in contents("tests/fuzz/corpus/hook", "") {
        println!("{}", path.display());
        hook::any_reply(&receiver, &bytes);
    }
}

#[test]
fn any_file_is_read_and_what_is_valid_can_be_run() {
    let mut random = Random(0xf11e);
    let folders = ["config/examples", "config", "tests/golden/config", "tests/golden/config/good"];
    for (_, whole) in folders.iter().flat_map(|folder| contents(folder, "yaml")) {
        yaml::any_file(&whole);
        yaml::any_plan(&whole);
        for _ in 0..5 {
            let mut bytes = whole.clone();
            random.spoil(&mut bytes);
            yaml::any_file(&bytes);
            yaml::any_plan(&bytes);
        }
    }
}

#[test]
fn any_request_is_answered_in_keeping_with_the_rules() {
    let mut random = Random(0xa5c);
    for round in 0..3000 {
        let mut bytes = b"\x00\x00a=b&format=json&exclude=x\napplication/json;q=0.5, */*\nlocalhost\n42-7".to_vec();
        random.spoil(&mut bytes);
        if let [first, second, ..] = &mut bytes[..] {
            (*first, *second) = (round as u8, (round / 7) as u8);
        }
        http::with_world(|world| http::any_request(world, &bytes));
        http::with_world(|world| http::any_bytes(world, &bytes));
    }
}

/// A repeatable source of numbers (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound.max(1)
    }

    /// Puts bytes in, takes some out, cuts the end off.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let odd = b"\0\r\n\t :;,/?#%&=[]{}\"'`<>\\|*\x7f\x80\xff09azAZ-_.~$!";
        for _ in 0..=self.below(8) {
            let start = self.below(bytes.len() + 1);
            let end = (start + self.below(4)).min(bytes.len());
            let any = self.below(4) == 0;
            let mut byte = || if any { self.below(256) as u8 } else { odd[self.below(odd.len())] };
            let piece: Vec<u8> = (0..6).map(|_| byte()).collect();
            bytes.splice(start..end, piece[..start % 7].iter().copied());
        }
        if self.below(4) == 0 {
            bytes.truncate(self.below(bytes.len() + 1));
        }
    }
}
