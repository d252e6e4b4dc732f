//! The text formats: Prometheus 0.0.4 and `OpenMetrics` 1.0, a line for each sample.

use super::catalog::{Metric, MetricKind};
use super::labels::{BucketCounts, Buckets, LabelTail, Labels};
use super::number::Number;

/// A text that grows by lines.
#[derive(Debug)]
pub(super) struct Lines {
    text: Vec<u8>,
    is_open_metrics: bool,
    /// The beginnings of the lines of the present family, by what the name of the sample has behind it.
    samples: LineHeads,
    buckets: LineHeads,
    sums: LineHeads,
    counts: LineHeads,
}

/// How the lines of a family begin.
#[derive(Debug, Default)]
struct LineHeads {
    /// `healthcheck_runs_total`
    name: Vec<u8>,
    /// `healthcheck_runs_total{check="`
    of_check: Vec<u8>,
}

impl LineHeads {
    fn write(&mut self, name: &str, suffix: &str, label: Option<&&str>) {
        self.name.clear();
        self.name.extend_from_slice(name.as_bytes());
        self.name.extend_from_slice(suffix.as_bytes());
        self.of_check.clear();
        self.of_check.extend_from_slice(&self.name);
        if let Some(label) = label {
            self.of_check.push(b'{');
            self.of_check.extend_from_slice(label.as_bytes());
            self.of_check.extend_from_slice(b"=\"");
        }
    }
}

impl Lines {
    /// An empty text with room for so many bytes, as `OpenMetrics` or not.
    pub(super) fn new(is_open_metrics: bool, room: usize) -> Self {
        let [samples, buckets, sums, counts] = Default::default();
        Self { text: Vec::with_capacity(room), is_open_metrics, samples, buckets, sums, counts }
    }

    /// The text so far.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// How the upper bound of a bucket is written: canonical numbers in `OpenMetrics`, `1.0` and not `1`.
    pub(super) fn bound(&self, bound: f64) -> String {
        if self.is_open_metrics { format!("{bound:?}") } else { bound.to_string() }
    }

    /// How a line goes on behind its labels with one more.
    pub(super) fn tail(label: &str, value: &str) -> LabelTail {
        let mut tail = Vec::with_capacity(label.len() + value.len() + 7);
        tail.extend_from_slice(b"\",");
        put_label(&mut tail, label, value);
        tail.extend_from_slice(b"\"} ");
        LabelTail(tail.into())
    }

    /// Begins a family.
    pub(super) fn begin(&mut self, metric: &Metric) {
        let (name, suffix) = match (metric.kind, self.is_open_metrics) {
            (MetricKind::Counter, true) => (metric.name.strip_suffix("_total").unwrap_or(metric.name), "_total"),
            _ => (metric.name, ""),
        };
        for part in ["# HELP ", name, " ", metric.help, "\n# TYPE ", name, " ", metric.kind.label(), "\n"] {
            self.text.extend_from_slice(part.as_bytes());
        }
        let label = metric.labels.first();
        self.samples.write(name, suffix, label);
        if matches!(metric.kind, MetricKind::Histogram | MetricKind::Summary) {
            self.buckets.write(name, "_bucket", label);
            self.sums.write(name, "_sum", label);
            self.counts.write(name, "_count", label);
        }
    }

    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: Number) {
        line(&mut self.text, &self.samples, labels, value);
    }

    /// Adds a histogram.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, buckets: &Buckets, counts: BucketCounts<'_>) {
        let mut cumulative = 0;
        for (tail, count) in buckets.tails.iter().zip(counts.buckets) {
            cumulative += count;
            line(&mut self.text, &self.buckets, labels.with(tail), Number::Count(cumulative));
        }
        self.summary(labels, counts);
    }

    /// Adds a summary without quantiles.
    pub(super) fn summary(&mut self, labels: Labels<'_>, counts: BucketCounts<'_>) {
        let count = (&self.counts, Number::Count(counts.all()));
        let sum = (&self.sums, Number::Real(counts.sum));
        // The one format's own examples have the sum first, the other's the count.
        for (heads, value) in if self.is_open_metrics { [count, sum] } else { [sum, count] } {
            line(&mut self.text, heads, labels, value);
        }
    }

    /// Ends the text.
    pub(super) fn finish(&mut self) {
        if self.is_open_metrics {
            self.text.extend_from_slice(b"# EOF\n");
        }
    }
}

/// Most lines are three pieces and a number: there are fifty of each check.
fn line(text: &mut Vec<u8>, heads: &LineHeads, labels: Labels<'_>, value: Number) {
    let mut has_labels = labels.check.is_some();
    if let Some(check) = labels.check {
        text.extend_from_slice(&heads.of_check);
        // The name of a check needs no escape.
        text.extend_from_slice(check.as_bytes());
    } else {
        text.extend_from_slice(&heads.name);
    }
    for (name, value) in labels.pairs() {
        text.extend_from_slice(if has_labels { b"\"," } else { b"{" });
        put_label(text, name, value);
        has_labels = true;
    }
    match labels.tail {
        Some(tail) => text.extend_from_slice(&tail.0),
        None => text.extend_from_slice(if has_labels { b"\"} " } else { b" " }),
    }
    value.write(text);
    text.push(b'\n');
}

/// Adds a label without the quote at its end.
fn put_label(text: &mut Vec<u8>, name: &str, value: &str) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"=\"");
    let mut rest = value.as_bytes();
    // Backslash, double quote and line feed are escaped; hardly any value has one.
    while let Some(odd) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        text.extend_from_slice(&rest[..odd]);
        text.push(b'\\');
        text.push(if rest[odd] == b'\n' { b'n' } else { rest[odd] });
        rest = &rest[odd + 1..];
    }
    text.extend_from_slice(rest);
}
