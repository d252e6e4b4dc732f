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
        if let_go == LetGo::default() {
            return;
        }
        self.untold = LetGo { runs: self.untold.runs + let_go.runs, changes: self.untold.changes + let_go.changes };
        if self.told.is_none_or(|told| told.elapsed() >= INTERVAL) {
            self.told = Some(Instant::now());
            let LetGo { runs, changes } = std::mem::take(&mut self.untold);
            tracing::info!(runs, changes, "`history.max_memory` is used up: the oldest is no longer kept");
        }
    }
}
