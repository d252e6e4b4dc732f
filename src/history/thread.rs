//! The thread of a history, which is started when there is time for it.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::answer::Condition;
use super::message::Published;
use super::writer::Writer;
use crate::base::lane;

/// Its stack.
const STACK: usize = 512 * 1024;

/// The thread of a history, before it is started.
#[must_use = "nothing is kept without it"]
pub struct HistoryThread {
    writer: Writer,
    published: Arc<Published>,
}

impl std::fmt::Debug for HistoryThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HistoryThread").field("published", &self.published).finish_non_exhaustive()
    }
}

impl HistoryThread {
    pub(super) const fn new(writer: Writer, published: Arc<Published>) -> Self {
        Self { writer, published }
    }

    /// Starts it. Where the system gives us none, the history is kept in memory and by this thread.
    pub fn start(self) {
        let Self { mut writer, published } = self;
        let (give, given) = oneshot::channel::<Writer>();
        let work = async move {
            if let Ok(writer) = given.await {
                writer.run().await;
            }
        };
        match lane::runtime_without_sockets().and_then(|runtime| lane::start(runtime, "history", STACK, work)) {
            Ok((_, ended)) => {
                let _ = give.send(writer);
                // Not on the history's own lane, which would end with it.
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(watch_over(ended, published));
                }
            }
            Err(error) => {
                tracing::error!(%error, "there is no thread for the history: it is kept in memory until the next start");
                if published.condition() == Condition::Opening {
                    published.set_condition(Condition::Refused);
                }
                writer.do_without_file();
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(writer.run());
                }
            }
        }
    }
}

/// Says so where the history's thread, which gives no word when it has `ended`, has ended by a defect.
pub(super) async fn watch_over(ended: oneshot::Receiver<()>, published: Arc<Published>) {
    if ended.await.is_err() {
        published.set_condition(Condition::Refused);
        tracing::error!("the history's thread has ended by a defect: no history is kept until the next start");
    }
}
