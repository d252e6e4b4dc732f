//! Numbers as people write them: 100, not 100.0, and no more places than mean something.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// A number that is not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::server) struct Number(f64);

impl Number {
    /// Rounded to three places.
    pub(in crate::server) fn to_the_thousandth(number: f64) -> Self {
        Self((number * 1e3).round() / 1e3)
    }

    /// Rounded to four places, but never to 0 or 100 what is neither.
    pub(in crate::server) fn percent(number: f64) -> Self {
        let rounded = (number * 1e4).round() / 1e4;
        Self(match number {
            _ if number > 0.0 && number < 100.0 => rounded.clamp(0.0001, 99.9999),
            _ => rounded,
        })
    }
}

/// A duration in milliseconds, to the microsecond.
#[allow(clippy::cast_precision_loss)] // 53 bits of microseconds are 285 years
pub(in crate::server) fn millis_of(duration: Duration) -> Number {
    Number(duration.as_micros() as f64 / 1e3)
}

impl Serialize for Number {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole, and within the range
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && (0.0..1e15).contains(&self.0) {
            serializer.serialize_u64(self.0 as u64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: Number) -> String {
        serde_json::to_string(&number).unwrap()
    }

    #[test]
    fn whole_numbers_have_no_point() {
        assert_eq!(shown(Number::percent(100.0)), "100");
        assert_eq!(shown(Number::percent(0.0)), "0");
        assert_eq!(shown(Number::to_the_thousandth(54.5)), "54.5");
        assert_eq!(shown(millis_of(Duration::from_millis(12))), "12");
        assert_eq!(shown(millis_of(Duration::from_nanos(1_234_567))), "1.234");
    }

    #[test]
    fn a_percentage_is_all_or_nothing_only_when_it_is() {
        assert_eq!(shown(Number::percent(99.999_999)), "99.9999");
        assert_eq!(shown(Number::percent(0.000_001)), "0.0001");
        assert_eq!(shown(Number::percent(200.0 / 3.0)), "66.6667");
    }
}
