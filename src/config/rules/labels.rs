//! `service.labels`: what tells this service apart from others, in json and as labels of `healthcheck_info`.

use crate::base::value::{Section, Value};
use crate::config::quote::told_key;
use crate::model::outcome::one_line;

/// Each is a label of a series per check.
const MOST: usize = 16;
/// The longest name, in characters.
const LONGEST: usize = 64;
/// The labels that `healthcheck_info` has of its own; a test compares them with the catalogue.
pub const OWN: [&str; 5] = ["check", "kind", "critical", "gates", "runbook"];
/// Those that mean something else to Prometheus: to buckets and quantiles, and to a target that is scraped.
const TAKEN: [&str; 4] = ["le", "quantile", "instance", "job"];

/// The labels in the order of the file.
pub fn read(service: &Section) -> Vec<(String, String)> {
    let given = service.map("labels");
    if given.len() > MOST {
        let message = format!("{} labels, more than {MOST}", given.len());
        service.error("labels", "invalid-label", message, Some("keep those that people search by".into()));
        return Vec::new();
    }
    let mut labels = Vec::with_capacity(given.len());
    for (name, spanned) in given {
        let Value::Text(text) = &spanned.value else { continue };
        match flaw(name) {
            None => labels.push((name.clone(), one_line(&text.fixed().unwrap_or_default()))),
            Some((flaw, help)) => {
                let message = format!("the label `{}` {flaw}", told_key(name));
                service.report_at(spanned.key_span(), "invalid-label", message, Some(help));
            }
        }
    }
    labels
}

/// What is wrong with the name of a label, and what to write.
fn flaw(name: &str) -> Option<(&'static str, String)> {
    if OWN.contains(&name) {
        return Some((
            "is one of `healthcheck_info` already",
            format!("give it another name, such as `service_{name}`"),
        ));
    }
    if TAKEN.contains(&name) {
        let help = format!("give it another name, such as `service_{name}`");
        return Some(("means something else to Prometheus", help));
    }
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit());
    if name.starts_with("__") {
        return Some(("begins as those that Prometheus keeps for itself", "take the `__` away".into()));
    }
    if !is_name || name.len() > LONGEST {
        let help =
            format!("a name has letters, digits and `_`, begins with no digit, and has at most {LONGEST} characters");
        return Some(("is not a name that Prometheus takes", help));
    }
    let snake = snake_case(name);
    // `promtool check metrics` is to have nothing to say.
    (snake != name).then(|| ("is written in camelCase, which metrics are not", format!("write `{snake}`")))
}

/// The name with an `_` where a small letter is followed by a capital one, which becomes small.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_uppercase() && snake.ends_with(|before: char| before.is_ascii_lowercase()) {
            snake.push('_');
            snake.push(c.to_ascii_lowercase());
        } else {
            snake.push(c);
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_prometheus_takes_and_that_are_free() {
        for good in ["team", "_team", "Team_2", "TEAM", &"x".repeat(64)] {
            assert_eq!(flaw(good), None, "{good}");
        }
        for bad in
            ["", "2nd", "app.kubernetes.io/name", "a-b", "é", "__name__", "check", "kind", "le", "job", &"x".repeat(65)]
        {
            assert!(flaw(bad).is_some(), "{bad}");
        }
        assert_eq!(flaw("costCentreId").unwrap().1, "write `cost_centre_id`");
    }

    #[test]
    fn the_own_labels_are_those_of_the_catalogue() {
        assert_eq!(crate::metrics::catalog::INFO.labels, OWN);
    }
}
