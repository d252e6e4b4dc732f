//! A histogram whose buckets nobody declares: powers of a base, of which only those that hold something are kept.
//!
//! It counts as the native histograms of Prometheus do. With the schema `n` the bucket `i` holds what is above
//! `2^((i-1)/2^n)` and at most `2^(i/2^n)`.

/// A native histogram of durations, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeHistogram {
    /// The finest schema, less this much.
    coarser: u8,
    /// What is at most [`ZERO_THRESHOLD`](Self::ZERO_THRESHOLD).
    zeros: u64,
    /// By bucket, in ascending order.
    buckets: Vec<(i16, u64)>,
}

/// Each power of two has eight buckets: none is wider than 9.1 % of its bound.
const FINEST: u8 = 3;
/// The upper bounds of the eight buckets from 1/2 to 1: `2^(k/8 - 1)`.
const BOUNDS: [f64; 8] = [
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    std::f64::consts::FRAC_1_SQRT_2,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_6,
    0.917_004_043_204_671_2,
    1.0,
];

impl NativeHistogram {
    /// Values up to this count as zero: `2^-128`, as in Prometheus' own libraries.
    pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;
    /// So many buckets there are at most; more make each twice as wide.
    pub const MOST: usize = 160;

    /// Counts one more.
    pub fn add(&mut self, seconds: f64) {
        if seconds.is_nan() || seconds <= Self::ZERO_THRESHOLD {
            self.zeros += 1;
            return;
        }
        let index = coarsened(finest_index(seconds), self.coarser);
        match self.buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(place) => self.buckets[place].1 += 1,
            Err(place) => self.buckets.insert(place, (index, 1)),
        }
        while self.buckets.len() > Self::MOST {
            self.coarsen();
        }
    }

    /// The schema: the logarithm of how many buckets a power of two has.
    #[must_use]
    pub fn schema(&self) -> i32 {
        i32::from(FINEST) - i32::from(self.coarser)
    }

    /// How many values were next to nothing.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The buckets that hold something, in ascending order: their places and what they hold.
    #[must_use]
    pub fn buckets(&self) -> &[(i16, u64)] {
        &self.buckets
    }

    /// Makes each bucket twice as wide.
    fn coarsen(&mut self) {
        self.coarser += 1;
        let mut wider: Vec<(i16, u64)> = Vec::with_capacity(self.buckets.len());
        for (index, count) in &self.buckets {
            let index = coarsened(*index, 1);
            match wider.last_mut() {
                Some((last, counted)) if *last == index => *counted += count,
                _ => wider.push((index, *count)),
            }
        }
        self.buckets = wider;
    }
}

/// The bucket of a positive number in the finest schema.
fn finest_index(value: f64) -> i16 {
    // value = fraction * 2^exponent, with a fraction from 1/2 to 1.
    let value = value.min(f64::MAX);
    let exponent = i16::try_from((value.to_bits() >> 52) & 0x7ff).unwrap_or_default() - 1022;
    let fraction = f64::from_bits((value.to_bits() & ((1 << 52) - 1)) | (1022 << 52));
    // The bound itself belongs to the bucket below.
    let place = if fraction <= 0.5 { 0 } else { 1 + BOUNDS.iter().take_while(|bound| fraction > **bound).count() };
    (exponent - 1) * 8 + i16::try_from(place).unwrap_or_default()
}

/// The bucket that a bucket falls into when each is `2^by` times as wide.
fn coarsened(index: i16, by: u8) -> i16 {
    (index + (1 << by) - 1) >> by
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The upper bound of a bucket.
    fn bound(index: i16, schema: i32) -> f64 {
        (f64::from(index) * 2_f64.powi(-schema)).exp2()
    }

    fn of(values: &[f64]) -> NativeHistogram {
        let mut histogram = NativeHistogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        histogram
    }

    #[test]
    fn a_bucket_ends_with_its_bound() {
        for (value, index) in [
            (1.0, 0),
            (1.000_000_1, 1),
            (1.09, 1),
            (1.091, 2),
            (2.0, 8),
            (2.1, 9),
            (4.0, 16),
            (0.5, -8),
            (0.50001, -7),
            (0.25, -16),
            (f64::MAX, 8192),
            (f64::INFINITY, 8192),
        ] {
            assert_eq!(of(&[value]).buckets(), [(index, 1)], "{value}");
        }
        for nothing in [0.0, -0.0, NativeHistogram::ZERO_THRESHOLD, -1.0, f64::NAN] {
            assert_eq!((of(&[nothing]).zeros(), of(&[nothing]).buckets()), (1, &[][..]), "{nothing}");
        }
    }

    #[test]
    fn more_buckets_than_there_may_be_make_each_wider_and_lose_nothing() {
        let all: Vec<f64> = (-400..400).map(|index| bound(index, 3) * 0.999).collect();
        let histogram = of(&all);
        assert!(histogram.buckets().len() <= NativeHistogram::MOST);
        assert_eq!(histogram.schema(), 0);
        assert_eq!(histogram.buckets().iter().map(|(_, count)| count).sum::<u64>(), 800);
        let mut reversed = all;
        reversed.reverse();
        assert_eq!(of(&reversed), histogram);
    }

    proptest! {
        #[test]
        fn every_value_lies_within_its_bucket(nanos in 1..u64::MAX, count in 1..300_usize) {
            let first = std::time::Duration::from_nanos(nanos).as_secs_f64();
            let values: Vec<f64> = (0..count).map(|n| first * 1.3_f64.powi(i32::try_from(n).unwrap() - 150)).collect();
            let histogram = of(&values);
            let schema = histogram.schema();
            let mut left = values;
            left.sort_by(f64::total_cmp);
            let mut left = left.into_iter();
            for (index, count) in histogram.buckets() {
                for _ in 0..*count {
                    let value = left.next().unwrap();
                    prop_assert!(value <= bound(*index, schema) * (1.0 + 1e-12));
                    prop_assert!(value > bound(*index - 1, schema) * (1.0 - 1e-12));
                }
            }
            prop_assert!(left.next().is_none() && histogram.buckets().len() <= NativeHistogram::MOST);
        }
    }
}
