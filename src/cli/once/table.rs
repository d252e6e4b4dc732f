//! What was found as a table, root causes first.

use super::super::terminal::{Colours, wrapped};
use super::{OnceResult, debug, detail};
use crate::base::quantity::show_duration;
use crate::model::index::CheckIndex;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState, Verdict};

/// The table, and a line with the verdict. With `verbose` each row is followed by how the run went; with a `width`
/// long details are broken into lines.
pub(super) fn table(
    found: &OnceResult,
    judged: &Judged<'_>,
    verbose: bool,
    paint: Colours,
    width: Option<usize>,
) -> String {
    let mut order: Vec<CheckIndex> = judged.indices().collect();
    order.sort_by_key(|check| rank(judged.state(*check)));
    let mut rows: Vec<[String; 4]> = order.iter().map(|check| row(judged, *check)).collect();
    rows.extend(found.not_run().map(|(word, off)| [off.name.to_string(), word.into(), "-".into(), off.reason.clone()]));
    let head = ["CHECK", "STATE", "TOOK", "DETAIL"].map(str::to_owned);
    let column = |at: usize| {
        let cells = std::iter::once(&head).chain(&rows).map(|row| row[at].chars().count());
        cells.max().unwrap_or_default() + 2
    };
    // Room for `999ms` and `1m30s`, so that tables of two runs look the same.
    let columns = [column(0), column(1), column(2).max(7)];
    let mut table = String::new();
    if !rows.is_empty() {
        table += &line(&head, columns, width, str::to_owned);
    }
    for (place, row) in rows.iter().enumerate() {
        table += &line(row, columns, width, |state| paint.state(&row[1], state));
        let Some(check) = order.get(place) else { continue };
        if let (true, Some(seen)) = (verbose, &found.seen[*check]) {
            table += &debug::run(seen, judged.definition(*check).target.as_deref());
        }
    }
    if !rows.is_empty() {
        table.push('\n');
    }
    table + &verdict(judged, found.unjudged.len(), paint)
}

/// What fails comes first, then what follows from it, then what is worth a look.
const fn rank(state: JudgedState) -> u8 {
    match state {
        JudgedState::Fresh(State::Error) | JudgedState::Stale => 0,
        JudgedState::Fresh(State::Skipped | State::Pending) => 1,
        JudgedState::Fresh(State::Degraded) => 2,
        JudgedState::Fresh(State::Ok) => 3,
    }
}

fn row(judged: &Judged<'_>, check: CheckIndex) -> [String; 4] {
    let took = judged.check(check).last.as_ref().and_then(|last| last.took);
    [
        judged.definition(check).name.to_string(),
        judged.state(check).label().to_owned(),
        took.map_or_else(|| "-".into(), show_duration),
        detail(judged, check),
    ]
}

fn line(cells: &[String; 4], columns: [usize; 3], width: Option<usize>, state: impl Fn(&str) -> String) -> String {
    /// Narrower than this a column of words is no help.
    const NARROWEST: usize = 20;
    let [name, label, took, detail] = cells;
    let indent: usize = columns.iter().sum();
    let room = width.map(|width| width.saturating_sub(indent)).filter(|room| *room >= NARROWEST);
    let lines = room.map_or_else(|| vec![detail.clone()], |room| wrapped(detail, room));
    let label = format!("{}{:2$}", state(label), "", columns[1] - label.chars().count());
    let first = format!("{name:0$}{label}{took:1$}", columns[0], columns[2]);
    first + &lines.join(&format!("\n{:indent$}", "")) + "\n"
}

/// The verdict on the whole, and why, where so many checks were not judged.
fn verdict(judged: &Judged<'_>, unjudged: usize, paint: Colours) -> String {
    let names = |checks: &[CheckIndex]| -> String {
        checks.iter().map(|check| judged.definition(*check).name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let judgement = judged.endpoint(Endpoint::Healthz);
    let causes = if judgement.open { judged.root_causes() } else { judgement.root_causes };
    let worries: Vec<CheckIndex> = judged.indices().filter(|check| judged.status(*check) != Verdict::Ok).collect();
    let s = |checks: &[CheckIndex]| if checks.len() == 1 { "" } else { "s" };
    let (word, why) = match judgement.verdict {
        Verdict::Ok if judged.is_empty() && unjudged > 0 => {
            ("healthy", "there is no check that one look can judge".to_owned())
        }
        Verdict::Ok if judged.is_empty() && !judged.snapshot.plan.disabled.is_empty() => {
            ("healthy", "every check is switched off".to_owned())
        }
        Verdict::Ok if judged.is_empty() => ("healthy", "there are no checks".to_owned()),
        Verdict::Ok if judged.len() == 1 => ("healthy", "the check passed".to_owned()),
        Verdict::Ok => ("healthy", format!("all {} checks passed", judged.len())),
        Verdict::Degraded if causes.is_empty() => ("degraded", names(&worries)),
        Verdict::Degraded => ("degraded", format!("root cause{} {}, not critical", s(&causes), names(&causes))),
        Verdict::Error => ("unhealthy", format!("root cause{} {}", s(&causes), names(&causes))),
    };
    let rest = if unjudged > 0 && !judged.is_empty() { format!("; {unjudged} not judged") } else { String::new() };
    format!("{}: {why}{rest}\n", paint.state(judgement.verdict.label(), word))
}
