//! Which part of a list a query asks for.

use crate::history::answer::Page;
use crate::server::query::Query;
use crate::server::warnings::quoted;

/// The size of a page for those who do not say.
const USUAL: usize = 100;
/// And the largest.
const LARGEST: usize = 1000;

/// The part that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestedPage {
    /// At most so many.
    pub(super) limit: usize,
    /// What follows the entry with this number.
    pub(super) before: Option<u64>,
}

impl Default for RequestedPage {
    fn default() -> Self {
        Self { limit: USUAL, before: None }
    }
}

impl RequestedPage {
    /// What `query` says, or what is wrong with it and what to write instead.
    pub(super) fn of(query: Query<'_>) -> Result<Self, String> {
        let limit = match query.first("limit") {
            None => USUAL,
            Some(text) => number(&text)
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| (1..=LARGEST).contains(limit))
                .ok_or_else(|| format!("limit is {}; write a number from 1 to {LARGEST}", quoted(&text)))?,
        };
        let before = match query.first("before") {
            None => None,
            Some(text) => Some(number(&text).ok_or_else(|| {
                format!("before is {}; write the number of an entry, as in the path `next`", quoted(&text))
            })?),
        };
        Ok(Self { limit, before })
    }

    /// The same for the history.
    pub(super) fn page(self) -> Page {
        Page { limit: self.limit, before: self.before }
    }
}

/// A whole number that a file can hold; a sign is none.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && i64::try_from(*number).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<(usize, Option<u64>), String> {
        RequestedPage::of(Query::new(Some(query))).map(|wanted| (wanted.limit, wanted.before))
    }

    #[test]
    fn a_page_has_a_hundred_entries_unless_asked_otherwise() {
        assert_eq!(wanted(""), Ok((100, None)));
        assert_eq!(wanted("limit=1&before=7&x=y"), Ok((1, Some(7))));
        assert_eq!(wanted("limit=1000&before=0"), Ok((1000, Some(0))));
    }

    #[test]
    fn what_is_no_page_is_told_with_what_to_write() {
        for text in ["0", "1001", "-1", "+1", "", "1.5", "ten", "99999999999999999999"] {
            let expected = format!("limit is \"{text}\"; write a number from 1 to 1000");
            assert_eq!(wanted(&format!("limit={text}")), Err(expected));
        }
        for text in ["-1", "", "x", "9223372036854775808"] {
            let expected = format!("before is \"{text}\"; write the number of an entry, as in the path `next`");
            assert_eq!(wanted(&format!("before={text}")), Err(expected));
        }
    }
}
