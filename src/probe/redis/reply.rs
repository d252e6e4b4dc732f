//! What an error reply of Redis means, and which role it says that it has.

use redis::{RedisError, Value};

use crate::model::outcome::{Failure, FailureKind};

/// What was asked when an error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To be let in.
    Login,
    /// For the database of the URL.
    Select,
    /// `PING`.
    Ping,
    /// For the role.
    Role,
}

/// The failure that an error means. `secretive` keeps the server's own words out of the log.
pub fn failure(error: &RedisError, asked: Asked, secretive: bool) -> Failure {
    let Some(code) = error.code().filter(|code| is_code(code)) else { return not_redis() };
    let words = error.detail().unwrap_or_default();
    let (kind, message) = meaning(code, words, asked);
    let detail = if secretive { code.to_owned() } else { format!("{code} {words}") };
    Failure::new(kind, message).with_detail(detail)
}

/// The answer is not one that Redis gives.
pub fn not_redis() -> Failure {
    Failure::new(FailureKind::Protocol, "the server does not speak Redis's protocol")
}

/// Whether it is an error code and not the first word of something else.
fn is_code(code: &str) -> bool {
    (1..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn meaning(code: &str, words: &str, asked: Asked) -> (FailureKind, String) {
    let (kind, message) = match code {
        "WRONGPASS" => (FailureKind::Auth, "user or password are wrong"),
        "NOAUTH" => (FailureKind::Auth, "the server wants a password"),
        "NOPERM" => (FailureKind::Auth, "the user may not run this command"),
        "DENIED" => (FailureKind::Auth, "the server refuses connections from elsewhere (protected mode)"),
        "LOADING" => (FailureKind::Protocol, "the server is loading its data"),
        "MASTERDOWN" => (FailureKind::Protocol, "the replica has lost its primary"),
        "MISCONF" => (FailureKind::Protocol, "the server cannot save its data to disk"),
        "BUSY" => (FailureKind::Protocol, "the server is busy with a script"),
        "CLUSTERDOWN" => (FailureKind::Protocol, "the cluster is down"),
        "READONLY" => (FailureKind::Protocol, "the server is a read-only replica"),
        "ERR" if words.contains("max number of clients") => {
            (FailureKind::Protocol, "the server has no connection left")
        }
        "ERR" if asked == Asked::Login && words.contains("without any password") => {
            (FailureKind::Auth, "the server has no password set, and the URL holds one")
        }
        "ERR" if asked == Asked::Login => (FailureKind::Auth, "user or password are wrong"),
        "ERR" if asked == Asked::Select => (FailureKind::Protocol, "the database does not exist"),
        _ => (FailureKind::Protocol, "the server reports an error"),
    };
    (kind, format!("{message} ({code})"))
}

/// The roles that can be wanted.
pub const ROLES: &[&str] = &["primary", "replica"];

/// The role in an answer to `ROLE`, in our words; another word of the server's (a sentinel) is not repeated.
pub fn role_of(answer: &Value) -> Option<&'static str> {
    let Value::Array(items) = answer else { return None };
    match items.first()? {
        Value::BulkString(word) => Some(named(word)),
        Value::SimpleString(word) => Some(named(word.as_bytes())),
        _ => None,
    }
}

/// The role in an answer to `INFO replication`.
pub fn role_in_information(answer: &Value) -> Option<&'static str> {
    let text = match answer {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?,
        Value::VerbatimString { text, .. } => text,
        _ => return None,
    };
    text.lines().find_map(|line| line.strip_prefix("role:")).map(|word| named(word.trim().as_bytes()))
}

fn named(word: &[u8]) -> &'static str {
    match word {
        b"master" => "primary",
        b"slave" => "replica",
        b"sentinel" => "sentinel",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_plain_words_and_their_code() {
        let cases = [
            (
                "NOAUTH",
                "Authentication required.",
                Asked::Ping,
                FailureKind::Auth,
                "the server wants a password (NOAUTH)",
            ),
            ("ERR", "invalid password", Asked::Login, FailureKind::Auth, "user or password are wrong (ERR)"),
            (
                "ERR",
                "DB index is out of range",
                Asked::Select,
                FailureKind::Protocol,
                "the database does not exist (ERR)",
            ),
            (
                "ERR",
                "max number of clients reached",
                Asked::Login,
                FailureKind::Protocol,
                "the server has no connection left (ERR)",
            ),
            ("ODD", "hunter2", Asked::Ping, FailureKind::Protocol, "the server reports an error (ODD)"),
        ];
        for (code, words, asked, kind, message) in cases {
            assert_eq!(meaning(code, words, asked), (kind, message.to_owned()));
        }
    }

    #[test]
    fn a_code_is_a_word_in_capitals() {
        assert!(is_code("WRONGPASS"));
        for other in ["", "hunter2", "Err", "A-B", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ"] {
            assert!(!is_code(other), "{other}");
        }
    }

    #[test]
    fn a_role_is_read_from_either_answer() {
        let role = |word: &str| Value::Array(vec![Value::BulkString(word.into()), Value::Int(0)]);
        assert_eq!(role_of(&role("master")), Some("primary"));
        assert_eq!(role_of(&role("slave")), Some("replica"));
        assert_eq!(role_of(&role("sentinel")), Some("sentinel"));
        assert_eq!(role_of(&Value::Array(vec![])), None);
        assert_eq!(role_of(&Value::Okay), None);
        let information = |text: &str| Value::BulkString(text.into());
        assert_eq!(role_in_information(&information("# Replication\r\nrole:slave\r\nx:1\r\n")), Some("replica"));
        assert_eq!(role_in_information(&information("# Replication\r\n")), None);
    }
}
