//! What is told of a run: a report of each step, and the outcome of the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::quantity::show_duration;
use crate::model::outcome::{Facts, Failure, Pass, ProbeResult, StepReport, one_line};
use crate::model::state::State;
use crate::workflow::plan::StepPlan;

/// The reports of a run, by the positions of their steps.
pub(super) struct StepReports<'a> {
    plan: &'a StepPlan,
    reports: BTreeMap<usize, StepReport>,
    failures: BTreeMap<usize, Failure>,
    /// Holds only what is told of the whole; the steps are added at the end.
    facts: Facts,
}

impl<'a> StepReports<'a> {
    /// No reports yet, for a run of `plan`.
    pub(super) fn of(plan: &'a StepPlan) -> Self {
        Self { plan, reports: BTreeMap::new(), failures: BTreeMap::new(), facts: Facts::default() }
    }

    /// Notes that `step` was skipped because of `root`.
    pub(super) fn skipped(&mut self, step: usize, root: usize) {
        let message = format!("Skipped: {} failed", self.name(root));
        self.report(step, State::Skipped, &message, None);
    }

    /// Notes how `step` ended after `took`. The answer of a pass is dropped: it may hold anything.
    pub(super) fn ended(&mut self, step: usize, took: Duration, result: ProbeResult) {
        match result {
            Ok(Pass { message, degraded, facts, .. }) => {
                let state = if degraded { State::Degraded } else { State::Ok };
                let message = message.unwrap_or_else(|| format!("{} OK ({})", self.name(step), show_duration(took)));
                self.learn(&facts);
                self.report(step, state, &message, Some(took));
            }
            Err(failure) => {
                self.learn(&failure.facts);
                self.report(step, State::Error, &failure.message, Some(took));
                self.failures.insert(step, failure);
            }
        }
    }

    /// The outcome of the whole: that of the first step of the file that failed, one with a verdict before one without; else
    /// a pass, with the message of the first that is degraded.
    pub(super) fn conclude(mut self) -> ProbeResult {
        let rank = |(step, failure): (&usize, &Failure)| {
            let (is_void, is_behind) = (failure.kind.is_void(), self.is_behind_a_void(*step));
            (!is_void && is_behind, is_void, *step)
        };
        let first = self.failures.iter().map(rank).min();
        match first.and_then(|(.., step)| self.failures.remove_entry(&step)) {
            Some((step, failure)) => Err(self.fail(step, failure)),
            None => Ok(self.pass()),
        }
    }

    /// Whether a step that `step` needs has no verdict. One that is `always` runs all the same, and may fail by that alone.
    fn is_behind_a_void(&self, step: usize) -> bool {
        let steps = self.plan.steps();
        let (mut above, mut seen) = (steps[step].needs.clone(), BTreeSet::new());
        while let Some(need) = above.pop() {
            if self.failures.get(&need).is_some_and(|failure| failure.kind.is_void()) {
                return true;
            }
            if seen.insert(need) {
                above.extend(&steps[need].needs);
            }
        }
        false
    }

    fn fail(self, step: usize, failure: Failure) -> Failure {
        let name = self.name(step);
        let mut told = Failure::new(failure.kind, format!("{name}: {}", failure.message));
        if let Some(detail) = failure.detail {
            told = told.with_detail(format!("{name}: {detail}"));
        }
        Failure { facts: self.into_facts(), ..told }
    }

    fn pass(self) -> Pass {
        let worry = self.reports.values().find(|report| report.state == State::Degraded);
        let message = match worry {
            Some(report) => one_line(&format!("{}: {}", report.name, report.message)),
            None => "Workflow executed successfully".into(),
        };
        Pass { degraded: worry.is_some(), facts: self.into_facts(), ..Pass::saying(message) }
    }

    fn into_facts(self) -> Facts {
        Facts { steps: self.reports.into_values().collect(), ..self.facts }
    }

    fn name(&self, step: usize) -> &'a str {
        &self.plan.steps()[step].name
    }

    fn report(&mut self, step: usize, state: State, message: &str, took: Option<Duration>) {
        let message = one_line(message);
        self.reports.insert(step, StepReport { name: self.name(step).to_owned(), state, message, took });
    }

    /// Of the certificates that steps were shown, the one that ends first counts.
    fn learn(&mut self, facts: &Facts) {
        self.facts.tls_not_after = self.facts.tls_not_after.into_iter().chain(facts.tls_not_after).min();
    }
}
