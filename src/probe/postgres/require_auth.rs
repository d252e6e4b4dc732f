//! The key `require_auth`, and the parameter of a URL of that name, as libpq has it: by which methods a server may have
//! a user prove who they are.

use std::fmt;

/// A method of authentication that there is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// The password as it is.
    Password,
    /// A hash of it, which is as good to somebody who listens.
    Md5,
    /// SCRAM-SHA-256, bound to TLS or not: nobody who listens learns anything.
    Scram,
    /// The server asks for nothing.
    None,
}

impl AuthMethod {
    const ALL: [Self; 4] = [Self::Password, Self::Md5, Self::Scram, Self::None];

    /// As libpq writes it.
    const fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::Scram => "scram-sha-256",
            Self::None => "none",
        }
    }
}

/// What a server asks for, in words.
impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "the password in clear",
            Self::Md5 => "the password as MD5",
            Self::Scram => "a login by SCRAM",
            Self::None => "no authentication",
        })
    }
}

/// Methods that libpq knows as well, and that no server gets here.
const FOREIGN: [&str; 3] = ["gss", "sspi", "oauth"];

/// The method that is written otherwise elsewhere: `scram`, `SCRAM_SHA256`.
fn meant_by(word: &str) -> Option<&'static str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let written = plain(word);
    let is_meant = |method: &AuthMethod| {
        plain(method.word()) == written || (*method == AuthMethod::Scram && written.starts_with("scram"))
    };
    AuthMethod::ALL.into_iter().find(is_meant).map(AuthMethod::word)
}

/// The methods that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedMethods([bool; 4]);

impl AllowedMethods {
    /// Reads `scram-sha-256,md5` (one of these), `!password,!md5` (none of these), or nothing (any).
    ///
    /// # Errors
    /// What is wrong with it, as a sentence, and what helps.
    pub fn parse(value: &str) -> Result<Self, (&'static str, String)> {
        if value.is_empty() {
            return Ok(Self([true; 4]));
        }
        let words: Vec<_> =
            value.split(',').map(|word| (word.starts_with('!'), word.trim_start_matches('!'))).collect();
        let is_known =
            |word: &str| FOREIGN.contains(&word) || AuthMethod::ALL.iter().any(|method| method.word() == word);
        let unknown = words.iter().map(|(_, word)| *word).find(|word| !is_known(word));
        if unknown.is_some() || value.contains("!!") {
            let message = "`require_auth` is a list of password, md5, scram-sha-256 and none, or of these with `!`";
            let help = match unknown.and_then(meant_by) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write them with commas and without spaces, as `scram-sha-256,md5`".into(),
            };
            return Err((message, help));
        }
        let excludes = words[0].0;
        if words.iter().any(|(negated, _)| *negated != excludes) {
            let message = "`require_auth` has methods with `!` and without: it is one or the other";
            return Err((message, "name those that are allowed, or with `!` those that are not".into()));
        }
        let allowed = AuthMethod::ALL.map(|method| words.iter().any(|(_, word)| *word == method.word()) != excludes);
        let none_left = "`require_auth` leaves no method that there is here: password, md5, scram-sha-256 or none";
        let supported = "name one that is supported, as `scram-sha-256`: gss, sspi and oauth are not";
        Self::unless_empty(allowed).ok_or_else(|| (none_left, supported.into()))
    }

    /// What both allow, if there is anything.
    pub fn and(self, other: Self) -> Option<Self> {
        Self::unless_empty(std::array::from_fn(|index| self.0[index] && other.0[index]))
    }

    fn unless_empty(allowed: [bool; 4]) -> Option<Self> {
        (allowed != [false; 4]).then_some(Self(allowed))
    }

    /// Whether a server may ask for this.
    pub fn contain(self, method: AuthMethod) -> bool {
        AuthMethod::ALL.into_iter().zip(self.0).any(|(known, allowed)| known == method && allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(value: &str) -> Result<Vec<&'static str>, &'static str> {
        let methods = AllowedMethods::parse(value).map_err(|(message, _)| message)?;
        Ok(AuthMethod::ALL.into_iter().filter(|method| methods.contain(*method)).map(AuthMethod::word).collect())
    }

    #[test]
    fn a_list_names_what_may_be_or_what_may_not() {
        assert_eq!(allowed("scram-sha-256"), Ok(vec!["scram-sha-256"]));
        assert_eq!(allowed("md5,scram-sha-256,gss"), Ok(vec!["md5", "scram-sha-256"]));
        assert_eq!(allowed("!password,!md5"), Ok(vec!["scram-sha-256", "none"]));
        assert_eq!(allowed("!none"), Ok(vec!["password", "md5", "scram-sha-256"]));
        assert_eq!(allowed(""), allowed("!gss"));
        assert_eq!(allowed("!gss"), Ok(vec!["password", "md5", "scram-sha-256", "none"]));
    }

    #[test]
    fn anything_else_is_refused() {
        for value in
            ["scram", "SCRAM-SHA-256", "md5,", "!!md5", "md5,!password", "gss", "!password,!md5,!scram-sha-256,!none"]
        {
            assert!(allowed(value).is_err(), "{value}");
        }
    }

    #[test]
    fn the_help_is_for_what_is_wrong() {
        let cases = [
            ("scram", "did you mean `scram-sha-256`"),
            ("md5,SCRAM_SHA256", "did you mean `scram-sha-256`"),
            ("MD5", "did you mean `md5`"),
            ("md5,!password", "or with `!`"),
            ("gss", "that is supported"),
            ("banana", "with commas"),
        ];
        for (value, expected) in cases {
            let (_, help) = AllowedMethods::parse(value).unwrap_err();
            assert!(help.contains(expected), "{value}: {help}");
        }
    }
}
