//! OpenMetrics 1.0, over the same families as the text format.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Adds the families in OpenMetrics 1.0 to `text`.
pub(super) fn encode(families: &[MetricFamily], text: &mut Vec<u8>) {
    let mut out = String::with_capacity(8 * 1024);
    for family in families {
        let counts = family.get_field_type() == MetricType::COUNTER;
        // A counter's family has no `_total`, its samples have.
        let name = if counts { family.name().strip_suffix("_total").unwrap_or(family.name()) } else { family.name() };
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            MetricType::UNTYPED => continue, // the catalogue has none
        };
        line(&mut out, format_args!("# HELP {name} {}", Escaped(family.help())));
        line(&mut out, format_args!("# TYPE {name} {kind}"));
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::COUNTER => sample(&mut out, name, "_total", metric, None, metric.get_counter().get_value()),
                MetricType::HISTOGRAM => histogram(&mut out, name, metric),
                MetricType::SUMMARY => summary(&mut out, name, metric),
                _ => sample(&mut out, name, "", metric, None, metric.get_gauge().get_value()),
            }
        }
    }
    text.extend_from_slice(out.as_bytes());
}

/// Ends `text`, after the last family.
pub(super) fn end(text: &mut Vec<u8>) {
    text.extend_from_slice(b"# EOF\n");
}

#[allow(clippy::cast_precision_loss)] // counts
fn histogram(out: &mut String, name: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    for bucket in histogram.get_bucket() {
        // Bounds are canonical numbers: `1.0`, not `1`.
        let bound = format!("{:?}", bucket.upper_bound());
        sample(out, name, "_bucket", metric, Some(&bound), bucket.cumulative_count() as f64);
    }
    sample(out, name, "_bucket", metric, Some("+Inf"), histogram.get_sample_count() as f64);
    sample(out, name, "_count", metric, None, histogram.get_sample_count() as f64);
    sample(out, name, "_sum", metric, None, histogram.get_sample_sum());
}

#[allow(clippy::cast_precision_loss)] // counts
fn summary(out: &mut String, name: &str, metric: &Metric) {
    let summary = metric.get_summary();
    sample(out, name, "_count", metric, None, summary.sample_count() as f64);
    sample(out, name, "_sum", metric, None, summary.sample_sum());
}

fn sample(out: &mut String, name: &str, suffix: &str, metric: &Metric, bound: Option<&str>, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    let own = metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
    let mut separator = '{';
    for (label, text) in own.chain(bound.map(|bound| ("le", bound))) {
        out.push(separator);
        write(out, format_args!("{label}=\"{}\"", Escaped(text)));
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    line(out, format_args!(" {value}"));
}

/// A help text or the value of a label: backslash, double quote and line feed are escaped.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    write(out, text);
    out.push('\n');
}

fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes every character");
}

#[cfg(test)]
mod tests {
    use prometheus::proto::{Bucket, Counter, Histogram, Summary};

    use super::*;

    fn family(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(name.into());
        family.set_help(help.into());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        family
    }

    #[test]
    fn counters_histograms_and_gauges_are_written_by_their_rules() {
        let mut label = LabelPair::default();
        label.set_name("check".into());
        label.set_value("a\\b\"c\nd".into());
        let mut counter = Metric::from_label(vec![label]);
        let mut three = Counter::default();
        three.set_value(3.0);
        counter.set_counter(three);

        let mut bucket = Bucket::default();
        bucket.set_upper_bound(1.0);
        bucket.set_cumulative_count(2);
        let mut histogram = Histogram::default();
        histogram.set_bucket(vec![bucket]);
        histogram.set_sample_count(5);
        histogram.set_sample_sum(7.5);
        let mut durations = Metric::default();
        durations.set_histogram(histogram);

        let mut summary = Summary::default();
        summary.set_sample_count(2);
        summary.set_sample_sum(0.5);
        let mut lean = Metric::default();
        lean.set_summary(summary);

        let families = [
            family("runs_total", "Say \"runs\"\\\n", MetricType::COUNTER, counter),
            family("took_seconds", "h", MetricType::HISTOGRAM, durations),
            family("lean_seconds", "h", MetricType::SUMMARY, lean),
            family("up", "h", MetricType::GAUGE, Metric::default()),
        ];
        let mut text = Vec::new();
        encode(&families, &mut text);
        end(&mut text);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r##"# HELP runs Say \"runs\"\\\n
# TYPE runs counter
runs_total{check="a\\b\"c\nd"} 3
# HELP took_seconds h
# TYPE took_seconds histogram
took_seconds_bucket{le="1.0"} 2
took_seconds_bucket{le="+Inf"} 5
took_seconds_count 5
took_seconds_sum 7.5
# HELP lean_seconds h
# TYPE lean_seconds summary
lean_seconds_count 2
lean_seconds_sum 0.5
# HELP up h
# TYPE up gauge
up 0
# EOF
"##
        );
    }
}
