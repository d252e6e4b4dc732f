//! Values at JSON Pointers (RFC 6901), found while the text is read: the rest of it is checked and never kept, so that
//! a text of a megabyte takes no fifty of memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What is at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum PointerValue {
    /// Nothing.
    Nothing,
    /// This.
    Value(Value),
    /// A value of more parts than were to be kept.
    TooMuch,
}

/// What is at each of `pointers` in the JSON `text`: values of at most `most` parts (a number or a text of up to 32
/// bytes, a list). Of members with the same name the last counts. Nothing where the text is not JSON.
#[must_use]
pub fn look_up(text: &[u8], pointers: &[&str], most: usize) -> Option<Vec<PointerValue>> {
    let mut found = vec![PointerValue::Nothing; pointers.len()];
    let mosts = vec![Some(most); pointers.len()];
    let is_json =
        PointerSet::new(pointers.iter().copied(), Wildcard::Name).walk(text, &mosts, &|_| false, &mut |pointer, at| {
            found[pointer] = match at {
                Visit::Again => PointerValue::Nothing,
                Visit::Value { value, .. } => {
                    value.map_or(PointerValue::TooMuch, |value| PointerValue::Value(value.clone()))
                }
            };
        });
    is_json.then_some(found)
}

/// How many parts a value has, as [`look_up`] counts them.
#[must_use]
pub fn parts_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(parts_of).sum::<usize>(),
        Value::Object(members) => {
            1 + members.iter().map(|(key, value)| parts_of_text(key) + parts_of(value)).sum::<usize>()
        }
        Value::String(text) => parts_of_text(text),
        Value::Number(number) => parts_of_text(number.as_str()),
        Value::Null | Value::Bool(_) => 1,
    }
}

/// More names of one object are not told apart where only their number is wanted.
const MOST_NAMES: usize = 16 << 10;

/// How many parts a text has, or a number.
#[must_use]
pub const fn parts_of_text(text: &str) -> usize {
    1 + text.len() / 32
}

/// What a segment `*` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcard {
    /// The member of that name.
    Name,
    /// Every member and every item.
    Every,
}

/// Pointers, as a tree of their segments: a text is read once for all of them.
#[derive(Clone, Debug)]
pub struct PointerSet(Vec<PointerSegment>);

#[derive(Clone, Debug, Default)]
struct PointerSegment {
    /// The pointers that end here.
    ends: Vec<usize>,
    /// The pointers that end here or further down.
    through: Vec<usize>,
    names: BTreeMap<Box<str>, usize>,
    every: Option<usize>,
    /// There is one place for it: no segment before it stands for many.
    is_single: bool,
}

/// What a walk tells of a pointer.
#[derive(Debug)]
pub enum Visit<'v> {
    /// Whatever was found so far stood in a member that is there again: the last one counts. Below a segment that stands
    /// for many each one counts, and this is not told.
    Again,
    /// What is there.
    Value {
        /// Nothing where it has more parts than were to be kept.
        value: Option<&'v Value>,
        /// The characters of a text, the items of a list, the members of an object.
        length: Option<usize>,
        /// On the way there a segment that stands for many led to a member that is secret by its name.
        is_secret: bool,
    },
}

impl PointerSet {
    /// These pointers, numbered in their order.
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p str>, wildcard: Wildcard) -> Self {
        let mut segments = vec![PointerSegment { is_single: true, ..PointerSegment::default() }];
        for (pointer, text) in pointers.into_iter().enumerate() {
            let mut at = 0;
            segments[at].through.push(pointer);
            // RFC 6901, section 4.
            for token in text.split('/').skip(1) {
                let next = segments.len();
                let is_every = token == "*" && wildcard == Wildcard::Every;
                let segment = &mut segments[at];
                let is_single = segment.is_single && !is_every;
                let child = if is_every {
                    *segment.every.get_or_insert(next)
                } else {
                    *segment.names.entry(token.replace("~1", "/").replace("~0", "~").into()).or_insert(next)
                };
                if child == next {
                    segments.push(PointerSegment { is_single, ..PointerSegment::default() });
                }
                at = child;
                segments[at].through.push(pointer);
            }
            segments[at].ends.push(pointer);
        }
        Self(segments)
    }

    /// Reads the JSON `text` and tells `visitor` what is at each pointer as it comes by. `mosts` says, by pointer, of how
    /// many parts a value may be that is kept; nothing where its length is all that is wanted. Each value has this for
    /// itself, so that one that others are part of leaves nothing of them out. `is_secret` is asked of the names that a
    /// segment for many leads to. Whether it was JSON is known only at its end.
    #[must_use]
    pub fn walk(
        &self,
        text: &[u8],
        mosts: &[Option<usize>],
        is_secret: &dyn Fn(&str) -> bool,
        visitor: &mut dyn FnMut(usize, Visit<'_>),
    ) -> bool {
        let most = |pointer: &usize| mosts.get(*pointer).copied().flatten();
        let walk = Walk {
            segments: &self.0,
            mosts: self.0.iter().map(|segment| segment.ends.iter().filter_map(most).max()).collect(),
            visitor: RefCell::new(visitor),
            seen: RefCell::new(vec![false; self.0.len()]),
            left: Cell::new(0),
            is_secret,
        };
        let mut reader = serde_json::Deserializer::from_slice(text);
        PointerWalk { at: vec![0], keeps: false, is_told: false, is_secret: false, walk: &walk }
            .deserialize(&mut reader)
            .is_ok()
            && reader.end().is_ok()
    }
}

/// Is told what is at a pointer, by its number.
type PlaceVisitor<'v> = dyn FnMut(usize, Visit<'_>) + 'v;

/// What all steps of a walk share.
struct Walk<'w> {
    segments: &'w [PointerSegment],
    /// By segment, how many parts a value there may have that is kept.
    mosts: Vec<Option<usize>>,
    visitor: RefCell<&'w mut PlaceVisitor<'w>>,
    /// The segments that were come by.
    seen: RefCell<Vec<bool>>,
    /// How many parts of the innermost value that is wanted may still be kept.
    left: Cell<usize>,
    is_secret: &'w dyn Fn(&str) -> bool,
}

impl Walk<'_> {
    fn tell(&self, pointer: usize, visit: Visit<'_>) {
        (self.visitor.borrow_mut())(pointer, visit);
    }

    /// A segment with one place is come by: what was found there before counts no more.
    fn enter(&self, segment: usize) {
        if !self.segments[segment].is_single {
            return;
        }
        if std::mem::replace(&mut self.seen.borrow_mut()[segment], true) {
            self.segments[segment].through.iter().for_each(|pointer| self.tell(*pointer, Visit::Again));
        }
    }

    fn takes(&self, parts: usize) -> bool {
        let left = self.left.get().checked_sub(parts);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// Reads one value.
struct PointerWalk<'w> {
    /// The segments that it is at.
    at: Vec<usize>,
    /// It is, or is part of, a value that is wanted.
    keeps: bool,
    /// A pointer ends at it.
    is_told: bool,
    is_secret: bool,
    walk: &'w Walk<'w>,
}

/// A value that was read.
#[derive(Default)]
struct Passed {
    /// If it was to be kept and there was room for it.
    value: Option<Value>,
    length: Option<usize>,
}

impl PointerWalk<'_> {
    /// What reads the member called `name`.
    fn for_member(&self, name: &str) -> Self {
        let mut at = Vec::new();
        let mut is_secret = self.is_secret;
        for segment in &self.at {
            let PointerSegment { names, every, .. } = &self.walk.segments[*segment];
            if let Some(child) = names.get(name) {
                self.walk.enter(*child);
                at.push(*child);
            }
            is_secret = is_secret || (every.is_some() && (self.walk.is_secret)(name));
            at.extend(every);
        }
        Self { at, is_told: false, is_secret, ..*self }
    }

    fn for_item(&self, index: usize) -> Self {
        let is_named = |segment: &usize| !self.walk.segments[*segment].names.is_empty();
        // As serde_json has it: a number without a leading zero or sign.
        let name = if self.at.iter().any(is_named) { index.to_string() } else { String::new() };
        self.for_member(&name)
    }

    /// The number that stands in `members` instead of any; one part is taken for it already where it `is_kept`.
    fn number<'de, A: MapAccess<'de>>(&self, is_kept: bool, mut members: A) -> Result<Passed, A::Error> {
        if !is_kept {
            members.next_value::<IgnoredAny>()?;
            return Ok(Passed::default());
        }
        let number: Number = members.next_value::<String>()?.parse().map_err(A::Error::custom)?;
        Ok(self.passed(parts_of_text(number.as_str()) - 1, None, || Value::Number(number)))
    }

    /// The value, if it is to be kept and there is room for so many parts.
    fn passed(&self, parts: usize, length: Option<usize>, value: impl FnOnce() -> Value) -> Passed {
        Passed { value: (self.keeps && self.walk.takes(parts)).then(value), length }
    }
}

/// A key of what serde_json hands over as a map.
enum MapKey {
    /// The name of a member.
    Name(String),
    /// None is written: the map is a number that is no integer of 64 bits, and its one value is the text of it.
    Number,
}

impl<'de> Deserialize<'de> for MapKey {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        // A name that is written can be asked for as an option and is there. The one that stands for a number is a text
        // whatever it is asked for as; who writes the answer may choose the same name.
        reader.deserialize_option(MapKeyVisitor)
    }
}

struct MapKeyVisitor;

impl<'de> Visitor<'de> for MapKeyVisitor {
    type Value = MapKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<MapKey, D::Error> {
        String::deserialize(reader).map(MapKey::Name)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<MapKey, E> {
        Ok(MapKey::Number)
    }
}

impl<'de> DeserializeSeed<'de> for PointerWalk<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(mut self, reader: D) -> Result<Option<Value>, D::Error> {
        let (walk, is_part, is_secret) = (self.walk, self.keeps, self.is_secret);
        let ends: Vec<usize> = self.at.iter().filter(|at| !walk.segments[**at].ends.is_empty()).copied().collect();
        self.is_told = !ends.is_empty();
        let most = ends.iter().filter_map(|segment| walk.mosts[*segment]).max();
        self.keeps |= most.is_some();
        let outer = walk.left.get();
        // Whatever it is part of may have used up its own parts, or be allowed fewer.
        let most = most.map_or(outer, |most| most.max(outer));
        walk.left.set(most);
        let Passed { value, length } = reader.deserialize_any(self)?;
        for pointer in ends.into_iter().flat_map(|segment| &walk.segments[segment].ends) {
            walk.tell(*pointer, Visit::Value { value: value.as_ref(), length, is_secret });
        }
        if !is_part {
            walk.left.set(outer);
            return Ok(None);
        }
        let taken = most - walk.left.get();
        walk.left.set(outer.saturating_sub(taken));
        Ok(value.filter(|_| taken <= outer))
    }
}

impl<'de> Visitor<'de> for PointerWalk<'_> {
    type Value = Passed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Passed, E> {
        Ok(self.passed(1, None, || Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Passed, E> {
        Ok(self.passed(1, None, || value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Passed, E> {
        Ok(self.passed(1, None, || value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Passed, E> {
        Ok(self.passed(1, None, || value.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Passed, E> {
        let length = (self.keeps || self.is_told).then(|| text.chars().count());
        Ok(self.passed(parts_of_text(text), length, || text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Passed, A::Error> {
        let mut kept = self.passed(1, None, || Value::Null).value.map(|_| Vec::new());
        let mut index = 0usize;
        while let Some(item) = items.next_element_seed(self.for_item(index))? {
            kept = kept.zip(item).map(|(mut kept, item)| {
                kept.push(item);
                kept
            });
            index += 1;
        }
        Ok(Passed { value: kept.map(Value::Array), length: Some(index) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Passed, A::Error> {
        let mut kept = self.passed(1, None, || Value::Null).value.map(|_| Map::new());
        let mut count = 0usize;
        // Nothing else knows which names are there twice.
        let mut names = (self.is_told && kept.is_none()).then(BTreeSet::new);
        while let Some(key) = members.next_key()? {
            let MapKey::Name(key) = key else { return self.number(kept.is_some(), members) };
            let value = members.next_value_seed(self.for_member(&key))?;
            let is_there_again = |names: &mut BTreeSet<String>| !names.insert(key.clone());
            if names.as_mut().filter(|names| names.len() < MOST_NAMES).is_some_and(is_there_again) {
                continue;
            }
            kept = kept.zip(value).filter(|_| self.walk.takes(parts_of_text(&key))).map(|(mut kept, value)| {
                kept.insert(key, value);
                kept
            });
            count += 1;
        }
        // A name that is there twice counts once.
        let length = kept.as_ref().map_or(count, Map::len);
        Ok(Passed { value: kept.map(Value::Object), length: Some(length) })
    }
}

#[cfg(test)]
mod tests;
