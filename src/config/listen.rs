//! Where the daemon of a configuration listens, for whoever wants to ask it: no more of the file is read than that.

use std::path::Path;

use super::pod::{child, items, written};
use super::source::{self, Environment, Input};
use super::tree::Node;
use super::{Listen, text, tree};
use crate::base::value::{Reading, Text};

/// What `server.listen` says in the file at `path`, those addresses first that answer everything; nothing where it says
/// nothing, or the file cannot be read.
#[must_use]
pub fn declared(path: &Path, environment: &Environment) -> Vec<Listen> {
    let Ok(bytes) = Input::read_file(path).content else { return Vec::new() };
    let root = text::decode(&bytes).ok().and_then(|text| tree::parse(text, &mut |_| {}));
    let Some(listen) =
        root.as_deref().and_then(|root| child(root, "server")).and_then(|server| child(server, "listen"))
    else {
        return Vec::new();
    };
    let mut nodes: Vec<&Node> = items(Some(listen)).map(|item| &**item).collect();
    if nodes.is_empty() {
        nodes.push(listen);
    }
    let is_narrow = |node: &&Node| child(node, "routes").and_then(written).is_some_and(|routes| routes != "all");
    nodes.sort_by_key(is_narrow);
    nodes.into_iter().filter_map(|node| address(child(node, "address").unwrap_or(node), environment)).collect()
}

fn address(node: &Node, environment: &Environment) -> Option<Listen> {
    let reading = Reading::new(Box::new(source::read_file));
    let parts = source::expand(written(node)?, environment, &reading).ok()?;
    Text { parts, written: String::new() }.fixed()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_as_they_are_written() {
        let folder = std::env::temp_dir().join(format!("probelet-listen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config.yaml");
        let environment = Environment::of([("PORT", "9000")]);
        let found = |text: &str| {
            std::fs::write(&path, text).unwrap();
            declared(&path, &environment).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("server: { listen: ':9000' }\nchecks: [{ nam: broken }]"), [":9000"]);
        assert_eq!(found("server: { listen: '127.0.0.1:${PORT}' }"), ["127.0.0.1:9000"]);
        assert_eq!(found("server: { listen: [{ address: ':1', routes: probes }, '[::1]:2'] }"), ["[::1]:2", ":1"]);
        for nothing in
            ["", "checks: []", "server: 5", "server: { listen: [] }", "server: { listen: '${NOT_SET}' }", "["]
        {
            assert!(found(nothing).is_empty(), "{nothing}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(declared(&path, &environment).is_empty());
    }
}
