//! The samples of a family as they are told, whatever the format.

use super::catalog::Metric;
use super::lines::Lines;
use super::number::Number;
use crate::base::clock::Timestamp;

/// A family that is told: its first sample begins it, so one without samples is left out.
pub(super) struct Samples<'a> {
    lines: &'a mut Lines,
    metric: &'a Metric,
    has_begun: bool,
    /// How many labels are told already, by the check.
    told: usize,
}

/// Labels of a sample beside the check: names and values, then what the configuration adds.
#[derive(Clone, Copy)]
pub(super) struct LabelPairs<'a> {
    names: &'static [&'static str],
    values: &'a [&'a str],
    more: &'a [(String, String)],
}

impl<'a> LabelPairs<'a> {
    /// All of them, in their order.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.names.iter().copied().zip(self.values.iter().copied());
        own.chain(self.more.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// What a histogram has counted.
#[derive(Clone, Copy)]
pub(super) struct BucketCounts<'a> {
    /// Not cumulative; the last bucket has no bound.
    pub(super) buckets: &'a [u64],
    /// The sum of all values.
    pub(super) sum: f64,
}

impl BucketCounts<'_> {
    /// All values together.
    pub(super) fn all(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl<'a> Samples<'a> {
    /// Those of `metric`, which has begun already or not.
    pub(super) fn new(lines: &'a mut Lines, metric: &'a Metric, has_begun: bool) -> Self {
        lines.of_none();
        Self { lines, metric, has_begun, told: 0 }
    }

    /// Whether there has been a sample.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// How long what is written has become.
    pub(super) fn length(&mut self) -> usize {
        self.lines.text().len()
    }

    /// The samples that follow are those of the check `name`.
    pub(super) fn of_check(&mut self, name: &str) {
        self.told = 1;
        self.lines.of_check(self.metric.labels[0], name);
    }

    /// Adds a gauge with the values of the labels after `check`.
    pub(super) fn gauge(&mut self, values: &[&str], value: f64) {
        self.add(values, &[], Number::Real(value));
    }

    /// The same with labels of the configuration.
    pub(super) fn gauge_with(&mut self, values: &[&str], more: &[(String, String)], value: f64) {
        self.add(values, more, Number::Real(value));
    }

    /// Adds a gauge that is a count, if there is one.
    pub(super) fn count(&mut self, count: Option<u64>) {
        if let Some(count) = count {
            self.add(&[], &[], Number::Count(count));
        }
    }

    /// Adds 1 or 0.
    pub(super) fn flag(&mut self, values: &[&str], set: bool) {
        self.add(values, &[], Number::Count(u64::from(set)));
    }

    /// Adds a timestamp, if there is one.
    pub(super) fn time(&mut self, values: &[&str], time: Option<Timestamp>) {
        if let Some(time) = time {
            self.add(values, &[], Number::Time(time));
        }
    }

    /// Adds a counter.
    pub(super) fn counter(&mut self, values: &[&str], count: u64) {
        self.add(values, &[], Number::Count(count));
    }

    /// Adds a counter of seconds.
    pub(super) fn seconds(&mut self, seconds: f64) {
        self.add(&[], &[], Number::Real(seconds));
    }

    /// Adds a histogram, whose buckets have `bounds`.
    pub(super) fn histogram(&mut self, values: &[&str], bounds: &[String], counts: BucketCounts<'_>) {
        let labels = self.labels(values, &[]);
        self.lines.histogram(labels, bounds, counts);
    }

    /// Adds a summary without quantiles.
    pub(super) fn summary(&mut self, counts: BucketCounts<'_>) {
        let labels = self.labels(&[], &[]);
        self.lines.count_and_sum(labels, counts);
    }

    fn add(&mut self, values: &[&str], more: &[(String, String)], value: Number) {
        let labels = self.labels(values, more);
        self.lines.sample(labels, value);
    }

    /// The labels of a sample that is about to be told.
    fn labels<'b>(&mut self, values: &'b [&'b str], more: &'b [(String, String)]) -> LabelPairs<'b> {
        if !self.has_begun {
            self.has_begun = true;
            self.lines.begin(self.metric);
        }
        LabelPairs { names: &self.metric.labels[self.told..], values, more }
    }
}
