//! What holds for every history file, whatever has become of its bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use probelet::base::clock::Timestamp;
use probelet::base::name::CheckName;
use probelet::history::answer::{Condition, Keep, Page, RecordedRun, SavedState};
use probelet::history::{History, Settings};
use probelet::model::outcome::FailureKind;
use probelet::model::plan::{Answers, Definition, Plan};
use probelet::model::state::{OutcomeKind, State};
use tokio::runtime::Runtime;

use super::lines::is_line;

/// Ample time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// When these stories begin: 2026-11-21T10:30:00Z.
const BEGINNING: i64 = 1_795_257_000;
/// The size of a page of the file.
const PAGE: usize = 4096;

/// What two lives of a history may allocate, in bytes.
const MOST_ALLOCATED: usize = 64 << 20;
/// Files beside each other: the history's, its log and index, and those of one that was set aside.
const MOST_FILES: usize = 8;

/// Files as a history left them, and a folder to put what became of them into.
pub struct World {
    runtime: Runtime,
    folder: Folder,
    /// The file and its log: closed in good order, and left by a process that was killed.
    left: [(Vec<u8>, Vec<u8>); 2],
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("probelet-fuzz-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("history.db")
    }

    fn log(&self) -> PathBuf {
        self.0.join("history.db-wal")
    }

    fn empty(&self) {
        for entry in fs::read_dir(&self.0).expect("it is there").flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.0).expect("it is there").count()
    }
}

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let folder = Folder::new();
        let mut world = Self { runtime, folder, left: Default::default() };
        let history = world.start(0);
        world.live(&history, 0);
        world.flush(&history).expect("it is written");
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        world.left[1] = (read(world.folder.file()), read(world.folder.log()));
        world.close(&history);
        world.left[0] = (read(world.folder.file()), read(world.folder.log()));
        world
    }
}

/// The first byte chooses the file: closed in good order, or left with its log. The rest are edits of seven bytes and
/// more: what to do (overwrite in the file or in its log, cut either off, or lay bytes in place of the whole), the
/// page, the place in it (two bytes), how many bytes (one), and these. `allocated` counts the bytes that were ever
/// allocated.
pub fn any_edits(world: &World, bytes: &[u8], allocated: fn() -> usize) {
    let [choice, edits @ ..] = bytes else { return };
    let (mut file, mut log) = world.left[usize::from(choice & 1)].clone();
    edit(&mut file, &mut log, edits);
    world.folder.empty();
    fs::write(world.folder.file(), &file).expect("it can be written");
    if !log.is_empty() {
        fs::write(world.folder.log(), &log).expect("it can be written");
    }

    let before = allocated();
    // One life finds what was left, the next one what that has made of it.
    for day in [1, 2] {
        let history = world.start(day);
        world.live(&history, day);
        let condition = history.condition();
        match world.flush(&history) {
            Ok(()) => world.remembers(&history, day),
            Err(()) => assert_ne!(condition, Condition::InMemory, "memory keeps everything"),
        }
        assert!(!matches!(history.condition(), Condition::Opening), "it is still being opened");
        world.close(&history);
        // What is not ours is left as it is, whatever it is.
        if condition == Condition::Refused && day == 1 {
            assert_eq!(fs::read(world.folder.file()).unwrap_or_default(), file, "somebody else's file has changed");
        }
    }
    let files = world.folder.count();
    assert!(files <= MOST_FILES, "{files} files");
    let taken = allocated() - before;
    assert!(taken <= MOST_ALLOCATED, "{taken} bytes allocated");
}

fn edit(file: &mut Vec<u8>, log: &mut Vec<u8>, mut edits: &[u8]) {
    while let [what, page, high, low, length, rest @ ..] = edits {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let place = usize::from(*page) * PAGE + (usize::from(*high) << 8 | usize::from(*low)) % PAGE;
        let target = if what & 1 == 0 { &mut *file } else { &mut *log };
        let place = place % (target.len() + 1);
        match what >> 1 & 7 {
            0..5 => {
                let end = (place + bytes.len()).min(target.len());
                target[place..end].copy_from_slice(&bytes[..end - place]);
            }
            5 => target.truncate(place),
            6 => *target = bytes.to_vec(),
            _ => {
                // A page in the place of another, as a disk that has lost a write shows it.
                let (from, to) = (place / PAGE * PAGE, usize::from(*length) * PAGE);
                if from + PAGE <= target.len() && to + PAGE <= target.len() {
                    target.copy_within(from..from + PAGE, to);
                }
            }
        }
        edits = rest;
    }
}

fn at(day: i64, second: i64) -> Timestamp {
    Timestamp::from_unix_seconds(BEGINNING + day * 86_400 + second)
}

fn name(text: &str) -> CheckName {
    CheckName::new(text).expect("it is a name")
}

const CHECKS: [&str; 3] = ["database", "app", "orders/queue"];

fn plan() -> Arc<Plan> {
    let checks = CHECKS.iter().map(|own| Arc::new(Definition::simulated(name(own)))).collect();
    Arc::new(Plan {
        service: Default::default(),
        answers: Answers::default(),
        checks,
        disabled: Vec::new(),
        hash: None,
    })
}

const LATEST: &str = "the last run of that day";

impl World {
    fn start(&self, day: i64) -> History {
        let keep = Keep { retention: Duration::from_secs(7 * 86_400), max_size: 1 << 20, max_memory: 1 << 20 };
        let settings = Settings { path: Some(self.folder.file()), keep, pod: Some("pod-1".into()), boot: None };
        let history = History::start(settings, at(day, 0));
        let _: SavedState = self.runtime.block_on(history.saved_state(PATIENCE));
        history
    }

    /// What happens in the first minute of a day.
    fn live(&self, history: &History, day: i64) {
        history.declare(&plan(), at(day, 0));
        for second in 1..60 {
            let check = &name(CHECKS[second as usize % CHECKS.len()]);
            let fails = second % 7 == 0;
            let outcome = if fails { OutcomeKind::Fail } else { OutcomeKind::Pass };
            let reason = fails.then_some(FailureKind::Connect);
            let took = Some(Duration::from_millis(second as u64));
            let message = if second == 59 { LATEST } else { "connection refused" };
            history.record(&RecordedRun { check, at: at(day, second), outcome, reason, took, message });
            if second % 10 == 0 {
                let state = if second % 20 == 0 { State::Ok } else { State::Error };
                history.transition(check, state, at(day, second));
            }
            history.alive(at(day, second));
        }
        let draining_since = (day % 2 == 1).then(|| at(day, 30));
        history.save(SavedState { ready_once: true, draining_since, ..SavedState::default() });
    }

    fn flush(&self, history: &History) -> Result<(), ()> {
        self.runtime.block_on(history.flush()).map_err(|_| ())
    }

    fn close(&self, history: &History) {
        self.runtime.block_on(history.close(PATIENCE));
    }

    /// Every question has an answer, and the last runs are in it.
    fn remembers(&self, history: &History, day: i64) {
        let deadline = Instant::now() + PATIENCE;
        let services = loop {
            match self.runtime.block_on(history.services()) {
                Ok(services) => break services,
                Err(_) => assert!(Instant::now() < deadline, "no figures: {:?}", history.condition()),
            }
            std::thread::yield_now();
        };
        assert_eq!(services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), CHECKS);
        self.runtime.block_on(async {
            for service in &services {
                let page = Page { limit: 50, before: None };
                // A page of the past may turn out to be broken: then there is no answer, and the file is set aside.
                let Ok(ticks) = history.ticks(service.id, page).await else { continue };
                assert!(ticks.items.len() <= page.limit, "{} ticks", ticks.items.len());
                for tick in &ticks.items {
                    is_line(&tick.message, 1000);
                }
                if service.name.as_str() == CHECKS[59 % CHECKS.len()] && history.condition() == Condition::Stored {
                    assert_eq!(&*ticks.items[0].message, LATEST, "the last run is lost on day {day}");
                }
                let _ = history.events(service.id, page).await;
                let _ = history.intervals(service.id, 90).await;
                let _ = history.window(service.id, Duration::from_secs(3600)).await;
            }
        });
    }
}
