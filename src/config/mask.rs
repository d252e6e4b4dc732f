//! Keeps passwords out of what is shown of the file: in its lines and in the words that a message quotes.
//!
//! A password is known by its place (the user-info and the query of a URL, the value of a header or key for
//! credentials), never by comparing texts with secret values.

use std::collections::BTreeSet;
use std::ops::Range;

use super::expansion;
use super::tree::{Content, Node};

/// What stands in place of a password.
const MASK: &str = "***";

/// Headers (and keys) whose value is a credential, in lower case.
const CREDENTIALS: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token", "password", "passwd"];

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

/// Whether the value of the key or header `name` is a credential.
pub fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential))
}

/// Whether `key` of the section `section` holds a token; elsewhere it may be what a workflow calls what it captures.
fn is_token(section: &str, key: &str) -> bool {
    key == "token" && matches!(section, "server" | "heartbeat")
}

/// Whether a credential is written here, and not only the names of variables and files that hold it.
fn is_written_out(credential: &str) -> bool {
    let schemes = ["Bearer ", "Basic ", "Token "];
    let bare = schemes.iter().find_map(|scheme| credential.strip_prefix(scheme)).unwrap_or(credential);
    !bare.is_empty() && !expansion::is_only_expansions(bare)
}

/// A word of the file as a message may quote it: short, on one line, without passwords.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let masked = replace(text, &passwords(text));
    let escaped: String = masked.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect();
    match escaped.char_indices().nth(LONGEST) {
        None => escaped,
        Some((end, _)) => format!("{}…", &escaped[..end]),
    }
}

/// Whether a terminal shows `character` as itself: no control character, nothing that turns the direction of writing.
pub fn is_plain(character: char) -> bool {
    !(character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Where on a line (in bytes) passwords stand, by the scalars of the document that reach onto it.
pub fn secrets_of_line(line: &str, scalars: &[ScalarOnLine]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut position = 0;
    if scalars.is_empty() {
        // There is no tree of a file that is no YAML: then a credential is known by the word before it.
        if let Some(start) = credential_value(line) {
            secrets = within(line, 0..start);
            secrets.push(start..line.len());
            return secrets;
        }
    }
    for scalar in scalars {
        let from = byte_of_column(line, scalar.from).max(position);
        let to = byte_of_column(line, scalar.to).max(from);
        secrets.extend(within(line, position..from));
        match scalar.secret {
            true => secrets.push(from..to),
            false => secrets.extend(within(line, from..to)),
        }
        position = to;
    }
    secrets.extend(within(line, position..line.len()));
    secrets.retain(|range| !range.is_empty());
    secrets
}

/// Where on a line the value of a credential begins: `Authorization: Bearer …`.
fn credential_value(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let value_of = |word: &&str| {
        let behind = lower.find(*word)? + word.len();
        let colon = lower[behind..].find(|c: char| c != '"' && c != '\'' && c != ' ')? + behind;
        lower[colon..].starts_with(':').then_some(colon + 1)
    };
    let value = CREDENTIALS.iter().chain([&"token"]).filter_map(value_of).min()?;
    let start = value + line[value..].find(|c: char| c != ' ')?;
    is_written_out(line[start..].trim_matches(['"', '\'', ' '])).then_some(start)
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

/// The part of a scalar that stands on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalarOnLine {
    line: u32,
    from: u32,
    to: u32,
    /// Not to be shown at all: a credential, or a part of a URL with a password that is broken over lines.
    secret: bool,
}

/// The parts of all scalars that stand on one of `lines`, in the order of the file.
pub fn scalars_on(lines: &BTreeSet<u32>, root: Option<&Node>) -> Vec<ScalarOnLine> {
    let mut found = Vec::new();
    let mut left: Vec<(&Node, bool, &str)> = root.map(|node| (node, false, "")).into_iter().collect();
    while let Some((node, credential, section)) = left.pop() {
        match &node.content {
            Content::List(items) => left.extend(items.iter().map(|item| (&**item, credential, section))),
            Content::Map(entries) => {
                for entry in entries {
                    left.push((&entry.value, is_credential(&entry.key) || is_token(section, &entry.key), &entry.key));
                    let width = entry.key_mark.width;
                    let key = ScalarOnLine {
                        line: entry.key_mark.line,
                        from: entry.key_mark.column,
                        to: entry.key_mark.column + width,
                        secret: false,
                    };
                    found.push(key);
                }
            }
            Content::Scalar(scalar) => {
                let (last_line, last_column) = scalar.end;
                let broken = last_line > node.mark.line;
                // What an expansion brings in is not shown anyway: its name may be.
                let secret =
                    (credential && is_written_out(&scalar.text)) || (broken && !passwords(&scalar.text).is_empty());
                for line in lines.range(node.mark.line..=last_line) {
                    let from = if *line == node.mark.line { node.mark.column } else { 1 };
                    let to = if *line == last_line { last_column } else { u32::MAX };
                    found.push(ScalarOnLine { line: *line, from, to, secret });
                }
            }
        }
    }
    found.retain(|scalar| lines.contains(&scalar.line));
    found.sort_by_key(|scalar| (scalar.line, scalar.from, scalar.to));
    found.dedup();
    found
}

/// Those of `scalars` (sorted) that stand on `line`.
pub fn on_line(scalars: &[ScalarOnLine], line: u32) -> &[ScalarOnLine] {
    let from = scalars.partition_point(|scalar| scalar.line < line);
    let to = scalars.partition_point(|scalar| scalar.line <= line);
    &scalars[from..to]
}

fn within(line: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let offset = range.start;
    passwords(&line[range]).into_iter().map(|found| found.start + offset..found.end + offset).collect()
}

/// Where in `text` passwords of URLs stand.
pub fn passwords(text: &str) -> Vec<Range<usize>> {
    // Within an expansion no character has a meaning for the URL.
    let structure = expansion::blanked(text);
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut position = 0;
    while let Some(start) = structure[position..].find("://").map(|index| position + index + 3) {
        position = start;
        if let Some(password) = user_info_password(&structure, start) {
            position = password.end;
            found.push(password);
        }
        let query = query_passwords(&structure, position);
        position = query.last().map_or(position, |last| last.end);
        found.extend(query);
    }
    if !structure.contains("://") {
        found.extend(password_without_scheme(&structure));
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

/// The password of the URL whose authority begins at `start`. It is taken to reach to the last `@` of the URL, since it
/// may hold an `@`, `/`, `?` or `#` in plain. Without any `@` (the file may be cut off in the middle) it is what stands
/// in the place of a port and is none.
fn user_info_password(structure: &str, start: usize) -> Option<Range<usize>> {
    let rest = &structure[start..];
    let rest = &rest[..rest.find("://").unwrap_or(rest.len())];
    let authority = &rest[..rest.find(['/', '?', '#', '"', '\'', ' ']).unwrap_or(rest.len())];
    let colon = authority.find(':').filter(|_| !authority.starts_with('['))?;
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // `a:26379,b:26379` names several hosts, each with its port.
    let are_ports = authority.split(',').all(|host| host.split_once(':').is_some_and(|(_, port)| is_port(port)));
    let is_port = !authority.contains('@') && are_ports;
    let end = rest.rfind('@').unwrap_or(authority.len());
    (colon < end && !is_port).then_some(start + colon + 1..start + end)
}

/// The password in `user:password@host`, which is a URL whose scheme was forgotten.
fn password_without_scheme(structure: &str) -> Option<Range<usize>> {
    let (colon, at) = (structure.find(':')?, structure.rfind('@')?);
    let is_one_word = !structure.contains(char::is_whitespace);
    (is_one_word && colon < at).then_some(colon + 1..at)
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
        let value = parameter.find('=').filter(|equals| is_secret(&parameter[..*equals]));
        if let Some(equals) = value {
            let end = parameter.find(['#', '"', '\'', ' ', ',', '}']).filter(|end| *end > equals);
            found.push(position + equals + 1..position + end.unwrap_or(parameter.len()));
        }
        position += parameter.len() + 1;
    }
    found
}

/// The byte at which the character in `column` (counted from 1) starts.
pub fn byte_of_column(line: &str, column: u32) -> usize {
    let index = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    line.char_indices().nth(index).map_or(line.len(), |(offset, _)| offset)
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
            ("\"postgres://u:p@db/x?password=hunter2\" }", "\"postgres://u:***@db/x?password=***\" }"),
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
            ("user:hunter2@db:5432/orders", "user:***@db:5432/orders"),
            ("no url: a@b", "no url: a@b"),
        ];
        for (text, masked) in cases {
            assert_eq!(replace(text, &passwords(text)), masked);
        }
    }

    #[test]
    fn a_quoted_word_is_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[31mb\u{202e}"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(shown(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }

    #[test]
    fn without_a_tree_a_credential_is_known_by_the_word_before_it() {
        let cases = [
            ("headers: { Authorization: \"Bearer hunter2\": x }", "headers: { Authorization: ***"),
            ("\"x-api-key\": hunter2", "\"x-api-key\": ***"),
            ("url: a://u:hunter2@h, cookie: hunter2", "url: a://u:***@h, cookie: ***"),
            ("Authorization: Bearer ${TOKEN}", "Authorization: Bearer ${TOKEN}"),
            ("authorization is described below", "authorization is described below"),
        ];
        for (line, masked) in cases {
            assert_eq!(replace(line, &secrets_of_line(line, &[])), masked);
        }
    }

    #[test]
    fn columns_follow_what_is_masked_before_them() {
        let line = "url: a://u:hunter2@h, timeot: 1s";
        let secrets = passwords(line);
        let moved_to = moved(line.find("timeot").unwrap(), &secrets);
        assert!(replace(line, &secrets)[moved_to..].starts_with("timeot"));
    }
}
