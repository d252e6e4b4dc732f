//! No two files of a room know each other, directly or by way of others: what circles is read all at once or not at all.
//!
//! What `mod.rs` of a folder declares belongs to all files in it; a name that it hands on counts as an import of the file
//! where it is declared. Unit tests may borrow from anywhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{files, without_tests};

type Module = Vec<String>;

/// The files of a crate, as far as imports go.
#[derive(Default)]
struct Imports {
    /// Whether the module is the `mod.rs` of a folder.
    modules: BTreeMap<Module, bool>,
    /// What each module calls by a name of its own: the path that the name stands for.
    names: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
    /// Every path that each module uses.
    paths: BTreeMap<Module, Vec<Vec<String>>>,
}

fn module_of(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).filter(|part| part != "lib").collect()
}

impl Imports {
    fn of<'t>(sources: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut imports = Self::default();
        for (path, text) in sources {
            let module = module_of(path);
            let is_folder = path.ends_with("/mod.rs") || path.ends_with("/lib.rs");
            imports.modules.insert(module.clone(), is_folder);
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let code = code.join("\n");
            let names = imports.names.entry(module.clone()).or_default();
            for (path, name) in declarations(&code) {
                names.insert(name, path);
            }
            imports.paths.insert(module, names.values().cloned().chain(written_paths(&code)).collect());
        }
        imports
    }

    /// The file that `path` leads to from `module`, if it is another one.
    fn file_of(&self, module: &[String], path: &[String], further: u8) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let whole: Module = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => module.iter().chain(rest).cloned().collect(),
            "super" => {
                let levels = path.iter().take_while(|part| *part == "super").count();
                let above = module.len().checked_sub(levels)?;
                module[..above].iter().chain(&path[levels..]).cloned().collect()
            }
            name if self.modules.contains_key(&[module, &[name.to_owned()]].concat()) => [module, path].concat(),
            name => {
                let stands_for = self.names.get(module)?.get(name).filter(|_| further > 0)?;
                return self.file_of(module, &[stands_for, rest].concat(), further - 1);
            }
        };
        let length = (1..=whole.len()).rev().find(|length| self.modules.contains_key(&whole[..*length]))?;
        let (found, rest) = whole.split_at(length);
        if !self.modules[found] {
            return Some(found.to_vec());
        }
        // What a folder hands on is declared in one of its files.
        let handed_on = self.names[found].get(rest.first()?).filter(|_| further > 0)?;
        self.file_of(found, handed_on, further - 1)
    }

    /// For each file that is no `mod.rs`, the files of its room that it uses.
    fn edges(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let files = self.modules.iter().filter(|(_, is_folder)| !**is_folder).map(|(module, _)| module);
        let used = |module: &Module| {
            let found = self.paths[module].iter().filter_map(|path| self.file_of(module, path, 8));
            found.filter(|other| other != module && other[0] == module[0]).collect()
        };
        files.map(|module| (module, used(module))).collect()
    }

    /// The files that are part of a circle, or lie between circles.
    fn circles(&self) -> Vec<String> {
        let mut edges = self.edges();
        loop {
            let known: BTreeSet<Module> = edges.keys().copied().cloned().collect();
            let used: BTreeSet<Module> = edges.values().flatten().cloned().collect();
            let before = edges.len();
            edges.retain(|module, uses| used.contains(*module) && uses.iter().any(|other| known.contains(other)));
            if edges.len() == before {
                break;
            }
        }
        let known: BTreeSet<Module> = edges.keys().copied().cloned().collect();
        let shown = |(module, uses): (&&Module, &BTreeSet<Module>)| {
            let uses: Vec<_> = uses.intersection(&known).map(|other| other.join("::")).collect();
            format!("{} uses {}", module.join("::"), uses.join(", "))
        };
        edges.iter().map(shown).collect()
    }
}

/// The paths of all `use` declarations, with the names that they are used by.
fn declarations(code: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap().trim_start();
        if line.is_empty() || line.starts_with("pub") {
            expand(&[], code[at + 4..].split(';').next().unwrap(), &mut found);
        }
    }
    found
}

/// Adds what `tree`, the rest of a declaration behind `before`, brings in.
fn expand(before: &[String], tree: &str, found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let before: Vec<String> = [before, &parts(head)].concat();
        let group = group.strip_suffix('}').unwrap_or(group);
        let (mut depth, mut start) = (0, 0);
        for (at, sign) in group.char_indices().chain([(group.len(), ',')]) {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&before, &group[start..at], found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let mut path = [before, &parts(path)].concat();
    path.pop_if(|last| last == "self");
    if let Some(last) = path.last().cloned() {
        found.push((path, name.map_or(last, str::to_owned)));
    }
}

fn parts(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Every path of two parts or more that stands in `code`.
fn written_paths(code: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches(':'));
    words.filter(|word| word.contains("::") && !word.starts_with(':')).map(parts).collect()
}

#[test]
fn files_of_a_room_do_not_go_round_in_circles() {
    let sources = files("src", "rs");
    let own = |path: &str| !path.contains("/tests") && !path.ends_with("/testing.rs") && path != "src/main.rs";
    let sources = sources.iter().filter(|(path, _)| own(path));
    let circles = Imports::of(sources.map(|(path, text)| (path.as_str(), without_tests(text)))).circles();
    assert!(circles.is_empty(), "these go round: {circles:#?}");
}

#[test]
fn a_circle_is_found_however_its_files_name_each_other() {
    let circles = |first: &str, second: &str| {
        let folder = "mod answer;\nmod body;\npub(super) use body::{Body, BodyPart as Part};";
        let sources = [("src/server/mod.rs", folder), ("src/server/answer.rs", first), ("src/server/body.rs", second)];
        Imports::of(sources).circles().len()
    };
    let second = "use super::answer::Answer;";
    for first in [
        "use super::body::Body;",
        "use crate::{base::clock, server::{body::Body, App}};",
        "use super::Body;",
        "use super::Part;",
        "use crate::server::body;",
        "use crate::server;\nfn f(body: &server::Body) {}",
        "fn f(body: &super::body::Body) {}",
    ] {
        assert_eq!(circles(first, second), 2, "{first}");
        assert_eq!(circles(first, ""), 0, "{first}");
    }
    assert_eq!(circles("// use super::body::Body;\nuse super::App;", second), 0);
}
