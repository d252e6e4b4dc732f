//! What of a section is secret and goes to a server.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::Redactor;
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
        for key in section.keys().filter(|key| !STAY_HERE.contains(key)) {
            match section.get(key).map(|located| &located.value) {
                Some(Value::Text(text)) if ADDRESSES.contains(&key) => found.address(text),
                Some(value) => found.value(key, value),
                None => {}
            }
        }
        let mut redactor = Self::of(found.secrets.iter().map(String::as_str));
        redactor.captures = Arc::new(found.captures);
        redactor
    }
}

#[derive(Default)]
struct Found {
    secrets: Vec<String>,
    captures: Vec<(String, String)>,
}

impl Found {
    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Text(text) => self.text(name, text),
            Value::Json { value, is_expanded: true } => self.json(value),
            Value::List(items) => items.iter().for_each(|item| self.value(name, &item.value)),
            Value::Map(entries) => entries.iter().for_each(|(name, located)| self.value(name, &located.value)),
            Value::Section(section) => {
                for key in section.keys() {
                    section.get(key).into_iter().for_each(|located| self.value(key, &located.value));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, name: &str, text: &Text) {
        for part in &text.parts {
            match part {
                TextPart::Plain(_) => {}
                TextPart::Expanded(secret) => self.add(secret.expose()),
                TextPart::Capture { step, name } => self.captures.push((step.clone(), name.clone())),
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

    /// All texts of a value.
    fn json(&mut self, value: &Json) {
        match value {
            Json::Object(members) => members.values().for_each(|value| self.json(value)),
            Json::Array(items) => items.iter().for_each(|value| self.json(value)),
            Json::String(text) => self.add(text),
            Json::Number(number) => self.add(&number.to_string()),
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
        let whole = with_captures_left_out(text);
        let host_end = |from: usize| whole[from..].find(['/', '?', '#', '\\']).map_or(whole.len(), |at| from + at);
        let scheme = whole.find("://").map_or(0, |at| at + 3);
        let authority_end = host_end(scheme);
        let user_end = whole[scheme..authority_end].rfind('@').map(|at| scheme + at);
        let shown = [0..scheme, user_end.unwrap_or(scheme)..authority_end];
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
                                self.add(&whole[begun..at]);
                                start = None;
                            }
                            _ => {}
                        }
                    }
                }
                TextPart::Capture { step, name } => self.captures.push((step.clone(), name.clone())),
            }
        }
        if let Some(user_end) = user_end {
            self.credentials(&whole[scheme..user_end], has_expanded_user);
        }
        if let Some((_, query)) = whole.split_once('?') {
            self.parameters(query);
        }
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

    fn add(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }
}

fn with_captures_left_out(text: &Text) -> String {
    let part = |part: &TextPart| match part {
        TextPart::Plain(text) => text.clone(),
        TextPart::Expanded(secret) => Secret::expose(secret).to_owned(),
        TextPart::Capture { .. } => String::new(),
    };
    text.parts.iter().map(part).collect()
}
