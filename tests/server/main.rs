//! The server from outside: real sockets, real clients, and clients that mean no good.
#![allow(clippy::unwrap_used)]

mod badge;
mod limits;
mod memory;
mod support;
mod wire;
