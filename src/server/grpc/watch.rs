//! `Watch`: the status of a service at once, then each change, for as long as the client stays.
//!
//! One task looks after each publication whether anything serves differently, and wakes all who watch only then: 200 of
//! them cost nothing while nothing changes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;

use super::{CallError, HealthService};
use crate::base::grpc::{GrpcCode, ServingStatus, health_check_response};
use crate::model::plan::Plan;
use crate::model::verdict::Endpoint;
use crate::server::App;
use crate::server::shared::Shared;
use crate::server::start_up::latest;
use crate::server::stream::StreamPermit;

/// How often to look whether a result has become too old, which nobody publishes.
const LOOK: Duration = Duration::from_secs(1);

/// Tells those who watch that something serves differently.
#[derive(Debug, Default)]
pub(in crate::server) struct ServingChanges {
    news: Arc<Notify>,
    /// Somebody watches.
    watched: Notify,
    looks: Notify,
    ends: AtomicBool,
}

/// What serves.
#[derive(Debug)]
struct Serving {
    plan: Arc<Plan>,
    gates: [bool; 3],
    checks: Arc<[bool]>,
}

impl Serving {
    fn now(app: &App, shared: &Shared) -> Self {
        let reading = app.clock.read();
        let snapshot = latest(app, reading);
        Self {
            plan: Arc::clone(&snapshot.plan),
            gates: [Endpoint::Livez, Endpoint::Readyz, Endpoint::Startupz]
                .map(|gate| shared.gates.is_open(gate, &snapshot, reading)),
            checks: shared.gates.ups(&snapshot, reading),
        }
    }

    fn is_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan) && (self.gates, &self.checks) == (other.gates, &other.checks)
    }
}

impl ServingChanges {
    /// Tells of changes, from the first who watches on until the writer of the snapshot is gone.
    pub(in crate::server) async fn follow(&self, app: &App, shared: &Shared) {
        let mut board = app.board.clone();
        self.watched.notified().await;
        let mut last = None;
        loop {
            // Each who watches holds it too.
            if Arc::strong_count(&self.news) == 1 {
                self.watched.notified().await;
                // Who watches from now on has looked later than this was seen.
                last = None;
            }
            tokio::select! {
                published = board.next() => if published.is_none() { return },
                () = self.looks.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = Serving::now(app, shared);
            if last.as_ref().is_none_or(|last| !now.is_as(last)) {
                last = Some(now);
                self.news.notify_waiters();
            }
        }
    }

    /// Something may have changed that is not published yet.
    pub(in crate::server) fn look(&self) {
        self.looks.notify_one();
    }

    /// The server ends: so does whoever watches.
    pub(in crate::server) fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.news.notify_waiters();
    }

    /// Becomes ready when there is something new after this call.
    fn news(&self) -> Pin<Box<OwnedNotified>> {
        Box::pin(Arc::clone(&self.news).notified_owned())
    }
}

/// One who watches.
pub(in crate::server) struct Watch {
    app: Arc<App>,
    shared: Arc<Shared>,
    service: HealthService,
    /// Whether it may learn of checks.
    names: bool,
    /// What was said last.
    last: Option<ServingStatus>,
    news: Pin<Box<OwnedNotified>>,
    deadline: Option<Pin<Box<Sleep>>>,
    _permit: StreamPermit,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches `service`, until its client has waited for `limit`.
    pub(super) fn new(
        app: Arc<App>,
        shared: Arc<Shared>,
        service: HealthService,
        names: bool,
        limit: Option<Duration>,
        permit: StreamPermit,
    ) -> Self {
        let news = shared.serving.news();
        shared.serving.watched.notify_one();
        let deadline = limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
        Self { app, shared, service, names, last: None, news, deadline, _permit: permit }
    }

    /// The next message; why it ends, at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, CallError>> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(CallError::new(GrpcCode::DeadlineExceeded, "the client's time is up")));
        }
        loop {
            if self.shared.serving.ends.load(Ordering::Relaxed) {
                return Poll::Ready(Err(CallError::new(GrpcCode::Unavailable, "probelet ends")));
            }
            let status = self.status();
            if self.last != Some(status) {
                self.last = Some(status);
                return Poll::Ready(Ok(health_check_response(status)));
            }
            if self.news.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It is there before anything is looked at again, so nothing falls between.
            self.news = self.shared.serving.news();
        }
    }

    fn status(&self) -> ServingStatus {
        let reading = self.app.clock.read();
        let status = self.service.status(&self.shared, &latest(&self.app, reading), reading, self.names);
        status.unwrap_or(ServingStatus::ServiceUnknown)
    }
}
