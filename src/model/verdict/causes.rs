//! From which failing checks trouble follows.

use super::judged::{Standing, locked};
use super::{Endpoint, Judged};
use crate::model::causes::Trouble;
use crate::model::index::{CheckIndex, CheckSet};

/// The checks that keep an endpoint closed, each list in the order of the file. Where none of them waits for parents, their
/// own states tell the root causes, however many there are.
#[derive(Debug, Default)]
pub(super) struct Closure {
    pub(super) closing: Vec<CheckIndex>,
    /// Those of them that fail by themselves.
    failing: Vec<CheckIndex>,
    /// Those of them that are still to have a result.
    pending: Vec<CheckIndex>,
    /// One of them waits, and has parents.
    has_parents: bool,
}

impl Closure {
    pub(super) fn add(&mut self, standing: &Standing<'_>, judged: &Judged<'_>) {
        self.closing.push(standing.index);
        if judged.is_a_cause(standing) {
            self.failing.push(standing.index);
        } else if standing.waits() && !standing.definition.depends_on.is_empty() {
            self.has_parents = true;
        } else if standing.is_pending() {
            self.pending.push(standing.index);
        }
    }
}

impl Judged<'_> {
    /// The failing checks, in the order of the file: from them all other failures and skips follow.
    #[must_use]
    pub fn root_causes(&self) -> Vec<CheckIndex> {
        self.unsettled().filter(|index| self.is_failing(&self.standing(*index))).collect()
    }

    /// The failing checks from which the trouble of the check at `index` follows: itself, or ancestors of it, the first
    /// [`MAX_CAUSES`](crate::model::causes::MAX_CAUSES) in the order of the file.
    #[must_use]
    pub fn causes_of(&self, index: CheckIndex) -> Vec<CheckIndex> {
        let trouble = |at: CheckIndex| {
            let standing = self.standing(at);
            match (self.is_failing(&standing), standing.waits()) {
                (true, _) => Trouble::Own,
                (false, true) => Trouble::OfParents,
                (false, false) => Trouble::None,
            }
        };
        let parents = |at: CheckIndex| &self.definition(at).depends_on[..];
        locked(&self.of_parents().causes).find(index, trouble, parents).to_vec()
    }

    /// The root causes of a closed `endpoint`, in the order of the file.
    pub(super) fn causes_of_closure(&self, closure: &mut Closure, endpoint: Endpoint) -> Vec<CheckIndex> {
        if !closure.has_parents {
            let failing = std::mem::take(&mut closure.failing);
            return if failing.is_empty() { std::mem::take(&mut closure.pending) } else { failing };
        }
        let (behind_critical, others): (Vec<_>, Vec<_>) =
            closure.closing.iter().partition(|check| self.is_behind_critical(**check, endpoint));
        let is_a_cause = |standing: &Standing<'_>| self.is_a_cause(standing);
        let mut causes = self.walk_up(&behind_critical, is_a_cause);
        causes.retain(|cause| self.closes_for(endpoint, &closure.closing, *cause));
        causes.extend(self.walk_up(&others, is_a_cause));
        if causes.is_empty() {
            causes = self.walk_up(&closure.closing, |standing| {
                let mut parents = standing.definition.depends_on.iter();
                standing.is_pending() && !parents.any(|parent| self.standing(*parent).is_pending())
            });
        }
        causes.sort_unstable();
        causes.dedup();
        causes
    }

    /// Those of [`causes_of`](Self::causes_of) without which `endpoint`, which the check closes, would be open: behind a
    /// database and a cache that is not critical, both down, the check closes it for the database alone.
    #[must_use]
    pub fn causes_of_closing(&self, check: CheckIndex, endpoint: Endpoint) -> Vec<CheckIndex> {
        let mut causes = self.causes_of(check);
        if self.is_behind_critical(check, endpoint) {
            causes.retain(|cause| self.closes_for(endpoint, &[check], *cause));
        }
        causes
    }

    /// Whether `cause` keeps `endpoint`, which those in `closing` close, closed where one that is critical does as well.
    fn closes_for(&self, endpoint: Endpoint, closing: &[CheckIndex], cause: CheckIndex) -> bool {
        closing.binary_search(&cause).is_ok() || self.is_critical(cause, endpoint)
    }

    /// Whether the check fails by itself.
    fn is_a_cause(&self, standing: &Standing<'_>) -> bool {
        self.is_failing(standing) || self.falters(standing)
    }

    /// Whether the check at `index` waits, directly or through others that wait, for a failing check that is critical for
    /// `endpoint`.
    pub(super) fn is_behind_critical(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        let own = |at: CheckIndex| {
            let standing = self.standing(at);
            (!standing.waits()).then(|| self.is_failing(&standing) && self.is_critical_in(&standing, endpoint))
        };
        locked(&self.of_parents().behind[endpoint as usize]).has(index, own, |at| &self.definition(at).depends_on)
    }

    /// Collects what `is_cause` accepts, from each of `checks` upwards along `depends_on`, through skipped and pending
    /// checks.
    fn walk_up(&self, checks: &[CheckIndex], is_cause: impl Fn(&Standing<'_>) -> bool) -> Vec<CheckIndex> {
        let (mut seen, mut left, mut causes) = (CheckSet::default(), Vec::new(), Vec::new());
        for check in checks {
            left.push(*check);
            while let Some(at) = left.pop() {
                if !seen.insert(at) {
                    continue;
                }
                let standing = self.standing(at);
                if is_cause(&standing) {
                    causes.push(at);
                } else if standing.waits() {
                    left.extend(&standing.definition.depends_on);
                }
            }
        }
        causes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::inherited::Inherited;
    use super::*;
    use crate::model::plan::Definition;
    use crate::model::plan::testing::{check, indices};
    use crate::model::snapshot::Snapshot;
    use crate::model::state::State;
    use crate::model::verdict::JudgedState;
    use crate::model::verdict::testing::{NOW, after, behind, chain, gating, optional, snapshot, verdicts};

    #[test]
    fn the_root_cause_is_named_and_what_follows_is_not() {
        let checks = vec![
            (behind(gating("shop", "r"), &[1]), "-"),
            (behind(gating("api", "r"), &[2, 3]), "-"),
            (gating("db", "r"), "f"),
            (gating("mq", "r"), "p"),
        ];
        let snapshot = snapshot(checks);
        let judged = Judged::new(&snapshot, NOW);
        assert_eq!((judged.root_causes(), judged.causes_of(CheckIndex::new(0))), (indices(&[2]), indices(&[2])));
        let readyz = judged.endpoint(Endpoint::Readyz);
        assert_eq!(readyz.root_causes, [2]);
        assert_eq!(readyz.closing, [0, 1, 2]);
    }

    #[test]
    fn a_cause_without_which_it_were_closed_all_the_same_is_none_of_the_endpoint() {
        let parents = |cache: Definition, db: Definition| {
            snapshot(vec![(cache, "f"), (db, "f"), (behind(gating("orders", "r"), &[0, 1]), "-")])
        };
        let root_causes = |snapshot: &Snapshot| Judged::new(snapshot, NOW).endpoint(Endpoint::Readyz).root_causes;
        assert_eq!(root_causes(&parents(optional("cache", "r"), gating("db", "r"))), [1]);
        assert_eq!(root_causes(&parents(optional("cache", "r"), gating("db", ""))), [1]);
        assert_eq!(root_causes(&parents(gating("cache", ""), gating("db", "r"))), [0, 1]);
        // Each keeps one closed that has to start yet.
        let starting = |parent: usize| (behind(gating("app", "s"), &[parent]), "-");
        let mut checks = vec![(optional("cache", "r"), "f"), (gating("db", "r"), "f"), starting(0), starting(1)];
        let of_the_start = |checks| Judged::new(&snapshot(checks), NOW).endpoint(Endpoint::Startupz).root_causes;
        assert_eq!(of_the_start(checks.clone()), [0, 1]);
        checks[3].0.depends_on = indices(&[0, 1]);
        assert_eq!(of_the_start(checks), [0, 1]);
        let of_the_check = parents(optional("cache", "r"), gating("db", "r"));
        assert_eq!(Judged::new(&of_the_check, NOW).causes_of(CheckIndex::new(2)), [0, 1], "it waits for both");
    }

    #[test]
    fn where_nothing_fails_the_pending_ones_are_the_cause() {
        let checks = vec![(behind(gating("api", "r"), &[1]), ""), (gating("db", "r"), "")];
        let snapshot = snapshot(checks);
        let judged = Judged::new(&snapshot, NOW);
        assert_eq!(judged.endpoint(Endpoint::Readyz).root_causes, [1]);
        assert_eq!(judged.root_causes(), Vec::<CheckIndex>::new());
    }

    #[test]
    fn what_waits_for_a_critical_cause_is_found_as_by_asking_each_check() {
        let checks = vec![
            (check("db"), "pf"),
            (optional("cache", "r"), "pf"),
            (behind(check("orders"), &[0]), "p-"),
            (behind(check("hints"), &[1]), "p-"),
            (behind(check("page"), &[3, 2]), "p-"),
            (behind(check("new"), &[2]), ""),
            (behind(check("newer"), &[5]), "p-"),
            (check("well"), "p"),
        ];
        let snapshot = snapshot(checks);
        for excluded in [vec![], indices(&[0]), indices(&[2])] {
            let judged = Judged::excluding(&snapshot, NOW, excluded);
            for endpoint in Endpoint::ALL {
                for index in judged.indices().filter(|index| judged.standing(*index).waits()) {
                    let causes = judged.causes_of(index);
                    let expected = causes.into_iter().any(|cause| judged.is_critical(cause, endpoint));
                    assert_eq!(judged.is_behind_critical(index, endpoint), expected, "{index:?} {endpoint:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_asked_of_one_of_thousands_is_found_without_a_look_at_the_others() {
        let pairs = (0..2000usize).flat_map(|pair| {
            let app = behind(gating(&format!("app{pair}"), "r"), &[2 * pair]);
            [(gating(&format!("db{pair}"), "r"), "pf"), (app, "p-")]
        });
        let mut snapshot = snapshot(pairs.collect());
        for index in [1, 3] {
            Arc::make_mut(&mut snapshot.checks[index]).held = true;
        }
        let judged = Judged::new(&snapshot, NOW);
        let last = CheckIndex::new(3999);
        assert_eq!(judged.causes_of(last), [3998]);
        assert!(judged.closes(&judged.standing(last), Endpoint::Readyz));
        assert_eq!(judged.state(CheckIndex::new(3)), JudgedState::Fresh(State::Skipped));
        assert!(judged.of_parents().causes.lock().unwrap().steps() < 10);
        let looks = |found: &Mutex<Inherited>| found.lock().unwrap().looks();
        let behind = judged.of_parents().behind.iter().map(looks).sum::<usize>();
        assert_eq!((behind, looks(&judged.of_parents().held_and_stale)), (2, 2));
    }

    #[test]
    fn the_longest_chain_is_judged_without_exhausting_the_stack_or_patience() {
        let length = 20_000;
        let skipped = chain(length, "p-");
        assert_eq!(verdicts(&skipped), "o-d-");
        let judged = Judged::new(&skipped, NOW);
        assert_eq!(judged.endpoint(Endpoint::Readyz).root_causes, [length - 1]);
        assert_eq!(judged.causes_of(CheckIndex::new(0)), [length - 1]);
        // All of them wait for the last one, whose result is too old.
        let mut held = chain(length, "p");
        for index in CheckIndex::first(length) {
            Arc::make_mut(&mut held.checks[index]).held = true;
        }
        held.checks[length - 1] = after(&check("last"), "!p");
        assert_eq!(Judged::new(&held, NOW).state(CheckIndex::new(0)), JudgedState::Stale);
    }
}
