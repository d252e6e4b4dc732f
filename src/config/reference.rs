//! The reference of the configuration as Markdown, from the tables that the reader goes by.

use super::codes::{CODES, Code};
use super::read::words::expected;
use super::rules::keys::{CHECK, CHECKS, SECTIONS};
use crate::base::field::{Field, Presence, ValueType};
use crate::base::matcher::words;
use crate::base::value::Severity;
use crate::model::route::{Route, RouteSet};
use crate::probe::{KINDS, ProbeKind};

/// The reference: the top level, a check, every kind with every key, every diagnostic code.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.replace(
        "KINDS",
        &KINDS.iter().map(|kind| format!("[`{0}`](#{0})", kind.name)).collect::<Vec<_>>().join(" · "),
    );
    for section in SECTIONS {
        text += &format!("### `{}`\n\n{}\n\n", section.name, section.doc);
        match section.value_type {
            ValueType::Section(fields) => text += &table(fields),
            ValueType::List(ValueType::Section(fields)) => {
                text += &format!("Each item has these keys:\n\n{}", table(fields));
            }
            _ => {}
        }
    }
    for field in CHECKS.iter() {
        text += &format!("### `{}`\n\n{}\n\n", field.name, field.doc);
    }
    text += &who_may_see_what();
    text += CHECK_HEAD;
    text += &table(CHECK.fields);
    text += "## Kinds\n\n";
    for kind in KINDS {
        text += &kind_of_probe(kind);
    }
    text += MATCHERS_HEAD;
    text += &table(words::WORDS);
    text += CODES_HEAD;
    for code in CODES {
        text += &diagnostic(code);
    }
    text
}

const HEAD: &str = "# Reference of the configuration

<!-- Generated from the tables of the source; `UPDATE=1 cargo test --test config` writes it anew. -->

[Top level](#top-level) · [Who may see what](#who-may-see-what) · [A check](#a-check) · Kinds: KINDS · [Matchers](#matchers) ·
[Diagnostics](#diagnostics)

One YAML document. Unknown keys are errors. A key that may be left out may also be `null`. Durations are written `250ms`, `10s`,
`1m30s` or `14d`, sizes `64KiB` or `5GiB`, shares `10%`.

In values, never in keys, `${NAME}` stands for an environment variable, `${NAME:-default}` for one with a default (which also
stands for an empty one), `${file:/path}` for the content of a file without its last line break, and `$${` for a literal `${`.
Where a number, a duration or a yes or no is wanted, a value that is one single expansion is read as that type. Inside `{ }` and
`[ ]` such a value needs quotes.

## Top level

";

const AUDIENCE_HEAD: &str = "## Who may see what

Each address that probelet listens on has `routes`: `probes`, `metrics` or `all`. The table says what each of them answers.

- *the verdict* is the answer as with `details: none`: no name, no message, no version. Names cannot be guessed by it either: a
  path that ends in a check (kubelet's `/livez/<check>`) is answered as its gate is, whether there is such a check or not, and
  `?exclude=` changes nothing.
- *without the token* is what a request sees that does not bring `server.token`, where one is set, at an address with
  `routes: all`; for `/metrics` also with `routes: metrics`. It sees no more at the other addresses.
- *this pod* means a connection over loopback that neither a proxy nor a page in a browser has a part in.
- *pages* are those of `server.cors_origins`, in a browser.

A path that an address does not have is 404 there. With the token missing every other path is the same 401.

A reload that asks for another token, answers less at an address or takes an origin away ends the streams that are let in no
more, `Watch` of a check among them.

With `details: none` whoever may see everything is told no name, and may ask for one: `/healthz/<check>`, `/readyz/<check>` and the
like answer with the verdict on that check, and so do `Check` and `Watch`. The page, badges, `/v1` and the streams are 404, and
`List` names the gates alone.

| route | methods | `probes` | `metrics` | `all` | without the token | pages |
| --- | --- | --- | --- | --- | --- | --- |
";

const CHECK_HEAD: &str = "## A check

Beside these keys a check has exactly one section, named after its kind.

A check is `pending` until its first outcome counts. Then it is `ok`, or `degraded` (it passes, and is slow or says that it is not
quite well), or `error`, or `skipped` (a check that it depends on fails, so it is not run). A result that is too old is `stale`.
*A check of this pod* looks at localhost, a loopback address, `$POD_IP`, a Unix socket or a heartbeat.

";

const MATCHERS_HEAD: &str = "## Matchers

Where a key takes *a matcher*, a plain value means what the key says of it (mostly: equal), and a mapping of one or more of these
words says more. All of them must hold: `{ above: 5, below: 10 }`. Of an answer's JSON each value has its type; a header and what
SQL gives are texts, which count as numbers where they spell one.

In a JSON Pointer the segment `*` stands for every member of an object or item of a list: `/tasks/*/state: { not: FAILED }`. Each
must be so, and there must be one, unless `exists: false` is wanted.

";

const CODES_HEAD: &str = "## Diagnostics

`probelet explain CODE` shows an example of each, wrong and right.

| code | severity | meaning |
| --- | --- | --- |
";

/// Each route of the server with those who may ask for it.
fn who_may_see_what() -> String {
    let mut text = String::from(AUDIENCE_HEAD);
    for route in Route::ALL.into_iter().filter(|route| *route != Route::Unknown) {
        let has = |routes: RouteSet| route.set() <= routes;
        let there = |is_there: bool, what: &'static str| if is_there { what } else { "404" };
        let is_gate = route.set() == RouteSet::Probes;
        let at_probes = there(has(RouteSet::Probes), "the verdict");
        let at_metrics = if is_gate { "the verdict" } else { there(has(RouteSet::Metrics), "yes") };
        let at_all = if route.is_control() { "this pod" } else { "yes" };
        let without_token = if is_gate { "the verdict" } else { "401" };
        let for_pages = if route.is_for_pages() { "yes" } else { "no" };
        let cells = [at_probes, at_metrics, at_all, without_token, for_pages].join(" | ");
        text += &format!("| `{}` | {} | {cells} |\n", route.pattern(), route.methods());
    }
    text + "\n"
}

fn kind_of_probe(kind: &ProbeKind) -> String {
    let mut text = format!("### `{}`\n\n{}\n", kind.name, kind.doc);
    if let Some((interval, timeout)) = kind.cadence {
        text += &format!("\nA check of this kind has the defaults `interval: {interval}` and `timeout: {timeout}`.\n");
    }
    text += &format!("\nAn example: [examples/{0}.yaml](examples/{0}.yaml).\n\n", kind.name);
    text += &table(kind.fields);
    for field in kind.fields {
        if let ValueType::List(ValueType::Choice { fields, .. }) = &field.value_type {
            text += &format!("Each item of `{}` has one section, named after a kind, and these keys:\n\n", field.name);
            text += &table(fields);
        }
    }
    text
}

fn table(fields: &[Field]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut text = String::from("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    rows("", fields, &mut text);
    text + "\n"
}

fn rows(parent: &str, fields: &[Field], text: &mut String) {
    for field in fields {
        let name = format!("{parent}{}", field.name);
        let (meaning, default) = meaning_and_default(field);
        let cells = [format!("`{name}`"), expected(&field.value_type), default, meaning];
        let cells = cells.map(|cell| cell.replace("or a matcher", "or a [matcher](#matchers)"));
        text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        match field.value_type {
            ValueType::Section(inner) => rows(&format!("{name}."), inner, text),
            ValueType::OneOrMany(ValueType::TextOrSection(inner)) => rows(&format!("{name}[]."), inner, text),
            _ => {}
        }
    }
}

/// What a key is for, and what holds without it: by the table, or by a sentence of its meaning.
fn meaning_and_default(field: &Field) -> (String, String) {
    match field.presence {
        Presence::Required => (field.doc.to_owned(), "must be there".into()),
        Presence::Default("") => (field.doc.to_owned(), "empty".into()),
        Presence::Default(text) => (field.doc.to_owned(), format!("`{text}`")),
        Presence::Optional => match field.doc.split_once(" Default: ") {
            None => (field.doc.to_owned(), "none".into()),
            Some((before, after)) => {
                let (default, rest) = after.split_once(". ").unwrap_or((after.trim_end_matches('.'), ""));
                (format!("{before} {rest}").trim_end().to_owned(), default.to_owned())
            }
        },
    }
}

fn diagnostic(code: &Code) -> String {
    let severity = if code.severity == Severity::Error { "error" } else { "warning" };
    format!("| `{}` | {severity} | {} |\n", code.name, code.meaning.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_may_stand_in_the_meaning_of_a_key() {
        let row = |doc| meaning_and_default(&Field::optional("key", ValueType::Text, doc));
        let pair = |meaning: &str, default: &str| (meaning.to_owned(), default.to_owned());
        assert_eq!(row("What it is. Default: `10s`."), pair("What it is.", "`10s`"));
        assert_eq!(row("What it is. Default: `1`. More of it."), pair("What it is. More of it.", "`1`"));
        assert_eq!(row("What it is."), pair("What it is.", "none"));
    }
}
