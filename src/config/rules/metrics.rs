//! `metrics`: how much `/metrics` tells, and how durations of runs are counted for it.

use std::sync::Arc;
use std::time::Duration;

use crate::base::value::{Section, Value};
use crate::model::durations::DurationBuckets;
use crate::model::plan::MetricsLevel;

/// Each is a series per check.
const MOST_BUCKETS: usize = 32;

/// What the section says; the defaults where there is none.
pub fn read(metrics: Option<&Section>) -> (MetricsLevel, Arc<DurationBuckets>) {
    let Some(metrics) = metrics else { return (MetricsLevel::Full, DurationBuckets::usual()) };
    let level = if metrics.word("level") == Some("lean") { MetricsLevel::Lean } else { MetricsLevel::Full };
    let native = metrics.flag("native_histograms").unwrap_or(false);
    let chosen = metrics.get("buckets").is_some();
    let bounds: Box<[f64]> = match level {
        MetricsLevel::Lean if chosen => {
            let help = "leave `buckets` or `level` out; `native_histograms` can be had with both levels";
            metrics.error("buckets", "invalid-value", "`level: lean` tells no buckets", Some(help.into()));
            Box::default()
        }
        MetricsLevel::Lean => Box::default(),
        MetricsLevel::Full if chosen => bounds(metrics),
        MetricsLevel::Full if native => DurationBuckets::usual().bounds.clone(),
        MetricsLevel::Full => return (level, DurationBuckets::usual()),
    };
    (level, Arc::new(DurationBuckets { bounds, native }))
}

/// The bounds of `buckets` in seconds.
fn bounds(metrics: &Section) -> Box<[f64]> {
    let given = metrics.list("buckets");
    if given.len() > MOST_BUCKETS {
        let message = format!("{} buckets, more than {MOST_BUCKETS}", given.len());
        let help =
            "each is a series of each check: keep those around what you alert on, or ask for `native_histograms`";
        metrics.error("buckets", "invalid-value", message, Some(help.into()));
        return Box::default();
    }
    let mut bounds: Vec<f64> = Vec::with_capacity(given.len());
    let mut before = None;
    for spanned in given {
        let Value::Duration(bound) = spanned.value else { continue };
        let seconds = seconds(bound);
        if bound.is_zero() {
            let help = "no run is that short; leave it out";
            metrics.report_at(&spanned.span, "invalid-value", "a bucket is longer than zero", Some(help.into()));
        } else if before.is_some_and(|before| before >= seconds) {
            let message = "the buckets do not ascend: this one is not longer than the one before";
            let help = "put the shortest first, and each there once";
            metrics.report_at(&spanned.span, "invalid-value", message, Some(help.into()));
        } else {
            bounds.push(seconds);
        }
        before = Some(seconds);
    }
    bounds.into()
}

/// The float that is nearest: `2.5s` is 2.5, and shown so.
#[allow(clippy::cast_precision_loss)] // a bucket of more than 104 days is that to the microsecond
fn seconds(bound: Duration) -> f64 {
    bound.as_nanos() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use crate::config::source::Environment;
    use crate::model::durations::DurationBuckets;
    use crate::model::plan::MetricsLevel;

    fn environment() -> Environment {
        Environment::of::<&str, &str>([])
    }

    fn read(metrics: &str) -> Result<(MetricsLevel, DurationBuckets), String> {
        let text = format!("metrics: {metrics}\nchecks:\n  - {{ name: db, simulated: {{}} }}\n");
        let loaded = crate::config::read("test", text.as_bytes(), &environment(), Box::new(|_| Ok(Vec::new())));
        let config = loaded.config.ok_or_else(|| loaded.report.text(false))?;
        Ok((config.plan.answers.metrics, (*config.plan.checks[0].duration_buckets).clone()))
    }

    #[test]
    fn durations_are_counted_as_the_file_says() {
        let usual = DurationBuckets::usual();
        for (metrics, level, bounds, native) in [
            ("{}", MetricsLevel::Full, &usual.bounds[..], false),
            (
                "{ buckets: [0.5ms, 2.5ms, 50ms, 1.1s, 1m] }",
                MetricsLevel::Full,
                &[0.0005, 0.0025, 0.05, 1.1, 60.0],
                false,
            ),
            ("{ buckets: [] }", MetricsLevel::Full, &[], false),
            ("{ native_histograms: true }", MetricsLevel::Full, &usual.bounds, true),
            ("{ native_histograms: true, buckets: [1s] }", MetricsLevel::Full, &[1.0], true),
            ("{ level: lean }", MetricsLevel::Lean, &[], false),
            ("{ level: lean, native_histograms: true }", MetricsLevel::Lean, &[], true),
        ] {
            let expected = DurationBuckets { bounds: bounds.into(), native };
            assert_eq!(read(metrics), Ok((level, expected)), "{metrics}");
        }
    }

    #[test]
    fn there_are_so_many_buckets_at_most() {
        let list = |count: usize| (1..=count).map(|n| format!("{n}ms")).collect::<Vec<_>>().join(", ");
        assert_eq!(read(&format!("{{ buckets: [{}] }}", list(32))).unwrap().1.bounds.len(), 32);
        let problem = read(&format!("{{ buckets: [{}] }}", list(33))).unwrap_err();
        assert!(problem.contains("33 buckets, more than 32"), "{problem}");
    }
}
