//! What has been rendered, kept for all who ask the same: an answer is rendered once per change of the snapshot, and
//! once a second, as ages and times go on.

use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hyper::StatusCode;

use super::answer::Answer;
use super::answer_memory::AnswerMemory;
use super::body::Body;
use super::negotiate::AnswerFormat;
use crate::base::clock::Moment;
use crate::metrics::ExpositionFormat as Exposition;
use crate::model::verdict::{Judged, JudgedState, Verdict};

/// For so long one rendering does, while nothing changes.
const FRESH: Duration = Duration::from_secs(1);

/// An answer that many may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/metrics`.
    Metrics(Exposition),
    /// The same, compressed.
    Compressed(Exposition),
    /// `/healthz`.
    Healthz(AnswerFormat),
    /// `/health`.
    Health,
    /// The same, as an event of `/health/$stream`.
    HealthEvent,
    /// `/v1/services`, with what `?include=history` adds or without.
    Services { with_history: bool },
}

impl Kind {
    const COUNT: usize = 14;

    const fn place(self) -> usize {
        match self {
            Self::Metrics(format) => format as usize,
            Self::Compressed(format) => 3 + format as usize,
            Self::Healthz(format) => 6 + format as usize,
            Self::Health => 10,
            Self::Services { with_history } => 11 + with_history as usize,
            Self::HealthEvent => 13,
        }
    }
}

/// The last rendering of each kind.
#[derive(Debug)]
pub(super) struct Renderings {
    kept: [ArcSwapOption<Rendering>; Kind::COUNT],
    under_way: AnswerMemory,
}

#[derive(Debug)]
struct Rendering {
    of: Basis,
    at: Moment,
    code: StatusCode,
    verdict: Option<Verdict>,
    content_type: &'static str,
    compressed: bool,
    body: Bytes,
}

/// What an answer is rendered from: the snapshot, how its checks are judged as their results age, and which endpoints
/// kubelet has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    generation: u64,
    /// When the app's container started: a snapshot is answered from before it is published with that.
    start_up: Moment,
    /// Likewise with a drain.
    draining: bool,
    states: Vec<JudgedState>,
    asked: u8,
}

impl Basis {
    /// The snapshot as judged.
    pub(super) fn of(judged: &Judged<'_>) -> Self {
        let states = judged.indices().map(|check| judged.state(check)).collect();
        let snapshot = judged.snapshot;
        Self {
            generation: snapshot.generation,
            start_up: snapshot.start_up.began,
            draining: snapshot.draining,
            states,
            asked: 0,
        }
    }

    /// The same, with a bit for each endpoint that kubelet has asked.
    pub(super) fn with_asked(self, asked: u8) -> Self {
        Self { asked, ..self }
    }
}

impl Renderings {
    /// Nothing is rendered yet; what will be is counted in `under_way` once it is no longer kept.
    pub(super) fn new(under_way: AnswerMemory) -> Self {
        Self { kept: Default::default(), under_way }
    }

    /// The answer of that kind, if it has been rendered from the same and is fresh.
    pub(super) fn get(&self, kind: Kind, basis: &Basis, now: Moment) -> Option<Answer> {
        let kept = self.kept[kind.place()].load();
        let kept = kept.as_ref().filter(|kept| kept.of == *basis && now.since(kept.at) < FRESH)?;
        let answer = Answer::new(kept.code, kept.content_type, kept.body.clone());
        Some(Answer { verdict: kept.verdict, compressed: kept.compressed, counted: true, ..answer })
    }

    /// The answer of that kind: the one that is kept, or what `render` makes.
    pub(super) fn answer(&self, kind: Kind, judged: &Judged<'_>, render: impl FnOnce() -> Answer) -> Answer {
        let basis = Basis::of(judged);
        self.get(kind, &basis, judged.now).unwrap_or_else(|| self.keep(kind, basis, judged.now, render()))
    }

    /// Keeps `answer`, which was rendered from `basis` at `now`.
    pub(super) fn keep(&self, kind: Kind, basis: Basis, now: Moment, answer: Answer) -> Answer {
        let Some(body) = answer.body.bytes().map(|body| self.under_way.counted(body.clone())) else { return answer };
        let rendering = Rendering {
            of: basis,
            at: now,
            code: answer.code,
            verdict: answer.verdict,
            content_type: answer.content_type,
            compressed: answer.compressed,
            body: body.clone(),
        };
        let replaced = self.kept[kind.place()].swap(Some(std::sync::Arc::new(rendering)));
        self.under_way.keeps(body.len(), replaced.map_or(0, |replaced| replaced.body.len()));
        Answer { body: Body::full(body), counted: true, ..answer }
    }
}
