//! The key `allow`: warnings that are meant to be so, silenced by their codes, each with a reason.

use std::rc::Rc;

use crate::base::value::{ParseSession, Problem, Section, Severity, SourceSpan, Spanned, Value};
use crate::config::diagnostic::{code, nearest_warning};
use crate::config::quote::told_key;

/// The code under which an `allow` without effect is reported; it can be allowed itself.
const UNUSED: &str = "unused-allow";

/// A reading for one section of `document`: what it finds reaches the document by [`hand_over`].
pub fn apart_from(document: &Rc<ParseSession>) -> Rc<ParseSession> {
    ParseSession::within(document)
}

/// The same for a section that is not in use.
pub fn apart_from_unused(document: &Rc<ParseSession>) -> Rc<ParseSession> {
    ParseSession::within_unused(document)
}

/// Reports to `document` what `section` (a check, or the whole file) has found, but for the warnings that its key
/// `allow` silences.
pub fn hand_over(fields: Option<&Section>, section: &ParseSession, document: &ParseSession) {
    let allowed = fields.map_or(&[][..], |fields| fields.map("allow"));
    let found = section.problems();
    let names = |code: &str| allowed.iter().any(|(name, _)| name == code);
    let mut wrong: Vec<Problem> = allowed.iter().filter_map(|(name, reason)| mistake(name, reason)).collect();
    // While something is an error, warnings may be missing that come once it is mended.
    if found.iter().chain(&wrong).all(|problem| problem.severity == Severity::Warning) {
        let is_file = fields.is_some_and(|fields| fields.span().path.is_empty());
        wrong.extend(unused(allowed, &found, is_file).into_iter().filter(|problem| {
            // What allows them can be without effect itself, and is then reported.
            !names(UNUSED) || problem.span.path.text().ends_with(UNUSED)
        }));
    }
    let silenced = |problem: &Problem| problem.severity == Severity::Warning && names(problem.code);
    let remaining = found.into_iter().filter(|problem| !silenced(problem)).chain(wrong);
    // What several sections take from one place (a default) is wrong once.
    let is_known =
        |problem: &Problem| problem.severity == Severity::Warning && document.has(problem.code, &problem.span);
    // All are looked at before the first is reported: one section can have more to say of one place.
    let new: Vec<Problem> = remaining.filter(|problem| !is_known(problem)).collect();
    new.into_iter().for_each(|problem| document.report(problem));
}

/// What is wrong with one entry, whatever there is to silence.
fn mistake(name: &str, reason: &Spanned) -> Option<Problem> {
    let Some(known) = code(name) else {
        let help = nearest_warning(name).map_or_else(
            || "write the code of a warning, as it stands in brackets in the report".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("there is no warning `{}`", told_key(name));
        return Some(error("unknown-code", message, help, reason.key_span()));
    };
    if known.severity == Severity::Error {
        let message = format!("`{name}` is an error and cannot be silenced");
        return Some(error("not-a-warning", message, "remove it, and mend what is reported".into(), reason.key_span()));
    }
    let Value::Text(text) = &reason.value else { return None };
    text.fixed().is_none_or(|text| text.trim().is_empty()).then(|| {
        let message = format!("there is no reason for `{name}`");
        error("empty-reason", message, "say why it is meant to be so".into(), &reason.span)
    })
}

/// The entries that silence nothing: in the file, or at a check.
fn unused(allowed: &[(String, Spanned)], found: &[Problem], is_file: bool) -> Vec<Problem> {
    let (span, help) = if is_file {
        ("in this file", "remove it")
    } else {
        ("here", "remove it, or put it on the check that has the warning")
    };
    let is_found = |code: &str| found.iter().any(|problem| problem.code == code);
    let report = |(name, reason): &(String, Spanned)| Problem {
        severity: Severity::Warning,
        code: UNUSED,
        message: format!("`{name}` is allowed and there is no such warning {span}"),
        help: Some(help.into()),
        span: reason.key_span().clone(),
    };
    let without_effect: Vec<_> =
        allowed.iter().filter(|(name, _)| name != UNUSED && !is_found(name)).map(report).collect();
    if without_effect.is_empty() && !is_found(UNUSED) {
        allowed.iter().filter(|(name, _)| name == UNUSED).map(report).collect()
    } else {
        without_effect
    }
}

fn error(code: &'static str, message: String, help: String, span: &SourceSpan) -> Problem {
    Problem { severity: Severity::Error, code, message, help: Some(help), span: span.clone() }
}

#[cfg(test)]
mod tests {
    use crate::config::read;
    use crate::config::source::Environment;

    const EXTERNAL: &str = "{ name: a, gates: [live], http: { url: \"http://user.svc/\" }";

    fn problems(text: &str) -> Vec<String> {
        let environment = Environment::of::<String, String>([]);
        let loaded =
            read("test", text.as_bytes(), &environment, Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let line = |found: &crate::config::diagnostic::Diagnostic| {
            let span = &found.problem.span;
            format!("{}:{} {}", span.line, span.column, found.problem.code)
        };
        loaded.report.diagnostics().iter().map(line).collect()
    }

    fn of_check(rest: &str) -> Vec<String> {
        problems(&format!("checks:\n- {EXTERNAL}\n  {rest} }}"))
    }

    #[test]
    fn a_place_may_have_several_warnings_of_one_code() {
        let section = "{ name: a, postgres: { url: 'postgres://bob@db?sslcrl=/x&requirepeer=bob' } }";
        let twice = ["2:31 ineffective-key", "2:31 ineffective-key"];
        assert_eq!(problems(&format!("checks:\n- {section}")), twice);
    }

    #[test]
    fn a_warning_is_silenced_on_its_own_check_alone() {
        assert_eq!(of_check(""), ["2:21 external-gate"]);
        assert_eq!(of_check(", allow: { external-gate: it is meant }"), [""; 0]);
        let other = problems(&format!(
            "checks:\n- {EXTERNAL} }}\n- {{ name: b, simulated: {{}}, allow: {{ external-gate: x }} }}"
        ));
        assert_eq!(other, ["2:21 external-gate", "3:38 unused-allow"]);
    }

    #[test]
    fn at_the_top_a_warning_is_silenced_in_the_whole_file() {
        let of_file = |allow: &str, rest: &str| {
            let other = EXTERNAL.replace("name: a", "name: b");
            problems(&format!("allow: {{ {allow} }}\nchecks:\n- {EXTERNAL} {rest} }}\n- {other} }}"))
        };
        assert_eq!(of_file("external-gate: x", ""), [""; 0]);
        assert_eq!(of_file("external-gate: x", ", allow: { external-gate: x }"), [""; 0]);
        assert_eq!(of_file("bare-tcp: x", ""), ["1:10 unused-allow", "3:21 external-gate", "4:21 external-gate"]);
        assert_eq!(
            of_file("unused-allow: x", ", allow: { external-gate: x, bare-tcp: y }"),
            ["4:21 external-gate"],
            "what a check allows without effect is a warning like any other"
        );
        assert_eq!(
            of_file("external-gate: x", ", interval: 1").last().map(String::as_str),
            Some("3:75 invalid-duration")
        );
    }

    #[test]
    fn what_was_probably_meant_is_a_warning_and_never_an_error() {
        let help = |name: &str| {
            let environment = Environment::of::<String, String>([]);
            let text = format!("allow: {{ {name}: x }}\nchecks: []");
            let loaded =
                read("t", text.as_bytes(), &environment, Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
            loaded.report.diagnostics()[0].problem.help.clone().unwrap_or_default()
        };
        assert_eq!(help("external-gat"), "did you mean `external-gate`?");
        assert_eq!(help("unknown-kye"), "write the code of a warning, as it stands in brackets in the report");
    }

    #[test]
    fn an_entry_without_effect_can_be_allowed_and_that_in_turn_needs_one() {
        assert_eq!(of_check(", allow: { external-gate: x, bare-tcp: y }"), ["3:32 unused-allow"]);
        assert_eq!(of_check(", allow: { external-gate: x, bare-tcp: y, unused-allow: z }"), [""; 0]);
        assert_eq!(of_check(", allow: { external-gate: x, unused-allow: z }"), ["3:32 unused-allow"]);
        assert_eq!(problems("allow: { bare-tcp: x, unused-allow: y }\nchecks: []"), [""; 0]);
    }

    #[test]
    fn a_reason_is_a_text_that_is_not_blank() {
        for reason in ["''", "'  '", "[]"] {
            assert_eq!(
                of_check(&format!(", allow: {{ external-gate: {reason} }}")).len(),
                if reason == "[]" { 2 } else { 1 }
            );
        }
        assert_eq!(of_check(", allow: { external-gate: ' ' }"), ["3:29 empty-reason"]);
        assert_eq!(problems("allow:\nchecks: []"), [""; 0]);
    }
}
