//! Which of the known words a misspelled one is.

/// The one of `known` that `word` is a misspelling of: the same but for case, `-` and `_`, or a few letters away. The first
/// of those that are equally near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    all_nearest(word, known).first().copied()
}

/// All that `word` may be a misspelling of, where several are equally near.
pub fn all_nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const LONGEST: usize = 100;
    if word.len() > LONGEST {
        return Vec::new();
    }
    let plain = simplified(word);
    let mut least = (word.chars().count() / 3).max(1).min(plain.chars().count().saturating_sub(1));
    let mut found = Vec::new();
    for name in known {
        let distance = strsim::damerau_levenshtein(&plain, &simplified(name));
        if distance < least {
            found.clear();
        }
        if distance <= least {
            least = distance;
            found.push(name);
        }
    }
    found
}

fn simplified(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_word_and_nonsense_does_not() {
        let known = ["interval", "timeout", "failure_threshold", "name", "url"];
        let cases = [
            ("timeot", Some("timeout")),
            ("Timeout", Some("timeout")),
            ("failureThreshold", Some("failure_threshold")),
            ("nmae", Some("name")),
            ("ulr", Some("url")),
            ("x", None),
            ("gates", None),
            ("banana", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
        assert_eq!(all_nearest("bat", ["cat", "bath", "dog", "hat"]), ["cat", "bath", "hat"]);
        assert_eq!(all_nearest("cat", ["bat", "cat", "hat"]), ["cat"]);
        assert_eq!(all_nearest("", known), [""; 0]);
    }
}
