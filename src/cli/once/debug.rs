//! How a run went, for somebody who debugs the check: its phases, and what it saw.

use std::time::Duration;

use super::CheckRun;
use crate::base::quantity::{show_duration, show_size};
use crate::base::trace::{Expectation, Found, Trace};
use crate::model::outcome::{Facts, Outcome, StepReport, one_line};

/// The lines under the row of a check with this declared target. A skip has none.
pub(super) fn run(seen: &CheckRun, target: Option<&str>) -> String {
    let (facts, detail) = match &seen.observation.outcome {
        Outcome::Pass(pass) => (&pass.facts, None),
        Outcome::Fail(failure) | Outcome::Void(failure) => (&failure.facts, failure.detail.as_deref()),
        Outcome::Skip => return String::new(),
    };
    let mut lines = target.map(|target| format!("    target: {}\n", one_line(target))).unwrap_or_default();
    lines += &of_trace(&seen.trace, "    ");
    lines += &of_steps(facts, &seen.trace);
    if let Some(end) = facts.tls_not_after {
        lines += &format!("    certificate: valid until {}\n", end.rfc3339());
    }
    if let Some(detail) = detail {
        lines += &format!("    error: {detail}\n");
    }
    lines
}

fn of_trace(trace: &Trace, indent: &str) -> String {
    let spans: Vec<String> =
        trace.spans().iter().map(|(phase, span)| format!("{} {}", phase.label(), finely(*span))).collect();
    let mut lines = String::new();
    for (word, parts) in [("phases", spans), ("saw", trace.notes())] {
        if !parts.is_empty() {
            lines += &format!("{indent}{word}: {}\n", parts.join(", "));
        }
    }
    lines += &of_expectations(&trace.expectations(), indent);
    if let Some(body) = trace.body() {
        lines += &format!("{indent}body: {}\n", shown(&body));
    }
    lines
}

fn shown(found: &Found) -> String {
    match found {
        Found::This(found) | Found::InOurWords(found) => one_line(found),
        Found::HeldBack => "held back: it may be a secret".into(),
        Found::Binary(bytes) => format!("{} that are no text", show_size(*bytes as u64)),
    }
}

/// A row for each expectation: whether it is held, what of the answer it is about, what that should be, and what was
/// found.
fn of_expectations(expectations: &[Expectation], indent: &str) -> String {
    let rows: Vec<[String; 4]> = expectations.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default() + 2;
    let widths = [width(0), width(1), width(2)];
    let mut lines = String::new();
    for [held, what, wanted, found] in &rows {
        let [first, second, third] = widths;
        lines += &format!("{indent}{held:first$}{what:second$}{wanted:third$}{found}\n");
    }
    lines
}

fn row(expectation: &Expectation) -> [String; 4] {
    let Expectation { what, wanted, holds, found } = expectation;
    [if *holds { "held" } else { "not held" }.into(), one_line(what), one_line(wanted), shown(found)]
}

/// The steps of a workflow, each followed by its attempts.
fn of_steps(facts: &Facts, trace: &Trace) -> String {
    let parts = trace.parts();
    let mut lines = String::new();
    for StepReport { name, state, message, took } in &facts.steps {
        let took = took.map(|took| format!(" in {}", finely(took))).unwrap_or_default();
        lines += &format!("    step {name}: {}{took}: {message}\n", state.label());
        for (_, attempt) in parts.iter().filter(|(of, _)| of == name) {
            lines += &of_trace(attempt, "        ");
        }
    }
    lines
}

/// A phase is often shorter than a millisecond.
fn finely(span: Duration) -> String {
    if span < Duration::from_millis(10) {
        return format!("{:.1}ms", span.as_secs_f64() * 1000.0);
    }
    show_duration(span)
}
