//! What is wrong with text that is no YAML, in the words of someone who writes configuration.

use granit_parser::{ErrorKind, ScanError};

use super::read::overlooked;
use super::text::lines;
use crate::base::value::{Problem, Severity, SourceSpan};

/// The deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;

/// The problem that the parser stopped at.
pub fn explained(error: &ScanError, text: &str) -> Box<Problem> {
    let marker = error.marker();
    let (code, message, help) = if is_expansion_in_flow(error, text) {
        let message = "an expansion inside `{ }` or `[ ]` needs quotes".to_owned();
        ("syntax", message, Some("write it as `\"${NAME}\"`"))
    } else {
        words(error.kind())
    };
    // A key that goes wrong for it is found out in the next line.
    let odd = lines(text).take(marker.line()).skip(marker.line().saturating_sub(2)).find_map(overlooked::odd_space);
    let help = odd
        .map(|space| format!("there is {space} in this line or the one before: replace it by a space"))
        .or(help.map(str::to_owned));
    let (mut line, mut column) = (marker.line(), marker.col() + 1);
    // The end of the text may be behind its last line: the caret belongs behind what is there.
    if let Some((number, last)) = lines(text).enumerate().filter(|(_, text)| !text.trim().is_empty()).last()
        && line > number + 1
    {
        (line, column) = (number + 1, last.trim_end().chars().count());
    }
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let span = SourceSpan { path: "".into(), line: number(line), column: number(column.max(1)), width: 1 };
    Box::new(Problem { severity: Severity::Error, code, message, help, span })
}

/// Whether the parser stopped at the brace of `${` where a brace opens a mapping.
fn is_expansion_in_flow(error: &ScanError, text: &str) -> bool {
    let marker = error.marker();
    let line = lines(text).nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let before: String = line.chars().take(marker.col() + 1).collect();
    let separators = [ErrorKind::ExpectedFlowMappingSeparator, ErrorKind::ExpectedFlowSequenceSeparator];
    before.ends_with("${") && separators.contains(error.kind())
}

fn words(kind: &ErrorKind) -> (&'static str, String, Option<&'static str>) {
    use ErrorKind as K;
    let (message, help) = match kind {
        K::RecursionLimitExceeded => {
            let message = format!("more than {MAX_DEPTH} levels of nesting");
            return ("too-deep", message, Some("no key needs that many: is this the right file?"));
        }
        K::TabNotAllowed | K::TabInBlockIndentation | K::TabInIndentation | K::TabAtBlockScalarStart => {
            ("a tab cannot be used for indentation".to_owned(), "indent with spaces")
        }
        K::UnclosedQuotedScalar | K::DocumentIndicatorInQuotedScalar => {
            ("a quoted text is never closed".into(), "add the missing quote")
        }
        K::InvalidQuotedScalarIndent => (
            "a quoted text is not closed, or goes on in a line that is not indented".into(),
            "add the missing quote, or indent the line",
        ),
        K::UnclosedFlowCollection { open } => (format!("`{open}` is never closed"), "add the missing bracket"),
        K::MismatchedFlowCollectionEnd { open, close } => {
            (format!("`{open}` is closed by `{close}`"), "make the brackets match")
        }
        K::MisplacedFlowCollectionEnd => ("a bracket closes nothing".into(), "remove it, or put the text in quotes"),
        K::ExpectedFlowMappingSeparator | K::ExpectedFlowSequenceSeparator => {
            ("a `,` or the closing bracket is missing".into(), "separate the items with `,`")
        }
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::InvalidMappingValueWhitespace => (
            "a `:` cannot stand here".into(),
            "write a space after the `:` of a key, put a text that holds `: ` in quotes, and indent the keys of one mapping by the same amount",
        ),
        K::ExpectedBlockMappingKey | K::SimpleKeyExpected | K::InvalidSimpleKey | K::MappingKeyNotAllowed => {
            ("expected `key: value`".into(), "write a `:` and a space after the key, and check the indentation")
        }
        K::ExpectedBlockSequenceEntry | K::BlockSequenceEntryNotAllowed | K::InvalidBlockEntryWhitespace => {
            ("expected an item that starts with `- `".into(), "indent the items of a list by the same amount")
        }
        K::InvalidIndentation | K::InvalidFlowScalarIndent | K::InvalidBlockScalarIndent => {
            ("the indentation does not fit".into(), "indent the keys of one mapping by the same amount")
        }
        K::UnknownAnchor => ("an alias names nothing".into(), "write `&name` before what `*name` should stand for"),
        K::UnexpectedCharacter { character } => {
            (format!("a value cannot start with `{}`", character.escape_debug()), "put the text in quotes")
        }
        K::UnknownQuotedScalarEscape => (
            "an escape after `\\` is not known".into(),
            "write `\\\\` for a backslash, or use single quotes, in which nothing is escaped",
        ),
        other => return ("syntax", format!("not valid YAML: {other}"), None),
    };
    ("syntax", message, Some(help))
}

#[cfg(test)]
mod tests {
    use crate::config::tree;

    #[test]
    fn a_space_that_is_none_is_named() {
        for text in ["a:\u{a0}1\nb: 2", "a: 1\n\u{a0}\u{a0}b: 2: 3"] {
            let mut found = Vec::new();
            tree::parse(text, &mut |p| found.push(p.help));
            let help = "there is a no-break space (U+00A0) in this line or the one before: replace it by a space";
            assert_eq!(found, [Some(help.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn a_syntax_error_says_where_and_what_to_do() {
        let cases = [
            ("a:\n\t- b", "2:2 a tab cannot be used for indentation"),
            ("a: \"x\n", "1:5 a quoted text is not closed, or goes on in a line that is not indented"),
            ("a: [1,\n", "1:4 `[` is never closed"),
            ("a: [1}\n", "1:4 `[` is closed by `}`"),
            ("a: b: c", "1:5 a `:` cannot stand here"),
            ("a: 1\n  b: 2", "2:4 a `:` cannot stand here"),
            ("a: @b", "1:4 a value cannot start with `@`"),
            ("- a\nb: 1", "2:1 expected an item that starts with `- `"),
            ("a: 1\nb\n", "2:1 expected `key: value`"),
            ("a: \"\\d\"", "1:4 an escape after `\\` is not known"),
            ("a: { b: ${C} }", "1:10 an expansion inside `{ }` or `[ ]` needs quotes"),
            ("a: [x${C}]", "1:7 an expansion inside `{ }` or `[ ]` needs quotes"),
            ("a: *b", "1:4 an alias names nothing"),
        ];
        for (text, expected) in cases {
            let mut found = Vec::new();
            tree::parse(text, &mut |p| found.push(format!("{}:{} {}", p.span.line, p.span.column, p.message)));
            assert_eq!(found, [expected], "{text:?}");
        }
    }
}
