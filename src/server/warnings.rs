//! What an answer has to say about the request itself, where the request may not fail.

use crate::base::name::CheckName;
use crate::model::outcome::one_line;

/// More than these are only counted.
const SHOWN: usize = 3;

/// Sentences without a line break; few, whatever was asked.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    shown: Vec<String>,
    more: usize,
}

impl Warnings {
    /// Adds a warning.
    pub(super) fn add(&mut self, text: &str) {
        if self.shown.len() < SHOWN {
            self.shown.push(one_line(text));
        } else {
            self.more += 1;
        }
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The first few.
    pub(super) fn shown(&self) -> &[String] {
        &self.shown
    }

    /// A line `warn: …` each.
    pub(super) fn lines(&self) -> String {
        let mut lines: String = self.shown.iter().map(|warning| format!("warn: {warning}\n")).collect();
        if self.more > 0 {
            lines += &format!("warn: … and {} more\n", self.more);
        }
        lines
    }
}

/// A word of a request, fit to be shown in one line: in quotes, and no longer than the longest name.
pub(super) fn quoted(word: &str) -> String {
    let line = one_line(word);
    match line.char_indices().nth(CheckName::MAX) {
        None => format!("\"{line}\""),
        Some((end, _)) => format!("\"{}…\"", &line[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_request_are_brought_to_one_short_line() {
        assert_eq!(quoted("a\r\nb"), "\"a b\"");
        assert_eq!(quoted(&"é".repeat(101)), format!("\"{}…\"", "é".repeat(100)));
    }

    #[test]
    fn only_the_first_warnings_are_shown() {
        let mut warnings = Warnings::default();
        assert_eq!(warnings.lines(), "");
        for name in ["a", "b", "c", "d", "e"] {
            warnings.add(name);
        }
        assert_eq!(warnings.lines(), "warn: a\nwarn: b\nwarn: c\nwarn: … and 2 more\n");
    }
}
