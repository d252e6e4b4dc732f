//! The text formats: Prometheus 0.0.4 and `OpenMetrics` 1.0, a line for each sample.

use super::catalog::{Metric, MetricKind};
use super::number::Number;
use super::samples::{BucketCounts, LabelPairs};

/// A text that grows by lines.
#[derive(Debug)]
pub(super) struct Lines {
    text: Vec<u8>,
    is_open_metrics: bool,
    /// The name of the family: without `_total` in `OpenMetrics`.
    name: &'static str,
    /// What the names of the samples have behind it.
    suffix: &'static str,
    /// `{check="db"`: what each sample of the check begins with.
    check: Vec<u8>,
}

impl Lines {
    /// An empty text, as `OpenMetrics` or not.
    pub(super) fn new(is_open_metrics: bool) -> Self {
        Self { text: Vec::with_capacity(8 * 1024), is_open_metrics, name: "", suffix: "", check: Vec::new() }
    }

    /// The text so far.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Begins a family.
    pub(super) fn begin(&mut self, metric: &Metric) {
        (self.name, self.suffix) = match (metric.kind, self.is_open_metrics) {
            (MetricKind::Counter, true) => (metric.name.strip_suffix("_total").unwrap_or(metric.name), "_total"),
            _ => (metric.name, ""),
        };
        self.put(&["# HELP ", self.name, " ", metric.help, "\n# TYPE ", self.name, " ", metric.kind.label(), "\n"]);
    }

    /// The samples that follow are those of the check `name`.
    pub(super) fn of_check(&mut self, label: &str, name: &str) {
        self.check.clear();
        self.check.push(b'{');
        put_label(&mut self.check, label, name);
    }

    /// The samples that follow are those of no check.
    pub(super) fn of_none(&mut self) {
        self.check.clear();
    }

    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: LabelPairs<'_>, value: Number) {
        self.line(self.suffix, labels, None, value);
    }

    /// Adds a histogram, whose buckets have `bounds`.
    pub(super) fn histogram(&mut self, labels: LabelPairs<'_>, bounds: &[String], counts: BucketCounts<'_>) {
        let mut cumulative = 0;
        for (bound, count) in bounds.iter().zip(counts.buckets) {
            cumulative += count;
            self.line("_bucket", labels, Some(bound), Number::Count(cumulative));
        }
        self.line("_bucket", labels, Some("+Inf"), Number::Count(counts.all()));
        self.count_and_sum(labels, counts);
    }

    /// Adds a summary without quantiles.
    pub(super) fn count_and_sum(&mut self, labels: LabelPairs<'_>, counts: BucketCounts<'_>) {
        let (count, sum) = (("_count", Number::Count(counts.all())), ("_sum", Number::Real(counts.sum)));
        // The one format's own examples have the sum first, the other's the count.
        let ordered = if self.is_open_metrics { [count, sum] } else { [sum, count] };
        for (suffix, value) in ordered {
            self.line(suffix, labels, None, value);
        }
    }

    /// Ends the text.
    pub(super) fn finish(&mut self) {
        if self.is_open_metrics {
            self.put(&["# EOF\n"]);
        }
    }

    fn line(&mut self, suffix: &str, labels: LabelPairs<'_>, bound: Option<&str>, value: Number) {
        let text = &mut self.text;
        text.extend_from_slice(self.name.as_bytes());
        text.extend_from_slice(suffix.as_bytes());
        text.extend_from_slice(&self.check);
        let mut has_labels = !self.check.is_empty();
        for (name, value) in labels.iter().chain(bound.map(|bound| ("le", bound))) {
            text.push(if has_labels { b',' } else { b'{' });
            put_label(text, name, value);
            has_labels = true;
        }
        text.extend_from_slice(if has_labels { b"} " } else { b" " });
        value.write(text);
        text.push(b'\n');
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.extend_from_slice(part.as_bytes());
        }
    }
}

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
    text.push(b'"');
}
