//! The samples of a family as they are told, whatever the format.

use std::mem;

use super::catalog::Metric;
use super::labels::{BucketCounts, Buckets, LabelTail, Labels};
use super::lines::Lines;
use super::messages::Messages;
use super::number::Number;
use crate::base::clock::Timestamp;
use crate::model::native_histogram::NativeHistogram;

/// What writes a format.
#[derive(Debug)]
pub(super) enum Encoder {
    /// Text.
    Lines(Lines),
    /// Protobuf.
    Messages(Messages),
}

impl Encoder {
    /// How many bytes there are.
    pub(super) fn length(&mut self) -> usize {
        match self {
            Self::Lines(lines) => lines.text().len(),
            Self::Messages(messages) => messages.length(),
        }
    }

    /// What may go out of it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Lines(lines) => mem::take(lines.text()),
            Self::Messages(messages) => messages.take(),
        }
    }

    /// The family is complete, if one has begun.
    pub(super) fn end_family(&mut self) {
        if let Self::Messages(messages) = self {
            messages.end();
        }
    }

    /// There is no other family.
    pub(super) fn finish(&mut self) {
        if let Self::Lines(lines) = self {
            lines.finish();
        }
    }

    /// The last label of samples, written once for all checks.
    pub(super) fn tail(&self, label: &str, value: &str) -> LabelTail {
        match self {
            Self::Lines(_) => Lines::tail(label, value),
            Self::Messages(_) => Messages::tail(label, value),
        }
    }

    /// Buckets with these bounds.
    pub(super) fn buckets(&self, bounds: &[f64]) -> Buckets {
        let tails = match self {
            Self::Lines(lines) => {
                let texts = bounds.iter().map(|bound| lines.bound(*bound)).chain(["+Inf".into()]);
                texts.map(|bound| Lines::tail("le", &bound)).collect()
            }
            Self::Messages(_) => Box::default(),
        };
        Buckets { bounds: bounds.into(), tails }
    }
}

/// A family that is told: its first sample begins it, so one without samples is left out.
pub(super) struct Samples<'a> {
    encoder: &'a mut Encoder,
    metric: &'a Metric,
    has_begun: bool,
    check: Option<&'a str>,
}

impl<'a> Samples<'a> {
    /// Those of `metric`, which has begun already or not.
    pub(super) fn new(encoder: &'a mut Encoder, metric: &'a Metric, has_begun: bool) -> Self {
        Self { encoder, metric, has_begun, check: None }
    }

    /// Whether there has been a sample.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// How long what is written has become.
    pub(super) fn length(&mut self) -> usize {
        self.encoder.length()
    }

    /// The samples that follow are those of the check `name`.
    pub(super) fn of_check(&mut self, name: &'a str) {
        self.check = Some(name);
    }

    /// Adds a number.
    pub(super) fn number(&mut self, value: f64) {
        self.add(&[], Number::Real(value));
    }

    /// Adds 1, with labels of the configuration behind those of the metric.
    pub(super) fn one_with(&mut self, values: &[&str], more: &[(String, String)]) {
        let labels = Labels { more, ..self.labels(values) };
        self.sample(labels, Number::Count(1));
    }

    /// Adds a count, if there is one.
    pub(super) fn count(&mut self, count: Option<u64>) {
        if let Some(count) = count {
            self.add(&[], Number::Count(count));
        }
    }

    /// Adds 1 or 0, with the values of the labels behind `check`.
    pub(super) fn flag(&mut self, values: &[&str], set: bool) {
        self.add(values, Number::Count(u64::from(set)));
    }

    /// Adds a timestamp, if there is one.
    pub(super) fn time(&mut self, values: &[&str], time: Option<Timestamp>) {
        if let Some(time) = time {
            self.add(values, Number::Time(time));
        }
    }

    /// Adds a counter.
    pub(super) fn counter(&mut self, values: &[&str], count: u64) {
        self.add(values, Number::Count(count));
    }

    /// Adds a count whose last label is `tail`.
    pub(super) fn tailed(&mut self, tail: &LabelTail, count: u64) {
        let labels = self.labels(&[]).with(tail);
        self.sample(labels, Number::Count(count));
    }

    /// Adds a histogram.
    pub(super) fn histogram(
        &mut self,
        values: &[&str],
        buckets: &Buckets,
        counts: BucketCounts<'_>,
        native: Option<&NativeHistogram>,
    ) {
        let labels = self.labels(values);
        match self.encoder {
            Encoder::Lines(lines) => lines.histogram(labels, buckets, counts),
            Encoder::Messages(messages) => messages.histogram(labels, buckets, counts, native),
        }
    }

    /// Adds a summary without quantiles.
    pub(super) fn summary(&mut self, counts: BucketCounts<'_>) {
        let labels = self.labels(&[]);
        match self.encoder {
            Encoder::Lines(lines) => lines.summary(labels, counts),
            Encoder::Messages(messages) => messages.summary(labels, counts),
        }
    }

    fn add(&mut self, values: &[&str], value: Number) {
        let labels = self.labels(values);
        self.sample(labels, value);
    }

    fn sample(&mut self, labels: Labels<'_>, value: Number) {
        match self.encoder {
            Encoder::Lines(lines) => lines.sample(labels, value),
            Encoder::Messages(messages) => messages.sample(labels, value),
        }
    }

    /// The labels of a sample that is about to be told.
    fn labels<'b>(&mut self, values: &'b [&'b str]) -> Labels<'b>
    where
        'a: 'b,
    {
        if !mem::replace(&mut self.has_begun, true) {
            match self.encoder {
                Encoder::Lines(lines) => lines.begin(self.metric),
                Encoder::Messages(messages) => messages.begin(self.metric),
            }
        }
        let names = &self.metric.labels[usize::from(self.check.is_some())..];
        Labels { check: self.check, names, values, more: &[], tail: None }
    }
}
