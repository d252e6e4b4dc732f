//! Numbers of any size, compared exactly: 12.50 is 12.5, and 9007199254740993 is not 9007199254740992.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

/// A number as it is written. Two are equal when they are the same number.
#[derive(Clone)]
pub struct Decimal {
    text: Box<str>,
    // Found once: a comparison reads no more of a long number than of the other one.
    is_negative: bool,
    exponent: i64,
    whole: Range<usize>,
    fraction: Range<usize>,
}

impl Decimal {
    /// Reads `-12.50`, `+3`, `.5` or `1e-7`; nothing where the text is no finite decimal number, and no more.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Digits { is_negative, exponent, whole, fraction } = Digits::of(text)?;
        let (whole, fraction) = (place(text, whole), place(text, fraction));
        Some(Self { text: text.into(), is_negative, exponent, whole, fraction })
    }

    /// How this number compares with the one that `text` is; nothing where it is none.
    #[must_use]
    pub fn compare(&self, text: &str) -> Option<Ordering> {
        Some(self.digits().cmp(&Digits::of(text)?))
    }

    /// The number as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn digits(&self) -> Digits<'_> {
        let part = |place: &Range<usize>| self.text.as_bytes().get(place.clone()).unwrap_or_default();
        Digits {
            is_negative: self.is_negative,
            exponent: self.exponent,
            whole: part(&self.whole),
            fraction: part(&self.fraction),
        }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.digits().cmp(&other.digits()).is_eq()
    }
}

impl Eq for Decimal {}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The digits of a number, no zero at either end: none for zero. It is 0.d₁d₂d₃… × 10^`exponent`.
struct Digits<'t> {
    is_negative: bool,
    exponent: i64,
    whole: &'t [u8],
    fraction: &'t [u8],
}

impl<'t> Digits<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (is_negative, bytes) = match bytes.first()? {
            b'-' => (true, &bytes[1..]),
            b'+' => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let (mantissa, power) = match bytes.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&bytes[..at], power(&bytes[at + 1..])?),
            None => (bytes, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let (mut whole, mut fraction) = (without_zeros_before(whole), without_zeros_behind(fraction));
        let mut exponent = power.saturating_add(length(whole));
        if whole.is_empty() {
            let significant = without_zeros_before(fraction);
            exponent = power.saturating_sub(length(fraction) - length(significant));
            fraction = significant;
        }
        if fraction.is_empty() {
            whole = without_zeros_behind(whole);
        }
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            exponent: if is_zero { i64::MIN } else { exponent },
            whole,
            fraction,
        })
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (is_negative, _) => {
                let size = self.size_cmp(other);
                if is_negative { size.reverse() } else { size }
            }
        }
    }

    fn size_cmp(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (false, false) => {}
            (one, other) => return other.cmp(&one),
        }
        let digits = |number: &Self| -> std::iter::Chain<std::slice::Iter<'t, u8>, std::slice::Iter<'t, u8>> {
            number.whole.iter().chain(number.fraction)
        };
        self.exponent.cmp(&other.exponent).then_with(|| digits(self).cmp(digits(other)))
    }
}

/// The power of ten behind an `e`. A power that is too long for a number counts as the largest or the smallest.
fn power(text: &[u8]) -> Option<i64> {
    const FARTHEST: i64 = i64::MAX / 4;
    let (is_negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |power: i64, digit: &u8| power.saturating_mul(10).saturating_add(i64::from(digit - b'0')).min(FARTHEST);
    let power = digits.iter().fold(0, add);
    Some(if is_negative { -power } else { power })
}

fn without_zeros_before(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..]
}

fn without_zeros_behind(digits: &[u8]) -> &[u8] {
    &digits[..digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)]
}

/// Where `part` stands in `text`, which it is part of.
fn place(text: &str, part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(one: &str, other: &str) -> Ordering {
        Decimal::parse(one).unwrap().compare(other).unwrap()
    }

    #[test]
    fn numbers_compare_as_numbers_however_they_are_written() {
        for (one, other) in [
            ("12.50", "12.5"),
            ("0012.5", "+12.5"),
            ("1e3", "1000"),
            ("1000.0", "1E+3"),
            ("0.001", "1e-3"),
            (".5", "0.50"),
            ("5.", "5"),
            ("-0", "0.000"),
            ("0e999999999999999999999999", "0"),
            ("100e-2", "1"),
        ] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
        let ascending = [
            "-1e99999999999999999999",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-0.01",
            "-1e-99999999999999999999",
            "0",
            "1e-400",
            "0.0999",
            "0.1",
            "9",
            "10",
            "10.0000000000000000000001",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "18446744073709551617",
            "1e300",
            "2e300",
            "1e400",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (other_at, other) in ascending.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "", " 5", "5 ", "-", "+", ".", "e5", "1e", "1e+", "0x10", "1_000", "1,5", "NaN", "inf", "Infinity", "5ms",
            "--5", "1.2.3", "٣",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn floating_point_numbers_compare_as_they_do(one in -1e6f64..1e6, other in -1e6f64..1e6) {
            prop_assert_eq!(compare(&one.to_string(), &other.to_string()), one.partial_cmp(&other).unwrap());
            prop_assert_eq!(compare(&format!("{one:e}"), &one.to_string()), Ordering::Equal);
        }

        #[test]
        fn any_text_is_compared_or_refused(text in "[-+0-9.eE]{0,12}") {
            let number = Decimal::parse(&text);
            if let Some(number) = number {
                prop_assert_eq!(number.compare(&text), Some(Ordering::Equal));
                prop_assert!(text.parse::<f64>().is_ok(), "{}", text);
            }
        }
    }
}
