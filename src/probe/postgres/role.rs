//! The role that a server must have, and how it is asked for.

use crate::model::outcome::{Failure, FailureKind};

/// The roles that the key `role` can want.
pub const ROLES: &[&str] = &["primary", "replica"];

/// What a server must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredRole {
    /// No standby.
    Primary,
    /// A primary whose sessions can write unless they say otherwise.
    Writable,
    /// A standby.
    Replica,
    /// A standby, or a primary whose sessions only read unless they say otherwise.
    ReadOnly,
}

/// Answers `primary`, `replica` or `read-only`. The probe's own transaction is READ ONLY, so the setting of the session
/// is asked for, not that of the transaction.
pub const QUERY: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'replica' \
                         WHEN pg_catalog.current_setting('default_transaction_read_only') = 'on' THEN 'read-only' \
                         ELSE 'primary' END";

impl RequiredRole {
    /// The role that the key `role` wants.
    pub fn of_key(word: &str) -> Self {
        if word == "replica" { Self::Replica } else { Self::Primary }
    }

    /// The role that libpq's `target_session_attrs` wants, if it wants one.
    ///
    /// # Errors
    /// When it is not one of libpq's words.
    pub fn of_attributes(word: &str) -> Result<Option<Self>, ()> {
        Ok(Some(match word {
            "any" | "prefer-standby" => return Ok(None),
            "read-write" => Self::Writable,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Replica,
            _ => return Err(()),
        }))
    }

    /// What has both roles, if anything has.
    pub fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (one, other) if one == other => Some(one),
            (Self::Primary, Self::Writable) | (Self::Writable, Self::Primary) => Some(Self::Writable),
            (Self::Replica, Self::ReadOnly) | (Self::ReadOnly, Self::Replica) => Some(Self::Replica),
            _ => None,
        }
    }

    /// Whether the answer to [`QUERY`] is as wanted.
    ///
    /// # Errors
    /// When it is not.
    pub fn judge(self, found: &[u8]) -> Result<(), Failure> {
        let found = shown(found);
        let is_met = match self {
            Self::Primary => found == "primary" || found == "read-only",
            Self::Writable => found == "primary",
            Self::Replica => found == "replica",
            Self::ReadOnly => found == "replica" || found == "read-only",
        };
        let wanted = match self {
            Self::Primary => "primary",
            Self::Writable => "read-write",
            Self::Replica => "replica",
            Self::ReadOnly => "read-only",
        };
        let mismatch = || Failure::new(FailureKind::Mismatch, format!("the server is {found}, not {wanted}"));
        is_met.then_some(()).ok_or_else(mismatch)
    }
}

/// A role as a message may name it.
pub fn shown(found: &[u8]) -> &'static str {
    match found {
        b"primary" => "primary",
        b"replica" => "replica",
        b"read-only" => "read-only",
        _ => "something else",
    }
}

/// What to write in place of a query for `transaction_read_only`.
pub const INSTEAD: &str = "write `role: primary` in its place, which fails on a standby";

/// Whether a query asks for a setting that the probe's own transaction has set, and expects the other value.
pub fn is_foregone(query: &str, expect: &str) -> bool {
    const QUERIES: [&str; 3] = [
        "show transaction_read_only",
        "select current_setting('transaction_read_only')",
        "select pg_catalog.current_setting('transaction_read_only')",
    ];
    let query = query.to_ascii_lowercase();
    let words: Vec<&str> = query.trim().trim_end_matches(';').split_whitespace().collect();
    QUERIES.contains(&words.join(" ").as_str()) && ["off", "false", "f"].contains(&expect.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_met_or_named() {
        let says = |role: RequiredRole, found: &str| role.judge(found.as_bytes()).map_err(|failure| failure.message);
        let met = [
            (RequiredRole::Primary, "primary"),
            (RequiredRole::Primary, "read-only"),
            (RequiredRole::Writable, "primary"),
            (RequiredRole::Replica, "replica"),
            (RequiredRole::ReadOnly, "replica"),
            (RequiredRole::ReadOnly, "read-only"),
        ];
        for role in [RequiredRole::Primary, RequiredRole::Writable, RequiredRole::Replica, RequiredRole::ReadOnly] {
            for found in ["primary", "replica", "read-only", "", "hunter2"] {
                assert_eq!(says(role, found).is_ok(), met.contains(&(role, found)), "{role:?} {found}");
            }
        }
        assert_eq!(says(RequiredRole::Writable, "replica"), Err("the server is replica, not read-write".into()));
        assert_eq!(says(RequiredRole::Replica, "hunter2"), Err("the server is something else, not replica".into()));
    }

    #[test]
    fn two_wishes_make_one_or_none() {
        assert_eq!(RequiredRole::Primary.and(RequiredRole::Writable), Some(RequiredRole::Writable));
        assert_eq!(RequiredRole::ReadOnly.and(RequiredRole::Replica), Some(RequiredRole::Replica));
        assert_eq!(RequiredRole::Primary.and(RequiredRole::Replica), None);
        assert_eq!(RequiredRole::of_attributes("prefer-standby"), Ok(None));
        assert_eq!(RequiredRole::of_attributes("readwrite"), Err(()));
    }

    #[test]
    fn a_question_whose_answer_is_foregone_is_seen() {
        for query in [
            "SHOW transaction_read_only",
            " show  Transaction_Read_Only ; ",
            "SELECT current_setting('transaction_read_only')",
        ] {
            assert!(is_foregone(query, "off"), "{query}");
            assert!(!is_foregone(query, "on"), "{query}");
        }
        assert!(!is_foregone("SHOW default_transaction_read_only", "off"));
    }
}
