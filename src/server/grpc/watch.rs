//! `Watch`: the status of a service at once, then each change, for as long as the client stays.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;

use super::HealthService;
use super::error::CallError;
use crate::base::grpc::{GrpcCode, ServingStatus, health_check_response};
use crate::server::App;
use crate::server::audience::{Audience, OVER};
use crate::server::shared::Shared;
use crate::server::stream::StreamPermit;

/// One who watches.
pub(in crate::server) struct Watch {
    app: Arc<App>,
    shared: Arc<Shared>,
    service: HealthService,
    /// Who may learn of a check; nothing where the service is a gate, or no check may be learnt of.
    audience: Option<Box<Audience>>,
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
        audience: Option<Box<Audience>>,
        limit: Option<Duration>,
        permit: StreamPermit,
    ) -> Self {
        let news = shared.serving.subscribe();
        let deadline = limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
        Self { app, shared, service, audience, last: None, news, deadline, _permit: permit }
    }

    /// The next message; why it ends, at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, CallError>> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(CallError::new(GrpcCode::DeadlineExceeded, "the client's time is up")));
        }
        loop {
            if self.shared.serving.ends() {
                return Poll::Ready(Err(CallError::new(GrpcCode::Unavailable, "probelet ends")));
            }
            let status = self.status();
            // Looked at once it is known, so that nothing of what has been published since is told.
            if self.audience.as_ref().is_some_and(|audience| audience.is_over()) {
                return Poll::Ready(Err(CallError::new(GrpcCode::Unavailable, OVER)));
            }
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

    /// The status now for who has none yet, and for the others what was seen last.
    fn status(&self) -> ServingStatus {
        let Shared { serving, gates, .. } = &*self.shared;
        let seen = self.last.and_then(|_| serving.last_seen()).unwrap_or_else(|| serving.see(&self.app, gates));
        seen.status(&self.service, self.audience.is_some()).unwrap_or(ServingStatus::ServiceUnknown)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use ServingStatus::{NotServing, Serving};

    use super::*;
    use crate::base::clock::Clock;
    use crate::metrics::testing::{error, ok, snapshot};
    use crate::model::plan::testing::check;
    use crate::model::snapshot::Snapshot;
    use crate::model::state::CheckState;
    use crate::model::verdict::Endpoint;
    use crate::server::tests::app;
    use crate::store::Recorder;

    /// A server of one check, and who publishes what becomes of it.
    struct Stage {
        app: Arc<App>,
        shared: Arc<Shared>,
        recorder: Recorder,
        published: Snapshot,
    }

    impl Stage {
        async fn start() -> Self {
            let published = snapshot(vec![(check("db"), ok("fine"))]);
            let (recorder, board) = crate::store::board(published.clone());
            let mut app = Arc::into_inner(app(&published).0).unwrap();
            (app.board, app.clock) = (board, Clock::tokio());
            let (app, shared) = (Arc::new(app), Arc::<Shared>::default());
            let (following, gates) = (Arc::clone(&app), Arc::clone(&shared));
            tokio::spawn(async move { gates.serving.follow(&following, &gates.gates).await });
            let stage = Self { app, shared, recorder, published };
            stage.pass(1).await;
            stage
        }

        /// Begins to watch `/readyz`.
        fn watch(&self) -> Watcher {
            let permit = StreamPermit::take(&self.shared.streams).unwrap();
            let (app, shared) = (Arc::clone(&self.app), Arc::clone(&self.shared));
            let watch = Watch::new(app, shared, HealthService::Gate(Endpoint::Readyz), None, None, permit);
            Watcher { watch, woken: Arc::new(Woken(AtomicBool::new(true))) }
        }

        /// The check is so for the next 10 ms.
        async fn publish(&mut self, state: CheckState) {
            self.published.checks[0] = Arc::new(state);
            self.recorder.publish(self.published.clone());
            self.pass(10).await;
        }

        async fn pass(&self, milliseconds: u64) {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
    }

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// One who looks only when it has been woken.
    struct Watcher {
        watch: Watch,
        woken: Arc<Woken>,
    }

    impl Watcher {
        /// What it has been told since it was asked last.
        fn told(&mut self) -> Vec<ServingStatus> {
            let mut told = Vec::new();
            while self.woken.0.swap(false, Ordering::Relaxed) {
                let waker = Arc::clone(&self.woken).into();
                while let Poll::Ready(message) = self.watch.poll_next(&mut Context::from_waker(&waker)) {
                    let message = message.unwrap();
                    told.extend([Serving, NotServing].into_iter().filter(|it| health_check_response(*it) == message));
                }
            }
            told
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_to_watch_between_two_looks_is_told_when_what_it_saw_is_over() {
        let mut stage = Stage::start().await;
        let mut first = stage.watch();
        assert_eq!(first.told(), [Serving]);
        stage.publish(ok("it is looked")).await;
        stage.publish(error("refused")).await;
        let mut second = stage.watch();
        assert_eq!(second.told(), [NotServing], "as it is now");
        stage.publish(ok("fine again")).await;
        stage.pass(2000).await;
        assert_eq!(second.told(), [Serving]);
        assert!(matches!(first.told()[..], [] | [NotServing, Serving]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_woken_late_is_told_what_it_was_woken_for() {
        let mut stage = Stage::start().await;
        let mut watcher = stage.watch();
        let mut told = watcher.told();
        stage.publish(error("it is looked")).await;
        stage.publish(ok("for a moment")).await;
        told.append(&mut watcher.told());
        stage.publish(error("refused")).await;
        stage.pass(2000).await;
        told.append(&mut watcher.told());
        assert_eq!(told, [Serving, NotServing]);
    }
}
