//! Any headers and body in a beat that is well-formed otherwise.
#![no_main]

#[path = "../properties/beats.rs"]
mod property;
#[path = "../../support/meter.rs"]
mod meter;
#[path = "../../server/support.rs"]
#[expect(dead_code, reason = "it is made for more than this")]
mod server_support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::with_world(|world| property::any_beat(world, bytes)));
