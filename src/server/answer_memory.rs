//! The memory of long answers that are under way, on all connections together: what is sent to many is counted once.
//!
//! It is counted until the last byte has been handed to the kernel. Nobody is refused: beyond the limit the connections
//! go whose clients have been taking their answers longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

/// More than this is not under way for long, beside what is kept for all who ask the same.
const MOST: usize = 8 * 1024 * 1024;
/// Shorter answers are not counted: all connections together hold little of them.
pub(super) const LONG: usize = 16 * 1024;

/// What is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerMemory(Arc<AnswerBytes>);

#[derive(Debug, Default)]
struct AnswerBytes {
    bytes: AtomicUsize,
    /// Of these, what stays without anybody who reads it.
    kept: AtomicUsize,
    exceeded: Notify,
}

impl AnswerMemory {
    /// The same bytes, counted until the last clone and the last part of them are gone.
    pub(super) fn counted(&self, bytes: Bytes) -> Bytes {
        if bytes.len() <= LONG {
            return bytes;
        }
        self.0.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let counted = Bytes::from_owner(CountedBytes { bytes, count: Arc::clone(&self.0) });
        if self.excess() > 0 {
            self.0.exceeded.notify_one();
        }
        counted
    }

    /// A kept answer of so many bytes takes the place of one of `before`.
    pub(super) fn keeps(&self, bytes: usize, before: usize) {
        let counted = |bytes: usize| if bytes > LONG { bytes } else { 0 };
        self.0.kept.fetch_add(counted(bytes), Ordering::Relaxed);
        self.0.kept.fetch_sub(counted(before), Ordering::Relaxed);
    }

    /// How many bytes too many are under way.
    pub(super) fn excess(&self) -> usize {
        let (bytes, kept) = (self.0.bytes.load(Ordering::Relaxed), self.0.kept.load(Ordering::Relaxed));
        bytes.saturating_sub(kept).saturating_sub(MOST)
    }

    /// Waits until there are too many.
    pub(super) async fn exceeded(&self) {
        self.0.exceeded.notified().await;
    }
}

struct CountedBytes {
    bytes: Bytes,
    count: Arc<AnswerBytes>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.count.bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_once_until_the_last_part_of_them_is_gone() {
        let under_way = AnswerMemory::default();
        let long = under_way.counted(vec![0; MOST + 5].into());
        assert_eq!(under_way.excess(), 5);
        let (clone, part) = (long.clone(), long.slice(1..2));
        drop((long, clone));
        assert_eq!(under_way.excess(), 5);
        drop(part);
        let short = under_way.counted(vec![0; LONG].into());
        assert_eq!((under_way.excess(), under_way.0.bytes.load(Ordering::Relaxed)), (0, 0));
        drop(short);
    }

    #[test]
    fn what_is_kept_is_under_way_only_once_it_is_replaced() {
        let under_way = AnswerMemory::default();
        let kept = under_way.counted(vec![0; MOST * 2].into());
        under_way.keeps(kept.len(), 0);
        assert_eq!(under_way.excess(), 0);
        under_way.keeps(10, kept.len());
        assert_eq!(under_way.excess(), MOST);
        drop(kept);
        assert_eq!(under_way.excess(), 0);
    }
}
