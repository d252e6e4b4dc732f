//! What is printed: each figure with the least, the middle and the largest of its samples, and its goal.

use crate::figures::{Goal, Unit};
use crate::sheet::Sheet;

const NAME: usize = 62;
const COLUMN: usize = 18;
const FIGURE: usize = 12;

/// The sheet as text.
pub fn text(sheet: &Sheet) -> String {
    let mut lines = vec![
        String::new(),
        sheet.title.to_owned(),
        format!("{:<NAME$}{:<COLUMN$}{:>FIGURE$}{:>FIGURE$}{:>FIGURE$}{:>6}", "", "", "median", "least", "most", "of"),
    ];
    for (row, figure) in sheet.figures.iter().enumerate() {
        for (column, name) in sheet.columns.iter().enumerate() {
            let Some(spread) = sheet.spread(row, column) else { continue };
            let show = |value| figure.unit.show(value);
            let [median, least, most] = [spread.median, spread.least, spread.most].map(show);
            lines.push(format!(
                "{:<NAME$}{name:<COLUMN$}{median:>FIGURE$}{least:>FIGURE$}{most:>FIGURE$}{:>6}",
                figure.name, spread.count
            ));
        }
        if let Some(met) = sheet.is_met(row) {
            let verdict = ["MISSED", "met"][usize::from(met)];
            lines.push(format!("{:<NAME$}goal: {}: {verdict}", "", figure.goal.show(figure.unit)));
        }
    }
    lines.join("\n")
}

impl Goal {
    /// The goal as it is written beside a figure of this unit.
    pub fn show(self, unit: Unit) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(limit) | Self::Everywhere(limit) => format!("at most {}", unit.show(limit)),
            Self::AtMostOfBest(1.0) => "the least".into(),
            Self::AtMostOfBest(share) => format!("at most {share} × the next best"),
            Self::AtLeastOf(times, peer) => format!("at least {times} × {peer}"),
            Self::Flat(_) => "the same for any number".into(),
            Self::Linear(_) => "linear".into(),
        }
    }
}

impl Unit {
    /// A value as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Bytes if value.abs() >= 1024.0 * 1024.0 => format!("{} MiB", digits(value / 1024.0 / 1024.0)),
            Self::Bytes if value.abs() >= 1024.0 => format!("{} KiB", digits(value / 1024.0)),
            Self::Bytes => format!("{value:.0} B"),
            Self::Seconds if value.abs() < 1e-6 => format!("{} ns", digits(value * 1e9)),
            Self::Seconds if value.abs() < 1e-3 => format!("{} µs", digits(value * 1e6)),
            Self::Seconds if value.abs() < 1.0 => format!("{} ms", digits(value * 1e3)),
            Self::Seconds => format!("{} s", digits(value)),
            Self::PerSecond => thousands(value),
            Self::Count if value < 100.0 => digits(value),
            Self::Count => thousands(value),
            Self::Times => format!("{value:.2}"),
        }
    }
}

/// Two digits, or three.
fn digits(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A whole number with its thousands set apart.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
