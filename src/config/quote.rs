//! Words of the file as a message may quote them: short, on one line, without passwords. What a word stands under is
//! looked at by [`mask`](super::mask).

use std::ops::Range;

use super::expansion;
use super::vocabulary::{self, is_plain_word};

/// What stands in place of a password.
const MASK: &str = "***";

/// Parameters in the query of a URL whose value is a credential, in lower case.
const PARAMETERS: [&str; 10] = [
    "password",
    "passwd",
    "sslpassword",
    "token",
    "access_token",
    "api_key",
    "apikey",
    "secret",
    "client_secret",
    "sig",
];

/// `a`, `b` or `c`, each in backticks.
pub fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

/// A word of the file as a message may quote it: short, on one line, without passwords.
pub fn shown(text: &str) -> String {
    short(&replace(text, &passwords(text)))
}

/// At most 60 characters of `text`, as a terminal shows them.
pub fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    let most = text.char_indices().nth(LONGEST + 1).map_or(text.len(), |(end, _)| end);
    let escaped: String = text[..most].chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect();
    match escaped.char_indices().nth(LONGEST) {
        None => escaped,
        Some((end, _)) => format!("{}…", &escaped[..end]),
    }
}

/// A key as a message may quote it: `***` for what looks like anything but a key.
pub fn told_key(key: &str) -> String {
    if is_key(key) { shown(key) } else { MASK.into() }
}

/// Whether a key may be shown; the spaces around it, which may be none, are.
pub fn is_key(text: &str) -> bool {
    text == "<<" || is_plain_word(text.trim_matches(|c: char| c.is_whitespace() || !is_plain(c)))
}

/// The path of a file as a message may quote it. Where a path is wanted somebody may have put what the file holds.
pub fn told_path(path: &str) -> String {
    if vocabulary::is_path(path) { shown(path) } else { MASK.into() }
}

/// Whether a terminal shows `character` as itself: no control character, nothing that turns the direction of writing,
/// nothing that is not seen.
pub fn is_plain(character: char) -> bool {
    crate::base::plain::is_plain(character)
}

/// `line` with `***` for each of the `secrets`.
pub fn replace(line: &str, secrets: &[Range<usize>]) -> String {
    let mut replaced = String::with_capacity(line.len());
    let mut position = 0;
    for secret in secrets {
        replaced.push_str(&line[position..secret.start]);
        replaced.push_str(MASK);
        position = secret.end;
    }
    replaced + &line[position..]
}

/// Where the byte at `offset` of a line stands once its `secrets` are replaced.
pub fn moved(offset: usize, secrets: &[Range<usize>]) -> usize {
    let mut removed = 0;
    let mut added = 0;
    for secret in secrets.iter().take_while(|secret| secret.start < offset) {
        removed += secret.end.min(offset) - secret.start;
        added += MASK.len();
    }
    offset - removed + added
}

/// Where in `text` passwords of URLs stand.
pub fn passwords(text: &str) -> Vec<Range<usize>> {
    if is_plain_address(text) {
        return Vec::new();
    }
    // Within an expansion no character has a meaning for the URL.
    let structure = expansion::blanked(text);
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut position = 0;
    while let Some(start) = structure[position..].find("://").map(|index| position + index + 3) {
        position = start;
        if let Some(password) = user_info_password(&structure, start).or_else(|| odd_user(&structure, start)) {
            position = password.end;
            found.push(password);
        }
        let query = query_passwords(&structure, position);
        position = query.last().map_or(position, |last| last.end);
        found.extend(query);
    }
    if !structure.contains("://") {
        match keyword_password(&structure) {
            Some(password) => found.push(password),
            None => found.extend(password_without_scheme(&structure)),
        }
    }
    found.retain(|range| !range.is_empty() && !expansion::is_only_expansions(&text[range.clone()]));
    for default in expansion::defaults(text) {
        let inside = passwords(&text[default.clone()]);
        found.extend(inside.into_iter().map(|range| range.start + default.start..range.end + default.start));
    }
    found.sort_by_key(|range| range.start);
    found.dedup_by(|later, earlier| later.start < earlier.end);
    found
}

/// Whether `text` is one URL of which every part is known to be none: `http://host:8080/path`, as nearly all are, with a
/// query that gives nothing a value.
fn is_plain_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, path) = rest.split_at(rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len()));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (host, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port && is_word(scheme) && is_word(host) && is_word(path) && is_word(query)
}

/// The password of the URL whose authority begins at `start`. It is taken to reach to the last `@` of the URL, since it
/// may hold an `@`, `/`, `?` or `#` in plain. Without any `@` (the file may be cut off in the middle) it is what stands
/// in the place of a port and is none. A port with an `@` behind it is the beginning of a password with a `/`, but for web
/// addresses, whose paths may have one (`/@user`).
fn user_info_password(structure: &str, start: usize) -> Option<Range<usize>> {
    let rest = &structure[start..];
    let rest = &rest[..rest.find("://").unwrap_or(rest.len())];
    let authority = &rest[..rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len())];
    let colon = authority.find(':').filter(|_| !authority.starts_with('['))?;
    // An expansion that may stand for a port is a row of zeros here.
    let is_port = |text: &str| {
        let is_short = text.len() <= 5 || text.bytes().all(|byte| byte == b'0');
        !text.is_empty() && is_short && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    // `a:26379,b:26379` names several hosts, each with its port.
    let are_ports = authority.split(',').all(|host| host.split_once(':').is_some_and(|(_, port)| is_port(port)));
    let scheme = &structure[..start.saturating_sub(3)];
    let is_web = scheme.ends_with("http") || scheme.ends_with("https");
    let at = if is_web { authority.find('@') } else { rest.find('@') };
    let is_port = at.is_none() && are_ports;
    let end = rest.rfind('@').unwrap_or(authority.len());
    (colon < end && !is_port).then_some(start + colon + 1..start + end)
}

/// The user without a password of the URL whose authority begins at `start`, where it is none that a person has: a
/// token, or a password that lacks its colon.
fn odd_user(structure: &str, start: usize) -> Option<Range<usize>> {
    let rest = &structure[start..];
    let authority = &rest[..rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len())];
    let user = authority.rsplit_once('@')?.0;
    (!user.is_empty() && !is_plain_word(user)).then_some(start..start + user.len())
}

/// The password in `user:password@host`, which is a URL whose scheme was forgotten.
fn password_without_scheme(structure: &str) -> Option<Range<usize>> {
    let (colon, at) = (structure.find(':')?, structure.rfind('@')?);
    let is_one_word = !structure.contains(char::is_whitespace);
    (is_one_word && colon < at).then_some(colon + 1..at)
}

/// The password in `host=db password=hunter2 user=probe`, with all that follows it: where a value in quotes ends, each
/// library has its own rule.
pub fn keyword_password(text: &str) -> Option<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let value = |name: &str| {
        lower.match_indices(name).find_map(|(at, name)| {
            let rest = text[at + name.len()..].trim_start().strip_prefix('=')?;
            Some(text.len() - rest.len())
        })
    };
    let start = ["password", "passwd", "pwd"].into_iter().filter_map(value).min()?;
    (start < text.len()).then_some(start..text.len())
}

/// The values of the credentials in the query of the URL around `start`.
fn query_passwords(structure: &str, start: usize) -> Vec<Range<usize>> {
    let Some(question) = structure[start..].find('?').map(|index| start + index) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut position = question + 1;
    for parameter in structure[question + 1..].split('&') {
        let is_secret = |name: &str| PARAMETERS.iter().any(|parameter| name.eq_ignore_ascii_case(parameter));
        let is_plain = |value: &str| {
            let written = value.split(['#', ' ']).next().unwrap_or(value);
            written.split(',').all(|word| word.is_empty() || is_plain_word(word))
        };
        let value = parameter.find('=').filter(|equals| {
            let (name, value) = (&parameter[..*equals], &parameter[*equals + 1..]);
            is_secret(name) || !(value.is_empty() || is_plain(value) || value.starts_with('/'))
        });
        if let Some(equals) = value {
            // A quote, a comma or a brace may be part of a credential as of any other value.
            let end = parameter[equals..].find(['#', ' ']).map_or(parameter.len(), |end| equals + end);
            found.push(position + equals + 1..position + end);
        }
        position += parameter.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_masked() {
        let cases = [
            ("postgres://user:hunter2@db:5432/orders", "postgres://user:***@db:5432/orders"),
            ("redis://:hunter2@cache", "redis://:***@cache"),
            ("amqp://user:hun@ter/2@mq", "amqp://user:***@mq"),
            ("http://user:hun/ter2@h/x", "http://user:***@h/x"),
            ("a://u:p@h,b://u:q@h", "a://u:***@h,b://u:***@h"),
            ("postgres://db/x?user=a&password=hunter2&b=c", "postgres://db/x?user=a&password=***&b=c"),
            ("a://h/x?token=hun\"te'r,2}&b=c#d", "a://h/x?token=***&b=c#d"),
            ("a://h/x?fields=id,name&page=2", "a://h/x?fields=id,name&page=2"),
            ("a://u:hun\"ter'2", "a://u:***"),
            ("postgres://u:${PW}@db", "postgres://u:${PW}@db"),
            ("postgres://u:${file:/run/a@b}@db", "postgres://u:${file:/run/a@b}@db"),
            ("postgres://u:a${PW}@db", "postgres://u:***@db"),
            ("postgres://u:${PW:-hunter2}@db", "postgres://u:***@db"),
            ("${DATABASE_URL:-postgres://u:hunter2@db}", "${DATABASE_URL:-postgres://u:***@db}"),
            ("http://host:${PORT:-80}/x", "http://host:${PORT:-80}/x"),
            ("http://u:hunter", "http://u:***"),
            ("http://user@host/", "http://user@host/"),
            ("http://host:8080/a@b", "http://host:8080/a@b"),
            ("redis+sentinel://a:26379,b:26379/main", "redis+sentinel://a:26379,b:26379/main"),
            ("redis+sentinel://a:26379,b:hunter2", "redis+sentinel://a:***"),
            ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
            ("redis://:/9jhunter2q@h:6379", "redis://:***@h:6379"),
            ("redis://:12/9jhunter2q@h:6379", "redis://:***@h:6379"),
            ("postgres://u:/hunter2@h/d", "postgres://u:***@h/d"),
            ("postgres://u:8/hunter2@h/d", "postgres://u:***@h/d"),
            ("redis://u:12345678", "redis://u:***"),
            ("http://host:/x", "http://host:/x"),
            ("user:hunter2@db:5432/orders", "user:***@db:5432/orders"),
            ("no url: a@b", "no url: a@b"),
            ("host=db password=hunter2 user=x", "host=db password=***"),
            ("Host=db;Password = 'hun ter2'", "Host=db;Password =***"),
            ("the password is in the vault", "the password is in the vault"),
        ];
        for (text, masked) in cases {
            assert_eq!(replace(text, &passwords(text)), masked);
        }
    }

    #[test]
    fn of_an_address_without_any_of_it_nothing_is_looked_for() {
        for text in ["http://h", "https://a.b-c_d:8443/x/y.z", "redis://cache:6379/0"] {
            assert!(is_plain_address(text), "{text}");
        }
        for text in
            ["http://u:hunter", "http://h:123456/", "a://b://c:hunter2", "http://u@h", "http://h/?token=x", "h:1"]
        {
            assert!(!is_plain_address(text), "{text}");
        }
    }

    #[test]
    fn a_quoted_word_is_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[31mb\u{202e}"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(shown(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }

    #[test]
    fn a_path_is_quoted_where_it_is_one() {
        assert_eq!((told_path("/run/x"), told_path("-----BEGIN")), ("/run/x".into(), "***".into()));
    }

    #[test]
    fn columns_follow_what_is_masked_before_them() {
        let line = "url: a://u:hunter2@h, timeot: 1s";
        let secrets = passwords(line);
        let moved_to = moved(line.find("timeot").unwrap(), &secrets);
        assert!(replace(line, &secrets)[moved_to..].starts_with("timeot"));
    }
}
