//! The judgement of an answer: each expectation by itself, in the order in which they are told.

use std::ops::ControlFlow;
use std::sync::Arc;

use hyper::header::{HeaderName, LOCATION};

use super::json::Places;
use super::{Expectations, Received, lossy};
use crate::base::credentials::is_credential;
use crate::base::matcher::{Matcher, Subject, shown_json};
use crate::base::quantity::show_size;
use crate::base::trace::{Expectation, Found, Trace};
use crate::base::value::Text;
use crate::model::outcome::{Failure, FailureKind};
use crate::workflow::captures::{Captures, FillError};

/// What was found of one expectation. What is told of it is made when somebody asks.
struct Finding<'f> {
    holds: bool,
    /// Why it does not hold.
    complaint: &'f dyn Fn() -> String,
    /// That it holds.
    statement: &'f dyn Fn() -> String,
    /// What of the answer it is about, what that should be, and what it is.
    row: &'f dyn Fn() -> (String, String, Found),
}

/// Hears of each finding, until it has heard enough.
type FindingVisitor<'l> = dyn FnMut(&Finding<'_>) -> ControlFlow<()> + 'l;

impl Expectations {
    /// Whether anything is expected of the body.
    pub(super) fn reads_body(&self) -> bool {
        !self.texts.is_empty() || !self.patterns.is_empty() || !self.json.is_empty()
    }

    /// Whether an answer with this status can be as expected.
    pub(super) fn takes_status(&self, status: u16) -> bool {
        self.status.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Whether it makes a difference if there is more of the body than its limit. `places` is as in `examine`.
    pub(super) fn needs_whole_body(&self, places: Places) -> bool {
        // Once found, it is there, whatever follows.
        let is_open = |is_wanted: &bool| !*is_wanted || places == Places::Any;
        !self.json.is_empty()
            || self.texts.iter().any(|(_, is_wanted)| is_open(is_wanted))
            || self.patterns.iter().any(|(_, is_wanted)| is_open(is_wanted))
    }

    /// What it costs at most to judge an answer, in units of [`Pattern::cost`](crate::base::pattern::Pattern::cost).
    pub(super) fn cost(&self, received: &Received) -> u64 {
        let bytes = received.body.len();
        let patterns = self.patterns.iter().map(|(pattern, _)| pattern.cost(bytes as u64));
        let lines = |name| received.headers.get_all(name).iter().map(|value| value.len() as u64).sum();
        let headers = self.headers.iter().map(|(name, matcher)| matcher.cost(lines(name)));
        patterns.chain(headers).fold(self.json.cost(bytes), u64::saturating_add)
    }

    /// Whether the answer is as expected. Each expectation is told to `trace`, where somebody wants to know.
    ///
    /// # Errors
    /// The first thing that is not, as a mismatch that repeats nothing of the answer.
    pub(super) fn judge(&self, received: &Received, captured: &Captures, trace: &Trace) -> Result<(), Failure> {
        let mut failure = None;
        let _ = self.examine(Places::Every, received, captured, trace.is_noting(), &mut |finding| {
            note(trace, "", finding);
            if !finding.holds && failure.is_none() {
                failure = Some(mismatch((finding.complaint)()));
            }
            // For somebody who debugs all are looked at.
            if failure.is_some() && !trace.is_noting() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        failure.map_or(Ok(()), Err)
    }

    /// The first thing that is as it says here, in words. Each is told to `trace`, where somebody wants to know.
    pub(super) fn first_that_holds(&self, received: &Received, captured: &Captures, trace: &Trace) -> Option<String> {
        let mut statement = None;
        let _ = self.examine(Places::Any, received, captured, trace.is_noting(), &mut |finding| {
            note(trace, "degraded: ", finding);
            if finding.holds && statement.is_none() {
                statement = Some((finding.statement)());
            }
            if statement.is_some() && !trace.is_noting() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        statement
    }

    /// Looks at one expectation after another. What is found is kept to be shown where `shows` says so.
    fn examine(
        &self,
        places: Places,
        received: &Received,
        captured: &Captures,
        shows: bool,
        tell: &mut FindingVisitor<'_>,
    ) -> ControlFlow<()> {
        if !self.status.is_empty() {
            self.examine_status(received, tell)?;
        }
        for (name, declared) in &self.headers {
            match declared.fill(|text| captured.fill(text)) {
                Ok(matcher) => examine_header(name, &matcher, received, tell)?,
                Err(FillError(why)) => tell_unfilled(&format!("header {name}"), &why, tell)?,
            }
        }
        for (text, is_wanted) in &self.texts {
            examine_text(text, *is_wanted, places, received, captured, tell)?;
        }
        for (pattern, is_wanted) in &self.patterns {
            let search = Search { is_found: pattern.is_in(&received.body), is_wanted: *is_wanted, places, received };
            let complaint = || {
                let extent = extent(received);
                match (search.is_open(), is_wanted) {
                    (_, true) => format!("nothing in the {extent} matches the expected pattern"),
                    (true, false) => cut_pattern(received),
                    (false, false) => {
                        format!("something in the {extent} matches the pattern that should match nothing")
                    }
                }
            };
            let wanted = if *is_wanted { "matches the pattern" } else { "does not match the pattern" };
            let statement = || if search.is_open() { cut_pattern(received) } else { format!("the body {wanted}") };
            let row = || ("body".into(), wanted.into(), size(received));
            tell(&Finding { holds: search.holds(), complaint: &complaint, statement: &statement, row: &row })?;
        }
        self.examine_json(places, received, captured, shows, tell)
    }

    fn examine_status(&self, received: &Received, tell: &mut FindingVisitor<'_>) -> ControlFlow<()> {
        tell(&Finding {
            holds: self.takes_status(received.status),
            complaint: &|| {
                if let Some(meaning) = meaning_of_400(received) {
                    return format!("returned status 400: {meaning}");
                }
                let is_redirect =
                    matches!(received.status, 301..=303 | 307 | 308) && received.headers.contains_key(LOCATION);
                let more = if is_redirect { ", a redirect that is not followed" } else { "" };
                format!("returned status {}{more}", received.status)
            },
            statement: &|| format!("returned status {}", received.status),
            row: &|| {
                let wanted: Vec<String> = self.status.iter().map(|(from, to)| span(*from, *to)).collect();
                ("status".into(), wanted.join(", "), Found::InOurWords(received.status.to_string()))
            },
        })
    }

    fn examine_json(
        &self,
        wanted: Places,
        received: &Received,
        captured: &Captures,
        shows: bool,
        tell: &mut FindingVisitor<'_>,
    ) -> ControlFlow<()> {
        let mut matchers: Vec<Arc<Matcher>> = Vec::new();
        for (pointer, declared) in self.json.iter() {
            match declared.fill(|text| captured.fill(text)) {
                Ok(matcher) => matchers.push(matcher),
                Err(FillError(why)) => return tell_unfilled(&shown(pointer), &why, tell),
            }
        }
        let judged = if received.is_cut { None } else { self.json.judge(&received.body, &matchers, shows) };
        for (index, ((pointer, _), matcher)) in self.json.iter().zip(&matchers).enumerate() {
            let places = judged.as_ref().map(|judged| &judged[index]);
            let result = places.map(|places| match wanted {
                Places::Every => places.every(matcher),
                Places::Any => places.any(matcher),
            });
            let complaint = || match result {
                _ if received.is_cut => cut_json(received),
                Some(Err(shortfall)) => matcher.complaint(&shown(pointer), shortfall),
                _ => "the body is not JSON".into(),
            };
            let row = || {
                let found = match places {
                    _ if received.is_cut => Found::InOurWords("not whole".into()),
                    None => Found::InOurWords("no JSON".into()),
                    Some(places) => places.found(wanted, is_credential(pointer) || matcher.is_secret()),
                };
                (format!("json {}", if pointer.is_empty() { "(whole)" } else { pointer }), matcher.wanted(), found)
            };
            let statement = || if received.is_cut { cut_json(received) } else { matcher.statement(&shown(pointer)) };
            // What cannot be read whole may say anything: nobody is to believe that all is well.
            let holds = result == Some(Ok(())) || (received.is_cut && wanted == Places::Any);
            tell(&Finding { holds, complaint: &complaint, statement: &statement, row: &row })?;
        }
        ControlFlow::Continue(())
    }
}

/// What became of a search in the body.
struct Search<'r> {
    is_found: bool,
    is_wanted: bool,
    places: Places,
    received: &'r Received,
}

impl Search<'_> {
    /// Whether it may stand in the part of the body that was not read.
    fn is_open(&self) -> bool {
        self.received.is_cut && !self.is_found
    }

    fn holds(&self) -> bool {
        // As with JSON that is not whole: nobody is to believe that all is well.
        if self.is_open() { self.places == Places::Any } else { self.is_found == self.is_wanted }
    }
}

/// What a server means by 400 that is asked over the wrong protocol below, as nginx, Apache, Go and Tomcat say it.
fn meaning_of_400(received: &Received) -> Option<&'static str> {
    const LOOKED_AT: usize = 2 << 10;
    if received.status != 400 {
        return None;
    }
    let said = String::from_utf8_lossy(&received.body[..received.body.len().min(LOOKED_AT)]);
    let wants_tls = [
        "plain HTTP request was sent to HTTPS port",
        "HTTP request to an HTTPS server",
        "speaking plain HTTP to an SSL-enabled server port",
        "combination of host and port requires TLS",
    ];
    match () {
        () if wants_tls.iter().any(|words| said.contains(words)) => Some("the server wants TLS: write `https://`"),
        () if said.contains("No required SSL certificate was sent") => {
            Some("the server wants a client certificate: write `tls: { cert_file: …, key_file: … }`")
        }
        () => None,
    }
}

fn examine_header(
    name: &HeaderName,
    matcher: &Matcher,
    received: &Received,
    tell: &mut FindingVisitor<'_>,
) -> ControlFlow<()> {
    let lines: Vec<String> = received.headers.get_all(name).iter().map(|value| lossy(value.as_bytes())).collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let subject = if texts.is_empty() { Subject::Missing } else { Subject::Texts(&texts) };
    let judged = matcher.judge(subject);
    let what = || format!("header {name}");
    let complaint = || judged.err().map(|shortfall| matcher.complaint(&what(), shortfall)).unwrap_or_default();
    let row = || {
        let found = match lines.as_slice() {
            [] => Found::InOurWords("nothing".into()),
            _ if is_credential(name.as_str()) || matcher.is_secret() => Found::HeldBack,
            lines => Found::This(lines.join(" | ")),
        };
        (what(), matcher.wanted(), found)
    };
    let statement = || matcher.statement(&what());
    tell(&Finding { holds: judged.is_ok(), complaint: &complaint, statement: &statement, row: &row })
}

fn examine_text(
    text: &Text,
    is_wanted: bool,
    places: Places,
    received: &Received,
    captured: &Captures,
    tell: &mut FindingVisitor<'_>,
) -> ControlFlow<()> {
    let wanted = match captured.fill(text) {
        Ok(wanted) => wanted,
        Err(FillError(why)) => return tell_unfilled("body", &why, tell),
    };
    let is_found = String::from_utf8_lossy(&received.body).contains(&wanted);
    let search = Search { is_found, is_wanted, places, received };
    let complaint = || {
        let extent = extent(received);
        match (search.is_open(), is_wanted) {
            (_, true) => format!("the expected text is not in the {extent}"),
            (true, false) => cut_text(received),
            (false, false) => format!("the text that should not be there is in the {extent}"),
        }
    };
    let said = || {
        let verb = if is_wanted { "contains" } else { "lacks" };
        let is_secret = text.is_expanded() || text.captures().next().is_some();
        format!("{verb} {}", if is_secret { "the expected text".into() } else { shown_json(&wanted.as_str().into()) })
    };
    let row = || ("body".into(), said(), size(received));
    let statement = || if search.is_open() { cut_text(received) } else { format!("the body {}", said()) };
    tell(&Finding { holds: search.holds(), complaint: &complaint, statement: &statement, row: &row })
}

/// A captured value is missing.
fn tell_unfilled(what: &str, why: &str, tell: &mut FindingVisitor<'_>) -> ControlFlow<()> {
    let row = || (what.to_owned(), why.to_owned(), Found::InOurWords("not looked at".into()));
    let why = || why.to_owned();
    tell(&Finding { holds: false, complaint: &why, statement: &why, row: &row })
}

fn note(trace: &Trace, about: &str, finding: &Finding<'_>) {
    trace.expect(|| {
        let (what, wanted, found) = (finding.row)();
        Expectation { what: format!("{about}{what}"), wanted, holds: finding.holds, found }
    });
}

fn mismatch(message: impl AsRef<str>) -> Failure {
    Failure::new(FailureKind::Mismatch, message)
}

fn cut_json(received: &Received) -> String {
    format!("the JSON is not whole in the first {}: raise `max_body`", limit(received))
}

fn cut_text(received: &Received) -> String {
    format!("the text is not in the first {}, and the rest is not read: raise `max_body`", limit(received))
}

fn cut_pattern(received: &Received) -> String {
    let limit = limit(received);
    format!("nothing in the first {limit} matches the pattern, and the rest is not read: raise `max_body`")
}

fn limit(received: &Received) -> String {
    show_size(received.body.len() as u64).replace(".0 ", " ")
}

/// What of the body was looked at.
fn extent(received: &Received) -> String {
    if received.is_cut { format!("first {}", limit(received)) } else { "body".to_owned() }
}

fn size(received: &Received) -> Found {
    let more = if received.is_cut { " and more" } else { "" };
    Found::InOurWords(format!("{}{more}", limit(received)))
}

fn shown(pointer: &str) -> String {
    match pointer {
        "" => "the body".to_owned(),
        pointer => format!("`{pointer}`"),
    }
}

/// Status codes as the file writes them.
pub(super) fn span(from: u16, to: u16) -> String {
    match (from, to) {
        (from, to) if from == to => from.to_string(),
        (from, to) if from % 100 == 0 && to == from + 99 => format!("{}xx", from / 100),
        (from, to) => format!("{from}-{to}"),
    }
}
