//! The snapshot as it is told to those who may learn no more than the verdict, made once for all of them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::model::plan::{Details, Plan};
use crate::model::snapshot::Snapshot;

/// The last one that was made.
#[derive(Debug, Default)]
pub(super) struct NarrowedSnapshot(ArcSwapOption<NarrowedPair>);

#[derive(Debug)]
struct NarrowedPair {
    whole: Arc<Snapshot>,
    narrow: Arc<Snapshot>,
}

impl NarrowedSnapshot {
    /// `snapshot` as with `details: none`.
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> Arc<Snapshot> {
        if snapshot.plan.answers.details == Details::None {
            return Arc::clone(snapshot);
        }
        let kept = self.0.load();
        if let Some(pair) = kept.as_ref().filter(|pair| Arc::ptr_eq(&pair.whole, snapshot)) {
            return Arc::clone(&pair.narrow);
        }
        let plan = match kept.as_ref().filter(|pair| Arc::ptr_eq(&pair.whole.plan, &snapshot.plan)) {
            Some(pair) => Arc::clone(&pair.narrow.plan),
            None => {
                let mut plan = Plan::clone(&snapshot.plan);
                plan.answers.details = Details::None;
                Arc::new(plan)
            }
        };
        let narrow = Arc::new(Snapshot { plan, ..(**snapshot).clone() });
        self.0.store(Some(Arc::new(NarrowedPair { whole: Arc::clone(snapshot), narrow: Arc::clone(&narrow) })));
        narrow
    }
}
