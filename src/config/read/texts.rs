//! Texts with what they bring in: expansions, captured values, and secrets that should not stand in the file.

use std::ops::Range;

use super::Reader;
use crate::base::value::{Problem, Severity, SourceSpan, Text, TextPart};
use crate::config::expansion::is_written_out;
use crate::config::quote::passwords;
use crate::config::source::{ExpansionError, expand};
use crate::config::tree::{Node, Scalar};

/// What helps against a secret in the file.
pub(in crate::config) const HELP_WITH_PLAIN_SECRET: &str =
    "take it from the environment, `${NAME}`, or from a mounted secret, `${file:/run/secrets/name}`";

/// Whether captured values may stand in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CapturePolicy {
    Allowed,
    NotHere,
    NoWorkflow,
}

impl Reader<'_> {
    /// The text of a scalar with its expansions filled in. Captured values are refused unless `captures`.
    pub(super) fn text(&self, node: &Node, scalar: &Scalar, path: &str, captures: CapturePolicy) -> Option<Text> {
        let parts = match expand(&scalar.text, self.environment, &self.session) {
            Ok(parts) => parts,
            Err(errors) => {
                for ExpansionError { code, message, help, absent } in errors {
                    let span = node.mark.span(path);
                    let problem = Problem { severity: Severity::Error, code, message, help: Some(help), span };
                    if absent { self.session.report_absent(problem) } else { self.session.report(problem) }
                }
                return None;
            }
        };
        let text = Text { parts, written: scalar.text.to_string() };
        let refused = match captures {
            CapturePolicy::Allowed => None,
            CapturePolicy::NotHere => {
                Some(("a captured value cannot stand here", "use it in a URL's path, a header or a body"))
            }
            CapturePolicy::NoWorkflow => {
                Some(("captured values exist only in the steps of a workflow", "write `$${` for a literal `${`"))
            }
        };
        if let (Some((message, help)), Some(_)) = (refused, text.captures().next()) {
            self.error(node.mark, path, "misplaced-capture", message.into(), Some(help.into()));
            return None;
        }
        Some(text)
    }

    /// Reports a password that stands in the file, if `text` as it is written holds one.
    pub(super) fn refuse_plain_password(&self, text: &Text, span: impl FnOnce() -> SourceSpan) {
        let written = &text.written;
        let plain = passwords(written).into_iter().find(|password| is_written_out(&written[password.clone()]));
        if let Some(Range { start, .. }) = plain {
            // Without a `?` it is the `password=` of a list of keywords, as libpq writes it.
            let is_of_query = written[..start].ends_with('=') && written[..start].contains('?');
            let what = if is_of_query { "the secret in the URL's query" } else { "the password in the URL" };
            self.plain_secret(what, &span());
        }
    }

    pub(super) fn plain_secret(&self, what: &str, span: &SourceSpan) {
        self.session.report(Problem {
            severity: Severity::Warning,
            code: "plain-secret",
            message: format!("{what} stands in the file in plain text"),
            help: Some(HELP_WITH_PLAIN_SECRET.into()),
            span: span.clone(),
        });
    }
}

/// Whether a text holds something, and all of it is written in the file.
pub(super) fn is_literal(text: &Text) -> bool {
    text.parts.iter().all(|part| matches!(part, TextPart::Plain(_))) && !text.written.is_empty()
}
