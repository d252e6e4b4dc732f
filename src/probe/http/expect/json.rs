//! What is expected of a JSON body, by pointers that may lead to many places.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use crate::base::credentials::is_credential;
use crate::base::matcher::{DeclaredMatcher, Matcher, Shortfall, Subject, shown_json};
use crate::base::pointer::{PointerSet, Visit, Wildcard};
use crate::base::trace::Found;
use crate::probe::search::cost_of_json;

/// Where something is expected, and what.
pub(super) struct JsonExpectations {
    matchers: Vec<(String, DeclaredMatcher)>,
    pointers: PointerSet,
}

impl Default for JsonExpectations {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// More parts of a value than this, beside those that are expected, are not kept to be compared: a few megabytes.
const MOST_PARTS: usize = 32 << 10;

impl JsonExpectations {
    pub(super) fn new(matchers: Vec<(String, DeclaredMatcher)>) -> Self {
        let pointers = PointerSet::new(matchers.iter().map(|(pointer, _)| pointer.as_str()), Wildcard::Every);
        Self { matchers, pointers }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.matchers.is_empty()
    }

    /// Where something is expected, and what.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &DeclaredMatcher)> {
        self.matchers.iter().map(|(pointer, matcher)| (pointer.as_str(), matcher))
    }

    /// What it costs at most to judge a body of so many bytes, in units of
    /// [`Pattern::cost`](crate::base::pattern::Pattern::cost).
    pub(super) fn cost(&self, bytes: usize) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let matchers = self.matchers.iter().map(|(_, matcher)| matcher.cost(bytes as u64));
        matchers.fold(cost_of_json(bytes), u64::saturating_add)
    }

    /// What is at each pointer of `body`, judged by the matcher of the same position; nothing where it is not JSON.
    pub(super) fn judge(&self, body: &[u8], matchers: &[Arc<Matcher>], shows: bool) -> Option<Vec<JudgedPlaces>> {
        let most = |matcher: &Arc<Matcher>| (shows || matcher.wants_value()).then(|| MOST_PARTS + matcher.parts());
        let mosts: Vec<Option<usize>> = matchers.iter().map(most).collect();
        let mut judged: Vec<JudgedPlaces> =
            std::iter::repeat_with(JudgedPlaces::default).take(matchers.len()).collect();
        let is_secret = |name: &str| shows && is_credential(name);
        let is_json = self.pointers.walk(body, &mosts, &is_secret, &mut |pointer, visit| match visit {
            Visit::Again => judged[pointer] = JudgedPlaces::default(),
            Visit::Value { value, length, is_secret } => {
                let subject = value.map_or(Subject::TooMuch(length), Subject::Json);
                let show = || if is_secret { Found::HeldBack } else { Found::This(shown(value, length)) };
                judged[pointer].add(matchers[pointer].judge(subject), show, shows);
            }
        });
        is_json.then_some(judged)
    }
}

/// Where a pointer leads to many places, which of them must be as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    Every,
    Any,
}

/// The places that a pointer leads to, and what was found there.
#[derive(Default)]
pub(super) struct JudgedPlaces {
    count: usize,
    /// The first that fits.
    fit: Option<ShownPlace>,
    /// The first that does not fit, and what does not hold of it.
    misfit: Option<(ShownPlace, Shortfall)>,
}

/// A place, counted from 1, and what is there, where somebody wants to know.
struct ShownPlace {
    at: usize,
    value: Found,
}

impl JudgedPlaces {
    fn add(&mut self, judged: Result<(), Shortfall>, show: impl Fn() -> Found, shows: bool) {
        self.count += 1;
        let at = self.count;
        let place = || ShownPlace { at, value: if shows { show() } else { Found::HeldBack } };
        match judged {
            Ok(()) if self.fit.is_none() => self.fit = Some(place()),
            Err(shortfall) if self.misfit.is_none() => self.misfit = Some((place(), shortfall)),
            _ => {}
        }
    }

    /// Whether every place fits, and there is one unless none is wanted.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn every(&self, matcher: &Matcher) -> Result<(), Shortfall> {
        match self.misfit {
            Some((_, shortfall)) => Err(shortfall),
            None if self.count == 0 => matcher.judge(Subject::Missing),
            None => Ok(()),
        }
    }

    /// Whether one place fits, or there is none and none is wanted.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn any(&self, matcher: &Matcher) -> Result<(), Shortfall> {
        if self.fit.is_some() { Ok(()) } else { self.every(matcher) }
    }

    /// For somebody who debugs: what was found, where it may be shown. Of many places it is the first that decides: one
    /// that does not fit where every one must, one that fits where one is enough.
    pub(super) fn found(&self, wanted: Places, is_secret: bool) -> Found {
        let misfit = self.misfit.as_ref().map(|(place, _)| place);
        let deciding = match wanted {
            Places::Every => misfit.or(self.fit.as_ref()),
            Places::Any => self.fit.as_ref().or(misfit),
        };
        let Some(ShownPlace { at, value }) = deciding else { return Found::InOurWords("nothing".into()) };
        let Found::This(value) = value else { return value.clone() };
        match (self.count, at) {
            _ if is_secret => Found::HeldBack,
            (1, _) => Found::This(value.clone()),
            (count, 1) => Found::This(format!("{value}, the first of {count}")),
            (count, at) => Found::This(format!("{value}, number {at} of {count}")),
        }
    }
}

fn shown(value: Option<&Value>, length: Option<usize>) -> String {
    match (value, length) {
        (Some(value), _) => shown_json(value),
        (None, Some(length)) => format!("a value of {length} parts"),
        (None, None) => "a long value".into(),
    }
}

/// RFC 6901, section 3: empty, or `/` before each token; `~` only as `~0` and `~1`. The error says what is wrong and
/// what to write instead.
pub(super) fn check_pointer(pointer: &str) -> Result<(), (&'static str, String)> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let path = pointer.strip_prefix("$.").unwrap_or(pointer);
        return Err(("a JSON Pointer begins with `/`", format!("write `/{}`", path.replace('.', "/"))));
    }
    let mut rest = pointer.split('~');
    rest.next();
    if rest.all(|after| after.starts_with(['0', '1'])) {
        return Ok(());
    }
    let mut help = String::from("write `~` as `~0`");
    let _ = write!(help, ": `{}`", pointer.replace('~', "~0"));
    Err(("in a JSON Pointer `~` stands only in `~0` (for `~`) and `~1` (for `/`)", help))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use super::*;
    use crate::base::costly::Haystack;
    use crate::base::decimal::Decimal;
    use crate::base::matcher::PlainMeaning;
    use crate::base::value::Value as Written;
    use crate::base::value::{ParseSession, Section, SourceSpan, Spanned, Text, TextPart};

    /// The mapping `{word: value}`.
    fn one_word(word: &'static str, value: Written) -> Written {
        let session = ParseSession::new(Box::new(|_| Err(io::ErrorKind::NotFound.into())));
        let entries = BTreeMap::from([(word, Spanned::new(SourceSpan::default(), value))]);
        Written::Section(Section::new(SourceSpan::default(), entries, session))
    }

    fn text(written: &str) -> Written {
        Written::Text(Text { parts: vec![TextPart::Plain(written.into())], written: written.into() })
    }

    /// Whether every place of each pointer of `body` is as wanted.
    fn all_hold(body: &str, expectations: Vec<(&str, Written)>) -> Vec<bool> {
        let declared = |(pointer, value): (&str, Written)| {
            let located = Spanned::new(SourceSpan::default(), value);
            let matcher = DeclaredMatcher::read(&located, PlainMeaning::Equals, Haystack::Body(1 << 20));
            (pointer.to_owned(), matcher.unwrap())
        };
        let expectations = JsonExpectations::new(expectations.into_iter().map(declared).collect());
        let matchers: Vec<Arc<Matcher>> =
            expectations.iter().map(|(_, matcher)| matcher.fill(|text| text.fixed().ok_or(())).unwrap()).collect();
        let judged = expectations.judge(body.as_bytes(), &matchers, false).unwrap();
        judged.iter().zip(&matchers).map(|(places, matcher)| places.every(matcher).is_ok()).collect()
    }

    #[test]
    fn what_a_long_value_is_made_of_is_looked_at_as_if_it_stood_alone() {
        let list = |last: &str| {
            let ok = r#"{"state":"OK","depth":1},"#.repeat(20_000);
            format!(r#"{{"items":[{ok}{{"state":"{last}","depth":1}}]}}"#)
        };
        let decimal = |number| Written::Decimal(Decimal::parse(number).unwrap());
        let expectations = || {
            vec![
                ("/items", one_word("length", one_word("at_least", decimal("1")))),
                // It has more parts than are kept, and is told by its length to be another list.
                ("/items", one_word("not", Written::Json { value: Value::Array(Vec::new()), is_expanded: false })),
                ("/items/*/state", one_word("not", text("FAILED"))),
                ("/items/*/depth", one_word("at_most", decimal("5"))),
            ]
        };
        assert_eq!(all_hold(&list("OK"), expectations()), [true, true, true, true]);
        assert_eq!(all_hold(&list("FAILED"), expectations()), [true, true, false, true]);
        assert_eq!(all_hold(&list("OK"), vec![("/items", one_word("lacks", text("FAILED")))]), [false]);
    }

    #[test]
    fn pointers_are_checked_by_rfc_6901() {
        for pointer in ["", "/", "/data/status", "/a~1b/~0", "/0/depth", "/with space", "/tasks/*/state"] {
            assert_eq!(check_pointer(pointer), Ok(()), "{pointer}");
        }
        let cases = [
            ("data/status", "write `/data/status`"),
            ("data.status", "write `/data/status`"),
            ("$.data.status", "write `/data/status`"),
            ("/a~b", "write `~` as `~0`: `/a~0b`"),
            ("/a~", "write `~` as `~0`: `/a~0`"),
        ];
        for (pointer, help) in cases {
            assert_eq!(check_pointer(pointer).unwrap_err().1, help, "{pointer}");
        }
    }
}
