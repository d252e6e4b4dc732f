//! The thread that reads the configuration: first at the start, again when it is told to, and when the content of any
//! of its files changes.
//!
//! It is a thread of its own because a file may lie on a mount that hangs. Contents count, not times: a
//! ConfigMap is changed by a swap of a symbolic link, and an editor may keep the time. Changes are
//! debounced: one counts once two looks in a row have seen the same content, so that a half-written file is no
//! configuration.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::stamp::FileStamps;
use crate::base::thread::give_way;
use crate::config::source::{self, Environment, Input};
use crate::config::{self, Config, Loaded};
use crate::probe::exhausted;

/// The stack of a thread that reads a configuration.
pub(super) const STACK: usize = 512 * 1024;
/// What is read again is read behind the gates and the probes.
const STEPS_BEHIND: i32 = 2;
/// From one look at the content of the files to the next.
const PERIOD: Duration = Duration::from_secs(5);
/// From the look that has seen another content to the next, which must see the same.
const SETTLED: Duration = Duration::from_secs(1);

/// A configuration that was read.
#[derive(Debug)]
pub struct ConfigUpdate {
    /// What was read.
    pub loaded: Loaded,
}

/// The way to the watching thread; dropping it ends the thread.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct ConfigWatch {
    orders: Sender<WatchCommand>,
}

#[derive(Debug)]
enum WatchCommand {
    /// Read again, whether anything has changed or not.
    Reload,
    /// Look for changes of contents from now on, or no longer.
    Follow(bool),
    /// Free this, which is used no more.
    Retire(Box<Config>),
}

impl ConfigWatch {
    /// Starts the thread, which reads the file at `path` at once. Changes of contents are looked for until it is told
    /// otherwise.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn start(path: PathBuf, environment: Environment, news: mpsc::Sender<ConfigUpdate>) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let watcher = ConfigWatcher::new(path, environment);
        thread::Builder::new()
            .name("config".into())
            .stack_size(STACK)
            .spawn(move || watcher.watch(&receiver, &news))?;
        Ok(Self { orders })
    }

    /// Reads the configuration again now.
    pub fn reload(&self) {
        let _ = self.orders.send(WatchCommand::Reload);
    }

    /// Looks for changes of contents from now on, or no longer.
    pub fn follow(&self, follow: bool) {
        let _ = self.orders.send(WatchCommand::Follow(follow));
    }

    /// Frees `config` once nobody is answered from it any more: with thousands of checks that takes longer than the
    /// other threads have.
    pub fn retire(&self, config: Config) {
        let _ = self.orders.send(WatchCommand::Retire(Box::new(config)));
    }
}

/// Files with their content; one that could not be read has none.
type Files = BTreeMap<PathBuf, Arc<[u8]>>;

struct ConfigWatcher {
    path: PathBuf,
    environment: Environment,
    /// What was told last.
    files: Files,
    /// What the looks at them have found.
    stamps: FileStamps,
    /// What one look has seen that differs from it.
    candidate: Option<Loaded>,
    /// The last that could be used.
    latest: Option<Config>,
    follow: bool,
}

impl ConfigWatcher {
    fn new(path: PathBuf, environment: Environment) -> Self {
        let (files, stamps) = (Files::new(), FileStamps::default());
        Self { path, environment, files, stamps, candidate: None, latest: None, follow: true }
    }

    /// What is looked at from now on.
    fn keep(&mut self, files: &Files) {
        self.files.clone_from(files);
        self.stamps = FileStamps::default();
    }

    fn watch(mut self, orders: &Receiver<WatchCommand>, news: &mpsc::Sender<ConfigUpdate>) {
        if source::is_stream(&self.path) {
            let loaded = config::load(&self.path, &self.environment);
            if news.blocking_send(ConfigUpdate { loaded }).is_ok() {
                refuse_reloads(orders);
            }
            return;
        }
        let mut found = Some(self.load());
        // The start waits for the first; nobody waits for what is read again.
        give_way(STEPS_BEHIND);
        let mut retired: Option<Box<Config>> = None;
        loop {
            if let Some(loaded) = found {
                self.keep(&loaded.files);
                self.candidate = None;
                if let Some(config) = &loaded.config {
                    self.latest = Some(config.clone());
                }
                if news.blocking_send(ConfigUpdate { loaded }).is_err() {
                    return;
                }
            }
            let pause = if self.candidate.is_some() { SETTLED } else { PERIOD };
            found = match orders.recv_timeout(pause) {
                Ok(WatchCommand::Reload) => Some(self.load()),
                Ok(WatchCommand::Follow(follow)) => {
                    self.follow = follow;
                    None
                }
                Ok(WatchCommand::Retire(config)) => {
                    retired = Some(config);
                    None
                }
                Err(RecvTimeoutError::Timeout) => {
                    // The snapshot that was made of it has been replaced since.
                    drop(retired.take());
                    if self.follow { self.look() } else { None }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// What two looks in a row have seen, if it is not what was told last.
    fn look(&mut self) -> Option<Loaded> {
        let config = self.path.clone();
        self.look_with(&|path| if path == config { Input::read_file(path).content } else { source::read_file(path) })
    }

    /// The same with files as `read` finds them.
    fn look_with(&mut self, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Option<Loaded> {
        if let Some(candidate) = self.candidate.take() {
            // Nothing is known of its files yet: they are read.
            if are_current(&candidate.files, &mut FileStamps::default(), read) == Some(true) {
                return Some(candidate);
            }
        }
        let mut stamps = std::mem::take(&mut self.stamps);
        stamps.begin_look();
        let are_current = are_current(&self.files, &mut stamps, read);
        // A look that could not be had counts for nothing: the next ones read.
        self.stamps = if are_current.is_some() { stamps } else { FileStamps::default() };
        if are_current == Some(false) {
            self.candidate = Some(self.load());
        }
        None
    }

    fn load(&self) -> Loaded {
        config::load_after(&Input::read_file(&self.path), &self.environment, self.latest.as_ref())
    }
}

/// Whether the files hold what they are said to; nothing where that cannot be told now, because there is no descriptor
/// left to open one.
fn are_current(files: &Files, stamps: &mut FileStamps, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Option<bool> {
    for (path, known) in files {
        match stamps.holds(path, known, || read(path)) {
            Ok(true) => {}
            Ok(false) => return Some(false),
            Err(error) if exhausted::of_io(&error).is_some() => return None,
            // What cannot be read holds nothing.
            Err(_) if known.is_empty() => {}
            Err(_) => return Some(false),
        }
    }
    Some(true)
}

/// What has been read from a stream is gone.
fn refuse_reloads(orders: &Receiver<WatchCommand>) {
    for order in orders {
        if matches!(order, WatchCommand::Reload) {
            tracing::info!("SIGHUP: the configuration came from a stream, which cannot be read again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustix::io::Errno;

    use super::*;

    struct WatchedFolder(PathBuf);

    impl WatchedFolder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("probelet-watch-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }

        /// A watcher of `config.yaml` that has told of it.
        fn watcher(&self) -> ConfigWatcher {
            let (path, environment) = (self.0.join("config.yaml"), Environment::default());
            let mut watcher = ConfigWatcher::new(path, environment);
            watcher.keep(&watcher.load().files);
            watcher
        }
    }

    impl Drop for WatchedFolder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// How many checks the configuration has that the next look finds.
    fn found(watcher: &mut ConfigWatcher) -> Option<Option<usize>> {
        let loaded = watcher.look()?;
        watcher.keep(&loaded.files);
        Some(loaded.config.map(|config| config.plan.checks.len()))
    }

    const ONE: &str = "checks:\n  - { name: a, simulated: {} }\n";
    const TWO: &str = "checks:\n  - { name: a, simulated: {} }\n  - { name: b, simulated: {} }\n";

    #[test]
    fn a_content_counts_once_two_looks_have_seen_the_same() {
        let folder = WatchedFolder::new("twice");
        folder.write("config.yaml", TWO);
        let mut watcher = folder.watcher();
        assert_eq!(found(&mut watcher), None);
        // A file that is being written: valid after each of its items.
        for end in [0, 8, ONE.len()] {
            folder.write("config.yaml", &TWO[..end]);
            assert_eq!(found(&mut watcher), None, "{end}");
        }
        folder.write("config.yaml", TWO);
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, None), "it is as it was");
        folder.write("config.yaml", ONE);
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, Some(Some(1))));
        assert_eq!(found(&mut watcher), None);
        folder.write("config.yaml", "checks:\n  - nam");
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, Some(None)));
    }

    #[test]
    fn a_file_that_a_new_configuration_names_is_looked_at_twice_too() {
        let folder = WatchedFolder::new("named");
        folder.write("config.yaml", ONE);
        let mut watcher = folder.watcher();
        let secret = folder.0.join("secret");
        folder.write("secret", "hun");
        let check = format!("checks: [{{ name: a, simulated: {{ ok_message: \"${{file:{}}}\" }} }}]", secret.display());
        folder.write("config.yaml", &check);
        assert_eq!(found(&mut watcher), None);
        folder.write("secret", "hunter2");
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, Some(Some(1))));
        folder.write("secret", "hunter3");
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, Some(Some(1))));
    }

    #[test]
    fn what_has_not_changed_is_there_once_after_a_reload() {
        let folder = WatchedFolder::new("shared");
        folder.write("config.yaml", ONE);
        let mut watcher = folder.watcher();
        watcher.latest = watcher.load().config;
        folder.write("config.yaml", TWO);
        assert_eq!(found(&mut watcher), None);
        let next = watcher.look().unwrap().config.unwrap();
        let latest = watcher.latest.unwrap();
        assert!(Arc::ptr_eq(&latest.plan.checks[0], &next.plan.checks[0]));
        assert!(Arc::ptr_eq(&latest.targets[0].spec, &next.targets[0].spec));
    }

    #[test]
    fn a_look_for_which_no_descriptor_is_left_makes_the_next_ones_read() {
        let folder = WatchedFolder::new("exhausted");
        folder.write("config.yaml", ONE);
        let mut watcher = folder.watcher();
        let mut reads = |has_descriptors: bool| {
            let count = Cell::new(0);
            let found = watcher.look_with(&|path| {
                count.set(count.get() + 1);
                if has_descriptors { std::fs::read(path) } else { Err(Errno::MFILE.into()) }
            });
            assert!(found.is_none());
            count.get()
        };
        // Each sixth look reads whatever the metadata say.
        let before: Vec<u32> = [true, true, true, true, true, false].into_iter().map(&mut reads).collect();
        assert_eq!(before, [1, 1, 0, 0, 0, 1]);
        let after: Vec<u32> = [true; 3].into_iter().map(reads).collect();
        assert_eq!(after, [1, 1, 0]);
        assert!(watcher.candidate.is_none(), "nothing has changed");
    }

    #[test]
    fn a_file_that_is_too_large_is_told_once() {
        let folder = WatchedFolder::new("large");
        folder.write("config.yaml", ONE);
        let mut watcher = folder.watcher();
        folder.write("config.yaml", &"#".repeat(2 << 20));
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, Some(None)));
        assert_eq!((found(&mut watcher), found(&mut watcher)), (None, None));
    }
}
