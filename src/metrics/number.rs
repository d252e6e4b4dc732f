//! Numbers as the text formats write them, without the formatter of the standard library where they are whole.

use std::io::Write;

use crate::base::clock::Timestamp;

/// A value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Any number.
    Real(f64),
    /// A count, as most are.
    Count(u64),
    /// A point in time, in seconds since 1970.
    Time(Timestamp),
}

/// Beyond it not every whole number is a float: a count is rounded to one, as every reader would.
const EXACT: u64 = 1 << 53;
/// Before it every microsecond since 1970 is the shortest text of its float.
const EXACT_MICROS: u64 = 4_000_000_000_000_000;

impl Number {
    /// It as a float.
    #[allow(clippy::cast_precision_loss)] // as every reader would
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Real(value) => value,
            Self::Count(count) => count as f64,
            Self::Time(time) => time.unix_seconds(),
        }
    }

    /// Adds the shortest text that is this number.
    pub(super) fn write(self, text: &mut Vec<u8>) {
        match self {
            Self::Count(count) if count <= EXACT => whole(text, count),
            Self::Time(time) if time.unix_micros().unsigned_abs() < EXACT_MICROS => seconds(text, time.unix_micros()),
            Self::Count(_) | Self::Time(_) | Self::Real(_) => real(text, self.as_f64()),
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole, positive and below 2^53
fn real(text: &mut Vec<u8>, value: f64) {
    let is_small = value.is_sign_positive() && value <= 9_007_199_254_740_992.0;
    if is_small && value.fract() == 0.0 {
        whole(text, value as u64);
    } else {
        write!(text, "{value}").expect("a Vec takes every byte");
    }
}

fn whole(text: &mut Vec<u8>, mut count: u64) {
    if count < 10 {
        text.push(digit(count));
        return;
    }
    let mut digits = [0; 20];
    let mut first = digits.len();
    while count > 0 {
        first -= 1;
        digits[first] = digit(count % 10);
        count /= 10;
    }
    text.extend_from_slice(&digits[first..]);
}

fn seconds(text: &mut Vec<u8>, micros: i64) {
    if micros < 0 {
        text.push(b'-');
    }
    let micros = micros.unsigned_abs();
    whole(text, micros / 1_000_000);
    let mut fraction = micros % 1_000_000;
    if fraction == 0 {
        return;
    }
    text.push(b'.');
    let mut unit = 100_000;
    while fraction > 0 {
        text.push(digit(fraction / unit));
        fraction %= unit;
        unit /= 10;
    }
}

#[allow(clippy::cast_possible_truncation)] // below ten
const fn digit(value: u64) -> u8 {
    b'0' + value as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: Number) -> String {
        let mut text = Vec::new();
        number.write(&mut text);
        String::from_utf8(text).unwrap()
    }

    fn assert_shortest(number: Number) {
        assert_eq!(written(number), number.as_f64().to_string(), "{number:?}");
    }

    #[test]
    fn numbers_at_the_edges_are_the_shortest_text_of_their_float() {
        for count in [0, 9, 10, 99, 100, EXACT - 1, EXACT, EXACT + 1, u64::MAX] {
            assert_shortest(Number::Count(count));
        }
        for value in [0.0, -0.0, 1.0, -1.0, 0.1, 1e15, 9_007_199_254_740_993.0, 1e300, 5e-324, f64::INFINITY, f64::NAN]
        {
            assert_shortest(Number::Real(value));
        }
        let edge = EXACT_MICROS.cast_signed();
        for micros in [0, 1, -1, 10, 999_999, 1_000_000, -1_500_000, edge - 1, edge, edge + 1, i64::MIN, i64::MAX] {
            assert_shortest(Number::Time(Timestamp::from_unix_micros(micros)));
        }
    }

    proptest! {
        #[test]
        fn every_number_is_the_shortest_text_of_its_float(count: u64, value: f64, micros in 0..EXACT_MICROS.cast_signed()) {
            for number in [Number::Count(count), Number::Count(count % 100_000), Number::Real(value)] {
                assert_shortest(number);
            }
            assert_shortest(Number::Real(f64::from(value as i32)));
            assert_shortest(Number::Time(Timestamp::from_unix_micros(micros)));
            assert_shortest(Number::Time(Timestamp::from_unix_micros(-micros)));
        }
    }
}
