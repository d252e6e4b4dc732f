//! The server from outside: real sockets, real clients, and clients that mean no good.
#![allow(clippy::unwrap_used)]

mod audience;
mod badge;
mod held;
mod limits;
mod memory;
#[path = "../support/meter.rs"]
mod meter;
mod support;
mod wire;
