//! Any bytes as a duration, a size, a share, a name or an address.
#![no_main]

#[path = "../properties/lines.rs"]
#[expect(dead_code, reason = "each target takes its part of the rules")]
mod lines;
#[path = "../properties/texts.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_text(bytes));
