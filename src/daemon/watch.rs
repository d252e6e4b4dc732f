//! The thread that reads the configuration: again when it is told to, and when the content of any of its files changes.
//!
//! It is a thread of its own because a file may lie on a mount that hangs. It compares contents, not times: a
//! ConfigMap is changed by a swap of a symbolic link, and an editor may keep the time.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::source::Environment;
use crate::config::{self, Loaded};

/// How often the files are read to see whether their content has changed.
const PERIOD: Duration = Duration::from_secs(1);

/// A configuration that was read, and why.
#[derive(Debug)]
pub struct News {
    /// What was read.
    pub loaded: Loaded,
}

/// The way to the watching thread; dropping it ends the thread.
#[derive(Debug)]
pub struct Watch {
    orders: Sender<Order>,
}

#[derive(Debug)]
enum Order {
    /// Read again, whether anything has changed or not.
    Reload,
    /// Look for changes of contents from now on, or no longer.
    Follow(bool),
}

impl Watch {
    /// Starts the thread. `files` are those of the configuration in use; `follow` says whether to look for changes.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn start(
        path: PathBuf,
        environment: Environment,
        files: Files,
        follow: bool,
        news: mpsc::Sender<News>,
    ) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let watcher = Watcher { path, environment, files, follow };
        thread::Builder::new()
            .name("config".into())
            .stack_size(512 * 1024)
            .spawn(move || watcher.watch(&receiver, &news))?;
        Ok(Self { orders })
    }

    /// Reads the configuration again now.
    pub fn reload(&self) {
        let _ = self.orders.send(Order::Reload);
    }

    /// Looks for changes of contents from now on, or no longer.
    pub fn follow(&self, follow: bool) {
        let _ = self.orders.send(Order::Follow(follow));
    }
}

/// Files with their content; one that could not be read has none.
pub type Files = BTreeMap<PathBuf, Arc<[u8]>>;

struct Watcher {
    path: PathBuf,
    environment: Environment,
    files: Files,
    follow: bool,
}

impl Watcher {
    fn watch(mut self, orders: &Receiver<Order>, news: &mpsc::Sender<News>) {
        loop {
            let reload = match orders.recv_timeout(PERIOD) {
                Ok(Order::Reload) => true,
                Ok(Order::Follow(follow)) => {
                    self.follow = follow;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => self.follow && self.has_changed(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if reload {
                let loaded = config::load(&self.path, &self.environment);
                self.files = loaded.files.clone();
                if news.blocking_send(News { loaded }).is_err() {
                    return;
                }
            }
        }
    }

    fn has_changed(&self) -> bool {
        self.files.iter().any(|(path, content)| config::source::read_file(path).unwrap_or_default()[..] != content[..])
    }
}
