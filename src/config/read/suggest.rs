//! What was probably meant by a word that is not known.

use super::{Scope, Table};
use crate::base::field::{Presence, ValueType};
use crate::config::mask::told;
use crate::config::path;
use crate::config::quote::alternatives;
use crate::config::similar::nearest;
use crate::config::tree::{MappingEntry, Node, NodeContent};

/// The help for a key that is not in `table`, and the key that was meant if it is a misspelling.
pub fn for_key(
    key: &str,
    table: &Table,
    siblings: &[MappingEntry],
    scope: Scope<'_>,
) -> (String, Option<&'static str>) {
    let names = || table.all().map(|field| field.name);
    if let Some(help) = sentence(key, table, siblings) {
        return (help, None);
    }
    if let Some(sections) = sections_with(key, table, siblings) {
        return (format!("`{key}` belongs into {sections}"), None);
    }
    let other_name = OTHER_NAMES.iter().find(|(other, name)| *other == key && names().any(|known| known == *name));
    let other_name = other_name.map(|(_, name)| *name);
    if let Some(levels) = levels_up(key, scope).filter(|_| other_name.is_none() && table.words_of.is_none()) {
        let up = if levels == 1 { "one level".to_owned() } else { format!("{levels} levels") };
        return (format!("`{key}` belongs {up} further up: indent it less"), None);
    }
    if let Some(near) = other_name.or_else(|| nearest(key, names())) {
        return (format!("did you mean `{near}`?"), Some(near));
    }
    let has_kind = || table.one_of.iter().any(|kind| siblings.iter().any(|entry| entry.key == kind.name));
    let help = if table.all().next().is_none() {
        "no keys are known here".into()
    } else if !table.one_of.is_empty() && !has_kind() {
        // What says what to observe is missing: this may be meant for it.
        format!("the kinds are {}", alternatives(table.one_of.iter().map(|kind| kind.name)).replace(" or ", " and "))
    } else {
        known_keys(table)
    };
    match table.words_of.map(|matcher| matcher.plain) {
        Some(ValueType::Operand) => (format!("to compare with a mapping write `equals: {{ … }}`; {help}"), None),
        _ => (help, None),
    }
}

/// What to write for a key that no single key stands for here.
fn sentence(key: &str, table: &Table, siblings: &[MappingEntry]) -> Option<String> {
    let is_kind = |name: &str| table.one_of.iter().any(|kind| kind.name == name);
    if ["type", "kind", "prober", "protocol"].contains(&key) && !table.one_of.is_empty() {
        let entry = siblings.iter().find(|entry| entry.key == key)?;
        let NodeContent::Scalar(scalar) = &entry.value.content else { return None };
        let kind = table.one_of.iter().find(|kind| kind.name.eq_ignore_ascii_case(&scalar.text))?.name;
        if siblings.iter().any(|entry| is_kind(&entry.key)) {
            return Some(format!("remove it: `{kind}: …` says it"));
        }
        return Some(format!("write the kind as a key: `{kind}: {{ … }}`"));
    }
    let has = |name: &str| table.all().any(|field| field.name == name);
    if key.starts_with("x-") && has("checks") {
        return Some("write what checks share into `defaults`, or set the anchor where it is used first".into());
    }
    if has("checks") && crate::probe::KINDS.iter().any(|kind| kind.name == key) {
        return Some(format!("a check belongs into the list: `checks: [{{ name: …, {key}: … }}]`"));
    }
    SENTENCES.iter().find(|(names, known, _)| names.contains(&key) && has(known)).map(|(_, _, help)| (*help).to_owned())
}

/// Keys that others have, a key that is known where they are meant, and what to write.
const SENTENCES: &[(&[&str], &str, &str)] = &[
    (
        &["expected_status", "expect_status", "status_code", "status_codes", "valid_status_codes", "valid_status"],
        "expect",
        "write `expect: { status: 200 }`",
    ),
    (&["fail_if_body_matches_regexp", "fail_if_body_matches"], "expect", "write `expect: { body_not_matches: … }`"),
    (&["fail_if_body_not_matches_regexp", "body_regex"], "expect", "write `expect: { body_matches: … }`"),
    (
        &["insecure", "insecure_skip_verify", "skip_verify", "tls_skip_verify", "verify"],
        "tls",
        "write `tls: { insecure_skip_verify: true }`",
    ),
    (
        &["basic_auth", "auth", "username", "user", "password"],
        "redirects",
        "write `url: https://user:${PASSWORD}@host/…`",
    ),
    (
        &["enabled", "enable", "active"],
        "disabled",
        "a check that is written runs: write `disabled: <why>` where it should not",
    ),
    (
        &["max_used", "max_usage", "max_percent", "threshold"],
        "min_free",
        "write how much has to be free: `min_free: 10%`",
    ),
];

/// What to write where a mapping is wanted and something else stands.
pub fn mapping_instead_of(node: &Node, table: &Table, path: &str) -> Option<String> {
    let may_be_empty = table.one_of.is_empty() && !table.all().any(|field| field.presence == Presence::Required);
    if let (NodeContent::Scalar(scalar), Some((_, key))) = (&node.content, path.rsplit_once('.'))
        && may_be_empty
        && scalar.text == "true"
    {
        return Some(format!("write `{key}: {{}}`"));
    }
    let first = table.one_of.iter().chain(table.fields).next()?;
    match &node.content {
        NodeContent::List(_) => Some(format!("remove the `- ` and write its keys, such as `{}: …`", first.name)),
        _ => Some(format!("write its keys, such as `{}: …`", first.name)),
    }
}

/// What to write for a part of the target that has a key of its own elsewhere, and the key that holds it here.
pub fn in_address(key: &str, table: &Table, siblings: &[MappingEntry], path: &str) -> Option<(String, &'static str)> {
    let has = |name: &str| table.all().any(|field| field.name == name);
    let around = path.rsplit_once('.').map_or("", |(around, _)| around);
    let written = |names: &[&str], default: &str| {
        let entry = siblings.iter().find(|entry| names.contains(&&*entry.key));
        let text = entry.and_then(|entry| match &entry.value.content {
            NodeContent::Scalar(scalar) => told(&path::child(around, &entry.key), &scalar.text),
            _ => None,
        });
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    let is_part = |parts: &[&str]| parts.contains(&key);
    let (host, port) = (|| written(HOSTS, "host"), |default: &str| written(&["port"], default));
    if has("address") && (is_part(HOSTS) || key == "port") {
        return Some((format!("write host and port in one: `address: \"{}:{}\"`", host(), port("5000")), "address"));
    }
    let is_web = has("url") && has("method");
    if is_web && (is_part(HOSTS) || is_part(&["port", "path", "scheme", "protocol"])) {
        let scheme = written(&["scheme", "protocol"], "http").to_ascii_lowercase();
        let path = written(&["path"], "/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://{}:{}{slash}{path}", host(), port(if scheme == "https" { "443" } else { "80" }));
        return Some((format!("write it all in one: `url: {url}`"), "url"));
    }
    // What the help says for a URL with a user, `in_url` knows.
    (has("url") && in_url(path).is_some()).then(|| (String::new(), "url"))
}

/// What the host of a target is called elsewhere.
const HOSTS: &[&str] = &["host", "hostname", "server", "ip"];

/// What to write into `url` where the key at `path`, which is not known, says what a URL says.
pub fn in_url(path: &str) -> Option<String> {
    let (around, key) = path.rsplit_once('.')?;
    let kind = around.rsplit_once('.').map_or(around, |(_, kind)| kind);
    let written = match (kind, key) {
        ("postgres", "sslmode" | "ssl_mode" | "ssl" | "tls" | "sslrootcert" | "ca_file") => {
            "…?sslmode=verify-full&sslrootcert=/path/to/ca.pem"
        }
        (
            "postgres",
            "host" | "hostname" | "port" | "user" | "username" | "password" | "database" | "dbname" | "db" | "dsn",
        ) => "postgres://user:${PASSWORD}@host:5432/database",
        ("redis", "host" | "port" | "password" | "user" | "username" | "db") => "redis://:${PASSWORD}@host:6379/0",
        ("amqp", "host" | "port" | "password" | "user" | "username" | "vhost") => {
            "amqp://user:${PASSWORD}@host:5672/vhost"
        }
        _ => return None,
    };
    Some(format!("write it in `url`: `{written}`"))
}

/// What other tools call things.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("rabbitmq", "amqp"),
    ("valkey", "redis"),
    ("https", "http"),
    ("pg", "postgres"),
    ("period", "interval"),
    ("every", "interval"),
    ("period_seconds", "interval"),
    ("periodSeconds", "interval"),
    ("timeout_seconds", "timeout"),
    ("timeoutSeconds", "timeout"),
    ("initial_delay_seconds", "initial_delay"),
    ("initialDelaySeconds", "initial_delay"),
    ("start_period", "initial_delay"),
    ("retries", "failure_threshold"),
    ("port", "listen"),
    ("id", "name"),
    ("body", "body_contains"),
    ("contains", "body_contains"),
    ("text", "body_contains"),
    ("regex", "body_matches"),
    ("code", "status"),
    ("body_excludes", "body_lacks"),
    ("body_not_contains", "body_lacks"),
    ("body_lacks_match", "body_not_matches"),
    ("gt", "above"),
    ("greater_than", "above"),
    ("more_than", "above"),
    ("gte", "at_least"),
    ("ge", "at_least"),
    ("min", "at_least"),
    ("minimum", "at_least"),
    ("lt", "below"),
    ("less_than", "below"),
    ("lte", "at_most"),
    ("le", "at_most"),
    ("max", "at_most"),
    ("maximum", "at_most"),
    ("eq", "equals"),
    ("is", "equals"),
    ("equal_to", "equals"),
    ("const", "equals"),
    ("ne", "not"),
    ("neq", "not"),
    ("is_not", "not"),
    ("not_equals", "not"),
    ("in", "one_of"),
    ("any_of", "one_of"),
    ("enum", "one_of"),
    ("includes", "contains"),
    ("not_contains", "lacks"),
    ("excludes", "lacks"),
    ("regex", "matches"),
    ("pattern", "matches"),
    ("present", "exists"),
    ("size", "length"),
    ("count", "length"),
    ("len", "length"),
];

fn known_keys(table: &Table) -> String {
    format!("known here: {}", alternatives(table.all().map(|field| field.name)))
}

/// The sections beside the unknown key (or else those that could stand there) which have a key of this name.
fn sections_with(key: &str, table: &Table, siblings: &[MappingEntry]) -> Option<String> {
    let has_key = |value_type: &ValueType| matches!(value_type, ValueType::Section(fields) if fields.iter().any(|field| field.name == key));
    let candidates: Vec<_> = table.all().filter(|field| has_key(&field.value_type)).map(|field| field.name).collect();
    let beside: Vec<_> =
        candidates.iter().copied().filter(|name| siblings.iter().any(|entry| entry.key == *name)).collect();
    let kind_is_given = table.one_of.iter().any(|kind| siblings.iter().any(|entry| entry.key == kind.name));
    let named = if beside.is_empty() && !kind_is_given { candidates } else { beside };
    (!named.is_empty()).then(|| alternatives(named))
}

/// How many mappings further out a key of this name is known.
fn levels_up(key: &str, scope: Scope<'_>) -> Option<usize> {
    let mut around = scope.around;
    for levels in 1..=4 {
        let (table, outer) = around?;
        if table.all().any(|field| field.name == key) {
            return Some(levels);
        }
        around = outer.around;
    }
    None
}
