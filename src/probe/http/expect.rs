//! What is expected of an answer, and the judgement of one.

use std::fmt::Write;

use hyper::header::{HeaderMap, HeaderName};
use serde_json::Value as Json;

use super::request::report_repeated;
use crate::base::field::{Field, ValueType};
use crate::base::pattern::Pattern;
use crate::base::pointer::{Found, look_up, parts_of};
use crate::base::quantity::show_size;
use crate::base::value::{Section, Text, Value};
use crate::model::outcome::{CapturedAnswer, Failure, FailureKind};
use crate::probe::costly;
use crate::probe::search::cost_of_json;
use crate::workflow::captures::Captures;

/// The keys of the section `expect`.
pub(super) const FIELDS: &[Field] = &[
    Field::with_default(
        "status",
        ValueType::OneOrMany(&ValueType::Status),
        "2xx",
        "The status code, up to 999: a number, `2xx`, `200-299`, or a list of these.",
    ),
    Field::optional("body_contains", ValueType::Template, "A text that the body must hold."),
    Field::optional("body_matches", ValueType::Pattern, "A regular expression that must match somewhere in the body."),
    Field::optional(
        "json",
        ValueType::Map(&ValueType::Json),
        "Values that the JSON body must have, by JSON Pointer (RFC 6901): `/data/status: ok`.",
    ),
    Field::optional(
        "headers",
        ValueType::Map(&ValueType::Template),
        "Texts that headers of the answer must contain, by name; the case of names does not matter.",
    ),
];

/// What an answer must be like.
pub(super) struct Expectations {
    status: Vec<(u16, u16)>,
    headers: Vec<(HeaderName, Text)>,
    body_contains: Option<Text>,
    body_matches: Option<Pattern>,
    /// Where, which value, and whether that is not to be shown.
    json: Vec<(String, Json, bool)>,
}

/// An answer as far as it was read.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// There is more of the body than was read.
    pub(super) is_cut: bool,
}

impl Received {
    /// The answer as captures read it.
    pub(super) fn into_answer(self) -> CapturedAnswer {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), lossy(value.as_bytes())));
        CapturedAnswer { status: Some(self.status), headers: headers.collect(), body: self.body }
    }
}

impl Expectations {
    /// Reads a section `expect`; without one any 2xx will do. Problems are reported at their keys. No more than
    /// `max_body` bytes of a body are read.
    pub(super) fn read(fields: Option<&Section>, method: &str, max_body: u64) -> Option<Self> {
        let mut expectations =
            Self { status: vec![(200, 299)], headers: vec![], body_contains: None, body_matches: None, json: vec![] };
        let Some(fields) = fields else { return Some(expectations) };
        let mut sound = true;
        let status = fields.list("status").into_iter().filter_map(|located| match located.value {
            Value::Status(from, to) => Some((from, to)),
            _ => None,
        });
        expectations.status = status.collect();
        for (name, located) in fields.map("headers") {
            match (HeaderName::from_bytes(name.as_bytes()), &located.value) {
                (Ok(name), _) if expectations.headers.iter().any(|(other, _)| *other == name) => {
                    report_repeated(fields, located.key_span());
                    sound = false;
                }
                (Ok(name), Value::Text(text)) => expectations.headers.push((name, text.clone())),
                (Ok(_), _) => {}
                (Err(_), _) => {
                    fields.report_at(located.key_span(), "invalid-value", "not the name of a header", None);
                    sound = false;
                }
            }
        }
        for (pointer, located) in fields.map("json") {
            if let Err((message, help)) = check_pointer(pointer) {
                fields.report_at(located.key_span(), "invalid-pointer", message, Some(help));
                sound = false;
            } else if let Value::Json { value, is_expanded } = &located.value {
                expectations.json.push((pointer.clone(), value.clone(), *is_expanded));
            }
        }
        expectations.body_contains = fields.text("body_contains").cloned();
        if let Some(located) = fields.get("body_matches")
            && let Some(text) = fields.text("body_matches").and_then(Text::fixed)
        {
            match Pattern::new(&text) {
                Ok(pattern) if pattern.longest_text() < max_body => {
                    costly::report(fields, &located.span, &pattern, max_body);
                    sound = false;
                }
                Ok(pattern) => expectations.body_matches = Some(pattern),
                Err(_) => {
                    fields.error("body_matches", "invalid-value", "not a regular expression", None);
                    sound = false;
                }
            }
        }
        let key = ["body_contains", "body_matches", "json"].into_iter().find(|key| fields.get(key).is_some());
        if let (Some(key), "HEAD") = (key, method) {
            let help = "use `method: GET`, or expect status and headers alone";
            fields.error(key, "invalid-value", "an answer to HEAD has no body", Some(help.into()));
            sound = false;
        }
        sound.then_some(expectations)
    }

    /// Whether anything is expected of the body.
    pub(super) const fn reads_body(&self) -> bool {
        self.body_contains.is_some() || self.body_matches.is_some() || !self.json.is_empty()
    }

    /// Whether an answer with this status can be as expected.
    pub(super) fn takes_status(&self, status: u16) -> bool {
        self.status.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Whether the body is of no use unless it is whole.
    pub(super) const fn needs_whole_body(&self) -> bool {
        !self.json.is_empty()
    }

    /// What it costs at most to judge an answer, in units of [`Pattern::cost`].
    pub(super) fn cost(&self, received: &Received) -> u64 {
        let pattern = self.body_matches.as_ref().map_or(0, |pattern| pattern.cost(received.body.len() as u64));
        let json = if self.needs_whole_body() { cost_of_json(received.body.len()) } else { 0 };
        pattern.saturating_add(json)
    }

    /// Whether the answer is as expected.
    ///
    /// # Errors
    /// The first thing that is not, as a mismatch that repeats nothing of the body.
    pub(super) fn judge(&self, received: &Received, captured: &Captures) -> Result<(), Failure> {
        if !self.takes_status(received.status) {
            return Err(mismatch(format!("returned status {}", received.status)));
        }
        self.judge_headers(received, captured)?;
        self.judge_text(received, captured)?;
        self.judge_pattern(received)?;
        self.judge_json(received)
    }

    fn judge_headers(&self, received: &Received, captured: &Captures) -> Result<(), Failure> {
        for (name, text) in &self.headers {
            let wanted = captured.fill(text).map_err(|error| mismatch(error.0))?;
            let mut values = received.headers.get_all(name).iter().peekable();
            if values.peek().is_none() {
                return Err(mismatch(format!("header {name} is missing")));
            }
            if !values.any(|value| lossy(value.as_bytes()).contains(&wanted)) {
                return Err(mismatch(format!("header {name} does not contain the expected text")));
            }
        }
        Ok(())
    }

    fn judge_text(&self, received: &Received, captured: &Captures) -> Result<(), Failure> {
        let Some(text) = &self.body_contains else { return Ok(()) };
        let wanted = captured.fill(text).map_err(|error| mismatch(error.0))?;
        if String::from_utf8_lossy(&received.body).contains(&wanted) {
            Ok(())
        } else {
            Err(mismatch(format!("the expected text is not in the {}", extent(received))))
        }
    }

    fn judge_pattern(&self, received: &Received) -> Result<(), Failure> {
        match &self.body_matches {
            Some(pattern) if !pattern.is_in(&received.body) => {
                let extent = extent(received);
                Err(mismatch(format!("nothing in the {extent} matches the expected pattern")))
            }
            _ => Ok(()),
        }
    }

    fn judge_json(&self, received: &Received) -> Result<(), Failure> {
        if self.json.is_empty() {
            return Ok(());
        }
        if received.is_cut {
            let limit = limit(received);
            return Err(mismatch(format!("the JSON is not whole in the first {limit}: raise `max_body`")));
        }
        let pointers: Vec<&str> = self.json.iter().map(|(pointer, ..)| pointer.as_str()).collect();
        let most = MOST_PARTS + self.json.iter().map(|(_, wanted, _)| parts_of(wanted)).sum::<usize>();
        let Some(found) = look_up(&received.body, &pointers, most) else {
            return Err(mismatch("the body is not JSON"));
        };
        for ((pointer, wanted, is_secret), found) in self.json.iter().zip(found) {
            match found {
                Found::Nothing => return Err(mismatch(format!("{} is missing", shown(pointer)))),
                Found::Value(found) if is_same(&found, wanted) => {}
                Found::Value(_) | Found::TooMuch => {
                    let wanted = if *is_secret { String::new() } else { format!(": {wanted}") };
                    return Err(mismatch(format!("{} has another value than expected{wanted}", shown(pointer))));
                }
            }
        }
        Ok(())
    }
}

/// More parts of a body than this, beside those that are expected, are not kept to be compared: a few megabytes.
const MOST_PARTS: usize = 32 << 10;

fn mismatch(message: impl AsRef<str>) -> Failure {
    Failure::new(FailureKind::Mismatch, message)
}

fn limit(received: &Received) -> String {
    show_size(received.body.len() as u64).replace(".0 ", " ")
}

/// What of the body was looked at.
fn extent(received: &Received) -> String {
    if received.is_cut { format!("first {}", limit(received)) } else { "body".to_owned() }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(pointer: &str) -> String {
    match pointer {
        "" => "the body".to_owned(),
        pointer => format!("`{pointer}`"),
    }
}

/// Equal as JSON values; `1` and `1.0` are the same number.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one_number), Json::Number(other_number)) => {
            one == other
                || (one_number.is_f64() || other_number.is_f64()) && one_number.as_f64() == other_number.as_f64()
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

/// RFC 6901, section 3: empty, or `/` before each token; `~` only as `~0` and `~1`. The error says what is wrong and
/// what to write instead.
fn check_pointer(pointer: &str) -> Result<(), (&'static str, String)> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let path = pointer.strip_prefix("$.").unwrap_or(pointer);
        return Err(("a JSON Pointer begins with `/`", format!("write `/{}`", path.replace('.', "/"))));
    }
    let mut rest = pointer.split('~');
    rest.next();
    if rest.all(|after| after.starts_with(['0', '1'])) {
        return Ok(());
    }
    let mut help = String::from("write `~` as `~0`");
    let _ = write!(help, ": `{}`", pointer.replace('~', "~0"));
    Err(("in a JSON Pointer `~` stands only in `~0` (for `~`) and `~1` (for `/`)", help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_checked_by_rfc_6901() {
        for pointer in ["", "/", "/data/status", "/a~1b/~0", "/0/depth", "/with space"] {
            assert_eq!(check_pointer(pointer), Ok(()), "{pointer}");
        }
        let cases = [
            ("data/status", "write `/data/status`"),
            ("data.status", "write `/data/status`"),
            ("$.data.status", "write `/data/status`"),
            ("/a~b", "write `~` as `~0`: `/a~0b`"),
            ("/a~", "write `~` as `~0`: `/a~0`"),
        ];
        for (pointer, help) in cases {
            assert_eq!(check_pointer(pointer).unwrap_err().1, help, "{pointer}");
        }
    }

    #[test]
    fn json_values_are_compared_as_json() {
        let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let cases = [
            ("0", "0.0", true),
            ("[1, {\"a\": 2}]", "[1.0, {\"a\": 2}]", true),
            ("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}", true),
            ("9007199254740993", "9007199254740992", false),
            ("0", "\"0\"", false),
            ("null", "false", false),
            ("[1]", "[1, 1]", false),
            ("{\"a\": 1}", "{\"b\": 1}", false),
        ];
        for (one, other, same) in cases {
            assert_eq!(is_same(&json(one), &json(other)), same, "{one} {other}");
        }
    }
}
