//! The changes between two published snapshots. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::base::clock::{Moment, Reading};
use crate::model::causes::MAX_CAUSES;
use crate::model::index::CheckIndex;
use crate::model::outcome::FailureKind;
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
use crate::model::state::{CheckState, LastRun, OutcomeKind};
use crate::model::verdict::{Judged, Judgement, Verdict};
use crate::server::reply::endpoints::{EndpointVerdict, judgements, standings_since};
use crate::server::reply::json::{JsonStep, steps};
use crate::server::reply::{Number, millis_of, to_json};
use crate::server::view::WITHHELD;

/// A snapshot, and how its checks stood when it was looked at.
#[derive(Clone, Debug)]
pub(super) struct JudgedSnapshot {
    pub(super) snapshot: Arc<Snapshot>,
    /// When that was.
    pub(super) at: Moment,
    endpoints: Arc<[Judgement; 4]>,
}

impl JudgedSnapshot {
    /// `snapshot` as it stands now.
    pub(super) fn new(snapshot: Arc<Snapshot>, reading: Reading) -> Self {
        let judged = Judged::new(&snapshot, reading.moment);
        let endpoints = Arc::new(judgements(&judged));
        Self { snapshot, at: reading.moment, endpoints }
    }

    /// The same after `before`: where what has changed is judged as it was, no other check is looked at.
    pub(super) fn after(before: &Self, snapshot: Arc<Snapshot>, reading: Reading) -> Self {
        if !Judged::new(&snapshot, reading.moment).is_as_before(&Judged::new(&before.snapshot, before.at)) {
            return Self::new(snapshot, reading);
        }
        Self { snapshot, at: reading.moment, endpoints: Arc::clone(&before.endpoints) }
    }

    /// Whether its checks are judged as they were `before`, which it was made after.
    pub(super) fn is_as(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.endpoints, &before.endpoints)
    }

    /// What is told of each endpoint.
    fn verdicts(&self) -> [(Verdict, bool, &[CheckIndex]); 4] {
        self.endpoints.each_ref().map(|endpoint| (endpoint.verdict, endpoint.draining, &*endpoint.root_causes))
    }

    /// How much may be told.
    pub(super) fn details(&self) -> Details {
        self.snapshot.plan.answers.details
    }
}

/// One change.
#[derive(Debug)]
pub(super) enum Change {
    /// A check was run, or skipped.
    Tick(Vec<u8>),
    /// A check is in another state.
    Transition(Vec<u8>),
    /// More has changed than single checks: the client has to be sent a whole snapshot.
    Resync,
}

#[derive(Serialize)]
struct TickEvent<'a> {
    name: &'a str,
    created_at: i64,
    outcome: &'static str,
    response_time_ms: Option<Number>,
    reason: Option<&'static str>,
    message: Cow<'a, str>,
    /// What is said of the check after it, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    check_message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_zero")]
    consecutive_failures: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<JsonStep<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<EndpointVerdict<'a>>>,
}

#[derive(Serialize)]
struct TransitionEvent<'a> {
    name: &'a str,
    created_at: i64,
    from: &'static str,
    to: &'static str,
    status: &'static str,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<EndpointVerdict<'a>>>,
}

enum CheckEvent<'a> {
    Tick(TickEvent<'a>),
    Transition(TransitionEvent<'a>),
}

impl<'a> CheckEvent<'a> {
    /// With word of how the endpoints stand from now on.
    fn telling(mut self, endpoints: Vec<EndpointVerdict<'a>>) -> Self {
        match &mut self {
            Self::Tick(tick) => tick.endpoints = Some(endpoints),
            Self::Transition(transition) => transition.endpoints = Some(endpoints),
        }
        self
    }

    fn written(&self) -> Change {
        match self {
            Self::Tick(tick) => Change::Tick(to_json(tick)),
            Self::Transition(transition) => Change::Transition(to_json(transition)),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes it like this
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What happened from `before` to `after`, in the order of the file, a tick before the transition it led to. Where
/// endpoints stand differently from then on, the last of these says so.
pub(super) fn between(before: &JudgedSnapshot, after: &JudgedSnapshot, reading: Reading) -> Vec<Change> {
    let judged = Judged::new(&after.snapshot, after.at);
    let judged_before = Judged::new(&before.snapshot, before.at);
    let (old, is_as_before) = (PreviousPositions::of(before, after), after.is_as(before));
    let shown = |message| if after.details() == Details::Full { message } else { Cow::Borrowed(WITHHELD) };
    let mut events = Vec::new();
    for index in old.changed(&judged_before, &judged, is_as_before) {
        let Some(place) = old.of_check(after, index) else { continue };
        let (check, old, from) = (judged.check(index), judged_before.check(place), judged_before.state(place));
        let name = after.snapshot.plan.checks[index].name.as_str();
        if let Some(last) = news(old, check) {
            let message = shown(match last.outcome {
                OutcomeKind::Skip => "Skipped due to upstream failure".into(),
                OutcomeKind::Pass | OutcomeKind::Fail => last.message.as_str().into(),
            });
            let check_message = Some(shown(judged.message(index))).filter(|said| *said != message);
            events.push(CheckEvent::Tick(TickEvent {
                name,
                created_at: last.wall.whole_seconds(),
                outcome: last.outcome.label(),
                response_time_ms: last.took.map(millis_of),
                reason: last.reason.map(FailureKind::label),
                message,
                check_message,
                consecutive_failures: check.failures,
                steps: steps(&last.facts.steps, after.details()),
                endpoints: None,
            }));
        }
        let to = judged.state(index);
        if from != to {
            // Nobody has written down when a result became too old.
            let at = if old.since == check.since { reading.wall } else { check.since_wall };
            events.push(CheckEvent::Transition(TransitionEvent {
                name,
                created_at: at.whole_seconds(),
                from: from.label(),
                to: to.label(),
                status: to.status().label(),
                message: shown(judged.message(index)),
                endpoints: None,
            }));
        }
    }
    let mut needs_resync = needs_resync(&before.snapshot, &after.snapshot);
    if !needs_resync && !is_as_before && before.verdicts() != after.verdicts() {
        // No longer than a few single events, or all that there are.
        let most = MAX_CAUSES.max(events.len());
        match (events.pop(), standings_since(&judged, &*before.endpoints, &*after.endpoints, most)) {
            (Some(last), Some(standings)) => events.push(last.telling(standings)),
            (last, _) => {
                events.extend(last);
                needs_resync = true;
            }
        }
    }
    let mut changes: Vec<Change> = events.iter().map(CheckEvent::written).collect();
    if needs_resync {
        changes.push(Change::Resync);
    }
    changes
}

/// The last run, if it is another one.
fn news<'a>(old: &CheckState, new: &'a CheckState) -> Option<&'a LastRun> {
    new.last.as_deref().filter(|last| old.last.as_ref().is_none_or(|old| old.at != last.at))
}

/// Where the checks stood in the snapshot before.
enum PreviousPositions<'a> {
    InTheSamePlace,
    Named(HashMap<&'a str, CheckIndex>),
}

impl<'a> PreviousPositions<'a> {
    fn of(before: &'a JudgedSnapshot, after: &JudgedSnapshot) -> Self {
        if Arc::ptr_eq(&before.snapshot.plan, &after.snapshot.plan) {
            return Self::InTheSamePlace;
        }
        let checks = before.snapshot.plan.entries();
        Self::Named(checks.map(|(index, check)| (check.name.as_str(), index)).collect())
    }

    fn of_check(&self, after: &JudgedSnapshot, index: CheckIndex) -> Option<CheckIndex> {
        match self {
            Self::InTheSamePlace => Some(index),
            Self::Named(places) => places.get(after.snapshot.plan.checks[index].name.as_str()).copied(),
        }
    }

    /// The checks of which there may be something to tell, in the order of the file: who has another state than before,
    /// or may have, because of its age; that is none where all `is_as_before`.
    fn changed(&self, before: &Judged<'_>, after: &Judged<'_>, is_as_before: bool) -> Vec<CheckIndex> {
        match self {
            Self::InTheSamePlace => {
                let anew = after.snapshot.checks.changed_since(&before.snapshot.checks);
                if is_as_before {
                    return anew.collect();
                }
                let mut changed: Vec<CheckIndex> = anew.chain(before.unsettled()).chain(after.unsettled()).collect();
                changed.sort_unstable();
                changed.dedup();
                changed
            }
            Self::Named(_) => after.indices().collect(),
        }
    }
}

fn needs_resync(before: &Snapshot, after: &Snapshot) -> bool {
    !(Arc::ptr_eq(&before.plan, &after.plan) || before.plan == after.plan)
        || (before.draining, before.ready_once) != (after.draining, after.ready_once)
        || before.configuration.missing != after.configuration.missing
}
