//! The stream of what happens: what is told, in which order, and to whom.

mod outages;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Body as _;

use super::{RecordedCalls, app, incoming};
use crate::base::clock::{Clock, Moment, Reading};
use crate::metrics::testing::{answering, error, now, ok, snapshot};
use crate::model::plan::Details;
use crate::model::plan::testing::check;
use crate::model::snapshot::Snapshot;
use crate::model::state::{CheckState, State};
use crate::server::App;
use crate::server::answer::Answer;
use crate::server::answer_memory::AnswerMemory;
use crate::server::audience::Audience;
use crate::server::body::Body;
use crate::server::long_answers::LongAnswers;
use crate::server::request::ConnectionAddresses;
use crate::server::stream::{MOST, Streams, event_stream};

struct StreamServer {
    app: Arc<App>,
    streams: Arc<Streams>,
    _told: Arc<RecordedCalls>,
}

impl StreamServer {
    fn of(snapshot: &Snapshot) -> Self {
        let (app, told) = app(snapshot);
        let mut app = Arc::into_inner(app).unwrap();
        app.clock = Clock::tokio();
        Self { app: Arc::new(app), streams: Arc::default(), _told: told }
    }

    /// The same with a lane for long answers, as in the daemon.
    fn with_lane(snapshot: &Snapshot, under_way: &AnswerMemory) -> Self {
        let long = LongAnswers::start().unwrap();
        Self { streams: Arc::new(Streams::new(long, under_way.clone())), ..Self::of(snapshot) }
    }

    /// Holds the lane for long answers until what is returned is dropped.
    fn holding_the_lane(&self) -> impl Sized {
        let (held, until) = std::sync::mpsc::channel::<()>();
        let holding = self
            .streams
            .long
            .begin(async move {
                let _ = until.recv();
            })
            .ok();
        (held, holding)
    }

    fn open(&self, last: Option<&str>) -> Answer {
        let mut headers = hyper::HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", last.parse().unwrap());
        }
        let home = "127.0.0.1".parse().unwrap();
        let (method, uri, ends) =
            (&Method::GET, &"/v1/stream".parse().unwrap(), ConnectionAddresses { peer: home, local: home });
        let ask = incoming(method, hyper::Version::HTTP_11, uri, &headers, ends);
        let published = self.app.board.latest();
        let audience = Audience::of(&ask, &self.app.board, &published.plan.answers);
        event_stream(&ask, &self.app, &published, &self.streams, audience)
    }

    fn stream(&self, last: Option<&str>) -> Body {
        let answer = self.open(last);
        assert_eq!((answer.code.as_u16(), answer.content_type), (200, "text/event-stream"));
        answer.body
    }

    fn happens(&self, snapshot: Snapshot) {
        let _ = self.streams.feed.observe(Arc::new(snapshot), now());
    }
}

/// What the stream has to tell at once; `…` stands for the number of the process, for the json of a snapshot, and for
/// how the endpoints stand.
fn told(body: &mut Body) -> Vec<String> {
    let mut pieces = Vec::new();
    while let Some(piece) = next(body) {
        let text = String::from_utf8(piece.to_vec()).unwrap();
        let text = match text.split_once(",\"endpoints\":[") {
            Some((head, _)) => format!("{head},…}}\n\n"),
            None => text,
        };
        let text = match text.split_once("\ndata: {\"status\"") {
            Some((head, _)) => format!("{head}\ndata: …\n\n"),
            None => text,
        };
        pieces.push(text.replacen("1767225600000000-", "…-", 1));
    }
    pieces
}

fn next(body: &mut Body) -> Option<Bytes> {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(body).poll_frame(&mut context) {
        Poll::Ready(Some(frame)) => frame.unwrap().into_data().ok(),
        Poll::Ready(None) | Poll::Pending => None,
    }
}

fn is_over(body: &mut Body) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(std::pin::Pin::new(body).poll_frame(&mut context), Poll::Ready(None))
}

fn of(states: [CheckState; 2]) -> Snapshot {
    let [db, cache] = states;
    snapshot(vec![(check("db"), db), (check("cache"), cache)])
}

/// The same a second later, with the plan of `first`.
fn later(first: &Snapshot, states: [CheckState; 2]) -> Snapshot {
    let mut next = of(states);
    next.plan = Arc::clone(&first.plan);
    for index in next.plan.indices() {
        let check = Arc::make_mut(&mut next.checks[index]);
        check.since = Moment::at(Duration::from_secs(1000));
    }
    next
}

fn run_again(mut state: CheckState, seconds: u64) -> CheckState {
    let last = Arc::make_mut(state.last.as_mut().unwrap());
    last.at = Moment::at(Duration::from_secs(1000 + seconds));
    state.fresh_at = Some(last.at);
    state
}

const SNAPSHOT: &str = "id: …-0\nevent: snapshot\ndata: …\n\n";

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_the_whole_and_goes_on_with_what_happens() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    let body = next(&mut stream).unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.starts_with("id: 1767225600000000-0\nevent: snapshot\ndata: {\"status\":\"ok\",\"data\":{"), "{text}");
    assert_eq!(text.lines().count(), 4);
    stage.happens(later(&first, [run_again(error("connection refused"), 1), ok("fine")]));
    let tick = "id: …-1\nevent: tick\ndata: {\"name\":\"db\",\"created_at\":1795256995,\"outcome\":\"fail\",\
                \"response_time_ms\":12,\"reason\":\"connect\",\"message\":\"connection refused\",\"consecutive_failures\":1}\n\n";
    let transition = "id: …-2\nevent: transition\ndata: {\"name\":\"db\",\"created_at\":1795256900,\"from\":\"ok\",\
                      \"to\":\"error\",\"status\":\"error\",\"message\":\"connection refused\",…}\n\n";
    assert_eq!(told(&mut stream), [tick, transition]);
    stage.happens(later(&first, [run_again(error("connection refused"), 1), ok("fine")]));
    assert_eq!(told(&mut stream), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_changes_no_state_says_what_is_said_of_the_check_from_then_on() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    while next(&mut stream).is_some() {}
    let faltering = CheckState { state: State::Ok, ..run_again(error("connection refused"), 1) };
    stage.happens(later(&first, [faltering, ok("fine")]));
    let [tick] = told(&mut stream).try_into().unwrap();
    let said = "\"message\":\"connection refused\",\"check_message\":\"connection refused (failure 1 of 1)\"";
    assert!(tick.contains(said), "{tick}");
}

/// The verdicts that the last piece tells, if it tells any.
fn verdicts(body: &mut Body) -> Option<String> {
    let mut last = None;
    while let Some(piece) = next(body) {
        let text = String::from_utf8(piece.to_vec()).unwrap();
        let json: serde_json::Value = serde_json::from_str(text.split_once("data: ").unwrap().1).unwrap();
        last = json["endpoints"].as_array().map(|endpoints| {
            let word = |endpoint: &serde_json::Value| endpoint["verdict"].as_str().unwrap().to_owned();
            endpoints.iter().map(word).collect::<Vec<_>>().join(" ")
        });
    }
    last
}

#[tokio::test(start_paused = true)]
async fn the_last_thing_that_happens_tells_how_the_endpoints_stand_from_then_on() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    assert_eq!(verdicts(&mut stream).as_deref(), Some("ok ok ok ok"));
    stage.happens(later(&first, [run_again(ok("fine"), 1), ok("fine")]));
    assert_eq!(verdicts(&mut stream), None);
    stage.happens(later(&first, [run_again(error("connection refused"), 2), run_again(ok("fine"), 2)]));
    assert_eq!(verdicts(&mut stream).as_deref(), Some("ok error degraded error"));
    stage.happens(later(&first, [run_again(error("connection refused"), 3), run_again(ok("fine"), 2)]));
    assert_eq!(verdicts(&mut stream), None);
    // What nothing else tells is told by the whole.
    let mut started = later(&first, [run_again(error("connection refused"), 3), run_again(ok("fine"), 2)]);
    Arc::make_mut(&mut started.checks[0]).seen_once = false;
    stage.happens(started);
    assert_eq!(verdicts(&mut stream).as_deref(), Some("ok error error error"));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_becomes_too_old_is_a_transition() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    assert_eq!(told(&mut stream), [SNAPSHOT]);
    let reading = Reading { moment: now().moment + Duration::from_secs(40), ..now() };
    let mut stale = first.clone();
    let mut fresh = (*stale.checks[1]).clone();
    fresh.fresh_at = Some(reading.moment);
    stale.checks[1] = Arc::new(fresh);
    Arc::make_mut(&mut stale.checks[0]).no_verdict = Some("no local port was left for the run".into());
    let _ = stage.streams.feed.observe(Arc::new(stale), reading);
    assert_eq!(
        told(&mut stream),
        [
            "id: …-1\nevent: transition\ndata: {\"name\":\"db\",\"created_at\":1795257000,\"from\":\"ok\",\"to\":\"stale\",\
          \"status\":\"error\",\"message\":\"last result 45s ago; no verdict since: no local port was left for the run\",…}\n\n"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_gets_what_it_missed() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    assert_eq!(told(&mut stage.stream(None)), [SNAPSHOT]);
    for seconds in 1..=3 {
        stage.happens(later(&first, [run_again(ok("fine"), seconds), ok("fine")]));
    }
    let ids = |last: &str| -> Vec<String> {
        told(&mut stage.stream(Some(last)))
            .iter()
            .map(|piece| piece.lines().take(2).collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(ids("1767225600000000-1"), ["id: …-2 event: tick", "id: …-3 event: tick"]);
    assert_eq!(ids("1767225600000000-3"), [""; 0]);
    for unknown in ["1767225600000000-4", "1767225599000000-1", "7", "", "-", "x-y", "1767225600000000--1"] {
        assert_eq!(ids(unknown), ["id: …-3 event: snapshot"], "{unknown}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_too_late_sees_the_whole_anew() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let _begun = stage.stream(None);
    for seconds in 1..=1002 {
        stage.happens(later(&first, [run_again(ok("fine"), seconds), ok("fine")]));
    }
    assert_eq!(told(&mut stage.stream(Some("1767225600000000-1"))), ["id: …-1002\nevent: snapshot\ndata: …\n\n"]);
    assert_eq!(told(&mut stage.stream(Some("1767225600000000-2"))).len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_cut_with_the_reason() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let (mut slow, mut quick) = (stage.stream(None), stage.stream(None));
    assert_eq!((told(&mut slow).len(), told(&mut quick).len()), (1, 1));
    for seconds in 1..=1001 {
        stage.happens(later(&first, [run_again(ok("fine"), seconds), ok("fine")]));
        assert_eq!(told(&mut quick).len(), 1);
    }
    let reason = "too slow: more than 1000 events or 512 KiB behind; connect again";
    assert_eq!(told(&mut slow), [format!("event: cut\ndata: {{\"reason\":\"{reason}\"}}\n\n")]);
    assert!(is_over(&mut slow) && !is_over(&mut quick));
}

#[tokio::test(start_paused = true)]
async fn the_feed_is_bounded_in_bytes_as_well() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut slow = stage.stream(None);
    assert_eq!(told(&mut slow).len(), 1);
    let long = "x".repeat(10_000);
    for seconds in 1..=60 {
        stage.happens(later(&first, [run_again(ok(&long), seconds), ok("fine")]));
    }
    assert!(told(&mut slow)[0].starts_with("event: cut\n"));
}

#[tokio::test(start_paused = true)]
async fn another_plan_or_a_drain_shows_the_whole_anew() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    assert_eq!(told(&mut stream), [SNAPSHOT]);
    stage.happens(Snapshot { draining: true, ..first.clone() });
    assert_eq!(told(&mut stream), ["id: …-1\nevent: snapshot\ndata: …\n\n"]);
    let fewer = snapshot(vec![(check("cache"), run_again(ok("fine"), 1))]);
    stage.happens(Snapshot { draining: true, ..fewer });
    let pieces = told(&mut stream);
    assert!(pieces[0].starts_with("id: …-2\nevent: tick\ndata: {\"name\":\"cache\","), "{pieces:?}");
    assert_eq!(pieces[1..], ["id: …-3\nevent: snapshot\ndata: …\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn with_names_alone_messages_are_withheld_and_so_is_what_was_told_before() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::of(&first);
    let mut stream = stage.stream(None);
    assert_eq!(told(&mut stream), [SNAPSHOT]);
    stage.happens(later(&first, [run_again(error("secret"), 1), ok("fine")]));
    let names = answering(first, |answers| answers.details = Details::Names);
    stage.happens(names.clone());
    let pieces = told(&mut stream);
    assert_eq!(pieces.len(), 1, "{pieces:?}");
    assert!(pieces[0].contains("event: snapshot"));
    stage.happens(later(&names, [run_again(error("secret"), 2), ok("fine")]));
    let pieces = told(&mut stream);
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|piece| piece.contains("\"message\":\"withheld\"")), "{pieces:?}");
    stage.happens(answering(names, |answers| answers.details = Details::None));
    let reason = "the configuration has `details: none` now";
    assert_eq!(told(&mut stream), [format!("event: cut\ndata: {{\"reason\":\"{reason}\"}}\n\n")]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_nothing_to_tell_shows_every_fifteen_seconds_that_it_lives() {
    let stage = StreamServer::of(&of([ok("fine"), ok("fine")]));
    let began = tokio::time::Instant::now();
    let mut stream = stage.stream(None);
    assert_eq!(told(&mut stream), [SNAPSHOT]);
    for seconds in [15, 30] {
        let frame = stream.frame().await.unwrap().unwrap();
        assert_eq!((&frame.into_data().unwrap()[..], began.elapsed().as_secs()), (&b":\n\n"[..], seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_than_two_hundred_streams() {
    let stage = StreamServer::of(&of([ok("fine"), ok("fine")]));
    let mut streams: Vec<Body> = (0..MOST).map(|_| stage.stream(None)).collect();
    let refused = stage.open(None);
    assert_eq!(super::show(&refused), "429 -: 200 streams are open; end one of them\n");
    // The whole is rendered once for all of them.
    let wholes: Vec<Bytes> = streams.iter_mut().map(|stream| next(stream).unwrap()).collect();
    assert!(wholes.iter().all(|whole| whole.as_ptr() == wholes[0].as_ptr()));
    streams.pop();
    assert_eq!(stage.open(None).code, 200);
}

/// What every stream sends next, all of which wait for the lane for long answers at once.
async fn all_at_once(stage: &StreamServer, streams: &mut [Body]) -> Vec<Bytes> {
    let held = stage.holding_the_lane();
    assert!(streams.iter_mut().all(|stream| next(stream).is_none()), "they wait for the lane");
    drop(held);
    let mut pieces = Vec::new();
    for stream in streams {
        pieces.push(stream.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    pieces
}

#[tokio::test]
async fn the_whole_is_rendered_once_for_all_who_wait_for_it_at_once() {
    let first = of([ok("fine"), ok("fine")]);
    let stage = StreamServer::with_lane(&first, &AnswerMemory::default());
    let mut streams: Vec<Body> = (0..MOST).map(|_| stage.stream(None)).collect();
    let wholes = all_at_once(&stage, &mut streams).await;
    assert!(wholes.iter().all(|whole| whole.as_ptr() == wholes[0].as_ptr()), "two hundred connect");
    stage.happens(Snapshot { draining: true, ..first });
    let anew = all_at_once(&stage, &mut streams).await;
    assert!(anew[0] != wholes[0] && anew.iter().all(|whole| whole.as_ptr() == anew[0].as_ptr()), "a drain");
}

#[tokio::test]
async fn a_whole_that_a_stream_sends_counts_as_a_long_answer_until_it_is_taken() {
    let message = "x".repeat(9 << 20);
    let first = of([ok(&message), ok("fine")]);
    let under_way = AnswerMemory::default();
    let stage = StreamServer::with_lane(&first, &under_way);
    let whole = stage.stream(None).frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(under_way.excess(), 0, "it is kept for the next one");
    stage.happens(answering(first, |answers| answers.details = Details::Names));
    assert!(under_way.excess() > 0);
    drop(whole);
    assert_eq!(under_way.excess(), 0);
}
