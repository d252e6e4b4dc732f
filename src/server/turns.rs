//! Long answers, one at a time: whoever makes one waits for a turn.
//!
//! So there is never more than one that is half made in memory, and whoever comes next finds what the last one has
//! made.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Those who wait, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _given_back_when_dropped: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Turns {
    /// So many at a time.
    pub(super) fn of(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// Waits for a turn, and once more for whatever has become ready meanwhile.
    pub(super) async fn next(&self) -> Turn {
        let turn = Arc::clone(&self.0).acquire_owned().await.ok();
        tokio::task::yield_now().await;
        Turn { _given_back_when_dropped: turn }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn what_needs_no_turn_goes_first_and_turns_are_taken_in_order() {
        let (turns, order) = (Turns::default(), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for long in 0..50 {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            tasks.spawn(async move {
                let _turn = turns.next().await;
                order.lock().unwrap().push(long);
            });
        }
        let short = Arc::clone(&order);
        tasks.spawn(async move { short.lock().unwrap().push(1000) });
        while tasks.join_next().await.is_some() {}
        let order = order.lock().unwrap().clone();
        assert_eq!(order, std::iter::once(1000).chain(0..50).collect::<Vec<_>>());
    }
}
