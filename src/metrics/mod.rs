//! The exposition: every metric of the daemon, from one judged snapshot and the daemon's own counts.
//!
//! Only this floor knows the exposition formats. A new metric is a line in [`catalog`] and one in `families` with its
//! values; a test demands that the two agree.

mod asks;
pub mod catalog;
pub mod daemon;
mod exposition;
mod families;
pub mod hooks;
mod labels;
mod lag;
mod lines;
pub mod liveness;
mod messages;
mod number;
mod process;
mod samples;

pub use asks::GateAsks;
pub use daemon::DaemonMetrics;
pub use exposition::{ExpositionFormat, Scrape, scrape};
pub use lag::SchedulerLag;
pub use liveness::SchedulerLiveness;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
