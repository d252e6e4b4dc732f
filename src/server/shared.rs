//! What all connections of a server share beside the app.

use std::sync::Arc;

use super::renderings::Renderings;
use super::stream::Streams;
use super::turns::Turns;

/// The streams, what has been rendered, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) renderings: Renderings,
    /// For long answers.
    pub(super) turns: Turns,
    /// For what the history is asked about every check, which may wait for a disk.
    pub(super) past: Turns,
}
