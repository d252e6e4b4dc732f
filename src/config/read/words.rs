//! What a shape is called in messages and in the reference, and how to name what was found instead.

use crate::base::quantity::show_duration;
use crate::base::shape::Shape;
use crate::config::mask::told;
use crate::config::tree::{Content, Node};

/// What a value of this shape is, with its article: `a duration such as `10s``.
pub fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Text | Shape::Template => "a text".into(),
        Shape::Bool => "`true` or `false`".into(),
        Shape::Integer { min: i64::MIN, max: i64::MAX } => "a whole number".into(),
        Shape::Integer { min, max: i64::MAX } => format!("a whole number of at least {min}"),
        Shape::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Shape::Number { min, max } => format!("a number from {min} to {max}"),
        Shape::Duration { min } if min.is_zero() => "a duration such as `10s`".into(),
        Shape::Duration { min } => format!("a duration such as `10s`, at least {}", show_duration(*min)),
        Shape::DurationRange => "a duration such as `50ms`, or a span of two such as `50ms..500ms`".into(),
        Shape::Size => "a size such as `64KiB`".into(),
        Shape::Share => "a share such as `10%`".into(),
        Shape::SizeOrShare => "a size such as `5GiB` or a share such as `10%`".into(),
        Shape::Word(words) => alternatives(words.iter().copied()),
        Shape::BoolOrWord(words) => alternatives(["true", "false"].into_iter().chain(words.iter().copied())),
        Shape::Url { schemes } => {
            let schemes: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://…")).collect();
            format!("a URL: {}", alternatives(schemes.iter().map(String::as_str)))
        }
        Shape::Pattern => "a regular expression".into(),
        Shape::Status => "a status code such as `200`, `2xx` or `200-299`".into(),
        Shape::Json => "any value".into(),
        Shape::List(item) => format!("a list, each item {}", expected(item)),
        Shape::OneOrMany(item) => format!("{}, or a list of such", expected(item)),
        Shape::Map(value) => format!("a mapping, each value {}", expected(value)),
        Shape::Section(_) | Shape::Choice { .. } => "a mapping".into(),
    }
}

/// `a`, `b` or `c`, each in backticks.
pub fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

/// What stands in the file at `path`; a value that may be a secret is not quoted.
pub fn found(node: &Node, path: &str) -> String {
    match &node.content {
        Content::List(_) => "a list".into(),
        Content::Map(_) => "a mapping".into(),
        Content::Scalar(_) if node.is_null() => "nothing".into(),
        Content::Scalar(scalar) => match (told(path, &scalar.text), scalar.quoted) {
            (Some(text), true) => format!("the text `{text}`"),
            (Some(text), false) => format!("`{text}`"),
            (None, _) => "a text".into(),
        },
    }
}
