//! What a step keeps of its answer for the steps behind it.

use std::sync::Arc;

use crate::model::outcome::{CapturedAnswer, Failure, FailureKind, Pass};
use crate::probe::search::{Searches, cost_of_json};
use crate::workflow::expression::{CaptureSource, Expression};

/// A value to keep.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) name: String,
    pub(super) expression: Expression,
}

/// The values of all captures of a step, in the answer that is taken from `pass`.
pub(super) async fn values_in(
    pass: &mut Pass,
    captures: &Arc<[Capture]>,
    searches: &Searches<Result<Vec<String>, Failure>>,
) -> Result<Vec<String>, Failure> {
    let Some(answer) = pass.answer.take() else {
        return match captures.first() {
            Some(capture) => Err(capture.failure("this kind of step gives no answer to capture from")),
            None => Ok(Vec::new()),
        };
    };
    let captures = Arc::clone(captures);
    let cost = captures.iter().map(|capture| capture.cost(answer.body.len())).sum();
    let search = move || captures.iter().map(|capture| capture.value_in(&answer)).collect();
    searches.run(cost, search).await.flatten()
}

impl Capture {
    /// What it costs at most to find the value in a body of so many bytes, in units of [`Pattern::cost`].
    fn cost(&self, bytes: usize) -> u64 {
        match &self.expression {
            Expression::Pattern(pattern) => pattern.cost(bytes as u64),
            Expression::Json(_) => cost_of_json(bytes),
            Expression::Header(_) | Expression::Cookie(_) | Expression::Status => 0,
        }
    }

    fn value_in(&self, answer: &CapturedAnswer) -> Result<String, Failure> {
        let CapturedAnswer { status, headers, cookies, body } = answer;
        let source = CaptureSource { status: *status, headers, cookies, body };
        self.expression.find(source).map_err(|why| self.failure(why))
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::new(FailureKind::Mismatch, format!("capture {}: {why}", self.name))
    }
}
