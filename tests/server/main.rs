//! The server from outside: real sockets, real clients, and clients that mean no good.
#![allow(clippy::unwrap_used)]

mod audience;
mod badge;
#[path = "../support/frames.rs"]
mod frames;
mod grpc;
mod held;
mod http2;
mod limits;
mod memory;
#[path = "../support/meter.rs"]
mod meter;
mod support;
mod wire;
