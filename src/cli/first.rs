//! A command as the first process of a container: there the kernel ignores a signal that nobody attends to, and a
//! command that waits for a file or an answer could not be ended.

use std::time::Duration;

use rustix::process::getpid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{Exit, complain};
use crate::base::lane;
use crate::base::thread::{apart, why_refused};

/// The stack of the thread that does the work.
const STACK: usize = 2 << 20;
/// A command that attends to signals itself ends its connections first.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does `work`. As the first process, until it is done or a signal comes.
pub(super) fn guarded(work: impl FnOnce() -> Exit + Send + 'static) -> Exit {
    if !getpid().is_init() {
        return work();
    }
    let guard = async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut done = Box::pin(apart("command", STACK, work));
        let told = tokio::select! {
            done = &mut done => return done,
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
        };
        timeout(PATIENCE, done).await.unwrap_or(Ok(told))
    };
    let result = lane::runtime().and_then(|runtime| {
        let result = runtime.block_on(guard);
        runtime.shutdown_background();
        result
    });
    result.unwrap_or_else(|error| {
        complain(&format!("error: the system refuses {}\n", why_refused(&error)));
        Exit::Unreachable
    })
}
