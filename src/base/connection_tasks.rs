//! What an HTTP/2 library would spawn for a connection, polled by whoever polls the connection: it takes part in its
//! turns, and ends with it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes what the library spawns.
#[derive(Clone, Debug)]
pub struct ConnectionExecutor(UnboundedSender<Task>);

/// What has been spawned and has not ended. How much that is, the library bounds: a task for each open stream, and one
/// for the connection.
pub struct ConnectionTasks {
    spawned: UnboundedReceiver<Task>,
    tasks: FuturesUnordered<Task>,
}

/// An executor for one connection, and its tasks.
#[must_use]
pub fn connection_tasks() -> (ConnectionExecutor, ConnectionTasks) {
    let (executor, spawned) = unbounded_channel();
    (ConnectionExecutor(executor), ConnectionTasks { spawned, tasks: FuturesUnordered::new() })
}

impl fmt::Debug for ConnectionTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionTasks").field("open", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl<T: Future<Output = ()> + Send + 'static> hyper::rt::Executor<T> for ConnectionExecutor {
    fn execute(&self, task: T) {
        // Whoever owned the tasks is gone, and so is the connection.
        let _ = self.0.send(Box::pin(task));
    }
}

impl ConnectionTasks {
    /// Whether everything that was spawned has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spawned.is_empty() && self.tasks.is_empty()
    }

    /// Polls what is ready to go on, also what is spawned meanwhile; `cx` is woken when there is more to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            while let Poll::Ready(Some(task)) = self.spawned.poll_recv(cx) {
                self.tasks.push(task);
            }
            if !matches!(Pin::new(&mut self.tasks).poll_next(cx), Poll::Ready(Some(()))) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::Executor;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn tasks_go_on_when_their_owner_is_polled_and_end_with_it() {
        let (executor, mut tasks) = connection_tasks();
        let (first, begins) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let inner = executor.clone();
        executor.execute(async move {
            let _ = begins.await;
            inner.execute(async move {
                let _ = done.send(());
            });
        });
        let (dropped, is_dropped) = oneshot::channel::<()>();
        executor.execute(async move {
            let _held = dropped;
            std::future::pending::<()>().await;
        });
        let _ = first.send(());
        let mut is_done = std::pin::pin!(is_done);
        poll_fn(|cx| {
            tasks.poll(cx);
            is_done.as_mut().poll(cx)
        })
        .await
        .unwrap();
        drop(tasks);
        assert!(is_dropped.await.is_err());
        // Whatever is spawned later is dropped at once.
        executor.execute(async {});
    }
}
