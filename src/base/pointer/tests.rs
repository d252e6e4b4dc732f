//! What is found at pointers, held against the whole of a text that was read.

use proptest::prelude::*;
use serde::de::value::{Error as Refusal, MapDeserializer};

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
    let text = r#"{"tasks":[{"state":"UP","n":[1,2]},{"state":"DOWN"},7],"more":{"x":{"state":1},"*":{"state":2}}}"#;
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
fn a_number_is_found_as_it_is_written_for_as_many_parts_as_it_has() {
    let found = look_up(b"[1.50]", &["", "/0"], 10).unwrap();
    let value = |text: &str| PointerValue::Value(serde_json::from_str(text).unwrap());
    assert_eq!(found, [value("[1.50]"), value("1.50")]);
    assert_eq!(look_up(b"[1.50,2.50]", &[""], 3), Some(vec![value("[1.50,2.50]")]));
    assert_eq!(look_up(b"[1.50,2.50]", &[""], 2), Some(vec![PointerValue::TooMuch]));
    let long = format!("1.{}", "0".repeat(62));
    assert_eq!(look_up(long.as_bytes(), &[""], 3), Some(vec![value(&long)]));
    assert_eq!(look_up(long.as_bytes(), &[""], 2), Some(vec![PointerValue::TooMuch]));
}

/// The name under which serde_json hands over a number.
const NUMBER: &str = "$serde_json::private::Number";

#[test]
fn a_member_that_is_named_as_serde_json_names_numbers_is_one_like_any() {
    for value in ["\"12\"", "12", "1.50", "\"x\"", "null", "{}", "[\"12\"]"] {
        for object in [
            format!("{{\"{NUMBER}\":{value}}}"),
            format!("{{\"{NUMBER}\":{value},\"b\":1}}"),
            format!("{{\"b\":1,\"{NUMBER}\":{value}}}"),
            format!("{{\"{NUMBER}\":{value},\"{NUMBER}\":{value}}}"),
        ] {
            let body = format!("{{\"a\":{object},\"c\":2.50}}");
            let below = format!("/a/{NUMBER}");
            let found = look_up(body.as_bytes(), &["/a", &below, "/c", &format!("/c/{NUMBER}")], 100).expect(&body);
            let shown = |at: usize| match &found[at] {
                PointerValue::Value(value) => value.to_string(),
                other => format!("{other:?}"),
            };
            let object = if object.matches(NUMBER).count() > 1 { format!("{{\"{NUMBER}\":{value}}}") } else { object };
            assert_eq!([shown(0), shown(1), shown(2), shown(3)], [&object, value, "2.50", "Nothing"], "{body}");
        }
    }
}

#[test]
fn the_text_of_a_number_is_not_read_where_it_is_not_kept() {
    let visit = |keeps| {
        let set = PointerSet::new([""], Wildcard::Name);
        let mut visitor = |_, _: Visit<'_>| ();
        let walk = Walk {
            segments: &set.0,
            mosts: vec![Some(9)],
            visitor: RefCell::new(&mut visitor),
            seen: RefCell::new(vec![false]),
            left: Cell::new(9),
            is_secret: &|_| false,
        };
        let walk = PointerWalk { at: vec![], keeps, is_told: false, is_secret: false, walk: &walk };
        let number = MapDeserializer::<_, Refusal>::new(std::iter::once((NUMBER, "no number")));
        walk.visit_map(number).map(|passed| passed.value)
    };
    assert_eq!(visit(false), Ok(None));
    assert!(visit(true).is_err());
}

/// JSON in which some members are called `@`.
fn json_with_a_name_left_open() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["12", "\"12\"", "1.50", "\"1.50\"", "-1e400", "null", "\"x\""]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        let member = (prop::sample::select(vec!["@", "@", "a"]), inner.clone())
            .prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_found_does_not_depend_on_how_a_member_is_called(json in json_with_a_name_left_open(), most in 0usize..30) {
        let found = |name: &str| {
            let pointers = ["", "/@", "/a", "/@/@", "/a/@", "/@/a", "/0", "/0/@"].map(|at| at.replace('@', name));
            let found = look_up(json.replace('@', name).as_bytes(), &pointers.each_ref().map(String::as_str), most);
            format!("{found:?}").replace(name, "@")
        };
        // A name of the same length.
        prop_assert_eq!(found(NUMBER), found(&NUMBER.replace("Number", "Member")));
    }

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
