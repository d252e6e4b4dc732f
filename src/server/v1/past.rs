//! What `?include=history` adds to a check, member by member.

use serde::Serialize;

use crate::base::clock::{Moment, Timestamp};
use crate::base::quantity::show_duration;
use crate::history::answer::{self, Recent};
use crate::history::figures::Times;
use crate::history::ledger::{self, Availability};
use crate::metrics::GateAsks;
use crate::model::plan::{self, Details, Plan};
use crate::model::verdict::Endpoint;
use crate::server::reply::{Number, millis, millis_of};
use crate::server::view::WITHHELD;
use crate::store::PastChange;

/// How it went.
#[derive(Debug, Default, Serialize)]
pub(super) struct HistoryObject {
    /// The last ones, oldest first.
    intervals: Vec<IntervalObject>,
    /// Of the last runs, oldest first; null for one that failed.
    response_times_ms: Vec<Option<Number>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) windows: Option<Vec<WindowObject>>,
}

impl HistoryObject {
    pub(super) fn of(recent: &Recent) -> Self {
        Self {
            intervals: recent.intervals.iter().map(IntervalObject::of).collect(),
            response_times_ms: recent.response_times.iter().map(|time| time.map(millis_of)).collect(),
            windows: None,
        }
    }
}

/// How kubelet asks an endpoint, where it does so regularly.
#[derive(Debug, Serialize)]
pub(super) struct KubeletObject {
    endpoint: &'static str,
    last_asked: Seconds,
    period_ms: u64,
}

impl KubeletObject {
    /// What is known of each endpoint.
    pub(super) fn all(asks: &GateAsks, now: Moment) -> Vec<Self> {
        let known = |endpoint: &Endpoint| {
            let (last_asked, period) = (asks.last_wall(*endpoint)?, asks.period(*endpoint, now)?);
            Some(Self { endpoint: endpoint.label(), last_asked: Seconds(last_asked), period_ms: millis(period) })
        };
        Endpoint::ALL.iter().filter_map(known).collect()
    }
}

/// A change of state, with its reason.
#[derive(Debug, Serialize)]
pub(super) struct TransitionObject {
    at: Seconds,
    from: &'static str,
    to: &'static str,
    lasted_ms: u64,
    message: Box<str>,
}

impl TransitionObject {
    pub(super) fn of(change: &PastChange, details: Details) -> Self {
        Self {
            at: Seconds(change.at),
            from: change.from.label(),
            to: change.to.label(),
            lasted_ms: millis(change.lasted),
            message: if details == Details::Full { (*change.reason).into() } else { WITHHELD.into() },
        }
    }
}

#[derive(Debug, Serialize)]
struct IntervalObject {
    standing: &'static str,
    date_started: Seconds,
    date_ended: Option<Seconds>,
}

impl IntervalObject {
    fn of(interval: &ledger::Interval) -> Self {
        let standing = interval.availability.label();
        Self { standing, date_started: Seconds(interval.from), date_ended: interval.to.map(Seconds) }
    }
}

/// Unix seconds to the millisecond: intervals may be shorter than a second.
#[derive(Debug)]
struct Seconds(Timestamp);

impl Serialize for Seconds {
    #[allow(clippy::cast_precision_loss)] // milliseconds of a few centuries have 53 bits
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.unix_micros() / 1000) as f64 / 1e3)
    }
}

/// The time up to now, in sum and in slices.
#[derive(Debug, Serialize)]
pub(super) struct WindowObject {
    name: &'static str,
    date_started: i64,
    date_ended: i64,
    uptime_percent: Option<Number>,
    coverage_percent: Option<Number>,
    run_count: usize,
    average_ms: Option<Number>,
    p50_ms: Option<Number>,
    p90_ms: Option<Number>,
    p99_ms: Option<Number>,
    /// Seconds up, degraded, down and unknown in each.
    slices: Vec<[Number; 4]>,
}

impl WindowObject {
    pub(super) fn of(name: &'static str, span: &answer::Span) -> Self {
        let (window, times) = (&span.window, &span.window.response_times);
        Self {
            name,
            date_started: window.from.whole_seconds(),
            date_ended: window.to.whole_seconds(),
            uptime_percent: window.uptime_percent().map(Number::percent),
            coverage_percent: window.coverage_percent().map(Number::percent),
            run_count: times.count,
            average_ms: times.average.map(millis_of),
            p50_ms: times.p50.map(millis_of),
            p90_ms: times.p90.map(millis_of),
            p99_ms: times.p99.map(millis_of),
            slices: span.slices.iter().map(seconds).collect(),
        }
    }
}

fn seconds(times: &Times) -> [Number; 4] {
    Availability::ALL.map(|availability| Number::to_the_thousandth(times.of(availability).as_secs_f64()))
}

/// A check as it is declared, every default filled in; what may hold a secret is not part of it.
#[derive(Debug, Serialize)]
pub(super) struct DefinitionObject {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<String>,
    interval: String,
    interval_ms: u64,
    timeout: String,
    initial_delay: String,
    failure_threshold: u32,
    success_threshold: u32,
    critical: &'static str,
    gates: Vec<&'static str>,
    depends_on: Vec<String>,
    degraded_above: Option<String>,
    stale_after: String,
    formerly: Option<String>,
}

impl DefinitionObject {
    pub(super) fn of(plan: &Plan, check: &plan::Definition) -> Self {
        let full = plan.answers.details == Details::Full;
        let parents = check.depends_on.iter().map(|parent| plan.checks[*parent].name.as_str().to_owned());
        Self {
            kind: check.kind,
            description: check.description.clone().filter(|_| full),
            runbook: check.runbook.clone().filter(|_| full),
            interval: show_duration(check.interval),
            interval_ms: millis(check.interval),
            timeout: show_duration(check.timeout),
            initial_delay: show_duration(check.initial_delay),
            failure_threshold: check.thresholds.failure.get(),
            success_threshold: check.thresholds.success.get(),
            critical: check.critical.label(),
            gates: check.gates.names(),
            depends_on: parents.collect(),
            degraded_above: check.degraded_above.map(show_duration),
            stale_after: show_duration(check.stale_after),
            formerly: check.formerly.as_ref().map(|name| name.as_str().to_owned()),
        }
    }
}
