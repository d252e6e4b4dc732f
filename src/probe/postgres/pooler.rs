//! What a pooler means by its words: `PgBouncer` has one SQLSTATE for all that it refuses, and fixed phrases.

use crate::model::outcome::FailureKind;

/// What the words of a pooler mean. Nothing of them is repeated: behind some of the phrases stands what the client
/// said.
pub fn meaning(words: &str) -> Option<(FailureKind, &'static str)> {
    let words = words.to_lowercase();
    PHRASES.iter().find(|(phrase, ..)| words.contains(phrase)).map(|(_, kind, meaning)| (*kind, *meaning))
}

/// In the order in which they are looked for. Those of `PgBouncer`, as of 1.24; others use some of them too.
const PHRASES: &[(&str, FailureKind, &str)] = &[
    ("no more connections allowed", FailureKind::Protocol, "the pooler has no connection left (max_client_conn)"),
    ("max_db_client_connections", FailureKind::Protocol, "the pooler has no connection left for the database"),
    ("max_user_client_connections", FailureKind::Protocol, "the pooler has no connection left for the user"),
    ("no such database", FailureKind::Protocol, "the pooler does not know the database"),
    ("database does not exist", FailureKind::Protocol, "the pooler does not know the database"),
    ("is disabled", FailureKind::Protocol, "the database is disabled in the pooler"),
    ("unsupported startup parameter", FailureKind::Protocol, "the pooler does not support a parameter of the URL"),
    ("unsupported protocol", FailureKind::Protocol, "the pooler does not support the protocol"),
    ("query_wait_timeout", FailureKind::Protocol, "the pooler had no server connection free in time, or is paused"),
    ("client_login_timeout", FailureKind::Protocol, "the pooler could not log in to the server in time, or is paused"),
    ("server login has been failing", FailureKind::Protocol, "the pooler cannot log in to the server"),
    ("server_login_retry", FailureKind::Protocol, "the pooler cannot log in to the server"),
    ("cannot connect", FailureKind::Protocol, "the pooler cannot reach the server"),
    ("server dns lookup failed", FailureKind::Protocol, "the pooler cannot resolve the server's name"),
    ("server conn", FailureKind::Protocol, "the pooler has lost its connection to the server"),
    ("query_timeout", FailureKind::Protocol, "the pooler ended the query (query_timeout)"),
    ("query timeout", FailureKind::Protocol, "the pooler ended the query (query_timeout)"),
    ("idle_transaction_timeout", FailureKind::Protocol, "the pooler ended the transaction (idle_transaction_timeout)"),
    ("idle transaction timeout", FailureKind::Protocol, "the pooler ended the transaction (idle_transaction_timeout)"),
    ("client_idle_timeout", FailureKind::Protocol, "the pooler ended the connection (client_idle_timeout)"),
    ("shutting down", FailureKind::Protocol, "the pooler is shutting down"),
    ("client certificate required", FailureKind::Auth, "the pooler wants a client certificate"),
    ("ssl required", FailureKind::Auth, "the pooler wants TLS"),
    ("tls connection required", FailureKind::Auth, "the pooler wants TLS"),
    ("authentication failed", FailureKind::Auth, "authentication failed"),
    ("no such user", FailureKind::Auth, "authentication failed"),
    ("login rejected", FailureKind::Auth, "authentication failed"),
    ("not allowed", FailureKind::Auth, "authentication failed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phrase_is_found_and_nothing_behind_it_is_repeated() {
        for (phrase, kind, means) in PHRASES {
            let words = format!("{}: hunter2", phrase.to_uppercase());
            assert_eq!(meaning(&words), Some((*kind, *means)));
            assert!(!means.contains("hunter2"));
        }
        assert_eq!(meaning("bad packet"), None);
    }
}
