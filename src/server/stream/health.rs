//! The body of `/health`, now and again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

use super::{COMMENT, Place, SILENCE};
use crate::base::clock::Moment;
use crate::server::App;
use crate::server::health::health_event;
use crate::server::shared::Shared;

/// A stream of it.
pub(in crate::server) struct Now {
    app: Arc<App>,
    shared: Arc<Shared>,
    interval: Duration,
    /// When the next event is due; at once before the first.
    due: Moment,
    sleep: Pin<Box<Sleep>>,
    _place: Place,
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Now").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Now {
    /// A stream that tells it every `interval`.
    pub(super) fn new(app: Arc<App>, shared: Arc<Shared>, interval: Duration, place: Place) -> Self {
        let due = app.clock.now();
        Self { app, shared, interval, due, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), _place: place }
    }

    /// The next event or comment.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        ready!(self.sleep.as_mut().poll(cx));
        let now = self.app.clock.now();
        // The timer is as precise as a millisecond or two.
        let piece = if now + Duration::from_millis(2) >= self.due {
            self.due = now + self.interval;
            health_event(&self.app, &self.shared)
        } else {
            Bytes::from_static(COMMENT)
        };
        self.sleep = Box::pin(tokio::time::sleep(self.due.since(now).min(SILENCE)));
        Poll::Ready(piece)
    }
}
