//! A diagnostic as text, in the manner of rustc: what is wrong, the line with a mark under the thing meant, and help.

use std::fmt::Write;
use std::ops::Range;

use super::mask::{self, Mask};
use super::quote;
use crate::base::value::Problem;
use crate::base::value::{Severity, SourceSpan};

/// A problem with the line that it is about.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The problem.
    pub problem: Problem,
    /// The line, passwords masked; nothing when there is no line, as when the file cannot be read.
    pub(super) snippet: Option<Snippet>,
}

/// A line of the file as it is shown, and what of it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    line: String,
    meant: Range<usize>,
}

/// The longest line that is shown whole, in columns of the terminal.
const WIDEST: usize = 120;

/// What stays in front of the thing meant when a longer line is cut.
const BEFORE: usize = 40;

/// How many columns a tab takes.
const TAB: usize = 4;

/// What is looked at around the place of a problem, in characters: more than can be shown once secrets are left out.
const LOOKED_AT: usize = 400;

impl Snippet {
    /// What stands around `span` on its `line`, without what `mask` hides.
    pub(super) fn new(mask: &Mask<'_>, line: &str, span: &SourceSpan) -> Self {
        let skipped = (span.column as usize).saturating_sub(LOOKED_AT);
        let from = mask::byte_of_column(line, number(skipped + 1));
        let to = line[from..].char_indices().nth(2 * LOOKED_AT).map_or(line.len(), |(offset, _)| from + offset);
        let secrets = mask.secrets(span.line, number(skipped + 1), &line[from..to]);
        let (before, behind) = (if from > 0 { "…" } else { "" }, if to < line.len() { "…" } else { "" });
        let column = span.column - number(skipped);
        let Self { line, meant } = Self::of(&line[from..to], &secrets, column, span.width);
        let meant = meant.start + before.len()..meant.end + before.len();
        Self { line: format!("{before}{line}{behind}"), meant }
    }

    /// `line` without its `secrets`, marked at `column` for `width` characters.
    fn of(line: &str, secrets: &[Range<usize>], column: u32, width: u32) -> Self {
        let offset = |column| quote::moved(mask::byte_of_column(line, column), secrets);
        let meant = offset(column)..offset(column.saturating_add(width));
        Self { line: quote::replace(line, secrets), meant }
    }

    /// The line and the marks under it, each at most [`WIDEST`] columns wide.
    fn lines(&self) -> (String, String) {
        let mut cells: Vec<(char, usize, bool)> = Vec::new();
        for (offset, character) in self.line.char_indices() {
            let meant = self.meant.contains(&offset);
            match character {
                '\t' => cells.extend([(' ', 1, meant); TAB]),
                plain if quote::is_plain(plain) => cells.push((plain, columns(plain), meant)),
                _ => cells.push(('\u{fffd}', 1, meant)),
            }
        }
        if !cells.iter().any(|(_, width, meant)| *meant && *width > 0) {
            // The end of the line is meant.
            cells.push((' ', 1, true));
        }
        let cells = cut(cells);
        let line: String = cells.iter().map(|(character, ..)| character).collect();
        let last = cells.iter().rposition(|(_, _, meant)| *meant).map_or(0, |last| last + 1);
        let mark = |(_, width, meant): &(char, usize, bool)| if *meant { "^" } else { " " }.repeat(*width);
        (line.trim_end().to_owned(), cells[..last].iter().map(mark).collect())
    }
}

/// The part of a long line around what is meant.
fn cut(cells: Vec<(char, usize, bool)>) -> Vec<(char, usize, bool)> {
    let width: usize = cells.iter().map(|(_, width, _)| width).sum();
    if width <= WIDEST {
        return cells;
    }
    let first = cells.iter().position(|(_, _, meant)| *meant).unwrap_or_default();
    let from = first.saturating_sub(BEFORE);
    let mut shown = Vec::new();
    let mut taken = 0;
    if from > 0 {
        shown.push(('…', 1, false));
    }
    for cell in &cells[from..] {
        taken += cell.1;
        if taken > WIDEST {
            shown.push(('…', 1, false));
            break;
        }
        shown.push(*cell);
    }
    shown
}

/// How many columns of a terminal a character takes: two in the scripts of East Asia and in emoji, none when it is set
/// above the one before it.
fn columns(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The word for a severity.
pub const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// One diagnostic, over several lines.
pub(super) fn diagnostic(file: &str, diagnostic: &Diagnostic, colour: bool) -> String {
    let problem = &diagnostic.problem;
    let span = &problem.span;
    let paint = Palette { colour, severity: problem.severity };
    let head = paint.severity(&format!("{}[{}]", word(problem.severity), problem.code));
    let mut text = format!("{head}{}\n", paint.bold(&format!(": {}", problem.message)));
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = paint.frame("|");
    let add = |text: &mut String, line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    let Some(snippet) = &diagnostic.snippet else {
        add(&mut text, format_args!(" {margin}{} {file}", paint.frame("-->")));
        notes(&mut text, diagnostic, &margin, &paint);
        return text;
    };
    let (line, marks) = snippet.lines();
    add(&mut text, format_args!("{margin}{} {file}:{}:{}", paint.frame("-->"), span.line, span.column));
    add(&mut text, format_args!("{margin} {bar}"));
    add(&mut text, format_args!("{} {bar} {line}", paint.frame(&number)));
    add(
        &mut text,
        format_args!("{margin} {bar} {}{}", " ".repeat(leading(&marks)), paint.severity(marks.trim_start())),
    );
    if !span.path.is_empty() || problem.help.is_some() {
        add(&mut text, format_args!("{margin} {bar}"));
    }
    notes(&mut text, diagnostic, &margin, &paint);
    text
}

fn notes(text: &mut String, diagnostic: &Diagnostic, margin: &str, paint: &Palette) {
    let equals = paint.frame("=");
    let problem = &diagnostic.problem;
    if !problem.span.path.is_empty() {
        text.push_str(&format!("{margin} {equals} {}: {}\n", paint.bold("at"), shortened(&problem.span.path.text())));
    }
    if let Some(help) = &problem.help {
        text.push_str(&format!("{margin} {equals} {}: {help}\n", paint.bold("help")));
    }
}

/// The end of a path too long for a line is enough.
fn shortened(path: &str) -> String {
    let length = path.chars().count();
    if length > WIDEST {
        format!("…{}", path.chars().skip(length - WIDEST).collect::<String>())
    } else {
        path.to_owned()
    }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn leading(marks: &str) -> usize {
    marks.len() - marks.trim_start().len()
}

/// Colours for a terminal, or none.
struct Palette {
    colour: bool,
    severity: Severity,
}

impl Palette {
    fn severity(&self, text: &str) -> String {
        let code = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.paint(code, text)
    }

    fn frame(&self, text: &str) -> String {
        self.paint("1;34", text)
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::value::Problem;

    fn shown(line: &str, secrets: &[Range<usize>], column: u32, width: u32) -> (String, String) {
        Snippet::of(line, secrets, column, width).lines()
    }

    #[test]
    fn the_mark_stands_under_the_thing_meant() {
        let pair = |line: &str, marks: &str| (line.to_owned(), marks.to_owned());
        assert_eq!(shown("  timeot: 2s", &[], 3, 6), pair("  timeot: 2s", "  ^^^^^^"));
        assert_eq!(shown("\tname: x", &[], 8, 1), pair("    name: x", "          ^"));
        assert_eq!(shown("名: é x", &[], 6, 1), pair("名: é x", "      ^"));
        assert_eq!(shown("a:", &[], 3, 1), pair("a:", "  ^"));
        assert_eq!(shown("a\u{1b}[0mb", &[], 1, 9), pair("a\u{fffd}[0mb", "^^^^^^"));
        assert_eq!(shown("x: hunter2, y: 1", std::slice::from_ref(&(3..10)), 13, 1), pair("x: ***, y: 1", "        ^"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_thing_meant() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let (line, marks) = shown(&line, &[], 501, 4);
        assert_eq!(line, format!("…{}HERE{}…", "a".repeat(40), "b".repeat(76)));
        assert_eq!(marks, format!("{}^^^^", " ".repeat(41)));
    }

    #[test]
    fn a_diagnostic_is_shown_in_the_manner_of_rustc() {
        let span = SourceSpan { path: "checks[0].timeot".into(), line: 12, column: 5, width: 6 };
        let problem = Problem {
            severity: Severity::Error,
            code: "unknown-key",
            message: "unknown key `timeot`".into(),
            help: Some("did you mean `timeout`?".into()),
            span,
        };
        let snippet = Some(Snippet::of("    timeot: 2s", &[], 5, 6));
        assert_eq!(
            diagnostic("config.yaml", &Diagnostic { problem, snippet }, false),
            "error[unknown-key]: unknown key `timeot`
  --> config.yaml:12:5
   |
12 |     timeot: 2s
   |     ^^^^^^
   |
   = at: checks[0].timeot
   = help: did you mean `timeout`?
"
        );
    }
}
