//! A track as cells of equal time, for a line of a chart.

use std::time::Duration;

use super::Track;
use crate::model::state::State;
use crate::model::verdict::JudgedState;

/// The track as `count` cells of equal time, each with the worst value that holds in it.
#[must_use]
pub fn cells<T: Copy>(track: &Track<T>, length: Duration, count: usize, badness: impl Fn(T) -> u8) -> Vec<T> {
    #[allow(clippy::cast_precision_loss)] // some hundred cells
    let edge = |cell: usize| length.mul_f64(cell as f64 / count.max(1) as f64);
    let mut position = 0;
    (0..count)
        .filter_map(|cell| {
            while track.get(position + 1).is_some_and(|(since, _)| *since <= edge(cell)) {
                position += 1;
            }
            let within = track[position.min(track.len())..].iter().take_while(|(since, _)| *since < edge(cell + 1));
            let first = track.get(position).map(|(_, value)| *value);
            within.map(|(_, value)| *value).chain(first).max_by_key(|value| badness(*value))
        })
        .collect()
}

/// How bad a state is, for [`cells`].
#[must_use]
pub const fn badness(state: JudgedState) -> u8 {
    match state {
        JudgedState::Fresh(State::Ok) => 0,
        JudgedState::Fresh(State::Degraded) => 1,
        JudgedState::Fresh(State::Pending) => 2,
        JudgedState::Fresh(State::Skipped) => 3,
        JudgedState::Stale => 4,
        JudgedState::Fresh(State::Error) => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_cell_shows_the_worst_of_its_time() {
        let track = vec![(seconds(0), 0u8), (seconds(25), 2), (seconds(26), 1), (seconds(70), 0)];
        assert_eq!(cells(&track, seconds(100), 10, |value| value), [0, 0, 2, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(cells(&track, seconds(100), 1, |value| value), [2]);
    }
}
