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
use crate::server::start_up::latest;
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

    fn status(&self) -> ServingStatus {
        let reading = self.app.clock.read();
        let status = self.service.status(&self.shared, &latest(&self.app, reading), reading, self.audience.is_some());
        status.unwrap_or(ServingStatus::ServiceUnknown)
    }
}
