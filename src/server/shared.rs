//! What all connections of a server share beside the app.

use std::sync::Arc;

use super::answer_memory::AnswerMemory;
use super::gate_cache::GateCache;
use super::grpc::ServingChanges;
use super::http2::streams::FurtherStreams;
use super::long_answers::LongAnswers;
use super::narrowed::NarrowedSnapshot;
use super::renderings::Renderings;
use super::stream::Streams;
use super::turns::Turns;

/// The streams, what has been rendered, where that is done, and whose turn it is.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) renderings: Renderings,
    /// How the gates stand.
    pub(super) gates: GateCache,
    /// And for those who may learn no more than that.
    pub(super) narrow_gates: GateCache,
    /// What those are answered from.
    pub(super) narrowed: NarrowedSnapshot,
    /// Tells those who watch by gRPC that something serves differently.
    pub(super) serving: ServingChanges,
    /// The streams of HTTP/2 that count like connections.
    pub(super) further_streams: FurtherStreams,
    /// Where long answers are made.
    pub(super) long: LongAnswers,
    /// For long answers.
    pub(super) turns: Turns,
    /// For what the history is asked about every check, which may wait for a disk.
    pub(super) past: Turns,
    /// For single questions to it.
    pub(super) lookups: Turns,
    /// The memory of long answers.
    pub(super) under_way: AnswerMemory,
}

/// Answers of the history that are made at a time: each may be long.
const LOOKUPS: usize = 4;

impl Default for Shared {
    fn default() -> Self {
        Self::new(&LongAnswers::default())
    }
}

impl Shared {
    /// Nothing yet; long answers are made by `long`.
    pub(super) fn new(long: &LongAnswers) -> Self {
        // One for all that is sent.
        let under_way = AnswerMemory::default();
        Self {
            streams: Arc::new(Streams::new(long.clone(), under_way.clone())),
            renderings: Renderings::new(under_way.clone()),
            gates: GateCache::default(),
            narrow_gates: GateCache::default(),
            narrowed: NarrowedSnapshot::default(),
            serving: ServingChanges::default(),
            further_streams: FurtherStreams::default(),
            long: long.clone(),
            turns: Turns::default(),
            past: Turns::default(),
            lookups: Turns::of(LOOKUPS),
            under_way,
        }
    }
}
