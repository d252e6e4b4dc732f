//! A file that changes under the daemon: it is noticed within a minute, and costs the past at most, never the latches.

use super::*;

fn latches() -> SavedState {
    SavedState {
        ready_once: true,
        draining_since: Some(at(3.0)),
        passed_once: [name("db")].into(),
        ..SavedState::default()
    }
}

/// A history with latches and some runs, all of it in the file itself.
fn some_latches(path: &Path) -> Told {
    let told = Told::in_file(path, 0.0);
    told.declare(&["db"], 0.0);
    told.history.save(latches());
    told.enter("db", State::Ok, 1.0);
    for second in 1..60u32 {
        told.pass("db", 10, second.into(), &"x".repeat(200));
        told.alive(second, second);
        told.flush_patiently();
    }
    told
}

/// Whether a file of this folder was set aside.
fn is_set_aside(folder: &Folder) -> bool {
    folder.names().iter().any(|name| name.contains(".corrupt-"))
}

type Damage = (&'static str, fn(&Path));

/// What may be done to a file that is in use.
fn damages() -> Vec<Damage> {
    fn length(path: &Path) -> usize {
        usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
    }
    fn set_length(path: &Path, length: usize) {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length as u64).unwrap();
    }
    vec![
        ("garbled from its second page on", |path| overwrite(path, 4096, &vec![0xa5; length(path) - 4096])),
        ("garbled as a whole", |path| overwrite(path, 0, &vec![0xa5; length(path)])),
        ("zeroed", |path| overwrite(path, 0, &vec![0; length(path)])),
        ("cut to its first page", |path| set_length(path, 4096)),
        ("cut within a page", |path| set_length(path, length(path) / 2 + 100)),
        ("emptied", |path| set_length(path, 0)),
    ]
}

#[test]
fn damage_of_a_file_in_use_is_noticed_within_a_minute_and_costs_no_latch() {
    for (what, damage) in damages() {
        let folder = Folder::new("noticed");
        let told = some_latches(&folder.file());
        damage(&folder.file());
        // Nothing happens but that time passes.
        told.alive(60, 125);
        told.wait_for(&format!("a file that is set aside when it is {what}"), || is_set_aside(&folder));
        told.wait_for("a disk that takes more", || told.history.condition() == Condition::Stored);
        told.enter("db", State::Error, 126.0);
        told.flush_patiently();
        told.close();
        let told = Told::in_file(&folder.file(), 200.0);
        assert_eq!(told.history.condition(), Condition::Stored, "{what}");
        assert_eq!(told.latches(), latches(), "{what}");
        told.declare(&["db"], 200.0);
        assert!(told.story("db").contains(&(Downtime, 126.0, Some(126.0))), "{what}: {:?}", told.story("db"));
    }
}

#[test]
fn a_sidecar_that_is_killed_before_it_notices_the_damage_comes_back_with_its_latches() {
    for (what, damage) in damages() {
        let folder = Folder::new("unnoticed");
        some_latches(&folder.file()).close();
        damage(&folder.file());
        let told = Told::in_file(&folder.file(), 100.0);
        assert_eq!(told.history.condition(), Condition::Stored, "{what}");
        assert_eq!(told.latches(), latches(), "{what}");
        told.declare(&["db"], 100.0);
        told.enter("db", State::Ok, 101.0);
        told.close();
    }
}

#[test]
fn latches_of_a_damaged_file_without_its_state_are_read_from_what_is_left() {
    let folder = Folder::new("rescued");
    let told = some_latches(&folder.file());
    for second in 60..3000u32 {
        told.pass("db", 10, second.into(), &"x".repeat(200));
        told.alive(second, second);
    }
    told.close();
    fs::remove_file(folder.0.join("history.db.state")).unwrap();
    let length = fs::metadata(folder.file()).unwrap().len();
    overwrite(&folder.file(), length / 2, &vec![0xa5; usize::try_from(length / 2).unwrap()]);
    let told = Told::in_file(&folder.file(), 3100.0);
    assert!(is_set_aside(&folder));
    assert_eq!(told.latches(), latches());
}

#[test]
fn damage_of_a_large_file_is_noticed_where_it_matters() {
    let folder = Folder::new("large");
    let told = some_latches(&folder.file());
    for second in 60..40_000u32 {
        told.pass("db", 10, second.into(), &"x".repeat(200));
        if second % 1000 == 0 {
            told.alive(second, second);
            told.flush_patiently();
        }
    }
    told.flush_patiently();
    let length = fs::metadata(folder.file()).unwrap().len();
    assert!(length > 8 * 1024 * 1024, "{length} bytes are not many");
    overwrite(&folder.file(), 4096, &[0xa5; 64 * 1024]);
    told.alive(40_000, 40_065);
    told.wait_for("a file that is set aside", || is_set_aside(&folder));
    told.close();
    assert_eq!(Told::in_file(&folder.file(), 50_000.0).latches(), latches());
}

#[test]
fn a_file_that_something_else_is_written_over_is_not_moved() {
    let folder = Folder::new("written-over");
    let told = some_latches(&folder.file());
    let text = "a,b\n".repeat(20_000);
    fs::write(folder.file(), &text).unwrap();
    told.alive(60, 125);
    told.wait_for("a history in memory", || told.history.condition() == Condition::Refused);
    assert!(!is_set_aside(&folder));
    assert_eq!(told.service("db").current_status.kind, Uptime);
    told.close();
    // It is still there, and the sidecar of this pod knows what it knew.
    let told = Told::in_file(&folder.file(), 200.0);
    assert_eq!((told.history.condition(), told.latches()), (Condition::Refused, latches()));
    assert_eq!(fs::read(folder.file()).unwrap(), text.as_bytes());
}

#[test]
fn a_file_that_is_moved_removed_or_replaced_while_it_is_in_use_costs_no_latch() {
    for how in
        ["moved", "removed", "replaced by an older one", "replaced by one of another pod", "removed with all beside it"]
    {
        let folder = Folder::new("replaced");
        let other = Folder::new("replacement");
        let (place, spare) = (folder.file(), other.file());
        if how.contains("another pod") {
            let told = Told::start(Some(&spare), KEEP, "pod-2", 0.0);
            told.history.save(SavedState { ready_once: false, draining_since: Some(at(0.5)), ..SavedState::default() });
            told.declare(&["db"], 0.0);
            told.close();
        } else if how.contains("older") {
            let told = Told::in_file(&spare, 0.0);
            told.declare(&["db"], 0.0);
            told.enter("db", State::Error, 1.0);
            told.close();
        }
        let told = some_latches(&place);
        match how {
            "moved" => fs::rename(&place, folder.0.join("away.db")).unwrap(),
            "removed" => fs::remove_file(&place).unwrap(),
            "removed with all beside it" => {
                folder.names().iter().for_each(|name| fs::remove_file(folder.0.join(name)).unwrap());
            }
            _ => fs::rename(&spare, &place).unwrap(),
        }
        told.alive(60, 125);
        let settled =
            || told.history.condition() == Condition::Stored && told.runtime.block_on(told.history.flush()).is_ok();
        told.wait_for(&format!("a file that was {how}"), || place.exists() && settled());
        told.enter("db", State::Error, 126.0);
        told.wait_for(&format!("a file that was {how}"), settled);
        told.close();
        let told = Told::in_file(&place, 200.0);
        assert_eq!(told.latches(), latches(), "{how}");
        told.declare(&["db"], 200.0);
        let story = told.story("db");
        assert!(story.iter().any(|event| (event.0, event.1) == (Downtime, 126.0)), "{how}: {story:?}");
        assert_whole(&told.intervals("db"));
    }
}

#[test]
fn a_log_that_was_torn_or_garbled_anywhere_is_coped_with() {
    let folder = Folder::new("torn");
    let stopped = Folder::new("stopped");
    let mut writer = Writer::start("child_that_settles_every_transition", &stopped.file(), "");
    (0..30).for_each(|_| drop(writer.next("settled").unwrap()));
    writer.kill();
    let log = fs::read(stopped.0.join("history.db-wal")).unwrap();
    let file = fs::read(stopped.file()).unwrap();
    // A log has a header of 32 bytes, and frames of 24 bytes and a page.
    let frames = (log.len() - 32) / (24 + 4096);
    assert!(frames > 10, "{} bytes", log.len());
    let bounds = (0..=frames).map(|frame| 32 + frame * (24 + 4096));
    for place in bounds.flat_map(|bound| [bound, bound + 12, bound + 24 + 2000]).filter(|place| *place < log.len()) {
        let mut garbled = log.clone();
        garbled[place..].iter_mut().take(600).for_each(|byte| *byte ^= 0x5a);
        for (how, log) in [("cut", &log[..place]), ("garbled", &garbled)] {
            fs::write(folder.file(), &file).unwrap();
            fs::write(folder.0.join("history.db-wal"), log).unwrap();
            assert_copes_with(&folder, &format!("{how} at {place}"));
            let again = Told::in_file(&folder.file(), 600.0);
            assert_eq!(again.history.condition(), Condition::Stored, "{how} at {place}");
            again.close();
            clear(&folder);
        }
    }
}

#[test]
fn a_file_whose_folder_comes_late_is_used_when_it_comes() {
    let folder = Folder::new("late");
    let place = folder.0.join("mount").join("history.db");
    let told = Told::in_file(&place, 0.0);
    assert_works_in_memory(&told);
    fs::create_dir(place.parent().unwrap()).unwrap();
    told.wait_for("the file", || told.history.condition() == Condition::Stored);
    told.enter("db", State::Error, 9.0);
    told.flush_patiently();
    told.close();
    let told = Told::in_file(&place, 20.0);
    told.declare(&["db"], 20.0);
    let known = [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, Some(9.0)), (Downtime, 9.0, Some(9.0)), (Unknown, 9.0, None)];
    assert_eq!(told.story("db"), known);
}
