//! Credentials in what others say: by the names that stand before them, by where they stand in URLs, by what they look
//! like.

use std::ops::Range;

/// What stands in place of a credential.
pub(super) const MASK: &str = "***";

/// Parts of names of headers, members and parameters whose values are credentials, in lower case, without separators.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "session",
    "signature",
    "jwt",
];

/// The same, where nothing else is part of the name.
const WHOLE_NAMES: &[&str] = &["auth", "pwd", "pw", "pass", "sid", "sig", "key"];

/// Whether what is called `name` may be a credential.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    WHOLE_NAMES.contains(&plain.as_str()) || NAMES.iter().any(|part| plain.contains(part))
}

/// More bytes of a text are not looked at, and not told: no line is as long.
const LONGEST: usize = 1000;

/// `text`, or the first thousand bytes of it, with `***` for what may be a credential: in a URL what stands before the
/// host, behind a name that says so its value, and what is made like a token. Rather more than less.
#[must_use]
pub fn masked(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let mut shown = String::with_capacity(text.len());
    let mut position = 0;
    while let Some(hidden) = next_credential(text, position) {
        shown.push_str(&text[position..hidden.start]);
        shown.push_str(MASK);
        position = hidden.end;
    }
    shown + &text[position..]
}

/// The first credential at `from` or behind, which is a boundary of words.
fn next_credential(text: &str, from: usize) -> Option<Range<usize>> {
    let mut position = from;
    while position < text.len() {
        let word = word_at(text, position);
        if word.is_empty() {
            position += text[position..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let found = [user_info(text, &word), value_behind(text, &word), behind_scheme(text, &word), token(text, &word)];
        if let Some(found) = found.into_iter().flatten().find(|found| !found.is_empty()) {
            return Some(found);
        }
        position = word.end;
    }
    None
}

/// The name, number or token that begins at `start`.
fn word_at(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    start..start + rest.find(|c: char| !(c.is_alphanumeric() || "_-.+%~$!*".contains(c))).unwrap_or(rest.len())
}

/// Up to what ends a word of any kind.
fn unbroken_at(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    start
        ..start
            + rest.find(|c: char| c.is_whitespace() || c.is_control() || "\"'`<>|".contains(c)).unwrap_or(rest.len())
}

/// What stands before the host: `scheme://user:password@host`, or `user:password@host`. A password may hold what would
/// end the authority.
fn user_info(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let behind = &text[word.end..];
    let start = if behind.starts_with("://") { word.end + 3 } else { word.start };
    let unbroken = &text[unbroken_at(text, start)];
    let unbroken = &unbroken[..unbroken.find("://").unwrap_or(unbroken.len())];
    let is_url = start > word.start;
    let authority = &unbroken[..unbroken.find(['/', '?', '#']).unwrap_or(unbroken.len())];
    let Some(at) = unbroken.rfind('@') else {
        // The host may have been cut off: what stands in the place of a port and is none.
        let port = authority.split_once(':').filter(|(user, _)| is_url && !user.starts_with('['))?.1;
        let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        let is_list = port.contains(':') || port.ends_with([',', ')', '.', ';', ':']);
        return (!is_port && !is_list).then_some(start..start + authority.len());
    };
    let is_path = !authority.contains('@') && !authority.contains(':');
    let has_password = unbroken[..at].contains(':');
    ((is_url && !is_path) || (!is_url && has_password)).then_some(start..start + at)
}

/// The value of `word` where that names a credential: behind `=` or `:`, with or without quotes.
fn value_behind(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    if !is_credential(&text[word.clone()]) {
        return None;
    }
    let is_quote = |c: char| c == '"' || c == '\'' || c == '\\';
    let behind = text[word.end..].trim_start_matches(is_quote).trim_start();
    let value = behind.strip_prefix("=>").or_else(|| behind.strip_prefix(['=', ':']))?.trim_start();
    let quoted = value.trim_start_matches('\\');
    let start = text.len() - quoted.len();
    if let Some(quote) = quoted.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        let end = quoted[1..].find(quote).map_or(text.len(), |end| start + 1 + end);
        return Some(start + 1..end);
    }
    let start = text.len() - value.len();
    // `Authorization: Bearer x`
    let scheme = word_at(text, start);
    if let Some(behind) = behind_scheme(text, &scheme) {
        return Some(behind);
    }
    let end = value.find(|c: char| c.is_whitespace() || "\"',;&)]}".contains(c)).unwrap_or(value.len());
    Some(start..start + end)
}

/// What stands behind `Bearer` and the like.
fn behind_scheme(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let is_scheme = ["bearer", "basic", "digest"].iter().any(|scheme| text[word.clone()].eq_ignore_ascii_case(scheme));
    let rest = &text[word.end..];
    let start = text.len() - rest.trim_start_matches(' ').len();
    let value = unbroken_at(text, start);
    // A word of prose is shorter, or no such mixture.
    let is_token = value.len() >= 8
        && text[value.clone()].contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase() || "=+/_-.".contains(c));
    (is_scheme && start > word.end && is_token).then_some(value)
}

/// A word that is made like a token of a service that marks its own.
fn token(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    const MARKS: &[&str] = &[
        "eyJ",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "sk-",
        "sk_live_",
        "AKIA",
        "ASIA",
        "AIza",
        "hvs.",
    ];
    const SHORTEST: usize = 16;
    let written = &text[word.clone()];
    if written.starts_with("-----BEGIN") {
        return Some(word.start..text.len());
    }
    (word.len() >= SHORTEST && MARKS.iter().any(|mark| written.starts_with(mark))).then(|| word.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_masked_and_the_words_around_them_stay() {
        for (said, shown) in [
            ("queue is slow: 5000 messages wait", "queue is slow: 5000 messages wait"),
            ("cannot reach postgres://app:hunter2@db:5432/x", "cannot reach postgres://***@db:5432/x"),
            ("dial redis://:a/b@c@cache:6379/0 refused", "dial redis://***@cache:6379/0 refused"),
            ("GET https://user.svc/@me failed", "GET https://user.svc/@me failed"),
            ("GET https://h/x?access_token=abc&page=2", "GET https://h/x?access_token=***&page=2"),
            ("root:hunter2@tcp(db:3306)/orders", "***@tcp(db:3306)/orders"),
            ("mail to ops@example.com bounced", "mail to ops@example.com bounced"),
            ("login with password=hunter2; retry", "login with password=***; retry"),
            ("login with password = 'hunter 2' failed", "login with password = '***' failed"),
            (r#"{"api_key": "hunter2", "n": 1}"#, r#"{"api_key": "***", "n": 1}"#),
            (r#"{\"token\":\"hunter2\"}"#, r#"{\"token\":\"***"}"#),
            ("X-Api-Key: hunter2", "X-Api-Key: ***"),
            ("Authorization: Bearer abc.def.ghi was refused", "Authorization: Bearer *** was refused"),
            ("sent Bearer QWxhZGRpbjpvcGVu", "sent Bearer ***"),
            ("the basic plan is over", "the basic plan is over"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.e30.abc expired", "jwt *** expired"),
            ("the token has expired", "the token has expired"),
            ("two: secret=a secret=b", "two: secret=*** secret=***"),
            ("", ""),
        ] {
            assert_eq!(masked(said), shown, "{said}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(masked(&"é".repeat(10_000)).len(), LONGEST);
        let hidden = masked(&format!("{} amqp://u:hunter2{}", "x".repeat(900), "y".repeat(10_000)));
        assert!(!hidden.contains("hunter2"), "{hidden}");
    }

    #[test]
    fn names_of_credentials_are_known_however_they_are_written() {
        for name in ["Authorization", "set-cookie", "X-API-Key", "access_token", "/db/password", "clientSecret", "key"]
        {
            assert!(is_credential(name), "{name}");
        }
        for name in ["status", "content-type", "keyboard", "/queue/depth", "author", "passed"] {
            assert!(!is_credential(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_password_behind_its_name_or_in_a_url_is_shown(before in ".{0,12}", after in "[ ,;].{0,12}") {
            for written in [format!(" password=hunter2{after}"), format!(" amqp://u:hunter2@mq{after}")] {
                let said = format!("{before}{written}");
                prop_assert!(!masked(&said).contains("hunter2"), "{}", said);
            }
        }

        #[test]
        fn any_text_is_masked_in_bounds(said in r#"[a-z:=@/"' \\?&é]{0,30}"#) {
            prop_assert!(masked(&said).len() <= said.len() + 3 * said.len());
        }
    }
}
