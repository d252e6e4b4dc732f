//! Former names that nothing can go on from, because a check still has them, or another one goes on from them.

use std::collections::HashMap;

use super::outline::CheckOutline;
use crate::base::value::{Problem, Severity, SourceSpan};
use crate::config::read::Reader;

/// Reports them, and returns the positions of the checks that have one: nothing goes on from it. Of two checks with one former
/// name the first goes on. `positions` tells where each name stands first.
pub fn report_taken(outlines: &[CheckOutline], positions: &HashMap<&str, usize>, reader: &Reader<'_>) -> Vec<usize> {
    let mut claimed: HashMap<&str, usize> = HashMap::new();
    let line = |position: usize| outlines[position].name_place().line;
    let mut taken = Vec::new();
    for (position, outline) in outlines.iter().enumerate() {
        let Some((former, span)) = outline.formerly() else { continue };
        let former = former.as_str();
        let message = match (positions.get(former), claimed.get(former)) {
            (None, None) => {
                claimed.insert(former, position);
                continue;
            }
            (Some(owner), _) if *owner == position => "`formerly` is the check's own name".to_owned(),
            (Some(owner), _) => {
                let off = if outlines[*owner].disabled().is_some() { ", which is switched off" } else { "" };
                format!("`{former}` is still the name of the check on line {}{off}", line(*owner))
            }
            (None, Some(first)) => format!("the check on line {} goes on from `{former}` already", line(*first)),
        };
        warn(reader, span, message);
        taken.push(position);
    }
    taken
}

fn warn(reader: &Reader<'_>, span: &SourceSpan, message: String) {
    let help = Some("name one that no check has any more, or remove `formerly`".to_owned());
    let (severity, code, span) = (Severity::Warning, "former-name-taken", span.clone());
    reader.session().report(Problem { severity, code, message, help, span });
}

#[cfg(test)]
mod tests {
    use crate::config::source::Environment;

    /// The warnings about these checks, and for each that is in use the name that it goes on from.
    fn read(checks: &str) -> (Vec<String>, Vec<Option<String>>) {
        let text = format!("checks:\n{checks}");
        let unread = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
        let loaded = crate::config::read("test", text.as_bytes(), &Environment::of::<String, String>([]), unread);
        let told = loaded.report.diagnostics().iter();
        let told = told.map(|found| format!("{} {}", found.problem.span.path, found.problem.message)).collect();
        let plan = &loaded.config.unwrap().plan;
        let from = |check: &std::sync::Arc<_>| plan.former_name(check).map(ToString::to_string);
        (told, plan.checks.iter().map(from).collect())
    }

    #[test]
    fn of_two_checks_with_one_former_name_the_first_goes_on_from_it() {
        let (told, from) =
            read("- { name: a, formerly: db, simulated: {} }\n- { name: b, formerly: db, simulated: {} }\n");
        assert_eq!(told, ["checks[1].formerly the check on line 2 goes on from `db` already"]);
        assert_eq!(from, [Some("db".to_owned()), None]);
    }

    #[test]
    fn a_name_that_a_check_has_is_nobody_elses_former_one() {
        let (told, from) = read(concat!(
            "- { name: a, formerly: b, simulated: {} }\n",
            "- { name: b, formerly: a, simulated: {} }\n",
            "- { name: c, formerly: c, simulated: {} }\n",
            "- { name: d, formerly: off, simulated: {} }\n",
            "- { name: off, simulated: {}, disabled: it moves }\n",
            "- { name: e, formerly: gone, simulated: {} }\n",
        ));
        assert_eq!(
            told,
            [
                "checks[0].formerly `b` is still the name of the check on line 3",
                "checks[1].formerly `a` is still the name of the check on line 2",
                "checks[2].formerly `formerly` is the check's own name",
                "checks[3].formerly `off` is still the name of the check on line 6, which is switched off",
            ]
        );
        assert_eq!(from, [None, None, None, None, Some("gone".to_owned())]);
    }
}
