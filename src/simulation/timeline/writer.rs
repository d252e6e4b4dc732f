//! Writes down what changes.

use std::sync::Arc;
use std::time::Duration;

use super::world::START;
use super::{AppState, Occurrence, SidecarState, Timeline, TimelineEvent, Track};
use crate::base::clock::Moment;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged, OpenEndpoints, Verdict};
use crate::simulation::kubelet::{Action, ContainerRole, ProbedContainer};

/// Writes the timeline while it happens.
pub(super) struct TimelineWriter {
    pub(super) timeline: Timeline,
    /// When a result that is fresh now will be stale, if nothing happens before.
    pub(super) expires: Option<Moment>,
    /// What was seen last.
    seen: Snapshot,
    endpoints: OpenEndpoints,
}

impl TimelineWriter {
    pub(super) fn new(first: &Snapshot, length: Duration, containers: &[ProbedContainer]) -> Self {
        let judged = Judged::new(first, first.at);
        let start = Duration::ZERO;
        let timeline = Timeline {
            length,
            plan: Arc::clone(&first.plan),
            checks: judged.indices().map(|check| vec![(start, judged.state(check))]).collect(),
            endpoints: Endpoint::ALL.map(|endpoint| vec![(start, judged.endpoint(endpoint).verdict)]),
            containers: containers.iter().map(|container| container.name.clone()).collect(),
            app_container: containers.iter().find(|one| one.role == ContainerRole::App).map(|app| app.name.clone()),
            in_service: vec![(start, false)],
            app: vec![(start, AppState::Gone)],
            daemon: vec![(start, SidecarState::Answers)],
            refused: vec![(start, false)],
            events: Vec::new(),
        };
        Self { timeline, expires: None, seen: first.clone(), endpoints: OpenEndpoints::default() }
    }

    /// What holds at the start is how things begin, and no change.
    pub(super) fn begin(&mut self) {
        fn last<T>(track: &mut Track<T>) {
            track.drain(..track.len() - 1);
        }
        let Timeline { in_service, app, daemon, refused, .. } = &mut self.timeline;
        last(in_service);
        last(app);
        last(daemon);
        last(refused);
    }

    pub(super) fn tell(&mut self, now: Moment, what: Occurrence) {
        self.timeline.events.push(TimelineEvent { at: now.since(START), what });
    }

    /// How the processes stand, and whether traffic comes to one that does not serve.
    pub(super) fn see_processes(&mut self, now: Moment, app: AppState, daemon: SidecarState) {
        let at = now.since(START);
        change(&mut self.timeline.daemon, at, daemon);
        if change(&mut self.timeline.app, at, app) == Some(AppState::Starts) && app == AppState::Serves {
            self.tell(now, Occurrence::Serves);
        }
        let in_service = self.timeline.in_service.last().is_some_and(|(_, in_service)| *in_service);
        let refused = in_service && app != AppState::Serves && !self.timeline.containers.is_empty();
        if change(&mut self.timeline.refused, at, refused).is_some() {
            self.tell(now, Occurrence::Traffic { refused });
        }
    }

    /// How things stand now: what has not changed since the last time is not looked at.
    pub(super) fn see(&mut self, snapshot: &Snapshot) {
        let at = snapshot.at.since(START);
        let judged = Judged::new(snapshot, snapshot.at);
        let mut changed =
            judged.changed_since(&Judged::new(&self.seen, self.seen.at)).unwrap_or_else(|| judged.indices().collect());
        changed.sort_unstable();
        for check in changed {
            let to = judged.state(check);
            if change(&mut self.timeline.checks[check], at, to).is_some() {
                let message = judged.message(check).into_owned();
                let root_causes = judged.causes_of(check);
                self.timeline
                    .events
                    .push(TimelineEvent { at, what: Occurrence::Check { check, to, message, root_causes } });
            }
        }
        let open = self.endpoints.judge(snapshot);
        for (endpoint, track) in Endpoint::ALL.into_iter().zip(&mut self.timeline.endpoints) {
            let to = match open[endpoint as usize] {
                false => Verdict::Error,
                true if judged.is_degraded(endpoint) => Verdict::Degraded,
                true => Verdict::Ok,
            };
            if let Some(from) = change(track, at, to) {
                let root_causes = judged.endpoint(endpoint).root_causes;
                self.timeline
                    .events
                    .push(TimelineEvent { at, what: Occurrence::Endpoint { endpoint, from, to, root_causes } });
            }
        }
        let fresh_until = snapshot.checks.fresh_until(snapshot.at).map(|(until, _)| until);
        let ends = fresh_until.filter(|until| *until < Moment::at(Duration::MAX));
        self.expires = ends.map(|until| until + Duration::from_nanos(1));
        self.seen = snapshot.clone();
    }

    pub(super) fn note(&mut self, now: Moment, actions: Vec<Action>, in_service: bool) {
        let at = now.since(START);
        change(&mut self.timeline.in_service, at, in_service);
        self.timeline
            .events
            .extend(actions.into_iter().map(|action| TimelineEvent { at, what: Occurrence::Kubelet(action) }));
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
