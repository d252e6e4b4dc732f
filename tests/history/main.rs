//! History and its file under real faults: killed writers, full disks, broken and foreign files.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

mod damage;
#[path = "../support/faults.rs"]
mod fault_library;
mod faults;
mod others;

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use probelet::base::clock::Timestamp;
use probelet::base::name::CheckName;
use probelet::config::HistoryConfig;
use probelet::history::answer::{Condition, HistoryUnavailable, Keep, Page, RecordedRun, SavedState, ServiceRecord};
use probelet::history::calendar::Boot;
use probelet::history::ledger::{Availability, EventKind, Interval};
use probelet::history::{History, Settings};
use probelet::model::outcome::FailureKind;
use probelet::model::plan::{Answers, Definition, Plan};
use probelet::model::state::{OutcomeKind, State};
use proptest::prelude::*;

/// Ample time for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// When these stories begin: 2026-11-21T10:30:00Z.
const BEGINNING: i64 = 1_795_257_000;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_seconds(BEGINNING).after(Duration::from_secs_f64(seconds))
}

fn name(text: &str) -> CheckName {
    CheckName::new(text).unwrap()
}

fn plan(checks: &[(&str, Option<&str>)]) -> Arc<Plan> {
    let check = |(own, formerly): &(&str, Option<&str>)| {
        Arc::new(Definition { formerly: formerly.map(name), ..Definition::simulated(name(own)) })
    };
    Arc::new(Plan {
        service: Default::default(),
        answers: Answers::default(),
        checks: checks.iter().map(check).collect(),
        disabled: Vec::new(),
        hash: None,
    })
}

/// A folder that is removed at the end of the test, whatever that is.
struct Folder(PathBuf);

impl Folder {
    fn new(of: &str) -> Self {
        let path = std::env::temp_dir().join(format!("probelet-history-{}-{of}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("history.db")
    }

    /// The names of the files in it, in order.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A history, and a runtime to wait for its answers.
struct Told {
    history: History,
    runtime: tokio::runtime::Runtime,
}

/// Its thread is waited for: another test in the same folder, or the next round of one, must not find it at work on a file
/// of theirs.
impl Drop for Told {
    fn drop(&mut self) {
        self.runtime.block_on(self.history.close(PATIENCE));
    }
}

const KEEP: Keep = Keep { retention: Duration::from_secs(7 * 86_400), max_size: 64 * 1024 * 1024, max_memory: 8 << 20 };

impl Told {
    /// `pod` is the UID of the pod, empty where none is known.
    fn start(path: Option<&Path>, keep: Keep, pod: &str, seconds: f64) -> Self {
        let pod = (!pod.is_empty()).then(|| pod.into());
        let settings = Settings { path: path.map(Path::to_owned), keep, pod, boot: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = Self { history: History::start(settings, at(seconds)), runtime };
        told.wait_until_open();
        told
    }

    fn wait_until_open(&self) {
        self.wait_for("an open file", || self.history.condition() != Condition::Opening);
    }

    fn in_file(path: &Path, seconds: f64) -> Self {
        Self::start(Some(path), KEEP, "pod-1", seconds)
    }

    fn latches(&self) -> SavedState {
        self.runtime.block_on(self.history.saved_state(PATIENCE))
    }

    fn declare(&self, checks: &[&str], seconds: f64) {
        let checks: Vec<_> = checks.iter().map(|check| (*check, None)).collect();
        self.history.declare(&plan(&checks), at(seconds));
    }

    fn enter(&self, check: &str, state: State, seconds: f64) {
        self.history.transition(&name(check), state, at(seconds));
    }

    fn pass(&self, check: &str, millis: u64, seconds: f64, message: &str) {
        let took = Some(Duration::from_millis(millis));
        let check = &name(check);
        self.history.record(&RecordedRun {
            check,
            at: at(seconds),
            outcome: OutcomeKind::Pass,
            reason: None,
            took,
            message,
        });
    }

    fn fail(&self, check: &str, reason: FailureKind, seconds: f64) {
        let (took, check) = (Some(Duration::from_secs(2)), &name(check));
        let outcome = OutcomeKind::Fail;
        self.history.record(&RecordedRun {
            check,
            at: at(seconds),
            outcome,
            reason: Some(reason),
            took,
            message: "refused",
        });
    }

    fn alive(&self, from: u32, to: u32) {
        for second in from..=to {
            self.history.alive(at(second.into()));
        }
    }

    fn flush(&self) {
        self.runtime.block_on(self.history.flush()).unwrap();
    }

    /// The same, however busy the machine is.
    fn flush_patiently(&self) {
        self.wait_for("a disk that takes it", || self.runtime.block_on(self.history.flush()).is_ok());
    }

    /// Ends it, as dropping it does.
    fn close(self) {}

    fn service(&self, key: &str) -> ServiceRecord {
        self.wait_for("figures", || self.services().is_ok());
        self.runtime.block_on(self.history.service(key)).unwrap().unwrap()
    }

    fn services(&self) -> Result<Vec<ServiceRecord>, HistoryUnavailable> {
        self.runtime.block_on(self.history.services())
    }

    fn intervals(&self, check: &str) -> Vec<Interval> {
        self.runtime.block_on(self.history.intervals(self.service(check).id, usize::MAX)).unwrap()
    }

    /// The events of a check, oldest first: what, from which second, to which.
    fn story(&self, check: &str) -> Vec<(EventKind, f64, Option<f64>)> {
        let page = Page { limit: 10_000, before: None };
        let events = self.runtime.block_on(self.history.events(self.service(check).id, page)).unwrap();
        let second = |time: Timestamp| time.since(at(0.0)).as_secs_f64();
        events.items.into_iter().rev().map(|event| (event.kind, second(event.from), event.to.map(second))).collect()
    }

    /// Waits until it goes like this.
    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited for {what} in vain: {:?}", self.history.condition());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

use EventKind::{Downtime, Unknown, Uptime};

fn assert_whole(intervals: &[Interval]) {
    for pair in intervals.windows(2) {
        assert_eq!(pair[0].to, Some(pair[1].from), "{pair:?}");
        assert!(pair[0].id < pair[1].id && pair[0].from <= pair[1].from, "{pair:?}");
    }
    assert!(intervals.last().unwrap().to.is_none());
}

/// The same story in memory and in a file.
fn both(of: &str, story: impl Fn(&Told)) {
    story(&Told::start(None, KEEP, "pod-1", 0.0));
    let folder = Folder::new(of);
    story(&Told::in_file(&folder.file(), 0.0));
}

#[test]
fn events_are_listed_newest_first_in_pages() {
    both("events", |told| {
        told.declare(&["db", "cache"], 0.0);
        for (second, state) in [(1.0, State::Ok), (2.0, State::Degraded), (3.0, State::Error), (4.0, State::Ok)] {
            told.enter("db", state, second);
        }
        assert_eq!(
            told.story("db"),
            [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, Some(3.0)), (Downtime, 3.0, Some(4.0)), (Uptime, 4.0, None)]
        );
        let id = told.service("db").id;
        let page = |limit, before| told.runtime.block_on(told.history.events(id, Page { limit, before })).unwrap();
        let first = page(2, None);
        assert_eq!(first.items.iter().map(|event| event.kind).collect::<Vec<_>>(), [Uptime, Downtime]);
        let second = page(2, first.next);
        assert_eq!(second.items.iter().map(|event| event.kind).collect::<Vec<_>>(), [Uptime, Unknown]);
        assert_eq!(second.next, None);
        assert_eq!(told.service("db").current_status, first.items[0]);
        assert_eq!(told.story("cache"), [(Unknown, 0.0, None)]);
    });
}

#[test]
fn ticks_are_listed_newest_first_in_pages() {
    both("ticks", |told| {
        told.declare(&["db", "cache"], 0.0);
        for second in 0..10 {
            told.pass("db", 50 + second, second as f64, "Database is connected");
            told.fail("cache", FailureKind::Connect, second as f64);
        }
        let id = told.service("db").id;
        let page = |limit, before| told.runtime.block_on(told.history.ticks(id, Page { limit, before })).unwrap();
        let first = page(4, None);
        let millis = |tick: &probelet::history::answer::Tick| tick.response_time.unwrap().as_millis();
        assert_eq!(first.items.iter().map(millis).collect::<Vec<_>>(), [59, 58, 57, 56]);
        assert_eq!((&*first.items[0].message, first.items[0].at), ("Database is connected", at(9.0)));
        let second = page(6, first.next);
        assert_eq!(second.items.iter().map(millis).collect::<Vec<_>>(), [55, 54, 53, 52, 51, 50]);
        assert_eq!(second.next, None);
        let failed =
            told.runtime.block_on(told.history.ticks(told.service("cache").id, Page { limit: 1, before: None }));
        let failed = &failed.unwrap().items[0];
        assert_eq!((failed.outcome, failed.reason), (OutcomeKind::Fail, Some(FailureKind::Connect)));
    });
}

/// What may happen to two checks, some tenths of a second after the last thing.
#[derive(Clone, Debug)]
enum Happening {
    Enter(bool, State, u32),
    Run(bool, Option<u64>, u32),
    Alive(u32),
    Set(i32),
    Declare(bool),
    Flush,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        6 => (any::<bool>(), prop::sample::select(State::ALL.to_vec()), 0u32..100).prop_map(|(a, to, after)| Happening::Enter(a, to, after)),
        4 => (any::<bool>(), prop::option::of(0u64..2000), 0u32..100).prop_map(|(a, millis, after)| Happening::Run(a, millis, after)),
        3 => (0u32..300).prop_map(Happening::Alive),
        1 => (-600i32..100_000_000).prop_map(Happening::Set),
        1 => any::<bool>().prop_map(Happening::Declare),
        2 => Just(Happening::Flush),
    ];
    prop::collection::vec(happening, 0..60)
}

fn tell(told: &Told, happenings: &[Happening]) {
    let mut now = 10_000u32;
    let of = |first: &bool| if *first { "a" } else { "b" };
    let second = |tenths: u32| f64::from(tenths) / 10.0;
    told.declare(&["a", "b"], second(now));
    for happening in happenings {
        match happening {
            Happening::Enter(first, to, after) => {
                now += after;
                told.enter(of(first), *to, second(now));
            }
            Happening::Run(first, millis, after) => {
                now += after;
                match millis {
                    Some(millis) => told.pass(of(first), *millis, second(now), "fine"),
                    None => told.fail(of(first), FailureKind::Timeout, second(now)),
                }
            }
            Happening::Alive(after) => {
                now += after;
                told.history.alive(at(second(now)));
            }
            Happening::Set(seconds) => {
                told.history.date(at(second(now)), at(second(now)).moved(i64::from(*seconds) * 1_000_000));
            }
            Happening::Declare(both) => told.declare(if *both { &["b", "a"] } else { &["a"] }, second(now)),
            Happening::Flush => told.flush(),
        }
    }
    told.declare(&["a", "b"], second(now));
    told.flush();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_file_says_the_same_as_memory_before_and_after_a_restart(happenings in happenings()) {
        let folder = Folder::new("same");
        let (memory, file) = (Told::start(None, KEEP, "pod-1", 0.0), Told::in_file(&folder.file(), 0.0));
        let everything = Page { limit: 1000, before: None };
        tell(&memory, &happenings);
        tell(&file, &happenings);
        let views = |told: &Told| {
            let of = |check: &str| {
                let service = told.service(check);
                let ticks = told.runtime.block_on(told.history.ticks(service.id, everything)).unwrap();
                let window = told.runtime.block_on(told.history.window(service.id, Duration::from_secs(60))).unwrap();
                (told.intervals(check), told.story(check), ticks, window, service)
            };
            (of("a"), of("b"))
        };
        prop_assert_eq!(views(&memory), views(&file));
        let before = views(&file);
        let last = before.0.3.to;
        file.close();
        let file = Told::in_file(&folder.file(), last.since(at(0.0)).as_secs_f64() + 5e-7);
        file.history.declare(&plan(&[("a", None), ("b", None)]), last);
        let after = views(&file);
        for (before, after) in [(before.0, after.0), (before.1, after.1)] {
            assert_whole(&after.0);
            prop_assert_eq!(before.2, after.2);
            prop_assert_eq!(before.3.times, after.3.times);
            prop_assert_eq!(before.4.metric, after.4.metric);
        }
    }
}

#[test]
fn a_service_shows_its_figures() {
    both("figures", |told| {
        told.declare(&["email-service"], 0.0);
        told.enter("email-service", State::Ok, 6.0);
        told.pass("email-service", 50, 7.0, "");
        told.pass("email-service", 59, 8.0, "");
        told.fail("email-service", FailureKind::Timeout, 9.0);
        told.enter("email-service", State::Error, 9.0);
        told.alive(9, 12);
        let [service] = &told.services().unwrap()[..] else { panic!("not one service") };
        assert_eq!((service.id, service.name.as_str(), service.created_at), (1, "email-service", at(0.0)));
        assert_eq!((service.updated_at, service.current_status.kind), (at(9.0), Downtime));
        let metric = service.metric;
        assert_eq!((metric.up_count, metric.down_count, metric.tick_count), (2, 1, 3));
        assert_eq!(metric.average_response_time_ms, Some(703.0));
        assert_eq!((metric.uptime_percent, metric.coverage_percent), (Some(50.0), Some(50.0)));
        let window = told.runtime.block_on(told.history.window(1, Duration::from_secs(4))).unwrap();
        assert_eq!((window.uptime_percent(), window.coverage_percent()), (Some(25.0), Some(100.0)));
        assert_eq!(window.response_times.p99, Some(Duration::from_millis(59)));
        let hour = told.runtime.block_on(told.history.window(1, Duration::from_secs(3600))).unwrap();
        assert_eq!(hour.coverage_percent().map(|percent| (percent * 6.0).round()), Some(1.0));
    });
}

#[test]
fn history_goes_on_after_a_restart_with_what_nobody_watched_as_unknown() {
    let folder = Folder::new("restart");
    let told = Told::in_file(&folder.file(), 0.0);
    told.declare(&["a", "b"], 0.0);
    told.enter("b", State::Ok, 2.0);
    told.pass("b", 20, 2.0, "fine");
    told.alive(2, 30);
    told.close();
    assert_eq!(folder.names(), ["history.db"]);

    let told = Told::in_file(&folder.file(), 100.0);
    told.declare(&["b"], 100.0);
    told.enter("b", State::Ok, 102.0);
    told.alive(102, 110);
    assert_eq!(told.service("b").id, 2);
    let expected =
        [(Unknown, 0.0, Some(2.0)), (Uptime, 2.0, Some(30.0)), (Unknown, 30.0, Some(102.0)), (Uptime, 102.0, None)];
    assert_eq!(told.story("b"), expected);
    let metric = told.service("b").metric;
    assert_eq!((metric.up_count, metric.average_response_time_ms), (1, Some(20.0)));
    assert_eq!(metric.coverage_percent.map(f64::round), Some(33.0));
    assert_eq!(told.services().unwrap().len(), 1);
}

#[test]
fn a_renamed_check_continues_the_history_of_its_former_name() {
    let folder = Folder::new("formerly");
    let told = Told::in_file(&folder.file(), 0.0);
    told.declare(&["db"], 0.0);
    told.enter("db", State::Ok, 1.0);
    told.alive(1, 3);
    told.close();
    for restart in [4.0, 5.0] {
        let told = Told::in_file(&folder.file(), restart);
        told.history.declare(&plan(&[("new", None), ("orders_db", Some("db"))]), at(restart));
        assert_eq!((told.service("orders_db").id, told.service("new").id), (1, 2));
        assert_eq!(told.story("orders_db")[..2], [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, Some(3.0))]);
        told.close();
    }
}

#[test]
fn latches_survive_a_restart_in_the_same_pod_only() {
    let folder = Folder::new("latches");
    let latches = SavedState {
        ready_once: true,
        draining_since: Some(at(3.0)),
        passed_once: [name("db"), name("internal_api/user")].into(),
        beats: [(name("loop"), at(2.5))].into(),
        looked_at: Some(at(4.0)),
    };
    let told = Told::in_file(&folder.file(), 0.0);
    assert_eq!(told.latches(), SavedState::default());
    told.history.save(SavedState { draining_since: None, ..latches.clone() });
    told.history.save(latches.clone());
    told.close();
    let told = Told::in_file(&folder.file(), 10.0);
    assert_eq!(told.latches(), latches);
    told.close();
    let told = Told::start(Some(&folder.file()), KEEP, "pod-2", 20.0);
    assert_eq!(told.latches(), SavedState::default());
}

#[test]
fn a_pod_without_a_uid_is_one_like_any_other() {
    let latches = SavedState { ready_once: true, draining_since: Some(at(3.0)), ..SavedState::default() };
    for (before, after, is_the_same) in [("", "", true), ("pod-1", "", false), ("", "pod-1", false)] {
        let folder = Folder::new("no-uid");
        let told = Told::start(Some(&folder.file()), KEEP, before, 0.0);
        told.history.save(latches.clone());
        told.close();
        let told = Told::start(Some(&folder.file()), KEEP, after, 10.0);
        let expected = if is_the_same { latches.clone() } else { SavedState::default() };
        assert_eq!(told.latches(), expected, "from {before:?} to {after:?}");
    }
}

#[test]
fn a_wall_clock_that_is_set_costs_no_downtime_and_no_run_and_dates_everything_anew() {
    const YEARS: i64 = 20_000 * 86_400;
    // One hour back, eight days ahead, and from 1970 to now.
    for by in [-3600, 8 * 86_400, YEARS] {
        both("clock", |told| {
            told.declare(&["db"], 5000.0);
            told.alive(5000, 5010);
            told.enter("db", State::Ok, 5010.0);
            told.alive(5010, 5060);
            told.fail("db", FailureKind::Connect, 5060.0);
            told.enter("db", State::Error, 5060.0);
            told.alive(5060, 5100);
            told.pass("db", 10, 5100.0, "fine");
            told.enter("db", State::Ok, 5100.0);
            told.alive(5100, 5109);
            let moved = |seconds: f64| at(seconds).moved(by * 1_000_000);
            told.history.date(at(5110.0), moved(5110.0));
            told.alive(5110, 5110);
            told.enter("db", State::Error, 5110.0);
            told.flush();
            let service = told.service("db");
            assert_eq!(service.metric.uptime_percent, Some(60.0));
            assert_eq!(service.metric.coverage_percent.map(f64::round), Some(91.0));
            assert_eq!((service.metric.up_count, service.metric.down_count), (1, 1));
            assert_eq!((service.created_at, service.current_status.from), (moved(5000.0), moved(5110.0)));
            let events =
                told.runtime.block_on(told.history.events(service.id, Page { limit: 9, before: None })).unwrap();
            let lengths: Vec<_> =
                events.items.iter().rev().map(|it| it.to.map(|to| to.since(it.from).as_secs())).collect();
            assert_eq!(lengths, [Some(10), Some(50), Some(40), Some(10), None]);
            let ticks = told.runtime.block_on(told.history.ticks(service.id, Page { limit: 9, before: None })).unwrap();
            assert_eq!(ticks.items.iter().map(|tick| tick.at).collect::<Vec<_>>(), [moved(5100.0), moved(5060.0)]);
            let window = told.runtime.block_on(told.history.window(service.id, Duration::from_secs(50))).unwrap();
            assert_eq!((window.to, window.times.known().as_secs()), (moved(5110.0), 50));
            told.history.date(at(5135.0), at(5135.0));
            told.alive(5111, 5135);
            assert_eq!(told.story("db")[..2], [(Unknown, 5000.0, Some(5010.0)), (Uptime, 5010.0, Some(5060.0))]);
            assert_eq!(told.service("db").metric.tick_count, 2);
        });
    }
}

#[test]
fn a_restart_while_the_wall_clock_is_wrong_costs_nothing_that_the_boot_clock_knows() {
    let in_boot = |path: &Path, now: f64, wrong: f64| {
        let boot = Boot { id: "a start of the machine".into(), at: at(0.0).moved(wrong as i64 * 1_000_000) };
        let settings = Settings { path: Some(path.to_owned()), keep: KEEP, pod: None, boot: Some(boot) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = Told { history: History::start(settings, at(now + wrong)), runtime };
        told.wait_until_open();
        told
    };
    for wrong in [-3600.0, 8.0 * 86_400.0] {
        let folder = Folder::new("wrong-clock");
        let told = in_boot(&folder.file(), 5000.0, 0.0);
        told.declare(&["db"], 5000.0);
        told.pass("db", 10, 5000.0, "fine");
        told.enter("db", State::Ok, 5000.0);
        told.alive(5000, 5100);
        told.close();
        let told = in_boot(&folder.file(), 5110.0, wrong);
        told.declare(&["db"], 5110.0 + wrong);
        told.enter("db", State::Error, 5110.0 + wrong);
        told.history.alive(at(5120.0 + wrong));
        assert_eq!(told.service("db").metric.tick_count, 1);
        told.history.date(at(5120.0 + wrong), at(5120.0));
        told.flush();
        assert_eq!(
            told.story("db"),
            [
                (Unknown, 5000.0, Some(5000.0)),
                (Uptime, 5000.0, Some(5100.0)),
                (Unknown, 5100.0, Some(5110.0)),
                (Downtime, 5110.0, None)
            ]
        );
        assert_eq!(told.service("db").metric.tick_count, 1);
        told.close();
    }
}

#[test]
fn old_runs_become_hourly_figures_and_those_go_with_time() {
    let folder = Folder::new("retention");
    let keep = Keep { retention: Duration::from_secs(3600), ..KEEP };
    let told = Told::start(Some(&folder.file()), keep, "pod-1", 0.0);
    told.declare(&["db"], 0.0);
    told.enter("db", State::Ok, 0.5);
    for second in 0..1200u32 {
        match second % 3 {
            0 => told.fail("db", FailureKind::Timeout, second.into()),
            _ => told.pass("db", 10, second.into(), "fine"),
        }
        told.alive(second, second);
    }
    told.enter("db", State::Error, 1200.0);
    told.flush();
    let ticks = |told: &Told| {
        let page = Page { limit: 5000, before: None };
        told.runtime.block_on(told.history.ticks(1, page)).unwrap().items.len()
    };
    let wait_for_ticks = |told: &Told, count: usize| told.wait_for("fewer ticks", || ticks(told) == count);
    assert_eq!(ticks(&told), 1200);
    told.alive(4200, 4200);
    wait_for_ticks(&told, 600);
    let figures = |told: &Told| {
        let metric = told.service("db").metric;
        (metric.up_count, metric.down_count, metric.average_response_time_ms.map(f64::round))
    };
    assert_eq!(figures(&told), (800, 400, Some(673.0)));
    told.close();

    let told = Told::start(Some(&folder.file()), keep, "pod-1", 4201.0);
    told.declare(&["db"], 4201.0);
    told.enter("db", State::Ok, 4202.0);
    // By 598 or 600, whenever it looked.
    assert!((598..=600).contains(&ticks(&told)), "{}", ticks(&told));
    assert_eq!(figures(&told), (800, 400, Some(673.0)));
    assert_eq!(told.story("db").len(), 7);
    told.alive(50_000, 50_000);
    wait_for_ticks(&told, 0);
    told.wait_for("less history", || told.service("db").metric.up_count == 0 && told.story("db").len() == 2);
    assert_eq!(told.story("db"), [(Unknown, 4202.0, Some(50_000.0)), (Uptime, 50_000.0, None)]);
    assert_whole(&told.intervals("db"));
}

#[test]
fn an_event_that_lasts_began_when_it_did_whatever_is_kept_of_it() {
    let folder = Folder::new("lasting");
    let keep = Keep { retention: Duration::from_secs(10), ..KEEP };
    let told = Told::start(Some(&folder.file()), keep, "pod-1", 0.0);
    told.declare(&["db"], 0.0);
    told.enter("db", State::Ok, 1.0);
    told.alive(1, 50);
    told.enter("db", State::Degraded, 50.0);
    told.alive(50, 60);
    told.enter("db", State::Ok, 60.0);
    told.flush_patiently();
    told.alive(60, 300);
    told.wait_for("fewer intervals", || told.intervals("db").len() == 1);
    assert_eq!(told.story("db"), [(Uptime, 1.0, None)]);
    assert_eq!(told.service("db").current_status.from, at(1.0));
}

#[test]
fn runs_are_stored_where_none_may_wait_in_memory() {
    let folder = Folder::new("no-memory");
    let told = Told::start(Some(&folder.file()), Keep { max_memory: 0, ..KEEP }, "pod-1", 0.0);
    told.declare(&["db"], 0.0);
    for second in 1..=200 {
        told.enter("db", if second % 2 == 0 { State::Ok } else { State::Error }, second.into());
        told.pass("db", 10, second.into(), "fine");
    }
    told.flush_patiently();
    assert_eq!((told.service("db").metric.tick_count, told.history.dropped()), (200, 0));
    assert_eq!(told.story("db").len(), 201);
}

#[test]
fn the_file_stays_within_its_bound_and_the_oldest_goes_first() {
    let folder = Folder::new("bound");
    let keep = Keep { max_size: 1024 * 1024, ..KEEP };
    let told = Told::start(Some(&folder.file()), keep, "pod-1", 0.0);
    told.declare(&["db"], 0.0);
    let long = "x".repeat(200);
    let size = || {
        let of = |tail: &str| fs::metadata(folder.0.join(format!("history.db{tail}"))).map_or(0, |found| found.len());
        of("") + of("-wal")
    };
    let mut largest = 0;
    for round in 0..20 {
        for second in round * 1000..(round + 1) * 1000 {
            told.pass("db", 10, f64::from(second) / 10.0, &long);
            told.history.alive(at(f64::from(second) / 10.0));
        }
        told.flush();
        largest = largest.max(size());
    }
    told.wait_for("a smaller file", || size() <= 1024 * 1024);
    assert!(largest < 2 * 1024 * 1024, "it had {largest} bytes in between");
    assert_eq!(told.service("db").metric.tick_count + told.history.dropped(), 20_000);
    let page = Page { limit: 1, before: None };
    let newest = told.runtime.block_on(told.history.ticks(1, page)).unwrap();
    assert_eq!(newest.items[0].at, at(1999.9));
}

#[test]
fn the_least_bound_that_is_not_warned_of_has_room_for_a_past() {
    for checks in [1, 50] {
        let folder = Folder::new("least");
        let keep = Keep { max_size: HistoryConfig::least_max_size(checks), ..KEEP };
        let told = Told::start(Some(&folder.file()), keep, "pod-1", 0.0);
        let names: Vec<String> = (0..checks).map(|check| format!("a-name-of-some-length/{check}")).collect();
        told.declare(&names.iter().map(String::as_str).collect::<Vec<_>>(), 0.0);
        // The first one flaps, and fails for a tenth of the time.
        for second in (0..1000u32).step_by(10) {
            told.enter(&names[0], State::Error, second.into());
            told.enter(&names[0], State::Ok, f64::from(second + 1));
            names.iter().for_each(|name| told.pass(name, 10, f64::from(second + 9), "fine"));
            told.alive(second, second + 9);
            told.flush_patiently();
        }
        let uptime = told.service(&names[0]).metric.uptime_percent.unwrap();
        assert!((89.0..=91.0).contains(&uptime), "{checks} checks: {uptime} %");
        assert!(told.story(&names[0]).len() > 100, "{checks} checks");
    }
}

#[test]
fn a_bound_that_is_too_small_for_anything_keeps_the_events_that_last() {
    let folder = Folder::new("tiny");
    let told = Told::start(Some(&folder.file()), Keep { max_size: 4096, ..KEEP }, "pod-1", 0.0);
    told.declare(&["db"], 0.0);
    for second in 0..50u32 {
        told.enter("db", if second % 2 == 0 { State::Ok } else { State::Error }, second.into());
        told.pass("db", 10, second.into(), "fine");
        told.flush();
    }
    told.wait_for("less history", || told.story("db").len() == 1 && told.service("db").metric.tick_count == 0);
    assert_eq!(told.story("db"), [(Downtime, 49.0, None)]);
}

#[test]
fn what_is_told_before_the_file_is_open_and_just_before_the_end_is_in_the_file() {
    for waits in [false, true] {
        let folder = Folder::new("told");
        let settings = Settings { path: Some(folder.file()), keep: KEEP, pod: Some("pod-1".into()), boot: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = Told { history: History::start(settings, at(0.0)), runtime };
        if waits {
            told.wait_until_open();
        }
        told.declare(&["db", "cache"], 0.0);
        told.pass("db", 10, 0.0, "the first");
        told.pass("cache", 10, 0.0, "the first");
        for second in 1..=500u32 {
            told.enter("db", if second % 2 == 1 { State::Ok } else { State::Error }, second.into());
            told.pass("db", 10, second.into(), "one of many");
        }
        let saved = SavedState { ready_once: true, ..SavedState::default() };
        told.history.save(saved.clone());
        told.close();

        let told = Told::in_file(&folder.file(), 600.0);
        assert_eq!(told.latches(), saved, "waits: {waits}");
        told.declare(&["db", "cache"], 600.0);
        assert_eq!(told.service("db").metric.up_count, 501, "waits: {waits}");
        assert_eq!(told.service("cache").metric.up_count, 1, "waits: {waits}");
        let story = told.story("db");
        assert_eq!(story[..2], [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, Some(2.0))], "waits: {waits}");
        assert_eq!((story.len(), story[500].1), (502, 500.0), "waits: {waits}");
        told.close();
    }
}

// Files that cannot be used.

/// What is told and asked works, in memory.
fn assert_works_in_memory(told: &Told) {
    assert_eq!(told.history.condition(), Condition::Refused);
    told.declare(&["db"], 0.0);
    told.enter("db", State::Ok, 1.0);
    assert_eq!(told.story("db"), [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, None)]);
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = Folder::new("newer");
    Told::in_file(&folder.file(), 0.0).close();
    // The user version lies in bytes 60 to 63 of the header.
    overwrite(&folder.file(), 60, &[0, 0, 0, 2]);
    let before = fs::read(folder.file()).unwrap();
    assert_works_in_memory(&Told::in_file(&folder.file(), 0.0));
    assert_eq!((folder.names(), fs::read(folder.file()).unwrap()), (vec!["history.db".to_owned()], before));
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let folder = Folder::new("foreign");
    Told::in_file(&folder.file(), 0.0).close();
    // The application's number lies in bytes 68 to 71 of the header.
    overwrite(&folder.file(), 68, &[1, 2, 3, 4]);
    let before = fs::read(folder.file()).unwrap();
    assert_works_in_memory(&Told::in_file(&folder.file(), 0.0));
    assert_eq!((folder.names(), fs::read(folder.file()).unwrap()), (vec!["history.db".to_owned()], before));
}

#[test]
fn a_folder_or_device_or_nothing_in_its_place_is_refused() {
    let folder = Folder::new("places");
    fs::create_dir(folder.0.join("folder")).unwrap();
    fs::write(folder.0.join("text"), "no folder").unwrap();
    let places = ["folder", "nowhere/history.db", "text/history.db", "/dev/null", "/dev/full", "/"];
    for place in places {
        assert_works_in_memory(&Told::in_file(&folder.0.join(place), 0.0));
    }
    assert_eq!(folder.names(), ["folder", "text"]);
}

#[test]
fn a_folder_that_takes_no_files_is_refused() {
    // Nobody may make files here, whatever their rights.
    assert_works_in_memory(&Told::in_file(Path::new("/proc/self/history.db"), 0.0));
}

#[test]
fn a_file_that_another_process_has_open_is_not_touched_and_taken_over_when_that_one_is_gone() {
    let folder = Folder::new("shared");
    let first = Told::in_file(&folder.file(), 0.0);
    first.declare(&["db"], 0.0);
    let settings = Settings { path: Some(folder.file()), keep: KEEP, pod: None, boot: None };
    let second = History::start(settings, at(0.0));
    // While it waits for the file, telling and asking do not.
    assert_eq!(second.condition(), Condition::Opening);
    let second =
        Told { history: second, runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap() };
    assert!(second.services().is_err());
    second.declare(&["db"], 0.0);
    second.enter("db", State::Error, 1.0);
    second.wait_until_open();
    assert_eq!(second.history.condition(), Condition::Refused);
    assert_eq!(second.story("db"), [(Unknown, 0.0, Some(1.0)), (Downtime, 1.0, None)]);
    second.pass("db", 10, 3.0, "before the other was gone");
    second.alive(1, 40);
    second.pass("db", 10, 41.0, "after it was gone");
    first.enter("db", State::Ok, 1.0);
    first.pass("db", 10, 1.0, "of the other");
    first.alive(1, 20);
    first.flush();
    assert_eq!(first.story("db"), [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, None)]);
    assert_eq!(second.history.condition(), Condition::Refused);
    first.close();
    second.wait_for("the free file", || second.history.condition() == Condition::Stored);
    let story = second.story("db");
    assert_eq!(story[..2], [(Unknown, 0.0, Some(1.0)), (Uptime, 1.0, Some(20.0))]);
    assert_eq!(story[2..], [(Unknown, 20.0, Some(20.0)), (Downtime, 20.0, None)]);
    second.flush();
    let ticks = second.runtime.block_on(second.history.ticks(1, Page { limit: 9, before: None })).unwrap().items;
    let told: Vec<&str> = ticks.iter().map(|tick| &*tick.message).collect();
    assert_eq!(told, ["after it was gone", "of the other"], "of a time that both watched the file's own record stays");
    assert_eq!(second.service("db").metric.uptime_percent.map(f64::round), Some(48.0));
    second.enter("db", State::Ok, 42.0);
    second.close();
    let third = Told::start(Some(&folder.file()), KEEP, "", 50.0);
    third.declare(&["db"], 50.0);
    assert_eq!(third.story("db")[3..5], [(Downtime, 20.0, Some(42.0)), (Uptime, 42.0, Some(42.0))]);
}

#[test]
fn a_file_of_something_else_is_never_touched() {
    let header = [b"SQLite format 3\0".as_slice(), &[0; 52], b"else", &[7; 4000]].concat();
    let files: [&[u8]; 6] = [
        b"a,b\n1,2\n",
        b"\n",
        &[0; 5000],
        b"SQLite format 3: a note about it, longer than a header can be, so that it is none of ours, and nobody's",
        &header,
        "{}".as_bytes(),
    ];
    for content in files {
        let folder = Folder::new("csv");
        fs::write(folder.file(), content).unwrap();
        let told = Told::in_file(&folder.file(), 0.0);
        assert_eq!(told.history.condition(), Condition::Refused, "{:?}", content.get(..20));
        assert_works_in_memory(&told);
        told.close();
        assert_eq!(folder.names(), ["history.db"], "{:?}", content.get(..20));
        assert_eq!(fs::read(folder.file()).unwrap(), content);
    }
}

#[test]
fn a_file_that_is_removed_while_it_is_in_use_is_made_anew() {
    let folder = Folder::new("removed");
    let told = Told::in_file(&folder.file(), 0.0);
    told.declare(&["db"], 0.0);
    told.enter("db", State::Ok, 1.0);
    told.flush();
    fs::remove_file(folder.file()).unwrap();
    told.alive(2, 130);
    told.wait_for("a new file", || folder.file().exists());
    told.enter("db", State::Error, 130.0);
    told.close();
    let told = Told::in_file(&folder.file(), 131.0);
    told.declare(&["db"], 131.0);
    assert_eq!(told.story("db"), [(Uptime, 1.0, Some(130.0)), (Downtime, 130.0, Some(130.0)), (Unknown, 130.0, None)]);
}

fn overwrite(file: &Path, offset: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

/// A file with some history in it.
fn some_history(path: &Path) {
    let told = Told::in_file(path, 0.0);
    told.declare(&["db", "cache"], 0.0);
    for second in 0..300u32 {
        told.enter("db", if second % 2 == 0 { State::Ok } else { State::Error }, second.into());
        told.pass("cache", 10, second.into(), "Redis is connected");
    }
    told.close();
}

/// Whatever is in the file, it is used or set aside, and there is a history.
fn assert_copes_with(folder: &Folder, what: &str) {
    let told = Told::in_file(&folder.file(), 400.0);
    told.declare(&["db", "cache"], 400.0);
    told.enter("db", State::Ok, 401.0);
    told.pass("db", 10, 402.0, "fine");
    let is_used = told.history.condition() == Condition::Stored;
    assert!(is_used || told.history.condition() == Condition::Refused, "{what}: {:?}", told.history.condition());
    assert_whole(&told.intervals("db"));
    assert_eq!(told.service("db").current_status.kind, Uptime, "{what}");
    assert!(told.service("db").metric.up_count > 0, "{what}");
    told.close();
    if is_used {
        let again = Told::in_file(&folder.file(), 500.0);
        assert_eq!(again.history.condition(), Condition::Stored, "{what}");
        again.close();
    }
}

#[test]
fn a_file_that_was_truncated_anywhere_is_coped_with() {
    let folder = Folder::new("truncated");
    let sound = folder.0.join("sound.db");
    some_history(&sound);
    let length = fs::metadata(&sound).unwrap().len();
    let mut aside = 0;
    for share in 0..24 {
        let kept = if share == 0 { 1 } else { length * share / 24 + share * 7 };
        fs::copy(&sound, folder.file()).unwrap();
        fs::OpenOptions::new().write(true).open(folder.file()).unwrap().set_len(kept).unwrap();
        assert_copes_with(&folder, &format!("truncated to {kept} bytes"));
        aside += folder.names().iter().filter(|name| name.contains(".corrupt-")).count();
        clear(&folder);
    }
    assert!(aside >= 20, "{aside} were set aside");
    fs::write(folder.file(), "").unwrap();
    assert_copes_with(&folder, "an empty file");
    assert_eq!(folder.names(), ["history.db", "sound.db"]);
}

#[test]
fn a_file_that_was_overwritten_anywhere_is_coped_with() {
    let folder = Folder::new("overwritten");
    let sound = folder.0.join("sound.db");
    some_history(&sound);
    let length = fs::metadata(&sound).unwrap().len();
    let header = [0, 16, 20, 24, 28, 36, 44, 52, 56, 64, 92, 96, 100, 103, 105, 108];
    let places = header.into_iter().chain((1..24).map(|share| length * share / 24));
    for place in places {
        for rubbish in [&[0u8; 60][..], b"rubbish in the middle of the file"] {
            fs::copy(&sound, folder.file()).unwrap();
            overwrite(&folder.file(), place, rubbish);
            assert_copes_with(&folder, &format!("overwritten at {place}"));
            clear(&folder);
        }
    }
    fs::copy(&sound, folder.file()).unwrap();
    overwrite(&folder.file(), 16, b"rubbish");
    assert_copes_with(&folder, "no database any more");
    assert!(folder.names()[1].starts_with("history.db.corrupt-20261121T103640Z"), "{:?}", folder.names());
}

/// Removes everything but the sound file.
fn clear(folder: &Folder) {
    for name in folder.names().iter().filter(|name| *name != "sound.db") {
        fs::remove_file(folder.0.join(name)).unwrap();
    }
}

#[test]
fn broken_files_do_not_pile_up() {
    let folder = Folder::new("pile");
    for second in 0..5u32 {
        fs::write(folder.file(), [b"SQLite format 3\0".as_slice(), &[7; 52], b"prob", &[7; 4000]].concat()).unwrap();
        let told = Told::in_file(&folder.file(), (second / 2).into());
        assert_eq!(told.history.condition(), Condition::Stored);
        told.close();
    }
    let aside = ["history.db.corrupt-20261121T103001Z-1", "history.db.corrupt-20261121T103002Z"];
    assert_eq!(folder.names(), ["history.db", aside[0], aside[1]]);
}

#[test]
fn a_file_that_breaks_while_it_is_in_use_is_set_aside_and_history_goes_on() {
    let folder = Folder::new("breaks");
    let told = Told::in_file(&folder.file(), 0.0);
    told.declare(&["db"], 0.0);
    // More than stays in memory.
    for second in 0..12_000u32 {
        told.pass("db", 10, second.into(), &"x".repeat(200));
        if second % 1000 == 999 {
            told.flush();
        }
    }
    let length = fs::metadata(folder.file()).unwrap().len();
    overwrite(&folder.file(), 4096, &vec![0xa5; usize::try_from(length - 4096).unwrap()]);
    told.wait_for("a file that is set aside", || {
        let page = Page { limit: 1000, before: Some(1000) };
        let _ = told.runtime.block_on(told.history.ticks(1, page));
        told.enter("db", State::Ok, 12_001.0);
        folder.names().iter().any(|name| name.contains(".corrupt-"))
    });
    told.wait_for("a disk that takes more", || told.history.condition() == Condition::Stored);
    told.enter("db", State::Error, 12_002.0);
    told.close();
    let told = Told::in_file(&folder.file(), 12_003.0);
    told.declare(&["db"], 12_003.0);
    assert_eq!(told.story("db").last().unwrap().0, Unknown);
    assert!(told.story("db").iter().any(|event| event.0 == Downtime));
    assert_whole(&told.intervals("db"));
}

// Writers in processes of their own.

const CHILD: &str = "PROBELET_HISTORY_OF_THE_CHILD";
const CHECKS: [&str; 3] = ["one", "two", "three"];

/// This test again, as a process that does only `role` with the file. Killed at the end, whatever that is.
struct Writer {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(role: &str, path: &Path, before: &str) -> Self {
        Self::start_with(role, path, before, Stdio::null())
    }

    /// The same, with what it complains about.
    fn start_with(role: &str, path: &Path, before: &str, complaints: Stdio) -> Self {
        let script = format!("{before} exec \"$0\" \"$@\"");
        let child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .args([role, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn();
        let mut child = child.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that says `word`, without it; nothing at the end.
    fn next(&mut self, word: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(rest) = line.trim_end().strip_prefix(word).and_then(|rest| rest.strip_prefix(' ')) {
                return Some(rest.to_owned());
            }
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the child writes, when this process is one.
fn as_child() -> Option<(PathBuf, f64)> {
    let path = PathBuf::from(std::env::var_os(CHILD)?);
    let begin = fs::read_to_string(path.with_extension("begin")).unwrap_or_default().parse().unwrap_or(0.0);
    Some((path, begin))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{line}");
    let _ = out.flush();
}

#[test]
fn child_that_settles_every_transition() {
    let Some((path, begin)) = as_child() else { return };
    let told = Told::in_file(&path, begin);
    told.declare(&CHECKS, begin);
    for count in 0..100_000u32 {
        let now = begin + f64::from(count + 1) / 10.0;
        let check = CHECKS[count as usize % 3];
        told.enter(check, if count / 3 % 2 == 0 { State::Ok } else { State::Error }, now);
        told.pass(check, 10, now, "fine");
        told.history.alive(at(now));
        told.flush();
        say(&format!(
            "settled {} {now}",
            told.services().unwrap().iter().map(|it| it.current_status.id).max().unwrap()
        ));
    }
}

#[test]
fn a_writer_that_is_killed_at_any_moment_loses_no_settled_transition_and_leaves_a_file_that_opens() {
    let folder = Folder::new("killed");
    let begin = folder.file().with_extension("begin");
    let (mut now, mut random) = (0.0, 88_172_645_463_325_252u64);
    let mut settled_in_all = 0;
    for round in 0..12 {
        fs::write(&begin, format!("{now}")).unwrap();
        let mut writer = Writer::start("child_that_settles_every_transition", &folder.file(), "");
        // Xorshift: the same moments every time, as far as the machine lets us.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut settled = None;
        for _ in 0..1 + random % 60 {
            settled = Some(writer.next("settled").unwrap());
        }
        std::thread::sleep(Duration::from_micros(random % 3000));
        writer.kill();
        while let Some(line) = writer.next("settled") {
            settled = Some(line);
        }
        let settled = settled.unwrap();
        let (event, second) = settled.split_once(' ').unwrap();
        let (event, second): (u64, f64) = (event.parse().unwrap(), second.parse().unwrap());

        let told = Told::in_file(&folder.file(), second + 5.0);
        told.declare(&CHECKS, second + 5.0);
        assert_eq!(told.history.condition(), Condition::Stored, "round {round}");
        let intervals: Vec<Vec<Interval>> = CHECKS.iter().map(|check| told.intervals(check)).collect();
        intervals.iter().for_each(|intervals| assert_whole(intervals));
        let of_settled = intervals.iter().flatten().find(|interval| interval.event == event).copied();
        assert_eq!(of_settled.map(|it| it.from), Some(at(second)), "round {round}: the event {event} is lost");
        let ticks: u64 = told.services().unwrap().iter().map(|service| service.metric.tick_count).sum();
        let known = intervals.iter().flatten().filter(|it| it.availability != Availability::Unknown).count();
        settled_in_all += u64::from(random % 60 > 0);
        assert!(ticks >= u64::try_from(known).unwrap() / 2, "round {round}: {ticks} ticks, {known} intervals");
        told.close();
        now = second + 100.0;
    }
    assert!(settled_in_all > 0);
    assert_eq!(folder.names(), ["history.begin", "history.db"]);
}

#[test]
fn child_that_ticks() {
    let Some((path, begin)) = as_child() else { return };
    let told = Told::in_file(&path, begin);
    told.declare(&CHECKS, begin);
    for count in 0..1_000_000u32 {
        let now = begin + f64::from(count) / 1000.0;
        told.pass("one", 10, now, "fine");
        told.history.alive(at(now));
        say(&format!("told {}", count + 1));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_writer_that_is_killed_loses_the_ticks_of_the_last_moment_at_most() {
    let folder = Folder::new("ticks-killed");
    let mut writer = Writer::start("child_that_ticks", &folder.file(), "");
    let began = Instant::now();
    let mut told_by_then = Vec::new();
    while began.elapsed() < Duration::from_millis(2500) {
        told_by_then.push((Instant::now(), writer.next("told").unwrap().parse::<u64>().unwrap()));
    }
    let killed = Instant::now();
    writer.kill();
    // A second, and another one for a machine that is busy.
    let due = told_by_then.iter().rev().find(|(when, _)| killed.duration_since(*when) > Duration::from_secs(2));
    let told = Told::in_file(&folder.file(), 5000.0);
    told.declare(&CHECKS, 5000.0);
    let stored = told.service("one").metric.tick_count;
    assert!(stored >= due.map_or(0, |(_, count)| *count), "{stored} ticks are stored, {due:?} were due");
    assert!(stored > 0);
}

#[test]
fn child_whose_disk_is_full() {
    let Some((path, begin)) = as_child() else { return };
    let told = Told::in_file(&path, begin);
    told.declare(&CHECKS, begin);
    let (mut second, mut ticks, mut moves) = (begin, 0, 0);
    let mut go_on = |told: &Told| {
        second += 1.0;
        for check in CHECKS {
            told.pass(check, 10, second, &"x".repeat(200));
            ticks += 1;
        }
        told.enter("one", if moves % 2 == 0 { State::Ok } else { State::Error }, second);
        moves += 1;
        told.history.alive(at(second));
        (ticks, moves, second)
    };
    while told.history.condition() == Condition::Stored {
        go_on(&told);
        let _ = told.runtime.block_on(told.history.flush());
    }
    // Nobody waits for the disk, and what is asked is still answered.
    let began = Instant::now();
    for _ in 0..1500 {
        go_on(&told);
    }
    let took = began.elapsed();
    let (_, moves, second) = go_on(&told);
    let is_seen = told.story("one").iter().any(|event| event.1 == second && event.2.is_none());
    // Runs that wait are shown too.
    let (_, _, second) = go_on(&told);
    let newest = told.runtime.block_on(told.history.ticks(told.service("one").id, Page { limit: 1, before: None }));
    let is_seen = is_seen && newest.unwrap().items[0].at == at(second);
    say(&format!("full {moves} {is_seen} {}", took.as_millis()));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    rustix::process::setrlimit(
        rustix::process::Resource::Fsize,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )
    .unwrap();
    told.wait_for("a disk that takes more", || told.history.condition() == Condition::Stored);
    let (ticks, moves, second) = go_on(&told);
    told.flush();
    say(&format!("back {ticks} {moves} {second} {}", told.history.dropped()));
    std::io::stdin().read_line(&mut line).unwrap();
}

#[test]
fn a_full_disk_costs_ticks_and_no_transition() {
    let folder = Folder::new("full");
    // A file may have 200 KiB, and the signal that says so is ignored: writing more fails, as on a disk that is full.
    let before = "trap '' XFSZ; ulimit -S -f 400;";
    let mut writer = Writer::start("child_whose_disk_is_full", &folder.file(), before);
    let full = writer.next("full").unwrap();
    let full: Vec<&str> = full.split(' ').collect();
    assert_eq!(full[1], "true", "what waits was not shown");
    assert!(full[2].parse::<u64>().unwrap() < 5000, "telling waited for the disk: {}", full[2]);
    let mut to_child = writer.child.stdin.take().unwrap();
    writeln!(to_child, "there is room again").unwrap();
    let back = writer.next("back").unwrap();
    let back: Vec<f64> = back.split(' ').map(|number| number.parse().unwrap()).collect();
    let [ticks, moves, second, dropped] = back[..] else { panic!("{back:?}") };
    assert!(dropped > 0.0);
    writer.kill();

    let told = Told::in_file(&folder.file(), second + 1.0);
    told.declare(&CHECKS, second + 1.0);
    let stored: u64 = told.services().unwrap().iter().map(|service| service.metric.tick_count).sum();
    assert_eq!(stored as f64 + dropped, ticks);
    let ups_and_downs = told.story("one").iter().filter(|event| event.0 != Unknown).count();
    assert_eq!(ups_and_downs as f64, moves);
    assert_whole(&told.intervals("one"));
}
