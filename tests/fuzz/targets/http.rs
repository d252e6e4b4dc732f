//! Any bytes on a connection to the server.
#![no_main]

#[path = "../properties/http.rs"]
#[expect(dead_code, reason = "each target takes its half of the rules")]
mod property;
#[path = "../../support/meter.rs"]
mod meter;
#[path = "../../server/support.rs"]
#[expect(dead_code, reason = "it is made for more than this")]
mod server_support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::with_world(|world| property::any_bytes(world, bytes)));
