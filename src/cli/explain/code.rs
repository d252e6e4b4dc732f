//! What a diagnostic code means.

use super::wrap::wrapped;
use crate::base::value::Severity;
use crate::config::codes::{CODES, Code};
use crate::config::diagnostic;

/// What the code called `name` means, or why there is nothing to say. It may be written as in a report,
/// `error[unknown-key]`.
pub fn explained(name: &str) -> Result<String, String> {
    let bare = name.trim_start_matches("error").trim_start_matches("warning");
    let bare = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    diagnostic::code(bare).map(text).ok_or_else(|| unknown(bare))
}

/// The meaning of `code` with a wrong and a right example.
fn text(code: &Code) -> String {
    let severity = match code.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = wrapped(&format!("{severity}[{}]: ", code.name), code.meaning, 2);
    text.push('\n');
    text += &wrapped("", code.explanation, 0);
    for (title, example) in [("Wrong", code.wrong), ("Right", code.right)] {
        text += &format!("\n{title}:\n\n{}", indented(example));
    }
    text
}

/// Why there is nothing to say about `name`: the code that was meant, or all there are.
fn unknown(name: &str) -> String {
    let text = format!("error: there is no diagnostic code `{}`\n", name.escape_debug());
    match diagnostic::nearest_code(name) {
        Some(near) => format!("{text}  help: did you mean `{near}`?\n"),
        None => {
            let names: Vec<_> = CODES.iter().map(|code| code.name).collect();
            text + &wrapped("  help: the codes are ", &names.join(", "), 4)
        }
    }
}

fn indented(example: &str) -> String {
    example.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_in_80_columns() {
        for code in CODES {
            let text = text(code);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn a_code_may_be_written_as_in_a_report() {
        for name in ["unknown-key", "error[unknown-key]", "warning[unknown-key]", "[unknown-key]"] {
            assert!(explained(name).is_ok_and(|text| text.starts_with("error[unknown-key]: ")), "{name}");
        }
        assert!(explained("error[unknwn-key]").is_err_and(|text| text.contains("did you mean `unknown-key`?")));
    }

    #[test]
    fn a_word_that_is_near_no_code_gets_them_all() {
        let text = unknown("banana");
        assert!(text.starts_with("error: there is no diagnostic code `banana`\n  help: the codes are "));
        let words: Vec<_> = text.split([' ', '\n', ',']).collect();
        assert!(CODES.iter().all(|code| words.contains(&code.name)), "{text}");
    }
}
