//! Values that are one scalar: texts, numbers, quantities, words.

use std::borrow::Cow;
use std::time::Duration;

use super::texts::CapturePolicy;
use super::words::{expected, meant_among};
use super::{Reader, Scope, overlooked};
use crate::base::decimal::Decimal;
use crate::base::field::ValueType;
use crate::base::pattern::Pattern;
use crate::base::quantity::{QuantityError, parse_duration, parse_share, parse_size, show_duration};
use crate::base::value::{Text, Value};
use crate::config::mask::told;
use crate::config::quote::{alternatives, shown};
use crate::config::tree::{Node, NodeContent};

/// Why a scalar is not what is wanted.
struct Unfit {
    code: &'static str,
    message: String,
    help: Option<String>,
}

/// A scalar of which a number, a quantity or a word is wanted.
struct Written<'a> {
    /// With expansions filled in; it may be a secret then.
    text: &'a str,
    /// As in the file.
    source: &'a str,
    /// Where it stands: what is quoted of it depends on that.
    path: &'a str,
    /// It can only be a text: quoted, and no expansion.
    quoted: bool,
    expanded: bool,
}

impl Reader<'_> {
    /// Reads a scalar by its shape.
    pub(super) fn scalar(
        &self,
        node: &Node,
        value_type: &'static ValueType,
        path: &str,
        scope: Scope<'_>,
    ) -> Option<Value> {
        let NodeContent::Scalar(scalar) = &node.content else {
            let help = match node.content {
                NodeContent::List(_) if path.ends_with(".require_auth") => {
                    Some("write the methods as one text, `require_auth: scram-sha-256,md5`".into())
                }
                NodeContent::List(_) => Some("write one value, not a list".into()),
                _ => None,
            };
            self.wrong_type(node, &expected(value_type), path, help);
            return None;
        };
        if node.is_null() {
            self.wrong_type(node, &expected(value_type), path, None);
            return None;
        }
        let captures = match value_type {
            ValueType::Template | ValueType::Url { .. } if scope.in_step => CapturePolicy::Allowed,
            _ if scope.in_step => CapturePolicy::NotHere,
            _ => CapturePolicy::NoWorkflow,
        };
        let value = match value_type {
            ValueType::Text | ValueType::Template => {
                self.text(node, scalar, path, captures).map(Value::Text).map(Ok)?
            }
            ValueType::Url { schemes } => {
                let text = self.text(node, scalar, path, captures)?;
                return self.url(node, text, schemes, path).map(Value::Text);
            }
            ValueType::Pattern => pattern(self.text(node, scalar, path, captures)?, scalar.quoted),
            other => {
                let (fixed, expanded) = if scalar.text.contains("${") {
                    let text = self.text(node, scalar, path, captures)?;
                    (Cow::from(text.fixed().unwrap_or_default()), text.is_expanded())
                } else {
                    (Cow::from(&*scalar.text), false)
                };
                let quoted = scalar.quoted && !expanded;
                let written = Written { text: fixed.trim(), source: &scalar.text, path, quoted, expanded };
                typed(other, &written).map_err(|unfit| match overlooked::in_value(&fixed, expanded) {
                    Some(help) => Unfit { help: Some(help), ..unfit },
                    None => unfit,
                })
            }
        };
        match value {
            Ok(value) => Some(value),
            Err(Unfit { code, message, help }) => {
                self.error(node.mark, path, code, message, help);
                None
            }
        }
    }
}

fn typed(value_type: &'static ValueType, written: &Written<'_>) -> Result<Value, Unfit> {
    match value_type {
        ValueType::Bool => boolean(value_type, written),
        ValueType::Integer { min, max } => integer(value_type, written, *min, *max),
        ValueType::Number { min, max } => number(value_type, written, *min, *max),
        ValueType::Decimal => decimal(value_type, written),
        ValueType::Duration { min } => duration(written, *min),
        ValueType::DurationRange => duration_range(written),
        ValueType::Size => quantity("invalid-size", "a size", written, parse_size).map(Value::Size),
        ValueType::Share => quantity("invalid-share", "a share", written, parse_share).map(Value::Share),
        ValueType::SizeOrShare if written.text.ends_with('%') => {
            quantity("invalid-share", "a share", written, parse_share).map(Value::Share)
        }
        ValueType::SizeOrShare => size_or_share(written),
        ValueType::Word(words) => word(words, &[], written),
        ValueType::BoolOrWord(words) => match boolean(value_type, written) {
            Ok(value) => Ok(value),
            // `"false"` is one of the words but for its quotes.
            Err(unfit) if written.quoted && unfit.help.is_some() => Err(unfit),
            Err(_) => word(words, &["true", "false"], written),
        },
        ValueType::Status => status(value_type, written),
        _ => Err(wrong_type(value_type, written)),
    }
}

fn boolean(value_type: &'static ValueType, written: &Written<'_>) -> Result<Value, Unfit> {
    match written.text {
        _ if written.quoted => {}
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let mut unfit = wrong_type(value_type, written);
    if !written.expanded {
        unfit.help = match written.text.to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "1" => Some("write `true`".into()),
            "no" | "n" | "off" | "0" => Some("write `false`".into()),
            "true" | "false" => Some("remove the quotes".into()),
            _ => None,
        };
    }
    Err(unfit)
}

fn integer(value_type: &'static ValueType, written: &Written<'_>, min: i64, max: i64) -> Result<Value, Unfit> {
    match whole_number(written.text) {
        Some(number) if !written.quoted => {
            if (min..=max).contains(&number) {
                Ok(Value::Integer(number))
            } else {
                Err(out_of_range(value_type, written))
            }
        }
        Some(_) => Err(Unfit { help: Some("remove the quotes".into()), ..wrong_type(value_type, written) }),
        None => Err(wrong_type(value_type, written)),
    }
}

/// The whole number that is meant, also as `2e+06`: that is how Helm writes 2000000 from its values.
fn whole_number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.contains(['e', 'E']).then(|| text.parse().ok())??;
        // Beyond that a float does not tell one whole number from the next.
        let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
        #[allow(clippy::cast_possible_truncation)] // whole and small enough
        exact.then_some(number as i64)
    })
}

fn number(value_type: &'static ValueType, written: &Written<'_>, min: f64, max: f64) -> Result<Value, Unfit> {
    match written.text.parse::<f64>() {
        Ok(number) if number.is_finite() && !written.quoted => {
            if (min..=max).contains(&number) {
                Ok(Value::Number(number))
            } else {
                Err(out_of_range(value_type, written))
            }
        }
        Ok(number) if number.is_finite() => {
            Err(Unfit { help: Some("remove the quotes".into()), ..wrong_type(value_type, written) })
        }
        _ => {
            let mut unfit = wrong_type(value_type, written);
            let is_share = min == 0.0 && max == 1.0 && written.text.ends_with('%') && !written.expanded;
            if let (true, Ok(share)) = (is_share, parse_share(written.text)) {
                unfit.help = Some(format!("did you mean `{share}`?"));
            }
            Err(unfit)
        }
    }
}

fn decimal(value_type: &'static ValueType, written: &Written<'_>) -> Result<Value, Unfit> {
    match Decimal::parse(written.text) {
        Some(number) if !written.quoted => Ok(Value::Decimal(number)),
        Some(_) => Err(Unfit { help: Some("remove the quotes".into()), ..wrong_type(value_type, written) }),
        None => Err(wrong_type(value_type, written)),
    }
}

fn duration(written: &Written<'_>, min: Duration) -> Result<Value, Unfit> {
    let duration = quantity("invalid-duration", "a duration", written, parse_duration).map_err(|mut unfit| {
        // Hardly anybody waits so many seconds, and other tools count in milliseconds.
        if let Ok(millis @ 100..=999) = written.text.parse::<u64>()
            && !written.expanded
        {
            unfit.help = Some(format!("did you mean `{millis}ms` or `{millis}s`?"));
        }
        if let Ok(millis @ 1000..) = written.text.parse()
            && !written.expanded
        {
            let meant = show_duration(Duration::from_millis(millis));
            unfit.help = Some(format!("did you mean `{meant}`, which is {millis} ms, or `{millis}s`?"));
        }
        unfit
    })?;
    if duration < min {
        let message = format!("{} is too short: at least {}", subject(written), show_duration(min));
        return Err(Unfit {
            code: "out-of-range",
            message,
            help: Some(format!("write `{}` or more", show_duration(min))),
        });
    }
    Ok(Value::Duration(duration))
}

fn duration_range(written: &Written<'_>) -> Result<Value, Unfit> {
    let Some((from, to)) = written.text.split_once("..") else {
        return quantity("invalid-duration", "a duration", written, parse_duration).map(Value::Duration);
    };
    let (from, to) = (from.trim(), to.trim());
    let one = |text| {
        // Of what an expansion brought in, nothing is quoted: then it is the whole, as in the file, that is named.
        let source = if written.expanded { written.source } else { text };
        quantity("invalid-duration", "a duration", &Written { text, source, ..*written }, parse_duration)
    };
    let begin = one(from).map_err(|unfit| {
        // In `50..500ms` the unit of the end is meant for both.
        let unit = to.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let span = format!("{from}{unit}..{to}");
        if !written.expanded && parse_duration(&format!("{from}{unit}")).is_ok() && parse_duration(to).is_ok() {
            Unfit { help: Some(format!("did you mean `{span}`?")), ..unfit }
        } else if !written.expanded && [from, to].iter().all(|number| number.parse::<u32>().is_ok()) {
            Unfit { help: Some(format!("did you mean `{from}ms..{to}ms`?")), ..unfit }
        } else {
            unfit
        }
    })?;
    let end = one(to)?;
    if begin > end {
        let message = format!("{} begins after its end", subject(written));
        let help = (!written.expanded).then(|| format!("write `{}..{}`", show_duration(end), show_duration(begin)));
        return Err(Unfit { code: "out-of-range", message, help });
    }
    Ok(Value::DurationRange(begin, end))
}

fn size_or_share(written: &Written<'_>) -> Result<Value, Unfit> {
    quantity("invalid-size", "a size or a share", written, parse_size).map(Value::Size).map_err(|mut unfit| {
        // A bare number may be meant as either.
        if !written.expanded && written.text.parse::<f64>().is_ok() {
            unfit.message = format!("{} is neither a size nor a share: it has no unit", subject(written));
            unfit.help = Some(format!("did you mean `{0}%` or `{0}GiB`?", written.text));
        } else if let Some(number) = written.text.strip_suffix("percent").map(str::trim)
            && !written.expanded
            && number.parse::<f64>().is_ok()
        {
            unfit.help = Some(format!("did you mean `{number}%`?"));
        }
        unfit
    })
}

/// A quantity by its own grammar. Of what an expansion brought in, nothing is quoted.
fn quantity<T>(
    code: &'static str,
    what: &str,
    written: &Written<'_>,
    parse: fn(&str) -> Result<T, QuantityError>,
) -> Result<T, Unfit> {
    parse(written.text).map_err(|QuantityError { message, suggestion }| {
        let not = format!("{} is not {what}", subject(written));
        if written.expanded {
            return Unfit { code, message: not, help: Some(example(code).into()) };
        }
        if told(written.path, written.source).is_none() {
            return Unfit { code, message: not, help: Some(example(code).into()) };
        }
        // "a duration needs a unit" says why; "not a duration" would say it twice.
        let message = if message.starts_with("not a") { not } else { format!("{not}: {}", shown(&message)) };
        let help =
            suggestion.map_or_else(|| example(code).to_owned(), |suggestion| format!("did you mean `{suggestion}`?"));
        Unfit { code, message, help: Some(help) }
    })
}

fn example(code: &str) -> &'static str {
    match code {
        "invalid-duration" => "write it as `250ms`, `10s`, `1m30s` or `14d`",
        "invalid-size" => "write it as `64KiB`, `5GiB` or `500MB`",
        _ => "write it as `10%`",
    }
}

fn word(words: &'static [&'static str], others: &[&str], written: &Written<'_>) -> Result<Value, Unfit> {
    if let Some(word) = words.iter().find(|word| **word == written.text) {
        return Ok(Value::Word(word));
    }
    let known = || others.iter().chain(words).copied();
    let near = meant_among(known(), written.text).filter(|_| !written.expanded);
    Err(Unfit {
        code: "unknown-word",
        message: format!("{} is not {}", subject(written), alternatives(known())),
        help: near.map(|near| format!("did you mean `{near}`?")),
    })
}

fn status(value_type: &'static ValueType, written: &Written<'_>) -> Result<Value, Unfit> {
    let invalid = || Unfit {
        code: "invalid-status",
        message: format!("{} is not {}", subject(written), expected(value_type)),
        help: Some("status codes go from 100 to 999".into()),
    };
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=999).contains(code));
    if let Some(class) = written.text.to_ascii_lowercase().strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| (1..=9).contains(class)).ok_or_else(invalid)?;
        return Ok(Value::Status(class * 100, class * 100 + 99));
    }
    let (from, to) = written.text.split_once('-').unwrap_or((written.text, written.text));
    match (code(from), code(to)) {
        (Some(from), Some(to)) if from <= to => Ok(Value::Status(from, to)),
        _ => Err(invalid()),
    }
}

fn pattern(text: Text, quoted: bool) -> Result<Value, Unfit> {
    let pattern = text.fixed().unwrap_or_default();
    match Pattern::new(&pattern) {
        Ok(_) => Ok(Value::Text(text)),
        Err(error) => {
            let message = format!("not a regular expression: {error}");
            let help = help_with_pattern(&pattern, &error.to_string(), quoted).map(Into::into);
            Err(Unfit { code: "invalid-pattern", message, help })
        }
    }
}

fn help_with_pattern(pattern: &str, error: &str, quoted: bool) -> Option<&'static str> {
    let foreign = ["(?=", "(?!", "(?<=", "(?<!", r"\p", r"\P", r"\1", r"\2", r"\3", r"\4", r"\5"];
    if error.contains("size limit") {
        Some("write smaller numbers in `{…}`")
    } else if foreign.iter().any(|syntax| pattern.contains(syntax)) {
        Some("write it without look-around, back references and Unicode classes: there are none here")
    } else if pattern.contains('\\') && !quoted {
        Some("put the pattern in single quotes, in which YAML changes nothing")
    } else {
        None
    }
}

fn out_of_range(value_type: &'static ValueType, written: &Written<'_>) -> Unfit {
    let message = format!("{} is out of range: expected {}", subject(written), expected(value_type));
    Unfit { code: "out-of-range", message, help: None }
}

fn wrong_type(value_type: &'static ValueType, written: &Written<'_>) -> Unfit {
    let message = if written.expanded {
        format!("{} is not {}", subject(written), expected(value_type))
    } else {
        format!("expected {}, found {}", expected(value_type), found(written))
    };
    Unfit { code: "wrong-type", message, help: None }
}

/// The value as a message may name it: never what an expansion brought in, nor what may be a secret.
fn subject(written: &Written<'_>) -> String {
    let told = told(written.path, written.source);
    match (told, written.expanded) {
        (Some(text), true) => format!("what `{text}` stands for"),
        (Some(text), false) => format!("`{text}`"),
        (None, true) => "what the expansion stands for".into(),
        (None, false) => "the value".into(),
    }
}

/// The same where it is told what was found.
fn found(written: &Written<'_>) -> String {
    match (told(written.path, written.source), written.quoted) {
        (Some(text), true) => format!("the text `{text}`"),
        (Some(text), false) => format!("`{text}`"),
        (None, _) => "a text".into(),
    }
}
