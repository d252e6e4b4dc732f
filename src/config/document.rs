//! Documents other than the configuration that are read by the same rules: a table of keys, and every problem with its
//! place.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use super::diagnostic::Report;
use super::read::{Reader, Scope, Table};
use super::similar;
use super::source::{self, Environment, Input};
use super::{text, tree, unreadable};
use crate::base::field::Field;
use crate::base::value::{ParseSession, Problem, Section};

/// Reads the file at `path` by the table `fields`. What the table cannot say is judged by `judge`, which reports to
/// the fields it is given; its answer counts only when nothing was an error.
pub fn load<T>(
    path: &Path,
    environment: &Environment,
    fields: &'static [Field],
    judge: impl FnOnce(&Section) -> Option<T>,
) -> (Option<T>, Report) {
    let input = Input::read(path);
    let name = input.name();
    match &input.content {
        Ok(bytes) => read(&name, bytes, environment, fields, judge),
        Err(error) => (None, Report::new(&name, vec![unreadable("file", "check the path", &name, error)], None, None)),
    }
}

/// Reads the document in `bytes`, which the report calls `file_name`, as [`load`] does.
pub fn read<T>(
    file_name: &str,
    bytes: &[u8],
    environment: &Environment,
    fields: &'static [Field],
    judge: impl FnOnce(&Section) -> Option<T>,
) -> (Option<T>, Report) {
    let session = ParseSession::new(Box::new(source::read_file));
    let text = text::decode(bytes).map_err(|problem| session.report(*problem)).ok();
    let root = text.and_then(|text| tree::parse(text, &mut |problem| session.report(worded(problem, fields))));
    let reader = Reader::new(environment, Rc::clone(&session));
    let table = Table { fields, ..Table::default() };
    let section = root.as_ref().and_then(|root| reader.section(root, &table, "", Scope::default()));
    let value = section.as_ref().and_then(judge);
    let shown = text.map(Cow::Borrowed).or_else(|| text::as_far_as_shown(bytes));
    let report = Report::new(file_name, session.problems(), shown.as_deref(), root.as_deref());
    (value.filter(|_| report.errors() == 0), report)
}

/// The one of `known` that `word` is a misspelling of.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    similar::nearest(word, known)
}

/// An empty document is told in words that fit it.
fn worded(problem: Problem, fields: &[Field]) -> Problem {
    match (problem.code, fields.first()) {
        ("empty-document", Some(first)) => {
            let help = Some(format!("write its keys, such as `{}: …`", first.name));
            Problem { message: "the file is empty".into(), help, ..problem }
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::field::ValueType;

    const FIELDS: &[Field] = &[Field::required("for", ValueType::Duration { min: Duration::ZERO }, "How long.")];

    fn problems(text: &str) -> Vec<String> {
        let environment = Environment::of::<String, String>([]);
        let (_, report) = read("x.yaml", text.as_bytes(), &environment, FIELDS, |fields| fields.duration("for"));
        let line = |found: &Problem| {
            format!("{} {} ({})", found.code, found.message, found.help.as_deref().unwrap_or_default())
        };
        report.diagnostics().iter().map(|diagnostic| line(&diagnostic.problem)).collect()
    }

    #[test]
    fn a_document_is_read_by_its_own_table() {
        assert_eq!(problems("for: 5m"), Vec::<String>::new());
        assert_eq!(problems("fr: 5m"), ["unknown-key unknown key `fr` (did you mean `for`?)"]);
        assert_eq!(problems(""), ["empty-document the file is empty (write its keys, such as `for: …`)"]);
    }
}
