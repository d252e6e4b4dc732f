//! What is expected of an answer: the keys, and how they are read. How an answer is judged is in `judge`; what makes a
//! pass degraded, and what the app itself says, in `app`.

mod app;
mod json;
mod judge;

pub(super) use self::app::{AppAnswer, DEGRADED, MESSAGE, PassingAnswer};

use hyper::header::{HeaderMap, HeaderName};

use self::json::{JsonExpectations, check_pointer};
use super::request::report_repeated;
use crate::base::costly::{self, Haystack};
use crate::base::field::{Field, ValueType};
use crate::base::matcher::{DeclaredMatcher, PlainMeaning, words};
use crate::base::pattern::Pattern;
use crate::base::value::{Section, Spanned, Text, Value};
use crate::model::outcome::CapturedAnswer;

/// The keys of the section `expect`.
pub(super) const FIELDS: &[Field] = &fields(Field::with_default("status", STATUS, "2xx", STATUS_DOC));

/// The keys of the section `degraded`: of the status nothing is wanted unless it is said.
pub(super) const DEGRADED_FIELDS: &[Field] = &fields(Field::optional("status", STATUS, STATUS_DOC));

const STATUS: ValueType = ValueType::OneOrMany(&ValueType::Status);

const STATUS_DOC: &str = "The status code, up to 999: a number, `2xx`, `200-299`, or a list of these.";

const fn fields(status: Field) -> [Field; 7] {
    [
        status,
        Field::optional("body_contains", ValueType::Template, "A text that is in the body."),
        Field::optional("body_lacks", ValueType::Template, "A text that is not in the body."),
        Field::optional("body_matches", ValueType::Pattern, "A regular expression that matches somewhere in the body."),
        Field::optional(
            "body_not_matches",
            ValueType::Pattern,
            "A regular expression that matches nowhere in the body.",
        ),
        Field::optional(
            "json",
            ValueType::Map(&ValueType::Matcher(&words::JSON)),
            "What the JSON body has, by JSON Pointer (RFC 6901): `/data/status: ok`, `/queue/depth: { below: 1000 }`. \
             A segment `*` stands for every member or item: each must be so, and there must be one.",
        ),
        Field::optional(
            "headers",
            ValueType::Map(&ValueType::Matcher(&words::TEXT)),
            "What headers of the answer are like, by name, whose case does not matter: a text that they contain, or a \
             matcher. Of several lines with one name `equals`, `one_of`, `contains` and `matches` want one, all else \
             every one.",
        ),
    ]
}

/// What an answer must be like.
struct Expectations {
    status: Vec<(u16, u16)>,
    headers: Vec<(HeaderName, DeclaredMatcher)>,
    /// A text, and whether the body must hold it or must not.
    texts: Vec<(Text, bool)>,
    /// A pattern, and whether it must match in the body or must not.
    patterns: Vec<(Pattern, bool)>,
    json: JsonExpectations,
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
    /// The answer as captures read it, with the cookies that the run has.
    pub(super) fn into_answer(self, cookies: Vec<(String, String)>) -> CapturedAnswer {
        let (status, headers) = (Some(self.status), self.header_texts());
        CapturedAnswer { status, headers, cookies, body: self.body, is_cut: self.is_cut }
    }

    /// The headers as captures read them.
    pub(super) fn header_texts(&self) -> Vec<(String, String)> {
        let headers = self.headers.iter();
        headers.map(|(name, value)| (name.as_str().to_owned(), lossy(value.as_bytes()))).collect()
    }
}

/// No line of an answer's head is longer.
const LONGEST_HEADER: u64 = 64 << 10;

impl Expectations {
    /// Reads a section `expect` or `degraded`; without one any 2xx will do. Problems are reported at their keys. No more than
    /// `max_body` bytes of a body are read.
    fn read(fields: Option<&Section>, method: &str, max_body: u64) -> Option<Self> {
        let Some(fields) = fields else {
            let json = JsonExpectations::default();
            return Some(Self { status: vec![(200, 299)], headers: vec![], texts: vec![], patterns: vec![], json });
        };
        let status = fields.list("status").into_iter().filter_map(|located| match located.value {
            Value::Status(from, to) => Some((from, to)),
            _ => None,
        });
        let text = |(key, wanted)| fields.text(key).map(|text| (text.clone(), wanted));
        let texts = [("body_contains", true), ("body_lacks", false)].into_iter().filter_map(text).collect();
        let headers = read_headers(fields);
        let json = read_json(fields, max_body);
        let patterns = read_patterns(fields, max_body);
        let of_body = ["body_contains", "body_lacks", "body_matches", "body_not_matches", "json"];
        if let ("HEAD", Some(key)) = (method, of_body.into_iter().find(|key| fields.get(key).is_some())) {
            let help = "use `method: GET`, or expect status and headers alone";
            fields.error(key, "invalid-value", "an answer to HEAD has no body", Some(help.into()));
            return None;
        }
        Some(Self { status: status.collect(), headers: headers?, texts, patterns: patterns?, json: json? })
    }
}

fn read_headers(fields: &Section) -> Option<Vec<(HeaderName, DeclaredMatcher)>> {
    let mut headers: Vec<(HeaderName, DeclaredMatcher)> = Vec::new();
    let mut sound = true;
    for (name, located) in fields.map("headers") {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if headers.iter().any(|(other, _)| *other == name) => {
                report_repeated(fields, located.key_span());
                sound = false;
            }
            Ok(name) => {
                let matcher = DeclaredMatcher::read(located, PlainMeaning::Contains, Haystack::Text(LONGEST_HEADER));
                sound &= matcher.is_some();
                headers.extend(matcher.map(|matcher| (name, matcher)));
            }
            Err(_) => {
                fields.report_at(located.key_span(), "invalid-value", "not the name of a header", None);
                sound = false;
            }
        }
    }
    sound.then_some(headers)
}

fn read_json(fields: &Section, max_body: u64) -> Option<JsonExpectations> {
    let read = |(pointer, located): &(String, Spanned)| {
        if let Err((message, help)) = check_pointer(pointer) {
            fields.report_at(located.key_span(), "invalid-pointer", message, Some(help));
            return None;
        }
        let matcher = DeclaredMatcher::read(located, PlainMeaning::Equals, Haystack::Body(max_body))?;
        Some((pointer.clone(), matcher))
    };
    let matchers: Vec<Option<(String, DeclaredMatcher)>> = fields.map("json").iter().map(read).collect();
    Some(JsonExpectations::new(matchers.into_iter().collect::<Option<_>>()?))
}

fn read_patterns(fields: &Section, max_body: u64) -> Option<Vec<(Pattern, bool)>> {
    let read = |(key, wanted)| {
        let (located, text) = (fields.get(key)?, fields.text(key)?.fixed()?);
        Some(match Pattern::new(&text) {
            Ok(pattern) if costly::is_reported(fields, &located.span, &pattern, Haystack::Body(max_body)) => None,
            Ok(pattern) => Some((pattern, wanted)),
            Err(_) => {
                fields.error(key, "invalid-value", "not a regular expression", None);
                None
            }
        })
    };
    let patterns: Vec<Option<(Pattern, bool)>> =
        [("body_matches", true), ("body_not_matches", false)].into_iter().filter_map(read).collect();
    patterns.into_iter().collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
