//! `/badge/…`: how a check stands, or the whole, as a small picture for READMEs, wikis and wallboards.
//!
//! It is a picture of health and no answer about health: its code is 200 whatever it shows, because those who fetch
//! pictures for others drop every other code, and it carries no verdict. What is shown is decided here, [`picture`]
//! draws it, [`width`] knows how wide a text is.

mod picture;
mod width;

use std::time::Duration;

use hyper::StatusCode;

use super::App;
use super::answer::{Answer, RouteResult};
use super::query::decode;
use super::request::IncomingRequest;
use crate::history::answer::Window;
use crate::model::plan::{Definition, Details};
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, JudgedState, Judgement, Verdict};
use picture::{Badge, Colour};

/// The name of the whole.
const OVERALL: &str = "overall";
/// The longest label, in characters: as long as the longest name of a check.
const LONGEST: usize = 100;
/// Uptime is that of this time.
const DAY: Duration = Duration::from_secs(86_400);

/// The badge called `name`, still encoded.
pub(super) fn reply(incoming: &IncomingRequest<'_>, app: &App, snapshot: &Snapshot, name: &str) -> RouteResult {
    if snapshot.plan.answers.details == Details::None {
        return RouteResult::Now(Answer::not_found(incoming.routes, snapshot.plan.answers.details));
    }
    let name = decode(name);
    let own_label = incoming.query.first("label").map(|label| clean(&label));
    let badge = |name: &str, word: &str, colour| Badge {
        subject: clean(name),
        label: own_label.clone().unwrap_or_else(|| clean(name)),
        word: word.to_owned(),
        more: String::new(),
        colour,
    };
    // A check may have the name of the whole.
    let is_whole = name == OVERALL && incoming.query.first("of").is_none_or(|of| of != "check");
    let check = snapshot.plan.position(&name).filter(|_| !is_whole);
    let judged = Judged::new(snapshot, incoming.reading.moment);
    let (code, badge) = match (check, incoming.query.first("metric").as_deref()) {
        (None, _) if !is_whole => (StatusCode::NOT_FOUND, badge(&name, "unknown", Colour::Grey)),
        (Some(check), Some("uptime")) => {
            return uptime(app, judged.definition(check), badge(&format!("{name} uptime"), "unknown", Colour::Grey));
        }
        (_, Some(_)) => (StatusCode::BAD_REQUEST, badge(&name, "no such metric", Colour::Grey)),
        (Some(check), None) => {
            let state = judged.state(check);
            (StatusCode::OK, badge(&name, state.label(), colour_of(state)))
        }
        (None, None) => {
            let (word, colour) = whole(&judged.endpoint(Endpoint::Healthz));
            (StatusCode::OK, badge(&name, word, colour))
        }
    };
    RouteResult::Now(answer(code, &badge))
}

fn answer(code: StatusCode, badge: &Badge) -> Answer {
    Answer::new(code, "image/svg+xml", badge.svg())
}

/// How long the check was up in the last day; the history may have to be asked for it.
fn uptime(app: &App, check: &Definition, badge: Badge) -> RouteResult {
    let (history, name) = (app.history.clone(), check.name.clone());
    RouteResult::Later(Box::pin(async move {
        let window = match history.number(&name).await {
            Ok(Some(number)) => history.window(number, DAY).await.ok(),
            Ok(None) | Err(_) => None,
        };
        answer(StatusCode::OK, &told(badge, window.as_ref()))
    }))
}

/// The badge with what the history tells, which may be nothing.
fn told(badge: Badge, window: Option<&Window>) -> Badge {
    let Some((window, percent)) = window.and_then(|window| Some((window, window.uptime_percent()?))) else {
        return badge;
    };
    let colour = match percent {
        _ if percent >= 99.9 => Colour::Green,
        _ if percent >= 99.0 => Colour::Amber,
        _ => Colour::Red,
    };
    let known = window.coverage_percent().unwrap_or_default();
    Badge {
        word: percentage(percent),
        more: format!(" in the last 24h, of which {} is known", percentage(known)),
        colour,
        ..badge
    }
}

/// To the hundredth, rounded down, and never 0 what is more.
fn percentage(percent: f64) -> String {
    let hundredths = (percent * 100.0).floor() / 100.0;
    let shown = if percent > 0.0 { hundredths.max(0.01) } else { hundredths };
    format!("{shown}%")
}

const fn colour_of(state: JudgedState) -> Colour {
    match state {
        JudgedState::Fresh(State::Ok) => Colour::Green,
        JudgedState::Fresh(State::Degraded) => Colour::Amber,
        JudgedState::Fresh(State::Error) => Colour::Red,
        JudgedState::Fresh(State::Skipped) => Colour::Grey,
        JudgedState::Fresh(State::Pending) => Colour::Blue,
        JudgedState::Stale => Colour::Purple,
    }
}

/// The verdict of `/healthz`, and where only a drain keeps it closed, that.
fn whole(judgement: &Judgement) -> (&'static str, Colour) {
    match judgement.verdict {
        Verdict::Ok => (Verdict::Ok.label(), Colour::Green),
        Verdict::Degraded => (Verdict::Degraded.label(), Colour::Amber),
        Verdict::Error if judgement.draining && judgement.closing.is_empty() => ("draining", Colour::Blue),
        Verdict::Error => (Verdict::Error.label(), Colour::Red),
    }
}

/// A text of a request as it may be drawn: bounded, and without what is no character of a line.
fn clean(text: &str) -> String {
    let text: String = text.chars().filter(|character| !is_hidden(*character)).take(LONGEST + 1).collect();
    match text.trim().char_indices().nth(LONGEST) {
        None => text.trim().to_owned(),
        Some(_) => text.trim().chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// Controls, line ends, what turns the direction of writing, and what XML refuses.
const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fffe}'..='\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_bounded_line() {
        assert_eq!(clean(" a\r\nb\u{202e}\0c\u{ffff} "), "abc");
        assert_eq!(clean(&"é".repeat(100)), "é".repeat(100));
        assert_eq!(clean(&"é".repeat(5000)), format!("{}…", "é".repeat(99)));
        assert_eq!(clean("\u{200b}\t"), "\u{200b}");
    }

    #[test]
    fn an_uptime_is_whole_only_when_it_is() {
        let shown = [100.0, 99.999, 99.99, 99.5, 0.001, 0.0].map(percentage);
        assert_eq!(shown, ["100%", "99.99%", "99.99%", "99.5%", "0.01%", "0%"]);
    }
}
