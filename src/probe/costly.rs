//! Patterns that may take too long on the texts that they are for: told when the file is read, not found out by a
//! target.

use crate::base::pattern::Pattern;
use crate::base::value::{Section, SourceSpan};

/// Reports that a search for `pattern` in a body of `max_body` bytes may cost more than any should.
pub(super) fn report(fields: &Section, place: &SourceSpan, pattern: &Pattern, max_body: u64) {
    let message = format!(
        "the pattern takes {} when it is compiled, too much to look for it in {} of a body",
        shown(pattern.size()),
        shown(max_body)
    );
    let help = format!("write `max_body: {}` or less, or smaller numbers in `{{…}}`", written(pattern.longest_text()));
    fields.report_at(place, "costly-pattern", message, Some(help));
}

fn shown(bytes: u64) -> String {
    crate::base::quantity::show_size(bytes).replace(".0 ", " ")
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
