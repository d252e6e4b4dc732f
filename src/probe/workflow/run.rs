//! One run through the steps: acts on what [`Progress`] decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::reports::StepReports;
use super::step::{Carried, StepProbe, StepRun, Stopwatch};
use crate::model::outcome::{Failure, FailureKind, ProbeResult};
use crate::probe::{BoxFuture, Probe, RunContext};
use crate::workflow::plan::StepPlan;
use crate::workflow::progress::{Decision, Progress, StepResult};

/// The probe: goes through the steps of a plan.
pub(super) struct WorkflowProbe {
    plan: Arc<StepPlan>,
    step_probes: Vec<StepProbe>,
}

impl WorkflowProbe {
    /// The probe of `plan`, with one probe for each of its steps.
    pub(super) fn new(plan: Arc<StepPlan>, step_probes: Vec<StepProbe>) -> Self {
        Self { plan, step_probes }
    }
}

impl Probe for WorkflowProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let steps = self.plan.steps();
            let clock = Stopwatch { started: Instant::now(), budget: run.budget };
            let mut progress = Progress::new(&self.plan, run.budget);
            let mut carried = Carried::default();
            let mut reports = StepReports::of(&self.plan);
            loop {
                match progress.decide(clock.elapsed()) {
                    Decision::Done => return reports.conclude(),
                    Decision::Skip { step, root } => {
                        progress.settle(step, StepResult::Skipped { root });
                        reports.skipped(step, root);
                    }
                    Decision::Late { step } => {
                        progress.settle(step, StepResult::OutOfTime);
                        reports.ended(step, Duration::ZERO, Err(Failure::new(FailureKind::Timeout, "no time left")));
                    }
                    Decision::Run { step, until } => {
                        let span = StepRun { clock, began: clock.elapsed(), until, trace: &run.trace };
                        let (step_result, result) =
                            span.run(&steps[step], &mut self.step_probes[step], &mut carried).await;
                        if step_result != StepResult::Passed {
                            let kept = carried.kept_of(&steps[step], &self.step_probes[step]);
                            kept.for_each(|name| progress.salvage(step, name));
                        }
                        progress.settle(step, step_result);
                        reports.ended(step, span.took(), result);
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::quantity::show_duration;
    use crate::base::trace::Phase;
    use crate::model::outcome::{CapturedAnswer, Facts, Pass, StepReport};
    use crate::model::state::State;
    use crate::probe::capture::Capture;
    use crate::workflow::expression::Expression;
    use crate::workflow::plan::{Retry, StepDraft};
    use crate::workflow::progress::margin;

    const BUDGET: Duration = Duration::from_secs(30);

    /// What a scripted step does on each attempt, the last again and again.
    #[derive(Clone)]
    enum ScriptedAct {
        Pass(Pass),
        Fail(Failure),
        Hang(Phase),
    }

    /// Acts after a tenth of a second, and notes what it was given.
    struct ScriptedStep {
        acts: Vec<ScriptedAct>,
        seen: Arc<Mutex<Vec<String>>>,
    }

    impl Probe for ScriptedStep {
        fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
            Box::pin(async move {
                let token = run.captured.get("login", "token").unwrap_or("-");
                self.seen.lock().unwrap().push(format!("{token} {} {:?}", run.keeps_answer(), run.budget));
                let act = if self.acts.len() > 1 { self.acts.remove(0) } else { self.acts[0].clone() };
                if let ScriptedAct::Hang(phase) = act {
                    run.trace.enter(phase);
                    return std::future::pending().await;
                }
                sleep(Duration::from_millis(100)).await;
                match act {
                    ScriptedAct::Pass(pass) => Ok(pass),
                    ScriptedAct::Fail(failure) => Err(failure),
                    ScriptedAct::Hang(_) => unreachable!(),
                }
            })
        }
    }

    /// A workflow of scripted steps.
    #[derive(Default)]
    struct ScriptedWorkflow {
        drafts: Vec<StepDraft>,
        step_probes: Vec<StepProbe>,
        seen: Arc<Mutex<Vec<String>>>,
    }

    impl ScriptedWorkflow {
        fn step(mut self, name: &str, acts: impl Into<Vec<ScriptedAct>>) -> Self {
            self.drafts.push(StepDraft { name: name.into(), ..StepDraft::default() });
            let probe = Box::new(ScriptedStep { acts: acts.into(), seen: Arc::clone(&self.seen) });
            self.step_probes.push(StepProbe::new(probe, Arc::new([])));
            self
        }

        fn last(mut self, change: impl FnOnce(&mut StepDraft)) -> Self {
            change(self.drafts.last_mut().unwrap());
            self
        }

        fn always(self) -> Self {
            self.last(|draft| draft.always = true)
        }

        fn retry(self, attempts: u32, delay: u64) -> Self {
            let retry = Retry { attempts: NonZeroU32::new(attempts).unwrap(), delay: Duration::from_millis(delay) };
            self.last(|draft| draft.retry = retry)
        }

        fn captures(mut self, names: &[(&str, &str)]) -> Self {
            let captures = names.iter().map(|(name, expression)| Capture {
                name: (*name).into(),
                expression: Expression::parse(expression).unwrap(),
            });
            self.step_probes.last_mut().unwrap().captures = captures.collect();
            let names: Vec<String> = names.iter().map(|(name, _)| (*name).into()).collect();
            self.last(|draft| draft.captures = names)
        }

        fn uses(self, step: &str, name: &str) -> Self {
            self.last(|draft| draft.uses.push((step.into(), name.into())))
        }

        fn probe(self) -> WorkflowProbe {
            WorkflowProbe::new(Arc::new(StepPlan::new(&self.drafts).unwrap()), self.step_probes)
        }

        async fn run(self) -> ProbeResult {
            self.probe().observe(&RunContext { budget: BUDGET, ..RunContext::default() }).await
        }
    }

    fn ok() -> ScriptedAct {
        ScriptedAct::Pass(Pass::default())
    }

    fn answer(body: &str) -> ScriptedAct {
        let answer = CapturedAnswer { status: Some(200), body: body.into(), ..CapturedAnswer::default() };
        ScriptedAct::Pass(Pass { answer: Some(Box::new(answer)), ..Pass::default() })
    }

    /// An answer that is not as expected.
    fn unwanted(body: &str) -> ScriptedAct {
        let ScriptedAct::Pass(Pass { answer, .. }) = answer(body) else { unreachable!() };
        ScriptedAct::Fail(Failure { answer, ..Failure::new(FailureKind::Mismatch, "unwanted") })
    }

    fn refused() -> ScriptedAct {
        ScriptedAct::Fail(
            Failure::new(FailureKind::Connect, "connection refused").with_detail("refused (os error 111)"),
        )
    }

    fn hang() -> ScriptedAct {
        ScriptedAct::Hang(Phase::Answer)
    }

    /// The reports as lines.
    fn steps(facts: &Facts) -> Vec<String> {
        let line = |StepReport { name, state, message, took }: &StepReport| {
            let took = took.map_or_else(|| "-".into(), show_duration);
            format!("{name} {} {took}: {message}", state.label())
        };
        facts.steps.iter().map(line).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn steps_that_pass_make_a_workflow_that_passes() {
        let told = ScriptedAct::Pass(Pass::saying("Database is connected"));
        let pass = ScriptedWorkflow::default().step("login", [ok()]).step("row", [told]).run().await.unwrap();
        assert_eq!(pass.message.as_deref(), Some("Workflow executed successfully"));
        assert!(!pass.degraded);
        assert_eq!(steps(&pass.facts), ["login ok 100ms: login OK (100ms)", "row ok 100ms: Database is connected"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_step_fails_the_workflow_and_skips_what_is_behind_it() {
        let script =
            ScriptedWorkflow::default().step("login", [refused()]).step("order", [ok()]).step("bye", [ok()]).always();
        let failure = script.run().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Connect);
        assert_eq!(failure.message, "login: connection refused");
        assert_eq!(failure.detail.as_deref(), Some("login: refused (os error 111)"));
        assert_eq!(
            steps(&failure.facts),
            [
                "login error 100ms: connection refused",
                "order skipped -: Skipped: login failed",
                "bye ok 100ms: bye OK (100ms)"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_always_step_fails_the_workflow_too() {
        let failure =
            ScriptedWorkflow::default().step("a", [ok()]).step("bye", [refused()]).always().run().await.unwrap_err();
        assert_eq!(failure.message, "bye: connection refused");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_failures_the_first_of_the_file_is_told() {
        let script = ScriptedWorkflow::default()
            .step("a", [refused()])
            .last(|draft| draft.needs = Some(vec!["b".into()]))
            .step("b", [ok()])
            .last(|draft| draft.needs = Some(vec![]))
            .step("c", [ScriptedAct::Fail(Failure::new(FailureKind::Auth, "no"))])
            .last(|draft| draft.needs = Some(vec![]));
        let failure = script.run().await.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connect, "a: connection refused"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_with_a_verdict_is_told_before_one_without() {
        let void = || ScriptedAct::Fail(Failure::new(FailureKind::Void, "no beat yet"));
        let alone = |draft: &mut StepDraft| draft.needs = Some(vec![]);
        let script = ScriptedWorkflow::default().step("loop", [void()]).step("dead", [refused()]).last(alone);
        let failure = script.run().await.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connect, "dead: connection refused"));
        // What needs it may have failed by its absence.
        let script =
            ScriptedWorkflow::default().step("loop", [void()]).step("order", [ok()]).step("bye", [refused()]).always();
        let failure = script.run().await.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Void, "loop: no beat yet"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_step_is_named_and_leaves_time_to_clean_up() {
        let script =
            ScriptedWorkflow::default().step("login", [hang()]).step("order", [ok()]).step("bye", [ok()]).always();
        let failure = script.run().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Timeout);
        assert_eq!(failure.message, "login: timed out after 24s (waiting for the answer)");
        assert_eq!(
            steps(&failure.facts),
            [
                "login error 24s: timed out after 24s (waiting for the answer)",
                "order skipped -: Skipped: login failed",
                "bye ok 100ms: bye OK (100ms)"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_workflow_that_hangs_ends_before_its_budget() {
        let started = Instant::now();
        let failure = ScriptedWorkflow::default().step("a", [ok()]).step("b", [hang()]).run().await.unwrap_err();
        assert_eq!(started.elapsed(), BUDGET - margin(BUDGET));
        assert_eq!(failure.message, "b: timed out after 30s (waiting for the answer)");
        let script =
            ScriptedWorkflow::default().step("a", [ok()]).step("x", [hang()]).always().step("y", [hang()]).always();
        let started = Instant::now();
        let failure = script.run().await.unwrap_err();
        assert_eq!(started.elapsed(), BUDGET - margin(BUDGET));
        assert_eq!(failure.message, "x: timed out after 24s (waiting for the answer)");
        assert_eq!(steps(&failure.facts)[2], "y error 5.9s: timed out after 6s (waiting for the answer)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_without_time_says_so() {
        let mut probe = ScriptedWorkflow::default().step("a", [ok()]).step("b", [ok()]).probe();
        let failure = probe.observe(&RunContext { budget: Duration::ZERO, ..RunContext::default() }).await.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Timeout, "a: no time left"));
        assert_eq!(steps(&failure.facts), ["a error 0ms: no time left", "b skipped -: Skipped: a failed"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_tried_until_it_passes() {
        let script = ScriptedWorkflow::default().step("done", [refused(), refused(), ok()]).retry(10, 500);
        let seen = Arc::clone(&script.seen);
        let pass = script.run().await.unwrap();
        assert_eq!(steps(&pass.facts), ["done ok 1.3s: done OK (1.3s)"]);
        assert_eq!(*seen.lock().unwrap(), ["- false 29.95s", "- false 29.35s", "- false 28.75s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_tried_until_its_attempts_are_used_up() {
        let failure = ScriptedWorkflow::default().step("done", [refused()]).retry(3, 500).run().await.unwrap_err();
        assert_eq!(failure.message, "done: connection refused (after 3 attempts)");
        assert_eq!(failure.detail.as_deref(), Some("done: refused (os error 111)"));
        assert_eq!(steps(&failure.facts), ["done error 1.3s: connection refused (after 3 attempts)"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_tried_until_the_time_is_up() {
        let script =
            ScriptedWorkflow::default().step("done", [refused()]).retry(1000, 900).step("bye", [ok()]).always();
        let failure = script.run().await.unwrap_err();
        assert_eq!(failure.message, "done: connection refused (after 24 attempts)");
        let script = ScriptedWorkflow::default().step("done", [refused(), hang()]).retry(1000, 900);
        let failure = script.run().await.unwrap_err();
        assert_eq!(failure.message, "done: timed out after 30s (waiting for the answer)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_captured_value_reaches_the_steps_behind() {
        let login = [answer(r#"{"access_token":"hunter2"}"#)];
        let script = ScriptedWorkflow::default()
            .step("login", login)
            .captures(&[("token", "json:/access_token"), ("code", "status")])
            .step("order", [ok()])
            .uses("login", "token");
        let seen = Arc::clone(&script.seen);
        let mut probe = script.probe();
        let run = RunContext { budget: BUDGET, ..RunContext::default() };
        let pass = probe.observe(&run).await.unwrap();
        assert_eq!(pass.answer, None);
        assert_eq!(*seen.lock().unwrap(), ["- true 29.95s", "hunter2 false 29.85s"]);
        assert!(!format!("{pass:?}").contains("hunter2"));
        // The next run starts with nothing.
        probe.observe(&run).await.unwrap();
        assert_eq!(seen.lock().unwrap()[2], "- true 29.95s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_capture_that_finds_nothing_fails_its_step() {
        let script = |act| {
            ScriptedWorkflow::default()
                .step("login", [act])
                .captures(&[("code", "status"), ("token", "json:/token")])
                .step("bye", [ok()])
                .uses("login", "code")
                .always()
                .step("revoke", [ok()])
                .uses("login", "token")
                .always()
        };
        let failure = script(answer("{}")).run().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Mismatch);
        assert_eq!(failure.message, "login: capture token: the answer has nothing there");
        let behind = ["bye ok 100ms: bye OK (100ms)", "revoke skipped -: Skipped: login failed"];
        assert_eq!(steps(&failure.facts)[1..], behind);
        let failure = script(ok()).run().await.unwrap_err();
        assert_eq!(failure.message, "login: capture code: this kind of step gives no answer to capture from");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_failing_step_captured_is_for_always_steps_alone() {
        for acts in [vec![unwanted(r#"{"token":"hunter2"}"#)], vec![unwanted(r#"{"token":"hunter2"}"#), refused()]] {
            let script = ScriptedWorkflow::default()
                .step("login", acts)
                .captures(&[("token", "json:/token")])
                .retry(2, 0)
                .step("order", [ok()])
                .uses("login", "token")
                .step("bye", [ok()])
                .uses("login", "token")
                .always();
            let seen = Arc::clone(&script.seen);
            let failure = script.run().await.unwrap_err();
            assert_eq!(
                steps(&failure.facts)[1..],
                ["order skipped -: Skipped: login failed", "bye ok 100ms: bye OK (100ms)"]
            );
            assert_eq!((failure.answer, seen.lock().unwrap().len()), (None, 3));
            assert!(seen.lock().unwrap()[2].starts_with("hunter2 false"), "{seen:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_capture_that_finds_nothing_is_tried_again() {
        let script = ScriptedWorkflow::default()
            .step("poll", [answer("{}"), answer(r#"{"id":7}"#)])
            .captures(&[("id", "json:/id")])
            .retry(2, 0);
        assert_eq!(steps(&script.run().await.unwrap().facts), ["poll ok 200ms: poll OK (200ms)"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_degraded_step_makes_the_workflow_degraded() {
        let certificate = |message: &str, ends| Pass {
            degraded: true,
            facts: Facts { tls_not_after: Some(Timestamp::from_unix_seconds(ends)), ..Facts::default() },
            ..Pass::saying(message)
        };
        let script = ScriptedWorkflow::default()
            .step("a", [ok()])
            .step("b", [ScriptedAct::Pass(certificate("certificate ends in 3d", 300))])
            .step("c", [ScriptedAct::Pass(certificate("certificate ends in 2d", 200))]);
        let pass = script.run().await.unwrap();
        assert!(pass.degraded);
        assert_eq!(pass.message.as_deref(), Some("b: certificate ends in 3d"));
        assert_eq!(pass.facts.tls_not_after, Some(Timestamp::from_unix_seconds(200)));
        assert_eq!(pass.facts.steps[1].state, State::Degraded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_without_a_limit_is_possible() {
        let pass = ScriptedWorkflow::default().step("a", [ok()]).probe().observe(&RunContext::default()).await.unwrap();
        assert_eq!(pass.message.as_deref(), Some("Workflow executed successfully"));
    }
}
