//! The integration tests, in one binary: one link, and one pool of threads for all of them.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

/// Counts what the process has allocated, for the tests that look for growth.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

mod alerting;
mod alone;
mod balancers;
mod circles;
mod clock;
mod consumers;
#[cfg(feature = "hooks")]
mod dashboards;
mod exhausted;
mod farewells;
mod daemon;
mod figures;
mod fuzzed;
mod heartbeat;
mod history;
#[cfg(feature = "hooks")]
mod hooks;
mod lanes;
mod layout;
mod hostile;
mod listening;
mod matrix;
mod metrics;
#[path = "../support/meter.rs"]
mod meter;
mod memory_bound;
mod million;
mod nights;
mod redirects;
mod servers;
mod simulated;
mod soak;
mod starved;
mod state;
mod strangers;
#[path = "../support"]
mod support {
    pub mod balancers;
    pub mod certs;
    pub mod daemon;
    pub mod fake;
    pub mod grpc;
    pub mod faults;
    pub mod held;
    pub mod postgres;
    pub mod prometheus;
    pub mod proxies;
    pub mod quota;
    pub mod rabbitmq;
    pub mod redis;
    pub mod servers;
    pub mod webservers;
}
mod tidy;
