//! Lanes: threads with a runtime of their own, so that what one has to do never waits for what another is doing.

use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// What the kernel tells a lane at a time; the rest comes with the next question.
const EVENTS: usize = 128;

/// The runtime of a lane that reads and writes sockets.
///
/// # Errors
/// When the system refuses what it takes: descriptors, mostly.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_io_events_per_tick(EVENTS).build()
}

/// Starts the thread `name` with a stack of so many bytes, which does `work` on a runtime of its own and then ends. The
/// receiver gets what `work` returns; an error there means that it panicked.
///
/// # Errors
/// When the system gives us no thread, or not what its runtime takes.
pub fn start<T: Send + 'static>(
    name: &'static str,
    stack: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let runtime = runtime()?;
    let (done, result) = oneshot::channel();
    thread::Builder::new().name(name.into()).stack_size(stack).spawn(move || {
        let _ = done.send(runtime.block_on(work));
        runtime.shutdown_background();
    })?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_works_beside_a_thread_that_is_held() {
        let (told, hears) = std::sync::mpsc::channel();
        let result = start("test", 128 * 1024, async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            told.send(thread::current().name().map(str::to_owned)).unwrap();
            7
        });
        // This thread is held until the other has done its work.
        assert_eq!(hears.recv().unwrap().as_deref(), Some("test"));
        assert_eq!(result.unwrap().await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_on_a_lane_is_noticed() {
        let result: oneshot::Receiver<()> = start("test", 128 * 1024, async { panic!("a defect") }).unwrap();
        assert!(result.await.is_err());
    }
}
