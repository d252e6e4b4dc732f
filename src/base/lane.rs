//! Lanes: threads with a runtime of their own, so that what one has to do never waits for what another is doing.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// What the kernel tells a lane at a time; the rest comes with the next question.
const EVENTS: usize = 128;
/// A lane asks the kernel for new events after this many turns of tasks, so that a new connection waits for no more
/// than these. To ask costs a fifth of what an answer at a gate does.
const TURNS: u32 = 8;

/// A runtime that attends to signals takes no more descriptors than these.
const DESCRIPTORS: usize = 8;

/// The runtime of a lane that reads and writes sockets.
///
/// # Errors
/// When the system refuses what it takes: descriptors, mostly.
pub fn runtime() -> io::Result<Runtime> {
    // The way by which signals reach a runtime takes descriptors without asking whether there are any: it panics.
    (0..DESCRIPTORS).map(|_| io::stderr().as_fd().try_clone_to_owned()).collect::<io::Result<Vec<_>>>().map(drop)?;
    Builder::new_current_thread().enable_all().max_io_events_per_tick(EVENTS).event_interval(TURNS).build()
}

/// The runtime of a lane that has no sockets: it takes no descriptors, and less memory.
///
/// # Errors
/// None that is known.
pub fn runtime_without_sockets() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// Starts the thread `name` with a stack of so many bytes, which does `work` on `runtime` and then ends, with all that
/// has been spawned there. The receiver gets what `work` returns; an error there means that it panicked.
///
/// # Errors
/// When the system gives us no thread.
pub fn start<T: Send + 'static>(
    runtime: Runtime,
    name: &'static str,
    stack: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<(Handle, oneshot::Receiver<T>)> {
    let handle = runtime.handle().clone();
    let (done, result) = oneshot::channel();
    let (give, given) = sync_channel::<Runtime>(1);
    let started = thread::Builder::new().name(name.into()).stack_size(stack).spawn(move || {
        let Ok(runtime) = given.recv() else { return };
        let _ = done.send(runtime.block_on(work));
        // A thread that hangs must not hold up the end.
        runtime.shutdown_background();
    });
    match started {
        Ok(_) => {
            let _ = give.send(runtime);
            Ok((handle, result))
        }
        Err(error) => {
            // To drop it would panic where another runtime works.
            runtime.shutdown_background();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_works_beside_a_thread_that_is_held() {
        let (told, hears) = std::sync::mpsc::channel();
        let (_, result) = start(runtime().unwrap(), "test", 128 * 1024, async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            told.send(thread::current().name().map(str::to_owned)).unwrap();
            7
        })
        .unwrap();
        // This thread is held until the other has done its work.
        assert_eq!(hears.recv().unwrap().as_deref(), Some("test"));
        assert_eq!(result.await, Ok(7));
    }

    #[tokio::test]
    async fn a_thread_that_is_refused_is_an_error() {
        // More than a process can address.
        assert!(start(runtime().unwrap(), "test", usize::MAX / 4, async {}).is_err());
    }

    #[tokio::test]
    async fn a_panic_on_a_lane_is_noticed() {
        let work = async { panic!("a defect") };
        let result: oneshot::Receiver<()> = start(runtime().unwrap(), "test", 128 * 1024, work).unwrap().1;
        assert!(result.await.is_err());
    }
}
