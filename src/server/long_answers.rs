//! Where long answers are made: a lane of its own, so that the one which answers the gates only writes their bytes.

use std::future::{Future, pending};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::base::lane;
use crate::base::thread::give_way;

/// The stack of the thread.
const STACK: usize = 512 * 1024;
/// Beyond so many answers that wait or are being made, whoever asks for one more is told to ask again. All streams may
/// need theirs at once, after a reload.
const MOST: usize = super::stream::MOST + 25;
/// The feed of streams keeps one of the places, for as long as the server goes on.
const PLACES: usize = MOST + 1;
/// Gates come first, then probes.
const STEPS_BEHIND: i32 = 2;

/// A long answer on its way.
pub(super) type Coming<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The lane; by default there is none, and work is done where it is waited for.
#[derive(Clone, Debug, Default)]
#[must_use = "dropping it ends its thread"]
pub(super) struct LongAnswers(Option<Lane>);

#[derive(Clone, Debug)]
struct Lane {
    handle: Handle,
    places: Arc<Semaphore>,
    /// The thread ends with it.
    _open: Arc<oneshot::Sender<()>>,
}

/// A place among those who wait or are being answered, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub(super) struct AnswerPlace {
    _given_back_when_dropped: Option<OwnedSemaphorePermit>,
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl LongAnswers {
    /// The lane, and its thread, which ends when this and all its clones are dropped. Until that is started, what is
    /// begun here waits.
    ///
    /// # Errors
    /// When the system refuses what it takes.
    pub(super) fn prepare() -> io::Result<(Self, AnswerThread)> {
        let (open, closed) = oneshot::channel::<()>();
        let runtime = lane::runtime_without_sockets()?;
        let (handle, places) = (runtime.handle().clone(), Arc::new(Semaphore::new(PLACES)));
        let long = Self(Some(Lane { handle, places, _open: Arc::new(open) }));
        Ok((long, AnswerThread(Some((runtime, closed)))))
    }

    /// The same with its thread started.
    #[cfg(test)]
    pub(super) fn start() -> io::Result<Self> {
        let (long, thread) = Self::prepare()?;
        thread.start().map(|()| long)
    }

    /// Begins `work` there, and ends it when what is returned is dropped. What it panics with, whoever waits panics
    /// with.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Coming<T>, Full> {
        self.begin_with(|place| async move {
            let _place = place;
            work.await
        })
    }

    /// The same for work that may give its place back before it is done, where it waits for something else.
    pub(super) fn begin_with<T: Send + 'static, W: Future<Output = T> + Send + 'static>(
        &self,
        work: impl FnOnce(AnswerPlace) -> W,
    ) -> Result<Coming<T>, Full> {
        let Some(lane) = &self.0 else { return Ok(Box::pin(work(AnswerPlace { _given_back_when_dropped: None }))) };
        let place = Arc::clone(&lane.places).try_acquire_owned().map_err(|_| Full)?;
        let mut task = AbortOnDrop(lane.handle.spawn(work(AnswerPlace { _given_back_when_dropped: Some(place) })));
        Ok(Box::pin(async move {
            match (&mut task.0).await {
                Ok(done) => done,
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The server ends, and so does whoever waits.
                Err(_) => pending().await,
            }
        }))
    }
}

/// The thread of the lane, before it is started.
#[derive(Debug)]
#[must_use = "nothing is done on the lane without it"]
pub(super) struct AnswerThread(Option<(Runtime, oneshot::Receiver<()>)>);

impl AnswerThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives us none.
    pub(super) fn start(mut self) -> io::Result<()> {
        let Some((runtime, closed)) = self.0.take() else { return Ok(()) };
        let work = async move {
            give_way(STEPS_BEHIND);
            let _ = closed.await;
        };
        lane::start(runtime, "answers", STACK, work).map(drop)
    }
}

impl Drop for AnswerThread {
    fn drop(&mut self) {
        if let Some((runtime, _)) = self.0.take() {
            // To drop it would panic where another runtime works.
            runtime.shutdown_background();
        }
    }
}

/// A task that ends with whoever waits for it.
#[must_use = "dropping it aborts the task"]
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn long_work_is_done_elsewhere_and_no_more_of_it_than_there_is_room_for() {
        let long = LongAnswers::start().unwrap();
        let name = long.begin(async { thread::current().name().map(str::to_owned) }).unwrap().await;
        assert_eq!(name.as_deref(), Some("answers"));
        // The feed has a place of its own.
        let waiting: Vec<_> = (0..=MOST).map(|_| long.begin(pending::<()>()).unwrap()).collect();
        assert!(matches!(long.begin(async {}), Err(Full)));
        drop(waiting);
        // Each place is given back by the lane, in its own time.
        while long.begin(async {}).is_err() {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn what_is_begun_before_there_is_a_thread_is_done_once_there_is_one() {
        let (long, thread) = LongAnswers::prepare().unwrap();
        let mut early = long.begin(async { thread::current().name().map(str::to_owned) }).unwrap();
        assert!(poll_fn(|cx| Poll::Ready(early.as_mut().poll(cx))).await.is_pending());
        thread.start().unwrap();
        assert_eq!(early.await.as_deref(), Some("answers"));
        // Without one whoever waits is not answered, and nothing panics.
        drop(LongAnswers::prepare().unwrap());
    }

    #[tokio::test]
    async fn whoever_waits_for_something_else_keeps_no_place() {
        let long = LongAnswers::start().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..2 * PLACES {
            let (given_back, is_given_back) = oneshot::channel();
            let work = |place| async move {
                drop(place);
                let _ = given_back.send(());
                pending::<()>().await;
            };
            waiting.push(long.begin_with(work).unwrap());
            is_given_back.await.unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_work_that_panics_panics_too() {
        let long = LongAnswers::start().unwrap();
        let coming = long.begin(async { panic!("a defect") }).unwrap();
        let waiting = tokio::spawn(async move { coming.await as () });
        assert!(waiting.await.unwrap_err().is_panic());
    }
}
