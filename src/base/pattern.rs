//! Regular expressions with a price: what a search may cost is known before there is a text.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// A pattern.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    /// The memory that the compiled pattern takes, in bytes, rounded up to a power of two.
    size: u64,
}

/// Why a text is no pattern, in a few words that show nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

/// The smallest and the largest size that is told of a compiled pattern, in bytes. More memory none may take.
const SIZES: std::ops::RangeInclusive<usize> = 256..=1 << 20;

impl Pattern {
    /// No search may cost more, however the text is made. A text of one byte costs as much as the compiled pattern has
    /// KiB, and takes up to half a microsecond of a processor's time for each: this is about four seconds.
    pub const HIGHEST_COST: u64 = 1 << 23;

    /// A search that costs no more takes about a millisecond at most: it may be done on the thread of the probes.
    pub const LOW_COST: u64 = 1 << 11;

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let mut size = *SIZES.start();
        loop {
            match RegexBuilder::new(text).size_limit(size).build() {
                Ok(regex) => return Ok(Self { regex, size: size as u64 }),
                // The library has one type for every error: whether it is the size shows with a larger limit.
                Err(error) if size == *SIZES.end() => return Err(PatternError(error.to_string())),
                Err(_) => size *= 2,
            }
        }
    }

    /// How many groups capture something.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The size of the compiled pattern, in bytes, rounded up to a power of two.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The most that a search in a text of so many bytes can cost, of which [`HIGHEST_COST`](Self::HIGHEST_COST) tells
    /// the unit.
    #[must_use]
    pub const fn cost(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.size) >> 10
    }

    /// The longest text, in bytes, in which no search costs more than [`HIGHEST_COST`](Self::HIGHEST_COST).
    #[must_use]
    pub const fn longest_text(&self) -> u64 {
        (Self::HIGHEST_COST << 10) / self.size
    }

    /// Whether the pattern matches anywhere in `text`, of which invalid UTF-8 counts as U+FFFD.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.regex.is_match(&String::from_utf8_lossy(text))
    }

    /// What the first group has in the first match in `text`.
    #[must_use]
    pub fn first_group(&self, text: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(text);
        Some(self.regex.captures(&text)?.get(1)?.as_str().to_owned())
    }

    /// The same in the beginning of a text: nothing where the match reaches the end of it, beyond which it may go on.
    #[must_use]
    pub fn first_group_of_cut(&self, text: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(whole_characters(text));
        let found = self.regex.captures(&text)?;
        let goes_on = found.get(0)?.end() == text.len();
        if goes_on { None } else { Some(found.get(1)?.as_str().to_owned()) }
    }
}

/// The text without a character at its end that was cut.
fn whole_characters(text: &[u8]) -> &[u8] {
    /// A character has four bytes at most.
    const MOST: usize = 3;
    let is_begun = |start: &usize| {
        str::from_utf8(&text[*start..]).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let begun = (text.len().saturating_sub(MOST)..text.len()).find(is_begun);
    &text[..begun.unwrap_or(text.len())]
}

/// Shows nothing of the pattern: an expansion may be part of it.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_grows_with_the_pattern_and_the_text() {
        let email = Pattern::new(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-z]{2,}").unwrap();
        let long = Pattern::new("[a-z]{1,1000}y").unwrap();
        assert_eq!((email.size(), long.size()), (1 << 10, 1 << 17));
        assert_eq!((email.cost(0), email.cost(2048), long.cost(2048)), (0, 2048, 1 << 18));
        assert_eq!(email.cost(u64::MAX), u64::MAX >> 10);
        assert_eq!((email.longest_text(), long.longest_text()), (8 << 20, 64 << 10));
        assert_eq!(long.cost(long.longest_text()), Pattern::HIGHEST_COST);
    }

    #[test]
    fn a_text_that_is_no_pattern_says_why() {
        assert_eq!(Pattern::new("(a{1000}){1000}").unwrap_err().to_string(), "compiled regex exceeded size limit");
        assert_eq!(Pattern::new("(").unwrap_err().to_string(), "found open group without closing ')'");
    }

    #[test]
    fn what_is_no_utf_8_counts_as_replacement_characters() {
        let two = Pattern::new("^a.b$").unwrap();
        assert!(two.is_in(b"a\xffb") && !two.is_in(b"ab"));
        assert_eq!(Pattern::new("id=(.)").unwrap().first_group(b"id=\xff"), Some("\u{fffd}".into()));
    }
}
