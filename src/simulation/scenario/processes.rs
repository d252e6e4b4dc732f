//! What the script does to the processes of the app and of the sidecar.

use std::time::Duration;

use super::{too_late, within};
use crate::base::quantity::show_duration;
use crate::base::value::{Section, Value};

/// What happens to processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessEvents {
    /// When the app exits by itself.
    pub exits: Vec<Duration>,
    /// How long the app takes from the start of its container until it serves, when it starts again.
    pub starts_in: Duration,
    /// The same for its first start.
    pub first_start: Duration,
    /// When the sidecar is frozen, from and to; one that is restarted meanwhile is not.
    pub frozen: Vec<(Duration, Duration)>,
    /// When the sidecar is killed.
    pub killed: Vec<Duration>,
}

impl ProcessEvents {
    /// Whether anything happens to the sidecar.
    #[must_use]
    pub fn strikes_sidecar(&self) -> bool {
        !self.frozen.is_empty() || !self.killed.is_empty()
    }

    /// Whether nothing happens.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        *self == Self::default()
    }

    /// What happens within `length`, in order.
    #[must_use]
    pub fn process_faults(&self, length: Duration) -> Vec<(Duration, ProcessFault)> {
        let exits = self.exits.iter().map(|at| (*at, ProcessFault::AppExits));
        let killed = self.killed.iter().map(|at| (*at, ProcessFault::Killed));
        let frozen =
            self.frozen.iter().flat_map(|(from, to)| [(*from, ProcessFault::Freezes), (*to, ProcessFault::Thaws)]);
        let mut process_faults: Vec<_> = exits.chain(killed).chain(frozen).filter(|(at, _)| *at < length).collect();
        process_faults.sort_by_key(|(at, _)| *at);
        process_faults
    }
}

/// What the script does to the process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessFault {
    /// The app exits.
    AppExits,
    /// The sidecar is killed.
    Killed,
    /// The sidecar is frozen.
    Freezes,
    /// It goes on.
    Thaws,
}

pub(super) fn process_events(fields: &Section, length: Duration) -> ProcessEvents {
    let app = fields.section("app");
    let takes = |key| app.and_then(|app| app.duration(key)).unwrap_or_default();
    let sidecar = fields.section("sidecar");
    ProcessEvents {
        exits: app.map(|app| moments(app, "exits", "the app exits", length)).unwrap_or_default(),
        starts_in: takes("starts_in"),
        first_start: takes("first_start"),
        frozen: sidecar.map(|sidecar| spans(sidecar, length)).unwrap_or_default(),
        killed: sidecar.map(|sidecar| moments(sidecar, "killed", "the sidecar is killed", length)).unwrap_or_default(),
    }
}

/// The points in time at `key`, in order.
fn moments(fields: &Section, key: &str, what: &str, length: Duration) -> Vec<Duration> {
    let mut moments = Vec::new();
    for located in fields.list(key) {
        let Value::Duration(at) = located.value else { continue };
        if at >= length {
            fields.report_at(&located.span, "invalid-value", too_late(what, at), Some(within(length)));
        }
        moments.push(at);
    }
    moments.sort_unstable();
    moments
}

/// The spans at `frozen`, in order and apart.
fn spans(fields: &Section, length: Duration) -> Vec<(Duration, Duration)> {
    let mut spans: Vec<(Duration, Duration)> = Vec::new();
    for located in fields.list("frozen") {
        let (from, to) = match located.value {
            Value::DurationRange(from, to) => (from, to),
            Value::Duration(only) => (only, only),
            _ => continue,
        };
        let report = |message: String, help: String| {
            fields.report_at(&located.span, "invalid-value", message, Some(help));
        };
        if from == to {
            let (at, later) = (show_duration(from), show_duration(from + Duration::from_secs(30)));
            report("a freeze has a beginning and an end".into(), format!("write both, such as `{at}..{later}`"));
        } else if from >= length {
            report(too_late("the sidecar is frozen", from), within(length));
        } else if spans.iter().any(|(other_from, other_to)| from < *other_to && *other_from < to) {
            report("two freezes overlap".into(), "write one that covers both".into());
        }
        spans.push((from, to));
    }
    spans.sort_unstable();
    spans
}
