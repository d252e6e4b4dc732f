//! Any bytes as a manifest of Kubernetes.
#![no_main]

#[path = "../properties/lines.rs"]
#[expect(dead_code, reason = "each target takes its part of the rules")]
mod lines;
#[path = "../properties/manifest.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::any_manifest(bytes));
