//! Rules of the house that the compiler does not know: floors, words, and documents that must not lag behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground up. A module imports only from floors below its own.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["model", "workflow"],
    &["probe"],
    &["config", "store", "metrics", "history"],
    &["scheduler", "server", "hooks"],
    &["daemon", "simulation"],
    &["cli"],
];

/// Imports of siblings that are part of the plan, with the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

pub(crate) fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("fuzz/target") {
                // What the fuzzers build is not ours.
            } else if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// The source without its unit tests, which may borrow from anywhere.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

/// The top-level modules that the file at `path` names: `crate::x`, `crate::{x, y::z}`, and `super::super::x` where
/// that leads to the root.
fn imports<'t>(path: &str, text: &'t str) -> Vec<&'t str> {
    let word = |text: &'t str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        found.push(word(group));
        let mut depth = 0;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(word(&group[at + 1..])),
                _ => {}
            }
        }
    }
    let module = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let to_the_root = "super::".repeat(module.split('/').count());
    found.extend(text.split(&to_the_root).skip(1).map(word).filter(|used| *used != "super"));
    found
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let text = "use crate::base::clock;\nuse crate::{\n    cli::{run, wait},\n    store,\n};\nuse super::super::server::App;\n";
    assert_eq!(imports("src/probe/tcp.rs", text), ["base", "cli", "store", "", "server"]);
    assert_eq!(imports("src/probe/mod.rs", "use super::daemon;"), ["daemon"]);
    assert_eq!(imports("src/probe/http/mod.rs", "use super::reuse;\nuse super::super::cli;"), ["cli"]);
}

#[test]
fn modules_import_only_from_floors_below() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        let Some(module) = path.strip_prefix("src/").and_then(|rest| rest.split(['/', '.']).next()) else { continue };
        // What a folder's tests share is built for them alone.
        if ["lib", "main"].contains(&module) || path.ends_with("/testing.rs") {
            continue;
        }
        let own = floor(module).unwrap_or_else(|| panic!("{path}: the module {module} has no floor"));
        for used in imports(&path, without_tests(&text)) {
            let Some(theirs) = floor(used) else { continue };
            let excepted = EXCEPTIONS.iter().any(|(from, to, _)| path.starts_with(from) && *to == used);
            if used != module && theirs >= own && !excepted {
                wrong.push(format!("{path} imports {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_module_opens_with_its_purpose() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in files(folder, "rs") {
            assert!(text.starts_with("//! "), "{path} does not open with a line that says what it is for");
        }
    }
}

/// A file of `src` has at most so many lines: by then a second thing has come into it.
const MOST_LINES: usize = 550;

/// Catalogues, which may be long.
const CATALOGUES: &[&str] = &["src/config/codes.rs"];

#[test]
fn a_file_holds_one_thing() {
    for (path, text) in files("src", "rs").iter().filter(|(path, _)| !CATALOGUES.contains(&path.as_str())) {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{path} has {lines} lines, more than {MOST_LINES}: split it by what each part is");
    }
}

/// A word that only one place may use, with the places that may.
const ONLY_THERE: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["src/base/clock.rs"]),
    ("clock_gettime", &["src/base/clock.rs"]),
    ("env::var", &["src/config/source.rs"]),
    ("process::exit", &["src/main.rs"]),
    ("granit_parser", &["src/config/"]),
    // Its client is that of the probes that speak HTTP, its server the server's; what both spawn is polled in one way.
    (
        "hyper::",
        &["src/base/connection_tasks.rs", "src/server/", "src/probe/http/", "src/probe/http2.rs", "src/probe/grpc/"],
    ),
    (
        "hyper::client",
        &[
            "src/probe/http/connections.rs",
            "src/probe/http/spelling.rs",
            "src/probe/http2.rs",
            "src/probe/grpc/connection.rs",
        ],
    ),
    ("hyper::server", &["src/server/"]),
    ("prometheus::", &["src/metrics/"]),
    // The snapshot is swapped in one place; what has been judged and rendered of it, and read of the process, is kept
    // in three.
    (
        "ArcSwap",
        &[
            "src/store/",
            "src/server/gate_cache.rs",
            "src/server/narrowed.rs",
            "src/server/renderings.rs",
            "src/metrics/daemon.rs",
        ],
    ),
];

#[test]
fn what_belongs_in_one_place_is_only_there() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        for (word, places) in ONLY_THERE {
            let used =
                without_tests(&text).lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            if used && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{path} uses {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    let words = ["todo!(", "unimplemented!(", "#[ignore", "#[allow(dead_code", "FIXME", "XXX"];
    for folder in ["src", "tests", "benches"] {
        for (path, text) in files(folder, "rs").iter().filter(|(path, _)| path != "tests/suite/tidy.rs") {
            for word in words {
                assert!(!text.contains(word), "{path} contains {word}");
            }
        }
    }
}

#[test]
fn every_kind_key_and_code_is_in_the_reference() {
    let reference = fs::read_to_string(root().join("config/reference.md")).unwrap();
    for kind in probelet::probe::KINDS {
        assert!(reference.contains(&format!("`{}`", kind.name)), "the kind {} is not in the reference", kind.name);
        for field in kind.fields {
            assert!(
                reference.contains(&format!("`{}`", field.name)),
                "{}.{} is not in the reference",
                kind.name,
                field.name
            );
        }
        assert!(!kind.doc.is_empty(), "the kind {} does not say what it is for", kind.name);
        let example = root().join(format!("config/examples/{}.yaml", kind.name));
        assert!(example.exists(), "there is no {}", example.display());
    }
    for code in probelet::config::CODES {
        assert!(reference.contains(&format!("`{}`", code.name)), "the code {} is not in the reference", code.name);
    }
}

#[test]
fn every_metric_is_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let own = |metric: &&probelet::metrics::catalog::Metric| !metric.name.starts_with("process_");
    for metric in probelet::metrics::catalog::CATALOG.iter().filter(own) {
        assert!(readme.contains(metric.name), "the metric {} is not in README.md", metric.name);
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut in_dependencies = false;
    let mut before = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies]");
        } else if in_dependencies && line.contains(" = ") {
            assert!(before.starts_with("# "), "no line says why: {line}");
        }
        before = line;
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/reference.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let folder = root().join(document).parent().unwrap().to_owned();
        let targets: BTreeSet<&str> =
            text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()).collect();
        for target in targets.into_iter().filter(|target| !target.is_empty() && !target.contains("://")) {
            assert!(folder.join(target).exists(), "{document} links to {target}, which is not there");
        }
    }
}

#[test]
fn property_tests_draw_the_same_cases_each_time() {
    let seed = proptest::test_runner::Config::default().rng_seed;
    assert!(matches!(seed, proptest::test_runner::RngSeed::Fixed(_)), "PROPTEST_RNG_SEED is set in .cargo/config.toml");
}
