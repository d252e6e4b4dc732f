//! What a diagnostic code means.

use super::wrap::wrapped;
use crate::base::value::Severity;
use crate::config::codes::{CODES, Code};
use crate::config::diagnostic;

/// The meaning of `code` with a wrong and a right example.
pub fn text(code: &Code) -> String {
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
pub fn unknown(name: &str) -> String {
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
            let prose = text.lines().filter(|line| !line.starts_with("    "));
            assert!(prose.map(|line| line.chars().count()).all(|columns| columns <= 80), "{text}");
        }
    }

    #[test]
    fn a_word_that_is_near_no_code_gets_them_all() {
        let text = unknown("banana");
        assert!(text.starts_with("error: there is no diagnostic code `banana`\n  help: the codes are "));
        let words: Vec<_> = text.split([' ', '\n', ',']).collect();
        assert!(CODES.iter().all(|code| words.contains(&code.name)), "{text}");
    }
}
