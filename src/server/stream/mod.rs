//! Server-sent events: bodies that go on until the client goes.
//!
//! `/health/$stream` tells the state of things now and again; `/v1/stream` tells what happens. What happens is found
//! out and written in one place, the [`Feed`]; each stream of it is no more than a place in the feed.

mod feed;
mod follower;
mod changes;
mod health;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Frame;

use super::App;
use super::answer::{Answer, EVENTS};
use super::answer_memory::AnswerMemory;
use super::audience::{Audience, OVER};
use super::body::{Body, FrameSource};
use super::long_answers::LongAnswers;
use super::request::IncomingRequest;
use super::shared::Shared;
use super::warnings::quoted;
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
pub(super) use feed::Feed;
use follower::Follower;
use health::HealthStream;

/// No more streams than these at a time, so that connections are left for single requests.
pub(super) const MOST: usize = 200;

/// A comment goes out when nothing else did for this long: writing is how a client that has gone is noticed.
const SILENCE: Duration = Duration::from_secs(15);
const COMMENT: &[u8] = b":\n\n";
/// Why a stream ends that may tell nothing any more.
const WITHHELD: &str = "the configuration has `details: none` now";

/// What all streams of a server share.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// How many are open.
    open: AtomicUsize,
    /// What happens.
    pub(super) feed: Feed,
    /// Where the whole is rendered.
    pub(super) long: LongAnswers,
}

impl Streams {
    /// None yet; what they send is made by `long` and counted in `under_way`.
    pub(super) fn new(long: LongAnswers, under_way: AnswerMemory) -> Self {
        Self { open: AtomicUsize::new(0), feed: Feed::new(under_way), long }
    }
}

/// `/health/$stream`.
pub(super) fn health_stream(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    snapshot: &Snapshot,
    shared: &Arc<Shared>,
    audience: Box<Audience>,
) -> Answer {
    if snapshot.plan.answers.details == Details::None {
        return Answer::not_found(incoming.routes, snapshot.plan.answers.details);
    }
    let interval = match incoming.query.first("poll_interval") {
        None => Duration::from_secs(1),
        Some(text) => match text.parse::<f64>() {
            Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Duration::from_secs_f64(seconds),
            _ => {
                let problem = format!("poll_interval is {}; write seconds from 0.1 to 3600\n", quoted(&text));
                return Answer::text(StatusCode::BAD_REQUEST, problem);
            }
        },
    };
    stream(&shared.streams, audience, |permit| {
        StreamEvents::Health(HealthStream::new(Arc::clone(app), Arc::clone(shared), interval, permit))
    })
}

/// `/v1/stream`.
pub(super) fn event_stream(
    incoming: &IncomingRequest<'_>,
    app: &Arc<App>,
    snapshot: &Snapshot,
    streams: &Arc<Streams>,
    audience: Box<Audience>,
) -> Answer {
    if snapshot.plan.answers.details == Details::None {
        return Answer::not_found(incoming.routes, snapshot.plan.answers.details);
    }
    let last = incoming.headers.get("last-event-id").and_then(|last| last.to_str().ok());
    stream(streams, audience, |permit| {
        streams.feed.begin(&app.board, app.clock.read());
        StreamEvents::Changes(Follower::new(permit, app.clock, last))
    })
}

fn stream(
    streams: &Arc<Streams>,
    audience: Box<Audience>,
    events: impl FnOnce(StreamPermit) -> StreamEvents,
) -> Answer {
    let Some(permit) = StreamPermit::take(streams) else {
        return Answer::text(StatusCode::TOO_MANY_REQUESTS, format!("{MOST} streams are open; end one of them\n"));
    };
    let mut answer = Answer::new(StatusCode::OK, EVENTS, Bytes::new());
    answer.body = Body::frames(StreamBody { events: events(permit), audience, is_over: false });
    answer
}

/// One of the places for streams, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub(super) struct StreamPermit(Arc<Streams>);

impl StreamPermit {
    /// Takes one, if there is one.
    #[must_use]
    pub(super) fn take(streams: &Arc<Streams>) -> Option<Self> {
        let more = |open| (open < MOST).then_some(open + 1);
        let taken = streams.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self(Arc::clone(streams)))
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a stream, for as long as its client may see it.
#[derive(Debug)]
struct StreamBody {
    events: StreamEvents,
    audience: Box<Audience>,
    is_over: bool,
}

impl StreamBody {
    fn why_over(&self) -> Option<&'static str> {
        if self.audience.is_over() {
            return Some(OVER);
        }
        // Who follows what happens is told so by the feed.
        let is_withheld = matches!(self.events, StreamEvents::Health(_)) && self.audience.details() == Details::None;
        is_withheld.then_some(WITHHELD)
    }
}

#[derive(Debug)]
enum StreamEvents {
    /// The body of `/health`, now and again.
    Health(HealthStream),
    /// What happens.
    Changes(Follower),
}

impl FrameSource for StreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut event = match &mut self.events {
            StreamEvents::Health(now) => Some(ready!(now.poll_next(cx))),
            StreamEvents::Changes(follower) => ready!(follower.poll_next(cx)),
        };
        // Looked at once there is something to tell, so that nothing of what has been published since is told.
        if let Some(reason) = event.as_ref().and_then(|_| self.why_over()) {
            self.is_over = true;
            event = Some(cut_event(reason));
        }
        Poll::Ready(event.map(Frame::data))
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn ends_its_connection(&self) -> bool {
        true
    }
}

/// The last event of a stream that is ended by this side.
fn cut_event(reason: &str) -> Bytes {
    format!("event: cut\ndata: {{\"reason\":\"{reason}\"}}\n\n").into()
}
