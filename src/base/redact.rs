//! The target of a check as it may be shown: as written in the file, without user, password and query.

use std::borrow::Cow;
use std::ops::Range;

/// The URL or address `written`, without user, password, query and fragment. An expansion such as `${HOST}` or
/// `${file:/run/secrets/url}` stays as it is written and counts as one piece, whatever characters it holds; a default
/// inside it that looks like a URL is treated the same way.
///
/// Where a text is no proper URL, more is left out rather than less.
#[must_use]
pub fn target(written: &str) -> String {
    // Without these there is nothing to leave out.
    if !written.bytes().any(|byte| matches!(byte, b'@' | b'?' | b'#' | b'$')) {
        return written.to_owned();
    }
    let expansions = expansions_of(written);
    let structure = blanked(written, &expansions);
    let scheme = scheme_length(&structure);
    let is_web = matches!(&written[..scheme], "" | "http://" | "https://");
    let begin = scheme + user_info_length(&structure[scheme..], is_web);
    let end = structure[begin..].find(['?', '#']).map_or(written.len(), |end| begin + end);
    let mut shown = String::with_capacity(scheme + end - begin);
    show(&mut shown, written, 0..scheme, &expansions);
    show(&mut shown, written, begin..end, &expansions);
    shown
}

/// Where the expansions of the text stand.
fn expansions_of(written: &str) -> Vec<Range<usize>> {
    let (mut found, mut position) = (Vec::new(), 0);
    while let Some(start) = written[position..].find("${").map(|start| position + start) {
        // `$${` is the way to write `${` without an expansion.
        let is_escaped = written[position..start].ends_with('$');
        let length = if is_escaped { "${".len() } else { expansion_length(&written[start..]) };
        position = start + length;
        if !is_escaped {
            found.push(start..position);
        }
    }
    found
}

/// The text with a digit, which has no meaning for an address, in place of each byte of its expansions.
fn blanked<'w>(written: &'w str, expansions: &[Range<usize>]) -> Cow<'w, str> {
    if expansions.is_empty() {
        return written.into();
    }
    let (mut blanked, mut position) = (String::with_capacity(written.len()), 0);
    for expansion in expansions {
        blanked.push_str(&written[position..expansion.start]);
        blanked.extend(std::iter::repeat_n('0', expansion.len()));
        position = expansion.end;
    }
    blanked.push_str(&written[position..]);
    blanked.into()
}

/// How long the expansion is at whose `${` the text starts, an expansion in its default included.
fn expansion_length(text: &str) -> usize {
    let mut depth = 0usize;
    for (index, character) in text.char_indices() {
        match character {
            '{' if text[..index].ends_with('$') => depth += 1,
            '}' if depth == 1 => return index + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The length up to and with `://`, where that comes before anything of a path or query.
fn scheme_length(structure: &str) -> usize {
    let colon = structure.find([':', '/', '?', '#', '@', '[']);
    colon.filter(|colon| structure[*colon..].starts_with("://")).map_or(0, |colon| colon + "://".len())
}

/// How long user and password are, their `@` included.
fn user_info_length(rest: &str, is_web: bool) -> usize {
    let Some(last_at) = rest.rfind('@') else { return 0 };
    let authority = &rest[..rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len())];
    if let Some(at) = authority.rfind('@') {
        return at + 1;
    }
    // A password may hold a `/`, `?` or `#` that should have been encoded: then what looks like a port is none. Only
    // the path of a web address has an `@` of its own.
    if has_impossible_port(authority) {
        last_at + 1
    } else if is_web {
        0
    } else {
        let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
        rest[..path_end].rfind('@').map_or(0, |at| at + 1)
    }
}

fn has_impossible_port(authority: &str) -> bool {
    let after_host = &authority[authority.rfind(']').unwrap_or(0)..];
    after_host.split_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Adds what stands at `range`, which begins and ends between expansions, with what may be shown of these.
fn show(text: &mut String, written: &str, range: Range<usize>, expansions: &[Range<usize>]) {
    let mut position = range.start;
    for expansion in expansions.iter().filter(|it| range.start <= it.start && it.end <= range.end) {
        text.push_str(&written[position..expansion.start]);
        text.push_str(&without_secret_default(&written[expansion.clone()]));
        position = expansion.end;
    }
    text.push_str(&written[position..range.end]);
}

/// The expansion with its default reduced to what may be shown; without it where an `@` in it cannot be explained.
fn without_secret_default(expansion: &str) -> String {
    let Some((name, default)) = expansion.split_once(":-") else { return expansion.to_owned() };
    let default = default.strip_suffix('}').unwrap_or(default);
    if default.contains("://") {
        return format!("{name}:-{}}}", target(default));
    }
    if default.contains('@') {
        return format!("{name}}}");
    }
    let end = default.find(['?', '#']).unwrap_or(default.len());
    format!("{name}:-{}}}", &default[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(&str, &str)]) {
        for (written, shown) in cases {
            assert_eq!(target(written), *shown, "{written}");
        }
    }

    #[test]
    fn a_target_is_shown_without_user_password_and_query() {
        check(&[
            ("http://user.svc:8080/health", "http://user.svc:8080/health"),
            ("http://user.svc", "http://user.svc"),
            ("https://u:p@h/health?token=x#top", "https://h/health"),
            ("https://u@h", "https://h"),
            ("http://h/a@b/c", "http://h/a@b/c"),
            ("http://h?q=a@b", "http://h"),
            ("http://h#a@b", "http://h"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://u:p@[::1]:8080/x", "http://[::1]:8080/x"),
            ("postgres://u:p@db:5432/orders?sslmode=verify-full", "postgres://db:5432/orders"),
            ("redis://:secret@cache:6380/0", "redis://cache:6380/0"),
            ("amqps://user:secret@mq:5671/%2Fvhost", "amqps://mq:5671/%2Fvhost"),
            ("postgres:///orders?host=/run/postgresql", "postgres:///orders"),
            ("host:5000", "host:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("", ""),
        ]);
    }

    #[test]
    fn a_password_that_should_have_been_encoded_is_not_shown_either() {
        check(&[
            ("http://u:p@ss@h/x", "http://h/x"),
            ("http://u:pa/ss@h/x", "http://h/x"),
            ("http://u:pa?ss@h/x", "http://h/x"),
            ("http://u:pa#ss@h/x?y", "http://h/x"),
            ("http://u:pa\\ss@h/x", "http://h/x"),
            ("redis://:12/34@cache/0", "redis://cache/0"),
            ("postgres://u:1/2@db/x", "postgres://db/x"),
            ("redis://:a#b@cache/0", "redis://cache/0"),
        ]);
    }

    #[test]
    fn an_expansion_is_one_piece() {
        check(&[
            ("${DATABASE_URL}", "${DATABASE_URL}"),
            ("${file:/run/secrets/url}", "${file:/run/secrets/url}"),
            ("postgres://app:${file:/run/secrets/pw}@db/orders", "postgres://db/orders"),
            ("postgres://${USER}:${PASSWORD}@${HOST}:${PORT}/${NAME}?x=${Y}", "postgres://${HOST}:${PORT}/${NAME}"),
            ("http://${file:/etc/a@b?c}/x", "http://${file:/etc/a@b?c}/x"),
            ("${SCHEME}://u:p@h/x", "${SCHEME}://h/x"),
            ("${BASE_URL}/health?token=x", "${BASE_URL}/health"),
            ("http://h/orders/${steps.order.id}?key=${steps.login.token}", "http://h/orders/${steps.order.id}"),
            ("http://u:$${x}@h/$${y}", "http://h/$${y}"),
            ("http://u:$${a/b}@h/x", "http://h/x"),
            ("http://u:$${${PW:-a@b}@h/$$${y?z}?q", "http://h/$$${y"),
            ("http://${ü}é@${HÖST}/x?y", "http://${HÖST}/x"),
            ("${HOST}:5000", "${HOST}:5000"),
        ]);
    }

    #[test]
    fn a_default_shows_no_secret() {
        check(&[
            ("http://${HOST:-localhost}:8080/x", "http://${HOST:-localhost}:8080/x"),
            ("${URL:-http://u:p@h/x?token=y}", "${URL:-http://h/x}"),
            ("${URL:-http://${HOST}/x?token=y}", "${URL:-http://${HOST}/x}"),
            ("http://h/${PATH:-x?token=y}", "http://h/${PATH:-x}"),
            ("http://${AUTHORITY:-u:p@h}/x", "http://${AUTHORITY}/x"),
            ("redis://:${PW:-secret}@cache", "redis://cache"),
        ]);
    }

    #[test]
    fn an_expansion_without_an_end_takes_the_rest() {
        check(&[("http://h/${x?y", "http://h/${x?y"), ("${", "${")]);
    }
}
