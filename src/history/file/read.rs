//! Answers from the file.

use std::time::Duration;

use super::load::{Row, availability, broken, duration, interval, unsigned};
use super::write::signed;
use super::{File, FileFault};
use crate::base::clock::Timestamp;
use crate::history::answer::{Page, Tick};
use crate::history::ledger::{Event, Interval};
use crate::model::outcome::FailureKind;
use crate::model::state::OutcomeKind;

/// A run as it lies in the file: number, end, outcome, reason, duration, message.
type TickRow = (i64, i64, i64, Option<i64>, Option<i64>, String);

impl File {
    /// The events of a check, newest first, and one more than asked for where there is more.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn events(&mut self, check: u32, page: Page) -> Result<Vec<Event>, FileFault> {
        let rows: Vec<(i64, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT event, standing, min(started), iif(count(*) = count(ended), max(ended), NULL) FROM intervals
            WHERE check_id = ? AND event < ? GROUP BY event ORDER BY event DESC LIMIT ?",
        )
        .bind(check)
        .bind(signed(page.before.unwrap_or(u64::MAX)))
        .bind(one_more(page.limit))
        .fetch_all(&mut self.connection)
        .await?;
        let event = |(id, number, started, ended): (i64, i64, i64, Option<i64>)| {
            Ok(Event {
                id: unsigned(id)?,
                kind: availability(number)?.event(),
                from: Timestamp::from_unix_micros(started),
                to: ended.map(Timestamp::from_unix_micros),
            })
        };
        rows.into_iter().map(event).collect()
    }

    /// The intervals of a check that last beyond `since`, oldest first: the newest, at most `most`.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn intervals(&mut self, check: u32, since: Timestamp, most: usize) -> Result<Vec<Interval>, FileFault> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT event, id, standing, started, ended FROM intervals
            WHERE check_id = ? AND (ended IS NULL OR ended > ?) ORDER BY event DESC, id DESC LIMIT ?",
        )
        .bind(check)
        .bind(since.unix_micros())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter().rev().map(interval).collect()
    }

    /// The runs of a check, newest first, and one more than asked for where there is more.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn ticks(&mut self, check: u32, page: Page) -> Result<Vec<Tick>, FileFault> {
        let rows: Vec<TickRow> = sqlx::query_as(
            "SELECT id, at, outcome, reason, took, message FROM ticks WHERE check_id = ? AND id < ?
            ORDER BY id DESC LIMIT ?",
        )
        .bind(check)
        .bind(signed(page.before.unwrap_or(u64::MAX)))
        .bind(one_more(page.limit))
        .fetch_all(&mut self.connection)
        .await?;
        let tick = |(id, at, outcome, reason, took, message): TickRow| {
            Ok(Tick {
                id: unsigned(id)?,
                check,
                at: Timestamp::from_unix_micros(at),
                outcome: *at_place(&OutcomeKind::ALL, outcome)?,
                reason: reason.map(|reason| at_place(&FailureKind::ALL, reason).copied()).transpose()?,
                response_time: took.map(duration).transpose()?,
                message: message.into_boxed_str(),
            })
        };
        rows.into_iter().map(tick).collect()
    }

    /// How long those of the newest `most` runs of a check took that passed since `from`, of the runs with a number below
    /// `before`.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn response_times(
        &mut self,
        check: u32,
        from: Timestamp,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Duration>, FileFault> {
        let rows: Vec<(i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT at, outcome, took FROM ticks WHERE check_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        )
        .bind(check)
        .bind(signed(before.unwrap_or(u64::MAX)))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut self.connection)
        .await?;
        let passed = |(at, outcome, took): (i64, i64, Option<i64>)| {
            took.filter(|_| outcome == 0 && at >= from.unix_micros()).map(duration)
        };
        rows.into_iter().filter_map(passed).collect()
    }

    /// How long the newest `most` runs of a check with a number below `before` took, newest first; nothing for one that
    /// failed.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn latest_times(
        &mut self,
        check: u32,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Option<Duration>>, FileFault> {
        let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT outcome, took FROM ticks WHERE check_id = ? AND id < ? AND outcome < 2 ORDER BY id DESC LIMIT ?",
        )
        .bind(check)
        .bind(signed(before.unwrap_or(u64::MAX)))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut self.connection)
        .await?;
        let passed = |(outcome, took): (i64, Option<i64>)| took.filter(|_| outcome == 0).map(duration).transpose();
        rows.into_iter().map(passed).collect()
    }
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

fn at_place<T>(all: &[T], place: i64) -> Result<&T, FileFault> {
    usize::try_from(place).ok().and_then(|place| all.get(place)).ok_or_else(|| broken("a run"))
}
