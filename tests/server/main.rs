//! The server from outside: real sockets, real clients, and clients that mean no good.
#![allow(clippy::unwrap_used)]

mod badge;
mod limits;
mod support;
mod wire;
