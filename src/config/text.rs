//! The text of a file: decoding, lines, and the bounds that hold before any YAML is looked at.

use std::borrow::Cow;

use crate::base::value::{Problem, Severity, SourceSpan};

/// The largest configuration, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The most that manifests may have together, in bytes: a rendered chart has some megabytes with its CRDs.
pub const MAX_MANIFESTS: usize = 64 << 20;

/// What helps where a configuration is too large.
pub(super) const HELP_TOO_LARGE: &str =
    "is this the right file? A configuration has a few kilobytes, and says once, in `defaults`, what checks share";

/// `bytes` of a configuration as text, without a byte order mark.
///
/// # Errors
/// Why it cannot be YAML: too large, not UTF-8, or with a control character in it.
pub fn decode(bytes: &[u8]) -> Result<&str, Box<Problem>> {
    match bytes.len() {
        // Whatever it is.
        len if len > MAX_MANIFESTS => decode_manifests(bytes, MAX_MANIFESTS),
        len if len > MAX_BYTES => Err(problem("too-large", "the file is larger than 1 MiB", HELP_TOO_LARGE, (1, 1))),
        _ => decode_text(bytes),
    }
}

/// The same for manifests, of which there are `most` bytes at most.
///
/// # Errors
/// As for [`decode`].
pub fn decode_manifests(bytes: &[u8], most: usize) -> Result<&str, Box<Problem>> {
    if bytes.len() > most {
        let message = format!("the manifests are larger than {} MiB", most >> 20);
        let help = "give only those of the pod and of the ConfigMap that holds its configuration";
        return Err(problem("too-large", message, help, (1, 1)));
    }
    decode_text(bytes)
}

fn decode_text(bytes: &[u8]) -> Result<&str, Box<Problem>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let help = "save it as UTF-8";
            return Err(problem("not-utf8", "the file is not UTF-8 text", help, position(&before, before.len())));
        }
    };
    // Nearly all files are of these alone.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')) {
        return Ok(text);
    }
    match text.char_indices().find(|(_, character)| !is_printable(*character)) {
        None => Ok(text),
        Some((offset, character)) => {
            let message = format!("the file holds the control character `{}`", character.escape_default());
            let help = "remove it, or write it as an escape inside double quotes, such as \"\\t\" or \"\\x1b\"";
            Err(problem("invalid-character", message, help, position(text, offset)))
        }
    }
}

/// What can be shown of bytes that are no YAML text; nothing of a file that is too large.
pub fn as_far_as_shown(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let without_mark = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    (bytes.len() <= MAX_BYTES).then(|| String::from_utf8_lossy(without_mark))
}

/// The lines of `text`, by the line breaks of YAML: LF, CR LF and CR.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(end) = current.find(['\n', '\r']) else {
            rest = None;
            return Some(current);
        };
        let line_break = if current[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&current[end + line_break..]);
        Some(&current[..end])
    })
}

/// YAML 1.2, section 5.1, without the byte order mark, which may only stand at the start.
fn is_printable(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' => true,
        '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        other => !other.is_control(),
    }
}

/// The line and column of the byte at `offset`.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let (mut line, mut column) = (1, 1);
    for (number, content) in lines(&text[..offset]).enumerate() {
        (line, column) = (number + 1, content.chars().count() + 1);
    }
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

fn problem(code: &'static str, message: impl Into<String>, help: &str, (line, column): (u32, u32)) -> Box<Problem> {
    Box::new(Problem {
        severity: Severity::Error,
        code,
        message: message.into(),
        help: Some(help.into()),
        span: SourceSpan { path: "".into(), line, column, width: 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_every_line_break_of_yaml() {
        assert_eq!(lines("a\nb\r\nc\rd\n").collect::<Vec<_>>(), ["a", "b", "c", "d", ""]);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn bytes_that_are_no_yaml_text_are_refused_with_their_place() {
        let span = |bytes: &[u8]| {
            let problem = decode(bytes).unwrap_err();
            (problem.code, problem.span.line, problem.span.column)
        };
        assert_eq!(span(b"a: 1\nb: \xff"), ("not-utf8", 2, 4));
        assert_eq!(span(b"\xff\xfea\x00"), ("not-utf8", 1, 1));
        assert_eq!(span("é: 1\r\nx\0".as_bytes()), ("invalid-character", 2, 2));
        assert_eq!(span("a\u{feff}".as_bytes()), ("invalid-character", 1, 2));
        assert_eq!(span(&vec![b'#'; MAX_BYTES + 1]), ("too-large", 1, 1));
        assert_eq!(decode(&vec![b'#'; MAX_BYTES]).unwrap().len(), MAX_BYTES);
        assert_eq!(decode("\u{feff}a: 1".as_bytes()).unwrap(), "a: 1");
    }
}
