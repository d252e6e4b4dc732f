//! What a terminal can do that a file cannot: colours, a width, and a line that is rewritten.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use super::output::Output;
use super::{coloured, is_able};
use crate::config::source::Environment;

/// Colours, where they are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colours(bool);

impl Colours {
    /// Paints on `stream` if it takes colours.
    pub(super) fn on(stream: &impl IsTerminal, environment: &Environment) -> Self {
        Self(coloured(stream, environment))
    }

    /// `text` in the colour of the state or verdict called `label`.
    pub(super) fn state(self, label: &str, text: &str) -> String {
        let code = match label {
            "ok" => "32",
            "degraded" | "skipped" => "33",
            _ => "1;31",
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// How many columns the terminal `stream` has; nothing where it is none.
pub(super) fn columns(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(stream).map(|size| usize::from(size.ws_col));
    // A terminal that does not know (a serial line) says 0.
    Some(columns.ok().filter(|columns| *columns > 0).unwrap_or(80))
}

/// Progress on standard error: lines that stay, and on a terminal one more that is rewritten.
#[derive(Debug)]
pub(super) struct ProgressLine {
    output: Output,
    live: bool,
    /// What the rewritten line says; empty while it is not there.
    shown: String,
}

impl ProgressLine {
    /// Progress on standard error. It is live on a terminal that can move its cursor.
    pub(super) fn new(output: Output, environment: &Environment) -> Self {
        let live = is_able(&io::stderr(), environment);
        Self { output, live, shown: String::new() }
    }

    /// Whether there is a line that is rewritten.
    pub(super) const fn is_live(&self) -> bool {
        self.live
    }

    /// A line that stays, and is there however slowly it is read: for what is said once of each check.
    pub(super) fn finding(&mut self, text: &str) {
        self.clear();
        self.output.complain(format!("{text}\n"));
    }

    /// A line that stays, unless too much waits to be written already.
    pub(super) fn line(&mut self, text: &str) {
        self.clear();
        self.output.progress(format!("{text}\n"));
    }

    /// What the rewritten line says from now on, cut to the width of the terminal.
    pub(super) fn status(&mut self, text: &str) {
        // It is rewritten once the last one can be seen.
        if self.live && self.shown != text && self.output.is_written() {
            let room = columns(&io::stderr()).unwrap_or(80).saturating_sub(1);
            self.output.progress(format!("\r\x1b[2K{}", cut(text, room)));
            text.clone_into(&mut self.shown);
        }
    }

    /// Takes the rewritten line away.
    fn clear(&mut self) {
        if !std::mem::take(&mut self.shown).is_empty() {
            self.output.complain("\r\x1b[2K".into());
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `text` in at most `room` characters.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).take(room).collect()
}

/// `text` broken between words into lines of at most `width` columns; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_the_width_of_the_terminal() {
        assert_eq!(cut("running: database", 17), "running: database");
        assert_eq!(cut("running: database", 10), "running: …");
        assert_eq!(cut("x", 0), "");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("timed out after 2s (connecting)", 12), ["timed out", "after 2s", "(connecting)"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn without_colours_nothing_is_painted() {
        assert_eq!(Colours(false).state("error", "error"), "error");
        assert_eq!(Colours(true).state("error", "error"), "\x1b[1;31merror\x1b[0m");
    }
}
