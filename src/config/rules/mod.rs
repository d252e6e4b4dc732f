//! The rules: what the tables cannot say because it takes more than one value to see it.
//!
//! To add a key: its line in [`keys`] (or in the `FIELDS` of a kind), then the place that reads it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::ahead;
use super::path;
use super::quote::shown;
use super::read::{HELP_WITH_PLAIN_SECRET, Reader, Scope, foreign};
use super::similar;
use super::tree::{Node, NodeContent};
use super::{Config, Listener};
use crate::base::name::CheckName;
use crate::base::value::{ParseSession, Problem, Section, Severity, SourceSpan};
use crate::model::index::CheckIndex;
use crate::model::plan::Plan;
use crate::model::route::Route;
use check::{CheckDraft, DependsOnItem};
use outline::CheckOutline;

mod allow;
pub mod check;
mod cycles;
mod fingerprint;
mod former_names;
mod hooks;
pub mod hosts;
pub mod keys;
mod labels;
pub mod listen;
pub mod metrics;
mod origins;
mod outline;
mod top;
mod unread;
mod warnings;

/// The configuration in the document `root`, as far as it could be read. It is usable when nothing was reported as an
/// error. What was written of a check goes once it has been read: there may be thousands, and what is made of them takes
/// its room.
pub fn apply(root: Rc<Node>, reader: &Reader<'_>) -> Option<Config> {
    // A reading of its own: the `allow` of the top level is for every warning of the file.
    if let Some((entry, tool)) = foreign::file(&root) {
        reader.session().report(Problem {
            severity: Severity::Error,
            code: "unknown-key",
            message: format!("unknown key `{}`: this is a file of {tool}, not one of probelet", entry.key),
            help: Some(foreign::help_with_file(tool)),
            span: entry.key_mark.span(&*entry.key),
        });
        return None;
    }
    let session = allow::apart_from(reader.session());
    let own = reader.within(Rc::clone(&session));
    let fields = own.section(&root, &keys::TOP, "", Scope::default());
    let config = fields.as_ref().and_then(|fields| configuration(root, fields, &own));
    allow::hand_over(fields.as_ref(), &session, reader.session());
    config
}

/// The configuration whose top level, `checks` apart, is in `fields`.
fn configuration(root: Rc<Node>, fields: &Section, reader: &Reader<'_>) -> Option<Config> {
    let top = top::read(fields, reader.environment());
    let mut outlines = outlines(root, reader, &top);
    let positions = positions(&outlines, reader);
    let parents = parents(&outlines, &positions, reader);
    let taken = former_names::report_taken(&outlines, &positions, reader);
    taken.into_iter().for_each(|position| outlines[position].forget_former_name());
    warnings::small_history(fields, outlines.len());
    refuse_cycles(&outlines, &parents, reader);
    outlines.iter().for_each(|outline| warn_of_plain_token(outline, reader));
    if let Some(why) = why_no_beat_arrives(&top) {
        outlines.iter().for_each(|outline| refuse_pushed_beats(outline, why, reader));
    }
    let parents = parents_in_use(&outlines, &parents);
    let (mut checks, mut targets, mut disabled) =
        (Vec::with_capacity(outlines.len()), Vec::with_capacity(outlines.len()), Vec::new());
    for (outline, parents) in outlines.into_iter().zip(parents) {
        if outline.disabled().is_some() {
            disabled.push(outline.switched_off()?);
        } else {
            let position = CheckIndex::new(checks.len());
            let (definition, target) = outline.definition(parents, reader.before(), position)?;
            checks.push(definition);
            targets.push(target);
        }
    }
    let checks = checks.into_iter().collect();
    Some(Config {
        plan: Arc::new(Plan { service: top.service, answers: top.answers, checks, disabled, hash: None }),
        targets,
        server: top.server,
        history: top.history,
        watch: top.watch,
        log: top.log,
        hooks: hooks::read(fields),
        files: reader.session().files(),
    })
}

/// The items of `checks` that are mappings.
fn outlines(root: Rc<Node>, reader: &Reader<'_>, top: &top::Top) -> Vec<CheckOutline> {
    let Some(entry) = root.into_entries().into_iter().find(|entry| entry.key == "checks") else { return Vec::new() };
    let report = |code, message: String, help: &str, span: SourceSpan| {
        let help = Some(help.to_owned());
        reader.session().report(Problem { severity: Severity::Error, code, message, help, span });
    };
    match &entry.value.content {
        NodeContent::List(_) => {
            let items = entry.value.into_items();
            let mut outlines = Vec::with_capacity(items.len());
            outlines
                .extend(items.into_iter().enumerate().filter_map(|(index, item)| outline(&item, index, reader, top)));
            outlines
        }
        // A file that was cut off here would open every endpoint.
        _ if entry.value.is_null() => {
            let help = "write `checks: []` if there is nothing to check";
            report("empty-document", "`checks` is empty".into(), help, entry.key_mark.span("checks"));
            Vec::new()
        }
        _ => {
            let message =
                format!("expected a list of checks, found {}", super::read::words::found(&entry.value, "checks"));
            report("wrong-type", message, "put a `- ` before each check", entry.value.mark.span("checks"));
            Vec::new()
        }
    }
}

/// The check at `node`, with what is said about it alone; nothing when it is no mapping.
fn outline(node: &Node, index: usize, reader: &Reader<'_>, top: &top::Top) -> Option<CheckOutline> {
    /// So many checks take about as much as is taken ahead.
    const CHECKS_AHEAD: usize = 32;
    if index % CHECKS_AHEAD == CHECKS_AHEAD - 1 {
        ahead::take_room();
    }
    let path = path::item("checks", index);
    let handed_over = |draft: Option<CheckDraft>, session: &ParseSession| {
        allow::hand_over(draft.as_ref().map(|draft| &draft.fields), session, reader.session());
        let position = CheckIndex::new(index);
        draft.map(|draft| CheckOutline::of(draft, &top.duration_buckets, reader.before(), position))
    };
    if may_be_off(node) {
        let session = allow::apart_from_unused(reader.session());
        let (session, draft) = draft_within(session, node, &path, reader, &top.defaults);
        let is_off = draft.as_ref().is_some_and(|draft| draft.disabled.is_some());
        // What is an error whether it is off or not may be told only once.
        if is_off || session.problems().iter().any(|problem| problem.severity == Severity::Error) {
            return handed_over(draft, &session);
        }
        // An expansion brought in `false`: what is missing is missed, as in any check that runs.
    }
    let (session, draft) = draft_within(allow::apart_from(reader.session()), node, &path, reader, &top.defaults);
    handed_over(draft, &session)
}

/// Whether the check at `node` says that it is switched off, as far as that is known before its expansions.
fn may_be_off(node: &Node) -> bool {
    let NodeContent::Map(entries) = &node.content else { return false };
    let says_false = |node: &Node| matches!(&node.content, NodeContent::Scalar(scalar) if scalar.text.trim().eq_ignore_ascii_case("false"));
    entries.iter().any(|entry| entry.key == "disabled" && !entry.value.is_null() && !says_false(&entry.value))
}

/// A reading of its own tells which files this check names, and which warnings it may silence.
fn draft_within(
    session: Rc<ParseSession>,
    node: &Node,
    path: &str,
    reader: &Reader<'_>,
    defaults: &top::Defaults,
) -> (Rc<ParseSession>, Option<CheckDraft>) {
    let own = reader.within(Rc::clone(&session));
    let draft = check::read(node, path, &own, defaults);
    if let Some(draft) = &draft {
        warnings::look_at(draft, defaults, reader.environment());
    }
    (session, draft)
}

/// Reports an error at `span`, to the whole document.
fn refuse(reader: &Reader<'_>, span: &SourceSpan, code: &'static str, message: String, help: String) {
    let (severity, help, span) = (Severity::Error, Some(help), span.clone());
    reader.session().report(Problem { severity, code, message, help, span });
}

/// Where each name stands first. A name that is taken is reported.
fn positions<'o>(outlines: &'o [CheckOutline], reader: &Reader<'_>) -> HashMap<&'o str, usize> {
    let mut positions = HashMap::with_capacity(outlines.len());
    for (position, outline) in outlines.iter().enumerate() {
        let Some(name) = outline.name.as_ref().map(CheckName::as_str) else { continue };
        if let Some(first) = positions.get(name) {
            let first: &CheckOutline = &outlines[*first];
            let message = format!("the name `{name}` is taken by the check on line {}", first.name_place().line);
            let help = "give each check a name of its own".into();
            refuse(reader, &outline.name_place(), "duplicate-name", message, help);
        } else {
            positions.insert(name, position);
        }
    }
    positions
}

/// The positions of the parents of each check. A name that no check has is reported.
fn parents(outlines: &[CheckOutline], positions: &HashMap<&str, usize>, reader: &Reader<'_>) -> Vec<Vec<usize>> {
    /// Looking for similar names is quadratic: a file full of unknown ones must not take minutes.
    const MAX_SUGGESTIONS: usize = 20;
    // A name against the rule has been reported; what refers to it is not wrong as well.
    let refused: HashSet<&str> = outlines.iter().filter_map(CheckOutline::refused_name).collect();
    let mut suggestions = 0;
    let mut unknown = |parent: &DependsOnItem| {
        suggestions += 1;
        let known = || outlines.iter().filter_map(|outline| Some(outline.name.as_ref()?.as_str()));
        let may_suggest = suggestions <= MAX_SUGGESTIONS && parent.name == parent.written;
        let near = if may_suggest { similar::nearest(&parent.name, known()) } else { None };
        let help =
            near.map_or_else(|| "name a check of this file".to_owned(), |near| format!("did you mean `{near}`?"));
        let message = format!("there is no check `{}`", shown(&parent.written));
        refuse(reader, &parent.span, "unknown-check", message, help);
    };
    let mut all = Vec::with_capacity(outlines.len());
    for outline in outlines {
        let mut found = Vec::new();
        for parent in outline.depends_on() {
            match positions.get(parent.name.as_str()) {
                Some(position) => found.push(*position),
                None if refused.contains(parent.name.as_str()) => {}
                None => unknown(parent),
            }
        }
        all.push(found);
    }
    all
}

/// For each check the positions of its parents among those that are not switched off. What depends on one that is
/// switched off depends on what that depends on.
fn parents_in_use(outlines: &[CheckOutline], parents: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let is_used = |position: &usize| outlines[*position].disabled().is_none();
    let used: Vec<usize> = (0..outlines.len()).filter(is_used).collect();
    let parents_of = |position: usize| {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut waiting = parents[position].clone();
        while let Some(parent) = waiting.pop() {
            match used.binary_search(&parent) {
                _ if !seen.insert(parent) => {}
                Ok(place) => found.push(place),
                Err(_) => waiting.extend(&parents[parent]),
            }
        }
        found
    };
    (0..outlines.len()).map(parents_of).collect()
}

fn refuse_cycles(outlines: &[CheckOutline], parents: &[Vec<usize>], reader: &Reader<'_>) {
    const LONGEST: usize = 10;
    let name = |position: &usize| outlines[*position].name.as_ref().map_or("?", CheckName::as_str);
    for cycle in cycles::find(parents) {
        let (Some(first), Some(last)) = (cycle.members.first(), cycle.members.last()) else { continue };
        let mut names: Vec<&str> = cycle.members.iter().take(LONGEST).map(name).collect();
        if cycle.members.len() > LONGEST {
            names.push("…");
        }
        names.push(name(first));
        let message = if cycle.members.len() == 1 {
            format!("the check `{}` depends on itself", name(first))
        } else {
            format!("the checks depend on each other in a ring: {}", names.join(" → "))
        };
        let closing = outlines[*last].depends_on().iter().find(|parent| parent.name == name(first));
        let span = closing.map_or(&outlines[*last].place, |parent| &parent.span);
        let help = "none of them could ever run: take one of these names out".into();
        refuse(reader, span, "dependency-ring", message, help);
    }
}

/// A beat's token that stands in the file.
fn warn_of_plain_token(outline: &CheckOutline, reader: &Reader<'_>) {
    if let Some(span) = outline.plain_token().cloned() {
        let message = "the token stands in the file in plain text".to_owned();
        let (severity, code, help) = (Severity::Warning, "plain-secret", Some(HELP_WITH_PLAIN_SECRET.into()));
        reader.session().report(Problem { severity, code, message, help, span });
    }
}

/// Why there is no route to push a beat to, where there is none.
fn why_no_beat_arrives(top: &top::Top) -> Option<[&'static str; 2]> {
    if !top.answers.control {
        return Some([
            "no beat can arrive: `server.control: false` turns off the route for it",
            "use `file`, or leave `server.control` on: its routes take requests from this pod alone",
        ]);
    }
    let takes = |listener: &Listener| listener.routes >= Route::Heartbeat.set();
    let takes_none = !top.server.listen.is_empty() && !top.server.listen.iter().any(takes);
    takes_none.then_some([
        "no beat can arrive: no address of `server.listen` has `routes: all`",
        "use `file`, or listen on an address for this pod too: `127.0.0.1:10241`",
    ])
}

/// Where no beat can arrive the check could only fail.
fn refuse_pushed_beats(outline: &CheckOutline, [message, help]: [&'static str; 2], reader: &Reader<'_>) {
    if let Some(span) = outline.pushed() {
        refuse(reader, span, "push-without-control", message.into(), help.into());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::source::Environment;
    use crate::config::{Config, Listen, LogFormat, read};
    use crate::model::plan::{Critical, Definition, Details, Gates, MetricsLevel};

    fn config(text: &str) -> Config {
        let environment = Environment::of([("POD_NAME", "shop-0")]);
        let loaded =
            read("test", text.as_bytes(), &environment, Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        assert!(loaded.report.is_valid(), "{}", loaded.report.text(false));
        loaded.config.unwrap()
    }

    fn checks(text: &str) -> Vec<Definition> {
        config(text).plan.checks.iter().map(|check| Definition::clone(check)).collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_empty_list_of_checks_takes_every_default() {
        let config = config("checks: []");
        assert_eq!((config.plan.service.name.as_str(), &config.plan.service.version), ("shop-0", &None));
        assert_eq!(config.plan.answers, crate::model::plan::Answers::default());
        assert_eq!((config.server.listen, config.plan.answers.drain), (vec![Listen::All(10240).into()], seconds(5)));
        assert_eq!((config.history.path, config.history.retention), (None, seconds(7 * 86_400)));
        assert_eq!((config.history.max_size, config.history.max_memory, config.watch), (64 << 20, 8 << 20, true));
        assert_eq!((config.log.format, config.log.level), (LogFormat::Auto, "info"));
    }

    #[test]
    fn an_unknown_kind_is_one_mistake_and_one_diagnostic() {
        let text = "checks: [{ name: a, oracle: { url: x } }]";
        let environment = Environment::of([("POD_NAME", "shop-0")]);
        let loaded =
            read("test", text.as_bytes(), &environment, Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let codes: Vec<&str> = loaded.report.diagnostics().iter().map(|diagnostic| diagnostic.problem.code).collect();
        assert_eq!(codes, ["unknown-key"]);
    }

    #[test]
    fn what_depends_on_a_check_that_is_switched_off_depends_on_what_that_depends_on() {
        let text = "checks:
  - { name: network, simulated: {} }
  - { name: proxy, disabled: it moves to the mesh, tcp: { address: \"${PROXY}\" }, depends_on: [network] }
  - { name: other, disabled: \"false\", simulated: {} }
  - { name: app, simulated: {}, depends_on: [proxy, other] }
";
        let plan = config(text).plan;
        let names: Vec<&str> = plan.checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["network", "other", "app"]);
        assert_eq!(plan.checks[2usize].depends_on, crate::model::plan::testing::indices(&[0, 1]));
        let off: Vec<_> = plan.disabled.iter().map(|check| (check.name.as_str(), check.kind, &*check.reason)).collect();
        assert_eq!(off, [("proxy", "tcp", "it moves to the mesh")]);
    }

    #[test]
    fn a_check_is_switched_off_for_a_reason() {
        for reason in ["true", "yes", "''", "no", "off", "0"] {
            let text = format!("checks: [{{ name: a, simulated: {{}}, disabled: {reason} }}]");
            let unread = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
            let report = read("test", text.as_bytes(), &Environment::of([("POD_NAME", "shop-0")]), unread).report;
            assert!(report.text(false).contains("error[empty-reason]"), "{reason}: {}", report.text(false));
        }
    }

    #[test]
    fn a_check_that_is_not_switched_off_misses_what_is_missing() {
        for (disabled, code) in [
            ("false", "error[unset-variable]"),
            ("'${OFF}'", "error[unset-variable]"),
            ("", "error[unset-variable]"),
            ("it moves", "note[unset-variable]"),
        ] {
            let text = format!("checks: [{{ name: a, http: {{ url: '${{APP}}' }}, disabled: {disabled} }}]");
            let unread = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
            let environment = Environment::of([("POD_NAME", "shop-0"), ("OFF", "false")]);
            let report = read("test", text.as_bytes(), &environment, unread).report;
            assert!(report.text(false).contains(code), "{disabled}: {}", report.text(false));
        }
    }

    #[test]
    fn a_configuration_is_known_by_the_hash_of_its_file() {
        // printf 'checks: []' | sha256sum
        assert_eq!(config("checks: []").plan.hash.as_deref(), Some("e018fe09e33ca3c2"));
        assert_ne!(config("checks: [] ").plan.hash, config("checks: []").plan.hash);
    }

    #[test]
    fn the_top_level_is_taken_as_it_is_written() {
        let config = config(
            "service: { name: shop, version: 1.10 }
server: { listen: [\":80\", \"127.0.0.1:81\"], drain: 0s, details: none, down_status: 500, control: false }
history: { path: /h.db, retention: 1h, max_size: 1MiB, max_memory: 2MiB }
reload: { watch: false }
metrics: { level: lean }
log: { format: json, level: debug }",
        );
        assert_eq!(config.plan.service.name, "shop");
        assert_eq!(config.plan.service.version.as_deref(), Some("1.10"));
        assert_eq!(config.plan.answers.details, Details::None);
        assert_eq!(config.plan.answers.metrics, MetricsLevel::Lean);
        assert_eq!((config.plan.answers.down_status, config.plan.answers.control), (500, false));
        assert_eq!(config.server.listen, [Listen::All(80).into(), Listen::One(([127, 0, 0, 1], 81).into()).into()]);
        assert_eq!(config.history.path.unwrap().to_str(), Some("/h.db"));
        assert_eq!((config.history.max_size, config.history.max_memory), (1 << 20, 2 << 20));
        assert!(!config.watch);
    }

    #[test]
    fn a_token_is_one_word_and_shown_nowhere() {
        let token = |text: &str| config(text).plan.answers.token;
        assert_eq!(token("server: { token: hunter2 }\nchecks: []"), Some(crate::base::token::Token::new("hunter2")));
        assert_eq!(token("checks: []"), None);
        let environment = Environment::of([("EMPTY", "")]);
        for (server, found) in [
            ("{ token: 'hunter2 and more' }", "holds other characters than letters, digits and signs of ASCII"),
            ("{ token: 'hünter2' }", "holds other characters than letters, digits and signs of ASCII"),
            ("{ token: '${EMPTY}' }", "the token is empty"),
            ("{ token: hunter2, lisen: ':80' }", "did you mean `listen`?"),
        ] {
            let text = format!("server: {server}\nchecks: []");
            let unread = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
            let report = read("test", text.as_bytes(), &environment, unread).report;
            let shown = report.text(false);
            assert!(!report.is_valid() && shown.contains(found) && !shown.contains("nter2"), "{shown}");
        }
    }

    #[test]
    fn a_check_takes_the_built_in_defaults() {
        let check = &checks("checks: [{ name: a, simulated: {} }]")[0];
        assert_eq!((check.interval, check.timeout, check.initial_delay), (seconds(10), seconds(2), seconds(0)));
        assert_eq!((check.thresholds.failure.get(), check.thresholds.success.get()), (1, 1));
        assert_eq!((check.critical, check.gates), (Critical::Yes, Gates { ready: true, ..Gates::default() }));
        assert_eq!((check.degraded_above, check.stale_after), (None, seconds(32)));
        assert_eq!(check.kind, "simulated");
    }

    #[test]
    fn the_check_goes_before_defaults_and_these_before_those_of_kind_and_gate() {
        let checks = |top: &str| {
            let text = format!(
                "{top}
checks:
  - {{ name: plain, simulated: {{}} }}
  - {{ name: own, interval: 7s, timeout: 1s, failure_threshold: 4, gates: [live], simulated: {{}} }}
  - {{ name: live, gates: [live], simulated: {{}} }}
  - {{ name: path, workflow: {{ steps: [{{ name: a, simulated: {{}} }}] }} }}
"
            );
            let of =
                |check: Definition| (check.interval.as_secs(), check.timeout.as_secs(), check.thresholds.failure.get());
            checks(&text).into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(checks(""), [(10, 2, 1), (7, 1, 4), (10, 2, 3), (60, 30, 1)]);
        assert_eq!(
            checks("defaults: { interval: 20s, timeout: 3s, failure_threshold: 2 }"),
            [(20, 3, 2), (7, 1, 4), (20, 3, 2), (20, 3, 2)]
        );
    }

    #[test]
    fn connections_are_fresh_on_this_pod_and_for_what_can_restart_the_app() {
        let environment = Environment::of([("POD_IP", "10.1.2.3")]);
        let ages = |checks: &[&str]| {
            let checks: String =
                checks.iter().enumerate().map(|(n, check)| format!("  - {{ name: c{n}, {check} }}\n")).collect();
            let text = format!("checks:\n{checks}");
            let unread = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
            let loaded = read("test", text.as_bytes(), &environment, unread);
            assert!(loaded.config.is_some(), "{}", loaded.report.text(false));
            let config = loaded.config.unwrap();
            config.plan.checks.iter().map(|check| check.max_connection_age.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(
            ages(&["http: { url: http://shop/ }", "redis: { url: redis://cache }", "tcp: { address: 'db:5000' }"]),
            [60, 60, 0]
        );
        assert_eq!(
            ages(&["postgres: { url: postgres://u:p@db/x }", "amqp: { url: amqp://mq }", "simulated: {}"]),
            [60, 60, 0]
        );
        let here =
            ["localhost", "127.0.0.1:80", "[::1]", "10.1.2.3"].map(|host| format!("http: {{ url: 'http://{host}/' }}"));
        assert_eq!(ages(&here.each_ref().map(String::as_str)), [0; 4]);
        assert_eq!(
            ages(&[
                "gates: [live], redis: { url: redis://cache }",
                "gates: [startup, ready], amqp: { url: amqp://mq }"
            ]),
            [0, 0]
        );
        let long = "redis: { url: redis://localhost, max_connection_age: 5m }, gates: [live]";
        assert_eq!(ages(&[long, "redis: { url: redis://cache, max_connection_age: 0s }"]), [300, 0]);
        let steps = |urls: [&str; 2]| {
            let steps = urls.map(|url| format!("{{ name: '{}', http: {{ url: '{url}' }} }}", url.len()));
            format!("workflow: {{ steps: [{}] }}", steps.join(", "))
        };
        assert_eq!(
            ages(&[&steps(["http://localhost/", "http://shop/"]), &steps(["http://localhost/", "http://[::1]/"])]),
            [60, 0]
        );
    }

    #[test]
    fn parents_are_positions_in_ascending_order() {
        let text = "checks:
  - { name: c, depends_on: [a, b], simulated: {} }
  - { name: b, simulated: {} }
  - { name: a, depends_on: [b], simulated: {} }
";
        let parents: Vec<_> = checks(text).into_iter().map(|check| check.depends_on).collect();
        assert_eq!(parents, [vec![1, 2], vec![], vec![1]]);
    }

    #[test]
    fn a_config_can_be_sent_to_other_threads() {
        fn is_shareable<T: Send + Sync>(_: &T) {}
        is_shareable(&config("checks: []"));
    }
}
