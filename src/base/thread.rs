//! Threads for what may block, and what to say where the system refuses one.

use std::io;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Does `work` on a thread of its own, called `name`, with a stack of so many bytes, and returns what it returns. Where
/// the system has no thread to give this is an error (the runtime's pool panics). Dropping the future does not stop
/// `work`: the thread ends when `work` does.
///
/// # Errors
/// When the system gives us no thread; `Other` when `work` panics.
pub async fn apart<T: Send + 'static>(
    name: &str,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name(name.into()).stack_size(stack).spawn(move || {
        let _ = done.send(work());
    })?;
    result.await.map_err(|_| io::Error::other("a panic: this is a defect of probelet"))
}

/// The same for a caller that blocks, and waits for no longer than `patience`.
///
/// # Errors
/// When the system gives us no thread; `TimedOut` when `work` does not return in time.
pub fn in_time<T: Send + 'static>(
    name: &str,
    stack: usize,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = sync_channel(1);
    thread::Builder::new().name(name.into()).stack_size(stack).spawn(move || {
        let _ = done.send(work());
    })?;
    result.recv_timeout(patience).map_err(|_| io::ErrorKind::TimedOut.into())
}

/// A step of five: where processor time is short, a thread has three times as much of it as one a step behind.
const STEP: i32 = 5;

/// Puts this thread, and those that it starts from now on, so many `steps` behind the other threads of this process: where
/// processor time is short, they have three times as much of it for each, and need not wait for the end of its slice, which
/// is some milliseconds. It cannot be undone. Without it, it is slower for the others.
pub fn give_way(steps: i32) {
    // On Linux both are about the thread alone.
    if let Ok(own) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, own.saturating_add(steps.saturating_mul(STEP)));
    }
}

/// Why the system refuses something, in words for somebody who can lift the limit.
#[must_use]
pub fn why_refused(error: &io::Error) -> String {
    use rustix::io::Errno;
    let limit = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN) => "a thread: the limit on processes and threads is reached (pids.max, ulimit -u)",
        Some(Errno::MFILE) => "an open file: the limit on open files is reached (ulimit -n)",
        Some(Errno::NFILE) => "an open file: the machine has no more of them (fs.file-max)",
        Some(Errno::NOMEM) => "memory: the limit on memory is reached (resources.limits.memory, ulimit -v)",
        _ => return error.to_string(),
    };
    limit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 128 * 1024;

    #[tokio::test]
    async fn work_is_done_apart_and_a_panic_is_told() {
        assert_eq!(
            apart("test", STACK, || thread::current().name().map(str::to_owned)).await.unwrap().as_deref(),
            Some("test")
        );
        assert_eq!(
            apart("test", STACK, || panic!("on purpose")).await.map(|(): ()| ()).unwrap_err().kind(),
            io::ErrorKind::Other
        );
    }

    #[tokio::test]
    async fn a_thread_that_is_refused_is_an_error() {
        // More than a process can address.
        assert!(apart("test", usize::MAX / 4, || ()).await.is_err());
    }

    #[test]
    fn a_thread_gives_way_alone() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let (one, more) = thread::spawn(move || {
            give_way(1);
            let one = own();
            give_way(2);
            (one, thread::spawn(own).join().unwrap())
        })
        .join()
        .unwrap();
        // There are no more than 20 steps of one.
        assert_eq!((one, more), ((before + STEP).min(19), (before + 3 * STEP).min(19)));
        assert_eq!(own(), before);
    }

    #[test]
    fn limits_are_named() {
        let error = io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error());
        assert_eq!(
            why_refused(&error),
            "a thread: the limit on processes and threads is reached (pids.max, ulimit -u)"
        );
        assert_eq!(why_refused(&io::Error::other("x")), "x");
    }
}
