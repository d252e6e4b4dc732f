//! Many clients at once: what is rendered once for all of them, and who goes first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::header::{CONTENT_ENCODING, VARY};
use tokio::task::JoinSet;

use super::{KEEP, RecordedCalls, teller};
use crate::base::clock::{Clock, Moment};
use crate::history::{History, Settings};
use crate::metrics::testing::{error, now, ok, snapshot};
use crate::metrics::{DaemonMetrics, SchedulerLiveness};
use crate::model::plan::testing::check;
use crate::model::route::RouteSet;
use crate::model::snapshot::Snapshot;
use crate::server::listen::ListenerRoutes;
use crate::server::request::ConnectionAddresses;
use crate::server::respond::{Responding, respond};
use crate::server::sent_body::SentBody;
use crate::server::shared::Shared;
use crate::server::{App, StartUps};
use crate::store::{Recorder, board};

const LONG: [&str; 11] = [
    "/metrics",
    "/healthz",
    "/healthz?format=json",
    "/healthz?format=health%2Bjson",
    "/healthz?format=updown",
    "/health",
    "/v1/services",
    "/v1/services?include=history",
    "/v1/services/1/ticks",
    "/badge/overall.svg",
    "/readyz?format=json",
];

/// A server without sockets, whose time is tokio's.
struct LoadServer {
    app: Arc<App>,
    shared: Arc<Shared>,
    recorder: Recorder,
}

impl LoadServer {
    fn of(snapshot: Snapshot) -> Self {
        let (recorder, board) = board(snapshot);
        let app = App {
            board,
            clock: Clock::tokio(),
            daemon_metrics: Arc::new(DaemonMetrics::default()),
            history: History::start(Settings { path: None, keep: KEEP, pod: None, boot: None }, now().wall),
            liveness: Arc::new(SchedulerLiveness::default()),
            start_ups: Arc::new(StartUps::new(Moment::default())),
            control: teller(&Arc::new(RecordedCalls::default())),
        };
        Self { app: Arc::new(app), shared: Arc::default(), recorder }
    }

    async fn ask(&self, uri: &str, headers: &[(&str, &str)]) -> hyper::Response<crate::server::body::Body> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let home = "127.0.0.1".parse().unwrap();
        match respond(
            &self.app,
            &self.shared,
            ConnectionAddresses { peer: home, local: home },
            &ListenerRoutes::of(RouteSet::All),
            &head,
            &SentBody::Empty,
        ) {
            Responding::Now(response, _) => response,
            Responding::Later(response) => {
                // The history answers from a thread of its own: meanwhile paused time must not run ahead, which it does
                // unless something blocks.
                let (release, held) = std::sync::mpsc::channel::<()>();
                let blocking = tokio::task::spawn_blocking(move || held.recv().is_ok());
                let response = response.await;
                drop(release);
                blocking.await.unwrap();
                response
            }
        }
    }

    async fn body(&self, uri: &str, headers: &[(&str, &str)]) -> Bytes {
        self.ask(uri, headers).await.into_body().bytes().expect("a short one").clone()
    }
}

/// One check that was seen at the moment 0 of tokio's clock, and is stale after 32 s.
fn seen_at_the_start(mut state: crate::model::state::CheckState) -> Snapshot {
    state.fresh_at = Some(Moment::default());
    snapshot(vec![(check("db"), state)])
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_rendered_once_for_all_who_ask() {
    let mut stage = LoadServer::of(seen_at_the_start(ok("ok")));
    let gzip = &[("accept-encoding", "gzip")][..];
    let open = &[("accept", "application/openmetrics-text")][..];
    for (uri, headers) in LONG[..8].iter().map(|uri| (*uri, &[][..])).chain([("/metrics", gzip), ("/metrics", open)]) {
        let first = stage.body(uri, headers).await;
        tokio::time::advance(Duration::from_millis(900)).await;
        let again = stage.body(uri, headers).await;
        assert_eq!(again.as_ptr(), first.as_ptr(), "{uri} while nothing changes");
        tokio::time::advance(Duration::from_millis(200)).await;
        let later = stage.body(uri, headers).await;
        assert_ne!(later.as_ptr(), first.as_ptr(), "{uri} a second later");
        let changed = if stage.recorder.latest().draining { ok("ok") } else { error("connection refused") };
        let draining = !stage.recorder.latest().draining;
        stage.recorder.publish(Snapshot { draining, ..seen_at_the_start(changed) });
        assert_ne!(stage.body(uri, headers).await.as_ptr(), later.as_ptr(), "{uri} after a change");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_kept_never_hides_that_a_result_has_become_too_old() {
    let stage = LoadServer::of(seen_at_the_start(ok("ok")));
    tokio::time::advance(Duration::from_millis(31_900)).await;
    for uri in ["/healthz", "/health", "/healthz?format=json"] {
        assert_eq!(stage.ask(uri, &[]).await.status(), 200, "{uri}");
    }
    tokio::time::advance(Duration::from_millis(200)).await;
    for uri in ["/readyz", "/healthz", "/health", "/healthz?format=json"] {
        assert_eq!(stage.ask(uri, &[]).await.status(), 503, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_figures_of_the_process_are_looked_at_once_a_second() {
    let mut stage = LoadServer::of(seen_at_the_start(ok("ok")));
    let cpu = |text: Bytes| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.lines().find(|line| line.starts_with("process_cpu_seconds_total ")).unwrap().to_owned()
    };
    let first = cpu(stage.body("/metrics", &[]).await);
    stage.recorder.publish(seen_at_the_start(error("connection refused")));
    assert_eq!(cpu(stage.body("/metrics", &[]).await), first);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_ne!(cpu(stage.body("/metrics", &[]).await), first);
}

#[tokio::test(start_paused = true)]
async fn that_kubelet_asks_for_the_first_time_shows_at_once() {
    let stage = LoadServer::of(seen_at_the_start(ok("ok")));
    let asked = |text: Bytes| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.contains("probelet_gate_last_asked_timestamp_seconds{endpoint=\"livez\"}")
    };
    assert!(!asked(stage.body("/metrics", &[]).await));
    stage.ask("/livez", &[("user-agent", "kube-probe/1.37")]).await;
    assert!(asked(stage.body("/metrics", &[]).await));
}

#[tokio::test]
async fn gates_are_answered_before_those_who_have_asked_for_more_before_them() {
    let stage = Arc::new(LoadServer::of(seen_at_the_start(ok("ok"))));
    for crowd in LONG {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let gates =
            ["/livez", "/readyz", "/startupz", "/-/healthy", "/alive", "/ready", "/readyz?verbose", "/livez/db"];
        for uri in [crowd; 100].into_iter().chain(gates) {
            let (stage, order) = (Arc::clone(&stage), Arc::clone(&order));
            tasks.spawn(async move {
                stage.ask(uri, &[]).await;
                order.lock().unwrap().push(uri);
            });
        }
        while tasks.join_next().await.is_some() {}
        assert_eq!(order.lock().unwrap()[..gates.len()], gates, "beside {crowd}");
    }
}

#[tokio::test]
async fn metrics_are_compressed_for_those_who_ask_for_it() {
    use std::io::Read;
    let stage = LoadServer::of(seen_at_the_start(ok("ok")));
    let plain = stage.ask("/metrics", &[]).await;
    assert_eq!((plain.headers().get(CONTENT_ENCODING), &plain.headers()[VARY]), (None, &"Accept".parse().unwrap()));
    let response = stage.ask("/metrics", &[("accept-encoding", "gzip, deflate;q=0.5")]).await;
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[VARY], "Accept, Accept-Encoding");
    let compressed = response.into_body().bytes().unwrap().clone();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.as_bytes(), plain.into_body().bytes().unwrap());
    assert!(compressed.len() * 3 < text.len(), "{} of {}", compressed.len(), text.len());
}
