//! The query of a request, read in a way that never fails: whatever cannot be decoded stays as it is.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The query of a request. A `+` is a plus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The query as it stands behind the `?`.
    pub(super) fn new(raw: Option<&'a str>) -> Self {
        Self(raw.unwrap_or_default())
    }

    /// The values of `key`, in order.
    pub(super) fn all(self, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
        // Most requests have none.
        let pairs = (!self.0.is_empty()).then(|| self.0.split('&')).into_iter().flatten();
        pairs.filter_map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name) == key).then(|| decode(value))
        })
    }

    /// The first value of `key`.
    pub(super) fn first(self, key: &str) -> Option<Cow<'a, str>> {
        self.all(key).next()
    }

    /// Whether `key` is there, with any value or none.
    pub(super) fn has(self, key: &str) -> bool {
        self.first(key).is_some()
    }
}

/// Percent-decodes a part of a path or query; a `%` that starts no escape stays, and so do bytes that are no text, as
/// the replacement character.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    percent_decode_str(raw).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_plus_and_escapes_are_decoded() {
        let query = Query::new(Some("format=health+json&exclude=a%2Fb&exclude=c&verbose&ex%63lude=d"));
        assert_eq!(query.first("format").unwrap(), "health+json");
        assert_eq!(query.all("exclude").collect::<Vec<_>>(), ["a/b", "c", "d"]);
        assert!(query.has("verbose"));
        assert!(!query.has("verb"));
        assert!(!Query::new(None).has("verbose"));
    }

    #[test]
    fn nonsense_is_kept_as_it_is() {
        let query = Query::new(Some("=&&==&exclude=%zz%&exclude=%ff&exclude==x"));
        assert_eq!(query.all("exclude").collect::<Vec<_>>(), ["%zz%", "\u{fffd}", "=x"]);
    }
}
