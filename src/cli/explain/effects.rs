//! The decision matrix and the time budgets, as text.

use std::sync::Arc;
use std::time::Duration;

use super::wrap::wrapped;
use crate::base::quantity::show_duration;
use crate::model::index::CheckIndex;
use crate::model::plan::{DisabledCheck, Plan};
use crate::model::verdict::{Endpoint, Verdict};
use crate::simulation::behind::skipped_behind;
use crate::simulation::budget::{Budget, closes_readiness_first, until_error};
use crate::simulation::impact::Impact;
use crate::simulation::kubelet::{ContainerRole, ProbedContainer, SidecarProbe, StopTiming};
use crate::simulation::matrix::{Matrix, MatrixPhase, MatrixRow};
use crate::simulation::pod::Purpose;

/// What the failure of each check closes, at start-up and later: one table, whose legend says what differs.
pub fn matrix(plan: &Arc<Plan>) -> String {
    let (at_start, later) = (Matrix::new(plan, MatrixPhase::StartUp), Matrix::new(plan, MatrixPhase::Service));
    let (at_start, later) = (at_start.rows(), later.rows());
    let skipped = skipped_behind(plan, MOST_NAMES);
    let mut text = "What a failure does, when one check fails and all others pass\n".to_owned();
    let name = later.iter().map(|row| plan.checks[row.check].name.as_str().len()).chain([5]).max().unwrap_or(5);
    text += &format!("\n  {:name$}  {:8}  {:8}  {:9}  /healthz\n", "check", "/livez", "/readyz", "/startupz");
    for (start, row) in at_start.iter().zip(later) {
        let cell = |endpoint: Endpoint| word(start.verdicts[endpoint as usize], row.verdicts[endpoint as usize]);
        let [live, ready, startup, health] = Endpoint::ALL.map(cell);
        let check = plan.checks[row.check].name.as_str();
        text += &format!("  {check:name$}  {live:8}  {ready:8}  {startup:9}  {health}\n");
        let skips = &skipped[row.check];
        if skips.count > 0 {
            text += &wrapped("      skips ", &some_names(plan, &skips.first, skips.count), 12);
        }
    }
    let says = |wanted: &str| {
        let verdicts = |(start, row): (&MatrixRow, &MatrixRow)| start.verdicts.into_iter().zip(row.verdicts);
        at_start.iter().zip(later).flat_map(verdicts).any(|(start, later)| word(start, later) == wanted)
    };
    let legend: String = LEGEND
        .iter()
        .filter(|(word, _)| says(word))
        .map(|(word, means)| wrapped(&format!("  {word}: "), means, 6))
        .collect();
    if legend.is_empty() { text } else { text + "\n" + &legend }
}

/// What the words mean that stand where start-up and service differ.
const LEGEND: [(&str, &str); 2] = [
    (AT_START, "closed until /readyz has been open once, if the check has never passed; from then on not"),
    (
        LATER,
        "closed once /readyz has been open; before, the failure of a check that has never passed does not close it",
    ),
];
const AT_START: &str = "at start";
const LATER: &str = "later";

/// The checks that are switched off, with their reasons.
pub fn switched_off(plan: &Plan) -> String {
    let line = |check: &DisabledCheck| wrapped(&format!("  {}: ", check.name), &check.reason, 6);
    let lines: String = plan.disabled.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("\nSwitched off: not run, and nothing is judged by them\n\n{lines}") }
}

/// What a failure does to an endpoint at the start, and later.
fn word(at_start: Verdict, later: Verdict) -> &'static str {
    match (at_start, later) {
        (Verdict::Error, Verdict::Error) => "closed",
        (Verdict::Error, _) => AT_START,
        (_, Verdict::Error) => LATER,
        (Verdict::Ok, Verdict::Ok) => "-",
        _ => "degraded",
    }
}

fn names(plan: &Plan, checks: &[CheckIndex]) -> String {
    checks.iter().map(|check| plan.checks[*check].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// So many checks are named in a row.
const MOST_NAMES: usize = 20;

/// The first of so many checks, of which these are the first or all, and how many more there are.
fn some_names(plan: &Plan, first: &[CheckIndex], count: usize) -> String {
    match count.checked_sub(MOST_NAMES) {
        Some(more @ 1..) => format!("{}, … and {more} more", names(plan, &first[..MOST_NAMES])),
        _ => names(plan, first),
    }
}

/// How long an outage of each check takes at most to be seen, and to be acted upon by kubelet.
pub fn budgets(plan: &Arc<Plan>, containers: &[ProbedContainer]) -> String {
    let mut text = "How long an outage takes at most to be seen, once the pod is in service\n".to_owned();
    let matrix = Matrix::new(plan, MatrixPhase::Service);
    let impact = Impact::new(&matrix, plan, containers);
    for row in matrix.rows() {
        let budget = until_error(plan, row.check);
        text += &format!("\n  {}\n", plan.checks[row.check].name);
        text += &line(budget.total, &format!("error: {}", made_of(plan, row.check, &budget)));
        let first = Some(budget.first).filter(|_| closes_readiness_first(&plan.checks[row.check]));
        let first = first.filter(|first| *first < budget.total);
        if let Some(first) = first {
            text += &line(first, "/readyz closes at the first failure");
        }
        text += &line(budget.total, &closes(row, first.is_some()));
        for (container, asking, after) in impact.of(row.check) {
            text += &line(after, &reaction(container, asking));
        }
    }
    for container in containers {
        let startup = container.probes.iter().find(|asking| asking.purpose == Purpose::Startup);
        text += &startup.map(|asking| start(container, asking)).unwrap_or_default();
    }
    text + &end(containers)
}

/// What happens when the pod is deleted, and when.
fn end(containers: &[ProbedContainer]) -> String {
    let sidecar = containers.iter().find(|container| matches!(container.role, ContainerRole::Sidecar { .. }));
    let Some(sidecar) = sidecar else { return String::new() };
    let mut lines = Vec::new();
    if matches!(sidecar.role, ContainerRole::Sidecar { drains: true, .. }) {
        lines.push((Duration::ZERO, format!("{} drains: /readyz closes", sidecar.name)));
    }
    let is_last = |container: &ProbedContainer| container.native;
    for container in containers.iter().filter(|container| !is_last(container)) {
        let StopTiming { hook, grace } = container.stop;
        lines.push(match hook {
            hook if hook.is_zero() => (hook, format!("{} gets SIGTERM", container.name)),
            hook if hook >= grace => {
                (grace, format!("{} is killed: its preStop hook takes {}", container.name, show_duration(hook)))
            }
            hook => (hook, format!("{} gets SIGTERM, after its preStop hook", container.name)),
        });
    }
    let grace = sidecar.stop.grace;
    lines.sort_by_key(|(at, _)| *at);
    let then = if sidecar.native {
        format!("; {} gets SIGTERM once the others have ended", sidecar.name)
    } else {
        String::new()
    };
    lines.push((grace, format!("what still runs is killed{then}")));
    let lines: String = lines.into_iter().map(|(at, text)| line(at, &text)).collect();
    format!("\n  end of the pod\n{lines}")
}

/// How long the app may take to start.
fn start(container: &ProbedContainer, asking: &SidecarProbe) -> String {
    let timing = asking.timing;
    let text = format!("is restarted unless its startup probe has passed: {}", failures(asking));
    let after = timing.initial_delay.saturating_add(timing.patience());
    format!("\n  start of {}\n{}", container.name, line(after, &text))
}

fn line(after: Duration, text: &str) -> String {
    let after = if after.is_zero() { "0s".to_owned() } else { show_duration(after) };
    wrapped(&format!("  {after:>8}  "), text, 12)
}

fn made_of(plan: &Plan, check: CheckIndex, budget: &Budget) -> String {
    let age = if plan.checks[check].max_age.is_zero() { "max_connection_age" } else { "max_age" };
    let unseen = Some(format!("{} {age}", show_duration(budget.unseen))).filter(|_| !budget.unseen.is_zero());
    let look = budget.until_look.map(|look| format!("{} until its last beat is looked at", show_duration(look)));
    let mut parts: Vec<_> = look.into_iter().chain(unseen).collect();
    parts.push(format!("{} until its next run", show_duration(budget.until_run)));
    let more = match budget.failures {
        1 => None,
        2 => Some("one more has failed".to_owned()),
        failures => Some(format!("{} more have failed", failures - 1)),
    };
    parts.extend(more.map(|more| format!("{} until {more}", show_duration(budget.between))));
    parts.push(format!("{} timeout", show_duration(budget.timeout)));
    if let Some(confirmation) = budget.confirmation {
        let parents = &plan.checks[check].depends_on;
        let parents = some_names(plan, parents, parents.len());
        parts.push(format!("{} until {parents} passed again", show_duration(confirmation)));
    }
    parts.join(" + ")
}

/// What the failure closes, but for `/readyz` where that has closed before.
fn closes(row: &MatrixRow, but_readyz: bool) -> String {
    let closed: Vec<_> = Endpoint::ALL
        .iter()
        .filter(|endpoint| row.closes(**endpoint) && !(but_readyz && **endpoint == Endpoint::Readyz))
        .map(|endpoint| format!("/{}", endpoint.label()))
        .collect();
    match &closed[..] {
        [] => "closes nothing".into(),
        [one] => format!("{one} closes"),
        [most @ .., last] => format!("{} and {last} close", most.join(", ")),
    }
}

fn reaction(container: &ProbedContainer, asking: &SidecarProbe) -> String {
    let does = match asking.purpose {
        Purpose::Readiness => "gets no traffic",
        Purpose::Startup | Purpose::Liveness => "is restarted",
    };
    let purpose = asking.purpose.label();
    format!("{} {does}: + {} (its {purpose} probe)", container.name, failures(asking))
}

/// `3 failures, 10s apart`
fn failures(asking: &SidecarProbe) -> String {
    match asking.timing.failures {
        1 => format!("1 failure within {}", show_duration(asking.timing.period)),
        failures => format!("{failures} failures, {} apart", show_duration(asking.timing.period)),
    }
}
