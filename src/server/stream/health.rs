//! The body of `/health`, now and again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

use super::{COMMENT, SILENCE, StreamPermit};
use crate::base::clock::Moment;
use crate::server::App;
use crate::server::health::health_event;
use crate::server::long_answers::Coming;
use crate::server::shared::Shared;

/// A stream of it.
pub(in crate::server) struct HealthStream {
    app: Arc<App>,
    shared: Arc<Shared>,
    interval: Duration,
    /// When the next event is due; at once before the first.
    due: Moment,
    sleep: Pin<Box<Sleep>>,
    /// The next event, which is being made.
    coming: Option<Coming<Bytes>>,
    _permit: StreamPermit,
}

impl fmt::Debug for HealthStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthStream").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl HealthStream {
    /// A stream that tells it every `interval`.
    pub(super) fn new(app: Arc<App>, shared: Arc<Shared>, interval: Duration, permit: StreamPermit) -> Self {
        let due = app.clock.now();
        Self {
            app,
            shared,
            interval,
            due,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            coming: None,
            _permit: permit,
        }
    }

    /// The next event or comment.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.coming.is_none() {
            ready!(self.sleep.as_mut().poll(cx));
            let now = self.app.clock.now();
            // The timer is as precise as a millisecond or two.
            let is_due = now + Duration::from_millis(2) >= self.due;
            if is_due {
                self.due = now + self.interval;
            }
            self.sleep = Box::pin(tokio::time::sleep(self.due.since(now).min(SILENCE)));
            let (app, shared) = (Arc::clone(&self.app), Arc::clone(&self.shared));
            let begun = is_due.then(|| self.shared.long.begin(async move { health_event(&app, &shared) }));
            // Where too many wait for long answers, this one is left out.
            let Some(Ok(coming)) = begun else { return Poll::Ready(Bytes::from_static(COMMENT)) };
            self.coming = Some(coming);
        }
        let piece = self.coming.as_mut().map_or(Poll::Pending, |coming| coming.as_mut().poll(cx));
        if piece.is_ready() {
            self.coming = None;
        }
        piece
    }
}
