//! The exposition of one judged snapshot and the daemon's own counts, written step by step.

use std::mem;

use super::daemon::DaemonMetrics;
use super::families::{FAMILIES, Scene, Source};
use super::lines::Lines;
use super::messages::Messages;
use super::samples::{Encoder, Samples};
use crate::model::verdict::{Endpoint, Judged};

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' messages in protobuf, each behind its length: the one that native histograms are told in.
    Protobuf,
}

impl ExpositionFormat {
    /// The content type to answer with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Every metric, in `format`.
#[must_use]
pub fn scrape(judged: &Judged<'_>, daemon_metrics: &DaemonMetrics, format: ExpositionFormat) -> Vec<u8> {
    let mut scrape = Scrape::new(judged, daemon_metrics, format);
    while scrape.step() {}
    scrape.take()
}

/// A step ends once it has written so many bytes, or looked at so many checks: there may be thousands of them, and
/// others wait.
const STEP_BYTES: usize = 64 * 1024;
const STEP_CHECKS: usize = 2048;

/// About so long is what is told of the daemon and of a check. Room for a few is made at once; more grows as it comes.
const BYTES_OF_THE_DAEMON: usize = 10 * 1024;
const BYTES_OF_A_CHECK: usize = 3 * 1024;
const MOST_ROOM: usize = 64 * 1024;

/// A scrape that is made step by step, each of which takes no longer than a millisecond.
pub struct Scrape<'a> {
    scene: Scene<'a>,
    encoder: Encoder,
    /// How many families are written.
    written: usize,
    /// The family after them: how many of its checks or endpoints are written, and whether it has a sample.
    parts: usize,
    has_begun: bool,
    is_finished: bool,
}

impl<'a> Scrape<'a> {
    /// A scrape that has not begun.
    #[must_use]
    pub fn new(judged: &'a Judged<'a>, daemon_metrics: &'a DaemonMetrics, format: ExpositionFormat) -> Self {
        let room = BYTES_OF_THE_DAEMON + judged.len() * BYTES_OF_A_CHECK;
        let encoder = match format {
            ExpositionFormat::Text => Encoder::Lines(Lines::new(false, room.min(MOST_ROOM))),
            ExpositionFormat::OpenMetrics => Encoder::Lines(Lines::new(true, room.min(MOST_ROOM))),
            ExpositionFormat::Protobuf => Encoder::Messages(Messages::default()),
        };
        let scene = Scene::new(judged, daemon_metrics, &encoder);
        Self { scene, encoder, written: 0, parts: 0, has_begun: false, is_finished: false }
    }

    /// Makes some more of it; false when there is no more.
    pub fn step(&mut self) -> bool {
        let enough = self.encoder.length() + STEP_BYTES;
        let mut checks_left = STEP_CHECKS;
        while self.written < FAMILIES.len() {
            if checks_left == 0 || self.encoder.length() >= enough {
                return true;
            }
            if self.write_some(enough, &mut checks_left) {
                self.encoder.end_family();
                self.written += 1;
                (self.parts, self.has_begun) = (0, false);
            }
        }
        if !mem::replace(&mut self.is_finished, true) {
            self.encoder.finish();
        }
        false
    }

    /// What has been made since the last time: of protobuf, the families that are complete.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.encoder.take()
    }

    /// Writes the next family, or as much of it as there may be; whether it is complete.
    fn write_some(&mut self, enough: usize, checks_left: &mut usize) -> bool {
        let family = &FAMILIES[self.written];
        let Some(metric) = family.metric(&self.scene) else { return true };
        let judged = self.scene.judged;
        let mut samples = Samples::new(&mut self.encoder, metric, self.has_begun);
        let is_complete = match family.source {
            Source::Daemon(tell) => {
                tell(&self.scene, &mut samples);
                true
            }
            Source::Endpoints(tell) => {
                tell(&self.scene, Endpoint::ALL[self.parts], &mut samples);
                *checks_left = checks_left.saturating_sub(judged.len());
                self.parts += 1;
                self.parts == Endpoint::ALL.len()
            }
            Source::Checks(tell) => {
                for check in judged.indices().skip(self.parts).take(*checks_left) {
                    samples.of_check(judged.definition(check).name.as_str());
                    tell(&self.scene, check, &mut samples);
                    self.parts += 1;
                    *checks_left -= 1;
                    if samples.length() >= enough {
                        break;
                    }
                }
                self.parts == judged.len()
            }
        };
        self.has_begun = samples.has_begun();
        is_complete
    }
}
