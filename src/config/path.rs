//! YAML paths as people write them: `checks[2].http.headers["X-Tenant: a"]`.

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
    let separator = if parent.is_empty() { "" } else { "." };
    [parent, separator, key].concat()
}

/// The path of the item at `index` of the list at `parent`.
pub fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
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
