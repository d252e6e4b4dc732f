//! Requests and their exact answers, from snapshots made by hand.

mod badge;
mod control;
mod daemon;
mod gates;
mod habits;
mod healthz;
mod load;
mod page;
mod stream;
mod v1;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri, Version};

use super::answer::{Answer, RouteResult};
use super::listen::ListenerRoutes;
use super::query::Query;
use super::request::{ConnectionAddresses, IncomingRequest};
use super::sent_body::SentBody;
use super::{App, Control, StartUps, grpc, respond};
use crate::base::clock::Clock;
use crate::base::clock::Moment;
use crate::history::answer::Keep;
use crate::history::{History, Settings};
use crate::metrics::testing::now;
use crate::metrics::{DaemonMetrics, SchedulerLiveness};
use crate::model::beat::{Beat, BeatStatus};
use crate::model::route::{self, RouteSet};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::ContainerNews;
use crate::store::board;

const KEEP: Keep = Keep { retention: Duration::from_secs(86_400), max_size: 1 << 20, max_memory: 1 << 20 };

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(super) struct RecordedCalls(Mutex<Vec<String>>);

impl RecordedCalls {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct RecordingControl(Arc<RecordedCalls>);

/// A beat as it was told: its check, and what the app says of itself where it says something.
fn told_of(check: &str, beat: &Beat) -> String {
    match (beat.status, &beat.message) {
        (BeatStatus::Ok, None) => format!("beat {check}"),
        (status, message) => format!("beat {check} {}: {}", status.label(), message.as_deref().unwrap_or_default()),
    }
}

impl Control for RecordingControl {
    fn start_up(&self, news: ContainerNews, at: Moment) {
        self.0.0.lock().unwrap().push(format!("{news:?} at {}s", at.since_boot().as_secs()));
    }

    fn drain(&self) {
        self.0.0.lock().unwrap().push("drain".into());
    }

    fn undrain(&self) -> bool {
        self.0.0.lock().unwrap().push("undrain".into());
        true
    }

    fn beat(&self, check: &str, beat: Beat) -> bool {
        self.0.0.lock().unwrap().push(told_of(check, &beat));
        check.starts_with("loop")
    }
}

pub(super) fn teller(told: &Arc<RecordedCalls>) -> Box<dyn Control> {
    Box::new(RecordingControl(Arc::clone(told)))
}

pub(super) fn app(snapshot: &Snapshot) -> (Arc<App>, Arc<RecordedCalls>) {
    let told = Arc::new(RecordedCalls::default());
    let app = App {
        board: board(snapshot.clone()).1,
        clock: Clock::Machine,
        daemon_metrics: Arc::new(DaemonMetrics::default()),
        history: History::start(Settings { path: None, keep: KEEP, pod: None, boot: None }, now().wall),
        liveness: Arc::new(SchedulerLiveness::default()),
        start_ups: Arc::new(StartUps::new(Moment::default())),
        control: teller(&told),
    };
    (Arc::new(app), told)
}

/// Asks from 127.0.0.1.
pub(super) fn ask(app: &Arc<App>, method: &Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let home = "127.0.0.1".parse().unwrap();
    ask_from(app, ConnectionAddresses { peer: home, local: home }, method, uri, headers)
}

pub(super) fn ask_from(
    app: &Arc<App>,
    ends: ConnectionAddresses,
    method: &Method,
    uri: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let uri: Uri = uri.parse().unwrap();
    let headers = header_map(headers);
    let (route, name) = route::find(uri.path());
    let ask = incoming(method, Version::HTTP_11, &uri, &headers, ends);
    finished(respond::answer(&app.board.latest(), &ask, app, &Arc::default(), route, name)).fit_for(method)
}

/// A request without a body, at an address with all routes.
pub(super) fn incoming<'r>(
    method: &'r Method,
    version: Version,
    uri: &'r Uri,
    headers: &'r HeaderMap,
    ends: ConnectionAddresses,
) -> IncomingRequest<'r> {
    static ADDRESS: LazyLock<ListenerRoutes> = LazyLock::new(|| ListenerRoutes::of(RouteSet::All));
    let (query, routes, address) = (Query::new(uri.query()), RouteSet::All, &*ADDRESS);
    let (body, reading) = (&SentBody::Empty, now());
    IncomingRequest { method, version, uri, query, headers, ends, routes, address, body, reading }
}

/// Calls a method of gRPC from 127.0.0.1 with `message`: what it says of the service, or why it fails.
pub(super) fn call(app: &Arc<App>, path: &str, headers: &[(&str, &str)], message: &[u8]) -> String {
    use http_body_util::BodyExt as _;

    let home = "127.0.0.1".parse().unwrap();
    let ends = ConnectionAddresses { peer: home, local: home };
    let uri: Uri = path.parse().unwrap();
    let headers = header_map(headers);
    let (route, _) = route::find(path);
    let call = incoming(&Method::POST, Version::HTTP_2, &uri, &headers, ends);
    let mut body = match grpc::answer(&call, app, &Arc::default(), route, Ok(message.to_vec().into())) {
        Ok(body) => body,
        Err(error) => return format!("{error:?}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let said = runtime.block_on(body.frame()).unwrap().unwrap().into_data().unwrap();
    match said[..] {
        [0, 0, 0, 0, 2, 8, 1] => "SERVING".into(),
        [0, 0, 0, 0, 2, 8, 2] => "NOT_SERVING".into(),
        _ => format!("{said:?}"),
    }
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let header =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    headers.iter().map(header).collect()
}

/// History in memory answers at once.
fn finished(reply: RouteResult) -> Answer {
    match reply {
        RouteResult::Now(answer) => answer,
        RouteResult::Later(coming) => {
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(coming)
        }
    }
}

pub(super) fn get(snapshot: &Snapshot, uri: &str) -> Answer {
    ask(&app(snapshot).0, &Method::GET, uri, &[])
}

pub(super) fn body(answer: &Answer) -> String {
    String::from_utf8(answer.body.bytes().expect("no stream").to_vec()).unwrap()
}

/// The code, the verdict and the body: `200 ok: …`.
pub(super) fn show(answer: &Answer) -> String {
    let verdict = answer.verdict.map_or("-", |verdict| verdict.label());
    format!("{} {verdict}: {}", answer.code.as_u16(), body(answer))
}

/// Asserts that `uri` answers exactly `expected`, as [`show`] writes it.
#[track_caller]
pub(super) fn check_answer(snapshot: &Snapshot, uri: &str, expected: &str) {
    assert_eq!(show(&get(snapshot, uri)), expected, "GET {uri}");
}
