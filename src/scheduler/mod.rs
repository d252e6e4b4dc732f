//! When checks run: a pure machine that decides, and the tasks that act.
//!
//! [`machine`] decides; [`conductor`] is the one task around it and the one writer of the snapshot; each check has a
//! task of its own (see [`check`]) that owns its probe, so that a slow or hung one delays no other. [`chronicle`] tells
//! history what comes of it. [`rounds`] runs checks without a schedule, for the command line.

pub mod cadence;
pub mod check;
pub mod chronicle;
pub mod conductor;
#[cfg(test)]
mod containers;
pub mod kubelet;
pub mod machine;
pub mod playback;
pub mod rounds;
pub mod runner;
