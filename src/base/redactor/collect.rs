//! What of a section is secret and goes to a server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::{Redactor, SentSecret};
use crate::base::credentials::is_credential;
use crate::base::secret::Secret;
use crate::base::value::{Section, Text, TextPart, Value};

/// Keys of addresses, of which the host is no secret: `http://user:password@host/path`.
const ADDRESSES: &[&str] = &["url", "proxy"];

/// Keys of which nothing is sent.
const STAY_HERE: &[&str] = &["tls", "unix_socket", "address"];

impl Redactor {
    /// All that is secret in a section: what expansions brought in but for the host of an address, passwords, and what is
    /// written out under a name that says so.
    #[must_use]
    pub fn of_section(section: &Section) -> Self {
        let mut found = Found::default();
        for (key, located) in section.entries().filter(|(key, _)| !STAY_HERE.contains(key)) {
            match &located.value {
                Value::Text(text) if ADDRESSES.contains(&key) => found.address(text),
                value => found.value(key, value),
            }
        }
        Self::hiding(found.secrets)
    }
}

#[derive(Default)]
struct Found {
    secrets: Vec<SentSecret>,
}

impl Found {
    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Text(text) => self.text(name, text),
            Value::Json { value, is_expanded: true } => self.json(name, value),
            Value::List(items) => items.iter().for_each(|item| self.value(name, &item.value)),
            Value::Map(entries) => entries.iter().for_each(|(name, located)| self.value(name, &located.value)),
            Value::Section(section) => {
                section.entries().for_each(|(key, located)| self.value(key, &located.value));
            }
            _ => {}
        }
    }

    fn text(&mut self, name: &str, text: &Text) {
        let is_credential_by_name = text.is_expanded() && (is_credential(name) || is_credential(&text.written));
        for parts in text.parts.chunk_by(are_expanded) {
            match parts {
                [TextPart::Plain(_) | TextPart::Capture { .. }] => {}
                expanded => {
                    for part in expanded {
                        let TextPart::Expanded(secret) = part else { continue };
                        self.sent(secret.clone(), is_credential_by_name);
                    }
                    // Side by side they are one word.
                    if expanded.len() > 1 {
                        self.sent(Secret::new(joined(expanded)), is_credential_by_name);
                    }
                }
            }
        }
        let written = with_captures_left_out(text);
        if is_credential(name) {
            // `Bearer abc`
            let words = written.split_whitespace().count();
            written.split_whitespace().skip(usize::from(words > 1)).for_each(|word| self.add(word));
        }
        match serde_json::from_str(&written) {
            Ok(json @ (Json::Object(_) | Json::Array(_))) => self.named_in(&json),
            _ => self.parameters(&written),
        }
    }

    /// All texts of a value, which has this name.
    fn json(&mut self, name: &str, value: &Json) {
        match value {
            Json::Object(members) => members.iter().for_each(|(name, value)| self.json(name, value)),
            Json::Array(items) => items.iter().for_each(|value| self.json(name, value)),
            Json::String(text) => self.sent(Secret::new(text.as_str()), is_credential(name)),
            Json::Number(number) => self.sent(Secret::new(number.to_string()), is_credential(name)),
            Json::Null | Json::Bool(_) => {}
        }
    }

    /// The members of a value whose names say that they are secret.
    fn named_in(&mut self, value: &Json) {
        match value {
            Json::Object(members) => members.iter().for_each(|(name, value)| match value {
                Json::String(text) if is_credential(name) => self.add(text),
                value => self.named_in(value),
            }),
            Json::Array(items) => items.iter().for_each(|value| self.named_in(value)),
            _ => {}
        }
    }

    /// The values of parameters whose names say that they are secret: `user=probe&password=x`.
    fn parameters(&mut self, query: &str) {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| is_credential(name)).for_each(|(_, value)| self.add(value));
    }

    /// What an address holds beside its host and port.
    fn address(&mut self, text: &Text) {
        // Of what is written out, user, password and parameters alone are not shown.
        if let [TextPart::Plain(plain)] = text.parts.as_slice()
            && !plain.bytes().any(|byte| byte == b'@')
        {
            if let Some((_, query)) = plain.split_once('?') {
                self.parameters(query);
            }
            return;
        }
        let whole = with_captures_left_out(text);
        let host_end = |from: usize| whole[from..].find(['/', '?', '#', '\\']).map_or(whole.len(), |at| from + at);
        let scheme = whole.find("://").map_or(0, |at| at + 3);
        let authority_end = host_end(scheme);
        let user_end = whole[scheme..authority_end].rfind('@').map(|at| scheme + at);
        let shown = [0..scheme, user_end.unwrap_or(scheme)..authority_end];
        let is_credential_by_name = text.is_expanded() && is_credential(&text.written);
        let (mut position, mut has_expanded_user) = (0, false);
        for part in &text.parts {
            match part {
                TextPart::Plain(text) => position += text.len(),
                TextPart::Expanded(secret) => {
                    let is_shown = |at: &usize| shown.iter().any(|range| range.contains(at));
                    let (text, from) = (secret.expose(), position);
                    position += text.len();
                    has_expanded_user |= position > scheme && user_end.is_some_and(|end| from < end);
                    let mut start = None;
                    for at in from..=position {
                        match (start, at == position || is_shown(&at)) {
                            (None, false) => start = Some(at),
                            (Some(begun), true) => {
                                self.part_of_address(&whole[begun..at], is_credential_by_name);
                                start = None;
                            }
                            _ => {}
                        }
                    }
                }
                TextPart::Capture { .. } => {}
            }
        }
        if let Some(user_end) = user_end {
            self.credentials(&whole[scheme..user_end], has_expanded_user);
        }
        if let Some((_, query)) = whole.split_once('?') {
            self.parameters(query);
        }
    }

    /// A part of an address, and what stands in it that is no mere word: a tenant, a version; not `health`.
    fn part_of_address(&mut self, part: &str, is_credential: bool) {
        self.sent(Secret::new(part), is_credential);
        let pieces = part.split(['/', '?', '&', '=', '#']);
        let pieces = pieces.filter(|piece| piece.len() < part.len() && !piece.chars().all(char::is_alphabetic));
        pieces.for_each(|piece| self.sent(Secret::new(piece), is_credential));
    }

    /// User and password, as an address has them; and as basic authentication sends them. A user that is written out is no
    /// secret.
    fn credentials(&mut self, written: &str, is_expanded: bool) {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = written.split_once(':').unwrap_or((written, ""));
        let both = format!("{}:{}", decoded(user), decoded(password));
        self.add(&STANDARD.encode(&both));
        if is_expanded {
            self.add(&decoded(user));
        }
        if !password.is_empty() {
            self.add(&decoded(password));
            self.add(&both);
        }
    }

    /// What is a credential.
    fn add(&mut self, credential: &str) {
        self.sent(Secret::new(credential), true);
    }

    fn sent(&mut self, text: Secret, is_credential: bool) {
        self.secrets.push(SentSecret::sent(text, is_credential));
    }
}

fn are_expanded(one: &TextPart, other: &TextPart) -> bool {
    matches!((one, other), (TextPart::Expanded(_), TextPart::Expanded(_)))
}

fn joined(parts: &[TextPart]) -> String {
    let text = |part: &TextPart| match part {
        TextPart::Plain(text) => text.clone(),
        TextPart::Expanded(secret) => secret.expose().to_owned(),
        TextPart::Capture { .. } => String::new(),
    };
    parts.iter().map(text).collect()
}

fn with_captures_left_out(text: &Text) -> String {
    joined(&text.parts)
}
