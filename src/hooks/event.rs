//! What is told: a CloudEvent 1.0 in JSON, in structured mode.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::config::hook::HookEvent;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Observation, Outcome};
use crate::model::plan::{Details, Service};
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, Judgement};

/// A check that is in another state.
#[derive(Debug)]
pub struct CheckChange<'a> {
    /// The check.
    pub check: CheckIndex,
    /// The state it left.
    pub from: State,
    /// The state it entered.
    pub to: State,
    /// What led to it.
    pub observation: Option<&'a Observation>,
}

/// An endpoint that has opened or closed, or has stayed closed since the start.
#[derive(Debug)]
pub struct EndpointChange<'a> {
    /// How it stands now.
    pub judgement: &'a Judgement,
}

impl CheckChange<'_> {
    /// What a hook is told of it; nothing of states that no hook is told of.
    pub(super) const fn event(&self) -> Option<HookEvent> {
        match self.to {
            State::Error => Some(HookEvent::Error),
            State::Ok => Some(HookEvent::Ok),
            State::Degraded => Some(HookEvent::Degraded),
            State::Skipped | State::Pending => None,
        }
    }
}

impl EndpointChange<'_> {
    /// What a hook is told of it; nothing of endpoints that no hook is told of.
    pub(super) const fn event(&self) -> Option<HookEvent> {
        match self.judgement.endpoint {
            Endpoint::Readyz => Some(HookEvent::Readyz),
            Endpoint::Livez => Some(HookEvent::Livez),
            Endpoint::Startupz | Endpoint::Healthz => None,
        }
    }
}

/// A body for those hooks that want such an event.
#[derive(Clone, Debug)]
pub(super) struct HookMessage {
    pub(super) event: HookEvent,
    /// The check or the endpoint.
    pub(super) subject: Arc<str>,
    pub(super) body: Arc<[u8]>,
}

/// Writes events, and gives each an id of its own.
#[derive(Debug)]
pub(super) struct EventWriter {
    instance: String,
    /// Tells the events of this process from those of the one before.
    started: Timestamp,
    written: u64,
}

/// The attributes, in the order of the specification, and the data.
#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: D,
}

#[derive(Serialize)]
struct CheckEventData<'a> {
    state: &'static str,
    from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    root_causes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<&'a str>,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
struct EndpointEventData<'a> {
    state: &'static str,
    verdict: &'static str,
    draining: bool,
    root_causes: Vec<&'a str>,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
struct About<'a> {
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    instance: &'a str,
}

impl EventWriter {
    pub(super) fn new(instance: &str, started: Timestamp) -> Self {
        Self { instance: instance.to_owned(), started, written: 0 }
    }

    /// How many events were written.
    #[cfg(test)]
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// What is told of a check; nothing of states that no hook is told of.
    pub(super) fn check(&mut self, judged: &Judged<'_>, change: &CheckChange<'_>) -> Option<HookMessage> {
        let event = change.event()?;
        let kind = match event {
            HookEvent::Error => "probelet.check.error",
            HookEvent::Ok => "probelet.check.ok",
            HookEvent::Degraded => "probelet.check.degraded",
            HookEvent::Readyz | HookEvent::Livez => return None,
        };
        let snapshot = judged.snapshot;
        let (definition, check) = (&snapshot.plan.checks[change.check], &snapshot.checks[change.check]);
        let name = definition.name.as_str();
        // It may have moved on since: then nobody has the message any more but what led here.
        let is_still = check.state == change.to;
        let failure = match change.observation.map(|observation| &observation.outcome) {
            Some(Outcome::Fail(failure)) => Some(failure),
            _ => None,
        };
        let message = || {
            if is_still {
                return Some(judged.message(change.check).into_owned());
            }
            failure.map(|failure| failure.message.clone())
        };
        let data = CheckEventData {
            state: change.to.label(),
            from: change.from.label(),
            message: if snapshot.plan.answers.details == Details::Full { message() } else { None },
            reason: failure.map(|failure| failure.kind.label()),
            root_causes: if change.to == State::Error { vec![name] } else { Vec::new() },
            runbook: definition.runbook.as_deref(),
            about: self.about(&snapshot.plan.service),
        };
        let time = if is_still { check.since_wall } else { snapshot.wall };
        let body = self.write(kind, name, time, &snapshot.plan.service, &data);
        self.written += 1;
        Some(HookMessage { event, subject: name.into(), body })
    }

    /// What is told of an endpoint; nothing of those that no hook is told of.
    pub(super) fn endpoint(&mut self, snapshot: &Snapshot, change: &EndpointChange<'_>) -> Option<HookMessage> {
        let judgement = change.judgement;
        let event = change.event()?;
        let (state, kind) =
            if judgement.open { ("open", "probelet.endpoint.open") } else { ("closed", "probelet.endpoint.closed") };
        let names = judgement.root_causes.iter().map(|check| snapshot.plan.checks[*check].name.as_str());
        let data = EndpointEventData {
            state,
            verdict: judgement.verdict.label(),
            draining: judgement.draining,
            root_causes: names.take(crate::model::causes::MAX_CAUSES).collect(),
            about: self.about(&snapshot.plan.service),
        };
        let subject = judgement.endpoint.label();
        let body = self.write(kind, subject, snapshot.wall, &snapshot.plan.service, &data);
        self.written += 1;
        Some(HookMessage { event, subject: subject.into(), body })
    }

    fn about<'a>(&'a self, service: &'a Service) -> About<'a> {
        About { service: &service.name, version: service.version.as_deref(), instance: &self.instance }
    }

    fn write(
        &self,
        kind: &'static str,
        subject: &str,
        time: Timestamp,
        service: &Service,
        data: &impl Serialize,
    ) -> Arc<[u8]> {
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let event = CloudEvent {
            specversion: "1.0",
            id: format!("{:x}-{}", self.started.unix_micros(), self.written),
            source: format!("/probelet/{}/{}", part(&service.name), part(&self.instance)),
            kind,
            subject,
            time: time.rfc3339(),
            datacontenttype: "application/json",
            data,
        };
        serde_json::to_vec(&event).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Moment, Reading};
    use crate::model::outcome::{Failure, FailureKind};
    use crate::model::plan::testing::{check, plan};
    use crate::model::plan::{Answers, Definition, Plan};
    use crate::scheduler::machine::Machine;
    use crate::simulation::playback::reading;

    /// The snapshot of a service whose database refuses connections, and the transition there.
    fn failing(details: Details) -> (Snapshot, Observation) {
        let database = Definition { runbook: Some("https://wiki/db".into()), ..check("database") };
        let plan =
            Arc::new(Plan { answers: Answers { details, ..Answers::default() }, ..Plan::clone(&plan(vec![database])) });
        let start: Reading = reading(Moment::default());
        let mut machine = Machine::new(plan, "pod", start);
        let key = machine.due(start)[0].key;
        let outcome = Outcome::Fail(Failure::new(FailureKind::Connect, "connection refused"));
        let observation =
            Observation { outcome, began: start.moment, ended: start.moment, wall: start.wall, dialled: None };
        machine.finished(key, observation.clone(), start);
        (machine.snapshot(start), observation)
    }

    fn written(snapshot: &Snapshot, observation: &Observation) -> String {
        let mut writer = EventWriter::new("shop 1", Timestamp::from_unix_micros(255));
        let change = CheckChange {
            check: CheckIndex::new(0),
            from: State::Pending,
            to: State::Error,
            observation: Some(observation),
        };
        let message = writer.check(&Judged::new(snapshot, snapshot.at), &change).unwrap();
        assert_eq!(message.event, HookEvent::Error);
        String::from_utf8(message.body.to_vec()).unwrap()
    }

    #[test]
    fn a_failing_check_is_an_event_with_its_cause() {
        let (snapshot, observation) = failing(Details::Full);
        assert_eq!(
            written(&snapshot, &observation),
            r#"{"specversion":"1.0","id":"ff-0","source":"/probelet/shop/shop%201","type":"probelet.check.error","subject":"database","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","data":{"state":"error","from":"pending","message":"connection refused","reason":"connect","root_causes":["database"],"runbook":"https://wiki/db","service":"shop","version":"1.2.3","instance":"shop 1"}}"#
        );
    }

    #[test]
    fn details_say_whether_the_message_goes_along() {
        for details in [Details::Names, Details::None] {
            let (snapshot, observation) = failing(details);
            assert!(!written(&snapshot, &observation).contains("refused"));
        }
    }

    #[test]
    fn an_endpoint_tells_why_it_is_closed_and_skips_are_not_told() {
        let (snapshot, _) = failing(Details::Full);
        let mut writer = EventWriter::new("shop-1", Timestamp::from_unix_micros(255));
        let judgement = Judged::new(&snapshot, snapshot.at).endpoint(Endpoint::Readyz);
        let message = writer.endpoint(&snapshot, &EndpointChange { judgement: &judgement }).unwrap();
        assert_eq!(
            String::from_utf8(message.body.to_vec()).unwrap(),
            r#"{"specversion":"1.0","id":"ff-0","source":"/probelet/shop/shop%2D1","type":"probelet.endpoint.closed","subject":"readyz","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","data":{"state":"closed","verdict":"error","draining":false,"root_causes":["database"],"service":"shop","version":"1.2.3","instance":"shop-1"}}"#
        );
        let skipped = CheckChange { check: CheckIndex::new(0), from: State::Ok, to: State::Skipped, observation: None };
        assert!(writer.check(&Judged::new(&snapshot, snapshot.at), &skipped).is_none());
    }
}
