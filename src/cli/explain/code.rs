//! What a diagnostic code means.

use super::wrap::wrapped;
use crate::base::value::Severity;
use crate::config::codes::{CODES, Code};
use crate::config::document;
use crate::simulation::pitfalls::{PITFALLS, Pitfall};

/// What a code means: of a configuration or of a pod.
struct Meaning {
    level: &'static str,
    name: &'static str,
    meaning: &'static str,
    explanation: &'static str,
    wrong: &'static str,
    right: &'static str,
}

impl From<&Code> for Meaning {
    fn from(code: &Code) -> Self {
        let level = match code.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let &Code { name, meaning, explanation, wrong, right, .. } = code;
        Self { level, name, meaning, explanation, wrong, right }
    }
}

impl From<&Pitfall> for Meaning {
    fn from(pitfall: &Pitfall) -> Self {
        let &Pitfall { name, level, meaning, explanation, wrong, right } = pitfall;
        Self { level: level.label(), name, meaning, explanation, wrong, right }
    }
}

/// Every code: first those of configurations, then those of pods.
fn meanings() -> impl Iterator<Item = Meaning> {
    CODES.iter().map(Meaning::from).chain(PITFALLS.iter().map(|pitfall| Meaning::from(*pitfall)))
}

/// The names of all codes, under what they are about.
pub fn names() -> [(&'static str, Vec<&'static str>); 2] {
    let of_files = CODES.iter().map(|code| code.name).collect();
    let of_pods = PITFALLS.iter().map(|pitfall| pitfall.name).collect();
    [("Codes of a configuration", of_files), ("Codes of a pod", of_pods)]
}

/// What the code called `name` means, or why there is nothing to say. It may be written as in a report,
/// `error[unknown-key]`.
pub fn explained(name: &str) -> Result<String, String> {
    let bare = ["error", "warning", "note"].iter().fold(name, |name, level| name.trim_start_matches(level));
    let bare = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    meanings().find(|meaning| meaning.name == bare).map(|meaning| meaning.text()).ok_or_else(|| unknown(bare))
}

impl Meaning {
    /// It with a wrong and a right example.
    fn text(&self) -> String {
        let mut text = wrapped(&format!("{}[{}]: ", self.level, self.name), self.meaning, 2);
        text.push('\n');
        text += &wrapped("", self.explanation, 0);
        for (title, example) in [("Wrong", self.wrong), ("Right", self.right)] {
            text += &format!("\n{title}:\n\n{}", indented(example));
        }
        text
    }
}

/// Why there is nothing to say about `name`: the code that was meant, or all there are.
fn unknown(name: &str) -> String {
    let text = format!("error: there is no diagnostic code `{}`\n", name.escape_debug());
    if name.contains(['.', '/']) {
        return text + "  help: name a configuration with `--config`: `probelet explain --config config.yaml`\n";
    }
    let names: Vec<_> = meanings().map(|meaning| meaning.name).collect();
    match document::nearest(name, names.iter().copied()) {
        Some(near) => format!("{text}  help: did you mean `{near}`?\n"),
        None => text + &wrapped("  help: the codes are ", &names.join(", "), 4),
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
        for meaning in meanings() {
            let text = meaning.text();
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
        assert!(meanings().all(|meaning| words.contains(&meaning.name)), "{text}");
    }
}
