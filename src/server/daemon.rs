//! The answers about the daemon itself.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use tokio::task::yield_now;

use super::App;
use super::answer::{Answer, TEXT};
use super::negotiate::{exposition, wants_gzip};
use super::renderings::{Basis, Kind};
use super::request::IncomingRequest;
use super::shared::Shared;
use super::start_up::latest;
use super::view::{WITHHELD, down};
use crate::base::quantity::show_duration;
use crate::metrics::Scrape;
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Judged, Verdict};

/// `/-/healthy`: whether the scheduler makes progress.
pub(super) fn healthy(incoming: &IncomingRequest<'_>, app: &App) -> Answer {
    let now = incoming.reading.moment;
    if app.liveness.is_live(now) {
        return Answer::health(Verdict::Ok, StatusCode::SERVICE_UNAVAILABLE, TEXT, "ok");
    }
    let body = match app.liveness.age(now) {
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

/// `/metrics`: rendered once for all who ask while nothing changes, in steps between which others run.
pub(super) async fn metrics(incoming: &IncomingRequest<'_>, app: &App, shared: &Shared) -> Answer {
    let format = exposition(incoming.headers);
    let compresses = wants_gzip(incoming.headers);
    let snapshot = latest(app, incoming.reading);
    let judged = Judged::new(&snapshot, incoming.reading.moment);
    let basis = Basis::of(&judged).with_asked(app.daemon_metrics.asks.seen());
    let wanted = if compresses { Kind::Compressed(format) } else { Kind::Metrics(format) };
    if let Some(kept) = shared.renderings.get(wanted, &basis, judged.now) {
        return kept;
    }
    let plain = match shared.renderings.get(Kind::Metrics(format), &basis, judged.now) {
        Some(kept) => kept,
        None => {
            let mut scrape = Scrape::new(&judged, &app.daemon_metrics, format);
            while scrape.step() {
                yield_now().await;
            }
            let answer = Answer::new(StatusCode::OK, format.content_type(), scrape.take());
            shared.renderings.keep(Kind::Metrics(format), basis.clone(), judged.now, answer)
        }
    };
    let Some(text) = plain.body.bytes().filter(|_| compresses) else { return plain };
    let answer = Answer::new(StatusCode::OK, format.content_type(), compress(text).await);
    shared.renderings.keep(wanted, basis, judged.now, Answer { compressed: true, ..answer })
}

/// `text` in the format of gzip.
async fn compress(text: &[u8]) -> Vec<u8> {
    const PIECE: usize = 16 * 1024;
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    for piece in text.chunks(PIECE) {
        encoder.write_all(piece).expect("a Vec takes every byte");
        yield_now().await;
    }
    encoder.finish().expect("a Vec takes every byte")
}
