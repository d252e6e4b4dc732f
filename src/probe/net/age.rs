//! How long one connection serves successive runs: the key `max_connection_age`, and what holds without it.

use std::time::Duration;

use crate::base::field::{Field, ValueType};
use crate::base::value::Section;

/// The key `max_connection_age` of the kinds that keep a connection between runs.
pub const MAX_CONNECTION_AGE: Field = Field::optional(
    "max_connection_age",
    ValueType::Duration { min: Duration::ZERO },
    "How long one connection serves successive runs; `0s` is a fresh one for every run. What only new connections see \
     (a full accept queue, no connection left, a changed password, an address that moved) is seen within this time and \
     a run. Default: `0s` where the target is on this pod or the check gates `live` or `startup`; else `1m`.",
);

/// Long enough that a fleet of sidecars is no burden on what it shares, short enough for an outage.
const SHARED: Duration = Duration::from_secs(60);

/// The age of a declared target, before and after it is known where the target is and what the check gates.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionAge {
    written: Option<Duration>,
    default: Duration,
}

impl ConnectionAge {
    /// The age as it is written in the section, or that of a target elsewhere.
    #[must_use]
    pub fn read(fields: &Section) -> Self {
        Self { written: fields.duration(MAX_CONNECTION_AGE.name), default: SHARED }
    }

    /// Every run is to have a connection of its own, unless the file says otherwise.
    pub const fn prefer_fresh(&mut self) {
        self.default = Duration::ZERO;
    }

    /// What holds.
    #[must_use]
    pub fn effective(self) -> Duration {
        self.written.unwrap_or(self.default)
    }
}
