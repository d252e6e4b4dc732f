//! Where values come from besides the file itself: the environment and other files. Nothing else reads the
//! environment.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;

use super::expansion::{ExpansionPiece, Malformed, pieces};
use super::text::MAX_MANIFESTS;
use crate::base::secret::Secret;
use crate::base::thread::in_time;
use crate::base::value::{ParseSession, TextPart, TooMuch, help_with_unreadable, is_absent, why_unreadable};

/// The most problems that are told of one value.
const MAX_ERRORS: usize = 20;

/// What writes into a pipe may take this long: a chart with many dependencies is rendered in less.
const PATIENCE: Duration = Duration::from_secs(300);
/// The stack of a thread that reads it.
const STACK: usize = 128 * 1024;

/// The largest file that a configuration may name, in bytes.
const MAX_FILE: usize = 1 << 20;

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

    /// The value of the variable `name`, if it is set to more than nothing.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text(&self, name: &str) -> Result<Option<&str>, NotText> {
        match self.variables.get(name) {
            Some(value) => Ok(Some(value.as_deref().map_err(|error| *error)?).filter(|value| !value.is_empty())),
            None => Ok(None),
        }
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
/// Everything that is wrong with its expansions, within bounds; nothing where that has been told already.
pub fn expand(
    text: &str,
    environment: &Environment,
    session: &ParseSession,
) -> Result<Vec<TextPart>, Vec<ExpansionError>> {
    // Nearly no text has any.
    if !text.contains("${") {
        return Ok(if text.is_empty() { Vec::new() } else { vec![TextPart::Plain(text.to_owned())] });
    }
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    for piece in pieces(text) {
        match fill(piece, environment, session) {
            Ok(part) => push(&mut parts, part),
            Err(Unfilled::Reported) => return Err(errors),
            Err(Unfilled::Wrong(error)) => errors.push(error),
        }
        if errors.len() == MAX_ERRORS {
            break;
        }
    }
    if errors.is_empty() { Ok(parts) } else { Err(errors) }
}

/// The content of the file at `path`, for [`ParseSession`]: a regular file of at most 1 MiB.
///
/// # Errors
/// What the system says; `FileTooLarge` for a larger one, `Unsupported` for a pipe, a socket or a device, which is
/// neither waited for nor touched.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let content = content_of(open_file(path)?)?;
    if content.len() > MAX_FILE {
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
    /// So many bytes are not too many.
    pub most: usize,
}

impl Input {
    /// The path that stands for standard input.
    pub const STDIN: &str = "-";

    /// Reads the file at `path`, which may be a pipe (`--config <(helm template …)`) or `-` for standard input.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self { path: path.to_owned(), content: read_input(path, MAX_FILE), most: MAX_FILE }
    }

    /// The same where manifests may stand as well, which are larger.
    #[must_use]
    pub fn read_manifests(path: &Path) -> Self {
        Self { path: path.to_owned(), content: read_input(path, MAX_MANIFESTS), most: MAX_MANIFESTS }
    }

    /// Reads the file at `path`. A pipe, a socket or a device is refused, because reading one may never end.
    #[must_use]
    pub fn read_file(path: &Path) -> Self {
        Self { path: path.to_owned(), content: open_file(path).and_then(content_of), most: MAX_FILE }
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

fn read_input(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    if !is_stdin(path) && std::fs::metadata(path)?.is_file() {
        return read_stream(path, most);
    }
    let path = path.to_owned();
    // The other end of a pipe may never write, nor end.
    in_time("input", STACK, PATIENCE, move || read_stream(&path, most))?
}

fn read_stream(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let (mut content, one_more) = (Vec::new(), most as u64 + 1);
    if is_stdin(path) {
        io::stdin().lock().take(one_more).read_to_end(&mut content)?
    } else {
        File::open(path)?.take(one_more).read_to_end(&mut content)?
    };
    Ok(content)
}

/// What the file holds, cut off behind its first excess byte. It is read in one go where its size says how much there is.
fn content_of(file: File) -> io::Result<Vec<u8>> {
    let size = file.metadata().map_or(0, |found| found.len());
    let room = usize::try_from(size).unwrap_or(MAX_FILE).min(MAX_FILE) + 1;
    let mut content = Vec::with_capacity(room);
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Opens a regular file. Of what is none the kind alone is looked at: some devices do something when they are opened.
///
/// # Errors
/// What the system says; `Unsupported` for what is neither a file nor a folder.
pub fn open_file(path: &Path) -> io::Result<File> {
    let is_file = |kind: FileType| match (kind.is_file(), kind.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    is_file(std::fs::metadata(path)?.file_type())?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        // Somebody has a lease on it, which is no pipe: its end is waited for, as everybody does.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => File::open(path)?,
        opened => opened?,
    };
    // Something else may stand there by now: opened like this nothing waits, and nothing of it is read.
    is_file(file.metadata()?.file_type())?;
    Ok(file)
}

/// The name of this machine, as the kernel knows it.
pub fn host_name() -> Option<String> {
    let machine = rustix::system::uname();
    let name = machine.nodename().to_str().ok()?.trim();
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Why there is no part.
enum Unfilled {
    Wrong(ExpansionError),
    /// Something that has been reported of the file as a whole.
    Reported,
}

impl From<ExpansionError> for Unfilled {
    fn from(error: ExpansionError) -> Self {
        Self::Wrong(error)
    }
}

fn fill(
    piece: Result<ExpansionPiece<'_>, Malformed>,
    environment: &Environment,
    session: &ParseSession,
) -> Result<TextPart, Unfilled> {
    match piece {
        Ok(ExpansionPiece::Plain(text)) => Ok(TextPart::Plain(text.to_owned())),
        Ok(ExpansionPiece::Variable { name, default }) => brought_in(variable(name, default, environment)?, session),
        Ok(ExpansionPiece::File(path)) => brought_in(text_of(&file(Path::new(path), session)?, path)?, session),
        Ok(ExpansionPiece::Capture { step, name }) => {
            Ok(TextPart::Capture { step: step.to_owned(), name: name.to_owned() })
        }
        Err(Malformed { message, help }) => {
            Err(ExpansionError { code: "invalid-expansion", message, help, absent: false }.into())
        }
    }
}

/// The part that an expansion stands for. It is counted before it is copied.
fn brought_in(text: &str, session: &ParseSession) -> Result<TextPart, Unfilled> {
    match session.bring_in(text.len()) {
        Ok(()) => Ok(TextPart::Expanded(Secret::new(text))),
        Err(TooMuch::Again) => Err(Unfilled::Reported),
        Err(TooMuch::First) => Err(Unfilled::Wrong(ExpansionError {
            code: "too-large",
            message: format!("expansions bring in more than {} MiB altogether", ParseSession::MAX_EXPANDED >> 20),
            help:
                "expand smaller values, or use fewer of them: what a file or variable holds counts wherever it is used"
                    .into(),
            absent: false,
        })),
    }
}

fn variable<'v>(name: &str, default: Option<&'v str>, environment: &'v Environment) -> Result<&'v str, ExpansionError> {
    let unset = || ExpansionError {
        code: "unset-variable",
        message: format!("the environment variable `{name}` is not set"),
        help: format!("set it in the sidecar's container, or give a default: `${{{name}:-…}}`"),
        absent: true,
    };
    match (environment.variables.get(name), default) {
        (Some(Ok(value)), Some(default)) if value.is_empty() => Ok(default),
        (Some(Ok(value)), _) => Ok(value),
        (Some(Err(NotText)), _) => Err(ExpansionError {
            code: "unset-variable",
            message: format!("the environment variable `{name}` is not UTF-8 text"),
            help: "set it to text".into(),
            absent: false,
        }),
        (None, default) => default.ok_or_else(unset),
    }
}

fn file(path: &Path, session: &ParseSession) -> Result<Arc<[u8]>, ExpansionError> {
    session.file(path).map_err(|cause| ExpansionError {
        code: "unreadable-file",
        message: format!("cannot read the file {}: {}", shown(path), why_unreadable(cause.kind())),
        help: help_with_unreadable(cause.kind()).into(),
        absent: is_absent(cause.kind()),
    })
}

/// What the file at `path` holds, without the line break at its end.
fn text_of<'c>(content: &'c [u8], path: &str) -> Result<&'c str, ExpansionError> {
    let text = std::str::from_utf8(content).map_err(|_| ExpansionError {
        code: "unreadable-file",
        message: format!("cannot read the file {}: it is not UTF-8 text", shown(Path::new(path))),
        help: help_with_unreadable(io::ErrorKind::InvalidData).into(),
        absent: false,
    })?;
    Ok(text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line)))
}

fn shown(path: &Path) -> String {
    super::quote::told_path(&path.display().to_string())
}

/// Adds a part; neighbouring plain ones become one.
fn push(parts: &mut Vec<TextPart>, part: TextPart) {
    match (parts.last_mut(), part) {
        (Some(TextPart::Plain(before)), TextPart::Plain(text)) => before.push_str(&text),
        (_, part) => parts.push(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Vec<ExpansionError>> {
        let environment = Environment::of([("USER", "anna"), ("EMPTY", "")]);
        let session = ParseSession::new(Box::new(|path| match path.to_str() {
            Some("/run/password") => Ok(b"hunter2\n\n".to_vec()),
            Some("/run/windows") => Ok(b"hunter2\r\n".to_vec()),
            Some("/run/binary") => Ok(vec![0xff]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }));
        let captured = |step: &str, name: &str| Ok::<_, ()>(format!("<{step}.{name}>"));
        expand(text, &environment, &session)
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
    fn what_is_brought_in_is_bounded_and_told_once() {
        let megabyte = ParseSession::new(Box::new(|_| Ok(vec![b'x'; 1 << 20])));
        let environment = Environment::of([("LONG", "x".repeat(1 << 17))]);
        let expanded = |text: &str| {
            let codes = |errors: Vec<ExpansionError>| errors.into_iter().map(|error| error.code).collect::<Vec<_>>();
            expand(text, &environment, &megabyte).map(|parts| parts.len()).map_err(codes)
        };
        assert_eq!(expanded(&"${file:/a}".repeat(3)), Ok(3));
        assert_eq!(expanded(&"${LONG}".repeat(8)), Ok(8));
        assert_eq!(expanded("${LONG}"), Err(vec!["too-large"]));
        assert_eq!(expanded("${UNSET}${LONG}${UNSET}"), Err(vec!["unset-variable"]), "the file has too much, once");
        assert_eq!(expanded(&"${UNSET}".repeat(1000)).unwrap_err().len(), MAX_ERRORS);
    }

    #[test]
    fn a_file_that_never_ends_or_never_starts_is_not_waited_for() {
        for device in ["/dev/zero", "/dev/null", "/dev/tty", "/dev/full"] {
            assert_eq!(read_file(Path::new(device)).unwrap_err().kind(), io::ErrorKind::Unsupported, "{device}");
        }
        assert_eq!(read_file(Path::new("/")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(read_file(Path::new("/proc/self/status")).unwrap().starts_with(b"Name:"));
        let pipe = std::env::temp_dir().join(format!("probelet-pipe-{}", std::process::id()));
        let (folder, owner) = (rustix::fs::CWD, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(folder, &pipe, rustix::fs::FileType::Fifo, owner, 0).unwrap();
        let read = read_file(&pipe);
        let input = Input::read_file(&pipe).content;
        let path = pipe.clone();
        let waited = in_time("input", STACK, Duration::from_millis(10), move || read_stream(&path, MAX_FILE)).flatten();
        assert_eq!(waited.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Whoever waits for the other end goes on once it is there.
        drop(OpenOptions::new().write(true).open(&pipe));
        assert_eq!(input.unwrap_err().kind(), io::ErrorKind::Unsupported);
        std::fs::remove_file(&pipe).unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn the_environment_shows_nothing_when_formatted() {
        assert_eq!(format!("{:?}", Environment::of([("PASSWORD", "hunter2")])), "Environment(1)");
    }
}
