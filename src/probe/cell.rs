//! What is expected of the answer to an SQL query: the first column of the first row.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::base::costly::Haystack;
use crate::base::field::{Field, ValueType};
use crate::base::matcher::{DeclaredMatcher, Matcher, PlainMeaning, Shortfall, Subject, words};
use crate::base::trace::{Expectation, Found, Trace};
use crate::base::value::{Section, Text, Value};
use crate::model::outcome::{Failure, FailureKind};
use crate::workflow::captures::{Captures, FillError};

/// The key `expect`.
pub(super) const EXPECT: Field = Field::optional(
    "expect",
    ValueType::Matcher(&words::TEXT),
    "What the first column of the first row must be: its text as `psql` shows it (a boolean is `true` or `false`, `t` or \
     `f`), or a matcher, to which NULL is `null` and no row is nothing. Default: any answer, also none.",
);

/// No cell is longer.
const LONGEST: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Debug)]
pub(super) enum DeclaredCell {
    /// This text.
    Text(Text),
    /// What a matcher wants.
    Matcher(DeclaredMatcher),
}

/// What a run wants.
pub(super) struct ExpectedCell {
    content: ExpectedContent,
    /// What was found is not to be shown: it may be a secret.
    is_secret: bool,
}

enum ExpectedContent {
    Text(String),
    Matcher(Arc<Matcher>),
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    NoRow,
    Null,
    Text { text: &'a [u8], is_boolean: bool },
}

impl<'a> Cell<'a> {
    /// The text as `psql` shows it, a boolean in full; empty where there is none.
    pub(super) fn shown(self) -> Cow<'a, [u8]> {
        match self {
            Self::Text { text: b"t", is_boolean: true } => b"true".into(),
            Self::Text { is_boolean: true, .. } => b"false".into(),
            Self::Text { text, .. } => text.into(),
            Self::NoRow | Self::Null => b"".into(),
        }
    }
}

impl DeclaredCell {
    /// Reads the key, if it is there and can be used. Problems are reported.
    pub(super) fn read(fields: &Section) -> Option<Self> {
        let located = fields.get(EXPECT.name)?;
        match &located.value {
            Value::Text(text) => Some(Self::Text(text.clone())),
            _ => DeclaredMatcher::read(located, PlainMeaning::Equals, Haystack::Text(LONGEST)).map(Self::Matcher),
        }
    }

    /// The text that is wanted, where that is known.
    pub(super) fn fixed(&self) -> Option<String> {
        match self {
            Self::Text(text) => text.fixed(),
            Self::Matcher(_) => None,
        }
    }

    /// Whether an expansion or a captured value is part of it.
    pub(super) fn is_filled_in(&self) -> bool {
        match self {
            Self::Text(text) => text.is_expanded() || text.captures().next().is_some(),
            Self::Matcher(matcher) => {
                matcher.fill(|text| text.fixed().ok_or(())).map_or(true, |fixed| fixed.is_secret())
            }
        }
    }

    /// What is wanted, captured values filled in. What is found is not shown where `is_secret` says so.
    pub(super) fn fill(&self, captured: &Captures, is_secret: bool) -> Result<ExpectedCell, FillError> {
        let content = match self {
            Self::Text(text) => ExpectedContent::Text(captured.fill(text)?),
            Self::Matcher(matcher) => ExpectedContent::Matcher(matcher.fill(|text| captured.fill(text))?),
        };
        Ok(ExpectedCell { content, is_secret: is_secret || self.is_filled_in() })
    }
}

impl ExpectedCell {
    /// Whether the answer is as expected; told to `trace`, where somebody wants to know.
    ///
    /// # Errors
    /// A mismatch that says nothing of the answer.
    pub(super) fn judge(&self, cell: Cell<'_>, trace: &Trace) -> Result<(), Failure> {
        let shown = cell.shown();
        let text = String::from_utf8_lossy(&shown);
        // A boolean has two spellings.
        let spellings = [text.as_ref(), text.get(..1).unwrap_or_default()];
        let subject = match cell {
            Cell::NoRow => Subject::Missing,
            Cell::Null => Subject::Json(&Json::Null),
            Cell::Text { is_boolean: true, .. } => Subject::Texts(&spellings),
            Cell::Text { .. } => Subject::Texts(&spellings[..1]),
        };
        let complaint = self.complaint(subject);
        trace.expect(|| Expectation {
            what: "first column".into(),
            wanted: match &self.content {
                ExpectedContent::Text(_) if self.is_secret => "the expected value".into(),
                ExpectedContent::Text(wanted) => Json::from(wanted.as_str()).to_string(),
                ExpectedContent::Matcher(matcher) => matcher.wanted(),
            },
            holds: complaint.is_none(),
            found: match cell {
                Cell::NoRow => Found::InOurWords("no row".into()),
                Cell::Null => Found::InOurWords("NULL".into()),
                Cell::Text { .. } if self.is_secret => Found::HeldBack,
                Cell::Text { .. } => Found::This(Json::from(text.as_ref()).to_string()),
            },
        });
        complaint.map_or(Ok(()), |message| Err(Failure::new(FailureKind::Mismatch, message)))
    }

    fn complaint(&self, subject: Subject<'_>) -> Option<String> {
        let shortfall = match (&self.content, subject) {
            (ExpectedContent::Text(wanted), Subject::Texts(texts)) if texts.contains(&wanted.as_str()) => return None,
            (ExpectedContent::Text(_), Subject::Texts(_)) => {
                return Some("the query gives another value than the expected one".into());
            }
            (ExpectedContent::Text(_), Subject::Missing) => Shortfall::Missing,
            (ExpectedContent::Text(_), _) => return Some(NULL.into()),
            (ExpectedContent::Matcher(matcher), subject) => matcher.judge(subject).err()?,
        };
        Some(match (&self.content, subject) {
            (_, Subject::Missing) => "the query gives no row".into(),
            (ExpectedContent::Matcher(matcher), _) if matcher.wants_nothing() => {
                "the query gives a row, where none is expected".into()
            }
            (_, Subject::Json(_)) => NULL.into(),
            (ExpectedContent::Matcher(matcher), _) => matcher.complaint("the value of the query", shortfall),
            (ExpectedContent::Text(_), _) => "the query gives another value than the expected one".into(),
        })
    }
}

const NULL: &str = "the query gives NULL, not the expected value";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use super::*;
    use crate::base::decimal::Decimal;
    use crate::base::value::{ParseSession, SourceSpan, Spanned};

    /// What is said of `cell` where the matcher has this word.
    fn said(word: &'static str, value: Value, cell: Cell<'_>) -> String {
        let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
        let spanned = |value| Spanned::new(SourceSpan::default(), value);
        let section =
            |key, value| Section::new(SourceSpan::default(), BTreeMap::from([(key, spanned(value))]), session.clone());
        let declared = DeclaredCell::read(&section(EXPECT.name, Value::Section(section(word, value)))).unwrap();
        let trace = Trace::noting();
        let judged = declared.fill(&Captures::default(), false).unwrap().judge(cell, &trace);
        let row = &trace.expectations()[0];
        assert_eq!(row.holds, judged.is_ok());
        judged.map_or_else(|failure| failure.message, |()| format!("{}: {:?}", row.wanted, row.found))
    }

    fn text(text: &str) -> Cell<'_> {
        Cell::Text { text: text.as_bytes(), is_boolean: false }
    }

    #[test]
    fn a_cell_is_matched_as_text_number_boolean_null_or_nothing() {
        let number = |number: &str| Value::Decimal(Decimal::parse(number).unwrap());
        let truth = Cell::Text { text: b"t", is_boolean: true };
        let null = || Value::Json { value: Json::Null, is_expanded: false };
        let word = |word: &str| Value::Text(Text::plain(word));
        for (key, value, cell, expected) in [
            ("equals", number("12.5"), text("12.50"), "12.5: This(\"\\\"12.50\\\"\")"),
            ("below", number("5"), text("5"), "the value of the query should be a number below 5"),
            ("below", number("5"), text("many"), "the value of the query should be a number below 5"),
            ("below", number("5"), Cell::Null, NULL),
            ("below", number("5"), Cell::NoRow, "the query gives no row"),
            ("equals", null(), Cell::Null, "null: InOurWords(\"NULL\")"),
            ("exists", Value::Bool(false), Cell::NoRow, "missing: InOurWords(\"no row\")"),
            ("exists", Value::Bool(false), text("1"), "the query gives a row, where none is expected"),
            ("equals", word("t"), truth, "\"t\": This(\"\\\"true\\\"\")"),
            ("equals", Value::Json { value: true.into(), is_expanded: false }, truth, "true: This(\"\\\"true\\\"\")"),
            ("not", word("true"), truth, "the value of the query should not be \"true\""),
        ] {
            assert_eq!(said(key, value, cell), expected, "{key}");
        }
    }
}
