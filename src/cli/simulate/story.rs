//! What happens in a scenario: the state machine of the daemon and the model of kubelet, played in virtual time.

use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Fault, FaultKind};
use crate::base::clock::Moment;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState, Verdict};
use crate::scheduler::kubelet::{Act, Deed, Kubelet, Probed};
use crate::scheduler::machine::Machine;
use crate::scheduler::playback::{Playback, World, reading};

/// How long a run takes while all is well.
const LATENCY: Duration = Duration::from_millis(10);
/// The start of the story on the boot clock of its machine.
const START: Moment = Moment::at(Duration::ZERO);

/// What happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// How long it goes.
    pub length: Duration,
    /// What is declared.
    pub plan: Arc<Plan>,
    /// The states of each check, in the order of the plan.
    pub checks: Vec<Track<JudgedState>>,
    /// The verdicts on each endpoint, in the order of [`Endpoint::ALL`].
    pub endpoints: [Track<Verdict>; 4],
    /// The containers that kubelet probes; empty without a pod.
    pub containers: Vec<String>,
    /// Whether the pod is in its Services.
    pub in_service: Track<bool>,
    /// Everything in order.
    pub events: Vec<Event>,
}

/// A value over time: each holds from its moment until the next.
pub type Track<T> = Vec<(Duration, T)>;

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, from the start.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The script makes a target fail.
    FaultBegins(Fault),
    /// The script makes it well again.
    FaultEnds(Fault),
    /// A check changes its state.
    Check {
        /// Its position.
        check: usize,
        /// The state it enters.
        to: JudgedState,
        /// What it says.
        message: String,
        /// The failing checks from which a skip follows.
        root_causes: Vec<usize>,
    },
    /// The verdict on an endpoint changes.
    Endpoint {
        /// Which.
        endpoint: Endpoint,
        /// The verdict before.
        from: Verdict,
        /// The verdict from now on; `error` is closed.
        to: Verdict,
        /// From what a closure follows.
        root_causes: Vec<usize>,
    },
    /// Kubelet does something.
    Kubelet(Act),
}

/// How much there is to do in a story of this length: runs, times the checks that are judged after each.
#[must_use]
pub fn work(plan: &Plan, length: Duration) -> u128 {
    let runs: u128 = plan.checks.iter().map(|check| length.as_millis() / check.interval.as_millis().max(1)).sum();
    runs.saturating_mul(plan.checks.len() as u128)
}

/// Plays `length` of the daemon's life with `faults`, and kubelet with the probes of `containers`.
#[must_use]
pub fn play(plan: &Arc<Plan>, length: Duration, faults: &[Fault], containers: &[Probed]) -> Story {
    let end = START + length;
    let mut machine = Machine::new(Arc::clone(plan), "pod", reading(START));
    let mut kubelet = Kubelet::new(containers, START);
    let mut writer = Writer::new(&machine.snapshot(reading(START)), length, containers, kubelet.in_service());
    let mut playback = Playback::new(machine, Script { faults }, START);
    let mut boundaries = boundaries(faults, length);
    loop {
        let boundary = boundaries.last().map(|event| START + event.at);
        let asks = kubelet.next_wake().filter(|_| !containers.is_empty());
        let wakes = [playback.next_step(), boundary, asks, writer.expires];
        let next = wakes.into_iter().flatten().min().map_or(end, |next| next.min(end));
        playback.play_until(next, |_| {});
        while let Some(event) = boundaries.pop_if(|event| START + event.at <= next) {
            writer.story.events.push(event);
        }
        let snapshot = playback.machine.snapshot(reading(next));
        writer.see(&snapshot);
        if asks.is_some_and(|asks| asks <= next) {
            let acts = kubelet.ask(&Judged::new(&snapshot, next));
            writer.note(next, acts, kubelet.in_service());
        }
        if next >= end {
            return writer.story;
        }
    }
}

/// The beginnings and ends of the faults within `length`, the first one last.
fn boundaries(faults: &[Fault], length: Duration) -> Vec<Event> {
    let both = |fault: &Fault| {
        let begins = Event { at: fault.from, what: What::FaultBegins(fault.clone()) };
        let ends = Event { at: fault.to, what: What::FaultEnds(fault.clone()) };
        [Some(begins), Some(ends).filter(|ends| ends.at < length)]
    };
    let mut events: Vec<_> = faults.iter().flat_map(both).flatten().collect();
    events.sort_by_key(|event| event.at);
    events.reverse();
    events
}

struct Script<'a> {
    faults: &'a [Fault],
}

impl World for Script<'_> {
    fn observe(&mut self, check: usize, at: Moment) -> (ProbeResult, Duration) {
        let now = at.since(START);
        let meets = |fault: &&Fault| fault.check == check && (fault.from..fault.to).contains(&now);
        match self.faults.iter().rev().find(meets).map(|fault| fault.outcome) {
            None => (Ok(Pass::default()), LATENCY),
            Some(FaultKind::Slow(latency)) => (Ok(Pass::default()), latency),
            Some(FaultKind::Hang) => (Ok(Pass::default()), Duration::MAX),
            Some(FaultKind::Fail) => (Err(Failure::new(FailureKind::Connect, "down in the scenario")), LATENCY),
        }
    }
}

/// Writes the story while it happens.
struct Writer {
    story: Story,
    /// When a result that is fresh now will be stale, if nothing happens before.
    expires: Option<Moment>,
}

impl Writer {
    fn new(first: &Snapshot, length: Duration, containers: &[Probed], in_service: bool) -> Self {
        let judged = Judged::new(first, first.at);
        let start = Duration::ZERO;
        let story = Story {
            length,
            plan: Arc::clone(&first.plan),
            checks: (0..judged.len()).map(|check| vec![(start, judged.state(check))]).collect(),
            endpoints: Endpoint::ALL.map(|endpoint| vec![(start, judged.endpoint(endpoint).verdict)]),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            in_service: vec![(start, in_service)],
            events: Vec::new(),
        };
        Self { story, expires: None }
    }

    fn see(&mut self, snapshot: &Snapshot) {
        let at = snapshot.at.since(START);
        let judged = Judged::new(snapshot, snapshot.at);
        for (check, track) in self.story.checks.iter_mut().enumerate() {
            let to = judged.state(check);
            if change(track, at, to).is_some() {
                let message = judged.message(check).into_owned();
                let root_causes = judged.causes_of(check);
                self.story.events.push(Event { at, what: What::Check { check, to, message, root_causes } });
            }
        }
        for (endpoint, track) in Endpoint::ALL.into_iter().zip(&mut self.story.endpoints) {
            let judgement = judged.endpoint(endpoint);
            if let Some(from) = change(track, at, judgement.verdict) {
                let (to, root_causes) = (judgement.verdict, judgement.root_causes);
                self.story.events.push(Event { at, what: What::Endpoint { endpoint, from, to, root_causes } });
            }
        }
        self.expires = next_expiry(snapshot);
    }

    fn note(&mut self, now: Moment, acts: Vec<Act>, in_service: bool) {
        let at = now.since(START);
        change(&mut self.story.in_service, at, in_service);
        self.story.events.extend(acts.into_iter().map(|act| Event { at, what: What::Kubelet(act) }));
    }
}

/// Puts a new value on the track, and returns the one it replaces. Of two at the same moment the later one holds.
fn change<T: Copy + PartialEq>(track: &mut Track<T>, at: Duration, value: T) -> Option<T> {
    let (_, last) = *track.last()?;
    if last == value {
        return None;
    }
    track.pop_if(|(since, _)| *since == at && at > Duration::ZERO);
    if track.last().is_none_or(|(_, before)| *before != value) {
        track.push((at, value));
    }
    Some(last)
}

fn next_expiry(snapshot: &Snapshot) -> Option<Moment> {
    let expiries = snapshot
        .checks
        .iter()
        .zip(&snapshot.plan.checks)
        .filter_map(|(check, definition)| Some(check.fresh_at? + definition.stale_after + Duration::from_nanos(1)));
    expiries.filter(|at| *at > snapshot.at).min()
}

impl Story {
    /// The name of the check at `index`.
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        self.plan.checks[index].name.as_str()
    }

    /// The names of the checks at `indices`.
    #[must_use]
    pub fn names(&self, indices: &[usize]) -> Vec<&str> {
        indices.iter().map(|index| self.name(*index)).collect()
    }

    /// How often kubelet restarts a container.
    #[must_use]
    pub fn restarts(&self) -> usize {
        let restarts = |event: &&Event| matches!(&event.what, What::Kubelet(Act { deed: Deed::Restart { .. }, .. }));
        self.events.iter().filter(restarts).count()
    }
}

/// The track as `count` cells of equal time, each with the worst value that holds in it.
#[must_use]
pub fn cells<T: Copy>(track: &Track<T>, length: Duration, count: usize, badness: impl Fn(T) -> u8) -> Vec<T> {
    #[allow(clippy::cast_precision_loss)] // some hundred cells
    let edge = |cell: usize| length.mul_f64(cell as f64 / count.max(1) as f64);
    let mut position = 0;
    (0..count)
        .filter_map(|cell| {
            while track.get(position + 1).is_some_and(|(since, _)| *since <= edge(cell)) {
                position += 1;
            }
            let within = track[position.min(track.len())..].iter().take_while(|(since, _)| *since < edge(cell + 1));
            let first = track.get(position).map(|(_, value)| *value);
            within.map(|(_, value)| *value).chain(first).max_by_key(|value| badness(*value))
        })
        .collect()
}

/// How bad a state is, for [`cells`].
#[must_use]
pub const fn badness(state: JudgedState) -> u8 {
    match state {
        JudgedState::Fresh(State::Ok) => 0,
        JudgedState::Fresh(State::Degraded) => 1,
        JudgedState::Fresh(State::Pending) => 2,
        JudgedState::Fresh(State::Skipped) => 3,
        JudgedState::Stale => 4,
        JudgedState::Fresh(State::Error) => 5,
    }
}

/// When something that opens and closes is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Openness {
    /// When it opens for the first time.
    pub opens: Option<Duration>,
    /// How often it closes after that.
    pub closures: u32,
    /// For how long it is closed after that, in all.
    pub closed: Duration,
}

impl Openness {
    /// When `track` is open, of a story that goes for `length`.
    #[must_use]
    pub fn of<T: Copy>(track: &Track<T>, length: Duration, is_open: impl Fn(T) -> bool) -> Self {
        let mut openness = Self::default();
        let ends = track.iter().skip(1).map(|(since, _)| *since).chain([length]);
        let mut was_open = false;
        for ((since, value), end) in track.iter().zip(ends) {
            let open = is_open(*value);
            match openness.opens {
                None if open => openness.opens = Some(*since),
                Some(_) if !open => {
                    openness.closures += u32::from(was_open);
                    openness.closed += end.saturating_sub(*since);
                }
                _ => {}
            }
            was_open = open;
        }
        openness
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Definition, Gates};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_closes_readiness_and_its_end_opens_it_again() {
        let app = Definition { depends_on: vec![0], ..check("app") };
        let plan = plan(vec![check("db"), app]);
        let fault = Fault { check: 0, from: seconds(30), to: seconds(60), outcome: FaultKind::Fail };
        let story = play(&plan, seconds(120), &[fault], &[]);
        let words: Vec<_> =
            story.checks.iter().map(|track| track.iter().map(|(_, state)| state.label()).collect::<Vec<_>>()).collect();
        assert_eq!(words, [vec!["pending", "ok", "error", "ok"], vec!["pending", "ok", "skipped", "pending", "ok"]]);
        let readyz = Openness::of(&story.endpoints[1], story.length, |verdict| verdict != Verdict::Error);
        assert_eq!(readyz.closures, 1);
        assert!((seconds(20)..seconds(42)).contains(&readyz.closed), "{readyz:?}");
    }

    #[test]
    fn a_result_that_grows_stale_between_two_runs_closes_readiness_for_that_time() {
        let stale_after = seconds(4);
        let story = play(&plan(vec![Definition { stale_after, ..check("db") }]), seconds(60), &[], &[]);
        let words: Vec<_> = story.checks[0].iter().map(|(_, state)| state.label()).take(6).collect();
        assert_eq!(words, ["pending", "ok", "stale", "ok", "stale", "ok"]);
        let fresh = story.checks[0][4].0 - story.checks[0][3].0;
        assert_eq!(fresh, stale_after + Duration::from_nanos(1));
    }

    #[test]
    fn a_hanging_app_is_restarted_by_kubelet_for_as_long_as_it_hangs() {
        use std::slice::from_ref;

        use crate::model::pod::{Purpose, Timing};
        use crate::scheduler::kubelet::Asking;
        use crate::scheduler::kubelet::question::{Question, Subject};
        let plan = plan(vec![Definition { gates: Gates { live: true, ..Gates::default() }, ..check("app") }]);
        let question = Question::about(Subject::Endpoint(Endpoint::Livez));
        let asking = Asking { purpose: Purpose::Liveness, timing: Timing::default(), question };
        let app = Probed { name: "app".into(), probes: vec![asking] };
        let fault = Fault { check: 0, from: seconds(30), to: seconds(300), outcome: FaultKind::Hang };
        assert_eq!(play(&plan, seconds(40), from_ref(&fault), from_ref(&app)).restarts(), 0);
        assert_eq!(play(&plan, seconds(75), from_ref(&fault), from_ref(&app)).restarts(), 1);
        assert!(play(&plan, seconds(300), &[fault], &[app]).restarts() >= 4);
    }

    #[test]
    fn hours_are_played_in_moments() {
        let checks = (0..5).map(|index| check(&format!("check-{index}"))).collect();
        let story = play(&plan(checks), seconds(6 * 3600), &[], &[]);
        assert_eq!(story.events.len(), 5 + 3, "each check passes, and what was closed opens");
    }

    #[test]
    fn a_cell_shows_the_worst_of_its_time() {
        let track = vec![(seconds(0), 0u8), (seconds(25), 2), (seconds(26), 1), (seconds(70), 0)];
        assert_eq!(cells(&track, seconds(100), 10, |value| value), [0, 0, 2, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(cells(&track, seconds(100), 1, |value| value), [2]);
    }

    #[test]
    fn closures_are_counted_after_the_first_opening() {
        let track = vec![
            (seconds(0), false),
            (seconds(5), true),
            (seconds(20), false),
            (seconds(30), true),
            (seconds(90), false),
        ];
        let expected = Openness { opens: Some(seconds(5)), closures: 2, closed: seconds(20) };
        assert_eq!(Openness::of(&track, seconds(100), |open| open), expected);
        assert_eq!(Openness::of(&vec![(seconds(0), false)], seconds(9), |open| open), Openness::default());
    }
}
