//! The JSON Schema of the configuration, from the same tables that the reader goes by, for editors and other tools.

use serde_json::{Map, Value, json};

use super::read::Table;
use super::rules::keys::{CHECKS, SECTIONS};
use crate::base::field::{Field, MatcherType, Presence, ValueType};
use crate::base::matcher::words;

/// The schema, in the dialect 2020-12.
#[must_use]
pub fn schema() -> Value {
    let top = Table { fields: SECTIONS, apart: CHECKS.as_slice(), ..Table::default() };
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of probelet",
        "$defs": {
            "expansion": {
                "description": "`${NAME}`, `${NAME:-default}` or `${file:/path}`, read as the type that is wanted",
                "type": "string",
                "pattern": "\\$\\{"
            }
        }
    });
    for of in [&words::JSON, &words::TEXT, &words::LENGTH] {
        schema["$defs"][of.name] = matcher(of);
    }
    if let (Value::Object(schema), Value::Object(object)) = (&mut schema, object(&top)) {
        schema.extend(object);
    }
    schema
}

fn object(table: &Table) -> Value {
    let fields = || table.fields.iter().chain(table.apart);
    let mut properties = Map::new();
    properties.extend(table.fields.iter().map(|field| (field.name.to_owned(), property(field, true))));
    // `checks` must say that it is empty: `null` may be a file that was cut off.
    properties.extend(table.apart.iter().map(|field| (field.name.to_owned(), property(field, false))));
    properties.extend(table.one_of.iter().map(|field| (field.name.to_owned(), kind(field))));
    let required: Vec<&str> =
        fields().filter(|field| field.presence == Presence::Required).map(|field| field.name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    if !table.one_of.is_empty() {
        object["oneOf"] = table.one_of.iter().map(|field| json!({ "required": [field.name] })).collect();
    }
    object
}

/// The schema of a key; one that may be left out may also be `null`, unless that is not to be.
fn property(field: &Field, may_be_null: bool) -> Value {
    let mut schema = Map::new();
    schema.insert("description".into(), field.doc.into());
    if let Presence::Default(text) = field.presence {
        schema.extend(default(&field.value_type, text).map(|value| ("default".to_owned(), value)));
    }
    let mut alternatives = value_type(&field.value_type);
    let is_section = matches!(field.value_type, ValueType::Section(_));
    let is_optional = field.presence != Presence::Required;
    let is_any = matches!(field.value_type, ValueType::Operand);
    if may_be_null && !is_any && (is_optional || (is_section && alternatives[0].get("required").is_none())) {
        alternatives.push(json!({ "type": "null" }));
    }
    schema.extend(one_or_any(alternatives));
    schema.into()
}

/// The schema of the mapping that a matcher is.
fn matcher(of: &MatcherType) -> Value {
    let mut schema = object(&Table { fields: of.words, ..Table::default() });
    schema["minProperties"] = 1.into();
    if of.words.iter().any(|word| word.name == "exists") {
        schema["if"] = json!({ "properties": { "exists": { "const": false } }, "required": ["exists"] });
        schema["then"] = json!({ "maxProperties": 1 });
    }
    schema
}

/// The schema of the section of a kind, which may be left empty when no key of it must be there.
fn kind(field: &Field) -> Value {
    let ValueType::Section(fields) = field.value_type else { return property(field, true) };
    let section = object(&Table { fields, ..Table::default() });
    let mut alternatives = vec![section];
    if alternatives[0].get("required").is_none() {
        alternatives.push(json!({ "type": "null" }));
    }
    let mut schema = Map::new();
    schema.insert("description".into(), field.doc.into());
    schema.extend(one_or_any(alternatives));
    schema.into()
}

/// A default as JSON.
fn default(value_type: &ValueType, text: &str) -> Option<Value> {
    let scalar = match value_type {
        ValueType::Bool | ValueType::BoolOrWord(_) => text.parse::<bool>().map(Value::from).ok(),
        ValueType::Integer { .. } => text.parse::<i64>().map(Value::from).ok(),
        ValueType::Number { .. } => text.parse::<f64>().map(Value::from).ok(),
        ValueType::Word(_) => text.parse::<i64>().map(Value::from).ok(),
        ValueType::Section(_) => return Some(json!({})),
        ValueType::List(_) => {
            let items = text.trim_start_matches('[').trim_end_matches(']').split(',').map(str::trim);
            return Some(items.filter(|item| !item.is_empty()).collect());
        }
        _ => None,
    };
    Some(scalar.unwrap_or_else(|| Value::from(text)))
}

/// The schemas of which a value of this shape fits one.
fn value_type(value_type: &ValueType) -> Vec<Value> {
    match value_type {
        ValueType::Text | ValueType::Template => vec![json!({ "type": ["string", "number", "boolean"] })],
        ValueType::Pattern => vec![json!({ "type": "string", "format": "regex" }), expansion()],
        ValueType::Bool => vec![json!({ "type": "boolean" }), expansion()],
        ValueType::Integer { min, max } => {
            let mut integer = json!({ "type": "integer", "minimum": min });
            if *max != i64::MAX {
                integer["maximum"] = (*max).into();
            }
            vec![integer, expansion()]
        }
        ValueType::Number { min, max } => {
            vec![json!({ "type": "number", "minimum": min, "maximum": max }), expansion()]
        }
        ValueType::Duration { .. } => vec![text(&format!("^{DURATION}$"))],
        ValueType::DurationRange => vec![text(&format!(r"^{DURATION}(\.\.{DURATION})?$"))],
        ValueType::Size => vec![text(&format!("^{SIZE}$"))],
        ValueType::Share => vec![text(&format!("^{SHARE}$"))],
        ValueType::SizeOrShare => vec![text(&format!("^({SIZE}|{SHARE})$"))],
        ValueType::Word(words) => {
            vec![json!({ "enum": words.iter().flat_map(|word| spellings(word)).collect::<Vec<_>>() }), expansion()]
        }
        ValueType::BoolOrWord(words) => {
            vec![json!({ "type": "boolean" }), json!({ "enum": words }), expansion()]
        }
        ValueType::Url { schemes } => vec![text(&format!("^({})://", schemes.join("|")))],
        ValueType::Status => vec![
            json!({ "type": "integer", "minimum": 100, "maximum": 999 }),
            text("^([1-9][xX]{2}|[1-9][0-9]{2}( *- *[1-9][0-9]{2})?)$"),
        ],
        ValueType::Operand => vec![Value::Bool(true)],
        ValueType::Decimal => vec![json!({ "type": "number" }), expansion()],
        ValueType::Matcher(of) => {
            let mut alternatives = match of.plain {
                ValueType::Operand => vec![json!({ "type": ["string", "number", "boolean", "null", "array"] })],
                plain => self::value_type(plain),
            };
            alternatives.push(json!({ "$ref": format!("#/$defs/{}", of.name) }));
            alternatives
        }
        ValueType::List(item) => vec![list(item)],
        ValueType::OneOrMany(item) => {
            let mut alternatives = self::value_type(item);
            alternatives.push(list(item));
            alternatives
        }
        ValueType::Map(value) => {
            vec![json!({ "type": "object", "additionalProperties": Value::from(one_or_any(self::value_type(value))) })]
        }
        ValueType::Section(fields) => vec![object(&Table { fields, ..Table::default() })],
        ValueType::TextOrSection(fields) => {
            let mut alternatives = self::value_type(&ValueType::Text);
            alternatives.push(object(&Table { fields, ..Table::default() }));
            alternatives
        }
        ValueType::Choice { fields, one_of } => vec![object(&Table { fields, one_of, ..Table::default() })],
    }
}

const DURATION: &str = r"([0-9]+(\.[0-9]+)? *(ms|s|m|h|d|w) *)+";
const SIZE: &str = r"[0-9]+(\.[0-9]+)? *(B|[KMGTP]iB|kB|[KMGT]B)";
const SHARE: &str = r"[0-9]+(\.[0-9]+)? *%";

/// A string of this pattern, or with an expansion in it.
fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!(r"{pattern}|\$\{{") })
}

fn expansion() -> Value {
    json!({ "$ref": "#/$defs/expansion" })
}

fn list(item: &ValueType) -> Value {
    json!({ "type": "array", "items": Value::from(one_or_any(value_type(item))) })
}

/// A word that looks like a number may stand with and without quotes.
fn spellings(word: &str) -> Vec<Value> {
    let mut spellings = vec![Value::from(word)];
    spellings.extend(word.parse::<i64>().map(Value::from));
    spellings
}

fn one_or_any(mut alternatives: Vec<Value>) -> Map<String, Value> {
    match (alternatives.len(), alternatives.pop()) {
        (1, Some(Value::Object(only))) => only,
        // Anything fits.
        (1, Some(Value::Bool(true))) => Map::new(),
        (_, last) => {
            alternatives.extend(last);
            Map::from_iter([("anyOf".to_owned(), Value::Array(alternatives))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_every_key_and_no_other() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["service", "server", "defaults", "history", "reload", "metrics", "log", "hooks", "allow", "checks"]
        );
        let check = &schema["properties"]["checks"]["items"];
        assert_eq!(check["required"], json!(["name"]));
        assert_eq!(check["oneOf"].as_array().unwrap().len(), crate::probe::KINDS.len());
    }

    #[test]
    fn a_key_has_its_meaning_its_default_and_takes_expansions() {
        let server = &schema()["properties"]["server"]["anyOf"][0]["properties"];
        assert_eq!(
            server["drain"],
            json!({
                "description": "After `SIGTERM` the process ends once this long has passed since the first sign of \
                                termination (`SIGTERM` or a drain).",
                "default": "5s",
                "anyOf": [
                    { "type": "string", "pattern": r"^([0-9]+(\.[0-9]+)? *(ms|s|m|h|d|w) *)+$|\$\{" },
                    { "type": "null" }
                ]
            })
        );
        assert_eq!(server["down_status"]["default"], 503);
        assert_eq!(server["down_status"]["anyOf"][0]["enum"], json!(["503", 503, "500", 500]));
        assert_eq!(server["control"]["anyOf"][1], json!({ "$ref": "#/$defs/expansion" }));
    }
}
