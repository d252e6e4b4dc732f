//! The state of one connection (idle, reading, stuck, waiting, streaming) and since when: its time limits follow from
//! it, and the order of eviction when there is no room for another. Written by the connection, read by the accept loop.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::answer_memory::LONG;
use super::atomic_moment::AtomicMoment;
use super::http2::frames::FrameCounter;
use super::http2::stream_counts::StreamCounts;
use super::request_line::Sanitizer;
use super::time_limits::{HEAD_LIMIT, IDLE_LIMIT, STUCK_LIMIT, TAKE_LIMIT};
use crate::base::clock::{Clock, Moment};

/// What a connection does in one go, in bytes read and written; then the others have their turn.
const SHARE: usize = 64 * 1024;
/// An answer counts as so many bytes besides: it takes the time to read a request and to make one.
const COST: usize = 32 * 1024;

/// A frame of HTTP/2 counts as so many bytes besides.
const FRAME_COST: usize = 4 * 1024;
/// And the message of a stream.
const MESSAGE_COST: usize = 4 * 1024;
/// So much is read of frames before they are counted.
const FRAMES_READ: usize = 256;

/// What one connection is doing, and since when.
#[derive(Debug)]
pub(super) struct ConnectionState {
    clock: Clock,
    /// When the connection was made or the last request was answered.
    idle_since: AtomicMoment,
    /// When the head of the request that is being read began.
    head_since: AtomicMoment,
    /// It began in this turn: a request that is read and answered in one needs no look at the clock.
    head_begun: AtomicBool,
    /// Since when the client takes nothing of an answer.
    stuck_since: AtomicMoment,
    /// A request has come in whose answer waits for a turn or for a disk.
    waiting: AtomicBool,
    /// So many bytes of a long answer have not been taken yet.
    untaken: AtomicUsize,
    streaming: AtomicBool,
    leaving: AtomicBool,
    leave: Notify,
    /// The streams of one that speaks HTTP/2.
    pub(super) streams: StreamCounts,
    /// What is left of its share of this turn, in bytes.
    share: AtomicUsize,
}

/// The order of eviction when there is no room for another connection: the first variant first, within it the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EvictionOrder {
    /// It has been asked to go already.
    Leaving,
    /// It waits for a request, or for the rest of one.
    Idle(Moment),
    /// Its client takes nothing of an answer.
    Stuck(Moment),
    /// Its answer waits.
    Waiting(Moment),
    /// It is a stream.
    Stream(Moment),
}

impl ConnectionState {
    /// The state of a connection made now.
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let state = Self {
            clock,
            idle_since: AtomicMoment::default(),
            head_since: AtomicMoment::default(),
            head_begun: AtomicBool::new(false),
            stuck_since: AtomicMoment::default(),
            waiting: AtomicBool::new(false),
            untaken: AtomicUsize::new(0),
            streaming: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
            streams: StreamCounts::default(),
            share: AtomicUsize::new(SHARE),
        };
        let now = clock.now();
        state.idle_since.set(now);
        state.head_since.set(now);
        Arc::new(state)
    }

    /// A request has come in whose answer waits.
    pub(super) fn waits(&self) {
        // It is our time that passes now.
        self.head_is_over();
        self.idle_since.set(self.clock.now());
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Its turn has come: it may do its share. Where streams wait for one, `cx` is woken for the next.
    pub(super) fn has_its_turn(&self, cx: &Context<'_>) {
        self.share.store(SHARE, Ordering::Relaxed);
        if self.streams.wake_waiters() {
            cx.waker().wake_by_ref();
        }
    }

    /// Whether something is left of its share for one of its streams; where nothing is, `cx` is woken in one of its next
    /// turns.
    pub(super) fn share_left_for_stream(&self, cx: &Context<'_>) -> Poll<()> {
        if self.share.load(Ordering::Relaxed) == 0 {
            self.streams.wait_for_share(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Its turn is over.
    pub(super) fn turn_ends(&self) {
        if self.head_begun.swap(false, Ordering::Relaxed) {
            self.head_since.set(self.clock.now());
        }
    }

    fn head_is_over(&self) {
        self.head_begun.store(false, Ordering::Relaxed);
        self.head_since.clear();
    }

    /// What is left of its share; where that is nothing, `cx` is woken when its next turn has come.
    pub(super) fn share_left(&self, cx: &Context<'_>) -> Poll<usize> {
        match self.share.load(Ordering::Relaxed) {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            left => Poll::Ready(left),
        }
    }

    fn has_done(&self, bytes: usize) {
        let left = self.share.load(Ordering::Relaxed).saturating_sub(bytes);
        self.share.store(left, Ordering::Relaxed);
    }

    /// A request has been answered at `now`, with a body of `length` bytes; `streaming` if the answer goes on.
    pub(super) fn answered(&self, streaming: bool, length: usize, now: Moment) {
        self.untaken.store(if length > LONG { length } else { 0 }, Ordering::Relaxed);
        self.has_done(COST);
        self.head_is_over();
        self.waiting.store(false, Ordering::Relaxed);
        self.idle_since.set(now);
        self.streaming.store(streaming, Ordering::Relaxed);
    }

    /// One of its streams has been answered.
    pub(super) fn has_answered(&self) {
        self.has_done(COST);
    }

    /// One of its streams says something.
    pub(super) fn has_said(&self) {
        self.has_done(MESSAGE_COST);
    }

    /// One of its streams begins or ends.
    pub(super) fn is_used(&self) {
        self.idle_since.set(self.clock.now());
    }

    /// Whether the rest of something is still to come, where it speaks HTTP/2.
    pub(super) fn is_within_a_frame(&self, within: bool) {
        match self.head_since.get() {
            None if within => self.head_since.set(self.clock.now()),
            Some(_) if !within => self.head_since.clear(),
            _ => {}
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Whether an answer goes on.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming.load(Ordering::Relaxed) || self.streams.has_streaming()
    }

    /// Since when its client takes a long answer, and how much of that is left. A stream of which something is stuck
    /// takes one for as long as it has been open: reading a little now and then makes it no younger.
    pub(super) fn taking(&self) -> Option<(Moment, usize)> {
        if let Some(taking) = self.streams.taking() {
            return Some(taking);
        }
        let since = self.idle_since.get().unwrap_or_default();
        match self.untaken.load(Ordering::Relaxed) {
            // What is stuck of a stream is one event.
            0 if self.is_streaming() => self.stuck_since.get().map(|_| (since, LONG)),
            0 => None,
            untaken => Some((since, untaken)),
        }
    }

    /// Asks the connection to go.
    pub(super) fn ask_to_leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Waits until the connection is asked to go.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Its place in the order of eviction.
    pub(super) fn eviction_order(&self) -> EvictionOrder {
        let idle = self.idle_since.get().unwrap_or_default();
        if self.leaving.load(Ordering::Relaxed) {
            EvictionOrder::Leaving
        } else if self.is_streaming() {
            EvictionOrder::Stream(idle)
        } else if let Some(stuck) = self.stuck_since.get() {
            EvictionOrder::Stuck(stuck)
        } else if self.waiting.load(Ordering::Relaxed) || self.streams.has_waiting() {
            EvictionOrder::Waiting(idle)
        } else {
            EvictionOrder::Idle(idle)
        }
    }

    /// How much time the client has left for what it is doing; nothing left means that the connection is to be closed.
    pub(super) fn time_left(&self) -> Duration {
        let now = self.clock.now();
        let own = self.deadline().map_or(STUCK_LIMIT, |deadline| deadline.since(now));
        self.streams.deadline().map_or(own, |deadline| deadline.since(now).min(own))
    }

    /// Until when the client must have done what it is doing; a stream may go on.
    fn deadline(&self) -> Option<Moment> {
        Some(if let Some((since, _)) = self.taking().filter(|_| !self.is_streaming()) {
            self.stuck_since.get().map_or(since + TAKE_LIMIT, |stuck| (stuck + STUCK_LIMIT).min(since + TAKE_LIMIT))
        } else if let Some(since) = self.stuck_since.get() {
            since + STUCK_LIMIT
        } else if self.is_streaming() {
            return None;
        } else if let Some(since) = self.head_since.get() {
            since + HEAD_LIMIT
        } else {
            self.idle_since.get().unwrap_or_default() + IDLE_LIMIT
        })
    }

    /// Something was read; whether it begins a request.
    fn has_read(&self) -> bool {
        self.head_since.get().is_none() && !self.head_begun.swap(true, Ordering::Relaxed)
    }

    fn has_written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            let untaken = self.untaken.load(Ordering::Relaxed);
            self.untaken.store(untaken.saturating_sub(*bytes), Ordering::Relaxed);
        }
        match (written, self.stuck_since.get()) {
            (Poll::Ready(_), Some(_)) => self.stuck_since.clear(),
            (Poll::Pending, None) => self.stuck_since.set(self.clock.now()),
            _ => {}
        }
    }
}

/// A socket that records in its state what goes on, sanitizes request lines as they are read, and counts frames.
#[derive(Debug)]
pub(super) struct TrackedSocket {
    pub(super) socket: TcpStream,
    /// What has been read already.
    first: Bytes,
    state: Arc<ConnectionState>,
    reading: Inspector,
}

/// What is looked at in what is read.
#[derive(Debug)]
enum Inspector {
    Http1(Sanitizer),
    Http2(FrameCounter),
}

impl TrackedSocket {
    /// A socket that speaks HTTP/1, whose traffic is recorded in `state`; `first` is what has been read of it.
    pub(super) fn new(socket: TcpStream, first: Bytes, state: Arc<ConnectionState>) -> Self {
        Self { socket, first, state, reading: Inspector::Http1(Sanitizer::default()) }
    }

    /// The same where it speaks HTTP/2.
    pub(super) fn http2(socket: TcpStream, first: Bytes, state: Arc<ConnectionState>) -> Self {
        let reading = Inspector::Http2(FrameCounter::new(state.now()));
        Self { socket, first, state, reading }
    }

    fn has_read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.reading {
            Inspector::Http1(sanitizer) => {
                if self.state.has_read() {
                    *sanitizer = Sanitizer::default();
                }
                sanitizer.sanitize(bytes);
            }
            Inspector::Http2(frames) => {
                let count = frames
                    .count(bytes, self.state.streams.take_earned(), self.state.now())
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a flood of frames"))?;
                self.state.has_done(count * FRAME_COST);
                self.state.is_within_a_frame(frames.is_in_the_middle());
            }
        }
        Ok(())
    }
}

impl AsyncRead for TrackedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.state.share_left(cx));
        let most = match self.reading {
            Inspector::Http1(_) => buffer.remaining(),
            Inspector::Http2(_) => buffer.remaining().min(FRAMES_READ),
        };
        let before = buffer.filled().len();
        if !self.first.is_empty() {
            let taken = self.first.len().min(most);
            buffer.put_slice(&self.first[..taken]);
            self.first.advance(taken);
            if self.first.is_empty() {
                // Not even the buffer that it was read into.
                self.first = Bytes::new();
            }
        } else if most == buffer.remaining() {
            ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        } else {
            let mut part = [0; FRAMES_READ];
            let mut part = ReadBuf::new(&mut part[..most]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
            buffer.put_slice(part.filled());
        }
        let bytes = &mut buffer.filled_mut()[before..];
        self.state.has_done(bytes.len());
        if !bytes.is_empty() {
            self.has_read(bytes)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// The most that is copied into one buffer before it is written.
const SHORT: usize = 4096;
/// A gate's answer is no longer than this: to clear more would be half of what putting it together costs.
const SHORTER: usize = 512;

/// What `buffers` hold, one after the other, in `whole`, which has room for it.
fn joined<'w>(whole: &'w mut [u8], buffers: &[IoSlice<'_>]) -> &'w [u8] {
    let mut end = 0;
    for buffer in buffers {
        whole[end..end + buffer.len()].copy_from_slice(buffer);
        end += buffer.len();
    }
    &whole[..end]
}

/// Vectored, so that a long answer is nowhere copied, and no connection keeps a buffer that was once long enough for
/// it. A short one is put together here: that costs less than the kernel's way with several buffers.
impl AsyncWrite for TrackedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(ready!(self.state.share_left(cx)))];
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.state.has_written(&written);
        self.state.has_done(bytes.len());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if length > SHORT {
            if length > ready!(self.state.share_left(cx)) {
                // As much of the first one as there is a share for.
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                return self.poll_write(cx, first.map_or(&[], |buffer| &**buffer));
            }
            let written = Pin::new(&mut self.socket).poll_write_vectored(cx, buffers);
            self.state.has_written(&written);
            self.state.has_done(length);
            return written;
        }
        if length > SHORTER {
            self.poll_write(cx, joined(&mut [0; SHORT], buffers))
        } else {
            self.poll_write(cx, joined(&mut [0; SHORTER], buffers))
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_has_ten_seconds_and_a_served_one_five_and_a_half_minutes() {
        let state = ConnectionState::new(Clock::tokio());
        assert_eq!(state.time_left(), HEAD_LIMIT);
        tokio::time::advance(Duration::from_secs(4)).await;
        state.has_read();
        state.turn_ends();
        assert_eq!(state.time_left(), Duration::from_secs(6));
        state.answered(false, 0, state.now());
        assert_eq!(state.time_left(), IDLE_LIMIT);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(state.has_read(), "a request begins");
        assert!(!state.has_read(), "and goes on, in the same turn");
        state.turn_ends();
        assert_eq!(state.time_left(), HEAD_LIMIT);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert!(!state.has_read(), "and in a later one");
        state.turn_ends();
        assert_eq!(state.time_left(), Duration::from_secs(3));
        state.answered(false, 0, state.now());
        assert!(state.has_read(), "the next begins in the turn in which one is answered");
        state.turn_ends();
        assert_eq!(state.time_left(), HEAD_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_an_answer_has_ten_seconds() {
        let state = ConnectionState::new(Clock::tokio());
        state.answered(true, 0, state.now());
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(state.time_left(), STUCK_LIMIT);
        state.has_written(&Poll::Pending);
        tokio::time::advance(Duration::from_secs(10)).await;
        state.has_written(&Poll::Pending);
        assert_eq!(state.time_left(), Duration::ZERO);
        state.has_written(&Poll::Ready(Ok(1)));
        assert_eq!(state.time_left(), STUCK_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_an_answer_is_not_cut_for_it() {
        let state = ConnectionState::new(Clock::tokio());
        tokio::time::advance(Duration::from_secs(9)).await;
        state.waits();
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(state.time_left(), IDLE_LIMIT - Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_taken_within_a_minute_however_steadily() {
        let state = ConnectionState::new(Clock::tokio());
        state.answered(false, LONG + 1, state.now());
        tokio::time::advance(Duration::from_secs(55)).await;
        state.has_written(&Poll::Ready(Ok(LONG)));
        assert_eq!((state.time_left(), state.taking().map(|(_, left)| left)), (Duration::from_secs(5), Some(1)));
        state.has_written(&Poll::Ready(Ok(1)));
        assert_eq!((state.taking(), state.time_left()), (None, IDLE_LIMIT - Duration::from_secs(55)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_which_something_is_stuck_is_cut_before_whoever_came_after_it() {
        let state = ConnectionState::new(Clock::tokio());
        state.answered(true, 0, state.now());
        let opened = Clock::tokio().now();
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(state.taking(), None);
        for _ in 0..2 {
            state.has_written(&Poll::Pending);
            assert_eq!((state.taking(), state.time_left()), (Some((opened, LONG)), STUCK_LIMIT));
            state.has_written(&Poll::Ready(Ok(1)));
            assert_eq!(state.taking(), None);
            tokio::time::advance(Duration::from_secs(9)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_connection_goes_first_and_streams_go_last() {
        let clock = Clock::tokio();
        tokio::time::advance(Duration::from_secs(1)).await;
        let stream = ConnectionState::new(clock);
        stream.answered(true, 0, clock.now());
        let stuck = ConnectionState::new(clock);
        stuck.has_written(&Poll::Pending);
        let kept = ConnectionState::new(clock);
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = ConnectionState::new(clock);
        tokio::time::advance(Duration::from_secs(1)).await;
        kept.answered(false, 0, clock.now());
        let waiting = ConnectionState::new(clock);
        waiting.waits();
        let order = |first: &ConnectionState, second: &ConnectionState| {
            assert!(first.eviction_order() < second.eviction_order());
        };
        order(&silent, &kept);
        order(&kept, &stuck);
        order(&stuck, &waiting);
        order(&waiting, &stream);
        stream.ask_to_leave();
        order(&stream, &silent);
    }
}
