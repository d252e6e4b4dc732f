//! What an error reply of Redis means, and which role it says that it has.

use redis::{RedisError, Value};

use crate::model::outcome::{Failure, FailureKind};

/// What was asked when an error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisCommand {
    /// To be let in.
    Login,
    /// For the database of the URL.
    Select,
    /// `PING`.
    Ping,
    /// For the role.
    Role,
}

impl RedisCommand {
    /// The command, and the rule of an ACL that lets a user run it.
    const fn needed(self) -> (&'static str, &'static str) {
        match self {
            Self::Login => ("AUTH", "+auth"),
            Self::Select => ("SELECT", "+select"),
            Self::Ping => ("PING", "+ping"),
            Self::Role => ("ROLE", "+role"),
        }
    }
}

/// The failure that an error means. `secretive` keeps the server's own words out of the log.
pub fn failure(error: &RedisError, asked: RedisCommand, secretive: bool) -> Failure {
    let Some(code) = error.code().filter(|code| is_code(code)) else { return not_redis() };
    let words = error.detail().unwrap_or_default();
    let (kind, message) = meaning(code, words, asked);
    let detail = if secretive { code.to_owned() } else { format!("{code} {words}") };
    Failure::new(kind, message).with_detail(detail)
}

/// Whether another command than `ROLE` may tell the role: the user may not run it, or the server does not have it, as
/// managed ones and others that speak the protocol.
pub fn lacks_role(error: &RedisError) -> bool {
    error.code() == Some("NOPERM") || error.code() == Some("ERR") && is_unknown(error.detail().unwrap_or_default())
}

/// Whether the server's words say that it does not have the command.
fn is_unknown(words: &str) -> bool {
    ["unknown command", "unknown or unsupported command"].into_iter().any(|start| words.starts_with(start))
}

/// The answer is not one that Redis gives.
pub fn not_redis() -> Failure {
    Failure::new(FailureKind::Protocol, "the server does not speak Redis's protocol")
}

/// Whether it is an error code and not the first word of something else.
fn is_code(code: &str) -> bool {
    (1..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn meaning(code: &str, words: &str, asked: RedisCommand) -> (FailureKind, String) {
    if code == "NOPERM" {
        let (command, grant) = asked.needed();
        return (FailureKind::Auth, format!("the user may not run {command} (NOPERM): grant it, `{grant}`"));
    }
    let (kind, message) = match code {
        "WRONGPASS" => (FailureKind::Auth, "user or password are wrong"),
        "NOAUTH" => (FailureKind::Auth, "the server wants a password"),
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
        "ERR" if asked == RedisCommand::Login && words.contains("without any password") => {
            (FailureKind::Auth, "the server has no password set, and the URL holds one")
        }
        "ERR" if asked == RedisCommand::Login => (FailureKind::Auth, "user or password are wrong"),
        "ERR" if asked == RedisCommand::Role && is_unknown(words) => {
            (FailureKind::Protocol, "the server knows neither ROLE nor INFO")
        }
        "ERR" if asked == RedisCommand::Select => (FailureKind::Protocol, "the database does not exist"),
        _ => (FailureKind::Protocol, "the server reports an error"),
    };
    (kind, format!("{message} ({code})"))
}

/// The roles that can be wanted.
pub const ROLES: &[&str] = &["primary", "replica"];

/// What a server says of its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedRole {
    /// In our words; another word of the server's is not repeated.
    pub name: &'static str,
    /// It takes writes.
    pub is_primary: bool,
    /// It follows a primary.
    pub is_replica: bool,
    /// The link to each primary that it follows stands.
    pub is_linked: bool,
}

impl ReportedRole {
    fn of(word: &[u8], is_linked: bool) -> Self {
        let (name, is_primary, is_replica) = match word {
            b"master" => ("primary", true, false),
            b"slave" => ("replica", false, true),
            // KeyDB: two that follow each other and both take writes.
            b"active-replica" => ("active-replica", true, true),
            b"sentinel" => ("sentinel", false, false),
            _ => ("something else", false, false),
        };
        Self { name, is_primary, is_replica, is_linked }
    }
}

/// The role in an answer to `ROLE`. A replica's is its role, host and port of its primary, and the state of the link.
pub fn role_of(answer: &Value) -> Option<ReportedRole> {
    let Value::Array(items) = answer else { return None };
    // KeyDB answers with one such list for each primary that it follows.
    if let Some(Value::Array(_)) = items.first() {
        let mut roles = items.iter().map(role_of);
        let first = roles.next()??;
        return roles
            .try_fold(first, |all, next| Some(ReportedRole { is_linked: all.is_linked && next?.is_linked, ..all }));
    }
    let is_linked = items.get(3).and_then(word) == Some(b"connected");
    Some(ReportedRole::of(word(items.first()?)?, is_linked))
}

fn word(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(word) => Some(word),
        Value::SimpleString(word) => Some(word.as_bytes()),
        _ => None,
    }
}

/// The role in an answer to `INFO replication`.
pub fn role_in_information(answer: &Value) -> Option<ReportedRole> {
    let text = match answer {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?,
        Value::VerbatimString { text, .. } => text,
        _ => return None,
    };
    let fields = || text.lines().filter_map(|line| line.trim().split_once(':'));
    let (_, role) = fields().find(|(name, _)| *name == "role")?;
    // KeyDB numbers the links behind the first.
    let mut links = fields().filter(|(name, _)| name.starts_with("master") && name.contains("link_status"));
    Some(ReportedRole::of(role.as_bytes(), links.all(|(_, state)| state == "up")))
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
                RedisCommand::Ping,
                FailureKind::Auth,
                "the server wants a password (NOAUTH)",
            ),
            ("ERR", "invalid password", RedisCommand::Login, FailureKind::Auth, "user or password are wrong (ERR)"),
            (
                "ERR",
                "DB index is out of range",
                RedisCommand::Select,
                FailureKind::Protocol,
                "the database does not exist (ERR)",
            ),
            (
                "ERR",
                "max number of clients reached",
                RedisCommand::Login,
                FailureKind::Protocol,
                "the server has no connection left (ERR)",
            ),
            (
                "ERR",
                "unknown command 'INFO', with args beginning with: 'replication' ",
                RedisCommand::Role,
                FailureKind::Protocol,
                "the server knows neither ROLE nor INFO (ERR)",
            ),
            ("ODD", "hunter2", RedisCommand::Ping, FailureKind::Protocol, "the server reports an error (ODD)"),
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
        let text = |word: &str| Value::BulkString(word.into());
        let replica = |word: &str, state: &str| {
            Value::Array(vec![text(word), text("10.0.0.1"), Value::Int(6379), text(state), Value::Int(7)])
        };
        let said =
            |role: Option<ReportedRole>| role.map(|role| (role.name, role.is_primary, role.is_replica, role.is_linked));
        let primary = Value::Array(vec![text("master"), Value::Int(0), Value::Array(vec![])]);
        assert_eq!(said(role_of(&primary)), Some(("primary", true, false, false)));
        assert_eq!(said(role_of(&replica("slave", "connected"))), Some(("replica", false, true, true)));
        for state in ["connect", "connecting", "handshake", "sync", "none"] {
            assert_eq!(said(role_of(&replica("slave", state))), Some(("replica", false, true, false)), "{state}");
        }
        assert_eq!(said(role_of(&Value::Array(vec![text("sentinel")]))), Some(("sentinel", false, false, false)));
        let active = |state| replica("active-replica", state);
        assert_eq!(said(role_of(&active("connected"))), Some(("active-replica", true, true, true)));
        let several = |other| Value::Array(vec![active("connected"), active(other)]);
        assert_eq!(said(role_of(&several("connected"))), Some(("active-replica", true, true, true)));
        assert_eq!(said(role_of(&several("connect"))), Some(("active-replica", true, true, false)));
        assert_eq!(role_of(&Value::Array(vec![])), None);
        assert_eq!(role_of(&Value::Okay), None);
        let information = |lines: &str| role_in_information(&text(&format!("# Replication\r\n{lines}\r\nx:1\r\n")));
        let slave =
            |state: &str| said(information(&format!("role:slave\r\nmaster_host:db\r\nmaster_link_status:{state}")));
        assert_eq!(slave("up"), Some(("replica", false, true, true)));
        assert_eq!(slave("down"), Some(("replica", false, true, false)));
        assert_eq!(said(information("role:master")), Some(("primary", true, false, true)));
        assert_eq!(information("no role"), None);
    }
}
