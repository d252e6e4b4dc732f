//! How long an outage takes at most until its check is `error`, and what that time is made of.

use std::time::Duration;

use crate::model::index::CheckIndex;
use crate::model::plan::{Critical, Definition, Plan};
use crate::scheduler::beat_groups::BeatPlace;
use crate::scheduler::cadence::Cadence;

/// The time from the beginning of an outage to the state `error`, at most. All was well before it, and runs are shorter
/// than the interval then; no other target fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Until the last beat is looked at, where it is a file's: its age counts from then.
    pub until_look: Option<Duration>,
    /// For how long runs go on passing: on a connection that is older than the outage, or on an old beat.
    pub unseen: Duration,
    /// From then until the first run that fails begins.
    pub until_run: Duration,
    /// How many runs have to fail.
    pub failures: u32,
    /// From the start of the first failing run to the start of the last.
    pub between: Duration,
    /// How long the last failing run may take.
    pub timeout: Duration,
    /// How long the parents take to confirm the last failure; nothing where there are no parents.
    pub confirmation: Option<Duration>,
    /// All of it.
    pub total: Duration,
    /// The same until the first failure counts.
    pub first: Duration,
}

/// The budget of the check at `index`, for an outage of its target alone.
#[must_use]
pub fn until_error(plan: &Plan, index: CheckIndex) -> Budget {
    let check = &plan.checks[index];
    let failures = check.thresholds.failure.get();
    let mut parents: Vec<_> =
        check.depends_on.iter().map(|parent| ConfirmingParent::new(&plan.checks[*parent])).collect();
    let mut between = Duration::ZERO;
    let first = confirmation(&parents);
    let cadence = Cadence::new(check.interval, "", BeatPlace::default());
    // After a failure the app is looked at more often than at its interval, and then less and less: `gap` is from the
    // start of a run to the start of the next, and a run that takes longer than that is followed after `next`. The gap
    // begins to grow with the second of the quick runs.
    let mut gap = if check.watches_the_app() { cadence.first_gap() } else { check.interval };
    let mut next = gap;
    for failed in 1..failures {
        let busy = check.timeout + confirmation(&parents);
        let is_settled = gap >= check.interval;
        if failed > 1 && !is_settled {
            next = cadence.next_gap(gap, between.saturating_add(gap));
        }
        let cycle = if is_settled {
            beats(check.interval, busy)
        } else if busy < gap {
            gap
        } else {
            busy + next
        };
        between = between.saturating_add(cycle);
        let later: Vec<_> = parents.iter().map(|parent| parent.after_one_more(check, gap)).collect();
        gap = next;
        if is_settled && later == parents {
            // From here on every failure takes as long as this one.
            between = between.saturating_add(cycle.saturating_mul(failures - 1 - failed));
            break;
        }
        parents = later;
    }
    let confirmation = Some(confirmation(&parents)).filter(|_| !parents.is_empty());
    let unseen = check.max_connection_age.max(check.max_age);
    let until_look = Some(check.interval).filter(|_| !check.max_age.is_zero() && check.target.is_some());
    let until_run = check.interval;
    let parts = [until_look.unwrap_or_default(), unseen, until_run, between, check.timeout];
    let total = parts.into_iter().fold(confirmation.unwrap_or_default(), Duration::saturating_add);
    let parts = [until_look.unwrap_or_default(), unseen, until_run, check.timeout];
    let first = parts.into_iter().fold(first, Duration::saturating_add);
    Budget { until_look, unseen, until_run, failures, between, timeout: check.timeout, confirmation, total, first }
}

/// Whether `/readyz` closes at the first failure of the check that counts, and not at its threshold.
#[must_use]
pub fn closes_readiness_first(check: &Definition) -> bool {
    check.gates.live && check.critical == Critical::Yes
}

/// How long all parents take to pass once more.
fn confirmation(parents: &[ConfirmingParent<'_>]) -> Duration {
    parents.iter().map(|parent| parent.wait + parent.check.timeout).max().unwrap_or_default()
}

/// A parent that is asked to confirm a failure. It is probed at once, after the run that it may be in; beyond its
/// schedule only once per its interval, so that later failures in a row may have to wait.
#[derive(Clone, PartialEq)]
struct ConfirmingParent<'p> {
    check: &'p Definition,
    /// From the end of the failing run to the beginning of the parent's, at most.
    wait: Duration,
}

impl<'p> ConfirmingParent<'p> {
    fn new(check: &'p Definition) -> Self {
        Self { check, wait: check.timeout }
    }

    /// The same for the next failure in a row of `child`, whose runs follow each other after `gap`: at most an interval
    /// after the last time, or at its own beat.
    fn after_one_more(&self, child: &Definition, gap: Duration) -> Self {
        let allowed = (self.check.interval + child.timeout + self.wait).saturating_sub(gap);
        let next_beat = beats(self.check.interval, self.check.timeout);
        Self { check: self.check, wait: allowed.max(self.check.timeout).min(next_beat) }
    }
}

/// From the start of a run that takes `busy` to the start of the next: a run that overruns skips to the next beat.
fn beats(interval: Duration, busy: Duration) -> Duration {
    let overrun = busy.as_nanos() / interval.as_nanos().max(1);
    interval.saturating_mul(u32::try_from(overrun + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::base::clock::Moment;
    use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
    use crate::model::plan::testing::{check, indices, plan};
    use crate::model::plan::{Gates, Thresholds};
    use crate::model::state::State;
    use crate::scheduler::machine::Machine;
    use crate::simulation::playback::{Playback, reading};

    fn failing_after(failures: u32, interval: u64, timeout: u64) -> Definition {
        let thresholds =
            Thresholds { failure: NonZeroU32::new(failures).unwrap(), success: NonZeroU32::new(1).unwrap() };
        let millis = Duration::from_millis;
        Definition {
            thresholds,
            interval: millis(interval),
            timeout: millis(timeout),
            stale_after: millis(1 << 30),
            ..check("x")
        }
    }

    fn total(checks: Vec<Definition>, index: usize) -> u128 {
        until_error(&plan(checks), CheckIndex::new(index)).total.as_millis()
    }

    #[test]
    fn thresholds_intervals_and_timeouts_add_up() {
        assert_eq!(total(vec![failing_after(1, 10_000, 2_000)], 0), 12_000);
        assert_eq!(total(vec![failing_after(3, 10_000, 2_000)], 0), 32_000);
        assert_eq!(total(vec![failing_after(3, 10_000, 10_000)], 0), 60_000, "each run skips a beat");
        assert_eq!(total(vec![failing_after(2, 1_000, 2_500)], 0), 6_500);
    }

    #[test]
    fn runs_of_the_app_that_take_longer_than_the_gap_between_them_are_followed_after_the_next_gap() {
        let gates = Gates { live: true, ready: true, startup: false };
        let app = |timeout| Definition { gates, of_pod: true, ..failing_after(4, 16_641, timeout) };
        assert_eq!(total(vec![app(1_889)], 0), 16_641 + (1_889 + 1_000) + (1_889 + 1_500) + (1_889 + 2_250) + 1_889);
        assert_eq!(total(vec![app(900)], 0), 16_641 + 1_000 + 1_000 + 1_500 + 900);
    }

    #[test]
    fn each_failure_behind_a_parent_waits_for_its_confirmation() {
        let behind = |definition: Definition| Definition { depends_on: indices(&[0]), ..definition };
        let checks = |failures| vec![failing_after(1, 5_000, 1_000), behind(failing_after(failures, 10_000, 2_000))];
        assert_eq!(total(checks(1), 1), 10_000 + 2_000 + 1_000 + 1_000);
        assert_eq!(total(checks(3), 1), 10_000 + 2 * 10_000 + 2_000 + 1_000 + 1_000);
    }

    #[test]
    fn a_parent_that_may_not_be_asked_so_often_makes_later_failures_wait() {
        let behind = |definition: Definition| Definition { depends_on: indices(&[0]), ..definition };
        let checks = vec![failing_after(1, 10_000, 2_000), behind(failing_after(3, 10_000, 2_000))];
        let budget = until_error(&plan(checks), CheckIndex::new(1));
        assert_eq!((budget.between.as_secs(), budget.confirmation), (20, Some(Duration::from_secs(8))));
    }

    #[test]
    fn an_old_beat_and_an_old_connection_hide_an_outage_for_as_long_as_they_may_live() {
        let beats = |target: Option<&str>| Definition {
            max_age: Duration::from_secs(30),
            target: target.map(str::to_owned),
            ..failing_after(1, 10_000, 2_000)
        };
        assert_eq!(total(vec![beats(None)], 0), 30_000 + 10_000 + 2_000);
        assert_eq!(total(vec![beats(Some("/run/app/alive"))], 0), 10_000 + 30_000 + 10_000 + 2_000);
        let kept = Definition { max_connection_age: Duration::from_secs(60), ..failing_after(2, 10_000, 2_000) };
        assert_eq!(total(vec![kept], 0), 60_000 + 2 * 10_000 + 2_000);
    }

    #[test]
    fn a_huge_threshold_is_added_up_at_once() {
        let behind = Definition { depends_on: indices(&[0]), ..failing_after(1_000_000, 10_000, 2_000) };
        let budget = until_error(&plan(vec![failing_after(1, 10_000, 2_000), behind]), CheckIndex::new(1));
        assert_eq!(budget.between.as_secs() / 1_000_000, 19);
    }

    /// How long after `from` the check at the end of the plan is `error`, when its target fails from then on. `takes`
    /// tells how long a failing run of it takes and a passing one of the others, by the number of the run.
    fn played(
        checks: Vec<Definition>,
        from: Duration,
        pod: &str,
        takes: impl Fn(CheckIndex, u64) -> Duration,
    ) -> Duration {
        let last = CheckIndex::new(checks.len() - 1);
        let start = reading(Moment::default());
        let from = Moment::at(from);
        let mut runs = 0;
        let world = |index: CheckIndex, at: Moment| -> (ProbeResult, Duration) {
            runs += 1;
            match (index == last, at >= from) {
                (true, true) => (Err(Failure::new(FailureKind::Connect, "down")), takes(index, runs)),
                (true, false) => (Ok(Pass::default()), Duration::from_millis(10)),
                (false, _) => (Ok(Pass::default()), takes(index, runs)),
            }
        };
        let mut playback = Playback::new(Machine::new(plan(checks), pod, start), world, start.moment);
        let mut closed = None;
        playback.play_until(from + Duration::from_secs(1_000), |snapshot| {
            if snapshot.checks[last].state == State::Error {
                closed.get_or_insert(snapshot.at);
            }
        });
        closed.expect("a check that fails becomes an error").since(from)
    }

    #[test]
    fn the_budget_of_a_check_without_parents_is_reached_and_not_just_a_bound() {
        let checks = || vec![failing_after(3, 7_000, 2_000)];
        let took = |tenth: u64| {
            let from = Duration::from_millis(100_000 + 100 * tenth);
            played(checks(), from, "pod", |_, _| Duration::MAX)
        };
        let longest = (0..70).map(took).max().unwrap_or_default();
        let budget = until_error(&plan(checks()), CheckIndex::new(0)).total;
        assert!(longest <= budget && longest + Duration::from_millis(100) >= budget);
    }

    /// How long after `from` a check is `error` when only new connections fail from then on.
    fn played_on_kept_connections(check: &Definition, from: Moment, pod: &str) -> Duration {
        let start = reading(Moment::default());
        let (age, mut made) = (check.max_connection_age, None);
        let world = |_: CheckIndex, at: Moment| -> (ProbeResult, Duration) {
            let kept = made.is_some_and(|made| at.since(made) < age);
            if kept || at < from {
                made = if kept { made } else { Some(at) };
                return (Ok(Pass::default()), Duration::from_millis(10));
            }
            made = None;
            (Err(Failure::new(FailureKind::Connect, "no connection left")), Duration::MAX)
        };
        let mut playback = Playback::new(Machine::new(plan(vec![check.clone()]), pod, start), world, start.moment);
        let mut closed = None;
        playback.play_until(from + Duration::from_secs(1_000), |snapshot| {
            if snapshot.checks[0].state == State::Error {
                closed.get_or_insert(snapshot.at);
            }
        });
        closed.expect("a check that fails becomes an error").since(from)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 600, ..Default::default() })]

        #[test]
        fn what_only_new_connections_see_takes_no_longer_than_the_budget(
            failures in 1u32..=4, interval in 500u64..20_000, timeout in 100u64..30_000, age in 0u64..120_000,
            from in 70_000u64..200_000, pod in 0u32..1000,
        ) {
            let max_connection_age = Duration::from_millis(age);
            let check = Definition { max_connection_age, ..failing_after(failures, interval, timeout) };
            let budget = until_error(&plan(vec![check.clone()]), CheckIndex::new(0)).total;
            let from = Moment::at(Duration::from_millis(from));
            let took = played_on_kept_connections(&check, from, &format!("pod-{pod}"));
            assert!(took <= budget, "{took:?} > {budget:?}");
        }

        #[test]
        fn no_outage_takes_longer_than_its_budget(
            failures in 1u32..=4, interval in 500u64..20_000, timeout in 100u64..30_000,
            parents in proptest::collection::vec((500u64..20_000, 100u64..30_000), 0..3),
            from in 70_000u64..120_000, pod in 0u32..1000, chance in proptest::prelude::any::<u64>(),
            of_pod in proptest::prelude::any::<bool>(),
        ) {
            let mut checks: Vec<_> =
                parents.iter().map(|(interval, timeout)| failing_after(1, *interval, *timeout)).collect();
            let gates = Gates { live: of_pod, ready: true, startup: false };
            let depends_on = CheckIndex::first(checks.len()).collect();
            checks.push(Definition { depends_on, gates, of_pod, ..failing_after(failures, interval, timeout) });
            let budget = until_error(&plan(checks.clone()), CheckIndex::new(checks.len() - 1)).total;
            let takes = |check: CheckIndex, run: u64| {
                let quick = chance.rotate_left(u32::try_from(run % 64).unwrap_or_default()) % 3 == 0;
                match parents.get(check.get()) {
                    _ if quick => Duration::from_millis(5),
                    // All is well with a parent: it is shorter than its interval and its timeout.
                    Some((interval, timeout)) => Duration::from_millis(interval.min(timeout) - 1),
                    None => Duration::MAX,
                }
            };
            let took = played(checks, Duration::from_millis(from), &format!("pod-{pod}"), takes);
            assert!(took <= budget, "{took:?} > {budget:?}");
        }
    }
}
