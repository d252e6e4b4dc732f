//! Something wrong with the configuration, and where it stands.

use super::yaml_path::YamlPath;

/// Where something stands in the file. Lines and columns are counted from 1, columns in characters.
#[derive(Clone, Debug, Default)]
pub struct SourceSpan {
    /// The YAML path: `checks[2].http.url`.
    pub path: YamlPath,
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
