//! What holds for every matcher, every pointer and every value that one is held against.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use probelet::base::costly::Haystack;
use probelet::base::credentials::masked;
use probelet::base::decimal::Decimal;
use probelet::base::matcher::{DeclaredMatcher, PlainMeaning, Subject, shown_json};
use probelet::base::pattern::Pattern;
use probelet::base::pointer::{PointerSet, Visit, Wildcard};
use probelet::base::value::{ParseSession, Section, SourceSpan, Spanned, Text, Value};
use serde_json::Value as Json;

/// The input is an operand in JSON on a line, a pointer on the next, and a body.
pub fn any_match(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (Some(operand), Some(pointer), Some(body)) = (lines.next(), lines.next(), lines.next()) else { return };
    let (operand_text, pointer) = (String::from_utf8_lossy(operand), String::from_utf8_lossy(pointer));
    let operand = serde_json::from_slice(operand).unwrap_or_else(|_| Json::from(operand_text.as_ref()));
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return;
    }
    // Who reads the whole takes a member of this name for a number.
    if String::from_utf8_lossy(body).contains("$serde_json::private::Number") {
        return;
    }
    let found = visited(body, &pointer, Wildcard::Every);
    // As one who has read the whole finds it.
    let whole: Option<Json> = serde_json::from_slice(body).ok();
    assert_eq!(found.is_some(), whole.is_some(), "{pointer}");
    if let (Some(found), Some(whole)) = (&found, &whole) {
        for place in places(whole, &pointer) {
            assert!(found.iter().any(|found| found == place), "{pointer}: {place} is missing among {found:?}");
        }
        let named = visited(body, &pointer, Wildcard::Name);
        assert_eq!(named.as_ref().and_then(|named| named.first()), whole.pointer(&pointer), "{pointer}");
    }
    let _ = masked(&String::from_utf8_lossy(body));
    for found in found.into_iter().flatten() {
        assert!(shown_json(&found).chars().count() <= 1200);
        judge(&operand, &operand_text, &found);
    }
}

/// A word and its negation never agree, whatever they are held against.
fn judge(operand: &Json, text: &str, found: &Json) {
    let line = found.to_string();
    let lines = [line.as_str()];
    for subject in [Subject::Json(found), Subject::Texts(&lines)] {
        let fits = |word, value| {
            matcher(word, value).map(|matcher| {
                let matcher = matcher.fill(|text| text.fixed().ok_or(())).expect("nothing is captured");
                let judged = matcher.judge(subject);
                if let Err(shortfall) = judged {
                    assert!(!matcher.complaint("`/a`", shortfall).is_empty());
                }
                assert!(!matcher.statement("`/a`").is_empty() && !matcher.wanted().is_empty());
                judged.is_ok()
            })
        };
        assert_ne!(fits("equals", json(operand)), fits("not", json(operand)));
        assert_ne!(fits("contains", Value::Text(Text::plain(text))), fits("lacks", Value::Text(Text::plain(text))));
        if Pattern::new(text).is_ok() {
            let _ = fits("matches", Value::Text(Text::plain(text)));
        }
        if let (Json::Number(_), Some(number)) = (found, Decimal::parse(text)) {
            for (one, other) in [("above", "at_most"), ("below", "at_least")] {
                assert_ne!(fits(one, Value::Decimal(number.clone())), fits(other, Value::Decimal(number.clone())));
            }
        }
    }
}

fn json(operand: &Json) -> Value {
    match operand {
        Json::String(text) => Value::Text(Text::plain(text.as_str())),
        other => Value::Json { value: other.clone(), is_expanded: false },
    }
}

/// The matcher of one word, if it is one.
fn matcher(word: &'static str, value: Value) -> Option<DeclaredMatcher> {
    let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
    let entries = BTreeMap::from([(word, Spanned::new(SourceSpan::default(), value))]);
    let section = Section::new(SourceSpan::default(), entries, Rc::clone(&session));
    let located = Spanned::new(SourceSpan::default(), Value::Section(section));
    DeclaredMatcher::read(&located, PlainMeaning::Equals, Haystack::Body(4096))
}

/// What a walk finds at `pointer`; nothing where the body is not JSON.
fn visited(body: &[u8], pointer: &str, wildcard: Wildcard) -> Option<Vec<Json>> {
    let mut found = Vec::new();
    let is_json =
        PointerSet::new([pointer], wildcard).walk(body, &[Some(usize::MAX >> 1)], &|_| false, &mut |_, visit| {
            match visit {
                Visit::Again => found.clear(),
                Visit::Value { value, .. } => found.push(value.expect("there is room for everything").clone()),
            }
        });
    is_json.then_some(found)
}

/// The places that a pointer leads to.
fn places<'j>(json: &'j Json, pointer: &str) -> Vec<&'j Json> {
    let mut places = vec![json];
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        let below = |json: &'j Json| -> Vec<&'j Json> {
            match (json, token) {
                (Json::Array(items), "*") => items.iter().collect(),
                (Json::Object(members), "*") => members.values().collect(),
                (Json::Object(members), _) => members.get(&name).into_iter().collect(),
                (json, _) => json.pointer(&format!("/{token}")).into_iter().collect(),
            }
        };
        places = places.into_iter().flat_map(below).collect();
    }
    places
}
