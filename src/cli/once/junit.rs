//! What was found as a report in the XML of JUnit, which pipelines show.

use std::fmt::Write;
use std::time::Duration;

use super::{OnceResult, debug, detail};
use crate::model::index::CheckIndex;
use crate::model::outcome::FailureKind;
use crate::model::state::State;
use crate::model::verdict::{Judged, JudgedState};

/// The report: one suite, a test case for each check in the order of the file. A defect of probelet is an `error`, what
/// waits for another check, is switched off or cannot be judged is `skipped`.
pub(super) fn report(found: &OnceResult, judged: &Judged<'_>, verbose: bool) -> String {
    let all = || judged.indices();
    let count = |wanted: fn(&Case<'_>) -> bool| all().filter(|check| wanted(&case(judged, *check))).count();
    let totals = format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="{}" time="{}""#,
        judged.len() + found.not_run().count(),
        count(|case| matches!(case, Case::Failed(_))),
        count(|case| matches!(case, Case::Broken)),
        count(|case| matches!(case, Case::Skipped)) + found.not_run().count(),
        seconds(found.took)
    );
    let service = escaped(&found.snapshot.plan.service.name);
    let timestamp = found.reading.wall.before(found.took).rfc3339();
    let mut cases: String = all().map(|check| test_case(found, judged, check, verbose)).collect();
    for (word, off) in found.not_run() {
        let (name, kind, reason) = (escaped(off.name.as_str()), off.kind, escaped(&off.reason));
        cases += &format!(
            "    <testcase classname=\"{kind}\" name=\"{name}\" time=\"0.000\">\n      <skipped message=\"{word}: {reason}\"/>\n    </testcase>\n"
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"probelet\" {totals}>\n  \
         <testsuite name=\"{service}\" timestamp=\"{timestamp}\" {totals}>\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

enum Case<'a> {
    Passed,
    Worrying,
    Skipped,
    Failed(&'a str),
    Broken,
}

fn case<'a>(judged: &Judged<'a>, check: CheckIndex) -> Case<'a> {
    let reason = judged.check(check).last.as_ref().and_then(|last| last.reason);
    match (judged.state(check), reason) {
        (JudgedState::Fresh(State::Ok), _) => Case::Passed,
        (JudgedState::Fresh(State::Degraded), _) => Case::Worrying,
        (JudgedState::Fresh(State::Skipped), _) => Case::Skipped,
        (_, Some(FailureKind::Bug)) => Case::Broken,
        (_, reason) => Case::Failed(reason.map_or("pending", FailureKind::label)),
    }
}

fn test_case(found: &OnceResult, judged: &Judged<'_>, check: CheckIndex, verbose: bool) -> String {
    let definition = judged.definition(check);
    let took = judged.check(check).last.as_ref().and_then(|last| last.took).unwrap_or_default();
    let (message, mut output) = (escaped(&detail(judged, check)), String::new());
    let mut content = match case(judged, check) {
        Case::Passed => String::new(),
        Case::Worrying => {
            output = format!("degraded: {}\n", detail(judged, check));
            String::new()
        }
        Case::Skipped => format!("      <skipped message=\"{message}\"/>\n"),
        Case::Failed(reason) => format!("      <failure type=\"{reason}\" message=\"{message}\"/>\n"),
        Case::Broken => format!("      <error type=\"bug\" message=\"{message}\"/>\n"),
    };
    if let (true, Some(seen)) = (verbose, &found.seen[check]) {
        output += &debug::run(seen, definition.target.as_deref());
    }
    if !output.is_empty() {
        let lines: Vec<String> = output.trim_end().lines().map(escaped).collect();
        content += &format!("      <system-out>{}</system-out>\n", lines.join("\n"));
    }
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        escaped(definition.kind),
        escaped(definition.name.as_str()),
        seconds(took)
    );
    if content.is_empty() { format!("{head}/>\n") } else { format!("{head}>\n{content}    </testcase>\n") }
}

fn seconds(span: Duration) -> String {
    format!("{:.3}", span.as_secs_f64())
}

/// `text` as it may stand between tags and in an attribute. Characters that XML 1.0 does not have (its section 2.2)
/// become U+FFFD; a line break would become a blank in an attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&apos;",
            '\n' | '\r' | '\t' => {
                // Writing to a string cannot fail.
                let _ = write!(safe, "&#{};", u32::from(character));
            }
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            plain => safe.push(plain),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_message_holds_the_report_stays_xml() {
        assert_eq!(escaped(r#"<a href="x">'&'</a>"#), "&lt;a href=&quot;x&quot;&gt;&apos;&amp;&apos;&lt;/a&gt;");
        assert_eq!(escaped("one\ntwo\u{1b}[31m\u{0}\u{ffff}"), "one&#10;two\u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(escaped("]]> 日本 \u{1f600}"), "]]&gt; 日本 \u{1f600}");
    }
}
