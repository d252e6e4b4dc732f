//! Configuration values as the reader hands them to a section: typed, with their place in the file, and with a way to
//! report a problem that only the section can see.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::decimal::Decimal;
use super::secret::Secret;

/// Where something stands in the file. Lines and columns are counted from 1, columns in characters.
#[derive(Clone, Debug, Default)]
pub struct SourceSpan {
    /// The YAML path: `checks[2].http.url`.
    pub path: String,
    /// The line.
    pub line: u32,
    /// The column of the first character.
    pub column: u32,
    /// How many characters a caret should underline.
    pub width: u32,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used and is probably not what was meant.
    Warning,
    /// It could not be checked here.
    Note,
}

/// Something wrong with the configuration, at a place.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Error, warning or note.
    pub severity: Severity,
    /// The stable code: `unknown-key`.
    pub code: &'static str,
    /// What was found and what was expected, in one line.
    pub message: String,
    /// What to write instead, in one line.
    pub help: Option<String>,
    /// Where.
    pub span: SourceSpan,
}

/// Why a file cannot be read, in words for people.
#[must_use]
pub fn why_unreadable(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        io::ErrorKind::Unsupported => "it is a pipe, a socket or a device".into(),
        io::ErrorKind::FileTooLarge => "it is larger than 1 MiB".into(),
        io::ErrorKind::QuotaExceeded => "the files that are named hold too much altogether".into(),
        io::ErrorKind::WouldBlock => "it does not answer at once".into(),
        io::ErrorKind::TimedOut => "it does not end".into(),
        other => other.to_string(),
    }
}

/// Whether a file that could not be read may be there for somebody else: the pod.
#[must_use]
pub const fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

/// What helps against a file that cannot be read.
#[must_use]
pub const fn help_with_unreadable(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::QuotaExceeded => {
            "name fewer or smaller files: 8 MiB of different ones, and 32 MiB counted for each place that names one"
        }
        io::ErrorKind::IsADirectory
        | io::ErrorKind::Unsupported
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::WouldBlock
        | io::ErrorKind::TimedOut => "name a regular file of at most 1 MiB",
        io::ErrorKind::InvalidData => "name a file of text in UTF-8",
        _ => "check the path and that it is mounted into the sidecar",
    }
}

/// Whether a path looks like one: absolute, or beginning with a dot, and of characters that people use in names.
fn is_path(path: &Path) -> bool {
    const LONGEST: usize = 200;
    let text = path.to_string_lossy();
    let is_rooted = text.starts_with(['/', '.', '~']);
    is_rooted && text.len() <= LONGEST && text.chars().all(|c| c.is_alphanumeric() || "/._-~ @:+=%".contains(c))
}

/// Reads a file that the configuration names.
pub type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What all sections of one document share while it is read: the problems found, and the files it names.
pub struct ParseSession {
    problems: RefCell<Vec<Problem>>,
    /// Nothing among as many problems as are kept can make room for another.
    full: Cell<bool>,
    files: RefCell<BTreeMap<PathBuf, FileContent>>,
    origin: FileOrigin,
    allowance: Rc<Allowance>,
    /// That expansions bring in too much has been reported for this document.
    told: Rc<Cell<bool>>,
    /// What only the pod has (variables, files) is not here, and no error.
    offline: bool,
}

/// Where a reading has files from.
enum FileOrigin {
    Files(Box<ReadFile>),
    /// Another reading, which keeps what was read: the same content is there once, however many sections name it.
    Document(Rc<ParseSession>),
}

/// What all readings of one file of configuration have taken in so far, in bytes.
#[derive(Debug, Default)]
struct Allowance {
    expanded: Cell<usize>,
    kept: Cell<usize>,
    named: Cell<usize>,
}

/// Takes `amount` more of what may reach `most`; whether there was so much left.
fn take(taken: &Cell<usize>, amount: usize, most: usize) -> bool {
    let total = taken.get().saturating_add(amount);
    taken.set(total);
    total <= most
}

/// Expansions bring in more than they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// For the first time.
    First,
    /// Again: that has been reported.
    Again,
}

/// What a file held, or why it could not be read.
type FileContent = Result<Arc<[u8]>, io::ErrorKind>;

impl ParseSession {
    /// The most problems that are kept: more help nobody, and a hostile file could make a million.
    pub const MAX_PROBLEMS: usize = 1000;
    /// The most that expansions may bring into one file of configuration, in bytes, counted at each place that they
    /// bring it to.
    pub const MAX_EXPANDED: usize = 4 << 20;
    /// The most that all files together may hold which one file of configuration names, in bytes.
    const MAX_KEPT: usize = 8 << 20;
    /// A file counts as so many bytes at least: names cost something, too.
    const LEAST_OF_A_FILE: usize = 4 << 10;
    /// The same, counted at each place that names one: what a section makes of a file (certificates) is its own.
    const MAX_NAMED: usize = 32 << 20;

    /// A reading that opens files with `read_file`.
    #[must_use]
    pub fn new(read_file: Box<ReadFile>) -> Rc<Self> {
        Self::with(read_file, false)
    }

    /// The same; `offline` where it is no error that a variable or a file is missing which only the pod has.
    #[must_use]
    pub fn with(read_file: Box<ReadFile>, offline: bool) -> Rc<Self> {
        Rc::new(Self::from(FileOrigin::Files(read_file), Rc::default(), Rc::default(), offline))
    }

    /// A reading of a part of `document`: problems are its own, files and what may be taken in are the document's.
    #[must_use]
    pub fn within(document: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self::beside(document, Rc::clone(&document.told)))
    }

    /// A reading of one of several documents that stand in one file and share what may be taken in: each is told for
    /// itself that it is too much.
    #[must_use]
    pub fn one_of(file: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self::beside(file, Rc::default()))
    }

    fn beside(document: &Rc<Self>, told: Rc<Cell<bool>>) -> Self {
        Self::from(FileOrigin::Document(Rc::clone(document)), Rc::clone(&document.allowance), told, document.offline)
    }

    fn from(origin: FileOrigin, allowance: Rc<Allowance>, told: Rc<Cell<bool>>, offline: bool) -> Self {
        let (problems, files) = (RefCell::default(), RefCell::default());
        Self { problems, full: Cell::new(false), files, origin, allowance, told, offline }
    }

    /// Counts `bytes` that an expansion brings in somewhere.
    ///
    /// # Errors
    /// When that is more than [`MAX_EXPANDED`](Self::MAX_EXPANDED) altogether.
    pub fn bring_in(&self, bytes: usize) -> Result<(), TooMuch> {
        if take(&self.allowance.expanded, bytes, Self::MAX_EXPANDED) {
            return Ok(());
        }
        Err(if self.told.replace(true) { TooMuch::Again } else { TooMuch::First })
    }

    /// The content of `path`, for a section that keeps what it makes of it.
    ///
    /// # Errors
    /// What the file system says; `QuotaExceeded` where the sections take in too much.
    fn named_file(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        let content = self.file(path)?;
        if take(&self.allowance.named, content.len(), Self::MAX_NAMED) {
            Ok(content)
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }

    /// Whether it is no error that something is missing which only the pod has.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        self.offline
    }

    /// Reports that something is missing which the pod may have: offline that is a note.
    pub fn report_absent(&self, problem: Problem) {
        if self.offline {
            self.report(Problem {
                severity: Severity::Note,
                message: problem.message + "; this value was not checked",
                help: None,
                ..problem
            });
        } else {
            self.report(problem);
        }
    }

    /// Adds a problem. Where there are [`MAX_PROBLEMS`](Self::MAX_PROBLEMS) already, an error takes the place of a
    /// warning, so that what cannot be used never passes for valid; everything else is left out.
    pub fn report(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < Self::MAX_PROBLEMS {
            problems.push(problem);
        } else if problem.severity == Severity::Error && !self.full.get() {
            match problems.iter_mut().rfind(|found| found.severity != Severity::Error) {
                Some(warning) => *warning = problem,
                None => self.full.set(true),
            }
        }
    }

    /// Whether a problem with `code` has been reported at `span`.
    #[must_use]
    pub fn has(&self, code: &str, span: &SourceSpan) -> bool {
        let is_there = |found: &Problem| (found.span.line, found.span.column) == (span.line, span.column);
        self.problems.borrow().iter().any(|found| found.code == code && is_there(found))
    }

    /// The problems so far, in the order in which they were found.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.borrow().clone()
    }

    /// The content of `path`, read once and remembered as a file that the configuration names.
    ///
    /// # Errors
    /// What the file system says; `QuotaExceeded` where the files hold too much altogether.
    pub fn file(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        if let Some(content) = self.files.borrow().get(path) {
            return content.clone().map_err(io::Error::from);
        }
        let read = match &self.origin {
            FileOrigin::Document(document) => document.file(path),
            // What is too much is neither read nor kept, nor is its name.
            FileOrigin::Files(_) if self.allowance.kept.get() > Self::MAX_KEPT => {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            FileOrigin::Files(read_file) => {
                read_file(path).map(Arc::<[u8]>::from).and_then(|content| self.kept(content))
            }
        };
        // A file that cannot be read is remembered too, so that its appearance is noticed.
        let content = read.as_ref().map(Arc::clone).map_err(io::Error::kind);
        self.files.borrow_mut().insert(path.to_owned(), content);
        read
    }

    fn kept(&self, content: Arc<[u8]>) -> io::Result<Arc<[u8]>> {
        if take(&self.allowance.kept, content.len().max(Self::LEAST_OF_A_FILE), Self::MAX_KEPT) {
            Ok(content)
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }

    /// Every file that was asked for, with what it held: nothing where it could not be read.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Arc<[u8]>> {
        let files = self.files.borrow();
        files.iter().map(|(path, content)| (path.clone(), content.clone().unwrap_or_default())).collect()
    }
}

impl fmt::Debug for ParseSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParseSession").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// A piece of a [`Text`].
#[derive(Clone, PartialEq, Eq)]
pub enum TextPart {
    /// As it stands in the file.
    Plain(String),
    /// What an environment variable or a file brought in.
    Expanded(Secret),
    /// A value that a workflow step captures at run time.
    Capture {
        /// The step.
        step: String,
        /// The name it captured.
        name: String,
    },
}

/// A string value: its parts after expansion, and how it is written in the file.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The parts, in order.
    pub parts: Vec<TextPart>,
    /// As in the file, expansions unexpanded. It may hold a password in plain text.
    pub written: String,
}

impl Text {
    /// A text without expansions.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        let written = text.into();
        Self { parts: vec![TextPart::Plain(written.clone())], written }
    }

    /// The text, or nothing when a part is only known at run time.
    #[must_use]
    pub fn fixed(&self) -> Option<String> {
        self.render(|_, _| Err(())).ok()
    }

    /// Whether an expansion brought something in, so that the text is a secret in a section of a kind.
    #[must_use]
    pub fn is_expanded(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, TextPart::Expanded(_)))
    }

    /// The captured values that the text uses, as step and name.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Capture { step, name } => Some((step.as_str(), name.as_str())),
            _ => None,
        })
    }

    /// The text with each captured value replaced by what `captured` gives for its step and name.
    ///
    /// # Errors
    /// The first error of `captured`.
    pub fn render<E>(&self, mut captured: impl FnMut(&str, &str) -> Result<String, E>) -> Result<String, E> {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                TextPart::Plain(text) => rendered.push_str(text),
                TextPart::Expanded(secret) => rendered.push_str(secret.expose()),
                TextPart::Capture { step, name } => rendered.push_str(&captured(step, name)?),
            }
        }
        Ok(rendered)
    }
}

/// Shows nothing of the text: it may hold a password.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(***)")
    }
}

/// A value of the shape that its key asks for. Values that cannot be read are reported and left out.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // one variant per shape; the shapes are documented
pub enum Value {
    Text(Text),
    Bool(bool),
    Integer(i64),
    Number(f64),
    Decimal(Decimal),
    Duration(Duration),
    DurationRange(Duration, Duration),
    Size(u64),
    Share(f64),
    Word(&'static str),
    /// Inclusive bounds of a span of status codes.
    Status(u16, u16),
    Json {
        /// The value.
        value: serde_json::Value,
        /// An expansion is part of it: it is not to be shown.
        is_expanded: bool,
    },
    List(Vec<Spanned>),
    Map(Vec<(String, Spanned)>),
    Section(Section),
}

/// A value with its place. Two are equal when their values are: a check that only moved in the file has not changed.
#[derive(Clone, Debug)]
pub struct Spanned {
    /// Where the value stands.
    pub span: SourceSpan,
    /// Where its key stands, in a mapping with free keys.
    pub key: Option<SourceSpan>,
    /// The value.
    pub value: Value,
}

impl Spanned {
    /// A value at a place, under no free key.
    #[must_use]
    pub const fn new(span: SourceSpan, value: Value) -> Self {
        Self { span, key: None, value }
    }

    /// Where to report that the key is wrong: at the key itself.
    #[must_use]
    pub fn key_span(&self) -> &SourceSpan {
        self.key.as_ref().unwrap_or(&self.span)
    }
}

impl PartialEq for Spanned {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// The keys of one section, as far as they could be read, defaults filled in.
#[derive(Clone, Debug)]
pub struct Section {
    span: SourceSpan,
    entries: BTreeMap<&'static str, Spanned>,
    session: Rc<ParseSession>,
}

impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Section {
    /// The section at `place` with these entries.
    #[must_use]
    pub fn new(span: SourceSpan, entries: BTreeMap<&'static str, Spanned>, session: Rc<ParseSession>) -> Self {
        Self { span, entries, session }
    }

    /// Where the section stands.
    #[must_use]
    pub const fn span(&self) -> &SourceSpan {
        &self.span
    }

    /// The value of `key` with its place, when it was given (or has a default) and could be read.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Spanned> {
        self.entries.get(key)
    }

    /// The keys that hold something.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.entries.keys().copied()
    }

    /// A string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&Text> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The strings of a list, or of one string where one or many may stand.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<&Text> {
        self.list(key)
            .into_iter()
            .filter_map(|item| match &item.value {
                Value::Text(text) => Some(text),
                _ => None,
            })
            .collect()
    }

    /// The items of a list; one value where one or many may stand is a list of one.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&Spanned> {
        match self.entries.get(key) {
            Some(Spanned { value: Value::List(items), .. }) => items.iter().collect(),
            Some(single) => vec![single],
            None => Vec::new(),
        }
    }

    /// The entries of a mapping with free keys, in the order of the file.
    #[must_use]
    pub fn map(&self, key: &str) -> &[(String, Spanned)] {
        match self.value(key) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        }
    }

    /// A yes or no.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// A number.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // shapes of numbers have small bounds
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::Number(number) => Some(*number),
            Value::Integer(integer) => Some(*integer as f64),
            _ => None,
        }
    }

    /// A duration.
    #[must_use]
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.value(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    /// A span of durations; a single one is a span of its own.
    #[must_use]
    pub fn duration_range(&self, key: &str) -> Option<(Duration, Duration)> {
        match self.value(key)? {
            Value::DurationRange(from, to) => Some((*from, *to)),
            Value::Duration(only) => Some((*only, *only)),
            _ => None,
        }
    }

    /// A size in bytes.
    #[must_use]
    pub fn size(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Size(size) => Some(*size),
            _ => None,
        }
    }

    /// One of the words of the shape.
    #[must_use]
    pub fn word(&self, key: &str) -> Option<&'static str> {
        match self.value(key)? {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// A section below this one.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Self> {
        match self.value(key)? {
            Value::Section(fields) => Some(fields),
            _ => None,
        }
    }

    /// The content of the file that `key` names. When it cannot be read, that is reported at the key.
    #[must_use]
    pub fn file(&self, key: &str) -> Option<Arc<[u8]>> {
        let path = self.text(key)?.fixed()?;
        self.file_at(key, Path::new(&path))
    }

    /// The content of a file that the value of `key` names in its own way (a parameter of a URL).
    #[must_use]
    pub fn file_at(&self, key: &str, path: &Path) -> Option<Arc<[u8]>> {
        match self.session.named_file(path) {
            Ok(content) => Some(content),
            Err(error) => {
                // A path that an expansion brought in is not shown.
                let named = match self.text(key) {
                    Some(text) if text.is_expanded() => format!("that `{key}` names"),
                    // Where a path is wanted somebody may have put what the file holds.
                    _ if !is_path(path) => format!("that `{key}` names"),
                    _ => path.display().to_string(),
                };
                let problem = Problem {
                    severity: Severity::Error,
                    code: "unreadable-file",
                    message: format!("cannot read the file {named}: {}", why_unreadable(error.kind())),
                    help: Some(help_with_unreadable(error.kind()).into()),
                    span: self.entries.get(key).map_or(&self.span, |spanned| &spanned.span).clone(),
                };
                if is_absent(error.kind()) {
                    self.session.report_absent(problem);
                } else {
                    self.session.report(problem);
                }
                None
            }
        }
    }

    /// Reports an error at the value of `key`, or at the section when the key is missing.
    pub fn error(&self, key: &str, code: &'static str, message: impl Into<String>, help: Option<String>) {
        self.report(Severity::Error, key, code, message.into(), help);
    }

    /// Reports a warning at the value of `key`, or at the section when the key is missing.
    pub fn warning(&self, key: &str, code: &'static str, message: impl Into<String>, help: Option<String>) {
        self.report(Severity::Warning, key, code, message.into(), help);
    }

    fn report(&self, severity: Severity, key: &str, code: &'static str, message: String, help: Option<String>) {
        let span = self.entries.get(key).map_or(&self.span, |spanned| &spanned.span).clone();
        self.session.report(Problem { severity, code, message, help, span });
    }

    /// Reports a problem at a place of one's own choice.
    pub fn report_at(&self, span: &SourceSpan, code: &'static str, message: impl Into<String>, help: Option<String>) {
        let problem = Problem { severity: Severity::Error, code, message: message.into(), help, span: span.clone() };
        self.session.report(problem);
    }

    /// Reports a warning at a place of one's own choice.
    pub fn warning_at(&self, span: &SourceSpan, code: &'static str, message: impl Into<String>, help: Option<String>) {
        let problem = Problem { severity: Severity::Warning, code, message: message.into(), help, span: span.clone() };
        self.session.report(problem);
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|spanned| &spanned.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: Vec<TextPart>) -> Text {
        Text { parts, written: String::new() }
    }

    #[test]
    fn a_text_is_rendered_from_its_parts() {
        let template = text(vec![
            TextPart::Plain("/orders/".into()),
            TextPart::Capture { step: "order".into(), name: "id".into() },
            TextPart::Expanded(Secret::new("?k=v")),
        ]);
        assert_eq!(template.fixed(), None);
        assert_eq!(
            template.render(|step, name| Ok::<_, ()>(format!("{step}.{name}"))).unwrap(),
            "/orders/order.id?k=v"
        );
        assert!(template.is_expanded());
        assert_eq!(template.captures().collect::<Vec<_>>(), [("order", "id")]);
    }

    #[test]
    fn no_error_is_lost_among_a_thousand_warnings() {
        let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
        let problem = |severity, line| {
            let span = SourceSpan { path: String::new(), line, column: 1, width: 1 };
            Problem { severity, code: "x", message: String::new(), help: None, span }
        };
        (0..2000).for_each(|line| session.report(problem(Severity::Warning, line)));
        (5000..5002).for_each(|line| session.report(problem(Severity::Error, line)));
        let lines: Vec<u32> = session.problems().iter().map(|found| found.span.line).collect();
        assert_eq!((lines.len(), &lines[996..]), (1000, &[996, 997, 5001, 5000][..]));
    }

    #[test]
    fn a_text_shows_nothing_when_formatted() {
        assert_eq!(format!("{:?}", Text::plain("postgres://u:hunter2@db")), "Text(***)");
    }

    #[test]
    fn a_file_that_cannot_be_read_fails_every_time_and_is_remembered() {
        let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::PermissionDenied.into())));
        for _ in 0..2 {
            assert_eq!(session.file(Path::new("/ca.pem")).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        assert_eq!(session.files().keys().collect::<Vec<_>>(), [Path::new("/ca.pem")]);
    }

    #[test]
    fn what_is_taken_in_is_bounded_for_all_parts_of_a_document_together() {
        let document = ParseSession::new(Box::new(|_| Ok(vec![b'x'; 1 << 20])));
        let parts = [ParseSession::within(&document), ParseSession::within(&document)];
        for part in parts.iter().chain(&parts) {
            assert_eq!(part.bring_in(1 << 20), Ok(()));
        }
        assert_eq!(parts[0].bring_in(1), Err(TooMuch::First));
        assert_eq!(parts[1].bring_in(0), Err(TooMuch::Again));
        assert_eq!(ParseSession::one_of(&document).bring_in(0), Err(TooMuch::First));
        let file = |number: usize| parts[number % 2].file(Path::new(&number.to_string()));
        assert!((0..8).all(|number| file(number).is_ok()));
        assert_eq!(file(8).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(file(9).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert!(Arc::ptr_eq(&parts[0].file(Path::new("0")).unwrap(), &parts[1].file(Path::new("0")).unwrap()));
        assert!((0..32).all(|_| parts[0].named_file(Path::new("0")).is_ok()));
        assert_eq!(parts[1].named_file(Path::new("0")).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }

    #[test]
    fn values_are_compared_without_their_places() {
        let at = |line| Spanned::new(SourceSpan { line, ..SourceSpan::default() }, Value::Integer(1));
        assert_eq!(at(1), at(2));
    }
}
