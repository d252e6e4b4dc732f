//! A secret word that somebody has to present: only its hash is kept, so that it can be neither shown nor guessed by
//! time.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// What has to be presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; SHA256_OUTPUT_LEN]);

impl Token {
    /// The one that nobody has.
    pub const NOBODYS: Self = Self([0; SHA256_OUTPUT_LEN]);

    /// What is wrong with `text` as a token: it is to be what a header can carry, and no proxy changes on the way.
    #[must_use]
    pub fn flaw(text: &str) -> Option<&'static str> {
        if text.is_empty() {
            return Some("is empty");
        }
        let is_one_word = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!is_one_word).then_some("holds other characters than letters, digits and signs of ASCII")
    }

    /// What helps against a flaw.
    pub const HELP: &str = "write one word, such as `openssl rand -hex 32` makes, into a file, and `${file:…}` here: a line \
                            break at its end is dropped, others are not";

    /// The token `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(hash(text.as_bytes()))
    }

    /// Whether `presented` is it. The time that it takes tells nothing of the token.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        self.0.iter().zip(hash(presented)).fold(0, |difference, (own, other)| difference | (own ^ other)) == 0
    }
}

fn hash(text: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    hash
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_knows_itself_and_shows_nothing() {
        let token = Token::new("hunter2");
        assert!(token.is(b"hunter2"));
        for other in [&b""[..], b"hunter", b"hunter22", b"Hunter2"] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "***");
    }
}
