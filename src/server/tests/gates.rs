//! The gates: their text, their formats, and what they never do.

use hyper::Method;

use super::{app, ask, body, call, check_answer, get};
use crate::base::grpc;
use crate::metrics::testing::{answering, degraded, error, now, ok, pending, skipped, snapshot, stale};
use crate::model::plan::testing::{check, indices};
use crate::model::plan::{Critical, Definition, Details, Gates};
use crate::model::snapshot::Snapshot;
use crate::model::state::CheckState;
use crate::model::verdict::Endpoint;

fn behind(name: &str, parent: usize) -> Definition {
    Definition { depends_on: indices(&[parent]), ..check(name) }
}

fn uncritical(name: &str) -> Definition {
    Definition { critical: Critical::No, ..check(name) }
}

fn gating(name: &str, live: bool, ready: bool, startup: bool) -> Definition {
    Definition { gates: Gates { live, ready, startup }, ..check(name) }
}

fn well() -> Snapshot {
    snapshot(vec![(check("db_connection"), ok("Database is connected")), (check("cache"), ok("Redis is connected"))])
}

/// The closed gate of the contract.
fn ill() -> Snapshot {
    snapshot(vec![
        (check("cache"), ok("Redis is connected")),
        (check("db_connection"), error("connection refused")),
        (behind("workflow", 1), skipped()),
        (check("queue"), pending()),
        (check("files"), stale()),
    ])
}

#[test]
fn an_open_gate_says_ok() {
    for gate in ["livez", "readyz", "startupz"] {
        check_answer(&well(), &format!("/{gate}"), "200 ok: ok");
        check_answer(&snapshot(vec![]), &format!("/{gate}"), "200 ok: ok");
        check_answer(&snapshot(vec![]), &format!("/{gate}?verbose"), &format!("200 ok: {gate} check passed\n"));
    }
    check_answer(&well(), "/readyz?verbose", "200 ok: [+]db_connection ok\n[+]cache ok\nreadyz check passed\n");
}

#[test]
fn an_open_gate_with_a_worry_is_degraded() {
    let worried = snapshot(vec![
        (check("db_connection"), ok("Database is connected")),
        (check("cache"), degraded("cache OK (812ms), above 500ms")),
        (uncritical("reports"), error("reports returned error")),
    ]);
    check_answer(&worried, "/readyz", "200 degraded: ok");
    check_answer(
        &worried,
        "/readyz?verbose=1",
        "200 degraded: [+]db_connection ok\n\
         [+]cache degraded: cache OK (812ms), above 500ms\n\
         [+]reports failed: reports returned error\n\
         readyz check passed\n",
    );
}

#[test]
fn a_closed_gate_tells_what_keeps_it_closed_and_why() {
    check_answer(
        &ill(),
        "/readyz",
        "503 error: [+]cache ok\n\
         [-]db_connection failed: connection refused\n\
         [-]workflow skipped: waits for db_connection\n\
         [-]queue pending: no result yet\n\
         [-]files stale: last result 47s ago\n\
         readyz check failed: root cause db_connection, files\n",
    );
    let one = snapshot(vec![(check("a"), error("timed out after 2s")), (check("b"), ok("b OK (1ms)"))]);
    check_answer(&one, "/", "503 error: [-]a failed: timed out after 2s\n[+]b ok\nreadyz check failed: root cause a\n");
}

#[test]
fn what_is_stale_because_its_runs_are_void_says_why() {
    let void = CheckState { no_verdict: Some("no local port was left for the run".into()), ..stale() };
    let starved = snapshot(vec![(check("files"), void)]);
    let said = "last result 47s ago; no verdict since: no local port was left for the run";
    check_answer(
        &starved,
        "/readyz",
        &format!("503 error: [-]files stale: {said}\nreadyz check failed: root cause files\n"),
    );
    let healthz = get(&starved, "/healthz");
    assert_eq!(body(&healthz).lines().nth(1), Some(&*format!("{:30}{:8}{said}", "files", "FAIL")));
}

#[test]
fn the_code_of_a_closed_gate_can_be_500() {
    let other = answering(ill(), |answers| answers.down_status = 500);
    assert_eq!(get(&other, "/readyz").code, 500);
    assert_eq!(get(&other, "/healthz").code, 500);
    assert_eq!(get(&other, "/readyz/queue").code, 500);
    assert_eq!(get(&other, "/-/healthy").code, 503);
}

#[test]
fn a_gate_closed_through_another_lists_the_check_that_does_it() {
    let dead = snapshot(vec![
        (gating("loop", true, false, false), error("no beat for 31s")),
        (gating("warm", false, false, true), pending()),
        (check("db"), ok("Database is connected")),
    ]);
    check_answer(&dead, "/livez", "503 error: [-]loop failed: no beat for 31s\nlivez check failed: root cause loop\n");
    check_answer(
        &dead,
        "/readyz",
        "503 error: [-]loop failed: no beat for 31s\n\
         [-]warm pending: no result yet\n\
         [+]db ok\n\
         readyz check failed: root cause loop\n",
    );
    check_answer(
        &dead,
        "/startupz",
        "503 error: [-]loop failed: no beat for 31s\n\
         [-]warm pending: no result yet\n\
         startupz check failed: root cause loop\n",
    );
}

#[test]
fn only_the_apps_own_failure_closes_livez() {
    let live = |state| snapshot(vec![(gating("loop", true, false, false), state)]);
    check_answer(&live(pending()), "/livez", "200 degraded: ok");
    check_answer(&live(stale()), "/livez", "200 degraded: ok");
    check_answer(&live(skipped()), "/livez", "200 degraded: ok");
    assert_eq!(get(&live(error("gone")), "/livez").code, 503);
}

#[test]
fn without_a_live_or_startup_gate_the_start_is_over_when_all_have_run_once() {
    let starting = snapshot(vec![(check("db"), error("connection refused")), (check("queue"), pending())]);
    check_answer(
        &starting,
        "/startupz",
        "503 error: [+]db failed: connection refused\n\
         [-]queue pending: no result yet\n\
         startupz check failed: root cause queue\n",
    );
    let started = snapshot(vec![(check("db"), error("connection refused"))]);
    check_answer(&started, "/startupz", "200 degraded: ok");
}

#[test]
fn a_check_can_be_left_out() {
    check_answer(
        &ill(),
        "/readyz?exclude=db_connection&exclude=queue&exclude=files&verbose",
        "200 degraded: [+]cache ok\n\
         [+]db_connection excluded: ok\n\
         [+]workflow skipped: waits for db_connection\n\
         [+]queue excluded: ok\n\
         [+]files excluded: ok\n\
         readyz check passed\n",
    );
    check_answer(&well(), "/readyz?exclude=x", "200 ok: ok\nwarn: no check named \"x\" to exclude\n");
    check_answer(
        &well(),
        "/livez?verbose&exclude=x&exclude=cache",
        "200 ok: warn: no check named \"x\" to exclude\nlivez check passed\n",
    );
    check_answer(
        &ill(),
        "/readyz?exclude=x&exclude=files&exclude=workflow",
        "503 error: [+]cache ok\n\
         [-]db_connection failed: connection refused\n\
         [+]workflow excluded: ok\n\
         [-]queue pending: no result yet\n\
         [+]files excluded: ok\n\
         warn: no check named \"x\" to exclude\n\
         readyz check failed: root cause db_connection\n",
    );
}

#[test]
fn one_check_alone_is_judged_by_the_gates_rules() {
    check_answer(&ill(), "/readyz/cache", "200 ok: ok");
    check_answer(&ill(), "/readyz/cache?verbose", "200 ok: [+]cache ok\n");
    check_answer(&ill(), "/readyz/db_connection", "503 error: [-]db_connection failed: connection refused\n");
    check_answer(&ill(), "/readyz/workflow", "503 error: [-]workflow skipped: waits for db_connection\n");
    check_answer(&ill(), "/readyz/db_connection?exclude=db_connection", "200 ok: ok");
    check_answer(&ill(), "/readyz/x", "404 -: no check named \"x\"\n");
    check_answer(&ill(), "/readyz/", "404 -: no check named \"\"\n");
    let live = snapshot(vec![(gating("loop", true, false, false), error("no beat for 31s"))]);
    check_answer(&live, "/readyz/loop", "404 -: check \"loop\" does not gate readyz\n");
    check_answer(&live, "/livez/loop", "503 error: [-]loop failed: no beat for 31s\n");
    check_answer(&live, "/startupz/loop", "503 error: [-]loop failed: no beat for 31s\n");
}

#[test]
fn a_slash_in_a_name_comes_raw_or_encoded() {
    let nested = snapshot(vec![(check("internal_api/user"), ok("fine"))]);
    for path in ["/readyz/internal_api/user", "/readyz/internal_api%2Fuser", "/readyz/internal_api%2fuser"] {
        check_answer(&nested, path, "200 ok: ok");
    }
    check_answer(&nested, "/readyz/internal_api%2", "404 -: no check named \"internal_api%2\"\n");
    check_answer(&nested, "/readyz/%ff%0d%0aX", "404 -: no check named \"\u{fffd} X\"\n");
}

#[test]
fn livez_and_startupz_never_blame_the_request() {
    for gate in ["livez", "startupz"] {
        for (query, warning) in [
            ("/x", "no check named \"x\""),
            ("/", "no check named \"\""),
            ("?format=xml", "unknown format \"xml\"; there are text, json, health+json, updown, so this is text"),
            ("?format=", "unknown format \"\"; there are text, json, health+json, updown, so this is text"),
            ("?exclude=%zz", "no check named \"%zz\" to exclude"),
        ] {
            let expected = format!("200 ok: ok\nwarn: {warning}\n");
            check_answer(&well(), &format!("/{gate}{query}"), &expected);
        }
        for query in ["?", "?&&=&", "?%%%", "?verbos", "?format=text", &format!("?{}", "a".repeat(9000))] {
            check_answer(&well(), &format!("/{gate}{query}"), "200 ok: ok");
        }
    }
    check_answer(&well(), "/livez/cache", "200 ok: ok\nwarn: check \"cache\" does not gate livez\n");
}

#[test]
fn elsewhere_an_unknown_format_is_refused() {
    for path in ["/readyz", "/", "/healthz", "/readyz/cache"] {
        let expected = "400 -: unknown format \"xml\"; there are text, json, health+json, updown\n";
        check_answer(&well(), &format!("{path}?format=xml"), expected);
    }
}

#[test]
fn a_drain_closes_readyz_and_not_livez() {
    let draining = Snapshot { draining: true, ..well() };
    check_answer(
        &draining,
        "/readyz",
        "503 error: [-]draining\n[+]db_connection ok\n[+]cache ok\nreadyz check failed\n",
    );
    check_answer(&draining, "/livez", "200 ok: ok");
    check_answer(&draining, "/startupz", "200 ok: ok");
    check_answer(&draining, "/readyz/cache", "200 ok: ok");
}

#[test]
fn details_names_withholds_every_message() {
    let discreet = answering(ill(), |answers| answers.details = Details::Names);
    check_answer(
        &discreet,
        "/readyz",
        "503 error: [+]cache ok\n\
         [-]db_connection failed: withheld\n\
         [-]workflow skipped: withheld\n\
         [-]queue pending: withheld\n\
         [-]files stale: withheld\n\
         readyz check failed: root cause db_connection, files\n",
    );
}

#[test]
fn details_none_leaves_only_the_verdict() {
    let silent = answering(ill(), |answers| answers.details = Details::None);
    check_answer(&silent, "/readyz", "503 error: readyz check failed\n");
    check_answer(&silent, "/readyz/db_connection", "503 error: readyz check failed\n");
    check_answer(&silent, "/livez?verbose", "200 ok: livez check passed\n");
    check_answer(&Snapshot { draining: true, ..silent }, "/readyz", "503 error: readyz check failed\n");
}

#[test]
fn without_a_configuration_readyz_is_closed_with_the_reason() {
    let mut bare = snapshot(vec![]);
    bare.configuration.missing = Some("/etc/probelet/config.yaml: no such file".into());
    for path in ["/readyz", "/"] {
        check_answer(
            &bare,
            path,
            "503 error: [-]configuration failed: /etc/probelet/config.yaml: no such file\nreadyz check failed\n",
        );
    }
    check_answer(
        &bare,
        "/readyz/db",
        "503 error: [-]configuration failed: /etc/probelet/config.yaml: no such file\n\
         warn: no check named \"db\"\n\
         readyz check failed\n",
    );
    check_answer(&bare, "/livez", "200 ok: ok");
    check_answer(&bare, "/startupz", "200 ok: ok");
}

#[test]
fn text_stays_below_ten_kibibytes_with_root_causes_first() {
    let mut checks: Vec<_> = (0..400).map(|n| (check(&format!("{n:03}-{}", "n".repeat(90))), pending())).collect();
    checks.push((check("the-cause"), error(&"é".repeat(200))));
    let many = snapshot(checks);
    let text = body(&get(&many, "/readyz?exclude=x"));
    assert!(text.len() < 10 * 1024, "{}", text.len());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("[-]the-cause failed: {}", "é".repeat(200)));
    assert!(lines[1].starts_with("[-]000-nnn"));
    let listed = lines.iter().filter(|line| line.starts_with("[-]")).count();
    assert_eq!(
        lines[listed..],
        [
            format!("… and {} more", 401 - listed).as_str(),
            "warn: no check named \"x\" to exclude",
            "readyz check failed: root cause the-cause"
        ]
    );
    assert_eq!(body(&get(&many, "/readyz?verbose")).lines().count(), 402);
}

#[test]
fn root_causes_are_counted_where_there_are_too_many_to_name() {
    let many =
        snapshot((0..400).map(|n| (check(&format!("{n:03}-{}", "n".repeat(96))), error(&"é".repeat(200)))).collect());
    let absurd = format!("/readyz?{}", format!("exclude={}&", "é".repeat(150).replace('é', "%C3%A9")).repeat(9));
    let text = body(&get(&many, &absurd));
    assert!(text.len() < 10 * 1024, "{}", text.len());
    assert!(text.ends_with(", … and 381 more\n"), "{text}");
}

#[test]
fn the_other_methods_are_refused_with_those_that_are_not() {
    let (app, _) = app(&well());
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let answer = ask(&app, &method.parse().unwrap(), "/livez", &[]);
        assert_eq!((answer.code.as_u16(), answer.allow), (405, Some("GET, HEAD, OPTIONS")));
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(ask(&app, &method.parse().unwrap(), "/livez", &[]).code, 200);
        assert_eq!(ask(&app, &method.parse().unwrap(), "/nowhere", &[]).code, 404);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_asked_livez_answers_and_no_code_contradicts_its_verdict(
        path in "/(livez|startupz|readyz|healthz|health|alive|ready)",
        rest in "(/[ -~]{0,20})?([?]((exclude|format|verbose|x)=?[!-~]{0,12}&?){0,5})?",
    ) {
        let uri = format!("{path}{rest}");
        for snapshot in [well(), ill()] {
            if uri.parse::<hyper::Uri>().is_err() {
                continue;
            }
            let answer = get(&snapshot, &uri);
            let code = answer.code.as_u16();
            if path == "/livez" {
                proptest::prop_assert_eq!(code, 200, "{}", uri);
            }
            let is_error = answer.verdict == Some(crate::model::verdict::Verdict::Error);
            proptest::prop_assert_eq!(code == 503, is_error, "{}", uri);
            proptest::prop_assert_eq!(code == 200, answer.verdict.is_some() && !is_error, "{}", uri);
        }
    }
}

#[test]
fn what_kubelet_asks_is_noted_by_endpoint_and_what_others_ask_is_not() {
    let (app, _) = app(&snapshot(vec![(check("db"), ok("ok"))]));
    let asks = |agent: &str, uri: &str| ask(&app, &Method::GET, uri, &[("user-agent", agent)]);
    asks("curl/8.5.0", "/readyz");
    asks("kube-probe/1.37", "/metrics");
    asks("kube-probe/1.37", "/-/healthy");
    assert_eq!(Endpoint::ALL.map(|endpoint| app.daemon_metrics.asks.last(endpoint)), [None; 4]);
    asks("kube-probe/1.37", "/livez");
    asks("probelet-ask/1.0", "/startupz/db");
    let now = Some(now().wall);
    let last = Endpoint::ALL.map(|endpoint| app.daemon_metrics.asks.last_wall(endpoint));
    assert_eq!(last, [now, None, now, None]);
}

/// A pod in service: its app is watched, its database is not of this pod.
fn in_service() -> Snapshot {
    let app = Definition { of_pod: true, depends_on: indices(&[0]), ..gating("app", true, true, false) };
    let mut snapshot = snapshot(vec![(check("db"), ok("Database is connected")), (app, ok("app OK (3ms)"))]);
    snapshot.start_up.opened = true;
    snapshot
}

#[test]
fn what_was_seen_of_the_last_container_counts_for_nothing_from_kubelets_first_question_on() {
    let (app, told) = app(&in_service());
    let says = |agent: &str, uri: &str| {
        let answer = ask(&app, &Method::GET, uri, &[("user-agent", agent)]);
        format!("{} {}", answer.code.as_u16(), body(&answer))
    };
    for (agent, uri) in [("curl/8.5.0", "/startupz"), ("kube-probe/1.37", "/readyz"), ("kube-probe/1.37", "/livez")] {
        assert_eq!(says(agent, uri), "200 ok", "{agent} {uri} begins nothing");
    }
    let starting = "[-]app starting: seen before this start\n";
    let closed = |endpoint: &str, db: &str| format!("503 {db}{starting}{endpoint} check failed: root cause app\n");
    assert_eq!(says("kube-probe/1.37", "/startupz"), closed("startupz", ""));
    assert_eq!(told.all(), ["StartUp at 1000s"]);
    // The scheduler has not published it yet.
    assert_eq!(says("curl/8.5.0", "/readyz"), closed("readyz", "[+]db ok\n"));
    assert_eq!(says("kube-probe/1.37", "/livez"), "200 ok");
    assert_eq!(says("kube-probe/1.37", "/startupz"), closed("startupz", ""));
    assert_eq!(told.all().len(), 1, "once");
}

#[test]
fn kubelets_question_by_grpc_begins_a_start_as_its_others_do() {
    let (app, told) = app(&in_service());
    let asks = |agent: &str, service: &str, more: (&str, &str)| {
        let headers = [("content-type", "application/grpc"), ("user-agent", agent), more];
        call(&app, grpc::CHECK, &headers, &grpc::health_check_request(service))
    };
    let kubelet = "kube-probe/1.37 grpc-go/1.82.1";
    for (agent, service, more) in [
        ("grpc-go/1.82.1", "startup", ("te", "trailers")),
        (kubelet, "", ("te", "trailers")),
        (kubelet, "liveness", ("te", "trailers")),
        (kubelet, "startup", ("via", "1.1 proxy")),
    ] {
        assert_eq!(asks(agent, service, more), "SERVING", "{agent} {service} begins nothing");
    }
    assert_eq!(asks(kubelet, "startup", ("te", "trailers")), "NOT_SERVING");
    assert_eq!(told.all(), ["StartUp at 1000s"]);
    assert_eq!(asks("grpc-go/1.82.1", "readiness", ("te", "trailers")), "NOT_SERVING");
    assert_eq!(asks(kubelet, "liveness", ("te", "trailers")), "SERVING");
}

#[test]
fn what_comes_through_a_proxy_tells_of_no_start_whatever_it_calls_itself() {
    let (app, told) = app(&in_service());
    for sign in ["via", "x-forwarded-for", "forwarded", "x-real-ip", "origin"] {
        let headers = [("user-agent", "kube-probe/1.37"), (sign, "6.6.6.6")];
        assert_eq!(ask(&app, &Method::GET, "/startupz", &headers).code, 200, "{sign}");
    }
    assert_eq!(told.all(), Vec::<String>::new());
}

#[test]
fn readiness_closes_at_the_first_failure_of_what_watches_the_app() {
    let mut failing = in_service();
    let state = std::sync::Arc::make_mut(&mut failing.checks[1]);
    state.failures = 1;
    state.last = error("connection refused").last;
    check_answer(
        &failing,
        "/readyz",
        "503 error: [+]db ok\n[-]app failed: connection refused (failure 1 of 1)\n\
         readyz check failed: root cause app\n",
    );
    check_answer(&failing, "/livez", "200 ok: ok");
}
