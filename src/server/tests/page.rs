//! The page: who gets it, and what a browser may do with it.

use hyper::Method;

use super::{app, ask, body, show};
use crate::metrics::testing::{answering, error, ok, snapshot};
use crate::model::plan::Details;
use crate::model::plan::testing::check;
use crate::model::snapshot::Snapshot;
use crate::server::answer::Answer;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn failing() -> Snapshot {
    snapshot(vec![(check("db"), error("connection refused"))])
}

fn root(snapshot: &Snapshot, method: &Method, uri: &str, accept: &str) -> Answer {
    ask(&app(snapshot).0, method, uri, &[("accept", accept)])
}

#[test]
fn whoever_asks_for_html_gets_the_page_with_the_code_of_readyz() {
    for (snapshot, code) in [(snapshot(vec![(check("db"), ok("fine"))]), 200), (failing(), 503)] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            for accept in [BROWSER, "text/html", "text/plain;q=0.9, text/html", "TEXT/HTML;q=0.1"] {
                let answer = root(&snapshot, &method, "/", accept);
                assert_eq!((answer.code.as_u16(), answer.content_type), (code, "text/html; charset=utf-8"), "{accept}");
                assert!(answer.verdict.is_some() && answer.policy.is_some());
            }
        }
    }
}

#[test]
fn everybody_else_gets_what_readyz_says() {
    let expected = "503 error: [-]db failed: connection refused\nreadyz check failed: root cause db\n";
    for accept in
        ["*/*", "", "text/*", "text/plain", "text/html;q=0", "text/html;q=0.5, text/plain", "application/json"]
    {
        assert_eq!(show(&root(&failing(), &Method::GET, "/", accept)), expected, "{accept}");
    }
    assert_eq!(show(&root(&failing(), &Method::GET, "/?format=text", BROWSER)), expected);
    assert_eq!(show(&ask(&app(&failing()).0, &Method::GET, "/", &[])), expected);
}

#[test]
fn with_names_alone_there_is_a_page_and_without_details_there_is_none() {
    let with = |details| answering(failing(), |answers| answers.details = details);
    assert!(root(&with(Details::Names), &Method::GET, "/", BROWSER).policy.is_some());
    let none = root(&with(Details::None), &Method::GET, "/", BROWSER);
    assert!(none.code.as_u16() == 404 && none.policy.is_none());
    assert_eq!(root(&with(Details::None), &Method::GET, "/", "*/*").code.as_u16(), 503);
}

#[test]
fn a_browser_may_run_what_is_in_the_page_and_nothing_else() {
    let response = root(&failing(), &Method::GET, "/", BROWSER).into_response();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    let words: Vec<&str> = policy.split("; ").collect();
    let [none, script, style, rest @ ..] = &words[..] else { panic!("{policy}") };
    assert_eq!(*none, "default-src 'none'");
    for (hash, name) in [(script, "script-src"), (style, "style-src")] {
        let hash = hash.strip_prefix(name).and_then(|hash| hash.strip_prefix(" 'sha256-")?.strip_suffix('\'')).unwrap();
        assert_eq!(hash.len(), 44, "{policy}");
    }
    let expected = [
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'none'",
    ];
    assert_eq!(rest, expected);
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
}

#[test]
fn the_page_is_put_together_whole() {
    let page = body(&root(&failing(), &Method::GET, "/", BROWSER));
    for (mark, count) in
        [("<script", 1), ("</script>", 1), ("<style>", 1), ("</style>", 1), ("<body", 1), ("</html>", 1)]
    {
        assert_eq!(page.matches(mark).count(), count, "{mark}");
    }
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    // Nothing that comes from elsewhere can become HTML.
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="] {
        assert!(!page.contains(word), "{word}");
    }
}
