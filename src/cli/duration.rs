//! Durations on the command line.

use std::time::Duration;

use crate::base::quantity::parse_duration;

/// A duration as it is written in the configuration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| match error.suggestion {
        Some(suggestion) => format!("{}: did you mean `{suggestion}`?", error.message),
        None => format!("{}: write it as `800ms`, `30s` or `2m`", error.message),
    })
}
