//! Matchers as the file writes them, against values of all kinds.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::costly::Haystack;
use crate::base::field::{Field, ValueType};
use crate::base::secret::Secret;
use crate::base::value::{ParseSession, Section, SourceSpan, Spanned, Text, TextPart, Value};

/// Reads `written` as the file is read where a matcher may stand, and what was reported.
fn read(written: &Json, plain: PlainMeaning) -> (Option<DeclaredMatcher>, Vec<String>) {
    let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
    let value = if plain == PlainMeaning::Equals { operand(written) } else { Value::Text(text(written)) };
    let value = if written.is_object() { section(written, words::WORDS, &session) } else { value };
    let matcher = DeclaredMatcher::read(&Spanned::new(SourceSpan::default(), value), plain, Haystack::Body(64 << 10));
    (matcher, session.problems().into_iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect())
}

fn section(written: &Json, fields: &'static [Field], session: &Rc<ParseSession>) -> Value {
    let mut entries = BTreeMap::new();
    for field in fields {
        let Some(written) = written.get(field.name) else { continue };
        let value = match (&field.value_type, written) {
            (ValueType::Matcher(of), Json::Object(_)) => section(written, of.words, session),
            (ValueType::List(_), Json::Array(items)) => {
                Value::List(items.iter().map(|item| Spanned::new(SourceSpan::default(), operand(item))).collect())
            }
            (ValueType::Template | ValueType::Pattern, written) => Value::Text(text(written)),
            (ValueType::Bool, Json::Bool(flag)) => Value::Bool(*flag),
            (_, written) => operand(written),
        };
        entries.insert(field.name, Spanned::new(SourceSpan::default(), value));
    }
    Value::Section(Section::new(SourceSpan::default(), entries, Rc::clone(session)))
}

fn operand(written: &Json) -> Value {
    match written {
        Json::String(_) => Value::Text(text(written)),
        Json::Number(number) => Value::Decimal(Decimal::parse(&number.to_string()).unwrap()),
        other => Value::Json { value: other.clone(), is_expanded: false },
    }
}

/// `$x` stands for a captured value, `%x` for an expansion.
fn text(written: &Json) -> Text {
    let written = written.as_str().map_or_else(|| written.to_string(), str::to_owned);
    let part = match (written.strip_prefix('$'), written.strip_prefix('%')) {
        (Some(name), _) => TextPart::Capture { step: "order".into(), name: name.into() },
        (_, Some(secret)) => TextPart::Expanded(Secret::new(secret)),
        _ => TextPart::Plain(written.clone()),
    };
    Text { parts: vec![part], written }
}

/// The matcher, in which a captured value is its own name.
fn matcher(written: &Json, plain: PlainMeaning) -> Arc<Matcher> {
    let (declared, problems) = read(written, plain);
    assert_eq!(problems, [""; 0], "{written}");
    declared.unwrap().fill(|text| text.render(|_, name| Ok::<_, ()>(name.to_owned()))).unwrap()
}

fn of_json(written: &Json) -> Arc<Matcher> {
    matcher(written, PlainMeaning::Equals)
}

fn fits(written: &Json, found: &Json) -> bool {
    of_json(written).judge(Subject::Json(found)).is_ok()
}

fn fits_texts(written: &Json, texts: &[&str]) -> bool {
    matcher(written, PlainMeaning::Contains).judge(Subject::Texts(texts)).is_ok()
}

#[test]
fn a_json_value_is_judged_by_its_type() {
    let big = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    for (written, fitting, unfitting) in [
        (json!("ok"), vec![json!("ok")], vec![json!("OK"), json!("ok "), json!(null), json!(["ok"])]),
        (json!(5), vec![json!(5), json!(5.0)], vec![json!("5"), json!(50), json!(true), json!([5])]),
        (json!("5"), vec![json!("5")], vec![json!(5), json!("5.0")]),
        (json!(null), vec![json!(null)], vec![json!(false), json!(0), json!("null"), json!("")]),
        (json!(true), vec![json!(true)], vec![json!("true"), json!(1), json!(false)]),
        (json!([1, {"a": 2}]), vec![big("[1.0, {\"a\": 2}]")], vec![json!([1]), json!([1, {"b": 2}])]),
        (json!({"equals": {"a": 1, "b": 2}}), vec![json!({"b": 2, "a": 1})], vec![json!({"a": 1}), json!({})]),
        (json!({"not": "FAILED"}), vec![json!("OK"), json!(null), json!(1)], vec![json!("FAILED")]),
        (json!({"not": null}), vec![json!(0), json!("")], vec![json!(null)]),
        (json!({"above": 5}), vec![json!(5.001), json!(6)], vec![json!(5), json!("6"), json!(null), json!([6])]),
        (json!({"at_least": 5}), vec![json!(5), json!(5.0)], vec![json!(4.999), json!(-6)]),
        (json!({"below": 9007199254740993_i64}), vec![json!(9007199254740992_i64)], vec![json!(9007199254740993_i64)]),
        (json!({"at_most": 0.1}), vec![json!(0.1), json!(-1e300)], vec![json!(0.10000000000000002)]),
        (json!({"above": 1, "below": 3}), vec![json!(2)], vec![json!(1), json!(3)]),
        (json!({"one_of": ["a", 1, null]}), vec![json!("a"), json!(1.0), json!(null)], vec![json!("b"), json!("1")]),
        (
            json!({"contains": "ok"}),
            vec![json!("not ok"), json!(["ok"]), json!({"ok": 1})],
            vec![json!("OK"), json!(["okay"]), json!(null), json!({"a": "ok"}), json!(1)],
        ),
        (json!({"contains": "5"}), vec![json!(15), json!([5]), json!("5")], vec![json!([15])]),
        (json!({"lacks": "ok"}), vec![json!("OK"), json!(["okay"]), json!(null), json!(1)], vec![json!("not ok")]),
        (json!({"matches": "^v[0-9]"}), vec![json!("v1")], vec![json!("av1"), json!(null), json!(["v1"])]),
        (json!({"matches": "^2\\."}), vec![json!("2.1"), json!(2.1)], vec![json!(3.1)]),
        (json!({"exists": true}), vec![json!(null), json!(0)], vec![]),
        (json!({"exists": false}), vec![], vec![json!(null), json!(0)]),
        (json!({"length": 2}), vec![json!("éé"), json!([1, 2]), json!({"a": 1, "b": 2})], vec![json!("a"), json!(2)]),
        (json!({"length": {"at_least": 1}}), vec![json!([0])], vec![json!([]), json!(""), json!({}), json!(null)]),
        (json!({"length": {"one_of": [1, 3]}}), vec![json!([0]), json!("abc")], vec![json!([0, 0])]),
    ] {
        fitting.iter().for_each(|found| assert!(fits(&written, found), "{written} {found}"));
        unfitting.iter().for_each(|found| assert!(!fits(&written, found), "{written} {found}"));
    }
}

#[test]
fn a_number_of_an_answer_is_the_one_that_it_wrote() {
    let number = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    for (written, fitting, unfitting) in [
        ("52.520006599999996", vec!["52.520006599999996", "5.2520006599999996e1"], vec!["52.5200066"]),
        (
            "123456789012345678901234567890",
            vec!["123456789012345678901234567890", "123456789012345678901234567890.0"],
            vec!["123456789012345678901234567891"],
        ),
        ("18446744073709551616", vec!["18446744073709551616"], vec!["18446744073709551617", "18446744073709551615"]),
        ("1", vec!["1", "1.0", "1e0", "10e-1", "1E0"], vec!["1.0000000000000000000000000001"]),
        ("1e400", vec!["1e400", "10e399"], vec!["1e401"]),
    ] {
        for wanted in [json!({"equals": number(written)}), json!([number(written)])] {
            let found = |text: &str| if wanted.is_array() { json!([number(text)]) } else { number(text) };
            fitting.iter().for_each(|text| assert!(fits(&wanted, &found(text)), "{wanted} {text}"));
            unfitting.iter().for_each(|text| assert!(!fits(&wanted, &found(text)), "{wanted} {text}"));
            let is_not = json!({"not": if wanted.is_array() { wanted.clone() } else { number(written) }});
            fitting.iter().for_each(|text| assert!(!fits(&is_not, &found(text)), "{is_not} {text}"));
            unfitting.iter().for_each(|text| assert!(fits(&is_not, &found(text)), "{is_not} {text}"));
        }
    }
    for (pattern, written) in [("^1[.]50$", "1.50"), ("^1e[+]3$", "1e3"), ("^1e-3$", "1E-3")] {
        assert!(fits(&json!({"matches": pattern}), &number(written)), "{written}");
    }
    assert!(fits(&json!("$123456789012345678901234567890"), &number("123456789012345678901234567890")));
    assert!(!fits(&json!("$123456789012345678901234567890"), &number("123456789012345678901234567891")));
}

#[test]
fn texts_without_a_type_are_texts_and_numbers() {
    for (written, fitting, unfitting) in [
        (json!("ok"), vec![vec!["not ok"], vec!["no", "ok"]], vec![vec!["no"]]),
        (json!({"equals": 12.5}), vec![vec!["12.50"], vec!["1.25e1"]], vec![vec!["12.51"], vec!["12.5 s"]]),
        (json!({"equals": "12.5"}), vec![vec!["12.5"]], vec![vec!["12.50"]]),
        (json!({"equals": true}), vec![vec!["true"]], vec![vec!["1"], vec!["TRUE"]]),
        (json!({"not": "t"}), vec![vec!["f", "false"]], vec![vec!["t", "true"]]),
        (json!({"above": 9}), vec![vec!["10"], vec!["10", "11"]], vec![vec!["9"], vec!["10", "8"], vec!["many"]]),
        (json!({"contains": "a"}), vec![vec!["b", "a"]], vec![vec!["b"]]),
        (json!({"lacks": "a"}), vec![vec!["b"]], vec![vec!["b", "a"]]),
        (json!({"not": "a"}), vec![vec!["b", "c"]], vec![vec!["b", "a"]]),
        (json!({"one_of": ["a", "b"]}), vec![vec!["x", "b"]], vec![vec!["ab"]]),
        (json!({"matches": "^b"}), vec![vec!["a", "b"]], vec![vec!["ab"]]),
        (json!({"length": {"below": 3}}), vec![vec!["ab"]], vec![vec!["ab", "abc"]]),
        (json!({"equals": null}), vec![], vec![vec!["null"], vec![""]]),
    ] {
        fitting.iter().for_each(|found| assert!(fits_texts(&written, found), "{written} {found:?}"));
        unfitting.iter().for_each(|found| assert!(!fits_texts(&written, found), "{written} {found:?}"));
    }
}

#[test]
fn what_is_missing_fits_only_where_nothing_is_wanted() {
    for written in [json!("a"), json!(null), json!({"not": "a"}), json!({"lacks": "a"}), json!({"exists": true})] {
        assert_eq!(of_json(&written).judge(Subject::Missing), Err(Shortfall::Missing), "{written}");
    }
    assert_eq!(of_json(&json!({"exists": false})).judge(Subject::Missing), Ok(()));
}

#[test]
fn of_what_is_too_long_no_more_is_known_than_its_length() {
    let judge = |written: Json| of_json(&written).judge(Subject::TooMuch(Some(50_000))).is_ok();
    assert!(judge(json!({"length": 50_000})) && judge(json!({"exists": true})));
    assert!(!judge(json!({"contains": "a"})) && !judge(json!({"lacks": "a"})) && !judge(json!({"matches": "a"})));
    assert!(!judge(json!("a")) && !judge(json!({"exists": false})));
    // Its length alone shows that it is another value.
    assert!(judge(json!({"not": "a"})) && judge(json!({"not": []})) && judge(json!({"not": {}})));
    assert!(judge(json!({"not": null})) && judge(json!({"not": 50_000})));
    let same_length = json!({"not": vec![0; 50_000]});
    assert!(!judge(same_length.clone()) && !judge(json!({"not": {"a": 1}})));
    for written in [same_length, json!({"lacks": "a"}), json!({"contains": "a"}), json!({"matches": "a"})] {
        let matcher = of_json(&written);
        let shortfall = matcher.judge(Subject::TooMuch(Some(50_000))).unwrap_err();
        assert_eq!(matcher.complaint("`/a`", shortfall), "`/a` is too long to be looked at");
        assert_eq!(matcher.judge(Subject::TooMuch(None)), Err(Shortfall::TooMuch));
    }
}

#[test]
fn comparing_costs_more_the_longer_the_values_and_the_more_operands() {
    let cost = |written: &Json, bytes| {
        let (declared, _) = read(written, PlainMeaning::Equals);
        (declared.unwrap().cost(bytes), of_json(written).cost(bytes))
    };
    for written in [json!("$17"), json!(17), json!({"not": "$17"}), json!({"one_of": ["$17"]}), json!({"above": 1})] {
        assert_eq!(cost(&written, 1 << 20), (1 << 17, 1 << 17), "{written}");
    }
    assert_eq!(cost(&json!({"one_of": ["$1", 2, 3]}), 1 << 20), (3 << 17, 3 << 17));
    assert_eq!(cost(&json!({"length": 1}), 1 << 20), (0, 0));
}

#[test]
fn a_long_captured_number_is_read_once() {
    let digits = format!("1{}", "0".repeat(8 << 10));
    let matcher = of_json(&json!(format!("${digits}")));
    let Some(Word::Equals(Operand { content: Content::Untyped { number, .. }, .. })) = matcher.0.first() else {
        panic!("{matcher:?}")
    };
    assert!(number.as_ref().is_some_and(|number| number.as_str() == digits));
    assert!(!fits(&json!(format!("${digits}")), &json!(1)));
}

#[test]
fn a_captured_value_is_also_the_number_that_it_spells() {
    for (written, found) in [("$17", json!(17)), ("$17", json!("17")), ("$17.0", json!(17)), ("$true", json!(true))] {
        assert!(fits(&json!(written), &found), "{written} {found}");
    }
    assert!(!fits(&json!("$17"), &json!(18)) && !fits(&json!("$x"), &json!(["x"])));
}

#[test]
fn a_complaint_says_what_was_expected_and_nothing_of_an_expansion() {
    for (written, found, complaint, statement) in [
        (json!("ok"), json!("no"), "`/a` has another value than expected: \"ok\"", "`/a` is \"ok\""),
        (json!("%ok"), json!("no"), "`/a` has another value than expected", "`/a` is the expected value"),
        (json!({"not": 1}), json!(1), "`/a` should not be 1", "`/a` is not 1"),
        (
            json!({"not": "$x"}),
            json!("x"),
            "`/a` has the value that it should not have",
            "`/a` is not the expected value",
        ),
        (json!({"above": 5}), json!(5), "`/a` should be a number above 5", "`/a` is above 5"),
        (json!({"at_most": 5}), json!(6), "`/a` should be a number of at most 5", "`/a` is at most 5"),
        (json!({"one_of": ["a", 1]}), json!(2), "`/a` should be one of \"a\", 1", "`/a` is one of \"a\", 1"),
        (
            json!({"one_of": ["a", "%b"]}),
            json!(2),
            "`/a` should be one of the expected values",
            "`/a` is one of the expected values",
        ),
        (json!({"contains": "a"}), json!("b"), "`/a` should contain \"a\"", "`/a` contains \"a\""),
        (
            json!({"contains": "%a"}),
            json!("b"),
            "`/a` does not contain the expected text",
            "`/a` contains the expected text",
        ),
        (json!({"lacks": "a"}), json!("a"), "`/a` should not contain \"a\"", "`/a` lacks \"a\""),
        (
            json!({"lacks": "%a"}),
            json!("a"),
            "`/a` contains the text that it should lack",
            "`/a` lacks the unwanted text",
        ),
        (json!({"matches": "a"}), json!("b"), "`/a` should match the expected pattern", "`/a` matches the pattern"),
        (json!({"exists": false}), json!(1), "`/a` should not be there", "`/a` is missing"),
        (
            json!({"length": {"above": 0}}),
            json!([]),
            "the length of `/a` should be above 0",
            "`/a` has the length above 0",
        ),
        (
            json!({"above": 1, "below": 3}),
            json!(4),
            "`/a` should be a number below 3",
            "`/a` is above 1 and is below 3",
        ),
    ] {
        let matcher = of_json(&written);
        let shortfall = matcher.judge(Subject::Json(&found)).unwrap_err();
        assert_eq!(matcher.complaint("`/a`", shortfall), complaint);
        assert_eq!(matcher.statement("`/a`"), statement);
    }
    assert_eq!(of_json(&json!(1)).complaint("`/a`", Shortfall::Missing), "`/a` is missing");
    assert!(of_json(&json!("%a")).is_secret() && !of_json(&json!("a")).is_secret());
}

#[test]
fn what_can_never_hold_is_told() {
    for (written, problem) in [
        (json!({"exists": false, "equals": 1}), "what is not there is nothing else: `exists: false` stands alone"),
        (json!({"above": 5, "below": 5}), "no number is within `above` and `below`"),
        (json!({"at_least": 6, "at_most": 5}), "no number is within `at_least` and `at_most`"),
        (json!({"above": 5, "at_most": 5}), "no number is within `above` and `at_most`"),
        (json!({"equals": 5, "above": 5}), "nothing that `equals` allows fits the other words"),
        (json!({"equals": "a", "not": "a"}), "nothing that `equals` allows fits the other words"),
        (json!({"one_of": ["a", "b"], "matches": "c"}), "nothing that `one_of` allows fits the other words"),
        (json!({"one_of": []}), "nothing is one of no values"),
        (json!({"length": {"above": 2, "below": 1}}), "no number is within `above` and `below`"),
    ] {
        let (matcher, problems) = read(&written, PlainMeaning::Equals);
        assert!(matcher.is_none());
        assert_eq!(problems, [format!("invalid-matcher: {problem}")], "{written}");
    }
    for written in [
        json!({"at_least": 5, "at_most": 5}),
        json!({"equals": 5, "at_least": 5}),
        json!({"equals": "$x", "not": "a"}),
        json!({"one_of": ["a", "b"], "not": "a"}),
        json!({"exists": true, "not": 1}),
        json!({"equals": true, "not": "x"}),
        json!({"contains": "a", "lacks": "b"}),
    ] {
        assert_eq!(read(&written, PlainMeaning::Equals).1, [""; 0], "{written}");
    }
}

#[test]
fn a_pattern_that_may_take_too_long_is_told() {
    let (matcher, problems) = read(&json!({"matches": "[a-z]{1,3000}y"}), PlainMeaning::Equals);
    assert!(matcher.is_none());
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("costly-pattern: "), "{problems:?}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3i64..3).prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-3.0f64..3.0).prop_map(Json::from),
        "[a-c0-2.]{0,3}".prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn doubles_are_told_apart_by_their_last_digit(
        bits in any::<u64>().prop_filter("is finite", |bits| f64::from_bits(*bits).is_finite()),
    ) {
        let (one, next) = (f64::from_bits(bits), f64::from_bits(bits).next_up());
        let number = |double: f64| serde_json::from_str::<Json>(&format!("{double:?}")).unwrap();
        let wanted = number(one);
        prop_assert!(fits(&wanted, &number(one)));
        prop_assert_eq!(fits(&wanted, &number(next)), one == next);
        prop_assert_eq!(fits(&json!({"not": wanted}), &number(next)), one != next);
    }

    #[test]
    fn a_matcher_and_its_negation_never_agree(operand in any_json(), found in any_json(), text in "[a-c0-2.]{0,2}") {
        let fits = |written: Json, subject| of_json(&written).judge(subject).is_ok();
        let lines = [found.to_string()];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for subject in [Subject::Json(&found), Subject::Texts(&lines)] {
            prop_assert_ne!(fits(json!({"equals": operand}), subject), fits(json!({"not": operand}), subject));
            prop_assert_ne!(fits(json!({"contains": text}), subject), fits(json!({"lacks": text}), subject));
            prop_assert_eq!(fits(json!({"equals": operand}), subject), fits(json!({"one_of": [operand]}), subject));
        }
        for (one, other) in [("above", "at_most"), ("below", "at_least")] {
            if operand.is_number() && found.is_number() {
                prop_assert_ne!(fits(json!({one: operand}), Subject::Json(&found)), fits(json!({other: operand}), Subject::Json(&found)));
            }
        }
        for written in [json!({"exists": true}), json!({"equals": found})] {
            prop_assert!(fits(written, Subject::Json(&found)));
        }
    }
}
