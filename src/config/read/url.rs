//! URLs: expansions go into the user-info percent-encoded, captured values only behind the host.

use std::net::Ipv4Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{ParseError, Url};

use super::{Reader, overlooked};
use crate::base::secret::Secret;
use crate::base::value::{Text, TextPart};
use crate::config::mask::told;
use crate::config::quote::{alternatives, told_key};
use crate::config::tree::Node;
use crate::probe::net::{ZONE, has_zone};

/// RFC 3986, section 2.3: everything but the unreserved characters is encoded.
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stands for a captured value while the URL is checked.
const STAND_IN: &str = "x";

impl Reader<'_> {
    /// The URL in `text`, if it is one with one of these schemes.
    pub(super) fn url(&self, node: &Node, text: Text, schemes: &[&str], path: &str) -> Option<Text> {
        self.refuse_plain_password(&text, || node.mark.span(path));
        let error = |code, message: String, help: Option<String>| self.error(node.mark, path, code, message, help);
        if text.whole().is_some_and(|whole| is_plain(whole, schemes)) {
            return Some(text);
        }
        let Some(text) = encode_user_info(text) else {
            let message = "a captured value can stand only in the path and the query of a URL";
            let help = "write scheme, host and port out, or take them from the environment";
            error("misplaced-capture", message.into(), Some(help.into()));
            return None;
        };
        let whole = text.render(|_, _| Ok::<_, ()>(STAND_IN.to_owned())).unwrap_or_default();
        let expanded = text.is_expanded();
        let fix = || overlooked::in_value(&whole, expanded).unwrap_or_else(|| fix(&whole, schemes, expanded, path));
        let scheme = whole.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let source =
            || told(path, &text.written).map_or_else(|| "the expansion".to_owned(), |text| format!("`{text}`"));
        let (message, help) = match (Url::parse(&whole), scheme) {
            (Ok(url), _) if schemes.contains(&url.scheme()) => {
                if url.host_str().is_some_and(|host| host.contains('$')) {
                    ("a host cannot hold a `$`".to_owned(), "write a variable as `${NAME}`".to_owned())
                } else {
                    return Some(text);
                }
            }
            // A scheme of another kind says more than what follows from it.
            (_, Some(scheme)) if is_scheme(&scheme) && !schemes.contains(&scheme.as_str()) => {
                let known = alternatives(schemes.iter().copied());
                let message = if expanded {
                    format!("what {} stands for has a scheme other than {known}", source())
                } else {
                    format!("the scheme `{}` is not {known}", told_key(&scheme.replace('+', "-")).replace('-', "+"))
                };
                (message, fix())
            }
            (Ok(_) | Err(ParseError::RelativeUrlWithoutBase), _) => {
                let message = if expanded {
                    format!("what {} stands for is not a URL", source())
                } else {
                    format!("expected a URL that starts with {}", starts(schemes))
                };
                (message, fix())
            }
            (Err(_), _) if host_of(&whole).is_some_and(has_zone) => (ZONE.0.into(), ZONE.1.into()),
            (Err(cause), _) => refused(cause, &whole),
        };
        error("invalid-url", message, Some(help));
        None
    }
}

/// Whether `text` is a URL with one of these schemes, without doubt: of nearly all the host is an IPv4 address or a name
/// of letters, digits and hyphens, of which no part looks like a number or is encoded, and the rest needs no encoding.
/// Thousands of checks take thousands of URLs, and each is parsed where it is used.
fn is_plain(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let (host, rest) = rest.split_at(rest.bytes().position(|byte| !is_of_host(byte)).unwrap_or(rest.len()));
    let is_word = |label: &str| {
        let is_encoded = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
        label.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_encoded
    };
    let is_host = host.split('.').all(is_word) || host.parse::<Ipv4Addr>().is_ok();
    let rest = match rest.strip_prefix(':') {
        Some(rest) => {
            let (port, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if port.starts_with('+') || port.parse::<u16>().is_err() {
                return false;
            }
            rest
        }
        None => rest,
    };
    let is_rest = rest.is_empty() || (rest.starts_with('/') && rest.bytes().all(|byte| byte.is_ascii_graphic()));
    schemes.contains(&scheme) && is_host && is_rest
}

/// Whether `text` is a scheme by its characters (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// What stands in brackets.
fn host_of(whole: &str) -> Option<&str> {
    Some(whole.split_once('[')?.1.split_once(']')?.0)
}

fn starts(schemes: &[&str]) -> String {
    let starts: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
    alternatives(starts.iter().map(String::as_str))
}

/// What to write instead; a URL without a scheme is quoted if it cannot hold a secret.
fn fix(whole: &str, schemes: &[&str], expanded: bool, path: &str) -> String {
    let scheme = schemes.first().copied().unwrap_or("http");
    if whole.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("jdbc:")) {
        let pattern = pattern(scheme);
        return format!("leave out `jdbc:`, and put user and password in front of the host: `{pattern}`");
    }
    if is_keyword_form(whole) {
        return format!("write it as a URL: `{}`", pattern(scheme));
    }
    if whole.split_once("://").is_some_and(|(scheme, _)| scheme.contains("sentinel")) {
        return format!("write `{scheme}://host/…` with the host of one server: Sentinel is not asked for it");
    }
    let bare =
        told(path, whole).filter(|_| !(expanded || whole.contains("://") || whole.contains('@') || whole.is_empty()));
    match bare {
        None => format!("write `{scheme}://host/…`"),
        Some(bare) => format!("did you mean `{scheme}://{bare}`?"),
    }
}

/// A whole URL with this scheme, its password in a variable.
fn pattern(scheme: &str) -> String {
    let rest = match scheme {
        "postgres" => "user:${PASSWORD}@host:5432/database",
        "redis" | "rediss" => ":${PASSWORD}@host:6379/0",
        "amqp" | "amqps" => "user:${PASSWORD}@host:5672/vhost",
        _ => "host/path",
    };
    format!("{scheme}://{rest}")
}

/// Whether `text` is in the other form of libpq, `host=db user=probe`, or in that of .NET, `Host=db;Username=probe`.
fn is_keyword_form(text: &str) -> bool {
    let first = text.split(|c: char| c.is_whitespace() || c == ';').find(|word| !word.is_empty()).unwrap_or_default();
    let key = text.split('=').next().unwrap_or_default().trim();
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    text.contains('=')
        && !text.contains("://")
        && (is_key(key) || first.split_once('=').is_some_and(|(key, _)| is_key(key)))
}

/// What is wrong with a URL that has a scheme and is none all the same, and what to write.
fn refused(cause: ParseError, whole: &str) -> (String, String) {
    let rest = whole.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    // An `@` behind the authority: it ended too soon, at a character of the password.
    let is_cut = behind.split(['?', '#']).next().is_some_and(|path| path.contains('@'))
        || (host == authority && behind.contains('@'));
    let not = |help: &str| (format!("not a URL: {cause}"), help.to_owned());
    match cause {
        ParseError::EmptyHost if names_a_socket(behind) => (
            "a server is reached by TCP, not by a Unix socket".into(),
            "name a host: it stands behind `://`, or behind the `@`".into(),
        ),
        ParseError::EmptyHost if !is_cut => not("write the host behind `://`, or behind the `@`"),
        _ if is_cut => {
            not("in a user name or password, write `@`, `/`, `:`, `?` and `#` as `%40`, `%2F`, `%3A`, `%3F` and `%23`")
        }
        ParseError::InvalidPort if host.contains(',') => {
            ("the URL names several hosts".into(), "write a check for each of them".into())
        }
        ParseError::InvalidPort => not("a port is a number up to 65535"),
        _ => not("check the host"),
    }
}

/// Whether a parameter `host` is the path of a Unix socket, as libpq takes it.
fn names_a_socket(behind: &str) -> bool {
    let query = behind.split_once('?').map_or("", |(_, query)| query);
    let is_path = |value: &str| value.starts_with('/') || value.to_ascii_lowercase().starts_with("%2f");
    query.split('&').any(|parameter| parameter.strip_prefix("host=").is_some_and(is_path))
}

/// The parts of the URL that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UrlPosition {
    Scheme,
    Authority,
    Rest,
}

/// Encodes what expansions bring into the user-info; a URL that is one single expansion stands as it is. Nothing is
/// returned when a captured value stands before the path.
fn encode_user_info(text: Text) -> Option<Text> {
    let Text { parts, written } = text;
    if let [TextPart::Expanded(_)] = parts.as_slice() {
        return Some(Text { parts, written });
    }
    let in_user_info: Vec<bool> = (0..parts.len()).map(|index| at_sign_follows(&parts[index + 1..])).collect();
    let mut phase = UrlPosition::Scheme;
    let mut before = String::new();
    let mut encoded = Vec::with_capacity(parts.len());
    for (part, in_user_info) in parts.into_iter().zip(in_user_info) {
        let part = match part {
            TextPart::Capture { .. } if phase != UrlPosition::Rest => return None,
            TextPart::Expanded(secret) if phase == UrlPosition::Authority && in_user_info => {
                TextPart::Expanded(Secret::new(utf8_percent_encode(secret.expose(), USER_INFO).to_string()))
            }
            other => other,
        };
        match &part {
            TextPart::Plain(text) => before.push_str(text),
            TextPart::Expanded(secret) => before.push_str(secret.expose()),
            TextPart::Capture { .. } => {}
        }
        phase = phase_after(&before);
        encoded.push(part);
    }
    Some(Text { parts: encoded, written })
}

/// Whether the user-info goes on in these parts: an `@` comes before the authority ends.
fn at_sign_follows(parts: &[TextPart]) -> bool {
    for part in parts {
        if let TextPart::Plain(text) = part {
            let authority = text.find(['/', '?', '#']).map_or(text.as_str(), |end| &text[..end]);
            if authority.contains('@') {
                return true;
            }
            if authority.len() < text.len() {
                return false;
            }
        }
    }
    false
}

fn phase_after(before: &str) -> UrlPosition {
    match before.split_once("://") {
        None => UrlPosition::Scheme,
        Some((_, rest)) if rest.contains(['/', '?', '#']) => UrlPosition::Rest,
        Some(_) => UrlPosition::Authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["http", "https", "postgres"];

    #[test]
    fn a_url_that_is_not_looked_at_closer_is_one() {
        let hosts = ["a", "user.svc", "a-b.c1", "A.example.COM", "127.0.0.1", "255.255.255.255", "z9"];
        let rests = ["", "/", ":8080", ":65535/x?y=z#w", "/health?7", "/a%zz[]{}|\\^`<>\"'@", ":00080/"];
        for (scheme, host) in SCHEMES.iter().flat_map(|scheme| hosts.map(|host| (scheme, host))) {
            for rest in rests {
                let text = format!("{scheme}://{host}{rest}");
                assert!(is_plain(&text, SCHEMES), "{text}");
                let url = Url::parse(&text).unwrap();
                assert_eq!((url.scheme(), url.host_str().is_some()), (*scheme, true), "{text}");
            }
        }
    }

    #[test]
    fn every_other_is_looked_at_closer() {
        let schemes = ["ftp://a", "HTTP://a", "http:a", " http://a"];
        let names = ["", "a..b", "a.", "a_b", "é", "xn--a.b", "a.XN--b", "u@a", "[::1]", "${A}", "a\\b"];
        let numbers = ["1.2.3", "a.1", "0x7f.1", "256.1.1.1", "01.2.3.4"];
        let rests = ["a:", "a:+1", "a:65536", "a:8x", "a?b", "a/é", "a/ b", "a/\t"];
        let hosts = names.iter().chain(&numbers).chain(&rests).map(|rest| format!("http://{rest}"));
        for text in schemes.map(str::to_owned).into_iter().chain(hosts) {
            assert!(!is_plain(&text, SCHEMES), "{text}");
        }
    }
}
