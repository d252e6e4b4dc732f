//! Typed values with their places, and the sections that hold them.

use std::cell::RefCell;
use std::mem;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::problem::{Problem, Severity, SourceSpan};
use super::session::ParseSession;
use super::text::Text;
use super::unreadable::{help_with_unreadable, is_absent, why_unreadable};
use crate::base::decimal::Decimal;
use crate::base::field::is_same_key;

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
    /// In the order of the file, defaults last. They are few, so that looking at each takes less than a tree.
    entries: SectionEntries,
    session: Rc<ParseSession>,
    room: Option<Rc<SpareRoom>>,
}

/// The values of the keys of a section.
type SectionEntries = Vec<(&'static str, Spanned)>;

/// Room for the values of sections: thousands of checks, one after the other, take kilobytes each.
#[derive(Debug, Default)]
pub struct SpareRoom(RefCell<Vec<SectionEntries>>);

impl SpareRoom {
    /// A section, those in it, and those in them are there at the same time.
    const MOST: usize = 8;

    /// Room for so many entries, which a section that is gone may have had.
    #[must_use]
    pub fn take(&self, entries: usize) -> SectionEntries {
        let mut room = self.0.borrow_mut().pop().unwrap_or_default();
        room.reserve(entries);
        room
    }

    fn give_back(&self, room: SectionEntries) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < Self::MOST {
            spare.push(room);
        }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            let mut entries = mem::take(&mut self.entries);
            // The sections among them give back theirs.
            entries.clear();
            room.give_back(entries);
        }
    }
}

/// Two are equal when they hold the same under the same keys, in whatever order.
impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries().all(|(key, spanned)| other.get(key).is_some_and(|other| spanned == other))
    }
}

impl Section {
    /// The section at `place` with these entries, each name once.
    #[must_use]
    pub fn new(
        span: SourceSpan,
        entries: impl IntoIterator<Item = (&'static str, Spanned)>,
        session: Rc<ParseSession>,
    ) -> Self {
        Self { span, entries: entries.into_iter().collect(), session, room: None }
    }

    /// The same with entries in room that was taken from `room`, and that goes back there.
    #[must_use]
    pub fn within_room(
        span: SourceSpan,
        entries: SectionEntries,
        session: Rc<ParseSession>,
        room: Rc<SpareRoom>,
    ) -> Self {
        Self { span, entries, session, room: Some(room) }
    }

    /// Where the section stands.
    #[must_use]
    pub const fn span(&self) -> &SourceSpan {
        &self.span
    }

    /// The value of `key` with its place, when it was given (or has a default) and could be read.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Spanned> {
        self.entries.iter().find(|(name, _)| is_same_key(name, key)).map(|(_, spanned)| spanned)
    }

    /// The keys that hold something, in the order of the file, defaults last.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.entries().map(|(key, _)| key)
    }

    /// The same, each with what it holds.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &Spanned)> {
        self.entries.iter().map(|(key, spanned)| (*key, spanned))
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
        match self.get(key) {
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
                    span: self.get(key).map_or(&self.span, |spanned| &spanned.span).clone(),
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
        let span = self.get(key).map_or(&self.span, |spanned| &spanned.span).clone();
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
        self.get(key).map(|spanned| &spanned.value)
    }
}

/// Whether a path looks like one: absolute, or beginning with a dot, and of characters that people use in names.
fn is_path(path: &Path) -> bool {
    const LONGEST: usize = 200;
    let text = path.to_string_lossy();
    let is_rooted = text.starts_with(['/', '.', '~']);
    is_rooted && text.len() <= LONGEST && text.chars().all(|c| c.is_alphanumeric() || "/._-~ @:+=%".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_section_that_is_gone_is_taken_by_the_next() {
        let room: Rc<SpareRoom> = Rc::default();
        let session = ParseSession::new(Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let section =
            |entries| Section::within_room(SourceSpan::default(), entries, Rc::clone(&session), Rc::clone(&room));
        let inner = section(room.take(10));
        let mut entries = room.take(20);
        let first = entries.as_ptr();
        entries.push(("inner", Spanned::new(SourceSpan::default(), Value::Section(inner))));
        drop(section(entries));
        let next = room.take(20);
        assert_eq!((next.as_ptr(), next.len(), room.0.borrow().len()), (first, 0, 1));
    }

    #[test]
    fn values_are_compared_without_their_places() {
        let at = |line| Spanned::new(SourceSpan { line, ..SourceSpan::default() }, Value::Integer(1));
        assert_eq!(at(1), at(2));
    }
}
