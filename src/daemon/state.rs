//! The state directory (`run --state`): what must outlive the sidecar's own container. It holds the history file and
//! the last good configuration, as it was written: expansions stay unexpanded, so no secret that they stand for is in
//! it.
//!
//! All of its I/O is done by a thread of its own: a disk that hangs or is full costs what it should have kept.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::config::MAX_BYTES;
use crate::config::source::open_file;
use crate::model::outcome::one_line;

/// The default of `history.path`, in the state directory.
const HISTORY: &str = "history.db";
/// The last good configuration: a line that says whose it is, and the text as it was written.
const LAST_GOOD: &str = "last-good.yaml";
const HEADER: &str = "# The last good configuration, kept by probelet for the pod ";

/// The state directory in use; dropping it ends its thread.
#[derive(Debug)]
#[must_use = "dropping it ends its thread"]
pub struct StateDirectory {
    directory: PathBuf,
    /// What is to be kept next. Only the latest counts.
    next: Arc<Mutex<Option<String>>>,
    wake: SyncSender<()>,
}

impl StateDirectory {
    /// Uses `directory`, which is made where it is missing, for the pod with this UID. Once it is there the last good
    /// configuration of this pod is told, if there is one.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn open(directory: PathBuf, pod: &str) -> io::Result<(Self, oneshot::Receiver<Option<String>>)> {
        let next = Arc::<Mutex<Option<String>>>::default();
        let (wake, woken) = sync_channel(1);
        let (found, last_good) = oneshot::channel();
        let keeper = StateWriter { directory: directory.clone(), header: format!("{HEADER}`{}`\n", one_line(pod)) };
        let waiting = Arc::clone(&next);
        thread::Builder::new()
            .name("state".into())
            .stack_size(128 * 1024)
            .spawn(move || keeper.work(found, &waiting, &woken))?;
        Ok((Self { directory, next, wake }, last_good))
    }

    /// Where history is kept unless the configuration says otherwise.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.directory.join(HISTORY)
    }

    /// Keeps `written` as the last good configuration, without waiting for the disk.
    pub fn keep(&self, written: String) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
        // Where there is no room the thread is about to look anyway.
        let _ = self.wake.try_send(());
    }
}

/// Does the work on the disk.
struct StateWriter {
    directory: PathBuf,
    header: String,
}

impl StateWriter {
    fn work(self, found: oneshot::Sender<Option<String>>, next: &Mutex<Option<String>>, woken: &Receiver<()>) {
        let directory = self.directory.display();
        if let Err(error) = fs::create_dir_all(&self.directory) {
            tracing::warn!(%directory, %error, "the state directory cannot be made: nothing outlives this container");
        }
        let mut kept = self.read();
        // Nobody waits for it any more where the disk has taken too long.
        let _ = found.send(kept.clone());
        while woken.recv().is_ok() {
            let written = next.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(written) = written.filter(|written| kept.as_ref() != Some(written)) else { continue };
            match self.write(&written) {
                Ok(()) => kept = Some(written),
                Err(error) => {
                    tracing::warn!(%directory, %error, "the last good configuration cannot be kept: a restart with a broken one would have none");
                }
            }
        }
    }

    /// The text that was kept for this pod.
    fn read(&self) -> Option<String> {
        let most = (MAX_BYTES + self.header.len()) as u64;
        let mut kept = String::new();
        open_file(&self.path()).ok()?.take(most).read_to_string(&mut kept).ok()?;
        kept.strip_prefix(&self.header).map(str::to_owned)
    }

    /// Replaces the file in one step: whoever reads it finds the whole of one text.
    fn write(&self, written: &str) -> io::Result<()> {
        let fresh = self.path().with_extension("yaml.new");
        remove(&fresh)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let done = file
            .write_all(self.header.as_bytes())
            .and_then(|()| file.write_all(written.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&fresh, self.path()));
        if done.is_err() {
            // It may be what fills the disk.
            let _ = remove(&fresh);
        }
        done
    }

    fn path(&self) -> PathBuf {
        self.directory.join(LAST_GOOD)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct StateFolder(PathBuf);

    impl StateFolder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("probelet-state-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn keeper(&self, pod: &str) -> StateWriter {
            fs::create_dir_all(&self.0).unwrap();
            StateWriter { directory: self.0.clone(), header: format!("{HEADER}`{pod}`\n") }
        }
    }

    impl Drop for StateFolder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_text_comes_back_as_it_was_to_the_pod_that_kept_it() {
        let folder = StateFolder::new("keep");
        let (mine, other) = (folder.keeper("pod-1"), folder.keeper("pod-2"));
        assert_eq!(mine.read(), None);
        for text in ["checks: []\n", "", "# \u{e9}\r\nchecks: []", &"#".repeat(MAX_BYTES)] {
            mine.write(text).unwrap();
            assert_eq!(mine.read().as_deref(), Some(text));
            assert_eq!(other.read(), None);
        }
        assert_eq!(fs::metadata(mine.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing else is left there");
    }

    #[tokio::test]
    async fn the_directory_is_made_and_the_latest_text_is_kept() {
        let folder = StateFolder::new("open");
        let directory = folder.0.join("deep/er");
        let (state, last_good) = StateDirectory::open(directory.clone(), "pod-1").unwrap();
        assert_eq!(last_good.await.unwrap(), None);
        state.keep("checks: []\n".into());
        state.keep("checks: [] # newer\n".into());
        assert_eq!(state.history(), directory.join("history.db"));
        let read = || fs::read_to_string(directory.join(LAST_GOOD)).unwrap_or_default();
        while !read().ends_with("# newer\n") {
            tokio::task::yield_now().await;
        }
        drop(state);
        let (_state, last_good) = StateDirectory::open(directory, "pod-1").unwrap();
        assert_eq!(last_good.await.unwrap().as_deref(), Some("checks: [] # newer\n"));
    }
}
