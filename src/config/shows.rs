//! How much of a value may be shown, by the key that it stands under and by its form.

use super::expansion;
use super::quote::{keyword_password, passwords};
use super::vocabulary::{self, Form, is_plain_word};

/// Headers (and keys) whose value is a credential, in lower case.
const CREDENTIALS: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token", "password", "passwd"];

/// Whether the value of the key or header `name` is a credential.
pub fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential))
}

/// Whether a credential is written here, and not only the names of variables and files that hold it.
fn is_written_out(credential: &str) -> bool {
    let schemes = ["Bearer ", "Basic ", "Token "];
    let bare = schemes.iter().find_map(|scheme| credential.strip_prefix(scheme)).unwrap_or(credential);
    !bare.is_empty() && !expansion::is_only_expansions(bare)
}

/// Sections whose keys are the names of others, and say nothing of what they hold.
const FOREIGN_KEYS: [&str; 4] = ["headers", "json", "capture", "metadata"];

/// Whose the keys of a mapping are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Those at the top of the file.
    Top,
    /// Ours.
    Keys,
    /// Ours, of a hook: whoever knows its address may speak there. What stands under an unknown key at the top may be a
    /// hook too, whose list is misspelt.
    Hook,
    /// Names that others gave.
    Foreign,
    /// Words of a matcher, which stands under such a name.
    Words,
}

impl Naming {
    /// Whose the keys are of what stands under `key`.
    pub(super) fn below(self, key: &str) -> Self {
        match self {
            Self::Top | Self::Keys | Self::Hook if FOREIGN_KEYS.contains(&key) => Self::Foreign,
            Self::Top if key == "hooks" || !vocabulary::is_top_key(key) => Self::Hook,
            Self::Top | Self::Keys => Self::Keys,
            Self::Hook => Self::Hook,
            Self::Foreign => Self::Words,
            Self::Words if key == "length" => Self::Words,
            Self::Words => Self::Foreign,
        }
    }

    /// The key that says what its value is; of keys that others named, those that are no keys of ours.
    pub(super) fn telling(self, key: &str) -> Option<&str> {
        let is_taken = || vocabulary::forms(key).is_empty() || is_known_header(key);
        match self {
            Self::Top | Self::Keys => Some(key),
            Self::Hook => (!is_address(key)).then_some(key),
            Self::Words => NUMBER_WORDS.contains(&key).then_some(key),
            Self::Foreign => is_taken().then_some(key),
        }
    }
}

/// Whether an address stands under `key`, or under what it is a misspelling of. That of an image is no secret.
pub(super) fn is_address(key: &str) -> bool {
    key != "image" && vocabulary::forms(key).contains(&Form::Url)
}

/// The words of a matcher that take a number, or yes or no: no secrets.
const NUMBER_WORDS: [&str; 6] = ["above", "at_least", "below", "at_most", "exists", "length"];

/// The key under which what stands at `path` was found: that of the list for its items.
pub(super) fn key_of(path: &str) -> Option<&str> {
    let without_index =
        |path: &'_ str| Some(path.strip_suffix(']')?.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    let mut path = path;
    while let Some(length) = without_index(path).filter(|length| path[..*length].ends_with('[')) {
        path = &path[..length - 1];
    }
    let (around, key) = path.rsplit_once('.').unwrap_or(("", path));
    if key.is_empty() || key.contains(['[', ']', '"']) {
        return None;
    }
    let mut naming = Naming::Top;
    for part in around.split('.').filter(|part| !part.is_empty()) {
        let (name, index) = part.split_once('[').map_or((part, ""), |(name, index)| (name, index));
        naming = naming.below(name);
        // A key that is quoted, as in `json["/queue/depth"]`.
        if index.starts_with('"') {
            naming = naming.below(index);
        }
    }
    naming.telling(key)
}

/// How much of a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    All,
    /// A URL, or what may hold one.
    ButPasswords,
    Nothing,
}

/// How much may be shown of `text`, which stands under `key`.
pub(super) fn shows(key: Option<&str>, text: &str) -> Shows {
    let text = text.trim();
    if is_empty_word(text) || expansion::is_only_expansions(text) {
        return Shows::All;
    }
    let Some(key) = key else { return Shows::Nothing };
    if is_credential(key) {
        return if is_written_out(text) { Shows::Nothing } else { Shows::All };
    }
    if vocabulary::is_foreign_variable(text) {
        return Shows::All;
    }
    if is_harmless_header(key, text) {
        return Shows::All;
    }
    let forms = vocabulary::forms(key);
    if let Some(default) = expansion::only_default(text) {
        let fits = forms.iter().any(|form| form.fits(default) || (*form == Form::Url && is_url(default)));
        return if fits { Shows::ButPasswords } else { Shows::Nothing };
    }
    let has_passwords = || !passwords(text).is_empty() && keyword_password(text).is_none();
    match forms {
        forms if forms.contains(&Form::Url) && (is_url(text) || has_passwords()) => Shows::ButPasswords,
        forms if forms.contains(&Form::Public) => Shows::ButPasswords,
        forms if forms.iter().any(|form| form.fits(text)) => Shows::All,
        _ => Shows::Nothing,
    }
}

/// Whether `text` is in one word what begins with a scheme.
fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| is_plain_word(&scheme.replace('+', "-")) || scheme.starts_with("${"))
        && !expansion::blanked(text).contains(char::is_whitespace)
}

/// Words that mean nothing, or yes or no, whatever they stand under.
fn is_empty_word(text: &str) -> bool {
    ["", "~", "null", "true", "false", "|", ">", "|-", ">-", "|+", ">+", "---", "...", "<<", "-"].contains(&text)
}

/// Headers of which everybody knows what they hold.
fn is_harmless_header(key: &str, text: &str) -> bool {
    is_known_header(key) && is_plain_word(&text.replace('+', "-"))
}

fn is_known_header(key: &str) -> bool {
    let known = ["accept", "content-type", "host", "user-agent", "accept-language", "x-forwarded-proto"];
    known.iter().any(|header| key.eq_ignore_ascii_case(header))
}
