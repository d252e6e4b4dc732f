//! The script of a simulation: how long it goes, what fails when, and what kubelet asks.

mod processes;

use std::path::Path;
use std::time::Duration;

use processes::process_events;
pub use processes::{ProcessEvents, ProcessFault};

use super::kubelet::request::{ProbeRequest, RequestSubject};
use super::pod::{Container, Handler, Pod, PodProbe, Port, ProbeTiming, Purpose};
use crate::base::clock::{Moment, Reading, Timestamp};
use crate::base::field::{Field, ValueType};
use crate::base::quantity::show_duration;
use crate::base::value::{Section, Value};
use crate::config::diagnostic::Report;
use crate::config::document;
use crate::config::source::Environment;
use crate::model::index::CheckIndex;
use crate::model::plan::Plan;
use crate::model::verdict::Judged;
use crate::scheduler::machine::Machine;

/// The most that one simulation does, in runs times checks to be judged after each: some seconds of work.
const MAX_WORK: u128 = 20_000_000;
/// The longest simulation.
const MAX_LENGTH: Duration = Duration::from_secs(24 * 3600);

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// How long it goes.
    pub length: Duration,
    /// What fails when; where two overlap, the later one in the file holds.
    pub faults: Vec<Fault>,
    /// What kubelet asks.
    pub pod: Option<Pod>,
    /// What happens to the processes of the app and of the sidecar.
    pub process_events: ProcessEvents,
}

/// A check that does not find its target well for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The position of the check.
    pub check: CheckIndex,
    /// Runs from here on are met by it.
    pub from: Duration,
    /// Runs from here on are not.
    pub to: Duration,
    /// What they find.
    pub outcome: FaultKind,
}

/// What a run finds during a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It fails at once.
    Fail,
    /// It passes after this time, if its timeout allows.
    Slow(Duration),
    /// It gets no answer.
    Hang,
}

impl FaultKind {
    /// What happens to the target, for people.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Fail => "fails".into(),
            Self::Slow(latency) => format!("takes {}", show_duration(latency)),
            Self::Hang => "hangs".into(),
        }
    }
}

/// Reads the scenario in the file at `path`, for a daemon with `plan` that listens on `port`.
pub fn load(path: &Path, environment: &Environment, plan: &Plan, port: u16) -> (Option<Scenario>, Report) {
    document::load(path, environment, FIELDS, |fields| judge(fields, plan, port))
}

const SECOND: Duration = Duration::from_secs(1);

const FIELDS: &[Field] = &[
    Field::required("for", ValueType::Duration { min: SECOND }, "How long the simulation goes."),
    Field::optional("faults", ValueType::List(&ValueType::Section(FAULT)), "What fails when."),
    Field::optional("pod", ValueType::Section(POD), "What kubelet asks."),
    Field::optional("app", ValueType::Section(APP), "What happens to the app's process."),
    Field::optional("sidecar", ValueType::Section(SIDECAR), "What happens to probelet's process."),
];

const FAULT: &[Field] = &[
    Field::required("check", ValueType::Text, "The check whose target is not well."),
    Field::with_default("from", ValueType::Duration { min: Duration::ZERO }, "0s", "When it begins."),
    Field::optional("to", ValueType::Duration { min: Duration::ZERO }, "When it is over. Default: never."),
    Field::required("outcome", ValueType::Word(&["fail", "slow", "hang"]), "What its runs find."),
    Field::optional("latency", ValueType::Duration { min: Duration::ZERO }, "How long a slow run takes."),
];

const MOMENTS: ValueType = ValueType::OneOrMany(&ValueType::Duration { min: Duration::ZERO });

const APP: &[Field] = &[
    Field::optional("exits", MOMENTS, "When it exits by itself."),
    Field::with_default(
        "starts_in",
        ValueType::Duration { min: Duration::ZERO },
        "0s",
        "How long it takes until it serves when its container starts again.",
    ),
    Field::with_default(
        "first_start",
        ValueType::Duration { min: Duration::ZERO },
        "0s",
        "The same for the first start.",
    ),
];

const SIDECAR: &[Field] = &[
    Field::optional("frozen", ValueType::OneOrMany(&ValueType::DurationRange), "When it stands still: `30s..60s`."),
    Field::optional("killed", MOMENTS, "When it is killed."),
];

const POD: &[Field] = &[
    Field::optional("startup", ValueType::Section(&probe("/startupz")), "The start-up probe."),
    Field::optional("liveness", ValueType::Section(&probe("/livez")), "The liveness probe."),
    Field::optional("readiness", ValueType::Section(&probe("/readyz")), "The readiness probe."),
];

const fn probe(endpoint: &'static str) -> [Field; 6] {
    const COUNT: ValueType = ValueType::Integer { min: 1, max: 1_000_000 };
    [
        Field::with_default("endpoint", ValueType::Text, endpoint, "What it asks."),
        Field::with_default("period", ValueType::Duration { min: SECOND }, "10s", "From question to question."),
        Field::with_default("timeout", ValueType::Duration { min: SECOND }, "1s", "How long it waits for an answer."),
        Field::with_default("failure_threshold", COUNT, "3", "This many failures in a row make kubelet act."),
        Field::with_default("success_threshold", COUNT, "1", "This many passes in a row make it believe."),
        Field::with_default(
            "initial_delay",
            ValueType::Duration { min: Duration::ZERO },
            "0s",
            "Before the first one.",
        ),
    ]
}

fn judge(fields: &Section, plan: &Plan, port: u16) -> Option<Scenario> {
    let length = fields.duration("for")?;
    if length > MAX_LENGTH {
        let help = Some("play the part in which something fails".into());
        fields.error("for", "out-of-range", "a scenario goes for a day at most", help);
        return None;
    }
    if work(plan, length) > MAX_WORK {
        let message = format!("{} of so many runs of so many checks are too much to play", show_duration(length));
        fields.error("for", "out-of-range", message, Some("play the part in which something fails".into()));
        return None;
    }
    let sections = fields.list("faults").into_iter().filter_map(|located| match &located.value {
        Value::Section(section) => Some(section),
        _ => None,
    });
    let faults = sections.filter_map(|section| fault(section, plan, length)).collect();
    let pod = fields.section("pod").map(|section| pod(section, plan, port));
    Some(Scenario { length, faults, pod, process_events: process_events(fields, length) })
}

fn too_late(what: &str, at: Duration) -> String {
    format!("{what} at {}, the end of the scenario or later", show_duration(at))
}

fn within(length: Duration) -> String {
    format!("let it happen earlier, or play longer than `for: {}`", show_duration(length))
}

fn fault(fields: &Section, plan: &Plan, length: Duration) -> Option<Fault> {
    let check = fields.text("check").and_then(|name| check(fields, &name.fixed()?, plan));
    let (from, to) = (fields.duration("from")?, fields.duration("to").unwrap_or(length));
    if from >= length {
        let message = format!("the fault begins at {}, the end of the scenario or later", show_duration(from));
        let help = format!("let it begin earlier, or play longer than `for: {}`", show_duration(length));
        fields.error("from", "invalid-value", message, Some(help));
    } else if to <= from {
        let message =
            format!("the fault is over at {}, before it begins at {}", show_duration(to), show_duration(from));
        fields.error("to", "invalid-value", message, Some("`from` and `to` are counted from the start".into()));
    }
    let outcome = match (fields.word("outcome")?, fields.duration("latency")) {
        ("slow", Some(latency)) => FaultKind::Slow(latency),
        ("slow", None) => {
            let help = Some("add `latency: …`, such as `latency: 3s`".into());
            fields.error("outcome", "missing-key", "a slow fault needs its `latency`", help);
            return None;
        }
        (_, Some(_)) => {
            let help = Some("remove it, or write `outcome: slow`".into());
            fields.error("latency", "invalid-value", "`latency` belongs to `outcome: slow`", help);
            return None;
        }
        ("hang", None) => FaultKind::Hang,
        _ => FaultKind::Fail,
    };
    Some(Fault { check: check?, from, to: to.min(length), outcome })
}

fn check(fields: &Section, name: &str, plan: &Plan) -> Option<CheckIndex> {
    let position = plan.position(name);
    if position.is_none() {
        let names = || plan.checks.iter().map(|check| check.name.as_str());
        let help = match document::nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a check of the configuration".into(),
        };
        let message = format!("there is no check `{}`", name.escape_debug());
        fields.error("check", "unknown-check", message, Some(help));
    }
    position
}

/// The pod of the scenario: one container, `app`, with these probes.
fn pod(fields: &Section, plan: &Plan, port: u16) -> Pod {
    let probe = |purpose: Purpose| fields.section(purpose.label()).and_then(|section| asks(section, plan, port));
    let app = Container {
        name: "app".into(),
        startup: probe(Purpose::Startup),
        readiness: probe(Purpose::Readiness),
        liveness: probe(Purpose::Liveness),
        ..Container::default()
    };
    Pod { name: "the scenario's pod".into(), containers: vec![app], ..Pod::default() }
}

fn asks(fields: &Section, plan: &Plan, port: u16) -> Option<PodProbe> {
    let count = |key| fields.integer(key).and_then(|count| u32::try_from(count).ok());
    let path = fields.text("endpoint")?.fixed()?;
    let subject = subject_of(&path, plan);
    if subject == RequestSubject::Guarded {
        let message = format!("`{}` wants `server.token`: the probe never passes", path.escape_debug());
        let help = "write `/livez`, `/readyz` or `/startupz`".to_owned();
        fields.error("endpoint", "invalid-value", message, Some(help));
    } else if !path.starts_with('/')
        || matches!(subject, RequestSubject::Nothing | RequestSubject::TurnedOff | RequestSubject::Stream)
    {
        let near = document::nearest(&path, ["/livez", "/readyz", "/startupz", "/healthz", "/alive", "/ready"]);
        let help = near.map_or_else(
            || "write `/livez`, `/readyz`, `/startupz` or `/healthz`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("probelet has no path `{}`", path.escape_debug());
        fields.error("endpoint", "invalid-value", message, Some(help));
    }
    let timing = ProbeTiming {
        initial_delay: fields.duration("initial_delay")?,
        period: fields.duration("period")?,
        timeout: fields.duration("timeout")?,
        failures: count("failure_threshold")?,
        successes: count("success_threshold")?,
    };
    Some(PodProbe {
        asks: Handler::Http { path, port: Port::Number(port), tls: false, host: None, authorized: false },
        timing,
        grace: None,
    })
}

fn subject_of(path: &str, plan: &Plan) -> RequestSubject {
    let now = Reading { moment: Moment::default(), wall: Timestamp::default() };
    let snapshot = Machine::new(std::sync::Arc::new(plan.clone()), "", now).snapshot(now);
    ProbeRequest::of(path, &Judged::new(&snapshot, now.moment)).subject
}

/// How much there is to do in a timeline of this length: runs, times the checks that are judged after each.
#[must_use]
pub fn work(plan: &Plan, length: Duration) -> u128 {
    let runs: u128 = plan.checks.iter().map(|check| length.as_millis() / check.interval.as_millis().max(1)).sum();
    runs.saturating_mul(plan.checks.len() as u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::Definition;
    use crate::model::plan::testing::{check, plan};

    fn read(text: &str) -> (Option<Scenario>, Report) {
        let plan = plan(vec![check("db_connection"), check("cache")]);
        let environment = Environment::of::<String, String>([]);
        crate::config::document::read("outage.yaml", text.as_bytes(), &environment, FIELDS, |fields| {
            judge(fields, &plan, 10240)
        })
    }

    fn problems(text: &str) -> Vec<String> {
        let (_, report) = read(text);
        let line = |found: &crate::base::value::Problem| {
            let (line, column) = (found.span.line, found.span.column);
            format!("{line}:{column} {}: {} ({})", found.code, found.message, found.help.as_deref().unwrap_or_default())
        };
        report.diagnostics().iter().map(|diagnostic| line(&diagnostic.problem)).collect()
    }

    #[test]
    fn the_example_of_the_reference_is_read() {
        let (scenario, report) = read(
            "\
for: 5m
faults:
  - { check: db_connection, from: 30s, to: 90s, outcome: fail }
  - { check: cache, from: 60s, to: 70s, outcome: slow, latency: 3s }
pod:
  liveness: { endpoint: /livez, period: 10s, timeout: 1s, failure_threshold: 3 }
  readiness: { period: 5s, success_threshold: 2 }
",
        );
        assert_eq!(report.text(false), "outage.yaml is valid\n");
        let scenario = scenario.unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(
            scenario.faults,
            [
                Fault { check: CheckIndex::new(0), from: seconds(30), to: seconds(90), outcome: FaultKind::Fail },
                Fault {
                    check: CheckIndex::new(1),
                    from: seconds(60),
                    to: seconds(70),
                    outcome: FaultKind::Slow(seconds(3))
                },
            ]
        );
        let app = &scenario.pod.unwrap().containers[0];
        assert_eq!(app.liveness.as_ref().unwrap().timing, ProbeTiming::default());
        let readiness = ProbeTiming { period: seconds(5), successes: 2, ..ProbeTiming::default() };
        assert_eq!((app.startup.as_ref(), app.readiness.as_ref().unwrap().timing), (None, readiness));
    }

    #[test]
    fn every_mistake_is_told_at_its_place_with_what_to_write() {
        let text = "\
for: 1m
faults:
  - { check: db_conection, outcome: fail }
  - { check: cache, from: 2m, outcome: hang }
  - { check: cache, from: 30s, to: 20s, outcome: hang }
  - { check: cache, outcome: slow }
  - { check: cache, outcome: fail, latency: 3s }
  - { check: cache, outcome: explode }
pod:
  readiness: { endpoint: /readz }
";
        assert_eq!(
            problems(text),
            [
                "3:14 unknown-check: there is no check `db_conection` (did you mean `db_connection`?)",
                "4:27 invalid-value: the fault begins at 2m, the end of the scenario or later (let it begin earlier, or play \
             longer than `for: 1m`)",
                "5:36 invalid-value: the fault is over at 20s, before it begins at 30s (`from` and `to` are counted from the \
             start)",
                "6:30 missing-key: a slow fault needs its `latency` (add `latency: …`, such as `latency: 3s`)",
                "7:45 invalid-value: `latency` belongs to `outcome: slow` (remove it, or write `outcome: slow`)",
                "8:30 unknown-word: `explode` is not `fail`, `slow` or `hang` ()",
                "10:26 invalid-value: probelet has no path `/readz` (did you mean `/readyz`?)",
            ]
        );
    }

    #[test]
    fn a_probe_that_lacks_the_token_is_refused() {
        let mut guarded = Plan::clone(&plan(vec![check("app")]));
        guarded.answers.token = Some(crate::base::token::Token::new("hunter2"));
        assert_eq!(subject_of("/healthz", &guarded), RequestSubject::Guarded);
        assert_eq!(subject_of("/livez", &guarded), RequestSubject::Endpoint(crate::model::verdict::Endpoint::Livez));
    }

    #[test]
    fn what_happens_to_processes_is_read() {
        let text = "\
for: 2m
app: { exits: [50s, 31s], starts_in: 40s }
sidecar: { frozen: 30s..60s, killed: 100s }
";
        let (scenario, report) = read(text);
        assert_eq!(report.text(false), "outage.yaml is valid\n");
        let seconds = Duration::from_secs;
        let process_events = ProcessEvents {
            exits: vec![seconds(31), seconds(50)],
            starts_in: seconds(40),
            first_start: Duration::ZERO,
            frozen: vec![(seconds(30), seconds(60))],
            killed: vec![seconds(100)],
        };
        assert_eq!(scenario.unwrap().process_events, process_events);
        let process_faults = [
            ProcessFault::Freezes,
            ProcessFault::AppExits,
            ProcessFault::AppExits,
            ProcessFault::Thaws,
            ProcessFault::Killed,
        ];
        assert_eq!(
            process_events
                .process_faults(seconds(120))
                .into_iter()
                .map(|(_, process_fault)| process_fault)
                .collect::<Vec<_>>(),
            process_faults
        );
    }

    #[test]
    fn mistakes_about_processes_are_told_at_their_places() {
        let text = "\
for: 1m
app: { exits: [10s, 90s], start_in: 40s }
sidecar: { frozen: [10s, 70s..80s, 20s..30s, 25s..40s], killed: 60s }
";
        assert_eq!(
            problems(text),
            [
                "2:21 invalid-value: the app exits at 1m30s, the end of the scenario or later (let it happen earlier, or play \
                 longer than `for: 1m`)",
                "2:27 unknown-key: unknown key `start_in` (did you mean `starts_in`?)",
                "3:21 invalid-value: a freeze has a beginning and an end (write both, such as `10s..40s`)",
                "3:26 invalid-value: the sidecar is frozen at 1m10s, the end of the scenario or later (let it happen earlier, or \
                 play longer than `for: 1m`)",
                "3:46 invalid-value: two freezes overlap (write one that covers both)",
                "3:65 invalid-value: the sidecar is killed at 1m, the end of the scenario or later (let it happen earlier, or \
                 play longer than `for: 1m`)",
            ]
        );
    }

    #[test]
    fn a_simulation_that_would_take_hours_is_refused() {
        let long = "1:6 out-of-range: a scenario goes for a day at most (play the part in which something fails)";
        assert_eq!(problems("for: 52w"), [long]);
        let quick = |index| Definition { interval: Duration::from_millis(100), ..check(&format!("quick-{index}")) };
        let plan = plan((0..10).map(quick).collect());
        let environment = Environment::of::<String, String>([]);
        let judge = |fields: &Section| judge(fields, &plan, 10240);
        let (_, report) = crate::config::document::read("outage.yaml", b"for: 1d", &environment, FIELDS, judge);
        let message = "1d of so many runs of so many checks are too much to play";
        assert_eq!(report.diagnostics()[0].problem.message, message);
    }
}
