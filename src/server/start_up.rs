//! Kubelet's questions about `/startupz`, and the start-up that one of them has begun until the scheduler has published
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::App;
use crate::base::clock::{Moment, Reading};
use crate::model::snapshot::Snapshot;
use crate::model::start_up::{ContainerNews, StartupzTracker};

/// What kubelet's questions have begun. It is asked by many at a time and takes no lock.
#[derive(Debug)]
pub struct StartUps {
    /// [`StartupzTracker`], as bits.
    asks: AtomicU64,
    /// When the start-up began that was last asked for, in nanoseconds on the boot clock.
    wanted: AtomicU64,
}

impl StartUps {
    /// No question yet, beside a daemon that starts at `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { asks: AtomicU64::new(StartupzTracker::since(now).to_bits()), wanted: AtomicU64::new(0) }
    }

    /// The daemon has taken over a start-up that had opened before it began: the next question tells of a new
    /// container.
    pub fn taken_over(&self) {
        self.asks.store(StartupzTracker::after_a_restart().to_bits(), Ordering::Relaxed);
    }

    /// Kubelet asks at `now`: what that tells of the app's container.
    pub(super) fn asked(&self, now: Moment, snapshot: &Snapshot) -> ContainerNews {
        let opened = snapshot.start_up.opened && self.awaited(snapshot).is_none();
        let mut news = ContainerNews::None;
        let next = |bits| {
            let mut asks = StartupzTracker::from_bits(bits);
            news = asks.asked(now, opened);
            Some(asks.to_bits())
        };
        let _ = self.asks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if news == ContainerNews::StartUp {
            self.wanted.store(nanos(now), Ordering::Relaxed);
        }
        news
    }

    /// The snapshot as it stands once the start-up that was asked for is in it.
    pub(super) fn applied_to(&self, snapshot: Arc<Snapshot>, now: Reading) -> Arc<Snapshot> {
        match self.awaited(&snapshot) {
            None => snapshot,
            Some(began) => Arc::new(snapshot.starting_anew(Reading { moment: began, ..now })),
        }
    }

    /// When the start-up began that the scheduler has not published yet.
    fn awaited(&self, snapshot: &Snapshot) -> Option<Moment> {
        let wanted = self.wanted.load(Ordering::Relaxed);
        (wanted > nanos(snapshot.start_up.began)).then(|| Moment::at(Duration::from_nanos(wanted)))
    }
}

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_boot().as_nanos()).unwrap_or(u64::MAX)
}

/// What is answered from: the snapshot with the start-up and the drain that were asked for, also where they are not
/// published yet. The end of a drain has to be published: whoever closes early does no harm.
pub(super) fn latest(app: &App, reading: Reading) -> Arc<Snapshot> {
    as_wanted(app.board.latest(), app, reading)
}

/// The same of a snapshot that has just been looked at.
pub(super) fn as_wanted(published: Arc<Snapshot>, app: &App, reading: Reading) -> Arc<Snapshot> {
    let snapshot = app.start_ups.applied_to(published, reading);
    if app.control.wants_drain() && !snapshot.draining {
        return Arc::new(Snapshot { draining: true, ..(*snapshot).clone() });
    }
    snapshot
}
