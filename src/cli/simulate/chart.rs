//! The rows of a chart: one for each check, endpoint and pod, over time. How a row looks is for the form to say.

use std::time::Duration;

use super::story::{App, Daemon, Story, What, badness, cells};
use crate::model::state::State;
use crate::model::verdict::{Endpoint, JudgedState, Verdict};
use crate::scheduler::kubelet::{Act, Deed};

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub label: String,
    /// How it stands, in each of the equal parts of the time.
    pub cells: Vec<Cell>,
}

/// How something stands in a part of the time; the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// ok, open, gets traffic.
    Well,
    /// Degraded.
    Degraded,
    /// No verdict yet.
    Pending,
    /// A parent fails.
    Skipped,
    /// Too old to say.
    Stale,
    /// error, closed, gets no traffic.
    Down,
    /// Traffic comes to an app that does not serve.
    Refused,
    /// Probelet does not answer.
    Silent,
    /// Kubelet restarts a container.
    Restart,
    /// The scenario lets the target fail.
    Fault,
    /// It does not.
    NoFault,
}

/// What each look of a cell means, in the order of a legend.
pub const LEGEND: [(Cell, &str); 10] = [
    (Cell::Well, "ok, open, traffic"),
    (Cell::Degraded, "degraded"),
    (Cell::Down, "error, closed, no traffic"),
    (Cell::Skipped, "skipped"),
    (Cell::Pending, "pending"),
    (Cell::Stale, "stale"),
    (Cell::Fault, "fault of the scenario"),
    (Cell::Restart, "restart"),
    (Cell::Silent, "probelet does not answer"),
    (Cell::Refused, "traffic refused"),
];

/// The rows of `story`, with `count` cells each.
#[must_use]
pub fn rows(story: &Story, count: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (check, track) in story.checks.iter().enumerate() {
        let states = cells(track, story.length, count, badness);
        let cells = states.into_iter().map(state).collect();
        rows.push(unanswered(story, Row { label: story.name(check).to_owned(), cells }));
        rows.extend(faults(story, check, count));
    }
    for (endpoint, track) in Endpoint::ALL.into_iter().zip(&story.endpoints) {
        let verdicts = cells(track, story.length, count, |verdict| verdict as u8);
        let cells = verdicts.into_iter().map(verdict).collect();
        rows.push(unanswered(story, Row { label: format!("/{}", endpoint.label()), cells }));
    }
    if !story.containers.is_empty() {
        rows.push(pod(story, count));
    }
    if story.app.iter().any(|(since, app)| *app != App::Serves && *since > Duration::ZERO) {
        let looks = |app| match app {
            App::Serves => Cell::Well,
            App::Starts => Cell::Pending,
            App::Gone => Cell::Down,
        };
        let states = cells(&story.app, story.length, count, |app| app as u8);
        rows.push(Row { label: format!("{} runs", story.app_name()), cells: states.into_iter().map(looks).collect() });
    }
    rows
}

/// The times at which a chart of `length` that is `columns` wide should have a mark, each with room for `room` columns.
#[must_use]
pub fn marks(length: Duration, columns: usize, room: usize) -> Vec<Duration> {
    const STEPS: [u64; 16] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600];
    let most = (columns / room.max(1)).max(1) as u64;
    let fits = |step: &&u64| length.as_secs() / **step < most;
    let step = STEPS.iter().find(fits).copied().unwrap_or(43_200);
    (0..).map(|mark| Duration::from_secs(mark * step)).take_while(|mark| *mark < length).collect()
}

/// The cell in which `at` falls.
#[must_use]
pub fn cell_at(at: Duration, length: Duration, count: usize) -> usize {
    let cell = at.as_nanos() * count as u128 / length.as_nanos().max(1);
    usize::try_from(cell).unwrap_or(usize::MAX).min(count.saturating_sub(1))
}

const fn state(state: JudgedState) -> Cell {
    match state {
        JudgedState::Fresh(State::Ok) => Cell::Well,
        JudgedState::Fresh(State::Degraded) => Cell::Degraded,
        JudgedState::Fresh(State::Error) => Cell::Down,
        JudgedState::Fresh(State::Skipped) => Cell::Skipped,
        JudgedState::Fresh(State::Pending) => Cell::Pending,
        JudgedState::Stale => Cell::Stale,
    }
}

const fn verdict(verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Ok => Cell::Well,
        Verdict::Degraded => Cell::Degraded,
        Verdict::Error => Cell::Down,
    }
}

/// The row with what nobody could be told.
fn unanswered(story: &Story, mut row: Row) -> Row {
    for (from, to) in story.spans(&story.daemon, |daemon| daemon != Daemon::Answers) {
        mark(story, &mut row, from, to, Cell::Silent);
    }
    row
}

/// Marks a span.
fn mark(story: &Story, row: &mut Row, from: Duration, to: Duration, cell: Cell) {
    let count = row.cells.len();
    let last = cell_at(to.saturating_sub(Duration::from_nanos(1)), story.length, count);
    row.cells[cell_at(from, story.length, count)..=last].fill(cell);
}

/// When the scenario lets the check fail; nothing where it never does.
fn faults(story: &Story, check: usize, count: usize) -> Option<Row> {
    let mut cells = vec![Cell::NoFault; count];
    let mut any = false;
    for event in &story.events {
        if let What::FaultBegins(fault) = &event.what
            && fault.check == check
        {
            let last = cell_at(fault.to.saturating_sub(Duration::from_nanos(1)), story.length, count);
            cells[cell_at(fault.from, story.length, count)..=last].fill(Cell::Fault);
            any = true;
        }
    }
    any.then(|| Row { label: "  fault".into(), cells })
}

fn pod(story: &Story, count: usize) -> Row {
    let in_service = cells(&story.in_service, story.length, count, |in_service| u8::from(!in_service));
    let traffic = |in_service| if in_service { Cell::Well } else { Cell::Down };
    let mut row = Row { label: "pod".into(), cells: in_service.into_iter().map(traffic).collect() };
    for (from, to) in story.spans(&story.refused, |refused| refused) {
        mark(story, &mut row, from, to, Cell::Refused);
    }
    for event in &story.events {
        if let What::Kubelet(Act { deed: Deed::Restart { .. } | Deed::Exited { .. }, .. }) = event.what {
            row.cells[cell_at(event.at, story.length, count)] = Cell::Restart;
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_round_times_with_room_between_them() {
        let shown = |length: u64, columns| -> Vec<u64> {
            marks(Duration::from_secs(length), columns, 9).iter().map(Duration::as_secs).collect()
        };
        assert_eq!(shown(300, 64), [0, 60, 120, 180, 240]);
        assert_eq!(shown(60, 64), [0, 10, 20, 30, 40, 50]);
        assert_eq!(shown(86_400, 64), [0, 21_600, 43_200, 64_800]);
        assert_eq!(shown(1, 64), [0]);
    }

    #[test]
    fn a_point_in_time_falls_into_a_cell() {
        let length = Duration::from_secs(100);
        for (second, cell) in [(0, 0), (9, 0), (10, 1), (99, 9), (100, 9)] {
            assert_eq!(cell_at(Duration::from_secs(second), length, 10), cell);
        }
    }
}
