//! The published snapshot: one [`Recorder`] that replaces it, any number of [`Board`]s that read it without waiting.

mod endpoints;
mod past_changes;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Judgement, OpenEndpoints};
use endpoints::ClosedSinceTheStart;
pub use past_changes::{PastChange, PastChanges};

/// The one writer. It cannot be cloned.
#[derive(Debug)]
pub struct Recorder {
    published: Arc<ArcSwap<Snapshot>>,
    past: Arc<ArcSwap<PastChanges>>,
    generation: watch::Sender<u64>,
    endpoints: OpenEndpoints,
    /// Which endpoints were open when they were last looked at.
    open: [bool; 4],
    untold: ClosedSinceTheStart,
}

/// A reader: the latest snapshot at once, and word of each new one.
#[derive(Clone, Debug)]
pub struct Board {
    published: Arc<ArcSwap<Snapshot>>,
    past: Arc<ArcSwap<PastChanges>>,
    generation: watch::Receiver<u64>,
}

/// Publishes `first` and returns the writer and a reader of it.
#[must_use]
pub fn board(mut first: Snapshot) -> (Recorder, Board) {
    let now = first.reading();
    first.endpoint_transitions.iter_mut().for_each(|endpoint| endpoint.last = endpoint.last.or(Some(now)));
    let (sender, receiver) = watch::channel(first.generation);
    let mut endpoints = OpenEndpoints::default();
    let open = endpoints.judge(&first);
    let published = Arc::new(ArcSwap::from_pointee(first));
    let past = Arc::<ArcSwap<PastChanges>>::default();
    let recorder = Recorder {
        published: Arc::clone(&published),
        past: Arc::clone(&past),
        generation: sender,
        endpoints,
        open,
        untold: ClosedSinceTheStart::new(open),
    };
    (recorder, Board { published, past, generation: receiver })
}

impl Recorder {
    /// The snapshot as it stands.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// Replaces the snapshot whole, unless `next` says the same; its generation becomes one more than that of the last.
    ///
    /// An endpoint that opens or closes is counted and logged, once: also where only the age of a result does it.
    /// Returns how those that did stand now, and those that failing checks have kept closed since the start, each once.
    pub fn publish(&mut self, mut next: Snapshot) -> Vec<Judgement> {
        let last = self.published.load();
        next.generation = last.generation + 1;
        next.endpoint_transitions = last.endpoint_transitions;
        let open = self.endpoints.judge(&next);
        let mut told = endpoints::count(self.open, open, &mut next);
        told.extend(self.untold.settled(open, &next));
        self.open = open;
        if told.is_empty() && next.says_the_same_as(&last) {
            return told;
        }
        let mut past = PastChanges::clone(&self.past.load());
        let is_redated = past.redate(next.reading().stepped_since(&last.reading()));
        if past.add(&last, &next) || is_redated {
            self.past.store(Arc::new(past));
        }
        let generation = next.generation;
        self.published.store(Arc::new(next));
        self.generation.send_replace(generation);
        told
    }
}

impl Board {
    /// The latest snapshot. It never waits for the writer.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// The last changes of state, at most 200.
    #[must_use]
    pub fn past_changes(&self) -> Arc<PastChanges> {
        self.past.load_full()
    }

    /// Waits until a snapshot is published that [`latest`](Self::latest) has not been called for through this method,
    /// and returns it; nothing when the writer is gone.
    pub async fn next(&mut self) -> Option<Arc<Snapshot>> {
        self.generation.changed().await.ok()?;
        Some(self.latest())
    }

    /// [`next`](Self::next) waits for none of what is published by now.
    pub fn skip_to_latest(&mut self) {
        self.generation.mark_unchanged();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::{Moment, Reading, Timestamp};
    use crate::model::index::CheckIndex;
    use crate::model::plan::testing::{check, plan};
    use crate::model::snapshot::{Configuration, EndpointTransitions};
    use crate::model::start_up::StartUp;
    use crate::model::state::{CheckState, State};
    use crate::model::verdict::Endpoint;
    use crate::model::verdict::testing::looks_of;

    const NOW: Moment = Moment::at(Duration::from_secs(1000));

    /// One check in `state`, as seen now.
    fn snapshot(state: State) -> Snapshot {
        let seen = CheckState {
            state,
            seen_once: true,
            passed_once: true,
            fresh_at: Some(NOW),
            ..CheckState::new(Reading { moment: NOW, wall: Timestamp::default() })
        };
        Snapshot {
            generation: 1,
            at: NOW,
            wall: Timestamp::default(),
            plan: plan(vec![check("db")]),
            checks: [Arc::new(seen)].into_iter().collect(),
            draining: false,
            ready_once: false,
            start_up: StartUp::default(),
            configuration: Configuration::default(),
            endpoint_transitions: Default::default(),
        }
    }

    #[test]
    fn an_endpoint_that_opens_or_closes_is_counted_once_whoever_looks() {
        let (well, ill) = (snapshot(State::Ok), snapshot(State::Error));
        let (mut recorder, board) = board(well.clone());
        let counts = || board.latest().endpoint_transitions.map(|count| (count.open, count.closed));
        assert_eq!(counts(), [(0, 0); 4]);
        recorder.publish(ill.clone());
        assert_eq!(counts(), [(0, 0), (0, 1), (0, 0), (0, 1)]);
        recorder.publish(ill);
        assert_eq!(counts(), [(0, 0), (0, 1), (0, 0), (0, 1)]);
        recorder.publish(well);
        assert_eq!(counts(), [(0, 0), (1, 1), (0, 0), (1, 1)]);
    }

    #[test]
    fn an_endpoint_that_was_never_open_is_told_of_once_where_checks_fail_after_the_start() {
        let (pending, ill) = (snapshot(State::Pending), snapshot(State::Error));
        let (mut recorder, board) = board(pending.clone());
        let mut second = 0;
        let mut told = |snapshot: &Snapshot, ready_once| {
            second += 1;
            let at = NOW + Duration::from_secs(second);
            let start_up = StartUp { began: NOW, opened: false };
            let told = recorder.publish(Snapshot { at, ready_once, start_up, ..snapshot.clone() });
            told.iter().map(|judgement| (judgement.endpoint, judgement.open)).collect::<Vec<_>>()
        };
        assert_eq!(told(&ill, false), [], "it is starting");
        assert_eq!(told(&pending, true), [], "nobody knows yet");
        let closed = [(Endpoint::Readyz, false), (Endpoint::Healthz, false)];
        assert_eq!(told(&ill, true), closed);
        assert_eq!(board.latest().endpoint_transitions.map(|count| count.closed), [0; 4], "it was not open before");
        assert_eq!(told(&ill, true), []);
        assert_eq!(told(&snapshot(State::Ok), true), closed.map(|(endpoint, _)| (endpoint, true)));
        assert_eq!(told(&ill, true), closed);
    }

    #[test]
    fn what_is_closed_since_the_start_is_looked_at_once_a_second_however_much_is_published() {
        let count = 100;
        let pending = snapshot(State::Pending);
        let checks = (0..count).map(|index| check(&format!("c{index}"))).collect();
        let states = (0..count).map(|_| Arc::clone(&pending.checks[CheckIndex::new(0)])).collect();
        let start_up = StartUp { began: NOW, opened: false };
        let all = Snapshot { plan: plan(checks), checks: states, start_up, ..pending };
        // At the first publication, and at ten more.
        let looks = |ready_once| {
            let all = Snapshot { ready_once, ..all.clone() };
            let (mut recorder, _board) = board(all.clone());
            let mut publish = |times| looks_of(|| (0..times).for_each(|_| drop(recorder.publish(all.clone())))).0;
            (publish(1), publish(10))
        };
        let ((starting, later), (past_the_start, as_late)) = (looks(false), looks(true));
        assert!(past_the_start >= starting + count, "{past_the_start} {starting}");
        assert_eq!(as_late, later);
    }

    #[test]
    fn an_endpoint_that_closes_with_the_age_of_a_result_is_counted_and_what_says_the_same_is_not_published() {
        let well = snapshot(State::Ok);
        let (mut recorder, board) = board(well.clone());
        let later = |seconds| Snapshot { at: NOW + Duration::from_secs(seconds), ..well.clone() };
        recorder.publish(later(1));
        assert_eq!(board.latest().generation, well.generation);
        recorder.publish(later(60));
        let published = board.latest();
        assert_eq!(published.generation, well.generation + 1);
        let last = Some(Reading { moment: NOW + Duration::from_secs(60), wall: Timestamp::default() });
        assert_eq!(published.endpoint_transitions[1], EndpointTransitions { open: 0, closed: 1, last });
    }

    #[test]
    fn a_past_change_is_dated_anew_with_its_check_when_the_wall_clock_is_set() {
        let at = |seconds: u64, set: i64, state| {
            let moment = Moment::at(Duration::from_secs(seconds));
            let wall = Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap() + set);
            let check = CheckState { state, ..CheckState::new(Reading { moment, wall }) };
            Snapshot { at: moment, wall, checks: [Arc::new(check)].into_iter().collect(), ..snapshot(state) }
        };
        let (well, ill) = (at(1000, 0, State::Ok), at(1010, 0, State::Error));
        let (mut recorder, board) = board(Snapshot { plan: Arc::clone(&ill.plan), ..well });
        recorder.publish(ill.clone());
        let set = 20_000 * 86_400;
        let redated = ill.checks.iter().map(|check| Arc::new(check.redated(set * 1_000_000))).collect();
        let later = at(1020, set, State::Error);
        recorder.publish(Snapshot { checks: redated, plan: Arc::clone(&ill.plan), ..later.clone() });
        recorder.publish(Snapshot { plan: Arc::clone(&ill.plan), ..at(1030, set, State::Ok) });
        let dates: Vec<Timestamp> =
            board.past_changes().of(&ill.plan.checks[0].name, None).map(|change| change.at).collect();
        assert_eq!(dates, [1010, 1030].map(|seconds| Timestamp::from_unix_seconds(seconds + set)));
    }
}
