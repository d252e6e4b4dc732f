//! The kind `http`: bodies that are compressed on the way.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use probelet::base::trace::Trace;
use probelet::base::value::Value;
use probelet::probe::RunContext;
use probelet::probe::http::KIND;
use serde_json::json;

use crate::fake::{self, Act, Fake};
use crate::meter::{hostile, least_held, on_a_lane};
use crate::section::{SectionBuilder, capturing, status};
use crate::webservers::WebServer;
use crate::{LONG, said, said_of};

fn section(port: u16) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://127.0.0.1:{port}/health.json"))
}

fn expecting_json(port: u16) -> SectionBuilder {
    section(port).section("expect", SectionBuilder::new().jsons("json", &[("/status", json!("ok"))]))
}

pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn answer(status: u16, coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn nginx_compresses_and_its_json_is_read() {
    let settings = "  types { application/json json; }\n  gzip on; gzip_types application/json; gzip_min_length 1;\n  \
                    server { listen 127.0.0.1:PORT0; root .; }";
    let body = format!("{{\"list\":\"{}\",\"status\":\"ok\"}}", "0123456789".repeat(1000));
    let nginx = WebServer::nginx(settings, &[("health.json", &body)]);
    let run = RunContext { trace: Arc::new(Trace::noting()), ..RunContext::default() };
    let mut probe = expecting_json(nginx.ports[0]).probe(&KIND);
    assert_eq!(said_of(&mut *probe, &run, LONG).await, "pass");
    let notes = run.trace.notes();
    assert!(notes.last().unwrap().starts_with("body of 9.8 KiB, decoded from "), "{notes:?}");
    // The connection has taken it well.
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
    let mut cut = expecting_json(nginx.ports[0]).with("max_body", Value::Size(1 << 10)).probe(&KIND);
    assert_eq!(said(&mut *cut, LONG).await, "mismatch: the JSON is not whole in the first 1 KiB: raise `max_body`");
}

#[tokio::test]
async fn node_streams_what_it_compresses_and_calls_bare_deflate_by_its_name() {
    let script = "
        const zlib = require('node:zlib');
        const made = { gzip: zlib.createGzip, deflate: zlib.createDeflate, bare: zlib.createDeflateRaw };
        require('node:http').createServer((request, response) => {
          const kind = request.headers['x-kind'];
          response.writeHead(200, { 'Content-Encoding': kind === 'bare' ? 'deflate' : kind });
          const encoder = made[kind]();
          encoder.pipe(response);
          encoder.write('{\"status\":');
          encoder.flush(() => encoder.end('\"ok\"}'));
        }).listen(PORT0, '127.0.0.1');";
    let node = WebServer::node(script, &[]);
    for kind in ["gzip", "deflate", "bare"] {
        let mut probe = expecting_json(node.ports[0]).texts("headers", &[("X-Kind", kind)]).probe(&KIND);
        for _ in 0..3 {
            assert_eq!(said(&mut *probe, LONG).await, "pass", "{kind}");
        }
    }
}

#[tokio::test]
async fn compression_is_asked_for_only_where_somebody_looks_at_the_body() {
    let ask = async |section: SectionBuilder, run: &RunContext| {
        let fake = Fake::answers(fake::http(200, &[], "{\"status\":\"ok\"}")).await;
        let text = format!("http://127.0.0.1:{}/", fake.port());
        assert_eq!(said_of(&mut *section.text("url", text).probe(&KIND), run, LONG).await, "pass");
        let request = fake.seen().requests[0].to_lowercase();
        request.lines().find_map(|line| Some(line.strip_prefix("accept-encoding: ")?.to_owned()))
    };
    let asked = Some("gzip, deflate".to_owned());
    let (plain, keeping) = (RunContext::default(), capturing());
    assert_eq!(ask(section(1), &plain).await, None);
    assert_eq!(ask(section(1).with("method", Value::Word("HEAD")), &keeping).await, None);
    assert_eq!(ask(section(1), &keeping).await, asked);
    for expect in [
        SectionBuilder::new().text("body_contains", "ok"),
        SectionBuilder::new().text("body_matches", "ok"),
        SectionBuilder::new().jsons("json", &[("/status", json!("ok"))]),
    ] {
        assert_eq!(ask(section(1).section("expect", expect), &plain).await, asked);
    }
    let own = expecting_json(1).texts("headers", &[("accept-encoding", "identity")]);
    assert_eq!(ask(own, &plain).await, Some("identity".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_decoded_is_named_where_somebody_looks_at_the_body() {
    let body = b"{\"status\":\"ok\"}";
    let whole = gzip(body);
    let cases = [
        ("br", &body[..], "protocol: the body is encoded as br: only gzip and deflate are decoded"),
        ("zstd", body, "protocol: the body is encoded as zstd: only gzip and deflate are decoded"),
        ("gzip", body, "protocol: the body's gzip is damaged"),
        ("gzip", &whole[..whole.len() - 1], "protocol: the body's gzip ends too early"),
        ("deflate", &whole, "protocol: the body's deflate is damaged"),
        ("identity", body, "pass"),
        ("gzip", &whole, "pass"),
    ];
    let fake = Fake::silent().await;
    for (coding, body, expected) in cases {
        fake.mend(answer(200, coding, body)).await;
        assert_eq!(said(&mut *expecting_json(fake.port()).probe(&KIND), LONG).await, expected, "{coding}");
        assert_eq!(said(&mut *section(fake.port()).probe(&KIND), LONG).await, "pass", "nobody looks");
        // A wrong status is what is wrong, whatever comes with it.
        fake.mend(answer(503, coding, body)).await;
        let said = said(&mut *expecting_json(fake.port()).probe(&KIND), LONG).await;
        assert_eq!(said, "mismatch: returned status 503", "{coding}");
    }
    fake.mend(answer(204, "br", b"")).await;
    let expect = SectionBuilder::new().with("status", status("204")).text("body_matches", "^$");
    assert_eq!(said(&mut *section(fake.port()).section("expect", expect).probe(&KIND), LONG).await, "pass");
}

#[tokio::test]
async fn what_decodes_without_end_ends_the_run() {
    let mut zeros = DeflateEncoder::new(Vec::new(), Compression::best());
    zeros.write_all(&vec![0; 1 << 20]).unwrap();
    zeros.flush().unwrap();
    let zeros = zeros.get_ref().clone();
    let head = |coding: &str| format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n").into_bytes();
    let start = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
    let cases = [
        (
            [head("gzip"), start.to_vec()].concat(),
            zeros.clone(),
            "protocol: the body decodes to far more than it can hold",
        ),
        (head("deflate"), zeros, "protocol: the body decodes to far more than it can hold"),
        (
            [head("gzip"), start.to_vec()].concat(),
            b"\0\0\0\xff\xff".repeat(1000),
            "protocol: the answer has far more framing than content",
        ),
        (head("gzip"), gzip(b"").repeat(200), "protocol: the answer has far more framing than content"),
        (
            [head("gzip"), gzip(b"{\"status\":\"ok\"}")].concat(),
            vec![0; 1024],
            "protocol: the answer has far more framing than content",
        ),
        (
            [head("gzip"), start[..3].to_vec(), vec![8; 7]].concat(),
            vec![b'x'; 1024],
            "protocol: the answer has far more framing than content",
        ),
    ];
    let fake = Fake::silent().await;
    for (head, again, expected) in cases {
        fake.act(Act::Endless(head, again)).await;
        // It ends by what it is: a slow machine takes its time for that.
        assert_eq!(said(&mut *expecting_json(fake.port()).probe(&KIND), LONG * 10).await, expected);
    }
    let text: Vec<u8> =
        (0..400_000u32).flat_map(|number| format!("{}", number.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    fake.mend(answer(200, "gzip", &gzip(&text))).await;
    for (wanted, expected) in
        [("26544357611013904226", "pass"), ("nothing", "mismatch: the expected text is not in the first 64 KiB")]
    {
        let expect = SectionBuilder::new().text("body_contains", wanted);
        assert_eq!(said(&mut *section(fake.port()).section("expect", expect).probe(&KIND), LONG).await, expected);
    }
}

#[test]
fn a_body_that_becomes_long_holds_nobody() {
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let mut twice = ZlibEncoder::new(Vec::new(), Compression::best());
    twice.write_all(&bomb).unwrap();
    let members = gzip(b"").repeat(4096);
    for (coding, body) in [("gzip", bomb), ("gzip, deflate", twice.finish().unwrap()), ("gzip", members)] {
        let bytes = answer(200, coding, &body);
        let address = hostile(move |mut stream| {
            std::io::Read::read(&mut stream, &mut [0; 4096])?;
            stream.write_all(&bytes)?;
            std::io::Read::read(&mut stream, &mut [0; 1]).map(drop)
        });
        on_a_lane(async {
            let held = least_held(async || {
                let section = expecting_json(address.port()).with("max_body", Value::Size(4 << 20));
                let _ = said(&mut *section.probe(&KIND), LONG).await;
            });
            held.await.is_little(coding);
        });
    }
}
