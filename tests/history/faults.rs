//! What SQLite's own tests do to SQLite, done to the history: the n-th call of a kind fails, for every n until there is
//! no n-th call. Nothing may crash, hang, be told wrong or stay lost, and the file is sound afterwards.

use std::io::Read;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::fault_library::library;
use super::*;

/// So many histories are tried at the same time: most of the time each waits for its disk to mend.
const AT_ONCE: usize = 24;
/// No story has so many calls of a kind.
const MOST: usize = 600;

/// Which call fails how, as the names of folders say it.
struct Kind {
    call: &'static str,
    error: String,
    /// So many calls in a row.
    count: usize,
}

/// Lets every n-th call of this kind fail, in a process of its own.
fn assert_survives(call: &str, error: &str, count: usize) {
    let folder = Folder::new(&format!("{call}-{error}-{count}"));
    let kind = folder.0.join(format!("{call}-{error}-{count}"));
    assert_child_ends_well("faults::child_whose_calls_fail", &kind);
}

/// This role, with the library loaded.
fn assert_child_ends_well(role: &str, path: &Path) {
    let before = format!("export LD_PRELOAD='{}';", library().display());
    let mut child = Writer::start_with(role, path, &before, Stdio::piped());
    // Who does not listen to the one holds up the other.
    let mut complaints = child.child.stderr.take().unwrap();
    let complaint = std::thread::spawn(move || {
        let mut text = String::new();
        complaints.read_to_string(&mut text).map(|_| text)
    });
    let mut said = String::new();
    child.lines.read_to_string(&mut said).unwrap();
    let complaint = complaint.join().unwrap().unwrap();
    assert!(child.child.wait().unwrap().success(), "{said}\n{complaint}");
    let tried = said.lines().find_map(|line| line.strip_prefix("tried ")).unwrap_or_else(|| panic!("{said}"));
    assert!(tried.parse::<usize>().unwrap() > 0, "no call of the kind was seen");
}

fn error(of: rustix::io::Errno) -> String {
    of.raw_os_error().to_string()
}

#[test]
fn child_whose_calls_fail() {
    let Some((path, _)) = as_child() else { return };
    // What is logged is shown when something goes wrong.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let name = path.file_name().unwrap().to_str().unwrap();
    let [call, error, count] = name.split('-').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let kind = Kind { call: leaked(call), error: error.to_owned(), count: count.parse().unwrap() };
    let mut tried = 0;
    for first in (1..MOST).step_by(AT_ONCE) {
        let hits = std::thread::scope(|scope| {
            let each = |nth| {
                scope.spawn({
                    let (kind, path) = (&kind, &path);
                    move || story_with_fault(kind, path, nth)
                })
            };
            let running: Vec<_> = (first..first + AT_ONCE).map(each).collect();
            running.into_iter().map(|one| usize::from(one.join().expect("a story with a fault"))).sum::<usize>()
        });
        tried += hits;
        if hits < AT_ONCE {
            return say(&format!("tried {tried}"));
        }
    }
    panic!("after {MOST} calls there are still more");
}

fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// A story of two daemons in which one call fails, and whether it was made.
fn story_with_fault(kind: &Kind, beside: &Path, nth: usize) -> bool {
    let Kind { call, error, count } = kind;
    let what = format!("{call} {nth} fails with {error}");
    let folder = Folder(beside.parent().unwrap().join(format!("fault-{call}-{nth}-{error}-{count}")));
    fs::create_dir_all(&folder.0).unwrap();
    let latches = SavedState {
        ready_once: true,
        draining_since: Some(at(3.0)),
        passed_once: [name("db")].into(),
        ..SavedState::default()
    };

    let told = Told::in_file(&folder.file(), 0.0);
    told.declare(&["db", "cache"], 0.0);
    told.history.save(latches.clone());
    let mut moves = vec![(Unknown, 0.0)];
    let mut enter = |told: &Told, up: bool, second: f64| {
        told.enter("db", if up { State::Ok } else { State::Error }, second);
        told.pass("cache", 10, second, &"x".repeat(150));
        moves.push((if up { Uptime } else { Downtime }, second));
    };
    for second in 1..12u32 {
        enter(&told, second % 2 == 1, second.into());
        (0..3).for_each(|_| told.pass("cache", 10, second.into(), &"x".repeat(150)));
        if second % 4 == 0 {
            let _ = told.runtime.block_on(told.history.flush());
        }
    }
    // It is pruned.
    told.alive(12, 80);
    settled(&told, &what);
    enter(&told, false, 81.0);
    settled(&told, &what);
    let known = story_of(&told, &what);
    assert_true(&known, &moves, &what);
    assert_eq!(known.last().map(|event| (event.0, event.1)), Some((Downtime, 81.0)), "{what}");
    assert_whole(&told.intervals("db"));
    told.close();
    sound(&folder, &what);

    // The pod's next sidecar may meet the fault as well.
    let told = Told::in_file(&folder.file(), 200.0);
    told.declare(&["db", "cache"], 200.0);
    settled(&told, &what);
    assert_eq!(told.latches(), latches, "{what}");
    told.enter("db", State::Ok, 201.0);
    settled(&told, &what);
    moves.extend([(Unknown, 81.0), (Uptime, 201.0)]);
    let after = story_of(&told, &what);
    assert_true(&after, &moves, &what);
    assert!(after.iter().any(|event| (event.0, event.1) == (Downtime, 81.0)), "{what}: {after:?}");
    told.close();
    sound(&folder, &what);
    assert!(!folder.names().iter().any(|name| name.contains(".corrupt-")), "{what}: a sound file was set aside");
    folder.0.join("hit").exists()
}

/// Waits until everything is in the file, which may take a few attempts.
fn settled(told: &Told, what: &str) {
    let is_settled =
        || told.history.condition() == Condition::Stored && told.runtime.block_on(told.history.flush()).is_ok();
    told.wait_for(&format!("a disk that has mended, after {what}"), is_settled);
}

fn story_of(told: &Told, what: &str) -> Vec<(EventKind, f64, Option<f64>)> {
    told.wait_for(&format!("figures, after {what}"), || told.services().is_ok());
    told.story("db")
}

/// At no time something else is told than what was, or that nothing is known.
fn assert_true(known: &[(EventKind, f64, Option<f64>)], moves: &[(EventKind, f64)], what: &str) {
    for (kind, from, to) in known.iter().filter(|event| event.0 != Unknown) {
        let was = moves.iter().rposition(|(was, second)| second <= from && was == kind);
        let was = was.unwrap_or_else(|| panic!("{what}: from {from}: {known:?}"));
        let other = moves[was + 1..].iter().find(|(other, _)| other != kind);
        assert!(other.is_none_or(|(_, second)| second >= from), "{what}: from {from}: {known:?}");
        let is_over_in_time = to.is_none_or(|to| other.is_none_or(|(_, second)| to <= *second));
        assert!(is_over_in_time, "{what}: {from} to {to:?}: {known:?}");
    }
}

/// SQLite finds nothing wrong with the file.
fn sound(folder: &Folder, what: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Under a name at which nothing fails.
    let copy = folder.0.join("copy.db");
    // The test itself may be the one who meets the fault.
    while fs::copy(folder.file(), &copy).is_err() {}
    let log = folder.0.join("history.db-wal");
    if log.exists() {
        while fs::copy(&log, folder.0.join("copy.db-wal")).is_err() {}
    }
    let problem: String = runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(&copy).connect().await.unwrap();
        let problem = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        problem
    });
    assert_eq!(problem, "ok", "{what}");
    fs::remove_file(copy).unwrap();
}

#[test]
fn child_whose_disk_hangs() {
    let Some((path, _)) = as_child() else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let folder = path.parent().unwrap();
    std::thread::scope(|scope| {
        for (call, nth) in [("write", 9), ("write", 40), ("sync", 2), ("read", 12), ("lock", 2), ("open", 4)] {
            scope.spawn(move || story_with_a_hanging_disk(folder, call, nth));
        }
    });
    say("tried 6");
}

/// Nobody waits for a disk that hangs, and nothing is lost when it comes back.
fn story_with_a_hanging_disk(beside: &Path, call: &str, nth: usize) {
    let what = format!("{call} {nth} hangs");
    let folder = Folder(beside.join(format!("fault-{call}-{nth}-hang-1")));
    fs::create_dir_all(&folder.0).unwrap();
    let told = Told::in_file(&folder.file(), 0.0);
    told.declare(&["db"], 0.0);
    let second = std::cell::Cell::new(0u32);
    let go_on = || {
        second.set(second.get() + 1);
        let is_up = second.get().is_multiple_of(2);
        told.enter("db", if is_up { State::Ok } else { State::Error }, second.get().into());
    };
    told.wait_for(&what, || {
        go_on();
        told.history.save(SavedState { draining_since: Some(at(second.get().into())), ..SavedState::default() });
        folder.0.join("hit").exists()
    });
    told.wait_for(&what, || told.history.is_written() == Some(false));
    for _ in 0..20_000 {
        go_on();
        told.pass("db", 10, second.get().into(), "fine");
        if second.get().is_multiple_of(10) {
            assert!(told.services().is_ok(), "{what}: figures wait for the disk");
        }
    }
    // Where the file was not open yet there is a ring in memory, which drops without a word.
    let is_counted = told.history.condition() != Condition::Waiting || told.history.dropped() > 0;
    assert!(is_counted, "{what}");
    fs::write(folder.0.join("go"), "").unwrap();
    settled(&told, &what);
    let current = told.service("db").current_status;
    assert_eq!((current.from, current.to), (at(second.get().into()), None), "{what}");
    assert_whole(&told.intervals("db"));
    told.close();
    sound(&folder, &what);
}

#[test]
fn nobody_waits_for_a_disk_that_hangs() {
    let folder = Folder::new("hangs");
    assert_child_ends_well("faults::child_whose_disk_hangs", &folder.0.join("nothing"));
}

use rustix::io::Errno;

#[test]
fn any_write_may_fail() {
    assert_survives("write", &error(Errno::IO), 1);
}

#[test]
fn any_write_may_find_a_full_disk_and_so_the_ones_after_it() {
    assert_survives("write", &error(Errno::NOSPC), 4);
}

#[test]
fn any_write_may_be_short() {
    assert_survives("write", "short", 2);
}

#[test]
fn any_call_may_be_interrupted() {
    for call in ["write", "sync", "read", "open"] {
        assert_survives(call, &error(Errno::INTR), 1);
    }
}

#[test]
fn any_sync_may_fail() {
    assert_survives("sync", &error(Errno::IO), 1);
}

#[test]
fn any_read_may_fail() {
    assert_survives("read", &error(Errno::IO), 1);
}

#[test]
fn any_read_may_be_short() {
    assert_survives("read", "short", 1);
}

#[test]
fn any_opening_may_fail() {
    assert_survives("open", &error(Errno::IO), 1);
    assert_survives("open", &error(Errno::MFILE), 3);
}

#[test]
fn any_truncation_may_fail() {
    assert_survives("truncate", &error(Errno::IO), 1);
}

#[test]
fn any_lock_may_fail() {
    assert_survives("lock", &error(Errno::NOLCK), 1);
    assert_survives("lock", &error(Errno::IO), 1);
}

#[test]
fn any_removal_may_fail() {
    assert_survives("unlink", &error(Errno::ACCESS), 1);
}
