//! Secrets that were sent to a server, in what the server says: it may repeat them, in whatever form.
//!
//! What a server says is shown, or not, by what it holds and not by where it stands: it can repeat a secret anywhere. So
//! what was sent is looked for in what came, both brought to one form first, in which percent-encoding, escapes and case
//! are gone, and in base64 and hexadecimal too. A part of a secret is found as well as all of it (a server may cut what it
//! repeats, or join it to something in base64), and hidden with the word that it stands in.
//!
//! What an expansion brings in is not always a credential: a host, an environment, the template of a body. All of it is
//! hidden, too; but of its ordinary words none by itself, since an app says `service` without having been sent
//! `orders-service`. What a workflow captures is less of a secret yet: mostly it is an id or a state.

mod collect;
mod normal;
mod ordinary;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use self::normal::{NormalByte, normal_bytes, normal_form};
use self::ordinary::{LONGEST_WORD, is_ordinary, is_small, unusual};
use super::credentials::{MASK, is_credential};
use super::secret::Secret;

/// Secrets that a server may repeat.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Arc<[SentSecret]>,
}

/// These; none, as most checks have, take no room.
fn shared<T>(items: Vec<T>) -> Arc<[T]> {
    if items.is_empty() { Arc::default() } else { items.into() }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({})", self.secrets.len())
    }
}

/// A secret that is sent.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SentSecret {
    text: Secret,
    /// Something says that it is a credential, so that no part of it is an ordinary word.
    is_credential: bool,
    /// It is hidden where it stands by itself, and nothing beside it.
    is_word: bool,
}

impl SentSecret {
    fn sent(text: Secret, is_credential: bool) -> Self {
        Self { text, is_credential, is_word: false }
    }

    /// A value that was captured. A short one is ordinary or not whatever its name.
    fn captured(name: &str, text: &str) -> Self {
        let is_word = is_ordinary(text) && (text.len() <= LONGEST_WORD || !is_credential(name));
        let is_credential = !is_word && !is_short(text) && is_credential(name);
        Self { text: Secret::new(text), is_credential, is_word }
    }

    /// Of a value that is no credential, so few characters or such a word are nobody's secret, and everybody's words.
    fn is_hidden(&self) -> bool {
        if self.is_word && is_small(self.text.expose()) {
            return false;
        }
        let text = self.text.expose().trim();
        let is_flag = || ["true", "false", "yes", "off", "null", "none"].contains(&text.to_ascii_lowercase().as_str());
        !text.is_empty() && (self.is_credential || !(is_short(text) || is_flag()))
    }
}

/// Whether a text is so short that it is a word of many.
fn is_short(text: &str) -> bool {
    const SHORTEST: usize = 3;
    text.trim().chars().count() < SHORTEST
}

/// A form in which a server may repeat a secret.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Base64,
    Hexadecimal,
}

impl Form {
    const ALL: [Self; 3] = [Self::Plain, Self::Base64, Self::Hexadecimal];

    /// So many bytes of it in a row are no chance: six characters of the secret, or of what it is a part of.
    const fn telling(self) -> usize {
        match self {
            Self::Plain => 6,
            Self::Base64 => 8,
            Self::Hexadecimal => 12,
        }
    }
}

/// Of a text no more bytes are looked at, and shown.
const LONGEST: usize = 1000;

/// Secrets are looked for in pieces of so many bytes, which overlap by more than what is telling in any form.
const PIECE: usize = 4 << 10;
const OVERLAP: usize = 32;

impl Redactor {
    /// These credentials.
    #[must_use]
    pub fn of<'a>(credentials: impl IntoIterator<Item = &'a str>) -> Self {
        let sent = |text: &str| SentSecret::sent(Secret::new(text), true);
        Self::hiding(credentials.into_iter().map(sent))
    }

    /// These, each once.
    fn hiding(secrets: impl IntoIterator<Item = SentSecret>) -> Self {
        let mut known = HashSet::new();
        let secrets = secrets.into_iter().filter(|secret| secret.is_hidden() && known.insert(secret.clone()));
        Self { secrets: shared(secrets.collect()) }
    }

    /// These secrets and the values in `more`, each behind its name.
    #[must_use]
    pub fn and<'a>(&self, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let sent = |(name, text)| SentSecret::sent(Secret::new(text), is_credential(name));
        self.and_all(&Self::hiding(more.into_iter().map(sent)))
    }

    /// These secrets and the values that a workflow has captured, each behind its name. Of those an ordinary word is hidden
    /// only where it stands by itself, and flags and numbers of a few digits are not, whatever their names.
    #[must_use]
    pub fn and_captured<'a>(&self, captured: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.and_all(&Self::hiding(captured.into_iter().map(|(name, text)| SentSecret::captured(name, text))))
    }

    fn and_all(&self, more: &Self) -> Self {
        if more.is_empty() {
            return self.clone();
        }
        let secrets = self.secrets.iter().chain(more.secrets.iter()).cloned();
        Self { secrets: secrets.collect() }
    }

    /// What it costs at most to redact a text, in units of [`Pattern::cost`](super::pattern::Pattern::cost).
    #[must_use]
    pub fn cost(&self) -> u64 {
        /// One that is short takes as long as so many bytes.
        const LEAST: usize = 16;
        self.secrets.iter().map(|secret| (secret.text.expose().len() + LEAST) as u64).sum()
    }

    /// Whether there is no secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// `text`, or the first thousand bytes of it, with `***` for each word that holds a secret or six characters in a row
    /// of one. A secret of fewer characters is hidden where it is a word by itself. Of an ordinary word, such as a value that
    /// is no credential may hold, no part is hidden: it is hidden with the whole value.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redacted(text, true)
    }

    /// The same of a text in words of ours, in which an ordinary word that was captured is no secret.
    #[must_use]
    pub fn redact_own<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redacted(text, false)
    }

    fn redacted<'t>(&self, text: &'t str, hides_words: bool) -> Cow<'t, str> {
        if self.is_empty() || text.is_empty() {
            return text.into();
        }
        let text = beginning(text);
        let normal = normal_bytes(text.as_bytes());
        let mut hidden = self.found_in(&normal);
        hidden.extend(self.raw_in(text));
        let mut hidden: Vec<Range<usize>> = hidden.into_iter().map(|range| word_around(text, range)).collect();
        if hides_words {
            hidden.extend(self.words_in(&normal));
        }
        if hidden.is_empty() {
            return text.into();
        }
        hidden.sort_by_key(|range| range.start);
        let mut shown = String::with_capacity(text.len());
        let mut position = 0;
        for range in hidden {
            if range.start >= position {
                shown.push_str(&text[position..range.start]);
                shown.push_str(MASK);
            }
            position = position.max(range.end);
        }
        shown.push_str(&text[position..]);
        shown.into()
    }

    /// Where in the text, of which these are the bytes in normal form, secrets stand.
    fn found_in(&self, text: &[NormalByte]) -> Vec<Range<usize>> {
        let bytes: Vec<u8> = text.iter().map(|byte| byte.byte).collect();
        let windows = |form: Form| bytes.windows(form.telling()).collect::<HashSet<&[u8]>>();
        let wanted = Form::ALL.map(windows);
        let mut found: [HashSet<&[u8]>; 3] = Default::default();
        let mut ranges = Vec::new();
        for secret in self.secrets.iter() {
            let pieces = pieces(secret.text.expose().as_bytes());
            for piece in pieces.take_while(|_| bytes.len() >= Form::Plain.telling()) {
                let (wanted_parts, found_parts) = (&wanted[Form::Plain as usize], &mut found[Form::Plain as usize]);
                found_parts.extend(telling_parts(piece, secret.is_credential, wanted_parts));
                for (form, bytes) in encoded_forms_of(piece) {
                    let (wanted, found) = (&wanted[form as usize], &mut found[form as usize]);
                    let telling = bytes.windows(form.telling());
                    found.extend(telling.filter_map(|window| wanted.get(window).copied()));
                }
            }
            if !secret.is_word {
                ranges.extend(whole_in(text, &bytes, secret));
            }
        }
        for (form, found) in Form::ALL.into_iter().zip(&found) {
            let at = bytes.windows(form.telling()).enumerate().filter(|(_, window)| found.contains(window));
            ranges.extend(at.map(|(at, window)| at..at + window.len()));
        }
        ranges.into_iter().map(|range| text[range.start].start..text[range.end - 1].end).collect()
    }

    /// Where in the text, of which these are the bytes in normal form, ordinary words that were captured stand by themselves.
    fn words_in(&self, text: &[NormalByte]) -> Vec<Range<usize>> {
        let words = self.secrets.iter().filter(|secret| secret.is_word && secret.text.expose().len() <= PIECE);
        let words = words.map(|word| normal_bytes(word.text.expose().as_bytes())).filter(|word| !word.is_empty());
        let mut ranges = Vec::new();
        for word in words {
            let is_same = |(index, (one, other)): (usize, (&NormalByte, &NormalByte))| {
                one.byte == other.byte && (index == 0 || one.follows_a_gap == other.follows_a_gap)
            };
            for (at, window) in text.windows(word.len()).enumerate() {
                let range = at..at + word.len();
                if window.iter().zip(&word).enumerate().all(is_same) && stands_alone(text, &range, is_of_longer_word) {
                    ranges.push(window[0].start..window[word.len() - 1].end);
                }
            }
        }
        ranges
    }

    /// Where secrets stand of which normal form leaves nothing.
    fn raw_in(&self, text: &str) -> Vec<Range<usize>> {
        let secrets = self.secrets.iter().map(|secret| secret.text.expose());
        let odd = secrets.filter(|secret| secret.len() <= LONGEST && normal_form(secret.as_bytes()).is_empty());
        let at = odd.flat_map(|secret| text.match_indices(secret));
        at.map(|(at, secret)| at..at + secret.len()).collect()
    }
}

/// The beginning of a text that is looked at. Where it is cut, the word that may be cut goes too.
fn beginning(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let text = &text[..text.floor_char_boundary(LONGEST)];
    &text[..text.rfind(|c: char| !is_of_word(c)).unwrap_or(text.len())]
}

fn pieces(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = (0..secret.len()).step_by(PIECE - OVERLAP);
    starts.map(|start| &secret[start..secret.len().min(start + PIECE)])
}

/// Which of `wanted` are six characters in a row of this piece of a secret, and tell of it.
fn telling_parts<'w>(piece: &[u8], is_credential: bool, wanted: &HashSet<&'w [u8]>) -> Vec<&'w [u8]> {
    let length = Form::Plain.telling();
    let normal = normal_bytes(piece);
    let bytes: Vec<u8> = normal.iter().map(|byte| byte.byte).collect();
    let unusual = if is_credential { Vec::new() } else { unusual(piece) };
    let tells = |at: usize| is_credential || normal[at..at + length].iter().any(|byte| unusual[byte.start]);
    let parts = bytes.windows(length).enumerate();
    parts.filter_map(|(at, part)| wanted.get(part).copied().filter(|_| tells(at))).collect()
}

/// Where in the text, of which these are the bytes in normal form, the whole secret stands, if no part of it may be found.
fn whole_in(text: &[NormalByte], bytes: &[u8], secret: &SentSecret) -> Vec<Range<usize>> {
    let whole = secret.text.expose().as_bytes();
    // In normal form a longer one is longer than what is looked at.
    let normal = if whole.len() <= PIECE { normal_form(whole) } else { Vec::new() };
    let is_short = normal.len() < Form::Plain.telling();
    if normal.is_empty() || (!is_short && secret.is_credential) {
        return Vec::new();
    }
    let at = bytes.windows(normal.len()).enumerate().filter(|(_, window)| *window == normal);
    let ranges = at.map(|(at, window)| at..at + window.len());
    ranges.filter(|range| !is_short || stands_alone(text, range, |byte| byte.is_ascii_alphanumeric())).collect()
}

/// The encoded forms in which a piece of a secret may come back.
fn encoded_forms_of(piece: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let hexadecimal = piece.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    let mut forms = vec![(Form::Hexadecimal, hexadecimal.map(digit).collect())];
    // Three bytes are four characters of base64: what stands before the secret moves it by none, one or two bytes. The
    // characters at both ends tell of what is beside it, too.
    for before in 0..3_usize {
        let moved = [&b"\0\0"[..before], piece].concat();
        for encoded in [STANDARD_NO_PAD.encode(&moved), URL_SAFE_NO_PAD.encode(&moved)] {
            let inner = encoded.get(before + usize::from(before > 0)..).unwrap_or_default();
            let inner = inner.get(..inner.len().saturating_sub(1)).unwrap_or_default();
            forms.push((Form::Base64, normal_form(inner.as_bytes())));
        }
    }
    forms
}

/// Whether what stands there is a word by itself, where words are made of such bytes.
fn stands_alone(text: &[NormalByte], range: &Range<usize>, is_of_word: impl Fn(u8) -> bool) -> bool {
    let joins =
        |one: &NormalByte, other: &NormalByte| !other.follows_a_gap && is_of_word(one.byte) && is_of_word(other.byte);
    let before = range.start > 0 && joins(&text[range.start - 1], &text[range.start]);
    let after = text.get(range.end).is_some_and(|next| joins(&text[range.end - 1], next));
    !before && !after
}

fn is_of_longer_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || "_-+%~.*$\\".contains(character)
}

/// The word that a part of a text stands in: what belongs to a secret may stand around what was found of it.
fn word_around(text: &str, range: Range<usize>) -> Range<usize> {
    let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
    let start = text[..range.start].char_indices().rev().take_while(|(_, c)| is_of_word(*c)).last();
    let rest = &text[range.end..];
    let length = rest.find(|c: char| !(is_of_word(c) || c == '=')).unwrap_or(rest.len());
    start.map_or(range.start, |(at, _)| at)..range.end + length
}

#[cfg(test)]
mod tests;
