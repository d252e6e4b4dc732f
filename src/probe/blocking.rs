//! Calls that can block for ever (a file system that hangs): each on a thread of its own, never more than one at a
//! time.

use tokio::sync::oneshot;

use crate::model::outcome::{Failure, FailureKind};
use crate::probe::exhausted;

/// What a call may need: reading JSON nested as deep as serde_json allows (127 levels) takes 290 KiB, and 630 KiB without
/// optimisation, most of it serde_json's own. It is memory only as far as it is used: 2.3 KiB for each level.
const STACK: usize = 1024 * 1024;

/// The place of one such call. A call that its caller did not live to see the end of keeps the place: the next one
/// waits for it, so that threads never pile up.
#[derive(Debug)]
pub struct Blocking<T> {
    under_way: Option<oneshot::Receiver<T>>,
}

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self { under_way: None }
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Calls `work` on a thread called `name`, once an earlier call has ended.
    ///
    /// # Errors
    /// One of the kind `exhausted` when the system gives us no thread, of the kind `bug` when the call panics.
    pub async fn call(&mut self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        if let Some(earlier) = &mut self.under_way {
            let _ = earlier.await;
            self.under_way = None;
        }
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
            // Nobody receives it when the check is gone.
            let _ = sender.send(work());
        });
        if let Err(error) = thread {
            return Err(exhausted::of_thread(&error));
        }
        let result = self.under_way.insert(receiver).await;
        self.under_way = None;
        result.map_err(|_| Failure::new(FailureKind::Bug, "the call panicked: this is a defect of probelet"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_call_that_hangs_keeps_its_place_until_it_ends() {
        let mut blocking = Blocking::default();
        let (release, hung) = mpsc::channel::<()>();
        let first = blocking.call("test", move || hung.recv().is_err());
        assert!(tokio::time::timeout(Duration::from_millis(10), first).await.is_err());
        let second = blocking.call("test", || panic!("two at a time"));
        assert!(tokio::time::timeout(Duration::from_millis(10), second).await.is_err());
        drop(release);
        assert!(blocking.call("test", || true).await.is_ok());
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let failure = Blocking::<()>::default().call("test", || panic!("on purpose")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Bug);
    }
}
