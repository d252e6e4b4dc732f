//! A path at which there is something else: it stays as it is, to the byte, and a message says what to write instead.

use super::*;

/// Everything in a folder, to the byte.
fn everything(folder: &Folder) -> Vec<(String, Option<Vec<u8>>)> {
    let content = |name: String| {
        let path = folder.0.join(&name);
        let is_file = fs::metadata(&path).is_ok_and(|found| found.is_file());
        (name, is_file.then(|| fs::read(&path).unwrap()))
    };
    folder.names().into_iter().map(content).collect()
}

/// A history at this path is kept in memory, and the folder stays as it is.
fn assert_left_alone(folder: &Folder, path: &Path) {
    let before = everything(folder);
    let told = Told::in_file(path, 0.0);
    assert_works_in_memory(&told);
    told.alive(1, 130);
    told.close();
    assert_eq!(everything(folder), before, "{}", path.display());
}

/// What the command of SQLite makes of `script` in a new database.
fn database(path: &Path, script: &str) -> Child {
    let mut child = Command::new("sqlite3").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().expect("sqlite3 is missing: install the Debian package `sqlite3`");
    writeln!(child.stdin.as_mut().unwrap(), "{script}\nSELECT 'it is done';").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim_end() != "it is done" {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "sqlite3 ended");
    }
    std::mem::replace(child, Command::new("true").spawn().unwrap())
}

#[test]
fn texts_that_have_words_of_ours_in_them_are_left_alone() {
    let dump = "CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK (one = 1), seen INTEGER NOT NULL);\n";
    let at_our_mark = format!("{}probelet,2\n", "a,b;".repeat(17));
    for text in ["a,b\n1,2\n", dump, &at_our_mark, "S", "SQLite format 3", "# é\n"] {
        let folder = Folder::new("texts");
        fs::write(folder.file(), text).unwrap();
        assert_left_alone(&folder, &folder.file());
    }
}

#[test]
fn a_database_of_another_program_is_left_alone_with_its_log() {
    for journal in ["delete", "wal"] {
        let folder = Folder::new("another-program");
        let script =
            format!("PRAGMA journal_mode={journal}; CREATE TABLE marks (one, two); INSERT INTO marks VALUES (1, 2);");
        let mut program = database(&folder.file(), &script);
        // It is killed with its log beside its database.
        program.kill().unwrap();
        program.wait().unwrap();
        assert_eq!(folder.names().len(), if journal == "wal" { 3 } else { 1 }, "{:?}", folder.names());
        assert_left_alone(&folder, &folder.file());
    }
}

#[test]
fn a_log_of_ours_does_not_get_into_a_database_of_another_program() {
    let folder = Folder::new("log-of-ours");
    let mut writer = Writer::start("child_that_settles_every_transition", &folder.file(), "");
    writer.next("settled").unwrap();
    writer.kill();
    fs::remove_file(folder.file()).unwrap();
    let other = folder.0.join("other.db");
    database(&other, "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine');").wait().unwrap();
    fs::rename(&other, folder.file()).unwrap();
    assert!(folder.names().contains(&"history.db-wal".to_owned()));
    assert_left_alone(&folder, &folder.file());
}

#[test]
fn links_are_followed_to_what_they_lead_to() {
    let folder = Folder::new("links");
    let elsewhere = Folder::new("links-lead-here");
    let target = elsewhere.0.join("numbers.csv");
    fs::write(&target, "a,b\n1,2\n").unwrap();
    std::os::unix::fs::symlink(&target, folder.file()).unwrap();
    assert_left_alone(&folder, &folder.file());
    assert_eq!(fs::read(&target).unwrap(), b"a,b\n1,2\n");
    fs::remove_file(folder.file()).unwrap();
    std::os::unix::fs::symlink(&elsewhere.0, folder.file()).unwrap();
    assert_left_alone(&folder, &folder.file());
    fs::remove_file(folder.file()).unwrap();
    // One that leads nowhere yet leads to a new history.
    std::os::unix::fs::symlink(elsewhere.0.join("new.db"), folder.file()).unwrap();
    let told = Told::in_file(&folder.file(), 0.0);
    assert_eq!(told.history.condition(), Condition::Stored);
    told.close();
    assert_eq!(elsewhere.names(), ["new.db", "numbers.csv"]);
    assert!(fs::symlink_metadata(folder.file()).unwrap().is_symlink());
}

#[test]
fn what_is_no_file_is_left_alone_and_holds_up_nobody() {
    let folder = Folder::new("no-files");
    let pipe = folder.0.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = folder.0.join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::create_dir(folder.0.join("folder")).unwrap();
    for path in [pipe, socket, folder.0.join("folder"), "/dev/null".into(), "/dev/zero".into()] {
        assert_left_alone(&folder, &path);
    }
}

/// A history beside whose state files something else lies is kept in its file, and the latches in that alone.
fn assert_works_without_state(folder: &Folder) {
    let beside = || everything(folder).into_iter().filter(|(name, _)| name.contains(".state")).collect::<Vec<_>>();
    let before = beside();
    let told = Told::in_file(&folder.file(), 0.0);
    assert_eq!(told.history.condition(), Condition::Stored);
    let latches = SavedState { ready_once: true, ..SavedState::default() };
    told.history.save(latches.clone());
    told.close();
    assert_eq!(beside(), before);
    assert_eq!(Told::in_file(&folder.file(), 1.0).latches(), latches);
}

/// Makes something at a path.
type Making = Box<dyn Fn(&Path)>;

#[test]
fn a_state_of_something_else_beside_the_history_is_left_alone() {
    for name in ["history.db.state", "history.db.state.new"] {
        let elsewhere = Folder::new("state-links-lead-here");
        let pipe = elsewhere.0.join("pipe");
        let make_pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        make_pipe(&pipe);
        let link_to = |target: PathBuf| move |path: &Path| std::os::unix::fs::symlink(&target, path).unwrap();
        let things: [(&str, Making); 6] = [
            ("a text", Box::new(|path| fs::write(path, "up\n").unwrap())),
            ("a pipe", Box::new(make_pipe)),
            ("a folder", Box::new(|path| fs::create_dir(path).unwrap())),
            ("a link to a pipe", Box::new(link_to(pipe))),
            ("a link to a file", Box::new(link_to(elsewhere.0.join("notes")))),
            ("a link to nothing", Box::new(link_to(elsewhere.0.join("new")))),
        ];
        fs::write(elsewhere.0.join("notes"), "").unwrap();
        for (what, make) in things {
            println!("{name} is {what}");
            let folder = Folder::new("state-of-another");
            make(&folder.0.join(name));
            assert_works_without_state(&folder);
        }
        assert_eq!(elsewhere.names(), ["notes", "pipe"]);
        assert_eq!(fs::read(elsewhere.0.join("notes")).unwrap(), b"");
    }
}

#[test]
fn what_a_process_that_was_killed_left_of_a_new_state_is_replaced() {
    for left in ["", "probelet saved state 1 0000"] {
        let folder = Folder::new("half-a-state");
        fs::write(folder.0.join("history.db.state.new"), left).unwrap();
        let told = Told::in_file(&folder.file(), 0.0);
        told.history.save(SavedState { ready_once: true, ..SavedState::default() });
        told.close();
        assert_eq!(folder.names(), ["history.db", "history.db.state"], "{left}");
    }
}
