//! `src/functions.txt` is about this program: a list that has become stale costs memory, and nobody would see it.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the functions of that module are written: the file of the longest path that there is.
fn file_of(modules: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    (1..=modules.len()).rev().find_map(|length| {
        let path = source.join(modules[..length].join("/"));
        [path.with_extension("rs"), path.join("mod.rs")].into_iter().find(|path| path.is_file())
    })
}

/// The parts of a name as the compiler writes it: each after its length.
fn parts(mut name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while let Some(end) = name.find(|letter: char| !letter.is_ascii_digit()) {
        let Ok(length) = name[..end].parse::<usize>() else { break };
        let Some(part) = name.get(end..end + length) else { break };
        parts.push(part);
        name = &name[end + length..];
    }
    parts
}

/// Whether the function is still where its name says. Nothing of names that do not say it plainly.
fn is_there(name: &str) -> Option<bool> {
    let path = parts(name.split_once("_ZN8probelet")?.1);
    let plain: Vec<_> = path.into_iter().take_while(|part| !part.contains('$')).collect();
    let (function, modules) = plain.split_last()?;
    let file = file_of(modules)?;
    Some(fs::read_to_string(file).ok()?.contains(&format!("fn {function}")))
}

#[test]
fn most_functions_that_are_laid_out_together_are_there() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/functions.txt")).unwrap();
    let known: Vec<_> = list.lines().filter_map(|line| Some((line, is_there(line)?))).collect();
    let gone: Vec<_> = known.iter().filter(|(_, there)| !there).map(|(line, _)| line).collect();
    assert!(known.len() > 300, "{} functions are known by their names", known.len());
    assert!(
        gone.len() * 5 < known.len(),
        "`make layout` is due: {} of {} are gone: {gone:#?}",
        gone.len(),
        known.len()
    );
}
