//! Where the values of every metric come from: a line for each, in the order of the catalogue.

use std::cell::OnceCell;
use std::sync::Arc;

use super::catalog::{self, Metric, MetricKind};
use super::daemon::{DaemonMetrics, REQUEST_BUCKETS};
use super::hooks::OUTCOMES;
use super::labels::{BucketCounts, Buckets, LabelTail};
use super::process::{ProcessFigures, ProcessStat};
use super::samples::{Encoder, Samples};
use crate::model::durations::DurationBuckets;
use crate::model::index::CheckIndex;
use crate::model::outcome::FailureKind;
use crate::model::plan::{Gates, MetricsLevel};
use crate::model::state::{CheckState, LastRun, OutcomeKind, State};
use crate::model::verdict::{Endpoint, Judged, JudgedState, Verdict};

/// What is told, and what is found once for all families.
pub(super) struct Scene<'a> {
    /// The snapshot.
    pub(super) judged: &'a Judged<'a>,
    daemon_metrics: &'a DaemonMetrics,
    /// Whether to tell at most a dozen series of each check.
    is_lean: bool,
    /// Whether the format has native histograms, and they are kept.
    is_native: bool,
    root_causes: Vec<CheckIndex>,
    endpoints: [OnceCell<(bool, Verdict)>; Endpoint::ALL.len()],
    process: ProcessFigures,
    duration_buckets: Arc<DurationBuckets>,
    durations: Buckets,
    requests: Buckets,
    states: [LabelTail; JudgedState::ALL.len()],
    outcomes: [LabelTail; OutcomeKind::ALL.len()],
    void: LabelTail,
    reasons: [LabelTail; FailureKind::ALL.len()],
    transitions: [LabelTail; State::ALL.len()],
}

impl<'a> Scene<'a> {
    /// What `judged` and `daemon_metrics` say, for `encoder`.
    pub(super) fn new(judged: &'a Judged<'a>, daemon_metrics: &'a DaemonMetrics, encoder: &Encoder) -> Self {
        let plan = &judged.snapshot.plan;
        // They are the same for all checks.
        let first = plan.checks.first().map(|check| Arc::clone(&check.duration_buckets));
        let duration_buckets = first.unwrap_or_else(DurationBuckets::usual);
        Self {
            judged,
            daemon_metrics,
            is_lean: plan.answers.metrics == MetricsLevel::Lean,
            is_native: duration_buckets.native && matches!(encoder, Encoder::Messages(_)),
            root_causes: judged.root_causes(),
            endpoints: Default::default(),
            process: daemon_metrics.process(judged.now),
            durations: encoder.buckets(&duration_buckets.bounds),
            duration_buckets,
            requests: encoder.buckets(&REQUEST_BUCKETS),
            states: JudgedState::ALL.map(|state| encoder.tail("state", state.label())),
            outcomes: OutcomeKind::ALL.map(|outcome| encoder.tail("outcome", outcome.label())),
            void: encoder.tail("outcome", "void"),
            reasons: FailureKind::ALL.map(|reason| encoder.tail("reason", reason.label())),
            transitions: State::ALL.map(|state| encoder.tail("to", state.label())),
        }
    }

    /// Whether the endpoint is open, and its verdict.
    fn endpoint(&self, endpoint: Endpoint) -> (bool, Verdict) {
        *self.endpoints[endpoint as usize].get_or_init(|| {
            let judgement = self.judged.endpoint(endpoint);
            (judgement.open, judgement.verdict)
        })
    }

    fn check(&self, check: CheckIndex) -> &'a CheckState {
        self.judged.check(check)
    }

    fn last(&self, check: CheckIndex) -> Option<&'a LastRun> {
        self.check(check).last.as_deref()
    }

    fn stat(&self) -> Option<ProcessStat> {
        self.process.stat
    }
}

/// A metric, and where its values come from.
pub(super) struct Family {
    metric: Metric,
    /// Whether lean metrics have it.
    is_lean: bool,
    /// Its values.
    pub(super) source: Source,
}

/// Where values come from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// From each check.
    Checks(fn(&Scene<'_>, CheckIndex, &mut Samples<'_>)),
    /// From each endpoint, which is judged by all checks.
    Endpoints(fn(&Scene<'_>, Endpoint, &mut Samples<'_>)),
    /// From the daemon.
    Daemon(fn(&Scene<'_>, &mut Samples<'_>)),
}

impl Family {
    /// The metric as it is told; nothing where it is not.
    pub(super) fn metric(&self, scene: &Scene<'_>) -> Option<&Metric> {
        /// A histogram has buckets; without them its sum and count are a summary.
        static LEAN_DURATION: Metric = Metric { kind: MetricKind::Summary, ..catalog::DURATION };
        match (scene.is_lean, self.is_lean) {
            (true, false) => None,
            (true, true) if self.metric.name == LEAN_DURATION.name && !scene.is_native => Some(&LEAN_DURATION),
            _ => Some(&self.metric),
        }
    }
}

const fn of_checks(metric: Metric, tell: fn(&Scene<'_>, CheckIndex, &mut Samples<'_>)) -> Family {
    Family { metric, is_lean: true, source: Source::Checks(tell) }
}

const fn unless_lean(metric: Metric, tell: fn(&Scene<'_>, CheckIndex, &mut Samples<'_>)) -> Family {
    Family { metric, is_lean: false, source: Source::Checks(tell) }
}

const fn of_endpoints(metric: Metric, tell: fn(&Scene<'_>, Endpoint, &mut Samples<'_>)) -> Family {
    Family { metric, is_lean: true, source: Source::Endpoints(tell) }
}

const fn of_daemon(metric: Metric, tell: fn(&Scene<'_>, &mut Samples<'_>)) -> Family {
    Family { metric, is_lean: true, source: Source::Daemon(tell) }
}

/// All of them.
pub(super) static FAMILIES: &[Family] = &[
    of_checks(catalog::STATUS, |scene, check, out| out.flag(&[], scene.judged.status(check) != Verdict::Error)),
    of_checks(catalog::STATE, |scene, check, out| {
        let present = scene.judged.state(check);
        for (state, tail) in JudgedState::ALL.into_iter().zip(&scene.states) {
            let is_in = state == present;
            if is_in || !scene.is_lean {
                out.tailed(tail, is_in.into());
            }
        }
    }),
    of_checks(catalog::INFO, |scene, check, out| {
        let definition = scene.judged.definition(check);
        let runbook = definition.runbook.as_deref().unwrap_or_default();
        let values = [definition.kind, definition.critical.label(), gates(definition.gates), runbook];
        out.one_with(&values, &scene.judged.snapshot.plan.service.labels);
    }),
    of_daemon(catalog::DISABLED, |scene, out| {
        for check in &scene.judged.snapshot.plan.disabled {
            out.flag(&[check.name.as_str(), check.kind], true);
        }
    }),
    unless_lean(catalog::INTERVAL, |scene, check, out| {
        out.number(scene.judged.definition(check).interval.as_secs_f64());
    }),
    unless_lean(catalog::TIMEOUT, |scene, check, out| {
        out.number(scene.judged.definition(check).timeout.as_secs_f64());
    }),
    of_checks(catalog::DURATION, |scene, check, out| {
        let durations = scene.check(check).counters.durations.counted_in(&scene.duration_buckets);
        let counts = BucketCounts { buckets: &durations.counts, sum: durations.sum };
        if scene.is_lean && !scene.is_native {
            out.summary(counts);
        } else {
            out.histogram(&[], &scene.durations, counts, durations.native.as_deref());
        }
    }),
    of_checks(catalog::RUNS, |scene, check, out| {
        let counters = &scene.check(check).counters;
        // Passes and failures come first.
        let told = if scene.is_lean { 2 } else { OutcomeKind::ALL.len() };
        for (tail, count) in scene.outcomes.iter().zip(counters.runs).take(told) {
            out.tailed(tail, count);
        }
        if !scene.is_lean {
            out.tailed(&scene.void, counters.voids);
        }
    }),
    unless_lean(catalog::FAILURES, |scene, check, out| {
        for (tail, count) in scene.reasons.iter().zip(scene.check(check).counters.reasons) {
            out.tailed(tail, count);
        }
    }),
    unless_lean(catalog::CONSECUTIVE_FAILURES, |scene, check, out| {
        out.count(Some(u64::from(scene.check(check).failures)));
    }),
    unless_lean(catalog::TRANSITIONS, |scene, check, out| {
        for (tail, count) in scene.transitions.iter().zip(scene.check(check).counters.transitions) {
            out.tailed(tail, count);
        }
    }),
    unless_lean(catalog::LAST_RUN, |scene, check, out| out.time(&[], scene.check(check).counters.last_run)),
    of_checks(catalog::LAST_SUCCESS, |scene, check, out| out.time(&[], scene.check(check).counters.last_success)),
    of_checks(catalog::ROOT_CAUSE, |scene, check, out| {
        out.flag(&[], scene.root_causes.binary_search(&check).is_ok());
    }),
    unless_lean(catalog::WAITS_FOR, |scene, check, out| {
        if scene.judged.state(check) == JudgedState::Fresh(State::Skipped) {
            for cause in scene.judged.causes_of(check) {
                out.flag(&[scene.judged.definition(cause).name.as_str()], true);
            }
        }
    }),
    unless_lean(catalog::STEP_STATUS, |scene, check, out| {
        let steps = scene.last(check).into_iter().flat_map(|last| &last.facts.steps);
        for step in steps.filter(|step| step.state != State::Skipped) {
            out.flag(&[&step.name], step.state.is_up());
        }
    }),
    of_checks(catalog::TLS_NOT_AFTER, |scene, check, out| out.time(&[], scene.check(check).counters.tls_not_after)),
    of_checks(catalog::DISK_FREE, |scene, check, out| {
        out.count(scene.last(check).and_then(|last| last.facts.disk).map(|disk| disk.free));
    }),
    of_checks(catalog::DISK_SIZE, |scene, check, out| {
        out.count(scene.last(check).and_then(|last| last.facts.disk).map(|disk| disk.size));
    }),
    of_checks(catalog::QUEUE_MESSAGES, |scene, check, out| {
        out.count(scene.last(check).and_then(|last| last.facts.queue.as_deref()).map(|queue| queue.messages.into()));
    }),
    of_checks(catalog::QUEUE_CONSUMERS, |scene, check, out| {
        out.count(scene.last(check).and_then(|last| last.facts.queue.as_deref()).map(|queue| queue.consumers.into()));
    }),
    of_endpoints(catalog::ENDPOINT_OPEN, |scene, endpoint, out| {
        out.flag(&[endpoint.label()], scene.endpoint(endpoint).0);
    }),
    of_daemon(catalog::ENDPOINT_TRANSITIONS, |scene, out| {
        for (endpoint, count) in Endpoint::ALL.into_iter().zip(scene.judged.snapshot.endpoint_transitions) {
            out.counter(&[endpoint.label(), "open"], count.open);
            out.counter(&[endpoint.label(), "closed"], count.closed);
        }
    }),
    of_daemon(catalog::APPLICATION, |scene, out| {
        out.count(Some(match scene.endpoint(Endpoint::Healthz).1 {
            Verdict::Error => 0,
            Verdict::Degraded => 1,
            Verdict::Ok => 2,
        }));
    }),
    of_daemon(catalog::DRAINING, |scene, out| out.flag(&[], scene.judged.snapshot.draining)),
    of_daemon(catalog::LAST_ASKED, |scene, out| {
        for endpoint in Endpoint::ALL {
            out.time(&[endpoint.label()], scene.daemon_metrics.asks.last_wall(endpoint));
        }
    }),
    of_daemon(catalog::REQUESTS, |scene, out| {
        for requests in scene.daemon_metrics.requests() {
            let counts = BucketCounts { buckets: &requests.buckets, sum: requests.sum };
            out.histogram(&[requests.route.pattern(), requests.code], &scene.requests, counts, None);
        }
    }),
    of_daemon(catalog::LAG, |scene, out| out.number(scene.daemon_metrics.lag.overdue(scene.judged.now).as_secs_f64())),
    of_daemon(catalog::WORST_LAG, |scene, out| {
        out.number(scene.daemon_metrics.lag.worst(scene.judged.now).as_secs_f64());
    }),
    of_daemon(catalog::VOID_RUNS, |scene, out| out.counter(&[], scene.daemon_metrics.void_runs())),
    of_daemon(catalog::HISTORY_DROPPED, |scene, out| out.counter(&[], scene.daemon_metrics.history_dropped_total())),
    of_daemon(catalog::HISTORY_WRITABLE, |scene, out| {
        out.count(scene.daemon_metrics.history_writable().map(u64::from));
    }),
    of_daemon(catalog::HOOK_DELIVERIES, |scene, out| {
        for (place, deliveries) in scene.daemon_metrics.hooks().iter().enumerate() {
            let hook = format!("hooks[{place}]");
            for (outcome, count) in OUTCOMES.into_iter().zip(deliveries.read()) {
                out.counter(&[&hook, outcome], count);
            }
        }
    }),
    of_daemon(catalog::RELOAD_OK, |scene, out| out.flag(&[], scene.judged.snapshot.configuration.last_load_ok)),
    of_daemon(catalog::RELOAD_AT, |scene, out| out.time(&[], scene.judged.snapshot.configuration.last_success)),
    of_daemon(catalog::CONFIGURATION, |scene, out| {
        if let Some(hash) = &scene.judged.snapshot.plan.hash {
            out.flag(&[hash], true);
        }
    }),
    of_daemon(catalog::BUILD, |_, out| {
        out.flag(&[env!("CARGO_PKG_VERSION"), option_env!("PROBELET_REVISION").unwrap_or("unknown")], true);
    }),
    of_daemon(catalog::CPU, |scene, out| out.number(scene.process.cpu.as_secs_f64())),
    of_daemon(catalog::OPEN_FDS, |scene, out| out.count(scene.process.open_descriptors)),
    of_daemon(catalog::MAX_FDS, |scene, out| out.count(scene.process.most_descriptors)),
    of_daemon(catalog::VIRTUAL, |scene, out| out.count(scene.stat().map(|stat| stat.virtual_bytes))),
    of_daemon(catalog::RESIDENT, |scene, out| out.count(scene.stat().map(|stat| stat.resident_bytes))),
    of_daemon(catalog::STARTED, |scene, out| {
        // As long as the wall clock is not set, this is the same in every snapshot, to the microsecond.
        let published = scene.judged.snapshot.reading();
        out.time(&[], scene.stat().map(|stat| published.wall_at(stat.started)));
    }),
    of_daemon(catalog::THREADS, |scene, out| out.count(scene.stat().map(|stat| stat.threads))),
];

const fn gates(gates: Gates) -> &'static str {
    match (gates.live, gates.ready, gates.startup) {
        (false, false, false) => "",
        (false, false, true) => "startup",
        (false, true, false) => "ready",
        (false, true, true) => "ready,startup",
        (true, false, false) => "live",
        (true, false, true) => "live,startup",
        (true, true, false) => "live,ready",
        (true, true, true) => "live,ready,startup",
    }
}
