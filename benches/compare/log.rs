//! What a daemon logs, read as it comes.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::servers::{Folder, Server};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

/// The log of a server that was started in a folder.
pub struct Log {
    path: PathBuf,
    /// How much of it has been read.
    read: u64,
}

impl Log {
    /// Of the server in this folder.
    pub fn of(folder: &Folder) -> Self {
        Self { path: folder.path().join("output.log"), read: 0 }
    }

    /// What was logged since the last look.
    pub fn news(&mut self) -> String {
        let mut text = String::new();
        let mut log = std::fs::File::open(&self.path).expect("it is ours");
        log.seek(SeekFrom::Start(self.read)).expect("it is a file");
        self.read += log.read_to_string(&mut text).expect("it is text") as u64;
        text
    }

    /// Has the daemon whose log it is read its configuration again, and waits until it uses that.
    pub fn reload(&mut self, server: &mut Server, patience: Duration) {
        self.news();
        let status = Command::new("sh").args(["-c", &format!("kill -HUP {}", server.child.id())]).status();
        assert!(status.is_ok_and(|status| status.success()), "it runs");
        let (begun, mut said) = (Instant::now(), String::new());
        while !said.contains("the configuration was loaded") {
            let is_in_vain = said.contains("cannot be used") || server.has_ended() || begun.elapsed() > patience;
            assert!(!is_in_vain, "the configuration was not loaded: {said}");
            sleep(LOOK);
            said += &self.news();
        }
    }
}
