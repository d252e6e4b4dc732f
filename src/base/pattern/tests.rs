//! The same answers as regex-lite, to the character.

use proptest::prelude::*;
use regex_lite::Regex;

use super::*;

/// What a search in slices of a few steps says of a text.
fn matches(pattern: &Pattern, text: &[u8]) -> bool {
    let mut seek = pattern.seek(text);
    loop {
        if let Some(found) = seek.go_on(3) {
            return found;
        }
    }
}

fn group(pattern: &Pattern, text: &[u8]) -> Option<String> {
    let mut find = pattern.find(text);
    loop {
        if let Some(found) = find.go_on(3) {
            return found.map(str::to_owned);
        }
    }
}

/// Compares with regex-lite.
fn compare(pattern: &str, texts: &[&str]) {
    let Ok(regex) = Regex::new(pattern) else {
        assert!(Pattern::new(pattern).is_err(), "{pattern:?}");
        return;
    };
    let ours = Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern:?}: {error}"));
    for text in texts {
        assert_eq!(matches(&ours, text.as_bytes()), regex.is_match(text), "{pattern:?} in {text:?}");
        if ours.groups() == 1 {
            let expected = regex.captures(text).and_then(|groups| Some(groups.get(1)?.as_str().to_owned()));
            assert_eq!(group(&ours, text.as_bytes()), expected, "the group of {pattern:?} in {text:?}");
        }
    }
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "aab",
    "abc abc",
    "ABC",
    "aB",
    "a\nb",
    "a\r\nb\r\n",
    "\r",
    "\n",
    " a ",
    "a_b-c",
    "é",
    "aéb",
    "日本語 text",
    "id=42 id=43",
    "v1.2.3",
    "{}",
    "a-]^",
    "aaaaaaaaaaaaaaaaaaaab",
    "user@example.com",
    "\u{fffd}",
    "\u{10ffff}",
    "k\u{212a}K",
    "xx",
    "x  y",
    "#",
];

#[test]
fn every_form_of_the_grammar_means_the_same() {
    for pattern in [
        "",
        "a",
        "ab",
        "a|b",
        "a|",
        "|a",
        "(a)",
        "(?:a)",
        "(?P<name>a)",
        "(?<name>a+)b",
        "a*",
        "a+",
        "a?",
        "a*?",
        "a+?",
        "a??",
        "a{2}",
        "a{2,}",
        "a{1,3}",
        "a{0}",
        "a{0,0}b",
        "(a){0}b",
        "(a{2}){2}",
        "(a*)*",
        "(a*)+",
        "(a|b)*?b",
        "(?:a*)*b",
        "((?:a|ab)(?:c|bcd))",
        "(a|ab)c",
        "(a+?)b",
        "(a|b|c)+",
        "(|a)*",
        "(|a)+",
        "(a||b)*",
        "x*",
        "()",
        ".",
        "..",
        "^",
        "$",
        "^$",
        "^a",
        "a$",
        "^a$",
        "\\Aa",
        "a\\z",
        "(?m)^b",
        "(?m)a$",
        "(?mR)^b",
        "(?mR)a$",
        "(?R).",
        "(?s).b",
        "a.b",
        "(?mR)$b",
        "(?mR)^",
        "\\b",
        "\\B",
        "\\ba\\b",
        "\\Ba",
        "\\<a",
        "a\\>",
        "\\b{start}a",
        "a\\b{end}",
        "\\b{start-half}a",
        "a\\b{end-half}",
        "\\b{2}a",
        "\\d",
        "\\D",
        "\\s",
        "\\S",
        "\\w",
        "\\W",
        "\\w+",
        "[abc]",
        "[^abc]",
        "[a-c]",
        "[^a-c]",
        "[]]",
        "[^]]",
        "[-a]",
        "[a-]",
        "[--]",
        "[a\\-c]",
        "[\\d]",
        "[^\\d]",
        "[\\w-]",
        "[[:alpha:]]",
        "[[:^alpha:]]",
        "[[:digit:][:space:]]",
        "[[:foo:]]",
        "[[a]]",
        "[a&&b]",
        "[a--b]",
        "[a~~b]",
        "[z-a]",
        "[\\d-z]",
        "[a",
        "[",
        "(?i)a",
        "(?i)[a-c]",
        "(?i)[^a]",
        "(?i)é",
        "(?i)k",
        "(?i)[A-z]",
        "(?i:a)b",
        "(?-i)a",
        "a(?i)b|c",
        "(a(?i)b)c",
        "((?i)a|b)c",
        "(?i)a(?-i)b",
        "(?U)a+b",
        "(?U)(a+?)b",
        "(?U)(a*)",
        "(?x) a b # c\n b",
        "(?x)[ a - c ]",
        "(?x)a{ 1 , 2 }",
        "(?x)a {2}",
        "(?x)\\x{ 6 1 }",
        "(?x)( ?: a)",
        "(?u)a",
        "(?-u)\\w",
        "\\x61",
        "\\x{61}",
        "\\u0061",
        "\\u{e9}",
        "\\U000000e9",
        "\\U{10FFFF}",
        "\\a",
        "\\f",
        "\\t",
        "\\n",
        "\\r",
        "\\v",
        "\\-",
        "\\.",
        "\\#",
        "\\%",
        "\\e",
        "\\1",
        "\\pL",
        "\\",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?",
        "(?i",
        "(?z)",
        "(?)",
        "(?i-)",
        "(?ii)",
        "(",
        ")",
        "a)",
        "*",
        "a**",
        "a{",
        "a{1",
        "a{1,",
        "a{,1}",
        "a{2,1}",
        "a{x}",
        "(?P<n>a)(?P<n>b)",
        "(?P<>a)",
        "é",
        "[é-ü]",
        "日.語",
        "[^a]b",
        "(?x)#",
        "(?x)[#]",
        "id=([0-9]+)",
        "v([0-9.]+)",
        "[a-z0-9._%+-]+@[a-z0-9.-]+\\.[a-z]{2,}",
        "^[a-z]([a-z-]{0,3}[a-z])?$",
        "(a?){3}a{3}",
        "(a|aa)+$",
        "x{2}|y",
        "(?:a|b|c|d|e)+f?",
        "(^a|b$)",
        "(\\b)",
        "(?m)(^)",
        "(?m)($)",
        "[\\x00-\\x{10FFFF}]",
        "[^\\x00-\\x{10FFFF}]",
        "[\\x{D7FF}-\\x{E000}]",
        "[^\\x{D7FF}]",
        "(?i)\\x61",
        "(?i)[\\x61]",
        "(?x)[a # b\n]",
        "(?x)[a-\n]",
    ] {
        compare(pattern, TEXTS);
    }
}

#[test]
fn what_is_no_utf_8_counts_as_replacement_characters() {
    let texts: &[&[u8]] = &[
        b"a\xffb",
        b"\xc3",
        b"\xc3a",
        b"\xe2\x82",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x98a",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\x80\x80",
        b"a\xe2\x28\xa1",
    ];
    for pattern in ["^.$", "^..$", "^...$", "^a.b$", "\u{fffd}{3}", "^[^a]+$", "€", "(.)$", "\u{1f600}"] {
        let (ours, regex) = (Pattern::new(pattern).unwrap(), Regex::new(pattern).unwrap());
        for text in texts {
            let lossy = String::from_utf8_lossy(text);
            assert_eq!(matches(&ours, text), regex.is_match(&lossy), "{pattern} in {lossy}");
        }
    }
}

#[test]
fn a_slice_does_no_more_than_it_is_told_and_the_whole_is_bounded() {
    let text = vec![b'a'; 64 << 10];
    for pattern in ["[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\\.[a-zA-Z]{2,}", "[a-z]{1,1000}y", "(a|aa|aaa){1,200}b", "(.*)y"]
    {
        let pattern = Pattern::new(pattern).unwrap();
        let mut slices = 0;
        let mut seek = pattern.seek(&text);
        while seek.go_on(SLICE).is_none() {
            slices += 1;
        }
        // Hardly more than one step for a character, however long the pattern is.
        assert!(slices * SLICE < 16 * text.len() + 1000 * 1000 * 4, "{slices}");
        assert!(seek.remembered() <= 2 * super::seek::MEMORY);
        let mut find = pattern.find(&text[..4096]);
        while find.go_on(SLICE).is_none() {
            slices += 1;
        }
        assert!((slices * SLICE) as u64 <= 16 * pattern.cost() * text.len() as u64);
    }
}

/// Texts that lead a search into ever new states: what is remembered stays bounded, and the answer right.
#[test]
fn what_is_remembered_is_forgotten_in_time() {
    let pattern = Pattern::new("[ab]*a[ab]{13}c").unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let text: Vec<u8> = std::iter::repeat_with(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if random & 1 == 0 { b'a' } else { b'b' }
    })
    .take(20_000)
    .collect();
    let mut seek = pattern.seek(&text);
    while seek.go_on(SLICE).is_none() {
        assert!(seek.remembered() <= super::seek::MEMORY + 2 * pattern.cost() as usize + 100);
    }
    assert!(!matches(&pattern, &text));
    let well = [text, b"aaaaaaaaaaaaaac".to_vec()].concat();
    assert!(matches(&pattern, &well));
}

#[test]
fn a_pattern_that_is_too_large_is_none() {
    assert_eq!(Pattern::new("(a{1000}){1000}").unwrap_err().to_string(), "compiled regex exceeded size limit");
    assert_eq!(Pattern::new("(").unwrap_err().to_string(), "found open group without closing ')'");
}

/// Patterns made of pieces, most of them valid.
fn patterns() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("é".to_owned()),
        Just(".".to_owned()),
        Just("[ab]".to_owned()),
        Just("[^a]".to_owned()),
        Just("\\w".to_owned()),
        Just("\\b".to_owned()),
        Just("\\B".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
        Just("(?i)".to_owned()),
        Just("(?m)".to_owned()),
        Just("(?mR)".to_owned()),
        Just("(?U)".to_owned()),
        Just("(?s)".to_owned()),
        Just("\\n".to_owned()),
        Just("\\>".to_owned()),
    ];
    atom.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            inner.clone().prop_map(|part| format!("({part})")),
            inner.clone().prop_map(|part| format!("(?:{part})*")),
            inner.clone().prop_map(|part| format!("(?:{part})*?")),
            inner.clone().prop_map(|part| format!("(?:{part})+")),
            inner.clone().prop_map(|part| format!("(?:{part})?")),
            inner.clone().prop_map(|part| format!("(?:{part}){{1,3}}")),
            inner.clone().prop_map(|part| format!("(?:{part}){{2,}}?")),
            inner.prop_map(|part| format!("(?i:{part})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_pattern_finds_the_same(pattern in patterns(), texts in prop::collection::vec("[abAB é\r\n_]{0,8}", 4)) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        compare(&pattern, &texts);
    }

    #[test]
    fn any_text_is_a_pattern_where_it_is_one_for_regex_lite(
        pattern in "[ab()|*+?{}\\[\\]^$.:,<>Pimx#0-9&~ \\\\wdsbBxu-]{0,12}",
        texts in prop::collection::vec("[ab01 \\-\n]{0,6}", 3),
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        compare(&pattern, &texts);
    }
}
