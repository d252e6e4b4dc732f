//! What a shape is called in messages and in the reference, and how to name what was found instead.

use super::foreign;
use crate::base::field::ValueType;
use crate::base::quantity::show_duration;
use crate::config::mask::told;
use crate::config::quote::alternatives;
use crate::config::similar::nearest;
use crate::config::tree::{Node, NodeContent};

/// What a value of this shape is, with its article: `a duration such as `10s``.
pub fn expected(value_type: &ValueType) -> String {
    match value_type {
        ValueType::Text | ValueType::Template => "a text".into(),
        ValueType::Bool => "`true` or `false`".into(),
        ValueType::Integer { min: i64::MIN, max: i64::MAX } => "a whole number".into(),
        ValueType::Integer { min, max: i64::MAX } => format!("a whole number of at least {min}"),
        ValueType::Integer { min, max } => format!("a whole number from {min} to {max}"),
        ValueType::Number { min, max } => format!("a number from {min} to {max}"),
        ValueType::Duration { min } if min.is_zero() => "a duration such as `10s`".into(),
        ValueType::Duration { min } => format!("a duration such as `10s`, at least {}", show_duration(*min)),
        ValueType::DurationRange => "a duration such as `50ms`, or a span of two such as `50ms..500ms`".into(),
        ValueType::Size => "a size such as `64KiB`".into(),
        ValueType::Share => "a share such as `10%`".into(),
        ValueType::SizeOrShare => "a size such as `5GiB` or a share such as `10%`".into(),
        ValueType::Word(words) => alternatives(words.iter().copied()),
        ValueType::BoolOrWord(words) => alternatives(["true", "false"].into_iter().chain(words.iter().copied())),
        ValueType::Url { schemes } => {
            let schemes: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://…")).collect();
            format!("a URL: {}", alternatives(schemes.iter().map(String::as_str)))
        }
        ValueType::Pattern => "a regular expression".into(),
        ValueType::Status => "a status code such as `200`, `2xx` or `200-299`".into(),
        ValueType::Operand => "any value".into(),
        ValueType::Decimal => "a number".into(),
        ValueType::Matcher(of) => format!("{} or a matcher", expected(of.plain)),
        ValueType::List(item) => format!("a list, each item {}", expected(item)),
        ValueType::OneOrMany(item) => format!("{}, or a list of such", expected(item)),
        ValueType::Map(value) => format!("a mapping, each value {}", expected(value)),
        ValueType::TextOrSection(_) => "a text or a mapping".into(),
        ValueType::Section(_) | ValueType::Choice { .. } => "a mapping".into(),
    }
}

/// The word of this shape that is meant by `text`, where the shape is one of a few words.
pub fn meant(value_type: &ValueType, text: &str) -> Option<&'static str> {
    let (words, others): (&[_], &[_]) = match value_type {
        ValueType::Word(words) => (words, &[]),
        ValueType::BoolOrWord(words) => (words, &["true", "false"]),
        _ => return None,
    };
    meant_among(others.iter().chain(words).copied(), text)
}

/// The one of `known` that is meant by `text`: what others write for it, or what it is a misspelling of.
pub fn meant_among<'a>(known: impl Iterator<Item = &'a str> + Clone, text: &str) -> Option<&'a str> {
    foreign::word(text, known.clone()).or_else(|| nearest(text, known))
}

/// What stands in the file at `path`; a value that may be a secret is not quoted.
pub fn found(node: &Node, path: &str) -> String {
    match &node.content {
        NodeContent::List(_) => "a list".into(),
        NodeContent::Map(_) => "a mapping".into(),
        NodeContent::Scalar(_) if node.is_null() => "nothing".into(),
        NodeContent::Scalar(scalar) => match (told(path, &scalar.text), scalar.quoted) {
            (Some(text), true) => format!("the text `{text}`"),
            (Some(text), false) => format!("`{text}`"),
            (None, _) => "a text".into(),
        },
    }
}
