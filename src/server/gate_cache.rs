//! How the gates stand, judged once for all who ask while nothing changes: after a publication, and when a result
//! becomes too old.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hyper::StatusCode;

use super::answer::{Answer, JSON, TEXT};
use super::reply::{self, gate_text};
use super::view::{View, down};
use super::warnings::Warnings;
use crate::base::clock::{Moment, Reading};
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged, Judgement, Verdict};

/// The gates, in the order in which they are kept.
pub(super) const GATES: [Endpoint; 3] = [Endpoint::Livez, Endpoint::Readyz, Endpoint::Startupz];

/// Where more checks than this keep a gate closed, it is told which for [`TOLD_AGAIN`], though their runs go on: to put it
/// into words takes as long as there are many. Whether it is closed is judged anew with each publication.
const MANY: usize = 64;
const TOLD_AGAIN: Duration = Duration::from_millis(50);

/// How they stood when they were judged last.
#[derive(Debug, Default)]
pub(super) struct GateCache(ArcSwapOption<CachedGates>);

#[derive(Debug)]
struct CachedGates {
    generation: u64,
    plan: Arc<Plan>,
    /// When the app's container started: a snapshot is answered from before it is published with that.
    start_up: Moment,
    /// Likewise with a drain.
    draining: bool,
    from: Moment,
    /// The last moment at which it is judged so, and told in the words of then.
    until: Moment,
    down: StatusCode,
    /// Which are open, found without what is told of them.
    open: [OnceLock<bool>; GATES.len()],
    /// Each is made for the first who asks.
    gates: [OnceLock<Gate>; GATES.len()],
    verbose: [OnceLock<Gate>; GATES.len()],
    ready: OnceLock<Gate>,
    alive: OnceLock<Gate>,
    downs: OnceLock<Arc<CheckSet>>,
    /// What was told of those that many checks kept closed.
    told: [Option<Gate>; GATES.len()],
    ready_told: Option<Gate>,
}

#[derive(Clone, Debug)]
struct Gate {
    verdict: Verdict,
    body: Bytes,
    /// When many checks kept it closed, as it says.
    of_many: Option<Moment>,
}

impl Gate {
    /// What `view` says, in the words of `body`.
    fn of(view: &View<'_>, body: impl Into<Bytes>) -> Self {
        let Judgement { verdict, closing, .. } = &view.judgement;
        let of_many = (closing.len() > MANY).then_some(view.reading.moment);
        Self { verdict: *verdict, body: body.into(), of_many }
    }

    /// Whether it may be told again.
    fn holds(&self, now: Moment) -> bool {
        self.of_many.is_some_and(|at| (at..=at + TOLD_AGAIN).contains(&now))
    }

    /// The last moment at which it may be.
    fn holds_until(&self) -> Option<Moment> {
        self.of_many.map(|at| at + TOLD_AGAIN)
    }
}

/// What is kept, as kubelet and load balancers ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GateRequest {
    /// A gate without a query.
    Plain(Endpoint),
    /// A gate with `?verbose` alone.
    Verbose(Endpoint),
    /// `/ready` without a query.
    Ready,
    /// `/alive`.
    Alive,
}

impl GateCache {
    /// The answer to `request`; whether the gates were known without judging anew.
    pub(super) fn answer(&self, request: GateRequest, snapshot: &Snapshot, reading: Reading) -> (Answer, bool) {
        self.read(snapshot, reading, |gates| gates.answer(request, snapshot, reading))
    }

    /// Whether `gate` is open.
    pub(super) fn is_open(&self, gate: Endpoint, snapshot: &Snapshot, reading: Reading) -> bool {
        self.read(snapshot, reading, |gates| gates.is_open(gate, snapshot, reading)).0
    }

    /// Whether the check at `index` is up: `ok` or `degraded`.
    pub(super) fn is_up(&self, index: CheckIndex, snapshot: &Snapshot, reading: Reading) -> bool {
        !self.downs(snapshot, reading).contains(index)
    }

    /// The checks that are not.
    pub(super) fn downs(&self, snapshot: &Snapshot, reading: Reading) -> Arc<CheckSet> {
        let downs = |gates: &CachedGates| {
            let judge = || {
                let judged = Judged::new(snapshot, reading.moment);
                judged.unsettled().filter(|index| judged.status(*index) == Verdict::Error).collect::<CheckSet>()
            };
            Arc::clone(gates.downs.get_or_init(|| Arc::new(judge())))
        };
        self.read(snapshot, reading, downs).0
    }

    fn read<T>(&self, snapshot: &Snapshot, reading: Reading, read: impl FnOnce(&CachedGates) -> T) -> (T, bool) {
        let kept = self.0.load();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(snapshot, reading.moment)) {
            return (read(kept), true);
        }
        let gates = Arc::new(CachedGates::of(snapshot, reading, kept.as_deref()));
        let result = read(&gates);
        self.0.store(Some(gates));
        (result, false)
    }
}

impl CachedGates {
    /// Those of `snapshot`, after `last`.
    fn of(snapshot: &Snapshot, reading: Reading, last: Option<&Self>) -> Self {
        let last = last.filter(|last| {
            Arc::ptr_eq(&last.plan, &snapshot.plan)
                && (last.start_up, last.draining) == (snapshot.start_up.began, snapshot.draining)
        });
        let told_again = |told: &OnceLock<Gate>, before: &Option<Gate>| {
            let told = told.get().or(before.as_ref());
            told.filter(|told| told.holds(reading.moment)).cloned()
        };
        let told = |place: usize| last.and_then(|last| told_again(&last.gates[place], &last.told[place]));
        let told: [_; GATES.len()] = std::array::from_fn(told);
        let ready_told = last.and_then(|last| told_again(&last.ready, &last.ready_told));
        let ends_of_words = told.iter().chain([&ready_told]).flatten().filter_map(Gate::holds_until);
        Self {
            generation: snapshot.generation,
            plan: Arc::clone(&snapshot.plan),
            start_up: snapshot.start_up.began,
            draining: snapshot.draining,
            from: reading.moment,
            until: ends_of_words.fold(Judged::new(snapshot, reading.moment).holds_until(), Moment::min),
            told,
            ready_told,
            down: down(snapshot),
            open: Default::default(),
            gates: Default::default(),
            verbose: Default::default(),
            ready: OnceLock::new(),
            alive: OnceLock::new(),
            downs: OnceLock::new(),
        }
    }

    fn is_of(&self, snapshot: &Snapshot, now: Moment) -> bool {
        (self.generation, self.start_up, self.draining)
            == (snapshot.generation, snapshot.start_up.began, snapshot.draining)
            && (self.from..=self.until).contains(&now)
    }

    /// The answer to `request`, of the snapshot that these are the gates of.
    fn answer(&self, request: GateRequest, snapshot: &Snapshot, reading: Reading) -> Answer {
        let judged = || Judged::new(snapshot, reading.moment);
        match request {
            GateRequest::Plain(endpoint) => self.told(self.gate(endpoint, false, snapshot, reading), TEXT),
            GateRequest::Verbose(endpoint) => self.told(self.gate(endpoint, true, snapshot, reading), TEXT),
            GateRequest::Ready => {
                let gate = || {
                    let told = self.ready_told.as_ref().filter(|_| !self.is_open(Endpoint::Readyz, snapshot, reading));
                    told.filter(|told| told.holds(reading.moment)).cloned().unwrap_or_else(|| {
                        let judged = judged();
                        let view = View::of(&judged, Endpoint::Readyz, reading);
                        Gate::of(&view, reply::ready(&view))
                    })
                };
                self.told(self.ready.get_or_init(gate), JSON)
            }
            GateRequest::Alive => {
                let gate = || {
                    let (verdict, body) = alive(&judged());
                    Gate { verdict, body: body.into(), of_many: None }
                };
                self.told(self.alive.get_or_init(gate), JSON)
            }
        }
    }

    fn is_open(&self, gate: Endpoint, snapshot: &Snapshot, reading: Reading) -> bool {
        let place = place(gate);
        *self.open[place].get_or_init(|| match self.gates[place].get() {
            Some(told) => told.verdict != Verdict::Error,
            None => Judged::new(snapshot, reading.moment).is_open(gate),
        })
    }

    /// A gate as it is told, with each check where it is to be `verbose`.
    fn gate(&self, endpoint: Endpoint, verbose: bool, snapshot: &Snapshot, reading: Reading) -> &Gate {
        let gates = if verbose { &self.verbose } else { &self.gates };
        gates[place(endpoint)].get_or_init(|| {
            let judged = Judged::new(snapshot, reading.moment);
            if !verbose && self.is_open(endpoint, snapshot, reading) {
                let verdict = if judged.is_degraded(endpoint) { Verdict::Degraded } else { Verdict::Ok };
                return Gate { verdict, body: Bytes::from_static(gate_text::OPEN), of_many: None };
            }
            let told = self.told[place(endpoint)].as_ref().filter(|told| !verbose && told.holds(reading.moment));
            if let Some(told) = told {
                return told.clone();
            }
            let view = View::of(&judged, endpoint, reading);
            Gate::of(&view, gate_text::body(&view, verbose, &Warnings::default()))
        })
    }

    fn told(&self, gate: &Gate, content_type: &'static str) -> Answer {
        Answer::health(gate.verdict, self.down, content_type, gate.body.clone())
    }
}

/// Where `gate` is kept.
pub(super) fn place(gate: Endpoint) -> usize {
    GATES.iter().position(|kept| *kept == gate).unwrap_or_default()
}

/// `/alive`.
fn alive(judged: &Judged<'_>) -> (Verdict, &'static str) {
    if judged.is_alive() {
        (judged.endpoint(Endpoint::Livez).verdict, r#"{"alive": true}"#)
    } else {
        (Verdict::Error, r#"{"alive": false}"#)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::metrics::testing::{error, ok, snapshot};
    use crate::model::check_states::CheckStates;
    use crate::model::plan::testing::check;
    use crate::model::state::CheckState;
    use crate::simulation::playback::reading;
    use crate::simulation::thorough::{counts, played, unknown};

    fn at(seconds: u64) -> Reading {
        Reading { moment: Moment::at(Duration::from_secs(seconds)), wall: Timestamp::default() }
    }

    #[test]
    fn gates_are_judged_once_until_something_changes_or_a_result_becomes_too_old() {
        let gates = GateCache::default();
        let mut seen = ok("ok");
        seen.fresh_at = Some(at(1000).moment);
        let mut published = snapshot(vec![(check("db"), seen)]);
        let stale_after = published.plan.checks[0].stale_after.as_secs();
        let readyz = |published: &Snapshot, seconds| {
            let (answer, known) = gates.answer(GateRequest::Plain(Endpoint::Readyz), published, at(seconds));
            (answer.code.as_u16(), known)
        };
        assert_eq!(readyz(&published, 1000), (200, false));
        assert_eq!(readyz(&published, 1000), (200, true));
        assert_eq!(readyz(&published, 1000 + stale_after), (200, true));
        assert_eq!(readyz(&published, 1001 + stale_after), (503, false), "too old");
        assert_eq!(readyz(&published, 1001 + stale_after), (503, true), "too old for all who ask at once");
        assert_eq!(readyz(&published, 1002 + stale_after), (503, false), "it tells how old");
        let (verbose, known) = gates.answer(GateRequest::Verbose(Endpoint::Readyz), &published, at(1002 + stale_after));
        assert!(known && verbose.code == 503, "made of what was judged");
        published.generation += 1;
        published.checks = snapshot(vec![(check("db"), error("refused"))]).checks;
        assert_eq!(readyz(&published, 1000), (503, false), "a publication");
        assert_eq!(readyz(&published, 1000), (503, true));
        assert_eq!(readyz(&published, 999), (503, false), "a moment before it was judged");
        published.start_up.began = at(999).moment;
        assert!(!readyz(&published, 1000).1, "a start-up");
        published.draining = true;
        assert!(!readyz(&published, 1000).1, "a drain");
    }

    #[test]
    fn whether_a_gate_is_open_is_known_without_a_body() {
        let gates = GateCache::default();
        let mut published = snapshot(vec![(check("db"), error("refused"))]);
        let now = reading(published.at);
        assert_eq!(GATES.map(|gate| gates.is_open(gate, &published, now)), [true, false, true]);
        let bodies = || gates.0.load().as_ref().unwrap().gates.iter().filter(|gate| gate.get().is_some()).count();
        assert_eq!(bodies(), 0);
        published.generation += 1;
        assert_eq!(gates.answer(GateRequest::Plain(Endpoint::Readyz), &published, now).0.code, 503);
        assert!(!gates.is_open(Endpoint::Readyz, &published, now));
        assert_eq!(bodies(), 1);
    }

    #[test]
    fn what_many_checks_keep_closed_is_put_into_words_each_50_ms_and_judged_with_each_publication() {
        let gates = GateCache::default();
        let of = |failing: usize| {
            let state = |index| if index < failing { error("refused") } else { ok("ok") };
            let checks =
                (0..=MANY).map(|index| (check(&format!("c{index}")), CheckState { fresh_at: None, ..state(index) }));
            snapshot(checks.collect())
        };
        let mut published = of(MANY + 1);
        let start = published.at;
        let mut answers = |checks: Option<CheckStates>, milliseconds| {
            published.generation += 1;
            published.checks = checks.unwrap_or_else(|| published.checks.clone());
            let now = reading(start + Duration::from_millis(milliseconds));
            [GateRequest::Plain(Endpoint::Readyz), GateRequest::Ready].map(|request| {
                let (answer, known) = gates.answer(request, &published, now);
                assert!(!known || request == GateRequest::Ready, "each is a publication");
                let body = answer.body.bytes().unwrap().clone();
                (answer.code.as_u16(), body)
            })
        };
        let first = answers(None, 0);
        let fewer = of(MANY).checks;
        assert_eq!(answers(Some(fewer.clone()), 10), first, "one is well again");
        let second = answers(None, 51);
        assert!(first.iter().zip(&second).all(|(first, second)| first != second && second.0 == 503));
        assert_ne!(answers(Some(of(MANY - 1).checks), 52), second, "few are told at once");
        assert_eq!(answers(Some(of(MANY + 1).checks), 60)[0].0, 503);
        assert_eq!(answers(Some(of(0).checks), 61).map(|(code, _)| code), [200; 2], "it is open, at once");
        assert_eq!(answers(Some(of(1).checks), 62).map(|(code, _)| code), [503; 2], "and closed");
    }

    #[test]
    fn old_words_are_told_no_longer_than_50_ms_when_nothing_more_is_published() {
        let of = |failing: usize| {
            let state = |index| if index < failing { error("refused") } else { ok("ok") };
            snapshot((0..=MANY).map(|index| (check(&format!("c{index}")), state(index))).collect())
        };
        let mut published = of(MANY + 1);
        let start = published.at;
        let told = |gates: &GateCache, published: &Snapshot, milliseconds| {
            let now = reading(start + Duration::from_millis(milliseconds));
            [GateRequest::Plain(Endpoint::Readyz), GateRequest::Ready]
                .map(|request| gates.answer(request, published, now).0.body.bytes().unwrap().clone())
        };
        let gates = GateCache::default();
        let old = told(&gates, &published, 0);
        published.generation += 1;
        published.checks = of(1).checks;
        assert_eq!(told(&gates, &published, 10), old, "the last of many publications");
        assert_eq!(told(&gates, &published, 50), old);
        assert_eq!(told(&gates, &published, 51), told(&GateCache::default(), &published, 51));
        let again = gates.answer(GateRequest::Ready, &published, reading(start + Duration::from_millis(52)));
        assert!(again.1, "they are kept from then on");
    }

    /// The lines of an answer, without what goes on with the time.
    fn lines(answer: &Answer) -> Vec<String> {
        let body = answer.body.bytes().unwrap();
        let text = std::str::from_utf8(body).unwrap();
        text.lines().map(|line| line.split("last result").next().unwrap().to_owned()).collect()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 16, ..Default::default() })]

        #[test]
        fn what_is_kept_is_what_judging_anew_says(seed: u64, checks in counts()) {
            let snapshots = played(seed, checks, false);
            let (mut recorder, board) = crate::store::board(snapshots[0].clone());
            let gates = GateCache::default();
            for (place, pair) in snapshots.windows(2).enumerate() {
                recorder.publish(pair[0].clone());
                if (place + checks) % 5 > 0 {
                    continue;
                }
                let published = board.latest();
                let nothing_known = unknown(&published);
                let span = pair[1].at.since(pair[0].at);
                for part in 0..3 {
                    let now = reading(pair[0].at + span * part / 3);
                    let anew = GateCache::default();
                    let each = GATES.into_iter().flat_map(|gate| [GateRequest::Plain(gate), GateRequest::Verbose(gate)]);
                    for request in each.chain([GateRequest::Ready, GateRequest::Alive]) {
                        let (kept, _) = gates.answer(request, &published, now);
                        let (slow, _) = anew.answer(request, &nothing_known, now);
                        assert_eq!((kept.code, kept.verdict), (slow.code, slow.verdict), "{request:?}");
                        assert_eq!(lines(&kept), lines(&slow), "{request:?}");
                        if let GateRequest::Plain(gate) = request {
                            let open = GateCache::default().is_open(gate, &nothing_known, now);
                            assert_eq!(open, slow.code == 200, "{gate:?}");
                        }
                    }
                    assert_eq!(gates.downs(&published, now), anew.downs(&nothing_known, now));
                }
            }
        }
    }
}
