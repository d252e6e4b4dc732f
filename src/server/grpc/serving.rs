//! What serves: one task looks after publications whether anything serves differently, and wakes all who watch only
//! then: 200 of them cost nothing while nothing changes. They are told what it saw; who begins to watch looks for all.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use super::HealthService;
use crate::base::grpc::ServingStatus;
use crate::model::index::CheckSet;
use crate::model::plan::Plan;
use crate::server::App;
use crate::server::gate_cache::{GATES, GateCache, place};
use crate::server::start_up::latest;

/// How often to look whether a result has become too old, which nobody publishes.
const LOOK: Duration = Duration::from_secs(1);
/// From one look to the next while more is published: gates are answered meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// Tells those who watch that something serves differently.
#[derive(Debug, Default)]
pub(in crate::server) struct ServingChanges {
    news: Arc<Notify>,
    /// What all who watch go by.
    seen: Mutex<Option<Arc<Serving>>>,
    /// Somebody watches.
    watched: Notify,
    looks: Notify,
    ends: AtomicBool,
    /// So often it was looked.
    #[cfg(test)]
    looked: std::sync::atomic::AtomicUsize,
}

/// What serves.
#[derive(Debug)]
pub(super) struct Serving {
    plan: Arc<Plan>,
    gates: [bool; GATES.len()],
    /// The checks that do not.
    downs: Arc<CheckSet>,
}

impl Serving {
    fn now(app: &App, gates: &GateCache) -> Self {
        let reading = app.clock.read();
        let snapshot = latest(app, reading);
        Self {
            plan: Arc::clone(&snapshot.plan),
            gates: GATES.map(|gate| gates.is_open(gate, &snapshot, reading)),
            downs: gates.downs(&snapshot, reading),
        }
    }

    /// Whether `service` serves; nothing where there is none, or where `names` may not be told.
    pub(super) fn status(&self, service: &HealthService, names: bool) -> Option<ServingStatus> {
        let is_up = |name: &str| Some(!self.downs.contains(self.plan.position(name)?));
        service.status_by(names, |gate| self.gates[place(gate)], is_up)
    }

    fn is_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan) && (self.gates, &self.downs) == (other.gates, &other.downs)
    }
}

impl ServingChanges {
    /// Tells of changes, from the first who watches on until the writer of the snapshot is gone.
    pub(in crate::server) async fn follow(&self, app: &App, gates: &GateCache) {
        let mut board = app.board.clone();
        self.watched.notified().await;
        let mut looked = None;
        loop {
            // Each who watches holds it too.
            if Arc::strong_count(&self.news) == 1 {
                self.watched.notified().await;
            }
            tokio::select! {
                published = board.next() => if published.is_none() { return },
                () = self.looks.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(looked) = looked {
                tokio::time::sleep_until(looked + PAUSE).await;
                board.skip_to_latest();
            }
            looked = Some(Instant::now());
            #[cfg(test)]
            self.looked.fetch_add(1, Ordering::Relaxed);
            let _ = self.see(app, gates);
        }
    }

    /// What serves now; all who watch are told where that is not what was seen last.
    pub(super) fn see(&self, app: &App, gates: &GateCache) -> Arc<Serving> {
        // Nobody else looks meanwhile: what is seen last is the newest.
        let mut seen = self.seen();
        let now = Arc::new(Serving::now(app, gates));
        if seen.as_ref().is_none_or(|seen| !now.is_as(seen)) {
            *seen = Some(Arc::clone(&now));
            self.news.notify_waiters();
        }
        now
    }

    /// What was seen last.
    pub(super) fn last_seen(&self) -> Option<Arc<Serving>> {
        self.seen().clone()
    }

    fn seen(&self) -> MutexGuard<'_, Option<Arc<Serving>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may have changed that is not published yet.
    pub(in crate::server) fn look(&self) {
        self.looks.notify_one();
    }

    /// The server ends: so does whoever watches.
    pub(in crate::server) fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.news.notify_waiters();
    }

    /// Somebody begins to watch. Becomes ready when there is something new after this call.
    pub(super) fn subscribe(&self) -> Pin<Box<OwnedNotified>> {
        let news = self.news();
        self.watched.notify_one();
        news
    }

    /// Whether the server ends.
    pub(super) fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Becomes ready when there is something new after this call.
    pub(super) fn news(&self) -> Pin<Box<OwnedNotified>> {
        Box::pin(Arc::clone(&self.news).notified_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::metrics::testing::{error, ok, snapshot};
    use crate::model::index::CheckIndex;
    use crate::model::plan::testing::check;

    #[tokio::test(start_paused = true)]
    async fn of_a_thousand_publications_a_few_are_looked_at_and_the_last_within_50_ms() {
        let mut next = snapshot(vec![(check("db"), ok("fine"))]);
        let mut app = Arc::into_inner(crate::server::tests::app(&next).0).unwrap();
        let (mut recorder, board) = crate::store::board(next.clone());
        (app.board, app.clock) = (board, Clock::tokio());
        let (serving, gates) = (ServingChanges::default(), GateCache::default());
        let watching = async {
            let _watches = serving.subscribe();
            for _ in 0..1000 {
                Arc::make_mut(&mut next.checks[CheckIndex::new(0)]).passes += 1;
                recorder.publish(next.clone());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let looked = serving.looked.load(Ordering::Relaxed);
            assert!((2..=22).contains(&looked), "{looked}");
            let (news, published) = (serving.news(), Instant::now());
            next.checks[0] = Arc::new(error("refused"));
            recorder.publish(next);
            news.await;
            assert!(published.elapsed() <= PAUSE, "{:?}", published.elapsed());
        };
        tokio::select! {
            () = watching => {}
            () = serving.follow(&app, &gates) => panic!("the writer is there"),
        }
    }
}
