//! An answer as an app gives it that knows how it is: well or not, well with a worry, and what it says of that itself.

use super::json::Places;
use super::{Expectations, Received};
use crate::base::costly::{self, Haystack};
use crate::base::credentials::{is_credential, masked};
use crate::base::field::{Field, ValueType};
use crate::base::redactor::Redactor;
use crate::base::trace::Trace;
use crate::base::value::{Section, Text, Value};
use crate::model::outcome::{Failure, one_line};
use crate::probe::search::cost_of_json;
use crate::workflow::captures::Captures;
use crate::workflow::expression::{CaptureSource, Expression};

/// The key `degraded`.
pub(in super::super) const DEGRADED: Field = Field::optional(
    "degraded",
    ValueType::Section(super::DEGRADED_FIELDS),
    "What makes a pass degraded: the keys of `expect`, asked after that has passed (so a status must be allowed there, too). \
     One that is so is enough, also of the places that a `*` leads to.",
);

/// The key `message`.
pub(in super::super) const MESSAGE: Field = Field::optional(
    "message",
    ValueType::Text,
    "Where in the answer the app says how it is, `json:/message`, `header:X-Health` or `regex:status: (.*)`: what the check \
     says then, after its own reason where it fails or is degraded. One line of up to 200 characters; what looks like a \
     credential is `***`, and so is what repeats an expansion or a cookie that was sent, or a captured value.",
);

/// How an answer is judged.
pub(in super::super) struct AppAnswer {
    expect: Expectations,
    degraded: Option<Box<Expectations>>,
    message: Option<Expression>,
}

/// What is told of an answer that passes.
pub(in super::super) struct PassingAnswer {
    /// Why the pass is degraded, if it is.
    pub(in super::super) worry: Option<String>,
    /// What the app says.
    pub(in super::super) said: Option<String>,
}

impl AppAnswer {
    /// Reads `expect`, `degraded` and `message`. Problems are reported at their keys. No more than `max_body` bytes of a
    /// body are read.
    pub(in super::super) fn read(fields: &Section, method: &str, max_body: u64) -> Option<Self> {
        let expect = Expectations::read(fields.section("expect"), method, max_body);
        let degraded =
            fields.section(DEGRADED.name).map(|degraded| Expectations::read(Some(degraded), method, max_body));
        let message = fields.text(MESSAGE.name).map(|text| read_message(fields, text, method, max_body));
        let read = Self {
            expect: expect?,
            degraded: degraded.map_or(Some(None), |degraded| degraded.map(Box::new).map(Some))?,
            message: message.map_or(Some(None), |message| message.map(Some))?,
        };
        if let Some(section) = fields.section(DEGRADED.name) {
            read.report_ineffective(section);
        }
        Some(read)
    }

    /// Reports what never makes a pass degraded.
    fn report_ineffective(&self, section: &Section) {
        if section.keys().next().is_none() {
            let help = "say what does, such as `json: { /status: DEGRADED }`".to_owned();
            section.warning_at(section.span(), "ineffective-key", "nothing makes a pass degraded here", Some(help));
        }
        let is_allowed =
            |(from, to): (u16, u16)| self.expect.status.iter().any(|(least, most)| from <= *most && *least <= to);
        for located in section.list("status") {
            let Value::Status(from, to) = located.value else { continue };
            if !is_allowed((from, to)) {
                let written = super::judge::span(from, to);
                let message = format!("`{written}` has no effect: `expect` does not let it pass");
                let help = format!("write `expect: {{ status: [2xx, {written}] }}` as well");
                section.warning_at(&located.span, "ineffective-key", message, Some(help));
            }
        }
    }

    /// Whether anybody looks at the body.
    pub(in super::super) fn reads_body(&self) -> bool {
        self.all().any(Expectations::reads_body)
            || matches!(self.message, Some(Expression::Json(_) | Expression::Pattern(_)))
    }

    /// Whether what the app says of itself is told.
    pub(in super::super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Whether it makes a difference if there is more of the body than its limit.
    pub(in super::super) fn needs_whole_body(&self) -> bool {
        self.expect.needs_whole_body(Places::Every)
            || self.degraded.as_ref().is_some_and(|degraded| degraded.needs_whole_body(Places::Any))
            || matches!(self.message, Some(Expression::Json(_)))
    }

    /// Whether an answer with this status can be as expected.
    pub(in super::super) fn takes_status(&self, status: u16) -> bool {
        self.expect.takes_status(status)
    }

    fn all(&self) -> impl Iterator<Item = &Expectations> {
        std::iter::once(&self.expect).chain(self.degraded.as_deref())
    }

    /// What it costs at most to judge an answer, in units of [`Pattern::cost`](crate::base::pattern::Pattern::cost).
    pub(in super::super) fn cost(&self, received: &Received, secrets: &Redactor) -> u64 {
        let message = match &self.message {
            Some(Expression::Json(_)) => cost_of_json(received.body.len()),
            Some(Expression::Pattern(pattern)) => pattern.cost(received.body.len() as u64),
            _ => 0,
        };
        let message = message + if self.message.is_some() { secrets.cost() } else { 0 };
        self.all().map(|expectations| expectations.cost(received)).fold(message, u64::saturating_add)
    }

    /// Judges an answer. Each expectation is told to `trace`, where somebody wants to know.
    ///
    /// # Errors
    /// The first thing that is not as expected, as a mismatch that repeats nothing of the answer but what the app says
    /// of itself.
    pub(in super::super) fn judge(
        &self,
        received: &Received,
        captured: &Captures,
        secrets: &Redactor,
        trace: &Trace,
    ) -> Result<PassingAnswer, Failure> {
        let said = self.said(received, secrets);
        match (self.expect.judge(received, captured, trace), said) {
            (Ok(()), said) => {
                let worry = self.degraded.as_ref().and_then(|it| it.first_that_holds(received, captured, trace));
                Ok(PassingAnswer { worry, said })
            }
            (Err(failure), None) => Err(failure),
            (Err(failure), Some(said)) => {
                let message = one_line(&format!("{}: {said}", failure.message));
                Err(Failure { message, ..failure })
            }
        }
    }

    /// What the app says of itself, without what may be a credential or was sent as a secret, in one line.
    fn said(&self, received: &Received, secrets: &Redactor) -> Option<String> {
        let expression = self.message.as_ref()?;
        if received.is_cut && matches!(expression, Expression::Json(_)) {
            return None;
        }
        let headers = match expression {
            Expression::Header(_) => received.header_texts(),
            _ => Vec::new(),
        };
        let source =
            CaptureSource { status: None, headers: &headers, cookies: &[], body: &received.body, is_cut: false };
        let said = expression.find(source).ok()?;
        let is_named_so = match expression {
            Expression::Json(pointer) => is_credential(pointer.rsplit('/').next().unwrap_or_default()),
            Expression::Header(name) => is_credential(name),
            _ => false,
        };
        let line = one_line(&if is_named_so { "***".to_owned() } else { masked(&secrets.redact(&said)) });
        (!line.is_empty()).then_some(line)
    }
}

fn read_message(fields: &Section, text: &Text, method: &str, max_body: u64) -> Option<Expression> {
    let wrong = |message: &str, help: &str| {
        fields.error(MESSAGE.name, "invalid-capture", message, Some(help.to_owned()));
        None
    };
    let located = fields.get(MESSAGE.name)?;
    const FORMS: &str = "write `json:/pointer`, `header:Name` or `regex:pattern with one (group)`";
    match Expression::parse(&text.fixed()?) {
        Ok(Expression::Status | Expression::Cookie(_)) => wrong("this is none of the forms of a message", FORMS),
        Ok(Expression::Json(_) | Expression::Pattern(_)) if method == "HEAD" => {
            let help = "use `method: GET`, or a header".to_owned();
            fields.error(MESSAGE.name, "invalid-value", "an answer to HEAD has no body", Some(help));
            None
        }
        Ok(Expression::Pattern(pattern))
            if costly::is_reported(fields, &located.span, &pattern, Haystack::Body(max_body)) =>
        {
            None
        }
        Ok(expression) => Some(expression),
        Err(error) if error.is_unknown_form() => wrong("this is none of the forms of a message", FORMS),
        Err(error) => wrong(&error.message, &error.help),
    }
}
