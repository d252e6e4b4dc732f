//! The exposition: every metric of the daemon, from one judged snapshot and the daemon's own counts.
//!
//! Only this floor knows the exposition formats. A new metric is a line in [`catalog`] and the values for it in
//! `exposition`; a test demands that the two agree.

mod asks;
pub mod catalog;
pub mod daemon;
mod exposition;
pub mod hooks;
pub mod liveness;
mod openmetrics;

pub use asks::GateAsks;
pub use daemon::DaemonMetrics;
pub use exposition::{ExpositionFormat, Scrape, scrape};
pub use liveness::SchedulerLiveness;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
