//! The name of a check: the key of its history, its label in metrics, its word in paths.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A valid check name: a letter or digit, then letters, digits and `_./-`, at most 100 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckName(Arc<str>);

impl CheckName {
    /// The longest name, in characters.
    pub const MAX: usize = 100;

    /// Checks `text` against the rule for names.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase that can follow "the name".
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        if text.chars().count() > Self::MAX {
            return Err(format!("is longer than {} characters", Self::MAX));
        }
        let wrong = text.chars().enumerate().find(|(index, character)| {
            !(character.is_ascii_alphanumeric() || (*index > 0 && "_./-".contains(*character)))
        });
        match wrong {
            None => Ok(Self(text.into())),
            Some((0, first)) => Err(format!("starts with `{}`, not with a letter or a digit", first.escape_default())),
            Some((_, other)) => Err(format!("contains `{}`", other.escape_default())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for CheckName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "9", "db_connection", "internal_api/user", "A.b-c/d_e", &"x".repeat(100)] {
            assert_eq!(CheckName::new(good).unwrap().as_str(), good);
        }
        let bad = [
            ("", "is empty"),
            ("_a", "starts with `_`, not with a letter or a digit"),
            ("a b", "contains ` `"),
            ("a\nb", "contains `\\n`"),
            ("é", "starts with `\\u{e9}`, not with a letter or a digit"),
            (&"x".repeat(101), "is longer than 100 characters"),
        ];
        for (text, problem) in bad {
            assert_eq!(CheckName::new(text).unwrap_err(), problem);
        }
    }
}
