//! Any bytes as the stream of a broker.
#![no_main]

#[path = "../properties/frames.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_frames(bytes));
