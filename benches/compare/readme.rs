//! The tables in README.md, between two marks.

use std::path::Path;

use crate::contestants::{Contestant, Maker};
use crate::figures::Goal;
use crate::machine::Machine;
use crate::sheet::Sheet;

const BEGIN: &str = "<!-- `make bench` writes what follows -->\n";
const END: &str = "<!-- to here -->\n";

/// Where the figures come from.
pub struct Account<'a> {
    /// The machine.
    pub machine: Machine,
    /// Who was measured, probelet first.
    pub all: &'a [Contestant],
    /// Who could not be built or did not start.
    pub missing: &'a [Maker],
}

impl Account<'_> {
    /// What a reader has to know of it.
    pub fn text(&self) -> String {
        let Machine { cores, processor, kernel, load, compiler, library, date } = &self.machine;
        let mut names = self.all.iter().map(|one| format!("{} {}", one.maker.name(), one.version));
        let ours = names.next().unwrap_or_default();
        let others: Vec<String> = names.collect();
        let others = if others.is_empty() { "nobody".into() } else { others.join(", ") };
        let missing: Vec<&str> = self.missing.iter().map(|maker| maker.name()).collect();
        let missing = match &missing[..] {
            [] => String::new(),
            names => format!(" Not there, because they could not be built here: {}.", names.join(", ")),
        };
        format!(
            "Measured by `make bench` on {date}: {ours}, beside {others}.{missing} {cores} cores ({processor}), Linux {kernel}, \
             {library}, {compiler}; load {load} before it began."
        )
    }
}

/// Writes the tables into README.md.
pub fn write(account: &Account, sheets: &[&Sheet]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).expect("README.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("README.md has the mark where the tables begin");
    let (_, after) = rest.split_once(END).expect("README.md has the mark where the tables end");
    let tables: String = sheets.iter().map(|sheet| format!("\n{}", table(sheet))).collect();
    let text = format!("{before}{BEGIN}\n{}\n{tables}\n{END}{after}", account.text());
    std::fs::write(&path, text).expect("README.md can be written");
    println!("\nREADME.md has these figures now.");
}

/// A sheet as a table in Markdown, without the columns that nothing was measured for.
fn table(sheet: &Sheet) -> String {
    let rows: Vec<usize> =
        (0..sheet.figures.len()).filter(|row| sheet.medians(*row).iter().any(Option::is_some)).collect();
    let columns: Vec<usize> = (0..sheet.columns.len())
        .filter(|column| rows.iter().any(|row| sheet.medians(*row)[*column].is_some()))
        .collect();
    let has_goals = rows.iter().any(|row| !matches!(sheet.figures[*row].goal, Goal::None));
    let mut heading = vec![sheet.title.to_owned()];
    heading.extend(columns.iter().map(|column| sheet.columns[*column].clone()));
    if has_goals {
        heading.push("goal".into());
    }
    let mut lines = vec![line(&heading), line(&vec!["---".to_owned(); heading.len()])];
    for row in rows {
        let (figure, medians) = (&sheet.figures[row], sheet.medians(row));
        let mut cells = vec![figure.name.to_owned()];
        let show = |column: &usize| medians[*column].map_or_else(|| "–".into(), |value| figure.unit.show(value));
        cells.extend(columns.iter().map(show));
        if has_goals {
            let verdict = match sheet.is_met(row) {
                Some(true) => ": met",
                Some(false) => ": **missed**",
                None => "",
            };
            cells.push(format!("{}{verdict}", figure.goal.show(figure.unit)));
        }
        lines.push(line(&cells));
    }
    lines.concat()
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
