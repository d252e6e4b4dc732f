//! What a matcher wants, in words: for the message of a failure, for the message of a degraded pass, and for a table.
//! Nothing of what was found is told, and nothing that an expansion brought in.

use serde_json::Value as Json;

use super::{Comparison, Content, Matcher, Operand, Shortfall, Word};

impl Matcher {
    /// What is wrong with `what`: `` `/depth` should be below 1000 ``.
    #[must_use]
    pub fn complaint(&self, what: &str, shortfall: Shortfall) -> String {
        let word = match shortfall {
            Shortfall::Missing => return format!("{what} is missing"),
            Shortfall::TooMuch => return format!("{what} is too long to be looked at"),
            Shortfall::Word(at) => match self.0.get(at) {
                Some(word) => word,
                None => return format!("{what} is not as expected"),
            },
        };
        match word {
            // What is wanted comes last: it may be long.
            Word::Equals(operand) => {
                let wanted = operand.shown().map(|wanted| format!(": {wanted}")).unwrap_or_default();
                format!("{what} has another value than expected{wanted}")
            }
            Word::Not(operand) => match operand.shown() {
                Some(unwanted) => format!("{what} should not be {unwanted}"),
                None => format!("{what} has the value that it should not have"),
            },
            Word::Bound(bound, number) => {
                let of = if matches!(bound, Comparison::AtLeast | Comparison::AtMost) { "of " } else { "" };
                format!("{what} should be a number {of}{} {}", bound.label(), number.as_str())
            }
            Word::Exists(_) => format!("{what} should not be there"),
            Word::Contains(needle) if !needle.is_told => format!("{what} does not contain the expected text"),
            Word::Lacks(needle) if needle.is_secret => format!("{what} contains the text that it should lack"),
            Word::Contains(needle) => format!("{what} should contain {}", quoted(&needle.text)),
            Word::Lacks(needle) => format!("{what} should not contain {}", quoted(&needle.text)),
            Word::Matches(_) => format!("{what} should match the expected pattern"),
            Word::OneOf(_) => format!("{what} should be {}", word.wanted()),
            Word::Length(lengths) => format!("the length of {what} should be {}", lengths.wanted()),
        }
    }

    /// What is wanted, in a few words: `above 5, below 10`.
    #[must_use]
    pub fn wanted(&self) -> String {
        self.0.iter().map(Word::wanted).collect::<Vec<_>>().join(", ")
    }

    /// That `what` is as wanted: `` `/status` is one of "DEGRADED", "warn" ``.
    #[must_use]
    pub fn statement(&self, what: &str) -> String {
        let of_word = |word: &Word| match word {
            Word::Contains(_) | Word::Lacks(_) | Word::Matches(_) => word.wanted(),
            Word::Length(lengths) => format!("has the length {}", lengths.wanted()),
            Word::Exists(true) => "is there".into(),
            Word::Exists(false) => "is missing".into(),
            _ => format!("is {}", word.wanted()),
        };
        format!("{what} {}", self.0.iter().map(of_word).collect::<Vec<_>>().join(" and "))
    }

    /// Whether something of what is wanted is not to be shown: what was found may be the same.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.0.iter().any(|word| match word {
            Word::Equals(operand) | Word::Not(operand) => operand.is_secret,
            Word::OneOf(operands) => operands.iter().any(|operand| operand.is_secret),
            Word::Contains(needle) | Word::Lacks(needle) => needle.is_secret,
            Word::Bound(..) | Word::Matches(_) | Word::Exists(_) | Word::Length(_) => false,
        })
    }
}

impl Word {
    fn wanted(&self) -> String {
        let shown = |operand: &Operand| operand.shown().unwrap_or_else(|| "the expected value".into());
        match self {
            Self::Equals(operand) => shown(operand),
            Self::Not(operand) => format!("not {}", shown(operand)),
            Self::Bound(bound, number) => format!("{} {}", bound.label(), number.as_str()),
            Self::OneOf(operands) if operands.iter().any(|operand| operand.is_secret) => {
                "one of the expected values".into()
            }
            Self::OneOf(operands) => {
                format!("one of {}", operands.iter().map(shown).collect::<Vec<_>>().join(", "))
            }
            Self::Contains(needle) if needle.is_secret => "contains the expected text".into(),
            Self::Contains(needle) => format!("contains {}", quoted(&needle.text)),
            Self::Lacks(needle) if needle.is_secret => "lacks the unwanted text".into(),
            Self::Lacks(needle) => format!("lacks {}", quoted(&needle.text)),
            Self::Matches(_) => "matches the pattern".into(),
            Self::Exists(true) => "there".into(),
            Self::Exists(false) => "missing".into(),
            Self::Length(lengths) => format!("length {}", lengths.wanted()),
        }
    }
}

impl Operand {
    /// The value as JSON, if it may be shown.
    fn shown(&self) -> Option<String> {
        if self.is_secret {
            return None;
        }
        Some(match &self.content {
            Content::Text(text) | Content::Untyped { text, .. } => quoted(text),
            Content::Number(number) => number.as_str().to_owned(),
            Content::Json(json) => shown_json(json),
        })
    }
}

impl Comparison {
    const fn label(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::AtLeast => "at least",
            Self::Below => "below",
            Self::AtMost => "at most",
        }
    }
}

/// A value as JSON, cut to the length of a message.
#[must_use]
pub fn shown_json(json: &Json) -> String {
    match json {
        Json::String(text) => quoted(text),
        Json::Array(items) if items.len() > LONGEST => format!("a list of {} items", items.len()),
        Json::Object(members) if members.len() > LONGEST => format!("a mapping of {} keys", members.len()),
        other => short(&other.to_string()),
    }
}

/// More characters, items or keys of a value are not told.
const LONGEST: usize = 100;

fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", Json::from(&text[..end])),
        None => Json::from(text).to_string(),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
