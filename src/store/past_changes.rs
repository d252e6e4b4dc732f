//! The last changes of the checks' states, each with its reason, for those who come when it is over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::name::CheckName;
use crate::model::index::CheckIndex;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::Judged;

/// So many are kept, of all checks together.
const MOST: usize = 200;

/// A check went from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastChange {
    /// The check.
    pub check: CheckName,
    /// When.
    pub at: Timestamp,
    /// The state it left.
    pub from: State,
    /// How long it had been in that.
    pub lasted: Duration,
    /// The state it entered.
    pub to: State,
    /// Why, in one line for everybody.
    pub reason: Arc<str>,
}

/// The last changes, oldest first. Each is shared with the list before: while thousands of checks begin, every publication
/// has one more.
#[derive(Clone, Debug, Default)]
pub struct PastChanges(Arc<VecDeque<Arc<PastChange>>>);

impl PastChanges {
    /// Adds what has changed from `before` to `after`; whether anything has.
    pub(super) fn add(&mut self, before: &Snapshot, after: &Snapshot) -> bool {
        let mut is_news = false;
        let same_plan = Arc::ptr_eq(&before.plan, &after.plan);
        let judged = Judged::new(after, after.at);
        let old = |index: CheckIndex| {
            let name = after.plan.checks[index].name.as_str();
            let place = if same_plan { Some(index) } else { before.plan.checks.position_near(name, index) };
            place.map(|place| &before.checks[place])
        };
        let changed: Vec<CheckIndex> =
            if same_plan { after.checks.changed_since(&before.checks).collect() } else { judged.indices().collect() };
        for index in changed {
            let now = &after.checks[index];
            let Some(before) = old(index).filter(|before| before.state != now.state) else { continue };
            let change = PastChange {
                check: after.plan.checks[index].name.clone(),
                at: now.since_wall,
                from: before.state,
                lasted: now.since.since(before.since),
                to: now.state,
                reason: judged.reason(index).into(),
            };
            let changes = Arc::make_mut(&mut self.0);
            if changes.len() == MOST {
                changes.pop_front();
            }
            changes.push_back(Arc::new(change));
            is_news = true;
        }
        is_news
    }

    /// The wall clock was set by so many microseconds: they are dated as if it had always been right. Whether that changes
    /// anything.
    pub(super) fn redate(&mut self, by: i64) -> bool {
        if by == 0 || self.0.is_empty() {
            return false;
        }
        for change in Arc::make_mut(&mut self.0) {
            let change = Arc::make_mut(change);
            change.at = change.at.moved(by);
        }
        true
    }

    /// Those of `check`, oldest first.
    pub fn of<'a>(&'a self, check: &'a CheckName) -> impl Iterator<Item = &'a PastChange> {
        self.0.iter().map(|change| &**change).filter(move |change| change.check == *check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Moment, Reading};
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Definition, Plan};
    use crate::model::snapshot::Configuration;
    use crate::model::start_up::StartUp;
    use crate::model::state::CheckState;

    /// `db` and what depends on it, in these states since so many seconds.
    fn snapshot(plan: &Arc<Plan>, seconds: u64, states: [State; 2]) -> Snapshot {
        let now = Reading {
            moment: Moment::at(Duration::from_secs(seconds)),
            wall: Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap()),
        };
        let state = |state| Arc::new(CheckState { state, ..CheckState::new(now) });
        Snapshot {
            generation: 1,
            at: now.moment,
            wall: now.wall,
            plan: Arc::clone(plan),
            checks: states.map(state).into_iter().collect(),
            draining: false,
            ready_once: false,
            start_up: StartUp::default(),
            configuration: Configuration::default(),
            endpoint_transitions: Default::default(),
        }
    }

    #[test]
    fn each_change_is_kept_with_its_reason_and_how_long_it_had_been_otherwise() {
        let plan = plan(vec![check("db"), Definition { depends_on: indices(&[0]), ..check("app") }]);
        let (well, ill) = (snapshot(&plan, 10, [State::Ok; 2]), snapshot(&plan, 40, [State::Error, State::Skipped]));
        let mut changes = PastChanges::default();
        assert!(!changes.add(&well, &well));
        assert!(changes.add(&well, &ill));
        let app = CheckName::new("app").unwrap();
        let told: Vec<_> =
            changes.of(&app).map(|change| (change.from, change.to, &*change.reason, change.lasted)).collect();
        assert_eq!(told, [(State::Ok, State::Skipped, "waits for db", Duration::from_secs(30))]);
        for _ in 0..MOST {
            assert!(changes.add(&well, &ill));
        }
        assert_eq!(changes.0.len(), MOST);
    }
}
