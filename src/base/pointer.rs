//! Values at JSON Pointers (RFC 6901), found while the text is read: the rest of it is checked and never kept, so that
//! a text of a megabyte takes no fifty of memory.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What is at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// This.
    Value(Value),
    /// A value of more parts than were to be kept.
    TooMuch,
}

/// What is at each of `pointers` in the JSON `text`: values of at most `most` parts together (a number, a text of up to
/// 32 bytes, a list). Of members with the same name the last counts. Nothing where the text is not JSON.
#[must_use]
pub fn look_up(text: &[u8], pointers: &[&str], most: usize) -> Option<Vec<Found>> {
    let found = RefCell::new(vec![Found::Nothing; pointers.len()]);
    let left = Cell::new(most);
    let wanted = pointers.iter().copied().enumerate().collect();
    let mut reader = serde_json::Deserializer::from_slice(text);
    PointerWalk { wanted, keeps: false, found: &found, left: &left }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found.into_inner())
}

/// How many parts a value has, as [`look_up`] counts them.
#[must_use]
pub fn parts_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(parts_of).sum::<usize>(),
        Value::Object(members) => 1 + members.iter().map(|(key, value)| of_text(key) + parts_of(value)).sum::<usize>(),
        Value::String(text) => of_text(text),
        _ => 1,
    }
}

const fn of_text(text: &str) -> usize {
    1 + text.len() / 32
}

/// Reads one value.
struct PointerWalk<'w> {
    /// What is wanted of it: the number of a pointer, and the rest of that.
    wanted: Vec<(usize, &'w str)>,
    /// It is part of a value that is wanted.
    keeps: bool,
    found: &'w RefCell<Vec<Found>>,
    left: &'w Cell<usize>,
}

impl<'w> PointerWalk<'w> {
    /// What reads the member or item of which the next token of a pointer may say `is_it`.
    fn for_part(&self, is_it: impl Fn(&str) -> bool) -> Self {
        let part = |(number, rest): &(usize, &'w str)| {
            let rest = rest.strip_prefix('/')?;
            let (token, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            is_it(&token.replace("~1", "/").replace("~0", "~")).then_some((*number, rest))
        };
        let wanted: Vec<(usize, &'w str)> = self.wanted.iter().filter_map(part).collect();
        for (number, _) in &wanted {
            self.found.borrow_mut()[*number] = Found::Nothing;
        }
        Self { wanted, ..*self }
    }

    /// The value, if it is to be kept and there is room for so many parts.
    fn kept(&self, parts: usize, value: impl FnOnce() -> Value) -> Option<Value> {
        (self.keeps && self.takes(parts)).then(value)
    }

    fn takes(&self, parts: usize) -> bool {
        let left = self.left.get().checked_sub(parts);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

impl<'de> DeserializeSeed<'de> for PointerWalk<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(mut self, reader: D) -> Result<Option<Value>, D::Error> {
        let here: Vec<usize> = self.wanted.iter().filter(|(_, rest)| rest.is_empty()).map(|(at, _)| *at).collect();
        self.wanted.retain(|(_, rest)| !rest.is_empty());
        self.keeps |= !here.is_empty();
        let found = self.found;
        let value = reader.deserialize_any(self)?;
        for number in here {
            found.borrow_mut()[number] = value.clone().map_or(Found::TooMuch, Found::Value);
        }
        Ok(value)
    }
}

impl<'de> Visitor<'de> for PointerWalk<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(self.kept(1, || Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<Value>, E> {
        Ok(self.kept(1, || value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<Value>, E> {
        Ok(self.kept(1, || value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<Value>, E> {
        Ok(self.kept(1, || value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<Value>, E> {
        Ok(self.kept(1, || Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<Value>, E> {
        Ok(self.kept(of_text(text), || text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<Value>, A::Error> {
        let mut kept = self.kept(1, || Value::Null).map(|_| Vec::new());
        let mut index = 0usize;
        // As serde_json has it: a number without a leading zero or sign.
        while let Some(item) = items.next_element_seed(self.for_part(|token| token == index.to_string()))? {
            kept = kept.zip(item).map(|(mut kept, item)| {
                kept.push(item);
                kept
            });
            index += 1;
        }
        Ok(kept.map(Value::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<Value>, A::Error> {
        let mut kept = self.kept(1, || Value::Null).map(|_| Map::new());
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.for_part(|token| token == key))?;
            kept = kept.zip(value).filter(|_| self.takes(of_text(&key))).map(|(mut kept, value)| {
                kept.insert(key, value);
                kept
            });
        }
        Ok(kept.map(Value::Object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What serde_json finds in the whole of a text that it has read.
    fn expected(text: &[u8], pointers: &[&str]) -> Option<Vec<Found>> {
        let json: Value = serde_json::from_slice(text).ok()?;
        Some(pointers.iter().map(|at| json.pointer(at).cloned().map_or(Found::Nothing, Found::Value)).collect())
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
        assert_eq!(look_up(long.as_bytes(), &["/a"], 100), Some(vec![Found::TooMuch]));
        assert_eq!(look_up(long.as_bytes(), &["/b"], 1), Some(vec![Found::Value(7.into())]));
        assert_eq!(
            look_up(long.as_bytes(), &["/a/9999", "/b"], 2),
            Some(vec![Found::Value(0.into()), Found::Value(7.into())])
        );
        let text = format!("\"{}\"", "x".repeat(3200));
        assert_eq!(look_up(text.as_bytes(), &[""], 100), Some(vec![Found::TooMuch]));
        assert_eq!(look_up(text.as_bytes(), &[""], 101), Some(vec![Found::Value("x".repeat(3200).into())]));
        let value = serde_json::json!({"a": [1, {"b": "c"}], "d": null});
        let parts = parts_of(&value);
        assert_eq!(look_up(value.to_string().as_bytes(), &[""], parts), Some(vec![Found::Value(value.clone())]));
        assert_eq!(look_up(value.to_string().as_bytes(), &[""], parts - 1), Some(vec![Found::TooMuch]));
    }

    proptest! {
        #[test]
        fn any_text_gives_the_same(text in "[{}\\[\\]\",:0-9ab/~ -]{0,24}") {
            prop_assert_eq!(look_up(text.as_bytes(), POINTERS, 1000), expected(text.as_bytes(), POINTERS));
        }
    }
}
