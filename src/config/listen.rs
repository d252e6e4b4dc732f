//! Where the daemon of a configuration listens and which token it wants, for whoever asks it: no more of the file is
//! read.

use std::path::Path;

use super::nodes::{child, items, written};
use super::source::{self, Environment, Input};
use super::tree::Node;
use super::{Listen, text, tree};
use crate::base::secret::Secret;
use crate::base::value::{ParseSession, Text};

/// What the section `server` says to whoever asks that daemon.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// `server.listen`, those addresses first that answer everything.
    pub listen: Vec<Listen>,
    /// `server.token`.
    pub token: Option<Secret>,
}

/// What the file at `path` says; nothing of what it does not say, or where it cannot be read.
#[must_use]
pub fn declared(path: &Path, environment: &Environment) -> Declared {
    let Ok(bytes) = Input::read_file(path).content else { return Declared::default() };
    let root = text::decode(&bytes).ok().and_then(|text| tree::parse(text, &mut |_| {}));
    let Some(server) = root.as_deref().and_then(|root| child(root, "server")) else { return Declared::default() };
    Declared {
        listen: child(server, "listen").map(|listen| addresses(listen, environment)).unwrap_or_default(),
        token: child(server, "token").and_then(|token| value(token, environment)).map(Secret::from),
    }
}

fn addresses(listen: &Node, environment: &Environment) -> Vec<Listen> {
    let mut nodes: Vec<&Node> = items(Some(listen)).map(|item| &**item).collect();
    if nodes.is_empty() {
        nodes.push(listen);
    }
    let is_narrow = |node: &&Node| child(node, "routes").and_then(written).is_some_and(|routes| routes != "all");
    nodes.sort_by_key(is_narrow);
    let address = |node| value(child(node, "address").unwrap_or(node), environment)?.parse().ok();
    nodes.into_iter().filter_map(address).collect()
}

/// The text of a scalar, with what its expansions stand for.
fn value(node: &Node, environment: &Environment) -> Option<String> {
    let session = ParseSession::new(Box::new(source::read_file));
    let parts = source::expand(written(node)?, environment, &session).ok()?;
    Text { parts, written: String::new() }.fixed()
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
            declared(&path, &environment).listen.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("server: { listen: ':9000' }\nchecks: [{ nam: broken }]"), [":9000"]);
        assert_eq!(found("server: { listen: '127.0.0.1:${PORT}' }"), ["127.0.0.1:9000"]);
        assert_eq!(found("server: { listen: [{ address: ':1', routes: probes }, '[::1]:2'] }"), ["[::1]:2", ":1"]);
        for nothing in
            ["", "checks: []", "server: 5", "server: { listen: [] }", "server: { listen: '${NOT_SET}' }", "["]
        {
            assert!(found(nothing).is_empty(), "{nothing}");
        }
        std::fs::write(folder.join("token"), "hunter2\n").unwrap();
        let text = format!("server: {{ token: '${{file:{}/token}}' }}\nchecks: [{{ nam: broken }}]", folder.display());
        std::fs::write(&path, text).unwrap();
        assert_eq!(declared(&path, &environment).token.unwrap().expose(), "hunter2");
        std::fs::remove_dir_all(&folder).unwrap();
        let nothing = declared(&path, &environment);
        assert!(nothing.listen.is_empty() && nothing.token.is_none());
    }
}
