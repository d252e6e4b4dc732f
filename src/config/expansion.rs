//! The syntax of expansions inside string values: `${NAME}`, `${NAME:-default}`, `${file:/path}`,
//! `${steps.<step>.<name>}`, and `$${` for a literal `${`. What they stand for is found by [`super::source`].

use std::ops::Range;

use super::vocabulary::is_path;

/// A piece of a string value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpansionPiece<'a> {
    /// As it stands, `$${` already turned into `${`.
    Plain(&'a str),
    /// An environment variable, with what holds when it is unset or empty.
    Variable {
        /// Its name.
        name: &'a str,
        /// After `:-`.
        default: Option<&'a str>,
    },
    /// The content of a file.
    File(&'a str),
    /// A value that a workflow step captures.
    Capture {
        /// The step.
        step: &'a str,
        /// The name it captured.
        name: &'a str,
    },
}

/// Why a `${` is no expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was found.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The pieces of `text`, in order.
pub fn pieces(text: &str) -> Vec<Result<ExpansionPiece<'_>, Malformed>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let escaped = rest[..dollar].ends_with('$');
        let plain = &rest[..dollar - usize::from(escaped)];
        if !plain.is_empty() {
            pieces.push(Ok(ExpansionPiece::Plain(plain)));
        }
        if escaped {
            pieces.push(Ok(ExpansionPiece::Plain("${")));
            rest = &rest[dollar + 2..];
            continue;
        }
        let (piece, after) = expansion(&rest[dollar..]);
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Ok(ExpansionPiece::Plain(rest)));
    }
    pieces
}

/// Whether `text` holds expansions of variables and files without defaults, and nothing else: nothing of what it
/// stands for is written in it.
pub fn is_only_expansions(text: &str) -> bool {
    pieces(text).iter().all(stands_elsewhere)
}

/// The default, where `text` is one variable with a default and nothing else.
pub fn only_default(text: &str) -> Option<&str> {
    match pieces(text).as_slice() {
        [Ok(ExpansionPiece::Variable { default, .. })] => *default,
        _ => None,
    }
}

/// Whether all of what `text` stands for is written in it.
pub fn is_written_out(text: &str) -> bool {
    !pieces(text).iter().any(stands_elsewhere)
}

fn stands_elsewhere(piece: &Result<ExpansionPiece<'_>, Malformed>) -> bool {
    match piece {
        Ok(ExpansionPiece::Variable { default, .. }) => default.is_none_or(str::is_empty),
        // Where a path is wanted somebody may have put what the file holds.
        Ok(ExpansionPiece::File(path)) => is_path(path),
        Ok(ExpansionPiece::Capture { .. }) => true,
        Ok(ExpansionPiece::Plain(_)) | Err(_) => false,
    }
}

/// Where in `text` the defaults of variables stand.
pub fn defaults(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(dollar) = text[position..].find("${").map(|index| position + index) {
        let end = text[dollar..].find('}').map_or(text.len(), |end| dollar + end);
        if let Some(dash) = text[dollar..end].find(":-") {
            found.push(dollar + dash + 2..end);
        }
        position = end;
    }
    found
}

/// What in `text` only names where a value comes from: expansions, but for their defaults.
pub fn names(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(start) = text[position..].find("${").map(|index| position + index) {
        let Some(end) = text[start..].find('}').map(|end| start + end + 1) else { break };
        match inside_of(&text[start + 2..end - 1]) {
            Ok(ExpansionPiece::Variable { name, default: Some(_) }) => {
                found.push(start..start + 2 + name.len() + 2);
                found.push(end - 1..end);
            }
            piece if stands_elsewhere(&piece) => found.push(start..end),
            _ => {}
        }
        position = end;
    }
    found
}

/// `text` with every character of an expansion replaced by one without a meaning, at the same byte offsets: a digit, or
/// a letter where the default is no number.
pub fn blanked(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let end = rest[dollar..].find('}').map_or(rest.len(), |end| dollar + end + 1);
        let default = rest[dollar..end].trim_end_matches('}').split_once(":-").map_or("", |(_, default)| default);
        let stand_in = if default.bytes().all(|byte| byte.is_ascii_digit()) { '0' } else { 'x' };
        blanked.push_str(&rest[..dollar]);
        blanked.extend(std::iter::repeat_n(stand_in, end - dollar));
        rest = &rest[end..];
    }
    blanked + rest
}

/// The expansion at the start of `text`, and what follows it.
fn expansion(text: &str) -> (Result<ExpansionPiece<'_>, Malformed>, &str) {
    let Some(end) = text.find('}') else {
        let message = "`${` is never closed";
        return (Err(malformed(message, "close it with `}`, or write `$${` for a literal `${`")), "");
    };
    let (inside, after) = (&text[2..end], &text[end + 1..]);
    (inside_of(inside), after)
}

fn inside_of(inside: &str) -> Result<ExpansionPiece<'_>, Malformed> {
    if inside.contains("${") {
        return Err(malformed("expansions cannot stand inside each other", "give the default as plain text"));
    }
    if let Some(path) = inside.strip_prefix("file:") {
        if path.is_empty() {
            return Err(malformed("`${file:}` names no file", "write `${file:/run/secrets/name}`"));
        }
        return Ok(ExpansionPiece::File(path));
    }
    if let Some(reference) = inside.strip_prefix("steps.") {
        return match reference.split_once('.') {
            Some((step, name)) if !step.is_empty() && !name.is_empty() => Ok(ExpansionPiece::Capture { step, name }),
            _ => Err(malformed("not a reference to a captured value", "write `${steps.<step>.<name>}`")),
        };
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if is_variable_name(name) {
        return Ok(ExpansionPiece::Variable { name, default });
    }
    Err(malformed("not an expansion", &help_for(name)))
}

fn help_for(name: &str) -> String {
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    let (start, rest) = name.split_at(end);
    if is_variable_name(start) && rest.starts_with([':', '-', '?', '=', '+']) {
        return format!("for a default write `${{{start}:-…}}`");
    }
    if is_variable_name(start) && rest.starts_with('.') {
        return format!("a variable has no `.` in its name; what a step has captured is `${{steps.{start}.…}}`");
    }
    "write `${NAME}`, `${NAME:-default}` or `${file:/path}`; `$${` stands for a literal `${`".into()
}

fn is_variable_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

fn malformed(message: &str, help: &str) -> Malformed {
    Malformed { message: message.into(), help: help.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Vec<ExpansionPiece<'_>> {
        pieces(text).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn texts_split_into_what_is_written_and_what_is_expanded() {
        use ExpansionPiece::{Capture, File, Plain, Variable};
        assert_eq!(good("plain $HOME $"), [Plain("plain $HOME $")]);
        assert_eq!(good(""), []);
        assert_eq!(
            good("${A}b${C_1}"),
            [Variable { name: "A", default: None }, Plain("b"), Variable { name: "C_1", default: None }]
        );
        assert_eq!(good("${A:-x:-y}"), [Variable { name: "A", default: Some("x:-y") }]);
        assert_eq!(good("${A:-}"), [Variable { name: "A", default: Some("") }]);
        assert_eq!(good("${file:/run/a b}"), [File("/run/a b")]);
        assert_eq!(good("${steps.log.in.id}"), [Capture { step: "log", name: "in.id" }]);
        assert_eq!(good("a$${B}"), [Plain("a"), Plain("${"), Plain("B}")]);
        assert_eq!(good("$$${B}"), [Plain("$"), Plain("${"), Plain("B}")]);
    }

    #[test]
    fn a_malformed_expansion_says_what_to_write() {
        let literal = "write `${NAME}`, `${NAME:-default}` or `${file:/path}`; `$${` stands for a literal `${`";
        let cases = [
            ("${A", "`${` is never closed", "close it with `}`, or write `$${` for a literal `${`"),
            ("${}", "not an expansion", literal),
            ("${1A}", "not an expansion", literal),
            ("${a b}", "not an expansion", literal),
            (
                "${a.b}",
                "not an expansion",
                "a variable has no `.` in its name; what a step has captured is `${steps.a.…}`",
            ),
            ("${A-b}", "not an expansion", "for a default write `${A:-…}`"),
            ("${A:b}", "not an expansion", "for a default write `${A:-…}`"),
            ("${A:-${B}}", "expansions cannot stand inside each other", "give the default as plain text"),
            ("${file:}", "`${file:}` names no file", "write `${file:/run/secrets/name}`"),
            ("${steps.a}", "not a reference to a captured value", "write `${steps.<step>.<name>}`"),
        ];
        for (text, message, help) in cases {
            let first = pieces(text).remove(0);
            assert_eq!(first.unwrap_err(), malformed(message, help), "{text}");
        }
    }

    #[test]
    fn a_text_is_blanked_without_moving_anything() {
        assert_eq!(blanked("a${é:}b"), "a000000b");
        assert_eq!(blanked("a${b:-1}"), "a0000000");
        assert_eq!(blanked("a${b:-c"), "axxxxxx");
    }
}
