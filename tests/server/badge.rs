//! Badges over real sockets, read by an XML parser that is not ours.

use std::process::Command;

use probelet::model::state::State;

use super::support::*;

fn shop() -> Server {
    Server::of(snapshot(vec![
        (definition("internal_api/user"), state(State::Ok, "fine")),
        (definition("cache"), state(State::Degraded, "slow")),
        (definition("overall"), state(State::Error, "gone")),
    ]))
}

/// Asks for each path, parses the answer as XML, and prints its code, role, title and texts.
const READER: &str = r#"
import http.client, sys, xml.etree.ElementTree as xml
sys.stdout.reconfigure(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"
for path in sys.argv[2:]:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "image/svg+xml", path
    root = xml.fromstring(answer.read().decode("utf-8"))
    assert root.tag == SVG + "svg" and root.get("role") == "img", path
    title = root.find(SVG + "title").text
    assert root.get("aria-label") == title, path
    assert root.get("viewBox") == "0 0 %s %s" % (root.get("width"), root.get("height")), path
    texts = list(root.iter(SVG + "text"))
    for text in texts:
        end = int(text.get("x")) + int(text.get("textLength"))
        assert 0 < end < int(root.get("width")), path
    assert not any("href" in name for part in root.iter() for name in part.keys()), path
    print(answer.status, "|".join([title] + [text.text for text in texts]))
"#;

fn read(server: &Server, paths: &[String]) -> String {
    let port = server.address.port().to_string();
    let reader = Command::new("python3").args(["-c", READER, &port]).args(paths).output();
    let reader = reader.expect("python3 is missing: install the Debian package `python3`");
    String::from_utf8([reader.stdout, reader.stderr].concat()).unwrap()
}

#[test]
fn badges_are_pictures_with_a_title_and_two_texts() {
    let server = shop();
    let paths = [
        "/badge/internal_api/user.svg",
        "/badge/internal_api%2Fuser.svg",
        "/badge/cache.svg",
        "/badge/overall.svg",
        "/badge/overall.svg?of=check&label=Check",
        "/badge/nobody.svg",
        "/badge/cache.svg?label=%22%3E%3C%2Ftitle%3E%26amp;'",
        "/badge/cache.svg?label=",
    ];
    assert_eq!(
        read(&server, &paths.map(str::to_owned)),
        "200 internal_api/user: ok|internal_api/user|ok\n\
         200 internal_api/user: ok|internal_api/user|ok\n\
         200 cache: degraded|cache|degraded\n\
         200 overall: error|overall|error\n\
         200 Check: error|Check|error\n\
         404 nobody: unknown|nobody|unknown\n\
         200 \"></title>&amp;': degraded|\"></title>&amp;'|degraded\n\
         200 cache: degraded|degraded\n"
    );
}

#[test]
fn whatever_is_asked_for_the_answer_is_xml() {
    let server = shop();
    // Every byte, alone and before one that it may not stand before, and characters that XML refuses.
    let bytes = (0..=255u8).map(|byte| format!("%{byte:02x}%{:02x}", byte ^ 0x80));
    let odd = ["%ef%bf%be", "%ef%bf%bf", "%ed%a0%80", "%f4%90%80%80", "%e2%80%ae", "%c2%85", "%f0%9f%9a%80", "&", "%"];
    let parts: Vec<String> = bytes.chain(odd.map(str::to_owned)).collect();
    let paths: Vec<String> = parts
        .chunks(8)
        .flat_map(|parts| {
            let part = parts.concat();
            [format!("/badge/cache.svg?label={part}"), format!("/badge/{}.svg", part.replace('&', "%26"))]
        })
        .collect();
    let said = read(&server, &paths);
    let codes: Vec<&str> = said.lines().map(|line| &line[..4]).collect();
    assert_eq!(codes.len(), paths.len(), "{said}");
    assert!(codes.iter().all(|code| ["200 ", "404 "].contains(code)), "{said}");
}

#[test]
fn a_badge_is_never_kept_by_a_cache() {
    let answer = shop().talk("GET /badge/cache.svg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let head = undated(&answer);
    let head = head.split_inclusive("\r\n\r\n").next().unwrap();
    let length = parts(&answer).1.len();
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\n\
             content-type: image/svg+xml\r\n\
             cache-control: no-store\r\n\
             vary: Accept\r\n\
             x-content-type-options: nosniff\r\n\
             connection: close\r\n\
             content-length: {length}\r\n\r\n"
        )
    );
    let head = shop().talk("HEAD /badge/cache.svg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(header(&head, "content-length"), Some(length.to_string().as_str()));
}
