//! The JSON Schema of the configuration, from the same tables that the reader goes by, for editors and other tools.
//!
//! `tests/editors` asks an editor's language server what it makes of it. That is why scalars are one schema and not one of
//! several, and why `patternErrorMessage` and `errorMessage` say what is wanted: words of that server, which others ignore.

use serde_json::{Map, Value, json};

use super::read::Table;
use super::rules::keys::{CHECK, CHECKS, SECTIONS};
use crate::base::field::{Field, MatcherType, Presence, ValueType};
use crate::base::matcher::words;

/// Where the schema is to be found, for good.
pub const ID: &str = "https://raw.githubusercontent.com/probelet/probelet/main/config/schema.json";

/// The schema, in the dialect 2020-12.
#[must_use]
pub fn schema() -> Value {
    let top = Table { fields: SECTIONS, apart: CHECKS.as_slice(), ..Table::default() };
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "probelet",
        "description": "The configuration of probelet, the health sidecar",
        "$defs": {
            "expansion": {
                "description": "`${NAME}`, `${NAME:-default}` or `${file:/path}`, read as the type that is wanted",
                "type": "string",
                "pattern": EXPANSION,
            },
            "null": {
                "description": "As if the key was not there.",
                // Said in this way editors do not offer it as a value.
                "not": { "type": ["string", "number", "boolean", "array", "object"] }
            }
        }
    });
    for of in [&words::JSON, &words::TEXT, &words::LENGTH] {
        schema["$defs"][of.name] = matcher(of);
    }
    for section in CHECK.one_of {
        schema["$defs"][section.name] = kind(section);
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
    properties.extend(table.one_of.iter().map(|field| (field.name.to_owned(), definition(field.name))));
    let required: Vec<&str> =
        fields().filter(|field| field.presence == Presence::Required).map(|field| field.name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    if !table.one_of.is_empty() {
        let one_of: Vec<Value> = table.one_of.iter().map(|field| json!({ "required": [field.name] })).collect();
        let names: Vec<&str> = table.one_of.iter().map(|field| field.name).collect();
        // With `oneOf` alone an editor says that the first of them is missing. This key cannot be there, and its name is what
        // editors and validators show as missing.
        object["if"] = json!({ "oneOf": one_of });
        object["else"] = json!({ "required": [format!("exactly one of {}", names.join(", "))] });
    }
    object
}

/// The schema of a key; one that may be left out may also be `null`, unless that is not to be.
fn property(field: &Field, may_be_null: bool) -> Value {
    let mut schema = Map::new();
    schema.insert("description".into(), without_links(field.doc).into());
    // Editors write a default into the file. An empty list of checks has to be meant.
    if let (Presence::Default(text), true) = (field.presence, may_be_null) {
        schema.extend(default(&field.value_type, text).map(|value| ("default".to_owned(), value)));
    }
    let mut alternatives = value_type(&field.value_type);
    let is_section = matches!(field.value_type, ValueType::Section(_));
    let is_optional = field.presence != Presence::Required;
    let is_any = matches!(field.value_type, ValueType::Operand);
    if may_be_null && !is_any && (is_optional || (is_section && alternatives[0].get("required").is_none())) {
        alternatives.push(definition("null"));
    }
    schema.extend(one_or_any(alternatives));
    schema.into()
}

/// A text of the reference without its links, which lead nowhere in an editor.
fn without_links(doc: &str) -> String {
    let mut parts = doc.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let (Some(start), Some((_, rest))) = (text.rfind('['), part.split_once(')')) {
            text.remove(start);
            text += rest;
        }
    }
    text
}

/// The schema of the mapping that a matcher is.
fn matcher(of: &MatcherType) -> Value {
    let mut schema = object(&Table { fields: of.words, ..Table::default() });
    schema["minProperties"] = 1.into();
    if of.words.iter().any(|word| word.name == "exists") {
        let stands_alone = json!({ "properties": { "exists": { "const": false } }, "required": ["exists"] });
        schema["not"] = json!({ "allOf": [stands_alone], "minProperties": 2 });
    }
    schema
}

/// The schema of the section of a kind, which may be left empty when no key of it must be there.
fn kind(field: &Field) -> Value {
    let ValueType::Section(fields) = field.value_type else { return property(field, true) };
    let section = object(&Table { fields, ..Table::default() });
    let mut alternatives = vec![section];
    if alternatives[0].get("required").is_none() {
        alternatives.push(definition("null"));
    }
    let mut schema = Map::new();
    schema.insert("description".into(), without_links(field.doc).into());
    schema.extend(one_or_any(alternatives));
    schema.into()
}

fn definition(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
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
        // Its syntax is that of Rust's crate `regex`, which no `format` stands for.
        ValueType::Pattern => vec![json!({ "type": "string" })],
        ValueType::Bool => vec![or_expansion("boolean", "`true` or `false`", &Value::Null)],
        ValueType::Integer { min, max: i64::MAX } => {
            vec![or_expansion("integer", &format!("a whole number of at least {min}"), &json!({ "minimum": min }))]
        }
        ValueType::Integer { min, max } => {
            let bounds = json!({ "minimum": min, "maximum": max });
            vec![or_expansion("integer", &format!("a whole number from {min} to {max}"), &bounds)]
        }
        ValueType::Number { min, max } => {
            let bounds = json!({ "minimum": min, "maximum": max });
            vec![or_expansion("number", &format!("a number from {min} to {max}"), &bounds)]
        }
        ValueType::Duration { .. } => {
            vec![text(&format!("^{DURATION}$"), "a duration such as `10s` or `1m30s`", &["10s", "1m30s"])]
        }
        ValueType::DurationRange => vec![text(
            &format!(r"^{DURATION}(\.\.{DURATION})?$"),
            "a duration such as `50ms`, or a span of two such as `50ms..500ms`",
            &["50ms", "50ms..500ms"],
        )],
        ValueType::Size => vec![text(&format!("^{SIZE}$"), "a size such as `64KiB` or `5GiB`", &["64KiB", "5GiB"])],
        ValueType::Share => vec![text(&format!("^{SHARE}$"), "a share such as `10%`", &["10%"])],
        ValueType::SizeOrShare => vec![text(
            &format!("^({SIZE}|{SHARE})$"),
            "a size such as `5GiB`, or a share such as `10%`",
            &["10%", "5GiB"],
        )],
        ValueType::Word(words) => vec![json!({ "enum": spellings(words) }), definition("expansion")],
        ValueType::BoolOrWord(words) => {
            let all = [true, false].map(Value::from).into_iter().chain(words.iter().map(|word| Value::from(*word)));
            vec![json!({ "enum": all.collect::<Vec<_>>() }), definition("expansion")]
        }
        ValueType::Url { schemes } => {
            let forms: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}://…`")).collect();
            vec![text(&format!("^({})://", schemes.join("|")), &format!("a URL: {}", forms.join(" or ")), &[])]
        }
        ValueType::Status => {
            let mut status = text(STATUS, "a status code such as `200`, `2xx` or `200-299`", &["2xx", "200"]);
            status["type"] = json!(["integer", "string"]);
            status["minimum"] = 100.into();
            status["maximum"] = 999.into();
            vec![status]
        }
        // Anything; that it is said helps editors to put a colon behind the key.
        ValueType::Operand => vec![json!({ "type": ["string", "number", "boolean", "null", "array", "object"] })],
        ValueType::Decimal => vec![or_expansion("number", "a number", &Value::Null)],
        ValueType::Matcher(of) => {
            // First, so that a word with a mistake in it is told by its place.
            let mut alternatives = vec![definition(of.name)];
            match of.plain {
                ValueType::Operand => {
                    alternatives.push(json!({ "type": ["string", "number", "boolean", "null", "array"] }));
                }
                plain => alternatives.extend(self::value_type(plain)),
            }
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

const STATUS: &str = "^([1-9][xX]{2}|[1-9][0-9]{2}( *- *[1-9][0-9]{2})?)$";
const EXPANSION: &str = r"\$\{";

/// A string of this pattern, or with an expansion in it.
fn text(pattern: &str, wanted: &str, examples: &[&str]) -> Value {
    let mut schema = json!({
        "type": "string",
        "pattern": format!("{pattern}|{EXPANSION}"),
        "patternErrorMessage": format!("Expected {wanted}."),
        "errorMessage": format!("Expected {wanted}."),
    });
    if !examples.is_empty() {
        schema["examples"] = json!(examples);
    }
    schema
}

/// A scalar of this type within these bounds, or an expansion of one.
fn or_expansion(scalar: &str, wanted: &str, bounds: &Value) -> Value {
    let mut schema = text(EXPANSION, wanted, &[]);
    schema["type"] = json!([scalar, "string"]);
    schema["pattern"] = EXPANSION.into();
    if let (Some(schema), Some(bounds)) = (schema.as_object_mut(), bounds.as_object()) {
        schema.extend(bounds.clone());
    }
    schema
}

fn list(item: &ValueType) -> Value {
    json!({ "type": "array", "items": Value::from(one_or_any(value_type(item))) })
}

/// Words, of which one that looks like a number may stand with and without quotes.
fn spellings(words: &[&str]) -> Vec<Value> {
    let number =
        |word: &str| word.parse::<i64>().map(Value::from).ok().or_else(|| word.parse::<f64>().map(Value::from).ok());
    let bare = words.iter().map(|word| number(word).unwrap_or_else(|| Value::from(*word)));
    let quoted = words.iter().filter(|word| number(word).is_some()).map(|word| Value::from(*word));
    bare.chain(quoted).collect()
}

fn one_or_any(mut alternatives: Vec<Value>) -> Map<String, Value> {
    match (alternatives.len(), alternatives.pop()) {
        (1, Some(Value::Object(only))) => only,
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
        assert_eq!(check["if"]["oneOf"].as_array().unwrap().len(), crate::probe::KINDS.len());
        for kind in crate::probe::KINDS {
            assert_eq!(check["properties"][kind.name], definition(kind.name));
            assert_eq!(schema["$defs"][kind.name]["description"], without_links(kind.doc));
        }
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
                    {
                        "type": "string",
                        "pattern": r"^([0-9]+(\.[0-9]+)? *(ms|s|m|h|d|w) *)+$|\$\{",
                        "patternErrorMessage": "Expected a duration such as `10s` or `1m30s`.",
                        "errorMessage": "Expected a duration such as `10s` or `1m30s`.",
                        "examples": ["10s", "1m30s"]
                    },
                    { "$ref": "#/$defs/null" }
                ]
            })
        );
        assert_eq!(server["down_status"]["default"], 503);
        assert_eq!(server["down_status"]["anyOf"][0]["enum"], json!([503, 500, "503", "500"]));
        assert_eq!(server["control"]["anyOf"][0]["type"], json!(["boolean", "string"]));
    }

    #[test]
    fn a_link_of_the_reference_is_its_text() {
        assert_eq!(without_links("a [matcher](#matchers), or [two](b.md) `[ready]`"), "a matcher, or two `[ready]`");
        assert_eq!(without_links("Default: `[]`"), "Default: `[]`");
    }
}
