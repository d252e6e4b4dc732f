//! Nights of an app's container beside the machine, played in virtual time: it crashes and starts again at any moment,
//! its database comes and goes, and kubelet asks. A model of kubelet as small as can be, for the properties that hold
//! however everything falls together.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::playback::{Playback, reading};
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::testing::{check, indices, plan};
use crate::model::plan::{Critical, Definition, Gates, Origin, Thresholds};
use crate::model::start_up::{ContainerNews, StartupzTracker};
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged};
use crate::scheduler::machine::Machine;

const START: Moment = Moment::at(Duration::from_secs(1000));

/// An outage that does not take place.
const NEVER: (f64, f64) = (0.0, 0.0);

/// What happens in one night, in seconds.
#[derive(Clone, Copy, Debug)]
struct Night {
    /// When kubelet starts the first container: at once, or later where the sidecar has a startup probe of its own.
    first_container: f64,
    /// When that one answers.
    first_start: f64,
    /// When it crashes, and how long until kubelet has started the next one.
    crash: f64,
    pause: f64,
    /// How long that one takes until it answers.
    next_start: f64,
    /// When the database is away.
    away: (f64, f64),
    /// Whether the app answers while its database is away.
    needs_database: bool,
    /// How long it needs after the database is back: a pool that connects again.
    pool: f64,
    /// When in its period kubelet asks.
    phase: f64,
    /// The failure threshold of the check of the app, and its success threshold.
    thresholds: (u32, u32),
    database: Critical,
    /// The app's own check gates `startup` as well, or another check of the pod does.
    gates_startup: bool,
    pod: u32,
}

impl Night {
    fn answers(&self, at: f64) -> bool {
        let up = (at >= self.first_start && at < self.crash) || at >= self.serves_again();
        up && !(self.needs_database && at >= self.away.0 && at < self.away.1 + self.pool)
    }

    fn next_container(&self) -> f64 {
        self.crash + self.pause
    }

    fn serves_again(&self) -> f64 {
        self.next_container() + self.next_start
    }

    /// When the container that runs at `at` started; nothing while none does.
    fn container(&self, at: f64) -> Option<f64> {
        match at {
            at if at < self.first_container => None,
            at if at < self.crash => Some(self.first_container),
            at if at >= self.next_container() => Some(self.next_container()),
            _ => None,
        }
    }

    fn machine(&self) -> Machine {
        let count = |count| NonZeroU32::new(count).unwrap();
        let database = Definition { critical: self.database, interval: Duration::from_secs(10), ..check("database") };
        let app = Definition {
            gates: Gates { live: true, ready: true, startup: self.gates_startup },
            of_pod: true,
            interval: Duration::from_secs(2),
            depends_on: indices(&[0]),
            thresholds: Thresholds { failure: count(self.thresholds.0), success: count(self.thresholds.1) },
            ..check("app")
        };
        let shop = Definition { depends_on: indices(&[1]), of_pod: true, ..check("shop") };
        Machine::new(plan(vec![database, app, shop]), &format!("pod-{}", self.pod), reading(START))
    }

    /// What a run finds. Each takes 20 ms.
    fn world(self) -> impl FnMut(CheckIndex, Moment) -> (ProbeResult, Duration) {
        move |check, now| {
            let at = now.since(START).as_secs_f64();
            let well = match check.get() {
                0 => !(at >= self.away.0 && at < self.away.1),
                _ => self.answers(at),
            };
            let failure = Failure::new(FailureKind::Connect, "connection refused");
            (if well { Ok(Pass::default()) } else { Err(failure) }, Duration::from_millis(20))
        }
    }
}

/// What kubelet saw that it should not have, as sentences; and how long the new container answered unasked.
#[derive(Debug, Default)]
struct NightVerdicts {
    /// It gave traffic to a container that did not answer then and never had.
    traffic_too_early: Vec<f64>,
    /// Liveness failed for a container that had never answered.
    strikes_while_starting: Vec<f64>,
    /// When `/readyz` was open for the new container for the first time.
    ready_again: Option<f64>,
}

/// Plays the night with kubelet asking: `/startupz` every 2 s while a container has not started, then `/livez` every
/// 10 s and `/readyz` every 5 s.
fn played(night: Night) -> NightVerdicts {
    let mut playback = Playback::new(night.machine(), night.world(), START);
    let mut asks = StartupzTracker::since(START);
    let (mut container, mut started) = (None, false);
    let mut verdicts = NightVerdicts::default();
    let end = night.serves_again().max(night.away.1) + 120.0;
    let mut half_seconds = 0u32;
    loop {
        half_seconds += 1;
        let at = f64::from(half_seconds) / 2.0 + night.phase;
        if at > end {
            return verdicts;
        }
        playback.play_until(START + Duration::from_secs_f64(at), |_| {});
        let now = reading(playback.now());
        let running = night.container(at);
        if running != container {
            (container, started) = (running, false);
        }
        let Some(since) = container else { continue };
        let asked = at - since;
        let every = |period: u32| half_seconds.is_multiple_of(period * 2);
        if !started {
            if !every(2) || asked < 0.0 {
                continue;
            }
            let opened = playback.machine.snapshot(now).start_up.opened;
            match asks.asked(now.moment, opened) {
                ContainerNews::None => {}
                ContainerNews::Doubt => playback.machine.doubt_start(now.moment, now),
                ContainerNews::StartUp => playback.machine.begin_start_up(now.moment, now),
            }
            let snapshot = playback.machine.snapshot(now);
            started = Judged::new(&snapshot, now.moment).endpoint(Endpoint::Startupz).open;
            continue;
        }
        let snapshot = playback.machine.snapshot(now);
        let judged = Judged::new(&snapshot, now.moment);
        // Whether this container has answered: the app of the first one did not crash before it had.
        let is_first = since < night.crash;
        let has_answered = at >= if is_first { night.first_start } else { night.serves_again() };
        if every(5) && judged.endpoint(Endpoint::Readyz).open {
            if !has_answered {
                verdicts.traffic_too_early.push(at);
            }
            if !is_first {
                verdicts.ready_again.get_or_insert(at);
            }
        }
        if every(10) && !judged.endpoint(Endpoint::Livez).open && !has_answered {
            verdicts.strikes_while_starting.push(at);
        }
    }
}

fn nights() -> impl Strategy<Value = Night> {
    // It lives long enough for kubelet to be told that it has started.
    let times = (0.0f64..20.0, 6.0f64..160.0, 0.3f64..12.0, 0.0f64..120.0);
    let first_container = prop_oneof![Just(0.0f64), 0.0f64..60.0];
    let outage = (0.0f64..300.0, 0.1f64..120.0, any::<bool>(), 0.0f64..4.0);
    let rules = (1u32..=3, 1u32..=2, any::<bool>(), prop::sample::select(vec![Critical::Yes, Critical::AtStartup]));
    let all = (first_container, times, outage, rules, 0.0f64..0.5, 0u32..1000);
    all.prop_map(|(first_container, (first_start, lives, pause, next_start), outage, rules, phase, pod)| {
        let first_start = first_container + first_start;
        Night {
            first_container,
            first_start,
            // An outage from before it had started holds its start-up back as well, until the database's next beat is
            // over.
            crash: lives
                + if outage.0 < first_start + 5.0 {
                    first_start.max(outage.0 + outage.1 + outage.3 + 12.0)
                } else {
                    first_start
                },
            pause,
            next_start,
            away: (outage.0, outage.0 + outage.1),
            needs_database: outage.2,
            pool: outage.3,
            phase,
            thresholds: (rules.0, rules.1),
            database: rules.3,
            gates_startup: rules.2,
            pod,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_container_gets_traffic_or_a_strike_for_what_another_one_did(night in nights()) {
        let verdicts = played(night);
        prop_assert_eq!(&verdicts.traffic_too_early, &Vec::<f64>::new(), "{:?}", night);
        prop_assert_eq!(&verdicts.strikes_while_starting, &Vec::<f64>::new(), "{:?}", night);
    }

    #[test]
    fn the_new_container_is_ready_within_seconds_of_its_first_answer(night in nights()) {
        let night = Night { away: NEVER, needs_database: false, thresholds: (night.thresholds.0, 1), ..night };
        let ready = played(night).ready_again.expect("it is ready at last");
        // Looked at every second, asked about every 5 s; before that kubelet asks `/startupz` every 2 s.
        prop_assert!(ready - night.serves_again() < 10.0, "{} s: {:?}", ready - night.serves_again(), night);
    }

    #[test]
    fn the_end_of_an_outage_closes_nothing_that_was_open(
        away in 30.0f64..90.0, length in 1.0f64..120.0, pool in 0.0f64..0.9, pod in 0u32..1000,
        needs_database in any::<bool>(), failure in 1u32..=3, success in 1u32..=2,
    ) {
        let night = Night {
            first_container: 0.0, first_start: 0.0, crash: 1e6, pause: 1.0, next_start: 0.0, away: (away, away + length), needs_database, pool,
            phase: 0.0, thresholds: (failure, success), database: Critical::AtStartup, gates_startup: false, pod,
        };
        let mut playback = Playback::new(night.machine(), night.world(), START);
        let at = |second: f64| START + Duration::from_secs_f64(second);
        playback.play_until(at(away), |_| {});
        // Until the database is known to fail, the app's failure with it is one like any other.
        let mut open_in_the_outage = false;
        playback.play_until(at(away + length), |snapshot| {
            let seen = snapshot.checks[0].state == State::Error;
            open_in_the_outage = seen && Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Readyz).open;
        });
        let mut closed = None;
        playback.play_until(at(away + length + 40.0), |snapshot| {
            let open = Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Readyz).open;
            if open_in_the_outage && !open {
                closed.get_or_insert(snapshot.at.since(START).as_secs_f64());
            }
        });
        prop_assert_eq!(closed, None, "{:?}", night);
    }
}

/// A night without an outage: the app crashes after a minute and starts again after two seconds.
fn crash(next_start: f64) -> Night {
    Night {
        first_container: 0.0,
        first_start: 3.0,
        crash: 60.0,
        pause: 2.0,
        next_start,
        away: NEVER,
        needs_database: false,
        pool: 0.0,
        phase: 0.1,
        thresholds: (3, 1),
        database: Critical::AtStartup,
        gates_startup: false,
        pod: 7,
    }
}

#[test]
fn a_start_of_forty_seconds_and_one_of_ninety_get_neither_traffic_nor_a_strike() {
    for next_start in [0.0, 1.0, 40.0, 90.0] {
        let verdicts = played(crash(next_start));
        assert_eq!((verdicts.traffic_too_early, verdicts.strikes_while_starting), (vec![], vec![]), "{next_start}");
        let ready = verdicts.ready_again.unwrap() - crash(next_start).serves_again();
        assert!(ready < 8.0, "{next_start}: ready after {ready} s");
    }
}

/// The app's own check, which gates `live` and `ready`.
fn app(name: &str) -> Definition {
    let gates = Gates { live: true, ready: true, startup: false };
    let thresholds = Thresholds { failure: NonZeroU32::new(3).unwrap(), success: NonZeroU32::MIN };
    Definition { gates, of_pod: true, interval: Duration::from_secs(2), thresholds, ..check(name) }
}

fn at(second: f64) -> Moment {
    START + Duration::from_secs_f64(second)
}

/// The checks fail in these spans of seconds; a run takes 20 ms.
fn failing(spans: Vec<(f64, f64)>) -> impl FnMut(CheckIndex, Moment) -> (ProbeResult, Duration) {
    move |check, now| {
        let failure = Failure::new(FailureKind::Connect, "connection refused");
        let fails = (at(spans[check].0)..at(spans[check].1)).contains(&now);
        (if fails { Err(failure) } else { Ok(Pass::default()) }, Duration::from_millis(20))
    }
}

fn is_open<W: super::playback::World>(playback: &mut Playback<W>, endpoint: Endpoint) -> bool {
    let now = reading(playback.now());
    Judged::new(&playback.machine.snapshot(now), now.moment).endpoint(endpoint).open
}

#[test]
fn an_app_that_hangs_is_restarted_in_the_end_whatever_the_sidecar_has_not_seen() {
    // From the sidecar's own start on; and from a start-up that nobody but a person has asked about.
    for (hangs_from, asked) in [(0.0, None), (100.0, Some(120.0))] {
        let machine = Machine::new(plan(vec![app("app")]), "pod", reading(START));
        let mut playback = Playback::new(machine, failing(vec![(hangs_from, 1e9)]), START);
        if let Some(second) = asked {
            playback.play_until(at(second), |_| {});
            assert!(!is_open(&mut playback, Endpoint::Livez));
            playback.machine.begin_start_up(at(second), reading(at(second)));
        }
        playback.play_until(at(asked.unwrap_or_default() + 290.0), |_| {});
        assert!(is_open(&mut playback, Endpoint::Livez), "it may be starting");
        playback.play_until(at(asked.unwrap_or_default() + 310.0), |_| {});
        assert!(!is_open(&mut playback, Endpoint::Livez));
    }
}

#[test]
fn an_app_that_has_to_pass_several_times_is_back_soon_after_its_restart_however_long_the_interval() {
    let thresholds = Thresholds { failure: NonZeroU32::MIN, success: NonZeroU32::MIN.saturating_add(2) };
    let (interval, stale_after) = (Duration::from_secs(60), Duration::from_secs(200));
    let rare = Definition { interval, stale_after, thresholds, ..app("app") };
    let machine = Machine::new(plan(vec![rare]), "pod", reading(START));
    let mut playback = Playback::new(machine, failing(vec![(100.0, 230.0)]), START);
    playback.play_until(at(220.0), |_| {});
    assert!(!is_open(&mut playback, Endpoint::Livez), "it has failed");
    playback.machine.begin_start_up(at(220.0), reading(at(220.0)));
    playback.play_until(at(245.0), |_| {});
    assert!(is_open(&mut playback, Endpoint::Livez) && is_open(&mut playback, Endpoint::Readyz));
}

#[test]
fn a_reload_keeps_livez_closed_until_the_new_definition_passes() {
    let machine = Machine::new(plan(vec![app("app")]), "pod", reading(START));
    let mut playback = Playback::new(machine, failing(vec![(100.0, 200.0)]), START);
    playback.play_until(at(120.0), |_| {});
    assert!(!is_open(&mut playback, Endpoint::Livez));
    let changed = Definition { timeout: Duration::from_secs(1), ..app("app") };
    playback.machine.reload(plan(vec![changed]), &[Origin::Changed(CheckIndex::new(0))], reading(at(120.0)));
    for second in 121..200 {
        assert!(!is_open(&mut playback, Endpoint::Livez), "{second}");
        playback.play_until(at(f64::from(second)), |_| {});
    }
    playback.play_until(at(205.0), |_| {});
    assert!(is_open(&mut playback, Endpoint::Livez));
}

#[test]
fn a_doubt_is_not_dispelled_by_a_check_of_something_else() {
    let machine = Machine::new(plan(vec![app("other"), app("app")]), "pod", reading(START));
    let mut playback = Playback::new(machine, failing(vec![(1e9, 1e9), (20.0, 70.0)]), START);
    playback.play_until(at(20.01), |_| {});
    playback.machine.doubt_start(at(20.01), reading(at(20.01)));
    playback.play_until(at(69.0), |snapshot| {
        let livez = Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez);
        assert!(livez.open, "a strike for a container that has never passed");
    });
    assert!(!is_open(&mut playback, Endpoint::Readyz));
    playback.play_until(at(75.0), |_| {});
    assert!(is_open(&mut playback, Endpoint::Readyz));
}

#[test]
fn a_start_up_in_an_outage_of_what_is_rarely_looked_at_is_excused_soon() {
    let rare = Duration::from_secs(300);
    let database = Definition { critical: Critical::AtStartup, interval: rare, ..check("database") };
    let behind = Definition { depends_on: indices(&[0]), ..app("app") };
    let machine = Machine::new(plan(vec![database, behind]), "pod", reading(START));
    let mut playback = Playback::new(machine, failing(vec![(400.0, 3000.0); 2]), START);
    playback.play_until(at(1000.0), |_| {});
    playback.machine.begin_start_up(at(1000.0), reading(at(1000.0)));
    assert!(!is_open(&mut playback, Endpoint::Startupz), "what was seen before does not count");
    playback.play_until(at(1005.0), |_| {});
    assert!(is_open(&mut playback, Endpoint::Startupz), "a restart mends no database");
    assert!(!is_open(&mut playback, Endpoint::Readyz), "and the container has not passed");
}

#[test]
fn a_run_under_way_when_the_outage_ends_can_only_mend() {
    let database = Definition { interval: Duration::from_secs(1), ..check("database") };
    let once = Thresholds { failure: NonZeroU32::MIN, success: NonZeroU32::MIN };
    let behind =
        Definition { depends_on: indices(&[0]), timeout: Duration::from_secs(8), thresholds: once, ..app("app") };
    for tenth in 0..20 {
        let away = (30.0 + f64::from(tenth) / 10.0, 33.0 + f64::from(tenth) / 10.0);
        let mut of_database = failing(vec![away]);
        // What began in the outage waits for the database, and fails long after its end.
        let world = move |check: CheckIndex, now: Moment| match of_database(CheckIndex::new(0), now) {
            (Err(failure), _) if check == 1 => (Err(failure), Duration::from_secs(6)),
            (Ok(pass), _) if check == 1 => (Ok(pass), Duration::from_millis(400)),
            seen => seen,
        };
        let machine = Machine::new(plan(vec![database.clone(), behind.clone()]), "pod", reading(START));
        Playback::new(machine, world, START).play_until(at(60.0), |snapshot| {
            assert!(Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Livez).open, "{away:?}: {snapshot:?}");
        });
    }
}
