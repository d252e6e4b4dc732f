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

/// So many are kept, of all checks together: of failures and their ends, and of what else follows from them, each.
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

impl PastChange {
    /// Whether the check began or ceased to fail by itself. Hundreds may wait behind it and push out none of these.
    fn is_of_a_failure(&self) -> bool {
        [self.from, self.to].contains(&State::Error)
    }

    /// Whether both are told as one.
    fn is_told_with(&self, other: &Self) -> bool {
        let told = |change: &Self| (change.at.whole_seconds(), change.from, change.to);
        told(self) == told(other)
    }
}

/// The last changes, oldest first. Each is shared with the list before: while thousands of checks begin, every publication
/// has one more.
#[derive(Clone, Debug, Default)]
pub struct PastChanges {
    all: Arc<VecDeque<Arc<PastChange>>>,
    /// So many of them are of a failure.
    of_failures: usize,
}

impl PastChanges {
    fn push(&mut self, next: PastChange) {
        self.make_room(&next);
        self.of_failures += usize::from(next.is_of_a_failure());
        Arc::make_mut(&mut self.all).push_back(Arc::new(next));
    }

    /// Lets go of the oldest changes of the kind of `next` where there is no room for one more. What is told as one goes as a
    /// whole, so that whoever counts it counts right; what goes on with `next` goes one by one.
    fn make_room(&mut self, next: &PastChange) {
        let is_of_a_failure = next.is_of_a_failure();
        let alike = if is_of_a_failure { self.of_failures } else { self.all.len() - self.of_failures };
        let place = self.all.iter().position(|change| change.is_of_a_failure() == is_of_a_failure);
        let Some(place) = place.filter(|_| alike >= MOST) else { return };
        let all = Arc::make_mut(&mut self.all);
        let (before, oldest) = (all.len(), Arc::clone(&all[place]));
        if oldest.is_told_with(next) {
            all.remove(place);
        } else {
            all.retain(|change| !change.is_told_with(&oldest));
        }
        if is_of_a_failure {
            self.of_failures -= before - all.len();
        }
    }

    /// Adds what has changed from `before` to `after`; whether anything has.
    pub(super) fn add(&mut self, before: &Snapshot, after: &Snapshot) -> bool {
        let mut is_news = false;
        let same_plan = Arc::ptr_eq(&before.plan, &after.plan);
        let judged = Judged::new(after, after.at);
        let old = |index: CheckIndex| {
            let check = &after.plan.checks[index];
            let of_name = |name: &CheckName| before.plan.checks.position_near(name.as_str(), index);
            let before_reload = || of_name(&check.name).or_else(|| of_name(after.plan.former_name(check)?));
            let place = if same_plan { Some(index) } else { before_reload() };
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
            self.push(change);
            is_news = true;
        }
        is_news
    }

    /// The wall clock was set by so many microseconds: they are dated as if it had always been right. Whether that changes
    /// anything.
    pub(super) fn redate(&mut self, by: i64) -> bool {
        if by == 0 || self.all.is_empty() {
            return false;
        }
        for change in Arc::make_mut(&mut self.all) {
            let change = Arc::make_mut(change);
            change.at = change.at.moved(by);
        }
        true
    }

    /// Those of `check`, and of its `former` name, oldest first.
    pub fn of<'a>(
        &'a self,
        check: &'a CheckName,
        former: Option<&'a CheckName>,
    ) -> impl Iterator<Item = &'a PastChange> {
        let is_of = move |change: &&PastChange| change.check == *check || Some(&change.check) == former;
        self.all.iter().map(|change| &**change).filter(is_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Moment, Reading};
    use crate::model::plan::testing::{self, check, indices, plan};
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
            changes.of(&app, None).map(|change| (change.from, change.to, &*change.reason, change.lasted)).collect();
        assert_eq!(told, [(State::Ok, State::Skipped, "waits for db", Duration::from_secs(30))]);
        let renamed = Definition { formerly: Some(app.clone()), ..check("shop") };
        let next = testing::plan(vec![check("db"), renamed.clone()]);
        let mut with_the_rename = changes.clone();
        assert!(with_the_rename.add(&ill, &snapshot(&next, 50, [State::Error, State::Pending])));
        let told = with_the_rename.of(&renamed.name, next.former_name(&renamed));
        assert_eq!(told.map(|change| change.to).collect::<Vec<_>>(), [State::Skipped, State::Pending]);
        for _ in 0..MOST {
            assert!(changes.add(&well, &ill));
        }
        assert_eq!(changes.all.len(), 2 * MOST, "of failures, and of what waits for them");
    }

    #[test]
    fn what_waits_behind_a_failure_pushes_it_out_never_and_leaves_as_a_whole() {
        let plan = plan(vec![check("db"), Definition { depends_on: indices(&[0]), ..check("app") }]);
        let mut changes = PastChanges::default();
        let at = |seconds, states| snapshot(&plan, seconds, states);
        changes.add(&at(10, [State::Ok; 2]), &at(20, [State::Error, State::Skipped]));
        for _ in 0..MOST / 2 {
            changes.add(&at(20, [State::Error, State::Skipped]), &at(30, [State::Error, State::Pending]));
        }
        for _ in 0..MOST / 2 {
            changes.add(&at(30, [State::Error, State::Pending]), &at(31, [State::Error, State::Ok]));
        }
        let told = |to: State| changes.all.iter().filter(|change| change.to == to).count();
        let counts = [State::Error, State::Skipped, State::Pending, State::Ok].map(told);
        assert_eq!(counts, [1, 0, MOST / 2, MOST / 2]);
        // One more, and none of those that began to wait with the first is left.
        changes.add(&at(31, [State::Error, State::Ok]), &at(40, [State::Error, State::Skipped]));
        let told = |to: State| changes.all.iter().filter(|change| change.to == to).count();
        assert_eq!([State::Error, State::Skipped, State::Pending].map(told), [1, 1, 0]);
    }
}
