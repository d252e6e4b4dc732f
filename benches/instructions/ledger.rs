//! The checked-in file: what was counted last, and what has moved since.

use std::path::PathBuf;
use std::process::Command;

use crate::SIZES;

/// What moves by less than this is noise, and stays as it is written.
const NOISE: f64 = 0.03;

/// The lines of the file.
pub struct Ledger {
    lines: Vec<(String, [Option<f64>; SIZES.len()])>,
}

impl Ledger {
    /// Reads the file; nothing where there is none.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(path()).unwrap_or_default();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        let lines = rows.filter_map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let count = |cell: &str| cell.replace(',', "").parse::<f64>().ok();
            let [line, small, large] = cells[..] else { return None };
            let counts = [count(small), count(large)];
            (line != "instructions" && !line.starts_with('-')).then(|| (line.to_owned(), counts))
        });
        Self { lines: lines.collect() }
    }

    /// Enters what was counted, and says so where it has moved.
    pub fn enter(&mut self, line: &str, column: usize, count: f64) {
        let known = self.lines.iter().position(|(name, _)| name == line);
        let known = known.unwrap_or_else(|| {
            self.lines.push((line.to_owned(), [None; SIZES.len()]));
            self.lines.len() - 1
        });
        let cell = &mut self.lines[known].1[column];
        let moved = cell.map(|before| count / before - 1.0);
        let size = SIZES[column];
        match moved {
            None => println!("{line}, {size} checks: {} instructions", thousands(count)),
            Some(moved) if moved.abs() < NOISE => {
                println!(
                    "{line}, {size} checks: {} instructions, as before ({:+.1} %)",
                    thousands(count),
                    moved * 100.0
                );
                return;
            }
            Some(moved) => {
                let before = cell.map(thousands).unwrap_or_default();
                println!(
                    "{line}, {size} checks: MOVED from {before} to {} ({:+.1} %)",
                    thousands(count),
                    moved * 100.0
                );
            }
        }
        *cell = Some(count);
    }

    /// Writes the file.
    pub fn write(&self) {
        let mut text = format!(
            "# Instructions\n\nWhat `make instructions` counted (callgrind, {}; {} on {}). A figure is written anew when it has \
             moved by\nmore than {:.0} %; they are rounded to four digits. A run is one of eight checks of that kind among so \
             many\nthat stand still, with its publication. The daemon is the release build. `?` is to be counted yet.\n\n",
            first_line("valgrind"),
            first_line("rustc"),
            std::env::consts::ARCH,
            NOISE * 100.0,
        );
        text += &format!(
            "| instructions | {} checks | {} checks |\n| --- | --: | --: |\n",
            SIZES[0],
            thousands(SIZES[1] as f64)
        );
        for (line, counts) in &self.lines {
            let [small, large] = counts.map(|count| count.map_or_else(|| "?".into(), thousands));
            text += &format!("| {line} | {small} | {large} |\n");
        }
        std::fs::write(path(), text).expect("the file can be written");
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.md")
}

fn first_line(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// Four digits of a number, with its thousands set apart.
fn thousands(count: f64) -> String {
    let unit = 10_f64.powf((count.abs().max(1.0).log10().floor() - 3.0).max(0.0));
    let digits = format!("{:.0}", (count / unit).round() * unit);
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && digit != '-' {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
