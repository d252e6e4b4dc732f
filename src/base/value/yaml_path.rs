//! YAML paths as they are kept: thousands of checks have dozens each, and nearly none is ever told.

use std::fmt;
use std::sync::Arc;

/// A YAML path: `checks[2].http.url`. What stands in one section shares the path of the section. One path may be kept in two
/// ways: compare its text.
#[derive(Clone, Default)]
pub struct YamlPath {
    parent: Arc<str>,
    /// A key of ours below it; none where `parent` is the whole path.
    key: Option<&'static &'static str>,
}

impl YamlPath {
    /// The path of the value of `key`, which is always simple, in the section at this path.
    #[must_use]
    pub fn field(&self, key: &'static &'static str) -> Self {
        let parent = if self.key.is_none() { Arc::clone(&self.parent) } else { self.text().into() };
        Self { parent, key: Some(key) }
    }

    /// As it is told.
    #[must_use]
    pub fn text(&self) -> String {
        let Some(key) = self.key else { return (*self.parent).to_owned() };
        let separator = if self.parent.is_empty() { "" } else { "." };
        [&self.parent, separator, key].concat()
    }

    /// Whether it is that of the whole document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty() && self.key.is_none()
    }
}

impl From<&str> for YamlPath {
    fn from(path: &str) -> Self {
        // An empty one takes no room.
        Self { parent: if path.is_empty() { Arc::default() } else { path.into() }, key: None }
    }
}

impl From<&String> for YamlPath {
    fn from(path: &String) -> Self {
        path.as_str().into()
    }
}

impl From<String> for YamlPath {
    fn from(path: String) -> Self {
        path.as_str().into()
    }
}

impl fmt::Display for YamlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// As a text.
impl fmt::Debug for YamlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_like_the_file() {
        let section = YamlPath::from("checks[2].http");
        assert_eq!(section.field(&"url").to_string(), "checks[2].http.url");
        assert_eq!(section.field(&"tls").field(&"ca").to_string(), "checks[2].http.tls.ca");
        assert_eq!(YamlPath::default().field(&"log").to_string(), "log");
        assert_eq!(format!("{:?}", section.field(&"url")), "\"checks[2].http.url\"");
        assert!(YamlPath::from("").is_empty() && !YamlPath::default().field(&"log").is_empty());
    }

    #[test]
    fn what_stands_in_a_section_shares_its_path() {
        let section = YamlPath::from("checks[2].http");
        assert!(Arc::ptr_eq(&section.parent, &section.field(&"url").parent));
    }
}
