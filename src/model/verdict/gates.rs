//! Which endpoints are open: what each check closes, by what it gates, how critical it is and how it stands.

use super::{Endpoint, EndpointPart, Judged, JudgedState, Judgement, Verdict};
use crate::model::index::CheckIndex;
use crate::model::state::{Closed, State};

impl Judged<'_> {
    /// Judges one endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> Judgement {
        let mut parts = Vec::with_capacity(self.len());
        let by_first_runs = self.starts_by_first_runs();
        let mut degraded = false;
        for index in self.indices() {
            let takes_part = self.takes_part(index, endpoint, by_first_runs);
            let excluded = self.is_excluded(index);
            let closes = !excluded && self.closes(index, endpoint, by_first_runs);
            if takes_part || closes {
                parts.push(EndpointPart { check: index, closes, excluded });
                degraded |= takes_part && self.status(index) != Verdict::Ok;
            }
        }
        let no_plan = self.snapshot.configuration.missing.is_some();
        let drains = matches!(endpoint, Endpoint::Readyz | Endpoint::Healthz);
        let draining = drains && self.snapshot.draining;
        let closed = draining || (drains && no_plan) || parts.iter().any(|part| part.closes);
        let open = !closed;
        let verdict = match (open, degraded) {
            (false, _) => Verdict::Error,
            (true, true) => Verdict::Degraded,
            (true, false) => Verdict::Ok,
        };
        let root_causes = self.causes_of_closure(&parts);
        Judgement { endpoint, open, verdict, parts, root_causes, draining }
    }

    /// Judges one endpoint by the check at `index` alone.
    #[must_use]
    pub fn endpoint_for(&self, endpoint: Endpoint, index: CheckIndex) -> EndpointPart {
        let by_first_runs = self.starts_by_first_runs();
        let excluded = self.is_excluded(index);
        EndpointPart { check: index, closes: !excluded && self.closes(index, endpoint, by_first_runs), excluded }
    }

    /// Whether `/alive` says true: `/livez` is open, and every critical check that gates `live` or `startup` has
    /// passed once or is skipped.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let started = self.indices().all(|index| {
            let gates = self.definition(index).gates;
            let check = self.check(index);
            !(gates.live || gates.startup)
                || !self.is_critical(index, Endpoint::Startupz)
                || check.passed_once
                || check.state == State::Skipped
        });
        started && self.endpoint(Endpoint::Livez).open
    }

    /// Whether the check at `index` takes part in `endpoint`.
    #[must_use]
    pub fn gates(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        self.takes_part(index, endpoint, self.starts_by_first_runs())
    }

    /// Which endpoints the check at `index` keeps closed, for a reload that changes it.
    #[must_use]
    pub fn closed_by(&self, index: CheckIndex) -> Closed {
        let by_first_runs = self.starts_by_first_runs();
        Closed::by(|endpoint| self.closes(index, endpoint, by_first_runs))
    }

    /// What each skipped check keeps closed, by position; nothing for the others.
    #[must_use]
    pub fn closed_by_skips(&self) -> Vec<Option<Closed>> {
        let is_skipped = |index: CheckIndex| self.check(index).state == State::Skipped;
        self.indices().map(|index| is_skipped(index).then(|| self.closed_by(index))).collect()
    }

    fn closes(&self, index: CheckIndex, endpoint: Endpoint, by_first_runs: bool) -> bool {
        let (gates, state, check) = (self.definition(index).gates, self.states[index], self.check(index));
        // What most checks are most of the time.
        let passes = matches!(state, JudgedState::Fresh(State::Ok | State::Degraded));
        if passes && check.passed_once && check.seen_once && check.failures == 0 {
            return false;
        }
        // Through /livez or /startupz a check closes /readyz by their rules, and under their probation.
        if endpoint == Endpoint::Readyz
            && (self.closes(index, Endpoint::Livez, by_first_runs)
                || self.closes(index, Endpoint::Startupz, by_first_runs))
        {
            return true;
        }
        // Readiness has no threshold for the app itself, and no container gets traffic for what another one did.
        if endpoint == Endpoint::Readyz && (self.falters(index) || self.is_unproven(index)) {
            return true;
        }
        if !self.takes_part(index, endpoint, by_first_runs) || !self.is_critical(index, endpoint) {
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
                (gates.live && !passes && !excused)
                    || (gates.startup && !check.passed_once)
                    || (by_first_runs && gates.ready && !check.seen_once)
            }
            Endpoint::Readyz => self.is_down(index, endpoint),
            Endpoint::Healthz => gates.any() && self.is_down(index, endpoint),
        }
    }

    fn takes_part(&self, index: CheckIndex, endpoint: Endpoint, by_first_runs: bool) -> bool {
        let gates = self.definition(index).gates;
        match endpoint {
            Endpoint::Livez => gates.live,
            Endpoint::Readyz => gates.ready,
            Endpoint::Startupz => gates.live || gates.startup || (by_first_runs && gates.ready),
            Endpoint::Healthz => true,
        }
    }

    /// Where no check gates `live` or `startup`, the start-up is over once every `ready` check has been seen.
    fn starts_by_first_runs(&self) -> bool {
        !self.snapshot.plan.checks.iter().any(|check| check.gates.live || check.gates.startup)
    }

    /// Whether the check is in a state that closes; a skipped one counts as its root causes do.
    fn is_down(&self, index: CheckIndex, endpoint: Endpoint) -> bool {
        match self.states[index] {
            JudgedState::Fresh(State::Ok | State::Degraded) => false,
            JudgedState::Fresh(State::Error | State::Pending) | JudgedState::Stale => true,
            JudgedState::Fresh(State::Skipped) => {
                self.behind[endpoint as usize].get_or_init(|| self.behind_critical(endpoint))[index]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::plan::testing::check;
    use crate::model::snapshot::{Configuration, Snapshot};
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
        let readyz = Judged::excluding(&snapshot, NOW, vec![CheckIndex::new(0)]).endpoint(Endpoint::Readyz);
        assert_eq!((readyz.open, readyz.verdict), (true, Verdict::Degraded));
        assert!(readyz.parts[0].excluded && !readyz.parts[1].closes);
    }

    #[test]
    fn a_check_on_probation_closes_only_what_its_old_definition_closed() {
        let mut on_probation = snapshot(vec![(gating("x", "rl"), "f")]);
        let with =
            |closed| Arc::new(CheckState { probation: Some(closed), ..(*after(&gating("x", "rl"), "f")).clone() });
        on_probation.checks = vec![with(Closed::default())];
        assert_eq!(verdicts(&on_probation), "dddd");
        on_probation.checks = vec![with(Closed { readyz: true, ..Closed::default() })];
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
