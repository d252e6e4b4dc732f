//! What all sections of one document share while it is read: the problems found, the files it names, and how much it may
//! take in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::problem::{Problem, Severity, SourceSpan};

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

    /// The same of a part that is not in use: that something is missing which the pod may have is a note.
    #[must_use]
    pub fn within_unused(document: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self { offline: true, ..Self::beside(document, Rc::clone(&document.told)) })
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
    pub(super) fn named_file(&self, path: &Path) -> io::Result<Arc<[u8]>> {
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

/// Takes `amount` more of what may reach `most`; whether there was so much left.
fn take(taken: &Cell<usize>, amount: usize, most: usize) -> bool {
    let total = taken.get().saturating_add(amount);
    taken.set(total);
    total <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_is_lost_among_a_thousand_warnings() {
        let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
        let problem = |severity, line| {
            let span = SourceSpan { path: "".into(), line, column: 1, width: 1 };
            Problem { severity, code: "x", message: String::new(), help: None, span }
        };
        (0..2000).for_each(|line| session.report(problem(Severity::Warning, line)));
        (5000..5002).for_each(|line| session.report(problem(Severity::Error, line)));
        let lines: Vec<u32> = session.problems().iter().map(|found| found.span.line).collect();
        assert_eq!((lines.len(), &lines[996..]), (1000, &[996, 997, 5001, 5000][..]));
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
}
