//! The rows of a chart: one for each check, endpoint and pod, over time. How a row looks is for the form to say.

use std::time::Duration;

use crate::model::index::CheckIndex;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, JudgedState, Verdict};
use crate::simulation::kubelet::{Action, Effect};
use crate::simulation::timeline::{AppState, Occurrence, SidecarState, Timeline, badness, cells};

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartRow {
    /// What it is about.
    pub label: String,
    /// How it stands, in each of the equal parts of the time.
    pub cells: Vec<ChartCell>,
}

/// How something stands in a part of the time; the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartCell {
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
pub const LEGEND: [(ChartCell, &str); 10] = [
    (ChartCell::Well, "ok, open, traffic"),
    (ChartCell::Degraded, "degraded"),
    (ChartCell::Down, "error, closed, no traffic"),
    (ChartCell::Skipped, "skipped"),
    (ChartCell::Pending, "pending"),
    (ChartCell::Stale, "stale"),
    (ChartCell::Fault, "fault of the scenario"),
    (ChartCell::Restart, "restart"),
    (ChartCell::Silent, "probelet does not answer"),
    (ChartCell::Refused, "traffic refused"),
];

/// The rows of `timeline`, with `count` cells each.
#[must_use]
pub fn rows(timeline: &Timeline, count: usize) -> Vec<ChartRow> {
    let mut rows = Vec::new();
    for (check, track) in timeline.tracks() {
        let states = cells(track, timeline.length, count, badness);
        let cells = states.into_iter().map(state).collect();
        rows.push(unanswered(timeline, ChartRow { label: timeline.name(check).to_owned(), cells }));
        rows.extend(faults(timeline, check, count));
    }
    for (endpoint, track) in Endpoint::ALL.into_iter().zip(&timeline.endpoints) {
        let verdicts = cells(track, timeline.length, count, |verdict| verdict as u8);
        let cells = verdicts.into_iter().map(verdict).collect();
        rows.push(unanswered(timeline, ChartRow { label: format!("/{}", endpoint.label()), cells }));
    }
    if !timeline.containers.is_empty() {
        rows.push(pod(timeline, count));
    }
    if timeline.app.iter().any(|(since, app)| *app != AppState::Serves && *since > Duration::ZERO) {
        let looks = |app| match app {
            AppState::Serves => ChartCell::Well,
            AppState::Starts => ChartCell::Pending,
            AppState::Gone => ChartCell::Down,
        };
        let states = cells(&timeline.app, timeline.length, count, |app| app as u8);
        rows.push(ChartRow {
            label: format!("{} runs", timeline.app_name()),
            cells: states.into_iter().map(looks).collect(),
        });
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

const fn state(state: JudgedState) -> ChartCell {
    match state {
        JudgedState::Fresh(State::Ok) => ChartCell::Well,
        JudgedState::Fresh(State::Degraded) => ChartCell::Degraded,
        JudgedState::Fresh(State::Error) => ChartCell::Down,
        JudgedState::Fresh(State::Skipped) => ChartCell::Skipped,
        JudgedState::Fresh(State::Pending) => ChartCell::Pending,
        JudgedState::Stale => ChartCell::Stale,
    }
}

const fn verdict(verdict: Verdict) -> ChartCell {
    match verdict {
        Verdict::Ok => ChartCell::Well,
        Verdict::Degraded => ChartCell::Degraded,
        Verdict::Error => ChartCell::Down,
    }
}

/// The row with what nobody could be told.
fn unanswered(timeline: &Timeline, mut row: ChartRow) -> ChartRow {
    for (from, to) in timeline.spans(&timeline.daemon, |daemon| daemon != SidecarState::Answers) {
        mark(timeline, &mut row, from, to, ChartCell::Silent);
    }
    row
}

/// Marks a span.
fn mark(timeline: &Timeline, row: &mut ChartRow, from: Duration, to: Duration, cell: ChartCell) {
    let count = row.cells.len();
    let last = cell_at(to.saturating_sub(Duration::from_nanos(1)), timeline.length, count);
    row.cells[cell_at(from, timeline.length, count)..=last].fill(cell);
}

/// When the scenario lets the check fail; nothing where it never does.
fn faults(timeline: &Timeline, check: CheckIndex, count: usize) -> Option<ChartRow> {
    let mut cells = vec![ChartCell::NoFault; count];
    let mut any = false;
    for event in &timeline.events {
        if let Occurrence::FaultBegins(fault) = &event.what
            && fault.check == check
        {
            let last = cell_at(fault.to.saturating_sub(Duration::from_nanos(1)), timeline.length, count);
            cells[cell_at(fault.from, timeline.length, count)..=last].fill(ChartCell::Fault);
            any = true;
        }
    }
    any.then(|| ChartRow { label: "  fault".into(), cells })
}

fn pod(timeline: &Timeline, count: usize) -> ChartRow {
    let in_service = cells(&timeline.in_service, timeline.length, count, |in_service| u8::from(!in_service));
    let traffic = |in_service| if in_service { ChartCell::Well } else { ChartCell::Down };
    let mut row = ChartRow { label: "pod".into(), cells: in_service.into_iter().map(traffic).collect() };
    for (from, to) in timeline.spans(&timeline.refused, |refused| refused) {
        mark(timeline, &mut row, from, to, ChartCell::Refused);
    }
    for event in &timeline.events {
        if let Occurrence::Kubelet(Action { effect: Effect::Restart { .. } | Effect::Exited { .. }, .. }) = event.what {
            row.cells[cell_at(event.at, timeline.length, count)] = ChartCell::Restart;
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
