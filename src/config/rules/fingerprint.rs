//! What tells whether the target of a check has changed between two loads: a hash over the values of its section and
//! the files that it names. It is good within one process only.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::base::value::{ParseSession, Section, Spanned, Text, Value};

/// The fingerprint of a check of this kind, with its section and every file that was asked for while it was read.
pub fn of(kind: &str, section: &Section, session: &ParseSession) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    fields(section, &mut hasher);
    session.files().hash(&mut hasher);
    hasher.finish()
}

fn fields(section: &Section, hasher: &mut DefaultHasher) {
    // What stands in another order is the same.
    let mut entries: Vec<_> = section.entries().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    for (key, spanned) in entries {
        key.hash(hasher);
        value(spanned, hasher);
    }
}

fn value(spanned: &Spanned, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&spanned.value).hash(hasher);
    match &spanned.value {
        Value::Text(text) => match text.whole() {
            Some(whole) => whole.hash(hasher),
            None => rendered(text).hash(hasher),
        },
        Value::Bool(flag) => flag.hash(hasher),
        Value::Integer(integer) => integer.hash(hasher),
        Value::Number(number) | Value::Share(number) => number.to_bits().hash(hasher),
        Value::Decimal(number) => number.as_str().hash(hasher),
        Value::Duration(duration) => duration.hash(hasher),
        Value::DurationRange(from, to) => (from, to).hash(hasher),
        Value::Size(size) => size.hash(hasher),
        Value::Word(word) => word.hash(hasher),
        Value::Status(from, to) => (from, to).hash(hasher),
        Value::Json { value, .. } => value.to_string().hash(hasher),
        Value::List(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| value(item, hasher));
        }
        Value::Map(entries) => {
            entries.len().hash(hasher);
            for (key, entry) in entries {
                key.hash(hasher);
                value(entry, hasher);
            }
        }
        Value::Section(inner) => fields(inner, hasher),
    }
}

/// What is written as a variable and what is written out is the same text, and so the same target.
fn rendered(text: &Text) -> String {
    text.render(|step, name| Ok::<_, std::convert::Infallible>(format!("\0{step}\0{name}\0"))).unwrap_or_default()
}
