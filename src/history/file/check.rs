//! Looks for damage in a file that is in use: SQLite keeps pages in memory, so what others do to the file shows late.

use std::sync::Arc;
use std::time::SystemTime;

use super::schema::{is_large, passes, run};
use super::{File, FileFault, at_leisure, ours};

/// So many ticks of a large file are looked at each time.
const TICKS: i64 = 4000;

impl File {
    /// Looks at the file when somebody else has written to it since we last did.
    ///
    /// # Errors
    /// The damage, or why the file cannot be read.
    pub async fn check_when_touched(&mut self) -> Result<(), FileFault> {
        if self.stamp().await == self.stamp { Ok(()) } else { self.check().await }
    }

    /// Its length and date.
    pub(super) async fn stamp(&self) -> Option<(u64, SystemTime)> {
        let bytes = Arc::clone(&self.bytes);
        at_leisure(&self.path, move |_| Ok(ours::stamp(&bytes))).await.ok().flatten()
    }

    /// Looks at the file as it lies on the disk: at all of it, or where it is large at all but the ticks and hourly
    /// figures, and at the next few thousand ticks.
    ///
    /// # Errors
    /// The damage, or why the file cannot be read.
    pub async fn check(&mut self) -> Result<(), FileFault> {
        let bytes = Arc::clone(&self.bytes);
        if at_leisure(&self.path, move |_| ours::is_written_over(&bytes)).await? {
            return Err(FileFault::Foreign(
                "something else was written over it: write the path of a file of its own".into(),
            ));
        }
        self.stamp = self.stamp().await;
        // What is in memory says nothing about the disk. Opening the file a second time to read it would be a mistake:
        // closing any of its descriptors gives up the lock of all.
        run(&mut self.connection, "PRAGMA shrink_memory").await?;
        if !is_large(&mut self.connection).await? {
            return passes(&mut self.connection, "PRAGMA quick_check(1)").await;
        }
        let small = ["PRAGMA quick_check(marks)", "PRAGMA quick_check(checks)", "PRAGMA quick_check(latches)"];
        for check in small.into_iter().chain(["PRAGMA quick_check(reckoning)", "PRAGMA quick_check(intervals)"]) {
            passes(&mut self.connection, check).await?;
        }
        self.read_ticks().await
    }

    async fn read_ticks(&mut self) -> Result<(), FileFault> {
        let last: Option<(i64, i64, i64)> = sqlx::query_as(
            "SELECT check_id, id, sum(length(message)) OVER () FROM (
                SELECT check_id, id, message FROM ticks WHERE (check_id, id) > (?, ?) ORDER BY check_id, id LIMIT ?
            ) ORDER BY check_id DESC, id DESC LIMIT 1",
        )
        .bind(self.checked.0)
        .bind(self.checked.1)
        .bind(TICKS)
        .fetch_optional(&mut self.connection)
        .await?;
        // Behind the last one it begins anew.
        self.checked = last.map_or((0, 0), |(check, id, _)| (check, id));
        Ok(())
    }
}
