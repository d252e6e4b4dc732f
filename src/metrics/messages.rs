//! The protobuf format of Prometheus: `io.prometheus.client.MetricFamily`, each behind its length.
//!
//! The numbers of the fields are those of its `metrics.proto`. It alone can tell native histograms.

use std::mem;

use super::catalog::{Metric, MetricKind};
use super::labels::{BucketCounts, Buckets, LabelTail, Labels};
use super::number::Number;
use crate::model::native_histogram::NativeHistogram;

/// Families as they are told.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// Where the family that is not complete begins.
    family: Option<usize>,
    /// The field of a metric that holds its value.
    value_field: u8,
    /// The label that names a check.
    check_label: &'static str,
    /// What is being written, kept for its memory.
    metric: Vec<u8>,
    value: Vec<u8>,
    inner: Vec<u8>,
}

// A field begins with its number and how its value is written.
const VARINT: u8 = 0;
const DOUBLE: u8 = 1;
const BYTES: u8 = 2;

impl Messages {
    /// How many bytes there are.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The complete families so far.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let rest = self.family.map(|start| self.bytes.split_off(start)).unwrap_or_default();
        self.family = self.family.map(|_| 0);
        mem::replace(&mut self.bytes, rest)
    }

    /// A label that goes behind the others.
    pub(super) fn tail(label: &str, value: &str) -> LabelTail {
        let mut tail = Vec::with_capacity(label.len() + value.len() + 8);
        put_label(&mut tail, label, value);
        LabelTail(tail.into())
    }

    /// Begins a family.
    pub(super) fn begin(&mut self, metric: &Metric) {
        self.family = Some(self.bytes.len());
        self.check_label = metric.labels.first().copied().unwrap_or_default();
        put_bytes(&mut self.bytes, 1, metric.name.as_bytes());
        put_bytes(&mut self.bytes, 2, metric.help.as_bytes());
        let (kind, value_field) = match metric.kind {
            MetricKind::Counter => (0, 3),
            MetricKind::Gauge => (1, 2),
            MetricKind::Summary => (2, 4),
            MetricKind::Histogram => (4, 7),
        };
        self.value_field = value_field;
        put_number(&mut self.bytes, 3, kind);
    }

    /// Ends the family, if one has begun.
    pub(super) fn end(&mut self) {
        let Some(start) = self.family.take() else { return };
        let end = self.bytes.len();
        put_varint(&mut self.bytes, (end - start) as u64);
        // The length stands before what it is the length of.
        let length = self.bytes.len() - end;
        self.bytes[start..].rotate_right(length);
    }

    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: Number) {
        self.value.clear();
        put_double(&mut self.value, 1, value.as_f64());
        self.metric(labels);
    }

    /// Adds a histogram, with a native one where it is kept.
    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        buckets: &Buckets,
        counts: BucketCounts<'_>,
        native: Option<&NativeHistogram>,
    ) {
        self.value.clear();
        put_number(&mut self.value, 1, counts.all());
        put_double(&mut self.value, 2, counts.sum);
        let mut cumulative = 0;
        for (bound, count) in buckets.bounds.iter().zip(counts.buckets) {
            cumulative += count;
            self.inner.clear();
            put_number(&mut self.inner, 1, cumulative);
            put_double(&mut self.inner, 2, *bound);
            put_bytes(&mut self.value, 3, &self.inner);
        }
        if let Some(native) = native {
            self.native(native);
        }
        self.metric(labels);
    }

    /// Adds a summary without quantiles.
    pub(super) fn summary(&mut self, labels: Labels<'_>, counts: BucketCounts<'_>) {
        self.value.clear();
        put_number(&mut self.value, 1, counts.all());
        put_double(&mut self.value, 2, counts.sum);
        self.metric(labels);
    }

    fn native(&mut self, native: &NativeHistogram) {
        put_number(&mut self.value, 5, zigzag(native.schema().into()));
        put_double(&mut self.value, 6, NativeHistogram::ZERO_THRESHOLD);
        put_number(&mut self.value, 7, native.zeros());
        // Spans of buckets that follow each other: how many are left out before, and how many there are. One of no
        // buckets says that this is a native histogram before it holds anything.
        let mut rest = native.buckets();
        let mut next = 0;
        loop {
            let follow = rest.windows(2).take_while(|pair| pair[0].0 + 1 == pair[1].0).count();
            let (span, others) = rest.split_at(rest.len().min(follow + 1));
            let first = span.first().map_or(next, |(index, _)| *index);
            self.inner.clear();
            put_number(&mut self.inner, 1, zigzag(i64::from(first) - i64::from(next)));
            put_number(&mut self.inner, 2, span.len() as u64);
            put_bytes(&mut self.value, 12, &self.inner);
            next = span.last().map_or(next, |(index, _)| index.saturating_add(1));
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        // What each holds, as the difference from the one before.
        self.inner.clear();
        let mut before = 0_u64;
        for (_, count) in native.buckets() {
            put_varint(&mut self.inner, zigzag(count.wrapping_sub(before).cast_signed()));
            before = *count;
        }
        put_bytes(&mut self.value, 13, &self.inner);
    }

    /// Adds a metric of the family with the value that has been written.
    fn metric(&mut self, labels: Labels<'_>) {
        self.metric.clear();
        if let Some(check) = labels.check {
            put_label(&mut self.metric, self.check_label, check);
        }
        for (name, value) in labels.pairs() {
            put_label(&mut self.metric, name, value);
        }
        if let Some(tail) = labels.tail {
            self.metric.extend_from_slice(&tail.0);
        }
        put_bytes(&mut self.metric, self.value_field, &self.value);
        put_bytes(&mut self.bytes, 4, &self.metric);
    }
}

fn put_label(metric: &mut Vec<u8>, name: &str, value: &str) {
    let length = |text: &str| 1 + varint_length(text.len() as u64) + text.len();
    metric.push(1 << 3 | BYTES);
    put_varint(metric, (length(name) + length(value)) as u64);
    put_bytes(metric, 1, name.as_bytes());
    put_bytes(metric, 2, value.as_bytes());
}

fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | BYTES);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_double(message: &mut Vec<u8>, field: u8, value: f64) {
    message.push(field << 3 | DOUBLE);
    message.extend_from_slice(&value.to_le_bytes());
}

fn put_number(message: &mut Vec<u8>, field: u8, number: u64) {
    message.push(field << 3 | VARINT);
    put_varint(message, number);
}

#[allow(clippy::cast_possible_truncation)] // seven bits
fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

fn varint_length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Small numbers of both signs as small numbers without one.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::metrics::testing::{now, ok, snapshot};
    use crate::metrics::{DaemonMetrics, ExpositionFormat, scrape};
    use crate::model::durations::{DurationBuckets, Durations};
    use crate::model::plan::testing::check;
    use crate::model::snapshot::Snapshot;
    use crate::model::state::Counters;
    use crate::model::verdict::Judged;

    /// The value of a field.
    #[derive(Clone, Copy)]
    enum Read<'a> {
        Number(u64),
        Real(f64),
        Bytes(&'a [u8]),
    }

    impl<'a> Read<'a> {
        fn number(self) -> u64 {
            let Self::Number(number) = self else { panic!("a varint") };
            number
        }

        fn real(self) -> f64 {
            let Self::Real(real) = self else { panic!("a double") };
            real
        }

        fn bytes(self) -> &'a [u8] {
            let Self::Bytes(bytes) = self else { panic!("bytes") };
            bytes
        }

        fn text(self) -> String {
            String::from_utf8(self.bytes().to_vec()).unwrap()
        }
    }

    fn varint(rest: &mut &[u8]) -> u64 {
        let mut number = 0;
        for place in 0.. {
            let (byte, others) = rest.split_first().unwrap();
            *rest = others;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn unzigzag(number: u64) -> i64 {
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
    }

    fn part<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (part, others) = rest.split_at(length);
        *rest = others;
        part
    }

    fn fields(mut rest: &[u8]) -> Vec<(u64, Read<'_>)> {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let value = match key & 7 {
                0 => Read::Number(varint(&mut rest)),
                1 => Read::Real(f64::from_le_bytes(part(&mut rest, 8).try_into().unwrap())),
                2 => {
                    let length = usize::try_from(varint(&mut rest)).unwrap();
                    Read::Bytes(part(&mut rest, length))
                }
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    fn all<'a>(message: &'a [u8], field: u64) -> Vec<Read<'a>> {
        fields(message).into_iter().filter(|(number, _)| *number == field).map(|(_, value)| value).collect()
    }

    fn only(message: &[u8], field: u64) -> Read<'_> {
        let [value] = all(message, field)[..] else { panic!("one field {field}") };
        value
    }

    fn families(mut rest: &[u8]) -> Vec<&[u8]> {
        let mut families = Vec::new();
        while !rest.is_empty() {
            let length = usize::try_from(varint(&mut rest)).unwrap();
            families.push(part(&mut rest, length));
        }
        families
    }

    /// The messages in the text format.
    fn as_text(messages: &[u8]) -> String {
        let mut text = String::new();
        for family in families(messages) {
            let name = only(family, 1).text();
            let kinds = ["counter", "gauge", "summary", "untyped", "histogram"];
            let kind = kinds[usize::try_from(only(family, 3).number()).unwrap()];
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", only(family, 2).text());
            for metric in all(family, 4) {
                let metric = metric.bytes();
                let labels = all(metric, 1).into_iter().map(Read::bytes).map(|pair| {
                    let escaped = only(pair, 2).text().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    format!("{}=\"{escaped}\"", only(pair, 1).text())
                });
                let labels: Vec<String> = labels.collect();
                let mut line = |suffix: &str, more: Option<String>, value: String| {
                    let labels = labels.iter().cloned().chain(more).collect::<Vec<_>>().join(",");
                    let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
                    let _ = writeln!(text, "{name}{suffix}{labels} {value}");
                };
                match kind {
                    "counter" => line("", None, only(only(metric, 3).bytes(), 1).real().to_string()),
                    "gauge" => line("", None, only(only(metric, 2).bytes(), 1).real().to_string()),
                    _ => {
                        let value = only(metric, if kind == "summary" { 4 } else { 7 }).bytes();
                        let count = only(value, 1).number().to_string();
                        for bucket in all(value, 3).into_iter().map(Read::bytes) {
                            let bound = only(bucket, 2).real();
                            line("_bucket", Some(format!("le=\"{bound}\"")), only(bucket, 1).number().to_string());
                        }
                        if kind == "histogram" {
                            line("_bucket", Some("le=\"+Inf\"".into()), count.clone());
                        }
                        line("_sum", None, only(value, 2).real().to_string());
                        line("_count", None, count);
                    }
                }
            }
        }
        text
    }

    fn told(snapshot: &Snapshot, daemon_metrics: &DaemonMetrics, format: ExpositionFormat) -> Vec<u8> {
        scrape(&Judged::new(snapshot, now().moment), daemon_metrics, format)
    }

    #[test]
    fn the_messages_tell_what_the_text_tells_with_every_odd_character() {
        let daemon_metrics = crate::metrics::tests::daemon_metrics();
        for snapshot in [crate::metrics::tests::odd(), crate::metrics::tests::lean()] {
            let text = String::from_utf8(told(&snapshot, &daemon_metrics, ExpositionFormat::Text)).unwrap();
            assert_eq!(as_text(&told(&snapshot, &daemon_metrics, ExpositionFormat::Protobuf)), text);
        }
    }

    /// The native histogram of the only check.
    fn native_of(durations: &[f64]) -> (Vec<u8>, NativeHistogram) {
        let buckets = Arc::new(DurationBuckets { bounds: [0.1].into(), native: true });
        let mut counted = Durations::default();
        durations.iter().for_each(|seconds| counted.add(*seconds, &buckets));
        let native = counted.native.clone().map_or_else(NativeHistogram::default, |native| *native);
        let mut definition = check("db");
        definition.duration_buckets = buckets;
        let mut state = ok("ok");
        state.counters = Arc::new(Counters { durations: counted, ..Counters::default() });
        let snapshot = snapshot(vec![(definition, state)]);
        let messages = told(&snapshot, &DaemonMetrics::default(), ExpositionFormat::Protobuf);
        let family = families(&messages)
            .into_iter()
            .find(|family| only(family, 1).text() == "healthcheck_duration_seconds")
            .unwrap();
        (only(only(family, 4).bytes(), 7).bytes().to_vec(), native)
    }

    #[test]
    fn native_histograms_are_told_in_spans_and_differences() {
        let (message, native) = native_of(&[0.0, 0.9, 1.0, 1.05, 1.05, 2.0, 100.0]);
        assert_eq!((unzigzag(only(&message, 5).number()), only(&message, 7).number()), (3, 1));
        assert_eq!(only(&message, 6).real().to_bits(), NativeHistogram::ZERO_THRESHOLD.to_bits());
        let mut told = Vec::new();
        let (mut index, mut count, mut deltas) = (0, 0, only(&message, 13).bytes());
        for span in all(&message, 12).into_iter().map(Read::bytes) {
            index += unzigzag(only(span, 1).number());
            for _ in 0..only(span, 2).number() {
                count += unzigzag(varint(&mut deltas));
                told.push((i16::try_from(index).unwrap(), count.cast_unsigned()));
                index += 1;
            }
        }
        assert_eq!((told.as_slice(), deltas), (native.buckets(), &[][..]));
        // 0.9 to 1.05 are three that follow each other, and two are on their own.
        assert_eq!(all(&message, 12).len(), 3);
    }

    #[test]
    fn a_native_histogram_is_one_before_it_holds_anything() {
        let (message, _) = native_of(&[]);
        let span = only(&message, 12).bytes();
        assert_eq!((only(span, 1).number(), only(span, 2).number(), only(&message, 13).bytes()), (0, 0, &[][..]));
    }
}
