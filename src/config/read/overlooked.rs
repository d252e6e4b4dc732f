//! What people overlook in a value or a key because it looks right: quotes that belong to the value, a variable without
//! its braces, a space that is none.

use crate::config::vocabulary::is_foreign_variable;

/// What to do about `text`, when one of these is what is wrong with it. Of what an expansion brought in nothing is
/// quoted.
pub fn in_value(text: &str, expanded: bool) -> Option<String> {
    if let Some(space) = odd_space(text) {
        return Some(format!("it holds {space}: replace it by a space, or remove it"));
    }
    if is_quoted(text) {
        return Some(if expanded {
            "its quotes are part of the value: set it without them".into()
        } else {
            "the inner quotes are part of the value: remove them".into()
        });
    }
    if expanded {
        return None;
    }
    let whole = variable(text).filter(|_| is_foreign_variable(text)).map(|name| format!("did you mean `${{{name}}}`?"));
    // What follows a variable may be half of a secret: nothing of it is quoted.
    whole.or_else(|| begins_with_variable(text).then(|| "a variable is written `${NAME}`, with braces".into()))
}

/// The same for a key.
pub fn in_key(key: &str) -> Option<String> {
    let space = odd_space(key).map(|space| format!("the key holds {space}: replace it by a space"));
    space
        .or_else(|| [":\"", ":'"].iter().any(|begin| key.contains(begin)).then(|| "write a space after the `:`".into()))
}

/// The first character that looks like a space, or like nothing, and is neither to YAML.
pub fn odd_space(text: &str) -> Option<String> {
    let found = text.chars().find(|c| {
        (c.is_whitespace() && !c.is_ascii() && *c != '\u{85}')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    })?;
    let name = match found {
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => "an invisible character",
        _ => "a character that looks like a space",
    };
    Some(format!("{name} (U+{:04X})", u32::from(found)))
}

fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    let plain = text.len() > 1 && ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote));
    // What a word processor makes of `"`, to YAML a letter like others.
    plain || text.starts_with(['“', '”', '„', '‘', '’', '«'])
}

/// Whether `text` begins as others write a variable, and goes on: `$HOST/health`, `$(HOST):80`, `{{ .Values.host }}`.
fn begins_with_variable(text: &str) -> bool {
    let text = text.trim_start();
    let name = text.strip_prefix("$(").or_else(|| text.strip_prefix('$')).unwrap_or_default();
    let letters = name.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_' || c.is_ascii_digit()).count();
    text.starts_with("{{") || (letters > 1 && !name.starts_with(|c: char| c.is_ascii_digit()))
}

/// The variable in `$NAME`, `$(NAME)` or `%NAME%`, which is how others write one.
fn variable(text: &str) -> Option<&str> {
    let text = text.trim();
    let bare = text
        .strip_prefix('$')
        .map(|rest| rest.strip_prefix('(').and_then(|inside| inside.strip_suffix(')')).unwrap_or(rest));
    let name = bare.or_else(|| text.strip_prefix('%')?.strip_suffix('%'))?;
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    (begins && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_right_is_named() {
        let cases = [
            ("$DATABASE_URL", Some("did you mean `${DATABASE_URL}`?")),
            ("$(DATABASE_URL)", Some("did you mean `${DATABASE_URL}`?")),
            ("%DATABASE_URL%", Some("did you mean `${DATABASE_URL}`?")),
            ("\"http://a\"", Some("the inner quotes are part of the value: remove them")),
            ("'5s'", Some("the inner quotes are part of the value: remove them")),
            ("5\u{a0}s", Some("it holds a no-break space (U+00A0): replace it by a space, or remove it")),
            ("5s\u{200b}", Some("it holds an invisible character (U+200B): replace it by a space, or remove it")),
            ("$APP_URL/health", Some("a variable is written `${NAME}`, with braces")),
            ("$(HOST):80", Some("a variable is written `${NAME}`, with braces")),
            ("{{ .Values.host }}:80", Some("a variable is written `${NAME}`, with braces")),
            ("“http://a”", Some("the inner quotes are part of the value: remove them")),
            ("$", None),
            ("$5", None),
            ("100%", None),
            ("\"", None),
            ("a b", None),
        ];
        for (text, help) in cases {
            assert_eq!(in_value(text, false).as_deref(), help, "{text}");
        }
        assert_eq!(in_value("$SECRET", true), None);
        assert_eq!(in_value("'x'", true).unwrap(), "its quotes are part of the value: set it without them");
        assert_eq!(
            in_key("\u{3000}a").unwrap(),
            "the key holds a character that looks like a space (U+3000): replace it by a space"
        );
        assert_eq!(in_key("address:\"a:80\"").unwrap(), "write a space after the `:`");
        assert_eq!(in_key("a"), None);
        assert_eq!(in_key("http://a"), None);
    }
}
