//! A timeline as text: a chart of 80 columns, what happens line by line, and how it went.

use std::time::Duration;

use super::chart::{self, ChartCell, ChartRow, LEGEND};
use super::describe;
use crate::simulation::timeline::Timeline;

/// How wide the chart is.
const WIDTH: usize = 80;
/// The longest label that is shown whole.
const LONGEST_LABEL: usize = 24;
/// The most events that are told; a flapping check could make thousands.
const MOST_EVENTS: usize = 1000;

/// The whole timeline.
pub fn text(timeline: &Timeline, colour: bool) -> String {
    let mut text = chart(timeline, colour);
    text.push('\n');
    let label = label_width(timeline.events.iter().map(|event| describe::subject(timeline, event)));
    for event in timeline.events.iter().take(MOST_EVENTS) {
        let subject = describe::subject(timeline, event);
        text +=
            &format!("{:>9}  {subject:label$}  {}\n", describe::time(event.at), describe::sentence(timeline, event));
    }
    if let Some(more @ 1..) = timeline.events.len().checked_sub(MOST_EVENTS) {
        text += &format!("… and {more} more events: --format json has them all\n");
    }
    text.push('\n');
    for (subject, sentence) in describe::summary(timeline) {
        text += &format!("{subject:9}  {sentence}\n");
    }
    text
}

fn chart(timeline: &Timeline, colour: bool) -> String {
    let rows = |count| chart::rows(timeline, count);
    let label = label_width(rows(1).into_iter().map(|row| row.label));
    let count = WIDTH - label - 1;
    let mut text = format!("{:label$} {}\n", "", axis(timeline.length, count));
    for row in rows(count) {
        text += &format!("{:label$} {}\n", shortened(&row.label), line(&row, colour).trim_end());
    }
    text + "\n" + &legend(colour)
}

fn label_width(labels: impl Iterator<Item = String>) -> usize {
    labels.map(|label| label.chars().count().min(LONGEST_LABEL)).max().unwrap_or_default()
}

fn shortened(label: &str) -> String {
    if label.chars().count() > LONGEST_LABEL {
        label.chars().take(LONGEST_LABEL - 1).chain(['…']).collect()
    } else {
        label.to_owned()
    }
}

/// The times over the rows: `|0s       |1m       |2m`.
fn axis(length: Duration, count: usize) -> String {
    let mut axis = String::new();
    for mark in chart::marks(length, count, 8) {
        let column = chart::cell_at(mark, length, count);
        let gap = column.saturating_sub(axis.chars().count());
        axis += &format!("{}|{}", " ".repeat(gap), describe::time(mark));
    }
    axis
}

fn line(row: &ChartRow, colour: bool) -> String {
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
const fn look(cell: ChartCell) -> (char, Option<&'static str>) {
    match cell {
        ChartCell::Well => ('─', Some("32")),
        ChartCell::Degraded => ('▒', Some("33")),
        ChartCell::Pending => ('·', None),
        ChartCell::Skipped => ('░', Some("36")),
        ChartCell::Stale => ('?', Some("35")),
        ChartCell::Down => ('█', Some("31")),
        ChartCell::Restart => ('R', Some("1;31")),
        ChartCell::Refused => ('!', Some("1;31")),
        ChartCell::Silent => ('~', Some("35")),
        ChartCell::Fault => ('x', Some("2")),
        ChartCell::NoFault => (' ', None),
    }
}

fn legend(colour: bool) -> String {
    let mut lines = vec![String::new()];
    let mut width = 0;
    for (cell, meaning) in LEGEND {
        let entry = format!("{} {meaning}", line(&ChartRow { label: String::new(), cells: vec![cell] }, colour));
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
