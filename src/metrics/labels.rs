//! The labels of a sample, and what a histogram has counted, before a format writes them.

/// The labels of a sample.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    /// The check that it is of.
    pub(super) check: Option<&'a str>,
    /// The names of those between the check and the last one.
    pub(super) names: &'static [&'static str],
    /// Their values.
    pub(super) values: &'a [&'a str],
    /// What the configuration adds.
    pub(super) more: &'a [(String, String)],
    /// The last one.
    pub(super) tail: Option<&'a LabelTail>,
}

impl<'a> Labels<'a> {
    /// The same with one more.
    pub(super) fn with(self, tail: &'a LabelTail) -> Self {
        Self { tail: Some(tail), ..self }
    }

    /// Those between the check and the last one, in their order.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.names.iter().copied().zip(self.values.iter().copied());
        own.chain(self.more.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// A label as its format writes it behind others.
#[derive(Debug)]
pub(super) struct LabelTail(pub(super) Box<[u8]>);

/// The buckets of a histogram.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Their upper bounds, without the last, which has none.
    pub(super) bounds: Box<[f64]>,
    /// Their labels, the last one's too; in text alone.
    pub(super) tails: Box<[LabelTail]>,
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
