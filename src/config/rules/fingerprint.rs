//! What tells whether the target of a check has changed between two loads: a hash over the values of its section and
//! the files that it names. It is good within one process only.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::base::value::{ParseSession, Section, Spanned, Text, Value};

/// The fingerprint of a check of this kind, with its section and every file that was asked for while it was read.
pub fn of(kind: &str, section: &Section, session: &ParseSession) -> u64 {
    let mut hasher = PieceHasher::new();
    kind.hash(&mut hasher);
    fields(section, &mut hasher);
    session.files().hash(&mut hasher);
    hasher.finish()
}

/// Hashes what is written to it in larger pieces: a section is a hundred words, and to begin with a word costs more than to
/// go on.
struct PieceHasher {
    hasher: DefaultHasher,
    waiting: [u8; PIECE],
    length: usize,
}

const PIECE: usize = 256;

impl PieceHasher {
    fn new() -> Self {
        Self { hasher: DefaultHasher::new(), waiting: [0; PIECE], length: 0 }
    }
}

impl Hasher for PieceHasher {
    fn write(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() > PIECE {
            self.hasher.write(&self.waiting[..self.length]);
            self.length = 0;
        }
        match self.waiting.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.hasher.write(bytes),
        }
    }

    fn finish(&self) -> u64 {
        let mut hasher = self.hasher.clone();
        hasher.write(&self.waiting[..self.length]);
        hasher.finish()
    }
}

fn fields(section: &Section, hasher: &mut PieceHasher) {
    // What stands in another order is the same.
    let mut entries: Vec<_> = section.entries().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    for (key, spanned) in entries {
        key.hash(hasher);
        value(spanned, hasher);
    }
}

fn value(spanned: &Spanned, hasher: &mut PieceHasher) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_hashed_as_a_whole() {
        let words: Vec<Vec<u8>> =
            [0, 1, 9, 255, 256, 257, 3, 1000, 200, 100, 7].map(|length| vec![length as u8; length]).into();
        let (mut whole, mut pieces) = (DefaultHasher::new(), PieceHasher::new());
        for word in &words {
            whole.write(word);
            pieces.write(word);
            assert_eq!(pieces.finish(), whole.finish());
        }
    }
}
