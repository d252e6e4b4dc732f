//! The lane of the gates: a thread of its own that has the listeners and all connections, and does nothing else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::lane;
use crate::base::thread::why_refused;
use crate::server::{self, App, BoundListener};

/// The stack of the thread.
const STACK: usize = 512 * 1024;
/// So long the end of the daemon waits for the lane, which itself gives its last answers a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The end of a lane that should have none.
const NO_ANSWERS: &str = "no request is answered any more";

/// The lane while it works.
#[derive(Debug)]
#[must_use = "dropping it closes the gates"]
pub(super) struct GateLane {
    close: oneshot::Sender<()>,
    opened: oneshot::Receiver<()>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl GateLane {
    /// Answers requests on `listeners` from now on, whatever any other thread is doing.
    pub(super) fn open(listeners: Vec<BoundListener>, app: App) -> io::Result<Self> {
        let (close, closing) = oneshot::channel::<()>();
        let (open, opened) = oneshot::channel();
        let (_, ended) = lane::start(lane::runtime()?, "gates", STACK, async move {
            let serving = tokio::spawn(server::serve(listeners, Arc::new(app), async move { drop(closing.await) }));
            for _ in 0..server::FIRST_TURNS {
                tokio::task::yield_now().await;
            }
            let _ = open.send(());
            match serving.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    tracing::error!(
                        error = format!("the system refuses {}", why_refused(&error)),
                        "no request is answered any more"
                    );
                    Err(error)
                }
                Err(error) => {
                    tracing::error!(%error, "no request is answered any more: a defect of probelet");
                    Err(io::Error::other(NO_ANSWERS))
                }
            }
        })?;
        Ok(Self { close, opened, ended })
    }

    /// Waits until whoever has been waiting for the port could be answered.
    pub(super) async fn opened(&mut self) {
        let _ = (&mut self.opened).await;
    }

    /// Waits until no request is answered any more, which must not be before [`close`](Self::close) was called; and why that
    /// is, as the log may have no thread either.
    pub(super) async fn ended(&mut self) -> io::Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => io::Error::other(NO_ANSWERS),
        }
    }

    /// Accepts nothing more, and waits until the answers that are being written are out, for [`PATIENCE`] at most.
    pub(super) async fn close(self) {
        drop(self.close);
        let _ = tokio::time::timeout(PATIENCE, self.ended).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_why_no_request_is_answered_any_more() {
        let refused = |ended: Option<io::Result<()>>| async move {
            let ((close, _closing), (_open, opened), (end, waits)) =
                (oneshot::channel(), oneshot::channel(), oneshot::channel());
            match ended {
                Some(ended) => end.send(ended).unwrap(),
                None => drop(end),
            }
            why_refused(&GateLane { close, opened, ended: waits }.ended().await)
        };
        let no_thread = || io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error());
        assert!(refused(Some(Err(no_thread()))).await.starts_with("a thread: the limit on processes and threads"));
        assert_eq!([refused(Some(Ok(()))).await, refused(None).await], [NO_ANSWERS; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_hangs_keeps_the_daemon_from_ending_for_two_seconds() {
        let ((close, _closing), (_open, opened), (_end, ended)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let began = Instant::now();
        GateLane { close, opened, ended }.close().await;
        assert_eq!(began.elapsed(), PATIENCE);
    }
}
