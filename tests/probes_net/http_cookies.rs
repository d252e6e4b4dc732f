//! The kind `http`: cookies that servers set within a run.

use std::sync::atomic::{AtomicUsize, Ordering};

use probelet::base::value::Value;
use probelet::probe::RunContext;
use probelet::probe::http::KIND;

use crate::fake::{self, Act, Fake};
use crate::section::SectionBuilder;
use crate::webservers::WebServer;
use crate::{LONG, said, said_of};

fn section(fake: &Fake, path: &str) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://127.0.0.1:{}{path}", fake.port()))
}

/// The cookies of a request, as they were sent.
fn cookies(request: &str) -> String {
    let header = request.lines().find_map(|line| line.strip_prefix("Cookie: "));
    header.unwrap_or_default().to_owned()
}

/// A server whose `/` sets cookies and redirects to `there`.
async fn setting(set: &'static [&'static str], there: &str) -> Fake {
    let there = there.to_owned();
    Fake::start(Act::serve(move |_, request| {
        if !request.starts_with("GET / ") {
            return Some(fake::http(200, &[], "there"));
        }
        let mut headers: Vec<(&str, &str)> = set.iter().map(|cookie| ("Set-Cookie", *cookie)).collect();
        headers.push(("Location", &there));
        Some(fake::http(302, &headers, ""))
    }))
    .await
}

#[tokio::test]
async fn a_form_login_with_node_is_followed_through_its_redirect() {
    let script = "
        const sessions = new Set();
        require('node:http').createServer((request, response) => {
          const session = /session=(\\w+)/.exec(request.headers.cookie ?? '')?.[1];
          if (request.method === 'POST') {
            const made = Math.random().toString(36).slice(2);
            sessions.add(made);
            response.writeHead(303, { Location: '/home', 'Set-Cookie': [`session=${made}; Path=/; HttpOnly; SameSite=Lax`] });
          } else if (sessions.has(session)) {
            response.writeHead(200);
            response.write('welcome');
          } else {
            response.writeHead(302, { Location: '/login' });
          }
          response.end();
        }).listen(PORT0, '127.0.0.1');";
    let node = WebServer::node(script, &[]);
    let section = |path: &str| {
        let section = SectionBuilder::new().text("url", format!("http://127.0.0.1:{}{path}", node.ports[0]));
        section.with("max_redirects", Value::Integer(2))
    };
    let login = |cookies| {
        let expect = SectionBuilder::new().text("body_contains", "welcome");
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let section = section("/login").with("method", Value::Word("POST")).text("body", "user=probe&password=x");
        section.texts("headers", &headers).section("expect", expect).with("cookies", Value::Bool(cookies)).probe(&KIND)
    };
    let run = RunContext::default();
    for _ in 0..2 {
        assert_eq!(said_of(&mut *login(true), &run, LONG).await, "pass");
    }
    assert_eq!(said(&mut *login(false), LONG).await, "protocol: more than 2 redirects");
    // The next step of the run is logged in, whatever comes between them; another run is not.
    assert_eq!(said_of(&mut *login(false), &run, LONG).await, "protocol: more than 2 redirects");
    let mut home = section("/home").probe(&KIND);
    assert_eq!(said_of(&mut *home, &run, LONG).await, "pass");
    assert_eq!(said(&mut *home, LONG).await, "protocol: more than 2 redirects");
}

#[tokio::test]
async fn what_is_set_goes_back_through_redirects_and_to_nobody_else() {
    let other = Fake::answers(fake::http(200, &[], "there")).await;
    let elsewhere = format!("http://127.0.0.2:{}/", other.port());
    let other = {
        drop(other);
        Fake::start_on(elsewhere[7..elsewhere.len() - 1].parse().unwrap(), Act::Answer(fake::http(200, &[], "there")))
            .await
    };
    let set = &["s=1; Path=/", "t=2; Path=/there", "u=3; Path=/other", "v=4; Domain=example.com", "w=5; Max-Age=0"];
    let first = setting(set, "/there/x").await;
    let mut near = section(&first, "/").with("max_redirects", Value::Integer(1)).probe(&KIND);
    for run in 0..2 {
        assert_eq!(said(&mut *near, LONG).await, "pass");
        let requests = first.seen().requests;
        // A run begins without those of the one before.
        assert_eq!((cookies(&requests[2 * run]), cookies(&requests[2 * run + 1])), (String::new(), "t=2; s=1".into()));
    }
    let first = setting(set, &elsewhere).await;
    let section = section(&first, "/").with("max_redirects", Value::Integer(1)).with("redirects", Value::Word("any"));
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, "pass");
    assert_eq!(cookies(&other.seen().requests[0]), "");
}

#[tokio::test]
async fn a_header_of_the_file_is_kept_beside_them() {
    let first = setting(&["s=1", "lang=de"], "/there").await;
    let section = section(&first, "/").with("max_redirects", Value::Integer(1));
    let mut probe = section.texts("headers", &[("Cookie", "lang=en")]).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    let requests = first.seen().requests;
    assert_eq!((cookies(&requests[0]), cookies(&requests[1])), ("lang=en".into(), "lang=en; s=1".into()));
}

#[tokio::test]
async fn asking_once_more_begins_without_the_cookies_of_what_failed() {
    // A balancer binds a client to the backend that answered it first, and that one has just died.
    let count = AtomicUsize::new(0);
    let fake = Fake::start(Act::serve(move |number, request| {
        let is_bound = request.contains("route=dead");
        let status = if number > 0 || is_bound { 503 } else { 200 };
        count.fetch_add(1, Ordering::Relaxed);
        Some(fake::http(status, &[("Set-Cookie", "route=dead")], ""))
    }))
    .await;
    let mut probe = section(&fake, "/").probe(&KIND);
    for runs in 1..=3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!(fake.seen().accepted, runs);
    }
    assert!(fake.seen().requests.iter().all(|request| cookies(request).is_empty()));
}

#[tokio::test]
async fn nothing_of_a_cookie_is_told() {
    let trace = std::sync::Arc::new(probelet::base::trace::Trace::noting());
    let run = RunContext { trace: std::sync::Arc::clone(&trace), ..RunContext::default() };
    let first = setting(&["hunter1=hunter2", "x=hunter3; Domain=example.com"], "/there").await;
    let mut probe = section(&first, "/").with("max_redirects", Value::Integer(1)).probe(&KIND);
    assert_eq!(said_of(&mut *probe, &run, LONG).await, "pass");
    let notes = trace.notes().join("\n");
    assert!(notes.contains("1 cookie set, 1 not taken") && !notes.contains("hunter"), "{notes}");
    assert!(!format!("{run:?}").contains("hunter"));
}
