//! What an error of the server is called, and whose fault it is.

use super::messages::ServerError;
use super::pooler;
use crate::model::outcome::{Failure, FailureKind};

/// What is said of a password that does not fit.
pub const WRONG_PASSWORD: &str = "password authentication failed";

/// The failure that an error of the server is. `secretive` keeps the server's own words out of the log: what an
/// expansion brought into the section may be in them.
pub fn failure(error: &ServerError, logged_in: bool, secretive: bool) -> Failure {
    let (kind, message) = meaning(error, logged_in);
    let detail = if secretive {
        format!("{}: SQLSTATE {}", error.severity, error.code)
    } else {
        format!("{}: {} (SQLSTATE {})", error.severity, error.message, error.code)
    };
    Failure::new(kind, message).with_detail(detail)
}

fn meaning(error: &ServerError, logged_in: bool) -> (FailureKind, String) {
    let code = error.code.as_str();
    let named = match CONDITIONS.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => format!("SQLSTATE {code} {name}"),
        None => format!("SQLSTATE {code}"),
    };
    let (kind, what) = match code {
        "28P01" => return (FailureKind::Auth, WRONG_PASSWORD.into()),
        // Poolers have but this one code for whatever they refuse.
        "08P01" if let Some((kind, meaning)) = pooler::meaning(&error.message) => return (kind, meaning.into()),
        _ if code.starts_with("28") => (FailureKind::Auth, "the server rejected the login"),
        "42501" => (FailureKind::Auth, "permission denied"),
        "3D000" => (FailureKind::Protocol, "the database does not exist"),
        "53300" if error.message.starts_with("too many connections for role") => {
            (FailureKind::Protocol, "the role has no connection left")
        }
        "53300" if error.message.starts_with("too many connections for database") => {
            (FailureKind::Protocol, "the database has no connection left")
        }
        "53300" => (FailureKind::Protocol, "the server has no connection left"),
        "57P03" => (FailureKind::Protocol, why_not_now(error)),
        "55000" if error.message.ends_with("is not currently accepting connections") => {
            (FailureKind::Protocol, "the database accepts no connections")
        }
        "57P01" | "57P02" => (FailureKind::Protocol, "the server is shutting down"),
        "57014" => (FailureKind::Protocol, "the server cancelled the query"),
        "25006" => (FailureKind::Protocol, "the query tries to change something"),
        _ if logged_in => (FailureKind::Protocol, "query failed"),
        _ => (FailureKind::Protocol, "login failed"),
    };
    (kind, format!("{what} ({named})"))
}

/// Why the server takes no logins now, as far as it says so in English.
fn why_not_now(error: &ServerError) -> &'static str {
    let says = |words: &str| error.message.contains(words) || error.detail.contains(words);
    match () {
        () if says("ot standby mode is disabled") => "the server is a standby without hot standby mode",
        () if says("starting up") => "the server is starting up",
        () if says("shutting down") => "the server is shutting down",
        () if says("recovery mode") => "the server is recovering from a crash",
        () if says("not yet accepting connections") => "the server is recovering and not consistent yet",
        // Until version 13 a standby without hot standby mode said that it was starting up.
        () => "the server is starting up or shutting down",
    }
}

/// The conditions that a probe may well meet, by the names in PostgreSQL's manual.
const CONDITIONS: &[(&str, &str)] = &[
    ("08000", "connection_exception"),
    ("08003", "connection_does_not_exist"),
    ("08004", "sqlserver_rejected_establishment_of_sqlconnection"),
    ("08006", "connection_failure"),
    ("08P01", "protocol_violation"),
    ("0A000", "feature_not_supported"),
    ("21000", "cardinality_violation"),
    ("22003", "numeric_value_out_of_range"),
    ("22007", "invalid_datetime_format"),
    ("22012", "division_by_zero"),
    ("22021", "character_not_in_repertoire"),
    ("22023", "invalid_parameter_value"),
    ("22P02", "invalid_text_representation"),
    ("25001", "active_sql_transaction"),
    ("25006", "read_only_sql_transaction"),
    ("25P01", "no_active_sql_transaction"),
    ("25P02", "in_failed_sql_transaction"),
    ("25P03", "idle_in_transaction_session_timeout"),
    ("26000", "invalid_sql_statement_name"),
    ("28000", "invalid_authorization_specification"),
    ("28P01", "invalid_password"),
    ("2F003", "prohibited_sql_statement_attempted"),
    ("34000", "invalid_cursor_name"),
    ("3D000", "invalid_catalog_name"),
    ("3F000", "invalid_schema_name"),
    ("40001", "serialization_failure"),
    ("40P01", "deadlock_detected"),
    ("42501", "insufficient_privilege"),
    ("42601", "syntax_error"),
    ("42602", "invalid_name"),
    ("42702", "ambiguous_column"),
    ("42703", "undefined_column"),
    ("42704", "undefined_object"),
    ("42725", "ambiguous_function"),
    ("42803", "grouping_error"),
    ("42804", "datatype_mismatch"),
    ("42809", "wrong_object_type"),
    ("42846", "cannot_coerce"),
    ("42883", "undefined_function"),
    ("42939", "reserved_name"),
    ("42P01", "undefined_table"),
    ("42P02", "undefined_parameter"),
    ("42P05", "duplicate_prepared_statement"),
    ("42P08", "ambiguous_parameter"),
    ("42P10", "invalid_column_reference"),
    ("42P18", "indeterminate_datatype"),
    ("53000", "insufficient_resources"),
    ("53100", "disk_full"),
    ("53200", "out_of_memory"),
    ("53300", "too_many_connections"),
    ("53400", "configuration_limit_exceeded"),
    ("54000", "program_limit_exceeded"),
    ("54001", "statement_too_complex"),
    ("55000", "object_not_in_prerequisite_state"),
    ("55006", "object_in_use"),
    ("55P03", "lock_not_available"),
    ("57000", "operator_intervention"),
    ("57014", "query_canceled"),
    ("57P01", "admin_shutdown"),
    ("57P02", "crash_shutdown"),
    ("57P03", "cannot_connect_now"),
    ("57P04", "database_dropped"),
    ("57P05", "idle_session_timeout"),
    ("58000", "system_error"),
    ("58030", "io_error"),
    ("P0001", "raise_exception"),
    ("XX000", "internal_error"),
    ("XX001", "data_corrupted"),
    ("XX002", "index_corrupted"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> ServerError {
        ServerError { severity: "ERROR".into(), code: code.into(), message: message.into(), detail: String::new() }
    }

    #[test]
    fn an_error_is_named_without_what_was_asked() {
        let cases = [
            ("28P01", false, FailureKind::Auth, "password authentication failed"),
            (
                "28000",
                false,
                FailureKind::Auth,
                "the server rejected the login (SQLSTATE 28000 invalid_authorization_specification)",
            ),
            (
                "3D000",
                false,
                FailureKind::Protocol,
                "the database does not exist (SQLSTATE 3D000 invalid_catalog_name)",
            ),
            ("42P01", true, FailureKind::Protocol, "query failed (SQLSTATE 42P01 undefined_table)"),
            ("42501", true, FailureKind::Auth, "permission denied (SQLSTATE 42501 insufficient_privilege)"),
            ("ZZ999", true, FailureKind::Protocol, "query failed (SQLSTATE ZZ999)"),
            ("ZZ999", false, FailureKind::Protocol, "login failed (SQLSTATE ZZ999)"),
        ];
        for (code, logged_in, kind, message) in cases {
            let failure = failure(&error(code, "no such thing as \"secret\""), logged_in, true);
            assert_eq!((failure.kind, failure.message.as_str()), (kind, message));
            assert_eq!(failure.detail.as_deref(), Some(format!("ERROR: SQLSTATE {code}").as_str()));
        }
    }

    #[test]
    fn the_log_has_the_servers_words_where_they_hold_no_secret() {
        let failure = failure(&error("42P01", "relation \"orders\" does not exist"), true, false);
        assert_eq!(failure.detail.as_deref(), Some("ERROR: relation \"orders\" does not exist (SQLSTATE 42P01)"));
    }

    #[test]
    fn a_pooler_that_refuses_the_password_is_understood() {
        let meaning = |message| meaning(&error("08P01", message), false).0;
        assert_eq!(meaning("SASL authentication failed"), FailureKind::Auth);
        assert_eq!(meaning("no such user: bob"), FailureKind::Auth);
        assert_eq!(meaning("pgbouncer cannot connect to server"), FailureKind::Protocol);
        assert_eq!(meaning("query_wait_timeout"), FailureKind::Protocol);
    }

    #[test]
    fn a_server_says_why_it_takes_no_login() {
        let says = |code, message: &str, detail: &str| {
            meaning(&ServerError { detail: detail.into(), ..error(code, message) }, false).1
        };
        let cases = [
            ("the database system is starting up", "", "the server is starting up"),
            ("the database system is shutting down", "", "the server is shutting down"),
            ("the database system is in recovery mode", "", "the server is recovering from a crash"),
            (
                "the database system is not accepting connections",
                "Hot standby mode is disabled.",
                "the server is a standby without hot standby mode",
            ),
            (
                "the database system is not yet accepting connections",
                "Consistent recovery state has not been yet reached.",
                "the server is recovering and not consistent yet",
            ),
            ("das Datenbanksystem startet", "", "the server is starting up or shutting down"),
        ];
        for (message, detail, expected) in cases {
            assert_eq!(says("57P03", message, detail), format!("{expected} (SQLSTATE 57P03 cannot_connect_now)"));
        }
        let cases = [
            ("too many connections for role \"bob\"", "the role has no connection left"),
            ("too many connections for database \"orders\"", "the database has no connection left"),
            ("sorry, too many clients already", "the server has no connection left"),
            ("remaining connection slots are reserved for superusers", "the server has no connection left"),
        ];
        for (message, expected) in cases {
            assert_eq!(says("53300", message, ""), format!("{expected} (SQLSTATE 53300 too_many_connections)"));
        }
    }

    #[test]
    fn the_conditions_are_sorted_and_well_formed() {
        assert!(CONDITIONS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(CONDITIONS.iter().all(|(code, _)| code.len() == 5));
    }
}
