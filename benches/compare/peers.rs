//! Where those beside probelet come from: `make peers` builds them from their Go modules.

use std::path::{Path, PathBuf};

use crate::contestants::{Contestant, Maker};

/// Those that are there, and those that are not, in the order of the columns.
pub fn find() -> (Vec<Contestant>, Vec<Maker>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for maker in Maker::ALL {
        let Some((folder, variable)) = maker.peer() else { continue };
        let built = (binary(folder), version(folder));
        let named = std::env::var_os(variable).map(|path| (PathBuf::from(path), "a build of one's own".to_owned()));
        let (binary, version) = named.unwrap_or(built);
        if binary.is_file() { found.push(Contestant { maker, binary, version }) } else { missing.push(maker) }
    }
    (found, missing)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn binary(folder: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("peers").join(folder)
}

/// The version that is asked for of the module in which the tool lies.
fn version(folder: &str) -> String {
    let text = std::fs::read_to_string(root().join("benches/peers").join(folder).join("go.mod")).unwrap_or_default();
    let tool = text.lines().find_map(|line| line.strip_prefix("tool ")).unwrap_or_default();
    let mut words = text.lines().map(|line| line.trim().trim_start_matches("require ").split_whitespace());
    let asked = words.find_map(|mut words| Some((words.next()?, words.next()?)).filter(|(name, _)| is_in(tool, name)));
    asked.map_or_else(|| "of an unknown version".into(), |(_, version)| version.to_owned())
}

fn is_in(package: &str, module: &str) -> bool {
    package.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
