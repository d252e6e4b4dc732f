//! A stream of what happens, for one client.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep};

use super::feed::{FeedRead, MOST_EVENTS, Unrendered};
use super::{COMMENT, SILENCE, StreamPermit, WITHHELD, cut_event};
use crate::base::clock::Clock;
use crate::server::long_answers::{Coming, Full};

/// Follows the feed.
pub(in crate::server) struct Follower {
    permit: StreamPermit,
    clock: Clock,
    /// The number of the last event it had; nothing before the first.
    at: Option<u64>,
    news: Pin<Box<OwnedNotified>>,
    silence: Pin<Box<Sleep>>,
    /// The whole, which is being rendered.
    whole: Option<Coming<(u64, Bytes)>>,
    is_over: bool,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Follower {
    /// Goes on after the event `last`, or begins with the whole.
    pub(super) fn new(permit: StreamPermit, clock: Clock, last: Option<&str>) -> Self {
        let feed = &permit.0.feed;
        let (at, news) = (last.and_then(|last| feed.place_after(last)), Box::pin(feed.news()));
        Self { permit, clock, at, news, silence: Box::pin(tokio::time::sleep(SILENCE)), whole: None, is_over: false }
    }

    /// The next event or comment; nothing after it was cut.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Some(whole) = &mut self.whole {
                let (id, piece) = ready!(whole.as_mut().poll(cx));
                self.whole = None;
                if !self.permit.0.feed.is_withheld() {
                    self.at = Some(id);
                    return self.write(piece);
                }
            }
            match self.permit.0.feed.next(&mut self.at, self.clock.read()) {
                FeedRead::Piece(piece) => return self.write(piece),
                FeedRead::Lost => {
                    return self
                        .cut(&format!("too slow: more than {MOST_EVENTS} events or 512 KiB behind; connect again"));
                }
                FeedRead::Withheld => return self.cut(WITHHELD),
                FeedRead::Whole(unrendered) => match self.render(unrendered) {
                    Ok(whole) => {
                        self.whole = Some(whole);
                        continue;
                    }
                    Err(Full) => return self.cut("too many long answers are being made; connect again"),
                },
                FeedRead::Nothing => {}
            }
            if self.news.as_mut().poll(cx).is_pending() {
                ready!(self.silence.as_mut().poll(cx));
                return self.write(Bytes::from_static(COMMENT));
            }
            // It is there before the feed is looked at again, so nothing falls between.
            self.news = Box::pin(self.permit.0.feed.news());
        }
    }

    fn render(&self, unrendered: Unrendered) -> Result<Coming<(u64, Bytes)>, Full> {
        let (streams, clock) = (Arc::clone(&self.permit.0), self.clock);
        self.permit.0.long.begin(async move {
            let reading = clock.read();
            // All who wait for it have begun before the first of them has it.
            if let Some(piece) = streams.feed.kept_whole(unrendered.id, reading.moment) {
                return (unrendered.id, piece);
            }
            let piece = streams.feed.counted(unrendered.render(reading.wall));
            streams.feed.keep_whole(unrendered.id, reading.moment, &piece);
            (unrendered.id, piece)
        })
    }

    fn write(&mut self, piece: Bytes) -> Poll<Option<Bytes>> {
        self.silence.as_mut().reset(Instant::now() + SILENCE);
        Poll::Ready(Some(piece))
    }

    fn cut(&mut self, reason: &str) -> Poll<Option<Bytes>> {
        self.is_over = true;
        Poll::Ready(Some(cut_event(reason)))
    }
}
