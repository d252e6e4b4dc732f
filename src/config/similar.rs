//! Which of the known words a misspelled one is.

/// The one of `known` that `word` is a misspelling of: the same but for case, `-` and `_`, or a few letters away.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 100;
    if word.len() > LONGEST {
        return None;
    }
    let (plain, allowed) = (simplified(word), (word.chars().count() / 3).max(1));
    let distance = |name: &'a str| (strsim::damerau_levenshtein(&plain, &simplified(name)), name);
    let (distance, name) = known.into_iter().map(distance).min_by_key(|(distance, _)| *distance)?;
    (distance <= allowed && distance < plain.chars().count()).then_some(name)
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
    }
}
