//! probelet, the health sidecar: a YAML file in, real probes on a schedule, five endpoints out.
//!
#![doc = include_str!("../ARCHITECTURE.md")]

// In reading order: each module uses only those above it.
pub mod base;
pub mod model;
pub mod workflow;
pub mod probe;
pub mod store;
pub mod history;
pub mod metrics;
pub mod config;
pub mod scheduler;
pub mod hooks;
pub mod simulation;
pub mod server;
pub mod daemon;
pub mod cli;
