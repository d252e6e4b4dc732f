//! Health as values and pure functions: no I/O, no lock, no clock.
//!
//! Three words for three levels: one run has an [`Outcome`](outcome::Outcome), one check over time has a
//! [`State`](state::State), an endpoint or the whole has a [`Verdict`](verdict::Verdict).

pub mod beat;
pub mod causes;
pub mod check_states;
pub mod counters;
pub mod declared;
pub mod definition;
pub mod durations;
pub mod endpoint;
pub mod index;
pub mod level;
pub mod native_histogram;
pub mod outcome;
pub mod plan;
pub mod route;
pub mod snapshot;
pub mod start_up;
pub mod state;
pub mod verdict;
