//! The way on which a worker is asked for a run: a slot for one request. With thousands of checks a channel for each would
//! take ten times as much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

/// The request for one run.
#[derive(Clone, Copy, Debug)]
pub struct RunRequest {
    /// Wait for one of the permits of throttled runs.
    pub throttled: bool,
}

const EMPTY: u8 = 0;
const WANTED: u8 = 1;
const WANTED_THROTTLED: u8 = 2;
const CLOSED: u8 = 3;

/// The scheduler's end: dropping it ends the worker after the run that it is at.
#[derive(Debug)]
pub struct RunSender(Arc<RunSlot>);

/// The worker's end.
#[derive(Debug)]
pub struct RunReceiver(Arc<RunSlot>);

#[derive(Debug, Default)]
struct RunSlot {
    content: AtomicU8,
    is_running: AtomicBool,
    news: Notify,
}

/// An empty slot.
pub fn run_slot() -> (RunSender, RunReceiver) {
    let slot = Arc::new(RunSlot::default());
    (RunSender(Arc::clone(&slot)), RunReceiver(slot))
}

impl RunSender {
    /// Asks for a run. One that has been asked for and has not begun is replaced: a check has at most one.
    pub fn request(&self, request: RunRequest) {
        self.put(if request.throttled { WANTED_THROTTLED } else { WANTED });
    }

    /// Whether the worker is at a run, as far as it has begun.
    pub fn is_running(&self) -> bool {
        self.0.is_running.load(Ordering::Relaxed)
    }

    fn put(&self, content: u8) {
        self.0.content.store(content, Ordering::Release);
        self.0.news.notify_one();
    }
}

impl Drop for RunSender {
    fn drop(&mut self) {
        self.put(CLOSED);
    }
}

impl RunReceiver {
    /// Waits for the next request; nothing when there will be none.
    pub async fn next(&mut self) -> Option<RunRequest> {
        self.0.is_running.store(false, Ordering::Relaxed);
        loop {
            match self.0.content.load(Ordering::Acquire) {
                EMPTY => self.0.news.notified().await,
                CLOSED => return None,
                wanted => {
                    // Unless the slot has been closed since.
                    let _ = self.0.content.compare_exchange(wanted, EMPTY, Ordering::AcqRel, Ordering::Relaxed);
                    self.0.is_running.store(true, Ordering::Relaxed);
                    return Some(RunRequest { throttled: wanted == WANTED_THROTTLED });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_request_is_taken_once_and_the_end_is_seen() {
        let (sender, mut receiver) = run_slot();
        for throttled in [true, false, true] {
            sender.request(RunRequest { throttled });
            assert!(!sender.is_running(), "it has not begun");
            assert_eq!(receiver.next().await.map(|request| request.throttled), Some(throttled));
            assert!(sender.is_running());
            let next = tokio::time::timeout(std::time::Duration::ZERO, receiver.next()).await;
            assert!(next.is_err(), "there is none");
        }
        let waiting = tokio::spawn(async move { (receiver.next().await.is_some(), receiver.next().await.is_some()) });
        tokio::task::yield_now().await;
        sender.request(RunRequest { throttled: false });
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), (true, false));
    }
}
