//! A story for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::scenario::{Fault, FaultKind};
use super::story::{Blow, Event, Openness, Story, Track, What};
use super::words;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, JudgedState, Verdict};
use crate::scheduler::kubelet::{Act, Deed};

/// The whole story. Times are in milliseconds from the start.
pub fn json(story: &Story) -> Value {
    let checks = story.checks.iter().enumerate().map(|(check, track)| {
        let spans = spans(track, story, |state| ("state", json!(state.label())));
        json!({ "name": story.name(check), "spans": spans })
    });
    let endpoints = Endpoint::ALL.into_iter().zip(&story.endpoints).map(|(endpoint, track)| {
        let spans = spans(track, story, |verdict| ("verdict", json!(verdict.label())));
        let openness = Openness::of(track, story.length, |verdict| verdict != Verdict::Error);
        json!({ "endpoint": endpoint.label(), "open": times(openness), "spans": spans })
    });
    let pod = (!story.containers.is_empty()).then(|| {
        let openness = Openness::of(&story.in_service, story.length, |in_service| in_service);
        let names = story.containers.iter().enumerate();
        let restarts_of: serde_json::Map<_, _> =
            names.map(|(place, name)| (name.clone(), json!(story.restarts_of(place)))).collect();
        json!({
            "containers": story.containers,
            "restarts": story.restarts(),
            "restarts_of": restarts_of,
            "ready": times(openness),
            "spans": spans(&story.in_service, story, |ready| ("ready", json!(ready))),
            "app": spans(&story.app, story, |app| ("state", json!(words::app(app)))),
            "probelet": spans(&story.daemon, story, |daemon| ("state", json!(words::daemon(daemon)))),
            "refused": spans(&story.refused, story, |refused| ("refused", json!(refused))),
        })
    });
    json!({
        "for_ms": millis(story.length),
        "checks": checks.collect::<Vec<_>>(),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "pod": pod,
        "events": story.events.iter().map(|event| record(story, event)).collect::<Vec<_>>(),
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

fn spans<T: Copy>(track: &Track<T>, story: &Story, value: impl Fn(T) -> (&'static str, Value)) -> Vec<Value> {
    let ends = track.iter().skip(1).map(|(since, _)| *since).chain([story.length]);
    let span = |((since, held), end): (&(Duration, T), Duration)| {
        let (name, value) = value(*held);
        json!({ "from_ms": millis(*since), "to_ms": millis(end), name: value })
    };
    track.iter().zip(ends).map(span).collect()
}

fn record(story: &Story, event: &Event) -> Value {
    let mut record = json!({ "at_ms": millis(event.at) });
    let more = match &event.what {
        What::FaultBegins(fault) => self::fault(story, fault, true),
        What::FaultEnds(fault) => self::fault(story, fault, false),
        What::Check { check, to, message, root_causes } => json!({
            "type": "check",
            "check": story.name(*check),
            "state": to.label(),
            "message": Some(message).filter(|_| *to != JudgedState::Fresh(State::Pending)),
            "root_causes": story.names(root_causes),
        }),
        What::Endpoint { endpoint, to, root_causes, .. } => json!({
            "type": "endpoint",
            "endpoint": endpoint.label(),
            "open": *to != Verdict::Error,
            "verdict": to.label(),
            "root_causes": story.names(root_causes),
        }),
        What::Kubelet(act) => kubelet(story, act),
        What::Blow(Blow::AppExits) => json!({ "type": "app", "does": "exits" }),
        What::Blow(Blow::Killed) => json!({ "type": "probelet", "does": "killed" }),
        What::Blow(Blow::Freezes) => json!({ "type": "probelet", "does": "freezes" }),
        What::Blow(Blow::Thaws) => json!({ "type": "probelet", "does": "goes_on" }),
        What::Serves => json!({ "type": "app", "does": "serves" }),
        What::Traffic { refused } => json!({ "type": "traffic", "refused": refused }),
    };
    for part in [more, json!({ "text": words::sentence(story, event) })] {
        if let (Value::Object(record), Value::Object(part)) = (&mut record, part) {
            record.extend(part);
        }
    }
    record
}

fn fault(story: &Story, fault: &Fault, begins: bool) -> Value {
    let (outcome, latency) = match fault.outcome {
        FaultKind::Fail => ("fail", None),
        FaultKind::Slow(latency) => ("slow", Some(millis(latency))),
        FaultKind::Hang => ("hang", None),
    };
    json!({
        "type": "fault",
        "check": story.name(fault.check),
        "begins": begins,
        "outcome": outcome,
        "latency_ms": latency,
    })
}

fn kubelet(story: &Story, act: &Act) -> Value {
    let (does, purpose, takes, pause) = match act.deed {
        Deed::Start { .. } => ("start", None, None, None),
        Deed::Started => ("started", None, None, None),
        Deed::Ready => ("ready", None, None, None),
        Deed::NotReady => ("not_ready", None, None, None),
        Deed::Exited { pause } => ("exited", None, None, Some(millis(pause))),
        Deed::Restart { purpose, takes, pause } => {
            ("restart", Some(purpose.label()), Some(millis(takes)), Some(millis(pause)))
        }
    };
    json!({
        "type": "kubelet",
        "container": story.containers[act.container],
        "does": does,
        "probe": purpose,
        "takes_ms": takes,
        "pause_ms": pause,
        "pod_ready": act.in_service,
    })
}
