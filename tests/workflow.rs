//! A workflow through a small shop: log in, order, poll until the order is done, clean up.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

#[path = "support/fake.rs"]
mod fake;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use probelet::base::clock::Clock;
use probelet::base::trace::Trace;
use probelet::config::source::Environment;
use probelet::config::{self, Loaded};
use probelet::model::outcome::{Facts, FailureKind, ProbeResult};
use probelet::probe::net::Network;
use probelet::probe::{BuildContext, Probe, RunContext};

use fake::{Act, Fake};

/// What the shop hands out: nothing of it can stand in a URL or a JSON string as it is.
const TOKEN: &str = "t0p/..\"s3cr3t\"";
const ID: &str = "../7?x=1&é";
const ID_IN_A_PATH: &str = "..%2F7%3Fx%3D1%26%C3%A9";

/// What is wrong with the shop.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Login,
    NoToken,
    Order,
    NeverDone,
    PollHangs,
    CleanUp,
}

/// The shop, on a port of its own.
async fn shop(trouble: Trouble) -> Fake {
    let polls = AtomicUsize::new(0);
    Fake::start(Act::serve(move |_, request| {
        let line = request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
        let is_known = request.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}")));
        let broken = || Some(fake::http(500, &[], TOKEN));
        let json = |status, json: serde_json::Value| Some(fake::http(status, &[], &json.to_string()));
        let order = format!("/orders/{ID_IN_A_PATH}");
        match line.split_once(' ').unwrap() {
            ("POST", "/login") => match trouble {
                Trouble::Login => broken(),
                Trouble::NoToken => json(200, serde_json::json!({ "error": TOKEN })),
                _ => json(200, serde_json::json!({ "access_token": TOKEN })),
            },
            _ if !is_known => Some(fake::http(401, &[], "")),
            ("POST", "/orders") if trouble == Trouble::Order => broken(),
            ("POST", "/orders") => json(201, serde_json::json!({ "id": ID })),
            ("GET", path) if path == order => match (trouble, polls.fetch_add(1, Ordering::Relaxed)) {
                (Trouble::PollHangs, _) => {
                    // Blocks nothing: this connection alone is never answered.
                    Some(Vec::new())
                }
                (Trouble::NeverDone, _) | (_, 0 | 1) => json(200, serde_json::json!({ "state": "pending" })),
                _ => json(200, serde_json::json!({ "state": "done" })),
            },
            ("DELETE", path) if path == order && trouble == Trouble::CleanUp => broken(),
            ("DELETE", path) if path == order => Some(fake::http(204, &[], "")),
            _ => Some(fake::http(404, &[], "")),
        }
    }))
    .await
}

/// The workflow of the reference, but for its database.
const WORKFLOW: &str = r#"
checks:
  - name: shop
    workflow:
      steps:
        - name: login
          http: { url: "http://127.0.0.1:${PORT}/login", method: POST, body: '{"user":"probe"}' }
          capture: { token: "json:/access_token" }
        - name: order
          needs: [login]
          http:
            url: "http://127.0.0.1:${PORT}/orders"
            method: POST
            headers: { Authorization: "Bearer ${steps.login.token}" }
          capture: { id: "json:/id" }
        - name: done
          http:
            url: "http://127.0.0.1:${PORT}/orders/${steps.order.id}"
            headers: { Authorization: "Bearer ${steps.login.token}" }
            expect: { json: { /state: done } }
          retry: { attempts: 4, delay: 10ms }
        - name: audit
          needs: order
          http:
            url: "http://127.0.0.1:${PORT}/orders"
            method: POST
            headers: { Authorization: "Bearer ${steps.login.token}" }
            body: '{"copy_of":"${steps.order.id}"}'
        - name: clean_up
          always: true
          http:
            url: "http://127.0.0.1:${PORT}/orders/${steps.order.id}"
            method: DELETE
            headers: { Authorization: "Bearer ${steps.login.token}" }
"#;

fn load(text: &str, port: u16) -> Loaded {
    let environment = Environment::of([("PORT", port.to_string())]);
    config::read("test.yaml", text.as_bytes(), &environment, Box::new(|_| Err(io::ErrorKind::NotFound.into())))
}

fn probe_of(port: u16) -> Box<dyn Probe> {
    probe_from(WORKFLOW, port)
}

fn probe_from(text: &str, port: u16) -> Box<dyn Probe> {
    let loaded = load(text, port);
    assert!(loaded.report.is_valid(), "{}", loaded.report.text(false));
    let config = loaded.config.unwrap();
    config.targets[0].spec.build(&BuildContext {
        check: config.plan.checks[0].name.clone(),
        network: Arc::new(Network::default()),
        clock: Clock::Machine,
        beats: Arc::default(),
    })
}

async fn observe(shop: &Fake, budget: Duration) -> ProbeResult {
    let result = probe_of(shop.port()).observe(&RunContext { budget, ..RunContext::default() }).await;
    let shown = format!("{result:?}");
    for secret in [TOKEN, "s3cr3t", ID, ID_IN_A_PATH] {
        assert!(!shown.contains(secret), "{shown}");
    }
    result
}

/// Each step with its state and message, without times.
fn steps(facts: &Facts) -> Vec<String> {
    let told = |message: &str| message.split(" OK (").next().unwrap_or_default().to_owned();
    facts.steps.iter().map(|step| format!("{} {}: {}", step.name, step.state.label(), told(&step.message))).collect()
}

/// What was asked of the shop, without headers.
fn asked(shop: &Fake) -> Vec<String> {
    shop.seen().requests.iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect()
}

const BUDGET: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_order_goes_through_from_end_to_end() {
    let shop = shop(Trouble::None).await;
    let pass = observe(&shop, BUDGET).await.unwrap();
    assert_eq!(pass.message.as_deref(), Some("Workflow executed successfully"));
    assert_eq!(
        steps(&pass.facts),
        ["login ok: login", "order ok: order", "done ok: done", "audit ok: audit", "clean_up ok: clean_up"]
    );
    let poll = format!("GET /orders/{ID_IN_A_PATH} HTTP/1.1");
    let delete = format!("DELETE /orders/{ID_IN_A_PATH} HTTP/1.1");
    let post = "POST /orders HTTP/1.1";
    assert_eq!(asked(&shop), ["POST /login HTTP/1.1", post, &poll, &poll, &poll, post, &delete]);
    assert!(shop.seen().requests[5].ends_with(r#"{"copy_of":"../7?x=1&é"}"#), "{}", shop.seen().requests[5]);
}

#[tokio::test]
async fn each_attempt_on_this_pod_has_a_connection_of_its_own() {
    let shop = shop(Trouble::None).await;
    let mut probe = probe_of(shop.port());
    for _ in 0..3 {
        probe.observe(&RunContext { budget: BUDGET, ..RunContext::default() }).await.unwrap();
    }
    assert_eq!(shop.seen().accepted, shop.seen().requests.len());
}

#[tokio::test]
async fn each_step_can_fail_and_what_was_ordered_is_always_cleaned_up() {
    let skipped = |step: &str, root: &str| format!("{step} skipped: Skipped: {root} failed");
    let behind_login = ["order", "done", "audit", "clean_up"].map(|step| skipped(step, "login"));
    let behind_order = ["done", "audit", "clean_up"].map(|step| skipped(step, "order"));
    let status = "returned status 500";
    let cases: Vec<(Trouble, &str, Vec<String>, usize)> = vec![
        (
            Trouble::Login,
            "login: returned status 500",
            [vec![format!("login error: {status}")], behind_login.to_vec()].concat(),
            0,
        ),
        (
            Trouble::NoToken,
            "login: capture token: the answer has nothing there",
            [vec!["login error: capture token: the answer has nothing there".into()], behind_login.to_vec()].concat(),
            0,
        ),
        (
            Trouble::Order,
            "order: returned status 500",
            [vec!["login ok: login".into(), format!("order error: {status}")], behind_order.to_vec()].concat(),
            0,
        ),
        (
            Trouble::NeverDone,
            "done: `/state` has another value than expected: \"done\" (after 4 attempts)",
            [
                "login ok: login",
                "order ok: order",
                "done error: `/state` has another value than expected: \"done\" (after 4 attempts)",
                "audit ok: audit",
                "clean_up ok: clean_up",
            ]
            .map(str::to_owned)
            .to_vec(),
            1,
        ),
        (
            Trouble::CleanUp,
            "clean_up: returned status 500",
            [
                "login ok: login",
                "order ok: order",
                "done ok: done",
                "audit ok: audit",
                "clean_up error: returned status 500",
            ]
            .map(str::to_owned)
            .to_vec(),
            1,
        ),
    ];
    for (trouble, message, reports, deletions) in cases {
        let shop = shop(trouble).await;
        let failure = observe(&shop, BUDGET).await.unwrap_err();
        assert_eq!(failure.message, message);
        assert_eq!(failure.kind, FailureKind::Mismatch);
        assert_eq!(steps(&failure.facts), reports);
        assert_eq!(asked(&shop).iter().filter(|line| line.starts_with("DELETE")).count(), deletions, "{message}");
    }
}

#[tokio::test]
async fn what_was_ordered_is_cleaned_up_also_where_the_answer_is_not_as_expected() {
    let shop = shop(Trouble::None).await;
    let capture = "          capture: { id: \"json:/id\" }";
    let text = WORKFLOW.replace(capture, &format!("            expect: {{ json: {{ /state: open }} }}\n{capture}"));
    let run = RunContext { budget: BUDGET, ..RunContext::default() };
    let failure = probe_from(&text, shop.port()).observe(&run).await.unwrap_err();
    assert_eq!(
        steps(&failure.facts),
        [
            "login ok: login",
            "order error: `/state` is missing",
            "done skipped: Skipped: order failed",
            "audit skipped: Skipped: order failed",
            "clean_up ok: clean_up"
        ]
    );
    let delete = format!("DELETE /orders/{ID_IN_A_PATH} HTTP/1.1");
    assert_eq!(asked(&shop), ["POST /login HTTP/1.1", "POST /orders HTTP/1.1", &delete]);
}

#[tokio::test]
async fn nothing_is_cleaned_up_by_a_value_of_which_only_the_beginning_was_read() {
    const ORDER: &str = "x order=12345678 failed";
    let text = r#"
checks:
  - name: orders
    workflow:
      steps:
        - name: order
          http: { url: "http://127.0.0.1:${PORT}/order", method: POST, max_body: 15B }
          capture: { id: 'regex:order=(\\d+)' }
        - name: clean_up
          always: true
          http: { url: "http://127.0.0.1:${PORT}/orders/${steps.order.id}", method: DELETE }
"#;
    // A stored block of 22 bytes (RFC 1951, section 3.2.4) that ends after 14 of them.
    let block = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03\0\x16\0\xe9\xff".as_slice(), &ORDER.as_bytes()[2..16]].concat();
    let head = format!("HTTP/1.1 500 x\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", block.len());
    let cut = "order: capture id: the answer is longer than `max_body`, and what was read has no whole value";
    for (max_body, answer, message) in [
        ("15B", fake::http(200, &[], ORDER), cut),
        ("15B", fake::http(409, &[], ORDER), "order: returned status 409"),
        ("1KiB", [head.as_bytes(), &block].concat(), "order: returned status 500"),
    ] {
        let app = Fake::start(Act::serve(move |_, _| Some(answer.clone()))).await;
        let run = RunContext { budget: BUDGET, ..RunContext::default() };
        let text = text.replace("15B", max_body);
        let failure = probe_from(&text, app.port()).observe(&run).await.unwrap_err();
        assert_eq!(
            (failure.message.as_str(), asked(&app).as_slice()),
            (message, ["POST /order HTTP/1.1".into()].as_slice())
        );
    }
}

#[tokio::test]
async fn no_step_shows_a_value_that_was_captured_whoever_sends_it() {
    const TICKET: &str = "tk-4f9a8e7b";
    let text = r#"
checks:
  - name: chat
    workflow:
      steps:
        - name: login
          http: { url: "http://127.0.0.1:${PORT}/login", message: "regex:(.*)" }
          capture: { ticket: "json:/ticket", state: "json:/state", word: "json:/word", code: status }
        - name: me
          http:
            url: "http://127.0.0.1:${PORT}/me"
            message: "json:/t"
            expect: { json: { /t: { contains: user } } }
        - name: refused
          http: { url: "http://127.0.0.1:${PORT}/no", message: "regex:(.*)" }
"#;
    let chat = Fake::start(Act::serve(|_, request| {
        Some(match request.split(' ').nth(1).unwrap() {
            "/login" => fake::http(200, &[], &format!(r#"{{"ticket":"{TICKET}","state":"ok","word":"header"}}"#)),
            "/me" => fake::http(200, &[], &format!(r#"{{"t":"user {TICKET} is ok, 200 times"}}"#)),
            _ => fake::http(500, &[], &format!("no {TICKET} here")),
        })
    }))
    .await;
    let trace = Arc::new(Trace::noting());
    let run = RunContext { budget: BUDGET, trace: Arc::clone(&trace), ..RunContext::default() };
    let failure = probe_from(text, chat.port()).observe(&run).await.unwrap_err();
    assert_eq!(
        steps(&failure.facts),
        [
            r#"login ok: {"ticket":"***","state":"ok","word":"***"}"#,
            "me ok: user *** is ok, 200 times",
            "refused error: returned status 500: no *** here"
        ]
    );
    let shown = format!("{trace:?} {failure:?}");
    assert!(
        shown.contains("user *** is ok") && shown.contains("status 500, 1 header") && !shown.contains("4f9a"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_step_that_hangs_is_named_and_what_was_ordered_is_cleaned_up_in_time() {
    // A fifth of the budget is kept for cleaning up. On a machine that is too busy for that it is tried with more.
    let mut wrong = String::new();
    for budget in [2, 8, 32].map(Duration::from_secs) {
        let (shop, started) = (shop(Trouble::PollHangs).await, Instant::now());
        let failure = observe(&shop, budget).await.unwrap_err();
        let took = started.elapsed();
        assert_eq!(failure.kind, FailureKind::Timeout);
        let is_told = failure
            .message
            .strip_prefix("done: timed out after ")
            .is_some_and(|told| told.split_once(' ').is_some_and(|(_, phase)| phase == "(waiting for the answer)"));
        let is_clean = steps(&failure.facts)[3..] == ["audit skipped: Skipped: done failed", "clean_up ok: clean_up"]
            && asked(&shop).last().unwrap().starts_with("DELETE");
        if is_told && is_clean && took < budget {
            return;
        }
        wrong += &format!("{took:?} of {budget:?}: {failure:#?}\n");
    }
    panic!("{wrong}");
}

#[tokio::test]
async fn an_app_that_is_not_there_is_the_failure_of_the_first_step() {
    let app = Fake::refuses().await;
    let failure = observe(&app, BUDGET).await.unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connect, "login: connection refused"));
}

#[test]
fn a_workflow_has_times_of_its_own() {
    let config = load(WORKFLOW, 1).config.unwrap();
    let check = &config.plan.checks[0];
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(60), Duration::from_secs(30)));
}

/// What is wrong with a workflow of these steps, as `line:column code message`.
fn problems(steps: &str) -> Vec<String> {
    let text = format!("checks:\n  - name: shop\n    workflow:\n      steps:\n{steps}");
    let report = load(&text, 1).report;
    let line = |diagnostic: &probelet::config::diagnostic::Diagnostic| {
        let problem = &diagnostic.problem;
        format!("{}:{} {}: {}", problem.span.line, problem.span.column, problem.code, problem.message)
    };
    report.diagnostics().iter().map(line).collect()
}

#[test]
fn what_is_wrong_with_the_steps_is_reported_in_one_go() {
    let steps = r#"
        - name: login
          simulated:
          capture: { user: "jsn:/user", id: status }
        - name: order
          needs: [login, logn]
          simulated: {}
        - name: order
          needs: []
          http: { url: "http://localhost/${steps.login.id}" }
        - name: done
          needs: [login]
          http: { url: "http://localhost/${steps.login.di}", body: "${steps.nobody.x} ${steps.login.id}" }
        - name: a
          needs: b
          simulated: {}
        - name: b
          needs: a
        - name: c.d
          simulated: {}
          tcp: { address: "localhost:1" }
"#;
    assert_eq!(
        problems(steps),
        [
            "8:28 invalid-capture: this is none of the forms of a capture",
            "10:26 unknown-step: no step is named `logn`",
            "12:17 duplicate-name: a step named `order` stands above (step 2)",
            "14:24 step-not-needed: `${steps.login.id}` is used by a step that does not need `login`",
            "17:24 unknown-capture: `${steps.login.di}`: the step `login` captures no `di`",
            "17:68 unknown-step: `${steps.nobody.x}`: no step is named `nobody`",
            "19:18 needs-ring: the needs form a ring: `a` needs `b` needs `a`",
            "21:11 missing-kind: there is no section that says what to observe",
            "23:17 invalid-name: the name of the step contains `.`",
            "25:11 two-kinds: `tcp` cannot stand beside `simulated` (line 24): only one thing is observed",
        ]
    );
}

#[test]
fn a_workflow_without_steps_is_an_error() {
    assert_eq!(problems("        []\n"), ["5:9 no-steps: a workflow without steps checks nothing"]);
}

/// A form login, and what only those who have logged in may see.
const LOGIN: &str = r#"
checks:
  - name: portal
    workflow:
      steps:
        - name: login
          http:
            url: "http://127.0.0.1:${PORT}/login"
            method: POST
            body: user=probe&password=secret
            headers: { Content-Type: application/x-www-form-urlencoded }
            max_redirects: 1
            expect: { body_contains: welcome }
        - name: nobody
          http: { url: "http://127.0.0.1:${PORT}/home", cookies: false, expect: { status: 403 } }
        - name: home
          http: { url: "http://127.0.0.1:${PORT}/home", expect: { body_contains: ready } }
          retry: { attempts: 5, delay: 10ms }
        - name: logout
          http: { url: "http://127.0.0.1:${PORT}/logout" }
        - name: outside
          http: { url: "http://127.0.0.1:${PORT}/home", expect: { status: 403 } }
"#;

#[tokio::test]
async fn a_form_login_opens_the_steps_behind_it() {
    // Each answer to a session renews it, and the third says that it is ready.
    let portal = Fake::start(Act::serve(|_, request| {
        let session = request.lines().find_map(|line| line.strip_prefix("Cookie: session=")?.parse::<u32>().ok());
        let renewed = session.map(|session| format!("session={}; Path=/; HttpOnly", session + 1)).unwrap_or_default();
        Some(match (request.split(' ').nth(1).unwrap(), session) {
            ("/login", _) => fake::http(303, &[("Set-Cookie", "session=1; Path=/"), ("Location", "/home")], ""),
            ("/logout", Some(4)) => fake::http(200, &[("Set-Cookie", "session=; Path=/; Max-Age=0")], ""),
            ("/home", Some(3)) => fake::http(200, &[("Set-Cookie", &renewed)], "ready"),
            ("/home", Some(1 | 2)) => fake::http(200, &[("Set-Cookie", &renewed)], "welcome"),
            _ => fake::http(403, &[], ""),
        })
    }))
    .await;
    let mut probe = probe_from(LOGIN, portal.port());
    for _ in 0..2 {
        let pass = probe.observe(&RunContext { budget: BUDGET, ..RunContext::default() }).await.unwrap();
        assert_eq!(
            steps(&pass.facts),
            ["login ok: login", "nobody ok: nobody", "home ok: home", "logout ok: logout", "outside ok: outside"]
        );
    }
}
