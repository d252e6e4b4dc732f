//! What is saved by looking only where something has changed changes nothing: a machine that looks at everything each
//! time, and judgements of states that nothing is known about, come to the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::playback::{Playback, reading};
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::testing::{check, plan};
use crate::model::plan::{Critical, Definition, Gates, Origin, Plan, Thresholds};
use crate::model::snapshot::Snapshot;
use crate::model::state::CheckState;
use crate::model::verdict::{Endpoint, EndpointPart, Judged, OpenEndpoints};
use crate::scheduler::machine::Machine;

const START: Moment = Moment::at(Duration::from_secs(1000));

fn at(seconds: u64) -> Moment {
    START + Duration::from_secs(seconds)
}

/// A number that follows from the others.
fn drawn(from: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    from.hash(&mut hasher);
    hasher.finish()
}

/// How many checks: a few, and now and then more than one block of them.
pub(crate) fn counts() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 1usize..9, 1 => 33usize..36]
}

/// A check that follows from `seed` and its place, behind some of those before it.
pub(super) fn declared(seed: u64, place: usize) -> Definition {
    let draw = |what: &str, most: u64| drawn((seed, place, what)) % most;
    let streak = |what: &str, most: u64| u32::try_from(1 + draw(what, most)).unwrap().try_into().unwrap();
    let gates = Gates { live: draw("live", 3) == 0, ready: draw("ready", 4) > 0, startup: draw("startup", 5) == 0 };
    let critical = match draw("critical", 4) {
        0 => Critical::No,
        1 if !gates.live => Critical::AtStartup,
        _ => Critical::Yes,
    };
    let parents = CheckIndex::first(place).filter(|parent| drawn((seed, place, parent.get())) % 3 == 0);
    Definition {
        gates,
        critical,
        depends_on: parents.collect(),
        thresholds: Thresholds { failure: streak("failures", 3), success: streak("passes", 2) },
        interval: Duration::from_millis(500 + 250 * draw("interval", 20)),
        timeout: Duration::from_millis(100 + 100 * draw("timeout", 10)),
        initial_delay: Duration::from_millis(if draw("delayed", 4) == 0 { 3_000 } else { 0 }),
        stale_after: Duration::from_millis(4_000 + 500 * draw("stale", 10)),
        of_pod: draw("of_pod", 2) == 0,
        ..check(&format!("c{place}"))
    }
}

/// Outcomes that follow from `seed`: spans of some seconds in which a check passes, fails, hangs or has no verdict.
fn world(seed: u64) -> impl FnMut(CheckIndex, Moment) -> (ProbeResult, Duration) {
    move |index, now| {
        let span = now.since(START).as_secs() / 3;
        let took = Duration::from_millis(drawn((seed, index.get(), now.since(START))) % 80);
        match drawn((seed, index.get(), span)) % 8 {
            0 | 1 => (Err(Failure::new(FailureKind::Connect, "refused")), took),
            2 => (Ok(Pass::default()), Duration::MAX),
            3 => (Err(Failure::new(FailureKind::Exhausted, "no descriptors")), took),
            4 => (Ok(Pass { degraded: true, ..Pass::default() }), took),
            _ => (Ok(Pass::default()), took),
        }
    }
}

/// Another plan, in which some checks are gone, some are new, one has changed, and all may stand elsewhere; and where each
/// comes from.
fn reloaded(old: &Plan, seed: u64, second: u64) -> (Vec<Definition>, Vec<Origin>) {
    let draw = |what: &str, place: usize| drawn((seed, second, what, place));
    let mut stay: Vec<CheckIndex> = old.indices().filter(|index| draw("gone", index.get()) % 8 > 0).collect();
    if draw("moved", 0) % 2 == 0 {
        stay.sort_by_key(|index| draw("place", index.get()));
    }
    let place_of = |index: &CheckIndex| stay.iter().position(|other| other == index).map(CheckIndex::new);
    let mut next = Vec::new();
    for index in &stay {
        let before = &*old.checks[*index];
        let mut depends_on: Vec<CheckIndex> = before.depends_on.iter().filter_map(place_of).collect();
        depends_on.sort_unstable();
        let mut definition = Definition { depends_on, ..before.clone() };
        let mut is_same = definition.depends_on.len() == before.depends_on.len();
        match draw("changed", index.get()) % 12 {
            0 => definition.interval += Duration::from_millis(10),
            1 => definition.gates.live = !definition.gates.live,
            2 => definition.stale_after = Duration::from_secs(6),
            _ => {}
        }
        is_same &= definition == Definition { depends_on: definition.depends_on.clone(), ..before.clone() };
        next.push((definition, if is_same { Origin::Kept(*index) } else { Origin::Changed(*index) }));
    }
    for added in 0..usize::try_from(draw("added", 0) % 3).unwrap_or_default() {
        let name = format!("n{second}-{added}");
        let parents = CheckIndex::first(next.len()).filter(|parent| draw("parent", parent.get() + added) % 3 == 0);
        let base = declared(seed ^ second, added);
        let definition = Definition { depends_on: parents.collect(), name: check(&name).name, ..base };
        next.push((definition, Origin::Added));
    }
    next.into_iter().unzip()
}

/// What else happens to a machine at this second.
fn disturb(machine: &mut Machine, seed: u64, second: u64, checks: usize) {
    let now = reading(at(second));
    let draw = |most: u64| drawn((seed, second, most)) % most;
    match drawn((seed, second)) % 14 {
        0 => machine.begin_start_up(now.moment, now),
        1 => machine.doubt_start(now.moment, now),
        2 => machine.jumped(now),
        3 => machine.hear(&format!("c{}", draw(checks.max(1) as u64)), now),
        4 => machine.set_draining(draw(2) == 0),
        5 => machine.redate(1_000_000),
        6 => {
            let (definitions, origins) = reloaded(machine.plan(), seed, second);
            machine.reload(plan(definitions), &origins, now);
        }
        _ => {}
    }
}

/// Every snapshot of two minutes.
pub(crate) fn played(seed: u64, checks: usize, looks_at_all: bool) -> Vec<Snapshot> {
    let checks = (0..checks).map(|place| declared(seed, place)).collect();
    let mut machine = Machine::new(plan(checks), "pod", reading(START));
    if looks_at_all {
        machine.look_at_all();
    }
    let mut playback = Playback::new(machine, world(seed), START);
    let mut seen = Vec::new();
    for second in 1..=120 {
        if drawn((seed, second, "frozen")) % 40 == 0 {
            playback.skip_until(at(second + 6));
        }
        playback.play_until(at(second), |snapshot| seen.push(snapshot));
        let checks = playback.machine.plan().checks.len();
        disturb(&mut playback.machine, seed, second, checks);
        seen.push(playback.machine.snapshot(reading(playback.now())));
    }
    seen
}

/// The same states, of which nothing is known.
pub(crate) fn unknown(snapshot: &Snapshot) -> Snapshot {
    Snapshot { checks: snapshot.checks.iter().map(Arc::clone).collect(), ..snapshot.clone() }
}

fn assert_judged_alike(snapshot: &Snapshot, now: Moment) {
    let unknown = unknown(snapshot);
    let (quick, slow) = (Judged::new(snapshot, now), Judged::new(&unknown, now));
    for endpoint in Endpoint::ALL {
        let judgement = quick.endpoint(endpoint);
        assert_eq!(judgement, slow.endpoint(endpoint));
        assert_eq!(quick.is_open(endpoint), judgement.open);
        let parts = slow.indices().map(|check| slow.endpoint_for(endpoint, check));
        let parts: Vec<EndpointPart> = parts.filter(|it| it.closes || slow.gates(it.check, endpoint)).collect();
        assert_eq!(quick.parts(&judgement), parts);
    }
    assert_eq!(quick.is_alive(), slow.is_alive());
    assert_eq!((quick.root_causes(), quick.closed_by_skips()), (slow.root_causes(), slow.closed_by_skips()));
    for index in quick.indices() {
        assert_eq!(quick.causes_of(index), slow.causes_of(index));
        assert_eq!((quick.state(index), quick.reason(index)), (slow.state(index), slow.reason(index)));
    }
    // Until then nothing is judged otherwise, and it is no later than what looking at every result says.
    let until = quick.holds_until();
    let later = Judged::new(&unknown, until.min(now + Duration::from_secs(3600)));
    for endpoint in Endpoint::ALL {
        assert_eq!(later.is_open(endpoint), quick.is_open(endpoint), "{endpoint:?} at {until:?}, judged at {now:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..Default::default() })]

    #[test]
    fn looking_where_something_has_changed_finds_what_looking_everywhere_does(seed: u64, checks in counts()) {
        let (quick, slow) = (played(seed, checks, false), played(seed, checks, true));
        assert_eq!(quick.len(), slow.len());
        for (quick, slow) in quick.iter().zip(&slow) {
            let states = |snapshot: &Snapshot| snapshot.checks.iter().map(|check| CheckState::clone(check)).collect::<Vec<_>>();
            assert_eq!(states(quick), states(slow), "at {:?}", quick.at);
            assert_eq!((quick.ready_once, quick.start_up), (slow.ready_once, slow.start_up));
        }
    }

    #[test]
    fn endpoints_are_as_open_as_judging_all_says_whichever_publications_are_looked_at(
        seed: u64,
        checks in counts(),
        step in 1usize..4,
    ) {
        let mut endpoints = OpenEndpoints::default();
        for snapshot in played(seed, checks, false).iter().step_by(step) {
            let unknown = unknown(snapshot);
            let judged = Judged::new(&unknown, snapshot.at);
            assert_eq!(endpoints.judge(snapshot), Endpoint::ALL.map(|endpoint| judged.is_open(endpoint)));
        }
    }

    #[test]
    fn what_is_as_before_is_judged_as_before(seed: u64, checks in counts(), step in 1usize..4) {
        let seen: Vec<_> = played(seed, checks, false).into_iter().step_by(step).collect();
        for pair in seen.windows(2) {
            for later in [0, 400] {
                let now = pair[1].at + Duration::from_millis(later);
                let (before, after) = (Judged::new(&pair[0], pair[0].at), Judged::new(&pair[1], now));
                if !after.is_as_before(&before) {
                    continue;
                }
                for endpoint in Endpoint::ALL {
                    assert_eq!(after.endpoint(endpoint), before.endpoint(endpoint));
                }
                for index in after.indices() {
                    assert_eq!(after.state(index), before.state(index));
                }
            }
        }
    }

    #[test]
    fn what_is_settled_needs_no_judgement(seed: u64, checks in counts()) {
        for snapshot in played(seed, checks, false).iter().step_by(3) {
            for later in [0, 1, 3_000, 9_000] {
                assert_judged_alike(snapshot, snapshot.at + Duration::from_millis(later));
            }
        }
    }
}
