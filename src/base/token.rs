//! A secret word that somebody has to present: only its hash is kept, so that it can be neither shown nor guessed by
//! time.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// What has to be presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; SHA256_OUTPUT_LEN]);

impl Token {
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
