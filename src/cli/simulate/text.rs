//! A story as text: a chart of 80 columns, what happens line by line, and how it went.

use std::time::Duration;

use super::chart::{self, Cell, LEGEND, Row};
use super::story::Story;
use super::words;

/// How wide the chart is.
const WIDTH: usize = 80;
/// The longest label that is shown whole.
const LONGEST_LABEL: usize = 24;
/// The most events that are told; a flapping check could make thousands.
const MOST_EVENTS: usize = 1000;

/// The whole story.
pub fn text(story: &Story, colour: bool) -> String {
    let mut text = chart(story, colour);
    text.push('\n');
    let label = label_width(story.events.iter().map(|event| words::subject(story, event)));
    for event in story.events.iter().take(MOST_EVENTS) {
        let subject = words::subject(story, event);
        text += &format!("{:>9}  {subject:label$}  {}\n", words::time(event.at), words::sentence(story, event));
    }
    if let Some(more @ 1..) = story.events.len().checked_sub(MOST_EVENTS) {
        text += &format!("… and {more} more events: --format json has them all\n");
    }
    text.push('\n');
    for (subject, sentence) in words::summary(story) {
        text += &format!("{subject:9}  {sentence}\n");
    }
    text
}

fn chart(story: &Story, colour: bool) -> String {
    let rows = |count| chart::rows(story, count);
    let label = label_width(rows(1).into_iter().map(|row| row.label));
    let count = WIDTH - label - 1;
    let mut text = format!("{:label$} {}\n", "", axis(story.length, count));
    for row in rows(count) {
        text += &format!("{:label$} {}\n", shortened(&row.label), line(&row, colour).trim_end());
    }
    text + "\n" + &legend(colour)
}

fn label_width(labels: impl Iterator<Item = String>) -> usize {
    labels.map(|label| label.chars().count().min(LONGEST_LABEL)).max().unwrap_or_default()
}

fn shortened(label: &str) -> String {
    match label.chars().count() > LONGEST_LABEL {
        true => label.chars().take(LONGEST_LABEL - 1).chain(['…']).collect(),
        false => label.to_owned(),
    }
}

/// The times over the rows: `|0s       |1m       |2m`.
fn axis(length: Duration, count: usize) -> String {
    let mut axis = String::new();
    for mark in chart::marks(length, count, 8) {
        let column = chart::cell_at(mark, length, count);
        let gap = column.saturating_sub(axis.chars().count());
        axis += &format!("{}|{}", " ".repeat(gap), words::time(mark));
    }
    axis
}

fn line(row: &Row, colour: bool) -> String {
    let mut line = String::new();
    for run in row.cells.chunk_by(|a, b| a == b) {
        let (sign, paint) = look(run[0]);
        let signs = String::from(sign).repeat(run.len());
        match paint.filter(|_| colour) {
            Some(paint) => line += &format!("\u{1b}[{paint}m{signs}\u{1b}[0m"),
            None => line += &signs,
        }
    }
    line
}

/// The sign of a cell, and its colour on a terminal.
const fn look(cell: Cell) -> (char, Option<&'static str>) {
    match cell {
        Cell::Well => ('─', Some("32")),
        Cell::Degraded => ('▒', Some("33")),
        Cell::Pending => ('·', None),
        Cell::Skipped => ('░', Some("36")),
        Cell::Stale => ('?', Some("35")),
        Cell::Down => ('█', Some("31")),
        Cell::Restart => ('R', Some("1;31")),
        Cell::Refused => ('!', Some("1;31")),
        Cell::Silent => ('~', Some("35")),
        Cell::Fault => ('x', Some("2")),
        Cell::NoFault => (' ', None),
    }
}

fn legend(colour: bool) -> String {
    let mut lines = vec![String::new()];
    let mut width = 0;
    for (cell, meaning) in LEGEND {
        let entry = format!("{} {meaning}", line(&Row { label: String::new(), cells: vec![cell] }, colour));
        let columns = meaning.chars().count() + 2;
        if width > 0 && width + 3 + columns > WIDTH {
            lines.push(String::new());
            width = 0;
        }
        if let Some(last) = lines.last_mut() {
            if width > 0 {
                last.push_str("   ");
                width += 3;
            }
            last.push_str(&entry);
            width += columns;
        }
    }
    lines.join("\n") + "\n"
}
