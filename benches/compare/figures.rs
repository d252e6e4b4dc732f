//! Every figure that is measured, with its unit and the project's goal for it: the one place for goals.

/// One row of a table.
pub struct Figure {
    /// What it is called where it is measured.
    pub key: &'static str,
    /// What it is, for people.
    pub name: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// What it should be.
    pub goal: Goal,
}

/// The unit of a figure.
#[derive(Clone, Copy)]
pub enum Unit {
    /// Bytes, shown in the unit that fits.
    Bytes,
    /// Seconds, shown in the unit that fits.
    Seconds,
    /// How often in a second.
    PerSecond,
    /// A number.
    Count,
    /// A ratio to what was before.
    Times,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Nothing was promised.
    None,
    /// At most this in the first column.
    AtMost(f64),
    /// At most this share of the least of the others.
    AtMostOfBest(f64),
    /// At least so many times the named column.
    AtLeastOf(f64, &'static str),
    /// At most this in every column.
    Everywhere(f64),
    /// In the last column at most so many times the first.
    Flat(f64),
    /// In the last column at most ten times the one before, times this slack.
    Linear(f64),
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const MS: f64 = 1e-3;
const US: f64 = 1e-6;

const fn figure(key: &'static str, name: &'static str, unit: Unit, goal: Goal) -> Figure {
    Figure { key, name, unit, goal }
}

/// Beside others.
pub const BESIDE: &[Figure] = &[
    figure("binary", "the binary", Unit::Bytes, Goal::None),
    figure("rss", "resident memory with seven checks", Unit::Bytes, Goal::AtMost(6.0 * MIB)),
    figure("private", "of it private", Unit::Bytes, Goal::None),
    figure("cpu", "CPU time a minute", Unit::Seconds, Goal::AtMostOfBest(0.5)),
    figure("wakes", "wakes a second, not asked", Unit::Count, Goal::AtMost(3.0)),
    figure("kinds_rss", "resident memory with seven kinds of checks", Unit::Bytes, Goal::None),
    figure("kinds_private", "of it private", Unit::Bytes, Goal::None),
    figure("kinds_cpu", "CPU time a minute", Unit::Seconds, Goal::None),
    figure("kept", "CPU time of an HTTP probe, connection kept", Unit::Seconds, Goal::AtMostOfBest(1.0)),
    figure("fresh", "the same, a fresh connection each", Unit::Seconds, Goal::AtMostOfBest(1.0)),
    figure(
        "answers",
        "health answers a second, 64 connections",
        Unit::PerSecond,
        Goal::AtLeastOf(1.8, "blackbox_exporter"),
    ),
    figure("answer", "CPU time of each", Unit::Seconds, Goal::AtMostOfBest(1.0)),
    figure("alone", "CPU time of one scrape of `/metrics`, every 15 s", Unit::Seconds, Goal::None),
    figure("alone_sample", "of it for each sample, rendered anew", Unit::Seconds, Goal::AtMostOfBest(1.0)),
    figure("scrape", "the same one after the other, 16 connections", Unit::Seconds, Goal::AtMost(100.0 * US)),
    figure("size", "its size", Unit::Bytes, Goal::None),
    figure("samples", "its samples", Unit::Count, Goal::None),
    figure("sample", "CPU time of each sample, rendered once for many", Unit::Seconds, Goal::AtMostOfBest(1.0)),
    figure("beside", "a health answer beside 200 clients of `/metrics`, p99", Unit::Seconds, Goal::AtMost(5.0 * MS)),
    figure("start", "from the start to the first answer", Unit::Seconds, Goal::AtMostOfBest(1.0)),
    figure("start_cpu", "CPU time until then", Unit::Seconds, Goal::AtMost(2.0 * MS)),
];

/// One run of each kind, in CPU time: with its connection kept, and with a fresh one.
pub const RUNS: &[Figure] = &[
    figure("http", "http", Unit::Seconds, Goal::None),
    figure("https", "http over TLS", Unit::Seconds, Goal::None),
    figure("tcp", "tcp", Unit::Seconds, Goal::None),
    figure("postgres", "postgres", Unit::Seconds, Goal::None),
    figure("redis", "redis", Unit::Seconds, Goal::None),
    figure("amqp", "amqp", Unit::Seconds, Goal::None),
    figure("grpc", "grpc", Unit::Seconds, Goal::None),
    figure("disk", "disk", Unit::Seconds, Goal::None),
    figure("heartbeat", "heartbeat (file)", Unit::Seconds, Goal::None),
    figure("workflow", "workflow (two steps)", Unit::Seconds, Goal::None),
];

/// What the number of checks costs.
pub const GROWTH: &[Figure] = &[
    figure("listen", "from the start to the first answer", Unit::Seconds, Goal::Everywhere(300.0 * MS)),
    figure("ready", "from the start until ready", Unit::Seconds, Goal::Everywhere(10.0)),
    figure("ready_cpu", "CPU time until ready", Unit::Seconds, Goal::Linear(1.5)),
    figure("start_p99", "`/livez` meanwhile, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("start_worst", "and the slowest", Unit::Seconds, Goal::None),
    figure("private", "private memory", Unit::Bytes, Goal::Linear(1.5)),
    figure("per_check", "of it for each check", Unit::Bytes, Goal::Everywhere(12.0 * KIB)),
    figure("lag", "scheduler lag, the worst of ten looks", Unit::Seconds, Goal::Everywhere(100.0 * MS)),
    figure("cpu", "CPU time a second", Unit::Seconds, Goal::Linear(1.5)),
    figure("failing_cpu", "the same while all of them fail", Unit::Seconds, Goal::Linear(1.5)),
    figure("failing_livez", "`/livez` meanwhile, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("failing_readyz", "`/readyz` meanwhile, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("parent_cpu", "an outage of what all others depend on: CPU time", Unit::Seconds, Goal::Linear(1.5)),
    figure("parent_p99", "`/livez` meanwhile, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("parent_worst", "and the slowest", Unit::Seconds, Goal::None),
    figure("pairs_cpu", "an outage of half of them, a parent each: CPU time", Unit::Seconds, Goal::Linear(1.5)),
    figure("pairs_p99", "`/livez` meanwhile, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("pairs_worst", "and the slowest", Unit::Seconds, Goal::None),
    figure("livez_p99", "`/livez`, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("readyz_p99", "`/readyz`, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("livez_cpu", "CPU time of one `/livez`, 20 a second", Unit::Seconds, Goal::Flat(1.5)),
    figure("scrape", "one scrape", Unit::Seconds, Goal::Linear(1.5)),
    figure("scrape_anew", "the same, rendered anew", Unit::Seconds, Goal::Linear(1.5)),
    figure("scrape_size", "its size", Unit::Bytes, Goal::Linear(1.5)),
    figure("scrape_p99", "`/livez` during scrapes and the page, p99", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure(
        "reload",
        "a reload of one renamed check: CPU time of the scheduler",
        Unit::Seconds,
        Goal::Everywhere(50.0 * MS),
    ),
    figure("reload_cpu", "CPU time of all threads", Unit::Seconds, Goal::Linear(1.5)),
    figure("reload_worst", "`/livez` meanwhile, the slowest", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure(
        "same",
        "a reload of an unchanged file: CPU time of the scheduler",
        Unit::Seconds,
        Goal::Everywhere(50.0 * MS),
    ),
    figure("same_worst", "`/livez` meanwhile, the slowest", Unit::Seconds, Goal::Everywhere(5.0 * MS)),
    figure("after", "private memory after the reloads, times what it was", Unit::Times, Goal::Everywhere(1.05)),
];
