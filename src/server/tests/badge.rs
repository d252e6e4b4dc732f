//! Badges: which word for whom, and in which colour.

use std::sync::Arc;

use hyper::Method;

use super::{app, ask, body, get};
use crate::base::clock::Timestamp;
use crate::history::ledger::Availability;
use crate::metrics::testing::{answering, degraded, error, ok, pending, skipped, snapshot, stale};
use crate::model::plan::Details;
use crate::model::plan::testing::check;
use crate::model::snapshot::Snapshot;
use crate::server::App;
use crate::server::answer::Answer;

/// The code, the title and the colour of the word.
fn shown(answer: &Answer) -> String {
    assert_eq!((answer.content_type, answer.verdict), ("image/svg+xml", None));
    let svg = body(answer);
    let between = |from: &str, to: &str| svg.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    format!("{} {} {}", answer.code.as_u16(), between("<title>", "</title>"), between("rx=\"3\" fill=\"", "\""))
}

fn badge(snapshot: &Snapshot, uri: &str) -> String {
    shown(&get(snapshot, uri))
}

#[test]
fn a_check_is_shown_in_a_word_and_a_colour() {
    let states = [
        ("a", ok("fine"), "200 a: ok #1a7f37"),
        ("b", degraded("slow"), "200 b: degraded #9a6700"),
        ("c", error("gone"), "200 c: error #cf222e"),
        ("d", skipped(), "200 d: skipped #66707b"),
        ("e", pending(), "200 e: pending #0969da"),
        ("f", stale(), "200 f: stale #8250df"),
    ];
    let shop = snapshot(states.iter().map(|(name, state, _)| (check(name), state.clone())).collect());
    for (name, _, expected) in states {
        assert_eq!(badge(&shop, &format!("/badge/{name}.svg")), expected);
    }
}

#[test]
fn the_whole_is_shown_as_healthz_judges_it() {
    let one = |state| snapshot(vec![(check("db"), state)]);
    assert_eq!(badge(&snapshot(vec![]), "/badge/overall.svg"), "200 overall: ok #1a7f37");
    assert_eq!(badge(&one(degraded("slow")), "/badge/overall.svg"), "200 overall: degraded #9a6700");
    assert_eq!(badge(&one(error("gone")), "/badge/overall.svg"), "200 overall: error #cf222e");
    let draining = |state| Snapshot { draining: true, ..one(state) };
    assert_eq!(badge(&draining(ok("fine")), "/badge/overall.svg"), "200 overall: draining #0969da");
    assert_eq!(badge(&draining(error("gone")), "/badge/overall.svg"), "200 overall: error #cf222e");
    let mut without = snapshot(vec![]);
    without.configuration.missing = Some("no such file".into());
    assert_eq!(badge(&without, "/badge/overall.svg"), "200 overall: error #cf222e");
}

#[test]
fn a_check_that_has_the_name_of_the_whole_is_asked_for_as_a_check() {
    let shop = snapshot(vec![(check("overall"), ok("fine")), (check("db"), error("gone"))]);
    assert_eq!(badge(&shop, "/badge/overall.svg"), "200 overall: error #cf222e");
    assert_eq!(badge(&shop, "/badge/overall.svg?of=check"), "200 overall: ok #1a7f37");
    assert_eq!(badge(&shop, "/badge/db.svg?of=check"), "200 db: error #cf222e");
    let without = snapshot(vec![]);
    assert_eq!(badge(&without, "/badge/overall.svg?of=check"), "404 overall: unknown #66707b");
}

#[test]
fn names_with_slashes_and_dots_are_found_as_they_are_and_escaped() {
    let shop = snapshot(vec![(check("internal_api/user"), ok("fine")), (check("db.svg"), ok("fine"))]);
    for uri in ["/badge/internal_api/user.svg", "/badge/internal_api%2Fuser.svg", "/badge/internal%5Fapi%2fuser.svg"] {
        assert_eq!(badge(&shop, uri), "200 internal_api/user: ok #1a7f37");
    }
    assert_eq!(badge(&shop, "/badge/db.svg.svg"), "200 db.svg: ok #1a7f37");
}

#[test]
fn an_unknown_check_is_shown_as_unknown_and_not_found() {
    let shop = snapshot(vec![(check("db"), ok("fine"))]);
    assert_eq!(badge(&shop, "/badge/Db.svg"), "404 Db: unknown #66707b");
    assert_eq!(badge(&shop, "/badge/%3Cscript%3E%0a%ff.svg"), "404 &lt;script&gt;\u{fffd}: unknown #66707b");
    assert_eq!(badge(&shop, "/badge/.svg"), "404 : unknown #66707b");
    let plain = get(&shop, "/badge/db");
    assert_eq!((plain.code.as_u16(), plain.content_type), (404, "text/plain; charset=utf-8"));
}

#[test]
fn a_label_of_ones_own_stands_in_place_of_the_name() {
    let shop = snapshot(vec![(check("db"), ok("fine"))]);
    assert_eq!(badge(&shop, "/badge/db.svg?label=Orders%20%26%20more"), "200 Orders &amp; more: ok #1a7f37");
    assert_eq!(badge(&shop, "/badge/db.svg?label=%E6%95%B0%0D%0A%00%E6%8D%AE"), "200 数据: ok #1a7f37");
    assert_eq!(badge(&shop, "/badge/db.svg?label="), "200 db: ok #1a7f37");
    let long = badge(&shop, &format!("/badge/db.svg?label={}", "x".repeat(5000)));
    assert_eq!(long, format!("200 {}…: ok #1a7f37", "x".repeat(99)));
}

/// Up for 75 of the last 100 seconds; an hour is known in all.
fn watched() -> Arc<App> {
    let shop = snapshot(vec![(check("db"), ok("fine")), (check("new"), pending())]);
    let app = app(&shop).0;
    let at = |seconds: i64| Timestamp::from_unix_seconds(1_000_000 + seconds);
    app.history.declare(&shop.plan, at(0));
    let db = &shop.plan.checks[0].name;
    app.history.transition(db, Availability::Up, at(0));
    app.history.transition(db, Availability::Down, at(1));
    app.history.transition(db, Availability::Degraded, at(2));
    for second in 3..=4000 {
        app.history.alive(at(second));
    }
    app
}

#[test]
fn uptime_is_that_of_the_last_day_as_far_as_it_is_known() {
    let app = watched();
    let of = |uri: &str| shown(&ask(&app, &Method::GET, uri, &[]));
    let known = "99.97% in the last 24h, of which 4.62% is known #1a7f37";
    assert_eq!(of("/badge/db.svg?metric=uptime"), format!("200 db uptime: {known}"));
    assert_eq!(of("/badge/db.svg?metric=uptime&label=Orders"), format!("200 Orders: {known}"));
    assert_eq!(of("/badge/new.svg?metric=uptime"), "200 new uptime: unknown #66707b");
    assert_eq!(of("/badge/gone.svg?metric=uptime"), "404 gone: unknown #66707b");
    assert_eq!(of("/badge/overall.svg?metric=uptime"), "400 overall: no such metric #66707b");
    assert_eq!(of("/badge/db.svg?metric=latency"), "400 db: no such metric #66707b");
}

#[test]
fn with_names_alone_there_are_badges_and_without_details_none() {
    let shop = snapshot(vec![(check("db"), error("secret"))]);
    let names = answering(shop.clone(), |answers| answers.details = Details::Names);
    assert_eq!(badge(&names, "/badge/db.svg"), "200 db: error #cf222e");
    let none = answering(shop, |answers| answers.details = Details::None);
    for uri in ["/badge/db.svg", "/badge/overall.svg", "/badge/nothing.svg", "/badge/db.svg?metric=uptime"] {
        let answer = get(&none, uri);
        assert_eq!((answer.code.as_u16(), answer.content_type), (404, "text/plain; charset=utf-8"), "{uri}");
    }
}

#[test]
fn badges_are_only_looked_at() {
    let app = watched();
    for uri in ["/badge/db.svg", "/badge/overall.svg", "/badge/db.svg?metric=uptime"] {
        for method in [Method::HEAD, Method::OPTIONS] {
            assert_eq!(ask(&app, &method, uri, &[]).code, 200, "{method} {uri}");
        }
        let refused = ask(&app, &Method::POST, uri, &[]);
        assert_eq!((refused.code.as_u16(), refused.allow), (405, Some("GET, HEAD, OPTIONS")), "{uri}");
    }
}
