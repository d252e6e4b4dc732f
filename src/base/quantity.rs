//! Durations, sizes and shares: how they are written in the file and how they are shown to people.

use std::time::Duration;

/// Why a text is not the quantity that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityError {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to write instead, when it can be guessed.
    pub suggestion: Option<String>,
}

impl QuantityError {
    /// Corrects the suggestion by its own, as long as it cannot be read as well; drops it where that leads nowhere.
    fn suggesting_what_reads<T>(mut self, read: impl Fn(&str) -> Result<T, Self>) -> Self {
        const MOST_WRONG_UNITS: usize = 4;
        for _ in 0..MOST_WRONG_UNITS {
            match self.suggestion.as_deref().map(&read) {
                None | Some(Ok(_)) => return self,
                Some(Err(again)) => self.suggestion = again.suggestion,
            }
        }
        self.suggestion = None;
        self
    }
}

fn error(message: impl Into<String>, suggestion: Option<String>) -> QuantityError {
    QuantityError { message: message.into(), suggestion }
}

const DURATION_UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads a duration such as `250ms`, `10s`, `1m30s`, `1.5h` or `14d`; the longest is 1000 years.
///
/// # Errors
/// Says what is missing or unknown; a bare number gets the suggestion with `s`.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    read_duration(text).map_err(|error| error.suggesting_what_reads(read_duration))
}

fn read_duration(text: &str) -> Result<Duration, QuantityError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(error("the duration is empty", None));
    }
    if trimmed.parse::<f64>().is_ok_and(|number| number >= 0.0 && number.is_finite()) {
        return Err(error("a duration needs a unit", Some(format!("{trimmed}s"))));
    }
    let mut total = 0f64;
    let mut rest = trimmed;
    while !rest.is_empty() {
        let (number, unit, tail) = number_and_unit(rest);
        let Ok(number) = number.parse::<f64>() else {
            return Err(error("not a duration", None));
        };
        let Some((_, millis)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
            let near = nearest(&unit.to_lowercase(), DURATION_UNITS.iter().map(|(name, _)| *name), &DURATION_WORDS);
            let message = if unit.is_empty() {
                "a duration needs a unit".into()
            } else {
                format!("`{unit}` is not a unit of time")
            };
            return Err(error(message, near.map(|unit| trimmed.replacen(rest, &format!("{number}{unit}{tail}"), 1))));
        };
        #[allow(clippy::cast_precision_loss)] // the largest unit is far below 2^53
        {
            total += number * *millis as f64;
        }
        rest = tail.trim_start();
    }
    let limit = 1000.0 * 365.25 * 86_400_000.0;
    if total > limit {
        return Err(error("the duration is longer than 1000 years", None));
    }
    Ok(Duration::from_secs_f64(total / 1000.0))
}

const DURATION_WORDS: [(&str, &str); 14] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("msec", "ms"),
    ("millis", "ms"),
];

const SIZE_UNITS: [(&str, u64); 11] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const SIZE_WORDS: [(&str, &str); 8] = [
    ("k", "KiB"),
    ("ki", "KiB"),
    ("m", "MiB"),
    ("mi", "MiB"),
    ("g", "GiB"),
    ("gi", "GiB"),
    ("t", "TiB"),
    ("ti", "TiB"),
];

/// Reads a size such as `64KiB`, `5GiB` or `500MB`, in bytes.
///
/// # Errors
/// Says what is missing or unknown, with the unit that was probably meant.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    read_size(text).map_err(|error| error.suggesting_what_reads(read_size))
}

fn read_size(text: &str) -> Result<u64, QuantityError> {
    let trimmed = text.trim();
    let (number, unit, tail) = number_and_unit(trimmed);
    let Ok(amount) = number.parse::<f64>() else {
        return Err(error("not a size", None));
    };
    if unit.is_empty() && tail.is_empty() {
        return Err(error("a size needs a unit", Some(format!("{trimmed}MiB"))));
    }
    let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).filter(|_| tail.is_empty()) else {
        let near = nearest(&unit.to_lowercase(), SIZE_UNITS.iter().map(|(name, _)| *name), &SIZE_WORDS);
        return Err(error(
            format!("`{}` is not a unit of size", &trimmed[number.len()..].trim()),
            near.map(|unit| format!("{number}{unit}")),
        ));
    };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked below
    {
        let total = amount * *bytes as f64;
        if total > (1u64 << 53) as f64 {
            return Err(error("the size is larger than 8 PiB", None));
        }
        Ok(total as u64)
    }
}

/// Reads a share such as `10%`, as a number from 0 to 1.
///
/// # Errors
/// Says what is wrong; a bare number gets the suggestion with `%`.
pub fn parse_share(text: &str) -> Result<f64, QuantityError> {
    read_share(text).map_err(|error| error.suggesting_what_reads(read_share))
}

fn read_share(text: &str) -> Result<f64, QuantityError> {
    let trimmed = text.trim();
    let Some(number) = trimmed.strip_suffix('%') else {
        let suggestion = trimmed.parse::<f64>().is_ok().then(|| format!("{trimmed}%"));
        return Err(error("a share needs a percent sign", suggestion));
    };
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        Ok(_) => Err(error("a share is from 0% to 100%", None)),
        Err(_) => Err(error("not a share", None)),
    }
}

/// Splits `1.5h rest` into `1.5`, `h` and ` rest`.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let number_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let after_number = text[number_end..].trim_start();
    let unit_end = after_number.find(|c: char| !c.is_alphabetic()).unwrap_or(after_number.len());
    (&text[..number_end], &after_number[..unit_end], &after_number[unit_end..])
}

fn nearest<'a>(lower: &str, mut units: impl Iterator<Item = &'a str>, words: &[(&str, &'a str)]) -> Option<&'a str> {
    let word = words.iter().find(|(word, _)| *word == lower).map(|(_, unit)| *unit);
    word.or_else(|| units.find(|unit| unit.to_lowercase() == lower))
}

/// A duration for people, with two units at most: `812ms`, `47s`, `1m30s`, `2h`, `14d`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = duration.as_secs();
    if seconds < 10 && !millis.is_multiple_of(1_000) {
        let tenths = millis / 100;
        return if tenths.is_multiple_of(10) {
            format!("{}s", tenths / 10)
        } else {
            format!("{}.{}s", tenths / 10, tenths % 10)
        };
    }
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(3);
    let (unit, size) = units[first];
    let rest = seconds % size;
    let mut shown = format!("{}{unit}", seconds / size);
    if let Some((unit, size)) = units.get(first + 1)
        && rest / size > 0
    {
        shown.push_str(&format!("{}{unit}", rest / size));
    }
    shown
}

/// A size for people, in powers of 1024: `512 B`, `12.3 GiB`.
#[must_use]
#[allow(clippy::cast_precision_loss)] // shown with one decimal
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_in_sums() {
        let cases = [
            ("250ms", 250),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("14d", 1_209_600_000),
            ("0s", 0),
            ("1h 5m", 3_900_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn a_wrong_duration_says_what_to_write() {
        let cases = [
            ("5", "a duration needs a unit", Some("5s")),
            ("0", "a duration needs a unit", Some("0s")),
            ("1m30", "a duration needs a unit", None),
            ("10sec", "`sec` is not a unit of time", Some("10s")),
            ("5M", "`M` is not a unit of time", Some("5m")),
            ("5parsec", "`parsec` is not a unit of time", None),
            ("1min 30sec", "`min` is not a unit of time", Some("1m 30s")),
            ("10sec!", "`sec` is not a unit of time", None),
            ("1e3", "a duration needs a unit", None),
            ("fast", "not a duration", None),
            ("-5s", "not a duration", None),
            ("", "the duration is empty", None),
            ("999999999999999999999d", "the duration is longer than 1000 years", None),
        ];
        for (text, message, suggestion) in cases {
            let error = parse_duration(text).unwrap_err();
            assert_eq!((error.message.as_str(), error.suggestion.as_deref()), (message, suggestion), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024_and_of_1000() {
        for (text, bytes) in
            [("64KiB", 65_536), ("5GiB", 5 << 30), ("500MB", 500_000_000), ("0B", 0), ("1.5MiB", 1_572_864)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        let cases = [
            ("64", "a size needs a unit", Some("64MiB")),
            ("64k", "`k` is not a unit of size", Some("64KiB")),
            ("5gib", "`gib` is not a unit of size", Some("5GiB")),
            ("5 of them", "`of them` is not a unit of size", None),
            ("big", "not a size", None),
        ];
        for (text, message, suggestion) in cases {
            let error = parse_size(text).unwrap_err();
            assert_eq!((error.message.as_str(), error.suggestion.as_deref()), (message, suggestion), "{text}");
        }
    }

    #[test]
    fn shares_are_percentages() {
        assert!((parse_share("10%").unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(parse_share("10").unwrap_err().suggestion.as_deref(), Some("10%"));
        assert_eq!(parse_share("200").unwrap_err().suggestion, None);
        assert_eq!(parse_share("101%").unwrap_err().message, "a share is from 0% to 100%");
        assert_eq!(parse_share("NaN%").unwrap_err().message, "a share is from 0% to 100%");
    }

    #[test]
    fn quantities_are_shown_the_way_people_write_them() {
        let cases = [
            (0, "0ms"),
            (812, "812ms"),
            (1_000, "1s"),
            (1_240, "1.2s"),
            (2_040, "2s"),
            (47_900, "47s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (90_061_000, "1d1h"),
            (1_209_600_000, "14d"),
        ];
        for (millis, shown) in cases {
            assert_eq!(show_duration(Duration::from_millis(millis)), shown);
        }
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (13_207_024_435, "12.3 GiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(show_size(bytes), shown);
        }
    }
}
