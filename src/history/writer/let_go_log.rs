//! What memory has no room for is told in the log, now and again.

use std::time::Duration;

use tokio::time::Instant;

use crate::history::shelf::LetGo;

/// How often it is told at most.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Tells in the log of runs and changes that are no longer kept because memory is bounded.
#[derive(Debug, Default)]
pub(super) struct LetGoLog {
    told: Option<Instant>,
    untold: LetGo,
}

impl LetGoLog {
    pub(super) fn tell(&mut self, let_go: LetGo) {
        if let Some(LetGo { runs, changes }) = self.due(let_go) {
            tracing::info!(runs, changes, "`history.max_memory` is used up: the oldest is no longer kept");
        }
    }

    /// What is to be told now that this, too, is no longer kept.
    fn due(&mut self, let_go: LetGo) -> Option<LetGo> {
        if let_go == LetGo::default() {
            return None;
        }
        self.untold = LetGo { runs: self.untold.runs + let_go.runs, changes: self.untold.changes + let_go.changes };
        if self.told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_let_go_is_told_at_once_and_then_once_an_hour_in_full() {
        let mut log = LetGoLog::default();
        let let_go = |runs, changes| LetGo { runs, changes };
        assert_eq!(log.due(let_go(0, 0)), None);
        assert_eq!(log.due(let_go(3, 1)), Some(let_go(3, 1)));
        assert_eq!(log.due(let_go(2, 0)), None);
        tokio::time::advance(INTERVAL - Duration::from_secs(1)).await;
        assert_eq!(log.due(let_go(5, 4)), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(log.due(let_go(0, 0)), None);
        assert_eq!(log.due(let_go(1, 1)), Some(let_go(8, 5)));
        assert_eq!(log.due(let_go(1, 0)), None);
    }
}
