//! What a step of a workflow keeps of its answer for the steps behind it.

use std::sync::Arc;

use super::search::{Searches, cost_of_json};
use crate::model::outcome::{CapturedAnswer, Failure, FailureKind};
use crate::workflow::expression::{CaptureSource, Expression};

/// A value to keep.
#[derive(Debug)]
pub struct Capture {
    /// The name by which later steps use it.
    pub name: String,
    /// Where it is found.
    pub expression: Expression,
}

/// What each capture of a step finds in `answer`, or why it finds nothing.
///
/// # Errors
/// When the system gives us no thread.
pub(super) async fn found_in(
    answer: Option<Box<CapturedAnswer>>,
    captures: &Arc<[Capture]>,
    searches: &Searches<Vec<Result<String, Failure>>>,
) -> Result<Vec<Result<String, Failure>>, Failure> {
    let Some(answer) = answer else {
        let without = |capture: &Capture| Err(capture.failure("this kind of step gives no answer to capture from"));
        return Ok(captures.iter().map(without).collect());
    };
    let captures = Arc::clone(captures);
    let cost = cost(&captures, answer.body.len());
    let search = move || {
        let CapturedAnswer { status, headers, cookies, body, is_cut } = answer.as_ref();
        let source = CaptureSource { status: *status, headers, cookies, body, is_cut: *is_cut };
        captures.iter().map(|capture| capture.value_in(source)).collect()
    };
    searches.run(cost, search).await
}

/// What it costs at most to find all of `captures` in a body of so many bytes, in units of
/// [`Pattern::cost`](crate::base::pattern::Pattern::cost).
pub(super) fn cost(captures: &[Capture], bytes: usize) -> u64 {
    captures.iter().map(|capture| capture.cost(bytes)).fold(0, u64::saturating_add)
}

impl Capture {
    fn cost(&self, bytes: usize) -> u64 {
        match &self.expression {
            Expression::Pattern(pattern) => pattern.cost(bytes as u64),
            Expression::Json(_) => cost_of_json(bytes),
            Expression::Header(_) | Expression::Cookie(_) | Expression::Status => 0,
        }
    }

    fn value_in(&self, source: CaptureSource<'_>) -> Result<String, Failure> {
        self.expression.find(source).map_err(|why| self.failure(why))
    }

    /// Its name and its value, where it finds one that may be a secret.
    pub(super) fn secret_in(&self, source: CaptureSource<'_>) -> Option<(&str, String)> {
        let value = if self.is_public() { None } else { self.expression.find(source).ok() };
        value.map(|value| (self.name.as_str(), value))
    }

    /// Whether its value is no secret: everybody sees the status of an answer.
    pub(super) const fn is_public(&self) -> bool {
        matches!(self.expression, Expression::Status)
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::new(FailureKind::Mismatch, format!("capture {}: {why}", self.name))
    }
}
