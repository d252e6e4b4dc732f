//! What the daemon counts about itself, without locks.

use std::array;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::asks::GateAsks;
use super::hooks::HookDeliveries;
use super::lag::SchedulerLag;
use super::process::ProcessFigures;
use crate::base::clock::Moment;
use crate::model::route::Route;

/// The status codes that the server answers with; anything else is counted under the last.
pub const CODES: [&str; 14] =
    ["200", "204", "400", "401", "403", "404", "405", "408", "413", "415", "429", "500", "503", "other"];

/// The upper bounds of the buckets of request durations, in microseconds; one more bucket has no bound.
const BUCKETS: [u64; 10] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// The upper bounds of the buckets of request durations, in seconds.
pub const REQUEST_BUCKETS: [f64; BUCKETS.len()] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// How often the process is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Counts about the daemon. Raised by its parts; read by the exposition.
#[derive(Debug)]
pub struct DaemonMetrics {
    /// When kubelet last asked.
    pub asks: GateAsks,
    /// How late the scheduler is.
    pub lag: SchedulerLag,
    /// By route and code; most pairs never come up.
    requests: [[OnceLock<Box<DurationHistogram>>; CODES.len()]; Route::ALL.len()],
    void_runs: AtomicU64,
    history_dropped: AtomicU64,
    /// 0 without a file, 1 while it cannot be written to, 2 while it can.
    history_file: AtomicU8,
    process: ArcSwapOption<(Moment, ProcessFigures)>,
    /// By the hook's place in the file.
    hooks: ArcSwap<Vec<Arc<HookDeliveries>>>,
}

/// A histogram: a counter per bucket, and the sum.
#[derive(Debug)]
struct DurationHistogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

/// A histogram as read.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestHistogram {
    /// The route.
    pub route: Route,
    /// The status code.
    pub code: &'static str,
    /// Answers by duration, not cumulative; the last bucket has no bound.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// The sum of all durations, in seconds.
    pub sum: f64,
}

impl Default for DaemonMetrics {
    fn default() -> Self {
        Self {
            asks: GateAsks::default(),
            requests: array::from_fn(|_| array::from_fn(|_| OnceLock::new())),
            void_runs: AtomicU64::new(0),
            history_dropped: AtomicU64::new(0),
            history_file: AtomicU8::new(0),
            lag: SchedulerLag::default(),
            process: ArcSwapOption::empty(),
            hooks: ArcSwap::default(),
        }
    }
}

impl DurationHistogram {
    fn new() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), nanos: AtomicU64::new(0) }
    }
}

impl DaemonMetrics {
    /// Counts an answer on `route` with the status `code` that took `took`.
    pub fn answered(&self, route: Route, code: u16, took: Duration) {
        let durations =
            self.requests[route as usize][place_of(code)].get_or_init(|| Box::new(DurationHistogram::new()));
        let micros = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS.len());
        durations.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        durations.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes how many runs have ended without a verdict because something of our own was used up.
    pub fn set_void_runs(&self, runs: u64) {
        self.void_runs.store(runs, Ordering::Relaxed);
    }

    /// How many runs have ended without a verdict.
    #[must_use]
    pub fn void_runs(&self) -> u64 {
        self.void_runs.load(Ordering::Relaxed)
    }

    /// Counts `ticks` that the history could not take.
    pub fn history_dropped(&self, ticks: u64) {
        self.history_dropped.fetch_add(ticks, Ordering::Relaxed);
    }

    /// How many ticks the history could not take.
    #[must_use]
    pub fn history_dropped_total(&self) -> u64 {
        self.history_dropped.load(Ordering::Relaxed)
    }

    /// Notes whether the history is written to its file; nothing where there is to be none.
    pub fn set_history_writable(&self, writable: Option<bool>) {
        self.history_file.store(writable.map_or(0, |writable| 1 + u8::from(writable)), Ordering::Relaxed);
    }

    /// Whether the history is written to its file; nothing where there is to be none.
    #[must_use]
    pub fn history_writable(&self) -> Option<bool> {
        match self.history_file.load(Ordering::Relaxed) {
            0 => None,
            file => Some(file == 2),
        }
    }

    /// The answers so far, by route and code; only those that have been given.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // 53 bits of nanoseconds are 104 days of answering
    pub fn requests(&self) -> Vec<RequestHistogram> {
        let mut all = Vec::new();
        for (route, codes) in Route::ALL.into_iter().zip(self.requests.iter()) {
            for (code, durations) in CODES.into_iter().zip(codes) {
                let Some(durations) = durations.get() else { continue };
                let buckets: [u64; BUCKETS.len() + 1] =
                    array::from_fn(|bucket| durations.buckets[bucket].load(Ordering::Relaxed));
                let sum = durations.nanos.load(Ordering::Relaxed) as f64 / 1e9;
                all.push(RequestHistogram { route, code, buckets, sum });
            }
        }
        all
    }

    /// The counts of the hook at `place`, which go on when a reload brings another hook there.
    #[must_use]
    pub fn hook_deliveries(&self, place: usize) -> Arc<HookDeliveries> {
        let mut hooks = Vec::clone(&self.hooks.load());
        if place >= hooks.len() {
            hooks.resize_with(place + 1, Arc::default);
            self.hooks.store(Arc::new(hooks.clone()));
        }
        Arc::clone(&hooks[place])
    }

    /// There are so many hooks from now on: the counts of those behind them are forgotten.
    pub fn keep_hooks(&self, count: usize) {
        let hooks = self.hooks.load();
        if hooks.len() > count {
            self.hooks.store(Arc::new(hooks[..count].to_vec()));
        }
    }

    /// The counts of every hook, by its place.
    #[must_use]
    pub fn hooks(&self) -> Arc<Vec<Arc<HookDeliveries>>> {
        self.hooks.load_full()
    }

    /// The figures of the process, looked at once a second at most.
    pub(super) fn process(&self, now: Moment) -> ProcessFigures {
        if let Some(last) = &*self.process.load()
            && now.since(last.0) < LOOK
        {
            return last.1;
        }
        let figures = ProcessFigures::read();
        self.process.store(Some(Arc::new((now, figures))));
        figures
    }
}

const fn place_of(code: u16) -> usize {
    match code {
        200 => 0,
        204 => 1,
        400 => 2,
        401 => 3,
        403 => 4,
        404 => 5,
        405 => 6,
        408 => 7,
        413 => 8,
        415 => 9,
        429 => 10,
        500 => 11,
        503 => 12,
        _ => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_place() {
        for (place, code) in CODES.into_iter().enumerate() {
            assert_eq!(place_of(code.parse().unwrap_or(418)), place);
        }
        for (micros, seconds) in BUCKETS.into_iter().zip(REQUEST_BUCKETS) {
            assert!((Duration::from_micros(micros).as_secs_f64() - seconds).abs() < 1e-12);
        }
    }

    #[test]
    fn answers_are_counted_by_route_code_and_duration() {
        let daemon_metrics = DaemonMetrics::default();
        daemon_metrics.answered(Route::Livez, 200, Duration::from_micros(100));
        daemon_metrics.answered(Route::Livez, 200, Duration::from_nanos(100_001));
        daemon_metrics.answered(Route::Livez, 503, Duration::from_secs(3));
        let requests = daemon_metrics.requests();
        assert_eq!(
            requests.iter().map(|r| (r.route, r.code, r.buckets)).collect::<Vec<_>>(),
            [
                (Route::Livez, "200", [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                (Route::Livez, "503", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ]
        );
        assert!((requests[1].sum - 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_process_is_looked_at_once_a_second() {
        let daemon_metrics = DaemonMetrics::default();
        let at = |millis| daemon_metrics.process(Moment::at(Duration::from_millis(millis))).cpu;
        let first = at(5_000);
        assert!(first > Duration::ZERO);
        // Looking takes processor time itself, which the clock tells to the nanosecond.
        assert_eq!(at(5_999), first);
        assert!(at(6_000) > first);
    }

    #[test]
    fn dropped_ticks_are_counted() {
        let daemon_metrics = DaemonMetrics::default();
        daemon_metrics.history_dropped(2);
        daemon_metrics.history_dropped(3);
        assert_eq!(daemon_metrics.history_dropped_total(), 5);
    }
}
