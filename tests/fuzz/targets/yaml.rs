//! Any bytes as a configuration file.
#![no_main]

#[path = "../properties/yaml.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_file(bytes));
