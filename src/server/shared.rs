//! What all connections of a server share beside the app.

use std::sync::Arc;

use super::long::Long;
use super::renderings::Renderings;
use super::standing::Standings;
use super::stream::Streams;
use super::turns::Turns;
use super::under_way::UnderWay;

/// The streams, what has been rendered, where that is done, and whose turn it is.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) renderings: Renderings,
    /// How the gates stand.
    pub(super) standings: Standings,
    /// Where long answers are made.
    pub(super) long: Long,
    /// For long answers.
    pub(super) turns: Turns,
    /// For what the history is asked about every check, which may wait for a disk.
    pub(super) past: Turns,
    /// For single questions to it.
    pub(super) lookups: Turns,
    /// The memory of long answers.
    pub(super) under_way: UnderWay,
}

/// Answers of the history that are made at a time: each may be long.
const LOOKUPS: usize = 4;

impl Default for Shared {
    fn default() -> Self {
        let under_way = UnderWay::default();
        Self {
            streams: Arc::default(),
            renderings: Renderings::new(under_way.clone()),
            standings: Standings::default(),
            long: Long::default(),
            turns: Turns::default(),
            past: Turns::default(),
            lookups: Turns::of(LOOKUPS),
            under_way,
        }
    }
}

impl Shared {
    /// Nothing yet; long answers are made by `long`.
    pub(super) fn new(long: &Long) -> Self {
        let streams = Arc::new(Streams::new(long.clone()));
        Self { streams, long: long.clone(), ..Self::default() }
    }
}
