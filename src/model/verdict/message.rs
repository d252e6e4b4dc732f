//! What is said of a check, in one line.

use std::borrow::Cow;

use super::{Judged, JudgedState};
use crate::base::quantity::show_duration;
use crate::model::definition::Definition;
use crate::model::index::CheckIndex;
use crate::model::outcome::one_line;
use crate::model::state::{CheckState, OutcomeKind, State};

impl<'a> Judged<'a> {
    /// Why it stands as it does, in one line: its message, or what a skipped one waits for.
    #[must_use]
    pub fn reason(&self, index: CheckIndex) -> Cow<'a, str> {
        if self.state(index) != JudgedState::Fresh(State::Skipped) {
            return self.message(index);
        }
        let names: Vec<&str> =
            self.awaited(index).into_iter().map(|check| self.definition(check).name.as_str()).collect();
        format!("waits for {}", names.join(", ")).into()
    }

    /// What a skipped check waits for: its root causes, or its parents where none is left.
    fn awaited(&self, index: CheckIndex) -> Vec<CheckIndex> {
        let causes = self.causes_of(index);
        if causes.is_empty() { self.definition(index).depends_on.clone() } else { causes }
    }

    /// What to say about it in one line, as in the json answer.
    #[must_use]
    pub fn message(&self, index: CheckIndex) -> Cow<'a, str> {
        match self.state(index) {
            JudgedState::Stale => {
                let age = show_duration(self.age(index).unwrap_or_default());
                match &self.check(index).no_verdict {
                    Some(why) => one_line(&format!("last result {age} ago; no verdict since: {why}")).into(),
                    None => format!("last result {age} ago").into(),
                }
            }
            JudgedState::Fresh(_) => said_of(self.check(index), self.definition(index)),
        }
    }
}

/// What to say in one line about a check whose result is fresh.
#[must_use]
pub fn said_of<'a>(check: &'a CheckState, definition: &Definition) -> Cow<'a, str> {
    let last = check.last.as_ref();
    match check.state {
        State::Skipped => "Skipped due to upstream failure".into(),
        State::Pending => match (&check.no_verdict, last) {
            (Some(why), _) => why.as_ref().into(),
            _ if check.awaits_the_new_container() => "seen before this start".into(),
            (None, Some(last)) if last.outcome == OutcomeKind::Fail => last.message.as_str().into(),
            _ => "no result yet".into(),
        },
        state => {
            let Some(last) = last else { return "no result yet".into() };
            let thresholds = &definition.thresholds;
            match last.outcome {
                OutcomeKind::Fail if state.is_up() && check.failures > 0 => {
                    format!("{} (failure {} of {})", last.message, check.failures, thresholds.failure).into()
                }
                OutcomeKind::Pass if state == State::Error && check.passes > 0 => {
                    format!("{} (pass {} of {})", last.message, check.passes, thresholds.success).into()
                }
                _ => last.message.as_str().into(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::testing::check;
    use crate::model::plan::{Definition, Thresholds};
    use crate::model::verdict::testing::{NOW, snapshot};

    #[test]
    fn messages_say_how_things_stand() {
        let thrice = Definition {
            thresholds: Thresholds { failure: 3.try_into().unwrap(), success: 2.try_into().unwrap() },
            ..check("x")
        };
        let cases = [
            ("", "no result yet"),
            ("pp", "x OK (12ms)"),
            ("ppff", "connection refused (failure 2 of 3)"),
            ("fff", "connection refused"),
            ("fffp", "x OK (12ms) (pass 1 of 2)"),
            ("f", "connection refused"),
            ("-", "Skipped due to upstream failure"),
            ("!pp", "last result 1m40s ago"),
            ("!ppv", "last result 1m50s ago; no verdict since: no local port was left for the run"),
            ("!ppvp", "last result 1m40s ago"),
            ("ppv", "x OK (12ms)"),
        ];
        for (script, expected) in cases {
            let snapshot = snapshot(vec![(thrice.clone(), script)]);
            assert_eq!(Judged::new(&snapshot, NOW).message(CheckIndex::new(0)), expected, "{script}");
        }
    }
}
