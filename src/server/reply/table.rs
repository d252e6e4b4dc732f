//! `/healthz` as text: a table.

use std::fmt::Write;

use crate::model::plan::Details;
use crate::model::verdict::Verdict;
use crate::server::view::{View, WITHHELD};

/// The table: a head, a row for each check, and a last line while something else keeps the endpoint closed.
pub(super) fn body(view: &View<'_>) -> String {
    let names = view.parts().iter().map(|part| view.name(part.check));
    let names = names.chain(view.disabled().iter().map(|check| check.name.as_str()));
    let longest = names.map(|name| name.chars().count()).max().unwrap_or_default();
    let width = (longest + 1).max(30);
    let mut table = row(width, "Component", "Status", "Detail");
    for part in view.parts() {
        let status = match view.judged.status(part.check) {
            Verdict::Ok => "PASS",
            Verdict::Degraded => "WARN",
            Verdict::Error => "FAIL",
        };
        table += &row(width, view.name(part.check), status, &view.message(part.check));
    }
    for check in view.disabled() {
        let reason = if view.details() == Details::Full { check.reason.as_str() } else { WITHHELD };
        table += &row(width, check.name.as_str(), "OFF", &format!("disabled: {reason}"));
    }
    if view.details() == Details::Full
        && let Some(reason) = view.missing()
    {
        table += &format!("no valid configuration: {reason}\n");
    }
    if view.judgement.draining {
        table += "draining\n";
    }
    table
}

fn row(width: usize, component: &str, status: &str, detail: &str) -> String {
    let mut row = String::with_capacity(width + 64);
    write!(row, "{component:width$}{status:8}{detail}").expect("a String takes every character");
    row.truncate(row.trim_end().len());
    row.push('\n');
    row
}
