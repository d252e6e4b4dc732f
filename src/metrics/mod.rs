//! The exposition: every metric of the daemon, from one judged snapshot and the daemon's own counts.
//!
//! Only this floor knows the exposition formats. A new metric is a line in [`catalog`] and the values for it in
//! `exposition`; a test demands that the two agree.

mod asks;
pub mod catalog;
mod exposition;
mod openmetrics;
pub mod pulse;
pub mod route;
pub mod vitals;

pub use asks::GateAsks;
pub use exposition::{Format, Scrape, scrape};
pub use pulse::Pulse;
pub use route::Route;
pub use vitals::Vitals;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
