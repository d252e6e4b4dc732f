//! How long runs took, counted in buckets: those that the configuration chose.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use super::native_histogram::NativeHistogram;

/// The upper bounds of the usual buckets, in seconds; one more bucket has no bound.
const USUAL: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How durations are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationBuckets {
    /// The upper bounds in seconds, ascending; one more bucket has no bound.
    pub bounds: Box<[f64]>,
    /// Whether a native histogram is kept beside them.
    pub native: bool,
}

impl DurationBuckets {
    /// The usual ones, from 1 ms to 10 s, and no native histogram.
    #[must_use]
    pub fn usual() -> Arc<Self> {
        static USUALLY: LazyLock<Arc<DurationBuckets>> =
            LazyLock::new(|| Arc::new(DurationBuckets { bounds: Box::new(USUAL), native: false }));
        Arc::clone(&USUALLY)
    }
}

/// The durations of a check's runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// The sum of all, in seconds.
    pub sum: f64,
    /// By bucket, not cumulative; the last has no bound. Empty while nothing is counted.
    pub counts: Box<[u64]>,
    /// The native histogram of the same, where one is kept.
    pub native: Option<Box<NativeHistogram>>,
    /// In which buckets; nothing while nothing is counted.
    buckets: Option<Arc<DurationBuckets>>,
}

impl Durations {
    /// Counts one more.
    pub fn add(&mut self, seconds: f64, buckets: &Arc<DurationBuckets>) {
        self.count_in(buckets);
        let place = buckets.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(buckets.bounds.len());
        self.counts[place] += 1;
        self.sum += seconds;
        if let Some(native) = &mut self.native {
            native.add(seconds);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The same in other buckets, as far as that is known. Where they only leave out some of the bounds it is; else the
    /// counts begin anew, all of them, as after a restart.
    #[must_use]
    pub fn counted_in(&self, buckets: &Arc<DurationBuckets>) -> Cow<'_, Self> {
        match &self.buckets {
            Some(mine) if Arc::ptr_eq(mine, buckets) || mine == buckets => Cow::Borrowed(self),
            Some(mine) => Cow::Owned(self.merged(mine, buckets).unwrap_or_else(|| Self::none(buckets))),
            None => Cow::Owned(Self::none(buckets)),
        }
    }

    /// Counts in other buckets from now on.
    pub fn count_in(&mut self, buckets: &Arc<DurationBuckets>) {
        if let Cow::Owned(converted) = self.counted_in(buckets) {
            *self = converted;
        }
    }

    /// Whether something is counted, in other buckets than these.
    #[must_use]
    pub fn is_counted_otherwise(&self, buckets: &Arc<DurationBuckets>) -> bool {
        self.buckets.as_ref().is_some_and(|mine| !Arc::ptr_eq(mine, buckets) && mine != buckets)
    }

    fn none(buckets: &Arc<DurationBuckets>) -> Self {
        Self {
            sum: 0.0,
            counts: vec![0; buckets.bounds.len() + 1].into(),
            native: buckets.native.then(Box::default),
            buckets: Some(Arc::clone(buckets)),
        }
    }

    #[allow(clippy::float_cmp)] // a bound is the same where it was written the same
    fn merged(&self, mine: &DurationBuckets, buckets: &Arc<DurationBuckets>) -> Option<Self> {
        // What a native histogram would have counted before it was kept is not known.
        if buckets.native && !mine.native {
            return None;
        }
        let mut merged = Self::none(buckets);
        let mut wider = buckets.bounds.iter().enumerate().peekable();
        for (place, count) in self.counts.iter().enumerate() {
            let into = wider.peek().map_or(buckets.bounds.len(), |(wider, _)| *wider);
            merged.counts[into] += count;
            wider.next_if(|(_, bound)| mine.bounds.get(place) == Some(bound));
        }
        // A bound that was none splits a bucket.
        if wider.next().is_some() {
            return None;
        }
        merged.sum = self.sum;
        merged.native = self.native.clone().filter(|_| buckets.native);
        Some(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(bounds: &[f64], native: bool) -> Arc<DurationBuckets> {
        Arc::new(DurationBuckets { bounds: bounds.into(), native })
    }

    fn counted(buckets: &Arc<DurationBuckets>) -> Durations {
        let mut durations = Durations::default();
        for seconds in [0.0005, 0.001, 0.002, 0.3, 0.7, 3.0, 30.0] {
            durations.add(seconds, buckets);
        }
        durations
    }

    #[test]
    fn a_bucket_holds_what_is_at_most_its_bound() {
        let usual = counted(&DurationBuckets::usual());
        assert_eq!(*usual.counts, [2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1]);
        assert_eq!((usual.all(), usual.native), (7, None));
        assert!((usual.sum - 34.0035).abs() < 1e-9);
        assert_eq!(*counted(&buckets(&[], false)).counts, [7]);
    }

    #[test]
    fn buckets_that_only_leave_out_bounds_go_on() {
        let usual = counted(&DurationBuckets::usual());
        for (bounds, counts) in [
            (&[0.001, 0.5, 10.0][..], &[2, 2, 2, 1][..]),
            (&[10.0], &[6, 1]),
            (&[0.001], &[2, 5]),
            (&[], &[7]),
            (&USUAL, &usual.counts),
        ] {
            let thinned = usual.counted_in(&buckets(bounds, false)).into_owned();
            assert_eq!((&*thinned.counts, thinned.sum), (counts, usual.sum), "{bounds:?}");
        }
    }

    #[test]
    fn other_buckets_begin_anew() {
        let usual = counted(&DurationBuckets::usual());
        for other in [buckets(&[0.002], false), buckets(&[0.001, 0.5, 20.0], false), buckets(&[0.001], true)] {
            let mut anew = usual.counted_in(&other).into_owned();
            assert_eq!((anew.all(), anew.sum), (0, 0.0), "{other:?}");
            assert_eq!(anew.native.is_some(), other.native);
            anew.add(1.0, &other);
            assert_eq!(anew.all(), 1);
        }
    }

    #[test]
    fn a_native_histogram_is_kept_beside_the_buckets_where_it_is_wanted() {
        let both = counted(&buckets(&[0.001, 1.0], true));
        let native = both.native.as_ref().unwrap();
        assert_eq!(native.buckets().iter().map(|(_, count)| count).sum::<u64>(), both.all());
        // It goes on with fewer buckets, and is let go of where it is no longer wanted.
        assert_eq!(both.counted_in(&buckets(&[1.0], true)).native, both.native);
        let without = both.counted_in(&buckets(&[1.0], false)).into_owned();
        assert_eq!((without.native, &*without.counts), (None, &[5, 2][..]));
    }
}
