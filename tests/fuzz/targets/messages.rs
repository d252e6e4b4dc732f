//! Any bytes as the stream of a PostgreSQL server.
#![no_main]

#[path = "../properties/messages.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_messages(bytes));
