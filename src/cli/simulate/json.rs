//! A timeline for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::describe;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, JudgedState, Verdict};
use crate::simulation::kubelet::{Action, Effect};
use crate::simulation::scenario::ProcessFault;
use crate::simulation::scenario::{Fault, FaultKind};
use crate::simulation::timeline::{Occurrence, Openness, Timeline, TimelineEvent, Track};

/// The whole timeline. Times are in milliseconds from the start.
pub fn json(timeline: &Timeline) -> Value {
    let checks = timeline.tracks().map(|(check, track)| {
        let spans = spans(track, timeline, |state| ("state", json!(state.label())));
        json!({ "name": timeline.name(check), "spans": spans })
    });
    let endpoints = Endpoint::ALL.into_iter().zip(&timeline.endpoints).map(|(endpoint, track)| {
        let spans = spans(track, timeline, |verdict| ("verdict", json!(verdict.label())));
        let openness = Openness::of(track, timeline.length, |verdict| verdict != Verdict::Error);
        json!({ "endpoint": endpoint.label(), "open": times(openness), "spans": spans })
    });
    let pod = (!timeline.containers.is_empty()).then(|| {
        let openness = Openness::of(&timeline.in_service, timeline.length, |in_service| in_service);
        let names = timeline.containers.iter().enumerate();
        let restarts_of: serde_json::Map<_, _> =
            names.map(|(place, name)| (name.clone(), json!(timeline.restarts_of(place)))).collect();
        json!({
            "containers": timeline.containers,
            "restarts": timeline.restarts(),
            "restarts_of": restarts_of,
            "ready": times(openness),
            "spans": spans(&timeline.in_service, timeline, |ready| ("ready", json!(ready))),
            "app": spans(&timeline.app, timeline, |app| ("state", json!(describe::app(app)))),
            "probelet": spans(&timeline.daemon, timeline, |daemon| ("state", json!(describe::daemon(daemon)))),
            "refused": spans(&timeline.refused, timeline, |refused| ("refused", json!(refused))),
        })
    });
    json!({
        "for_ms": millis(timeline.length),
        "checks": checks.collect::<Vec<_>>(),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "pod": pod,
        "events": timeline.events.iter().map(|event| record(timeline, event)).collect::<Vec<_>>(),
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The first opening, and what came after it.
fn times(openness: Openness) -> Value {
    json!({
        "from_ms": openness.opens.map(millis),
        "closures": openness.closures,
        "closed_ms": millis(openness.closed),
    })
}

fn spans<T: Copy>(track: &Track<T>, timeline: &Timeline, value: impl Fn(T) -> (&'static str, Value)) -> Vec<Value> {
    let ends = track.iter().skip(1).map(|(since, _)| *since).chain([timeline.length]);
    let span = |((since, held), end): (&(Duration, T), Duration)| {
        let (name, value) = value(*held);
        json!({ "from_ms": millis(*since), "to_ms": millis(end), name: value })
    };
    track.iter().zip(ends).map(span).collect()
}

fn record(timeline: &Timeline, event: &TimelineEvent) -> Value {
    let mut record = json!({ "at_ms": millis(event.at) });
    let more = match &event.what {
        Occurrence::FaultBegins(fault) => self::fault(timeline, fault, true),
        Occurrence::FaultEnds(fault) => self::fault(timeline, fault, false),
        Occurrence::Check { check, to, message, root_causes } => json!({
            "type": "check",
            "check": timeline.name(*check),
            "state": to.label(),
            "message": Some(message).filter(|_| *to != JudgedState::Fresh(State::Pending)),
            "root_causes": timeline.names(root_causes),
        }),
        Occurrence::Endpoint { endpoint, to, root_causes, .. } => json!({
            "type": "endpoint",
            "endpoint": endpoint.label(),
            "open": *to != Verdict::Error,
            "verdict": to.label(),
            "root_causes": timeline.names(root_causes),
        }),
        Occurrence::Kubelet(action) => kubelet(timeline, action),
        Occurrence::ProcessFault(ProcessFault::AppExits) => json!({ "type": "app", "does": "exits" }),
        Occurrence::ProcessFault(ProcessFault::Killed) => json!({ "type": "probelet", "does": "killed" }),
        Occurrence::ProcessFault(ProcessFault::Freezes) => json!({ "type": "probelet", "does": "freezes" }),
        Occurrence::ProcessFault(ProcessFault::Thaws) => json!({ "type": "probelet", "does": "goes_on" }),
        Occurrence::Serves => json!({ "type": "app", "does": "serves" }),
        Occurrence::Traffic { refused } => json!({ "type": "traffic", "refused": refused }),
    };
    for part in [more, json!({ "text": describe::sentence(timeline, event) })] {
        if let (Value::Object(record), Value::Object(part)) = (&mut record, part) {
            record.extend(part);
        }
    }
    record
}

fn fault(timeline: &Timeline, fault: &Fault, begins: bool) -> Value {
    let (outcome, latency) = match fault.outcome {
        FaultKind::Fail => ("fail", None),
        FaultKind::Slow(latency) => ("slow", Some(millis(latency))),
        FaultKind::Hang => ("hang", None),
    };
    json!({
        "type": "fault",
        "check": timeline.name(fault.check),
        "begins": begins,
        "outcome": outcome,
        "latency_ms": latency,
    })
}

fn kubelet(timeline: &Timeline, action: &Action) -> Value {
    let (does, purpose, takes, pause) = match action.effect {
        Effect::Start { .. } => ("start", None, None, None),
        Effect::Started => ("started", None, None, None),
        Effect::Ready => ("ready", None, None, None),
        Effect::NotReady => ("not_ready", None, None, None),
        Effect::Exited { pause } => ("exited", None, None, Some(millis(pause))),
        Effect::Restart { purpose, takes, pause } => {
            ("restart", Some(purpose.label()), Some(millis(takes)), Some(millis(pause)))
        }
    };
    json!({
        "type": "kubelet",
        "container": timeline.containers[action.container],
        "does": does,
        "probe": purpose,
        "takes_ms": takes,
        "pause_ms": pause,
        "pod_ready": action.in_service,
    })
}
