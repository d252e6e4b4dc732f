//! Durations on the command line.

use std::time::Duration;

use crate::base::quantity::parse_duration;

/// A duration as it is written in the configuration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let positive = text.trim().strip_prefix('-').map(str::trim_start);
    if let Some(positive) = positive.filter(|positive| parse_duration(positive).is_ok()) {
        return Err(format!("a duration is never negative: did you mean `{positive}`?"));
    }
    parse_duration(text).map_err(|error| match error.suggestion {
        Some(suggestion) => format!("{}: did you mean `{suggestion}`?", error.message),
        None => format!("{}: write it as `800ms`, `30s` or `2m`", error.message),
    })
}
