//! `/health`, `/alive` and `/ready`.

use super::{check_answer, get};
use crate::metrics::testing::{answering, degraded, error, ok, pending, skipped, snapshot};
use crate::model::plan::testing::{check, indices};
use crate::model::plan::{Critical, Definition, Details, Gates};
use crate::model::snapshot::Snapshot;

fn gating(name: &str, live: bool, ready: bool, startup: bool) -> Definition {
    Definition { gates: Gates { live, ready, startup }, ..check(name) }
}

fn behind(name: &str, parent: usize) -> Definition {
    Definition { depends_on: indices(&[parent]), ..check(name) }
}

#[test]
fn health_is_one_word_and_the_checks() {
    check_answer(&snapshot(vec![]), "/health", r#"200 ok: {"status":"healthy"}"#);
    check_answer(
        &snapshot(vec![(check("db"), ok("Database is connected")), (check("redis"), degraded("…"))]),
        "/health",
        r#"200 degraded: {"status":"degraded","checks":{"db":{"state":"healthy"},"redis":{"state":"degraded","message":"…"}}}"#,
    );
    check_answer(
        &snapshot(vec![
            (Definition { critical: Critical::No, ..check("mail") }, error("connection refused")),
            (check("db"), error("connection refused")),
        ]),
        "/health",
        concat!(
            r#"503 error: {"status":"unhealthy","checks":{"mail":{"state":"degraded","message":"connection refused"},"#,
            r#""db":{"state":"unhealthy","message":"connection refused"}}}"#
        ),
    );
    let draining = Snapshot { draining: true, ..snapshot(vec![]) };
    check_answer(&draining, "/health", r#"503 error: {"status":"unhealthy"}"#);
}

#[test]
fn alive_is_true_while_a_dependency_is_away_and_false_in_the_start_up_phase() {
    let alive = r#"{"alive": true}"#;
    let dead = r#"503 error: {"alive": false}"#;
    let live = |state| snapshot(vec![(gating("loop", true, false, false), state), (check("db"), error("gone"))]);
    check_answer(&live(ok("fine")), "/alive", &format!("200 ok: {alive}"));
    check_answer(&live(skipped()), "/alive", &format!("200 degraded: {alive}"));
    check_answer(&live(pending()), "/alive", dead);
    check_answer(&live(error("deadlock")), "/alive", dead);
    check_answer(&snapshot(vec![]), "/alive", &format!("200 ok: {alive}"));
}

#[test]
fn ready_gives_reasons_root_causes_first() {
    check_answer(&snapshot(vec![]), "/ready", r#"200 ok: {"ready": true}"#);
    let ill = snapshot(vec![
        (behind("workflow", 1), skipped()),
        (gating("db_connection", false, false, false), error("connection \"refused\"")),
        (check("cache"), ok("Redis is connected")),
    ]);
    check_answer(
        &ill,
        "/ready",
        concat!(
            r#"503 error: {"ready": false, "reasons": ["db_connection: connection \"refused\"", "#,
            r#""workflow: Skipped: waits for db_connection"]}"#
        ),
    );
    check_answer(
        &Snapshot { draining: true, ..snapshot(vec![]) },
        "/ready",
        r#"503 error: {"ready": false, "reasons": ["draining"]}"#,
    );
    check_answer(
        &answering(ill, |answers| answers.details = Details::Names),
        "/ready",
        r#"503 error: {"ready": false, "reasons": ["db_connection: withheld", "workflow: withheld"]}"#,
    );
}

#[test]
fn without_a_configuration_all_of_them_are_closed_but_alive() {
    let mut bare = snapshot(vec![]);
    bare.configuration.missing = Some("empty-document".into());
    check_answer(
        &bare,
        "/health",
        r#"503 error: {"status":"unhealthy","message":"No valid configuration: empty-document"}"#,
    );
    check_answer(
        &bare,
        "/ready",
        r#"503 error: {"ready": false, "reasons": ["configuration: No valid configuration: empty-document"]}"#,
    );
    check_answer(
        &bare,
        "/healthz",
        "503 error: Component                     Status  Detail\nno valid configuration: empty-document\n",
    );
    check_answer(&bare, "/-/ready", "503 error: no valid configuration: empty-document\n");
    check_answer(&bare, "/alive", r#"200 ok: {"alive": true}"#);
    assert_eq!(get(&bare, "/metrics").code, 200);
}

#[tokio::test]
async fn a_stream_needs_a_sensible_interval() {
    let snapshot = snapshot(vec![]);
    for bad in ["0", "0.09", "3601", "-1", "NaN", "inf", "abc", ""] {
        check_answer(
            &snapshot,
            &format!("/health/$stream?poll_interval={bad}"),
            &format!("400 -: poll_interval is \"{bad}\"; write seconds from 0.1 to 3600\n"),
        );
    }
    for good in ["", "?poll_interval=0.1", "?poll_interval=3600", "?poll_interval=2.5"] {
        let answer = get(&snapshot, &format!("/health/$stream{good}"));
        assert_eq!((answer.code.as_u16(), answer.content_type, answer.verdict), (200, "text/event-stream", None));
    }
}

#[test]
fn health_takes_the_formats_of_healthz_and_v1_health_is_its_json() {
    let snapshot = snapshot(vec![(check("db"), error("refused"))]);
    for format in ["text", "json", "health%2Bjson", "updown"] {
        let [one, other] = [format!("/health?format={format}"), format!("/healthz?format={format}")]
            .map(|uri| super::show(&super::get(&snapshot, &uri)));
        assert_eq!(one, other, "{format}");
    }
    let unknown = "400 -: unknown format \"xml\"; there are text, json, health+json, updown\n";
    super::check_answer(&snapshot, "/health?format=xml", unknown);
    let json = super::show(&super::get(&snapshot, "/healthz?format=json"));
    assert_eq!(super::show(&super::get(&snapshot, "/v1/health")), json);
    assert_eq!(super::show(&super::get(&snapshot, "/v1/health?format=text")), json);
    let silent = answering(snapshot, |answers| answers.details = Details::None);
    assert_eq!(super::get(&silent, "/v1/health").code, 404);
    assert_eq!(super::get(&silent, "/v1/openapi.json").code, 404);
}

#[test]
fn labels_of_the_service_are_told_in_their_order() {
    let mut labelled = snapshot(vec![]);
    let labels = vec![("team".to_owned(), "orders".to_owned()), ("region".to_owned(), "eu \"1\"".to_owned())];
    std::sync::Arc::make_mut(&mut labelled.plan).service.labels = labels;
    let body = super::body(&super::get(&labelled, "/v1/health"));
    assert!(body.contains(r#""version":"1.2.3","labels":{"team":"orders","region":"eu \"1\""}"#), "{body}");
}
