//! The tables of the file, and whether a file is one of ours.

use sqlx::SqliteConnection;

use super::FileFault;
use crate::model::outcome::one_line;

/// Says in the file's header that it is ours: `prob`.
pub(super) const APPLICATION: i64 = 0x7072_6f62;
/// The version of the tables.
const VERSION: i64 = 1;
/// A larger file is not checked when it is opened, because that takes time; what is broken in it shows when it is used.
const LARGEST_CHECKED: i64 = 8 * 1024 * 1024;

/// Ours alone: no shared memory beside the file, and no second process that writes to it. Temporary tables stay in
/// memory, because an image need not have a place for files.
const CONNECTION: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;
    PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON";

/// The log is brought into the file every 64 pages, so that it stays small. In a log, `NORMAL` loses nothing when the
/// process is killed, and when the power fails the last moments at most.
const JOURNAL: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 64;
    PRAGMA journal_size_limit = 262144";

/// The log beside the file takes at most about so many bytes.
pub const JOURNAL_SIZE: u64 = 2 * 262_144;

/// Times are microseconds in the time of the ledger (see `calendar`), durations microseconds. Numbers of intervals and
/// ticks grow over all checks.
const TABLES: &str = "
    CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK (one = 1), seen INTEGER NOT NULL, next_check INTEGER NOT NULL,
        next_interval INTEGER NOT NULL, next_tick INTEGER NOT NULL) STRICT;
    CREATE TABLE checks (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
    CREATE TABLE intervals (check_id INTEGER NOT NULL, event INTEGER NOT NULL, id INTEGER NOT NULL,
        standing INTEGER NOT NULL, started INTEGER NOT NULL, ended INTEGER, PRIMARY KEY (check_id, event, id))
        STRICT, WITHOUT ROWID;
    CREATE TABLE ticks (check_id INTEGER NOT NULL, id INTEGER NOT NULL, at INTEGER NOT NULL, outcome INTEGER NOT NULL,
        reason INTEGER, took INTEGER, message TEXT NOT NULL, PRIMARY KEY (check_id, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE hours (check_id INTEGER NOT NULL, hour INTEGER NOT NULL, pass INTEGER NOT NULL, fail INTEGER NOT NULL,
        skip INTEGER NOT NULL, passing INTEGER NOT NULL, PRIMARY KEY (check_id, hour)) STRICT, WITHOUT ROWID;
    CREATE TABLE latches (kind TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (kind, name))
        STRICT, WITHOUT ROWID;
    PRAGMA application_id = 0x70726f62;
    PRAGMA user_version = 1";

/// How the time of the ledger stands to the clocks. Files of the first days have none.
const RECKONING: &str = "CREATE TABLE IF NOT EXISTS reckoning (one INTEGER PRIMARY KEY CHECK (one = 1),
    ahead INTEGER NOT NULL, boot TEXT, booted INTEGER) STRICT";

/// Makes the connection ready for use: recognises a file of ours, checks it, and makes the tables of a new one. A file
/// that is not ours, or of a newer version, is left as it is.
pub async fn prepare(connection: &mut SqliteConnection) -> Result<(), FileFault> {
    run(connection, CONNECTION).await?;
    let is_new = match identify(connection).await? {
        (0, 0, 0) => true,
        (APPLICATION, VERSION, _) => false,
        (APPLICATION, version, _) if version > VERSION => {
            return Err(FileFault::Foreign(format!(
                "it was written by a newer probelet (its version is {version}, ours {VERSION})"
            )));
        }
        (APPLICATION, version, _) => {
            return Err(FileFault::Broken(format!("its version is {version}, which never was")));
        }
        _ => {
            return Err(FileFault::Foreign(
                "it is a database of something else: write the path of a file of its own".into(),
            ));
        }
    };
    if is_new {
        // Only a file without tables takes this.
        run(connection, "PRAGMA auto_vacuum = INCREMENTAL").await?;
    } else {
        check(connection).await?;
    }
    run(connection, JOURNAL).await?;
    // Writing shows at once whether it can be written to.
    run(connection, "BEGIN IMMEDIATE").await?;
    if is_new {
        run(connection, TABLES).await?;
    }
    run(connection, RECKONING).await?;
    run(
        connection,
        "INSERT INTO marks VALUES (1, -9223372036854775808, 1, 1, 1) ON CONFLICT DO UPDATE SET seen = seen",
    )
    .await?;
    run(connection, "COMMIT").await
}

/// Runs statements that take nothing and whose rows are of no interest.
pub async fn run(connection: &mut SqliteConnection, statements: &'static str) -> Result<(), FileFault> {
    sqlx::raw_sql(statements).execute(connection).await?;
    Ok(())
}

/// A number that a pragma or a query tells.
pub async fn number(connection: &mut SqliteConnection, query: &'static str) -> Result<i64, FileFault> {
    Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
}

/// Whose it is, its version, and how many tables it has.
async fn identify(connection: &mut SqliteConnection) -> Result<(i64, i64, i64), FileFault> {
    let tables = number(connection, "SELECT count(*) FROM sqlite_master").await?;
    Ok((number(connection, "PRAGMA application_id").await?, number(connection, "PRAGMA user_version").await?, tables))
}

/// Looks for damage in all of the file, unless it is large.
async fn check(connection: &mut SqliteConnection) -> Result<(), FileFault> {
    if is_large(connection).await? { Ok(()) } else { passes(connection, "PRAGMA quick_check(1)").await }
}

/// Whether looking at all of the file takes long.
pub(super) async fn is_large(connection: &mut SqliteConnection) -> Result<bool, FileFault> {
    let pages = number(connection, "PRAGMA page_count").await?;
    Ok(pages.saturating_mul(number(connection, "PRAGMA page_size").await?) > LARGEST_CHECKED)
}

/// Whether a check of SQLite finds nothing.
pub(super) async fn passes(connection: &mut SqliteConnection, check: &'static str) -> Result<(), FileFault> {
    let problem: String = sqlx::query_scalar(check).fetch_one(connection).await?;
    if problem == "ok" { Ok(()) } else { Err(FileFault::Broken(one_line(&problem))) }
}
