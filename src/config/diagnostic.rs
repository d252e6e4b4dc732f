//! What a file's reader is told: every problem with its place, sorted, as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::codes::{self, Code};
use super::mask::Mask;
use super::quote;
pub use super::render::Diagnostic;
use super::render::{self, Snippet};
use super::tree::Node;
use crate::base::value::{ParseSession, Problem, Severity};

/// Everything that was found in one file.
#[derive(Clone, Debug)]
pub struct Report {
    file: String,
    /// The part of the file that is meant, where it is not all of it.
    within: Option<String>,
    diagnostics: Vec<Diagnostic>,
    /// More problems were found than are kept.
    cut_off: bool,
}

/// A diagnostic as machines read it.
#[derive(Serialize)]
struct DiagnosticObject<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    path: String,
    file: &'a str,
    line: u32,
    column: u32,
    help: Option<&'a str>,
}

impl Report {
    /// The report on `file`, whose text and tree are there as far as they could be read.
    pub(crate) fn new(file: &str, mut problems: Vec<Problem>, text: Option<&str>, root: Option<&Node>) -> Self {
        let cut_off = problems.len() >= ParseSession::MAX_PROBLEMS;
        drop_what_may_be_there(&mut problems);
        let key = |p: &Problem| (p.span.line, p.span.column, p.severity, p.code);
        problems.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message)));
        // What aliases bring in at several places is wrong at one.
        problems.dedup_by(|a, b| key(a) == key(b) && a.message == b.message);
        let snippets = text.map_or_else(|| vec![None; problems.len()], |text| snippets(&problems, text, root));
        let diagnostics =
            problems.into_iter().zip(snippets).map(|(problem, snippet)| Diagnostic { problem, snippet }).collect();
        Self { file: file.to_owned(), within: None, diagnostics, cut_off }
    }

    /// The report on a part of its file, which the summary names.
    pub(super) fn within(self, part: &str) -> Self {
        Self { within: Some(quote::shown(part)), ..self }
    }

    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The diagnostics, sorted by their places.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether the configuration can be used: there may be warnings, but no errors.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.errors() == 0
    }

    /// For people: each diagnostic with its line, and a summary.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text += &render::diagnostic(&self.file, diagnostic, colour);
            text.push('\n');
        }
        if self.cut_off {
            text += "there may be more: mend these first\n";
        }
        text + &self.summary() + "\n"
    }

    /// For logs and answers: the first error in one line, with its place.
    #[must_use]
    pub fn first_error(&self) -> Option<String> {
        let first = self.diagnostics.iter().find(|diagnostic| diagnostic.problem.severity == Severity::Error)?;
        let Problem { code, message, span, .. } = &first.problem;
        let more = match self.errors() {
            1 => String::new(),
            errors => format!(" (and {} more)", errors - 1),
        };
        Some(match first.snippet {
            Some(_) => format!("{}:{}:{}: {message} [{code}]{more}", self.file, span.line, span.column),
            None => format!("{message} [{code}]{more}"),
        })
    }

    /// For machines: the answer of `validate --format json`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        Self::json_of(std::slice::from_ref(self))
    }

    /// For machines: one answer of several reports on one file.
    #[must_use]
    pub fn json_of(reports: &[Self]) -> serde_json::Value {
        let record = |report: &Self| -> Vec<serde_json::Value> {
            report.diagnostics.iter().map(|found| serde_json::json!(report.record(&found.problem))).collect()
        };
        let records: Vec<_> = reports.iter().flat_map(record).collect();
        serde_json::json!({ "valid": reports.iter().all(Self::is_valid), "diagnostics": records })
    }

    /// How it went, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let name = match &self.within {
            Some(part) => format!("{} ({part})", self.file),
            None => self.file.clone(),
        };
        match (self.errors(), self.warnings()) {
            (0, warnings) => {
                let warnings =
                    if warnings > 0 { format!(", with {}", count(warnings, "warning")) } else { String::new() };
                let unchecked = match self.count(Severity::Note) {
                    0 => String::new(),
                    notes => format!(", but for {} that could not be checked here", count(notes, "value")),
                };
                format!("{name} is valid{warnings}{unchecked}")
            }
            (errors, 0) => format!("{} is not valid: {}", name, count(errors, "error")),
            (errors, warnings) => {
                format!("{} is not valid: {}, {}", name, count(errors, "error"), count(warnings, "warning"))
            }
        }
    }

    fn record<'a>(&'a self, problem: &'a Problem) -> DiagnosticObject<'a> {
        DiagnosticObject {
            severity: render::word(problem.severity),
            code: problem.code,
            message: &problem.message,
            path: problem.span.path.text(),
            file: &self.file,
            line: problem.span.line,
            column: problem.span.column,
            help: problem.help.as_deref(),
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.problem.severity == severity).count()
    }
}

/// Where a value could not be checked, what its section seems to lack may be there, and a default that seems to stand
/// in its place may not.
fn drop_what_may_be_there(problems: &mut Vec<Problem>) {
    let notes = problems.iter().filter(|problem| problem.severity == Severity::Note);
    let unchecked: Vec<String> = notes.map(|note| note.span.path.text()).collect();
    let is_below = |section: &str| {
        unchecked.iter().any(|path| path.strip_prefix(section).is_some_and(|rest| rest.starts_with(['.', '['])))
    };
    problems.retain(|problem| match problem.code {
        "missing-key" | "invalid-value" => !is_below(&problem.span.path.text()),
        "timeout-above-interval" => !problem.span.path.text().rsplit_once('.').is_some_and(|(check, _)| {
            unchecked.iter().any(|path| ["interval", "timeout"].iter().any(|key| *path == format!("{check}.{key}")))
        }),
        _ => true,
    });
}

/// What the code `name` means, for `explain`.
#[must_use]
pub fn code(name: &str) -> Option<&'static Code> {
    codes::CODES.iter().find(|code| code.name == name)
}

/// The code that a misspelt `name` was probably meant to be.
#[must_use]
pub fn nearest_code(name: &str) -> Option<&'static str> {
    super::similar::nearest(name, codes::CODES.iter().map(|code| code.name))
}

/// The code of a warning that a misspelt `name` was probably meant to be.
#[must_use]
pub fn nearest_warning(name: &str) -> Option<&'static str> {
    let warnings = codes::CODES.iter().filter(|code| code.severity == Severity::Warning);
    super::similar::nearest(name, warnings.map(|code| code.name))
}

/// The line of each problem, without its secrets.
fn snippets(problems: &[Problem], text: &str, root: Option<&Node>) -> Vec<Option<Snippet>> {
    // Nearly always there are none, and then nothing has to be hidden.
    if problems.is_empty() {
        return Vec::new();
    }
    let numbers: BTreeSet<u32> = problems.iter().map(|problem| problem.span.line).collect();
    let mask = Mask::new(&numbers, root);
    let numbered = (1u32..).zip(super::text::lines(text)).filter(|(number, _)| numbers.contains(number));
    let lines: BTreeMap<u32, &str> = numbered.collect();
    let snippet = |problem: &Problem| Some(Snippet::new(&mask, lines.get(&problem.span.line)?, &problem.span));
    problems.iter().map(snippet).collect()
}
