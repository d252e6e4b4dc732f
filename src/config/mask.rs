//! Keeps secrets out of what is shown of the file: in its lines and in the words that a message quotes.
//!
//! Nothing is shown but what is known to be no secret, by the key that it stands under and by its form (see
//! [`shows`](super::shows) and [`vocabulary`](super::vocabulary)): a number where a number is wanted, a word that is nearly one of those that are
//! wanted, a name, a URL without its passwords. Texts are never compared with secret values.

use std::collections::BTreeSet;
use std::ops::Range;

use super::expansion;
use super::quote::{is_key, passwords, replace, short};
use super::scan::{Scan, Unit, bare};
use super::shows::{Naming, Shows, is_address, key_of, shows};
use super::tree::{Node, NodeContent};
use super::vocabulary::{Form, is_plain_word};

/// A value as a message may quote it, if it may: what stands at `path` in the file.
pub fn told(path: &str, text: &str) -> Option<String> {
    match shows(key_of(path), text) {
        Shows::All => Some(short(text)),
        Shows::ButPasswords => Some(short(&replace(text, &hidden(text)))),
        Shows::Nothing => None,
    }
}

/// The lines of a file, with what of each is a secret.
pub struct Mask<'a> {
    /// By line and column; nothing where there is no tree.
    scalars: Vec<ScalarOnLine<'a>>,
}

/// The part of a scalar that stands on one line.
#[derive(Clone, Copy, Debug)]
struct ScalarOnLine<'a> {
    line: u32,
    from: u32,
    to: u32,
    /// The key that it stands under; nothing where it is a key itself.
    key: Option<&'a str>,
    /// With escapes resolved, all of it.
    text: &'a str,
    is_key: bool,
    /// It goes on over several lines.
    broken: bool,
}

impl<'a> Mask<'a> {
    /// The mask of these `lines` of the file whose tree is `root`, as far as there is one.
    pub fn new(lines: &BTreeSet<u32>, root: Option<&'a Node>) -> Self {
        let mut found = Vec::new();
        let mut left: Vec<(&Node, Option<&str>, Naming)> =
            root.map(|node| (node, None, Naming::Top)).into_iter().collect();
        while let Some((node, key, naming)) = left.pop() {
            match &node.content {
                NodeContent::List(items) => left.extend(items.iter().map(|item| (&**item, key, naming))),
                NodeContent::Map(entries) => {
                    for entry in entries {
                        left.push((&entry.value, naming.telling(&entry.key), naming.below(&entry.key)));
                        let (line, from) = (entry.key_mark.line, entry.key_mark.column);
                        let to = from.saturating_add(entry.key_mark.width);
                        found.push(ScalarOnLine {
                            line,
                            from,
                            to,
                            key: None,
                            text: &entry.key,
                            is_key: true,
                            broken: false,
                        });
                    }
                }
                NodeContent::Scalar(scalar) => {
                    let (last_line, last_column) = scalar.end;
                    let broken = last_line > node.mark.line;
                    for line in lines.range(node.mark.line..=last_line.max(node.mark.line)) {
                        let from = if *line == node.mark.line { node.mark.column } else { 1 };
                        let to = if *line == last_line { last_column } else { u32::MAX };
                        let text = &scalar.text;
                        found.push(ScalarOnLine { line: *line, from, to, key, text, is_key: false, broken });
                    }
                }
            }
        }
        found.retain(|scalar| lines.contains(&scalar.line));
        found.sort_by_key(|scalar| (scalar.line, scalar.from, scalar.to));
        Self { scalars: found }
    }

    /// Where (in bytes) secrets stand in `text`, which begins on line `line` at the column `column`.
    pub fn secrets(&self, line: u32, column: u32, text: &str) -> Vec<Range<usize>> {
        let mut offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
        offsets.push(text.len());
        let end = column.saturating_add(u32::try_from(offsets.len() - 1).unwrap_or(u32::MAX));
        let byte_of = |at: u32| offsets[(at.clamp(column, end) - column) as usize];
        let mut from = self.scalars.partition_point(|scalar| (scalar.line, scalar.from) < (line, column));
        while from > 0 && self.scalars[from - 1].line == line && self.scalars[from - 1].to > column {
            from -= 1;
        }
        let mut secrets = Vec::new();
        let mut covered = 0;
        for scalar in self.scalars[from..].iter().take_while(|scalar| scalar.line == line && scalar.from < end) {
            let (start, stop) = (byte_of(scalar.from), byte_of(scalar.to));
            if covered < start {
                secrets.extend(shifted(scan(&text[covered..start]), covered));
            }
            let is_whole = scalar.from >= column && scalar.to <= end;
            secrets.extend(shifted(scalar.secrets(&text[start..stop.max(start)], is_whole), start));
            covered = covered.max(stop);
        }
        secrets.extend(shifted(scan(&text[covered..]), covered));
        joined(secrets)
    }
}

impl ScalarOnLine<'_> {
    /// Its secrets in `raw`, the part of it that is shown.
    fn secrets(&self, raw: &str, is_whole: bool) -> Vec<Range<usize>> {
        let all = || std::iter::once(0..raw.len()).collect();
        if self.is_key {
            return if is_key(self.text) { Vec::new() } else { within(raw, Shows::Nothing) };
        }
        match shows(self.key, self.text) {
            Shows::All => Vec::new(),
            // Where escapes stand for something else, a place in the one is no place in the other.
            Shows::ButPasswords if is_whole && !self.broken && raw[unquoted(raw)] == *self.text => {
                within(raw, Shows::ButPasswords)
            }
            Shows::ButPasswords if hidden(self.text).is_empty() => Vec::new(),
            Shows::ButPasswords => all(),
            Shows::Nothing => within(raw, Shows::Nothing),
        }
    }
}

/// What of a value as it stands in the file is not shown; its quotes are.
fn within(raw: &str, shows: Shows) -> Vec<Range<usize>> {
    match shows {
        Shows::All => Vec::new(),
        Shows::ButPasswords => {
            let text = unquoted(raw);
            shifted(hidden(&raw[text.clone()]), text.start).collect()
        }
        Shows::Nothing => but_names(raw, unquoted(raw)),
    }
}

/// What of a value as it stands in the file is within its quotes, or all where it has none.
fn unquoted(raw: &str) -> Range<usize> {
    let quote = raw.chars().next().filter(|first| matches!(first, '"' | '\''));
    let start = quote.map_or(0, char::len_utf8);
    let end = match quote {
        Some(quote) if raw.len() > start && raw.ends_with(quote) => raw.len() - quote.len_utf8(),
        _ => raw.len(),
    };
    start..end.max(start)
}

/// What of `range` is not shown where the names of expansions are.
fn but_names(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut position = range.start;
    let names = expansion::names(&text[range.clone()]);
    for name in shifted(names, range.start).chain(std::iter::once(range.end..range.end)) {
        if !text[position..name.start].trim().is_empty() {
            hidden.push(position..name.start);
        }
        position = name.end;
    }
    hidden
}

/// What of a URL, or of a text that may hold one, is not shown: passwords, and defaults that may be.
fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut found = passwords(text);
    for default in expansion::defaults(text) {
        let written = &text[default.clone()];
        let is_known = written.contains("://") || is_plain_word(written) || Form::Url.fits(written);
        if !is_known && !found.iter().any(|range| range.start <= default.start && default.end <= range.end) {
            found.push(default);
        }
    }
    joined(found)
}

/// These ranges in their order, those that overlap as one.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|later, earlier| {
        let overlaps = later.start < earlier.end;
        if overlaps {
            earlier.end = earlier.end.max(later.end);
        }
        overlaps
    });
    ranges
}

/// Where secrets may stand in a piece of a line that no tree explains: between its scalars, or in a file that is no
/// YAML. Structure, keys and what is known by the key before it are shown.
fn scan(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut scan = Scan::new(text);
    while let Some(unit) = scan.next_unit() {
        match unit {
            Unit::Key(range) if is_key(bare(&text[range.clone()])) => {}
            Unit::Key(range) | Unit::Unknown(range) => secrets.push(range),
            Unit::Value(range, key) => {
                let raw = &text[range.clone()];
                let shows = shows(key, bare(raw));
                let mut found = within(raw, shows);
                if shows != Shows::Nothing && key.is_some_and(is_address) {
                    // Nobody knows whether this is a hook.
                    found.extend(behind_host(raw));
                }
                secrets.extend(shifted(joined(found), range.start));
            }
        }
    }
    secrets
}

/// What of a URL stands behind its scheme and host, also in the defaults of expansions.
fn behind_host(url: &str) -> Vec<Range<usize>> {
    let structure = expansion::blanked(url);
    let host = structure.find("://").map_or(0, |scheme| scheme + 3);
    let mut found = Vec::new();
    if let Some(sign) = structure[host..].find(['/', '?', '#', '\\']) {
        let end = url.trim_end_matches(['"', '\'']).len();
        let start = host + sign + 1;
        found.extend(but_names(url, start..end.max(start)));
    }
    for default in expansion::defaults(url) {
        found.extend(shifted(behind_host(&url[default.clone()]), default.start));
    }
    found
}

fn shifted(ranges: Vec<Range<usize>>, by: usize) -> impl Iterator<Item = Range<usize>> {
    ranges.into_iter().map(move |range| range.start + by..range.end + by)
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
    fn without_a_tree_only_structure_and_what_its_key_makes_harmless_is_shown() {
        let cases = [
            ("headers: { Authorization: \"Bearer hunter2\": x }", "headers: { Authorization: ***"),
            ("\"x-api-key\": hunter2", "\"x-api-key\": ***"),
            ("url: a://u:hunter2@h, cookie: hunter2", "url: a://u:***@h, cookie: ***"),
            ("Authorization: Bearer ${TOKEN}", "Authorization: Bearer ${TOKEN}"),
            ("  - name: db # hunter2", "  - name: db # ***"),
            ("    timeout: 5s", "    timeout: 5s"),
            ("    timeout: hunter2", "    timeout: ***"),
            ("    gates: [live, redy, hunter2]", "    gates: [live, redy, ***]"),
            ("hunter2", "***"),
            ("pasword: hunter2", "pasword: ***"),
            ("a: b: hunter2", "a: ***"),
            ("{ hunter2: x, y: hunter2 }", "{ ***: ***, y: *** }"),
            ("&hunter2 x", "***"),
            ("\"hunter2", "\"***"),
            ("timeout: ${X:-hunter2}", "timeout: ${X:-***}"),
            ("a: \"b ${C} ${D:-hunter2}\"", "a: \"***${C} ${D:-***}\""),
            ("- &x [*y, *hunter2]", "- &x [*y, ***]"),
            ("url: ${X:-postgres://u:hunter2@h}", "url: ${X:-postgres://u:***@h}"),
            ("timeout: ${X:-5s}", "timeout: ${X:-5s}"),
            // A hook's address, in a file that cannot be parsed.
            ("- url: https://hooks.slack.com/services/T0/B0/secret", "- url: https://hooks.slack.com/***"),
            ("- url: [https://hooks.slack.com/services/T0/secret", "- url: [https://hooks.slack.com/***"),
            ("\t- ulr: 'https://hooks.slack.com/T0'", "\t- ulr: 'https://hooks.slack.com/***'"),
            ("{url: \"https://h?key=${KEY}#x\"}", "{url: \"https://h?***${KEY}***\"}"),
            ("url: hooks.slack.com:443/services/secret", "url: hooks.slack.com:443/***"),
            ("url: ${X:-https://hooks.slack.com/services/secret}", "url: ${X:-https://hooks.slack.com/***}"),
            ("url: ${file:/run/secrets/hook}", "url: ${file:/run/secrets/hook}"),
            ("image: registry.io/shop/app", "image: registry.io/shop/app"),
            // A quote within quotes.
            ("{url: \"a://h?token=x\\\"hunter\" }", "{url: \"a://h?***\" }"),
            ("{url: 'a://h?token=x''hunter' }", "{url: 'a://h?***' }"),
        ];
        for (line, masked) in cases {
            assert_eq!(replace(line, &joined(scan(line))), masked, "{line}");
        }
    }

    #[test]
    fn a_message_quotes_what_its_place_makes_harmless() {
        let cases = [
            ("checks[0].timeout", "10sec", Some("10sec")),
            ("checks[0].timeot", "10sec", Some("10sec")),
            ("checks[0].gates[1]", "redy", Some("redy")),
            ("checks[0].gates[1]", "hunter2", None),
            ("checks[0].redis", "hunter2", None),
            ("checks[0].http.headers[\"X a\"]", "5", None),
            ("checks[0].name", "my check", Some("my check")),
            ("checks[0].http.url", "user.svc:8443/health", Some("user.svc:8443/health")),
            ("checks[0].http.url", "host=h password=hunter2", None),
            ("checks[0].timeout", "$INTERVAL", Some("$INTERVAL")),
            ("hooks[0].url", "https://hooks.slack.com/services", None),
            ("hooks[0].ulr", "https://hooks.slack.com/services", None),
            ("hook[0].url", "https://hooks.slack.com/services", None),
            ("hook.slack.url", "https://hooks.slack.com/services", None),
            ("hook[0].timeout", "10sec", Some("10sec")),
            ("", "true", Some("true")),
        ];
        for (path, text, quoted) in cases {
            assert_eq!(told(path, text).as_deref(), quoted, "{path} {text}");
        }
    }
}
