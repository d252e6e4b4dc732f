//! What the open streams of an HTTP/2 connection are doing, in figures.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

use crate::base::clock::Moment;
use crate::server::atomic_moment::AtomicMoment;
use crate::server::time_limits::{STUCK_LIMIT, TAKE_LIMIT};

/// So many streams that wait for their connection's turn are looked at in one: more than can be answered, few beside what
/// that costs.
const WOKEN: usize = 8;

/// What the open streams of one connection are doing.
#[derive(Debug, Default)]
pub(in crate::server) struct StreamCounts {
    pub(super) open: AtomicUsize,
    pub(super) waiting: AtomicUsize,
    pub(super) streaming: AtomicUsize,
    /// Answers that are not streams, and that the client has not taken whole.
    pub(super) answers: AtomicUsize,
    /// When something of an answer moved last.
    pub(super) moved: AtomicMoment,
    /// The bytes of long answers among them, and since when there are any.
    pub(super) untaken: AtomicUsize,
    pub(super) taking_since: AtomicMoment,
    /// Answers and messages that the counter of frames has not been told of.
    pub(super) earned: AtomicU32,
    /// Those that wait for their connection's next turn. Only the task of the connection locks it.
    waiters: Mutex<VecDeque<Waker>>,
}

impl StreamCounts {
    /// Wakes some of those that wait for a turn; whether there were any.
    pub(in crate::server) fn wake_waiters(&self) -> bool {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiters.len().min(WOKEN);
        waiters.drain(..count).for_each(Waker::wake);
        count > 0
    }

    /// `cx` is woken in one of the next turns.
    pub(in crate::server) fn wait_for_share(&self, cx: &Context<'_>) {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).push_back(cx.waker().clone());
    }

    /// Whether an answer waits.
    pub(in crate::server) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether an answer goes on.
    pub(in crate::server) fn has_streaming(&self) -> bool {
        self.streaming.load(Ordering::Relaxed) > 0
    }

    /// Since when the client takes long answers, and how much of them is left.
    pub(in crate::server) fn taking(&self) -> Option<(Moment, usize)> {
        match self.untaken.load(Ordering::Relaxed) {
            0 => None,
            untaken => Some((self.taking_since.get()?, untaken)),
        }
    }

    /// When the client must have taken its answers, where there are any: HTTP/2 lets it stop a stream that the socket
    /// still has room for.
    pub(in crate::server) fn deadline(&self) -> Option<Moment> {
        if self.answers.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let stuck = self.moved.get().unwrap_or_default() + STUCK_LIMIT;
        Some(self.taking().map_or(stuck, |(since, _)| stuck.min(since + TAKE_LIMIT)))
    }

    /// How many answers and messages went out since this was asked last.
    #[must_use]
    pub(in crate::server) fn take_earned(&self) -> u32 {
        self.earned.swap(0, Ordering::Relaxed)
    }
}
