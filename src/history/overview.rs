//! The past as a page shows it: how it went lately with every check, and one check over spans of time in slices.

use std::time::Duration;

use super::History;
use super::WINDOW_INTERVALS;
use super::answer::{Away, Recall, Recent, Span};
use super::figures::slices;
use super::question::Question;

impl History {
    /// How it went lately with each of the checks with these numbers, in their order: one question, however many.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn recent(&self, checks: &[u32], recall: Recall) -> Result<Vec<Recent>, Away> {
        let in_memory = self.in_memory(|books, memory| {
            let mut recent = memory.recent(checks, recall);
            for (check, recent) in checks.iter().zip(&mut recent) {
                recent.intervals.extend(books.account(*check).map(|account| account.ledger.open()));
            }
            recent
        })?;
        match in_memory {
            Some(recent) => Ok(recent),
            None => self.ask(|reply| Question::Recent(checks.to_vec(), recall, reply)).await,
        }
    }

    /// The check with the number `check` over the last `span`, and in `parts` slices of it.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn span(&self, check: u32, span: Duration, parts: u32) -> Result<Span, Away> {
        let window = self.window(check, span).await?;
        let intervals = self.intervals_since(check, window.from, WINDOW_INTERVALS).await?;
        Ok(Span { window, slices: slices(&intervals, window.from, window.to, parts) })
    }
}
