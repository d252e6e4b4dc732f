//! Events and history: exact answers, page by page.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;

use super::{app, ask, body, show};
use crate::base::clock::Timestamp;
use crate::history::answer::RecordedRun;
use crate::history::{History, Settings};
use crate::metrics::testing::{answering, ok, snapshot};
use crate::model::outcome::FailureKind;
use crate::model::plan::testing::check;
use crate::model::plan::{Definition, Details};
use crate::model::snapshot::Snapshot;
use crate::model::state::{OutcomeKind, State};
use crate::server::App;

const BEGIN: i64 = 1_579_723_302;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(BEGIN + seconds)
}

fn email() -> Definition {
    Definition { target: Some("http://email/health".into()), ..check("email-service") }
}

fn shop(checks: Vec<Definition>) -> Snapshot {
    snapshot(checks.into_iter().map(|check| (check, ok("fine"))).collect())
}

fn told(snapshot: &Snapshot) -> Arc<App> {
    let (app, _) = app(snapshot);
    app.history.declare(&snapshot.plan, at(0));
    app
}

fn run(app: &App, check: &str, seconds: i64, fails: bool) {
    let check = &crate::base::name::CheckName::new(check).unwrap();
    let (outcome, reason, message) = if fails {
        (OutcomeKind::Fail, Some(FailureKind::Connect), "connection refused")
    } else {
        (OutcomeKind::Pass, None, "fine")
    };
    let took = Some(Duration::from_micros(54_500));
    app.history.record(&RecordedRun { check, at: at(seconds), outcome, reason, took, message });
    app.history.transition(check, if fails { State::Error } else { State::Ok }, at(seconds));
}

fn get(app: &Arc<App>, uri: &str) -> String {
    show(&ask(app, &Method::GET, uri, &[]))
}

/// The shop's e-mail: up after six seconds, down at ten, up again at twelve.
fn story() -> Arc<App> {
    let app = told(&shop(vec![email()]));
    run(&app, "email-service", 6, false);
    run(&app, "email-service", 10, true);
    run(&app, "email-service", 12, false);
    app
}

const SERVICE: &str = r#"{"id":1,"name":"email-service","url":"http://email/health","created_at":1579723302,"updated_at":1579723308,"current_status":{"id":2,"event":"uptime","date_started":1579723308,"date_ended":null,"created_at":1579723308,"updated_at":1579723308},"latest_event":{"data":{"id":2,"event":"uptime","date_started":1579723308,"date_ended":null,"created_at":1579723308,"updated_at":1579723308}},"metric":{"data":{"average_response_time_ms":54.5,"down_count":0,"tick_count":1,"up_count":1,"uptime_percent":100,"coverage_percent":25}}}"#;

#[test]
fn a_check_is_a_service_with_its_figures() {
    let app = told(&shop(vec![email()]));
    run(&app, "email-service", 6, false);
    app.history.alive(at(8));
    let list = format!(
        r#"200 -: {{"status":200,"status_desc":"OK","data":{{"services":{{"data":[{SERVICE}],"next":null}}}}}}"#
    );
    assert_eq!(get(&app, "/v1/services"), list);
    let one = format!(r#"200 -: {{"status":200,"status_desc":"OK","data":{{"service":{{"data":{SERVICE}}}}}}}"#);
    for uri in ["/v1/services/1", "/v1/services/email-service", "/v1/services/email%2Dservice"] {
        assert_eq!(get(&app, uri), one, "{uri}");
    }
}

#[test]
fn nothing_is_known_of_a_check_that_has_not_run() {
    let app = told(&shop(vec![check("db")]));
    let event = r#"{"id":1,"event":"unknown","date_started":1579723302,"date_ended":null,"created_at":1579723302,"updated_at":1579723302}"#;
    let metric = r#"{"average_response_time_ms":null,"down_count":0,"tick_count":0,"up_count":0,"uptime_percent":null,"coverage_percent":null}"#;
    assert_eq!(
        get(&app, "/v1/services/db"),
        format!(
            r#"200 -: {{"status":200,"status_desc":"OK","data":{{"service":{{"data":{{"id":1,"name":"db","url":null,"created_at":1579723302,"updated_at":1579723302,"current_status":{event},"latest_event":{{"data":{event}}},"metric":{{"data":{metric}}}}}}}}}}}"#
        )
    );
}

#[test]
fn events_are_the_ups_and_downs_newest_first_and_page_by_page() {
    let app = story();
    let first = r#"{"status":200,"status_desc":"OK","data":{"events":{"data":[{"id":4,"event":"uptime","date_started":1579723314,"date_ended":null,"created_at":1579723314,"updated_at":1579723314},{"id":3,"event":"downtime","date_started":1579723312,"date_ended":1579723314,"created_at":1579723312,"updated_at":1579723314}],"next":"/v1/services/1/events?limit=2&before=3"}}}"#;
    assert_eq!(get(&app, "/v1/services/email-service/events?limit=2"), format!("200 -: {first}"));
    let second = r#"{"status":200,"status_desc":"OK","data":{"events":{"data":[{"id":2,"event":"uptime","date_started":1579723308,"date_ended":1579723312,"created_at":1579723308,"updated_at":1579723312},{"id":1,"event":"unknown","date_started":1579723302,"date_ended":1579723308,"created_at":1579723302,"updated_at":1579723308}],"next":null}}}"#;
    assert_eq!(get(&app, "/v1/services/1/events?limit=2&before=3"), format!("200 -: {second}"));
    let none = r#"{"status":200,"status_desc":"OK","data":{"events":{"data":[],"next":null}}}"#;
    assert_eq!(get(&app, "/v1/services/1/events?before=1"), format!("200 -: {none}"));
}

#[test]
fn ticks_are_single_runs_newest_first_and_page_by_page() {
    let app = story();
    let first = r#"{"status":200,"status_desc":"OK","data":{"ticks":{"data":[{"id":3,"created_at":1579723314,"outcome":"pass","response_time_ms":54.5,"reason":null,"message":"fine"},{"id":2,"created_at":1579723312,"outcome":"fail","response_time_ms":54.5,"reason":"connect","message":"connection refused"}],"next":"/v1/services/1/ticks?limit=2&before=2"}}}"#;
    assert_eq!(get(&app, "/v1/services/1/ticks?limit=2"), format!("200 -: {first}"));
    let second = r#"{"status":200,"status_desc":"OK","data":{"ticks":{"data":[{"id":1,"created_at":1579723308,"outcome":"pass","response_time_ms":54.5,"reason":null,"message":"fine"}],"next":null}}}"#;
    assert_eq!(get(&app, "/v1/services/1/ticks?limit=2&before=2"), format!("200 -: {second}"));
}

#[test]
fn services_come_in_the_order_of_the_file_page_by_page() {
    let app = told(&shop(vec![check("c"), check("a")]));
    app.history.declare(&shop(vec![check("a"), check("b"), check("c")]).plan, at(1));
    let names = |uri: &str| {
        let answer: serde_json::Value = serde_json::from_str(&body(&ask(&app, &Method::GET, uri, &[]))).unwrap();
        let services = &answer["data"]["services"];
        let names: Vec<_> = services["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|service| service["name"].as_str().unwrap().to_owned())
            .collect();
        (names.join(","), services["next"].as_str().map(str::to_owned))
    };
    assert_eq!(names("/v1/services?limit=1"), ("c".into(), Some("/v1/services?limit=1&before=1".into())));
    assert_eq!(names("/v1/services?limit=1&before=1"), ("a".into(), None));
    assert_eq!(names("/v1/services"), ("c,a".into(), None));
    assert_eq!(
        get(&app, "/v1/services?before=9"),
        r#"400 -: {"status":400,"status_desc":"Bad Request","data":{"message":"before is 9, which is no check's number; ask without it again"}}"#
    );
}

#[test]
fn names_with_slashes_are_found_as_they_are_and_escaped() {
    let app = told(&shop(vec![check("internal_api/user"), check("log/events")]));
    for (uri, id) in [
        ("/v1/services/internal_api/user", 1),
        ("/v1/services/internal_api%2Fuser", 1),
        ("/v1/services/log%2Fevents", 2),
    ] {
        let answer = get(&app, uri);
        let expected = format!(r#"200 -: {{"status":200,"status_desc":"OK","data":{{"service":{{"data":{{"id":{id},"#);
        assert!(answer.starts_with(&expected), "{uri}: {answer}");
    }
    for uri in ["/v1/services/internal_api%2Fuser/ticks", "/v1/services/log%2Fevents/ticks"] {
        let expected = r#"200 -: {"status":200,"status_desc":"OK","data":{"ticks":{"data":[],"next":null}}}"#;
        assert_eq!(get(&app, uri), expected);
    }
}

#[test]
fn what_is_not_there_is_not_found_in_the_same_envelope() {
    let app = story();
    for id in ["2", "0", "e-mail", ""] {
        for list in ["", "/events", "/ticks"] {
            let expected = format!(
                r#"404 -: {{"status":404,"status_desc":"Not Found","data":{{"message":"no check has the number or the name \"{id}\"; /v1/services lists them"}}}}"#
            );
            assert_eq!(get(&app, &format!("/v1/services/{id}{list}")), expected);
        }
    }
}

#[test]
fn a_page_that_cannot_be_is_refused_in_the_same_envelope() {
    let app = story();
    for path in ["/v1/services", "/v1/services/1/events", "/v1/services/1/ticks"] {
        assert_eq!(
            get(&app, &format!("{path}?limit=1001")),
            r#"400 -: {"status":400,"status_desc":"Bad Request","data":{"message":"limit is \"1001\"; write a number from 1 to 1000"}}"#
        );
        assert_eq!(
            get(&app, &format!("{path}?before=x")),
            r#"400 -: {"status":400,"status_desc":"Bad Request","data":{"message":"before is \"x\"; write the number of an entry, as in the path `next`"}}"#
        );
    }
}

/// A folder that is gone with the test.
struct HistoryFolder(std::path::PathBuf);

impl Drop for HistoryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A disk that answers no more: the file has been closed.
#[test]
fn while_the_disk_does_not_answer_that_is_said() {
    let folder = HistoryFolder(std::env::temp_dir().join(format!("probelet-away-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let snapshot = shop(vec![email()]);
    let settings = Settings { path: Some(folder.0.join("history.db")), keep: super::KEEP, pod: None, boot: None };
    let history = History::start(settings, at(0));
    history.declare(&snapshot.plan, at(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        history.close(Duration::from_secs(20)).await;
    });
    let mut app = Arc::into_inner(app(&snapshot).0).unwrap();
    app.history = history;
    let app = Arc::new(app);
    for list in ["events", "ticks"] {
        assert_eq!(
            get(&app, &format!("/v1/services/1/{list}")),
            r#"503 -: {"status":503,"status_desc":"Service Unavailable","data":{"message":"the history cannot be read at the moment: its file is being opened, or the disk does not answer"}}"#
        );
    }
}

#[test]
fn the_api_is_well_while_the_history_answers() {
    assert_eq!(get(&story(), "/v1/_internal/health"), r#"200 -: {"status":200,"status_desc":"OK"}"#);
}

#[test]
fn with_names_alone_messages_and_urls_are_withheld() {
    let snapshot = answering(shop(vec![email()]), |answers| answers.details = Details::Names);
    let app = told(&snapshot);
    run(&app, "email-service", 6, true);
    assert_eq!(
        get(&app, "/v1/services/1/ticks"),
        r#"200 -: {"status":200,"status_desc":"OK","data":{"ticks":{"data":[{"id":1,"created_at":1579723308,"outcome":"fail","response_time_ms":54.5,"reason":"connect","message":"withheld"}],"next":null}}}"#
    );
    assert!(get(&app, "/v1/services/1").contains(r#""name":"email-service","url":null,"#));
}

#[test]
fn without_details_there_is_no_history() {
    let snapshot = answering(shop(vec![email()]), |answers| answers.details = Details::None);
    let app = told(&snapshot);
    for path in [
        "/v1/services",
        "/v1/services/1",
        "/v1/services/1/events",
        "/v1/services/1/ticks",
        "/v1/_internal/health",
        "/v1/stream",
    ] {
        let answer = ask(&app, &Method::GET, path, &[]);
        assert_eq!((answer.code.as_u16(), answer.content_type), (404, "text/plain; charset=utf-8"), "{path}");
    }
    assert_eq!(ask(&app, &Method::PUT, "/v1/heartbeats/loop", &[("host", "localhost")]).code, 204);
}

#[test]
fn history_is_only_looked_at() {
    let app = story();
    for path in
        ["/v1/services", "/v1/services/1", "/v1/services/1/events", "/v1/services/1/ticks", "/v1/_internal/health"]
    {
        for method in [Method::HEAD, Method::OPTIONS] {
            assert_eq!(ask(&app, &method, path, &[]).code, 200, "{method} {path}");
        }
        let refused = ask(&app, &Method::DELETE, path, &[]);
        assert_eq!((refused.code.as_u16(), refused.allow), (405, Some("GET, HEAD, OPTIONS")), "{path}");
    }
}

#[test]
fn the_past_comes_with_the_checks_where_it_is_asked_for() {
    let app = story();
    app.history.alive(at(20));
    let answer: serde_json::Value =
        serde_json::from_str(get(&app, "/v1/services?include=history&limit=1").strip_prefix("200 -: ").unwrap())
            .unwrap();
    let service = &answer["data"]["services"]["data"][0];
    assert_eq!(service["name"], "email-service");
    assert_eq!(
        service["history"].to_string(),
        concat!(
            r#"{"intervals":[{"standing":"unknown","date_started":1579723302.0,"date_ended":1579723308.0},"#,
            r#"{"standing":"up","date_started":1579723308.0,"date_ended":1579723312.0},"#,
            r#"{"standing":"down","date_started":1579723312.0,"date_ended":1579723314.0},"#,
            r#"{"standing":"up","date_started":1579723314.0,"date_ended":null}],"#,
            r#""response_times_ms":[54.5,null,54.5]}"#
        )
    );
    assert_eq!(
        service["definition"].to_string(),
        concat!(
            r#"{"kind":"simulated","interval":"10s","interval_ms":10000,"timeout":"2s","initial_delay":"0ms","#,
            r#""failure_threshold":1,"success_threshold":1,"critical":"true","gates":["ready"],"depends_on":[],"#,
            r#""degraded_above":null,"stale_after":"32s","formerly":null}"#
        )
    );
    let plain: serde_json::Value =
        serde_json::from_str(get(&app, "/v1/services").strip_prefix("200 -: ").unwrap()).unwrap();
    let plain = plain["data"]["services"]["data"][0].as_object().unwrap();
    assert!(!plain.contains_key("history") && !plain.contains_key("definition"));
}

#[test]
fn one_check_tells_its_windows_too() {
    let app = story();
    app.history.alive(at(20));
    let answer: serde_json::Value =
        serde_json::from_str(get(&app, "/v1/services/1?include=history").strip_prefix("200 -: ").unwrap()).unwrap();
    let windows = answer["data"]["service"]["data"]["history"]["windows"].as_array().unwrap();
    let names: Vec<_> = windows.iter().map(|window| window["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["1h", "24h", "7d"]);
    let hour = &windows[0];
    let of = |member: &str| hour[member].to_string();
    // Up for 12 of the 14 seconds of which something is known, and that of 3600.
    assert_eq!((of("uptime_percent"), of("coverage_percent")), ("85.7143".into(), "0.3889".into()));
    assert_eq!([of("run_count"), of("p50_ms"), of("p90_ms"), of("p99_ms")], ["2", "54.5", "54.5", "54.5"]);
    let slices = hour["slices"].as_array().unwrap();
    assert_eq!((slices.len(), slices[89].to_string()), (90, "[12,0,2,6]".into()));
}

#[test]
fn with_names_alone_a_definition_has_no_words_for_people() {
    let email =
        Definition { description: Some("Sends mail".into()), runbook: Some("https://runbooks/mail".into()), ..email() };
    let full = told(&shop(vec![email.clone()]));
    assert!(get(&full, "/v1/services?include=history").contains(r#""runbook":"https://runbooks/mail""#));
    let names = answering(shop(vec![email]), |answers| answers.details = Details::Names);
    let answer = get(&told(&names), "/v1/services?include=history");
    assert!(!answer.contains("runbook") && !answer.contains("description") && !answer.contains("email/health"));
}
