//! The defaults of the keys, read once for a whole document: thousands of checks have the same.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Reader, Scope, path};
use crate::base::field::{Field, Presence, ValueType};
use crate::base::value::{SourceSpan, Spanned, Value, YamlPath};
use crate::config::tree::Mark;

/// The defaults of each table of keys that has been read by.
#[derive(Debug, Default)]
pub(super) struct KnownDefaults {
    tables: RefCell<Vec<(&'static [Field], TableDefaults)>>,
}

/// The defaults of a table, one for each of its keys: nothing where there is none, or where it is read in each place.
type TableDefaults = Rc<[Option<KnownDefault>]>;

/// A default that is the same wherever it holds.
#[derive(Debug)]
pub(super) struct KnownDefault(Spanned);

impl KnownDefaults {
    /// The defaults of `fields`, which `reader` reads the first time.
    pub(super) fn of(&self, fields: &'static [Field], reader: &Reader<'_>) -> TableDefaults {
        let mut tables = self.tables.borrow_mut();
        let is_same = |known: &&(&'static [Field], TableDefaults)| std::ptr::eq(known.0, fields);
        if let Some((_, defaults)) = tables.iter().find(is_same) {
            return Rc::clone(defaults);
        }
        let defaults: TableDefaults = fields.iter().map(|field| KnownDefault::of(field, reader)).collect();
        tables.push((fields, Rc::clone(&defaults)));
        defaults
    }
}

impl KnownDefault {
    fn of(field: &'static Field, reader: &Reader<'_>) -> Option<Self> {
        let Presence::Default(text) = field.presence else { return None };
        let is_known = match &field.value_type {
            ValueType::List(item) | ValueType::OneOrMany(item) => is_scalar(item),
            other => is_scalar(other),
        };
        is_known.then(|| reader.default(field, text, Mark::default(), "", Scope::default())).flatten().map(Self)
    }

    /// The default of the key at `path`, in the section at `mark`.
    pub(super) fn at(&self, mark: Mark, path: YamlPath) -> Spanned {
        let value = match &self.0.value {
            Value::List(items) => {
                let path = path.text();
                let item = |(index, item): (usize, &Spanned)| {
                    let span = SourceSpan { path: path::item(&path, index).into(), ..item.span };
                    Spanned::new(span, item.value.clone())
                };
                Value::List(items.iter().enumerate().map(item).collect())
            }
            value => value.clone(),
        };
        Spanned::new(mark.span(path), value)
    }
}

/// Whether a value of this shape is one word, which says nothing of where it stands.
fn is_scalar(value_type: &ValueType) -> bool {
    match value_type {
        ValueType::Text
        | ValueType::Template
        | ValueType::Bool
        | ValueType::Integer { .. }
        | ValueType::Number { .. }
        | ValueType::Duration { .. }
        | ValueType::DurationRange
        | ValueType::Size
        | ValueType::Share
        | ValueType::SizeOrShare
        | ValueType::Word(_)
        | ValueType::BoolOrWord(_)
        | ValueType::Url { .. }
        | ValueType::Pattern
        | ValueType::Status
        | ValueType::Decimal => true,
        ValueType::Operand
        | ValueType::Matcher(_)
        | ValueType::List(_)
        | ValueType::OneOrMany(_)
        | ValueType::Map(_)
        | ValueType::TextOrSection(_)
        | ValueType::Section(_)
        | ValueType::Choice { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::value::ParseSession;
    use crate::config::source::Environment;
    use crate::probe::KINDS;

    /// Every default of every kind is the same at any place, whether it is read there or known.
    #[test]
    fn a_known_default_is_the_one_that_is_read_at_its_place() {
        let environment = Environment::of::<String, String>([]);
        let session = ParseSession::new(Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let reader = Reader::new(&environment, Rc::clone(&session));
        let mark = Mark { line: 7, column: 3, width: 4 };
        let mut known = 0;
        for field in KINDS.iter().flat_map(|kind| kind.fields) {
            let Presence::Default(text) = field.presence else { continue };
            let read = reader.default(field, text, mark, "checks[2].x", Scope::default());
            let Some(default) = KnownDefault::of(field, &reader) else { continue };
            let placed = default.at(mark, YamlPath::from("checks[2].x").field(&field.name));
            assert_eq!(format!("{:?}", Some(&placed)), format!("{:?}", read.as_ref()), "{}", field.name);
            assert_eq!(Some(placed), read, "{}", field.name);
            known += 1;
        }
        assert!(known >= 15 && session.problems().is_empty(), "{known}");
    }
}
