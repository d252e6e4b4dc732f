//! The command line: the real binary, its exact words, its streams and its exit codes.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

mod apps;
mod ask;
mod blocked;
mod command;
mod drain;
mod fakes;
mod help;
mod input;
mod install;
mod once;
mod readme;
#[path = "../support"]
mod support {
    pub mod certs;
    pub mod daemon;
}
mod terminal;
mod validate;
mod wait;
