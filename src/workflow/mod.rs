//! Steps of an end-to-end path as values: which comes next, which is skipped, what was captured. It knows no probes
//! and does no I/O.

pub mod captures;
pub mod error;
pub mod expression;
pub mod plan;
pub mod progress;
