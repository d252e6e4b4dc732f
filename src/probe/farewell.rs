//! Connections take leave of their servers beside everything else, none for long; who ends the process waits for them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A server that does not answer a farewell in this time is left without one.
const PATIENCE: Duration = Duration::from_secs(1);

/// More farewells than this are not under way at once: the connection is closed without a word then.
const MOST: u32 = 1024;

static PLACES: Semaphore = Semaphore::const_new(MOST as usize);

/// Carries out `goodbye`, for a second at most. What needs no answer is done before this returns.
pub fn say(goodbye: impl Future<Output = ()> + Send + 'static) -> Farewell {
    let mut goodbye: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(goodbye);
    let Ok(runtime) = Handle::try_current() else { return Farewell::default() };
    if goodbye.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
        return Farewell::default();
    }
    let Ok(place) = PLACES.try_acquire() else { return Farewell::default() };
    Farewell(Some(runtime.spawn(async move {
        let _ = timeout(PATIENCE, goodbye).await;
        drop(place);
    })))
}

/// A farewell that may still be under way. It goes on when this is dropped.
#[derive(Debug, Default)]
#[must_use = "it may still be under way; drop it where that is meant"]
pub struct Farewell(Option<JoinHandle<()>>);

impl Farewell {
    /// Waits until it has been answered, but no longer than `limit`.
    pub async fn answered(self, limit: Duration) {
        if let Some(task) = self.0 {
            let _ = timeout(limit, task).await;
        }
    }
}

/// Waits until no farewell is under way, about a second at most. Tasks that have just been aborted still hold their
/// connections: they get their turn first.
pub async fn all_said() {
    const TURNS: usize = 32;
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    let everyone = pin!(PLACES.acquire_many(MOST));
    let _ = timeout(PATIENCE, everyone).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    static PARTED: AtomicBool = AtomicBool::new(false);

    /// Says a farewell when it is dropped.
    struct Parting;

    impl Drop for Parting {
        fn drop(&mut self) {
            drop(say(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                PARTED.store(true, Ordering::Relaxed);
            }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_waits_for_farewells_and_not_for_servers_that_do_not_answer() {
        let said = Arc::new(AtomicBool::new(false));
        let sign = Arc::clone(&said);
        drop(say(async move {
            tokio::time::sleep(Duration::from_millis(900)).await;
            sign.store(true, Ordering::Relaxed);
        }));
        drop(say(std::future::pending()));
        let held = tokio::spawn(async {
            let _at_the_end = Parting;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        held.abort();
        let begun = tokio::time::Instant::now();
        all_said().await;
        assert!(said.load(Ordering::Relaxed) && PARTED.load(Ordering::Relaxed));
        assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(2), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_needs_no_answer_is_done_at_once() {
        let said = Arc::new(AtomicBool::new(false));
        let sign = Arc::clone(&said);
        let farewell = say(async move { sign.store(true, Ordering::Relaxed) });
        assert!(said.load(Ordering::Relaxed) && farewell.0.is_none());
    }
}
