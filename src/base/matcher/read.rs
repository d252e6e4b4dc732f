//! A matcher as the file declares it: read from a value, checked for what can never hold, and filled in for a run.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value as Json;

use super::words::WORDS;
use super::{Comparison, Content, Matcher, Needle, Operand, Subject, Word, cost_of_comparing};
use crate::base::costly::{self, Haystack};
use crate::base::decimal::Decimal;
use crate::base::pattern::Pattern;
use crate::base::value::{Section, SourceSpan, Spanned, Text, Value};

/// What a value must be like, captured values not yet filled in.
#[derive(Clone, Debug)]
pub struct DeclaredMatcher {
    words: Vec<DeclaredWord>,
    /// The matcher itself, where no captured value is part of it.
    ready: Option<Arc<Matcher>>,
}

#[derive(Clone, Debug)]
enum DeclaredWord {
    Equals(DeclaredOperand),
    Not(DeclaredOperand),
    OneOf(Vec<DeclaredOperand>),
    Contains(Text),
    /// What a scalar stands for.
    PlainContains(Text),
    Lacks(Text),
    /// One that no captured value is part of.
    Fixed(Word),
}

#[derive(Clone, Debug)]
enum DeclaredOperand {
    Text(Text),
    Fixed(Operand),
}

/// What a scalar means where a matcher may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainMeaning {
    /// The value must be equal.
    Equals,
    /// The text must contain it.
    Contains,
}

impl DeclaredMatcher {
    /// Reads the value of a key of the type [`Matcher`](crate::base::field::ValueType::Matcher). Problems are reported;
    /// a pattern is looked for in what `haystack` says.
    #[must_use]
    pub fn read(located: &Spanned, plain: PlainMeaning, haystack: Haystack) -> Option<Self> {
        let words = match &located.value {
            Value::Section(section) => {
                let words = words_of(section, haystack)?;
                if let Some(problem) = contradiction(section, &words) {
                    section.report_at(problem.place, "invalid-matcher", problem.message, Some(problem.help.into()));
                    return None;
                }
                words
            }
            Value::Text(text) if plain == PlainMeaning::Contains => vec![DeclaredWord::PlainContains(text.clone())],
            value => vec![DeclaredWord::Equals(operand_of(value)?)],
        };
        let mut declared = Self { words, ready: None };
        declared.ready = declared.fill(|text| text.fixed().ok_or(())).ok();
        Some(declared)
    }

    /// The matcher with captured values filled in by `fill`.
    ///
    /// # Errors
    /// The first error of `fill`.
    pub fn fill<E>(&self, fill: impl Fn(&Text) -> Result<String, E>) -> Result<Arc<Matcher>, E> {
        if let Some(ready) = &self.ready {
            return Ok(Arc::clone(ready));
        }
        let word = |word: &DeclaredWord| {
            Ok(match word {
                DeclaredWord::Equals(operand) => Word::Equals(operand.fill(&fill)?),
                DeclaredWord::Not(operand) => Word::Not(operand.fill(&fill)?),
                DeclaredWord::OneOf(operands) => {
                    Word::OneOf(operands.iter().map(|operand| operand.fill(&fill)).collect::<Result<_, E>>()?)
                }
                DeclaredWord::Contains(text) => Word::Contains(needle(text, &fill)?),
                DeclaredWord::PlainContains(text) => Word::Contains(Needle { is_told: false, ..needle(text, &fill)? }),
                DeclaredWord::Lacks(text) => Word::Lacks(needle(text, &fill)?),
                DeclaredWord::Fixed(word) => word.clone(),
            })
        };
        Ok(Arc::new(Matcher(self.words.iter().map(word).collect::<Result<_, E>>()?)))
    }

    /// What it costs at most to judge values that have so many bytes together, in units of [`Pattern::cost`].
    #[must_use]
    pub fn cost(&self, bytes: u64) -> u64 {
        let of_word = |word: &DeclaredWord| match word {
            DeclaredWord::Fixed(word) => word.cost(bytes),
            DeclaredWord::Contains(_) | DeclaredWord::PlainContains(_) | DeclaredWord::Lacks(_) => bytes >> 6,
            DeclaredWord::Equals(_) | DeclaredWord::Not(_) => cost_of_comparing(bytes, 1),
            DeclaredWord::OneOf(operands) => cost_of_comparing(bytes, operands.len()),
        };
        self.words.iter().map(of_word).fold(0, u64::saturating_add)
    }
}

impl DeclaredOperand {
    fn fill<E>(&self, fill: &impl Fn(&Text) -> Result<String, E>) -> Result<Operand, E> {
        Ok(match self {
            Self::Text(text) => {
                let filled = fill(text)?;
                let content = if text.captures().next().is_some() {
                    Content::Untyped { number: Decimal::parse(&filled), text: filled }
                } else {
                    Content::Text(filled)
                };
                Operand { content, is_secret: is_filled_in(text) }
            }
            Self::Fixed(operand) => operand.clone(),
        })
    }
}

fn needle<E>(text: &Text, fill: &impl Fn(&Text) -> Result<String, E>) -> Result<Needle, E> {
    let is_secret = is_filled_in(text);
    Ok(Needle { text: fill(text)?, is_secret, is_told: !is_secret })
}

/// Whether a part of the text is not written in the file.
fn is_filled_in(text: &Text) -> bool {
    text.is_expanded() || text.captures().next().is_some()
}

/// The words that stand in a section; nothing where one cannot be used, or there is none.
fn words_of(section: &Section, haystack: Haystack) -> Option<Vec<DeclaredWord>> {
    let mut words = Vec::new();
    for field in WORDS {
        let Some(located) = section.get(field.name) else { continue };
        words.push(match (field.name, &located.value) {
            ("equals", value) => DeclaredWord::Equals(operand_of(value)?),
            ("not", value) => DeclaredWord::Not(operand_of(value)?),
            ("one_of", Value::List(items)) => {
                if items.is_empty() {
                    let help = Some("name the values, `one_of: [ok, warn]`".into());
                    section.report_at(&located.span, "invalid-matcher", "nothing is one of no values", help);
                    return None;
                }
                DeclaredWord::OneOf(items.iter().map(|item| operand_of(&item.value)).collect::<Option<_>>()?)
            }
            ("contains", Value::Text(text)) => DeclaredWord::Contains(text.clone()),
            ("lacks", Value::Text(text)) => DeclaredWord::Lacks(text.clone()),
            ("matches", Value::Text(text)) => {
                // What is no pattern has been reported.
                let pattern = Pattern::new(&text.fixed()?).ok()?;
                if costly::is_reported(section, &located.span, &pattern, haystack) {
                    return None;
                }
                DeclaredWord::Fixed(Word::Matches(pattern))
            }
            ("exists", Value::Bool(flag)) => DeclaredWord::Fixed(Word::Exists(*flag)),
            ("length", _) => {
                let of_length = DeclaredMatcher::read(located, PlainMeaning::Equals, haystack)?;
                DeclaredWord::Fixed(Word::Length(of_length.ready?.as_ref().clone()))
            }
            (name, Value::Decimal(number)) => DeclaredWord::Fixed(Word::Bound(bound(name)?, number.clone())),
            _ => return None,
        });
    }
    (!words.is_empty()).then_some(words)
}

fn bound(name: &str) -> Option<Comparison> {
    Some(match name {
        "above" => Comparison::Above,
        "at_least" => Comparison::AtLeast,
        "below" => Comparison::Below,
        "at_most" => Comparison::AtMost,
        _ => return None,
    })
}

fn operand_of(value: &Value) -> Option<DeclaredOperand> {
    let fixed = |content, is_secret| DeclaredOperand::Fixed(Operand { content, is_secret });
    Some(match value {
        Value::Text(text) => DeclaredOperand::Text(text.clone()),
        Value::Decimal(number) => fixed(Content::Number(number.clone()), false),
        Value::Json { value: Json::Number(number), is_expanded } => {
            fixed(Content::Number(Decimal::parse(&number.to_string())?), *is_expanded)
        }
        Value::Json { value, is_expanded } => fixed(Content::Json(Arc::new(value.clone())), *is_expanded),
        _ => return None,
    })
}

/// Why words can never hold together.
struct Contradiction<'s> {
    place: &'s SourceSpan,
    message: String,
    help: &'static str,
}

fn contradiction<'s>(section: &'s Section, words: &[DeclaredWord]) -> Option<Contradiction<'s>> {
    let place = |word: &str| section.get(word).map_or(section.span(), |located| &located.span);
    let is_absence = |word: &DeclaredWord| matches!(word, DeclaredWord::Fixed(Word::Exists(false)));
    if words.len() > 1 && words.iter().any(is_absence) {
        return Some(Contradiction {
            place: place("exists"),
            message: "what is not there is nothing else: `exists: false` stands alone".into(),
            help: "remove it, or the other words",
        });
    }
    if let Some((lower, upper)) = empty_range(words) {
        return Some(Contradiction {
            place: place(lower),
            message: format!("no number is within `{lower}` and `{upper}`"),
            help: "let the lower bound be less than the upper one",
        });
    }
    // What no text of the file alone says is not known yet.
    let fixed: Vec<Word> = words.iter().filter_map(fixed).collect();
    let candidates = |word: &Word| match word {
        Word::Equals(operand) => vec![operand.clone()],
        Word::OneOf(operands) => operands.clone(),
        _ => Vec::new(),
    };
    let others = Matcher(fixed.clone());
    let chosen = fixed.iter().find(|word| !candidates(word).is_empty())?;
    let can_be = |operand: &Operand| match &operand.content {
        // It may be a text without a type.
        Content::Text(text) | Content::Untyped { text, .. } => others.judge(Subject::Texts(&[text])).is_ok(),
        Content::Number(number) => others.judge(Subject::Texts(&[number.as_str()])).is_ok(),
        Content::Json(json) => others.judge(Subject::Json(json)).is_ok() || matches!(**json, Json::Bool(_)),
    };
    if candidates(chosen).iter().any(can_be) {
        return None;
    }
    let name = if matches!(chosen, Word::Equals(_)) { "equals" } else { "one_of" };
    Some(Contradiction {
        place: place(name),
        message: format!("nothing that `{name}` allows fits the other words"),
        help: "keep the words that are meant",
    })
}

fn fixed(word: &DeclaredWord) -> Option<Word> {
    let declared = DeclaredMatcher { words: vec![word.clone()], ready: None };
    let filled = declared.fill(|text| text.fixed().ok_or(())).ok()?;
    filled.0.first().cloned()
}

/// The words of two bounds between which there is no number.
fn empty_range(words: &[DeclaredWord]) -> Option<(&'static str, &'static str)> {
    let bounds = || {
        words.iter().filter_map(|word| match word {
            DeclaredWord::Fixed(Word::Bound(bound, number)) => Some((*bound, number)),
            _ => None,
        })
    };
    for (lower, least) in bounds().filter(|(bound, _)| matches!(bound, Comparison::Above | Comparison::AtLeast)) {
        for (upper, most) in bounds().filter(|(bound, _)| matches!(bound, Comparison::Below | Comparison::AtMost)) {
            let holds_one = (lower, upper) == (Comparison::AtLeast, Comparison::AtMost);
            match least.compare(most.as_str()) {
                Some(Ordering::Less) => {}
                Some(Ordering::Equal) if holds_one => {}
                _ => return Some((name(lower), name(upper))),
            }
        }
    }
    None
}

const fn name(bound: Comparison) -> &'static str {
    match bound {
        Comparison::Above => "above",
        Comparison::AtLeast => "at_least",
        Comparison::Below => "below",
        Comparison::AtMost => "at_most",
    }
}
