//! The published snapshot: one [`Recorder`] that replaces it, any number of [`Board`]s that read it without waiting.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::model::snapshot::Snapshot;

/// The one writer. It cannot be cloned.
#[derive(Debug)]
pub struct Recorder {
    published: Arc<ArcSwap<Snapshot>>,
    generation: watch::Sender<u64>,
}

/// A reader: the latest snapshot at once, and word of each new one.
#[derive(Clone, Debug)]
pub struct Board {
    published: Arc<ArcSwap<Snapshot>>,
    generation: watch::Receiver<u64>,
}

/// Publishes `first` and returns the writer and a reader of it.
#[must_use]
pub fn board(first: Snapshot) -> (Recorder, Board) {
    let (sender, receiver) = watch::channel(first.generation);
    let published = Arc::new(ArcSwap::from_pointee(first));
    (Recorder { published: Arc::clone(&published), generation: sender }, Board { published, generation: receiver })
}

impl Recorder {
    /// The snapshot as it stands.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// Replaces the snapshot whole; its generation becomes one more than that of the last.
    pub fn publish(&mut self, mut next: Snapshot) {
        next.generation = self.published.load().generation + 1;
        let generation = next.generation;
        self.published.store(Arc::new(next));
        self.generation.send_replace(generation);
    }
}

impl Board {
    /// The latest snapshot. It never waits for the writer.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// Waits until a snapshot is published that [`latest`](Self::latest) has not been called for through this method,
    /// and returns it; nothing when the writer is gone.
    pub async fn next(&mut self) -> Option<Arc<Snapshot>> {
        self.generation.changed().await.ok()?;
        Some(self.latest())
    }
}
