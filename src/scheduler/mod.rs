//! When checks run: a pure machine that decides, and the tasks that act.
//!
//! [`machine`] decides; [`actor`] is the one task around it and the one writer of the snapshot; each check has a
//! [`worker`] that owns its probe, so that a slow or hung one delays no other (`workers` begins and ends them).
//! [`history_reporter`] tells history what comes of it. [`one_shot`] runs checks without a schedule, for the command line.

pub mod actor;
pub mod beat_groups;
pub mod cadence;
pub mod history_reporter;
mod jump;
pub mod machine;
pub mod one_shot;
mod run_slot;
pub mod runner;
#[cfg(test)]
pub(crate) mod testing;
mod transition_log;
mod want_log;
pub mod worker;
mod workers;
