//! What holds for every line that is told of a target.

use probelet::model::outcome::{Failure, FailureKind};

/// What stands for an answer where nothing of it is to be shown.
pub const CANARY: &str = "c4n4ry";
/// What expansions bring in.
pub const SECRET: &str = "hunter2";

/// A failure is told in one line for everybody and one for the log, and is never a defect of probelet. Where an
/// expansion has brought something in, not even the log shows the server's own words.
pub fn is_fit(failure: &Failure, is_secretive: bool) {
    is_message(&failure.message);
    assert!(!matches!(failure.kind, FailureKind::Bug | FailureKind::Void), "{failure:?}");
    if let Some(detail) = &failure.detail {
        is_line(detail, 500);
        assert!(!is_secretive || !detail.contains(CANARY) && !detail.contains(SECRET), "{detail}");
    }
    for step in &failure.facts.steps {
        is_message(&step.message);
    }
}

/// A message for everybody: short, in one line, with nothing of an answer, of an address or of a secret.
pub fn is_message(message: &str) {
    is_line(message, 200);
    for hidden in [CANARY, SECRET, "127.0.0.1", "target.test"] {
        assert!(!message.contains(hidden), "{message}");
    }
}

/// One line, of at most so many characters.
pub fn is_line(text: &str, most: usize) {
    assert!(text.chars().count() <= most, "{} characters: {text}", text.chars().count());
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    assert!(!text.contains(breaks), "{text:?}");
}
