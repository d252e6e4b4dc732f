//! The values of every metric, taken from one judged snapshot and the daemon's own counts.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType, Summary,
};
use prometheus::{Encoder, TextEncoder};

use super::catalog::{self, Metric, MetricKind};
use super::daemon::{DaemonMetrics, REQUEST_BUCKETS};
use super::hooks::OUTCOMES;
use super::openmetrics;
use crate::base::clock::Timestamp;
use crate::model::index::CheckIndex;
use crate::model::outcome::FailureKind;
use crate::model::plan::MetricsLevel;
use crate::model::state::{DURATION_BUCKETS, OutcomeKind, State};
use crate::model::verdict::{Endpoint, Judged, JudgedState, Verdict};

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl ExpositionFormat {
    /// The content type to answer with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Every metric, in `format`.
#[must_use]
pub fn scrape(judged: &Judged<'_>, daemon_metrics: &DaemonMetrics, format: ExpositionFormat) -> Vec<u8> {
    let mut scrape = Scrape::new(judged, daemon_metrics, format);
    while scrape.step() {}
    scrape.finish()
}

/// A scrape that is made step by step, each of which takes no longer than a millisecond or two: there may be hundreds
/// of checks, and others wait.
#[derive(Debug)]
pub struct Scrape<'a> {
    judged: &'a Judged<'a>,
    daemon_metrics: &'a DaemonMetrics,
    format: ExpositionFormat,
    sections: std::slice::Iter<'static, CollectSection>,
    text: Vec<u8>,
}

/// Makes some of the metrics, in the order of the catalogue.
type CollectSection = fn(&Judged<'_>, &DaemonMetrics, &mut Vec<MetricFamily>);

static SECTIONS: [CollectSection; 8] = [states, declarations, durations, runs, causes, facts, endpoints, daemon];

impl<'a> Scrape<'a> {
    /// A scrape that has not begun.
    #[must_use]
    pub fn new(judged: &'a Judged<'a>, daemon_metrics: &'a DaemonMetrics, format: ExpositionFormat) -> Self {
        Self { judged, daemon_metrics, format, sections: SECTIONS.iter(), text: Vec::with_capacity(8 * 1024) }
    }

    /// Makes some more of it; false when there is no more.
    pub fn step(&mut self) -> bool {
        let Some(section) = self.sections.next() else { return false };
        let mut families = Vec::new();
        section(self.judged, self.daemon_metrics, &mut families);
        families.retain(|family: &MetricFamily| !family.get_metric().is_empty());
        match self.format {
            ExpositionFormat::OpenMetrics => openmetrics::encode(&families, &mut self.text),
            ExpositionFormat::Text => TextEncoder::new()
                .encode(&families, &mut self.text)
                .expect("a family has a name and samples of its own type, and a Vec takes every byte"),
        }
        true
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.format == ExpositionFormat::OpenMetrics {
            openmetrics::end(&mut self.text);
        }
        self.text
    }
}

/// Every metric that has a value, in the order of the catalogue.
#[cfg(test)]
pub(super) fn families(judged: &Judged<'_>, daemon_metrics: &DaemonMetrics) -> Vec<MetricFamily> {
    let mut all = Vec::new();
    SECTIONS.iter().for_each(|section| section(judged, daemon_metrics, &mut all));
    all.retain(|family| !family.get_metric().is_empty());
    all
}

/// Whether to tell at most a dozen series of each check.
fn is_lean(judged: &Judged<'_>) -> bool {
    judged.snapshot.plan.answers.metrics == MetricsLevel::Lean
}

fn states(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    all.push(per_check(judged, catalog::STATUS, |check, out| {
        out.gauge(&[], flag(judged.status(check) != Verdict::Error));
    }));
    let lean = is_lean(judged);
    all.push(per_check(judged, catalog::STATE, |check, out| {
        for state in JudgedState::ALL {
            let is_in = judged.state(check) == state;
            if is_in || !lean {
                out.gauge(&[state.label()], flag(is_in));
            }
        }
    }));
}

fn declarations(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    all.push(per_check(judged, catalog::INFO, |check, out| {
        let definition = judged.definition(check);
        let runbook = definition.runbook.as_deref().unwrap_or_default();
        let gates = definition.gates.names().join(",");
        out.gauge(&[definition.kind, definition.critical.label(), &gates, runbook], 1.0);
        out.label_last(&judged.snapshot.plan.service.labels);
    }));
    let mut switched_off = Samples { labels: catalog::DISABLED.labels, check: None, samples: Vec::new() };
    for check in &judged.snapshot.plan.disabled {
        switched_off.check = Some(check.name.as_str().to_owned());
        switched_off.gauge(&[check.kind], 1.0);
    }
    all.push(finish(catalog::DISABLED, switched_off.samples));
    if is_lean(judged) {
        return;
    }
    all.push(per_check(judged, catalog::INTERVAL, |check, out| {
        out.gauge(&[], judged.definition(check).interval.as_secs_f64());
    }));
    all.push(per_check(judged, catalog::TIMEOUT, |check, out| {
        out.gauge(&[], judged.definition(check).timeout.as_secs_f64());
    }));
}

fn durations(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    if is_lean(judged) {
        // A histogram has buckets; without them its sum and count are a summary.
        let metric = Metric { kind: MetricKind::Summary, ..catalog::DURATION };
        all.push(per_check(judged, metric, |check, out| {
            let counters = &judged.check(check).counters;
            out.summary(counters.durations.iter().sum(), counters.duration_sum);
        }));
        return;
    }
    all.push(per_check(judged, catalog::DURATION, |check, out| {
        let counters = &judged.check(check).counters;
        out.histogram(&[], &DURATION_BUCKETS, &counters.durations, counters.duration_sum);
    }));
}

fn runs(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    let lean = is_lean(judged);
    all.push(per_check(judged, catalog::RUNS, |check, out| {
        for (outcome, count) in OutcomeKind::ALL.into_iter().zip(judged.check(check).counters.runs) {
            if !lean || matches!(outcome, OutcomeKind::Pass | OutcomeKind::Fail) {
                out.counter(&[outcome.label()], count);
            }
        }
        if !lean {
            out.counter(&["void"], judged.check(check).counters.voids);
        }
    }));
    if lean {
        return;
    }
    all.push(per_check(judged, catalog::FAILURES, |check, out| {
        for (reason, count) in FailureKind::ALL.into_iter().zip(judged.check(check).counters.reasons) {
            out.counter(&[reason.label()], count);
        }
    }));
    all.push(per_check(judged, catalog::CONSECUTIVE_FAILURES, |check, out| {
        out.gauge(&[], f64::from(judged.check(check).failures));
    }));
    all.push(per_check(judged, catalog::TRANSITIONS, |check, out| {
        for (state, count) in State::ALL.into_iter().zip(judged.check(check).counters.transitions) {
            out.counter(&[state.label()], count);
        }
    }));
    all.push(per_check(judged, catalog::LAST_RUN, |check, out| out.time(judged.check(check).counters.last_run)));
}

fn causes(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    all.push(per_check(judged, catalog::LAST_SUCCESS, |check, out| {
        out.time(judged.check(check).counters.last_success);
    }));
    let root_causes = judged.root_causes();
    all.push(per_check(judged, catalog::ROOT_CAUSE, |check, out| {
        out.gauge(&[], flag(root_causes.binary_search(&check).is_ok()));
    }));
    if is_lean(judged) {
        return;
    }
    all.push(per_check(judged, catalog::WAITS_FOR, |check, out| {
        if judged.state(check) == JudgedState::Fresh(State::Skipped) {
            for cause in judged.causes_of(check) {
                out.gauge(&[judged.definition(cause).name.as_str()], 1.0);
            }
        }
    }));
}

/// What the last runs learned beside their outcomes.
#[allow(clippy::cast_precision_loss)] // sizes below 8 PiB are exact
fn facts(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    let last = |check: CheckIndex| judged.check(check).last.as_ref();
    let lean = is_lean(judged);
    all.push(per_check(judged, catalog::STEP_STATUS, |check, out| {
        if lean {
            return;
        }
        for step in last(check).iter().flat_map(|last| &last.facts.steps).filter(|step| step.state != State::Skipped) {
            out.gauge(&[&step.name], flag(step.state.is_up()));
        }
    }));
    all.push(per_check(judged, catalog::TLS_NOT_AFTER, |check, out| {
        out.time(judged.check(check).counters.tls_not_after);
    }));
    let disk = |check: CheckIndex| last(check).and_then(|last| last.facts.disk);
    all.push(per_check(judged, catalog::DISK_FREE, |check, out| out.known(disk(check).map(|disk| disk.free as f64))));
    all.push(per_check(judged, catalog::DISK_SIZE, |check, out| out.known(disk(check).map(|disk| disk.size as f64))));
    let queue = |check: CheckIndex| last(check).and_then(|last| last.facts.queue.as_deref());
    all.push(per_check(judged, catalog::QUEUE_MESSAGES, |check, out| {
        out.known(queue(check).map(|queue| f64::from(queue.messages)));
    }));
    all.push(per_check(judged, catalog::QUEUE_CONSUMERS, |check, out| {
        out.known(queue(check).map(|queue| f64::from(queue.consumers)));
    }));
}

fn endpoints(judged: &Judged<'_>, _: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    all.push(family(catalog::ENDPOINT_OPEN, |out| {
        for endpoint in Endpoint::ALL {
            out.gauge(&[endpoint.label()], flag(judged.endpoint(endpoint).open));
        }
    }));
    all.push(family(catalog::ENDPOINT_TRANSITIONS, |out| {
        for (endpoint, count) in Endpoint::ALL.into_iter().zip(judged.snapshot.endpoint_transitions) {
            out.counter(&[endpoint.label(), "open"], count.open);
            out.counter(&[endpoint.label(), "closed"], count.closed);
        }
    }));
    all.push(family(catalog::APPLICATION, |out| {
        out.gauge(
            &[],
            match judged.endpoint(Endpoint::Healthz).verdict {
                Verdict::Error => 0.0,
                Verdict::Degraded => 1.0,
                Verdict::Ok => 2.0,
            },
        );
    }));
}

fn daemon(judged: &Judged<'_>, daemon_metrics: &DaemonMetrics, all: &mut Vec<MetricFamily>) {
    all.push(family(catalog::DRAINING, |out| out.gauge(&[], flag(judged.snapshot.draining))));
    all.push(family(catalog::LAST_ASKED, |out| {
        for endpoint in Endpoint::ALL {
            if let Some(asked) = daemon_metrics.asks.last_wall(endpoint) {
                out.gauge(&[endpoint.label()], asked.unix_seconds());
            }
        }
    }));
    all.push(family(catalog::REQUESTS, |out| {
        for requests in daemon_metrics.requests() {
            out.histogram(
                &[requests.route.pattern(), requests.code],
                &REQUEST_BUCKETS,
                &requests.buckets,
                requests.sum,
            );
        }
    }));
    all.push(family(catalog::LAG, |out| {
        let overdue = judged.snapshot.checks.iter().filter_map(|check| check.due).map(|due| judged.now.since(due));
        out.gauge(&[], overdue.max().unwrap_or_default().as_secs_f64());
    }));
    all.push(family(catalog::HISTORY_DROPPED, |out| out.counter(&[], daemon_metrics.history_dropped_total())));
    all.push(family(catalog::HISTORY_WRITABLE, |out| {
        if let Some(writable) = daemon_metrics.history_writable() {
            out.gauge(&[], flag(writable));
        }
    }));
    all.push(family(catalog::HOOK_DELIVERIES, |out| {
        for (place, deliveries) in daemon_metrics.hooks().iter().enumerate() {
            for (outcome, count) in OUTCOMES.into_iter().zip(deliveries.read()) {
                out.counter(&[&format!("hooks[{place}]"), outcome], count);
            }
        }
    }));
    let configuration = &judged.snapshot.configuration;
    all.push(family(catalog::RELOAD_OK, |out| out.gauge(&[], flag(configuration.last_load_ok))));
    all.push(family(catalog::RELOAD_AT, |out| out.time(configuration.last_success)));
    all.push(family(catalog::CONFIGURATION, |out| {
        if let Some(hash) = &judged.snapshot.plan.hash {
            out.gauge(&[hash], 1.0);
        }
    }));
    all.push(family(catalog::BUILD, |out| {
        out.gauge(&[env!("CARGO_PKG_VERSION"), option_env!("PROBELET_REVISION").unwrap_or("unknown")], 1.0);
    }));
    all.extend(daemon_metrics.process(judged.now));
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

fn family(metric: Metric, fill: impl FnOnce(&mut Samples)) -> MetricFamily {
    let mut samples = Samples { labels: metric.labels, check: None, samples: Vec::new() };
    fill(&mut samples);
    finish(metric, samples.samples)
}

/// A family whose first label is the check: `fill` is called once for each.
fn per_check(judged: &Judged<'_>, metric: Metric, mut fill: impl FnMut(CheckIndex, &mut Samples)) -> MetricFamily {
    let mut samples = Samples { labels: metric.labels, check: None, samples: Vec::with_capacity(judged.len()) };
    for check in judged.indices() {
        samples.check = Some(judged.definition(check).name.as_str().to_owned());
        fill(check, &mut samples);
    }
    finish(metric, samples.samples)
}

fn finish(metric: Metric, samples: Vec<Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.into());
    family.set_help(metric.help.into());
    family.set_field_type(match metric.kind {
        MetricKind::Gauge => MetricType::GAUGE,
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Histogram => MetricType::HISTOGRAM,
        MetricKind::Summary => MetricType::SUMMARY,
    });
    family.set_metric(samples);
    family
}

/// The samples of a family while they are collected.
struct Samples {
    labels: &'static [&'static str],
    check: Option<String>,
    samples: Vec<Sample>,
}

impl Samples {
    /// Adds a gauge with the values of the labels after `check`.
    fn gauge(&mut self, values: &[&str], value: f64) {
        let mut sample = self.sample(values);
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        sample.set_gauge(gauge);
        self.samples.push(sample);
    }

    /// Adds these labels to the sample that was added last.
    fn label_last(&mut self, labels: &[(String, String)]) {
        let Some(sample) = self.samples.last_mut().filter(|_| !labels.is_empty()) else { return };
        let more = labels.iter().map(|(name, value)| label_pair(name, value));
        let pairs = sample.get_label().iter().cloned().chain(more).collect();
        sample.set_label(pairs);
    }

    /// Adds a gauge, if there is a value for it.
    fn known(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.gauge(&[], value);
        }
    }

    /// Adds a timestamp, if there is one.
    fn time(&mut self, time: Option<Timestamp>) {
        self.known(time.map(Timestamp::unix_seconds));
    }

    #[allow(clippy::cast_precision_loss)] // a run each microsecond overflows 53 bits after 285 years
    fn counter(&mut self, values: &[&str], count: u64) {
        let mut sample = self.sample(values);
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        sample.set_counter(counter);
        self.samples.push(sample);
    }

    /// Adds a histogram from the counts of its buckets, the last of which has no bound.
    fn histogram(&mut self, values: &[&str], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut sample = self.sample(values);
        let mut cumulative = 0;
        let buckets = bounds
            .iter()
            .zip(counts)
            .map(|(bound, count)| {
                cumulative += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(cumulative);
                bucket
            })
            .collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        sample.set_histogram(histogram);
        self.samples.push(sample);
    }

    /// Adds a summary without quantiles.
    fn summary(&mut self, count: u64, sum: f64) {
        let mut sample = self.sample(&[]);
        let mut summary = Summary::default();
        summary.set_sample_count(count);
        summary.set_sample_sum(sum);
        sample.set_summary(summary);
        self.samples.push(sample);
    }

    fn sample(&self, values: &[&str]) -> Sample {
        let values = self.check.as_deref().into_iter().chain(values.iter().copied());
        let pairs = self.labels.iter().zip(values).map(|(name, value)| label_pair(name, value));
        Sample::from_label(pairs.collect())
    }
}

fn label_pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
