//! Any bytes as a matcher, a pointer and the body that they are held against.
#![no_main]

#[path = "../properties/matchers.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_match(bytes));
