//! An answer and all that it takes to judge it, on a thread of its own where that takes long.

use std::sync::Arc;

use super::HttpSection;
use super::expect::{PassingAnswer, Received};
use crate::base::redactor::Redactor;
use crate::base::trace::Trace;
use crate::model::outcome::{CapturedAnswer, Failure};
use crate::probe::capture::{self, Capture};
use crate::workflow::captures::Captures;
use crate::workflow::expression::CaptureSource;

/// An answer, and what it is judged with.
pub(super) struct Judging {
    pub(super) received: Received,
    /// What earlier steps captured.
    pub(super) captured: Captures,
    /// What this step captures.
    pub(super) captures: Arc<[Capture]>,
    /// The cookies that the run has, for the captures.
    pub(super) cookies: Vec<(String, String)>,
    pub(super) secrets: Redactor,
    pub(super) trace: Arc<Trace>,
}

/// An answer that has been judged, and is kept where something is captured from it.
pub(super) type JudgedAnswer = (Result<PassingAnswer, Failure>, Option<Box<CapturedAnswer>>);

impl Judging {
    /// What it costs at most, in units of [`Pattern::cost`](crate::base::pattern::Pattern::cost).
    pub(super) fn cost(&self, declared: &HttpSection) -> u64 {
        let captures = capture::cost(&self.captures, self.received.body.len());
        declared.expect.cost(&self.received, &self.secrets).saturating_add(captures)
    }

    pub(super) fn judge(mut self, declared: &HttpSection) -> JudgedAnswer {
        self.keep_own_secrets(declared);
        let Self { received, captured, captures, cookies, secrets, trace } = self;
        let judged = declared.expect.judge(&received, &captured, &secrets, &trace);
        (judged, (!captures.is_empty()).then(|| Box::new(received.into_answer(cookies))))
    }

    /// What this step captures is shown no more than what it was sent.
    fn keep_own_secrets(&mut self, declared: &HttpSection) {
        if self.captures.is_empty() || !declared.shows(&self.trace) {
            return;
        }
        let Received { status, body, .. } = &self.received;
        let headers = self.received.header_texts();
        // Of a value that was cut nobody is to see the beginning either.
        let source =
            CaptureSource { status: Some(*status), headers: &headers, cookies: &self.cookies, body, is_cut: false };
        let own: Vec<_> = self.captures.iter().filter_map(|capture| capture.secret_in(source)).collect();
        self.secrets = self.secrets.and_captured(own.iter().map(|(name, value)| (*name, value.as_str())));
        self.trace.keep_secret(|| self.secrets.clone());
    }
}
