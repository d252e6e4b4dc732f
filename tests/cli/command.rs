//! One run of the binary: what it wrote where, and how it ended.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::certs::Folder;

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit code; 128 and the signal's number where one ended it, as a shell says.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The binary with these arguments, in an environment of its own.
pub fn probelet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probelet"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// Runs `command` to its end.
pub fn run(mut command: Command) -> Run {
    let output = command.output().expect("the binary is built");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    Run { code: code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| Some(128 + status.signal()?)).expect("it ended")
}

/// Runs `probelet` with these arguments.
pub fn runs(arguments: &[&str]) -> Run {
    run(probelet(arguments))
}

/// A configuration file in a folder that goes away with it.
pub struct Config {
    path: String,
    _folder: Folder,
}

impl Config {
    /// A file with this text.
    pub fn of(text: &str) -> Self {
        let folder = Folder::new();
        Self { path: folder.write("config.yaml", text), _folder: folder }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Runs `probelet <command> --config <this> <arguments>`.
    pub fn runs(&self, command: &str, arguments: &[&str]) -> Run {
        run(self.command(command, arguments))
    }

    /// `probelet <command> --config <this> <arguments>`, not yet started.
    pub fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut command = probelet(&[command, "--config", &self.path]);
        command.args(arguments);
        command
    }
}

/// A run that goes on. Dropping it kills it.
pub struct Started(Child);

/// Starts `command`.
pub fn start(mut command: Command) -> Started {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    start_with(command)
}

/// Starts `command` with the streams that it has.
pub fn start_with(mut command: Command) -> Started {
    Started(command.spawn().expect("the binary is built"))
}

impl Started {
    /// Waits until standard output has said `text`, and returns what it said until then.
    pub fn says(&mut self, text: &str) -> String {
        read_until(self.0.stdout.as_mut().expect("it is piped"), text)
    }

    /// The same for standard error.
    pub fn complains(&mut self, text: &str) -> String {
        read_until(self.0.stderr.as_mut().expect("it is piped"), text)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process id is not 0");
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end: how it ended, and what it wrote since it was last read where that is piped.
    pub fn ends(mut self) -> Run {
        let mut rest = Run { code: 0, stdout: String::new(), stderr: String::new() };
        if let Some(mut stdout) = self.0.stdout.take() {
            stdout.read_to_string(&mut rest.stdout).expect("it writes text");
        }
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut rest.stderr).expect("it writes text");
        }
        Run { code: code(self.0.wait().expect("it is our child")), ..rest }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads from `stream` until it has said `text`.
fn read_until(stream: &mut impl Read, text: &str) -> String {
    let mut said = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&said).contains(text) {
        let read = stream.read(&mut byte).expect("it is a pipe");
        assert_eq!(read, 1, "it ended with {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    String::from_utf8(said).expect("it writes text")
}

/// `text` with every duration as `<t>`, moments as `<when>`, and the blanks behind a duration as one.
pub fn timeless(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = shown.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '[');
        let length = if after_word { 0 } else { duration(rest) };
        if !after_word && is_moment(rest) {
            shown += "<when>";
            rest = &rest["2026-01-01T00:00:00Z".len()..];
        } else if length > 0 {
            shown += "<t>";
            rest = &rest[length..];
            let blanks = rest.len() - rest.trim_start_matches(' ').len();
            if blanks > 1 {
                shown.push(' ');
                rest = &rest[blanks..];
            }
        } else {
            shown.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    shown
}

fn is_moment(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00Z";
    let fits = |(found, wanted): (char, char)| if wanted == '0' { found.is_ascii_digit() } else { found == wanted };
    text.len() >= pattern.len() && text.chars().zip(pattern.chars()).all(fits)
}

/// The length of the duration that `text` begins with: `12ms`, `1.2s`, `1m30s`, or `0.012` in quotes.
fn duration(text: &str) -> usize {
    let mut length = 0;
    while let Some(number) = text[length..].find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0) {
        let unit = ["ms", "s", "m", "h"].iter().find(|unit| text[length + number..].starts_with(**unit));
        let Some(unit) = unit else { break };
        length += number + unit.len();
    }
    let ends = !text[length..].starts_with(|c: char| c.is_alphanumeric());
    if ends { length } else { 0 }
}

/// Compares with a file of `tests/golden/cli`, which `UPDATE=1 cargo test --test cli` writes anew.
#[track_caller]
pub fn assert_golden(name: &str, actual: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).expect("the folder is there");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{} is not current: run `UPDATE=1 cargo test --test cli`", path.display());
}

#[test]
fn durations_and_moments_are_told_from_other_words() {
    assert_eq!(
        timeless("a 12ms   b (1.2s), 1m30s p2s 2026-11-21T10:30:00Z 12msx"),
        "a <t> b (<t>), <t> p2s <when> 12msx"
    );
    assert_eq!(timeless("127.0.0.1:10240 é 3 of 4"), "127.0.0.1:10240 é 3 of 4");
}
