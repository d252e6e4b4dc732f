//! The routes that change something; they are for whoever is in the same pod.

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::access::{self, Beater};
use super::answer::Answer;
use super::query::decode;
use super::request::IncomingRequest;
use super::{App, Control};
use crate::model::route::Route;
use crate::model::snapshot::Snapshot;

/// `/-/drain`.
pub(super) fn drain(incoming: &IncomingRequest<'_>, app: &App, snapshot: &Snapshot) -> Answer {
    guarded(incoming, snapshot, |incoming| {
        let control: &dyn Control = &*app.control;
        match *incoming.method {
            Method::POST => {
                control.drain();
                Answer::text(StatusCode::OK, draining(snapshot.plan.answers.drain))
            }
            Method::DELETE => {
                if control.undrain() {
                    Answer::text(StatusCode::OK, "not draining\n")
                } else {
                    Answer::text(StatusCode::CONFLICT, "draining: the sidecar was asked to end\n")
                }
            }
            _ => Answer::method_not_allowed(Route::DaemonDrain.methods()),
        }
    })
}

/// How long the drain takes, exactly: `probelet drain` waits for it.
fn draining(drain: Duration) -> String {
    format!("draining for {}s\n", drain.as_secs_f64())
}

/// `/v1/heartbeats/{check}`.
pub(super) fn heartbeat(incoming: &IncomingRequest<'_>, app: &App, snapshot: &Snapshot, name: &str) -> Answer {
    let name = decode(name);
    match access::beater(incoming, snapshot, &name) {
        Beater::LacksServerToken => Answer::unauthorized(),
        _ if !snapshot.plan.answers.control => Answer::not_found(incoming.routes, snapshot.plan.answers.details),
        // From anywhere.
        Beater::HasToken => beat(incoming, app, &name),
        Beater::MayBeOfPod => guarded(incoming, snapshot, |incoming| beat(incoming, app, &name)),
        Beater::HasWrongToken => Answer::unauthorized_beat(),
    }
}

fn beat(incoming: &IncomingRequest<'_>, app: &App, name: &str) -> Answer {
    if *incoming.method != Method::PUT {
        return Answer::method_not_allowed(Route::Heartbeat.methods());
    }
    let beat = match incoming.body.beat(incoming.headers) {
        Ok(beat) => beat,
        Err((code, why)) => return Answer::text(code, why),
    };
    if app.control.beat(name, beat) {
        return Answer::text(StatusCode::NO_CONTENT, "");
    }
    Answer::text(StatusCode::NOT_FOUND, "no check of that name takes heartbeats over HTTP\n")
}

fn guarded(
    incoming: &IncomingRequest<'_>,
    snapshot: &Snapshot,
    act: impl FnOnce(&IncomingRequest<'_>) -> Answer,
) -> Answer {
    if !snapshot.plan.answers.control {
        return Answer::not_found(incoming.routes, snapshot.plan.answers.details);
    }
    if let Some(sign) = access::sign_of_stranger(incoming) {
        return Answer::text(
            StatusCode::FORBIDDEN,
            format!(
                "forbidden: {sign}; {FOR_WHOM}
"
            ),
        );
    }
    act(incoming)
}

const FOR_WHOM: &str = "this path is for the same pod alone: use HTTP/1.1 with http://127.0.0.1 or http://localhost, \
                        without a proxy and not from a web page";
