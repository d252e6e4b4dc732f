//! The open streams of an HTTP/2 connection: what they are doing counts for the connection's state, and the second one on
//! counts among the server's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::stream_counts::StreamCounts;
use crate::server::answer_memory::LONG;
use crate::server::connection_state::ConnectionState;

/// So many streams beyond the first of each connection are open at a time, on all connections together: there is always
/// room for connections of others.
const MOST_BEYOND_THE_FIRST: usize = 200;

/// How often a client that does not speak is asked whether it is there.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(15);
/// And how long it may take to say so.
pub(super) const PING_LIMIT: Duration = Duration::from_secs(20);

/// The streams beyond the first of each connection.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct FurtherStreams(Arc<AtomicUsize>);

impl FurtherStreams {
    /// How many are open.
    pub(in crate::server) fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    #[must_use]
    fn take(&self) -> bool {
        let more = |open| (open < MOST_BEYOND_THE_FIRST).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream, from its request to the end of its answer.
#[derive(Debug)]
#[must_use = "dropping it ends the stream"]
pub(in crate::server) struct OpenStream {
    state: Arc<ConnectionState>,
    further: FurtherStreams,
    phase: StreamPhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamPhase {
    Asked,
    Waiting,
    /// So much of a long answer is to be taken.
    Answered(usize),
    Streaming,
}

impl OpenStream {
    /// One more stream of the connection with that state; nothing where there is no room for it.
    #[must_use]
    pub(in crate::server) fn begin(state: &Arc<ConnectionState>, further: &FurtherStreams) -> Option<Self> {
        if state.streams.open.load(Ordering::Relaxed) > 0 && !further.take() {
            return None;
        }
        state.streams.open.fetch_add(1, Ordering::Relaxed);
        state.is_used();
        Some(Self { state: Arc::clone(state), further: further.clone(), phase: StreamPhase::Asked })
    }

    /// Whether its connection has something left of its turn; where it has not, `cx` is woken when it has.
    pub(in crate::server) fn has_its_turn(&self, cx: &Context<'_>) -> Poll<()> {
        self.state.share_left_for_stream(cx)
    }

    /// Its answer waits.
    pub(in crate::server) fn waits(&mut self) {
        self.leave_phase();
        self.phase = StreamPhase::Waiting;
        self.counts().waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// It is answered, with a body of `length` bytes; `streaming` if the answer goes on.
    pub(in crate::server) fn answered(&mut self, streaming: bool, length: usize) {
        self.leave_phase();
        self.state.has_answered();
        let (now, counts) = (self.state.now(), &self.state.streams);
        counts.earned.fetch_add(1, Ordering::Relaxed);
        if streaming {
            self.phase = StreamPhase::Streaming;
            counts.streaming.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let length = if length > LONG { length } else { 0 };
        self.phase = StreamPhase::Answered(length);
        if counts.answers.fetch_add(1, Ordering::Relaxed) == 0 {
            counts.moved.set(now);
        }
        if length > 0 && counts.untaken.fetch_add(length, Ordering::Relaxed) == 0 {
            counts.taking_since.set(now);
        }
    }

    /// The next piece of its answer is on its way.
    pub(in crate::server) fn moves(&self) {
        match self.phase {
            StreamPhase::Streaming => {
                self.state.has_said();
                self.counts().earned.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.counts().moved.set(self.state.now()),
        }
    }

    /// `bytes`, the last of its answer: it is open until they are gone.
    pub(in crate::server) fn held_by(self: Box<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(LastBytes { bytes, _stream: self })
    }

    fn counts(&self) -> &StreamCounts {
        &self.state.streams
    }

    fn leave_phase(&self) {
        let counts = self.counts();
        match self.phase {
            StreamPhase::Asked => {}
            StreamPhase::Waiting => {
                counts.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            StreamPhase::Streaming => {
                counts.streaming.fetch_sub(1, Ordering::Relaxed);
            }
            StreamPhase::Answered(length) => {
                counts.answers.fetch_sub(1, Ordering::Relaxed);
                counts.untaken.fetch_sub(length, Ordering::Relaxed);
                counts.moved.set(self.state.now());
            }
        }
    }
}

/// The last bytes of an answer. The library takes them all, however little the client has room for.
struct LastBytes {
    bytes: Bytes,
    _stream: Box<OpenStream>,
}

impl AsRef<[u8]> for LastBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.leave_phase();
        self.state.is_used();
        if self.counts().open.fetch_sub(1, Ordering::Relaxed) > 1 {
            self.further.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::server::connection_state::EvictionOrder;
    use crate::server::time_limits::STUCK_LIMIT;

    #[tokio::test(start_paused = true)]
    async fn streams_beyond_the_first_of_each_connection_are_few() {
        let further = FurtherStreams::default();
        let states: Vec<_> = (0..2).map(|_| ConnectionState::new(Clock::tokio())).collect();
        let mut open: Vec<_> =
            (0..=MOST_BEYOND_THE_FIRST).map_while(|_| OpenStream::begin(&states[0], &further)).collect();
        assert_eq!((open.len(), further.open()), (201, 200));
        assert!(OpenStream::begin(&states[0], &further).is_none());
        let first_of_another = OpenStream::begin(&states[1], &further).unwrap();
        assert!(OpenStream::begin(&states[1], &further).is_none());
        open.truncate(1);
        assert_eq!(further.open(), 0);
        drop((open, first_of_another));
        assert_eq!(further.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_ends_the_connection_in_ten_seconds_and_a_stream_may_stay() {
        let (state, further) = (ConnectionState::new(Clock::tokio()), FurtherStreams::default());
        state.is_within_a_frame(false);
        let mut watch = OpenStream::begin(&state, &further).unwrap();
        watch.answered(true, 0);
        assert!(matches!(state.eviction_order(), EvictionOrder::Stream(_)));
        let mut answer = OpenStream::begin(&state, &further).unwrap();
        tokio::time::advance(Duration::from_secs(100)).await;
        answer.answered(false, 10);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(state.time_left(), Duration::from_secs(1));
        answer.moves();
        assert_eq!(state.time_left(), STUCK_LIMIT);
        drop(answer);
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert_eq!(state.time_left(), STUCK_LIMIT, "a stream is looked at now and then");
    }

    #[tokio::test(start_paused = true)]
    async fn long_answers_are_taken_within_a_minute_however_steadily() {
        let (state, further) = (ConnectionState::new(Clock::tokio()), FurtherStreams::default());
        state.is_within_a_frame(false);
        let mut answer = OpenStream::begin(&state, &further).unwrap();
        answer.waits();
        assert!(matches!(state.eviction_order(), EvictionOrder::Waiting(_)));
        answer.answered(false, LONG + 1);
        tokio::time::advance(Duration::from_secs(55)).await;
        answer.moves();
        assert_eq!((state.time_left(), state.taking().map(|(_, left)| left)), (Duration::from_secs(5), Some(LONG + 1)));
        drop(answer);
        assert_eq!(state.taking(), None);
        assert!(matches!(state.eviction_order(), EvictionOrder::Idle(_)));
    }
}
