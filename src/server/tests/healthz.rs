//! `/healthz` in every format.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;

use super::{app, ask, body, check_answer, get};
use crate::base::name::CheckName;
use crate::metrics::testing::{answering, degraded, error, knowing, ok, pending, skipped, snapshot, stale};
use crate::model::outcome::{Facts, StepReport};
use crate::model::plan::testing::{check, indices};
use crate::model::plan::{Critical, Definition, Details, DisabledCheck, Gates};
use crate::model::snapshot::Snapshot;
use crate::model::state::State;

fn of(kind: &'static str, name: &str) -> Definition {
    Definition { kind, ..check(name) }
}

fn ill() -> Snapshot {
    let user = Definition { depends_on: indices(&[0]), ..of("http", "internal_api/user") };
    let workflow = Definition { depends_on: indices(&[0, 1]), ..of("workflow", "endtoend_workflow") };
    snapshot(vec![
        (of("postgres", "db_connection"), ok("Database is connected")),
        (user, error("internal_api/user returned error")),
        (workflow, skipped()),
    ])
}

fn worried() -> Snapshot {
    let mut started = snapshot(vec![
        (of("redis", "cache"), degraded("cache OK (812ms), above 500ms")),
        (Definition { critical: Critical::No, ..of("tcp", "mail") }, error("connection refused")),
        (Definition { critical: Critical::AtStartup, ..of("disk", "volume") }, error("2.0 GiB free (1%), below 10%")),
        (Definition { gates: Gates::default(), ..of("http", "side") }, error("status 500")),
    ]);
    started.ready_once = true;
    started
}

fn well() -> Snapshot {
    snapshot(vec![(of("postgres", "db_connection"), ok("Database is connected"))])
}

#[test]
fn the_table_is_padded_to_30_and_8() {
    check_answer(
        &ill(),
        "/healthz",
        "503 error: \
         Component                     Status  Detail\n\
         db_connection                 PASS    Database is connected\n\
         internal_api/user             FAIL    internal_api/user returned error\n\
         endtoend_workflow             FAIL    Skipped due to upstream failure\n",
    );
    check_answer(
        &Snapshot { draining: true, ..worried() },
        "/healthz?format=text",
        "503 error: \
         Component                     Status  Detail\n\
         cache                         WARN    cache OK (812ms), above 500ms\n\
         mail                          FAIL    connection refused\n\
         volume                        FAIL    2.0 GiB free (1%), below 10%\n\
         side                          FAIL    status 500\n\
         draining\n",
    );
}

#[test]
fn the_table_is_wider_where_a_name_needs_it() {
    let long = "a-name-of-exactly-thirty-chars";
    check_answer(
        &snapshot(vec![(check(long), ok("fine")), (check("b"), ok("fine"))]),
        "/healthz",
        "200 ok: \
         Component                      Status  Detail\n\
         a-name-of-exactly-thirty-chars PASS    fine\n\
         b                              PASS    fine\n",
    );
}

#[test]
fn json_has_the_members_of_the_contract_in_their_order() {
    let steps = vec![
        StepReport {
            name: "login".into(),
            state: State::Error,
            message: "status 500".into(),
            took: Some(Duration::from_micros(1500)),
        },
        StepReport { name: "order".into(), state: State::Skipped, message: "Skipped: login failed".into(), took: None },
    ];
    let workflow = Definition { depends_on: indices(&[0]), critical: Critical::AtStartup, ..of("workflow", "path") };
    let snapshot = snapshot(vec![
        (of("postgres", "db_connection"), ok("Database is connected")),
        (workflow, knowing(error("login: status 500"), Facts { steps: steps.into(), ..Facts::default() })),
        (of("http", "new"), pending()),
    ]);
    check_answer(
        &snapshot,
        "/healthz?format=json",
        concat!(
            r#"503 error: {"status":"error","data":{"message":"Some checks failed"},"checks":["#,
            r#"{"name":"db_connection","status":"ok","message":"Database is connected","state":"ok","kind":"postgres","#,
            r#""critical":true,"latency_ms":12,"age_ms":5000,"consecutive_failures":0,"since":"2026-11-21T10:28:20Z","#,
            r#""depends_on":[],"root_causes":[]},"#,
            r#"{"name":"path","status":"error","message":"login: status 500","state":"error","kind":"workflow","#,
            r#""critical":"at_startup","latency_ms":12,"age_ms":5000,"consecutive_failures":1,"#,
            r#""since":"2026-11-21T10:28:20Z","depends_on":["db_connection"],"root_causes":["path"],"steps":["#,
            r#"{"name":"login","state":"error","message":"status 500","latency_ms":2},"#,
            r#"{"name":"order","state":"skipped","message":"Skipped: login failed","latency_ms":null}]},"#,
            r#"{"name":"new","status":"error","message":"no result yet","state":"pending","kind":"http","#,
            r#""critical":true,"latency_ms":null,"age_ms":null,"consecutive_failures":0,"#,
            r#""since":"2026-11-21T10:28:20Z","depends_on":[],"root_causes":[]}],"#,
            r#""root_causes":["path"],"service":"shop","instance":"shop-0","version":"1.2.3","endpoints":["#,
            r#"{"name":"livez","verdict":"ok","draining":false,"root_causes":[],"since":"2026-11-21T10:30:00Z"},"#,
            r#"{"name":"readyz","verdict":"error","draining":false,"root_causes":["path"],"since":"2026-11-21T10:30:00Z"},"#,
            r#"{"name":"startupz","verdict":"error","draining":false,"root_causes":["new"],"since":"2026-11-21T10:30:00Z"},"#,
            r#"{"name":"healthz","verdict":"error","draining":false,"root_causes":["path"],"since":"2026-11-21T10:30:00Z"}],"#,
            r#""timestamp":"2026-11-21T10:30:00Z"}"#
        ),
    );
}

#[test]
fn a_check_is_stale_since_its_result_became_too_old() {
    let snapshot = snapshot(vec![(check("files"), stale()), (check("database"), ok("fine"))]);
    let json: serde_json::Value = serde_json::from_str(&body(&get(&snapshot, "/healthz?format=json"))).unwrap();
    let since = |place: usize| json["checks"][place]["since"].as_str().unwrap();
    assert_eq!(json["checks"][0]["age_ms"], 47_000);
    assert_eq!(
        [since(0), since(1)],
        ["2026-11-21T10:29:45Z", "2026-11-21T10:28:20Z"],
        "three intervals and a timeout after it"
    );
}

#[test]
fn the_messages_of_the_whole_are_those_of_the_contract() {
    let message = |snapshot: &Snapshot| {
        let json: serde_json::Value = serde_json::from_str(&body(&get(snapshot, "/healthz?format=json"))).unwrap();
        (json["status"].as_str().unwrap().to_owned(), json["data"]["message"].as_str().unwrap().to_owned())
    };
    let expect = |status: &str, text: &str| (status.to_owned(), text.to_owned());
    assert_eq!(message(&well()), expect("ok", "All checks passed"));
    assert_eq!(message(&worried()), expect("degraded", "Some checks are degraded"));
    assert_eq!(message(&ill()), expect("error", "Some checks failed"));
    assert_eq!(message(&Snapshot { draining: true, ..well() }), expect("error", "Draining"));
    let mut bare = snapshot(vec![]);
    bare.configuration.missing = Some("empty-document".into());
    assert_eq!(message(&bare), expect("error", "No valid configuration: empty-document"));
}

#[test]
fn health_json_follows_the_draft() {
    let answer = get(&worried(), "/healthz?format=health+json");
    assert_eq!(answer.content_type, "application/health+json");
    assert_eq!(
        body(&answer),
        concat!(
            r#"{"status":"warn","version":"1.2.3","serviceId":"shop","description":"health of shop","#,
            r#""output":"root cause mail: connection refused; volume: 2.0 GiB free (1%), below 10%; side: status 500","checks":{"#,
            r#""cache:responseTime":[{"componentId":"cache","componentType":"datastore","observedValue":12,"#,
            r#""observedUnit":"ms","status":"warn","time":"2026-11-21T10:29:55Z","output":"cache OK (812ms), above 500ms"}],"#,
            r#""mail:responseTime":[{"componentId":"mail","componentType":"component","observedValue":12,"#,
            r#""observedUnit":"ms","status":"warn","time":"2026-11-21T10:29:55Z","output":"connection refused"}],"#,
            r#""volume:responseTime":[{"componentId":"volume","componentType":"system","observedValue":12,"#,
            r#""observedUnit":"ms","status":"warn","time":"2026-11-21T10:29:55Z","output":"2.0 GiB free (1%), below 10%"}],"#,
            r#""side:responseTime":[{"componentId":"side","componentType":"component","observedValue":12,"#,
            r#""observedUnit":"ms","status":"warn","time":"2026-11-21T10:29:55Z","output":"status 500"}]}}"#
        )
    );
    check_answer(
        &well(),
        "/healthz?format=health%2Bjson",
        concat!(
            r#"200 ok: {"status":"pass","version":"1.2.3","serviceId":"shop","description":"health of shop","checks":{"#,
            r#""db_connection:responseTime":[{"componentId":"db_connection","componentType":"datastore","#,
            r#""observedValue":12,"observedUnit":"ms","status":"pass","time":"2026-11-21T10:29:55Z"}]}}"#
        ),
    );
    check_answer(
        &snapshot(vec![(check("new"), pending())]),
        "/healthz?format=health+json",
        concat!(
            r#"503 error: {"status":"fail","version":"1.2.3","serviceId":"shop","description":"health of shop","#,
            r#""output":"root cause new: no result yet","checks":{"new:responseTime":[{"componentId":"new","#,
            r#""componentType":"component","status":"fail","output":"no result yet"}]}}"#
        ),
    );
}

#[test]
fn updown_is_for_consumers_of_up_and_down() {
    check_answer(
        &ill(),
        "/healthz?format=updown",
        concat!(
            r#"503 error: {"status":"DOWN","message":"root cause internal_api/user: internal_api/user returned error","timestamp":"2026-11-21T10:30:00Z","#,
            r#""version":"1.2.3","dependencies":{"#,
            r#""db_connection":{"status":"UP","message":"Database is connected","response_time_ms":12},"#,
            r#""internal_api/user":{"status":"DOWN","message":"internal_api/user returned error","response_time_ms":12},"#,
            r#""endtoend_workflow":{"status":"DOWN","message":"Skipped: waits for internal_api/user"}}}"#
        ),
    );
    let states: serde_json::Value = serde_json::from_str(&body(&get(&worried(), "/healthz?format=updown"))).unwrap();
    assert_eq!(states["status"], "DEGRADED");
    for (name, status) in [("cache", "DEGRADED"), ("mail", "DOWN"), ("volume", "DOWN"), ("side", "DOWN")] {
        assert_eq!(states["dependencies"][name]["status"], status, "{name}");
    }
}

#[test]
fn the_format_follows_accept_and_a_query_wins() {
    let (app, _) = app(&well());
    let content_type = |uri, accept| ask(&app, &Method::GET, uri, &[("accept", accept)]).content_type;
    assert_eq!(content_type("/healthz", "application/json"), "application/json");
    assert_eq!(content_type("/healthz", "application/health+json, */*;q=0.1"), "application/health+json");
    assert_eq!(content_type("/healthz", "*/*"), "text/plain; charset=utf-8");
    assert_eq!(content_type("/healthz?format=text", "application/json"), "text/plain; charset=utf-8");
    assert_eq!(content_type("/livez", "application/json"), "text/plain; charset=utf-8");
}

#[test]
fn gates_take_the_same_formats_over_their_own_checks() {
    let live = Definition { gates: Gates { live: true, ..Gates::default() }, ..of("http", "app") };
    let snapshot = snapshot(vec![(of("postgres", "db"), error("connection refused")), (live, ok("app OK (12ms)"))]);
    check_answer(
        &snapshot,
        "/livez?format=updown",
        concat!(
            r#"200 ok: {"status":"UP","message":"All checks passed","timestamp":"2026-11-21T10:30:00Z","version":"1.2.3","#,
            r#""dependencies":{"app":{"status":"UP","message":"app OK (12ms)","response_time_ms":12}}}"#
        ),
    );
    let json: serde_json::Value =
        serde_json::from_str(&body(&get(&snapshot, "/readyz?format=json&exclude=nobody"))).unwrap();
    assert_eq!(json["status"], "error");
    assert_eq!(json["checks"].as_array().unwrap().len(), 1);
    assert_eq!(json["root_causes"], serde_json::json!(["db"]));
    assert_eq!(json["warnings"], serde_json::json!(["no check named \"nobody\" to exclude"]));
    let json: serde_json::Value =
        serde_json::from_str(&body(&get(&snapshot, "/readyz/db?format=json&exclude=db"))).unwrap();
    assert_eq!((&json["status"], &json["checks"][0]["status"]), (&"ok".into(), &"ok".into()));
    assert_eq!((&json["checks"][0]["state"], &json["checks"][0]["excluded"]), (&"error".into(), &true.into()));
}

#[test]
fn details_names_withholds_every_message_in_every_format() {
    let steps = vec![StepReport { name: "login".into(), state: State::Error, message: "secret".into(), took: None }];
    let mut secretive = ill();
    let knowing = knowing((*secretive.checks[1]).clone(), Facts { steps: steps.into(), ..Facts::default() });
    secretive.checks[1] = Arc::new(knowing);
    let discreet = answering(secretive, |answers| answers.details = Details::Names);
    check_answer(
        &discreet,
        "/healthz",
        "503 error: \
         Component                     Status  Detail\n\
         db_connection                 PASS    withheld\n\
         internal_api/user             FAIL    withheld\n\
         endtoend_workflow             FAIL    withheld\n",
    );
    for format in ["json", "health+json", "updown"] {
        let text = body(&get(&discreet, &format!("/healthz?format={format}")));
        for message in ["connected", "returned", "Skipped due", "checks failed", "secret"] {
            assert!(!text.contains(message), "{text}");
        }
        assert!(text.contains("withheld") && text.contains("endtoend_workflow"), "{text}");
    }
}

#[test]
fn details_none_leaves_only_the_verdict_in_every_format() {
    let silent = answering(ill(), |answers| answers.details = Details::None);
    for (uri, expected) in [
        ("/healthz", "503 error: Component                     Status  Detail\n"),
        (
            "/healthz?format=json",
            r#"503 error: {"status":"error","data":{"message":"withheld"},"checks":[],"timestamp":"2026-11-21T10:30:00Z"}"#,
        ),
        ("/healthz?format=health+json", r#"503 error: {"status":"fail","output":"withheld","checks":{}}"#),
        (
            "/healthz?format=updown",
            r#"503 error: {"status":"DOWN","message":"withheld","timestamp":"2026-11-21T10:30:00Z","dependencies":{}}"#,
        ),
        ("/health", r#"503 error: {"status":"unhealthy","checks":{}}"#),
        ("/ready", r#"503 error: {"ready": false, "reasons": []}"#),
    ] {
        check_answer(&silent, uri, expected);
    }
    assert_eq!(get(&silent, "/health/$stream").code, 404);
}

/// A database behind which a workflow waits, and a report that nobody needs.
fn outage() -> Snapshot {
    let workflow = Definition { depends_on: indices(&[0]), ..check("workflow") };
    let report = Definition { critical: Critical::No, ..check("report") };
    snapshot(vec![
        (check("database"), error("returned status 500")),
        (workflow, skipped()),
        (report, error("connection refused")),
    ])
}

#[test]
fn the_root_causes_of_a_closed_endpoint_are_those_without_which_it_would_be_open() {
    let json: serde_json::Value = serde_json::from_str(&body(&get(&outage(), "/healthz?format=json"))).unwrap();
    assert_eq!(json["root_causes"], serde_json::json!(["database"]));
    assert_eq!(json["checks"][1]["message"], "Skipped due to upstream failure");
    let updown: serde_json::Value = serde_json::from_str(&body(&get(&outage(), "/healthz?format=updown"))).unwrap();
    assert_eq!(updown["message"], "root cause database: returned status 500");
    assert_eq!(updown["dependencies"]["workflow"]["message"], "Skipped: waits for database");
    let draft: serde_json::Value =
        serde_json::from_str(&body(&get(&outage(), "/healthz?format=health%2Bjson"))).unwrap();
    assert_eq!(draft["output"], "root cause database: returned status 500");
    assert_eq!(draft["checks"]["workflow:responseTime"][0]["output"], "Skipped: waits for database");
    let health: serde_json::Value = serde_json::from_str(&body(&get(&outage(), "/health"))).unwrap();
    assert_eq!(health["checks"]["workflow"]["message"], "Skipped: waits for database");
}

#[test]
fn one_check_alone_is_told_gated_or_not() {
    let table = |name: &str, status: &str, detail: &str| {
        format!("Component                     Status  Detail\n{name:30}{status:8}{detail}\n")
    };
    let ungated = Definition { gates: Gates::default(), ..check("a/b") };
    let snapshot = snapshot(vec![
        (check("db"), ok("fine")),
        (ungated, error("connection refused")),
        (check("c"), degraded("slow")),
    ]);
    check_answer(&snapshot, "/healthz/db", &format!("200 ok: {}", table("db", "PASS", "fine")));
    let failing = format!("503 error: {}", table("a/b", "FAIL", "connection refused"));
    check_answer(&snapshot, "/healthz/a/b", &failing);
    check_answer(&snapshot, "/healthz/a%2Fb", &failing);
    check_answer(&snapshot, "/healthz/c", &format!("200 degraded: {}", table("c", "WARN", "slow")));
    check_answer(&snapshot, "/healthz/nothing", "404 -: no check named \"nothing\"\n");
    let json: serde_json::Value = serde_json::from_str(&body(&get(&snapshot, "/healthz/a%2Fb?format=json"))).unwrap();
    assert_eq!((json["status"].as_str(), json["checks"].as_array().map(Vec::len)), (Some("error"), Some(1)));
    assert_eq!(json["root_causes"], serde_json::json!(["a/b"]));
}

#[test]
fn what_is_switched_off_is_told_with_the_whole_alone() {
    let name = CheckName::new("old").unwrap();
    let off = DisabledCheck { name, kind: "tcp", reason: "waits for the new cluster".into() };
    let mut snapshot = well();
    Arc::make_mut(&mut snapshot.plan).disabled.push(off);
    for (format, sign) in [("text", "disabled: waits"), ("json", r#""disabled":[{"name":"old""#)] {
        let tells_of_it = |path: &str| body(&get(&snapshot, &format!("{path}?format={format}"))).contains(sign);
        // The only check there is, and still not the whole.
        assert_eq!((tells_of_it("/healthz"), tells_of_it("/healthz/db_connection")), (true, false), "{format}");
        let discreet = answering(snapshot.clone(), |answers| answers.details = Details::None);
        for path in ["/healthz", "/healthz/old"] {
            let told = body(&get(&discreet, &format!("{path}?format={format}")));
            assert!(!told.contains("waits") && !told.contains("switched off"), "{told}");
        }
    }
}
