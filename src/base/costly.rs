//! Patterns that may take too long on the texts that they are for: told when the file is read, not found out by a
//! target.

use super::pattern::Pattern;
use super::value::{Section, SourceSpan};

/// What is searched for a pattern: so many bytes at most.
#[derive(Clone, Copy, Debug)]
pub enum Haystack {
    /// A body, of which `max_body` says how much is read.
    Body(u64),
    /// A text whose length nobody declares.
    Text(u64),
}

/// Reports a pattern for which a search may cost more than any should; whether it did.
pub fn is_reported(fields: &Section, place: &SourceSpan, pattern: &Pattern, haystack: Haystack) -> bool {
    let (Haystack::Body(bytes) | Haystack::Text(bytes)) = haystack;
    if pattern.longest_text() >= bytes {
        return false;
    }
    let smaller = "smaller numbers in `{…}`";
    let (what, help) = match haystack {
        Haystack::Body(_) => {
            ("a body", format!("write `max_body: {}` or less, or {smaller}", written(pattern.longest_text())))
        }
        Haystack::Text(_) => ("text", format!("write {smaller}")),
    };
    let message = format!(
        "the pattern takes {} when it is compiled, too much to look for it in {} of {what}",
        shown(pattern.size()),
        shown(bytes)
    );
    fields.report_at(place, "costly-pattern", message, Some(help));
    true
}

fn shown(bytes: u64) -> String {
    super::quantity::show_size(bytes).replace(".0 ", " ")
}

/// A size as the file writes it, rounded down.
fn written(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes}B"),
        1024..0x10_0000 => format!("{}KiB", bytes >> 10),
        _ => format!("{}MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_the_file_has_them() {
        for (bytes, text) in [(1023, "1023B"), (1024, "1KiB"), (0x10_0000 - 1, "1023KiB"), (0x50_0001, "5MiB")] {
            assert_eq!(written(bytes), text);
        }
    }
}
