//! Looks through what a target has sent: at once where that is quick, else on a thread, so that the run ends at its
//! timeout and nothing else waits, whatever was sent.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::blocking::Blocking;
use crate::base::pattern::Pattern;
use crate::model::outcome::Failure;

/// The searches of one check: never more than one at a time. One that its run did not live to see the end of goes on
/// until it is done, which [`Pattern::HIGHEST_COST`] bounds, and the next waits for it.
#[derive(Debug)]
pub(super) struct Searches<T>(Arc<Mutex<Blocking<T>>>);

impl<T> Default for Searches<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Searches<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> Searches<T> {
    /// What `work` finds, which costs no more than `cost` in units of [`Pattern::cost`].
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub(super) async fn run(&self, cost: u64, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        if cost <= Pattern::LOW_COST {
            return Ok(work());
        }
        Box::pin(self.run_on_a_thread(work)).await
    }

    async fn run_on_a_thread(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        self.0.lock().await.call("search", work).await
    }
}

/// What it costs at most to read a JSON text of so many bytes, in units of [`Pattern::cost`].
pub(super) const fn cost_of_json(bytes: usize) -> u64 {
    (bytes >> 4) as u64
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn what_may_take_long_has_a_thread_and_what_is_quick_has_none() {
        let searches = Searches::default();
        let here = thread::current().id();
        assert_eq!(searches.run(Pattern::LOW_COST, || thread::current().id()).await.unwrap(), here);
        assert_ne!(searches.run(Pattern::LOW_COST + 1, || thread::current().id()).await.unwrap(), here);
    }
}
