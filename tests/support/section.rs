//! Sections of kinds for tests of probes, built value by value instead of from YAML.
#![allow(dead_code, clippy::unwrap_used)] // each test file includes this one and uses its own part of it; it is a test

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use probelet::base::clock::Clock;
use probelet::base::field::{Field, Presence, ValueType};
use probelet::base::name::CheckName;
use probelet::base::quantity::{parse_duration, parse_size};
use probelet::base::secret::Secret;
use probelet::base::value::{ParseSession, Section, SourceSpan, Spanned, Text, TextPart, Value};
use probelet::model::outcome::ProbeResult;
use probelet::probe::capture::Capture;
use probelet::probe::net::Network;
use probelet::probe::{BuildContext, Probe, ProbeKind, RunContext, Spec};
use probelet::workflow::expression::Expression;

/// The keys of a section as they are given, before defaults.
#[derive(Default)]
pub struct SectionBuilder(BTreeMap<&'static str, Entry>);

enum Entry {
    Value(Value),
    Section(SectionBuilder),
}

impl SectionBuilder {
    /// A section without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Any value.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: Value) -> Self {
        self.0.insert(key, Entry::Value(value));
        self
    }

    /// A string without expansions.
    #[must_use]
    pub fn text(self, key: &'static str, text: impl Into<String>) -> Self {
        self.with(key, Value::Text(Text::plain(text)))
    }

    /// A mapping of strings.
    #[must_use]
    pub fn texts(self, key: &'static str, entries: &[(&str, &str)]) -> Self {
        let entries = entries.iter().map(|(name, text)| ((*name).to_owned(), located(Value::Text(Text::plain(*text)))));
        let entries = entries.collect();
        self.with(key, Value::Map(entries))
    }

    /// A mapping of strings that expansions brought in.
    #[must_use]
    pub fn expanded(self, key: &'static str, entries: &[(&str, &str)]) -> Self {
        let expanded =
            |text: &str| Text { parts: vec![TextPart::Expanded(Secret::new(text))], written: "${SECRET}".into() };
        let entries = entries.iter().map(|(name, text)| ((*name).to_owned(), located(Value::Text(expanded(text)))));
        let entries = entries.collect();
        self.with(key, Value::Map(entries))
    }

    /// A mapping of JSON values.
    #[must_use]
    pub fn jsons(self, key: &'static str, entries: &[(&str, serde_json::Value)]) -> Self {
        let entries = entries
            .iter()
            .map(|(name, json)| ((*name).to_owned(), located(Value::Json { value: json.clone(), is_expanded: false })));
        let entries = entries.collect();
        self.with(key, Value::Map(entries))
    }

    /// A section below this one.
    #[must_use]
    pub fn section(mut self, key: &'static str, section: Self) -> Self {
        self.0.insert(key, Entry::Section(section));
        self
    }

    /// The section as a kind reads it, defaults filled in.
    #[must_use]
    pub fn fields(self, fields: &'static [Field], reading: &Rc<ParseSession>) -> Section {
        let mut given = self.0;
        let mut entries = BTreeMap::new();
        for field in fields {
            let value = match (given.remove(field.name), &field.presence) {
                (Some(Entry::Value(value)), _) => value,
                (Some(Entry::Section(section)), _) => {
                    let ValueType::Section(inner) = field.value_type else { panic!("`{}` is no section", field.name) };
                    Value::Section(section.fields(inner, reading))
                }
                (None, Presence::Default(default)) => default_value(&field.value_type, default),
                (None, _) => continue,
            };
            entries.insert(field.name, located(value));
        }
        assert!(given.is_empty(), "no such key: {:?}", given.keys().collect::<Vec<_>>());
        Section::new(SourceSpan::default(), entries, Rc::clone(reading))
    }

    /// What `kind` makes of the section, or its problems as `code: message`.
    ///
    /// # Errors
    /// The problems, when there are any, warnings included.
    pub fn read(self, kind: &'static ProbeKind) -> Result<Box<dyn Spec>, Vec<String>> {
        let reading = ParseSession::new(Box::new(|path| std::fs::read(path)));
        let spec = (kind.read)(&self.fields(kind.fields, &reading));
        let problems = reading.problems();
        match spec {
            Some(spec) if problems.is_empty() => Ok(spec),
            _ => Err(problems.into_iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()),
        }
    }

    /// A probe of the section, with a network of its own.
    ///
    /// # Panics
    /// When the section has problems.
    #[must_use]
    pub fn probe(self, kind: &'static ProbeKind) -> Box<dyn Probe> {
        self.probe_on(kind, &Arc::new(Network::default()))
    }

    /// A probe of the section on this network.
    ///
    /// # Panics
    /// When the section has problems.
    #[must_use]
    pub fn probe_on(self, kind: &'static ProbeKind, network: &Arc<Network>) -> Box<dyn Probe> {
        let spec = self.read(kind).unwrap();
        spec.build(&BuildContext {
            check: CheckName::new("check").unwrap(),
            network: Arc::clone(network),
            clock: Clock::Machine,
            beats: Arc::default(),
        })
    }
}

/// Runs the probe once under a limit: nothing when the time was up.
pub async fn observe(probe: &mut dyn Probe, limit: Duration) -> Option<ProbeResult> {
    tokio::time::timeout(limit, probe.observe(&RunContext::default())).await.ok()
}

fn located(value: Value) -> Spanned {
    Spanned::new(SourceSpan::default(), value)
}

fn default_value(value_type: &ValueType, text: &str) -> Value {
    match value_type {
        ValueType::Text | ValueType::Template | ValueType::Url { .. } | ValueType::Pattern => {
            Value::Text(Text::plain(text))
        }
        ValueType::Bool => Value::Bool(text == "true"),
        ValueType::Integer { .. } => Value::Integer(text.parse().unwrap()),
        ValueType::Number { .. } => Value::Number(text.parse().unwrap()),
        ValueType::Duration { .. } | ValueType::DurationRange => Value::Duration(parse_duration(text).unwrap()),
        ValueType::Size | ValueType::SizeOrShare => Value::Size(parse_size(text).unwrap()),
        ValueType::Word(words) | ValueType::BoolOrWord(words) => {
            Value::Word(words.iter().find(|word| **word == text).expect("a default is one of the words"))
        }
        ValueType::Status => status(text),
        ValueType::OneOrMany(item) => default_value(item, text),
        other => panic!("no default of {other:?} in tests"),
    }
}

/// A span of status codes as the file writes it: `204`, `2xx` or `200-299`.
#[must_use]
pub fn status(text: &str) -> Value {
    match (text.strip_suffix("xx"), text.split_once('-')) {
        (Some(hundred), _) => {
            let hundred: u16 = hundred.parse().unwrap();
            Value::Status(hundred * 100, hundred * 100 + 99)
        }
        (None, Some((from, to))) => Value::Status(from.parse().unwrap(), to.parse().unwrap()),
        (None, None) => Value::Status(text.parse().unwrap(), text.parse().unwrap()),
    }
}

/// A run whose answer is kept, to capture its status.
#[must_use]
pub fn capturing() -> RunContext {
    let status = Capture { name: "status".into(), expression: Expression::Status };
    RunContext { captures: Arc::new([status]), ..RunContext::default() }
}
