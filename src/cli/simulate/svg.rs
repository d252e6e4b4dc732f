//! A timeline as a picture for a design document: one SVG that needs nothing else, readable without colours.

use std::fmt::Write;

use super::chart::{self, ChartCell, ChartRow, LEGEND};
use super::describe;
use crate::simulation::timeline::Timeline;

/// The width of the picture.
const WIDTH: usize = 960;
/// The height of a row, its gap included.
const ROW: usize = 24;
/// Where the first row begins.
const TOP: usize = 44;
/// What a character of a label takes.
const CHARACTER: usize = 8;
/// The longest label that is shown whole, in characters.
const LONGEST_LABEL: usize = 40;

/// The whole timeline.
pub fn svg(timeline: &Timeline) -> String {
    let widest = chart::rows(timeline, 1).iter().map(|row| row.label.chars().count()).max().unwrap_or_default();
    let left = (widest.min(LONGEST_LABEL) + 2) * CHARACTER;
    let columns = WIDTH - left - 16;
    let rows = chart::rows(timeline, columns);
    let bottom = TOP + rows.len() * ROW;
    let height = bottom + 16 + ROW * LEGEND.len().div_ceil(4);
    let mut svg = String::new();
    open(&mut svg, timeline, height);
    axis(&mut svg, timeline, left, columns, bottom);
    for (place, row) in rows.iter().enumerate() {
        bar(&mut svg, timeline, row, left, TOP + place * ROW);
    }
    legend(&mut svg, bottom + 16);
    svg + "</svg>\n"
}

/// Appends to the picture; writing to a string cannot fail.
macro_rules! draw {
    ($svg:expr, $($piece:tt)*) => {
        let _ = writeln!($svg, $($piece)*);
    };
}

fn open(svg: &mut String, timeline: &Timeline, height: usize) {
    let title = escaped(&format!("{}: {}", timeline.plan.service.name, describe::time(timeline.length)));
    draw!(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    draw!(svg, "<title>{title}</title>");
    draw!(svg, "<desc>");
    for (subject, sentence) in describe::summary(timeline) {
        draw!(svg, "{}", escaped(&format!("{subject}: {sentence}")));
    }
    draw!(svg, "</desc>");
    draw!(svg, "<defs>");
    for (cell, fill, pattern) in LOOKS {
        if let Some(strokes) = pattern {
            let name = class(*cell);
            draw!(
                svg,
                "<pattern id=\"probelet-{name}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><rect width=\"8\" height=\"8\" fill=\"{fill}\"/><path d=\"{strokes}\" stroke=\"#fff\" stroke-width=\"1.5\"/></pattern>"
            );
        }
    }
    draw!(svg, "</defs>");
    draw!(svg, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>");
    draw!(svg, "<g font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"13\" fill=\"#1f2328\">");
}

fn axis(svg: &mut String, timeline: &Timeline, left: usize, columns: usize, bottom: usize) {
    for mark in chart::marks(timeline.length, columns, 80) {
        let x = left + chart::cell_at(mark, timeline.length, columns);
        draw!(svg, "<path d=\"M{x} {}V{bottom}\" stroke=\"#d0d7de\"/>", TOP - 12);
        draw!(svg, "<text x=\"{x}\" y=\"{}\">{}</text>", TOP - 18, describe::time(mark));
    }
}

fn bar(svg: &mut String, timeline: &Timeline, row: &ChartRow, left: usize, top: usize) {
    let label: String = row.label.trim_start().chars().take(LONGEST_LABEL).collect();
    let indent = if row.label.starts_with(' ') { 24 } else { 8 };
    draw!(svg, "<text x=\"{indent}\" y=\"{}\">{}</text>", top + 14, escaped(&label));
    let mut at = 0;
    for run in row.cells.chunk_by(|a, b| a == b) {
        let (x, width) = (left + at, run.len());
        at += width;
        let Some(name) = meaning(run[0]) else { continue };
        let (y, height, width) = match run[0] {
            ChartCell::Well => (top + 7, 4, width),
            // A restart is a moment: it stands out of its row to be seen.
            ChartCell::Restart => (top - 3, ROW, width.max(4)),
            _ => (top, 18, width),
        };
        let (fill, from, to) = (paint(run[0]), point(timeline, row, at - run.len()), point(timeline, row, at));
        draw!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"><title>{}: {name}, about {from} to {to}</title></rect>",
            escaped(label.as_str())
        );
    }
}

/// The point in time at the left edge of a cell.
fn point(timeline: &Timeline, row: &ChartRow, cell: usize) -> String {
    #[allow(clippy::cast_precision_loss)] // some hundred cells
    let share = cell as f64 / row.cells.len().max(1) as f64;
    describe::time(timeline.length.mul_f64(share))
}

fn legend(svg: &mut String, top: usize) {
    for (place, (cell, name)) in LEGEND.iter().enumerate() {
        let (x, y) = (8 + place % 4 * 236, top + place / 4 * ROW);
        let (bar, height) = if *cell == ChartCell::Well { (y + 7, 4) } else { (y, 18) };
        draw!(svg, "<rect x=\"{x}\" y=\"{bar}\" width=\"24\" height=\"{height}\" fill=\"{}\"/>", paint(*cell));
        draw!(svg, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 32, y + 14);
    }
    draw!(svg, "</g>");
}

/// A colour for each look, and strokes on it where it has to be told without colours.
const LOOKS: &[(ChartCell, &str, Option<&str>)] = &[
    (ChartCell::Well, "#1a7f37", None),
    (ChartCell::Degraded, "#bf8700", Some("M0 4H8")),
    (ChartCell::Down, "#cf222e", None),
    (ChartCell::Skipped, "#57606a", Some("M0 8L8 0")),
    (ChartCell::Pending, "#8c959f", Some("M4 0V8")),
    (ChartCell::Stale, "#8250df", Some("M0 0L8 8M0 8L8 0")),
    (ChartCell::Fault, "#afb8c1", Some("M0 0L8 8")),
    (ChartCell::Restart, "#24292f", None),
    (ChartCell::Refused, "#a40e26", Some("M0 8L8 0M0 0L8 8")),
    (ChartCell::Silent, "#6e7781", Some("M4 0V8M0 4H8")),
];

fn paint(cell: ChartCell) -> String {
    match LOOKS.iter().find(|(other, ..)| *other == cell) {
        Some((_, _, Some(_))) => format!("url(#probelet-{})", class(cell)),
        Some((_, fill, None)) => (*fill).to_owned(),
        None => "none".to_owned(),
    }
}

const fn class(cell: ChartCell) -> &'static str {
    match cell {
        ChartCell::Well => "well",
        ChartCell::Degraded => "degraded",
        ChartCell::Down => "down",
        ChartCell::Skipped => "skipped",
        ChartCell::Pending => "pending",
        ChartCell::Stale => "stale",
        ChartCell::Fault => "fault",
        ChartCell::NoFault => "none",
        ChartCell::Restart => "restart",
        ChartCell::Refused => "refused",
        ChartCell::Silent => "silent",
    }
}

fn meaning(cell: ChartCell) -> Option<&'static str> {
    LEGEND.iter().find(|(other, _)| *other == cell).map(|(_, meaning)| *meaning)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
