//! A file that others cannot open, as on a disk or a mount that hangs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Keeps others from opening a file until it is dropped.
pub struct Held(Child);

impl Held {
    /// Keeps everybody else from opening the file for writing.
    pub fn from_writers(file: &str) -> Self {
        Self::with(file, "os.O_RDONLY", "fcntl.F_RDLCK")
    }

    /// Keeps everybody else from opening the file at all.
    pub fn from_all(file: &str) -> Self {
        Self::with(file, "os.O_RDWR", "fcntl.F_WRLCK")
    }

    fn with(file: &str, flags: &str, kind: &str) -> Self {
        // A lease: whoever opens the file waits until it is given back.
        let script = format!(
            "import fcntl, os, signal, sys\n\
             signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
             file = os.open(sys.argv[1], {flags})\n\
             fcntl.fcntl(file, fcntl.F_SETLEASE, {kind})\n\
             print('held', flush=True)\n\
             sys.stdin.read()"
        );
        let mut python = Command::new("python3");
        python.args(["-c", &script, file]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut held = Self(python.spawn().expect("python3 is missing: install the Debian package `python3`"));
        let mut line = String::new();
        let stdout = held.0.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says whether it holds the file");
        assert_eq!(line, "held\n", "the file cannot be held");
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
