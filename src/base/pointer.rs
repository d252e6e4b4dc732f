//! Values at JSON Pointers (RFC 6901), found while the text is read: the rest of it is checked and never kept, so that
//! a text of a megabyte takes no fifty of memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
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

/// The name under which serde_json hands over a number that is no integer of 64 bits: alone, and as a text.
const NUMBER: &str = "$serde_json::private::Number";

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

    /// The value, if it is to be kept and there is room for so many parts.
    fn passed(&self, parts: usize, length: Option<usize>, value: impl FnOnce() -> Value) -> Passed {
        Passed { value: (self.keeps && self.walk.takes(parts)).then(value), length }
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
        while let Some(key) = members.next_key::<String>()? {
            if count == 0 && key == NUMBER {
                let number: Number = members.next_value::<String>()?.parse().map_err(A::Error::custom)?;
                // One part is taken for it already.
                let more = parts_of_text(number.as_str()) - 1;
                let value = kept.and_then(|_| self.passed(more, None, || Value::Number(number)).value);
                return Ok(Passed { value, length: None });
            }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What serde_json finds in the whole of a text that it has read.
    fn expected(text: &[u8], pointers: &[&str]) -> Option<Vec<PointerValue>> {
        let json: Value = serde_json::from_slice(text).ok()?;
        Some(
            pointers
                .iter()
                .map(|at| json.pointer(at).cloned().map_or(PointerValue::Nothing, PointerValue::Value))
                .collect(),
        )
    }

    const POINTERS: &[&str] =
        &["", "/", "/a", "/a/b", "/a/b/0", "/0", "/1/a", "/00", "/+1", "/-", "/a~1b", "/m~0n", "/a/", "/b", "//"];

    #[test]
    fn the_same_is_found_as_in_the_whole() {
        for text in [
            r#"{"a":{"b":[1,2.5,"x",null,true]},"a/b":1,"m~n":2,"":{"":3}}"#,
            r#"{"a":{"b":1},"a":{"c":2}}"#,
            r#"{"a":{"b":1},"a":5}"#,
            r#"[[0],{"a":"b"},-1,18446744073709551615,1e300]"#,
            r#"{"0":1,"00":2,"-":3,"+1":4}"#,
            "1",
            "\"text\"",
            "null",
            " [ ] ",
            "{}",
            "",
            "{",
            "[1,]",
            "{} {}",
            "[1e999]",
            "[\"\\ud800\"]",
            "{\"a\":nul}",
            "{\"x\":[{\"y\":\"\u{1}\"}]}",
        ] {
            assert_eq!(look_up(text.as_bytes(), POINTERS, 1000), expected(text.as_bytes(), POINTERS), "{text}");
        }
        assert_eq!(look_up(b"{\"x\":\"\xff\"}", POINTERS, 1000), None);
        for depth in [100, 127, 128, 129, 100_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let is_json = serde_json::from_str::<Value>(&deep).is_ok();
            assert_eq!(look_up(deep.as_bytes(), &["/a"], 10).is_some(), is_json, "{depth}");
        }
    }

    #[test]
    fn no_more_is_kept_than_is_wanted() {
        let long = format!("{{\"a\":[{}0],\"b\":7}}", "0,".repeat(10_000));
        assert_eq!(look_up(long.as_bytes(), &["/a"], 100), Some(vec![PointerValue::TooMuch]));
        assert_eq!(look_up(long.as_bytes(), &["/b"], 1), Some(vec![PointerValue::Value(7.into())]));
        assert_eq!(
            look_up(long.as_bytes(), &["/a/9999", "/b"], 2),
            Some(vec![PointerValue::Value(0.into()), PointerValue::Value(7.into())])
        );
        let text = format!("\"{}\"", "x".repeat(3200));
        assert_eq!(look_up(text.as_bytes(), &[""], 100), Some(vec![PointerValue::TooMuch]));
        assert_eq!(look_up(text.as_bytes(), &[""], 101), Some(vec![PointerValue::Value("x".repeat(3200).into())]));
        let value = serde_json::json!({"a": [1, {"b": "c"}], "d": null});
        let parts = parts_of(&value);
        assert_eq!(look_up(value.to_string().as_bytes(), &[""], parts), Some(vec![PointerValue::Value(value.clone())]));
        assert_eq!(look_up(value.to_string().as_bytes(), &[""], parts - 1), Some(vec![PointerValue::TooMuch]));
    }

    /// What a walk tells of `pointer` in `text`, in the order of the text.
    fn visited(text: &str, pointer: &str, most: usize) -> Vec<String> {
        let mut told = Vec::new();
        let set = PointerSet::new([pointer], Wildcard::Every);
        assert!(set.walk(text.as_bytes(), &[Some(most)], &|_| false, &mut |_, visit| told.push(match visit {
            Visit::Again => "again".to_owned(),
            Visit::Value { value: Some(value), .. } => value.to_string(),
            Visit::Value { value: None, length, .. } => format!("{length:?}"),
        })));
        told
    }

    #[test]
    fn a_star_leads_to_every_member_and_every_item() {
        let text =
            r#"{"tasks":[{"state":"UP","n":[1,2]},{"state":"DOWN"},7],"more":{"x":{"state":1},"*":{"state":2}}}"#;
        for (pointer, told) in [
            ("/tasks/*/state", vec![r#""UP""#, r#""DOWN""#]),
            ("/more/*/state", vec!["1", "2"]),
            ("/*/*/state", vec![r#""UP""#, r#""DOWN""#, "1", "2"]),
            ("/tasks/*/n/*", vec!["1", "2"]),
            ("/tasks/*/*/1", vec!["2"]),
            ("/tasks/2/*", vec![]),
            ("/none/*", vec![]),
            ("/tasks/*/state/*", vec![]),
            ("/more/*", vec![r#"{"state":1}"#, r#"{"state":2}"#]),
            ("/tasks/2", vec!["7"]),
        ] {
            assert_eq!(visited(text, pointer, 100), told, "{pointer}");
        }
    }

    #[test]
    fn of_members_with_the_same_name_the_last_counts_and_under_a_star_each() {
        assert_eq!(visited(r#"{"a":1,"a":2}"#, "/a", 9), ["1", "again", "2"]);
        assert_eq!(visited(r#"{"a":{"b":1},"a":{}}"#, "/a/b", 9), ["1", "again"]);
        assert_eq!(visited(r#"{"a":[1],"a":[2]}"#, "/a/*", 9), ["1", "again", "2"]);
        assert_eq!(visited(r#"[{"a":1},{"a":2,"a":3}]"#, "/*/a", 9), ["1", "2", "3"]);
    }

    #[test]
    fn each_value_of_many_may_have_all_the_parts_that_one_may_have() {
        assert_eq!(visited("[[1,2],[3,4],[5,6,7]]", "/*", 3), ["[1,2]", "[3,4]", "Some(3)"]);
        assert_eq!(visited(r#"["abc",{"a":1,"b":2}]"#, "/*", 0), ["Some(3)", "Some(2)"]);
    }

    #[test]
    fn a_value_that_others_are_part_of_takes_nothing_from_them() {
        let list = format!("{{\"items\":[{}\"z\"]}}", "\"a\",".repeat(100));
        for outer in [None, Some(0), Some(3), Some(102), Some(1000)] {
            let set = PointerSet::new(["/items", "/items/*", ""], Wildcard::Every);
            let (mut texts, mut lengths, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
            assert!(set.walk(list.as_bytes(), &[outer, Some(1), None], &|_| false, &mut |pointer, visit| {
                let Visit::Value { value, length, .. } = visit else { return };
                match pointer {
                    1 => texts.push(value.cloned()),
                    0 => {
                        lengths.push(length);
                        wholes.push(value.cloned());
                    }
                    _ => assert_eq!(length, Some(1)),
                }
            }));
            assert_eq!((texts.len(), texts.last().cloned().flatten()), (101, Some("z".into())), "{outer:?}");
            assert!(texts.iter().all(Option::is_some) && lengths == [Some(101)], "{outer:?}");
            assert_eq!(wholes[0].is_some(), outer.is_some_and(|most| most >= 102), "{outer:?}");
        }
        // An inner one that is allowed more leaves the outer one its own bound.
        assert_eq!(
            look_up(b"[[1,2],3]", &["", "/0"], 3),
            Some(vec![PointerValue::TooMuch, PointerValue::Value(serde_json::json!([1, 2]))])
        );
    }

    #[test]
    fn where_the_length_is_all_that_is_wanted_it_is_that_of_the_whole() {
        for (text, expected) in
            [(r#"{"a":1,"b":2,"a":3}"#, Some(2)), ("[1,[2,3]]", Some(2)), ("\"é€\"", Some(2)), ("7", None)]
        {
            let mut told = Vec::new();
            let set = PointerSet::new([""], Wildcard::Every);
            assert!(set.walk(text.as_bytes(), &[None], &|_| false, &mut |_, visit| {
                if let Visit::Value { value, length, .. } = visit {
                    told.push((value.is_some(), length));
                }
            }));
            assert_eq!(told, [(false, expected)], "{text}");
        }
    }

    #[test]
    fn serde_json_hands_over_a_number_under_the_name_that_is_known_here() {
        let found = look_up(b"[1.50]", &["", "/0"], 10).unwrap();
        let value = |text: &str| PointerValue::Value(serde_json::from_str(text).unwrap());
        assert_eq!(found, [value("[1.50]"), value("1.50")]);
        assert_eq!(look_up(b"[1.50,2.50]", &[""], 3), Some(vec![value("[1.50,2.50]")]));
        assert_eq!(look_up(b"[1.50,2.50]", &[""], 2), Some(vec![PointerValue::TooMuch]));
        let long = format!("1.{}", "0".repeat(62));
        assert_eq!(look_up(long.as_bytes(), &[""], 3), Some(vec![value(&long)]));
        assert_eq!(look_up(long.as_bytes(), &[""], 2), Some(vec![PointerValue::TooMuch]));
    }

    proptest! {
        #[test]
        fn a_number_is_found_as_it_is_written(
            bits in any::<u64>().prop_filter("is finite", |bits| f64::from_bits(*bits).is_finite()),
            whole in "-?[1-9][0-9]{0,40}",
            real in "-?(0|[1-9][0-9]{0,25})\\.[0-9]{1,25}(e[+-]?[0-9]{1,4})?",
        ) {
            let double = f64::from_bits(bits);
            let texts = [format!("{double:?}"), format!("{double:e}"), format!("{double}"), whole, real];
            // serde_json writes each exponent with its sign.
            let signed = |text: String| text.replace('e', "e+").replace("e+-", "e-").replace("e++", "e+");
            for text in texts.map(signed) {
                let body = format!("{{\"a\":{text},\"b\":[{text}]}}");
                let found = look_up(body.as_bytes(), &["/a", "/b"], 100).unwrap();
                for (value, shown) in found.iter().zip([text.clone(), format!("[{text}]")]) {
                    let PointerValue::Value(value) = value else { panic!("{value:?}") };
                    prop_assert_eq!(value.to_string(), shown);
                }
            }
        }

        #[test]
        fn any_text_gives_the_same(text in "[{}\\[\\]\",:0-9ab/~ -]{0,24}") {
            prop_assert_eq!(look_up(text.as_bytes(), POINTERS, 1000), expected(text.as_bytes(), POINTERS));
        }
    }
}
