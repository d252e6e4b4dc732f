//! Keeps the file within its bounds: runs beyond their age become hourly figures, what is older still goes, and so does
//! the oldest of a file that is too large. In steps, so that answers and new events get in between.

use super::load::counts;
use super::schema::{JOURNAL_SIZE, number, run};
use super::write::signed;
use super::{File, FileFault};
use crate::base::clock::Timestamp;
use crate::history::answer::Keep;
use crate::history::check_record::Runs;

const HOUR: i64 = 3_600_000_000;
/// One step removes about so many ticks of each check, or so many of all.
const TICKS_OF_A_CHECK: i64 = 500;
const TICKS: i64 = 4000;
/// One step gives back so many pages to the disk.
const PAGES: i64 = 1000;

/// What a step has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// There is more to do.
    pub more: bool,
    /// The runs whose hourly figures are gone, by check.
    pub runs_gone: Vec<(u32, Runs)>,
    /// Intervals are gone, so that their sums have changed.
    pub intervals_gone: bool,
}

impl File {
    /// One step towards what `keep` says, at the time `now`, for the checks with these numbers.
    ///
    /// # Errors
    /// What went wrong; the step is undone then.
    pub async fn prune(&mut self, keep: Keep, now: Timestamp, checks: &[u32]) -> Result<Pruned, FileFault> {
        run(&mut self.connection, "BEGIN IMMEDIATE").await?;
        let done = self.prune_all(keep, now, checks).await;
        let mut pruned = self.end_transaction(done).await?;
        pruned.more |= self.give_back(keep).await?;
        Ok(pruned)
    }

    async fn prune_all(&mut self, keep: Keep, now: Timestamp, checks: &[u32]) -> Result<Pruned, FileFault> {
        let mut pruned = Pruned::default();
        for check in checks {
            pruned.more |= self.fold_before(*check, keep.ticks_since(now)).await?;
            self.remove_before(*check, keep.figures_since(now), &mut pruned).await?;
        }
        let (used, allowed) = (self.pages_used().await?, limit(keep) * 9 / 10);
        if used > allowed {
            let share = Share { part: (used - allowed).max(used / 16), whole: used };
            pruned.more |= self.remove_oldest(share, checks, &mut pruned).await?;
        }
        Ok(pruned)
    }

    /// Folds the ticks of a check that ended before `horizon`, oldest first; whether there may be more of them.
    async fn fold_before(&mut self, check: u32, horizon: Timestamp) -> Result<bool, FileFault> {
        let (last, count): (Option<i64>, i64) = sqlx::query_as(
            "SELECT max(id), count(*) FROM (SELECT id, at FROM ticks WHERE check_id = ? ORDER BY id LIMIT ?) WHERE at < ?",
        )
        .bind(check)
        .bind(TICKS_OF_A_CHECK)
        .bind(horizon.unix_micros())
        .fetch_one(&mut self.connection)
        .await?;
        if let Some(last) = last {
            self.fold(check, last).await?;
        }
        Ok(count == TICKS_OF_A_CHECK)
    }

    /// Folds the ticks of a check up to the number `last` into hourly figures. `passing` has its name from files in which it was
    /// the time of those that passed alone.
    async fn fold(&mut self, check: u32, last: i64) -> Result<(), FileFault> {
        let fold = "INSERT INTO hours (check_id, hour, pass, fail, skip, passing)
            SELECT check_id, at / ?3, sum(outcome = 0), sum(outcome = 1), sum(outcome = 2),
                sum(iif(outcome < 2, ifnull(took, 0), 0))
            FROM ticks WHERE check_id = ?1 AND id <= ?2 GROUP BY check_id, at / ?3
            ON CONFLICT DO UPDATE SET pass = pass + excluded.pass, fail = fail + excluded.fail,
                skip = skip + excluded.skip, passing = passing + excluded.passing";
        sqlx::query(fold).bind(check).bind(last).bind(HOUR).execute(&mut self.connection).await?;
        let remove = "DELETE FROM ticks WHERE check_id = ? AND id <= ?";
        sqlx::query(remove).bind(check).bind(last).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Removes the hourly figures and the intervals of a check from before `horizon`.
    async fn remove_before(&mut self, check: u32, horizon: Timestamp, pruned: &mut Pruned) -> Result<(), FileFault> {
        self.remove_hours(check, horizon.unix_micros().div_euclid(HOUR), pruned).await?;
        let query = "DELETE FROM intervals WHERE check_id = ? AND ended < ?";
        let removed = sqlx::query(query).bind(check).bind(horizon.unix_micros()).execute(&mut self.connection).await?;
        pruned.intervals_gone |= removed.rows_affected() > 0;
        Ok(())
    }

    async fn remove_hours(&mut self, check: u32, before: i64, pruned: &mut Pruned) -> Result<(), FileFault> {
        let query = "DELETE FROM hours WHERE check_id = ? AND hour < ? RETURNING pass, fail, skip, passing";
        let removed: Vec<(i64, i64, i64, i64)> =
            sqlx::query_as(query).bind(check).bind(before).fetch_all(&mut self.connection).await?;
        for (pass, fail, skip, running) in removed {
            pruned.runs_gone.push((check, counts(pass, fail, skip, running)?));
        }
        Ok(())
    }

    /// Removes a share of the ticks, the oldest of all; without ticks of the intervals, and without those of the hourly
    /// figures. Whether there was anything.
    async fn remove_oldest(&mut self, share: Share, checks: &[u32], pruned: &mut Pruned) -> Result<bool, FileFault> {
        let next = number(&mut self.connection, "SELECT next_tick FROM marks").await?;
        let oldest = self.least("SELECT id FROM ticks WHERE check_id = ? ORDER BY id LIMIT 1", checks).await?;
        if let Some(oldest) = oldest {
            for check in checks {
                self.fold(*check, share.last(oldest, next)).await?;
            }
            return Ok(true);
        }
        let next = number(&mut self.connection, "SELECT next_interval FROM marks").await?;
        let ended = "SELECT id FROM intervals WHERE check_id = ? AND ended IS NOT NULL ORDER BY event, id LIMIT 1";
        if let Some(oldest) = self.least(ended, checks).await? {
            let query = "DELETE FROM intervals WHERE ended IS NOT NULL AND id <= ?";
            sqlx::query(query).bind(share.last(oldest, next)).execute(&mut self.connection).await?;
            pruned.intervals_gone = true;
            return Ok(true);
        }
        let oldest = self.least("SELECT hour FROM hours WHERE check_id = ? ORDER BY hour LIMIT 1", checks).await?;
        for check in checks {
            self.remove_hours(*check, oldest.map_or(0, |hour| hour.saturating_add(24)), pruned).await?;
        }
        Ok(oldest.is_some())
    }

    async fn least(&mut self, query: &'static str, checks: &[u32]) -> Result<Option<i64>, FileFault> {
        let mut least = None;
        for check in checks {
            let found: Option<i64> = sqlx::query_scalar(query).bind(check).fetch_optional(&mut self.connection).await?;
            least = least.into_iter().chain(found).min();
        }
        Ok(least)
    }

    async fn pages_used(&mut self) -> Result<i64, FileFault> {
        Ok(self.pages().await? - number(&mut self.connection, "PRAGMA freelist_count").await?)
    }

    async fn pages(&mut self) -> Result<i64, FileFault> {
        number(&mut self.connection, "PRAGMA page_count").await
    }

    /// Whether the file has grown beyond what `keep` allows.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn is_too_large(&mut self, keep: Keep) -> Result<bool, FileFault> {
        Ok(self.pages_used().await? > limit(keep) * 9 / 10 || self.pages().await? > limit(keep))
    }

    /// Gives pages back to the disk where the file is too large; whether there are more.
    async fn give_back(&mut self, keep: Keep) -> Result<bool, FileFault> {
        let free = number(&mut self.connection, "PRAGMA freelist_count").await?;
        let pages = self.pages().await?;
        if free == 0 || (pages <= limit(keep) && free < pages / 2) {
            return Ok(false);
        }
        // A pragma takes no parameters; this one is the number that PAGES is.
        run(&mut self.connection, "PRAGMA incremental_vacuum(1000)").await?;
        Ok(free > PAGES)
    }
}

/// How many pages the file may have, so that it stays within its bound with the log beside it.
fn limit(keep: Keep) -> i64 {
    signed(keep.max_size.saturating_sub(JOURNAL_SIZE).max(keep.max_size / 2) / 4096)
}

/// How much of something is too much.
#[derive(Clone, Copy)]
struct Share {
    part: i64,
    whole: i64,
}

impl Share {
    /// The last number of the oldest such share of what has numbers from `oldest` to before `next`; of not too many,
    /// so that a step does not take long.
    fn last(self, oldest: i64, next: i64) -> i64 {
        let count = next.saturating_sub(oldest).max(0).saturating_mul(self.part) / self.whole.max(1);
        oldest.saturating_add(count.clamp(0, TICKS))
    }
}
