//! Where a captured value may stand in an SQL text: as a whole operand, never inside a literal, a quoted name, a
//! comment or a word. It is bound as a parameter there; anywhere else `$1` would be plain text.

use crate::base::value::{Text, TextPart};

/// What is wrong with a query that holds captured values; nothing where all is well.
pub fn misplaced_capture(query: &Text) -> Option<String> {
    let tokens = tokens(query);
    let mut rest = tokens.as_slice();
    let mut before = None;
    while let Some(first) = rest.first() {
        let region = match first {
            SqlToken::Capture(name) => {
                let beside = [before, rest.get(1).copied()].into_iter().flatten().find_map(SqlToken::word);
                if let Some(beside) = beside {
                    return Some(format!("the captured value {name} stands right beside `{beside}`"));
                }
                None
            }
            SqlToken::Letter(_) => region(rest, before),
        };
        let length = match region {
            None => 1,
            Some((what, length)) => {
                if let Some(SqlToken::Capture(name)) =
                    rest[..length].iter().find(|token| matches!(token, SqlToken::Capture(_)))
                {
                    return Some(format!("the captured value {name} stands inside {what}"));
                }
                length
            }
        };
        before = rest.get(length - 1).copied();
        rest = &rest[length..];
    }
    None
}

/// A letter of the query, or a captured value.
#[derive(Clone, Copy, PartialEq)]
enum SqlToken<'a> {
    Letter(char),
    Capture(&'a str),
}

impl SqlToken<'_> {
    fn letter(self) -> Option<char> {
        match self {
            Self::Letter(letter) => Some(letter),
            Self::Capture(_) => None,
        }
    }

    /// The letter, if it can be part of a name, a number or a parameter. Two values side by side are no operand either.
    fn word(self) -> Option<char> {
        match self {
            Self::Letter(letter) => is_word(letter).then_some(letter),
            Self::Capture(_) => Some('$'),
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '$' || !letter.is_ascii()
}

fn tokens(query: &Text) -> Vec<SqlToken<'_>> {
    let mut tokens = Vec::new();
    for part in &query.parts {
        match part {
            TextPart::Plain(text) => tokens.extend(text.chars().map(SqlToken::Letter)),
            TextPart::Expanded(text) => tokens.extend(text.expose().chars().map(SqlToken::Letter)),
            TextPart::Capture { name, .. } => tokens.push(SqlToken::Capture(name)),
        }
    }
    tokens
}

/// The literal, quoted name or comment that begins here: what it is, and its length. One without an end reaches to
/// the end of the query.
fn region(tokens: &[SqlToken], before: Option<SqlToken>) -> Option<(&'static str, usize)> {
    let second = tokens.get(1).copied().and_then(SqlToken::letter);
    let in_word = before.and_then(SqlToken::word).is_some();
    Some(match (tokens[0].letter()?, second) {
        ('\'', _) => ("a string", quoted(tokens, 1, '\'', false)),
        ('e' | 'E', Some('\'')) if !in_word => ("a string", quoted(tokens, 2, '\'', true)),
        ('"', _) => ("a quoted name", quoted(tokens, 1, '"', false)),
        ('-', Some('-')) => ("a comment", line(tokens)),
        ('/', Some('*')) => ("a comment", nested_comment(tokens)),
        ('$', _) if !in_word => ("a dollar-quoted string", dollar_quoted(tokens)?),
        _ => return None,
    })
}

/// From the opening quote to the closing one. A doubled quote ends one and begins another, which is as good.
fn quoted(tokens: &[SqlToken], opened: usize, quote: char, escapes: bool) -> usize {
    let mut escaped = false;
    for (index, token) in tokens.iter().enumerate().skip(opened) {
        match token.letter() {
            _ if escaped => escaped = false,
            Some('\\') if escapes => escaped = true,
            Some(letter) if letter == quote => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn line(tokens: &[SqlToken]) -> usize {
    tokens.iter().position(|token| matches!(token.letter(), Some('\n' | '\r'))).unwrap_or(tokens.len())
}

fn nested_comment(tokens: &[SqlToken]) -> usize {
    let mut depth = 0;
    let mut index = 0;
    while index < tokens.len() {
        let pair = (tokens[index].letter(), tokens.get(index + 1).copied().and_then(SqlToken::letter));
        match pair {
            (Some('/'), Some('*')) => depth += 1,
            (Some('*'), Some('/')) => depth -= 1,
            _ => {
                index += 1;
                continue;
            }
        }
        index += 2;
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

/// `$$…$$` or `$tag$…$tag$`; nothing where the dollar begins something else.
fn dollar_quoted(tokens: &[SqlToken]) -> Option<usize> {
    let close = 1 + tokens[1..].iter().position(|token| token.letter() == Some('$'))?;
    let tag = &tokens[1..close];
    let is_tag = tag.iter().enumerate().all(|(index, token)| {
        token.letter().is_some_and(|letter| is_word(letter) && !(index == 0 && letter.is_ascii_digit()))
    });
    if !is_tag {
        return None;
    }
    let delimiter = &tokens[..=close];
    let body = &tokens[close + 1..];
    let end = body.windows(delimiter.len()).position(|window| window == delimiter);
    Some(end.map_or(tokens.len(), |end| close + 1 + end + delimiter.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    /// The query with `@` for the captured value `id`.
    fn check(query: &str) -> Option<String> {
        let mut parts = Vec::new();
        for (index, piece) in query.split('@').enumerate() {
            if index > 0 {
                parts.push(TextPart::Capture { step: "order".into(), name: "id".into() });
            }
            parts.push(TextPart::Plain(piece.into()));
        }
        misplaced_capture(&Text { parts, written: String::new() })
    }

    #[test]
    fn a_captured_value_may_stand_where_an_operand_may() {
        for query in [
            "SELECT @",
            "SELECT count(*) FROM orders WHERE id=@",
            "SELECT @::bigint + (@)",
            "SELECT 'it''s', @",
            r"SELECT 'a\', @",
            r"SELECT E'a\'b', @",
            "SELECT \"a\"\"b\", @",
            "SELECT 1 -- why\n + @",
            "SELECT 1 /* a /* b */ c */ + @",
            "SELECT $$it's$$, @",
            "SELECT $q$ $$ ' $q$ || @",
            "SELECT a$b FROM t WHERE c$d = @ AND e$f = 1",
            "SELECT date'2020-01-01', @",
            "SELECT 1 - -@",
        ] {
            assert_eq!(check(query), None, "{query}");
        }
    }

    #[test]
    fn inside_of_anything_quoted_it_may_not() {
        for (query, place) in [
            ("SELECT '@'", "a string"),
            ("SELECT 'it''s @'", "a string"),
            (r"SELECT E'\'@'", "a string"),
            (r"SELECT e'\\\'@'", "a string"),
            ("SELECT N'@'", "a string"),
            ("SELECT U&'@'", "a string"),
            ("SELECT 'open @", "a string"),
            ("SELECT \"@\"", "a quoted name"),
            ("SELECT 1 -- @", "a comment"),
            ("SELECT 1 /* /* */ @ */", "a comment"),
            ("SELECT $$@$$", "a dollar-quoted string"),
            ("SELECT $a$ $b$ @ $a$", "a dollar-quoted string"),
            ("DO $body$ @", "a dollar-quoted string"),
        ] {
            assert_eq!(check(query), Some(format!("the captured value id stands inside {place}")), "{query}");
        }
    }

    #[test]
    fn nor_as_part_of_a_word() {
        for (query, letter) in [
            ("SELECT * FROM orders_@", '_'),
            ("SELECT @0", '0'),
            ("SELECT x@", 'x'),
            ("SELECT @@", '$'),
            ("SELECT $@", '$'),
            ("SELECT é@", 'é'),
        ] {
            let expected = format!("the captured value id stands right beside `{letter}`");
            assert_eq!(check(query), Some(expected), "{query}");
        }
    }

    #[test]
    fn quotes_that_an_expansion_brings_count() {
        let parts = vec![
            TextPart::Plain("SELECT ".into()),
            TextPart::Expanded(Secret::new("'")),
            TextPart::Capture { step: "order".into(), name: "id".into() },
        ];
        let found = misplaced_capture(&Text { parts, written: String::new() });
        assert_eq!(found.as_deref(), Some("the captured value id stands inside a string"));
    }
}
