//! The expressions of a step's `capture`: where in an answer a value is found.

use std::fmt;

use serde_json::Value;

use crate::base::pattern::Pattern;
use crate::base::pointer::{PointerValue, look_up};

/// Where a value is found.
#[derive(Clone)]
pub enum Expression {
    /// `json:<pointer>`: at an RFC 6901 pointer into the body.
    Json(String),
    /// `header:<name>`: in the first header of that name, in lower case.
    Header(String),
    /// `cookie:<name>`: of the cookies that the run has.
    Cookie(String),
    /// `regex:<pattern>`: what the only group of a pattern matches in the body.
    Pattern(Pattern),
    /// `status`: the status code.
    Status,
}

/// The parts of an answer in which a value can be found.
#[derive(Clone, Copy, Debug)]
pub struct CaptureSource<'a> {
    /// The status code, where there is one.
    pub status: Option<u16>,
    /// Header names in lower case, with their values.
    pub headers: &'a [(String, String)],
    /// The cookies of the run, in the order in which they were set.
    pub cookies: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
    /// There is more of the body than this.
    pub is_cut: bool,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// What is wrong, in one line.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl ExpressionError {
    /// Whether the text has none of the forms.
    #[must_use]
    pub fn is_unknown_form(&self) -> bool {
        self.help == FORMS
    }
}

const TOO_LONG: &str = "the value is longer than 8 KiB";

const CUT: &str = "the answer is longer than `max_body`, and what was read has no whole value";

const FORMS: &str = "write `json:/pointer`, `header:Name`, `cookie:name`, `regex:pattern with one (group)` or `status`";

impl Expression {
    /// The longest captured value, in bytes.
    pub const MAX: usize = 8 * 1024;

    /// Reads an expression as it is written.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let error = |message: &str, help: &str| Err(ExpressionError { message: message.into(), help: help.into() });
        match text.split_once(':') {
            None if text == "status" => Ok(Self::Status),
            Some(("json", pointer)) => match pointer_problem(pointer) {
                None => Ok(Self::Json(pointer.to_owned())),
                Some(problem) => error(problem, "write a JSON Pointer (RFC 6901) such as `json:/items/0/id`"),
            },
            Some(("header", name)) if is_header_name(name) => Ok(Self::Header(name.to_ascii_lowercase())),
            Some(("header", _)) => error("this is no name of a header", "write one such as `header:Location`"),
            Some(("cookie", name)) if is_header_name(name) => Ok(Self::Cookie(name.to_owned())),
            Some(("cookie", _)) => error("this is no name of a cookie", "write one such as `cookie:session`"),
            Some(("regex", pattern)) => parse_pattern(pattern),
            _ => error("this is none of the forms of a capture", FORMS),
        }
    }

    /// The value in `source`.
    ///
    /// # Errors
    /// Why there is none, as a phrase that shows nothing of the answer.
    pub fn find(&self, source: CaptureSource<'_>) -> Result<String, &'static str> {
        let value = match self {
            Self::Json(_) if source.is_cut => return Err(CUT),
            Self::Json(pointer) => json_at(source.body, pointer)?,
            Self::Header(name) => {
                let header = source.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                header.map(|(_, value)| value.clone()).ok_or("the answer has no such header")?
            }
            Self::Cookie(name) => {
                let kept = source.cookies.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                // A run that keeps none still hears of them.
                let heard = || if source.cookies.is_empty() { cookie_in(source.headers, name) } else { None };
                kept.or_else(heard).ok_or("the server has set no such cookie")?
            }
            Self::Pattern(pattern) if source.is_cut => pattern.first_group_of_cut(source.body).ok_or(CUT)?,
            Self::Pattern(pattern) => pattern.first_group(source.body).ok_or("the pattern matches nothing")?,
            Self::Status => source.status.ok_or("the answer has no status code")?.to_string(),
        };
        if value.len() > Self::MAX { Err(TOO_LONG) } else { Ok(value) }
    }
}

/// Shows the form alone: an expansion may have brought in the rest.
impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "json:***",
            Self::Header(_) => "header:***",
            Self::Cookie(_) => "cookie:***",
            Self::Pattern(_) => "regex:***",
            Self::Status => "status",
        })
    }
}

/// The value of the cookie `name` that an answer sets last, unless it ends at once.
fn cookie_in(headers: &[(String, String)], name: &str) -> Option<String> {
    let set = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
    let mut cookies = set.rev().filter_map(|(_, cookie)| {
        let mut parts = cookie.split(';').map(str::trim);
        let (known, value) = parts.next()?.split_once('=')?;
        let ends = parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0"));
        (known.trim() == name && !ends).then(|| value.trim().to_owned())
    });
    cookies.next().filter(|value| !value.is_empty())
}

/// RFC 6901, section 3: empty, or reference tokens that each follow a `/`, with `~` only in `~0` and `~1`.
fn pointer_problem(pointer: &str) -> Option<&'static str> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Some("a JSON Pointer starts with `/`");
    }
    let stray = pointer.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
    stray.then_some("in a JSON Pointer a `~` is written `~0`")
}

/// RFC 9110, section 5.6.2: a token.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn parse_pattern(pattern: &str) -> Result<Expression, ExpressionError> {
    let pattern = Pattern::new(pattern).map_err(|error| ExpressionError {
        message: format!("this is no regular expression: {error}"),
        help: "write a pattern with one (group)".into(),
    })?;
    match pattern.groups() {
        1 => Ok(Expression::Pattern(pattern)),
        0 => Err(ExpressionError {
            message: "the pattern has no group".into(),
            help: "put the part to capture in parentheses".into(),
        }),
        groups => Err(ExpressionError {
            message: format!("the pattern has {groups} groups, exactly one is captured"),
            help: "write `(?:…)` for the groups that are not to be captured".into(),
        }),
    }
}

/// A value of more parts has more than [`Expression::MAX`] bytes.
const MOST_PARTS: usize = 2 * Expression::MAX;

/// The content of a string, the JSON text of anything else but `null`.
fn json_at(body: &[u8], pointer: &str) -> Result<String, &'static str> {
    match look_up(body, &[pointer], MOST_PARTS).and_then(|mut found| found.pop()) {
        None => Err("the answer is not JSON"),
        Some(PointerValue::Nothing) => Err("the answer has nothing there"),
        Some(PointerValue::TooMuch) => Err(TOO_LONG),
        Some(PointerValue::Value(Value::Null)) => Err("the answer has null there"),
        Some(PointerValue::Value(Value::String(text))) => Ok(text),
        Some(PointerValue::Value(other)) => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(expression: &str, body: &str) -> Result<String, &'static str> {
        let headers = [("location".to_owned(), "/a".to_owned()), ("location".to_owned(), "/b".to_owned())];
        let cookies = [("sid", "old"), ("SID", "other"), ("sid", "new"), ("gone", "")];
        let cookies = cookies.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = CaptureSource {
            status: Some(201),
            headers: &headers,
            cookies: &cookies,
            body: body.as_bytes(),
            is_cut: false,
        };
        Expression::parse(expression).unwrap().find(source)
    }

    fn problem(expression: &str) -> String {
        let error = Expression::parse(expression).unwrap_err();
        format!("{} | {}", error.message, error.help)
    }

    #[test]
    fn a_json_string_is_captured_as_its_content_and_the_rest_as_json() {
        let body = r#"{"s":"a\n\"b\"","n":1.50,"big":123456789012345678901234567890,"exact":52.520006599999996,"e":[1e3,1E-3],"t":true,"o":{"b": [1, 2],"a":null},"x/y~z":"deep"}"#;
        let cases = [
            ("json:/s", "a\n\"b\""),
            ("json:/n", "1.50"),
            ("json:/big", "123456789012345678901234567890"),
            ("json:/exact", "52.520006599999996"),
            ("json:/e/0", "1e+3"),
            ("json:/e/1", "1e-3"),
            ("json:/t", "true"),
            ("json:/o", r#"{"b":[1,2],"a":null}"#),
            ("json:/o/b/1", "2"),
            ("json:/x~1y~0z", "deep"),
        ];
        for (expression, expected) in cases {
            assert_eq!(find(expression, body).as_deref(), Ok(expected), "{expression}");
        }
        assert_eq!(find("json:", "[1]").as_deref(), Ok("[1]"));
        assert_eq!(find("json:/s", r#"{"s":""}"#).as_deref(), Ok(""));
    }

    #[test]
    fn headers_patterns_and_the_status_are_captured() {
        assert_eq!(find("header:Location", "").as_deref(), Ok("/a"));
        assert_eq!(find("regex:id=([0-9]+)", "x id=42 id=43").as_deref(), Ok("42"));
        assert_eq!(find("regex:(?:a|b):(.)", "b:c").as_deref(), Ok("c"));
        assert_eq!(find("cookie:sid", "").as_deref(), Ok("new"));
        assert_eq!(find("cookie:gone", "").as_deref(), Ok(""));
        assert_eq!(find("cookie:Sid", ""), Err("the server has set no such cookie"));
        let set = |cookie: &str| ("set-cookie".to_owned(), cookie.to_owned());
        let headers = [set("sid=a; Path=/"), set("sid=b"), set("gone=x; Max-Age=0"), set("empty=")];
        let heard = CaptureSource { status: None, headers: &headers, cookies: &[], body: b"", is_cut: false };
        let cookie = |name: &str| Expression::Cookie(name.to_owned()).find(heard).ok();
        assert_eq!((cookie("sid").as_deref(), cookie("gone"), cookie("empty")), (Some("b"), None, None));
        assert_eq!(find("status", "").as_deref(), Ok("201"));
    }

    #[test]
    fn what_is_not_there_is_said_without_showing_the_answer() {
        let cases = [
            ("json:/s", "<html>", "the answer is not JSON"),
            ("json:/s", "", "the answer is not JSON"),
            ("json:/s", "{}", "the answer has nothing there"),
            ("json:/s", r#"{"s":null}"#, "the answer has null there"),
            ("header:etag", "", "the answer has no such header"),
            ("regex:id=(.)", "none", "the pattern matches nothing"),
            ("regex:id(=.)?", "id", "the pattern matches nothing"),
        ];
        for (expression, body, expected) in cases {
            assert_eq!(find(expression, body), Err(expected), "{expression} {body}");
        }
        let bare = CaptureSource { status: None, headers: &[], cookies: &[], body: b"", is_cut: false };
        assert_eq!(Expression::Status.find(bare), Err("the answer has no status code"));
    }

    #[test]
    fn of_a_body_that_was_cut_no_value_is_found_that_may_go_on() {
        let find = |expression: &str, body: &[u8]| {
            let source = CaptureSource { status: None, headers: &[], cookies: &[], body, is_cut: true };
            Expression::parse(expression).unwrap().find(source)
        };
        assert_eq!(find("regex:id=([0-9]+)", b"id=123"), Err(CUT));
        assert_eq!(find("regex:id=([0-9]+)$", b"id=123"), Err(CUT));
        assert_eq!(find("regex:id=([0-9]+)", b"id=123 ").as_deref(), Ok("123"));
        assert_eq!(find("regex:id=([^ ]+)", "id=caf\u{e9}".as_bytes()), Err(CUT));
        assert_eq!(find("regex:id=([a-z]+)", b"id=caf\xc3"), Err(CUT));
        assert_eq!(find("regex:id=([a-z]+)", b"id=caf\xff").as_deref(), Ok("caf"));
        assert_eq!(find("regex:none=(.)", b"id=123 "), Err(CUT));
        assert_eq!(find("json:/id", br#"{"id":123}"#), Err(CUT));
    }

    #[test]
    fn a_value_of_8_kib_is_the_longest() {
        let text = |length: usize| format!("\"{}\"", "x".repeat(length));
        assert_eq!(find("json:", &text(8192)).map(|value| value.len()), Ok(8192));
        assert_eq!(find("json:", &text(8193)), Err(TOO_LONG));
    }

    #[test]
    fn deeply_nested_json_is_refused_and_not_followed() {
        assert_eq!(find("json:", &"[".repeat(100_000)), Err("the answer is not JSON"));
    }

    #[test]
    fn a_wrong_expression_says_what_to_write() {
        let pointer = "write a JSON Pointer (RFC 6901) such as `json:/items/0/id`";
        let header = "this is no name of a header | write one such as `header:Location`";
        assert_eq!(problem("token"), format!("this is none of the forms of a capture | {FORMS}"));
        assert_eq!(problem("$.token"), format!("this is none of the forms of a capture | {FORMS}"));
        assert_eq!(problem("status:200"), format!("this is none of the forms of a capture | {FORMS}"));
        assert_eq!(problem("json:token"), format!("a JSON Pointer starts with `/` | {pointer}"));
        assert_eq!(problem("json:/a~b"), format!("in a JSON Pointer a `~` is written `~0` | {pointer}"));
        assert_eq!(problem("json:/a~"), format!("in a JSON Pointer a `~` is written `~0` | {pointer}"));
        assert_eq!(problem("cookie:a b"), "this is no name of a cookie | write one such as `cookie:session`");
        assert_eq!(problem("header:"), header);
        assert_eq!(problem("header:a b"), header);
        assert_eq!(problem("regex:id"), "the pattern has no group | put the part to capture in parentheses");
        assert_eq!(
            problem("regex:(a)(b)"),
            "the pattern has 2 groups, exactly one is captured | \
             write `(?:…)` for the groups that are not to be captured"
        );
        assert!(problem("regex:(").starts_with("this is no regular expression: "));
    }
}
