//! Regular expressions whose search stops when it is told to, and goes on where it has stopped: what a target sends must
//! neither hold up a thread nor outlive its run.
//!
//! regex-lite says which texts are patterns and how large one may be; nothing here ever searches with it, because its
//! search cannot be interrupted. What a pattern matches is the same as with it, to the character: the tests compare the
//! two. `parse` reads a pattern, `program` compiles it, `seek` tells whether it matches, `find` tells where its group is.

mod class;
mod find;
mod parse;
mod program;
mod seek;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use regex_lite::RegexBuilder;

pub use self::find::Find;
use self::program::Program;
pub use self::seek::Seek;

/// So much a search does at a time; then others get their turn. Some tens of microseconds.
pub const SLICE: usize = 16 << 10;

/// More memory than this no pattern takes in regex-lite: some ten thousands of characters and repetitions.
const LARGEST: usize = 1 << 20;

/// A pattern.
#[derive(Clone)]
pub struct Pattern {
    program: Arc<Program>,
    groups: usize,
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

impl Pattern {
    /// More steps than this no search may take, however the text is made: a second or two of a processor's time.
    pub const MOST_STEPS: u64 = 1 << 29;

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let checked = RegexBuilder::new(text).size_limit(LARGEST).build();
        let groups = checked.map_err(|error| PatternError(error.to_string()))?.captures_len() - 1;
        let tree = parse::parse(text).ok_or_else(|| PatternError("it cannot be read".into()))?;
        Ok(Self { program: Arc::new(Program::of(&tree)), groups })
    }

    /// How many groups capture something.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.groups
    }

    /// The most steps that a search takes for one character of a text.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.program.steps.len() as u64
    }

    /// The longest text, in bytes, in which a search takes no more than [`MOST_STEPS`](Self::MOST_STEPS).
    #[must_use]
    pub fn longest_text(&self) -> u64 {
        Self::MOST_STEPS / self.cost().max(1)
    }

    /// A search for any match in `text`, of which invalid UTF-8 counts as U+FFFD.
    #[must_use]
    pub fn seek<'a>(&'a self, text: &'a [u8]) -> Seek<'a> {
        Seek::new(&self.program, text)
    }

    /// A search for the first match in `text`, and for the first group in it.
    #[must_use]
    pub fn find<'a>(&'a self, text: &'a [u8]) -> Find<'a> {
        Find::new(&self.program, String::from_utf8_lossy(text))
    }
}

/// Shows nothing of the pattern: an expansion may be part of it.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern(***)")
    }
}
