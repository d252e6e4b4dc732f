//! Which step of a workflow comes next, which is skipped and why, and until when each may run.
//!
//! Steps run one after another: always the first of the file whose needs are decided. Times are counted from the
//! start of the workflow.

use std::collections::BTreeSet;
use std::time::Duration;

use super::plan::{PlannedStep, StepPlan};

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run `step`, and end it at `until`.
    Run {
        /// The step.
        step: usize,
        /// When its time is up.
        until: Duration,
    },
    /// It is the turn of `step` and the time is up: it has failed without being run.
    Late {
        /// The step.
        step: usize,
    },
    /// Skip `step` because of `root`.
    Skip {
        /// The step.
        step: usize,
        /// The step that failed first on the way to this one.
        root: usize,
    },
    /// Every step is decided.
    Done,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// It passed, and what it captures is there.
    Passed,
    /// It failed.
    Failed,
    /// Its time was up before it passed.
    OutOfTime,
    /// It was not run, because of that step.
    Skipped {
        /// The step that failed first.
        root: usize,
    },
}

/// One run of a plan.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    plan: &'a StepPlan,
    times: StepDeadlines,
    step_results: Vec<Option<StepResult>>,
    /// What steps captured although they failed, as step and name: it is for `always` steps alone.
    salvaged: BTreeSet<(usize, String)>,
    /// The first step that was out of time: what could not be run after it is skipped because of it.
    spent_by: Option<usize>,
}

/// How the time of a workflow is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StepDeadlines {
    /// The end for every step.
    end: Duration,
    /// The end for steps that are not `always`, as long as one that is may still run.
    main: Duration,
}

impl<'a> Progress<'a> {
    /// A run that must be over within `budget`. It ends a little earlier (see [`margin`]), so that there is time left
    /// to say which step was running.
    #[must_use]
    pub fn new(plan: &'a StepPlan, budget: Duration) -> Self {
        let end = budget.saturating_sub(margin(budget));
        let times = StepDeadlines { end, main: (budget / 5 * 4).min(end) };
        Self { plan, times, step_results: vec![None; plan.steps().len()], salvaged: BTreeSet::new(), spent_by: None }
    }

    /// What to do when `elapsed` has passed. Each decision but [`Decision::Done`] asks for a call of
    /// [`settle`](Self::settle) for its step; until then it is repeated.
    #[must_use]
    pub fn decide(&self, elapsed: Duration) -> Decision {
        let Some(step) = self.next() else { return Decision::Done };
        if let Some(root) = self.missing(step) {
            return Decision::Skip { step, root };
        }
        let until = self.until(step, elapsed);
        if elapsed < until {
            return Decision::Run { step, until };
        }
        match self.spent_by {
            Some(root) if !self.plan.steps()[step].always => Decision::Skip { step, root },
            _ => Decision::Late { step },
        }
    }

    /// Records what became of `step`.
    pub fn settle(&mut self, step: usize, step_result: StepResult) {
        if step_result == StepResult::OutOfTime {
            self.spent_by.get_or_insert(step);
        }
        self.step_results[step] = Some(step_result);
    }

    /// Records that `step`, which failed, has captured `name` all the same.
    pub fn salvage(&mut self, step: usize, name: &str) {
        self.salvaged.insert((step, name.to_owned()));
    }

    /// What became of each step, as far as it is decided.
    #[must_use]
    pub fn step_results(&self) -> &[Option<StepResult>] {
        &self.step_results
    }

    /// The first step of the file that is not decided and whose needs are. There is one while any is undecided,
    /// because the needs of a plan have no cycle.
    fn next(&self) -> Option<usize> {
        let decided = |step: &usize| self.step_results[*step].is_some();
        let ready = |step: &usize| !decided(step) && self.plan.steps()[*step].needs.iter().all(decided);
        (0..self.step_results.len()).find(ready)
    }

    /// The step because of which `step` cannot run: the first of the file that stands at the root of what it lacks.
    fn missing(&self, step: usize) -> Option<usize> {
        let PlannedStep { needs, uses, always, .. } = &self.plan.steps()[step];
        let needs = if *always { &[] } else { needs.as_slice() };
        let lacked = uses.iter().filter(|used| !(*always && self.salvaged.contains(used))).map(|(used, _)| used);
        lacked.chain(needs).filter_map(|lacked| self.lost(*lacked)).min()
    }

    /// Why `step` has not passed, once that is certain: itself, or the root of its being skipped.
    fn lost(&self, step: usize) -> Option<usize> {
        match self.step_results[step]? {
            StepResult::Passed => None,
            StepResult::Failed | StepResult::OutOfTime => Some(step),
            StepResult::Skipped { root } => Some(root),
        }
    }

    /// When the time of `step` is up, should it start now.
    ///
    /// What is kept for `always` steps is shared evenly among those that may still run, so that none of them can
    /// starve the next.
    fn until(&self, step: usize, elapsed: Duration) -> Duration {
        let StepDeadlines { end, main } = self.times;
        match (self.plan.steps()[step].always, self.waiting()) {
            (true, sharers) => main.max(elapsed + end.saturating_sub(elapsed) / sharers.max(1)),
            (false, 0) => end,
            (false, _) => main,
        }
    }

    /// How many `always` steps may still run.
    fn waiting(&self) -> u32 {
        let may_run = |step: &usize| {
            self.plan.steps()[*step].always && self.step_results[*step].is_none() && self.missing(*step).is_none()
        };
        u32::try_from((0..self.step_results.len()).filter(may_run).count()).unwrap_or(u32::MAX)
    }
}

/// How much earlier than its budget a workflow ends: one part in a hundred, at least 5 ms and at most 50 ms, and never
/// more than half.
#[must_use]
pub fn margin(budget: Duration) -> Duration {
    (budget / 100).clamp(Duration::from_millis(5), Duration::from_millis(50)).min(budget / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::plan::testing::draft;
    use super::super::plan::{Retry, StepDraft};
    use super::*;

    const BUDGET: Duration = Duration::from_secs(30);

    /// The workflow of the reference.
    fn shop() -> StepPlan {
        plan(&[
            draft("login").captures("token"),
            draft("order").uses("login", "token").captures("id"),
            draft("done").uses("order", "id"),
            draft("row_is_there").needs(&["order"]).uses("order", "id"),
            draft("clean_up").uses("order", "id").always(),
        ])
    }

    fn plan(drafts: &[StepDraft]) -> StepPlan {
        StepPlan::new(drafts).unwrap()
    }

    /// Plays a run in which each step takes a second and what is named fails; one line for each decision.
    fn play(plan: &StepPlan, failing: &[&str]) -> Vec<String> {
        play_with(
            plan,
            |name| if failing.contains(&name) { (StepResult::Failed, 1_000) } else { (StepResult::Passed, 1_000) },
        )
    }

    /// Plays a run in which each step has its fate after that many milliseconds, or is out of time.
    fn play_with(plan: &StepPlan, fate_of: impl Fn(&str) -> (StepResult, u64)) -> Vec<String> {
        play_through(plan, fate_of, &[])
    }

    /// The same, in which these are captured although their steps fail.
    fn play_through(
        plan: &StepPlan,
        fate_of: impl Fn(&str) -> (StepResult, u64),
        salvaged: &[(usize, &str)],
    ) -> Vec<String> {
        let name = |step: usize| plan.steps()[step].name.as_str();
        let mut progress = Progress::new(plan, BUDGET);
        let mut elapsed = Duration::ZERO;
        let mut lines = Vec::new();
        loop {
            match progress.decide(elapsed) {
                Decision::Done => return lines,
                Decision::Skip { step, root } => {
                    lines.push(format!("{} skipped: {}", name(step), name(root)));
                    progress.settle(step, StepResult::Skipped { root });
                }
                Decision::Late { step } => {
                    lines.push(format!("{} late", name(step)));
                    progress.settle(step, StepResult::OutOfTime);
                }
                Decision::Run { step, until } => {
                    let (mut step_result, took) = fate_of(name(step));
                    elapsed += Duration::from_millis(took);
                    if elapsed > until {
                        (step_result, elapsed) = (StepResult::OutOfTime, until);
                    }
                    lines.push(format!("{} {step_result:?} at {}", name(step), elapsed.as_millis()));
                    salvaged.iter().filter(|it| it.0 == step).for_each(|it| progress.salvage(step, it.1));
                    progress.settle(step, step_result);
                }
            }
        }
    }

    #[test]
    fn the_steps_run_one_after_another() {
        assert_eq!(
            play(&shop(), &[]),
            [
                "login Passed at 1000",
                "order Passed at 2000",
                "done Passed at 3000",
                "row_is_there Passed at 4000",
                "clean_up Passed at 5000"
            ]
        );
    }

    #[test]
    fn what_is_behind_a_failure_is_skipped_because_of_the_step_that_failed_first() {
        assert_eq!(
            play(&shop(), &["login"]),
            [
                "login Failed at 1000",
                "order skipped: login",
                "done skipped: login",
                "row_is_there skipped: login",
                "clean_up skipped: login"
            ]
        );
    }

    #[test]
    fn an_always_step_runs_when_what_it_uses_was_captured() {
        assert_eq!(
            play(&shop(), &["done"]),
            [
                "login Passed at 1000",
                "order Passed at 2000",
                "done Failed at 3000",
                "row_is_there Passed at 4000",
                "clean_up Passed at 5000"
            ]
        );
        assert_eq!(play(&shop(), &["order"])[4], "clean_up skipped: order");
        let order_fails = |name: &str| (if name == "order" { StepResult::Failed } else { StepResult::Passed }, 1_000);
        assert_eq!(
            play_through(&shop(), order_fails, &[(1, "id")])[2..],
            ["done skipped: order", "row_is_there skipped: order", "clean_up Passed at 3000"]
        );
        assert_eq!(play_through(&shop(), order_fails, &[(1, "other"), (0, "id")])[4], "clean_up skipped: order");
        let nothing_used = plan(&[draft("login"), draft("order"), draft("bye").always()]);
        assert_eq!(play(&nothing_used, &["login"])[1..], ["order skipped: login", "bye Passed at 2000"]);
    }

    #[test]
    fn a_step_behind_an_always_step_still_lacks_what_was_not_captured() {
        let steps = [
            draft("login").captures("token"),
            draft("bye").always(),
            draft("order").uses("login", "token"),
            draft("after"),
        ];
        assert_eq!(
            play(&plan(&steps), &["login"]),
            ["login Failed at 1000", "bye Passed at 2000", "order skipped: login", "after skipped: login"]
        );
    }

    #[test]
    fn a_need_that_comes_later_in_the_file_runs_first() {
        let steps = [draft("a").needs(&["c"]), draft("b").needs(&[]), draft("c").needs(&["b"]), draft("d")];
        assert_eq!(
            play(&plan(&steps), &[]),
            ["b Passed at 1000", "c Passed at 2000", "a Passed at 3000", "d Passed at 4000"]
        );
    }

    #[test]
    fn of_several_failures_the_first_of_the_file_is_named() {
        let steps = [draft("a").needs(&[]), draft("b").needs(&[]), draft("c").needs(&["b", "a"])];
        assert_eq!(play(&plan(&steps), &["a", "b"])[2], "c skipped: a");
    }

    #[test]
    fn a_hanging_step_has_four_fifths_of_the_time_where_an_always_step_waits() {
        let hang = |name: &str| (StepResult::Passed, if name == "done" { 99_000 } else { 1_000 });
        assert_eq!(
            play_with(&shop(), hang)[2..],
            ["done OutOfTime at 24000", "row_is_there skipped: done", "clean_up Passed at 25000"]
        );
    }

    #[test]
    fn a_hanging_step_has_all_the_time_where_no_always_step_waits() {
        let hang = |_: &str| (StepResult::Passed, 99_000);
        assert_eq!(play_with(&plan(&[draft("a"), draft("b")]), hang), ["a OutOfTime at 29950", "b skipped: a"]);
        // The always step has run already, or can no longer run.
        let done = plan(&[draft("bye").always(), draft("b")]);
        let slow = |name: &str| (StepResult::Passed, if name == "bye" { 1_000 } else { 99_000 });
        assert_eq!(play_with(&done, slow)[1..], ["b OutOfTime at 29950"]);
        let doomed = plan(&[
            draft("a").captures("x"),
            draft("b").needs(&[]),
            draft("bye").needs(&["a"]).uses("a", "x").always(),
        ]);
        let slow = |name: &str| if name == "a" { (StepResult::Failed, 1_000) } else { (StepResult::Passed, 99_000) };
        assert_eq!(play_with(&doomed, slow), ["a Failed at 1000", "b OutOfTime at 29950", "bye skipped: a"]);
    }

    #[test]
    fn hanging_always_steps_share_what_is_kept_for_them() {
        let steps = [draft("a"), draft("x").always(), draft("y").always(), draft("z").always()];
        let hang = |_: &str| (StepResult::Passed, 99_000);
        assert_eq!(
            play_with(&plan(&steps), hang),
            ["a OutOfTime at 24000", "x OutOfTime at 25983", "y OutOfTime at 27966", "z OutOfTime at 29950"]
        );
    }

    #[test]
    fn an_independent_step_without_time_is_skipped_because_of_the_one_that_took_it() {
        let steps = [draft("a"), draft("b").needs(&[])];
        assert_eq!(play_with(&plan(&steps), |_| (StepResult::Passed, 99_000))[1], "b skipped: a");
    }

    #[test]
    fn a_step_whose_turn_comes_too_late_has_failed() {
        let steps = [draft("a"), draft("b"), draft("c")];
        assert_eq!(
            play_with(&plan(&steps), |_| (StepResult::Passed, 29_950)),
            ["a Passed at 29950", "b late", "c skipped: b"]
        );
        let without_time = plan(&[draft("a"), draft("bye").always()]);
        assert_eq!(Progress::new(&without_time, Duration::ZERO).decide(Duration::ZERO), Decision::Late { step: 0 });
    }

    #[test]
    fn the_margin_is_one_part_in_a_hundred_within_bounds() {
        let cases = [(30_000, 50), (2_000, 20), (100, 5), (10, 5), (4, 2), (0, 0)];
        for (budget, expected) in cases {
            assert_eq!(margin(Duration::from_millis(budget)).as_millis(), expected, "{budget}");
        }
        assert_eq!(margin(Duration::MAX), Duration::from_millis(50));
    }

    /// Plans of up to 12 steps with needs among the earlier steps of a shuffled order, so that there is no cycle.
    fn plans() -> impl Strategy<Value = StepPlan> {
        let step = (any::<u16>(), any::<u16>(), 0..4u8);
        proptest::collection::vec(step, 1..12).prop_map(|seeds| {
            let count = seeds.len();
            // Position in the file → place in a topological order: a rotation, so that needs point both ways.
            let rotate = usize::from(seeds[0].0) % count;
            let rank = |step: usize| (step + rotate) % count;
            let drafts: Vec<StepDraft> = (0..count)
                .map(|step| {
                    let (needs, uses, always) = seeds[step];
                    let chosen = |mask: u16| {
                        (0..count).filter(move |&other| rank(other) < rank(step) && mask & (1 << other) != 0)
                    };
                    StepDraft {
                        name: format!("s{step}"),
                        needs: Some(chosen(needs).map(|other| format!("s{other}")).collect()),
                        always: always == 0,
                        retry: Retry::default(),
                        captures: vec!["x".into()],
                        uses: chosen(needs & uses).map(|other| (format!("s{other}"), "x".to_owned())).collect(),
                    }
                })
                .collect();
            StepPlan::new(&drafts).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_step_is_decided_exactly_once_in_an_order_that_respects_needs(
            plan in plans(),
            step_results in proptest::collection::vec((0..3u8, 0..20_000u64), 12),
        ) {
            let mut progress = Progress::new(&plan, BUDGET);
            let mut elapsed = Duration::ZERO;
            let mut order = Vec::new();
            loop {
                let before = elapsed;
                let (step, step_result) = match progress.decide(elapsed) {
                    Decision::Done => break,
                    Decision::Late { step } => (step, StepResult::OutOfTime),
                    Decision::Skip { step, root } => {
                        prop_assert!(matches!(progress.step_results()[root], Some(StepResult::Failed | StepResult::OutOfTime)));
                        (step, StepResult::Skipped { root })
                    }
                    Decision::Run { step, until } => {
                        prop_assert!(elapsed < until && until < BUDGET);
                        let (step_result, took) = step_results[step];
                        elapsed += Duration::from_millis(took);
                        if elapsed > until { elapsed = until; (step, StepResult::OutOfTime) }
                        else if step_result == 0 { (step, StepResult::Failed) }
                        else { (step, StepResult::Passed) }
                    }
                };
                prop_assert!(progress.step_results()[step].is_none(), "decided twice");
                for need in &plan.steps()[step].needs {
                    prop_assert!(order.contains(need), "a need was not decided before");
                }
                let PlannedStep { needs, uses, always, .. } = &plan.steps()[step];
                let passed = |other: &usize| progress.step_results()[*other] == Some(StepResult::Passed);
                let ran = !matches!(step_result, StepResult::Skipped { .. });
                if ran {
                    prop_assert!(uses.iter().all(|(used, _)| passed(used)), "ran without what it uses");
                    prop_assert!(*always || needs.iter().all(passed), "ran without what it needs");
                }
                if *always && uses.iter().all(|(used, _)| passed(used)) {
                    prop_assert!(ran, "an always step was skipped");
                    prop_assert!(before < progress.times.end, "an always step was starved");
                }
                progress.settle(step, step_result);
                order.push(step);
            }
            prop_assert_eq!(order.len(), plan.steps().len());
            prop_assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), order.len());
            prop_assert!(elapsed < BUDGET);
        }

        #[test]
        fn each_always_step_has_its_share_of_the_last_fifth(plan in plans()) {
            // Whatever runs hangs until its time is up; steps that are used pass at the very last moment.
            let mut progress = Progress::new(&plan, BUDGET);
            let (mut elapsed, always) = (Duration::ZERO, plan.steps().iter().filter(|step| step.always).count());
            loop {
                match progress.decide(elapsed) {
                    Decision::Done => break,
                    Decision::Late { step } => {
                        prop_assert!(!plan.steps()[step].always);
                        progress.settle(step, StepResult::OutOfTime);
                    }
                    Decision::Skip { step, root } => progress.settle(step, StepResult::Skipped { root }),
                    Decision::Run { step, until } => {
                        if plan.steps()[step].always {
                            let kept = progress.times.end - progress.times.main;
                            let share = kept / u32::try_from(always).unwrap();
                            prop_assert!(until - elapsed >= share - Duration::from_millis(1));
                        }
                        elapsed = until;
                        let used = plan.steps().iter().any(|other| other.uses.iter().any(|(used, _)| *used == step));
                        progress.settle(step, if used { StepResult::Passed } else { StepResult::OutOfTime });
                    }
                }
            }
        }
    }
}
