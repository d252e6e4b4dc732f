//! Reads the section: steps with their places become a plan and one spec for each step.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::run::WorkflowProbe;
use super::step::StepProbe;
use crate::base::costly::{self, Haystack};
use crate::base::name::CheckName;
use crate::base::value::{Section, SourceSpan, Spanned, Text, Value};
use crate::probe::capture::Capture;
use crate::probe::{BuildContext, Evidence, KINDS, Probe, Spec, heartbeat};
use crate::workflow::error::PlanError;
use crate::workflow::expression::Expression;
use crate::workflow::plan::{Retry, StepDraft, StepPlan};

/// A validated workflow.
#[derive(Debug)]
struct Workflow {
    plan: Arc<StepPlan>,
    steps: Vec<StepSpec>,
}

/// What a step observes, and what it keeps of the answer.
#[derive(Debug)]
struct StepSpec {
    name: CheckName,
    spec: Box<dyn Spec>,
    captures: Arc<[Capture]>,
}

impl Spec for Workflow {
    fn hosts(&self) -> Vec<&str> {
        self.steps.iter().flat_map(|step| step.spec.hosts()).collect()
    }

    fn hosts_told_the_password(&self) -> Vec<&str> {
        self.steps.iter().flat_map(|step| step.spec.hosts_told_the_password()).collect()
    }

    fn max_connection_age(&self) -> Duration {
        self.steps.iter().map(|step| step.spec.max_connection_age()).max().unwrap_or_default()
    }

    fn verdict_takes(&self) -> Evidence {
        self.steps.iter().map(|step| step.spec.verdict_takes()).max().unwrap_or(Evidence::OneRun)
    }

    fn prefer_fresh_connections(&mut self, where_to: &dyn Fn(&[&str]) -> bool) {
        for step in &mut self.steps {
            step.spec.prefer_fresh_connections(where_to);
        }
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let step_probes = self.steps.iter().map(|step| {
            let context = BuildContext { check: step.name.clone(), ..context.clone() };
            StepProbe::new(step.spec.build(&context), Arc::clone(&step.captures))
        });
        Box::new(WorkflowProbe::new(Arc::clone(&self.plan), step_probes.collect()))
    }
}

/// Reads the section `workflow`.
pub(super) fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    read_workflow(fields).map(|workflow| -> Box<dyn Spec> { Box::new(workflow) })
}

fn read_workflow(fields: &Section) -> Option<Workflow> {
    fields.get("steps")?;
    let steps: Vec<StepSection<'_>> = fields.list("steps").into_iter().filter_map(StepSection::read).collect();
    let drafts: Vec<StepDraft> = steps.iter().map(StepSection::draft).collect();
    let plan = StepPlan::new(&drafts);
    for error in plan.as_ref().err().into_iter().flatten() {
        let place = place_of(error, fields, &steps);
        fields.report_at(&place, error.code(), error.message(), Some(error.help()));
    }
    // Every step is read before the first that cannot be used ends it, so that all problems are reported.
    let specs: Vec<Option<StepSpec>> = steps.iter().map(StepSection::spec).collect();
    let steps = specs.into_iter().collect::<Option<Vec<StepSpec>>>()?;
    Some(Workflow { plan: Arc::new(plan.ok()?), steps })
}

/// A step as it is written.
struct StepSection<'a> {
    fields: &'a Section,
    name: String,
    /// The captured values that its kind's section uses, with the place of each.
    uses: Vec<(&'a SourceSpan, (String, String))>,
}

impl<'a> StepSection<'a> {
    fn read(located: &'a Spanned) -> Option<Self> {
        let Value::Section(fields) = &located.value else { return None };
        let name = fields.text("name").and_then(Text::fixed).unwrap_or_default();
        let mut uses = Vec::new();
        for kind in KINDS {
            if let Some(section) = fields.get(kind.name) {
                collect_uses(section, &mut uses);
            }
        }
        Some(Self { fields, name, uses })
    }

    fn needs(&self) -> Option<Vec<&'a Spanned>> {
        self.fields.get("needs").map(|_| self.fields.list("needs"))
    }

    fn draft(&self) -> StepDraft {
        let fixed = |located: &&Spanned| match &located.value {
            Value::Text(text) => text.fixed().unwrap_or_default(),
            _ => String::new(),
        };
        StepDraft {
            name: self.name.clone(),
            needs: self.needs().map(|needs| needs.iter().map(fixed).collect()),
            always: self.fields.flag("always").unwrap_or_default(),
            retry: self.retry(),
            captures: self.fields.map("capture").iter().map(|(name, _)| name.clone()).collect(),
            uses: self.uses.iter().map(|(_, used)| used.clone()).collect(),
        }
    }

    fn retry(&self) -> Retry {
        let Some(retry) = self.fields.section("retry") else { return Retry::default() };
        let attempts = retry.integer("attempts").and_then(|attempts| u32::try_from(attempts).ok());
        Retry {
            attempts: attempts.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
            delay: retry.duration("delay").unwrap_or_default(),
        }
    }

    /// Nothing is returned when a part of it cannot be used; why has been reported then.
    fn spec(&self) -> Option<StepSpec> {
        let name = self.valid_name();
        let captures = self.captures();
        if self.waits_for_a_push() {
            return None;
        }
        let spec = KINDS.iter().find_map(|kind| self.fields.section(kind.name).map(|section| (kind.read)(section)));
        Some(StepSpec { name: name?, spec: spec??, captures: captures? })
    }

    /// Reports a heartbeat that is pushed: beats are for checks, and a step has no name among these.
    fn waits_for_a_push(&self) -> bool {
        let heartbeat = self.fields.section(heartbeat::KIND.name);
        let Some(heartbeat) = heartbeat.filter(|section| section.flag("push") == Some(true)) else { return false };
        let help = "give it a check of its own, and name that in `depends_on` of the workflow's check".to_owned();
        heartbeat.error("push", "push-in-step", "no beat can be pushed to a step", Some(help));
        true
    }

    fn valid_name(&self) -> Option<CheckName> {
        self.fields.text("name")?;
        match step_name(&self.name) {
            Ok(name) => Some(name),
            Err(problem) => {
                let message = format!("the name of the step {problem}");
                self.fields.error("name", "invalid-name", message, Some(NAME_HELP.into()));
                None
            }
        }
    }

    /// The longest answer that values are captured from.
    fn longest_answer(&self) -> Haystack {
        let max_body = self.fields.section("http").and_then(|http| http.size("max_body"));
        max_body.map_or(Haystack::Text(LONGEST_ANSWER), Haystack::Body)
    }

    fn captures(&self) -> Option<Arc<[Capture]>> {
        let captures: Vec<Option<Capture>> =
            self.fields.map("capture").iter().map(|(name, located)| self.capture(name, located)).collect();
        captures.into_iter().collect()
    }

    fn capture(&self, name: &str, located: &Spanned) -> Option<Capture> {
        if let Err(problem) = step_name(name) {
            let message = format!("the name of the captured value {problem}");
            self.fields.report_at(located.key_span(), "invalid-name", message, Some(NAME_HELP.into()));
            return None;
        }
        let Value::Text(text) = &located.value else { return None };
        match Expression::parse(&text.fixed()?) {
            Ok(Expression::Pattern(pattern))
                if costly::is_reported(self.fields, &located.span, &pattern, self.longest_answer()) =>
            {
                None
            }
            Ok(expression) => Some(Capture { name: name.to_owned(), expression }),
            Err(error) => {
                self.fields.report_at(&located.span, "invalid-capture", error.message, Some(error.help));
                None
            }
        }
    }
}

/// What another kind than `http` gives to capture from is no longer than this.
const LONGEST_ANSWER: u64 = 64 << 10;

const NAME_HELP: &str = "use letters, digits, `_` and `-`, starting with a letter or a digit";

/// The rule for names of checks, without what would make `${steps.<step>.<name>}` ambiguous.
fn step_name(text: &str) -> Result<CheckName, String> {
    match text.find(['.', '/']) {
        Some(at) => Err(format!("contains `{}`", &text[at..=at])),
        None => CheckName::new(text),
    }
}

/// The captured values used in `located` or below, each once.
fn collect_uses<'a>(located: &'a Spanned, uses: &mut Vec<(&'a SourceSpan, (String, String))>) {
    match &located.value {
        Value::Text(text) => {
            for (step, name) in text.captures() {
                let used = (step.to_owned(), name.to_owned());
                if uses.iter().all(|(_, known)| *known != used) {
                    uses.push((&located.span, used));
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| collect_uses(item, uses)),
        Value::Map(entries) => entries.iter().for_each(|(_, item)| collect_uses(item, uses)),
        Value::Section(fields) => {
            fields.entries().for_each(|(_, item)| collect_uses(item, uses));
        }
        _ => {}
    }
}

/// Where in the file a flaw is.
fn place_of(error: &PlanError, section: &Section, steps: &[StepSection<'_>]) -> SourceSpan {
    let value_of = |fields: &Section, key: &str| fields.get(key).map_or(fields.span(), |located| &located.span).clone();
    match *error {
        PlanError::NoSteps | PlanError::TooManySteps { .. } => value_of(section, "steps"),
        PlanError::DuplicateName { step, .. } => value_of(steps[step].fields, "name"),
        PlanError::Cycle { step, .. } => value_of(steps[step].fields, "needs"),
        PlanError::UnknownNeed { step, need, .. } => {
            steps[step].needs().map_or_else(|| steps[step].fields.span().clone(), |needs| needs[need].span.clone())
        }
        PlanError::UnknownStep { step, used, .. }
        | PlanError::UnknownCapture { step, used, .. }
        | PlanError::OwnCapture { step, used, .. }
        | PlanError::NotNeeded { step, used, .. } => steps[step].uses[used].0.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::rc::Rc;

    use serde_json::Value as Json;

    use super::*;
    use crate::base::field::{Field, Presence, ValueType};
    use crate::base::quantity::parse_duration;
    use crate::base::value::{ParseSession, TextPart};
    use crate::probe::workflow::KIND;

    /// Reads JSON as the configuration is read, as far as these tests need it; places have the path alone.
    fn located(json: &Json, value_type: &ValueType, path: &str, reading: &Rc<ParseSession>) -> Spanned {
        let at = |key: &str| format!("{path}.{key}");
        let list = |items: &[Json], value_type: &ValueType| {
            let items = items.iter().enumerate();
            items.map(|(index, item)| located(item, value_type, &format!("{path}[{index}]"), reading)).collect()
        };
        let value = match (value_type, json) {
            (ValueType::List(value_type) | ValueType::OneOrMany(value_type), Json::Array(items)) => {
                Value::List(list(items, value_type))
            }
            (ValueType::OneOrMany(value_type), single) => return located(single, value_type, path, reading),
            (ValueType::Map(value_type), Json::Object(entries)) => Value::Map(
                entries.iter().map(|(key, item)| (key.clone(), located(item, value_type, &at(key), reading))).collect(),
            ),
            (ValueType::Section(fields), json) => Value::Section(section(json, &[fields], path, reading)),
            (ValueType::Choice { fields, one_of }, json) => {
                Value::Section(section(json, &[fields, one_of], path, reading))
            }
            (ValueType::Bool, json) => Value::Bool(json == &Json::from(true) || json == &Json::from("true")),
            (ValueType::Integer { .. }, json) => Value::Integer(json.as_i64().unwrap_or_default()),
            (ValueType::Duration { .. }, json) => Value::Duration(parse_duration(json.as_str().unwrap()).unwrap()),
            (_, json) => Value::Text(text(json.as_str().unwrap_or_default())),
        };
        Spanned::new(SourceSpan { path: path.into(), ..SourceSpan::default() }, value)
    }

    fn section(json: &Json, tables: &[&[Field]], path: &str, reading: &Rc<ParseSession>) -> Section {
        let mut entries = BTreeMap::new();
        for field in tables.iter().copied().flatten() {
            let default = match field.presence {
                Presence::Default(default) => Some(Json::from(default)),
                _ => None,
            };
            if let Some(json) = json.get(field.name).or(default.as_ref()) {
                entries
                    .insert(field.name, located(json, &field.value_type, &format!("{path}.{}", field.name), reading));
            }
        }
        Section::new(SourceSpan { path: path.into(), ..SourceSpan::default() }, entries, Rc::clone(reading))
    }

    /// `a${steps.s.n}b` as its parts.
    fn text(written: &str) -> Text {
        let mut parts = Vec::new();
        let mut pieces = written.split("${steps.");
        parts.extend(pieces.next().map(|plain| TextPart::Plain(plain.into())));
        for piece in pieces {
            let (reference, plain) = piece.split_once('}').unwrap();
            let (step, name) = reference.split_once('.').unwrap();
            parts.push(TextPart::Capture { step: step.into(), name: name.into() });
            parts.push(TextPart::Plain(plain.into()));
        }
        Text { parts, written: written.into() }
    }

    /// The workflow of these steps, and what was reported.
    fn read_steps(steps: &Json) -> (Option<Workflow>, Vec<String>) {
        let reading = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
        let fields = section(&serde_json::json!({ "steps": steps }), &[KIND.fields], "workflow", &reading);
        let workflow = read_workflow(&fields);
        let line = |problem: &crate::base::value::Problem| {
            format!("{} {}: {}", problem.span.path, problem.code, problem.message)
        };
        (workflow, reading.problems().iter().map(line).collect())
    }

    fn problems(steps: &Json) -> Vec<String> {
        let (workflow, problems) = read_steps(steps);
        assert_eq!(workflow.is_none(), !problems.is_empty());
        problems
    }

    /// A step of the kind `simulated` that says `uses` when it passes.
    fn step(name: &str, uses: &str) -> Json {
        serde_json::json!({ "name": name, "simulated": { "ok_message": uses } })
    }

    fn with(mut step: Json, key: &str, value: Json) -> Json {
        step[key] = value;
        step
    }

    #[test]
    fn a_workflow_is_read_with_all_that_a_step_can_say() {
        let retry = serde_json::json!({ "attempts": 3, "delay": "500ms" });
        let capture = serde_json::json!({ "token": "json:/access_token", "code": "status" });
        let (workflow, problems) = read_steps(&Json::from(vec![
            with(step("login", ""), "capture", capture),
            with(step("order", "${steps.login.token}"), "retry", retry),
            with(step("patient", ""), "retry", serde_json::json!({ "attempts": 2 })),
            with(with(step("bye", "${steps.login.code}"), "always", true.into()), "needs", "login".into()),
        ]));
        assert_eq!(problems, [""; 0]);
        let retry = |attempts, delay| Retry {
            attempts: NonZeroU32::new(attempts).unwrap(),
            delay: parse_duration(delay).unwrap(),
        };
        let plan = StepPlan::new(&[
            StepDraft { name: "login".into(), captures: vec!["token".into(), "code".into()], ..StepDraft::default() },
            StepDraft {
                name: "order".into(),
                uses: vec![("login".into(), "token".into())],
                retry: retry(3, "500ms"),
                ..StepDraft::default()
            },
            StepDraft { name: "patient".into(), retry: retry(2, "1s"), ..StepDraft::default() },
            StepDraft {
                name: "bye".into(),
                needs: Some(vec!["login".into()]),
                uses: vec![("login".into(), "code".into())],
                always: true,
                ..StepDraft::default()
            },
        ]);
        assert_eq!(*workflow.unwrap().plan, plan.unwrap());
    }

    #[test]
    fn every_problem_is_reported_where_it_is() {
        let capture = serde_json::json!({ "token": "json:/t", "bad": "jsn:/t", "a.b": "status" });
        let steps = Json::from(vec![
            with(step("login", ""), "capture", capture),
            with(step("order", "${steps.login.tokn} ${steps.login.tokn}"), "needs", Json::from(vec!["login", "logn"])),
            with(step("alone", "${steps.login.token}"), "needs", Json::from(Vec::<Json>::new())),
            with(step("ring", "${steps.ring.x}"), "needs", "ring".into()),
            step("login", ""),
            step("a.b", "${steps.x.y}"),
            step("", ""),
        ]);
        let mut found = problems(&steps);
        found.sort();
        assert_eq!(
            found,
            [
                "workflow.steps[0].capture.a.b invalid-name: the name of the captured value contains `.`",
                "workflow.steps[0].capture.bad invalid-capture: this is none of the forms of a capture",
                "workflow.steps[1].simulated.ok_message unknown-capture: \
                 `${steps.login.tokn}`: the step `login` captures no `tokn`",
                "workflow.steps[2].simulated.ok_message step-not-needed: \
                 `${steps.login.token}` is used by a step that does not need `login`",
                "workflow.steps[3].needs needs-ring: the step `ring` needs itself",
                "workflow.steps[3].simulated.ok_message own-capture: \
                 `${steps.ring.x}` is captured only after this step has run",
                "workflow.steps[4].name duplicate-name: a step named `login` stands above (step 1)",
                "workflow.steps[5].name invalid-name: the name of the step contains `.`",
                "workflow.steps[6].name invalid-name: the name of the step is empty",
            ]
        );
        let steps = Json::from(vec![
            step("login", ""),
            with(step("order", "${steps.logn.x}"), "needs", Json::from(vec!["login", "logn"])),
        ]);
        assert_eq!(
            problems(&steps),
            [
                "workflow.steps[1].needs[1] unknown-step: no step is named `logn`",
                "workflow.steps[1].simulated.ok_message unknown-step: `${steps.logn.x}`: no step is named `logn`",
            ]
        );
    }

    #[test]
    fn a_workflow_without_steps_is_an_error() {
        assert_eq!(
            problems(&Json::from(Vec::<Json>::new())),
            ["workflow.steps no-steps: a workflow without steps checks nothing"]
        );
    }

    #[test]
    fn what_the_reader_has_reported_is_not_reported_again() {
        // A step without a kind, and one without a name: the reader of the file says so.
        for steps in [serde_json::json!([{ "name": "login" }]), serde_json::json!([{ "simulated": {} }])] {
            let (workflow, problems) = read_steps(&steps);
            assert!(workflow.is_none());
            assert_eq!(problems, [""; 0]);
        }
    }
}
