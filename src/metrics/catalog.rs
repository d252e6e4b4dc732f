//! Every metric with its type, labels and help.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of the formats
pub enum MetricKind {
    Gauge,
    Counter,
    Histogram,
    Summary,
}

impl MetricKind {
    /// The word for it in the text formats.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A metric as it is documented and exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name; a counter's ends in `_total`.
    pub name: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// The labels, in the order in which they are shown.
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence.
    pub help: &'static str,
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, help }
}

const CHECK: &[&str] = &["check"];

#[allow(missing_docs)] // each says so itself
mod entries {
    use super::{CHECK, Metric, counter, gauge, histogram};

    pub const STATUS: Metric = gauge("healthcheck_status", CHECK, "Health check status (1=ok,0=error)");
    pub const STATE: Metric =
        gauge("healthcheck_state", &["check", "state"], "1 for the state the check is in, 0 for each other.");
    pub const INFO: Metric = gauge(
        "healthcheck_info",
        &["check", "kind", "critical", "gates", "runbook"],
        "How the check is declared; always 1.",
    );
    pub const DISABLED: Metric = gauge(
        "healthcheck_disabled",
        &["check", "kind"],
        "A check that is switched off; always 1. It has no other series.",
    );
    pub const INTERVAL: Metric =
        gauge("healthcheck_interval_seconds", CHECK, "From start to start of the check's runs, as configured.");
    pub const TIMEOUT: Metric =
        gauge("healthcheck_timeout_seconds", CHECK, "The hard limit of one run, as configured.");
    pub const DURATION: Metric = histogram("healthcheck_duration_seconds", CHECK, "How long runs of the check took.");
    pub const RUNS: Metric = counter("healthcheck_runs_total", &["check", "outcome"], "Runs of the check by outcome.");
    pub const FAILURES: Metric =
        counter("healthcheck_failures_total", &["check", "reason"], "Failed runs of the check by reason.");
    pub const CONSECUTIVE_FAILURES: Metric =
        gauge("healthcheck_consecutive_failures", CHECK, "Failures in a row up to now.");
    pub const TRANSITIONS: Metric =
        counter("healthcheck_transitions_total", &["check", "to"], "Changes of the check's state by the new state.");
    pub const LAST_RUN: Metric =
        gauge("healthcheck_last_run_timestamp_seconds", CHECK, "When the last run ended, as Unix time.");
    pub const LAST_SUCCESS: Metric = gauge(
        "healthcheck_last_success_timestamp_seconds",
        CHECK,
        "When the last run that passed ended, as Unix time.",
    );
    pub const ROOT_CAUSE: Metric = gauge("healthcheck_root_cause", CHECK, "1 while this check is a root cause.");
    pub const WAITS_FOR: Metric = gauge(
        "healthcheck_waits_for",
        &["check", "root_cause"],
        "1 while the check is skipped because that one fails.",
    );
    pub const STEP_STATUS: Metric = gauge(
        "healthcheck_step_status",
        &["check", "step"],
        "Status of a workflow's step (1=ok,0=error); absent while skipped.",
    );
    pub const TLS_NOT_AFTER: Metric = gauge(
        "healthcheck_tls_not_after_timestamp_seconds",
        CHECK,
        "When the certificate that the target presented ends, as Unix time.",
    );
    pub const DISK_FREE: Metric =
        gauge("healthcheck_disk_free_bytes", CHECK, "Bytes that an unprivileged process may still write.");
    pub const DISK_SIZE: Metric = gauge("healthcheck_disk_size_bytes", CHECK, "Size of the file system in bytes.");
    pub const QUEUE_MESSAGES: Metric =
        gauge("healthcheck_queue_messages", CHECK, "Messages that waited in the queue at the last run.");
    pub const QUEUE_CONSUMERS: Metric =
        gauge("healthcheck_queue_consumers", CHECK, "Consumers of the queue at the last run.");
    pub const ENDPOINT_OPEN: Metric =
        gauge("healthcheck_endpoint_open", &["endpoint"], "Whether the endpoint answers 200 (1=open,0=closed).");
    pub const ENDPOINT_TRANSITIONS: Metric = counter(
        "healthcheck_endpoint_transitions_total",
        &["endpoint", "to"],
        "How often the endpoint opened and closed, also between two scrapes.",
    );
    pub const DRAINING: Metric = gauge("probelet_draining", &[], "1 while draining.");
    pub const LAST_ASKED: Metric = gauge(
        "probelet_gate_last_asked_timestamp_seconds",
        &["endpoint"],
        "When kubelet last asked the endpoint, as Unix time; absent until then.",
    );
    pub const APPLICATION: Metric =
        gauge("application_health_status", &[], "Health of the application (0=DOWN,1=DEGRADED,2=UP).");
    pub const REQUESTS: Metric = histogram(
        "probelet_http_request_duration_seconds",
        &["route", "code"],
        "How long probelet took to answer requests, by pattern of the path.",
    );
    pub const LAG: Metric =
        gauge("probelet_scheduler_lag_seconds", &[], "How overdue the most overdue run is, at the time of the scrape.");
    pub const WORST_LAG: Metric = gauge(
        "probelet_scheduler_worst_lag_seconds",
        &[],
        "How late runs were begun at worst within the last half minute, or how overdue one is by now.",
    );
    pub const VOID_RUNS: Metric = counter(
        "probelet_void_runs_total",
        &[],
        "Runs of all checks without a verdict, as probelet itself lacked time, descriptors, threads or memory.",
    );
    pub const HISTORY_DROPPED: Metric = counter(
        "probelet_history_dropped_total",
        &[],
        "Ticks that were not stored because the history could not keep up.",
    );
    pub const HISTORY_WRITABLE: Metric = gauge(
        "probelet_history_writable",
        &[],
        "Whether the history is written to its file (1=yes,0=no); absent without history.path.",
    );
    pub const HOOK_DELIVERIES: Metric = counter(
        "probelet_hook_deliveries_total",
        &["hook", "outcome"],
        "Events for the hook at this place of the file, by what came of them: delivered, failed, dropped.",
    );
    pub const RELOAD_OK: Metric = gauge(
        "probelet_config_last_reload_successful",
        &[],
        "Whether the last attempt to load the configuration worked (1=yes,0=no).",
    );
    pub const RELOAD_AT: Metric = gauge(
        "probelet_config_last_reload_success_timestamp_seconds",
        &[],
        "When the configuration was last loaded, as Unix time.",
    );
    pub const CONFIGURATION: Metric = gauge(
        "probelet_config_info",
        &["hash"],
        "The configuration in use, by the first 16 digits of its file's SHA-256; always 1.",
    );
    pub const BUILD: Metric =
        gauge("probelet_build_info", &["version", "revision"], "The version of probelet; always 1.");

    pub const CPU: Metric =
        counter("process_cpu_seconds_total", &[], "Total user and system CPU time spent in seconds.");
    pub const OPEN_FDS: Metric = gauge("process_open_fds", &[], "Number of open file descriptors.");
    pub const MAX_FDS: Metric = gauge("process_max_fds", &[], "Maximum number of open file descriptors.");
    pub const VIRTUAL: Metric = gauge("process_virtual_memory_bytes", &[], "Virtual memory size in bytes.");
    pub const RESIDENT: Metric = gauge("process_resident_memory_bytes", &[], "Resident memory size in bytes.");
    pub const STARTED: Metric =
        gauge("process_start_time_seconds", &[], "Start time of the process since unix epoch in seconds.");
    pub const THREADS: Metric = gauge("process_threads", &[], "Number of OS threads in the process.");
}

pub use entries::*;

/// All of them, in the order in which they are exposed.
pub const CATALOG: &[Metric] = &[
    STATUS,
    STATE,
    INFO,
    DISABLED,
    INTERVAL,
    TIMEOUT,
    DURATION,
    RUNS,
    FAILURES,
    CONSECUTIVE_FAILURES,
    TRANSITIONS,
    LAST_RUN,
    LAST_SUCCESS,
    ROOT_CAUSE,
    WAITS_FOR,
    STEP_STATUS,
    TLS_NOT_AFTER,
    DISK_FREE,
    DISK_SIZE,
    QUEUE_MESSAGES,
    QUEUE_CONSUMERS,
    ENDPOINT_OPEN,
    ENDPOINT_TRANSITIONS,
    APPLICATION,
    DRAINING,
    LAST_ASKED,
    REQUESTS,
    LAG,
    WORST_LAG,
    VOID_RUNS,
    HISTORY_DROPPED,
    HISTORY_WRITABLE,
    HOOK_DELIVERIES,
    RELOAD_OK,
    RELOAD_AT,
    CONFIGURATION,
    BUILD,
    CPU,
    OPEN_FDS,
    MAX_FDS,
    VIRTUAL,
    RESIDENT,
    STARTED,
    THREADS,
];
