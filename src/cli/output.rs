//! Output that holds up nobody: a pipe that nobody reads or a terminal that is stopped (Ctrl-S) delays no run of a check,
//! and keeps no command from its signals and its time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Exit, answered, complain, written};
use crate::base::clock::{Clock, Moment};

/// The stack of the thread that writes.
const STACK: usize = 128 * 1024;
/// Progress is left out while so many bytes wait to be written.
const MOST: usize = 1 << 20;
/// What is left to be written at the end has this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Both streams, written by a thread of their own in the order in which things are said.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// Nothing where the system has no thread to give: whoever says something writes it.
    queue: Option<mpsc::UnboundedSender<Words>>,
    /// The bytes that wait to be written.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Words {
    Complaint(String),
    /// For standard output, and who wants to know that it is there.
    Answer(String, oneshot::Sender<io::Result<()>>),
}

impl Words {
    const fn len(&self) -> usize {
        match self {
            Self::Complaint(text) | Self::Answer(text, _) => text.len(),
        }
    }

    fn write(self) {
        match self {
            Self::Complaint(text) => complain(&text),
            Self::Answer(text, told) => {
                let _ = told.send(written(&text));
            }
        }
    }
}

impl Output {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let (queue, mut said) = mpsc::unbounded_channel::<Words>();
        let waiting = Arc::<AtomicUsize>::default();
        let left = Arc::clone(&waiting);
        let work = move || {
            while let Some(words) = said.blocking_recv() {
                let len = words.len();
                words.write();
                left.fetch_sub(len, Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("output".into()).stack_size(STACK).spawn(work);
        Self { queue: thread.is_ok().then_some(queue), waiting }
    }

    fn say(&self, words: Words) {
        let len = words.len();
        match &self.queue {
            Some(queue) => {
                self.waiting.fetch_add(len, Ordering::Relaxed);
                // The thread is there for as long as anybody can say something.
                let _ = queue.send(words);
            }
            None => words.write(),
        }
    }

    /// Says `text` on standard error.
    pub(super) fn complain(&self, text: String) {
        self.say(Words::Complaint(text));
    }

    /// The same for what can be left out where too much waits to be written already.
    pub(super) fn progress(&self, text: String) {
        if self.waiting.load(Ordering::Relaxed) < MOST {
            self.complain(text);
        }
    }

    /// Whether all is written that has been said.
    pub(super) fn is_written(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Says `text` on standard output, and waits until that, and what was said before, is written.
    ///
    /// # Errors
    /// What the system says.
    async fn print(&self, text: String) -> io::Result<()> {
        let (told, hears) = oneshot::channel();
        self.say(Words::Answer(text, told));
        hears.await.unwrap_or(Ok(()))
    }

    /// Writes the answer of a command that is run for its output, as [`answer`](super::answer) does.
    pub(super) async fn answer(&self, text: String, exit: Exit) -> Exit {
        let (exit, complaint) = answered(self.print(text).await, exit);
        if let Some(complaint) = complaint {
            self.complain(complaint);
        }
        exit
    }

    /// Says `text` on standard output, which decides nothing: it is waited for until `deadline`.
    pub(super) async fn print_until(&self, text: String, deadline: Moment) {
        let _ = timeout(deadline.since(Clock::Machine.now()), self.print(text)).await;
    }

    /// Waits until all is written, for a second at most.
    pub(super) async fn last_words(&self) {
        let _ = timeout(LAST_WORDS, self.print(String::new())).await;
    }
}
