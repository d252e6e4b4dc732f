//! Any bytes as a configuration file that is read.
#![no_main]

#[path = "../properties/yaml.rs"]
#[expect(dead_code, reason = "each target takes its half of the rules")]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_file(bytes));
