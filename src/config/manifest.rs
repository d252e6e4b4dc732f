//! Configurations inside of a ConfigMap's manifest, judged where they stand: lines and columns are those of the
//! manifest.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::diagnostic::Report;
use super::nodes::{child, documents, items, written};
use super::read::Reader;
use super::source::{self, Environment, Input};
use super::text::{HELP_TOO_LARGE, MAX_BYTES, MAX_MANIFESTS};
use super::tree::{MappingEntry, Node, NodeContent};
use super::{Loaded, load_input, path, quote, rules, text, tree};
use crate::base::value::{ParseSession, Problem, ReadFile, Severity, SourceSpan};

/// The reports on `input`: one on a configuration, or one on each configuration in the ConfigMaps of a manifest.
#[must_use]
pub fn validate(input: &Input, environment: &Environment) -> Vec<Report> {
    match &input.content {
        Ok(bytes) => judge_within(input.most, &input.name(), bytes, environment, || Box::new(source::read_file)),
        Err(_) => vec![load_input(input, environment).report],
    }
}

/// Whether `bytes` are manifests and no configuration.
#[must_use]
pub fn is_manifest(bytes: &[u8]) -> bool {
    text::decode_manifests(bytes, MAX_MANIFESTS).is_ok_and(|text| entries(text).is_some())
}

/// The one configuration in the ConfigMaps of a manifest; nothing where `bytes` are no manifest, or more than `most`.
pub(super) fn load(
    file: &str,
    bytes: &[u8],
    most: usize,
    environment: &Environment,
    session: &Rc<ParseSession>,
) -> Option<Loaded> {
    let text = text::decode_manifests(bytes, most).ok()?;
    let entries = entries(text)?;
    let refused = |problem| Loaded {
        config: None,
        report: Report::new(file, vec![problem], Some(text), None),
        files: BTreeMap::new(),
        written: String::new(),
    };
    Some(match entries.as_slice() {
        [] => refused(nothing_found()),
        [only] => only.load(file, text, environment, session),
        [first, ..] => refused(several(&entries, &first.span)),
    })
}

/// The reports on the configuration or manifest in `bytes`, which they call `file_name`. Files that configurations name
/// are read by what `read_file` gives.
#[must_use]
pub fn judge(
    file_name: &str,
    bytes: &[u8],
    environment: &Environment,
    read_file: impl Fn() -> Box<ReadFile>,
) -> Vec<Report> {
    judge_within(MAX_MANIFESTS, file_name, bytes, environment, read_file)
}

fn judge_within(
    most: usize,
    file_name: &str,
    bytes: &[u8],
    environment: &Environment,
    read_file: impl Fn() -> Box<ReadFile>,
) -> Vec<Report> {
    let found = text::decode_manifests(bytes, most).ok().and_then(|text| Some((text, entries(text)?)));
    let Some((text, entries)) = found else {
        return vec![super::read(file_name, bytes, environment, read_file()).report];
    };
    if entries.is_empty() {
        return vec![Report::new(file_name, vec![nothing_found()], Some(text), None)];
    }
    let all = ParseSession::with(read_file(), environment.is_offline());
    let report = |entry: &EmbeddedConfig| entry.load(file_name, text, environment, &ParseSession::one_of(&all)).report;
    entries.iter().map(report).collect()
}

/// A configuration under a key of a ConfigMap.
struct EmbeddedConfig {
    /// Which one it is, for people: `ConfigMap shop, data.config.yaml`.
    name: String,
    key: String,
    /// The key's own place.
    span: SourceSpan,
}

/// The configurations in the ConfigMaps of `text`; nothing when it is no manifest.
fn entries(text: &str) -> Option<Vec<EmbeddedConfig>> {
    // Most configurations are no manifest, and need not be looked at twice.
    if !text.contains("apiVersion") {
        return None;
    }
    let mut is_manifest = false;
    let mut likely = Vec::new();
    let mut named = Vec::new();
    for (before, document) in documents(text) {
        let Some(root) = tree::parse(&document, &mut |_| {}) else { continue };
        if child(&root, "apiVersion").and(child(&root, "kind")).and_then(written).is_none() {
            continue;
        }
        is_manifest = true;
        for (at, map) in config_maps(&root) {
            let Some(NodeContent::Map(entries)) = child(map, "data").map(|node| &node.content) else { continue };
            for entry in entries {
                let held = || held(entry, map, &at, before);
                if has_checks(&entry.value) {
                    likely.push(held());
                } else if matches!(&*entry.key, "config.yaml" | "config.yml" | "probelet.yaml" | "probelet.yml") {
                    named.push(held());
                }
            }
        }
    }
    // One whose `checks` is missing or misspelt is known by its name alone, which other software uses too.
    is_manifest.then_some(if likely.is_empty() { named } else { likely })
}

/// The ConfigMaps of a document, with their paths: itself, or those that it lists.
fn config_maps<'n, 't>(root: &'n Node<'t>) -> Vec<(String, &'n Node<'t>)> {
    let is_map = |node: &Node| child(node, "kind").and_then(written) == Some("ConfigMap");
    let listed = items(child(root, "items").filter(|_| !is_map(root))).enumerate();
    let listed = listed.map(|(index, node)| (path::item("items", index), &**node));
    std::iter::once((String::new(), root)).chain(listed).filter(|(_, node)| is_map(node)).collect()
}

/// Whether a value is a text with a line `checks:` that is not indented.
fn has_checks(node: &Node) -> bool {
    written(node).is_some_and(|text| text::lines(text).any(|line| line.starts_with("checks:")))
}

fn held(entry: &MappingEntry, map: &Node, at: &str, before: u32) -> EmbeddedConfig {
    let mut span = entry.key_mark.span(path::child(&path::child(at, "data"), &entry.key));
    let map = child(map, "metadata").and_then(|metadata| child(metadata, "name")).and_then(written);
    let name = map.map(|map| format!("ConfigMap {map}, ")).unwrap_or_default() + "data." + &entry.key;
    span.line = span.line.saturating_add(before);
    EmbeddedConfig { name, key: entry.key.to_string(), span }
}

/// The lines of a literal block (`key: |`) in `text` whose key stands at `key`, with everything around it blank, so that
/// each character stands where it does in the manifest; nothing when it is not written as a block of lines.
fn block(text: &str, key: &SourceSpan) -> Option<String> {
    let line = key.line as usize;
    let mut lines = text::lines(text).skip(line - 1);
    let behind: String = lines.next()?.chars().skip((key.column - 1 + key.width) as usize).collect();
    behind.trim_start_matches(['"', '\'', ' ']).strip_prefix(':')?.trim_start().strip_prefix('|')?;
    let indented = |line: &&str| {
        let content = line.trim_start_matches(' ');
        content.is_empty() || line.len() - content.len() >= key.column as usize
    };
    // A marker is one at the start of a line only, which it is not in here.
    let shown = lines.take_while(indented).map(|line| if matches!(line.trim(), "---" | "...") { "" } else { line });
    Some("\n".repeat(line) + &shown.collect::<Vec<_>>().join("\n") + "\n")
}

impl EmbeddedConfig {
    fn load(&self, file: &str, text: &str, environment: &Environment, session: &Rc<ParseSession>) -> Loaded {
        let refused = |code, message: &str, help| {
            let problem = Problem {
                severity: Severity::Error,
                code,
                message: message.into(),
                help: Some(help),
                span: self.span.clone(),
            };
            let report = Report::new(file, vec![problem], Some(text), None).within(&self.name);
            Loaded { config: None, report, files: BTreeMap::new(), written: String::new() }
        };
        let Some(lines) = &block(text, &self.span) else {
            let help = format!("write `{}: |` and the configuration below it, indented", self.key);
            return refused("wrong-type", "the configuration is not written as a block of lines", help);
        };
        if lines.len() - self.span.line as usize > MAX_BYTES {
            return refused("too-large", "the configuration is larger than 1 MiB", HELP_TOO_LARGE.into());
        }
        let root = tree::parse(lines, &mut |problem| session.report(problem));
        let reader = Reader::new(environment, Rc::clone(session));
        let config = root.and_then(|root| rules::apply(root, &reader));
        let mut problems = session.problems();
        for problem in &mut problems {
            if problem.code == "empty-document" && problem.span.path.is_empty() {
                problem.span = self.span.clone();
            } else if problem.span.path.is_empty() {
                problem.span.path.clone_from(&self.span.path);
            } else {
                problem.span.path = format!("{}.{}", self.span.path, problem.span.path).into();
            }
        }
        let root = (!problems.is_empty()).then(|| tree::parse(lines, &mut |_| {})).flatten();
        let report = Report::new(file, problems, Some(text), root.as_deref()).within(&self.name);
        let written = lines.trim_start_matches('\n').to_owned();
        Loaded { config: config.filter(|_| report.is_valid()), report, files: session.files(), written }
    }
}

/// That it is not clear which of these configurations is meant.
fn several(found: &[EmbeddedConfig], span: &SourceSpan) -> Problem {
    const MOST: usize = 3;
    let mut names: Vec<String> = found.iter().take(MOST).map(|held| quote::shown(&held.name)).collect();
    if found.len() > MOST {
        names.push("…".into());
    }
    Problem {
        severity: Severity::Error,
        code: "several-documents",
        message: format!("this manifest holds {} configurations: {}", found.len(), names.join("; ")),
        help: Some("give one of them, as a manifest or a file of its own; `validate` takes them all".into()),
        span: span.clone(),
    }
}

fn nothing_found() -> Problem {
    Problem {
        severity: Severity::Error,
        code: "empty-document",
        message: "no ConfigMap in this manifest holds a configuration".into(),
        help: Some("put it under a key of `data` as a block: `config.yaml: |`, with `checks:` in it".into()),
        span: SourceSpan { path: "".into(), line: 1, column: 1, width: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(manifest: &str) -> String {
        let environment = Environment::of::<String, String>([]);
        let read_file = || -> Box<ReadFile> { Box::new(|_| Err(std::io::ErrorKind::NotFound.into())) };
        let reports = judge("m.yaml", manifest.as_bytes(), &environment, read_file);
        reports.iter().map(|report| report.text(false)).collect()
    }

    const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\ndata:\n";

    #[test]
    fn a_mistake_is_shown_where_it_stands_in_the_manifest() {
        let map = format!(
            "kind: Service\napiVersion: v1\n---\n{HEAD}  config.yaml: |\n    ---\n    checks:\n      - nam: a\n"
        );
        assert_eq!(
            text(&map).split("\n\n").next().unwrap(),
            "error[missing-kind]: there is no section that says what to observe
  --> m.yaml:10:9
   |
10 |       - nam: a
   |         ^^^
   |
   = at: data[\"config.yaml\"].checks[0]
   = help: add one of `http`, `tcp`, `grpc`, `postgres`, `redis`, `amqp`, `disk`, `heartbeat`, `workflow` or `simulated`"
        );
    }

    #[test]
    fn each_configuration_is_named_by_its_key() {
        let map = format!("{HEAD}  a: |\n    checks: []\n  \"b.yaml\": |-\n    checks: []\n  c: checks\n");
        assert_eq!(text(&map), "m.yaml (data.a) is valid\nm.yaml (data.b.yaml) is valid\n");
        assert_eq!(text("checks: []"), "m.yaml is valid\n");
    }

    #[test]
    fn the_config_maps_of_a_list_are_found_and_told_apart() {
        let list = "apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: shop }
    data:
      config.yaml: |
        checks: []
  - { apiVersion: v1, kind: Secret, data: { config.yaml: x } }
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: till }
    data:
      config.yaml: |
        check: []
        checks: []
";
        assert_eq!(
            text(list),
            "m.yaml (ConfigMap shop, data.config.yaml) is valid
error[unknown-key]: unknown key `check`
  --> m.yaml:16:9
   |
16 |         check: []
   |         ^^^^^
   |
   = at: items[2].data[\"config.yaml\"].check
   = help: did you mean `checks`?

m.yaml (ConfigMap till, data.config.yaml) is not valid: 1 error
"
        );
    }

    #[test]
    fn a_manifest_without_a_configuration_is_told_what_to_write() {
        let first = |manifest: &str| text(manifest).lines().next().unwrap_or_default().to_owned();
        let none = "error[empty-document]: no ConfigMap in this manifest holds a configuration";
        assert_eq!(first("apiVersion: v1\nkind: Service\n"), none);
        assert_eq!(first(&format!("{HEAD}  a: b\n")), none);
        let folded = "error[wrong-type]: the configuration is not written as a block of lines";
        assert_eq!(first(&format!("{HEAD}  a: \"checks: []\"\n")), folded);
        let empty = "error[empty-document]: the file holds no configuration";
        assert_eq!(first(&format!("{HEAD}  config.yaml: |\n    # nothing\n")), empty);
    }

    #[test]
    fn what_stands_beside_a_configuration_may_be_larger_than_one() {
        let beside = format!("kind: Secret\napiVersion: v1\ndata: {{ a: {} }}\n---\n", "x".repeat(MAX_BYTES));
        let map = |checks: &str| format!("{beside}{HEAD}  config.yaml: |\n    {checks}\n");
        assert_eq!(text(&map("checks: []")), "m.yaml (data.config.yaml) is valid\n");
        let shown = text(&map("checks: [{ nam: a }]"));
        assert!(shown.contains("--> m.yaml:9:16\n"), "{shown}");
        let long = text(&map(&format!("checks: [] # {}", "x".repeat(MAX_BYTES))));
        assert_eq!(long.lines().next(), Some("error[too-large]: the configuration is larger than 1 MiB"));
        assert!(long.contains("--> m.yaml:8:3\n"), "{long}");
    }

    #[test]
    fn manifests_that_were_cut_off_are_not_read_as_far_as_they_go() {
        let environment = Environment::of::<String, String>([]);
        let found = |bytes: &[u8], most| {
            let session = ParseSession::new(Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
            load("m.yaml", bytes, most, &environment, &session).is_some()
        };
        let map = format!("{HEAD}  config.yaml: |\n    checks: []\n");
        assert!(found(map.as_bytes(), map.len()) && !found(map.as_bytes(), map.len() - 1));
        let vast = map.clone() + &"#".repeat(MAX_MANIFESTS);
        let report = text(&vast);
        assert_eq!(report.lines().next(), Some("error[too-large]: the manifests are larger than 64 MiB"));
    }
}
