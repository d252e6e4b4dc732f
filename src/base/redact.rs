//! The target of a check as it may be shown: as written in the file, without user, password and query.

/// The URL or address `written`, without user, password, query and fragment. An expansion such as `${HOST}` or
/// `${file:/run/secrets/url}` stays as it is written and counts as one piece, whatever characters it holds; a default
/// inside it that looks like a URL is treated the same way.
///
/// Where a text is no proper URL, more is left out rather than less.
#[must_use]
pub fn target(written: &str) -> String {
    // Without these there is nothing to leave out.
    if !written.contains(['@', '?', '#']) && !written.contains("${") {
        return written.to_owned();
    }
    let pieces = pieces_of(written);
    let (scheme, rest) = split_scheme(&pieces);
    let is_web = matches!(text_of(scheme).as_str(), "" | "http://" | "https://");
    let rest = &rest[user_info_length(rest, is_web)..];
    let end = rest.iter().position(|piece| piece.is_any("?#")).unwrap_or(rest.len());
    text_of(scheme) + &text_of(&rest[..end])
}

/// One character, or one expansion.
enum RedactionPiece<'a> {
    Character(char),
    Expansion(&'a str),
}

impl RedactionPiece<'_> {
    fn is_any(&self, characters: &str) -> bool {
        matches!(self, Self::Character(character) if characters.contains(*character))
    }
}

fn pieces_of(written: &str) -> Vec<RedactionPiece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = written;
    while let Some(first) = rest.chars().next() {
        // `$${` is the way to write `${` without an expansion.
        let length = if rest.starts_with("$${") {
            pieces.extend("$${".chars().map(RedactionPiece::Character));
            3
        } else if rest.starts_with("${") {
            let length = expansion_length(rest);
            pieces.push(RedactionPiece::Expansion(&rest[..length]));
            length
        } else {
            pieces.push(RedactionPiece::Character(first));
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    pieces
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

/// The pieces up to and with `://`, where that comes before anything of a path or query; and the others.
fn split_scheme<'a, 'b>(pieces: &'a [RedactionPiece<'b>]) -> (&'a [RedactionPiece<'b>], &'a [RedactionPiece<'b>]) {
    let colon = pieces.iter().position(|piece| piece.is_any(":/?#@[")).filter(|colon| {
        let after = &pieces[*colon..];
        after.len() >= 3 && after[0].is_any(":") && after[1].is_any("/") && after[2].is_any("/")
    });
    pieces.split_at(colon.map_or(0, |colon| colon + 3))
}

/// How many pieces user and password take, their `@` included.
fn user_info_length(rest: &[RedactionPiece<'_>], is_web: bool) -> usize {
    let last_at = |pieces: &[RedactionPiece<'_>]| pieces.iter().rposition(|piece| piece.is_any("@"));
    let authority_end = rest.iter().position(|piece| piece.is_any("/\\?#")).unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    if let Some(at) = last_at(authority) {
        return at + 1;
    }
    // A password may hold a `/`, `?` or `#` that should have been encoded: then what looks like a port is none. Only
    // the path of a web address has an `@` of its own.
    let path_end = rest.iter().position(|piece| piece.is_any("?#")).unwrap_or(rest.len());
    let suspect = if has_impossible_port(authority) {
        rest
    } else if is_web {
        &[]
    } else {
        &rest[..path_end]
    };
    last_at(suspect).map_or(0, |at| at + 1)
}

fn has_impossible_port(authority: &[RedactionPiece<'_>]) -> bool {
    let after_host = authority.iter().rposition(|piece| piece.is_any("]")).unwrap_or(0);
    let Some(colon) = authority[after_host..].iter().position(|piece| piece.is_any(":")) else { return false };
    authority[after_host + colon + 1..].iter().any(|piece| match piece {
        RedactionPiece::Character(character) => !character.is_ascii_digit(),
        RedactionPiece::Expansion(_) => false,
    })
}

fn text_of(pieces: &[RedactionPiece<'_>]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            RedactionPiece::Character(character) => text.push(*character),
            RedactionPiece::Expansion(expansion) => text.push_str(&without_secret_default(expansion)),
        }
    }
    text
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
