//! The answers about the daemon itself.

use hyper::StatusCode;

use super::App;
use super::answer::{Answer, TEXT};
use super::ask::Ask;
use super::negotiate::wants_openmetrics;
use super::view::{WITHHELD, down};
use crate::base::quantity::show_duration;
use crate::metrics::{Format, scrape};
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Judged, Verdict};

/// `/-/healthy`: whether the scheduler makes progress.
pub(super) fn healthy(ask: &Ask<'_>, app: &App) -> Answer {
    let now = ask.reading.moment;
    if app.pulse.is_beating(now) {
        return Answer::health(Verdict::Ok, StatusCode::SERVICE_UNAVAILABLE, TEXT, "ok");
    }
    let body = match app.pulse.age(now) {
        None => "the scheduler has not started\n".to_owned(),
        Some(age) => format!("the scheduler has made no progress for {}\n", show_duration(age)),
    };
    Answer::health(Verdict::Error, StatusCode::SERVICE_UNAVAILABLE, TEXT, body)
}

/// `/-/ready`: whether a valid configuration is in use; the last good one is one.
pub(super) fn ready(snapshot: &Snapshot) -> Answer {
    let told = |reason| if snapshot.plan.answers.details == Details::Full { reason } else { WITHHELD };
    let (verdict, body) = match (&snapshot.configuration.missing, &snapshot.configuration.last_good) {
        (Some(reason), _) => (Verdict::Error, format!("no valid configuration: {}\n", told(reason))),
        (None, Some(reason)) => {
            (Verdict::Degraded, format!("the last good configuration is in use: {}\n", told(reason)))
        }
        (None, None) => (Verdict::Ok, "ok".to_owned()),
    };
    Answer::health(verdict, down(snapshot), TEXT, body)
}

/// `/metrics`.
pub(super) fn metrics(ask: &Ask<'_>, app: &App, snapshot: &Snapshot) -> Answer {
    let format = if wants_openmetrics(ask.headers) { Format::OpenMetrics } else { Format::Text };
    let judged = Judged::new(snapshot, ask.reading.moment);
    Answer::new(StatusCode::OK, format.content_type(), scrape(&judged, &app.vitals, format))
}
