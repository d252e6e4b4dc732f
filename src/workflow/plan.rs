//! The steps of a workflow: as drafted in the file, and as a plan whose references all hold.

use std::num::NonZeroU32;
use std::time::Duration;

use super::error::PlanError;

/// One step as it is written.
#[derive(Clone, Debug, Default)]
pub struct StepDraft {
    /// Its name; empty when it could not be read.
    pub name: String,
    /// The steps that it needs, by name. Without this it needs the step before it.
    pub needs: Option<Vec<String>>,
    /// It runs whatever happened before, if what it uses was captured.
    pub always: bool,
    /// How often it is tried.
    pub retry: Retry,
    /// The names that it captures.
    pub captures: Vec<String>,
    /// The captured values that it uses, as step and name.
    pub uses: Vec<(String, String)>,
}

/// One step of a plan. Other steps are given by their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// Its unique name.
    pub name: String,
    /// The steps that must have passed before it.
    pub needs: Vec<usize>,
    /// The captured values that it uses, as step and name; all of these steps are needed, directly or further up.
    pub uses: Vec<(usize, String)>,
    /// It runs whatever happened before, if what it uses was captured.
    pub always: bool,
    /// How often it is tried.
    pub retry: Retry,
}

/// How often a step is tried until it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first attempt included.
    pub attempts: NonZeroU32,
    /// From the end of one attempt to the start of the next.
    pub delay: Duration,
}

/// One attempt.
impl Default for Retry {
    fn default() -> Self {
        Self { attempts: NonZeroU32::MIN, delay: Duration::ZERO }
    }
}

impl Retry {
    /// How long to wait before the next attempt after `made` attempts have failed; nothing when they are used up, or
    /// when the next would begin at `until` or later.
    #[must_use]
    pub fn after(self, made: u32, elapsed: Duration, until: Duration) -> Option<Duration> {
        (made < self.attempts.get() && elapsed.saturating_add(self.delay) < until).then_some(self.delay)
    }
}

/// The steps in the order of the file. Names are unique, needs have no cycle, and every captured value that is used
/// comes from a step that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlan {
    steps: Vec<PlannedStep>,
}

impl StepPlan {
    /// The most steps that a workflow can have.
    pub const MAX: usize = 100;

    /// Resolves the references of `drafts`.
    ///
    /// # Errors
    /// Everything that is wrong with them, step by step; never an empty list.
    pub fn new(drafts: &[StepDraft]) -> Result<Self, Vec<PlanError>> {
        if drafts.is_empty() {
            return Err(vec![PlanError::NoSteps]);
        }
        if drafts.len() > Self::MAX {
            return Err(vec![PlanError::TooManySteps { steps: drafts.len(), most: Self::MAX }]);
        }
        let mut survey = PlanCheck { drafts, needs: Vec::new(), errors: Vec::new() };
        survey.check_names();
        survey.resolve_needs();
        survey.check_rings();
        survey.check_uses();
        if survey.errors.is_empty() { Ok(survey.plan()) } else { Err(survey.errors) }
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[PlannedStep] {
        &self.steps
    }
}

/// The drafts with what has been found out about them so far.
struct PlanCheck<'a> {
    drafts: &'a [StepDraft],
    /// For each step what it needs; nothing for a need that is not known.
    needs: Vec<Vec<Option<usize>>>,
    errors: Vec<PlanError>,
}

impl PlanCheck<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        self.drafts.iter().position(|draft| !name.is_empty() && draft.name == name)
    }

    /// A step without a readable name may be the one that an unknown name means: that problem comes first.
    fn all_are_named(&self) -> bool {
        self.drafts.iter().all(|draft| !draft.name.is_empty())
    }

    fn check_names(&mut self) {
        for (step, draft) in self.drafts.iter().enumerate() {
            if let Some(first) = self.find(&draft.name).filter(|first| *first < step) {
                self.errors.push(PlanError::DuplicateName { step, name: draft.name.clone(), first });
            }
        }
    }

    fn resolve_needs(&mut self) {
        for (step, draft) in self.drafts.iter().enumerate() {
            let Some(names) = &draft.needs else {
                self.needs.push(step.checked_sub(1).map(Some).into_iter().collect());
                continue;
            };
            let mut needs = Vec::new();
            for (position, name) in names.iter().enumerate() {
                let found = self.find(name);
                if found.is_none() && self.all_are_named() {
                    let near = nearest(name, self.drafts.iter().map(|draft| draft.name.as_str()));
                    self.errors.push(PlanError::UnknownNeed { step, need: position, name: name.clone(), near });
                }
                if found.is_none() || !needs.contains(&found) {
                    needs.push(found);
                }
            }
            self.needs.push(needs);
        }
    }

    /// Peels off the steps whose needs are peeled off; what stays is cycles and what is behind them.
    fn check_rings(&mut self) {
        let mut open: Vec<bool> = vec![true; self.drafts.len()];
        loop {
            while let Some(free) = (0..open.len()).find(|step| open[*step] && self.open_need(&open, *step).is_none()) {
                open[free] = false;
            }
            let Some(start) = open.iter().position(|open| *open) else { return };
            let cycle = self.ring_from(start, &open);
            for step in &cycle {
                open[*step] = false;
            }
            let names = cycle.iter().map(|step| self.drafts[*step].name.clone()).collect();
            self.errors.push(PlanError::Cycle { step: cycle[0], names });
        }
    }

    fn open_need(&self, open: &[bool], step: usize) -> Option<usize> {
        self.needs[step].iter().flatten().copied().find(|need| open[*need])
    }

    /// The cycle that following open needs from `start` ends in, from its first step in the file.
    fn ring_from(&self, start: usize, open: &[bool]) -> Vec<usize> {
        let mut path = vec![start];
        while let Some(next) = self.open_need(open, path[path.len() - 1]) {
            if let Some(entry) = path.iter().position(|step| *step == next) {
                path.drain(..entry);
                break;
            }
            path.push(next);
        }
        let first = (0..path.len()).min_by_key(|position| path[*position]).unwrap_or_default();
        path.rotate_left(first);
        path
    }

    fn check_uses(&mut self) {
        for (step, draft) in self.drafts.iter().enumerate() {
            let upstream = self.upstream(step);
            for (used, (of, name)) in draft.uses.iter().enumerate() {
                let error = self.check_use(step, used, (of, name), upstream.as_deref());
                self.errors.extend(error);
            }
        }
    }

    fn check_use(
        &self,
        step: usize,
        used: usize,
        (of, name): (&str, &str),
        upstream: Option<&[bool]>,
    ) -> Option<PlanError> {
        let (of, name) = (of.to_owned(), name.to_owned());
        let Some(source) = self.find(&of) else {
            let near = nearest(&of, self.drafts.iter().map(|draft| draft.name.as_str()));
            return self.all_are_named().then_some(PlanError::UnknownStep { step, used, of, name, near });
        };
        if source == step {
            return Some(PlanError::OwnCapture { step, used, of, name });
        }
        let captures = &self.drafts[source].captures;
        if !captures.contains(&name) {
            let near = nearest(&name, captures.iter().map(String::as_str));
            return Some(PlanError::UnknownCapture { step, used, of, name, near });
        }
        let needed = upstream.is_none_or(|upstream| upstream[source]);
        (!needed).then_some(PlanError::NotNeeded { step, used, of, name })
    }

    /// Which steps are needed by `step`, directly or further up; nothing when one of these needs is not known.
    fn upstream(&self, step: usize) -> Option<Vec<bool>> {
        let mut reached = vec![false; self.drafts.len()];
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            for need in &self.needs[step] {
                let need = (*need)?;
                if !reached[need] {
                    reached[need] = true;
                    open.push(need);
                }
            }
        }
        Some(reached)
    }

    fn plan(&self) -> StepPlan {
        let steps = self.drafts.iter().zip(&self.needs).map(|(draft, needs)| {
            let place = |(of, name): &(String, String)| self.find(of).map(|step| (step, name.clone()));
            let mut uses: Vec<(usize, String)> = draft.uses.iter().filter_map(place).collect();
            uses.sort_unstable();
            uses.dedup();
            PlannedStep {
                name: draft.name.clone(),
                needs: needs.iter().flatten().copied().collect(),
                uses,
                always: draft.always,
                retry: draft.retry,
            }
        });
        StepPlan { steps: steps.collect() }
    }
}

/// The known word that `word` was probably meant to be: no more than every third character may be wrong.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let allowed = word.chars().count() / 3;
    known
        .filter(|known| !known.is_empty())
        .map(|known| (strsim::osa_distance(&word.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
pub(super) mod testing {
    //! Plans for the tests of this module.

    use super::*;

    /// A draft that needs the step before it.
    pub(crate) fn draft(name: &str) -> StepDraft {
        StepDraft { name: name.into(), ..StepDraft::default() }
    }

    impl StepDraft {
        /// The same, needing these steps.
        pub(crate) fn needs(mut self, needs: &[&str]) -> Self {
            self.needs = Some(needs.iter().map(|&need| need.to_owned()).collect());
            self
        }

        /// The same, running whatever happened before.
        pub(crate) fn always(mut self) -> Self {
            self.always = true;
            self
        }

        /// The same, capturing `name`.
        pub(crate) fn captures(mut self, name: &str) -> Self {
            self.captures.push(name.into());
            self
        }

        /// The same, using `name` of `step`.
        pub(crate) fn uses(mut self, step: &str, name: &str) -> Self {
            self.uses.push((step.into(), name.into()));
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::draft;
    use super::*;

    /// What is wrong with the drafts, as the text of the messages and helps.
    fn errors(drafts: &[StepDraft]) -> Vec<String> {
        let errors = StepPlan::new(drafts).err().unwrap_or_default();
        errors.iter().map(|error| format!("{}: {} | {}", error.code(), error.message(), error.help())).collect()
    }

    fn needs(drafts: &[StepDraft]) -> Vec<Vec<usize>> {
        StepPlan::new(drafts).unwrap().steps().iter().map(|step| step.needs.clone()).collect()
    }

    #[test]
    fn a_step_needs_the_one_before_it_unless_it_says_otherwise() {
        let drafts = [
            draft("login"),
            draft("order"),
            draft("ping").needs(&[]),
            draft("row").needs(&["order"]),
            draft("both").needs(&["ping", "row", "ping"]),
        ];
        assert_eq!(needs(&drafts), [vec![], vec![0], vec![], vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_need_may_come_later_in_the_file() {
        assert_eq!(needs(&[draft("a").needs(&["b"]), draft("b").needs(&[])]), [vec![1], vec![]]);
    }

    #[test]
    fn a_captured_value_may_come_from_further_up() {
        let drafts = [draft("login").captures("token"), draft("order"), draft("done").uses("login", "token")];
        assert_eq!(StepPlan::new(&drafts).unwrap().steps()[2].uses, [(0, "token".to_owned())]);
    }

    #[test]
    fn a_workflow_has_steps_and_not_too_many() {
        assert_eq!(errors(&[]), ["no-steps: a workflow without steps checks nothing | add at least one step"]);
        let many: Vec<StepDraft> = (0..=StepPlan::MAX).map(|number| draft(&format!("s{number}"))).collect();
        assert!(StepPlan::new(&many[..StepPlan::MAX]).is_ok());
        assert_eq!(
            errors(&many),
            ["too-many-steps: 101 steps, at most 100 are allowed | split the workflow into several checks"]
        );
    }

    #[test]
    fn names_are_unique() {
        assert_eq!(
            errors(&[draft("login"), draft("order"), draft("login")]),
            ["duplicate-name: a step named `login` stands above (step 1) | give each step a name of its own"]
        );
    }

    #[test]
    fn an_unknown_need_gets_a_suggestion() {
        assert_eq!(
            errors(&[draft("login"), draft("order").needs(&["logni", "x"])]),
            [
                "unknown-step: no step is named `logni` | did you mean `login`?",
                "unknown-step: no step is named `x` | name a step of this workflow"
            ]
        );
    }

    #[test]
    fn rings_are_reported_once_each() {
        let help = "a step without `needs` needs the one before it; write `needs: []` where it needs none";
        assert_eq!(
            errors(&[
                draft("free").needs(&[]),
                draft("behind").needs(&["a", "free"]),
                draft("a").needs(&["c"]),
                draft("b").needs(&["a"]),
                draft("c").needs(&["b"]),
                draft("self").needs(&["self"]),
            ]),
            [
                format!("needs-ring: the needs form a ring: `a` needs `c` needs `b` needs `a` | {help}"),
                format!("needs-ring: the step `self` needs itself | {help}")
            ]
        );
        assert_eq!(
            errors(&[draft("a").needs(&["b"]), draft("b")]),
            [format!("needs-ring: the needs form a ring: `a` needs `b` needs `a` | {help}")]
        );
    }

    #[test]
    fn what_a_step_uses_must_be_captured_by_a_step_that_it_needs() {
        let drafts = [
            draft("login").captures("token"),
            draft("ping").needs(&[]).uses("login", "token"),
            draft("order").uses("lgin", "token").uses("login", "tokn").uses("login", "x").uses("order", "id"),
        ];
        assert_eq!(
            errors(&drafts),
            [
                "step-not-needed: `${steps.login.token}` is used by a step that does not need `login` | \
                 add `login` to its `needs`",
                "unknown-step: `${steps.lgin.token}`: no step is named `lgin` | did you mean `login`?",
                "unknown-capture: `${steps.login.tokn}`: the step `login` captures no `tokn` | did you mean `token`?",
                "unknown-capture: `${steps.login.x}`: the step `login` captures no `x` | \
                 add `x` to the `capture` of `login`",
                "own-capture: `${steps.order.id}` is captured only after this step has run | \
                 use it in a step that needs `order`"
            ]
        );
    }

    #[test]
    fn one_mistake_does_not_cause_a_report_of_another() {
        // Whether `login` is needed is not known while `logn` is not.
        let drafts =
            [draft("login").captures("token"), draft("order").needs(&["logn"]).uses("login", "token"), draft("end")];
        assert_eq!(errors(&drafts), ["unknown-step: no step is named `logn` | did you mean `login`?"]);
        // The step without a readable name may be the one that is meant.
        let drafts = [draft(""), draft("order").needs(&["login"]).uses("login", "token")];
        assert_eq!(errors(&drafts), [""; 0]);
    }

    #[test]
    fn attempts_are_made_until_they_are_used_up_or_the_time_is() {
        let retry = Retry { attempts: NonZeroU32::new(3).unwrap(), delay: Duration::from_secs(2) };
        let (early, until) = (Duration::from_secs(1), Duration::from_secs(10));
        assert_eq!(retry.after(1, early, until), Some(Duration::from_secs(2)));
        assert_eq!(retry.after(2, early, until), Some(Duration::from_secs(2)));
        assert_eq!(retry.after(3, early, until), None);
        assert_eq!(retry.after(1, Duration::from_millis(7_999), until), Some(Duration::from_secs(2)));
        assert_eq!(retry.after(1, Duration::from_secs(8), until), None);
        assert_eq!(retry.after(1, Duration::MAX, until), None);
        assert_eq!(Retry::default().after(1, early, until), None);
    }
}
