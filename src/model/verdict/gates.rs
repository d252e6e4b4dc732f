//! Which endpoints are open: what each check closes, by what it gates, how critical it is and how it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use super::causes::Closure;
use super::judged::Standing;
use super::{Endpoint, EndpointPart, Judged, JudgedState, Judgement, Verdict};
use crate::model::index::CheckIndex;
use crate::model::snapshot::Snapshot;
use crate::model::state::{Closed, State};

/// An app that has started may take so long until it is ready.
const WARM_UP: Duration = Duration::from_secs(30);

impl Judged<'_> {
    /// Judges one endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> Judgement {
        let mut closure = Closure::default();
        let mut degraded = false;
        for index in self.unsettled_of(endpoint) {
            let standing = self.standing(index);
            if !self.is_excluded(index) && self.closes(&standing, endpoint) {
                closure.add(&standing, self);
            }
            // What is closed is so whatever else there is.
            degraded = degraded || closure.closing.is_empty() && self.degrades(&standing, endpoint);
        }
        let root_causes = self.causes_of_closure(&mut closure, endpoint);
        let closing = closure.closing;
        let open = !self.is_closed_by_itself(endpoint) && closing.is_empty();
        let verdict = match (open, degraded) {
            (false, _) => Verdict::Error,
            (true, true) => Verdict::Degraded,
            (true, false) => Verdict::Ok,
        };
        Judgement { endpoint, open, verdict, closing, root_causes, draining: self.drains(endpoint) }
    }

    /// Whether `endpoint` is open: as [`endpoint`](Self::endpoint) says, and no more than that.
    #[must_use]
    pub fn is_open(&self, endpoint: Endpoint) -> bool {
        let closes = |index: CheckIndex| !self.is_excluded(index) && self.closes(&self.standing(index), endpoint);
        !self.is_closed_by_itself(endpoint) && !self.unsettled_closing(endpoint, CheckIndex::new(0)).any(closes)
    }

    /// Whether `endpoint`, which is open, is degraded: as [`endpoint`](Self::endpoint) says, and no more than that.
    #[must_use]
    pub fn is_degraded(&self, endpoint: Endpoint) -> bool {
        self.unsettled_of(endpoint).any(|index| self.degrades(&self.standing(index), endpoint))
    }

    /// The checks that may close `endpoint`: first those that stand near `from` or behind it, then those before them.
    pub(super) fn unsettled_closing(
        &self,
        endpoint: Endpoint,
        from: CheckIndex,
    ) -> impl Iterator<Item = CheckIndex> + '_ {
        let checks = &self.snapshot.plan.checks;
        let among = match endpoint {
            Endpoint::Livez => checks.gating_live(),
            Endpoint::Readyz | Endpoint::Startupz | Endpoint::Healthz => checks.closing(),
        };
        self.snapshot.checks.unsettled_round(self.now, Some(among), from)
    }

    /// The checks that take part in the endpoint of `judgement`, or keep it closed as that says, in the order of the
    /// file.
    #[must_use]
    pub fn parts(&self, judgement: &Judgement) -> Vec<EndpointPart> {
        let mut closing = judgement.closing.iter().copied().peekable();
        let part = |check: CheckIndex| {
            let closes = closing.next_if_eq(&check).is_some();
            let is_part = closes || self.takes_part(check, judgement.endpoint);
            is_part.then(|| EndpointPart { check, closes, excluded: self.is_excluded(check) })
        };
        self.indices().filter_map(part).collect()
    }

    /// The checks that take part in `endpoint` and are anything but settled, in the order of the file.
    pub fn unsettled_parts(&self, endpoint: Endpoint) -> impl Iterator<Item = CheckIndex> + '_ {
        self.unsettled_of(endpoint).filter(move |index| self.takes_part(*index, endpoint))
    }

    /// The checks that `endpoint` may be judged by, in the order of the file.
    fn unsettled_of(&self, endpoint: Endpoint) -> impl Iterator<Item = CheckIndex> + '_ {
        let checks = &self.snapshot.plan.checks;
        let among = match endpoint {
            Endpoint::Livez => Some(checks.gating_live()),
            Endpoint::Startupz if !self.starts_by_first_runs() => Some(checks.gating_the_app()),
            Endpoint::Startupz | Endpoint::Readyz | Endpoint::Healthz => None,
        };
        self.snapshot.checks.unsettled(self.now, among)
    }

    /// Whether a drain keeps `endpoint` closed.
    fn drains(&self, endpoint: Endpoint) -> bool {
        matches!(endpoint, Endpoint::Readyz | Endpoint::Healthz) && self.snapshot.draining
    }

    /// Whether `endpoint` is closed whatever the checks say.
    pub(super) fn is_closed_by_itself(&self, endpoint: Endpoint) -> bool {
        let no_plan = self.snapshot.configuration.missing.is_some();
        self.drains(endpoint) || (no_plan && matches!(endpoint, Endpoint::Readyz | Endpoint::Healthz))
    }

    /// Judges one endpoint by the check at `index` alone.
    #[must_use]
    pub fn endpoint_for(&self, endpoint: Endpoint, index: CheckIndex) -> EndpointPart {
        let excluded = self.is_excluded(index);
        EndpointPart { check: index, closes: !excluded && self.closes(&self.standing(index), endpoint), excluded }
    }

    /// Whether `/alive` says true: `/livez` is open, and every critical check that gates `live` or `startup` has
    /// passed once or is skipped.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let has_started = |index: CheckIndex| {
            let check = self.check(index);
            !self.is_critical(index, Endpoint::Startupz) || check.passed_once || check.state == State::Skipped
        };
        let of_the_app = Some(self.snapshot.plan.checks.gating_the_app());
        let started = self.snapshot.checks.unsettled(self.now, of_the_app).all(has_started);
        started && self.is_open(Endpoint::Livez)
    }

    /// Whether the check at `index` takes part in `endpoint`.
    #[must_use]
    pub fn gates(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        self.takes_part(index, endpoint)
    }

    /// Which endpoints the check at `index` keeps closed, for a reload that changes it.
    #[must_use]
    pub fn closed_by(&self, index: CheckIndex) -> Closed {
        let standing = self.standing(index);
        Closed::by(|endpoint| self.closes(&standing, endpoint))
    }

    /// What each skipped check keeps closed.
    #[must_use]
    pub fn closed_by_skips(&self) -> BTreeMap<CheckIndex, Closed> {
        let skipped = self.unsettled().filter(|index| self.check(*index).state == State::Skipped);
        skipped.map(|index| (index, self.closed_by(index))).collect()
    }

    /// The same of those that wait for the check at `index`, directly or through others.
    #[must_use]
    pub fn closed_by_skips_behind(&self, index: CheckIndex) -> BTreeMap<CheckIndex, Closed> {
        let (mut left, mut closed) = (vec![index], BTreeMap::new());
        while let Some(at) = left.pop() {
            for child in self.snapshot.plan.checks.children(at) {
                if self.check(*child).state == State::Skipped && !closed.contains_key(child) {
                    closed.insert(*child, self.closed_by(*child));
                    left.push(*child);
                }
            }
        }
        closed
    }

    fn degrades(&self, standing: &Standing<'_>, endpoint: Endpoint) -> bool {
        let is_ok = self.is_excluded(standing.index) || standing.state.status() == Verdict::Ok;
        !is_ok && self.takes_part(standing.index, endpoint)
    }

    pub(super) fn closes(&self, standing: &Standing<'_>, endpoint: Endpoint) -> bool {
        let check = standing.check;
        // What most checks are most of the time.
        if standing.passes() && check.passed_once && check.seen_once && check.failures == 0 {
            return false;
        }
        // What most of the others are comes first.
        self.closes_by_its_rule(standing, endpoint)
            || endpoint == Endpoint::Readyz && self.closes_readyz_for_the_app(standing)
    }

    /// Through `/livez` or `/startupz` a check closes `/readyz` by their rules, and under their probation. Readiness has
    /// no threshold for the app itself, and no container gets traffic for what another one did.
    fn closes_readyz_for_the_app(&self, standing: &Standing<'_>) -> bool {
        self.falters(standing)
            || self.is_unproven(standing)
            || self.closes_by_its_rule(standing, Endpoint::Livez)
            || self.closes_by_its_rule(standing, Endpoint::Startupz)
    }

    /// By the rule of `endpoint` alone.
    fn closes_by_its_rule(&self, standing: &Standing<'_>, endpoint: Endpoint) -> bool {
        let Standing { index, check, definition, state } = *standing;
        let gates = definition.gates;
        if !self.takes_part(index, endpoint) || !self.is_critical_in(standing, endpoint) {
            return false;
        }
        match endpoint {
            // What has never passed in this start-up is starting still: kubelet's startup probe decides about that.
            Endpoint::Livez => {
                // What the old definition kept closed stays closed until the new one passes.
                check.probation.is_some_and(|closed| closed.livez)
                    || state == JudgedState::Fresh(State::Error) && (check.passed_once || self.should_have_started())
            }
            Endpoint::Startupz => {
                let excused = state == JudgedState::Fresh(State::Skipped) && check.seen_once;
                (gates.live && !standing.passes() && !excused)
                    || (gates.startup && !check.passed_once)
                    || (self.starts_by_first_runs() && gates.ready && !check.seen_once)
            }
            Endpoint::Readyz => self.is_down(standing, endpoint),
            Endpoint::Healthz => gates.any() && self.is_down(standing, endpoint),
        }
    }

    fn takes_part(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        let checks = &self.snapshot.plan.checks;
        match endpoint {
            Endpoint::Livez => checks.gating_live().contains(index),
            Endpoint::Readyz => checks.gating_ready().contains(index),
            Endpoint::Startupz => {
                checks.gating_the_app().contains(index)
                    || (self.starts_by_first_runs() && checks.gating_ready().contains(index))
            }
            Endpoint::Healthz => true,
        }
    }

    /// Whether what is closed is so for another reason than that the app is starting: it was ready before a restart of the
    /// sidecar, has started half a minute ago, or has had the time. Where no check tells of its start, first runs say
    /// nothing of it.
    #[must_use]
    pub fn is_past_the_start(&self) -> bool {
        let Snapshot { ready_once, start_up, endpoint_transitions, .. } = self.snapshot;
        let opened = endpoint_transitions[Endpoint::Startupz as usize].last.filter(|_| start_up.opened);
        let has_warmed_up = opened.is_some_and(|opened| self.now.since(opened.moment) >= WARM_UP);
        *ready_once || (has_warmed_up && !self.starts_by_first_runs()) || self.should_have_started()
    }

    /// Where no check gates `live` or `startup`, the start-up is over once every `ready` check has been seen.
    fn starts_by_first_runs(&self) -> bool {
        self.snapshot.plan.checks.gating_the_app().is_empty()
    }

    /// Whether the check is in a state that closes; a skipped one counts as its root causes do.
    fn is_down(&self, standing: &Standing<'_>, endpoint: Endpoint) -> bool {
        match standing.state {
            JudgedState::Fresh(State::Ok | State::Degraded) => false,
            JudgedState::Fresh(State::Error | State::Pending) | JudgedState::Stale => true,
            JudgedState::Fresh(State::Skipped) => self.is_behind_critical(standing.index, endpoint),
        }
    }
}

impl Standing<'_> {
    /// Whether its runs pass, and it is believed.
    const fn passes(&self) -> bool {
        matches!(self.state, JudgedState::Fresh(State::Ok | State::Degraded))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::{Reading, Timestamp};
    use crate::model::plan::testing::check;
    use crate::model::snapshot::Configuration;
    use crate::model::start_up::{LONGEST_START, StartUp};
    use crate::model::state::CheckState;
    use crate::model::verdict::testing::{NOW, after, at_startup, behind, gating, optional, snapshot, verdicts};

    #[test]
    fn one_check_closes_what_it_gates_by_its_criticality_and_state() {
        // gates, criticality, script → livez readyz startupz healthz
        let cases = [
            ("", "yes", "p", "oooo"),
            ("", "yes", "f", "oood"),
            ("", "yes", "", "oood"),
            ("r", "yes", "p", "oooo"),
            ("r", "yes", "d", "oddd"),
            ("r", "yes", "f", "o-d-"),
            ("r", "yes", "", "o---"),
            ("r", "yes", "!p", "o-d-"),
            ("r", "no", "f", "oddd"),
            ("r", "no", "", "oddd"),
            ("r", "startup", "f", "o-d-"),
            ("l", "yes", "p", "oooo"),
            ("l", "yes", "f", "d---"),
            ("l", "yes", "pf", "----"),
            ("l", "yes", "", "d---"),
            ("l", "yes", "!p", "d---"),
            ("l", "yes", "!f", "d---"),
            ("s", "yes", "p", "oooo"),
            ("s", "yes", "", "o---"),
            ("s", "yes", "f", "o---"),
            ("s", "yes", "pf", "ood-"),
            ("s", "yes", "!p", "ood-"),
            ("rl", "yes", "f", "d---"),
            ("rl", "yes", "pf", "----"),
            ("rls", "yes", "d", "dddd"),
        ];
        for (gates, critical, script, expected) in cases {
            let definition = match critical {
                "yes" => gating("x", gates),
                "no" => optional("x", gates),
                _ => at_startup("x", gates),
            };
            assert_eq!(verdicts(&snapshot(vec![(definition, script)])), expected, "{gates} {critical} {script}");
        }
    }

    #[test]
    fn what_has_never_passed_asks_for_no_restart_until_it_should_have_started() {
        let livez = |ago: Duration| {
            let start_up = StartUp { began: NOW - ago, opened: false };
            let starting = Snapshot { start_up, ..snapshot(vec![(gating("app", "l"), "f")]) };
            verdicts(&starting)[..1].to_owned()
        };
        assert_eq!(livez(LONGEST_START), "d");
        assert_eq!(livez(LONGEST_START + Duration::from_secs(1)), "-");
    }

    #[test]
    fn the_start_is_over_once_the_app_has_started_or_had_been_ready_or_the_time_is_up() {
        let past = |gates, ready_once, opened: Option<Duration>, ago| {
            let start_up = StartUp { began: NOW - ago, opened: opened.is_some() };
            let mut snapshot = Snapshot { ready_once, start_up, ..snapshot(vec![(gating("app", gates), "f")]) };
            let at = |opened| Reading { moment: NOW - opened, wall: Timestamp::default() };
            snapshot.endpoint_transitions[Endpoint::Startupz as usize].last = Some(at(opened.unwrap_or(ago)));
            Judged::new(&snapshot, NOW).is_past_the_start()
        };
        let warm = Some(WARM_UP);
        assert!(!past("r", false, warm, LONGEST_START), "a first run is no start");
        assert!(!past("lr", false, None, LONGEST_START));
        assert!(!past("lr", false, Some(WARM_UP - Duration::from_millis(1)), LONGEST_START), "it is about to be ready");
        assert!(past("lr", false, warm, WARM_UP));
        assert!(past("r", true, None, Duration::ZERO));
        assert!(past("r", false, None, LONGEST_START + Duration::from_secs(1)));
    }

    #[test]
    fn no_checks_leave_every_endpoint_open() {
        assert_eq!(verdicts(&snapshot(vec![])), "oooo");
    }

    #[test]
    fn a_drain_closes_readiness_and_health_and_a_missing_configuration_too() {
        let open = snapshot(vec![(check("x"), "p")]);
        assert_eq!(verdicts(&Snapshot { draining: true, ..open.clone() }), "o-o-");
        let configuration = Configuration { missing: Some("no file".into()), ..Configuration::default() };
        assert_eq!(verdicts(&Snapshot { configuration, ..open }), "o-o-");
    }

    #[test]
    fn a_skipped_check_closes_as_its_root_causes_do() {
        let child = || behind(gating("app", "r"), &[0]);
        let case =
            |parent, ready_once| verdicts(&Snapshot { ready_once, ..snapshot(vec![(parent, "f"), (child(), "-")]) });
        assert_eq!(case(gating("db", "r"), true), "o-d-", "a critical cause");
        assert_eq!(case(optional("db", "r"), true), "oddd", "a cause that is not critical");
        assert_eq!(case(at_startup("db", "r"), false), "o-d-", "at start-up");
        assert_eq!(case(at_startup("db", "r"), true), "oddd", "later");
        assert_eq!(case(gating("db", ""), true), "o-d-", "a critical cause that gates nothing itself");
    }

    #[test]
    fn a_live_check_behind_a_failing_parent_never_asks_for_a_restart() {
        let checks = vec![(gating("db", "r"), "f"), (behind(gating("app", "l"), &[0]), "p-")];
        assert_eq!(verdicts(&snapshot(checks)), "d-d-");
    }

    #[test]
    fn an_excluded_check_counts_as_ok_also_as_a_root_cause() {
        let checks = vec![(gating("db", "r"), "f"), (behind(gating("api", "r"), &[0]), "-")];
        let snapshot = snapshot(checks);
        let judged = Judged::excluding(&snapshot, NOW, vec![CheckIndex::new(0)]);
        let readyz = judged.endpoint(Endpoint::Readyz);
        assert_eq!((readyz.open, readyz.verdict), (true, Verdict::Degraded));
        assert!(readyz.closing.is_empty());
        let parts = judged.parts(&readyz);
        assert!(parts[0].excluded && !parts[1].closes);
    }

    #[test]
    fn a_check_on_probation_closes_only_what_its_old_definition_closed() {
        let mut on_probation = snapshot(vec![(gating("x", "rl"), "f")]);
        let with =
            |closed| Arc::new(CheckState { probation: Some(closed), ..(*after(&gating("x", "rl"), "f")).clone() });
        on_probation.checks = [with(Closed::default())].into_iter().collect();
        assert_eq!(verdicts(&on_probation), "dddd");
        on_probation.checks = [with(Closed { readyz: true, ..Closed::default() })].into_iter().collect();
        assert_eq!(verdicts(&on_probation), "d-dd");
    }

    #[test]
    fn alive_tells_the_start_up_phase_and_a_deadlock_from_a_lost_dependency() {
        let alive = |db, app| {
            let checks = vec![(gating("db", "r"), db), (behind(gating("app", "l"), &[0]), app)];
            Judged::new(&snapshot(checks), NOW).is_alive()
        };
        assert!(!alive("p", ""), "starting up");
        assert!(alive("p", "p"));
        assert!(!alive("p", "pf"), "deadlock");
        assert!(alive("f", "p-"), "the database is away");
        assert!(alive("f", "-"), "and has been from the start");
    }
}
