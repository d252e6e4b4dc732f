//! Walks a tree by the tables of keys and turns it into typed values, reporting everything that does not fit.
//!
//! A value that cannot be read is reported and left out, so that the rest is still looked at. What a new shape accepts
//! is said in [`scalar`] (or [`url`]), how it is called in [`words`].

use std::ptr;
use std::rc::Rc;

use super::Config;
use super::mask::told;
use super::path;
use super::quote::{alternatives, told_key};
use super::shows::is_credential;
use super::source::Environment;
use super::tree::{MappingEntry, Mark, Node, NodeContent};
use crate::base::field::{Field, MatcherType, Presence, ValueType};
use crate::base::value::{ParseSession, Problem, Section, Severity, Spanned, SpareRoom, Value, YamlPath};

pub mod foreign;
mod defaults;
mod json;
pub mod overlooked;
mod scalar;
pub mod suggest;
mod table;
mod texts;
mod url;
pub mod words;

use defaults::KnownDefaults;
pub use table::{Scope, Table};
pub(super) use texts::HELP_WITH_PLAIN_SECRET;
use texts::is_literal;

/// Reads values of one document.
#[derive(Clone, Debug)]
pub struct Reader<'e> {
    environment: &'e Environment,
    session: Rc<ParseSession>,
    defaults: Rc<KnownDefaults>,
    room: Rc<SpareRoom>,
    before: Option<&'e Config>,
}

impl<'e> Reader<'e> {
    /// A reader that expands from `environment` and reports to `session`.
    pub fn new(environment: &'e Environment, session: Rc<ParseSession>) -> Self {
        Self { environment, session, defaults: Rc::default(), room: Rc::default(), before: None }
    }

    /// The same, with the configuration that the document replaces.
    pub fn after(self, before: Option<&'e Config>) -> Self {
        Self { before, ..self }
    }

    /// The configuration that the document replaces, if there is one.
    pub fn before(&self) -> Option<&'e Config> {
        self.before
    }

    /// The same for a part of the document, which reports to a session of its own.
    pub fn within(&self, session: Rc<ParseSession>) -> Self {
        Self { session, defaults: Rc::clone(&self.defaults), room: Rc::clone(&self.room), ..*self }
    }

    /// Where the environment comes from.
    pub fn environment(&self) -> &'e Environment {
        self.environment
    }

    /// What this document has found so far.
    pub fn session(&self) -> &Rc<ParseSession> {
        &self.session
    }

    /// Reads a mapping by its table; nothing when it is no mapping. A mapping without content may be left empty.
    pub fn section(&self, node: &Node, table: &Table, path: &str, scope: Scope<'_>) -> Option<Section> {
        let entries: &[MappingEntry] = match &node.content {
            NodeContent::Map(entries) => entries,
            _ if node.is_null() => &[],
            _ => {
                self.wrong_type(node, "a mapping", path, suggest::mapping_instead_of(node, table, path));
                return None;
            }
        };
        let inner = Scope { in_step: scope.in_step, around: Some((table, &scope)) };
        let defaults = self.defaults.of(table.fields, self);
        let room = entries.len() + defaults.iter().flatten().count();
        let mut values = self.room.take(room);
        let mut meant = Vec::new();
        let place = YamlPath::from(path);
        let mut path_of_field = path::Fields::of(path);
        let mut named = 0;
        for entry in entries {
            match table.field(&entry.key) {
                Some((field, is_one_of)) => {
                    named += usize::from(is_one_of);
                    let path = path_of_field.of_key(field.name);
                    // A kind without a key of its own is named nevertheless.
                    let value = if is_one_of {
                        self.content(&entry.value, &field.value_type, path, inner)
                    } else {
                        self.field(field, entry, path, inner)
                    };
                    if let Some(value) = value {
                        let span = entry.value.mark.span(place.field(&field.name));
                        values.push((field.name, Spanned::new(span, value)));
                    }
                }
                None if table.apart.iter().any(|field| field.name == entry.key) => {}
                None => {
                    let path = path::child(path, &entry.key);
                    meant.extend(self.unknown_key(entry, table, entries, &path, scope));
                }
            }
        }
        let written = values.len();
        let is_given = |name: &str| entries.iter().any(|entry| entry.key == name);
        for (field, known) in table.fields.iter().zip(defaults.iter()) {
            let may_be_missed = !matches!(field.presence, Presence::Optional);
            if !may_be_missed || values[..written].iter().any(|(name, _)| ptr::eq(*name, field.name)) {
                continue;
            }
            match field.presence {
                // A key that is there and was not readable has been reported, and so has one that was misspelt.
                Presence::Required if !is_given(field.name) && !meant.contains(&field.name) => {
                    let message = format!("`{}` is missing", field.name);
                    let help = format!("add `{}: …`, {}", field.name, words::expected(&field.value_type));
                    self.error(node.mark, path, "missing-key", message, Some(help));
                }
                Presence::Default(text) => {
                    let value = match known {
                        Some(known) => Some(known.at(node.mark, place.field(&field.name))),
                        None => self.default(field, text, node.mark, path, inner),
                    };
                    if let Some(value) = value {
                        values.push((field.name, value));
                    }
                }
                _ => {}
            }
        }
        if !table.one_of.is_empty() && named != 1 {
            self.exactly_one(node, entries, table, path, &meant);
        }
        let (session, room) = (Rc::clone(&self.session), Rc::clone(&self.room));
        Some(Section::within_room(node.mark.span(place), values, session, room))
    }

    /// Reads a value by its shape.
    pub fn value(&self, node: &Node, value_type: &'static ValueType, path: &str, scope: Scope<'_>) -> Option<Spanned> {
        self.content(node, value_type, path, scope).map(|value| Spanned::new(node.mark.span(path), value))
    }

    /// The same without its place.
    fn content(&self, node: &Node, value_type: &'static ValueType, path: &str, scope: Scope<'_>) -> Option<Value> {
        Some(match value_type {
            ValueType::List(item) => Value::List(self.list(node, item, path, scope)?),
            ValueType::OneOrMany(item) => match node.content {
                NodeContent::List(_) => Value::List(self.list(node, item, path, scope)?),
                _ => return self.content(node, item, path, scope),
            },
            ValueType::Map(of) => Value::Map(self.map(node, of, path, scope)?),
            ValueType::TextOrSection(_) if !matches!(node.content, NodeContent::Map(_)) => {
                self.scalar(node, &ValueType::Text, path, scope)?
            }
            ValueType::Section(fields) | ValueType::TextOrSection(fields) => {
                let table = Table { fields, ..Table::default() };
                Value::Section(self.section(node, &table, path, scope)?)
            }
            ValueType::Choice { fields, one_of } => {
                let table = Table { fields, one_of, ..Table::default() };
                Value::Section(self.section(node, &table, path, Scope { in_step: true, ..scope })?)
            }
            ValueType::Matcher(of) => match &node.content {
                NodeContent::Map(_) => Value::Section(self.matcher(node, of, path, scope)?),
                _ => return self.content(node, of.plain, path, scope),
            },
            ValueType::Operand => self.operand(node, path, scope)?,
            scalar => self.scalar(node, scalar, path, scope)?,
        })
    }

    /// The mapping that a matcher is, of at least one of its words.
    fn matcher(&self, node: &Node, of: &'static MatcherType, path: &str, scope: Scope<'_>) -> Option<Section> {
        let is_empty = matches!(&node.content, NodeContent::Map(entries) if entries.is_empty());
        if is_empty {
            let words = alternatives(of.words.iter().map(|word| word.name));
            let help = match of.plain {
                ValueType::Operand => format!("write one of {words}; `equals: {{}}` is an empty mapping"),
                _ => format!("write one of {words}"),
            };
            self.error(node.mark, path, "invalid-matcher", "this matcher says nothing".into(), Some(help));
            return None;
        }
        self.section(node, &Table { fields: of.words, words_of: Some(of), ..Table::default() }, path, scope)
    }

    /// The value of a key. Nothing written counts as left out where that is allowed.
    fn field(&self, field: &'static Field, entry: &MappingEntry, path: &str, scope: Scope<'_>) -> Option<Value> {
        let node = &entry.value;
        let required = field.presence == Presence::Required;
        let may_be_empty = matches!(field.value_type, ValueType::Section(_));
        let is_value = matches!(field.value_type, ValueType::Operand);
        if node.is_null() && !is_value && !(required && may_be_empty) {
            if required {
                let message = format!("`{}` has no value", field.name);
                let help = format!("write {}", words::expected(&field.value_type));
                self.error(entry.key_mark, path, "missing-key", message, Some(help));
            }
            return None;
        }
        self.content(node, &field.value_type, path, scope)
    }

    /// The default of a key, read by the same rules as if it stood at the section.
    fn default(
        &self,
        field: &'static Field,
        text: &'static str,
        mark: Mark,
        path: &str,
        scope: Scope<'_>,
    ) -> Option<Spanned> {
        let path = path::of_field(path, field.name);
        if matches!(text.as_bytes().first(), Some(b'[' | b'{')) {
            let node = super::tree::parse_default(text, mark);
            return self.value(&node, &field.value_type, &path, scope);
        }
        self.value(&Node::default_of(text, mark), &field.value_type, &path, scope)
    }

    fn list(&self, node: &Node, value_type: &'static ValueType, path: &str, scope: Scope<'_>) -> Option<Vec<Spanned>> {
        let NodeContent::List(items) = &node.content else {
            let help = match &node.content {
                NodeContent::Scalar(scalar) if scalar.text == "none" => Some("write `[]`".into()),
                NodeContent::Scalar(scalar) if !node.is_null() => match told(path, &scalar.text) {
                    Some(text) => Some(format!("write `[{}]`", words::meant(value_type, &text).unwrap_or(&text))),
                    None => Some("put it in brackets: `[…]`".into()),
                },
                _ => Some("put a `- ` before each item".into()),
            };
            self.wrong_type(node, "a list", path, help);
            return None;
        };
        let item = |(index, item): (usize, &Rc<Node>)| self.value(item, value_type, &path::item(path, index), scope);
        Some(items.iter().enumerate().filter_map(item).collect())
    }

    fn map(
        &self,
        node: &Node,
        value_type: &'static ValueType,
        path: &str,
        scope: Scope<'_>,
    ) -> Option<Vec<(String, Spanned)>> {
        let NodeContent::Map(entries) = &node.content else {
            self.wrong_type(node, "a mapping", path, Some("write `{ key: value }`".into()));
            return None;
        };
        let mut values = Vec::new();
        for entry in entries {
            let path = path::child(path, &entry.key);
            let value = self.value(&entry.value, value_type, &path, scope);
            if let Some(Spanned { value: Value::Text(text), span, .. }) = &value
                && is_credential(&entry.key)
                && is_literal(text)
            {
                self.plain_secret(&format!("`{}`", told_key(&entry.key)), span);
            }
            let key = Some(entry.key_mark.span(&path));
            values.extend(value.map(|value| (entry.key.to_string(), Spanned { key, ..value })));
        }
        Some(values)
    }

    /// Reports a key that is not in the table; says which key was probably meant.
    fn unknown_key(
        &self,
        entry: &MappingEntry,
        table: &Table,
        siblings: &[MappingEntry],
        path: &str,
        scope: Scope<'_>,
    ) -> Option<&'static str> {
        let message = format!("unknown key `{}`", told_key(&entry.key));
        let (help, meant) = suggest::for_key(&entry.key, table, siblings, scope);
        let kind = foreign::kind(&entry.key).filter(|_| !table.one_of.is_empty());
        let place = suggest::in_address(&entry.key, table, siblings, path);
        let (help, meant) = match (kind, place) {
            (Some(kind), _) => (kind.help(), None),
            (None, Some((help, meant))) => (help, Some(meant)),
            (None, None) => (help, meant),
        };
        let help = overlooked::in_key(&entry.key).or_else(|| suggest::in_url(path)).unwrap_or(help);
        self.error(entry.key_mark, path, "unknown-key", message, Some(help));
        meant
    }

    fn exactly_one(&self, node: &Node, entries: &[MappingEntry], table: &Table, path: &str, meant: &[&str]) {
        let is_kind = |name: &str| table.one_of.iter().any(|field| field.name == name);
        let mut given = entries.iter().filter(|entry| is_kind(&entry.key));
        let Some(first) = given.next() else {
            // An unknown key with a section is an unknown kind, and has been reported as that.
            let is_unknown_kind = |entry: &MappingEntry| {
                table.field(&entry.key).is_none()
                    && (matches!(entry.value.content, NodeContent::Map(_)) || foreign::kind(&entry.key).is_some())
            };
            if !meant.iter().any(|name| is_kind(name)) && !entries.iter().any(is_unknown_kind) {
                let message = "there is no section that says what to observe";
                let help = format!("add one of {}", alternatives(table.one_of.iter().map(|field| field.name)));
                self.error(node.mark, path, "missing-kind", message.into(), Some(help));
            }
            return;
        };
        for second in given {
            let message = format!(
                "`{}` cannot stand beside `{}` (line {}): only one thing is observed",
                second.key, first.key, first.key_mark.line
            );
            let help = Some("keep one of them, and put the other into a check or step of its own".into());
            self.error(second.key_mark, &path::child(path, &second.key), "two-kinds", message, help);
        }
    }

    fn wrong_type(&self, node: &Node, expected: &str, path: &str, help: Option<String>) {
        let message = format!("expected {expected}, found {}", words::found(node, path));
        self.error(node.mark, path, "wrong-type", message, help);
    }

    fn error(&self, mark: Mark, path: &str, code: &'static str, message: String, help: Option<String>) {
        self.session.report(Problem { severity: Severity::Error, code, message, help, span: mark.span(path) });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::value::SourceSpan;
    use crate::config::tree;

    const FIELDS: &[Field] = &[
        Field::optional("text", ValueType::Text, ""),
        Field::optional("url", ValueType::Url { schemes: &["postgres", "http"] }, ""),
        Field::optional("flag", ValueType::Bool, ""),
        Field::optional("whole", ValueType::Integer { min: 0, max: 10 }, ""),
        Field::optional("number", ValueType::Number { min: 0.0, max: 10.0 }, ""),
        Field::optional("duration", ValueType::Duration { min: Duration::ZERO }, ""),
        Field::optional("span", ValueType::DurationRange, ""),
        Field::optional("size", ValueType::SizeOrShare, ""),
        Field::optional("word", ValueType::BoolOrWord(&["auto"]), ""),
        Field::optional("status", ValueType::OneOrMany(&ValueType::Status), ""),
        Field::optional("json", ValueType::Map(&ValueType::Operand), ""),
        Field::optional("steps", ValueType::List(&STEP), ""),
        Field::optional("inner", ValueType::Section(&[Field::with_default("word", ValueType::Text, "", "")]), ""),
    ];

    static STEP: ValueType = ValueType::Choice {
        fields: &[Field::optional("name", ValueType::Text, "")],
        one_of: &[Field::optional(
            "ask",
            ValueType::Section(&[Field::optional("url", ValueType::Url { schemes: &["http"] }, "")]),
            "",
        )],
    };

    /// The section that `text` holds, and its problems as `code path: message`.
    fn section(text: &str) -> (Section, Vec<String>) {
        let environment = Environment::of([
            ("USER", "a b"),
            ("PASSWORD", "p@s/s:w?r#d%"),
            ("HOST", "db:5432"),
            ("BASE", "http://user.svc:8080/api"),
            ("URL", "postgres://u:p%40ss@db/x"),
            ("YES", "true"),
            ("SEVEN", "7"),
            ("SOON", "5s"),
            ("WORD", "auto"),
            ("EVIL", "], [evil: true"),
        ]);
        let session = ParseSession::new(Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let root = tree::parse(text, &mut |problem| panic!("{}", problem.message)).unwrap();
        let reader = Reader::new(&environment, Rc::clone(&session));
        let table = Table { fields: FIELDS, ..Table::default() };
        let fields = reader.section(&root, &table, "", Scope::default()).unwrap();
        let line = |problem: Problem| format!("{} {}: {}", problem.code, problem.span.path, problem.message);
        (fields, session.problems().into_iter().map(line).collect())
    }

    fn good(text: &str) -> Section {
        let (fields, problems) = section(text);
        assert_eq!(problems, [""; 0], "{text}");
        fields
    }

    fn url(text: &str) -> String {
        good(&format!("url: {text}")).text("url").unwrap().fixed().unwrap()
    }

    #[test]
    fn a_whole_number_may_be_written_as_helm_writes_it() {
        for (text, number) in [("7", 7), ("7e0", 7), ("1e+01", 10), ("5E-0", 5)] {
            assert_eq!(good(&format!("whole: {text}")).integer("whole"), Some(number), "{text}");
        }
        for text in ["1e+02", "1.5e0", "1e-1", "1e400", "e", "0x1e", "'1e0'", "5.0"] {
            assert_eq!(section(&format!("whole: {text}")).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn an_expansion_is_percent_encoded_in_the_user_info_of_a_url_and_nowhere_else() {
        let cases = [
            ("postgres://${USER}:${PASSWORD}@${HOST}/x", "postgres://a%20b:p%40s%2Fs%3Aw%3Fr%23d%25@db:5432/x"),
            ("postgres://u:x${PASSWORD}y@db/x?a=${SEVEN}", "postgres://u:xp%40s%2Fs%3Aw%3Fr%23d%25y@db/x?a=7"),
            ("${URL}", "postgres://u:p%40ss@db/x"),
            ("${BASE}/health?at=u@h", "http://user.svc:8080/api/health?at=u@h"),
            ("http://${HOST}/u@h", "http://db:5432/u@h"),
            ("http://user.svc/${SEVEN}@x", "http://user.svc/7@x"),
        ];
        for (written, expected) in cases {
            assert_eq!(url(written), expected, "{written}");
        }
    }

    #[test]
    fn a_captured_value_may_stand_in_the_path_and_the_query_of_a_url_only() {
        let problems = |written: &str| section(&format!("steps: [{{ ask: {{ url: \"{written}\" }} }}]")).1;
        for good in ["http://h/${steps.a.b}", "http://h?x=${steps.a.b}", "${BASE}/${steps.a.b}"] {
            assert_eq!(problems(good), [""; 0], "{good}");
        }
        for bad in [
            "${steps.a.b}",
            "${steps.a.b}://h/",
            "http://${steps.a.b}/",
            "http://h:${steps.a.b}/",
            "http://u:${steps.a.b}@h/",
            "http://h${steps.a.b}/",
        ] {
            assert_eq!(
                problems(bad),
                [
                    "misplaced-capture steps[0].ask.url: a captured value can stand only in the path and the query of a URL"
                ],
                "{bad}"
            );
        }
        assert_eq!(
            section("url: http://h/${steps.a.b}").1,
            ["misplaced-capture url: captured values exist only in the steps of a workflow"]
        );
    }

    #[test]
    fn one_single_expansion_is_read_as_the_type_that_is_wanted() {
        let text = "flag: ${YES}\nwhole: \"${SEVEN}\"\nnumber: ${SEVEN}\nduration: ${SOON}\nspan: 1s..${SOON}\n\
                    size: ${SEVEN}MiB\nword: ${WORD}\nstatus: [\"${SEVEN:-200}\"]\ntext: ${EVIL}\n";
        let (fields, problems) = section(text);
        assert_eq!(
            problems,
            [
                "invalid-status status[0]: what `${SEVEN:-200}` stands for is not a status code such as `200`, `2xx` or `200-299`"
            ]
        );
        assert_eq!(fields.flag("flag"), Some(true));
        assert_eq!(fields.integer("whole"), Some(7));
        assert_eq!(fields.number("number"), Some(7.0));
        assert_eq!(fields.duration("duration"), Some(Duration::from_secs(5)));
        assert_eq!(fields.duration_range("span"), Some((Duration::from_secs(1), Duration::from_secs(5))));
        assert_eq!(fields.size("size"), Some(7 << 20));
        assert_eq!(fields.word("word"), Some("auto"));
        // A value cannot inject YAML.
        assert_eq!(fields.text("text").unwrap().fixed().unwrap(), "], [evil: true");
    }

    #[test]
    fn status_codes_are_numbers_classes_and_spans() {
        let cases = [("204", (204, 204)), ("2xx", (200, 299)), ("4XX", (400, 499)), ("200-999", (200, 999))];
        for (written, (from, to)) in cases {
            let fields = good(&format!("status: {written}"));
            assert_eq!(fields.list("status")[0].value, Value::Status(from, to), "{written}");
        }
        for written in ["99", "1000", "0xx", "10xx", "xx", "299-200", "ok", "\"\""] {
            assert_eq!(section(&format!("status: {written}")).1.len(), 1, "{written}");
        }
    }

    #[test]
    fn json_keeps_its_types() {
        let fields = good("json: { /a: 1, /b: \"1\", /c: [true, null, 1.5], /d: { e: \"${USER}\" }, /f: }");
        let json: Vec<String> = fields
            .map("json")
            .iter()
            .map(|(pointer, spanned)| match &spanned.value {
                Value::Json { value, .. } => format!("{pointer} {value}"),
                Value::Text(text) => format!("{pointer} {:?}", text.fixed().unwrap()),
                Value::Decimal(number) => format!("{pointer} {}", number.as_str()),
                _ => panic!("not JSON"),
            })
            .collect();
        assert_eq!(json, ["/a 1", "/b \"1\"", "/c [true,null,1.5]", "/d {\"e\":\"a b\"}", "/f null"]);
    }

    #[test]
    fn nothing_counts_as_left_out_and_an_empty_default_is_a_text() {
        let fields = good("{ text: null, whole: ~, inner: {} }");
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["inner"]);
        let inner = fields.section("inner").unwrap();
        assert_eq!(inner.text("word").unwrap().fixed().unwrap(), "");
        assert!(good("{ inner: , text: x }").section("inner").is_none());
    }

    #[test]
    fn places_are_those_of_the_values() {
        let fields = good("text: a\njson:\n  /x: 12\nstatus:\n  - 2xx\n  - 404\n");
        let span = |spanned: &Spanned| {
            let SourceSpan { path, line, column, width } = &spanned.span;
            format!("{path} {line}:{column}+{width}")
        };
        assert_eq!(span(fields.get("text").unwrap()), "text 1:7+1");
        assert_eq!(span(&fields.map("json")[0].1), "json[\"/x\"] 3:7+2");
        assert_eq!(span(fields.list("status")[1]), "status[1] 6:5+3");
    }
}
