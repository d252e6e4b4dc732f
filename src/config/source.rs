//! Where values come from besides the file itself: the environment and other files. Nothing else reads the
//! environment.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::expansion::{Malformed, Piece, pieces};
use crate::base::secret::Secret;
use crate::base::value::{Part, Reading, is_absent, why_unreadable};

/// The largest file that a configuration may name, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The environment variables, read once. Its `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Result<String, NotText>>,
    /// What only the pod has is not here.
    offline: bool,
}

/// A variable whose value is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl Environment {
    /// The environment of this process, as it is now.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().map_err(|_| NotText)))
        };
        Self { variables: std::env::vars_os().filter_map(variable).collect(), offline: false }
    }

    /// An environment of these variables alone.
    #[must_use]
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), Ok(value.into()))).collect();
        Self { variables, offline: false }
    }

    /// This environment with one more variable, or another value of it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut environment = self.clone();
        environment.variables.insert(name.to_owned(), Ok(value.to_owned()));
        environment
    }

    /// This environment, away from the pod: variables and files that are missing are noted and are no error.
    #[must_use]
    pub fn offline(&self) -> Self {
        Self { offline: true, ..self.clone() }
    }

    /// Whether it is no error that something is missing which only the pod has.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        self.offline
    }

    /// The value of the variable `name`, if it is set to text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref().ok()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({})", self.variables.len())
    }
}

/// What is wrong with an expansion, as it is reported at the value that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpansionError {
    /// The stable code.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// What to do.
    pub help: String,
    /// It is missing here, and the pod may have it.
    pub absent: bool,
}

/// The parts of `text` with every variable and file filled in; captured values stay what they are.
///
/// # Errors
/// Everything that is wrong with its expansions.
pub fn expand(text: &str, environment: &Environment, reading: &Reading) -> Result<Vec<Part>, Vec<ExpansionError>> {
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    for piece in pieces(text) {
        match fill(piece, environment, reading) {
            Ok(part) => push(&mut parts, part),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(parts) } else { Err(errors) }
}

/// The content of the file at `path`, for [`Reading`]: a regular file (or a device) of at most 1 MiB.
///
/// # Errors
/// What the system says; `FileTooLarge` for a larger one, `Unsupported` for a pipe, which is not waited for.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_file(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

/// A file that the command line names, as it was read once: the configuration, a manifest.
#[derive(Debug)]
pub struct Input {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it held. A larger file is cut off behind its first excess byte: the size is judged by the reader.
    pub content: io::Result<Vec<u8>>,
}

impl Input {
    /// The path that stands for standard input.
    pub const STDIN: &str = "-";

    /// Reads the file at `path`, which may be a pipe (`--config <(helm template …)`) or `-` for standard input.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self { path: path.to_owned(), content: read_input(path) }
    }

    /// Reads the file at `path` as somebody must who is not to wait for the other end of a pipe.
    #[must_use]
    pub fn read_file(path: &Path) -> Self {
        let mut content = Vec::new();
        let read = open_file(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut content));
        Self { path: path.to_owned(), content: read.map(|_| content) }
    }

    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> String {
        if is_stdin(&self.path) { "standard input".into() } else { self.path.display().to_string() }
    }
}

/// Whether `path` stands for standard input.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == Input::STDIN
}

/// Whether what `path` names can be read only once: standard input, or the pipe that a shell makes.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    // The file system of pipes without a name: `PIPEFS_MAGIC` in Linux's `magic.h`.
    let is_pipe = |system: rustix::fs::StatFs| u64::try_from(system.f_type) == Ok(0x5049_5045);
    is_stdin(path) || rustix::fs::statfs(path).is_ok_and(is_pipe)
}

fn read_input(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match is_stdin(path) {
        true => io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut content)?,
        false => OpenOptions::new().read(true).open(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?,
    };
    Ok(content)
}

/// Opens a regular file (or a device).
fn open_file(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        // Somebody has a lease on it, which is no pipe: its end is waited for, as everybody does.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => File::open(path)?,
        opened => opened?,
    };
    let kind = file.metadata()?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(file)
}

/// The name of this machine, as the kernel knows it.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn fill(
    piece: Result<Piece<'_>, Malformed>,
    environment: &Environment,
    reading: &Reading,
) -> Result<Part, ExpansionError> {
    match piece {
        Ok(Piece::Plain(text)) => Ok(Part::Plain(text.to_owned())),
        Ok(Piece::Variable { name, default }) => variable(name, default, environment),
        Ok(Piece::File(path)) => file(Path::new(path), reading),
        Ok(Piece::Capture { step, name }) => Ok(Part::Capture { step: step.to_owned(), name: name.to_owned() }),
        Err(Malformed { message, help }) => {
            Err(ExpansionError { code: "invalid-expansion", message, help, absent: false })
        }
    }
}

fn variable(name: &str, default: Option<&str>, environment: &Environment) -> Result<Part, ExpansionError> {
    let unset = || ExpansionError {
        code: "unset-variable",
        message: format!("the environment variable `{name}` is not set"),
        help: format!("set it in the sidecar's container, or give a default: `${{{name}:-…}}`"),
        absent: true,
    };
    let value = match (environment.variables.get(name), default) {
        (Some(Ok(value)), Some(default)) if value.is_empty() => default,
        (Some(Ok(value)), _) => value,
        (Some(Err(NotText)), _) => {
            return Err(ExpansionError {
                code: "unset-variable",
                message: format!("the environment variable `{name}` is not UTF-8 text"),
                help: "set it to text".into(),
                absent: false,
            });
        }
        (None, default) => default.ok_or_else(unset)?,
    };
    Ok(Part::Expanded(Secret::new(value)))
}

fn file(path: &Path, reading: &Reading) -> Result<Part, ExpansionError> {
    let error = |why: String, absent| ExpansionError {
        code: "unreadable-file",
        message: format!("cannot read the file {}: {why}", super::mask::shown(&path.display().to_string())),
        help: "check the path and that it is mounted into the sidecar".into(),
        absent,
    };
    let unreadable = |cause: io::Error| error(why_unreadable(cause.kind()), is_absent(cause.kind()));
    let content = reading.file(path).map_err(unreadable)?;
    let text = std::str::from_utf8(&content).map_err(|_| error("it is not UTF-8 text".into(), false))?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Part::Expanded(Secret::new(text)))
}

/// Adds a part; neighbouring plain ones become one.
fn push(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (Some(Part::Plain(before)), Part::Plain(text)) => before.push_str(&text),
        (_, part) => parts.push(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Vec<ExpansionError>> {
        let environment = Environment::of([("USER", "anna"), ("EMPTY", "")]);
        let reading = Reading::new(Box::new(|path| match path.to_str() {
            Some("/run/password") => Ok(b"hunter2\n\n".to_vec()),
            Some("/run/windows") => Ok(b"hunter2\r\n".to_vec()),
            Some("/run/binary") => Ok(vec![0xff]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }));
        let captured = |step: &str, name: &str| Ok::<_, ()>(format!("<{step}.{name}>"));
        expand(text, &environment, &reading)
            .map(|parts| crate::base::value::Text { parts, written: String::new() }.render(captured).unwrap())
    }

    #[test]
    fn variables_and_files_are_filled_in() {
        let cases = [
            ("hello ${USER}!", "hello anna!"),
            ("${EMPTY}", ""),
            ("${EMPTY:-bob}", "bob"),
            ("${UNSET:-bob}", "bob"),
            ("${UNSET:-}", ""),
            ("${USER:-bob}", "anna"),
            ("${file:/run/password}", "hunter2\n"),
            ("${file:/run/windows}", "hunter2"),
            ("$${USER}", "${USER}"),
            ("${steps.order.id}", "<order.id>"),
        ];
        for (text, value) in cases {
            assert_eq!(expanded(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn everything_that_cannot_be_filled_in_is_named() {
        let errors = expanded("${UNSET} ${file:/run/missing} ${file:/run/binary} ${").unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| (error.code, error.message.as_str())).collect();
        assert_eq!(
            found,
            [
                ("unset-variable", "the environment variable `UNSET` is not set"),
                ("unreadable-file", "cannot read the file /run/missing: no such file"),
                ("unreadable-file", "cannot read the file /run/binary: it is not UTF-8 text"),
                ("invalid-expansion", "`${` is never closed"),
            ]
        );
        assert_eq!(errors[0].help, "set it in the sidecar's container, or give a default: `${UNSET:-…}`");
    }

    #[test]
    fn a_file_that_never_ends_or_never_starts_is_not_waited_for() {
        assert_eq!(read_file(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_file(Path::new("/")).is_err());
        let pipe = std::env::temp_dir().join(format!("probelet-pipe-{}", std::process::id()));
        let (folder, owner) = (rustix::fs::CWD, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(folder, &pipe, rustix::fs::FileType::Fifo, owner, 0).unwrap();
        let read = read_file(&pipe);
        std::fs::remove_file(&pipe).unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn the_environment_shows_nothing_when_formatted() {
        assert_eq!(format!("{:?}", Environment::of([("PASSWORD", "hunter2")])), "Environment(1)");
    }
}
