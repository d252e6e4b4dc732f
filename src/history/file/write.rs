//! Adds a batch to the file, all of it or nothing.

use std::time::Duration;

use sqlx::sqlite::Sqlite;
use sqlx::{QueryBuilder, SqliteConnection};

use super::schema::run;
use super::{File, FileFault, at_leisure};
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::history::answer::{SavedState, Tick};
use crate::history::calendar::Reckoning;
use crate::history::check_record::place;
use crate::history::pending::Pending;
use crate::history::registry::Marks;
use crate::model::outcome::FailureKind;

/// So many ticks go in with one statement.
const TICKS_AT_ONCE: usize = 64;

impl File {
    /// Writes `batch`, and where the registry stands with it, in one transaction.
    ///
    /// # Errors
    /// What went wrong; nothing of the batch is in the file then.
    pub async fn write(&mut self, batch: &Pending, marks: Marks) -> Result<(), FileFault> {
        self.save_beside(batch).await;
        self.check_when_touched().await?;
        run(&mut self.connection, "BEGIN IMMEDIATE").await?;
        let written = self.write_all(batch, marks).await;
        self.end_transaction(written).await
    }

    /// Saves beside the file what must not be forgotten, before it is in the file. Where that fails it is tried again
    /// with the next batch, which is no reason not to write this one.
    async fn save_beside(&mut self, batch: &Pending) {
        let before = self.saved.clone();
        self.saved.state = batch.saved.clone().unwrap_or(self.saved.state.clone());
        self.saved.reckoning = batch.reckoning.clone().unwrap_or(self.saved.reckoning.clone());
        if self.is_saved_beside && self.saved == before {
            return;
        }
        let (saved, pod) = (self.saved.clone(), self.pod.clone());
        let done = at_leisure(&self.path, move |path| saved.write(path, &pod)).await;
        if let (true, Err(fault)) = (self.is_saved_beside, &done) {
            let path = self.path.display();
            tracing::warn!(%path, reason = fault.text(), "the state beside the history file cannot be saved: a damaged file would cost it");
        }
        self.is_saved_beside = done.is_ok();
    }

    /// Commits what was done, or takes it back.
    pub(super) async fn end_transaction<T>(&mut self, done: Result<T, FileFault>) -> Result<T, FileFault> {
        let committed = match &done {
            Ok(_) => run(&mut self.connection, "COMMIT").await,
            Err(_) => Ok(()),
        };
        if done.is_err() || committed.is_err() {
            match run(&mut self.connection, "ROLLBACK").await {
                // After some errors SQLite has rolled back by itself, and says so.
                Err(fault) if !fault.text().contains("no transaction is active") => {
                    return Err(FileFault::Lost(format!("what was begun cannot be taken back: {}", fault.text())));
                }
                _ => {}
            }
        }
        self.stamp = self.stamp().await;
        committed.and(done)
    }

    async fn write_all(&mut self, batch: &Pending, marks: Marks) -> Result<(), FileFault> {
        for check in &batch.forgotten {
            self.forget(*check).await?;
        }
        for check in batch.checks.values() {
            let query = "INSERT INTO checks (id, name, created_at) VALUES (?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET name = excluded.name";
            let created_at = check.created_at.unix_micros();
            self.execute(sqlx::query(query).bind(check.id).bind(check.name.as_str()).bind(created_at)).await?;
        }
        for (check, interval) in batch.intervals.values() {
            let query = "INSERT INTO intervals (check_id, event, id, standing, started, ended) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET standing = excluded.standing, started = excluded.started, ended = excluded.ended";
            let query = sqlx::query(query).bind(check).bind(signed(interval.event)).bind(signed(interval.id));
            let query = query.bind(interval.availability as i64).bind(interval.from.unix_micros());
            self.execute(query.bind(interval.to.map(Timestamp::unix_micros))).await?;
        }
        self.write_ticks(batch).await?;
        if let Some(saved) = &batch.saved {
            self.write_saved_state(saved).await?;
        }
        if let Some(Reckoning { ahead, boot }) = &batch.reckoning {
            let query = "INSERT INTO reckoning (one, ahead, boot, booted) VALUES (1, ?, ?, ?)
                ON CONFLICT DO UPDATE SET ahead = excluded.ahead, boot = excluded.boot, booted = excluded.booted";
            let query = sqlx::query(query).bind(ahead).bind(boot.as_ref().map(|boot| boot.id.clone()));
            self.execute(query.bind(boot.as_ref().map(|boot| boot.at.unix_micros()))).await?;
        }
        let query = "UPDATE marks SET seen = ?, next_check = ?, next_interval = ?, next_tick = ?";
        let query = sqlx::query(query).bind(marks.seen.unix_micros()).bind(signed(marks.next_check));
        self.execute(query.bind(signed(marks.next_interval)).bind(signed(marks.next_tick))).await
    }

    async fn execute(
        &mut self,
        query: sqlx::query::Query<'_, Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), FileFault> {
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    async fn forget(&mut self, check: u32) -> Result<(), FileFault> {
        for query in [
            "DELETE FROM checks WHERE id = ?",
            "DELETE FROM intervals WHERE check_id = ?",
            "DELETE FROM ticks WHERE check_id = ?",
            "DELETE FROM hours WHERE check_id = ?",
        ] {
            self.execute(sqlx::query(query).bind(check)).await?;
        }
        Ok(())
    }

    async fn write_ticks(&mut self, batch: &Pending) -> Result<(), FileFault> {
        let ticks: Vec<&Tick> = batch.ticks.iter().collect();
        for some in ticks.chunks(TICKS_AT_ONCE) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT OR REPLACE INTO ticks (check_id, id, at, outcome, reason, took, message) ",
            );
            query.push_values(some, |mut row, tick| {
                row.push_bind(tick.check).push_bind(signed(tick.id)).push_bind(tick.at.unix_micros());
                row.push_bind(signed(place(tick.outcome) as u64)).push_bind(tick.reason.map(reason));
                row.push_bind(tick.response_time.map(micros)).push_bind(tick.message.to_string());
            });
            let is_full = some.len() == TICKS_AT_ONCE;
            self.execute(query.build().persistent(is_full)).await?;
        }
        Ok(())
    }

    async fn write_saved_state(&mut self, saved: &SavedState) -> Result<(), FileFault> {
        run(&mut self.connection, "DELETE FROM latches").await?;
        let pod = self.pod.clone();
        self.latch("pod", &pod, None).await?;
        if saved.ready_once {
            self.latch("ready_once", "", None).await?;
        }
        if let Some(since) = saved.draining_since {
            self.latch("draining", "", Some(since)).await?;
        }
        for check in &saved.passed_once {
            self.latch("passed_once", check.as_str(), None).await?;
        }
        for (check, at) in &saved.beats {
            self.latch("beat", check.as_str(), Some(*at)).await?;
        }
        if let Some(at) = saved.looked_at {
            self.latch("looked", "", Some(at)).await?;
        }
        Ok(())
    }

    async fn latch(&mut self, kind: &str, name: &str, at: Option<Timestamp>) -> Result<(), FileFault> {
        let at = at.map_or(0, Timestamp::unix_micros);
        let query = sqlx::query("INSERT INTO latches (kind, name, at) VALUES (?, ?, ?)");
        self.execute(query.bind(kind.to_owned()).bind(name.to_owned()).bind(at)).await
    }
}

/// The saved state in the file; an empty one when it is of another pod.
pub(super) async fn saved_state(connection: &mut SqliteConnection, pod: &str) -> Result<SavedState, FileFault> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT kind, name, at FROM latches").fetch_all(connection).await?;
    let mut saved = SavedState::default();
    if !rows.iter().any(|(kind, name, _)| kind == "pod" && name == pod) {
        return Ok(saved);
    }
    for (kind, name, at) in rows {
        let at = Timestamp::from_unix_micros(at);
        match (kind.as_str(), CheckName::new(&name)) {
            ("ready_once", _) => saved.ready_once = true,
            ("draining", _) => saved.draining_since = Some(at),
            ("passed_once", Ok(check)) => saved.passed_once.extend([check]),
            ("beat", Ok(check)) => saved.beats.extend([(check, at)]),
            ("looked", _) => saved.looked_at = Some(at),
            _ => {}
        }
    }
    Ok(saved)
}

/// A number as SQLite has them; none of ours comes near the limit.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration in microseconds.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The place of a kind in [`FailureKind::ALL`], which is its number in a file.
fn reason(kind: FailureKind) -> i64 {
    FailureKind::ALL.iter().zip(0..).find(|(other, _)| **other == kind).map_or(0, |(_, place)| place)
}
