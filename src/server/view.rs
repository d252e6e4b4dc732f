//! One endpoint as judged for one request, in the words that all formats share.

use std::borrow::Cow;
use std::cell::OnceCell;

use hyper::StatusCode;

use crate::base::clock::Reading;
use crate::model::index::CheckIndex;
use crate::model::outcome::one_line;
use crate::model::plan::{Details, DisabledCheck};
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, EndpointPart, Judged, JudgedState, Judgement, Verdict};

/// What stands in place of a message that is not to be told.
pub(super) const WITHHELD: &str = "withheld";

/// An endpoint, or one check's part in it, as judged now.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) judged: &'a Judged<'a>,
    pub(super) judgement: Judgement,
    pub(super) reading: Reading,
    /// The one check that it is about; nothing where it is the endpoint.
    alone: Option<EndpointPart>,
    parts: OnceCell<Vec<EndpointPart>>,
}

impl<'a> View<'a> {
    /// All of `endpoint`.
    pub(super) fn of(judged: &'a Judged<'a>, endpoint: Endpoint, reading: Reading) -> Self {
        Self { judged, judgement: judged.endpoint(endpoint), reading, alone: None, parts: OnceCell::new() }
    }

    /// The check at `index` alone, by the rules of `endpoint`.
    pub(super) fn of_check(judged: &'a Judged<'a>, endpoint: Endpoint, index: CheckIndex, reading: Reading) -> Self {
        let part = judged.endpoint_for(endpoint, index);
        let verdict = match (part.closes, judged.status(index)) {
            (true, _) => Verdict::Error,
            (false, Verdict::Ok) => Verdict::Ok,
            (false, _) => Verdict::Degraded,
        };
        Self::of_part(judged, endpoint, part, verdict, reading)
    }

    /// The check at `index` alone, gated or not.
    pub(super) fn of_check_alone(judged: &'a Judged<'a>, index: CheckIndex, reading: Reading) -> Self {
        let verdict = judged.status(index);
        let closes = verdict == Verdict::Error;
        let part = EndpointPart { check: index, closes, excluded: false };
        Self::of_part(judged, Endpoint::Healthz, part, verdict, reading)
    }

    fn of_part(
        judged: &'a Judged<'a>,
        endpoint: Endpoint,
        part: EndpointPart,
        verdict: Verdict,
        reading: Reading,
    ) -> Self {
        let closing = if part.closes { vec![part.check] } else { Vec::new() };
        let root_causes = if part.closes { judged.causes_of_closing(part.check, endpoint) } else { Vec::new() };
        let judgement = Judgement { endpoint, open: !part.closes, verdict, closing, root_causes, draining: false };
        Self { judged, judgement, reading, alone: Some(part), parts: OnceCell::new() }
    }

    /// The code of a closed endpoint.
    pub(super) fn down(&self) -> StatusCode {
        down(self.judged.snapshot)
    }

    /// How much may be said.
    pub(super) fn details(&self) -> Details {
        self.judged.snapshot.plan.answers.details
    }

    /// The checks that may be named, in the order of the file.
    pub(super) fn parts(&self) -> &[EndpointPart] {
        if self.details() == Details::None {
            return &[];
        }
        self.parts.get_or_init(|| match self.alone {
            Some(part) => vec![part],
            None => self.judged.parts(&self.judgement),
        })
    }

    /// The checks that are switched off, where the whole is told and they may be named.
    pub(super) fn disabled(&self) -> &'a [DisabledCheck] {
        let is_told =
            self.alone.is_none() && self.judgement.endpoint == Endpoint::Healthz && self.details() != Details::None;
        if is_told { &self.judged.snapshot.plan.disabled } else { &[] }
    }

    /// The name of a check.
    pub(super) fn name(&self, check: CheckIndex) -> &'a str {
        self.judged.definition(check).name.as_str()
    }

    /// What to say of a check.
    pub(super) fn message(&self, check: CheckIndex) -> Cow<'a, str> {
        if self.details() == Details::Full { self.judged.message(check) } else { WITHHELD.into() }
    }

    /// What to say of the whole.
    pub(super) fn summary(&self) -> Cow<'a, str> {
        if self.details() != Details::Full {
            return WITHHELD.into();
        }
        match (self.missing(), self.judgement.draining, self.judgement.verdict) {
            (Some(reason), _, _) => format!("No valid configuration: {reason}").into(),
            (None, true, _) => "Draining".into(),
            (None, false, Verdict::Ok) => "All checks passed".into(),
            (None, false, Verdict::Degraded) => "Some checks are degraded".into(),
            (None, false, Verdict::Error) => "Some checks failed".into(),
        }
    }

    /// What to say of the whole in formats that have one line for it: the root causes with their messages, where there
    /// are any.
    pub(super) fn explanation(&self) -> Cow<'a, str> {
        let causes = self.root_causes();
        let is_ok = self.judgement.verdict == Verdict::Ok;
        let is_told_otherwise = is_ok || self.judgement.draining || self.missing().is_some();
        if causes.is_empty() || is_told_otherwise || self.details() != Details::Full {
            return self.summary();
        }
        let cause = |check: &CheckIndex| format!("{}: {}", self.name(*check), self.reason(*check));
        one_line(&format!("root cause {}", causes.iter().map(cause).collect::<Vec<_>>().join("; "))).into()
    }

    /// What to say of a check in formats without its root causes: a skipped one says what it waits for.
    pub(super) fn told(&self, check: CheckIndex) -> Cow<'a, str> {
        match self.judged.state(check) {
            JudgedState::Fresh(State::Skipped) if self.details() == Details::Full => {
                format!("Skipped: {}", self.reason(check)).into()
            }
            _ => self.message(check),
        }
    }

    /// Why there is no configuration, where that keeps the endpoint closed.
    pub(super) fn missing(&self) -> Option<&'a str> {
        let closes = matches!(self.judgement.endpoint, Endpoint::Readyz | Endpoint::Healthz);
        self.judged.snapshot.configuration.missing.as_deref().filter(|_| closes)
    }

    /// The status of a check for formats in which only a critical failure is one.
    pub(super) fn level(&self, check: CheckIndex) -> Verdict {
        match self.judged.status(check) {
            Verdict::Error if !self.is_critical(check) => Verdict::Degraded,
            status => status,
        }
    }

    fn is_critical(&self, check: CheckIndex) -> bool {
        self.judged.definition(check).gates.any() && self.judged.is_critical(check, self.judgement.endpoint)
    }

    /// The failing checks from which the trouble of these checks follows, in the order of the file; for a closed
    /// endpoint those without which it would be open.
    pub(super) fn root_causes(&self) -> Vec<CheckIndex> {
        let Judgement { endpoint, root_causes, .. } = &self.judgement;
        if !root_causes.is_empty() {
            return root_causes.clone();
        }
        let causes_of = |check: CheckIndex| self.judged.causes_of(check);
        let mut causes: Vec<CheckIndex> = match self.alone {
            Some(part) => causes_of(part.check),
            None => self.judged.unsettled_parts(*endpoint).flat_map(causes_of).collect(),
        };
        causes.sort_unstable();
        causes.dedup();
        causes
    }

    /// Names of checks, in the order given.
    pub(super) fn names(&self, checks: &[CheckIndex]) -> Vec<&'a str> {
        checks.iter().map(|check| self.name(*check)).collect()
    }

    /// Why a check is not ok, in one line: its message, or what a skipped one waits for.
    pub(super) fn reason(&self, check: CheckIndex) -> Cow<'a, str> {
        if self.details() == Details::Full { self.judged.reason(check) } else { WITHHELD.into() }
    }
}

/// The code of a closed endpoint.
pub(super) fn down(snapshot: &Snapshot) -> StatusCode {
    StatusCode::from_u16(snapshot.plan.answers.down_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}
