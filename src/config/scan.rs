//! The pieces of a line that no tree explains: keys, values, and what nobody can tell.

use std::ops::Range;

use super::quote::is_plain;
use super::shows::is_credential;
use super::vocabulary::is_plain_word;

pub(super) fn bare(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

pub(super) enum Unit<'t> {
    Key(Range<usize>),
    Value(Range<usize>, Option<&'t str>),
    /// A comment, a name of an anchor, what follows a mistake.
    Unknown(Range<usize>),
}

/// A reader of a line that may be anything.
pub(super) struct Scan<'t> {
    text: &'t str,
    position: usize,
    /// The key whose value comes next.
    key: Option<&'t str>,
    /// The key whose list is open.
    list_key: Option<&'t str>,
}

impl<'t> Scan<'t> {
    /// From the start of `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, position: 0, key: None, list_key: None }
    }

    /// The next piece that may hold something.
    pub(super) fn next_unit(&mut self) -> Option<Unit<'t>> {
        loop {
            let rest = &self.text[self.position..];
            let first = rest.chars().next()?;
            let ends_word = |offset: usize| rest[offset..].chars().next().is_none_or(char::is_whitespace);
            match first {
                c if c.is_whitespace() || !is_plain(c) && c.is_control() => {}
                '{' | '}' => (self.key, self.list_key) = (None, None),
                '[' => self.list_key = self.key,
                ']' => (self.key, self.list_key) = (None, None),
                ',' => self.key = self.list_key,
                '-' | '?' | ':' if ends_word(1) => {}
                '#' => {
                    let start = self.position + 1 + (rest.len() - 1 - rest[1..].trim_start().len());
                    self.position = self.text.len();
                    return Some(Unit::Unknown(start..self.text.len()));
                }
                '&' | '*' | '!' if is_label(rest) && !self.key.is_some_and(is_credential) => {
                    self.position += label_length(rest);
                    continue;
                }
                _ => return Some(self.word(rest)),
            }
            self.position += first.len_utf8();
        }
    }

    /// A quoted text, or what reaches to the next sign of structure.
    fn word(&mut self, rest: &'t str) -> Unit<'t> {
        let start = self.position;
        let length = match rest.chars().next().filter(|quote| matches!(quote, '"' | '\'')) {
            Some(quote) => quoted_length(rest, quote),
            None => plain_length(rest),
        };
        let range = start..start + length;
        self.position = range.end;
        let behind = self.text[range.end..].trim_start();
        let is_key =
            behind.strip_prefix(':').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '"', '\'']));
        match (is_key, self.key) {
            (true, None) => {
                self.key = Some(bare(&self.text[range.clone()]));
                self.position = self.text.len() - behind.len() + 1;
                Unit::Key(range)
            }
            // `a: b: c` is no YAML: nobody knows what of it belongs together.
            (true, Some(_)) => {
                self.position = self.text.len();
                Unit::Unknown(start..self.text.len())
            }
            (false, key) => Unit::Value(range, key),
        }
    }
}

/// How long a text in quotes is, with both of them: one that is escaped ends nothing.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        let is_escape = match quote {
            '"' => character == '\\',
            _ => character == quote && characters.peek().is_some_and(|(_, next)| *next == quote),
        };
        if is_escape {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Whether `text` begins with an anchor, an alias or a tag, of a name that is a word.
fn is_label(text: &str) -> bool {
    is_plain_word(text[..label_length(text)].trim_start_matches(['&', '*', '!']))
}

fn label_length(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(text.len())
}

/// How long a text without quotes is: up to a sign of structure, an expansion being one piece.
fn plain_length(text: &str) -> usize {
    let mut position = 0;
    while let Some(character) = text[position..].chars().next() {
        let rest = &text[position..];
        if rest.starts_with("${") {
            position += rest.find('}').map_or(rest.len(), |end| end + 1);
            continue;
        }
        let behind = rest[character.len_utf8()..].chars().next();
        let is_end = match character {
            ',' | ':' => behind.is_none_or(char::is_whitespace),
            '}' | ']' => true,
            '#' => text[..position].ends_with(char::is_whitespace),
            _ => false,
        };
        if is_end {
            break;
        }
        position += character.len_utf8();
    }
    text[..position].trim_end().len().max(text.chars().next().map_or(0, char::len_utf8))
}
