//! Reads how the registry was left, and refuses what cannot have been left that way.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::SqliteConnection;

use super::{FileFault, write};
use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::history::answer::SavedState;
use crate::history::calendar::{Boot, Reckoning};
use crate::history::check_record::{CheckRecord, Runs};
use crate::history::figures::Times;
use crate::history::ledger::{Availability, Interval, Ledger};
use crate::history::registry::Marks;
use crate::history::storage::Entry;

/// What a file holds, without what takes long to read: runs, events of the past, and figures.
#[derive(Debug)]
pub struct Contents {
    /// The checks, without their figures.
    pub records: Vec<CheckRecord>,
    /// Where the registry stood.
    pub marks: Marks,
    /// What was saved, if it was of this pod.
    pub saved: SavedState,
    /// How the time of the ledger stood to the clocks.
    pub reckoning: Reckoning,
}

/// An interval as it lies in the file: event, number, availability, beginning, end.
pub(super) type Row = (i64, i64, i64, i64, Option<i64>);

/// Reads the contents of a file for the pod with the UID `pod`.
pub async fn load(connection: &mut SqliteConnection, pod: &str) -> Result<Contents, FileFault> {
    let marks = marks(connection).await?;
    let checks: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT id, name, created_at FROM checks ORDER BY id").fetch_all(&mut *connection).await?;
    let mut records = Vec::with_capacity(checks.len());
    for (id, name, created_at) in checks {
        let id = u32::try_from(id).map_err(|_| broken("a check's number"))?;
        let name = CheckName::new(&name).map_err(|_| broken("a check's name"))?;
        let entry = Entry { id, name, created_at: Timestamp::from_unix_micros(created_at) };
        let ledger = ledger(connection, id).await?;
        records.push(CheckRecord { entry, ledger, past: Times::default(), runs: Runs::default() });
    }
    let beyond = |used: u64, next: u64| used >= next;
    if records.iter().any(|record| {
        beyond(record.entry.id.into(), marks.next_check) || beyond(record.ledger.open().id, marks.next_interval)
    }) {
        return Err(broken("a number that has not been given out"));
    }
    let reckoning = reckoning(connection).await?;
    Ok(Contents { records, marks, saved: write::saved_state(connection, pod).await?, reckoning })
}

/// How the time of the ledger stood to the clocks.
pub(super) async fn reckoning(connection: &mut SqliteConnection) -> Result<Reckoning, FileFault> {
    let row: Option<(i64, Option<String>, Option<i64>)> =
        sqlx::query_as("SELECT ahead, boot, booted FROM reckoning").fetch_optional(connection).await?;
    let Some((ahead, boot, booted)) = row else { return Ok(Reckoning::default()) };
    let boot = boot.zip(booted).map(|(id, at)| Boot { id, at: Timestamp::from_unix_micros(at) });
    Ok(Reckoning { ahead, boot })
}

async fn marks(connection: &mut SqliteConnection) -> Result<Marks, FileFault> {
    let (seen, next_check, next_interval, next_tick): (i64, i64, i64, i64) =
        sqlx::query_as("SELECT seen, next_check, next_interval, next_tick FROM marks").fetch_one(connection).await?;
    Ok(Marks {
        seen: Timestamp::from_unix_micros(seen),
        next_check: unsigned(next_check)?,
        next_interval: unsigned(next_interval)?,
        next_tick: unsigned(next_tick)?,
    })
}

async fn ledger(connection: &mut SqliteConnection, check: u32) -> Result<Ledger, FileFault> {
    let last: Row = sqlx::query_as(
        "SELECT event, id, standing, started, ended FROM intervals WHERE check_id = ? ORDER BY event DESC, id DESC LIMIT 1",
    )
    .bind(check)
    .fetch_one(&mut *connection)
    .await?;
    let open = interval(last)?;
    let event_from: i64 = sqlx::query_scalar("SELECT min(started) FROM intervals WHERE check_id = ? AND event = ?")
        .bind(check)
        .bind(last.0)
        .fetch_one(connection)
        .await?;
    if open.to.is_some() {
        return Err(broken("the end of a ledger"));
    }
    Ok(Ledger::left(open, Timestamp::from_unix_micros(event_from)))
}

/// For each check the times of its intervals that have ended.
pub async fn times(connection: &mut SqliteConnection) -> Result<BTreeMap<u32, Times>, FileFault> {
    let sums: Vec<(u32, i64, i64)> = sqlx::query_as(
        "SELECT check_id, standing, sum(ended - started) FROM intervals WHERE ended IS NOT NULL GROUP BY check_id, standing",
    )
    .fetch_all(connection)
    .await?;
    let mut times: BTreeMap<u32, Times> = BTreeMap::new();
    for (check, number, micros) in sums {
        times.entry(check).or_default().add(availability(number)?, duration(micros)?);
    }
    Ok(times)
}

/// For each check its runs, those in hourly figures included.
pub async fn runs(connection: &mut SqliteConnection) -> Result<BTreeMap<u32, Runs>, FileFault> {
    let sums: Vec<(u32, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT check_id, sum(pass), sum(fail), sum(skip), sum(passing) FROM (
            SELECT check_id, pass, fail, skip, passing FROM hours
            UNION ALL
            SELECT check_id, sum(outcome = 0), sum(outcome = 1), sum(outcome = 2), sum(iif(outcome < 2, ifnull(took, 0), 0))
            FROM ticks GROUP BY check_id
        ) GROUP BY check_id",
    )
    .fetch_all(connection)
    .await?;
    sums.into_iter().map(|(check, pass, fail, skip, running)| Ok((check, counts(pass, fail, skip, running)?))).collect()
}

/// Counts as they lie in the file.
pub(super) fn counts(pass: i64, fail: i64, skip: i64, running: i64) -> Result<Runs, FileFault> {
    Ok(Runs { counts: [unsigned(pass)?, unsigned(fail)?, unsigned(skip)?], running: duration(running)? })
}

/// An interval as it lies in the file.
pub(super) fn interval((event, id, number, started, ended): Row) -> Result<Interval, FileFault> {
    if event > id || ended.is_some_and(|ended| ended < started) {
        return Err(broken("an interval"));
    }
    Ok(Interval {
        id: unsigned(id)?,
        event: unsigned(event)?,
        availability: availability(number)?,
        from: Timestamp::from_unix_micros(started),
        to: ended.map(Timestamp::from_unix_micros),
    })
}

/// An availability by its number.
pub(super) fn availability(number: i64) -> Result<Availability, FileFault> {
    usize::try_from(number)
        .ok()
        .and_then(|place| Availability::ALL.get(place))
        .copied()
        .ok_or_else(|| broken("an availability"))
}

pub(super) fn unsigned(number: i64) -> Result<u64, FileFault> {
    u64::try_from(number).map_err(|_| broken("a number below zero"))
}

pub(super) fn duration(micros: i64) -> Result<Duration, FileFault> {
    unsigned(micros).map(Duration::from_micros)
}

pub(super) fn broken(what: &str) -> FileFault {
    FileFault::Broken(format!("{what} is not as it was written"))
}
