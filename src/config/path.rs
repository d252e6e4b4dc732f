//! YAML paths as people write them: `checks[2].http.headers["X-Tenant: a"]`.

use std::fmt::Write as _;

use super::quote::told_key;

/// The path of the value of `key` below `parent`.
pub fn child(parent: &str, key: &str) -> String {
    let simple = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let key = told_key(key);
    match (parent, simple) {
        ("", true) => key,
        (_, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[\"{key}\"]"),
    }
}

/// The path of the value of a key of ours below `parent`: nobody's secret, and always simple.
pub fn of_field(parent: &str, key: &'static str) -> String {
    let mut fields = Fields::of(parent);
    fields.of_key(key);
    fields.path
}

/// The paths of the values of the keys of one section, one at a time in the same room.
pub struct Fields {
    path: String,
    parent: usize,
}

impl Fields {
    /// Those below `parent`.
    pub fn of(parent: &str) -> Self {
        /// Keys are shorter.
        const ROOM: usize = 32;
        let mut path = String::with_capacity(parent.len() + ROOM);
        path.push_str(parent);
        Self { path, parent: parent.len() }
    }

    /// The same as [`of_field`].
    pub fn of_key(&mut self, key: &'static str) -> &str {
        self.path.truncate(self.parent);
        if self.parent > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        &self.path
    }
}

/// The path of the item at `index` of the list at `parent`.
pub fn item(parent: &str, index: usize) -> String {
    // Room for the largest, so that it is taken once: thousands of checks have one.
    let mut path = String::with_capacity(parent.len() + "[100000]".len());
    path.push_str(parent);
    // A string takes whatever is written to it.
    let _ = write!(path, "[{index}]");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_file() {
        assert_eq!(child("", "checks"), "checks");
        assert_eq!(child(&item("checks", 2), "http"), "checks[2].http");
        assert_eq!(child("json", "/data/status"), "json[\"/data/status\"]");
        assert_eq!(child("checks[0]", "hunter2"), "checks[0].***");
        assert_eq!(child("", &"a".repeat(1000)), "***");
    }
}
