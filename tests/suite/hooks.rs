//! Hooks: who is told of transitions, and what becomes of an event where the receiver is not well.

use serde_json::Value;

use crate::support::certs::{Authority, Folder};
use crate::support::daemon::Daemon;
use crate::support::fake::{Act, Fake, http};
use crate::support::webservers::WebServer;

/// What was posted, in order: the type and the subject of each event.
fn told(receiver: &Fake) -> Vec<String> {
    let short = |event: Value| {
        format!(
            "{} {}",
            event["type"].as_str().unwrap().trim_start_matches("probelet."),
            event["subject"].as_str().unwrap()
        )
    };
    receiver.seen().requests.iter().map(|request| short(event_of(request))).collect()
}

fn event_of(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {request}"))
}

/// The last event that says so.
async fn until_told(receiver: &Fake, what: &str) -> String {
    receiver.until(|seen| seen.requests.iter().any(|request| request.contains(what))).await;
    receiver.seen().requests.into_iter().rfind(|request| request.contains(what)).unwrap()
}

/// A check of `target` that is run ten times a second, behind these hooks.
fn config(hooks: &str, target: &Fake) -> String {
    format!(
        "service: {{ name: shop, version: 1.2.3 }}\nserver: {{ drain: 0s }}\nhooks:\n{hooks}checks:\n  - name: app\n    \
         interval: 100ms\n    http: {{ url: \"http://{}/\" }}\n",
        target.address()
    )
}

/// The value of a counter of deliveries.
fn count(metrics: &str, hook: usize, outcome: &str) -> u64 {
    let series = format!("probelet_hook_deliveries_total{{hook=\"hooks[{hook}]\",outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_transition_is_posted_as_a_cloudevent_to_those_who_want_it() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let (all, errors) = (Fake::answers(http(204, &[], "")).await, Fake::answers(http(200, &[], "thanks")).await);
    let hooks = format!(
        "  - {{ url: \"http://relay:hunter2@{}/events?key=hunter3\", headers: {{ X-Token: \"${{TOKEN}}\" }} }}\n  - {{ url: \
         \"http://{}/\", on: [error] }}\n",
        all.address(),
        errors.address()
    );
    let environment = [("TOKEN", "hunter4"), ("POD_NAME", "shop-1")];
    let daemon = Daemon::start_with(&config(&hooks, &target), &[], &environment).await;
    until_told(&all, "probelet.endpoint.open").await;
    target.act(Act::Answer(http(500, &[], "hunter5"))).await;
    let closed = until_told(&all, "probelet.endpoint.closed").await;
    let request = until_told(&all, "probelet.check.error").await;
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /events?key=hunter3 http/1.1\r\n"), "{head}");
    for line in ["content-type: application/cloudevents+json", "x-token: hunter4", "authorization: basic"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let event = event_of(&request);
    assert_eq!(event["source"], "/probelet/shop/shop%2D1");
    assert_eq!(
        event["data"],
        serde_json::json!({
            "state": "error", "from": "ok", "message": "returned status 500", "reason": "mismatch",
            "root_causes": ["app"], "service": "shop", "version": "1.2.3", "instance": "shop-1",
        })
    );
    assert_eq!(event_of(&closed)["data"]["root_causes"], serde_json::json!(["app"]));
    target.mend(http(200, &[], "ok")).await;
    all.until(|seen| seen.requests.len() >= 6).await;
    let expected = ["check.ok app", "endpoint.open readyz", "check.error app", "endpoint.closed readyz"];
    assert_eq!(told(&all), [&expected[..], &expected[..2]].concat());
    assert_eq!(told(&errors), ["check.error app"]);
    let ids: std::collections::BTreeSet<String> =
        all.seen().requests.iter().map(|request| event_of(request)["id"].to_string()).collect();
    assert_eq!(ids.len(), 6);
    daemon
        .until("/metrics", |reply| count(&reply.body, 0, "delivered") == 6 && count(&reply.body, 1, "delivered") == 1)
        .await;
    assert!(!daemon.log().concat().contains("hunter"), "{:#?}", daemon.log());
}

#[tokio::test]
async fn a_receiver_that_is_not_well_loses_events_and_holds_up_nobody() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let elsewhere = Fake::answers(http(200, &[], "")).await;
    let away = format!("http://{}/hunter1", elsewhere.address());
    let moved = |status| http(status, &[("Location", &away)], "hunter1");
    let lost = [
        Fake::refuses().await,
        Fake::silent().await,
        Fake::garbage().await,
        Fake::answers(http(500, &[], "hunter1")).await,
        Fake::answers(http(404, &[], "hunter1")).await,
        Fake::answers(moved(302)).await,
        Fake::answers(moved(307)).await,
        Fake::resets_after(b"HTTP/1.1 2".to_vec()).await,
        Fake::drips(
            b"HTTP/1.1 200 OK\r\n".to_vec(),
            b"X-Slow: hunter1\r\n\r\n".to_vec(),
            std::time::Duration::from_secs(1),
        )
        .await,
        Fake::endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Long: hunter1\r\n".to_vec()).await,
    ];
    let taken = [
        Fake::endless(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            b"10\r\n0123456789abcdef\r\n".to_vec(),
        )
        .await,
        Fake::answers(http(200, &[], &"x".repeat(1 << 20))).await,
    ];
    let hook = |fake: &Fake| {
        let url = format!("http://{}/hunter1", fake.address());
        format!("  - {{ url: \"{url}\", on: [ok], headers: {{ X-Token: \"${{TOKEN}}\" }}, timeout: 300ms }}\n")
    };
    let hooks: String = lost.iter().chain(&taken).map(hook).collect();
    let daemon = Daemon::start_with(&config(&hooks, &target), &[], &[("TOKEN", "hunter2")]).await;
    daemon.until_status("/readyz", 200).await;
    let is_told = |metrics: &str| {
        (0..lost.len()).all(|hook| count(metrics, hook, "failed") == 1)
            && (lost.len()..lost.len() + taken.len()).all(|hook| count(metrics, hook, "delivered") == 1)
    };
    daemon.until("/metrics", |reply| is_told(&reply.body)).await;
    assert_eq!(elsewhere.seen().accepted, 0, "a redirect that loses the event, or takes a header to another origin");
    let log = daemon.log().concat();
    for reason in
        ["connection refused", "timed out after 300ms", "answered 500", "answered 404", "answered 302", "answered 307"]
    {
        assert!(log.contains(reason), "{reason} in {log}");
    }
    for secret in ["hunter", "127.0.0.1:1", "http://"] {
        let lines: Vec<_> =
            daemon.log().into_iter().filter(|line| line.contains("hook") && line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
    assert_eq!(lost[3].seen().requests.len(), 3, "three tries");
    assert_eq!(lost[4].seen().requests.len(), 1, "what is refused for good is not tried again");
}

#[tokio::test]
async fn a_receiver_that_comes_back_is_told_what_waits_in_order() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let receiver = Fake::answers(http(200, &[], "")).await;
    let hooks = format!("  - {{ url: \"http://{}/\" }}\n", receiver.address());
    let daemon = Daemon::start(&config(&hooks, &target)).await;
    until_told(&receiver, "probelet.endpoint.open").await;
    receiver.act(Act::Refuse).await;
    target.act(Act::Answer(http(500, &[], ""))).await;
    daemon.until_state("app", "error").await;
    target.mend(http(200, &[], "ok")).await;
    daemon.until_state("app", "ok").await;
    receiver.mend(http(200, &[], "")).await;
    receiver.until(|seen| seen.requests.len() >= 6).await;
    let outage = ["check.error app", "endpoint.closed readyz", "check.ok app", "endpoint.open readyz"];
    assert_eq!(told(&receiver)[2..], outage);
}

#[tokio::test]
async fn whoever_was_away_is_told_that_an_endpoint_has_closed_however_many_checks_failed_meanwhile() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let receiver = Fake::answers(http(200, &[], "")).await;
    let check = |number| {
        let address = target.address();
        format!("  - {{ name: c{number}, interval: 100ms, tcp: {{ address: \"{address}\" }} }}\n")
    };
    let checks: String = (0..120).map(check).collect();
    let hooks =
        format!("hooks:\n  - {{ url: \"http://{}/\", timeout: 1m, on: [error, readyz] }}\n", receiver.address());
    let mut daemon = Daemon::start(&format!("server: {{ drain: 0s }}\n{hooks}checks:\n{checks}")).await;
    until_told(&receiver, "probelet.endpoint.open").await;
    // What it has before it stays there, until it is reset.
    receiver.act(Act::Silent).await;
    target.act(Act::Refuse).await;
    daemon.until("/metrics", |reply| reply.body.matches("\",state=\"error\"} 1\n").count() == 120).await;
    receiver.mend(http(200, &[], "")).await;
    let log = daemon.logs("a hook is told of events again").await;
    let closed = until_told(&receiver, "probelet.endpoint.closed").await;
    assert_eq!(event_of(&closed)["subject"], "readyz");
    let dropped = count(&daemon.get("/metrics").await.body, 0, "dropped");
    assert!(dropped > 0 && log.contains(&format!(r#""dropped":{dropped},"#)), "{dropped} in {log}");
    let lines = daemon.log().concat();
    assert_eq!(lines.matches("too many events wait").count(), 1, "{lines}");
}

#[tokio::test]
async fn a_sidecar_that_comes_back_tells_that_the_app_is_not_ready_any_more() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let receiver = Fake::answers(http(200, &[], "")).await;
    let folder = Folder::new();
    let hook = format!("  - {{ url: \"http://{}/\", on: [readyz, livez] }}\n", receiver.address());
    let path = folder.write("config.yaml", config(&hook, &target)).into();
    let state = folder.path().join("state");
    let sidecar = async |path: &std::path::PathBuf| {
        Daemon::start_in(Folder::new(), path.clone(), &["--state", state.to_str().unwrap()], &[]).await
    };
    let mut daemon = sidecar(&path).await;
    until_told(&receiver, "probelet.endpoint.open").await;
    let is_kept = |name: &str| {
        std::fs::read(state.join(name)).unwrap_or_default().windows(10).any(|window| window == b"ready_once")
    };
    daemon.until("/-/ready", |_| is_kept("history.db") || is_kept("history.db-wal")).await;
    daemon.signal(rustix::process::Signal::KILL);
    daemon.ends().await;
    target.act(Act::Refuse).await;
    let daemon = sidecar(&path).await;
    let closed = until_told(&receiver, "probelet.endpoint.closed").await;
    assert_eq!(event_of(&closed)["data"]["root_causes"], serde_json::json!(["app"]));
    target.mend(http(200, &[], "ok")).await;
    daemon.until_status("/readyz", 200).await;
    receiver.until(|seen| seen.requests.len() >= 3).await;
    assert_eq!(told(&receiver), ["endpoint.open readyz", "endpoint.closed readyz", "endpoint.open readyz"]);
}

#[tokio::test]
async fn while_the_app_starts_nobody_is_told_that_it_is_not_ready_and_afterwards_what_is_missing() {
    let (app, db) = (Fake::refuses().await, Fake::refuses().await);
    let receiver = Fake::answers(http(200, &[], "")).await;
    let config = format!(
        "server: {{ drain: 0s }}\nhooks:\n  - {{ url: \"http://{}/\" }}\nchecks:\n  - name: app\n    interval: 100ms\n    \
         gates: [live, ready]\n    http: {{ url: \"http://{}/\" }}\n  - name: db\n    interval: 100ms\n    tcp: {{ address: \
         \"{}\" }}\n",
        receiver.address(),
        app.address(),
        db.address()
    );
    let daemon = Daemon::start(&config).await;
    daemon.until_state("app", "error").await;
    daemon.until_state("db", "error").await;
    app.mend(http(200, &[], "ok")).await;
    receiver.until(|seen| seen.requests.len() >= 4).await;
    let told = told(&receiver);
    // Which of the two failed first is chance.
    assert!(told[..2].iter().all(|event| event.starts_with("check.error ")), "{told:?}");
    assert_eq!(told[2..], ["check.ok app", "endpoint.closed readyz"]);
    assert_eq!(event_of(&receiver.seen().requests[3])["data"]["root_causes"], serde_json::json!(["db"]));
}

#[tokio::test]
async fn a_reload_sends_what_waits_to_the_new_address() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let (before, after) = (Fake::silent().await, Fake::answers(http(200, &[], "")).await);
    let hooks = |receiver: &Fake| format!("  - {{ url: \"http://{}/\", timeout: 1m }}\n", receiver.address());
    let mut daemon = Daemon::start(&config(&hooks(&before).replace("1m", "1s"), &target)).await;
    before.until(|seen| seen.requests.len() == 1).await;
    daemon.rewrite(&config(&hooks(&after), &target));
    daemon.logs("the configuration was loaded").await;
    after.until(|seen| seen.requests.len() >= 2).await;
    assert_eq!(told(&after)[..2], ["check.ok app", "endpoint.open readyz"], "the one that was being sent as well");
    daemon.rewrite(&config("  []\n", &target));
    daemon.until("/metrics", |reply| !reply.body.contains("probelet_hook_deliveries_total{")).await;
    daemon.until_status("/readyz", 200).await;
}

#[tokio::test]
async fn the_end_tells_of_the_drain_and_waits_for_no_receiver_that_hangs() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let (quick, hanging) = (Fake::answers(http(200, &[], "")).await, Fake::silent().await);
    let hooks = format!(
        "  - {{ url: \"http://{}/\" }}\n  - {{ url: \"http://{}/\", timeout: 1h }}\n",
        quick.address(),
        hanging.address()
    );
    let mut daemon = Daemon::start(&config(&hooks, &target)).await;
    until_told(&quick, "probelet.endpoint.open").await;
    hanging.until(|seen| seen.requests.len() == 1).await;
    daemon.signal(rustix::process::Signal::TERM);
    let drained = until_told(&quick, "probelet.endpoint.closed").await;
    assert_eq!(event_of(&drained)["data"]["draining"], true);
    assert_eq!(daemon.ends().await, Some(0));
    let log = daemon.log();
    let told = log.iter().find(|line| line.contains("the end did not wait for every hook"));
    // That the check is ok, which the receiver has before it, that `/readyz` has opened, and that it has closed.
    assert!(told.is_some_and(|line| line.contains(r#""lost":3"#)), "{log:#?}");
}

#[tokio::test]
async fn a_real_server_takes_events_behind_a_redirect_and_through_a_proxy() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let nginx = WebServer::nginx(
        "  client_max_body_size 64k;\n  server {\n    listen 127.0.0.1:PORT0;\n    location /moved { return 307 /events; }\n    \
         location /events { proxy_pass http://127.0.0.1:PORT1/taken; }\n  }\n  server {\n    listen 127.0.0.1:PORT1;\n    \
         location /taken { return 202; }\n  }\n",
        &[],
    );
    let hooks = format!(
        "  - {{ url: \"http://127.0.0.1:{0}/moved\", headers: {{ X-Token: a }} }}\n  - {{ url: \"http://relay.invalid:{0}/events\" }}\n",
        nginx.ports[0]
    );
    // nginx takes the absolute form that a proxy is asked in, and answers for whatever host.
    let proxy = format!("http://127.0.0.1:{}", nginx.ports[0]);
    let environment = [("http_proxy", proxy.as_str()), ("no_proxy", "127.0.0.1")];
    let daemon = Daemon::start_with(&config(&hooks, &target), &[], &environment).await;
    let is_told = |metrics: &str| (0..2).all(|hook| count(metrics, hook, "delivered") == 2);
    daemon.until("/metrics", |reply| is_told(&reply.body)).await;
}

#[tokio::test]
async fn a_certificate_is_verified_by_the_machines_authorities() {
    let target = Fake::answers(http(200, &[], "ok")).await;
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let receiver = |authority: &Authority| {
        let tls = authority.server(&["localhost"]).server();
        async move { Fake::answers(http(200, &[], "")).await.with_tls(tls) }
    };
    let (trusted, foreign) = (receiver(&ours).await, receiver(&theirs).await);
    let hooks =
        [&trusted, &foreign].map(|fake| format!("  - {{ url: \"https://localhost:{}/\", on: [ok] }}\n", fake.port()));
    let folder = Folder::new();
    let bundle = folder.write("ca.pem", ours.pem());
    let daemon = Daemon::start_with(&config(&hooks.concat(), &target), &[], &[("SSL_CERT_FILE", &bundle)]).await;
    until_told(&trusted, "probelet.check.ok").await;
    daemon.until("/metrics", |reply| count(&reply.body, 1, "failed") == 1).await;
    assert!(daemon.log().concat().contains("the TLS handshake failed"), "{:#?}", daemon.log());
    assert_eq!(foreign.seen().requests.len(), 0);
}
