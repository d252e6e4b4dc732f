//! Outages of many checks: how they are told, and what one who is told no more comes to know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{SNAPSHOT, StreamServer, next, run_again, told};
use crate::base::clock::Moment;
use crate::metrics::testing::{error, now, ok, pending, snapshot};
use crate::model::causes::MAX_CAUSES;
use crate::model::index::CheckIndex;
use crate::model::plan::testing::check;
use crate::model::snapshot::Snapshot;
use crate::model::state::CheckState;
use crate::model::verdict::testing::looks_of;
use crate::model::verdict::{Endpoint, Judged};
use crate::server::body::Body;

/// An outage of so many checks, one by one, as one sees it who looks at the stream after each hundred: the length of the
/// longest event. It knows the root causes of `/readyz` in the end.
fn outage(count: usize) -> usize {
    let names: Vec<String> = (0..count).map(|index| format!("c{index:04}")).collect();
    let mut now = snapshot(names.iter().map(|name| (check(name), ok("fine"))).collect());
    let stage = StreamServer::of(&now);
    let mut stream = stage.stream(None);
    assert!(next(&mut stream).is_some());
    let (mut longest, mut causes) = (0, BTreeSet::new());
    for (place, index) in now.plan.indices().enumerate() {
        now.checks[index] = Arc::new(run_again(error("refused"), 1));
        stage.happens(now.clone());
        while let Some(event) = (place % 100 == 99).then(|| next(&mut stream)).flatten() {
            let text = std::str::from_utf8(&event).unwrap();
            let (head, json) = text.split_once("data: ").unwrap();
            assert!(!head.contains("event: cut") && !head.contains("event: snapshot"), "{place}: {text}");
            longest = longest.max(event.len());
            if let Some(readyz) = readyz(json) {
                apply(&readyz, &mut causes);
            }
        }
    }
    assert_eq!(causes, names.into_iter().collect());
    longest
}

/// What an event tells of `/readyz`, if it tells anything.
fn readyz(json: &str) -> Option<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    json["endpoints"].as_array().into_iter().flatten().find(|it| it["name"] == "readyz").cloned()
}

/// What is told of an endpoint, as a client applies it to the root causes that it knows.
fn apply(endpoint: &serde_json::Value, causes: &mut BTreeSet<String>) {
    let names =
        |member: &str| endpoint[member].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let Some(more) = endpoint["more_root_causes"].as_u64() else {
        *causes = names("root_causes").collect();
        return;
    };
    causes.extend(names("root_causes_added"));
    names("root_causes_gone").for_each(|gone| assert!(causes.remove(&gone)));
    assert!(names("root_causes").all(|name| causes.contains(&name)));
    assert_eq!(causes.len() as u64, MAX_CAUSES as u64 + more);
}

/// An outage of more checks than are named, beside `x`, whose result becomes too old after the span that is returned.
fn outage_beside_x() -> (Snapshot, Duration) {
    let mut checks: Vec<_> = (0..=MAX_CAUSES).map(|index| (check(&format!("c{index}")), error("refused"))).collect();
    checks.push((check("c"), ok("fine")));
    checks.push((check("x"), CheckState { fresh_at: Some(Moment::default()), ..ok("fine") }));
    let snapshot = snapshot(checks);
    let stale_after = snapshot.plan.checks[snapshot.plan.position("x").unwrap()].stale_after;
    (snapshot, stale_after)
}

/// The root causes of `/readyz` that one knows who is told no more than what comes now.
fn learn(body: &mut Body, causes: &mut BTreeSet<String>) {
    while let Some(event) = next(body) {
        let (_, json) = std::str::from_utf8(&event).unwrap().split_once("data: ").unwrap();
        readyz(json).into_iter().for_each(|readyz| apply(&readyz, causes));
    }
}

fn causes_of(snapshot: &Snapshot, at: Moment) -> BTreeSet<String> {
    let causes = Judged::new(snapshot, at).endpoint(Endpoint::Readyz).root_causes;
    causes.into_iter().map(|index| snapshot.plan.checks[index].name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_becomes_too_old_before_the_whole_is_rendered_is_told_by_what_follows_it() {
    for passes in [true, false] {
        let (mut published, stale_after) = outage_beside_x();
        let stage = StreamServer::of(&published);
        let happens = |published: &Snapshot| {
            let _ = stage.streams.feed.observe(Arc::new(published.clone()), stage.app.clock.read());
        };
        let (mut stream, mut causes) = (stage.stream(None), BTreeSet::new());
        tokio::time::sleep(stale_after).await;
        happens(&published);
        tokio::time::sleep(Duration::from_millis(1)).await;
        learn(&mut stream, &mut causes);
        let now = stage.app.clock.read().moment;
        if passes {
            let x = published.plan.position("x").unwrap();
            published.checks[x] = Arc::new(CheckState { fresh_at: Some(now), ..run_again(ok("fine"), 1) });
            happens(&published);
            let c = published.plan.position("c").unwrap();
            published.checks[c] = Arc::new(run_again(error("refused"), 1));
        }
        happens(&published);
        learn(&mut stream, &mut causes);
        assert_eq!(causes, causes_of(&published, now));
        assert_eq!((causes.contains("x"), causes.contains("c")), (!passes, passes));
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_long_after_the_last_publication_is_shown_what_has_become_too_old_since() {
    let (published, stale_after) = outage_beside_x();
    let stage = StreamServer::of(&published);
    let _first = stage.stream(None);
    let (_writer, board) = crate::store::board(published.clone());
    let follow = stage.streams.feed.follow(board, stage.app.clock);
    let _ = tokio::time::timeout(stale_after + Duration::from_secs(2), follow).await;
    let mut causes = BTreeSet::new();
    learn(&mut stage.stream(None), &mut causes);
    assert!(causes.contains("x"));
    assert_eq!(causes, causes_of(&published, stage.app.clock.read().moment));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_large_outage_is_no_longer_than_one_of_a_small_one() {
    let (small, large) = (outage(300), outage(1200));
    // One digit more in the number of the event and of the causes that are not named, twice.
    assert!(large <= small + 3, "{small} {large}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_at_once_is_told_at_once_and_more_than_that_shows_the_whole_anew() {
    let names = (0..100).map(|index| format!("c{index:04}"));
    let first = snapshot(names.map(|name| (check(&name), pending())).collect());
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    assert_eq!(told(&mut stream), [SNAPSHOT]);
    let mut failing = first.clone();
    for index in failing.plan.indices() {
        failing.checks[index] = Arc::new(run_again(error("refused"), 1));
    }
    stage.happens(failing);
    let pieces = told(&mut stream);
    assert_eq!(pieces.len(), 200);
    assert!(pieces[199].starts_with("id: …-200\nevent: transition\n"), "{}", pieces[199]);
    // Ninety-nine wait again for their first result, of whom nothing has been told.
    let mut waiting = first;
    waiting.checks[0] = Arc::new(run_again(error("refused"), 2));
    stage.happens(waiting.clone());
    assert!(told(&mut stream).last().is_some_and(|last| last.contains("event: transition")));
    waiting.checks[0] = Arc::new(run_again(ok("fine"), 3));
    stage.happens(waiting);
    let pieces = told(&mut stream);
    assert_eq!(pieces[pieces.len() - 1], "id: …-303\nevent: snapshot\ndata: …\n\n");
}

#[tokio::test(start_paused = true)]
async fn thousands_that_go_on_failing_are_not_looked_at_while_one_of_them_is_run() {
    const COUNT: usize = 2000;
    let names = (0..COUNT).map(|index| format!("c{index}"));
    let mut failing = snapshot(names.map(|name| (check(&name), error("refused"))).collect());
    // As the scheduler says it.
    let fresh =
        |snapshot: &mut Snapshot| snapshot.checks.stay_fresh_until(now().moment + Duration::from_secs(9), false);
    fresh(&mut failing);
    let stage = StreamServer::of(&failing);
    let mut stream = stage.stream(None);
    assert_eq!(told(&mut stream), [SNAPSHOT]);
    stage.happens(failing.clone());
    for index in failing.plan.indices().take(50) {
        let next = run_again(error("refused again"), 1);
        failing.checks[index] = Arc::new(CheckState { failures: 2, ..next });
        fresh(&mut failing);
        let (looks, ()) = looks_of(|| stage.happens(failing.clone()));
        assert!(looks < 20, "{looks}");
        let pieces = told(&mut stream);
        assert!(pieces.len() == 1 && pieces[0].contains("event: tick"), "{pieces:?}");
    }
    // One that recovers is a root cause no more.
    failing.checks[CheckIndex::new(7)] = Arc::new(run_again(ok("fine"), 2));
    fresh(&mut failing);
    let (looks, ()) = looks_of(|| stage.happens(failing));
    assert!(looks >= COUNT, "{looks}");
    assert!(next(&mut stream).is_some());
    assert!(
        next(&mut stream).is_some_and(|event| String::from_utf8_lossy(&event).contains("root_causes_gone\":[\"c7\"]"))
    );
}
