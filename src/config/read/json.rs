//! A value of the file as JSON, for what is compared with an answer.

use serde_json::{Map, Number, Value as Json};

use super::texts::CapturePolicy;
use super::{Reader, Scope};
use crate::base::decimal::Decimal;
use crate::base::value::Value;
use crate::config::path;
use crate::config::tree::{Node, NodeContent};

impl Reader<'_> {
    /// What a value is compared with: a text, in which captured values may stand in a step, a number as it is written,
    /// or any other JSON.
    pub(super) fn operand(&self, node: &Node, path: &str, scope: Scope<'_>) -> Option<Value> {
        if let NodeContent::Scalar(scalar) = &node.content
            && !node.is_null()
        {
            let literal = plain(&scalar.text).filter(|_| !scalar.quoted);
            return Some(match literal {
                None => {
                    let captures = if scope.in_step { CapturePolicy::Allowed } else { CapturePolicy::NoWorkflow };
                    Value::Text(self.text(node, scalar, path, captures)?)
                }
                Some(Json::Number(number)) => {
                    Value::Decimal(Decimal::parse(&scalar.text).or_else(|| Decimal::parse(&number.to_string()))?)
                }
                Some(value) => Value::Json { value, is_expanded: false },
            });
        }
        Some(Value::Json { value: self.json(node, path)?, is_expanded: is_expanded(node) })
    }

    /// The JSON that a node stands for, by the core schema of YAML 1.2; texts are expanded.
    pub(super) fn json(&self, node: &Node, path: &str) -> Option<Json> {
        match &node.content {
            NodeContent::List(items) => {
                let item = |(index, item)| self.json(item, &path::item(path, index));
                items.iter().map(|item| &**item).enumerate().map(item).collect::<Option<Vec<_>>>().map(Json::Array)
            }
            NodeContent::Map(entries) => {
                let mut object = Map::new();
                for entry in entries {
                    let value = self.json(&entry.value, &path::child(path, &entry.key))?;
                    object.insert(entry.key.to_string(), value);
                }
                Some(Json::Object(object))
            }
            NodeContent::Scalar(_) if node.is_null() => Some(Json::Null),
            NodeContent::Scalar(scalar) => {
                if let Some(value) = plain(&scalar.text).filter(|_| !scalar.quoted) {
                    return Some(value);
                }
                let text = self.text(node, scalar, path, CapturePolicy::NotHere)?;
                text.fixed().map(Json::String)
            }
        }
    }
}

/// Whether an expansion stands in one of the texts of a node, or looks as if it did.
pub(super) fn is_expanded(node: &Node) -> bool {
    match &node.content {
        NodeContent::List(items) => items.iter().any(|item| is_expanded(item)),
        NodeContent::Map(entries) => entries.iter().any(|entry| is_expanded(&entry.value)),
        NodeContent::Scalar(scalar) => scalar.text.contains("${"),
    }
}

/// The boolean or number that a plain scalar stands for.
fn plain(text: &str) -> Option<Json> {
    match text {
        "true" | "True" | "TRUE" => return Some(Json::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Json::Bool(false)),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let number = text.strip_prefix('+').filter(|rest| !rest.starts_with(['+', '-'])).unwrap_or(text);
    // Beyond that it is rather a text: an abbreviated commit may be `1234e567`.
    let double = number.parse().ok().filter(|double: &f64| double.is_finite())?;
    // As it is written, but for the forms that JSON has not: `.5`, `007`.
    let number = number.parse().ok().or_else(|| {
        let whole = number.parse::<i64>().map(Number::from).or_else(|_| number.parse::<u64>().map(Number::from));
        whole.ok().or_else(|| Number::from_f64(double))
    });
    number.map(Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_booleans_and_numbers_where_they_look_like_it() {
        let cases = [
            ("true", "true"),
            ("0", "0"),
            ("-5", "-5"),
            ("+7", "7"),
            ("1.50", "1.50"),
            ("1e3", "1e+3"),
            ("1e308", "1e+308"),
            (".5", "0.5"),
            ("007", "7"),
            ("52.520006599999996", "52.520006599999996"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("18446744073709551615", "18446744073709551615"),
        ];
        for (text, json) in cases {
            assert_eq!(plain(text).unwrap().to_string(), json);
        }
        for text in
            ["yes", "nan", "inf", "-inf", "1.2.3", "-", "+-5", "0x10", "1_000", "1234e567", "1e999", "-1e999", ".5e999"]
        {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
