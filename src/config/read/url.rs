//! URLs: expansions go into the user-info percent-encoded, captured values only behind the host.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{ParseError, Url};

use super::Reader;
use super::words::alternatives;
use crate::base::secret::Secret;
use crate::base::value::{Part, Text};
use crate::config::mask::shown;
use crate::config::tree::Node;
use crate::probe::net::{ZONE, has_zone};

/// RFC 3986, section 2.3: everything but the unreserved characters is encoded.
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stands for a captured value while the URL is checked.
const STAND_IN: &str = "x";

impl Reader<'_> {
    /// The URL in `text`, if it is one with one of these schemes.
    pub(super) fn url(&self, node: &Node, text: Text, schemes: &[&str], path: &str) -> Option<Text> {
        self.refuse_plain_password(&text, &node.mark.place(path));
        let error = |code, message: String, help: Option<String>| self.error(node.mark, path, code, message, help);
        let Some(text) = encode_user_info(text) else {
            let message = "a captured value can stand only in the path and the query of a URL";
            let help = "write scheme, host and port out, or take them from the environment";
            error("misplaced-capture", message.into(), Some(help.into()));
            return None;
        };
        let whole = text.render(|_, _| Ok::<_, ()>(STAND_IN.to_owned())).unwrap_or_default();
        let expanded = text.is_expanded();
        match Url::parse(&whole) {
            Ok(url) if schemes.contains(&url.scheme()) => return Some(text),
            Ok(url) => {
                let known = alternatives(schemes.iter().copied());
                let message = match expanded {
                    true => format!("what `{}` stands for has a scheme other than {known}", shown(&text.written)),
                    false if whole.contains("://") => format!("the scheme `{}` is not {known}", shown(url.scheme())),
                    false => format!("expected a URL that starts with {}", starts(schemes)),
                };
                error("invalid-url", message, Some(fix(&whole, schemes, expanded)));
            }
            Err(ParseError::RelativeUrlWithoutBase) if expanded => {
                let message = format!("what `{}` stands for is not a URL", shown(&text.written));
                error("invalid-url", message, Some(fix(&whole, schemes, expanded)));
            }
            Err(ParseError::RelativeUrlWithoutBase) => {
                let message = format!("expected a URL that starts with {}", starts(schemes));
                error("invalid-url", message, Some(fix(&whole, schemes, expanded)));
            }
            Err(_) if host_of(&whole).is_some_and(has_zone) => error("invalid-url", ZONE.0.into(), Some(ZONE.1.into())),
            Err(cause) => {
                let message = format!("not a URL: {cause}");
                error("invalid-url", message, Some(help_for(cause, whole.contains('@')).into()));
            }
        }
        None
    }
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
fn fix(whole: &str, schemes: &[&str], expanded: bool) -> String {
    let scheme = schemes.first().copied().unwrap_or("http");
    match expanded || whole.contains("://") || whole.contains('@') || whole.is_empty() {
        true => format!("write `{scheme}://host/…`"),
        false => format!("did you mean `{scheme}://{}`?", shown(whole)),
    }
}

fn help_for(cause: ParseError, has_user_info: bool) -> &'static str {
    match cause {
        _ if has_user_info => {
            "in a user name or password, write `@`, `/`, `:`, `?` and `#` as `%40`, `%2F`, `%3A`, `%3F` and `%23`"
        }
        ParseError::InvalidPort => "a port is a number up to 65535",
        ParseError::EmptyHost => "write the host behind `://`",
        _ => "check the host",
    }
}

/// The parts of the URL that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Scheme,
    Authority,
    Rest,
}

/// Encodes what expansions bring into the user-info; a URL that is one single expansion stands as it is. Nothing is
/// returned when a captured value stands before the path.
fn encode_user_info(text: Text) -> Option<Text> {
    let Text { parts, written } = text;
    if let [Part::Expanded(_)] = parts.as_slice() {
        return Some(Text { parts, written });
    }
    let in_user_info: Vec<bool> = (0..parts.len()).map(|index| at_sign_follows(&parts[index + 1..])).collect();
    let mut phase = Phase::Scheme;
    let mut before = String::new();
    let mut encoded = Vec::with_capacity(parts.len());
    for (part, in_user_info) in parts.into_iter().zip(in_user_info) {
        let part = match part {
            Part::Capture { .. } if phase != Phase::Rest => return None,
            Part::Expanded(secret) if phase == Phase::Authority && in_user_info => {
                Part::Expanded(Secret::new(utf8_percent_encode(secret.expose(), USER_INFO).to_string()))
            }
            other => other,
        };
        match &part {
            Part::Plain(text) => before.push_str(text),
            Part::Expanded(secret) => before.push_str(secret.expose()),
            Part::Capture { .. } => {}
        }
        phase = phase_after(&before);
        encoded.push(part);
    }
    Some(Text { parts: encoded, written })
}

/// Whether the user-info goes on in these parts: an `@` comes before the authority ends.
fn at_sign_follows(parts: &[Part]) -> bool {
    for part in parts {
        if let Part::Plain(text) = part {
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

fn phase_after(before: &str) -> Phase {
    match before.split_once("://") {
        None => Phase::Scheme,
        Some((_, rest)) if rest.contains(['/', '?', '#']) => Phase::Rest,
        Some(_) => Phase::Authority,
    }
}
