//! Matchers: what a value of an answer must be like, in one grammar for every kind.
//!
//! A matcher as declared ([`DeclaredMatcher`], see `read`) becomes a [`Matcher`] once captured values are filled in. That judges
//! one value at a time and keeps nothing. How it is told what was wanted is in `describe`.

mod describe;
mod read;
pub mod words;

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value as Json;

use super::decimal::Decimal;
use super::pattern::Pattern;

pub use self::describe::shown_json;
pub use self::read::{DeclaredMatcher, PlainMeaning};

/// What a value must be like: all words must hold.
#[derive(Clone, Debug)]
pub struct Matcher(Vec<Word>);

/// One thing that must hold.
#[derive(Clone, Debug)]
enum Word {
    Equals(Operand),
    Not(Operand),
    Bound(Comparison, Decimal),
    OneOf(Vec<Operand>),
    Contains(Needle),
    Lacks(Needle),
    Matches(Pattern),
    Exists(bool),
    Length(Matcher),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Comparison {
    const fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

/// What a value is compared with.
#[derive(Clone, Debug)]
struct Operand {
    content: Content,
    /// An expansion or a captured value is part of it: it is not to be shown.
    is_secret: bool,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    /// A text that a captured value is part of has no type of its own: it is also the number that it spells.
    Untyped {
        text: String,
        number: Option<Decimal>,
    },
    Number(Decimal),
    Json(Arc<Json>),
}

/// A text that is looked for.
#[derive(Clone, Debug)]
struct Needle {
    text: String,
    is_secret: bool,
    /// A complaint repeats it. One of a scalar never did.
    is_told: bool,
}

/// A value that is judged.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// There is none.
    Missing,
    /// A value with a type.
    Json(&'a Json),
    /// One that is too long to be kept, and its length if it has one.
    TooMuch(Option<usize>),
    /// Texts without a type: the lines of a header, the spellings of a value. `equals`, `one_of`, `contains` and
    /// `matches` want one of them, all else wants every one.
    Texts(&'a [&'a str]),
}

/// What did not hold, for [`Matcher::complaint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The value is missing.
    Missing,
    /// The word at this position does not hold.
    Word(usize),
    /// The value is too long to tell whether all words hold.
    TooMuch,
}

impl Matcher {
    /// Judges a value.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn judge(&self, found: Subject<'_>) -> Result<(), Shortfall> {
        if let Subject::Missing = found {
            return if self.wants_nothing() { Ok(()) } else { Err(Shortfall::Missing) };
        }
        match self.0.iter().position(|word| !word.holds(found)) {
            Some(at) if matches!(found, Subject::TooMuch(_)) && self.0[at].looks_inside() => Err(Shortfall::TooMuch),
            Some(at) => Err(Shortfall::Word(at)),
            None => Ok(()),
        }
    }

    /// Whether more is wanted than that there is a value, and its length.
    #[must_use]
    pub fn wants_value(&self) -> bool {
        self.0.iter().any(|word| !matches!(word, Word::Exists(_) | Word::Length(_)))
    }

    /// Whether the value must not be there.
    #[must_use]
    pub fn wants_nothing(&self) -> bool {
        self.0.iter().any(|word| matches!(word, Word::Exists(false)))
    }

    /// How many parts (see [`super::pointer::look_up`]) a value may have that is equal to what is wanted.
    #[must_use]
    pub fn parts(&self) -> usize {
        let of = |operand: &Operand| match &operand.content {
            Content::Json(json) => super::pointer::parts_of(json),
            Content::Text(text) | Content::Untyped { text, .. } => super::pointer::parts_of_text(text),
            Content::Number(number) => super::pointer::parts_of_text(number.as_str()),
        };
        let of_word = |word: &Word| match word {
            Word::Equals(operand) | Word::Not(operand) => of(operand),
            Word::OneOf(operands) => operands.iter().map(of).max().unwrap_or(0),
            _ => 0,
        };
        self.0.iter().map(of_word).max().unwrap_or(0)
    }

    /// What it costs at most to judge values that have so many bytes together, in units of [`Pattern::cost`].
    #[must_use]
    pub fn cost(&self, bytes: u64) -> u64 {
        self.0.iter().map(|word| word.cost(bytes)).fold(0, u64::saturating_add)
    }
}

impl Word {
    fn cost(&self, bytes: u64) -> u64 {
        match self {
            // To begin a search takes as long as a few bytes of it, and a value may have one.
            Self::Matches(pattern) => pattern.cost(bytes).max(bytes / 2),
            Self::Contains(_) | Self::Lacks(_) => bytes >> 6,
            Self::Equals(_) | Self::Not(_) | Self::Bound(..) => cost_of_comparing(bytes, 1),
            Self::OneOf(operands) => cost_of_comparing(bytes, operands.len()),
            Self::Exists(_) | Self::Length(_) => 0,
        }
    }

    /// Whether it cannot be known to hold of a value that was too long to be kept.
    const fn looks_inside(&self) -> bool {
        matches!(self, Self::Not(_) | Self::Contains(_) | Self::Lacks(_) | Self::Matches(_))
    }

    fn holds(&self, found: Subject<'_>) -> bool {
        match self {
            Self::Exists(wanted) => *wanted,
            Self::Equals(operand) => operand.is(found),
            Self::Not(operand) => match found {
                Subject::TooMuch(length) => length.is_some_and(|length| operand.has_another_length(length)),
                found => !operand.is(found),
            },
            Self::OneOf(operands) => operands.iter().any(|operand| operand.is(found)),
            Self::Bound(bound, number) => is_within(*bound, number, found),
            Self::Contains(needle) => contains(found, &needle.text) == Some(true),
            Self::Lacks(needle) => contains(found, &needle.text) == Some(false),
            Self::Matches(pattern) => matches(found, pattern),
            Self::Length(matcher) => lengths(found, matcher),
        }
    }
}

impl Operand {
    fn is(&self, found: Subject<'_>) -> bool {
        match found {
            Subject::Missing | Subject::TooMuch(_) => false,
            Subject::Texts(texts) => texts.iter().any(|text| self.is_text(text)),
            Subject::Json(json) => match (&self.content, json) {
                (Content::Json(wanted), found) => is_same(wanted, found),
                (Content::Number(wanted), Json::Number(found)) => is_number(wanted, &found.to_string()),
                (Content::Text(text) | Content::Untyped { text, .. }, Json::String(found)) => text == found,
                (Content::Untyped { text, number }, Json::Number(_) | Json::Bool(_)) => {
                    let found = json.to_string();
                    *text == found || number.as_ref().is_some_and(|number| is_number(number, &found))
                }
                _ => false,
            },
        }
    }

    /// Whether nothing that has this length can be it: a text, a list or a mapping.
    fn has_another_length(&self, length: usize) -> bool {
        match &self.content {
            Content::Text(text) | Content::Untyped { text, .. } => text.chars().count() != length,
            Content::Number(_) => true,
            Content::Json(json) => match json.as_ref() {
                Json::Array(items) => items.len() != length,
                // Of a mapping that was not kept names count that are there again.
                Json::Object(members) => members.len() > length || (members.is_empty() && length > 0),
                Json::String(text) => text.chars().count() != length,
                Json::Null | Json::Bool(_) | Json::Number(_) => true,
            },
        }
    }

    /// Whether it is a text that has no type.
    fn is_text(&self, found: &str) -> bool {
        match &self.content {
            Content::Text(text) | Content::Untyped { text, .. } => text == found,
            Content::Number(number) => is_number(number, found),
            Content::Json(json) => match json.as_ref() {
                Json::Bool(flag) => found == if *flag { "true" } else { "false" },
                _ => false,
            },
        }
    }
}

/// What it costs at most to compare values that have so many bytes together with so many others, each of which is read
/// only as far as the value goes. A value may have two bytes, and to begin takes as long as a few.
const fn cost_of_comparing(bytes: u64, operands: usize) -> u64 {
    (bytes >> 3).saturating_mul(operands as u64)
}

fn is_number(wanted: &Decimal, found: &str) -> bool {
    wanted.compare(found) == Some(Ordering::Equal)
}

fn is_within(bound: Comparison, number: &Decimal, found: Subject<'_>) -> bool {
    // The number that was found comes second.
    let admits = |text: &str| number.compare(text).is_some_and(|order| bound.admits(order.reverse()));
    match found {
        Subject::Json(Json::Number(found)) => admits(&found.to_string()),
        Subject::Texts(texts) => texts.iter().all(|text| admits(text)),
        _ => false,
    }
}

/// Whether `needle` is in what was found; nothing where that cannot be known.
fn contains(found: Subject<'_>, needle: &str) -> Option<bool> {
    match found {
        Subject::Texts(texts) => Some(texts.iter().any(|text| text.contains(needle))),
        Subject::Json(Json::Array(items)) => {
            Some(items.iter().any(|item| text_of(item).is_some_and(|text| text == needle)))
        }
        Subject::Json(Json::Object(members)) => Some(members.contains_key(needle)),
        Subject::Json(single) => Some(text_of(single).is_some_and(|text| text.contains(needle))),
        Subject::Missing | Subject::TooMuch(_) => None,
    }
}

fn matches(found: Subject<'_>, pattern: &Pattern) -> bool {
    match found {
        Subject::Texts(texts) => texts.iter().any(|text| pattern.is_in(text.as_bytes())),
        Subject::Json(single) => text_of(single).is_some_and(|text| pattern.is_in(text.as_bytes())),
        Subject::Missing | Subject::TooMuch(_) => false,
    }
}

fn lengths(found: Subject<'_>, matcher: &Matcher) -> bool {
    let fits = |length: usize| matcher.judge(Subject::Json(&length.into())).is_ok();
    match found {
        Subject::Texts(texts) => texts.iter().all(|text| fits(text.chars().count())),
        Subject::Json(Json::String(text)) => fits(text.chars().count()),
        Subject::Json(Json::Array(items)) => fits(items.len()),
        Subject::Json(Json::Object(members)) => fits(members.len()),
        Subject::TooMuch(length) => length.is_some_and(fits),
        Subject::Missing | Subject::Json(_) => false,
    }
}

/// The content of a text, or a number or boolean as JSON writes it.
fn text_of(json: &Json) -> Option<std::borrow::Cow<'_, str>> {
    match json {
        Json::String(text) => Some(text.into()),
        Json::Number(_) | Json::Bool(_) => Some(json.to_string().into()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Equal as JSON values; `1` and `1.0` are the same number.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            one == other || Decimal::parse(&one.to_string()).is_some_and(|one| is_number(&one, &other.to_string()))
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let has_same = |(key, value): (&String, &Json)| other.get(key).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(has_same)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests;
