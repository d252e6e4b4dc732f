//! Values captured from the answers of earlier steps, and how they are put into a request without changing its shape.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::value::{Text, TextPart};

/// Captured values by step and name. They may be secrets: nothing is shown of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captures(BTreeMap<(String, String), CapturedValue>);

#[derive(Clone, PartialEq, Eq)]
struct CapturedValue {
    text: String,
    /// It is no secret.
    is_public: bool,
}

impl fmt::Debug for Captures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captures({})", self.0.len())
    }
}

/// Why a text could not be filled in; the message names the value and never shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillError(pub String);

/// RFC 3986, section 2.3: everything but the unreserved characters is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Captures {
    /// Remembers `value` as `${steps.<step>.<name>}`.
    pub fn insert(&mut self, step: &str, name: &str, value: String) {
        self.put(step, name, CapturedValue { text: value, is_public: false });
    }

    /// The same of a value that is no secret, such as a status code.
    pub fn insert_public(&mut self, step: &str, name: &str, value: String) {
        self.put(step, name, CapturedValue { text: value, is_public: true });
    }

    fn put(&mut self, step: &str, name: &str, value: CapturedValue) {
        self.0.insert((step.to_owned(), name.to_owned()), value);
    }

    /// The names and values that nobody is to see.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let secrets = self.0.iter().filter(|(_, value)| !value.is_public);
        secrets.map(|((_, name), value)| (name.as_str(), value.text.as_str()))
    }

    /// The value of `${steps.<step>.<name>}`, if it was captured.
    #[must_use]
    pub fn get(&self, step: &str, name: &str) -> Option<&str> {
        self.0.get(&(step.to_owned(), name.to_owned())).map(|value| value.text.as_str())
    }

    fn need(&self, step: &str, name: &str) -> Result<&str, FillError> {
        self.get(step, name).ok_or_else(|| FillError(format!("{name} of step {step} was not captured")))
    }

    /// Fills `text` as it is, for places where no value can do harm.
    ///
    /// # Errors
    /// When a value was not captured.
    pub fn fill(&self, text: &Text) -> Result<String, FillError> {
        text.render(|step, name| self.need(step, name).map(str::to_owned))
    }

    /// Fills a URL: in path and query each value is percent-encoded but for RFC 3986's unreserved characters.
    ///
    /// # Errors
    /// When a value was not captured, or would make a path segment empty, `.` or `..`.
    pub fn fill_url(&self, text: &Text) -> Result<String, FillError> {
        let mut url = String::new();
        let mut segment = Some(Segment::default());
        for part in &text.parts {
            let (written, by) = match part {
                TextPart::Plain(text) => (Cow::from(text), None),
                TextPart::Expanded(secret) => (Cow::from(secret.expose()), None),
                TextPart::Capture { step, name } => {
                    let value = utf8_percent_encode(self.need(step, name)?, RESERVED).to_string();
                    (Cow::from(value), Some((step.as_str(), name.as_str())))
                }
            };
            segment = match segment {
                Some(segment) => segment.extend(&written, by)?,
                None => None,
            };
            url.push_str(&written);
        }
        if let Some(segment) = segment {
            segment.check()?;
        }
        Ok(url)
    }

    /// Fills the value of a header.
    ///
    /// # Errors
    /// When a value was not captured, or holds a line break or another control character.
    pub fn fill_header(&self, text: &Text) -> Result<String, FillError> {
        text.render(|step, name| self.need_without(step, name, |c| c.is_control() && c != '\t').map(str::to_owned))
    }

    /// Fills a text whose lines and fields mean something to its reader, in a way that is not known here.
    ///
    /// # Errors
    /// When a value was not captured, or holds a line break or another control character.
    pub fn fill_lines(&self, text: &Text) -> Result<String, FillError> {
        text.render(|step, name| self.need_without(step, name, char::is_control).map(str::to_owned))
    }

    /// Fills an HTML body: each value as text that is content, or the value of an attribute.
    ///
    /// # Errors
    /// When a value was not captured, or holds a character that XML 1.0 has not.
    pub fn fill_html(&self, text: &Text) -> Result<String, FillError> {
        text.render(|step, name| {
            let mut escaped = String::new();
            self.need_in_xml(step, name)?.chars().for_each(|character| push_escaped(&mut escaped, character));
            Ok(escaped)
        })
    }

    /// Fills an XML body: the same, and a value in a CDATA section as it is, which cannot end the section.
    ///
    /// # Errors
    /// When a value was not captured, or holds a character that XML 1.0 has not.
    pub fn fill_xml(&self, text: &Text) -> Result<String, FillError> {
        let mut body = String::new();
        let mut follows_value_in_cdata = false;
        for part in &text.parts {
            let written = match part {
                TextPart::Plain(text) => text,
                TextPart::Expanded(secret) => secret.expose(),
                TextPart::Capture { step, name } => {
                    let value = self.need_in_xml(step, name)?;
                    follows_value_in_cdata = is_in_cdata(&body);
                    for character in value.chars() {
                        if !follows_value_in_cdata {
                            push_escaped(&mut body, character);
                            continue;
                        }
                        if character == '>' && body.ends_with("]]") {
                            body.push_str(BETWEEN_CDATA);
                        }
                        body.push(character);
                    }
                    continue;
                }
            };
            let ends_with_value = |end: &str, rest: &str| body.ends_with(end) && written.starts_with(rest);
            if follows_value_in_cdata && (ends_with_value("]]", ">") || ends_with_value("]", "]>")) {
                body.push_str(BETWEEN_CDATA);
            }
            follows_value_in_cdata = false;
            body.push_str(written);
        }
        Ok(body)
    }

    fn need_in_xml(&self, step: &str, name: &str) -> Result<&str, FillError> {
        let is_missing = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
        self.need_without(step, name, is_missing)
    }

    /// The value, unless it holds a character that is refused.
    fn need_without(&self, step: &str, name: &str, is_refused: impl Fn(char) -> bool) -> Result<&str, FillError> {
        let value = self.need(step, name)?;
        if value.chars().any(is_refused) {
            return Err(FillError(format!("{name} of step {step} holds a line break or control character")));
        }
        Ok(value)
    }

    /// Fills a JSON body: each value as the inside of a JSON string. Outside of one a value can still add to a list:
    /// whether the shape is what was meant is for the caller to see.
    ///
    /// # Errors
    /// When a value was not captured, or stands right after a backslash that would take its first character.
    pub fn fill_json(&self, text: &Text) -> Result<String, FillError> {
        let mut body = String::new();
        for part in &text.parts {
            match part {
                TextPart::Plain(text) => body.push_str(text),
                TextPart::Expanded(secret) => body.push_str(secret.expose()),
                TextPart::Capture { step, name } => {
                    if body.chars().rev().take_while(|character| *character == '\\').count() % 2 == 1 {
                        return Err(FillError(format!("{name} of step {step} stands right after a backslash")));
                    }
                    let quoted = serde_json::Value::from(self.need(step, name)?).to_string();
                    body.push_str(&quoted[1..quoted.len() - 1]);
                }
            }
        }
        Ok(body)
    }

    /// Splits an SQL text into one with `$1`, `$2`, … and the values to bind, in that order.
    ///
    /// # Errors
    /// When a value was not captured.
    pub fn bind_sql(&self, text: &Text) -> Result<(String, Vec<String>), FillError> {
        let mut values: Vec<String> = Vec::new();
        let mut sql = String::new();
        let mut after_parameter = false;
        for part in &text.parts {
            let is_parameter = matches!(part, TextPart::Capture { .. });
            let written = match part {
                TextPart::Plain(text) => Cow::from(text),
                TextPart::Expanded(secret) => Cow::from(secret.expose()),
                TextPart::Capture { step, name } => {
                    values.push(self.need(step, name)?.to_owned());
                    Cow::from(format!("${}", values.len()))
                }
            };
            // A parameter is a word of its own: next to a digit `$1` would become `$10`, after a letter a name.
            if (is_parameter || after_parameter) && sql.ends_with(is_sql_word) && written.starts_with(is_sql_word) {
                sql.push(' ');
            }
            after_parameter = is_parameter;
            sql.push_str(&written);
        }
        Ok((sql, values))
    }
}

/// Ends a CDATA section and begins the next.
const BETWEEN_CDATA: &str = "]]><![CDATA[";

/// Whether what follows this beginning of an XML document stands in a CDATA section (XML 1.0, section 2.7).
fn is_in_cdata(xml: &str) -> bool {
    const CDATA: (&str, &str) = ("<![CDATA[", "]]>");
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let section = [CDATA, ("<!--", "-->"), ("<?", "?>")].into_iter().find(|(begin, _)| rest.starts_with(begin));
        let Some((begin, end)) = section else {
            rest = &rest[1..];
            continue;
        };
        rest = &rest[begin.len()..];
        match rest.find(end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => return begin == CDATA.0,
        }
    }
    false
}

fn push_escaped(xml: &mut String, character: char) {
    match character {
        '&' | '<' | '>' | '"' | '\'' | '\t' | '\n' | '\r' => xml.push_str(&format!("&#{};", u32::from(character))),
        other => xml.push(other),
    }
}

/// The segment of a URL's path that is being filled. As captured values stand only in path and query, and hold no
/// delimiter once they are encoded, what comes before the path needs no telling apart.
#[derive(Default)]
struct Segment<'a> {
    text: String,
    /// The first captured value in it, as step and name.
    by: Option<(&'a str, &'a str)>,
}

impl<'a> Segment<'a> {
    /// Goes on with `written`, which `by` brought in; nothing is returned once the path has ended.
    fn extend(mut self, written: &str, by: Option<(&'a str, &'a str)>) -> Result<Option<Self>, FillError> {
        self.by = self.by.or(by);
        for character in written.chars() {
            match character {
                '/' | '\\' => {
                    self.check()?;
                    self = Self::default();
                }
                '?' | '#' => return self.check().map(|()| None),
                // The WHATWG has these dropped wherever they stand.
                '\t' | '\n' | '\r' => {}
                other => self.text.push(other),
            }
        }
        Ok(Some(self))
    }

    fn check(&self) -> Result<(), FillError> {
        match self.by {
            Some((step, name)) if is_dot_segment(&self.text) => {
                Err(FillError(format!("{name} of step {step} would make a segment of the path empty or a dot segment")))
            }
            _ => Ok(()),
        }
    }
}

/// RFC 3986, section 3.3 and 5.2.4: empty, `.` or `..`, also with encoded dots. Blanks around it are dropped at the end
/// of a URL.
fn is_dot_segment(segment: &str) -> bool {
    let trimmed = segment.trim_matches(|character| character <= ' ');
    matches!(trimmed.to_ascii_lowercase().replace("%2e", ".").as_str(), "" | "." | "..")
}

fn is_sql_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn text(before: &str, after: &str) -> Text {
        let capture = TextPart::Capture { step: "order".into(), name: "id".into() };
        Text {
            parts: vec![TextPart::Plain(before.into()), capture, TextPart::Plain(after.into())],
            written: String::new(),
        }
    }

    fn captured(value: &str) -> Captures {
        let mut captures = Captures::default();
        captures.insert("order", "id", value.into());
        captures
    }

    #[test]
    fn a_value_in_a_url_cannot_leave_its_segment() {
        let url = text("http://h/orders/", "/state?x=1");
        assert_eq!(
            captured("a/b?c#d e%é~._-").fill_url(&url).unwrap(),
            "http://h/orders/a%2Fb%3Fc%23d%20e%25%C3%A9~._-/state?x=1"
        );
        assert_eq!(captured("").fill_url(&text("http://h/orders?id=", "")).unwrap(), "http://h/orders?id=");
        assert_eq!(captured("..").fill_url(&text("http://h/a", "/b")).unwrap(), "http://h/a../b");
        assert_eq!(captured("/..").fill_url(&text("http://h?id=", "/../x")).unwrap(), "http://h?id=%2F../../x");
        assert_eq!(captured("..").fill_url(&text("http://h/#", "")).unwrap(), "http://h/#..");
    }

    #[test]
    fn a_value_that_would_change_the_path_of_a_url_is_named() {
        let refused = "id of step order would make a segment of the path empty or a dot segment";
        for evil in ["", ".", ".."] {
            for (before, after) in [
                ("http://h/orders/", "/state?x=1"),
                ("http://h/orders/", ""),
                ("http://h/orders/", "#x"),
                ("http://h/orders\\", "\\x"),
                ("http://h/orders/\t", "\n/x"),
                ("http://h/orders/", " "),
                ("http:/h/", "/x"),
            ] {
                assert_eq!(
                    captured(evil).fill_url(&text(before, after)).unwrap_err().0,
                    refused,
                    "{before}{evil}{after}"
                );
            }
        }
        for before in ["http://h/.", "http://h/%2e", "http://h/%2E"] {
            assert_eq!(captured(".").fill_url(&text(before, "/b")).unwrap_err().0, refused, "{before}");
        }
        let mut two = captured("7");
        two.insert("order", "line", "..".into());
        let line = TextPart::Capture { step: "order".into(), name: "line".into() };
        let mut url = text("http://h/orders/", "/");
        url.parts.push(line);
        assert_eq!(
            two.fill_url(&url).unwrap_err().0,
            "line of step order would make a segment of the path empty or a dot segment"
        );
    }

    #[test]
    fn what_stands_in_the_file_and_what_is_expanded_stays_as_it_is_in_a_url() {
        let mut url = text("", "/../x y");
        url.parts.insert(0, TextPart::Expanded(Secret::new("http://h//a/..")));
        assert_eq!(captured("b").fill_url(&url).unwrap(), "http://h//a/..b/../x y");
        assert_eq!(Captures::default().fill_url(&Text::plain("http://h//..")).unwrap(), "http://h//..");
    }

    #[test]
    fn a_value_in_a_header_cannot_start_another() {
        assert_eq!(captured("a b\tc").fill_header(&text("Bearer ", "")).unwrap(), "Bearer a b\tc");
        assert!(captured("a\r\nX: y").fill_header(&text("Bearer ", "")).is_err());
        assert!(captured("a\n").fill_header(&text("Bearer ", "")).is_err());
    }

    #[test]
    fn a_value_in_xml_adds_no_element_and_no_attribute() {
        let body = text("<order id=\"", "\"/>");
        assert_eq!(
            captured("7\"/><x a='&é\n").fill_xml(&body).unwrap(),
            "<order id=\"7&#34;/&#62;&#60;x a=&#39;&#38;é&#10;\"/>"
        );
        assert!(captured("a\0").fill_xml(&body).is_err());
    }

    #[test]
    fn a_value_in_a_cdata_section_is_sent_as_it_is_and_stays_in_it() {
        for (before, value, after, filled) in [
            ("<o><![CDATA[", "a&b <x>", "]]></o>", "<o><![CDATA[a&b <x>]]></o>"),
            ("<o><![CDATA[", "a]]>b", "]]></o>", "<o><![CDATA[a]]]]><![CDATA[>b]]></o>"),
            ("<![CDATA[]]", ">", "]]>", "<![CDATA[]]]]><![CDATA[>]]>"),
            ("<![CDATA[", "]]", ">]]>", "<![CDATA[]]]]><![CDATA[>]]>"),
            ("<![CDATA[", "]", "]>]]>", "<![CDATA[]]]><![CDATA[]>]]>"),
            ("<![CDATA[", "[1]", "]]>", "<![CDATA[[1]]]>"),
            ("<![CDATA[x]]><o>", "&", "]]></o>", "<![CDATA[x]]><o>&#38;]]></o>"),
            ("<o><!--<![CDATA[-->", "&", "</o>", "<o><!--<![CDATA[-->&#38;</o>"),
            ("<!--<![CDATA[", "-->", "-->", "<!--<![CDATA[--&#62;-->"),
            ("<?x <![CDATA[ ?>", "&", "", "<?x <![CDATA[ ?>&#38;"),
        ] {
            assert_eq!(captured(value).fill_xml(&text(before, after)).as_deref(), Ok(filled), "{before}{value}{after}");
        }
        assert!(captured("a\0").fill_xml(&text("<![CDATA[", "]]>")).is_err());
    }

    #[test]
    fn a_value_adds_no_line_and_no_field_to_a_text() {
        let line = text("SET order ", "\r\n");
        assert_eq!(captured("a b é").fill_lines(&line).unwrap(), "SET order a b é\r\n");
        for value in ["7\r\nFLUSHALL", "7\t8", "7\n", "\u{85}"] {
            let refused = "id of step order holds a line break or control character";
            assert_eq!(captured(value).fill_lines(&line).unwrap_err().0, refused, "{value:?}");
        }
    }

    #[test]
    fn a_value_in_a_json_body_stays_inside_its_string() {
        let body = text(r#"{"id":""#, r#""}"#);
        assert_eq!(captured("a\"},{\n\\").fill_json(&body).unwrap(), r#"{"id":"a\"},{\n\\"}"#);
    }

    #[test]
    fn a_value_right_after_a_backslash_is_refused() {
        let body = text(r#"{"id":"\"#, r#""}"#);
        assert_eq!(captured("\"").fill_json(&body).unwrap_err().0, "id of step order stands right after a backslash");
    }

    #[test]
    fn a_value_in_sql_is_bound() {
        let (sql, values) =
            captured("1; DROP TABLE x").bind_sql(&text("SELECT count(*) FROM o WHERE id = ", "::bigint")).unwrap();
        assert_eq!(sql, "SELECT count(*) FROM o WHERE id = $1::bigint");
        assert_eq!(values, ["1; DROP TABLE x"]);
        assert_eq!(captured("").bind_sql(&text("SELECT x", "0")).unwrap().0, "SELECT x $1 0");
        assert_eq!(captured("").bind_sql(&text("VALUES (1,", ")")).unwrap().0, "VALUES (1,$1)");
        let mut table = text("SELECT ", " FROM orders");
        table.parts.push(TextPart::Expanded(Secret::new("_2026")));
        assert_eq!(captured("").bind_sql(&table).unwrap().0, "SELECT $1 FROM orders_2026");
    }

    #[test]
    fn a_missing_value_is_named() {
        let error = Captures::default().fill(&text("", "")).unwrap_err();
        assert_eq!(error.0, "id of step order was not captured");
    }
}
