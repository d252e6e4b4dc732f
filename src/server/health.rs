//! The answers about health: the gates, `/healthz`, and the same verdict for other habits.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::StatusCode;

use super::App;
use super::access::Sight;
use super::answer::{Answer, EVENTS, JSON, TEXT};
use super::negotiate::AnswerFormat;
use super::query::decode;
use super::renderings::Kind;
use super::reply::{self, gate_text};
use super::request::IncomingRequest;
use super::shared::Shared;
use super::start_up::latest;
use super::view::View;
use super::warnings::{Warnings, quoted};
use crate::base::clock::Reading;
use crate::model::index::CheckIndex;
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged};

/// A gate, or one check's part in it where a name is asked for.
pub(super) fn gate(
    incoming: &IncomingRequest<'_>,
    snapshot: &Snapshot,
    endpoint: Endpoint,
    name: Option<&str>,
    sight: Sight,
) -> Answer {
    // There a 4xx would make kubelet kill the app.
    let lenient = endpoint != Endpoint::Readyz;
    let mut warnings = Warnings::default();
    let format = match (named_format(incoming), lenient) {
        (Ok(format), _) => format.unwrap_or(AnswerFormat::Text),
        (Err(unknown), true) => {
            warnings.add(&format!("{unknown}, so this is text"));
            AnswerFormat::Text
        }
        (Err(unknown), false) => return bad_request(&unknown),
    };
    let excluded = excluded(incoming, snapshot, sight, &mut warnings);
    let judged = Judged::excluding(snapshot, incoming.reading.moment, excluded);
    let verbose = incoming.query.has("verbose");
    let Some(name) = name.map(decode) else {
        return reply::reply(&View::of(&judged, endpoint, incoming.reading), format, verbose, &warnings);
    };
    let problem = match snapshot.plan.position(&name) {
        Some(check) if judged.gates(check, endpoint) => {
            let view = View::of_check(&judged, endpoint, check, incoming.reading);
            return match format {
                AnswerFormat::Text => {
                    let body = gate_text::single(&view, verbose, &warnings);
                    Answer::health(view.judgement.verdict, view.down(), TEXT, body)
                }
                _ => reply::reply(&view, format, verbose, &warnings),
            };
        }
        // Whether there is a check of that name is nothing but the verdict either.
        _ if snapshot.plan.answers.details == Details::None => {
            format!("no check named {} gates {}", quoted(&name), endpoint.label())
        }
        Some(_) => format!("check {} does not gate {}", quoted(&name), endpoint.label()),
        None => format!("no check named {}", quoted(&name)),
    };
    // Without a configuration nothing is known of any name; the gate is closed, and says why.
    if lenient || snapshot.configuration.missing.is_some() {
        if snapshot.plan.answers.details != Details::None {
            warnings.add(&problem);
        }
        return reply::reply(&View::of(&judged, endpoint, incoming.reading), format, verbose, &warnings);
    }
    Answer::text(StatusCode::NOT_FOUND, format!("{problem}\n"))
}

/// `/healthz`.
pub(super) fn healthz(incoming: &IncomingRequest<'_>, snapshot: &Snapshot, shared: &Shared) -> Answer {
    let format = match named_format(incoming) {
        Ok(named) => named.unwrap_or_else(|| AnswerFormat::accepted(incoming.headers)),
        Err(unknown) => return bad_request(&unknown),
    };
    healthz_as(format, incoming, snapshot, shared)
}

fn healthz_as(format: AnswerFormat, incoming: &IncomingRequest<'_>, snapshot: &Snapshot, shared: &Shared) -> Answer {
    let judged = Judged::new(snapshot, incoming.reading.moment);
    shared.renderings.answer(Kind::Healthz(format), &judged, || {
        reply::reply(&View::of(&judged, Endpoint::Healthz, incoming.reading), format, false, &Warnings::default())
    })
}

/// `/v1/health`: the json of `/healthz`.
pub(super) fn versioned(incoming: &IncomingRequest<'_>, snapshot: &Snapshot, shared: &Shared) -> Answer {
    match snapshot.plan.answers.details {
        Details::None => Answer::not_found(incoming.routes, Details::None),
        Details::Full | Details::Names => healthz_as(AnswerFormat::Json, incoming, snapshot, shared),
    }
}

/// `/healthz/{check}`: that check alone, gated or not.
pub(super) fn healthz_check(incoming: &IncomingRequest<'_>, snapshot: &Snapshot, name: &str) -> Answer {
    let format = match named_format(incoming) {
        Ok(named) => named.unwrap_or_else(|| AnswerFormat::accepted(incoming.headers)),
        Err(unknown) => return bad_request(&unknown),
    };
    let name = decode(name);
    let Some(check) = snapshot.plan.position(&name) else {
        let is_off = snapshot.plan.disabled(&name).is_some() && snapshot.plan.answers.details != Details::None;
        let problem = if is_off { "the check is switched off:" } else { "no check named" };
        return Answer::text(StatusCode::NOT_FOUND, format!("{problem} {}\n", quoted(&name)));
    };
    let judged = Judged::new(snapshot, incoming.reading.moment);
    let view = View::of_check_alone(&judged, check, incoming.reading);
    reply::reply(&view, format, false, &Warnings::default())
}

/// The json of `/healthz`, of a snapshot without a server.
#[must_use]
pub fn healthz_json(snapshot: &Snapshot, reading: Reading) -> Vec<u8> {
    let judged = Judged::new(snapshot, reading.moment);
    reply::json::body(&View::of(&judged, Endpoint::Healthz, reading), &Warnings::default())
}

/// `/health`; with `?format=` in that one, as `/healthz`.
pub(super) fn health(incoming: &IncomingRequest<'_>, snapshot: &Snapshot, shared: &Shared) -> Answer {
    match named_format(incoming) {
        Ok(None) => health_at(incoming.reading, snapshot, shared),
        Ok(Some(format)) => healthz_as(format, incoming, snapshot, shared),
        Err(unknown) => bad_request(&unknown),
    }
}

fn health_at(reading: Reading, snapshot: &Snapshot, shared: &Shared) -> Answer {
    let judged = Judged::new(snapshot, reading.moment);
    shared.renderings.answer(Kind::Health, &judged, || {
        let view = View::of(&judged, Endpoint::Healthz, reading);
        Answer::health(view.judgement.verdict, view.down(), JSON, reply::health::body(&view))
    })
}

/// `/ready`.
pub(super) fn ready(incoming: &IncomingRequest<'_>, snapshot: &Snapshot, sight: Sight) -> Answer {
    let excluded = excluded(incoming, snapshot, sight, &mut Warnings::default());
    let judged = Judged::excluding(snapshot, incoming.reading.moment, excluded);
    let view = View::of(&judged, Endpoint::Readyz, incoming.reading);
    Answer::health(view.judgement.verdict, view.down(), JSON, reply::ready(&view))
}

/// The format that `?format=` names; what is wrong with it, if it names none that there is.
fn named_format(incoming: &IncomingRequest<'_>) -> Result<Option<AnswerFormat>, String> {
    let Some(name) = incoming.query.first("format") else { return Ok(None) };
    match AnswerFormat::named(&name) {
        Some(format) => Ok(Some(format)),
        None => Err(format!("unknown format {}; there are {}", quoted(&name), AnswerFormat::NAMES)),
    }
}

fn bad_request(problem: &str) -> Answer {
    Answer::text(StatusCode::BAD_REQUEST, format!("{problem}\n"))
}

/// The positions of the checks that are to be left out, each once. None for those who may learn the verdict alone: what
/// it is without a check would tell them how that one is, and whether there is one of that name.
fn excluded(
    incoming: &IncomingRequest<'_>,
    snapshot: &Snapshot,
    sight: Sight,
    warnings: &mut Warnings,
) -> Vec<CheckIndex> {
    let mut names = incoming.query.all("exclude").peekable();
    if names.peek().is_none() || sight == Sight::Narrow {
        return Vec::new();
    }
    // There may be many of both.
    let checks = snapshot.plan.entries();
    let places: HashMap<&str, CheckIndex> = checks.map(|(place, check)| (check.name.as_str(), place)).collect();
    let mut positions = Vec::new();
    for name in names {
        match places.get(&*name) {
            Some(position) => positions.push(*position),
            None if snapshot.plan.answers.details == Details::None => {}
            None => warnings.add(&format!("no check named {} to exclude", quoted(&name))),
        }
    }
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// The body of `/health` now, as an event of its stream: one for all who follow it.
pub(super) fn health_event(app: &App, shared: &Shared) -> Bytes {
    let reading = app.clock.read();
    let snapshot = latest(app, reading);
    let judged = Judged::new(&snapshot, reading.moment);
    let answer = shared.renderings.answer(Kind::HealthEvent, &judged, || {
        let body = health_at(reading, &snapshot, shared).body;
        let json = body.bytes().map_or(&b""[..], |json| &json[..]);
        Answer::new(StatusCode::OK, EVENTS, [b"data: ", json, b"\n\n"].concat())
    });
    answer.body.bytes().cloned().unwrap_or_default()
}
