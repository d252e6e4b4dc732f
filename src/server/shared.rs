//! What all connections of a server share beside the app.

use std::sync::Arc;

use super::renderings::Renderings;
use super::stream::Streams;
use super::turns::Turns;
use super::under_way::UnderWay;

/// The streams, what has been rendered, and whose turn it is.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) renderings: Renderings,
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
            turns: Turns::default(),
            past: Turns::default(),
            lookups: Turns::of(LOOKUPS),
            under_way,
        }
    }
}
